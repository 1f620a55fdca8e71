//! Hundreds of patients under one Study Instance UID, and under one Series Instance UID: each is answered as the oracle
//! does, nothing grows with those before, and nothing of them stays behind.

use super::*;
use crate::rocks::tables::unlogged;
use crate::{Entry, Index, Oracle, PackRow, Rocks, RocksOptions, Whole};
use model::attribute::key;
use model::date::Date;
use model::pack::{PackFact, Packed};
use model::retention::decision::{Basis, CountedFrom};
use model::retention::record::Tombstone;
use model::retention::{
    ClassId, Made, MoveReason, Moved, Person, PlanId, RetentionFact, RuleId, RuleVersion, StudyRef, StudyVersion,
};
use model::{
    Attributes, Digest, Fact, Frames, Home, InstanceHead, Layout, Outcome, PackId, Place, Sameness, SeriesQuiet,
    StudyComplete, Via,
};

const MANY: u16 = 300;
/// More than any value in `uids` may have, where each patient is called as here.
const VALUE_MAX: usize = 2 << 10;

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a UID")
}

fn study(patient: u16) -> StudyKey {
    StudyKey { facility: FacilityCode::DEMO, study: uid("1.2.1"), patient }
}

/// The series that all of them have, or the patient's own.
fn series(patient: u16, own: bool) -> SeriesKey {
    let series = if own { uid(&format!("1.3.1.{patient}")) } else { uid("1.3.0") };
    SeriesKey { study: study(patient), series }
}

/// Of every third one no Patient ID is known.
fn id_of(patient: u16) -> String {
    if patient.is_multiple_of(3) { String::new() } else { format!("P{patient:07}") }
}

fn name_of(patient: u16) -> String {
    format!("NGUYEN^VAN A{patient}")
}

fn head(patient: u16, own: bool) -> InstanceHead {
    let SeriesKey { study, series } = series(patient, own);
    let seq = u64::from(patient) * 2 + 1 + u64::from(own);
    InstanceHead {
        seq,
        facility: study.facility,
        source: "us-1".into(),
        received: 1_790_000_000_000 + seq,
        via: Via::CStore,
        sop_class: uid("1.2.840.10008.5.1.4.1.1.6.1"),
        sop_instance: uid(&format!("1.4.{seq}")),
        study: study.study,
        series,
        transfer_syntax: uid("1.2.840.10008.1.2.1"),
        digest: Sameness::Blake3([1; 32]),
        meta_digest: Digest([2; 32]),
        loose_crc: 7,
        meta_len: 300,
        file_len: 1_000,
        attributes: Attributes::from([(key::PATIENT_ID, id_of(patient)), (key::PATIENT_NAME, name_of(patient))]),
        layout: Layout { pixel: None, frames: Frames::None, dataset_len: 700 },
        flags: Vec::new(),
        outcome: Outcome { patient, ..Outcome::default() },
    }
}

fn instance(patient: u16, own: bool) -> Entry {
    let head = head(patient, own);
    let lsn = head.seq;
    let place = Place { segment: 1, generation: 1, offset: lsn * 64, head_len: 9, body_len: 9, blob: None };
    Entry { lsn, fact: Fact::Instance(Box::new(head)), home: Some(Home::Journal(place)) }
}

fn open(folder: &tempfile::TempDir) -> Rocks {
    Rocks::open(folder.path(), RocksOptions::default()).expect("opens")
}

/// Tells an index of the patients, some at a time.
fn tell(index: &dyn Index, patients: u16) {
    let all: Vec<Entry> =
        (0..patients).flat_map(|patient| [instance(patient, false), instance(patient, true)]).collect();
    all.chunks(7).for_each(|batch| index.apply(batch).expect("applied"));
}

fn known(index: &dyn Index, patient: u16) -> Identity {
    let (id, name) = (id_of(patient), name_of(patient));
    let instance = uid("1.9");
    let found = index.identity(FacilityCode::DEMO, &uid("1.2.1"), &uid("1.3.0"), &instance, Whose::new(&id, &name));
    found.expect("an identity")
}

