//! The class of a visit's record, and a patient's death, keep the images that belong to it as long as the record.
//!
//! A study belongs to the visit that its order names; without an order with a visit, to the visits of its patient during
//! which it was made. To a death belong all studies of the patient. What is found is linked to the study as a fact of
//! retention, which only ever raises (docs/adr/0006): taking a visit back later shortens nothing.
//! The journal of charts is followed, and studies in order of arrival; the place in both is kept in a file, and looking
//! twice does no harm. Before a plan hides or destroys a study it is looked at in any case.
//! Deliberately not here: what gives a record its class (maps of senders, and who calls by REST), and terms.

use super::matching::{query_of, take, unavailable, value};
use super::{ChartError, Charts, journal};
use crate::error::OpenError;
use crate::open::Archive;
use index::charts::{ChartEntry, ChartQuery};
use index::{Cursor, StudyKey, StudyRow, plan};
use model::attribute::key;
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Match, Term, Verdict, Visit, VisitState, term};
use model::date::Date;
use model::query::{Condition, Query, Test};
use model::retention::{ClassId, LinkedRecord, StudyRef};
use model::{Caller, FacilityCode, Level, Lsn};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use store::Replayed;

/// Studies, and rows of charts, looked at at once.
const ROUND: usize = 256;
/// Records of the journal of charts followed at once.
const RECORDS: u64 = 1_000;
/// The place is written this often.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// File of the place in the data directory.
const PLACE: &str = "charts-records";
const OF_VISIT: &str = "class of the record of its visit";
const OF_DEAD: &str = "class of the records of its patient";

/// How far was looked: the newest study by arrival, and the newest record of charts.
pub(super) struct Walk {
    file: PathBuf,
    seq: u64,
    lsn: Lsn,
    /// The newest record of charts at the start: what is followed up to it may not have been looked at before the end.
    began: Lsn,
    saved: Instant,
    is_new: bool,
}

impl Walk {
    pub(super) fn open(archive: &Archive) -> Self {
        let file = archive.options().data.join(PLACE);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mut parts = text.split_whitespace().map(|part| part.parse::<u64>().ok());
        let kept = parts.next().flatten().zip(parts.next().flatten());
        let (max, last) = (archive.index().max_seq(), archive.charts().journal.last());
        // Without a place every row of charts is followed, and with it the studies it is about. A place ahead of what is
        // there is that of another data directory.
        let (seq, lsn) = kept.filter(|(seq, lsn)| *seq <= max && *lsn <= last).unwrap_or((max, 0));
        Self { file, seq, lsn, began: last, saved: Instant::now(), is_new: true }
    }

    fn save(&mut self) {
        if !self.is_new || self.saved.elapsed() < SAVE_EVERY {
            return;
        }
        let (beside, text) = (self.file.with_extension("new"), format!("{} {}", self.seq, self.lsn));
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &self.file));
        if let Err(error) = written {
            tracing::warn!(%error, "how far records of visits were followed could not be written");
        }
        (self.saved, self.is_new) = (Instant::now(), false);
    }
}

/// Whom rows are about that may give studies a class.
#[derive(Default)]
struct Touched {
    patients: BTreeSet<(FacilityCode, String)>,
    orders: BTreeSet<(FacilityCode, String)>,
    studies: BTreeSet<StudyKey>,
}

impl Touched {
    fn row(&mut self, row: &ChartRow) {
        let facility = row.key.facility;
        match &row.body {
            ChartBody::Patient(patient) if !patient.records.is_empty() => {
                self.patients.insert((facility, patient.mrn.clone()));
            }
            ChartBody::Visit(visit) if !visit.records.is_empty() => {
                self.patients.insert((facility, visit.mrn.clone()));
            }
            ChartBody::Merge(merge) => {
                self.patients.extend([(facility, merge.survivor.clone()), (facility, merge.former.clone())]);
            }
            ChartBody::Order(order) if order.images.is_some() && !order.visit.is_empty() => {
                self.orders.insert((facility, order.placer.clone()));
            }
            ChartBody::Match(one) if one.verdict == Verdict::Matched => {
                self.studies.insert(study_of(facility, one));
            }
            _ => {}
        }
    }
}

fn study_of(facility: FacilityCode, one: &Match) -> StudyKey {
    StudyKey { facility, study: one.study.clone(), patient: one.patient }
}

/// What charts say of a patient.
#[derive(Default)]
struct Known {
    /// Classes of all their records.
    always: Vec<ClassId>,
    /// Visits that were not taken back and have a class.
    visits: Vec<Visit>,
}

/// The days of a visit: without an end it lasts while the patient is there, else until the next day.
fn days(visit: &Visit, day: impl Fn(u64) -> Date) -> (Date, Date) {
    let begin = day(visit.begin);
    let end = match (visit.end, visit.state) {
        (Some(end), _) => day(end),
        (None, VisitState::Admitted) => Date::MAX,
        (None, _) => begin.plus_days(1),
    };
    (begin, end)
}

