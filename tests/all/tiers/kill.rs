//! Killed in the middle of tiering, again and again: a verified copy of everything at every moment, and no orphans.

use super::rig::*;
use crate::cold::proxy::Fault;
use std::time::{Duration, Instant};
use testkit::server::Server;

/// Kills the program when it has sent so many requests to the bucket, or after a while when it has nothing to send.
fn kill_after(rig: &Rig, server: Server, requests: usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while rig.proxy.seen().len() < requests && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    server.kill().expect("killed");
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
    let work = tempfile::tempdir().expect("folder");
    let bucket = rig.bucket(work.path());
    let mut keys = 0;
    bucket
        .list(&bucket.key("packs"), &mut |_| {
            keys += 1;
            Ok(())
        })
        .expect("listed");
    assert_eq!(keys, packs, "objects that nobody knows");
    assert_eq!(bucket.sweep_uploads(u64::MAX).expect("swept"), 0, "uploads that nobody knows");
}
