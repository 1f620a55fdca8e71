//! Who is expected and which packs are still to be fetched for them.
//!
//! Only in memory: everything of it follows from the rows of orders and visits and from where packs lie, and is made
//! again after a start.

use crate::charts::{Expected, ExpectedName};
use model::PackId;
use model::chart::Local;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Most appointments that are prepared at one time; further ones wait for room.
const APPOINTMENTS_MAX: usize = 50_000;
/// Appointments whose studies are looked for in one round, the soonest first.
const ROUND: usize = 256;

/// Somebody for whom studies were looked for.
struct Appointment {
    expected: Expected,
    /// Until when what was fetched stays, and is fetched at all.
    until: u64,
    /// Packs of the studies and their lengths.
    packs: BTreeMap<PackId, u64>,
    /// Those of them that are not hot yet.
    missing: BTreeSet<PackId>,
    /// They are expected no more, and were not called off.
    came: bool,
}

/// The appointments, and the packs to be fetched.
#[derive(Default)]
pub(super) struct Queue {
    appointments: BTreeMap<ExpectedName, Appointment>,
    /// Packs to be fetched by the soonest start.
    order: BTreeSet<(u64, PackId)>,
    /// When each of them is needed, and its length.
    wanted: HashMap<PackId, (u64, u64)>,
}

/// What a round is to look for, and what it came to.
#[derive(Default)]
pub(super) struct Settled {
    /// For whom studies are to be looked for now.
    pub(super) fresh: Vec<Expected>,
    /// Whether more of them wait for the next round.
    pub(super) more: bool,
    /// Appointments that were called off.
    pub(super) canceled: u64,
    /// Packs of those; see [`Queue::unneeded`].
    pub(super) free: Vec<PackId>,
    /// Packs that could not be fetched in time.
    pub(super) late: u64,
}

/// What is known of everybody together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) appointments: u64,
    /// Those for whom nothing is to be fetched any more.
    pub(super) ready: u64,
    pub(super) packs: u64,
    pub(super) bytes: u64,
}

impl Queue {
    /// Compares what is known with who is expected now. `called_off` tells whether one who is expected no more was called
    /// off; who came stays until the end.
    pub(super) fn settle<E>(
        &mut self,
        expected: Vec<Expected>,
        now_ms: u64,
        called_off: &mut dyn FnMut(&ExpectedName, u64) -> Result<bool, E>,
    ) -> Result<Settled, E> {
        let mut settled = Settled::default();
        let mut fresh = Vec::new();
        let mut seen = HashSet::new();
        for one in expected {
            match self.appointments.get(&one.name) {
                Some(known) if known.expected == one => {
                    seen.insert(one.name);
                }
                _ => fresh.push(one),
            }
        }
        let mut over = Vec::new();
        for (name, known) in &mut self.appointments {
            let late = known.until < now_ms;
            if seen.contains(name) {
                known.came = false;
            } else if !late && !known.came {
                known.came = !called_off(name, known.expected.start)?;
            }
            if late || !(seen.contains(name) || known.came) {
                over.push((name.clone(), late));
            }
        }
        for (name, late) in over {
            let Some(gone) = self.appointments.remove(&name) else { continue };
            if late {
                settled.late = settled.late.saturating_add(gone.missing.len() as u64);
                continue;
            }
            // One who is expected at another time is looked for anew.
            settled.canceled += u64::from(!fresh.iter().any(|one| one.name == name));
            settled.free.extend(gone.packs.into_keys());
        }
        self.sort();
        fresh.sort_by(|one, other| (one.start, &one.name).cmp(&(other.start, &other.name)));
        let room = ROUND.min(APPOINTMENTS_MAX.saturating_sub(self.appointments.len()));
        settled.more = fresh.len() > room && room == ROUND;
        fresh.truncate(room);
        settled.fresh = fresh;
        Ok(settled)
    }

