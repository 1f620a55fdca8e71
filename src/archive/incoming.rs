//! One object on its way in: scanned while it arrives, made durable when it is complete.
//!
//! Dropping an [`Incoming`] at any moment before [`Incoming::finish`] returns leaves nothing behind.

use crate::budget::Chunk;
use crate::commit::{Answer, Reply, Ticket};
use crate::error::IngestError;
use crate::metadata::Prepared;
use crate::open::Archive;
use crate::sequence::{Arrived, Work};
use dataset::part10::{Meta, Part10, file_meta};
use dataset::scan::{Scanned, Scanner};
use dataset::{Limits, ScanError};
use model::{Digest, Flag, InstanceHead, Outcome, Sameness, SamenessHasher, SamenessKind, Source, Uid, Via};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use store::{BlobWriter, Body, ChunkSums};

/// JPIP referenced syntaxes carry no pixels: an archive cannot keep what is not there.
const JPIP: [&str; 4] =
    ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"];

/// The scanner's limits; every fragment's place stays in memory and in the record until the series is packed.
fn limits() -> Limits {
    Limits { fragments: 1 << 18, ..Limits::default() }
}

/// What the bytes are that will be written.
#[derive(Debug, Clone)]
pub enum Form {
    /// A data set as C-STORE brings it: file meta information is ours.
    DataSet {
        /// Affected SOP Class UID of the command.
        sop_class: Uid,
        /// Affected SOP Instance UID of the command.
        sop_instance: Uid,
        /// Transfer syntax of the presentation context.
        transfer_syntax: Uid,
    },
    /// A DICOM file, with or without preamble and file meta information.
    Part10 {
        /// Transfer syntax named outside (the part's Content-Type), used when the file names none.
        transfer_syntax_hint: Option<Uid>,
        /// The study the request is about, when it names one.
        study: Option<Uid>,
    },
}

/// What became of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredKind {
    /// Stored for the first time.
    New,
    /// The same object was there already; nothing grew.
    Same,
    /// Other bytes under a known SOP Instance UID: kept, flagged, the first stays the one served.
    Conflict,
}

/// A durable and findable object.
#[derive(Debug, Clone)]
pub struct Stored {
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Study Instance UID.
    pub study: Uid,
    /// Series Instance UID.
    pub series: Uid,
    /// What became of it.
    pub kind: StoredKind,
    /// Oddities.
    pub flags: Vec<Flag>,
}

/// An object on its way in.
pub struct Incoming {
    archive: Arc<Archive>,
    source: Source,
    via: Via,
    expected: Expected,
    stage: Stage,
    sink: Sink,
    /// Whether its sender is in a hurry.
    urgent: bool,
}

#[derive(Default)]
struct Expected {
    sop_class: Option<Uid>,
    sop_instance: Option<Uid>,
    study: Option<Uid>,
}

/// How far the reading is.
enum Stage {
    /// File meta information not yet complete.
    Meta(Part10),
    /// In the data set.
    DataSet { scanner: Box<Scanner>, transfer_syntax: Uid, meta_len: u32, meta_digest: Digest, meta: Option<Meta> },
}

impl Archive {
    /// Starts to receive one object for a source's facility.
    ///
    /// # Errors
    /// [`IngestError::Unavailable`] while draining or after a failed sync, [`IngestError::OutOfSpace`] below
    /// the reserve of free space.
    pub fn receive(self: &Arc<Self>, source: &Source, via: Via, form: Form) -> Result<Incoming, IngestError> {
        self.admit()?;
        let mut sink = Sink::new(self);
        let (expected, stage) = match form {
            Form::DataSet { sop_class, sop_instance, transfer_syntax } => {
                let meta = file_meta(&sop_class, &sop_instance, &transfer_syntax);
                sink.write(&meta)?;
                let stage = Stage::data_set(&meta, transfer_syntax, None, source, self.options().sameness)?;
                let expected = Expected { sop_class: Some(sop_class), sop_instance: Some(sop_instance), study: None };
                (expected, stage)
            }
            Form::Part10 { transfer_syntax_hint, study } => {
                let part10 = Part10::new(transfer_syntax_hint.as_ref());
                (Expected { study, ..Expected::default() }, Stage::Meta(part10))
            }
        };
        let (archive, source) = (Arc::clone(self), source.clone());
        Ok(Incoming { archive, source, via, expected, stage, sink, urgent: false })
    }
}

impl Archive {
    /// Waits until an object is durable and findable. Gives its digest of another kind, if that was taken: it is where a
    /// copy that an earlier version stored may be the same object.
    fn take_in(&self, lane: &str, mut arrived: Box<Arrived>) -> Result<(Answer, Option<Sameness>), IngestError> {
        loop {
            let other = arrived.other;
            let (ticket, answer) = Ticket::new();
            self.submit(lane, Work::Object(arrived, ticket))?;
            let gone = || IngestError::Unavailable { what: "the archive stopped before the object was durable".into() };
            match answer.wait().ok_or_else(gone)? {
                Reply::Done(answer) => return Ok((answer?, other)),
                Reply::Unsure(kind, back) => {
                    arrived = back;
                    arrived.other = Some(arrived.digest(kind)?);
                }
            }
        }
    }
}

