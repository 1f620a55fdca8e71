//! `khoanh charts`: what information systems know, given in as a table for the first load.

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::control::{Door, LoadReport, LoadRequest, Request};
use clap::{Args, Subcommand};
use indicatif::HumanCount;
use model::FacilityCode;
use std::path::PathBuf;

pub(super) const HELP: &str = "\
A table is a CSV file in UTF-8, with or without a mark in front; comma, semicolon or tab stand between cells.
The first line names the columns; an empty cell says nothing. Samples with every column lie in config/first-load.
  patients: mrn, name, birth, sex, national, old_card, passport, insurance, phone, address, died, records
  orders:   placer, mrn, accession, study, filler, visit, visit_class, visit_records, procedure_id, procedure,
            procedure_code, modality, start, station, station_name, location, step_description, performing,
            requesting, service, priority, reason, state
The same command again goes on where it stopped, and the same line again has no second effect. Lines that were
refused are listed by number in `imports` inside the data directory.";

#[derive(Debug, Subcommand)]
pub(super) enum Charts {
    /// Loads a table of patients or of orders (nạp danh sách ban đầu); patients first.
    #[command(after_help = HELP)]
    Import(Load),
}

#[derive(Debug, Args)]
pub(super) struct Load {
    #[command(flatten)]
    place: Place,
    /// The table.
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Facility whose patients or orders it holds: its 5-character code.
    #[arg(long)]
    facility: FacilityCode,
    /// Takes every line again, finished ones too.
    #[arg(long)]
    restart: bool,
}

pub(super) fn run(wanted: &Charts) -> Result<Exit, Failure> {
    let Charts::Import(wanted) = wanted;
    let config = wanted.place.config()?;
    let unread = |error: std::io::Error| Failure::new(Exit::Usage, format!("{}: {error}", wanted.path.display()));
    let path = wanted.path.canonicalize().map_err(unread)?;
    let request = Request::Load(LoadRequest { path, facility: wanted.facility, restart: wanted.restart });
    let stop = stop_flag()?;
    let door = Door::open(&config, &request)?;
    let mut shown = Shown::new("lines");
    let answer = door.ask(&request, &stop, &mut |step| shown.step(step, "refused"));
    shown.end();
    let report: LoadReport = serde_json::from_value(answer?)
        .map_err(|error| Failure::new(Exit::Failed, format!("the report is not understood: {error}")))?;
    show(&text(&report))?;
    Ok(match report {
        LoadReport { interrupted: true, .. } => Exit::Interrupted,
        LoadReport { refused: 1.., .. } => Exit::Findings,
        _ => Exit::Done,
    })
}

fn text(report: &LoadReport) -> String {
    let count = |number| HumanCount(number).to_string();
    let mut out = format!(
        "{} lines: {} done, {} known already, {} finished earlier, {} wait, {} refused\n",
        count(report.lines),
        count(report.done),
        count(report.repeated),
        count(report.skipped),
        count(report.waiting),
        count(report.refused),
    );
    for (line, why) in &report.named {
        out.push_str(&format!("line {line}: {why}\n"));
    }
    if report.refused + report.waiting > 0 {
        out.push_str(&format!("every such line: {}\n", report.list.display()));
    }
    if report.interrupted {
        out.push_str("interrupted; the same command goes on from here\n");
    }
    out
}
