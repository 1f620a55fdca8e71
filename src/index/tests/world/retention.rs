//! What retention does to the studies of a world.

use super::World;
use index::{SeriesKey, StudyKey};
use model::correction::{CORRECTABLE, Correction, Why};
use model::retention::decision::{Basis, CountedFrom};
use model::retention::record::{Named, RejectReason, Tombstone};
use model::retention::{
    ClassId, Made, MoveReason, Moved, Person, PlanId, Refusal, RetentionFact, RuleId, RuleVersion, StudyRef,
    StudyVersion, Taken,
};
use model::{Attributes, Digest, Fact, Home, Uid};

impl World {
    /// Hides, restores, rejects or destroys something.
    pub(super) fn retention(&mut self) -> Option<(Fact, Option<Home>)> {
        let known = self.rng.usize(..self.quietable.len().max(1));
        let (key, seq) = self.quietable.get(known)?.clone();
        let key = SeriesKey { study: if self.rng.bool() { self.stands(&key) } else { key.study.clone() }, ..key };
        let (plan, study, at) = (PlanId::parse("2036-q1")?, StudyRef::from(&key.study), self.clock);
        let by = Person::parse("lan").ok()?;
        let fact = match self.rng.u32(..20) {
            0..=3 => {
                // Now and then of a time before the study came back.
                let through = if self.one_in(4) { seq / 2 } else { self.seq };
                RetentionFact::StudyHidden { plan, study, version: StudyVersion { through, fact: 0 }, at }
            }
            4 => RetentionFact::StudyRestored { plan, study, by, reason: "asked".into(), at, seal: None },
            5 => RetentionFact::StudyTakenOut { plan, study, why: Refusal::Unclear, at },
            6..=8 => self.reject(&key.study, study, by, at)?,
            9 => RetentionFact::LateInstance { study, seq, destroyed_at: at, at },
            12..=13 => self.correct(study, by, at),
            14..=19 => self.shift(by, at)?,
            10 => RetentionFact::PlanWithdrawn { plan, by, reason: "wrong".into(), at },
            _ => self.destroy(&key.study, plan, by)?,
        };
        Some((Fact::Retention(Box::new(fact)), None))
    }

    /// Corrects some attributes, or takes every correction back.
    fn correct(&mut self, study: StudyRef, by: Person, at: u64) -> RetentionFact {
        let mut values = Attributes::new();
        for key in CORRECTABLE {
            if self.one_in(4) {
                values.insert(key, format!("{}", self.rng.u32(..3)));
            }
        }
        let (why, reason) = (Why::Correct, "wrong".into());
        RetentionFact::StudyCorrected(Box::new(Correction { study, values, why, by, reason, at, seal: None }))
    }

    fn reject(&mut self, key: &StudyKey, study: StudyRef, by: Person, at: u64) -> Option<RetentionFact> {
        let of_study = self.copies.iter().flat_map(|((_, sop), copies)| copies.iter().map(move |copy| (sop, copy)));
        let mut of_study: Vec<(Uid, u16, Uid)> = of_study
            .filter(|(_, (_, _, of))| self.stands(of) == *key)
            .map(|(sop, (_, copy, of))| (sop.clone(), *copy, of.series.clone()))
            .collect();
        of_study.sort();
        let chosen = self.rng.usize(..of_study.len().max(1));
        let reason = RejectReason::ALL[self.rng.usize(..RejectReason::ALL.len())];
        if self.one_in(2) {
            // Some of them together, and one that never came.
            let some: Vec<_> = of_study.iter().filter(|(_, copy, _)| *copy == 0).collect();
            let some = some.into_iter().filter(|_| self.rng.bool());
            let named = |(sop_instance, _, series): &(Uid, u16, Uid)| Named {
                series: series.clone(),
                sop_instance: sop_instance.clone(),
            };
            let mut instances: Vec<Named> = some.map(named).collect();
            instances.extend(Uid::parse("1.2.3").ok().map(|uid| Named { series: uid.clone(), sop_instance: uid }));
            let note = self.one_in(2).then(|| instances[0].sop_instance.clone());
            return Some(match self.one_in(2) {
                true => RetentionFact::InstancesRejected { study, instances, reason, by, note, at },
                false => {
                    let reason = "asked".into();
                    RetentionFact::InstancesRestored { study, instances, by, reason, at, seal: None }
                }
            });
        }
        let (sop_instance, copy, series) = of_study.get(chosen)?.clone();
        Some(RetentionFact::InstanceRejected { study, series, sop_instance, copy, reason, by, at })
    }

