//! Reading a pack: two reads of its end, then only what is asked for.

use super::error::PackError;
use super::manifest::{DOCUMENT_NAME, MANIFEST_NAME, Manifest, PackedInstance, Piece};
use super::piece::{Pieces, undecoded};
use super::{COMMENT_LEN, MANIFEST_MAX, VERSION, comment, zip};
use crate::{ReadAt, coding};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

/// What is read of the end of a pack first: it holds the whole manifest of a small one.
const TAIL: u64 = 64 << 10;

/// One frame as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The bytes that hold it; the fragments of an encapsulated frame one after the other, without item headers.
    pub bytes: Vec<u8>,
    /// Bits of the first byte that belong to the frame before (1-bit frames that start inside a byte).
    pub skip_bits: u8,
}

/// A pack that is read.
#[derive(Debug, Clone)]
pub struct Pack<S> {
    source: S,
    manifest: Arc<Manifest>,
}

impl<S: ReadAt> Pack<S> {
    /// Opens a pack by its last bytes: one read finds the manifest, a second one fetches it when it is long.
    ///
    /// # Errors
    /// [`PackError::Damaged`], [`PackError::Newer`], [`PackError::Read`].
    pub fn open(source: S) -> Result<Self, PackError> {
        let (json, offset) = read_manifest(&source)?;
        Ok(Self { source, manifest: Arc::new(Manifest::parse(&json, offset)?) })
    }

    /// A pack whose manifest is known, from the index for example: nothing is read.
    pub const fn with(source: S, manifest: Arc<Manifest>) -> Self {
        Self { source, manifest }
    }

    /// What the pack holds.
    pub const fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Where the bytes come from.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// The instance in a slot, from 0.
    ///
    /// # Errors
    /// [`PackError::Missing`].
    pub fn instance(&self, slot: usize) -> Result<&PackedInstance, PackError> {
        self.manifest.instances.get(slot).ok_or(PackError::Missing { what: "slot", asked: slot as u64 })
    }

    /// Frame `number`, from 0, by exactly one read.
    ///
    /// # Errors
    /// [`PackError::Missing`], [`PackError::Damaged`], [`PackError::Read`].
    pub fn frame(&self, slot: usize, number: u32) -> Result<Frame, PackError> {
        let missing = PackError::Missing { what: "frame", asked: u64::from(number) };
        let instance = self.instance(slot)?;
        let Some((spans, skip_bits)) = instance.frames.place(number) else { return Err(missing) };
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Err(missing) };
        let start = first.at;
        let mut bytes = self.range(slot, start..last.at + last.len)?;
        if spans.len() > 1 {
            let run = std::mem::take(&mut bytes);
            for span in &spans {
                let part = usize::try_from(span.at - start).ok().zip(usize::try_from(span.len).ok());
                let part = part
                    .and_then(|(at, len)| run.get(at..)?.get(..len))
                    .ok_or(PackError::Missing { what: "byte", asked: span.at })?;
                bytes.extend_from_slice(part);
            }
        }
        Ok(Frame { bytes, skip_bits })
    }

    /// The bytes `range` of a stored file, by exactly one read (none for an empty range).
    ///
    /// # Errors
    /// [`PackError::Missing`], [`PackError::Damaged`], [`PackError::Read`].
    pub fn range(&self, slot: usize, range: Range<u64>) -> Result<Vec<u8>, PackError> {
        Pieces::new(&self.source, self.instance(slot)?, &range)?.at_once()
    }

    /// Gives the bytes `range` of a stored file to `each`, in order, until it wants no more, by exactly one read.
    ///
    /// A range that is one coded piece, as frames mostly are, leaves in parts while it is decoded; any other at once.
    /// The CRC-32C was compared before; after an error what left is worth nothing.
    ///
    /// # Errors
    /// As [`Pack::range`].
    pub fn pour(&self, slot: usize, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), PackError> {
        let instance = self.instance(slot)?;
        let Some((piece, at)) = one_coded(instance, &range) else {
            each(&self.range(slot, range)?);
            return Ok(());
        };
        let damaged = |what| PackError::damaged(&instance.name, at, what);
        let raw = usize::try_from(piece.raw).map_err(|_| damaged("a piece is too long for this machine"))?;
        let stored = self.source.read_at(at..at + piece.stored).map_err(PackError::Read)?;
        if model::checksum::crc32c(&stored) != piece.crc32c {
            return Err(damaged("its CRC-32C differs"));
        }
        coding::pour(&stored, raw, each).map_err(|error| undecoded(instance, at, error))
    }

    /// The bytes `range` of a stored file as a stream, memory bounded by a piece.
    ///
    /// Whatever is read has passed its CRC-32C; errors come as [`std::io::Error`] around a [`PackError`].
    ///
    /// # Errors
    /// [`PackError::Missing`].
    pub fn stream(&self, slot: usize, range: Range<u64>) -> Result<Pieces<'_, S>, PackError> {
        Pieces::new(&self.source, self.instance(slot)?, &range)
    }

    /// A stored file as a stream. Its last piece leaves only when its SHA-256 is the recorded one.
    ///
    /// # Errors
    /// [`PackError::Missing`].
    pub fn file(&self, slot: usize) -> Result<Pieces<'_, S>, PackError> {
        let len = self.instance(slot)?.file_len;
        self.stream(slot, 0..len)
    }

    /// The series' prepared metadata.
    ///
    /// # Errors
    /// [`PackError::Damaged`], [`PackError::Read`].
    pub fn series_json(&self) -> Result<Vec<u8>, PackError> {
        let document = self.manifest.series_json;
        let stored = self.source.read_at(document.offset..document.offset + document.len).map_err(PackError::Read)?;
        let damaged = |what| PackError::damaged(DOCUMENT_NAME, document.offset, what);
        if crc32c::crc32c(&stored) != document.crc32c {
            return Err(damaged("its CRC-32C differs"));
        }
        let mut json = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(stored.as_slice()).map_err(PackError::Read)?;
        let read = decoder.take(document.raw.saturating_add(1)).read_to_end(&mut json);
        match read {
            Ok(_) if json.len() as u64 == document.raw => Ok(json),
            _ => Err(damaged("it cannot be decoded")),
        }
    }
}

