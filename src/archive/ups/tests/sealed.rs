//! What lies in the journal says nothing without its key, and the key goes with the step.

use super::super::bloom;
use super::super::record::UpsRecord;
use super::*;
use crate::seal::Lock;
use std::path::Path;

/// Whether any file of the journal holds these bytes.
fn holds(bench: &Bench, bytes: &[u8]) -> bool {
    let folder = bench.folder.path().join("journal/ups");
    let files = std::fs::read_dir(&folder).expect("the journal").map(|entry| entry.expect("an entry").path());
    let read = |path| std::fs::read(path).expect("read");
    files.filter(|path| path.is_file()).map(read).any(|file| memchr::memmem::find(&file, bytes).is_some())
}

/// The data set of a step as it lies in the journal.
fn lying(bench: &Bench, id: &str) -> Vec<u8> {
    let place = bench.ups().state.read().shelves[&HOME].steps[&uid(id)].place.clone();
    bench.ups().journal.read(&place, 0..place.body_len).expect("read")
}

/// Keys that are there, and that were destroyed.
fn keys(bench: &Bench) -> (u64, u64) {
    let report = bench.ups().keys.open().expect("keys").keys.check().expect("checked");
    (report.live, report.destroyed)
}

fn plan_for(bench: &Bench, id: &str, patient: &str) {
    bench.ups().create(&Caller::demo(), HOME, Some(uid(id)), plan(patient)).expect("created");
}

fn cancel(bench: &Bench, id: &str) {
    bench.ups().request_cancel(&Caller::demo(), HOME, &uid(id), "WS", Document::new()).expect("canceled");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => assert!(std::fs::copy(entry.path(), to).is_ok()),
        }
    }
}

#[test]
fn nothing_of_a_forgotten_step_stays_in_the_journal_and_its_key_is_destroyed() {
    let mut bench = Bench::new();
    plan_for(&bench, "1.2.1", "BN-GONE");
    plan_for(&bench, "1.2.2", "BN-STAYS");
    let gone = lying(&bench, "1.2.1");
    cancel(&bench, "1.2.1");
    bench.ups().sweep().expect("swept");
    assert!(holds(&bench, &gone) && holds(&bench, &lying(&bench, "1.2.2")));
    assert!(!holds(&bench, b"BN-GONE") && !holds(&bench, b"BN-STAYS"), "in clear");
    assert_eq!(keys(&bench), (2, 0));
    bench.clock.0.fetch_add(KEPT_MS + 1, Ordering::SeqCst);
    bench.ups().sweep().expect("swept");
    assert!(!holds(&bench, &gone), "it still lies there");
    assert_eq!(keys(&bench), (1, 1));
    bench.restart();
    assert_eq!((bench.found(json!({})), state_of(&bench, "1.2.2")), (1, "SCHEDULED".into()));
    // Also after a restart, which knows nothing of the time before.
    plan_for(&bench, "1.2.3", "BN-LATER");
    let later = lying(&bench, "1.2.3");
    cancel(&bench, "1.2.3");
    bench.restart();
    bench.clock.0.fetch_add(KEPT_MS + 1, Ordering::SeqCst);
    bench.ups().sweep().expect("swept");
    assert!(!holds(&bench, &later) && bench.found(json!({})) == 1);
    assert_eq!(keys(&bench), (1, 2));
}

#[test]
fn an_old_copy_of_the_journal_says_nothing_of_what_was_forgotten_since() {
    let mut bench = Bench::new();
    plan_for(&bench, "1.2.1", "BN-GONE");
    plan_for(&bench, "1.2.2", "BN-STAYS");
    let (journal, old) = (bench.folder.path().join("journal/ups"), bench.folder.path().join("old"));
    copy(&journal, &old);
    cancel(&bench, "1.2.1");
    bench.clock.0.fetch_add(KEPT_MS + 1, Ordering::SeqCst);
    bench.ups().sweep().expect("swept");
    bench.ups = None;
    std::fs::remove_dir_all(&journal).expect("removed");
    copy(&old, &journal);
    bench.restart();
    let get = |bench: &Bench, id: &str| bench.ups().get(&Caller::demo(), HOME, &uid(id)).map(drop);
    assert_eq!((get(&bench, "1.2.1"), get(&bench, "1.2.2")), (Err(UpsError::Unknown), Ok(())));
    assert_eq!(bench.found(json!({})), 1);
    // When its segment is moved it goes for good.
    let bound = bench.ups().state.read().shelves[&HOME].steps.values().map(|step| step.lsn).max().expect("steps");
    bench.ups().move_below(bound + 1).expect("moved");
    assert_eq!(bench.ups().state.read().shelves[&HOME].steps.len(), 1);
    assert_eq!(get(&bench, "1.2.2"), Ok(()));
}

