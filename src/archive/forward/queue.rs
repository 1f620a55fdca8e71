//! The queue: which task of which destination is next. Every change stands in the file before it counts.
//!
//! Each destination has a lane of its own, so that one that is down costs itself. It knows no rule and sends nothing.

use super::log::{Change, Log};
use super::task::{LaneStatus, Outcome, Task};
use model::forward::{ForwardTo, Priority};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How patient the queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Refusals after which a task is dead.
    pub(crate) attempts: u32,
    /// First pause after a failure in milliseconds; it doubles.
    pub(crate) pause_ms: u64,
    /// Longest pause.
    pub(crate) pause_max_ms: u64,
    /// Age after which a task that cannot be delivered is dead.
    pub(crate) give_up_ms: u64,
    /// Most tasks.
    pub(crate) tasks_max: usize,
}

impl Patience {
    /// The pause after so many failures.
    fn pause_after(&self, failures: u32) -> u64 {
        let doubled = 1u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
        self.pause_ms.saturating_mul(doubled).min(self.pause_max_ms)
    }
}

/// Why tasks were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Full {
    /// As many wait as may.
    #[error("the forwarding queue is full: see to the destinations that take nothing, or remove tasks")]
    Full,
    /// They could not be made durable.
    #[error("the forwarding queue cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// The objects of a task that its destination has taken, by `seq`: an interrupted delivery does not begin anew.
pub(crate) type Taken = Arc<Mutex<HashSet<u64>>>;

/// All tasks.
pub(crate) struct Queue {
    patience: Patience,
    inner: Mutex<Inner>,
}

struct Inner {
    log: Log,
    tasks: BTreeMap<u64, Task>,
    lanes: HashMap<ForwardTo, Lane>,
    /// Tasks by the newest object they cover, to know one that was made before a kill.
    by_through: HashMap<u64, Vec<u64>>,
    taken: HashMap<u64, Taken>,
    next: u64,
}

/// The place of a task among those that are due: its priority, since when it stands there, its number. After a failure
/// that is the end of its pause: it has its turn behind those that came meanwhile, and before those that come later.
type Turn = (Priority, u64, u64);

fn turn(task: &Task) -> Turn {
    (task.priority, task.made.max(task.due), task.id)
}

/// The tasks of one destination.
#[derive(Default)]
struct Lane {
    ready: BTreeSet<Turn>,
    later: BTreeSet<(u64, u64)>,
    dead: BTreeSet<u64>,
    running: Option<u64>,
    paused: bool,
    rest: Option<(u64, u64)>,
    error: String,
}

impl Lane {
    fn admit(&mut self, task: &Task, now: u64) {
        if task.dead {
            self.dead.insert(task.id);
        } else if task.due > now {
            self.later.insert((task.due, task.id));
        } else {
            self.ready.insert(turn(task));
        }
    }

    fn dismiss(&mut self, task: &Task) {
        self.ready.remove(&turn(task));
        self.later.remove(&(task.due, task.id));
        self.dead.remove(&task.id);
    }

    fn rests(&self, now: u64) -> bool {
        self.paused || self.rest.is_some_and(|(until, _)| now < until)
    }

    fn wake(&mut self, tasks: &BTreeMap<u64, Task>, now: u64) {
        while let Some((due, id)) = self.later.first().copied().filter(|(due, _)| *due <= now) {
            self.later.remove(&(due, id));
            self.ready.extend(tasks.get(&id).map(turn));
        }
    }
}

impl Queue {
    /// Reads what waits.
    pub(crate) fn open(data: &Path, patience: Patience) -> io::Result<Self> {
        let (log, waiting) = Log::open(data)?;
        let next = waiting.iter().map(|task| task.id).max().unwrap_or(0).saturating_add(1);
        let mut inner = Inner {
            log,
            tasks: BTreeMap::new(),
            lanes: HashMap::new(),
            by_through: HashMap::new(),
            taken: HashMap::new(),
            next,
        };
        for task in waiting {
            inner.admit(task, 0);
        }
        Ok(Self { patience, inner: Mutex::new(inner) })
    }

