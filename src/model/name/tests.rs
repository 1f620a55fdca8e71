//! The ways one name is written must meet; different names must not.

use super::*;
use crate::attribute::{attribute, key};
use crate::query::Test;

/// Asked, stored: must hit without fuzzy matching.
const HITS: [(&str, &str); 72] = [
    // Case, marks, carets, order, parts.
    ("nguyen van an", "Nguyễn Văn An"),
    ("nguyen van an", "NGUYEN^VAN AN"),
    ("nguyen van an", "NGUYEN^VAN^AN"),
    ("nguyen van an", "NGUYEN VAN^AN"),
    ("nguyen van an", "AN^NGUYEN VAN"),
    ("nguyen van an", "Nguyễn^An^Văn"),
    ("nguyen van an", "NGUYEN VAN AN"),
    ("Nguyễn Văn An", "NGUYEN VAN AN"),
    ("Nguyễn Văn An", "nguyen^van an"),
    ("NGUYEN^VAN AN", "Nguyễn Văn An"),
    ("NGUYEN^VAN AN", "AN NGUYEN VAN"),
    ("an nguyễn", "Nguyễn Văn An"),
    ("an nguyễn", "NGUYEN^VAN AN"),
    ("an nguyễn", "nguyen van an"),
    ("AN", "Nguyễn Văn An"),
    ("Văn An", "NGUYEN^VAN AN"),
    ("NGUYỄN VĂN AN", "Nguyễn Văn An"),
    // Decomposed Unicode.
    ("Nguyễn Văn An", "Nguye\u{302}\u{303}n Va\u{306}n An"),
    ("Nguye\u{302}\u{303}n Va\u{306}n An", "NGUYEN^VAN AN"),
    ("nguyen van an", "Nguye\u{302}\u{303}n^Va\u{306}n^An"),
    ("Nguye\u{303}\u{302}n", "Nguyễn"),
    ("Tha\u{309}o", "Thảo"),
    ("Thu\u{301}y", "Thúy"),
    // Đ and what is typed for it.
    ("dang dinh duc", "Đặng Đình Đức"),
    ("Đặng Đình Đức", "DANG DINH DUC"),
    ("đặng đình đức", "ĐẶNG^ĐÌNH^ĐỨC"),
    ("do thi dao", "Ðỗ Thị Ðào"),
    ("Đỗ Thị Đào", "ðỗ thị ðào"),
    ("Ɖo", "Đỗ"),
    ("doan", "Đoàn"),
    // Place of the tone.
    ("Hoà", "Hòa"),
    ("Hòa", "Hoà"),
    ("Lê Thị Hoà", "LE THI HOA"),
    ("Thuý", "Thúy"),
    ("Khoẻ", "Khỏe"),
    ("Nguyễn Thuỳ Linh", "Nguyễn Thùy Linh"),
    ("Khánh Hoà", "Khánh Hòa"),
    // Noise of the field.
    ("nguyen van an", "NGUYEN VAN AN 45T"),
    ("nguyen van an", "NGUYEN VAN AN 45 TUOI"),
    ("nguyen van an", "NGUYEN VAN AN-1978"),
    ("nguyen van an", "NGUYEN VAN AN (BHYT)"),
    ("nguyen van an", "NGUYEN VAN AN   "),
    ("nguyen van an", "NGUYEN\tVAN\tAN"),
    ("NGUYEN VAN AN 45T", "Nguyễn Văn An"),
    ("NGUYEN VAN AN-1978", "Nguyễn Văn An"),
    ("NGUYEN VAN AN (BHYT)", "Nguyễn^Văn An"),
    ("Nguyễn Văn An 1978", "NGUYEN VAN AN 45T"),
    ("be gai", "BE GAI 6TH"),
    ("nguyen van an", "NGUYEN VAN AN [DV]"),
    ("(NGUYEN VAN AN)", "Nguyễn Văn An"),
    ("vo danh 01", "VÔ DANH 01"),
    ("con ba lan", "CON BÀ LAN"),
    ("tre so sinh", "TRẺ SƠ SINH"),
    // Minorities and foreigners.
    ("h hen nie", "H'Hen Niê"),
    ("H’Hen Niê", "H'HEN NIE"),
    ("k'broi", "K'Brôi"),
    ("y moan enuol", "Y Moan Êñuôl"),
    ("smith", "Smith-Jones^Mary"),
    ("jones smith", "SMITH-JONES^MARY"),
    ("muller", "Müller^Jürgen"),
    ("strasse", "Straße"),
    ("Yamada Tarou", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("ton nu thi ninh", "Tôn Nữ Thị Ninh"),
    ("au duong", "Âu Dương^Phong"),
    // Patterns.
    ("nguyen*", "Nguyễn^Văn An"),
    ("nguyen*", "Trần^Nguyên Vân"),
    ("NGUYỄN V*", "NGUYEN VAN AN"),
    ("*an", "Nguyễn Văn An"),
    ("nguy?n*", "Nguyễn Văn An"),
    ("ngu* an", "NGUYEN^VAN AN"),
    ("Đ*", "DANG^VAN LONG"),
];

/// Asked, stored: must not hit without fuzzy matching.
const MISSES: [(&str, &str); 16] = [
    ("nguyen van an", "NGUYEN VAN ANH"),
    ("nguyen van anh", "NGUYEN VAN AN"),
    ("nguyen van an", "NGUYEN VAN"),
    ("nguyen thi an", "Nguyễn Văn An"),
    ("an", "Lan"),
    ("le", "Lệnh"),
    ("vo danh 01", "VO DANH 02"),
    ("tran", "Trang"),
    ("d", "Đỗ"),
    ("nguyen van an", ""),
    ("nguyen an smith", "Nguyễn An=Smith"),
    ("van*an", "Nguyễn Văn An"),
    ("nguyen ?", "Nguyễn An"),
    ("*anh", "Nguyễn Văn An"),
    ("hoa", "Hoài"),
    ("thuy", "Thủ"),
];

fn hits(asked: &str, stored: &str, fuzzy: bool) -> bool {
    let name = attribute(key::PATIENT_NAME).expect("in the table");
    Test::parse(name, asked).expect("a name").accepts(name, stored, fuzzy)
}

#[test]
fn the_ways_a_name_is_written_meet() {
    let missed: Vec<_> = HITS.iter().filter(|(asked, stored)| !hits(asked, stored, false)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn different_names_do_not_meet() {
    let wrong: Vec<_> = MISSES.iter().filter(|(asked, stored)| hits(asked, stored, false)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn fuzzy_matching_takes_beginnings_of_words_in_any_order() {
    for (asked, stored) in [("ng v a", "NGUYEN VAN ANH"), ("an ngu", "Nguyễn Văn An"), ("thu", "Phạm Thị Thủy")]
    {
        assert!(hits(asked, stored, true), "{asked} {stored}");
        assert!(!hits(asked, stored, false), "{asked} {stored}");
    }
    assert!(HITS.iter().all(|(asked, stored)| hits(asked, stored, true)));
    for (asked, stored) in [("nguyen van anh", "NGUYEN VAN AN"), ("uyen", "Nguyen"), ("an x", "Nguyen An")] {
        assert!(!hits(asked, stored, true), "{asked} {stored}");
    }
}

#[test]
fn folding_again_changes_nothing() {
    for (asked, stored) in HITS.iter().chain(&MISSES) {
        for text in [asked, stored] {
            assert_eq!(fold(&fold(text)), fold(text));
            assert_eq!(fold_names(&fold_names(text)), fold_names(text));
            assert!(!fold(text).contains("  ") && fold(text).trim() == fold(text), "{text}");
        }
    }
}

#[test]
fn the_words_of_a_name_are_its_index_entries() {
    assert_eq!(tokens("NGUYEN^VAN AN (BHYT) 45T"), ["NGUYEN", "VAN", "AN"]);
    assert_eq!(tokens("AN^AN AN"), ["AN"]);
    assert_eq!(tokens("1978"), ["1978"]);
    assert!(tokens(" ^^ ").is_empty());
}

#[test]
fn of_a_text_without_end_the_beginning_is_searched() {
    for name in ["Nguyễn^Văn An", "Yamada^Tarou=山田^太郎=やまだ^たろう", ""] {
        assert_eq!(searched(name), name);
    }
    let words = |count: usize, word: &str| (0..count).map(|at| format!("{word}{at}")).collect::<Vec<_>>().join(" ");
    for text in [words(9_000, "a"), words(9_000, "tên-dài-quá-"), words(9_000, &"Ễ".repeat(30))] {
        let head = searched(&text);
        assert!(text.starts_with(head) && head.len() < text.len() && searched(head) == head);
        assert!(super::words(&fold(head)).len() <= WORDS_MAX);
        assert!(fold(head).len() <= SEARCHED_MAX && head.len() <= SEARCHED_MAX);
    }
    assert_eq!(super::words(&fold(searched(&words(9_000, "a")))).len(), 64);
    assert_eq!(searched(&words(64, "ễ")), words(64, "ễ"));
    // One word without end, punctuation alone, and letters that are whole sentences.
    assert_eq!(searched(&"ê".repeat(9_000)).len(), SEARCHED_MAX);
    assert_eq!(searched(&"^".repeat(9_000)).len(), SEARCHED_MAX);
    let sentences = "\u{fdfa}".repeat(SHORT);
    let head = searched(&sentences);
    assert!(!head.is_empty() && head.len() < sentences.len());
    assert!(fold(head).len() <= SEARCHED_MAX && super::words(&fold(head)).len() <= WORDS_MAX);
}

#[test]
fn what_is_not_cut_has_few_words_whatever_its_letters() {
    let worst = ('\0'..=char::MAX).map(|letter| {
        let (folded, bytes) = (fold(&letter.to_string()), letter.len_utf8());
        (folded.split(' ').count() * 3 <= bytes * 4, folded.len() <= bytes * 11)
    });
    assert!(worst.into_iter().all(|(words, bytes)| words && bytes));
}

#[test]
fn ascii_keeps_capitals_and_the_structure_of_a_name() {
    for (text, plain) in [
        ("Nguyễn^Văn Ân", "Nguyen^Van An"),
        ("ĐẶNG^Đức", "DANG^Duc"),
        // Decomposed, as some systems send it.
        ("Nguye\u{302}\u{303}n^An", "Nguyen^An"),
        ("Khoa Nội\\Khoa Ngoại", "Khoa Noi\\Khoa Ngoai"),
        ("王^小東=x", "?^??=x"),
        // A full-width separator separates nothing.
        ("A\u{ff3c}B\u{ff1d}C", "A?B?C"),
        ("", ""),
    ] {
        assert_eq!(ascii(text), plain, "{text}");
    }
}

#[test]
fn latin1_keeps_the_marks_it_has_letters_for() {
    for (text, near) in [
        ("Nguyễn^Văn Ấn", "Nguyên^Van Ân"),
        ("Nguye\u{302}\u{303}n^An", "Nguyên^An"),
        ("ĐẶNG^Đức Thảo", "DANG^Duc Thao"),
        ("José^Müller", "José^Müller"),
        ("Hồ Thị Mỹ", "Hô Thi My"),
        ("王^A\u{ff3c}B", "?^A?B"),
    ] {
        assert_eq!(latin1(text), near, "{text}");
        assert!(near.chars().all(|letter| u32::from(letter) < 0x100));
    }
}