fn dump(index: &dyn Index) -> Vec<u8> {
    let mut all = Vec::new();
    index.dump(&mut |bytes| all.extend_from_slice(bytes)).expect("a dump");
    all
}

/// What stands in the table of UIDs.
fn rows(index: &Rocks) -> Vec<(Vec<u8>, Vec<u8>)> {
    let reader = Reader::new(&index.db);
    let run = reader.prefix(Table::Uids, b"").expect("a run");
    run.collect(usize::MAX, |key, value| Ok((key.to_vec(), value.to_vec()))).expect("rows")
}

/// Both answer the same of everybody, and are told of a few at once.
fn agree(index: &Rocks, oracle: &Oracle, patients: u16) {
    assert!(dump(index) == dump(oracle), "the dumps differ");
    for patient in 0..patients {
        let answer = known(index, patient);
        assert_eq!(answer, known(oracle, patient), "{patient}");
        assert!(answer.patients.len() <= usize::from(LISTED) + 1, "{} are answered", answer.patients.len());
        for own in [false, true] {
            let key = series(patient, own);
            assert_eq!(index.series(&key).expect("an answer"), oracle.series(&key).expect("an answer"));
        }
        assert_eq!(index.study(&study(patient)).expect("an answer"), oracle.study(&study(patient)).expect("an answer"));
    }
    assert_eq!(index.studies(&uid("1.2.1")).expect("an answer"), oracle.studies(&uid("1.2.1")).expect("an answer"));
}

#[test]
fn what_is_read_and_written_for_a_patient_does_not_grow_with_those_under_the_same_uids() {
    let folder = tempfile::tempdir().expect("a folder");
    let (index, oracle) = (open(&folder), Oracle::new());
    tell(&index, MANY);
    tell(&oracle, MANY);
    let longest = rows(&index).iter().map(|(_, value)| value.len()).max().expect("rows");
    assert!(longest < VALUE_MAX, "a value of {longest} bytes is written again and again");
    agree(&index, &oracle, MANY);
    for patient in 0..MANY {
        let found =
            known(&index, patient).patients.into_iter().find(|known| known.is(&id_of(patient), &folded(patient)));
        assert_eq!(found.map(|known| known.rank), Some(patient));
    }
    // Who comes without an ID is known by the name, and whoever has none by it, too.
    let asked = |id: &str, name: &str| {
        let whose = Whose::new(id, name);
        let answer = |index: &dyn Index| {
            index.identity(FacilityCode::DEMO, &uid("1.2.1"), &uid("1.3.0"), &uid("1.9"), whose).expect("an identity")
        };
        assert_eq!(answer(&index), answer(&oracle));
        answer(&index).patients.into_iter().map(|known| known.rank).find(|rank| *rank >= LISTED)
    };
    assert_eq!(asked("", "Nguyễn Văn A200"), Some(200));
    assert_eq!(asked("P9", "Nguyen Van A201"), Some(201), "of 201 no ID is known");
    assert_eq!(asked("P9", "Nguyen Van A200"), None, "200 has another ID");
    assert_eq!(known(&index, 7).patients_beyond, Some(MANY - 1));
    // All of it stands after a restart.
    index.flush().expect("flushed");
    drop(index);
    agree(&open(&folder), &oracle, MANY);
}

fn folded(patient: u16) -> String {
    fold(&name_of(patient))
}

fn retention(lsn: u64, fact: RetentionFact) -> Entry {
    Entry { lsn, fact: Fact::Retention(Box::new(fact)), home: None }
}

/// The series that all have, of one patient, in a study of its own; or back.
fn moved(lsn: u64, patient: u16, back: bool) -> Entry {
    let home = StudyRef::from(&study(patient));
    let made = StudyRef { study: uid(&format!("1.2.2.{patient}")), patient: 0, ..home.clone() };
    let (from, to) = if back { (made, home.clone()) } else { (home.clone(), made) };
    let begun = Made { seq: u64::from(patient) * 2 + 2, date: "20260102".into(), time: String::new() };
    let fact = Moved {
        study: home,
        series: vec![uid("1.3.0")],
        from,
        to,
        made: (!back).then_some(begun),
        why: if back { MoveReason::Undo } else { MoveReason::Split },
        by: Person::parse("lan").expect("a person"),
        at: 1,
    };
    retention(lsn, RetentionFact::SeriesMoved(Box::new(fact)))
}

