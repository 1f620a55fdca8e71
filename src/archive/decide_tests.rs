//! Tests of the decision: same, conflict by kind, other patient, other study, too many.

use super::*;
use model::attribute::key;
use model::{Attributes, Digest, FacilityCode, Layout, Uid, Via};

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

fn head(digest: u8, patient: (&str, &str), syntax: &str, loose_crc: u32) -> InstanceHead {
    InstanceHead {
        seq: 0,
        facility: FacilityCode::DEMO,
        source: "s".into(),
        received: 0,
        via: Via::CStore,
        sop_class: uid("1.2.3"),
        sop_instance: uid("1.1"),
        study: uid("1.2"),
        series: uid("1.3"),
        transfer_syntax: uid(syntax),
        digest: Sameness::Blake3([digest; 32]),
        meta_digest: Digest([0; 32]),
        loose_crc,
        meta_len: 0,
        file_len: 0,
        attributes: Attributes::from([
            (key::PATIENT_ID, patient.0.to_owned()),
            (key::PATIENT_NAME, patient.1.to_owned()),
        ]),
        layout: Layout::default(),
        flags: Vec::new(),
        outcome: Outcome::default(),
    }
}

fn copy(number: u16, digest: u8, syntax: &str, loose_crc: u32) -> KnownCopy {
    let digest = Sameness::Blake3([digest; 32]);
    KnownCopy { copy: number, digest, loose_crc, transfer_syntax: uid(syntax), seq: 1 }
}

fn patient(rank: u16, id: &str, name: &str) -> KnownPatient {
    let (patient_id, name) = (id.to_owned(), name.to_owned());
    KnownPatient { rank, patient_id, name, issuer: String::new(), birth_date: String::new() }
}

#[test]
fn the_same_bytes_are_the_same_whatever_copy_they_are() {
    let known = Identity { copies: vec![copy(0, 1, "1.2", 7), copy(1, 2, "1.2", 8)], ..Identity::default() };
    assert_eq!(decide(&head(2, ("A", ""), "1.2", 8), None, &known, 64), Decision::Same);
}

#[test]
fn other_bytes_are_kept_and_classed() {
    let known = Identity { copies: vec![copy(0, 1, "1.2", 7)], ..Identity::default() };
    for (syntax, crc, class) in
        [("1.3", 7, Difference::Syntax), ("1.2", 7, Difference::GroupLength), ("1.2", 9, Difference::Content)]
    {
        let decision = decide(&head(2, ("A", ""), syntax, crc), None, &known, 64);
        let Decision::Store(outcome) = decision else { panic!("{decision:?}") };
        assert_eq!((outcome.copy, outcome.difference), (1, Some(class)));
    }
    assert_eq!(decide(&head(2, ("A", ""), "1.2", 9), None, &known, 1), Decision::TooMany);
}

/// A copy that an earlier version stored.
fn older(number: u16, digest: u8, syntax: &str, loose_crc: u32) -> KnownCopy {
    KnownCopy { digest: Sameness::Sha256([digest; 32]), ..copy(number, digest, syntax, loose_crc) }
}

#[test]
fn the_digest_of_another_kind_is_asked_for_where_it_decides_and_only_there() {
    let head = head(1, ("A", ""), "1.2", 7);
    let known = |copies: Vec<KnownCopy>| Identity { copies, ..Identity::default() };
    let decided =
        |other: Option<u8>, copies| decide(&head, other.map(|byte| Sameness::Sha256([byte; 32])), &known(copies), 64);
    let kept = |decision: Decision| matches!(decision, Decision::Store(Outcome { copy: 1.., .. }));
    // Equal bytes of another kind mean nothing.
    assert_eq!(decided(None, vec![older(0, 1, "1.2", 7)]), Decision::Unsure(SamenessKind::Sha256));
    assert_eq!(
        decided(None, vec![copy(0, 9, "1.2", 7), older(1, 2, "1.2", 7)]),
        Decision::Unsure(SamenessKind::Sha256)
    );
    assert_eq!(decided(Some(2), vec![older(0, 2, "1.2", 7)]), Decision::Same);
    assert_eq!(decided(Some(2), vec![older(0, 9, "1.2", 7), older(1, 2, "1.2", 7)]), Decision::Same);
    assert_eq!(decided(None, vec![older(0, 9, "1.2", 7), copy(1, 1, "1.2", 7)]), Decision::Same, "nothing is asked");
    // Once it is known it is not asked for again.
    assert!(kept(decided(Some(3), vec![older(0, 2, "1.2", 7)])));
    // Another syntax, and another checksum: other bytes.
    assert!(kept(decided(None, vec![older(0, 1, "1.3", 7)])));
    assert!(kept(decided(None, vec![older(0, 1, "1.2", 8)])));
}

