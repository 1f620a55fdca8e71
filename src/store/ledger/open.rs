//! Opening a ledger for writing: find the newest head, check the end, cut what no head covers.
//!
//! What lies beyond the newest head is cut and not kept, sound or not: after a failed sync pages may look whole
//! that the disk lacks, and the caller has it all in its own log. Every record says how many entries were signed
//! when it was written; one that knows of more than the newest head shows that heads are missing, and then nothing
//! is cut and the ledger stays shut.
//! This module deliberately hashes only `log2(size)` nodes and the last entry: the rest is the full check's.

use super::entries::{Entries, numbers};
use super::head::{HEAD, HeadLog};
use super::layout::{HEADER, LogFile};
use super::signer::log_name;
use super::tree::{TreeLog, leaf_offset};
use super::view::{HEADS, LedgerView, Newest, TREE};
use super::{Ledger, LedgerOptions, Opened, Signer, Writer};
use crate::{Disk, Open, StoreError};
use parking_lot::{Mutex, RwLock};
use std::path::Path;
use std::sync::Arc;

/// Where the signed part of the entries ends.
#[derive(Clone, Copy)]
struct End {
    file: u32,
    offset: u64,
}

/// What lies beyond.
#[derive(Default)]
struct Beyond {
    entries: u64,
    bytes: u64,
}

impl Ledger {
    /// Opens the ledger in a directory or begins one.
    ///
    /// `WrongKey` when the signer is not the ledger's own, `Corrupt` when something below the newest head does not
    /// hold or heads are missing, `Locked` while another process writes it.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: LedgerOptions,
        signer: Box<dyn Signer>,
    ) -> Result<(Self, Opened), StoreError> {
        let dir = options.dir.as_path();
        if options.file_bytes > u64::from(u32::MAX) {
            return Err(StoreError::Options("a ledger file holds at most 4 GiB"));
        }
        disk.create_dir(dir).map_err(|e| StoreError::io("create", dir, e))?;
        let lock = disk.lock(&dir.join("LOCK"))?;
        let heads = open_heads(disk.as_ref(), dir, signer.public_key())?;
        if *heads.key() != signer.public_key() {
            let (log, signer) = (log_name(heads.key()), log_name(&signer.public_key()));
            return Err(StoreError::WrongKey { dir: dir.to_owned(), log, signer });
        }
        let newest = Newest::read(&heads)?;
        let (view, writer, opened) =
            if newest.size() == 0 { begin(&disk, dir, heads, newest)? } else { resume(&disk, dir, heads, newest)? };
        let ledger =
            Self { disk, options, view, signer, writer: Mutex::new(writer), signing: Mutex::new(()), _lock: lock };
        ledger.prove_newest_head(newest)?;
        ledger.sync(&mut ledger.writer.lock())?;
        Ok((ledger, opened))
    }

    /// Cuts a torn head and makes sure that the newest whole one is on the disk.
    fn prove_newest_head(&self, newest: Newest) -> Result<(), StoreError> {
        let heads = &self.view.heads;
        if heads.file().len()? > HEADER + newest.count * HEAD {
            heads.file().set_len(HEADER + newest.count * HEAD)?;
        }
        heads.rewrite(newest.count.checked_sub(1).zip(newest.head))
    }
}

/// Opens `heads.log`, or begins it where no ledger is: it is the first file and durable before any other is made.
fn open_heads(disk: &dyn Disk, dir: &Path, key: [u8; 32]) -> Result<HeadLog, StoreError> {
    let path = dir.join(HEADS);
    let names = disk.list(dir).map_err(|e| StoreError::io("list", dir, e))?;
    if names.iter().any(|name| name == HEADS) {
        let file = LogFile::open(disk, &path, Open::Write)?;
        let mut block = [0; 512];
        let begun = file.read_some(&mut block, 0)?;
        if begun != 0 && block != [0; 512] {
            let heads = HeadLog::open(file)?;
            disk.sync_dir(dir).map_err(|e| StoreError::io("sync", dir, e))?;
            return Ok(heads);
        }
    }
    if names.iter().any(|name| name == TREE) || !numbers(disk, dir)?.is_empty() {
        return Err(StoreError::corrupt(&path, 0, 0, "the heads of a ledger that has entries are missing"));
    }
    let heads = HeadLog::create(LogFile::open(disk, &path, Open::Create)?, key)?;
    disk.sync_dir(dir).map_err(|e| StoreError::io("sync", dir, e))?;
    Ok(heads)
}

