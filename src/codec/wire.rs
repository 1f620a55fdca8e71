//! What goes between the server and a decoding process: requests and answers, little endian, lengths first.
//!
//! Neither side trusts the other's lengths: every one is checked against what was asked or allowed before memory is
//! taken for it.

use crate::encode::Encoded;
use crate::error::CodecError;
use crate::limits::Limits;
use crate::syntax::Target;
use dataset::pixels::{DecodedFrame, Photometric, PixelFormat, Words};
use std::io::{self, Read, Write};

/// Longest text of a message: a UID, an error.
const TEXT_MAX: usize = 400;
/// Bytes of words that are sent or received at once; a multiple of every word's.
const PIECE: usize = 128 << 10;

/// What a process is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Decode one frame.
    Decode { transfer_syntax: String, format: PixelFormat, bytes: Vec<u8> },
    /// Encode one frame and verify it.
    Encode { target: Target, allocated: u8, frame: DecodedFrame },
    /// Do something that a broken decoder would: only processes of tests obey.
    Misbehave(u8),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Decoded(DecodedFrame),
    Encoded(Encoded),
    Failed(CodecError),
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

struct Out(Vec<u8>);

impl Out {
    fn text(&mut self, text: &str) {
        let end = (0..=text.len().min(TEXT_MAX)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let text = text.get(..end).unwrap_or_default();
        self.0.extend(u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// Everything of a frame but its words, which [`write_words`] sends.
    fn frame(&mut self, frame: &DecodedFrame) {
        self.0.extend(frame.rows.to_le_bytes());
        self.0.extend(frame.columns.to_le_bytes());
        let width = match &frame.words {
            Words::Eight(_) => 1,
            Words::Sixteen(_) => 2,
            Words::ThirtyTwo(_) => 4,
        };
        self.0.extend([frame.samples, frame.stored, u8::from(frame.signed), width]);
        self.text(frame.photometric.term());
        self.u64(u64::try_from(frame.words.len()).unwrap_or(u64::MAX).saturating_mul(u64::from(width)));
    }
}

/// Sends the words of a frame as bytes, a piece at a time: a frame is never in memory twice on either side.
fn write_words(to: &mut impl Write, words: &Words) -> io::Result<()> {
    fn of<T: Copy, const N: usize>(to: &mut impl Write, words: &[T], bytes: impl Fn(T) -> [u8; N]) -> io::Result<()> {
        let mut piece = Vec::with_capacity(PIECE);
        for part in words.chunks(PIECE / N) {
            piece.clear();
            piece.extend(part.iter().flat_map(|word| bytes(*word)));
            to.write_all(&piece)?;
        }
        Ok(())
    }
    match words {
        Words::Eight(words) => to.write_all(words),
        Words::Sixteen(words) => of(to, words, u16::to_le_bytes),
        Words::ThirtyTwo(words) => of(to, words, u32::to_le_bytes),
    }
}

struct In<'a, R> {
    reader: &'a mut R,
    /// Most bytes of a frame or codestream.
    most: u64,
}

impl<R: Read> In<'_, R> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self) -> io::Result<String> {
        let len = usize::from(u16::from_le_bytes(self.array()?));
        if len > TEXT_MAX {
            return Err(bad("a text beyond its limit"));
        }
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| bad("a text that is not UTF-8"))
    }

    fn flag(&mut self) -> io::Result<bool> {
        let [flag] = self.array()?;
        Ok(flag != 0)
    }

    fn photometric(&mut self) -> io::Result<Photometric> {
        Photometric::parse(&self.text()?).ok_or_else(|| bad("an unknown photometric interpretation"))
    }

    fn length(&mut self) -> io::Result<usize> {
        let len = u64::from_le_bytes(self.array()?);
        if len > self.most {
            return Err(bad("more bytes than allowed"));
        }
        usize::try_from(len).map_err(|_| bad("more bytes than memory"))
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let len = self.length()?;
        self.bytes_of(len)
    }

    fn bytes_of(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Words of `len` bytes together, a piece at a time.
    fn words<T, const N: usize>(&mut self, len: usize, word: impl Fn([u8; N]) -> T) -> io::Result<Vec<T>> {
        let mut words = Vec::with_capacity(len / N);
        let mut piece = vec![0; PIECE.min(len)];
        let mut left = len;
        while left > 0 {
            let part = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
            self.reader.read_exact(part)?;
            words.extend(part.as_chunks().0.iter().map(|bytes| word(*bytes)));
            left -= part.len();
        }
        Ok(words)
    }

    fn frame(&mut self) -> io::Result<DecodedFrame> {
        let (rows, columns) = (u32::from_le_bytes(self.array()?), u32::from_le_bytes(self.array()?));
        let [samples, stored, signed, width] = self.array()?;
        let photometric = self.photometric()?;
        let len = self.length()?;
        let count = [u64::from(rows), u64::from(columns), u64::from(samples), u64::from(width)];
        let expected = count.into_iter().try_fold(1u64, u64::checked_mul);
        if expected.is_none() || expected != u64::try_from(len).ok() || !(1..=32).contains(&stored) {
            return Err(bad("a frame of another size than it says"));
        }
        let words = match (width, stored) {
            (1, 1..=8) => Words::Eight(self.bytes_of(len)?),
            (2, 9..=16) => Words::Sixteen(self.words(len, u16::from_le_bytes)?),
            (4, 17..=32) => Words::ThirtyTwo(self.words(len, u32::from_le_bytes)?),
            _ => return Err(bad("words of another width than their bits")),
        };
        Ok(DecodedFrame { rows, columns, samples, stored, signed: signed != 0, photometric, words })
    }
}

