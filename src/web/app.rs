//! From a request to its handler: routing, caller, roots, and what every answer carries.

use crate::accept::{self, MediaRange};
use crate::auth::{self, Tokens};
use crate::fhir::{self, outcome};
use crate::launch::{self, Launch};
use crate::options::Options;
use crate::problem::{Kind, Problem};
use crate::routes::{Access, Endpoint, ROUTES, Route, Verb};
use crate::server::Peer;
use crate::viewer::Viewer;
use crate::{
    admin, base_url, body, capabilities, charts, corrections, cors, dicomweb, judgement, matches, moves, observe,
    openapi, outbox, reads, session, share, start_page, viewer,
};
use archive::Archive;
use archive::memory::Memory;
use archive::render::Gone;
use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use model::{Caller, FacilityCode, Scope};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// What all requests share.
pub struct App {
    /// The archive.
    pub archive: Arc<Archive>,
    /// Options.
    pub options: Options,
    pub(crate) tokens: Tokens,
    pub(crate) documents: Arc<Memory<String, Bytes>>,
    pub(crate) transcodes: Arc<Semaphore>,
    /// Places among the pictures that are made at the same time.
    pub(crate) pictures: Arc<Semaphore>,
    /// Places among the animations that are made at the same time: half as many, so that single pictures go on.
    pub(crate) animations: Arc<Semaphore>,
    /// The turn of trying the code of a patient's link, which is dear by intention: strangers get one processor for it,
    /// whoever else is served.
    pub(crate) tries: Arc<Semaphore>,
    /// The turn of a report over many orders: they are made one after the other, and whoever waits keeps no thread from
    /// others.
    pub(crate) reports: Arc<Semaphore>,
    /// Places among the WebSockets of subscribers.
    pub(crate) sockets: Arc<Semaphore>,
    pub(crate) openapi: Bytes,
    pub(crate) viewer: Option<Viewer>,
    pub(crate) launch: Launch,
    /// Identifier systems of FHIR.
    pub(crate) fhir: fhir::Map,
}

impl App {
    /// The shared state over an archive.
    pub fn new(archive: Arc<Archive>, options: Options, tokens: Tokens) -> Arc<Self> {
        let weigh = |key: &String, document: &Bytes| {
            u32::try_from(document.len().saturating_add(key.len()).saturating_add(128)).unwrap_or(u32::MAX)
        };
        let documents = Arc::new(Memory::new(options.metadata_cache, weigh));
        archive.forgets_too(documents.clone());
        body::bound(options.answer_memory);
        let transcodes = Arc::new(Semaphore::new(options.transcodes_max.clamp(1, Semaphore::MAX_PERMITS)));
        let at_once = archive.options().pictures.at_once;
        let animations = Arc::new(Semaphore::new((at_once / 2).clamp(1, Semaphore::MAX_PERMITS)));
        let pictures = Arc::new(Semaphore::new(archive.options().pictures.at_once.clamp(1, Semaphore::MAX_PERMITS)));
        let (tries, reports) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        let sockets = Arc::new(Semaphore::new(dicomweb::ups::socket::SOCKETS_MAX));
        let openapi = Bytes::from(openapi::document().to_string());
        let viewer = options.viewer.as_deref().and_then(Viewer::open);
        let launch = Launch::new(options.launch.clone());
        let fhir = fhir::Map::open(options.fhir.systems.as_deref());
        Arc::new(Self {
            archive,
            options,
            tokens,
            documents,
            transcodes,
            pictures,
            animations,
            tries,
            reports,
            sockets,
            openapi,
            viewer,
            launch,
            fhir,
        })
    }
}

/// One request on its way to its handler.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
    /// The session of a launch link, which reads nothing but its studies.
    pub(crate) session: Option<Arc<launch::Session>>,
    pub(crate) scope: Scope,
    /// What is read of studies, for the record of that.
    pub(crate) seen: reads::Seen,
    pub(crate) parts: Parts,
    /// The body, for the one handler that takes it.
    pub(crate) body: Mutex<Body>,
    /// Path parameters by name, percent-decoded.
    parameters: Vec<(String, String)>,
    /// Query parameters in order, percent-decoded.
    pub(crate) query: Vec<(String, String)>,
}

