//! The rows of an index and what identifies them.

pub(crate) mod classes;
mod corrected;
mod identity;
mod kept;
pub(crate) mod modalities;

pub use corrected::Corrected;
pub use identity::{Identity, KnownCopy, KnownPatient, KnownStudy, LISTED, Whose, known};
pub use kept::{PackRow, Prepared, PreparedKind};

use model::attribute::key;
use model::correction::Correction;
use model::retention::record::RejectReason;
use model::{
    AttrKey, Attributes, Digest, FacilityCode, Flag, Frames, Home, InstanceHead, Layout, Level, Lsn, Outcome,
    PixelSpan, Sameness, Uid, Via,
};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A study: bare Study Instance UIDs never meet across facilities, nor do two patients under one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StudyKey {
    /// Facility.
    pub facility: FacilityCode,
    /// Study Instance UID.
    pub study: Uid,
    /// Which patient under that UID (see [`Outcome::patient`]).
    pub patient: u16,
}

/// A series of a study.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The study.
    pub study: StudyKey,
    /// Series Instance UID.
    pub series: Uid,
}

/// What is known of a study and its patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyRow {
    /// Identity.
    pub key: StudyKey,
    /// Extracted attributes of the study level, corrected, UIDs left out (see [`StudyRow::value`]).
    pub attributes: Attributes,
    /// Which of them are corrected, and what was received instead.
    pub corrected: Corrected,
    /// Modality of every series that shows anything; of more than 64 the first ones in order.
    pub modalities: BTreeSet<String>,
    /// SOP Class UID of every instance that was not rejected; of more than 64 the first ones in order.
    pub sop_classes: BTreeSet<Uid>,
    /// Number of series.
    pub series: u64,
    /// Number of series that are not quiet.
    pub busy_series: u64,
    /// Number of instances.
    pub instances: u64,
    /// Bytes of the stored files.
    pub bytes: u64,
    /// `seq` of the first instance.
    pub first_seq: u64,
    /// `seq` of the newest instance.
    pub last_seq: u64,
    /// When the newest instance came in, milliseconds since 1970.
    pub last_received: u64,
    /// The newest `seq` that a "complete" fact covers.
    pub complete_through: Option<u64>,
    /// Number of instances that were rejected: counted above, found and retrieved by nobody.
    pub rejected: u64,
    /// The retention plan that hides it: then it is found and retrieved by nobody.
    pub hidden_by: Option<String>,
    /// Record number of the newest fact that made it another version; 0 for none.
    pub version_fact: Lsn,
    /// How many of those were rejected for quality: found and retrieved by who has the right.
    pub unfit: u64,
    /// Number of series of which every instance was rejected.
    pub empty_series: u64,
}

/// What is known of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRow {
    /// Identity.
    pub key: SeriesKey,
    /// Which study under that Series Instance UID (see [`Outcome::study`]).
    pub study_rank: u16,
    /// Extracted attributes of the series level, UIDs left out (see [`SeriesRow::value`]).
    pub attributes: Attributes,
    /// Number of instances.
    pub instances: u64,
    /// Bytes of the stored files.
    pub bytes: u64,
    /// `seq` of the first instance.
    pub first_seq: u64,
    /// `seq` of the newest instance.
    pub last_seq: u64,
    /// When the newest instance came in, milliseconds since 1970.
    pub last_received: u64,
    /// The newest `seq` that a "quiet" fact covers.
    pub quiet_through: Option<u64>,
    /// Number of instances that are read from packs.
    pub packed: u64,
    /// Number of instances that were rejected.
    pub rejected: u64,
    /// How many of those were rejected for quality.
    pub unfit: u64,
    /// Record number of the newest fact that rejected or restored something of it; 0 for none.
    pub version_fact: Lsn,
}

/// The frames of an instance in short; [`crate::Index::layout`] has their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameSummary {
    /// No pixel data, or frames that cannot be told apart.
    None,
    /// Native frames of equal size.
    Native {
        /// Number of complete frames.
        count: u32,
        /// Bits of one frame.
        bits: u64,
    },
    /// Encapsulated frames.
    Encapsulated {
        /// Number of frames.
        count: u32,
    },
}

impl FrameSummary {
    /// The summary of a layout's frames.
    pub fn of(frames: &Frames) -> Self {
        match frames {
            Frames::None => Self::None,
            Frames::Native { count, bits } => Self::Native { count: *count, bits: *bits },
            Frames::Encapsulated { fragments, starts } => {
                let count = starts.as_ref().map_or(fragments.len(), Vec::len);
                Self::Encapsulated { count: u32::try_from(count).unwrap_or(u32::MAX) }
            }
        }
    }

