//! The DICOM JSON of a series as one compressed document: prepared once it is quiet, put together on
//! demand while it still arrives.
//!
//! Stored and cached documents carry [`BASE_PLACEHOLDER`] where the service root belongs; the edge that
//! serves them puts its own root in, so a document never depends on who asked first.

use crate::correct::Known;
use crate::error::RetrieveError;
use crate::memory::{Begun, Forget, Memory};
use crate::open::Archive;
use crate::packing;
use crate::retrieve::{Selection, Target};
use dataset::json::{self, Parts, instance_json};
use dataset::syntax::Syntax;
use index::{InstanceRow, PreparedKind, SeriesKey, SeriesRow};
use model::{Caller, FacilityCode, Layout, Lsn, Sameness, Scope, Uid};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// Stands for the service root in every BulkDataURI of a document.
pub const BASE_PLACEHOLDER: &str = "khoanh-base:";
/// Deflated data sets are inflated as a whole for their metadata: never beyond this many bytes.
const INFLATED_MAX: u64 = 1 << 30;
/// zstd level of a document: about 400 MB/s and a tenth of the size.
const LEVEL: i32 = 1;

/// Metadata of one series, or of one instance of it.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Changes whenever the document does; without quotes.
    pub etag: String,
    /// zstd of a JSON array with one DICOM JSON object per instance.
    pub json_zstd: Arc<Vec<u8>>,
    /// The facility whose copy this is.
    pub facility: FacilityCode,
    /// What the asker should know, for a Warning header.
    pub notes: Vec<String>,
}

/// Documents put together at the same time: each may hold one instance's head in memory.
const AT_ONCE: usize = 3;
/// Threads that share one document ...
const THREADS_MAX: usize = 4;
/// ... each with at least so many instances.
const SHARE_MIN: usize = 64;
/// Series with a larger head than this in some instance are not prepared, only put together when asked for.
const PREPARED_HEAD_MAX: u64 = 64 << 20;

/// Bytes of heads that stay in memory: some thousand instances of the series that arrive now.
const HEADS_BYTES: u64 = 16 << 20;
/// A longer head is read from the disk.
const HEAD_MAX: u64 = 16 << 10;
/// Smaller objects are written through the page cache, which keeps them.
const HEAD_OF_MIN: u64 = 32 << 10;

/// Which document: of which series, its state ([`SeriesRow::stamp`]), whether with what was rejected for quality, and with
/// which correction, by the number of its record; 0 for none.
type Wanted = (SeriesKey, u64, bool, Lsn);

/// Documents in memory, bounded by bytes, and the turns to make new ones.
pub(crate) struct Prepared {
    /// Data sets before their pixels, by digest, of what came in last: its records may lie past the page cache.
    heads: Memory<Sameness, Arc<[u8]>>,
    documents: Memory<Wanted, Arc<Vec<u8>>>,
    /// What others keep that was made from documents.
    renditions: Mutex<Vec<Arc<dyn Forget>>>,
    making: Mutex<usize>,
    done: Condvar,
}

/// The right to put one document together.
struct Turn<'a>(&'a Prepared);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.making.lock() -= 1;
        self.0.done.notify_one();
    }
}

impl Prepared {
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh =
            |_: &Wanted, document: &Arc<Vec<u8>>| u32::try_from(document.len()).unwrap_or(u32::MAX).saturating_add(256);
        let documents = Memory::new(bytes, weigh);
        let weigh = |_: &Sameness, head: &Arc<[u8]>| u32::try_from(head.len()).unwrap_or(u32::MAX).saturating_add(128);
        let (heads, renditions) = (Memory::new(HEADS_BYTES, weigh), Mutex::new(Vec::new()));
        Self { heads, documents, renditions, making: Mutex::new(0), done: Condvar::new() }
    }

    /// Whether the head of such an object is to be kept, and how long it is.
    pub(crate) fn head_len(layout: &Layout, transfer_syntax: &Uid) -> Option<u64> {
        let pixel = layout.pixel.filter(|pixel| pixel.end == layout.dataset_len)?;
        let wanted = layout.dataset_len >= HEAD_OF_MIN && pixel.value.at <= HEAD_MAX;
        (wanted && !Syntax::of(transfer_syntax.as_str()).deflated).then_some(pixel.value.at)
    }

    /// An object is about to be stored whose head may be kept.
    pub(crate) fn begin_head(&self) -> Begun {
        self.heads.begin()
    }

    /// Keeps the head of an object that was just stored.
    pub(crate) fn keep_head(&self, begun: Begun, digest: Sameness, head: Arc<[u8]>) {
        self.heads.keep(begun, digest, head);
    }

    /// Has something else forgotten with the documents it is made from.
    pub(crate) fn forgets_too(&self, rendition: Arc<dyn Forget>) {
        self.renditions.lock().push(rendition);
    }

    /// The head of an instance, if it came in lately.
    fn head(&self, instance: &InstanceRow, layout: &Layout) -> Option<Vec<u8>> {
        let len = Self::head_len(layout, &instance.transfer_syntax)?;
        let head = self.heads.get(&instance.digest)?;
        u64::try_from(head.len()).is_ok_and(|is| is == len).then(|| head.to_vec())
    }

    /// Forgets every head and every document, and what others made from them.
    pub(crate) fn forget(&self) {
        self.heads.forget();
        self.documents.forget();
        let renditions = self.renditions.lock().clone();
        renditions.iter().for_each(|rendition| rendition.forget());
    }

    fn turn(&self) -> Turn<'_> {
        let mut making = self.making.lock();
        while *making >= AT_ONCE {
            self.done.wait(&mut making);
        }
        *making += 1;
        Turn(self)
    }
}

