//! The tables of the RocksDB engine and the form of their keys. All numbers in keys are big endian.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `format`, `applied`, `max_seq`, `sweep`, `noted` | a number, 8 bytes |
//! | | `F` facility code; `S` source name; `D` AE title of a destination; `W` entry of forwarding | record number (8 bytes), entry as JSON |
//! | | `T` facility code; `U` source name | counts |
//! | | `Z`, table (1), beginning of keys | record number (8) of the destruction that removed them |
//! | `studies` | study (8) | study row |
//! | `series` | study (8), series (8) | series row |
//! | `instances` | series (8), `seq` (8) | instance row |
//! | `conflicts` | `seq` (8) | study key, Series Instance UID, instance row |
//! | `layouts` | `seq` (8) | layout, of encapsulated frames only |
//! | `folds` | series (8), `seq` of the first (8) | instances that lie in packs, folded, and their layouts |
//! | `uids` | `P`, packed Study Instance UID, facility | patients ([`super::lists`]) |
//! | | the same, patient (2) | list of the one patient of this number, from 16 on |
//! | | `N`, packed Study Instance UID, facility, `i` with a Patient ID, `e` with the folded name of a patient without one, or `n` with the folded name (length, text), patient (2) | empty: a patient with a number from 16 on is found by it |
//! | | `S`, packed Series Instance UID, facility | series |
//! | | the same, packed Study Instance UID, patient (2) | list of the one series of this study and patient, one of which has a number from 16 on |
//! | | `M`, packed Series Instance UID, facility, packed Study Instance UID and patient (2) of the study it stands in | end of the key of such a series that stands elsewhere than it was received in: packed Study Instance UID, patient (2) |
//! | | `I`, packed SOP Instance UID, facility | copies |
//! | | `C`, packed Study Instance UID, facility, patient (2), `seq` (8) | empty: a copy in conflict names this study |
//! | `keys` | see [`super::keys`] | |
//! | `pending` | `B`, second of last receipt (8), series (8) | study (8): the series is busy |
//! | | `Q`, second of last receipt (8), series (8) | study (8): it is quiet, and some instance is in no pack |
//! | | `C`, study (8) | empty: the study waits for its "complete" fact |
//! | `prepared` | series (8) | newest `seq` covered (8), document, sealed |
//! | | series (8), `t` | newest `seq` covered (8), thumbnail as JPEG, sealed; empty: there is no picture |
//! | | one of these, `k` | the key that seals it (32) |
//! | `packs` | `I`, pack (16) | series (8), pack row |
//! | | `S`, series (8), pack (16) | empty |
//! | | `D`, pack (16) | zeros (8), pack row: its study is destroyed, its bytes may still lie somewhere |
//! | `manifests` | pack (16) | whatever the archive keeps of the manifest |
//! | `tombstones` | packed Study Instance UID, facility | what was destroyed ([`super::lists`]) |
//! | `retention` | `L`, record number (8) | retention fact as JSON |
//! | | `G`, record number (8) | empty: it is about no one study, a late instance, or what a rejection note says |
//! | | `S`, packed Study Instance UID, facility, patient (2), record number (8) | empty |
//!
//! The ordinal of a study or series is the `seq` of its first instance: unique, short, ascending, and the same
//! after a rebuild. It is never visible outside.

use super::read::handle;
use crate::IndexError;
use crate::codec::Encoder;
use crate::row::PreparedKind;
use model::{FacilityCode, Uid};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, FlushOptions,
    LogLevel, Options, WriteOptions,
};
use std::path::Path;

/// Newest format of keys and tables; rows have versions of their own.
pub(super) const FORMAT: u32 = 6;

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Meta,
    Studies,
    Series,
    Instances,
    Conflicts,
    Layouts,
    Folds,
    Uids,
    Keys,
    Pending,
    Prepared,
    Packs,
    Manifests,
    Tombstones,
    Retention,
    /// Of charts: see [`crate::charts::keys`].
    Rows,
    Terms,
    Words,
}

impl Table {
    /// Those of the index of objects.
    pub(super) const ALL: [Self; 15] = [
        Self::Meta,
        Self::Studies,
        Self::Series,
        Self::Instances,
        Self::Conflicts,
        Self::Layouts,
        Self::Folds,
        Self::Uids,
        Self::Keys,
        Self::Pending,
        Self::Prepared,
        Self::Packs,
        Self::Manifests,
        Self::Tombstones,
        Self::Retention,
    ];

