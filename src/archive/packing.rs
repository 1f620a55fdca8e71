//! Packing: a series that has been quiet long enough gets its lasting form, one immutable pack (DESIGN section 4B).
//!
//! The pack is written to a hot volume, read back, every digest in it compared, and only then recorded; from the moment
//! the fact is applied its instances are read from it. A kill anywhere leaves either the journal's copy in use and an
//! orphan that the sweep removes, or the pack in use.
//! Deliberately not here: giving the journal's space back ([`crate::segments`]), and the cloud.

mod document;
mod resting;

pub(crate) use document::with_base;
pub(crate) use resting::Failing;

use crate::error::{OpenError, RetrieveError};
use crate::open::{self, Archive};
use crate::order;
use crate::worker;
use dataset::syntax::{EXPLICIT_BE, Syntax};
use document::document;
use index::{InstanceRow, PackRow, SeriesKey, SeriesRow};
use model::attribute::key;
use model::pack::{PackFact, Packed};
use model::{AttrKey, Fact, Home, PackId};
use std::collections::HashMap;
use std::io::BufWriter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;
use store::coding::PixelLayout;
use store::hot::HotWriter;
use store::pack::{FramePlaces, InstanceIn, Manifest, PackAbout, PackSummary, PackWriter};
use store::{PackFile, StoreError};

/// Series taken per round.
const ROUND: usize = 64;
/// Bytes gathered for one write to a volume.
const WRITE_BYTES: usize = 1 << 20;
/// What a pack may need beside its files: headers and manifest, per instance.
const BESIDE_BYTES: u64 = 4 << 10;

/// Starts one of the threads that pack what is quiet: while one waits for the disk the other codes.
pub(crate) fn start(archive: &Arc<Archive>, number: usize) -> Result<JoinHandle<()>, OpenError> {
    let name = if number == 0 { "packer" } else { "packer-2" };
    worker::every(archive, name, move |archive| {
        if archive.health().reason().is_none()
            && archive.options().packs.enabled
            && let Err(error) = round(archive, number)
        {
            tracing::warn!(%error, "quiet series cannot be looked up; trying again");
        }
    })
}

/// Starts the thread that once removes hot packs that no fact names: what a kill left between writing and recording.
pub(crate) fn start_sweep(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let archive = Arc::clone(archive);
    open::spawn("sweeper", move || sweep(&archive))
}

fn sweep(archive: &Arc<Archive>) {
    let known = |file: PackFile| !matches!(archive.index().pack(file.pack), Ok(None));
    match archive.packs().hot().sweep(&known) {
        Ok(0) => {}
        Ok(orphans) => tracing::info!(orphans, "packs that were never recorded are removed"),
        Err(error) => tracing::warn!(%error, "the hot volumes cannot be swept"),
    }
}

fn round(archive: &Arc<Archive>, number: usize) -> Result<(), RetrieveError> {
    let after = u64::try_from(archive.options().packs.after.as_millis()).unwrap_or(u64::MAX);
    let before = archive.now_ms().saturating_sub(after);
    let failing = archive.failing();
    let mut rows = archive.index().unpacked(before, ROUND + failing.count())?;
    // The threads begin at different ends.
    if number > 0 {
        rows.reverse();
    }
    for row in rows {
        if archive.stopping().load(Ordering::Relaxed) {
            return Ok(());
        }
        if failing.is_full() {
            return Ok(());
        }
        if failing.rests(&row.key) {
            continue;
        }
        match pack_series(archive, &row) {
            Ok(()) => failing.done(&row.key),
            Err(_) if failing.is_full() => {}
            Err(error) => {
                metrics::counter!("khoanh_pack_failures_total").increment(1);
                tracing::error!(series = %row.key.series, %error, "a series cannot be packed; trying again later");
                failing.failed(&row.key);
            }
        }
    }
    Ok(())
}