impl Manifest {
    /// The manifest of a pack as it stands there, its checksum compared and nothing else: for whoever looks for what
    /// the archive knew of the instances and reads no piece.
    ///
    /// # Errors
    /// [`PackError::Damaged`], [`PackError::Newer`], [`PackError::Read`].
    pub fn read_json(source: &(impl ReadAt + ?Sized)) -> Result<Vec<u8>, PackError> {
        read_manifest(source).map(|(json, _)| json)
    }
}

/// The coded piece that a range of a file is, and its place in the pack; nothing where the range is anything else.
fn one_coded<'a>(instance: &'a PackedInstance, range: &Range<u64>) -> Option<(&'a Piece, u64)> {
    let (mut start, mut at) = (0u64, instance.offset);
    for piece in &instance.pieces {
        if start == range.start {
            let whole = start.saturating_add(piece.raw) == range.end && piece.stored < piece.raw;
            return whole.then_some((piece, at));
        }
        start = start.saturating_add(piece.raw);
        at = at.saturating_add(piece.stored);
    }
    None
}

/// The manifest's bytes and where they lie.
fn read_manifest(source: &(impl ReadAt + ?Sized)) -> Result<(Vec<u8>, u64), PackError> {
    let len = source.len();
    let tail_at = len.saturating_sub(TAIL);
    let mut tail = source.read_at(tail_at..len).map_err(PackError::Read)?;
    let directory = |what| PackError::damaged("directory", tail_at, what);
    let (offset, length, crc32c) = parse_comment(&tail)?.ok_or(directory("the comment of a pack is missing"))?;
    let end = offset.checked_add(length).filter(|end| *end <= len && length <= MANIFEST_MAX);
    let end = end.ok_or(directory("the manifest does not lie in the pack"))?;
    let json = match offset.checked_sub(tail_at).and_then(|start| usize::try_from(start).ok()) {
        Some(start) => {
            let end = usize::try_from(end - tail_at).map_err(|_| directory("it is too long"))?;
            tail.truncate(end);
            tail.drain(..start.min(end));
            tail
        }
        None => source.read_at(offset..end).map_err(PackError::Read)?,
    };
    if json.len() as u64 != length || crc32c::crc32c(&json) != crc32c {
        return Err(PackError::damaged(MANIFEST_NAME, offset, "its CRC-32C differs"));
    }
    Ok((json, offset))
}

/// Place, length and CRC-32C of the manifest, from the last bytes of a pack; `None` when it is no pack.
pub(super) fn parse_comment(tail: &[u8]) -> Result<Option<(u64, u64, u32)>, PackError> {
    let text = tail.len().checked_sub(COMMENT_LEN).and_then(|at| tail.get(at..));
    let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) else { return Ok(None) };
    let mut words = text.split(' ');
    let mut number = |skip: usize| words.nth(skip).and_then(|word| word.parse::<u64>().ok());
    let (version, offset, len) = (number(2), number(1), number(0));
    let crc32c = words.next().and_then(|word| u32::from_str_radix(word, 16).ok());
    let (Some(version), Some(offset), Some(len), Some(crc32c)) = (version, offset, len, crc32c) else {
        return Ok(None);
    };
    let Ok(version) = u32::try_from(version) else { return Ok(None) };
    if text.starts_with("khoanh pack ") && version > VERSION {
        return Err(PackError::Newer { found: version, known: VERSION });
    }
    // Only the one form that is written is read.
    let is_written = version > 0 && comment(version, offset, len, crc32c) == text && tail.len() as u64 >= zip::END_LEN;
    Ok(is_written.then_some((offset, len, crc32c)))
}
