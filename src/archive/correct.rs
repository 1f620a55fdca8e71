//! Corrections on the way out: objects and documents with the values that hold of their study now.
//!
//! The stored bytes stay as they were received, and so do their digests. A row that is given out to be read for others
//! carries the correction of its study, or what the study says that its series was moved to; whoever reads the archive for
//! its own purposes has rows without one.
//! Deliberately not here: recording corrections ([`crate::retain`]) and the splice itself ([`dataset::coerce`]).

mod moved;

use crate::error::RetrieveError;
use crate::object::StoredFile;
use crate::open::Archive;
use crate::transcode::DataSet;
use dataset::Vr;
use dataset::coerce::{self, Coercion};
use dataset::syntax::Syntax;
use dataset::transcode::Deflating;
use index::{IndexError, InstanceRow, StudyKey, StudyRow};
use model::correction::{Correction, Why};
use model::date::DAY_MS;
use model::retention::moved::{MoveReason, standing};
use model::retention::{RetentionFact, StudyRef};
use model::{Date, Lsn, Uid};
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

/// zstd level of a document.
const LEVEL: i32 = 1;

/// A correction and the number of its record, or one that names what it says.
pub(crate) type Known = Arc<(Lsn, Correction)>;

/// What the objects of a study go out with.
#[derive(Debug, Default)]
pub(crate) struct Said {
    own: Option<Known>,
    /// Of series that were received in another study.
    moved: BTreeMap<Uid, Known>,
}

impl Said {
    /// What those of a series go out with; none: as they were received.
    pub(crate) fn of(&self, series: &Uid) -> Option<&Known> {
        self.moved.get(series).or(self.own.as_ref())
    }
}

impl Archive {
    /// What the objects of a study go out with.
    ///
    /// # Errors
    /// When the index does not answer.
    pub(crate) fn said_in(&self, study: &StudyRow) -> Result<Said, IndexError> {
        let plain = study.corrected.values.is_empty();
        if study.version_fact == 0 || plain && self.retention().is_unmoved(study) {
            return Ok(Said::default());
        }
        let facts = self.index().retention_of(&study.key)?;
        let newest = facts.iter().rev().find_map(|(lsn, fact)| match fact {
            RetentionFact::StudyCorrected(correction) => Some((*lsn, (**correction).clone())),
            _ => None,
        });
        let own = newest.filter(|(_, correction)| !correction.values.is_empty() && !plain);
        let mut moved = BTreeMap::new();
        let here = StudyRef::from(&study.key);
        for one in standing(&here, facts.iter().map(|(_, fact)| fact)).into_iter().filter(|one| one.to == here) {
            let fact = facts.iter().rev().find_map(|(lsn, fact)| match fact {
                RetentionFact::SeriesMoved(fact) if fact.series.contains(&one.series) => Some((*lsn, fact)),
                _ => None,
            });
            let Some((lsn, fact)) = fact else { continue };
            let home = self.index().study(&StudyKey::from(&one.study))?;
            let said = Correction {
                study: here.clone(),
                values: moved::values(study, home.as_ref()),
                why: if fact.why == MoveReason::WrongPatient { Why::Correct } else { Why::Coerce },
                by: fact.by.clone(),
                reason: String::new(),
                at: fact.at,
                seal: None,
            };
            moved.insert(one.series, Arc::new((moved::number(lsn, &said.values), said)));
        }
        if moved.is_empty() {
            self.retention().note_unmoved(study);
        }
        Ok(Said { own: own.map(Arc::new), moved })
    }

    /// Gives rows of one study the correction they go out with.
    pub(crate) fn corrected(&self, study: &StudyRow, rows: &mut [InstanceRow]) -> Result<(), IndexError> {
        if !rows.iter().any(|row| row.key.study == study.key) {
            return Ok(());
        }
        let said = self.said_in(study)?;
        let of_study = rows.iter_mut().filter(|row| row.key.study == study.key);
        of_study.for_each(|row| row.correction = said.of(&row.key.series).cloned());
        Ok(())
    }

    fn coercion(&self, row: &InstanceRow, correction: &Correction) -> Coercion {
        let vr = |key| moved::vr_of(key).and_then(|text| text.as_bytes().try_into().ok()).map(Vr::new);
        let (blanked, values): (Vec<_>, Vec<_>) =
            correction.values.iter().partition(|(key, _)| moved::is_blanked(**key));
        Coercion {
            values: values.into_iter().filter_map(|(key, text)| Some((key.tag, (vr(*key)?, text.clone())))).collect(),
            blanked: blanked.into_iter().filter_map(|(key, _)| Some((key.tag, vr(*key)?))).collect(),
            at: date_time(correction.at),
            reason: correction.why.term(),
            hint: self.charset_of(&row.source),
        }
    }

