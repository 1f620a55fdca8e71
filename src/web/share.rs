//! Links that patients open themselves: an address on paper as a QR code, a birth date and a code, then their images.
//!
//! Whoever has the address alone is told nothing: the page asks the same of every address, and answers the same whether a
//! link is wrong, expired, revoked or locked. Who knows all three gets a session that reads the link's studies and, unless
//! the link allows more, only looks. Deliberately not here: what opens a link, and what it shows ([`archive::charts`]).

mod page;
pub(crate) mod sheet;

use crate::admin::bytes;
use crate::app::Call;
use crate::dicomweb::qido::split_query;
use crate::launch::{self, Purpose, Rights, Session, VIEW};
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::charts::{ShareAnswer, SharedStudies};
use archive::{Archive, FoundRow};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::attribute::key;
use model::chart::{ChartKey, Ticket};
use model::query::{Condition, Query, Test};
use model::{Caller, Level, Role, Scope};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest form.
const FORM_MAX: usize = 4 << 10;
/// Series of one study that have a picture on the page.
const SERIES_MAX: usize = 24;

/// A study on the page, with its series.
pub(crate) struct Shown {
    row: FoundRow,
    series: Vec<FoundRow>,
}

/// Answers a path of patients' links.
pub(crate) async fn answer(endpoint: Endpoint, call: Call) -> Response {
    let done = match endpoint {
        Endpoint::ShareForm => Ok(page::form(&call, StatusCode::OK, false)),
        Endpoint::OpenShare => open(&call).await,
        Endpoint::EndShare => Ok(end(&call)),
        _ => list(&call).await,
    };
    let mut response = done.unwrap_or_else(|problem| page::failed(&call, &problem));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn count(outcome: &'static str) {
    metrics::counter!("khoanh_share_total", "outcome" => outcome).increment(1);
}

async fn open(call: &Call) -> Result<Response, Problem> {
    let form = bytes(call, FORM_MAX).await?;
    let form = split_query(std::str::from_utf8(&form).unwrap_or_default())?;
    let value = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim()).to_owned();
    let (secret, birth, code) = (call.parameter("secret").to_owned(), value("birth"), value("code"));
    let turn = Arc::clone(&call.app.tries).acquire_owned().await;
    let tried = call.blocking(move |archive| {
        // Held until the work ends, not until its asker has gone.
        let _turn = turn;
        Ok(archive.open_share(&secret, &birth, &code)?)
    });
    let answer = tried.await?;
    match answer {
        ShareAnswer::Opened(row, ticket) => begin(call, row, &ticket).await,
        ShareAnswer::Expired => {
            count("expired");
            Ok(page::over(call, false))
        }
        ShareAnswer::Revoked => {
            count("revoked");
            Ok(page::over(call, true))
        }
        ShareAnswer::Refused => {
            count("refused");
            tracing::info!("a patient's link was not opened");
            Ok(page::form(call, StatusCode::FORBIDDEN, true))
        }
    }
}

/// The session of an opened link.
async fn begin(call: &Call, row: ChartKey, ticket: &Ticket) -> Result<Response, Problem> {
    let (launch, lasts) = (&call.app.launch, call.app.options.share.session);
    let millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let until = launch.now().saturating_add(millis);
    let facility = row.facility;
    let caller = Caller {
        name: format!("share:{facility}:{}", row.id),
        role: Role::Reader,
        home: Some(facility),
        facilities: Some(BTreeSet::from([facility])),
        sees_rejected: false,
    };
    count("opened");
    tracing::info!(%facility, share = row.id, opened = ticket.opened, "a patient's link was opened");
    let rights = Rights { download: ticket.download, ..VIEW };
    let session = Arc::new(Session::new(caller, facility, Purpose::Shared(row), rights, until));
    // The viewer may be asked before the page.
    look(call, &session).await?;
    let cookie = launch.begin(call, session, Duration::from_millis(millis))?;
    let to = HeaderValue::from_str(&format!("{}/share", call.base_path()));
    let to = to.map_err(|_| Problem::new(Kind::Internal, "the path of the page cannot be written"))?;
    // From here on neither the address nor what follows it holds the link.
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to), (header::SET_COOKIE, cookie)]).into_response())
}

fn end(call: &Call) -> Response {
    call.app.launch.end(&call.parts.headers);
    let mut response = page::ended(call);
    if let Some(cookie) = launch::forgotten(call) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// What a session shows now; it reads that and nothing else from then on. None: the link no longer holds.
async fn look(call: &Call, session: &Arc<Session>) -> Result<Option<SharedStudies>, Problem> {
    let Some(row) = session.shared().cloned() else { return Ok(None) };
    let shared = call.blocking(move |archive| Ok(archive.shared(&row)?)).await?;
    let studies = shared.iter().flat_map(|shared| shared.rows.iter()).map(|row| row.study.clone());
    session.set(studies, call.app.launch.now());
    if shared.is_none() {
        call.app.launch.end(&call.parts.headers);
    }
    Ok(shared)
}

/// Looks again whether the link of a session holds and what it shows, every few seconds; whether it looked.
pub(crate) async fn renewed(call: &Call, session: &Arc<Session>) -> Result<bool, Problem> {
    if session.shared().is_none() || !session.is_due(call.app.launch.now()) {
        return Ok(false);
    }
    match look(call, session).await? {
        Some(_) => Ok(true),
        None => Err(Problem::new(Kind::Forbidden, "the link no longer holds")),
    }
}

async fn list(call: &Call) -> Result<Response, Problem> {
    let session = call.app.launch.session_of(&call.parts.method, &call.parts.headers);
    let Some(session) = session.filter(|session| session.shared().is_some()) else { return Ok(page::ended(call)) };
    let Some(shared) = look(call, &session).await? else { return Ok(page::ended(call)) };
    let (destroyed, withheld) = (shared.destroyed, shared.withheld);
    let caller = session.caller.clone();
    let shown =
        call.blocking(move |archive| shared.rows.into_iter().map(|row| series(archive, &caller, row)).collect());
    let shown: Vec<Shown> = shown.await?;
    Ok(page::studies(call, &session, &shown, (destroyed, withheld)))
}

fn series(archive: &Archive, caller: &Caller, row: FoundRow) -> Result<Shown, Problem> {
    let test = Test::OneOf(vec![row.study.as_str().to_owned()]);
    let conditions = vec![Condition { key: key::STUDY_INSTANCE_UID, test }];
    let query = Query { level: Level::Series, conditions, fuzzy: false };
    let found = archive.find(caller, Scope::Facility(row.facility), &query, 0, SERIES_MAX)?;
    Ok(Shown { row, series: found.rows })
}
