//! Packs whose frames are codestreams: made by policy alone, and what was received comes back bit for bit.

use super::decode::{EXPLICIT_BE, EXPLICIT_LE, data_set, native, store};
use super::packs::{packing, read};
use super::{Bench, uid, until};
use crate::{Compression, InstanceRow, Target};
use model::{Caller, Home, Scope};
use std::sync::atomic::AtomicBool;

/// How a JPEG-LS codestream begins (ISO 14495-1 C.1).
const BEGINS: [u8; 4] = [0xFF, 0xD8, 0xFF, 0xF7];
const FRAMES: u16 = 1_500;

fn compressing(rules: Vec<Compression>) -> Bench {
    let Bench { archive, mut options, folder } = packing();
    archive.close(std::time::Duration::from_secs(20)).expect("close");
    drop(archive);
    options.packs.compress = rules;
    let archive = crate::Archive::open(options.clone()).expect("open");
    Bench { archive, options, folder }
}

fn rows(bench: &Bench) -> Vec<InstanceRow> {
    let study = Target::Study(uid("1.2.7"));
    bench.archive.select(&Caller::demo(), Scope::Shared, &study).map(|found| found.instances).unwrap_or_default()
}

/// Cells of 15 pixels a frame, rough enough that predictions leave something.
fn cells(low: i32, noise: i32) -> Vec<i32> {
    let mut random = fastrand::Rng::with_seed(4);
    (0..i32::from(FRAMES) * 15).map(|at| low + at % 15 * 40 + random.i32(0..noise)).collect()
}

fn word(cell: i32, big: bool) -> [u8; 2] {
    let [a, b, ..] = cell.to_le_bytes();
    if big { [b, a] } else { [a, b] }
}

/// Data sets of every kind of cell, by SOP Instance UID, with their transfer syntaxes.
fn objects() -> Vec<(String, &'static str, Vec<u8>)> {
    let words = |low: i32, big: bool| cells(low, 64).into_iter().flat_map(|cell| word(cell, big)).collect::<Vec<u8>>();
    let overlay: Vec<u8> = cells(900, 64)
        .into_iter()
        .enumerate()
        .flat_map(|(at, cell)| word(cell | i32::from(at > 9_000) << 15, false))
        .collect();
    let bytes: Vec<u8> = cells(0, 64).into_iter().map(|cell| cell.to_le_bytes()[0]).collect();
    let kinds = [
        (EXPLICIT_LE, false, (16, 12), b"OW", words(900, false)),
        (EXPLICIT_LE, false, (16, 16), b"OW", words(-700, false)),
        (EXPLICIT_BE, true, (16, 16), b"OW", words(-700, true)),
        (EXPLICIT_LE, false, (16, 12), b"OW", overlay),
        (EXPLICIT_LE, false, (8, 8), b"OB", bytes),
    ];
    let made = kinds.into_iter().enumerate().map(|(number, (syntax, big, bits, vr, value))| {
        let sop = format!("1.2.7.1.{}", number + 1);
        let bytes = data_set(&sop, big, FRAMES, bits, &native(big, vr, &value));
        (sop, syntax, bytes)
    });
    made.collect()
}

/// Stores all of them, waits for their pack and gives its bytes.
fn packed(bench: &Bench) -> Vec<u8> {
    for (sop, syntax, bytes) in objects() {
        store(bench, &sop, syntax, &bytes);
    }
    until("packed", || {
        let rows = rows(bench);
        rows.len() == objects().len() && rows.iter().all(|row| matches!(row.home, Home::Pack { .. }))
    });
    let mut all = Vec::new();
    for file in super::packs::pack_files(&bench.options) {
        all.extend(std::fs::read(file).expect("a pack"));
    }
    all
}

fn codestreams(pack: &[u8]) -> usize {
    memchr::memmem::find_iter(pack, &BEGINS).count()
}

#[test]
fn frames_become_codestreams_by_policy_and_every_received_byte_comes_back() {
    let plain = compressing(vec![Compression { modalities: vec!["MG".into()], ..Compression::default() }]);
    let usual = packed(&plain);
    assert_eq!(codestreams(&usual), 0, "no rule fits");
    let bench = compressing(vec![Compression { sources: vec![plain.source().id], ..Compression::default() }]);
    let pack = packed(&bench);
    assert!(codestreams(&pack) >= 4, "{} codestreams", codestreams(&pack));
    assert!(pack.len() < usual.len(), "{} bytes, as usual {}", pack.len(), usual.len());
    let same = |bench: &Bench| {
        for (sop, _, bytes) in objects() {
            let row = rows(bench).into_iter().find(|row| row.sop_instance.as_str() == sop).expect("known");
            assert!(read(bench, &row).expect("read") == bytes, "{sop} differs");
        }
    };
    same(&bench);
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((report.instances, report.damaged), (5, 0), "{report:?}");
    same(&bench.reopen());
}
