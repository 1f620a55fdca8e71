//! The values of the table `uids`: what is known under a UID in one facility. Mostly one entry.
//!
//! Each list begins with its version (2; 3 where a series stands elsewhere than it was received; with the highest bit set
//! where others stand under keys of their own, see [`super::beyond`]) and the number of entries. An ordinal of 0 means
//! that only copies in conflict were seen: there is no row.

use super::tables::Table;
use crate::IndexError;
use crate::codec::{Decoder, Encoder};
use crate::retention::Buried;
use crate::row::{KnownCopy, KnownPatient, KnownStudy, known};
use model::{InstanceHead, Sameness, SamenessKind, Uid};

/// 2: copies say the kind of their digest. 3: series say where they stand.
const VERSION: u8 = 3;
/// Set in the version of a list beside which others stand under keys of their own.
const MORE: u8 = 0x80;

/// A list as it is stored.
#[derive(Debug)]
pub(super) struct Held<T> {
    pub(super) entries: Vec<T>,
    /// Whether others under its UID stand under keys of their own.
    pub(super) more: bool,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), more: false }
    }
}

impl<T: Listed> Held<T> {
    /// The value that is stored; none where nothing is.
    pub(super) fn value(&self) -> Option<Vec<u8>> {
        if self.entries.is_empty() && !self.more {
            return None;
        }
        let mut bytes = T::encode(&self.entries);
        if let Some(version) = bytes.first_mut().filter(|_| self.more) {
            *version |= MORE;
        }
        Some(bytes)
    }
}

/// A value that is a list of entries.
pub(super) trait Listed: Sized {
    fn put(&self, version: u8, out: &mut Encoder);
    fn take(version: u8, row: &mut Decoder<'_>) -> Result<Self, IndexError>;

    /// The oldest version that can say it.
    fn version(&self) -> u8 {
        2
    }

    fn encode(list: &[Self]) -> Vec<u8> {
        let mut out = Encoder::with_capacity(80);
        let version = list.iter().map(Self::version).max().unwrap_or(2);
        out.byte(version);
        out.length(list.len());
        list.iter().for_each(|entry| entry.put(version, &mut out));
        out.bytes
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Self>, IndexError> {
        Self::held(bytes).map(|held| held.entries)
    }

    fn held(bytes: &[u8]) -> Result<Held<Self>, IndexError> {
        let row = &mut Decoder::new(Table::Uids.name(), bytes);
        let first = row.byte()?;
        let (version, more) = (first & !MORE, first & MORE != 0);
        if !(1..=VERSION).contains(&version) {
            return Err(IndexError::Newer { found: u32::from(version), known: u32::from(VERSION) });
        }
        let entries: Result<Vec<Self>, IndexError> = (0..row.number()?).map(|_| Self::take(version, row)).collect();
        Ok(Held { entries: entries?, more })
    }
}

/// A patient under a Study Instance UID: number, study ordinal, Patient ID, issuer, name, birth date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PatientEntry {
    pub(super) known: KnownPatient,
    pub(super) study: u64,
}

impl Listed for PatientEntry {
    fn put(&self, _: u8, out: &mut Encoder) {
        out.number(self.known.rank);
        out.number(self.study);
        let KnownPatient { patient_id, issuer, name, birth_date, .. } = &self.known;
        [patient_id, issuer, name, birth_date].into_iter().for_each(|text| out.text(text));
    }

    fn take(_: u8, row: &mut Decoder<'_>) -> Result<Self, IndexError> {
        let rank = row.narrow()?;
        let study = row.number()?;
        let known = KnownPatient {
            rank,
            // Older programs kept values whole.
            patient_id: known(row.text()?).to_owned(),
            issuer: known(row.text()?).to_owned(),
            name: known(row.text()?).to_owned(),
            birth_date: known(row.text()?).to_owned(),
        };
        Ok(Self { known, study })
    }
}

/// A study and patient under a Series Instance UID: number of the study, Study Instance UID, number of the patient,
/// study ordinal, series ordinal; from version 3 on 1 where it stands elsewhere, then that Study Instance UID and number of
/// the patient, else 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeriesEntry {
    pub(super) known: KnownStudy,
    pub(super) patient: u16,
    pub(super) study: u64,
    pub(super) series: u64,
    /// The study it stands in, where it was received in another one.
    pub(super) placed: Option<(Uid, u16)>,
}

impl Listed for SeriesEntry {
    fn version(&self) -> u8 {
        if self.placed.is_some() { 3 } else { 2 }
    }

    fn put(&self, version: u8, out: &mut Encoder) {
        out.number(self.known.rank);
        out.uid(&self.known.study);
        out.number(self.patient);
        out.number(self.study);
        out.number(self.series);
        if version < 3 {
            return;
        }
        out.byte(u8::from(self.placed.is_some()));
        if let Some((study, patient)) = &self.placed {
            out.uid(study);
            out.number(*patient);
        }
    }

    fn take(version: u8, row: &mut Decoder<'_>) -> Result<Self, IndexError> {
        let known = KnownStudy { rank: row.narrow()?, study: row.uid()? };
        let (patient, study, series) = (row.narrow()?, row.number()?, row.number()?);
        let moved = version >= 3 && row.byte()? != 0;
        let placed = if moved { Some((row.uid()?, row.narrow()?)) } else { None };
        Ok(Self { known, patient, study, series, placed })
    }
}

