//! Rejection and its end (IHE RAD Imaging Object Change Management): by people, and by notes that come as objects.
//!
//! A rejected instance is hidden at once and goes with its study; until then it can be restored. A note that names
//! instances which have not come yet is remembered, and they are rejected when they come, before their sender hears of
//! success. Deliberately not here: who may reject, and what a note looks like ([`dataset::rejection`]).

use super::{RetainError, invalid};
use crate::error::RetrieveError;
use crate::open::Archive;
use dataset::rejection::{self, KEY_OBJECT_SELECTION, KeyObjects};
use dataset::syntax::Syntax;
use index::{InstanceRow, StudyKey};
use model::retention::record::{Named, RejectReason};
use model::retention::{Person, RetentionFact, StudyRef};
use model::{FacilityCode, Sameness, Uid};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;

/// Most instances rejected or restored at once, and most that one note names.
pub const REJECTED_MAX: usize = 20_000;
/// Longest data set that is read as a rejection note, in bytes.
const NOTE_MAX: u64 = 64 << 20;

/// What was said about an instance last, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Judged {
    /// Series Instance UID.
    pub series: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Why it is rejected.
    pub reason: RejectReason,
    /// Who rejected it.
    pub by: Person,
    /// SOP Instance UID of the note that says so, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Uid>,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
}

impl Archive {
    /// Rejects an instance.
    ///
    /// # Errors
    /// When there is no such instance, or it is rejected already.
    pub fn reject_instance(
        &self,
        facility: FacilityCode,
        (study, series, sop_instance): (&Uid, &Uid, &Uid),
        reason: RejectReason,
        by: Person,
    ) -> Result<(), RetainError> {
        let rows = self.index().instance(sop_instance)?;
        let named = |row: &&InstanceRow| {
            let of = &row.key.study;
            of.facility == facility && of.study == *study && row.key.series == *series && row.outcome.copy == 0
        };
        let row = rows.iter().find(named).ok_or_else(|| invalid("there is no such instance"))?;
        let instances = vec![Named { series: series.clone(), sop_instance: sop_instance.clone() }];
        match self.reject_instances(&StudyRef::from(&row.key.study), instances, reason, by)? {
            0 => Err(invalid("the instance is rejected already")),
            _ => Ok(()),
        }
    }

    /// Rejects instances of a study together: from now on they are found and retrieved by nobody, or for quality by who
    /// has the right; they go with their study. Tells how many; those that are rejected already do not count.
    ///
    /// # Errors
    /// When one of them is not there, or there are too many.
    pub fn reject_instances(
        &self,
        study: &StudyRef,
        instances: Vec<Named>,
        reason: RejectReason,
        by: Person,
    ) -> Result<usize, RetainError> {
        let _turn = self.retention().change.lock();
        let instances = self.those(study, instances, |row| row.rejected.is_none())?;
        let count = instances.len();
        if count > 0 {
            let (study, at) = (study.clone(), self.now_ms());
            self.retain(RetentionFact::InstancesRejected { study, instances, reason, by, note: None, at })?;
        }
        Ok(count)
    }

    /// Takes the rejection of instances back: they are found and retrieved again. No name means every one of the study.
    /// Tells how many.
    ///
    /// # Errors
    /// When one of them is not rejected, or no reason is given.
    pub fn restore_instances(
        &self,
        study: &StudyRef,
        sop_instances: &BTreeSet<Uid>,
        by: Person,
        reason: String,
    ) -> Result<usize, RetainError> {
        if reason.trim().is_empty() {
            return Err(invalid("a reason is needed"));
        }
        let _turn = self.retention().change.lock();
        let mut judged = self.rejected_of(study)?;
        if !sop_instances.is_empty() {
            judged.retain(|one| sop_instances.contains(&one.sop_instance));
        }
        if judged.is_empty() || judged.len() < sop_instances.len() {
            return Err(invalid("not all of that is rejected; nothing was changed"));
        }
        let instances = judged.into_iter().map(|Judged { series, sop_instance, .. }| Named { series, sop_instance });
        let instances: Vec<Named> = instances.collect();
        let (count, study, at) = (instances.len(), study.clone(), self.now_ms());
        self.retain(RetentionFact::InstancesRestored { study, instances, by, reason, at, seal: None })?;
        Ok(count)
    }

