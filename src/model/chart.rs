//! Charts: what information systems say of patients, visits, orders, procedure steps and results.
//!
//! A chart row is the newest state of one such thing in one facility; the journal of charts keeps every state. What a
//! row is found by follows from the row alone ([`term`]).
//! Deliberately not here: wire formats of the messages that bring them, where rows lie, and who may see them.

pub mod asked;
pub mod birth;
pub mod change;
pub mod course;
pub mod hook;
pub mod identifier;
pub mod inquiry;
pub mod link;
pub mod matched;
pub mod order;
pub mod outbox;
pub mod patient;
pub mod performed;
pub mod person;
pub mod proposal;
pub mod read;
pub mod report;
pub mod term;
pub mod ticket;
pub mod trace;
pub mod visit;

pub use asked::Asked;
pub use birth::BirthDate;
pub use change::{Change, Inbound, OrderAction, OrderUpdate, PatientUpdate, StepUpdate, VisitUpdate};
pub use course::Course;
pub use hook::{Happened, Hook};
pub use inquiry::{Answer, Inquiry, Question};
pub use link::{Decision, How, Link};
pub use matched::{Match, Side, Verdict};
pub use order::{Appointment, Code, Order, OrderState, Priority, Step};
pub use outbox::{Delivery, DeliveryState, Event, EventKind, Secret, Subscription, Target};
pub use patient::{Identifiers, Merge, OtherId, Patient, Sex};
pub use performed::{Performed, PerformedSeries, PerformedState};
pub use proposal::{Finding, Judgement, Local, Proposal};
pub use read::{Read, Way};
pub use report::{Content, Report, ReportStatus};
pub use term::Term;
pub use ticket::{Ticket, TicketState};
pub use trace::{Handled, Message, Origin};
pub use visit::{Visit, VisitState};

use crate::{FacilityCode, Lsn, PackId};
use serde::{Deserialize, Serialize};

/// What a row is about. The code is part of keys on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum ChartKind {
    /// A patient of one facility; the id is the facility's number of the patient (MRN).
    Patient = 1,
    /// A visit; the id is its number (PV1-19, `MA_LK`).
    Visit = 2,
    /// An order; the id is the placer's order number.
    Order = 3,
    /// A performed procedure step (MPPS); the id is its SOP Instance UID.
    Performed = 4,
    /// A result that came in; the id is the sender's number of it.
    Report = 5,
    /// A merge of two patients, whether it holds or was undone; the id is a number of ours.
    Merge = 6,
    /// A message as it came in or goes out; the id is a number of ours.
    Message = 7,
    /// Whether a study and an order are one; the id is the Study Instance UID, see [`Match::id`].
    Match = 8,
    /// A patient's part in a person; the id is the facility's number of the patient.
    Link = 9,
    /// Two patients of whom somebody has to say whether they are one; the id is made of their numbers, see
    /// [`Proposal::id`].
    Proposal = 10,
    /// Who is told of what happens; the id is a number of ours.
    Subscription = 11,
    /// Something that is told to somebody; the id is its number, see [`Delivery::id`].
    Delivery = 12,
    /// A link for a patient; the id is a number of ours.
    Ticket = 13,
    /// What a verifier is asked of a patient's number, and said; the id is the facility's number of the patient.
    Inquiry = 15,
    /// Who read a study; the id is made of who, what, how and the hour.
    Read = 18,
}