impl Arrived {
    /// Its digest of a kind, from the bytes as they wait to be recorded.
    fn digest(&self, kind: SamenessKind) -> Result<Sameness, IngestError> {
        let mut hasher = SamenessHasher::new(kind, &self.head.transfer_syntax);
        let mut before = usize::try_from(self.head.meta_len).unwrap_or(usize::MAX);
        let mut each = |bytes: &[u8]| {
            let skip = before.min(bytes.len());
            hasher.update(bytes.get(skip..).unwrap_or_default());
            before -= skip;
        };
        match &self.body {
            Body::Blob(blob) => blob.read(&mut each)?,
            inline => inline.pieces().unwrap_or_default().iter().for_each(|piece| each(piece)),
        }
        Ok(hasher.finish())
    }
}

impl Stage {
    fn data_set(
        meta: &[u8],
        transfer_syntax: Uid,
        named: Option<Meta>,
        source: &Source,
        kind: SamenessKind,
    ) -> Result<Self, IngestError> {
        if JPIP.contains(&transfer_syntax.as_str()) {
            let what = format!("transfer syntax {transfer_syntax} (JPIP) refers to pixels elsewhere; send the pixels");
            return Err(IngestError::CannotUnderstand { what });
        }
        let scanner = Box::new(Scanner::taking(kind, &transfer_syntax, source.charset, limits()));
        let meta_len = u32::try_from(meta.len()).unwrap_or(u32::MAX);
        let meta_digest = Digest(Sha256::digest(meta).into());
        Ok(Self::DataSet { scanner, transfer_syntax, meta_len, meta_digest, meta: named })
    }
}

impl Incoming {
    /// Its sender wants it to be handled before others.
    pub fn hurry(&mut self) {
        self.urgent = true;
    }

    /// Takes the next bytes of the object.
    ///
    /// # Errors
    /// Whatever makes the object unstorable; the rest of it need not be written then.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), IngestError> {
        self.sink.write(chunk)?;
        match &mut self.stage {
            Stage::DataSet { scanner, .. } => scanner.feed(chunk).map_err(scan_error),
            Stage::Meta(part10) => match part10.feed(chunk).map_err(scan_error)?.cloned() {
                Some(meta) => self.begin_data_set(meta),
                None => Ok(()),
            },
        }
    }

    /// The file meta information is complete: everything read so far is split at its end.
    fn begin_data_set(&mut self, meta: Meta) -> Result<(), IngestError> {
        let Stage::Meta(part10) = std::mem::replace(&mut self.stage, Stage::Meta(Part10::new(None))) else {
            return Ok(());
        };
        let read = part10.into_bytes();
        let start = usize::try_from(meta.len).unwrap_or(usize::MAX);
        let Some((head, data_set)) = read.split_at_checked(start) else {
            return Err(IngestError::CannotUnderstand { what: "the file meta information is not complete".into() });
        };
        let transfer_syntax = meta.transfer_syntax.clone();
        let kind = self.archive.options().sameness;
        self.stage = Stage::data_set(head, transfer_syntax, Some(meta), &self.source, kind)?;
        match &mut self.stage {
            Stage::DataSet { scanner, .. } => scanner.feed(data_set).map_err(scan_error),
            Stage::Meta(_) => Ok(()),
        }
    }

    /// Ends the object and waits until it is durable and findable.
    ///
    /// # Errors
    /// As [`Incoming::write`]; nothing of the object remains then.
    pub fn finish(mut self) -> Result<Stored, IngestError> {
        if let Stage::Meta(part10) = &mut self.stage {
            let meta = part10.finish().map_err(scan_error)?.clone();
            self.begin_data_set(meta)?;
        }
        let Stage::DataSet { scanner, transfer_syntax, meta_len, meta_digest, meta } = self.stage else {
            return Err(IngestError::CannotUnderstand { what: "the object is empty".into() });
        };
        let scanned = scanner.finish().map_err(scan_error)?;
        self.expected.check(&scanned)?;
        let mut flags = scanned.flags;
        if let Some(meta) = meta {
            flags.extend(meta_flags(&meta, &scanned.sop_class, &scanned.sop_instance));
        }
        let kept = Prepared::head_len(&scanned.layout, &transfer_syntax).and_then(|len| self.sink.copy(meta_len, len));
        let (body, file_len) = self.sink.finish()?;
        let head = InstanceHead {
            seq: 0, // given by the sequencer
            facility: self.source.facility,
            source: self.source.id.clone(),
            received: self.archive.now_ms(),
            via: self.via,
            sop_class: scanned.sop_class.clone(),
            sop_instance: scanned.sop_instance.clone(),
            study: scanned.study.clone(),
            series: scanned.series.clone(),
            transfer_syntax,
            digest: scanned.digest,
            meta_digest,
            loose_crc: scanned.loose_crc,
            meta_len,
            file_len,
            attributes: scanned.attributes,
            layout: scanned.layout,
            flags,
            outcome: Outcome::default(),
        };
        if self.urgent {
            self.archive.note_urgent(self.source.facility, &scanned.study, &scanned.series);
        }
        let arrived = Box::new(Arrived { head, other: None, body, bytes: file_len });
        let begun = self.archive.prepared().begin_head();
        let (answer, other) = self.archive.take_in(&self.source.id, arrived)?;
        let digests = [Some(scanned.digest), other];
        let after =
            self.archive.after_arrival(self.source.facility, &scanned.sop_class, &scanned.sop_instance, digests);
        after.map_err(|error| IngestError::Unavailable { what: error.to_string() })?;
        // One that was recognised as an older object lies under its other digest.
        if let Some(head) = kept.filter(|_| other.is_none()) {
            self.archive.prepared().keep_head(begun, scanned.digest, head);
        }
        Ok(Stored {
            sop_class: scanned.sop_class,
            sop_instance: scanned.sop_instance,
            study: scanned.study,
            series: scanned.series,
            kind: answer.kind,
            flags: answer.flags,
        })
    }
}

