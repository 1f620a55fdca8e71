//! Events of steps on associations of our own, to subscribers whose AE title is a registered destination.
//!
//! One thread looks who has events waiting and nobody listening; each of them gets a thread for its queue, so that one
//! that hangs holds up nobody else. Those that do not answer rest longer and longer. The queue is durable.

use crate::options::Options;
use crate::receiver::Receiver;
use crate::scu::{CallError, Peer, Proposal, Requestor};
use crate::socket::Phase;
use crate::transfer_syntax::{EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use crate::ups_class::UPS_EVENT;
use crate::ups_events::report;
use archive::ups::{Channel, Turn};
use model::{AeTitle, Destination, FacilityCode, Source};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two looks.
const ROUND: Duration = Duration::from_millis(250);
/// Subscribers called at the same time.
const AT_ONCE: usize = 16;
/// First rest of a peer that did not answer; it doubles.
const REST_MIN: Duration = Duration::from_secs(5);
/// Longest rest.
const REST_MAX: Duration = Duration::from_secs(600);

type Key = (FacilityCode, AeTitle);
/// Who rests until when, and how long that was.
type Resting = Arc<Mutex<HashMap<Key, (Instant, Duration)>>>;

/// Runs until the listener drains.
pub(crate) fn run<R: Receiver>(receiver: &R, options: &Options, phase: &Arc<Phase>) {
    let Some(ups) = receiver.ups().cloned() else { return };
    let resting = Resting::default();
    let mut calls: Vec<JoinHandle<()>> = Vec::new();
    while !phase.is_draining() {
        std::thread::park_timeout(ROUND);
        calls.retain(|call| !call.is_finished());
        for (facility, title) in ups.waiting() {
            if calls.len() >= AT_ONCE || phase.is_draining() {
                break;
            }
            let Some(destination) = receiver.destination(&Source::new("", facility), &title) else { continue };
            let rests =
                resting.lock().get(&(facility, title.clone())).is_some_and(|(until, _)| Instant::now() < *until);
            let Some(channel) = Some(()).filter(|()| !rests).and_then(|()| ups.listen_if_free(facility, &title)) else {
                continue;
            };
            let (resting, options, phase) = (Arc::clone(&resting), options.clone(), Arc::clone(phase));
            let key = (facility, title);
            let work = move || {
                let told = tell(&channel, &destination, &options, &phase);
                settle(&resting, key, &destination, told);
            };
            match std::thread::Builder::new().name("step-event".to_owned()).spawn(work) {
                Ok(call) => calls.push(call),
                Err(error) => tracing::error!(%error, "no thread for events of procedure steps"),
            }
        }
    }
    for call in calls {
        // It ends with the operation under way, within the limits of calls.
        if call.is_finished() && call.join().is_err() {
            tracing::error!("a thread that tells events of procedure steps died");
        }
    }
}

fn settle(resting: &Resting, key: Key, destination: &Destination, told: Result<usize, CallError>) {
    let mut resting = resting.lock();
    match told {
        Ok(events) => {
            resting.remove(&key);
            tracing::info!(facility = %key.0, title = %key.1, events, "events of procedure steps told");
        }
        Err(error) => {
            let rest = resting.get(&key).map_or(REST_MIN, |(_, rest)| rest.saturating_mul(2).min(REST_MAX));
            let (to, seconds) = (destination.address(), rest.as_secs());
            tracing::warn!(%error, to, seconds, "events of procedure steps cannot be told, again later");
            resting.insert(key, (Instant::now() + rest, rest));
        }
    }
}

/// Says what waits, in order; how many events were heard.
fn tell(channel: &Channel, destination: &Destination, options: &Options, phase: &Phase) -> Result<usize, CallError> {
    // Nobody is called to be told nothing: what waits may not open now.
    if !matches!(channel.next(), Turn::Event(_)) {
        return Ok(0);
    }
    let calling = destination.calling.clone().or_else(|| AeTitle::parse("KHOANH").ok());
    let calling = calling.ok_or_else(|| CallError::Protocol("no AE title of ours".into()))?;
    let peer = Peer::of(destination, &calling, &options.client);
    let proposal = Proposal {
        abstract_syntax: UPS_EVENT.to_owned(),
        transfer_syntaxes: vec![EXPLICIT_LITTLE_ENDIAN.to_owned(), IMPLICIT_LITTLE_ENDIAN.to_owned()],
    };
    // We call, and are the SCP all the same (PS3.4 section CC.3.1).
    let mut association = Requestor::open_as_provider(&peer, &[proposal], &options.calls)?;
    let accepted = association.contexts().first().cloned();
    let accepted = accepted.ok_or_else(|| CallError::NoContext("Unified Procedure Step - Event".into()))?;
    let mut heard = 0usize;
    while let Turn::Event(event) = channel.next() {
        if phase.is_draining() {
            break;
        }
        if report(0, &event, &accepted.transfer_syntax).is_some() {
            let of = |message| report(message, &event, &accepted.transfer_syntax).unwrap_or_default();
            let answer = association.event(accepted.id, of)?;
            if !answer.is_success() {
                tracing::warn!(status = answer.status, comment = answer.comment, "the peer answers an event");
            }
        }
        channel.taken(&event);
        heard = heard.saturating_add(1);
    }
    // It has heard; how the association ends changes nothing.
    if let Err(error) = association.release_soon() {
        tracing::debug!(%error, "releasing after events of procedure steps");
    }
    Ok(heard)
}
