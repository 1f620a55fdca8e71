//! Unified Procedure Steps as a provider: N-CREATE, N-GET, N-SET and N-ACTION (PS3.4 section CC.2).
//!
//! What a step is and what may become of it is the archive's; here requests become calls and refusals statuses.

use crate::association::{Association, End};
use crate::command::{N_ACTION_RQ, N_CREATE_RQ, N_GET_RQ, Request};
use crate::meter;
use crate::negotiate::{Context, Service};
use crate::pdu;
use crate::receiver::Receiver;
use crate::status::{self, Failure, Status};
use archive::ups::{Document, Remark, StepState, Subscription, UPS_CLASS, Ups, UpsError};
use dataset::document;
use model::{Caller, Uid};
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// Procedure Step State.
const STATE: &str = "00741000";
/// Transaction UID.
const TRANSACTION: &str = "00081195";
/// Receiving AE.
const RECEIVER: &str = "00741234";
/// Deletion Lock.
const LOCK: &str = "00741230";

/// A request that was done.
struct Done {
    status: Status,
    /// The UID of what was created.
    created: Option<Uid>,
    /// What was read.
    data: Option<Vec<u8>>,
}

impl Done {
    fn of(remark: Option<Remark>) -> Self {
        let status = match remark {
            None => status::SUCCESS,
            Some(Remark::Modified) => status::UPS_MODIFIED,
            Some(Remark::AlreadyCanceled) => status::UPS_ALREADY_CANCELED,
            Some(Remark::AlreadyCompleted) => status::UPS_ALREADY_COMPLETED,
        };
        Self { status, created: None, data: None }
    }
}

impl From<UpsError> for Failure {
    fn from(error: UpsError) -> Self {
        let comment = error.to_string();
        let status = match error {
            UpsError::Duplicate => status::DUPLICATE_INSTANCE,
            UpsError::Missing(_) => status::MISSING_ATTRIBUTE,
            UpsError::Empty(_) => status::MISSING_VALUE,
            UpsError::Invalid(_) => status::INVALID_ATTRIBUTE,
            UpsError::NotScheduled => status::UPS_NOT_SCHEDULED,
            UpsError::Unknown => status::UPS_UNKNOWN,
            UpsError::Ended => status::UPS_ENDED,
            UpsError::Transaction => status::UPS_TRANSACTION,
            UpsError::InProgress => status::UPS_IN_PROGRESS,
            UpsError::OnlyCreated => status::UPS_ONLY_CREATED,
            UpsError::FinalState(_) => status::UPS_FINAL_STATE,
            UpsError::NotInProgress => status::UPS_NOT_IN_PROGRESS,
            UpsError::Completed => status::UPS_COMPLETED,
            UpsError::NobodyListens => status::UPS_NOBODY,
            UpsError::Receiver => status::UPS_RECEIVER,
            UpsError::NotAppropriate => status::UPS_NOT_APPROPRIATE,
            UpsError::Limit(_) => status::RESOURCE_LIMITATION,
            UpsError::Unavailable(detail) => {
                return Self { detail, ..Self::new(status::PROCESSING_FAILURE, "not available now, ask again later") };
            }
        };
        Self::new(status, comment)
    }
}

