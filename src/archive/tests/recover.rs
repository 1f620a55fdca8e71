//! What outlives a stop: quiet and complete, prepared metadata, replay, rebuild, verify, import.

use super::*;
use crate::import::{ImportOptions, Imported, Progress};
use crate::{Target, import, rebuild};
use model::{Caller, Fact, Scope};
use std::sync::atomic::AtomicBool;

fn metadata(bench: &Bench) -> String {
    let target = Target::Series { study: uid("1.2.1"), series: uid("1.2.1.1") };
    let documents = bench.archive.metadata(&Caller::demo(), Scope::Shared, &target).expect("metadata");
    let document = documents.first().expect("one series");
    String::from_utf8(zstd::decode_all(document.json_zstd.as_slice()).expect("zstd")).expect("UTF-8")
}

#[test]
fn metadata_follows_the_series_and_is_prepared_when_quiet() {
    let bench = Bench::with(|options| options.quiet_after = Duration::from_millis(300));
    bench.store(&Object { number: 2, ..Object::new("1.2.1.1.2") }).expect("second");
    assert_eq!(metadata(&bench).matches("\"00080018\"").count(), 1);
    bench.store(&Object { number: 1, ..Object::new("1.2.1.1.1") }).expect("first");
    let text = metadata(&bench);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let sop = |at: usize| json[at]["00080018"]["Value"][0].as_str().map(str::to_owned);
    assert_eq!((sop(0).as_deref(), sop(1).as_deref()), (Some("1.2.1.1.1"), Some("1.2.1.1.2")), "viewing order");
    let uri = "khoanh-base:/studies/1.2.1/series/1.2.1.1/instances/1.2.1.1.1/bulkdata/7FE00010";
    assert_eq!(json[0]["7FE00010"]["BulkDataURI"].as_str(), Some(uri));
    let key = crate::SeriesKey {
        study: crate::StudyKey { facility: FacilityCode::DEMO, study: uid("1.2.1"), patient: 0 },
        series: uid("1.2.1.1"),
    };
    let index = bench.archive.index();
    until("the series is quiet", || index.series(&key).expect("row").is_some_and(|row| !row.is_busy()));
    until("the study is complete", || index.study(&key.study).expect("row").is_some_and(|row| !row.is_incomplete()));
    assert!(index.prepared(&key, index::PreparedKind::Metadata).expect("prepared").is_some());
    assert_eq!(metadata(&bench), text);
}

#[test]
fn a_long_series_is_one_document_in_viewing_order() {
    let bench = Bench::new();
    for number in (1..=300u32).rev() {
        bench.store(&Object { number, ..Object::new(&format!("1.2.1.1.{number}")) }).expect("stored");
    }
    let json: serde_json::Value = serde_json::from_str(&metadata(&bench)).expect("JSON");
    let numbers: Vec<_> =
        json.as_array().expect("array").iter().map(|row| row["00200013"]["Value"][0].as_u64()).collect();
    assert_eq!(numbers, (1..=300).map(Some).collect::<Vec<_>>());
}

#[test]
fn metadata_of_what_just_came_is_told_without_the_disk() {
    let asked = |bench: &Bench, instance: &str| {
        let target = Target::Instance { study: uid("1.2.1"), series: uid("1.2.1.1"), instance: uid(instance) };
        let documents = bench.archive.metadata(&Caller::demo(), Scope::Shared, &target)?;
        let document = documents.first().expect("one document").json_zstd.as_ref().clone();
        Ok::<_, crate::RetrieveError>(zstd::decode_all(document.as_slice()).expect("zstd"))
    };
    let bench = Bench::new();
    bench.store(&Object { pixels: 64 * 1024, ..Object::new("1.2.1.1.1") }).expect("stored");
    let told = asked(&bench, "1.2.1.1.1").expect("from memory");
    bench.archive.prepared().forget();
    assert!(asked(&bench, "1.2.1.1.1").expect("from the disk") == told);

    // What is stored is damaged meanwhile: only who reads it can know.
    bench.store(&Object { pixels: 64 * 1024, fill: 0xA5, ..Object::new("1.2.1.1.2") }).expect("stored");
    for entry in std::fs::read_dir(bench.options.data.join("journal")).expect("journal").flatten() {
        let mut bytes = std::fs::read(entry.path()).unwrap_or_default();
        if let Some(at) = bytes.windows(64).position(|window| window == [0xA5; 64]) {
            bytes[at + 5] ^= 1;
            std::fs::write(entry.path(), bytes).expect("write");
        }
    }
    assert!(asked(&bench, "1.2.1.1.2").is_ok(), "the disk was asked");
    bench.archive.prepared().forget();
    assert!(asked(&bench, "1.2.1.1.2").is_err(), "the disk was not asked");
}

#[test]
fn a_stop_and_start_loses_nothing_and_numbers_go_on() {
    let mut bench = Bench::new();
    for round in 1..=3 {
        bench.store(&Object { number: round, ..Object::new(&format!("1.2.1.1.{round}")) }).expect("stored");
        bench = bench.reopen();
    }
    let target = Target::Study(uid("1.2.1"));
    let selection = bench.archive.select(&Caller::demo(), Scope::Shared, &target).expect("study");
    let seqs: Vec<_> = selection.instances.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
}

