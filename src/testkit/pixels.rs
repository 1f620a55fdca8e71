//! Pixels with anatomy-like structure and noise, so that compression and scanning meet what they meet in life.
//!
//! Not medical: ellipses with tissue values, smooth variation and Gaussian-like noise.

use fastrand::Rng;

/// Roughly Gaussian with standard deviation 4.
fn noise(rng: &mut Rng) -> i32 {
    i32::try_from(rng.u64(..).count_ones()).unwrap_or(32) - 32
}

fn inside(x: f32, y: f32, centre: (f32, f32), radius: (f32, f32)) -> f32 {
    let (dx, dy) = ((x - centre.0) / radius.0, (y - centre.1) / radius.1);
    dx * dx + dy * dy
}

fn push(out: &mut Vec<u8>, value: i32) {
    let value = i16::try_from(value.clamp(-32_768, 32_767)).unwrap_or(0);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A slice through a chest in Hounsfield units, 16 bit signed; `z` from 0 to 1 moves through the body.
pub fn ct(rng: &mut Rng, size: u16, z: f32) -> Vec<u8> {
    let mut out = Vec::with_capacity(usize::from(size) * usize::from(size) * 2);
    let scale = 2.0 / f32::from(size);
    for row in 0..size {
        for column in 0..size {
            let (x, y) = (f32::from(column) * scale - 1.0, f32::from(row) * scale - 1.0);
            let body = inside(x, y, (0.0, 0.0), (0.85, 0.62));
            let mut value = -1000;
            if body < 1.0 {
                value = if body > 0.93 { -90 } else { 45 };
                let lung = 0.30 + 0.12 * z;
                if inside(x, y, (-0.4, -0.05), (lung, 0.42)).min(inside(x, y, (0.4, -0.05), (lung, 0.42))) < 1.0 {
                    value = -830;
                }
                if inside(x, y, (0.08, 0.0), (0.22, 0.25)) < 1.0 {
                    value = 55;
                }
                if inside(x, y, (0.0, 0.42), (0.12, 0.12)) < 1.0 {
                    value = 420;
                }
            }
            let grain = if value == -1000 { 1 } else { 4 };
            push(&mut out, value + noise(rng) * grain);
        }
    }
    out
}

/// A slice through a head, 12 bit in 16.
pub fn mr(rng: &mut Rng, size: u16, z: f32) -> Vec<u8> {
    let mut out = Vec::with_capacity(usize::from(size) * usize::from(size) * 2);
    let scale = 2.0 / f32::from(size);
    for row in 0..size {
        for column in 0..size {
            let (x, y) = (f32::from(column) * scale - 1.0, f32::from(row) * scale - 1.0);
            let skull = inside(x, y, (0.0, 0.0), (0.7, 0.85 - 0.2 * z));
            let fold = (x * 23.0 + (y * 17.0 + z * 6.0).sin() * 2.0).sin();
            let tissue = match skull {
                s if s > 1.0 => 12.0,
                s if s > 0.9 => 900.0,
                s if s > 0.8 => 120.0,
                _ => 560.0 + 140.0 * fold,
            };
            push(&mut out, rounded(tissue) + noise(rng) * 3);
        }
    }
    for pair in out.chunks_exact_mut(2) {
        if let [low, high] = pair
            && *high >= 0x80
        {
            (*low, *high) = (0, 0);
        }
    }
    out
}

/// A chest radiograph, 14 bit in 16.
pub fn dx(rng: &mut Rng, rows: u16, columns: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(usize::from(rows) * usize::from(columns) * 2);
    for row in 0..rows {
        let y = f32::from(row) / f32::from(rows) * 2.0 - 1.0;
        let rib = (y * 31.0).sin() * 260.0;
        for column in 0..columns {
            let x = f32::from(column) / f32::from(columns) * 2.0 - 1.0;
            let lung = inside(x, y, (-0.42, -0.1), (0.33, 0.62)).min(inside(x, y, (0.42, -0.1), (0.33, 0.62)));
            let base = if lung < 1.0 { 9_200.0 + rib } else { 4_800.0 + 900.0 * x * x };
            push(&mut out, rounded(base - 700.0 * y) + noise(rng) * 9);
        }
    }
    out
}

/// One frame of a fan-shaped ultrasound image with speckle, RGB.
pub fn us(rng: &mut Rng, rows: u16, columns: u16, phase: f32) -> Vec<u8> {
    let mut out = Vec::with_capacity(usize::from(rows) * usize::from(columns) * 3);
    for row in 0..rows {
        let depth = f32::from(row) / f32::from(rows);
        for column in 0..columns {
            let x = f32::from(column) / f32::from(columns) * 2.0 - 1.0;
            let grey = if x.abs() > 0.15 + depth * 0.8 || depth < 0.04 {
                0
            } else {
                let chamber = inside(x, depth, (0.05, 0.55), (0.28 + 0.05 * phase.sin(), 0.2));
                let echo = if chamber < 1.0 { 18 } else { 96 };
                echo + noise(rng) * if chamber < 1.0 { 1 } else { 6 }
            };
            let grey = u8::try_from(grey.clamp(0, 255)).unwrap_or(0);
            out.extend_from_slice(&[grey, grey, grey]);
        }
    }
    out
}

/// The nearest whole number of a value known to be small.
fn rounded(value: f32) -> i32 {
    #[allow(clippy::cast_possible_truncation)]
    let whole = value as i32;
    whole
}
