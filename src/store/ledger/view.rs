//! Reading the ledger: entries, heads and proofs, without a key and beside a running writer.
//!
//! Nothing above the newest signed head is looked at, so what a writer appends meanwhile does not matter: below a
//! head nothing ever changes. Every proof is checked against the head it belongs to before it is handed out.
//! This module deliberately writes nothing, not even to repair.

use super::entries::{Entries, RECORD, Record};
use super::head::{HeadLog, SignedTreeHead};
use super::layout::LogFile;
use super::merkle::{self, Frontier, Hash, leaf_hash};
use super::tree::{Place, TreeLog};
use crate::{Disk, Open, StoreError};
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;

/// Names of the files that exist once.
pub(super) const HEADS: &str = "heads.log";
pub(super) const TREE: &str = "tree.log";

/// The ledger as far as it is signed.
pub struct LedgerView {
    pub(super) heads: HeadLog,
    pub(super) tree: TreeLog,
    pub(super) entries: Entries,
    pub(super) newest: RwLock<Newest>,
}

/// The newest head and how many there are.
#[derive(Clone, Copy, Default)]
pub(super) struct Newest {
    pub(super) count: u64,
    pub(super) head: Option<SignedTreeHead>,
}

impl Newest {
    pub(super) fn read(heads: &HeadLog) -> Result<Self, StoreError> {
        let count = heads.count()?;
        let head = count.checked_sub(1).map(|last| heads.read_verified(last)).transpose()?;
        Ok(Self { count, head })
    }

    pub(super) fn size(&self) -> u64 {
        self.head.map_or(0, |head| head.head.size)
    }
}

/// An entry and what the ledger knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Its place in the ledger, from 0.
    pub index: u64,
    /// The sequence number the caller gave.
    pub sequence: u64,
    /// The entry.
    pub bytes: Vec<u8>,
}

