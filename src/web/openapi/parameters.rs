//! The query parameters that each service reads, for the OpenAPI document.
//!
//! Deliberately not here: the matching keys of searches, which are every attribute of the archive's table.

use crate::routes::Endpoint;
use model::retention::record::RejectReason;
use serde_json::{Value, json};

/// Name, JSON type, whether it must be given, what it means.
type Parameter = (&'static str, &'static str, bool, &'static str);

const ACCEPT: &[Parameter] =
    &[("accept", "string", false, "Media types, in place of the header Accept (PS3.18 section 8.3.3.1).")];
const FIND: &[Parameter] = &[
    ("limit", "integer", false, "Most rows of the answer."),
    ("offset", "integer", false, "Rows that are passed over."),
    ("fuzzymatching", "boolean", false, "Words of names also match by their beginnings."),
    ("includefield", "string", false, "Attributes to answer with: tags, keywords, paths, or all."),
];
const MATCHING: &[Parameter] = &[
    ("emptyvaluematching", "boolean", false, "Two quotation marks match an attribute without a value."),
    ("multiplevaluematching", "boolean", false, "Values separated by a backslash are alternatives."),
    ("StudyInstanceUID", "string", false, "A matching key, as any attribute by keyword, tag or path."),
    ("PatientName", "string", false, "A matching key."),
    ("StudyDate", "string", false, "A matching key: a date or a range of dates."),
];
const AS_RECEIVED: &[Parameter] = &[("asreceived", "boolean", false, "Without the corrections of the study.")];
const RENDERED: &[Parameter] = &[
    ("window", "string", false, "Center, width and function of the window."),
    ("viewport", "string", false, "Width and height, and the part of the picture."),
    ("quality", "integer", false, "Quality of a JPEG, 1 to 100."),
    ("annotation", "string", false, "patient, technique or both."),
    ("iccprofile", "string", false, "The colour space."),
];
const VIEWPORT: &[Parameter] = &[("viewport", "string", false, "Width and height.")];
const REASON: &[Parameter] = &[("reason", "string", true, "Why: one of the reasons of a rejection.")];
const OF_STUDY: &[Parameter] =
    &[("facility", "string", true, "Code of the facility."), ("study", "string", true, "Study Instance UID.")];
const LIMIT: &[Parameter] = &[("limit", "integer", false, "Most rows of the answer.")];
const PAGE: &[Parameter] = &[("cursor", "string", false, "Where the last page ended.")];
const TASKS: &[Parameter] = &[
    ("to", "string", false, "The destination."),
    ("dead", "boolean", false, "Those that are given up, or those that are not."),
    ("after", "integer", false, "The last number of the page before."),
];
const BY_URI: &[Parameter] = &[
    ("requestType", "string", true, "WADO."),
    ("studyUID", "string", true, "Study Instance UID."),
    ("seriesUID", "string", true, "Series Instance UID."),
    ("objectUID", "string", true, "SOP Instance UID."),
    ("contentType", "string", false, "Media types."),
    ("transferSyntax", "string", false, "UID of a transfer syntax."),
    ("frameNumber", "integer", false, "The frame, from 1."),
    ("windowCenter", "number", false, "Center of the window."),
    ("windowWidth", "number", false, "Width of the window."),
    ("rows", "integer", false, "Most rows of the picture."),
    ("columns", "integer", false, "Most columns of the picture."),
    ("imageQuality", "integer", false, "Quality of a JPEG, 1 to 100."),
    ("annotation", "string", false, "patient, technique or both."),
    ("presentationSeriesUID", "string", false, "Series of the presentation state."),
    ("presentationUID", "string", false, "The presentation state."),
];
const STUDIES: &[Parameter] = &[("studies", "string", false, "More Study Instance UIDs.")];
const LIST: &[Parameter] = &[("StudyInstanceUID", "string", true, "Study Instance UIDs, up to 200.")];
const WORKITEM: &[Parameter] = &[("workitem", "string", false, "UID of the procedure step.")];
const TRANSACTION: &[Parameter] = &[("transaction-uid", "string", false, "The Transaction UID of who took the step.")];
const SUBSCRIPTION: &[Parameter] = &[
    ("deletionlock", "boolean", false, "The step is kept until it is unsubscribed."),
    ("filter", "string", false, "Keys of a filtered subscription."),
];

const FACILITY: &[Parameter] = &[("facility", "string", false, "Code of the facility; without it the token's own.")];
const CHART_PAGE: &[Parameter] = &[
    ("limit", "integer", false, "Most rows of the answer, up to 1000."),
    ("cursor", "string", false, "The `next` of the page before."),
];
const PATIENTS: &[Parameter] = &[
    ("name", "string", false, "Words of the name or their beginnings, with marks or without, in any order."),
    ("year", "string", false, "Year of birth, or two with a dash."),
    ("mrn", "string", false, "The facility's number of the patient."),
    ("national", "string", false, "Personal identification number, 12 digits."),
    ("last4", "string", false, "Its last four digits."),
    ("insurance", "string", false, "Insurance number, 15 or 10 characters."),
    ("phone", "string", false, "Telephone number."),
    ("card", "string", false, "Old identity card or passport."),
    ("qr", "string", false, "Text of a scanned identity card, in place of the others."),
];
const ORDERS: &[Parameter] = &[
    ("accession", "string", false, "Accession number, the archive's or the sender's."),
    ("mrn", "string", false, "The patient's number; former ones count."),
    ("visit", "string", false, "Visit number."),
    ("study", "string", false, "Study Instance UID."),
    ("state", "string", false, "scheduled, in-progress, completed, canceled or discontinued."),
    ("from", "string", false, "First day of the first step, by the facility's clock."),
    ("to", "string", false, "Last day."),
];
const WORKLIST: &[Parameter] = &[
    ("station", "string", false, "AE title of the modality; steps for any station are there, too."),
    ("date", "string", false, "A day, or two with a slash."),
    ("modality", "string", false, "Modalities, separated by commas."),
    ("accession", "string", false, "Accession number."),
    ("mrn", "string", false, "The patient's number."),
    ("limit", "integer", false, "Most rows of the answer, up to 1000."),
];
const AVAILABLE: &[Parameter] = &[
    ("accession", "string", false, "Accession number; one of the four is asked by."),
    ("mrn", "string", false, "The patient's number; former ones count."),
    ("visit", "string", false, "Visit number."),
    ("study", "string", false, "Study Instance UID."),
];
const REPORTS: &[Parameter] = &[
    ("number", "string", false, "The sender's number of the result."),
    ("placer", "string", false, "Placer order number."),
    ("documents", "boolean", false, "With the bytes of documents, at most 10 results."),
];
const MATCHES: &[Parameter] = &[
    (
        "list",
        "string",
        false,
        "mismatch (studies that contradict their order), unmatched, matched, decided, or orders (orders whose images should be there).",
    ),
    ("facility", "string", false, "Code of the facility; without it all that the token is for."),
];
const MESSAGES: &[Parameter] = &[
    ("state", "string", false, "done, parked or refused."),
    ("kind", "string", false, "Type, such as ADT, or type and trigger, such as ADT^A08."),
    ("source", "string", false, "Name of the source."),
    ("control", "string", false, "Control id (MSH-10)."),
    ("mrn", "string", false, "The number of the patient it is about."),
    ("from", "string", false, "First day, by the facility's clock."),
    ("to", "string", false, "Last day."),
    ("text", "boolean", false, "With the messages themselves, which hold patients' data."),
];
const READS: &[Parameter] = &[
    ("facility", "string", false, "Code of the facility; without it all that the token is for."),
    ("study", "string", false, "Study Instance UID."),
    (
        "by",
        "string",
        false,
        "Whole name of the caller: of a token, source:ID, launch:FACILITY:USER, share:FACILITY:NUMBER.",
    ),
    ("way", "string", false, "dicomweb, pictures, viewer, launch, share, get, move or export."),
    ("from", "string", false, "First day, by the facility's clock, as 2026-11-01."),
    ("to", "string", false, "Last day."),
];
const CHANGES: &[Parameter] = &[
    ("after", "string", false, "The `cursor` of the answer before; without it from the oldest that is kept."),
    ("limit", "integer", false, "Most lines of the answer, up to 1000."),
    ("wait", "integer", false, "Seconds to wait for something to happen, up to 60."),
];
const DELIVERIES: &[Parameter] = &[
    ("subscription", "string", false, "Id of a subscription."),
    ("state", "string", false, "waiting, delivered or dead."),
];
const SHARES: &[Parameter] = &[
    ("mrn", "string", false, "The patient's number; former ones count."),
    ("study", "string", false, "Study Instance UID."),
    ("state", "string", false, "open, expired, revoked or locked."),
];
const SEARCH: &[Parameter] =
    &[("q", "string", true, "A name, a number of any kind, or the text of a scanned identity card.")];
const PROPOSALS: &[Parameter] =
    &[("state", "string", false, "open, conflict, accepted, refused or withdrawn; open when absent.")];
const DAY: &[Parameter] = &[("day", "string", true, "The day by the facility's clock, as 2026-11-28.")];
const TURNAROUND: &[Parameter] = &[
    ("facility", "string", false, "Code of the facility; without it all that the token is for."),
    ("from", "string", true, "First day on which orders were to begin, by the facilities' clock, as 2026-11-01."),
    ("to", "string", true, "Last day, at most 92 days from the first."),
    ("baseline", "string", false, "A month to compare with, as 2026-10."),
];
const VERIFICATIONS: &[Parameter] =
    &[("state", "string", false, "waiting, failed, verified, not-found, differs or unknown; all when absent.")];
const LAUNCH: &[Parameter] = &[
    ("requestType", "string", false, "STUDY or PATIENT."),
    ("studyUID", "string", false, "Study Instance UIDs, separated by commas."),
    ("accessionNumber", "string", false, "Accession numbers, separated by commas."),
    ("patientID", "string", false, "The patient's number, `MRN^^^issuer`."),
    ("mostRecentResults", "integer", false, "Only so many, the newest."),
    ("modalitiesInStudy", "string", false, "Modalities, separated by commas."),
    ("lowerDateTime", "string", false, "Earliest date and time of a study."),
    ("upperDateTime", "string", false, "Latest date and time."),
    ("token", "string", false, "JSON Web Signature of the link, or"),
    ("signature", "string", false, "HMAC-SHA256 of the parameters."),
    ("issuer", "string", false, "With a signature: code of the facility."),
    ("user", "string", false, "With a signature: the person's account."),
    ("role", "string", false, "With a signature: the person's role."),
    ("purpose", "string", false, "With a signature: what for."),
    ("key", "string", false, "With a signature: name of the key."),
    ("nonce", "string", false, "With a signature: what makes the link this one."),
    ("issued", "integer", false, "With a signature: when it was made, seconds since 1970."),
    ("expires", "integer", false, "With a signature: its end, seconds since 1970."),
];

/// The query parameters of an endpoint.
pub(super) fn of(endpoint: Endpoint) -> Vec<Value> {
    lists(endpoint).into_iter().flatten().map(described).collect()
}

fn lists(endpoint: Endpoint) -> Vec<&'static [Parameter]> {
    use Endpoint as E;
    match endpoint {
        E::FindStudies
        | E::FindSeries
        | E::FindInstances
        | E::FindSeriesOfStudy
        | E::FindInstancesOfStudy
        | E::FindInstancesOfSeries => vec![ACCEPT, FIND, MATCHING],
        E::FindWorkitems => vec![ACCEPT, FIND],
        E::RetrieveStudy
        | E::RetrieveSeries
        | E::RetrieveInstance
        | E::StudyMetadata
        | E::SeriesMetadata
        | E::InstanceMetadata => vec![ACCEPT, AS_RECEIVED],
        E::RenderedStudy | E::RenderedSeries | E::RenderedInstance | E::RenderedFrames => vec![ACCEPT, RENDERED],
        E::ThumbnailOfStudy | E::ThumbnailOfSeries | E::ThumbnailOfInstance | E::ThumbnailOfFrames => {
            vec![ACCEPT, VIEWPORT]
        }
        E::Frames
        | E::BulkData
        | E::StudyPixels
        | E::SeriesPixels
        | E::InstancePixels
        | E::StudyBulkData
        | E::SeriesBulkData
        | E::InstanceBulkData
        | E::Store
        | E::StoreStudy
        | E::RetrieveWorkitem
        | E::Capabilities => vec![ACCEPT],
        E::Media => vec![ACCEPT, STUDIES],
        E::Thumbnails => vec![LIST],
        E::RejectStudy | E::RejectSeries | E::RejectInstance => vec![REASON],
        E::WadoUri => vec![BY_URI, AS_RECEIVED],
        E::Rejections | E::Corrections | E::SeriesMoves => vec![OF_STUDY],
        E::Conflicts => vec![LIMIT, PAGE],
        E::Notices => vec![LIMIT],
        E::ForwardTasks => vec![TASKS, LIMIT],
        E::CreateWorkitem => vec![WORKITEM],
        E::UpdateWorkitem => vec![TRANSACTION],
        E::SubscribeWorkitem => vec![SUBSCRIPTION],
        _ => lists_of_charts(endpoint),
    }
}

