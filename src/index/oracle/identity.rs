//! What is known under the UIDs of an arriving instance.

use super::{State, Stored};
use crate::{Identity, KnownCopy, KnownPatient, KnownStudy, SeriesKey, StudyKey};
use model::{FacilityCode, Uid};
use std::collections::BTreeMap;

impl State {
    pub(super) fn identity(&self, facility: FacilityCode, study: &Uid, series: &Uid, sop_instance: &Uid) -> Identity {
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
                studies.insert((known.rank, known.study.clone()), known);
            }
        }
        identity.patients = patients.into_values().collect();
        identity.studies = studies.into_values().collect();
        let there = |(moved, to): (&SeriesKey, &StudyKey)| {
            let taken = to.facility == facility && to.study == *study && moved.series == *series;
            taken.then_some(to.patient)
        };
        identity.taken = self.placed.iter().filter_map(there).collect();
        if let Some(key) = self.made.keys().find(|key| key.facility == facility && key.study == *study)
            && !identity.patients.iter().any(|known| known.rank == key.patient)
        {
            identity.patients.push(KnownPatient::nobody(key.patient));
            identity.patients.sort_by_key(|known| known.rank);
        }
        identity
    }
}
