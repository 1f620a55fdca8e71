//! What lies in the journal, and for how long.

use super::*;
use crate::OpenError;
use index::charts::ChartEntry;
use memchr::memmem;
use store::Replayed;

const NAME: &str = "QQNAMEQQ";
const MRN: &str = "QQMRNQQ";

fn holds(bytes: &[u8], text: &str) -> bool {
    memmem::find(bytes, text.as_bytes()).is_some()
}

/// Heads and bodies of every record as they lie.
fn records(bench: &Bench) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (charts, mut records) = (bench.charts(), Vec::new());
    let walked = charts.journal.replay(1, &mut |replayed: Replayed<'_>| {
        let body = charts.journal.read(&replayed.place, 0..replayed.place.body_len)?;
        records.push((replayed.head.to_vec(), body));
        Ok::<_, OpenError>(())
    });
    walked.expect("walked");
    records
}

#[test]
fn nothing_in_the_journal_names_a_patient() {
    let bench = Bench::new();
    bench.done("1", vec![patient(MRN, NAME), visit(MRN, MRN, None)]);
    bench.done("2", vec![merge("other", MRN)]);
    let broken = Inbound { changes: Err("no PID".into()), text: NAME.into(), ..asks("3", Vec::new()) };
    bench.receive(broken);
    let records = records(&bench);
    assert_eq!(records.len(), 3);
    for (head, body) in records {
        assert!(!holds(&head, NAME) && !holds(&head, MRN), "{}", String::from_utf8_lossy(&head));
        assert!(!holds(&body, NAME) && !holds(&body, MRN));
        // Compressed it would not be found either: nothing in it may be readable as such.
        assert!(memmem::find(&body, &[0x28, 0xb5, 0x2f, 0xfd]).is_none());
    }
}

#[test]
fn what_lies_under_a_key_that_is_gone_is_gone_when_it_is_read_again() {
    let mut bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An"), visit("V", "1", None)]);
    bench.done("2", vec![patient("2", "Lê Bình")]);
    let key = ChartKey::new(ChartKind::Patient, HOME, "1").expect("a key");
    let row = bench.charts().view.row(&key).expect("answers").expect("a row");
    let visit_key = ChartKey::new(ChartKind::Visit, HOME, "V").expect("a key");
    let of_visit = bench.charts().view.row(&visit_key).expect("answers").expect("a row");
    assert_eq!(of_visit.seal, row.seal, "one key for everything of a patient");
    bench.charts().keys.destroy(row.seal.expect("sealed")).expect("destroyed");
    bench.lose_index();
    assert!(bench.own("1").is_none() && bench.visit("V").is_none(), "read without its key");
    assert_eq!(bench.own("2").expect("a patient").name, "Lê Bình");
    // The number comes again: under a new key.
    bench.done("3", vec![patient("1", "Lê An")]);
    bench.lose_index();
    assert_eq!(bench.own("1").expect("a patient").name, "Lê An");
}

#[test]
fn keys_of_many_new_patients_cost_few_syncs_and_each_has_one_of_their_own() {
    const THREADS: usize = 16;
    const EACH: usize = 7;
    let mut bench = Bench::new();
    bench.done("first", vec![patient("first", "Lê An")]);
    let written = |bench: &Bench| bench.charts().keys.open().expect("keys").keys.written();
    let before = written(&bench);
    let charts = Arc::clone(bench.charts());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let charts = &charts;
            scope.spawn(move || {
                for number in 0..EACH {
                    let mrn = format!("{thread} {number}");
                    let receipt = charts.receive(HOME, asks(&mrn, vec![patient(&mrn, "Lê An")])).expect("received");
                    assert_eq!(receipt.handled, Handled::Done);
                }
            });
        }
    });
    drop(charts);
    // Each takes four syncs: of a file and its directory in two copies.
    let made = written(&bench) - before;
    assert!(made <= 8, "{made} times keys were made for {} patients", THREADS * EACH);
    let seals = |bench: &Bench| -> std::collections::BTreeSet<_> {
        let seal = |mrn: String| {
            let key = ChartKey::new(ChartKind::Patient, HOME, &mrn).expect("a key");
            bench.charts().view.row(&key).expect("answers").expect("a row").seal.expect("sealed")
        };
        (0..THREADS).flat_map(|thread| (0..EACH).map(move |number| format!("{thread} {number}"))).map(seal).collect()
    };
    let found = seals(&bench);
    assert_eq!(found.len(), THREADS * EACH, "a key of two patients");
    // What was sealed opens after a kill.
    bench.lose_index();
    assert_eq!(seals(&bench), found);
}

