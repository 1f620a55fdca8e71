//! Worklist identifiers of every kind of right and wrong.

use super::*;
use crate::worklist_line::line;
use crate::worklist_line::tests::item;
use dataset::syntax::EXPLICIT_LE;
use model::FacilityCode;
use model::facility::{Letters, NameStyle};

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).expect("title")
}

fn source() -> Source {
    Source::new("56001-CT01", FacilityCode::parse("56001").expect("code"))
}

fn parsed(members: &Members, source: &Source) -> Result<Lines, (u16, String)> {
    let calling = title("CT01");
    let asking = Asking { source, calling: &calling, transfer_syntax: EXPLICIT_LE, keys_max: 256 };
    let bytes = nested::write(members, EXPLICIT_LE, "ISO_IR 192");
    parse(&bytes, &asking).map_err(|failure| (failure.status.code, failure.comment))
}

fn value(tag: u32, vr: &str, text: &str) -> (u32, Member) {
    (tag, Member::Value(Vr::named(vr), text.into()))
}

fn within(tag: u32, members: impl IntoIterator<Item = (u32, Member)>) -> (u32, Member) {
    (tag, Member::Items(vec![members.into_iter().collect()]))
}

/// A question with one key of the step.
fn step(tag: u32, vr: &str, text: &str) -> Result<Lines, (u16, String)> {
    parsed(&Members::from([within(STEPS, [value(tag, vr, text)])]), &source())
}

fn root(tag: u32, vr: &str, text: &str) -> Result<Lines, (u16, String)> {
    parsed(&Members::from([value(tag, vr, text)]), &source())
}

#[test]
fn the_archive_is_asked_for_what_it_keeps_worklists_by() {
    let keys = Members::from([
        value(ACCESSION, "SH", "A7"),
        value(PATIENT_NAME, "PN", "nguyen^van*"),
        value(PATIENT_ID, "LO", "22015985"),
        value(STUDY, "UI", "1.2.3\\1.2.4"),
        value(PROCEDURE_ID, "SH", "R1"),
        within(
            STEPS,
            [
                value(MODALITY, "CS", "CT\\MR"),
                value(STATION, "AE", "CT01"),
                value(START_DATE, "DA", "20260105"),
                value(START_TIME, "TM", "08-1030"),
                value(STEP_ID, "SH", "S1"),
            ],
        ),
    ]);
    let lines = parsed(&keys, &source()).expect("a question");
    let wanted = WorklistQuery {
        station: Some(title("CT01")),
        days: ("20260105".into(), "20260105".into()),
        times: ("080000".into(), "103059".into()),
        modalities: vec!["CT".into(), "MR".into()],
        name: "nguyen^van*".into(),
        mrn: "22015985".into(),
        accession: "A7".into(),
        procedure_id: "R1".into(),
        step_id: "S1".into(),
        studies: vec![Uid::parse("1.2.3").expect("uid"), Uid::parse("1.2.4").expect("uid")],
    };
    assert_eq!(lines.query, wanted);
    assert!(lines.keys.is_empty() && !lines.unsupported && !lines.nothing);
}

#[test]
fn empty_keys_and_a_star_match_everything() {
    for text in ["", " ", "*"] {
        let lines = parsed(
            &Members::from([
                value(PATIENT_NAME, "PN", text),
                within(STEPS, [value(STATION, "AE", text), value(START_DATE, "DA", text), value(MODALITY, "CS", text)]),
            ]),
            &source(),
        );
        let lines = lines.expect("a question");
        assert_eq!(lines.query, WorklistQuery::default(), "{text:?}");
        assert!(lines.keys.is_empty());
    }
    // Without the step, with an empty sequence, and with an empty item.
    for asked in
        [Members::new(), Members::from([(STEPS, Member::Items(Vec::new()))]), Members::from([within(STEPS, [])])]
    {
        assert_eq!(parsed(&asked, &source()).expect("a question").query, WorklistQuery::default());
    }
}

#[test]
fn dates_and_times_are_ranges_and_one_span_of_days() {
    let days = |text: &str| step(START_DATE, "DA", text).map(|lines| lines.query.days).map_err(|(status, _)| status);
    assert_eq!(days("20260105-20260107"), Ok(("20260105".into(), "20260107".into())));
    assert_eq!(days("20260105-"), Ok(("20260105".into(), String::new())));
    assert_eq!(days("-20260105"), Ok((String::new(), "20260105".into())));
    assert_eq!(days("2026.01.05"), Ok(("20260105".into(), "20260105".into())));
    for bad in ["tomorrow", "-", "20261305", "20260107-20260105"] {
        assert_eq!(days(bad), Err(0xC000), "{bad}");
    }
    let times = |days: &str, times: &str| {
        let keys = within(STEPS, [value(START_DATE, "DA", days), value(START_TIME, "TM", times)]);
        parsed(&Members::from([keys]), &source()).map(|lines| lines.query.times).map_err(|(status, _)| status)
    };
    let night = Ok(("220000".into(), "060059".into()));
    assert_eq!(times("20260105-20260106", "2200-0600"), night, "from the evening to the next morning");
    assert_eq!(times("20260105", "2200-0600"), Err(0xC000));
    assert_eq!(times("20260105-", "2200-0600"), Err(0xC000));
    assert_eq!(times("", "0830"), Ok(("083000".into(), "083059".into())));
    assert_eq!(times("", "half past eight"), Err(0xC000));
    assert!(step(START_TIME, "TM", "101010.1234567-").expect("a question").unsupported);
}

