//! Meta information written and read.

use super::*;
use crate::fixture::{big, explicit, implicit, uid};

fn read(bytes: &[u8], size: usize, default: Option<&Uid>) -> Result<(Meta, Vec<u8>), ScanError> {
    let mut reader = Part10::new(default);
    for piece in bytes.chunks(size) {
        reader.feed(piece)?;
    }
    let meta = reader.finish()?.clone();
    Ok((meta, reader.into_bytes()))
}

fn data_set() -> Vec<u8> {
    explicit(0x0008_0018, b"UI", b"1.2.3\0")
}

fn ours() -> Vec<u8> {
    file_meta(&uid("1.2.840.10008.5.1.4.1.1.7"), &uid("1.2.3"), &uid(EXPLICIT_LE))
}

#[test]
fn what_is_written_is_read_and_never_changes() {
    assert_eq!(ours(), ours());
    let file = [ours(), data_set()].concat();
    for size in [1, 7, 4096] {
        let (meta, bytes) = read(&file, size, None).expect("ours");
        assert_eq!(usize::try_from(meta.len).expect("small"), ours().len());
        assert_eq!(meta.transfer_syntax, uid(EXPLICIT_LE));
        assert_eq!(meta.media_sop_class, Some(uid("1.2.840.10008.5.1.4.1.1.7")));
        assert_eq!(meta.media_sop_instance, Some(uid("1.2.3")));
        assert!(!meta.missing);
        assert_eq!(bytes, file);
    }
    let group_length = Coding::EXPLICIT.u32(ours().get(140..).expect("there"), 0);
    assert_eq!(usize::try_from(group_length).expect("small"), ours().len() - 144);
    assert!(uid(IMPLEMENTATION_CLASS_UID).is_conformant());
}

#[test]
fn a_wrong_group_length_does_not_matter() {
    for wrong in [0u8, 1, 255] {
        let mut file = [ours(), data_set()].concat();
        *file.get_mut(140).expect("group length") = wrong;
        assert_eq!(usize::try_from(read(&file, 50, None).expect("walked").0.len).expect("small"), ours().len());
    }
}

#[test]
fn preamble_and_prefix_may_be_missing() {
    for start in [128, 132] {
        let file = [ours().split_off(start), data_set()].concat();
        let (meta, _) = read(&file, 1, None).expect("read");
        assert_eq!(usize::try_from(meta.len).expect("small"), ours().len() - start);
        assert!(meta.missing);
    }
}

#[test]
fn without_meta_the_first_element_tells_the_syntax() {
    let jpeg = uid("1.2.840.10008.1.2.4.50");
    let cases = [
        (data_set(), None, EXPLICIT_LE),
        (implicit(0x0008_0018, b"1.2.3\0"), None, IMPLICIT_LE),
        (big(0x0008_0018, b"UI", b"1.2.3\0"), None, EXPLICIT_BE),
        (data_set(), Some(&jpeg), jpeg.as_str()),
        (implicit(0x0008_0018, b"1.2.3\0"), Some(&jpeg), IMPLICIT_LE),
    ];
    for (bytes, default, syntax) in cases {
        let (meta, _) = read(&bytes, 1, default).expect("told");
        assert_eq!((meta.len, meta.transfer_syntax.as_str(), meta.missing), (0, syntax, true));
    }
    let prefixed = [vec![0; 128], b"DICM".to_vec(), data_set()].concat();
    assert_eq!(read(&prefixed, 9, None).expect("told").0.len, 132);
}

#[test]
fn a_missing_transfer_syntax_is_told_from_the_data_set() {
    let mut file = vec![0; 128];
    file.extend_from_slice(b"DICM");
    file.extend(explicit(0x0002_0002, b"UI", b"1.2\0"));
    let len = file.len();
    file.extend(implicit(0x0008_0018, b"1.2.3\0"));
    for size in [1, 5000] {
        let (meta, _) = read(&file, size, None).expect("told");
        assert_eq!((usize::try_from(meta.len).expect("small"), meta.missing), (len, true));
        assert_eq!(meta.transfer_syntax.as_str(), IMPLICIT_LE);
    }
}

#[test]
fn what_is_no_file_is_an_error_and_nothing_grows_without_bound() {
    for bytes in [&b""[..], b"hello", &[0; 500], &[b'x'; 500]] {
        assert!(matches!(read(bytes, 3, None), Err(ScanError::Framing { .. })));
    }
    let file = ours();
    for cut in 133..file.len() - 8 {
        let result = read(file.get(..cut).expect("shorter"), 4096, None);
        match result {
            // Between two elements only the missing data set tells.
            Ok((meta, _)) => assert_eq!(usize::try_from(meta.len).expect("small"), cut),
            Err(error) => assert!(matches!(error, ScanError::Framing { .. }), "cut at {cut}: {error}"),
        }
    }
    let mut huge = vec![0; 128];
    huge.extend_from_slice(b"DICM\x02\x00\x01\x00OB\x00\x00\xFF\xFF\xFF\x7F");
    assert!(matches!(read(&huge, 64, None), Err(ScanError::Bound { limit: "META_LIMIT", .. })));
    let many = explicit(0x0002_0016, b"AE", &[b'A'; 16]).repeat(5000);
    let endless = [ours(), many].concat();
    assert!(matches!(read(&endless, 1024, None), Err(ScanError::Bound { limit: "META_LIMIT", .. })));
}
