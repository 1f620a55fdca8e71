//! Writing a pack as a stream.
//!
//! Memory is bounded by one piece and what must be seen before an entry gets its name (see [`AHEAD`]).

use super::error::PackError;
use super::frames::FramePlaces;
use super::manifest::{
    DOCUMENT_NAME, Document, EntryCoding, MANIFEST_NAME, Manifest, PackAbout, PackedInstance, Piece,
};
use super::zip::{self, ZipEntry};
use super::{DOCUMENT_MAX, MANIFEST_MAX, VERSION, comment, crc32};
use crate::coding::{Coder, PixelLayout};
use model::{Digest, Sameness, Uid, checksum};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};

/// Bytes of a file that may pass without anything to gain before it is stored plain.
const AHEAD: usize = 1 << 20;
/// zstd level of the prepared metadata.
const DOCUMENT_LEVEL: i32 = 3;

/// An instance to be packed.
#[derive(Debug, Clone)]
pub struct InstanceIn {
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Transfer syntax of the data set.
    pub transfer_syntax: Uid,
    /// Length of preamble and file meta information.
    pub meta_len: u32,
    /// Length of the Part 10 file.
    pub file_len: u64,
    /// Of transfer syntax UID, one NUL and the data set.
    pub digest: Sameness,
    /// Where the frames lie in the file.
    pub frames: FramePlaces,
    /// What is known of native pixels; without it they are coded by zstd alone.
    pub pixel: Option<PixelLayout>,
    /// Whether native pixels become codestreams where those are shorter.
    pub codestreams: bool,
    /// Whatever a rebuild of the index needs; kept as it is.
    pub head: serde_json::Value,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct PackSummary {
    /// The manifest as it stands in the pack.
    pub manifest: Manifest,
    /// Length of the pack.
    pub len: u64,
    /// SHA-256 of the whole pack.
    pub sha256: Digest,
}

/// Writes one pack.
pub struct PackWriter<W: Write> {
    out: Counted<W>,
    manifest: Manifest,
    coder: Coder,
    raw: Vec<u8>,
    whole: bool,
}

impl<W: Write> std::fmt::Debug for PackWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackWriter").field("instances", &self.manifest.instances.len()).finish_non_exhaustive()
    }
}

impl<W: Write> PackWriter<W> {
    /// Begins a pack at the start of `out`. Writes come in pieces of any size: buffer where that is dear.
    ///
    /// # Errors
    /// When there is no memory for the coding.
    pub fn create(out: W, about: PackAbout) -> Result<Self, PackError> {
        let coder = Coder::new().map_err(PackError::Write)?;
        let out = Counted { out, at: 0, hash: Sha256::new() };
        Ok(Self { out, manifest: Manifest::new(about), coder, raw: Vec::new(), whole: true })
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.out.at
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.manifest.instances.is_empty()
    }

    /// Adds an instance, reading its file once from front to end.
    ///
    /// # Errors
    /// [`PackError::Input`] before anything is read when the description contradicts itself: the pack can go on
    /// without the instance. After any other error it is broken and must be begun again.
    pub fn add(&mut self, instance: InstanceIn, file: &mut dyn Read) -> Result<(), PackError> {
        if !self.whole {
            return Err(PackError::Broken);
        }
        let input = |what| PackError::Input { sop_instance: instance.sop_instance.clone(), what };
        if u64::from(instance.meta_len) > instance.file_len {
            return Err(input("the file meta information is longer than the file"));
        }
        if !instance.frames.fit(instance.file_len) {
            return Err(input("a frame does not lie in the file"));
        }
        self.whole = false;
        self.entry(instance, file)?;
        self.whole = true;
        Ok(())
    }

    fn entry(&mut self, instance: InstanceIn, file: &mut dyn Read) -> Result<(), PackError> {
        let slot = self.manifest.instances.len();
        let row = instance.pixel.and_then(|pixel| pixel.row_len());
        let cuts = instance.frames.cuts(instance.file_len, row);
        self.coder.with_codestreams(instance.codestreams);
        let mut hash = Sha256::new();
        let mut stored = Stored::default();
        let mut name = None;
        // Compressed pixels and what surrounds them stay a file that anyone can open.
        let mut coding = instance.frames.is_encapsulated().then_some(EntryCoding::Plain);
        for cut in &cuts {
            self.read(&instance.sop_instance, &mut *file, cut.len)?;
            hash.update(&self.raw);
            let coded = match coding {
                Some(EntryCoding::Plain) => None,
                _ => self.coder.encode(&self.raw, instance.pixel.as_ref().filter(|_| cut.pixels)),
            };
            if coded.is_some() {
                coding = Some(EntryCoding::Khz);
            } else if stored.ahead.len() >= AHEAD {
                coding = coding.or(Some(EntryCoding::Plain));
            }
            stored.push(&self.raw, coded.unwrap_or(&self.raw));
            if let Some(coding) = coding {
                self.begin(&mut name, coding, slot, &instance.sop_instance)?;
                stored.flush(&mut self.out)?;
            }
        }
        if file.read(&mut [0]).map_err(|source| source_error(&instance.sop_instance, source))? != 0 {
            return Err(source_error(&instance.sop_instance, io::Error::other("more bytes than were announced")));
        }
        let coding = coding.unwrap_or(EntryCoding::Plain);
        let (name, offset) = self.begin(&mut name, coding, slot, &instance.sop_instance)?;
        stored.flush(&mut self.out)?;
        let entry = ZipEntry { name, data_at: offset, len: self.out.at - offset, crc32: stored.crc32 };
        self.out.put(&zip::descriptor(&entry))?;
        self.manifest.instances.push(PackedInstance {
            name: entry.name,
            sop_class: instance.sop_class,
            sop_instance: instance.sop_instance,
            transfer_syntax: instance.transfer_syntax,
            offset,
            len: entry.len,
            coding,
            crc32: entry.crc32,
            file_len: instance.file_len,
            meta_len: instance.meta_len,
            sha256: Digest(hash.finalize().into()),
            digest: instance.digest,
            pieces: stored.pieces,
            frames: instance.frames,
            head: instance.head,
        });
        Ok(())
    }

