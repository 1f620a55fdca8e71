//! `khoanh import`: folders of DICOM files taken over, with a bar, a resume and a report of what was refused.

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::control::{Door, ImportRequest, Request};
use archive::import::Report;
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use model::FacilityCode;
use model::facility::CharsetHint;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(super) const HELP: &str = "\
The same command again goes on where it stopped: finished files are remembered in `imports` inside the data
directory, beside the list of refused files and their reasons. A server that runs does the work itself, so it
must be able to read the folders.";

#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(flatten)]
    place: Place,
    /// Folders (with everything below) or files.
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// Facility the images belong to: its 5-character code.
    #[arg(long, default_value = "DEMO0")]
    facility: FacilityCode,
    /// Files read at one time, 1 to 64.
    #[arg(long, default_value_t = 8)]
    readers: usize,
    /// How text without a right character set is read: auto, windows1258, tcvn3 or vni.
    #[arg(long, default_value = "auto", value_parser = super::sources::charset)]
    charset: CharsetHint,
    /// Issuer of the patient IDs; without it they are the facility's own.
    #[arg(long, default_value = "")]
    issuer: String,
    /// Looks at every file again, finished ones too.
    #[arg(long)]
    restart: bool,
}

#[derive(Deserialize)]
struct Answer {
    report: Report,
    reasons: BTreeMap<String, u64>,
    refused: PathBuf,
}

pub(super) fn run(wanted: &Import) -> Result<Exit, Failure> {
    let config = wanted.place.config()?;
    let request = Request::Import(ImportRequest {
        paths: absolute(&wanted.paths)?,
        facility: wanted.facility,
        readers: wanted.readers,
        charset: wanted.charset,
        issuer: wanted.issuer.clone(),
        restart: wanted.restart,
    });
    let stop = stop_flag()?;
    let door = Door::open(&config, &request)?;
    let mut shown = Shown::new("files");
    let answer = door.ask(&request, &stop, &mut |step| shown.step(step, "refused or in conflict"));
    shown.end();
    let answer: Answer = serde_json::from_value(answer?)
        .map_err(|error| Failure::new(Exit::Failed, format!("the report is not understood: {error}")))?;
    show(&text(&answer))?;
    Ok(match answer.report {
        Report { interrupted: true, .. } => Exit::Interrupted,
        Report { refused: 1.., .. } => Exit::Findings,
        _ => Exit::Done,
    })
}

fn absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let resolve = |path: &PathBuf| {
        path.canonicalize().map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))
    };
    paths.iter().map(resolve).collect()
}

fn text(answer: &Answer) -> String {
    let report = &answer.report;
    let count = |number| HumanCount(number).to_string();
    let mut out = format!(
        "found {}: {} stored, {} already there, {} in conflict, {} finished earlier, {} refused; {} read\n",
        count(report.found),
        count(report.stored),
        count(report.same),
        count(report.conflicts),
        count(report.skipped),
        count(report.refused),
        HumanBytes(report.bytes),
    );
    for (reason, times) in &answer.reasons {
        out.push_str(&format!("{:>8} × {reason}\n", count(*times)));
    }
    if report.refused > 0 {
        out.push_str(&format!("every refused file: {}\n", answer.refused.display()));
    }
    if report.interrupted {
        out.push_str("interrupted; the same command goes on from here\n");
    }
    out
}
