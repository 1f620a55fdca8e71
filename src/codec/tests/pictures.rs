//! Finished pictures: strips that were encoded apart are one image, the same as its decoder sees it.

use crate::cells::Values;
use crate::ffi::jpeg;
use crate::picture::Jpeg;

fn pixels(width: u32, height: u32, samples: u32) -> Vec<u8> {
    let at = |row: u32, column: u32, sample: u32| (row * 7 + column * 3 + sample * 40 + (row / 9) * (column / 5)) % 256;
    let row = |row: u32| (0..width).flat_map(move |column| (0..samples).map(move |sample| at(row, column, sample)));
    (0..height).flat_map(row).map(|value| u8::try_from(value).expect("a byte")).collect()
}

fn image(jpeg: &Jpeg, pixels: &[u8], width: u32, samples: u32, profile: Option<&[u8]>) -> Vec<u8> {
    let row = usize::try_from(width * samples).expect("small");
    let place = |row_number: u32| usize::try_from(row_number).expect("small") * row;
    let strips: Vec<Vec<u8>> = jpeg
        .strips()
        .into_iter()
        .map(|rows| jpeg.strip(&pixels[place(rows.start)..place(rows.end)]).expect("a strip"))
        .collect();
    jpeg.join(&strips, profile).expect("an image")
}

#[test]
fn strips_are_one_image_that_is_near_its_pixels() {
    for (width, height, colour, quality) in [
        (40, 30, false, 95),
        (77, 128, false, 95),
        (300, 1_500, false, 95),
        (50, 300, true, 95),
        (33_000, 70, false, 95),
        (40, 390, true, 60),
    ] {
        let samples = if colour { 3 } else { 1 };
        let original = pixels(width, height, samples);
        let jpeg = Jpeg::new(width, height, colour, quality).expect("a picture");
        let written = image(&jpeg, &original, width, samples, None);
        let header = jpeg::header(&written).expect("a header");
        assert_eq!((header.rows, header.columns, header.components), (height, width, samples));
        let Values::Eight(decoded) = jpeg::decode(&written, &header).expect("an image") else { panic!("bytes") };
        if !colour {
            let worst = original.iter().zip(&decoded).map(|(one, other)| one.abs_diff(*other)).max();
            let sum: u32 = original.iter().zip(&decoded).map(|(one, other)| u32::from(one.abs_diff(*other))).sum();
            let mean = sum / u32::try_from(original.len()).expect("small");
            assert!(mean <= 6, "{width} × {height}: {worst:?} {mean}");
        }
    }
}

#[test]
fn a_profile_lies_in_numbered_segments() {
    let jpeg = Jpeg::new(16, 300, true, 90).expect("a picture");
    let profile = vec![9; 70_000];
    let written = image(&jpeg, &pixels(16, 300, 3), 16, 3, Some(&profile));
    let found: Vec<&[u8]> = written.windows(14).filter(|bytes| bytes.starts_with(b"ICC_PROFILE\0")).collect();
    assert_eq!(found.iter().map(|bytes| (bytes[12], bytes[13])).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    jpeg::header(&written).expect("a header");
}

#[test]
fn what_is_no_picture_is_refused() {
    for (width, height) in [(0, 5), (5, 0), (70_000, 1)] {
        assert!(Jpeg::new(width, height, false, 90).is_err());
    }
    let jpeg = Jpeg::new(16, 200, false, 90).expect("a picture");
    assert!(jpeg.strip(&[0; 15]).is_err());
    let strip = jpeg.strip(&[0; 16 * 128]).expect("a strip");
    assert!(jpeg.join(std::slice::from_ref(&strip), None).is_err(), "one of two strips");
    assert!(jpeg.join(&[strip, Vec::new()], None).is_err());
}