    fn stands(&self, key: &SeriesKey) -> StudyKey {
        self.placed.get(key).unwrap_or(&key.study).clone()
    }

    /// Moves a series to another study, to one that is made, or back.
    fn shift(&mut self, by: Person, at: u64) -> Option<RetentionFact> {
        let known = self.rng.usize(..self.quietable.len().max(1));
        let (key, _) = self.quietable.get(known)?.clone();
        let (other, _) = self.quietable.get(self.rng.usize(..self.quietable.len()))?.clone();
        let from = self.stands(&key);
        let (mut to, mut made) = (self.stands(&other), None);
        if self.rng.u32(..4) == 0 {
            self.made += 1;
            to = StudyKey {
                study: Uid::parse(&format!("1.2.900.{}", self.made)).ok()?,
                patient: 0,
                ..key.study.clone()
            };
            self.seq += 1;
            made = Some(Made { seq: self.seq, date: "20230506".into(), time: String::new() });
        } else if from != key.study && self.rng.bool() {
            to = key.study.clone();
        }
        let there = |(known, _): &(SeriesKey, u64)| known.series == key.series && known.study == to;
        let moved_there = |(known, at): (&SeriesKey, &StudyKey)| known.series == key.series && *at == to;
        let free = !self.quietable.iter().any(there) && !self.placed.iter().any(moved_there);
        if to.facility != from.facility || to == from || !(free || to == key.study) {
            return None;
        }
        let why = if to == key.study { MoveReason::Undo } else { MoveReason::WrongStudy };
        self.placed.remove(&key);
        if to != key.study {
            self.placed.insert(key.clone(), to.clone());
        }
        let [study, from, to] = [&key.study, &from, &to].map(StudyRef::from);
        Some(RetentionFact::SeriesMoved(Box::new(Moved {
            study,
            series: vec![key.series],
            from,
            to,
            made,
            why,
            by,
            at,
        })))
    }

    fn destroy(&mut self, key: &StudyKey, plan: PlanId, by: Person) -> Option<RetentionFact> {
        // The archive keeps a study as long as a series of another one stands in it.
        if self.placed.values().any(|to| to == key) {
            return None;
        }
        let left = self.placed.extract_if(.., |moved, _| moved.study == *key);
        let taken = left.map(|(moved, to)| Taken { series: moved.series, from: (&to).into(), through: self.seq });
        let taken: Vec<Taken> = taken.collect();
        for copies in self.copies.values_mut() {
            copies.retain(|(_, _, of)| of.study != *key);
        }
        self.quietable.retain(|(series, _)| series.study != *key);
        self.packs.retain(|(series, _)| series.study != *key);
        let day = model::date::Date::new(2030, 12, 31)?;
        Some(RetentionFact::StudyDestroyed(Box::new(Tombstone {
            study: key.into(),
            version: StudyVersion { through: self.seq, fact: 0 },
            plan,
            plan_digest: Digest([1; 32]),
            approved_by: by,
            class: ClassId::parse("USUAL").ok()?,
            rule: RuleId::parse("default").ok()?,
            rules: RuleVersion { number: 1, digest: Digest([2; 32]) },
            counted_from: CountedFrom { date: day, basis: Basis::StudyDate },
            due: day,
            instances: 1,
            bytes: Default::default(),
            hidden_at: self.clock,
            destroyed_at: self.clock,
            blind: Digest([3; 32]),
            seals: Vec::new(),
            taken,
        })))
    }
}
