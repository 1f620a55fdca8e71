//! A ZIP64 file written while it is read: entries stored, opened one after the other, nothing held in memory but
//! the list of names (APPNOTE.TXT of PKWARE, 6.3).
//!
//! Sizes and checksums stand behind each entry, because they are only known once its bytes went by. It opens no
//! file itself and knows nothing of DICOM.

use std::collections::VecDeque;
use std::io::{self, Read};

/// What an entry is read from.
pub type Source = Box<dyn Read + Send>;
type Open = Box<dyn FnOnce() -> io::Result<Source> + Send>;

/// Longest name of an entry in bytes.
const NAME_MAX: usize = 512;
/// Version that can read ZIP64 entries.
const VERSION: [u8; 2] = 45u16.to_le_bytes();
/// Sizes behind the entry, names in UTF-8.
const FLAGS: [u8; 2] = 0x0808u16.to_le_bytes();
/// 1 January 1980, the first date a ZIP file can name: entries carry no time of their own.
const DATE: [u8; 4] = [0, 0, 0x21, 0];
const FULL: [u8; 4] = [0xFF; 4];
/// Fixed bytes around one entry: local header, its extra field, descriptor, central header, its extra field.
const AROUND: u64 = 30 + 20 + 24 + 46 + 28;
/// Bytes at the end: ZIP64 end record, its locator, end record.
const END: u64 = 56 + 20 + 22;

struct Entry {
    name: String,
    open: Open,
}

/// An entry that went out.
struct Written {
    name: String,
    crc: u32,
    length: u64,
    at: u64,
}

enum Stage {
    /// The next entry, or the end.
    Next,
    /// Bytes of an entry.
    Body { name: String, source: Source, crc: crc32fast::Hasher, length: u64, at: u64 },
    /// Everything is written but what waits.
    Over,
}

/// A ZIP file to be read.
pub struct Zip {
    entries: VecDeque<Entry>,
    length: Option<u64>,
    written: Vec<Written>,
    stage: Stage,
    waiting: io::Cursor<Vec<u8>>,
    position: u64,
}

impl Default for Zip {
    fn default() -> Self {
        Self::new()
    }
}

impl Zip {
    /// A file without entries.
    pub fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            length: Some(END),
            written: Vec::new(),
            stage: Stage::Next,
            waiting: io::Cursor::new(Vec::new()),
            position: 0,
        }
    }

    /// Adds an entry; `length` in bytes where it is known before. A name beyond 512 bytes is cut.
    pub fn add(&mut self, name: &str, length: Option<u64>, open: impl FnOnce() -> io::Result<Source> + Send + 'static) {
        let name: String = name.char_indices().take_while(|(at, _)| *at < NAME_MAX).map(|(_, letter)| letter).collect();
        let around = u64::try_from(name.len()).unwrap_or(0).saturating_mul(2).saturating_add(AROUND);
        self.length = self.length.zip(length).map(|(sum, more)| sum.saturating_add(more).saturating_add(around));
        self.entries.push_back(Entry { name, open: Box::new(open) });
    }

    /// Bytes of the whole file, where every entry's length is known.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Entries that went out whole.
    pub fn written(&self) -> usize {
        self.written.len()
    }

    fn begin(&mut self, entry: Entry) -> io::Result<()> {
        let name_len = u16::try_from(entry.name.len()).map_err(io::Error::other)?;
        let mut head = b"PK\x03\x04".to_vec();
        for field in [VERSION.as_slice(), &FLAGS, &[0, 0], &DATE, &[0; 4], &FULL, &FULL, &name_len.to_le_bytes()] {
            head.extend_from_slice(field);
        }
        head.extend_from_slice(&20u16.to_le_bytes());
        head.extend_from_slice(entry.name.as_bytes());
        head.extend_from_slice(&[1, 0, 16, 0]);
        head.extend_from_slice(&[0; 16]);
        let source = (entry.open)()?;
        self.stage =
            Stage::Body { name: entry.name, source, crc: crc32fast::Hasher::new(), length: 0, at: self.position };
        self.waiting = io::Cursor::new(head);
        Ok(())
    }

    fn finish_entry(&mut self, done: Written) {
        let mut descriptor = b"PK\x07\x08".to_vec();
        descriptor.extend_from_slice(&done.crc.to_le_bytes());
        descriptor.extend_from_slice(&done.length.to_le_bytes());
        descriptor.extend_from_slice(&done.length.to_le_bytes());
        self.waiting = io::Cursor::new(descriptor);
        self.written.push(done);
        self.stage = Stage::Next;
    }

    fn directory(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for entry in &self.written {
            let name_len = u16::try_from(entry.name.len()).unwrap_or(0).to_le_bytes();
            out.extend_from_slice(b"PK\x01\x02");
            let crc = entry.crc.to_le_bytes();
            for field in [VERSION.as_slice(), &VERSION, &FLAGS, &[0, 0], &DATE, &crc, &FULL, &FULL, &name_len] {
                out.extend_from_slice(field);
            }
            out.extend_from_slice(&28u16.to_le_bytes());
            // No comment, first disk, no attributes; the place stands in the extra field.
            out.extend_from_slice(&[0; 10]);
            out.extend_from_slice(&FULL);
            out.extend_from_slice(entry.name.as_bytes());
            out.extend_from_slice(&[1, 0, 24, 0]);
            for number in [entry.length, entry.length, entry.at] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let size = u64::try_from(out.len()).unwrap_or(u64::MAX);
        let count = u64::try_from(self.written.len()).unwrap_or(u64::MAX);
        let end = self.position.saturating_add(size);
        out.extend_from_slice(b"PK\x06\x06");
        out.extend_from_slice(&44u64.to_le_bytes());
        out.extend_from_slice(&VERSION);
        out.extend_from_slice(&VERSION);
        out.extend_from_slice(&[0; 8]);
        for number in [count, count, size, self.position] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(b"PK\x06\x07");
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&end.to_le_bytes());
        out.extend_from_slice(&1u32.to_le_bytes());
        out.extend_from_slice(b"PK\x05\x06");
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[0xFF; 12]);
        out.extend_from_slice(&[0; 2]);
        out
    }
}

