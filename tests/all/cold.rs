//! The cold tier against a real S3 server, and against one that misbehaves.

#[path = "cold/faults.rs"]
mod faults;
#[path = "cold/proxy.rs"]
pub(crate) mod proxy;
#[path = "cold/restore.rs"]
pub(crate) mod restore;
#[path = "cold/server.rs"]
pub(crate) mod server;

use proxy::{Fault, Proxy};
use server::s3;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use store::cold::{
    Ability, Availability, BucketProbe, Cold, ColdFault, ColdObject, ColdOptions, Destroyed, Lock, LockMode,
    PutOptions, RestoreTier, Throttle,
};
use store::envelope::{CHUNK_BYTES, Header, OpenedPack, SealedPack};
use store::keys::DataKey;
use store::{PackFile, PackId, ReadAt, StoreError};

/// Bytes that differ everywhere, by a seed.
pub(crate) fn drawn(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    bytes
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

pub(crate) fn fault_of<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> ColdFault {
    let error = answer.expect_err("refused");
    error.cold_fault().unwrap_or_else(|| panic!("no fault of the bucket: {error}"))
}

#[test]
fn objects_small_and_large_are_put_read_back_and_read_by_range() {
    let work = tempfile::tempdir().expect("folder");
    let cold = s3().open("sizes", work.path());
    for (name, len) in [("empty", 0), ("one", 1), ("whole", 5 << 20), ("parts", (5 << 20) + 1), ("more", 16 << 20)] {
        let bytes = drawn(len as u64, len);
        let key = cold.key(name);
        let options = PutOptions { digest: Some(sha256(&bytes)), ..PutOptions::default() };
        let put = cold.put(&key, &bytes, &options).expect("put");
        assert_eq!((put.len, put.digest), (len as u64, sha256(&bytes)), "{name}");
        assert!(put.version.is_some(), "{name}: the bucket keeps versions");
        assert!(cold.get(&key, put.version.as_deref()).expect("got") == bytes, "{name}");
        for range in [0..len / 3, len / 3..len, len / 2..len / 2] {
            let wanted = bytes.get(range.clone()).expect("inside");
            let got = cold.get_range(&key, None, range.start as u64..range.end as u64).expect("range");
            assert!(got == wanted, "{name} {range:?}");
        }
        assert_eq!(std::fs::read_dir(work.path()).expect("folder").count(), 0, "{name} left notes");
    }
    let mut names = Vec::new();
    cold.list("sizes", &mut |object| {
        names.push((object.key, object.len));
        Ok(())
    })
    .expect("listed");
    assert_eq!(names.len(), 5, "{names:?}");
    assert_eq!(fault_of(cold.get_range(&cold.key("none"), None, 0..1)), ColdFault::Missing);
}

#[test]
fn a_source_that_is_not_what_was_to_be_put_is_refused() {
    let work = tempfile::tempdir().expect("folder");
    let cold = s3().open("wrong-source", work.path());
    for len in [100, 11 << 20] {
        let options = PutOptions { digest: Some([7; 32]), ..PutOptions::default() };
        let key = cold.key(&len.to_string());
        assert_eq!(fault_of(cold.put(&key, &drawn(1, len), &options)), ColdFault::Damaged);
        assert_eq!(fault_of(cold.get(&key, None)), ColdFault::Missing);
        assert_eq!(cold.destroy(&key).expect("nothing there"), Destroyed::default(), "an upload stayed open");
    }
}

#[test]
fn a_frame_of_a_sealed_pack_is_exactly_one_ranged_get() {
    let work = tempfile::tempdir().expect("folder");
    let proxy = Proxy::start(&s3().endpoint);
    let options = s3().options(&s3().bucket, "frame", work.path(), Some(proxy.endpoint()));
    let cold = Arc::new(Cold::open(options, Throttle::unbounded()).expect("opens"));
    let (pack, key) = (PackId::new([9; 16]), DataKey::new([3; 32]));
    let plain = drawn(5, 7 << 20);
    let digest = sha256(&plain);
    let name = cold.pack_key(PackFile::sealed(pack));
    let sealed = SealedPack::new(plain.clone(), pack, &key, &digest).expect("sealed");
    let put = cold.put(&name, &sealed, &PutOptions::default()).expect("put");
    assert_eq!(put.len, sealed.len());

    proxy.plan(|_, _| Fault::None);
    let object = ColdObject::new(Arc::clone(&cold), &name, put.version.as_deref(), put.len);
    let header = Header::of_plain(pack, &key, &digest);
    let opened = OpenedPack::with_header(object, &key, &header).expect("opened");
    let frame = 3 * CHUNK_BYTES + 100..3 * CHUNK_BYTES + 524_388;
    let got = opened.read_at(frame.clone()).expect("read");
    assert!(got == plain.read_at(frame).expect("inside"));
    let seen = proxy.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let only = seen.first().expect("one");
    assert_eq!((only.method.as_str(), only.body), ("GET", 0));
    assert!(only.range.is_some(), "{only:?}");

    // The header says the same to whoever does not know the digest.
    let object = ColdObject::new(cold, &name, None, put.len);
    let opened = OpenedPack::open(object, pack, &key).expect("opened");
    assert!(opened.read_at(0..opened.len()).expect("whole") == plain);
}

#[test]
fn a_locked_version_stays_and_says_so() {
    let work = tempfile::tempdir().expect("folder");
    let cold = s3().open("locked", work.path());
    let lock = Lock { mode: LockMode::Compliance, until: now() + 3_600 };
    for (name, len) in [("small", 1_000), ("large", 6 << 20)] {
        let key = cold.key(name);
        let options = PutOptions { lock: Some(lock), hold: true, ..PutOptions::default() };
        let put = cold.put(&key, &drawn(2, len), &options).expect("put");
        assert_eq!((put.lock, put.hold), (Some(lock), true), "{name}");
        assert_eq!(fault_of(cold.destroy(&key)), ColdFault::Locked, "{name}");
        cold.set_hold(&key, put.version.as_deref(), false).expect("hold taken away");
        assert_eq!(fault_of(cold.destroy(&key)), ColdFault::Locked, "{name}");
        let shorter = Lock { until: now() + 60, ..lock };
        assert!(cold.set_lock(&key, put.version.as_deref(), shorter).is_err(), "{name} was shortened");
        let longer = Lock { until: now() + 7_200, ..lock };
        cold.set_lock(&key, put.version.as_deref(), longer).expect("longer");
        let state = cold.lock_state(&key, put.version.as_deref()).expect("state");
        assert_eq!((state.lock, state.hold), (Some(longer), false), "{name}");
        cold.verify(&key, put.version.as_deref(), put.len, &put.digest).expect("still there");
    }
}

#[test]
fn destroying_leaves_no_version_no_marker_and_no_upload() {
    let work = tempfile::tempdir().expect("folder");
    let proxy = Proxy::start(&s3().endpoint);
    let options = s3().options(&s3().bucket, "destroyed", work.path(), Some(proxy.endpoint()));
    let cold = Cold::open(options, Throttle::unbounded()).expect("opens");
    let (key, beside) = (cold.key("it"), cold.key("it-too"));
    cold.put(&beside, &drawn(1, 10), &PutOptions::default()).expect("a neighbour whose name begins the same");
    for seed in 0..3 {
        cold.put(&key, &drawn(seed, 100), &PutOptions::default()).expect("put");
    }
    // An upload that does not get to its end.
    proxy.plan(|request, _| match request.target.contains("partNumber=2") {
        true => Fault::Answer(403, "AccessDenied"),
        false => Fault::None,
    });
    assert_eq!(fault_of(cold.put(&key, &drawn(4, 11 << 20), &PutOptions::default())), ColdFault::Denied);
    proxy.plan(|_, _| Fault::None);
    let destroyed = cold.destroy(&key).expect("destroyed");
    assert_eq!(destroyed, Destroyed { versions: 3, markers: 0, uploads: 1 });
    assert_eq!(cold.destroy(&key).expect("again"), Destroyed::default());
    assert_eq!(fault_of(cold.get(&key, None)), ColdFault::Missing);
    cold.get(&beside, None).expect("the neighbour stays");
    assert_eq!(std::fs::read_dir(work.path()).expect("folder").count(), 0, "notes stayed");
}

#[test]
fn uploads_that_no_note_knows_are_swept() {
    let (work, lost) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let proxy = Proxy::start(&s3().endpoint);
    let open = |work: &std::path::Path| {
        let options = s3().options(&s3().bucket, "swept", work, Some(proxy.endpoint()));
        Cold::open(options, Throttle::unbounded()).expect("opens")
    };
    proxy.plan(|request, _| match request.target.contains("partNumber=2") {
        true => Fault::Answer(403, "AccessDenied"),
        false => Fault::None,
    });
    for (work, name) in [(work.path(), "kept"), (lost.path(), "stray")] {
        let cold = open(work);
        let put = cold.put(&cold.key(name), &drawn(4, 11 << 20), &PutOptions::default());
        assert_eq!(fault_of(put), ColdFault::Denied);
    }
    proxy.plan(|_, _| Fault::None);
    let cold = open(work.path());
    assert_eq!(cold.sweep_uploads(1).expect("swept"), 0, "both are younger than that");
    assert_eq!(cold.sweep_uploads(u64::MAX).expect("swept"), 1);
    assert_eq!(cold.sweep_uploads(u64::MAX).expect("swept"), 0);
    cold.put(&cold.key("kept"), &drawn(4, 11 << 20), &PutOptions::default()).expect("goes on");
    let parts = proxy.seen().iter().filter(|request| request.target.contains("partNumber=1&")).count();
    assert_eq!(parts, 0, "the first part was kept: {:?}", proxy.seen());
}

#[test]
fn the_probe_tells_what_a_bucket_does() {
    let work = tempfile::tempdir().expect("folder");
    let probe = s3().open("probed", work.path()).probe().expect("probed");
    assert_eq!((&probe.object_lock, &probe.legal_hold), (&Ability::Works, &Ability::Works), "{probe}");
    assert_eq!((&probe.versioning, &probe.tagging), (&Ability::Works, &Ability::Works), "{probe}");
    assert_eq!(probe.objects, Ability::Works, "{probe}");
    // This server takes If-None-Match in a bucket with versions, and puts another version all the same.
    assert_eq!(probe.conditional_put, Ability::Lies, "{probe}");
    assert_eq!(probe.restore, Ability::Lacks, "{probe}");
    assert!(probe.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.deletes.is_empty()), "{probe}");
    probe.require_worm().expect("may hold what must stay");
    let kept = std::fs::read(work.path().join("probe.json")).expect("kept");
    assert_eq!(serde_json::from_slice::<BucketProbe>(&kept).expect("read"), probe);

    let options = s3().options(&s3().plain_bucket, "probed", work.path(), None);
    let plain = Cold::open(options, Throttle::unbounded()).expect("opens").probe().expect("probed");
    assert_eq!((&plain.objects, &plain.conditional_put), (&Ability::Works, &Ability::Works), "{plain}");
    assert_ne!(plain.object_lock, Ability::Works, "{plain}");
    let Err(StoreError::Worm { missing, .. }) = plain.require_worm() else { panic!("{plain}") };
    assert!(missing.contains("object lock") && missing.contains("versioning"), "{missing}");
}

