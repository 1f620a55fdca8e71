//! Creating, reading and changing steps (PS3.4 sections CC.1.1, CC.2.1, CC.2.2, CC.2.5 to CC.2.7).
//!
//! Deliberately not here: what a step must hold ([`super::rules`]).

use super::event::{self, Event, EventKind};
use super::record::UpsRecord;
use super::rules::{self, text};
use super::state::Step;
use super::{DOCUMENT_MAX, Document, Remark, STEPS_MAX, StepState, UPS_CLASS, Ups, UpsError};
use super::{bloom, fresh_uid, tag, time};
use model::{Caller, FacilityCode, PackId, Uid};
use serde_json::json;

/// A step on its way into the journal.
struct Draft {
    facility: FacilityCode,
    uid: Uid,
    created: u64,
    state: StepState,
    transaction: Option<Uid>,
    document: Document,
    /// Its key; none where it has none yet.
    seal: Option<PackId>,
}

/// What happened to it.
type News = Vec<(EventKind, Document)>;

fn allowed(caller: &Caller, facility: FacilityCode) -> Result<(), UpsError> {
    if caller.may_see(facility) { Ok(()) } else { Err(UpsError::Unknown) }
}

impl Ups {
    /// Creates a step (N-CREATE), under a UID of its own where none is given; durable on return.
    ///
    /// # Errors
    /// What is wrong with it; nothing is kept then.
    pub fn create(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        uid: Option<Uid>,
        document: Document,
    ) -> Result<(Uid, Option<Remark>), UpsError> {
        allowed(caller, facility)?;
        let mut document = rules::sound(document)?;
        let modified = rules::create(&mut document, facility)?;
        let uid = uid.map_or_else(|| fresh_uid(self.now_ms()), Ok)?;
        if [super::GLOBAL, super::FILTERED].contains(&uid.as_str()) {
            return Err(UpsError::Duplicate);
        }
        document.insert(tag::SOP_CLASS.into(), json!({"vr": "UI", "Value": [UPS_CLASS]}));
        document.insert(tag::SOP_INSTANCE.into(), json!({"vr": "UI", "Value": [uid.as_str()]}));
        let _change = self.change.lock();
        let created = {
            let state = self.state.read();
            if state.step(facility, &uid).is_some() {
                return Err(UpsError::Duplicate);
            }
            if state.shelves.get(&facility).is_some_and(|shelf| shelf.steps.len() >= STEPS_MAX) {
                return Err(UpsError::Limit(format!("the facility has {STEPS_MAX} steps")));
            }
            state.next()
        };
        let mut news = vec![(EventKind::State, event::state_report(&document, StepState::Scheduled))];
        if event::has_items(&document, tag::STATION_NAME) || event::has_items(&document, tag::HUMAN_PERFORMERS) {
            news.push((EventKind::Assigned, event::assigned(&document)));
        }
        let (state, transaction, seal) = (StepState::Scheduled, None, None);
        let draft = Draft { facility, uid: uid.clone(), created, state, transaction, document, seal };
        self.keep(draft, None, news)?;
        metrics::counter!("khoanh_ups_steps_total").increment(1);
        Ok((uid, modified.then_some(Remark::Modified)))
    }

    /// The data set of a step (N-GET), without its Transaction UID.
    ///
    /// # Errors
    /// [`UpsError::Unknown`], or [`UpsError::Unavailable`] when it cannot be read.
    pub fn get(&self, caller: &Caller, facility: FacilityCode, uid: &Uid) -> Result<Document, UpsError> {
        allowed(caller, facility)?;
        Ok(self.load(facility, uid)?.1)
    }

