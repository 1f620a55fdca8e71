//! Facilities and the sources that send for them.
//!
//! A facility is a hospital or clinic with its 5-character insurance code (mã cơ sở KCB).
//! A source is one way objects come in: told apart by called AE title, calling AE title and address.
//! The registry is data, journaled like everything else; this module only says what a valid entry is.

use crate::{AeTitle, Certificate};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// The 5-character code of a facility, upper-case letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FacilityCode([u8; 5]);

/// A text that is no facility code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a facility code is 5 letters or digits, for example 56001; got {0:?}")]
pub struct FacilityCodeError(pub String);

impl FacilityCode {
    /// The facility that the embedded start seeds: it accepts any AE title from loopback.
    pub const DEMO: Self = Self(*b"DEMO0");

    /// Parses a code; lower case is raised.
    pub fn parse(text: &str) -> Result<Self, FacilityCodeError> {
        let bad = || FacilityCodeError(text.chars().take(32).collect());
        let code: [u8; 5] = text.trim().as_bytes().try_into().map_err(|_| bad())?;
        let code = code.map(|b| b.to_ascii_uppercase());
        if code.iter().all(u8::is_ascii_alphanumeric) { Ok(Self(code)) } else { Err(bad()) }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("?????")
    }

    /// The code as the five bytes used in keys.
    pub fn as_bytes(&self) -> &[u8; 5] {
        &self.0
    }
}

impl fmt::Display for FacilityCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for FacilityCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for FacilityCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FacilityCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer, Self::parse)
    }
}

impl std::str::FromStr for FacilityCode {
    type Err = FacilityCodeError;
    fn from_str(text: &str) -> Result<Self, FacilityCodeError> {
        Self::parse(text)
    }
}

/// A hospital or clinic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facility {
    /// Insurance code.
    pub code: FacilityCode,
    /// Name as shown to people, Vietnamese.
    pub name: String,
    /// Kind, free text: `hospital`, `clinic`, `commune station`, ...
    pub kind: String,
    /// First day it may send, `YYYYMMDD`; empty means always.
    #[serde(default)]
    pub active_from: String,
    /// Last day it may send, `YYYYMMDD`; empty means no end.
    #[serde(default)]
    pub active_to: String,
}

/// How text without a (right) Specific Character Set is to be read, for the index only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CharsetHint {
    /// By the label; valid UTF-8 under a wrong or missing label is read as UTF-8.
    #[default]
    Auto,
    /// Windows-1258.
    Windows1258,
    /// TCVN3 (ABC fonts).
    Tcvn3,
    /// VNI fonts.
    Vni,
}

/// In which letters a source is answered (C-FIND, worklists).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Letters {
    /// In the asker's Specific Character Set where nothing is lost, else in UTF-8.
    #[default]
    Asked,
    /// Without marks, in ASCII: for consoles that show no other letters.
    Ascii,
    /// The same with names and other prose in capitals.
    AsciiUpper,
    /// In ISO_IR 100, without the marks it has no letters for.
    Latin1,
    /// In ISO_IR 192 whatever was asked.
    Utf8,
}

/// How a worklist writes names for a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameStyle {
    /// `Family^Given^Middle`.
    #[default]
    Parts,
    /// The whole name as one component, as people write it.
    Whole,
}

/// Which scheduled steps a source's worklist shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorklistScope {
    /// Those of its facility that it asks for.
    #[default]
    All,
    /// Of these, those of its own AE title and those of no particular station.
    Own,
}

/// Which network peers may use a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRange {
    /// Network address.
    pub address: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
}

/// A text that is no address or address range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address (10.1.2.3) or range (10.1.0.0/16)")]
pub struct AddressRangeError(pub String);