#[test]
fn a_step_that_was_recorded_in_clear_is_read_and_is_sealed_with_the_next_sweep() {
    let mut bench = Bench::new();
    plan_for(&bench, "1.2.1", "BN-1");
    // As an earlier program recorded it.
    let mut document = bench.ups().get(&Caller::demo(), HOME, &uid("1.2.1")).expect("there");
    document.insert("00100020".into(), json!({"vr": "LO", "Value": ["BN-OLD"]}));
    let step = bench.ups().state.read().shelves[&HOME].steps[&uid("1.2.1")].clone();
    let marks = bloom::halves(bloom::marks(&document));
    let head = json!({
        "ups": "step", "facility": HOME, "uid": "1.2.1", "created": step.created, "at": step.at,
        "state": "SCHEDULED", "start": step.start, "marks": marks,
    });
    let record: UpsRecord = serde_json::from_value(head).expect("a record");
    let body = serde_json::to_vec(&document).expect("JSON");
    bench.ups().append(record, Some(body), true).expect("recorded");
    assert!(holds(&bench, b"BN-OLD"));
    bench.restart();
    let keys = || json!({"00100020": {"vr": "LO", "Value": ["BN-OLD"]}});
    assert_eq!((bench.found(keys()), state_of(&bench, "1.2.1")), (1, "SCHEDULED".into()));
    bench.ups().sweep().expect("swept");
    assert!(!holds(&bench, b"BN-OLD"), "still in clear");
    assert_eq!(bench.found(keys()), 1);
    bench.restart();
    assert_eq!((bench.found(keys()), state_of(&bench, "1.2.1")), (1, "SCHEDULED".into()));
    bench.state("1.2.1", StepState::InProgress, "1.9").expect("taken");
    assert!(!holds(&bench, b"BN-OLD"));
}

#[test]
fn steps_that_name_a_study_are_told_and_forgotten_with_their_keys() {
    let bench = Bench::new();
    let naming = |id: &str, sequence: bool, study: &str| {
        let mut step = plan("P1");
        let named = json!({"vr": "UI", "Value": [study]});
        match sequence {
            true => step.insert("00404021".into(), json!({"vr": "SQ", "Value": [{"0020000D": named}]})),
            false => step.insert("0020000D".into(), named),
        };
        bench.ups().create(&Caller::demo(), HOME, Some(uid(id)), step).expect("created");
    };
    naming("1.2.1", false, "1.9.1");
    naming("1.2.2", true, "1.9.1");
    naming("1.2.3", true, "1.9.11");
    plan_for(&bench, "1.2.4", "1.9.1");
    // A reading that goes on and names a prior: it is not work on the prior alone, until it has ended.
    let mut reading = plan("P1");
    reading.insert("0020000D".into(), json!({"vr": "UI", "Value": ["1.9.2"]}));
    let prior = json!({"vr": "SQ", "Value": [{"0020000d": {"vr": "UI", "Value": ["1.9.1"]}}]});
    reading.insert("00404021".into(), prior);
    bench.ups().create(&Caller::demo(), HOME, Some(uid("1.2.5")), reading).expect("created");
    let seals = bench.ups().seals_about(HOME, &uid("1.9.1")).expect("read");
    assert_eq!(seals.len(), 2);
    cancel(&bench, "1.2.5");
    assert_eq!(bench.ups().seals_about(HOME, &uid("1.9.1")).expect("read").len(), 3);
    assert_eq!(bench.ups().seals_about(FacilityCode::parse("56001").expect("code"), &uid("1.9.1")), Ok(Vec::new()));
    let ring = bench.ups().keys.open().expect("keys");
    for seal in &seals {
        assert!(ring.keys.destroy(*seal).expect("destroyed"), "it was there");
    }
    bench.ups().forget_sealed(&seals).expect("forgotten");
    let there = |id: &str| bench.ups().get(&Caller::demo(), HOME, &uid(id)).is_ok();
    assert_eq!(["1.2.1", "1.2.2", "1.2.3", "1.2.4"].map(there), [false, false, true, true]);
    bench.ups().sweep().expect("keys that are destroyed already are no trouble");
    assert_eq!(bench.found(json!({})), 3);
}