#[test]
fn without_the_keys_nothing_opens() {
    let mut bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An")]);
    bench.charts = None;
    std::fs::remove_dir_all(bench.folder.path().join("charts")).expect("removed");
    for name in ["keys", "keys.copy"] {
        let (keys, away) = (bench.folder.path().join(name), bench.folder.path().join(format!("{name}.away")));
        std::fs::rename(keys, away).expect("moved");
    }
    let options = bench.options();
    match Charts::open(&options, Arc::new(KeyRing::new(&options))) {
        Err(OpenError::Fact { what, .. }) => assert!(what.contains("key store"), "{what}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("rows were passed over"),
    }
}

#[test]
fn old_messages_and_old_segments_go_and_what_stands_stays() {
    let mut bench = Bench::new();
    for number in 0..300 {
        bench.done(&format!("{number}"), vec![patient(&format!("{number}"), &format!("Tên {number}"))]);
    }
    bench.done("m", vec![merge("1", "2")]);
    bench.done("last", vec![patient("0", "Tên mới")]);
    let first = bench.charts().journal.segments();
    let sweep = || bench.charts().sweep().expect("swept");
    assert_eq!((sweep().messages, first.len()), (0, 1), "too early");
    bench.turn(100 * DAY);
    assert_eq!(sweep().messages, 302);
    assert!(bench.messages(None).is_empty());
    bench.done("new", vec![patient("new", "Lê An")]);
    bench.turn(91 * DAY);
    let swept = sweep();
    assert_eq!((swept.messages, swept.segments), (1, 1));
    let now = bench.charts().journal.segments();
    assert!(now.iter().all(|segment| segment.first_lsn > first[0].first_lsn), "{now:?}");
    let before = bench.dump();
    bench.lose_index();
    assert_eq!(bench.dump(), before);
    assert_eq!((bench.own("0").expect("a patient").name.as_str(), bench.own("299").is_some()), ("Tên mới", true));
    assert_eq!(bench.stands_for("2").as_deref(), Some("1"));
    let created = |id: &str| {
        let key = ChartKey::new(ChartKind::Patient, HOME, id).expect("a key");
        bench.charts().view.row(&key).expect("answers").expect("a row").created
    };
    assert!(created("0") < created("1") && created("299") < created("new"), "the order in which they came");
    let verified = bench.charts().verify(&std::sync::atomic::AtomicBool::new(false)).expect("verified");
    assert_eq!(verified.damage, Vec::<String>::new());
    let rows = bench.charts().view.rows(None, 10_000).expect("answers").len();
    assert_eq!(verified.rows, u64::try_from(rows).expect("a number"));
}

#[test]
fn a_damaged_index_is_told_and_rebuilt_equal() {
    let mut bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An"), visit("V", "1", None)]);
    let key = ChartKey::new(ChartKind::Patient, HOME, "1").expect("a key");
    let mut row = bench.charts().view.row(&key).expect("answers").expect("a row");
    row.body = ChartBody::Patient(Box::new(Patient { mrn: "1".into(), name: "wrong".into(), ..Patient::default() }));
    let last = bench.charts().applied();
    let entries = [ChartEntry::Gone(key), ChartEntry::Put(Box::new(row))];
    bench.charts().view.apply(&entries, last.saturating_add(1)).expect("applied");
    let verified = bench.charts().verify(&std::sync::atomic::AtomicBool::new(false)).expect("verified");
    let [damage] = verified.damage.as_slice() else { panic!("{verified:?}") };
    assert!(damage.contains("otherwise in the index") && !damage.contains("Lê An"), "{damage}");
    // A row that is in no table any more.
    let gone = ChartKey::new(ChartKind::Visit, HOME, "V").expect("a key");
    let last = bench.charts().applied();
    bench.charts().view.apply(&[ChartEntry::Gone(gone)], last).expect("applied");
    let verified = bench.charts().verify(&std::sync::atomic::AtomicBool::new(false)).expect("verified");
    assert!(verified.damage.iter().any(|what| what.contains("does not know it")), "{verified:?}");
    bench.charts = None;
    let options = bench.options();
    let rebuilt = crate::charts::rebuild(&options, Arc::new(KeyRing::new(&options))).expect("rebuilt");
    assert!(rebuilt.before.is_some_and(|before| before != rebuilt.after) && rebuilt.records == 1, "{rebuilt:?}");
    bench.restart();
    assert_eq!(bench.own("1").expect("a patient").name, "Lê An");
    bench.charts = None;
    let again = crate::charts::rebuild(&options, Arc::new(KeyRing::new(&options))).expect("rebuilt");
    assert_eq!(again.before, Some(rebuilt.after), "not equal");
    assert_eq!(again.after, rebuilt.after);
}

#[test]
fn an_index_that_does_not_open_is_built_anew() {
    let mut bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An")]);
    let before = bench.dump();
    bench.charts = None;
    std::fs::write(bench.folder.path().join("charts/CURRENT"), "nonsense").expect("damaged");
    bench.restart();
    assert_eq!(bench.dump(), before);
}

#[test]
fn a_clock_that_jumps_decides_nothing_before_it_is_trusted() {
    use std::time::{Duration, Instant};
    let (start, clock) = (Instant::now(), 1_800_000_000_000);
    let mut trust = crate::charts::sweep::Trust::new(clock - MINUTE);
    assert!(trust.holds(start, clock));
    let later = |minutes: u64| start + Duration::from_secs(60 * minutes);
    assert!(trust.holds(later(1), clock + MINUTE));
    assert!(!trust.holds(later(2), clock + 91 * DAY), "a jump ahead");
    assert!(!trust.holds(later(3), clock + 3 * MINUTE), "and back");
    assert!(!trust.holds(later(60), clock + 60 * MINUTE));
    assert!(trust.holds(later(64), clock + 64 * MINUTE));
    assert!(!crate::charts::sweep::Trust::new(clock).holds(start, clock + 91 * DAY), "after a start");
}
