//! How fast the ledger appends, opens and proves: `cargo bench -p khoanh-store --bench ledger -- [DIR [ENTRIES]]`.
//!
//! Promise: what a proof and a start cost hardly grows with the ledger. It deliberately measures the ledger alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use store::ledger::{KeyFile, NewEntry};
use store::{Ledger, LedgerOptions, LedgerView, RealDisk};

/// Entries between two heads.
const BATCH: u64 = 1000;
/// Proofs made of each kind.
const PROOFS: u32 = 10_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let base = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let entries: u64 = arguments.next().map_or(1_000_000, |number| number.parse().expect("a number of entries"));
    let folder = tempfile::tempdir_in(&base).expect("a folder to measure in");
    let dir = folder.path().join("ledger");
    let open = || {
        let key = Box::new(KeyFile::open_or_create(&folder.path().join("ledger.key")).expect("key"));
        Ledger::open(Arc::new(RealDisk), LedgerOptions::new(dir.clone()), key).expect("open").0
    };

    let ledger = open();
    let start = Instant::now();
    let mut appending = 0.0;
    for from in (1..=entries).step_by(1000) {
        let texts: Vec<String> = (from..from + BATCH).map(text).collect();
        let batch: Vec<NewEntry<'_>> =
            (from..).zip(&texts).map(|(sequence, text)| NewEntry { sequence, bytes: text.as_bytes() }).collect();
        let begun = Instant::now();
        ledger.append(&batch).expect("append");
        appending += begun.elapsed().as_secs_f64();
        ledger.sync_and_sign(from).expect("sign");
    }
    let all = start.elapsed().as_secs_f64();
    let size = ledger.view().size();
    println!("{size} entries of {} bytes", text(1).len());
    println!("append alone                 {:>12.0} entries/s", size as f64 / appending);
    println!("with a head every {BATCH}       {:>12.0} entries/s", size as f64 / all);

    let begun = Instant::now();
    for head in 0..200 {
        let text = text(entries * 2 + head);
        ledger.append(&[NewEntry { sequence: entries * 2 + head, bytes: text.as_bytes() }]).expect("append");
        ledger.sync_and_sign(entries).expect("sign");
    }
    println!("a head for every entry       {:>12.2} ms", begun.elapsed().as_secs_f64() * 1e3 / 200.0);

    drop(ledger);
    let begun = Instant::now();
    let ledger = open();
    println!("open                         {:>12.2} ms", begun.elapsed().as_secs_f64() * 1e3);
    prove(ledger.view());
    let begun = Instant::now();
    let checked = ledger.view().check().expect("whole");
    let seconds = begun.elapsed().as_secs_f64();
    println!("full check                   {:>12.0} entries/s", checked.entries as f64 / seconds);
    println!("                             {:>12.1} s, {} MB", seconds, checked.bytes >> 20);
}

fn prove(view: &LedgerView) {
    let mut random = fastrand::Rng::with_seed(7);
    let size = view.size();
    let mut each = |name: &str, work: &mut dyn FnMut(u64)| {
        let begun = Instant::now();
        for _ in 0..PROOFS {
            work(random.u64(1..size));
        }
        println!("{name:<28} {:>12.1} µs", begun.elapsed().as_secs_f64() * 1e6 / f64::from(PROOFS));
    };
    each("read an entry", &mut |index| drop(view.entry(index).expect("entry")));
    each("inclusion proof", &mut |index| drop(view.inclusion(index, size).expect("proof")));
    each("consistency proof", &mut |first| drop(view.consistency(first, size).expect("proof")));
    each("inclusion document", &mut |index| drop(view.proof_document(index).expect("proof")));
}

/// About what an entry about a packed series says.
fn text(sequence: u64) -> String {
    format!(
        "{{\"bytes\":{},\"digest\":\"{:064x}\",\"facility\":\"79024\",\"instances\":512,\"kind\":\"packed\",\
         \"pack\":\"{:032x}\",\"series\":\"{:064x}\",\"study\":\"{:064x}\",\"time\":1790000000000}}",
        sequence * 524_288,
        sequence,
        sequence + 1,
        sequence + 2,
        sequence + 3
    )
}
