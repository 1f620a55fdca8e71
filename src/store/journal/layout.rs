//! The bytes of the journal: segment headers, records, and the checks over them.
//!
//! All numbers are little endian. CRC means CRC-32C (Castagnoli).
//!
//! **Segment file** `NNNNNNNN.seg`: a header block of 4096 bytes, then records at multiples of 64 bytes.
//!
//! ```text
//! offset size  segment header (512 bytes, one sector: it is never half written)
//!      0    8  magic "KHOANHJ1"
//!      8    4  format version, 1
//!     12    4  segment number, as in the file's name
//!     16    4  generation: rises by one whenever the file is used anew
//!     20    4  state: 0 free, 1 in use
//!     24    8  serial: order in which segments came into use
//!     32    8  number of the first record it can hold: records of older serials from here on do not count
//!     40    8  nonce: drawn anew for every generation, unknown to senders
//!     48    4  highest segment number ever used
//!     52    4  1 when start-up moved an unproven tail here
//!     56  452  zero
//!    508    4  CRC of bytes 0 to 508
//! ```
//!
//! ```text
//! offset size  record header (64 bytes)
//!      0    4  magic "KREC"
//!      4    1  kind: 0 data, 1 mark, 2 seal (the segment ends here), 3 roster
//!      5    1  envelope: 0 plain, 1 kept for authenticated encryption; anything unknown is refused
//!      6    1  coding of the head: 0 plain, 1 zstd, 2 zstd with the dictionary src/store/journal/heads-1.dict
//!      7    1  body: 0 none, 1 in the record, 2 in its own file
//!      8    8  record number (data records count from 1; the others repeat the last one)
//!     16    8  number of the newest record proven synced when this one was written
//!     24    4  length of the head as stored
//!     28    4  length of the head decoded
//!     32    8  length of the body
//!     40    4  length of the tail
//!     44    4  length of the body's file name, at the start of the tail
//!     48    4  salted CRC of the stored head
//!     52    4  salted CRC of the tail
//!     56    4  zero
//!     60    4  salted CRC of bytes 0 to 60
//! ```
//!
//! The header is followed by the head, the body when it lies in the record, the tail (name of the body's
//! file if any, then one CRC for every 64 KiB of the body) and zeros up to the next multiple of 64.
//!
//! A **salted** CRC runs over the bytes and then over 16 bytes of salt: segment number (4), generation (4),
//! nonce (8). So neither recycled space nor a record look-alike inside a sender's pixel data passes for a
//! record. The chunk CRCs of a body in the record are salted; those of a body in its own file are plain.
//!
//! Numbers that are counted up (segment, generation, serial, record) stay below half of what their field can hold;
//! a header with a greater one does not hold, whatever its checksum says.
//!
//! A **roster**'s head lists the segments in use when its segment was begun: number (4) and generation (4)
//! of each.

use model::checksum::{crc32c, crc32c_append};

/// Bytes before the first record of a segment.
pub(crate) const BLOCK: u64 = 4096;
/// Records start at multiples of this.
pub(crate) const ALIGN: u64 = 64;
/// Bytes of a body under one CRC.
pub(crate) const CHUNK: usize = 64 * 1024;
/// Bytes of a record header.
pub(crate) const RECORD_HEADER: usize = 64;
/// Bytes of a segment header.
pub(crate) const SEGMENT_HEADER: usize = 512;
/// Longest head, decoded, in bytes.
pub(crate) const HEAD_MAX: u32 = 64 << 20;
/// Format version of a segment file.
pub(crate) const SEGMENT_VERSION: u32 = 1;
/// No segment number or generation reaches this by counting.
pub(crate) const COUNT_MAX: u32 = u32::MAX / 2;
/// No record number or serial reaches this by counting.
const LONG_COUNT_MAX: u64 = u64::MAX / 2;
/// Start of every record.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"KREC";

const SEGMENT_MAGIC: [u8; 8] = *b"KHOANHJ1";

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = at.checked_add(value.len()).and_then(|end| bytes.get_mut(at..end)) {
        place.copy_from_slice(value);
    }
}

/// What ties a checksum to one generation of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt([u8; 16]);

impl Salt {
    pub(crate) fn new(number: u32, generation: u32, nonce: u64) -> Self {
        let mut salt = [0; 16];
        put(&mut salt, 0, &number.to_le_bytes());
        put(&mut salt, 4, &generation.to_le_bytes());
        put(&mut salt, 8, &nonce.to_le_bytes());
        Self(salt)
    }

    /// Salted CRC of `data`.
    pub(crate) fn crc(&self, data: &[u8]) -> u32 {
        self.over(crc32c(data))
    }

    /// Adds the salt to a plain CRC. It comes last, so the CRC of the data can be taken anywhere.
    pub(crate) fn over(&self, crc: u32) -> u32 {
        crc32c_append(crc, &self.0)
    }
}

/// The header of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u32,
    pub(crate) generation: u32,
    pub(crate) in_use: bool,
    pub(crate) serial: u64,
    pub(crate) first_lsn: u64,
    pub(crate) nonce: u64,
    pub(crate) highest: u32,
    pub(crate) moved: bool,
}

