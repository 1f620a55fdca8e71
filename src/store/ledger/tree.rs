//! `tree.log`: every complete node of the tree, so that a proof reads some `2 log2(n)` of them and no entry.
//!
//! After the header nodes lie in the order in which they become complete: each leaf, then the inner nodes it
//! completes from level 1 upward. So a node's place follows from its level and index alone.
//!
//! ```text
//! offset size  leaf (44 bytes)              offset size  inner node (36 bytes)
//!      0   32  hash                              0   32  hash
//!     32    4  number of the entry's file       32    4  salted CRC of bytes 0 to 32
//!     36    4  offset of the entry's record
//!     40    4  salted CRC of bytes 0 to 40
//! ```
//!
//! The salt is the node's offset in the file (8 bytes), appended: a node in a wrong place does not pass.
//! This module deliberately never computes a hash: it keeps what the ledger hands it.

use super::layout::{Fields, HEADER, Header, Kind, LogFile};
use super::merkle::Hash;
use crate::{Disk, Open, StoreError};
use std::path::Path;

/// Length of a leaf in bytes.
const LEAF: u64 = 44;
const LEAF_LEN: usize = 44;
/// Length of an inner node in bytes.
const NODE: u64 = 36;
const NODE_LEN: usize = 36;

/// Where an entry's record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the file.
    pub(super) file: u32,
    /// Offset of the record in it.
    pub(super) offset: u32,
}

/// The open file.
pub(super) struct TreeLog {
    file: LogFile,
}

/// Offset of leaf `index`, which is also where a tree of so many leaves ends.
pub(super) fn leaf_offset(index: u64) -> u64 {
    // `index` leaves completed `index - popcount(index)` inner nodes before it.
    HEADER + index * LEAF + (index - u64::from(index.count_ones())) * NODE
}

fn offset(level: u32, index: u64) -> u64 {
    let completing = ((index + 1) << level) - 1;
    let above = u64::from(level.saturating_sub(1)) * NODE;
    leaf_offset(completing) + if level == 0 { 0 } else { LEAF + above }
}

fn sum(bytes: &[u8], offset: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(bytes), &offset.to_le_bytes())
}

/// Appends a leaf to a run of nodes that begins in the file at `start`.
pub(super) fn put_leaf(run: &mut Vec<u8>, start: u64, hash: &Hash, place: Place) {
    let (at, begin) = (start + run.len() as u64, run.len());
    run.extend_from_slice(hash);
    run.extend_from_slice(&place.file.to_le_bytes());
    run.extend_from_slice(&place.offset.to_le_bytes());
    let sum = sum(run.get(begin..).unwrap_or_default(), at);
    run.extend_from_slice(&sum.to_le_bytes());
}

/// Appends an inner node likewise.
pub(super) fn put_node(run: &mut Vec<u8>, start: u64, hash: &Hash) {
    let sum = sum(hash, start + run.len() as u64);
    run.extend_from_slice(hash);
    run.extend_from_slice(&sum.to_le_bytes());
}

impl TreeLog {
    /// Opens the file of the ledger with this key, checking its header.
    pub(super) fn open(disk: &dyn Disk, path: &Path, how: Open, key: &[u8; 32]) -> Result<Self, StoreError> {
        let file = LogFile::open(disk, path, how)?;
        let header = Header::read(&file, Kind::Tree)?;
        if header.key != *key {
            return Err(StoreError::corrupt(&file.path, 16, 0, "the file belongs to another ledger"));
        }
        Ok(Self { file })
    }

    /// Begins the file anew.
    pub(super) fn create(disk: &dyn Disk, path: &Path, key: &[u8; 32]) -> Result<Self, StoreError> {
        let file = LogFile::open(disk, path, Open::Create)?;
        file.set_len(0)?;
        file.write(&Header { kind: Kind::Tree, number: 0, key: *key, first: 0 }.encode(), 0)?;
        Ok(Self { file })
    }

    /// Hash of a complete node.
    pub(super) fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        if level == 0 {
            return self.leaf(index).map(|(hash, _)| hash);
        }
        let mut bytes = [0; NODE_LEN];
        self.checked(&mut bytes, offset(level, index), index)
    }

    /// Hash and place of a leaf.
    pub(super) fn leaf(&self, index: u64) -> Result<(Hash, Place), StoreError> {
        let at = leaf_offset(index);
        let mut bytes = [0; LEAF_LEN];
        let hash = self.checked(&mut bytes, at, index)?;
        let mut fields = Fields(bytes.get(32..).unwrap_or_default());
        let short = || StoreError::corrupt(&self.file.path, at, index, "a node's length");
        let place = Place { file: fields.u32().ok_or_else(short)?, offset: fields.u32().ok_or_else(short)? };
        Ok((hash, place))
    }

    fn checked(&self, bytes: &mut [u8], at: u64, index: u64) -> Result<Hash, StoreError> {
        self.file.read(bytes, at, index)?;
        let bad = || StoreError::corrupt(&self.file.path, at, index, "a node's checksum");
        let (body, stored) = bytes.split_last_chunk::<4>().ok_or_else(bad)?;
        if sum(body, at).to_le_bytes() != *stored {
            return Err(bad());
        }
        Fields(body).take().ok_or_else(bad)
    }

    pub(super) fn file(&self) -> &LogFile {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::merkle::{Frontier, leaf_hash};

    #[test]
    fn every_node_lies_where_its_level_and_index_say() {
        let mut frontier = Frontier::default();
        let mut at = HEADER;
        for index in 0..300u64 {
            assert_eq!(leaf_offset(index), at);
            at += LEAF;
            let mut level = 0;
            frontier.push(leaf_hash(&index.to_le_bytes()), |_| {
                level += 1;
                assert_eq!(offset(level, index >> level), at, "leaf {index} level {level}");
                at += NODE;
            });
        }
    }
}