impl Archive {
    /// The metadata documents that answer for a target, one per series in viewing order.
    ///
    /// # Errors
    /// As [`Archive::select`].
    pub fn metadata(
        self: &Arc<Self>,
        caller: &Caller,
        scope: Scope,
        target: &Target,
    ) -> Result<Vec<Metadata>, RetrieveError> {
        self.metadata_of(caller, scope, target, false)
    }

    /// The same, or without corrections, as the instances were received.
    ///
    /// # Errors
    /// As [`Archive::select`].
    pub fn metadata_of(
        self: &Arc<Self>,
        caller: &Caller,
        scope: Scope,
        target: &Target,
        as_received: bool,
    ) -> Result<Vec<Metadata>, RetrieveError> {
        if let Target::Instance { .. } = target {
            let selection = self.select(caller, scope, target)?;
            let selection = if as_received { selection.as_received() } else { selection };
            return Ok(vec![self.of_instance(selection)?]);
        }
        let (studies, notes) = self.studies_of(caller, scope, target.study())?;
        let first = studies.first().ok_or(RetrieveError::NotFound)?;
        let series = match target {
            Target::Series { series, .. } => vec![self.series_named(&studies, series)?],
            _ => self.series_of(first)?,
        };
        let facility = first.key.facility;
        let mut said = BTreeMap::new();
        for study in studies.iter().filter(|_| !as_received) {
            said.insert(study.key.clone(), self.said_in(study)?);
        }
        let document = |row: &SeriesRow| -> Result<Metadata, RetrieveError> {
            let unfit = caller.sees_rejected && row.unfit > 0;
            let etag = format!("s{:x}-{}", row.stamp(), row.served_to(unfit));
            let json_zstd = if unfit { self.unfit_document(caller, row)? } else { self.series_document(row)? };
            let plain = Metadata { etag, json_zstd, facility, notes: notes.clone() };
            match said.get(&row.key.study).and_then(|said| said.of(&row.key.series)) {
                Some(known) => self.corrected_metadata(caller, plain, (row, unfit), known),
                None => Ok(plain),
            }
        };
        let shown = series.iter().filter(|row| row.served_to(caller.sees_rejected) > 0);
        let documents = shown.map(document).collect::<Result<Vec<_>, _>>()?;
        if documents.is_empty() { Err(RetrieveError::NotFound) } else { Ok(documents) }
    }

    fn of_instance(self: &Arc<Self>, selection: Selection) -> Result<Metadata, RetrieveError> {
        let mut document = self.document(&selection.instances)?;
        let mut etag = format!("i{}", selection.version);
        if let Some((row, known)) = selection.instances.iter().find_map(|row| Some((row, row.correction.as_ref()?))) {
            document = self.corrected_document(&document, (row, &known.1))?;
            etag = format!("{etag}-c{}", known.0);
        }
        let (facility, notes) = (selection.facility, selection.notes);
        Ok(Metadata { etag, json_zstd: Arc::new(document), facility, notes })
    }

    /// The document of a series with a correction in it, kept in memory.
    fn corrected_metadata(
        &self,
        caller: &Caller,
        plain: Metadata,
        (row, unfit): (&SeriesRow, bool),
        known: &Known,
    ) -> Result<Metadata, RetrieveError> {
        let etag = format!("{}-c{}", plain.etag, known.0);
        let key = (row.key.clone(), row.stamp(), unfit, known.0);
        let begun = self.prepared().documents.begin();
        if let Some(json_zstd) = self.prepared().documents.get(&key) {
            return Ok(Metadata { etag, json_zstd, ..plain });
        }
        let rows = self.served_of(caller, &row.key)?;
        let first = rows.first().ok_or(RetrieveError::NotFound)?;
        let json_zstd = Arc::new(self.corrected_document(&plain.json_zstd, (first, &known.1))?);
        self.prepared().documents.keep(begun, key, Arc::clone(&json_zstd));
        Ok(Metadata { etag, json_zstd, ..plain })
    }

