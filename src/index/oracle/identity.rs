//! What is known under the UIDs of an arriving instance.

use super::{State, Stored};
use crate::{Identity, KnownCopy, KnownPatient, KnownStudy, LISTED, SeriesKey, StudyKey, Whose};
use model::{FacilityCode, Uid};
use std::collections::BTreeMap;

impl State {
    pub(super) fn identity(
        &self,
        facility: FacilityCode,
        [study, series, sop_instance]: [&Uid; 3],
        whose: Whose<'_>,
    ) -> Identity {
        let mut identity = Identity::default();
        let mut patients: BTreeMap<u16, KnownPatient> = BTreeMap::new();
        let mut studies: BTreeMap<(u16, Uid), KnownStudy> = BTreeMap::new();
        for Stored { head, .. } in self.instances.values().filter(|known| known.head.facility == facility) {
            if head.sop_instance == *sop_instance {
                identity.copies.push(KnownCopy {
                    copy: head.outcome.copy,
                    digest: head.digest,
                    loose_crc: head.loose_crc,
                    transfer_syntax: head.transfer_syntax.clone(),
                    seq: head.seq,
                });
            }
            if head.study == *study {
                patients.entry(head.outcome.patient).or_insert_with(|| KnownPatient::of(head)).fill(head);
            }
            if head.series == *series {
                let known = KnownStudy { rank: head.outcome.study, study: head.study.clone() };
                let listed = known.rank < LISTED && head.outcome.patient < LISTED;
                identity.studies_beyond |= !listed;
                if listed || known.study == *study {
                    studies.insert((known.rank, known.study.clone()), known);
                }
            }
        }
        identity.studies = studies.into_values().collect();
        let there = |(moved, to): (&SeriesKey, &StudyKey)| {
            let taken = to.facility == facility && to.study == *study && moved.series == *series;
            taken.then_some(to.patient)
        };
        identity.taken = self.placed.iter().filter_map(there).collect();
        identity.taken.sort_unstable();
        if let Some(key) = self.made.keys().find(|key| key.facility == facility && key.study == *study) {
            patients.entry(key.patient).or_insert_with(|| KnownPatient::nobody(key.patient));
        }
        identity.patients_beyond = patients.keys().next_back().copied().filter(|rank| *rank >= LISTED);
        let (id, name) = (whose.id(), whose.folded());
        let mut beyond = patients.range(LISTED..).map(|(_, known)| known);
        let asked = beyond.find(|known| known.is(id, &name) && !identity.taken.contains(&known.rank));
        let asked = asked.map(|known| known.rank);
        patients.retain(|rank, _| *rank < LISTED || Some(*rank) == asked);
        identity.patients = patients.into_values().collect();
        identity
    }
}
