//! Rejection by notes and people: hidden everywhere, kept, restored, and the same after a rebuild.

use super::*;
use crate::{Target, rebuild};
use dataset::rejection::KEY_OBJECT_SELECTION;
use model::attribute::key;
use model::query::{Condition, Query, Test};
use model::retention::record::{Named, RejectReason};
use model::retention::{Person, RetentionFact, StudyRef};
use model::{Caller, Level, SamenessKind, Scope};
use std::collections::BTreeSet;

const NOTE: &str = "1.2.1.9.1";

fn sequence(tag: (u16, u16), items: &[Vec<u8>], out: &mut Vec<u8>) {
    let mut inside = Vec::new();
    for item in items {
        inside.extend([0xfe, 0xff, 0x00, 0xe0]);
        inside.extend(u32::try_from(item.len()).expect("short").to_le_bytes());
        inside.extend(item);
    }
    out.extend(tag.0.to_le_bytes());
    out.extend(tag.1.to_le_bytes());
    out.extend(b"SQ\0\0");
    out.extend(u32::try_from(inside.len()).expect("short").to_le_bytes());
    out.extend(inside);
}

/// A key object document of study 1.2.1 with a title, naming instances of its series 1.2.1.1.
fn note(sop: &str, title: &str, named: &[&str]) -> Vec<u8> {
    let (mut out, mut code, mut series, mut study) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    short((8, 0x16), b"UI", KEY_OBJECT_SELECTION, &mut out);
    short((8, 0x18), b"UI", sop, &mut out);
    short((8, 0x20), b"DA", "20260102", &mut out);
    short((8, 0x60), b"CS", "KO", &mut out);
    short((0x10, 0x10), b"PN", "NGUYEN^VAN AN", &mut out);
    short((0x10, 0x20), b"LO", "P1", &mut out);
    short((0x20, 0x0d), b"UI", "1.2.1", &mut out);
    short((0x20, 0x0e), b"UI", "1.2.1.9", &mut out);
    short((8, 0x100), b"SH", title, &mut code);
    short((8, 0x102), b"SH", "DCM", &mut code);
    short((8, 0x104), b"LO", "Rejected", &mut code);
    sequence((0x40, 0xa043), &[code], &mut out);
    let item = |sop: &&str| {
        let mut item = Vec::new();
        short((8, 0x1150), b"UI", CT, &mut item);
        short((8, 0x1155), b"UI", sop, &mut item);
        item
    };
    sequence((8, 0x1199), &named.iter().map(item).collect::<Vec<_>>(), &mut series);
    short((0x20, 0x0e), b"UI", "1.2.1.1", &mut series);
    sequence((8, 0x1115), &[series], &mut study);
    short((0x20, 0x0d), b"UI", "1.2.1", &mut study);
    sequence((0x40, 0xa375), &[study], &mut out);
    out
}

impl Bench {
    fn send_note(&self, source: &Source, sop: &str, title: &str, named: &[&str]) -> Stored {
        let (sop_class, sop_instance) = (uid(KEY_OBJECT_SELECTION), uid(sop));
        let form = Form::DataSet { sop_class, sop_instance, transfer_syntax: uid(EXPLICIT_LE) };
        let mut incoming = self.archive.receive(source, Via::CStore, form).expect("received");
        incoming.write(&note(sop, title, named)).expect("taken");
        incoming.finish().expect("stored")
    }

    fn send_images(&self, numbers: std::ops::RangeInclusive<u32>) {
        for number in numbers {
            self.store(&Object { number, ..Object::new(&image(number)) }).expect("stored");
        }
    }

