//! The key store: one data key per sealed pack or fact, wrapped by an epoch key of its facility, in two copies that lie
//! outside journal, packs and buckets. Destroying a study means destroying the keys of its packs here.
//!
//! Each copy is a directory of shards, `abc.keys`, where `abc` are the first three hexadecimal digits of the CRC-32C
//! of a pack's name. A shard is a row of records of 128 bytes, a quarter of a sector: a write changes one whole or
//! not at all.
//!
//! ```text
//! offset size  record, numbers little endian
//!      0    4  CRC-32C of bytes 4 to 128
//!      4    1  state: 1 live, 2 destroyed; a slot of zeros is free
//!      5    1  wrapping: 1 AES-256-GCM by the key file, 2 by a PKCS#11 token
//!      6    2  zero
//!      8    4  epoch of the key that wraps it
//!     12    4  zero
//!     16   16  name of the pack
//!     32    5  facility
//!     37   11  zero
//!     48   12  nonce
//!     60   48  wrapped key and tag; zero when destroyed
//!    108   20  zero
//! ```
//!
//! Facility, pack and epoch are bound into the wrapping (additional data: facility, pack, epoch).
//! Destroying and wrapping anew overwrite the record in place, in the first copy and then in the second, so that no
//! older version stays in either; a destroyed record stays as a tombstone, so that a copy that was away, or an old
//! backup, cannot bring the key back. Where copies differ, destroyed wins over live, a higher epoch over a lower,
//! and anything valid over damage: a crash between the copies settles itself by these rules.
//! After a failed sync a disk may hold other bytes than it shows, so everything is written anew before it is believed;
//! a file `SUSPECT` remembers that over a restart.
//! `KEYS` in each directory names the store; a directory without it is never taken for an empty copy.
//!
//! It deliberately remembers no unwrapped key, and does not know where epoch keys come from (see [`EpochKeys`]).

mod dates;
mod epoch;
mod master;
mod record;
mod shard;
#[cfg(test)]
mod tests;
mod token;

pub use epoch::{EpochKeys, KeyFile, Wrapped};
pub use master::MasterKey;
pub use token::{EpochTokenOptions, TokenKeys};

use crate::{Disk, PackId, StoreError};
use model::FacilityCode;
use parking_lot::Mutex;
use record::{Record, State};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use shard::{Copies, Shard, Trust};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Shards of a store: small enough to read whole, many enough for a hundred million packs.
const SHARDS: u32 = 1 << 12;
/// Bits of a drawn name that are tried for one in a wanted shard: more than shards have, so that one is found.
const TRIED_BITS: u32 = 16;

