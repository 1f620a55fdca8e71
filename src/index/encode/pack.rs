//! How the row of a pack is written.
//!
//! Deliberately not here: the instances in it ([`super::fold`]).

use super::{Decoder, Encoder, VERSION, put_study_key, study_key, version};
use crate::IndexError;
use crate::row::{PackRow, SeriesKey};
use model::pack::ColdCopy;
use model::{Digest, PackId};

/// Version, study key, Series Instance UID, part, length, SHA-256 (32 bytes), bytes of the files, instances, first
/// `seq`, last `seq`, time of packing, hot (1 or 0), cold (1 or 0); for a cold copy its key, version (empty for none),
/// length, SHA-256 (32 bytes), 1 when sealed + 2 when held, class (empty for none), locked until (optional), time.
/// The name is known from the table's key.
pub(crate) fn put_pack(out: &mut Encoder, row: &PackRow) {
    out.byte(VERSION);
    put_study_key(out, &row.series.study);
    out.uid(&row.series.series);
    out.number(row.part);
    out.number(row.len);
    out.raw(&row.sha256.0);
    for number in [row.raw, row.instances, row.first_seq, row.last_seq, row.packed_at] {
        out.number(number);
    }
    out.byte(u8::from(row.hot));
    out.byte(u8::from(row.cold.is_some()));
    let Some(ColdCopy { key, version, len, sha256, sealed, class, locked_until, held, at }) = &row.cold else { return };
    out.text(key);
    out.text(version.as_deref().unwrap_or(""));
    out.number(*len);
    out.raw(&sha256.0);
    out.byte(u8::from(*sealed) | u8::from(*held) << 1);
    out.text(class.as_deref().unwrap_or(""));
    out.option(*locked_until);
    out.number(*at);
}

/// Reads a pack.
pub(crate) fn pack(pack: PackId, bytes: &[u8]) -> Result<PackRow, IndexError> {
    let row = &mut Decoder::new("packs", bytes);
    version(row)?;
    Ok(PackRow {
        pack,
        series: SeriesKey { study: study_key(row)?, series: row.uid()? },
        part: row.narrow()?,
        len: row.number()?,
        sha256: Digest(row.array()?),
        raw: row.number()?,
        instances: row.number()?,
        first_seq: row.number()?,
        last_seq: row.number()?,
        packed_at: row.number()?,
        hot: row.byte()? != 0,
        cold: if row.byte()? == 0 { None } else { Some(cold(row)?) },
    })
}

/// Reads only bytes: of the pack's files, of its hot and of its cold copy.
pub(crate) fn pack_bytes(bytes: &[u8]) -> Result<[u64; 3], IndexError> {
    let row = &mut Decoder::new("packs", bytes);
    version(row)?;
    // Facility, study, patient; series; part.
    row.raw(5)?;
    row.pass_uid()?;
    row.number()?;
    row.pass_uid()?;
    row.number()?;
    let len = row.number()?;
    row.raw(32)?;
    let files = row.number()?;
    for _ in 0..4 {
        row.number()?;
    }
    let hot = if row.byte()? == 0 { 0 } else { len };
    if row.byte()? == 0 {
        return Ok([files, hot, 0]);
    }
    // Key and version.
    row.blob()?;
    row.blob()?;
    Ok([files, hot, row.number()?])
}

fn cold(row: &mut Decoder<'_>) -> Result<ColdCopy, IndexError> {
    let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (key, version) = (row.text()?.to_owned(), named(row.text()?));
    let (len, sha256) = (row.number()?, Digest(row.array()?));
    let form = row.byte()?;
    let (class, locked_until, at) = (named(row.text()?), row.option()?, row.number()?);
    Ok(ColdCopy { key, version, len, sha256, sealed: form & 1 != 0, class, locked_until, held: form & 2 != 0, at })
}