/// A copy under a SOP Instance UID: number (from version 2 on × 2, + 1 when the digest is BLAKE3), study ordinal, series
/// ordinal (both 0 for a copy in conflict), `seq`, digest (32 bytes), loose CRC (4 bytes), transfer syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyEntry {
    pub(super) copy: u16,
    pub(super) study: u64,
    pub(super) series: u64,
    pub(super) seq: u64,
    pub(super) digest: Sameness,
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
    fn put(&self, _: u8, out: &mut Encoder) {
        out.number(u64::from(self.copy) << 1 | u64::from(self.digest.kind().code()));
        out.number(self.study);
        out.number(self.series);
        out.number(self.seq);
        out.raw(self.digest.bytes());
        out.raw(&self.loose_crc.to_be_bytes());
        out.uid(&self.transfer_syntax);
    }

    fn take(version: u8, row: &mut Decoder<'_>) -> Result<Self, IndexError> {
        let number = row.number()?;
        let (copy, kind) = match (version, number & 1) {
            (1, _) => (number, SamenessKind::Sha256),
            (_, 0) => (number >> 1, SamenessKind::Sha256),
            (_, _) => (number >> 1, SamenessKind::Blake3),
        };
        Ok(Self {
            copy: u16::try_from(copy).map_err(|_| row.damaged("a number is too large"))?,
            study: row.number()?,
            series: row.number()?,
            seq: row.number()?,
            digest: Sameness::new(kind, row.array()?),
            loose_crc: u32::from_be_bytes(row.array()?),
            transfer_syntax: row.uid()?,
        })
    }
}

/// What was destroyed under a Study Instance UID: number of the patient, newest `seq`, record number, time.
impl Listed for Buried {
    fn put(&self, _: u8, out: &mut Encoder) {
        out.number(self.patient);
        out.number(self.through);
        out.number(self.lsn);
        out.number(self.at);
    }

    fn take(_: u8, row: &mut Decoder<'_>) -> Result<Self, IndexError> {
        Ok(Self { patient: row.narrow()?, through: row.number()?, lsn: row.number()?, at: row.number()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies() -> Vec<CopyEntry> {
        let copy = |copy: u16, digest: Sameness| CopyEntry {
            copy,
            study: 3,
            series: 4,
            seq: 300,
            digest,
            loose_crc: 0xdead_beef,
            transfer_syntax: Uid::parse("1.2").expect("uid"),
        };
        vec![copy(0, Sameness::Sha256([0xab; 32])), copy(63, Sameness::Sha256([0xcd; 32]))]
    }

    #[test]
    fn a_list_of_version_1_is_read_for_ever() {
        let mut bytes = vec![1, 2];
        for (number, digest) in [(0, 0xab), (63, 0xcd)] {
            bytes.extend([number, 3, 4, 0xac, 2]);
            bytes.extend([digest; 32]);
            bytes.extend([0xde, 0xad, 0xbe, 0xef, 0x1a, 0x2f]);
        }
        assert_eq!(CopyEntry::decode(&bytes).expect("copies"), copies());
        let graves = Buried::decode(&[1, 1, 2, 7, 8, 9]).expect("a grave");
        assert_eq!(graves, [Buried { patient: 2, through: 7, lsn: 8, at: 9 }]);
    }

    #[test]
    fn a_list_is_written_in_version_3_only_where_a_series_stands_elsewhere() {
        let known = KnownStudy { rank: 1, study: Uid::parse("1.2").expect("uid") };
        let home = SeriesEntry { known, patient: 2, study: 3, series: 4, placed: None };
        let moved = SeriesEntry { placed: Some((Uid::parse("1.3").expect("uid"), 5)), ..home.clone() };
        assert_eq!(SeriesEntry::encode(std::slice::from_ref(&home)).first(), Some(&2));
        let all = vec![home, moved];
        let bytes = SeriesEntry::encode(&all);
        assert_eq!(bytes.first(), Some(&3));
        assert_eq!(SeriesEntry::decode(&bytes).expect("series"), all);
    }

    #[test]
    fn a_list_says_whether_others_stand_beside_it_and_is_kept_for_that_alone() {
        let mut held: Held<CopyEntry> = Held { entries: copies(), more: true };
        assert_eq!(held.value().expect("a value").first(), Some(&0x82));
        held.entries.clear();
        let bytes = held.value().expect("a value");
        assert_eq!(bytes, [0x82, 0]);
        assert!(CopyEntry::held(&bytes).expect("a list").more);
        assert!(!CopyEntry::held(&CopyEntry::encode(&copies())).expect("a list").more);
        held.more = false;
        assert_eq!(held.value(), None);
    }

    #[test]
    fn a_list_is_written_in_version_2_and_copies_say_the_kind_of_their_digest() {
        let mut all = copies();
        all.push(CopyEntry { copy: u16::MAX, digest: Sameness::Blake3([0xab; 32]), ..all[0].clone() });
        let bytes = CopyEntry::encode(&all);
        assert_eq!(bytes.get(..3), Some([2, 3, 0].as_slice()));
        assert_eq!(CopyEntry::decode(&bytes).expect("copies"), all);
        assert!(matches!(CopyEntry::decode(&[4, 0]), Err(IndexError::Newer { found: 4, known: 3 })));
        assert!(matches!(CopyEntry::decode(&[0, 0]), Err(IndexError::Newer { .. })));
    }
}
