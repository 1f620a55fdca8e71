//! Appending: positions, sequence numbers, rotation, heads, keys.

use crate::disk::SimDisk;
use crate::registry::{MORNING, append, assert_entries, dir, filled, open, options, shared, try_open, view};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use store::ledger::{ENTRY_BYTES_MAX, KeyFile, NewEntry, Signer, log_name};
use store::{Ledger, LedgerOptions, RealDisk, StoreError};

#[test]
fn entries_come_back_as_given_across_files_and_restarts() {
    let disk = filled(100);
    assert!(disk.files().iter().filter(|path| path.to_string_lossy().contains("entries-")).count() > 4);
    let (ledger, opened) = open(&disk);
    assert_eq!((opened.size, opened.cut_entries, opened.cut_bytes), (100, 0, 0));
    assert_entries(ledger.view(), 100);
    let checked = ledger.view().check().expect("whole");
    assert_eq!((checked.entries, checked.heads), (100, 34));
    let on_disk: usize = disk.files().iter().map(|path| disk.contents(path).expect("file").len()).sum();
    assert_eq!(checked.bytes, on_disk as u64, "every byte was looked at");
}

#[test]
fn a_sequence_number_is_logged_once() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk);
    assert_eq!(ledger.last_sequence(), 0);
    assert_eq!(append(&ledger, [5, 7, 8].into_iter()).expect("append"), [Some(0), Some(1), Some(2)]);
    assert_eq!(ledger.last_sequence(), 8);
    assert_eq!(append(&ledger, [5, 6, 8, 9].into_iter()).expect("append"), [None, None, None, Some(3)]);
    ledger.sync_and_sign(MORNING).expect("sign");
    drop(ledger);

    let (ledger, _) = open(&disk);
    assert_eq!(ledger.last_sequence(), 9);
    assert_eq!(append(&ledger, [9, 12].into_iter()).expect("append"), [None, Some(4)]);
    assert_eq!(ledger.sync_and_sign(MORNING).expect("sign").head.sequence, 12);
}

#[test]
fn what_cannot_be_an_entry_is_refused_and_nothing_of_its_call_is_in() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk);
    let long = vec![b'x'; ENTRY_BYTES_MAX + 1];
    let good = NewEntry { sequence: 1, bytes: b"{}" };
    let bad: [&[NewEntry<'_>]; 5] = [
        &[good, NewEntry { sequence: 2, bytes: &long }],
        &[good, NewEntry { sequence: 2, bytes: b"\xff" }],
        &[good, NewEntry { sequence: 1, bytes: b"{}" }],
        &[NewEntry { sequence: 3, bytes: b"{}" }, NewEntry { sequence: 2, bytes: b"{}" }],
        &[NewEntry { sequence: 0, bytes: b"{}" }],
    ];
    for entries in bad {
        let refused = ledger.append(entries);
        assert!(matches!(refused, Err(StoreError::Entry { .. })), "{refused:?}");
    }
    assert_eq!(ledger.last_sequence(), 0);
    let longest = vec![b'x'; ENTRY_BYTES_MAX];
    let fits = [NewEntry { sequence: 1, bytes: &longest }, NewEntry { sequence: 2, bytes: b"" }];
    assert_eq!(ledger.append(&fits).expect("longer than a file of this ledger, but an entry"), [Some(0), Some(1)]);
    ledger.sync_and_sign(MORNING).expect("sign");
    assert_eq!(ledger.view().entry(0).expect("entry").bytes, longest);
    assert_eq!(ledger.view().entry(1).expect("entry").bytes, b"");
    ledger.view().check().expect("whole");
}

#[test]
fn a_head_is_signed_once_per_size_and_never_dated_back() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk);
    let empty = ledger.sync_and_sign(MORNING).expect("a head over nothing");
    assert_eq!((empty.head.size, empty.head.sequence), (0, 0));
    append(&ledger, 1..=4).expect("append");
    assert_eq!(ledger.view().size(), 0, "not signed yet");
    assert!(matches!(ledger.view().entry(0), Err(StoreError::NotInLedger { .. })));
    let first = ledger.sync_and_sign(MORNING - 5).expect("sign");
    assert_eq!(first.head.time_ms, MORNING, "the clock went back");
    assert_eq!(ledger.sync_and_sign(MORNING + 9).expect("nothing new"), first);
    assert!(first.verify(ledger.view().public_key()));
    append(&ledger, 5..=5).expect("append");
    let second = ledger.sync_and_sign(MORNING + 10).expect("sign");
    assert_eq!(ledger.view().head(), Some(second));
    assert_eq!(ledger.view().head_at(4).expect("head"), first);
    assert_eq!(ledger.view().head_up_to(3).expect("heads"), Some(empty));
    assert!(matches!(ledger.view().head_at(3), Err(StoreError::NotInLedger { asked: 3, .. })));
    ledger.view().check().expect("whole");
}

#[test]
fn many_entries_wait_for_one_sync_of_each_file() {
    let disk = SimDisk::new();
    let options = LedgerOptions { file_bytes: 1 << 20, ..options() };
    let (ledger, _) = Ledger::open(shared(&disk), options, crate::registry::signer()).expect("open");
    append(&ledger, 1..=1).expect("append");
    ledger.sync_and_sign(MORNING).expect("sign");
    let before = disk.syncs();
    for sequence in 2..1000 {
        append(&ledger, sequence..=sequence).expect("append");
    }
    assert_eq!(disk.syncs(), before, "appending waits for no disk");
    ledger.sync_and_sign(MORNING).expect("sign");
    assert_eq!(disk.syncs() - before, 3, "entries, tree, heads");
}

