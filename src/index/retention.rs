//! What the index makes of retention facts, the same for every engine.
//!
//! Deliberately not here: rules, plans and holds; the index keeps their facts and does not read them.

use crate::row::StudyKey;
use model::attribute::key;
use model::retention::record::{Named, RejectReason};
use model::retention::{Made, RetentionFact, StudyRef};
use model::{Attributes, Lsn, Uid};

impl From<&StudyRef> for StudyKey {
    fn from(study: &StudyRef) -> Self {
        Self { facility: study.facility, study: study.study.clone(), patient: study.patient }
    }
}

impl From<&StudyKey> for StudyRef {
    fn from(key: &StudyKey) -> Self {
        Self { facility: key.facility, study: key.study.clone(), patient: key.patient }
    }
}

/// That a study was destroyed, as the index remembers it. No patient data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buried {
    /// Which patient under the Study Instance UID it was.
    pub patient: u16,
    /// Instances up to this `seq` are no more.
    pub through: u64,
    /// Number of the record that says so.
    pub lsn: Lsn,
    /// When, milliseconds since 1970.
    pub at: u64,
}

/// What a retention fact does to the rows of its study, destruction apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RetentionChange<'a> {
    None,
    Hide {
        plan: &'a str,
        through: u64,
    },
    Show,
    /// Copies of instances are rejected, or for no reason shown again.
    Reject {
        instances: Vec<Chosen<'a>>,
        reason: Option<RejectReason>,
    },
    /// Attributes hold these values, all others what was received.
    Correct {
        values: &'a Attributes,
    },
}

/// A copy of an instance of a study.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen<'a> {
    pub(crate) series: &'a Uid,
    pub(crate) sop_instance: &'a Uid,
    pub(crate) copy: u16,
}

impl<'a> Chosen<'a> {
    fn first(named: &'a Named) -> Self {
        Self { series: &named.series, sop_instance: &named.sop_instance, copy: 0 }
    }
}

impl<'a> RetentionChange<'a> {
    pub(crate) fn of(fact: &'a RetentionFact) -> Self {
        match fact {
            RetentionFact::StudyHidden { plan, version, .. } => {
                Self::Hide { plan: plan.as_str(), through: version.through }
            }
            RetentionFact::StudyRestored { .. } | RetentionFact::StudyTakenOut { .. } => Self::Show,
            RetentionFact::InstanceRejected { series, sop_instance, copy, reason, .. } => {
                Self::Reject { instances: vec![Chosen { series, sop_instance, copy: *copy }], reason: Some(*reason) }
            }
            RetentionFact::InstancesRejected { instances, reason, .. } => {
                Self::Reject { instances: instances.iter().map(Chosen::first).collect(), reason: Some(*reason) }
            }
            RetentionFact::InstancesRestored { instances, .. } => {
                Self::Reject { instances: instances.iter().map(Chosen::first).collect(), reason: None }
            }
            RetentionFact::StudyCorrected(correction) => Self::Correct { values: &correction.values },
            _ => Self::None,
        }
    }
}

/// The attributes of a study that was made for series moved into it.
pub(crate) fn begins_with(made: &Made) -> Attributes {
    let values = [(key::STUDY_DATE, &made.date), (key::STUDY_TIME, &made.time)];
    let given = values.into_iter().filter(|(_, text)| !text.is_empty());
    given.map(|(key, text)| (key, text.clone())).collect()
}

/// Whether a retention fact is listed among those about no one study: late instances are, for the archivist, and what
/// rejection notes say, for instances that come after them.
pub(crate) fn is_general(fact: &RetentionFact) -> bool {
    let listed =
        matches!(fact, RetentionFact::LateInstance { .. } | RetentionFact::InstancesRejected { note: Some(_), .. });
    fact.study().is_none() || listed
}
