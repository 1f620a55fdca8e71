//! Every path of the service in one table: the router, the OpenAPI document and the tests are made from it.

use model::Role;

/// HTTP methods of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Reads.
    Get,
    /// Stores or triggers.
    Post,
    /// Adds or replaces.
    Put,
    /// Rejects or ends.
    Delete,
}

impl Verb {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Callers of this role or a higher one.
    Role(Role),
}

/// Where a route is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    /// As written.
    Plain,
    /// Under the shared root and under every facility's root.
    Dicomweb,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Endpoint {
    StartPage,
    PageFile,
    StewardPage,
    Viewer,
    ViewerPage,
    ViewerFile,
    Session,
    BeginSession,
    EndSession,
    Live,
    Ready,
    Metrics,
    OpenApi,
    Facilities,
    PutFacility,
    Sources,
    PutSource,
    DisableSource,
    Destinations,
    PutDestination,
    ForwardRules,
    PutForwardRule,
    ForwardRoots,
    PutForwardRoot,
    ForwardStatus,
    ForwardTasks,
    RetryForwards,
    DropForwards,
    Notices,
    PauseForward,
    ResumeForward,
    Knocks,
    Conflicts,
    Stats,
    Prefetch,
    FindPatients,
    PutPatient,
    Patient,
    MergePatients,
    Unmerge,
    Orders,
    CreateOrder,
    PutOrder,
    Order,
    CancelOrder,
    Worklist,
    Available,
    Reports,
    SendReport,
    Messages,
    Reads,
    Changes,
    Subscriptions,
    Subscribe,
    Unsubscribe,
    PauseSubscription,
    ResumeSubscription,
    Deliveries,
    RetryDeliveries,
    Timeline,
    ReportDocument,
    Matches,
    MatchStudy,
    UnmatchStudy,
    LeaveMatch,
    UndoMatch,
    AssignPatient,
    UndoAssign,
    SearchPatients,
    Person,
    Proposals,
    Verifications,
    AcceptProposal,
    RefuseProposal,
    UndoProposal,
    LinkPerson,
    UnlinkPerson,
    RejoinPerson,
    Completeness,
    Turnaround,
    Launch,
    LaunchForm,
    LaunchPage,
    LaunchState,
    IssueShare,
    Shares,
    RevokeShare,
    SharedPage,
    EndShare,
    ShareForm,
    OpenShare,
    FhirMetadata,
    FhirSearch,
    FhirRead,
    FhirAct,
    FhirCreate,
    FhirUpdate,
    FhirDelete,
    FindStudies,
    FindSeries,
    FindInstances,
    FindSeriesOfStudy,
    FindInstancesOfStudy,
    FindInstancesOfSeries,
    Store,
    StoreStudy,
    RetrieveStudy,
    RetrieveSeries,
    RetrieveInstance,
    StudyMetadata,
    SeriesMetadata,
    InstanceMetadata,
    Frames,
    BulkData,
    StudyPixels,
    SeriesPixels,
    InstancePixels,
    StudyBulkData,
    SeriesBulkData,
    InstanceBulkData,
    Rejections,
    Restore,
    Corrections,
    Correct,
    SeriesMoves,
    MoveSeries,
    SplitSeries,
    UndoMove,
    RejectStudy,
    RejectSeries,
    RejectInstance,
    RenderedStudy,
    RenderedSeries,
    RenderedInstance,
    RenderedFrames,
    ThumbnailOfStudy,
    ThumbnailOfSeries,
    ThumbnailOfInstance,
    ThumbnailOfFrames,
    Thumbnails,
    Media,
    Capabilities,
    WadoUri,
    AskCommitment,
    CommitmentResult,
    FindWorkitems,
    CreateWorkitem,
    RetrieveWorkitem,
    UpdateWorkitem,
    ChangeWorkitemState,
    CancelWorkitem,
    SubscribeWorkitem,
    UnsubscribeWorkitem,
    SuspendWorkitems,
    Notifications,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Method.
    pub verb: Verb,
    /// Path template; `{name}` is one segment, `{*name}` the rest.
    pub path: &'static str,
    /// Mount.
    pub mount: Mount,
    /// Access.
    pub access: Access,
    /// What it does.
    pub endpoint: Endpoint,
    /// One sentence for people.
    pub summary: &'static str,
    /// Media types of a good answer.
    pub produces: &'static [&'static str],
    /// Statuses it answers with, 401, 403, 404 and 500 aside.
    pub statuses: &'static [u16],
}

