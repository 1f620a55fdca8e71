//! The table `prepared`: documents and thumbnails, each sealed by a key of its own.
//!
//! Large values lie in files that are rewritten only when enough of them is unused. The key of a value lies among the
//! rows, in files that a destruction has rewritten at once: without it what is left of the value says nothing.
//! Deliberately not here: what a document is, and when it is made.

use super::read::{Reader, handle};
use super::tables::{Table, bad_key, engine, number, prepared_key, unlogged};
use crate::IndexError;
use crate::row::{Prepared, PreparedKind};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rocksdb::{DB, WriteBatch};

const SECRET_LEN: usize = 32;

/// Where the key of a value lies.
fn secret_key(of: &[u8]) -> Vec<u8> {
    [of, b"k"].concat()
}

fn cipher(secret: &[u8; SECRET_LEN]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, secret).ok().map(LessSafeKey::new)
}

/// Every key seals one value: its nonce may be zero.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// What was kept for a series; none where it cannot be opened, since it is a cache.
pub(super) fn get(reader: &Reader<'_>, series: u64, kind: PreparedKind) -> Result<Option<Prepared>, IndexError> {
    let key = prepared_key(series, kind);
    let array = |bytes: &[u8]| <[u8; SECRET_LEN]>::try_from(bytes).map_err(|_| bad_key(Table::Prepared));
    let Some(secret) = reader.get(Table::Prepared, &secret_key(&key), array)? else { return Ok(None) };
    let found = reader.get(Table::Prepared, &key, |bytes| {
        let (through, sealed) = bytes.split_at_checked(8).ok_or_else(|| bad_key(Table::Prepared))?;
        let mut document = sealed.to_vec();
        let opened = cipher(&secret).and_then(|cipher| {
            let plain = cipher.open_in_place(nonce(), Aad::from(through), &mut document).ok()?;
            Some(plain.len())
        });
        let Some(len) = opened else { return Ok(None) };
        document.truncate(len);
        Ok(Some(Prepared { through_seq: number(Table::Prepared, through)?, document }))
    });
    found.map(Option::flatten)
}

/// Keeps a value for a series.
pub(super) fn put(
    db: &DB,
    (series, kind): (u64, PreparedKind),
    seq: u64,
    mut document: Vec<u8>,
) -> Result<(), IndexError> {
    let failed = || IndexError::Damaged { table: Table::Prepared.name(), what: "a document cannot be sealed" };
    let mut secret = [0; SECRET_LEN];
    SystemRandom::new().fill(&mut secret).map_err(|_| failed())?;
    let through = seq.to_be_bytes();
    let cipher = cipher(&secret).ok_or_else(failed)?;
    cipher.seal_in_place_append_tag(nonce(), Aad::from(through), &mut document).map_err(|_| failed())?;
    let (table, key) = (handle(db, Table::Prepared)?, prepared_key(series, kind));
    let mut batch = WriteBatch::default();
    batch.put_cf(table, secret_key(&key), secret);
    batch.put_cf(table, &key, [through.as_slice(), &document].concat());
    db.write_opt(batch, &unlogged()).map_err(engine("keep a prepared document"))
}

/// Removes what was kept.
pub(super) fn forget(db: &DB, series: u64, batch: &mut WriteBatch) -> Result<(), IndexError> {
    let table = handle(db, Table::Prepared)?;
    for kind in PreparedKind::ALL {
        let key = prepared_key(series, kind);
        batch.delete_cf(table, secret_key(&key));
        batch.delete_cf(table, key);
    }
    Ok(())
}
