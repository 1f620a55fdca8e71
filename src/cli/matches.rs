//! `khoanh matches`: studies and orders that did not find each other, and what a person decides of them.
//!
//! Lists show numbers, sex and year of birth of both sides, no names.

use super::page::{self, Paged};
use super::{Exit, Failure, Place, show};
use crate::control::{MatchDecision, MatchesRequest, Request};
use archive::charts::ToDecide;
use clap::{Args, Subcommand, ValueEnum};
use model::{FacilityCode, Uid};
use serde_json::Value;
use std::fmt::Write as _;

pub(super) const HELP: &str = "\
A study that contradicts its order (another patient, sex or year of birth) is set aside until a person decides
(ca chụp cách ly). Nothing is hidden or changed by a decision but whose study it is, and every decision can be taken
back, the newest first.
  khoanh matches list
  khoanh matches list --list orders --facility 56001
  khoanh matches match 56001/1.2.840.1 CD-1001 --by lan
  khoanh matches unmatch 56001/1.2.840.1 --by lan
  khoanh matches undo 56001/1.2.840.1 --by lan";

#[derive(Debug, Subcommand)]
pub(super) enum Matches {
    /// Lists studies and orders to decide of, the newest first.
    List {
        /// Which list.
        #[arg(long, value_enum, default_value = "mismatch")]
        list: List,
        /// Only those of this facility.
        #[arg(long, value_name = "CODE", value_parser = FacilityCode::parse)]
        facility: Option<FacilityCode>,
        #[command(flatten)]
        paged: Paged,
    },
    /// The study is this order's, whatever contradicts.
    Match {
        #[command(flatten)]
        of: Of,
        /// Placer order number.
        #[arg(value_name = "ORDER")]
        placer: String,
    },
    /// The study is not its order's.
    Unmatch(Of),
    /// The archive looks for the study's order again.
    Leave(Of),
    /// Takes the newest decision of the study back.
    Undo(Of),
}

#[derive(Debug, Args)]
pub(super) struct Of {
    /// The study, FACILITY/UID.
    #[arg(value_name = "STUDY", value_parser = named)]
    study: (FacilityCode, Uid),
    /// Who decides.
    #[arg(long, value_name = "PERSON")]
    by: String,
    #[command(flatten)]
    place: Place,
}

/// A steward's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum List {
    /// Studies that contradict their order.
    Mismatch,
    /// Studies without an order.
    Unmatched,
    /// Studies that have one.
    Matched,
    /// Studies of which a person decided.
    Decided,
    /// Orders whose images should be there.
    Orders,
}

impl List {
    const fn wanted(self) -> ToDecide {
        match self {
            Self::Mismatch => ToDecide::Mismatch,
            Self::Unmatched => ToDecide::Unmatched,
            Self::Matched => ToDecide::Matched,
            Self::Decided => ToDecide::Decided,
            Self::Orders => ToDecide::Orders,
        }
    }
}

fn named(text: &str) -> Result<(FacilityCode, Uid), String> {
    let (facility, study) = text.split_once('/').ok_or_else(|| format!("{text:?} is no FACILITY/UID"))?;
    let facility = FacilityCode::parse(facility).map_err(|error| error.to_string())?;
    Ok((facility, Uid::parse(study).map_err(|error| error.to_string())?))
}

pub(super) fn run(wanted: &Matches) -> Result<Exit, Failure> {
    let (of, decision) = match wanted {
        Matches::List { list, facility, paged } => {
            let (list, facility, after, limit) = (list.wanted(), *facility, paged.after.clone(), paged.limit);
            let answer = ask(&paged.place, MatchesRequest::List { list, facility, after, limit })?;
            return paged.show(&answer, listed);
        }
        Matches::Match { of, placer } => (of, MatchDecision::Match(placer.clone())),
        Matches::Unmatch(of) => (of, MatchDecision::Unmatch),
        Matches::Leave(of) => (of, MatchDecision::Leave),
        Matches::Undo(of) => (of, MatchDecision::Undo),
    };
    let (facility, study) = of.study.clone();
    let answer = ask(&of.place, MatchesRequest::Decide { facility, study, decision, by: of.by.clone() })?;
    show(&decided(&answer))
}

fn ask(place: &Place, request: MatchesRequest) -> Result<Value, Failure> {
    place.ask_existing(&Request::Matches(Box::new(request)))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or("-")
}

