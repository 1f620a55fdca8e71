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

#[test]
fn the_reader_converts_as_the_writers_do_however_it_is_read() {
    let elements = [
        big(0x0008_0060, b"CS", b"CT"),
        big(0x0028_0010, b"US", &[1, 2, 3, 4]),
        big(0x0010_4000, b"LT", &[b'x'; 300]),
        big(0x7FE0_0010, b"OW", &[1, 2, 3, 4, 5, 6]),
    ]
    .concat();
    for implicit in [false, true] {
        let mut written = Vec::new();
        let from = uid(EXPLICIT_BE);
        match implicit {
            true => implicit_le(&mut elements.as_slice(), &from, &mut written).expect("transcodes"),
            false => explicit_le(&mut elements.as_slice(), &from, &mut written).expect("transcodes"),
        }
        let mut read = Vec::new();
        let mut reader = Recoding::new(Dribble(&elements, 0), &from, implicit);
        let mut small = [0; 7];
        loop {
            match reader.read(&mut small).expect("transcodes") {
                0 => break,
                len => read.extend_from_slice(small.get(..len).expect("inside")),
            }
        }
        assert_eq!(read, written);
        let cut = elements.get(..elements.len() - 1).expect("long");
        assert!(Recoding::new(cut, &from, implicit).read_to_end(&mut Vec::new()).is_err(), "a cut looked whole");
    }
}

#[test]
fn what_is_deflated_inflates_to_the_same_bytes() {
    let mut rng = fastrand::Rng::with_seed(4);
    for len in [0usize, 1, 300, 70_000, 1_000_003] {
        let noise = |at: usize, rng: &mut fastrand::Rng| if at.is_multiple_of(3) { rng.u8(..) } else { 7 };
        let bytes: Vec<u8> = (0..len).map(|at| noise(at, &mut rng)).collect();
        let mut deflated = Vec::new();
        Deflating::new(bytes.as_slice()).read_to_end(&mut deflated).expect("deflates");
        assert_eq!(deflated.len() % 2, 0, "a data set is of even length");
        assert!(len < 1000 || deflated.len() < bytes.len());
        let mut again = Vec::new();
        inflate(&mut deflated.as_slice(), &mut again).expect("inflates");
        assert!(again == bytes, "{len}");
    }
}

#[test]
fn a_head_is_copied_but_for_what_changes() {
    use splice::{Change, Changes, head};
    let nested = |value: &[u8]| [undefined(0x0088_0200, b"SQ"), OPEN_ITEM.to_vec(), value.to_vec()].concat();
    let close = [ITEM_END, SEQUENCE_END].concat();
    let icon = [nested(&undefined(0x7FE0_0010, b"OB")), item(b""), item(b"ab"), SEQUENCE_END.to_vec(), close].concat();
    let mut private = icon.clone();
    private.splice(..4, [0xA3, 0x07, 0xCE, 0x10]);
    let before = [
        explicit(0x0008_0000, b"UL", &[8, 0, 0, 0]),
        explicit(0x0008_0060, b"CS", b"CT"),
        explicit(0x0028_0004, b"CS", b"RGB "),
        explicit(0x0028_2110, b"CS", b""),
        explicit(0x0028_2114, b"CS", b"A "),
        icon,
        private,
        explicit(0x7FE0_0001, b"OV", &[0; 8]),
    ]
    .concat();
    let set = |text: &[u8]| Change::Set(crate::Vr::CS, text.to_vec());
    let fill = |text: &[u8]| Change::Fill(crate::Vr::CS, text.to_vec());
    let changes = Changes::from([
        (0x0028_0004, set(b"YBR_RCT ")),
        (0x0028_0006, Change::Set(crate::Vr::US, vec![0, 0])),
        (0x0028_2110, fill(b"01")),
        (0x0028_2114, fill(b"B ")),
        (0x7FE0_0001, Change::Remove),
        (0x7FE0_0002, Change::Remove),
    ]);
    let expected = [
        explicit(0x0008_0060, b"CS", b"CT"),
        explicit(0x0028_0004, b"CS", b"YBR_RCT "),
        explicit(0x0028_0006, b"US", &[0, 0]),
        explicit(0x0028_2110, b"CS", b"01"),
        explicit(0x0028_2114, b"CS", b"A "),
    ]
    .concat();
    assert_eq!(head(&before, &uid(EXPLICIT_LE), &changes, false).expect("spliced"), expected);
    let implicit_head = head(&before, &uid(EXPLICIT_LE), &changes, true).expect("spliced");
    assert!(implicit_head.starts_with(&implicit(0x0008_0060, b"CT")));
    assert_eq!(head(&implicit_head, &uid(IMPLICIT_LE), &Changes::new(), false).expect("back"), expected);
    let elsewhere =
        [undefined(0x0040_0555, b"SQ"), OPEN_ITEM.to_vec(), undefined(0x7FE0_0010, b"OB"), item(b"")].concat();
    let elsewhere = [elsewhere, SEQUENCE_END.to_vec(), ITEM_END.to_vec(), SEQUENCE_END.to_vec()].concat();
    let refused = head(&elsewhere, &uid(EXPLICIT_LE), &changes, false);
    assert_eq!(refused, Err(splice::SpliceError::Nested), "pixels of no form in another syntax");
}

