//! What `khoanh persons` asks of the archive.

use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::charts::{ChartCursor, ChartError};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Local};
use model::{Caller, FacilityCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Rows read at one time.
const PAGE: usize = 500;

/// What a steward says of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Judged {
    /// The two are one person.
    Accept,
    /// They are not.
    Refuse,
    /// What was last said is taken back.
    Undo,
}

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum PersonsRequest {
    /// The patients that are one person with one.
    List(Local),
    /// Two patients are one person.
    Link {
        /// One of them.
        one: Local,
        /// The other.
        two: Local,
        /// Who says so.
        by: String,
    },
    /// A patient is taken out of its person, or that is taken back.
    Unlink {
        /// Which.
        patient: Local,
        /// Whether that is taken back.
        undo: bool,
        /// Who says so.
        by: String,
    },
    /// Pairs of patients by where they stand.
    Proposals {
        /// `open`, `conflict`, `accepted`, `refused` or `withdrawn`.
        state: String,
        /// Behind this place.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// A pair is judged.
    Judge {
        /// The facility of its row.
        facility: FacilityCode,
        /// Its number.
        id: String,
        /// What is said.
        judged: Judged,
        /// Who says so.
        by: String,
    },
    /// How it stands with the verifier, and patients by what it said of their numbers.
    Verifications {
        /// One of [`model::chart::inquiry::STATES`]; none: nobody is listed.
        state: Option<String>,
        /// Behind this place.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// The verifier is asked about a patient anew.
    Verify(Local),
    /// What was given up, or rests, is asked again.
    VerifyAgain,
    /// Patients of whom nothing was asked yet are asked about.
    VerifyMissing,
}

fn failed(error: ChartError) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

fn place(after: Option<&str>) -> Result<Option<ChartCursor>, Failure> {
    let wrong = |error: archive::CursorError| Failure::new(Exit::Usage, format!("--after: {error}"));
    after.map(ChartCursor::parse).transpose().map_err(wrong)
}

/// Does what is asked.
pub(super) fn answer(archive: &Archive, request: &PersonsRequest) -> Result<Value, Failure> {
    let (charts, operator) = (archive.charts(), Caller::operator());
    match request {
        PersonsRequest::List(local) => {
            let person = charts.person(&operator, local).map_err(failed)?;
            let member = |member: &archive::charts::Member| {
                let (facility, mrn) = (member.local.facility, &member.local.mrn);
                let verification = member.check.as_ref().map(|check| check.state);
                json!({ "facility": facility, "mrn": mrn, "how": member.how, "sure": member.sure, "verification": verification })
            };
            let members: Vec<Value> = person.members.iter().map(member).collect();
            Ok(json!({ "person": person.id, "apart": person.apart, "patients": members }))
        }
        PersonsRequest::Link { one, two, by } => {
            let key = charts.link(&operator, one, two, by).map_err(failed)?;
            Ok(json!({ "facility": key.facility, "id": key.id }))
        }
        PersonsRequest::Unlink { patient, undo, by } => {
            let done =
                if *undo { charts.rejoin(&operator, patient, by) } else { charts.unlink(&operator, patient, by) };
            done.map_err(failed)?;
            Ok(Value::Null)
        }
        PersonsRequest::Proposals { state, after, limit } => {
            let after = place(after.as_deref())?;
            let page = charts.proposals(&operator, state, after, (*limit).clamp(1, PAGE)).map_err(failed)?;
            let proposals: Vec<Value> = page.rows.iter().filter_map(brief).collect();
            Ok(json!({ "proposals": proposals, "after": page.cursor.map(|cursor| cursor.to_string()) }))
        }
        PersonsRequest::Judge { facility, id, judged, by } => {
            let wrong = |error: model::chart::ChartIdError| Failure::new(Exit::Usage, error.to_string());
            let key = ChartKey::new(ChartKind::Proposal, *facility, id).map_err(wrong)?;
            let done = match judged {
                Judged::Accept => charts.judge_proposal(&operator, &key, true, by),
                Judged::Refuse => charts.judge_proposal(&operator, &key, false, by),
                Judged::Undo => charts.undo_proposal(&operator, &key, by),
            };
            done.map_err(failed)?;
            Ok(Value::Null)
        }
        PersonsRequest::Verifications { .. }
        | PersonsRequest::Verify(_)
        | PersonsRequest::VerifyAgain
        | PersonsRequest::VerifyMissing => verification(archive, request),
    }
}

/// Does what is asked about the verifier.
fn verification(archive: &Archive, request: &PersonsRequest) -> Result<Value, Failure> {
    let (charts, operator) = (archive.charts(), Caller::operator());
    match request {
        PersonsRequest::Verify(local) => Ok(json!(charts.inquire(&operator, local).map_err(failed)?)),
        PersonsRequest::VerifyAgain => Ok(json!({ "asked": charts.inquire_again(&operator).map_err(failed)? })),
        PersonsRequest::VerifyMissing => {
            let (mut asked, mut after) = (0usize, None);
            loop {
                let (some, next) = charts.inquire_missing(&operator, after).map_err(failed)?;
                (asked, after) = (asked.saturating_add(some), next);
                if after.is_none() {
                    return Ok(json!({ "asked": asked }));
                }
            }
        }
        PersonsRequest::Verifications { state: Some(state), after, limit } => {
            let after = place(after.as_deref())?;
            let page =
                charts.inquiries(&operator, Some(state.as_str()), after, (*limit).clamp(1, PAGE)).map_err(failed)?;
            let listed: Vec<Value> = page.rows.iter().filter_map(asked).collect();
            let after = page.cursor.map(|cursor| cursor.to_string());
            Ok(json!({ "verifier": charts.verifier(&operator), "verifications": listed, "after": after }))
        }
        _ => Ok(json!({ "verifier": charts.verifier(&operator) })),
    }
}

/// An inquiry without what is known of its patient but the number.
fn asked(row: &ChartRow) -> Option<Value> {
    let ChartBody::Inquiry(inquiry) = &row.body else { return None };
    let (facility, mrn, state) = (row.key.facility, &row.key.id, inquiry.state());
    let error = inquiry.waiting.as_ref().map(|waiting| waiting.error.as_str());
    let differs = inquiry.answer.as_ref().filter(|_| inquiry.waiting.is_none()).map(|answer| &answer.fields);
    Some(json!({ "facility": facility, "mrn": mrn, "state": state, "error": error, "differs": differs }))
}

/// A pair without what is known of its patients but their numbers.
fn brief(row: &ChartRow) -> Option<Value> {
    let ChartBody::Proposal(proposal) = &row.body else { return None };
    let sides = proposal.sides();
    let patients: Vec<&Local> = sides.iter().skip(usize::from(proposal.is_alone())).collect();
    Some(json!({
        "id": row.key.id, "facility": row.key.facility, "state": proposal.state(), "why": proposal.why,
        "patients": patients,
    }))
}
