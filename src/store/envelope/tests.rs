//! The envelope opens to what was sealed, at any range, and to nothing after any change.

use super::*;
use crate::ReadAt;
use sha2::{Digest, Sha256};
use std::io::Write;

const PACK: PackId = PackId::new([7; 16]);

fn key() -> DataKey {
    DataKey::new([42; 32])
}

fn drawn(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    bytes
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn seal(plain: &[u8], header: &Header) -> (Vec<u8>, Sealing) {
    let mut writer = SealWriter::new(Vec::new(), &key(), header).expect("begun");
    // In pieces that fit no chunk.
    for piece in plain.chunks(40_001) {
        writer.write_all(piece).expect("written");
    }
    writer.finish().expect("finished")
}

/// Lengths around the ends of chunks.
fn lengths() -> Vec<usize> {
    let chunk = CHUNK_BYTES as usize;
    vec![0, 1, 15, 16, 17, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1, 5 * chunk + 7]
}

#[test]
fn what_was_sealed_opens_at_any_range() {
    for len in lengths() {
        let plain = drawn(len as u64, len);
        let header = Header::draw(PACK).expect("drawn");
        let (sealed, sealing) = seal(&plain, &header);
        sealing.check().expect("lengths fit");
        assert_eq!(sealing.plain_len, len as u64);
        assert_eq!(sealing.plain_digest, sha256(&plain));
        assert_eq!((sealing.sealed_len, sealing.sealed_digest), (sealed.len() as u64, sha256(&sealed)));
        assert_eq!(plain_len(sealing.sealed_len).expect("a length"), len as u64);

        let opened = OpenedPack::open(sealed, PACK, &key()).expect("opened");
        assert_eq!(opened.len(), len as u64);
        assert!(opened.read_at(0..len as u64).expect("whole") == plain, "{len}");
        let mut random = fastrand::Rng::with_seed(len as u64);
        for _ in 0..200 {
            let (a, b) = (random.usize(0..=len), random.usize(0..=len));
            let (start, end) = (a.min(b), a.max(b));
            let got = opened.read_at(start as u64..end as u64).expect("range");
            assert!(Some(got.as_slice()) == plain.get(start..end), "{len}: {start}..{end}");
        }
        assert!(opened.read_at(0..len as u64 + 1).is_err());
    }
}

#[test]
fn sealing_while_reading_gives_the_same_bytes_as_writing() {
    for len in lengths() {
        let plain = drawn(len as u64, len);
        let digest = sha256(&plain);
        let (written, _) = seal(&plain, &Header::of_plain(PACK, &key(), &digest));
        let view = SealedPack::new(plain, PACK, &key(), &digest).expect("sealed");
        assert_eq!(view.len(), written.len() as u64);
        assert!(view.read_at(0..view.len()).expect("whole") == written, "{len}");
        let mut random = fastrand::Rng::with_seed(len as u64);
        for _ in 0..100 {
            let (a, b) = (random.usize(0..=written.len()), random.usize(0..=written.len()));
            let (start, end) = (a.min(b), a.max(b));
            let got = view.read_at(start as u64..end as u64).expect("range");
            assert!(Some(got.as_slice()) == written.get(start..end), "{len}: {start}..{end}");
        }
    }
}

#[test]
fn other_bytes_under_the_same_name_and_key_share_no_key_stream() {
    let (one, two) = (vec![0; 1_000], vec![1; 1_000]);
    let seal = |plain: &Vec<u8>| {
        let view = SealedPack::new(plain.clone(), PACK, &key(), &sha256(plain)).expect("sealed");
        view.read_at(HEADER_BYTES..view.len() - TAG_BYTES).expect("body")
    };
    let (one, two) = (seal(&one), seal(&two));
    let differing = one.iter().zip(&two).filter(|(a, b)| *a ^ *b != 1).count();
    assert!(differing > 900, "the same key stream shows through: {differing}");
}

#[test]
fn any_changed_bit_is_found() {
    let plain = drawn(1, 3 * CHUNK_BYTES as usize + 100);
    let (sealed, _) = seal(&plain, &Header::draw(PACK).expect("drawn"));
    let mut random = fastrand::Rng::with_seed(9);
    for case in 0..400 {
        let mut changed = sealed.clone();
        // The header more often than its share.
        let place = if case % 4 == 0 { random.usize(0..64) } else { random.usize(0..sealed.len()) };
        let bit = 1 << random.u8(0..8);
        *changed.get_mut(place).expect("inside") ^= bit;
        let opened = OpenedPack::open(changed, PACK, &key());
        let read = opened.map_err(StoreError::into_io).and_then(|opened| opened.read_at(0..opened.len()));
        assert!(read.is_err(), "bit {bit} of byte {place} went unseen");
    }
}

#[test]
fn chunks_cut_swapped_repeated_or_from_another_pack_do_not_open() {
    let chunk = SEALED_CHUNK_BYTES as usize;
    let plain = drawn(1, 4 * CHUNK_BYTES as usize);
    let header = Header::draw(PACK).expect("drawn");
    let (sealed, _) = seal(&plain, &header);
    let (head, body) = sealed.split_at(64);
    let chunks: Vec<&[u8]> = body.chunks(chunk).collect();
    let build = |order: &[usize]| {
        let parts = order.iter().map(|number| *chunks.get(*number).expect("chunk"));
        head.iter().chain(parts.flatten()).copied().collect::<Vec<u8>>()
    };
    assert!(build(&[0, 1, 2, 3]) == sealed);
    for order in [&[0, 1, 2][..], &[1, 2, 3], &[0, 2, 1, 3], &[0, 1, 1, 3], &[0, 1, 2, 3, 3], &[3]] {
        let opened = OpenedPack::open(build(order), PACK, &key()).expect("its header is good");
        assert!(opened.read_at(0..opened.len()).is_err(), "{order:?} opened");
    }
    // Another pack under the same key, and the same pack sealed with another salt.
    let (other, _) = seal(&plain, &Header::draw(PACK).expect("drawn"));
    let mixed: Vec<u8> = sealed.iter().take(64 + chunk).chain(other.iter().skip(64 + chunk)).copied().collect();
    let opened = OpenedPack::open(mixed, PACK, &key()).expect("its header is good");
    opened.read_at(0..100).expect("the first chunk is the pack's own");
    assert!(opened.read_at(0..opened.len()).is_err(), "chunks of two sealings mixed");
    assert!(OpenedPack::open(sealed.clone(), PackId::new([8; 16]), &key()).is_err(), "another pack's name");
    let wrong = OpenedPack::open(sealed, PACK, &DataKey::new([43; 32])).expect("its header is good");
    assert!(wrong.read_at(0..1).is_err(), "another key");
}

#[test]
fn no_other_length_is_an_envelope() {
    for plain in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 1 << 40] {
        assert_eq!(plain_len(sealed_len(plain).expect("length")).expect("length"), plain);
    }
    for sealed in [0, 63, 64, 79, 64 + SEALED_CHUNK_BYTES + 1, 64 + SEALED_CHUNK_BYTES + 16] {
        assert!(plain_len(sealed).is_err(), "{sealed}");
    }
    assert_eq!(sealed_len(u64::MAX), None);
    for version in [8, 12, 13] {
        let mut bytes = Header::draw(PACK).expect("drawn").bytes();
        *bytes.get_mut(version).expect("inside") += 1;
        assert!(Header::parse(&bytes).is_err(), "a newer header at byte {version}");
    }
}

/// Bytes of an envelope that was written once and must open for ever.
#[test]
fn the_form_stays() {
    let plain = b"The form of an envelope stays what it is.".to_vec();
    let digest = sha256(&plain);
    let view = SealedPack::new(plain, PACK, &key(), &digest).expect("sealed");
    let bytes = view.read_at(0..view.len()).expect("whole");
    let digest: String = sha256(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, FORM);
}

const FORM: &str = "9e1281034987bb84f2c2a74677639b04d4d27f5f1326a315225a2ecc73c97c9e";