#[test]
fn a_bucket_that_takes_locks_and_deletes_all_the_same_is_found_out() {
    let work = tempfile::tempdir().expect("folder");
    let proxy = Proxy::start(&s3().endpoint);
    let options = s3().options(&s3().bucket, "liar", work.path(), Some(proxy.endpoint()));
    let cold = Cold::open(options, Throttle::unbounded()).expect("opens");
    proxy.plan(|request, _| match request.method.as_str() {
        "PUT" if request.target.contains("retention") || request.target.contains("legal-hold") => {
            Fault::Answer(200, "")
        }
        _ => Fault::None,
    });
    let probe = cold.probe().expect("probed");
    assert_eq!((&probe.object_lock, &probe.legal_hold), (&Ability::Lies, &Ability::Lies), "{probe}");
    assert!(probe.require_worm().is_err());
    let lock = Lock { mode: LockMode::Governance, until: now() + 60 };
    let put = cold.put(&cold.key("x"), &drawn(1, 9), &PutOptions { lock: Some(lock), ..PutOptions::default() });
    assert_eq!(fault_of(put), ColdFault::Refused, "a lock that does not show must not count");
}

#[test]
fn what_is_wrong_with_a_bucket_is_told_apart() {
    let work = tempfile::tempdir().expect("folder");
    let asked = |change: &dyn Fn(&mut ColdOptions)| {
        let mut options = s3().options(&s3().bucket, "told", work.path(), None);
        options.retries = 0;
        change(&mut options);
        fault_of(Cold::open(options, Throttle::unbounded()).expect("opens").probe())
    };
    assert_eq!(asked(&|options| options.access_key = "NOBODY".into()), ColdFault::Credentials);
    assert_eq!(asked(&|options| *options.secret_key = "wrong".into()), ColdFault::Credentials);
    assert_eq!(asked(&|options| options.bucket = "no-such-bucket".into()), ColdFault::Options);
    assert_eq!(asked(&|options| options.endpoint = Some("http://127.0.0.1:1".into())), ColdFault::Unreachable);

    let proxy = Proxy::start(&s3().endpoint);
    let options = s3().options(&s3().bucket, "told", work.path(), Some(proxy.endpoint()));
    let cold = Cold::open(options, Throttle::unbounded()).expect("opens");
    for (status, code, fault) in [
        (403, "RequestTimeTooSkewed", ColdFault::Clock),
        (400, "ExpiredToken", ColdFault::Credentials),
        (403, "InvalidObjectState", ColdFault::Archived),
        (403, "AccessDenied", ColdFault::Denied),
        (404, "NoSuchKey", ColdFault::Missing),
        (501, "NotImplemented", ColdFault::Unsupported),
    ] {
        proxy.plan(move |_, _| Fault::Answer(status, code));
        assert_eq!(fault_of(cold.get_range("told/x", None, 0..9)), fault, "{code}");
    }
}