    /// The instances a caller is shown, by every way of asking, which must agree.
    fn shown_to(&self, caller: &Caller) -> Vec<String> {
        let archive = &self.archive;
        let target = Target::Study(uid("1.2.1"));
        let selected = archive.select(caller, Scope::Shared, &target).map(|found| found.instances).unwrap_or_default();
        let mut selected: Vec<String> = selected.iter().map(|row| row.sop_instance.to_string()).collect();
        selected.sort();
        let ask = |level| {
            let query = Query { level, conditions: Vec::new(), fuzzy: false };
            archive.find(caller, Scope::Shared, &query, 0, 100).expect("found").rows
        };
        let mut found: Vec<String> =
            ask(Level::Instance).iter().filter_map(|row| row.instance.as_ref().map(Uid::to_string)).collect();
        found.sort();
        assert_eq!(found, selected, "find and retrieve disagree");
        let count = |row: &crate::FoundRow, key| row.attributes.get(&key).and_then(|text| text.parse::<usize>().ok());
        let studies = ask(Level::Study);
        let counted: usize = studies.iter().filter_map(|row| count(row, key::NUMBER_OF_STUDY_RELATED_INSTANCES)).sum();
        assert_eq!(counted, found.len(), "the study's count");
        let series = ask(Level::Series);
        let counted =
            series.iter().filter_map(|row| count(row, key::NUMBER_OF_SERIES_RELATED_INSTANCES)).sum::<usize>();
        assert_eq!(counted, found.len(), "the counts of series");
        let counted: usize = studies.iter().filter_map(|row| count(row, key::NUMBER_OF_STUDY_RELATED_SERIES)).sum();
        assert_eq!(counted, series.len(), "the number of series");
        for study in &studies {
            let shown: BTreeSet<&str> =
                series.iter().filter_map(|row| row.attributes.get(&key::MODALITY).map(String::as_str)).collect();
            let listed = study.attributes.get(&key::MODALITIES_IN_STUDY).map_or("", String::as_str);
            assert_eq!(listed.split('\\').collect::<BTreeSet<_>>(), shown, "modalities");
            let instances = ask(Level::Instance);
            let shown: BTreeSet<&str> = instances
                .iter()
                .filter_map(|row| row.attributes.get(&key::SOP_CLASS_UID).map(String::as_str))
                .collect();
            let listed = study.attributes.get(&key::SOP_CLASSES_IN_STUDY).map_or("", String::as_str);
            assert_eq!(listed.split('\\').collect::<BTreeSet<_>>(), shown, "SOP classes");
        }
        let documents = archive.metadata(caller, Scope::Shared, &target).unwrap_or_default();
        let mut described = Vec::new();
        for document in &documents {
            let json = zstd::decode_all(document.json_zstd.as_slice()).expect("zstd");
            let json: Vec<serde_json::Value> = serde_json::from_slice(&json).expect("JSON");
            described.extend(json.iter().map(|row| row["00080018"]["Value"][0].as_str().expect("a UID").to_owned()));
        }
        described.sort();
        assert_eq!(described, found, "metadata");
        let set = archive.file_set(caller, Scope::Shared, &[uid("1.2.1")]).map_or(0, |set| set.files.len());
        assert_eq!(set, found.len(), "a file-set");
        found
    }

    fn shown(&self) -> Vec<String> {
        self.shown_to(&Caller::demo())
    }

    fn rebuilt_equal(self) {
        let Self { archive, options, folder: _folder } = self;
        let mut before = Vec::new();
        archive.index().dump(&mut |bytes| before.extend_from_slice(bytes)).expect("dump");
        archive.close(Duration::from_secs(20)).expect("close");
        drop(archive);
        let report = rebuild::run(&options, &mut |_| {}).expect("rebuild");
        assert!(report.equal(), "{report:?}");
    }
}

fn image(number: u32) -> String {
    format!("1.2.1.1.{number}")
}

fn of_study() -> StudyRef {
    StudyRef { facility: FacilityCode::DEMO, study: uid("1.2.1"), patient: 0 }
}

fn lan() -> Person {
    Person::parse("lan").expect("a person")
}

#[test]
fn a_note_hides_what_it_names_until_it_is_restored() {
    let bench = Bench::new();
    bench.send_images(1..=3);
    let source = bench.source();
    for title in ["113037", "113038", "113039", "113001"] {
        let sop = format!("1.2.1.9.{title}");
        let all: Vec<String> = (1..=3).map(image).chain([sop.clone()]).collect();
        // A series that is rejected wholly leaves only the note.
        bench.send_note(&source, &sop, title, &[&image(1), &image(2), &image(3)]);
        let left = bench.shown();
        assert!(left.contains(&sop) && !left.iter().any(|sop| sop.starts_with("1.2.1.1.")), "{title}: {left:?}");
        let etag = |bench: &Bench| {
            let target = Target::Series { study: uid("1.2.1"), series: uid("1.2.1.1") };
            bench.archive.metadata(&Caller::demo(), Scope::Shared, &target).map(|found| found[0].etag.clone())
        };
        assert!(etag(&bench).is_err());
        let listed = bench.archive.rejected_of(&of_study()).expect("listed");
        assert!(listed.iter().all(|one| one.reason.code() == title && one.note == Some(uid(&sop))), "{listed:?}");
        let one = BTreeSet::from([uid(&image(2))]);
        assert!(bench.archive.restore_instances(&of_study(), &one, lan(), " ".into()).is_err(), "without a reason");
        assert_eq!(bench.archive.restore_instances(&of_study(), &one, lan(), "a mistake".into()), Ok(1));
        assert!(bench.archive.restore_instances(&of_study(), &one, lan(), "again".into()).is_err());
        let first = etag(&bench).expect("shown");
        assert_eq!(bench.archive.restore_instances(&of_study(), &BTreeSet::new(), lan(), "all".into()), Ok(2));
        assert_ne!(etag(&bench).expect("shown"), first);
        assert!(all.iter().all(|sop| bench.shown().contains(sop)));
        // The same note again says nothing new: what was restored stays.
        bench.send_note(&source, &sop, title, &[&image(1), &image(2), &image(3)]);
        assert!(all.iter().all(|sop| bench.shown().contains(sop)), "{title}");
    }
    bench.rebuilt_equal();
}