#[test]
fn other_keys_are_tested_on_the_lines() {
    let asks = |lines: Result<Lines, (u16, String)>| {
        let lines = lines.expect("a question");
        assert_eq!(lines.query, WorklistQuery::default(), "the archive is not asked");
        lines.accepts(&line(&item(1), &source(), &lines.station))
    };
    assert!(asks(step(0x0040_0006, "PN", "tran^binh*")) && !asks(step(0x0040_0006, "PN", "tran^an")));
    assert!(asks(step(0x0040_0007, "LO", "chup ct*")) && !asks(step(0x0040_0007, "LO", "chup mr*")));
    assert!(asks(step(STATION, "AE", "CT*")) && !asks(step(STATION, "AE", "MR*")));
    assert!(asks(step(STATION, "AE", "MR01\\CT01")) && !asks(step(MODALITY, "CS", "M*")));
    assert!(asks(step(STEP_ID, "SH", "S?")) && asks(root(ACCESSION, "SH", "A*")) && !asks(root(ACCESSION, "SH", "B*")));
    assert!(asks(root(0x0040_1003, "SH", "STAT")) && !asks(root(0x0040_1003, "SH", "ROUTINE")));
    assert!(asks(root(0x0038_0010, "LO", "V1")) && !asks(root(0x0038_0010, "LO", "V2")));
    assert!(asks(root(0x0010_0040, "CS", "F")) && !asks(root(0x0010_0040, "CS", "M")));
    let code = |code: &str, meaning: &str| {
        let keys = [value(0x0008_0100, "SH", code), value(0x0008_0104, "LO", meaning)];
        asks(parsed(&Members::from([within(STEPS, [within(0x0040_0008, keys)])]), &source()))
    };
    assert!(code("CT.NGUC", "nguc") && code("CT.BUNG", "") && !code("CT.NGUC", "bung"), "one item meets all");
    // A console that is not allowed to see the number cannot find by it.
    let national = Members::from([within(0x0010_1002, [value(PATIENT_ID, "LO", "056178000001")])]);
    assert!(!asks(parsed(&national, &source())));
    let known = Source { national_id: true, ..source() };
    let lines = parsed(&national, &known).expect("a question");
    assert!(lines.accepts(&line(&item(1), &known, &lines.station)));
}

#[test]
fn what_was_asked_is_answered_and_what_is_not_supported_left_out() {
    let asked = Members::from([
        value(0x0008_0052, "CS", "WORKLIST"),
        value(PATIENT_NAME, "PN", ""),
        value(0x0010_4000, "LT", ""),
        (0x0032_1064, Member::Items(Vec::new())),
        within(STEPS, [value(START_DATE, "DA", ""), within(0x0040_0008, [value(0x0008_0100, "SH", "")])]),
    ]);
    let lines = parsed(&asked, &source()).expect("a question");
    assert!(lines.unsupported, "comments of the patient are not kept");
    let answer = lines.answer(&line(&item(1), &source(), &lines.station), &source());
    let codes = ["CT.NGUC", "CT.BUNG"].map(|code| Members::from([value(0x0008_0100, "SH", code)]));
    let procedure = [
        value(0x0008_0100, "SH", "18.0191.0040"),
        value(0x0008_0102, "SH", "99HIS"),
        value(0x0008_0103, "SH", ""),
        value(0x0008_0104, "LO", "CT ngực"),
    ];
    let expected = Members::from([
        value(PATIENT_NAME, "PN", "Nguyễn^Ánh^Văn"),
        within(0x0032_1064, procedure),
        within(STEPS, [value(START_DATE, "DA", "20260105"), (0x0040_0008, Member::Items(codes.to_vec()))]),
    ]);
    assert_eq!(answer, expected);
    let whole = parsed(&Members::from([(STEPS, Member::Items(Vec::new()))]), &source()).expect("a question");
    let answer = whole.answer(&line(&item(1), &source(), &whole.station), &source());
    let Some(Member::Items(steps)) = answer.get(&STEPS) else { panic!("no step: {answer:?}") };
    assert_eq!(steps.first().map(|step| step.len()), Some(13), "all attributes of the step");
}

