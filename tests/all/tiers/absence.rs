//! The cloud is away, or an object lies in an archive class: ingest and local reads go on, and what waits comes.

use super::rig::*;
use crate::cold::proxy::Fault;
use crate::cold::restore::Server as Archiving;
use serde_json::Value;
use std::time::{Duration, Instant};
use store::cold::{Cold, ColdOptions, Throttle};
use testkit::http::{Client, instance_path};
use testkit::object::Object;
use testkit::study::{Kind, Study};

fn availability(http: &mut Client) -> String {
    let row = http.get("/dicom-web/studies", "Accept: application/dicom+json\r\n").expect("found");
    let row: Value = serde_json::from_slice(&row.body).expect("JSON");
    row.pointer("/0/00080056/Value/0").and_then(Value::as_str).expect("an availability").to_owned()
}

#[test]
fn with_the_cloud_cut_ingest_and_local_reads_go_on_and_the_backlog_drains_by_itself() {
    let rig = Rig::new("cut", TO_BOTH);
    rig.proxy.plan(|_, _| Fault::Answer(503, "SlowDown"));
    let server = rig.start();
    let objects = objects(41);
    store(&server, &objects);
    let packs = series(&objects);
    let cut = wait_for(&server, "a backlog", |status| {
        number(status, "/tally/copy_due/packs") == packs && status.pointer("/cloud/away/why").is_some()
    });
    assert_eq!(number(&cut, "/tally/hot/packs"), packs, "{cut}");
    assert_equal(&server, &objects);
    let mut http = Client::new(server.http, Duration::from_secs(60));
    assert_eq!(availability(&mut http), "ONLINE", "everything is here");
    let metrics = http.get("/metrics", "").expect("metrics").text();
    assert!(metrics.contains(&format!("khoanh_tier_backlog_packs{{due=\"copy\"}} {packs}")), "{metrics}");
    assert!(metrics.contains("khoanh_cloud_up 0"), "{metrics}");
    let told = server.command(&["status"]).expect("runs");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("AWAY") && told.contains("wait for the cloud"), "{told}");
    let ready = http.get("/health/ready", "").expect("ready");
    assert_eq!(ready.status, 200, "the cloud is no reason to turn anybody away");
    // It comes back while the archive is stopped and started.
    stop(server);
    rig.proxy.plan(|_, _| Fault::None);
    let server = rig.start();
    let back = wait_for(&server, "drained", |status| number(status, "/tally/both/packs") == packs);
    assert_eq!(number(&back, "/tally/copy_due/packs"), 0);
    assert!(back.pointer("/cloud/away").is_none_or(Value::is_null), "{back}");
    stop(server);
}

#[test]
fn a_bucket_that_is_gone_expired_credentials_and_a_wrong_clock_stop_neither_ingest_nor_reads() {
    for (study, (status, code)) in
        [(404, "NoSuchBucket"), (400, "ExpiredToken"), (403, "RequestTimeTooSkewed"), (403, "AccessDenied")]
            .into_iter()
            .zip(1..)
            .map(|(amiss, study)| (study, amiss))
    {
        let rig = Rig::new(&format!("amiss-{study}"), TO_BOTH);
        rig.proxy.plan(move |_, _| Fault::Answer(status, code));
        let server = rig.start();
        let objects: Vec<Object> = Study::draw(44, study, Kind::Tiny, 12).objects().collect();
        store(&server, &objects);
        let packs = series(&objects);
        let amiss = wait_for(&server, code, |status| {
            due(status) == packs && status.pointer("/cloud/away/why").is_some_and(|why| why.is_string())
        });
        let why = amiss.pointer("/cloud/away/why").and_then(Value::as_str).expect("a reason");
        assert!(why.contains(code) || why.contains("credentials") || why.contains("clock"), "{code}: {why}");
        assert_equal(&server, &objects);
        let mut http = Client::new(server.http, Duration::from_secs(60));
        assert_eq!(http.get("/health/ready", "").expect("ready").status, 200, "{code}");
        // Somebody mends it.
        stop(server);
        rig.proxy.plan(|_, _| Fault::None);
        let server = rig.start();
        wait_for(&server, "drained", |status| both(status) == packs);
        stop(server);
    }
}

fn due(status: &Value) -> u64 {
    number(status, "/tally/copy_due/packs")
}

fn both(status: &Value) -> u64 {
    number(status, "/tally/both/packs")
}