/// A ledger without signed entries: its other files begin anew.
fn begin(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    heads: HeadLog,
    newest: Newest,
) -> Result<(LedgerView, Writer, Opened), StoreError> {
    // The sync of the header may have failed before a restart: no file may outlast it.
    heads.rewrite(None)?;
    let entries = Entries::new(Arc::clone(disk), dir, *heads.key());
    let end = End { file: 0, offset: HEADER };
    let beyond = survey(disk.as_ref(), dir, &entries, end, &heads, newest)?;
    remove_after(disk.as_ref(), dir, &entries, 0)?;
    let file = entries.create(0, 0)?;
    let tree = TreeLog::create(disk.as_ref(), &dir.join(TREE), heads.key())?;
    let view = LedgerView { heads, tree, entries, newest: RwLock::new(newest) };
    let (frontier, _) = view.verify_end()?;
    let writer =
        Writer { frontier, number: 0, file, offset: HEADER, sequence: 0, full: Vec::new(), made: true, closed: false };
    Ok((view, writer, Opened { size: 0, cut_entries: beyond.entries, cut_bytes: beyond.bytes }))
}

fn resume(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    heads: HeadLog,
    newest: Newest,
) -> Result<(LedgerView, Writer, Opened), StoreError> {
    let tree = TreeLog::open(disk.as_ref(), &dir.join(TREE), Open::Write, heads.key())?;
    let entries = Entries::new(Arc::clone(disk), dir, *heads.key());
    let view = LedgerView { heads, tree, entries, newest: RwLock::new(newest) };
    let (frontier, last) = view.verify_end()?;
    let Some((place, record)) = last else {
        return Err(StoreError::corrupt(&dir.join(HEADS), 0, 0, "a head without entries"));
    };
    let end = End { file: place.file, offset: u64::from(place.offset) + record.len() };
    let file = view.entries.writable(end.file)?;
    let mut beyond = survey(disk.as_ref(), dir, &view.entries, end, &view.heads, newest)?;
    remove_after(disk.as_ref(), dir, &view.entries, end.file)?;
    file.set_len(end.offset)?;
    let nodes = view.tree.file();
    beyond.bytes += nodes.len()?.saturating_sub(leaf_offset(newest.size()));
    nodes.set_len(leaf_offset(newest.size()))?;
    let writer = Writer {
        frontier,
        number: end.file,
        file,
        offset: end.offset,
        sequence: record.head.sequence,
        full: Vec::new(),
        // Files may have gone.
        made: true,
        closed: false,
    };
    Ok((view, writer, Opened { size: newest.size(), cut_entries: beyond.entries, cut_bytes: beyond.bytes }))
}

/// Looks at what lies beyond the signed end before it is cut.
fn survey(
    disk: &dyn Disk,
    dir: &Path,
    entries: &Entries,
    end: End,
    heads: &HeadLog,
    newest: Newest,
) -> Result<Beyond, StoreError> {
    let mut beyond = Beyond::default();
    beyond.bytes += heads.file().len()?.saturating_sub(HEADER + newest.count * HEAD);
    for number in numbers(disk, dir)?.into_iter().filter(|number| *number >= end.file) {
        let mut at = if number == end.file { end.offset } else { HEADER };
        let len = LogFile::open(disk, &entries.path(number), Open::Read)?.len()?;
        beyond.bytes += len.saturating_sub(at);
        while let Some(record) = entries.probe(number, at) {
            if record.head.signed > newest.size() {
                let what = "an entry knows of a newer head: heads are missing";
                return Err(StoreError::corrupt(&heads.file().path, HEADER + newest.count * HEAD, newest.count, what));
            }
            beyond.entries += 1;
            at += record.len();
        }
    }
    Ok(beyond)
}

/// Removes the files of entries after this one.
fn remove_after(disk: &dyn Disk, dir: &Path, entries: &Entries, last: u32) -> Result<(), StoreError> {
    for number in numbers(disk, dir)?.into_iter().filter(|number| *number > last) {
        entries.forget(number);
        let path = entries.path(number);
        disk.remove(&path).map_err(|e| StoreError::io("remove", &path, e))?;
    }
    Ok(())
}
