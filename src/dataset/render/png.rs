//! PNG (ISO/IEC 15948) of 8 bits, grey or RGB, with a profile: four kinds of chunks and one filter.
//!
//! Written here because the usual crate brings two more deflate implementations into the program.
//! It reads nothing.

use super::Picture;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::{self, Write};

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n'];
/// Filter type of every row: each byte less the one above it (section 9.2).
const UP: u8 = 2;

/// The file of a picture.
pub(super) fn write(picture: &Picture) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(picture.bytes.len() / 2 + 1024);
    out.extend_from_slice(&SIGNATURE);
    let [width, height] = [picture.width, picture.height].map(u32::to_be_bytes);
    let kind = if picture.colour { 2 } else { 0 };
    chunk(b"IHDR", &[&width[..], &height[..], &[8, kind, 0, 0, 0]].concat(), &mut out)?;
    if let Some(profile) = &picture.profile {
        chunk(b"iCCP", &[&b"ICC\0\0"[..], &deflated(|encoder| encoder.write_all(profile))?].concat(), &mut out)?;
    }
    chunk(b"IDAT", &deflated(|encoder| rows(picture, encoder))?, &mut out)?;
    chunk(b"IEND", &[], &mut out)?;
    Ok(out)
}

fn rows(picture: &Picture, encoder: &mut impl Write) -> io::Result<()> {
    let row = picture.row_bytes();
    let mut above = vec![0; row];
    let mut line = Vec::with_capacity(row + 1);
    for bytes in picture.bytes.chunks_exact(row) {
        line.clear();
        line.push(UP);
        line.extend(bytes.iter().zip(&above).map(|(byte, above)| byte.wrapping_sub(*above)));
        encoder.write_all(&line)?;
        above.copy_from_slice(bytes);
    }
    Ok(())
}

fn deflated(fill: impl FnOnce(&mut ZlibEncoder<Vec<u8>>) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(3));
    fill(&mut encoder)?;
    encoder.finish()
}

/// Length, name, bytes and checksum (section 5.3).
fn chunk(name: &[u8; 4], bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= i32::MAX.unsigned_abs());
    let length = length.ok_or_else(|| io::Error::other("the picture is too large for a PNG file"))?;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(name);
    checksum.update(bytes);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(bytes);
    out.extend_from_slice(&checksum.finalize().to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn bytes_of(picture: &Picture, name: &[u8; 4]) -> Vec<u8> {
        let file = write(picture).expect("a file");
        let mut rest = &file[SIGNATURE.len()..];
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().expect("four")) as usize;
            let (body, sum) = (&rest[4..8 + length], &rest[8 + length..12 + length]);
            assert_eq!(crc32fast::hash(body).to_be_bytes(), sum);
            if &body[..4] == name {
                return body[4..].to_vec();
            }
            rest = &rest[12 + length..];
        }
        panic!("no such chunk");
    }

    fn inflated(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out).expect("deflated");
        out
    }

    #[test]
    fn pixels_and_profile_come_back() {
        let bytes = vec![1, 2, 3, 4, 5, 6, 255, 0, 9, 9, 9, 9];
        let picture = Picture { width: 2, height: 2, colour: true, bytes, profile: Some(vec![7; 40]) };
        assert_eq!(bytes_of(&picture, b"IHDR"), [0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0]);
        assert_eq!(inflated(&bytes_of(&picture, b"IDAT")), [2, 1, 2, 3, 4, 5, 6, 2, 254, 254, 6, 5, 4, 3]);
        let profile = bytes_of(&picture, b"iCCP");
        assert_eq!((&profile[..5], inflated(&profile[5..])), (&b"ICC\0\0"[..], vec![7; 40]));
        let grey = Picture { width: 3, height: 1, colour: false, bytes: vec![9, 8, 7], profile: None };
        assert_eq!(inflated(&bytes_of(&grey, b"IDAT")), [2, 9, 8, 7]);
    }
}
