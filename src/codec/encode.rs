//! Encoding of decoded frames, never given out before it was decoded again and compared: sample by sample, or within the
//! bounds of [`crate::lossy`] where the target loses something.

use crate::cells::{self, Cells, Values};
use crate::error::CodecError;
use crate::ffi::jpeg2000 as openjpeg;
use crate::limits::Limits;
use crate::lossy::Grain;
use crate::native::native_bytes;
use crate::syntax::Target;
use crate::{decode, deflated, jpeg2000, jpegls, lossy, rle};
use dataset::pixels::{DecodedFrame, Photometric, PixelFormat};

/// A frame as encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The codestream, not padded.
    pub bytes: Vec<u8>,
    /// What Photometric Interpretation becomes.
    pub photometric: Photometric,
}

/// Encodes a frame into cells of `allocated` bits without looking at the result. Use [`verified`].
///
/// # Errors
/// What the target cannot hold.
pub fn encode(target: Target, frame: &DecodedFrame, allocated: u8, limits: &Limits) -> Result<Encoded, CodecError> {
    if allocated == 1 && target != Target::Deflated {
        return Err(CodecError::unsupported("samples of one bit in this transfer syntax"));
    }
    if ![1, 8, 16, 32].contains(&allocated) {
        return Err(CodecError::unsupported(format!("cells of {allocated} bits")));
    }
    if frame.photometric == Photometric::YbrFull422 || frame.photometric == Photometric::YbrPartial420 {
        return Err(CodecError::unsupported("colour differences that are not given for every pixel"));
    }
    if target.loses() {
        lossy::suits(target, frame, allocated)?;
    }
    let count = |value: u32| usize::try_from(value).map_err(|_| CodecError::Limit("a frame beyond memory".into()));
    let (bytes, photometric) = match target {
        Target::Rle => {
            let cells = native_bytes(frame, allocated, limits)?;
            let (columns, width) = (count(frame.columns)?, usize::from(allocated / 8));
            (rle::encode(&cells, columns, usize::from(frame.samples), width)?, frame.photometric)
        }
        Target::Deflated => (deflated::encode(&native_bytes(frame, allocated, limits)?)?, frame.photometric),
        Target::JpegLs => (jpegls::encode(frame, 0)?, frame.photometric),
        Target::JpegLsNear => (jpegls::encode(frame, lossy::NEAR)?, frame.photometric),
        Target::JpegBaseline => lossy::jpeg(frame, Grain::Usual)?,
        Target::Jpeg2000 => jpeg2000::encode(frame, None)?,
        Target::Jpeg2000Lossy => jpeg2000::encode(frame, Some(lossy::DECIBELS))?,
        Target::HtJpeg2000 | Target::HtJpeg2000Rpcl => jpeg2000::encode_high_throughput(frame)?,
    };
    Ok(Encoded { bytes, photometric })
}

/// How a frame is described once it lies in cells of `allocated` bits as an encoder writes it.
pub(crate) fn described(
    frame: &DecodedFrame,
    allocated: u8,
    photometric: Photometric,
) -> Result<PixelFormat, CodecError> {
    let side = |value: u32| u16::try_from(value).map_err(|_| CodecError::unsupported("more than 65,535 pixels a side"));
    Ok(PixelFormat {
        rows: side(frame.rows)?,
        columns: side(frame.columns)?,
        samples: frame.samples,
        allocated,
        stored: frame.stored,
        high: frame.stored.max(1) - 1,
        signed: frame.signed,
        planar: false,
        photometric,
    })
}

/// Encodes a frame, decodes the result and compares every sample.
///
/// # Errors
/// As [`encode`]; [`CodecError::NotExact`] where one sample differs, or the error of a target that loses something is
/// beyond its bound: then nothing is given out.
pub fn verified(target: Target, frame: &DecodedFrame, allocated: u8, limits: &Limits) -> Result<Encoded, CodecError> {
    let encoded = encode(target, frame, allocated, limits)?;
    match compared(target, frame, allocated, limits, &encoded) {
        Err(CodecError::NotExact(_)) if matches!(target, Target::JpegBaseline | Target::Jpeg2000Lossy) => {
            let (bytes, photometric) = match target {
                Target::JpegBaseline => lossy::jpeg(frame, Grain::Fine)?,
                _ => jpeg2000::encode(frame, Some(lossy::DECIBELS_FINE))?,
            };
            let finer = Encoded { bytes, photometric };
            compared(target, frame, allocated, limits, &finer).map(|()| finer)
        }
        done => done.map(|()| encoded),
    }
}

/// Decodes what was encoded, and compares it with the frame.
fn compared(
    target: Target,
    frame: &DecodedFrame,
    allocated: u8,
    limits: &Limits,
    encoded: &Encoded,
) -> Result<(), CodecError> {
    let format = described(frame, allocated, encoded.photometric)?;
    let again = match target {
        // By another library than the one that encoded.
        Target::HtJpeg2000 | Target::HtJpeg2000Rpcl => second_opinion(&format, &encoded.bytes, limits),
        _ => decode(target.uid(), &format, &encoded.bytes, limits),
    };
    let again = again.map_err(|error| CodecError::NotExact(error.to_string()))?;
    if target.loses() {
        return lossy::compare(target, frame, again);
    }
    if again.words != frame.words || again.photometric != frame.photometric {
        return Err(CodecError::NotExact("samples differ after decoding".into()));
    }
    Ok(())
}

/// HTJ2K as OpenJPEG decodes it.
fn second_opinion(format: &PixelFormat, bytes: &[u8], limits: &Limits) -> Result<DecodedFrame, CodecError> {
    let checked = limits.check(format)?;
    let (decoder, header) = openjpeg::Decoder::open(bytes).map_err(CodecError::Corrupt)?;
    cells::agree(format, header.rows, header.columns, header.components)?;
    let values = Values::Signed(decoder.decode().map_err(CodecError::Corrupt)?);
    let photometric = match format.photometric {
        Photometric::YbrRct => Photometric::Rgb,
        other => other,
    };
    cells::frame(&checked, Cells { values, precision: header.precision, signed: header.signed }, photometric)
}
