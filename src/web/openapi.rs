//! The OpenAPI document, generated from the route table.

mod examples;
mod parameters;

use crate::routes::{Access, Endpoint, Mount, ROUTES, Route, Verb};
use serde_json::{Map, Value, json};

/// The document as JSON.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        for template in route.templates() {
            let path = template.replace('*', "");
            let entry = paths.entry(path).or_insert_with(|| json!({}));
            if let Some(methods) = entry.as_object_mut() {
                methods.insert(verb(route.verb).into(), operation(route, &template));
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Khoanh image archive",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "DICOMweb (PS3.18) on the shared root /dicom-web and on each facility's root, and the operators' API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"problem": problem_schema()}
        }
    })
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::Post => "post",
        Verb::Put => "put",
        Verb::Delete => "delete",
    }
}

fn operation(route: &Route, template: &str) -> Value {
    let facility_root = template.starts_with("/facilities/");
    // The one service that also answers outside any DICOMweb root, where old clients look for it.
    let suffix = if route.endpoint == Endpoint::WadoUri && route.mount == Mount::Plain { "Plain" } else { "" };
    let mut responses = Map::new();
    for status in route.statuses {
        let answer = match status {
            200..=202 | 206 if route.produces.is_empty() => json!({"description": "Done; no body."}),
            101 => json!({"description": "The connection is a WebSocket (RFC 6455) from now on."}),
            200..=202 | 206 => json!({"description": "The answer.", "content": content(route.produces)}),
            204 | 303 | 304 | 308 => json!({"description": "No body."}),
            _ => problem(),
        };
        responses.insert(status.to_string(), answer);
    }
    let mut usual = vec!["500"];
    if route.access != Access::Public {
        usual.extend(["401", "403"]);
    }
    if template.contains('{') {
        usual.push("404");
    }
    for status in usual {
        responses.entry(status.to_owned()).or_insert_with(problem);
    }
    let mut operation = json!({
        "operationId": format!("{:?}{}", route.endpoint, if facility_root { "OfFacility" } else { suffix }),
        "summary": route.summary,
        "tags": [if route.mount == Mount::Dicomweb { "DICOMweb" } else { "Archive" }],
        "parameters": parameters(route, template),
        "responses": responses,
    });
    if let Some(object) = operation.as_object_mut() {
        if let Access::Role(role) = route.access {
            object.insert("security".into(), json!([{"bearer": []}]));
            object.insert("x-role".into(), json!(role));
        }
        if let Some(call) = examples::call(route.endpoint) {
            object.insert("x-codeSamples".into(), json!([{"lang": "Shell", "label": "curl", "source": call}]));
        }
        if let Some(body) = request_body(route) {
            object.insert("requestBody".into(), body);
        }
    }
    operation
}

fn parameters(route: &Route, template: &str) -> Vec<Value> {
    let names = template.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let of_path = names.map(|name| {
        let name = name.trim_start_matches('*');
        json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
    });
    let key = examples::takes_key(route.endpoint).then(examples::key);
    of_path.chain(parameters::of(route.endpoint)).chain(key).collect()
}

fn request_body(route: &Route) -> Option<Value> {
    let of_steps = matches!(
        route.endpoint,
        Endpoint::CreateWorkitem | Endpoint::UpdateWorkitem | Endpoint::ChangeWorkitemState | Endpoint::CancelWorkitem
    );
    let media = match (route.verb, route.mount) {
        (Verb::Post, _) if route.endpoint == Endpoint::AskCommitment => "application/dicom+json",
        _ if of_steps => "application/dicom+json",
        _ if matches!(route.endpoint, Endpoint::SubscribeWorkitem | Endpoint::SuspendWorkitems) => return None,
        (Verb::Post, Mount::Dicomweb) => "multipart/related; type=\"application/dicom\"",
        _ if matches!(route.endpoint, Endpoint::FhirCreate | Endpoint::FhirUpdate) => "application/fhir+json",
        _ if matches!(route.endpoint, Endpoint::LaunchForm | Endpoint::OpenShare) => {
            "application/x-www-form-urlencoded"
        }
        (Verb::Put, _) => "application/json",
        (Verb::Post, Mount::Plain) if takes_json(route.endpoint) => "application/json",
        _ => return None,
    };
    let mut body = json!({"required": true, "content": content(&[media])});
    let described = body.pointer_mut("/content").and_then(|content| content.get_mut(media));
    if let (Some(object), Some(example)) = (described.and_then(Value::as_object_mut), examples::body(route.endpoint)) {
        object.insert("example".into(), example);
    }
    Some(body)
}

fn takes_json(endpoint: Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::Prefetch
            | Endpoint::Correct
            | Endpoint::MoveSeries
            | Endpoint::SplitSeries
            | Endpoint::UndoMove
            | Endpoint::Restore
            | Endpoint::RetryForwards
            | Endpoint::DropForwards
            | Endpoint::PauseForward
            | Endpoint::ResumeForward
            | Endpoint::MergePatients
            | Endpoint::LinkPerson
            | Endpoint::CreateOrder
            | Endpoint::SendReport
            | Endpoint::Subscribe
            | Endpoint::RetryDeliveries
            | Endpoint::IssueShare
            | Endpoint::MatchStudy
            | Endpoint::AssignPatient
            | Endpoint::UndoAssign
    )
}

fn content(media: &[&str]) -> Value {
    Value::Object(media.iter().map(|media| ((*media).to_owned(), json!({}))).collect())
}

fn problem() -> Value {
    json!({
        "description": "A problem (RFC 9457) that says what is wrong, where, and what to do.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}
    })
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "advice"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What happened this time."},
            "where": {"type": "string", "description": "The part of the request at fault."},
            "advice": {"type": "string", "description": "What to do."}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_under_every_root() {
        let document = document();
        let mut operations = std::collections::BTreeSet::new();
        for route in ROUTES {
            for template in route.templates() {
                let pointer = format!("/paths/{}/{}", template.replace('*', "").replace('/', "~1"), verb(route.verb));
                let operation = document.pointer(&pointer).unwrap_or_else(|| panic!("{pointer} is missing"));
                let id = operation.get("operationId").and_then(Value::as_str).expect("an id").to_owned();
                assert!(operations.insert(id.clone()), "{id} appears twice");
                assert!(!route.summary.is_empty() && operation.pointer("/responses/500").is_some());
            }
        }
        let described = document.get("paths").and_then(Value::as_object).expect("paths");
        let count: usize = described.values().filter_map(Value::as_object).map(Map::len).sum();
        assert_eq!(count, operations.len(), "a path that no route serves");
    }
}
