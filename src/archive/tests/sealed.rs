//! Facts with patient data: never readable in the journal, read again after a restart, and gone with their study.

use super::killed::{copy, opened_again};
use super::retain::*;
use super::*;
use crate::OpenError;
use crate::retain::Correcting;
use memchr::memmem;
use model::Caller;
use model::date::DAY_MS;
use model::retention::{ClassId, HoldId, HoldTarget, LinkedRecord, PatientRef};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// Says of the patient of the study what people say: a death, a hold that was released, links, all with the name in them.
fn say_all(bench: &Bench) {
    let archive = &bench.archive;
    let patient = PatientRef { issuer: "DEMO0".into(), id: GOES.0.into() };
    let record = LinkedRecord { class: ClassId::parse("USUAL").expect("class"), ended: None };
    let named = || format!("{SAID} as {} asked", GOES.1);
    archive.link_record(&study("1.2.1"), record, person("HIS"), named()).expect("linked");
    let usual = ClassId::parse("USUAL").expect("class");
    archive.unlink_record(&study("1.2.1"), usual, person("HIS"), named()).expect("unlinked");
    // Put right once: the first record says as much of the patient.
    archive.record_death(patient.clone(), day("2030-02-13"), person("Lân")).expect("recorded");
    archive.record_death(patient.clone(), day("2030-02-03"), person("Lân")).expect("recorded");
    archive.make_hold(hold(HoldTarget::Patient(patient))).expect("held");
    archive.release_hold(HoldId::parse("H-7").expect("id"), person("Tòa án"), named()).expect("released");
    let studies = vec![study("1.2.1")];
    // Another value once more: what stood there first says as much.
    for said in [format!("{SAID} {}", GOES.1), format!("{SAID} again")] {
        let set = model::Attributes::from([(model::attribute::key::STUDY_DESCRIPTION, said)]);
        let (study, why, by) = (study("1.2.1"), model::correction::Why::Correct, person("Lân"));
        let correcting = Correcting { study, set, clear: Vec::new(), why, by, reason: named() };
        archive.correct_study(&correcting).expect("corrected");
    }
    let listed = HoldTarget::Studies { query: format!("PatientName={}&{SAID}", GOES.1), studies };
    let listed = model::retention::Hold { id: HoldId::parse("H-8").expect("id"), ..hold(listed) };
    archive.make_hold(listed).expect("held");
    archive.release_hold(HoldId::parse("H-8").expect("id"), person("Tòa án"), named()).expect("released");
}

/// A word that stands in nothing but what is said.
const SAID: &str = "QQSAIDQQ";

/// Files in which something that was said can be read.
fn said(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    files(folder, &mut all);
    all.retain(|path| memmem::find(&std::fs::read(path).unwrap_or_default(), SAID.as_bytes()).is_some());
    all
}

/// Whether something that was said can be read in a record of the journal, or in a fact that was kept. Heads of records
/// are coded with a dictionary, so that a search over the files would find nothing in any case.
fn said_in_records(archive: &Archive) -> bool {
    let mut found = false;
    let mut look = |text: &[u8]| found |= memmem::find(text, SAID.as_bytes()).is_some();
    let walked = archive.journal().replay(1, &mut |replayed: store::Replayed<'_>| {
        look(replayed.head);
        Ok::<_, OpenError>(())
    });
    walked.expect("the journal");
    let walked = archive.facts().replay(&mut |_, fact| {
        look(&serde_json::to_vec(&fact).expect("JSON"));
        Ok(())
    });
    walked.expect("kept facts");
    found
}

