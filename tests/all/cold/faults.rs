//! A server that misbehaves at every step of a put: the put ends in an error or a verified copy, and goes on.

use super::proxy::{Fault, Proxy, Request};
use super::server::s3;
use super::{drawn, fault_of, sha256};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use store::cold::{Cold, ColdFault, PutOptions, Throttle};

const LEN: usize = (15 << 20) + 77;

/// A client that gives up soon.
fn open(proxy: &Proxy, prefix: &str, work: &Path) -> Cold {
    patient(proxy, prefix, work, Duration::from_secs(3))
}

/// A client that waits so long for an answer.
fn patient(proxy: &Proxy, prefix: &str, work: &Path, limit: Duration) -> Cold {
    let mut options = s3().options(&s3().bucket, prefix, work, Some(proxy.endpoint()));
    options.retries = 1;
    options.retry_pause = Duration::from_millis(10);
    (options.read_timeout, options.request_timeout) = (limit, limit);
    Cold::open(options, Throttle::unbounded()).expect("opens")
}

fn parts_sent(seen: &[Request]) -> usize {
    seen.iter().filter(|request| request.method == "PUT" && request.target.contains("partNumber=")).count()
}

/// A step of a put, told by what the request looks like.
type Step = (&'static str, fn(&Request) -> bool);

const STEPS: &[Step] = &[
    ("begin", |request| request.method == "POST" && request.target.contains("uploads")),
    ("second part", |request| request.target.contains("partNumber=2")),
    ("last part", |request| request.target.contains("partNumber=4")),
    ("complete", |request| request.method == "POST" && request.target.contains("uploadId=")),
    ("read back", |request| request.method == "GET"),
];

const FAULTS: [Fault; 6] = [
    Fault::Answer(500, "InternalError"),
    Fault::Answer(503, "SlowDown"),
    Fault::Silence,
    Fault::CutRequest,
    Fault::LoseAnswer,
    Fault::CutAnswer(10),
];

/// The steps side by side: much of it is waiting for a server that is silent.
#[test]
fn at_every_fault_of_every_step_the_put_fails_cleanly_and_goes_on_after_a_restart() {
    let bytes = &Arc::new(drawn(77, LEN));
    thread::scope(|scope| {
        for step in STEPS {
            scope.spawn(move || {
                let proxy = Proxy::start(&s3().endpoint);
                for (number, fault) in FAULTS.iter().enumerate() {
                    fails_cleanly_and_goes_on(&proxy, bytes, *step, (number, fault));
                }
            });
        }
    });
}

fn fails_cleanly_and_goes_on(
    proxy: &Proxy,
    bytes: &Arc<Vec<u8>>,
    (step, matches): Step,
    (number, fault): (usize, &Fault),
) {
    let work = tempfile::tempdir().expect("folder");
    let name = format!("faults-{}-{number}", step.replace(' ', "-"));
    let planned = fault.clone();
    proxy.plan(move |request, _| if matches(request) { planned.clone() } else { Fault::None });
    // Nothing but silence may end a request by its time.
    let limit = Duration::from_secs(if *fault == Fault::Silence { 3 } else { 60 });
    let cold = patient(proxy, &name, work.path(), limit);
    let key = cold.key("object");
    let answer = cold.put(&key, bytes, &PutOptions::default());
    assert!(proxy.seen().iter().any(matches), "{step} {fault:?} was never met");
    // A cut answer without a body is a whole one, and an ETag comes in the head.
    if let Err(error) = &answer {
        assert!(error.cold_fault().is_some_and(ColdFault::passes), "{step} {fault:?}: {error}");
    }
    let failed = answer.is_err();
    drop(cold);

    proxy.plan(|_, _| Fault::None);
    let cold = patient(proxy, &name, work.path(), Duration::from_secs(60));
    let put = cold.put(&key, bytes, &PutOptions::default()).unwrap_or_else(|e| panic!("{step} {fault:?}: {e}"));
    assert_eq!(put.digest, sha256(bytes), "{step} {fault:?}");
    if failed && step != "begin" {
        let sent = parts_sent(&proxy.seen());
        assert!(sent < 4, "{step} {fault:?}: {sent} parts were sent again");
    }
    assert!(cold.get(&key, put.version.as_deref()).expect("got") == bytes.as_slice(), "{step} {fault:?}");
    cold.destroy(&key).expect("destroyed");
}

#[test]
fn bytes_that_read_back_wrong_never_count() {
    let proxy = Proxy::start(&s3().endpoint);
    for (name, len) in [("small", 1_000), ("large", LEN)] {
        for fault in [Fault::Flip(500), Fault::Shorten(1), Fault::CutAnswer(400)] {
            let work = tempfile::tempdir().expect("folder");
            let cold = open(&proxy, &format!("wrong-{name}"), work.path());
            let key = cold.key("object");
            let planned = fault.clone();
            proxy.plan(move |request, _| if request.method == "GET" { planned.clone() } else { Fault::None });
            let answer = fault_of(cold.put(&key, &drawn(3, len), &PutOptions::default()));
            match fault {
                Fault::CutAnswer(_) => assert_eq!(answer, ColdFault::Unreachable, "{name}"),
                _ => assert_eq!(answer, ColdFault::Damaged, "{name} {fault:?}"),
            }
            proxy.plan(|_, _| Fault::None);
            if matches!(fault, Fault::Flip(_)) {
                assert_eq!(
                    fault_of(cold.get(&key, None)),
                    ColdFault::Missing,
                    "what does not count does not lie there"
                );
            }
            cold.put(&key, &drawn(3, len), &PutOptions::default()).expect("the next one counts");
            cold.destroy(&key).expect("destroyed");
        }
    }
}

#[test]
fn wrong_and_short_answers_to_a_range_are_errors() {
    let work = tempfile::tempdir().expect("folder");
    let proxy = Proxy::start(&s3().endpoint);
    let cold = Arc::new(open(&proxy, "ranges", work.path()));
    let key = cold.key("object");
    let bytes = drawn(3, 100_000);
    cold.put(&key, &bytes, &PutOptions::default()).expect("put");
    for fault in [Fault::Shorten(1), Fault::CutAnswer(100), Fault::LoseAnswer, Fault::Answer(503, "SlowDown")] {
        let planned = fault.clone();
        proxy.plan(move |_, _| planned.clone());
        assert!(cold.get_range(&key, None, 1_000..3_000).is_err(), "{fault:?}");
    }
    // A fault that passes is asked again, and only then.
    proxy.plan(|_, number| if number == 0 { Fault::Answer(503, "SlowDown") } else { Fault::None });
    let got = cold.get_range(&key, None, 1_000..3_000).expect("at the second try");
    assert!(got == bytes.get(1_000..3_000).expect("inside"));
    assert_eq!(proxy.seen().len(), 2);
}

#[test]
fn a_put_goes_on_where_it_stopped_also_in_a_new_process() {
    let work = tempfile::tempdir().expect("folder");
    let proxy = Proxy::start(&s3().endpoint);
    let bytes = drawn(8, LEN);
    proxy.plan(|request, _| match request.target.contains("partNumber=3") {
        true => Fault::CutRequest,
        false => Fault::None,
    });
    let cold = open(&proxy, "resumed", work.path());
    let key = cold.key("object");
    assert_eq!(fault_of(cold.put(&key, &bytes, &PutOptions::default())), ColdFault::Unreachable);
    drop(cold);

    // The last line of the notes was being written when the power went.
    let note = std::fs::read_dir(work.path()).expect("folder").flatten().next().expect("notes").path();
    let mut text = std::fs::read_to_string(&note).expect("text");
    let noted = text.lines().filter(|line| line.starts_with("part ")).count();
    text.push_str("part 2 \"abc");
    std::fs::write(&note, text).expect("written");

    proxy.plan(|_, _| Fault::None);
    let cold = open(&proxy, "resumed", work.path());
    let put = cold.put(&key, &bytes, &PutOptions::default()).expect("put");
    assert_eq!(put.digest, sha256(&bytes));
    assert_eq!(parts_sent(&proxy.seen()), 4 - noted, "{:?}", proxy.seen());

    // Another source under the same key begins anew, and nothing of the first upload stays.
    proxy.plan(|request, _| match request.target.contains("partNumber=3") {
        true => Fault::CutRequest,
        false => Fault::None,
    });
    let digest = Some(sha256(&bytes));
    let options = PutOptions { digest, ..PutOptions::default() };
    let other = cold.key("other");
    assert!(cold.put(&other, &bytes, &options).is_err());
    proxy.plan(|_, _| Fault::None);
    let put = cold.put(&other, &drawn(9, LEN), &PutOptions::default()).expect("put");
    assert_eq!(put.digest, sha256(&drawn(9, LEN)));
    assert_eq!(cold.destroy(&other).expect("destroyed").uploads, 0);
}