#[test]
fn a_step_whose_key_is_not_at_hand_stops_neither_sweep_nor_destruction() {
    let mut bench = Bench::new();
    plan_for(&bench, "1.2.1", "BN-1");
    let mut step = plan("P1");
    step.insert("0020000D".into(), json!({"vr": "UI", "Value": ["1.9.1"]}));
    bench.ups().create(&Caller::demo(), HOME, Some(uid("1.2.2")), step).expect("created");
    let body = lying(&bench, "1.2.2");
    bench.ups = None;
    for folder in ["keys", "keys.copy"] {
        std::fs::rename(bench.folder.path().join(folder), bench.folder.path().join(format!("{folder}.away")))
            .expect("moved");
    }
    bench.restart();
    assert_eq!(bench.ups().seals_about(HOME, &uid("1.9.1")), Ok(Vec::new()));
    let bound = bench.ups().state.read().shelves[&HOME].steps.values().map(|step| step.lsn).max().expect("steps");
    bench.ups().move_below(bound + 1).expect("moved without a key");
    bench.ups().sweep().expect("swept");
    assert!(lying(&bench, "1.2.2") == body, "it lies as it lay");
    bench.ups = None;
    for folder in ["keys", "keys.copy"] {
        std::fs::remove_dir_all(bench.folder.path().join(folder)).expect("removed");
        std::fs::rename(bench.folder.path().join(format!("{folder}.away")), bench.folder.path().join(folder))
            .expect("moved back");
    }
    bench.restart();
    assert_eq!((state_of(&bench, "1.2.1"), state_of(&bench, "1.2.2")), ("SCHEDULED".into(), "SCHEDULED".into()));
    assert_eq!(bench.ups().seals_about(HOME, &uid("1.9.1")).expect("read").len(), 1);
}

/// What the events say that wait for an AE title, as texts.
fn said(bench: &Bench, receiver: &str) -> Vec<String> {
    let channel = bench.listen(receiver);
    let mut out = Vec::new();
    while let Turn::Event(event) = channel.next() {
        out.push(serde_json::to_string(&event.info).expect("JSON"));
        channel.taken(&event);
    }
    out
}

