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
        let mut bytes = room(len);
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// Where zeroed memory costs less than memory that is zeroed here.
const LARGE: usize = 4 << 20;

/// `len` zero bytes to read into.
///
/// An allocator that is asked for zeroed memory of some pages gives them back to the system and takes them anew: every
/// processor's translations are flushed, and each page faults once more while the read fills it.
/// Memory that has been used before and is zeroed here costs neither; of [`LARGE`] reads the zeroing would count.
#[allow(clippy::slow_vector_initialization, reason = "the quick way is what this is here to avoid")]
pub(crate) fn room(len: usize) -> Vec<u8> {
    if len > LARGE {
        return vec![0; len];
    }
    // Hidden from the optimiser, which would make one zeroed allocation of the two steps.
    let mut bytes = std::hint::black_box(Vec::with_capacity(len));
    bytes.resize(len, 0);
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
