//! Attributes of a study that hold other values than were received.
//!
//! What a study is found by are the corrected values; what was received stays beside them, so that later instances are
//! taken in as before and a correction that is taken back leaves no trace. Deliberately not here: who corrected what.

use super::StudyRow;
use crate::attributes;
use model::{Attributes, Level};

/// Corrected values of a study, and what was received instead of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Corrected {
    /// The values that hold; none for a study that is as received.
    pub values: Attributes,
    /// What was received of these attributes, where anything was.
    pub received: Attributes,
}

impl StudyRow {
    /// The attributes as they were received.
    pub fn as_received(&self) -> Attributes {
        let mut all = self.attributes.clone();
        all.retain(|key, _| !self.corrected.values.contains_key(key));
        all.extend(self.corrected.received.iter().map(|(key, text)| (*key, text.clone())));
        all
    }

    /// Puts values in the place of those received, and those received in the place of earlier ones.
    pub(crate) fn correct(&mut self, values: &Attributes) {
        self.overlay(self.as_received(), values.clone());
    }

    /// Cuts what was received and is longer than rows hold now; tells whether anything was.
    pub(crate) fn cut(&mut self) -> bool {
        let Corrected { values, received } = &mut self.corrected;
        let before = attributes::cut(received, |_| true);
        attributes::cut(&mut self.attributes, |key| !values.contains_key(key)) || before
    }

    fn overlay(&mut self, mut all: Attributes, values: Attributes) {
        let received = all.iter().filter(|(key, _)| values.contains_key(key));
        self.corrected.received = received.map(|(key, text)| (*key, text.clone())).collect();
        all.extend(values.iter().map(|(key, text)| (*key, text.clone())));
        self.attributes = all;
        self.corrected.values = values;
    }

    /// Whether [`StudyRow::absorb`] would change anything.
    pub(crate) fn absorbs(&self, instance: &Attributes) -> bool {
        if self.corrected.values.is_empty() {
            return attributes::absorbs(&self.attributes, instance, Level::Study);
        }
        attributes::absorbs(&self.as_received(), instance, Level::Study)
    }

    /// Takes an instance's values in: of each the first non-empty one received stays.
    pub(crate) fn absorb(&mut self, instance: &Attributes) {
        if self.corrected.values.is_empty() {
            attributes::absorb(&mut self.attributes, instance, Level::Study);
            return;
        }
        let mut all = self.as_received();
        attributes::absorb(&mut all, instance, Level::Study);
        let values = std::mem::take(&mut self.corrected.values);
        self.overlay(all, values);
    }
}
