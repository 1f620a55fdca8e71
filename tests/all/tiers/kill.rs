//! Killed in the middle of tiering, recall and destruction, again and again, while the bucket fails: a verified copy of
//! everything that stays at every moment, nothing served wrong, the work goes on by itself, and no orphans.

use super::destroyed::{answer, done, progress, until, with_rules};
use super::rig::*;
use crate::cold::proxy::{Fault, Request};
use std::time::{Duration, Instant};
use testkit::http::Client;
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

/// Kills the program when it has sent so many requests to the bucket, or after a while when it has nothing to send.
pub(super) fn kill_after(rig: &Rig, server: Server, requests: usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while rig.proxy.seen().len() < requests && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    server.kill().expect("killed");
}

/// A bucket that is slow, loses answers, is overloaded, breaks answers off and sends wrong bytes, by turns.
pub(super) fn bad_weather(request: &Request, number: usize) -> Fault {
    std::thread::sleep(Duration::from_millis(5));
    match (number % 13, request.method == "GET") {
        (2, _) => Fault::Answer(503, "SlowDown"),
        (4, _) => Fault::Answer(500, "InternalError"),
        (6, true) => Fault::CutAnswer(300),
        (6, false) => Fault::LoseAnswer,
        (8, true) => Fault::Flip(100),
        (8, false) => Fault::CutRequest,
        (10, true) => Fault::Shorten(1),
        _ => Fault::None,
    }
}

/// What is answered is right; what cannot be read now is no 404.
pub(super) fn assert_right(server: &Server, objects: &[Object]) {
    for object in objects {
        let mut client = Client::new(server.http, Duration::from_secs(60));
        match crate::roundtrip::retrieve(&mut client, object) {
            Ok(found) => assert!(found.data_set() == object.data_set(), "{} differs", object.sop_instance),
            Err(why) => assert!(!why.contains("404"), "{} is gone: {why}", object.sop_instance),
        }
    }
}

/// Objects in the bucket.
pub(super) fn objects_in_bucket(rig: &Rig) -> u64 {
    let work = tempfile::tempdir().expect("folder");
    let bucket = rig.bucket(work.path());
    let mut keys = 0;
    let counted = bucket.list(&bucket.key("packs"), &mut |_| {
        keys += 1;
        Ok(())
    });
    counted.expect("listed");
    keys
}

pub(super) fn no_uploads(rig: &Rig) {
    let work = tempfile::tempdir().expect("folder");
    assert_eq!(rig.bucket(work.path()).sweep_uploads(u64::MAX).expect("swept"), 0, "uploads that nobody knows");
}

#[test]
fn a_kill_anywhere_in_a_recall_loses_nothing_and_leaves_nothing() {
    let seed = 20_261_126;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let rig = Rig::new("killed-back", TO_COLD);
    let objects = objects(52);
    let packs = series(&objects);
    let server = rig.start();
    store(&server, &objects);
    assert_eq!(all_cold(&server, packs), packs);
    stop(server);
    let rig = rig.with_policies(AND_BACK);
    for round in 0..6 {
        rig.proxy.plan(bad_weather);
        let server = rig.start();
        // Whoever reads has it recalled.
        assert_right(&server, &objects);
        let requests = random.usize(4..40);
        kill_after(&rig, server, requests);
        println!("round {round}: killed after {requests} requests, {} hot files", rig.hot_files());
    }
    rig.proxy.plan(|_, _| Fault::None);
    let server = rig.start();
    assert_equal(&server, &objects);
    stop(server);
    // And away again: every hot file was known.
    let rig = rig.with_policies(TO_COLD);
    let server = rig.start();
    assert_eq!(all_cold(&server, packs), packs);
    assert_equal(&server, &objects);
    assert_eq!(rig.hot_files(), 0, "hot files that nobody knows");
    assert_eq!(objects_in_bucket(&rig), packs, "objects that nobody knows");
    no_uploads(&rig);
    stop(server);
}

