//! Re-encoding: equal values, bounded memory, errors passed on.

use super::*;
use crate::fixture::*;
use crate::syntax::{DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};

fn transcode(syntax: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    explicit_le(&mut &bytes[..], &uid(syntax), &mut out).expect("transcodes");
    out
}

#[test]
fn implicit_becomes_explicit() {
    let bytes = [
        implicit(0x0008_0000, &[4, 0, 0, 0]),
        implicit(0x0008_0060, b"CT"),
        implicit(0x0008_1140, &item(&implicit(0x0008_1155, b"1.2\0"))),
        implicit(0x0009_1001, &[1, 2]),
        implicit(0x0010_2000, &[b'x'; 70_000]),
        implicit(0x0028_0103, &[1, 0]),
        implicit(0x0028_0106, &[0xFE, 0xFF]),
        implicit(0x7FE0_0010, &[1, 2, 3, 4]),
    ]
    .concat();
    let expected = [
        explicit(0x0008_0060, b"CS", b"CT"),
        undefined(0x0008_1140, b"SQ"),
        OPEN_ITEM.to_vec(),
        explicit(0x0008_1155, b"UI", b"1.2\0"),
        ITEM_END.to_vec(),
        SEQUENCE_END.to_vec(),
        explicit(0x0009_1001, b"UN", &[1, 2]),
        // Too long for the 16-bit length of LO.
        explicit(0x0010_2000, b"UN", &[b'x'; 70_000]),
        explicit(0x0028_0103, b"US", &[1, 0]),
        explicit(0x0028_0106, b"SS", &[0xFE, 0xFF]),
        explicit(0x7FE0_0010, b"OW", &[1, 2, 3, 4]),
    ]
    .concat();
    assert!(transcode(IMPLICIT_LE, &bytes) == expected);
}

#[test]
fn explicit_becomes_implicit_and_the_way_there_and_back_changes_nothing() {
    let bytes = [
        explicit(0x0008_0060, b"CS", b"CT"),
        undefined(0x0008_1140, b"SQ"),
        OPEN_ITEM.to_vec(),
        explicit(0x0008_1155, b"UI", b"1.2\0"),
        ITEM_END.to_vec(),
        SEQUENCE_END.to_vec(),
        explicit(0x0028_0103, b"US", &[1, 0]),
        explicit(0x0028_0106, b"SS", &[0xFE, 0xFF]),
        explicit(0x7FE0_0010, b"OW", &[1, 2, 3, 4]),
    ]
    .concat();
    let mut there = Vec::new();
    implicit_le(&mut Dribble(&bytes, 0), &uid(EXPLICIT_LE), &mut there).expect("transcodes");
    assert!(there.starts_with(&implicit(0x0008_0060, b"CT")));
    assert!(there.ends_with(&implicit(0x7FE0_0010, &[1, 2, 3, 4])));
    assert!(transcode(IMPLICIT_LE, &there) == bytes);
}

/// Gives one byte, then three, and so on, so that numbers are cut.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1 % 5 + 2;
        let len = (self.1 - 1).min(buffer.len()).min(self.0.len());
        let (now, later) = self.0.split_at(len);
        buffer.get_mut(..len).expect("room").copy_from_slice(now);
        self.0 = later;
        Ok(len)
    }
}

#[test]
fn big_endian_numbers_are_swapped_by_their_vr_however_they_are_cut() {
    let bytes = [
        big(0x0008_0060, b"CS", b"CT"),
        big(0x0020_9165, b"AT", &[0, 0x10, 0, 0x20]),
        big(0x0028_0010, b"US", &[1, 2, 3, 4]),
        big(0x0028_9001, b"UL", &[1, 2, 3, 4]),
        big(0x0018_9073, b"FD", &[1, 2, 3, 4, 5, 6, 7, 8]),
        big(0x0009_1001, b"OB", &[1, 2, 3, 4]),
        big(0x0009_1002, b"OV", &[1, 2, 3, 4, 5, 6, 7, 8]),
        big(0x7FE0_0010, b"OW", &[1, 2, 3, 4, 5]),
    ]
    .concat();
    let expected = [
        explicit(0x0008_0060, b"CS", b"CT"),
        explicit(0x0020_9165, b"AT", &[0x10, 0, 0x20, 0]),
        explicit(0x0028_0010, b"US", &[2, 1, 4, 3]),
        explicit(0x0028_9001, b"UL", &[4, 3, 2, 1]),
        explicit(0x0018_9073, b"FD", &[8, 7, 6, 5, 4, 3, 2, 1]),
        explicit(0x0009_1001, b"OB", &[1, 2, 3, 4]),
        explicit(0x0009_1002, b"OV", &[8, 7, 6, 5, 4, 3, 2, 1]),
        explicit(0x7FE0_0010, b"OW", &[2, 1, 4, 3, 5]),
    ]
    .concat();
    assert_eq!(transcode(EXPLICIT_BE, &bytes), expected);
    let mut out = Vec::new();
    explicit_le(&mut Dribble(&bytes, 0), &uid(EXPLICIT_BE), &mut out).expect("transcodes");
    assert_eq!(out, expected);
    let mut words = [1, 2, 3, 4, 5];
    swap_words(&mut words, 2);
    assert_eq!(words, [2, 1, 4, 3, 5]);
}

#[test]
fn explicit_data_sets_pass_unchanged_and_deflated_ones_inflated() {
    let bytes = around(&explicit(0x0010_0010, b"PN", b"A^B "));
    assert_eq!(transcode(EXPLICIT_LE, &bytes), bytes);
    let mut deflated = Vec::with_capacity(4096);
    let mut stream = flate2::Compress::new(flate2::Compression::default(), false);
    stream.compress_vec(&bytes, &mut deflated, flate2::FlushCompress::Finish).expect("deflates");
    assert_eq!(transcode(DEFLATED_LE, &deflated), bytes);
    let needed =
        [IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE, EXPLICIT_LE, "1.2.840.10008.1.2.4.50"].map(|ts| is_needed(&uid(ts)));
    assert_eq!(needed, [true, true, true, false, false]);
}

/// Takes nothing.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("full"))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn errors_say_whose_they_are() {
    let bytes = implicit(0x0008_0060, b"CT");
    for syntax in [IMPLICIT_LE, EXPLICIT_LE] {
        let result = explicit_le(&mut &bytes[..], &uid(syntax), &mut Full);
        assert!(matches!(result, Err(TranscodeError::Write(_))), "{result:?}");
    }
    let cut = bytes.get(..9).expect("shorter");
    let result = explicit_le(&mut &cut[..], &uid(IMPLICIT_LE), &mut Vec::new());
    assert!(matches!(result, Err(TranscodeError::Data(_))), "{result:?}");
}
