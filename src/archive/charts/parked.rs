//! Messages that wait for what they refer to: tried again whenever something was done in their facility, in the order they
//! came in, and refused when their time is over.
//!
//! A message that cannot be tried costs itself, not those behind it; one that is tried in vain rests for a while.

use super::receive::{count, millis};
use super::sequence::{Asked, Place, Subject, subjects};
use super::writing::{Whose, Writing};
use super::{ChartError, Charts};
use model::FacilityCode;
use model::chart::{ChartBody, ChartKind, ChartRow, Handled};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Messages tried in one round.
const ROUND: usize = 200;
/// Messages of one patient tried at once when something was done for the patient.
const AT_ONCE: usize = 16;
/// Rest after the first try in vain; it doubles ...
const REST: Duration = Duration::from_millis(250);
/// ... up to this.
const REST_MAX: Duration = Duration::from_secs(5);

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parked {
    at: u64,
    until: u64,
    mrn: Option<String>,
    /// How often something was done in its facility when it was last tried.
    seen: u64,
    tries: u32,
    /// It rests until then.
    rests: u64,
    /// What it is about.
    about: BTreeSet<Subject>,
}

/// The messages that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    rows: BTreeMap<(FacilityCode, String), Parked>,
    about: HashMap<(FacilityCode, Subject), BTreeSet<Place>>,
}

impl Waiting {
    /// Messages about something.
    pub(super) fn about(&self, facility: FacilityCode, subject: &Subject) -> BTreeSet<Place> {
        // Most of the time nothing waits, and no key has to be made to see it.
        if self.about.is_empty() {
            return BTreeSet::new();
        }
        self.about.get(&(facility, subject.clone())).cloned().unwrap_or_default()
    }

    fn put(&mut self, facility: FacilityCode, id: &str, parked: Parked) {
        let before = self.remove(facility, id);
        for subject in &parked.about {
            let places = self.about.entry((facility, subject.clone())).or_default();
            places.insert((parked.at, id.to_owned()));
        }
        // What it was tried for stays known.
        let parked = match before {
            Some(before) => Parked { seen: before.seen, tries: before.tries, rests: before.rests, ..parked },
            None => parked,
        };
        self.rows.insert((facility, id.to_owned()), parked);
    }

    fn remove(&mut self, facility: FacilityCode, id: &str) -> Option<Parked> {
        let parked = self.rows.remove(&(facility, id.to_owned()))?;
        for subject in &parked.about {
            let key = (facility, subject.clone());
            let is_empty = self.about.get_mut(&key).is_some_and(|places| {
                places.remove(&(parked.at, id.to_owned()));
                places.is_empty()
            });
            if is_empty {
                self.about.remove(&key);
            }
        }
        Some(parked)
    }
}

/// A message to be tried.
struct Due {
    at: u64,
    facility: FacilityCode,
    id: String,
    /// Its time is over.
    over: bool,
}

impl Charts {
    /// Keeps the list of messages that wait. `seen`: what was done so far in its facility it has seen.
    pub(super) fn note_parked(&self, row: &ChartRow, seen: bool) {
        let ChartBody::Message(message) = &row.body else { return };
        let (facility, id) = (row.key.facility, row.key.id.clone());
        let Handled::Parked { until, .. } = message.handled else { return self.forget_parked(facility, id) };
        let seen = if seen { self.stirs(facility) } else { 0 };
        let (mrn, about) = (message.mrn.clone(), subjects(&message.waiting));
        let parked = Parked { at: message.at, until, mrn, seen, tries: 0, rests: 0, about };
        self.parked.lock().put(facility, &id, parked);
        self.say_parked();
    }

    /// A message waits no longer.
    pub(super) fn forget_parked(&self, facility: FacilityCode, id: String) {
        self.parked.lock().remove(facility, &id);
        self.say_parked();
    }

    fn say_parked(&self) {
        let count = u32::try_from(self.parked.lock().rows.len()).unwrap_or(u32::MAX);
        metrics::gauge!("khoanh_charts_parked").set(f64::from(count));
    }

    /// How often something was done in a facility, from 1.
    fn stirs(&self, facility: FacilityCode) -> u64 {
        self.stirred.lock().get(&facility).copied().unwrap_or(1)
    }