#[test]
fn a_kill_anywhere_in_a_destruction_is_gone_on_from_and_touches_nothing_else() {
    let seed = 20_261_127;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let rig = with_rules(Rig::new("killed-gone", TO_BOTH));
    let studies: Vec<Study> = (0..8)
        .map(|number| {
            let mut study = Study::draw(0xB0D, number, Kind::Tiny, 12);
            study.date = if number % 2 == 0 { "20030615".into() } else { "20240615".into() };
            study.patient.birth_date = "19600101".into();
            study
        })
        .collect();
    let (go, stay): (Vec<&Study>, Vec<&Study>) = studies.iter().partition(|study| study.date.starts_with("2003"));
    let objects = |of: &[&Study]| of.iter().flat_map(|study| study.objects()).collect::<Vec<Object>>();
    let (all, staying) = (objects(&studies.iter().collect::<Vec<_>>()), objects(&stay));
    let server = rig.start();
    store(&server, &all);
    let packs = series(&all);
    wait_for(&server, "copied", |status| number(status, "/tally/both/packs") >= packs);
    done(&server, &["retention", "plan", "--as-of", "2026-01-01", "--by", "lan"]);
    let plan = "2026-01-01-1";
    done(&server, &["retention", "approve", plan, "--by", "minh"]);
    rig.proxy.plan(bad_weather);
    done(&server, &["retention", "execute", plan, "--by", "lan", "--yes"]);
    let requests = random.usize(0..6);
    kill_after(&rig, server, requests);
    for round in 0..6 {
        rig.proxy.plan(bad_weather);
        let server = rig.start();
        assert_right(&server, &staying);
        for study in &go {
            // Not yet destroyed, or gone; never in between.
            let status = answer(&server, study, "/metadata");
            assert!([200, 404, 410].contains(&status), "{}: {status}", study.uid);
        }
        let requests = random.usize(1..20);
        kill_after(&rig, server, requests);
        println!("round {round}: killed after {requests} requests, {} hot files", rig.hot_files());
    }
    rig.proxy.plan(|_, _| Fault::None);
    let server = rig.start();
    until("destroyed and swept", || {
        let progress = progress(&server, plan);
        progress["destroyed"] == go.len() && progress["sweeping"] == false
    });
    for study in &go {
        assert_eq!(answer(&server, study, "/metadata"), 404, "{}", study.uid);
    }
    assert_equal(&server, &staying);
    let left = series(&staying);
    until("nothing else lies anywhere", || rig.hot_files() as u64 == left && objects_in_bucket(&rig) == left);
    no_uploads(&rig);
    stop(server);
    let rebuilt = rig.done(&["rebuild-index"]);
    assert!(rebuilt.contains("equals the one before"), "{rebuilt}");
}

#[test]
fn a_kill_anywhere_in_tiering_loses_nothing_and_leaves_nothing() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let rig = Rig::new("killed", TO_COLD);
    let objects = objects(51);
    let packs = series(&objects);
    let server = rig.start();
    rig.proxy.plan(|_, _| Fault::Answer(503, "SlowDown"));
    store(&server, &objects);
    wait_for(&server, "packed", |status| number(status, "/tally/hot/packs") == packs);
    server.kill().expect("killed");
    for round in 0..8 {
        // Slow enough to be met in the middle; every third answer is lost after the request was done.
        rig.proxy.plan(move |request, number| {
            std::thread::sleep(Duration::from_millis(5));
            match request.method != "GET" && number % 7 == 3 {
                true => Fault::LoseAnswer,
                false => Fault::None,
            }
        });
        let server = rig.start();
        let requests = random.usize(8..60);
        kill_after(&rig, server, requests);
        println!("round {round}: killed after {requests} requests, {} hot files", rig.hot_files());
        let server = rig.start();
        assert_equal(&server, &objects);
        server.kill().expect("killed");
    }
    rig.proxy.plan(|_, _| Fault::None);
    let server = rig.start();
    assert_eq!(all_cold(&server, packs), packs);
    assert_equal(&server, &objects);
    assert_eq!(rig.hot_files(), 0, "hot files that nobody knows");
    stop(server);
    assert_eq!(objects_in_bucket(&rig), packs, "objects that nobody knows");
    no_uploads(&rig);
}
