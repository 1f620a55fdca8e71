//! The data dictionary (PS3.6): which VR a tag has where the bytes do not say, and its keyword.
//!
//! Private attributes are UN: no private dictionary is guessed at.

use crate::vr::Vr;
use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_dictionary_std::StandardDataDictionary;

fn tag_of(tag: u32) -> Tag {
    let [a, b, c, d] = tag.to_be_bytes();
    Tag(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// What the dictionary says of a tag's VR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// One VR.
    Exact(Vr),
    /// US or SS, by Pixel Representation.
    UsOrSs,
    /// US or OW, by the LUT descriptor.
    UsOrOw,
    /// OB or OW, by Bits Allocated or the transfer syntax.
    ObOrOw,
}

impl Listed {
    /// The VR to use where the context is not looked at.
    pub fn relaxed(self) -> Vr {
        match self {
            Self::Exact(vr) => vr,
            Self::UsOrSs => Vr::US,
            Self::UsOrOw | Self::ObOrOw => Vr::OW,
        }
    }
}

/// Looks a tag up: group lengths, private creators, repeating groups included; `None` when it is not listed.
pub fn lookup(tag: u32) -> Option<Listed> {
    if tag & 0xFFFF == 0 {
        return Some(Listed::Exact(Vr::UL));
    }
    if tag & 0x1_0000 != 0 {
        let creator = (0x10..=0xFF).contains(&(tag & 0xFFFF));
        return creator.then_some(Listed::Exact(Vr::LO));
    }
    let entry = StandardDataDictionary.by_tag(tag_of(tag))?;
    Some(match entry.vr() {
        VirtualVr::Xs => Listed::UsOrSs,
        VirtualVr::Lt => Listed::UsOrOw,
        VirtualVr::Ox | VirtualVr::Px => Listed::ObOrOw,
        other => match other.relaxed().to_string().as_bytes() {
            [first, second] => Listed::Exact(Vr::new([*first, *second])),
            _ => return None,
        },
    })
}

/// The tag of a keyword.
pub fn tag_of_keyword(keyword: &str) -> Option<u32> {
    let Tag(group, element) = StandardDataDictionary.by_name(keyword)?.tag();
    Some(u32::from(group) << 16 | u32::from(element))
}

/// The VR of a tag in Implicit VR; UN when it is not listed.
pub(crate) fn implicit_vr(tag: u32) -> Vr {
    lookup(tag).map_or(Vr::UN, Listed::relaxed)
}

/// The keyword of a tag (PS3.6), if it has one.
pub fn keyword(tag: u32) -> Option<&'static str> {
    if tag & 0x1_0000 != 0 || tag & 0xFFFF == 0 {
        return None;
    }
    StandardDataDictionary.by_tag(tag_of(tag)).map(|entry| entry.alias)
}
