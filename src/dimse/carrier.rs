//! What carries the objects of a C-MOVE: one association to the destination at a time, or several side by side.
//!
//! A destination that is down, refuses or dies is tried again by the policy of [`crate::Options`]. The first carrier
//! judges the destination; the others only help: they begin once the first has its association, and one that gets no association gives its object back and rests,
//! because many peers take one association at a time. Nobody here speaks to the asker.

use crate::association::Association;
use crate::command::Request;
use crate::options::Options;
use crate::receiver::{Receiver, Stored};
use crate::retrieval::{Fate, TICK};
use crate::scu::{self, CallError, Limits, Object, Originator, Requestor, plan};
use archive::RetrieveError;
use model::{Destination, Uid};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How often one object is begun: an object over which the peer aborts must not stop those behind it.
const OBJECT_TRIES: u32 = 2;
/// Objects in a row over which the association was lost before the destination is given up.
const LOST_MAX: u32 = 3;
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Objects that one kind of association can carry, and who has which.
pub(crate) struct Load<'a, R: Receiver> {
    receiver: &'a R,
    group: &'a plan::Group,
    objects: &'a [R::Stored],
    waiting: Mutex<VecDeque<usize>>,
    stopped: AtomicBool,
    /// Whether helpers may begin.
    reached: Mutex<bool>,
    changed: Condvar,
}

impl<'a, R: Receiver> Load<'a, R> {
    /// Nothing of it is carried yet.
    pub(crate) fn new(receiver: &'a R, group: &'a plan::Group, objects: &'a [R::Stored]) -> Self {
        let waiting = Mutex::new(group.members.iter().copied().collect());
        let (stopped, reached, changed) = (AtomicBool::new(false), Mutex::new(false), Condvar::new());
        Self { receiver, group, objects, waiting, stopped, reached, changed }
    }

    /// Takes an object that nobody carries; none when there is none or nobody shall.
    pub(crate) fn take(&self) -> Option<usize> {
        if self.is_stopped() { None } else { self.waiting.lock().pop_front() }
    }

    /// Nobody carries on, not even in the middle of an object.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether nothing waits to be carried.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn give_back(&self, member: usize) {
        self.waiting.lock().push_front(member);
    }

    /// The first has its association, ended without one, or never began.
    pub(crate) fn reach(&self) {
        *self.reached.lock() = true;
        self.changed.notify_all();
    }

    /// Waits for the first, so that a peer with room for one association gives it to that one.
    fn wait_for_first(&self) {
        let mut reached = self.reached.lock();
        while !*reached && !self.is_stopped() {
            self.changed.wait_for(&mut reached, TICK);
        }
    }

    fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}

/// A data set that ends with an error once nobody wants it any more.
struct Wanted<'a> {
    data: &'a mut dyn Read,
    stopped: &'a AtomicBool,
}

impl Read for Wanted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(io::Error::other("the asker wants no more"));
        }
        self.data.read(into)
    }
}

/// One way to the destination during one C-MOVE.
pub(crate) struct Carrier {
    peer: scu::Peer,
    originator: Originator,
    association: Option<Requestor>,
    /// Whether it judges the destination.
    first: bool,
    attempts_max: u32,
    pause_min: Duration,
    recall_limit: Duration,
    calls: Limits,
    /// Attempts left until something is taken again.
    attempts: u32,
    pause: Duration,
    /// Objects in a row over which the association was lost.
    lost: u32,
    /// Why nothing is tried any more.
    given_up: Option<String>,
}

impl Carrier {
    /// As many as the destination is registered for, at least one.
    pub(crate) fn several<R: Receiver>(
        to: &Destination,
        asked: &Association<'_, R>,
        request: &Request,
        options: &Options,
    ) -> Vec<Self> {
        let one = |nth| Self {
            peer: scu::Peer::of(to, &asked.called, &options.client),
            originator: Originator { title: asked.calling.clone(), message: request.message_id },
            association: None,
            first: nth == 0,
            attempts_max: options.move_attempts,
            pause_min: options.move_retry_pause,
            recall_limit: options.recall_limit,
            calls: options.calls,
            attempts: options.move_attempts,
            pause: options.move_retry_pause,
            lost: 0,
            given_up: None,
        };
        (0..to.associations.max(1)).map(one).collect()
    }

    /// Why it tries nothing any more.
    pub(crate) fn given_up(&self) -> Option<&str> {
        self.given_up.as_deref()
    }

    /// Carries objects, one after the other, and tells what became of each, until there are none or it gives up.
    pub(crate) fn carry<R: Receiver>(&mut self, load: &Load<'_, R>, results: &Sender<(usize, Fate)>) {
        if !self.first {
            load.wait_for_first();
        }
        self.carry_all(load, results);
        if self.first {
            load.reach();
        }
    }

