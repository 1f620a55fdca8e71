//! Rows come back as they were written, and rows of the first version are read for ever.

use super::*;
use crate::row::PackRow;
use crate::walk::OF_SERIES;
use model::attribute::key;
use model::pack::ColdCopy;
use model::{Frames, Layout, Lsn, Uid};

/// Rows of version 1 as they were first written. Never edited: data folders hold rows like these.
const ROWS_1: &str = include_str!("../tests/fixtures/rows-1.txt");

/// Rows of version 2, likewise.
const ROWS_2: &str = include_str!("../tests/fixtures/rows-2.txt");

/// Rows of version 3, likewise.
const ROWS_3: &str = include_str!("../tests/fixtures/rows-3.txt");

/// Rows of version 4, likewise: of studies alone.
const ROWS_4: &str = include_str!("../tests/fixtures/rows-4.txt");

/// A study and a series of which senders state numbers, likewise.
const STATED_4: &str = include_str!("../tests/fixtures/stated-4.txt");

/// Instances of version 4, likewise.
const INSTANCES_4: &str = include_str!("../tests/fixtures/instances-4.txt");

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

fn study_sample() -> StudyRow {
    StudyRow {
        key: StudyKey { facility: FacilityCode::parse("56001").expect("code"), study: uid("1.2.840.99"), patient: 1 },
        attributes: Attributes::from([
            (key::STUDY_DATE, "20240131".to_owned()),
            (key::PATIENT_NAME, "Nguyễn^Văn^An".to_owned()),
            (key::PROCEDURE_CODE_VALUE, "XQ01".to_owned()),
            (key::ACCESSION_NUMBER, String::new()),
        ]),
        modalities: ["CT".to_owned(), "SR".to_owned()].into(),
        sop_classes: [uid("1.2.840.10008.5.1.4.1.1.2")].into(),
        series: 2,
        busy_series: 1,
        instances: 512,
        bytes: 270_000_000,
        first_seq: 1000,
        last_seq: 1511,
        last_received: 1_706_700_000_123,
        complete_through: Some(1400),
        rejected: 0,
        hidden_by: None,
        version_fact: 0,
        unfit: 0,
        empty_series: 0,
        corrected: Corrected::default(),
    }
}

fn series_sample() -> SeriesRow {
    SeriesRow {
        key: SeriesKey { study: study_sample().key, series: uid("1.2.840.99.1") },
        study_rank: 2,
        attributes: Attributes::from([(key::MODALITY, "CT".to_owned()), (key::SERIES_NUMBER, "3".to_owned())]),
        instances: 500,
        bytes: 269_000_000,
        first_seq: 1001,
        last_seq: 1511,
        last_received: 1_706_700_000_123,
        quiet_through: None,
        packed: 0,
        rejected: 0,
        unfit: 0,
        version_fact: 0,
    }
}

fn layout_sample() -> Layout {
    let fragments = vec![Span { at: 1208, len: 100 }, Span { at: 1316, len: 90 }, Span { at: 1414, len: 120 }];
    let value = Span { at: 1200, len: 334 };
    Layout {
        pixel: Some(PixelSpan { tag: 0x7fe0_0010, header: 1188, value, end: 1542 }),
        frames: Frames::Encapsulated { fragments, starts: Some(vec![0, 2]) },
        dataset_len: 1542,
    }
}

