//! The archive as its users meet it, over a real journal and index in a folder of its own.

mod ahead;
mod background;
mod backup;
mod bad_days;
mod bucket;
mod commitment;
mod compressing;
mod correcting;
mod decode;
mod export;
mod forty_years;
mod ingest;
mod killed;
mod kinds;
mod moved;
mod moving;
mod older_ledger;
mod order;
mod packs;
mod patients;
mod pictures;
mod records;
mod recover;
mod rejecting;
pub(crate) mod retain;
mod scrub;
mod sealed;
mod see;
mod sharing;
mod transcode;
mod usage;

use crate::{Archive, Form, IngestError, Options, Stored};
use model::{FacilityCode, Source, Uid, Via};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
pub(crate) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

pub(crate) fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

/// One synthetic object, explicit VR little endian.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) study: &'static str,
    pub(crate) series: &'static str,
    pub(crate) sop: String,
    pub(crate) patient: (&'static str, &'static str),
    /// Instance Number; left out when 0.
    pub(crate) number: u32,
    pub(crate) pixels: usize,
    pub(crate) fill: u8,
    /// Image Position and Image Orientation (Patient).
    pub(crate) geometry: Option<(String, &'static str)>,
}

impl Object {
    pub(crate) fn new(sop: &str) -> Self {
        Self {
            study: "1.2.1",
            series: "1.2.1.1",
            sop: sop.into(),
            patient: ("P1", "NGUYEN^VAN AN"),
            number: 1,
            pixels: 128,
            fill: 7,
            geometry: None,
        }
    }

    /// As a C-STORE announces it.
    pub(crate) fn form(&self) -> Form {
        Form::DataSet { sop_class: uid(CT), sop_instance: uid(&self.sop), transfer_syntax: uid(EXPLICIT_LE) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut text = |tag: (u16, u16), vr: &[u8; 2], value: &str| short(tag, vr, value, &mut out);
        text((8, 0x16), b"UI", CT);
        text((8, 0x18), b"UI", &self.sop);
        text((8, 0x20), b"DA", "20260102");
        text((8, 0x60), b"CS", "CT");
        text((0x10, 0x10), b"PN", self.patient.1);
        text((0x10, 0x20), b"LO", self.patient.0);
        text((0x20, 0x0d), b"UI", self.study);
        text((0x20, 0x0e), b"UI", self.series);
        if self.number > 0 {
            text((0x20, 0x13), b"IS", &self.number.to_string());
        }
        if let Some((position, orientation)) = &self.geometry {
            text((0x20, 0x32), b"DS", position);
            text((0x20, 0x37), b"DS", orientation);
        }
        let rows = u16::try_from(self.pixels / 64).expect("rows");
        for (element, value) in [(2u16, 1u16), (0x10, rows), (0x11, 64), (0x100, 8), (0x101, 8), (0x102, 7)] {
            out.extend(0x28u16.to_le_bytes());
            out.extend(element.to_le_bytes());
            out.extend(b"US\x02\x00");
            out.extend(value.to_le_bytes());
        }
        out.extend([0xe0, 0x7f, 0x10, 0x00]);
        out.extend(b"OW\0\0");
        out.extend(u32::try_from(self.pixels).expect("pixels").to_le_bytes());
        out.resize(out.len() + self.pixels, self.fill);
        out
    }
}

/// Writes an element of text with a short length, explicit VR little endian.
pub(crate) fn short(tag: (u16, u16), vr: &[u8; 2], value: &str, out: &mut Vec<u8>) {
    let mut value = value.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == b"UI" { 0 } else { b' ' });
    }
    out.extend(tag.0.to_le_bytes());
    out.extend(tag.1.to_le_bytes());
    out.extend(vr);
    out.extend(u16::try_from(value.len()).expect("short").to_le_bytes());
    out.extend(value);
}

/// An archive in a folder of its own.
pub(crate) struct Bench {
    pub(crate) archive: Arc<Archive>,
    pub(crate) options: Options,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut options = Options::new(folder.path().join("data"));
        options.segment_bytes = 4 << 20;
        options.blob_above = 1 << 20;
        options.reserve_bytes = 0;
        change(&mut options);
        let archive = Archive::open(options.clone()).expect("open");
        Self { archive, options, folder }
    }

    pub(crate) fn source(&self) -> Source {
        self.archive.sources().1.into_iter().next().expect("the demo source")
    }

    pub(crate) fn source_of(&self, facility: &str) -> Source {
        Source { facility: FacilityCode::parse(facility).expect("code"), id: facility.into(), ..self.source() }
    }

    pub(crate) fn store(&self, object: &Object) -> Result<Stored, IngestError> {
        self.store_from(&self.source(), object)
    }

    pub(crate) fn store_from(&self, source: &Source, object: &Object) -> Result<Stored, IngestError> {
        let mut incoming = self.archive.receive(source, Via::CStore, object.form())?;
        for piece in object.bytes().chunks(1000) {
            incoming.write(piece)?;
        }
        incoming.finish()
    }

    /// Stops and opens again.
    pub(crate) fn reopen(self) -> Self {
        self.reopen_with(|_| {})
    }

    /// The same with other options.
    pub(crate) fn reopen_with(self, change: impl FnOnce(&mut Options)) -> Self {
        let Self { archive, mut options, folder } = self;
        archive.close(Duration::from_secs(20)).expect("close");
        drop(archive);
        change(&mut options);
        let archive = Archive::open(options.clone()).expect("open again");
        Self { archive, options, folder }
    }
}

/// Waits for a condition, at most twenty seconds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within twenty seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
