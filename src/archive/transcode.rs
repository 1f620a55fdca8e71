//! Stored objects and frames in another transfer syntax, made while they are read.
//!
//! Uncompressed forms come from everything that is decoded, lossless compressed ones from what is lossless or not: what
//! was lost stays lost, and is said. What an encoder made was decoded again and compared before it leaves
//! ([`codec::verified`]). Nothing is compressed with loss but where a request names such a transfer syntax, from what
//! is not stored in one; it is then an instance of its own.
//! The elements around the pixels are copied; only those that describe the pixels' form change. SOP Instance UIDs stay
//! where no value of a pixel is altered. One frame is in memory at a time, whatever their number.

mod kept;
mod lossy;
mod overlays;
mod remade;

use crate::error::DecodeError;
use crate::open::Archive;
use bytes::Bytes;
use codec::{Target, native_bytes};
use dataset::syntax::{DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, Syntax};
use dataset::transcode::{Deflating, Recoding};
use index::InstanceRow;
use model::AttrKey;
use model::attribute::key;
use remade::Remade;
use std::io::Read;
use std::sync::Arc;

pub(crate) use kept::Kept;
pub use lossy::{instance_in, loses_when_made, offered_lossy, refusal};

/// Pixel Data: Float and Double Float Pixel Data are never decoded.
const PIXEL_DATA: u32 = 0x7FE0_0010;
/// Uncompressed syntaxes that are no longer in the standard, or never were.
const OLD_NATIVE: [&str; 2] = ["1.2.840.113619.5.2", "1.2.840.10008.1.20"];
/// Longest value of defined length, even.
const NATIVE_MAX: u64 = 0xFFFF_FFFE;

/// The bytes of a data set.
pub type DataSet = Box<dyn Read + Send>;

/// What a data set is given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Explicit,
    Implicit,
    /// Explicit VR Little Endian, deflated as a whole.
    Deflated,
    Encoded(Target),
}

impl Form {
    fn of(transfer_syntax: &str) -> Option<Self> {
        match transfer_syntax {
            EXPLICIT_LE => Some(Self::Explicit),
            IMPLICIT_LE => Some(Self::Implicit),
            DEFLATED_LE => Some(Self::Deflated),
            other => Target::of(other).map(Self::Encoded),
        }
    }

    fn uid(self) -> &'static str {
        match self {
            Self::Explicit => EXPLICIT_LE,
            Self::Implicit => IMPLICIT_LE,
            Self::Deflated => DEFLATED_LE,
            Self::Encoded(target) => target.uid(),
        }
    }
}

/// Every transfer syntax without loss that objects are given in besides the one they are stored in.
#[must_use]
pub fn offered() -> Vec<&'static str> {
    let native = [Form::Explicit, Form::Implicit, Form::Deflated];
    native.into_iter().chain(Target::LOSSLESS.map(Form::Encoded)).map(Form::uid).collect()
}

/// Whether the pixels of a transfer syntax lie there uncompressed, as one value.
fn is_native(transfer_syntax: &str) -> bool {
    [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED_LE].contains(&transfer_syntax)
        || OLD_NATIVE.contains(&transfer_syntax)
}

/// Whether objects stored in a transfer syntax can be given uncompressed, as far as the syntax tells.
#[must_use]
pub fn is_decoded(transfer_syntax: &str) -> bool {
    is_native(transfer_syntax) || codec::coder(transfer_syntax).is_some()
}

/// Whether a transfer syntax is one for pixels that lost something, though some lose nothing.
#[must_use]
pub fn is_lossy(transfer_syntax: &str) -> bool {
    loses(transfer_syntax) || matches!(number(transfer_syntax), Some(81 | 91 | 93 | 100..=108 | 112 | 203))
}

/// Whether pixels cannot be in a transfer syntax without having lost something: JPEG's, lossless ones apart.
fn loses(transfer_syntax: &str) -> bool {
    matches!(number(transfer_syntax), Some(50..=56 | 59..=64 | 111))
}

/// The number of a transfer syntax among those of compressed images.
fn number(transfer_syntax: &str) -> Option<u32> {
    transfer_syntax.strip_prefix("1.2.840.10008.1.2.4.")?.split('.').next()?.parse().ok()
}