    /// Forgets those whose patient is one of these: they are looked for anew.
    pub(super) fn forget(&mut self, patients: &BTreeSet<Local>) {
        if !patients.is_empty() {
            self.appointments.retain(|name, one| {
                let patient = Local { facility: name.facility, mrn: one.expected.mrn.clone() };
                !patients.contains(&patient)
            });
        }
    }

    /// What was found for somebody: packs with their lengths, and whether each is hot.
    pub(super) fn put(&mut self, expected: Expected, until: u64, packs: &[(PackId, u64, bool)]) {
        let missing = packs.iter().filter(|(_, _, hot)| !hot).map(|(pack, ..)| *pack).collect();
        let packs = packs.iter().map(|(pack, len, _)| (*pack, *len)).collect();
        let appointment = Appointment { expected, until, packs, missing, came: false };
        appointment.want(&mut self.wanted, &mut self.order);
        self.appointments.insert(appointment.expected.name.clone(), appointment);
    }

    /// Those packs of some that nobody who is expected needs.
    pub(super) fn unneeded(&self, packs: Vec<PackId>) -> HashSet<PackId> {
        let mut packs: HashSet<PackId> = packs.into_iter().collect();
        if !packs.is_empty() {
            self.appointments.values().flat_map(|one| one.packs.keys()).for_each(|pack| {
                packs.remove(pack);
            });
        }
        packs
    }

    /// The pack that is needed soonest and not passed over, with its length.
    pub(super) fn next(&self, passed_over: &dyn Fn(PackId) -> bool) -> Option<(PackId, u64)> {
        let (_, pack) = self.order.iter().find(|(_, pack)| !passed_over(*pack))?;
        self.wanted.get(pack).map(|(_, len)| (*pack, *len))
    }

    /// A pack need not be fetched any more: it is hot, or no more. Whether anybody waited for it.
    pub(super) fn done(&mut self, pack: PackId) -> bool {
        let Some((start, _)) = self.wanted.remove(&pack) else { return false };
        self.order.remove(&(start, pack));
        self.appointments.values_mut().for_each(|one| {
            one.missing.remove(&pack);
        });
        true
    }

    /// A pack is passed over until they are looked at again.
    pub(super) fn leave(&mut self, pack: PackId) {
        if let Some((start, _)) = self.wanted.remove(&pack) {
            self.order.remove(&(start, pack));
        }
    }

    pub(super) fn count(&self) -> Counted {
        let ready = self.appointments.values().filter(|one| one.missing.is_empty()).count();
        Counted {
            appointments: self.appointments.len() as u64,
            ready: ready as u64,
            packs: self.wanted.len() as u64,
            bytes: self.wanted.values().fold(0, |sum, (_, len)| sum.saturating_add(*len)),
        }
    }

    /// Puts the packs in order anew.
    fn sort(&mut self) {
        self.wanted.clear();
        self.order.clear();
        self.appointments.values().for_each(|one| one.want(&mut self.wanted, &mut self.order));
    }
}