    /// Takes tasks; durable on return. One that is known already is not taken twice. Their numbers are given here.
    pub(crate) fn put(&self, new: Vec<Task>) -> Result<(), Full> {
        let inner = &mut *self.inner.lock();
        let known = |inner: &Inner, task: &Task| {
            let same = inner.by_through.get(&task.through).into_iter().flatten();
            same.filter_map(|id| inner.tasks.get(id)).any(|other| other.is_same(task))
        };
        let mut added = Vec::new();
        for mut task in new {
            if known(inner, &task) {
                continue;
            }
            if inner.tasks.len() >= self.patience.tasks_max {
                inner.forget(&added);
                return Err(Full::Full);
            }
            task.id = inner.next;
            inner.next = inner.next.saturating_add(1);
            added.push(task.id);
            inner.admit(task, 0);
        }
        if added.is_empty() {
            return Ok(());
        }
        if let Err(error) = inner.write(&added, true) {
            inner.forget(&added);
            return Err(error.into());
        }
        Ok(())
    }

    /// Destinations for which something is due and nobody works.
    pub(crate) fn due(&self, now: u64) -> Vec<ForwardTo> {
        let Inner { lanes, tasks, .. } = &mut *self.inner.lock();
        let due = lanes.iter_mut().filter_map(|(to, lane)| {
            lane.wake(tasks, now);
            (!lane.rests(now) && lane.running.is_none() && !lane.ready.is_empty()).then(|| to.clone())
        });
        due.collect()
    }

    /// The next task of a destination, and what of it was taken already.
    pub(crate) fn claim(&self, to: &ForwardTo, now: u64) -> Option<(Task, Taken)> {
        let Inner { lanes, tasks, taken, .. } = &mut *self.inner.lock();
        let lane = lanes.get_mut(to)?;
        lane.wake(tasks, now);
        if lane.rests(now) || lane.running.is_some() {
            return None;
        }
        let (.., id) = lane.ready.first().copied()?;
        lane.running = Some(id);
        let task = tasks.get(&id)?.clone();
        Some((task, Arc::clone(taken.entry(id).or_default())))
    }

    /// Whether a task that goes first waits behind one that is under way, or its destination was paused.
    pub(crate) fn makes_room(&self, task: &Task) -> bool {
        let inner = self.inner.lock();
        let Some(lane) = inner.lanes.get(&task.to) else { return false };
        let first = lane.ready.first().map(|(priority, ..)| *priority);
        lane.paused || first == Some(Priority::Stat) && task.priority != Priority::Stat
    }

    /// What became of a task that was claimed.
    pub(crate) fn settle(&self, id: u64, outcome: &Outcome, now: u64) {
        let inner = &mut *self.inner.lock();
        let Some(mut task) = inner.tasks.get(&id).cloned() else { return };
        let lane = inner.lanes.entry(task.to.clone()).or_default();
        lane.running = None;
        lane.dismiss(&task);
        let patience = &self.patience;
        match outcome {
            Outcome::Done => {
                (lane.rest, lane.error) = (None, String::new());
                inner.forget(&[id]);
                inner.keep(&[Change::Done(id)]);
                return;
            }
            Outcome::Interrupted => {}
            Outcome::Later(seconds, why) => {
                task.waits = task.waits.saturating_add(1);
                let pause = patience.pause_after(task.waits).max(seconds.saturating_mul(1_000));
                task.due = now.saturating_add(pause);
                task.error.clone_from(why);
                task.dead = now.saturating_sub(task.made.max(task.since)) >= patience.give_up_ms;
            }
            Outcome::Down(why) => {
                let pause = lane.rest.map_or(patience.pause_ms, |(_, pause)| pause.saturating_mul(2));
                let pause = pause.min(patience.pause_max_ms);
                lane.rest = Some((now.saturating_add(pause), pause));
                lane.error.clone_from(why);
                task.error.clone_from(why);
                task.dead = now.saturating_sub(task.made.max(task.since)) >= patience.give_up_ms;
            }
            Outcome::Refused(why) => {
                (lane.rest, lane.error) = (None, why.clone());
                task.error.clone_from(why);
                task.attempts = task.attempts.saturating_add(1);
                task.due = now.saturating_add(patience.pause_after(task.attempts));
                task.dead = task.attempts >= patience.attempts;
            }
        }
        if task.dead {
            inner.taken.remove(&id);
        }
        inner.lanes.entry(task.to.clone()).or_default().admit(&task, now);
        inner.tasks.insert(id, task.clone());
        inner.keep(&[Change::Put(task)]);
    }

