//! The facts of retention, as the journal keeps them.
//!
//! One variant of [`crate::Fact`] carries them all; its JSON is part of the on-disk format: variants and fields are
//! only ever added. Some hold patient data (holds on a patient, queries, deaths) and some free text people wrote;
//! [`RetentionFact::has_patient_data`] says which, so that the journal can seal them.
//! Deliberately not here: what follows from a fact for rows, bytes and the ledger.

use super::class::ClassId;
use super::decision::{CountedFrom, Decision};
use super::execution::Begun;
use super::hold::{Hold, HoldRelease};
use super::moved::Moved;
use super::plan::{PlanHead, PlanId};
use super::refusal::Refusal;
use super::rules::{RuleId, RuleVersion};
use super::subject::{LinkedRecord, PatientRef, Person, StudyRef, StudyVersion, TierBytes};
use crate::correction::Correction;
use crate::date::Date;
use crate::{Digest, PackId, Uid};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The approval of a plan by a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanApproval {
    /// The plan.
    pub plan: PlanId,
    /// Digest of the text that was approved.
    pub digest: Digest,
    /// Who approved it.
    pub by: Person,
    /// Number and date of the decision it rests on, or another remark.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
}

/// What remains of a destroyed study: who let it go, under which rule, and that it was time. No patient data.
///
/// The Study Instance UID stays in clear (docs/adr/0006): it is what the list of destroyed files must name, what a
/// late instance is recognised by and what an auditor asks for. `blind` is random, so that [`Tombstone::seal`] can be
/// published in a ledger without letting anybody try UIDs against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The study.
    pub study: StudyRef,
    /// Its version when it was destroyed.
    pub version: StudyVersion,
    /// The plan.
    pub plan: PlanId,
    /// Digest of the plan's text.
    pub plan_digest: Digest,
    /// Who approved the plan.
    pub approved_by: Person,
    /// Class.
    pub class: ClassId,
    /// Rule.
    pub rule: RuleId,
    /// Rule set.
    pub rules: RuleVersion,
    /// What the years were counted from.
    pub counted_from: CountedFrom,
    /// Last day it had to be kept.
    pub due: Date,
    /// Instances destroyed.
    pub instances: u64,
    /// Bytes destroyed.
    pub bytes: TierBytes,
    /// When it was hidden, milliseconds since 1970 UTC.
    pub hidden_at: u64,
    /// When it was destroyed, milliseconds since 1970 UTC.
    pub destroyed_at: u64,
    /// 32 random bytes.
    pub blind: Digest,
    /// Names of the keys that go with it: those of facts with its patient's data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seals: Vec<PackId>,
    /// Series received in it that stood in other studies, and went with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<Taken>,
}

/// A series that goes with the study it was received in, out of the one it stood in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Series Instance UID.
    pub series: Uid,
    /// The study it stood in, which stays.
    pub from: StudyRef,
    /// The newest `seq` of its instances.
    pub through: u64,
}

impl Tombstone {
    /// The newest `seq` of what goes.
    pub fn through(&self) -> u64 {
        self.taken.iter().map(|taken| taken.through).chain([self.version.through]).max().unwrap_or(0)
    }

    /// The study, and those that series of it stood in, each once.
    pub fn studies(&self) -> Vec<&StudyRef> {
        let mut studies = vec![&self.study];
        for taken in &self.taken {
            if !studies.contains(&&taken.from) {
                studies.push(&taken.from);
            }
        }
        studies
    }

    /// A digest that proves this tombstone and tells nothing without it: SHA-256 over its JSON, `blind` included.
    pub fn seal(&self) -> Digest {
        let text = serde_json::to_string(self).expect("a tombstone is a struct with text keys");
        Digest(Sha256::digest(text.as_bytes()).into())
    }
}

/// Why an instance was rejected (IHE Imaging Object Change Management; DICOM codes of PS3.16 CID 7011).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectReason {
    /// 113001: rejected for quality.
    Quality,
    /// 113037: rejected for patient safety.
    PatientSafety,
    /// 113038: incorrect modality worklist entry.
    WrongWorklistEntry,
    /// 113039: data retention policy expired.
    RetentionExpired,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Quality, Self::PatientSafety, Self::WrongWorklistEntry, Self::RetentionExpired];

    /// The code value of PS3.16 CID 7011, under the coding scheme DCM.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Quality => "113001",
            Self::PatientSafety => "113037",
            Self::WrongWorklistEntry => "113038",
            Self::RetentionExpired => "113039",
        }
    }

    /// The reason of a code value.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Parses its name, such as `patient-safety`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Its name, as facts and commands spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quality => "quality",
            Self::PatientSafety => "patient-safety",
            Self::WrongWorklistEntry => "wrong-worklist-entry",
            Self::RetentionExpired => "retention-expired",
        }
    }
}