impl Call {
    /// A path parameter; the router guarantees those of the template.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// A UID of the path.
    pub(crate) fn uid(&self, name: &str) -> Result<model::Uid, Problem> {
        dicomweb::uid(self.parameter(name), name)
    }

    /// First value of a query parameter.
    pub(crate) fn query_value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The media ranges of the request, best first.
    pub(crate) fn accepts(&self) -> Result<Vec<MediaRange>, Problem> {
        accept::ranges(&self.parts.headers, self.query_value("accept"))
    }

    /// URL of the service as the client sees it, without a trailing slash.
    pub(crate) fn base_url(&self) -> String {
        let options = &self.app.options;
        let peer = self.parts.extensions.get::<Peer>();
        let (uri, headers) = (&self.parts.uri, &self.parts.headers);
        base_url::base_url(options.public_url.as_deref(), options.trust_forwarded, peer, uri, headers)
    }

    /// Path in front of the service's own paths as the client sees them, without a trailing slash; mostly empty.
    pub(crate) fn base_path(&self) -> String {
        let base = self.base_url();
        let rest = base.split_once("://").map_or("", |(_, rest)| rest);
        rest.split_once('/').map_or_else(String::new, |(_, path)| format!("/{path}"))
    }

    /// URL of the DICOMweb root that was asked, as the client sees it, without a trailing slash.
    pub(crate) fn service_root(&self) -> String {
        let base = self.base_url();
        match self.scope {
            Scope::Shared => format!("{base}{}", crate::routes::SHARED_ROOT),
            Scope::Facility(code) => format!("{base}/facilities/{code}/dicom-web"),
        }
    }

    /// Runs blocking work of the archive away from the event loop.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Archive>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let archive = Arc::clone(&self.app.archive);
        tokio::task::spawn_blocking(move || work(&archive)).await.map_err(Problem::task)?
    }

    /// The same for work that takes long: it can ask whether the client has gone, and should end then.
    pub(crate) async fn blocking_while_asked<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Archive>, &Gone) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        // A request whose connection ends is dropped, and this with it.
        let asker = Arc::new(());
        let asked = Arc::downgrade(&asker);
        let gone: Gone = Arc::new(move || asked.strong_count() == 0);
        let done = self.blocking(move |archive| work(archive, &gone)).await;
        drop(asker);
        done
    }
}

/// The router of the whole service.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        for template in route.templates() {
            let filter = match route.verb {
                Verb::Get => MethodFilter::GET,
                Verb::Post => MethodFilter::POST,
                Verb::Put => MethodFilter::PUT,
                Verb::Delete => MethodFilter::DELETE,
            };
            let app = Arc::clone(&app);
            let handler = move |parameters: RawPathParams, request: Request| answer(app, route, parameters, request);
            router = router.route(&template, on(filter, handler));
        }
    }
    let (described, allowed) = (Arc::clone(&app), Arc::new(cors::Allowed::new(&app.options.cors_origins)));
    router
        .fallback(|request: Request| async move {
            refused(request.uri().path(), Problem::new(Kind::NotFound, "no service at this path").at("path"))
        })
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn(move |request: Request, next: Next| {
            capabilities::options(Arc::clone(&described), request, next)
        }))
        .layer(axum::middleware::from_fn(move |request: Request, next: Next| {
            cors::apply(Arc::clone(&allowed), request, next)
        }))
        .layer(axum::middleware::from_fn(observe::finish))
}

async fn wrong_method(request: Request) -> Response {
    let detail = format!("{} is not allowed on this path", request.method());
    refused(request.uri().path(), Problem::new(Kind::MethodNotAllowed, detail).at("method"))
}

/// A refusal in the form of the service at a path.
fn refused(path: &str, problem: Problem) -> Response {
    if outcome::is_ours(path) { outcome::respond(problem) } else { problem.into_response() }
}

