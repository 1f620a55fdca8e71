//! What releasing a segment weighs.
//!
//! Deliberately not here: whole releases, which the tests of packs have.

use super::*;
use crate::retain::{MoveTo, Moving};
use crate::tests::{Bench, Object, uid, until};
use model::retention::{MoveReason, Person, StudyRef};

/// What waits is weighed with its heads: a segment of objects without much of a body is not the little that still lives.
#[test]
fn what_waits_is_weighed_with_its_heads() {
    let bench = Bench::with(|options| options.packs.enabled = false);
    for number in 1..=20 {
        let sop = format!("1.2.1.1.{number}");
        bench.store(&Object { number, pixels: 2, ..Object::new(&sop) }).expect("stored");
    }
    let (mut contents, mut heads, mut bodies) = (Contents::default(), 0, 0);
    let first = bench.archive.journal().segments().first().expect("a segment").first_lsn;
    let walked = bench.archive.journal().replay_until(first, Lsn::MAX, &mut |replayed: Replayed<'_>| {
        if let (lsn, Fact::Instance(head)) = parse(replayed.lsn, replayed.head)?.own(replayed.lsn) {
            heads += u64::try_from(replayed.head.len()).expect("short");
            bodies += replayed.place.body_len;
            contents.instance(&bench.archive, (lsn, head, replayed.place), replayed.head.len())?;
        }
        Ok::<_, OpenError>(())
    });
    walked.expect("a walk");
    assert_eq!(contents.waiting.len(), 20);
    assert!(heads > 20 * 32, "{heads}");
    assert_eq!(contents.waiting_bytes, heads + bodies);
}

/// Of a crowded journal's segment no more is copied forward than a little, in number as in bytes: looking each one up
/// costs what it costs, however small it is.
#[test]
fn no_more_than_a_little_is_copied_forward_in_number_as_in_bytes() {
    let bench = Bench::with(|options| options.packs.enabled = false);
    for number in 1..=20 {
        let sop = format!("1.2.1.1.{number}");
        bench.store(&Object { number, pixels: 2, ..Object::new(&sop) }).expect("stored");
    }
    let segment = *bench.archive.journal().segments().first().expect("a segment");
    let waiting = |little| {
        let contents = look(&bench.archive, &segment, Lsn::MAX, little).expect("a walk");
        contents.filter(|contents| !contents.much).map(|contents| contents.waiting.len())
    };
    let many = Little { bytes: u64::MAX, instances: 20 };
    assert_eq!(waiting(Some(many)), Some(20));
    assert_eq!(waiting(Some(Little { instances: 19, ..many })), None, "one more than may wait");
    assert_eq!(waiting(Some(Little { bytes: 100, ..many })), None);
    let first = look(&bench.archive, &segment, Lsn::MAX, None).expect("a walk").expect("what waits");
    assert!(first.much && first.waiting.len() == 1, "the first one is all that must be known");
    assert_eq!(Little::of(1 << 20), Little { bytes: 256 << 10, instances: 10_000 });
}

/// A look at a crowded journal's segment asks the index for thousands of instances: while all of some of them still live
/// there, it is not looked at again.
#[test]
fn a_segment_is_looked_at_again_when_something_of_it_left() {
    let bench = Bench::with(|options| options.packs.enabled = false);
    for number in 1..=3 {
        let sop = format!("1.2.1.1.{number}");
        bench.store(&Object { number, pixels: 2, ..Object::new(&sop) }).expect("stored");
    }
    let segment = *bench.archive.journal().segments().first().expect("a segment");
    let held = look(&bench.archive, &segment, Lsn::MAX, Some(Little { bytes: u64::MAX, instances: 2 }));
    let some = held.expect("a walk").expect("what waits").waiting;
    assert_eq!(some.len(), 3);
    let mut known = Oldest { blockers: Some(Blockers { segment, crowded: true, some }), ..Oldest::default() };
    let still = |known: &Oldest, crowded| known.still_waits(&bench.archive, &segment, crowded).expect("asked");
    assert!(still(&known, true) && still(&known, false));
    let blockers = known.blockers.as_mut().expect("blockers");
    blockers.crowded = false;
    assert!(!still(&known, true), "one that blocks says nothing of how much waits");
    let blockers = known.blockers.as_mut().expect("blockers");
    blockers.crowded = true;
    // What cannot be packed waits for nothing: it can be copied forward.
    let (_, head, place) = blockers.some.first().expect("one").clone();
    let row = bench.archive.lives_at(&head, &place).expect("asked").expect("it lives");
    assert!(still(&known, true));
    bench.archive.failing().failed(&row.key);
    assert!(!still(&known, true), "the segment would never go");
    bench.archive.failing().done(&row.key);
    let blockers = known.blockers.as_mut().expect("blockers");
    // As if it were read from elsewhere by now.
    blockers.some.last_mut().expect("one").2.offset += 64;
    assert!(!still(&known, true), "something of it left");
    let other = SegmentInfo { number: segment.number + 1, ..segment };
    assert!(!known.still_waits(&bench.archive, &other, true).expect("asked"), "another segment");
    known.rest(&segment);
    let first = known.rested.expect("rested").1;
    known.rest(&segment);
    assert_eq!((first, known.rested.expect("rested").1), (RESTS.0, RESTS.0 * 2));
    known.rest(&other);
    assert_eq!(known.rested.expect("rested").1, RESTS.0, "another segment rests anew");
}

