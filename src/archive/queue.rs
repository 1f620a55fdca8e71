//! The fair queue in front of the sequencer: every source gets its turn, however much another floods.
//!
//! Deficit round robin over sources, counted in bytes: in each round a source may bring up to one quantum,
//! so a light source's object is in the next batch whatever stands behind a heavy one.
//! Nothing here decides or writes anything.

use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Bytes a source may bring per round.
const QUANTUM: u64 = 4 * 1024 * 1024;

/// Something with a weight in bytes.
pub(crate) trait Weight {
    /// Bytes it costs to write.
    fn weight(&self) -> u64;

    /// Whether a sender came with it now; it did not with what it puts in once more.
    fn is_arrival(&self) -> bool {
        true
    }
}

/// A queue of `T` by source.
pub(crate) struct FairQueue<T> {
    lanes: Mutex<Lanes<T>>,
    ready: Condvar,
    gathered: Condvar,
}

struct Lanes<T> {
    by_source: HashMap<String, Lane<T>>,
    turn: VecDeque<String>,
    closed: bool,
    /// Items in all lanes, and their weight.
    count: usize,
    weight: u64,
    /// Whoever gathers is to be woken at this many.
    wanted: usize,
    answered: Answered,
}

/// How long the senders of a batch take to come again.
#[derive(Default)]
struct Answered {
    /// When they were answered, how many, and how many items came since.
    since: Option<(Instant, usize, usize)>,
    /// As many came again, within this time.
    returned: Option<(usize, Duration)>,
}

impl Answered {
    fn arrived(&mut self) {
        if let Some((since, senders, came)) = &mut self.since {
            *came += 1;
            if *came >= *senders {
                self.returned = Some((*senders, since.elapsed()));
                self.since = None;
            }
        }
    }
}

struct Lane<T> {
    items: VecDeque<T>,
    credit: u64,
}

impl<T: Weight> FairQueue<T> {
    pub(crate) fn new() -> Self {
        let lanes = Lanes {
            by_source: HashMap::new(),
            turn: VecDeque::new(),
            closed: false,
            count: 0,
            weight: 0,
            wanted: usize::MAX,
            answered: Answered::default(),
        };
        Self { lanes: Mutex::new(lanes), ready: Condvar::new(), gathered: Condvar::new() }
    }

    /// Puts an item behind the others of its source; gives it back when the queue is closed.
    /// Wakes nobody: whoever puts sees to it that somebody takes.
    pub(crate) fn push(&self, source: &str, item: T) -> Result<(), T> {
        let (weight, is_arrival) = (item.weight(), item.is_arrival());
        let mut lanes = self.lanes.lock();
        if lanes.closed {
            return Err(item);
        }
        if let Some(lane) = lanes.by_source.get_mut(source) {
            lane.items.push_back(item);
        } else {
            let lane = Lane { items: VecDeque::from([item]), credit: 0 };
            lanes.by_source.insert(source.to_owned(), lane);
            lanes.turn.push_back(source.to_owned());
        }
        lanes.count += 1;
        lanes.weight = lanes.weight.saturating_add(weight);
        if is_arrival {
            lanes.answered.arrived();
        }
        if lanes.count >= lanes.wanted {
            self.gathered.notify_one();
        }
        Ok(())
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting().0
    }

    /// How many items wait, and their weight.
    pub(crate) fn waiting(&self) -> (usize, u64) {
        let lanes = self.lanes.lock();
        (lanes.count, lanes.weight)
    }

    /// Waits until so many items wait, for at most this long.
    pub(crate) fn gather(&self, wanted: usize, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut lanes = self.lanes.lock();
        lanes.wanted = wanted;
        while lanes.count < wanted && !lanes.closed {
            if self.gathered.wait_until(&mut lanes, deadline).timed_out() {
                break;
            }
        }
        lanes.wanted = usize::MAX;
    }

    /// So many senders are answered now: their return is measured.
    pub(crate) fn answering(&self, senders: usize) {
        self.lanes.lock().answered.since = Some((Instant::now(), senders, 0));
    }

    /// How many senders came again since they were answered, and within what time; told once.
    pub(crate) fn returned(&self) -> Option<(usize, Duration)> {
        self.lanes.lock().answered.returned.take()
    }

    /// Wakes the thread in [`FairQueue::wait`] when something waits.
    pub(crate) fn wake(&self) {
        if !self.lanes.lock().turn.is_empty() {
            self.ready.notify_one();
        }
    }

    /// Waits until something waits; false when the queue is closed and drained.
    pub(crate) fn wait(&self) -> bool {
        let mut lanes = self.lanes.lock();
        while lanes.turn.is_empty() && !lanes.closed {
            self.ready.wait(&mut lanes);
        }
        !lanes.turn.is_empty()
    }