fn scan_error(error: ScanError) -> IngestError {
    let what = error.to_string();
    match error {
        ScanError::Identity { .. } => IngestError::MissingIdentity { what },
        ScanError::Framing { .. } | ScanError::Bound { .. } => IngestError::CannotUnderstand { what },
    }
}

fn meta_flags(meta: &Meta, sop_class: &Uid, sop_instance: &Uid) -> Vec<Flag> {
    let other = |named: &Option<Uid>, found: &Uid| named.as_ref().is_some_and(|named| named != found);
    let disagrees = other(&meta.media_sop_class, sop_class) || other(&meta.media_sop_instance, sop_instance);
    let flags = [(meta.missing, Flag::MissingMeta), (disagrees, Flag::MetaDisagrees)];
    flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect()
}

impl Expected {
    fn check(&self, scanned: &Scanned) -> Result<(), IngestError> {
        let pairs = [
            ("SOP Class UID", &self.sop_class, &scanned.sop_class),
            ("SOP Instance UID", &self.sop_instance, &scanned.sop_instance),
            ("Study Instance UID", &self.study, &scanned.study),
        ];
        for (name, expected, found) in pairs {
            if let Some(expected) = expected.as_ref().filter(|expected| *expected != found) {
                let what = format!("{name} is {expected} in the request and {found} in the data set");
                return Err(IngestError::Mismatch { what });
            }
        }
        Ok(())
    }
}

/// Where the stored bytes gather: chunks of the budget, then a file of their own.
struct Sink {
    archive: Arc<Archive>,
    chunks: Vec<Chunk>,
    /// Over the chunks, while they are at hand.
    sums: ChunkSums,
    blob: Option<BlobWriter>,
    len: u64,
}

impl Sink {
    fn new(archive: &Arc<Archive>) -> Self {
        Self { archive: Arc::clone(archive), chunks: Vec::new(), sums: ChunkSums::default(), blob: None, len: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), IngestError> {
        let options = self.archive.options();
        self.len = self.len.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.len > options.object_bytes_max {
            let what = format!("larger than {} bytes (object_bytes_max)", options.object_bytes_max);
            return Err(IngestError::CannotUnderstand { what });
        }
        if let Some(blob) = &mut self.blob {
            return Ok(blob.write(bytes)?);
        }
        if self.len > options.blob_above {
            return self.spill(bytes);
        }
        self.sums.update(bytes);
        let mut rest = bytes;
        if let Some(last) = self.chunks.last_mut() {
            rest = last.fill(rest);
        }
        while !rest.is_empty() {
            let Some(mut chunk) = self.archive.budget().take() else { return self.spill(rest) };
            rest = chunk.fill(rest);
            self.chunks.push(chunk);
        }
        Ok(())
    }

    /// A copy of `len` bytes from `start` on, if they lie in the first chunk.
    fn copy(&self, start: u32, len: u64) -> Option<Arc<[u8]>> {
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        self.chunks.first()?.as_slice().get(start..end).map(Arc::from)
    }

    /// Goes on in a file: everything so far, then `rest`.
    fn spill(&mut self, rest: &[u8]) -> Result<(), IngestError> {
        let mut blob = self.archive.journal().blob()?;
        for chunk in self.chunks.drain(..) {
            blob.write(chunk.as_slice())?;
        }
        blob.write(rest)?;
        self.blob = Some(blob);
        Ok(())
    }

    fn finish(self) -> Result<(Body, u64), IngestError> {
        let body = match self.blob {
            Some(blob) => Body::Blob(blob.finish()?),
            None => Body::Summed(self.chunks.into_iter().map(Chunk::freeze).collect(), self.sums),
        };
        Ok((body, self.len))
    }
}
