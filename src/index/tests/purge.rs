//! What a destruction leaves in the index's files, how much of them is rewritten for it, and that what was deleted costs
//! no walk anything.

use index::{Entry, Index, PreparedKind, Rocks, RocksOptions, SeriesKey, StudyKey};
use model::attribute::key;
use model::date::Date;
use model::retention::decision::{Basis, CountedFrom};
use model::retention::record::Tombstone;
use model::retention::{ClassId, Person, PlanId, RetentionFact, RuleId, RuleVersion, StudyRef, StudyVersion};
use model::{
    Attributes, Digest, FacilityCode, Fact, Frames, Home, InstanceHead, Layout, Outcome, Place, Sameness, SeriesQuiet,
    Uid, Via,
};
use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
use std::fs;
use std::path::Path;

/// Instances of a study.
const INSTANCES: u64 = 4;

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

/// The engine also rewrites files by itself, now and then, and these count with the others: the least of some rounds is
/// what a destruction needs.
const ROUNDS: usize = 3;

/// A word that stands in everything a study has.
fn word(study: u64) -> String {
    format!("WORD{study:06}X")
}

fn series_key(study: u64) -> SeriesKey {
    let facility = FacilityCode::parse("56001").expect("code");
    let key = StudyKey { facility, study: uid(&format!("1.2.{study}")), patient: 0 };
    SeriesKey { study: key, series: uid(&format!("1.3.{study}")) }
}

fn instance(study: u64, number: u64) -> Entry {
    let seq = study * INSTANCES + number + 1;
    let SeriesKey { study: of, series } = series_key(study);
    let attributes = Attributes::from([
        (key::PATIENT_NAME, format!("{}^VAN", word(study))),
        (key::PATIENT_ID, word(study)),
        (key::STUDY_DATE, "20200102".to_owned()),
        (key::STUDY_DESCRIPTION, "CT ".repeat(100)),
        (key::INSTANCE_NUMBER, number.to_string()),
    ]);
    let head = InstanceHead {
        seq,
        facility: of.facility,
        source: "ct-1".into(),
        received: 1_790_000_000_000 + seq,
        via: Via::CStore,
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance: uid(&format!("1.4.{seq}")),
        study: of.study,
        series,
        transfer_syntax: uid("1.2.840.10008.1.2.1"),
        digest: Sameness::Blake3([1; 32]),
        meta_digest: Digest([2; 32]),
        loose_crc: 7,
        meta_len: 300,
        file_len: 1_000,
        attributes,
        layout: Layout { pixel: None, frames: Frames::None, dataset_len: 700 },
        flags: Vec::new(),
        outcome: Outcome::default(),
    };
    let place = Place { segment: 1, generation: 1, offset: seq * 64, head_len: 9, body_len: 9, blob: None };
    Entry { lsn: seq, fact: Fact::Instance(Box::new(head)), home: Some(Home::Journal(place)) }
}

fn destroyed(study: u64, lsn: u64) -> Entry {
    let day = Date::new(2030, 12, 31).expect("a day");
    let fact = RetentionFact::StudyDestroyed(Box::new(Tombstone {
        study: StudyRef::from(&series_key(study).study),
        version: StudyVersion { through: lsn, fact: 0 },
        plan: PlanId::parse("2036-q1").expect("a plan"),
        plan_digest: Digest([1; 32]),
        approved_by: Person::parse("lan").expect("a person"),
        class: ClassId::parse("USUAL").expect("a class"),
        rule: RuleId::parse("default").expect("a rule"),
        rules: RuleVersion { number: 1, digest: Digest([2; 32]) },
        counted_from: CountedFrom { date: day, basis: Basis::StudyDate },
        due: day,
        instances: INSTANCES,
        bytes: Default::default(),
        hidden_at: 1,
        destroyed_at: 2,
        blind: Digest([3; 32]),
        seals: Vec::new(),
        taken: Vec::new(),
    }));
    Entry { lsn, fact: Fact::Retention(Box::new(fact)), home: None }
}

/// An archive of so many studies, each with a long document, in many small files whose rows are not compressed.
fn filled(folder: &Path, studies: u64) -> Rocks {
    let options = RocksOptions { file_bytes: 16 << 10, compressed: false, ..RocksOptions::default() };
    let index = Rocks::open(folder, options).expect("open");
    for study in 0..studies {
        let batch: Vec<Entry> = (0..INSTANCES).map(|number| instance(study, number)).collect();
        index.apply(&batch).expect("apply");
        let document = format!("{} ", word(study)).repeat(500).into_bytes();
        index.put_prepared(&series_key(study), PreparedKind::Metadata, 1, document).expect("keep");
        if study % 250 == 249 {
            index.flush().expect("flush");
        }
    }
    index.flush().expect("flush");
    index
}

