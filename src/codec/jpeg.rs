//! JPEG frames: what the header must say, and what the components mean.

use crate::cells::{self, Cells};
use crate::error::CodecError;
use crate::ffi::jpeg::{self, Header};
use crate::limits::Checked;
use dataset::pixels::{DecodedFrame, Photometric, PixelFormat};

/// Decodes a frame. Components come as coded: no colour is converted.
pub(crate) fn decode(checked: &Checked<'_>, bytes: &[u8]) -> Result<DecodedFrame, CodecError> {
    let header = jpeg::header(bytes).map_err(CodecError::Corrupt)?;
    cells::agree(checked.format, header.rows, header.columns, header.components)?;
    cells::fits(checked.format, header.precision)?;
    let values = jpeg::decode(bytes, &header).map_err(CodecError::Corrupt)?;
    let photometric = meaning(checked.format, &header);
    cells::frame(checked, Cells { values, precision: header.precision, signed: false }, photometric)
}

/// What the components are: as the attributes say, unless the codestream names its colours otherwise. Encoders write
/// `RGB` into attributes over a JFIF image, which by its definition is YCbCr, and the other way round.
fn meaning(format: &PixelFormat, header: &Header) -> Photometric {
    if format.samples != 3 {
        return format.photometric;
    }
    let names_ycc = header.jfif != 0 || header.adobe == 2;
    match format.photometric {
        _ if header.letter_ids != 0 => Photometric::Rgb,
        Photometric::Rgb if names_ycc => Photometric::YbrFull,
        // Colour differences are given for every pixel now.
        Photometric::YbrFull422 | Photometric::YbrPartial420 => Photometric::YbrFull,
        other => other,
    }
}