    /// Tries dead tasks again, and those that rest, as far as they are chosen; how many.
    pub(crate) fn retry(&self, now: u64, chosen: &dyn Fn(&Task) -> bool) -> io::Result<usize> {
        let inner = &mut *self.inner.lock();
        let waits = |task: &&Task| task.dead || task.due > 0 || !task.error.is_empty();
        let found: Vec<Task> = inner.tasks.values().filter(waits).filter(|task| chosen(task)).cloned().collect();
        let mut changed = Vec::new();
        for mut task in found {
            let lane = inner.lanes.entry(task.to.clone()).or_default();
            lane.rest = None;
            if lane.running == Some(task.id) {
                continue;
            }
            lane.dismiss(&task);
            (task.dead, task.attempts, task.waits, task.due) = (false, 0, 0, 0);
            task.since = now;
            lane.admit(&task, 0);
            changed.push(task.id);
            inner.tasks.insert(task.id, task);
        }
        inner.write(&changed, true)?;
        Ok(changed.len())
    }

    /// Gives tasks up for good, as far as they are chosen and nobody works on them; how many.
    pub(crate) fn drop_tasks(&self, chosen: &dyn Fn(&Task) -> bool) -> io::Result<usize> {
        let inner = &mut *self.inner.lock();
        let idle = |task: &&Task| inner.lanes.get(&task.to).is_none_or(|lane| lane.running != Some(task.id));
        let gone: Vec<u64> =
            inner.tasks.values().filter(idle).filter(|task| chosen(task)).map(|task| task.id).collect();
        inner.forget(&gone);
        let changes: Vec<Change> = gone.iter().map(|id| Change::Done(*id)).collect();
        let Inner { log, tasks, .. } = inner;
        log.append(&changes, true, &mut tasks.values())?;
        Ok(gone.len())
    }

    /// Holds a destination's tasks back, or lets them go on.
    pub(crate) fn pause(&self, to: &ForwardTo, paused: bool) {
        let mut inner = self.inner.lock();
        let lane = inner.lanes.entry(to.clone()).or_default();
        lane.paused = paused;
        if !paused {
            lane.rest = None;
        }
    }

    /// Tasks after a number, in order, as far as they are chosen.
    pub(crate) fn list(&self, after: u64, limit: usize, chosen: &dyn Fn(&Task) -> bool) -> Vec<Task> {
        let inner = self.inner.lock();
        let rest = inner.tasks.range(after.saturating_add(1)..).map(|(_, task)| task);
        rest.filter(|task| chosen(task)).take(limit).cloned().collect()
    }

    /// How it stands with each destination that had tasks since the start or is paused.
    pub(crate) fn status(&self, now: u64) -> Vec<LaneStatus> {
        let inner = self.inner.lock();
        let mut all: Vec<LaneStatus> = inner
            .lanes
            .iter()
            .map(|(to, lane)| {
                let living = lane.ready.iter().map(|(.., id)| id).chain(lane.later.iter().map(|(_, id)| id));
                let made = |id: &u64| inner.tasks.get(id).map(|task| task.made);
                let stat = lane.ready.iter().take_while(|(priority, ..)| *priority == Priority::Stat).count();
                LaneStatus {
                    to: to.clone(),
                    paused: lane.paused,
                    waiting: lane.ready.len().saturating_add(lane.later.len()) as u64,
                    stat: stat as u64,
                    dead: lane.dead.len() as u64,
                    oldest: living.filter_map(made).min(),
                    resting_until: lane.rest.map(|(until, _)| until).filter(|until| *until > now),
                    error: lane.error.clone(),
                }
            })
            .collect();
        all.sort_by(|one, other| one.to.cmp(&other.to));
        all
    }
}

impl Inner {
    fn admit(&mut self, task: Task, now: u64) {
        self.lanes.entry(task.to.clone()).or_default().admit(&task, now);
        self.by_through.entry(task.through).or_default().push(task.id);
        self.tasks.insert(task.id, task);
    }

    fn forget(&mut self, ids: &[u64]) {
        for id in ids {
            let Some(task) = self.tasks.remove(id) else { continue };
            self.taken.remove(id);
            if let Some(lane) = self.lanes.get_mut(&task.to) {
                lane.dismiss(&task);
            }
            if let Some(same) = self.by_through.get_mut(&task.through) {
                same.retain(|other| other != id);
                if same.is_empty() {
                    self.by_through.remove(&task.through);
                }
            }
        }
    }

    fn write(&mut self, ids: &[u64], sync: bool) -> io::Result<()> {
        let changed = ids.iter().filter_map(|id| self.tasks.get(id)).cloned().map(Change::Put);
        let changes: Vec<Change> = changed.collect();
        self.log.append(&changes, sync, &mut self.tasks.values())
    }

    /// Notes what need not be durable: a restart only does it again.
    fn keep(&mut self, changes: &[Change]) {
        if let Err(error) = self.log.append(changes, false, &mut self.tasks.values()) {
            tracing::warn!(%error, "the forwarding queue cannot be written; after a restart something is sent again");
        }
    }
}
