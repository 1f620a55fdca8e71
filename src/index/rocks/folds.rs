//! The table `folds`: instances of a series that lie in packs; and walking them together with those that do not.
//!
//! The folds of a series never overlap: an instance is in the last fold that begins at or before its `seq` or in none.
//! So one look finds an instance, and a walk in order of arrival opens one fold after the other.
//! Deliberately not here: what a fold looks like ([`crate::encode`]).

use super::apply::{Applier, instance_row};
use super::read::{Reader, Run, get_now, handle, second};
use super::tables::{Table, pair};
use crate::encode::{Fold, Folded, folds};
use crate::row::{InstanceRow, SeriesKey};
use crate::{IndexError, encode};
use model::{Home, Layout, PackId};
use rocksdb::{DB, WriteBatch};
use std::collections::BTreeMap;

/// The fold that an instance would lie in, and its `seq` at the beginning.
fn fold_for(reader: &Reader<'_>, key: &SeriesKey, series: u64, seq: u64) -> Result<Option<(u64, Fold)>, IndexError> {
    let mut run = reader.prefix(Table::Folds, &series.to_be_bytes())?;
    run.seek_back(&pair(series, seq));
    match run.here()? {
        Some((at, value)) if at.starts_with(&series.to_be_bytes()) => {
            Ok(Some((second(Table::Folds, at)?, Fold::open(key, value)?)))
        }
        _ => Ok(None),
    }
}

impl Reader<'_> {
    /// A folded instance.
    pub(super) fn folded(&self, key: &SeriesKey, series: u64, seq: u64) -> Result<Option<InstanceRow>, IndexError> {
        let Some((_, fold)) = fold_for(self, key, series, seq)? else { return Ok(None) };
        fold.position(seq).ok().map(|at| fold.row(at)).transpose()
    }

    /// The layout of a folded instance, where its row does not say it.
    pub(super) fn folded_layout(&self, row: &InstanceRow) -> Result<Option<Layout>, IndexError> {
        let Some((_, series)) = self.locate(&row.key)? else { return Ok(None) };
        let Some((_, fold)) = fold_for(self, &row.key, series, row.seq)? else { return Ok(None) };
        let whole = fold.position(row.seq).ok().map(|at| fold.whole(at)).transpose()?;
        Ok(whole.and_then(|whole| whole.layout))
    }

    /// The instances of a series in order of arrival, from a `seq` on.
    pub(super) fn in_series<'a>(
        &'a self,
        key: &'a SeriesKey,
        series: u64,
        from: u64,
    ) -> Result<InSeries<'a>, IndexError> {
        let end = series.checked_add(1).map(|next| next.to_be_bytes().to_vec());
        let loose = self.run(Table::Instances, &pair(series, from), end)?;
        let packed = self.prefix(Table::Folds, &series.to_be_bytes())?;
        let mut walk = InSeries { reader: self, key, series, loose, packed, open: None };
        walk.seek_folds(from)?;
        Ok(walk)
    }
}

/// The instances of a series in order of arrival, wherever they lie.
pub(super) struct InSeries<'a> {
    reader: &'a Reader<'a>,
    key: &'a SeriesKey,
    series: u64,
    loose: Run<'a>,
    packed: Run<'a>,
    /// The fold that is open, and which of its instances is next.
    open: Option<(Fold, usize)>,
}

/// Where the next instance lies.
enum Next {
    Loose,
    Packed,
}

