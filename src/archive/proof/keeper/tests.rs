//! Each durable fact is entered once and only once, through every way that loses the list in memory or the writer.

use super::*;
use crate::open::open_journal;
use crate::tests::{Bench, Object, until};
use index::Entry;
use model::pack::{PackFact, PackId};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use store::{Body, Record};
use tempfile::TempDir;

/// A journal and the keeper of its ledger, without the rest of an archive.
struct Desk {
    folder: TempDir,
    options: Options,
    journal: Arc<Journal>,
    keeper: Arc<Keeper>,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut options = Options::new(folder.path().join("data"));
        (options.segment_bytes, options.blob_above, options.reserve_bytes) = (4 << 20, 1 << 20, 0);
        let sign_every = Duration::from_secs(86_400);
        options.ledger = Some(LedgerKeeping { sign_every, ..LedgerKeeping::default() });
        std::fs::create_dir(&options.data).expect("data");
        let (journal, _) = open_journal(&options).expect("journal");
        let journal = Arc::new(journal);
        let keeper = keep(&options, &journal).expect("keeper");
        Self { folder, options, journal, keeper }
    }

    /// Appends facts and answers them as the committer would hand them on; not durable.
    fn append(&self, count: u64) -> Vec<Entry> {
        let fact = |at| Fact::Pack(Box::new(PackFact::Released { pack: PackId::new([1; 16]), at }));
        let facts: Vec<Fact> = (0..count).map(fact).collect();
        let record = |fact: &Fact| Record { head: serde_json::to_vec(fact).expect("JSON"), body: Body::None };
        let records: Vec<Record> = facts.iter().map(record).collect();
        let placed = self.journal.append(&records).expect("append");
        let entry = |(fact, (lsn, place))| Entry { lsn, fact, home: Some(model::Home::Journal(place)) };
        facts.into_iter().zip(placed).map(entry).collect()
    }

    fn settle(&self, count: u64) -> Vec<Entry> {
        let entries = self.append(count);
        self.journal.sync().expect("sync");
        entries
    }

    /// The records that have an entry, in the ledger's order.
    fn entered(&self) -> Vec<Lsn> {
        let reader = self.keeper.reader().expect("a ledger");
        (0..reader.size()).map(|index| reader.entry(index).expect("entry").sequence).collect()
    }

    fn expect_all(&self) {
        let all: Vec<Lsn> = (1..=self.journal.synced()).collect();
        assert_eq!(self.entered(), all);
        assert_eq!(self.keeper.covered(), self.journal.synced());
    }
}

fn keep(options: &Options, journal: &Arc<Journal>) -> Result<Arc<Keeper>, OpenError> {
    Keeper::open(options, journal, &Arc::new(KeyRing::new(options))).map(|keeper| keeper.expect("the ledger is on"))
}

#[test]
fn what_is_settled_is_entered_signed_and_covered() {
    let desk = Desk::new();
    desk.keeper.feed().push(&desk.settle(3));
    assert_eq!((desk.keeper.covered(), desk.keeper.state().uncovered), (0, 3));
    desk.keeper.round(When::Now).expect("round");
    desk.keeper.feed().push(&desk.settle(2));
    desk.keeper.round(When::Due).expect("round");
    assert_eq!((desk.keeper.covered(), desk.keeper.state().uncovered), (3, 2), "entered, but no head covers them");
    desk.keeper.round(When::Now).expect("round");
    desk.expect_all();
}

#[test]
fn a_full_list_is_made_up_for_from_the_journal() {
    let desk = Desk::new();
    desk.keeper.feed().push(&desk.settle(2));
    // More than the list holds, then more in order.
    for _ in 0..5 {
        desk.keeper.feed().push(&desk.settle(9_000));
    }
    desk.keeper.round(When::Now).expect("round");
    desk.keeper.feed().push(&desk.settle(2));
    desk.keeper.round(When::Now).expect("round");
    desk.expect_all();
}

#[test]
fn a_record_that_may_not_be_durable_is_never_entered() {
    let desk = Desk::new();
    let first = desk.settle(5);
    let (settled, open) = (first.get(..3).expect("three"), desk.append(4));
    // The list begins behind a hole, so the journal is asked, which knows more than was settled.
    desk.keeper.feed().push(settled.get(1..).expect("two"));
    desk.keeper.round(When::Now).expect("round");
    assert_eq!(desk.entered(), [1, 2, 3]);
    assert_eq!(desk.keeper.covered(), 3);
    desk.journal.sync().expect("sync");
    desk.keeper.feed().push(first.get(3..).expect("two"));
    desk.keeper.feed().push(&open);
    desk.keeper.round(When::Now).expect("round");
    desk.expect_all();
}

