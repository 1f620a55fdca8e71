//! The manifest: everything that is known of a pack without reading the rest of it.
//!
//! It comes from a disk or a cloud: nothing of it is believed before all places were found to lie in the pack, in
//! order and without gaps, and all lengths to be the sums of their parts.

use super::error::PackError;
use super::frames::FramePlaces;
use super::zip::{self, ZipEntry};
use super::{DOCUMENT_MAX, MANIFEST_MAX, PIECE_MAX, VERSION};
use model::{Digest, FacilityCode, Sameness, Uid};
use serde::{Deserialize, Serialize};
use std::io::Read;

/// Name of the prepared metadata's entry.
pub(super) const DOCUMENT_NAME: &str = "series.json.zst";
/// Name of the manifest's entry.
pub(super) const MANIFEST_NAME: &str = "manifest.json";
/// Value of the manifest's member `format`.
pub(super) const FORMAT: &str = "khoanh pack";

/// zstd level of a kept manifest.
const KEPT_LEVEL: i32 = 3;

/// What a pack is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackAbout {
    /// The facility its objects belong to.
    pub facility: FacilityCode,
    /// Study Instance UID.
    pub study: Uid,
    /// Series Instance UID.
    pub series: Uid,
    /// Number of the part of the series, from 1.
    pub part: u32,
}

/// What a pack holds and where. However it is read, it has passed its checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Manifest {
    pub(super) format: String,
    pub(super) version: u32,
    facility: FacilityCode,
    study: Uid,
    series: Uid,
    part: u32,
    pub(super) instances: Vec<PackedInstance>,
    pub(super) series_json: Document,
}

/// A manifest as somebody claims it to be.
#[derive(Deserialize)]
struct Unchecked {
    format: String,
    version: u32,
    facility: FacilityCode,
    study: Uid,
    series: Uid,
    part: u32,
    instances: Vec<PackedInstance>,
    series_json: Document,
}

impl TryFrom<Unchecked> for Manifest {
    type Error = &'static str;

    fn try_from(claim: Unchecked) -> Result<Self, &'static str> {
        let Unchecked { format, version, facility, study, series, part, instances, series_json } = claim;
        let manifest = Self { format, version, facility, study, series, part, instances, series_json };
        manifest.check().map(|()| manifest)
    }
}

/// An instance in a pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackedInstance {
    /// Name of the entry.
    pub name: String,
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Transfer syntax of the data set.
    pub transfer_syntax: Uid,
    /// Place of the entry's data in the pack.
    pub offset: u64,
    /// Length of the entry's data.
    pub len: u64,
    /// How the entry is stored.
    pub coding: EntryCoding,
    /// CRC-32 of the entry's data, as ZIP wants it.
    pub crc32: u32,
    /// Length of the Part 10 file.
    pub file_len: u64,
    /// Length of preamble and file meta information.
    pub meta_len: u32,
    /// SHA-256 of the Part 10 file.
    pub sha256: Digest,
    /// Of transfer syntax UID, one NUL and the data set: the digest made when it was received.
    pub digest: Sameness,
    /// The parts the file is stored in, in order.
    pub pieces: Vec<Piece>,
    /// Where the frames lie in the file.
    #[serde(default, skip_serializing_if = "is_none")]
    pub frames: FramePlaces,
    /// What the archive knew of the instance when it packed it; not interpreted here.
    pub head: serde_json::Value,
}

fn is_none(frames: &FramePlaces) -> bool {
    *frames == FramePlaces::None
}

/// How an entry is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryCoding {
    /// The Part 10 file as it is; the name ends in `.dcm`.
    Plain,
    /// At least one piece is coded ([`crate::coding`]); the name ends in `.dcm.khz`.
    Khz,
}

/// A part of a file; in JSON the array of raw length, stored length and CRC-32C of the stored bytes.
/// Its place is the sum of the stored lengths before it; coded are those that are shorter than raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u32)", into = "(u64, u64, u32)")]
pub struct Piece {
    /// Length of its bytes in the file.
    pub raw: u64,
    /// Length as stored.
    pub stored: u64,
    /// CRC-32C of the stored bytes.
    pub crc32c: u32,
}

impl From<(u64, u64, u32)> for Piece {
    fn from((raw, stored, crc32c): (u64, u64, u32)) -> Self {
        Self { raw, stored, crc32c }
    }
}

impl From<Piece> for (u64, u64, u32) {
    fn from(piece: Piece) -> Self {
        (piece.raw, piece.stored, piece.crc32c)
    }
}

/// The prepared metadata, one zstd frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Place of the entry's data in the pack.
    pub offset: u64,
    /// Length of the entry's data.
    pub len: u64,
    /// Length decoded.
    pub raw: u64,
    /// CRC-32 of the entry's data, as ZIP wants it.
    pub crc32: u32,
    /// CRC-32C of the entry's data.
    pub crc32c: u32,
}

impl EntryCoding {
    /// Name of the entry of the instance in this slot, from 0.
    pub(super) fn name(self, slot: usize, sop_instance: &Uid) -> String {
        let end = match self {
            Self::Plain => "dcm",
            Self::Khz => "dcm.khz",
        };
        format!("{:06}-{sop_instance}.{end}", slot as u64 + 1)
    }
}

impl Manifest {
    /// The manifest of a pack without entries.
    pub(super) fn new(about: PackAbout) -> Self {
        let PackAbout { facility, study, series, part } = about;
        let series_json = Document { offset: 0, len: 0, raw: 0, crc32: 0, crc32c: 0 };
        let instances = Vec::new();
        Self { format: FORMAT.into(), version: VERSION, facility, study, series, part, instances, series_json }
    }