fn named(name: &str) -> Document {
    document(json!({"00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}))
}

#[test]
fn what_events_and_filters_say_lies_under_keys_over_a_restart_and_a_filter_goes_with_its_subscription() {
    let mut bench = Bench::new();
    bench.subscribe(FILTERED, "NAMED", false, named("TRAN^SEALED")).expect("subscribed");
    let mut step = plan("BN-1");
    step.extend(named("TRAN^SEALED"));
    bench.ups().create(&Caller::demo(), HOME, Some(uid("1.2.1")), step).expect("created");
    let reason = document(json!({"00741238": {"vr": "LT", "Value": ["SEALED-REASON of a person"]}}));
    bench.ups().request_cancel(&Caller::demo(), HOME, &uid("1.2.1"), "WS", reason).expect("canceled");
    plan_for(&bench, "1.2.2", "BN-2");
    assert!(!holds(&bench, b"TRAN^SEALED") && !holds(&bench, b"SEALED-REASON"), "in clear");
    assert_eq!(keys(&bench), (3, 0));
    bench.restart();
    let heard = said(&bench, "NAMED");
    assert_eq!(heard.len(), 4, "three states and that we are back: {heard:?}");
    assert!(heard[2].contains("SEALED-REASON of a person"), "{heard:?}");
    bench.ups().suspend(&Caller::demo(), HOME, &uid(FILTERED), "NAMED").expect("suspended");
    bench.ups().sweep().expect("swept");
    assert_eq!(keys(&bench), (3, 0), "the same filter, the same key");
    let filter = bench.ups().state.read().shelves[&HOME].subscribers[&title("NAMED")].filter_seal().expect("sealed");
    bench.subscribe(FILTERED, "NAMED", false, named("LE^OTHER")).expect("subscribed");
    bench.ups().sweep().expect("swept");
    assert_eq!((bench.ups().opens(filter), keys(&bench)), (Ok(Lock::Destroyed), (3, 1)), "it was replaced");
    bench.ups().unsubscribe(&Caller::demo(), HOME, &uid(FILTERED), "NAMED").expect("ended");
    bench.ups().sweep().expect("swept");
    assert_eq!(keys(&bench), (2, 2));
}

#[test]
fn what_waits_to_be_said_of_a_step_goes_with_its_key_and_a_filter_with_the_study_it_names() {
    let mut bench = Bench::new();
    let of_study = document(json!({"0020000D": {"vr": "UI", "Value": ["1.9.1"]}}));
    bench.subscribe(FILTERED, "STUDY", true, of_study.clone()).expect("subscribed");
    bench.subscribe(GLOBAL, "WATCH", false, Document::new()).expect("subscribed");
    for id in ["1.2.1", "1.2.2"] {
        let mut step = plan("BN-1");
        step.extend(of_study.clone());
        bench.ups().create(&Caller::demo(), HOME, Some(uid(id)), step).expect("created");
    }
    plan_for(&bench, "1.2.3", "BN-2");
    let seals = bench.ups().seals_about(HOME, &uid("1.9.1")).expect("read");
    assert_eq!(seals.len(), 3, "two steps and a filter");
    {
        let ring = bench.ups().keys.open().expect("keys");
        seals.iter().for_each(|seal| assert!(ring.keys.destroy(*seal).expect("destroyed"), "it was there"));
    }
    // A kill in between: nothing else knows that they are gone.
    bench.restart();
    assert_eq!(bench.heard("WATCH").len(), 2, "of the third step, and that we are back");
    bench.ups().sweep().expect("swept");
    bench.ups().forget_sealed(&seals).expect("forgotten");
    assert_eq!(bench.heard("STUDY").len(), 1, "that we are back");
    let state = bench.ups().state.read();
    assert!(state.shelves[&HOME].subscribers.values().all(|one| one.filter_seal().is_none()));
    assert_eq!(state.shelves[&HOME].steps.len(), 1);
}

#[test]
fn an_event_whose_key_is_not_at_hand_waits_for_it_and_none_is_lost() {
    let mut bench = Bench::new();
    bench.subscribe(GLOBAL, "WATCH", false, Document::new()).expect("subscribed");
    plan_for(&bench, "1.2.1", "BN-1");
    let aside = |bench: &mut Bench, from: &str, to: &str| {
        bench.ups = None;
        for folder in ["keys", "keys.copy"] {
            let path = |suffix: &str| bench.folder.path().join(format!("{folder}{suffix}"));
            let _ = std::fs::remove_dir_all(path(to));
            std::fs::rename(path(from), path(to)).expect("moved");
        }
        bench.restart();
    };
    aside(&mut bench, "", ".away");
    assert_eq!(bench.heard("WATCH"), [], "those behind it wait, too");
    assert_eq!(bench.ups().waiting(), [], "nobody is called to be told nothing");
    bench.restart();
    aside(&mut bench, ".away", "");
    let heard: Vec<EventKind> = bench.heard("WATCH").into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(heard, [EventKind::State, EventKind::Provider]);
}

#[test]
fn events_and_filters_that_were_recorded_in_clear_are_read_and_are_sealed_with_the_next_sweep() {
    let mut bench = Bench::new();
    plan_for(&bench, "1.2.1", "BN-1");
    // As an earlier program recorded them.
    let seq = bench.ups().state.read().next();
    let text = |value: &str| json!({"vr": "LT", "Value": [value]});
    let at = bench.clock.0.load(Ordering::SeqCst);
    let event = |seq: u64, id: &str, info: Value| {
        let (kind, to) = ("progress", ["OLD"]);
        json!({"seq": seq, "facility": HOME, "uid": id, "kind": kind, "info": info, "at": at, "to": to})
    };
    let filter = json!({"00100020": {"vr": "LO", "Value": ["BN-OLD"]}});
    let global = json!({"lock": false, "filter": filter});
    let events = [event(seq, "1.2.1", json!({"00741238": text("BN-OLD 1")})), event(seq + 1, "1.2.9", json!({}))];
    let heads = [
        json!({"ups": "global", "facility": HOME, "title": "OLD", "global": global, "clears": false}),
        json!({"ups": "events", "events": events}),
    ];
    for head in heads {
        let record: UpsRecord = serde_json::from_value(head).expect("a record");
        bench.ups().append(record, None, true).expect("recorded");
    }
    assert!(holds(&bench, b"BN-OLD"));
    bench.restart();
    plan_for(&bench, "1.2.2", "BN-OLD");
    bench.ups().sweep().expect("swept");
    assert!(!holds(&bench, b"BN-OLD"), "still in clear");
    bench.restart();
    plan_for(&bench, "1.2.3", "BN-OLD");
    let heard = said(&bench, "OLD");
    assert!(heard.first().is_some_and(|first| first.contains("BN-OLD 1")), "{heard:?}");
    // What was to be said of a step that is forgotten is not; the two new steps, and twice that we are back.
    assert_eq!(heard.len(), 5, "{heard:?}");
}
