//! Compression with loss, where a request names it: what is never compressed so, and how the answer says what it is.
//!
//! A compressed version is an image of its own (PS3.3 C.7.6.1.1.5): its Image Type is DERIVED, it has a SOP Instance UID
//! of its own, the same one whenever the same image is asked for in the same transfer syntax, and it names the image it
//! comes from. Method and ratio stand behind those of earlier losses.

use super::is_lossy;
use crate::decode::Image;
use codec::Target;
use dataset::Vr;
use dataset::pixels::PixelFormat;
use dataset::transcode::splice::{self, Change, Changes};
use index::InstanceRow;
use model::attribute::key;
use model::{AttrKey, Uid};
use sha2::{Digest as _, Sha256};

/// Classes whose pixels are measured or marked: real world values, segments, dose (PS3.4 Annex B.5).
const MEASURED: [&str; 4] = [
    "1.2.840.10008.5.1.4.1.1.30",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.481.2",
];

/// Every transfer syntax that loses something and objects are given in where it is named.
#[must_use]
pub fn offered_lossy() -> Vec<&'static str> {
    Target::LOSSY.map(Target::uid).to_vec()
}

/// Whether a transfer syntax is one of them.
#[must_use]
pub fn loses_when_made(transfer_syntax: &str) -> bool {
    Target::of(transfer_syntax).is_some_and(Target::loses)
}

/// Why an image is not compressed with loss in a transfer syntax, as far as its row tells; nothing where it may be, and
/// where the transfer syntax loses nothing or is the stored one.
#[must_use]
pub fn refusal(row: &InstanceRow, wanted: &str) -> Option<String> {
    let stored = row.transfer_syntax.as_str();
    let target = Target::of(wanted).filter(|target| target.loses() && wanted != stored)?;
    if is_lossy(stored) {
        return Some(format!(
            "what is stored in {stored} may have lost something, and is not compressed with loss again"
        ));
    }
    if MEASURED.contains(&row.sop_class.as_str()) {
        return Some("pixels that are measured or marked, not looked at, are not compressed with loss".into());
    }
    let text = |key: AttrKey| row.attributes.get(&key).map(|text| text.trim());
    let number = |key: AttrKey| text(key).and_then(|text| text.parse::<u16>().ok());
    if text(key::PHOTOMETRIC_INTERPRETATION) == Some("PALETTE COLOR") {
        return Some("places in a palette are not compressed with loss".into());
    }
    let odd = number(key::BITS_STORED).filter(|stored| !(8..=16).contains(stored));
    if let Some(stored) = odd {
        return Some(format!("samples of {stored} bits are not compressed with loss"));
    }
    let wide = [key::BITS_ALLOCATED, key::BITS_STORED].into_iter().filter_map(number).find(|bits| *bits != 8);
    wide.filter(|_| target == Target::JpegBaseline).map(|bits| {
        let other = Target::Jpeg2000Lossy.uid();
        format!("JPEG Baseline holds samples of 8 bits, the image has {bits}: {other} and the lossless ones hold them")
    })
}

/// The SOP Instance UID that an instance has in a transfer syntax: its own, but for one that loses something
/// (PS3.5 Annex B.2).
#[must_use]
pub fn instance_in(row: &InstanceRow, transfer_syntax: &str) -> Uid {
    let own = || row.sop_instance.clone();
    if transfer_syntax == row.transfer_syntax.as_str() || !loses_when_made(transfer_syntax) {
        return own();
    }
    let mut digest = Sha256::new();
    digest.update(row.digest.0);
    digest.update(transfer_syntax);
    let number = digest.finalize().iter().take(16).fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    // A UUID of version 8 (RFC 9562).
    let number = number & !(0xF << 76) & !(0b11 << 62) | 8 << 76 | 0b10 << 62;
    Uid::parse(&format!("2.25.{number}")).unwrap_or_else(|_| own())
}

