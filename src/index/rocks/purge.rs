//! Rewriting what destructions left in the database's files: deleted rows stay there until a compaction meets them.
//!
//! A destruction notes under `Z` in the table `meta` where its rows lay. Only files that hold something there are
//! rewritten, so the work grows with what was destroyed and not with the archive. What was prepared lies in files of
//! large values that cannot be rewritten in part: each value is sealed by a key of its own that lies among the rows
//! ([`super::prepared`]) and goes with them.
//! Deliberately not here: kept manifests, which hold no patient data; their room comes back in time.

use super::apply::Applier;
use super::read::{Reader, after_prefix, get_now, handle};
use super::tables::{Table, engine, flush, number, unlogged};
use crate::IndexError;
use model::Lsn;
use parking_lot::Mutex;
use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, WriteBatch};
use std::collections::{BTreeMap, HashSet};

/// Notes read at once; with more of them every file is rewritten.
const NOTES_MAX: usize = 1_000_000;
/// Notes forgotten by one write.
const NOTES_A_WRITE: usize = 10_000;
/// Length of the key that makes the list of files grow, in bytes.
const LIST_KEY: usize = 60 << 10;
/// Files with that key at most.
const LIST_ROUNDS: usize = 400;
/// Whether no file is older than these notes.
const NOTED: &[u8] = b"noted";

/// Tables with rows that tell of a study or a patient, and the byte that stands for each in a note.
const TABLES: [(u8, Table); 12] = [
    (b'a', Table::Studies),
    (b'b', Table::Series),
    (b'c', Table::Instances),
    (b'd', Table::Conflicts),
    (b'e', Table::Folds),
    (b'f', Table::Uids),
    (b'g', Table::Keys),
    (b'h', Table::Prepared),
    (b'i', Table::Retention),
    (b'j', Table::Rows),
    (b'k', Table::Terms),
    (b'l', Table::Words),
];

/// Where rows of destroyed studies lay.
struct Notes {
    /// Beginnings of keys by table, in order.
    gone: BTreeMap<u8, Vec<Vec<u8>>>,
    /// Newest destruction that is among them.
    through: Lsn,
    /// Whether every file may hold something: there are too many notes, or none were made once.
    whole: bool,
}

impl Applier {
    /// Notes that rows whose keys begin so were removed by a destruction.
    pub(super) fn note_gone(&mut self, db: &DB, lsn: Lsn, table: Table, start: &[u8]) -> Result<(), IndexError> {
        note(db, &mut self.batch, lsn, table, start)
    }
}

/// Notes that rows whose keys begin so are removed by a batch. Numbers of notes rise.
pub(crate) fn note(db: &DB, batch: &mut WriteBatch, number: u64, table: Table, start: &[u8]) -> Result<(), IndexError> {
    if let Some((code, _)) = TABLES.iter().find(|(_, known)| *known == table) {
        let key = [b"Z".as_slice(), &[*code], start].concat();
        batch.put_cf(handle(db, Table::Meta)?, key, number.to_be_bytes());
    }
    Ok(())
}

/// Rewrites the files of a database in which something that was noted may stand; gives the bytes written. The applier
/// is kept waiting only while some of the notes are forgotten.
pub(crate) fn purge<T>(db: &DB, applier: &Mutex<T>, tables: &[Table]) -> Result<u64, IndexError> {
    flush(db, tables)?;
    let notes = notes(db)?;
    let written = rewrite(db, &notes)?;
    forget(db, applier, &notes)?;
    flush(db, tables)?;
    finish(db)?;
    Ok(written)
}

/// An empty database: whatever will be destroyed in it is noted.
pub(crate) fn begin(db: &DB) -> Result<(), IndexError> {
    let write = db.put_cf_opt(handle(db, Table::Meta)?, NOTED, 1u64.to_be_bytes(), &unlogged());
    write.map_err(engine("write the format"))
}

/// What was noted so far.
fn notes(db: &DB) -> Result<Notes, IndexError> {
    let noted = get_now(db, Table::Meta, NOTED, |_| Ok(()))?.is_some();
    let mut notes = Notes { gone: BTreeMap::new(), through: 0, whole: !noted };
    let (reader, mut count) = (Reader::new(db), 0);
    let mut run = reader.prefix(Table::Meta, b"Z")?;
    while let Some((key, value)) = run.here()? {
        notes.through = notes.through.max(number(Table::Meta, value)?);
        count += 1;
        notes.whole |= count > NOTES_MAX;
        if let [_, code, start @ ..] = key
            && !notes.whole
        {
            notes.gone.entry(*code).or_default().push(start.to_vec());
        }
        run.step();
    }
    Ok(notes)
}

