//! What the sequencer has decided and the index may not show yet.
//!
//! Every entry carries the sequence number that brought it, so that it can be dropped once the index has
//! applied that number, or taken back when the append failed.

use index::{Identity, KnownCopy, KnownPatient, KnownStudy};
use model::{FacilityCode, InstanceHead, Uid};
use std::collections::{HashMap, VecDeque};

type FacilityUid = (FacilityCode, Uid);

/// Values by (facility, UID), each with the sequence number that brought it.
struct Ledger<V> {
    entries: HashMap<FacilityUid, Vec<(u64, V)>>,
    order: VecDeque<(u64, FacilityUid)>,
}

impl<V> Default for Ledger<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<V: Clone> Ledger<V> {
    fn get<'a>(&'a self, key: &FacilityUid) -> impl Iterator<Item = &'a V> {
        self.entries.get(key).into_iter().flatten().map(|(_, value)| value)
    }

    fn put(&mut self, seq: u64, key: FacilityUid, value: V) {
        self.entries.entry(key.clone()).or_default().push((seq, value));
        self.order.push_back((seq, key));
    }

    fn drop_through(&mut self, applied: u64) {
        while self.order.front().is_some_and(|(seq, _)| *seq <= applied) {
            let Some((_, key)) = self.order.pop_front() else { return };
            self.retain(&key, |seq| seq > applied);
        }
    }

    fn drop_from(&mut self, first: u64) {
        while self.order.back().is_some_and(|(seq, _)| *seq >= first) {
            let Some((_, key)) = self.order.pop_back() else { return };
            self.retain(&key, |seq| seq < first);
        }
    }

    fn retain(&mut self, key: &FacilityUid, keep: impl Fn(u64) -> bool) {
        if let Some(values) = self.entries.get_mut(key) {
            values.retain(|(seq, _)| keep(*seq));
            if values.is_empty() {
                self.entries.remove(key);
            }
        }
    }
}

/// Decisions on their way into the index.
#[derive(Default)]
pub(crate) struct Pending {
    copies: Ledger<KnownCopy>,
    patients: Ledger<KnownPatient>,
    studies: Ledger<KnownStudy>,
}

impl Pending {
    /// Adds what is pending to what the index knows.
    pub(crate) fn add_to(&self, known: &mut Identity, head: &InstanceHead) {
        let keyed = |uid: &Uid| (head.facility, uid.clone());
        for copy in self.copies.get(&keyed(&head.sop_instance)) {
            if !known.copies.iter().any(|have| have.copy == copy.copy) {
                known.copies.push(copy.clone());
            }
        }
        for patient in self.patients.get(&keyed(&head.study)) {
            match known.patients.binary_search_by_key(&patient.rank, |have| have.rank) {
                Ok(at) => known.patients.get_mut(at).into_iter().for_each(|have| fill(have, patient)),
                Err(at) => known.patients.insert(at, patient.clone()),
            }
        }
        for study in self.studies.get(&keyed(&head.series)) {
            if !known.studies.iter().any(|have| have.study == study.study) {
                known.studies.push(study.clone());
            }
        }
    }

    /// Remembers what a stored object adds to the known.
    pub(crate) fn remember(&mut self, head: &InstanceHead, known: &Identity) {
        let keyed = |uid: &Uid| (head.facility, uid.clone());
        let copy = KnownCopy {
            copy: head.outcome.copy,
            digest: head.digest,
            loose_crc: head.loose_crc,
            transfer_syntax: head.transfer_syntax.clone(),
            seq: head.seq,
        };
        self.copies.put(head.seq, keyed(&head.sop_instance), copy);
        // Always, even for a known rank: it may bring the ID that an earlier instance lacked. And with all that is known:
        // whoever asks for another patient is not told of this one.
        let have = known.patients.iter().find(|have| have.rank == head.outcome.patient);
        let mut patient = have.cloned().unwrap_or_else(|| KnownPatient::of(head));
        fill(&mut patient, &KnownPatient::of(head));
        self.patients.put(head.seq, keyed(&head.study), patient);
        if !known.studies.iter().any(|study| study.study == head.study) {
            let study = KnownStudy { rank: head.outcome.study, study: head.study.clone() };
            self.studies.put(head.seq, keyed(&head.series), study);
        }
    }

