//! The journal: numbered records that survive whatever happens to the machine.
//!
//! Records are appended in batches to preallocated segment files and made durable by [`Journal::sync`], one
//! sync for everything appended before it; a batch forms while the previous sync runs. Every record names
//! the newest record proven synced when it was written, so start-up knows which damage is an ordinary torn
//! tail and which is corruption.
//!
//! The layout of the bytes is in `journal/layout.rs`. What start-up does is in `journal/recover.rs`.
//! The journal deliberately does not know what a head means; it never deletes a record by itself: whole
//! segments go when [`Journal::release`] says so.

mod batch;
mod head;
mod image;
mod layout;
mod mirror;
mod pair;
mod read;
mod recover;
mod replay;
mod resync;
mod scan;
mod survey;
mod writer;

pub use image::{Image, ImageFile};
pub use mirror::Alarm;
pub use recover::{Recovery, Torn};
pub use replay::Replayed;

pub(crate) use layout::CHUNK;
pub use layout::ChunkSums;
pub(crate) use mirror::{BLOB_DIR, Files, Mirror};

use crate::{BlobWriter, Disk, FinishedBlob, StoreError};
use bytes::Bytes;
use layout::SegmentHeader;
use model::{Lsn, Place};
use pair::Pair;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use writer::Writer;

/// How a journal is kept.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// One directory, or two that are written alike.
    pub dirs: Vec<PathBuf>,
    /// Size of a segment file in bytes.
    pub segment_bytes: u64,
    /// Bodies longer than this, in bytes, should go to a file of their own ([`Journal::blob`]).
    pub blob_above: u64,
    /// Appends are refused while fewer bytes than this are free.
    pub reserve_bytes: u64,
    /// The same for [`Journal::append_own`]: less, so that what gives space back goes on when nothing is taken any more.
    pub own_reserve_bytes: u64,
    /// Free segments kept for reuse; more are removed.
    pub spare_segments: usize,
}

impl JournalOptions {
    /// The defaults: 256 MiB segments, own files above 16 MiB, 1 GiB kept free, 64 MiB by the archive's own records.
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        let (segment_bytes, blob_above) = (256 << 20, 16 << 20);
        let (reserve_bytes, own_reserve_bytes) = (1 << 30, 64 << 20);
        Self { dirs, segment_bytes, blob_above, reserve_bytes, own_reserve_bytes, spare_segments: 4 }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.dirs.is_empty() || self.dirs.len() > 2 {
            return Err(StoreError::Options("there must be one directory or two"));
        }
        if let [one, two] = self.dirs.as_slice()
            && one == two
        {
            return Err(StoreError::Options("the two directories are the same"));
        }
        if self.segment_bytes < 64 << 10 || !self.segment_bytes.is_multiple_of(layout::BLOCK) {
            return Err(StoreError::Options("segments must be a multiple of 4 KiB and at least 64 KiB"));
        }
        if self.blob_above > self.segment_bytes / 2 {
            return Err(StoreError::Options(
                "bodies up to half a segment may lie in it, longer ones need their own file",
            ));
        }
        Ok(())
    }
}

/// One record to append.
#[derive(Debug)]
pub struct Record {
    /// The fact.
    pub head: Vec<u8>,
    /// The bytes it speaks of.
    pub body: Body,
}

/// The body of a record.
#[derive(Debug)]
pub enum Body {
    /// No body.
    None,
    /// Bytes that go into the segment.
    Inline(Vec<Bytes>),
    /// The same, summed up already: while they arrived they were at hand.
    Summed(Vec<Bytes>, ChunkSums),
    /// Bytes already synced in their own file.
    Blob(FinishedBlob),
}

impl Body {
    /// The bytes that go into the segment; none when the body lies elsewhere.
    pub fn pieces(&self) -> Option<&[Bytes]> {
        match self {
            Self::Inline(pieces) | Self::Summed(pieces, _) => Some(pieces),
            Self::None | Self::Blob(_) => None,
        }
    }
}

/// A segment in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u32,
    /// Its generation.
    pub generation: u32,
    /// The first record number it can hold.
    pub first_lsn: Lsn,
    /// Whether new records go there.
    pub active: bool,
}

pub(crate) struct Shared {
    pub(crate) mirror: Mirror,
    pub(crate) options: JournalOptions,
    segments: RwLock<HashMap<u32, SegmentHeader>>,
    synced: Arc<AtomicU64>,
    /// Number of the next record; never ahead of the writer's.
    pub(crate) next_lsn: AtomicU64,
    /// Bytes left in the active segment, known without waiting for the writer.
    pub(crate) room: AtomicU64,
    /// What the next sync is for. Not the writer's: a sync must not wait for an append that goes straight to the disk.
    pub(crate) unsynced: Mutex<Unsynced>,
    poisoned: AtomicBool,
}

/// Whose records are to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// What comes from outside.
    Senders,
    /// The archive's own: with them space becomes free.
    Own,
}

