//! `docs/CONFORMANCE.md` is what the program says about itself; `KHOANH_BLESS=1` writes it anew.

use crate::tidy::repository;
use std::process::Command;

#[test]
fn the_conformance_statement_is_the_programs_own() {
    let output = Command::new(env!("CARGO_BIN_EXE_khoanh")).arg("conformance").output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stated = String::from_utf8(output.stdout).expect("UTF-8");
    let page = repository().join("docs/CONFORMANCE.md");
    if std::env::var_os("KHOANH_BLESS").is_some() {
        std::fs::write(&page, &stated).expect("docs/CONFORMANCE.md");
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    let differs = stated.lines().zip(written.lines()).position(|(a, b)| a != b);
    let same = stated == written;
    assert!(same, "docs/CONFORMANCE.md differs from line {differs:?} on; run KHOANH_BLESS=1 scripts/test conformance");
}