    /// Number of frames.
    pub fn count(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Native { count, .. } | Self::Encapsulated { count } => count,
        }
    }
}

/// What is known of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// The series it belongs to.
    pub key: SeriesKey,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// SOP Class UID.
    pub sop_class: Uid,
    /// Transfer syntax of the stored data set.
    pub transfer_syntax: Uid,
    /// Order of arrival in the whole archive.
    pub seq: u64,
    /// Time of receipt, milliseconds since 1970.
    pub received: u64,
    /// How it came in.
    pub via: Via,
    /// The source's name in the registry.
    pub source: String,
    /// Over transfer syntax and data set (see [`InstanceHead::digest`]).
    pub digest: Sameness,
    /// SHA-256 over preamble and file meta information.
    pub meta_digest: Digest,
    /// CRC-32C without group lengths.
    pub loose_crc: u32,
    /// Where the data set starts in the stored file.
    pub meta_len: u32,
    /// Length of the stored file.
    pub file_len: u64,
    /// Extracted attributes of the instance level, UIDs left out (see [`InstanceRow::value`]).
    pub attributes: Attributes,
    /// Oddities.
    pub flags: Vec<Flag>,
    /// What was decided on arrival.
    pub outcome: Outcome,
    /// Where it is read from.
    pub home: Home,
    /// The pixel data element.
    pub pixel: Option<PixelSpan>,
    /// Its frames.
    pub frames: FrameSummary,
    /// Length of the data set as scanned.
    pub dataset_len: u64,
    /// Why it was rejected, if it was: then it is found and retrieved by nobody, or for quality by who has the right.
    pub rejected: Option<RejectReason>,
    /// The correction it goes out with, by the number of its record. Never stored: the archive sets it in the rows it
    /// gives to those who read objects for others.
    pub correction: Option<Arc<(Lsn, Correction)>>,
}

impl StudyRow {
    /// The value of a study attribute, extracted or derived; none when absent.
    pub fn value(&self, wanted: AttrKey) -> Option<Cow<'_, str>> {
        let joined = |list: Vec<&str>| Some(Cow::Owned(list.join("\\")));
        match wanted {
            key::STUDY_INSTANCE_UID => Some(self.key.study.as_str().into()),
            key::MODALITIES_IN_STUDY => joined(self.modalities.iter().map(String::as_str).collect()),
            key::SOP_CLASSES_IN_STUDY => joined(self.sop_classes.iter().map(Uid::as_str).collect()),
            key::NUMBER_OF_STUDY_RELATED_SERIES => {
                Some(self.series.saturating_sub(self.empty_series).to_string().into())
            }
            key::NUMBER_OF_STUDY_RELATED_INSTANCES => Some(self.served().to_string().into()),
            // PS3.3 C.4.23.1.1: everything is on fast media.
            key::INSTANCE_AVAILABILITY => Some("ONLINE".into()),
            other => self.attributes.get(&other).map(|value| value.as_str().into()),
        }
    }

    /// Number of instances that may be found.
    pub const fn served(&self) -> u64 {
        self.served_to(false)
    }

    /// The same; `unfit` by somebody who also sees what was rejected for quality.
    pub const fn served_to(&self, unfit: bool) -> u64 {
        served(self.instances, self.rejected, self.unfit, unfit)
    }

    /// The greatest number that senders state of its series or instances; none where nobody does.
    pub fn stated(&self, wanted: AttrKey) -> Option<u64> {
        crate::attributes::stated(self.attributes.get(&wanted)?)
    }

    /// Whether it has series, and every one is quiet, but no "complete" fact covers the newest instance.
    pub fn is_incomplete(&self) -> bool {
        self.instances > 0
            && self.busy_series == 0
            && self.complete_through.is_none_or(|through| through < self.last_seq)
    }
}