#[test]
fn a_rebuilt_index_is_equal_and_everything_verifies() {
    let bench = Bench::new();
    for number in 1..=40 {
        let study = if number % 2 == 0 { "1.2.1" } else { "1.2.2" };
        let series = if number % 2 == 0 { "1.2.1.1" } else { "1.2.2.1" };
        bench.store(&Object { study, series, number, ..Object::new(&format!("1.9.{number}")) }).expect("stored");
    }
    bench.store(&Object { fill: 99, ..Object::new("1.9.2") }).expect("conflict");
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((report.instances, report.damaged), (41, 0), "{report:?}");
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    let rebuilt = rebuild::run(&options, &mut |_| {}).expect("rebuild");
    assert!(rebuilt.equal(), "{rebuilt:?}");
    std::fs::remove_dir_all(options.data.join("index")).expect("remove the index");
    let archive = Archive::open(options.clone()).expect("open without an index");
    assert_eq!(rebuild::dump_digest(archive.index().as_ref()).expect("dump"), rebuilt.after);
    drop((archive, folder));
}

/// Opens an archive that was dropped: one of its workers may hold it a moment longer.
fn open_after_drop(options: &Options) -> Arc<Archive> {
    let mut opened = None;
    until("the dropped archive lets go of its lock", || match Archive::open(options.clone()) {
        Ok(archive) => {
            opened = Some(archive);
            true
        }
        Err(crate::OpenError::Store(store::StoreError::Locked { .. })) => false,
        Err(error) => panic!("{error}"),
    });
    opened.expect("opened")
}

/// Where the journal itself says its newest record lies.
fn newest_place(archive: &Archive) -> Option<model::Place> {
    let mut newest = None;
    let each = &mut |replayed: store::Replayed<'_>| -> Result<(), store::StoreError> {
        newest = Some(replayed.place);
        Ok(())
    };
    archive.journal().replay(1, each).expect("replay");
    newest
}

#[test]
fn a_tail_moved_twice_is_still_where_the_index_says() {
    let Bench { mut archive, options, folder } = Bench::new();
    let object = Object::new("1.2.1.1.1");
    let bench = Bench { archive: Arc::clone(&archive), options: options.clone(), folder };
    bench.store(&object).expect("stored");
    archive.index().flush().expect("the index knows the old place durably");
    let Bench { archive: second, folder, .. } = bench;
    drop(second);
    for _ in 0..3 {
        drop(archive); // without close: no clean mark, as after a kill
        archive = open_after_drop(&options);
        let row = archive.index().instance(&uid("1.2.1.1.1")).expect("index").into_iter().next().expect("row");
        let read = archive.read(&row, u64::from(row.meta_len)..row.file_len).expect("readable where the index says");
        assert_eq!(read, object.bytes());
        assert_eq!(
            row.home.journal(),
            newest_place(&archive).as_ref(),
            "the index names the moved copy, not the old one"
        );
    }
    drop((archive, folder));
}

#[test]
fn a_journal_that_lost_what_the_index_knows_is_refused() {
    let Bench { archive, options, folder } = Bench::new();
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    std::fs::rename(options.data.join("journal"), folder.path().join("aside")).expect("aside");
    let refused = Archive::open(options).err().expect("refused");
    assert!(matches!(refused, crate::OpenError::JournalBehind { .. }), "{refused}");
}

#[test]
fn a_flipped_bit_is_found_by_verify() {
    let bench = Bench::new();
    let object = Object { fill: 0xA5, pixels: 64 * 64, ..Object::new("1.2.1.1.1") };
    bench.store(&object).expect("stored");
    let mut flipped = false;
    for entry in std::fs::read_dir(bench.options.data.join("journal")).expect("journal").flatten() {
        let mut bytes = std::fs::read(entry.path()).unwrap_or_default();
        if let Some(at) = bytes.windows(64).position(|window| window == [0xA5; 64]) {
            bytes[at + 5] ^= 1;
            std::fs::write(entry.path(), bytes).expect("write");
            flipped = true;
        }
    }
    assert!(flipped, "the pixels were not found in the journal");
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((report.instances, report.damaged), (1, 1), "{report:?}");
    assert!(report.named[0].contains("1.2.1.1.1"));
}

/// The newest instance's record: its number, head and place.
pub(super) fn newest_instance(archive: &Archive) -> (model::Lsn, model::InstanceHead, model::Place) {
    let mut newest = None;
    let each = &mut |replayed: store::Replayed<'_>| -> Result<(), crate::OpenError> {
        if let model::Fact::Instance(head) = crate::facts::parse(replayed.lsn, replayed.head)? {
            newest = Some((replayed.lsn, *head, replayed.place));
        }
        Ok(())
    };
    archive.journal().replay(1, each).expect("replay");
    newest.expect("an instance")
}

