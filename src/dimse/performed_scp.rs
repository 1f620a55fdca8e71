//! Modality Performed Procedure Step as a provider: N-CREATE and N-SET (PS3.4 section F.7).
//!
//! What a performed step means for orders is the archive's; here requests become calls and refusals statuses. Modalities
//! leave out much of what may be empty: only what must have a value is asked for.

use crate::association::{Association, End};
use crate::command::{N_CREATE_RQ, Request};
use crate::find_scp::guarded;
use crate::meter;
use crate::negotiate::Context;
use crate::notice::fresh;
use crate::pdu;
use crate::receiver::Receiver;
use crate::status::{self, Failure, Status};
use crate::ups_scp::text;
use archive::charts::ChartError;
use archive::ups::Document;
use dataset::{Limits, document};
use model::chart::PerformedState;
use model::{Uid, query};
use serde_json::Value;
use std::time::Instant;

/// Modality Performed Procedure Step SOP Class.
pub const PERFORMED_PROCEDURE_STEP: &str = "1.2.840.10008.3.1.2.3.3";

/// Error ID of PS3.4 table F.7.2-2: the step may no longer be updated.
const NO_LONGER_UPDATED: u16 = 0xA506;
/// Performed Procedure Step Status.
const STATE: u32 = 0x0040_0252;
/// Scheduled Step Attributes Sequence.
const SCHEDULED: u32 = 0x0040_0270;
/// Study Instance UID.
const STUDY: u32 = 0x0020_000D;
/// What must have a value when a step begins (type 1 of PS3.4 table F.7.2-1). The station may be told by the association.
const REQUIRED: &[u32] = &[
    SCHEDULED,
    0x0040_0253, // Performed Procedure Step ID
    0x0040_0244, // Performed Procedure Step Start Date
    0x0040_0245, // Performed Procedure Step Start Time
    STATE,
    0x0008_0060, // Modality
];
/// Dates and times among a step's own attributes.
const DATES: &[u32] = &[0x0040_0244, 0x0040_0250];
const TIMES: &[u32] = &[0x0040_0245, 0x0040_0251];
/// What only N-CREATE may say (PS3.4 table F.7.2-1).
const FIXED: &[u32] = &[
    0x0008_0060, // Modality
    0x0008_1120, // Referenced Patient Sequence
    0x0010_0010, // Patient's Name
    0x0010_0020, // Patient ID
    0x0010_0021, // Issuer of Patient ID
    0x0010_0030, // Patient's Birth Date
    0x0010_0040, // Patient's Sex
    0x0010_1002, // Other Patient IDs Sequence
    0x0020_0010, // Study ID
    0x0040_0241, // Performed Station AE Title
    0x0040_0242, // Performed Station Name
    0x0040_0243, // Performed Location
    0x0040_0244, // Performed Procedure Step Start Date
    0x0040_0245, // Performed Procedure Step Start Time
    0x0040_0253, // Performed Procedure Step ID
    SCHEDULED,
];

/// A request that was done.
struct Done {
    /// The step.
    uid: Uid,
    /// Attributes that were passed over.
    ignored: Vec<u32>,
}

/// A request that was not.
struct Refused {
    failure: Failure,
    error: Option<u16>,
    /// The attribute it is about.
    attribute: Option<u32>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, error: None, attribute: None }
    }
}

impl Refused {
    /// About an attribute.
    fn about(status: Status, tag: u32, what: &str) -> Self {
        let keyword = dataset::keyword(tag).unwrap_or("an attribute");
        Self { attribute: Some(tag), ..Failure::new(status, format!("{keyword} {what}")).into() }
    }

    /// What the archive did not do.
    fn of(error: ChartError, creates: bool) -> Self {
        let later = "not available now, send again";
        match error {
            ChartError::Invalid(comment) => Failure::new(status::INVALID_ATTRIBUTE, comment).into(),
            ChartError::Unknown(_) => Failure::new(status::NO_SUCH_INSTANCE, "there is no such performed step").into(),
            ChartError::Conflict(comment) if creates => Failure::new(status::DUPLICATE_INSTANCE, comment).into(),
            ChartError::Conflict(detail) => {
                let comment = "the performed step may no longer be updated";
                let failure = Failure { detail, ..Failure::new(status::PROCESSING_FAILURE, comment) };
                Self { error: Some(NO_LONGER_UPDATED), ..failure.into() }
            }
            ChartError::Limit(comment) => Failure::new(status::RESOURCE_LIMITATION, comment).into(),
            ChartError::Waits(detail) | ChartError::Unavailable(detail) => {
                Failure { detail, ..Failure::new(status::PROCESSING_FAILURE, later) }.into()
            }
        }
    }
}

