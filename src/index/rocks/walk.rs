//! Walks by ordinal: all studies as they lie, and one study from end to end.
//!
//! Whatever came in together lies together, so a walk over everything reads each block once.
//! Deliberately not here: walks by a key, such as the date ([`super::streams`]).

use super::read::Reader;
use super::tables::{Table, unpair};
use crate::row::{SeriesRow, StudyRow};
use crate::{IndexError, Inside, encode};

impl Reader<'_> {
    /// Studies in order of arrival, from an ordinal on. The blocks are not kept: nobody else asks for them soon.
    pub(super) fn arrivals(&self, from: u64, limit: usize) -> Result<Vec<StudyRow>, IndexError> {
        self.once(Table::Studies, &from.to_be_bytes())?.collect(limit, |_, value| encode::study(value))
    }

    /// Series, packs and instances of a study.
    pub(super) fn walk_study(&self, study: &StudyRow, each: &mut dyn FnMut(Inside<'_>)) -> Result<(), IndexError> {
        let stored = self.prefix(Table::Series, &study.first_seq.to_be_bytes())?;
        let stored: Vec<(u64, SeriesRow)> = stored.collect(usize::MAX, |key, value| {
            Ok((unpair(Table::Series, key)?.1, encode::series(&study.key, value)?))
        })?;
        for (ordinal, row) in &stored {
            each(Inside::Series(row, &self.packs_of(*ordinal)?));
            let mut walk = self.in_series(&row.key, *ordinal, 0)?;
            while let Some(instance) = walk.row()? {
                each(Inside::Instance(&instance));
            }
        }
        Ok(())
    }
}