/// Those of charts and launch links.
fn lists_of_charts(endpoint: Endpoint) -> Vec<&'static [Parameter]> {
    use Endpoint as E;
    match endpoint {
        E::FindPatients => vec![FACILITY, PATIENTS, CHART_PAGE],
        E::Patient
        | E::PutPatient
        | E::MergePatients
        | E::Unmerge
        | E::Order
        | E::CreateOrder
        | E::PutOrder
        | E::CancelOrder
        | E::SendReport
        | E::IssueShare
        | E::RevokeShare
        | E::ReportDocument
        | E::MatchStudy
        | E::UnmatchStudy
        | E::LeaveMatch
        | E::UndoMatch
        | E::AssignPatient
        | E::UndoAssign => vec![FACILITY],
        E::Shares => vec![FACILITY, SHARES, CHART_PAGE],
        E::Timeline => vec![FACILITY, CHART_PAGE],
        E::Matches => vec![MATCHES, CHART_PAGE],
        E::Orders => vec![FACILITY, ORDERS, CHART_PAGE],
        E::Worklist => vec![FACILITY, WORKLIST],
        E::Available => vec![FACILITY, AVAILABLE],
        E::Reports => vec![FACILITY, REPORTS, AVAILABLE, CHART_PAGE],
        E::Messages => vec![FACILITY, MESSAGES, CHART_PAGE],
        E::Reads => vec![READS, CHART_PAGE],
        E::Changes => vec![CHANGES],
        E::Subscriptions => vec![CHART_PAGE],
        E::Unsubscribe | E::PauseSubscription | E::ResumeSubscription => vec![FACILITY],
        E::Deliveries => vec![FACILITY, DELIVERIES, CHART_PAGE],
        E::SearchPatients => vec![SEARCH, LIMIT],
        E::Proposals => vec![PROPOSALS, CHART_PAGE],
        E::Verifications => vec![VERIFICATIONS, CHART_PAGE],
        E::Person
        | E::LinkPerson
        | E::UnlinkPerson
        | E::RejoinPerson
        | E::AcceptProposal
        | E::RefuseProposal
        | E::UndoProposal => vec![FACILITY],
        E::Completeness => vec![FACILITY, DAY, CHART_PAGE],
        E::Turnaround => vec![TURNAROUND, CHART_PAGE],
        E::Launch => vec![LAUNCH],
        _ => Vec::new(),
    }
}

