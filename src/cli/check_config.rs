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
    if config.dicom.tls.listen.0.is_none() && !config.dicom.listen.ip().is_loopback() {
        remarks.push("DICOM without TLS beyond this machine: sources are told by their address alone (dicom.tls)");
    }
    if config.hl7.listen.0.is_some_and(|address| !address.ip().is_loopback()) {
        remarks.push("HL7 without TLS beyond this machine: patient data can be read on the network (hl7.tls)");
    }
    if !config.cold.bucket.is_empty() {
        remarks.extend(cloud_remarks(config));
    }
    remarks
}

fn cloud_remarks(config: &Config) -> Vec<&'static str> {
    let mut remarks = Vec::new();
    if config.tier.policy.is_empty() {
        remarks.push("a bucket is named, but tier.policy has no row: nothing is copied there");
    }
    if config.cold.sealed && config.keys.directories.is_empty() {
        remarks.push("both copies of the key store lie in the data directory: name two disks in keys.directories");
    }
    if config.cold.sealed && config.keys.file.as_os_str().is_empty() && config.keys.token.is_empty() {
        remarks.push("the epoch keys lie in the data directory (epoch.keys): keep a copy away from the archive");
    }
    if !config.cold.sealed {
        remarks.push("copies go to the bucket as they are: whoever reads the bucket reads patient data");
    }
    remarks
}
