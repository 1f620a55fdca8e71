//! Studies and orders find each other: by Accession Number in the facility, by Study Instance UID, by the request that
//! images name. What contradicts is set aside with both sides for a person.
//!
//! It costs whoever sends images nothing: a thread of its own looks at studies in order of arrival, at those that became
//! complete, and at orders of which nothing came yet. Its place among the arrivals is kept in a file; looking twice does
//! no harm. A facility without orders has no studies without an order either.
//! Deliberately not here: moving images from one study to another, and who may decide.

mod judge;
mod recorded;
mod steward;

pub use steward::ToDecide;

use super::completeness::{Watch, warn_of};
use super::orders::preferred;
use super::records;
use super::writing::Writing;
use super::{ChartError, Charts};
use crate::error::OpenError;
use crate::open::Archive;
use crate::worker::every;
use index::charts::{ChartDriver, ChartQuery};
use index::{Cursor, SeriesRow, StudyKey, StudyRow, plan};
use judge::Candidate;
use model::attribute::key;
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Match, Order, OrderState, Term, term};
use model::query::{Condition, Query, Test, first};
use model::{AttrKey, FacilityCode, Level, Uid};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Studies, and orders, looked at in one round.
const ROUND: usize = 256;
/// Orders and studies looked at that have the same number.
const SAME_MAX: usize = 16;
/// Series of a study whose request is read.
const SERIES_MAX: usize = 64;
/// Most studies and orders that wait to be looked at; what is beyond is found again at the next start.
const DUE_MAX: usize = 1 << 20;
/// The place among the arrivals is written this often.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// File of that place in the data directory.
const PLACE: &str = "charts-matched";

/// What is to be looked at.
#[derive(Default)]
pub(super) struct Due {
    studies: Mutex<BTreeSet<StudyKey>>,
    orders: Mutex<BTreeSet<(FacilityCode, String)>>,
    /// Numbers of patients who were merged, or are no longer.
    patients: Mutex<BTreeSet<(FacilityCode, String)>>,
    /// Studies whose records are to be looked for.
    pub(super) recorded: Mutex<BTreeSet<StudyKey>>,
}

fn note<T: Ord>(due: &Mutex<BTreeSet<T>>, one: T) {
    let mut due = due.lock();
    if due.len() < DUE_MAX {
        due.insert(one);
    }
}

pub(super) fn take<T: Ord>(due: &Mutex<BTreeSet<T>>) -> Vec<T> {
    let mut due = due.lock();
    std::iter::from_fn(|| due.pop_first()).take(ROUND).collect()
}

impl Due {
    /// Whether every study that was noted has been looked at: only then may places be kept that lie behind it.
    pub(super) fn is_worked_off(&self) -> bool {
        self.patients.lock().is_empty() && self.studies.lock().is_empty() && self.recorded.lock().is_empty()
    }

    /// A row became true: an order of which no image came is looked at, and what was judged of patients who are merged.
    pub(super) fn row(&self, row: &ChartRow) {
        let facility = row.key.facility;
        match &row.body {
            ChartBody::Order(order) if order.images.is_none() && order.state != OrderState::Canceled => {
                note(&self.orders, (facility, order.placer.clone()));
            }
            ChartBody::Merge(merge) => {
                note(&self.patients, (facility, merge.survivor.clone()));
                note(&self.patients, (facility, merge.former.clone()));
            }
            _ => {}
        }
    }
}

impl Charts {
    /// A study is complete, or is said otherwise than before: it is looked at soon.
    pub(crate) fn note_study(&self, study: &StudyKey) {
        note(&self.due.studies, study.clone());
        note(&self.due.recorded, study.clone());
    }

    /// Whether a study was ever judged, and so somebody may have been told of it.
    fn was_judged(&self, study: &StudyKey) -> Result<bool, ChartError> {
        let id = Match::id(&study.study, study.patient);
        let Ok(key) = ChartKey::new(ChartKind::Match, study.facility, &id) else { return Ok(false) };
        Ok(self.newest(&key)?.is_some())
    }

