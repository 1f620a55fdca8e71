//! What one fact rejects or shows again, and which SOP classes a study shows then.

use super::read::Reader;
use crate::IndexError;
use crate::row::{SeriesKey, classes};
use model::Uid;
use std::collections::BTreeSet;

/// The served instances that one fact rejects or shows again.
#[derive(Default)]
pub(super) struct Judged {
    /// Whether they are shown from now on.
    pub(super) shown: bool,
    /// Their series and numbers: what is stored of them is not what holds.
    pub(super) at: BTreeSet<(u64, u64)>,
    /// Their SOP classes; of those rejected, in the end those that nothing shown has.
    pub(super) classes: BTreeSet<Uid>,
}

impl Judged {
    /// The classes of everything that a series still shows.
    pub(super) fn all_shown(
        &self,
        reader: &Reader<'_>,
        (key, series): (&SeriesKey, u64),
        shown: &mut BTreeSet<Uid>,
    ) -> Result<(), IndexError> {
        let mut walk = reader.in_series(key, series, 0)?;
        while let Some(row) = walk.row()? {
            if row.rejected.is_none() && !self.at.contains(&(series, row.seq)) {
                classes::take(shown, &row.sop_class);
            }
        }
        Ok(())
    }

    /// Strikes the classes of what a series still shows; reads no further than it must.
    pub(super) fn keep_shown(&mut self, reader: &Reader<'_>, key: &SeriesKey, series: u64) -> Result<(), IndexError> {
        let mut walk = reader.in_series(key, series, 0)?;
        while !self.classes.is_empty()
            && let Some(row) = walk.row()?
        {
            if row.rejected.is_none() && !self.at.contains(&(series, row.seq)) {
                self.classes.remove(&row.sop_class);
            }
        }
        Ok(())
    }
}
