//! The queue on its own, and what the archive puts into it.

use super::dispatch::{Carrier, Carriers, Dispatcher, Parcel, Watch};
use super::queue::{Full, Patience, Queue};
use super::task::{Outcome, Task};
use super::*;
use crate::tests::{Bench, Object, uid, until};
use crate::transcode::DataSet;
use model::AeTitle;
use model::forward::Priority;
use parking_lot::Mutex;
use std::sync::Arc;

fn pacs() -> ForwardTo {
    ForwardTo::Dicom(AeTitle::parse("PACS1").expect("title"))
}

pub(super) fn task(id: u64, through: u64) -> Task {
    Task {
        id,
        rule: "all".into(),
        to: pacs(),
        payload: Payload::Objects,
        priority: Priority::Routine,
        facility: FacilityCode::DEMO,
        study: uid("1.2.1"),
        patient: 0,
        series: Some(uid("1.2.1.1")),
        after: 0,
        through,
        made: 0,
        since: 0,
        attempts: 0,
        waits: 0,
        due: 0,
        error: String::new(),
        dead: false,
    }
}

fn patience() -> Patience {
    Patience { attempts: 2, pause_ms: 1_000, pause_max_ms: 3_000, give_up_ms: 60_000, tasks_max: 4 }
}

fn claimed(queue: &Queue, now: u64) -> Option<u64> {
    queue.claim(&pacs(), now).map(|(task, _)| task.id)
}

#[test]
fn stat_goes_first_and_what_is_under_way_makes_room() {
    let folder = tempfile::tempdir().expect("folder");
    let queue = Queue::open(folder.path(), patience()).expect("opens");
    let low = Task { priority: Priority::Low, ..task(0, 1) };
    queue.put(vec![low, task(0, 2)]).expect("taken");
    let (under_way, _) = queue.claim(&pacs(), 0).expect("one");
    assert_eq!(under_way.through, 2, "routine before low");
    assert!(!queue.makes_room(&under_way));
    queue.put(vec![Task { priority: Priority::Stat, ..task(0, 3) }]).expect("taken");
    assert!(queue.makes_room(&under_way));
    assert_eq!(claimed(&queue, 0), None, "one delivery to a destination at a time");
    queue.settle(under_way.id, &Outcome::Interrupted, 0);
    let order: Vec<u64> = std::iter::from_fn(|| {
        let (task, _) = queue.claim(&pacs(), 0)?;
        queue.settle(task.id, &Outcome::Done, 0);
        Some(task.through)
    })
    .collect();
    assert_eq!(order, [3, 2, 1]);
}

#[test]
fn a_destination_that_is_down_rests_longer_and_longer_and_nothing_dies_of_it_soon() {
    let folder = tempfile::tempdir().expect("folder");
    let queue = Queue::open(folder.path(), patience()).expect("opens");
    queue.put(vec![task(0, 1)]).expect("taken");
    let mut now = 0;
    for pause in [1_000, 2_000, 3_000, 3_000] {
        let id = claimed(&queue, now).expect("due");
        queue.settle(id, &Outcome::Down("nobody listens".into()), now);
        assert_eq!(claimed(&queue, now + pause - 1), None, "it rests {pause} ms");
        now += pause;
    }
    let id = claimed(&queue, now).expect("due");
    queue.settle(id, &Outcome::Down("nobody listens".into()), 60_000);
    let status = queue.status(60_000).pop().expect("a lane");
    assert_eq!((status.dead, status.waiting, status.error.as_str()), (1, 0, "nobody listens"));
}

#[test]
fn what_is_not_at_hand_comes_later_and_later_and_is_dead_when_it_is_too_old_only() {
    let folder = tempfile::tempdir().expect("folder");
    let queue = Queue::open(folder.path(), patience()).expect("opens");
    // The other one comes much later, and has its turn then.
    queue.put(vec![task(0, 1), Task { made: 50_000, ..task(0, 2) }]).expect("taken");
    let away = |seconds| Outcome::Later(seconds, "the disk is away".into());
    let mut now = 0;
    // Refusals would have ended it at the second.
    for (seconds, pause) in [(0, 1_000), (0, 2_000), (0, 3_000), (0, 3_000), (7, 7_000)] {
        assert_eq!(claimed(&queue, now), Some(1), "it is due and goes first");
        queue.settle(1, &away(seconds), now);
        let other = claimed(&queue, now).expect("the destination is not held up");
        assert_eq!(other, 2);
        queue.settle(other, &Outcome::Interrupted, now);
        assert!(queue.list(0, 10, &|task| task.due > now && task.due == now + pause).len() == 1, "{pause} ms");
        now += pause;
    }
    drop(queue);
    let queue = Queue::open(folder.path(), patience()).expect("opens again");
    assert_eq!(claimed(&queue, now), Some(1));
    queue.settle(1, &away(0), now);
    assert!(queue.list(0, 10, &|task| task.due == now + 3_000).len() == 1, "a restart shortens no pause");
    assert_eq!(claimed(&queue, 60_000), Some(1));
    queue.settle(1, &away(0), 60_000);
    assert_eq!(queue.list(0, 10, &|task| task.dead).len(), 1);
    // Who tries it again gives it all its time.
    assert_eq!(queue.retry(60_000, &|task| task.dead).expect("durable"), 1);
    assert_eq!(claimed(&queue, 60_000), Some(1));
    queue.settle(1, &away(0), 60_001);
    assert_eq!(queue.list(0, 10, &|task| task.dead).len(), 0);
}

