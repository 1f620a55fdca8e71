//! The envelope around a pack: authenticated encryption in fixed chunks, so that any range of the plain bytes is
//! one range of the sealed ones.
//!
//! ```text
//! offset size  header (64 bytes)
//!      0    8  magic "KHOANHE1"
//!      8    4  format version, 1
//!     12    1  cipher: 1 AES-256-GCM
//!     13    1  size of a plain chunk as a power of two: 16
//!     14    2  zero
//!     16   16  name of the pack
//!     32   32  salt
//! ```
//!
//! Then come the chunks, each the sealed form of 65,536 plain bytes (fewer in the last) followed by a tag of 16
//! bytes. A body of no bytes has one empty chunk.
//! The key of the chunks is HKDF-SHA-256 (RFC 5869) of the pack's data key with the salt, and with the header's 64
//! bytes as info: a changed header opens nothing.
//! The nonce of chunk `n` is one byte 1 for the last chunk and 0 for others, three zero bytes, and `n` (8 bytes, big
//! endian). So a chunk opens at its own place, in its own pack, and a cut at the end of a chunk is seen.
//!
//! A nonce must never meet two plain texts under one key. The salt sees to that: it is either drawn anew
//! ([`Header::draw`]) or an HMAC-SHA-256 of the plain bytes' digest under the data key ([`Header::of_plain`]), by
//! which sealing the same pack again, after a broken upload say, gives the same bytes, and whoever knows digest and
//! key can read a range without reading the header first.
//!
//! It deliberately neither keeps keys (see [`crate::keys`]) nor knows what a pack is inside.

mod open;
mod seal;
#[cfg(test)]
mod tests;
mod write;

pub use open::OpenedPack;
pub use seal::SealedPack;
pub use write::{SealWriter, Sealing};

use crate::keys::DataKey;
use crate::{PackId, StoreError};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};

/// Bytes of the header.
pub const HEADER_BYTES: u64 = 64;
/// Plain bytes of every chunk but the last.
pub const CHUNK_BYTES: u64 = 1 << CHUNK_POWER;
/// Bytes by which sealing lengthens a chunk.
pub const TAG_BYTES: u64 = 16;

const CHUNK_POWER: u8 = 16;
const SEALED_CHUNK_BYTES: u64 = CHUNK_BYTES + TAG_BYTES;
const MAGIC: &[u8; 8] = b"KHOANHE1";
const VERSION: u32 = 1;
const AES_GCM: u8 = 1;

/// What stands before the chunks; with the data key it gives the key of the chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pack: PackId,
    salt: [u8; 32],
}

impl Header {
    /// A header with a salt that was never used before: for bytes whose digest is not known yet.
    ///
    /// # Errors
    /// [`StoreError::Envelope`] when the system has no random numbers.
    pub fn draw(pack: PackId) -> Result<Self, StoreError> {
        Ok(Self { pack, salt: crate::keys::random()? })
    }

    /// The header for plain bytes whose SHA-256 is known: always the same for the same key and bytes.
    pub fn of_plain(pack: PackId, key: &DataKey, digest: &[u8; 32]) -> Self {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()));
        context.update(b"khoanh envelope salt 1");
        context.update(digest);
        let tag = context.sign();
        let mut salt = [0; 32];
        for (to, from) in salt.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Self { pack, salt }
    }

    /// Reads the first 64 bytes of a sealed pack.
    ///
    /// # Errors
    /// [`StoreError::Envelope`] where they are none of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        let wrong = |what| StoreError::Envelope { what };
        let bytes: &[u8; 64] = bytes.first_chunk().ok_or(wrong("it is shorter than its header"))?;
        let pack = bytes.get(16..32).and_then(|pack| pack.try_into().ok()).map(PackId::new);
        let salt = bytes.get(32..64).and_then(|salt| salt.try_into().ok());
        let (Some(pack), Some(salt)) = (pack, salt) else { return Err(wrong("it is shorter than its header")) };
        let header = Self { pack, salt };
        if !bytes.starts_with(MAGIC) {
            return Err(wrong("these bytes are no envelope"));
        }
        if header.bytes() != *bytes {
            return Err(wrong("its version, cipher or chunk size is not known to this program"));
        }
        Ok(header)
    }

    /// The 64 bytes as they are stored.
    pub fn bytes(&self) -> [u8; 64] {
        let version = VERSION.to_le_bytes();
        let parts = MAGIC.iter().chain(&version).chain(&[AES_GCM, CHUNK_POWER, 0, 0]);
        let parts = parts.chain(self.pack.as_bytes()).chain(&self.salt);
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = *from;
        }
        bytes
    }

    /// The pack it belongs to.
    pub fn pack(&self) -> PackId {
        self.pack
    }
}

/// Length of the envelope around `plain` bytes; `None` where no such number exists.
pub fn sealed_len(plain: u64) -> Option<u64> {
    chunks(plain).checked_mul(TAG_BYTES)?.checked_add(plain)?.checked_add(HEADER_BYTES)
}

/// Length of the plain bytes in an envelope of `sealed` bytes.
///
/// # Errors
/// [`StoreError::Envelope`] where no envelope is that long.
pub fn plain_len(sealed: u64) -> Result<u64, StoreError> {
    let wrong = StoreError::Envelope { what: "no envelope has this length" };
    let Some(body) = sealed.checked_sub(HEADER_BYTES) else { return Err(wrong) };
    let count = body.div_ceil(SEALED_CHUNK_BYTES);
    let plain = count.checked_mul(TAG_BYTES).and_then(|tags| body.checked_sub(tags));
    // Only a chunk that holds something follows a full one.
    plain.filter(|plain| count == chunks(*plain)).ok_or(wrong)
}

/// Number of chunks for so many plain bytes: at least one, which carries the end.
fn chunks(plain: u64) -> u64 {
    plain.div_ceil(CHUNK_BYTES).max(1)
}

/// The key of one envelope's chunks.
struct ChunkKey(LessSafeKey);

impl ChunkKey {
    fn new(key: &DataKey, header: &Header) -> Result<Self, StoreError> {
        let failed = |_| StoreError::Envelope { what: "its key could not be derived" };
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &header.salt).extract(key.bytes());
        let info = [&header.bytes()[..]];
        let expanded = extracted.expand(&info, &AES_256_GCM).map_err(failed)?;
        Ok(Self(LessSafeKey::new(UnboundKey::from(expanded))))
    }

    /// Seals in place and appends the tag.
    fn seal(&self, number: u64, last: bool, chunk: &mut Vec<u8>) -> Result<(), StoreError> {
        let sealed = self.0.seal_in_place_append_tag(nonce(number, last), Aad::empty(), chunk);
        sealed.map_err(|_| StoreError::Envelope { what: "a chunk could not be sealed" })
    }

    /// Opens in place; the plain bytes are what is answered.
    fn open<'a>(&self, number: u64, last: bool, chunk: &'a mut [u8]) -> Result<&'a [u8], StoreError> {
        let opened = self.0.open_in_place(nonce(number, last), Aad::empty(), chunk);
        let what = "a chunk does not open: wrong key, wrong pack, wrong place or changed bytes";
        opened.map(|plain| &*plain).map_err(|_| StoreError::Envelope { what })
    }
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let parts = [u8::from(last), 0, 0, 0].into_iter().chain(number.to_be_bytes());
    for (to, from) in bytes.iter_mut().zip(parts) {
        *to = from;
    }
    Nonce::assume_unique_for_key(bytes)
}

fn invalid(error: StoreError) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, error)
}