/// Shared root of the DICOMweb services.
pub const SHARED_ROOT: &str = "/dicom-web";
/// Root of one facility's DICOMweb services.
pub const FACILITY_ROOT: &str = "/facilities/{facility}/dicom-web";

impl Route {
    /// The full path templates it answers under.
    pub fn templates(&self) -> Vec<String> {
        match self.mount {
            Mount::Plain => vec![self.path.to_owned()],
            Mount::Dicomweb => [SHARED_ROOT, FACILITY_ROOT].map(|root| format!("{root}{}", self.path)).to_vec(),
        }
    }
}

const JSON: &[&str] = &["application/json"];
const FOUND: &[&str] = &["application/dicom+json", "multipart/related; type=\"application/dicom+xml\""];
const OBJECTS: &[&str] = &["multipart/related; type=\"application/dicom\"", "application/zip"];
const OBJECT: &[&str] = &["multipart/related; type=\"application/dicom\"", "application/dicom", "application/zip"];
const METADATA: &[&str] = FOUND;
const PICTURES: &[&str] = &["image/jpeg", "image/png", "image/gif", "multipart/related; type=\"image/jpeg\""];
const THUMBNAIL: &[&str] = &["image/jpeg", "image/png", "image/gif"];
const RENDERED: &[&str] = &[
    "image/jpeg",
    "image/png",
    "image/gif",
    "multipart/related; type=\"image/jpeg\"",
    "text/html",
    "application/pdf",
    "video/mp4",
    "video/mpeg",
];
const WADL: &[&str] = &["application/vnd.sun.wadl+xml", "application/json"];
const STORED: &[&str] = &["application/dicom+json", "application/dicom+xml"];
const BULK: &[&str] = &["multipart/related", "application/octet-stream", "image/*", "video/*"];
const FIND: &[u16] = &[200, 204, 400, 406, 414, 503];
const RETRIEVE: &[u16] = &[200, 206, 304, 400, 406, 416, 503];
const REJECT: &[u16] = &[200, 400, 409, 503];
const DOCUMENT: &[u16] = &[200, 304, 400, 406, 503];
const COMMIT: &[u16] = &[200, 202, 400, 408, 409, 413, 415, 503];
const STORE: &[u16] = &[200, 202, 400, 406, 408, 409, 413, 415, 503, 507];
const WORKITEM: &[u16] = &[200, 400, 409, 413, 415, 503];
const CHART: &[u16] = &[200, 400, 503];
const CHANGE: &[u16] = &[200, 202, 400, 409, 413, 422, 503];
const DECIDE: &[u16] = &[200, 400, 409, 413, 422, 503];
const FHIR: &[&str] = &["application/fhir+json", "application/json"];
const ASKED: &[u16] = &[200, 304, 400, 405, 406, 422, 503];
const WRITTEN: &[u16] = &[200, 201, 202, 400, 405, 406, 408, 409, 412, 413, 415, 422, 503];
const STEWARD: &[u16] = &[200, 400, 409, 413, 503];
const LAUNCH: &[u16] = &[303, 400, 403, 404, 503];
const READER: Access = Access::Role(Role::Reader);
const SENDER: Access = Access::Role(Role::Sender);
const ADMIN: Access = Access::Role(Role::Admin);

macro_rules! table {
    ($($verb:ident $mount:ident $path:literal $endpoint:ident $access:expr, $produces:expr, $statuses:expr, $summary:literal;)*) => {
        /// Every route.
        pub const ROUTES: &[Route] = &[$(Route {
            verb: Verb::$verb, path: $path, mount: Mount::$mount, access: $access, endpoint: Endpoint::$endpoint,
            summary: $summary, produces: $produces, statuses: $statuses,
        },)*];
    };
}

