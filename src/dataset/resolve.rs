//! Which VR a value has where the bytes do not say: implicit coding, and UN for what the standard knows.
//!
//! US or SS goes by Pixel Representation of the item or the nearest around it, US or OW by the LUT Descriptor,
//! OB or OW is OW (PS3.5 Annex A.1). Private attributes stay UN.

use crate::dictionary::{self, Listed};
use crate::vr::Vr;
use crate::walk::Element;

/// What the root or an item says that other values are read by.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    signed: bool,
    lut_entries: u16,
    bits_allocated: u16,
}

/// The facts of the open items, outermost first.
#[derive(Debug)]
pub(crate) struct Resolver {
    scopes: Vec<Facts>,
}

impl Resolver {
    pub(crate) fn new() -> Self {
        Self { scopes: vec![Facts::default()] }
    }

    /// An item begins.
    pub(crate) fn enter(&mut self) {
        let around = self.facts();
        self.scopes.push(Facts { lut_entries: 0, ..around });
    }

    /// An item ends.
    pub(crate) fn leave(&mut self) {
        self.scopes.pop();
    }

    /// Takes note of a value that others are read by.
    pub(crate) fn learn(&mut self, element: &Element, value: &[u8]) {
        let Some(facts) = self.scopes.last_mut() else { return };
        match element.tag {
            0x0028_0100 => facts.bits_allocated = element.coding.u16(value, 0),
            0x0028_0103 => facts.signed = element.coding.u16(value, 0) == 1,
            0x0028_3002 => facts.lut_entries = element.coding.u16(value, 0),
            _ => {}
        }
    }

    /// Whether [`Resolver::learn`] wants a value.
    pub(crate) fn listens(tag: u32) -> bool {
        matches!(tag, 0x0028_0100 | 0x0028_0103 | 0x0028_3002)
    }

    /// The VR of an element, definite.
    pub(crate) fn vr(&self, element: &Element) -> Vr {
        let short_un = element.vr == Vr::UN && element.len.is_some_and(|len| len < 0xFFFF);
        if !element.coding.implicit && !short_un {
            return element.vr;
        }
        match dictionary::lookup(element.tag) {
            Some(Listed::Exact(vr)) if element.coding.implicit || vr != Vr::SQ => vr,
            Some(Listed::UsOrSs) => {
                if self.facts().signed {
                    Vr::SS
                } else {
                    Vr::US
                }
            }
            Some(Listed::UsOrOw) => {
                if self.facts().lut_entries == 1 {
                    Vr::US
                } else {
                    Vr::OW
                }
            }
            Some(Listed::ObOrOw) => Vr::OW,
            // A sequence of defined length inside UN stays bytes: nobody has looked into it.
            _ => element.vr,
        }
    }

    /// The VR of pixel data whose header is not at hand.
    pub(crate) fn pixel_vr(&self, tag: u32, implicit: bool) -> Vr {
        match tag & 0xFF {
            0x08 => Vr::OF,
            0x09 => Vr::OD,
            _ if self.facts().bits_allocated <= 8 && !implicit => Vr::OB,
            _ => Vr::OW,
        }
    }

    fn facts(&self) -> Facts {
        self.scopes.last().copied().unwrap_or_default()
    }
}
