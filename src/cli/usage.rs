//! `khoanh usage`: what the archive holds, by facility, modality, tier and month, and when its disks fill.

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::control::{Door, Request};
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Args)]
pub(super) struct Usage {
    #[command(flatten)]
    place: Place,
    /// Writes the sums as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Report {
    total: Sum,
    facilities: BTreeMap<String, Sum>,
    modalities: BTreeMap<String, Sum>,
    tiers: BTreeMap<String, Sum>,
    months: BTreeMap<String, Sum>,
    forecast: Forecast,
    interrupted: bool,
}

#[derive(Deserialize)]
struct Sum {
    studies: u64,
    series: u64,
    instances: u64,
    raw: u64,
    stored: u64,
}

#[derive(Deserialize)]
struct Forecast {
    free: u64,
    per_day: u64,
    full_on: Option<String>,
}

pub(super) fn run(wanted: &Usage) -> Result<Exit, Failure> {
    let config = wanted.place.config()?;
    let stop = stop_flag()?;
    let mut shown = Shown::new("studies");
    let door = Door::open_existing(&config, &Request::Usage)?;
    let answer = door.ask(&Request::Usage, &stop, &mut |step| shown.step(step, ""));
    shown.end();
    let answer = answer?;
    let json = format!("{answer:#}\n");
    let report: Report = serde_json::from_value(answer)
        .map_err(|error| Failure::new(Exit::Failed, format!("the report is not understood: {error}")))?;
    show(&if wanted.json { json } else { text(&report) })?;
    Ok(if report.interrupted { Exit::Interrupted } else { Exit::Done })
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let parts = [
        ("facility (cơ sở)", &report.facilities),
        ("modality (loại máy)", &report.modalities),
        ("tier (tầng lưu trữ)", &report.tiers),
        ("month (tháng)", &report.months),
    ];
    for (title, sums) in parts {
        text += &line(title, ["studies", "series", "instances", "received", "stored"].map(str::to_owned));
        for (name, sum) in sums {
            text += &line(name, columns(sum));
        }
        text.push('\n');
    }
    text += &line("total (tổng)", columns(&report.total));
    let Forecast { free, per_day, full_on } = &report.forecast;
    let (free, per_day) = (HumanBytes(*free), HumanBytes(*per_day));
    text += &match full_on {
        Some(day) => format!("\n{free} free, {per_day} a day: full on {day} (đầy vào ngày {day})\n"),
        None => format!("\n{free} free, {per_day} a day: not full within a hundred years\n"),
    };
    text
}

fn columns(sum: &Sum) -> [String; 5] {
    let count = |number: u64| HumanCount(number).to_string();
    let bytes = |number: u64| HumanBytes(number).to_string();
    [count(sum.studies), count(sum.series), count(sum.instances), bytes(sum.raw), bytes(sum.stored)]
}

fn line(name: &str, [studies, series, instances, raw, stored]: [String; 5]) -> String {
    // Widths in characters, as the terminal counts them.
    format!("{name:<24}{studies:>12}{series:>12}{instances:>14}{raw:>14}{stored:>14}\n")
}
