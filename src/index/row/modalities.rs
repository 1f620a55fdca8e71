//! Which modalities a study shows: those of its series, a bounded number of bounded length.
//!
//! A study's row is written again with every batch that adds to it, so it must not grow with what series say.

use model::Attributes;
use model::attribute::key;
use std::collections::BTreeSet;

/// Modalities that a study shows; of more the first ones in order.
pub(crate) const MODALITIES_MAX: usize = 64;
/// Longest text of a series that counts as a modality, in bytes; a code string has 16 characters.
const MODALITY_MAX: usize = 64;

/// The modality that a series adds to those of its study.
pub(crate) fn shown(series: &Attributes) -> Option<&str> {
    let text = series.get(&key::MODALITY)?.as_str();
    (!text.is_empty() && text.len() <= MODALITY_MAX).then_some(text)
}

/// Whether [`take`] would change anything.
pub(crate) fn takes(kept: &BTreeSet<String>, modality: &str) -> bool {
    let last = kept.last().filter(|_| kept.len() >= MODALITIES_MAX);
    !kept.contains(modality) && last.is_none_or(|last| modality < last.as_str())
}

/// Adds a modality: whatever the order they come in, the same ones stay.
pub(crate) fn take(kept: &mut BTreeSet<String>, modality: &str) {
    if takes(kept, modality) {
        kept.insert(modality.to_owned());
        trim(kept);
    }
}

/// Drops those that a study does not show; tells whether there were any.
pub(crate) fn trim(kept: &mut BTreeSet<String>) -> bool {
    let before = kept.len();
    kept.retain(|text| text.len() <= MODALITY_MAX);
    while kept.len() > MODALITIES_MAX {
        kept.pop_last();
    }
    kept.len() < before
}