fn quiet(study: u64, lsn: u64) -> Entry {
    let SeriesKey { study: of, series } = series_key(study);
    let through = study * INSTANCES + 1;
    let fact =
        SeriesQuiet { facility: of.facility, study: of.study, patient: 0, series, through, at: 1_790_000_100_000 };
    Entry { lsn, fact: Fact::SeriesQuiet(fact), home: None }
}

/// Deleted keys that a question walks past, and how many series it finds.
fn passed(index: &Rocks) -> (u64, usize) {
    set_perf_stats(PerfStatsLevel::EnableCount);
    let mut counts = PerfContext::default();
    counts.reset();
    let found = index.busy_series(1_790_000_200_000, 10).expect("asked").len();
    (counts.metric(PerfMetric::InternalDeleteSkippedCount), found)
}

/// In how many files a text stands, and the length of those with rows.
fn found(folder: &Path, text: &str) -> (usize, u64) {
    let (mut files, mut len) = (0, 0);
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let bytes = fs::read(entry.path()).unwrap_or_default();
        let rows = entry.path().extension().is_some_and(|extension| extension == "sst");
        len += if rows { u64::try_from(bytes.len()).expect("a length") } else { 0 };
        files += usize::from(String::from_utf8_lossy(&bytes).contains(text));
    }
    (files, len)
}

/// Destroys a few studies and gives the bytes that were rewritten for them, those of the index, and those that are
/// rewritten where nothing is left to do.
fn destroy_some(studies: u64) -> (u64, u64, u64) {
    let folder = tempfile::tempdir().expect("folder");
    let index = filled(folder.path(), studies);
    let (gone, stays) = ([100, 101, 102], [99, 103, studies / 2]);
    for study in gone {
        assert!(found(folder.path(), &word(study)).0 > 1, "it was nowhere: the test tells nothing");
    }
    let lsn = studies * INSTANCES + 2;
    // The first one also brings together what lies in files that are not sorted yet.
    index.apply(&[destroyed(20, lsn - 1)]).expect("destroyed");
    index.purge().expect("purged");
    for (at, study) in (lsn..).zip(gone) {
        index.apply(&[destroyed(study, at)]).expect("destroyed");
    }
    let rewritten = index.purge().expect("purged");
    let mut len = 0;
    for study in gone {
        let (files, whole) = found(folder.path(), &word(study));
        assert_eq!(files, 0, "something of study {study} is left");
        assert_eq!(index.study(&series_key(study).study).expect("asked"), None);
        len = whole;
    }
    for study in stays {
        assert!(index.study(&series_key(study).study).expect("asked").is_some());
        let kept = index.prepared(&series_key(study), PreparedKind::Metadata).expect("asked").expect("kept");
        assert!(kept.document.starts_with(word(study).as_bytes()));
    }
    let again = index.purge().expect("nothing is left to do");
    (rewritten, len, again)
}

#[test]
fn what_is_rewritten_for_a_destruction_grows_with_it_and_not_with_the_archive() {
    let least = |studies| {
        let rounds: Vec<_> = (0..ROUNDS).map(|_| destroy_some(studies)).collect();
        let (rewritten, len, _) = *rounds.iter().min().expect("rounds");
        let again = rounds.iter().map(|round| round.2).min().expect("rounds");
        assert!(again < rewritten / 4, "{again} bytes are written anew for nothing");
        (rewritten, len)
    };
    let ((small, of_small), (large, of_large)) = (least(1_500), least(7_500));
    println!("{small} of {of_small} bytes, {large} of {of_large} bytes");
    assert!(of_large > 4 * of_small, "{of_small} {of_large}");
    assert!(large < 2 * small, "{small} bytes of {of_small}, {large} of {of_large}");
    assert!(large * 5 < of_large, "{large} of {of_large}");
}

/// Whoever asks four times a second what waits does not walk past everything that ever did, also where nothing does now.
#[test]
fn what_waited_once_costs_nothing_when_it_is_asked_for_again() {
    const STUDIES: u64 = 300;
    let folder = tempfile::tempdir().expect("folder");
    let index = Rocks::open(folder.path(), RocksOptions::default()).expect("open");
    for study in 0..STUDIES {
        index.apply(&[instance(study, 0)]).expect("apply");
    }
    for study in 0..STUDIES {
        index.apply(&[quiet(study, STUDIES * INSTANCES + study)]).expect("apply");
    }
    let (first, _) = passed(&index);
    assert!(first >= STUDIES, "nothing was deleted ({first}): the test tells nothing");
    assert_eq!(passed(&index), (0, 0));
    // What came in before all of them is found all the same.
    let Entry { fact: Fact::Instance(mut head), home, .. } = instance(STUDIES, 0) else { unreachable!("an instance") };
    head.received = 1_780_000_000_000;
    index.apply(&[Entry { lsn: STUDIES * INSTANCES * 2, fact: Fact::Instance(head), home }]).expect("apply");
    assert_eq!(passed(&index).1, 1);
}