/// The transfer syntax an instance is made in when `wanted` is asked, as far as its row tells; none where it cannot be,
/// and where it is stored so already.
///
/// Pixels of a form that no decoder takes are found out by [`Archive::transcoded`] alone.
#[must_use]
pub fn target(row: &InstanceRow, wanted: &str) -> Option<&'static str> {
    let stored = row.transfer_syntax.as_str();
    let form = Form::of(wanted).filter(|_| wanted != stored && refusal(row, wanted).is_none())?;
    let encoded = matches!(form, Form::Encoded(_));
    let possible = match &row.pixel {
        None => !encoded && is_decoded(stored),
        Some(_) if is_native(stored) && !encoded => true,
        Some(pixel) => {
            let decoded = pixel.tag == PIXEL_DATA && is_decoded(stored) && row.frames.count() > 0;
            decoded && (encoded || !is_too_long(row))
        }
    };
    possible.then(|| form.uid())
}

/// Whether the pixels are known to be more than an uncompressed value can hold.
fn is_too_long(row: &InstanceRow) -> bool {
    let number = |key: AttrKey| row.attributes.get(&key).and_then(|text| text.trim().parse::<u64>().ok());
    let bits =
        [key::ROWS, key::COLUMNS, key::SAMPLES_PER_PIXEL, key::BITS_ALLOCATED].map(|key| number(key).unwrap_or(1));
    let frames = u64::from(row.frames.count());
    bits.into_iter().chain([frames]).fold(1u64, u64::saturating_mul) / 8 > NATIVE_MAX
}

impl Archive {
    /// The data set of an instance in a transfer syntax of [`target`], or as it is stored; with the correction its row
    /// carries.
    ///
    /// # Errors
    /// What reading and decoding the first frame comes to. What later frames come to is an error of the reader: the
    /// data set then ends early, and must not be taken for the whole.
    pub fn transcoded(self: &Arc<Self>, row: &InstanceRow, wanted: &str) -> Result<DataSet, DecodeError> {
        let stored = row.transfer_syntax.as_str();
        if wanted == stored {
            return Ok(self.given(row)?);
        }
        let form = form_of(row, wanted)?;
        metrics::counter!("khoanh_transcoded_total", "to" => form.uid()).increment(1);
        match form {
            Form::Deflated => Ok(Box::new(Deflating::new(self.remade(row, Form::Explicit)?))),
            form => self.remade(row, form),
        }
    }

    fn remade(self: &Arc<Self>, row: &InstanceRow, form: Form) -> Result<DataSet, DecodeError> {
        let stored = row.transfer_syntax.as_str();
        let plain = row.pixel.is_none() || is_native(stored);
        if plain && is_decoded(stored) && matches!(form, Form::Explicit | Form::Implicit) {
            return Ok(Box::new(Recoding::new(self.given(row)?, &row.transfer_syntax, form == Form::Implicit)));
        }
        if row.pixel.is_none() || !is_decoded(stored) {
            return Err(unsupported(stored, form.uid()));
        }
        Ok(Box::new(Remade::open(self, row, form)?))
    }

    /// One frame (from 0) of an instance in a transfer syntax: uncompressed little endian cells, samples of a pixel
    /// together, or a codestream without padding. It is kept for a while, within `decode.frame_cache`.
    ///
    /// # Errors
    /// As [`Archive::transcoded`]; [`DecodeError::NoFrame`].
    pub fn frame_in(self: &Arc<Self>, row: &InstanceRow, number: u32, wanted: &str) -> Result<Bytes, DecodeError> {
        let form = form_of(row, wanted)?;
        self.pixels.made.get((row.seq, number, form.uid()), || self.make_frame(row, number, form))
    }

    fn make_frame(self: &Arc<Self>, row: &InstanceRow, number: u32, form: Form) -> Result<Vec<u8>, DecodeError> {
        let image = self.image(row)?;
        if matches!(form, Form::Encoded(_)) {
            remade::encodable(&image)?;
        }
        let frame = self.decode(&image, number)?;
        let cell = remade::cell(image.format.allocated);
        match form {
            Form::Encoded(target) => Ok(self.encode(target, frame, cell)?.bytes),
            _ => Ok(native_bytes(&frame, cell, self.frame_limits())?),
        }
    }
}

/// The form of a transfer syntax, where an instance may be given in it.
fn form_of(row: &InstanceRow, wanted: &str) -> Result<Form, DecodeError> {
    match refusal(row, wanted) {
        Some(why) => Err(codec::CodecError::Unsupported(why).into()),
        None => Form::of(wanted).ok_or_else(|| unsupported(row.transfer_syntax.as_str(), wanted)),
    }
}

fn unsupported(stored: &str, wanted: &str) -> DecodeError {
    let syntax = Syntax::of(stored);
    let what = format!("transfer syntax {wanted} from {stored} ({:?})", syntax.codec);
    codec::CodecError::Unsupported(what).into()
}