impl<R: Receiver> Association<'_, R> {
    /// Answers a request about a step.
    pub(crate) fn steps(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let begun = Instant::now();
        let data = match request.has_data_set {
            true => self.gather_data_set(id, request, self.options.identifier_bytes_max)?,
            false => Ok(Vec::new()),
        };
        let done = data.and_then(|bytes| self.step_done(context, request, &bytes));
        match done {
            Err(failure) => {
                self.log_refusal(service(request.field), &failure);
                meter::step(service(request.field), &failure.status.label(), begun.elapsed());
                self.answer_failure(id, request, &failure)
            }
            Ok(Done { status, created, data }) => {
                meter::step(service(request.field), &status.label(), begun.elapsed());
                let named = created.map(|uid| Request { sop_instance: Some(uid.to_string()), ..request.clone() });
                let answered = named.as_ref().unwrap_or(request);
                let Some(data) = data.filter(|data| !data.is_empty()) else {
                    return self.answer(id, answered, status, "");
                };
                let mut out = Vec::new();
                pdu::message_pdus(id, &answered.pending(status.code), &data, self.peer_pdu_bytes_max, &mut out);
                self.wire.source().send(&out).map_err(End::Lost)
            }
        }
    }

    /// The steps, where the request fits its context.
    pub(crate) fn steps_for(&self, context: &Context, request: &Request) -> Result<Arc<Ups>, Failure> {
        let fits = matches!(context.service, Service::Ups(class) if class.requests.contains(&request.field));
        if !fits {
            return Err(Failure::new(status::MISTYPED_ARGUMENT, "the class of the context has no such request"));
        }
        let class = request.sop_class.as_deref();
        if class != Some(UPS_CLASS) && class != Some(context.abstract_syntax.as_str()) {
            let comment = "neither UPS Push nor the SOP Class of the presentation context";
            return Err(Failure::new(status::SOP_CLASS_NOT_SUPPORTED, comment));
        }
        let ups = self.receiver.ups().cloned();
        ups.ok_or_else(|| Failure::new(status::PROCESSING_FAILURE, "there are no procedure steps here"))
    }

    /// The data set of a request about steps.
    pub(crate) fn step_data(&self, context: &Context, bytes: &[u8]) -> Result<Document, Failure> {
        let read = document::read(bytes, context.transfer_syntax.as_str(), self.source.charset);
        read.map_err(|error| Failure {
            detail: error.to_string(),
            ..Failure::new(status::CANNOT_UNDERSTAND, "the data set is none of its transfer syntax, or too large")
        })
    }

    fn step_done(&self, context: &Context, request: &Request, bytes: &[u8]) -> Result<Done, Failure> {
        let ups = self.steps_for(context, request)?;
        let mut data = self.step_data(context, bytes)?;
        let (caller, facility) = (Caller::of_source(&self.source), self.source.facility);
        let no_uid = || Failure::new(status::INVALID_SOP_INSTANCE, "the SOP Instance UID is no UID");
        let uid = request.sop_instance.as_deref().map(Uid::parse).transpose().map_err(|_| no_uid())?;
        if request.field == N_CREATE_RQ {
            let (uid, remark) = ups.create(&caller, facility, uid, data)?;
            return Ok(Done { created: Some(uid), ..Done::of(remark) });
        }
        let uid = uid.ok_or_else(no_uid)?;
        match request.field {
            N_GET_RQ => {
                let step = ups.get(&caller, facility, &uid)?;
                let (step, status) = listed(step, &request.attributes);
                let written = document::write(&step, context.transfer_syntax.as_str());
                let data = written.map_err(|error| Failure::from(UpsError::Unavailable(error.to_string())))?;
                Ok(Done { status, created: None, data: Some(data) })
            }
            N_ACTION_RQ => self.step_action(&ups, context, request, &uid, data),
            _ => {
                let transaction = transaction(&data)?;
                data.remove(TRANSACTION);
                ups.update(&caller, facility, &uid, transaction.as_ref(), data)?;
                Ok(Done::of(None))
            }
        }
    }

    fn step_action(
        &self,
        ups: &Ups,
        context: &Context,
        request: &Request,
        uid: &Uid,
        mut data: Document,
    ) -> Result<Done, Failure> {
        let (caller, facility) = (Caller::of_source(&self.source), self.source.facility);
        let Service::Ups(class) = context.service else { return Err(UpsError::NotAppropriate.into()) };
        let action = request.action.filter(|action| class.actions.contains(action));
        let missing = |name: &str| Failure::new(status::MISSING_ATTRIBUTE, format!("{name} is missing"));
        let receiver = text(&data, RECEIVER).to_owned();
        let lock = text(&data, LOCK).eq_ignore_ascii_case("TRUE");
        match action {
            Some(1) => {
                let wanted = text(&data, STATE);
                if wanted.is_empty() {
                    return Err(missing("ProcedureStepState"));
                }
                let unknown = || UpsError::Invalid("Procedure Step State takes one of its four terms".into());
                let wanted = StepState::named(wanted).ok_or_else(unknown)?;
                let remark = ups.change_state(&caller, facility, uid, wanted, transaction(&data)?.as_ref())?;
                Ok(Done::of(remark))
            }
            Some(2) => {
                let by = self.calling.as_str();
                Ok(Done::of(ups.request_cancel(&caller, facility, uid, by, data)?))
            }
            Some(3..=5) if receiver.is_empty() => Err(missing("ReceivingAE")),
            Some(3) => {
                data.remove(RECEIVER);
                data.remove(LOCK);
                ups.subscribe(&caller, facility, Subscription { uid: uid.clone(), receiver, lock, filter: data })?;
                Ok(Done::of(None))
            }
            Some(4) => ups.unsubscribe(&caller, facility, uid, &receiver).map(|()| Done::of(None)).map_err(Into::into),
            Some(5) => ups.suspend(&caller, facility, uid, &receiver).map(|()| Done::of(None)).map_err(Into::into),
            _ => Err(Failure::new(status::NO_SUCH_ACTION, "the class of the context has no such Action Type ID")),
        }
    }
}

fn service(field: u16) -> &'static str {
    match field {
        N_CREATE_RQ => "N-CREATE",
        N_GET_RQ => "N-GET",
        N_ACTION_RQ => "N-ACTION",
        _ => "N-SET",
    }
}

/// The first value of an attribute as text, empty where there is none.
pub(crate) fn text<'a>(data: &'a Document, name: &str) -> &'a str {
    let value = data.get(name).and_then(|member| member.get("Value")).and_then(|values| values.get(0));
    value.and_then(Value::as_str).unwrap_or_default().trim_matches([' ', '\0'])
}

fn transaction(data: &Document) -> Result<Option<Uid>, Failure> {
    match text(data, TRANSACTION) {
        "" => Ok(None),
        text => Ok(Some(Uid::parse(text).map_err(|_| UpsError::Transaction)?)),
    }
}

/// The attributes asked for, all when none is named.
fn listed(step: Document, attributes: &[u32]) -> (Document, Status) {
    if attributes.is_empty() {
        return (step, status::SUCCESS);
    }
    let names: Vec<String> = attributes.iter().map(|tag| format!("{tag:08X}")).collect();
    let found: Document = step.into_iter().filter(|(name, _)| names.contains(name)).collect();
    let status = if found.len() < names.len() { status::NOT_SUPPORTED_ATTRIBUTES } else { status::SUCCESS };
    (found, status)
}
