//! The rows of packs, and of documents prepared for a series.
//!
//! Deliberately not here: what lies in a pack or a document.

use super::{SeriesKey, StudyKey};
use model::pack::{ColdCopy, PackFact, Packed};
use model::{Digest, PackId};

/// What is known of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRow {
    /// Its name.
    pub pack: PackId,
    /// The series it holds instances of.
    pub series: SeriesKey,
    /// Number of the part, from 1.
    pub part: u32,
    /// Length of the plain pack in bytes.
    pub len: u64,
    /// SHA-256 of the plain pack.
    pub sha256: Digest,
    /// Bytes of the files in it.
    pub raw: u64,
    /// Number of instances in it.
    pub instances: u64,
    /// Lowest `seq` of its instances.
    pub first_seq: u64,
    /// Highest `seq` of its instances.
    pub last_seq: u64,
    /// When it was written, milliseconds since 1970.
    pub packed_at: u64,
    /// Whether a hot volume holds it.
    pub hot: bool,
    /// The verified copy in the cloud.
    pub cold: Option<ColdCopy>,
}

impl PackRow {
    /// The row of a pack just written.
    pub fn of(packed: &Packed) -> Self {
        let study = StudyKey { facility: packed.facility, study: packed.study.clone(), patient: packed.patient };
        Self {
            pack: packed.pack,
            series: SeriesKey { study, series: packed.series.clone() },
            part: packed.part,
            len: packed.len,
            sha256: packed.sha256,
            raw: packed.raw,
            instances: u64::try_from(packed.seqs.len()).unwrap_or(u64::MAX),
            first_seq: packed.seqs.iter().copied().min().unwrap_or(0),
            last_seq: packed.seqs.iter().copied().max().unwrap_or(0),
            packed_at: packed.at,
            hot: true,
            cold: None,
        }
    }

    /// Takes a later fact about the pack; false when nothing changed.
    pub fn take(&mut self, fact: &PackFact) -> bool {
        let before = (self.hot, self.cold.clone());
        match fact {
            PackFact::Packed(_) => {}
            PackFact::Tiered { copy, .. } => self.cold = Some(copy.clone()),
            PackFact::Released { .. } => self.hot = false,
            PackFact::Recalled { .. } => self.hot = true,
            PackFact::ColdLost { .. } => self.cold = None,
        }
        before != (self.hot, self.cold.clone())
    }
}

/// What is prepared for a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PreparedKind {
    /// Metadata of its instances.
    Metadata,
    /// A small picture of it.
    Thumbnail,
}

impl PreparedKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Metadata, Self::Thumbnail];
}

/// A document prepared for a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The newest `seq` it covers.
    pub through_seq: u64,
    /// The document.
    pub document: Vec<u8>,
}
