//! What people ask of the outbox, and what they say: who is told, what waits, what is tried again, what changed.

use super::{LaneState, Outbox};
use crate::charts::journal::unavailable;
use crate::charts::receive::{fresh_id, millis};
use crate::charts::writing::Whose;
use crate::charts::{ChartError, Charts, PAGE_MAX};
use index::charts::{ChartCursor, ChartDriver, ChartPage, ChartQuery};
use model::chart::{
    ChartBody, ChartKey, ChartKind, ChartRow, Delivery, DeliveryState, Secret, Subscription, Target, Term, term,
};
use model::{Caller, FacilityCode};
use std::collections::{BTreeMap, BTreeSet};

/// Most subscriptions of a facility.
const SUBSCRIPTIONS_MAX: usize = 100;
/// Deliveries changed by one record.
const ROUND: usize = 200;

/// Which deliveries are meant; what is left out means all.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryFilter {
    /// Of this facility.
    pub facility: Option<FacilityCode>,
    /// To this subscription, by its id.
    pub subscription: Option<String>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// This one alone, by its id.
    pub id: Option<String>,
}

/// A part of the feed of changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// What happened, the oldest first, with the facility it happened in.
    pub events: Vec<(FacilityCode, Delivery)>,
    /// Where to go on: what happens later has a greater number.
    pub cursor: u64,
    /// Whether more is there already.
    pub more: bool,
}

fn is_meant(filter: &DeliveryFilter, row: &ChartRow, one: &Delivery) -> bool {
    !one.subscription.is_empty()
        && filter.facility.is_none_or(|facility| facility == row.key.facility)
        && filter.subscription.as_ref().is_none_or(|id| *id == one.subscription)
        && filter.state.is_none_or(|state| state == one.state)
        && filter.id.as_ref().is_none_or(|id| *id == row.key.id)
}

fn query(kind: ChartKind, facility: Option<FacilityCode>, by: Term, value: &str) -> ChartQuery {
    ChartQuery {
        kind,
        facilities: facility.map(|facility| BTreeSet::from([facility])),
        driver: ChartDriver::Equal(by, term::value(value)),
        moments: None,
        years: None,
    }
}

/// The question whose answers hold what is meant.
fn driven(filter: &DeliveryFilter) -> ChartQuery {
    let (by, value) = match (&filter.subscription, filter.state) {
        (Some(id), Some(state)) => (Term::Subscription, Delivery::lane(id, state)),
        (Some(id), None) => (Term::Subscription, id.clone()),
        (None, Some(state)) => (Term::State, state.name().to_owned()),
        (None, None) => (Term::Any, String::new()),
    };
    let number = filter.id.as_ref().and_then(|id| id.parse::<u64>().ok()).map(Delivery::moment_of);
    let moments = number.map(|moment| (moment, moment));
    ChartQuery { moments, ..query(ChartKind::Delivery, filter.facility, by, &value) }
}

impl Charts {
    /// Somebody is told of what happens in a facility from now on; gives the id of the subscription.
    ///
    /// # Errors
    /// [`ChartError::Invalid`] where it cannot be served, [`ChartError::Unknown`] where the caller may not see the facility,
    /// [`ChartError::Limit`] where the facility has too many.
    pub fn subscribe(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        subscription: Subscription,
    ) -> Result<String, ChartError> {
        if !caller.may_see(facility) {
            return Err(ChartError::Unknown("facility"));
        }
        self.check_subscription(&subscription, None)?;
        self.write(facility, |writing| {
            if writing.find(ChartKind::Subscription, Term::Any, "", SUBSCRIPTIONS_MAX)?.len() >= SUBSCRIPTIONS_MAX {
                return Err(ChartError::Limit(format!("a facility has at most {SUBSCRIPTIONS_MAX} subscriptions")));
            }
            let (id, at) = (fresh_id(writing.now())?, writing.now());
            let subscription = Subscription { at, ..subscription };
            writing.put(&id, ChartBody::Subscription(Box::new(subscription)))?;
            Ok(id)
        })
    }

    /// Nobody is told any more; what waits goes to the dead ones.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] where there is no such subscription for the caller.
    pub fn unsubscribe(&self, caller: &Caller, facility: FacilityCode, id: &str, by: &str) -> Result<(), ChartError> {
        // Nothing goes out meanwhile, and nothing waits for a subscription that is gone.
        self.pause_subscription(caller, facility, id, true)?;
        tracing::info!(%facility, subscription = id, by, "a subscription is removed");
        let name = (facility, id.to_owned());
        loop {
            let numbers = self.outbox.waiting(&name, ROUND);
            if numbers.is_empty() {
                break;
            }
            self.kill(facility, &numbers)?;
        }
        self.write(facility, |writing| writing.remove(ChartKind::Subscription, id))?;
        // What happened since the last look waits for nobody; what is not done now the sweep does.
        if let Err(error) = self.bury_orphans() {
            tracing::warn!(%error, "what waits for a removed subscription cannot be ended, again later");
        }
        Ok(())
    }