    /// Drops what the index has by now.
    pub(crate) fn forget(&mut self, applied: u64) {
        self.copies.drop_through(applied);
        self.patients.drop_through(applied);
        self.studies.drop_through(applied);
    }

    /// Undoes what was remembered from `first` on, after a failed append.
    pub(crate) fn roll_back(&mut self, first: u64) {
        self.copies.drop_from(first);
        self.patients.drop_from(first);
        self.studies.drop_from(first);
    }
}

/// Of each value the first non-empty one stays, as in the index.
fn fill(known: &mut KnownPatient, later: &KnownPatient) {
    let pairs = [
        (&mut known.patient_id, &later.patient_id),
        (&mut known.issuer, &later.issuer),
        (&mut known.name, &later.name),
        (&mut known.birth_date, &later.birth_date),
    ];
    for (value, from) in pairs {
        if value.is_empty() {
            value.clone_from(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_copy_stays_pending_when_the_first_is_applied() {
        let mut ledger = Ledger::default();
        let key = (FacilityCode::DEMO, Uid::parse("1.2").expect("uid"));
        ledger.put(5, key.clone(), 'a');
        ledger.put(9, key.clone(), 'b');
        ledger.drop_through(5);
        assert_eq!(ledger.get(&key).collect::<String>(), "b");
        ledger.drop_from(9);
        assert_eq!(ledger.get(&key).count(), 0);
        assert!(ledger.entries.is_empty() && ledger.order.is_empty());
    }

    fn head() -> InstanceHead {
        let uid = |text: &str| Uid::parse(text).expect("uid");
        InstanceHead {
            seq: 9,
            facility: FacilityCode::DEMO,
            source: "s".into(),
            received: 0,
            via: model::Via::CStore,
            sop_class: uid("1.2.3"),
            sop_instance: uid("1.1"),
            study: uid("1.2"),
            series: uid("1.3"),
            transfer_syntax: uid("1.2"),
            digest: model::Sameness::Blake3([1; 32]),
            meta_digest: model::Digest([0; 32]),
            loose_crc: 7,
            meta_len: 0,
            file_len: 0,
            attributes: model::Attributes::from([(model::attribute::key::PATIENT_NAME, "N".to_owned())]),
            layout: model::Layout::default(),
            flags: Vec::new(),
            outcome: model::Outcome { patient: 70, study: 16, ..model::Outcome::default() },
        }
    }

    #[test]
    fn who_is_on_the_way_is_known_whole_to_whoever_asks_for_another() {
        let (head, mut pending) = (head(), Pending::default());
        let patient = KnownPatient { patient_id: "P1".into(), ..KnownPatient::of(&head) };
        let other = KnownStudy { rank: 16, study: Uid::parse("9.9").expect("uid") };
        let known = Identity { patients: vec![patient.clone()], studies: vec![other.clone()], ..Identity::default() };
        pending.remember(&head, &known);
        let mut asked = Identity { studies: vec![other], ..Identity::default() };
        pending.add_to(&mut asked, &head);
        assert_eq!(asked.patients, [patient], "it says no ID, and its patient has one");
        assert_eq!(asked.studies.len(), 2, "two studies may have one number");
    }

    #[test]
    fn an_id_that_is_still_pending_counts() {
        let patient = |id: &str| KnownPatient {
            rank: 0,
            patient_id: id.into(),
            issuer: String::new(),
            name: "N".into(),
            birth_date: String::new(),
        };
        let mut known = patient("");
        fill(&mut known, &patient("P1"));
        fill(&mut known, &patient("P2"));
        assert_eq!(known.patient_id, "P1");
    }
}