#[test]
fn a_ledger_that_cannot_be_written_raises_an_alarm_and_loses_nothing() {
    let desk = Desk::new();
    desk.keeper.feed().push(&desk.settle(3));
    desk.keeper.round(When::Now).expect("round");
    let (heads, aside) = (desk.options.data.join("ledger/heads.log"), desk.folder.path().join("aside"));
    desk.keeper.feed().push(&desk.settle(2));
    desk.keeper.round(When::Due).expect("entered, not signed");
    // The writer lost its ledger; what lies there now cannot be opened.
    *desk.keeper.ledger.write() = None;
    std::fs::rename(&heads, &aside).expect("moved");
    desk.keeper.feed().push(&desk.settle(4));
    desk.keeper.round(When::Now).expect_err("heads are missing");
    assert!(desk.keeper.alarm().is_some_and(|alarm| alarm.contains("heads")), "{:?}", desk.keeper.alarm());
    assert_eq!(desk.keeper.covered(), 3, "the journal must keep the rest");
    desk.keeper.feed().push(&desk.settle(1));
    desk.keeper.round(When::Due).expect("not yet tried again");
    std::fs::rename(&aside, &heads).expect("back");
    desk.keeper.round(When::Now).expect("round");
    assert_eq!(desk.keeper.alarm(), None);
    desk.expect_all();
}

#[test]
fn a_start_brings_the_ledger_level_and_refuses_one_that_knows_more() {
    let desk = Desk::new();
    desk.keeper.feed().push(&desk.settle(3));
    desk.keeper.round(When::Now).expect("round");
    desk.settle(4); // durable, but the list was lost with the process
    let Desk { folder, options, journal, keeper } = desk;
    drop(keeper);
    let keeper = keep(&options, &journal).expect("keeper");
    let desk = Desk { folder, options, journal, keeper };
    desk.expect_all();
    let other = TempDir::new().expect("folder");
    let journal_elsewhere = Options { journal: vec![other.path().join("journal")], ..desk.options.clone() };
    let (shorter, _) = open_journal(&journal_elsewhere).expect("journal");
    drop(desk.keeper);
    let refused = keep(&desk.options, &Arc::new(shorter)).err();
    assert!(matches!(refused, Some(OpenError::LedgerAhead { entered: 7, last: 0 })), "{refused:?}");
}

impl Desk {
    /// Closes the ledger, puts a folder in its place, sets the one that was there aside, and opens it again.
    fn exchange(self, ledger: &Path, aside: &Path) -> Self {
        let Self { folder, options, journal, keeper } = self;
        drop(keeper);
        let place = options.data.join("ledger");
        std::fs::rename(&place, aside).expect("set aside");
        std::fs::rename(ledger, &place).expect("put in its place");
        let keeper = keep(&options, &journal).expect("keeper");
        Self { folder, options, journal, keeper }
    }

    fn copy_ledger(&self, to: &Path) {
        std::fs::create_dir(to).expect("folder");
        for file in std::fs::read_dir(self.options.data.join("ledger")).expect("ledger").flatten() {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
        }
    }

    fn enter(&self, count: u64) {
        self.keeper.feed().push(&self.settle(count));
        self.keeper.round(When::Now).expect("round");
    }

    /// Gives everything back that the journal holds but for the segment it goes on with.
    fn give_back(&self) {
        self.journal.rotate().expect("a new segment");
        self.enter(1);
        while let [oldest, next, ..] = self.journal.segments().as_slice() {
            self.keeper.mark(next.first_lsn);
            self.journal.release(oldest.number).expect("released");
        }
    }
}

#[test]
fn an_older_copy_of_the_ledger_is_named_when_the_journal_cannot_fill_it_up() {
    let desk = Desk::new();
    let (older, newer) = (desk.folder.path().join("older"), desk.folder.path().join("newer"));
    let again = desk.folder.path().join("again");
    desk.enter(6);
    desk.copy_ledger(&older);
    desk.enter(2);
    // All of it lies in the journal, so nothing is missing.
    let desk = desk.exchange(&older, &again);
    desk.expect_all();
    assert_eq!(*desk.keeper.compared.lock(), Ok(None));
    std::fs::remove_dir_all(&again).expect("removed");

    desk.copy_ledger(&older);
    desk.enter(2);
    desk.give_back();
    let desk = desk.exchange(&older, &newer);
    assert_eq!(desk.entered(), [1, 2, 3, 4, 5, 6, 7, 8, 11]);
    let lacking = Ok(Some(Lacking { entries: 2, before: 11 }));
    assert_eq!(*desk.keeper.compared.lock(), lacking);
    // It is not forgotten while the older copy goes on, and not when that gives records back in its turn.
    desk.enter(3);
    desk.give_back();
    desk.copy_ledger(&older);
    let desk = desk.exchange(&older, &again);
    assert_eq!(*desk.keeper.compared.lock(), lacking);

    // The newer copy lacks what came since; it is the journal that has it, or nobody.
    let desk = desk.exchange(&newer, &older);
    assert_eq!(desk.entered().get(..11), Some([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].as_slice()));
    assert_eq!(*desk.keeper.compared.lock(), Ok(Some(Lacking { entries: 1, before: 15 })));
}

#[test]
fn a_ledger_begun_anew_is_not_held_to_what_another_had() {
    let desk = Desk::new();
    desk.enter(4);
    desk.give_back();
    let Desk { folder, options, journal, keeper } = desk;
    drop(keeper);
    for name in ["ledger", "ledger.pem"] {
        std::fs::rename(options.data.join(name), folder.path().join(name)).expect("set aside");
    }
    let keeper = keep(&options, &journal).expect("another ledger");
    assert_eq!((keeper.remark(), keeper.state().size), (None, Some(1)));
}