impl Charts {
    /// A day as clocks of facilities show it.
    fn day(&self, ms: u64) -> Date {
        let hours = i64::from(self.worklist.utc_offset());
        let shifted = ms.saturating_add_signed(hours.saturating_mul(3_600_000));
        Date::of_ms(shifted)
    }

    /// Every row of an answer.
    fn all_of(
        &self,
        query: &ChartQuery,
        each: &mut dyn FnMut(ChartRow) -> Result<(), ChartError>,
    ) -> Result<(), ChartError> {
        let mut after = None;
        loop {
            let page = self.view.find(query, after, ROUND).map_err(unavailable)?;
            page.rows.into_iter().try_for_each(&mut *each)?;
            after = page.cursor;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn body_of(&self, kind: ChartKind, facility: FacilityCode, id: &str) -> Result<Option<ChartBody>, ChartError> {
        let Ok(key) = ChartKey::new(kind, facility, id) else { return Ok(None) };
        Ok(self.view.row(&key).map_err(unavailable)?.map(|row| row.body))
    }

    /// What is said of the patient of a number, under every number they have.
    fn known_of(&self, facility: FacilityCode, mrn: &str) -> Result<Known, ChartError> {
        let mut known = Known::default();
        for number in self.numbers(&Caller::operator(), facility, mrn)? {
            if let Some(ChartBody::Patient(patient)) = self.body_of(ChartKind::Patient, facility, &number)? {
                known.always.extend(patient.records);
            }
            let visits = query_of(ChartKind::Visit, Some(facility), Term::Mrn, &term::value(&number));
            self.all_of(&visits, &mut |row| {
                if let ChartBody::Visit(visit) = row.body
                    && visit.mrn.trim() == number
                    && visit.state != VisitState::Canceled
                    && !visit.records.is_empty()
                {
                    known.visits.push(*visit);
                }
                Ok(())
            })?;
        }
        Ok(known)
    }

    /// The records a study belongs to, of those that have a class.
    fn records_of(&self, row: &StudyRow) -> Result<Vec<(LinkedRecord, &'static str)>, ChartError> {
        let facility = row.key.facility;
        let id = Match::id(&row.key.study, row.key.patient);
        let matched = match self.body_of(ChartKind::Match, facility, &id)? {
            Some(ChartBody::Match(one)) if one.verdict == Verdict::Matched => Some(one),
            _ => None,
        };
        let order = match &matched {
            Some(one) => self.body_of(ChartKind::Order, facility, &one.placer)?,
            None => None,
        };
        let own = value(row.value(key::PATIENT_ID).as_deref());
        let mrn = matched.and_then(|one| one.mrn).filter(|mrn| !mrn.is_empty()).unwrap_or(own);
        let mut found: Vec<(LinkedRecord, &'static str)> = Vec::new();
        if !mrn.is_empty() {
            let known = self.known_of(facility, &mrn)?;
            found.extend(known.always.into_iter().map(|class| (LinkedRecord { class, ended: None }, OF_DEAD)));
            let ordered = match &order {
                Some(ChartBody::Order(order)) if !order.visit.is_empty() => {
                    self.body_of(ChartKind::Visit, facility, &order.visit)?
                }
                _ => None,
            };
            let visits = match ordered {
                Some(ChartBody::Visit(visit)) if visit.state == VisitState::Canceled => Vec::new(),
                Some(ChartBody::Visit(visit)) => vec![*visit],
                _ => self.during(row, known.visits),
            };
            for visit in visits {
                let ended = visit.end.map(|end| self.day(end));
                found.extend(visit.records.into_iter().map(|class| (LinkedRecord { class, ended }, OF_VISIT)));
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The visits during which a study was made.
    fn during(&self, row: &StudyRow, mut visits: Vec<Visit>) -> Vec<Visit> {
        let written = value(row.value(key::STUDY_DATE).as_deref());
        let made = Date::parse_da(&written).unwrap_or_else(|| self.day(row.last_received));
        visits.retain(|visit| {
            let (begin, end) = days(visit, |ms| self.day(ms));
            (begin..=end).contains(&made)
        });
        visits
    }

    /// Whom the records of the journal after one are about, and the last record looked at.
    fn follow(&self, after: Lsn) -> Result<(Touched, Lsn), ChartError> {
        let until = self.settled.load(Ordering::Acquire).min(after.saturating_add(RECORDS));
        let mut touched = Touched::default();
        let mut look = |replayed: Replayed<'_>| -> Result<(), OpenError> {
            for entry in journal::read(&self.journal, &self.keys, &replayed)?.entries {
                if let ChartEntry::Put(row) = entry {
                    touched.row(&row);
                }
            }
            Ok(())
        };
        if until > after {
            let (from, before) = (after.saturating_add(1), until.saturating_add(1));
            self.journal.replay_until(from, before, &mut look).map_err(unavailable)?;
        }
        Ok((touched, until.max(after)))
    }
}

impl Archive {
    /// Looks at what is new.
    pub(super) fn record_round(&self, walk: &mut Walk) -> Result<(), ChartError> {
        let charts = self.charts();
        // What earlier rounds noted is kept nowhere else.
        if charts.due.is_worked_off() {
            walk.save();
        }
        let (touched, lsn) = charts.follow(walk.lsn)?;
        let again = walk.lsn < walk.began;
        let mut studies = touched.studies;
        for (facility, placer) in touched.orders {
            let query = query_of(ChartKind::Match, Some(facility), Term::Placer, &term::value(&placer));
            self.matched_with(&query, &mut studies)?;
        }
        for (facility, mrn) in touched.patients {
            self.take_records_of_patient(facility, &mrn)?;
            if again {
                charts.note_patient(facility, &mrn)?;
            }
        }
        if again {
            // A visit may be another patient's since, with its orders.
            studies.iter().for_each(|study| charts.note_study(study));
        }
        studies.into_iter().try_for_each(|study| self.take_records_at(&study))?;
        walk.is_new |= walk.lsn != lsn;
        walk.lsn = lsn;
        let after = (walk.seq > 0).then(|| Cursor::arrival(walk.seq));
        let arrived = self.index().arrivals(after.as_ref(), ROUND).map_err(unavailable)?.rows;
        for row in &arrived {
            self.take_records(row)?;
            (walk.seq, walk.is_new) = (row.first_seq, true);
        }
        let due = take(&charts.due.recorded);
        let done = due.iter().try_for_each(|study| self.take_records_at(study));
        if done.is_err() {
            charts.due.recorded.lock().extend(due);
        }
        done
    }

    /// Studies that have an order, among the matches of a question.
    fn matched_with(&self, query: &ChartQuery, studies: &mut BTreeSet<StudyKey>) -> Result<(), ChartError> {
        self.charts().all_of(query, &mut |row| {
            if let ChartBody::Match(one) = &row.body
                && one.verdict == Verdict::Matched
            {
                studies.insert(study_of(row.key.facility, one));
            }
            Ok(())
        })
    }

    /// Looks at every study of a patient, if any of their records has a class.
    fn take_records_of_patient(&self, facility: FacilityCode, mrn: &str) -> Result<(), ChartError> {
        let charts = self.charts();
        let known = charts.known_of(facility, mrn)?;
        if known.always.is_empty() && known.visits.is_empty() {
            return Ok(());
        }
        for number in charts.numbers(&Caller::operator(), facility, mrn)? {
            let mut matched = BTreeSet::new();
            let query = query_of(ChartKind::Match, Some(facility), Term::Mrn, &term::value(&number));
            self.matched_with(&query, &mut matched)?;
            matched.into_iter().try_for_each(|study| self.take_records_at(&study))?;
            let condition = Condition { key: key::PATIENT_ID, test: Test::Equal(number) };
            let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
            let plan = plan(&query, Some(&[facility])).with_hidden();
            let mut cursor: Option<Cursor> = None;
            loop {
                let page = self.index().find(&plan, cursor.as_ref(), ROUND).map_err(unavailable)?;
                page.rows.iter().try_for_each(|found| self.take_records(&found.study))?;
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn take_records_at(&self, study: &StudyKey) -> Result<(), ChartError> {
        match self.index().study(study).map_err(unavailable)? {
            Some(row) => self.take_records(&row),
            None => Ok(()),
        }
    }

    /// What charts say of a study now counts for retention from now on.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when charts or the index do not answer: nothing may be concluded then.
    pub(crate) fn take_records_of(&self, study: &StudyRef) -> Result<(), ChartError> {
        match self.charts().broken() {
            Some(what) => Err(ChartError::Unavailable(what)),
            None => self.take_records_at(&StudyKey::from(study)),
        }
    }

    fn take_records(&self, row: &StudyRow) -> Result<(), ChartError> {
        let records = self.charts().records_of(row)?;
        if records.is_empty() {
            return Ok(());
        }
        self.link_of_charts(&StudyRef::from(&row.key), records).map_err(unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::date::DAY_MS;

    #[test]
    fn a_visit_lasts_to_its_end_or_while_the_patient_is_there() {
        let visit = |end: Option<u64>, state: VisitState| Visit { begin: 0, end, state, ..Visit::default() };
        let last = |visit: &Visit| days(visit, Date::of_ms).1;
        assert_eq!(last(&visit(Some(3 * DAY_MS), VisitState::Discharged)), Date::of_ms(3 * DAY_MS));
        assert_eq!(last(&visit(None, VisitState::Admitted)), Date::MAX);
        assert_eq!(last(&visit(None, VisitState::Registered)), Date::of_ms(DAY_MS));
    }
}