#[test]
fn what_waited_after_a_failure_has_its_turn_behind_what_came_meanwhile_and_before_what_comes_later() {
    let folder = tempfile::tempdir().expect("folder");
    let queue = Queue::open(folder.path(), patience()).expect("opens");
    queue.put(vec![task(0, 1), task(0, 2)]).expect("taken");
    let failed = claimed(&queue, 0).expect("due");
    queue.settle(failed, &Outcome::Refused("A900".into()), 0);
    let later = [500, 1_500].into_iter().zip(3..).map(|(made, through)| Task { made, ..task(0, through) });
    queue.put(later.collect()).expect("taken");
    drop(queue);
    let queue = Queue::open(folder.path(), patience()).expect("opens again");
    let order: Vec<u64> = std::iter::from_fn(|| {
        let (task, _) = queue.claim(&pacs(), 2_000)?;
        queue.settle(task.id, &Outcome::Done, 2_000);
        Some(task.through)
    })
    .collect();
    assert_eq!(order, [2, 3, 1, 4]);
}

/// Breaks as a disk does.
struct Broken;

impl std::io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::from_raw_os_error(5))
    }
}

#[test]
fn the_first_bytes_of_an_object_are_read_before_anybody_is_called_and_go_with_the_rest() {
    let bench = Bench::with(|_| {});
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    let here = bench.archive.index().instance(&uid("1.2.1.1.1")).expect("read").pop().expect("there");
    let begun = |data: DataSet| bench.archive.begun(&here, Ok(data));
    for length in [0, 1_000, 1 << 20] {
        let sent: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[1]).collect();
        let mut data = begun(Box::new(std::io::Cursor::new(sent.clone()))).expect("readable");
        let mut came = Vec::new();
        std::io::Read::read_to_end(&mut data, &mut came).expect("read");
        assert!(came == sent, "{length}");
    }
    assert!(matches!(begun(Box::new(Broken)), Err(Unread::Later(..))));
    let away = RetrieveError::Unavailable { what: "pack 1 is not at hand".into() };
    assert!(matches!(bench.archive.begun(&here, Err(away.into())), Err(Unread::Later(..))));
}

#[test]
fn an_object_that_cannot_be_read_is_refused_where_waiting_does_not_help() {
    let bench = Bench::with(|_| {});
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    let archive = &bench.archive;
    let here = archive.index().instance(&uid("1.2.1.1.1")).expect("read").pop().expect("there");
    let gone = InstanceRow { seq: here.seq + 1_000, ..here.clone() };
    let what = || String::from("pack 1 is not at hand");
    let of = |row, error: RetrieveError| {
        let told = archive.unopened(row, &error.clone().into());
        // The same whether it shows at once or in the middle.
        assert_eq!(archive.unread(row, &std::io::Error::other(error)), told);
        told
    };
    let waits = |told| matches!(told, Unread::Later(seconds, _) if seconds > 0);
    assert!(waits(of(&here, RetrieveError::Unavailable { what: what() })));
    assert!(matches!(of(&here, RetrieveError::Restoring { after: 300 }), Unread::Later(300, _)));
    assert!(!waits(of(&here, RetrieveError::Damaged { what: what() })));
    assert!(!waits(of(&here, RetrieveError::NotFound)));
    for error in [RetrieveError::Unavailable { what: what() }, RetrieveError::Restoring { after: 300 }] {
        assert!(matches!(of(&gone, error), Unread::Refused(why) if why.contains("no longer in the archive")));
    }
    let codec = |error: codec::CodecError| archive.unopened(&here, &error.into());
    assert!(waits(codec(codec::CodecError::Busy(what()))));
    assert!(waits(codec(codec::CodecError::Worker(what()))));
    assert!(!waits(codec(codec::CodecError::Unsupported(what()))));
    assert!(waits(archive.unread(&here, &std::io::Error::from_raw_os_error(5))));
    assert!(!waits(archive.unread(&here, &std::io::ErrorKind::InvalidData.into())));
}