#[test]
fn a_second_patient_under_one_study_is_told_apart() {
    let known = Identity { patients: vec![patient(0, "P1", "NGUYEN^VAN AN")], ..Identity::default() };
    let rank = |id, name| match decide(&head(1, (id, name), "1.2", 0), None, &known, 64) {
        Decision::Store(outcome) => outcome.patient,
        other => panic!("{other:?}"),
    };
    assert_eq!(rank("P1", "TRAN THI BE"), 0, "the ID decides");
    assert_eq!(rank("P2", "NGUYEN^VAN AN"), 1, "another ID is another patient");
    assert_eq!(rank("", "Nguyễn Văn An"), 0, "without an ID the folded name decides");
    assert_eq!(rank("", "LE VAN TAM"), 1);
}

#[test]
fn of_patients_beyond_those_that_are_known_together_two_never_have_one_number() {
    let decided = |patients_beyond, patients| {
        let known = Identity { patients, patients_beyond, ..Identity::default() };
        decide(&head(1, ("P9", ""), "1.2", 0), None, &known, 64)
    };
    let rank = |decision| match decision {
        Decision::Store(outcome) => outcome.patient,
        other => panic!("{other:?}"),
    };
    assert_eq!(rank(decided(Some(300), vec![patient(0, "P1", "A")])), 301, "the highest number counts");
    assert_eq!(rank(decided(Some(300), vec![patient(0, "P1", "A"), patient(200, "P9", "A")])), 200);
    // One is on its way that the index does not know yet.
    assert_eq!(rank(decided(Some(300), vec![patient(301, "P8", "A")])), 302);
    assert_eq!(decided(Some(u16::MAX), vec![patient(0, "P1", "A")]), Decision::TooMany);
    assert_eq!(rank(decided(Some(u16::MAX), vec![patient(7, "P9", "A")])), 7, "a known one is stored");
}

#[test]
fn studies_beyond_the_first_are_others_than_the_first() {
    let studies = |ranks: std::ops::Range<u16>| -> Vec<KnownStudy> {
        ranks.map(|rank| KnownStudy { rank, study: uid(&format!("9.9.{rank}")) }).collect()
    };
    for (studies, studies_beyond, rank) in [
        (studies(0..3), false, 3),
        (studies(0..0), true, 1),
        (studies(0..LISTED), false, LISTED),
        (studies(0..17), true, 16),
    ] {
        let known = Identity { studies, studies_beyond, ..Identity::default() };
        let decision = decide(&head(1, ("A", ""), "1.2", 0), None, &known, 64);
        let Decision::Store(outcome) = decision else { panic!("{decision:?}") };
        assert_eq!(outcome.study, rank);
    }
}

#[test]
fn a_series_seen_in_another_study_is_told_apart() {
    let known = Identity { studies: vec![KnownStudy { rank: 0, study: uid("9.9") }], ..Identity::default() };
    let decision = decide(&head(1, ("A", ""), "1.2", 0), None, &known, 64);
    let Decision::Store(outcome) = decision else { panic!("{decision:?}") };
    assert_eq!(outcome.study, 1);
    assert_eq!(flags_of(&outcome).collect::<Vec<_>>(), [Flag::OtherStudy]);
}

#[test]
fn what_a_patient_is_called_without_end_is_known_by_its_beginning() {
    let long = "ê".repeat(8_000);
    let head = head(2, (&long, &long), "1.2", 8);
    let known = KnownPatient::of(&head);
    assert_eq!((known.patient_id.len(), known.name.len()), (256, 256));
    let other = KnownPatient { patient_id: format!("X{}", known.patient_id), rank: 0, ..known.clone() };
    let nameless = KnownPatient { patient_id: String::new(), rank: 1, ..known.clone() };
    for (patients, rank) in [(vec![known], 0), (vec![other.clone(), nameless], 1), (vec![other], 1)] {
        let known = Identity { patients, ..Identity::default() };
        let Decision::Store(outcome) = decide(&head, None, &known, 64) else { panic!("it is stored") };
        assert_eq!(outcome.patient, rank);
    }
}