#[test]
fn an_item_comes_first_in_a_sequence_whether_it_was_there_or_not() {
    use splice::{Change, Changes, head};
    let (tag, old) = (0x0008_2112, item(&explicit(0x0008_1155, b"UI", b"1.2\0")));
    let new = splice::item(&[(0x0008_1155, crate::Vr::UI, b"3.4\0".to_vec())]);
    assert_eq!(new, item(&explicit(0x0008_1155, b"UI", b"3.4\0")));
    let changes = Changes::from([(tag, Change::Prepend(new.clone()))]);
    let around =
        |own: &[u8]| [explicit(0x0008_0060, b"CS", b"CT"), own.to_vec(), explicit(0x0010_0020, b"LO", b"P1")].concat();
    let spliced = |own: &[u8]| head(&around(own), &uid(EXPLICIT_LE), &changes, false).expect("spliced");
    let both = [new.clone(), old.clone()].concat();
    assert_eq!(spliced(&[]), around(&explicit(tag, b"SQ", &new)), "it was not there");
    assert_eq!(spliced(&explicit(tag, b"SQ", &[])), around(&explicit(tag, b"SQ", &new)), "it was empty");
    assert_eq!(spliced(&explicit(tag, b"SQ", &old)), around(&explicit(tag, b"SQ", &both)), "of defined length");
    let open = |items: &[u8]| [undefined(tag, b"SQ"), items.to_vec(), SEQUENCE_END.to_vec()].concat();
    assert_eq!(spliced(&open(&old)), around(&open(&both)), "of undefined length");
    assert_eq!(spliced(&explicit(tag, b"UN", &old)), around(&explicit(tag, b"SQ", &new)), "of unknown form");
}

#[test]
fn heads_that_are_no_heads_are_refused_and_never_panic() {
    let mut rng = fastrand::Rng::with_seed(11);
    let nested = [undefined(0x0088_0200, b"SQ"), OPEN_ITEM.to_vec(), explicit(0x0028_0010, b"US", &[1, 0])].concat();
    let sound = [
        explicit(0x0008_0060, b"CS", b"CT"),
        explicit(0x0028_0004, b"CS", b"RGB "),
        nested,
        ITEM_END.to_vec(),
        SEQUENCE_END.to_vec(),
    ]
    .concat();
    let changes = splice::Changes::from([(0x0028_0004, splice::Change::Set(crate::Vr::CS, b"YBR_FULL".to_vec()))]);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            *bytes.get_mut(at).expect("inside") = rng.u8(..);
        }
        bytes.truncate(rng.usize(..=bytes.len()));
        for syntax in [EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE] {
            let implicit = rng.bool();
            refused += usize::from(splice::head(&bytes, &uid(syntax), &changes, implicit).is_err());
            refused += usize::from(splice::tail(&bytes, &uid(syntax), 1000, implicit).is_err());
        }
    }
    assert!(refused > 1000, "only {refused} of them were refused");
}
