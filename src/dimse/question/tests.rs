//! Identifiers of every kind of right and wrong.

use super::*;
use model::Level;

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn reading(root: Root) -> Reading<'static> {
    Reading { root, extended: Extended::default(), transfer_syntax: EXPLICIT, hint: CharsetHint::Auto, keys_max: 256 }
}

fn asked(root: Root, keys: &[(AttrKey, &str, &str)]) -> Result<Question, (u16, String)> {
    let bytes = identifier::write(keys, EXPLICIT, "ISO_IR 192");
    parse(&bytes, &reading(root)).map_err(|failure| (failure.status.code, failure.comment))
}

fn level(term: &str) -> (AttrKey, &'static str, &str) {
    (LEVEL, "CS", term)
}

#[test]
fn a_question_restricts_by_values_and_returns_every_key() {
    let question = asked(
        Root::Study,
        &[
            level("STUDY"),
            (key::PATIENT_NAME, "PN", "Nguyễn*"),
            (key::STUDY_DATE, "DA", "20260101-"),
            (key::ACCESSION_NUMBER, "SH", ""),
            (key::REQUESTED_PROCEDURE_ID, "SH", ""),
        ],
    );
    // The request attributes belong to the series.
    let question = question.expect("a question");
    assert_eq!(question.wanted.query.conditions.len(), 2);
    assert!(question.unsupported);
    let returned: Vec<AttrKey> = question.returned.iter().map(|(key, _)| *key).collect();
    for key in [key::PATIENT_NAME, key::STUDY_DATE, key::ACCESSION_NUMBER, key::STUDY_INSTANCE_UID] {
        assert!(returned.contains(&key), "{key}");
    }
    assert_eq!(question.wanted.returned, Some(returned), "the archive is asked for nothing else");
    assert_eq!(question.charset, "ISO_IR 192");
}

#[test]
fn the_level_must_be_there_and_in_the_model() {
    assert_eq!(asked(Root::Study, &[(key::PATIENT_ID, "LO", "1")]).expect_err("none").0, 0xA900);
    assert_eq!(asked(Root::Study, &[level("")]).expect_err("empty").0, 0xA900);
    assert_eq!(asked(Root::Study, &[level("PATIENT")]).expect_err("no patients").0, 0xA900);
    assert_eq!(asked(Root::PatientStudyOnly, &[level("SERIES")]).expect_err("no series").0, 0xA900);
    assert_eq!(asked(Root::Patient, &[level("EVERYTHING")]).expect_err("no level").0, 0xA900);
}

#[test]
fn levels_above_are_pinned_down_unless_relational() {
    let series = |uid| asked(Root::Study, &[level("SERIES"), (key::STUDY_INSTANCE_UID, "UI", uid)]);
    assert_eq!(series("1.2.3").expect("pinned").wanted.query.level, Level::Series);
    for bad in ["", "*", "1.2\\1.3", "1.2.x"] {
        let (status, comment) = series(bad).expect_err(bad);
        assert_eq!(status, 0xA900, "{bad}");
        assert!(comment.contains("StudyInstanceUID"), "{comment}");
    }
    let patient = asked(Root::Patient, &[level("STUDY"), (key::PATIENT_ID, "LO", "A*")]);
    assert_eq!(patient.expect_err("a pattern").0, 0xA900);
    let bytes = identifier::write(&[level("SERIES"), (key::MODALITY, "CS", "CT")], EXPLICIT, "");
    let relational = Extended { relational: true, ..Extended::default() };
    let question = parse(&bytes, &Reading { extended: relational, ..reading(Root::Study) }).expect("relational");
    assert_eq!(question.wanted.query.conditions.len(), 1);
}

#[test]
fn a_date_and_a_time_are_one_span_where_that_was_negotiated() {
    let keys = [level("STUDY"), (key::STUDY_DATE, "DA", "20260105-20260107"), (key::STUDY_TIME, "TM", "2200-0600")];
    let (status, _) = asked(Root::Study, &keys).expect_err("a time range over midnight");
    assert_eq!(status, 0xC000);
    let bytes = identifier::write(&keys, EXPLICIT, "");
    let combined = Extended { combined: true, ..Extended::default() };
    let question = parse(&bytes, &Reading { extended: combined, ..reading(Root::Study) }).expect("a span");
    let conditions: Vec<AttrKey> = question.wanted.query.conditions.iter().map(|condition| condition.key).collect();
    assert_eq!((conditions, question.wanted.moments.len()), (vec![key::STUDY_DATE], 1));
    assert!(question.returned.iter().any(|(key, _)| *key == key::STUDY_TIME));
}

#[test]
fn a_zone_moves_dates_and_times_where_that_was_negotiated() {
    let keys = |zone| {
        let day = (key::STUDY_DATE, "DA", "20260105");
        [level("STUDY"), day, (key::TIMEZONE_OFFSET_FROM_UTC, "SH", zone)]
    };
    let plain = asked(Root::Study, &keys("+0900")).expect("a question");
    assert!(plain.unsupported && plain.wanted.zone.is_none() && plain.wanted.zoned.is_empty());
    let zoned = |zone| {
        let bytes = identifier::write(&keys(zone), EXPLICIT, "");
        let extended = Extended { zone: true, ..Extended::default() };
        parse(&bytes, &Reading { extended, ..reading(Root::Study) }).map_err(|failure| failure.status.code)
    };
    let question = zoned("+0900").expect("a question");
    assert!(!question.unsupported && question.wanted.zone.is_some());
    assert_eq!((question.wanted.zoned.len(), question.wanted.query.conditions.len()), (1, 1));
    assert_eq!(zoned("").expect("no zone").wanted.zone, None);
    assert_eq!(zoned("9 o'clock").expect_err("no zone"), 0xC000);
}

