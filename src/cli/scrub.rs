//! `khoanh scrub`: what reading all packs again has found, and a pass now.

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::control::{Door, Request};
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use model::date::Date;
use serde::Deserialize;

pub(super) const HELP: &str = "\
Every pack is read again within scrub.cycle while the server runs. A damaged copy is written anew from another one
(hot from the bucket, or the bucket from hot). A pack without a sound copy is named with its study: bring back a backup.";

#[derive(Debug, Args)]
pub(super) struct Scrub {
    #[command(flatten)]
    place: Place,
    /// Reads all packs now, as fast as the disks give, and repairs what it can.
    #[arg(long)]
    now: bool,
    /// Writes the report as JSON.
    #[arg(long)]
    json: bool,
}

/// The archive's report, as it comes through the socket.
#[derive(Deserialize)]
struct Report {
    begun: Option<u64>,
    ended: Option<u64>,
    packs: u64,
    bytes: u64,
    damaged: u64,
    repaired: u64,
    alarms: Vec<Alarm>,
}

#[derive(Deserialize)]
struct Alarm {
    pack: String,
    facility: String,
    study: String,
    what: String,
}

pub(super) fn run(wanted: &Scrub) -> Result<Exit, Failure> {
    let config = wanted.place.config()?;
    let stop = stop_flag()?;
    let mut shown = Shown::new("packs");
    let request = Request::Scrub { now: wanted.now };
    let answer = Door::open_existing(&config, &request)?.ask(&request, &stop, &mut |step| shown.step(step, "damaged"));
    shown.end();
    let answer = answer?;
    let json = format!("{answer:#}\n");
    let report: Report = serde_json::from_value(answer)
        .map_err(|error| Failure::new(Exit::Failed, format!("the report is not understood: {error}")))?;
    if wanted.json {
        show(&json)?;
    } else {
        show(&text(&report))?;
    }
    Ok(match report {
        Report { ref alarms, .. } if !alarms.is_empty() => Exit::Findings,
        Report { damaged, repaired, .. } if damaged > repaired => Exit::Findings,
        Report { ended: None, .. } if wanted.now => Exit::Interrupted,
        _ => Exit::Done,
    })
}

fn text(report: &Report) -> String {
    let day = |ms: u64| Date::of_ms(ms).to_string();
    let mut text = match (report.begun, report.ended) {
        (None, _) => "no pass has begun yet (chưa kiểm tra lần nào)\n".to_owned(),
        (Some(begun), None) => format!("pass since {}, under way\n", day(begun)),
        (Some(begun), Some(ended)) => format!("pass from {} to {}\n", day(begun), day(ended)),
    };
    let (packs, bytes) = (HumanCount(report.packs), HumanBytes(report.bytes));
    text += &format!("{packs} packs, {bytes}: {} damaged, {} repaired\n", report.damaged, report.repaired);
    for Alarm { pack, facility, study, what } in &report.alarms {
        text += &format!(
            "NO SOUND COPY (không còn bản nguyên vẹn): pack {pack}, facility {facility}, study {study}: {what}\n"
        );
    }
    text
}
