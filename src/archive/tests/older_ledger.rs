//! An older copy of the ledger, beside a journal that gave records back since, is named at the start and by `verify`.

use super::*;
use crate::proof::LedgerKeeping;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn close(bench: Bench) -> (Options, TempDir) {
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    (options, folder)
}

fn open((options, folder): (Options, TempDir)) -> Bench {
    let archive = Archive::open(options.clone()).expect("open again");
    Bench { archive, options, folder }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for file in fs::read_dir(from).expect("the ledger").flatten() {
        fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

/// What the archive says of its ledger.
fn said(bench: &Bench) -> (Vec<String>, Option<String>) {
    let mut reasons = bench.archive.readiness().reasons;
    reasons.retain(|reason| reason.contains("ledger"));
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!(report.damaged, 0, "{:?}", report.named);
    (reasons, report.ledger)
}

#[test]
fn an_older_copy_of_the_ledger_is_named_once_the_journal_gave_records_back() {
    let bench = Bench::with(|options| {
        options.quiet_after = Duration::ZERO;
        options.packs.after = Duration::ZERO;
        options.packs.reserve = 0;
        options.ledger = Some(LedgerKeeping { sign_every: Duration::from_millis(50), ..LedgerKeeping::default() });
    });
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    let closed = close(bench);
    let (ledger, older) = (closed.0.data.join("ledger"), closed.1.path().join("older"));
    copy(&ledger, &older);

    let bench = open(closed);
    bench.store(&Object::new("1.2.1.1.2")).expect("stored");
    let stored = bench.archive.journal().last();
    let given_back = || bench.archive.journal().segments().first().is_some_and(|oldest| oldest.first_lsn > stored);
    until("the journal gives back what lies in packs", given_back);
    assert_eq!(said(&bench), (Vec::new(), None));

    let closed = close(bench);
    fs::rename(&ledger, closed.1.path().join("newer")).expect("set aside");
    fs::rename(&older, &ledger).expect("the older copy");
    let bench = open(closed);
    let (reasons, verified) = said(&bench);
    assert!(matches!(reasons.as_slice(), [reason] if reason.contains("an older copy")), "{reasons:?}");
    assert_eq!(verified.as_ref(), reasons.first());
    assert!(bench.archive.readiness().ready, "it is no reason to refuse objects");
}
