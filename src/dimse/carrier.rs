//! What carries the objects of a C-MOVE: one association to the destination at a time, or several side by side.
//!
//! A destination that is down, refuses or dies is tried again by the policy of [`crate::Options`]. The first carrier
//! judges the destination; the others only help: they begin once the first has its association, and one that gets no association gives its object back and rests,
//! because many peers take one association at a time. While an object is sent the next one is read ([`crate::ahead`]).
//! Nobody here speaks to the asker.

use crate::ahead::{Ahead, Shelf, Want};
use crate::association::Association;
use crate::command::Request;
use crate::options::Options;
use crate::receiver::{Receiver, Stored};
use crate::retrieval::{Fate, TICK};
use crate::scu::{self, CONTEXTS_MAX, CallError, Limits, Object, Originator, Proposal, Requestor, plan};
use archive::RetrieveError;
use model::{Destination, Uid};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
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
    shelf: Shelf<'a, R>,
    group: &'a plan::Group,
    /// Among how many it is shared.
    carriers: usize,
    waiting: Mutex<VecDeque<usize>>,
    /// Whether helpers may begin.
    reached: Mutex<bool>,
    changed: Condvar,
}

impl<'a, R: Receiver> Load<'a, R> {
    /// Nothing of it is carried yet; as many as said will.
    pub(crate) fn new(shelf: Shelf<'a, R>, group: &'a plan::Group, carriers: usize) -> Self {
        let waiting = Mutex::new(group.members.iter().copied().collect());
        let (reached, changed) = (Mutex::new(false), Condvar::new());
        Self { shelf, group, carriers, waiting, reached, changed }
    }

    /// Takes an object that nobody carries; none when there is none or nobody shall.
    pub(crate) fn take(&self) -> Option<usize> {
        if self.is_stopped() { None } else { self.waiting.lock().pop_front() }
    }

    /// Has the next object read for an association while another is sent, where enough are left for the others.
    fn read_next(&self, association: &Requestor, ahead: &mut Ahead<'_, R>) {
        if ahead.pending().is_some() || self.is_stopped() || self.waiting.lock().len() < self.carriers {
            return;
        }
        let Some(member) = self.take() else { return };
        let object = self.shelf.object(member);
        let wanted = object.and_then(|object| way(association, object, member).ok());
        // What this association does not take fails in its own turn.
        if !wanted.is_some_and(|(_, want)| ahead.ask(want)) {
            self.give_back(member);
        }
    }

    /// Nobody carries on, not even in the middle of an object.
    pub(crate) fn stop(&self) {
        self.shelf.stop();
    }

    /// Whether nothing waits to be carried.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    fn is_stopped(&self) -> bool {
        self.shelf.is_stopped()
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

/// One way to the destination during one C-MOVE.
pub(crate) struct Carrier {
    peer: scu::Peer,
    originator: Originator,
    association: Option<Requestor>,
    /// What was proposed for it.
    proposed: Vec<Proposal>,
    /// Whether it stands since an earlier request and has carried nothing for this one.
    rested: bool,
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
            proposed: Vec::new(),
            rested: false,
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

    /// Keeps an association that stands and carries what a group needs; any other is ended.
    pub(crate) fn settle(&mut self, needed: &[Proposal]) {
        let stands = self.association.as_mut().is_some_and(Requestor::is_quiet);
        if !stands {
            self.association = None;
        } else if needed.iter().all(|one| self.proposed.contains(one)) {
            self.rested = true;
        } else {
            self.release();
        }
    }

    /// Carries objects, one after the other, and tells what became of each, until there are none or it gives up.
    pub(crate) fn carry<R: Receiver>(&mut self, load: &Load<'_, R>, results: &Sender<(usize, Fate)>) {
        if !self.first {
            load.wait_for_first();
        }
        std::thread::scope(|scope| {
            let mut ahead = Ahead::start(scope, &load.shelf);
            self.carry_all(load, &mut ahead, results);
            if let Some(member) = ahead.pending() {
                load.give_back(member);
            }
        });
        if self.first {
            load.reach();
        }
    }