    /// Deliveries of a subscription that goes, or is gone, wait no more.
    fn kill(&self, facility: FacilityCode, numbers: &[u64]) -> Result<(), ChartError> {
        self.write_as(Whose::Own, facility, |writing| {
            for seq in numbers {
                let id = Delivery::id(*seq);
                let Some(ChartBody::Delivery(mut one)) = writing.row(ChartKind::Delivery, &id)? else { continue };
                if one.state != DeliveryState::Waiting {
                    continue;
                }
                (one.state, one.ended) = (DeliveryState::Dead, writing.now());
                one.error = "the subscription was removed".to_owned();
                writing.put(&id, ChartBody::Delivery(one))?;
            }
            Ok(())
        })
    }

    /// Ends what waits for subscriptions that are gone: nobody will ever be told. Gives how many were found.
    pub(in crate::charts) fn bury_orphans(&self) -> Result<usize, ChartError> {
        let mut found = 0usize;
        loop {
            let some = self.outbox.orphans(ROUND);
            if some.is_empty() {
                return Ok(found);
            }
            found = found.saturating_add(some.len());
            let mut by_facility = BTreeMap::<FacilityCode, Vec<u64>>::new();
            for (facility, seq) in some {
                by_facility.entry(facility).or_default().push(seq);
            }
            for (facility, numbers) in by_facility {
                self.kill(facility, &numbers)?;
                self.outbox.forget_orphans(facility, &numbers);
            }
        }
    }

    /// Changes where a subscription leads to, what it is told of and how; its id, and what waits for it, stay.
    ///
    /// # Errors
    /// What `change` refuses; [`ChartError::Invalid`] where it could not be served any more, [`ChartError::Unknown`] where there is no such
    /// subscription for the caller.
    pub fn change_subscription(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        id: &str,
        change: impl FnOnce(&mut Subscription) -> Result<(), ChartError>,
    ) -> Result<(), ChartError> {
        let unknown = || ChartError::Unknown("subscription");
        if !caller.may_see(facility) || ChartKey::new(ChartKind::Subscription, facility, id).is_err() {
            return Err(unknown());
        }
        self.write(facility, |writing| match writing.row(ChartKind::Subscription, id)? {
            Some(ChartBody::Subscription(mut one)) => {
                let before = one.target.clone();
                change(&mut one)?;
                // One that may not be told any more can still be held back.
                if one.paused && before.url() == one.target.url() {
                    one.check_after(Some(&before)).map_err(ChartError::Invalid)?;
                } else {
                    self.check_subscription(&one, Some(&before))?;
                }
                writing.put(id, ChartBody::Subscription(one))
            }
            _ => Err(unknown()),
        })
    }

    /// Sends nothing to a subscription for now, or again; what happens meanwhile waits.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] where there is no such subscription for the caller.
    pub fn pause_subscription(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        id: &str,
        paused: bool,
    ) -> Result<(), ChartError> {
        let unknown = || ChartError::Unknown("subscription");
        if !caller.may_see(facility) || ChartKey::new(ChartKind::Subscription, facility, id).is_err() {
            return Err(unknown());
        }
        self.write(facility, |writing| match writing.row(ChartKind::Subscription, id)? {
            Some(ChartBody::Subscription(mut one)) if one.paused != paused => {
                one.paused = paused;
                writing.put(id, ChartBody::Subscription(one))
            }
            Some(_) => Ok(()),
            None => Err(unknown()),
        })
    }

    /// Subscriptions, the newest first. Their secrets are left out.
    ///
    /// # Errors
    /// As [`Charts::find`].
    pub fn subscriptions(
        &self,
        caller: &Caller,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        let mut page = self.find(caller, &query(ChartKind::Subscription, None, Term::Any, ""), after, limit)?;
        for row in &mut page.rows {
            let ChartBody::Subscription(one) = &mut row.body else { continue };
            match &mut one.target {
                Target::Hl7 { .. } => {}
                Target::Webhook { secret, .. } => *secret = Secret::default(),
                Target::RestHook { headers, .. } => {
                    headers.iter_mut().for_each(|(_, value)| *value = Secret::default());
                }
            }
        }
        Ok(page)
    }

    /// How it stands with every subscription the caller may see.
    pub fn outbox(&self, caller: &Caller) -> Vec<LaneState> {
        let mut states = self.outbox.states(self.now_ms());
        states.retain(|state| caller.may_see(state.facility));
        states
    }

    /// Deliveries, the oldest first. A page may be short and still have a cursor.
    ///
    /// # Errors
    /// As [`Charts::find`].
    pub fn deliveries(
        &self,
        caller: &Caller,
        filter: &DeliveryFilter,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        let mut page = self.find(caller, &driven(filter), after, limit)?;
        page.rows.retain(|row| matches!(&row.body, ChartBody::Delivery(one) if is_meant(filter, row, one)));
        Ok(page)
    }