impl Read for Zip {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut count = self.waiting.read(out)?;
            if count == 0 && !out.is_empty() {
                match std::mem::replace(&mut self.stage, Stage::Over) {
                    Stage::Over => return Ok(0),
                    Stage::Next => match self.entries.pop_front() {
                        Some(entry) => self.begin(entry)?,
                        None => self.waiting = io::Cursor::new(self.directory()),
                    },
                    Stage::Body { name, mut source, mut crc, length, at } => {
                        count = source.read(out)?;
                        if count == 0 {
                            self.finish_entry(Written { name, crc: crc.finalize(), length, at });
                        } else {
                            crc.update(out.get(..count).unwrap_or_default());
                            let length = length.saturating_add(u64::try_from(count).unwrap_or(0));
                            self.stage = Stage::Body { name, source, crc, length, at };
                        }
                    }
                }
            }
            if count > 0 || out.is_empty() {
                self.position = self.position.saturating_add(u64::try_from(count).unwrap_or(0));
                return Ok(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(entries: &[(&str, &'static [u8])]) -> (Vec<u8>, Option<u64>) {
        let mut zip = Zip::new();
        for (name, content) in entries {
            let (content, length) = (*content, u64::try_from(content.len()).ok());
            zip.add(name, length, move || Ok(Box::new(content)));
        }
        let (length, mut out) = (zip.length(), Vec::new());
        zip.read_to_end(&mut out).expect("memory");
        (out, length)
    }

    #[test]
    fn the_length_is_told_before_and_the_places_are_true() {
        let (out, length) = bytes(&[("A/1.dcm", b"first"), ("A/2.dcm", b""), ("ả.txt", b"third")]);
        assert_eq!(length, u64::try_from(out.len()).ok());
        let at = |needle: &[u8]| memchr::memmem::find(&out, needle).expect("there");
        // Every central header's place, read back, points at a local header with the same name.
        for (name, content) in [("A/1.dcm", &b"first"[..]), ("A/2.dcm", b""), ("ả.txt", b"third")] {
            let central = memchr::memmem::rfind(&out, name.as_bytes()).expect("named twice");
            let place = central + name.len() + 4 + 16;
            let place = u64::from_le_bytes(out.get(place..place + 8).expect("inside").try_into().expect("eight"));
            let local = out.get(usize::try_from(place).expect("small")..).expect("inside");
            assert!(local.starts_with(b"PK\x03\x04"));
            let body = local.get(30 + name.len() + 20..).expect("inside");
            assert!(local.get(30..).expect("a name").starts_with(name.as_bytes()) && body.starts_with(content));
        }
        assert!(at(b"PK\x06\x06") < at(b"PK\x05\x06"));
    }

    #[test]
    fn an_entry_that_fails_is_no_end() {
        let mut zip = Zip::new();
        zip.add("a", None, || Err(io::Error::other("damaged")));
        assert_eq!(zip.length(), None);
        assert!(zip.read_to_end(&mut Vec::new()).is_err());
    }
}
