//! A journal segment of any bytes: it opens or is refused by name, and what it replays can be read.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Body, Journal, JournalOptions, Record, StoreError};
use testkit::disk::SimDisk;

fn options() -> JournalOptions {
    JournalOptions { segment_bytes: 64 << 10, reserve_bytes: 0, ..JournalOptions::new(vec![PathBuf::from("/j")]) }
}

/// A good journal with a few records, to be damaged.
fn journal() -> SimDisk {
    let disk = SimDisk::new();
    let (journal, _) = Journal::open(Arc::new(disk.clone()), options()).expect("an empty disk");
    for number in 0..4u8 {
        let record = Record { head: vec![number; 40], body: Body::Inline(vec![vec![number; 300].into()]) };
        journal.append(&[record]).expect("appended");
        if number < 3 {
            journal.sync().expect("synced");
        }
    }
    disk
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let disk = journal();
    let path = disk.files().into_iter().find(|path| path.starts_with(Path::new("/j"))).expect("a segment");
    disk.damage(&path, |bytes| {
        // Triples of place (2 bytes) and value, from the start of the file.
        for change in data.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
            if let Some(byte) = bytes.get_mut(at) {
                *byte = change[2];
            }
        }
    });
    let Ok((journal, _)) = Journal::open(Arc::new(disk), options()) else { return };
    let _ = journal.replay::<StoreError>(1, &mut |replayed| {
        let _ = journal.read(&replayed.place, 0..replayed.place.body_len);
        Ok(())
    });
});