#[test]
fn keys_of_lower_levels_are_refused_with_a_value_and_left_out_without() {
    let (status, comment) =
        asked(Root::Study, &[level("STUDY"), (key::SERIES_DESCRIPTION, "LO", "Thorax")]).expect_err("wrong level");
    assert_eq!(status, 0xA900);
    assert!(comment.contains("SeriesDescription") && !comment.contains("Thorax"), "{comment}");
    let left_out = asked(Root::Study, &[level("STUDY"), (key::SERIES_DESCRIPTION, "LO", "")]).expect("left out");
    assert!(left_out.unsupported);
    assert!(!left_out.returned.iter().any(|(key, _)| *key == key::SERIES_DESCRIPTION));
    let modality = asked(Root::Study, &[level("STUDY"), (key::MODALITY, "CS", "CT")]).expect("as viewers mean it");
    assert_eq!(modality.wanted.query.conditions.first().map(|c| c.key), Some(key::MODALITIES_IN_STUDY));
}

#[test]
fn values_that_are_none_and_lists_without_end_are_refused() {
    let study = |key, vr, text: &str| asked(Root::Study, &[level("STUDY"), (key, vr, text)]).map(|_| ());
    assert_eq!(study(key::STUDY_DATE, "DA", "yesterday").expect_err("date").0, 0xC000);
    assert_eq!(study(key::STUDY_DATE, "DA", "20260201-20260101").expect_err("reversed").0, 0xC000);
    assert_eq!(study(key::STUDY_INSTANCE_UID, "UI", "1.2.x").expect_err("uid").0, 0xC000);
    let list = vec!["1.2.3"; 1000].join("\\");
    assert_eq!(study(key::STUDY_INSTANCE_UID, "UI", &list), Ok(()));
    let longer = vec!["1.2.3"; 10_000].join("\\");
    assert_eq!(study(key::STUDY_INSTANCE_UID, "UI", &longer).expect_err("long").0, 0xC000);
}

#[test]
fn a_sequence_where_none_belongs_is_refused_and_an_empty_one_asks_for_all_of_it() {
    // PatientName as a sequence without items, explicit VR.
    let mut bytes = identifier::write(&[level("STUDY")], EXPLICIT, "");
    bytes.extend_from_slice(&[0x10, 0, 0x10, 0, b'S', b'Q', 0, 0, 0, 0, 0, 0]);
    let refused = parse(&bytes, &reading(Root::Study)).expect_err("no sequence");
    assert_eq!(refused.status.code, 0xA900);
    let mut bytes = identifier::write(&[level("STUDY")], EXPLICIT, "");
    bytes.extend_from_slice(&[0x08, 0, 0x32, 0x10, b'S', b'Q', 0, 0, 0, 0, 0, 0]);
    let question = parse(&bytes, &reading(Root::Study)).expect("procedure codes");
    assert!(question.returned.iter().any(|(key, _)| *key == key::PROCEDURE_CODE_VALUE));
}

#[test]
fn a_time_finer_than_a_microsecond_is_asked_without_its_rest_and_that_is_told() {
    let study = |times: &str, combined| {
        let keys = [level("STUDY"), (key::STUDY_DATE, "DA", "20260101-"), (key::STUDY_TIME, "TM", times)];
        let extended = Extended { combined, ..Extended::default() };
        let question = parse(&identifier::write(&keys, EXPLICIT, ""), &Reading { extended, ..reading(Root::Study) });
        let question = question.expect("a question");
        (question.unsupported, question.wanted.query.conditions.len(), question.wanted.moments.len())
    };
    assert_eq!(study("101010.123456-", false), (false, 2, 0));
    assert_eq!(study("101010.1234567-", false), (true, 2, 0));
    assert_eq!(study("101010.1234567-", true), (true, 1, 1));
}

#[test]
fn bytes_that_are_no_data_set_are_refused() {
    for bytes in [&b"\x08\0"[..], b"GARBAGE GARBAGE", &[0xFF; 64]] {
        assert_eq!(parse(bytes, &reading(Root::Study)).expect_err("garbage").status.code, 0xC000);
    }
    assert_eq!(parse(&[], &reading(Root::Study)).expect_err("empty").status.code, 0xA900);
}

#[test]
fn mangled_identifiers_never_panic() {
    let whole = identifier::write(
        &[level("STUDY"), (key::PATIENT_NAME, "PN", "Nguyễn*"), (key::PROCEDURE_CODE_VALUE, "SH", "X")],
        EXPLICIT,
        "",
    );
    for seed in 0..20_000u64 {
        crate::fuzz::identifier(&crate::fuzz::tests::mangled(&whole, seed));
    }
}
