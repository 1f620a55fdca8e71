//! Reports of storage commitment on associations of our own, to askers whose AE title is a registered destination.
//!
//! One thread looks what is open, calls each peer once a round, and lets those that did not answer rest longer and
//! longer. What is open is durable, so a restart only forgets how long they rested.

use crate::commitment_scp::{STORAGE_COMMITMENT, event};
use crate::options::Options;
use crate::receiver::Receiver;
use crate::scu::{CallError, Peer, Proposal, Requestor};
use crate::socket::Phase;
use crate::transfer_syntax::{EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use archive::commitment::Commitment;
use model::{AeTitle, Destination, Source};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two looks at what is open.
const ROUND: Duration = Duration::from_millis(500);
/// First rest of a peer that did not answer; it doubles.
const REST_MIN: Duration = Duration::from_secs(5);
/// Longest rest.
const REST_MAX: Duration = Duration::from_secs(600);

/// Runs until the listener drains.
pub(crate) fn run<R: Receiver>(receiver: &R, options: &Options, phase: &Arc<Phase>) {
    let mut resting: HashMap<AeTitle, (Instant, Duration)> = HashMap::new();
    while !phase.is_draining() {
        std::thread::park_timeout(ROUND);
        for commitment in receiver.open_commitments(None) {
            if phase.is_draining() {
                return;
            }
            // As far as the registry of destinations looks at it.
            let source = Source::new(commitment.source.clone(), commitment.facility);
            let Some(destination) = receiver.destination(&source, &commitment.calling) else { continue };
            let rest = resting.get(&commitment.calling).copied();
            if rest.is_some_and(|(until, _)| Instant::now() < until) {
                continue;
            }
            match report(receiver, options, &destination, &commitment) {
                Ok(()) => {
                    resting.remove(&commitment.calling);
                    let (source, transaction) = (&commitment.source, &commitment.transaction);
                    tracing::info!(source, %transaction, "storage commitment reported");
                }
                Err(error) => {
                    let pause = rest.map_or(REST_MIN, |(_, pause)| pause.saturating_mul(2).min(REST_MAX));
                    let (to, seconds) = (destination.address(), pause.as_secs());
                    tracing::warn!(%error, to, seconds, "a storage commitment cannot be reported, again later");
                    resting.insert(commitment.calling.clone(), (Instant::now() + pause, pause));
                }
            }
        }
    }
}

fn report<R: Receiver>(
    receiver: &R,
    options: &Options,
    destination: &Destination,
    commitment: &Commitment,
) -> Result<(), CallError> {
    let peer = Peer::of(destination, &commitment.called, &options.client);
    let proposal = Proposal {
        abstract_syntax: STORAGE_COMMITMENT.to_owned(),
        transfer_syntaxes: vec![EXPLICIT_LITTLE_ENDIAN.to_owned(), IMPLICIT_LITTLE_ENDIAN.to_owned()],
    };
    // We call, and are the SCP all the same (PS3.4 section J.3.3).
    let mut association = Requestor::open_as_provider(&peer, &[proposal], &options.calls)?;
    let accepted = association.contexts().first().cloned();
    let accepted = accepted.ok_or_else(|| CallError::NoContext("Storage Commitment Push Model".into()))?;
    let verdict = receiver.verdict(commitment);
    let answer =
        association.event(accepted.id, |message| event(message, commitment, &verdict, &accepted.transfer_syntax))?;
    if !answer.is_success() {
        tracing::warn!(status = answer.status, comment = answer.comment, "the peer answers its report");
    }
    // It has heard; how the association ends changes nothing.
    receiver.close_commitment(commitment);
    if let Err(error) = association.release_soon() {
        tracing::debug!(%error, "releasing after a storage commitment report");
    }
    Ok(())
}
