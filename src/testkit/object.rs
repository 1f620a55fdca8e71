//! A Part 10 file in memory, as a sender holds it.
//!
//! Reads no more than a sender must know: the file meta information, and the identifying UIDs of the data set.
//! It trusts its input; the archive's own reader is another one.

use std::io::Read;

/// Transfer syntaxes a reader must tell apart.
pub mod syntax {
    /// Implicit VR Little Endian.
    pub const IMPLICIT: &str = "1.2.840.10008.1.2";
    /// Explicit VR Little Endian.
    pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    /// Explicit VR Big Endian.
    pub const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
    /// Deflated Explicit VR Little Endian.
    pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
    /// JPEG Baseline.
    pub const JPEG: &str = "1.2.840.10008.1.2.4.50";
}

/// One SOP instance with the UIDs its data set names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// SOP Class UID.
    pub sop_class: String,
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Study Instance UID.
    pub study: String,
    /// Series Instance UID.
    pub series: String,
    /// Transfer syntax of the data set.
    pub transfer_syntax: String,
    /// The whole Part 10 file.
    pub file: Vec<u8>,
    /// Where the data set begins in `file`.
    pub data_set_at: usize,
}

/// Why bytes are no object a sender could send.
#[derive(Debug, thiserror::Error)]
#[error("not a readable Part 10 file: {0}")]
pub struct NotReadable(pub &'static str);

impl Object {
    /// Reads a Part 10 file; UIDs come from the data set, whatever the file meta says.
    pub fn from_file(file: Vec<u8>) -> Result<Self, NotReadable> {
        let (transfer_syntax, data_set_at) = read_meta(&file)?;
        let stored = file.get(data_set_at..).unwrap_or_default();
        let mut inflated = Vec::new();
        let data_set = if transfer_syntax == syntax::DEFLATED {
            // Some writers put a zlib header in front, against PS3.5 section A.5.
            let _ = match stored {
                [0x78, 0x01 | 0x5E | 0x9C | 0xDA, ..] => {
                    flate2::read::ZlibDecoder::new(stored).read_to_end(&mut inflated)
                }
                _ => flate2::read::DeflateDecoder::new(stored).read_to_end(&mut inflated),
            };
            inflated.as_slice()
        } else {
            stored
        };
        let mut object = Self {
            sop_class: String::new(),
            sop_instance: String::new(),
            study: String::new(),
            series: String::new(),
            transfer_syntax,
            file: Vec::new(),
            data_set_at,
        };
        read_uids(data_set, &mut object);
        object.file = file;
        Ok(object)
    }

    /// The data set's bytes as stored.
    pub fn data_set(&self) -> &[u8] {
        self.file.get(self.data_set_at..).unwrap_or_default()
    }

    /// Whether every UID an archive must know was found.
    pub fn is_identified(&self) -> bool {
        [&self.sop_class, &self.sop_instance, &self.study, &self.series].iter().all(|uid| !uid.is_empty())
    }
}

/// Transfer syntax and start of the data set. Files without preamble are taken when they begin with a group
/// 0002 or 0008: old software writes such.
fn read_meta(file: &[u8]) -> Result<(String, usize), NotReadable> {
    let at = match (file.get(128..132), file.first()) {
        (Some(b"DICM"), _) => 132,
        (_, Some(2)) => 0,
        (_, Some(8)) => return Ok((syntax::IMPLICIT.into(), 0)),
        _ => return Err(NotReadable("no DICM at byte 128")),
    };
    let mut cursor = Cursor { bytes: file, at, big: false, implicit: false };
    let mut transfer_syntax = String::new();
    loop {
        let start = cursor.at;
        let Some(element) = cursor.next().filter(|element| element.tag >> 16 == 2) else {
            cursor.at = start;
            break;
        };
        if element.tag == 0x0002_0010 {
            transfer_syntax = uid_text(element.value);
        }
    }
    if transfer_syntax.is_empty() {
        return Err(NotReadable("no transfer syntax in the file meta information"));
    }
    Ok((transfer_syntax, cursor.at))
}

fn uid_text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}

fn read_uids(data_set: &[u8], object: &mut Object) {
    let big = object.transfer_syntax == syntax::BIG_ENDIAN;
    let implicit = object.transfer_syntax == syntax::IMPLICIT;
    let mut cursor = Cursor { bytes: data_set, at: 0, big, implicit };
    while let Some(element) = cursor.next() {
        let slot = match element.tag {
            0x0008_0016 => &mut object.sop_class,
            0x0008_0018 => &mut object.sop_instance,
            0x0020_000D => &mut object.study,
            0x0020_000E => &mut object.series,
            tag if tag > 0x0020_000E => break,
            _ => continue,
        };
        *slot = uid_text(element.value);
    }
}

struct Element<'a> {
    tag: u32,
    value: &'a [u8],
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
    implicit: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let value = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(value)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn tag(&mut self) -> Option<u32> {
        Some(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// The next element at this level; sequences of undefined length are walked over.
    fn next(&mut self) -> Option<Element<'a>> {
        let tag = self.tag()?;
        let len = self.length(tag)?;
        if len == u32::MAX {
            self.skip_items()?;
            return Some(Element { tag, value: &[] });
        }
        let value = self.take(usize::try_from(len).ok()?)?;
        Some(Element { tag, value })
    }

    fn length(&mut self, tag: u32) -> Option<u32> {
        if self.implicit || tag >> 16 == 0xFFFE {
            return self.u32();
        }
        let vr = self.take(2)?;
        let long: [&[u8]; 13] =
            [b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UN", b"UT", b"UC", b"UR", b"SV", b"UV"];
        if !long.contains(&vr) {
            return self.u16().map(u32::from);
        }
        self.take(2)?;
        self.u32()
    }

    /// Walks to the end of an undefined length, however deep: every undefined item or sequence opens a level,
    /// every delimiter closes one.
    fn skip_items(&mut self) -> Option<()> {
        let mut open = 1usize;
        while open > 0 {
            let tag = self.tag()?;
            let len = self.length(tag)?;
            match tag {
                0xFFFE_E00D | 0xFFFE_E0DD => open -= 1,
                _ if len == u32::MAX => open += 1,
                _ => drop(self.take(usize::try_from(len).ok()?)?),
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{DataSet, file_meta};

    #[test]
    fn uids_come_from_the_data_set_behind_undefined_sequences() {
        let mut data = DataSet::new();
        data.text(0x0008_0016, "UI", "1.2.3").text(0x0008_0018, "UI", "1.2.3.4");
        data.sequence(0x0008_1140, |item| {
            item.text(0x0008_1155, "UI", "9.9").sequence(0x0008_1199, |inner| {
                inner.text(0x0020_000D, "UI", "6.6.6");
            });
        });
        data.text(0x0020_000D, "UI", "1.5").text(0x0020_000E, "UI", "1.6");
        let mut file = file_meta("1.2.3", "wrong", syntax::EXPLICIT);
        let head = file.len();
        file.extend_from_slice(&data.into_bytes());
        let object = Object::from_file(file).expect("readable");
        assert_eq!(
            (object.sop_instance.as_str(), object.study.as_str(), object.series.as_str()),
            ("1.2.3.4", "1.5", "1.6")
        );
        assert_eq!(object.data_set_at, head);
        assert!(object.is_identified());
    }

    #[test]
    fn a_file_without_meta_is_named_unreadable() {
        assert!(Object::from_file(vec![0; 200]).is_err());
    }
}