#[test]
fn refusals_end_in_the_dead_list_and_a_retry_brings_them_back_after_a_restart_too() {
    let folder = tempfile::tempdir().expect("folder");
    let queue = Queue::open(folder.path(), patience()).expect("opens");
    queue.put(vec![task(0, 1), task(0, 2)]).expect("taken");
    let id = claimed(&queue, 0).expect("due");
    queue.settle(id, &Outcome::Refused("A900".into()), 0);
    let other = claimed(&queue, 0).expect("the other is not held up");
    queue.settle(other, &Outcome::Done, 0);
    assert_eq!(claimed(&queue, 999), None);
    assert_eq!(claimed(&queue, 1_000), Some(id));
    queue.settle(id, &Outcome::Refused("A900".into()), 1_000);
    assert_eq!(claimed(&queue, 1_000_000), None, "it is dead");
    drop(queue);
    let queue = Queue::open(folder.path(), patience()).expect("opens again");
    let dead = queue.list(0, 10, &|task| task.dead);
    assert_eq!(dead.iter().map(|task| (task.id, task.error.as_str())).collect::<Vec<_>>(), [(id, "A900")]);
    assert_eq!(queue.retry(0, &|task| task.id == id).expect("durable"), 1);
    assert_eq!(claimed(&queue, 0), Some(id));
    queue.settle(id, &Outcome::Done, 0);
    drop(queue);
    assert!(Queue::open(folder.path(), patience()).expect("opens").list(0, 10, &|_| true).is_empty());
}

#[test]
fn the_same_task_is_taken_once_and_the_queue_is_bounded() {
    let folder = tempfile::tempdir().expect("folder");
    let queue = Queue::open(folder.path(), patience()).expect("opens");
    queue.put(vec![task(0, 1)]).expect("taken");
    queue.put(vec![task(0, 1), task(0, 2)]).expect("taken");
    drop(queue);
    let queue = Queue::open(folder.path(), patience()).expect("opens again");
    queue.put(vec![task(0, 1), task(0, 2)]).expect("known");
    assert_eq!(queue.list(0, 10, &|_| true).len(), 2);
    let many = (3..7).map(|through| task(0, through)).collect();
    assert!(matches!(queue.put(many), Err(Full::Full)));
    assert_eq!(queue.list(0, 10, &|_| true).len(), 2, "all of them or none");
    assert_eq!(queue.drop_tasks(&|task| task.through == 1).expect("durable"), 1);
    assert_eq!(queue.list(0, 10, &|_| true).len(), 1);
}

/// Notes what it is given.
#[derive(Default)]
struct Noting(Mutex<Vec<(ForwardTo, Vec<u64>)>>);

struct Shared(Arc<Noting>);

impl Carrier for Shared {
    fn carry(&self, parcel: &Parcel, watch: &Watch<'_>) -> Outcome {
        parcel.objects.iter().for_each(|object| watch.took(object));
        self.0.0.lock().push((parcel.task.to.clone(), parcel.objects.iter().map(|row| row.seq).collect()));
        Outcome::Done
    }

    fn stop(&self) {}
}

fn destination() -> Destination {
    Destination {
        title: AeTitle::parse("PACS1").expect("title"),
        host: "127.0.0.1".into(),
        port: 104,
        facility: None,
        calling: None,
        tls: None,
        as_received: false,
        description: String::new(),
        associations: 1,
        removed: false,
    }
}

#[test]
fn quiet_series_go_where_rules_say_and_late_objects_follow_alone() {
    let bench = Bench::with(|options| options.quiet_after = Duration::from_millis(1));
    let archive = &bench.archive;
    let operator = Caller::operator();
    let rule = |name: &str, modality: &str| ForwardRule {
        modality: vec![modality.into()],
        ..ForwardRule::new(name.into(), vec![pacs()])
    };
    let missing = archive.put_forward(&operator, ForwardFact::Rule(rule("ct", "CT")));
    assert!(matches!(missing, Err(RegistryError::Invalid { .. })), "no such destination");
    archive.put_destination(&operator, destination()).expect("holds");
    for (name, modality) in [("ct", "CT"), ("mr", "MR")] {
        archive.put_forward(&operator, ForwardFact::Rule(rule(name, modality))).expect("holds");
    }
    archive.put_forward(&operator, ForwardFact::Pause { to: pacs(), paused: true }).expect("paused");
    let noted = Arc::new(Noting::default());
    let carriers = Carriers { dicom: Box::new(Shared(Arc::clone(&noted))), stow: Box::new(Shared(Arc::clone(&noted))) };
    let dispatcher = Dispatcher::start(archive, carriers).expect("starts");
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    until("queued", || !archive.forward_tasks(&operator, &Chosen::default(), 0, 10).is_empty());
    assert!(noted.0.lock().is_empty(), "it is paused");
    archive.put_forward(&operator, ForwardFact::Pause { to: pacs(), paused: false }).expect("resumed");
    until("sent", || noted.0.lock().len() == 1);
    bench.store(&Object::new("1.2.1.1.2")).expect("stored");
    until("sent", || noted.0.lock().len() == 2);
    assert_eq!(*noted.0.lock(), [(pacs(), vec![1]), (pacs(), vec![2])]);
    until("settled", || archive.forward_tasks(&operator, &Chosen::default(), 0, 10).is_empty());
    assert!(dispatcher.shutdown(Duration::from_secs(20)));
}