fn destroyed(lsn: u64, patient: u16) -> Entry {
    let day = Date::new(2030, 12, 31).expect("a day");
    let tombstone = Tombstone {
        study: StudyRef::from(&study(patient)),
        version: StudyVersion { through: lsn, fact: 0 },
        plan: PlanId::parse("2036-q1").expect("a plan"),
        plan_digest: Digest([1; 32]),
        approved_by: Person::parse("lan").expect("a person"),
        class: ClassId::parse("USUAL").expect("a class"),
        rule: RuleId::parse("default").expect("a rule"),
        rules: RuleVersion { number: 1, digest: Digest([2; 32]) },
        counted_from: CountedFrom { date: day, basis: Basis::StudyDate },
        due: day,
        instances: 2,
        bytes: Default::default(),
        hidden_at: 1,
        destroyed_at: 2,
        blind: Digest([3; 32]),
        seals: Vec::new(),
        taken: Vec::new(),
    };
    retention(lsn, RetentionFact::StudyDestroyed(Box::new(tombstone)))
}

#[test]
fn series_beside_a_list_are_moved_and_found_where_they_stand_and_what_is_destroyed_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (index, oracle) = (open(&folder), Oracle::new());
    let patients = LISTED + 4;
    tell(&index, patients);
    tell(&oracle, patients);
    let both = |entry: Entry| {
        index.apply(std::slice::from_ref(&entry)).expect("applied");
        oracle.apply(&[entry]).expect("applied");
        agree(&index, &oracle, patients);
    };
    let stands = |patient: u16| {
        let there = StudyKey { study: uid(&format!("1.2.2.{patient}")), patient: 0, ..study(patient) };
        let key = SeriesKey { study: there, series: uid("1.3.0") };
        let answer = index.series(&key).expect("an answer");
        assert_eq!(answer, oracle.series(&key).expect("an answer"));
        answer.is_some()
    };
    both(moved(1_000, 2, false));
    both(moved(1_001, 17, false));
    both(moved(1_002, 18, false));
    assert!(stands(2) && stands(17) && stands(18) && !stands(19));
    // A late fact names a series as it stood, and finds it.
    let SeriesKey { study: at, series } = series(18, false);
    let through = u64::from(patients) * 2;
    let quiet = SeriesQuiet { facility: at.facility, study: at.study, patient: at.patient, series, through, at: 3 };
    both(Entry { lsn: 1_003, fact: Fact::SeriesQuiet(quiet), home: None });
    both(moved(1_004, 18, true));
    both(moved(1_005, 17, true));
    assert!(stands(2) && !stands(17) && !stands(18));
    for (lsn, patient) in (1_006..).zip(LISTED..patients) {
        both(destroyed(lsn, patient));
    }
    let kinds = [UidKind::Person, UidKind::Moved].map(UidKind::letter);
    let left = rows(&index);
    assert!(left.iter().all(|(key, value)| !kinds.contains(&key[0]) && (key[0] == b'C' || value[0] & 0x80 == 0)));
    assert_eq!(known(&index, 2).patients_beyond, None);
    assert!(!known(&index, 2).studies_beyond);
}

fn packed(patient: u16, own: bool) -> Packed {
    let SeriesKey { study, series } = series(patient, own);
    let seq = head(patient, own).seq;
    Packed {
        pack: PackId::new(u128::from(seq).to_be_bytes()),
        facility: study.facility,
        study: study.study,
        patient,
        series,
        part: 1,
        len: 9,
        sha256: Digest([9; 32]),
        raw: 9,
        seqs: vec![seq],
        replaces: Vec::new(),
        at: 1,
    }
}

