//! Long series whose instances lie in many packs: however they are folded, the answers are the oracle's.

use index::{Entry, Index, InstanceRow, Oracle, PackRow, Rocks, RocksOptions, SeriesKey, StudyKey, Whole, Whose};
use model::attribute::key;
use model::pack::{PackFact, Packed};
use model::retention::record::RejectReason;
use model::retention::{Person, RetentionFact, StudyRef};
use model::{
    Attributes, Digest, FacilityCode, Fact, Frames, Home, InstanceHead, Layout, Lsn, Outcome, PackId, PixelSpan, Place,
    Sameness, SamenessKind, SeriesQuiet, Span, StudyComplete, Uid, Via,
};
use std::path::Path;

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

fn facility() -> FacilityCode {
    FacilityCode::parse("56001").expect("code")
}

fn series_key(series: u32) -> SeriesKey {
    let study = StudyKey { facility: facility(), study: uid("1.2.1"), patient: 0 };
    SeriesKey { study, series: uid(&format!("1.3.{series}")) }
}

/// Of either kind.
fn sameness(byte: u8) -> Sameness {
    Sameness::new(SamenessKind::ALL[usize::from(byte % 2)], [byte; 32])
}

fn instance(rng: &mut fastrand::Rng, seq: u64, series: u32) -> Entry {
    let fragments: Vec<Span> = (0..rng.u64(1..40)).map(|at| Span { at: at * 1_000 + 900, len: 900 }).collect();
    let pixel = PixelSpan { tag: 0x7fe0_0010, header: 800, value: Span { at: 812, len: 40_000 }, end: 40_812 };
    let frames = match rng.u32(..3) {
        0 => Frames::None,
        1 => Frames::Native { count: 1, bits: 8 * 512 * 512 },
        _ => Frames::Encapsulated { fragments, starts: None },
    };
    let mut attributes = Attributes::from([
        (key::STUDY_INSTANCE_UID, "1.2.1".to_owned()),
        (key::PATIENT_ID, "P1".to_owned()),
        (key::STUDY_DATE, "20260102".to_owned()),
        (key::INSTANCE_NUMBER, rng.u32(1..3_000).to_string()),
    ]);
    if rng.bool() {
        attributes.insert(key::ROWS, "512".to_owned());
    }
    let head = InstanceHead {
        seq,
        facility: facility(),
        source: "ct-1".into(),
        received: 1_790_000_000_000 + seq * 7 - rng.u64(..30),
        via: Via::CStore,
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance: uid(&format!("1.4.{series}.{seq}")),
        study: uid("1.2.1"),
        series: series_key(series).series,
        transfer_syntax: uid("1.2.840.10008.1.2.1"),
        digest: sameness(rng.u8(..)),
        meta_digest: Digest([rng.u8(..); 32]),
        loose_crc: rng.u32(..),
        meta_len: 300,
        file_len: rng.u64(1_000..1_003),
        attributes,
        layout: Layout { pixel: Some(pixel), frames, dataset_len: 41_000 },
        flags: Vec::new(),
        outcome: Outcome::default(),
    };
    let place = Place { segment: 1, generation: 1, offset: seq * 64, head_len: 9, body_len: 9, blob: None };
    Entry { lsn: seq, fact: Fact::Instance(Box::new(head)), home: Some(Home::Journal(place)) }
}

fn packed(name: u8, series: u32, seqs: Vec<u64>) -> Packed {
    let SeriesKey { study, series } = series_key(series);
    Packed {
        pack: PackId::new([name; 16]),
        facility: study.facility,
        study: study.study,
        patient: study.patient,
        series,
        part: u32::from(name),
        len: 9,
        sha256: Digest([name; 32]),
        raw: 9,
        seqs,
        replaces: Vec::new(),
        at: 1,
    }
}

/// Two indexes that are told the same.
struct Both {
    oracle: Oracle,
    rocks: Rocks,
    lsn: Lsn,
}

