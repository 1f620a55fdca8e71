//! Compressed frames: decoding untrusted ones, and encoding what is verified before it counts.
//! [`picture`] writes finished pictures as JPEG.
//!
//! [`decode`] and [`encode`] work on one frame in memory; [`worker`] runs them in a process that can die, [`pool`]
//! keeps such processes. The libraries in C lie behind one module each below `ffi`; nothing else here is unsafe.
//! This crate opens no file and knows neither data sets nor the archive: it sees a frame's bytes and what the
//! attributes say of it, and refuses codestreams that say otherwise.

mod cells;
pub mod colour;
mod decode;
mod deflated;
mod encode;
mod error;
#[allow(unsafe_code)]
mod ffi;
mod jpeg;
mod jpeg2000;
mod jpegls;
mod jpegxl;
mod limits;
mod lossy;
mod native;
pub mod picture;
pub mod pool;
mod rle;
mod syntax;
mod wire;
pub mod worker;

pub use decode::decode;
pub use encode::{Encoded, encode, verified};
pub use error::CodecError;
pub use limits::Limits;
pub use native::{native_bytes, native_len};
pub use syntax::{Coder, Target, coder};

#[cfg(test)]
mod tests;
