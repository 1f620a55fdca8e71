//! One change of charts: what it reads, what it puts, and how that becomes durable.
//!
//! One change is worked out after the other, each on what those before it have put. Its record is appended at once; one
//! sync then serves every change that waits for it, and only what is synced goes into the view (the index and the
//! worklist), in the order of the journal. So what is answered is durable, and what others are shown is, too.
//! Deliberately not here: what a change means.

use super::journal::{self, Parts, Row, unavailable};
use super::keys::{is_refused, keeper_of};
use super::{ChartError, Charts, persons};
use index::charts::{ChartDriver, ChartEntry, ChartQuery};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, ROW_MAX, Term, term};
use model::{FacilityCode, Lsn, PackId};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows asked of the view at once.
const PAGE: usize = 200;

/// Whose space in the journal a change takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// That of whoever sends.
    Senders,
    /// The reserve: by such changes space becomes free.
    Own,
}

/// What is appended and not yet in the view.
#[derive(Default)]
pub(super) struct Unsettled {
    records: VecDeque<(Lsn, Vec<ChartEntry>)>,
    /// The newest state of every row in them.
    rows: HashMap<ChartKey, (Lsn, Option<Arc<ChartRow>>)>,
    /// The newest record of all.
    last: Lsn,
}

impl Unsettled {
    /// As at the opening: everything up to a record is in the view.
    pub(super) fn after(last: Lsn) -> Self {
        Self { last, ..Self::default() }
    }

    fn add(&mut self, lsn: Lsn, entries: Vec<ChartEntry>) {
        for entry in &entries {
            let (key, row) = match entry {
                ChartEntry::Put(row) => (row.key.clone(), Some(Arc::new((**row).clone()))),
                ChartEntry::Gone(key) => (key.clone(), None),
            };
            self.rows.insert(key, (lsn, row));
        }
        self.records.push_back((lsn, entries));
        self.last = lsn;
    }

    /// Rows that are recorded and not in the view, each as it stands.
    pub(super) fn rows(&self) -> impl Iterator<Item = &ChartRow> {
        self.rows.values().filter_map(|(_, row)| row.as_deref())
    }

    /// Everything up to a record, in order.
    fn take(&mut self, through: Lsn) -> Vec<(Lsn, Vec<ChartEntry>)> {
        let count = self.records.partition_point(|(lsn, _)| *lsn <= through);
        self.records.drain(..count).collect()
    }

    /// The view has everything up to a record.
    fn forget(&mut self, through: Lsn) {
        self.rows.retain(|_, (lsn, _)| *lsn > through);
    }
}

/// What a change had put and remarked at a moment.
pub(super) struct Mark {
    rows: BTreeMap<ChartKey, Option<ChartBody>>,
    remarks: Vec<String>,
}

/// A row that a change has put.
pub(super) struct Changed {
    pub(super) id: String,
    pub(super) before: Option<ChartBody>,
    pub(super) now: ChartBody,
}

/// One change under way: its rows are recorded together or not at all.
pub(super) struct Writing<'a> {
    charts: &'a Charts,
    facility: FacilityCode,
    now: u64,
    /// What it has put; none: gone.
    rows: BTreeMap<ChartKey, Option<ChartBody>>,
    remarks: Vec<String>,
}

impl<'a> Writing<'a> {
    /// One that has put nothing. The caller holds `change`.
    pub(super) fn begin(charts: &'a Charts, facility: FacilityCode) -> Self {
        let (now, rows, remarks) = (charts.now_ms(), BTreeMap::new(), Vec::new());
        Self { charts, facility, now, rows, remarks }
    }

    /// Patients that it has put or removed.
    pub(super) fn patients(&self) -> Vec<(ChartKey, Option<ChartBody>)> {
        let patients = self.rows.iter().filter(|(key, _)| key.kind == ChartKind::Patient);
        patients.map(|(key, body)| (key.clone(), body.clone())).collect()
    }

