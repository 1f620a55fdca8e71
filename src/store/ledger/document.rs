//! Proofs as documents: one JSON object that holds everything needed to check it, years later and offline.
//!
//! Hashes, keys and signatures are hexadecimal, numbers are decimal, and an entry is its own text, byte for byte,
//! as a JSON string. `scripts/verify_proof.py` checks them; docs/FORMAT.md describes them.
//! This module deliberately proves nothing by itself: it writes down what the view proved.

use super::head::SignedTreeHead;
use super::layout::hex;
use super::merkle::{self, Hash, leaf_hash};
use super::view::LedgerView;
use crate::StoreError;
use serde_json::{Value, json};

impl LedgerView {
    /// Proves that an entry lies in the newest signed head: entry, audit path, head and public key.
    pub fn proof_document(&self, index: u64) -> Result<String, StoreError> {
        let missing = || StoreError::NotInLedger { what: "entry", asked: index, size: 0 };
        let head = self.head().ok_or_else(missing)?;
        let entry = self.entry(index)?;
        let path = self.inclusion(index, head.head.size)?;
        let leaf = leaf_hash(&entry.bytes);
        let text = String::from_utf8(entry.bytes);
        if !merkle::verify_inclusion(index, head.head.size, &leaf, &path, &head.head.root) {
            return Err(self.unfit("the newest head does not cover an entry below it"));
        }
        Ok(pretty(&json!({
            "format": "khoanh ledger inclusion 1",
            // `append` takes text only.
            "entry": text.map_err(|_| self.unfit("an entry that is no text"))?,
            "index": index,
            "path": hashes(&path),
            "head": head_value(&head),
            "public_key": hex(self.public_key()),
        })))
    }

    /// Proves that the head over `first` entries is the beginning of the head over `second`: both signed heads
    /// and the path between them. `NotInLedger` when no head was signed at one of these sizes
    /// ([`LedgerView::head_up_to`] finds the ones there are).
    pub fn consistency_document(&self, first: u64, second: u64) -> Result<String, StoreError> {
        let (old, new) = (self.head_at(first)?, self.head_at(second)?);
        let path = self.consistency(first, second)?;
        if !merkle::verify_consistency(first, second, &old.head.root, &new.head.root, &path) {
            return Err(self.unfit("an old head is not the beginning of a newer one"));
        }
        Ok(pretty(&json!({
            "format": "khoanh ledger consistency 1",
            "first": head_value(&old),
            "second": head_value(&new),
            "path": hashes(&path),
            "public_key": hex(self.public_key()),
        })))
    }

    fn unfit(&self, what: &'static str) -> StoreError {
        StoreError::corrupt(&self.tree.file().path, 0, 0, what)
    }
}

fn head_value(head: &SignedTreeHead) -> Value {
    json!({
        "size": head.head.size,
        "root": hex(&head.head.root),
        "sequence": head.head.sequence,
        "time": head.head.time_ms,
        "signature": hex(&head.signature),
    })
}

fn hashes(path: &[Hash]) -> Vec<String> {
    path.iter().map(|hash| hex(hash)).collect()
}

fn pretty(value: &Value) -> String {
    // The alternate form of a JSON value is its indented text.
    format!("{value:#}\n")
}
