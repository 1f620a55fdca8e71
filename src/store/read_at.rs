//! Bytes that can be read at any place: a file, an object in the cloud, the plain side of an envelope.
//!
//! It deliberately has no position of its own, so any number of readers share one.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Something of a known length whose bytes can be read in any order, by several threads at once.
pub trait ReadAt: Send + Sync {
    /// Reads exactly the bytes of `range`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the range does not lie within [`ReadAt::len`];
    /// [`io::ErrorKind::InvalidData`] where stored bytes are not what was written; else the reason of whoever holds
    /// the bytes. Fewer bytes than asked for are never an answer.
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>>;

    /// Length in bytes; does not change.
    fn len(&self) -> u64;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &R {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        (**self).read_at(range)
    }

    fn len(&self) -> u64 {
        (**self).len()
    }
}

impl<R: ReadAt + ?Sized> ReadAt for std::sync::Arc<R> {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        (**self).read_at(range)
    }

    fn len(&self) -> u64 {
        (**self).len()
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        within(&range, ReadAt::len(self))?;
        let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let bytes = place.and_then(|(start, end)| self.get(start..end));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }
}

/// A file on a disk that nobody changes meanwhile.
#[derive(Debug)]
pub struct FileAt {
    file: File,
    len: u64,
}

impl FileAt {
    /// The file as it is now.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl ReadAt for FileAt {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        within(&range, self.len)?;
        let len = usize::try_from(range.end - range.start).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let mut bytes = unread(len);
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// Longest memory in bytes that the allocator keeps for the next one who asks.
const KEPT: usize = 8 << 20;

/// Memory of so many bytes to read into. Not zeros where the allocator has it at hand: those it takes from the system, a
/// page fault for every 4 KiB, which costs several times as much as filling it.
pub(crate) fn unread(len: usize) -> Vec<u8> {
    if len >= KEPT {
        return vec![0; len];
    }
    let mut bytes = Vec::with_capacity(len);
    bytes.resize(len, 0xA5);
    bytes
}

/// Refuses a range that does not lie within `len` bytes.
pub(crate) fn within(range: &Range<u64>, len: u64) -> io::Result<()> {
    if range.start <= range.end && range.end <= len {
        return Ok(());
    }
    let what = format!("bytes {} to {} do not lie within {len}", range.start, range.end);
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
}
