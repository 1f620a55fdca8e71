//! The cache answers what was put or nothing.

use super::*;
use crate::ReadAt;
use std::sync::Arc;

fn file(number: u8) -> PackFile {
    PackFile::sealed(PackId::new([number; 16]))
}

fn drawn(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    bytes
}

fn held(cache: &PieceCache, file: PackFile, range: Range<u64>) -> bool {
    cache.get(file, range).is_some()
}

#[test]
fn a_range_is_answered_where_one_piece_holds_all_of_it() {
    let dir = tempfile::tempdir().expect("folder");
    let cache = PieceCache::open(dir.path(), 1 << 20).expect("opens");
    let bytes = drawn(1, 200_000);
    cache.put(file(1), 1_000, &bytes).expect("put");
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..200 {
        let (a, b) = (random.usize(0..200_000), random.usize(0..200_000));
        let (start, end) = (a.min(b), a.max(b) + 1);
        let got = cache.get(file(1), start as u64 + 1_000..end as u64 + 1_000).expect("held");
        assert!(Some(got.as_slice()) == bytes.get(start..end), "{start}..{end}");
    }
    for outside in [999..1_001, 200_999..201_001, 0..10, 300_000..300_001] {
        assert_eq!(cache.get(file(1), outside.clone()), None, "{outside:?}");
    }
    assert_eq!(cache.get(PackFile::plain(file(1).pack), 1_000..1_001), None, "plain is not sealed");
    let stats = cache.stats();
    assert_eq!((stats.bytes, stats.pieces, stats.hits, stats.misses), (200_000, 1, 200, 5));
}

#[test]
fn what_was_read_longest_ago_goes_first_and_the_bound_holds() {
    let dir = tempfile::tempdir().expect("folder");
    let cache = PieceCache::open(dir.path(), 300).expect("opens");
    for number in 1..=3 {
        cache.put(file(number), 0, &drawn(u64::from(number), 100)).expect("put");
    }
    assert!(held(&cache, file(1), 0..100));
    cache.put(file(4), 0, &drawn(4, 100)).expect("put");
    assert!(!held(&cache, file(2), 0..1), "the oldest stayed");
    assert!(held(&cache, file(1), 0..1) && held(&cache, file(3), 0..1) && held(&cache, file(4), 0..1));
    cache.put(file(5), 0, &drawn(5, 301)).expect("not kept");
    assert_eq!(cache.stats().bytes, 300);
    assert_eq!(fs::read_dir(dir.path()).expect("folder").count(), 3);
    // A piece that grows replaces nothing by mistake.
    cache.put(file(4), 0, &drawn(6, 100)).expect("the same place again");
    assert_eq!(cache.stats().bytes, 300);
    assert!(cache.get(file(4), 0..100) == Some(drawn(6, 100)));
}

#[test]
fn a_restart_keeps_what_fits_in_the_order_it_was_read() {
    let dir = tempfile::tempdir().expect("folder");
    let cache = PieceCache::open(dir.path(), 300).expect("opens");
    let day = std::time::Duration::from_secs(86_400);
    for number in 1..=3 {
        cache.put(file(number), 0, &drawn(u64::from(number), 100)).expect("put");
        let path = cache.path(file(number), (0, 100));
        let at = SystemTime::now() - day * (4 - u32::from(number));
        File::options().write(true).open(path).and_then(|file| file.set_modified(at)).expect("aged");
    }
    assert!(held(&cache, file(1), 0..1), "read now: the youngest");
    drop(cache);
    fs::write(dir.path().join("7.new"), "cut by a crash").expect("written");
    fs::write(dir.path().join("README"), "not ours").expect("written");
    let cache = PieceCache::open(dir.path(), 200).expect("opens");
    assert!(held(&cache, file(1), 0..1) && held(&cache, file(3), 0..1) && !held(&cache, file(2), 0..1));
    assert!(!dir.path().join("7.new").exists() && dir.path().join("README").exists());
}