impl Both {
    fn apply(&mut self, batch: &[Entry]) {
        self.oracle.apply(batch).expect("oracle");
        self.rocks.apply(batch).expect("rocks");
        self.lsn = batch.iter().map(|entry| entry.lsn).max().unwrap_or(0).max(self.lsn);
    }

    fn tell(&mut self, fact: Fact) {
        let lsn = self.lsn + 1;
        self.apply(&[Entry { lsn, fact, home: None }]);
    }

    fn pack(&mut self, name: u8, series: u32, seqs: Vec<u64>, replaces: Vec<u8>) {
        let replaces = replaces.into_iter().map(|name| PackId::new([name; 16])).collect();
        let packed = Packed { replaces, ..packed(name, series, seqs) };
        self.tell(Fact::Pack(Box::new(PackFact::Packed(packed))));
    }

    fn compare(&self, series: u32) {
        let rows = |index: &dyn Index, limit: usize| -> Vec<InstanceRow> {
            let (mut rows, mut cursor) = (Vec::new(), None);
            loop {
                let page = index.instances_of(&series_key(series), cursor.as_ref(), limit).expect("a page");
                rows.extend(page.rows);
                cursor = page.cursor;
                if cursor.is_none() {
                    return rows;
                }
            }
        };
        let expected = rows(&self.oracle, usize::MAX);
        for limit in [37, 256, 5_000] {
            assert!(rows(&self.rocks, limit) == expected, "series {series}, pages of {limit}");
        }
        for row in &expected {
            assert!(self.rocks.instance(&row.sop_instance).expect("rocks").iter().eq([row]));
            assert_eq!(self.rocks.layout(row).expect("rocks"), self.oracle.layout(row).expect("oracle"));
        }
        assert_eq!(dump(&self.rocks), dump(&self.oracle));
    }

    fn reopen(self, folder: &Path) -> Self {
        self.rocks.flush().expect("flush");
        drop(self.rocks);
        Self { rocks: Rocks::open(folder, RocksOptions::default()).expect("reopen"), ..self }
    }
}

fn dump(index: &dyn Index) -> Vec<u8> {
    let mut all = Vec::new();
    index.dump(&mut |bytes| all.extend_from_slice(bytes)).expect("dump");
    all
}

#[test]
fn long_series_in_many_packs_are_read_as_if_each_instance_had_a_row() {
    let folder = tempfile::tempdir().expect("folder");
    let mut rng = fastrand::Rng::with_seed(11);
    let rocks = Rocks::open(folder.path(), RocksOptions::default()).expect("open");
    let mut both = Both { oracle: Oracle::new(), rocks, lsn: 0 };
    // Two series that arrive together, so that seqs have gaps.
    let entries: Vec<Entry> = (1..=2_400).map(|seq| instance(&mut rng, seq, u32::from(seq % 3 == 0))).collect();
    entries.chunks(170).for_each(|batch| both.apply(batch));
    let of = |series: u64, wanted: &dyn Fn(u64) -> bool| -> Vec<u64> {
        let mine = (1..=2_400).filter(|seq| u64::from(seq % 3 == 0) == series && wanted(*seq));
        let mut seqs: Vec<u64> = mine.collect();
        seqs.reverse();
        seqs
    };
    // Packs whose instances lie between each other's, the younger ones first; some stay in the journal.
    both.pack(1, 0, of(0, &|seq| seq % 4 == 1 && seq > 400), Vec::new());
    both.compare(0);
    both.pack(2, 0, of(0, &|seq| seq % 4 == 2), Vec::new());
    both.pack(3, 1, of(1, &|seq| seq < 1_000), Vec::new());
    both = both.reopen(folder.path());
    both.compare(0);
    both.compare(1);
    // All in one, in place of the others; a late pack; facts told again.
    both.pack(4, 0, of(0, &|seq| seq <= 2_300), vec![1, 2]);
    both.pack(5, 0, of(0, &|seq| seq > 2_300), Vec::new());
    both.apply(&entries[100..300]);
    both.compare(0);
    let late = instance(&mut rng, both.lsn + 1, 0);
    both.apply(std::slice::from_ref(&late));
    both.compare(0);
    // One is rejected.
    let Fact::Instance(rejected) = &entries[600].fact else { unreachable!("the entries are instances") };
    both.tell(Fact::Retention(Box::new(RetentionFact::InstanceRejected {
        study: StudyRef { facility: facility(), study: uid("1.2.1"), patient: 0 },
        series: rejected.series.clone(),
        sop_instance: rejected.sop_instance.clone(),
        copy: 0,
        reason: RejectReason::Quality,
        by: Person::parse("lan").expect("a person"),
        at: 1,
    })));
    both.compare(0);
    both = both.reopen(folder.path());
    both.compare(1);
}

