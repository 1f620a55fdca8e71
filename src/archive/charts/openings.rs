//! The first time that somebody looks at a study: recorded once, durably, and no look writes anything itself.
//!
//! A look costs whoever looks a name in memory. A thread records the first one beside the study's order; a kill within
//! that second loses it, and the next look counts. A facility without orders has no place to record it at.
//! Deliberately not here: who looked, which is the log's matter, and what counts as a look, which is the edges'.

use super::journal::unavailable;
use super::{ChartError, Charts, orders};
use crate::open::Archive;
use index::StudyKey;
use model::FacilityCode;
use model::chart::{ChartBody, ChartKey, ChartKind, Match, Verdict, course};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

/// Studies of which it is remembered that they were opened.
const KNOWN_MAX: usize = 1 << 16;
/// Most studies that wait to be recorded; the next look at one beyond counts.
const DUE_MAX: usize = 1 << 16;
/// Studies recorded in one round.
const ROUND: usize = 256;
/// So long a study that has just come may be unknown to the matching, in milliseconds.
const PATIENCE_MS: u64 = 60_000;

/// Studies that were looked at.
#[derive(Default)]
pub(super) struct Openings {
    known: Mutex<HashSet<StudyKey>>,
    due: Mutex<Due>,
}

/// Studies that wait to be recorded, each with when it was looked at.
#[derive(Default)]
struct Due {
    waiting: BTreeMap<StudyKey, u64>,
    /// The one taken last: its successors are next, so that those that wait for their place keep no other waiting.
    last: Option<StudyKey>,
}

impl Openings {
    fn note(&self, study: &StudyKey, at: u64) {
        {
            let mut known = self.known.lock();
            if known.contains(study) {
                return;
            }
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(study.clone());
        }
        self.wait(study.clone(), at);
    }

    fn wait(&self, study: StudyKey, at: u64) {
        let mut due = self.due.lock();
        if due.waiting.len() < DUE_MAX {
            due.waiting.entry(study).or_insert(at);
        } else {
            self.known.lock().remove(&study);
        }
    }

    fn take(&self) -> BTreeMap<FacilityCode, Vec<(StudyKey, u64)>> {
        let mut due = self.due.lock();
        let behind = due.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut keys: Vec<StudyKey> =
            due.waiting.range::<StudyKey, _>((behind, Bound::Unbounded)).take(ROUND).map(key_of).collect();
        let room = ROUND.saturating_sub(keys.len());
        if let Some(last) = &due.last {
            keys.extend(due.waiting.range::<StudyKey, _>(..=last).take(room).map(key_of));
        }
        due.last = keys.last().cloned();
        let mut taken = BTreeMap::<FacilityCode, Vec<(StudyKey, u64)>>::new();
        for key in keys {
            if let Some(at) = due.waiting.remove(&key) {
                taken.entry(key.facility).or_default().push((key, at));
            }
        }
        taken
    }
}

fn key_of((study, _): (&StudyKey, &u64)) -> StudyKey {
    study.clone()
}

impl Charts {
    /// Somebody looks at a study.
    pub fn note_opened(&self, study: &StudyKey) {
        self.openings.note(study, self.now_ms());
    }

    /// Those of which it is not recorded yet that they were opened, by the ids of their rows.
    fn unopened(&self, studies: &[(StudyKey, u64)]) -> Result<Vec<(String, u64)>, ChartError> {
        let mut found = Vec::new();
        for (study, at) in studies {
            let id = Match::id(&study.study, study.patient);
            let Ok(key) = ChartKey::new(ChartKind::Match, study.facility, &id) else { continue };
            match self.view.row(&key).map_err(unavailable)?.map(|row| row.body) {
                Some(ChartBody::Match(one)) if one.opened.is_none() => found.push((id, *at)),
                Some(_) => {}
                None if self.now_ms().saturating_sub(*at) < PATIENCE_MS => self.openings.wait(study.clone(), *at),
                None => {
                    self.openings.known.lock().remove(study);
                }
            }
        }
        Ok(found)
    }

    fn record_openings(&self, facility: FacilityCode, studies: &[(StudyKey, u64)]) -> Result<(), ChartError> {
        let unopened = self.unopened(studies)?;
        if unopened.is_empty() {
            return Ok(());
        }
        self.write(facility, |writing| {
            for (id, at) in &unopened {
                let Some(ChartBody::Match(mut one)) = writing.row(ChartKind::Match, id)? else { continue };
                course::first(&mut one.opened, *at);
                if one.verdict == Verdict::Matched
                    && let Some(mut order) = orders::order(writing, &one.placer)?
                {
                    course::first(&mut order.course.opened, *at);
                    orders::put(writing, order)?;
                }
                writing.put(id, ChartBody::Match(one))?;
            }
            Ok(())
        })
    }
}

impl Archive {
    /// Records which studies were looked at for the first time.
    pub(super) fn opening_round(&self) -> Result<(), ChartError> {
        let charts = self.charts();
        let mut failed = None;
        for (facility, studies) in charts.openings.take() {
            if let Err(error) = charts.record_openings(facility, &studies) {
                studies.into_iter().for_each(|(study, at)| charts.openings.wait(study, at));
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Uid;

    #[test]
    fn those_that_wait_for_their_place_keep_no_other_waiting() {
        let openings = Openings::default();
        for number in 0..ROUND * 2 {
            let study = Uid::parse(&format!("1.2.{}", 10_000 + number)).expect("a UID");
            openings.note(&StudyKey { facility: FacilityCode::DEMO, study, patient: 0 }, 5);
        }
        let mut seen = HashSet::new();
        for _ in 0..2 {
            let taken: Vec<_> = openings.take().into_values().flatten().collect();
            assert_eq!(taken.len(), ROUND);
            for (study, at) in taken {
                seen.insert(study.clone());
                // The matching does not know it yet.
                openings.wait(study, at);
            }
        }
        assert_eq!(seen.len(), ROUND * 2);
    }
}
