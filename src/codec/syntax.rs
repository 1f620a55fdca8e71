//! Which transfer syntax is decoded and encoded by what.

/// What reads a frame of a transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coder {
    /// Samples as they are, little endian.
    Native,
    /// PS3.5 Annex G.
    Rle,
    /// Native samples of one frame in one raw deflate stream (PS3.5 section 8.2.16).
    Deflated,
    /// JPEG (ISO 10918-1), lossless included.
    Jpeg,
    /// JPEG-LS (ISO 14495-1).
    JpegLs,
    /// JPEG 2000 (ISO 15444-1 and -2).
    Jpeg2000,
    /// High-throughput JPEG 2000 (ISO 15444-15).
    HtJpeg2000,
    /// JPEG XL (ISO 18181).
    JpegXl,
}

impl Coder {
    /// Whether frames are read by our own code alone, without a library behind a door to C or of great size: such
    /// frames may be decoded by whoever holds them.
    #[must_use]
    pub fn is_light(self) -> bool {
        matches!(self, Self::Native | Self::Rle | Self::Deflated)
    }
}

/// The decoder of a transfer syntax; none for video, JPIP and what is unknown. The bytes of big endian words must be
/// put in little endian order before, the data set be inflated where it was deflated as a whole.
#[must_use]
pub fn coder(transfer_syntax: &str) -> Option<Coder> {
    let number = match transfer_syntax {
        "1.2.840.10008.1.2"
        | "1.2.840.10008.1.2.1"
        | "1.2.840.10008.1.2.2"
        | "1.2.840.10008.1.2.1.98"
        | "1.2.840.10008.1.2.1.99"
        | "1.2.840.113619.5.2" => return Some(Coder::Native),
        "1.2.840.10008.1.2.5" => return Some(Coder::Rle),
        "1.2.840.10008.1.2.8.1" => return Some(Coder::Deflated),
        other => other.strip_prefix("1.2.840.10008.1.2.4.")?,
    };
    match number.parse::<u32>().ok()? {
        50..=70 => Some(Coder::Jpeg),
        80 | 81 => Some(Coder::JpegLs),
        90..=93 => Some(Coder::Jpeg2000),
        201..=203 => Some(Coder::HtJpeg2000),
        110..=112 => Some(Coder::JpegXl),
        _ => None,
    }
}

/// What frames can be encoded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// RLE Lossless.
    Rle,
    /// Deflated Image Frame Compression.
    Deflated,
    /// JPEG-LS Lossless.
    JpegLs,
    /// JPEG 2000 (Lossless Only).
    Jpeg2000,
    /// High-Throughput JPEG 2000 (Lossless Only).
    HtJpeg2000,
    /// High-Throughput JPEG 2000 with RPCL Options (Lossless Only).
    HtJpeg2000Rpcl,
    /// JPEG Baseline (Process 1): loses something.
    JpegBaseline,
    /// JPEG-LS Lossy (Near-Lossless).
    JpegLsNear,
    /// JPEG 2000, irreversible.
    Jpeg2000Lossy,
}

impl Target {
    /// Every target that loses nothing.
    pub const LOSSLESS: [Self; 6] =
        [Self::Rle, Self::Deflated, Self::JpegLs, Self::Jpeg2000, Self::HtJpeg2000, Self::HtJpeg2000Rpcl];
    /// Every target that loses something: encoded to where somebody names it, never otherwise.
    pub const LOSSY: [Self; 3] = [Self::JpegBaseline, Self::JpegLsNear, Self::Jpeg2000Lossy];

    /// The target of a transfer syntax UID.
    #[must_use]
    pub fn of(transfer_syntax: &str) -> Option<Self> {
        Self::LOSSLESS.into_iter().chain(Self::LOSSY).find(|target| target.uid() == transfer_syntax)
    }

    /// Whether samples are altered.
    #[must_use]
    pub fn loses(self) -> bool {
        Self::LOSSY.contains(&self)
    }

    /// Its transfer syntax UID.
    #[must_use]
    pub fn uid(self) -> &'static str {
        match self {
            Self::Rle => "1.2.840.10008.1.2.5",
            Self::Deflated => "1.2.840.10008.1.2.8.1",
            Self::JpegLs => "1.2.840.10008.1.2.4.80",
            Self::Jpeg2000 => "1.2.840.10008.1.2.4.90",
            Self::HtJpeg2000 => "1.2.840.10008.1.2.4.201",
            Self::HtJpeg2000Rpcl => "1.2.840.10008.1.2.4.202",
            Self::JpegBaseline => "1.2.840.10008.1.2.4.50",
            Self::JpegLsNear => "1.2.840.10008.1.2.4.81",
            Self::Jpeg2000Lossy => "1.2.840.10008.1.2.4.91",
        }
    }
}
