//! Packing: a series that has been quiet long enough gets its lasting form, one immutable pack (DESIGN section 4B).
//!
//! The pack is written to a hot volume, read back, every digest in it compared, and only then recorded; from the moment
//! the fact is applied its instances are read from it. A kill anywhere leaves either the journal's copy in use and an
//! orphan that the sweep removes, or the pack in use.
//! Deliberately not here: giving the journal's space back ([`crate::segments`]), and the cloud.

use crate::error::{OpenError, RetrieveError};
use crate::metadata::BASE_PLACEHOLDER;
use crate::open::Archive;
use crate::worker;
use dataset::syntax::{EXPLICIT_BE, Syntax};
use index::{InstanceRow, SeriesKey, SeriesRow};
use model::attribute::key;
use model::pack::{PackFact, Packed};
use model::{AttrKey, Fact, Home, PackId, Uid};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::BufWriter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;
use store::PackFile;
use store::coding::PixelLayout;
use store::hot::HotWriter;
use store::pack::{FramePlaces, InstanceIn, Manifest, PackAbout, PackSummary, PackWriter};

/// Series taken per round.
const ROUND: usize = 64;
/// Bytes gathered for one write to a volume.
const WRITE_BYTES: usize = 1 << 20;
/// What a pack may need beside its files: headers and manifest, per instance.
const BESIDE_BYTES: u64 = 4 << 10;
/// Longest pause after a series could not be packed, in seconds; the first is a second, each further one twice as long.
const PAUSE_MAX: u64 = 600;
/// Longest prepared metadata taken into a pack, decoded.
const DOCUMENT_MAX: u64 = 1 << 30;

/// Series that could not be packed, and when to try again.
#[derive(Default)]
pub(crate) struct Failing(Mutex<HashMap<SeriesKey, (u32, Instant)>>);

impl Failing {
    /// Whether the series should be left alone now.
    fn rests(&self, key: &SeriesKey) -> bool {
        self.0.lock().get(key).is_some_and(|(_, until)| *until > Instant::now())
    }

    fn failed(&self, key: &SeriesKey) {
        let mut failing = self.0.lock();
        let (times, until) = failing.entry(key.clone()).or_insert((0, Instant::now()));
        let pause = 1u64.checked_shl(*times).unwrap_or(PAUSE_MAX).min(PAUSE_MAX);
        (*times, *until) = (times.saturating_add(1), Instant::now() + std::time::Duration::from_secs(pause));
    }

    fn done(&self, key: &SeriesKey) {
        self.0.lock().remove(key);
    }

    /// Whether packing the series failed.
    pub(crate) fn is_failing(&self, key: &SeriesKey) -> bool {
        self.0.lock().contains_key(key)
    }

    /// How many series cannot be packed now.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }
}

/// Starts the thread that packs what is quiet.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let mut swept = false;
    worker::every(archive, "packer", move |archive| {
        if !swept {
            swept = true;
            sweep(archive);
        }
        if archive.health().reason().is_none()
            && archive.options().packs.enabled
            && let Err(error) = round(archive)
        {
            tracing::warn!(%error, "quiet series cannot be looked up; trying again");
        }
    })
}

/// Removes hot packs that no fact names: what a kill left between writing and recording.
fn sweep(archive: &Arc<Archive>) {
    let known = |file: PackFile| !matches!(archive.index().pack(file.pack), Ok(None));
    match archive.packs().hot().sweep(&known) {
        Ok(0) => {}
        Ok(orphans) => tracing::info!(orphans, "packs that were never recorded are removed"),
        Err(error) => tracing::warn!(%error, "the hot volumes cannot be swept"),
    }
}

fn round(archive: &Arc<Archive>) -> Result<(), RetrieveError> {
    let after = u64::try_from(archive.options().packs.after.as_millis()).unwrap_or(u64::MAX);
    let before = archive.now_ms().saturating_sub(after);
    let failing = archive.failing();
    for row in archive.index().unpacked(before, ROUND + failing.count())? {
        if archive.stopping().load(Ordering::Relaxed) {
            return Ok(());
        }
        if failing.rests(&row.key) {
            continue;
        }
        match pack_series(archive, &row) {
            Ok(()) => failing.done(&row.key),
            Err(error) => {
                metrics::counter!("khoanh_pack_failures_total").increment(1);
                tracing::error!(series = %row.key.series, %error, "a series cannot be packed; trying again later");
                failing.failed(&row.key);
            }
        }
    }
    Ok(())
}

