//! `khoanh migrate`: copies another archive, and says afterwards what of it is here.

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::config::Size;
use crate::control::{Door, MigrateReport, MigrateRequest, Request};
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use model::{AeTitle, Date, Destination, FacilityCode};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(super) const HELP: &str = "\
The other archive is asked by C-FIND, window by window of study dates, and its studies are fetched by C-GET, with the
UIDs and, where it keeps them, the bytes they have there. Interrupted or killed, the same command goes on where it
stopped. At the end it says how much was found, moved, equal, missing and refused; every missing and refused object is
in a file. Without --since everything is asked in one question, also studies without a date.";

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// The other archive.
    #[arg(long, value_name = "AE@HOST:PORT")]
    from: String,
    /// Facility the objects belong to.
    #[arg(long)]
    facility: FacilityCode,
    /// AE title the archive shows; the other one must know it.
    #[arg(long, default_value = "KHOANH")]
    calling: AeTitle,
    /// First study date, YYYY-MM-DD.
    #[arg(long, value_parser = date)]
    since: Option<Date>,
    /// Last study date; without it today.
    #[arg(long, value_parser = date, requires = "since")]
    until: Option<Date>,
    /// Days of one question.
    #[arg(long, default_value_t = 7)]
    window_days: u16,
    /// Most bytes fetched in a second, for example 20MiB.
    #[arg(long)]
    rate: Option<Size>,
    /// Begins anew instead of going on where an earlier run stopped.
    #[arg(long)]
    restart: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Deserialize)]
struct Answer {
    report: MigrateReport,
    reasons: BTreeMap<String, u64>,
    troubled: PathBuf,
}

fn date(text: &str) -> Result<Date, String> {
    Date::parse(text).map_err(|error| error.to_string())
}

pub(super) fn run(wanted: &Migrate) -> Result<Exit, Failure> {
    let wrong = || Failure::new(Exit::Usage, format!("{:?} is no AE@HOST:PORT", wanted.from));
    let (title, address) = wanted.from.rsplit_once('@').ok_or_else(wrong)?;
    let called = AeTitle::parse(title).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    Destination::split_address(address).ok_or_else(wrong)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let today = Date::of_ms(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let request = Request::Migrate(Box::new(MigrateRequest {
        called,
        address: address.to_owned(),
        calling: wanted.calling.clone(),
        facility: wanted.facility,
        dates: wanted.since.map(|since| (since, wanted.until.unwrap_or(today))),
        window_days: wanted.window_days,
        bytes_per_second: wanted.rate.map_or(0, |rate| rate.0),
        restart: wanted.restart,
    }));
    let stop = stop_flag()?;
    let door = Door::open(&wanted.place.config()?, &request)?;
    let mut shown = Shown::new("studies");
    let answer = door.ask(&request, &stop, &mut |step| shown.step(step, "missing or refused"));
    shown.end();
    let answer = answer?;
    let told: Answer = serde_json::from_value(answer.clone())
        .map_err(|error| Failure::new(Exit::Failed, format!("the report is not understood: {error}")))?;
    if wanted.json {
        show(&format!("{answer}\n"))?
    } else {
        show(&text(&told))?
    };
    Ok(match told.report {
        MigrateReport { interrupted: true, .. } => Exit::Interrupted,
        MigrateReport { missing: 0, refused: 0, .. } => Exit::Done,
        _ => Exit::Findings,
    })
}

fn text(answer: &Answer) -> String {
    let report = &answer.report;
    let count = |number| HumanCount(number).to_string();
    let mut out = format!(
        "{} studies, {} of them finished earlier; {} fetched\nobjects found {}: {} moved, {} equal, {} in conflict, {} missing, {} refused\n",
        count(report.studies),
        count(report.finished_earlier),
        HumanBytes(report.bytes),
        count(report.found),
        count(report.moved),
        count(report.equal),
        count(report.conflicts),
        count(report.missing),
        count(report.refused),
    );
    for (reason, times) in &answer.reasons {
        out.push_str(&format!("{:>8} × {reason}\n", count(*times)));
    }
    if report.missing > 0 || report.refused > 0 {
        out.push_str(&format!("every missing and refused object: {}\n", answer.troubled.display()));
    }
    if report.interrupted {
        out.push_str("interrupted; the same command goes on from here\n");
    }
    out
}
