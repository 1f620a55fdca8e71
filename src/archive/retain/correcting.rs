//! Recording corrections of patient and order facts, and taking them back.
//!
//! Each record says everything that holds from then on, so that the newest one is enough. Stored bytes never change.
//! Deliberately not here: what goes out ([`crate::correct`]), and who may correct.

use super::{RetainError, invalid};
use crate::open::Archive;
use index::StudyKey;
use model::correction::{self, Correction, Why};
use model::retention::{Person, RetentionFact, StudyRef};
use model::{AttrKey, Attributes};

/// What is to be corrected.
#[derive(Debug, Clone)]
pub struct Correcting {
    /// The study.
    pub study: StudyRef,
    /// New values; others that were corrected before stay.
    pub set: Attributes,
    /// Attributes that hold again what was received.
    pub clear: Vec<AttrKey>,
    /// What receivers of objects are told.
    pub why: Why,
    /// Who.
    pub by: Person,
    /// Why, in words.
    pub reason: String,
}

/// How one attribute changes, for people and programs. Patient data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Changed {
    /// Keyword.
    pub attribute: String,
    /// What it holds before; none where it is absent.
    pub before: Option<String>,
    /// What it holds after.
    pub after: Option<String>,
    /// What was received.
    pub received: Option<String>,
}

impl Archive {
    /// What a correction would change; nothing is recorded.
    ///
    /// # Errors
    /// When there is no such study, a value has the wrong form, or nothing would change.
    pub fn would_correct(&self, wanted: &Correcting) -> Result<Vec<Changed>, RetainError> {
        self.correcting(wanted).map(|(_, changes)| changes)
    }

    /// Corrects attributes of a study: from now on it is found by the new values, and every object of it goes out with
    /// them. Tells what changed.
    ///
    /// # Errors
    /// As [`Archive::would_correct`], and when no reason is given.
    pub fn correct_study(&self, wanted: &Correcting) -> Result<Vec<Changed>, RetainError> {
        if wanted.reason.trim().is_empty() {
            return Err(invalid("a reason is needed"));
        }
        let _turn = self.retention().change.lock();
        let (values, changes) = self.correcting(wanted)?;
        let Correcting { study, why, by, reason, .. } = wanted.clone();
        let at = self.now_ms();
        let correction = Correction { study, values, why, by, reason, at, seal: None };
        self.retain(RetentionFact::StudyCorrected(Box::new(correction)))?;
        metrics::counter!("khoanh_corrections_total").increment(1);
        Ok(changes)
    }

    fn correcting(&self, wanted: &Correcting) -> Result<(Attributes, Vec<Changed>), RetainError> {
        let row = self.study_named(&wanted.study)?;
        if row.hidden_by.is_some() {
            return Err(invalid("the study is hidden by a retention plan; restore it first"));
        }
        let set = correction::checked(&wanted.set).map_err(|error| invalid(error.to_string()))?;
        let mut values = row.corrected.values.clone();
        wanted.clear.iter().for_each(|key| drop(values.remove(key)));
        values.extend(set);
        let received = row.as_received();
        let after = |key: &AttrKey| values.get(key).or_else(|| received.get(key)).cloned();
        let changes = correction::CORRECTABLE.iter().filter_map(|key| {
            let (before, after) = (row.attributes.get(key).cloned(), after(key));
            let attribute = model::attribute::attribute(*key)?.keyword.to_owned();
            (before != after).then(|| Changed { attribute, before, after, received: received.get(key).cloned() })
        });
        let changes: Vec<Changed> = changes.collect();
        if changes.is_empty() {
            return Err(invalid("that is what the study says already; nothing was changed"));
        }
        Ok((values, changes))
    }

    /// Every correction of a study, the oldest first; the last one holds.
    ///
    /// # Errors
    /// When the index does not answer.
    pub fn corrections_of(&self, study: &StudyRef) -> Result<Vec<Correction>, RetainError> {
        let facts = self.index().retention_of(&StudyKey::from(study))?;
        let corrections = facts.into_iter().filter_map(|(_, fact)| match fact {
            RetentionFact::StudyCorrected(correction) => Some(*correction),
            _ => None,
        });
        Ok(corrections.collect())
    }
}