#[test]
fn a_closed_hour_pauses_a_put_and_the_next_one_goes_on() {
    let work = tempfile::tempdir().expect("folder");
    let hour = Arc::new(AtomicU8::new(9));
    let clock = Arc::clone(&hour);
    let mut rates = [None; 24];
    if let Some(rate) = rates.get_mut(9) {
        *rate = Some(0);
    }
    let clock = Arc::new(move || clock.load(Ordering::Relaxed));
    let options = s3().options(&s3().bucket, "hours", work.path(), None);
    let cold = Cold::open(options, Throttle::by_hour(rates, clock)).expect("opens");
    let (key, bytes) = (cold.key("x"), drawn(1, 11 << 20));
    assert_eq!(fault_of(cold.put(&key, &bytes, &PutOptions::default())), ColdFault::Paused);
    hour.store(10, Ordering::Relaxed);
    cold.put(&key, &bytes, &PutOptions::default()).expect("put");
    cold.stop();
    assert_eq!(fault_of(cold.put(&cold.key("y"), &bytes, &PutOptions::default())), ColdFault::Paused);
}

#[test]
fn an_object_may_lie_in_another_class_and_tells_how_soon_it_can_be_read() {
    let work = tempfile::tempdir().expect("folder");
    let cold = s3().open("classes", work.path());
    let key = cold.key("x");
    let put = cold.put(&key, &drawn(1, 100), &PutOptions::default()).expect("put");
    assert_eq!(cold.availability(&key, None).expect("asked"), Availability::Online);
    let moved = cold.change_class(&key, put.version.as_deref(), "GLACIER").expect("moved");
    assert_eq!(cold.availability(&key, moved.as_deref()).expect("asked"), Availability::Archived);
    cold.verify(&key, moved.as_deref(), put.len, &put.digest).expect("the same bytes");
    let restored = cold.restore(&key, moved.as_deref(), 1, RestoreTier::Standard);
    assert_eq!(fault_of(restored), ColdFault::Unsupported);
}