    fn carry_all<R: Receiver>(&mut self, load: &Load<'_, R>, results: &Sender<(usize, Fate)>) {
        while self.given_up.is_none() {
            let Some(member) = load.take() else { return };
            let Some(object) = load.objects.get(member) else { continue };
            match self.object(load, object) {
                Some(fate) => {
                    if results.send((member, fate)).is_err() {
                        return;
                    }
                }
                None => return load.give_back(member),
            }
        }
    }

    /// Ends the association in order.
    pub(crate) fn release(&mut self) {
        if let Some(association) = self.association.take()
            && let Err(error) = association.release()
        {
            tracing::debug!(%error, "releasing the association to a destination");
        }
    }

    /// Sends one object, again where that may help; nothing when it shall not, or shall be another's.
    fn object<R: Receiver>(&mut self, load: &Load<'_, R>, object: &R::Stored) -> Option<Fate> {
        let recall_until = Instant::now() + self.recall_limit;
        let mut tries = 0;
        while !load.is_stopped() {
            match self.try_object(load, object) {
                Ok(fate) => {
                    (self.attempts, self.pause, self.lost) = (self.attempts_max, self.pause_min, 0);
                    return Some(fate);
                }
                Err(_) if load.is_stopped() => return None,
                Err(Trouble::Object(why)) => return Some(Fate::Failed(why)),
                Err(Trouble::Recalled(after)) => {
                    if Instant::now() >= recall_until {
                        return Some(Fate::Failed("still being restored from the cloud".into()));
                    }
                    load.wait(after);
                }
                Err(Trouble::Lost(error)) => {
                    self.association = None;
                    tries += 1;
                    let address = &self.peer.address;
                    tracing::warn!(%error, address, tries, "an association was lost over an object");
                    if tries < OBJECT_TRIES {
                        continue;
                    }
                    return self.lose(&error);
                }
                Err(Trouble::Call(error)) => {
                    self.association = None;
                    self.attempts = self.attempts.saturating_sub(1);
                    let (address, left) = (&self.peer.address, self.attempts);
                    tracing::warn!(%error, address, left, "reaching a destination");
                    if !self.first || self.attempts == 0 || !error.is_passing() {
                        self.given_up = Some(error.to_string());
                        return self.first.then(|| Fate::Failed(error.to_string()));
                    }
                    load.wait(self.pause);
                    self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
        }
        None
    }

    /// The association was lost over an object more than once.
    fn lose(&mut self, error: &CallError) -> Option<Fate> {
        self.lost = self.lost.saturating_add(1);
        if !self.first || self.lost >= LOST_MAX {
            self.given_up = Some(error.to_string());
        }
        // What a helper lost another tries: perhaps there were only too many of us.
        self.first.then(|| Fate::Failed(error.to_string()))
    }

    fn try_object<R: Receiver>(&mut self, load: &Load<'_, R>, object: &R::Stored) -> Result<Fate, Trouble> {
        if self.association.is_none() {
            let opened = Requestor::open(&self.peer, &load.group.proposals, &self.calls);
            self.association = Some(opened.map_err(Trouble::Call)?);
        }
        if self.first {
            load.reach();
        }
        let Some(association) = self.association.as_mut() else { return Err(Trouble::Object(String::new())) };
        let (class, stored) = (object.sop_class().as_str(), object.syntax().as_str());
        let mut offered = plan::decoded(stored).into_iter();
        let chosen = offered.find_map(|syntax| Some((association.context(class, syntax)?, syntax)));
        let Some((context, syntax)) = chosen else {
            return Err(Trouble::Object("the destination takes neither class nor transfer syntax".into()));
        };
        let syntax = Uid::parse(syntax).map_err(|_| Trouble::Object("a transfer syntax that is no UID".into()))?;
        let mut data = load.receiver.open(object, &syntax)?;
        let object = Object {
            sop_class: object.sop_class().clone(),
            sop_instance: object.sop_instance().clone(),
            originator: Some(self.originator.clone()),
        };
        match association.store(context, &object, &mut Wanted { data: &mut *data, stopped: &load.stopped }) {
            Ok(answer) => Ok(Fate::from(answer)),
            Err(CallError::Source(error)) => {
                self.association = None;
                Err(Trouble::Object(format!("it cannot be read: {error}")))
            }
            Err(error) => Err(Trouble::Lost(error)),
        }
    }
}

/// Why an object was not sent.
pub(crate) enum Trouble {
    /// It is this object's fault.
    Object(String),
    /// It is not there yet.
    Recalled(Duration),
    /// The destination cannot be reached.
    Call(CallError),
    /// The association ended while it was sent.
    Lost(CallError),
}

impl From<RetrieveError> for Trouble {
    fn from(error: RetrieveError) -> Self {
        match error {
            // A restore takes minutes; looking more often costs little.
            RetrieveError::Restoring { after } => Self::Recalled(Duration::from_secs(u64::from(after.min(10)))),
            error => Self::Object(error.to_string()),
        }
    }
}