impl SeriesRow {
    /// The value of a series attribute, extracted or derived; none when absent.
    pub fn value(&self, wanted: AttrKey) -> Option<Cow<'_, str>> {
        match wanted {
            key::SERIES_INSTANCE_UID => Some(self.key.series.as_str().into()),
            key::NUMBER_OF_SERIES_RELATED_INSTANCES => Some(self.served().to_string().into()),
            other => self.attributes.get(&other).map(|value| value.as_str().into()),
        }
    }

    /// The greatest number that senders state of its instances; none where nobody does.
    pub fn stated(&self) -> Option<u64> {
        crate::attributes::stated(self.attributes.get(&key::NUMBER_OF_SERIES_RELATED_INSTANCES)?)
    }

    /// Number of instances that may be found.
    pub const fn served(&self) -> u64 {
        self.served_to(false)
    }

    /// The same; `unfit` by somebody who also sees what was rejected for quality.
    pub const fn served_to(&self, unfit: bool) -> u64 {
        served(self.instances, self.rejected, self.unfit, unfit)
    }

    /// Names the state of the series that something was prepared from, as `seq` of its newest instance while nothing of
    /// it was ever rejected: what was prepared for another state is not served.
    pub const fn stamp(&self) -> u64 {
        match self.version_fact {
            0 => self.last_seq,
            fact => self.last_seq.rotate_left(32) ^ fact | 1 << 63,
        }
    }

    /// Whether the newest instance is not covered by a "quiet" fact.
    pub fn is_busy(&self) -> bool {
        self.quiet_through.is_none_or(|through| through < self.last_seq)
    }

    /// Whether it is quiet and some instance is not read from a pack.
    pub fn is_unpacked(&self) -> bool {
        !self.is_busy() && self.packed < self.instances
    }
}

impl InstanceRow {
    /// The row of a stored instance.
    pub fn of(head: &InstanceHead, home: Home) -> Self {
        let attributes = crate::attributes::of_level(&head.attributes, Level::Instance);
        Self {
            key: series_key(head),
            sop_instance: head.sop_instance.clone(),
            sop_class: head.sop_class.clone(),
            transfer_syntax: head.transfer_syntax.clone(),
            seq: head.seq,
            received: head.received,
            via: head.via,
            source: head.source.clone(),
            digest: head.digest,
            meta_digest: head.meta_digest,
            loose_crc: head.loose_crc,
            meta_len: head.meta_len,
            file_len: head.file_len,
            attributes: attributes.map(|(key, value)| (key, value.to_owned())).collect(),
            flags: head.flags.clone(),
            outcome: head.outcome,
            home,
            pixel: head.layout.pixel,
            frames: FrameSummary::of(&head.layout.frames),
            dataset_len: head.layout.dataset_len,
            rejected: None,
            correction: None,
        }
    }

    /// Whether it may be shown; `unfit` to somebody who also sees what was rejected for quality.
    pub fn is_shown(&self, unfit: bool) -> bool {
        self.rejected.is_none_or(|reason| unfit && reason == RejectReason::Quality)
    }

    /// The value of an instance attribute, extracted or derived; none when absent.
    pub fn value(&self, wanted: AttrKey) -> Option<Cow<'_, str>> {
        match wanted {
            key::SOP_INSTANCE_UID => Some(self.sop_instance.as_str().into()),
            key::SOP_CLASS_UID => Some(self.sop_class.as_str().into()),
            key::AVAILABLE_TRANSFER_SYNTAX_UID => Some(self.transfer_syntax.as_str().into()),
            other => self.attributes.get(&other).map(|value| value.as_str().into()),
        }
    }

    /// The layout, where the row alone says it: everything but encapsulated frames.
    pub(crate) fn plain_layout(&self) -> Option<Layout> {
        let frames = match self.frames {
            FrameSummary::None => Frames::None,
            FrameSummary::Native { count, bits } => Frames::Native { count, bits },
            FrameSummary::Encapsulated { .. } => return None,
        };
        Some(Layout { pixel: self.pixel, frames, dataset_len: self.dataset_len })
    }
}

const fn served(instances: u64, rejected: u64, unfit: u64, shows_unfit: bool) -> u64 {
    instances.saturating_sub(rejected).saturating_add(if shows_unfit { unfit } else { 0 })
}

/// The study an instance belongs to.
pub(crate) fn study_key(head: &InstanceHead) -> StudyKey {
    StudyKey { facility: head.facility, study: head.study.clone(), patient: head.outcome.patient }
}

/// The series an instance belongs to.
pub(crate) fn series_key(head: &InstanceHead) -> SeriesKey {
    SeriesKey { study: study_key(head), series: head.series.clone() }
}

/// One row of an answer, with the rows above it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The study.
    pub study: Arc<StudyRow>,
    /// The series, in answers at series and instance level.
    pub series: Option<Arc<SeriesRow>>,
    /// The instance, in answers at instance level.
    pub instance: Option<Arc<InstanceRow>>,
}

impl Found {
    /// The value of an attribute of the row's level or above; none when absent.
    pub fn value(&self, wanted: AttrKey) -> Option<Cow<'_, str>> {
        match crate::attributes::attribute(wanted)?.level {
            Level::Study => self.study.value(wanted),
            Level::Series => self.series.as_ref()?.value(wanted),
            Level::Instance => self.instance.as_ref()?.value(wanted),
        }
    }
}