/// Nobody waits for the end of a look at a segment: the thread that looks takes what the others leave.
#[test]
fn the_thread_that_releases_segments_gives_way() {
    let nice = |thread| rustix::process::getpriority_process(thread).ok();
    let own = nice(None).expect("priority");
    let _bench = Bench::new();
    until("it stands back", || {
        let threads = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
        // One that ends meanwhile is none.
        let named = |folder: &std::path::Path| std::fs::read_to_string(folder.join("comm")).unwrap_or_default();
        let mut ours = threads.filter(|thread| named(&thread.path()).trim() == "segments");
        ours.any(|thread| {
            let number = thread.file_name().to_str().and_then(|number| number.parse().ok());
            let number = number.and_then(rustix::process::Pid::from_raw).expect("a number");
            nice(Some(number)) == Some(own.max(crate::worker::BEHIND))
        })
    });
}

/// A look goes on for long where everybody else works: a destruction does not wait for its end.
#[test]
fn a_look_at_a_segment_makes_room_for_a_destruction() {
    let bench = Bench::with(|options| options.packs.enabled = false);
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    let segment = *bench.archive.journal().segments().first().expect("a segment");
    let waiting = || look(&bench.archive, &segment, Lsn::MAX, None).expect("a walk").map(|held| held.waiting.len());
    assert_eq!(waiting(), Some(1));
    bench.archive.retention().destroying.store(true, Ordering::Relaxed);
    assert_eq!(waiting(), None);
    release_destroyed(&bench.archive).expect("had its turn");
    assert_eq!(waiting(), Some(1));
}

/// Otherwise a rebuilt index would wait for it once more, and everything would go to every destination again.
#[test]
fn that_a_series_is_quiet_counts_wherever_it_stands_by_now() {
    let bench = Bench::with(|options| {
        (options.quiet_after, options.packs.enabled) = (Duration::from_millis(1), false);
    });
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    bench.store(&Object { study: "1.2.2", series: "1.2.2.1", ..Object::new("1.2.2.1.1") }).expect("stored");
    let is_quiet = || bench.archive.index().busy_series(u64::MAX, 10).expect("index").is_empty();
    until("quiet", is_quiet);
    let counting = || {
        let mut said = Vec::new();
        let walked = bench.archive.journal().replay(1, &mut |replayed: Replayed<'_>| {
            let (lsn, fact) = parse(replayed.lsn, replayed.head)?.own(replayed.lsn);
            if matches!(&fact, Fact::SeriesQuiet(quiet) if quiet.series == uid("1.2.1.1")) {
                said.push((lsn, fact));
            }
            Ok::<_, OpenError>(())
        });
        walked.expect("a walk");
        said.into_iter()
            .filter(|(lsn, fact)| bench.archive.current(*lsn, fact.clone()).expect("asked").is_some())
            .count()
    };
    let of = |study: &str| StudyRef { facility: FacilityCode::DEMO, study: uid(study), patient: 0 };
    let (by, why) = (Person::parse("Lan").expect("a person"), MoveReason::WrongStudy);
    assert_eq!(counting(), 1);
    let there = Moving { study: of("1.2.1"), series: Vec::new(), to: MoveTo::Study(of("1.2.2")), why, by };
    bench.archive.move_series(&there).expect("moved");
    assert_eq!(counting(), 1, "what was said before the move");
    bench.store(&Object { number: 2, ..Object::new("1.2.1.1.2") }).expect("stored");
    until("quiet", is_quiet);
    assert_eq!(counting(), 1, "what was said behind it");
    bench.archive.move_series(&Moving { study: of("1.2.2"), to: MoveTo::Home, ..there }).expect("taken back");
    assert_eq!(counting(), 1, "what was said there");
}
