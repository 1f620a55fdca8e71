//! Text of messages from bytes: the door to the decoders of character sets for edges that know no data sets.

use dataset::{Charset, Notes, Vr};
use model::facility::CharsetHint;

/// What a sender says of its character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Nothing.
    None,
    /// Latin-1 (ISO 8859-1).
    Latin1,
    /// UTF-8.
    Utf8,
}

/// Text as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The text, composed (NFC).
    pub text: String,
    /// Whether it was read otherwise than its label says.
    pub repaired: bool,
    /// Whether bytes did not fit and were replaced.
    pub invalid: bool,
}

/// Bytes as text: UTF-8 wherever they are, else by the hint of the sender's registry entry, else by the label.
pub fn decode(bytes: &[u8], label: Label, hint: CharsetHint) -> Decoded {
    let name: &[u8] = match label {
        Label::None => b"",
        Label::Latin1 => b"ISO_IR 100",
        Label::Utf8 => b"ISO_IR 192",
    };
    let mut notes = Notes::default();
    let text = Charset::new(name, hint).decode(bytes, Vr::UT, &mut notes);
    // Without a label UTF-8 is what is expected.
    Decoded { text, repaired: notes.repaired && label != Label::None, invalid: notes.invalid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_utf8_then_by_the_hint_then_by_the_label() {
        let read = |bytes: &[u8], label, hint| decode(bytes, label, hint).text;
        let name = "Nguyễn Văn An";
        for label in [Label::None, Label::Latin1, Label::Utf8] {
            assert_eq!(read(name.as_bytes(), label, CharsetHint::Tcvn3), name);
        }
        let tcvn3: Vec<u8> =
            "NguyÔn V¨n An".chars().map(|letter| u8::try_from(u32::from(letter)).expect("Latin-1")).collect();
        for label in [Label::None, Label::Latin1, Label::Utf8] {
            assert_eq!(read(&tcvn3, label, CharsetHint::Tcvn3), name, "{label:?}");
        }
        assert_eq!(read(&[0xC0, b'n'], Label::Latin1, CharsetHint::Auto), "Àn");
        assert!(decode(&[0xFF], Label::Utf8, CharsetHint::Auto).invalid);
        // Decomposed letters are composed.
        assert_eq!(read("Nguye\u{302}\u{303}n".as_bytes(), Label::Utf8, CharsetHint::Auto), "Nguyễn");
    }
}
