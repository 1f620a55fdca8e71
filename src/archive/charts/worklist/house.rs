//! What one facility's worklist holds, and by what it is looked up.

use super::asked::Asked;
use crate::charts::{WorklistItem, orders};
use model::chart::{Order, Patient, Step};
use model::{AeTitle, FacilityCode, Lsn, Uid, name};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, btree_set};
use std::hash::Hash;
use std::ops::Bound;
use std::sync::Arc;

/// A step in the order of start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    start: u64,
    placer: Arc<str>,
    step: usize,
}

/// Where a page ended: a day and the last step shown of it.
pub(super) type Place = (String, Slot);

/// Steps of a day by station and modality.
type Day = BTreeMap<(Option<AeTitle>, String), BTreeSet<Slot>>;

/// An order with open steps.
struct Held {
    lsn: Lsn,
    order: Arc<Order>,
}

/// A patient that an open order needs, or into which one that is needed was merged.
#[derive(Default)]
struct Person {
    lsn: Lsn,
    known: Option<Arc<Patient>>,
    folded: String,
    orders: BTreeSet<String>,
    /// Numbers that were merged into this one.
    from: BTreeSet<String>,
}

/// The worklist of a facility.
#[derive(Default)]
pub(super) struct House {
    orders: HashMap<String, Held>,
    persons: HashMap<String, Person>,
    wanting: BTreeSet<String>,
    days: BTreeMap<String, Day>,
    accessions: HashMap<String, BTreeSet<String>>,
    studies: HashMap<Uid, BTreeSet<String>>,
    step_ids: HashMap<String, BTreeSet<String>>,
}

fn open_steps(order: &Order) -> impl Iterator<Item = (usize, &Step)> {
    let open = order.state.is_open();
    order.steps.iter().enumerate().filter(move |(_, step)| open && step.state.is_open())
}

fn add<K: Eq + Hash>(table: &mut HashMap<K, BTreeSet<String>>, key: K, placer: &str) {
    table.entry(key).or_default().insert(placer.to_owned());
}

fn drop_from<K: Eq + Hash>(table: &mut HashMap<K, BTreeSet<String>>, key: &K, placer: &str) {
    if let Some(set) = table.get_mut(key) {
        set.remove(placer);
        if set.is_empty() {
            table.remove(key);
        }
    }
}

impl House {
    /// Holds an order that has steps to show, in the place of what was held of it.
    pub(super) fn put_order(&mut self, lsn: Lsn, order: &Order, first_day: &str) {
        if self.orders.get(&order.placer).is_some_and(|held| held.lsn > lsn) {
            return;
        }
        // The patient stays held meanwhile.
        let held = self.persons.get_mut(&order.mrn).map(|person| person.orders.insert(String::new()));
        self.remove_order(&order.placer);
        if open_steps(order).any(|(_, step)| step.date.as_str() >= first_day) {
            self.hold_order(lsn, order);
        }
        if held.is_some() {
            if let Some(person) = self.persons.get_mut(&order.mrn) {
                person.orders.remove("");
            }
            self.let_go(&order.mrn);
        }
    }

    fn hold_order(&mut self, lsn: Lsn, order: &Order) {
        let placer: Arc<str> = order.placer.as_str().into();
        for (number, step) in open_steps(order) {
            let slot = Slot { start: step.start, placer: Arc::clone(&placer), step: number };
            let day = self.days.entry(step.date.clone()).or_default();
            day.entry((step.station.clone(), step.modality.clone())).or_default().insert(slot);
            add(&mut self.step_ids, step.id.clone(), &placer);
        }
        add(&mut self.accessions, order.accession.clone(), &placer);
        add(&mut self.studies, order.study.clone(), &placer);
        self.person(&order.mrn).orders.insert(order.placer.clone());
        self.orders.insert(order.placer.clone(), Held { lsn, order: Arc::new(order.clone()) });
    }

    /// Holds nothing of an order.
    pub(super) fn remove_order(&mut self, placer: &str) {
        let Some(Held { order, .. }) = self.orders.remove(placer) else { return };
        let name: Arc<str> = placer.into();
        for (number, step) in open_steps(&order) {
            let slot = Slot { start: step.start, placer: Arc::clone(&name), step: number };
            let bucket = (step.station.clone(), step.modality.clone());
            if let Some(day) = self.days.get_mut(&step.date) {
                if let Some(slots) = day.get_mut(&bucket) {
                    slots.remove(&slot);
                    if slots.is_empty() {
                        day.remove(&bucket);
                    }
                }
                if day.is_empty() {
                    self.days.remove(&step.date);
                }
            }
            drop_from(&mut self.step_ids, &step.id, placer);
        }
        drop_from(&mut self.accessions, &order.accession, placer);
        drop_from(&mut self.studies, &order.study, placer);
        if let Some(person) = self.persons.get_mut(&order.mrn) {
            person.orders.remove(placer);
        }
        self.let_go(&order.mrn);
    }

