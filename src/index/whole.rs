//! What a rebuild puts into an index at once: everything a facility has under a Study Instance UID.
//!
//! Deliberately not here: studies of which anything lies elsewhere than in packs; they come fact by fact.

use crate::row::PackRow;
use model::{Fact, InstanceHead, PackId};

/// Everything that a facility has under one Study Instance UID, where all of it lies in packs and nothing of it was ever
/// destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whole {
    /// The packs, as they are after all facts about them.
    pub packs: Vec<PackRow>,
    /// The instances in order of `seq`, each with its pack and slot; no copies in conflict, which no pack holds.
    pub instances: Vec<(InstanceHead, PackId, u32)>,
    /// Which of its series are quiet and that it is complete, in the order recorded; no other fact.
    pub facts: Vec<Fact>,
}
