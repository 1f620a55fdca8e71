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
        E::Rejections | E::Corrections => vec![OF_STUDY],
        E::Conflicts => vec![LIMIT, PAGE],
        E::Notices => vec![LIMIT],
        E::ForwardTasks => vec![TASKS, LIMIT],
        E::CreateWorkitem => vec![WORKITEM],
        E::UpdateWorkitem => vec![TRANSACTION],
        E::SubscribeWorkitem => vec![SUBSCRIPTION],
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