    fn carry_all<R: Receiver>(
        &mut self,
        load: &Load<'_, R>,
        ahead: &mut Ahead<'_, R>,
        results: &Sender<(usize, Fate)>,
    ) {
        while self.given_up.is_none() {
            let Some(member) = ahead.pending().or_else(|| load.take()) else { return };
            let fate = self.object(load, ahead, member);
            ahead.leave(member);
            match fate {
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
    fn object<R: Receiver>(&mut self, load: &Load<'_, R>, ahead: &mut Ahead<'_, R>, member: usize) -> Option<Fate> {
        let recall_until = Instant::now() + self.recall_limit;
        let mut tries = 0;
        while !load.is_stopped() {
            match self.try_object(load, ahead, member) {
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
                    if std::mem::take(&mut self.rested) {
                        // It had gone while nobody used it: that is nobody's fault.
                        continue;
                    }
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

    fn associate<R: Receiver>(&mut self, load: &Load<'_, R>) -> Result<(), Trouble> {
        if self.association.is_none() {
            // What was proposed before may be asked for again.
            let mut proposals = load.group.proposals.clone();
            proposals.extend(self.proposed.iter().filter(|one| !load.group.proposals.contains(one)).cloned());
            proposals.truncate(CONTEXTS_MAX);
            let opened = Requestor::open(&self.peer, &proposals, &self.calls);
            self.association = Some(opened.map_err(Trouble::Call)?);
            (self.proposed, self.rested) = (proposals, false);
        }
        if self.first {
            load.reach();
        }
        Ok(())
    }

    fn try_object<R: Receiver>(
        &mut self,
        load: &Load<'_, R>,
        ahead: &mut Ahead<'_, R>,
        member: usize,
    ) -> Result<Fate, Trouble> {
        self.associate(load)?;
        let (Some(association), Some(object)) = (self.association.as_mut(), load.shelf.object(member)) else {
            return Err(Trouble::Object(String::new()));
        };
        let (context, want) = way(association, object, member)?;
        let data = ahead.take(&want)?;
        load.read_next(association, ahead);
        let object = Object {
            sop_class: object.sop_class().clone(),
            sop_instance: object.sop_instance().clone(),
            originator: Some(self.originator.clone()),
        };
        match association.store_outgoing(context, &object, data, &|| !load.is_stopped()) {
            Ok(answer) => {
                self.rested = false;
                Ok(Fate::from(answer))
            }
            Err(CallError::Unsent(error)) => Err(Trouble::unread(&error)),
            Err(CallError::Source(error)) => {
                self.association = None;
                Err(Trouble::unread(&error))
            }
            Err(error) => Err(Trouble::Lost(error)),
        }
    }
}

/// The context an object goes out in, and how it is read for that.
fn way(association: &Requestor, object: &impl Stored, member: usize) -> Result<(u8, Want), Trouble> {
    let (class, stored) = (object.sop_class().as_str(), object.syntax().as_str());
    let mut offered = plan::decoded(stored).into_iter();
    let chosen = offered.find_map(|syntax| Some((association.context(class, syntax)?, syntax)));
    let Some((context, syntax)) = chosen else {
        return Err(Trouble::Object("the destination takes neither class nor transfer syntax".into()));
    };
    let syntax = Uid::parse(syntax).map_err(|_| Trouble::Object("a transfer syntax that is no UID".into()))?;
    Ok((context, Want { member, syntax, shape: association.shape() }))
}

/// The associations a C-MOVE leaves open: the next one of the same asker often goes to the same destination.
pub(crate) struct Rested {
    destination: Destination,
    carriers: Vec<Carrier>,
    since: Instant,
}

impl Rested {
    /// What is left of a C-MOVE; none when no association is.
    pub(crate) fn of(destination: &Destination, carriers: Vec<Carrier>) -> Option<Self> {
        let some = carriers.iter().any(|carrier| carrier.association.is_some());
        some.then(|| Self { destination: destination.clone(), carriers, since: Instant::now() })
    }

    /// When the C-MOVE ended.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Gives them to the carriers of another request, where that goes to the same destination; else they are ended.
    pub(crate) fn pass_on(mut self, destination: &Destination, carriers: &mut [Carrier]) {
        if self.destination == *destination {
            for (next, last) in carriers.iter_mut().zip(&mut self.carriers) {
                next.association = last.association.take();
                next.proposed = std::mem::take(&mut last.proposed);
            }
        }
        self.release();
    }

    /// Ends them in order.
    pub(crate) fn release(mut self) {
        self.carriers.iter_mut().for_each(Carrier::release);
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

impl Trouble {
    /// For an object that breaks off.
    pub(crate) fn unread(error: &io::Error) -> Self {
        Self::Object(format!("it cannot be read: {error}"))
    }
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