/// Rewrites what was noted; gives the bytes of the files that were written.
fn rewrite(db: &DB, notes: &Notes) -> Result<u64, IndexError> {
    let before: HashSet<String> = files(db)?.into_iter().map(|file| file.name).collect();
    for (code, table) in TABLES.into_iter().filter(|(_, table)| db.cf_handle(table.name()).is_some()) {
        if notes.whole {
            compact_all(db, table)?;
        } else if let Some(gone) = notes.gone.get(&code) {
            compact_parts(db, table, gone)?;
        }
    }
    let fresh = files(db)?.into_iter().filter(|file| !before.contains(&file.name));
    Ok(fresh.map(|file| u64::try_from(file.size).unwrap_or(0)).sum())
}

/// Forgets what was rewritten, some notes at a time: the applier goes on in between.
fn forget<T>(db: &DB, applier: &Mutex<T>, notes: &Notes) -> Result<(), IndexError> {
    let meta = handle(db, Table::Meta)?;
    let mut from = b"Z".to_vec();
    loop {
        let _applier = applier.lock();
        let reader = Reader::new(db);
        let mut run = reader.run(Table::Meta, &from, after_prefix(b"Z"))?;
        let (mut batch, mut seen) = (WriteBatch::default(), 0);
        while seen < NOTES_A_WRITE
            && let Some((key, value)) = run.here()?
        {
            // What was destroyed since then is due the next time.
            if number(Table::Meta, value)? <= notes.through {
                batch.delete_cf(meta, key);
            }
            from = [key, &[0]].concat();
            seen += 1;
            run.step();
        }
        if seen == 0 {
            return begin(db);
        }
        db.write_opt(batch, &unlogged()).map_err(engine("forget what was rewritten"))?;
    }
}

/// Removes the notes themselves from the files: keys hold words of names.
fn finish(db: &DB) -> Result<(), IndexError> {
    compact_all(db, Table::Meta)?;
    rewrite_list(db)
}

fn files(db: &DB) -> Result<Vec<rocksdb::LiveFile>, IndexError> {
    db.live_files().map_err(engine("list the files"))
}

fn options() -> CompactOptions {
    let mut options = CompactOptions::default();
    options.set_exclusive_manual_compaction(false);
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    options
}

fn compact_all(db: &DB, table: Table) -> Result<(), IndexError> {
    db.compact_range_cf_opt(handle(db, table)?, None::<&[u8]>, None::<&[u8]>, &options());
    Ok(())
}

/// Rewrites the files in which keys with one of these beginnings lie; those that share a file together.
fn compact_parts(db: &DB, table: Table, starts: &[Vec<u8>]) -> Result<(), IndexError> {
    let mut of_table: Vec<_> = files(db)?.into_iter().filter(|file| file.column_family_name == table.name()).collect();
    let lowest = of_table.iter().map(|file| file.level).max().unwrap_or(0);
    of_table.retain(|file| file.level == lowest);
    let mut borders: Vec<Vec<u8>> = of_table.into_iter().filter_map(|file| file.start_key).collect();
    borders.sort_unstable();
    let file_of = |key: &[u8]| borders.partition_point(|border| border.as_slice() <= key);
    for of_file in starts.chunk_by(|one, other| file_of(one) == file_of(other)) {
        if let (Some(first), Some(last)) = (of_file.first(), of_file.last()) {
            let end = after_prefix(last);
            db.compact_range_cf_opt(handle(db, table)?, Some(first), end, &options());
        }
    }
    Ok(())
}

/// Has the list of the database's files written anew: it names first and last keys of files that are gone, and keys
/// hold words of names. It is rewritten when it has grown enough, so it is made to grow, by files of one long key in a
/// table that nobody uses. What does not grow enough is rewritten at the next start.
fn rewrite_list(db: &DB) -> Result<(), IndexError> {
    let failed = engine("rewrite the list of files");
    let unused =
        db.cf_handle("default").ok_or(IndexError::Damaged { table: "default", what: "the table is missing" })?;
    let current = || std::fs::read(db.path().join("CURRENT")).unwrap_or_default();
    let (before, long) = (current(), vec![0; LIST_KEY]);
    for _ in 0..LIST_ROUNDS {
        let rewritten = current() != before;
        db.delete_cf_opt(unused, &long, &unlogged()).map_err(&failed)?;
        db.flush_cf(unused).map_err(&failed)?;
        db.compact_range_cf(unused, None::<&[u8]>, None::<&[u8]>);
        // Once more after it was rewritten: the old one goes with the next files that go.
        if rewritten {
            break;
        }
    }
    Ok(())
}