    /// Writes the local header once; gives the entry's name and the place of its data.
    fn begin(
        &mut self,
        begun: &mut Option<(String, u64)>,
        coding: EntryCoding,
        slot: usize,
        sop_instance: &Uid,
    ) -> Result<(String, u64), PackError> {
        if let Some(begun) = begun {
            return Ok(begun.clone());
        }
        let name = coding.name(slot, sop_instance);
        self.out.put(&zip::local_header(&name))?;
        Ok(begun.insert((name, self.out.at)).clone())
    }

    /// Reads the next `len` bytes of the file.
    fn read(&mut self, sop_instance: &Uid, file: &mut dyn Read, len: usize) -> Result<(), PackError> {
        self.raw.clear();
        let read = Read::take(file, len as u64).read_to_end(&mut self.raw);
        match read {
            Ok(read) if read == len => Ok(()),
            Ok(_) => Err(source_error(sop_instance, io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(source_error(sop_instance, error)),
        }
    }

    /// Writes the series' prepared metadata, the manifest and the directory. The caller syncs.
    ///
    /// # Errors
    /// [`PackError::Broken`] after an earlier error, [`PackError::Write`].
    pub fn finish(mut self, series_json: &[u8]) -> Result<(PackSummary, W), PackError> {
        if !self.whole {
            return Err(PackError::Broken);
        }
        let too_long = |what: &'static str| PackError::Write(io::Error::other(what));
        if series_json.len() as u64 > DOCUMENT_MAX {
            return Err(too_long("the prepared metadata are longer than a pack holds"));
        }
        let document = zstd::bulk::compress(series_json, DOCUMENT_LEVEL).map_err(PackError::Write)?;
        let entry = self.small(DOCUMENT_NAME, &document)?;
        let (len, raw) = (entry.len, series_json.len() as u64);
        let crc32c = crc32c::crc32c(&document);
        self.manifest.series_json = Document { offset: entry.data_at, len, raw, crc32: entry.crc32, crc32c };
        let json = self.manifest.to_json()?;
        if json.len() as u64 > MANIFEST_MAX {
            return Err(too_long("the manifest is longer than a reader accepts; begin another part"));
        }
        let last = self.small(MANIFEST_NAME, &json)?;
        let comment = comment(VERSION, last.data_at, last.len, crc32c::crc32c(&json));
        let entries: Vec<ZipEntry> = self.manifest.entries().chain([last]).collect();
        let end = zip::directory(&entries, self.out.at, &comment);
        self.out.put(&end)?;
        self.out.out.flush().map_err(PackError::Write)?;
        let Counted { out, at, hash } = self.out;
        Ok((PackSummary { manifest: self.manifest, len: at, sha256: Digest(hash.finalize().into()) }, out))
    }

    /// Writes a whole entry.
    fn small(&mut self, name: &str, data: &[u8]) -> Result<ZipEntry, PackError> {
        self.out.put(&zip::local_header(name))?;
        let crc32 = crc32::append(0, data);
        let entry = ZipEntry { name: name.into(), data_at: self.out.at, len: data.len() as u64, crc32 };
        self.out.put(data)?;
        self.out.put(&zip::descriptor(&entry))?;
        Ok(entry)
    }
}

fn source_error(sop_instance: &Uid, source: io::Error) -> PackError {
    PackError::Source { sop_instance: sop_instance.clone(), source }
}

/// The pieces of an entry and those of their bytes that wait for its name.
#[derive(Default)]
struct Stored {
    pieces: Vec<Piece>,
    ahead: Vec<u8>,
    crc32: u32,
}

impl Stored {
    fn push(&mut self, raw: &[u8], stored: &[u8]) {
        let (raw, crc32c) = (raw.len() as u64, checksum::crc32c(stored));
        self.pieces.push(Piece { raw, stored: stored.len() as u64, crc32c });
        self.crc32 = crc32::append(self.crc32, stored);
        self.ahead.extend_from_slice(stored);
    }

    fn flush<W: Write>(&mut self, out: &mut Counted<W>) -> Result<(), PackError> {
        out.put(&self.ahead)?;
        self.ahead.clear();
        Ok(())
    }
}

/// A writer that knows its place and the digest of everything before it.
struct Counted<W> {
    out: W,
    at: u64,
    hash: Sha256,
}

impl<W: Write> Counted<W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        self.out.write_all(bytes).map_err(PackError::Write)?;
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }
}
