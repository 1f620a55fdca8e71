//! What can go wrong with a pack, by what the caller can do about it.

use std::io;

/// A pack could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The pack's bytes could not be read: ask again, or read another copy.
    #[error("reading the pack")]
    Read(#[source] io::Error),
    /// The pack could not be written: begin it again elsewhere.
    #[error("writing the pack")]
    Write(#[source] io::Error),
    /// The instance to be packed could not be read.
    #[error("reading instance {sop_instance} to pack it")]
    Source {
        /// Its SOP Instance UID.
        sop_instance: model::Uid,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The pack's bytes are not those that were written: take another copy and repair this one.
    #[error("{entry} is damaged at byte {offset} of the pack: {what}")]
    Damaged {
        /// Name of the entry, or `directory` for what lies behind the entries.
        entry: String,
        /// Byte offset in the pack where the damaged part begins.
        offset: u64,
        /// What does not hold.
        what: &'static str,
    },
    /// Written by a newer program.
    #[error("the pack has format version {found}, this program knows up to {known}")]
    Newer {
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// What was said of an instance contradicts itself or its bytes.
    #[error("instance {sop_instance} cannot be packed: {what}")]
    Input {
        /// Its SOP Instance UID.
        sop_instance: model::Uid,
        /// What contradicts.
        what: &'static str,
    },
    /// An earlier write failed, so the pack is not whole.
    #[error("the pack is broken off after a failed write")]
    Broken,
    /// No such instance, frame or range.
    #[error("the pack has no {what} {asked}")]
    Missing {
        /// What was asked for.
        what: &'static str,
        /// Its number.
        asked: u64,
    },
}

impl PackError {
    pub(super) fn damaged(entry: impl Into<String>, offset: u64, what: &'static str) -> Self {
        Self::Damaged { entry: entry.into(), offset, what }
    }
}