/// An instance among those of a study that are rejected or restored together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Named {
    /// Series Instance UID.
    pub series: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
}

/// A fact of retention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RetentionFact {
    /// A rule set came into use. Its text is kept, so that every decision can be explained from the journal alone.
    RulesAdopted {
        /// Number and digest.
        version: RuleVersion,
        /// The file, every byte.
        text: String,
        /// Who.
        by: Person,
        /// When, milliseconds since 1970 UTC.
        at: u64,
    },
    /// A study was linked to a record with a class, or a person gave it the class.
    RecordLinked {
        /// The study.
        study: StudyRef,
        /// Class and closing day.
        record: LinkedRecord,
        /// Who.
        by: Person,
        /// Why, or which message.
        reason: String,
        /// When.
        at: u64,
        /// Name of the key that opens the record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<PackId>,
    },
    /// Such a link was a mistake. It is taken back; what it raised stays raised.
    RecordUnlinked {
        /// The study.
        study: StudyRef,
        /// The class.
        class: ClassId,
        /// Who.
        by: Person,
        /// Why.
        reason: String,
        /// When.
        at: u64,
        /// Name of the key that opens the record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<PackId>,
    },
    /// A patient's day of death became known.
    DeathRecorded {
        /// The patient.
        patient: PatientRef,
        /// The day.
        on: Date,
        /// Who.
        by: Person,
        /// When.
        at: u64,
        /// Name of the key that opens the record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<PackId>,
    },
    /// How long a study is kept was decided, or decided anew with another outcome.
    Decided {
        /// The study.
        study: StudyRef,
        /// The decision.
        decision: Box<Decision>,
        /// When.
        at: u64,
    },
    /// A legal hold was made.
    HoldMade(Box<Hold>),
    /// A legal hold was released.
    HoldReleased(HoldRelease),
    /// A plan was made; its text lies outside the journal and is pinned by its digest.
    PlanMade {
        /// First line.
        head: PlanHead,
        /// Digest of the text.
        digest: Digest,
        /// Studies that may go.
        due: u64,
        /// Studies that are due and stay.
        held: u64,
        /// When.
        at: u64,
    },
    /// A plan was approved.
    PlanApproved(PlanApproval),
    /// A plan was withdrawn.
    PlanWithdrawn {
        /// The plan.
        plan: PlanId,
        /// Who.
        by: Person,
        /// Why.
        reason: String,
        /// When.
        at: u64,
    },
    /// The execution of a plan began.
    PlanBegun(Begun),
    /// The execution of a plan ended: every study of it is destroyed, restored or taken out.
    PlanFinished {
        /// The plan.
        plan: PlanId,
        /// Studies destroyed.
        destroyed: u64,
        /// Studies restored or taken out.
        spared: u64,
        /// When.
        at: u64,
    },
    /// A study was hidden: from now on it is neither found nor retrieved.
    StudyHidden {
        /// The plan.
        plan: PlanId,
        /// The study.
        study: StudyRef,
        /// Its version.
        version: StudyVersion,
        /// When.
        at: u64,
    },
    /// A person undid the hiding of a study.
    StudyRestored {
        /// The plan.
        plan: PlanId,
        /// The study.
        study: StudyRef,
        /// Who.
        by: Person,
        /// Why.
        reason: String,
        /// When.
        at: u64,
        /// Name of the key that opens the record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<PackId>,
    },
    /// A study was taken out of a plan; if it was hidden it is visible again.
    StudyTakenOut {
        /// The plan.
        plan: PlanId,
        /// The study.
        study: StudyRef,
        /// Why.
        why: Refusal,
        /// When.
        at: u64,
    },
    /// A study is destroyed: recorded before the first byte goes.
    StudyDestroyed(Box<Tombstone>),
    /// An instance was rejected: hidden at once, destroyed with its study.
    InstanceRejected {
        /// The study.
        study: StudyRef,
        /// Series Instance UID.
        series: Uid,
        /// SOP Instance UID.
        sop_instance: Uid,
        /// Which copy under that UID (see [`crate::Outcome::copy`]).
        #[serde(default)]
        copy: u16,
        /// Why.
        reason: RejectReason,
        /// Who.
        by: Person,
        /// When.
        at: u64,
    },
    /// Instances of a study were rejected together: hidden at once, destroyed with their study. Of each the first copy
    /// is meant; one that has not come yet is rejected by a fact of its own when it comes.
    InstancesRejected {
        /// The study.
        study: StudyRef,
        /// The instances.
        instances: Vec<Named>,
        /// Why.
        reason: RejectReason,
        /// Who, or which source's note.
        by: Person,
        /// SOP Instance UID of the rejection note that says so, if one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Uid>,
        /// When.
        at: u64,
    },
    /// The rejection of instances was taken back.
    InstancesRestored {
        /// The study.
        study: StudyRef,
        /// The instances.
        instances: Vec<Named>,
        /// Who.
        by: Person,
        /// Why.
        reason: String,
        /// When.
        at: u64,
        /// Name of the key that opens the record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<PackId>,
    },
    /// Attributes of a study hold other values from now on than were received, or those again.
    StudyCorrected(Box<Correction>),
    /// Series stand in another study than they were received in, or no longer.
    SeriesMoved(Box<Moved>),
    /// An instance of a destroyed study arrived. It is stored, listed for the archivist and has its own retention.
    LateInstance {
        /// The study.
        study: StudyRef,
        /// `seq` of the instance.
        seq: u64,
        /// When its study was destroyed, milliseconds since 1970 UTC.
        destroyed_at: u64,
        /// When it arrived.
        at: u64,
    },
}

