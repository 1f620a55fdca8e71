//! Opening and closing charts: journal, view, what is kept in memory; and the view built anew.

use super::worklist::Worklist;
use super::writing::Unsettled;
use super::{Charts, OPEN_MAX, RESERVE_BYTES, SEGMENT_BYTES, journal};
use crate::error::OpenError;
use crate::options::Options;
use crate::rebuild;
use crate::seal::OpenKeys;
use crate::tier::KeyRing;
use index::charts::{ChartCursor, ChartDriver, ChartEntry, ChartPage, ChartQuery, Charts as ChartView, RocksCharts};
use index::{IndexError, RocksOptions};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, OrderState, Term, link};
use model::{Digest, Lsn};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use store::journal::Image;
use store::{Alarm, Journal, JournalOptions, RealDisk, Replayed};

/// Rows applied to the view at once.
const BATCH: usize = 1_000;
/// The view has this part of the memory of the index's cache beside it.
const CACHE_PART: usize = 8;
/// Memory of rows of the view that are not in files yet.
const WRITE_BUFFER: usize = 32 << 20;
/// Rows asked of the view at once.
const PAGE: usize = 500;
/// The same of messages, which may be long.
const MESSAGES: usize = 8;
/// Most merges followed from a number.
pub(super) const CHAIN_MAX: usize = 4_096;

/// Where the view lies inside a data directory.
fn view_path(data: &Path) -> PathBuf {
    data.join("charts")
}

fn open_view(options: &Options, path: &Path) -> Result<Arc<dyn ChartView>, OpenError> {
    let (block_cache_bytes, compressed) = (options.index_cache / CACHE_PART, options.index_compressed);
    let rocks =
        RocksOptions { block_cache_bytes, compressed, write_buffer_bytes: WRITE_BUFFER, ..RocksOptions::default() };
    Ok(Arc::new(RocksCharts::open(path, rocks)?))
}

fn open_journal(options: &Options) -> Result<Journal, OpenError> {
    let dirs = options.journal_dirs().into_iter().map(|dir| dir.join("charts")).collect();
    let journal = JournalOptions {
        segment_bytes: SEGMENT_BYTES,
        blob_above: SEGMENT_BYTES / 2,
        reserve_bytes: RESERVE_BYTES.min(options.reserve_bytes),
        spare_segments: 0,
        ..JournalOptions::new(dirs)
    };
    Ok(Journal::open(Arc::new(RealDisk), journal)?.0)
}

/// Applies everything that the view has not seen; gives the number of records.
fn replay(journal: &Journal, keys: &OpenKeys, view: &dyn ChartView) -> Result<u64, OpenError> {
    let (mut batch, mut last, mut records): (Vec<ChartEntry>, Lsn, u64) = (Vec::new(), view.applied(), 0);
    journal.replay(last.saturating_add(1), &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
        batch.extend(journal::read(journal, keys, &replayed)?.entries);
        (last, records) = (replayed.lsn, records.saturating_add(1));
        if batch.len() >= BATCH {
            view.apply(&batch, last)?;
            batch.clear();
        }
        Ok(())
    })?;
    // A record of which every key is gone counts as seen, too.
    if last > view.applied() {
        view.apply(&batch, last)?;
    }
    Ok(records)
}

/// The view, level with the journal; built anew when the journal no longer holds what it has not seen, or when it does not
/// open or take what it has not seen.
fn level(options: &Options, journal: &Journal, keys: &OpenKeys) -> Result<Arc<dyn ChartView>, OpenError> {
    let view = match open_view(options, &view_path(&options.data)) {
        Err(error) if is_amiss(&error) => anew(options, &error)?,
        view => view?,
    };
    rebuild::refuse_when_ahead(view.applied(), journal)?;
    let view = if rebuild::is_out_of_reach(view.applied(), journal) {
        drop(view);
        anew(options, &"it is missing or too old")?
    } else {
        view
    };
    let (view, records) = match replay(journal, keys, view.as_ref()) {
        Ok(records) => (view, records),
        Err(error) if is_amiss(&error) => {
            drop(view);
            let view = anew(options, &error)?;
            let records = replay(journal, keys, view.as_ref())?;
            (view, records)
        }
        Err(error) => return Err(error),
    };
    tracing::info!(records, "the index of charts is level with its journal");
    Ok(view)
}

/// Whether the view is to blame, and not a newer program that wrote it.
fn is_amiss(error: &OpenError) -> bool {
    matches!(error, OpenError::Index(error) if !matches!(error, IndexError::Newer { .. }))
}

/// An empty view in the place of the one that is there.
fn anew(options: &Options, why: &dyn std::fmt::Display) -> Result<Arc<dyn ChartView>, OpenError> {
    tracing::warn!(%why, "the index of charts is built anew from the journal of charts");
    let (path, aside) = (view_path(&options.data), options.data.join("charts.old"));
    rebuild::remove(&aside)?;
    if path.exists() {
        rebuild::rename(&path, &aside)?;
    }
    rebuild::remove(&aside)?;
    open_view(options, &path)
}

