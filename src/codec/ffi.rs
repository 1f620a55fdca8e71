//! The doors to C, one library each. Everything `unsafe` of the program lies below here.
//!
//! Each door checks sizes on its own side before it hands over memory, and gives back owned values only.

pub(crate) mod htj2k;
pub(crate) mod jpeg;
pub(crate) mod jpeg2000;
pub(crate) mod jpeg_write;
pub(crate) mod jpegls;
pub(crate) mod sandbox;

/// Bytes of a message from C, the closing zero included.
const MESSAGE_LEN: usize = 200;

/// A message that C wrote, as text.
fn text(message: &[u8]) -> String {
    let end = message.iter().position(|byte| *byte == 0).unwrap_or(message.len());
    String::from_utf8_lossy(message.get(..end).unwrap_or_default()).trim().to_owned()
}
