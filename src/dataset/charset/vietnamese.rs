//! Vietnamese code pages from before Unicode: Windows-1258, TCVN 5712 (TCVN3, "ABC" fonts), VNI-Windows.
//!
//! None can be told from Latin-1 by its bytes, so a source's registry entry says which one it sends.

use super::Notes;
use model::facility::CharsetHint;

/// Decodes by the hint; [`CharsetHint::Auto`] reads Latin-1.
pub(super) fn decode(bytes: &[u8], hint: CharsetHint, notes: &mut Notes) -> String {
    match hint {
        CharsetHint::Windows1258 => {
            let (text, bad) = encoding_rs::WINDOWS_1258.decode_without_bom_handling(bytes);
            notes.invalid |= bad;
            text.into_owned()
        }
        CharsetHint::Tcvn3 => bytes.iter().map(|byte| tcvn3(*byte)).collect(),
        CharsetHint::Vni => vni(bytes),
        CharsetHint::Auto => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// TCVN3 letters from A1 to FE in order; a space where the code is not used.
const TCVN3: &str = "ĂÂÊÔƠƯĐăâêôơưđ      àảãáạ ằẳẵắ       ặầẩẫấậè ẻẽéẹềểễếệìỉ   ĩíịò ỏõóọồổỗốộờởỡớợù ủũúụừửữứựỳỷỹýỵ";

fn tcvn3(byte: u8) -> char {
    let letter = byte.checked_sub(0xA1).and_then(|at| TCVN3.chars().nth(usize::from(at)));
    letter.filter(|letter| *letter != ' ').unwrap_or(char::from(byte))
}

/// The combining marks a VNI mark byte stands for, written after a base letter.
fn vni_marks(byte: u8) -> Option<&'static str> {
    const ACUTE: &str = "\u{301}";
    const GRAVE: &str = "\u{300}";
    const HOOK: &str = "\u{309}";
    const TILDE: &str = "\u{303}";
    const DOT: &str = "\u{323}";
    Some(match byte | 0x20 {
        0xF9 => ACUTE,
        0xF8 => GRAVE,
        0xFB => HOOK,
        0xF5 => TILDE,
        0xEF => DOT,
        0xE2 => "\u{302}",
        0xE1 => "\u{302}\u{301}",
        0xE0 => "\u{302}\u{300}",
        0xE5 => "\u{302}\u{309}",
        0xE3 => "\u{302}\u{303}",
        0xE4 => "\u{323}\u{302}",
        0xEA => "\u{306}",
        0xE9 => "\u{306}\u{301}",
        0xE8 => "\u{306}\u{300}",
        0xFA => "\u{306}\u{309}",
        0xFC => "\u{306}\u{303}",
        0xEB => "\u{323}\u{306}",
        _ => return None,
    })
}

/// The letters VNI has in one byte.
fn vni_letter(byte: u8) -> Option<char> {
    Some(match byte {
        0xF1 => 'đ',
        0xD1 => 'Đ',
        0xF4 => 'ơ',
        0xD4 => 'Ơ',
        0xF6 => 'ư',
        0xD6 => 'Ư',
        0xED => 'í',
        0xCD => 'Í',
        0xEC => 'ì',
        0xCC => 'Ì',
        0xE6 => 'ỉ',
        0xC6 => 'Ỉ',
        0xF3 => 'ĩ',
        0xD3 => 'Ĩ',
        0xF2 => 'ị',
        0xD2 => 'Ị',
        0xEE => 'ỵ',
        0xCE => 'Ỵ',
        _ => return None,
    })
}

fn vni(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    let mut base = false;
    for &byte in bytes {
        if let Some(marks) = vni_marks(byte).filter(|_| base && byte >= 0x80) {
            text.push_str(marks);
            base = false;
            continue;
        }
        let letter = vni_letter(byte).unwrap_or(char::from(byte));
        base = matches!(letter, 'a' | 'e' | 'o' | 'u' | 'y' | 'A' | 'E' | 'O' | 'U' | 'Y' | 'ơ' | 'ư' | 'Ơ' | 'Ư');
        text.push(letter);
    }
    text
}