    /// Those of the index of charts.
    pub(crate) const CHARTS: [Self; 4] = [Self::Meta, Self::Rows, Self::Terms, Self::Words];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Studies => "studies",
            Self::Series => "series",
            Self::Instances => "instances",
            Self::Conflicts => "conflicts",
            Self::Layouts => "layouts",
            Self::Folds => "folds",
            Self::Uids => "uids",
            Self::Keys => "keys",
            Self::Pending => "pending",
            Self::Prepared => "prepared",
            Self::Packs => "packs",
            Self::Manifests => "manifests",
            Self::Tombstones => "tombstones",
            Self::Retention => "retention",
            Self::Rows => "rows",
            Self::Terms => "terms",
            Self::Words => "words",
        }
    }
}

/// What kind of UID a key of the table `uids` begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UidKind {
    Study,
    Series,
    Instance,
    /// Copies in conflict, by the study they name.
    Conflict,
    /// Patients beyond those in the list of a study, by ID and name.
    Person,
    /// Series beyond those in the list of a series, by the study they stand in.
    Moved,
}

impl UidKind {
    /// What its keys begin with.
    pub(super) const fn letter(self) -> u8 {
        match self {
            Self::Study => b'P',
            Self::Series => b'S',
            Self::Instance => b'I',
            Self::Conflict => b'C',
            Self::Person => b'N',
            Self::Moved => b'M',
        }
    }
}

/// The beginning of all keys of a UID, whatever the facility.
pub(super) fn uid_prefix(kind: UidKind, uid: &Uid) -> Vec<u8> {
    let mut key = Encoder::with_capacity(40);
    key.byte(kind.letter());
    key.uid(uid);
    key.bytes
}

/// The key of a UID in a facility.
pub(super) fn uid_key(kind: UidKind, uid: &Uid, facility: FacilityCode) -> Vec<u8> {
    let mut key = uid_prefix(kind, uid);
    key.extend_from_slice(facility.as_bytes());
    key
}

/// The key of what was prepared for a series.
pub(super) fn prepared_key(series: u64, kind: PreparedKind) -> Vec<u8> {
    let mut key = series.to_be_bytes().to_vec();
    match kind {
        PreparedKind::Metadata => {}
        PreparedKind::Thumbnail => key.push(b't'),
    }
    key
}

/// Two numbers as a key.
pub(super) fn pair(first: u64, second: u64) -> [u8; 16] {
    (u128::from(first) << 64 | u128::from(second)).to_be_bytes()
}

/// The two numbers of a key made by [`pair`].
pub(super) fn unpair(table: Table, key: &[u8]) -> Result<(u64, u64), IndexError> {
    let both = <[u8; 16]>::try_from(key).map(u128::from_be_bytes).map_err(|_| bad_key(table))?;
    let low = u64::try_from(both & u128::from(u64::MAX)).map_err(|_| bad_key(table))?;
    Ok((u64::try_from(both >> 64).map_err(|_| bad_key(table))?, low))
}

/// A number of 8 bytes.
pub(crate) fn number(table: Table, bytes: &[u8]) -> Result<u64, IndexError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| bad_key(table))
}

pub(crate) fn bad_key(table: Table) -> IndexError {
    IndexError::Damaged { table: table.name(), what: "a key or number has the wrong length" }
}

/// After this long a file is rewritten without what was deleted since.
const REWRITE_SECONDS: u64 = 60 * 86_400;

/// A file of keys that are soon deleted is rewritten where so many keys in a row hold so many that are.
const DELETED: (usize, usize) = (1024, 512);

/// How much memory and how many threads RocksDB may use.
#[derive(Debug, Clone, Copy)]
pub struct RocksOptions {
    /// Cache of blocks read, in bytes.
    pub block_cache_bytes: usize,
    /// Rows not yet written to files, over all tables, in bytes; reaching it starts a flush of all tables.
    pub write_buffer_bytes: usize,
    /// Threads for flushes and compactions.
    pub background_jobs: i32,
    /// Length of the files of a table, about, in bytes: the least that is rewritten where something was destroyed.
    pub file_bytes: u64,
    /// Whether rows are compressed; whoever looks for bytes in the files says no.
    pub compressed: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        let (block_cache_bytes, write_buffer_bytes) = (128 << 20, 96 << 20);
        Self { block_cache_bytes, write_buffer_bytes, background_jobs: 2, file_bytes: 64 << 20, compressed: true }
    }
}

