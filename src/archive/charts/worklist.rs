//! The worklist: every open step of every facility, in memory.
//!
//! It is a view of the rows of orders and patients, fed with every row that becomes true; a question touches the steps
//! of its days and stations, or those of the number it names. Patients are held while an open order needs them. An order
//! whose steps lie too many days back is no longer shown, and no longer held; it stays an order.
//! Deliberately not here: attributes of a worklist on a wire, and which console may ask for what.

mod asked;
mod house;

use super::journal::unavailable;
use super::times::{da, shown};
use super::{ChartError, Charts, WorklistItem, WorklistQuery};
use crate::clock::Clock;
use asked::Asked;
use house::{House, Place};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Order, Step};
use model::{Date, FacilityCode};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// Items taken under one look; then others may change the list.
const PAGE: usize = 32;
/// Rounds of fetching patients, each of which may name one more that it was merged into.
const FETCH_MAX: usize = super::orders::HOPS_MAX;

/// Open steps of every facility.
pub(super) struct Worklist {
    clock: Arc<dyn Clock>,
    keep_days: u16,
    utc_offset: i8,
    lists: RwLock<Lists>,
}

#[derive(Default)]
struct Lists {
    houses: HashMap<FacilityCode, House>,
    /// The first day that was shown when old orders were last left out.
    swept: String,
}

impl Worklist {
    /// An empty one: steps are shown until `keep_days` after their day, by a clock `utc_offset` hours east of UTC.
    pub(super) fn new(clock: Arc<dyn Clock>, keep_days: u16, utc_offset: i8) -> Self {
        Self { clock, keep_days, utc_offset, lists: RwLock::default() }
    }

    /// Hours east of UTC of the clock that steps are scheduled by.
    pub(super) const fn utc_offset(&self) -> i8 {
        self.utc_offset
    }

    /// The first day that is shown.
    fn first_day(&self) -> String {
        let (today, _) = shown(self.clock.now_ms(), self.utc_offset);
        let today = Date::parse_da(&today).unwrap_or(Date::MIN);
        da(today.plus_days(-i64::from(self.keep_days)))
    }

    /// A row is this from now on. Only orders and patients matter; an older state than the one known changes nothing.
    pub(super) fn put(&self, row: &ChartRow) {
        match &row.body {
            ChartBody::Order(order) => {
                let first = self.first_day();
                let mut lists = self.lists.write();
                if lists.swept != first {
                    lists.houses.values_mut().for_each(|house| house.sweep(&first));
                    lists.swept.clone_from(&first);
                }
                lists.houses.entry(row.key.facility).or_default().put_order(row.lsn, order, &first);
            }
            ChartBody::Patient(patient) => {
                if let Some(house) = self.lists.write().houses.get_mut(&row.key.facility) {
                    house.put_patient(row.lsn, patient);
                }
            }
            _ => {}
        }
    }

    /// There is no such row any more.
    pub(super) fn gone(&self, key: &ChartKey) {
        if !matches!(key.kind, ChartKind::Order | ChartKind::Patient) {
            return;
        }
        let mut lists = self.lists.write();
        let Some(house) = lists.houses.get_mut(&key.facility) else { return };
        match key.kind {
            ChartKind::Order => house.remove_order(&key.id),
            _ => house.absent(&key.id),
        }
    }

    /// The one order with an open step of this number; none when there are several.
    pub(super) fn order_of_step(&self, facility: FacilityCode, step: &str) -> Option<String> {
        self.lists.read().houses.get(&facility)?.order_of_step(step)
    }

    /// Open steps that begin between two moments, both included, each with its order.
    pub(super) fn between(&self, from: u64, to: u64, each: &mut dyn FnMut(FacilityCode, &Arc<Order>, &Step)) {
        let (first, last) = (shown(from, self.utc_offset).0, shown(to, self.utc_offset).0);
        for (facility, house) in &self.lists.read().houses {
            house.between(&first, &last, &mut |order, step| {
                if (from..=to).contains(&step.start) {
                    each(*facility, order, step);
                }
            });
        }
    }

    /// Patients that open orders need and that nobody has shown.
    fn wanting(&self, facility: FacilityCode) -> Vec<String> {
        self.lists.read().houses.get(&facility).map(House::wanting).unwrap_or_default()
    }

    /// Some of what matches, in order of start, and where to go on.
    fn page(&self, facility: FacilityCode, asked: &Asked, after: Option<&Place>) -> (Vec<WorklistItem>, Option<Place>) {
        let first = self.first_day();
        let lists = self.lists.read();
        let Some(house) = lists.houses.get(&facility) else { return (Vec::new(), None) };
        house.page(facility, asked, &first, after, PAGE)
    }
}

impl Charts {
    /// Open steps that match, in order of start, until `each` says no. From memory.
    ///
    /// # Errors
    /// [`ChartError::Invalid`] for days, times or a name that are none.
    pub fn worklist(
        &self,
        facility: FacilityCode,
        query: &WorklistQuery,
        each: &mut dyn FnMut(WorklistItem) -> bool,
    ) -> Result<(), ChartError> {
        let asked = Asked::new(query, self.worklist.utc_offset())?;
        self.fetch(facility)?;
        let mut after = None;
        loop {
            let (items, next) = self.worklist.page(facility, &asked, after.as_ref());
            for item in items {
                if !each(item) {
                    return Ok(());
                }
            }
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Brings patients that open orders need into the worklist.
    fn fetch(&self, facility: FacilityCode) -> Result<(), ChartError> {
        for _ in 0..FETCH_MAX {
            let wanting = self.worklist.wanting(facility);
            if wanting.is_empty() {
                break;
            }
            for mrn in wanting {
                let key = ChartKey::new(ChartKind::Patient, facility, &mrn);
                let key = key.map_err(|error| ChartError::Invalid(error.to_string()))?;
                match self.view.row(&key).map_err(unavailable)? {
                    Some(row) => self.worklist.put(&row),
                    None => self.worklist.gone(&key),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
