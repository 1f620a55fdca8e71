//! Packs go to the cloud and come back by policy, on command and ahead of time.

use super::rig::*;
use crate::cold::proxy::Fault;
use crate::roundtrip::retrieve;
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::http::{Client, instance_path};
use testkit::object::Object;
use testkit::study::{Kind, Study};

fn client(server: &testkit::server::Server) -> Client {
    Client::new(server.http, Duration::from_secs(60))
}

fn frame(object: &Object) -> String {
    format!("{}/frames/1", instance_path("/dicom-web", object))
}

const FRAME: &str = "Accept: multipart/related; type=\"application/octet-stream\"\r\n";

#[test]
fn everything_is_read_equal_from_the_cloud_after_the_hot_packs_went() {
    let rig = Rig::new("to-cold", TO_COLD);
    let server = rig.start();
    let objects = objects(31);
    store(&server, &objects);
    assert_equal(&server, &objects);
    let packs = all_cold(&server, series(&objects));
    assert_eq!(rig.hot_files(), 0, "the hot files stayed");
    assert_equal(&server, &objects);
    stop(server);
    // After a start nothing is known but the index and the bucket.
    std::fs::remove_dir_all(rig.data().join("cache")).expect("an empty cache");
    let server = rig.start();
    assert_equal(&server, &objects);
    assert_eq!(all_cold(&server, packs), packs);
    stop(server);
    // What lies in the bucket is sealed.
    let work = tempfile::tempdir().expect("folder");
    let bucket = rig.bucket(work.path());
    let mut keys = Vec::new();
    bucket
        .list(&bucket.key("packs"), &mut |object| {
            keys.push(object.key);
            Ok(())
        })
        .expect("listed");
    assert_eq!(keys.len() as u64, packs);
    for key in &keys {
        let bytes = bucket.get(key, None).expect("got");
        assert!(key.ends_with(".zip.khe") && bytes.starts_with(b"KHOANHE1"), "{key} is not sealed");
    }
}