    /// The instances that are named and satisfy `wanted`, each once.
    fn those(
        &self,
        study: &StudyRef,
        instances: Vec<Named>,
        wanted: impl Fn(&InstanceRow) -> bool,
    ) -> Result<Vec<Named>, RetainError> {
        if instances.len() > REJECTED_MAX {
            return Err(invalid(format!("at most {REJECTED_MAX} instances at once, these are {}", instances.len())));
        }
        let mut found = BTreeSet::new();
        for named in instances {
            let unknown = || invalid(format!("there is no instance {} in that study", named.sop_instance));
            let row = self.first_copy(study, &named)?.ok_or_else(unknown)?;
            if wanted(&row) {
                found.insert(named);
            }
        }
        Ok(found.into_iter().collect())
    }

    fn first_copy(&self, study: &StudyRef, named: &Named) -> Result<Option<InstanceRow>, RetainError> {
        let key = StudyKey::from(study);
        let rows = self.index().instance(&named.sop_instance)?;
        let first = |row: &InstanceRow| row.outcome.copy == 0 && row.key.study == key && row.key.series == named.series;
        Ok(rows.into_iter().find(first))
    }

    /// What is rejected in a study, with what notes say of instances that have not come.
    ///
    /// # Errors
    /// When the index does not answer.
    pub fn rejected_of(&self, study: &StudyRef) -> Result<Vec<Judged>, RetainError> {
        let facts = self.index().retention_of(&StudyKey::from(study))?;
        Ok(judged(facts.into_iter().map(|(_, fact)| fact)).into_values().collect())
    }

    /// Does what follows from an object that just became durable, before its sender hears of it: a rejection note takes
    /// effect, and an instance that an earlier note names is rejected. May be done again. The copy that is stored has one
    /// of the digests.
    ///
    /// # Errors
    /// When it could not be recorded: the sender must try again.
    pub(crate) fn after_arrival(
        self: &Arc<Self>,
        facility: FacilityCode,
        sop_class: &Uid,
        sop_instance: &Uid,
        digests: [Option<Sameness>; 2],
    ) -> Result<(), RetainError> {
        let is_note = sop_class.as_str() == KEY_OBJECT_SELECTION;
        if !is_note && !self.retention().state.read().has_notes() {
            return Ok(());
        }
        let rows = self.index().instance(sop_instance)?;
        let this = |row: &InstanceRow| row.key.study.facility == facility && row.outcome.copy == 0;
        let Some(row) = rows.into_iter().find(|row| this(row) && digests.contains(&Some(row.digest))) else {
            return Ok(());
        };
        if is_note {
            self.take_note(&row)?;
        }
        self.reject_if_noted(&row)
    }

    /// Rejects an instance that the last word about it in an earlier note rejects.
    fn reject_if_noted(&self, row: &InstanceRow) -> Result<(), RetainError> {
        let study = StudyRef::from(&row.key.study);
        if row.rejected.is_some() || !self.retention().state.read().is_noted(&study) {
            return Ok(());
        }
        let _turn = self.retention().change.lock();
        let named = Named { series: row.key.series.clone(), sop_instance: row.sop_instance.clone() };
        let facts = self.index().retention_of(&row.key.study)?;
        let mut known = judged(facts.into_iter().map(|(_, fact)| fact));
        let Some(Judged { reason, by, .. }) = known.remove(&named) else { return Ok(()) };
        // It may have been judged while this waited for its turn.
        if self.first_copy(&study, &named)?.is_none_or(|row| row.rejected.is_some()) {
            return Ok(());
        }
        let at = self.now_ms();
        self.retain(RetentionFact::InstancesRejected { study, instances: vec![named], reason, by, note: None, at })
    }

    /// The same for instances that came behind a note when the process died before that took effect.
    pub(crate) fn reject_noted(&self, rows: &[InstanceRow]) -> Result<(), RetrieveError> {
        let failed = |error: RetainError| RetrieveError::Unavailable { what: error.to_string() };
        rows.iter().try_for_each(|row| self.reject_if_noted(row)).map_err(failed)
    }