    /// What the pack is about.
    pub fn about(&self) -> PackAbout {
        let (study, series) = (self.study.clone(), self.series.clone());
        PackAbout { facility: self.facility, study, series, part: self.part }
    }

    /// The instances in the order of the pack.
    pub fn instances(&self) -> &[PackedInstance] {
        &self.instances
    }

    /// The prepared metadata.
    pub const fn series_json(&self) -> &Document {
        &self.series_json
    }

    /// Reads a manifest that lies at `offset` of a pack and refuses what cannot be.
    ///
    /// # Errors
    /// [`PackError::Newer`] for the manifest of a newer program, else [`PackError::Damaged`].
    pub fn parse(json: &[u8], offset: u64) -> Result<Self, PackError> {
        #[derive(Deserialize)]
        struct Form {
            format: String,
            version: u32,
        }
        let damaged = |what| PackError::damaged(MANIFEST_NAME, offset, what);
        if json.len() as u64 > MANIFEST_MAX {
            return Err(damaged("it is too long"));
        }
        let manifest =
            serde_json::from_slice::<Self>(json).map_err(|_| match serde_json::from_slice::<Form>(json) {
                Ok(form) if form.format == FORMAT && form.version > VERSION => {
                    PackError::Newer { found: form.version, known: VERSION }
                }
                _ => damaged("it is no manifest, or says what cannot be"),
            })?;
        if manifest.manifest_at() != Some(offset) {
            return Err(damaged("it lies elsewhere"));
        }
        Ok(manifest)
    }

    /// What a reader needs of the manifest, for an index to keep: its place (8 bytes, big endian), then zstd of its JSON
    /// without what the archive knew of the instances.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn to_kept(&self) -> Result<Vec<u8>, PackError> {
        let mut bare = self.clone();
        bare.instances.iter_mut().for_each(|instance| instance.head = serde_json::Value::Null);
        let at = self.manifest_at().ok_or(PackError::damaged(MANIFEST_NAME, 0, "lengths overflow"))?;
        let coded = zstd::bulk::compress(&bare.to_json()?, KEPT_LEVEL).map_err(PackError::Write)?;
        Ok([at.to_be_bytes().as_slice(), &coded].concat())
    }

    /// Reads what [`Manifest::to_kept`] wrote.
    ///
    /// # Errors
    /// As [`Manifest::parse`].
    pub fn of_kept(kept: &[u8]) -> Result<Self, PackError> {
        let damaged = || PackError::damaged(MANIFEST_NAME, 0, "what was kept of it does not unpack");
        let (at, coded) = kept.split_first_chunk::<8>().ok_or_else(damaged)?;
        let mut json = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(coded).map_err(PackError::Read)?;
        decoder.take(MANIFEST_MAX).read_to_end(&mut json).map_err(|_| damaged())?;
        Self::parse(&json, u64::from_be_bytes(*at))
    }

    /// The manifest as JSON.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, PackError> {
        serde_json::to_vec(self).map_err(|error| PackError::Write(error.into()))
    }

    /// Where the manifest's own data lies.
    pub(super) fn manifest_at(&self) -> Option<u64> {
        let end = self.series_json.offset.checked_add(self.series_json.len)?;
        end.checked_add(zip::DESCRIPTOR_LEN + zip::lead_len(MANIFEST_NAME))
    }

    /// Every entry but the manifest's own.
    pub(super) fn entries(&self) -> impl Iterator<Item = ZipEntry> {
        let instances = self.instances.iter().map(|instance| ZipEntry {
            name: instance.name.clone(),
            data_at: instance.offset,
            len: instance.len,
            crc32: instance.crc32,
        });
        let Document { offset, len, crc32, .. } = self.series_json;
        instances.chain([ZipEntry { name: DOCUMENT_NAME.into(), data_at: offset, len, crc32 }])
    }

    /// Refuses what cannot be: no gap, no overlap, every length the sum of its parts.
    fn check(&self) -> Result<(), &'static str> {
        if self.format != FORMAT || !(1..=VERSION).contains(&self.version) {
            return Err("it is of another format");
        }
        let mut at = 0u64;
        for entry in self.entries() {
            at = at.checked_add(zip::lead_len(&entry.name)).ok_or("lengths overflow")?;
            if entry.data_at != at {
                return Err("an entry lies elsewhere");
            }
            let end = at.checked_add(entry.len).and_then(|end| end.checked_add(zip::DESCRIPTOR_LEN));
            at = end.ok_or("lengths overflow")?;
        }
        if self.series_json.raw > DOCUMENT_MAX || self.series_json.len > DOCUMENT_MAX {
            return Err("the metadata are too long");
        }
        self.instances.iter().enumerate().try_for_each(|(slot, instance)| instance.check(slot))
    }
}

impl PackedInstance {
    fn check(&self, slot: usize) -> Result<(), &'static str> {
        if self.name != self.coding.name(slot, &self.sop_instance) {
            return Err("an entry has another name");
        }
        let (mut raw, mut stored) = (0u64, 0u64);
        for piece in &self.pieces {
            if piece.raw == 0 || piece.raw > PIECE_MAX || piece.stored == 0 || piece.stored > piece.raw {
                return Err("a piece has an impossible length");
            }
            if self.coding == EntryCoding::Plain && piece.stored != piece.raw {
                return Err("a plain entry has a coded piece");
            }
            raw = raw.checked_add(piece.raw).ok_or("lengths overflow")?;
            stored = stored.checked_add(piece.stored).ok_or("lengths overflow")?;
        }
        if raw != self.file_len || stored != self.len {
            return Err("the pieces do not make up the file");
        }
        if u64::from(self.meta_len) > self.file_len || !self.frames.fit(self.file_len) {
            return Err("a frame does not lie in its file");
        }
        Ok(())
    }
}
