//! Handing things from thread to thread without spinning: a promise of one answer, and a short bounded line.
//!
//! The usual channels spin and yield before they sleep. Here every second core is busy with a sender, so that
//! only takes time from it: five yields an object were measured. These sleep at once.
//! Nothing here knows what is handed over.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// The giver's end of one answer; dropped without one, the asker learns that nobody will answer.
pub(crate) struct Promise<T>(Arc<Slot<T>>);

/// The asker's end.
pub(crate) struct Awaited<T>(Arc<Slot<T>>);

struct Slot<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

enum State<T> {
    Open,
    Given(T),
    Gone,
}

/// A promise and where its answer arrives.
pub(crate) fn promise<T>() -> (Promise<T>, Awaited<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Open), ready: Condvar::new() });
    (Promise(Arc::clone(&slot)), Awaited(slot))
}

impl<T> Promise<T> {
    /// Answers; an asker that went away does not matter.
    pub(crate) fn keep(self, value: T) {
        *self.0.state.lock() = State::Given(value);
        self.0.ready.notify_one();
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Open) {
            *state = State::Gone;
            drop(state);
            self.0.ready.notify_one();
        }
    }
}

impl<T> Awaited<T> {
    /// Waits for the answer; none when nobody will give one.
    pub(crate) fn wait(self) -> Option<T> {
        let mut state = self.0.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::Gone) {
                State::Open => *state = State::Open,
                State::Given(value) => return Some(value),
                State::Gone => return None,
            }
            self.0.ready.wait(&mut state);
        }
    }
}

/// The front of a bounded line.
pub(crate) struct Front<T>(Arc<Line<T>>);

/// The end of a bounded line where things are taken off.
pub(crate) struct End<T>(Arc<Line<T>>);

struct Line<T> {
    room: usize,
    inner: Mutex<Inner<T>>,
    changed: Condvar,
}

struct Inner<T> {
    waiting: VecDeque<T>,
    front_gone: bool,
    end_gone: bool,
    /// The taker sleeps and owes nothing.
    idle: bool,
}

/// A line in which at most `room` things wait.
pub(crate) fn line<T>(room: usize) -> (Front<T>, End<T>) {
    let inner = Inner { waiting: VecDeque::with_capacity(room), front_gone: false, end_gone: false, idle: false };
    let line = Arc::new(Line { room, inner: Mutex::new(inner), changed: Condvar::new() });
    (Front(Arc::clone(&line)), End(line))
}

impl<T> Front<T> {
    /// Puts a thing into the line, waiting for room; gives it back when nobody takes any more.
    pub(crate) fn put(&self, thing: T) -> Result<(), T> {
        let mut inner = self.0.inner.lock();
        while inner.waiting.len() >= self.0.room && !inner.end_gone {
            self.0.changed.wait(&mut inner);
        }
        if inner.end_gone {
            return Err(thing);
        }
        inner.waiting.push_back(thing);
        drop(inner);
        self.0.changed.notify_all();
        Ok(())
    }

    /// Whether everything put so far was taken and dealt with, and the taker waits for more.
    pub(crate) fn is_idle(&self) -> bool {
        let inner = self.0.inner.lock();
        inner.idle && inner.waiting.is_empty() && !inner.end_gone
    }
}

impl<T> Drop for Front<T> {
    fn drop(&mut self) {
        self.0.inner.lock().front_gone = true;
        self.0.changed.notify_all();
    }
}

impl<T> End<T> {
    /// Waits for the next thing; none when there will be none. Calling again says that the last is dealt with.
    pub(crate) fn take(&self) -> Option<T> {
        let mut inner = self.0.inner.lock();
        inner.idle = true;
        while inner.waiting.is_empty() && !inner.front_gone {
            self.0.changed.wait(&mut inner);
        }
        inner.idle = false;
        let thing = inner.waiting.pop_front();
        drop(inner);
        self.0.changed.notify_all();
        thing
    }

    /// Waits until there is a next thing, for as long as said; false when there is none.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        let mut inner = self.0.inner.lock();
        while inner.waiting.is_empty() && !inner.front_gone {
            if self.0.changed.wait_until(&mut inner, deadline).timed_out() {
                break;
            }
        }
        !inner.waiting.is_empty()
    }

    /// The sum of something over all that wait.
    pub(crate) fn sum(&self, of: impl Fn(&T) -> usize) -> usize {
        self.0.inner.lock().waiting.iter().map(of).sum()
    }

    /// The next thing if there is one.
    pub(crate) fn take_more(&self) -> Option<T> {
        let thing = self.0.inner.lock().waiting.pop_front();
        if thing.is_some() {
            self.0.changed.notify_all();
        }
        thing
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.end_gone = true;
        inner.waiting.clear();
        drop(inner);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_answer_arrives_once_and_a_dropped_promise_is_an_answer_too() {
        let (promise, awaited) = super::promise();
        let asker = std::thread::spawn(move || awaited.wait());
        promise.keep(7);
        assert_eq!(asker.join().expect("asker"), Some(7));

        let (promise, awaited) = super::promise::<u8>();
        let asker = std::thread::spawn(move || awaited.wait());
        drop(promise);
        assert_eq!(asker.join().expect("asker"), None);

        let (promise, awaited) = super::promise();
        drop(awaited);
        promise.keep(1);
    }

    #[test]
    fn a_line_keeps_order_is_bounded_and_ends_with_its_front() {
        let (front, end) = line(2);
        let putter = std::thread::spawn(move || (0..1_000).for_each(|n| front.put(n).expect("taken")));
        let mut taken = Vec::new();
        while let Some(thing) = end.take() {
            taken.push(thing);
            assert!(end.0.inner.lock().waiting.len() <= 2, "more than its room waits");
            taken.extend(end.take_more());
        }
        putter.join().expect("putter");
        assert_eq!(taken, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn the_taker_is_idle_only_when_it_came_back_for_more() {
        let (front, end) = line(2);
        assert!(!front.is_idle(), "it never came");
        let (dealt, wait) = super::promise();
        let taker = std::thread::spawn(move || {
            assert_eq!(end.take(), Some(1));
            assert_eq!(wait.wait(), Some(()));
            assert_eq!(end.take(), None);
        });
        front.put(1).expect("taken");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !front.0.inner.lock().waiting.is_empty() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!front.is_idle(), "it is still dealing with the first");
        dealt.keep(());
        while !front.is_idle() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(front.is_idle(), "it waits for more");
        drop(front);
        taker.join().expect("taker");
    }

    #[test]
    fn waiting_for_more_ends_with_more_with_time_and_with_the_front() {
        let (front, end) = line(2);
        assert!(!end.wait_until(Instant::now()), "nothing came");
        front.put(5).expect("room");
        front.put(6).expect("room");
        assert!(end.wait_until(Instant::now() + Duration::from_secs(3_600)));
        assert_eq!(end.sum(|thing| *thing), 11);
        assert_eq!((end.take_more(), end.take_more(), end.take_more()), (Some(5), Some(6), None));
        let waiting = std::thread::spawn(move || end.wait_until(Instant::now() + Duration::from_secs(3_600)));
        drop(front);
        assert!(!waiting.join().expect("woken by the end"));
    }

    #[test]
    fn a_line_without_a_taker_gives_things_back() {
        let (front, end) = line(1);
        front.put(1).expect("room");
        let putter = std::thread::spawn(move || front.put(2));
        drop(end);
        assert_eq!(putter.join().expect("putter"), Err(2));
    }
}
