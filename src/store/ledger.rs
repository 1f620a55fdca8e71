//! The ledger: an append-only Merkle log (RFC 9162) of what must be provable for decades, with signed heads.
//!
//! An entry is text that the caller gives, and the caller's sequence number; a head signs the root over all entries
//! so far. From a head anybody can prove offline that an entry was in, and from two heads that nothing before the
//! first was changed or removed.
//!
//! The files in its directory: `entries-<n>.log` (module `entries`), `tree.log` (module `tree`), `heads.log`
//! (module `head`). The order of writes: entries and nodes, their sync, the head, its sync; only then the head is
//! handed out. What lies beyond the newest head was promised to nobody: opening cuts it, and the caller appends it
//! again from its own log, starting after [`Ledger::last_sequence`]. An entry that is already in is not
//! logged twice.
//!
//! The module deliberately knows nothing of what entries say, and has no clock.

mod check;
mod document;
mod entries;
mod head;
mod layout;
mod merkle;
mod open;
mod signer;
mod token;
mod tree;
mod view;

pub use check::Checked;
pub use entries::ENTRY_BYTES_MAX;
pub use head::{SignedTreeHead, TreeHead};
pub use merkle::{Hash, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion};
pub use signer::{KeyFile, Signer, log_id, log_name, verify_signature};
pub use token::{Token, TokenOptions};
pub use view::{LedgerEntry, LedgerView};

use crate::{Disk, StoreError};
use entries::{RECORD, put_record};
use layout::{HEADER, LogFile};
use merkle::{Frontier, leaf_hash as leaf};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use tree::{Place, leaf_offset, put_leaf, put_node};

/// Default size from which a file of entries is followed by a new one, in bytes.
pub const FILE_BYTES: u64 = 1 << 30;
/// Bytes gathered before they are written, so that a large batch does not stand in memory twice.
const RUN_BYTES: usize = 1 << 20;

/// How a ledger is kept.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Its directory; made when missing.
    pub dir: PathBuf,
    /// Size from which a file of entries is followed by a new one, in bytes; at most 4 GiB.
    pub file_bytes: u64,
}

impl LedgerOptions {
    /// The defaults for a directory.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, file_bytes: FILE_BYTES }
    }
}

/// What opening found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Signed entries.
    pub size: u64,
    /// Whole entries that no head covers, cut away: the caller appends them again.
    pub cut_entries: u64,
    /// Bytes cut away from all files: these entries, their nodes and torn writes.
    pub cut_bytes: u64,
}

/// An entry to append.
#[derive(Debug, Clone, Copy)]
pub struct NewEntry<'a> {
    /// The caller's sequence number, from 1; rising from entry to entry.
    pub sequence: u64,
    /// The entry: UTF-8 text of at most [`ENTRY_BYTES_MAX`] bytes, canonical JSON by custom.
    pub bytes: &'a [u8],
}

/// A ledger open for writing; one process at a time.
pub struct Ledger {
    disk: Arc<dyn Disk>,
    options: LedgerOptions,
    view: LedgerView,
    signer: Box<dyn Signer>,
    writer: Mutex<Writer>,
    /// Held while a head is made, so that appending goes on while a slow token signs.
    signing: Mutex<()>,
    // Dropping it gives the directory back.
    _lock: Box<dyn Send + Sync>,
}

/// Where the next entry goes.
struct Writer {
    frontier: Frontier,
    number: u32,
    file: LogFile,
    offset: u64,
    sequence: u64,
    /// Files that are full and not synced.
    full: Vec<LogFile>,
    /// A file was made whose name is not durable.
    made: bool,
    /// A write or sync failed: what the disk holds beyond the newest head is unknown.
    closed: bool,
}

/// Bytes of one append that are not written yet.
struct Runs {
    entries: Vec<u8>,
    tree: Vec<u8>,
    tree_start: u64,
}

impl Ledger {
    /// Everything that is read: entries, heads, proofs, the full check.
    pub fn view(&self) -> &LedgerView {
        &self.view
    }

    /// Sequence number of the newest entry, signed or not; 0 without any. Appending goes on after it.
    pub fn last_sequence(&self) -> u64 {
        self.writer.lock().sequence
    }

