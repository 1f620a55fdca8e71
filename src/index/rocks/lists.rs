//! The values of the table `uids`: what is known under a UID in one facility. Mostly one entry.
//!
//! Each list begins with its version (1) and the number of entries. An ordinal of 0 means that only copies in
//! conflict were seen: there is no row.

use super::tables::Table;
use crate::IndexError;
use crate::codec::{Decoder, Encoder};
use crate::retention::Buried;
use crate::row::{KnownCopy, KnownPatient, KnownStudy};
use model::{Digest, InstanceHead, Uid};

const VERSION: u8 = 1;

/// A value that is a list of entries.
pub(super) trait Listed: Sized {
    fn put(&self, out: &mut Encoder);
    fn take(row: &mut Decoder<'_>) -> Result<Self, IndexError>;

    fn encode(list: &[Self]) -> Vec<u8> {
        let mut out = Encoder::with_capacity(80);
        out.byte(VERSION);
        out.length(list.len());
        list.iter().for_each(|entry| entry.put(&mut out));
        out.bytes
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Self>, IndexError> {
        let row = &mut Decoder::new(Table::Uids.name(), bytes);
        match row.byte()? {
            VERSION => (0..row.number()?).map(|_| Self::take(row)).collect(),
            newer => Err(IndexError::Newer { found: u32::from(newer), known: u32::from(VERSION) }),
        }
    }
}

/// A patient under a Study Instance UID: number, study ordinal, Patient ID, issuer, name, birth date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PatientEntry {
    pub(super) known: KnownPatient,
    pub(super) study: u64,
}

impl Listed for PatientEntry {
    fn put(&self, out: &mut Encoder) {
        out.number(self.known.rank);
        out.number(self.study);
        let KnownPatient { patient_id, issuer, name, birth_date, .. } = &self.known;
        [patient_id, issuer, name, birth_date].into_iter().for_each(|text| out.text(text));
    }

    fn take(row: &mut Decoder<'_>) -> Result<Self, IndexError> {
        let rank = row.narrow()?;
        let study = row.number()?;
        let known = KnownPatient {
            rank,
            patient_id: row.text()?.to_owned(),
            issuer: row.text()?.to_owned(),
            name: row.text()?.to_owned(),
            birth_date: row.text()?.to_owned(),
        };
        Ok(Self { known, study })
    }
}

/// A study and patient under a Series Instance UID: number of the study, Study Instance UID, number of the patient,
/// study ordinal, series ordinal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeriesEntry {
    pub(super) known: KnownStudy,
    pub(super) patient: u16,
    pub(super) study: u64,
    pub(super) series: u64,
}

impl Listed for SeriesEntry {
    fn put(&self, out: &mut Encoder) {
        out.number(self.known.rank);
        out.uid(&self.known.study);
        out.number(self.patient);
        out.number(self.study);
        out.number(self.series);
    }

    fn take(row: &mut Decoder<'_>) -> Result<Self, IndexError> {
        let known = KnownStudy { rank: row.narrow()?, study: row.uid()? };
        Ok(Self { known, patient: row.narrow()?, study: row.number()?, series: row.number()? })
    }
}

/// A copy under a SOP Instance UID: number, study ordinal, series ordinal (both 0 for a copy in conflict), `seq`,
/// digest (32 bytes), loose CRC (4 bytes), transfer syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyEntry {
    pub(super) copy: u16,
    pub(super) study: u64,
    pub(super) series: u64,
    pub(super) seq: u64,
    pub(super) digest: Digest,
    pub(super) loose_crc: u32,
    pub(super) transfer_syntax: Uid,
}

impl CopyEntry {
    pub(super) fn of(head: &InstanceHead, study: u64, series: u64) -> Self {
        Self {
            copy: head.outcome.copy,
            study,
            series,
            seq: head.seq,
            digest: head.digest,
            loose_crc: head.loose_crc,
            transfer_syntax: head.transfer_syntax.clone(),
        }
    }
}

impl From<CopyEntry> for KnownCopy {
    fn from(entry: CopyEntry) -> Self {
        let CopyEntry { copy, digest, loose_crc, transfer_syntax, seq, .. } = entry;
        Self { copy, digest, loose_crc, transfer_syntax, seq }
    }
}

impl Listed for CopyEntry {
    fn put(&self, out: &mut Encoder) {
        out.number(self.copy);
        out.number(self.study);
        out.number(self.series);
        out.number(self.seq);
        out.raw(&self.digest.0);
        out.raw(&self.loose_crc.to_be_bytes());
        out.uid(&self.transfer_syntax);
    }

    fn take(row: &mut Decoder<'_>) -> Result<Self, IndexError> {
        Ok(Self {
            copy: row.narrow()?,
            study: row.number()?,
            series: row.number()?,
            seq: row.number()?,
            digest: Digest(row.array()?),
            loose_crc: u32::from_be_bytes(row.array()?),
            transfer_syntax: row.uid()?,
        })
    }
}

/// What was destroyed under a Study Instance UID: number of the patient, newest `seq`, record number, time.
impl Listed for Buried {
    fn put(&self, out: &mut Encoder) {
        out.number(self.patient);
        out.number(self.through);
        out.number(self.lsn);
        out.number(self.at);
    }

    fn take(row: &mut Decoder<'_>) -> Result<Self, IndexError> {
        Ok(Self { patient: row.narrow()?, through: row.number()?, lsn: row.number()?, at: row.number()? })
    }
}