table! {
    Get Plain "/" StartPage Access::Public, &["text/html"], &[200], "What is where, for people.";
    Get Plain "/page/{*file}" PageFile Access::Public, &["text/css", "text/javascript"], &[200, 304], "Files of the start page.";
    Get Plain "/steward" StewardPage Access::Public, &["text/html"], &[200, 304], "For stewards: studies and orders beside each other, and what is decided of them.";
    Get Plain "/viewer" Viewer Access::Public, &["text/html"], &[308], "Leads to the viewer.";
    Get Plain "/viewer/" ViewerPage Access::Public, &["text/html"], &[200], "The viewer, where it is set up.";
    Get Plain "/viewer/{*file}" ViewerFile Access::Public, &["text/html", "text/javascript", "application/wasm"], &[200, 304], "Files of the viewer; every other path below answers its page.";
    Get Plain "/api/session" Session READER, JSON, &[200], "Who the caller is and which facilities it may see.";
    Post Plain "/api/session" BeginSession READER, JSON, &[200], "Keeps the bearer token in a cookie for reading in a browser.";
    Delete Plain "/api/session" EndSession Access::Public, JSON, &[200], "Forgets the cookie.";
    Get Plain "/health/live" Live Access::Public, &["text/plain"], &[200], "The process answers.";
    Get Plain "/health/ready" Ready Access::Public, JSON, &[200, 503], "Whether objects can be stored durably and found now, and why not.";
    Get Plain "/metrics" Metrics READER, &["text/plain; version=0.0.4"], &[200], "Metrics in the Prometheus text format.";
    Get Plain "/api/openapi.json" OpenApi Access::Public, JSON, &[200], "This description.";
    Get Plain "/api/facilities" Facilities ADMIN, JSON, &[200], "Facilities of the registry.";
    Put Plain "/api/facilities" PutFacility ADMIN, JSON, &[200, 400, 413, 503], "Adds or changes a facility; durable when answered.";
    Get Plain "/api/sources" Sources ADMIN, JSON, &[200], "Sources of the registry.";
    Put Plain "/api/sources" PutSource ADMIN, JSON, &[200, 400, 413, 503], "Adds or changes a source; durable when answered.";
    Post Plain "/api/sources/{id}/disable" DisableSource ADMIN, JSON, &[200, 503], "Refuses a source from now on and keeps its history.";
    Get Plain "/api/destinations" Destinations ADMIN, JSON, &[200], "Destinations of C-MOVE.";
    Put Plain "/api/destinations" PutDestination ADMIN, JSON, &[200, 400, 413, 503], "Adds or changes a destination, or removes it with `removed`; durable when answered.";
    Get Plain "/api/forward/rules" ForwardRules ADMIN, JSON, &[200], "Rules of forwarding.";
    Put Plain "/api/forward/rules" PutForwardRule ADMIN, JSON, &[200, 400, 413, 503], "Adds or changes a rule of forwarding, or removes it with `removed`; durable when answered.";
    Get Plain "/api/forward/roots" ForwardRoots ADMIN, JSON, &[200], "DICOMweb services that objects are forwarded to.";
    Put Plain "/api/forward/roots" PutForwardRoot ADMIN, JSON, &[200, 400, 413, 503], "Adds or changes such a service, at an address that may be called (`calls.allow`), or removes it with `removed`; its files are named by administrators of every facility; durable when answered.";
    Get Plain "/api/forward/status" ForwardStatus ADMIN, JSON, &[200], "What waits for each destination of forwarding, for callers who see every facility.";
    Get Plain "/api/forward/tasks" ForwardTasks ADMIN, JSON, &[200, 400], "Tasks of forwarding in order; parameters: to, dead, after, limit.";
    Get Plain "/api/forward/notices" Notices ADMIN, JSON, &[200, 400], "Instance Availability Notifications of other systems, newest first; parameter: limit.";
    Post Plain "/api/forward/retry" RetryForwards ADMIN, JSON, &[200, 400, 413, 503], "Tries tasks again at once, dead ones too; `id`, `to` and `dead` choose.";
    Post Plain "/api/forward/drop" DropForwards ADMIN, JSON, &[200, 400, 413, 503], "Gives tasks up for good; `id`, `to` and `dead` choose, one of them must be given.";
    Post Plain "/api/forward/pause" PauseForward ADMIN, JSON, &[200, 400, 413, 503], "Holds back what goes to a destination, `to`; durable when answered.";
    Post Plain "/api/forward/resume" ResumeForward ADMIN, JSON, &[200, 400, 413, 503], "Lets it go on; durable when answered.";
    Get Plain "/api/knocks" Knocks ADMIN, JSON, &[200], "Unknown peers that tried to connect, with counts.";
    Get Plain "/api/conflicts" Conflicts ADMIN, JSON, &[200, 400, 503], "Instances kept with other bytes under a known UID; parameters: limit, cursor.";
    Get Plain "/api/rejections" Rejections ADMIN, JSON, &[200, 400, 503], "What is rejected in a study, why and by whom; parameters: facility, study.";
    Post Plain "/api/restorations" Restore ADMIN, JSON, &[200, 400, 413, 503], "Takes the rejection of a study's instances back, until the study is destroyed; durable when answered.";
    Get Plain "/api/corrections" Corrections ADMIN, JSON, &[200, 400, 503], "Corrections of a study, the oldest first; the last one holds; parameters: facility, study.";
    Post Plain "/api/corrections" Correct ADMIN, JSON, &[200, 400, 413, 503], "Corrects attributes of a study's patient and order (`set`), or lets hold again what was received (`clear`, `undo`); with `dry_run` it only tells what would change; durable when answered.";
    Get Plain "/api/series/moves" SeriesMoves ADMIN, JSON, &[200, 400, 503], "Moves of series into and out of a study, the oldest first, and which stand elsewhere than they were received; parameters: facility, study.";
    Post Plain "/api/series/move" MoveSeries ADMIN, JSON, &[200, 400, 413, 503], "Moves series of a study to another study of the facility, `to`; without `series` all of them, which merges the two; with `dry_run` it only tells what would move; durable when answered.";
    Post Plain "/api/series/split" SplitSeries ADMIN, JSON, &[200, 400, 413, 503], "Makes a study of its own of series, under `uid` or a new Study Instance UID; with `dry_run` it only tells what would move; durable when answered.";
    Post Plain "/api/series/undo" UndoMove ADMIN, JSON, &[200, 400, 413, 503], "Series moved into a study stand again where they were received; without `series` all of them; with `dry_run` it only tells what would move; durable when answered.";
    Post Plain "/api/prefetch" Prefetch SENDER, JSON, &[200, 400, 413, 503], "Begins to bring a patient's studies back to the hot volumes, newest first, within a budget of bytes.";
    Get Plain "/api/patients" FindPatients READER, JSON, CHART, "Finds patients of a facility by name and year of birth, by a number, or by the text of a scanned identity card.";
    Get Plain "/api/patients/{mrn}" Patient READER, JSON, CHART, "A patient of a facility under the number that holds now, and merges with it.";
    Get Plain "/api/patients/{mrn}/timeline" Timeline READER, JSON, CHART, "Orders, visits, results and studies of a patient under every number, the newest first.";
    Put Plain "/api/patients/{mrn}" PutPatient SENDER, JSON, CHANGE, "Says something of a patient: what is absent stays, null or an empty text is cleared; durable when answered.";
    Post Plain "/api/patients/{mrn}/merge" MergePatients SENDER, JSON, CHANGE, "Merges another number, `former`, of the same facility into this patient; durable when answered.";
    Delete Plain "/api/merges/{id}" Unmerge ADMIN, JSON, &[200, 400, 409, 503], "Undoes a merge of two patients; durable when answered.";
    Get Plain "/api/orders" Orders READER, JSON, CHART, "Orders of a facility, the newest first.";
    Post Plain "/api/orders" CreateOrder SENDER, JSON, CHANGE, "A new order or what happens to one, with its patient and visit where they are told, too; durable when answered.";
    Get Plain "/api/orders/{placer}" Order READER, JSON, CHART, "An order by the number its system gave it, with what was performed of it.";
    Put Plain "/api/orders/{placer}" PutOrder SENDER, JSON, CHANGE, "The same under the order's number: what is absent stays; durable when answered.";
    Post Plain "/api/orders/{placer}/cancel" CancelOrder SENDER, JSON, CHANGE, "Takes an order back; durable when answered.";
    Get Plain "/api/worklist" Worklist READER, JSON, CHART, "Open steps of a facility as a modality would be told them.";
    Get Plain "/api/available" Available READER, JSON, CHART, "What is there for an accession number, patient, visit or study: orders, studies with links, results.";
    Get Plain "/api/reports" Reports READER, JSON, CHART, "Results of a facility, the newest first.";
    Get Plain "/api/reports/{number}/contents/{index}" ReportDocument READER, &["application/pdf", "image/jpeg", "image/png", "text/plain", "application/octet-stream"], &[200, 400, 503], "A document of a result, by its place among the contents from 0.";
    Post Plain "/api/reports" SendReport SENDER, JSON, CHANGE, "A result, or its next version; durable when answered.";
    Get Plain "/api/reads" Reads ADMIN, JSON, CHART, "Who read which study, in which way, when and from where, the newest first; one row for each hour of a caller, a study and a way.";
    Get Plain "/api/messages" Messages ADMIN, JSON, CHART, "What other systems sent about charts, and what became of it, the newest first.";
    Get Plain "/api/changes" Changes READER, JSON, &[200, 400, 409, 503], "What changed in the caller's facilities, the oldest first; parameters: after, limit, wait.";
    Get Plain "/api/subscriptions" Subscriptions ADMIN, JSON, CHART, "Who is told of what, and how much waits there; parameters: limit, cursor.";
    Post Plain "/api/subscriptions" Subscribe ADMIN, JSON, &[200, 400, 413, 422, 503], "Somebody is told from now on, by HL7 or by a webhook at an address that may be called (`calls.allow`); durable when answered.";
    Delete Plain "/api/subscriptions/{id}" Unsubscribe ADMIN, JSON, CHART, "Nobody is told any more; what waits goes to the dead deliveries. Parameter: facility.";
    Post Plain "/api/subscriptions/{id}/pause" PauseSubscription ADMIN, JSON, CHART, "Sends nothing for now; what happens meanwhile waits. Parameter: facility.";
    Post Plain "/api/subscriptions/{id}/resume" ResumeSubscription ADMIN, JSON, CHART, "Sends again, beginning with the oldest. Parameter: facility.";
    Get Plain "/api/deliveries" Deliveries ADMIN, JSON, CHART, "What is, was or could not be told, the oldest first; parameters: facility, subscription, state, limit, cursor.";
    Post Plain "/api/deliveries/retry" RetryDeliveries ADMIN, JSON, &[200, 400, 413, 503], "Tries deliveries again in their turn, dead ones too; `facility`, `subscription`, `state` and `id` choose.";
    Get Plain "/api/matches" Matches ADMIN, JSON, CHART, "Studies and orders that a steward looks at, both sides of each, the newest first.";
    Post Plain "/api/matches/{study}/match" MatchStudy ADMIN, JSON, DECIDE, "A person says that a study is an order's, `placer`, whatever contradicts; durable when answered.";
    Post Plain "/api/matches/{study}/unmatch" UnmatchStudy ADMIN, JSON, DECIDE, "A person says that a study is not its order's; it has none until somebody matches or leaves it; durable when answered.";
    Post Plain "/api/matches/{study}/leave" LeaveMatch ADMIN, JSON, DECIDE, "Leaves a study to the archive, which looks for its order again; durable when answered.";
    Post Plain "/api/matches/{study}/undo" UndoMatch ADMIN, JSON, DECIDE, "Takes the newest decision of a study back: it and its order are what they were; durable when answered.";
    Post Plain "/api/matches/{study}/patient" AssignPatient ADMIN, JSON, DECIDE, "The study is the patient's of number `mrn`: corrects number, name, date of birth and sex from the charts; with `dry_run` it only tells what would change; durable when answered.";
    Post Plain "/api/matches/{study}/patient/undo" UndoAssign ADMIN, JSON, DECIDE, "Takes the newest correction of a study back: exactly what held before it holds again; durable when answered.";
    Get Plain "/api/search" SearchPatients READER, JSON, CHART, "Finds patients of every facility of the caller by whatever is at hand: a name as it is written somewhere, with a year or day of birth and a typing error, any number, or the text of a scanned identity card; the likeliest first, with why; `cut` says that not all that may fit was looked at: more words, a year or day of birth or a number narrow it.";
    Get Plain "/api/persons/patients/{mrn}" Person READER, JSON, CHART, "The person of a patient: the patients of the caller's facilities that are one with it.";
    Post Plain "/api/persons/patients/{mrn}/link" LinkPerson ADMIN, JSON, STEWARD, "A steward says that another patient, `facility` and `mrn`, is the same person; taken back by the proposal in the answer; durable when answered.";
    Post Plain "/api/persons/patients/{mrn}/unlink" UnlinkPerson ADMIN, JSON, STEWARD, "A steward takes the patient out of its person, against whatever links it by itself; durable when answered.";
    Post Plain "/api/persons/patients/{mrn}/rejoin" RejoinPerson ADMIN, JSON, STEWARD, "Takes back that the patient was taken out; durable when answered.";
    Get Plain "/api/persons/proposals" Proposals ADMIN, JSON, CHART, "Pairs of patients that may be one person, the newest first: open ones, those in conflict over a number, and those that were decided; in conflict also single patients whose number the verifier knows otherwise.";
    Get Plain "/api/persons/verifications" Verifications ADMIN, JSON, CHART, "How it stands with the external verifier of personal identification numbers, and what it said of patients' numbers, the newest first.";
    Post Plain "/api/persons/proposals/{id}/accept" AcceptProposal ADMIN, JSON, STEWARD, "A steward says that the two are one person; durable when answered.";
    Post Plain "/api/persons/proposals/{id}/refuse" RefuseProposal ADMIN, JSON, STEWARD, "A steward says that they are not; durable when answered.";
    Post Plain "/api/persons/proposals/{id}/undo" UndoProposal ADMIN, JSON, STEWARD, "Takes back what was last said of the two; durable when answered.";
    Get Plain "/api/completeness" Completeness READER, JSON, CHART, "What orders and modalities announced for a day of a facility, what senders state of its studies and what storage commitment was asked for, beside what is stored, with the name of everything that is not; parameters: facility, day, limit, cursor.";
    Get Plain "/api/turnaround" Turnaround READER, JSON, CHART, "How long the orders of some days took from stage to stage, by facility and modality; parameters: facility, from, to, baseline, limit, cursor.";
    Get Plain "/viewer/iid" Launch Access::Public, &["text/html"], LAUNCH, "IHE Invoke Image Display: a signed link that opens once, and leads to the study, a list, or a page that waits.";
    Post Plain "/viewer/iid" LaunchForm Access::Public, &["text/html"], LAUNCH, "The same as a form, so that nothing of it is in an address.";
    Get Plain "/viewer/iid/studies" LaunchPage Access::Public, &["text/html"], &[200, 403, 503], "The studies that a link opened, or the word that they are still to come.";
    Get Plain "/viewer/iid/state" LaunchState Access::Public, JSON, &[200, 403, 503], "How many studies a link opens by now; the page above asks it.";
    Post Plain "/api/shares" IssueShare SENDER, &["application/json", "text/html"], &[200, 400, 409, 413, 422, 503], "Issues a link for a patient, for studies, an accession number or a visit: with its QR code, or as sheets to print; durable when answered.";
    Get Plain "/api/shares" Shares SENDER, JSON, CHART, "Links for patients of a facility, the newest first, with how often each was opened.";
    Delete Plain "/api/shares/{id}" RevokeShare SENDER, JSON, &[200, 400, 503], "Takes a link for a patient back, and ends what it opened; durable when answered.";
    Get Plain "/share" SharedPage Access::Public, &["text/html"], &[200, 503], "What a patient's link opened.";
    Post Plain "/share" EndShare Access::Public, &["text/html"], &[200], "Ends it.";
    Get Plain "/share/{secret}" ShareForm Access::Public, &["text/html"], &[200], "A patient's link: asks for birth date and code.";
    Post Plain "/share/{secret}" OpenShare Access::Public, &["text/html"], &[303, 400, 403, 410, 413, 503], "Opens it, as a form with birth and code.";
    Get Plain "/fhir/metadata" FhirMetadata Access::Public, FHIR, &[200, 406], "FHIR R4: the CapabilityStatement, which tells every resource, search and limit below.";
    Get Plain "/fhir/{type}" FhirSearch READER, FHIR, ASKED, "FHIR R4: searches for resources of a kind.";
    Get Plain "/fhir/{type}/{id}" FhirRead READER, FHIR, ASKED, "FHIR R4: a resource by its id.";
    Post Plain "/fhir/{type}" FhirCreate SENDER, FHIR, WRITTEN, "FHIR R4: an order or a result, taken as by the other interfaces, or a subscription (role admin); durable when answered.";
    Put Plain "/fhir/{type}/{id}" FhirUpdate SENDER, FHIR, WRITTEN, "FHIR R4: the same under its id; If-Match names the version that is changed.";
    Delete Plain "/fhir/{type}/{id}" FhirDelete READER, FHIR, &[204, 400, 405, 412, 503], "FHIR R4: removes a subscription, for callers of role admin; no other resource is removed.";
    Post Plain "/fhir/{type}/{id}" FhirAct READER, FHIR, &[200, 400, 405, 406, 408, 413, 415, 422, 503], "FHIR R4: a search whose terms are in the body, for `_search`, or an operation.";
    Get Plain "/api/stats" Stats ADMIN, JSON, &[200, 503], "Totals of the archive.";
    Get Dicomweb "/studies" FindStudies READER, FOUND, FIND, "QIDO-RS: searches for studies.";
    Get Dicomweb "/series" FindSeries READER, FOUND, FIND, "QIDO-RS: searches for series of all studies.";
    Get Dicomweb "/instances" FindInstances READER, FOUND, FIND, "QIDO-RS: searches for instances of all studies.";
    Get Dicomweb "/studies/{study}/series" FindSeriesOfStudy READER, FOUND, FIND, "QIDO-RS: searches for series of a study.";
    Get Dicomweb "/studies/{study}/instances" FindInstancesOfStudy READER, FOUND, FIND, "QIDO-RS: searches for instances of a study.";
    Get Dicomweb "/studies/{study}/series/{series}/instances" FindInstancesOfSeries READER, FOUND, FIND, "QIDO-RS: searches for instances of a series.";
    Post Dicomweb "/studies" Store SENDER, STORED, STORE, "STOW-RS: stores instances.";
    Post Dicomweb "/studies/{study}" StoreStudy SENDER, STORED, STORE, "STOW-RS: stores instances of one study.";
    Get Dicomweb "/studies/{study}" RetrieveStudy READER, OBJECTS, RETRIEVE, "WADO-RS: retrieves a study.";
    Get Dicomweb "/studies/{study}/series/{series}" RetrieveSeries READER, OBJECTS, RETRIEVE, "WADO-RS: retrieves a series.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}" RetrieveInstance READER, OBJECT, RETRIEVE, "WADO-RS: retrieves an instance.";
    Get Dicomweb "/studies/{study}/metadata" StudyMetadata READER, METADATA, DOCUMENT, "WADO-RS: metadata of a study.";
    Get Dicomweb "/studies/{study}/series/{series}/metadata" SeriesMetadata READER, METADATA, DOCUMENT, "WADO-RS: metadata of a series.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}/metadata" InstanceMetadata READER, METADATA, DOCUMENT, "WADO-RS: metadata of an instance.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}/frames/{frames}" Frames READER, BULK, RETRIEVE, "WADO-RS: frames by number, separated by commas, from 1.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}/bulkdata/{*path}" BulkData READER, BULK, RETRIEVE, "WADO-RS: one value by the path its BulkDataURI names.";
    Get Dicomweb "/studies/{study}/pixeldata" StudyPixels READER, BULK, RETRIEVE, "WADO-RS: pixel data of a study.";
    Get Dicomweb "/studies/{study}/series/{series}/pixeldata" SeriesPixels READER, BULK, RETRIEVE, "WADO-RS: pixel data of a series.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}/pixeldata" InstancePixels READER, BULK, RETRIEVE, "WADO-RS: pixel data of an instance.";
    Get Dicomweb "/studies/{study}/bulkdata" StudyBulkData READER, BULK, RETRIEVE, "WADO-RS: every bulk data value of a study.";
    Get Dicomweb "/studies/{study}/series/{series}/bulkdata" SeriesBulkData READER, BULK, RETRIEVE, "WADO-RS: every bulk data value of a series.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}/bulkdata" InstanceBulkData READER, BULK, RETRIEVE, "WADO-RS: every bulk data value of an instance.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}/rendered" RenderedInstance READER, RENDERED, RETRIEVE, "WADO-RS: an image as a picture or an animation, a document or video as it is, a structured report as a page.";
    Get Dicomweb "/studies/{study}/rendered" RenderedStudy READER, PICTURES, DOCUMENT, "WADO-RS: the images of a study as pictures.";
    Get Dicomweb "/studies/{study}/series/{series}/rendered" RenderedSeries READER, PICTURES, DOCUMENT, "WADO-RS: the images of a series as pictures or as an animation.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered" RenderedFrames READER, PICTURES, DOCUMENT, "WADO-RS: frames as pictures or as an animation.";
    Get Dicomweb "/studies/{study}/thumbnail" ThumbnailOfStudy READER, THUMBNAIL, DOCUMENT, "WADO-RS: a small picture that stands for a study.";
    Get Dicomweb "/studies/{study}/series/{series}/thumbnail" ThumbnailOfSeries READER, THUMBNAIL, DOCUMENT, "WADO-RS: a small picture that stands for a series.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}/thumbnail" ThumbnailOfInstance READER, THUMBNAIL, DOCUMENT, "WADO-RS: a small picture of an instance.";
    Get Dicomweb "/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail" ThumbnailOfFrames READER, THUMBNAIL, DOCUMENT, "WADO-RS: a small picture of a frame.";
    Get Dicomweb "/thumbnails" Thumbnails READER, JSON, &[200, 400, 503], "Thumbnails of several studies in one answer, JPEG in base64 by Study Instance UID; parameter StudyInstanceUID, a list.";
    Get Dicomweb "/studies/{study}/media" Media READER, &["application/zip"], &[200, 400, 406, 503], "A DICOM file-set with DICOMDIR as a ZIP file (PS3.10, PS3.11); parameter studies names more of them.";
    Delete Dicomweb "/studies/{study}" RejectStudy ADMIN, JSON, REJECT, "Rejects every instance of a study; nothing is destroyed. Parameter: reason.";
    Delete Dicomweb "/studies/{study}/series/{series}" RejectSeries ADMIN, JSON, REJECT, "Rejects every instance of a series; nothing is destroyed. Parameter: reason.";
    Delete Dicomweb "/studies/{study}/series/{series}/instances/{instance}" RejectInstance ADMIN, JSON, REJECT, "Rejects an instance; nothing is destroyed. Parameter: reason.";
    Post Dicomweb "/commitment-requests/{transaction}" AskCommitment SENDER, &["application/dicom+json"], COMMIT, "Storage commitment: asks whether objects are kept; `Prefer: respond-async` leaves the result for later.";
    Get Dicomweb "/commitment-requests/{transaction}" CommitmentResult SENDER, &["application/dicom+json"], &[200, 202, 400, 503], "Storage commitment: the result of an earlier question.";
    Get Dicomweb "/workitems" FindWorkitems READER, FOUND, FIND, "UPS-RS: searches for procedure steps.";
    Post Dicomweb "/workitems" CreateWorkitem SENDER, &[], &[201, 400, 409, 413, 415, 503], "UPS-RS: creates a procedure step; durable when answered. Parameter: workitem, its UID.";
    Get Dicomweb "/workitems/{workitem}" RetrieveWorkitem READER, FOUND, &[200, 400, 406, 503], "UPS-RS: a procedure step.";
    Post Dicomweb "/workitems/{workitem}" UpdateWorkitem SENDER, &[], WORKITEM, "UPS-RS: sets attributes of a procedure step. Parameter: transaction-uid.";
    Put Dicomweb "/workitems/{workitem}/state" ChangeWorkitemState SENDER, &[], WORKITEM, "UPS-RS: takes a procedure step, completes or cancels it.";
    Post Dicomweb "/workitems/{workitem}/cancelrequest" CancelWorkitem SENDER, &[], &[202, 400, 409, 413, 415, 503], "UPS-RS: asks for the cancel of a procedure step.";
    Post Dicomweb "/workitems/{workitem}/subscribers/{aetitle}" SubscribeWorkitem SENDER, &[], &[201, 400, 503], "UPS-RS: subscribes an AE title to a procedure step or to all. Parameters: deletionlock, filter.";
    Delete Dicomweb "/workitems/{workitem}/subscribers/{aetitle}" UnsubscribeWorkitem SENDER, &[], &[200, 400, 503], "UPS-RS: ends a subscription.";
    Post Dicomweb "/workitems/{workitem}/subscribers/{aetitle}/suspend" SuspendWorkitems SENDER, &[], &[200, 400, 503], "UPS-RS: ends a subscription to all procedure steps for those to come.";
    Get Dicomweb "/subscribers/{aetitle}" Notifications SENDER, &[], &[101, 400, 503], "UPS-RS: opens the WebSocket on which an AE title gets its events.";
    Get Dicomweb "/capabilities" Capabilities Access::Public, WADL, &[200, 406], "What this service can do (PS3.18 section 8.9), as OPTIONS on its root answers.";
    Get Dicomweb "/wado" WadoUri READER, OBJECT, RETRIEVE, "WADO-URI: one object by query parameters.";
    Get Plain "/wado" WadoUri READER, OBJECT, RETRIEVE, "WADO-URI on the shared root.";
}
