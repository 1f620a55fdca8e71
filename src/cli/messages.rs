//! `khoanh messages`: what information systems sent, what became of it, and giving it in again.
//!
//! Lists show no patient's name; a whole message does, and is shown only when it is asked for by its number.

use super::page::{self, Paged};
use super::{Exit, Failure, Place, show};
use crate::control::{MessageChoice, MessageState, MessagesRequest, Request};
use clap::{Args, Subcommand, ValueEnum};
use model::{Date, FacilityCode};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;

pub(super) const HELP: &str = "\
Messages are kept with what became of them: done; parked, waiting for the order or patient that they refer to; or
refused, which a person has to look at (thông điệp bị từ chối). After the map of a source or the source itself was
mended, a message is given in again as it was sent, and read by the map of today.
  khoanh messages list --state refused
  khoanh messages list --kind ORM --source his --from 2026-11-27
  khoanh messages show 56001/NUMBER
  khoanh messages resend 56001/NUMBER --yes
  khoanh messages resend --all --facility 56001 --state refused --yes";

#[derive(Debug, Subcommand)]
pub(super) enum Messages {
    /// Lists messages, the newest first.
    List {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        paged: Paged,
    },
    /// Shows a message whole: it holds a patient's data.
    Show {
        /// The message, FACILITY/NUMBER.
        #[arg(value_name = "MESSAGE", value_parser = named)]
        message: (FacilityCode, String),
        /// Writes JSON, for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Gives messages in again, the oldest first.
    Resend {
        /// One message, FACILITY/NUMBER.
        #[arg(value_name = "MESSAGE", value_parser = named, required_unless_present = "all")]
        message: Option<(FacilityCode, String)>,
        /// All messages of a facility or state.
        #[arg(long, conflicts_with = "message")]
        all: bool,
        #[command(flatten)]
        of: Of,
        /// Does it.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(super) struct Of {
    /// Only those of this facility.
    #[arg(long, value_name = "CODE", value_parser = FacilityCode::parse)]
    facility: Option<FacilityCode>,
    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those of this type, such as ADT, or type and trigger, such as ADT^A08.
    #[arg(long, value_name = "TYPE")]
    kind: Option<String>,
    /// Only those of the source of this name.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only those of this control id (MSH-10).
    #[arg(long, value_name = "ID")]
    control: Option<String>,
    /// Only those about the patient of this number.
    #[arg(long, value_name = "NUMBER")]
    mrn: Option<String>,
    /// Only those from this day on, by the facilities' clock.
    #[arg(long, value_name = "DAY", value_parser = Date::parse)]
    from: Option<Date>,
    /// Only those until this day.
    #[arg(long, value_name = "DAY", value_parser = Date::parse)]
    to: Option<Date>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Done,
    Parked,
    Refused,
}

impl Of {
    fn choice(&self) -> MessageChoice {
        let state = self.state.map(|state| match state {
            State::Done => MessageState::Done,
            State::Parked => MessageState::Parked,
            State::Refused => MessageState::Refused,
        });
        let Self { facility, kind, source, control, mrn, from, to, .. } = self;
        let (facility, from, to) = (*facility, *from, *to);
        let (kind, source, control, mrn) = (kind.clone(), source.clone(), control.clone(), mrn.clone());
        MessageChoice { facility, state, kind, source, control, mrn, from, to }
    }
}

fn named(text: &str) -> Result<(FacilityCode, String), String> {
    let (facility, id) = text.split_once('/').ok_or_else(|| format!("{text:?} is no FACILITY/NUMBER"))?;
    Ok((FacilityCode::parse(facility).map_err(|error| error.to_string())?, id.to_owned()))
}

pub(super) fn run(wanted: &Messages) -> Result<Exit, Failure> {
    match wanted {
        Messages::List { of, paged } => {
            let (chosen, after, limit) = (of.choice(), paged.after.clone(), paged.limit);
            let answer = ask(&paged.place, MessagesRequest::List { chosen, after, limit })?;
            paged.show(&answer, listed)
        }
        Messages::Show { message: (facility, id), json, place } => {
            let answer = ask(place, MessagesRequest::Show { facility: *facility, id: id.clone() })?;
            if *json { show(&format!("{answer}\n")) } else { show(&whole(&answer)) }
        }
        Messages::Resend { message, all, of, yes, place } => {
            let sources = sources(place)?;
            let chosen = all.then(|| of.choice());
            let answer = ask(place, MessagesRequest::Resend { one: message.clone(), chosen, sources, act: *yes })?;
            show(&resent(&answer, *yes))?;
            let trouble = answer.get("trouble").and_then(Value::as_u64).unwrap_or(0);
            Ok(if trouble > 0 { Exit::Findings } else { Exit::Done })
        }
    }
}

/// The file of senders; the server has another working directory.
fn sources(place: &Place) -> Result<PathBuf, Failure> {
    let path = place.config()?.hl7.sources;
    if path.as_os_str().is_empty() {
        return Err(Failure::new(Exit::Usage, "hl7.sources names no file of senders: no message can be read again"));
    }
    std::path::absolute(&path).map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))
}

