//! Forwarding: what goes on to other systems by rule, and a queue that loses nothing.
//!
//! Rules are registry data. When a series is quiet or a study complete, the tasks that rules make of it are durable
//! *before* that is recorded: a kill in between makes them once more, and the queue knows them again. How objects
//! travel is the edges' matter ([`dispatch`]).

pub mod dispatch;
mod log;
mod queue;
pub mod task;
#[cfg(test)]
mod tests;
mod unread;
mod urgent;

use crate::error::{OpenError, RegistryError, RetrieveError};
use crate::open::Archive;
use crate::registry::authorize;
use index::{InstanceRow, SeriesKey, SeriesRow, StudyKey, StudyRow};
use model::attribute::key;
use model::forward::{Arrival, ForwardFact, ForwardRule, ForwardTo, Payload, Priority, StowRoot, Trigger};
use model::{AttrKey, Caller, Destination, FacilityCode, Fact, Reach, Uid};
use parking_lot::RwLock;
use queue::{Patience, Queue, Taken};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use task::{LaneStatus, Task};
pub use unread::{AWAY_MAX, PAUSE, Unread};
use urgent::Urgent;

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;
/// Minutes of a day.
const DAY_MINUTES: i64 = 1_440;

/// How forwarding behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardOptions {
    /// Deliveries at one time, each to another destination.
    pub deliveries: usize,
    /// Times a destination may refuse something before nobody tries any more.
    pub attempts: u32,
    /// First pause after a failure; it doubles.
    pub pause: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// Age after which a task is dead whose destination cannot be reached.
    pub give_up_after: Duration,
    /// Most tasks; beyond it series stay busy until there is room.
    pub tasks_max: usize,
    /// Hours between UTC and the local time that rules mean.
    pub utc_offset: i8,
    /// Where DICOMweb services may be.
    pub reach: Reach,
}

impl Default for ForwardOptions {
    fn default() -> Self {
        Self {
            deliveries: 16,
            attempts: 8,
            pause: Duration::from_secs(5),
            pause_max: Duration::from_secs(600),
            give_up_after: Duration::from_secs(14 * 86_400),
            tasks_max: 1_000_000,
            utc_offset: 7,
            reach: Reach::default(),
        }
    }
}

/// Whom something is brought to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// A DICOM peer.
    Dicom(Destination),
    /// A DICOMweb service.
    Stow(StowRoot),
}

/// Which tasks are meant; what is left out means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chosen {
    /// One task.
    pub id: Option<u64>,
    /// Those to one destination.
    pub to: Option<ForwardTo>,
    /// Dead ones only, or living ones only.
    pub dead: Option<bool>,
}

impl Chosen {
    fn has(&self, caller: &Caller, task: &Task) -> bool {
        caller.may_see(task.facility)
            && self.id.is_none_or(|id| id == task.id)
            && self.to.as_ref().is_none_or(|to| *to == task.to)
            && self.dead.is_none_or(|dead| dead == task.dead)
    }
}

/// Rules, roots and the queue.
pub(crate) struct Forwarding {
    told: RwLock<Told>,
    queue: Queue,
    urgent: Urgent,
}

#[derive(Default)]
struct Told {
    rules: BTreeMap<String, ForwardRule>,
    roots: BTreeMap<String, StowRoot>,
    paused: BTreeSet<ForwardTo>,
}

impl Told {
    fn hear(&mut self, fact: ForwardFact) {
        match fact {
            ForwardFact::Rule(rule) => drop(self.rules.insert(rule.name.clone(), rule)),
            ForwardFact::Root(root) => drop(self.roots.insert(root.name.clone(), root)),
            ForwardFact::Pause { to, paused: true } => drop(self.paused.insert(to)),
            ForwardFact::Pause { to, paused: false } => drop(self.paused.remove(&to)),
        }
    }
}

impl Forwarding {
    /// Reads the queue of a data directory and what the registry tells.
    pub(crate) fn open(options: &crate::Options, facts: Vec<ForwardFact>) -> Result<Self, OpenError> {
        let (data, options) = (&options.data, &options.forward);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let patience = Patience {
            attempts: options.attempts,
            pause_ms: ms(options.pause),
            pause_max_ms: ms(options.pause_max),
            give_up_ms: ms(options.give_up_after),
            tasks_max: options.tasks_max,
        };
        let failed = |error| OpenError::Thread { what: format!("the forwarding queue cannot be read: {error}") };
        let queue = Queue::open(data, patience).map_err(failed)?;
        let mut told = Told::default();
        facts.into_iter().for_each(|fact| told.hear(fact));
        told.paused.iter().for_each(|to| queue.pause(to, true));
        Ok(Self { told: RwLock::new(told), queue, urgent: Urgent::default() })
    }

