//! Every defined term once, and what comes under none of them.

use super::*;

fn read(label: &str, bytes: &[u8], vr: Vr) -> (String, Notes) {
    let mut notes = Notes::default();
    let text = Charset::new(label.as_bytes(), CharsetHint::Auto).decode(bytes, vr, &mut notes);
    (text, notes)
}

fn clean(label: &str, bytes: &[u8]) -> String {
    let (text, notes) = read(label, bytes, Vr::PN);
    assert_eq!(notes, Notes::default(), "{label}");
    text
}

fn hinted(hint: CharsetHint, bytes: &[u8]) -> String {
    let mut notes = Notes::default();
    let text = Charset::new(b"ISO_IR 100", hint).decode(bytes, Vr::PN, &mut notes);
    assert!(notes.repaired, "a hint that was needed is noted");
    text
}

#[test]
fn single_sets_without_extensions() {
    assert_eq!(clean("", b"Nguyen^Van An"), "Nguyen^Van An");
    assert_eq!(clean("ISO_IR 100", b"J\xE9r\xF4me"), "Jérôme");
    assert_eq!(clean("ISO_IR 101", b"Wa\xB3\xEAsa"), "Wałęsa");
    assert_eq!(clean("ISO_IR 109", b"\xA6\xFEu"), "Ĥŝu");
    assert_eq!(clean("ISO_IR 110", b"\xC0na"), "Āna");
    assert_eq!(clean("ISO_IR 126", b"\xC4\xE9\xEF"), "Διο");
    assert_eq!(clean("ISO_IR 127", b"\xE2\xC8\xC7\xE6\xEA"), "قباني");
    assert_eq!(clean("ISO_IR 138", b"\xF9\xF8\xE5\xEF"), "שרון");
    assert_eq!(clean("ISO_IR 144", b"\xBB\xEE\xDA"), "Люк");
    assert_eq!(clean("ISO_IR 148", b"\xC7avu\xFEo\xF0lu \xDD\xFD"), "Çavuşoğlu İı");
    assert_eq!(clean("ISO_IR 166", b"\xB9\xD2\xC2"), "นาย");
    assert_eq!(clean("ISO_IR 203", b"\xBCuvre \xA4"), "Œuvre €");
    assert_eq!(clean("ISO_IR 13", b"\xD4\xCF\xC0\xDE"), "ﾔﾏﾀﾞ");
    assert_eq!(clean("ISO_IR 192", "Trần^Thị Bưởi".as_bytes()), "Trần^Thị Bưởi");
    assert_eq!(clean("GB18030", b"Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB"), "Wang^XiaoDong=王^小东");
    assert_eq!(clean("GBK", b"\xCD\xF5"), "王");
}

#[test]
fn code_extensions_of_the_standards_examples() {
    // PS3.5 Annexes H, I and K.
    let kanji = b"Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B=\x1B$B$d$^$@\x1B(B^\x1B$B$?$m$&\x1B(B";
    assert_eq!(clean("\\ISO 2022 IR 87", kanji), "Yamada^Tarou=山田^太郎=やまだ^たろう");
    let mixed = b"\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\x1B$B;3ED\x1B(J^\x1B$BB@O:\x1B(J";
    assert_eq!(clean("ISO 2022 IR 13\\ISO 2022 IR 87", mixed), "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎");
    let korean = b"Hong^Gildong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7=\x1B$)C\xC8\xAB^\x1B$)C\xB1\xE6\xB5\xBF";
    assert_eq!(clean("\\ISO 2022 IR 149", korean), "Hong^Gildong=洪^吉洞=홍^길동");
    let chinese = b"Zhang^XiaoDong=\x1B$)A\xD5\xC5^\x1B$)A\xD0\xA1\xB6\xAB";
    assert_eq!(clean("\\ISO 2022 IR 58", chinese), "Zhang^XiaoDong=张^小东");
    assert_eq!(clean("\\ISO 2022 IR 159", b"\x1B$(D0!\x1B(B"), "丂");
    let cyrillic = b"\xC4\x1B-L\xBB\xEE\xDA";
    assert_eq!(clean("ISO 2022 IR 100\\ISO 2022 IR 144", cyrillic), "ÄЛюк");
}

#[test]
fn delimiters_bring_the_first_sets_back() {
    let label = "ISO 2022 IR 100\\ISO 2022 IR 144";
    assert_eq!(clean(label, b"\x1B-L\xBB^\xE9"), "Л^é", "a component delimiter in a name");
    assert_eq!(read(label, b"\x1B-L\xBB^\xBB", Vr::LO).0, "Л^Л", "a caret in other text is a letter");
    assert_eq!(read(label, b"\x1B-L\xBB\\\xE9", Vr::LO).0, "Л\\é", "a value delimiter");
    assert_eq!(read(label, b"\x1B-L\xBB\\\xBB", Vr::LT).0, "Л\\Л", "a backslash in LT is a letter");
    assert_eq!(read(label, b"\x1B-L\xBB\r\n\xE9", Vr::LT).0, "Л\r\né", "a line end");
}

#[test]
fn a_backslash_inside_a_double_byte_character_is_no_delimiter() {
    // GB18030 8x5C: the second byte is that of a backslash.
    assert_eq!(clean("GB18030", b"\x81\x5C"), "乗");
}

