//! Corrections of patient and order: found and given with the new values, the stored bytes untouched, and undone
//! without a trace.

use super::*;
use crate::retain::Correcting;
use crate::{Target, rebuild};
use dataset::json::{Options as JsonOptions, Parts, instance_json};
use model::attribute::key;
use model::correction::{CORRECTABLE, Why};
use model::query::{Condition, Query, Test};
use model::retention::{Person, StudyRef};
use model::{AttrKey, Attributes, Caller, Level, Scope};
use serde_json::Value;
use std::io::Read as _;

fn of_study() -> StudyRef {
    StudyRef { facility: FacilityCode::DEMO, study: uid("1.2.1"), patient: 0 }
}

fn correcting(set: &[(AttrKey, &str)], clear: &[AttrKey]) -> Correcting {
    Correcting {
        study: of_study(),
        set: set.iter().map(|(key, text)| (*key, (*text).to_owned())).collect(),
        clear: clear.to_vec(),
        why: Why::Correct,
        by: Person::parse("lan").expect("a person"),
        reason: "wrong patient at the console".into(),
    }
}

impl Bench {
    fn found_by(&self, key: AttrKey, text: &str) -> Vec<Attributes> {
        let conditions = vec![Condition { key, test: Test::Equal(text.into()) }];
        let query = Query { level: Level::Study, conditions, fuzzy: false };
        let found = self.archive.find(&Caller::demo(), Scope::Shared, &query, 0, 10).expect("found");
        found.rows.into_iter().map(|row| row.attributes).collect()
    }

    fn selected(&self) -> crate::Selection {
        self.archive.select(&Caller::demo(), Scope::Shared, &Target::Study(uid("1.2.1"))).expect("selected")
    }

    fn documents(&self, target: &Target, as_received: bool) -> Vec<Value> {
        let found = self.archive.metadata_of(&Caller::demo(), Scope::Shared, target, as_received).expect("metadata");
        let all = found.iter().flat_map(|part| {
            let json = zstd::decode_all(part.json_zstd.as_slice()).expect("zstd");
            serde_json::from_slice::<Vec<Value>>(&json).expect("JSON")
        });
        all.collect()
    }

    fn given(&self, row: &crate::InstanceRow) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.archive.given(row).expect("given").read_to_end(&mut bytes).expect("read");
        bytes
    }

    /// Every object as it goes out, and every document.
    fn answers(&self) -> (Vec<Vec<u8>>, Vec<Value>, Vec<Attributes>) {
        let objects = self.selected().instances.iter().map(|row| self.given(row)).collect();
        let whole = self.documents(&Target::Study(uid("1.2.1")), false);
        (objects, whole, self.found_by(key::STUDY_INSTANCE_UID, "1.2.1"))
    }
}

fn read(bytes: &[u8]) -> Value {
    let parts = Parts { before: bytes, pixel: None, after: &[] };
    let mut out = Vec::new();
    instance_json(&parts, &uid(EXPLICIT_LE), &JsonOptions::new("B"), &mut out).expect("readable");
    serde_json::from_slice(&out).expect("JSON")
}

fn text<'a>(document: &'a Value, path: &str) -> Option<&'a str> {
    document.pointer(path).and_then(Value::as_str)
}

const NAME: &str = "/00100010/Value/0/Alphabetic";
const BEFORE: &str = "/04000561/Value/0/04000550/Value/0/00100010/Value/0/Alphabetic";