    /// Whether a fact is what holds.
    pub(crate) fn holds(&self, fact: &ForwardFact) -> bool {
        let told = self.told.read();
        match fact {
            ForwardFact::Rule(rule) => told.rules.get(&rule.name) == Some(rule),
            ForwardFact::Root(root) => told.roots.get(&root.name) == Some(root),
            ForwardFact::Pause { to, paused } => told.paused.contains(to) == *paused,
        }
    }
}

impl Archive {
    /// Every rule by name, removed ones too.
    pub fn forward_rules(&self) -> Vec<ForwardRule> {
        self.forwarding.told.read().rules.values().cloned().collect()
    }

    /// Every root of a DICOMweb service by name, removed ones too.
    pub fn forward_roots(&self) -> Vec<StowRoot> {
        self.forwarding.told.read().roots.values().cloned().collect()
    }

    /// Changes a rule, a root or a pause; durable on return.
    ///
    /// # Errors
    /// [`RegistryError::Forbidden`] unless the caller administers the facility of the entry, and did before; one for
    /// every facility takes an administrator of every facility.
    pub fn put_forward(&self, caller: &Caller, fact: ForwardFact) -> Result<(), RegistryError> {
        let _change = self.registry_change().lock();
        self.check_forward(caller, &fact)?;
        self.record(Fact::Forwarding(fact.clone()))?;
        if let ForwardFact::Pause { to, paused } = &fact {
            self.forwarding.queue.pause(to, *paused);
        }
        self.forwarding.told.write().hear(fact);
        Ok(())
    }

    fn check_forward(&self, caller: &Caller, fact: &ForwardFact) -> Result<(), RegistryError> {
        let invalid = |what: String| RegistryError::Invalid { what };
        let told = self.forwarding.told.read();
        match fact {
            ForwardFact::Rule(rule) => {
                authorize(caller, rule.facility)?;
                if let Some(before) = told.rules.get(&rule.name) {
                    authorize(caller, before.facility)?;
                }
                rule.check().map_err(invalid)?;
                drop(told);
                if rule.removed { Ok(()) } else { self.check_recipients(rule) }
            }
            ForwardFact::Root(root) => {
                authorize(caller, root.facility)?;
                if let Some(before) = told.roots.get(&root.name) {
                    authorize(caller, before.facility)?;
                }
                root.check().map_err(invalid)?;
                if !root.removed {
                    self.check_root(caller, root)?;
                }
                match root.facility.filter(|facility| !self.registry().read().facilities.contains_key(facility)) {
                    Some(facility) => Err(invalid(format!("facility {facility} is not registered; add it first"))),
                    None => Ok(()),
                }
            }
            ForwardFact::Pause { to, .. } => {
                drop(told);
                let facility = self.owner_of(to).ok_or_else(|| invalid(format!("there is no destination {to}")))?;
                authorize(caller, facility)
            }
        }
    }

    /// Whether the archive may call a service, and the caller may name the files it is called with.
    fn check_root(&self, caller: &Caller, root: &StowRoot) -> Result<(), RegistryError> {
        let invalid = |what: String| RegistryError::Invalid { what };
        if (root.token_file.is_some() || root.authorities.is_some()) && authorize(caller, None).is_err() {
            let what =
                "token_file and authorities are files of this machine: administrators of every facility name them";
            return Err(invalid(what.into()));
        }
        self.options().forward.reach.check_url(&root.url).map_err(|why| invalid(why.to_string()))
    }

