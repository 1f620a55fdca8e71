//! What an arriving object is, compared with what the archive already has. Pure: no I/O, no clock.
//!
//! The decision is recorded in the object's fact and never recomputed (law 3).

use index::{Identity, KnownCopy, KnownPatient, KnownStudy, LISTED, Whose};
use model::{Difference, Flag, InstanceHead, Outcome, Sameness, SamenessKind};

/// The decision.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The same object is already there: nothing grows.
    Same,
    /// To be stored with this outcome.
    Store(Outcome),
    /// More different objects under one UID than the named limit, or more patients than there are numbers for.
    TooMany,
    /// A copy that may be the same has a digest of this kind, and the object's is not known.
    Unsure(SamenessKind),
}

/// Decides about `head`, given everything known; `other` is its digest of another kind, if that was taken.
pub(crate) fn decide(head: &InstanceHead, other: Option<Sameness>, known: &Identity, copies_max: u16) -> Decision {
    let digests = [Some(head.digest), other];
    if known.copies.iter().any(|copy| digests.contains(&Some(copy.digest))) {
        return Decision::Same;
    }
    // The same bytes have the same checksum, whatever version of the program took it: what it covers never changes
    // (docs/FORMAT.md). Most other bytes end here.
    let has = |kind: SamenessKind| digests.iter().flatten().any(|digest| digest.kind() == kind);
    let may_be_same = |copy: &&KnownCopy| {
        !has(copy.digest.kind()) && copy.loose_crc == head.loose_crc && copy.transfer_syntax == head.transfer_syntax
    };
    if let Some(copy) = known.copies.iter().find(may_be_same) {
        return Decision::Unsure(copy.digest.kind());
    }
    let copy = next(known.copies.iter().map(|copy| copy.copy)).filter(|copy| *copy < copies_max);
    let (Some(copy), Some(patient)) = (copy, rank_of_patient(head, known)) else { return Decision::TooMany };
    let first = known.copies.iter().find(|copy| copy.copy == 0);
    Decision::Store(Outcome {
        copy,
        difference: first.map(|first| difference(first, head)),
        patient,
        study: rank_of_study(head, known),
    })
}

fn difference(first: &KnownCopy, head: &InstanceHead) -> Difference {
    if first.transfer_syntax != head.transfer_syntax {
        Difference::Syntax
    } else if first.loose_crc == head.loose_crc {
        Difference::GroupLength
    } else {
        Difference::Content
    }
}

/// Two objects of one study belong to the same patient when their Patient IDs are equal;
/// where one has no ID, when their folded names are; of long values the beginnings count ([`index::known`]). Where a
/// series of another study was moved into that patient's study under the same UID, what comes stands beside it as
/// another patient's does. None where there is no number left: two patients never have one.
fn rank_of_patient(head: &InstanceHead, known: &Identity) -> Option<u16> {
    let Identity { patients, patients_beyond, taken, .. } = known;
    let whose = Whose::of(head);
    let (id, name) = (whose.id(), whose.folded());
    let free = |patient: &&KnownPatient| !taken.contains(&patient.rank);
    if let Some(patient) = patients.iter().filter(|patient| patient.is(id, &name)).find(free) {
        return Some(patient.rank);
    }
    next(patients.iter().map(|patient| patient.rank).chain(taken.iter().copied()).chain(*patients_beyond))
}

/// Beyond the first [`LISTED`] studies under a UID they need not be told apart: each is another one than the first.
fn rank_of_study(head: &InstanceHead, known: &Identity) -> u16 {
    let same = |study: &&KnownStudy| study.study == head.study;
    if let Some(study) = known.studies.iter().find(same) {
        return study.rank;
    }
    let others = known.studies.iter().map(|study| study.rank).chain(known.studies_beyond.then_some(0));
    next(others).map_or(LISTED, |next| next.min(LISTED))
}

fn next(ranks: impl Iterator<Item = u16>) -> Option<u16> {
    ranks.max().map_or(Some(0), |highest| highest.checked_add(1))
}

/// Flags that follow from the outcome.
pub(crate) fn flags_of(outcome: &Outcome) -> impl Iterator<Item = Flag> {
    let patient = (outcome.patient > 0).then_some(Flag::OtherPatient);
    let study = (outcome.study > 0).then_some(Flag::OtherStudy);
    patient.into_iter().chain(study)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