#[test]
fn each_console_has_its_own_letters_and_lengths() {
    let asked = Members::from([
        value(PATIENT_NAME, "PN", ""),
        value(PATIENT_ID, "LO", ""),
        within(STEPS, [value(0x0040_0007, "LO", ""), value(0x0040_0006, "PN", "")]),
    ]);
    let told = |source: &Source| {
        let lines = parsed(&asked, source).expect("a question");
        lines.answer(&line(&item(1), source, &lines.station), source)
    };
    let upper = Source { letters: Letters::AsciiUpper, names: NameStyle::Whole, text_max: Some(16), ..source() };
    let expected = |name: &str, description: &str, physician: &str| {
        Members::from([
            value(PATIENT_NAME, "PN", name),
            value(PATIENT_ID, "LO", "22015985"),
            within(STEPS, [value(0x0040_0007, "LO", description), value(0x0040_0006, "PN", physician)]),
        ])
    };
    assert_eq!(told(&upper), expected("NGUYEN VAN ANH", "CHUP CT NGUC", "TRAN THI BINH"));
    let utf8 = Source { letters: Letters::Utf8, ..source() };
    assert_eq!(told(&utf8), expected("Nguyễn^Ánh^Văn", "Chụp CT ngực", "Trần^Bình^Thị"));
}

#[test]
fn a_console_of_its_own_steps_asks_for_no_others() {
    let own = Source { worklist: WorklistScope::Own, ..source() };
    let asked = |station: &str| {
        parsed(&Members::from([within(STEPS, [value(STATION, "AE", station)])]), &own).expect("a question")
    };
    for (station, nothing) in [("", false), ("CT01", false), ("CT02", true), ("CT*", false)] {
        let lines = asked(station);
        assert_eq!((lines.query.station.clone(), lines.nothing), (Some(title("CT01")), nothing), "{station}");
    }
    assert_eq!(parsed(&Members::new(), &own).expect("a question").query.station, Some(title("CT01")));
    assert_eq!(step(STATION, "AE", "").expect("a question").query.station, None, "others ask for all");
}

#[test]
fn what_is_no_question_is_refused_and_names_no_value() {
    let two = Members::from([(STEPS, Member::Items(vec![Members::new(), Members::new()]))]);
    let many = Members::from([(STEPS, Member::Items(vec![Members::new(); 10_000]))]);
    let text = root(STEPS, "LO", "CT01");
    let sequence = parsed(&Members::from([within(PATIENT_NAME, [value(PATIENT_ID, "LO", "secret")])]), &source());
    let keys: Members = (0..300).map(|at| value(0x0009_1000 + at, "LO", "")).collect();
    for (refused, status) in [
        (parsed(&two, &source()), 0xA900),
        (parsed(&many, &source()), 0xA900),
        (text, 0xA900),
        (sequence, 0xA900),
        (parsed(&keys, &source()), 0xA700),
        (root(STUDY, "UI", "secret"), 0xC000),
        (root(0x0010_0030, "DA", "secret"), 0xC000),
        (root(0x0010_21C0, "LO", "secret"), 0xC000),
        (step(STATION, "AE", "secret title of more than 16"), 0xC000),
        (root(PATIENT_NAME, "PN", &"secret".repeat(1_000)), 0xC000),
    ] {
        let (code, comment) = refused.expect_err("refused");
        assert_eq!(code, status, "{comment}");
        assert!(!comment.contains("secret") && !comment.is_empty(), "{comment}");
    }
    let calling = title("CT01");
    let source = source();
    let asking = Asking { source: &source, calling: &calling, transfer_syntax: EXPLICIT_LE, keys_max: 256 };
    assert_eq!(parse(b"GARBAGE GARBAGE ", &asking).expect_err("garbage").status.code, 0xC000);
}

#[test]
fn an_other_vr_than_the_dictionary_has_is_read_as_text() {
    let lines = step(START_DATE, "LO", "20260105").expect("a question");
    assert_eq!(lines.query.days.0, "20260105");
    assert!(root(0x0010_1030, "DS", "52").expect("a question").unsupported, "weights are not matched");
}

#[test]
fn mangled_identifiers_never_panic() {
    let asked = Members::from([
        value(PATIENT_NAME, "PN", "Nguyễn*"),
        within(STEPS, [value(START_DATE, "DA", "20260101-"), within(0x0040_0008, [value(0x0008_0100, "SH", "X")])]),
    ]);
    let whole = nested::write(&asked, EXPLICIT_LE, "");
    for seed in 0..20_000u64 {
        crate::fuzz::identifier(&crate::fuzz::tests::mangled(&whole, seed));
    }
}
