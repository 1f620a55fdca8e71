//! Reads of a row only the dates it names, its modality and when it came in; everything else is passed over.
//!
//! Whoever looks at every study there is needs no more. What is passed over is not checked.
//! Deliberately not here: the layouts, which [`super`] writes.

use super::{Decoder, version};
use crate::IndexError;
use crate::walk::OF_INSTANCES;
use model::AttrKey;

/// Passes over attributes and gives the values of those that are wanted.
pub(super) fn pass_attributes(
    row: &mut Decoder<'_>,
    wanted: &[AttrKey],
    each: &mut dyn FnMut(&str),
) -> Result<(), IndexError> {
    for _ in 0..row.number()? {
        let header: usize = row.narrow()?;
        let sequence = if header & 1 == 1 { u32::from_be_bytes(row.array()?) } else { 0 };
        let key = AttrKey::nested(sequence, u32::from_be_bytes(row.array()?));
        let value = row.raw(header >> 1)?;
        if wanted.contains(&key) {
            each(std::str::from_utf8(value).map_err(|_| row.damaged("a value is not UTF-8"))?);
        }
    }
    Ok(())
}

/// Gives the values of some attributes of a series.
pub(crate) fn series_values(bytes: &[u8], wanted: &[AttrKey], each: &mut dyn FnMut(&str)) -> Result<(), IndexError> {
    let row = &mut Decoder::new("series", bytes);
    version(row)?;
    row.pass_uid()?;
    row.number()?;
    pass_attributes(row, wanted, each)
}

/// Gives the dates of an instance; tells when it came in.
pub(crate) fn instance_dates(bytes: &[u8], each: &mut dyn FnMut(&str)) -> Result<u64, IndexError> {
    let row = &mut Decoder::new("instances", bytes);
    version(row)?;
    for _ in 0..3 {
        row.pass_uid()?;
    }
    // Its number.
    row.number()?;
    let received = row.number()?;
    // Way in, source, both digests and the CRC, both lengths.
    row.byte()?;
    row.blob()?;
    row.raw(68)?;
    row.number()?;
    row.number()?;
    pass_attributes(row, &OF_INSTANCES, each)?;
    Ok(received)
}