#[test]
fn a_rebuild_that_takes_them_whole_is_equal() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let [loaded, applied] = folders.each_ref().map(open);
    let oracle = Oracle::new();
    let all: Vec<(u16, bool)> = (0..MANY).flat_map(|patient| [(patient, false), (patient, true)]).collect();
    let mut whole = Whole::default();
    let mut facts = Vec::new();
    for (patient, own) in all {
        let (packed, head) = (packed(patient, own), head(patient, own));
        whole.packs.push(PackRow::of(&packed));
        let SeriesKey { study, series } = series(patient, own);
        let StudyKey { facility, study, patient } = study;
        let (through, at) = (head.seq, 5);
        let complete = StudyComplete { facility, study: study.clone(), patient, through, at };
        whole.facts.push(Fact::SeriesQuiet(SeriesQuiet { facility, study, patient, series, through, at }));
        whole.facts.extend(own.then_some(Fact::StudyComplete(complete)));
        facts.push(Fact::Pack(Box::new(PackFact::Packed(packed.clone()))));
        whole.instances.push((head, packed.pack, 0));
    }
    tell(&applied, MANY);
    facts.extend(whole.facts.iter().cloned());
    for (lsn, fact) in (1_000..).zip(facts) {
        applied.apply(&[Entry { lsn, fact, home: None }]).expect("applied");
    }
    loaded.load(std::slice::from_ref(&whole), 5_000).expect("loaded");
    oracle.load(&[whole], 5_000).expect("loaded");
    agree(&loaded, &oracle, MANY);
    agree(&applied, &oracle, MANY);
    assert_eq!(rows(&loaded).len(), rows(&applied).len());
}

/// What the fifth format has under a UID: one list.
fn joined<T: Listed>(index: &Rocks, kind: UidKind, beside: UidKind, uid: &Uid) -> WriteBatch {
    let (reader, table) = (Reader::new(&index.db), handle(&index.db, Table::Uids).expect("a table"));
    let all = crate::rocks::find::under_uid::<T>(&reader, kind, uid, |_| true).expect("a list");
    let listed = uid_key(kind, uid, FacilityCode::DEMO);
    let mut batch = WriteBatch::default();
    for (key, _) in rows(index) {
        if key.starts_with(&listed) || key.starts_with(&of_kind(beside, &listed)) {
            batch.delete_cf(table, key);
        }
    }
    batch.put_cf(table, listed, T::encode(&all));
    batch
}

#[test]
fn lists_of_the_fifth_format_are_divided_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (index, oracle) = (open(&folder), Oracle::new());
    tell(&index, MANY);
    tell(&oracle, MANY);
    for entry in [moved(1_000, 3, false), moved(1_001, 200, false)] {
        index.apply(std::slice::from_ref(&entry)).expect("applied");
        oracle.apply(&[entry]).expect("applied");
    }
    let now = rows(&index);
    let patients = joined::<PatientEntry>(&index, UidKind::Study, UidKind::Person, &uid("1.2.1"));
    let all_series = joined::<SeriesEntry>(&index, UidKind::Series, UidKind::Moved, &uid("1.3.0"));
    for batch in [patients, all_series] {
        index.db.write_opt(batch, &unlogged()).expect("written");
    }
    let meta = handle(&index.db, Table::Meta).expect("a table");
    index.db.put_cf_opt(meta, b"format", 5u64.to_be_bytes(), &unlogged()).expect("written");
    assert!(rows(&index).len() < now.len() - 800, "nothing is joined");
    index.flush().expect("flushed");
    drop(index);
    let index = open(&folder);
    assert!(rows(&index) == now, "it is not what is written now");
    agree(&index, &oracle, MANY);
    let listed = uid_key(UidKind::Study, &uid("1.2.1"), FacilityCode::DEMO);
    let reader = Reader::new(&index.db);
    let notes = reader.prefix(Table::Meta, b"Z").expect("notes").collect(usize::MAX, |key, _| Ok(key.to_vec()));
    assert!(
        notes.expect("notes").iter().any(|note| note.ends_with(&listed)),
        "whoever stood in the list may stay there"
    );
    drop(reader);
    let value = PatientEntry::encode(&[]);
    assert!(split(&index.db, 9, &listed, &value).expect("a list").is_none(), "there is nothing to divide");
}
