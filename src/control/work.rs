//! What a request does to the archive: the same whether it came through the socket or the command opened the
//! data directory itself.

use super::{
    LedgerRequest, Progress, Request, charts, correct, export, forward, import, keys, matches, messages, migrate,
    outbox, persons, reads, report, retention, series, share, tiers,
};
use crate::cli::{Exit, Failure};
use archive::backup::{BackupPlace, Wanted as WantedBackup};
use archive::proof::Wanted;
use archive::{Archive, RegistryError};
use model::{Caller, Facility, FacilityCode, Source};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

impl Request {
    /// Its name, for the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Sources => "sources",
            Self::Register { .. } => "register",
            Self::Destinations | Self::PutDestination(_) => "destinations",
            Self::Forward(_) => "forward",
            Self::Import(_) => "import",
            Self::Load(_) => "charts import",
            Self::Migrate(_) => "migrate",
            Self::Verify => "verify",
            Self::Scrub { .. } => "scrub",
            Self::Usage => "usage",
            Self::Backup { .. } => "backup",
            Self::Export(_) => "export",
            Self::Ledger(_) => "ledger",
            Self::Tiers(_) => "tiers",
            Self::Keys(_) => "keys",
            Self::Retention(_) => "retention",
            Self::Correct(_) => "correct",
            Self::Series(_) => "series",
            Self::Matches(_) => "matches",
            Self::Messages(_) => "messages",
            Self::Outbox(_) => "outbox",
            Self::Reads(_) => "reads",
            Self::Share(_) => "share",
            Self::Persons(_) => "persons",
            Self::Report(_) => "report",
        }
    }

    /// Whether, without a server, the archive's background work goes on beside it: what comes in is packed, and the
    /// journal's space given back; packs move.
    pub(super) const fn makes_work(&self) -> bool {
        match self {
            Self::Import(_) | Self::Load(_) | Self::Migrate(_) => true,
            Self::Tiers(tiers::TierRequest::Run { act } | tiers::TierRequest::Recall { act, .. }) => *act,
            _ => false,
        }
    }
}

/// Does what is asked; `stop` ends it early, `progress` hears how far it is.
pub(super) fn answer(
    archive: &Arc<Archive>,
    request: &Request,
    stop: &Arc<AtomicBool>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    match request {
        Request::Status => status(archive),
        Request::Sources => {
            let (facilities, sources) = archive.sources();
            Ok(json!({ "facilities": facilities, "sources": sources, "knocks": archive.knocks() }))
        }
        Request::Register { facilities, sources } => register(archive, facilities, sources),
        Request::Destinations => {
            let held = archive.destinations().into_iter().filter(|destination| !destination.removed);
            Ok(json!({ "destinations": held.collect::<Vec<_>>() }))
        }
        Request::PutDestination(destination) => {
            let put = archive.put_destination(&Caller::operator(), destination.clone());
            put.map_err(|error| Failure::new(Exit::Failed, format!("destination {}: {error}", destination.title)))?;
            Ok(Value::Null)
        }
        Request::Forward(asked) => forward::answer(archive, asked),
        Request::Import(wanted) => import::run(archive, wanted, stop, progress),
        Request::Load(wanted) => charts::run(archive, wanted, stop, progress),
        Request::Migrate(wanted) => migrate::run(archive, wanted, stop, progress),
        Request::Verify => verify(archive, stop, progress),
        Request::Usage => usage(archive, stop, progress),
        Request::Backup { to, key_file, keep_days, digest } => {
            let failed = |error: archive::backup::BackupError| Failure::new(Exit::Failed, error.to_string());
            let to = &BackupPlace::parse(to, archive.options().backups.as_ref()).map_err(failed)?;
            let wanted = WantedBackup { to, key_file: key_file.as_deref(), keep_days: *keep_days, digest: *digest };
            let mut step = |report: &archive::backup::Report| {
                let (done, bytes) = (report.files, report.bytes);
                progress(Progress { done, total: done, bytes, trouble: 0 });
            };
            told(archive.backup(&wanted, stop, &mut step))
        }
        Request::Export(wanted) => export::run(archive, wanted, stop, progress),
        Request::Scrub { now } => scrub(archive, *now, stop, progress),
        Request::Ledger(wanted) => ledger(archive, wanted, stop, progress),
        Request::Tiers(request) => tiers::answer(archive, request),
        Request::Keys(request) => keys::answer(archive, request, progress),
        Request::Retention(wanted) => retention::answer(archive, wanted, stop, progress),
        Request::Correct(wanted) => correct::answer(archive, wanted),
        Request::Series(wanted) => series::answer(archive, wanted),
        Request::Outbox(asked) => outbox::answer(archive, asked),
        Request::Matches(wanted) => matches::answer(archive, wanted),
        Request::Report(wanted) => report::answer(archive, wanted, stop),
        Request::Messages(wanted) => messages::answer(archive, wanted, stop, progress),
        Request::Reads(wanted) => reads::answer(archive, wanted),
        Request::Share(wanted) => share::answer(archive, wanted),
        Request::Persons(wanted) => persons::answer(archive, wanted),
    }
}

