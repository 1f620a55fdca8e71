//! Code extensions by escape sequences (ISO/IEC 2022 as PS3.5 section 6.1.2.5 and PS3.3 C.12.1.1.2 use it).
//!
//! G0 is invoked in the low half, G1 in the high half; both go back to the first value's sets at delimiters.

use super::Notes;
use super::set::Set;
use crate::vr::Vr;

enum Half {
    G0,
    G1,
}

const ESCAPES: &[(&[u8], Half, Set)] = &[
    (b"(B", Half::G0, Set::Ascii),
    (b"(J", Half::G0, Set::Ascii),
    (b")I", Half::G1, Set::Katakana),
    (b"$B", Half::G0, Set::Kanji),
    (b"$@", Half::G0, Set::Kanji),
    (b"$(D", Half::G0, Set::KanjiSupplement),
    (b"$)C", Half::G1, Set::Korean),
    (b"$)A", Half::G1, Set::Gb2312),
    (b"-A", Half::G1, Set::Latin1),
    (b"-B", Half::G1, Set::Latin2),
    (b"-C", Half::G1, Set::Latin3),
    (b"-D", Half::G1, Set::Latin4),
    (b"-F", Half::G1, Set::Greek),
    (b"-G", Half::G1, Set::Arabic),
    (b"-H", Half::G1, Set::Hebrew),
    (b"-L", Half::G1, Set::Cyrillic),
    (b"-M", Half::G1, Set::Latin5),
    (b"-T", Half::G1, Set::Thai),
    (b"-b", Half::G1, Set::Latin9),
];

/// Decodes text with escape sequences. High bytes before any escape are read by the first value's set, or, where
/// that has none, by the extension that is used without one in the field (Korean and Chinese senders do so).
pub(super) fn decode(bytes: &[u8], vr: Vr, first: Set, extensions: &[Set], notes: &mut Notes) -> String {
    let in_g1 = |set: &Set| !matches!(set, Set::Ascii | Set::Kanji | Set::KanjiSupplement | Set::Utf8);
    let initial = Some(first).filter(in_g1).or_else(|| extensions.iter().copied().find(in_g1));
    let (mut g0, mut g1) = (Set::Ascii, initial);
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == 0x1B {
            match ESCAPES.iter().find_map(|(code, half, set)| Some((rest.strip_prefix(*code)?, half, set))) {
                Some((after, Half::G0, set)) => (rest, g0) = (after, *set),
                Some((after, Half::G1, set)) => (rest, g1) = (after, Some(*set)),
                None => notes.invalid = true,
            }
        } else if byte >= 0x80 {
            rest = high(byte, rest, g1, &mut text, notes);
        } else if g0.is_double() && byte > 0x20 {
            match rest.split_first() {
                Some((&second, after)) if (0x21..0x7F).contains(&second) => {
                    text.push_str(&g0.decode_double([byte, second], notes));
                    rest = after;
                }
                _ => {
                    notes.invalid = true;
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            }
        } else {
            let delimiter = match byte {
                b'\\' => vr.is_multi_valued(),
                b'^' | b'=' => vr == Vr::PN,
                _ => byte < 0x20,
            };
            if delimiter {
                (g0, g1) = (Set::Ascii, initial);
            }
            text.push(char::from(byte));
        }
    }
    text
}

/// Decodes a byte of the high half, with its partner in two-byte sets; gives what is left.
fn high<'a>(byte: u8, rest: &'a [u8], g1: Option<Set>, text: &mut String, notes: &mut Notes) -> &'a [u8] {
    let Some(set) = g1 else {
        notes.invalid = true;
        text.push(char::from(byte));
        return rest;
    };
    match rest.split_first() {
        Some((&second, after)) if set.is_double() && second >= 0x80 => {
            text.push_str(&set.decode(&[byte, second], notes));
            after
        }
        _ => {
            text.push_str(&set.decode(&[byte], notes));
            rest
        }
    }
}
