//! The rows of the logical dump, in its order.
//!
//! Deliberately not here: its form ([`crate::dump`]), and the registry, which comes first.

use super::read::{Reader, conflict};
use super::tables::{Table, number, unpair};
use crate::{IndexError, dump, encode};

impl Reader<'_> {
    /// Studies with their series and instances, copies in conflict, packs, retention facts.
    pub(super) fn dump(&self, dump: &mut dump::Writer<'_>) -> Result<(), IndexError> {
        let mut studies = self.prefix(Table::Studies, b"")?;
        while let Some((key, value)) = studies.here()? {
            let ordinal = number(Table::Studies, key)?;
            let study = encode::study(value)?;
            dump.study(&study);
            let mut all_series = self.prefix(Table::Series, &ordinal.to_be_bytes())?;
            while let Some((key, value)) = all_series.here()? {
                let (_, series) = unpair(Table::Series, key)?;
                let row = encode::series(&study.key, value)?;
                dump.series(&row);
                let mut instances = self.in_series(&row.key, series, 0)?;
                while let Some((instance, layout)) = instances.whole()? {
                    dump.instance(&instance, &layout);
                }
                all_series.step();
            }
            studies.step();
        }
        let mut conflicts = self.prefix(Table::Conflicts, b"")?;
        while let Some((_, value)) = conflicts.here()? {
            let instance = conflict(value)?;
            dump.conflict(&instance, &self.layout(&instance)?);
            conflicts.step();
        }
        let mut after = None;
        loop {
            let rows = self.packs(after, 1_000)?;
            rows.iter().for_each(|row| dump.pack(row));
            after = rows.last().map(|row| row.pack);
            if after.is_none() {
                break;
            }
        }
        self.each_retention(&mut |lsn, fact| dump.retention(lsn, fact))
    }
}
