//! What the coding promises: any bytes, under any claim, come back bit for bit; damage is an error.

use super::*;

const SEED: u64 = 0x5EED_C0DE;

/// Rows of something like an image: smooth, with noise.
fn image(random: &mut fastrand::Rng, len: usize, bytes: usize, columns: usize) -> Vec<u8> {
    let noise = random.u64(1..64);
    let mut out = Vec::with_capacity(len + 4);
    let mut number = 0u64;
    while out.len() < len {
        let (row, column) = (number / columns.max(1) as u64, number % columns.max(1) as u64);
        let value = row * 3 + column * 2 + random.u64(0..noise);
        out.extend_from_slice(&value.to_le_bytes()[..bytes]);
        number += 1;
    }
    out.truncate(len);
    out
}

fn back(coder: &mut Coder, decoder: &mut Decoder, raw: &[u8], layout: Option<&PixelLayout>) -> bool {
    let Some(coded) = coder.encode(raw, layout) else { return false };
    assert!(coded.len() < raw.len());
    let mut out = vec![7];
    decoder.decode(coded, raw.len(), &mut out).expect("decodes");
    assert_eq!(out.first(), Some(&7), "what was there before stays");
    assert!(out[1..] == *raw, "{} bytes differ under {layout:?}", raw.len());
    true
}

#[test]
fn any_bytes_under_any_layout_come_back() {
    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut coder, mut decoder) = (Coder::new().expect("coder"), Decoder::new().expect("decoder"));
    let mut coded = 0;
    for round in 0..3_000 {
        let layout = PixelLayout {
            bits_allocated: *random.choice(&[0, 1, 8, 8, 12, 16, 16, 16, 32, 64, u16::MAX]).expect("one"),
            samples: *random.choice(&[0, 1, 1, 1, 2, 3, 3, 4, 5, u16::MAX]).expect("one"),
            columns: *random.choice(&[0, 1, 2, 3, 7, 8, 9, 10, 17, 64, 100, 333, u32::MAX]).expect("one"),
            big_endian: random.bool(),
        };
        let len = match random.u8(0..4) {
            0 => random.usize(0..40),
            1 => random.usize(0..3_000),
            _ => random.usize(0..40_000),
        };
        let raw: Vec<u8> = match random.u8(0..4) {
            0 => (0..len).map(|_| random.u8(..)).collect(),
            1 => vec![random.u8(..); len],
            _ => {
                let (bytes, columns) = (random.usize(1..5), random.usize(1..400));
                image(&mut random, len, bytes, columns)
            }
        };
        let layout = random.u8(0..10).ne(&0).then_some(layout);
        coded += usize::from(back(&mut coder, &mut decoder, &raw, layout.as_ref()));
        assert!(round < 100 || coded > round / 4, "seed {SEED}: hardly anything is coded");
    }
}

#[test]
fn every_predictor_width_and_channel_count_is_undone() {
    let mut random = fastrand::Rng::with_seed(SEED + 1);
    let mut rooms = sample::Rooms::default();
    for columns in [1, 2, 7, 8, 9, 10, 16, 31] {
        for (bytes, channels) in [(1, 1), (2, 1), (4, 1), (1, 3), (2, 3), (4, 4), (1, 2)] {
            for rows in [1, 2, 8, 9, 10, 17, 30] {
                let shape = Shape { bytes, big_endian: random.bool(), channels, columns };
                let len = shape.row_bytes().expect("a row") * rows + random.usize(0..2);
                let raw: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
                for predictor in [Predictor::Nothing].into_iter().chain(Predictor::ALL) {
                    let filter = Filter { predictor, differences: channels == 3 && random.bool() };
                    let (mut filtered, mut out) = (Vec::new(), Vec::new());
                    filter::apply(&raw, &shape, filter, &mut rooms, &mut filtered).expect("fits");
                    assert_eq!(filtered.len(), raw.len());
                    assert_eq!(parse(header(&shape, filter)[1..].try_into().expect("7")), Some((shape, filter)));
                    filter::undo(&filtered, &shape, filter, &mut rooms, &mut out).expect("fits");
                    assert!(out == raw, "{shape:?} {filter:?} {rows} rows");
                }
            }
        }
    }
}

/// Everything that is poured, in parts as they came.
fn poured(coded: &[u8], len: usize) -> Result<Vec<Vec<u8>>, CodingError> {
    let mut parts = Vec::new();
    pour(coded, len, &mut |part| {
        parts.push(part.to_vec());
        true
    })?;
    Ok(parts)
}

