//! Launch links (IHE Invoke Image Display, RAD-106): a hospital's own system opens studies for one of its people.
//!
//! A link is signed with a key of the facility ([`token`], [`signed`]), opens once ([`used`]) unless it stands in a message
//! ([`message`]), and starts a session that reads the studies it names and nothing else ([`sessions`]). What it names stands in its token; what its address asks
//! beside that can only narrow it; what its person may reach of that follows from the role ([`roles`]). After the first
//! answer neither token nor patient is in an address any more.
//! Deliberately not here: links for patients ([`crate::share`]), which need a second factor, and the viewer itself.

mod claim;
mod find;
mod keys;
mod message;
mod page;
mod roles;
mod sessions;
mod signed;
mod token;
mod used;

use crate::admin::bytes;
use crate::app::Call;
use crate::auth::{TokenFileError, cookie_named};
use crate::charts::studies::viewer_path;
use crate::dicomweb::qido::split_query;
use crate::options::LaunchOptions;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use crate::{app, reads, session};
use archive::{Archive, FoundRow, StudyKey};
use axum::response::{IntoResponse, Response};
use claim::{Claim, Refusal};
use find::{Asked, Led};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use keys::Keys;
use model::chart::Order;
use model::{Caller, Role, Uid};
use serde_json::json;
use sessions::Sessions;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use used::Used;

pub use message::MessageLinks;
pub(crate) use page::{day, person};
pub(crate) use roles::{Rights, VIEW};
pub(crate) use sessions::{Purpose, Session};

/// Name of the cookie that names a session.
const COOKIE: &str = "khoanh-launch";
/// Longest form.
const FORM_MAX: usize = 16 << 10;

/// What launch links need between requests.
pub(crate) struct Launch {
    keys: Keys,
    used: Used,
    sessions: Sessions,
    options: LaunchOptions,
    /// When this began, milliseconds since 1970 UTC: what was opened before is not remembered.
    began: u64,
}

/// Whether the file of keys can be used, so that a start with a wrong one is refused.
pub(crate) fn check(options: &LaunchOptions) -> Result<(), TokenFileError> {
    options.keys.as_deref().map_or(Ok(()), |path| keys::read(path).map(drop))
}

impl Launch {
    pub(crate) fn new(options: LaunchOptions) -> Self {
        let keys = Keys::open(options.keys.as_deref());
        let began = (options.clock)();
        Self { keys, used: Used::default(), sessions: Sessions::default(), options, began }
    }

    pub(crate) fn now(&self) -> u64 {
        (self.options.clock)()
    }

    /// Begins a session; its cookie, and how long it lasts. The one that the browser had is over: its cookie is replaced.
    pub(crate) fn begin(&self, call: &Call, session: Arc<Session>, lasts: Duration) -> Result<HeaderValue, Problem> {
        let secret = self.sessions.begin(session, self.now()).map_err(|refusal| counted(&refusal))?;
        self.end(&call.parts.headers);
        let cookie = session::cookie(call, COOKIE, &secret, "Lax", &format!("; Max-Age={}", lasts.as_secs()));
        cookie.ok_or_else(|| Problem::new(Kind::Internal, "the cookie of the session cannot be written"))
    }

    /// The session of a browser that opened a link: for reading, and only without a token of its own.
    pub(crate) fn session_of(&self, method: &Method, headers: &HeaderMap) -> Option<Arc<Session>> {
        if !matches!(*method, Method::GET | Method::HEAD) || headers.contains_key(header::AUTHORIZATION) {
            return None;
        }
        self.sessions.get(cookie_named(headers, COOKIE)?, self.now())
    }

    /// Ends the session of a browser.
    pub(crate) fn end(&self, headers: &HeaderMap) {
        if let Some(secret) = cookie_named(headers, COOKIE) {
            self.sessions.end(secret);
        }
    }

    /// What the parameters of a link were signed for, whenever that holds.
    fn claim(&self, query: &[(String, String)]) -> Result<Claim, Refusal> {
        let keys = self.keys.now();
        if keys.is_empty() {
            return Err(Refusal::NoKeys);
        }
        let value = |name: &str| parameter(query, name);
        match (value("token"), value("signature")) {
            (Some(token), None) => token::read(token, &keys),
            (None, Some(signature)) => signed::read(query, signature, &keys),
            _ => Err(Refusal::Malformed("a link has either a token or a signature")),
        }
    }
}