#[test]
fn another_key_is_refused_and_changes_nothing() {
    let disk = filled(10);
    let files = |disk: &SimDisk| disk.files().iter().map(|path| disk.contents(path)).collect::<Vec<_>>();
    let before = files(&disk);
    let other = KeyFile::from_seed(&[8; 32]).expect("key");
    let name = log_name(&other.public_key());
    let refused = Ledger::open(shared(&disk), options(), Box::new(other)).map(|_| ());
    assert!(matches!(&refused, Err(StoreError::WrongKey { signer, .. }) if *signer == name), "{refused:?}");
    assert_eq!(files(&disk), before);
    open(&disk);
}

/// Signs with one key and says it has another.
struct Liar(KeyFile, [u8; 32]);

impl Signer for Liar {
    fn public_key(&self) -> [u8; 32] {
        self.1
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], StoreError> {
        self.0.sign(message)
    }
}

#[test]
fn a_signature_of_another_key_never_becomes_a_head() {
    let disk = filled(10);
    let key = KeyFile::from_seed(&crate::registry::SEED).expect("key").public_key();
    let liar = Liar(KeyFile::from_seed(&[8; 32]).expect("key"), key);
    let (ledger, _) = Ledger::open(shared(&disk), options(), Box::new(liar)).expect("the key it says it has fits");
    append(&ledger, 11..=11).expect("append");
    let refused = ledger.sync_and_sign(MORNING + 100);
    assert!(matches!(refused, Err(StoreError::Signer { .. })), "{refused:?}");
    assert_eq!(ledger.view().size(), 10);
    drop(ledger);
    assert_eq!(open(&disk).1.cut_entries, 1);
}

#[test]
fn a_reader_works_beside_the_writer_and_without_a_key() {
    let disk = filled(9);
    let (ledger, _) = open(&disk);
    append(&ledger, 10..=12).expect("append");
    let reader = view(&disk).expect("reads what is signed");
    assert_entries(&reader, 9);
    ledger.sync_and_sign(MORNING + 50).expect("sign");
    assert_eq!(reader.size(), 9, "a view is of the moment it was opened");
    assert_entries(&view(&disk).expect("opened anew"), 12);
}

#[test]
fn a_real_directory_is_locked_and_its_key_is_for_the_owner_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let key = || Box::new(KeyFile::open_or_create(&folder.path().join("ledger.key")).expect("key"));
    let dir = folder.path().join("ledger");
    let open = || Ledger::open(std::sync::Arc::new(RealDisk), LedgerOptions::new(dir.clone()), key());
    let (ledger, _) = open().expect("begun");
    append(&ledger, 1..=20).expect("append");
    ledger.sync_and_sign(MORNING).expect("sign");
    let second = open().map(|_| ());
    assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
    drop(ledger);
    assert_entries(open().expect("again").0.view(), 20);
}

#[test]
fn a_ledger_without_heads_is_begun_only_where_nothing_else_is() {
    let disk = filled(10);
    let heads = dir().join("heads.log");
    disk.damage(&heads, Vec::clear);
    let refused = try_open(&disk).map(|_| ());
    assert!(matches!(&refused, Err(StoreError::Corrupt { file, .. }) if *file == heads), "{refused:?}");
}

/// Signs when it is told to.
struct Slow {
    key: KeyFile,
    asked: Mutex<Sender<()>>,
    answer: Mutex<Receiver<()>>,
}

impl Signer for Slow {
    fn public_key(&self) -> [u8; 32] {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], StoreError> {
        self.asked.lock().expect("lock").send(()).expect("the test listens");
        self.answer.lock().expect("lock").recv().expect("the test answers");
        self.key.sign(message)
    }
}

#[test]
fn appending_goes_on_while_a_slow_token_signs() {
    let disk = SimDisk::new();
    let ((asked, is_asked), (answer, answered)) = (channel(), channel());
    let key = KeyFile::from_seed(&crate::registry::SEED).expect("key");
    let slow = Slow { key, asked: Mutex::new(asked), answer: Mutex::new(answered) };
    let (ledger, _) = Ledger::open(shared(&disk), options(), Box::new(slow)).expect("open");
    let deadline = Duration::from_secs(60);
    std::thread::scope(|scope| {
        append(&ledger, 1..=3).expect("append");
        let head = scope.spawn(|| ledger.sync_and_sign(MORNING).expect("sign"));
        is_asked.recv_timeout(deadline).expect("the signer is asked");
        let (done, is_done) = channel();
        let ledger = &ledger;
        scope.spawn(move || done.send(append(ledger, 4..=5).expect("append")));
        let appended = is_done.recv_timeout(deadline);
        answer.send(()).expect("the signer waits");
        assert_eq!(appended.expect("appended while the signer waits"), [Some(3), Some(4)]);
        assert_eq!(head.join().expect("signed").head.size, 3);
        answer.send(()).expect("the signer lives");
        assert_eq!(ledger.sync_and_sign(MORNING).expect("sign").head.size, 5);
    });
    ledger.view().check().expect("whole");
}