#[test]
fn what_is_poured_is_what_was_coded_and_grey_rows_come_one_after_the_other() {
    let mut random = fastrand::Rng::with_seed(SEED + 4);
    let mut coder = Coder::new().expect("coder");
    let mut streamed = 0;
    for round in 0..400 {
        let layout = PixelLayout {
            bits_allocated: *random.choice(&[8, 16, 16, 32]).expect("one"),
            samples: *random.choice(&[1, 1, 1, 3]).expect("one"),
            columns: *random.choice(&[1, 2, 7, 8, 9, 17, 100, 333]).expect("one"),
            big_endian: random.bool(),
        };
        let len = random.usize(1..60_000);
        let columns = usize::try_from(layout.columns).expect("small");
        let raw = image(&mut random, len, usize::from(layout.bits_allocated / 8), columns);
        let known = random.u8(0..10).ne(&0).then_some(&layout);
        let Some(coded) = coder.encode(&raw, known).map(<[u8]>::to_vec) else { continue };
        let parts = poured(&coded, raw.len()).expect("decodes");
        assert!(parts.concat() == raw, "round {round}, seed {SEED}: {layout:?}");
        streamed += usize::from(parts.len() > 2);
        let mut first = 0;
        pour(&coded, raw.len(), &mut |part| {
            first += part.len();
            false
        })
        .expect("nobody wants more");
        assert_eq!(first, parts.first().map_or(0, Vec::len), "it ends with the part that was enough");
    }
    assert!(streamed > 50, "{streamed} left in parts");
}

#[test]
fn damage_ends_what_is_poured_with_an_error_or_the_right_number_of_bytes() {
    let mut random = fastrand::Rng::with_seed(SEED + 5);
    let raw = image(&mut random, 20_000, 2, 100);
    let layout = PixelLayout { bits_allocated: 16, samples: 1, columns: 100, big_endian: false };
    let good = Coder::new().expect("coder").encode(&raw, Some(&layout)).expect("coded").to_vec();
    let mut refused = 0;
    for _ in 0..1_000 {
        let mut coded = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..coded.len().min(40));
            coded[at] = random.u8(..);
        }
        coded.truncate(random.usize(0..coded.len() * 2).min(coded.len()));
        match poured(&coded, raw.len()) {
            Ok(parts) => assert_eq!(parts.concat().len(), raw.len()),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 500, "{refused} refused");
    for wrong in [0, raw.len() - 1, raw.len() + 1, raw.len() - 200, raw.len() + 200] {
        assert!(poured(&good, wrong).is_err(), "{wrong} bytes");
    }
    assert!(poured(&[good.as_slice(), b"more"].concat(), raw.len()).is_err(), "something follows");
}

#[test]
fn smooth_pixels_become_much_smaller_than_zstd_makes_them() {
    let mut random = fastrand::Rng::with_seed(SEED + 2);
    let raw = image(&mut random, 512 * 512 * 2, 2, 512);
    let layout = PixelLayout { bits_allocated: 16, samples: 1, columns: 512, big_endian: false };
    let mut coder = Coder::new().expect("coder");
    let ours = coder.encode(&raw, Some(&layout)).expect("smaller").len();
    let plain = zstd::bulk::compress(&raw, 3).expect("zstd").len();
    assert!(ours * 5 < plain * 4, "{ours} bytes, zstd alone {plain}");
}

#[test]
fn damaged_bytes_are_refused_or_give_the_right_number_of_bytes_and_never_panic() {
    let mut random = fastrand::Rng::with_seed(SEED + 3);
    let (mut coder, mut decoder) = (Coder::new().expect("coder"), Decoder::new().expect("decoder"));
    let raw = image(&mut random, 20_000, 2, 100);
    let layout = PixelLayout { bits_allocated: 16, samples: 1, columns: 100, big_endian: false };
    let good = coder.encode(&raw, Some(&layout)).expect("coded").to_vec();
    let mut refused = 0;
    for _ in 0..2_000 {
        let mut coded = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..coded.len().min(40));
            coded[at] = random.u8(..);
        }
        coded.truncate(random.usize(0..coded.len() * 2).min(coded.len()));
        let len = if random.bool() { raw.len() } else { random.usize(0..30_000) };
        let mut out = vec![1, 2, 3];
        match decoder.decode(&coded, len, &mut out) {
            Ok(()) => assert_eq!(out.len(), 3 + len),
            Err(_) => {
                refused += 1;
                assert_eq!(out, [1, 2, 3], "seed {SEED}");
            }
        }
    }
    assert!(refused > 1_000, "{refused} refused");
    for wrong in [0, raw.len() - 1, raw.len() + 1] {
        assert!(decoder.decode(&good, wrong, &mut Vec::new()).is_err(), "{wrong} bytes");
    }
    assert_eq!(decoder.decode(&[9, 0], 1, &mut Vec::new()), Err(CodingError::Unknown(9)));
    assert!(decoder.decode(&[], 0, &mut Vec::new()).is_err());
}
