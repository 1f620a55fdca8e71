//! Which sealed facts go with a study: those about it, and those about its patient when nothing else of that patient is
//! here.
//!
//! Deliberately not here: sealing and opening ([`crate::seal`]), and destroying the keys ([`super::sweep`]).

use super::candidate::Study;
use super::state::State;
use crate::open::Archive;
use index::{Cursor, IndexError, StudyKey, StudyRow, plan};
use model::attribute::key;
use model::query::{Condition, Query, Test};
use model::retention::{HoldTarget, PatientRef, StudyRef};
use model::{Level, PackId};

/// Studies asked of the index at once.
const PAGE: usize = 500;

impl Archive {
    /// The names of the keys that go with a study.
    pub(super) fn seals_of(&self, found: &Study, state: &State) -> Result<Vec<PackId>, IndexError> {
        let own = self.index().retention_of(&StudyKey::from(&found.study))?;
        let mut seals: Vec<PackId> = own.iter().filter_map(|(_, fact)| fact.seal()).collect();
        let mut last = Vec::new();
        for patient in &found.patients {
            let spoken_of = !state.death_seals(patient).is_empty() || state.holds.was_held(patient);
            if spoken_of && !self.has_others(patient, &found.study)? {
                last.push(patient);
                seals.extend(state.death_seals(patient));
            }
        }
        for (hold, release) in state.holds.once_on(&found.study, &found.patients) {
            let goes = match &hold.target {
                HoldTarget::Study(_) => true,
                HoldTarget::Patient(patient) => last.contains(&patient),
                HoldTarget::Studies { studies, .. } => self.all_gone(studies, &found.study)?,
            };
            if goes {
                seals.extend(hold.seal.into_iter().chain(release.seal));
            }
        }
        seals.sort();
        seals.dedup();
        Ok(seals)
    }

    /// Whether any other study of a patient is here. Asked by Patient ID: one that names it among others does not count.
    /// Then a death is forgotten too early, which keeps that study longer.
    fn has_others(&self, patient: &PatientRef, but: &StudyRef) -> Result<bool, IndexError> {
        let condition = Condition { key: key::PATIENT_ID, test: Test::Equal(patient.id.clone()) };
        let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
        let plan = plan(&query, None).with_hidden();
        let other =
            |row: &StudyRow| StudyRef::from(&row.key) != *but && super::candidate::patients(row).contains(patient);
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = self.index().find(&plan, cursor.as_ref(), PAGE)?;
            if page.rows.iter().any(|found| other(&found.study)) {
                return Ok(true);
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(false);
            }
        }
    }

    /// Whether no other study of a list is here.
    fn all_gone(&self, studies: &[StudyRef], but: &StudyRef) -> Result<bool, IndexError> {
        for study in studies.iter().filter(|study| *study != but) {
            if self.index().study(&StudyKey::from(study))?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
