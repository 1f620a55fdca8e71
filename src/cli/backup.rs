//! `khoanh backup` and `khoanh restore`: what is not in the cloud, somewhere else, and back again.

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::control::{Door, Progress, Request};
use archive::backup::{self, BackupPlace};
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use model::{Digest, FacilityCode};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

pub(super) const HELP: &str = "\
A backup holds journal, facts, ledger, keys, plans, and packs without a copy in the bucket; the index is rebuilt.
Only what is new is copied. It goes to a directory or to s3://BUCKET/PREFIX, at the endpoint and with the credentials of
[cold]. With --key it is sealed (mã hóa): without that file nobody can restore it, so keep it, the epoch key file and the
ledger's key apart from it. Without --key guard it like the archive: it holds images and names.
Rehearse a restore often: khoanh backup --to PLACE --rehearse EMPTY_DIR.";

#[derive(Debug, Args)]
pub(super) struct Backup {
    #[command(flatten)]
    place: Place,
    /// Directory of the backups, best on another machine's disk, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// File whose first line is the key that backups are sealed by: 64 hexadecimal digits (openssl rand -hex 32).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Backups older than so many days are removed; the newest stays.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    keep: u32,
    /// Restores the new backup into this empty directory, rebuilds its index and compares it with the archive's.
    #[arg(long, value_name = "DIR")]
    rehearse: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Directory of the backups, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// File with the key they are sealed by.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Which backup; the newest when none is named.
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Data directory to be made; it must be empty or missing.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Configuration file; its bucket is read for packs that lie there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The archive's report, as it comes through the socket.
#[derive(Deserialize)]
struct Report {
    set: String,
    files: u64,
    bytes: u64,
    copied: u64,
    copied_bytes: u64,
    removed_sets: u64,
    locked: u64,
    index: Option<Digest>,
    #[serde(default)]
    charts: Option<Digest>,
    epochs_without_copy: Vec<(FacilityCode, u32)>,
}

pub(super) fn run(wanted: &Backup) -> Result<Exit, Failure> {
    let config = wanted.place.config()?;
    let stop = stop_flag()?;
    let to = place(&wanted.to)?;
    let key_file = wanted.key.as_deref().map(absolute).transpose()?;
    let mut shown = Shown::new("files");
    let (keep_days, digest) = (wanted.keep, wanted.rehearse.is_some());
    let request = Request::Backup { to: to.clone(), key_file: key_file.clone(), keep_days, digest };
    let answer = Door::open_existing(&config, &request)?.ask(&request, &stop, &mut |step| shown.step(step, ""));
    shown.end();
    let report: Report = serde_json::from_value(answer?)
        .map_err(|error| Failure::new(Exit::Failed, format!("the report is not understood: {error}")))?;
    let Report { set, files, bytes, copied, copied_bytes, removed_sets, locked, .. } = report;
    let (index, charts, epochs_without_copy) = (report.index, report.charts, report.epochs_without_copy);
    show(&format!(
        "backup {set}: {} files, {}; copied now {} files, {}; {removed_sets} older backups removed\n",
        HumanCount(files),
        HumanBytes(bytes),
        HumanCount(copied),
        HumanBytes(copied_bytes)
    ))?;
    if locked > 0 {
        let locked = HumanCount(locked);
        show(&format!("{locked} old files should go and stay: the bucket locks them (bị khóa)\n"))?;
    }
    if let Some((facility, epoch)) = epochs_without_copy.first() {
        show(&format!(
            "NOT IN IT, as in no backup (KHÔNG có trong bản sao lưu): the epoch keys; no copy is known of epoch {epoch} of \
             {facility}: copy them away from here, then run khoanh keys copied\n"
        ))?;
    }
    match &wanted.rehearse {
        Some(scratch) => {
            let from = From { place: &to, key_file: key_file.as_deref(), set: Some(&set) };
            rehearse(&config, &from, scratch, (index, charts), &stop)
        }
        None => Ok(Exit::Done),
    }
}

/// What is brought back.
struct From<'a> {
    place: &'a str,
    key_file: Option<&'a Path>,
    set: Option<&'a str>,
}

