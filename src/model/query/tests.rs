//! Values parse by their VR, and tests accept what the standard says they match.

use super::*;
use crate::attribute::{attribute, key};

fn test(key: AttrKey, text: &str) -> Result<Test, QueryError> {
    Test::parse(attribute(key).expect("in the table"), text)
}

fn accepts(key: AttrKey, text: &str, value: &str) -> bool {
    test(key, text).expect("parses").accepts(attribute(key).expect("in the table"), value, false)
}

#[test]
fn empty_keys_and_keys_that_are_only_returned_match_everything() {
    for text in ["", "  ", "*", "\0"] {
        assert_eq!(test(key::PATIENT_ID, text), Ok(Test::Any));
        assert_eq!(test(key::STUDY_DATE, text), Ok(Test::Any));
    }
    assert_eq!(test(key::NUMBER_OF_STUDY_RELATED_SERIES, "3"), Ok(Test::Any));
    assert_eq!(test(key::PATIENT_NAME, "^^"), Ok(Test::Any));
    assert!(accepts(key::PATIENT_ID, "", ""));
    assert!(!accepts(key::PATIENT_ID, "1", ""));
}

#[test]
fn dates_match_exactly_and_by_range() {
    let range = |from: Option<&str>, to: Option<&str>| Ok(Test::Range(from.map(Into::into), to.map(Into::into)));
    assert_eq!(test(key::STUDY_DATE, "20240131"), Ok(Test::Equal("20240131".into())));
    assert_eq!(test(key::STUDY_DATE, "2024.01.31"), Ok(Test::Equal("20240131".into())));
    assert_eq!(test(key::STUDY_DATE, "20240101-20240131"), range(Some("20240101"), Some("20240131")));
    assert_eq!(test(key::STUDY_DATE, "-20240131"), range(None, Some("20240131")));
    assert_eq!(test(key::STUDY_DATE, "20240101 -"), range(Some("20240101"), None));
    for (text, value, expected) in [
        ("20240101-20240131", "20240101", true),
        ("20240101-20240131", "20240131", true),
        ("20240101-20240131", "20240201", false),
        ("20240101-", "20231231", false),
        ("-20240131", "19000101", true),
        ("-20240131", "", false),
        ("-20240131", "yesterday", false),
        ("20240131", "2024.01.31", true),
    ] {
        assert_eq!(accepts(key::STUDY_DATE, text, value), expected, "{text} {value}");
    }
    for bad in ["2024", "20241301", "20240132", "2024010a", "-", "a-b", "20240101-x", "2024*", "20240101-1-2"] {
        assert_eq!(test(key::STUDY_DATE, bad), Err(QueryError::Date { keyword: "StudyDate" }), "{bad}");
    }
    assert_eq!(test(key::STUDY_DATE, "20240102-20240101"), Err(QueryError::Reversed { keyword: "StudyDate" }));
}

#[test]
fn times_mean_all_they_leave_open() {
    for (text, value, expected) in [
        ("10", "1000", true),
        ("10", "105959.999", true),
        ("10", "110000", false),
        ("1030", "103059", true),
        ("103015", "103015.5", true),
        ("103015.5", "103015.5", true),
        ("103015.5", "103015.6", false),
        ("08-12", "0800", true),
        ("08-12", "125959", true),
        ("08-12", "13", false),
        ("-12", "000000", true),
        ("10:30:15", "103015", true),
        ("10", "", false),
        ("10", "25", false),
        // Finer than a microsecond: cut off, in what is asked and in what is stored.
        ("103015.1234567", "103015.123456", true),
        ("103015.123456", "103015.1234567", true),
        ("103015.1234567", "103015.1234569", true),
        ("103015.1234567", "103015.123457", false),
        ("103015.1234567-", "103015.123455", false),
        ("-103015.1234567", "103015.1234569", true),
        ("-103015.1234567", "103015.123457", false),
    ] {
        assert_eq!(accepts(key::STUDY_TIME, text, value), expected, "{text} {value}");
    }
    for bad in ["1", "24", "1060", "10305", "103015.12345x7", "10.5", "ab", "-", "10-9x"] {
        assert_eq!(test(key::STUDY_TIME, bad), Err(QueryError::Time { keyword: "StudyTime" }), "{bad}");
    }
    assert_eq!(test(key::STUDY_TIME, "12-08"), Err(QueryError::Reversed { keyword: "StudyTime" }));
    for (text, finer) in
        [("103015.1234567", true), ("08-103015.1234567", true), ("103015.1234567 -", true), ("103015.123456", false)]
    {
        assert_eq!(is_finer(text), finer, "{text}");
    }
}