    /// The charts it changes.
    pub(super) fn charts(&self) -> &'a Charts {
        self.charts
    }

    /// The facility whose rows it changes.
    pub(super) fn facility(&self) -> FacilityCode {
        self.facility
    }

    /// Milliseconds since 1970 UTC, the same for the whole change.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Hours east of UTC of the clock that facilities go by.
    pub(super) fn utc_offset(&self) -> i8 {
        self.charts.worklist.utc_offset()
    }

    fn key(&self, kind: ChartKind, id: &str) -> Result<ChartKey, ChartError> {
        ChartKey::new(kind, self.facility(), id).map_err(|error| ChartError::Invalid(error.to_string()))
    }

    /// A row; what this change has put counts.
    pub(super) fn row(&self, kind: ChartKind, id: &str) -> Result<Option<ChartBody>, ChartError> {
        let key = self.key(kind, id)?;
        match self.rows.get(&key) {
            Some(body) => Ok(body.clone()),
            None => Ok(self.charts.newest(&key)?.map(|row| row.body.clone())),
        }
    }

    /// The record that made a row first; none for one that this change makes.
    pub(super) fn created(&self, kind: ChartKind, id: &str) -> Result<Option<Lsn>, ChartError> {
        Ok(self.charts.newest(&self.key(kind, id)?)?.map(|row| row.created))
    }

    /// Rows of this facility with a value, the newest first; what this change has put counts instead of what was there.
    /// A row that this change makes has no number yet: the greatest stands for it.
    pub(super) fn find(
        &self,
        kind: ChartKind,
        term: Term,
        value: &str,
        limit: usize,
    ) -> Result<Vec<ChartRow>, ChartError> {
        let value = term::value(value);
        let newer = self.newer(kind)?;
        let matches = |row: &ChartRow| term::terms(&row.body).iter().any(|one| one.term == term && one.value == value);
        let mut found = self.charts.settled(self.facility, kind, (term, &value), limit.saturating_add(newer.len()))?;
        found.retain(|row| !newer.contains_key(&row.key));
        let matching = newer.into_values().flatten().filter(|row| matches(row));
        found.extend(matching.map(Arc::unwrap_or_clone));
        found.sort_by_key(|row| std::cmp::Reverse((row.body.moment(), row.created)));
        found.truncate(limit);
        Ok(found)
    }

    /// Rows of a kind that the view does not have as they stand.
    fn newer(&self, kind: ChartKind) -> Result<BTreeMap<ChartKey, Option<Arc<ChartRow>>>, ChartError> {
        let mut newer = BTreeMap::new();
        {
            let unsettled = self.charts.unsettled.lock();
            let of_kind = |key: &ChartKey| key.kind == kind && key.facility == self.facility;
            for (key, (_, row)) in unsettled.rows.iter().filter(|(key, _)| of_kind(key)) {
                newer.insert(key.clone(), row.clone());
            }
        }
        for (key, body) in self.rows.iter().filter(|(key, _)| key.kind == kind) {
            let row = match body {
                None => None,
                Some(body) => {
                    let known = self.charts.newest(key)?;
                    let (created, seal) = known.map_or((Lsn::MAX, None), |row| (row.created, row.seal));
                    let row = ChartRow { key: key.clone(), lsn: Lsn::MAX, created, seal, body: body.clone() };
                    Some(Arc::new(row))
                }
            };
            newer.insert(key.clone(), row);
        }
        Ok(newer)
    }

    /// Puts a row in the place of the one of its kind and id.
    pub(super) fn put(&mut self, id: &str, body: ChartBody) -> Result<(), ChartError> {
        let key = self.key(body.kind(), id)?;
        if serde_json::to_vec(&body).map_err(unavailable)?.len() > ROW_MAX {
            return Err(ChartError::Limit(format!("a row of charts has at most {ROW_MAX} bytes")));
        }
        self.rows.insert(key, Some(body));
        Ok(())
    }

    /// Rows of some kinds that this change has put, each with the state it had before.
    pub(super) fn changed(&self, kinds: &[ChartKind]) -> Result<Vec<Changed>, ChartError> {
        let mut changed = Vec::new();
        for (key, body) in self.rows.iter().filter(|(key, _)| kinds.contains(&key.kind)) {
            let Some(now) = body.clone() else { continue };
            let before = self.charts.newest(key)?.map(|row| row.body.clone());
            changed.push(Changed { id: key.id.clone(), before, now });
        }
        Ok(changed)
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, kind: ChartKind, id: &str) -> Result<(), ChartError> {
        let key = self.key(kind, id)?;
        self.rows.insert(key, None);
        Ok(())
    }

    /// Says something to whoever asked for the change; no patient's data.
    pub(super) fn remark(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    /// What was remarked since the last time.
    pub(super) fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    /// What is put and remarked so far.
    pub(super) fn mark(&self) -> Mark {
        Mark { rows: self.rows.clone(), remarks: self.remarks.clone() }
    }

    /// Forgets what was put and remarked since.
    pub(super) fn back_to(&mut self, mark: Mark) {
        (self.rows, self.remarks) = (mark.rows, mark.remarks);
    }

    /// Whether something was put since.
    pub(super) fn differs(&self, mark: &Mark) -> bool {
        self.rows != mark.rows
    }

    /// Whether a row became what it is after a record, or in this change.
    pub(super) fn is_newer(&self, kind: ChartKind, id: &str, than: Lsn) -> Result<bool, ChartError> {
        let key = self.key(kind, id)?;
        if let Some(body) = self.rows.get(&key) {
            return Ok(body.is_some());
        }
        Ok(self.charts.newest(&key)?.is_some_and(|row| row.lsn > than))
    }

    /// Forgets everything put and remarked.
    pub(super) fn start_over(&mut self) {
        self.rows.clear();
        self.remarks.clear();
    }

    /// The rows by the key they lie under.
    pub(super) fn parts(self) -> Result<Parts, ChartError> {
        let Self { charts, facility, now, rows, .. } = self;
        let (mut parts, mut seals) = (Parts::new(), HashMap::<String, PackId>::new());
        for (key, body) in rows {
            let known = charts.newest(&key)?;
            let (created, before) = known.map_or((None, None), |row| (Some(row.created), row.seal));
            let seal = match &body {
                // Of a row that never was nothing is said.
                None if created.is_none() => continue,
                None => before.map_or_else(|| charts.seal_of_the_day(facility, now), Ok)?,
                Some(body) => match keeper_of(body).and_then(|mrn| seals.get(mrn)) {
                    Some(seal) => *seal,
                    None => {
                        let seal = charts.seal_for(facility, body, now)?;
                        // Of a refused message that names nobody known the key is another one.
                        if let Some(mrn) = keeper_of(body).filter(|_| !is_refused(body)) {
                            seals.insert(mrn.to_owned(), seal);
                        }
                        seal
                    }
                },
            };
            parts.entry(seal).or_default().push(Row { kind: key.kind, id: key.id, created, body });
        }
        Ok(parts)
    }
}

