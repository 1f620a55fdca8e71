//! What the ledger's files share: the header block, and reads and writes that name the file when they fail.
//!
//! ```text
//! offset size  header of every file (512 bytes, one sector: it is never half written)
//!      0    8  magic: "KHOANHLE" entries, "KHOANHLT" tree, "KHOANHLH" heads
//!      8    4  format version, 1
//!     12    4  number of the file, as in its name; 0 for tree and heads
//!     16   32  public key of the ledger (Ed25519)
//!     48    8  entries: index of the first entry in the file; otherwise 0
//!     56  452  zero
//!    508    4  CRC of bytes 0 to 508
//! ```
//!
//! Numbers are little endian, CRC means CRC-32C. The module deliberately knows nothing of what follows the header.

use crate::{Disk, DiskFile, Open, StoreError};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Length of a header in bytes; what a file holds begins here.
pub(super) const HEADER: u64 = 512;
const HEADER_LEN: usize = 512;
/// The newest version of the files this program knows.
const VERSION: u32 = 1;

/// Which of the ledger's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Entries,
    Tree,
    Heads,
}

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Kind::Entries => b"KHOANHLE",
            Kind::Tree => b"KHOANHLT",
            Kind::Heads => b"KHOANHLH",
        }
    }
}

/// The block a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) number: u32,
    pub(super) key: [u8; 32],
    pub(super) first: u64,
}

impl Header {
    /// As it stands in the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(self.kind.magic());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.resize(HEADER_LEN - 4, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads and checks the header of a file of this kind.
    pub(super) fn read(file: &LogFile, kind: Kind) -> Result<Self, StoreError> {
        let mut block = [0; HEADER_LEN];
        file.read(&mut block, 0, 0)?;
        let bad = |what| StoreError::corrupt(&file.path, 0, 0, what);
        if Fields(&block).take::<8>() != Some(*kind.magic()) {
            return Err(bad("the header's magic"));
        }
        let (body, sum) = block.split_at_checked(HEADER_LEN - 4).ok_or_else(|| bad("the header's length"))?;
        if crc32c::crc32c(body).to_le_bytes() != sum {
            return Err(bad("the header's checksum"));
        }
        let mut fields = Fields(body.get(8..).unwrap_or_default());
        let short = || bad("the header's length");
        let version = fields.u32().ok_or_else(short)?;
        if version > VERSION {
            return Err(StoreError::Newer { path: file.path.clone(), found: version, known: VERSION });
        }
        let number = fields.u32().ok_or_else(short)?;
        let key = fields.take().ok_or_else(short)?;
        let first = fields.u64().ok_or_else(short)?;
        Ok(Self { kind, number, key, first })
    }
}

/// Fixed-width fields, taken one after the other; nothing where the bytes end.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// An open file that knows its name.
#[derive(Clone)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl LogFile {
    pub(super) fn open(disk: &dyn Disk, path: &Path, how: Open) -> Result<Self, StoreError> {
        let file = disk.open(path, how).map_err(|e| StoreError::io("open", path, e))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Fills `buf` from `at`; a file that ends before is corrupt. `record` is named in the error.
    pub(super) fn read(&self, buf: &mut [u8], at: u64, record: u64) -> Result<(), StoreError> {
        if self.read_some(buf, at)? == buf.len() {
            Ok(())
        } else {
            Err(StoreError::corrupt(&self.path, at, record, "the file ends too early"))
        }
    }

    /// Reads what there is, at most `buf`.
    pub(super) fn read_some(&self, buf: &mut [u8], at: u64) -> Result<usize, StoreError> {
        self.file.read_at(buf, at).map_err(|e| StoreError::io("read", &self.path, e))
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) -> Result<(), StoreError> {
        self.file.write_at(&mut [IoSlice::new(bytes)], at).map_err(|e| StoreError::io("write", &self.path, e))
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|e| StoreError::io("sync", &self.path, e))
    }

    pub(super) fn set_len(&self, len: u64) -> Result<(), StoreError> {
        self.file.set_len(len).map_err(|e| StoreError::io("cut", &self.path, e))
    }

    pub(super) fn len(&self) -> Result<u64, StoreError> {
        self.file.len().map_err(|e| StoreError::io("measure", &self.path, e))
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
