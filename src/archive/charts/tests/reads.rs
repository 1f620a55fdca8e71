//! Who read what: durable once it is written, one row for an hour, sealed, each facility's own, and kept as long as it has
//! to be.

use super::*;
use crate::charts::reads::Forgetting;
use crate::charts::{ReadFilter, Reader};
use crate::tests::{Object, uid, until};
use index::StudyKey;
use memchr::memmem;
use model::Role;
use model::chart::{Read, Way};

const HOUR: u64 = 60 * MINUTE;

fn study(facility: FacilityCode, study: &str) -> StudyKey {
    StudyKey { facility, study: uid(study), patient: 0 }
}

fn reader(by: &str, way: Way) -> Reader {
    let caller = Caller { name: by.into(), role: Role::Reader, ..Caller::demo() };
    Reader { address: Some([192, 0, 2, 7].into()), ..Reader::new(&caller, way) }
}

fn found(charts: &Charts, caller: &Caller, filter: &ReadFilter) -> Vec<Read> {
    let page = charts.reads(caller, filter, None, 100).expect("answers");
    assert_eq!(page.cursor, None);
    let read = |row: model::chart::ChartRow| match row.body {
        ChartBody::Read(read) => *read,
        other => panic!("{other:?}"),
    };
    page.rows.into_iter().map(read).collect()
}

fn all(charts: &Charts) -> Vec<Read> {
    found(charts, &Caller::operator(), &ReadFilter::default())
}

#[test]
fn what_is_written_survives_kills_and_lost_indexes_and_an_hour_is_one_row() {
    let mut bench = Bench::new();
    bench.charts().note_read(&reader("an", Way::Dicomweb), &study(HOME, "1.2.3"), 500, 500);
    assert!(all(bench.charts()).is_empty(), "nobody who reads waits for the disk");
    assert_eq!(bench.charts().write_reads(false).expect("written"), 1);
    bench.charts().note_read(&reader("an", Way::Dicomweb), &study(HOME, "1.2.4"), 1, 1);
    bench.restart();
    let kept = all(bench.charts());
    assert_eq!(kept.len(), 1, "what was not written is lost by a kill: {kept:?}");
    assert_eq!((kept[0].by.as_str(), kept[0].requests, kept[0].objects), ("an", 500, 500));
    assert_eq!(kept[0].addresses, [std::net::IpAddr::from([192, 0, 2, 7])]);
    // The same hour goes on in its row, the next one has its own.
    bench.turn(MINUTE);
    bench.charts().note_read(&reader("an", Way::Dicomweb), &study(HOME, "1.2.3"), 2, 3);
    bench.charts().write_reads(false).expect("written");
    bench.turn(HOUR);
    bench.charts().note_read(&reader("an", Way::Dicomweb), &study(HOME, "1.2.3"), 1, 1);
    bench.charts().write_reads(false).expect("written");
    bench.lose_index();
    let counts: Vec<_> = all(bench.charts()).iter().map(|read| (read.requests, read.objects)).collect();
    assert_eq!(counts, [(1, 1), (502, 503)], "the newest first");
}

#[test]
fn reads_are_found_by_what_they_say_within_the_callers_facilities() {
    let bench = Bench::new();
    let charts = bench.charts();
    let begin = charts.now_ms();
    charts.note_read(&reader("an", Way::Viewer), &study(HOME, "1.2.3"), 1, 1);
    charts.note_read(&reader("an", Way::Move), &study(HOME, "1.2.4"), 1, 7);
    charts.note_read(&reader("lan", Way::Viewer), &study(other(), "1.2.3"), 1, 1);
    charts.write_reads(false).expect("written");
    let count = |caller: &Caller, filter: ReadFilter| found(charts, caller, &filter).len();
    let operator = Caller::operator();
    let any = ReadFilter::default;
    assert_eq!((count(&operator, any()), count(&Caller::demo(), any())), (3, 2), "another facility's are not told");
    assert_eq!(count(&Caller::demo(), ReadFilter { facility: Some(other()), ..any() }), 0);
    assert_eq!(count(&operator, ReadFilter { study: Some(uid("1.2.3")), ..any() }), 2);
    assert_eq!(count(&operator, ReadFilter { by: Some("an".into()), ..any() }), 2);
    assert_eq!(count(&operator, ReadFilter { by: Some("a".into()), ..any() }), 0, "names count as a whole");
    assert_eq!(count(&operator, ReadFilter { way: Some(Way::Move), ..any() }), 1);
    let moments = |from, to| ReadFilter { moments: Some((from, to)), ..any() };
    assert_eq!(count(&operator, moments(begin, begin)), 3);
    assert_eq!((count(&operator, moments(0, begin - 1)), count(&operator, moments(begin + 1, u64::MAX))), (0, 0));
}

