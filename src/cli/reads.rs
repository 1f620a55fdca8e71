//! `khoanh reads`: who read which study, in which way, when and from where.

use super::{Exit, Failure, Place, page, show};
use crate::control::{ReadsRequest, Request};
use clap::Args;
use model::chart::Way;
use model::{Date, FacilityCode, Uid};
use serde_json::Value;
use std::fmt::Write as _;

pub(super) const HELP: &str = "\
One line is an hour of one caller, one study and one way, with its number of requests and of instances given
(nhật ký truy cập ca chụp). A line is written 2 seconds after the first request, its numbers follow every minute.
  khoanh reads --study 1.2.840.113619.2.55.3
  khoanh reads --by launch:56001:lan --from 2026-11-01 --to 2026-11-30
  khoanh reads --facility 56001 --way move";

#[derive(Debug, Args)]
pub(super) struct Reads {
    /// Only at this facility.
    #[arg(long, value_name = "CODE", value_parser = FacilityCode::parse)]
    facility: Option<FacilityCode>,
    /// Only of this study.
    #[arg(long, value_name = "UID", value_parser = Uid::parse)]
    study: Option<Uid>,
    /// Only by this caller, by its whole name: of a token, source:ID, launch:FACILITY:USER, share:FACILITY:NUMBER.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only in this way: dicomweb, pictures, viewer, launch, share, get, move or export.
    #[arg(long, value_name = "WAY", value_parser = way)]
    way: Option<Way>,
    /// Only from this day on, by the facilities' clock.
    #[arg(long, value_name = "DAY", value_parser = Date::parse)]
    from: Option<Date>,
    /// Only until this day.
    #[arg(long, value_name = "DAY", value_parser = Date::parse)]
    to: Option<Date>,
    /// Goes on behind the place that the page before named.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// Most lines of a page.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

fn way(text: &str) -> Result<Way, String> {
    Way::of(text).ok_or_else(|| format!("{text:?} is none of {}", Way::ALL.map(Way::name).join(", ")))
}

pub(super) fn run(wanted: &Reads) -> Result<Exit, Failure> {
    let request = Request::Reads(Box::new(ReadsRequest {
        facility: wanted.facility,
        study: wanted.study.clone(),
        by: wanted.by.clone(),
        way: wanted.way,
        from: wanted.from,
        to: wanted.to,
        after: wanted.after.clone(),
        limit: wanted.limit,
    }));
    let answer = wanted.place.ask_existing(&request)?;
    if wanted.json { show(&format!("{answer}\n")) } else { show(&listed(&answer)) }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

/// A moment of the archive's clock, UTC.
fn moment(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    format!("{} {:02}:{:02}:{:02}Z", Date::of_ms(ms), seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn listed(answer: &Value) -> String {
    let mut out = String::new();
    for row in answer.get("reads").and_then(Value::as_array).into_iter().flatten() {
        let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
        let addresses: Vec<&str> =
            row.get("addresses").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let more = if row.get("more").and_then(Value::as_bool) == Some(true) { " and more" } else { "" };
        let from = if addresses.is_empty() { "-".into() } else { format!("{}{more}", addresses.join(" ")) };
        let (facility, way, by, study) = (text(row, "facility"), text(row, "way"), text(row, "by"), text(row, "study"));
        let (at, requests, objects) = (moment(number("first")), number("requests"), number("objects"));
        let _ = writeln!(
            out,
            "{at} {facility} {way:8} {by}  study {study}  requests {requests}  instances {objects}  from {from}"
        );
        for (name, label) in [("title", "AE title"), ("to", "to"), ("purpose", "signed for")] {
            if let Some(said) = row.get(name).and_then(Value::as_str) {
                let _ = writeln!(out, "    {label} {said}");
            }
        }
    }
    page::end(&mut out, answer.get("after"), "nobody read anything (không ai xem)");
    // What a peer or a system wrote must not steer the terminal.
    out.replace(|letter: char| letter.is_control() && letter != '\n', "?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_say_who_read_what_and_where_to_go_on() {
        let answer = json!({
            "reads": [{ "facility": "56001", "by": "source:ct1", "way": "move", "study": "1.2.3", "first": 1_800_000_000_000_u64,
                "requests": 2, "objects": 500, "addresses": ["192.0.2.7"], "more": true, "to": "WS\u{1b}2" }],
            "after": "1-2-3",
        });
        let text = listed(&answer);
        assert!(text.starts_with("2027-01-15 08:00:00Z 56001 move"), "{text}");
        assert!(text.contains("source:ct1  study 1.2.3  requests 2  instances 500  from 192.0.2.7 and more"), "{text}");
        assert!(text.contains("    to WS?2") && text.contains("--after 1-2-3"), "{text}");
        assert!(listed(&json!({ "reads": [] })).contains("nobody read"));
        assert!(way("move").is_ok() && way("fax").is_err());
    }
}
