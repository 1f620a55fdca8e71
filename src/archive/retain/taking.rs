//! Series that were received in a study and stand in others go with it, once those may go, too.
//!
//! So what was moved is kept as long as the longer of both says, and while a hold stands on either; and it goes with
//! everything else that was received with it, by one fact, of which a rebuild makes the same.
//! Deliberately not here: studies that series of others stand in, which wait until these are gone.

use super::candidate::Study;
use super::state::State;
use index::{Index, IndexError, SeriesKey, StudyKey};
use model::date::Date;
use model::retention::{RuleSet, StudyRef, Taken};
use std::collections::BTreeSet;

impl Study {
    /// With what of it stands in other studies, if nothing there keeps it. Until then what was moved keeps the study.
    pub(super) fn with_moved(
        self,
        index: &dyn Index,
        state: &State,
        judged: (&RuleSet, Date),
    ) -> Result<Self, IndexError> {
        if self.standing.is_empty() || self.standing.iter().any(|one| one.study != self.study) {
            return Ok(self);
        }
        let mut others = Vec::new();
        let elsewhere: BTreeSet<StudyRef> = self.standing.iter().map(|one| one.to.clone()).collect();
        for to in &elsewhere {
            let row = index.study(&StudyKey::from(to))?;
            match row.map(|row| Self::whole(index, state, judged, row)).transpose()? {
                Some(there) if there.may_go_by_itself(state, judged) => others.push(there),
                _ => return Ok(self),
            }
        }
        let mut study = self;
        for one in &study.standing {
            let key = SeriesKey { study: StudyKey::from(&one.to), series: one.series.clone() };
            let Some(row) = index.series(&key)? else {
                study.taken.clear();
                return Ok(study);
            };
            study.row.instances = study.row.instances.saturating_add(row.instances);
            study.bytes.hot = study.bytes.hot.saturating_add(row.bytes);
            let (series, from) = (one.series.clone(), one.to.clone());
            study.taken.push(Taken { series, from, through: row.last_seq });
        }
        // It was received as late, worked on as long, and is of as many kinds as what stands elsewhere.
        for there in others {
            if study.row.last_received == 0 {
                study.received_first = there.received_first;
            }
            study.row.last_received = study.row.last_received.max(there.row.last_received);
            study.work_ended = study.work_ended.max(there.work_ended);
            let kinds = study.modalities.drain(..).chain(there.modalities);
            study.modalities = kinds.collect::<BTreeSet<_>>().into_iter().collect();
        }
        study.moved = false;
        Ok(study)
    }

    /// Whether nothing keeps it: its time is over, nobody holds it, and no plan has it.
    fn may_go_by_itself(&self, state: &State, (rules, as_of): (&RuleSet, Date)) -> bool {
        let decision = self.decide(rules, as_of);
        let held = !state.holds.held_by(&self.study, &self.patients).is_empty();
        decision.due.passed(as_of) && !decision.is_unclear() && !held && self.row.hidden_by.is_none()
    }
}