    /// Whether every destination of a rule is there and may take what the rule is about.
    fn check_recipients(&self, rule: &ForwardRule) -> Result<(), RegistryError> {
        let invalid = |what: String| Err(RegistryError::Invalid { what });
        for to in &rule.to {
            match self.owner_of(to) {
                None => return invalid(format!("there is no destination {to}; add it first")),
                Some(Some(owner)) if rule.facility != Some(owner) => {
                    return invalid(format!("destination {to} belongs to {owner}: the rule must be for {owner} too"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The facility a destination belongs to, none for every one; outer none when there is no such destination.
    fn owner_of(&self, to: &ForwardTo) -> Option<Option<FacilityCode>> {
        match to {
            ForwardTo::Dicom(title) => {
                let registry = self.registry().read();
                registry.destinations.get(title).filter(|found| !found.removed).map(|found| found.facility)
            }
            ForwardTo::Stow(name) => {
                let told = self.forwarding.told.read();
                told.roots.get(name).filter(|found| !found.removed).map(|found| found.facility)
            }
        }
    }

    /// Whom a facility's objects are brought to under a name.
    fn recipient(&self, to: &ForwardTo, facility: FacilityCode) -> Option<Recipient> {
        self.owner_of(to).filter(|owner| owner.is_none_or(|owner| owner == facility))?;
        match to {
            ForwardTo::Dicom(title) => self.registry().read().destinations.get(title).cloned().map(Recipient::Dicom),
            ForwardTo::Stow(name) => self.forwarding.told.read().roots.get(name).cloned().map(Recipient::Stow),
        }
    }

    /// Instance Availability of a series (PS3.3 C.4.23.1.1), as far as it can be told.
    pub fn availability(&self, key: &SeriesKey) -> &'static str {
        let study = self.index().study(&key.study).ok().flatten();
        let near = study.and_then(|study| self.nearness(&study, Some(key)).ok());
        near.map_or("OFFLINE", |near| near.term())
    }

    /// How it stands with every destination that has tasks or is paused.
    pub fn forward_status(&self) -> Vec<LaneStatus> {
        self.forwarding.queue.status(self.now_ms())
    }

    /// Tasks after a number, in order, as far as the caller may see them.
    pub fn forward_tasks(&self, caller: &Caller, chosen: &Chosen, after: u64, limit: usize) -> Vec<Task> {
        self.forwarding.queue.list(after, limit, &|task| chosen.has(caller, task))
    }

    /// Tries tasks again at once, dead ones too; how many.
    ///
    /// # Errors
    /// When that cannot be made durable.
    pub fn retry_forwards(&self, caller: &Caller, chosen: &Chosen) -> Result<usize, RegistryError> {
        let retried = self.forwarding.queue.retry(self.now_ms(), &|task| chosen.has(caller, task));
        retried.map_err(|error| RegistryError::Invalid { what: format!("the queue cannot be written: {error}") })
    }

    /// Gives tasks up for good; how many. One that is being delivered stays.
    ///
    /// # Errors
    /// When that cannot be made durable.
    pub fn drop_forwards(&self, caller: &Caller, chosen: &Chosen) -> Result<usize, RegistryError> {
        let dropped = self.forwarding.queue.drop_tasks(&|task| chosen.has(caller, task));
        dropped.map_err(|error| RegistryError::Invalid { what: format!("the queue cannot be written: {error}") })
    }

    /// Makes the tasks that rules want of series that are quiet; durable on return.
    pub(crate) fn forward_series(&self, rows: &[SeriesRow]) -> Result<(), RetrieveError> {
        let rules = self.rules_waiting_for(Trigger::Series);
        if rules.is_empty() {
            return Ok(());
        }
        let mut tasks = Vec::new();
        for row in rows {
            let Some(study) = self.index().study(&row.key.study)? else { continue };
            let after = row.quiet_through.unwrap_or(0);
            let span = (after, row.last_seq, row.last_received);
            tasks.extend(self.tasks(&rules, &study, std::slice::from_ref(row), Some(&row.key.series), span)?);
        }
        self.put_tasks(tasks)
    }

    /// The same of a study that is complete.
    pub(crate) fn forward_study(&self, study: &StudyRow) -> Result<(), RetrieveError> {
        let rules = self.rules_waiting_for(Trigger::Study);
        if !rules.is_empty() {
            let span = (study.complete_through.unwrap_or(0), study.last_seq, study.last_received);
            self.put_tasks(self.tasks(&rules, study, &self.series_of(study)?, None, span)?)?;
        }
        self.forwarding.urgent.settle(study.key.facility, &study.key.study);
        Ok(())
    }

    /// An object was stored that its sender wants to be handled before others.
    pub(crate) fn note_urgent(&self, facility: FacilityCode, study: &Uid, series: &Uid) {
        self.forwarding.urgent.note(facility, study, series, self.now_ms());
    }

    fn rules_waiting_for(&self, when: Trigger) -> Vec<ForwardRule> {
        let told = self.forwarding.told.read();
        told.rules.values().filter(|rule| rule.when == when && !rule.removed && !rule.disabled).cloned().collect()
    }

    fn put_tasks(&self, tasks: Vec<Task>) -> Result<(), RetrieveError> {
        let failed = |error: queue::Full| RetrieveError::Unavailable { what: error.to_string() };
        self.forwarding.queue.put(tasks).map_err(failed)
    }

    fn tasks(
        &self,
        rules: &[ForwardRule],
        study: &StudyRow,
        series: &[SeriesRow],
        of: Option<&Uid>,
        (after, through, received): (u64, u64, u64),
    ) -> Result<Vec<Task>, RetrieveError> {
        let Some(first) = series.first() else { return Ok(Vec::new()) };
        let source = self.index().instances_of(&first.key, None, 1)?.rows.pop().map(|row| row.source);
        let (source, calling) = self.calling_of(source.unwrap_or_default());
        let text = |attributes: &model::Attributes, key: AttrKey| attributes.get(&key).cloned().unwrap_or_default();
        let mut descriptions = vec![text(&study.attributes, key::STUDY_DESCRIPTION)];
        descriptions.extend(series.iter().map(|row| text(&row.attributes, key::SERIES_DESCRIPTION)));
        let modalities: Vec<String> = series.iter().map(|row| text(&row.attributes, key::MODALITY)).collect();
        let arrival = Arrival {
            facility: study.key.facility,
            source: &source,
            calling: calling.as_ref(),
            modalities: modalities.iter().map(String::as_str).collect(),
            descriptions: descriptions.iter().map(String::as_str).collect(),
            minute: local_minute(received, self.options().forward.utc_offset),
        };
        let urgent = series.iter().any(|row| self.forwarding.urgent.is(study.key.facility, &row.key.series));
        let mut tasks = Vec::new();
        for rule in rules.iter().filter(|rule| rule.matches(&arrival)) {
            for to in &rule.to {
                let back = matches!(to, ForwardTo::Dicom(title) if Some(title) == arrival.calling);
                if back || self.recipient(to, study.key.facility).is_none() {
                    continue;
                }
                tasks.push(Task {
                    id: 0,
                    rule: rule.name.clone(),
                    to: to.clone(),
                    payload: rule.send,
                    priority: match rule.priority {
                        Priority::Routine if urgent => Priority::Stat,
                        said => said,
                    },
                    facility: study.key.facility,
                    study: study.key.study.clone(),
                    patient: study.key.patient,
                    series: of.cloned(),
                    after,
                    through,
                    made: self.now_ms(),
                    since: 0,
                    attempts: 0,
                    waits: 0,
                    due: 0,
                    error: String::new(),
                    dead: false,
                });
            }
        }
        Ok(tasks)
    }

    /// A source's name and the AE title the registry has for it.
    fn calling_of(&self, source: String) -> (String, Option<model::AeTitle>) {
        let calling = self.registry().read().source(&source).and_then(|source| source.calling.clone());
        (source, calling)
    }

    /// The objects of a task that are there now; none when they were rejected, hidden or destroyed meanwhile.
    fn forwarded_objects(&self, task: &Task) -> Result<Vec<InstanceRow>, RetrieveError> {
        let key = StudyKey { facility: task.facility, study: task.study.clone(), patient: task.patient };
        let Some(study) = self.index().study(&key)?.filter(|study| study.hidden_by.is_none()) else {
            return Ok(Vec::new());
        };
        let mut keys: Vec<SeriesKey> = match &task.series {
            Some(series) => vec![SeriesKey { study: key, series: series.clone() }],
            None => self.series_of(&study)?.into_iter().map(|row| row.key).collect(),
        };
        // A notice speaks of the whole study as it is; what else was to go on does so with the study it stands in by now.
        let notice = task.payload == Payload::Notice;
        let changed = !notice && study.version_fact != 0;
        let left = if changed { self.moved_out(&study.key)? } else { BTreeMap::new() };
        let mut studies = vec![study];
        for (series, to) in left {
            if task.series.as_ref().is_none_or(|wanted| *wanted == series) {
                let there = self.index().study(&StudyKey::from(&to))?.filter(|study| study.hidden_by.is_none());
                keys.extend(there.as_ref().map(|there| SeriesKey { study: there.key.clone(), series }));
                studies.extend(there);
            }
        }
        let mut objects = Vec::new();
        for key in keys {
            objects.extend(self.served_of(&Caller::operator(), &key)?);
        }
        objects.retain(|row| notice || (row.seq > task.after && row.seq <= task.through));
        for study in &studies {
            self.corrected(study, &mut objects)?;
        }
        Ok(objects)
    }
}

/// The minute of the local day.
fn local_minute(ms: u64, utc_offset: i8) -> u16 {
    let minutes = i64::try_from(ms).unwrap_or(0) / MINUTE_MS + i64::from(utc_offset) * 60;
    u16::try_from(minutes.rem_euclid(DAY_MINUTES)).unwrap_or(0)
}