impl Charts {
    /// Opens the journal of charts beside the others, and levels the view with it.
    ///
    /// # Errors
    /// As [`Journal::open`], those of the index, and a record that does not open.
    pub(crate) fn open(options: &Options, ring: Arc<KeyRing>) -> Result<Arc<Self>, OpenError> {
        let (journal, keys) = (open_journal(options)?, OpenKeys::new(ring, OPEN_MAX));
        let view = level(options, &journal, &keys)?;
        // Spares the next start from moving the last batch again.
        journal.mark()?;
        let last = journal.last();
        let charts = Self {
            journal,
            keys,
            clock: Arc::clone(&options.clock),
            options: options.charts.clone(),
            view,
            worklist: Worklist::new(
                Arc::clone(&options.clock),
                options.charts.worklist_days,
                options.forward.utc_offset,
            ),
            due: super::matching::Due::default(),
            inquiries: super::inquiries::Queue::default(),
            persons: super::persons::Due::default(),
            upcoming: super::upcoming::Upcoming::new(options),
            outbox: super::outbox::Outbox::default(),
            ended: super::completeness::Due::default(),
            openings: super::openings::Openings::default(),
            reads: super::reads::Reads::default(),
            reporting: Mutex::new(()),
            change: Mutex::new(()),
            unsettled: Mutex::new(Unsettled::after(last)),
            settling: Mutex::new(()),
            settled: AtomicU64::new(last),
            applying: AtomicBool::new(false),
            fresh: Mutex::default(),
            broken: Mutex::default(),
            daily: Mutex::default(),
            parked: Mutex::default(),
            stirred: Mutex::default(),
            flushed: AtomicU64::new(0),
        };
        charts.remember()?;
        Ok(Arc::new(charts))
    }

    /// Puts into memory what is answered from there: open orders with their patients, and messages that wait.
    fn remember(&self) -> Result<(), OpenError> {
        for state in [OrderState::Scheduled, OrderState::InProgress] {
            self.each(ChartKind::Order, Term::State, state.name(), &mut |row| {
                // Only patients that an order needs are held.
                self.worklist.put(&row);
                self.due.row(&row);
                self.remember_patients(&row)
            })?;
        }
        self.each(ChartKind::Link, Term::State, link::DUE, &mut |row| {
            self.persons.row(&row);
            Ok(())
        })?;
        self.remember_visits()?;
        self.remember_outbox()?;
        self.remember_inquiries()?;
        self.each(ChartKind::Message, Term::Handled, "parked", &mut |row| {
            self.note_parked(&row, false);
            Ok(())
        })
    }

    /// The patient of a row, and whom they were merged into.
    fn remember_patients(&self, row: &ChartRow) -> Result<(), OpenError> {
        let mut mrn = row.body.mrn().map(ToOwned::to_owned);
        for _ in 0..CHAIN_MAX {
            let key = mrn.and_then(|mrn| ChartKey::new(ChartKind::Patient, row.key.facility, &mrn).ok());
            let Some(key) = key else { return Ok(()) };
            let Some(patient) = self.view.row(&key)? else { return Ok(()) };
            self.worklist.put(&patient);
            mrn = match patient.body {
                ChartBody::Patient(patient) => patient.merged_into,
                _ => None,
            };
        }
        Ok(())
    }

    pub(super) fn each(
        &self,
        kind: ChartKind,
        term: Term,
        value: &str,
        with: &mut dyn FnMut(ChartRow) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let driver = ChartDriver::Equal(term, value.to_owned());
        let query = ChartQuery { kind, facilities: None, driver, moments: None, years: None };
        let mut after: Option<ChartCursor> = None;
        let limit = if kind == ChartKind::Message { MESSAGES } else { PAGE };
        loop {
            let ChartPage { rows, cursor } = self.view.find(&query, after, limit)?;
            rows.into_iter().try_for_each(&mut *with)?;
            if cursor.is_none() {
                return Ok(());
            }
            after = cursor;
        }
    }

    /// A row went into the view.
    pub(super) fn applied_row(&self, entry: &ChartEntry) {
        match entry {
            ChartEntry::Put(row) => {
                metrics::counter!("khoanh_charts_rows_total", "kind" => kind_name(row.key.kind)).increment(1);
                self.worklist.put(row);
                self.due.row(row);
                self.persons.row(row);
                self.upcoming.row(row, self.now_ms());
                self.note_parked(row, true);
                self.outbox.row(row);
                self.ended.row(row, self.now_ms());
                self.inquiries.row(row);
            }
            ChartEntry::Gone(key) => {
                self.worklist.gone(key);
                self.upcoming.gone(key);
                self.outbox.gone(key);
                self.inquiries.gone(key);
                if key.kind == ChartKind::Message {
                    self.forget_parked(key.facility, key.id.clone());
                }
            }
        }
    }

