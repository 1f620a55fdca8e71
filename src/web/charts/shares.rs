//! Patients' links for the desk: issued as JSON or as the sheets to print, listed with their counts, taken back.
//!
//! Secret and code of a link are told once, in the answer that issues it. Deliberately not here: the patients' own pages
//! ([`crate::share`]).

use super::find::{self, Paging};
use super::{bad, facility, key, known};
use crate::admin::{body, read};
use crate::app::Call;
use crate::problem::{Kind, Problem};
use crate::share::sheet::{self, Sheet};
use archive::charts::{IssuedShare, WantedShare};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::chart::{ChartBody, ChartKind, ChartRow, Term, Ticket, TicketState};
use model::{Date, FacilityCode, Uid};
use serde::Deserialize;
use serde_json::{Value, json};

const HOUR_MS: i64 = 3_600_000;
/// Letters at the end of a link's number that mark its sheets.
const MARK: usize = 6;

/// What a link is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    facility: Option<FacilityCode>,
    studies: Vec<Uid>,
    accession: Option<String>,
    visit: Option<String>,
    /// The last day.
    until: Option<Date>,
    days: Option<u32>,
    download: bool,
}

/// The last day of a link, by the facility's clock.
fn last_day(until: u64, utc_offset: i8) -> Date {
    Date::of_ms(until.saturating_sub(1).saturating_add_signed(i64::from(utc_offset).saturating_mul(HOUR_MS)))
}

/// Issues a link.
pub(super) async fn issue(call: Call) -> Result<Response, Problem> {
    let asked: Asked = read(&call).await?;
    let facility = match asked.facility {
        Some(code) => known(&call, code)?,
        None => facility(&call)?,
    };
    let said = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let wanted = WantedShare {
        facility,
        studies: asked.studies,
        accession: said(asked.accession),
        visit: said(asked.visit),
        until: asked.until,
        days: asked.days,
        download: asked.download,
        by: format!("rest:{}", call.caller.name),
    };
    let caller = call.caller.clone();
    let issued = call.blocking(move |archive| Ok(archive.issue_share(&caller, &wanted)?)).await?;
    metrics::counter!("khoanh_share_total", "outcome" => "issued").increment(1);
    tracing::info!(%facility, share = issued.id, by = call.caller.name, "a patient's link was issued");
    let link = format!("{}/share/{}", call.base_url(), issued.secret);
    let accepts = call.parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut response = if accepts.into_iter().any(|text| text.contains("text/html")) {
        printed(&call, facility, &link, &issued)?
    } else {
        let mut view = shown(&call, facility, &issued.id, &issued.ticket);
        if let Some(object) = view.as_object_mut() {
            object.insert("link".into(), link.clone().into());
            object.insert("code".into(), issued.code.clone().into());
            object.insert("qr".into(), sheet::qr(&link).into());
        }
        body(StatusCode::OK, &view)?
    };
    // Secret and code are told once.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The sheets of a link.
fn printed(call: &Call, facility: FacilityCode, link: &str, issued: &IssuedShare) -> Result<Response, Problem> {
    let (facilities, _) = call.app.archive.sources();
    let hospital = facilities.iter().find(|one| one.code == facility).map_or("", |one| one.name.as_str());
    let last = last_day(issued.ticket.until, call.app.archive.options().forward.utc_offset);
    let until = format!("{:02}/{:02}/{:04}", last.day(), last.month(), last.year());
    let mark = issued.id.get(issued.id.len().saturating_sub(MARK)..).unwrap_or_default();
    let sheet = Sheet { hospital, link, code: &issued.code, until: &until, mark };
    let too_long = || Problem::new(Kind::Internal, "the address of the service is too long for a QR code");
    let mut response = sheet::html(&sheet).ok_or_else(too_long)?.into_response();
    let policy = HeaderValue::from_str(&sheet::policy());
    let policy = policy.map_err(|_| Problem::new(Kind::Internal, "the policy of the page cannot be written"))?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

/// A link without what opens it.
fn shown(call: &Call, facility: FacilityCode, id: &str, ticket: &Ticket) -> Value {
    let options = call.app.archive.options();
    let state = ticket.state(call.app.archive.charts().share_clock(), options.shares.tries);
    json!({
        "id": id,
        "facility": facility,
        "mrn": ticket.mrn,
        "studies": ticket.studies,
        "state": state.name(),
        "until": last_day(ticket.until, options.forward.utc_offset),
        "download": ticket.download,
        "issued": ticket.issued,
        "by": ticket.by,
        "revoked": ticket.revoked.as_ref().map(|(at, by)| json!({"at": at, "by": by})),
        "opened": ticket.opened,
        "opened_at": Some(ticket.opened_at).filter(|at| *at > 0),
        "wrong": ticket.wrong,
    })
}

/// Links of a facility, the newest first.
pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let paging = Paging::of(&call)?;
    let text = |name: &str| call.query_value(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let study = text("study").map(|text| Uid::parse(&text).map_err(|error| bad("study", error.to_string())));
    let (study, mrn, wanted) = (study.transpose()?, text("mrn"), text("state"));
    let states = [TicketState::Open, TicketState::Expired, TicketState::Revoked, TicketState::Locked];
    if wanted.as_ref().is_some_and(|wanted| !states.iter().any(|state| state.name() == wanted)) {
        return Err(bad("state", "a link is open, expired, revoked or locked"));
    }
    let caller = call.caller.clone();
    let tries = call.app.archive.options().shares.tries;
    let found = call
        .blocking(move |archive| {
            let (charts, now) = (archive.charts(), archive.charts().share_clock());
            let numbers = mrn.as_ref().map(|mrn| find::numbers(charts, &caller, facility, mrn)).transpose()?;
            let one = |by: Term, value: &str| find::equal(ChartKind::Ticket, facility, by, value);
            let queries = match (&study, &numbers) {
                (Some(study), _) => vec![one(Term::Study, study.as_str())],
                (None, Some(numbers)) => numbers.iter().map(|number| one(Term::Mrn, number)).collect(),
                (None, None) => vec![one(Term::Any, "")],
            };
            let fits = |row: &ChartRow| {
                let ChartBody::Ticket(ticket) = &row.body else { return false };
                study.as_ref().is_none_or(|study| ticket.studies.contains(study))
                    && numbers.as_ref().is_none_or(|numbers| numbers.contains(&ticket.mrn))
                    && wanted.as_ref().is_none_or(|wanted| ticket.state(now, tries).name() == wanted)
            };
            Ok(find::rows(charts, &caller, &queries, paging, fits)?)
        })
        .await?;
    let view = found.shown("shares", |row| match &row.body {
        ChartBody::Ticket(ticket) => shown(&call, row.key.facility, &row.key.id, ticket),
        _ => Value::Null,
    });
    body(StatusCode::OK, &view)
}

/// Takes a link back.
pub(super) async fn revoke(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let key = key(ChartKind::Ticket, facility, call.parameter("id"), "id")?;
    let (caller, by) = (call.caller.clone(), format!("rest:{}", call.caller.name));
    let of = key.clone();
    let ticket = call.blocking(move |archive| Ok(archive.charts().revoke_ticket(&caller, &of, &by)?)).await?;
    tracing::info!(%facility, share = key.id, by = call.caller.name, "a patient's link was taken back");
    body(StatusCode::OK, &shown(&call, facility, &key.id, &ticket))
}
