//! Packs whose frames are JPEG-LS codestreams, by an explicit policy (`packs.compress`): which instances, and the
//! library behind [`store::coding::Codestreams`].
//!
//! What was received comes back bit for bit, file meta information and unused bits included; why it is done where packs
//! are written and not on arrival is in docs/adr/0014-compress-on-packing.md.
//! Codestreams are made and read in the decoding processes, as those that came from outside are.

use crate::open::Archive;
use codec::pool::{Options, Pool};
use codec::{CodecError, Target};
use dataset::pixels::{DecodedFrame, Photometric, PixelFormat, Words};
use index::InstanceRow;
use model::attribute::key;
use store::coding::{Cells, Codestreams, Undecoded, install};

/// Which instances are compressed when they are packed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compression {
    /// Names of sources; all of them where there are none.
    pub sources: Vec<String>,
    /// Modalities; all of them where there are none.
    pub modalities: Vec<String>,
}

impl Compression {
    fn fits(&self, source: &str, modality: &str) -> bool {
        let among = |names: &[String], name: &str| names.is_empty() || names.iter().any(|known| known == name);
        among(&self.sources, source) && among(&self.modalities, modality)
    }
}

impl Archive {
    /// Whether an instance's frames are packed as codestreams. A series that cannot be looked up is packed as usual.
    pub(crate) fn compresses(&self, row: &InstanceRow) -> bool {
        let rules = &self.options().packs.compress;
        if rules.is_empty() {
            return false;
        }
        let series = self.index().series(&row.key).ok().flatten();
        let modality = series.as_ref().and_then(|series| series.value(key::MODALITY)).unwrap_or_default();
        rules.iter().any(|rule| rule.fits(&row.source, &modality))
    }
}

/// Brings the library for the whole program, with decoding processes of its own: who reads a frame may hold one of the
/// others.
pub(crate) fn bring(options: &Options) {
    install(|| Box::new(Library(Pool::new(options.clone()))));
}

struct Library(Pool);

/// The cells as an image.
fn format(cells: &Cells) -> PixelFormat {
    PixelFormat {
        rows: cells.rows,
        columns: cells.columns,
        samples: cells.channels,
        allocated: cells.bytes.saturating_mul(8),
        stored: cells.bits,
        high: cells.bits.saturating_sub(1),
        signed: false,
        planar: false,
        photometric: if cells.channels == 1 { Photometric::Monochrome2 } else { Photometric::Rgb },
    }
}

impl Codestreams for Library {
    fn encode(&self, cells: &Cells, values: Vec<u8>) -> Option<Vec<u8>> {
        let format = format(cells);
        let frame = dataset::pixels::native::decode(&values, &format, false).ok()?;
        drop(values);
        // Decoded again and compared there; the pack is compared once more, as a whole, before it counts.
        match self.0.encode(Target::JpegLs, frame, format.allocated) {
            Ok(made) => {
                metrics::counter!("khoanh_pack_codestreams_total", "ok" => "yes").increment(1);
                Some(made.bytes)
            }
            Err(error) => {
                metrics::counter!("khoanh_pack_codestreams_total", "ok" => "no").increment(1);
                tracing::debug!(%error, "a frame is packed as usual: it cannot be compressed");
                None
            }
        }
    }

    fn decode(&self, cells: &Cells, codestream: &[u8]) -> Result<Vec<u8>, Undecoded> {
        let decoded = self.0.decode(Target::JpegLs.uid(), &format(cells), codestream.to_vec());
        let frame: DecodedFrame = decoded.map_err(|error| match error {
            CodecError::Busy(_) | CodecError::Worker(_) | CodecError::Limit(_) => Undecoded::Unavailable,
            _ => Undecoded::Damaged,
        })?;
        Ok(match (frame.words, cells.bytes) {
            (Words::Eight(words), 1) => words,
            (Words::Eight(words), _) => words.into_iter().flat_map(|word| [word, 0]).collect(),
            (Words::Sixteen(words), _) => words.into_iter().flat_map(u16::to_le_bytes).collect(),
            (Words::ThirtyTwo(_), _) => return Err(Undecoded::Damaged),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_names_fits_everything() {
        let rule = |sources: &[&str], modalities: &[&str]| Compression {
            sources: sources.iter().map(ToString::to_string).collect(),
            modalities: modalities.iter().map(ToString::to_string).collect(),
        };
        assert!(rule(&[], &[]).fits("ct01", "CT"));
        assert!(rule(&["ct01"], &["CT", "MR"]).fits("ct01", "MR"));
        assert!(!rule(&["ct01"], &["CT"]).fits("ct02", "CT"));
        assert!(!rule(&[], &["CT"]).fits("ct01", "US"));
    }
}
