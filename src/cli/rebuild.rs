//! `khoanh rebuild-index`: the index from journal and packs alone, proved equal to the one before.

use super::progress::Shown;
use super::{Exit, Failure, Place, show};
use crate::control::{Progress, socket_path};
use indicatif::HumanCount;
use std::os::unix::net::UnixStream;

pub(super) fn run(place: &Place) -> Result<Exit, Failure> {
    let config = place.config()?;
    if UnixStream::connect(socket_path(&config.data)).is_ok() {
        return Err(Failure::new(Exit::InUse, "a server runs on this data directory; stop it first"));
    }
    if !config.data.join("FORMAT").exists() {
        let what = format!("{} is no data directory of an archive", config.data.display());
        return Err(Failure::new(Exit::Failed, what));
    }
    let mut shown = Shown::new("facts");
    let mut step = |done| shown.step(Progress { done, ..Progress::default() }, "");
    let report = archive::rebuild::run(&config.archive(), &mut step);
    shown.end();
    let report = report.map_err(|error| Failure::open(&config.data, error))?;
    let before = report.before.map_or("none that opens".to_owned(), |digest| digest.to_string());
    let facts = HumanCount(report.facts);
    show(&format!("rebuilt from {facts} facts\nbefore: {before}\nafter:  {}\n", report.after))?;
    let charts = &report.charts;
    if charts.records > 0 {
        let before = charts.before.map_or("none that opens".to_owned(), |digest| digest.to_string());
        let records = HumanCount(charts.records);
        show(&format!(
            "charts rebuilt from {records} records\ncharts before: {before}\ncharts after:  {}\n",
            charts.after
        ))?;
    }
    if report.equal() {
        show("the rebuilt index equals the one before\n")
    } else if report.before.is_none() {
        show("there was no index to compare with\n")
    } else {
        show("the index before differed; the rebuilt one is now in use\n")?;
        Ok(Exit::Findings)
    }
}