fn described(parameter: &Parameter) -> Value {
    let (name, kind, required, description) = *parameter;
    let schema = match name {
        "reason" => json!({"type": kind, "enum": RejectReason::ALL.map(RejectReason::name)}),
        _ => json!({"type": kind}),
    };
    json!({"name": name, "in": "query", "required": required, "description": description, "schema": schema})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::ROUTES;

    #[test]
    fn what_a_summary_names_is_described() {
        for route in ROUTES {
            let described = of(route.endpoint);
            let names: Vec<&str> = described.iter().filter_map(|one| one.get("name")?.as_str()).collect();
            let (_, named) = route.summary.split_once("arameter").unwrap_or_default();
            let named = named
                .strip_prefix('s')
                .unwrap_or(named)
                .trim_start_matches([':', ' '])
                .split(['.', ';'])
                .next()
                .unwrap_or_default();
            for name in named.split(',').filter_map(|text| text.split_whitespace().next()) {
                let known = names.contains(&name) || ["a", "its"].contains(&name);
                assert!(known, "{name} of {} is not described", route.path);
            }
            let doubled = names.iter().enumerate().any(|(at, name)| names.iter().skip(at + 1).any(|more| more == name));
            assert!(!doubled, "{}: {names:?}", route.path);
        }
    }
}
