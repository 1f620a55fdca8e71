//! The transfer syntaxes this archive accepts, in its own order of preference (PS3.5 chapter 10, PS3.6 table A-1).
//!
//! A requestor that proposes several syntaxes in one presentation context leaves the choice to us; the first
//! row of the table that was proposed is taken. Originals without loss come first, so that nobody is led to
//! compress with loss for our sake: uncompressed with explicit VR, then lossless compressed, then the
//! encodings that lose the VR or are rare, then lossy ones, video at the end.
//! JPIP is deliberately absent (such an object carries no pixels, only a link), and so are the MIME and XML
//! encodings, which no C-STORE can carry.

/// What accepting a transfer syntax means for the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fidelity {
    /// Uncompressed.
    Native,
    /// Compressed without loss.
    Lossless,
    /// Compressed, may have lost something at the sender.
    Lossy,
}

/// A transfer syntax of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferSyntax {
    /// Transfer Syntax UID.
    pub uid: &'static str,
    /// Name in PS3.6 table A-1, shortened.
    pub name: &'static str,
    /// Kind of encoding.
    pub fidelity: Fidelity,
}

/// Implicit VR Little Endian, the default every peer must know; also fills the place of the transfer syntax in
/// the answer to a refused context, where its value has no meaning (PS3.8 section 9.3.3.2).
pub(crate) const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub(crate) const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
/// Explicit VR Big Endian (retired).
pub(crate) const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// The accepted transfer syntaxes, most preferred first.
pub fn transfer_syntaxes() -> &'static [TransferSyntax] {
    TRANSFER_SYNTAXES
}

/// The place of a syntax in the order of preference, none for a syntax outside the table.
pub(crate) fn preference(uid: &str) -> Option<usize> {
    TRANSFER_SYNTAXES.iter().position(|syntax| syntax.uid == uid)
}

/// Whether the archive knows the syntax and refuses it: its objects do not hold what they describe.
pub(crate) fn is_refused(uid: &str) -> bool {
    REFUSED.contains(&uid)
}

const fn native(uid: &'static str, name: &'static str) -> TransferSyntax {
    TransferSyntax { uid, name, fidelity: Fidelity::Native }
}

const fn lossless(uid: &'static str, name: &'static str) -> TransferSyntax {
    TransferSyntax { uid, name, fidelity: Fidelity::Lossless }
}

const fn lossy(uid: &'static str, name: &'static str) -> TransferSyntax {
    TransferSyntax { uid, name, fidelity: Fidelity::Lossy }
}

/// JPIP in its four forms, MIME and XML encoding.
const REFUSED: &[&str] = &[
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.6.1",
    "1.2.840.10008.1.2.6.2",
];

#[rustfmt::skip]
const TRANSFER_SYNTAXES: &[TransferSyntax] = &[
    native("1.2.840.10008.1.2.1", "Explicit VR Little Endian"),
    lossless("1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)"),
    lossless("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 (Lossless Only)"),
    lossless("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless"),
    lossless("1.2.840.10008.1.2.4.90", "JPEG 2000 (Lossless Only)"),
    lossless("1.2.840.10008.1.2.4.70", "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14, Selection Value 1)"),
    lossless("1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)"),
    lossless("1.2.840.10008.1.2.5", "RLE Lossless"),
    lossless("1.2.840.10008.1.2.4.110", "JPEG XL Lossless"),
    lossless("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression"),
    lossless("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 Multi-component (Lossless Only)"),
    native("1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian"),
    lossless("1.2.840.10008.1.2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15) (Retired)"),
    lossless("1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28) (Retired)"),
    lossless("1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29) (Retired)"),
    lossless("1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian"),
    native(IMPLICIT_LITTLE_ENDIAN, "Implicit VR Little Endian"),
    native("1.2.840.10008.1.2.2", "Explicit VR Big Endian (Retired)"),
    lossy("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression"),
    lossy("1.2.840.10008.1.2.4.81", "JPEG-LS Lossy (Near-Lossless)"),
    lossy("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000"),
    lossy("1.2.840.10008.1.2.4.91", "JPEG 2000"),
    lossy("1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 Multi-component"),
    lossy("1.2.840.10008.1.2.4.112", "JPEG XL"),
    lossy("1.2.840.10008.1.2.4.51", "JPEG Extended (Processes 2 and 4)"),
    lossy("1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)"),
    lossy("1.2.840.10008.1.2.4.52", "JPEG Extended (Processes 3 and 5) (Retired)"),
    lossy("1.2.840.10008.1.2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Processes 6 and 8) (Retired)"),
    lossy("1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Processes 7 and 9) (Retired)"),
    lossy("1.2.840.10008.1.2.4.55", "JPEG Full Progression, Non-Hierarchical (Processes 10 and 12) (Retired)"),
    lossy("1.2.840.10008.1.2.4.56", "JPEG Full Progression, Non-Hierarchical (Processes 11 and 13) (Retired)"),
    lossy("1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Processes 16 and 18) (Retired)"),
    lossy("1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Processes 17 and 19) (Retired)"),
    lossy("1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Processes 20 and 22) (Retired)"),
    lossy("1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Processes 21 and 23) (Retired)"),
    lossy("1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Processes 24 and 26) (Retired)"),
    lossy("1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Processes 25 and 27) (Retired)"),
    lossy("1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1"),
    lossy("1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1"),
    lossy("1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
    lossy("1.2.840.10008.1.2.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
    lossy("1.2.840.10008.1.2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video"),
    lossy("1.2.840.10008.1.2.4.105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video"),
    lossy("1.2.840.10008.1.2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video"),
    lossy("1.2.840.10008.1.2.4.104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video"),
    lossy("1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1"),
    lossy("1.2.840.10008.1.2.4.103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1"),
    lossy("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1"),
    lossy("1.2.840.10008.1.2.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1"),
    lossy("1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level"),
    lossy("1.2.840.10008.1.2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level"),
    lossy("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level"),
    lossy("1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level"),
    native("1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video"),
    native("1.2.840.10008.1.2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video"),
    native("1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio"),
    native("1.2.840.10008.1.20", "Papyrus 3 Implicit VR Little Endian (Retired)"),
];
