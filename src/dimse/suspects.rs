//! Long objects that broke off once while they were sent back: the next C-GET reads them to their end before it
//! announces them. Short ones are read before they are sent in any case ([`crate::outgoing`]).
//!
//! A C-STORE that has begun cannot be taken back, and a part must not look whole: the first time nothing but the end
//! of the association is true. Known here, the object fails alone, so that a study with one damaged object can be had.

use model::Uid;
use parking_lot::Mutex;
use std::collections::HashSet;

/// Most objects remembered; beyond them the association ends once more.
const SUSPECTS_MAX: usize = 10_000;

/// The objects, until they are read to their end or the archive stops.
#[derive(Debug, Default)]
pub(crate) struct Suspects(Mutex<HashSet<Uid>>);

impl Suspects {
    /// It broke off.
    pub(crate) fn add(&self, sop_instance: &Uid) {
        let mut known = self.0.lock();
        if known.len() < SUSPECTS_MAX {
            known.insert(sop_instance.clone());
        }
    }

    /// Whether it broke off before.
    pub(crate) fn has(&self, sop_instance: &Uid) -> bool {
        self.0.lock().contains(sop_instance)
    }

    /// It is whole again.
    pub(crate) fn clear(&self, sop_instance: &Uid) {
        self.0.lock().remove(sop_instance);
    }
}