    /// The document of a series with what was rejected for quality: put together, and kept in memory.
    fn unfit_document(self: &Arc<Self>, caller: &Caller, row: &SeriesRow) -> Result<Arc<Vec<u8>>, RetrieveError> {
        let key = (row.key.clone(), row.stamp(), true, 0);
        let begun = self.prepared().documents.begin();
        if let Some(document) = self.prepared().documents.get(&key) {
            return Ok(document);
        }
        let document = Arc::new(self.document(&self.served_of(caller, &row.key)?)?);
        self.prepared().documents.keep(begun, key, Arc::clone(&document));
        Ok(document)
    }

    /// The document of a series: from memory, else as prepared, else put together now.
    pub(crate) fn series_document(self: &Arc<Self>, row: &SeriesRow) -> Result<Arc<Vec<u8>>, RetrieveError> {
        let key = (row.key.clone(), row.stamp(), false, 0);
        let begun = self.prepared().documents.begin();
        if let Some(document) = self.prepared().documents.get(&key) {
            return Ok(document);
        }
        let kept = self.index().prepared(&row.key, PreparedKind::Metadata)?;
        let document = match kept.filter(|kept| kept.through_seq == row.stamp()) {
            Some(kept) => Arc::new(kept.document),
            None => {
                let packed = self.packed_document(row)?;
                let keep = packed.is_some() || row.version_fact > 0;
                let made = match packed {
                    Some(document) => document,
                    None => self.document(&self.served_of(&Caller::operator(), &row.key)?)?,
                };
                if keep {
                    self.index().put_prepared(&row.key, PreparedKind::Metadata, row.stamp(), made.clone())?;
                }
                Arc::new(made)
            }
        };
        self.prepared().documents.keep(begun, key, Arc::clone(&document));
        Ok(document)
    }

    /// The document that lies in the pack of a series, when one pack holds all of it and can be read.
    fn packed_document(&self, row: &SeriesRow) -> Result<Option<Vec<u8>>, RetrieveError> {
        let packs = if row.packed == row.instances && row.rejected == 0 {
            self.index().packs_of(&row.key)?
        } else {
            Vec::new()
        };
        let [pack] = packs.as_slice() else { return Ok(None) };
        if pack.instances != row.instances {
            return Ok(None);
        }
        let json = match self.packs().open_pack(self.index().as_ref(), pack).map(|pack| pack.series_json()) {
            Ok(Ok(json)) => json,
            // The instances' heads may still be readable, and if not, they say why.
            Ok(Err(_)) | Err(_) => return Ok(None),
        };
        let failed = |error: std::io::Error| RetrieveError::Unavailable { what: format!("metadata: {error}") };
        zstd::bulk::compress(&packing::with_base(&json, &row.key), LEVEL).map(Some).map_err(failed)
    }

    /// Prepares and keeps the document of a quiet series.
    pub(crate) fn prepare(self: &Arc<Self>, row: &SeriesRow) -> Result<(), RetrieveError> {
        let head = |row: &InstanceRow| row.pixel.map_or(row.dataset_len, |pixel| pixel.header);
        if self.instances_of(&row.key)?.iter().any(|row| head(row) > PREPARED_HEAD_MAX) {
            return Ok(());
        }
        let document = self.series_document(row)?;
        Ok(self.index().put_prepared(&row.key, PreparedKind::Metadata, row.stamp(), document.as_ref().clone())?)
    }

    /// Puts a document together: a JSON array in one zstd frame or, for long series, in one frame a thread.
    pub(crate) fn document(self: &Arc<Self>, instances: &[InstanceRow]) -> Result<Vec<u8>, RetrieveError> {
        let _turn = self.prepared().turn();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        if instances.len() < SHARE_MIN * 2 || threads < 2 {
            return self.share(instances, b"[", b"]");
        }
        let size = instances.len().div_ceil(threads).max(SHARE_MIN);
        let last = instances.len().div_ceil(size).saturating_sub(1);
        let died = |_| RetrieveError::Unavailable { what: "a metadata thread died".into() };
        std::thread::scope(|scope| {
            let mut started = Vec::new();
            for (number, share) in instances.chunks(size).enumerate() {
                let open: &[u8] = if number == 0 { b"[" } else { b"," };
                let close: &[u8] = if number == last { b"]" } else { b"" };
                started.push(scope.spawn(move || self.share(share, open, close)));
            }
            let mut document = Vec::new();
            for thread in started {
                document.extend(thread.join().map_err(died)??);
            }
            Ok(document)
        })
    }

