//! The single character sets of PS3.3 Tables C.12-2 to C.12-5 and their decoders.
//!
//! Tables come from encoding_rs where it has the set as the standard means it.

use super::Notes;
use encoding_rs::Encoding;

/// A character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// ISO_IR 6, the default repertoire.
    Ascii,
    /// ISO_IR 100.
    Latin1,
    /// ISO_IR 101.
    Latin2,
    /// ISO_IR 109.
    Latin3,
    /// ISO_IR 110.
    Latin4,
    /// ISO_IR 148.
    Latin5,
    /// ISO_IR 203.
    Latin9,
    /// ISO_IR 144.
    Cyrillic,
    /// ISO_IR 127.
    Arabic,
    /// ISO_IR 126.
    Greek,
    /// ISO_IR 138.
    Hebrew,
    /// ISO_IR 166.
    Thai,
    /// ISO_IR 13, JIS X 0201.
    Katakana,
    /// ISO 2022 IR 87, JIS X 0208.
    Kanji,
    /// ISO 2022 IR 159, JIS X 0212.
    KanjiSupplement,
    /// ISO 2022 IR 149, KS X 1001.
    Korean,
    /// ISO 2022 IR 58, GB 2312.
    Gb2312,
    /// ISO_IR 192.
    Utf8,
    /// GB18030.
    Gb18030,
    /// GBK.
    Gbk,
}

impl Set {
    /// The set of a defined term; spellings met in the field (`ISO-IR 100`, `ISO_IR_192`, `UTF-8`) count.
    pub(super) fn named(term: &str) -> Option<Self> {
        let term = term.to_ascii_uppercase();
        match term.as_str() {
            "" => return Some(Self::Ascii),
            "GB18030" => return Some(Self::Gb18030),
            "GBK" => return Some(Self::Gbk),
            "UTF-8" | "UTF8" => return Some(Self::Utf8),
            _ => {}
        }
        if !term.starts_with("ISO") {
            return None;
        }
        let (_, number) = term.rsplit_once("IR")?;
        Some(match number.trim_matches([' ', '_', '-']).parse::<u16>().ok()? {
            6 => Self::Ascii,
            13 => Self::Katakana,
            58 => Self::Gb2312,
            87 => Self::Kanji,
            100 => Self::Latin1,
            101 => Self::Latin2,
            109 => Self::Latin3,
            110 => Self::Latin4,
            126 => Self::Greek,
            127 => Self::Arabic,
            138 => Self::Hebrew,
            144 => Self::Cyrillic,
            148 => Self::Latin5,
            149 => Self::Korean,
            159 => Self::KanjiSupplement,
            166 => Self::Thai,
            192 => Self::Utf8,
            203 => Self::Latin9,
            _ => return None,
        })
    }

    /// Whether characters take two bytes.
    pub(super) fn is_double(self) -> bool {
        matches!(self, Self::Kanji | Self::KanjiSupplement | Self::Korean | Self::Gb2312)
    }

    fn encoding(self) -> Option<&'static Encoding> {
        Some(match self {
            Self::Latin2 => encoding_rs::ISO_8859_2,
            Self::Latin3 => encoding_rs::ISO_8859_3,
            Self::Latin4 => encoding_rs::ISO_8859_4,
            Self::Latin9 => encoding_rs::ISO_8859_15,
            Self::Cyrillic => encoding_rs::ISO_8859_5,
            Self::Arabic => encoding_rs::ISO_8859_6,
            Self::Greek => encoding_rs::ISO_8859_7,
            Self::Hebrew => encoding_rs::ISO_8859_8,
            Self::Thai => encoding_rs::WINDOWS_874,
            Self::Katakana => encoding_rs::SHIFT_JIS,
            Self::Kanji | Self::KanjiSupplement => encoding_rs::EUC_JP,
            Self::Korean => encoding_rs::EUC_KR,
            Self::Gb2312 | Self::Gbk => encoding_rs::GBK,
            Self::Gb18030 => encoding_rs::GB18030,
            Self::Utf8 => encoding_rs::UTF_8,
            Self::Ascii | Self::Latin1 | Self::Latin5 => return None,
        })
    }

    /// Decodes bytes that are all of this set; two-byte sets with the high bits as they stand in G1.
    pub(super) fn decode(self, bytes: &[u8], notes: &mut Notes) -> String {
        if let Some(encoding) = self.encoding() {
            let (text, bad) = encoding.decode_without_bom_handling(bytes);
            notes.invalid |= bad;
            return text.into_owned();
        }
        // High bytes without a set are read as Latin-1: nothing is lost, the bytes can be had back.
        notes.invalid |= self == Self::Ascii && !bytes.is_ascii();
        bytes.iter().map(|byte| if self == Self::Latin5 { latin5(*byte) } else { char::from(*byte) }).collect()
    }

    /// Encodes a text, if the set alone holds every character of it.
    pub(super) fn encode(self, text: &str) -> Option<Vec<u8>> {
        let single = |letter: char| match self {
            Self::Ascii => u8::try_from(letter).ok().filter(u8::is_ascii),
            Self::Latin5 => (0..=u8::MAX).find(|byte| latin5(*byte) == letter),
            _ => u8::try_from(letter).ok(),
        };
        match self.encoding() {
            _ if self.is_double() || self == Self::Katakana => None,
            Some(encoding) => {
                let (bytes, _, lost) = encoding.encode(text);
                (!lost).then(|| bytes.into_owned())
            }
            None => text.chars().map(|letter| single(letter).filter(|byte| !(0x80..0xA0).contains(byte))).collect(),
        }
    }

    /// Decodes one two-byte character of a G0 set.
    pub(super) fn decode_double(self, pair: [u8; 2], notes: &mut Notes) -> String {
        let [first, second] = pair.map(|byte| byte | 0x80);
        match self {
            Self::KanjiSupplement => self.decode(&[0x8F, first, second], notes),
            _ => self.decode(&[first, second], notes),
        }
    }
}

/// ISO 8859-9: Latin-1 with six Turkish letters. (encoding_rs has only windows-1254, which differs below A0.)
fn latin5(byte: u8) -> char {
    match byte {
        0xD0 => 'Ğ',
        0xDD => 'İ',
        0xDE => 'Ş',
        0xF0 => 'ğ',
        0xFD => 'ı',
        0xFE => 'ş',
        other => char::from(other),
    }
}
