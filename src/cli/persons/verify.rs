//! `khoanh persons verify`: what an external verifier says of personal identification numbers, and what waits to be asked.
//!
//! Lists show numbers of patients and nothing else of them.

use super::{ask, list, local, text};
use crate::cli::page::Paged;
use crate::cli::{Exit, Failure};
use crate::control::PersonsRequest;
use clap::{Args, ValueEnum};
use model::chart::Local;
use serde_json::Value;
use std::fmt::Write as _;

#[derive(Debug, Args)]
#[group(id = "about", args = ["patient", "state", "again", "missing"])]
#[command(mut_arg("after", |after| after.requires("state")))]
pub(in crate::cli) struct Verify {
    /// Asks about this patient anew, before all others, FACILITY/MRN.
    #[arg(value_name = "PATIENT", value_parser = local)]
    patient: Option<Local>,
    /// Lists patients in this state, the newest first.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Asks again what was given up, or rests after a try in vain.
    #[arg(long)]
    again: bool,
    /// Asks about all patients of whom nothing was asked yet, such as those who were there before the verifier.
    #[arg(long)]
    missing: bool,
    #[command(flatten)]
    paged: Paged,
}

/// Where it stands with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Waiting,
    Failed,
    Verified,
    NotFound,
    Differs,
    Unknown,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Verified => "verified",
            Self::NotFound => "not-found",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
        }
    }
}

pub(super) fn run(wanted: &Verify) -> Result<Exit, Failure> {
    let (request, shown): (_, fn(&Value) -> String) = match (&wanted.patient, wanted.again, wanted.missing) {
        (Some(patient), ..) => (PersonsRequest::Verify(patient.clone()), |_| "it is asked about next\n".to_owned()),
        (None, true, _) => (PersonsRequest::VerifyAgain, asked),
        (None, _, true) => (PersonsRequest::VerifyMissing, asked),
        (None, false, false) => {
            let state = wanted.state.map(|state| state.name().to_owned());
            let (after, limit) = (wanted.paged.after.clone(), wanted.paged.limit);
            (PersonsRequest::Verifications { state, after, limit }, standing)
        }
    };
    let answer = ask(&wanted.paged.place, request)?;
    wanted.paged.show(&answer, shown)
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn is(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn asked(answer: &Value) -> String {
    format!("{} patients are asked about in their turn\n", number(answer, "asked"))
}

/// How the verifier does, and who is listed.
fn standing(answer: &Value) -> String {
    let mut out = String::new();
    let verifier = answer.get("verifier").unwrap_or(&Value::Null);
    if !is(verifier, "on") {
        out.push_str("there is no verifier: verifier.url in the configuration is empty\n");
    } else if is(verifier, "answers") {
        out.push_str("the verifier answers\n");
    } else {
        let _ = writeln!(out, "the verifier gives no answer: {}", text(verifier, "why"));
    }
    let (waiting, more) = (number(verifier, "waiting"), if is(verifier, "more") { " and more" } else { "" });
    let (oldest, failed) = (number(verifier, "oldest_ms") / 1_000, number(verifier, "failed"));
    let _ = writeln!(out, "{waiting}{more} wait (the oldest for {oldest} s), {failed} were given up");
    for one in list(answer, "verifications") {
        let (facility, mrn, state) = (text(one, "facility"), text(one, "mrn"), text(one, "state"));
        let _ = write!(out, "{facility}/{mrn}  {state}");
        let fields: Vec<&str> = list(one, "differs").iter().filter_map(Value::as_str).collect();
        if !fields.is_empty() {
            let _ = write!(out, "  {}", fields.join(", "));
        }
        match one.get("error").and_then(Value::as_str) {
            Some("") | None => out.push('\n'),
            Some(_) => {
                let _ = writeln!(out, "  {}", text(one, "error"));
            }
        }
    }
    if let Some(place) = answer.get("after").and_then(Value::as_str) {
        let _ = writeln!(out, "more behind --after {place}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_waits_and_why_is_shown_by_numbers() {
        let verifier = json!({
            "on": true, "answers": false, "why": "no answer: refused", "waiting": 2, "more": true, "oldest_ms": 61_000,
            "failed": 1,
        });
        let one = |mrn: &str, state: &str, error: Option<&str>, differs: &[&str]| json!({ "facility": "56001", "mrn": mrn, "state": state, "error": error, "differs": differs });
        let listed =
            [one("7", "differs", None, &["name", "birth"]), one("8\u{1b}", "failed", Some("not understood"), &[])];
        let shown = standing(&json!({ "verifier": verifier, "verifications": listed, "after": "1-2-3" }));
        let expected = "the verifier gives no answer: no answer: refused\n\
                        2 and more wait (the oldest for 61 s), 1 were given up\n\
                        56001/7  differs  name, birth\n56001/8?  failed  not understood\nmore behind --after 1-2-3\n";
        assert_eq!(shown, expected);
        let off = standing(&json!({ "verifier": { "on": false } }));
        assert!(off.contains("verifier.url"), "{off}");
    }
}