    /// Takes a fair batch of at most `count` items and about `bytes` bytes; empty when nothing waits.
    pub(crate) fn take(&self, count: usize, bytes: u64) -> Vec<T> {
        let mut lanes = self.lanes.lock();
        let mut batch = Vec::new();
        let mut taken = 0;
        while batch.len() < count && taken < bytes {
            let Some(source) = lanes.turn.pop_front() else { break };
            let Some(lane) = lanes.by_source.get_mut(&source) else { continue };
            lane.credit += QUANTUM;
            while let Some(weight) = lane.items.front().map(Weight::weight) {
                // A single item heavier than every credit must still pass: it goes alone.
                if (weight > lane.credit && !batch.is_empty()) || batch.len() >= count {
                    break;
                }
                lane.credit = lane.credit.saturating_sub(weight);
                taken += weight;
                batch.extend(lane.items.pop_front());
            }
            if lane.items.is_empty() {
                lanes.by_source.remove(&source);
            } else {
                lanes.turn.push_back(source);
            }
        }
        lanes.count = lanes.count.saturating_sub(batch.len());
        lanes.weight = lanes.weight.saturating_sub(taken);
        batch
    }

    /// How many items wait, by source.
    pub(crate) fn depths(&self) -> Vec<(String, usize)> {
        let lanes = self.lanes.lock();
        lanes.by_source.iter().map(|(source, lane)| (source.clone(), lane.items.len())).collect()
    }

    /// Refuses further items and drops what waits: nobody is left to take it.
    pub(crate) fn abandon(&self) {
        let mut lanes = self.lanes.lock();
        lanes.closed = true;
        lanes.by_source.clear();
        lanes.turn.clear();
        (lanes.count, lanes.weight) = (0, 0);
        drop(lanes);
        self.ready.notify_all();
        self.gathered.notify_all();
    }

    /// Whether no further items are taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.lanes.lock().closed
    }

    /// Refuses further items; what waits is still taken.
    pub(crate) fn close(&self) {
        self.lanes.lock().closed = true;
        self.ready.notify_all();
        self.gathered.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Item(&'static str, u64);
    impl Weight for Item {
        fn weight(&self) -> u64 {
            self.1
        }
    }

    fn push(queue: &FairQueue<Item>, source: &'static str, weight: u64, times: usize) {
        for _ in 0..times {
            assert!(queue.push(source, Item(source, weight)).is_ok());
        }
    }

    #[test]
    fn a_light_source_is_in_the_next_batch_of_a_flooded_queue() {
        let queue = FairQueue::new();
        push(&queue, "flood", 1 << 20, 100);
        push(&queue, "light", 5_000, 1);
        let batch = queue.take(64, 16 << 20);
        let place = batch.iter().position(|item| item.0 == "light");
        assert!(place.is_some_and(|place| place <= 5), "light stands at {place:?}");
    }

    #[test]
    fn nothing_is_lost_and_order_within_a_source_is_kept() {
        let queue = FairQueue::new();
        for weight in 0..50u64 {
            assert!(queue.push("a", Item("a", weight)).is_ok());
            assert!(queue.push("b", Item("b", 9 << 20)).is_ok());
        }
        queue.close();
        let (mut a, mut b) = (Vec::new(), 0);
        loop {
            let batch = queue.take(7, 32 << 20);
            if batch.is_empty() {
                break;
            }
            for item in batch {
                if item.0 == "a" { a.push(item.1) } else { b += 1 }
            }
        }
        assert_eq!(a, (0..50).collect::<Vec<_>>());
        assert_eq!(b, 50);
        assert!(queue.push("a", Item("a", 1)).is_err(), "closed");
    }

    #[test]
    fn gathering_ends_when_enough_came_when_patience_ends_and_when_the_queue_closes() {
        let queue = std::sync::Arc::new(FairQueue::new());
        push(&queue, "a", 1, 1);
        queue.gather(1, Duration::from_secs(3_600));
        queue.gather(2, Duration::from_millis(1));
        assert_eq!(queue.len(), 1, "nothing is taken by waiting");
        let gatherer = std::sync::Arc::clone(&queue);
        let gathering = std::thread::spawn(move || gatherer.gather(3, Duration::from_secs(3_600)));
        push(&queue, "a", 1, 1);
        push(&queue, "b", 1, 1);
        gathering.join().expect("woken at three");
        assert_eq!((queue.take(2, 1 << 20).len(), queue.waiting()), (2, (1, 1)));
        let gatherer = std::sync::Arc::clone(&queue);
        let gathering = std::thread::spawn(move || gatherer.gather(9, Duration::from_secs(3_600)));
        queue.close();
        gathering.join().expect("woken by the end");
    }

    #[test]
    fn the_return_of_those_answered_is_told_once() {
        let queue = FairQueue::new();
        assert_eq!(queue.returned(), None);
        queue.answering(2);
        push(&queue, "a", 1, 1);
        assert_eq!(queue.returned(), None, "one of two");
        push(&queue, "b", 1, 2);
        assert_eq!(queue.returned().map(|(senders, _)| senders), Some(2));
        assert_eq!(queue.returned(), None);
    }
}
