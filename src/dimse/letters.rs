//! In which letters, and how long, texts go to a source: its output profile.
//!
//! Numbers and codes are never cut nor raised to capitals: they name something.

use dataset::Vr;
use model::facility::{Letters, NameStyle};
use model::{Source, name};

/// Texts of VR LO, LT, ST and UT that are numbers, or name who gave them.
const NUMBERS: &[u32] = &[
    0x0010_0020, // Patient ID
    0x0010_0021, // Issuer of Patient ID
    0x0010_1000, // Other Patient IDs
    0x0038_0010, // Admission ID
    0x0040_0031, // Local Namespace Entity ID
    0x0040_0032, // Universal Entity ID
    0x0040_2016, // Placer Order Number
    0x0040_2017, // Filler Order Number
];
/// Texts of VR SH that are neither numbers nor codes.
const SHORT_PROSE: &[u32] = &[
    0x0040_0010, // Scheduled Station Name
    0x0040_0011, // Scheduled Procedure Step Location
];

/// Whether a text is written for people to read.
fn is_prose(tag: u32, vr: Vr) -> bool {
    match vr {
        Vr::PN => true,
        Vr::LO | Vr::LT | Vr::ST | Vr::UT => !NUMBERS.contains(&tag),
        Vr::SH => SHORT_PROSE.contains(&tag),
        _ => false,
    }
}

/// The Specific Character Set to write in, by what was asked.
pub(crate) fn charset(letters: Letters, asked: &str) -> &str {
    match letters {
        Letters::Asked => asked,
        Letters::Ascii | Letters::AsciiUpper => "",
        Letters::Latin1 => "ISO_IR 100",
        Letters::Utf8 => "ISO_IR 192",
    }
}

/// A value in the letters of a source.
pub(crate) fn spelt(letters: Letters, tag: u32, vr: Vr, text: &str) -> String {
    match letters {
        Letters::AsciiUpper if is_prose(tag, vr) => name::ascii(text).to_ascii_uppercase(),
        Letters::Ascii | Letters::AsciiUpper => name::ascii(text),
        Letters::Latin1 => name::latin1(text),
        Letters::Asked | Letters::Utf8 => text.to_owned(),
    }
}

/// A value of a worklist as a source is to have it: letters, style of names, length.
pub(crate) fn profiled(source: &Source, tag: u32, vr: Vr, text: &str) -> String {
    let styled = match (vr, source.names) {
        (Vr::PN, NameStyle::Whole) => whole(text),
        _ => text.to_owned(),
    };
    let spelt = spelt(source.letters, tag, vr, &styled);
    if is_prose(tag, vr) { cut(spelt, vr, source.text_max) } else { spelt }
}

/// A name of parts `Family^Given^Middle` as people write it.
fn whole(text: &str) -> String {
    let mut parts = text.split('^').map(str::trim);
    let (family, given) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let middle = parts.next().unwrap_or_default();
    let words = [family, middle, given].into_iter().chain(parts).filter(|part| !part.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Cuts each value to what its VR and the source allow.
fn cut(text: String, vr: Vr, most: Option<u8>) -> String {
    let allowed = if vr == Vr::PN { Some(64) } else { vr.max_chars() };
    let most = most.map(usize::from).into_iter().chain(allowed).min();
    let Some(most) = most.filter(|most| text.chars().count() > *most) else { return text };
    let one = |value: &str| -> String {
        let kept: String = value.chars().take(most).collect();
        kept.trim_end_matches([' ', '^']).to_owned()
    };
    match vr.is_multi_valued() {
        true => text.split('\\').map(one).collect::<Vec<_>>().join("\\"),
        false => one(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::FacilityCode;

    const NAME: u32 = 0x0010_0010;
    const PATIENT_ID: u32 = 0x0010_0020;
    const STEP: u32 = 0x0040_0007;

    fn source(letters: Letters, names: NameStyle, text_max: Option<u8>) -> Source {
        Source { letters, names, text_max, ..Source::new("s", FacilityCode::DEMO) }
    }

    #[test]
    fn one_name_goes_to_every_console_as_it_can_show_it() {
        use Letters::{Ascii, AsciiUpper, Asked, Latin1, Utf8};
        use NameStyle::{Parts, Whole};
        for (letters, names, most, told) in [
            (Asked, Parts, None, "Nguyễn^Ánh^Văn Đức"),
            (Utf8, Whole, None, "Nguyễn Văn Đức Ánh"),
            (AsciiUpper, Parts, None, "NGUYEN^ANH^VAN DUC"),
            (AsciiUpper, Whole, Some(16), "NGUYEN VAN DUC A"),
            (AsciiUpper, Parts, Some(11), "NGUYEN^ANH"),
            (Ascii, Parts, None, "Nguyen^Anh^Van Duc"),
            (Latin1, Parts, None, "Nguyên^Ánh^Van Duc"),
        ] {
            assert_eq!(profiled(&source(letters, names, most), NAME, Vr::PN, "Nguyễn^Ánh^Văn Đức"), told);
        }
        assert_eq!(whole("Lê"), "Lê");
        assert_eq!(whole("Lê^An"), "Lê An");
        assert_eq!(whole("Doe^Jane^A^Dr^MD"), "Doe A Jane Dr MD");
    }

    #[test]
    fn numbers_are_never_cut_nor_raised_to_capitals() {
        let console = source(Letters::AsciiUpper, NameStyle::Whole, Some(8));
        assert_eq!(profiled(&console, PATIENT_ID, Vr::LO, "bn-22015985-x"), "bn-22015985-x");
        assert_eq!(profiled(&console, 0x0008_0050, Vr::SH, "acc0000000000001"), "acc0000000000001");
        assert_eq!(profiled(&console, 0x0020_000D, Vr::UI, "1.2.840.10008.1.2"), "1.2.840.10008.1.2");
        assert_eq!(profiled(&console, STEP, Vr::LO, "Chụp ngực thẳng"), "CHUP NGU");
    }

    #[test]
    fn prose_is_no_longer_than_its_vr_allows() {
        let free = source(Letters::Asked, NameStyle::Parts, None);
        assert_eq!(profiled(&free, STEP, Vr::LO, &"ễ".repeat(100)).chars().count(), 64);
        assert_eq!(profiled(&free, 0x0040_0011, Vr::SH, &"x".repeat(20)).len(), 16);
        assert_eq!(
            profiled(&free, 0x0010_2110, Vr::LO, &["a".repeat(70), "b".into()].join("\\")),
            "a".repeat(64) + "\\b"
        );
        assert_eq!(
            profiled(&source(Letters::Asked, NameStyle::Parts, Some(255)), NAME, Vr::PN, &"x".repeat(99)).len(),
            64
        );
    }
}