/// Checks that everything of the study goes out under the new name.
fn is_corrected(bench: &Bench) {
    assert!(bench.found_by(key::PATIENT_ID, "P1").is_empty(), "found by what was received");
    let found = bench.found_by(key::PATIENT_ID, "P2");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].get(&key::PATIENT_NAME).map(String::as_str), Some("Lê^An"));
    assert_eq!(found[0].get(&key::ACCESSION_NUMBER).map(String::as_str), Some("A7"));
    for row in bench.selected().instances {
        let (stored, given) = (row.file_len, bench.given(&row));
        let document = read(&given);
        assert_eq!(text(&document, NAME), Some("Lê^An"));
        assert_eq!(text(&document, BEFORE), Some("NGUYEN^VAN AN"));
        assert_eq!(text(&document, "/04000561/Value/0/04000565/Value/0"), Some("CORRECT"));
        let pixels = vec![7; 128];
        assert!(given.ends_with(&pixels), "the pixels of {stored} bytes");
        let plain = crate::InstanceRow { correction: None, ..row.clone() };
        let before = bench.given(&plain);
        assert_eq!(text(&read(&before), NAME), Some("NGUYEN^VAN AN"));
        let mut stored = Vec::new();
        bench.archive.data_set(&row).read_to_end(&mut stored).expect("read");
        assert!(stored == before, "as received is not what was stored");
        // Another coding is made from the corrected head.
        let mut made = bench.archive.transcoded(&row, "1.2.840.10008.1.2").expect("implicit");
        let mut implicit = Vec::new();
        made.read_to_end(&mut implicit).expect("read");
        assert!(implicit.windows(6).any(|window| window == "Lê^An".as_bytes()), "an implicit copy");
    }
    let (series, instance) = (uid("1.2.1.1"), uid("1.2.1.1.1"));
    let study = uid("1.2.1");
    for target in [
        Target::Study(study.clone()),
        Target::Series { study: study.clone(), series: series.clone() },
        Target::Instance { study, series, instance },
    ] {
        for document in bench.documents(&target, false) {
            assert_eq!((text(&document, NAME), text(&document, BEFORE)), (Some("Lê^An"), Some("NGUYEN^VAN AN")));
        }
        for document in bench.documents(&target, true) {
            assert_eq!((text(&document, NAME), text(&document, BEFORE)), (Some("NGUYEN^VAN AN"), None));
        }
    }
    let set = bench.archive.file_set(&Caller::demo(), Scope::Shared, &[uid("1.2.1")]).expect("a file-set");
    for file in &set.files {
        let mut out = Vec::new();
        bench.archive.write_set_file(file, &mut out).expect("written");
        assert!(out.windows(6).any(|window| window == "Lê^An".as_bytes()), "an exported file");
    }
}

#[test]
fn a_corrected_study_is_found_and_given_anew_and_undone_without_a_trace() {
    let bench = Bench::with(|options| {
        options.quiet_after = Duration::from_millis(100);
        (options.packs.after, options.packs.reserve) = (Duration::ZERO, 0);
    });
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    bench.store(&Object { number: 2, ..Object::new("1.2.1.1.2") }).expect("stored");
    let (before, version) = (bench.answers(), bench.selected().version);
    let wanted =
        correcting(&[(key::PATIENT_NAME, "Lê^An"), (key::PATIENT_ID, "P2"), (key::ACCESSION_NUMBER, "A7")], &[]);
    let would = bench.archive.would_correct(&wanted).expect("told");
    assert_eq!(bench.answers(), before, "told, not done");
    assert!(bench.archive.correct_study(&Correcting { reason: " ".into(), ..wanted.clone() }).is_err());
    assert_eq!(bench.archive.correct_study(&wanted).expect("corrected"), would);
    assert!(bench.archive.correct_study(&wanted).is_err(), "the same again");
    assert_ne!(bench.selected().version, version);
    is_corrected(&bench);
    // A late instance under the name received belongs to the same patient, and goes out corrected.
    bench.store(&Object { number: 3, ..Object::new("1.2.1.1.3") }).expect("stored");
    is_corrected(&bench);
    assert_eq!(bench.selected().instances.len(), 3);
    let bench = bench.reopen();
    is_corrected(&bench);
    until("packed", || bench.selected().instances.iter().all(|row| matches!(row.home, model::Home::Pack { .. })));
    is_corrected(&bench);
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    let report = rebuild::run(&options, &mut |_| {}).expect("rebuild");
    assert!(report.equal(), "{report:?}");
    let bench = Bench { archive: Archive::open(options.clone()).expect("open"), options, folder };
    is_corrected(&bench);
    bench.archive.correct_study(&correcting(&[], &CORRECTABLE)).expect("undone");
    let (mut objects, mut documents, mut found) = bench.answers();
    objects.truncate(2);
    documents.truncate(2);
    // One instance more came meanwhile.
    let count = key::NUMBER_OF_STUDY_RELATED_INSTANCES;
    found[0].insert(count, before.2[0][&count].clone());
    assert_eq!((objects, documents, found), before);
    assert_eq!(bench.archive.corrections_of(&of_study()).expect("listed").len(), 2);
    assert!(bench.archive.correct_study(&correcting(&[], &CORRECTABLE)).is_err(), "nothing is corrected any more");
}

#[test]
fn what_is_no_value_and_what_is_not_there_is_refused() {
    let bench = Bench::new();
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    for (attribute, value) in [(key::STUDY_DATE, "20200101"), (key::PATIENT_BIRTH_DATE, "1980")] {
        assert!(bench.archive.correct_study(&correcting(&[(attribute, value)], &[])).is_err(), "{value}");
    }
    let other = Correcting { study: StudyRef { patient: 4, ..of_study() }, ..correcting(&[(key::STUDY_ID, "1")], &[]) };
    assert!(bench.archive.correct_study(&other).is_err());
    assert!(bench.archive.corrections_of(&of_study()).expect("listed").is_empty());
}
