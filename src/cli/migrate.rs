//! `khoanh migrate`: copies another archive, and says afterwards what of it is here.

use super::dicom::Secure;
use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::config::{Config, Size};
use crate::control::{DicomOther, Door, MigrateFrom, MigrateReport, MigrateRequest, Request, WebOther};
use clap::{Args, ValueEnum};
use indicatif::{HumanBytes, HumanCount};
use model::{AeTitle, Date, Destination, FacilityCode};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(super) const HELP: &str = "\
The other archive is asked by C-FIND, window by window of study dates, and its studies are fetched by C-GET, with the
UIDs and, where it keeps them, the bytes they have there. With --by move it sends them by C-MOVE to the DICOM port of
this archive, which must be running; the other archive must know its AE title and address, and be a source of the
facility here. With a URL it is asked by QIDO-RS and fetched from by WADO-RS.
Interrupted or killed, the same command goes on where it stopped. At the end it says how much was found, moved, equal,
missing and refused; every missing and refused object is in a file, and every window that could not be asked.
Without --since everything is asked in one question, also studies without a date.";

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// The other archive: an AE title with its address, or the root of a DICOMweb service.
    #[arg(long, value_name = "AE@HOST:PORT or URL")]
    from: String,
    /// Facility the objects belong to.
    #[arg(long)]
    facility: FacilityCode,
    /// How objects come over DICOM.
    #[arg(long, value_enum, default_value = "get")]
    by: By,
    /// AE title the archive shows; without it its first own one. The other archive must know it.
    #[arg(long)]
    calling: Option<AeTitle>,
    /// AE title of this archive that the other one sends to; without it the one that is shown.
    #[arg(long, value_name = "AE")]
    to: Option<AeTitle>,
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
    /// How often a question or a fetch is tried before it is reported as not done.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1000))]
    attempts: u32,
    /// Pause between two attempts.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    retry_seconds: u64,
    /// Longest wait for an answer, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    within: u64,
    /// File with the bearer token of a DICOMweb service.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Authorities that may have signed the certificate of a DICOMweb service, PEM; without it those of the system.
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
    /// Begins anew instead of going on where an earlier run stopped.
    #[arg(long)]
    restart: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tls: Secure,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum By {
    /// C-GET: over the association that asks for them.
    Get,
    /// C-MOVE: to the DICOM port of this archive.
    Move,
}

#[derive(Deserialize)]
struct Answer {
    report: MigrateReport,
    reasons: BTreeMap<String, u64>,
    not_done: Vec<(String, String)>,
    troubled: PathBuf,
}

fn date(text: &str) -> Result<Date, String> {
    Date::parse(text).map_err(|error| error.to_string())
}

fn usage(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, what)
}

impl Migrate {
    fn is_web(&self) -> bool {
        ["http://", "https://"].iter().any(|scheme| self.from.starts_with(scheme))
    }

    fn other(&self, config: &Config) -> Result<MigrateFrom, Failure> {
        if self.is_web() {
            let dicom = self.by == By::Move || self.calling.is_some() || self.to.is_some() || self.tls.is_wanted();
            if dicom {
                return Err(usage("--by, --calling, --to and --tls are for an archive that speaks DICOM"));
            }
            let absolute = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
            let files = absolute(&self.token_file).and_then(|token| Ok((token, absolute(&self.authorities)?)));
            let (token_file, authorities) = files.map_err(|error| usage(error.to_string()))?;
            let (root, within) = (self.from.clone(), self.within);
            return Ok(MigrateFrom::Web(WebOther { root, token_file, authorities, within }));
        }
        if self.token_file.is_some() || self.authorities.is_some() {
            return Err(usage("--token-file and --authorities are for a DICOMweb service; see --tls"));
        }
        let wrong = || usage(format!("{:?} is no AE@HOST:PORT, and no URL", self.from));
        let (title, address) = self.from.rsplit_once('@').ok_or_else(wrong)?;
        let called = AeTitle::parse(title).map_err(|error| usage(error.to_string()))?;
        Destination::split_address(address).ok_or_else(wrong)?;
        let own = self.calling.clone().or_else(|| config.dicom.ae_titles.first().cloned());
        let calling = own.ok_or_else(|| usage("this archive has no AE title: --calling"))?;
        if self.to.is_some() && self.by != By::Move {
            return Err(usage("--to goes with --by move"));
        }
        let move_to = (self.by == By::Move).then(|| self.to.clone().unwrap_or_else(|| calling.clone()));
        let (address, within, tls) = (address.to_owned(), self.within, self.tls.for_server(config)?);
        Ok(MigrateFrom::Dicom(DicomOther { called, address, calling, move_to, within, tls }))
    }
}

pub(super) fn run(wanted: &Migrate) -> Result<Exit, Failure> {
    let config = wanted.place.config()?;
    let from = wanted.other(&config)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let today = Date::of_ms(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let request = Request::Migrate(Box::new(MigrateRequest {
        from,
        facility: wanted.facility,
        dates: wanted.since.map(|since| (since, wanted.until.unwrap_or(today))),
        window_days: wanted.window_days,
        bytes_per_second: wanted.rate.map_or(0, |rate| rate.0),
        attempts: wanted.attempts,
        retry_seconds: wanted.retry_seconds,
        restart: wanted.restart,
    }));
    let stop = stop_flag()?;
    let unserved = "by C-MOVE the objects come to the archive's own DICOM port: start it first (khoanh serve)";
    let door = match wanted.by {
        By::Move => Door::of_server(&config)?.ok_or_else(|| usage(unserved))?,
        _ => Door::open(&config, &request)?,
    };
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
    Ok(exit(&told.report))
}

fn exit(report: &MigrateReport) -> Exit {
    let trouble = [report.missing, report.refused, report.studies_not_done, report.windows_not_done];
    match report {
        MigrateReport { interrupted: true, .. } => Exit::Interrupted,
        // Nobody was there.
        MigrateReport { studies: 0, windows, windows_not_done, .. }
            if *windows_not_done > 0 && windows == windows_not_done =>
        {
            Exit::Failed
        }
        _ if trouble.iter().any(|number| *number > 0) => Exit::Findings,
        _ => Exit::Done,
    }
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
    if report.studies_not_done > 0 {
        out.push_str(&format!("{} studies whose objects were not told\n", count(report.studies_not_done)));
    }
    if report.windows_not_done > 0 {
        let (windows, not_done) = (count(report.windows), count(report.windows_not_done));
        out.push_str(&format!("{not_done} of {windows} windows of study dates not done\n"));
    }
    for (window, why) in &answer.not_done {
        out.push_str(&format!("  {window}: {why}\n"));
    }
    if exit(report) == Exit::Findings {
        out.push_str(&format!("each of them: {}\n", answer.troubled.display()));
        out.push_str("the same command tries again what is not done\n");
    }
    if report.interrupted {
        out.push_str("interrupted; the same command goes on from here\n");
    }
    out
}