    /// Holds nothing of orders all of whose steps lie before a day.
    pub(super) fn sweep(&mut self, first_day: &str) {
        let old = self.days.range::<str, _>((Bound::Unbounded, Bound::Excluded(first_day)));
        let slots = old.flat_map(|(_, day)| day.values().flatten());
        let placers: BTreeSet<String> = slots.map(|slot| slot.placer.to_string()).collect();
        for placer in placers {
            let shown = |held: &Held| open_steps(&held.order).any(|(_, step)| step.date.as_str() >= first_day);
            if !self.orders.get(&placer).is_some_and(shown) {
                self.remove_order(&placer);
            }
        }
    }

    /// Open steps of some days, both included, each with its order.
    pub(super) fn between(&self, first: &str, last: &str, each: &mut dyn FnMut(&Arc<Order>, &Step)) {
        if first > last {
            return;
        }
        let days = self.days.range::<str, _>((Bound::Included(first), Bound::Included(last)));
        for slot in days.flat_map(|(_, day)| day.values().flatten()) {
            let Some(held) = self.orders.get(&*slot.placer) else { continue };
            if let Some(step) = held.order.steps.get(slot.step) {
                each(&held.order, step);
            }
        }
    }

    /// The entry of a patient that is needed from now on.
    fn person(&mut self, mrn: &str) -> &mut Person {
        if !self.persons.contains_key(mrn) {
            self.wanting.insert(mrn.to_owned());
        }
        self.persons.entry(mrn.to_owned()).or_default()
    }

    /// What a patient is from now on, as far as anybody needs it.
    pub(super) fn put_patient(&mut self, lsn: Lsn, patient: &Patient) {
        let mrn = patient.mrn.trim();
        let Some(person) = self.persons.get_mut(mrn) else { return };
        if person.known.is_some() && person.lsn > lsn {
            return;
        }
        let before = person.known.as_ref().and_then(|known| known.merged_into.clone());
        person.lsn = lsn;
        person.folded = name::fold_names(&patient.name);
        person.known = Some(Arc::new(patient.clone()));
        self.wanting.remove(mrn);
        if before == patient.merged_into {
            return;
        }
        if let Some(survivor) = &patient.merged_into {
            self.person(survivor).from.insert(mrn.to_owned());
        }
        if let Some(survivor) = before {
            self.leave(&survivor, mrn);
        }
    }

    /// A patient that is not there.
    pub(super) fn absent(&mut self, mrn: &str) {
        self.wanting.remove(mrn);
        if let Some(person) = self.persons.get_mut(mrn) {
            person.known = None;
            person.folded.clear();
        }
    }

    /// A number is no longer merged into another one.
    fn leave(&mut self, survivor: &str, mrn: &str) {
        if let Some(person) = self.persons.get_mut(survivor) {
            person.from.remove(mrn);
        }
        self.let_go(survivor);
    }

    /// Forgets a patient that nobody needs, and then the one it was merged into.
    fn let_go(&mut self, mrn: &str) {
        let mut mrn = mrn.to_owned();
        while self.persons.get(&mrn).is_some_and(|person| person.orders.is_empty() && person.from.is_empty()) {
            let gone = self.persons.remove(&mrn);
            self.wanting.remove(&mrn);
            let Some(survivor) = gone.and_then(|person| person.known).and_then(|known| known.merged_into.clone())
            else {
                return;
            };
            if let Some(person) = self.persons.get_mut(&survivor) {
                person.from.remove(&mrn);
            }
            mrn = survivor;
        }
    }

    /// The patient who answers for a number now.
    fn holder(&self, mrn: &str) -> Option<(&Arc<Patient>, &str)> {
        let mut person = self.persons.get(mrn)?;
        for _ in 0..orders::HOPS_MAX {
            let known = person.known.as_ref()?;
            match &known.merged_into {
                Some(survivor) => person = self.persons.get(survivor)?,
                None => return Some((known, &person.folded)),
            }
        }
        None
    }

    /// Patients to be looked for.
    pub(super) fn wanting(&self) -> Vec<String> {
        self.wanting.iter().cloned().collect()
    }

    /// The one order with an open step of this number.
    pub(super) fn order_of_step(&self, step: &str) -> Option<String> {
        let placers = self.step_ids.get(step).filter(|placers| placers.len() == 1)?;
        placers.first().cloned()
    }