impl InSeries<'_> {
    /// Goes to an instance, or to the next one that arrived.
    pub(super) fn seek(&mut self, seq: u64) -> Result<(), IndexError> {
        self.loose.seek(&pair(self.series, seq));
        self.seek_folds(seq)
    }

    fn seek_folds(&mut self, seq: u64) -> Result<(), IndexError> {
        let series = self.series.to_be_bytes();
        self.packed.seek_back(&pair(self.series, seq));
        if !self.packed.here()?.is_some_and(|(key, _)| key.starts_with(&series)) {
            self.packed.seek(&series);
        }
        self.open()?;
        if let Some((fold, at)) = &mut self.open {
            *at = fold.position(seq).unwrap_or_else(|next| next);
        }
        self.fill()
    }

    /// Opens the fold that the walk stands on, and steps to the next.
    fn open(&mut self) -> Result<(), IndexError> {
        self.open =
            self.packed.here()?.map(|(_, value)| Fold::open(self.key, value)).transpose()?.map(|fold| (fold, 0));
        self.packed.step();
        Ok(())
    }

    /// Opens the next fold when this one is at its end.
    fn fill(&mut self) -> Result<(), IndexError> {
        while self.open.as_ref().is_some_and(|(fold, at)| fold.seq(*at).is_none()) {
            self.open()?;
        }
        Ok(())
    }

    fn next(&self) -> Result<Option<Next>, IndexError> {
        let loose = self.loose.here()?.map(|(key, _)| second(Table::Instances, key)).transpose()?;
        let packed = self.open.as_ref().and_then(|(fold, at)| fold.seq(*at));
        Ok(match (loose, packed) {
            (None, None) => None,
            (Some(loose), Some(packed)) if loose < packed => Some(Next::Loose),
            (Some(_), None) => Some(Next::Loose),
            _ => Some(Next::Packed),
        })
    }

    fn loose(&mut self) -> Result<Option<InstanceRow>, IndexError> {
        let row = self.loose.here()?.map(|(_, value)| encode::instance(self.key, value)).transpose()?;
        self.loose.step();
        Ok(row)
    }

    /// The next row.
    pub(super) fn row(&mut self) -> Result<Option<InstanceRow>, IndexError> {
        match self.next()? {
            None => Ok(None),
            Some(Next::Loose) => self.loose(),
            Some(Next::Packed) => {
                let row = self.open.as_ref().map(|(fold, at)| fold.row(*at)).transpose()?;
                self.step()?;
                Ok(row)
            }
        }
    }

    /// The next row with its layout.
    pub(super) fn whole(&mut self) -> Result<Option<(InstanceRow, Layout)>, IndexError> {
        match self.next()? {
            None => Ok(None),
            Some(Next::Loose) => {
                let Some(row) = self.loose()? else { return Ok(None) };
                let layout = self.reader.layout(&row)?;
                Ok(Some((row, layout)))
            }
            Some(Next::Packed) => {
                let whole = self.open.as_ref().map(|(fold, at)| fold.whole(*at)).transpose()?;
                self.step()?;
                let Some(Folded { row, layout, .. }) = whole else { return Ok(None) };
                let missing = IndexError::Damaged { table: Table::Folds.name(), what: "no layout for an instance" };
                let layout = layout.or_else(|| row.plain_layout()).ok_or(missing)?;
                Ok(Some((row, layout)))
            }
        }
    }

    fn step(&mut self) -> Result<(), IndexError> {
        if let Some((_, at)) = &mut self.open {
            *at += 1;
        }
        self.fill()
    }
}

/// A fold between reading and writing.
struct Cell {
    /// Where the next stored fold of the series begins.
    until: u64,
    dirty: bool,
    rows: BTreeMap<u64, Folded>,
}

/// Folds that one batch changes, by series and the `seq` they are stored under.
#[derive(Default)]
pub(super) struct FoldCells {
    cells: BTreeMap<(u64, u64), Cell>,
}

impl FoldCells {
    fn load(&mut self, db: &DB, key: &SeriesKey, series: u64, seq: u64) -> Result<&mut Cell, IndexError> {
        let known = self.cells.range((series, 0)..=(series, seq)).next_back();
        let begin = match known.filter(|(_, cell)| seq < cell.until) {
            Some((place, _)) => place.1,
            None => self.read(db, key, series, seq)?,
        };
        let empty = || Cell { until: u64::MAX, dirty: false, rows: BTreeMap::new() };
        Ok(self.cells.entry((series, begin)).or_insert_with(empty))
    }

    /// Reads the fold that an instance belongs to; gives the `seq` it is stored under, 0 for a new one before all.
    fn read(&mut self, db: &DB, key: &SeriesKey, series: u64, seq: u64) -> Result<u64, IndexError> {
        let prefix = series.to_be_bytes();
        let reader = Reader::new(db);
        let mut run = reader.prefix(Table::Folds, &prefix)?;
        run.seek_back(&pair(series, seq));
        let (mut begin, mut rows) = (0, BTreeMap::new());
        match run.here()?.filter(|(place, _)| place.starts_with(&prefix)) {
            Some((place, value)) => {
                begin = second(Table::Folds, place)?;
                rows.extend(Fold::open(key, value)?.all()?.into_iter().map(|folded| (folded.row.seq, folded)));
                run.step();
            }
            None => run.seek(&prefix),
        }
        let until = run.here()?.map(|(place, _)| second(Table::Folds, place)).transpose()?.unwrap_or(u64::MAX);
        self.cells.insert((series, begin), Cell { until, dirty: false, rows });
        Ok(begin)
    }

