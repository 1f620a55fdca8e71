//! Parameters as clients write them, and as nobody should.

use super::*;

fn ask(query: &str) -> Result<Question, Problem> {
    parse(Level::Study, &[], &split_query(query)?, &Options::default())
}

#[test]
fn attributes_are_named_by_tag_keyword_and_path() {
    let question =
        ask("PatientID=7&00080050=A%2B1&00400275.00400009=S&RequestAttributesSequence.RequestedProcedureID=R")
            .expect("readable");
    let keys: Vec<AttrKey> = question.query.conditions.iter().map(|c| c.key).collect();
    let expected =
        [key::PATIENT_ID, key::ACCESSION_NUMBER, key::SCHEDULED_PROCEDURE_STEP_ID, key::REQUESTED_PROCEDURE_ID];
    assert_eq!(keys, expected);
    let accession = question.query.conditions.get(1).map(|c| c.test.clone());
    assert_eq!(accession, Some(Test::Equal("A+1".into())));
    assert!(question.notes.is_empty());
    let mixed = ask("RequestAttributesSequence.00400009=S").expect("mixed path");
    assert_eq!(mixed.query.conditions.first().map(|c| c.key), Some(key::SCHEDULED_PROCEDURE_STEP_ID));
}

#[test]
fn include_fields_are_repeated_and_listed() {
    let question =
        ask("includefield=00081030,InstitutionName&includefield=PatientAge&includefield=RequestAttributesSequence")
            .expect("readable");
    let named = &question.fields.named;
    for wanted in [key::STUDY_DESCRIPTION, key::INSTITUTION_NAME, key::PATIENT_AGE, key::REQUESTED_PROCEDURE_ID] {
        assert!(named.contains(&wanted), "{wanted}");
    }
    assert!(!question.fields.all && ask("includefield=all").expect("all").fields.all);
    let unkept = ask("includefield=RadionuclideTotalDose,00181074").expect("known form");
    assert_eq!(unkept.notes.len(), 1);
    assert!(ask("includefield=no-such/field").is_err());
}

#[test]
fn limit_and_offset_have_named_bounds() {
    let options = Options::default();
    let question = ask("limit=20&offset=40&fuzzymatching=true").expect("readable");
    assert_eq!((question.limit, question.offset, question.limited_by_us), (20, 40, false));
    assert!(question.query.fuzzy);
    let many = ask("limit=99999999999").expect("cut, not refused");
    assert_eq!((many.limit, many.limited_by_us), (options.find_limit_max, true));
    assert!(ask(&format!("offset={}", options.find_offset_max)).is_ok());
    let beyond = ask(&format!("offset={}", options.find_offset_max + 1)).expect_err("beyond");
    assert_eq!(beyond.kind, Kind::BadRequest);
    assert!(beyond.detail.contains(&options.find_offset_max.to_string()));
}

#[test]
fn what_cannot_be_read_is_refused_without_repeating_values() {
    for bad in
        ["limit=-1", "limit=x", "fuzzymatching=yes", "StudyDate=SECRET", "page=2", "Patient Name=x", "a=%zz", "a=%ff"]
    {
        let problem = ask(bad).expect_err(bad);
        assert_eq!(problem.kind, Kind::BadRequest, "{bad}");
        assert!(!problem.detail.contains("SECRET"), "{bad}");
    }
    let many = vec!["PatientID=1"; 100].join("&");
    assert!(ask(&many).is_err());
}

#[test]
fn unsupported_attributes_are_ignored_with_a_warning() {
    let question = ask("RadionuclideTotalDose=3&NumberOfStudyRelatedSeries=2&PatientID=7").expect("readable");
    assert_eq!((question.notes.len(), question.query.conditions.len()), (2, 1));
}

#[test]
fn a_time_finer_than_a_microsecond_is_matched_without_its_rest_and_that_is_told() {
    let question = ask("StudyTime=101010.1234567-101010.7654321&StudyDate=20260101").expect("readable");
    assert_eq!((question.notes.len(), question.query.conditions.len()), (1, 2));
    assert!(question.notes.iter().all(|note| note.contains("StudyTime") && !note.contains("1010")));
    assert!(ask("StudyTime=101010.123456-").expect("readable").notes.is_empty());
    assert!(ask("StudyTime=101010.12345x7").is_err());
}

#[test]
fn a_plus_is_a_space_and_the_path_scopes() {
    let question = ask("PatientName=NGUYEN+VAN").expect("readable");
    let test = question.query.conditions.first().map(|c| c.test.clone());
    assert!(matches!(&test, Some(Test::Equal(name)) if name.contains(' ')), "{test:?}");
    let uid = Uid::parse("1.2.3").expect("uid");
    let scoped = parse(Level::Instance, &[uid.clone(), uid], &[], &Options::default()).expect("scoped");
    assert_eq!(scoped.scoped_levels, [Level::Study, Level::Series]);
    assert_eq!(scoped.query.conditions.len(), 2);
}

#[test]
fn empty_and_several_values_match_only_where_they_are_asked_for() {
    let test = |query: &str| ask(query).expect(query).query.conditions.first().map(|c| c.test.clone());
    assert_eq!(test("AccessionNumber=%22%22&emptyvaluematching=true"), Some(Test::Empty));
    assert_eq!(test("AccessionNumber=%22%22"), Some(Test::Equal("\"\"".into())));
    let several = test("multiplevaluematching=true&PatientName=An%5CB%C3%ACnh").expect("a condition");
    assert!(matches!(&several, Test::AnyOf(tests) if tests.len() == 2), "{several:?}");
    let row = attribute(key::PATIENT_NAME).expect("kept");
    for (name, fits) in [("Trần^Bình", true), ("Lê^An", true), ("Lê^Cường", false), ("", false)] {
        assert_eq!(several.accepts(row, name, false), fits, "{name}");
    }
    let codes = test("PatientID=1%5C2*&multiplevaluematching=true");
    assert_eq!(codes, Some(Test::OneOf(vec!["1".into(), "2*".into()])));
    let empty = attribute(key::ACCESSION_NUMBER).expect("kept");
    for (value, fits) in [("", true), (" ", true), ("A1", false)] {
        assert_eq!(Test::Empty.accepts(empty, value, false), fits, "{value:?}");
    }
}

#[test]
fn a_uid_that_is_given_twice_means_either() {
    let question = ask("StudyInstanceUID=1.2&StudyInstanceUID=1.3,1.2&PatientID=7").expect("readable");
    let tests: Vec<Test> = question.query.conditions.iter().map(|c| c.test.clone()).collect();
    assert_eq!(tests, [Test::OneOf(vec!["1.2".into(), "1.3".into()]), Test::Equal("7".into())]);
    let uid = Uid::parse("1.2").expect("uid");
    let other = split_query("StudyInstanceUID=1.3").expect("query");
    let scoped = parse(Level::Series, &[uid], &other, &Options::default()).expect("scoped");
    assert_eq!(scoped.query.conditions.len(), 2, "the path's own study always holds");
}