async fn answer(app: Arc<App>, route: &'static Route, parameters: RawPathParams, request: Request) -> Response {
    let started = std::time::Instant::now();
    let archive = Arc::clone(&app.archive);
    let mut response = match prepare(app, route, &parameters, request) {
        Ok(call) => match still(route, &call).await {
            Ok(()) => {
                let watch = reads::may_read(route.endpoint).then(|| reads::Watch::of(route.endpoint, &call));
                let answer = dispatch(route.endpoint, call).await;
                let response = answer.unwrap_or_else(|problem| refused(route.path, problem));
                if let Some(watch) = watch {
                    watch.end(&archive, response.status());
                }
                response
            }
            Err(problem) => refused(route.path, problem),
        },
        Err(problem) => refused(route.path, problem),
    };
    observe::record(route, response.status(), started.elapsed());
    response.extensions_mut().insert(observe::Answered(route.path));
    response
}

fn prepare(app: Arc<App>, route: &Route, parameters: &RawPathParams, request: Request) -> Result<Call, Problem> {
    let (parts, body) = request.into_parts();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    let mut session = None;
    let caller = match route.access {
        Access::Public => Caller::demo(),
        Access::Role(role) => {
            session = app.launch.session_of(&parts.method, &parts.headers);
            let caller = match &session {
                Some(session) => session.caller.clone(),
                None => app.tokens.caller(&parts.method, &parts.headers, now)?,
            };
            auth::require(&caller, role)?;
            caller
        }
    };
    let parameters: Vec<(String, String)> = parameters.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let scope = match parameters.iter().find(|(name, _)| name == "facility") {
        None => Scope::Shared,
        Some((_, code)) => Scope::Facility(facility(code, &caller)?),
    };
    if let Some(session) = &session {
        session.permit(route.endpoint, &parameters)?;
    }
    let query = dicomweb::qido::split_query(parts.uri.query().unwrap_or_default())?;
    let seen = reads::Seen::default();
    Ok(Call { app, caller, session, scope, seen, parts, body: Mutex::new(body), parameters, query })
}

/// Whether the session of a link that opens again and again still holds, and still reads what is asked: links are revoked,
/// studies corrected.
async fn still(route: &Route, call: &Call) -> Result<(), Problem> {
    let Some(session) = &call.session else { return Ok(()) };
    if share::renewed(call, session).await? || launch::renewed(call, session).await {
        return session.permit(route.endpoint, &call.parameters);
    }
    Ok(())
}

fn facility(code: &str, caller: &Caller) -> Result<FacilityCode, Problem> {
    let place = "path segment facility";
    let code =
        FacilityCode::parse(code).map_err(|error| Problem::new(Kind::BadRequest, error.to_string()).at(place))?;
    if caller.may_see(code) {
        return Ok(code);
    }
    Err(Problem::new(Kind::Forbidden, format!("the token is not for facility {code}")).at(place))
}

async fn dispatch(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    match endpoint {
        Endpoint::StartPage => Ok(start_page::page(&call)),
        Endpoint::StewardPage => Ok(start_page::steward(&call)),
        Endpoint::PageFile => start_page::file(&call),
        Endpoint::Viewer | Endpoint::ViewerPage | Endpoint::ViewerFile => viewer::answer(endpoint, &call),
        Endpoint::Session => session::show(&call).await,
        Endpoint::BeginSession => session::begin(&call),
        Endpoint::EndSession => Ok(session::end(&call)),
        Endpoint::Capabilities => capabilities::answer(&call.parts.headers, call.query_value("accept"), call.scope),
        Endpoint::WadoUri => dicomweb::wado_uri::retrieve(call).await,
        Endpoint::Live => Ok("live\n".into_response()),
        Endpoint::Ready => Ok(admin::ready(&call).await),
        Endpoint::Metrics => Ok(admin::metrics(&call)),
        Endpoint::OpenApi => Ok(json(StatusCode::OK, call.app.openapi.clone())),
        Endpoint::Facilities
        | Endpoint::Sources
        | Endpoint::Destinations
        | Endpoint::Knocks
        | Endpoint::Conflicts
        | Endpoint::Stats => admin::list(endpoint, call).await,
        Endpoint::Prefetch => admin::prefetch(call).await,
        Endpoint::ForwardRules
        | Endpoint::PutForwardRule
        | Endpoint::ForwardRoots
        | Endpoint::PutForwardRoot
        | Endpoint::ForwardStatus
        | Endpoint::ForwardTasks
        | Endpoint::Notices
        | Endpoint::RetryForwards
        | Endpoint::DropForwards
        | Endpoint::PauseForward
        | Endpoint::ResumeForward => admin::forward::answer(endpoint, call).await,
        Endpoint::Launch | Endpoint::LaunchForm | Endpoint::LaunchPage | Endpoint::LaunchState => {
            Ok(launch::answer(endpoint, call).await)
        }
        _ if outbox::is_of_outbox(endpoint) => outbox::answer(endpoint, call).await,
        Endpoint::SharedPage | Endpoint::ShareForm | Endpoint::OpenShare | Endpoint::EndShare => {
            Ok(share::answer(endpoint, call).await)
        }
        Endpoint::FhirMetadata
        | Endpoint::FhirSearch
        | Endpoint::FhirRead
        | Endpoint::FhirAct
        | Endpoint::FhirCreate
        | Endpoint::FhirUpdate
        | Endpoint::FhirDelete => fhir::answer(endpoint, call).await,
        _ if charts::is_of_charts(endpoint) => charts::answer(endpoint, call).await,
        _ if matches::is_of_matches(endpoint) => matches::answer(endpoint, call).await,
        Endpoint::PutFacility | Endpoint::PutSource | Endpoint::PutDestination | Endpoint::DisableSource => {
            admin::change(endpoint, call).await
        }
        _ => serve(endpoint, call).await,
    }
}

