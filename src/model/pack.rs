//! What is recorded of packs: that one was written, where verified copies of it lie, and that a copy may go.
//!
//! Each fact is recorded when what it says has been proven, and before anything relies on it (DESIGN section 4, write
//! order). None holds patient data. Deliberately not here: what a pack looks like inside.

use crate::{Digest, FacilityCode, Uid};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Name of a pack, 16 bytes, given once and never again; written as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId([u8; 16]);

/// Not the name of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a pack is 32 lower-case hexadecimal digits")]
pub struct NotPackId;

impl PackId {
    /// The pack with these bytes as its name.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the name.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for PackId {
    type Err = NotPackId;

    fn from_str(text: &str) -> Result<Self, NotPackId> {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(lower) {
            return Err(NotPackId);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NotPackId)
    }
}

impl Serialize for PackId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PackId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer, str::parse)
    }
}

/// A pack that lies in a hot volume, was read back, and whose every digest was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// The pack.
    pub pack: PackId,
    /// Facility of the series.
    pub facility: FacilityCode,
    /// Study Instance UID.
    pub study: Uid,
    /// Which patient under that Study Instance UID (see [`crate::Outcome::patient`]).
    #[serde(default)]
    pub patient: u16,
    /// Series Instance UID.
    pub series: Uid,
    /// Number of the part of the series, from 1.
    pub part: u32,
    /// Length of the pack in bytes.
    pub len: u64,
    /// SHA-256 of the pack in its plain form.
    pub sha256: Digest,
    /// Bytes of the files in it.
    pub raw: u64,
    /// `seq` of its instances in the order of the pack.
    pub seqs: Vec<u64>,
    /// Packs that hold nothing but instances of this one: they are removed after this fact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<PackId>,
    /// Milliseconds since 1970 UTC.
    pub at: u64,
}

/// A copy of a pack in the cloud that was read back whole and compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdCopy {
    /// Key of the object.
    pub key: String,
    /// Its version, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Length of the object in bytes.
    pub len: u64,
    /// SHA-256 of the object's bytes.
    pub sha256: Digest,
    /// Whether it lies in its envelope.
    pub sealed: bool,
    /// Storage class it was put into, the bucket's own when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Until when Object Lock keeps it, milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<u64>,
    /// Whether a legal hold of this archive lies on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// When it was read back, milliseconds since 1970 UTC.
    pub at: u64,
}

/// A fact about a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum PackFact {
    /// It was written to a hot volume and verified. From now on its instances are read from it.
    Packed(Packed),
    /// A verified copy lies in the cloud. Recorded again when its lock was lengthened or its legal hold changed.
    Tiered {
        /// The pack.
        pack: PackId,
        /// The copy.
        copy: ColdCopy,
    },
    /// The hot copy may go; the cold one was verified before.
    Released {
        /// The pack.
        pack: PackId,
        /// Milliseconds since 1970 UTC.
        at: u64,
    },
    /// A verified hot copy lies here again.
    Recalled {
        /// The pack.
        pack: PackId,
        /// Milliseconds since 1970 UTC.
        at: u64,
    },
    /// The cold copy is no more: it was found damaged or lost, or was withdrawn.
    ColdLost {
        /// The pack.
        pack: PackId,
        /// Milliseconds since 1970 UTC.
        at: u64,
    },
}

impl PackFact {
    /// The pack it is about.
    pub const fn pack(&self) -> PackId {
        match self {
            Self::Packed(packed) => packed.pack,
            Self::Tiered { pack, .. }
            | Self::Released { pack, .. }
            | Self::Recalled { pack, .. }
            | Self::ColdLost { pack, .. } => *pack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_and_read_the_same_and_nothing_else_is_one() {
        let name = PackId::new(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff");
        assert_eq!(name.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(name.to_string().parse(), Ok(name));
        for not in ["", "0", "000102030405060708090A0B0C0D0EFF", "+00102030405060708090a0b0c0d0eff", "../etc/passwd"] {
            assert_eq!(not.parse::<PackId>(), Err(NotPackId), "{not}");
        }
        let fact = PackFact::Released { pack: name, at: 7 };
        let text = serde_json::to_string(&fact).expect("JSON");
        assert_eq!(text, r#"{"event":"released","pack":"000102030405060708090a0b0c0d0eff","at":7}"#);
        assert_eq!(serde_json::from_str::<PackFact>(&text).expect("a fact"), fact);
    }
}
