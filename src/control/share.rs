//! What `khoanh share` asks of the archive.

use crate::cli::{Exit, Failure};
use archive::charts::{ChartError, WantedShare};
use archive::{Archive, ChartCursor, ChartDriver, ChartQuery};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Term, Ticket, term};
use model::{Caller, Date, FacilityCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most links of a page.
const PAGE: usize = 500;
const HOUR_MS: i64 = 3_600_000;
/// Letters at the end of a link's number that mark its sheets.
const MARK: usize = 6;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum ShareRequest {
    /// Issues a link.
    Issue {
        /// For what.
        wanted: WantedShare,
        /// Address of the service, as patients reach it.
        base: String,
    },
    /// Links, the newest first.
    List {
        /// Of this facility; of all.
        facility: Option<FacilityCode>,
        /// Of the patient of this number.
        mrn: Option<String>,
        /// Behind this place.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// Takes a link back.
    Revoke {
        /// Whose.
        facility: FacilityCode,
        /// Its number.
        id: String,
        /// Who does it.
        by: String,
    },
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

/// Does what is asked.
pub(super) fn answer(archive: &Archive, request: &ShareRequest) -> Result<Value, Failure> {
    let caller = Caller::operator();
    match request {
        ShareRequest::Issue { wanted, base } => issue(archive, wanted, base),
        ShareRequest::List { facility, mrn, after, limit } => {
            let wrong = |error: archive::CursorError| Failure::new(Exit::Usage, format!("--after: {error}"));
            let after = after.as_deref().map(ChartCursor::parse).transpose().map_err(wrong)?;
            let driver = match mrn {
                Some(mrn) => ChartDriver::Equal(Term::Mrn, term::value(mrn)),
                None => ChartDriver::Equal(Term::Any, String::new()),
            };
            let facilities = facility.map(|facility| BTreeSet::from([facility]));
            let query = ChartQuery { kind: ChartKind::Ticket, facilities, driver, moments: None, years: None };
            let page = archive.charts().find(&caller, &query, after, (*limit).clamp(1, PAGE));
            let page = page.map_err(|error| failed(&error))?;
            let shares: Vec<Value> = page.rows.iter().filter_map(|row| brief(archive, row)).collect();
            Ok(json!({ "shares": shares, "after": page.cursor.map(|cursor| cursor.to_string()) }))
        }
        ShareRequest::Revoke { facility, id, by } => {
            let key = ChartKey::new(ChartKind::Ticket, *facility, id).map_err(|error| failed(&error))?;
            let revoked = archive.charts().revoke_ticket(&caller, &key, by);
            let ticket = revoked.map_err(|error: ChartError| failed(&error))?;
            tracing::info!(%facility, share = id, by, "a patient's link was taken back");
            Ok(shown(archive, *facility, id, &ticket))
        }
    }
}

fn issue(archive: &Archive, wanted: &WantedShare, base: &str) -> Result<Value, Failure> {
    let (facilities, _) = archive.sources();
    let known = facilities.into_iter().find(|one| one.code == wanted.facility);
    let known = known.ok_or_else(|| Failure::new(Exit::Failed, format!("the registry has no {}", wanted.facility)))?;
    let issued = archive.issue_share(&Caller::operator(), wanted).map_err(|error| failed(&error))?;
    tracing::info!(facility = %wanted.facility, share = issued.id, by = wanted.by, "a patient's link was issued");
    let link = format!("{base}/share/{}", issued.secret);
    let last = last_day(archive, &issued.ticket);
    let until = format!("{:02}/{:02}/{:04}", last.day(), last.month(), last.year());
    let mark = issued.id.get(issued.id.len().saturating_sub(MARK)..).unwrap_or_default();
    let sheet = web::Sheet { hospital: &known.name, link: &link, code: &issued.code, until: &until, mark };
    let mut view = shown(archive, wanted.facility, &issued.id, &issued.ticket);
    if let Some(object) = view.as_object_mut() {
        object.insert("sheets".into(), web::share_sheets(&sheet).into());
        object.insert("code".into(), issued.code.clone().into());
        object.insert("link".into(), link.into());
    }
    Ok(view)
}

fn last_day(archive: &Archive, ticket: &Ticket) -> Date {
    let offset = i64::from(archive.options().forward.utc_offset).saturating_mul(HOUR_MS);
    Date::of_ms(ticket.until.saturating_sub(1).saturating_add_signed(offset))
}

fn brief(archive: &Archive, row: &ChartRow) -> Option<Value> {
    match &row.body {
        ChartBody::Ticket(ticket) => Some(shown(archive, row.key.facility, &row.key.id, ticket)),
        _ => None,
    }
}

/// A link without what opens it.
fn shown(archive: &Archive, facility: FacilityCode, id: &str, ticket: &Ticket) -> Value {
    let state = ticket.state(archive.charts().share_clock(), archive.options().shares.tries);
    json!({
        "facility": facility,
        "id": id,
        "mrn": ticket.mrn,
        "studies": ticket.studies,
        "state": state.name(),
        "until": last_day(archive, ticket),
        "download": ticket.download,
        "issued": ticket.issued,
        "by": ticket.by,
        "opened": ticket.opened,
        "wrong": ticket.wrong,
    })
}
