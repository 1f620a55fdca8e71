//! What the journal records: facts, in the order they became true.

use crate::pack::PackFact;
use crate::retention::RetentionFact;
use crate::{Facility, FacilityCode, InstanceHead, Source, Uid};
use serde::{Deserialize, Serialize};

/// The number of a journal record: rises by one from 1, never reused, kept when records are copied forward.
pub type Lsn = u64;

/// One fact. The JSON form is part of the on-disk format: variants and fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// An instance was stored; its bytes are the record's body.
    Instance(Box<InstanceHead>),
    /// A facility was added or changed.
    Facility(Facility),
    /// A source was added or changed (a disabled one keeps its entry).
    Source(Source),
    /// No instance of the series arrived for the quiet time.
    SeriesQuiet {
        /// Facility of the series.
        facility: FacilityCode,
        /// Study Instance UID.
        study: Uid,
        /// Which patient under that Study Instance UID (see [`crate::Outcome::patient`]).
        patient: u16,
        /// Series Instance UID.
        series: Uid,
        /// `seq` of the newest instance it covers: later instances make the series busy again.
        through: u64,
        /// Milliseconds since 1970 UTC.
        at: u64,
    },
    /// Every series of the study is quiet.
    StudyComplete {
        /// Facility of the study.
        facility: FacilityCode,
        /// Study Instance UID.
        study: Uid,
        /// Which patient under that Study Instance UID.
        patient: u16,
        /// `seq` of the newest instance it covers.
        through: u64,
        /// Milliseconds since 1970 UTC.
        at: u64,
    },
    /// Something about how long studies are kept, or what was done about it.
    Retention(Box<RetentionFact>),
    /// Something about a pack.
    Pack(Box<PackFact>),
    /// A fact that outlived its segment, copied forward with the number it was recorded under.
    Forwarded {
        /// Its own number.
        lsn: Lsn,
        /// The fact; never itself a forwarded one.
        was: Box<Fact>,
    },
}

impl Fact {
    /// The fact itself and the number it was first recorded under, of a record that may be a copy forward.
    pub fn own(self, lsn: Lsn) -> (Lsn, Self) {
        match self {
            Self::Forwarded { lsn, was } => (lsn, *was),
            fact => (lsn, fact),
        }
    }
}
