//! Which key drives a query, and what is left to check on the rows.

use super::*;
use model::attribute::key;

fn driver(level: Level, fuzzy: bool, keys: &[(AttrKey, &str)]) -> Driver {
    let condition = |(key, text): &(AttrKey, &str)| {
        let test = Test::parse(attribute(*key).expect("in the table"), text).expect("parses");
        Condition { key: *key, test }
    };
    plan(&Query { level, conditions: keys.iter().map(condition).collect(), fuzzy }, None).driver
}

fn of_study(keys: &[(AttrKey, &str)]) -> Driver {
    driver(Level::Study, false, keys)
}

fn word(text: &str, prefix: bool) -> Word {
    Word { text: text.into(), prefix }
}

#[test]
fn the_most_selective_key_drives() {
    let all = [
        (key::STUDY_DATE, "20240101-"),
        (key::MODALITIES_IN_STUDY, "CT"),
        (key::ISSUER_OF_PATIENT_ID, "56001"),
        (key::PATIENT_NAME, "nguyen an"),
        (key::PATIENT_BIRTH_DATE, "19780101"),
        (key::PATIENT_ID, "P1"),
        (key::ACCESSION_NUMBER, "A1"),
        (key::STUDY_INSTANCE_UID, "1.2"),
    ];
    let names = vec![word("NGUYEN", false), word("AN", false)];
    let expected = [
        Driver::Dates,
        Driver::Values(key::MODALITIES_IN_STUDY, vec!["CT".into()]),
        Driver::Values(key::ISSUER_OF_PATIENT_ID, vec!["56001".into()]),
        Driver::Words(key::PATIENT_NAME, names),
        Driver::Values(key::PATIENT_BIRTH_DATE, vec!["19780101".into()]),
        Driver::Values(key::PATIENT_ID, vec!["P1".into()]),
        Driver::Values(key::ACCESSION_NUMBER, vec!["A1".into()]),
        Driver::Studies(vec![Uid::parse("1.2").expect("uid")]),
    ];
    for (count, expected) in expected.into_iter().enumerate() {
        assert_eq!(of_study(&all[..=count]), expected);
    }
}

#[test]
fn numbers_with_stars_in_them_drive_as_any_others_where_they_are_themselves() {
    let equal = |text: &str| Test::Equal(text.into());
    let by = |test: Test| {
        let conditions = vec![Condition { key: key::PATIENT_ID, test }];
        plan(&Query { level: Level::Study, conditions, fuzzy: false }, None).driver
    };
    let both = Driver::Values(key::PATIENT_ID, vec!["P*1".into(), "P2".into()]);
    assert_eq!(by(Test::AnyOf(vec![equal("P*1"), equal("P2")])), both);
    assert_eq!(by(Test::AnyOf(vec![equal("P2"), Test::Wildcard("P*".into())])), Driver::Dates);
    assert_eq!(by(Test::OneOf(vec!["P*1".into(), "P2".into()])), Driver::Dates);
}

#[test]
fn lower_levels_drive_through_their_studies() {
    let by_modality = driver(Level::Series, false, &[(key::MODALITY, "CT")]);
    assert_eq!(by_modality, Driver::Values(key::MODALITIES_IN_STUDY, vec!["CT".into()]));
    let by_uid = driver(Level::Instance, false, &[(key::SOP_INSTANCE_UID, "1.4"), (key::STUDY_INSTANCE_UID, "1.2")]);
    assert_eq!(by_uid, Driver::Instances(vec![Uid::parse("1.4").expect("uid")]));
    assert_eq!(driver(Level::Series, false, &[(key::MODALITY, "C*")]), Driver::Dates);
}

#[test]
fn patterns_give_the_words_they_cannot_do_without() {
    let words = |pattern| match of_study(&[(key::PATIENT_NAME, pattern)]) {
        Driver::Words(_, words) => words,
        _ => Vec::new(),
    };
    assert_eq!(words("nguyen^van*"), [word("NGUYEN", false), word("VAN", true)]);
    assert_eq!(words("nguyen* an"), [word("NGUYEN", true), word("AN", false)]);
    assert_eq!(words("ngu?en"), [word("NGU", true)]);
    assert_eq!(words("*van an"), [word("AN", false)]);
    assert_eq!(words("*an"), []);
    assert_eq!(driver(Level::Study, true, &[(key::PATIENT_NAME, "ng an")]), {
        Driver::Words(key::PATIENT_NAME, vec![word("NG", true), word("AN", true)])
    });
}

#[test]
fn beginnings_of_identifiers_drive_and_short_ones_only_when_nothing_better_does() {
    assert_eq!(of_study(&[(key::PATIENT_ID, "2201*")]), Driver::Prefix(key::PATIENT_ID, "2201".into()));
    assert_eq!(of_study(&[(key::PATIENT_ID, "2*")]), Driver::Prefix(key::PATIENT_ID, "2".into()));
    assert_eq!(of_study(&[(key::PATIENT_ID, "*2")]), Driver::Dates);
    let short = [(key::PATIENT_ID, "2*"), (key::PATIENT_NAME, "an")];
    assert_eq!(of_study(&short), Driver::Words(key::PATIENT_NAME, vec![word("AN", false)]));
}

#[test]
fn the_range_of_dates_is_what_all_conditions_leave() {
    let bounds = |texts: &[&str]| {
        let attribute = attribute(key::STUDY_DATE).expect("in the table");
        let condition =
            |text: &&str| Condition { key: key::STUDY_DATE, test: Test::parse(attribute, text).expect("date") };
        let conditions = texts.iter().map(condition).collect();
        plan(&Query { level: Level::Study, conditions, fuzzy: false }, None).dates
    };
    assert_eq!(bounds(&[]), None);
    assert_eq!(bounds(&["20240131"]), Some((20240131, 20240131)));
    assert_eq!(bounds(&["20240101-"]), Some((20240101, u32::MAX)));
    assert_eq!(bounds(&["-20240101"]), Some((1, 20240101)));
    assert_eq!(bounds(&["20230101-20240101", "20231231-"]), Some((20231231, 20240101)));
}
