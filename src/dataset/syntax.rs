//! Transfer syntaxes (PS3.5 chapter 10 and Annex A): how the bytes of a data set are to be read.
//!
//! Which syntaxes an association accepts is the business of the wire, not decided here.

/// How element headers and numbers are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// No VR in the headers.
    pub implicit: bool,
    /// Numbers have their most significant byte first.
    pub big_endian: bool,
}

impl Coding {
    /// Implicit VR Little Endian.
    pub const IMPLICIT: Self = Self { implicit: true, big_endian: false };
    /// Explicit VR Little Endian.
    pub const EXPLICIT: Self = Self { implicit: false, big_endian: false };
    /// Explicit VR Big Endian.
    pub const BIG: Self = Self { implicit: false, big_endian: true };

    /// A 16-bit number at `at`, 0 where the bytes end before.
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let pair = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()).copied().unwrap_or_default();
        if self.big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    }

    /// A 32-bit number at `at`, 0 where the bytes end before.
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }

    /// A tag at `at`: two 16-bit numbers.
    pub(crate) fn tag(self, bytes: &[u8], at: usize) -> u32 {
        u32::from(self.u16(bytes, at)) << 16 | u32::from(self.u16(bytes, at + 2))
    }
}

/// What an encapsulated fragment holds, for telling where a codestream starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Native pixel data.
    Native,
    /// JPEG and JPEG-LS: starts with FF D8.
    Jpeg,
    /// JPEG 2000 and HTJ2K: starts with FF 4F FF 51 or a JP2 signature box.
    Jpeg2000,
    /// JPEG XL: starts with FF 0A or a JXL signature box.
    JpegXl,
    /// RLE, Encapsulated Uncompressed, Deflated Image Frame: one fragment is one frame.
    PerFragment,
    /// MPEG-2, MPEG-4, HEVC, SMPTE ST 2110: one stream holds all frames.
    Video,
    /// Not known to the archive.
    Unknown,
}

/// A transfer syntax as far as reading goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// Coding of the elements.
    pub coding: Coding,
    /// The data set is one raw deflate stream (RFC 1951).
    pub deflated: bool,
    /// The pixel data.
    pub codec: Codec,
}

/// Implicit VR Little Endian.
pub const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
/// Explicit VR Big Endian.
pub const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";
/// Deflated Explicit VR Little Endian.
pub const DEFLATED_LE: &str = "1.2.840.10008.1.2.1.99";

impl Syntax {
    /// The syntax of a UID; an unknown one is read as Explicit VR Little Endian with [`Codec::Unknown`].
    pub fn of(uid: &str) -> Self {
        let explicit = |codec| Self { coding: Coding::EXPLICIT, deflated: false, codec };
        match uid {
            // GE's private implicit syntax swaps only the pixels; Papyrus 3 is implicit too.
            IMPLICIT_LE | "1.2.840.113619.5.2" | "1.2.840.10008.1.20" => {
                Self { coding: Coding::IMPLICIT, ..explicit(Codec::Native) }
            }
            EXPLICIT_LE | "1.2.840.10008.1.2.4.94" | "1.2.840.10008.1.2.4.204" => explicit(Codec::Native),
            EXPLICIT_BE => Self { coding: Coding::BIG, ..explicit(Codec::Native) },
            DEFLATED_LE | "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205" => {
                Self { deflated: true, ..explicit(Codec::Native) }
            }
            "1.2.840.10008.1.2.5" | "1.2.840.10008.1.2.1.98" | "1.2.840.10008.1.2.8.1" => explicit(Codec::PerFragment),
            _ => explicit(Self::codec_of(uid)),
        }
    }

    fn codec_of(uid: &str) -> Codec {
        if uid.starts_with("1.2.840.10008.1.2.7.") {
            return Codec::Video;
        }
        let number =
            uid.strip_prefix("1.2.840.10008.1.2.4.").and_then(|last| last.split('.').next()?.parse::<u32>().ok());
        match number {
            Some(50..=81) => Codec::Jpeg,
            Some(90..=93 | 201..=203) => Codec::Jpeg2000,
            Some(100..=108) => Codec::Video,
            Some(110..=112) => Codec::JpegXl,
            _ => Codec::Unknown,
        }
    }
}
