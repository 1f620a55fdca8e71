//! A few rounds of `kill -9` under 32 parallel streams; `scripts/crash` runs hundreds.

use crate::roundtrip::KHOANH;
use testkit::crash::{Crashing, run};

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let how = Crashing {
        executable: KHOANH.into(),
        folder: folder.path().to_owned(),
        rounds: 5,
        streams: 32,
        seed: fastrand::u64(..1 << 32),
    };
    let summary = run(&how).unwrap_or_else(|error| panic!("seed {}: {error}", how.seed));
    println!("{}", summary.line());
    assert!(summary.is_clean(), "{}\n{:#?}\n{:#?}", summary.line(), summary.lost, summary.problems);
    assert!(summary.packs > 0, "nothing was packed: {}", summary.line());
    assert!(summary.acknowledged > 0, "no object was ever acknowledged: {}", summary.line());
}