/// Packs everything of a series that is not yet in a pack.
fn pack_series(archive: &Arc<Archive>, row: &SeriesRow) -> Result<(), RetrieveError> {
    let known = archive.index().packs_of(&row.key)?;
    let mut part = known.iter().map(|pack| pack.part).max().unwrap_or(0);
    let mut rest = archive.instances_of(&row.key)?;
    rest.retain(|instance| instance.home.journal().is_some());
    for instances in parts(rest, archive.options().packs.part_max) {
        part = part.saturating_add(1);
        write_pack(archive, &row.key, part, &instances, Vec::new())?;
        if archive.stopping().load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(())
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
    let started = Instant::now();
    let pack = store::draw_pack_id(archive.now_ms())?;
    let raw: u64 = instances.iter().map(|instance| instance.file_len).sum();
    let count = u64::try_from(instances.len()).unwrap_or(u64::MAX);
    let room = raw.saturating_add(count.saturating_add(1).saturating_mul(BESIDE_BYTES));
    let writer = archive.packs().hot().create(PackFile::plain(pack), room)?;
    let summary = fill(archive, series, part, instances, writer)?;
    let proven = prove(archive, pack, &summary)
        .and_then(|manifest| Ok(archive.index().put_manifest(pack, &manifest.to_kept()?)?));
    let packed = Packed {
        pack,
        facility: series.study.facility,
        study: series.study.study.clone(),
        patient: series.study.patient,
        series: series.series.clone(),
        part,
        len: summary.len,
        sha256: summary.sha256,
        raw,
        seqs: instances.iter().map(|instance| instance.seq).collect(),
        replaces: replaces.clone(),
        at: archive.now_ms(),
    };
    let recorded = proven.and_then(|()| {
        let failed = |error: crate::IngestError| RetrieveError::Unavailable { what: error.to_string() };
        archive.record(Fact::Pack(Box::new(PackFact::Packed(packed)))).map_err(failed)
    });
    if let Err(error) = recorded {
        // Whether the fact was recorded nobody knows when recording failed: only an unknown pack may go.
        if archive.health().reason().is_none() && matches!(archive.index().pack(pack), Ok(None)) {
            archive.packs().remove_hot(pack)?;
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
    metrics::counter!("khoanh_packs_total").increment(1);
    metrics::counter!("khoanh_packed_instances_total").increment(count);
    metrics::counter!("khoanh_packed_bytes_total").increment(raw);
    metrics::counter!("khoanh_packed_stored_bytes_total").increment(summary.len);
    metrics::histogram!("khoanh_pack_seconds").record(started.elapsed());
    tracing::debug!(%pack, %series.series, instances = count, raw, len = summary.len, "packed");
    Ok(pack)
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
                serde_json::from_slice(&head).map_err(|error| unread(format!("a journal record: {error}")))
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
        head,
    })
}

/// The DICOM JSON of the instances with BulkDataURIs relative to the series.
fn document(archive: &Arc<Archive>, series: &SeriesKey, instances: &[InstanceRow]) -> Result<Vec<u8>, RetrieveError> {
    let row = archive.index().series(series)?;
    let whole =
        row.filter(|row| row.rejected == 0 && row.instances == u64::try_from(instances.len()).unwrap_or(u64::MAX));
    let coded = match whole {
        Some(row) => archive.series_document(&row)?,
        None => Arc::new(archive.document(instances)?),
    };
    let unread = |error: std::io::Error| RetrieveError::Unavailable { what: format!("prepared metadata: {error}") };
    let mut json = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(coded.as_slice()).map_err(unread)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(decoder, DOCUMENT_MAX), &mut json).map_err(unread)?;
    Ok(without(&json, base_of(&series.study.study, &series.series).as_bytes()))
}

/// What stands before `instances/` in the BulkDataURIs of a document that is served.
pub(crate) fn base_of(study: &Uid, series: &Uid) -> String {
    format!("{BASE_PLACEHOLDER}/studies/{study}/series/{series}/")
}

/// The bytes without every occurrence of some others.
fn without(bytes: &[u8], what: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, what) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        rest = behind.get(what.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_left_out_everywhere_and_nothing_else() {
        assert_eq!(without(b"abcabcxab", b"abc"), b"xab");
        assert_eq!(without(b"", b"abc"), b"");
    }
}