/// What the first sector of a segment file is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderFound {
    /// A file that was made but never came into use.
    Blank,
    Valid(SegmentHeader),
    Newer(u32),
    Bad,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        put(&mut bytes, 0, &SEGMENT_MAGIC);
        put(&mut bytes, 8, &SEGMENT_VERSION.to_le_bytes());
        put(&mut bytes, 12, &self.number.to_le_bytes());
        put(&mut bytes, 16, &self.generation.to_le_bytes());
        put(&mut bytes, 20, &u32::from(self.in_use).to_le_bytes());
        put(&mut bytes, 24, &self.serial.to_le_bytes());
        put(&mut bytes, 32, &self.first_lsn.to_le_bytes());
        put(&mut bytes, 40, &self.nonce.to_le_bytes());
        put(&mut bytes, 48, &self.highest.to_le_bytes());
        put(&mut bytes, 52, &u32::from(self.moved).to_le_bytes());
        let crc = bytes.get(..508).map_or(0, crc32c);
        put(&mut bytes, 508, &crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> HeaderFound {
        if bytes.iter().all(|byte| *byte == 0) {
            return HeaderFound::Blank;
        }
        Self::fields(bytes).unwrap_or(HeaderFound::Bad)
    }

    fn fields(bytes: &[u8]) -> Option<HeaderFound> {
        if bytes.get(..8)? != SEGMENT_MAGIC || crc32c(bytes.get(..508)?) != u32_at(bytes, 508)? {
            return None;
        }
        let version = u32_at(bytes, 8)?;
        if version > SEGMENT_VERSION {
            return Some(HeaderFound::Newer(version));
        }
        let header = Self {
            number: u32_at(bytes, 12)?,
            generation: u32_at(bytes, 16)?,
            in_use: u32_at(bytes, 20)? == 1,
            serial: u64_at(bytes, 24)?,
            first_lsn: u64_at(bytes, 32)?,
            nonce: u64_at(bytes, 40)?,
            highest: u32_at(bytes, 48)?,
            moved: u32_at(bytes, 52)? == 1,
        };
        let counts = [header.number, header.generation, header.highest].into_iter().all(|number| number < COUNT_MAX);
        let counted = counts && header.serial < LONG_COUNT_MAX && header.first_lsn < LONG_COUNT_MAX;
        counted.then_some(HeaderFound::Valid(header))
    }

    pub(crate) fn salt(&self) -> Salt {
        Salt::new(self.number, self.generation, self.nonce)
    }
}

/// Record kinds.
pub(crate) const DATA: u8 = 0;
pub(crate) const MARK: u8 = 1;
pub(crate) const SEAL: u8 = 2;
pub(crate) const ROSTER: u8 = 3;

/// Codings of a head.
pub(crate) const HEAD_PLAIN: u8 = 0;
pub(crate) const HEAD_ZSTD: u8 = 1;
pub(crate) const HEAD_DICTIONARY: u8 = 2;

/// Where a body lies.
pub(crate) const BODY_NONE: u8 = 0;
pub(crate) const BODY_INLINE: u8 = 1;
pub(crate) const BODY_BLOB: u8 = 2;

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RecordHeader {
    pub(crate) kind: u8,
    pub(crate) envelope: u8,
    pub(crate) coding: u8,
    pub(crate) body: u8,
    pub(crate) lsn: u64,
    pub(crate) synced: u64,
    pub(crate) head_len: u32,
    pub(crate) head_raw: u32,
    pub(crate) body_len: u64,
    pub(crate) tail_len: u32,
    pub(crate) name_len: u32,
    pub(crate) head_crc: u32,
    pub(crate) tail_crc: u32,
}

impl RecordHeader {
    pub(crate) fn encode(&self, salt: &Salt) -> [u8; RECORD_HEADER] {
        let mut bytes = [0; RECORD_HEADER];
        put(&mut bytes, 0, &RECORD_MAGIC);
        put(&mut bytes, 4, &[self.kind, self.envelope, self.coding, self.body]);
        put(&mut bytes, 8, &self.lsn.to_le_bytes());
        put(&mut bytes, 16, &self.synced.to_le_bytes());
        put(&mut bytes, 24, &self.head_len.to_le_bytes());
        put(&mut bytes, 28, &self.head_raw.to_le_bytes());
        put(&mut bytes, 32, &self.body_len.to_le_bytes());
        put(&mut bytes, 40, &self.tail_len.to_le_bytes());
        put(&mut bytes, 44, &self.name_len.to_le_bytes());
        put(&mut bytes, 48, &self.head_crc.to_le_bytes());
        put(&mut bytes, 52, &self.tail_crc.to_le_bytes());
        let crc = bytes.get(..60).map_or(0, |data| salt.crc(data));
        put(&mut bytes, 60, &crc.to_le_bytes());
        bytes
    }

