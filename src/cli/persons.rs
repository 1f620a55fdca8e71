//! `khoanh persons`: which patients of all facilities are one person, and what a steward decides.
//!
//! Lists show numbers of patients and no names.

mod verify;

use super::page::{self, Paged};
use super::{Exit, Failure, Place, show};
use crate::control::{PersonJudged, PersonsRequest, Request};
use clap::{Args, Subcommand, ValueEnum};
use model::FacilityCode;
use model::chart::Local;
use serde_json::Value;
use std::fmt::Write as _;

pub(super) const HELP: &str = "\
Patients of several facilities are linked by themselves where a personal or insurance number, name and birth year say so
(liên kết người bệnh giữa các cơ sở); what only looks alike is proposed, and one number with two names is a conflict.
Whatever is decided can be taken back, and then everything is as it was.
  khoanh persons list 56001/22015985
  khoanh persons proposals --state conflict
  khoanh persons accept 56002/NUMBER --by lan
  khoanh persons accept 56002/NUMBER --by lan --undo
  khoanh persons link 56001/22015985 56002/26000017 --by lan
  khoanh persons unlink 56002/26000017 --by lan
Where a verifier is configured ([verifier]), it is asked about every personal identification number that is new:
  khoanh persons verify
  khoanh persons verify --state differs
  khoanh persons verify 56001/22015985";

#[derive(Debug, Subcommand)]
pub(super) enum Persons {
    /// Lists the patients that are one person with one.
    List {
        /// The patient, FACILITY/MRN.
        #[arg(value_name = "PATIENT", value_parser = local)]
        patient: Local,
        /// Writes JSON, for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Says that two patients are one person.
    Link {
        /// One of them, FACILITY/MRN.
        #[arg(value_name = "PATIENT", value_parser = local)]
        one: Local,
        /// The other, FACILITY/MRN.
        #[arg(value_name = "OTHER", value_parser = local)]
        two: Local,
        /// Who says so.
        #[arg(long, value_name = "NAME")]
        by: String,
        #[command(flatten)]
        place: Place,
    },
    /// Takes a patient out of its person, against whatever links it by itself.
    Unlink {
        /// The patient, FACILITY/MRN.
        #[arg(value_name = "PATIENT", value_parser = local)]
        patient: Local,
        #[command(flatten)]
        said: Said,
    },
    /// Lists pairs of patients that may be one person, the newest first.
    Proposals {
        /// Only those in this state.
        #[arg(long, value_enum, default_value = "open")]
        state: State,
        #[command(flatten)]
        paged: Paged,
    },
    /// Says that the two of a proposal are one person.
    Accept {
        /// The proposal, FACILITY/NUMBER.
        #[arg(value_name = "PROPOSAL", value_parser = local)]
        proposal: Local,
        #[command(flatten)]
        said: Said,
    },
    /// Says that they are not.
    Refuse {
        /// The proposal, FACILITY/NUMBER.
        #[arg(value_name = "PROPOSAL", value_parser = local)]
        proposal: Local,
        #[command(flatten)]
        said: Said,
    },
    /// Shows how it stands with the verifier of personal identification numbers; with a patient, asks about it anew.
    Verify(verify::Verify),
}

#[derive(Debug, Args)]
pub(super) struct Said {
    /// Who says so.
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Takes back what was last said instead.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    place: Place,
}

/// Where a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    Open,
    Conflict,
    Accepted,
    Refused,
    Withdrawn,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Conflict => "conflict",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
        }
    }
}

fn local(text: &str) -> Result<Local, String> {
    let (facility, mrn) = text.split_once('/').ok_or_else(|| format!("{text:?} is no FACILITY/NUMBER"))?;
    let facility = FacilityCode::parse(facility).map_err(|error| error.to_string())?;
    Ok(Local { facility, mrn: mrn.trim().to_owned() })
}