/// The services of DICOMweb.
async fn serve(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    match endpoint {
        Endpoint::FindStudies
        | Endpoint::FindSeries
        | Endpoint::FindInstances
        | Endpoint::FindSeriesOfStudy
        | Endpoint::FindInstancesOfStudy
        | Endpoint::FindInstancesOfSeries => dicomweb::qido::find(endpoint, call).await,
        Endpoint::Store | Endpoint::StoreStudy => dicomweb::stow::store(endpoint, call).await,
        Endpoint::RetrieveStudy | Endpoint::RetrieveSeries | Endpoint::RetrieveInstance => {
            dicomweb::wado::instances::retrieve(endpoint, call).await
        }
        Endpoint::StudyMetadata | Endpoint::SeriesMetadata | Endpoint::InstanceMetadata => {
            dicomweb::wado::metadata::retrieve(endpoint, call).await
        }
        Endpoint::Frames => dicomweb::wado::frames::retrieve(call).await,
        Endpoint::BulkData => dicomweb::wado::bulkdata::retrieve(call).await,
        Endpoint::StudyPixels | Endpoint::SeriesPixels | Endpoint::InstancePixels => {
            dicomweb::wado::pixeldata::retrieve(endpoint, call).await
        }
        Endpoint::StudyBulkData | Endpoint::SeriesBulkData | Endpoint::InstanceBulkData => {
            dicomweb::wado::every_value::retrieve(endpoint, call).await
        }
        Endpoint::AskCommitment => dicomweb::commitment::ask(call).await,
        Endpoint::CommitmentResult => dicomweb::commitment::result(call).await,
        Endpoint::Media => dicomweb::wado::media_set::retrieve(call).await,
        Endpoint::RenderedInstance => dicomweb::wado::rendered::retrieve(call).await,
        Endpoint::RenderedStudy | Endpoint::RenderedSeries | Endpoint::RenderedFrames => {
            dicomweb::wado::pictures::retrieve(endpoint, call).await
        }
        Endpoint::ThumbnailOfStudy
        | Endpoint::ThumbnailOfSeries
        | Endpoint::ThumbnailOfInstance
        | Endpoint::ThumbnailOfFrames => dicomweb::wado::thumbnail::retrieve(endpoint, call).await,
        Endpoint::Thumbnails => dicomweb::wado::thumbnail::list(call).await,
        Endpoint::Rejections => judgement::rejections(call).await,
        Endpoint::Restore => judgement::restore(call).await,
        Endpoint::Corrections => corrections::list(call).await,
        Endpoint::Correct => corrections::correct(call).await,
        _ if moves::is_of_moves(endpoint) => moves::answer(endpoint, call).await,
        _ if dicomweb::ups::is_of_steps(endpoint) => dicomweb::ups::answer(endpoint, call).await,
        _ => dicomweb::reject::reject(endpoint, call).await,
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The address of the peer, for logs.
pub(crate) fn peer_address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.address)
}
