//! `khoanh report`: what was expected of a day, and what is there.

use super::{Exit, Failure, Place, show};
use crate::control::{Door, ReportRequest, Request};
use archive::charts::{Completeness, Lack};
use clap::{Args, Subcommand};
use indicatif::HumanCount;
use model::{Date, FacilityCode};
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(super) const HELP: &str = "\
completeness names orders whose time passed without an image, instances that modalities said they made (MPPS) and that
are not stored, and steps that nobody has ended for hours (thiếu ảnh): 3 is answered when there is any.
  khoanh report completeness --day 2026-11-28
  khoanh report completeness --day 2026-11-28 --facility 56001 --json";

#[derive(Debug, Subcommand)]
pub(super) enum Report {
    /// What orders and modalities announced for a day beside what is stored (đối chiếu đủ ảnh).
    Completeness(Day),
}

#[derive(Debug, Args)]
pub(super) struct Day {
    /// The day, by the facilities' clock.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = Date::parse)]
    day: Date,
    /// Most that is named.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    limit: usize,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
pub(super) struct Of {
    /// Only this facility.
    #[arg(long, value_name = "CODE", value_parser = FacilityCode::parse)]
    facility: Option<FacilityCode>,
    /// Goes on behind the place that the page before named.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(wanted: &Report) -> Result<Exit, Failure> {
    match wanted {
        Report::Completeness(day) => completeness(day),
    }
}

fn ask(place: &Place, request: ReportRequest) -> Result<Value, Failure> {
    let request = Request::Report(request);
    Door::open_existing(&place.config()?, &request)?.ask(&request, &Arc::new(AtomicBool::new(false)), &mut |_| {})
}

fn read<T: serde::de::DeserializeOwned>(answer: &Value, name: &str) -> Result<Vec<T>, Failure> {
    let rows = answer.get(name).cloned().unwrap_or_default();
    serde_json::from_value(rows)
        .map_err(|error| Failure::new(Exit::Failed, format!("the report is not understood: {error}")))
}

/// Where the next page begins.
fn more(answer: &Value, out: &mut String) {
    if let Some(next) = answer.get("after").and_then(Value::as_str) {
        let _ = writeln!(out, "more: --after {next}");
    }
}

fn completeness(wanted: &Day) -> Result<Exit, Failure> {
    let Of { facility, after, json, place } = &wanted.of;
    let (facility, after) = (*facility, after.clone());
    let answer = ask(place, ReportRequest::Completeness { facility, day: wanted.day, after, limit: wanted.limit })?;
    let found: Vec<Completeness> = read(&answer, "facilities")?;
    if *json {
        show(&format!("{answer:#}\n"))?;
    } else {
        let mut out: String = found.iter().map(day).collect();
        if out.is_empty() {
            let _ = writeln!(out, "nothing was announced for {}", wanted.day);
        }
        more(&answer, &mut out);
        show(&out)?;
    }
    let whole = found.iter().all(|one| one.lacks.is_empty());
    Ok(if whole { Exit::Done } else { Exit::Findings })
}

/// A facility's day.
fn day(found: &Completeness) -> String {
    let count = |number| HumanCount(number).to_string();
    // What a sender wrote must not steer the terminal.
    let tame = |text: &str| text.replace(char::is_control, "?");
    let mut out = format!(
        "{} {}: {} orders, {} without images; {} steps ended, {} open; {} instances expected, {} stored, {} missing\n",
        found.facility,
        found.day,
        count(found.orders),
        count(found.orders_without_images),
        count(found.steps),
        count(found.steps_open),
        count(found.expected),
        count(found.stored),
        count(found.missing),
    );
    for lack in &found.lacks {
        let _ = match lack {
            Lack::Images { placer, accession, modality, .. } => {
                let (placer, accession, modality) = (tame(placer), tame(accession), tame(modality));
                writeln!(out, "  order {placer} (accession {accession}, {modality}): no image")
            }
            Lack::Instance { instance, series, station, .. } => {
                writeln!(out, "  instance {instance} of series {series} from {station}: not stored")
            }
            Lack::End { step, station, .. } => writeln!(out, "  step {step} of {station}: has begun, nobody ended it"),
        };
    }
    out
}