#[test]
fn damage_is_a_miss_wherever_it_lies() {
    let dir = tempfile::tempdir().expect("folder");
    let cache = PieceCache::open(dir.path(), 1 << 20).expect("opens");
    let bytes = drawn(1, 150_000);
    let mut random = fastrand::Rng::with_seed(3);
    for case in 0..200 {
        cache.put(file(1), 0, &bytes).expect("put");
        let path = cache.path(file(1), (0, 150_000));
        let mut stored = fs::read(&path).expect("file");
        if case % 5 == 0 {
            stored.truncate(random.usize(0..stored.len()));
        } else {
            let place = if case % 2 == 0 { random.usize(0..60) } else { random.usize(0..stored.len()) };
            *stored.get_mut(place).expect("inside") ^= 1 << random.u8(0..8);
        }
        fs::write(&path, stored).expect("written");
        assert_eq!(cache.get(file(1), 0..150_000), None, "case {case}");
        assert!(!path.exists(), "what is damaged goes");
    }
    // Elsewhere in the piece it does not matter to what is read.
    cache.put(file(1), 0, &bytes).expect("put");
    let path = cache.path(file(1), (0, 150_000));
    let mut stored = fs::read(&path).expect("file");
    *stored.last_mut().expect("a byte") ^= 1;
    fs::write(&path, stored).expect("written");
    assert!(cache.get(file(1), 0..100).as_deref() == bytes.get(..100));
    assert_eq!(cache.get(file(1), 149_000..150_000), None);
}

#[test]
fn a_removed_pack_is_gone_and_does_not_come_back() {
    let dir = tempfile::tempdir().expect("folder");
    let cache = PieceCache::open(dir.path(), 1 << 20).expect("opens");
    let plain = PackFile::plain(file(1).pack);
    for start in [0, 1_000, 5_000] {
        cache.put(file(1), start, &drawn(start, 100)).expect("put");
        cache.put(plain, start, &drawn(start, 100)).expect("put");
    }
    cache.put(file(2), 0, &drawn(9, 100)).expect("put");
    assert_eq!(cache.remove(file(1).pack).expect("removed"), 6);
    // Whoever fetched it meanwhile comes too late.
    cache.put(file(1), 0, &drawn(0, 100)).expect("ignored");
    assert_eq!(cache.get(file(1), 0..1), None);
    assert_eq!(fs::read_dir(dir.path()).expect("folder").count(), 1);
    assert!(held(&cache, file(2), 0..100));
}

/// A pack far away that counts how often it is asked.
struct Far(Vec<u8>, AtomicU64);

impl ReadAt for Far {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_at(range)
    }

    fn len(&self) -> u64 {
        self.0.as_slice().len() as u64
    }
}

#[test]
fn a_range_is_fetched_once_and_then_comes_from_the_cache() {
    let dir = tempfile::tempdir().expect("folder");
    let cache = Arc::new(PieceCache::open(dir.path(), 1 << 20).expect("opens"));
    let far = Arc::new(Far(drawn(1, 100_000), AtomicU64::new(0)));
    let read = ThroughCache::new(Arc::clone(&cache), file(1), Arc::clone(&far));
    for _ in 0..3 {
        assert!(read.read_at(5_000..70_000).expect("read") == far.0.read_at(5_000..70_000).expect("inside"));
        assert!(read.read_at(6_000..6_010).expect("read") == far.0.read_at(6_000..6_010).expect("inside"));
    }
    assert_eq!(far.1.load(Ordering::Relaxed), 1);
    assert!(read.read_at(99_999..100_001).is_err(), "beyond the end");
    assert_eq!(read.len(), 100_000);
    // A pack that was destroyed meanwhile is still read by who holds it, and leaves nothing here.
    cache.remove(file(1).pack).expect("removed");
    read.read_at(5_000..70_000).expect("read");
    assert_eq!(cache.stats().pieces, 0);
}