/// The key of one pack: 32 bytes that are wiped when dropped and never printed.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// A key with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key as 64 hexadecimal digits, for `scripts/read_pack.py --key` and whoever else must read a pack without
    /// this program. Keep it no longer than that takes.
    pub fn export(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Seals a short text: 12 bytes nonce, ciphertext, 16 bytes tag, in hexadecimal digits. `about` must be given again
    /// to open it. AES-256-GCM.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn seal_text(&self, about: &[u8], text: &[u8]) -> Result<String, StoreError> {
        Ok(self.seal_bytes(about, text)?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The same in bytes.
    ///
    /// # Errors
    /// As [`DataKey::seal_text`].
    pub fn seal_bytes(&self, about: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let nonce: [u8; 12] = random()?;
        let mut sealed = plain.to_vec();
        let failed = |_| StoreError::Envelope { what: "a text could not be sealed" };
        let unique = Nonce::assume_unique_for_key(nonce);
        self.cipher()?.seal_in_place_append_tag(unique, Aad::from(about), &mut sealed).map_err(failed)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`DataKey::seal_text`] made.
    ///
    /// # Errors
    /// [`StoreError::Envelope`] when a digit of it, or of what it is about, is another.
    pub fn open_text(&self, about: &[u8], digits: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let wrong = || StoreError::Envelope { what: "a sealed text is damaged" };
        let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
        let bytes: Result<Vec<u8>, _> = pairs.map(|pair| u8::from_str_radix(pair, 16)).collect();
        self.open_bytes(about, &bytes.map_err(|_| wrong())?)
    }

    /// Opens what [`DataKey::seal_bytes`] made.
    ///
    /// # Errors
    /// As [`DataKey::open_text`].
    pub fn open_bytes(&self, about: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let wrong = || StoreError::Envelope { what: "a sealed text is damaged" };
        let (nonce, sealed) = bytes.split_first_chunk::<12>().ok_or_else(wrong)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = self.cipher()?.open_in_place(nonce, Aad::from(about), &mut text).map_err(|_| wrong())?.len();
        text.truncate(len);
        Ok(text)
    }

    fn cipher(&self) -> Result<LessSafeKey, StoreError> {
        let key = UnboundKey::new(&AES_256_GCM, &*self.0);
        key.map(LessSafeKey::new).map_err(|_| StoreError::Envelope { what: "a key has the wrong length" })
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// 32 bytes that nobody can know.
///
/// # Errors
/// When the system gives no randomness.
pub fn draw_random() -> Result<[u8; 32], StoreError> {
    random()
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| StoreError::Envelope { what: "the system has no random numbers" })
}

/// What a rehearsal found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyReport {
    /// Keys that exist, all unwrapped once, and equal in both copies now.
    pub live: u64,
    /// Tombstones.
    pub destroyed: u64,
    /// Shards that were not the same in both copies and were brought level.
    pub levelled: u64,
    /// Packs whose key is there but opens under no epoch key at hand.
    pub closed: Vec<PackId>,
    /// Epochs by which live keys are wrapped, with their facility and number of keys.
    pub epochs: Vec<(FacilityCode, u32, u64)>,
}

/// The key store; see the module's text for its layout and promises.
pub struct KeyStore {
    copies: Copies,
    epochs: Arc<dyn EpochKeys>,
    /// One at a time changes or levels: packs come a few a second.
    turn: Mutex<Known>,
}

/// What is known of each shard since the store was opened.
struct Known(Vec<Trust>);

impl KeyStore {
    /// Opens the store, or makes it when neither directory holds one.
    ///
    /// # Errors
    /// [`StoreError::KeyCopy`] where one copy is missing or belongs to another store: see [`KeyStore::adopt`].
    pub fn open(disk: Arc<dyn Disk>, dirs: [PathBuf; 2], epochs: Arc<dyn EpochKeys>) -> Result<Self, StoreError> {
        let copies = Copies::open(disk, dirs)?;
        let trust = if copies.is_suspect() { Trust::Suspect } else { Trust::Unknown };
        Ok(Self { copies, epochs, turn: Mutex::new(Known(vec![trust; SHARDS as usize])) })
    }

    /// Takes `empty` as a new second copy of the store whose only good one is `good`: both equal afterwards.
    ///
    /// # Errors
    /// [`StoreError::KeyCopy`] where `good` holds no store or `empty` holds another one; those of the disk.
    pub fn adopt(disk: &dyn Disk, good: &Path, empty: &Path) -> Result<u64, StoreError> {
        shard::adopt(disk, good, empty)
    }

    /// Draws and keeps a new key. Durable in both copies when this returns; a pack gets a key once.
    ///
    /// # Errors
    /// [`StoreError::KeyExists`], [`StoreError::KeyDestroyed`], those of the epoch key and the disks.
    pub fn create(&self, facility: FacilityCode, pack: PackId) -> Result<DataKey, StoreError> {
        let mut turn = self.turn.lock();
        let shard = self.levelled(&mut turn, pack)?;
        match shard.find(pack).map(|(_, record)| record.state) {
            Some(State::Live) => return Err(StoreError::KeyExists { pack }),
            Some(State::Destroyed) => return Err(StoreError::KeyDestroyed { pack }),
            None => {}
        }
        let mut made = self.add(&mut turn, &shard, facility, &[pack])?;
        made.pop().map(|(_, key)| key).ok_or(StoreError::KeyMissing { pack })
    }

    /// Draws and keeps several new keys with names of their own, all in one shard: durable in both copies by the syncs
    /// that one key costs. `now` in milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// As [`KeyStore::create`]; then there is none of them.
    pub fn create_some(
        &self,
        facility: FacilityCode,
        count: usize,
        now: u64,
    ) -> Result<Vec<(PackId, DataKey)>, StoreError> {
        let first = crate::draw_pack_id(now)?;
        let mut names = vec![first];
        while names.len() < count {
            let name = draw_into(shard_of(first), now)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut turn = self.turn.lock();
        let shard = self.levelled(&mut turn, first)?;
        if let Some(pack) = names.iter().find(|name| shard.find(**name).is_some()) {
            return Err(StoreError::KeyExists { pack: *pack });
        }
        self.add(&mut turn, &shard, facility, &names)
    }

    /// How often records were made durable since the store was opened: each time a sync of a file and of its directory
    /// in either copy.
    pub fn written(&self) -> u64 {
        self.copies.written()
    }

    /// The key of a pack.
    ///
    /// # Errors
    /// [`StoreError::KeyMissing`], [`StoreError::KeyDestroyed`], [`StoreError::KeyClosed`] when its epoch key is not
    /// at hand, those of the disks when both copies fail.
    pub fn get(&self, pack: PackId) -> Result<DataKey, StoreError> {
        let shard = self.levelled(&mut self.turn.lock(), pack)?;
        match shard.find(pack) {
            None => Err(StoreError::KeyMissing { pack }),
            Some((_, record)) => self.unwrap(record),
        }
    }

    /// Overwrites the key in both copies; answers whether it was there. Nothing opens the pack any more.
    ///
    /// # Errors
    /// [`StoreError::KeyMissing`] when the pack never had a key; those of the disks: then ask again.
    pub fn destroy(&self, pack: PackId) -> Result<bool, StoreError> {
        let mut turn = self.turn.lock();
        let shard = self.levelled(&mut turn, pack)?;
        let Some((slot, record)) = shard.find(pack) else { return Err(StoreError::KeyMissing { pack }) };
        if record.state == State::Destroyed {
            return Ok(false);
        }
        self.write(&mut turn, &shard, &[(slot, record.destroyed())])?;
        Ok(true)
    }

    /// Wraps every key of a facility by its current epoch key, in place; answers how many were behind. Packs are
    /// not touched. Broken off at any point it goes on when called again. `seen` is told shards done, of 4096.
    ///
    /// # Errors
    /// [`StoreError::KeyClosed`] when an older epoch key is not at hand any more; those of the disks.
    pub fn rewrap(&self, facility: FacilityCode, seen: &mut dyn FnMut(u32)) -> Result<u64, StoreError> {
        let epoch = self.epochs.current(facility)?;
        let mut done = 0;
        for number in 0..SHARDS {
            let mut turn = self.turn.lock();
            let shard = self.level(&mut turn, number)?;
            let mut changes = Vec::new();
            for (slot, record) in shard.records() {
                if record.state == State::Live && record.facility == facility && record.epoch != epoch {
                    let key = self.unwrap(record)?;
                    let wrapped = self.epochs.wrap(facility, epoch, record.pack, &key)?;
                    changes.push((slot, Record::live(facility, record.pack, epoch, wrapped)));
                }
            }
            if !changes.is_empty() {
                self.write(&mut turn, &shard, &changes)?;
                done += changes.len() as u64;
            }
            seen(number + 1);
        }
        Ok(done)
    }

    /// The rehearsal: levels the copies, reads both, compares every byte and unwraps every key.
    ///
    /// # Errors
    /// Those of the disks, and damage that both copies share.
    pub fn check(&self) -> Result<KeyReport, StoreError> {
        let mut report = KeyReport::default();
        let mut epochs = std::collections::BTreeMap::new();
        for number in 0..SHARDS {
            let mut turn = self.turn.lock();
            turn.forget(number);
            let before = self.copies.levelled();
            let shard = self.level(&mut turn, number)?;
            report.levelled += self.copies.levelled() - before;
            self.copies.compare(&shard)?;
            for (_, record) in shard.records() {
                match record.state {
                    State::Destroyed => report.destroyed += 1,
                    State::Live if self.unwrap(record).is_ok() => {
                        report.live += 1;
                        *epochs.entry((*record.facility.as_bytes(), record.epoch)).or_insert(0) += 1;
                    }
                    State::Live => report.closed.push(record.pack),
                }
            }
        }
        let named = |((code, epoch), keys): (([u8; 5], u32), u64)| {
            let code = std::str::from_utf8(&code).ok().and_then(|text| FacilityCode::parse(text).ok());
            code.map(|code| (code, epoch, keys))
        };
        // Suspect shards were written anew on the way.
        self.copies.trust()?;
        report.epochs = epochs.into_iter().filter_map(named).collect();
        Ok(report)
    }

    /// Draws keys for names that a shard does not have.
    fn add(
        &self,
        turn: &mut Known,
        shard: &Shard,
        facility: FacilityCode,
        names: &[PackId],
    ) -> Result<Vec<(PackId, DataKey)>, StoreError> {
        let epoch = self.epochs.current(facility)?;
        let (mut made, mut records) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
        for (slot, pack) in shard.free_slots().zip(names) {
            let key = DataKey::new(random()?);
            let wrapped = self.epochs.wrap(facility, epoch, *pack, &key)?;
            records.push((slot, Record::live(facility, *pack, epoch, wrapped)));
            made.push((*pack, key));
        }
        self.write(turn, shard, &records)?;
        Ok(made)
    }

    fn unwrap(&self, record: &Record) -> Result<DataKey, StoreError> {
        match (record.state, &record.wrapped) {
            (State::Live, Some(wrapped)) => self.epochs.unwrap(record.facility, record.epoch, record.pack, wrapped),
            _ => Err(StoreError::KeyDestroyed { pack: record.pack }),
        }
    }

    fn levelled(&self, turn: &mut Known, pack: PackId) -> Result<Shard, StoreError> {
        self.level(turn, shard_of(pack))
    }

    /// Reads a shard; the first time since start from both copies, which are brought level.
    fn level(&self, turn: &mut Known, number: u32) -> Result<Shard, StoreError> {
        let read = self.copies.read(number, turn.of(number));
        // Bringing them level may itself have failed half way.
        turn.set(number, read.as_ref().map_or(Trust::Suspect, |(_, trust)| *trust));
        read.map(|(shard, _)| shard)
    }

    fn write(&self, turn: &mut Known, shard: &Shard, changes: &[(usize, Record)]) -> Result<(), StoreError> {
        let written = self.copies.write(&shard.path, changes);
        if written.is_err() {
            turn.set(shard.number, Trust::Suspect);
            self.copies.suspect();
        }
        written
    }
}

impl Known {
    fn of(&self, number: u32) -> Trust {
        place(number).and_then(|place| self.0.get(place)).copied().unwrap_or(Trust::Unknown)
    }

    fn set(&mut self, number: u32, trust: Trust) {
        if let Some(known) = place(number).and_then(|place| self.0.get_mut(place)) {
            *known = trust;
        }
    }

    /// Both copies are to be read again.
    fn forget(&mut self, number: u32) {
        if self.of(number) == Trust::Level {
            self.set(number, Trust::Unknown);
        }
    }
}

fn place(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

/// Draws a name that lies in a shard: of a name the last bits are tried until it does.
fn draw_into(shard: u32, now: u64) -> Result<PackId, StoreError> {
    loop {
        let drawn = u128::from_be_bytes(*crate::draw_pack_id(now)?.as_bytes());
        let mut names = (0..1u128 << TRIED_BITS).map(|bits| PackId::new((drawn ^ bits).to_be_bytes()));
        if let Some(name) = names.find(|name| shard_of(*name) == shard) {
            return Ok(name);
        }
    }
}

fn shard_of(pack: PackId) -> u32 {
    crc32c::crc32c(pack.as_bytes()) >> 20
}
