//! Checking a pack byte for byte: what scrubbing and reading back rely on.

use super::error::PackError;
use super::manifest::{DOCUMENT_NAME, MANIFEST_NAME, Manifest};
use super::piece::Pieces;
use super::reader::{Pack, parse_comment};
use super::zip::{self, ZipEntry};
use super::{COMMENT_LEN, comment, crc32};
use crate::ReadAt;

impl<S: ReadAt> Pack<S> {
    /// Reads every byte of the pack once and compares it with what the manifest says: CRC-32C of every piece, SHA-256 of
    /// every file, the digest made when it was received, and the bytes of the ZIP around them. Gives the length of the
    /// pack.
    ///
    /// # Errors
    /// The first fault found: [`PackError::Damaged`] with entry and place, or [`PackError::Read`].
    pub fn verify(&self) -> Result<u64, PackError> {
        for instance in self.manifest().instances() {
            let crc32 = Pieces::new(self.source(), instance, &(0..instance.file_len))?.check()?;
            let entry = ZipEntry { name: instance.name.clone(), data_at: instance.offset, len: instance.len, crc32 };
            self.around(&entry)?;
            if crc32 != instance.crc32 {
                return Err(PackError::damaged(&instance.name, instance.offset, "its CRC-32 differs"));
            }
        }
        self.series_json()?;
        let document = *self.manifest().series_json();
        let crc32 = self.crc32_of(document.offset, document.len)?;
        if crc32 != document.crc32 {
            return Err(PackError::damaged(DOCUMENT_NAME, document.offset, "its CRC-32 differs"));
        }
        self.around(&ZipEntry { name: DOCUMENT_NAME.into(), data_at: document.offset, len: document.len, crc32 })?;
        self.end()?;
        Ok(self.source().len())
    }

    /// The bytes in front of and behind an entry's data.
    fn around(&self, entry: &ZipEntry) -> Result<(), PackError> {
        let header = zip::local_header(&entry.name);
        let start = entry.data_at - header.len() as u64;
        self.same(&entry.name, start, &header, "its ZIP header differs")?;
        self.same(&entry.name, entry.data_at + entry.len, &zip::descriptor(entry), "its ZIP lengths differ")
    }

    /// The manifest's entry and everything behind it.
    fn end(&self) -> Result<(), PackError> {
        let damaged = |offset, what| PackError::damaged(MANIFEST_NAME, offset, what);
        let offset = self.manifest().manifest_at().ok_or(damaged(0, "lengths overflow"))?;
        let len = self.source().len();
        let tail = self.source().read_at(len.saturating_sub(zip::END_LEN + COMMENT_LEN as u64)..len);
        let Some((at, json_len, crc32c)) = parse_comment(&tail.map_err(PackError::Read)?)? else {
            return Err(PackError::damaged("directory", len, "the comment of a pack is missing"));
        };
        if at != offset || offset.checked_add(json_len).is_none_or(|end| end > len) {
            return Err(PackError::damaged("directory", len, "the comment tells of another manifest"));
        }
        let json = self.source().read_at(offset..offset + json_len).map_err(PackError::Read)?;
        if crc32c::crc32c(&json) != crc32c {
            return Err(damaged(offset, "its CRC-32C differs"));
        }
        if Manifest::parse(&json, offset)? != **self.manifest() {
            return Err(damaged(offset, "it is not the one that is known"));
        }
        let last =
            ZipEntry { name: MANIFEST_NAME.into(), data_at: offset, len: json_len, crc32: crc32::append(0, &json) };
        self.around(&last)?;
        let at = offset + last.len + zip::DESCRIPTOR_LEN;
        let comment = comment(self.manifest().version, offset, last.len, crc32c);
        let entries: Vec<ZipEntry> = self.manifest().entries().chain([last]).collect();
        let expected = zip::directory(&entries, at, &comment);
        if at + expected.len() as u64 != self.source().len() {
            return Err(PackError::damaged("directory", at, "the pack has another length"));
        }
        self.same("directory", at, &expected, "it is not that of these entries")
    }

    /// Whether the pack has these bytes here.
    fn same(&self, entry: &str, at: u64, expected: &[u8], what: &'static str) -> Result<(), PackError> {
        let end = at.saturating_add(expected.len() as u64);
        if end > self.source().len() {
            return Err(PackError::damaged(entry, at, "the pack ends before it"));
        }
        let found = self.source().read_at(at..end).map_err(PackError::Read)?;
        if found == expected {
            return Ok(());
        }
        let differs = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
        Err(PackError::damaged(entry, at + differs as u64, what))
    }

    fn crc32_of(&self, offset: u64, len: u64) -> Result<u32, PackError> {
        let bytes = self.source().read_at(offset..offset + len).map_err(PackError::Read)?;
        Ok(crc32::append(0, &bytes))
    }
}