pub(super) fn run(wanted: &Persons) -> Result<Exit, Failure> {
    match wanted {
        Persons::List { patient, json, place } => {
            let answer = ask(place, PersonsRequest::List(patient.clone()))?;
            if *json { show(&format!("{answer}\n")) } else { show(&person(&answer)) }
        }
        Persons::Link { one, two, by, place } => {
            let request = PersonsRequest::Link { one: one.clone(), two: two.clone(), by: by.clone() };
            let answer = ask(place, request)?;
            let (facility, id) = (text(&answer, "facility"), text(&answer, "id"));
            show(&format!("linked; taken back by: khoanh persons accept {facility}/{id} --undo --by {by}\n"))
        }
        Persons::Unlink { patient, said } => {
            let (patient, undo, by) = (patient.clone(), said.undo, said.by.clone());
            ask(&said.place, PersonsRequest::Unlink { patient, undo, by })?;
            show("done\n")
        }
        Persons::Proposals { state, paged } => {
            let (state, after, limit) = (state.name().to_owned(), paged.after.clone(), paged.limit);
            let answer = ask(&paged.place, PersonsRequest::Proposals { state, after, limit })?;
            paged.show(&answer, pairs)
        }
        Persons::Accept { proposal, said } => judge(proposal, PersonJudged::Accept, said),
        Persons::Refuse { proposal, said } => judge(proposal, PersonJudged::Refuse, said),
        Persons::Verify(wanted) => verify::run(wanted),
    }
}

fn judge(proposal: &Local, judged: PersonJudged, said: &Said) -> Result<Exit, Failure> {
    let judged = if said.undo { PersonJudged::Undo } else { judged };
    let (facility, id, by) = (proposal.facility, proposal.mrn.clone(), said.by.clone());
    ask(&said.place, PersonsRequest::Judge { facility, id, judged, by })?;
    show("done\n")
}

fn ask(place: &Place, request: PersonsRequest) -> Result<Value, Failure> {
    place.ask_existing(&Request::Persons(Box::new(request)))
}

/// A text of an answer; what a sender wrote must not steer the terminal.
fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or("-").replace(char::is_control, "?")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn person(answer: &Value) -> String {
    let mut out = String::new();
    for patient in list(answer, "patients") {
        let (facility, mrn, how) = (text(patient, "facility"), text(patient, "mrn"), text(patient, "how"));
        let _ = write!(out, "{facility}/{mrn}  {how}");
        if let Some(state) = patient.get("verification").and_then(Value::as_str) {
            let _ = write!(out, "  number {state}");
        }
        out.push('\n');
    }
    if answer.get("apart").is_some_and(|apart| !apart.is_null()) {
        out.push_str("a steward took this patient out of its person; --undo of unlink takes that back\n");
    }
    out
}

fn pairs(answer: &Value) -> String {
    let mut out = String::new();
    for pair in list(answer, "proposals") {
        let sides =
            list(pair, "patients").iter().map(|side| format!("{}/{}", text(side, "facility"), text(side, "mrn")));
        let sides = sides.collect::<Vec<_>>().join(" and ");
        let (facility, id, state) = (text(pair, "facility"), text(pair, "id"), text(pair, "state"));
        let _ = writeln!(out, "{facility}/{id}  {state}  {sides}");
        for why in list(pair, "why").iter().filter_map(Value::as_str) {
            let _ = writeln!(out, "  {why}");
        }
    }
    page::end(&mut out, answer.get("after"), "no proposals (không có đề xuất)");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_shown_by_numbers() {
        let side = |facility: &str, mrn: &str| json!({ "facility": facility, "mrn": mrn });
        let shown = pairs(&json!({
            "proposals": [{ "facility": "56002", "id": "ab", "state": "open", "why": ["the same name"],
                            "patients": [side("56001", "7"), side("56002", "1\u{1b}")] }],
            "after": "1-2-3",
        }));
        assert_eq!(shown, "56002/ab  open  56001/7 and 56002/1?\n  the same name\nthere are more: --after 1-2-3\n");
        assert!(pairs(&json!({ "proposals": [] })).contains("no proposals"));
        let shown = person(&json!({ "patients": [side("56001", "7")], "apart": null }));
        assert_eq!(shown, "56001/7  -\n");
        assert!(local("56001/7").is_ok() && local("56001").is_err());
    }
}
