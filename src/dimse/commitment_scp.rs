//! Storage Commitment Push Model as a provider (PS3.4 annex J): N-ACTION asks, N-EVENT-REPORT answers.
//!
//! The question is durable before N-ACTION is answered. Its report goes to the destination registered under the AE
//! title of the asker, on an association of our own, again and again for a week; without such a destination it goes
//! on the same association at once, else on the next one the asker opens with this class.

use crate::association::{Association, End};
use crate::command::{self, Request, Response};
use crate::meter;
use crate::negotiate::{Context, Service};
use crate::pdu;
use crate::receiver::Receiver;
use crate::status::{self, Failure};
use archive::commitment::{Commitment, CommitmentError, Verdict};
use dataset::references;
use model::Uid;
use std::time::{Duration, Instant};

/// Storage Commitment Push Model SOP Class.
pub const STORAGE_COMMITMENT: &str = "1.2.840.10008.1.20.1";
/// Its one well-known instance.
pub(crate) const WELL_KNOWN: &str = "1.2.840.10008.1.20.1.1";
/// Action Type ID: request storage commitment.
const REQUEST: u16 = 1;
/// Silence of a peer before reports that wait are sent to it.
const PAUSE: Duration = Duration::from_millis(250);
/// Reports under way on one association.
const REPORTS_MAX: usize = 64;

/// A report that was sent on this association and not answered yet.
#[derive(Debug)]
pub(crate) struct Report {
    message: u16,
    commitment: Commitment,
}

