//! The cloud as the archive opens it: keys, bucket and cache together.

use crate::cold::proxy::{Fault, Proxy};
use crate::cold::server::s3;
use crate::cold::{drawn, fault_of, sha256};
use archive::clock::{Clock, SystemClock};
use archive::tier::cloud::{Cloud, Keep, PackName};
use archive::tier::{CloudOptions, KeyOptions};
use model::pack::ColdCopy;
use model::{Digest, FacilityCode};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use store::cold::{Availability, BucketProbe, ColdFault, LockMode};
use store::envelope::CHUNK_BYTES;
use store::{PackFile, PackId, ReadAt, StoreError};
use tempfile::TempDir;

/// Options for the S3 server, under a prefix of its own, with `endpoint` or the server's.
pub(crate) fn options(folder: &Path, prefix: &str, endpoint: Option<&str>) -> CloudOptions {
    let secret = folder.join("secret");
    fs::write(&secret, format!("{}\n", s3().secret_key)).expect("secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("for its owner");
    CloudOptions {
        endpoint: Some(endpoint.unwrap_or(&s3().endpoint).to_owned()),
        region: s3().region.clone(),
        prefix: prefix.into(),
        access_key: s3().access_key.clone(),
        secret_key_file: secret,
        part_bytes: 5 << 20,
        ..CloudOptions::new(&s3().bucket)
    }
}

fn open_with(folder: &TempDir, options: CloudOptions) -> Result<Cloud, archive::OpenError> {
    Cloud::open(options, &KeyOptions::default(), &folder.path().join("data"), Arc::new(SystemClock))
}

fn open(folder: &TempDir, prefix: &str, endpoint: Option<&str>) -> Cloud {
    open_with(folder, options(folder.path(), prefix, endpoint)).expect("opens")
}

fn named(number: u8, bytes: &[u8]) -> PackName {
    PackName {
        pack: PackId::new([number; 16]),
        facility: FacilityCode::DEMO,
        len: bytes.len() as u64,
        sha256: Digest(sha256(bytes)),
    }
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    fs::create_dir(folder.path().join("data")).expect("data");
    folder
}

#[test]
fn a_pack_goes_up_sealed_or_plain_and_comes_back_the_same() {
    for sealed in [true, false] {
        let folder = folder();
        let prefix = format!("cloud-back-{sealed}");
        let cloud = open_with(&folder, CloudOptions { sealed, ..options(folder.path(), &prefix, None) });
        let cloud = cloud.expect("opens");
        for (number, len) in [(1, 1), (2, 70_000), (3, 6 << 20)] {
            let bytes = drawn(number.into(), len);
            let name = named(number, &bytes);
            let copy = cloud.put(&name, &bytes, Keep::default()).expect("put");
            assert_eq!((copy.sealed, copy.locked_until), (sealed, None));
            let there = cloud.cold().get(&copy.key, copy.version.as_deref()).expect("there");
            assert_eq!(sha256(&there), copy.sha256.0, "what is recorded is what lies there");
            assert_eq!(there == bytes, !sealed, "{len}");
            let source = cloud.source(&name, &copy).expect("opened");
            assert!(source.read_at(0..source.len()).expect("read") == bytes, "{len}");
            assert_eq!(cloud.availability(&copy).expect("asked"), Availability::Online);
            cloud.verify(&copy).expect("still the same");
        }
    }
}

#[test]
fn a_frame_is_one_ranged_get_and_the_second_time_none() {
    let folder = folder();
    let proxy = Proxy::start(&s3().endpoint);
    let bytes = drawn(4, 9 << 20);
    let name = named(4, &bytes);
    let copy = open(&folder, "cloud-frame", None).put(&name, &bytes, Keep::default()).expect("put");
    // Opened anew, as after a start: nothing is known but the row.
    let cloud = open(&folder, "cloud-frame", Some(proxy.endpoint()));
    proxy.plan(|_, _| Fault::None);
    let source = cloud.source(&name, &copy).expect("opened");
    assert_eq!(proxy.seen(), [], "opening asks nothing");
    let frame = 5 * CHUNK_BYTES + 77..5 * CHUNK_BYTES + 77 + 524_288;
    let wanted = bytes.read_at(frame.clone()).expect("inside");
    assert!(source.read_at(frame.clone()).expect("read") == wanted);
    let seen = proxy.seen();
    let [only] = seen.as_slice() else { panic!("not one request: {seen:?}") };
    assert_eq!(only.method, "GET");
    assert!(only.range.is_some(), "{only:?}");
    proxy.plan(|_, _| Fault::Answer(503, "SlowDown"));
    let again = cloud.source(&name, &copy).expect("opened").read_at(frame).expect("from the cache");
    assert!(again == wanted);
    assert_eq!(proxy.seen(), [], "the cache answers");
    // What it holds of a sealed pack is sealed.
    for entry in fs::read_dir(folder.path().join("data/cache")).expect("cache").flatten() {
        let held = fs::read(entry.path()).expect("piece");
        assert!(!held.windows(64).any(|part| wanted.starts_with(part)), "plain bytes lie in the cache");
    }
}

#[test]
fn a_flipped_bit_is_fetched_again_and_never_served_or_kept() {
    let folder = folder();
    let proxy = Proxy::start(&s3().endpoint);
    let cloud = open(&folder, "cloud-flip", Some(proxy.endpoint()));
    let bytes = drawn(5, 3 << 20);
    let name = named(5, &bytes);
    let copy = cloud.put(&name, &bytes, Keep::default()).expect("put");
    let source = cloud.source(&name, &copy).expect("opened");
    // Once on the way: the second fetch is right.
    proxy.plan(|_, number| if number == 0 { Fault::Flip(1_000) } else { Fault::None });
    assert!(source.read_at(0..400_000).expect("right in the end") == bytes.read_at(0..400_000).expect("inside"));
    assert_eq!(proxy.seen().len(), 2);
    // Always: an error, and nothing of it stays.
    proxy.plan(|_, _| Fault::Flip(1_000));
    let error = source.read_at(1 << 20..2 << 20).expect_err("damaged");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    proxy.plan(|_, _| Fault::None);
    assert!(source.read_at(1 << 20..2 << 20).expect("repaired") == bytes.read_at(1 << 20..2 << 20).expect("inside"));
}

#[test]
fn a_source_that_is_not_the_pack_is_not_sent() {
    let folder = folder();
    let proxy = Proxy::start(&s3().endpoint);
    let cloud = open(&folder, "cloud-wrong", Some(proxy.endpoint()));
    let bytes = drawn(6, 100_000);
    let mut flipped = bytes.clone();
    flipped[77_777] ^= 1;
    for wrong in [flipped, drawn(6, 99_999)] {
        let error =
            cloud.put(&named(6, &bytes), &wrong, Keep::default()).expect_err("another text under the same nonce");
        assert!(matches!(error, StoreError::ReadBack { .. }), "{error}");
    }
    assert_eq!(proxy.seen(), []);
}

#[test]
fn a_put_that_broke_off_goes_on_with_the_same_key() {
    let folder = folder();
    let proxy = Proxy::start(&s3().endpoint);
    let bytes = drawn(7, 12 << 20);
    let name = named(7, &bytes);
    proxy.plan(|request, _| match request.target.contains("partNumber=3") {
        true => Fault::Answer(403, "AccessDenied"),
        false => Fault::None,
    });
    let cloud = open(&folder, "cloud-broken", Some(proxy.endpoint()));
    assert_eq!(fault_of(cloud.put(&name, &bytes, Keep::default())), ColdFault::Denied);
    drop(cloud);
    proxy.plan(|_, _| Fault::None);
    let cloud = open(&folder, "cloud-broken", Some(proxy.endpoint()));
    let copy = cloud.put(&name, &bytes, Keep::default()).expect("goes on");
    let parts = proxy.seen().iter().filter(|request| request.target.contains("partNumber=1&")).count();
    assert_eq!(parts, 0, "the first part was sent twice: {:?}", proxy.seen());
    let source = cloud.source(&name, &copy).expect("opened");
    assert!(source.read_at(0..source.len()).expect("read") == bytes);
}

#[test]
fn a_destroyed_pack_leaves_neither_object_nor_piece_nor_key() {
    let folder = folder();
    let cloud = open(&folder, "cloud-destroyed", None);
    let bytes = drawn(8, 300_000);
    let name = named(8, &bytes);
    let copy = cloud.put(&name, &bytes, Keep::default()).expect("put");
    let source = cloud.source(&name, &copy).expect("opened");
    source.read_at(0..1_000).expect("read, and cached");
    let sealed = cloud.cold().get(&copy.key, None).expect("a backup of the object");
    let forgotten = cloud.forget(name.pack, Some(&copy)).expect("destroyed");
    assert_eq!((forgotten.key, forgotten.pieces, forgotten.objects.versions), (true, 1, 1), "{forgotten:?}");
    assert_eq!(fault_of(cloud.cold().get(&copy.key, None)), ColdFault::Missing);
    assert_eq!(fs::read_dir(folder.path().join("data/cache")).expect("cache").count(), 0);
    assert!(matches!(cloud.source(&name, &copy).err(), Some(StoreError::KeyDestroyed { .. })));
    assert!(matches!(cloud.put(&name, &bytes, Keep::default()), Err(StoreError::KeyDestroyed { .. })), "it came back");
    // Also to whoever puts the object back.
    cloud.cold().put(&copy.key, &sealed.to_vec(), &store::cold::PutOptions::default()).expect("put back");
    let cloud = open(&folder, "cloud-destroyed", None);
    assert!(matches!(cloud.source(&name, &copy).err(), Some(StoreError::KeyDestroyed { .. })));
    assert_eq!(cloud.forget(name.pack, None).expect("again").objects.versions, 1);
    assert_eq!(cloud.forget(name.pack, None).expect("again"), archive::tier::cloud::Forgotten::default());
}

#[test]
fn worm_locks_every_copy_and_refuses_a_bucket_that_does_not_keep_it() {
    let folder = folder();
    let hour = std::time::Duration::from_secs(3_600);
    let worm = |prefix: &str| CloudOptions {
        worm: true,
        lock_mode: LockMode::Compliance,
        lock_for: hour,
        ..options(folder.path(), prefix, None)
    };
    let plain = CloudOptions { bucket: s3().plain_bucket.clone(), ..worm("cloud-worm") };
    let refused = open_with(&folder, plain).err().expect("a bucket without locks");
    assert!(refused.to_string().contains("object lock"), "{refused}");
    let nobody = CloudOptions { endpoint: Some("http://127.0.0.1:1".into()), ..worm("cloud-worm") };
    assert!(open_with(&folder, nobody).is_err(), "a bucket that was never asked");

    let cloud = open_with(&folder, worm("cloud-worm")).expect("opens");
    let bytes = drawn(9, 1_000);
    let now = SystemClock.now_ms();
    let copy = cloud.put(&named(9, &bytes), &bytes, Keep::default()).expect("put");
    let least = now + 3_600_000;
    assert!(copy.locked_until.is_some_and(|until| (least..least + 60_000).contains(&until)), "{copy:?}");
    let keep = |until: u64, held: bool| Keep { until: Some(until), held };
    let longer = cloud.put(&named(10, &bytes), &bytes, keep(now + 7_200_000, false)).expect("put");
    assert!(longer.locked_until.is_some_and(|until| until >= now + 7_200_000), "{longer:?}");
    follows(&cloud, &longer, now);
    // The key goes although the lock keeps the object.
    assert_eq!(fault_of(cloud.forget(PackId::new([9; 16]), Some(&copy))), ColdFault::Locked);
    assert!(matches!(cloud.source(&named(9, &bytes), &copy).err(), Some(StoreError::KeyDestroyed { .. })));
}

/// A lock of two hours is lengthened and never shortened, and a hold comes and goes; the bucket says so itself.
fn follows(cloud: &Cloud, copy: &ColdCopy, now: u64) {
    let stands = || cloud.cold().lock_state(&copy.key, copy.version.as_deref()).expect("asked");
    let hours = |count: u64| (now + count * 3_600_000).div_ceil(1_000);
    let shorter = cloud.follow(copy, Keep { until: Some(now + 3_600_000), held: true }).expect("held");
    assert!(shorter.held && shorter.locked_until == copy.locked_until, "{shorter:?}");
    assert!(stands().hold && stands().lock.is_some_and(|lock| lock.until == hours(2)), "{:?}", stands());
    let longer = cloud.follow(&shorter, Keep { until: Some(now + 3 * 3_600_000), held: false }).expect("longer");
    assert_eq!((longer.held, longer.locked_until), (false, Some(hours(3) * 1_000)));
    assert!(!stands().hold && stands().lock.is_some_and(|lock| lock.until == hours(3)), "{:?}", stands());
    // Whoever still holds the older copy shortens nothing either.
    cloud.follow(copy, Keep { until: Some(now + 2 * 3_600_000 + 1), held: false }).expect("nothing to do");
    assert!(stands().lock.is_some_and(|lock| lock.until == hours(3)), "{:?}", stands());
}

/// The proxy's address stays the same while the server behind it goes away.
#[test]
fn a_start_while_the_bucket_is_away_counts_its_last_answer() {
    let folder = folder();
    let proxy = Proxy::start(&s3().endpoint);
    let worm = || CloudOptions {
        worm: true,
        lock_mode: LockMode::Governance,
        lock_for: std::time::Duration::from_secs(60),
        ..options(folder.path(), "cloud-away", Some(proxy.endpoint()))
    };
    let probe: BucketProbe = open_with(&folder, worm()).expect("opens").last_probe().expect("asked");
    proxy.plan(|_, _| Fault::Answer(503, "SlowDown"));
    let cloud = open_with(&folder, worm()).expect("opens all the same");
    assert_eq!(cloud.last_probe(), Some(probe));
    let bytes = drawn(11, 10);
    let error = cloud.put(&named(11, &bytes), &bytes, Keep::default()).expect_err("away");
    assert!(error.cold_fault().is_some_and(ColdFault::passes), "{error}");
    // Without worm nothing is asked at all.
    let other = CloudOptions { worm: false, prefix: "never".into(), ..worm() };
    proxy.plan(|_, _| Fault::Answer(503, "SlowDown"));
    assert_eq!(open_with(&folder, other).expect("opens").last_probe(), None);
    assert_eq!(proxy.seen(), []);
}

#[test]
fn a_secret_that_everybody_may_read_is_refused() {
    let folder = folder();
    let options = options(folder.path(), "cloud-secret", None);
    fs::set_permissions(&options.secret_key_file, fs::Permissions::from_mode(0o644)).expect("open to all");
    let error = open_with(&folder, options).err().expect("refused");
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(format!("{error} {source}").contains("chmod"), "{error}: {source}");
}

#[test]
fn objects_lie_under_the_name_of_the_pack() {
    let folder = folder();
    let cloud = open(&folder, "cloud-named", None);
    let bytes = drawn(12, 10);
    let copy: ColdCopy = cloud.put(&named(12, &bytes), &bytes, Keep::default()).expect("put");
    let file = PackFile::sealed(PackId::new([12; 16]));
    assert_eq!(copy.key, format!("cloud-named/packs/{}", file.path()));
}
