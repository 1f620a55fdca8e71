//! Bringing the tables of an older program to the form this one writes.
//!
//! Nothing is on disk before the next flush, and then everything with the new format's number: after a crash in
//! between it is done again. Deliberately not here: the layouts of rows, which are read in every version there was.

use super::apply::{Applier, Mark};
use super::beyond;
use super::keys::{self, Pair};
use super::purge;
use super::read::{Reader, conflict, handle};
use super::retention::conflict_key;
use super::tables::{FORMAT, Table, UidKind, engine, unlogged, unpair};
use crate::attributes::{self, ROW_MAX};
use crate::codec::Encoder;
use crate::row::{PackRow, StudyRow, classes, modalities};
use crate::{IndexError, encode};
use rocksdb::{DB, WriteBatch};

/// Packs looked up at once.
const ROUND: usize = 1_000;

/// Upgrades a database of format `found`, which stands at `mark`.
pub(super) fn upgrade(db: &DB, found: u64, mark: Mark) -> Result<(), IndexError> {
    if found < 2 {
        conflicts(db)?;
    }
    if found < 3 {
        folds(db, mark)?;
    }
    if found < 4 {
        prepared(db)?;
    }
    if found < 5 {
        bounds(db, mark)?;
    }
    if found < 6 {
        lists(db, mark)?;
        values(db, mark)?;
    }
    if mark.applied == 0 {
        purge::begin(db)?;
    }
    let meta = handle(db, Table::Meta)?;
    let write = db.put_cf_opt(meta, b"format", u64::from(FORMAT).to_be_bytes(), &unlogged());
    write.map_err(engine("write the format"))
}

/// What the first format lacks: copies in conflict by the study they name.
fn conflicts(db: &DB) -> Result<(), IndexError> {
    let reader = Reader::new(db);
    let mut run = reader.prefix(Table::Conflicts, b"")?;
    while let Some((_, value)) = run.here()? {
        let row = conflict(value)?;
        let key = conflict_key(&row.key.study, row.seq);
        db.put_cf_opt(handle(db, Table::Uids)?, key, [], &unlogged()).map_err(engine("upgrade the index"))?;
        run.step();
    }
    Ok(())
}

/// What was prepared is not sealed in the third format: it goes, and is prepared again.
fn prepared(db: &DB) -> Result<(), IndexError> {
    let mut batch = WriteBatch::default();
    batch.delete_range_cf(handle(db, Table::Prepared)?, [].as_slice(), [u8::MAX; 10].as_slice());
    db.write_opt(batch, &unlogged()).map_err(engine("upgrade the index"))
}

/// What the fourth format did not bound: by how many words and values a study is found, what lies beside them, and how
/// many modalities its row has. Where keys lay that go is noted, for they name the patient.
fn bounds(db: &DB, mark: Mark) -> Result<(), IndexError> {
    let reader = Reader::new(db);
    let mut run = reader.once(Table::Studies, b"")?;
    while let Some((ordinal, value)) = run.here()? {
        let row = encode::study(value)?;
        let mut kept = row.modalities.clone();
        if modalities::trim(&mut kept) || !keys::is_within_bounds(&row) {
            bound(db, mark, ordinal, StudyRow { modalities: kept, ..row.clone() }, &keys::unbounded(&row))?;
        }
        run.step();
    }
    Ok(())
}

/// And how much of a value stands in the row of a study or series, and how many SOP classes.
fn values(db: &DB, mark: Mark) -> Result<(), IndexError> {
    let reader = Reader::new(db);
    let mut run = reader.once(Table::Studies, b"")?;
    while let Some((ordinal, value)) = run.here()? {
        let row = encode::study(value)?;
        // Nearly every row is short.
        if value.len() <= ROW_MAX && row.sop_classes.len() <= classes::CLASSES_MAX {
            run.step();
            continue;
        }
        let mut now = row.clone();
        if now.cut() | classes::trim(&mut now.sop_classes) {
            bound(db, mark, ordinal, now, &keys::emit(&row))?;
        }
        run.step();
    }
    let mut run = reader.once(Table::Series, b"")?;
    while let Some((key, value)) = run.here()? {
        if value.len() > ROW_MAX
            && let Some(study) = reader.study(unpair(Table::Series, key)?.0)?
        {
            let mut row = encode::series(&study.key, value)?;
            if attributes::cut(&mut row.attributes, |_| true) {
                let mut out = Encoder::default();
                encode::put_series(&mut out, &row);
                let write = db.put_cf_opt(handle(db, Table::Series)?, key, &out.bytes, &unlogged());
                write.map_err(engine("upgrade the index"))?;
            }
        }
        run.step();
    }
    Ok(())
}

fn bound(db: &DB, mark: Mark, ordinal: &[u8], row: StudyRow, before: &[Pair]) -> Result<(), IndexError> {
    let (table, mut batch, now) = (handle(db, Table::Keys)?, WriteBatch::default(), keys::emit(&row));
    for (key, _) in before.iter().filter(|pair| now.binary_search_by(|kept| kept.0.cmp(&pair.0)).is_err()) {
        batch.delete_cf(table, key);
        purge::note(db, &mut batch, mark.applied, Table::Keys, key)?;
    }
    now.iter().for_each(|(key, value)| batch.put_cf(table, key, value));
    let mut out = Encoder::default();
    encode::put_study(&mut out, &row);
    batch.put_cf(handle(db, Table::Studies)?, ordinal, &out.bytes);
    db.write_opt(batch, &unlogged()).map_err(engine("upgrade the index"))
}

/// What the fifth format did not bound: how many patients and studies stand in one list under their UID.
fn lists(db: &DB, mark: Mark) -> Result<(), IndexError> {
    let reader = Reader::new(db);
    let mut run = reader.once(Table::Uids, &[UidKind::Study.letter()])?;
    while let Some((key, value)) = run.here()? {
        if let Some(batch) = beyond::split(db, mark.applied, key, value)? {
            db.write_opt(batch, &unlogged()).map_err(engine("upgrade the index"))?;
        }
        run.step();
    }
    Ok(())
}

/// What the second format lacks: folds of the instances that lie in packs.
fn folds(db: &DB, mark: Mark) -> Result<(), IndexError> {
    let mut applier = Applier::default();
    let mut after = None;
    loop {
        let rows: Vec<PackRow> = Reader::new(db).packs(after, ROUND)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.pack);
        for PackRow { series, .. } in &rows {
            let Some((_, ordinal)) = Reader::new(db).locate(series)? else { continue };
            applier.fold_packed(db, series, ordinal)?;
            applier.commit(db, mark)?;
        }
    }
}
