//! What the journal records: facts, in the order they became true.

use crate::forward::ForwardFact;
use crate::pack::{PackFact, PackId};
use crate::retention::{RetentionFact, StudyRef};
use crate::{Destination, Facility, FacilityCode, InstanceHead, Source, Uid};
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
    /// A destination was added, changed or removed (a removed one keeps its entry).
    Destination(Destination),
    /// What forwarding is told: a rule, a root, a pause.
    Forwarding(ForwardFact),
    /// No instance of the series arrived for the quiet time.
    SeriesQuiet(SeriesQuiet),
    /// Every series of the study is quiet.
    StudyComplete(StudyComplete),
    /// Something about how long studies are kept, or what was done about it.
    Retention(Box<RetentionFact>),
    /// The same with patient data in it, readable while its key exists (docs/adr/0012).
    Sealed(Box<SealedFact>),
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

/// A series is quiet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesQuiet {
    /// Facility of the series.
    pub facility: FacilityCode,
    /// Study Instance UID.
    pub study: Uid,
    /// Which patient under that Study Instance UID (see [`crate::Outcome::patient`]).
    pub patient: u16,
    /// Series Instance UID.
    pub series: Uid,
    /// `seq` of the newest instance it covers: later instances make the series busy again.
    pub through: u64,
    /// Milliseconds since 1970 UTC.
    pub at: u64,
}

/// A study is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyComplete {
    /// Facility of the study.
    pub facility: FacilityCode,
    /// Study Instance UID.
    pub study: Uid,
    /// Which patient under that Study Instance UID.
    pub patient: u16,
    /// `seq` of the newest instance it covers.
    pub through: u64,
    /// Milliseconds since 1970 UTC.
    pub at: u64,
}

impl Fact {
    /// The fact itself and the number it was first recorded under, of a record that may be a copy forward.
    pub fn own(self, lsn: Lsn) -> (Lsn, Self) {
        match self {
            Self::Forwarded { lsn, was } => (lsn, was.plain()),
            fact => (lsn, fact.plain()),
        }
    }

    fn plain(self) -> Self {
        match self {
            Self::Sealed(mut sealed) => match sealed.opened.take() {
                Some(fact) => *fact,
                None => Self::Sealed(sealed),
            },
            fact => fact,
        }
    }
}

/// A fact as it is written when it holds patient data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFact {
    /// Name of its key in the key store.
    pub seal: PackId,
    /// Facility whose epoch key wraps that key.
    pub facility: FacilityCode,
    /// The study it is about, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<StudyRef>,
    /// Nonce, ciphertext and tag in hexadecimal digits.
    pub text: String,
    /// What it says; never written.
    #[serde(skip)]
    pub opened: Option<Box<Fact>>,
}
