//! The same conversions as a reader: pieces are converted as they are asked for, without a thread.
//!
//! Values and pixels stay as they are but for byte order; compressed pixels are passed on.

use super::{GE_SWAPPED, PIECE, Writer};
use crate::inflate::Inflater;
use crate::limits::Limits;
use crate::syntax::{Coding, Syntax};
use crate::walk::Walker;
use model::Uid;
use std::io::{self, Read};

/// Deflated bytes inflated at once: a piece may become a thousand times as long.
const DEFLATED_PIECE: usize = 4 << 10;

/// A scanned data set, read in Explicit or Implicit VR Little Endian.
///
/// Reading fails where the source does, and where its bytes are not those that were scanned.
pub struct Recoding<R> {
    input: R,
    way: Way,
    piece: Vec<u8>,
    /// Converted bytes that were not read yet, and how many of them were.
    ready: Vec<u8>,
    taken: usize,
    ended: bool,
}

/// What happens to a piece.
enum Way {
    /// Nothing: it has the form asked for.
    Same,
    /// It is inflated, and that is all.
    Inflate(Inflater),
    /// Every element is written anew.
    Rewrite(Box<Rewrite>),
}

struct Rewrite {
    inflater: Option<Inflater>,
    walker: Walker,
    writer: Writer<Vec<u8>>,
}

impl<R: Read> Recoding<R> {
    /// Reads `input`, stored in `from`, in Explicit VR Little Endian or, where `implicit`, in Implicit VR Little Endian;
    /// the latter for native pixels only, since compressed ones have no implicit form.
    pub fn new(input: R, from: &Uid, implicit: bool) -> Self {
        let syntax = Syntax::of(from.as_str());
        let as_wanted = if implicit { Coding::IMPLICIT } else { Coding::EXPLICIT };
        let swapped = from.as_str() == GE_SWAPPED;
        let way = match (syntax.coding == as_wanted && !swapped, syntax.deflated) {
            (true, false) => Way::Same,
            (true, true) => Way::Inflate(Inflater::new()),
            (false, deflated) => {
                let mut writer = Writer::new(Vec::new(), swapped);
                writer.implicit = implicit;
                let inflater = deflated.then(Inflater::new);
                Way::Rewrite(Box::new(Rewrite {
                    inflater,
                    walker: Walker::new(syntax.coding, Limits::passed()),
                    writer,
                }))
            }
        };
        let piece = vec![0; if syntax.deflated { DEFLATED_PIECE } else { PIECE }];
        Self { input, way, piece, ready: Vec::new(), taken: 0, ended: false }
    }

    /// Converts the next piece of the source, or notes its end.
    fn step(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.taken = 0;
        let len = match self.input.read(&mut self.piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            read => read?,
        };
        let piece = self.piece.get(..len).unwrap_or_default();
        self.ended = len == 0;
        self.way.convert(piece, self.ended, &mut self.ready)
    }
}

impl Way {
    fn convert(&mut self, piece: &[u8], ended: bool, ready: &mut Vec<u8>) -> io::Result<()> {
        let limits = Limits::passed();
        match self {
            Self::Same => ready.extend_from_slice(piece),
            Self::Inflate(inflater) => {
                let put = |bytes: &[u8]| {
                    ready.extend_from_slice(bytes);
                    Ok(())
                };
                inflater.feed(piece, &limits, put).map_err(io::Error::other)?;
                if ended {
                    inflater.finish().map_err(io::Error::other)?;
                }
            }
            Self::Rewrite(rewrite) => {
                let Rewrite { inflater, walker, writer } = rewrite.as_mut();
                match inflater {
                    Some(inflater) => inflater.feed(piece, &limits, |bytes| walker.feed(bytes, writer)),
                    None => walker.feed(piece, writer),
                }
                .map_err(io::Error::other)?;
                if ended {
                    inflater.as_ref().map_or(Ok(0), Inflater::finish).map_err(io::Error::other)?;
                    walker.finish(writer).map_err(io::Error::other)?;
                }
                ready.append(&mut writer.output);
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Recoding<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while self.taken >= self.ready.len() {
            if self.ended {
                return Ok(0);
            }
            self.step()?;
        }
        let mut rest = self.ready.get(self.taken..).unwrap_or_default();
        let read = rest.read(out)?;
        self.taken += read;
        Ok(read)
    }
}