#[test]
fn a_note_that_comes_first_hides_what_comes_later() {
    let bench = Bench::with(|options| options.quiet_after = Duration::from_millis(100));
    bench.send_note(&bench.source(), NOTE, "113037", &[&image(1), &image(2), NOTE, "1.2.77"]);
    assert_eq!(bench.shown(), [NOTE], "it rejects itself");
    let bench = bench.reopen();
    bench.send_images(1..=3);
    assert_eq!(bench.shown(), [image(3), NOTE.to_owned()]);
    // The same again stays hidden, other bytes under the UID too.
    bench.send_images(1..=1);
    bench.store(&Object { fill: 9, ..Object::new(&image(2)) }).expect("stored beside it");
    assert_eq!(bench.shown(), [image(3), NOTE.to_owned()]);
    let one = BTreeSet::from([uid(&image(1))]);
    bench.archive.restore_instances(&of_study(), &one, lan(), "wrong note".into()).expect("restored");
    assert_eq!(bench.shown(), [image(1), image(3), NOTE.to_owned()]);
    bench.rebuilt_equal();
}

/// A note's word about image 5, without what follows from it.
fn record_rejection_of_image_5(bench: &Bench) {
    let fact = RetentionFact::InstancesRejected {
        study: of_study(),
        instances: vec![Named { series: uid("1.2.1.1"), sop_instance: uid(&image(5)) }],
        reason: RejectReason::PatientSafety,
        by: lan(),
        note: Some(uid("1.2.1.9.5")),
        at: 1,
    };
    bench.archive.record(model::Fact::Retention(Box::new(fact))).expect("recorded");
}

#[test]
fn what_a_killed_process_left_shown_is_rejected_before_it_is_packed() {
    let bench = Bench::with(|options| options.quiet_after = Duration::from_secs(3_600));
    bench.send_images(1..=2);
    bench.send_note(&bench.source(), NOTE, "113038", &["1.2.77"]);
    // As a kill leaves it between the object and the fact: a note's word without what follows from it.
    record_rejection_of_image_5(&bench);
    bench.store(&Object { number: 5, ..Object::new(&image(5)) }).expect("stored");
    let bench = bench.reopen();
    let target = Target::Study(uid("1.2.1"));
    let found = bench.archive.select(&Caller::demo(), Scope::Shared, &target).expect("shown").instances;
    bench.archive.reject_noted(&found).expect("rejected");
    assert_eq!(bench.shown(), [image(1), image(2), NOTE.to_owned()]);
    bench.rebuilt_equal();
}

#[test]
fn an_image_that_an_earlier_version_left_shown_is_rejected_when_it_comes_again() {
    let bench = Bench::with(|options| {
        options.quiet_after = Duration::from_secs(3_600);
        options.sameness = SamenessKind::Sha256;
    });
    record_rejection_of_image_5(&bench);
    bench.send_images(5..=5);
    let bench = bench.reopen_with(|options| options.sameness = SamenessKind::Blake3);
    assert_eq!(bench.shown(), [image(5)]);
    // Its digest is of another kind than that of what is stored.
    bench.send_images(5..=5);
    assert_eq!(bench.shown(), Vec::<String>::new());
    bench.rebuilt_equal();
}

#[test]
fn another_facility_and_another_title_hide_nothing() {
    let bench = Bench::new();
    bench.send_images(1..=2);
    let other = bench.source_of("56001");
    bench.send_note(&other, NOTE, "113037", &[&image(1)]);
    assert_eq!(bench.shown(), [image(1), image(2)]);
    bench.send_note(&bench.source(), NOTE, "113000", &[&image(1)]);
    assert_eq!(bench.shown(), [image(1), image(2), NOTE.to_owned()]);
    bench.rebuilt_equal();
}

