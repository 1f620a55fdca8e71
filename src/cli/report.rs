//! `khoanh report`: what was expected of a day and what is there, and how long orders took.

use super::{Exit, Failure, Place, show};
use crate::control::{ReportRequest, Request};
use archive::charts::{Change, Completeness, Days, Lack, Measured, Numbers, TurnaroundLine};
use clap::{Args, Subcommand};
use indicatif::HumanCount;
use model::{Date, FacilityCode};
use serde_json::Value;
use std::fmt::Write as _;

pub(super) const HELP: &str = "\
completeness names orders whose time passed without an image, instances that modalities said they made (MPPS) or asked
storage commitment for and that are not stored, steps that nobody has ended for hours, and complete studies of which
senders state other numbers than are stored (thiếu ảnh): 3 is answered when there is any.
  khoanh report completeness --day 2026-11-28
  khoanh report completeness --day 2026-11-28 --facility 56001 --json
turnaround tells how long orders took from one stage to the next, by facility and modality: how many, the median, what
nine of ten did not exceed, and the change against a month before (thời gian trả kết quả). Of an order whose second
moment lies before the first, as a wrong clock has it, only the count is told, as early.
  khoanh report turnaround --from 2026-11-01 --to 2026-11-28 --baseline 2026-10";

#[derive(Debug, Subcommand)]
pub(super) enum Report {
    /// What orders and modalities announced for a day beside what is stored (đối chiếu đủ ảnh).
    Completeness(Day),
    /// How long orders took from one stage to the next (thời gian từ chỉ định đến kết quả).
    Turnaround(Took),
}

#[derive(Debug, Args)]
pub(super) struct Took {
    /// The first day on which orders were to begin, by the facilities' clock.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = Date::parse)]
    from: Date,
    /// The last day, at most 92 days from the first.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = Date::parse)]
    to: Date,
    /// A month to compare it with.
    #[arg(long, value_name = "YYYY-MM", value_parser = Days::month)]
    baseline: Option<Days>,
    /// The page ends with the facility in which so many lines are reached.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    limit: usize,
    #[command(flatten)]
    of: Of,
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
        Report::Turnaround(took) => turnaround(took),
    }
}

fn ask(place: &Place, request: ReportRequest) -> Result<Value, Failure> {
    place.ask_existing(&Request::Report(request))
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
    if found.studies_stated > 0 || found.uncommitted > 0 {
        let (stated, differing, asked) =
            (count(found.studies_stated), count(found.studies_differing), count(found.uncommitted));
        let _ = writeln!(
            out,
            "  {stated} studies with stated numbers, {differing} differing; {asked} instances asked for and not stored"
        );
    }
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
            Lack::Commitment { instance, station, .. } => {
                writeln!(out, "  instance {instance}: {station} asked storage commitment for it, not stored")
            }
            Lack::Numbers { study, accession, instances, series, of_series } => {
                let _ = write!(out, "  study {study} (accession {}):", tame(accession));
                let mut numbers = |what: &str, Numbers { stated, stored }: Numbers| {
                    let _ = write!(out, " {what} {} stated, {} stored;", count(stated), count(stored));
                };
                instances.iter().for_each(|found| numbers("instances", *found));
                series.iter().for_each(|found| numbers("series", *found));
                of_series.iter().for_each(|one| numbers(&format!("of series {}", one.uid), one.instances));
                out.truncate(out.trim_end_matches(';').len());
                writeln!(out)
            }
        };
    }
    out
}

fn turnaround(wanted: &Took) -> Result<Exit, Failure> {
    let Of { facility, after, json, place } = &wanted.of;
    let days = Days::new(wanted.from, wanted.to).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let (facility, baseline, after, limit) = (*facility, wanted.baseline, after.clone(), wanted.limit);
    let answer = ask(place, ReportRequest::Turnaround { facility, days, baseline, after, limit })?;
    if *json {
        return show(&format!("{answer:#}\n"));
    }
    let lines: Vec<TurnaroundLine> = read(&answer, "lines")?;
    let mut out: String = lines.iter().map(took).collect();
    if out.is_empty() {
        let _ = writeln!(out, "no orders were to begin from {} to {}", wanted.from, wanted.to);
    }
    more(&answer, &mut out);
    show(&out)
}

/// A facility's modality.
fn took(line: &TurnaroundLine) -> String {
    let modality = line.modality.replace(char::is_control, "?");
    let mut out = format!("{} {modality}: {} orders", line.facility, HumanCount(line.orders));
    if let Some(before) = line.orders_before {
        let _ = write!(out, " ({} before)", HumanCount(before));
    }
    let _ = writeln!(out, ", {} taken back", HumanCount(line.taken_back));
    if !line.stages.is_empty() {
        let _ = writeln!(out, "  {:20}{:>9}{:>8}{:>14}{:>14}", "stage", "count", "early", "median", "nine of ten");
    }
    for stage in &line.stages {
        let Measured { count, early, median, p90 } = stage.now;
        let (median, p90) = (lasting(median, stage.change, true), lasting(p90, stage.change, false));
        let _ = writeln!(out, "  {:20}{count:>9}{early:>8}{median:>14}{p90:>14}", stage.stage.name());
    }
    out
}

/// A time, and by how much it differs from the baseline's.
fn lasting(seconds: Option<u64>, change: Option<Change>, of_median: bool) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let text = if hours > 0 { format!("{hours}h{minutes:02}") } else { format!("{minutes}m{:02}", seconds % 60) };
    match change.and_then(|change| if of_median { change.median_percent } else { change.p90_percent }) {
        Some(percent) => format!("{text} {percent:+}%"),
        None => text,
    }
}