/// First value of a parameter; IHE writes `requestType`, others write what they like.
fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The cookie that makes a browser forget its session, where it has one.
pub(crate) fn forgotten(call: &Call) -> Option<HeaderValue> {
    cookie_named(&call.parts.headers, COOKIE)?;
    session::cookie(call, COOKIE, "", "Lax", "; Max-Age=0")
}

/// Answers a path of launch links; people see a page also when it is refused.
pub(crate) async fn answer(endpoint: Endpoint, call: Call) -> Response {
    let done = match endpoint {
        Endpoint::LaunchPage => list(&call).await,
        Endpoint::LaunchState => state(&call).await,
        _ => launch(endpoint, &call).await,
    };
    let mut response = done.unwrap_or_else(|problem| refused(endpoint, &call, problem));
    // Neither the link nor what it led to is for a cache.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refused(endpoint: Endpoint, call: &Call, problem: Problem) -> Response {
    if endpoint != Endpoint::LaunchState && takes_pages(call) {
        page::refused(call, &problem)
    } else {
        problem.into_response()
    }
}

/// Whether a person asks, by a browser.
fn takes_pages(call: &Call) -> bool {
    let mut accepts = call.parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.any(|text| text.contains("text/html"))
}

async fn launch(endpoint: Endpoint, call: &Call) -> Result<Response, Problem> {
    if call.parts.method == Method::HEAD {
        return Err(Problem::new(Kind::MethodNotAllowed, "a link opens once, by GET or POST").at("method"));
    }
    if call.app.viewer.is_none() {
        return Err(Problem::new(Kind::NotFound, "no viewer is set up here").at("path"));
    }
    if endpoint == Endpoint::Launch && call.query.is_empty() && takes_pages(call) {
        return Ok(page::fragment(call));
    }
    let query = match endpoint {
        Endpoint::LaunchForm => {
            let form = bytes(call, FORM_MAX).await?;
            split_query(std::str::from_utf8(&form).map_err(|_| bad("the form is not UTF-8", "body"))?)?
        }
        _ => call.query.clone(),
    };
    let (session, claim) = granted(call, &query)?;
    let launch = &call.app.launch;
    let found = look(call, &session).await?;
    let images = session.rights.images;
    let reader = reads::of_session(call, &session);
    let cookie = launch.begin(call, session, launch.options.session)?;
    opened(&claim);
    for study in &found {
        let study = StudyKey { facility: claim.facility, study: study.clone(), patient: 0 };
        call.app.archive.charts().note_read(&reader, &study, 1, 0);
    }
    let path = match found.as_slice() {
        [study] if images => viewer_path(study),
        _ => "/viewer/iid/studies".to_owned(),
    };
    let to = HeaderValue::from_str(&format!("{}{path}", call.base_path()));
    let to = to.map_err(|_| Problem::new(Kind::Internal, "the path of the viewer cannot be written"))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to), (header::SET_COOKIE, cookie)]).into_response())
}

/// Counts and logs a link that opened; what was opened past what its person may usually see is marked.
fn opened(claim: &Claim) {
    let Claim { facility, user, role, purpose, .. } = claim;
    metrics::counter!("khoanh_launch_total", "outcome" => "opened").increment(1);
    if roles::breaks_glass(purpose) {
        metrics::counter!("khoanh_launch_break_glass_total").increment(1);
        tracing::warn!(%facility, user, role, purpose, break_glass = true, "a launch link was opened in an emergency");
    } else {
        tracing::info!(%facility, user, role, purpose, "a launch link was opened");
    }
}

