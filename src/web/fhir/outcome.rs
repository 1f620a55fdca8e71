//! Refusals and remarks as OperationOutcome.
//!
//! They say what a problem of the other services says ([`crate::problem`]): names of parameters and elements, never their
//! values.

use crate::problem::{Kind, Problem};
use axum::response::Response;
use serde_json::{Value, json};

/// Media type of every body.
pub(crate) const MEDIA: &str = "application/fhir+json";

/// Whether a path is one of FHIR, whose errors are told in its form.
pub(crate) fn is_ours(path: &str) -> bool {
    path == "/fhir" || path.starts_with("/fhir/")
}

/// A refusal as it is answered.
pub(crate) fn respond(problem: Problem) -> Response {
    let body = of_problem(&problem).to_string();
    problem.respond(MEDIA, body)
}

fn of_problem(problem: &Problem) -> Value {
    let told = problem.body();
    let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let place = if problem.place.is_empty() { String::new() } else { format!(" ({})", problem.place) };
    json!({
        "resourceType": "OperationOutcome",
        "issue": [{
            "severity": "error",
            "code": code(problem.kind),
            "details": {"text": text("title")},
            "diagnostics": format!("{}{place}. {}", problem.detail.trim_end_matches('.'), text("advice")),
        }],
    })
}

/// Type of the issue (value set issue-type).
fn code(kind: Kind) -> &'static str {
    match kind {
        Kind::Unauthorized => "login",
        Kind::Forbidden | Kind::LaunchRefused => "forbidden",
        Kind::NotFound => "not-found",
        Kind::MethodNotAllowed | Kind::NotAcceptable | Kind::UnsupportedMedia => "not-supported",
        Kind::Timeout => "timeout",
        Kind::InUse | Kind::Conflict | Kind::StepConflict | Kind::ChartConflict | Kind::Precondition => "conflict",
        Kind::Unprocessable => "processing",
        Kind::TooCostly => "too-costly",
        Kind::TooLarge | Kind::UriTooLong => "too-long",
        Kind::Unavailable => "transient",
        Kind::Busy => "throttled",
        Kind::OutOfSpace => "no-store",
        Kind::Damaged | Kind::Internal => "exception",
        Kind::BadRequest | Kind::BadUid | Kind::BadMultipart | Kind::RangeNotSatisfiable => "invalid",
    }
}

/// Remarks beside what was done.
pub(crate) fn remarks(severity: &str, code: &str, texts: &[String]) -> Value {
    let issue = |text: &String| json!({"severity": severity, "code": code, "diagnostics": text});
    json!({"resourceType": "OperationOutcome", "issue": texts.iter().map(issue).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_an_issue_that_says_where() {
        for kind in Kind::ALL {
            let outcome = of_problem(&Problem::new(*kind, "wrong").at("query parameter started"));
            let issue = outcome.pointer("/issue/0").expect("an issue");
            assert_eq!(issue["severity"], json!("error"));
            let told = issue["diagnostics"].as_str().expect("a text");
            assert!(told.starts_with("wrong (query parameter started). "), "{told}");
        }
        assert!(is_ours("/fhir") && is_ours("/fhir/Patient") && !is_ours("/fhirs"));
    }
}
