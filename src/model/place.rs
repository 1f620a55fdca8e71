//! Where the bytes of a stored instance lie.
//!
//! A place is written by the store, kept by the index and handed back to the store unchanged;
//! nobody in between looks inside.

use crate::PackId;
use serde::{Deserialize, Serialize};

/// The place of a journal record and of the body it carries or names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Number of the segment file.
    pub segment: u32,
    /// Generation of the segment when the record was written.
    pub generation: u32,
    /// Byte offset of the record's header in the segment.
    pub offset: u64,
    /// Length of the head (the fact) in bytes.
    pub head_len: u32,
    /// Length of the body in bytes: the stored Part 10 file.
    pub body_len: u64,
    /// Name of the file that holds the body, when it is too large to lie in the segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
}

/// Where an instance is read from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Home {
    /// The body of a journal record.
    Journal(Place),
    /// An entry of a pack.
    Pack {
        /// The pack.
        pack: PackId,
        /// Which entry, from 0.
        slot: u32,
    },
}

impl Home {
    /// The journal record, if it is one.
    pub const fn journal(&self) -> Option<&Place> {
        match self {
            Self::Journal(place) => Some(place),
            Self::Pack { .. } => None,
        }
    }
}
