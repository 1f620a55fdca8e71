//! The ZIP64 bytes around the entries of a pack (APPNOTE 6.3.10): stored entries, sizes behind the data.
//!
//! Every pack has the same form whatever its size, and nothing in it depends on anything but names, lengths, CRCs and
//! order: so a reader makes these bytes again and compares. There is no reading of other people's ZIP files here.

/// Longest local header without the name.
pub(super) const LOCAL_LEN: u64 = 30 + 20;
/// Length of what follows an entry's data.
pub(super) const DESCRIPTOR_LEN: u64 = 24;
/// Length of the end of the file from the ZIP64 end record on, without the comment.
pub(super) const END_LEN: u64 = 56 + 20 + 22;

/// Needed to extract: 4.5, the first version that knows ZIP64.
const VERSION: u16 = 45;
/// Made by 4.5 on Unix: the file modes below are meant.
const MADE_BY: u16 = 0x0300 | VERSION;
/// Bit 3: CRC and lengths follow the data.
const FLAGS: u16 = 1 << 3;
/// 1 January 1980: packs tell no time of their own.
const DATE: u16 = 0x0021;
/// A regular file, readable by everyone.
const ATTRIBUTES: u32 = 0o100_644 << 16;
/// Stands where the ZIP64 field counts.
const ELSEWHERE: u32 = u32::MAX;

/// An entry as the directory at the end lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ZipEntry {
    /// Name.
    pub(super) name: String,
    /// Place of the data in the file.
    pub(super) data_at: u64,
    /// Length of the data.
    pub(super) len: u64,
    /// CRC-32 of the data.
    pub(super) crc32: u32,
}

fn name_len(name: &str) -> u16 {
    // Names are UIDs and a few more characters; a longer one never gets here.
    u16::try_from(name.len()).unwrap_or(u16::MAX)
}

/// Bytes from the start of an entry to its data.
pub(super) fn lead_len(name: &str) -> u64 {
    LOCAL_LEN + name.len() as u64
}

/// The local header in front of the data.
pub(super) fn local_header(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(b"PK\x03\x04");
    for field in [VERSION, FLAGS, 0, 0, DATE] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [0, ELSEWHERE, ELSEWHERE] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [name_len(name), 20] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&[1, 0, 16, 0]);
    out.extend_from_slice(&[0; 16]);
    out
}

/// CRC and lengths behind the data.
pub(super) fn descriptor(entry: &ZipEntry) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    out.extend_from_slice(b"PK\x07\x08");
    out.extend_from_slice(&entry.crc32.to_le_bytes());
    out.extend_from_slice(&entry.len.to_le_bytes());
    out.extend_from_slice(&entry.len.to_le_bytes());
    out
}

/// Everything behind the last entry: the directory, its end and the comment. It starts at `at`.
pub(super) fn directory(entries: &[ZipEntry], at: u64, comment: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 160 + 200);
    for entry in entries {
        central_header(entry, &mut out);
    }
    let (len, count) = (out.len() as u64, entries.len() as u64);
    let end = at + len;
    out.extend_from_slice(b"PK\x06\x06");
    out.extend_from_slice(&44u64.to_le_bytes());
    out.extend_from_slice(&MADE_BY.to_le_bytes());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    for field in [count, count, len, at] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(b"PK\x06\x07");
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&end.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(b"PK\x05\x06");
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[0xFF; 12]);
    out.extend_from_slice(&name_len(comment).to_le_bytes());
    out.extend_from_slice(comment.as_bytes());
    out
}

fn central_header(entry: &ZipEntry, out: &mut Vec<u8>) {
    out.extend_from_slice(b"PK\x01\x02");
    for field in [MADE_BY, VERSION, FLAGS, 0, 0, DATE] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [entry.crc32, ELSEWHERE, ELSEWHERE] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [name_len(&entry.name), 28, 0, 0, 0] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [ATTRIBUTES, ELSEWHERE] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(entry.name.as_bytes());
    out.extend_from_slice(&[1, 0, 24, 0]);
    for field in [entry.len, entry.len, entry.data_at.saturating_sub(lead_len(&entry.name))] {
        out.extend_from_slice(&field.to_le_bytes());
    }
}