impl Appointment {
    /// Puts the packs that are missing among those to be fetched.
    fn want(&self, wanted: &mut HashMap<PackId, (u64, u64)>, order: &mut BTreeSet<(u64, PackId)>) {
        for pack in &self.missing {
            let (start, len) = (self.expected.start, self.packs.get(pack).copied().unwrap_or(0));
            let known = wanted.entry(*pack).or_insert((start, len));
            if start < known.0 {
                order.remove(&(known.0, *pack));
                known.0 = start;
            }
            order.insert((known.0, *pack));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::FacilityCode;
    use model::chart::ChartKind;

    fn expected(id: &str, start: u64) -> Expected {
        let name =
            ExpectedName { facility: FacilityCode::DEMO, kind: ChartKind::Order, id: id.into(), step: "S".into() };
        Expected { name, mrn: "22".into(), start, modality: "CT".into(), words: String::new(), study: None }
    }

    fn pack(number: u8) -> PackId {
        PackId::new([number; 16])
    }

    fn settle(queue: &mut Queue, expected: &[Expected], now: u64, called_off: bool) -> Settled {
        let settled = queue.settle(expected.to_vec(), now, &mut |_, _| Ok::<_, ()>(called_off));
        settled.expect("settles")
    }

    fn order(queue: &Queue) -> Vec<PackId> {
        queue.order.iter().map(|(_, pack)| *pack).collect()
    }

    #[test]
    fn what_is_needed_soonest_comes_first_and_once() {
        let mut queue = Queue::default();
        let (one, two) = (expected("1", 50), expected("2", 20));
        let settled = settle(&mut queue, &[one.clone(), two.clone()], 10, false);
        assert_eq!(settled.fresh, [two.clone(), one.clone()]);
        queue.put(one.clone(), 90, &[(pack(1), 7, false), (pack(3), 1, false), (pack(9), 5, true)]);
        queue.put(two.clone(), 60, &[(pack(2), 4, false), (pack(3), 1, false)]);
        assert_eq!(order(&queue), [pack(2), pack(3), pack(1)]);
        assert_eq!(queue.next(&|other| other == pack(2)), Some((pack(3), 1)));
        assert!(queue.done(pack(3)) && !queue.done(pack(3)));
        assert_eq!(queue.count(), Counted { appointments: 2, ready: 0, packs: 2, bytes: 11 });
        assert!(settle(&mut queue, &[one.clone(), two.clone()], 10, true).fresh.is_empty(), "they are known");
        queue.leave(pack(2));
        assert_eq!(order(&queue), [pack(1)]);
        settle(&mut queue, &[one, two], 10, true);
        assert_eq!(order(&queue), [pack(2), pack(1)], "it was left for a round");
        assert!(queue.done(pack(2)));
        assert_eq!(queue.count().ready, 1);
    }

    #[test]
    fn who_is_called_off_frees_what_nobody_else_needs_and_who_came_does_not() {
        let mut queue = Queue::default();
        let (one, two) = (expected("1", 50), expected("2", 20));
        queue.put(one.clone(), 90, &[(pack(1), 7, false), (pack(3), 1, true)]);
        queue.put(two.clone(), 60, &[(pack(3), 1, true)]);
        let came = settle(&mut queue, std::slice::from_ref(&two), 10, false);
        assert_eq!((came.canceled, order(&queue)), (0, vec![pack(1)]));
        settle(&mut queue, &[one, two.clone()], 10, false);
        let off = settle(&mut queue, std::slice::from_ref(&two), 10, true);
        assert_eq!((off.canceled, off.free.len(), order(&queue)), (1, 2, Vec::new()));
        assert_eq!(queue.unneeded(off.free), HashSet::from([pack(1)]));
        // At another time they are looked for anew.
        let moved = settle(&mut queue, &[expected("2", 30)], 10, true);
        assert_eq!((moved.canceled, moved.free, moved.fresh.len()), (0, vec![pack(3)], 1));
    }

    #[test]
    fn whose_patient_has_another_number_is_looked_for_anew() {
        let mut queue = Queue::default();
        queue.put(expected("1", 50), 90, &[(pack(1), 7, false)]);
        let of = |mrn: &str| BTreeSet::from([Local { facility: FacilityCode::DEMO, mrn: mrn.into() }]);
        queue.forget(&of("23"));
        assert!(settle(&mut queue, &[expected("1", 50)], 10, false).fresh.is_empty());
        queue.forget(&of("22"));
        assert_eq!(settle(&mut queue, &[expected("1", 50)], 10, false).fresh.len(), 1);
    }

    #[test]
    fn what_is_too_late_is_left_and_a_round_is_bounded() {
        let mut queue = Queue::default();
        queue.put(expected("1", 50), 90, &[(pack(1), 7, false)]);
        let settled = settle(&mut queue, &[], 91, false);
        assert_eq!((settled.late, settled.canceled, queue.count()), (1, 0, Counted::default()));
        let many: Vec<Expected> = (0..ROUND + 1).map(|number| expected(&number.to_string(), 200)).collect();
        let settled = settle(&mut queue, &many, 91, false);
        assert_eq!((settled.fresh.len(), settled.more), (ROUND, true));
    }
}