#[test]
fn what_was_said_of_a_patient_is_sealed_and_goes_with_the_last_study() {
    let (bench, hand) = archive(true);
    let objects = fill(&bench, &hand);
    until("packed", || all_packed(&bench));
    say_all(&bench);
    bench.archive.index().flush().expect("flush");
    assert!(!said(&bench.options.data.join("index")).is_empty(), "the index has what was said");
    assert!(!said_in_records(&bench.archive), "the journal says it to everybody");
    // Read again from journal and index alike.
    let bench = bench.reopen();
    assert_eq!(bench.archive.holds().len(), 2);
    let before = opened_again(&bench, "before");
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    hand.0.fetch_add(31 * DAY_MS, Ordering::Relaxed);
    until("destroyed", || progress(&bench, &plan).destroyed == 1);
    until("swept", || swept(&bench));
    assert_eq!(traces(&bench.options.data, &objects), [], "something stayed");
    assert!(said(&bench.options.data).is_empty(), "something that was said stayed");
    assert!(bench.archive.holds().is_empty(), "a hold that nobody can read is still shown");
    assert!(bench.archive.index().doomed_seals(10).expect("index").is_empty());
    let report = bench.archive.check_keys().expect("keys");
    assert_eq!((report.live, report.destroyed), (0, 10));
    // An old copy of the journal beside the keys of today: it opens, and what was said is gone.
    let Bench { archive, options, folder: old } = before;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    for keys in ["keys", "keys.copy"] {
        std::fs::remove_dir_all(options.data.join(keys)).expect("removed");
        copy(&bench.options.data.join(keys), &options.data.join(keys));
    }
    std::fs::remove_dir_all(options.data.join("index")).expect("removed");
    let archive = Archive::open(options.clone()).expect("opens");
    assert!(archive.holds().is_empty(), "what was sealed is read");
    drop((archive, old));
    check_the_rest(bench, &objects);
}

#[test]
fn without_the_keys_nothing_starts_and_a_hold_outlives_its_neighbours() {
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    bench.archive.make_hold(hold(HoldTarget::Study(study("1.2.22")))).expect("held");
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    hand.0.fetch_add(31 * DAY_MS, Ordering::Relaxed);
    until("destroyed", || progress(&bench, &plan).destroyed == 1);
    until("swept", || swept(&bench));
    let bench = bench.reopen();
    assert_eq!(bench.archive.holds().len(), 1, "the hold on the other study");
    let Bench { archive, options, folder: _folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    std::fs::remove_dir_all(options.data.join("index")).expect("removed");
    for keys in ["keys", "keys.copy"] {
        std::fs::rename(options.data.join(keys), options.data.join(format!("{keys}.away"))).expect("moved");
    }
    match Archive::open(options.clone()) {
        Err(OpenError::Fact { what, .. }) => assert!(what.contains("key store"), "{what}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a hold that cannot be read is passed over"),
    }
    for keys in ["keys", "keys.copy"] {
        std::fs::remove_dir_all(options.data.join(keys)).expect("removed");
        std::fs::rename(options.data.join(format!("{keys}.away")), options.data.join(keys)).expect("moved");
    }
    let archive = Archive::open(options).expect("opens");
    assert_eq!(archive.holds().len(), 1);
}

#[test]
fn procedure_steps_that_name_a_study_go_with_it_and_the_others_stay() {
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    for (id, study) in [("1.2.7.1", "1.2.1"), ("1.2.7.2", "1.2.22")] {
        let step = serde_json::json!({
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": GOES.1}]},
            "0020000D": {"vr": "UI", "Value": [study]},
            "00404005": {"vr": "DT", "Value": ["20260115093000"]},
            "00404041": {"vr": "CS", "Value": ["READY"]},
            "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
            "00741200": {"vr": "CS", "Value": ["HIGH"]},
            "00741204": {"vr": "LO", "Value": ["Read it"]},
        });
        let step = step.as_object().expect("an object").clone();
        bench.archive.ups().create(&Caller::demo(), FacilityCode::DEMO, Some(uid(id)), step).expect("created");
    }
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    hand.0.fetch_add(31 * DAY_MS, Ordering::Relaxed);
    until("destroyed", || progress(&bench, &plan).destroyed == 1);
    until("swept", || swept(&bench));
    let there = |bench: &Bench| {
        let get = |id| bench.archive.ups().get(&Caller::demo(), FacilityCode::DEMO, &uid(id)).is_ok();
        ["1.2.7.1", "1.2.7.2"].map(get)
    };
    assert_eq!(there(&bench), [false, true]);
    let report = bench.archive.check_keys().expect("keys");
    assert_eq!((report.live, report.destroyed), (1, 1));
    assert_eq!(there(&bench.reopen()), [false, true]);
}
