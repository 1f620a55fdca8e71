//! Looking into studies: what tells when each of them may go, and what it takes up.
//!
//! A retention plan asks this of every study that may be due, so an engine may keep its place from one to the next.
//! Deliberately not here: what any of it means, and how an engine does it without asking for names again.

use crate::retention::Buried;
use crate::row::{PackRow, StudyKey, StudyRow};
use crate::{Cursor, Index, IndexError};
use model::attribute::key;
use model::retention::{RetentionFact, StudyVersion};
use model::{AttrKey, Attributes, Lsn};
use std::collections::BTreeSet;

/// Rows asked for at once.
const PAGE: usize = 500;

/// Where a series writes when it was made ...
pub(crate) const OF_SERIES: [AttrKey; 2] = [key::SERIES_DATE, key::PERFORMED_PROCEDURE_STEP_START_DATE];
/// ... and where an instance does.
pub(crate) const OF_INSTANCES: [AttrKey; 1] = [key::ACQUISITION_DATE];
/// Where a series names its modality.
pub(crate) const MODALITY: [AttrKey; 1] = [key::MODALITY];

/// What a study holds besides its own row, as far as it decides when the study may go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inside {
    /// What it is now.
    pub version: StudyVersion,
    /// When its first instance came in, milliseconds since 1970.
    pub first_received: Option<u64>,
    /// The dates its series and instances name (series, performed procedure step, acquisition) as written, each once.
    pub dates: BTreeSet<String>,
    /// The modalities of all its series, those of which every image is rejected included: these are kept as long.
    pub modalities: BTreeSet<String>,
    /// Bytes of the files that lie in packs.
    pub packed: u64,
    /// Bytes of packs on local disks.
    pub hot: u64,
    /// Bytes of packs in the object store.
    pub cold: u64,
    /// What was destroyed under its Study Instance UID in its facility, in order.
    pub buried: Vec<Buried>,
    /// Every retention fact about it, in order.
    pub facts: Vec<(Lsn, RetentionFact)>,
}

impl Inside {
    /// Takes in a date as it is written.
    pub(crate) fn date(&mut self, written: &str) {
        if !written.is_empty() && !self.dates.contains(written) {
            self.dates.insert(written.to_owned());
        }
    }

    /// Takes in the modality of a series.
    pub(crate) fn modality(&mut self, written: &str) {
        if !written.is_empty() && !self.modalities.contains(written) {
            self.modalities.insert(written.to_owned());
        }
    }

    /// Takes in a pack: bytes of its files, of its hot and of its cold copy.
    pub(crate) fn pack(&mut self, [files, hot, cold]: [u64; 3]) {
        self.packed = self.packed.saturating_add(files);
        self.hot = self.hot.saturating_add(hot);
        self.cold = self.cold.saturating_add(cold);
    }

    fn dates_of(&mut self, attributes: &Attributes, keys: &[AttrKey]) {
        keys.iter().filter_map(|key| attributes.get(key)).for_each(|written| self.date(written));
    }
}

/// Looks into one study after the other; cheapest in order of arrival.
pub trait Look {
    /// Whether any retention fact is about a study.
    fn has_facts(&mut self, study: &StudyKey) -> Result<bool, IndexError>;

    /// What a study holds. The row is the one in the index, or was a moment ago: what came in since makes the study
    /// another version than the one that is told.
    fn inside(&mut self, study: &StudyRow) -> Result<Inside, IndexError>;
}

/// Looking by what every engine answers in any case.
pub(crate) struct ByName<'a, I: ?Sized>(pub(crate) &'a I);

impl<I: Index + ?Sized> Look for ByName<'_, I> {
    fn has_facts(&mut self, study: &StudyKey) -> Result<bool, IndexError> {
        Ok(!self.0.retention_of(study)?.is_empty())
    }

    fn inside(&mut self, study: &StudyRow) -> Result<Inside, IndexError> {
        let (index, key) = (self.0, &study.key);
        let known = StudyVersion { through: study.last_seq, fact: study.version_fact };
        let mut inside = Inside {
            version: index.version(key)?.unwrap_or(known),
            buried: index.buried(key.facility, &key.study)?,
            facts: index.retention_of(key)?,
            ..Inside::default()
        };
        let mut at: Option<Cursor> = None;
        loop {
            let page = index.series_of(key, at.as_ref(), PAGE)?;
            for series in &page.rows {
                inside.dates_of(&series.attributes, &OF_SERIES);
                series.attributes.get(&key::MODALITY).into_iter().for_each(|written| inside.modality(written));
                index.packs_of(&series.key)?.iter().for_each(|pack| inside.pack(bytes_of(pack)));
                let mut at: Option<Cursor> = None;
                loop {
                    let page = index.instances_of(&series.key, at.as_ref(), PAGE)?;
                    for row in &page.rows {
                        inside.dates_of(&row.attributes, &OF_INSTANCES);
                        if row.seq == study.first_seq {
                            inside.first_received = Some(row.received);
                        }
                    }
                    at = page.cursor;
                    if at.is_none() {
                        break;
                    }
                }
            }
            at = page.cursor;
            if at.is_none() {
                return Ok(inside);
            }
        }
    }
}

/// Bytes of a pack's files, of its hot and of its cold copy.
fn bytes_of(pack: &PackRow) -> [u64; 3] {
    let hot = if pack.hot { pack.len } else { 0 };
    [pack.raw, hot, pack.cold.as_ref().map_or(0, |copy| copy.len)]
}
