//! The logical dump: what every engine must agree on, row by row.
//!
//! Order: facilities by code, sources by name, destinations by AE title, forwarding by entry, then every study by first `seq`, each followed by its series by first
//! `seq`, each followed by its instances by `seq`, then copies in conflict by `seq`, then packs by name, then retention
//! facts by number.
//! Each record is a letter, the length of the row and the row as in [`crate::encode`], without places in the journal.
//! The index of charts has a dump of its own, of the same records: see [`crate::charts::Charts::dump`].

use crate::IndexError;
use crate::codec::Encoder;
use crate::encode;
use crate::row::{InstanceRow, PackRow, SeriesRow, StudyRow};
use model::chart::ChartRow;
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
    /// The row in hand.
    row: Encoder,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut dyn FnMut(&[u8])) -> Self {
        Self { out, row: Encoder::with_capacity(4 << 10) }
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
        self.encoded(b's', |out| encode::put_study(out, row));
    }

    pub(crate) fn series(&mut self, row: &SeriesRow) {
        self.encoded(b'e', |out| encode::put_series(out, row));
    }

    pub(crate) fn instance(&mut self, row: &InstanceRow, layout: &Layout) {
        self.encoded(b'i', |out| {
            put_instance(out, row);
            encode::put_layout(out, layout);
        });
    }

    pub(crate) fn conflict(&mut self, row: &InstanceRow, layout: &Layout) {
        self.encoded(b'c', |out| {
            encode::put_study_key(out, &row.key.study);
            out.uid(&row.key.series);
            put_instance(out, row);
            encode::put_layout(out, layout);
        });
    }

    pub(crate) fn pack(&mut self, row: &PackRow) {
        self.encoded(b'p', |out| {
            out.raw(row.pack.as_bytes());
            encode::put_pack(out, row);
        });
    }

    pub(crate) fn retention(&mut self, lsn: Lsn, fact: &RetentionFact) -> Result<(), IndexError> {
        let unfit = |_| IndexError::Unfit { lsn, what: "a retention fact that is no JSON" };
        let mut out = Encoder::default();
        out.number(lsn);
        out.raw(&serde_json::to_vec(fact).map_err(unfit)?);
        self.record(b'r', &out.bytes);
        Ok(())
    }

    pub(crate) fn chart_row(&mut self, row: &ChartRow) -> Result<(), IndexError> {
        let unfit = |_| IndexError::Unfit { lsn: row.lsn, what: "a row that is no JSON" };
        self.record(b'C', &serde_json::to_vec(row).map_err(unfit)?);
        Ok(())
    }

    /// A key by which a row of charts is found, and what lies beside it.
    pub(crate) fn chart_key(&mut self, key: &[u8], payload: &[u8]) {
        self.encoded(b'K', |out| {
            out.blob(key);
            out.raw(payload);
        });
    }

    /// A word of patients' names, and how many have it.
    pub(crate) fn chart_word(&mut self, word: &str, count: u64) {
        self.encoded(b'N', |out| {
            out.text(word);
            out.number(count);
        });
    }

    fn encoded(&mut self, kind: u8, put: impl FnOnce(&mut Encoder)) {
        let mut row = std::mem::take(&mut self.row);
        row.bytes.clear();
        put(&mut row);
        self.record(kind, &row.bytes);
        self.row = row;
    }

    fn record(&mut self, kind: u8, row: &[u8]) {
        let mut header = Encoder::with_capacity(11);
        header.byte(kind);
        header.length(row.len());
        (self.out)(&header.bytes);
        (self.out)(row);
    }
}