impl AddressRange {
    /// Parses `10.1.2.3`, `10.1.0.0/16`, `::1` or `fd00::/8`.
    pub fn parse(text: &str) -> Result<Self, AddressRangeError> {
        let bad = || AddressRangeError(text.chars().take(64).collect());
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| bad())?)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(widest);
        if prefix > widest { Err(bad()) } else { Ok(Self { address, prefix }) }
    }

    /// Whether a peer's address lies in the range; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32u8),
            IpAddr::V6(v6) => (u128::from(v6), 128u8),
        };
        let ((ours, our_width), (theirs, their_width)) = (bits(self.address), bits(peer));
        if our_width != their_width {
            return false;
        }
        let differing = (ours ^ theirs).leading_zeros();
        differing >= u32::from(self.prefix)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = if self.address.is_ipv4() { 32 } else { 128 };
        if self.prefix == widest {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

/// One way objects come in: a modality, a gateway or a PACS of a facility.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Name of the source, unique in the registry; used in metrics and audit.
    pub id: String,
    /// The facility that everything from this source belongs to.
    pub facility: FacilityCode,
    /// Called AE title it must use; none means any of ours.
    pub called: Option<AeTitle>,
    /// Calling AE title it shows; none means any.
    pub calling: Option<AeTitle>,
    /// Addresses it may come from; empty means any.
    pub addresses: Vec<AddressRange>,
    /// The certificate it must show over TLS, named as [`Certificate::is_named`] reads it; none means any, or no TLS.
    #[serde(default)]
    pub certificate: Option<String>,
    /// How its unlabelled text is read.
    #[serde(default)]
    pub charset: CharsetHint,
    /// In which letters its questions are answered.
    #[serde(default)]
    pub letters: Letters,
    /// How its worklist writes names.
    #[serde(default)]
    pub names: NameStyle,
    /// Most characters of names and other prose in its worklist; none means as many as their VRs allow.
    #[serde(default)]
    pub text_max: Option<u8>,
    /// Whether its worklist may tell personal identification numbers.
    #[serde(default)]
    pub national_id: bool,
    /// Which steps its worklist shows.
    #[serde(default)]
    pub worklist: WorklistScope,
    /// Issuer of Patient ID that scopes its patients; empty means the facility code.
    #[serde(default)]
    pub issuer: String,
    /// A disabled source is refused and keeps its history.
    #[serde(default)]
    pub disabled: bool,
}

impl Source {
    /// A source of a facility that is told by nothing yet.
    pub fn new(id: impl Into<String>, facility: FacilityCode) -> Self {
        Self {
            id: id.into(),
            facility,
            called: None,
            calling: None,
            addresses: Vec::new(),
            certificate: None,
            charset: CharsetHint::Auto,
            letters: Letters::Asked,
            names: NameStyle::Parts,
            text_max: None,
            national_id: false,
            worklist: WorklistScope::All,
            issuer: String::new(),
            disabled: false,
        }
    }

    /// Fewest characters of prose that a source may be limited to.
    pub const TEXT_MAX_LEAST: u8 = 8;