    /// A study was destroyed: what it said of its patient goes, too.
    fn forget_match(&self, study: &StudyKey) -> Result<(), ChartError> {
        let id = Match::id(&study.study, study.patient);
        self.write(study.facility, |writing| match writing.row(ChartKind::Match, &id)? {
            Some(_) => writing.remove(ChartKind::Match, &id),
            None => Ok(()),
        })
    }

    /// The order of a facility with a number; of several the newest that was not canceled.
    fn order_by(&self, facility: FacilityCode, by: Term, value: &str) -> Result<Option<Order>, ChartError> {
        let value = term::value(value);
        if value.is_empty() {
            return Ok(None);
        }
        let query = query_of(ChartKind::Order, Some(facility), by, &value);
        Ok(preferred(self.view.find(&query, None, SAME_MAX).map_err(unavailable)?.rows))
    }

    /// Whether a facility has any order.
    fn has_orders(&self, facility: FacilityCode) -> Result<bool, ChartError> {
        let query = query_of(ChartKind::Order, Some(facility), Term::Any, "");
        Ok(!self.view.find(&query, None, 1).map_err(unavailable)?.rows.is_empty())
    }

    /// Notes every study that was not complete when it was last looked at.
    fn note_incomplete(&self) -> Result<(), ChartError> {
        self.note_matches(&query_of(ChartKind::Match, None, Term::State, term::INCOMPLETE))
    }

    /// Notes every study that was judged beside an order of a patient.
    pub(super) fn note_patient(&self, facility: FacilityCode, mrn: &str) -> Result<(), ChartError> {
        self.note_matches(&query_of(ChartKind::Match, Some(facility), Term::Mrn, &term::value(mrn)))
    }

