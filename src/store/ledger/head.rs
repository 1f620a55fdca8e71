//! Signed tree heads, and `heads.log` that keeps every one of them.
//!
//! What is signed is text, so that a person can check it with common tools; every line ends in a line feed:
//!
//! ```text
//! khoanh ledger head 1
//! log <SHA-256 of the public key, hexadecimal>
//! size <number of entries>
//! root <root of the tree over them, hexadecimal>
//! sequence <sequence number of the last entry, 0 without any>
//! time <milliseconds since 1970-01-01T00:00:00Z>
//! ```
//!
//! ```text
//! offset size  record of heads.log (128 bytes: no record crosses a sector, so none is half written)
//!      0    4  magic "KLTH"
//!      4    4  salted CRC of bytes 8 to 128; the salt is the record's number (8 bytes), appended
//!      8    8  size
//!     16    8  time
//!     24    8  sequence
//!     32   32  root
//!     64   64  signature (Ed25519, RFC 8032)
//! ```
//!
//! This module deliberately has no clock: times are the caller's.

use super::layout::{Fields, HEADER, Header, Kind, LogFile};
use super::merkle::Hash;
use super::signer::{log_id, verify_signature};
use crate::StoreError;

/// Length of a record in bytes.
pub(super) const HEAD: u64 = 128;
const HEAD_LEN: usize = 128;

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// SHA-256 of the public key: the name of the ledger.
    pub log: Hash,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Sequence number of the last entry; 0 without any.
    pub sequence: u64,
    /// When it was signed, in milliseconds since 1970; never before the head before it.
    pub time_ms: u64,
}

/// A head and its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedTreeHead {
    /// What was signed.
    pub head: TreeHead,
    /// Ed25519 signature over [`TreeHead::text`].
    pub signature: [u8; 64],
}

impl TreeHead {
    /// The text that is signed.
    pub fn text(&self) -> String {
        use super::layout::hex;
        format!(
            "khoanh ledger head 1\nlog {}\nsize {}\nroot {}\nsequence {}\ntime {}\n",
            hex(&self.log),
            self.size,
            hex(&self.root),
            self.sequence,
            self.time_ms
        )
    }
}

impl SignedTreeHead {
    /// Whether the key signed this head and the head names the key.
    pub fn verify(&self, public_key: &[u8; 32]) -> bool {
        self.head.log == log_id(public_key)
            && verify_signature(public_key, self.head.text().as_bytes(), &self.signature)
    }

    fn encode(&self, number: u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(HEAD_LEN);
        body.extend_from_slice(&self.head.size.to_le_bytes());
        body.extend_from_slice(&self.head.time_ms.to_le_bytes());
        body.extend_from_slice(&self.head.sequence.to_le_bytes());
        body.extend_from_slice(&self.head.root);
        body.extend_from_slice(&self.signature);
        let mut bytes = b"KLTH".to_vec();
        bytes.extend_from_slice(&sum(&body, number).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    fn decode(bytes: &[u8; HEAD_LEN], number: u64, log: Hash) -> Result<Self, &'static str> {
        let short = "a head's length";
        let mut fields = Fields(bytes);
        if fields.take() != Some(*b"KLTH") {
            return Err("a head's magic");
        }
        if fields.u32() != Some(sum(fields.0, number)) {
            return Err("a head's checksum");
        }
        let (size, time_ms) = (fields.u64().ok_or(short)?, fields.u64().ok_or(short)?);
        let (sequence, root) = (fields.u64().ok_or(short)?, fields.take().ok_or(short)?);
        let signature = fields.take().ok_or(short)?;
        Ok(Self { head: TreeHead { log, size, root, sequence, time_ms }, signature })
    }
}

fn sum(body: &[u8], number: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(body), &number.to_le_bytes())
}

/// The open file.
pub(super) struct HeadLog {
    file: LogFile,
    key: [u8; 32],
}

impl HeadLog {
    /// Begins the file.
    pub(super) fn create(file: LogFile, key: [u8; 32]) -> Result<Self, StoreError> {
        file.set_len(0)?;
        let heads = Self { file, key };
        heads.rewrite(None)?;
        Ok(heads)
    }

    /// Writes header and newest head as they were read and syncs them: if their sync failed before a restart, the
    /// cache has them and the disk does not.
    pub(super) fn rewrite(&self, newest: Option<(u64, SignedTreeHead)>) -> Result<(), StoreError> {
        self.file.write(&Header { kind: Kind::Heads, number: 0, key: self.key, first: 0 }.encode(), 0)?;
        match newest {
            Some((number, head)) => self.write(number, &head),
            None => self.file.sync(),
        }
    }

    /// Takes an open file, checking its header.
    pub(super) fn open(file: LogFile) -> Result<Self, StoreError> {
        let header = Header::read(&file, Kind::Heads)?;
        Ok(Self { file, key: header.key })
    }

    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    pub(super) fn file(&self) -> &LogFile {
        &self.file
    }

    /// Number of whole records. Records of zeros at the end are space that a power loss left unwritten.
    pub(super) fn count(&self) -> Result<u64, StoreError> {
        let mut count = self.file.len()?.saturating_sub(HEADER) / HEAD;
        while let Some(last) = count.checked_sub(1) {
            let mut bytes = [0; HEAD_LEN];
            self.file.read(&mut bytes, HEADER + last * HEAD, last)?;
            if bytes != [0; HEAD_LEN] {
                break;
            }
            count = last;
        }
        Ok(count)
    }

    /// A record; its signature is not verified here.
    pub(super) fn read(&self, number: u64) -> Result<SignedTreeHead, StoreError> {
        let at = HEADER + number * HEAD;
        let mut bytes = [0; HEAD_LEN];
        self.file.read(&mut bytes, at, number)?;
        let bad = |what| StoreError::corrupt(&self.file.path, at, number, what);
        SignedTreeHead::decode(&bytes, number, log_id(&self.key)).map_err(bad)
    }

    /// A record whose signature was verified.
    pub(super) fn read_verified(&self, number: u64) -> Result<SignedTreeHead, StoreError> {
        let head = self.read(number)?;
        if head.verify(&self.key) {
            Ok(head)
        } else {
            Err(StoreError::corrupt(&self.file.path, HEADER + number * HEAD, number, "a head's signature"))
        }
    }

    /// Writes a record and makes it durable.
    pub(super) fn write(&self, number: u64, head: &SignedTreeHead) -> Result<(), StoreError> {
        self.file.write(&head.encode(number), HEADER + number * HEAD)?;
        self.file.sync()
    }

    /// Number of the newest record below `count` whose size is at most `size`: sizes rise.
    pub(super) fn newest_up_to(&self, size: u64, count: u64) -> Result<Option<u64>, StoreError> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.read(middle)?.head.size <= size {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.checked_sub(1))
    }
}
