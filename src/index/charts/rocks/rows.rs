//! The rows of the table `rows`.
//!
//! Version (1), record number, `created`, seal (0, or 1 and its 16 bytes), where the row stood before (number of places,
//! for each moment and `created`) and what it was found by then and is not now (number of values, for each the term, 1
//! byte, and the value); then how the rest lies (0 as it is, 1 zstd), its length as JSON, and the JSON of what the row says.

use crate::IndexError;
use crate::charts::keys::Former;
use crate::codec::{Decoder, Encoder};
use crate::rocks::tables::Table;
use model::PackId;
use model::chart::{ChartKey, ChartRow, ROW_MAX};

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// Shorter ones are compressed well enough with the block they lie in.
const ZSTD_FROM: usize = 512;
const ZSTD_LEVEL: i32 = 3;
/// A row as JSON is at most so long: what its parts say is bounded before.
const JSON_MAX: usize = 4 * ROW_MAX;

/// A row as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    pub(super) row: ChartRow,
    /// By what it was found before.
    pub(super) former: Former,
}

impl Stored {
    /// Writes a row; JSON of some length is compressed when that is wanted.
    pub(super) fn encode(&self, compressed: bool) -> Result<Vec<u8>, IndexError> {
        let unfit = |what| IndexError::Unfit { lsn: self.row.lsn, what };
        let json = serde_json::to_vec(&self.row.body).map_err(|_| unfit("a row that is no JSON"))?;
        if json.len() > JSON_MAX {
            return Err(unfit("a row that is too long"));
        }
        let mut out = Encoder::with_capacity(json.len() + 64);
        out.byte(VERSION);
        out.number(self.row.lsn);
        out.number(self.row.created);
        out.byte(u8::from(self.row.seal.is_some()));
        self.row.seal.iter().for_each(|seal| out.raw(seal.as_bytes()));
        out.length(self.former.places.len());
        for (moment, created) in &self.former.places {
            out.number(*moment);
            out.number(*created);
        }
        out.length(self.former.values.len());
        for (term, value) in &self.former.values {
            out.byte(*term);
            out.text(value);
        }
        let packed = (compressed && json.len() >= ZSTD_FROM).then(|| zstd::bulk::compress(&json, ZSTD_LEVEL).ok());
        let packed = packed.flatten().filter(|packed| packed.len() < json.len());
        out.byte(if packed.is_some() { ZSTD } else { PLAIN });
        out.length(json.len());
        out.raw(packed.as_ref().unwrap_or(&json));
        Ok(out.bytes)
    }

    /// Reads a row.
    pub(super) fn decode(name: ChartKey, bytes: &[u8]) -> Result<Self, IndexError> {
        let row = &mut Decoder::new(Table::Rows.name(), bytes);
        if row.byte()? != VERSION {
            return Err(row.damaged("it is of an unknown version"));
        }
        let (lsn, created) = (row.number()?, row.number()?);
        let seal = if row.byte()? == 0 { None } else { Some(PackId::new(row.array()?)) };
        let former = Self::former(row)?;
        let (form, length) = (row.byte()?, row.narrow::<usize>()?);
        let rest = row.rest();
        let unpacked;
        let json = match form {
            PLAIN if rest.len() == length => rest,
            ZSTD if length <= JSON_MAX => {
                unpacked = zstd::bulk::decompress(rest, length).map_err(|_| row.damaged("it cannot be unpacked"))?;
                unpacked.as_slice()
            }
            _ => return Err(row.damaged("it lies in an unknown form")),
        };
        let body = serde_json::from_slice(json).map_err(|_| row.damaged("what it says is malformed"))?;
        Ok(Self { row: ChartRow { key: name, lsn, created, seal, body }, former })
    }

    fn former(row: &mut Decoder<'_>) -> Result<Former, IndexError> {
        let mut former = Former::default();
        for _ in 0..row.number()? {
            former.places.push((row.number()?, row.number()?));
        }
        for _ in 0..row.number()? {
            former.values.insert((row.byte()?, row.text()?.to_owned()));
        }
        Ok(former)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::FacilityCode;
    use model::chart::{ChartBody, ChartKind, Patient};

    #[test]
    fn a_row_comes_back_as_it_was_and_a_damaged_one_is_an_error() {
        let name = ChartKey::new(ChartKind::Patient, FacilityCode::DEMO, "22015985").expect("a name");
        for (address, compressed) in
            [("Nha Trang".to_owned(), true), ("Tổ 1 ".repeat(500), true), ("Tổ 1 ".repeat(500), false)]
        {
            let patient =
                Patient { mrn: "22015985".into(), name: "Nguyễn Văn An".into(), address, ..Patient::default() };
            let row = ChartRow {
                key: name.clone(),
                lsn: 300,
                created: 7,
                seal: compressed.then(|| PackId::new([9; 16])),
                body: ChartBody::Patient(Box::new(patient)),
            };
            let former = Former { places: vec![(5, 7), (6, 7)], values: [(8, "AN".into()), (7, "0905".into())].into() };
            let stored = Stored { row, former };
            let bytes = stored.encode(compressed).expect("encode");
            assert_eq!(Stored::decode(name.clone(), &bytes).expect("decode"), stored);
            assert_eq!(bytes.len() < 500, compressed);
            for cut in 0..bytes.len() {
                assert!(Stored::decode(name.clone(), bytes.get(..cut).unwrap_or_default()).is_err(), "{cut}");
            }
        }
    }
}