    /// Some of what matches behind a place, and the last place when there may be more.
    pub(super) fn page(
        &self,
        facility: FacilityCode,
        asked: &Asked,
        first_day: &str,
        after: Option<&Place>,
        limit: usize,
    ) -> (Vec<WorklistItem>, Option<Place>) {
        let mut items = Vec::new();
        let mut last = None;
        let mut each = |day: &str, slot: &Slot| {
            if let Some(item) = self.item(facility, asked, slot) {
                items.push(item);
                last = (items.len() >= limit).then(|| (day.to_owned(), slot.clone()));
            }
            last.is_none()
        };
        match self.named(asked) {
            Some(placers) => self.walk_orders(&placers, first_day, after, &mut each),
            None => self.walk_days(asked, first_day, after, &mut each),
        }
        (items, last)
    }

    fn item(&self, facility: FacilityCode, asked: &Asked, slot: &Slot) -> Option<WorklistItem> {
        let order = &self.orders.get(&*slot.placer)?.order;
        let step = order.steps.get(slot.step)?;
        let (patient, folded) = self.holder(&order.mrn)?;
        asked.accepts(order, step, patient, folded).then(|| WorklistItem {
            facility,
            order: Arc::clone(order),
            step: step.clone(),
            patient: Arc::clone(patient),
        })
    }

    /// The orders among which every match is, where the question names a number.
    fn named(&self, asked: &Asked) -> Option<BTreeSet<String>> {
        let of = |found: Option<&BTreeSet<String>>| Some(found.cloned().unwrap_or_default());
        if !asked.accession.is_empty() {
            return of(self.accessions.get(&asked.accession));
        }
        if !asked.studies.is_empty() {
            let found = asked.studies.iter().filter_map(|study| self.studies.get(study));
            return Some(found.flatten().cloned().collect());
        }
        if !asked.step_id.is_empty() {
            return of(self.step_ids.get(&asked.step_id));
        }
        (!asked.mrn.is_empty()).then(|| self.orders_of(&asked.mrn))
    }

    /// Orders of a number and of those that were merged into it.
    fn orders_of(&self, mrn: &str) -> BTreeSet<String> {
        let (mut placers, mut seen, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![mrn.to_owned()]);
        while let Some(mrn) = next.pop() {
            if let Some(person) = self.persons.get(&mrn).filter(|_| seen.insert(mrn.clone())) {
                placers.extend(person.orders.iter().cloned());
                next.extend(person.from.iter().cloned());
            }
        }
        placers
    }

    fn walk_orders(
        &self,
        placers: &BTreeSet<String>,
        first_day: &str,
        after: Option<&Place>,
        each: &mut dyn FnMut(&str, &Slot) -> bool,
    ) {
        let mut places = BTreeSet::new();
        for Held { order, .. } in placers.iter().filter_map(|placer| self.orders.get(placer)) {
            let placer: Arc<str> = order.placer.as_str().into();
            for (number, step) in open_steps(order).filter(|(_, step)| step.date.as_str() >= first_day) {
                let slot = Slot { start: step.start, placer: Arc::clone(&placer), step: number };
                places.insert((step.date.clone(), slot));
            }
        }
        let behind = places.iter().filter(|place| after.is_none_or(|after| *place > after));
        for (day, slot) in behind {
            if !each(day, slot) {
                return;
            }
        }
    }

    fn walk_days(
        &self,
        asked: &Asked,
        first_day: &str,
        after: Option<&Place>,
        each: &mut dyn FnMut(&str, &Slot) -> bool,
    ) {
        let from = asked.from.as_deref().unwrap_or_default().max(first_day);
        let from = after.map_or(from, |(day, _)| day.as_str().max(from));
        let days = self.days.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        for (day, buckets) in days {
            if asked.to.as_ref().is_some_and(|to| day > to) {
                return;
            }
            let behind =
                after.filter(|(last, _)| last == day).map_or(Bound::Unbounded, |(_, slot)| Bound::Excluded(slot));
            let wanted = buckets.iter().filter(|((station, modality), _)| asked.takes(station.as_ref(), modality));
            let runs = wanted.map(|(_, slots)| slots.range::<Slot, _>((behind, Bound::Unbounded))).collect();
            for slot in merged(runs) {
                if !each(day, slot) {
                    return;
                }
            }
        }
    }
}

/// Several sorted runs as one, read only as far as it is asked for.
fn merged<'a>(mut runs: Vec<btree_set::Range<'a, Slot>>) -> impl Iterator<Item = &'a Slot> {
    let heads = runs.iter_mut().enumerate().filter_map(|(number, run)| Some(Reverse((run.next()?, number))));
    let mut heads: BinaryHeap<Reverse<(&'a Slot, usize)>> = heads.collect();
    std::iter::from_fn(move || {
        let Reverse((slot, number)) = heads.pop()?;
        if let Some(next) = runs.get_mut(number).and_then(Iterator::next) {
            heads.push(Reverse((next, number)));
        }
        Some(slot)
    })
}
