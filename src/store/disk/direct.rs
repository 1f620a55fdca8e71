//! Large writes past the system's page cache (`O_DIRECT`).
//!
//! A page of the cache must be found, filled and written out later; where the machine's memory is not at hand that costs
//! up to ten times the copy itself. Large bodies are read once more at most, when their series is packed, so they go
//! to the disk from a small buffer that stays in the processor's cache.
//! What does not fill a block of the disk, and the last block of every write, goes through the page cache: the next
//! write begins there and finds it. The kernel keeps both views the same, and a sync covers both.
//! A file system that refuses gets everything through the page cache. Deliberately not here: whether the caller syncs.

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags, fstat, open};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes below this many bytes go through the page cache.
pub(super) const FROM: u64 = 256 << 10;
/// Places and lengths of direct writes are multiples of this, in bytes: no disk has larger blocks.
const BLOCK: usize = 4096;
/// Bytes of one direct write: enough for the disk, little for the processor's cache.
const PIECE: usize = 1 << 20;
/// Buffers kept for the next writer.
const SPARE: usize = 4;

static BUFFERS: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());

/// The second, direct handle of a file.
pub(super) struct Direct {
    path: PathBuf,
    handle: OnceLock<Option<File>>,
    refused: AtomicBool,
}

impl Direct {
    /// For the file at `path`; it is opened when first needed.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, handle: OnceLock::new(), refused: AtomicBool::new(false) }
    }

    /// Writes the front of `rest` at `at`, up to the last block, and leaves what follows in `rest`. Returns how many
    /// bytes went; none where this file system does not do it.
    pub(super) fn write(&self, file: &File, rest: &mut &mut [IoSlice<'_>], at: u64) -> io::Result<u64> {
        let total: u64 = rest.iter().map(|slice| slice.len() as u64).sum();
        let end = at.checked_add(total).ok_or(io::ErrorKind::InvalidInput)?;
        let start = at.checked_next_multiple_of(BLOCK as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let stop = end.saturating_sub(1) / BLOCK as u64 * BLOCK as u64;
        if total < FROM || start >= stop || self.refused.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let Some(direct) = self.handle.get_or_init(|| self.open(file).ok()) else { return Ok(0) };
        let Some(mut buffer) = Buffer::take() else { return Ok(0) };
        let written = self.pieces(file, direct, rest, &mut buffer, at..stop);
        buffer.give_back();
        written.map(|()| stop - at)
    }

    fn pieces(
        &self,
        file: &File,
        direct: &File,
        rest: &mut &mut [IoSlice<'_>],
        buffer: &mut Buffer,
        range: std::ops::Range<u64>,
    ) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            // Up to the first whole block, then whole blocks.
            let aligned = at.is_multiple_of(BLOCK as u64);
            let until = if aligned { range.end } else { at.next_multiple_of(BLOCK as u64) };
            let len = usize::try_from(until - at).unwrap_or(PIECE).min(PIECE);
            let bytes = buffer.get(len);
            if fill(rest, bytes) < bytes.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let done = if aligned { self.one(direct, bytes, at)? } else { 0 };
            if let Some(left) = bytes.get(done..).filter(|left| !left.is_empty()) {
                file.write_all_at(left, at + done as u64)?;
            }
            at += len as u64;
        }
        Ok(())
    }

    /// One direct write; fewer bytes, perhaps none, where the file system or the disk takes no more of it.
    fn one(&self, direct: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
        if self.refused.load(Ordering::Relaxed) {
            return Ok(0);
        }
        loop {
            match rustix::io::pwrite(direct, bytes, at) {
                // The rest goes the other way, which says why if it fails as well.
                Ok(n) => return Ok(n.min(bytes.len())),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => {
                    self.refused.store(true, Ordering::Relaxed);
                    return Ok(0);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Opens the file once more. The name may mean another file by now: then not.
    fn open(&self, file: &File) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let direct = File::from(open(&self.path, flags, Mode::empty()).map_err(io::Error::from)?);
        let (one, other) = (fstat(file).map_err(io::Error::from)?, fstat(&direct).map_err(io::Error::from)?);
        let same = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
        if same { Ok(direct) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

/// Takes bytes off the front of the slices until `to` is full or nothing is left; tells how many.
fn fill(rest: &mut &mut [IoSlice<'_>], to: &mut [u8]) -> usize {
    let mut done = 0;
    while let (Some(first), Some(room)) = (rest.first(), to.get_mut(done..).filter(|room| !room.is_empty())) {
        let n = first.len().min(room.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..n), first.get(..n)) {
            room.copy_from_slice(bytes);
        }
        done += n;
        IoSlice::advance_slices(rest, n);
    }
    done
}

/// Memory that starts at a block's boundary.
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// None when there is no way to align it.
    fn take() -> Option<Self> {
        if let Some(buffer) = BUFFERS.lock().pop() {
            return Some(buffer);
        }
        let bytes = vec![0; PIECE + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        (start < BLOCK).then_some(Self { bytes, start })
    }

    fn get(&mut self, len: usize) -> &mut [u8] {
        let end = self.start.saturating_add(len.min(PIECE));
        self.bytes.get_mut(self.start..end).unwrap_or_default()
    }

    fn give_back(self) {
        let mut buffers = BUFFERS.lock();
        if buffers.len() < SPARE {
            buffers.push(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Disk, Open, RealDisk};
    use super::*;

    /// The bytes in pieces of any length, none among them.
    fn slices<'a>(bytes: &'a [u8], random: &mut fastrand::Rng) -> Vec<IoSlice<'a>> {
        let (mut slices, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(random.usize(0..=rest.len().min(300_000)));
            slices.push(IoSlice::new(now));
            rest = later;
        }
        slices
    }

    #[test]
    fn readers_see_what_was_written_wherever_it_begins_and_ends() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let file = RealDisk.open(&path, Open::Create).expect("open");
        let reader = RealDisk.open(&path, Open::Read).expect("open");
        let mut expected = vec![0u8; 8 << 20];
        file.preallocate(expected.len() as u64).expect("allocated");
        for round in 0..60 {
            // One after the other as the journal does, or anywhere.
            let at = if round % 2 == 0 { random.usize(0..6 << 20) } else { random.usize(0..1500) * BLOCK };
            let len = random.usize(1..2 << 20).min(expected.len() - at);
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
            file.write_at(&mut slices(&bytes, &mut random), at as u64).expect("written");
            expected[at..at + len].copy_from_slice(&bytes);
            if random.bool() {
                file.sync_data().expect("synced");
            }
            let mut read = vec![0; expected.len()];
            assert_eq!(reader.read_at(&mut read, 0).expect("read"), read.len());
            assert!(read == expected, "seed {seed}, round {round}: {len} bytes at {at}");
        }
    }

    #[test]
    fn all_but_the_edges_goes_past_the_page_cache_or_nothing_does() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let file = File::create(&path).expect("create");
        let direct = Direct::new(path);
        let bytes = vec![7u8; 3 << 20];
        let mut slices = [IoSlice::new(&bytes[..1_000]), IoSlice::new(&bytes[1_000..])];
        let mut rest = &mut slices[..];
        let (at, end) = (100u64, 100 + bytes.len() as u64);
        let went = direct.write(&file, &mut rest, at).expect("written");
        let left: u64 = rest.iter().map(|slice| slice.len() as u64).sum();
        assert_eq!(went + left, bytes.len() as u64);
        let refused = direct.handle.get().is_none_or(Option::is_none);
        assert!(refused == (went == 0) && (refused || (at + went).is_multiple_of(BLOCK as u64)), "{went} of {end}");
        assert!(refused || (left > 0 && left <= BLOCK as u64), "the last block stays: {left}");

        let mut small = [IoSlice::new(&bytes[..1_000])];
        assert_eq!(direct.write(&file, &mut &mut small[..], 0).expect("small"), 0);
    }

    #[test]
    fn another_file_under_the_name_is_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let file = RealDisk.open(&path, Open::Create).expect("open");
        std::fs::rename(&path, folder.path().join("moved")).expect("moved");
        std::fs::write(&path, "another").expect("another");
        let bytes = vec![9u8; 1 << 20];
        file.write_at(&mut [IoSlice::new(&bytes)], 0).expect("written");
        assert_eq!(std::fs::read(&path).expect("another"), b"another");
        assert!(std::fs::read(folder.path().join("moved")).expect("moved") == bytes);
    }

    #[test]
    fn what_a_file_system_refuses_goes_through_the_page_cache() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let file = File::create(&path).expect("create");
        let direct = Direct::new(path.clone());
        let bytes: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
        // A handle that takes no writes stands for a file system that takes none of this kind.
        direct.handle.set(Some(File::open(&path).expect("open"))).expect("first");
        let refused = direct.write(&file, &mut &mut [IoSlice::new(&bytes)][..], 0);
        assert!(refused.is_err(), "any other failure is told");
        direct.refused.store(true, Ordering::Relaxed);
        let mut buffer = Buffer::take().expect("buffer");
        let handle = direct.handle.get().and_then(Option::as_ref).expect("handle");
        let mut slices = [IoSlice::new(&bytes)];
        direct.pieces(&file, handle, &mut &mut slices[..], &mut buffer, 0..bytes.len() as u64).expect("written");
        assert!(std::fs::read(&path).expect("read") == bytes);
    }
}
