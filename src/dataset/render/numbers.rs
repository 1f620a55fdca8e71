//! From real numbers to whole ones: rounded to the nearest, held inside their range, never by a cast.

/// Adding it to a number below 2^51 leaves the nearest whole number in the low bits of the sum.
const SHIFT: f64 = 4_503_599_627_370_496.0;

/// The nearest byte.
pub(super) fn byte(value: f64) -> u8 {
    let [low, ..] = (value.clamp(0.0, 255.0) + SHIFT).to_bits().to_le_bytes();
    low
}

/// The nearest whole number from 0 on.
pub(super) fn whole(value: f64) -> u32 {
    let bits = (value.clamp(0.0, f64::from(u32::MAX)) + SHIFT).to_bits();
    u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0)
}

/// The nearest whole number.
pub(super) fn nearest(value: f64) -> i64 {
    if value < 0.0 { -i64::from(whole(-value)) } else { i64::from(whole(value)) }
}

/// A value as a real number; exact within 32 bits, which is all that samples have.
pub(super) fn real(value: i64) -> f64 {
    i32::try_from(value).map_or_else(|_| f64::from(u32::try_from(value).unwrap_or(u32::MAX)), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_and_held() {
        for (value, expected) in [(-3.0, 0), (0.4, 0), (0.6, 1), (127.5, 128), (254.6, 255), (1e9, 255)] {
            assert_eq!(byte(value), expected, "{value}");
        }
        assert_eq!(byte(f64::NAN), 0);
        for (value, expected) in [(-1.0, 0), (3.2, 3), (4_294_967_295.0, u32::MAX), (1e30, u32::MAX)] {
            assert_eq!(whole(value), expected, "{value}");
        }
        assert_eq!((nearest(-1.6), nearest(1.6), nearest(-0.2)), (-2, 2, 0));
        assert_eq!((real(-5), real(4_000_000_000)), (-5.0, 4e9));
    }
}