#[test]
fn a_hot_volume_that_is_gone_is_an_alarm_and_everything_is_read_from_the_cloud() {
    let rig = Rig::new("volume-gone", TO_BOTH);
    let server = rig.start();
    let objects = objects(45);
    let packs = series(&objects);
    store(&server, &objects);
    wait_for(&server, "packed and copied", |status| both(status) == packs);
    stop(server);
    // The disk with the packs does not come back after a start.
    let (volume, away) = (rig.data().join("packs"), rig.data().join("packs.away"));
    std::fs::rename(&volume, &away).expect("taken away");
    let server = rig.start();
    assert_equal(&server, &objects);
    let ready = Client::new(server.http, Duration::from_secs(60)).get("/health/ready", "").expect("answer");
    assert!(ready.status == 200 && ready.text().contains("Gone"), "{}", ready.text());
    stop(server);
    if volume.exists() {
        std::fs::remove_dir_all(&volume).expect("removed");
    }
    std::fs::rename(&away, &volume).expect("back");
    let server = rig.start();
    assert_equal(&server, &objects);
    stop(server);
}

#[test]
fn what_lies_in_the_cloud_only_is_offline_while_it_is_away_and_then_read_again() {
    let rig = Rig::new("offline", TO_COLD);
    let server = rig.start();
    let objects: Vec<Object> = Study::draw(42, 1, Kind::Mr, 2).objects().collect();
    store(&server, &objects);
    all_cold(&server, 1);
    stop(server);
    std::fs::remove_dir_all(rig.data().join("cache")).expect("an empty cache");
    rig.proxy.plan(|_, _| Fault::Answer(503, "SlowDown"));
    let server = rig.start();
    let mut http = Client::new(server.http, Duration::from_secs(60));
    let path = instance_path("/dicom-web", objects.first().expect("one"));
    let away = http.get(&path, crate::roundtrip::AS_STORED).expect("answered");
    assert_eq!(away.status, 503, "{}", away.text());
    assert!(!away.header("retry-after").is_empty());
    assert_eq!(availability(&mut http), "OFFLINE");
    // Metadata needs no cloud.
    let object = objects.first().expect("one");
    let metadata = format!("/dicom-web/studies/{}/metadata", object.study);
    assert_eq!(http.get(&metadata, "Accept: application/dicom+json\r\n").expect("answered").status, 200);
    rig.proxy.plan(|_, _| Fault::None);
    assert_equal(&server, &objects);
    let deadline = Instant::now() + Duration::from_secs(60);
    while availability(&mut http) != "ONLINE" {
        assert!(Instant::now() < deadline, "it stays offline");
        tiers(&server, &["run", "--yes"]);
        std::thread::sleep(Duration::from_millis(50));
    }
    stop(server);
}

/// The archive class of a server that has it in name: a rule of the bucket moved the object there.
#[test]
fn an_archived_object_is_restored_by_a_job_that_survives_a_restart() {
    let archiving = Archiving::start();
    archiving.ask("PUT", "/khoanh", "");
    let slowly = r#"{"model_name": "s3::keyrestore", "transition": {"progression": "manual", "times": 4}}"#;
    archiving.ask("POST", "/moto-api/state-manager/set-transition", slowly);
    let endpoint = format!("http://{}", archiving.address());
    let rig = Rig::at(&endpoint, "us-east-1", "khoanh", "archived", TO_COLD);
    let server = rig.start();
    let objects: Vec<Object> = Study::draw(43, 1, Kind::Mr, 2).objects().collect();
    store(&server, &objects);
    all_cold(&server, 1);
    stop(server);
    std::fs::remove_dir_all(rig.data().join("cache")).expect("an empty cache");
    let work = tempfile::tempdir().expect("folder");
    let options = ColdOptions::new(Some(&endpoint), "us-east-1", "khoanh", work.path().to_owned());
    let bucket = Cold::open(options.with_credentials("anyone", "anything"), Throttle::unbounded()).expect("opens");
    let mut keys = Vec::new();
    bucket
        .list("archived/packs", &mut |object| {
            keys.push(object.key);
            Ok(())
        })
        .expect("listed");
    let [key] = keys.as_slice() else { panic!("one object: {keys:?}") };
    bucket.change_class(key, None, "GLACIER").expect("moved");

    let server = rig.start();
    let mut http = Client::new(server.http, Duration::from_secs(60));
    let path = instance_path("/dicom-web", objects.first().expect("one"));
    let answer = http.get(&path, crate::roundtrip::AS_STORED).expect("answered");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds >= 60), "{answer:?}");
    assert!(answer.text().contains("being restored"), "{}", answer.text());
    assert_eq!(availability(&mut http), "NEARLINE");
    server.kill().expect("killed");
    assert!(rig.data().join("restores.json").exists());
    let server = rig.start();
    wait_for(&server, "restored", |status| number(status, "/restores") == 0);
    assert_equal(&server, &objects);
    let mut http = Client::new(server.http, Duration::from_secs(60));
    assert_eq!(availability(&mut http), "ONLINE");
    stop(server);
}
