//! The CRC-32 of ZIP (IEEE 802.3, reflected polynomial EDB88320), sixteen bytes at a time.
//!
//! For `unzip` only: the archive itself trusts CRC-32C and SHA-256.

/// `TABLES[n][byte]`: what a byte adds when `n` more bytes follow it.
static TABLES: [[u32; 256]; 16] = tables();

const fn tables() -> [[u32; 256]; 16] {
    let mut tables = [[0u32; 256]; 16];
    let (mut byte, mut start) = (0, 0u32);
    while byte < 256 {
        let (mut table, mut crc) = (0, start);
        while table < 16 {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
                bit += 1;
            }
            tables[table][byte] = crc;
            table += 1;
        }
        byte += 1;
        start += 1;
    }
    tables
}

#[inline(always)]
fn at(table: usize, byte: u8) -> u32 {
    TABLES[table][usize::from(byte)]
}

/// The CRC of bytes that follow those with the CRC `before`; 0 stands for no bytes.
pub(super) fn append(before: u32, bytes: &[u8]) -> u32 {
    let mut crc = !before;
    let (blocks, rest) = bytes.as_chunks::<16>();
    for block in blocks {
        let [a, b, c, d, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11] = *block;
        let [a, b, c, d] = (u32::from_le_bytes([a, b, c, d]) ^ crc).to_le_bytes();
        let first = at(15, a) ^ at(14, b) ^ at(13, c) ^ at(12, d);
        crc = first
            ^ at(11, r0)
            ^ at(10, r1)
            ^ at(9, r2)
            ^ at(8, r3)
            ^ at(7, r4)
            ^ at(6, r5)
            ^ at(5, r6)
            ^ at(4, r7)
            ^ at(3, r8)
            ^ at(2, r9)
            ^ at(1, r10)
            ^ at(0, r11);
    }
    for byte in rest {
        let [low, ..] = crc.to_le_bytes();
        crc = (crc >> 8) ^ at(0, low ^ byte);
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn the_check_value_and_pieces_of_any_size() {
        assert_eq!(append(0, b"123456789"), 0xCBF4_3926);
        assert_eq!(append(0, b""), 0);
        let bytes: Vec<u8> = (0..1000u32).map(|n| n.to_le_bytes()[0] ^ 0x5A).collect();
        let whole = append(0, &bytes);
        for cut in [1, 15, 16, 17, 500, 999] {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(append(append(0, left), right), whole, "cut at {cut}");
        }
    }
}