/// Sends a request.
pub(crate) fn ask(to: &mut impl Write, request: &Request, limits: &Limits) -> io::Result<()> {
    let mut out = Out(Vec::new());
    let kind = match request {
        Request::Decode { .. } => 1,
        Request::Encode { .. } => 2,
        Request::Misbehave(_) => 3,
    };
    out.0.push(kind);
    out.u64(limits.frame_bytes);
    out.u64(limits.compressed_bytes);
    match request {
        Request::Decode { transfer_syntax, format, bytes } => {
            out.text(transfer_syntax);
            out.0.extend(format.rows.to_le_bytes());
            out.0.extend(format.columns.to_le_bytes());
            out.0.extend([format.samples, format.allocated, format.stored, format.high]);
            out.0.extend([u8::from(format.signed), u8::from(format.planar)]);
            out.text(format.photometric.term());
            out.u64(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            to.write_all(&out.0)?;
            return to.write_all(bytes);
        }
        Request::Encode { target, allocated, frame } => {
            out.text(target.uid());
            out.0.push(*allocated);
            out.frame(frame);
            to.write_all(&out.0)?;
            return write_words(to, &frame.words);
        }
        Request::Misbehave(how) => out.0.push(*how),
    }
    to.write_all(&out.0)
}

/// Receives a request; none where the other side has gone.
pub(crate) fn asked(from: &mut impl Read) -> io::Result<Option<(Request, Limits)>> {
    let mut kind = [0u8];
    if from.read(&mut kind)? == 0 {
        return Ok(None);
    }
    let mut input = In { reader: from, most: u64::MAX };
    let limits = Limits {
        frame_bytes: u64::from_le_bytes(input.array()?),
        compressed_bytes: u64::from_le_bytes(input.array()?),
    };
    input.most = limits.compressed_bytes.max(limits.frame_bytes);
    let request = match kind {
        [1] => {
            let transfer_syntax = input.text()?;
            let (rows, columns) = (u16::from_le_bytes(input.array()?), u16::from_le_bytes(input.array()?));
            let [samples, allocated, stored, high] = input.array()?;
            let (signed, planar) = (input.flag()?, input.flag()?);
            let photometric = input.photometric()?;
            let format = PixelFormat { rows, columns, samples, allocated, stored, high, signed, planar, photometric };
            Request::Decode { transfer_syntax, format, bytes: input.bytes()? }
        }
        [2] => {
            let target = Target::of(&input.text()?).ok_or_else(|| bad("an unknown target"))?;
            let [allocated] = input.array()?;
            Request::Encode { target, allocated, frame: input.frame()? }
        }
        [3] => {
            let [how] = input.array()?;
            Request::Misbehave(how)
        }
        _ => return Err(bad("an unknown request")),
    };
    Ok(Some((request, limits)))
}

/// Sends an answer.
pub(crate) fn answer(to: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let mut out = Out(Vec::new());
    match answer {
        Answer::Decoded(frame) => {
            out.0.push(1);
            out.frame(frame);
            to.write_all(&out.0)?;
            return write_words(to, &frame.words);
        }
        Answer::Encoded(encoded) => {
            out.0.push(2);
            out.text(encoded.photometric.term());
            out.u64(u64::try_from(encoded.bytes.len()).unwrap_or(u64::MAX));
            out.0.extend_from_slice(&encoded.bytes);
        }
        Answer::Failed(error) => {
            let (kind, text) = match error {
                CodecError::Unsupported(text) => (10, text),
                CodecError::Disagrees(text) => (11, text),
                CodecError::Corrupt(text) => (12, text),
                CodecError::Limit(text) => (13, text),
                CodecError::NotExact(text) => (14, text),
                CodecError::Busy(text) | CodecError::Worker(text) => (15, text),
            };
            out.0.push(kind);
            out.text(text);
        }
    }
    to.write_all(&out.0)
}

/// Receives an answer of at most `most` bytes of samples or codestream.
pub(crate) fn answered(from: &mut impl Read, most: u64) -> io::Result<Answer> {
    let mut input = In { reader: from, most };
    let [kind] = input.array()?;
    Ok(match kind {
        1 => Answer::Decoded(input.frame()?),
        2 => {
            let photometric = input.photometric()?;
            Answer::Encoded(Encoded { photometric, bytes: input.bytes()? })
        }
        10 => Answer::Failed(CodecError::Unsupported(input.text()?)),
        11 => Answer::Failed(CodecError::Disagrees(input.text()?)),
        12 => Answer::Failed(CodecError::Corrupt(input.text()?)),
        13 => Answer::Failed(CodecError::Limit(input.text()?)),
        14 => Answer::Failed(CodecError::NotExact(input.text()?)),
        15 => Answer::Failed(CodecError::Worker(input.text()?)),
        _ => return Err(bad("an unknown answer")),
    })
}
