//! The Merkle tree of RFC 9162, section 2.1: hashes, proofs and how they are checked.
//!
//! A leaf is `SHA-256(0x00 || entry)`, an inner node `SHA-256(0x01 || left || right)`; the root of an empty tree is
//! the SHA-256 of nothing. A node is named by level (0 for leaves) and index from the left; it is complete when
//! all `2^level` leaves below it exist, and then it never changes.
//! This module deliberately reads no file: whoever asks for a proof hands in where complete nodes come from.

use sha2::{Digest, Sha256};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// Hash of an entry as a leaf.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// Hash of an inner node over its two children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Root of the tree without leaves.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The right edge of a growing tree: the complete subtrees from the largest on the left to the smallest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a tree of `size` leaves, its complete nodes from `node`.
    pub(super) fn read<E>(size: u64, node: impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Self, E> {
        Ok(Self { size, peaks: peaks(0, size, node)? })
    }

    /// Leaves so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; `completed` is told every inner node this completes, from level 1 upward.
    pub(super) fn push(&mut self, leaf: Hash, mut completed: impl FnMut(&Hash)) {
        let mut hash = leaf;
        let mut rest = self.size;
        while rest & 1 == 1 {
            // As many subtrees stand to the left as bits are set in the size.
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            completed(&hash);
            rest >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Root of the tree.
    pub(super) fn root(&self) -> Hash {
        fold(&self.peaks)
    }
}

/// Largest power of two below a length of at least two.
fn split(len: u64) -> u64 {
    1 << (63 - len.saturating_sub(1).max(1).leading_zeros())
}

/// The complete subtrees that make up leaves `start..end`, `start` being where a subtree of that size begins.
fn peaks<E>(start: u64, end: u64, mut node: impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let (mut found, mut at) = (Vec::new(), start);
    while at < end {
        let level = 63 - (end - at).leading_zeros();
        found.push(node(level, at >> level)?);
        at += 1 << level;
    }
    Ok(found)
}

fn fold(peaks: &[Hash]) -> Hash {
    let mut from_right = peaks.iter().rev().copied();
    let last = from_right.next().unwrap_or_else(empty_root);
    from_right.fold(last, |right, left| node_hash(&left, &right))
}

/// Root of the tree over the first `size` leaves.
pub(super) fn root<E>(size: u64, node: impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    Ok(fold(&peaks(0, size, node)?))
}

/// Audit path of leaf `index` in the tree of `size` leaves (RFC 9162, 2.1.3.1), nearest sibling first.
/// Asks for some `2 log2(size)` nodes. `index` must lie below `size`.
pub(super) fn inclusion<E>(
    index: u64,
    size: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut start, mut end, mut path) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(fold(&peaks(middle, end, &mut node)?));
            end = middle;
        } else {
            path.push(fold(&peaks(start, middle, &mut node)?));
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Proof that the tree of `first` leaves is the beginning of the one of `second` (RFC 9162, 2.1.4.1).
/// Empty for `first` 0 and for equal sizes. `first` must not exceed `second`.
pub(super) fn consistency<E>(
    first: u64,
    second: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut start, mut end, mut path) = (0, second, Vec::new());
    if first == 0 {
        return Ok(path);
    }
    while first != end {
        let middle = start + split(end - start);
        if first <= middle {
            path.push(fold(&peaks(middle, end, &mut node)?));
            end = middle;
        } else {
            path.push(fold(&peaks(start, middle, &mut node)?));
            start = middle;
        }
    }
    // The checker knows the first root; it needs the rest only where the first tree is no subtree of the second.
    if start != 0 {
        path.push(fold(&peaks(start, end, &mut node)?));
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` proves that `leaf` is leaf `index` of the tree of `size` leaves with this root
/// (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            // A right edge that has no sibling rises until it has one.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `path` proves that the tree of `first` leaves is the beginning of the one of `second` leaves
/// (RFC 9162, 2.1.4.2).
pub fn verify_consistency(first: u64, second: u64, first_root: &Hash, second_root: &Hash, path: &[Hash]) -> bool {
    if first == second {
        return path.is_empty() && first_root == second_root;
    }
    if first == 0 {
        return path.is_empty() && *first_root == empty_root();
    }
    if first > second {
        return false;
    }
    // A first tree that is one complete subtree is where the path begins, and is not repeated in it.
    let given = if first.is_power_of_two() { Some(first_root) } else { None };
    let mut path = given.into_iter().chain(path);
    let Some(begin) = path.next() else { return false };
    let (mut at, mut last) = (first - 1, second - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*begin, *begin);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old == *first_root && new == *second_root
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