/// Opens or creates a database and its tables; one with others is of a newer format.
pub(crate) fn open(path: &Path, options: &RocksOptions, known: &[Table], format: u32) -> Result<DB, IndexError> {
    if path.join("CURRENT").exists() {
        let tables = DB::list_cf(&Options::default(), path).map_err(engine("list the tables"))?;
        let is_known = |name: &String| name == "default" || known.iter().any(|table| table.name() == name);
        if !tables.iter().all(is_known) {
            return Err(IndexError::Newer { found: format + 1, known: format });
        }
    }
    let mut whole = Options::default();
    whole.create_if_missing(true);
    whole.create_missing_column_families(true);
    // The journal is the log: all tables flush together, so that they stand at one position after a crash.
    whole.set_atomic_flush(true);
    whole.set_db_write_buffer_size(options.write_buffer_bytes);
    whole.set_max_background_jobs(options.background_jobs);
    whole.set_bytes_per_sync(1 << 20);
    whole.set_keep_log_file_num(4);
    whole.set_max_log_file_size(4 << 20);
    whole.set_log_level(LogLevel::Warn);
    // Small, because it names keys of files that are gone; see `purge`.
    whole.set_max_manifest_file_size(256 << 10);
    let cache = Cache::new_lru_cache(options.block_cache_bytes);
    let of_table = |table: &Table| ColumnFamilyDescriptor::new(table.name(), table_options(*table, options, &cache));
    let mut tables: Vec<_> = known.iter().map(of_table).collect();
    tables.push(ColumnFamilyDescriptor::new("default", Options::default()));
    DB::open_cf_descriptors(&whole, path, tables).map_err(engine("open the database"))
}

fn table_options(table: Table, options: &RocksOptions, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(8 << 10);
    // Indexes and filters count against the cache, in small parts: whole ones of large files would push each other
    // out of its shards and be read again, a megabyte at a time, for every single key.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_metadata_block_size(4 << 10);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_top_level_index_and_filter(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // The tables that are asked for keys that are not there, on the way to every acknowledgement.
    let asked = matches!(table, Table::Uids | Table::Layouts | Table::Meta | Table::Packs | Table::Manifests);
    if asked || matches!(table, Table::Tombstones | Table::Instances | Table::Rows) {
        blocks.set_bloom_filter(10.0, false);
    }
    let mut of_table = Options::default();
    of_table.set_block_based_table_factory(&blocks);
    of_table.set_compression_type(if options.compressed { DBCompressionType::Lz4 } else { DBCompressionType::None });
    of_table.set_target_file_size_base(options.file_bytes);
    // As RocksDB has it by default. What is rewritten for a few rows is at most this and a file of each lower level.
    of_table.set_max_bytes_for_level_base(options.file_bytes.saturating_mul(4));
    // What was deleted without a destruction, the words of a name that was corrected say, leaves the files in time.
    of_table.set_periodic_compaction_seconds(REWRITE_SECONDS);
    of_table.set_write_buffer_size(options.write_buffer_bytes);
    if table == Table::Pending {
        // Keys live for minutes here, and every walk begins where the oldest were.
        of_table.add_compact_on_deletion_collector_factory(DELETED.0, DELETED.1, 0.0);
    }
    if matches!(table, Table::Prepared | Table::Manifests) {
        of_table.set_enable_blob_files(true);
        of_table.set_min_blob_size(4 << 10);
        of_table.set_enable_blob_gc(true);
    }
    of_table
}

/// Makes what these tables hold durable, all at one moment.
pub(crate) fn flush(db: &DB, tables: &[Table]) -> Result<(), IndexError> {
    let tables = tables.iter().map(|table| handle(db, *table)).collect::<Result<Vec<_>, _>>()?;
    let mut options = FlushOptions::default();
    options.set_wait(true);
    db.flush_cfs_opt(&tables, &options).map_err(engine("flush"))
}

/// Writes go to memory tables only; the journal replays what a crash loses.
pub(crate) fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// Names what the engine was doing.
pub(crate) fn engine(doing: &'static str) -> impl Fn(rocksdb::Error) -> IndexError {
    move |source| IndexError::Engine { doing, source: Box::new(source) }
}