fn instance_sample() -> InstanceRow {
    InstanceRow {
        key: series_sample().key,
        sop_instance: uid("1.2.840.99.1.7"),
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
        transfer_syntax: uid("1.2.840.10008.1.2.4.70"),
        seq: 1007,
        received: 1_706_700_000_001,
        via: Via::Stow,
        source: "ct-01".into(),
        digest: Sameness::Sha256([0xab; 32]),
        meta_digest: Digest([0xcd; 32]),
        loose_crc: 0xdead_beef,
        meta_len: 344,
        file_len: 527_000,
        attributes: Attributes::from([(key::INSTANCE_NUMBER, "7".to_owned())]),
        flags: vec![Flag::OddLength, Flag::OtherStudy],
        outcome: Outcome { copy: 1, difference: Some(Difference::Syntax), patient: 1, study: 2 },
        home: Home::Journal(Place {
            segment: 3,
            generation: 2,
            offset: 123_456_789,
            head_len: 950,
            body_len: 527_000,
            blob: Some("b-17".into()),
        }),
        pixel: layout_sample().pixel,
        frames: FrameSummary::of(&layout_sample().frames),
        dataset_len: 1542,
        rejected: None,
        correction: None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(put: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut out = Encoder::default();
    put(&mut out);
    out.bytes
}

fn fixture(name: &str) -> Vec<u8> {
    fixture_of(ROWS_1, name)
}

fn fixture_of(rows: &str, name: &str) -> Vec<u8> {
    let line = rows.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("the fixture's line");
    let digits: Vec<u8> =
        line.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()).expect("hex")).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn rows_of_version_1_are_read_for_ever() {
    assert_eq!(study(&fixture("study")).expect("study"), study_sample());
    assert_eq!(series(&study_sample().key, &fixture("series")).expect("series"), series_sample());
    assert_eq!(instance(&series_sample().key, &fixture("instance")).expect("instance"), instance_sample());
    assert_eq!(layout(&fixture("layout")).expect("layout"), layout_sample());
}

#[test]
fn rows_of_version_2_are_read_for_ever() {
    let counted = SeriesRow { packed: 3, rejected: 1, ..series_sample() };
    let hidden = StudyRow { rejected: 1, hidden_by: Some("2036-q1".into()), version_fact: 700, ..study_sample() };
    let row = |name: &str| fixture_of(ROWS_2, name);
    assert_eq!(study(&row("study")).expect("study"), hidden);
    assert_eq!(series(&study_sample().key, &row("series")).expect("series"), counted);
    assert_eq!(instance(&series_sample().key, &row("packed")).expect("instance"), packed_sample());
    let fold = Fold::open(&series_sample().key, &fixture_of(FOLDS_2, "fold")).expect("a fold");
    assert_eq!(fold.all().expect("all"), folded_samples());
}

fn packed_sample() -> InstanceRow {
    let home = Home::Pack { pack: PackId::new([0x5a; 16]), slot: 300 };
    InstanceRow { home, rejected: Some(RejectReason::PatientSafety), ..instance_sample() }
}

fn pack_sample(cold: bool) -> PackRow {
    let copy = ColdCopy {
        key: "packs/5a".into(),
        version: Some("v7".into()),
        len: 12_400,
        sha256: Digest([0x22; 32]),
        sealed: true,
        class: None,
        locked_until: Some(1_900_000_000_000),
        held: false,
        at: 1_706_700_000_009,
    };
    PackRow {
        pack: PackId::new([0x5a; 16]),
        series: series_sample().key,
        part: 2,
        len: 12_345,
        sha256: Digest([0x11; 32]),
        raw: 54_321,
        instances: 40,
        first_seq: 1000,
        last_seq: 1041,
        packed_at: 1_706_700_000_005,
        hot: !cold,
        cold: cold.then_some(copy),
    }
}

#[test]
fn a_corrected_study_is_written_in_version_4() {
    let mut row = StudyRow { rejected: 3, hidden_by: Some("2036-q1".into()), version_fact: 700, ..study_sample() };
    row.correct(&Attributes::from([(key::PATIENT_NAME, "Lê^An".into()), (key::STUDY_ID, "7".into())]));
    let now = format!("study {}\n", hex(&encoded(|out| put_study(out, &row))));
    assert!(now == ROWS_4, "the row is now written as\n{now}");
    assert_eq!(study(&fixture_of(ROWS_4, "study")).expect("study"), row);
    assert_eq!(row.attributes.get(&key::PATIENT_NAME).map(String::as_str), Some("Lê^An"));
    // A later instance is taken in as before, and nothing is left of a correction that is taken back.
    row.absorb(&Attributes::from([(key::ACCESSION_NUMBER, "A7".into()), (key::PATIENT_NAME, "Khác".into())]));
    assert_eq!(row.attributes.get(&key::PATIENT_NAME).map(String::as_str), Some("Lê^An"));
    row.correct(&Attributes::new());
    let mut plain = study_sample();
    plain.attributes.insert(key::ACCESSION_NUMBER, "A7".into());
    assert_eq!((row.attributes, row.corrected), (plain.attributes, Corrected::default()));
}

#[test]
fn numbers_that_senders_state_stand_among_the_attributes() {
    let mut row = study_sample();
    row.absorb(&Attributes::from([(key::NUMBER_OF_STUDY_RELATED_INSTANCES, "513".into())]));
    let mut of_series = series_sample();
    of_series.attributes.insert(key::NUMBER_OF_SERIES_RELATED_INSTANCES, "501".into());
    let (one, two) = (encoded(|out| put_study(out, &row)), encoded(|out| put_series(out, &of_series)));
    let now = format!("study {}\nseries {}\n", hex(&one), hex(&two));
    assert!(now == STATED_4, "the rows are now written as\n{now}");
    assert_eq!(study(&fixture_of(STATED_4, "study")).expect("study"), row);
    assert_eq!(series(&row.key, &fixture_of(STATED_4, "series")).expect("series"), of_series);
    assert_eq!((row.stated(key::NUMBER_OF_STUDY_RELATED_INSTANCES), of_series.stated()), (Some(513), Some(501)));
    // What is answered is what is there.
    assert_eq!(row.value(key::NUMBER_OF_STUDY_RELATED_INSTANCES).as_deref(), Some("512"));
    assert_eq!(study_sample().stated(key::NUMBER_OF_STUDY_RELATED_SERIES), None);
}

#[test]
fn rows_are_written_in_the_newest_version_and_come_back() {
    let counted = SeriesRow { packed: 3, rejected: 3, unfit: 2, version_fact: 700, ..series_sample() };
    let plan = Some("2036-q1".into());
    let hidden = StudyRow { rejected: 3, unfit: 2, empty_series: 1, hidden_by: plan, ..study_sample() };
    let rows = [
        ("series", encoded(|out| put_series(out, &counted))),
        ("layout", encoded(|out| put_layout(out, &layout_sample()))),
        ("pack", encoded(|out| put_pack(out, &pack_sample(false)))),
        ("cold", encoded(|out| put_pack(out, &pack_sample(true)))),
    ];
    let row = |name: &str| fixture_of(ROWS_3, name);
    // Holds while version 3 is the newest; a new version gets a fixture of its own.
    for (name, bytes) in rows {
        assert!(row(name) == bytes, "the row is now written as\n{name} {}", hex(&bytes));
    }
    assert_eq!(study(&row("study")).expect("study"), hidden);
    assert_eq!(series(&study_sample().key, &row("series")).expect("series"), counted);
    assert_eq!(instance(&series_sample().key, &row("instance")).expect("instance"), instance_sample());
    assert_eq!(instance(&series_sample().key, &row("packed")).expect("instance"), packed_sample());
    assert_eq!(layout(&row("layout")).expect("layout"), layout_sample());
    let name = pack_sample(false).pack;
    assert_eq!(pack(name, &row("pack")).expect("pack"), pack_sample(false));
    assert_eq!(pack(name, &row("cold")).expect("pack"), pack_sample(true));
    // A legal hold came later: it is a bit of the form's byte, which older rows leave clear.
    let mut held = pack_sample(true);
    held.cold.as_mut().expect("a copy").held = true;
    assert_eq!(pack(name, &encoded(|out| put_pack(out, &held))).expect("pack"), held);
    let number: Lsn = 7;
    assert_eq!(encoded(|out| out.number(number)), [7]);
}

#[test]
fn instances_are_written_in_version_4_which_says_the_kind_of_the_digest() {
    let newer = InstanceRow { digest: Sameness::Blake3([0xab; 32]), ..instance_sample() };
    for (name, sample) in [("instance", &newer), ("packed", &packed_sample())] {
        let bytes = encoded(|out| put_instance(out, sample));
        let fixture = fixture_of(INSTANCES_4, name);
        assert!(bytes == fixture, "the row is now written as\n{name} {}", hex(&bytes));
        assert_eq!(instance(&series_sample().key, &fixture).expect("instance"), *sample);
        assert_eq!(instance_dates(&fixture, &mut |_| {}).expect("a row"), sample.received);
    }
    assert_eq!(packed_sample().digest.kind(), SamenessKind::Sha256);
    assert_eq!(
        instance_dates(&fixture_of(ROWS_3, "instance"), &mut |_| {}).expect("a row"),
        instance_sample().received
    );
    let mut unknown = encoded(|out| put_instance(out, &newer));
    let at = unknown.windows(32).position(|bytes| bytes == [0xab; 32]).expect("the digest");
    unknown[at - 1] = 2;
    assert!(matches!(instance(&series_sample().key, &unknown), Err(IndexError::Damaged { .. })));
}

#[test]
fn every_code_is_unique_and_every_flag_has_one() {
    let flags: std::collections::BTreeSet<u8> = FLAGS.iter().map(|(code, _)| *code).collect();
    assert_eq!(flags.len(), FLAGS.len());
    // A flag without a code does not compile here: add it to the list and to `FLAGS`.
    let code = |flag: Flag| match flag {
        Flag::OddLength => 1,
        Flag::TrailingBytes => 2,
        Flag::UnknownVr => 3,
        Flag::UidForm => 4,
        Flag::CharsetRepaired => 5,
        Flag::CharsetInvalid => 6,
        Flag::CharsetUnknown => 7,
        Flag::FramesDisagree => 8,
        Flag::MissingDelimiter => 9,
        Flag::TagOrder => 10,
        Flag::MetaDisagrees => 11,
        Flag::MissingMeta => 12,
        Flag::ValueForm => 13,
        Flag::ValueLength => 14,
        Flag::FramesUnknown => 15,
        Flag::UnknownSyntax => 16,
        Flag::OtherPatient => 17,
        Flag::OtherStudy => 18,
    };
    for (known, flag) in FLAGS {
        assert_eq!(code(flag), known);
    }
}

#[test]
fn a_damaged_row_is_an_error_and_never_a_panic() {
    let mut rng = fastrand::Rng::with_seed(7);
    let rows = ["study", "series", "instance", "layout", "packed", "pack", "cold"].map(|name| fixture_of(ROWS_3, name));
    let rows = [rows.as_slice(), &["instance", "packed"].map(|name| fixture_of(INSTANCES_4, name))].concat();
    for _ in 0..20_000 {
        let mut row = rows[rng.usize(..rows.len())].clone();
        row.truncate(rng.usize(..=row.len()));
        for _ in 0..rng.usize(..4) {
            if !row.is_empty() {
                let at = rng.usize(..row.len());
                row[at] = rng.u8(..);
            }
        }
        let _ = (study(&row), series(&study_sample().key, &row), layout(&row));
        let _ = (instance(&series_sample().key, &row), pack(pack_sample(true).pack, &row));
        let _ = (series_values(&row, &OF_SERIES, &mut |_| {}), instance_dates(&row, &mut |_| {}), pack_bytes(&row));
    }
    assert!(matches!(study(&[5]), Err(IndexError::Newer { found: 5, known: 4 })));
    assert!(matches!(study(&[1]), Err(IndexError::Damaged { .. })));
}

/// Folds as they were first written, likewise.
const FOLDS_2: &str = include_str!("../tests/fixtures/folds-2.txt");

/// Folds of version 3, likewise.
const FOLDS_3: &str = include_str!("../tests/fixtures/folds-3.txt");

/// Folds of version 4, likewise.
const FOLDS_4: &str = include_str!("../tests/fixtures/folds-4.txt");

fn folded_samples() -> Vec<Folded> {
    let first = Folded::new(instance_sample(), (PackId::new([0x5a; 16]), 300), Some(layout_sample()));
    let row = InstanceRow {
        sop_instance: uid("1.2.840.99.1.18"),
        seq: 1009,
        received: instance_sample().received - 5,
        attributes: Attributes::from([(key::ROWS, "512".to_owned())]),
        flags: Vec::new(),
        frames: FrameSummary::Native { count: 1, bits: 4096 },
        rejected: Some(RejectReason::PatientSafety),
        ..instance_sample()
    };
    let second = Folded::new(row.clone(), (PackId::new([0x5b; 16]), 2), None);
    let third =
        InstanceRow { sop_instance: uid("2.25.7"), seq: 1100, received: row.received + 900, ..first.row.clone() };
    let third = Folded::new(third, (PackId::new([0x5a; 16]), 0), Some(layout_sample()));
    vec![first, second, third]
}

/// Of both kinds: the first one's, another, the first one's again.
fn mixed_samples() -> Vec<Folded> {
    let mut samples = folded_samples();
    samples[0].row.digest = Sameness::Blake3([0xab; 32]);
    samples[2].row.digest = Sameness::Blake3([0xab; 32]);
    samples
}

#[test]
fn folds_are_written_as_ever_and_come_back() {
    let samples = mixed_samples();
    let written = folds(&samples);
    assert_eq!(written.len(), 1);
    let now = format!("fold {}\n", hex(&written[0].1));
    assert!(now == FOLDS_4, "a fold is now written as\n{now}");
    let older = Fold::open(&series_sample().key, &fixture_of(FOLDS_3, "fold")).expect("a fold");
    assert_eq!(older.all().expect("all"), folded_samples());
    let fold = Fold::open(&series_sample().key, &fixture_of(FOLDS_4, "fold")).expect("a fold");
    assert_eq!(fold.all().expect("all"), samples);
    // The first one SHA-256, another BLAKE3.
    let mut turned = folded_samples();
    turned[1].row.digest = Sameness::Blake3([7; 32]);
    let (_, bytes) = folds(&turned).remove(0);
    assert_eq!(Fold::open(&series_sample().key, &bytes).expect("a fold").all().expect("all"), turned);
    for (at, sample) in samples.iter().enumerate() {
        assert_eq!(fold.row(at).expect("a row"), sample.row);
        assert_eq!(fold.position(sample.row.seq), Ok(at));
    }
    assert_eq!((fold.position(1), fold.position(1050), fold.position(5000)), (Err(0), Err(2), Err(3)));
}

#[test]
fn long_runs_are_cut_into_folds_and_one_long_layout_is_a_fold() {
    let row = |seq: u64| InstanceRow { seq, sop_instance: uid(&format!("1.2.3.{seq}")), ..instance_sample() };
    let fragments: Vec<Span> = (0..40_000u64).map(|at| Span { at: at * 997, len: at % 900 }).collect();
    let long = Layout { frames: Frames::Encapsulated { fragments, starts: None }, ..layout_sample() };
    let layout = |seq: u64| if seq == 700 { long.clone() } else { layout_sample() };
    let pack = PackId::new([1; 16]);
    let all: Vec<Folded> = (1..=1_000).map(|seq| Folded::new(row(seq), (pack, 0), Some(layout(seq)))).collect();
    let written = folds(&all);
    assert_eq!(written.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [1, 257, 513, 701, 957]);
    let key = &series_sample().key;
    let read = written.iter().flat_map(|(_, bytes)| Fold::open(key, bytes).expect("a fold").all().expect("all"));
    assert!(read.eq(all), "they come back otherwise");
    // What is common is written once.
    assert!(written[0].1.len() < 256 * 90, "{} bytes", written[0].1.len());
}

#[test]
fn a_damaged_fold_is_an_error_and_never_a_panic() {
    let mut rng = fastrand::Rng::with_seed(7);
    let samples = [fixture_of(FOLDS_3, "fold"), fixture_of(FOLDS_4, "fold")];
    for round in 0..20_000 {
        let mut row = samples[round % 2].clone();
        if rng.bool() {
            row.truncate(rng.usize(..=row.len()));
        }
        for _ in 0..rng.usize(..4) {
            if !row.is_empty() {
                let at = rng.usize(..row.len());
                row[at] = rng.u8(..);
            }
        }
        let _ = fold_dates(&row, 1009, &mut |_| {});
        if let Ok(fold) = Fold::open(&series_sample().key, &row) {
            let _ = (fold.row(0), fold.row(1), fold.row(7), fold.all());
        }
    }
}

#[test]
fn what_is_read_in_passing_is_what_the_rows_say() {
    let dated = |row: InstanceRow, date: &str| {
        let attributes = [(key::INSTANCE_NUMBER, "7".to_owned()), (key::ACQUISITION_DATE, date.to_owned())];
        InstanceRow { attributes: attributes.into(), ..row }
    };
    let mut found = Vec::new();
    let row = dated(instance_sample(), "20240131");
    let bytes = encoded(|out| put_instance(out, &row));
    assert_eq!(instance_dates(&bytes, &mut |date| found.push(date.to_owned())).expect("a row"), row.received);
    assert_eq!(found, ["20240131"]);

    let mut all = folded_samples();
    all[0].row = dated(all[0].row.clone(), "20240131");
    all[2].row = dated(all[2].row.clone(), "20240201");
    let (_, bytes) = folds(&all).remove(0);
    for folded in &all {
        found.clear();
        let received = fold_dates(&bytes, folded.row.seq, &mut |date| found.push(date.to_owned())).expect("a fold");
        assert_eq!(
            (received, found.as_slice()),
            (Some(folded.row.received), &["20240131", "20240201"].map(String::from)[..])
        );
    }
    assert_eq!(fold_dates(&bytes, 1, &mut |_| {}).expect("a fold"), None);

    let (step, other) = (key::PERFORMED_PROCEDURE_STEP_START_DATE, key::SERIES_DATE);
    let dates = Attributes::from([(step, "20240202".to_owned()), (other, "20240203".to_owned())]);
    let row = SeriesRow { attributes: dates, ..series_sample() };
    found.clear();
    let bytes = encoded(|out| put_series(out, &row));
    series_values(&bytes, &OF_SERIES, &mut |date| found.push(date.to_owned())).expect("a row");
    assert_eq!(found, ["20240203", "20240202"]);

    for cold in [false, true] {
        let row = pack_sample(cold);
        let copy = row.cold.as_ref().map_or(0, |copy| copy.len);
        for (hot, expected) in [(true, row.len), (false, 0)] {
            let bytes = encoded(|out| put_pack(out, &PackRow { hot, ..row.clone() }));
            assert_eq!(pack_bytes(&bytes).expect("a pack"), [row.raw, expected, copy]);
        }
    }
}