#[test]
fn utf8_under_a_wrong_or_missing_label_is_read() {
    for label in ["", "ISO_IR 6", "ISO_IR 100", "ISO_IR 101", "ISO 2022 IR 100", "\\ISO 2022 IR 149", "ISO_IR 999"] {
        let (text, notes) = read(label, "Nguyễn^Văn An".as_bytes(), Vr::PN);
        assert_eq!(text, "Nguyễn^Văn An", "{label}");
        assert!(notes.repaired, "{label}");
        assert_eq!(notes.unknown, label == "ISO_IR 999");
    }
    let (text, notes) = read("GB18030", "Nguyễn Thị Hoa".as_bytes(), Vr::PN);
    assert!(text == "Nguyễn Thị Hoa" || !notes.repaired);
    // Thai letters that happen to form UTF-8 of another script stay Thai.
    assert_eq!(clean("ISO_IR 166", b"\xE0\xA1\xA7"), "เกง");
}

#[test]
fn what_fits_nothing_is_replaced_and_noted() {
    let (text, notes) = read("ISO_IR 192", b"A\xFFB", Vr::PN);
    assert_eq!(text, "A\u{FFFD}B");
    assert!(notes.invalid && !notes.repaired);
    let (text, notes) = read("", b"J\xE9r\xF4me", Vr::PN);
    assert_eq!(text, "Jérôme");
    assert!(notes.invalid);
    let (_, notes) = read("\\ISO 2022 IR 87", b"\x1B$B;", Vr::PN);
    assert!(notes.invalid);
    let (_, notes) = read("KOI8-R", b"A", Vr::PN);
    assert!(notes.unknown);
}

#[test]
fn text_is_composed_for_the_index_and_left_as_sent_elsewhere() {
    let decomposed = "Nguye\u{302}\u{303}n";
    let charset = Charset::new(b"ISO_IR 192", CharsetHint::Auto);
    let mut notes = Notes::default();
    assert_eq!(charset.decode(decomposed.as_bytes(), Vr::PN, &mut notes), "Nguyễn");
    assert_eq!(charset.decode_as_written(decomposed.as_bytes(), Vr::PN, &mut notes), decomposed);
}

#[test]
fn vietnamese_code_pages_by_hint() {
    // "Nguyễn Văn An", "Trần Thị Bưởi", "Đỗ Đức" in each.
    let windows = |text: &[u8]| hinted(CharsetHint::Windows1258, text);
    assert_eq!(windows(b"Nguy\xEA\xDEn V\xE3n An"), "Nguyễn Văn An");
    assert_eq!(windows(b"\xD0\xF4\xDE \xD0\xFD\xECc"), "Đỗ Đức");
    let tcvn = |text: &[u8]| hinted(CharsetHint::Tcvn3, text);
    assert_eq!(tcvn(b"Nguy\xD4n V\xA8n An"), "Nguyễn Văn An");
    assert_eq!(tcvn(b"Tr\xC7n Th\xDE B\xAD\xEBi"), "Trần Thị Bưởi");
    assert_eq!(tcvn(b"\xA7\xE7 \xA7\xF8c"), "Đỗ Đức");
    let vni = |text: &[u8]| hinted(CharsetHint::Vni, text);
    assert_eq!(vni(b"Nguye\xE3n Va\xEAn An"), "Nguyễn Văn An");
    assert_eq!(vni(b"Tra\xE0n Th\xF2 B\xF6\xF4\xFBi"), "Trần Thị Bưởi");
    assert_eq!(vni(b"\xD1o\xE3 \xD1\xF6\xF9c"), "Đỗ Đức");
    assert_eq!(vni(b"NGUYE\xC3N"), "NGUYỄN");
    // A hint never spoils what is right already.
    let mut notes = Notes::default();
    let text = Charset::new(b"ISO_IR 192", CharsetHint::Vni).decode("Đỗ".as_bytes(), Vr::PN, &mut notes);
    assert_eq!((text.as_str(), notes), ("Đỗ", Notes::default()));
}

#[test]
fn every_tcvn3_letter_is_in_its_place() {
    let table = "A1Ă A2Â A3Ê A4Ô A5Ơ A6Ư A7Đ A8ă A9â AAê ABô ACơ ADư AEđ B5à B6ả B7ã B8á B9ạ BBằ BCẳ BDẵ BEắ C6ặ C7ầ \
                 C8ẩ C9ẫ CAấ CBậ CCè CEẻ CFẽ D0é D1ẹ D2ề D3ể D4ễ D5ế D6ệ D7ì D8ỉ DCĩ DDí DEị DFò E1ỏ E2õ E3ó E4ọ E5ồ \
                 E6ổ E7ỗ E8ố E9ộ EAờ EBở ECỡ EDớ EEợ EFù F1ủ F2ũ F3ú F4ụ F5ừ F6ử F7ữ F8ứ F9ự FAỳ FBỷ FCỹ FDý FEỵ";
    for entry in table.split_whitespace() {
        let (code, letter) = entry.split_at(2);
        let code = u8::from_str_radix(code, 16).expect("hexadecimal");
        assert_eq!(hinted(CharsetHint::Tcvn3, &[code]), letter, "{code:02X}");
    }
}