    /// One zstd frame with some instances between `open` and `close`.
    fn share(self: &Arc<Self>, instances: &[InstanceRow], open: &[u8], close: &[u8]) -> Result<Vec<u8>, RetrieveError> {
        let failed = |error: std::io::Error| RetrieveError::Unavailable { what: format!("metadata: {error}") };
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
        let mut json = open.to_vec();
        for (count, instance) in instances.iter().enumerate() {
            if count > 0 {
                json.push(b',');
            }
            self.write_instance(instance, &mut json)?;
            encoder.write_all(&json).map_err(failed)?;
            json.clear();
        }
        json.extend_from_slice(close);
        encoder.write_all(&json).map_err(failed)?;
        encoder.finish().map_err(failed)
    }

    /// Appends the DICOM JSON of one instance.
    fn write_instance(self: &Arc<Self>, instance: &InstanceRow, out: &mut Vec<u8>) -> Result<(), RetrieveError> {
        let layout = self.layout(instance)?;
        let pixel = layout.pixel;
        let (before, after) = self.around_pixels(instance, &layout)?;
        let prefix = bulk_prefix(instance);
        let hint = self.charset_of(&instance.source);
        let available = Some(instance.transfer_syntax.as_str());
        let options = json::Options { hint, available, ..json::Options::new(&prefix) };
        let parts = Parts { before: &before, pixel, after: &after };
        let damaged = |error: dataset::ScanError| RetrieveError::Damaged { what: error.to_string() };
        instance_json(&parts, &instance.transfer_syntax, &options, out).map_err(damaged)
    }

    /// The bytes of an instance's data set before the value of its pixels and behind it.
    pub(crate) fn around_pixels(
        self: &Arc<Self>,
        instance: &InstanceRow,
        layout: &Layout,
    ) -> Result<(Vec<u8>, Vec<u8>), RetrieveError> {
        let (head_end, tail_start) =
            layout.pixel.map_or((layout.dataset_len, layout.dataset_len), |p| (p.value.at, p.end));
        if let Some(head) = self.prepared().head(instance, layout) {
            return Ok((head, Vec::new()));
        }
        Ok(if Syntax::of(instance.transfer_syntax.as_str()).deflated {
            let inflated = self.inflated(instance)?;
            (part(&inflated, 0, head_end)?, part(&inflated, tail_start, layout.dataset_len)?)
        } else {
            let start = u64::from(instance.meta_len);
            let before = self.read(instance, start..start + head_end)?;
            let after = start + tail_start..start + layout.dataset_len;
            (before, if after.is_empty() { Vec::new() } else { self.read(instance, after)? })
        })
    }

    /// The whole data set of a deflated syntax, inflated; bounded by what the scanner let in.
    pub fn inflated(self: &Arc<Self>, instance: &InstanceRow) -> Result<Vec<u8>, RetrieveError> {
        if instance.dataset_len > INFLATED_MAX {
            let what = format!("a deflated data set of {} bytes is read only as stored", instance.dataset_len);
            return Err(RetrieveError::Unavailable { what });
        }
        let mut inflated = Vec::new();
        let damaged = |error: dataset::transcode::TranscodeError| RetrieveError::Damaged { what: error.to_string() };
        dataset::transcode::inflate(&mut self.data_set(instance), &mut inflated).map_err(damaged)?;
        Ok(inflated)
    }
}

fn part(bytes: &[u8], from: u64, to: u64) -> Result<Vec<u8>, RetrieveError> {
    let place = |at: u64| usize::try_from(at).ok();
    let found = place(from).zip(place(to)).and_then(|(from, to)| bytes.get(from..to));
    found
        .map(<[u8]>::to_vec)
        .ok_or_else(|| RetrieveError::Damaged { what: "the data set is shorter than noted".into() })
}

/// The part of a BulkDataURI before `/bulkdata/`.
fn bulk_prefix(instance: &InstanceRow) -> String {
    let uid = |uid: &Uid| uid.as_str().to_owned();
    let (study, series) = (uid(&instance.key.study.study), uid(&instance.key.series));
    format!("{BASE_PLACEHOLDER}/studies/{study}/series/{series}/instances/{}", instance.sop_instance)
}
