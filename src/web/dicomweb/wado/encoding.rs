//! Re-encoding on the way out, with bounded memory: data sets to other transfer syntaxes, words to little endian,
//! deflated data sets to plain ones.

use crate::app::App;
use crate::dicomweb::media::EXPLICIT_LE;
use crate::problem::{Kind, Problem};
use archive::{Archive, CodecError, DecodeError, InstanceRow, RetrieveError, transcode};
use model::{Flag, Uid};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// A readable source of an answer.
pub(super) type Source = Box<dyn Read + Send>;

/// Bytes handed over at once.
const PIECE: usize = 256 << 10;
/// Pieces that may wait for the client.
const AHEAD: usize = 2;
/// How long a re-encoded answer waits for its place.
const PERMIT_WAIT: Duration = Duration::from_secs(5);

enum Message {
    Bytes(Vec<u8>),
    Failed(io::Error),
    Done,
}

/// Preamble and file meta information of ours for an instance in a transfer syntax.
pub(super) fn meta(row: &InstanceRow, syntax: &Uid) -> Vec<u8> {
    dataset::part10::file_meta(&row.sop_class, &transcode::instance_in(row, syntax.as_str()), syntax)
}

/// The DICOM file of an instance as it is stored, with the correction its row carries, and with file meta information of
/// ours where it came without.
pub(super) fn stored_file(archive: &Arc<Archive>, row: &InstanceRow) -> Result<Source, RetrieveError> {
    if !row.flags.contains(&Flag::MissingMeta) {
        return archive.given_file(row);
    }
    Ok(Box::new(io::Cursor::new(meta(row, &row.transfer_syntax)).chain(archive.given(row)?)))
}

/// The DICOM file of an instance in Explicit VR Little Endian, or as it is stored where its pixels cannot be had; with
/// its transfer syntax.
pub(super) fn usual_file(archive: &Arc<Archive>, row: &InstanceRow) -> Result<(String, Source), DecodeError> {
    match made_file(archive, row, EXPLICIT_LE) {
        Ok(made) => Ok((EXPLICIT_LE.to_owned(), made)),
        Err(error @ (DecodeError::Retrieve(_) | DecodeError::Codec(CodecError::Busy(_)))) => Err(error),
        Err(error) => {
            tracing::warn!(%error, sop_instance = %row.sop_instance, "an object cannot be decoded, it goes as stored");
            Ok((row.transfer_syntax.to_string(), stored_file(archive, row)?))
        }
    }
}

/// The DICOM file of an instance in a transfer syntax that it can be made in.
pub(super) fn made_file(archive: &Arc<Archive>, row: &InstanceRow, syntax: &str) -> Result<Source, DecodeError> {
    let data_set = archive.transcoded(row, syntax)?;
    // One of the offered syntaxes is always a UID.
    let named = Uid::parse(syntax).unwrap_or_else(|_| row.transfer_syntax.clone());
    Ok(Box::new(io::Cursor::new(meta(row, &named)).chain(data_set)))
}

/// The data set of a deflated instance, inflated.
pub(super) fn inflated(app: &Arc<App>, row: &InstanceRow) -> io::Result<Source> {
    let mut source = app.archive.data_set(row);
    written_by(move |out| dataset::transcode::inflate(&mut source, out).map_err(io::Error::other))
}

/// What a thread of its own writes, as the client reads it.
pub(super) fn written_by(write: impl FnOnce(&mut Sending) -> io::Result<()> + Send + 'static) -> io::Result<Source> {
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::Builder::new().name("khoanh-reencode".into()).spawn(move || {
        let mut writer = Sending { sender, piece: Vec::with_capacity(PIECE) };
        let last = match write(&mut writer).and_then(|()| writer.flush()) {
            Ok(()) => Message::Done,
            Err(error) => Message::Failed(error),
        };
        // A client that went away takes no message, and needs none.
        let _ = writer.sender.send(last);
    })?;
    Ok(Box::new(Received { receiver, piece: io::Cursor::new(Vec::new()), done: false }))
}

/// A place among the answers that re-encode, waited for only briefly.
pub(super) async fn permit(app: &App) -> Result<OwnedSemaphorePermit, Problem> {
    let waiting = Arc::clone(&app.transcodes).acquire_owned();
    match tokio::time::timeout(PERMIT_WAIT, waiting).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Problem::new(Kind::Busy, "as many answers as allowed are being re-encoded")),
    }
}