#[test]
fn lists_split_at_backslash_and_comma() {
    assert_eq!(test(key::STUDY_INSTANCE_UID, "1.2"), Ok(Test::Equal("1.2".into())));
    for text in ["1.2\\1.3", "1.2,1.3", "1.2, 1.3\0"] {
        assert_eq!(test(key::STUDY_INSTANCE_UID, text), Ok(Test::OneOf(vec!["1.2".into(), "1.3".into()])), "{text}");
    }
    assert!(accepts(key::STUDY_INSTANCE_UID, "1.2,1.3", "1.3"));
    assert!(!accepts(key::STUDY_INSTANCE_UID, "1.2,1.3", "1.4"));
    for bad in ["1.2*", "x", "../1"] {
        assert!(matches!(test(key::STUDY_INSTANCE_UID, bad), Err(QueryError::Uid { .. })), "{bad}");
    }
    let long = vec!["1.2"; Test::LIST_MAX + 1].join(",");
    assert!(matches!(test(key::STUDY_INSTANCE_UID, &long), Err(QueryError::TooLong { .. })));
    assert!(accepts(key::MODALITIES_IN_STUDY, "CT,MR", "SR\\MR"));
    assert!(!accepts(key::MODALITIES_IN_STUDY, "CT,MR", "SR\\US"));
    assert_eq!(test(key::PATIENT_ID, "1,2"), Ok(Test::Equal("1,2".into())));
}

#[test]
fn codes_keep_their_case_and_texts_do_not() {
    assert!(accepts(key::PATIENT_ID, "AB-1", "AB-1"));
    assert!(!accepts(key::PATIENT_ID, "ab-1", "AB-1"));
    assert!(accepts(key::PATIENT_ID, "AB*", "AB-1"));
    assert!(accepts(key::PATIENT_ID, "A?-1", "AB-1"));
    assert!(!accepts(key::PATIENT_ID, "AB?", "AB-1"));
    assert!(accepts(key::OTHER_PATIENT_IDS, "7", "5\\7"));
    assert!(accepts(key::STUDY_DESCRIPTION, "ct so nao", "CT sọ não"));
    assert!(accepts(key::STUDY_DESCRIPTION, "*nao*", "CT Sọ-Não (có thuốc)"));
    assert!(!accepts(key::STUDY_DESCRIPTION, "ct so", "CT sọ não"));
    assert!(accepts(key::INSTITUTION_NAME, "BV *Khánh Hòa", "BV đa khoa tỉnh Khánh Hoà"));
}

#[test]
fn numbers_match_whatever_their_form() {
    for value in ["7", "+7", "007", " 7"] {
        assert!(accepts(key::SERIES_NUMBER, "07", value), "{value}");
    }
    assert!(!accepts(key::SERIES_NUMBER, "7", "70"));
    assert!(matches!(test(key::SERIES_NUMBER, "7*"), Err(QueryError::Number { .. })));
}

#[test]
fn a_key_beyond_any_length_is_refused() {
    let long = "x".repeat(Test::TEXT_MAX + 1);
    for key in [key::PATIENT_ID, key::PATIENT_NAME, key::STUDY_DESCRIPTION, key::STUDY_DATE] {
        assert!(matches!(test(key, &long), Err(QueryError::TooLong { .. })), "{key}");
    }
}

#[test]
fn patterns_match_like_their_plain_definition() {
    /// The textbook recursion.
    fn plain(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                plain(rest, text) || text.split_first().is_some_and(|(_, text)| plain(pattern, text))
            }
            (Some(('?', pattern)), Some((_, text))) => plain(pattern, text),
            (Some((p, pattern)), Some((t, text))) => p == t && plain(pattern, text),
            _ => false,
        }
    }
    // A small generator of our own keeps the crate free of dependencies; the seed is fixed.
    let mut state = 1u32;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    for _ in 0..50_000 {
        let mut text = |letters: &[char], most: u32| -> Vec<char> {
            (0..draw(most)).map(|_| letters[draw(letters.len() as u32) as usize]).collect()
        };
        let (pattern, value) = (text(&['a', 'b', '*', '?'], 7), text(&['a', 'b'], 9));
        let (p, v): (String, String) = (pattern.iter().collect(), value.iter().collect());
        assert_eq!(glob(&p, &v), plain(&pattern, &value), "{p} {v}");
    }
}

#[test]
fn of_what_has_no_end_the_beginning_is_looked_at() {
    let words: Vec<String> = (0..200).map(|number| format!("w{number}")).collect();
    for (attribute, text) in [(key::PATIENT_NAME, words.join(" ")), (key::STUDY_DESCRIPTION, words.join(" "))] {
        // It is found by itself and by how it begins, by pattern too.
        for asked in [text.clone(), "w0 w1*".to_owned(), "w0*w63".to_owned()] {
            assert!(accepts(attribute, &asked, &text), "{asked}");
        }
        assert!(!accepts(attribute, "*w64*", &text));
    }
    assert!(
        accepts(key::PATIENT_NAME, "w63 w7", &words.join("^")) && !accepts(key::PATIENT_NAME, "w64", &words.join("^"))
    );
    let numbers = words.join("\\");
    assert!(accepts(key::OTHER_PATIENT_IDS, "w127", &numbers) && !accepts(key::OTHER_PATIENT_IDS, "w128", &numbers));
}
