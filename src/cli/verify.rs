//! `khoanh verify`: every stored object read again and compared with its digests.

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::control::{Door, Request};
use indicatif::{HumanBytes, HumanCount};
use serde::Deserialize;

/// The archive's report, as it comes through the socket.
#[derive(Deserialize)]
struct Report {
    instances: u64,
    bytes: u64,
    #[serde(default)]
    charts: u64,
    damaged: u64,
    named: Vec<String>,
    #[serde(default)]
    ledger: Option<String>,
    interrupted: bool,
}

pub(super) fn run(place: &Place) -> Result<Exit, Failure> {
    let config = place.config()?;
    let stop = stop_flag()?;
    let mut shown = Shown::new("objects");
    let door = Door::open_existing(&config, &Request::Verify)?;
    let answer = door.ask(&Request::Verify, &stop, &mut |step| shown.step(step, "damaged"));
    shown.end();
    let report: Report = serde_json::from_value(answer?)
        .map_err(|error| Failure::new(Exit::Failed, format!("the report is not understood: {error}")))?;
    for named in &report.named {
        eprintln!("damaged: {named}");
    }
    if let Some(lacking) = &report.ledger {
        eprintln!("{lacking}");
    }
    let objects = HumanCount(report.instances);
    let charts =
        if report.charts > 0 { format!(", {} rows of charts", HumanCount(report.charts)) } else { String::new() };
    let bytes = HumanBytes(report.bytes);
    show(&format!("verified {objects} objects, {bytes}{charts}: {} damaged\n", report.damaged))?;
    Ok(match report {
        Report { damaged: 1.., .. } | Report { ledger: Some(_), .. } => Exit::Findings,
        Report { interrupted: true, .. } => Exit::Interrupted,
        _ => Exit::Done,
    })
}
