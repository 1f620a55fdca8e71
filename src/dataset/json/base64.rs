//! Base64 (RFC 4648 section 4) for small binary values.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the encoding of `bytes`, padded.
pub(super) fn encode(bytes: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0u32, 0u32);
    let letter = |six: u32| LETTERS.get(usize::try_from(six & 63).unwrap_or(0)).copied().unwrap_or(b'A');
    let mut letters = 0usize;
    for byte in bytes {
        bits = bits << 8 | u32::from(byte);
        held += 8;
        while held >= 6 {
            held -= 6;
            out.push(letter(bits >> held));
            letters += 1;
        }
    }
    if held > 0 {
        out.push(letter(bits << (6 - held)));
        letters += 1;
    }
    out.extend(std::iter::repeat_n(b'=', letters.next_multiple_of(4) - letters));
}