#[test]
fn whole_studies_make_the_index_that_their_facts_make() {
    let folder = tempfile::tempdir().expect("folder");
    let mut rng = fastrand::Rng::with_seed(13);
    let rocks = Rocks::open(&folder.path().join("told"), RocksOptions::default()).expect("open");
    let mut told = Both { oracle: Oracle::new(), rocks, lsn: 0 };
    let entries: Vec<Entry> = (1..=900).map(|seq| instance(&mut rng, seq, u32::from(seq % 3 == 0))).collect();
    told.apply(&entries);
    // Two parts of one series, in other orders than they arrived, and another series.
    let pack_of = |seq: u64| match (seq % 3, seq % 7) {
        (0, _) => (8u8, 1),
        (_, 0..=2) => (6, 0),
        _ => (7, 0),
    };
    let mut whole = Whole::default();
    for name in [6u8, 7, 8] {
        let mut seqs: Vec<u64> = (1..=900).filter(|seq| pack_of(*seq).0 == name).collect();
        rng.shuffle(&mut seqs);
        for (slot, seq) in (0..).zip(&seqs) {
            let Fact::Instance(head) = &entries[usize::try_from(seq - 1).expect("a place")].fact else { continue };
            whole.instances.push((InstanceHead::clone(head), PackId::new([name; 16]), slot));
        }
        let packed = packed(name, pack_of(seqs[0]).1, seqs);
        whole.packs.push(PackRow::of(&packed));
        told.tell(Fact::Pack(Box::new(PackFact::Packed(packed))));
    }
    // The first series is quiet, the other one still busy.
    for through in [899, 900, 3] {
        let SeriesKey { study: StudyKey { facility, study, patient }, series } = series_key(0);
        let quiet = SeriesQuiet { facility, study: study.clone(), patient, series, through, at: 1 };
        let complete = StudyComplete { facility, study, patient, through, at: 2 };
        for fact in [Fact::SeriesQuiet(quiet), Fact::StudyComplete(complete)] {
            whole.facts.push(fact.clone());
            told.tell(fact);
        }
    }
    whole.instances.sort_by_key(|(head, ..)| head.seq);
    let rocks = Rocks::open(&folder.path().join("loaded"), RocksOptions::default()).expect("open");
    let loaded = Both { oracle: Oracle::new(), rocks, lsn: 0 };
    loaded.oracle.load(std::slice::from_ref(&whole), 7).expect("oracle");
    loaded.rocks.load(std::slice::from_ref(&whole), 7).expect("rocks");
    assert!(dump(&loaded.rocks) == dump(&told.rocks), "the dumps differ");
    assert_eq!(loaded.rocks.stats().expect("loaded"), told.rocks.stats().expect("told"));
    assert_eq!((loaded.rocks.max_seq(), loaded.rocks.applied(), loaded.oracle.applied()), (900, 7, 7));
    loaded.compare(0);
    loaded.compare(1);
    let row = loaded.rocks.series(&series_key(0)).expect("read").expect("a row");
    assert_eq!(row.quiet_through, Some(900));
    let row = loaded.rocks.study(&series_key(0).study).expect("read").expect("a row");
    assert_eq!((row.complete_through, row.busy_series), (Some(900), 1));
    assert_eq!(
        loaded.rocks.busy_series(u64::MAX, 9).expect("busy"),
        told.rocks.busy_series(u64::MAX, 9).expect("busy")
    );
    let (study, series) = (uid("1.2.1"), series_key(0).series);
    let known = |both: &Both| {
        both.rocks.identity(facility(), &study, &series, &uid("1.4.0.1"), Whose::default()).expect("known")
    };
    assert_eq!(known(&loaded), known(&told));
}