    /// Tries deliveries again in their turn: dead ones, and those that rest after a try in vain. Says how many.
    ///
    /// # Errors
    /// As [`Charts::find`]; [`ChartError::Unavailable`] where it cannot be recorded.
    pub fn retry_deliveries(&self, caller: &Caller, filter: &DeliveryFilter) -> Result<usize, ChartError> {
        let mut retried = 0usize;
        for state in [DeliveryState::Waiting, DeliveryState::Dead] {
            if filter.state.is_some_and(|wanted| wanted != state) {
                continue;
            }
            let filter = DeliveryFilter { state: Some(state), ..filter.clone() };
            let mut after = None;
            loop {
                let page = self.deliveries(caller, &filter, after, ROUND)?;
                let mut by_facility = BTreeMap::<FacilityCode, Vec<String>>::new();
                for row in page.rows {
                    by_facility.entry(row.key.facility).or_default().push(row.key.id);
                }
                for (facility, ids) in by_facility {
                    retried = retried.saturating_add(self.retry_some(facility, &ids)?);
                }
                after = page.cursor;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(retried)
    }

    fn retry_some(&self, facility: FacilityCode, ids: &[String]) -> Result<usize, ChartError> {
        self.write(facility, |writing| {
            let mut retried = 0usize;
            for id in ids {
                let Some(ChartBody::Delivery(mut one)) = writing.row(ChartKind::Delivery, id)? else { continue };
                // Where nobody is told any more, nothing can be tried.
                let nobody = writing.row(ChartKind::Subscription, &one.subscription)?.is_none();
                let rests = one.state == DeliveryState::Waiting && one.next > 0;
                if nobody || !(rests || one.state == DeliveryState::Dead) {
                    continue;
                }
                (one.state, one.tries, one.next, one.ended) = (DeliveryState::Waiting, 0, 0, 0);
                writing.put(id, ChartBody::Delivery(one))?;
                retried = retried.saturating_add(1);
            }
            Ok(retried)
        })
    }

    /// What changed after a place in the feed, the oldest first: in facilities the caller may see. Without a place it
    /// begins with the oldest that is kept.
    ///
    /// # Errors
    /// [`ChartError::Conflict`] where what followed the place is not kept any more; as [`Charts::find`].
    pub fn changes(&self, caller: &Caller, after: Option<u64>, limit: usize) -> Result<Changes, ChartError> {
        let kept = self.now_ms().saturating_sub(millis(self.options.messages));
        if after.is_some_and(|after| after < Outbox::first_of(kept)) {
            let why = "what followed this place is not kept any more: begin anew, without a place";
            return Err(ChartError::Conflict(why.into()));
        }
        let after = after.unwrap_or(0);
        let told = self.outbox.told();
        let moments = Delivery::moment_of(after).checked_sub(1).map(|last| (0, last));
        let query = ChartQuery {
            moments,
            ..query(ChartKind::Delivery, None, Term::Subscription, &Delivery::lane("", DeliveryState::Delivered))
        };
        let mut page = self.find(caller, &query, None, limit.min(PAGE_MAX))?;
        // A page may be empty and not the last.
        while page.rows.is_empty() && page.cursor.is_some() {
            page = self.find(caller, &query, page.cursor, limit.min(PAGE_MAX))?;
        }
        let of = |row: ChartRow| match row.body {
            ChartBody::Delivery(one) => Some((row.key.facility, *one)),
            _ => None,
        };
        let events: Vec<_> = page.rows.into_iter().filter_map(of).collect();
        let last = events.last().map(|(_, one)| one.seq);
        let more = page.cursor.is_some();
        // Where nothing more is there, whoever goes on need not pass what is of other facilities again.
        let cursor = if more { last.unwrap_or(after) } else { last.unwrap_or(after).max(told.max(after)) };
        Ok(Changes { events, cursor, more })
    }

    /// Number of the newest line of the feed, of all facilities: where it grows, something happened.
    pub fn newest_change(&self) -> u64 {
        self.outbox.told()
    }

    /// Removes what was delivered, or given up, or told, before a moment; gives how many rows.
    pub(in crate::charts) fn forget_deliveries(&self, bound: u64) -> Result<u64, ChartError> {
        let ended = [
            (Term::Subscription, Delivery::lane("", DeliveryState::Delivered)),
            (Term::State, DeliveryState::Delivered.name().to_owned()),
            (Term::State, DeliveryState::Dead.name().to_owned()),
        ];
        let moments = Some((Delivery::moment_of(Outbox::first_of(bound)), u64::MAX));
        let mut gone = 0u64;
        for (by, value) in ended {
            let query = ChartQuery { moments, ..query(ChartKind::Delivery, None, by, &value) };
            let mut after = None;
            loop {
                let page = self.view.find(&query, after, ROUND).map_err(unavailable)?;
                let mut old = BTreeMap::<FacilityCode, Vec<ChartKey>>::new();
                for row in page.rows {
                    old.entry(row.key.facility).or_default().push(row.key);
                }
                for (facility, keys) in old {
                    gone = gone.saturating_add(u64::try_from(keys.len()).unwrap_or(u64::MAX));
                    self.write_as(Whose::Own, facility, |writing| {
                        keys.iter().try_for_each(|key| writing.remove(key.kind, &key.id))
                    })?;
                }
                after = page.cursor;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(gone)
    }
}