    /// Directories that failed while the other one goes on.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        self.journal.alarms()
    }

    /// Why no change is taken until restart.
    pub(crate) fn broken(&self) -> Option<String> {
        let poisoned = || {
            let what = "the journal of charts is closed after a failed write or sync, until restart";
            self.journal.is_poisoned().then(|| what.to_owned())
        };
        self.broken.lock().clone().or_else(poisoned)
    }

    /// What a copy of it consists of.
    pub(crate) fn image(&self) -> Result<Image<'_>, OpenError> {
        Ok(self.journal.image()?)
    }

    /// Makes the view durable, if anything is new in it.
    pub(super) fn flush(&self) -> Result<(), OpenError> {
        if self.flushed.load(Ordering::Relaxed) < self.view.applied() {
            self.flushed.store(self.view.flush()?, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Digest of the dump of the view, if it stands at a record and goes on to stand there meanwhile.
    ///
    /// # Errors
    /// Those of the index.
    pub(crate) fn digest_at(&self, last: Lsn) -> Result<Option<Digest>, OpenError> {
        if self.view.applied() != last {
            return Ok(None);
        }
        let found = digest(self.view.as_ref())?;
        Ok(Some(found).filter(|_| self.view.applied() == last))
    }

    /// Ends with nothing left to move, and nothing to apply, at the next start.
    pub(crate) fn close(&self) -> Result<(), OpenError> {
        if let Err(error) = self.write_reads(true) {
            tracing::error!(%error, "who read what in the last minute could not be written and is lost");
        }
        self.journal.sync()?;
        self.journal.mark()?;
        self.journal.sync()?;
        self.flush()
    }

    /// Writes everything that can be found, in an order and form that depend on the rows alone.
    ///
    /// # Errors
    /// Those of the index.
    pub fn dump(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), OpenError> {
        Ok(self.view.dump(out)?)
    }
}

const fn kind_name(kind: ChartKind) -> &'static str {
    match kind {
        ChartKind::Patient => "patient",
        ChartKind::Visit => "visit",
        ChartKind::Order => "order",
        ChartKind::Performed => "performed",
        ChartKind::Report => "report",
        ChartKind::Merge => "merge",
        ChartKind::Message => "message",
        ChartKind::Match => "match",
        ChartKind::Link => "link",
        ChartKind::Proposal => "proposal",
        ChartKind::Subscription => "subscription",
        ChartKind::Delivery => "delivery",
        ChartKind::Ticket => "ticket",
        ChartKind::Inquiry => "inquiry",
        ChartKind::Read => "read",
    }
}

/// What building the view anew came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rebuilt {
    /// Records read.
    pub records: u64,
    /// Digest of the dump of the view as it was; none when there was none that opens.
    pub before: Option<Digest>,
    /// Digest of the dump of the new view.
    pub after: Digest,
}

fn digest(view: &dyn ChartView) -> Result<Digest, OpenError> {
    let mut hasher = Sha256::new();
    view.dump(&mut |line: &[u8]| {
        hasher.update(line);
        hasher.update(b"\n");
    })?;
    Ok(Digest(hasher.finalize().into()))
}

/// Builds the view anew and puts it in the old one's place. Nobody else may have it open.
pub(crate) fn rebuild(options: &Options, ring: Arc<KeyRing>) -> Result<Rebuilt, OpenError> {
    let (journal, keys) = (open_journal(options)?, OpenKeys::new(ring, OPEN_MAX));
    let (old, data) = (view_path(&options.data), &options.data);
    let (new, aside) = (data.join("charts.new"), data.join("charts.old"));
    let before = match old.exists().then(|| open_view(options, &old)) {
        Some(Ok(view)) if rebuild::is_out_of_reach(view.applied(), &journal) => None,
        Some(Ok(view)) => {
            let seen = replay(&journal, &keys, view.as_ref());
            seen.and_then(|_| digest(view.as_ref())).map_or_else(
                |error| {
                    tracing::warn!(%error, "the index of charts cannot be read; it is rebuilt without a comparison");
                    None
                },
                Some,
            )
        }
        Some(Err(error)) => {
            tracing::warn!(%error, "the index of charts does not open; it is rebuilt without a comparison");
            None
        }
        None => None,
    };
    rebuild::remove(&new)?;
    rebuild::remove(&aside)?;
    let view = open_view(options, &new)?;
    let records = replay(&journal, &keys, view.as_ref())?;
    view.flush()?;
    let after = digest(view.as_ref())?;
    drop(view);
    if old.exists() {
        rebuild::rename(&old, &aside)?;
    }
    rebuild::rename(&new, &old)?;
    rebuild::remove(&aside)?;
    journal.close()?;
    Ok(Rebuilt { records, before, after })
}