impl ChartKind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Patient,
        Self::Visit,
        Self::Order,
        Self::Performed,
        Self::Report,
        Self::Merge,
        Self::Message,
        Self::Match,
        Self::Link,
        Self::Proposal,
        Self::Subscription,
        Self::Delivery,
        Self::Ticket,
        Self::Inquiry,
        Self::Read,
    ];

    /// The code in keys.
    pub const fn code(self) -> u8 {
        match self {
            Self::Patient => 1,
            Self::Visit => 2,
            Self::Order => 3,
            Self::Performed => 4,
            Self::Report => 5,
            Self::Merge => 6,
            Self::Message => 7,
            Self::Match => 8,
            Self::Link => 9,
            Self::Proposal => 10,
            Self::Subscription => 11,
            Self::Delivery => 12,
            Self::Ticket => 13,
            Self::Inquiry => 15,
            Self::Read => 18,
        }
    }

    /// The kind of a code.
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Names a row: the facility is part of every identity (DESIGN law 7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChartKey {
    /// Kind.
    pub kind: ChartKind,
    /// Facility whose number the id is.
    pub facility: FacilityCode,
    /// Number within facility and kind, 1 to [`ID_MAX`] bytes, as given: no folding, trimmed.
    pub id: String,
}

/// Longest id of a row in bytes.
pub const ID_MAX: usize = 128;
/// Longest message, and longest result with all its documents, in bytes: whatever else holds a message holds one so long.
pub const MESSAGE_MAX: usize = 8 << 20;
/// Longest row as JSON in bytes: a message that waits, with what it asks for.
pub const ROW_MAX: usize = 2 * MESSAGE_MAX + (1 << 20);

impl ChartKey {
    /// A key; surrounding spaces of the id are not significant.
    ///
    /// # Errors
    /// An empty id, one longer than [`ID_MAX`] or with control characters.
    pub fn new(kind: ChartKind, facility: FacilityCode, id: &str) -> Result<Self, ChartIdError> {
        let id = id.trim();
        if id.is_empty() || id.len() > ID_MAX || id.chars().any(char::is_control) {
            return Err(ChartIdError { kind, bytes: id.len() });
        }
        Ok(Self { kind, facility, id: id.to_owned() })
    }
}

/// A text that names no row. It does not quote the text, which may be a patient's number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a number of a {kind:?} has 1 to {ID_MAX} bytes and no control characters; this one has {bytes} bytes")]
pub struct ChartIdError {
    /// Of what.
    pub kind: ChartKind,
    /// Its length.
    pub bytes: usize,
}

/// What a row says. The JSON form is part of the on-disk format: variants and fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "chart", rename_all = "kebab-case")]
pub enum ChartBody {
    /// A patient.
    Patient(Box<Patient>),
    /// A visit.
    Visit(Box<Visit>),
    /// An order.
    Order(Box<Order>),
    /// A performed procedure step.
    Performed(Box<Performed>),
    /// A result.
    Report(Box<Report>),
    /// A merge.
    Merge(Box<Merge>),
    /// A message.
    Message(Box<Message>),
    /// A study beside its order.
    Match(Box<Match>),
    /// A patient's part in a person.
    Link(Box<Link>),
    /// Two patients that may be one.
    Proposal(Box<Proposal>),
    /// Who is told of what happens.
    Subscription(Box<Subscription>),
    /// Something that is told to somebody.
    Delivery(Box<Delivery>),
    /// A link for a patient.
    Ticket(Box<Ticket>),
    /// What a verifier is asked and said.
    Inquiry(Box<Inquiry>),
    /// Who read a study.
    Read(Box<Read>),
}

impl ChartBody {
    /// Kind.
    pub const fn kind(&self) -> ChartKind {
        match self {
            Self::Patient(_) => ChartKind::Patient,
            Self::Visit(_) => ChartKind::Visit,
            Self::Order(_) => ChartKind::Order,
            Self::Performed(_) => ChartKind::Performed,
            Self::Report(_) => ChartKind::Report,
            Self::Merge(_) => ChartKind::Merge,
            Self::Message(_) => ChartKind::Message,
            Self::Match(_) => ChartKind::Match,
            Self::Link(_) => ChartKind::Link,
            Self::Proposal(_) => ChartKind::Proposal,
            Self::Subscription(_) => ChartKind::Subscription,
            Self::Delivery(_) => ChartKind::Delivery,
            Self::Ticket(_) => ChartKind::Ticket,
            Self::Inquiry(_) => ChartKind::Inquiry,
            Self::Read(_) => ChartKind::Read,
        }
    }

    /// The patient's number (MRN) it is about, under whose key it lies; none for a row about nobody in particular.
    pub fn mrn(&self) -> Option<&str> {
        match self {
            Self::Patient(patient) => Some(&patient.mrn),
            Self::Visit(visit) => Some(&visit.mrn),
            Self::Order(order) => Some(&order.mrn),
            Self::Performed(step) => step.mrn.as_deref(),
            Self::Report(report) => Some(&report.mrn),
            Self::Merge(merge) => Some(&merge.survivor),
            Self::Message(message) => message.mrn.as_deref(),
            Self::Match(found) => found.mrn.as_deref(),
            Self::Link(link) => Some(&link.mrn),
            Self::Proposal(proposal) => Some(&proposal.mrn),
            Self::Subscription(_) | Self::Delivery(_) | Self::Read(_) => None,
            Self::Ticket(ticket) => Some(&ticket.mrn),
            Self::Inquiry(inquiry) => Some(&inquiry.mrn),
        }
    }

    /// Milliseconds since 1970 UTC by which rows of its kind are in order, the newest first: an order's first step, a
    /// visit's begin, else when it came; deliveries and inquiries that wait have the oldest first.
    pub fn moment(&self) -> u64 {
        match self {
            Self::Patient(patient) => patient.changed,
            Self::Visit(visit) => visit.begin,
            Self::Order(order) => order.steps.first().map_or(order.placed, |step| step.start),
            Self::Performed(step) => step.start,
            Self::Report(report) => report.at,
            Self::Merge(merge) => merge.at,
            Self::Message(message) => message.at,
            Self::Match(found) => found.at,
            Self::Link(link) => link.at,
            Self::Proposal(proposal) => proposal.at,
            Self::Subscription(subscription) => subscription.at,
            Self::Delivery(delivery) => delivery.moment(),
            Self::Ticket(ticket) => ticket.issued,
            Self::Inquiry(inquiry) => inquiry.moment(),
            Self::Read(read) => read.first,
        }
    }
}

/// A row as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChartRow {
    /// Name.
    pub key: ChartKey,
    /// Number of the record in the journal of charts that made it so.
    pub lsn: Lsn,
    /// Number of the record that made it first: the second half of its order.
    pub created: Lsn,
    /// Name of the key its records are sealed by; none for a row about nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<PackId>,
    /// What it says.
    pub body: ChartBody,
}