/// The session that a link asks for, where it opens; it has been opened from then on.
fn granted(call: &Call, query: &[(String, String)]) -> Result<(Arc<Session>, Claim), Problem> {
    let launch = &call.app.launch;
    let skew = u64::try_from(launch.options.skew.as_millis()).unwrap_or(0);
    let (now, refuse) = (launch.now(), |refusal: Refusal| counted(&refusal));
    let claim = launch.claim(query).map_err(refuse)?;
    let rights = roles::of(&claim).map_err(refuse)?;
    claim.check_times(now, launch.began, skew).map_err(refuse)?;
    let asked = Asked::of(query, &claim)?;
    let facility = claim.facility;
    let (known, sources) = call.app.archive.sources();
    if !known.iter().any(|one| one.code == facility) {
        return Err(refuse(Refusal::Facility));
    }
    let issuers = sources.iter().filter(|source| source.facility == facility).map(|source| source.issuer.as_str());
    asked.check_issuer(facility, &issuers.collect::<Vec<_>>()).map_err(refuse)?;
    let mut until = now.saturating_add(u64::try_from(launch.options.session.as_millis()).unwrap_or(0));
    if claim.lasts {
        until = until.min(claim.expires.saturating_add(skew));
    } else {
        launch.used.take(&claim, skew, now).map_err(refuse)?;
    }
    let caller = Caller {
        name: format!("launch:{facility}:{}", claim.user),
        role: Role::Reader,
        home: Some(facility),
        facilities: Some(BTreeSet::from([facility])),
        sees_rejected: false,
    };
    let mut session = Session::new(caller, facility, Purpose::Launch(Box::new(asked)), rights, until);
    session.claimed = [claim.role.trim(), claim.purpose.trim()]
        .into_iter()
        .filter(|one| !one.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    Ok((Arc::new(session.of_message(message::name(&claim))), claim))
}

fn counted(refusal: &Refusal) -> Problem {
    metrics::counter!("khoanh_launch_total", "outcome" => refusal.name()).increment(1);
    refusal.problem()
}

fn bad(what: &str, place: &str) -> Problem {
    Problem::new(Kind::BadRequest, what).at(place)
}

/// Looks for the studies of a session, which may read them from then on.
async fn look(call: &Call, session: &Arc<Session>) -> Result<Vec<Uid>, Problem> {
    Ok(led(call, session).await?.rows.into_iter().map(|row| row.study).collect())
}

/// Looks again, every few seconds, whether what a link in a message, or one that names a patient, has open is still its
/// patient's alone, and what came; whether it looked. Where the index or charts do not answer, all stays as it was.
pub(crate) async fn renewed(call: &Call, session: &Arc<Session>) -> bool {
    let now = call.app.launch.now();
    if !session.follows_a_patient() || !session.is_due(now) {
        return false;
    }
    let looking = Arc::clone(session);
    let looked = move |archive: &Arc<Archive>| -> Result<(), Problem> {
        if let Purpose::Launch(asked) = &looking.purpose {
            looking.close(&find::gone(archive, &looking, asked, looking.open())?);
        }
        Ok(())
    };
    let done = match call.blocking(looked).await {
        Ok(()) => led(call, session).await.map(drop),
        Err(problem) => Err(problem),
    };
    if let Err(problem) = done {
        tracing::debug!(why = %problem.detail, "what a launch link has open cannot be looked at again now");
    }
    session.looked(now);
    true
}

async fn found(call: &Call, session: &Arc<Session>) -> Result<Led, Problem> {
    let looking = Arc::clone(session);
    let looked = move |archive: &Arc<Archive>| match &looking.purpose {
        Purpose::Launch(asked) => find::studies(archive, &looking, asked),
        Purpose::Shared(_) => Err(Refusal::Ended.problem()),
    };
    call.blocking(looked).await
}

async fn led(call: &Call, session: &Arc<Session>) -> Result<Led, Problem> {
    let led = found(call, session).await?;
    session.add(&led.rows.iter().map(|row| row.study.clone()).collect::<Vec<_>>());
    Ok(led)
}

fn own(call: &Call) -> Result<Arc<Session>, Problem> {
    let session = call.app.launch.session_of(&call.parts.method, &call.parts.headers);
    session.ok_or_else(|| Refusal::Ended.problem())
}

/// The page of a session: its studies, or that they are still to come.
async fn list(call: &Call) -> Result<Response, Problem> {
    let session = own(call)?;
    let Led { rows, withheld } = led(call, &session).await?;
    let mut listed: Vec<(FoundRow, Vec<Order>)> = rows.into_iter().map(|row| (row, Vec::new())).collect();
    if session.rights.orders {
        let looking = Arc::clone(&session);
        listed = call.blocking(move |archive| Ok(find::with_orders(archive, &looking, listed))).await?;
    }
    Ok(page::studies(call, &listed, withheld, session.rights))
}

/// How many studies there are by now, how many are withheld, and where to go when it is one.
async fn state(call: &Call) -> Result<Response, Problem> {
    let session = own(call)?;
    let Led { rows, withheld } = led(call, &session).await?;
    let open = match rows.as_slice() {
        [row] if session.rights.images => Some(format!("{}{}", call.base_path(), viewer_path(&row.study))),
        _ => None,
    };
    Ok(app::json(StatusCode::OK, json!({"studies": rows.len(), "withheld": withheld, "open": open}).to_string()))
}