/// Bytes of a frame in uncompressed cells for each byte of it compressed, in decimals.
pub(super) fn ratio(format: &PixelFormat, cell: u8, compressed: usize) -> String {
    let bits = [u64::from(format.rows), u64::from(format.columns), u64::from(format.samples), u64::from(cell)];
    let bytes = bits.into_iter().fold(1u64, u64::saturating_mul) / 8;
    let hundredths = bytes.saturating_mul(100) / u64::try_from(compressed).unwrap_or(u64::MAX).max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Name of a target for people, and its defined term (PS3.3 C.7.6.1.1.5.1).
fn method(target: Target) -> (&'static str, &'static str) {
    match target {
        Target::JpegLsNear => ("JPEG-LS near-lossless", "ISO_14495_1"),
        Target::Jpeg2000Lossy => ("JPEG 2000 irreversible", "ISO_15444_1"),
        _ => ("JPEG Baseline", "ISO_10918_1"),
    }
}

/// The attributes of an image that was compressed with loss, at a ratio.
pub(super) fn labels(image: &Image, target: Target, ratio: &str) -> Changes {
    let (row, own) = (&image.row, |tag: u32| image.description.text(tag));
    let (name, term) = method(target);
    let kind = own(0x0008_0008).and_then(|kind| kind.split_once('\\').map(|(_, rest)| rest.to_owned()));
    let behind = |tag: u32, value: &str| match own(tag) {
        Some(before) => format!("{before}\\{value}"),
        None => value.to_owned(),
    };
    let text = |text: &str| even(text, b' ');
    let uid = |uid: &Uid| even(uid.as_str(), 0);
    let purpose = code("121320", "Uncompressed predecessor");
    let source = splice::item(&[
        (0x0008_1150, Vr::UI, uid(&row.sop_class)),
        (0x0008_1155, Vr::UI, uid(&row.sop_instance)),
        (0x0040_A170, Vr::SQ, purpose),
    ]);
    let said = format!("Compressed with loss: {name}, about {ratio}:1");
    Changes::from([
        (0x0008_0008, Change::Set(Vr::CS, text(&format!("DERIVED\\{}", kind.as_deref().unwrap_or("SECONDARY"))))),
        (0x0008_0018, Change::Set(Vr::UI, uid(&instance_in(row, target.uid())))),
        (0x0008_2111, Change::Fill(Vr::ST, text(&said))),
        (0x0008_2112, Change::Prepend(source)),
        (0x0008_9215, Change::Prepend(code("113040", "Lossy Compression"))),
        // The smallest and the largest value may be others now.
        (0x0028_0106, Change::Remove),
        (0x0028_0107, Change::Remove),
        (0x0028_2110, Change::Set(Vr::CS, text("01"))),
        (0x0028_2112, Change::Set(Vr::DS, text(&behind(0x0028_2112, ratio)))),
        (0x0028_2114, Change::Set(Vr::CS, text(&behind(0x0028_2114, term)))),
    ])
}

/// An item that is a code of the standard's own.
fn code(value: &str, meaning: &str) -> Vec<u8> {
    splice::item(&[
        (0x0008_0100, Vr::SH, even(value, b' ')),
        (0x0008_0102, Vr::SH, even("DCM", b' ')),
        (0x0008_0104, Vr::LO, even(meaning, b' ')),
    ])
}

fn even(text: &str, padding: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(padding);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::pixels::Photometric;

    #[test]
    fn a_ratio_is_that_of_whole_cells() {
        let format = PixelFormat {
            rows: 100,
            columns: 50,
            samples: 1,
            allocated: 16,
            stored: 12,
            high: 11,
            signed: false,
            planar: false,
            photometric: Photometric::Monochrome2,
        };
        assert_eq!(ratio(&format, 16, 1186), "8.43");
        assert_eq!(ratio(&format, 8, 5000), "1.00");
        assert_eq!(ratio(&format, 8, 0), "5000.00");
    }
}
