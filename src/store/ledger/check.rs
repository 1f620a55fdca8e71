//! The full check: everything below the newest head read again, hashed again and compared.
//!
//! It costs the whole ledger's bytes and one signature check for every head, so it is the scrub's work, not the
//! start's. It runs beside a writer. It deliberately repairs nothing: what does not hold is named.

use super::entries::Record;
use super::head::{HEAD, SignedTreeHead};
use super::layout::{HEADER, Header, Kind};
use super::merkle::{Frontier, leaf_hash};
use super::tree::{Place, leaf_offset};
use super::view::LedgerView;
use crate::StoreError;

/// What was read and found in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Entries.
    pub entries: u64,
    /// Signed heads.
    pub heads: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// How far the check has come.
struct Progress {
    frontier: Frontier,
    /// Where the next record must lie, unless it begins a new file.
    next: Place,
    sequence: u64,
    heads: u64,
    time_ms: u64,
}

impl LedgerView {
    /// Reads everything below the newest head: each entry against its leaf, each node against its children, each
    /// head's root and signature. `Corrupt` names the first place that does not hold.
    pub fn check(&self) -> Result<Checked, StoreError> {
        let newest = *self.newest.read();
        let size = newest.size();
        self.check_headers()?;
        let start = Place { file: 0, offset: u32::try_from(HEADER).unwrap_or(u32::MAX) };
        let mut progress = Progress { frontier: Frontier::default(), next: start, sequence: 0, heads: 0, time_ms: 0 };
        self.check_heads(&mut progress, newest.count)?;
        let mut bytes = HEADER;
        for index in 0..size {
            let (place, record) = self.record(index)?;
            if place != progress.next {
                bytes += self.check_new_file(&progress, place, index)?;
            }
            self.check_record(&mut progress, place, &record)?;
            self.check_heads(&mut progress, newest.count)?;
            bytes += record.len();
        }
        if progress.heads != newest.count {
            return Err(self.corrupt_head(progress.heads, "a head over entries that are not there"));
        }
        bytes += leaf_offset(size) + HEADER + newest.count * HEAD;
        Ok(Checked { entries: size, heads: newest.count, bytes })
    }

    fn check_headers(&self) -> Result<(), StoreError> {
        Header::read(self.heads.file(), Kind::Heads)?;
        Header::read(self.tree.file(), Kind::Tree)?;
        let file = self.entries.file(0)?;
        self.entries.header(&file, 0).map(|_| ())
    }

    /// A record that does not follow the one before must begin the next file. Answers the header's bytes.
    fn check_new_file(&self, progress: &Progress, place: Place, index: u64) -> Result<u64, StoreError> {
        let misplaced = |what| {
            let at = u64::from(place.offset);
            StoreError::corrupt(&self.entries.path(place.file), at, index, what)
        };
        if Some(place.file) != progress.next.file.checked_add(1) || u64::from(place.offset) != HEADER {
            return Err(misplaced("a record that does not follow the one before"));
        }
        let file = self.entries.file(place.file)?;
        if self.entries.header(&file, place.file)?.first != index {
            return Err(misplaced("a file that begins with another entry than its header says"));
        }
        Ok(HEADER)
    }

    fn check_record(&self, progress: &mut Progress, place: Place, record: &Record) -> Result<(), StoreError> {
        let (index, at) = (record.head.index, u64::from(place.offset));
        let bad = |what| StoreError::corrupt(&self.entries.path(place.file), at, index, what);
        if record.head.sequence <= progress.sequence {
            return Err(bad("a sequence number that does not rise"));
        }
        if record.head.signed > index {
            return Err(bad("an entry signed before it was written"));
        }
        let (mut level, mut failed) = (0, None);
        progress.frontier.push(leaf_hash(&record.bytes), |hash| {
            level += 1;
            let stored = self.tree.node(level, index >> level);
            let compared = stored.and_then(|stored| {
                let other =
                    || StoreError::corrupt(&self.tree.file().path, 0, index, "a node that is not its children's");
                if stored == *hash { Ok(()) } else { Err(other()) }
            });
            if let Err(error) = compared {
                failed.get_or_insert(error);
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        progress.sequence = record.head.sequence;
        let end = u32::try_from(at + record.len()).map_err(|_| bad("a record beyond what a place can say"))?;
        progress.next = Place { file: place.file, offset: end };
        Ok(())
    }

    /// Checks every head over exactly the entries so far.
    fn check_heads(&self, progress: &mut Progress, count: u64) -> Result<(), StoreError> {
        while progress.heads < count {
            let SignedTreeHead { head, .. } = self.heads.read(progress.heads)?;
            if head.size > progress.frontier.size() {
                break;
            }
            let bad = |what| self.corrupt_head(progress.heads, what);
            if head.size < progress.frontier.size() {
                return Err(bad("a head smaller than the one before"));
            }
            if head.root != progress.frontier.root() || head.sequence != progress.sequence {
                return Err(bad("a head over other entries"));
            }
            if head.time_ms < progress.time_ms {
                return Err(bad("a head signed before the one before"));
            }
            self.heads.read_verified(progress.heads)?;
            progress.time_ms = head.time_ms;
            progress.heads += 1;
        }
        Ok(())
    }

    fn corrupt_head(&self, number: u64, what: &'static str) -> StoreError {
        StoreError::corrupt(&self.heads.file().path, HEADER + number * HEAD, number, what)
    }
}
