//! The logical dump: what every engine must agree on, row by row.
//!
//! Order: facilities by code, sources by name, destinations by AE title, forwarding by entry, then every study by first `seq`, each followed by its series by first
//! `seq`, each followed by its instances by `seq`, then copies in conflict by `seq`, then packs by name, then retention
//! facts by number.
//! Each record is a letter, the length of the row and the row as in [`crate::encode`], without places in the journal.

use crate::IndexError;
use crate::codec::Encoder;
use crate::encode;
use crate::row::{InstanceRow, PackRow, SeriesRow, StudyRow};
use model::forward::ForwardFact;
use model::retention::RetentionFact;
use model::{Destination, Facility, Home, Layout, Lsn, Source};

/// An instance without its place in the journal; a pack is part of what is known of it.
fn put_instance(out: &mut Encoder, row: &InstanceRow) {
    encode::put_instance_facts(out, row);
    if let Home::Pack { pack, slot } = row.home {
        out.raw(pack.as_bytes());
        out.number(slot);
    }
}

/// Writes the records of a dump.
pub(crate) struct Writer<'a> {
    out: &'a mut dyn FnMut(&[u8]),
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut dyn FnMut(&[u8])) -> Self {
        Self { out }
    }

    pub(crate) fn facility(&mut self, facility: &Facility) {
        self.record(b'F', &serde_json::to_vec(facility).unwrap_or_default());
    }

    pub(crate) fn source(&mut self, source: &Source) {
        self.record(b'S', &serde_json::to_vec(source).unwrap_or_default());
    }

    pub(crate) fn destination(&mut self, destination: &Destination) {
        self.record(b'D', &serde_json::to_vec(destination).unwrap_or_default());
    }

    pub(crate) fn forwarding(&mut self, fact: &ForwardFact) {
        self.record(b'W', &serde_json::to_vec(fact).unwrap_or_default());
    }

    pub(crate) fn study(&mut self, row: &StudyRow) {
        let mut out = Encoder::default();
        encode::put_study(&mut out, row);
        self.record(b's', &out.bytes);
    }

    pub(crate) fn series(&mut self, row: &SeriesRow) {
        let mut out = Encoder::default();
        encode::put_series(&mut out, row);
        self.record(b'e', &out.bytes);
    }

    pub(crate) fn instance(&mut self, row: &InstanceRow, layout: &Layout) {
        let mut out = Encoder::default();
        put_instance(&mut out, row);
        encode::put_layout(&mut out, layout);
        self.record(b'i', &out.bytes);
    }

    pub(crate) fn conflict(&mut self, row: &InstanceRow, layout: &Layout) {
        let mut out = Encoder::default();
        encode::put_study_key(&mut out, &row.key.study);
        out.uid(&row.key.series);
        put_instance(&mut out, row);
        encode::put_layout(&mut out, layout);
        self.record(b'c', &out.bytes);
    }

    pub(crate) fn pack(&mut self, row: &PackRow) {
        let mut out = Encoder::default();
        out.raw(row.pack.as_bytes());
        encode::put_pack(&mut out, row);
        self.record(b'p', &out.bytes);
    }

    pub(crate) fn retention(&mut self, lsn: Lsn, fact: &RetentionFact) -> Result<(), IndexError> {
        let unfit = |_| IndexError::Unfit { lsn, what: "a retention fact that is no JSON" };
        let mut out = Encoder::default();
        out.number(lsn);
        out.raw(&serde_json::to_vec(fact).map_err(unfit)?);
        self.record(b'r', &out.bytes);
        Ok(())
    }

    fn record(&mut self, kind: u8, row: &[u8]) {
        let mut header = Encoder::with_capacity(11);
        header.byte(kind);
        header.length(row.len());
        (self.out)(&header.bytes);
        (self.out)(row);
    }
}
