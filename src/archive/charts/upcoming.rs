//! Who is expected, and when: open steps of orders with an appointment, and visits that begin.
//!
//! Steps are those of the worklist; visits are kept in memory as their rows become true, from some days back on, and read
//! from the rows at a start. So whatever follows from it needs no rows of its own.
//! Deliberately not here: what is done for those who are expected.

use super::journal::unavailable;
use super::{ChartError, Charts, PAGE_MAX};
use crate::error::OpenError;
use crate::options::Options;
use index::charts::{ChartDriver, ChartPage, ChartQuery};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Local, Order, Step, Term, VisitState};
use model::{FacilityCode, Uid};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// Most visits remembered; of further ones nobody is expected.
const VISITS_MAX: usize = 200_000;
/// Most patients remembered who were linked or merged.
const TOLD_MAX: usize = 10_000;

/// By what somebody is expected: a step of an order, or a visit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ExpectedName {
    pub(crate) facility: FacilityCode,
    /// [`ChartKind::Order`] or [`ChartKind::Visit`].
    pub(crate) kind: ChartKind,
    /// Number of the order or visit.
    pub(crate) id: String,
    /// Number of the step; empty for a visit.
    pub(crate) step: String,
}

/// Somebody who is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) name: ExpectedName,
    /// The patient's number.
    pub(crate) mrn: String,
    /// Milliseconds since 1970 UTC.
    pub(crate) start: u64,
    /// Modality of the step; empty where none is known.
    pub(crate) modality: String,
    /// What is to be done, in words.
    pub(crate) words: String,
    /// The study that is to be made.
    pub(crate) study: Option<Uid>,
}

/// Visits that begin.
#[derive(Debug)]
pub(super) struct Upcoming {
    /// Visits that began longer ago are not remembered, in milliseconds; none: nobody asks for any.
    back_ms: Option<u64>,
    /// Patient's number and begin.
    visits: Mutex<BTreeMap<(FacilityCode, String), (String, u64)>>,
    /// Patients who were linked or merged, or are so no more.
    told: Mutex<BTreeSet<Local>>,
    /// Whether anybody may be expected otherwise than when it was last asked.
    changed: AtomicBool,
}

impl Upcoming {
    pub(super) fn new(options: &Options) -> Self {
        let asked = options.ahead.enabled && options.cold.is_some();
        let back_ms = asked.then(|| u64::try_from(options.ahead.keep.as_millis()).unwrap_or(u64::MAX));
        Self { back_ms, visits: Mutex::default(), told: Mutex::default(), changed: AtomicBool::new(false) }
    }

    /// A row became true.
    pub(super) fn row(&self, row: &ChartRow, now_ms: u64) {
        let Some(back_ms) = self.back_ms else { return };
        match &row.body {
            ChartBody::Visit(visit) => {
                let name = (row.key.facility, row.key.id.clone());
                let comes = matches!(visit.state, VisitState::Registered | VisitState::Admitted)
                    && visit.begin >= now_ms.saturating_sub(back_ms);
                let mut visits = self.visits.lock();
                if comes && (visits.len() < VISITS_MAX || visits.contains_key(&name)) {
                    visits.insert(name, (visit.mrn.clone(), visit.begin));
                } else {
                    visits.remove(&name);
                }
            }
            ChartBody::Order(_) => {}
            ChartBody::Link(link) if !link.due => self.tell(row.key.facility, [&link.mrn]),
            ChartBody::Merge(merge) => self.tell(row.key.facility, [&merge.survivor, &merge.former]),
            _ => return,
        }
        self.changed.store(true, Ordering::Relaxed);
    }

    fn tell<const N: usize>(&self, facility: FacilityCode, numbers: [&String; N]) {
        let mut told = self.told.lock();
        if told.len() < TOLD_MAX {
            told.extend(numbers.map(|mrn| Local { facility, mrn: mrn.clone() }));
        }
    }