    /// The head of a data set as it goes out: everything before the element of the pixels.
    pub(crate) fn given_head(&self, row: &InstanceRow, before: Vec<u8>) -> Result<Vec<u8>, RetrieveError> {
        let Some(known) = &row.correction else { return Ok(before) };
        let damaged = |error: dataset::ScanError| RetrieveError::Damaged { what: error.to_string() };
        coerce::head(&before, &row.transfer_syntax, &self.coercion(row, &known.1)).map_err(damaged)
    }

    /// The data set of an instance as it goes out in the transfer syntax it is stored in: with the correction its row
    /// carries, the bytes of pixel data and behind it untouched.
    ///
    /// # Errors
    /// What reading the head comes to.
    pub fn given(self: &Arc<Self>, row: &InstanceRow) -> Result<DataSet, RetrieveError> {
        if row.correction.is_none() {
            return Ok(Box::new(self.data_set(row)));
        }
        metrics::counter!("khoanh_corrected_total").increment(1);
        let end = row.pixel.map_or(row.dataset_len, |pixel| pixel.header);
        let short = || RetrieveError::Damaged { what: "the data set is shorter than noted".into() };
        if Syntax::of(row.transfer_syntax.as_str()).deflated {
            let mut before = self.inflated(row)?;
            let end = usize::try_from(end).ok().filter(|end| *end <= before.len()).ok_or_else(short)?;
            let behind = before.split_off(end);
            let head = self.given_head(row, before)?;
            return Ok(Box::new(Deflating::new(Cursor::new(head).chain(Cursor::new(behind)))));
        }
        let mut file: StoredFile = self.data_set(row);
        let whole = file.len();
        let (mut before, failed) =
            (Vec::new(), |error: io::Error| RetrieveError::Unavailable { what: error.to_string() });
        (&mut file).take(end).read_to_end(&mut before).map_err(failed)?;
        if end > whole || u64::try_from(before.len()).ok() != Some(end) {
            return Err(short());
        }
        let head = self.given_head(row, before)?;
        file.seek(SeekFrom::Start(end)).map_err(failed)?;
        Ok(Box::new(Cursor::new(head).chain(file)))
    }

    /// The DICOM file of an instance as it goes out: preamble and file meta information as stored, the data set as
    /// [`Archive::given`] says.
    ///
    /// # Errors
    /// What reading the head comes to.
    pub fn given_file(self: &Arc<Self>, row: &InstanceRow) -> Result<DataSet, RetrieveError> {
        if row.correction.is_none() {
            return Ok(Box::new(self.file(row)));
        }
        let meta = self.read(row, 0..u64::from(row.meta_len))?;
        Ok(Box::new(Cursor::new(meta).chain(self.given(row)?)))
    }

    /// A document of many instances with a correction in each.
    pub(crate) fn corrected_document(
        &self,
        json_zstd: &[u8],
        (row, correction): (&InstanceRow, &Correction),
    ) -> Result<Vec<u8>, RetrieveError> {
        let failed = |what: &dyn fmt::Display| RetrieveError::Unavailable { what: format!("metadata: {what}") };
        let json = zstd::stream::Decoder::new(json_zstd).map_err(|error| failed(&error))?;
        let mut out = zstd::stream::Encoder::new(Vec::new(), LEVEL).map_err(|error| failed(&error))?;
        let each = Each { out: &mut out, coercion: &self.coercion(row, correction) };
        let mut reader = serde_json::Deserializer::from_reader(io::BufReader::new(json));
        each.deserialize(&mut reader).map_err(|error| failed(&error))?;
        out.finish().map_err(|error| failed(&error))
    }
}

/// Writes a JSON array of documents again, one after the other, with the correction in each.
struct Each<'a, W> {
    out: &'a mut W,
    coercion: &'a Coercion,
}

impl<'de, W: Write> DeserializeSeed<'de> for Each<'_, W> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, W: Write> Visitor<'de> for Each<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of documents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        let mut between: &[u8] = b"[";
        while let Some(mut document) = all.next_element::<Map<String, Value>>()? {
            coerce::coerced_json(&mut document, self.coercion);
            self.out.write_all(between).map_err(A::Error::custom)?;
            serde_json::to_writer(&mut *self.out, &document).map_err(A::Error::custom)?;
            between = b",";
        }
        if between == b"[" {
            self.out.write_all(between).map_err(A::Error::custom)?;
        }
        self.out.write_all(b"]").map_err(A::Error::custom)
    }
}

/// A time in milliseconds since 1970 UTC as a DT (PS3.5 section 6.2).
fn date_time(ms: u64) -> String {
    let (date, of_day) = (Date::of_ms(ms), ms % DAY_MS);
    let (hours, minutes, seconds) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    let day = format!("{:04}{:02}{:02}", date.year(), date.month(), date.day());
    format!("{day}{hours:02}{minutes:02}{seconds:02}.{:06}+0000", of_day % 1_000 * 1_000)
}

#[cfg(test)]
mod unit {
    #[test]
    fn times_are_written_as_date_times() {
        assert_eq!(super::date_time(1_795_305_600_123), "20261122000000.123000+0000");
    }
}