impl Charts {
    /// Runs one change alone; its rows are durable and found on return; an error leaves everything as it was.
    pub(super) fn write<T>(
        &self,
        facility: FacilityCode,
        change: impl FnOnce(&mut Writing<'_>) -> Result<T, ChartError>,
    ) -> Result<T, ChartError> {
        self.write_as(Whose::Senders, facility, change)
    }

    /// The same, and whose space it takes.
    pub(super) fn write_as<T>(
        &self,
        whose: Whose,
        facility: FacilityCode,
        change: impl FnOnce(&mut Writing<'_>) -> Result<T, ChartError>,
    ) -> Result<T, ChartError> {
        let (answer, through) = {
            let _change = self.change.lock();
            self.refuse_when_closed(whose)?;
            let mut writing = Writing::begin(self, facility);
            // A patient's person, what a verifier is asked and whoever is to be told follow by the same record.
            let answer = change(&mut writing).and_then(|answer| {
                persons::mark(&mut writing)?;
                super::inquiries::note(&mut writing)?;
                super::outbox::follow(&mut writing)?;
                Ok(answer)
            });
            match answer {
                Ok(answer) => (Ok(answer), self.record(facility, writing.parts()?, whose)?),
                Err(error @ ChartError::Unavailable(_)) => return Err(error),
                // It may be said of what is not durable yet.
                Err(error) => (Err(error), self.unsettled.lock().last),
            }
        };
        self.settle(through)?;
        answer
    }

    /// Appends rows; gives the record that must be durable before anything is said of them. The caller holds `change`.
    pub(super) fn record(&self, facility: FacilityCode, parts: Parts, whose: Whose) -> Result<Lsn, ChartError> {
        if parts.is_empty() {
            // What was read may not be durable yet.
            return Ok(self.unsettled.lock().last);
        }
        let lsn = self.append(facility, &parts, whose)?;
        self.unsettled.lock().add(lsn, journal::entries(facility, lsn, parts));
        Ok(lsn)
    }

    /// Makes everything up to a record durable, and found. Whoever comes first does it for all who wait.
    pub(super) fn settle(&self, through: Lsn) -> Result<(), ChartError> {
        let _turn = self.settling.lock();
        if self.settled.load(Ordering::Acquire) >= through {
            return Ok(());
        }
        self.refuse_when_broken()?;
        if self.applying.load(Ordering::Relaxed) {
            return Err(self.break_off(&"somebody died over it"));
        }
        let synced = self.journal.sync().map_err(unavailable)?;
        // From here to the end what was taken is in nobody's hands but these.
        self.applying.store(true, Ordering::Relaxed);
        let records = self.unsettled.lock().take(synced);
        let Some(last) = records.last().map(|(lsn, _)| *lsn) else {
            return Err(self.break_off(&"a record that was made is not there"));
        };
        let entries: Vec<ChartEntry> = records.into_iter().flat_map(|(_, entries)| entries).collect();
        metrics::histogram!("khoanh_charts_sync_rows")
            .record(f64::from(u32::try_from(entries.len()).unwrap_or(u32::MAX)));
        if let Err(error) = self.view.apply(&entries, last) {
            return Err(self.break_off(&error));
        }
        entries.iter().for_each(|entry| self.applied_row(entry));
        self.unsettled.lock().forget(last);
        self.settled.store(last, Ordering::Release);
        self.applying.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The view takes nothing more: nothing is answered until a restart brings it level with the journal.
    fn break_off(&self, error: &dyn std::fmt::Display) -> ChartError {
        let what = format!("the index of charts could not take a change: {error}; restart to bring it level");
        tracing::error!(%error, "the index of charts takes nothing: charts are closed until restart");
        *self.broken.lock() = Some(what.clone());
        ChartError::Unavailable(what)
    }

    fn refuse_when_broken(&self) -> Result<(), ChartError> {
        match self.broken.lock().as_ref() {
            Some(what) => Err(ChartError::Unavailable(what.clone())),
            None => Ok(()),
        }
    }

    /// Refuses before anything is worked out, or a key is made, for what would not be recorded.
    pub(super) fn refuse_when_closed(&self, whose: Whose) -> Result<(), ChartError> {
        self.refuse_when_broken()?;
        match whose {
            Whose::Senders => self.journal.admit(0).map_err(unavailable),
            Whose::Own => Ok(()),
        }
    }

    /// Rows of a kind of all facilities that fit and that the view does not have as they stand; none: gone, or they fit no
    /// longer.
    pub(super) fn newer_everywhere(
        &self,
        kind: ChartKind,
        fits: &dyn Fn(&ChartRow) -> bool,
    ) -> BTreeMap<ChartKey, Option<Arc<ChartRow>>> {
        let unsettled = self.unsettled.lock();
        let of_kind = unsettled.rows.iter().filter(|(key, _)| key.kind == kind);
        of_kind.map(|(key, (_, row))| (key.clone(), row.clone().filter(|row| fits(row)))).collect()
    }

    /// A row as it stands for the next change.
    pub(super) fn newest(&self, key: &ChartKey) -> Result<Option<Arc<ChartRow>>, ChartError> {
        if let Some((_, row)) = self.unsettled.lock().rows.get(key) {
            return Ok(row.clone());
        }
        Ok(self.view.row(key).map_err(unavailable)?.map(Arc::new))
    }

    /// Rows of the view with a value.
    pub(super) fn settled(
        &self,
        facility: FacilityCode,
        kind: ChartKind,
        (term, value): (Term, &str),
        limit: usize,
    ) -> Result<Vec<ChartRow>, ChartError> {
        let query = ChartQuery {
            kind,
            facilities: Some(BTreeSet::from([facility])),
            driver: ChartDriver::Equal(term, value.to_owned()),
            moments: None,
            years: None,
        };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page =
                self.view.find(&query, after, PAGE.min(limit.saturating_sub(found.len()))).map_err(unavailable)?;
            found.extend(page.rows);
            after = page.cursor;
            if after.is_none() || found.len() >= limit {
                return Ok(found);
            }
        }
    }
}