#[test]
fn a_damaged_entry_or_note_stops_neither_a_start_nor_the_ledger_and_is_said() {
    let desk = Desk::new();
    desk.enter(6);
    desk.give_back();
    let middle = desk.keeper.reader().expect("a ledger").entry(3).expect("an entry").bytes;
    let Desk { folder: _folder, options, journal, keeper } = desk;
    drop(keeper);
    let file = options.data.join("ledger/entries-00000000.log");
    let mut bytes = std::fs::read(&file).expect("entries");
    let at = memchr::memmem::find(&bytes, &middle).expect("the entry");
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).expect("flipped");
    let keeper = keep(&options, &journal).expect("it starts");
    let remark = keeper.remark().expect("a remark");
    assert!(remark.contains("cannot be told") && remark.contains("entries-00000000.log"), "{remark}");
    assert_eq!((keeper.alarm(), keeper.covered()), (None, journal.synced()));
    drop(keeper);

    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).expect("mended");
    std::fs::write(options.data.join("ledger.marks"), "[{").expect("half a note");
    let keeper = keep(&options, &journal).expect("it starts");
    assert!(keeper.remark().is_some_and(|remark| remark.contains("ledger.marks")), "{:?}", keeper.remark());
    // What is noted later does not make it forgotten.
    keeper.mark(7);
    drop(keeper);
    let keeper = keep(&options, &journal).expect("it starts");
    assert!(keeper.remark().is_some_and(|remark| remark.contains("ledger.marks.damaged")), "{:?}", keeper.remark());
    drop(keeper);
    std::fs::remove_file(options.data.join("ledger.marks.damaged")).expect("looked at");
    assert_eq!(keep(&options, &journal).expect("it starts").remark(), None);
}

#[test]
fn a_ledger_without_its_key_is_not_given_another() {
    let desk = Desk::new();
    desk.keeper.feed().push(&desk.settle(3));
    desk.keeper.round(When::Now).expect("round");
    drop(desk.keeper);
    let key = desk.options.data.join("ledger.pem");
    assert_eq!(std::fs::metadata(&key).expect("key").permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&key).expect("removed");
    let refused = keep(&desk.options, &desk.journal).err();
    assert!(matches!(refused, Some(OpenError::Store(StoreError::Io { .. }))), "{refused:?}");
    assert!(!key.exists());
    KeyFile::create(&key).expect("another key");
    let refused = keep(&desk.options, &desk.journal).err();
    assert!(matches!(refused, Some(OpenError::Store(StoreError::WrongKey { .. }))), "{refused:?}");
}

#[test]
fn a_pin_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("pin");
    std::fs::write(&path, "1234\n").expect("pin");
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("mode");
    assert_eq!(read_pin(&path).expect("pin"), "1234");
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("mode");
    assert!(matches!(read_pin(&path), Err(StoreError::Signer { .. })));
}

#[test]
fn an_archive_enters_what_it_stores_once_and_never_waits_for_the_ledger() {
    let bench = Bench::with(|options| {
        options.quiet_after = Duration::from_millis(1);
        let keeping = LedgerKeeping { sign_every: Duration::from_millis(50), ..LedgerKeeping::default() };
        options.ledger = Some(keeping);
    });
    for number in 0..20 {
        bench.store(&Object::new(&format!("1.2.1.1.{number}"))).expect("stored");
    }
    // Also behind the facts that give no entry: series quiet, study complete.
    let level = |bench: &Bench| bench.archive.ledger_floor() == bench.archive.journal().last();
    until("the floor rises to the newest record", || level(&bench));
    let entries = |bench: &Bench| bench.archive.ledger().expect("a ledger").size();
    assert_eq!(entries(&bench), 20);
    let bench = bench.reopen();
    bench.store(&Object::new("1.2.1.1.99")).expect("stored");
    bench.archive.sign_ledger().expect("signed");
    assert_eq!(entries(&bench), 21);

    let keeper = Arc::clone(bench.archive.keeper().expect("keeper"));
    let heads = bench.options.data.join("ledger/heads.log");
    *keeper.ledger.write() = None;
    std::fs::rename(&heads, bench.folder.path().join("aside")).expect("moved");
    bench.store(&Object::new("1.2.1.1.100")).expect("stored without a ledger");
    until("an alarm", || keeper.alarm().is_some());
    let readiness = bench.archive.readiness();
    assert!(readiness.ready && readiness.reasons.iter().any(|reason| reason.contains("ledger")), "{readiness:?}");
}

#[test]
fn without_a_ledger_nothing_is_kept_and_nothing_withheld() {
    let bench = Bench::with(|options| options.ledger = None);
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    assert!(bench.archive.ledger().is_none() && bench.archive.ledger_state().is_none());
    assert_eq!(bench.archive.ledger_floor(), bench.archive.journal().synced());
    assert!(!bench.options.data.join("ledger").exists());
}
