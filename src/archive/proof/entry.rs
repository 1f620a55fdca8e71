//! The text of a ledger entry for each fact: what is said, and what is left out.
//!
//! The ledger leaves the archive, so an entry holds no patient data, no words that people wrote (reasons, remarks,
//! what is held) and no UID: an instance is told by [`instance_name`], a destroyed study by the seal of its tombstone
//! (docs/adr/0006). Facts about a study that still exists name their plan only; who has the journal finds them by
//! their record number. Facts that follow from others, and the registry, are not entered.
//! The texts are canonical JSON and part of the on-disk format: docs/FORMAT.md, "Entries of the ledger".

use model::pack::{PackFact, Packed};
use model::retention::record::{Named, RetentionFact};
use model::retention::refusal::Refusal;
use model::{Digest, FacilityCode, Fact, InstanceHead, Lsn, PackId, Uid};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fmt::Display;

/// The entry of a fact, or none for a fact that is not entered. A forwarded fact was entered under its own number.
pub fn entry_of(lsn: Lsn, fact: &Fact) -> Option<String> {
    match fact {
        Fact::Instance(head) => Some(stored(lsn, head)),
        Fact::Pack(fact) => Some(pack(lsn, fact)),
        Fact::Retention(fact) => retention(lsn, fact),
        Fact::Sealed(sealed) => sealed.opened.as_deref().and_then(|fact| entry_of(lsn, fact)),
        Fact::Facility(_)
        | Fact::Source(_)
        | Fact::Destination(_)
        | Fact::Forwarding(_)
        | Fact::SeriesQuiet(_)
        | Fact::StudyComplete(_)
        | Fact::Forwarded { .. } => None,
    }
}

/// How the ledger names an instance: SHA-256 over facility code, NUL, SOP Instance UID.
pub fn instance_name(facility: FacilityCode, sop_instance: &Uid) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(facility.to_string());
    hasher.update([0]);
    hasher.update(sop_instance.as_str());
    Digest(hasher.finalize().into())
}

/// A JSON object under construction. Its members are added in the order of their names.
struct Text(Vec<u8>);

impl Text {
    /// Begins with the moment it tells of.
    fn at(at: u64) -> Self {
        Self(Vec::with_capacity(384)).with("at", at)
    }

    fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        serde_json::to_writer(&mut self.0, &value).expect("texts and numbers are JSON");
        self
    }

    fn with_some(self, name: &'static str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn end(mut self) -> String {
        self.0.push(b'}');
        String::from_utf8(self.0).expect("JSON is text")
    }
}

fn stored(lsn: Lsn, head: &InstanceHead) -> String {
    Text::at(head.received)
        .with("bytes", head.file_len)
        .with_some("copy", Some(head.outcome.copy).filter(|copy| *copy > 0))
        .with("data_set", head.digest)
        .with("event", "stored")
        .with("facility", head.facility)
        .with("instance", instance_name(head.facility, &head.sop_instance))
        .with("meta", head.meta_digest)
        .with("record", lsn)
        .with("seq", head.seq)
        .end()
}

/// SHA-256 over a list, each item on a line of its own: what `sha256sum` says of such a file.
fn list_digest(items: impl Iterator<Item = impl Display>) -> Digest {
    let mut hasher = Sha256::new();
    items.for_each(|item| hasher.update(format!("{item}\n")));
    Digest(hasher.finalize().into())
}

fn packed(lsn: Lsn, packed: &Packed) -> String {
    let replaced = (!packed.replaces.is_empty()).then(|| list_digest(packed.replaces.iter()));
    Text::at(packed.at)
        .with("bytes", packed.len)
        .with("event", "packed")
        .with("instances", packed.seqs.len())
        .with("members", list_digest(packed.seqs.iter()))
        .with("pack", packed.pack)
        .with("record", lsn)
        .with_some("replaced", replaced)
        .with("sha256", packed.sha256)
        .end()
}

fn pack(lsn: Lsn, fact: &PackFact) -> String {
    let moved =
        |event: &str, pack: &PackId, at: u64| Text::at(at).with("event", event).with("pack", pack).with("record", lsn);
    match fact {
        PackFact::Packed(fact) => packed(lsn, fact),
        // Neither key nor version: where a copy lies is nobody's concern outside, and may change its form.
        PackFact::Tiered { pack, copy } => Text::at(copy.at)
            .with("bytes", copy.len)
            .with("event", "tiered")
            .with_some("held", copy.held.then_some(true))
            .with_some("locked_until", copy.locked_until)
            .with("pack", pack)
            .with("record", lsn)
            .with("sealed", copy.sealed)
            .with("sha256", copy.sha256)
            .end(),
        PackFact::Released { pack, at } => moved("released", pack, *at).end(),
        PackFact::Recalled { pack, at } => moved("recalled", pack, *at).end(),
        PackFact::ColdLost { pack, at } => moved("cold-lost", pack, *at).end(),
    }
}