#[test]
fn what_is_rejected_for_quality_is_shown_to_who_has_the_right() {
    let bench = Bench::new();
    bench.send_images(1..=3);
    let reject = |number: u32, reason| {
        let (study, series, sop) = (uid("1.2.1"), uid("1.2.1.1"), uid(&image(number)));
        bench.archive.reject_instance(FacilityCode::DEMO, (&study, &series, &sop), reason, lan()).expect("rejected");
    };
    reject(1, RejectReason::Quality);
    reject(2, RejectReason::PatientSafety);
    let sees = Caller { sees_rejected: true, ..Caller::demo() };
    assert_eq!(bench.shown(), [image(3)]);
    assert_eq!(bench.shown_to(&sees), [image(1), image(3)]);
    reject(3, RejectReason::WrongWorklistEntry);
    assert_eq!(bench.shown(), Vec::<String>::new());
    assert_eq!(bench.shown_to(&sees), [image(1)]);
    bench.rebuilt_equal();
}

#[test]
fn the_copy_of_another_facility_answers_where_ones_own_is_rejected() {
    let bench = Bench::new();
    let theirs = bench.source_of("56001");
    for number in 1..=2 {
        let object = Object { number, ..Object::new(&image(number)) };
        bench.store(&object).expect("stored");
        bench.store_from(&theirs, &object).expect("their own");
    }
    let caller = Caller { facilities: None, ..Caller::demo() };
    let facility = |scope| {
        let target = Target::Study(uid("1.2.1"));
        let selected = bench.archive.select(&caller, scope, &target).map(|found| found.facility);
        let query = Query { level: Level::Study, conditions: Vec::new(), fuzzy: false };
        let found = bench.archive.find(&caller, scope, &query, 0, 9).expect("found").rows;
        assert_eq!(found.first().map(|row| row.facility), selected.ok(), "find and retrieve disagree");
        found.first().map(|row| row.facility)
    };
    assert_eq!(facility(Scope::Shared), Some(FacilityCode::DEMO));
    let named = |number| Named { series: uid("1.2.1.1"), sop_instance: uid(&image(number)) };
    let both = vec![named(1), named(2)];
    bench.archive.reject_instances(&of_study(), both, RejectReason::PatientSafety, lan()).expect("rejected");
    assert_eq!(facility(Scope::Shared), Some(theirs.facility));
    assert_eq!(facility(Scope::Facility(FacilityCode::DEMO)), None);
    bench.archive.restore_instances(&of_study(), &BTreeSet::new(), lan(), "asked".into()).expect("restored");
    assert_eq!(facility(Scope::Shared), Some(FacilityCode::DEMO));
}

#[test]
fn a_late_image_of_a_rejected_study_is_shown_alone() {
    let bench = Bench::new();
    bench.send_images(1..=2);
    bench.send_note(&bench.source(), NOTE, "113000", &[]);
    let studies_with = |key, value: &str| {
        let test = Test::Equal(value.to_owned());
        let query = Query { level: Level::Study, conditions: vec![Condition { key, test }], fuzzy: false };
        bench.archive.find(&Caller::demo(), Scope::Shared, &query, 0, 9).expect("found").rows.len()
    };
    let of_kinds = || {
        let by_class = [CT, KEY_OBJECT_SELECTION].map(|class| studies_with(key::SOP_CLASSES_IN_STUDY, class));
        let by_modality = ["CT", "KO"].map(|modality| studies_with(key::MODALITIES_IN_STUDY, modality));
        (by_class, by_modality)
    };
    assert_eq!(of_kinds(), ([1, 1], [1, 1]));
    let named = |series: &str, sop: &str| Named { series: uid(series), sop_instance: uid(sop) };
    let all = vec![named("1.2.1.1", &image(1)), named("1.2.1.1", &image(2)), named("1.2.1.9", NOTE)];
    let reject = |instances, reason| bench.archive.reject_instances(&of_study(), instances, reason, lan());
    assert_eq!(reject(all, RejectReason::WrongWorklistEntry), Ok(3));
    assert_eq!((bench.shown(), of_kinds()), (vec![], ([0, 0], [0, 0])));
    // What was rejected comes again: it is acknowledged and stays hidden. What nobody rejected is shown.
    bench.send_images(1..=3);
    assert_eq!((bench.shown(), of_kinds()), (vec![image(3)], ([1, 0], [1, 0])));
    assert_eq!(reject(vec![named("1.2.1.1", &image(3))], RejectReason::Quality), Ok(1));
    assert_eq!((bench.shown(), of_kinds()), (vec![], ([0, 0], [0, 0])));
    let sees = Caller { sees_rejected: true, ..Caller::demo() };
    assert_eq!(bench.shown_to(&sees), [image(3)]);
    let one = BTreeSet::from([uid(NOTE)]);
    assert_eq!(bench.archive.restore_instances(&of_study(), &one, lan(), "asked".into()), Ok(1));
    assert_eq!((bench.shown(), of_kinds()), (vec![NOTE.to_owned()], ([0, 1], [0, 1])));
    assert_eq!(bench.shown_to(&sees), [image(3), NOTE.to_owned()]);
    bench.rebuilt_equal();
}
