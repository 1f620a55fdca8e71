//! `khoanh check-config`: reads a configuration as the server would and shows what holds.

use super::{Exit, Failure, Place, show};
use crate::config::{self, Config};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    place: Place,
    /// Shows the described file with every key and its default instead, to start an own one from.
    #[arg(long)]
    describe: bool,
}

pub(super) fn run(wanted: &CheckConfig) -> Result<Exit, Failure> {
    if wanted.describe {
        return show(config::DESCRIBED);
    }
    let config = wanted.place.config()?;
    config.check()?;
    for remark in remarks(&config) {
        eprintln!("note: {remark}");
    }
    show(&config.to_toml())
}

/// What is allowed and still worth a second look.
pub(crate) fn remarks(config: &Config) -> Vec<&'static str> {
    let mut remarks = Vec::new();
    if config.journal.directories.len() < 2 {
        remarks.push("the journal has one directory: the loss of its disk loses what is not copied elsewhere");
    }
    if config.http.tokens.as_os_str().is_empty() {
        remarks.push("no token file: whoever reaches the HTTP port from this machine acts for the demo facility");
    }
    if config.http.certificate.as_os_str().is_empty() && !config.http.listen.ip().is_loopback() {
        remarks.push("HTTP without TLS beyond this machine: patient data and tokens can be read on the network");
    }
    if config.dicom.demo_facility && !config.dicom.listen.ip().is_loopback() {
        remarks.push("the demo facility takes any AE title from this machine; set dicom.demo_facility = false");
    }
    remarks
}