fn status(archive: &Archive) -> Result<Value, Failure> {
    let stats = archive.stats().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let by_facility = stats.index.facilities.iter().map(|(code, row)| (code.to_string(), count(row)));
    let by_source = stats.index.sources.iter().map(|(id, row)| (id.clone(), count(row)));
    let stats = json!({
        "total": count(&stats.index.total),
        "facilities": by_facility.collect::<serde_json::Map<_, _>>(),
        "sources": by_source.collect::<serde_json::Map<_, _>>(),
        "waiting": stats.waiting.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "ingest_bytes": stats.ingest_bytes,
        "free_bytes": stats.free_bytes,
    });
    let tiers = archive.tier_status();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "readiness": archive.readiness(),
        "stats": stats,
        "tiers": tiers,
    }))
}

/// The same names as `/api/stats` uses.
fn count(row: &index::Count) -> Value {
    json!({
        "studies": row.studies,
        "series": row.series,
        "instances": row.instances,
        "conflicts": row.conflicts,
        "bytes": row.bytes,
        "last_received": row.last_received,
    })
}

/// Whether objects can be taken in for a facility.
pub(super) fn registered(archive: &Archive, facility: FacilityCode) -> Result<(), Failure> {
    if archive.facility_codes().contains(&facility) {
        return Ok(());
    }
    let what = format!("facility {facility} is not registered; add it first (khoanh sources add)");
    Err(Failure::new(Exit::Usage, what))
}

/// Facilities first, because a source names one. Every entry is durable by itself: what stands before a refused
/// one holds, and doing it again changes nothing.
fn register(archive: &Archive, facilities: &[Facility], sources: &[Source]) -> Result<Value, Failure> {
    let operator = Caller::operator();
    let refused = |entry: &str, error: RegistryError| Failure::new(Exit::Failed, format!("{entry}: {error}"));
    let (known_facilities, known_sources) = archive.sources();
    let mut changed = 0u64;
    for facility in facilities.iter().filter(|facility| !known_facilities.contains(facility)) {
        archive
            .put_facility(&operator, facility.clone())
            .map_err(|error| refused(&format!("facility {}", facility.code), error))?;
        changed += 1;
    }
    for source in sources.iter().filter(|source| !known_sources.contains(source)) {
        archive
            .put_source(&operator, source.clone())
            .map_err(|error| refused(&format!("source {}", source.id), error))?;
        changed += 1;
    }
    Ok(json!({ "changed": changed, "facilities": facilities.len(), "sources": sources.len() }))
}

fn scrub(
    archive: &Arc<Archive>,
    now: bool,
    stop: &AtomicBool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    let mut step = |report: &archive::scrub::Report| {
        let (done, bytes, trouble) = (report.packs, report.bytes, report.damaged);
        progress(Progress { done, total: done, bytes, trouble });
    };
    match now {
        true => told(archive.scrub_now(stop, &mut step)),
        false => told::<_, std::convert::Infallible>(Ok(archive.scrub_report())),
    }
}

fn usage(archive: &Archive, stop: &AtomicBool, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<Value, Failure> {
    let total = archive.stats().map_or(0, |stats| stats.index.total.studies);
    let mut step = |sum: &archive::usage::Sum| {
        progress(Progress { done: sum.studies, total: total.max(sum.studies), bytes: sum.raw, trouble: 0 });
    };
    told(archive.usage(stop, &mut step))
}

/// A report as the answer, or why there is none.
fn told<T: serde::Serialize, E: std::fmt::Display>(report: Result<T, E>) -> Result<Value, Failure> {
    let report = report.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    serde_json::to_value(report).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

fn verify(archive: &Archive, stop: &AtomicBool, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<Value, Failure> {
    let stored = archive.stats().map(|stats| stats.index.total);
    let total = stored.map_or(0, |count| count.instances + count.conflicts);
    let mut step = |report: &archive::verify::Report| {
        let (done, bytes) = (report.instances, report.bytes);
        progress(Progress { done, total: total.max(done), bytes, trouble: report.damaged });
    };
    let report = archive.verify(stop, &mut step).map_err(|error| Failure::new(Exit::Findings, error.to_string()))?;
    serde_json::to_value(report).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

fn ledger(
    archive: &Archive,
    wanted: &LedgerRequest,
    stop: &AtomicBool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    let wanted = match wanted.clone() {
        LedgerRequest::Study { facility, uid } => Wanted::Study(facility, uid),
        LedgerRequest::Instance { facility, uid } => Wanted::Instance(facility, uid),
        LedgerRequest::Pack { pack } => Wanted::Pack(pack),
    };
    let mut step = |done, total| progress(Progress { done, total, ..Progress::default() });
    let found = archive
        .find_in_ledger(&wanted, stop, &mut step)
        .map_err(|error| Failure::open(&archive.options().data, error))?;
    let missing = || Failure::new(Exit::Failed, "there is no ledger to look in: it is off, or being opened again");
    serde_json::to_value(found.ok_or_else(missing)?).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}