/// Packs everything of a series that is not yet in a pack, together with earlier parts that are small beside it.
fn pack_series(archive: &Arc<Archive>, row: &SeriesRow) -> Result<(), RetrieveError> {
    let Some(_turn) = archive.failing().turn(&row.key) else { return Ok(()) };
    let known = archive.index().packs_of(&row.key)?;
    let mut rest = archive.instances_of(&row.key)?;
    let fresh = rest.iter().filter(|instance| instance.home.journal().is_some()).map(|instance| instance.file_len);
    let absorbed = absorbed(&known, fresh.sum(), archive.options().packs.part_max);
    let is_taken = |home: &Home| match home {
        Home::Journal(_) => true,
        Home::Pack { pack, .. } => absorbed.contains(pack),
    };
    rest.retain(|instance| is_taken(&instance.home));
    archive.reject_noted(&rest)?;
    order::by_view(archive, &mut rest)?;
    let mut part = known.iter().map(|pack| pack.part).max().unwrap_or(0);
    if !absorbed.is_empty() {
        // All of it fits into one part.
        return write_pack(archive, &row.key, part.saturating_add(1), &rest, absorbed).map(drop);
    }
    for instances in parts(rest, archive.options().packs.part_max) {
        part = part.saturating_add(1);
        write_pack(archive, &row.key, part, &instances, Vec::new())?;
        if archive.stopping().load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(())
}

/// Earlier parts that are written anew with `fresh` bytes: those that are at most as long as everything younger, so
/// that a series that grows by drops is written some logarithm of times and has few parts. Parts with a cold copy stay.
fn absorbed(known: &[PackRow], fresh: u64, bytes_max: u64) -> Vec<PackId> {
    let mut bytes = fresh;
    let mut packs = Vec::new();
    for row in known.iter().rev() {
        let together = bytes.saturating_add(row.raw);
        if row.cold.is_some() || !row.hot || row.raw > bytes || together > bytes_max {
            break;
        }
        bytes = together;
        packs.push(row.pack);
    }
    packs
}

/// Writes the parts of a series that lie hot alone as one, where they fit: before they go to the cloud, where they
/// stay as they are. Tells whether anything changed.
pub(crate) fn merge(archive: &Arc<Archive>, series: &SeriesKey) -> Result<bool, RetrieveError> {
    let Some(_turn) = archive.failing().turn(series) else { return Ok(false) };
    let mut parts = archive.index().packs_of(series)?;
    parts.retain(|row| row.hot && row.cold.is_none());
    let mut bytes = 0u64;
    parts.retain(|row| {
        let together = bytes.saturating_add(row.raw);
        let fits = together <= archive.options().packs.part_max;
        bytes = if fits { together } else { bytes };
        fits
    });
    let [first, _, ..] = parts.as_slice() else { return Ok(false) };
    let names: Vec<PackId> = parts.iter().map(|row| row.pack).collect();
    let mut instances = archive.instances_of(series)?;
    instances.retain(|instance| matches!(instance.home, Home::Pack { pack, .. } if names.contains(&pack)));
    order::by_view(archive, &mut instances)?;
    write_pack(archive, series, first.part, &instances, names)?;
    Ok(true)
}

/// Cuts a series into parts of at most so many bytes, each of at least one instance.
fn parts(instances: Vec<InstanceRow>, bytes_max: u64) -> Vec<Vec<InstanceRow>> {
    let mut parts: Vec<Vec<InstanceRow>> = Vec::new();
    let mut bytes = 0u64;
    for instance in instances {
        bytes = bytes.saturating_add(instance.file_len);
        match parts.last_mut().filter(|_| bytes <= bytes_max) {
            Some(part) => part.push(instance),
            None => {
                bytes = instance.file_len;
                parts.push(vec![instance]);
            }
        }
    }
    parts
}

/// Writes one pack, proves it and records it.
pub(crate) fn write_pack(
    archive: &Arc<Archive>,
    series: &SeriesKey,
    part: u32,
    instances: &[InstanceRow],
    replaces: Vec<PackId>,
) -> Result<PackId, RetrieveError> {
    let _still = archive.rewriting().read();
    let started = Instant::now();
    for replaced in &replaces {
        covers(archive, *replaced, instances)?;
    }
    let pack = store::draw_pack_id(archive.now_ms())?;
    let raw: u64 = instances.iter().map(|instance| instance.file_len).sum();
    let count = u64::try_from(instances.len()).unwrap_or(u64::MAX);
    let room = raw.saturating_add(count.saturating_add(1).saturating_mul(BESIDE_BYTES));
    let writer = archive.packs().hot().create(PackFile::plain(pack), room).inspect_err(|error| {
        if matches!(error, StoreError::NoVolume { .. }) {
            archive.failing().full(error);
        }
    })?;
    archive.failing().has_room();
    let summary = fill(archive, series, part, instances, writer)?;
    let proven = prove(archive, pack, &summary)
        .and_then(|manifest| Ok(archive.index().put_manifest(pack, &manifest.to_kept()?)?));
    let packed = packed(archive, series, (pack, part), &summary, instances, replaces.clone());
    let recorded = proven.and_then(|()| Ok(archive.record(Fact::Pack(Box::new(PackFact::Packed(packed))))?));
    if let Err(error) = recorded {
        // Whether the fact was recorded nobody knows when recording failed: only an unknown pack may go.
        if archive.health().reason().is_none() && matches!(archive.index().pack(pack), Ok(None)) {
            archive.packs().remove_hot(pack)?;
            archive.index().forget_pack(pack)?;
        }
        return Err(error);
    }
    if archive.index().pack(pack)?.is_none() {
        // The study was destroyed while its pack was written.
        archive.packs().remove_hot(pack)?;
        return archive.index().forget_pack(pack).map(|()| pack).map_err(RetrieveError::from);
    }
    for replaced in replaces {
        archive.packs().remove_hot(replaced)?;
    }
    // Nobody reads them any more: whoever holds an old row finds the new home.
    let blobs = instances.iter().filter_map(|instance| instance.home.journal()?.blob.clone()).collect();
    archive.journal().remove_blobs(&blobs)?;
    archive.tiers().fresh(pack);
    archive.pictures.due(series);
    metrics::counter!("khoanh_packs_total").increment(1);
    metrics::counter!("khoanh_packed_instances_total").increment(count);
    metrics::counter!("khoanh_packed_bytes_total").increment(raw);
    metrics::counter!("khoanh_packed_stored_bytes_total").increment(summary.len);
    metrics::histogram!("khoanh_pack_seconds").record(started.elapsed());
    tracing::debug!(%pack, %series.series, instances = count, raw, len = summary.len, "packed");
    Ok(pack)
}

/// The fact about a pack that was proven.
fn packed(
    archive: &Arc<Archive>,
    series: &SeriesKey,
    (pack, part): (PackId, u32),
    summary: &PackSummary,
    instances: &[InstanceRow],
    replaces: Vec<PackId>,
) -> Packed {
    Packed {
        pack,
        facility: series.study.facility,
        study: series.study.study.clone(),
        patient: series.study.patient,
        series: series.series.clone(),
        part,
        len: summary.len,
        sha256: summary.sha256,
        raw: instances.iter().map(|instance| instance.file_len).sum(),
        seqs: instances.iter().map(|instance| instance.seq).collect(),
        replaces,
        at: archive.now_ms(),
    }
}

/// Refuses to replace a pack that holds an instance which the new one would not.
fn covers(archive: &Arc<Archive>, replaced: PackId, instances: &[InstanceRow]) -> Result<(), RetrieveError> {
    let inside = |row: &&InstanceRow| matches!(row.home, Home::Pack { pack, .. } if pack == replaced);
    let count = u64::try_from(instances.iter().filter(inside).count()).unwrap_or(0);
    match archive.index().pack(replaced)? {
        Some(row) if row.instances == count => Ok(()),
        _ => Err(RetrieveError::Unavailable { what: format!("pack {replaced} holds more than is written anew") }),
    }
}

/// Writes the instances into a volume, durably, and reads the file back.
fn fill(
    archive: &Arc<Archive>,
    series: &SeriesKey,
    part: u32,
    instances: &[InstanceRow],
    writer: HotWriter,
) -> Result<PackSummary, RetrieveError> {
    let (facility, study) = (series.study.facility, series.study.study.clone());
    let about = PackAbout { facility, study, series: series.series.clone(), part };
    let mut pack = PackWriter::create(BufWriter::with_capacity(WRITE_BYTES, writer), about)?;
    let mut heads = Heads::default();
    for instance in instances {
        let known = heads.of(archive, instance)?;
        pack.add(instance_in(archive, instance, known)?, &mut archive.file(instance))?;
    }
    let (summary, out) = pack.finish(&document(archive, series, instances)?)?;
    let failed = |error: String| RetrieveError::Unavailable { what: format!("writing a pack: {error}") };
    let hot = out.into_inner().map_err(|error| failed(error.to_string()))?.finish()?;
    if hot.digest != summary.sha256.0 {
        return Err(failed("the volume holds other bytes than were written".into()));
    }
    Ok(summary)
}

/// Opens the pack as a stranger would, from its own end, and compares every digest.
fn prove(archive: &Arc<Archive>, pack: PackId, summary: &PackSummary) -> Result<Arc<Manifest>, RetrieveError> {
    let manifest = archive.packs().check_hot(pack)?;
    if *manifest == summary.manifest {
        return Ok(manifest);
    }
    Err(RetrieveError::Damaged { what: format!("pack {pack} tells another manifest than was written") })
}

/// What the archive knew of instances when they came in, from wherever they lie now.
#[derive(Default)]
struct Heads {
    /// Whole manifests of the packs that are read from.
    manifests: HashMap<PackId, Arc<Manifest>>,
}

impl Heads {
    fn of(&mut self, archive: &Arc<Archive>, instance: &InstanceRow) -> Result<serde_json::Value, RetrieveError> {
        let unread = |what: String| RetrieveError::Damaged { what };
        match &instance.home {
            Home::Journal(place) => {
                let head = archive.journal().read_head(place)?;
                let unread = |error: serde_json::Error| unread(format!("a journal record: {error}"));
                let (_, fact) = serde_json::from_slice::<Fact>(&head).map_err(unread)?.own(0);
                serde_json::to_value(fact).map_err(unread)
            }
            Home::Pack { pack, slot } => {
                if !self.manifests.contains_key(pack) {
                    let source = archive.open_pack(*pack)?.source().clone();
                    self.manifests.insert(*pack, Arc::clone(store::pack::Pack::open(source)?.manifest()));
                }
                let found = self.manifests.get(pack).zip(usize::try_from(*slot).ok());
                let found = found.and_then(|(manifest, slot)| manifest.instances().get(slot));
                found.map(|found| found.head.clone()).ok_or_else(|| unread(format!("pack {pack} lacks slot {slot}")))
            }
        }
    }
}

fn instance_in(
    archive: &Arc<Archive>,
    row: &InstanceRow,
    head: serde_json::Value,
) -> Result<InstanceIn, RetrieveError> {
    let syntax = Syntax::of(row.transfer_syntax.as_str());
    let number = |key: AttrKey| row.attributes.get(&key).and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(0);
    let narrow = |key: AttrKey| u16::try_from(number(key)).unwrap_or(0);
    let pixel = PixelLayout {
        bits_allocated: narrow(key::BITS_ALLOCATED),
        samples: narrow(key::SAMPLES_PER_PIXEL),
        columns: number(key::COLUMNS),
        big_endian: row.transfer_syntax.as_str() == EXPLICIT_BE,
    };
    let frames = match syntax.deflated {
        true => FramePlaces::None,
        false => FramePlaces::of(&archive.layout(row)?, row.meta_len),
    };
    Ok(InstanceIn {
        sop_class: row.sop_class.clone(),
        sop_instance: row.sop_instance.clone(),
        transfer_syntax: row.transfer_syntax.clone(),
        meta_len: row.meta_len,
        file_len: row.file_len,
        digest: row.digest,
        frames,
        pixel: Some(pixel),
        codestreams: archive.compresses(row),
        head,
    })
}