    fn note_matches(&self, query: &ChartQuery) -> Result<(), ChartError> {
        let mut after = None;
        loop {
            let page = self.view.find(query, after, ROUND).map_err(unavailable)?;
            for row in page.rows {
                if let ChartBody::Match(one) = row.body {
                    let facility = row.key.facility;
                    self.note_study(&StudyKey { facility, study: one.study, patient: one.patient });
                }
            }
            after = page.cursor;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> ChartError {
    ChartError::Unavailable(error.to_string())
}

pub(super) fn query_of(kind: ChartKind, facility: Option<FacilityCode>, by: Term, value: &str) -> ChartQuery {
    ChartQuery {
        kind,
        facilities: facility.map(|facility| BTreeSet::from([facility])),
        driver: ChartDriver::Equal(by, value.to_owned()),
        moments: None,
        years: None,
    }
}

/// How far a thread has looked.
struct Walk {
    file: PathBuf,
    /// First `seq` of the newest study looked at.
    seq: u64,
    saved: (u64, Instant),
    /// Whether what was incomplete at the start is noted.
    begun: bool,
}

impl Walk {
    fn open(archive: &Archive) -> Self {
        let file = archive.options().data.join(PLACE);
        let kept = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let max = archive.index().max_seq();
        // Before the first chart nothing had an order. A place ahead of the index is that of another data directory.
        let start = if archive.charts().applied() == 0 { max } else { 0 };
        let seq = kept.filter(|seq| *seq <= max).unwrap_or(start);
        Self { file, seq, saved: (seq, Instant::now()), begun: false }
    }

    /// Writes the place from time to time; what is lost is looked at again.
    fn save(&mut self) {
        if self.saved.0 == self.seq || self.saved.1.elapsed() < SAVE_EVERY {
            return;
        }
        let beside = self.file.with_extension("new");
        let written = std::fs::write(&beside, self.seq.to_string()).and_then(|()| std::fs::rename(&beside, &self.file));
        if let Err(error) = written {
            tracing::warn!(%error, "how far studies were matched with orders could not be written");
        }
        self.saved = (self.seq, Instant::now());
    }
}

/// Starts the thread that matches studies with orders.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let (mut walk, mut records, mut watch) = (Walk::open(archive), records::Walk::open(archive), Watch::new());
    let mut recorded = recorded::Walk::open(archive);
    every(archive, "matching", move |archive| {
        if archive.health().reason().is_some() || archive.charts().broken().is_some() {
            return;
        }
        if let Err(error) = archive.match_round(&mut walk) {
            tracing::warn!(%error, "studies could not be matched with orders; trying again");
        }
        if let Err(error) = archive.recorded_round(&mut recorded) {
            tracing::warn!(%error, "what was recorded of studies could not be told; trying again");
        }
        if let Err(error) = archive.record_round(&mut records) {
            tracing::warn!(%error, "studies could not be linked to the records of their visits; trying again");
        }
        if let Err(error) = archive.opening_round() {
            tracing::warn!(%error, "that studies were opened could not be recorded; trying again");
        }
        if let Err(error) = archive.watch_round(&mut watch) {
            tracing::warn!(%error, "what modalities say they made could not be looked for; trying again");
        }
    })
}

impl Archive {
    /// Looks at what is due.
    fn match_round(&self, walk: &mut Walk) -> Result<(), ChartError> {
        if !walk.begun {
            self.charts().note_incomplete()?;
            walk.begun = true;
        }
        let after = (walk.seq > 0).then(|| Cursor::arrival(walk.seq));
        let arrived = self.index().arrivals(after.as_ref(), ROUND).map_err(unavailable)?.rows;
        let last = arrived.last().map(|row| row.first_seq);
        self.match_studies(arrived)?;
        walk.seq = last.unwrap_or(walk.seq);
        walk.save();
        let due = &self.charts().due;
        for (facility, mrn) in take(&due.patients) {
            if let Err(error) = self.charts().note_patient(facility, &mrn) {
                note(&due.patients, (facility, mrn));
                return Err(error);
            }
        }
        let (studies, orders) = (take(&due.studies), take(&due.orders));
        let done = self.match_due(&studies, &orders);
        if done.is_err() {
            studies.into_iter().for_each(|study| note(&due.studies, study));
            orders.into_iter().for_each(|order| note(&due.orders, order));
        }
        done
    }

    fn match_due(&self, studies: &[StudyKey], orders: &[(FacilityCode, String)]) -> Result<(), ChartError> {
        let mut rows: BTreeMap<StudyKey, StudyRow> = BTreeMap::new();
        for key in studies {
            match self.index().study(key).map_err(unavailable)? {
                Some(row) => {
                    warn_of(&row);
                    rows.insert(row.key.clone(), row);
                }
                None => self.charts().forget_match(key)?,
            }
        }
        for (facility, placer) in orders {
            let found = self.studies_for(*facility, placer)?;
            rows.extend(found.into_iter().map(|row| (row.key.clone(), row)));
        }
        self.match_studies(rows.into_values().collect())
    }

    /// Studies that an order may be about.
    fn studies_for(&self, facility: FacilityCode, placer: &str) -> Result<Vec<StudyRow>, ChartError> {
        let Ok(key) = ChartKey::new(ChartKind::Order, facility, placer) else { return Ok(Vec::new()) };
        let row = self.charts().view.row(&key).map_err(unavailable)?;
        let Some(ChartBody::Order(order)) = row.map(|row| row.body) else { return Ok(Vec::new()) };
        let mut found = self.index().studies(&order.study).map_err(unavailable)?;
        found.retain(|row| row.key.facility == facility);
        let numbers = [&order.accession, &order.sent_accession].into_iter().filter(|number| !number.is_empty());
        for number in numbers {
            let condition = Condition { key: key::ACCESSION_NUMBER, test: Test::Equal(number.clone()) };
            let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
            let page = self.index().find(&plan(&query, Some(&[facility])), None, SAME_MAX).map_err(unavailable)?;
            found.extend(page.rows.into_iter().map(|row| Arc::unwrap_or_clone(row.study)));
        }
        Ok(found)
    }

    /// Looks for the orders of studies; what comes of it is one record for each facility.
    fn match_studies(&self, rows: Vec<StudyRow>) -> Result<(), ChartError> {
        let mut by_facility: BTreeMap<FacilityCode, Vec<StudyRow>> = BTreeMap::new();
        for row in rows.into_iter().filter(|row| row.hidden_by.is_none()) {
            by_facility.entry(row.key.facility).or_default().push(row);
        }
        for (facility, rows) in by_facility {
            let mut rows = rows;
            if !self.charts().has_orders(facility)? {
                // Without orders only whoever is told of studies needs them, and only those from then on.
                let Some(since) = self.charts().outbox.studies_since(facility) else { continue };
                // Whoever was told of one before hears what becomes of it.
                let mut told = Vec::with_capacity(rows.len());
                for row in rows {
                    if row.last_received >= since || self.charts().was_judged(&row.key)? {
                        told.push(row);
                    }
                }
                rows = told;
            }
            let mut looked = Vec::with_capacity(rows.len());
            for row in rows {
                let (candidate, moved) = (self.candidate(&row)?, self.moved_at(&row)?);
                looked.push((row, candidate, moved));
            }
            self.charts().write(facility, |writing| {
                looked.iter().try_for_each(|(row, candidate, moved)| passing(writing, row, candidate.as_ref(), *moved))
            })?;
        }
        Ok(())
    }

    /// The order that a study may be of.
    fn candidate(&self, row: &StudyRow) -> Result<Option<Candidate>, ChartError> {
        if row.instances == 0 {
            // Every series of it was moved to another study.
            return Ok(None);
        }
        let (charts, facility) = (self.charts(), row.key.facility);
        let accession = value(row.value(key::ACCESSION_NUMBER).as_deref());
        if let Some(order) = charts.order_by(facility, Term::Accession, &accession)? {
            return Ok(Some(Candidate::new(order, "by Accession Number")));
        }
        if let Some(order) = charts.order_by(facility, Term::Study, row.key.study.as_str())? {
            return Ok(Some(Candidate::new(order, "by Study Instance UID")));
        }
        for series in self.index().series_of(&row.key, None, SERIES_MAX).map_err(unavailable)?.rows {
            if let Some(candidate) = self.requested(facility, &series)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// The order that the request in a series' images names.
    fn requested(&self, facility: FacilityCode, series: &SeriesRow) -> Result<Option<Candidate>, ChartError> {
        let charts = self.charts();
        let of = |wanted: AttrKey| value(series.value(wanted).as_deref());
        let study = of(key::REQUEST_STUDY_INSTANCE_UID);
        let named = [(Term::Accession, of(key::REQUEST_ACCESSION_NUMBER)), (Term::Study, study)];
        for (by, number) in named {
            if let Some(order) = charts.order_by(facility, by, &number)? {
                return Ok(Some(Candidate::new(order, "by the request in its images")));
            }
        }
        let Some(placer) = charts.worklist.order_of_step(facility, &of(key::SCHEDULED_PROCEDURE_STEP_ID)) else {
            return Ok(None);
        };
        let Ok(key) = ChartKey::new(ChartKind::Order, facility, &placer) else { return Ok(None) };
        Ok(match charts.view.row(&key).map_err(unavailable)?.map(|row| row.body) {
            Some(ChartBody::Order(order)) => Some(Candidate::of_step(*order)),
            _ => None,
        })
    }

    /// A study of a facility.
    fn study_of(&self, facility: FacilityCode, study: &Uid) -> Result<StudyRow, ChartError> {
        let mut rows = self.index().studies(study).map_err(unavailable)?;
        rows.retain(|row| row.key.facility == facility && row.hidden_by.is_none());
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            (Some(_), false) => {
                Err(ChartError::Conflict("two patients have images under this Study Instance UID".into()))
            }
            (None, _) => Err(ChartError::Unknown("study")),
        }
    }
}

/// Judges a study; one that cannot be keeps no other waiting.
fn passing(
    writing: &mut Writing<'_>,
    row: &StudyRow,
    candidate: Option<&Candidate>,
    moved: u64,
) -> Result<(), ChartError> {
    match judge::judge(writing, row, candidate, moved) {
        Err(error) if !matches!(error, ChartError::Unavailable(_)) => {
            tracing::warn!(study = %row.key.study, %error, "a study could not be matched with an order");
            Ok(())
        }
        done => done,
    }
}

/// The first of several values, trimmed.
pub(super) fn value(text: Option<&str>) -> String {
    first(text.unwrap_or_default()).trim().to_owned()
}