    /// How exactly this source names a peer, or none when it does not match at all.
    ///
    /// The most exact source wins: a bound certificate counts most, then calling AE title,
    /// called AE title and a listed address.
    pub fn matches(
        &self,
        called: &AeTitle,
        calling: &AeTitle,
        peer: IpAddr,
        certificate: Option<&Certificate>,
    ) -> Option<u8> {
        let fits = |wanted: &Option<AeTitle>, shown: &AeTitle| wanted.as_ref().is_none_or(|w| w == shown);
        if !fits(&self.called, called) || !fits(&self.calling, calling) {
            return None;
        }
        if self.certificate.as_ref().is_some_and(|name| !certificate.is_some_and(|shown| shown.is_named(name))) {
            return None;
        }
        if !self.addresses.is_empty() && !self.addresses.iter().any(|range| range.contains(peer)) {
            return None;
        }
        Some(
            u8::from(self.certificate.is_some()) * 8
                + u8::from(self.calling.is_some()) * 4
                + u8::from(self.called.is_some()) * 2
                + u8::from(!self.addresses.is_empty()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(called: Option<&str>, calling: Option<&str>, addresses: &[&str]) -> Source {
        let title = |t: &str| AeTitle::parse(t).expect("title");
        Source {
            called: called.map(title),
            calling: calling.map(title),
            addresses: addresses.iter().map(|a| AddressRange::parse(a).expect("range")).collect(),
            ..Source::new("s", FacilityCode::DEMO)
        }
    }

    #[test]
    fn the_same_calling_title_at_two_hospitals_is_told_apart_by_address() {
        let (ct01, khoanh) = (AeTitle::parse("CT01").expect("ae"), AeTitle::parse("KHOANH").expect("ae"));
        let a = source(None, Some("CT01"), &["10.1.0.0/16"]);
        let b = source(None, Some("CT01"), &["10.2.0.0/16"]);
        let peer: IpAddr = "10.2.3.4".parse().expect("ip");
        assert_eq!(a.matches(&khoanh, &ct01, peer, None), None);
        assert_eq!(b.matches(&khoanh, &ct01, peer, None), Some(5));
    }

    #[test]
    fn a_source_bound_to_a_certificate_is_nobody_without_it_and_the_first_choice_with_it() {
        let (ct01, khoanh) = (AeTitle::parse("CT01").expect("ae"), AeTitle::parse("KHOANH").expect("ae"));
        let bound = Source { certificate: Some("CN=CT01,O=A".into()), ..source(None, None, &[]) };
        let open = source(Some("KHOANH"), Some("CT01"), &["10.0.0.0/8"]);
        let peer: IpAddr = "10.2.3.4".parse().expect("ip");
        let shown = |subject: &str| Certificate { fingerprint: "0".repeat(64), subject: subject.into() };
        let matches =
            |source: &Source, subject: Option<&str>| source.matches(&khoanh, &ct01, peer, subject.map(shown).as_ref());
        assert_eq!(matches(&bound, None), None);
        assert_eq!(matches(&bound, Some("CN=CT01,O=B")), None, "another hospital's");
        assert!(matches(&bound, Some("O=A,CN=CT01")) > matches(&open, Some("O=A,CN=CT01")));
    }

    #[test]
    fn ranges_cover_mapped_addresses_and_refuse_other_families() {
        let range = AddressRange::parse("127.0.0.0/8").expect("range");
        assert!(range.contains("::ffff:127.0.0.1".parse().expect("ip")));
        assert!(!range.contains("::1".parse().expect("ip")));
        assert!(AddressRange::parse("10.0.0.0/33").is_err());
        assert!(AddressRange::parse("0.0.0.0/0").expect("all").contains("8.8.8.8".parse().expect("ip")));
    }

    #[test]
    fn a_source_that_was_registered_before_there_were_worklists_is_read() {
        let old = r#"{"id":"s","facility":"56001","called":null,"calling":"CT01","addresses":[],"letters":"ascii"}"#;
        let source: Source = serde_json::from_str(old).expect("a source");
        let profile = (source.letters, source.names, source.text_max, source.national_id, source.worklist);
        assert_eq!(profile, (Letters::Ascii, NameStyle::Parts, None, false, WorklistScope::All));
        let told = Source { letters: Letters::AsciiUpper, text_max: Some(16), ..source };
        let text = serde_json::to_string(&told).expect("text");
        assert!(text.contains(r#""letters":"ascii-upper""#) && text.contains(r#""text_max":16"#), "{text}");
        assert_eq!(serde_json::from_str::<Source>(&text).expect("a source"), told);
    }

    #[test]
    fn codes_are_five_letters_or_digits() {
        assert_eq!(FacilityCode::parse("56001").expect("code").as_str(), "56001");
        for bad in ["5600", "560011", "56 01", "56/01", "Đ6001"] {
            assert!(FacilityCode::parse(bad).is_err(), "{bad}");
        }
    }
}