#[test]
fn what_waits_for_a_destination_while_its_series_is_moved_goes_there_with_the_other_study() {
    let bench = Bench::with(|options| options.quiet_after = Duration::from_millis(1));
    let archive = &bench.archive;
    let operator = Caller::operator();
    archive.put_destination(&operator, destination()).expect("holds");
    for (name, when) in [("series", Trigger::Series), ("study", Trigger::Study)] {
        let rule = ForwardRule { when, ..ForwardRule::new(name.into(), vec![pacs()]) };
        archive.put_forward(&operator, ForwardFact::Rule(rule)).expect("holds");
    }
    archive.put_forward(&operator, ForwardFact::Pause { to: pacs(), paused: true }).expect("paused");
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    let patient = ("P2", "LE^THI BINH");
    bench.store(&Object { study: "1.2.2", series: "1.2.2.1", patient, ..Object::new("1.2.2.1.1") }).expect("stored");
    let tasks = || archive.forward_tasks(&operator, &Chosen::default(), 0, 10);
    until("queued", || tasks().len() == 4);
    let of = |study: &str| model::retention::StudyRef { facility: FacilityCode::DEMO, study: uid(study), patient: 0 };
    let by = model::retention::Person::parse("Lan").expect("a person");
    let why = model::retention::MoveReason::WrongPatient;
    let to = crate::retain::MoveTo::Study(of("1.2.2"));
    let moving = crate::retain::Moving { study: of("1.2.1"), series: Vec::new(), to, why, by };
    archive.move_series(&moving).expect("moved");
    for task in tasks().iter().filter(|task| task.study == uid("1.2.1")) {
        let objects = archive.forwarded_objects(task).expect("read");
        let said = |row: &InstanceRow| {
            let known = row.correction.as_ref().expect("it goes out as it stands");
            (row.seq, known.1.values.get(&key::PATIENT_ID).cloned().unwrap_or_default())
        };
        assert_eq!(objects.iter().map(said).collect::<Vec<_>>(), [(1, "P2".to_owned())], "{}", task.rule);
    }
}

#[test]
fn what_its_sender_wants_first_goes_first_where_the_rule_says_nothing_else() {
    let bench = Bench::with(|options| options.quiet_after = Duration::from_millis(1));
    let archive = &bench.archive;
    let operator = Caller::operator();
    archive.put_destination(&operator, destination()).expect("holds");
    for (name, priority) in [("any", Priority::Routine), ("late", Priority::Low)] {
        let rule = ForwardRule { priority, ..ForwardRule::new(name.into(), vec![pacs()]) };
        archive.put_forward(&operator, ForwardFact::Rule(rule)).expect("holds");
    }
    let store = |object: &Object, urgent: bool| {
        let mut incoming = archive.receive(&bench.source(), model::Via::CStore, object.form()).expect("begun");
        if urgent {
            incoming.hurry();
        }
        incoming.write(&object.bytes()).expect("taken");
        incoming.finish().expect("stored");
    };
    let priorities = |study: &str| {
        let mut tasks = archive.forward_tasks(&operator, &Chosen::default(), 0, 10);
        tasks.retain(|task| task.study == uid(study));
        tasks.into_iter().map(|task| (task.rule, task.priority)).collect::<Vec<_>>()
    };
    store(&Object::new("1.2.1.1.1"), false);
    until("queued", || priorities("1.2.1").len() == 2);
    assert_eq!(priorities("1.2.1"), [("any".to_owned(), Priority::Routine), ("late".to_owned(), Priority::Low)]);
    store(&Object { study: "1.2.2", series: "1.2.2.1", ..Object::new("1.2.2.1.1") }, true);
    until("queued", || priorities("1.2.2").len() == 2);
    assert_eq!(priorities("1.2.2"), [("any".to_owned(), Priority::Stat), ("late".to_owned(), Priority::Low)]);
}
