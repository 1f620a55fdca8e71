//! The threads that bring tasks to their destinations: one for each destination with something due, up to a limit.
//!
//! How objects travel is the edges' matter: they hand in a [`Carrier`] each. Every thread is joined at the end, for one
//! that holds the archive while the process ends may end it by an abort.

use super::task::{Outcome, Task};
use super::{Recipient, Taken, Unread};
use crate::error::{OpenError, RetrieveError};
use crate::open::{Archive, spawn};
use crate::serving::{Serving, Work};
use index::InstanceRow;
use metrics::counter;
use model::forward::{ForwardTo, Payload};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pace of looking for what is due.
const PACE: Duration = Duration::from_millis(100);

/// A way to bring objects somewhere.
pub trait Carrier: Send + Sync {
    /// Brings a parcel, telling `watch` of each object that was taken; what was taken before is not in it.
    fn carry(&self, parcel: &Parcel, watch: &Watch<'_>) -> Outcome;

    /// Ends every delivery at once, from another thread.
    fn stop(&self);
}

/// What is to be brought.
pub struct Parcel {
    /// Where objects are read.
    pub archive: Arc<Archive>,
    /// The task.
    pub task: Task,
    /// Whom to.
    pub to: Recipient,
    /// The objects; of a notice, those it speaks of.
    pub objects: Vec<InstanceRow>,
}

/// What a carrier asks and tells on its way.
pub struct Watch<'a> {
    archive: &'a Archive,
    task: &'a Task,
    stop: &'a AtomicBool,
    taken: &'a Taken,
}

impl Watch<'_> {
    /// Whether the next object may go; otherwise the delivery ends as [`Outcome::Interrupted`].
    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && !self.archive.forwarding.queue.makes_room(self.task)
    }

    /// The destination has taken an object.
    pub fn took(&self, object: &InstanceRow) {
        self.taken.lock().insert(object.seq);
        let to = self.task.to.to_string();
        counter!("khoanh_forward_objects_total", "to" => to.clone()).increment(1);
        counter!("khoanh_forward_bytes_total", "to" => to).increment(object.file_len);
    }
}

/// The edges' carriers.
pub struct Carriers {
    /// C-STORE and notices.
    pub dicom: Box<dyn Carrier>,
    /// STOW-RS.
    pub stow: Box<dyn Carrier>,
}

/// The running threads.
pub struct Dispatcher(Serving<Shared>);

struct Shared {
    archive: Arc<Archive>,
    carriers: Carriers,
    stop: AtomicBool,
}

impl Dispatcher {
    /// Begins to forward.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(archive: &Arc<Archive>, carriers: Carriers) -> Result<Self, OpenError> {
        let shared = Shared { archive: Arc::clone(archive), carriers, stop: AtomicBool::new(false) };
        Ok(Self(Serving::start("forward", shared)?))
    }

    /// Ends the deliveries under way; what was not taken is brought after the next start. False when a thread still
    /// runs after `limit`.
    pub fn shutdown(self, limit: Duration) -> bool {
        self.0.shutdown(limit)
    }
}

impl Work for Shared {
    fn run(self: &Arc<Self>) {
        run(self);
    }

    fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.carriers.dicom.stop();
        self.carriers.stow.stop();
    }
}

fn run(shared: &Arc<Shared>) {
    let mut workers: Vec<JoinHandle<()>> = Vec::new();
    let most = shared.archive.options().forward.deliveries;
    while !shared.stop.load(Ordering::SeqCst) {
        workers.retain(|worker| !worker.is_finished());
        for to in shared.archive.forwarding.queue.due(shared.archive.now_ms()) {
            if workers.len() >= most {
                break;
            }
            let working = Arc::clone(shared);
            match spawn("forwarding", move || serve(&working, &to)) {
                Ok(worker) => workers.push(worker),
                Err(error) => tracing::error!(%error, "forwarding"),
            }
        }
        std::thread::park_timeout(PACE);
    }
    for worker in workers {
        if worker.join().is_err() {
            tracing::error!("a thread that forwards died");
        }
    }
}

/// A claimed task, which goes back into the queue whatever happens.
struct Claim<'a> {
    archive: &'a Archive,
    id: u64,
    outcome: Outcome,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.archive.forwarding.queue.settle(self.id, &self.outcome, self.archive.now_ms());
    }
}

/// Brings what is due to one destination until nothing is.
fn serve(shared: &Shared, to: &ForwardTo) {
    let archive = &shared.archive;
    while !shared.stop.load(Ordering::SeqCst) {
        let Some((task, taken)) = archive.forwarding.queue.claim(to, archive.now_ms()) else { return };
        let died = Outcome::Refused("the thread that brought it died: a defect of the archive".into());
        let mut claim = Claim { archive, id: task.id, outcome: died };
        let watch = Watch { archive, task: &task, stop: &shared.stop, taken: &taken };
        claim.outcome = deliver(shared, &task, &taken, &watch);
        tell(&task, &claim.outcome);
    }
}

fn deliver(shared: &Shared, task: &Task, taken: &Taken, watch: &Watch<'_>) -> Outcome {
    let archive = &shared.archive;
    let Some(to) = archive.recipient(&task.to, task.facility) else {
        return Outcome::Refused("the destination is not registered for this facility any more".into());
    };
    let mut objects = match archive.forwarded_objects(task) {
        Ok(objects) => objects,
        Err(RetrieveError::NotFound) => Vec::new(),
        Err(error) => return Unread::of(&error.into()).into(),
    };
    if matches!(&to, Recipient::Dicom(destination) if destination.as_received) {
        objects.iter_mut().for_each(|object| object.correction = None);
    }
    objects.retain(|object| !taken.lock().contains(&object.seq));
    if objects.is_empty() {
        // Everything was taken, or it was rejected, hidden or destroyed meanwhile.
        return Outcome::Done;
    }
    let carrier = match &to {
        Recipient::Dicom(_) => &shared.carriers.dicom,
        Recipient::Stow(_) => &shared.carriers.stow,
    };
    carrier.carry(&Parcel { archive: Arc::clone(archive), task: task.clone(), to, objects }, watch)
}

fn tell(task: &Task, outcome: &Outcome) {
    let (id, rule, to) = (task.id, &task.rule, task.to.to_string());
    let label = match outcome {
        Outcome::Done => "done",
        Outcome::Refused(_) => "refused",
        Outcome::Down(_) => "down",
        Outcome::Later(..) => "later",
        Outcome::Interrupted => "interrupted",
    };
    counter!("khoanh_forward_deliveries_total", "to" => to.clone(), "outcome" => label).increment(1);
    let notice = task.payload == Payload::Notice;
    match outcome {
        Outcome::Done => tracing::info!(id, rule, to, notice, "forwarded"),
        Outcome::Refused(why) => tracing::warn!(id, rule, to, why, "forwarding: the destination refuses"),
        Outcome::Down(why) => tracing::warn!(id, rule, to, why, "forwarding: the destination cannot be reached"),
        Outcome::Later(seconds, why) => tracing::info!(id, rule, to, seconds, why, "forwarding: later"),
        Outcome::Interrupted => tracing::info!(id, rule, to, "forwarding: interrupted, to go on"),
    }
}