impl<R: Receiver> Association<'_, R> {
    /// Answers a request about a performed step.
    pub(crate) fn perform(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let begun = Instant::now();
        let service = if request.field == N_CREATE_RQ { "N-CREATE" } else { "N-SET" };
        let data = match request.has_data_set {
            true => self.gather_data_set(id, request, self.options.commitment_bytes_max)?,
            false => Ok(Vec::new()),
        };
        let done = data.map_err(Refused::from).and_then(|bytes| self.performed(context, request, &bytes));
        let (status, response) = match done {
            Ok(Done { uid, ignored }) => {
                let status = if ignored.is_empty() { status::SUCCESS } else { status::ATTRIBUTE_LIST_ERROR };
                let named = Request { sop_instance: Some(uid.to_string()), ..request.clone() };
                (status, named.detailed(status.code, "", None, &ignored))
            }
            Err(Refused { failure, error, attribute }) => {
                self.log_refusal(service, &failure);
                (failure.status, request.detailed(failure.status.code, &failure.comment, error, attribute.as_slice()))
            }
        };
        meter::performed(service, &status.label(), begun.elapsed());
        let bytes = pdu::command_pdus(id, &response, self.peer_pdu_bytes_max);
        self.wire.source().send(&bytes).map_err(End::Lost)
    }

    fn performed(&self, context: &Context, request: &Request, bytes: &[u8]) -> Result<Done, Refused> {
        if request.sop_class.as_deref() != Some(PERFORMED_PROCEDURE_STEP) {
            let comment = "not the SOP Class of the presentation context";
            return Err(Failure::new(status::SOP_CLASS_NOT_SUPPORTED, comment).into());
        }
        let creates = request.field == N_CREATE_RQ;
        let uid = match request.sop_instance.as_deref() {
            // The provider names it when the user does not (PS3.7 section 10.1.5.1.4).
            None | Some("") if creates => Uid::parse(&format!("2.25.{}", fresh())),
            text => Uid::parse(text.unwrap_or_default()),
        };
        let no_uid = |_| Failure::new(status::INVALID_SOP_INSTANCE, "the SOP Instance UID is no UID");
        let uid = uid.map_err(no_uid)?;
        let limits = Limits { nesting: 16, elements: 500_000, ..Limits::default() };
        let read = document::read_within(bytes, context.transfer_syntax.as_str(), self.source.charset, limits);
        let mut data = read.map_err(|error| Failure {
            detail: error.to_string(),
            ..Failure::new(status::CANNOT_UNDERSTAND, "the data set is none of its transfer syntax, or too large")
        })?;
        let mut ignored = Vec::new();
        if creates {
            check_begin(&data)?;
        } else {
            ignored.extend(FIXED.iter().copied().filter(|tag| data.remove(&name(*tag)).is_some()));
        }
        check_values(&data)?;
        let (receiver, source) = (&self.receiver, &self.source);
        let done = guarded(|| -> Result<_, Failure> {
            Ok(match creates {
                true => receiver.begin_performed(source, &self.calling, &uid, data),
                false => receiver.set_performed(source, &uid, data),
            })
        });
        let done = done.map_err(|failure| Failure { status: status::PROCESSING_FAILURE, ..failure })?;
        done.map_err(|error| Refused::of(error, creates))?;
        Ok(Done { uid, ignored })
    }
}

/// A tag as a member's name.
fn name(tag: u32) -> String {
    format!("{tag:08X}")
}

fn values(data: &Document, tag: u32) -> &[Value] {
    let values = data.get(&name(tag)).and_then(|member| member.get("Value")).and_then(Value::as_array);
    values.map_or(&[], Vec::as_slice)
}

/// What a step must say when it begins.
fn check_begin(data: &Document) -> Result<(), Refused> {
    for tag in REQUIRED {
        require(data, *tag)?;
    }
    for item in values(data, SCHEDULED) {
        let item = item.as_object().ok_or_else(|| Refused::about(status::INVALID_ATTRIBUTE, SCHEDULED, "has items"))?;
        require(item, STUDY)?;
        if Uid::parse(text(item, &name(STUDY))).is_err() {
            return Err(Refused::about(status::INVALID_ATTRIBUTE, STUDY, "takes a UID"));
        }
    }
    if text(data, &name(STATE)) != PerformedState::InProgress.term() {
        return Err(Refused::about(status::INVALID_ATTRIBUTE, STATE, "begins as IN PROGRESS"));
    }
    Ok(())
}

/// An attribute with a value.
fn require(data: &Document, tag: u32) -> Result<(), Refused> {
    if !data.contains_key(&name(tag)) {
        return Err(Refused::about(status::MISSING_ATTRIBUTE, tag, "is missing"));
    }
    let says = |value: &Value| match value {
        Value::String(text) => !text.trim_matches([' ', '\0']).is_empty(),
        other => !other.is_null(),
    };
    match values(data, tag).iter().any(says) {
        true => Ok(()),
        false => Err(Refused::about(status::MISSING_VALUE, tag, "has no value")),
    }
}

/// Values that must be what their attributes take, where there are any.
fn check_values(data: &Document) -> Result<(), Refused> {
    let said = |tag: u32| Some(text(data, &name(tag))).filter(|text| !text.is_empty());
    let wrong = |tag: u32, what: &str| Err(Refused::about(status::INVALID_ATTRIBUTE, tag, what));
    if said(STATE).is_some_and(|state| PerformedState::named(state).is_none()) {
        return wrong(STATE, "takes one of its three terms");
    }
    if let Some(tag) = DATES.iter().find(|tag| said(**tag).is_some_and(|date| query::date(date).is_none())) {
        return wrong(*tag, "takes a date");
    }
    if let Some(tag) = TIMES.iter().find(|tag| said(**tag).is_some_and(|time| query::time(time, '0').is_none())) {
        return wrong(*tag, "takes a time");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
