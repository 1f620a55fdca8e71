//! What the tests share: a small ledger on a simulated disk, and entries whose text follows from their number.

use crate::disk::SimDisk;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::ledger::{KeyFile, NewEntry, Opened, Signer};
use store::{Disk, Ledger, LedgerOptions, LedgerView, StoreError};

pub(crate) const SEED: [u8; 32] = [7; 32];
/// When the first head is signed, in milliseconds since 1970.
pub(crate) const MORNING: u64 = 1_790_000_000_000;

pub(crate) fn dir() -> &'static Path {
    Path::new("/ledger")
}

/// Small files, so that a test crosses many.
pub(crate) fn options() -> LedgerOptions {
    LedgerOptions { dir: dir().to_owned(), file_bytes: 2000 }
}

pub(crate) fn signer() -> Box<dyn Signer> {
    Box::new(KeyFile::from_seed(&SEED).expect("key"))
}

pub(crate) fn try_open(disk: &SimDisk) -> Result<(Ledger, Opened), StoreError> {
    Ledger::open(Arc::new(disk.clone()), options(), signer())
}

pub(crate) fn open(disk: &SimDisk) -> (Ledger, Opened) {
    try_open(disk).expect("open")
}

pub(crate) fn view(disk: &SimDisk) -> Result<LedgerView, StoreError> {
    LedgerView::open(Arc::new(disk.clone()), dir())
}

/// The entry with a sequence number; lengths differ.
pub(crate) fn text(sequence: u64) -> String {
    let padding = "é".repeat(usize::try_from(sequence * 7 % 40).expect("small"));
    format!("{{\"kind\":\"stored\",\"digest\":\"{sequence:08x}\",\"note\":\"{padding}\"}}")
}

/// Appends entries of these sequence numbers in one call.
pub(crate) fn append(ledger: &Ledger, sequences: impl Iterator<Item = u64>) -> Result<Vec<Option<u64>>, StoreError> {
    let texts: Vec<(u64, String)> = sequences.map(|sequence| (sequence, text(sequence))).collect();
    let entries: Vec<NewEntry<'_>> =
        texts.iter().map(|(sequence, text)| NewEntry { sequence: *sequence, bytes: text.as_bytes() }).collect();
    ledger.append(&entries)
}

/// A ledger with entries 1 to `last`, a head after every third, and one at the end.
pub(crate) fn filled(last: u64) -> SimDisk {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk);
    for sequence in 1..=last {
        append(&ledger, sequence..=sequence).expect("append");
        if sequence % 3 == 0 || sequence == last {
            ledger.sync_and_sign(MORNING + sequence).expect("sign");
        }
    }
    disk
}

/// Every entry is there, as it was given.
pub(crate) fn assert_entries(view: &LedgerView, last: u64) {
    assert_eq!(view.size(), last);
    for index in 0..last {
        let entry = view.entry(index).expect("entry");
        assert_eq!((entry.index, entry.sequence), (index, index + 1));
        assert_eq!(entry.bytes, text(index + 1).as_bytes());
    }
}

/// The ledger's files on the simulated disk.
pub(crate) fn files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.starts_with(dir())).collect()
}

pub(crate) fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}