fn retention(lsn: Lsn, fact: &RetentionFact) -> Option<String> {
    let text = match fact {
        RetentionFact::HoldMade(hold) => Text::at(hold.made_at)
            .with("by", &hold.made_by)
            .with("event", "hold-made")
            .with("hold", &hold.id)
            .with("owner", &hold.owner)
            .with("record", lsn),
        RetentionFact::HoldReleased(release) => Text::at(release.at)
            .with("by", &release.by)
            .with("event", "hold-released")
            .with("hold", &release.hold)
            .with("record", lsn),
        RetentionFact::RulesAdopted { version, by, at, .. } => Text::at(*at)
            .with("by", by)
            .with("event", "rules-adopted")
            .with("record", lsn)
            .with("rules", version.number)
            .with("rules_digest", version.digest),
        RetentionFact::PlanMade { .. }
        | RetentionFact::PlanApproved(_)
        | RetentionFact::PlanWithdrawn { .. }
        | RetentionFact::PlanBegun(_)
        | RetentionFact::PlanFinished { .. } => about_a_plan(lsn, fact)?,
        RetentionFact::StudyHidden { .. }
        | RetentionFact::StudyRestored { .. }
        | RetentionFact::StudyTakenOut { .. }
        | RetentionFact::StudyDestroyed(_)
        | RetentionFact::InstanceRejected { .. }
        | RetentionFact::InstancesRejected { .. }
        | RetentionFact::InstancesRestored { .. }
        | RetentionFact::StudyCorrected(_)
        | RetentionFact::SeriesMoved(_)
        | RetentionFact::LateInstance { .. } => about_a_study(lsn, fact)?,
        // The class of a study and the death of its patient lead to decisions, which a plan pins by its digest; by
        // themselves they tell of patients.
        RetentionFact::RecordLinked { .. }
        | RetentionFact::RecordUnlinked { .. }
        | RetentionFact::DeathRecorded { .. }
        | RetentionFact::Decided { .. } => return None,
    };
    Some(text.end())
}

fn about_a_plan(lsn: Lsn, fact: &RetentionFact) -> Option<Text> {
    Some(match fact {
        RetentionFact::PlanMade { head, digest, due, held, at } => Text::at(*at)
            .with("by", &head.made_by)
            .with("day", head.as_of)
            .with("digest", digest)
            .with("due", due)
            .with("event", "plan-made")
            .with("held", held)
            .with("plan", &head.plan)
            .with("record", lsn),
        RetentionFact::PlanApproved(approval) => Text::at(approval.at)
            .with("by", &approval.by)
            .with("digest", approval.digest)
            .with("event", "plan-approved")
            .with("plan", &approval.plan)
            .with("record", lsn),
        RetentionFact::PlanWithdrawn { plan, by, at, .. } => {
            Text::at(*at).with("by", by).with("event", "plan-withdrawn").with("plan", plan).with("record", lsn)
        }
        RetentionFact::PlanBegun(begun) => Text::at(begun.at)
            .with("by", &begun.by)
            .with("digest", begun.digest)
            .with("event", "plan-begun")
            .with("plan", &begun.plan)
            .with("record", lsn),
        RetentionFact::PlanFinished { plan, destroyed, spared, at } => Text::at(*at)
            .with("destroyed", destroyed)
            .with("event", "plan-finished")
            .with("plan", plan)
            .with("record", lsn)
            .with("spared", spared),
        _ => return None,
    })
}

fn about_a_study(lsn: Lsn, fact: &RetentionFact) -> Option<Text> {
    Some(match fact {
        RetentionFact::StudyHidden { plan, at, .. } => {
            Text::at(*at).with("event", "study-hidden").with("plan", plan).with("record", lsn)
        }
        RetentionFact::StudyRestored { plan, by, at, .. } => {
            Text::at(*at).with("by", by).with("event", "study-restored").with("plan", plan).with("record", lsn)
        }
        RetentionFact::StudyTakenOut { plan, why, at, .. } => Text::at(*at)
            .with("event", "study-taken-out")
            .with("plan", plan)
            .with("record", lsn)
            .with_some("why", name_of(why)),
        RetentionFact::StudyDestroyed(tombstone) => Text::at(tombstone.destroyed_at)
            .with("event", "study-destroyed")
            .with("plan", &tombstone.plan)
            .with("record", lsn)
            .with("seal", tombstone.seal()),
        RetentionFact::InstanceRejected { study, sop_instance, copy, reason, by, at, .. } => Text::at(*at)
            .with("by", by)
            .with_some("copy", Some(*copy).filter(|copy| *copy > 0))
            .with("event", "instance-rejected")
            .with("instance", instance_name(study.facility, sop_instance))
            .with("reason", reason.code())
            .with("record", lsn),
        RetentionFact::InstancesRejected { study, instances, reason, by, note, at } => Text::at(*at)
            .with("by", by)
            .with("event", "instances-rejected")
            .with("instances", instances.len())
            .with("members", names_digest(study.facility, instances))
            .with_some("note", note.as_ref().map(|note| instance_name(study.facility, note)))
            .with("reason", reason.code())
            .with("record", lsn),
        RetentionFact::InstancesRestored { study, instances, by, at, .. } => Text::at(*at)
            .with("by", by)
            .with("event", "instances-restored")
            .with("instances", instances.len())
            .with("members", names_digest(study.facility, instances))
            .with("record", lsn),
        // Which attributes, never their values.
        RetentionFact::StudyCorrected(correction) => Text::at(correction.at)
            .with("attributes", list_digest(correction.values.keys().map(ToString::to_string)))
            .with("by", &correction.by)
            .with("corrected", correction.values.len())
            .with("event", "study-corrected")
            .with("record", lsn),
        RetentionFact::SeriesMoved(moved) => Text::at(moved.at)
            .with("by", &moved.by)
            .with("event", "series-moved")
            .with("members", list_digest(moved.series.iter().map(ToString::to_string)))
            .with("record", lsn)
            .with("series", moved.series.len())
            .with("why", moved.why.name()),
        RetentionFact::LateInstance { seq, at, .. } => {
            Text::at(*at).with("event", "late-instance").with("record", lsn).with("seq", seq)
        }
        _ => return None,
    })
}

fn names_digest(facility: FacilityCode, instances: &[Named]) -> Digest {
    list_digest(instances.iter().map(|named| instance_name(facility, &named.sop_instance)))
}

/// The kind of a refusal without what it names.
fn name_of(why: &Refusal) -> Option<String> {
    let value = serde_json::to_value(why).ok()?;
    value.get("refusal").and_then(serde_json::Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests;