#[test]
fn keys_are_rehearsed_rotated_and_exported_and_nothing_is_uploaded_again() {
    let rig = Rig::new("keys", TO_COLD);
    let server = rig.start();
    let objects: Vec<Object> = Study::draw(38, 1, Kind::Mr, 30).objects().collect();
    store(&server, &objects);
    let packs = all_cold(&server, series(&objects));
    let keys = |arguments: &[&str]| {
        let arguments: Vec<&str> = std::iter::once("keys").chain(arguments.iter().copied()).collect();
        let output = server.command(&arguments).expect("runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    assert!(keys(&["check"]).contains(&format!("facility DEMO0 epoch 1: {packs} keys")));
    let status = || String::from_utf8_lossy(&server.command(&["status"]).expect("runs").stdout).into_owned();
    assert!(status().contains("no copy of the epoch keys is known (epoch 1 of DEMO0)"), "{}", status());
    let copy = rig.folder.path().join("a copy");
    std::fs::copy(rig.data().join("epoch.keys"), &copy).expect("copied");
    assert!(
        keys(&["copied", copy.to_str().expect("a name")]).contains("a copy of 1 epoch keys is noted; 0 facilities")
    );
    assert!(!status().contains("no copy"), "{}", status());
    assert!(keys(&["rotate", "DEMO0"]).contains("nothing was changed"));
    rig.proxy.plan(|_, _| Fault::None);
    assert!(keys(&["rotate", "DEMO0", "--yes"]).contains(&format!("epoch 2 of DEMO0: {packs} keys wrapped anew")));
    assert!(status().contains("no copy of the epoch keys is known (epoch 2 of DEMO0)"), "{}", status());
    assert!(keys(&["destroy", "--retired-for", "0", "--yes"]).contains("1 epoch keys destroyed"));
    assert!(keys(&["check"]).contains(&format!("facility DEMO0 epoch 2: {packs} keys")));
    let put = rig.seen().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(put, 0, "something was uploaded again");
    let unknown = server.command(&["keys", "export", &"0".repeat(32)]).expect("runs");
    assert_eq!(unknown.status.code(), Some(1));
    stop(server);
    std::fs::remove_dir_all(rig.data().join("cache")).expect("an empty cache");
    let server = rig.start();
    assert_equal(&server, &objects);
    stop(server);
}

#[test]
fn one_frame_from_the_cloud_is_exactly_one_ranged_get() {
    // A thumbnail made ahead would have fetched one of the frames already.
    let rig = Rig::new("one-get", TO_COLD).with("[packs]\n", "[pictures]\nthumbnails = false\n\n[packs]\n");
    let server = rig.start();
    let study = Study::draw(32, 1, Kind::Ct, 4);
    let objects: Vec<Object> = study.objects().collect();
    store(&server, &objects);
    all_cold(&server, 1);
    rig.proxy.plan(|_, _| Fault::None);
    let mut client = client(&server);
    let frames: Vec<_> = objects.iter().map(|object| client.get(&frame(object), FRAME).expect("answered")).collect();
    let seen = rig.seen();
    assert_eq!(seen.len(), objects.len(), "{seen:?}");
    assert!(seen.iter().all(|request| request.method == "GET" && request.range.is_some()), "{seen:?}");
    for (answer, object) in frames.iter().zip(&objects) {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let [pixels] = answer.parts().try_into().expect("one part");
        assert!(object.data_set().ends_with(&pixels) && pixels.len() == 512 * 512 * 2, "{} bytes", pixels.len());
    }
    // The second time the cache answers; many at once share what is fetched.
    rig.proxy.plan(|_, _| Fault::None);
    for object in &objects {
        assert_eq!(client.get(&frame(object), FRAME).expect("answered").status, 200);
    }
    assert_eq!(rig.seen(), []);
    stop(server);
}

#[test]
fn a_flipped_bit_in_the_cloud_is_never_served() {
    for sealed in [true, false] {
        let rig = Rig::new(&format!("flip-{sealed}"), TO_COLD);
        let rig = if sealed { rig } else { rig.with("sealed = true", "sealed = false") };
        let server = rig.start();
        let objects: Vec<Object> = Study::draw(33, 1, Kind::Ct, 2).objects().collect();
        store(&server, &objects);
        all_cold(&server, 1);
        let object = objects.first().expect("one");
        rig.proxy.plan(|request, _| if request.range.is_some() { Fault::Flip(70_000) } else { Fault::None });
        let mut http = client(&server);
        let answer = http.get(&frame(object), FRAME);
        // Refused, or broken off: anything but an answer that looks whole.
        let served = answer.is_ok_and(|answer| answer.status == 200);
        assert!(!served, "damaged bytes were served (sealed: {sealed})");
        rig.proxy.plan(|_, _| Fault::None);
        let found = retrieve(&mut client(&server), object).expect("right bytes again");
        assert!(found.data_set() == object.data_set());
        stop(server);
    }
}

#[test]
fn what_is_read_comes_back_whole_where_the_policy_says_so() {
    let rig = Rig::new("and-back", AND_BACK);
    let server = rig.start();
    let objects: Vec<Object> = Study::draw(34, 1, Kind::Mr, 3).objects().collect();
    store(&server, &objects);
    all_cold(&server, 1);
    assert_equal(&server, &objects);
    wait_for(&server, "it comes back", |status| number(status, "/tally/both/packs") == 1);
    // And goes again when nobody reads it any more.
    wait_for(&server, "it goes again", |status| number(status, "/tally/cold/packs") == 1);
    assert_equal(&server, &objects);
    stop(server);
}

#[test]
fn a_study_is_recalled_on_command_and_only_when_told_to_act() {
    let rig = Rig::new("recalled", TO_BOTH);
    let server = rig.start();
    let study = Study::draw(35, 1, Kind::Mr, 3);
    let objects: Vec<Object> = study.objects().collect();
    store(&server, &objects);
    wait_for(&server, "copied", |status| number(status, "/tally/both/packs") == 1);
    stop(server);
    // Released by another policy, and then by none.
    let cold = rig.with_policies(TO_COLD);
    let server = cold.start();
    all_cold(&server, 1);
    stop(server);
    let rig = cold.with_policies(TO_BOTH);
    let server = rig.start();
    assert!(tiers(&server, &["recall", &study.uid]).contains("nothing was changed"));
    assert_eq!(rig.hot_files(), 0);
    assert!(tiers(&server, &["recall", &study.uid, "--yes"]).contains("1 packs"));
    wait_for(&server, "recalled", |status| number(status, "/tally/both/packs") == 1);
    assert_eq!(rig.hot_files(), 1);
    rig.proxy.plan(|_, _| Fault::Answer(503, "SlowDown"));
    assert_equal(&server, &objects);
    let refused = server.command(&["tiers", "recall", "1.2.3"]).expect("runs");
    assert_eq!(refused.status.code(), Some(1), "no such study");
    stop(server);
}

#[test]
fn priors_are_prefetched_within_their_budget_and_hits_are_counted() {
    let rig = Rig::new("prefetch", TO_COLD);
    let server = rig.start();
    let objects: Vec<Object> = Study::draw(36, 1, Kind::Mr, 30).objects().collect();
    store(&server, &objects);
    let packs = all_cold(&server, series(&objects));
    assert!(packs >= 2, "several series");
    stop(server);
    let rig = rig.with_policies(TO_BOTH);
    let server = rig.start();
    let mut http = client(&server);
    let row = http.get("/dicom-web/studies", "Accept: application/dicom+json\r\n").expect("found");
    let row: Value = serde_json::from_slice(&row.body).expect("JSON");
    let patient = row.pointer("/0/00100020/Value/0").and_then(Value::as_str).expect("a patient").to_owned();
    assert_eq!(row.pointer("/0/00080056/Value/0").and_then(Value::as_str), Some("ONLINE"));
    let mut ask = |bytes: u64, before: u64| {
        let wish = serde_json::json!({
            "facility": "DEMO0", "patient_id": patient, "before": before, "bytes_max": bytes, "modalities": ["MR"],
        });
        let headers = "Content-Type: application/json\r\n";
        let answer = http.request("POST", "/api/prefetch", headers, &[wish.to_string().as_bytes()]).expect("answered");
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice::<Value>(&answer.body).expect("JSON")
    };
    let far = u64::MAX / 2;
    let none = ask(10, far);
    assert_eq!((number(&none, "/packs"), number(&none, "/left"), number(&none, "/studies")), (0, packs, 1));
    let late = ask(1 << 30, 5);
    assert_eq!(number(&late, "/packs"), packs, "taken, and dropped when its turn comes");
    let all = ask(1 << 30, far);
    assert_eq!(number(&all, "/packs"), packs);
    wait_for(&server, "prefetched", |status| number(status, "/tally/both/packs") == packs);
    assert_equal(&server, &objects);
    let metrics = http.get("/metrics", "").expect("metrics").text();
    assert!(metrics.contains(&format!("khoanh_prefetch_hits_total {packs}")), "{metrics}");
    stop(server);
}

#[test]
fn a_volume_is_added_drained_and_forgotten_while_running() {
    let rig = Rig::new("volumes", "");
    let server = rig.start();
    let objects = objects(37);
    store(&server, &objects);
    let packs = series(&objects);
    let deadline = Instant::now() + Duration::from_secs(60);
    while (rig.hot_files() as u64) < packs {
        assert!(Instant::now() < deadline, "{} packs", rig.hot_files());
        std::thread::sleep(Duration::from_millis(50));
    }
    let (old, new) = (rig.data().join("packs"), rig.folder.path().join("new"));
    let (old, new) = (old.to_str().expect("path"), new.to_str().expect("path"));
    assert!(tiers(&server, &["add", new]).contains("nothing was changed"));
    tiers(&server, &["add", new, "--yes"]);
    let refused = server.command(&["tiers", "forget", old, "--yes"]).expect("runs");
    assert_eq!(refused.status.code(), Some(1), "it is not drained");
    tiers(&server, &["drain", old, "--yes"]);
    while rig.hot_files() > 0 {
        assert!(Instant::now() < deadline, "{} packs left", rig.hot_files());
        assert_equal(&server, objects.get(..2).expect("two"));
    }
    assert_eq!(files(&std::path::Path::new(new).join("packs")) as u64, packs);
    assert_equal(&server, &objects);
    tiers(&server, &["forget", old, "--yes"]);
    assert_equal(&server, &objects);
    stop(server);
}