/// All keys and values of a table, past the index.
fn raw<T>(folder: &Path, work: impl FnOnce(&rocksdb::DB) -> T) -> T {
    let mut options = rocksdb::Options::default();
    options.set_atomic_flush(true);
    let tables = rocksdb::DB::list_cf(&options, folder).expect("tables");
    let db = rocksdb::DB::open_cf(&options, folder, tables).expect("opens");
    work(&db)
}

fn table(db: &rocksdb::DB, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = db.iterator_cf(db.cf_handle(name).expect("a table"), rocksdb::IteratorMode::Start);
    rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).expect("a row")).collect()
}

#[test]
fn an_index_of_the_second_format_is_folded_when_it_is_opened() {
    let (now, old) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let mut rng = fastrand::Rng::with_seed(12);
    let entries: Vec<Entry> = (1..=700).map(|seq| instance(&mut rng, seq, 0)).collect();
    let rocks = Rocks::open(now.path(), RocksOptions::default()).expect("open");
    let mut both = Both { oracle: Oracle::new(), rocks, lsn: 0 };
    both.apply(&entries);
    both.pack(9, 0, (1..=600).collect(), Vec::new());
    let wanted = dump(&both.rocks);
    drop(both.reopen(now.path()));
    // The older program left every instance a row of its own, wherever it lies.
    let home = |seq: u64| Home::Pack { pack: PackId::new([9; 16]), slot: u32::try_from(seq - 1).expect("a slot") };
    let rows: Vec<Entry> = entries
        .into_iter()
        .map(|entry| if entry.lsn <= 600 { Entry { home: Some(home(entry.lsn)), ..entry } } else { entry })
        .collect();
    let index = Rocks::open(old.path(), RocksOptions::default()).expect("open");
    index.apply(&rows).expect("apply");
    index.flush().expect("flush");
    drop(index);
    let packs = raw(now.path(), |db| table(db, "packs"));
    raw(old.path(), |db| {
        assert_eq!(table(db, "instances").len(), 700);
        let cf = db.cf_handle("packs").expect("a table");
        packs.iter().for_each(|(key, value)| db.put_cf(cf, key, value).expect("put"));
        db.put_cf(db.cf_handle("meta").expect("a table"), "format", 2u64.to_be_bytes()).expect("put");
        db.flush_cf(cf).expect("flush");
    });
    raw_without_folds(old.path());
    let index = Rocks::open(old.path(), RocksOptions::default()).expect("upgrades");
    assert!(dump(&index) == wanted, "the upgraded index differs");
    index.flush().expect("flush");
    drop(index);
    raw(old.path(), |db| {
        assert_eq!((table(db, "instances").len(), table(db, "folds").len()), (100, 3));
        assert!(table(db, "layouts").len() < 100);
    });
}

/// The table is younger than the format.
fn raw_without_folds(folder: &Path) {
    let mut options = rocksdb::Options::default();
    options.set_atomic_flush(true);
    let tables = rocksdb::DB::list_cf(&options, folder).expect("tables");
    let mut db = rocksdb::DB::open_cf(&options, folder, tables).expect("opens");
    db.drop_cf("folds").expect("dropped");
}
