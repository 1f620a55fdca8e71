//! Decoding that gives out rows while the rest of a frame is still decoded.
//!
//! A large picture is made of strips of rows: who makes them need not wait until the last one is there. What the bytes
//! are is the same as ever; only grey pixels leave this way, everything else leaves at once.

use super::decoders::{decode, lend};
use super::filter::{self, Filter, Shape};
use super::{CodingError, FILTERED, parse};
use std::io::{self, Read};

/// Gives the `raw_len` bytes that `coded` stands for to `each`, in order, until it wants no more.
///
/// # Errors
/// [`CodingError`]; what was given before is then worth nothing.
pub(crate) fn pour(coded: &[u8], raw_len: usize, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), CodingError> {
    let Some((shape, filter, body)) = grey(coded, raw_len) else {
        let mut whole = Vec::new();
        decode(coded, raw_len, &mut whole)?;
        each(&whole);
        return Ok(());
    };
    let refused = |_: io::Error| CodingError::Damaged("zstd refuses them");
    let mut source = zstd::stream::read::Decoder::with_buffer(body).map_err(|_| CodingError::Unavailable)?;
    let all = lend(|decoder| {
        let rooms = &mut decoder.rooms;
        filter::undo_rows(&mut source, raw_len, &shape, filter.predictor, rooms, each).map_err(refused)
    })?;
    if all && source.read(&mut [0]).map_err(refused)? > 0 {
        return Err(CodingError::Damaged("another number of bytes than were coded"));
    }
    Ok(())
}

/// How pixels of one channel were filtered, and the zstd frame.
fn grey(coded: &[u8], raw_len: usize) -> Option<(Shape, Filter, &[u8])> {
    let rest = coded.strip_prefix(&[FILTERED])?;
    let (header, body) = rest.split_first_chunk::<7>()?;
    let (shape, filter) = parse(*header)?;
    (shape.channels == 1 && shape.extent(raw_len).is_some()).then_some((shape, filter, body))
}
