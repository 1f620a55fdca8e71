//! What keeps copies safe: locks that follow rules and holds, and backups in a bucket.

use super::rig::*;
use crate::cold::server::s3;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use store::cold::{Cold, LockState, Throttle};
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

const LIMIT: Duration = Duration::from_secs(90);

fn keys(bucket: &Cold, folder: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let listed = bucket.list(&bucket.key(folder), &mut |object| {
        keys.push(object.key);
        Ok(())
    });
    listed.expect("listed");
    keys
}

/// What the bucket itself says of every pack, as soon as it fits.
fn locks(bucket: &Cold, what: &str, fits: impl Fn(&LockState) -> bool) -> Vec<LockState> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let keys = keys(bucket, "packs");
        let states: Vec<LockState> = keys.iter().map(|key| bucket.lock_state(key, None).expect("asked")).collect();
        if !states.is_empty() && states.iter().all(&fits) {
            return states;
        }
        assert!(Instant::now() < deadline, "{what}: {states:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn done(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments).expect("runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

#[test]
fn locks_follow_a_class_that_rises_and_holds_come_and_go() {
    let worm = "sealed = true\nworm = true\nlock_mode = \"governance\"\nlock_for = \"1h\"\n";
    let rig = Rig::new("locks", TO_BOTH).with("sealed = true\n", worm);
    let server = rig.start();
    let study = Study::draw(91, 1, Kind::Mr, 20);
    let objects: Vec<Object> = study.objects().collect();
    store(&server, &objects);
    let packs = series(&objects);
    wait_for(&server, "copied and locked", |status| {
        number(status, "/tally/both/packs") >= packs && number(status, "/cloud/locks/locked/packs") >= packs
    });
    let work = tempfile::tempdir().expect("folder");
    let bucket = rig.bucket(work.path());
    let until = |state: &LockState| state.lock.map_or(0, |lock| lock.until);
    let before = locks(&bucket, "locked", |state| until(state) > 0 && !state.hold);
    let latest = before.iter().map(until).max().expect("a lock");

    let name = format!("DEMO0/{}", study.uid);
    done(&server, &["retention", "link", &name, "--class", "INCIDENT", "--by", "lan", "--reason", "case 7"]);
    let raised = locks(&bucket, "a permanent record", |state| until(state) > latest + 365 * 86_400);
    let raised = raised.iter().map(until).min().expect("a lock");
    let add = ["retention", "holds", "add", "--study", &name, "--reason", "court", "--owner", "TA", "--by", "lan"];
    assert!(done(&server, &add).contains("H-1"));
    locks(&bucket, "held", |state| state.hold);
    wait_for(&server, "the hold is seen", |status| number(status, "/cloud/locks/held/packs") >= packs);
    assert!(tiers(&server, &["status"]).lines().any(|line| line.starts_with("held")), "for people, too");

    // A stop in the middle loses nothing: what is due is found again.
    let unlink = ["retention", "unlink", &name, "--class", "INCIDENT", "--by", "lan", "--reason", "mistake"];
    done(&server, &unlink);
    stop(server);
    let server = rig.start();
    done(&server, &["retention", "holds", "release", "H-1", "--by", "lan", "--reason", "over"]);
    let after = locks(&bucket, "released", |state| !state.hold);
    assert!(after.iter().all(|state| until(state) >= raised), "a lock was shortened: {after:?}");
    let status = wait_for(&server, "the release is seen", |status| {
        number(status, "/cloud/locks/counted") > 0 && number(status, "/cloud/locks/held/packs") == 0
    });
    assert_eq!(number(&status, "/cloud/locks/short/packs"), 0, "{status:#}");
    stop(server);
}

#[test]
fn a_sealed_backup_in_a_bucket_grows_is_rehearsed_pruned_and_restored_on_an_empty_machine() {
    let rig = Rig::new("backed-up", "");
    let server = rig.start();
    let objects: Vec<Object> = Study::draw(92, 1, Kind::Mr, 20).objects().collect();
    store(&server, &objects);
    wait_for(&server, "packed", |status| number(status, "/tally/hot/packs") >= series(&objects));
    let (to, key) = (format!("s3://{}/backups/one", s3().plain_bucket), rig.folder.path().join("backup.key"));
    fs::write(&key, "0123456789abcdef".repeat(4)).expect("a key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("for its owner");
    let key = key.to_str().expect("a path");

    let deadline = Instant::now() + LIMIT;
    for round in 0.. {
        let scratch = rig.folder.path().join(format!("scratch-{round}"));
        let scratch = scratch.to_str().expect("a path");
        let said = rig.done(&["backup", "--to", &to, "--key", key, "--rehearse", scratch]);
        assert!(said.contains(" min"), "{said}");
        if said.contains("0 differences") {
            break;
        }
        assert!(Instant::now() < deadline && said.contains("came in meanwhile"), "{said}");
    }
    let work = tempfile::tempdir().expect("folder");
    let options = s3().options(&s3().plain_bucket, "backups/one", work.path(), None);
    let bucket = Cold::open(options, Throttle::unbounded()).expect("opens");
    let names = [keys(&bucket, "objects"), keys(&bucket, "sets")].concat();
    for name in &names {
        let bytes = bucket.get(name, None).expect("got");
        assert!(name.ends_with(".khe") && bytes.starts_with(b"KHOANHE1"), "{name} is not sealed");
    }
    // A pack is there once, whatever the number of backups; with none to keep the others go.
    let packs = || keys(&bucket, "objects").iter().filter(|name| name.contains("/pack-")).count() as u64;
    assert_eq!(packs(), series(&objects));
    let said = done(&server, &["backup", "--to", &to, "--key", key, "--keep", "0"]);
    assert!(!said.contains("0 older backups removed"), "{said}");
    assert_eq!((keys(&bucket, "sets").len(), packs()), (1, series(&objects)));

    let new = rig.folder.path().join("new");
    let without = rig.run_at(&new, &["restore", "--from", &to]);
    assert!(!without.status.success(), "restored without the key");
    let restored = rig.run_at(&new, &["restore", "--from", &to, "--key", key]);
    let (out, err) = (String::from_utf8_lossy(&restored.stdout), String::from_utf8_lossy(&restored.stderr));
    assert!(restored.status.success() && out.contains("restored with its index"), "{out}{err}");
    fs::copy(rig.data().join("ledger.pem"), new.join("ledger.pem")).expect("the ledger's key");
    stop(server);
    let server = rig.start_at(&new);
    assert_equal(&server, &objects);
    stop(server);
}
