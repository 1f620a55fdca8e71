//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), as the archive's files carry it, fast on large pieces.
//!
//! Deliberately not here: where a checksum stands and what it covers, which each format says for itself.

use crc_fast::{CrcAlgorithm, Digest};

/// From this many bytes on carry-less multiplication pays; below, its set-up costs more than the whole sum.
const LARGE: usize = 256;

/// The checksum of these bytes.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// The checksum of what `sum` covers with these bytes behind it.
#[must_use]
pub fn crc32c_append(sum: u32, bytes: &[u8]) -> u32 {
    if bytes.len() < LARGE {
        return crc32c::crc32c_append(sum, bytes);
    }
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!sum));
    digest.update(bytes);
    // A sum of 32 bits fits; were it ever not to, no stored sum would equal it.
    u32::try_from(digest.finalize()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_value_holds_at_either_speed() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        // RFC 3720 B.4: 32 bytes of zeros, and the same sum rule over a large piece.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    }

    #[test]
    fn pieces_of_any_size_add_up_to_what_the_plain_way_gives() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..200_000).map(|_| random.u8(..)).collect();
        for _ in 0..200 {
            let (mut sum, mut plain, mut rest) = (0, 0, bytes.as_slice());
            while !rest.is_empty() {
                let most = rest.len().min(LARGE << random.u32(0..9));
                let (now, later) = rest.split_at(random.usize(1..=most));
                (sum, plain, rest) = (crc32c_append(sum, now), crc32c::crc32c_append(plain, now), later);
                assert_eq!(sum, plain, "after a piece of {} bytes", now.len());
            }
        }
    }
}