/// What was written and not synced.
#[derive(Default)]
pub(crate) struct Unsynced {
    /// The newest record of which everything is written.
    pub(crate) last: Lsn,
    /// The files to sync, in the order of their records.
    files: Vec<Arc<Files>>,
}

impl Unsynced {
    /// Something in the file was written.
    pub(crate) fn add(&mut self, files: &Arc<Files>) {
        if !self.files.last().is_some_and(|last| Arc::ptr_eq(last, files)) {
            self.files.push(Arc::clone(files));
        }
    }

    /// Everything was synced otherwise, up to this record.
    pub(crate) fn settle(&mut self, last: Lsn) {
        self.files.clear();
        self.last = last;
    }
}

impl Shared {
    pub(crate) fn refuse_when_poisoned(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Acquire) { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    /// After a failed write or sync nobody knows what the disk holds.
    fn poison(&self, error: StoreError) -> StoreError {
        if !self.poisoned.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "the journal is closed until restart");
        }
        error
    }

    /// Refuses when fewer than the reserve and `more` bytes are free.
    pub(crate) fn need_space(&self, whose: Whose, more: u64) -> Result<(), StoreError> {
        let reserve = match whose {
            Whose::Senders => self.options.reserve_bytes,
            Whose::Own => self.options.own_reserve_bytes.min(self.options.reserve_bytes),
        };
        let needed = reserve.saturating_add(more);
        let free = self.mirror.free_space()?;
        if free < needed { Err(StoreError::Full { needed, free }) } else { Ok(()) }
    }
}

/// The journal. All methods may be called from any thread.
pub struct Journal {
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    sync_turn: Mutex<()>,
    release_turn: Mutex<()>,
    // Dropping them lets another journal in.
    _locks: Vec<Box<dyn Send + Sync>>,
}

impl Journal {
    /// Opens or makes a journal: finds the end, refuses corruption without changing anything, cuts a torn
    /// tail, and moves what no later record proves synced into a fresh, synced segment.
    pub fn open(disk: Arc<dyn Disk>, options: JournalOptions) -> Result<(Self, Recovery), StoreError> {
        options.check()?;
        let pair = Pair::enter(disk.as_ref(), &options.dirs)?;
        let mirror = Mirror::new(disk, &options.dirs);
        for (dir, reason) in &pair.unreachable {
            mirror.fail(dir, reason.clone())?;
        }
        let shared = Arc::new(Shared {
            synced: Arc::clone(&mirror.synced),
            mirror,
            options,
            segments: RwLock::default(),
            next_lsn: AtomicU64::new(0),
            room: AtomicU64::new(0),
            unsynced: Mutex::default(),
            poisoned: AtomicBool::new(false),
        });
        let (writer, recovery) = recover::recover(&shared, &pair)?;
        shared.room.store(writer.room(), Ordering::Relaxed);
        let journal = Self {
            shared,
            writer: Mutex::new(writer),
            sync_turn: Mutex::new(()),
            release_turn: Mutex::new(()),
            _locks: pair.into_locks(),
        };
        Ok((journal, recovery))
    }

    /// Writes records after all earlier ones. They are durable once a later [`Journal::sync`] returned;
    /// until then they may be lost. All or none: an error means no record was added.
    pub fn append(&self, records: &[Record]) -> Result<Vec<(Lsn, Place)>, StoreError> {
        self.shared.refuse_when_poisoned()?;
        let prepared = batch::prepare(records)?;
        self.writer.lock().append(&self.shared, records, prepared, Whose::Senders)
    }

    /// The same for records of the archive's own: its facts, and what is written again so that a segment can go. They
    /// go on below the reserve, in segments that are only as long as must be, down to a reserve of their own.
    pub fn append_own(&self, records: &[Record]) -> Result<Vec<(Lsn, Place)>, StoreError> {
        self.shared.refuse_when_poisoned()?;
        let prepared = batch::prepare(records)?;
        self.writer.lock().append(&self.shared, records, prepared, Whose::Own)
    }

    /// Whether nothing is taken from senders because the reserve is touched.
    pub fn is_low(&self) -> bool {
        matches!(self.shared.need_space(Whose::Senders, 0), Err(StoreError::Full { .. }))
    }

    /// Makes everything durable that was appended before the call, and returns the newest such number.
    /// After an error the journal refuses everything until it is opened again.
    pub fn sync(&self) -> Result<Lsn, StoreError> {
        let _turn = self.sync_turn.lock();
        self.shared.refuse_when_poisoned()?;
        let (target, dirty) = {
            let mut unsynced = self.shared.unsynced.lock();
            (unsynced.last, std::mem::take(&mut unsynced.files))
        };
        if !dirty.is_empty() {
            let start = std::time::Instant::now();
            for files in &dirty {
                self.shared.mirror.sync(files).map_err(|error| self.shared.poison(error))?;
            }
            metrics::histogram!("khoanh_journal_sync_seconds").record(start.elapsed());
        }
        self.shared.synced.store(target, Ordering::Release);
        Ok(target)
    }

