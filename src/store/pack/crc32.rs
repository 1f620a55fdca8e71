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

fn look(table: usize, byte: u8) -> u32 {
    TABLES.get(table).and_then(|table| table.get(usize::from(byte))).copied().unwrap_or(0)
}

/// The CRC of bytes that follow those with the CRC `before`; 0 stands for no bytes.
pub(super) fn append(before: u32, bytes: &[u8]) -> u32 {
    let mut crc = !before;
    let (blocks, rest) = bytes.as_chunks::<16>();
    for block in blocks {
        let [a, b, c, d, others @ ..] = *block;
        let first = (u32::from_le_bytes([a, b, c, d]) ^ crc).to_le_bytes();
        crc = 0;
        for (at, byte) in first.into_iter().chain(others).enumerate() {
            crc ^= look(15 - at, byte);
        }
    }
    for byte in rest {
        let [low, ..] = crc.to_le_bytes();
        crc = (crc >> 8) ^ look(0, low ^ byte);
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