    /// Something was done: what waits may go on, and what waits for the same patient does so before the sender goes on,
    /// so that it overtakes nothing that comes later.
    pub(super) fn stir(&self, facility: FacilityCode, mrn: Option<&str>) {
        if self.parked.lock().rows.is_empty() {
            return;
        }
        let stirs = self.stirs(facility).saturating_add(1);
        self.stirred.lock().insert(facility, stirs);
        let Some(mrn) = mrn else { return };
        let is_theirs = |one: &Parked| one.mrn.as_deref().is_some_and(|of| of.trim() == mrn.trim());
        let mut due = self.due(AT_ONCE, &|of: FacilityCode, one: &Parked| of == facility && is_theirs(one));
        due.retain(|one| !one.over);
        self.try_all(&due);
    }

    /// Tries what waits: in facilities where something was done, and where its time is over. Gives how many were tried.
    pub(super) fn try_parked(&self) -> usize {
        let now = self.now_ms();
        let is_due = |facility: FacilityCode, one: &Parked| {
            one.until <= now || (one.rests <= now && one.seen < self.stirs(facility))
        };
        let due = self.due(ROUND, &is_due);
        self.try_all(&due);
        due.len()
    }

    /// The first messages that are due, in the order they came in; they count as tried.
    fn due(&self, most: usize, is_due: &dyn Fn(FacilityCode, &Parked) -> bool) -> Vec<Due> {
        let now = self.now_ms();
        let mut parked = self.parked.lock();
        let due = parked.rows.iter().filter(|((facility, _), one)| is_due(*facility, one));
        let of = |((facility, id), one): (&(FacilityCode, String), &Parked)| Due {
            at: one.at,
            facility: *facility,
            id: id.clone(),
            over: one.until <= now,
        };
        let mut due: Vec<Due> = due.map(of).collect();
        due.sort_unstable_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        due.truncate(most);
        for one in &due {
            let seen = self.stirs(one.facility);
            if let Some(parked) = parked.rows.get_mut(&(one.facility, one.id.clone())) {
                let rest = millis(REST).saturating_mul(1 << parked.tries.min(10)).min(millis(REST_MAX));
                (parked.seen, parked.rests) = (seen, now.saturating_add(rest));
                parked.tries = parked.tries.saturating_add(1);
            }
        }
        due
    }

    fn try_all(&self, due: &[Due]) {
        for one in due {
            match self.try_one(one) {
                Ok(None) => {}
                Ok(Some(handled)) => {
                    count(if handled == Handled::Done { "released" } else { "expired" });
                    // Others may have waited for it.
                    let stirs = self.stirs(one.facility).saturating_add(1);
                    self.stirred.lock().insert(one.facility, stirs);
                }
                Err(error) => {
                    tracing::warn!(facility = %one.facility, message = %one.id, %error, "a message waits and cannot be tried");
                    // Whatever stands in the way of all is said once.
                    if self.broken().is_some() || self.refuse_when_closed(Whose::Senders).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn try_one(&self, one: &Due) -> Result<Option<Handled>, ChartError> {
        // To refuse what waited in vain makes room.
        let whose = if one.over { Whose::Own } else { Whose::Senders };
        let tried = self.write_as(whose, one.facility, |writing| self.retry(writing, &one.id));
        match tried {
            Err(ChartError::Limit(why)) => self.write_as(Whose::Own, one.facility, |writing| {
                end(writing, &one.id, Handled::Refused { why }, Vec::new())
            }),
            tried => tried,
        }
    }

    /// Tries a message that waits; says what became of it if it waits no longer.
    fn retry(&self, writing: &mut Writing<'_>, id: &str) -> Result<Option<Handled>, ChartError> {
        let Some(ChartBody::Message(message)) = writing.row(ChartKind::Message, id)? else { return Ok(None) };
        let Handled::Parked { why, until } = &message.handled else { return Ok(None) };
        let place = Some((message.at, id.to_owned()));
        let came = writing.created(ChartKind::Message, id)?;
        let asked = Asked { changes: &message.waiting, source: &message.origin.source, place, came };
        let (handled, said) = self.handle(writing, &asked)?;
        let handled = match handled {
            Handled::Parked { .. } if writing.now() < *until => return Ok(None),
            Handled::Parked { .. } => Handled::Refused { why: format!("waited in vain for {why}") },
            handled => handled,
        };
        end(writing, id, handled, said)
    }
}

/// A message waits no longer.
pub(super) fn end(
    writing: &mut Writing<'_>,
    id: &str,
    handled: Handled,
    said: Vec<String>,
) -> Result<Option<Handled>, ChartError> {
    let Some(ChartBody::Message(mut message)) = writing.row(ChartKind::Message, id)? else { return Ok(None) };
    message.handled = handled.clone();
    message.handled_at = writing.now();
    message.remarks.extend(said);
    message.waiting.clear();
    writing.put(id, ChartBody::Message(message))?;
    Ok(Some(handled))
}
