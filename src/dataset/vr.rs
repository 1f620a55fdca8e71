//! Value representations (PS3.5 section 6.2) as two letters, with what the encoding rules say of each.
//!
//! Unknown letters are values too: nothing here refuses them.

use std::fmt;

/// A value representation: the two letters as they stand in the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vr([u8; 2]);

macro_rules! known {
    ($($name:ident)*) => {
        #[allow(missing_docs)]
        impl Vr {
            $(pub const $name: Self = Self(letters(stringify!($name)));)*
        }
        const KNOWN: &[Vr] = &[$(Vr::$name),*];
    };
}

known! {
    AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV
}

const fn letters(name: &str) -> [u8; 2] {
    match *name.as_bytes() {
        [first, second] => [first, second],
        _ => *b"UN",
    }
}

impl Vr {
    /// The VR of two bytes as found.
    pub const fn new(letters: [u8; 2]) -> Self {
        Self(letters)
    }

    /// The VR of two letters as text; UN of anything else.
    pub fn named(letters: &str) -> Self {
        letters.as_bytes().try_into().map_or(Self::UN, Self)
    }

    /// The two letters; `??` where they are no text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }

    /// The bytes as they stand in an explicit header.
    pub fn bytes(self) -> [u8; 2] {
        self.0
    }

    /// Whether the standard knows it.
    pub fn is_known(self) -> bool {
        KNOWN.contains(&self)
    }

    /// Whether both bytes are capital letters, as every VR's are.
    pub fn is_letters(self) -> bool {
        self.0.iter().all(u8::is_ascii_uppercase)
    }

    /// Whether an explicit header has two reserved bytes and a 32-bit length (PS3.5 Table 7.1-1).
    pub fn is_long(self) -> bool {
        matches!(
            &self.0,
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV"
        )
    }

    /// Whether values are text; see [`Vr::is_encoded_text`] for those under the Specific Character Set.
    pub fn is_text(self) -> bool {
        self.is_encoded_text()
            || matches!(&self.0, b"AE" | b"AS" | b"CS" | b"DA" | b"DS" | b"DT" | b"IS" | b"TM" | b"UI" | b"UR")
    }

    /// Whether the Specific Character Set (0008,0005) applies (PS3.5 section 6.1.2.3).
    pub fn is_encoded_text(self) -> bool {
        matches!(&self.0, b"LO" | b"LT" | b"PN" | b"SH" | b"ST" | b"UC" | b"UT")
    }

    /// Whether a backslash separates values; in LT, ST, UT and UR it is a character.
    pub fn is_multi_valued(self) -> bool {
        !matches!(&self.0, b"LT" | b"ST" | b"UT" | b"UR")
    }

    /// Bytes of one number in binary VRs, 1 where byte order does not matter.
    pub fn word(self) -> usize {
        match &self.0 {
            b"US" | b"SS" | b"OW" | b"AT" => 2,
            b"UL" | b"SL" | b"FL" | b"OF" | b"OL" => 4,
            b"FD" | b"OD" | b"OV" | b"SV" | b"UV" => 8,
            _ => 1,
        }
    }

    /// Longest value in characters (PS3.5 Table 6.2-1), of one value where several are allowed.
    pub fn max_chars(self) -> Option<usize> {
        Some(match &self.0 {
            b"AE" | b"CS" | b"SH" | b"DS" => 16,
            b"AS" => 4,
            b"DA" => 8,
            b"TM" => 14,
            b"DT" => 26,
            b"IS" => 12,
            b"LO" | b"UI" => 64,
            b"ST" => 1024,
            b"LT" => 10240,
            _ => return None,
        })
    }
}

impl fmt::Display for Vr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Vr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