    /// Sets attributes of a step (N-SET); durable on return.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn update(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        uid: &Uid,
        transaction: Option<&Uid>,
        changes: Document,
    ) -> Result<(), UpsError> {
        allowed(caller, facility)?;
        let mut changes = rules::sound(changes)?;
        changes.remove(tag::TRANSACTION);
        changes.remove(tag::MODIFIED);
        let _change = self.change.lock();
        let (step, before) = self.load(facility, uid)?;
        match step.state {
            StepState::Scheduled if transaction.is_some() => return Err(UpsError::NotInProgress),
            StepState::InProgress if step.transaction.as_ref() != transaction => return Err(UpsError::Transaction),
            state if state.is_final() => return Err(UpsError::Ended),
            _ => {}
        }
        rules::update(&changes, &before)?;
        if changes.iter().all(|(name, member)| before.get(name) == Some(member)) {
            return Ok(());
        }
        let mut document = before.clone();
        document.extend(changes);
        let differs = |name: &str| before.get(name) != document.get(name);
        let mut news = News::new();
        if differs(tag::READINESS) {
            news.push((EventKind::State, event::state_report(&document, step.state)));
        }
        if differs(tag::PROGRESS) {
            news.push((EventKind::Progress, event::progress_report(&document)));
        }
        if differs(tag::STATION_NAME) || differs(tag::HUMAN_PERFORMERS) {
            news.push((EventKind::Assigned, event::assigned(&document)));
        }
        let draft = Draft {
            facility,
            uid: uid.clone(),
            created: step.created,
            state: step.state,
            transaction: step.transaction,
            document,
            seal: step.seal,
        };
        self.keep(draft, Some(&before), news)
    }

    /// Changes the state of a step (N-ACTION, action type 1); durable on return.
    ///
    /// # Errors
    /// Why not (PS3.4 table CC.1.1-2); nothing has changed then.
    pub fn change_state(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        uid: &Uid,
        wanted: StepState,
        transaction: Option<&Uid>,
    ) -> Result<Option<Remark>, UpsError> {
        allowed(caller, facility)?;
        let _change = self.change.lock();
        let (step, before) = self.load(facility, uid)?;
        if wanted == StepState::Scheduled {
            return Err(UpsError::OnlyCreated);
        }
        let transaction = transaction.ok_or(UpsError::Transaction)?;
        // A step nobody has taken has no Transaction UID that could be wrong.
        if step.transaction.as_ref().is_some_and(|right| right != transaction) {
            return Err(UpsError::Transaction);
        }
        match (step.state, wanted) {
            (StepState::Scheduled, StepState::InProgress) => {}
            (StepState::Scheduled, _) => return Err(UpsError::NotInProgress),
            (StepState::InProgress, StepState::InProgress) => return Err(UpsError::InProgress),
            (StepState::InProgress, _) => rules::end(&before, wanted)?,
            (StepState::Completed, StepState::Completed) => return Ok(Some(Remark::AlreadyCompleted)),
            (StepState::Canceled, StepState::Canceled) => return Ok(Some(Remark::AlreadyCanceled)),
            _ => return Err(UpsError::Ended),
        }
        self.enter(facility, uid, &step, &before, (wanted, Some(transaction.clone())))?;
        Ok(None)
    }

    /// Asks for the cancel of a step (N-ACTION, action type 2): done where nobody has taken it, else told its followers.
    ///
    /// # Errors
    /// Why not.
    pub fn request_cancel(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        uid: &Uid,
        by: &str,
        request: Document,
    ) -> Result<Option<Remark>, UpsError> {
        allowed(caller, facility)?;
        let request = rules::sound(request)?;
        let _change = self.change.lock();
        let (step, mut document) = self.load(facility, uid)?;
        match step.state {
            StepState::Completed => Err(UpsError::Completed),
            StepState::Canceled => Ok(Some(Remark::AlreadyCanceled)),
            StepState::InProgress => {
                let (to, seq) = {
                    let state = self.state.read();
                    (state.followers(facility, uid, step.created, &[&document]), state.next())
                };
                if to.is_empty() {
                    return Err(UpsError::NobodyListens);
                }
                let (kind, info) = (EventKind::CancelRequested, event::cancel_requested(by, &request));
                let event = Event { seq, facility, uid: uid.clone(), kind, info, at: self.now_ms(), to };
                self.commit(UpsRecord::Events { events: vec![event] }, None)?;
                Ok(None)
            }
            StepState::Scheduled => {
                rules::canceled(&mut document, &request, self.now_ms());
                // The standard has it pass through IN PROGRESS; nobody sees it there, but the events say so.
                self.enter(facility, uid, &step, &document, (StepState::Canceled, step.transaction.clone()))?;
                Ok(None)
            }
        }
    }

    /// Puts a step into a state.
    fn enter(
        &self,
        facility: FacilityCode,
        uid: &Uid,
        step: &Step,
        before: &Document,
        (state, transaction): (StepState, Option<Uid>),
    ) -> Result<(), UpsError> {
        let mut document = before.clone();
        document.insert(tag::STATE.into(), json!({"vr": "CS", "Value": [state.term()]}));
        let mut news = News::new();
        if step.state == StepState::Scheduled && state == StepState::Canceled {
            news.push((EventKind::State, event::state_report(&document, StepState::InProgress)));
        }
        news.push((EventKind::State, event::state_report(&document, state)));
        let (created, seal) = (step.created, step.seal);
        let draft = Draft { facility, uid: uid.clone(), created, state, transaction, document, seal };
        self.keep(draft, Some(before), news)
    }

    /// Records a step as it is now, with its events for those who follow it.
    fn keep(&self, draft: Draft, before: Option<&Document>, news: News) -> Result<(), UpsError> {
        let Draft { facility, uid, created, state, transaction, mut document, seal } = draft;
        let at = self.now_ms();
        document.insert(tag::MODIFIED.into(), json!({"vr": "DT", "Value": [time::date_time(at)]}));
        let body = serde_json::to_vec(&document).map_err(|error| UpsError::Invalid(error.to_string()))?;
        if body.len() > DOCUMENT_MAX {
            return Err(UpsError::Limit(format!("a step has at most {DOCUMENT_MAX} bytes")));
        }
        // The key is durable before the record that needs it; one whose record never came is of no use to anybody.
        let seal = seal.map_or_else(|| self.new_seal(facility), Ok)?;
        let body = self.sealed(facility, seal, &body)?;
        let (to, mut seq) = {
            let known = self.state.read();
            let views: Vec<&Document> = before.into_iter().chain([&document]).collect();
            (known.followers(facility, &uid, created, &views), known.next().max(created.saturating_add(1)))
        };
        let mut events = Vec::new();
        for (kind, info) in news.into_iter().filter(|_| !to.is_empty()) {
            events.push(Event { seq, facility, uid: uid.clone(), kind, info, at, to: to.clone() });
            seq = seq.saturating_add(1);
        }
        let (start, marks) = (text(&document, tag::START).to_owned(), bloom::halves(bloom::marks(&document)));
        let seal = Some(seal);
        let record = UpsRecord::Step { facility, uid, created, at, state, transaction, start, marks, seal, events };
        self.commit(record, Some(body))
    }

    /// A step with its data set.
    pub(super) fn load(&self, facility: FacilityCode, uid: &Uid) -> Result<(Step, Document), UpsError> {
        let mut tried = None;
        loop {
            let step = self.state.read().step(facility, uid).cloned().ok_or(UpsError::Unknown)?;
            match self.read(facility, &step) {
                // It was moved meanwhile.
                Err(_) if tried != Some(step.lsn) => tried = Some(step.lsn),
                read => return Ok((step, read?)),
            }
        }
    }

    pub(super) fn read(&self, facility: FacilityCode, step: &Step) -> Result<Document, UpsError> {
        let failed = |error: String| UpsError::Unavailable(error);
        let bytes = self.journal.read(&step.place, 0..step.place.body_len).map_err(|e| failed(e.to_string()))?;
        match step.seal {
            Some(seal) => self.unsealed(facility, seal, &bytes),
            None => serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string())),
        }
    }
}
