//! ZIP files as writers write them, in pieces of every size, and damaged ones.

use super::*;
use std::io::{Read as _, Write as _};

/// What is read: name, bytes, whether the checksum is right.
type Read = Vec<(String, Vec<u8>, bool)>;

fn read(file: &[u8], piece: usize) -> Result<Read, ZipError> {
    let (mut zip, mut found): (_, Read) = (Unzip::default(), Vec::new());
    for bytes in file.chunks(piece) {
        zip.feed(bytes);
        loop {
            match zip.next_event()? {
                Event::Start(name) => found.push((name, Vec::new(), false)),
                Event::Data(data) => found.last_mut().expect("begun").1.extend_from_slice(&data),
                Event::End(right) => found.last_mut().expect("begun").2 = right,
                Event::Closed | Event::Hungry => break,
            }
        }
    }
    zip.finish()?;
    Ok(found)
}

/// An entry with its sizes in front, deflated or stored, and no directory entry: readers stop at the end record.
fn entry(name: &str, bytes: &[u8], deflate: bool, behind: bool) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(bytes);
    let packed = if deflate {
        let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(bytes).expect("memory");
        writer.finish().expect("memory")
    } else {
        bytes.to_vec()
    };
    let number = |length: usize| u32::try_from(length).expect("small").to_le_bytes();
    let sizes = [crc.sum().to_le_bytes(), number(packed.len()), number(bytes.len())].concat();
    let mut out = b"PK\x03\x04\x14\0".to_vec();
    out.extend([if behind { 8 } else { 0 }, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0]);
    out.extend(if behind { vec![0; 12] } else { sizes.clone() });
    out.extend([u8::try_from(name.len()).expect("short"), 0, 0, 0]);
    out.extend_from_slice(name.as_bytes());
    out.extend(packed);
    if behind {
        out.extend_from_slice(DESCRIPTOR_BYTES);
        out.extend(sizes);
    }
    out
}

fn end() -> Vec<u8> {
    [b"PK\x05\x06".as_slice(), &[0; 18]].concat()
}

#[test]
fn every_kind_of_entry_is_read_in_pieces_of_every_size() {
    let noise: Vec<u8> = (0..5_000).map(|_| fastrand::u8(..)).collect();
    let tricky = [b"PK\x07\x08".as_slice(), &noise, b"PK\x07\x08PK\x07"].concat();
    let mut file = Vec::new();
    for (deflate, behind) in [(false, false), (true, false), (false, true), (true, true)] {
        for bytes in [tricky.as_slice(), b""] {
            file.extend(entry("a/b.dcm", bytes, deflate, behind));
        }
    }
    file.extend(end());
    for piece in [1, 3, 23, 24, 1_000, file.len()] {
        let found = read(&file, piece).expect("readable");
        assert_eq!(found.len(), 8, "{piece}");
        for (number, (name, bytes, right)) in found.into_iter().enumerate() {
            assert_eq!((name.as_str(), right), ("a/b.dcm", true), "{piece} {number}");
            assert!(bytes == if number % 2 == 0 { tricky.as_slice() } else { b"" }, "{piece} {number}");
        }
    }
}

#[test]
fn our_own_zip_files_are_read() {
    let mut zip = archive::zip::Zip::new();
    let big = vec![7u8; 300_000];
    let copy = big.clone();
    zip.add("one", None, move || Ok(Box::new(std::io::Cursor::new(copy))));
    zip.add("two", Some(3), || Ok(Box::new(&b"abc"[..])));
    let mut file = Vec::new();
    zip.read_to_end(&mut file).expect("memory");
    let found = read(&file, 4_096).expect("readable");
    assert_eq!(found, [("one".to_owned(), big, true), ("two".to_owned(), b"abc".to_vec(), true)]);
}

#[test]
fn what_cannot_be_read_has_its_reason() {
    assert_eq!(read(b"no ZIP at all", 4), Err(ZipError::Damaged));
    let good = [entry("x", b"abcdef", true, false), end()].concat();
    assert_eq!(read(&good[..good.len() - 22], 9), Err(ZipError::Cut));
    let mut encrypted = good.clone();
    encrypted[6] = 1;
    assert_eq!(read(&encrypted, 9), Err(ZipError::Encrypted));
    let mut other = good.clone();
    other[8] = 12;
    assert_eq!(read(&other, 9), Err(ZipError::Method));
    let mut wrong = [entry("x", b"abcdef", false, false), end()].concat();
    wrong[31] ^= 1;
    assert!(!read(&wrong, 9).expect("readable")[0].2, "its checksum is wrong");
    let bomb = [entry("x", &vec![0; 300 << 20], true, false), end()].concat();
    assert_eq!(read(&bomb, 4_096), Err(ZipError::Bomb));
}

#[test]
fn damaged_files_end_and_never_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let noise: Vec<u8> = (0..500).map(|_| rng.u8(b'a'..b'h')).collect();
    let good = [entry("x", &noise, true, true), entry("y", &noise, false, true), end()].concat();
    for _ in 0..5_000 {
        let mut file = good.clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..file.len());
            file[at] = rng.u8(..);
        }
        file.truncate(rng.usize(..=file.len()));
        if let Ok(found) = read(&file, rng.usize(1..100)) {
            assert!(found.len() <= 50);
        }
    }
}
