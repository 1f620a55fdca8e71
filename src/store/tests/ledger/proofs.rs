//! Proofs read from the files, of every entry and every pair of sizes, and the documents they are put into.

use crate::disk::SimDisk;
use crate::registry::{MORNING, append, filled, open, text, view};
use store::StoreError;
use store::ledger::{Hash, leaf_hash, verify_consistency, verify_inclusion};

const LAST: u64 = 130;

#[test]
fn every_proof_read_from_the_files_holds() {
    let disk = filled(LAST);
    let view = view(&disk).expect("view");
    let roots: Vec<Hash> = (0..=LAST).map(|size| view.root(size).expect("root")).collect();
    for (size, root) in (0u64..).zip(&roots) {
        for index in 0..size {
            let path = view.inclusion(index, size).expect("path");
            assert!(verify_inclusion(index, size, &leaf_hash(text(index + 1).as_bytes()), &path, root));
        }
        for (first, old) in (0u64..).zip(&roots).take_while(|(first, _)| *first <= size) {
            let path = view.consistency(first, size).expect("path");
            assert!(verify_consistency(first, size, old, root, &path), "{first} in {size}");
        }
    }
}

#[test]
fn what_is_not_in_the_ledger_is_not_proven() {
    let disk = filled(10);
    let (ledger, _) = open(&disk);
    append(&ledger, 11..=12).expect("unsigned");
    let view = ledger.view();
    let refused: [Result<(), StoreError>; 8] = [
        view.inclusion(10, 10).map(drop),
        view.inclusion(3, 11).map(drop),
        view.inclusion(3, 3).map(drop),
        view.consistency(5, 11).map(drop),
        view.consistency(6, 5).map(drop),
        view.proof_document(10).map(drop),
        view.consistency_document(4, 10).map(drop),
        view.root(u64::MAX).map(drop),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(StoreError::NotInLedger { .. })), "{number}: {refused:?}");
    }
}

#[test]
fn an_empty_ledger_proves_nothing() {
    let disk = SimDisk::new();
    let (ledger, opened) = open(&disk);
    assert_eq!(opened.size, 0);
    assert!(ledger.view().head().is_none());
    assert!(matches!(ledger.view().proof_document(0), Err(StoreError::NotInLedger { .. })));
    assert_eq!(ledger.view().check().expect("whole").entries, 0);
    ledger.sync_and_sign(MORNING).expect("sign");
    assert!(matches!(ledger.view().proof_document(0), Err(StoreError::NotInLedger { .. })));
    assert_eq!(ledger.view().check().expect("whole").heads, 1);
}

#[test]
fn a_document_holds_the_entry_its_path_the_head_and_the_key() {
    let disk = filled(10);
    let view = view(&disk).expect("view");
    let head = view.head().expect("head");
    let document: serde_json::Value = serde_json::from_str(&view.proof_document(4).expect("proof")).expect("JSON");
    assert_eq!(document["format"], "khoanh ledger inclusion 1");
    assert_eq!(document["entry"], text(5));
    assert_eq!(document["index"], 4);
    assert_eq!(document["path"].as_array().map(Vec::len), Some(4));
    assert_eq!(document["head"]["size"], 10);
    assert_eq!(document["head"]["sequence"], 10);
    assert_eq!(document["head"]["time"], head.head.time_ms);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(document["head"]["root"], hex(&head.head.root));
    assert_eq!(document["head"]["signature"], hex(&head.signature));
    assert_eq!(document["public_key"], hex(view.public_key()));

    let document = view.consistency_document(3, 10).expect("proof");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document["format"], "khoanh ledger consistency 1");
    assert_eq!((&document["first"]["size"], &document["second"]["size"]), (&3.into(), &10.into()));
}

#[test]
fn the_signed_text_is_the_documented_one() {
    let disk = filled(3);
    let head = view(&disk).expect("view").head().expect("head").head;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected = format!(
        "khoanh ledger head 1\nlog {}\nsize 3\nroot {}\nsequence 3\ntime 1790000000003\n",
        hex(&head.log),
        hex(&head.root)
    );
    assert_eq!(head.text(), expected);
}
