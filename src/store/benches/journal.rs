//! How fast the journal makes records durable on this machine: `cargo bench -p khoanh-store -- [DIR [MEASURE]]`.
//!
//! Promise: small synced appends near the disk's own synced rate for one caller and many times that in
//! batches, large bodies near its sequential rate, and less than three bytes written per byte received.
//! It deliberately measures the journal alone: no scanning, no index.

use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use store::{Body, Journal, JournalOptions, RealDisk, Record};

/// Length of a head like that of a stored instance, in bytes.
const HEAD: usize = 1500;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let base = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let only = arguments.next().unwrap_or_default();
    let dir = tempfile::tempdir_in(&base).expect("a folder to measure in");
    println!("{:<44} {:>10} {:>9} {:>9} {:>8}", "measure", "records/s", "MB/s", "written", "CPU s/GB");
    for (name, body, batch, count) in [
        ("6 KB, 1 per sync", 6_000, 1, 12_000),
        ("6 KB, 4 per sync", 6_000, 4, 24_000),
        ("6 KB, 16 per sync", 6_000, 16, 60_000),
        ("512 KiB, 1 per sync", 512 << 10, 1, 3_000),
        ("512 KiB, 4 per sync", 512 << 10, 4, 3_000),
        ("8 MiB, 1 per sync", 8 << 20, 1, 200),
    ] {
        if !name.contains(&only) {
            continue;
        }
        run(dir.path().join(format!("{body}-{batch}")), name, body, batch, count, None);
        run(dir.path().join(format!("{body}-{batch}-b")), &format!("{name}, one ahead"), body, batch, count, Some(()));
    }
    if !"own file".contains(&only) {
        return;
    }
    blob(dir.path().join("blob"), 64 << 20, 16);
    blob(dir.path().join("blob27"), 27 << 20, 32);
}

fn open(dir: PathBuf) -> Journal {
    Journal::open(Arc::new(RealDisk), JournalOptions::new(vec![dir])).expect("open").0
}

fn records(body: usize, batch: usize) -> Vec<Record> {
    let mut random = fastrand::Rng::with_seed(7);
    let bytes: Vec<u8> = (0..body).map(|_| random.u8(..)).collect();
    let bytes = Bytes::from(bytes);
    // Text that compresses about as a head does.
    let head: Vec<u8> = (0..HEAD).map(|_| *random.choice(b"0123456789ABCDEF\"\":,").unwrap_or(&b'0')).collect();
    let pieces = |bytes: &Bytes| bytes.chunks(16 << 10).map(|piece| bytes.slice_ref(piece)).collect();
    (0..batch).map(|_| Record { head: head.clone(), body: Body::Inline(pieces(&bytes)) }).collect()
}

/// Appends and syncs; with `ahead` the next batch is appended while the sync runs.
fn run(dir: PathBuf, name: &str, body: usize, batch: usize, count: usize, ahead: Option<()>) {
    let journal = open(dir.clone());
    let records = records(body, batch);
    let (written, cpu, start) = (written_bytes(), cpu_seconds(), Instant::now());
    let rounds = count / batch;
    match ahead {
        None => {
            for _ in 0..rounds {
                journal.append(&records).expect("append");
                journal.sync().expect("sync");
            }
        }
        Some(()) => {
            let (send, receive) = crossbeam_channel::bounded::<()>(1);
            std::thread::scope(|scope| {
                scope.spawn(|| receive.iter().for_each(|()| assert!(journal.sync().expect("sync") > 0)));
                for _ in 0..rounds {
                    journal.append(&records).expect("append");
                    send.send(()).expect("the committer runs");
                }
                drop(send);
            });
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    report(name, (body * count) as f64, count as f64, seconds, written_bytes() - written, cpu_seconds() - cpu);
    drop(journal);
    std::fs::remove_dir_all(dir).expect("tidy");
}

fn blob(dir: PathBuf, size: usize, count: usize) {
    let journal = open(dir.clone());
    let piece: Vec<u8> = (0..64 << 10).map(|at| (at % 251) as u8).collect();
    let (written, cpu, start) = (written_bytes(), cpu_seconds(), Instant::now());
    for _ in 0..count {
        let mut writer = journal.blob().expect("blob");
        for _ in 0..size / piece.len() {
            writer.write(&piece).expect("write");
        }
        let body = Body::Blob(writer.finish().expect("finish"));
        journal.append(&[Record { head: vec![7; HEAD], body }]).expect("append");
        journal.sync().expect("sync");
    }
    let seconds = start.elapsed().as_secs_f64();
    let name = format!("{} MiB, own file", size >> 20);
    report(&name, (size * count) as f64, count as f64, seconds, written_bytes() - written, cpu_seconds() - cpu);
    drop(journal);
    std::fs::remove_dir_all(dir).expect("tidy");
}

fn report(name: &str, bytes: f64, count: f64, seconds: f64, written: u64, cpu: f64) {
    let (rate, speed, ratio) = (count / seconds, bytes / seconds / 1e6, written as f64 / bytes);
    println!("{name:<44} {rate:>10.0} {speed:>9.0} {ratio:>8.2}x {:>8.2}", cpu / bytes * 1e9);
}

/// Bytes this process caused to be written, from the kernel's own count.
fn written_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// User and system time of this process (proc(5), fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = text.rsplit(") ").next().unwrap_or("");
    let ticks = |at: usize| rest.split(' ').nth(at).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
