//! What keeps a study, and what is learned of it: holds, linked records, deaths.

use super::candidate::Study;
use super::plans::rules_of;
use super::{RetainError, invalid};
use crate::open::Archive;
use index::{Cursor, StudyKey, plan};
use model::Level;
use model::date::Date;
use model::query::Query;
use model::retention::decision::AHEAD_DAYS_MAX;
use model::retention::{
    ClassId, Hold, HoldId, HoldRelease, HoldTarget, LinkedRecord, PatientRef, Person, RetentionFact, StudyRef,
};

/// Studies asked of the index at once.
const PAGE: usize = 500;
/// Who links studies to records by what information systems say.
const CHARTS: &str = "charts";
/// Most studies one hold names.
const STUDIES_MAX: usize = 100_000;

/// A hold with its end, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Held {
    /// The hold.
    pub hold: Hold,
    /// Its end, if it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<HoldRelease>,
}

impl Archive {
    /// Every hold, by number.
    pub fn holds(&self) -> Vec<Held> {
        let state = self.retention().state.read();
        let held =
            |(hold, release): (&Hold, Option<&HoldRelease>)| Held { hold: hold.clone(), release: release.cloned() };
        state.holds.all().map(held).collect()
    }

    /// Makes a hold.
    ///
    /// # Errors
    /// [`RetainError::Hold`]: its number is taken, it has no reason, or nothing to hold.
    pub fn make_hold(&self, hold: Hold) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        self.retention().state.read().holds.check(&hold)?;
        self.retain(RetentionFact::HoldMade(Box::new(hold)))
    }

    /// The studies a query answers now, hidden ones too, as the target of a hold.
    ///
    /// # Errors
    /// When there are too many, or the index does not answer.
    pub fn hold_target(&self, query: &Query, text: String) -> Result<HoldTarget, RetainError> {
        let query = Query { level: Level::Study, ..query.clone() };
        let plan = plan(&query, None).with_hidden();
        let (mut cursor, mut studies): (Option<Cursor>, Vec<StudyRef>) = (None, Vec::new());
        loop {
            let page = self.index().find(&plan, cursor.as_ref(), PAGE)?;
            studies.extend(page.rows.iter().map(|found| StudyRef::from(&found.study.key)));
            if studies.len() > STUDIES_MAX {
                return Err(invalid(format!("the query answers more than {STUDIES_MAX} studies; narrow it")));
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(HoldTarget::Studies { query: text, studies });
            }
        }
    }

    /// Ends a hold.
    ///
    /// # Errors
    /// [`RetainError::Hold`]: unknown, released before, or without a reason.
    pub fn release_hold(&self, hold: HoldId, by: Person, reason: String) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        let release = HoldRelease { hold, by, reason, at: self.now_ms(), seal: None };
        self.retention().state.read().holds.check_release(&release)?;
        self.retain(RetentionFact::HoldReleased(release))
    }

    /// Links a study to a record of a class, and keeps the decision this leads to.
    ///
    /// # Errors
    /// When there is no such study.
    pub fn link_record(
        &self,
        study: &StudyRef,
        record: LinkedRecord,
        by: Person,
        reason: String,
    ) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        self.study_named(study)?;
        let at = self.now_ms();
        self.retain(RetentionFact::RecordLinked { study: study.clone(), record, by, reason, at, seal: None })?;
        self.keep_decision(study)
    }

    /// Links a study to the records that charts say it belongs to, with why, and keeps the decision. Each class once:
    /// what a person took back is not linked again, unless the record turns out to have been closed later.
    pub(crate) fn link_of_charts(
        &self,
        study: &StudyRef,
        records: Vec<(LinkedRecord, &'static str)>,
    ) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        let mut known: Vec<LinkedRecord> = Vec::new();
        for (_, fact) in self.index().retention_of(&StudyKey::from(study))? {
            match fact {
                RetentionFact::StudyDestroyed(tombstone) if tombstone.study == *study => known.clear(),
                RetentionFact::RecordLinked { record, .. } => known.push(record),
                _ => {}
            }
        }
        // An end that lies ahead is a mistake and counts for nothing: the right one, which is earlier, is still news.
        let today = Date::of_ms(self.now_ms());
        let is_ahead =
            |record: &LinkedRecord| record.ended.is_some_and(|ended| ended > today.plus_days(AHEAD_DAYS_MAX));
        let is_known = |record: &LinkedRecord| {
            let is_same = |known: &LinkedRecord| known.ended >= record.ended && !is_ahead(known);
            known.iter().any(|known| known == record || (known.class == record.class && is_same(known)))
        };
        let news: Vec<_> = records.into_iter().filter(|(record, _)| !is_known(record)).collect();
        if news.is_empty() {
            return Ok(());
        }
        self.study_named(study)?;
        for (record, why) in news {
            let (study, reason, at) = (study.clone(), why.to_owned(), self.now_ms());
            let by = Person::parse(CHARTS).map_err(|error| invalid(error.to_string()))?;
            self.retain(RetentionFact::RecordLinked { study, record, by, reason, at, seal: None })?;
        }
        self.keep_decision(study)
    }

    /// Takes a link back; what it raised stays raised.
    ///
    /// # Errors
    /// When there is no such study.
    pub fn unlink_record(
        &self,
        study: &StudyRef,
        class: ClassId,
        by: Person,
        reason: String,
    ) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        self.study_named(study)?;
        // Judged before and after: a row may have come into force since.
        self.keep_decision(study)?;
        let at = self.now_ms();
        self.retain(RetentionFact::RecordUnlinked { study: study.clone(), class, by, reason, at, seal: None })?;
        self.keep_decision(study)
    }

    /// Records the day a patient died.
    ///
    /// # Errors
    /// A day that has not come.
    pub fn record_death(&self, patient: PatientRef, on: Date, by: Person) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        if on > Date::of_ms(self.now_ms()).plus_days(1) {
            return Err(invalid(format!("{on} has not come")));
        }
        self.retain(RetentionFact::DeathRecorded { patient, on, by, at: self.now_ms(), seal: None })
    }

    /// Instances that came in for studies that were destroyed before, in order.
    ///
    /// # Errors
    /// When the index does not answer.
    pub fn late_instances(&self) -> Result<Vec<RetentionFact>, RetainError> {
        let (mut after, mut late) = (0, Vec::new());
        loop {
            let facts = self.index().retention_facts(after, PAGE)?;
            let Some((last, _)) = facts.last() else { return Ok(late) };
            after = *last;
            let wanted = |fact: &RetentionFact| matches!(fact, RetentionFact::LateInstance { .. });
            late.extend(facts.into_iter().map(|(_, fact)| fact).filter(wanted));
        }
    }

    /// Keeps the decision about a study that has come in wholly, if images that come later could make another of it.
    pub(crate) fn keep_promise(&self, row: &index::StudyRow) -> Result<(), RetainError> {
        let may_fall = {
            let state = self.retention().state.read();
            rules_of(&state).is_ok_and(|rules| Study::quick(&state, row.clone()).may_fall(&rules))
        };
        if !may_fall {
            return Ok(());
        }
        let _turn = self.retention().change.lock();
        self.keep_decision(&StudyRef::from(&row.key))
    }

    /// Judges a study by the rules in use and keeps the outcome when it is news.
    fn keep_decision(&self, study: &StudyRef) -> Result<(), RetainError> {
        let at = self.now_ms();
        let fact = {
            let state = self.retention().state.read();
            let Ok(rules) = rules_of(&state) else { return Ok(()) };
            let row = self.index().study(&StudyKey::from(study))?.ok_or_else(|| invalid("the study is gone"))?;
            let found = Study::whole(self.index().as_ref(), &state, (&rules, Date::of_ms(at)), row)?;
            let decision = found.decide(&rules, Date::of_ms(at));
            let news = found.recorded().is_none_or(|earlier| decision.is_news_after(earlier));
            news.then(|| RetentionFact::Decided { study: study.clone(), decision: Box::new(decision), at })
        };
        fact.map_or(Ok(()), |fact| self.retain(fact))
    }
}