/// A source that keeps something, such as its place among the re-encoded answers, while it is read.
pub(super) fn held<T: Send + 'static>(source: Source, kept: T) -> Source {
    Box::new(Held { source, _kept: kept })
}

struct Held<T> {
    source: Source,
    _kept: T,
}

impl<T> Read for Held<T> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.source.read(out)
    }
}

pub(super) struct Sending {
    sender: SyncSender<Message>,
    piece: Vec<u8>,
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender.send(Message::Bytes(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

struct Received {
    receiver: Receiver<Message>,
    piece: io::Cursor<Vec<u8>>,
    done: bool,
}

impl Read for Received {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(out)?;
            if count > 0 || out.is_empty() || self.done {
                return Ok(count);
            }
            match self.receiver.recv() {
                Ok(Message::Bytes(bytes)) => self.piece = io::Cursor::new(bytes),
                Ok(Message::Done) => self.done = true,
                Ok(Message::Failed(error)) => return Err(error),
                // The writer died without a last word: the data set is not complete.
                Err(_) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }
        }
    }
}

/// Reverses the bytes of every word of `width` bytes (PS3.5 section 7.3); a rest shorter than a word stays.
pub(super) struct Swapped<R> {
    inner: R,
    width: usize,
    ready: Vec<u8>,
    taken: usize,
}

impl<R: Read> Swapped<R> {
    pub(super) fn new(inner: R, width: usize) -> Self {
        Self { inner, width: width.max(1), ready: Vec::new(), taken: 0 }
    }
}

impl<R: Read> Read for Swapped<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken >= self.ready.len() {
            self.ready.clear();
            self.taken = 0;
            // A multiple of every word width, so that only the very last piece can end inside a word.
            let wanted = u64::try_from(PIECE).unwrap_or(u64::MAX);
            self.inner.by_ref().take(wanted).read_to_end(&mut self.ready)?;
            dataset::transcode::swap_words(&mut self.ready, self.width);
        }
        let waiting = self.ready.get(self.taken..).unwrap_or_default();
        let count = waiting.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), waiting.get(..count)) {
            to.copy_from_slice(from);
        }
        self.taken += count;
        Ok(count)
    }
}

/// Passes over bytes of a reader; an early end is an error.
pub(super) fn skip(reader: &mut impl Read, count: u64) -> io::Result<()> {
    let passed = io::copy(&mut reader.by_ref().take(count), &mut io::sink())?;
    if passed == count { Ok(()) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) }
}

/// Exactly `left` bytes of a reader: an early end is an error, not a short answer.
pub(super) struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Exactly<R> {
    pub(super) fn new(inner: R, left: u64) -> Self {
        Self { inner, left }
    }
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let Some(out) = out.get_mut(..most).filter(|out| !out.is_empty()) else { return Ok(0) };
        let count = self.inner.read(out)?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.left = self.left.saturating_sub(u64::try_from(count).unwrap_or(self.left));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_swapped_over_every_seam() {
        let bytes: Vec<u8> = (0..=255u8).cycle().take(PIECE * 2 + 5).collect();
        for width in [1, 2, 4, 8] {
            let mut out = Vec::new();
            Swapped::new(bytes.as_slice(), width).read_to_end(&mut out).expect("memory");
            let mut expected = bytes.clone();
            expected.chunks_exact_mut(width).for_each(<[u8]>::reverse);
            assert!(out == expected, "width {width}");
        }
    }

    #[test]
    fn an_early_end_is_an_error() {
        let mut out = Vec::new();
        assert!(Exactly::new(&b"abc"[..], 4).read_to_end(&mut out).is_err());
        out.clear();
        assert_eq!(Exactly::new(&b"abc"[..], 2).read_to_end(&mut out).expect("enough"), 2);
        assert!(skip(&mut &b"abc"[..], 4).is_err());
    }

    #[test]
    fn a_writer_that_dies_does_not_look_complete() {
        let (sender, receiver) = sync_channel(AHEAD);
        let mut writer = Sending { sender, piece: Vec::new() };
        writer.write_all(b"half").and_then(|()| writer.flush()).expect("room");
        drop(writer);
        let mut reader = Received { receiver, piece: io::Cursor::new(Vec::new()), done: false };
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
    }
}