impl<R: Receiver> Association<'_, R> {
    /// Takes the question that follows an N-ACTION-RQ and answers that it was taken.
    pub(crate) fn action(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let begun = Instant::now();
        let list = self.gather_data_set(id, request, self.options.commitment_bytes_max)?;
        let taken = list.and_then(|bytes| self.take_commitment(context, request, &bytes));
        let commitment = match taken {
            Ok(commitment) => commitment,
            Err(failure) => {
                self.log_refusal("N-ACTION", &failure);
                meter::commitment(&failure.status.label(), begun.elapsed());
                return self.answer_failure(id, request, &failure);
            }
        };
        self.answer(id, request, status::SUCCESS, "")?;
        meter::commitment(&status::SUCCESS.label(), begun.elapsed());
        let (source, objects) = (&self.source.id, commitment.objects.len());
        tracing::info!(source, objects, transaction = %commitment.transaction, "storage commitment asked");
        let ripe = self.receiver.is_ripe(&commitment);
        if ripe && self.receiver.destination(&self.source, &self.calling).is_none() {
            self.report(id, context, commitment)?;
        }
        Ok(())
    }

    fn take_commitment(&self, context: &Context, request: &Request, bytes: &[u8]) -> Result<Commitment, Failure> {
        if context.service != Service::Commitment {
            return Err(Failure::new(status::MISTYPED_ARGUMENT, "N-ACTION on a context of another service"));
        }
        if request.sop_class.as_deref() != Some(STORAGE_COMMITMENT) {
            let comment = "not the SOP Class of the presentation context";
            return Err(Failure::new(status::SOP_CLASS_NOT_SUPPORTED, comment));
        }
        if request.sop_instance.as_deref() != Some(WELL_KNOWN) {
            return Err(Failure::new(status::NO_SUCH_INSTANCE, "not the well-known SOP Instance"));
        }
        if request.action != Some(REQUEST) {
            return Err(Failure::new(status::NO_SUCH_ACTION, "Action Type ID 1 is the only one"));
        }
        let wrong = |comment: &str| Failure::new(status::INVALID_ARGUMENT, comment);
        let list = references::read(bytes, context.transfer_syntax.as_str()).map_err(|error| Failure {
            detail: error.to_string(),
            ..wrong("the list is no data set of its transfer syntax")
        })?;
        let transaction = Uid::parse(&list.transaction).map_err(|_| wrong("Transaction UID is missing or no UID"))?;
        if list.objects.is_empty() {
            return Err(wrong("Referenced SOP Sequence is missing or empty"));
        }
        let pair = |(class, instance): &(String, String)| Some((Uid::parse(class).ok()?, Uid::parse(instance).ok()?));
        let objects: Option<Vec<(Uid, Uid)>> = list.objects.iter().map(pair).collect();
        let commitment = Commitment {
            transaction,
            facility: self.source.facility,
            source: self.source.id.clone(),
            calling: self.calling.clone(),
            called: self.called.clone(),
            objects: objects.ok_or_else(|| wrong("a referenced UID is missing or no UID"))?,
            asked: 0,
            web: false,
            duplicate: false,
        };
        self.receiver.ask_commitment(commitment).map_err(|error| match error {
            CommitmentError::TooMany => Failure::new(status::RESOURCE_LIMITATION, "too many open commitments"),
            CommitmentError::Duplicate => Failure::new(status::PROCESSING_FAILURE, "the Transaction UID is in use"),
            CommitmentError::Io(error) => {
                Failure { detail: error.to_string(), ..Failure::new(status::PROCESSING_FAILURE, "not kept, ask again") }
            }
        })
    }

    /// Whether reports wait for this peer, and it has opened an association that takes them.
    pub(crate) fn has_waiting_reports(&self) -> bool {
        self.commitment_context().is_some()
            && self.receiver.destination(&self.source, &self.calling).is_none()
            && !self.receiver.open_commitments(Some((&self.source, &self.calling))).is_empty()
    }

    fn commitment_context(&self) -> Option<(u8, Context)> {
        let found = self.contexts.iter().find(|(_, context)| context.service == Service::Commitment);
        found.map(|(id, context)| (*id, context.clone()))
    }

    /// Sends the reports that wait once the peer is silent for a moment: a report that follows the acceptance of the
    /// association at once meets some toolkits before they listen, and they abort.
    pub(crate) fn report_in_a_pause(&mut self, waiting: &mut bool) -> Result<(), End> {
        if !*waiting || !self.wire.source().is_silent_for(PAUSE).map_err(End::Lost)? {
            return Ok(());
        }
        *waiting = false;
        let Some((id, context)) = self.commitment_context() else { return Ok(()) };
        for commitment in self.receiver.open_commitments(Some((&self.source, &self.calling))) {
            let said = |report: &Report| report.commitment.transaction == commitment.transaction;
            if !self.reports.iter().any(said) {
                self.report(id, &context, commitment)?;
            }
        }
        Ok(())
    }

    fn report(&mut self, id: u8, context: &Context, commitment: Commitment) -> Result<(), End> {
        if self.reports.len() >= REPORTS_MAX {
            return Ok(());
        }
        let verdict = self.receiver.verdict(&commitment);
        let taken = self.reports.last().map_or(0, |report| report.message);
        let message = taken.wrapping_add(1);
        let (command, data) = event(message, &commitment, &verdict, context.transfer_syntax.as_str());
        let mut out = Vec::new();
        pdu::message_pdus(id, &command, &data, self.peer_pdu_bytes_max, &mut out);
        self.wire.source().send(&out).map_err(End::Lost)?;
        self.reports.push(Report { message, commitment });
        Ok(())
    }

    /// A response came: it must answer one of our reports.
    pub(crate) fn report_answered(&mut self) -> Result<(), End> {
        let response = Response::parse(&self.command)?;
        let position = self.reports.iter().position(|report| report.message == response.responded_to);
        let position = position.filter(|_| response.field == command::response_to(command::N_EVENT_REPORT_RQ));
        let Some(position) = position else {
            return Err(End::Senseless("a response to a request that was never made".into()));
        };
        let Report { commitment, .. } = self.reports.remove(position);
        let (source, status) = (&self.source.id, response.status);
        tracing::info!(source, status, transaction = %commitment.transaction, "storage commitment reported");
        // Whatever it answers, it has heard: the report is not said twice on a wire that works.
        self.receiver.close_commitment(&commitment);
        Ok(())
    }
}

/// N-EVENT-REPORT of a verdict: command and data set.
pub(crate) fn event(message: u16, commitment: &Commitment, verdict: &Verdict, syntax: &str) -> (Vec<u8>, Vec<u8>) {
    let command = command::event_request(message, STORAGE_COMMITMENT, WELL_KNOWN, event_type(verdict));
    let committed = verdict.committed.iter().map(|(class, instance)| (class.as_str(), instance.as_str()));
    let failed =
        verdict.failed.iter().map(|(class, instance, lack)| (class.as_str(), instance.as_str(), lack.reason()));
    (command, references::write(commitment.transaction.as_str(), committed, failed, syntax))
}

/// 1: everything is committed; 2: failures exist.
fn event_type(verdict: &Verdict) -> u16 {
    if verdict.failed.is_empty() { 1 } else { 2 }
}