fn ask(place: &Place, request: MessagesRequest) -> Result<Value, Failure> {
    place.ask_existing(&Request::Messages(Box::new(request)))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

/// What a sender wrote must not steer the terminal.
fn tame(text: &str) -> String {
    text.replace(|letter: char| letter.is_control() && letter != '\n', "?")
}

fn listed(answer: &Value) -> String {
    let mut out = String::new();
    let messages = answer.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for row in messages {
        let day = row.get("at").and_then(Value::as_u64).map(model::Date::of_ms);
        let day = day.map(|day| day.to_string()).unwrap_or_default();
        let (facility, id, state, kind) =
            (text(row, "facility"), text(row, "id"), text(row, "state"), text(row, "kind"));
        let (source, control) = (text(row, "source"), text(row, "control"));
        let _ = writeln!(out, "{day} {facility}/{id}  {state:8} {kind:10} {source} {control}");
        if let Some(why) = row.get("why").and_then(Value::as_str) {
            let _ = writeln!(out, "    {why}");
        }
    }
    page::end(&mut out, answer.get("after"), "no messages (không có thông điệp)");
    tame(&out)
}

fn whole(answer: &Value) -> String {
    let mut out = String::new();
    let null = Value::Null;
    let (origin, handled) = (answer.get("origin").unwrap_or(&null), answer.get("handled").unwrap_or(&null));
    let _ = writeln!(out, "source    {}", text(origin, "source"));
    let _ = writeln!(out, "sender    {}", text(origin, "sender"));
    let _ = writeln!(out, "control   {}", text(origin, "control"));
    let _ = writeln!(out, "kind      {}", text(answer, "kind"));
    let _ =
        writeln!(out, "state     {} {}", text(handled, "as"), handled.get("why").and_then(Value::as_str).unwrap_or(""));
    for remark in answer.get("remarks").and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(out, "remark    {}", remark.as_str().unwrap_or_default());
    }
    out.push('\n');
    out.push_str(&text(answer, "text").replace("\r\n", "\n").replace('\r', "\n"));
    out.push('\n');
    tame(&out)
}

fn resent(answer: &Value, yes: bool) -> String {
    let mut out = String::new();
    for row in answer.get("results").and_then(Value::as_array).into_iter().flatten() {
        let why = row.get("why").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(out, "{}/{}  {} {why}", text(row, "facility"), text(row, "id"), text(row, "state"));
    }
    let count = answer.get("messages").and_then(Value::as_u64).unwrap_or(0);
    let done = if yes { "given in again" } else { "to be given in again; say --yes to do it" };
    let _ = writeln!(out, "{count} messages {done}");
    tame(&out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_say_why_and_where_to_go_on() {
        let answer = json!({
            "messages": [{ "facility": "56001", "id": "7", "at": 0, "state": "refused", "kind": "ADT^A01", "source": "hl7:his",
                "control": "17\u{1b}[2J", "why": "PID-3: a patient needs the facility's number (MR)" }],
            "after": "1-2",
        });
        let text = listed(&answer);
        assert!(text.contains("56001/7") && text.contains("PID-3:") && text.contains("--after 1-2"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(listed(&json!({ "messages": [] })).contains("no messages"));
        let shown = whole(&json!({ "text": "MSH|1\rPID|2", "handled": { "as": "done" }, "origin": {} }));
        assert!(shown.contains("MSH|1\nPID|2") && shown.contains("state     done"), "{shown}");
    }

    #[test]
    fn a_message_is_named_by_facility_and_number() {
        assert_eq!(named("56001/a/b"), Ok((FacilityCode::parse("56001").expect("code"), "a/b".to_owned())));
        assert!(named("7").is_err() && named("5600/7").is_err());
    }
}