    /// Notes in the journal that everything is synced, without a sync of its own, when that is so.
    /// Called when idle, it spares the next start after a kill from moving the last batch. After a start that
    /// moved records it says that their new places are known; see [`Recovery::moved_from`].
    pub fn mark(&self) -> Result<(), StoreError> {
        self.shared.refuse_when_poisoned()?;
        self.writer.lock().mark(&self.shared)
    }

    /// Syncs and notes that nothing needs moving at the next start.
    pub fn close(self) -> Result<(), StoreError> {
        self.sync()?;
        self.mark()?;
        self.sync().map(|_| ())
    }

    /// Whether a body of this many bytes may be received now: an early refusal that spares the transfer.
    pub fn admit(&self, bytes: u64) -> Result<(), StoreError> {
        self.shared.refuse_when_poisoned()?;
        let room = self.shared.room.load(Ordering::Relaxed);
        match bytes {
            // Space inside a segment is already allocated.
            inline if inline <= self.shared.options.blob_above && inline < room => {
                self.shared.need_space(Whose::Senders, 0)
            }
            inline if inline <= self.shared.options.blob_above => {
                self.shared.need_space(Whose::Senders, self.shared.options.segment_bytes)
            }
            blob => self.shared.need_space(Whose::Senders, blob),
        }
    }

    /// Starts a file for a body too large for a segment.
    pub fn blob(&self) -> Result<BlobWriter, StoreError> {
        self.shared.refuse_when_poisoned()?;
        BlobWriter::create(Arc::clone(&self.shared))
    }

    /// Removes files of large bodies that no record names.
    ///
    /// `named` must hold the names in all records numbered `since` or later; files that only an earlier
    /// record can name are left alone. Returns how many were removed.
    pub fn remove_orphans(&self, named: &HashSet<String>, since: Lsn) -> Result<usize, StoreError> {
        crate::blob::remove_orphans(&self.shared, named, since)
    }

    /// Removes files of large bodies whose instances are read from elsewhere, before their segment is released.
    pub fn remove_blobs(&self, names: &HashSet<String>) -> Result<(), StoreError> {
        let _turn = self.release_turn.lock();
        crate::blob::remove_named(&self.shared, names)
    }

    /// Number of the newest appended record.
    pub fn last(&self) -> Lsn {
        self.writer.lock().next_lsn() - 1
    }

    /// Number of the newest record known durable.
    pub fn synced(&self) -> Lsn {
        self.shared.synced.load(Ordering::Acquire)
    }

    /// Whether a failed write or sync closed the journal until restart.
    pub fn is_poisoned(&self) -> bool {
        self.shared.poisoned.load(Ordering::Acquire)
    }

    /// Directories that failed while the other one goes on.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.shared.mirror.alarms()
    }

    /// Bytes free where the journal lies.
    pub fn free_space(&self) -> Result<u64, StoreError> {
        self.shared.mirror.free_space()
    }

    /// The segments in use, in the order of their records.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let active = self.writer.lock().active_number();
        let mut headers: Vec<SegmentHeader> = self.shared.segments.read().values().copied().collect();
        headers.sort_unstable_by_key(|header| header.serial);
        let info = |h: SegmentHeader| SegmentInfo {
            number: h.number,
            generation: h.generation,
            first_lsn: h.first_lsn,
            active: h.number == active,
        };
        headers.into_iter().map(info).collect()
    }

    /// Begins a new segment, so that everything recorded so far can be released. Does nothing when the active segment
    /// holds no record yet.
    pub fn rotate(&self) -> Result<(), StoreError> {
        self.shared.refuse_when_poisoned()?;
        self.writer.lock().rotate(&self.shared)?;
        self.sync().map(|_| ())
    }

    /// Cuts the files of released segments that are kept for reuse, so that nothing of their records stays in them; what
    /// stands behind the records of the active one goes, too.
    pub fn clear_spares(&self) -> Result<(), StoreError> {
        let _turn = self.release_turn.lock();
        self.shared.refuse_when_poisoned()?;
        self.writer.lock().clear_spares(&self.shared)
    }

    /// Gives a segment's space back for reuse. Its records are gone from replay and reads when this returns.
    ///
    /// The caller has copied what still counts elsewhere and synced it. The active segment cannot go.
    pub fn release(&self, segment: u32) -> Result<(), StoreError> {
        self.give_back(segment, false)
    }

    /// The same, and nothing of its records stays in the file, even when it is kept for reuse.
    pub fn release_cleanly(&self, segment: u32) -> Result<(), StoreError> {
        self.give_back(segment, true)
    }

    fn give_back(&self, segment: u32, clean: bool) -> Result<(), StoreError> {
        let _turn = self.release_turn.lock();
        self.sync()?;
        // What the segment held must be proven by what stays, or the next start takes the gap for a loss.
        let header = self.writer.lock().prepare_release(&self.shared, segment)?;
        self.sync()?;
        // Durably free before it can be used again: otherwise a crash could bring its records back.
        // Appends go on meanwhile: nothing else writes to a segment that is neither active nor free.
        self.shared.mirror.put_header(&SegmentHeader { in_use: false, ..header })?;
        self.writer.lock().release(&self.shared, &header, clean)
    }
}
