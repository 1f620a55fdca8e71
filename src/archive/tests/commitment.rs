//! Nothing is committed that could not be given back: a modality deletes its copy for it.

use super::packs::{all_packed, object, packing, rows};
use super::*;
use crate::commitment::{Commitment, Lack};
use model::pack::PackFact;
use model::{AeTitle, Fact, Home};

pub(super) fn question(sop: &str) -> Commitment {
    let title = |text: &str| AeTitle::parse(text).expect("title");
    Commitment {
        transaction: uid("1.2.3.4"),
        facility: FacilityCode::DEMO,
        source: "demo-loopback".into(),
        calling: title("CT01"),
        called: title("KHOANH"),
        objects: vec![(uid(CT), uid(sop))],
        asked: 0,
        web: false,
        duplicate: false,
    }
}

#[test]
fn a_pack_that_lies_in_no_tier_is_not_committed() {
    let bench = packing();
    bench.store(&object(1, 1)).expect("stored");
    until("packed", || rows(&bench).len() == 1 && all_packed(&bench));
    let [row] = rows(&bench).try_into().expect("one");
    let question = question(row.sop_instance.as_str());
    assert!(bench.archive.verdict(&question).failed.is_empty());
    let Home::Pack { pack, .. } = row.home else { panic!("not packed") };
    // Released from the disk, and its copy in the cloud was lost or never was.
    let fact = Fact::Pack(Box::new(PackFact::Released { pack, at: 0 }));
    bench.archive.index().apply(&[index::Entry { lsn: 0, fact, home: None }]).expect("applied");
    let verdict = bench.archive.verdict(&question);
    assert!(matches!(verdict.failed.as_slice(), [(_, _, Lack::Damaged)]), "{verdict:?}");
}

#[test]
fn objects_of_all_open_questions_are_bounded() {
    let bench = Bench::new();
    let of = |transaction: &str, count: usize| Commitment {
        transaction: uid(transaction),
        objects: vec![(uid(CT), uid("1.2")); count],
        ..question("1.2")
    };
    bench.archive.ask_commitment(of("1.2.1", 400_000)).expect("taken");
    bench.archive.ask_commitment(of("1.2.2", 200_000)).expect_err("too many objects");
    bench.archive.ask_commitment(of("1.2.3", 100_000)).expect("taken");
}

#[test]
fn a_question_waits_for_its_copies_and_then_says_that_they_are_few() {
    let wait = Duration::from_millis(600);
    let bench = Bench::with(|options| {
        options.commitment = crate::commitment::CommitmentOptions { copies: 2, within: wait };
    });
    bench.store(&object(1, 1)).expect("stored");
    let [row] = rows(&bench).try_into().expect("one");
    let asked = bench.archive.ask_commitment(question(row.sop_instance.as_str())).expect("taken");
    assert!(!bench.archive.is_ripe(&asked), "one journal directory is one copy");
    assert!(bench.archive.open_commitments(None).is_empty());
    until("the wait is over", || bench.archive.is_ripe(&asked));
    assert_eq!(bench.archive.open_commitments(None).len(), 1);
    let verdict = bench.archive.verdict(&asked);
    assert!(matches!(verdict.failed.as_slice(), [(_, _, Lack::FewCopies)]), "{verdict:?}");
}
