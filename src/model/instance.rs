//! A stored SOP instance: what the scanner saw, what the archive decided, where its parts lie.
//!
//! An [`InstanceHead`] travels in the journal in front of the bytes it describes; a rebuild of the index
//! needs nothing else. Its JSON form is part of the on-disk format: fields are only ever added.

use crate::{Attributes, FacilityCode, Sameness, Uid};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Parses 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return None;
        }
        let mut digest = [0u8; 32];
        for (out, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            *out = digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[char; 16] = &['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer, |text| Self::parse(text).ok_or("a digest is 64 hexadecimal digits"))
    }
}

/// How an object came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// C-STORE: preamble and file meta are ours and deterministic.
    CStore,
    /// STOW-RS: preamble and file meta as sent.
    Stow,
    /// `khoanh import`: preamble and file meta as found.
    Import,
}

/// A run of bytes inside the data set. Positions count from the first byte of the data set
/// (after the file meta information); for deflated syntaxes, from the first inflated byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub at: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.at, self.len).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <(u64, u64)>::deserialize(deserializer).map(|(at, len)| Self { at, len })
    }
}

/// Where each frame of the pixel data lies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frames {
    /// No pixel data.
    #[default]
    None,
    /// Native pixel data: frame `n` (from 0) starts `n × bits` bits after the value's first byte.
    /// Where `bits` is no multiple of 8, a frame may start inside a byte.
    Native {
        /// Number of complete frames present in the value.
        count: u32,
        /// Bits of one frame.
        bits: u64,
    },
    /// Encapsulated pixel data.
    Encapsulated {
        /// Every fragment's value (without item header), the offset table item excluded.
        fragments: Vec<Span>,
        /// For each frame the index of its first fragment; none when every fragment is one frame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        starts: Option<Vec<u32>>,
    },
}

/// Where the pixel data element lies; the root element 7FE00010, 7FE00008 or 7FE00009.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelSpan {
    /// Tag of the element.
    pub tag: u32,
    /// Position of the element's header: everything before is the head.
    pub header: u64,
    /// The value; for encapsulated data from the first item to before the sequence delimiter.
    pub value: Span,
    /// First byte after the element (delimiter included): trailing elements start here.
    pub end: u64,
}

/// The places of an instance's parts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Layout {
    /// The pixel data, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel: Option<PixelSpan>,
    /// The frames in it.
    #[serde(default)]
    pub frames: Frames,
    /// Length of the data set as scanned (inflated for deflated syntaxes).
    pub dataset_len: u64,
}

/// Something odd that was stored all the same, for the archivist's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// A value of odd length.
    OddLength,
    /// Bytes after the data set (padding).
    TrailingBytes,
    /// A VR the standard does not know.
    UnknownVr,
    /// A UID with a leading zero in a component, or padded against the rule.
    UidForm,
    /// Text that is valid UTF-8 under another label, or under none.
    CharsetRepaired,
    /// Text that does not fit its character set.
    CharsetInvalid,
    /// A character set the archive does not know.
    CharsetUnknown,
    /// Pixel data shorter or longer than Rows, Columns and Number of Frames say.
    FramesDisagree,
    /// Encapsulated pixel data ends without its delimiter.
    MissingDelimiter,
    /// Elements out of ascending order.
    TagOrder,
    /// The file meta names another SOP Class or Instance UID than the data set.
    MetaDisagrees,
    /// Preamble or file meta information was missing.
    MissingMeta,
    /// A date, time or number that is not in its VR's form.
    ValueForm,
    /// A value longer than its VR allows.
    ValueLength,
    /// The fragments of some frame cannot be told from the offset tables or the codestreams.
    FramesUnknown,
    /// The transfer syntax is not one the archive knows; stored without looking at pixels.
    UnknownSyntax,
    /// The patient of this study differs from the first patient seen under the same Study Instance UID.
    OtherPatient,
    /// The Series Instance UID was first seen in another study.
    OtherStudy,
}

/// What kind of difference a conflict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// Other content under the same SOP Instance UID.
    Content,
    /// Another transfer syntax.
    Syntax,
    /// Only group length elements differ.
    GroupLength,
}

/// What the archive decided when the instance came in. Recorded, never recomputed (law 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// 0 for the first copy of this (facility, SOP Instance UID), which is the one served;
    /// 1, 2, ... for other bytes under the same UID.
    pub copy: u16,
    /// How a later copy differs from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// 0 for the first patient seen under this (facility, Study Instance UID), 1, 2, ... for others.
    #[serde(default)]
    pub patient: u16,
    /// 0 for the first study seen under this (facility, Series Instance UID), 1, 2, ... for others; beyond the first sixteen
    /// several may have one number.
    #[serde(default)]
    pub study: u16,
}

/// Everything the archive knows of a stored instance besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceHead {
    /// Order of arrival in the whole archive, from 1.
    pub seq: u64,
    /// The facility it belongs to.
    pub facility: FacilityCode,
    /// The source's name in the registry.
    pub source: String,
    /// Time of receipt, milliseconds since 1970 UTC.
    pub received: u64,
    /// How it came in.
    pub via: Via,
    /// SOP Class UID of the data set.
    pub sop_class: Uid,
    /// SOP Instance UID of the data set.
    pub sop_instance: Uid,
    /// Study Instance UID.
    pub study: Uid,
    /// Series Instance UID.
    pub series: Uid,
    /// Transfer syntax of the data set.
    pub transfer_syntax: Uid,
    /// Over (transfer syntax UID, NUL, data set bytes as stored): sameness.
    pub digest: Sameness,
    /// SHA-256 over preamble and file meta information as stored; with `digest` it covers every stored byte.
    pub meta_digest: Digest,
    /// CRC-32C over the data set without group length elements, to class conflicts.
    pub loose_crc: u32,
    /// Length of preamble and file meta information: the data set starts here in the stored file.
    pub meta_len: u32,
    /// Length of the stored Part 10 file.
    pub file_len: u64,
    /// Attributes for finding.
    #[serde(deserialize_with = "crate::attribute::read")]
    pub attributes: Attributes,
    /// Places.
    pub layout: Layout,
    /// Oddities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// Decision.
    #[serde(default)]
    pub outcome: Outcome,
}

impl InstanceHead {
    /// Value of an attribute, empty when absent.
    pub fn attribute(&self, key: crate::AttrKey) -> &str {
        self.attributes.get(&key).map_or("", String::as_str)
    }
}
