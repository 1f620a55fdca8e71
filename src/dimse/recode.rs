//! An uncompressed data set in another little endian coding, read piece by piece while a thread writes it.

use dataset::syntax::EXPLICIT_LE;
use dataset::transcode::{explicit_le, implicit_le};
use model::Uid;
use std::io::{self, BufWriter, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes handed over at once.
const PIECE: usize = 128 * 1024;
/// Pieces that may wait.
const PIECES: usize = 4;

/// Opens the data set in Explicit VR Little Endian or, for any other syntax wanted, Implicit VR Little Endian.
///
/// # Errors
/// When no thread can be started.
pub fn recoded(mut stored: impl Read + Send + 'static, from: &Uid, to: &str) -> io::Result<Box<dyn Read + Send>> {
    let (sender, receiver) = sync_channel(PIECES);
    let (from, explicit) = (from.clone(), to == EXPLICIT_LE);
    std::thread::Builder::new().name("recode".to_owned()).spawn(move || {
        let mut out = BufWriter::with_capacity(PIECE, Sender(&sender));
        let done = match explicit {
            true => explicit_le(&mut stored, &from, &mut out),
            false => implicit_le(&mut stored, &from, &mut out),
        };
        let done = done.map_err(io::Error::other).and_then(|()| out.flush());
        // Whoever reads may have gone: then nobody waits for the end either.
        let _ = sender.send(done.map(|()| Vec::new()));
    })?;
    Ok(Box::new(Pieces { receiver, piece: Vec::new(), at: 0, ended: false }))
}

struct Sender<'a>(&'a SyncSender<io::Result<Vec<u8>>>);

impl Write for Sender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.0.send(Ok(bytes.to_vec())).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The pieces as one stream; an empty one is its end.
struct Pieces {
    receiver: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() && !self.ended {
            // A thread that died without a word broke off: what it wrote is not the whole.
            let piece = self.receiver.recv().map_err(|_| io::Error::other("recoding ended early"))??;
            self.ended = piece.is_empty();
            (self.piece, self.at) = (piece, 0);
        }
        let mut rest = self.piece.get(self.at..).unwrap_or_default();
        let read = rest.read(out)?;
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::identifier;
    use dataset::syntax::{EXPLICIT_BE, IMPLICIT_LE};
    use model::attribute::key;

    #[test]
    fn every_uncompressed_coding_comes_out_in_both_and_errors_come_through() {
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let long = "x".repeat(300_000);
        let values = [(key::PATIENT_COMMENTS, "UT", long.as_str()), (key::STUDY_INSTANCE_UID, "UI", "1.2.3")];
        for from in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE] {
            for to in [IMPLICIT_LE, EXPLICIT_LE] {
                let stored = identifier::write(&values, from, "");
                let mut out = Vec::new();
                let mut data = recoded(io::Cursor::new(stored.clone()), &uid(from), to).expect("opens");
                data.read_to_end(&mut out).expect("recoded");
                // In implicit coding the comments are LT, as in the dictionary.
                let read = identifier::read(&out, to, model::facility::CharsetHint::Auto).expect("readable");
                assert_eq!(read.keys.iter().map(|key| key.text.len()).collect::<Vec<_>>(), [300_000, 6], "{from} {to}");
                let cut = stored.get(..stored.len() - 3).expect("long").to_vec();
                let mut data = recoded(io::Cursor::new(cut), &uid(from), to).expect("opens");
                let whole = data.read_to_end(&mut Vec::new());
                assert!(whole.is_err() || from == to, "a cut data set looked whole");
            }
        }
    }
}
