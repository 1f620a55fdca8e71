//! Data sets for tests, element by element.

use crate::Vr;
use crate::scan::{Scanned, Scanner};
use crate::{Limits, ScanError};
use model::Uid;
use model::facility::CharsetHint;

/// An element in Explicit VR Little Endian.
pub(crate) fn explicit(tag: u32, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = tag_le(tag);
    bytes.extend_from_slice(vr);
    let len = u32::try_from(value.len()).expect("small");
    if Vr::new(*vr).is_long() {
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&len.to_le_bytes());
    } else {
        bytes.extend_from_slice(&u16::try_from(len).expect("short").to_le_bytes());
    }
    bytes.extend_from_slice(value);
    bytes
}

/// An element in Implicit VR Little Endian.
pub(crate) fn implicit(tag: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = tag_le(tag);
    bytes.extend_from_slice(&u32::try_from(value.len()).expect("small").to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// An element in Explicit VR Big Endian, its value as given.
pub(crate) fn big(tag: u32, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = tag.to_be_bytes().to_vec();
    bytes.extend_from_slice(vr);
    let len = u32::try_from(value.len()).expect("small");
    if Vr::new(*vr).is_long() {
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&len.to_be_bytes());
    } else {
        bytes.extend_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
    }
    bytes.extend_from_slice(value);
    bytes
}

pub(crate) fn tag_le(tag: u32) -> Vec<u8> {
    let [a, b, c, d] = tag.to_be_bytes();
    vec![b, a, d, c]
}

/// A header of undefined length.
pub(crate) fn undefined(tag: u32, vr: &[u8; 2]) -> Vec<u8> {
    let mut bytes = tag_le(tag);
    bytes.extend_from_slice(vr);
    bytes.extend_from_slice(&[0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    bytes
}

/// An item or fragment of defined length.
pub(crate) fn item(value: &[u8]) -> Vec<u8> {
    implicit(0xFFFE_E000, value)
}

pub(crate) const OPEN_ITEM: [u8; 8] = [0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF];
pub(crate) const ITEM_END: [u8; 8] = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0];
pub(crate) const SEQUENCE_END: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];

/// The elements without which nothing is stored, before and after group 0010.
pub(crate) fn class_and_instance() -> Vec<u8> {
    [explicit(0x0008_0016, b"UI", b"1.2.840.10008.5.1.4.1.1.7\0"), explicit(0x0008_0018, b"UI", b"1.2.3.4.5.6\0")]
        .concat()
}

pub(crate) fn study_and_series() -> Vec<u8> {
    [explicit(0x0020_000D, b"UI", b"1.2.3.4\0"), explicit(0x0020_000E, b"UI", b"1.2.3.4.5\0")].concat()
}

/// A whole data set around elements that lie between groups 0008 and 0020.
pub(crate) fn around(elements: &[u8]) -> Vec<u8> {
    [class_and_instance(), elements.to_vec(), study_and_series()].concat()
}

/// Rows, columns, bits and frames of an image.
pub(crate) fn image(rows: u16, columns: u16, bits: u16, frames: &str) -> Vec<u8> {
    [
        explicit(0x0028_0002, b"US", &[1, 0]),
        explicit(0x0028_0008, b"IS", frames.as_bytes()),
        explicit(0x0028_0010, b"US", &rows.to_le_bytes()),
        explicit(0x0028_0011, b"US", &columns.to_le_bytes()),
        explicit(0x0028_0100, b"US", &bits.to_le_bytes()),
    ]
    .concat()
}

pub(crate) fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a UID")
}

/// Scans in one piece with the given limits.
pub(crate) fn scan_with(syntax: &str, bytes: &[u8], limits: Limits) -> Result<Scanned, ScanError> {
    let mut scanner = Scanner::new(&uid(syntax), CharsetHint::Auto, limits);
    scanner.feed(bytes)?;
    scanner.finish()
}

pub(crate) fn scan(syntax: &str, bytes: &[u8]) -> Result<Scanned, ScanError> {
    scan_with(syntax, bytes, Limits::default())
}