/// Writes an instance's record behind the index's back; the next object takes the index past its number.
fn append_unseen(archive: &Archive, head: model::InstanceHead) {
    let head = serde_json::to_vec(&model::Fact::Instance(Box::new(head))).expect("head");
    archive.journal().append(&[store::Record { head, body: store::Body::None }]).expect("appended");
}

#[test]
fn an_object_copied_forward_while_all_are_verified_is_verified_too() {
    let bench = super::packs::packing().reopen_with(|options| options.background = false);
    for number in 1..=2 {
        bench.store(&super::packs::object(1, number)).expect("stored");
    }
    let mut copied = false;
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |so_far| {
        if std::mem::replace(&mut copied, true) {
            return;
        }
        assert_eq!(so_far.instances, 1);
        let mut last = None;
        let walked = bench.archive.journal().replay(1, &mut |replayed: store::Replayed<'_>| {
            if let (lsn, Fact::Instance(head)) = crate::facts::parse(replayed.lsn, replayed.head)?.own(replayed.lsn) {
                last = Some((lsn, head, replayed.place));
            }
            Ok::<_, crate::OpenError>(())
        });
        walked.expect("the journal");
        bench.archive.copy_forward(last.into_iter()).expect("copied forward");
    });
    let report = report.expect("verify");
    assert_eq!((report.instances, report.damaged), (2, 0), "{report:?}");
}

#[test]
fn verify_asks_the_index_for_every_object_of_the_journal() {
    let damage = |bench: &Bench| {
        let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
        assert_eq!(report.damaged, report.named.len() as u64, "{report:?}");
        report.named
    };
    let bench = Bench::new();
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    assert_eq!(damage(&bench), Vec::<String>::new());
    let (_, head, _) = newest_instance(&bench.archive);
    append_unseen(&bench.archive, model::InstanceHead { seq: 90, sop_instance: uid("1.2.1.1.90"), ..head.clone() });
    assert_eq!(damage(&bench), Vec::<String>::new(), "the index has not come so far");
    bench.store(&Object::new("1.2.1.1.2")).expect("stored");
    let found = damage(&bench);
    assert!(
        matches!(found.as_slice(), [one] if one.contains("1.2.1.1.90") && one.contains("does not know")),
        "{found:?}"
    );

    let bench = Bench::new();
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    let (lsn, head, place) = newest_instance(&bench.archive);
    append_unseen(&bench.archive, model::InstanceHead { digest: model::Sameness::Blake3([7; 32]), ..head.clone() });
    bench.store(&Object::new("1.2.1.1.2")).expect("stored");
    let found = damage(&bench);
    assert!(matches!(found.as_slice(), [one] if one.contains("another digest")), "{found:?}");

    let bench = Bench::new();
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    let aside = model::Place { offset: place.offset + 64, ..place };
    let fact = model::Fact::Instance(Box::new(head));
    let entry = index::Entry { lsn, fact, home: Some(model::Home::Journal(aside)) };
    bench.archive.index().apply(&[entry]).expect("applied");
    let found = damage(&bench);
    assert!(matches!(found.as_slice(), [one] if one.contains("not its own")), "{found:?}");
}

#[derive(Default)]
struct Heard(Vec<Imported>);

impl Progress for Heard {
    fn found(&mut self, _: u64, _: bool) {}
    fn done(&mut self, file: &Imported) {
        self.0.push(file.clone());
    }
}

#[test]
fn an_import_takes_what_it_can_names_what_it_refuses_and_resumes() {
    let bench = Bench::new();
    let folder = bench.folder.path().join("old");
    std::fs::create_dir_all(folder.join("deep")).expect("folder");
    for number in 1..=5u32 {
        let object = Object { number, ..Object::new(&format!("1.2.1.1.{number}")) };
        let mut file = dataset::part10::file_meta(&uid(CT), &uid(&object.sop), &uid(EXPLICIT_LE));
        file.extend(object.bytes());
        std::fs::write(folder.join("deep").join(format!("{number}.dcm")), file).expect("file");
    }
    std::fs::write(folder.join("notes.txt"), "không phải DICOM").expect("file");
    let options = ImportOptions {
        roots: vec![folder],
        source: bench.source(),
        readers: 3,
        state: Some(bench.folder.path().join("state")),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut heard = Heard::default();
    let report = import::run(&bench.archive, &options, &stop, &mut heard).expect("import");
    assert_eq!((report.found, report.stored, report.refused), (6, 5, 1), "{report:?}");
    let refused: Vec<_> = heard.0.iter().filter(|file| file.result.is_err()).collect();
    assert!(refused.len() == 1 && refused[0].path.ends_with("notes.txt"), "{refused:?}");
    let report = import::run(&bench.archive, &options, &stop, &mut heard).expect("again");
    assert_eq!((report.skipped, report.stored, report.refused), (5, 0, 1), "{report:?}");
    let state = options.state.clone().expect("state");
    let text = std::fs::read(&state).expect("state");
    std::fs::write(&state, text.get(..text.len() - 3).expect("lines")).expect("cut as by a kill");
    let report = import::run(&bench.archive, &options, &stop, &mut heard).expect("after a kill");
    assert_eq!((report.skipped, report.same), (4, 1), "the cut line counts as not finished: {report:?}");
}