#[test]
fn a_read_in_an_hour_is_found_by_every_moment_until_its_last_request() {
    let bench = Bench::new();
    let charts = bench.charts();
    // Within one hour of the clock.
    bench.turn(HOUR - charts.now_ms() % HOUR);
    let begin = charts.now_ms();
    charts.note_read(&reader("an", Way::Viewer), &study(HOME, "1.2.3"), 1, 1);
    bench.turn(50 * MINUTE);
    charts.note_read(&reader("an", Way::Viewer), &study(HOME, "1.2.3"), 1, 1);
    charts.write_reads(true).expect("written");
    let at = |moment: u64| {
        let moments = Some((moment, moment));
        found(charts, &Caller::operator(), &ReadFilter { moments, ..ReadFilter::default() }).len()
    };
    assert_eq!([at(begin - 1), at(begin), at(begin + 50 * MINUTE), at(begin + 50 * MINUTE + 1)], [0, 1, 1, 0]);
}

#[test]
fn nothing_of_a_read_lies_in_clear() {
    let bench = Bench::new();
    let charts = bench.charts();
    charts.note_read(&reader("QQREADERQQ", Way::Viewer), &study(HOME, "1.2.826.77"), 1, 1);
    charts.write_reads(false).expect("written");
    let mut records = 0;
    let walked = charts.journal.replay(1, &mut |replayed: store::Replayed<'_>| {
        let body = charts.journal.read(&replayed.place, 0..replayed.place.body_len)?;
        for text in ["QQREADERQQ", "1.2.826.77"] {
            let lies = |bytes: &[u8]| memmem::find(bytes, text.as_bytes()).is_some();
            assert!(!lies(replayed.head) && !lies(&body), "{text} lies in clear");
        }
        records += 1;
        Ok::<_, crate::OpenError>(())
    });
    walked.expect("walked");
    assert_eq!(records, 1);
}

#[test]
fn a_thread_writes_what_is_read_and_a_stop_the_rest() {
    let bench = crate::tests::Bench::new();
    bench.archive.charts().note_read(&reader("an", Way::Get), &study(HOME, "1.2.3"), 1, 4);
    until("it is written without being asked", || !all(bench.archive.charts()).is_empty());
    // Counts of what is written follow later, and at a stop.
    bench.archive.charts().note_read(&reader("an", Way::Get), &study(HOME, "1.2.3"), 1, 4);
    bench.archive.charts().note_read(&reader("lan", Way::Get), &study(HOME, "1.2.3"), 1, 1);
    let bench = bench.reopen();
    let mut kept: Vec<_> = all(bench.archive.charts()).into_iter().map(|read| (read.by, read.objects)).collect();
    kept.sort();
    let sum = |by: &str| kept.iter().filter(|(name, _)| name == by).map(|(_, objects)| objects).sum::<u64>();
    assert_eq!((sum("an"), sum("lan")), (8, 1), "{kept:?}");
}

#[test]
fn old_reads_go_when_their_study_is_gone() {
    let clock = Arc::new(Hands(AtomicU64::new(1_800_000_000_000)));
    let bench = crate::tests::Bench::with(|options| {
        options.clock = Arc::<Hands>::clone(&clock);
        options.background = false;
    });
    let object = Object { study: "1.2.3", series: "1.2.3.1", ..Object::new("1.2.3.1.1") };
    bench.store(&object).expect("stored");
    let charts = bench.archive.charts();
    for number in ["1.2.3", "1.2.4"] {
        charts.note_read(&reader("an", Way::Get), &study(HOME, number), 1, 1);
    }
    charts.write_reads(true).expect("written");
    let after = |days: u64| {
        clock.0.store(1_800_000_000_000 + days * DAY, Ordering::SeqCst);
        bench.archive.forget_reads(&mut Forgetting::new()).expect("looked");
        let mut left: Vec<String> = all(charts).iter().map(|read| read.study.as_str().to_owned()).collect();
        left.sort();
        left
    };
    assert_eq!(after(1_826), ["1.2.3", "1.2.4"], "five years are not over");
    assert_eq!(after(1_829), ["1.2.3"], "of what is here it is kept who read it");
}