    /// There is no such row any more.
    pub(super) fn gone(&self, key: &ChartKey) {
        if key.kind == ChartKind::Visit {
            self.visits.lock().remove(&(key.facility, key.id.clone()));
        }
    }
}

/// What is to be done in a step, in the words of its order.
fn words(order: &Order, step: &Step) -> String {
    let codes = order.procedure_code.iter().chain(&step.protocol).map(|code| code.meaning.as_str());
    let texts = [order.procedure.as_str(), step.description.as_str()].into_iter().chain(codes);
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" / ")
}

impl Charts {
    /// Takes up visits of the last days.
    pub(super) fn remember_visits(&self) -> Result<(), OpenError> {
        let Some(back_ms) = self.upcoming.back_ms else { return Ok(()) };
        let now = self.now_ms();
        let query = ChartQuery {
            kind: ChartKind::Visit,
            facilities: None,
            driver: ChartDriver::Equal(Term::Any, String::new()),
            moments: Some((now.saturating_sub(back_ms), u64::MAX)),
            years: None,
        };
        let mut after = None;
        loop {
            let ChartPage { rows, cursor } = self.view.find(&query, after, PAGE_MAX)?;
            rows.iter().for_each(|row| self.upcoming.row(row, now));
            after = cursor;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Everybody who is expected from one moment to another, both included, in milliseconds since 1970 UTC. From memory.
    pub(crate) fn expected(&self, from: u64, to: u64) -> Vec<Expected> {
        let mut found = Vec::new();
        self.worklist.between(from, to, &mut |facility, order, step| {
            if step.unbooked {
                return;
            }
            found.push(Expected {
                name: ExpectedName {
                    facility,
                    kind: ChartKind::Order,
                    id: order.placer.clone(),
                    step: step.id.clone(),
                },
                mrn: order.mrn.clone(),
                start: step.start,
                modality: step.modality.clone(),
                words: words(order, step),
                study: Some(order.study.clone()),
            });
        });
        let mut visits = self.upcoming.visits.lock();
        visits.retain(|_, (_, begin)| *begin >= from);
        for ((facility, number), (mrn, begin)) in visits.iter().filter(|(_, (_, begin))| (from..=to).contains(begin)) {
            let name =
                ExpectedName { facility: *facility, kind: ChartKind::Visit, id: number.clone(), step: String::new() };
            let (mrn, start) = (mrn.clone(), *begin);
            found.push(Expected { name, mrn, start, modality: String::new(), words: String::new(), study: None });
        }
        found
    }

    /// Whether anybody may be expected otherwise than when this was last asked.
    pub(crate) fn took_change(&self) -> bool {
        self.upcoming.changed.swap(false, Ordering::Relaxed)
    }

    /// Patients who have other numbers, or are another person's, than when this was last asked.
    pub(crate) fn took_persons(&self) -> BTreeSet<Local> {
        std::mem::take(&mut *self.upcoming.told.lock())
    }

    /// Whether somebody who was expected at a time is so no more, and it is not because they came.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub(crate) fn is_called_off(&self, name: &ExpectedName, start: u64) -> Result<bool, ChartError> {
        let Ok(key) = ChartKey::new(name.kind, name.facility, &name.id) else { return Ok(true) };
        Ok(match self.view.row(&key).map_err(unavailable)?.map(|row| row.body) {
            Some(ChartBody::Order(order)) => {
                let step = order.steps.iter().find(|step| step.id == name.step);
                step.is_none_or(|step| step.unbooked || step.start != start || is_off(step))
            }
            Some(ChartBody::Visit(visit)) => visit.state == VisitState::Canceled || visit.begin != start,
            _ => true,
        })
    }
}

/// Whether a step will not be done.
fn is_off(step: &Step) -> bool {
    use model::chart::OrderState::{Canceled, Discontinued};
    matches!(step.state, Canceled | Discontinued)
}
