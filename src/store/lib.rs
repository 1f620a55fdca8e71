//! Bytes at rest: the journal every acknowledged byte goes through, the files of large bodies, and the
//! data directory's format and lock.
//!
//! The crate promises that whatever [`Journal::sync`] covered survives power loss, byte for byte, or is
//! refused with its place named.
//! It deliberately knows nothing of patients or DICOM: heads and bodies are bytes to it.

pub mod blob;
pub mod cache;
pub mod catalogue;
pub mod coding;
pub mod cold;
pub mod disk;
pub mod envelope;
pub mod error;
pub mod hot;
pub mod journal;
pub mod keys;
pub mod ledger;
pub mod lock;
pub mod pack;
pub mod pack_id;
pub mod read_at;

pub use blob::{BlobWriter, FinishedBlob};
pub use disk::{Disk, DiskFile, Open, RealDisk};
pub use error::StoreError;
pub use journal::{Alarm, Body, ChunkSums, Journal, JournalOptions, Record, Recovery, Replayed, SegmentInfo, Torn};
pub use ledger::{Ledger, LedgerOptions, LedgerView};
pub use lock::DataDir;
pub use model::pack::{NotPackId, PackId};
pub use pack_id::{PackFile, draw as draw_pack_id};
pub use read_at::ReadAt;
