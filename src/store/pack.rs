//! Packs: one immutable object for a series, or a part of it, readable with common tools.
//!
//! A pack is a ZIP64 file with stored entries: one for each instance, in the caller's order, then the series'
//! prepared metadata (`series.json.zst`), then `manifest.json`, which says where everything lies.
//! [`PackWriter`] writes one as a stream, [`Pack`] reads one from anything that is [`crate::ReadAt`].
//! It deliberately interprets no attribute: what the archive knows of an instance passes through as JSON.
//!
//! ```text
//! entry       local header, data, descriptor (CRC-32, length, length); no gaps
//! instance    data: the Part 10 file in pieces, each as it is or coded; the manifest has their lengths and CRC-32Cs
//! comment     "khoanh pack 2 manifest OOOOOOOOOOOOOOOOOOOO LLLLLLLLLLLLLLLLLLLL CCCCCCCC":
//!             version, place and length of manifest.json in 20 decimal digits, its CRC-32C in 8 hexadecimal ones
//! ```

mod crc32;
mod error;
mod frames;
mod manifest;
mod piece;
mod reader;
#[cfg(test)]
mod tests;
mod verify;
mod writer;
mod zip;

pub use error::PackError;
pub use frames::FramePlaces;
pub use manifest::{Document, EntryCoding, Manifest, PackAbout, PackedInstance, Piece};
pub use piece::Pieces;
pub use reader::{Frame, Pack};
pub use writer::{InstanceIn, PackSummary, PackWriter};

/// Version of the format that is written. 2: digests of received data sets may be BLAKE3; 1 is read.
pub const VERSION: u32 = 2;
/// Longest piece, in bytes of the file: what a reader must hold at most to give out a byte.
pub const PIECE_MAX: u64 = 64 << 20;
/// Longest manifest: some two million frames.
pub const MANIFEST_MAX: u64 = 256 << 20;
/// Longest prepared metadata of a pack, decoded.
pub const DOCUMENT_MAX: u64 = 1 << 30;
/// Piece of whatever is no frame.
const WINDOW: u64 = 64 << 10;
/// Frames below this length share pieces with their neighbours, up to [`WINDOW`].
const SMALL_FRAME: u64 = 4 << 10;
/// Length of the comment at the end of the file.
const COMMENT_LEN: usize = 73;

/// The comment, from which a reader finds the manifest.
fn comment(version: u32, offset: u64, len: u64, crc32c: u32) -> String {
    format!("khoanh pack {version} manifest {offset:020} {len:020} {crc32c:08x}")
}
