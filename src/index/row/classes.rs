//! Which SOP classes a study shows: a bounded number, for its row is written again with every batch that adds to it.

use model::Uid;
use std::collections::BTreeSet;

/// SOP classes that a study shows; of more the first ones in order.
pub(crate) const CLASSES_MAX: usize = 64;

/// Adds a SOP class: whatever the order they come in, the same ones stay.
pub(crate) fn take(kept: &mut BTreeSet<Uid>, class: &Uid) {
    let last = kept.last().filter(|_| kept.len() >= CLASSES_MAX);
    if !kept.contains(class) && last.is_none_or(|last| class < last) {
        kept.insert(class.clone());
        trim(kept);
    }
}

/// Drops those that a study does not show; tells whether there were any.
pub(crate) fn trim(kept: &mut BTreeSet<Uid>) -> bool {
    let before = kept.len();
    while kept.len() > CLASSES_MAX {
        kept.pop_last();
    }
    kept.len() < before
}