impl RetentionFact {
    /// The studies it is about, each once.
    pub fn studies(&self) -> Vec<&StudyRef> {
        match self {
            Self::SeriesMoved(moved) => moved.studies(),
            Self::StudyDestroyed(tombstone) => tombstone.studies(),
            other => other.study().into_iter().collect(),
        }
    }

    /// The study it is about, when it is about one; of several the first.
    pub fn study(&self) -> Option<&StudyRef> {
        match self {
            Self::RecordLinked { study, .. }
            | Self::RecordUnlinked { study, .. }
            | Self::Decided { study, .. }
            | Self::StudyHidden { study, .. }
            | Self::StudyRestored { study, .. }
            | Self::StudyTakenOut { study, .. }
            | Self::InstanceRejected { study, .. }
            | Self::InstancesRejected { study, .. }
            | Self::InstancesRestored { study, .. }
            | Self::LateInstance { study, .. } => Some(study),
            Self::StudyDestroyed(tombstone) => Some(&tombstone.study),
            Self::StudyCorrected(correction) => Some(&correction.study),
            Self::SeriesMoved(moved) => Some(&moved.study),
            Self::RulesAdopted { .. }
            | Self::DeathRecorded { .. }
            | Self::HoldMade(_)
            | Self::HoldReleased(_)
            | Self::PlanMade { .. }
            | Self::PlanApproved(_)
            | Self::PlanWithdrawn { .. }
            | Self::PlanBegun(_)
            | Self::PlanFinished { .. } => None,
        }
    }

    /// Whether it makes the study another version (see [`StudyVersion`]): a plan made before no longer fits it.
    pub fn changes_version(&self) -> bool {
        matches!(self, Self::InstanceRejected { .. } | Self::InstancesRejected { .. })
            || matches!(self, Self::InstancesRestored { .. } | Self::StudyCorrected(_) | Self::SeriesMoved(_))
    }

    /// Whether its text names a patient or may quote one: such facts are sealed in the journal.
    pub fn has_patient_data(&self) -> bool {
        matches!(self, Self::DeathRecorded { .. } | Self::HoldMade(_) | Self::HoldReleased(_))
            || matches!(self, Self::RecordLinked { .. } | Self::RecordUnlinked { .. } | Self::StudyRestored { .. })
            || matches!(self, Self::InstancesRestored { .. } | Self::StudyCorrected(_))
    }

    /// The name of the key that opens its record; none for one that was written plain.
    pub fn seal(&self) -> Option<PackId> {
        match self {
            Self::RecordLinked { seal, .. }
            | Self::RecordUnlinked { seal, .. }
            | Self::StudyRestored { seal, .. }
            | Self::InstancesRestored { seal, .. }
            | Self::DeathRecorded { seal, .. } => *seal,
            Self::HoldMade(hold) => hold.seal,
            Self::HoldReleased(release) => release.seal,
            Self::StudyCorrected(correction) => correction.seal,
            _ => None,
        }
    }

    /// Names the key that will open its record; only facts with patient data have one.
    #[must_use]
    pub fn sealed_by(mut self, name: PackId) -> Self {
        match &mut self {
            Self::RecordLinked { seal, .. }
            | Self::RecordUnlinked { seal, .. }
            | Self::StudyRestored { seal, .. }
            | Self::InstancesRestored { seal, .. }
            | Self::DeathRecorded { seal, .. } => *seal = Some(name),
            Self::HoldMade(hold) => hold.seal = Some(name),
            Self::HoldReleased(release) => release.seal = Some(name),
            Self::StudyCorrected(correction) => correction.seal = Some(name),
            _ => {}
        }
        self
    }
}