/// Restores, rebuilds and compares.
fn rehearse(
    config: &crate::config::Config,
    from: &From<'_>,
    scratch: &Path,
    (index, charts): (Option<Digest>, Option<Digest>),
    stop: &Arc<AtomicBool>,
) -> Result<Exit, Failure> {
    let begun = Instant::now();
    bring_back(config, from, scratch, stop)?;
    let restored = begun.elapsed();
    let after = rebuild(config, scratch)?;
    let minutes = |time: Duration| time.as_secs_f64() / 60.0;
    show(&format!(
        "rehearsed (diễn tập khôi phục): files back in {:.1} min, index rebuilt in {:.1} min\n",
        minutes(restored),
        minutes(begun.elapsed().saturating_sub(restored))
    ))?;
    let (images, charted) = after;
    if index.is_some_and(|index| index != images) || charts.is_some_and(|charts| charts != charted) {
        show("THE RESTORED INDEX DIFFERS (chỉ mục khôi phục KHÁC bản gốc)\n")?;
        return Ok(Exit::Findings);
    }
    match (index, charts) {
        (Some(_), Some(_)) => show("0 differences (không có khác biệt)\n"),
        (Some(_), None) => show("0 differences but in charts, which changed meanwhile and were not compared\n"),
        (None, _) => show("objects came in meanwhile, so the indexes were not compared; rehearse in a quiet hour\n"),
    }
}

pub(super) fn run_restore(wanted: &Restore) -> Result<Exit, Failure> {
    let config = Place { config: wanted.config.clone(), data: Some(wanted.data.clone()) }.config()?;
    let stop = stop_flag()?;
    let begun = Instant::now();
    let from = From { place: &wanted.from, key_file: wanted.key.as_deref(), set: wanted.set.as_deref() };
    bring_back(&config, &from, &wanted.data, &stop)?;
    rebuild(&config, &wanted.data)?;
    show(&format!(
        "restored with its index in {:.1} min; now run khoanh verify\n",
        begun.elapsed().as_secs_f64() / 60.0
    ))
}

fn bring_back(
    config: &crate::config::Config,
    from: &From<'_>,
    data: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let failed = |error: backup::BackupError| Failure::new(Exit::Failed, error.to_string());
    let place = BackupPlace::parse(from.place, config.archive().backups.as_ref()).map_err(failed)?;
    let mut shown = Shown::new("files");
    let mut step = |restored: &backup::Restored| {
        let (done, bytes) = (restored.files, restored.bytes);
        shown.step(Progress { done, total: done, bytes, trouble: 0 }, "");
    };
    let restored = backup::restore(&place, from.key_file, from.set, data, stop, &mut step);
    shown.end();
    let restored = restored.map_err(failed)?;
    let (files, bytes) = (HumanCount(restored.files), HumanBytes(restored.bytes));
    show(&format!("backup {} brought back: {files} files, {bytes}\n", restored.set)).map(drop)
}

/// Builds the index of a restored directory, and that of charts; the configuration says where packs in the cloud are.
fn rebuild(config: &crate::config::Config, data: &Path) -> Result<(Digest, Digest), Failure> {
    // What was restored lies in the one directory, whatever disks the archive itself uses.
    let mut options = config.archive();
    options.data = data.to_path_buf();
    options.journal = Vec::new();
    options.packs.volumes = Vec::new();
    options.keys = options.keys.of_restored(&config.archive().data);
    let mut shown = Shown::new("facts");
    let mut step = |facts: u64| shown.step(Progress { done: facts, total: facts, bytes: 0, trouble: 0 }, "");
    let report = archive::rebuild::run(&options, &mut step);
    shown.end();
    report.map(|report| (report.after, report.charts.after)).map_err(|error| Failure::open(data, error))
}

/// The server has another working directory.
fn place(text: &str) -> Result<String, Failure> {
    match text.starts_with("s3://") {
        true => Ok(text.to_owned()),
        false => absolute(Path::new(text)).map(|path| path.display().to_string()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))
}