    /// What a rejection note says takes effect, once for every note.
    fn take_note(self: &Arc<Self>, row: &InstanceRow) -> Result<(), RetainError> {
        let Some(note) = self.key_objects(row)? else { return Ok(()) };
        let Some(reason) = RejectReason::of_code(&note.title) else { return Ok(()) };
        let own = StudyRef::from(&row.key.study);
        let mut named: BTreeMap<StudyRef, BTreeSet<Named>> = BTreeMap::new();
        // Nothing moves between the look where it stands and the record.
        let _turn = self.retention().change.lock();
        for known in note.references {
            let uids = (Uid::parse(&known.study), Uid::parse(&known.series), Uid::parse(&known.sop_instance));
            let (Ok(study), Ok(series), Ok(sop_instance)) = uids else { continue };
            if sop_instance == row.sop_instance {
                tracing::warn!(note = %row.sop_instance, "a rejection note names itself; it stays");
                continue;
            }
            // Another patient's study under the same UID is none of the note's business.
            let patient = if study == own.study { own.patient } else { 0 };
            let study = self.stands_in(StudyRef { facility: own.facility, study, patient }, &series)?;
            named.entry(study).or_default().insert(Named { series, sop_instance });
        }
        for (study, instances) in named {
            let facts = self.index().retention_of(&StudyKey::from(&study))?;
            let taken = |fact: &RetentionFact| matches!(fact, RetentionFact::InstancesRejected { note: Some(note), .. } if *note == row.sop_instance);
            if facts.iter().any(|(_, fact)| taken(fact)) {
                continue;
            }
            let by = Person::parse(&format!("source {}", row.source)).map_err(|error| invalid(error.to_string()))?;
            let (instances, note, at) =
                (instances.into_iter().collect(), Some(row.sop_instance.clone()), self.now_ms());
            metrics::counter!("khoanh_rejection_notes_total").increment(1);
            self.retain(RetentionFact::InstancesRejected { study, instances, reason, by, note, at })?;
        }
        Ok(())
    }

    /// The study in which a series stands that was received in one.
    fn stands_in(&self, study: StudyRef, series: &Uid) -> Result<StudyRef, RetainError> {
        let moved = self.moves_of(&study)?.standing.into_iter();
        let mut of_series = moved.filter(|one| one.study == study && one.series == *series);
        Ok(of_series.next().map_or(study, |one| one.to))
    }

    /// The title and references of a key object document; none for one that is not understood: it is stored, and is
    /// for an archivist to look at.
    fn key_objects(self: &Arc<Self>, row: &InstanceRow) -> Result<Option<KeyObjects>, RetainError> {
        if row.dataset_len > NOTE_MAX {
            tracing::warn!(object = %row.sop_instance, "a key object document is too long to be read as a note");
            return Ok(None);
        }
        let bytes = if Syntax::of(row.transfer_syntax.as_str()).deflated {
            self.inflated(row)?
        } else {
            let mut bytes = Vec::new();
            let unread = |error: std::io::Error| RetrieveError::Unavailable { what: format!("a key object: {error}") };
            self.data_set(row).take(NOTE_MAX).read_to_end(&mut bytes).map_err(unread)?;
            bytes
        };
        match rejection::read(&bytes, row.transfer_syntax.as_str(), REJECTED_MAX) {
            Ok(note) => Ok(Some(note)),
            Err(error) => {
                tracing::warn!(object = %row.sop_instance, %error, "a key object document is not read as a note");
                Ok(None)
            }
        }
    }
}

/// The last word about every instance that is rejected.
fn judged(facts: impl Iterator<Item = RetentionFact>) -> BTreeMap<Named, Judged> {
    let mut known = BTreeMap::new();
    for fact in facts {
        match fact {
            RetentionFact::InstanceRejected { series, sop_instance, copy: 0, reason, by, at, .. } => {
                let named = Named { series, sop_instance };
                known.insert(named.clone(), judgement(named, (reason, by, None, at)));
            }
            RetentionFact::InstancesRejected { instances, reason, by, note, at, .. } => {
                for named in instances {
                    known.insert(named.clone(), judgement(named, (reason, by.clone(), note.clone(), at)));
                }
            }
            RetentionFact::InstancesRestored { instances, .. } => {
                instances.iter().for_each(|named| drop(known.remove(named)));
            }
            _ => {}
        }
    }
    known
}

fn judgement(named: Named, said: (RejectReason, Person, Option<Uid>, u64)) -> Judged {
    let Named { series, sop_instance } = named;
    let (reason, by, note, at) = said;
    Judged { series, sop_instance, reason, by, note, at }
}
