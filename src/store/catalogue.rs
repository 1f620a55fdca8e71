//! Catalogues: small objects that hold the manifests of many packs, so that nobody need open every pack in a bucket.
//!
//! ```text
//! offset size  catalogue, numbers little endian
//!      0    8  magic "KHOANHL1"
//!      8    4  format version, 1
//!     12    4  number of entries
//!     16       the entries, one after the other
//!    -32   32  SHA-256 of everything before
//! ```
//!
//! ```text
//! offset size  entry of a catalogue
//!      0   16  name of the pack
//!     16    1  form: 0 plain, 1 sealed
//!     17    4  length of what follows
//!     21       plain: one zstd frame of the pack's manifest.json; sealed: the same, sealed
//! ```
//!
//! A sealed entry is a nonce of 12 bytes, the ciphertext and a tag of 16 bytes: AES-256-GCM under the pack's data key,
//! with `khoanh catalogue 1` and the pack's name as additional data. So it goes with the pack's key.
//! It deliberately knows neither where catalogues lie nor which packs count.

use crate::keys::DataKey;
use crate::pack::MANIFEST_MAX;
use crate::{PackId, StoreError};
use sha2::{Digest, Sha256};
use std::io::Read;

const MAGIC: &[u8; 8] = b"KHOANHL1";
const VERSION: u32 = 1;
const ABOUT: &[u8] = b"khoanh catalogue 1";
/// zstd level of a manifest: it is written once and read by hundreds of thousands.
const LEVEL: i32 = 6;

/// The manifest of one pack, as it lies in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The pack.
    pub pack: PackId,
    /// Whether it is sealed.
    pub sealed: bool,
    bytes: Vec<u8>,
}

fn wrong(what: &'static str) -> StoreError {
    StoreError::Envelope { what }
}

fn about(pack: PackId) -> Vec<u8> {
    [ABOUT, pack.as_bytes()].concat()
}

impl Entry {
    /// The entry of a pack, by its `manifest.json`; sealed where there is a key.
    ///
    /// # Errors
    /// When there is no memory, or no randomness.
    pub fn of(pack: PackId, manifest: &[u8], key: Option<&DataKey>) -> Result<Self, StoreError> {
        let coded = zstd::bulk::compress(manifest, LEVEL).map_err(|_| wrong("a manifest does not pack"))?;
        let bytes = match key {
            Some(key) => key.seal_bytes(&about(pack), &coded)?,
            None => coded,
        };
        Ok(Self { pack, sealed: key.is_some(), bytes })
    }

    /// The zstd frame of the manifest.
    ///
    /// # Errors
    /// [`StoreError::Envelope`] when the key is another, or missing.
    pub fn coded(&self, key: Option<&DataKey>) -> Result<Vec<u8>, StoreError> {
        match (self.sealed, key) {
            (false, _) => Ok(self.bytes.clone()),
            (true, Some(key)) => Ok(key.open_bytes(&about(self.pack), &self.bytes)?.to_vec()),
            (true, None) => Err(wrong("an entry of a catalogue is sealed")),
        }
    }

    /// Bytes it takes.
    pub fn size(&self) -> usize {
        self.bytes.len() + 21
    }
}

/// The `manifest.json` in a zstd frame.
///
/// # Errors
/// [`StoreError::Envelope`] when it is none, or too long.
pub fn decode(coded: &[u8]) -> Result<Vec<u8>, StoreError> {
    let unread = |_| wrong("a manifest in a catalogue does not unpack");
    let mut json = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(coded).map_err(unread)?;
    decoder.take(MANIFEST_MAX).read_to_end(&mut json).map_err(unread)?;
    Ok(json)
}

/// Writes a catalogue.
///
/// # Errors
/// [`StoreError::Envelope`] when an entry or their number is too large.
pub fn write(entries: &[Entry]) -> Result<Vec<u8>, StoreError> {
    let number = |len: usize| u32::try_from(len).map(u32::to_le_bytes).map_err(|_| wrong("a catalogue is too long"));
    let mut out = Vec::with_capacity(entries.iter().map(Entry::size).sum::<usize>() + 48);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&number(entries.len())?);
    for entry in entries {
        out.extend_from_slice(entry.pack.as_bytes());
        out.push(u8::from(entry.sealed));
        out.extend_from_slice(&number(entry.bytes.len())?);
        out.extend_from_slice(&entry.bytes);
    }
    let sum = Sha256::digest(&out);
    out.extend_from_slice(&sum);
    Ok(out)
}

/// Reads a catalogue; nothing of it is believed before its digest was compared.
///
/// # Errors
/// [`StoreError::Envelope`] when it is none, damaged, or of a newer program.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let cut = || wrong("a catalogue ends too early");
    let (mut rest, sum) = bytes.split_last_chunk::<32>().ok_or_else(cut)?;
    if !rest.starts_with(MAGIC) {
        return Err(wrong("these bytes are no catalogue"));
    }
    if Sha256::digest(rest).as_slice() != sum {
        return Err(wrong("the digest of a catalogue differs"));
    }
    let mut take = |len: usize| -> Result<&[u8], StoreError> {
        let (taken, left) = rest.split_at_checked(len).ok_or_else(cut)?;
        rest = left;
        Ok(taken)
    };
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).map_err(|_| cut());
    take(MAGIC.len())?;
    if number(take(4)?)? != VERSION {
        return Err(wrong("a catalogue has a version that this program does not know"));
    }
    let mut entries = Vec::new();
    for _ in 0..number(take(4)?)? {
        let pack = PackId::new(take(16)?.try_into().map_err(|_| cut())?);
        let sealed = match take(1)? {
            [0] => false,
            [1] => true,
            _ => return Err(wrong("an entry of a catalogue has an unknown form")),
        };
        let len = usize::try_from(number(take(4)?)?).map_err(|_| cut())?;
        entries.push(Entry { pack, sealed, bytes: take(len)?.to_vec() });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_open_by_the_key_of_their_pack_alone() {
        let (one, other) = (DataKey::new([1; 32]), DataKey::new([2; 32]));
        let (a, b) = (PackId::new([1; 16]), PackId::new([2; 16]));
        let manifest = br#"{"instances":[]}"#.repeat(40);
        let entries =
            [Entry::of(a, &manifest, Some(&one)).expect("an entry"), Entry::of(b, &manifest, None).expect("an entry")];
        let bytes = write(&entries).expect("a catalogue");
        let read = read(&bytes).expect("a catalogue");
        assert_eq!(read, entries);
        let opened = read[0].coded(Some(&one)).expect("opens");
        assert_eq!(decode(&opened).expect("unpacks"), manifest);
        assert_eq!(decode(&read[1].coded(None).expect("is open")).expect("unpacks"), manifest);
        assert!(read[0].coded(Some(&other)).is_err() && read[0].coded(None).is_err());
        // An entry under another pack's name does not open.
        let moved = Entry { pack: b, ..read[0].clone() };
        assert!(moved.coded(Some(&one)).is_err());
    }

    #[test]
    fn a_changed_or_cut_catalogue_is_refused() {
        let entry = Entry::of(PackId::new([1; 16]), b"{}", None).expect("an entry");
        let bytes = write(&[entry.clone(), entry]).expect("a catalogue");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_err(), "byte {at}");
            assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