    /// Appends entries and answers the index of each, none where its sequence number is already in. Nothing is
    /// durable or provable before [`Ledger::sync_and_sign`].
    ///
    /// `Entry` where sequence numbers do not rise within the call or an entry is no text or too long: nothing of
    /// the call was appended. `Io` closes the ledger: open it again.
    pub fn append(&self, entries: &[NewEntry<'_>]) -> Result<Vec<Option<u64>>, StoreError> {
        check_entries(entries)?;
        let mut writer = self.writer.lock();
        writer.usable()?;
        let appended = self.write(&mut writer, entries);
        writer.closed |= appended.is_err();
        appended
    }

    fn write(&self, writer: &mut Writer, entries: &[NewEntry<'_>]) -> Result<Vec<Option<u64>>, StoreError> {
        let signed = self.view.size();
        let mut runs = Runs { entries: Vec::new(), tree: Vec::new(), tree_start: leaf_offset(writer.frontier.size()) };
        let mut indexes = Vec::with_capacity(entries.len());
        for entry in entries {
            if entry.sequence <= writer.sequence {
                indexes.push(None);
                continue;
            }
            let len = RECORD + entry.bytes.len() as u64;
            let at = writer.offset + runs.entries.len() as u64;
            if at > HEADER && at + len > self.options.file_bytes {
                self.flush(writer, &mut runs)?;
                self.next_file(writer)?;
            } else if runs.entries.len() >= RUN_BYTES {
                self.flush(writer, &mut runs)?;
            }
            let index = writer.frontier.size();
            let offset = writer.offset + runs.entries.len() as u64;
            let offset = u32::try_from(offset).map_err(|_| StoreError::Options("a ledger file beyond 4 GiB"))?;
            put_record(&mut runs.entries, index, entry.sequence, signed, entry.bytes);
            let hash = leaf(entry.bytes);
            put_leaf(&mut runs.tree, runs.tree_start, &hash, Place { file: writer.number, offset });
            writer.frontier.push(hash, |node| put_node(&mut runs.tree, runs.tree_start, node));
            writer.sequence = entry.sequence;
            indexes.push(Some(index));
        }
        self.flush(writer, &mut runs)?;
        Ok(indexes)
    }

    fn flush(&self, writer: &mut Writer, runs: &mut Runs) -> Result<(), StoreError> {
        if !runs.entries.is_empty() {
            writer.file.write(&runs.entries, writer.offset)?;
            writer.offset += runs.entries.len() as u64;
            self.view.tree.file().write(&runs.tree, runs.tree_start)?;
            runs.tree_start += runs.tree.len() as u64;
            runs.entries.clear();
            runs.tree.clear();
        }
        Ok(())
    }

    fn next_file(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let number = writer.number.checked_add(1).ok_or(StoreError::Options("no number left for a ledger file"))?;
        let file = self.view.entries.create(number, writer.frontier.size())?;
        writer.full.push(std::mem::replace(&mut writer.file, file));
        writer.made = true;
        (writer.number, writer.offset) = (number, HEADER);
        Ok(())
    }

    /// Makes everything appended so far durable and signs a head over it, with one sync per file for all entries
    /// that wait. Without new entries the newest head is the answer.
    ///
    /// `now_ms` is the time in milliseconds since 1970; a head is never dated before the one before it.
    /// `Signer` when the key could not sign: nothing is lost, ask again. `Io` closes the ledger: open it again.
    pub fn sync_and_sign(&self, now_ms: u64) -> Result<SignedTreeHead, StoreError> {
        let _one_at_a_time = self.signing.lock();
        let newest = *self.view.newest.read();
        let head = match self.sync_for_head(newest, now_ms)? {
            Some(head) => head,
            None => return newest.head.ok_or(StoreError::LedgerClosed),
        };
        let signed = SignedTreeHead { head, signature: self.signer.sign(head.text().as_bytes())? };
        let key = self.view.public_key();
        if !signed.verify(key) {
            // A token that lost its key, or a line that flips bits: such a head would prove nothing.
            let what = "the signature does not belong to the ledger's key".into();
            return Err(StoreError::Signer { place: log_name(key), what });
        }
        if let Err(error) = self.view.heads.write(newest.count, &signed) {
            self.writer.lock().closed = true;
            return Err(error);
        }
        *self.view.newest.write() = view::Newest { count: newest.count + 1, head: Some(signed) };
        Ok(signed)
    }

    /// Makes what is appended durable and answers the head to sign over it; none when the newest one covers it.
    fn sync_for_head(&self, newest: view::Newest, now_ms: u64) -> Result<Option<TreeHead>, StoreError> {
        let mut writer = self.writer.lock();
        writer.usable()?;
        let size = writer.frontier.size();
        if newest.head.is_some_and(|head| head.head.size == size) {
            return Ok(None);
        }
        let synced = self.sync(&mut writer);
        writer.closed |= synced.is_err();
        synced?;
        let before = newest.head.map_or(0, |head| head.head.time_ms);
        Ok(Some(TreeHead {
            log: log_id(self.view.public_key()),
            size,
            root: writer.frontier.root(),
            sequence: writer.sequence,
            time_ms: now_ms.max(before),
        }))
    }

    fn sync(&self, writer: &mut Writer) -> Result<(), StoreError> {
        while let Some(file) = writer.full.last() {
            file.sync()?;
            writer.full.pop();
        }
        writer.file.sync()?;
        self.view.tree.file().sync()?;
        if writer.made {
            let dir = &self.options.dir;
            self.disk.sync_dir(dir).map_err(|e| StoreError::io("sync", dir, e))?;
            writer.made = false;
        }
        Ok(())
    }
}

impl Writer {
    fn usable(&self) -> Result<(), StoreError> {
        if self.closed { Err(StoreError::LedgerClosed) } else { Ok(()) }
    }
}

fn check_entries(entries: &[NewEntry<'_>]) -> Result<(), StoreError> {
    let mut before = 0;
    for entry in entries {
        let refused = |what| Err(StoreError::Entry { sequence: entry.sequence, what });
        if entry.sequence <= before {
            return refused("its sequence number does not rise");
        }
        if entry.bytes.len() > ENTRY_BYTES_MAX {
            return refused("longer than an entry may be");
        }
        if std::str::from_utf8(entry.bytes).is_err() {
            return refused("not UTF-8 text");
        }
        before = entry.sequence;
    }
    Ok(())
}