impl LedgerView {
    /// Opens a ledger for reading, also while another process writes it.
    ///
    /// Verifies the newest head's signature, that the tree has its root, and the last entry; costs some
    /// `log2(size)` reads whatever the size. `Io` where no ledger is, `Corrupt` where something does not hold.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, StoreError> {
        let heads = HeadLog::open(LogFile::open(disk.as_ref(), &dir.join(HEADS), Open::Read)?)?;
        let newest = Newest::read(&heads)?;
        let tree = TreeLog::open(disk.as_ref(), &dir.join(TREE), Open::Read, heads.key())?;
        let entries = Entries::new(disk, dir, *heads.key());
        let view = Self { heads, tree, entries, newest: RwLock::new(newest) };
        view.verify_end()?;
        Ok(view)
    }

    /// Checks the newest head against the tree and the last entry; answers the tree's edge and the last record
    /// with its place, if there is one.
    pub(super) fn verify_end(&self) -> Result<(Frontier, Option<(Place, Record)>), StoreError> {
        let size = self.size();
        let frontier = Frontier::read(size, |level, index| self.tree.node(level, index))?;
        if let Some(head) = self.head()
            && frontier.root() != head.head.root
        {
            return Err(self.corrupt_tree("the tree has another root than its newest head"));
        }
        let Some(last) = size.checked_sub(1) else { return Ok((frontier, None)) };
        let (place, record) = self.record(last)?;
        if self.head().is_some_and(|head| head.head.sequence != record.head.sequence) {
            let path = self.entries.path(place.file);
            let at = u64::from(place.offset);
            return Err(StoreError::corrupt(&path, at, last, "another sequence number than the newest head's"));
        }
        Ok((frontier, Some((place, record))))
    }

    fn corrupt_tree(&self, what: &'static str) -> StoreError {
        StoreError::corrupt(&self.tree.file().path, 0, 0, what)
    }

    /// The ledger's public key.
    pub fn public_key(&self) -> &[u8; 32] {
        self.heads.key()
    }

    /// The newest signed head; none before the first.
    pub fn head(&self) -> Option<SignedTreeHead> {
        self.newest.read().head
    }

    /// Number of signed entries.
    pub fn size(&self) -> u64 {
        self.newest.read().size()
    }

    /// The newest head over at most `size` entries, its signature verified.
    pub fn head_up_to(&self, size: u64) -> Result<Option<SignedTreeHead>, StoreError> {
        let count = self.newest.read().count;
        let number = self.heads.newest_up_to(size, count)?;
        number.map(|number| self.heads.read_verified(number)).transpose()
    }

    /// The head over exactly `size` entries, its signature verified. `NotInLedger` when none was signed then.
    pub fn head_at(&self, size: u64) -> Result<SignedTreeHead, StoreError> {
        let head = self.head_up_to(size)?.filter(|head| head.head.size == size);
        head.ok_or(StoreError::NotInLedger {
            what: "signed head over so many entries:",
            asked: size,
            size: self.size(),
        })
    }

    /// A signed entry, compared with its leaf in the tree.
    pub fn entry(&self, index: u64) -> Result<LedgerEntry, StoreError> {
        self.below("entry", index, self.size())?;
        let (_, record) = self.record(index)?;
        Ok(LedgerEntry { index, sequence: record.head.sequence, bytes: record.bytes })
    }

    /// How many signed entries have a sequence number below this one.
    pub fn entries_before(&self, sequence: u64) -> Result<u64, StoreError> {
        let (mut from, mut to) = (0, self.size());
        while from < to {
            let middle = from + (to - from) / 2;
            if self.entry(middle)?.sequence < sequence {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(from)
    }

    /// A record and its place; its bytes hash to the leaf.
    pub(super) fn record(&self, index: u64) -> Result<(Place, Record), StoreError> {
        let (leaf, place) = self.tree.leaf(index)?;
        let record = self.entries.read(place, index)?;
        if leaf_hash(&record.bytes) != leaf {
            let at = u64::from(place.offset) + RECORD;
            return Err(StoreError::corrupt(
                &self.entries.path(place.file),
                at,
                index,
                "an entry that is not its leaf",
            ));
        }
        Ok((place, record))
    }

    /// Root over the first `size` entries, at most those that are signed.
    pub fn root(&self, size: u64) -> Result<Hash, StoreError> {
        self.up_to("tree of size", size, self.size())?;
        merkle::root(size, |level, index| self.tree.node(level, index))
    }

    /// Audit path of entry `index` in the tree over the first `size` entries (RFC 9162, 2.1.3).
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
        self.up_to("tree of size", size, self.size())?;
        self.below("entry", index, size)?;
        let path = merkle::inclusion(index, size, |level, index| self.tree.node(level, index))?;
        let (leaf, _) = self.tree.leaf(index)?;
        if !merkle::verify_inclusion(index, size, &leaf, &path, &self.root(size)?) {
            return Err(self.corrupt_tree("the nodes of an inclusion proof do not fit together"));
        }
        Ok(path)
    }

    /// Proof that the first `first` entries are the beginning of the first `second` (RFC 9162, 2.1.4).
    pub fn consistency(&self, first: u64, second: u64) -> Result<Vec<Hash>, StoreError> {
        self.up_to("tree of size", second, self.size())?;
        self.up_to("earlier tree of size", first, second)?;
        let path = merkle::consistency(first, second, |level, index| self.tree.node(level, index))?;
        if !merkle::verify_consistency(first, second, &self.root(first)?, &self.root(second)?, &path) {
            return Err(self.corrupt_tree("the nodes of a consistency proof do not fit together"));
        }
        Ok(path)
    }

    fn below(&self, what: &'static str, asked: u64, size: u64) -> Result<(), StoreError> {
        if asked < size { Ok(()) } else { Err(StoreError::NotInLedger { what, asked, size }) }
    }

    fn up_to(&self, what: &'static str, asked: u64, size: u64) -> Result<(), StoreError> {
        if asked <= size { Ok(()) } else { Err(StoreError::NotInLedger { what, asked, size }) }
    }
}