    /// A folded instance.
    pub(super) fn get(
        &mut self,
        db: &DB,
        key: &SeriesKey,
        series: u64,
        seq: u64,
    ) -> Result<Option<&Folded>, IndexError> {
        Ok(self.load(db, key, series, seq)?.rows.get(&seq))
    }

    /// Folds an instance.
    pub(super) fn put(&mut self, db: &DB, series: u64, folded: Folded) -> Result<(), IndexError> {
        let (key, seq) = (folded.row.key.clone(), folded.row.seq);
        let cell = self.load(db, &key, series, seq)?;
        cell.rows.insert(seq, folded);
        cell.dirty = true;
        Ok(())
    }

    /// Writes every fold that changed, and forgets all.
    pub(super) fn write(&mut self, db: &DB, batch: &mut WriteBatch) -> Result<(), IndexError> {
        for ((series, _), cell) in std::mem::take(&mut self.cells).into_iter().filter(|(_, cell)| cell.dirty) {
            let table = handle(db, Table::Folds)?;
            // The first stays the first: nothing that begins before a fold is put into it.
            for (first, value) in folds(cell.rows.values()) {
                batch.put_cf(table, pair(series, first), value);
            }
        }
        Ok(())
    }
}

impl Applier {
    /// The row of an instance of a series, and whether it is folded.
    pub(super) fn row_of(
        &mut self,
        db: &DB,
        key: &SeriesKey,
        series: u64,
        seq: u64,
    ) -> Result<Option<(InstanceRow, bool)>, IndexError> {
        if let Some(row) = instance_row(db, key, series, seq)? {
            return Ok(Some((row, false)));
        }
        if series == 0 {
            return Ok(None);
        }
        Ok(self.folds.get(db, key, series, seq)?.map(|folded| (folded.row.clone(), true)))
    }

    /// Writes a row that [`Applier::row_of`] gave.
    pub(super) fn put_again(&mut self, db: &DB, row: InstanceRow, series: u64, folded: bool) -> Result<(), IndexError> {
        match row.home {
            Home::Pack { pack, slot } if folded => self.fold(db, row, series, (pack, slot), true),
            _ => self.put_row(db, &row, series),
        }
    }

    /// Folds an instance of a series that lies in a pack now.
    pub(super) fn fold(
        &mut self,
        db: &DB,
        row: InstanceRow,
        series: u64,
        home: (PackId, u32),
        folded: bool,
    ) -> Result<(), IndexError> {
        let seq = row.seq.to_be_bytes();
        let layout = if folded {
            self.folds.get(db, &row.key, series, row.seq)?.and_then(|folded| folded.layout.clone())
        } else {
            self.batch.delete_cf(handle(db, Table::Instances)?, pair(series, row.seq));
            match row.plain_layout() {
                Some(_) => None,
                None => {
                    self.batch.delete_cf(handle(db, Table::Layouts)?, seq);
                    get_now(db, Table::Layouts, &seq, encode::layout)?
                }
            }
        };
        self.folds.put(db, series, Folded::new(row, home, layout))
    }

    /// Folds every instance of a series whose row says that it lies in a pack.
    pub(super) fn fold_packed(&mut self, db: &DB, key: &SeriesKey, series: u64) -> Result<(), IndexError> {
        let reader = Reader::new(db);
        let mut run = reader.prefix(Table::Instances, &series.to_be_bytes())?;
        while let Some((_, value)) = run.here()? {
            let row = encode::instance(key, value)?;
            if let Home::Pack { pack, slot } = row.home {
                self.fold(db, row, series, (pack, slot), false)?;
            }
            run.step();
        }
        Ok(())
    }

    /// Removes every fold of a series.
    pub(super) fn remove_folds(&mut self, db: &DB, series: u64) -> Result<(), IndexError> {
        let reader = Reader::new(db);
        for key in reader.prefix(Table::Folds, &series.to_be_bytes())?.collect(usize::MAX, |key, _| Ok(key.to_vec()))? {
            self.batch.delete_cf(handle(db, Table::Folds)?, key);
        }
        Ok(())
    }
}