/// What a console or sender wrote must not steer the terminal.
fn tame(text: &str) -> String {
    text.replace(|letter: char| letter.is_control() && letter != '\n', "?")
}

fn day(row: &Value) -> String {
    row.get("at").and_then(Value::as_u64).map(|at| model::Date::of_ms(at).to_string()).unwrap_or_default()
}

fn side(value: Option<&Value>) -> String {
    let Some(value) = value.filter(|value| value.is_object()) else { return "-".to_owned() };
    let year = value.get("birth_year").and_then(Value::as_u64).map_or_else(|| "-".to_owned(), |year| year.to_string());
    format!("{} {} {year}", text(value, "mrn"), text(value, "sex"))
}

fn line(out: &mut String, row: &Value) {
    let facility = text(row, "facility");
    if row.get("verdict").is_none() {
        let (placer, date, accession) = (text(row, "placer"), text(row, "date"), text(row, "accession"));
        let _ = writeln!(out, "{date} {facility} order {placer}  accession {accession}  patient {}", text(row, "mrn"));
        return;
    }
    let (study, verdict, placer) = (text(row, "study"), text(row, "verdict"), text(row, "placer"));
    let _ = writeln!(out, "{} {facility}/{study}  {verdict} order {placer}", day(row));
    let _ = writeln!(out, "    study: {}   order: {}", side(row.get("of_study")), side(row.get("of_order")));
    let why = row.get("why").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let why: Vec<&str> = why.collect();
    if !why.is_empty() {
        let _ = writeln!(out, "    {}", why.join("; "));
    }
    if let Some(act) = row.get("acts").and_then(Value::as_array).and_then(|acts| acts.last()) {
        let _ = writeln!(out, "    {} by {} on {}", text(act, "act"), text(act, "by"), day(act));
    }
}

fn listed(answer: &Value) -> String {
    let mut out = String::new();
    let rows = answer.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    rows.iter().for_each(|row| line(&mut out, row));
    page::end(&mut out, answer.get("after"), "nothing to decide (không có gì cần xử lý)");
    tame(&out)
}

fn decided(answer: &Value) -> String {
    let mut out = String::new();
    if let Some([act, by]) = answer.get("undone").and_then(Value::as_array).map(Vec::as_slice) {
        let words = (act.as_str().unwrap_or("-"), by.as_str().unwrap_or("-"));
        let _ = writeln!(out, "taken back: {} by {}", words.0, words.1);
    }
    match answer.get("match").filter(|row| row.is_object()) {
        Some(row) => line(&mut out, row),
        None => out.push_str("nothing is known of the study now; the archive looks at it again\n"),
    }
    tame(&out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_shows_both_sides_why_and_who_decided() {
        let row = json!({
            "facility": "56001", "study": "1.2.3", "verdict": "mismatch", "placer": "O1\u{1b}[2J", "at": 0,
            "why": ["another patient's number"], "of_study": { "mrn": "2", "sex": "male", "birth_year": 1978 },
            "of_order": { "mrn": "1", "sex": "unknown", "birth_year": null },
            "acts": [{ "act": "leave", "by": "lan", "at": 0 }],
        });
        let shown = listed(&json!({ "rows": [row.clone()], "after": "1-2-3" }));
        for part in [
            "56001/1.2.3",
            "study: 2 male 1978",
            "order: 1 unknown -",
            "another patient",
            "leave by lan",
            "--after 1-2-3",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains('\u{1b}'));
        assert!(listed(&json!({ "rows": [] })).contains("nothing to decide"));
        let orders =
            listed(&json!({ "rows": [{ "facility": "56001", "placer": "O1", "accession": "A1", "mrn": "1" }] }));
        assert!(orders.contains("order O1") && orders.contains("accession A1"), "{orders}");
        let undone = decided(&json!({ "match": row, "undone": ["match", "mai"] }));
        assert!(undone.contains("taken back: match by mai"), "{undone}");
        assert!(decided(&json!({ "match": null, "undone": null })).contains("looks at it again"));
    }

    #[test]
    fn a_study_is_named_by_facility_and_uid() {
        let code = FacilityCode::parse("56001").expect("a code");
        assert_eq!(named("56001/1.2.3"), Ok((code, Uid::parse("1.2.3").expect("a UID"))));
        assert!(named("1.2.3").is_err() && named("56001/1..2").is_err());
    }
}
