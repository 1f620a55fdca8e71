//! Segments: batches over their borders, recycling, release, and reads by range.

use crate::disk::SimDisk;
use crate::scenario::{SEGMENT, all, bytes, inline, open, options};
use std::sync::Arc;
use store::{Body, Journal, Record, StoreError};

fn fill(journal: &Journal, random: &mut fastrand::Rng, segments: usize) {
    while journal.segments().len() < segments {
        journal.append(&[inline(&[7; 30], &bytes(random, 9000))]).expect("append");
        journal.sync().expect("sync");
    }
}

#[test]
fn a_recycled_segment_replays_nothing_of_its_former_records() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    fill(&journal, &mut random, 3);
    let oldest = journal.segments()[0];
    let mut old_place = None;
    let each = &mut |record: store::Replayed<'_>| {
        old_place.get_or_insert(record.place);
        Ok::<(), StoreError>(())
    };
    journal.replay(1, each).expect("replay");
    let old_place = old_place.expect("a record");

    journal.release(oldest.number).expect("release");
    assert!(matches!(journal.read(&old_place, 0..10), Err(StoreError::Gone { .. })));
    let first_kept = journal.segments()[0].first_lsn;
    fill(&journal, &mut random, 3);

    let again = journal.segments().into_iter().find(|s| s.number == oldest.number).expect("recycled");
    assert_eq!(again.generation, oldest.generation + 1);
    assert!(matches!(journal.read(&old_place, 0..10), Err(StoreError::Gone { .. })));
    let last = journal.last();
    // One more start after a kill, with the old generation's whole records still behind the end.
    drop(journal);
    disk.restart();
    let (journal, recovery) = open(&disk).expect("open");
    assert_eq!(recovery.torn, None, "old records are no torn tail (seed {seed})");
    let found = all(&journal).expect("replay");
    let numbers: Vec<u64> = found.keys().copied().collect();
    assert_eq!(numbers, (first_kept..=last).collect::<Vec<u64>>(), "seed {seed}");
}

#[test]
fn a_released_segment_stays_released_whenever_the_power_goes() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new();
        let (journal, _) = open(&disk).expect("open");
        fill(&journal, &mut random, 3);
        let (oldest, next) = (journal.segments()[0], journal.segments()[1]);
        journal.release(oldest.number).expect("release");
        disk.cut_power_after(random.u64(0..20));
        for _ in 0..20 {
            let _ = journal.append(&[inline(b"x", &bytes(&mut random, 9000))]);
        }
        drop(journal);
        disk.power_loss(seed);

        let (journal, _) = open(&disk).expect("open");
        let found = all(&journal).expect("replay");
        assert_eq!(found.keys().next(), Some(&next.first_lsn), "seed {seed}");
    }
}

#[test]
fn a_release_whose_sync_failed_does_not_bring_overwritten_records_back() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new();
        let (journal, _) = open(&disk).expect("open");
        fill(&journal, &mut random, 3);
        let oldest = journal.segments()[0];
        disk.fail_sync_after(1);
        journal.sync().expect("sync");
        journal.release(oldest.number).expect_err("the sync of the header fails");
        drop(journal);
        disk.restart();

        // The page says free, the disk says in use; the segment is taken and partly overwritten.
        let (journal, _) = open(&disk).expect("open");
        while journal.segments().iter().all(|segment| segment.number != oldest.number || segment.generation < 2) {
            journal.append(&[inline(b"x", &bytes(&mut random, 9000))]).expect("append");
        }
        drop(journal);
        disk.power_loss(seed);

        let (journal, _) = open(&disk).expect("open");
        all(&journal).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    }
}

#[test]
fn spare_segments_beyond_the_limit_give_their_space_back() {
    let mut random = fastrand::Rng::with_seed(1);
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    fill(&journal, &mut random, 6);
    let segments = journal.segments();
    for segment in &segments[..4] {
        journal.release(segment.number).expect("release");
    }
    let lens: Vec<usize> =
        disk.files().iter().filter_map(|path| disk.contents(path)).map(|bytes| bytes.len()).collect();
    assert_eq!(lens.iter().filter(|len| **len == 4096).count(), 2, "{lens:?}");
    assert!(matches!(journal.release(segments[5].number), Err(StoreError::Options(_))), "the active one stays");
    let next = segments[4].first_lsn;
    fill(&journal, &mut random, 7);
    journal.close().expect("close");
    disk.restart();
    let (journal, _) = open(&disk).expect("open");
    assert_eq!(all(&journal).expect("replay").keys().next(), Some(&next));
}

#[test]
fn a_batch_over_several_segments_is_whole_and_a_record_too_large_leaves_nothing() {
    let mut random = fastrand::Rng::with_seed(2);
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    let batch: Vec<Record> = (0..20).map(|_| inline(b"head", &bytes(&mut random, 12_000))).collect();
    let places = journal.append(&batch).expect("append");
    assert!(places.last().expect("places").1.segment > 3);
    journal.sync().expect("sync");

    let too_large = [inline(b"small", b""), inline(b"large", &vec![1; SEGMENT as usize])];
    assert!(matches!(journal.append(&too_large), Err(StoreError::TooLarge { .. })));
    assert_eq!(journal.last(), 20);
    journal.append(&[Record { head: Vec::new(), body: Body::None }]).expect("goes on");

    drop(journal);
    disk.restart();
    let (journal, _) = open(&disk).expect("open");
    assert_eq!(all(&journal).expect("replay").len(), 21);
}

#[test]
fn any_range_reads_what_was_written() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = SimDisk::new();
    let mut options = options(&["/journal"]);
    options.segment_bytes = 1 << 20;
    let (journal, _) = Journal::open(Arc::new(disk), options).expect("open");
    let body = bytes(&mut random, 300_000);
    let place = journal.append(&[inline(b"head", &body)]).expect("append")[0].1.clone();
    for _ in 0..300 {
        let start = random.usize(0..=body.len());
        let end = random.usize(start..=body.len());
        let read = journal.read(&place, start as u64..end as u64).expect("read");
        assert!(read == body[start..end], "seed {seed}: {start}..{end}");
    }
    let beyond = journal.read(&place, 0..body.len() as u64 + 1);
    assert!(matches!(beyond, Err(StoreError::Range { .. })), "{beyond:?}");
}

#[test]
fn a_replay_starts_anywhere_and_ends_where_the_caller_says() {
    let mut random = fastrand::Rng::with_seed(5);
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    fill(&journal, &mut random, 3);
    let last = journal.last();
    for from in 1..=last + 1 {
        let mut seen = Vec::new();
        let each = &mut |record: store::Replayed<'_>| {
            seen.push(record.lsn);
            Ok::<(), StoreError>(())
        };
        journal.replay(from, each).expect("replay");
        assert_eq!(seen, (from..=last).collect::<Vec<u64>>());
    }
    let mut seen = 0;
    let stopped = journal.replay(1, &mut |_| {
        seen += 1;
        if seen == 3 { Err(StoreError::Poisoned) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(StoreError::Poisoned)));
    assert_eq!(seen, 3);
}

#[test]
fn many_threads_append_and_sync_at_once() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..100u8 {
                    let places = journal.append(&[inline(&[thread, number], &[thread; 500])]).expect("append");
                    let synced = journal.sync().expect("sync");
                    assert!(synced >= places[0].0, "a sync covers what was appended before it");
                }
            });
        }
    });
    drop(journal);
    disk.power_loss(1);
    let (journal, _) = open(&disk).expect("open");
    assert_eq!(all(&journal).expect("replay").len(), 400);
}