    /// The header, when the checksum of this segment's generation holds.
    pub(crate) fn decode(bytes: &[u8], salt: &Salt) -> Option<Self> {
        if bytes.get(..4)? != RECORD_MAGIC || salt.crc(bytes.get(..60)?) != u32_at(bytes, 60)? {
            return None;
        }
        let header = Self {
            kind: *bytes.get(4)?,
            envelope: *bytes.get(5)?,
            coding: *bytes.get(6)?,
            body: *bytes.get(7)?,
            lsn: u64_at(bytes, 8)?,
            synced: u64_at(bytes, 16)?,
            head_len: u32_at(bytes, 24)?,
            head_raw: u32_at(bytes, 28)?,
            body_len: u64_at(bytes, 32)?,
            tail_len: u32_at(bytes, 40)?,
            name_len: u32_at(bytes, 44)?,
            head_crc: u32_at(bytes, 48)?,
            tail_crc: u32_at(bytes, 52)?,
        };
        (header.lsn < LONG_COUNT_MAX && header.synced < LONG_COUNT_MAX).then_some(header)
    }

    /// The first field with a value this program does not know, if any.
    pub(crate) fn unknown(&self) -> Option<(&'static str, u8)> {
        match self {
            Self { envelope, .. } if *envelope != 0 => Some(("envelope", *envelope)),
            Self { kind, .. } if *kind > ROSTER => Some(("kind", *kind)),
            Self { coding, .. } if *coding > HEAD_DICTIONARY => Some(("head coding", *coding)),
            Self { body, .. } if *body > BODY_BLOB => Some(("body", *body)),
            _ => None,
        }
    }

    /// Bytes of the body inside the record.
    pub(crate) fn inline_len(&self) -> u64 {
        if self.body == BODY_INLINE { self.body_len } else { 0 }
    }

    /// Start of the body or, without one inside, of the tail, counted from the record.
    pub(crate) fn body_at(&self) -> u64 {
        RECORD_HEADER as u64 + u64::from(self.head_len)
    }

    /// Start of the tail, counted from the record.
    pub(crate) fn tail_at(&self) -> Option<u64> {
        self.body_at().checked_add(self.inline_len())
    }

    /// Bytes from this record to the next.
    pub(crate) fn total(&self) -> Option<u64> {
        self.tail_at()?.checked_add(u64::from(self.tail_len))?.checked_next_multiple_of(ALIGN)
    }
}

/// The plain CRC of every chunk of a body that comes in pieces.
#[derive(Debug, Default, Clone)]
pub struct ChunkSums {
    done: Vec<u32>,
    crc: u32,
    filled: usize,
}

impl ChunkSums {
    /// Adds the next bytes.
    pub fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let (now, later) = data.split_at_checked(CHUNK - self.filled).unwrap_or((data, &[]));
            self.crc = crc32c_append(self.crc, now);
            self.filled += now.len();
            if self.filled == CHUNK {
                self.done.push(self.crc);
                self.crc = 0;
                self.filled = 0;
            }
            data = later;
        }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.done.len() as u64 * CHUNK as u64 + self.filled as u64
    }

    pub(crate) fn finish(mut self) -> Vec<u32> {
        if self.filled > 0 {
            self.done.push(self.crc);
        }
        self.done
    }
}

/// Number of chunks of a body.
pub(crate) fn chunks(body_len: u64) -> u64 {
    body_len.div_ceil(CHUNK as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_any_flipped_bit_is_seen() {
        let header = SegmentHeader {
            number: 7,
            generation: 3,
            in_use: true,
            serial: 9,
            first_lsn: 1234,
            nonce: 0xfeed_beef,
            highest: 8,
            moved: false,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), HeaderFound::Valid(header));
        let salt = header.salt();
        let record = RecordHeader { lsn: 5, synced: 4, head_len: 10, body_len: 99, body: 1, ..Default::default() };
        let encoded = record.encode(&salt);
        assert_eq!(RecordHeader::decode(&encoded, &salt), Some(record));
        for bit in 0..encoded.len() * 8 {
            let mut flipped = encoded;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&flipped, &salt), None, "bit {bit}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), HeaderFound::Bad, "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_another_generation_or_nonce_is_none() {
        let record = RecordHeader { lsn: 5, ..Default::default() };
        let encoded = record.encode(&Salt::new(1, 1, 1));
        for other in [Salt::new(2, 1, 1), Salt::new(1, 2, 1), Salt::new(1, 1, 2)] {
            assert_eq!(RecordHeader::decode(&encoded, &other), None);
        }
    }

    #[test]
    fn chunk_sums_do_not_depend_on_the_pieces() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let body: Vec<u8> = (0..CHUNK * 3 + 77).map(|_| random.u8(..)).collect();
        let whole: Vec<u32> = body.chunks(CHUNK).map(crc32c).collect();
        let mut sums = ChunkSums::default();
        let mut rest = body.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(random.usize(1..=rest.len().min(100_000)));
            sums.update(now);
            rest = later;
        }
        assert_eq!(sums.finish(), whole, "seed {seed}");
    }
}
