//! A data set on its way out, read in pieces that are whole P-DATA-TF PDUs but for their headers (PS3.8 section 9.3.5).
//!
//! What is read is what is sent: nothing is copied in between, and a peer that takes short PDUs gets many of them in one
//! write. The first bytes can be read before anything is sent, within [`Room`]: a short object that cannot be read is
//! then known before its peer hears of it. The last fragment goes out only when the source has ended without an error.
//!
//! Deliberately not here: the association it goes out on.

use crate::pdu::{self, DATA_HEADER_BYTES, PDV_HEADER_BYTES};
use archive::Claim;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

/// Bytes written at once, as far as whole PDUs come to that.
const PIECE_BYTES: usize = 256 * 1024;
/// Most bytes of one data set that are read before it is sent.
pub(crate) const AHEAD_MAX: u64 = 32 << 20;
/// Bytes of a small data set: so many are read first, and go out in one buffer with the command.
const SMALL_BYTES: usize = 16 * 1024;
/// Pieces that were sent and whose memory the next ones use, beside the room: 16 MiB.
const SPARES_MAX: usize = 64;

/// How long the PDUs of a peer are, and how many of them make a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of data in one PDU.
    room: usize,
    pdus: usize,
}

impl Shape {
    /// For a peer that takes PDUs of so many bytes, counted as it announces them.
    pub(crate) fn of(pdu_bytes_max: u32) -> Self {
        let longest = usize::try_from(pdu_bytes_max).unwrap_or(usize::MAX).clamp(PDV_HEADER_BYTES + 1, 1 << 20);
        let room = longest - PDV_HEADER_BYTES;
        Self { room, pdus: (PIECE_BYTES / (room + DATA_HEADER_BYTES)).max(1) }
    }

    /// Bytes of a full piece.
    fn piece_bytes(self) -> usize {
        (self.room + DATA_HEADER_BYTES) * self.pdus
    }
}

/// Memory for data sets that are read before they are sent, of all associations together.
#[derive(Debug)]
pub(crate) struct Room {
    bound: Arc<archive::Room>,
    /// Memory that was used: taken anew for each object it would be zeroed page by page.
    spares: Mutex<Vec<Vec<u8>>>,
}

impl Room {
    /// Of so many bytes.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Arc::new(Self { bound: archive::Room::new(bytes), spares: Mutex::default() })
    }

    fn spare(&self) -> Vec<u8> {
        self.spares.lock().pop().unwrap_or_default()
    }

    /// Takes memory back; that of small data sets is not worth it.
    fn keep(&self, piece: Vec<u8>) {
        let mut spares = self.spares.lock();
        let usual = PIECE_BYTES / 2..=2 * PIECE_BYTES;
        if usual.contains(&piece.capacity()) && spares.len() < SPARES_MAX {
            spares.push(piece);
        }
    }
}

/// What one data set has of it.
#[derive(Debug)]
struct Held {
    room: Arc<Room>,
    claim: Claim,
}

/// What sends two pieces as one.
pub(crate) type Way<'a, E> = dyn FnMut(&[u8], &[u8]) -> Result<(), E> + 'a;

/// Where sending a data set ended before its end.
#[derive(Debug)]
pub(crate) enum Broken<E> {
    /// It cannot be read, and nothing of it was sent.
    Unsent(io::Error),
    /// It cannot be read to its end, and a part of it was sent: the association has to end.
    Halfway(io::Error),
    /// It cannot be sent.
    Wire(E),
}

/// A data set to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing<S> {
    source: S,
    shape: Shape,
    /// What was read and not sent yet.
    pieces: VecDeque<Vec<u8>>,
    /// Whether the source has ended.
    ended: bool,
    held: Option<Held>,
}

impl<S: Read> Outgoing<S> {
    /// Nothing of it is read yet.
    pub(crate) fn new(source: S, shape: Shape) -> Self {
        Self { source, shape, pieces: VecDeque::new(), ended: false, held: None }
    }

    /// Reads as much as there is room for, and no more than [`AHEAD_MAX`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read_ahead(&mut self, room: &Arc<Room>) -> io::Result<()> {
        let piece = u64::try_from(self.shape.piece_bytes()).unwrap_or(u64::MAX);
        while !self.ended {
            let none = || Held { room: Arc::clone(room), claim: Claim::none(&room.bound) };
            let held = self.held.get_or_insert_with(none);
            if held.claim.bytes().saturating_add(piece) > AHEAD_MAX || !held.claim.grow(piece) {
                break;
            }
            self.read_piece(room.spare())?;
        }
        Ok(())
    }

    /// Whether all of it was read.
    pub(crate) fn is_whole(&self) -> bool {
        self.ended
    }

    /// Reads the next piece only to see whether it can be read; false when it has ended.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn skip(&mut self) -> io::Result<bool> {
        let spent = self.pieces.pop_front();
        if !self.ended {
            self.read_piece(spent.unwrap_or_default())?;
        }
        Ok(!self.pieces.is_empty())
    }

    /// Sends a command, as its PDUs, and the data set in a presentation context, for as long as it is wanted.
    ///
    /// # Errors
    /// Where it broke off; what is wanted no more breaks off too.
    pub(crate) fn send<E>(
        mut self,
        context: u8,
        command: Vec<u8>,
        wanted: &dyn Fn() -> bool,
        send: &mut Way<'_, E>,
    ) -> Result<(), Broken<E>> {
        let mut command = Some(command);
        let mut spent = Vec::new();
        loop {
            let unread = |error, begun: bool| if begun { Broken::Halfway(error) } else { Broken::Unsent(error) };
            if self.pieces.is_empty() && !self.ended {
                let memory = self.memory(&mut spent);
                self.read_piece(memory).map_err(|error| unread(error, command.is_none()))?;
            }
            if !wanted() {
                return Err(unread(io::Error::other("nobody wants it any more"), command.is_none()));
            }
            let mut piece = self.pieces.pop_front().unwrap_or_default();
            if self.pieces.is_empty() && !self.ended {
                let memory = self.memory(&mut spent);
                self.read_piece(memory).map_err(|error| unread(error, command.is_none()))?;
            }
            let last = self.pieces.is_empty();
            self.shape.seal(&mut piece, context, last);
            // The command goes out with the first piece, and the peer wakes once; a small one inside TLS, too.
            let sent = match command.take() {
                Some(mut both) if piece.len() <= SMALL_BYTES => {
                    both.extend_from_slice(&piece);
                    send(&both, &[])
                }
                first => send(first.as_deref().unwrap_or_default(), &piece),
            };
            sent.map_err(Broken::Wire)?;
            match &self.held {
                Some(held) => held.room.keep(piece),
                None => spent = piece,
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Used memory, of the room where there is one.
    fn memory(&self, spent: &mut Vec<u8>) -> Vec<u8> {
        self.held.as_ref().map_or_else(|| std::mem::take(spent), |held| held.room.spare())
    }

    /// Reads the next piece into used memory; none comes where the source has ended.
    fn read_piece(&mut self, mut into: Vec<u8>) -> io::Result<()> {
        let mut used = 0usize;
        for _ in 0..self.shape.pdus {
            let data = used.saturating_add(DATA_HEADER_BYTES);
            let read = fill(&mut self.source, data, self.shape, &mut into)?;
            if read > 0 {
                used = data.saturating_add(read);
            }
            if read < self.shape.room {
                self.ended = true;
                break;
            }
        }
        into.truncate(used);
        match &self.held {
            Some(held) if into.is_empty() => held.room.keep(into),
            None if into.is_empty() => {}
            _ => self.pieces.push_back(into),
        }
        Ok(())
    }
}

impl Shape {
    /// Writes the headers of a piece. One without a byte becomes the one fragment of an empty data set.
    fn seal(self, piece: &mut Vec<u8>, context: u8, last: bool) {
        if piece.is_empty() {
            piece.resize(DATA_HEADER_BYTES, 0);
        }
        let mut pdus = piece.chunks_mut(self.room + DATA_HEADER_BYTES).peekable();
        while let Some(one) = pdus.next() {
            let last = last && pdus.peek().is_none();
            if let Some((header, data)) = one.split_first_chunk_mut::<DATA_HEADER_BYTES>() {
                *header = pdu::data_header(context, data.len(), last);
            }
        }
    }
}

/// Reads the data of one PDU to a place in used memory; less only at the end of the source.
fn fill(source: &mut impl Read, start: usize, shape: Shape, into: &mut Vec<u8>) -> io::Result<usize> {
    let (room, mut step) = (shape.room, SMALL_BYTES);
    let mut read = 0;
    while read < room {
        let at = start.saturating_add(read);
        let end = at.saturating_add(step.min(room - read));
        if into.len() < end {
            if step > SMALL_BYTES {
                // It is no small data set: room for a whole piece at once.
                into.reserve_exact(shape.piece_bytes().saturating_sub(into.len()));
            }
            into.resize(end, 0);
        }
        let space = into.get_mut(at..end).unwrap_or_default();
        match source.read(space) {
            Ok(0) => break,
            Ok(count) => read = read.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        step = room;
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::{Kind, Piece, Splitter};
    use std::io::Cursor;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Hands out at most so many bytes at once and then, perhaps, an error.
    struct Slow {
        bytes: Cursor<Vec<u8>>,
        step: usize,
        breaks: bool,
    }

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let step = self.step.min(buffer.len());
            match self.bytes.read(&mut buffer[..step])? {
                0 if self.breaks => Err(io::Error::other("damaged, on purpose")),
                count => Ok(count),
            }
        }
    }

    fn slow(length: usize, step: usize, breaks: bool) -> Slow {
        Slow { bytes: Cursor::new((0..length).map(|at| (at % 251) as u8).collect()), step, breaks }
    }

    /// What was sent, write by write, and how it ended.
    fn sent(outgoing: Outgoing<Slow>) -> (Vec<Vec<u8>>, Result<(), Broken<()>>) {
        let (mut writes, command) = (Vec::new(), pdu::command_pdus(7, b"command!", 0));
        let ended = outgoing.send(7, command, &|| true, &mut |first, then| {
            writes.push([first, then].concat());
            Ok(())
        });
        (writes, ended)
    }

    /// The bytes of the data set in a stream of PDUs of at most so many bytes, and whether it is complete.
    fn data(writes: &[Vec<u8>], pdu_bytes_max: u32) -> (Vec<u8>, bool) {
        let stream = writes.concat();
        let mut splitter = Splitter::new(stream.as_slice(), pdu_bytes_max.max(64));
        let (mut bytes, mut complete) = (Vec::new(), false);
        loop {
            match splitter.next_piece().expect("PDUs within the limit") {
                Piece::Fragment { kind: Kind::Command, data, .. } => assert_eq!(data, b"command!"),
                Piece::Fragment { context, kind: Kind::DataSet, data, last } => {
                    assert!(context == 7 && !complete, "behind the last fragment");
                    bytes.extend_from_slice(data);
                    complete = last;
                }
                Piece::Closed => return (bytes, complete),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn every_length_arrives_whole_in_pdus_the_peer_takes_whatever_was_read_ahead() {
        let room = Room::new(1 << 30);
        for limit in [7, 64, 16_384, 131_072] {
            let shape = Shape::of(limit);
            let piece = shape.pdus * shape.room;
            let lengths =
                [0, 1, shape.room - 1, shape.room, shape.room + 1, piece, piece + 1, 2 * piece, 2 * piece + 3];
            for (number, length) in lengths.into_iter().enumerate() {
                for ahead in [false, true] {
                    let source = slow(length, 1 + 1_000 * number, false);
                    let whole = source.bytes.get_ref().clone();
                    let mut outgoing = Outgoing::new(source, shape);
                    if ahead {
                        outgoing.read_ahead(&room).expect("read");
                        assert!(outgoing.is_whole());
                    }
                    let (writes, ended) = sent(outgoing);
                    assert!(ended.is_ok());
                    assert!(data(&writes, limit) == (whole, true), "{limit} {length} {ahead}");
                    assert_eq!(writes.len(), length.div_ceil(piece).max(1), "the command goes with the first piece");
                }
            }
        }
        assert_eq!(room.bound.left(), 1 << 30, "room was not given back");
    }

    #[test]
    fn memory_is_used_again_and_says_nothing_of_what_was_in_it() {
        let (shape, room) = (Shape::of(16_384), Room::new(1 << 30));
        let read = |length| {
            let mut outgoing = Outgoing::new(slow(length, 1 << 20, false), shape);
            outgoing.read_ahead(&room).expect("read");
            outgoing
        };
        let long = 3 * shape.pdus * shape.room;
        assert!(sent(read(long)).1.is_ok());
        assert_eq!(room.spares.lock().len(), 3);
        let next = read(long + 100);
        assert_eq!(room.spares.lock().len(), 0, "taken anew");
        assert_eq!(data(&sent(next).0, 16_384).0.len(), long + 100);
        // Short ones lie in what long ones left.
        for length in [0, 1, 17_000] {
            let whole = slow(length, 1, false).bytes.into_inner();
            assert!(data(&sent(read(length)).0, 16_384) == (whole, true), "{length}");
        }
        let many = read((SPARES_MAX + 10) * shape.pdus * shape.room);
        assert!(sent(many).1.is_ok());
        assert_eq!(room.spares.lock().len(), SPARES_MAX);
    }

    #[test]
    fn what_breaks_off_never_looks_whole_and_is_known_before_anything_is_sent_where_there_is_room() {
        let shape = Shape::of(131_072);
        let long = 3 * shape.piece_bytes();
        // Straight from the source: what breaks within the first pieces is known, what breaks later is not.
        assert!(
            matches!(sent(Outgoing::new(slow(1_000, 100, true), shape)), (w, Err(Broken::Unsent(_))) if w.is_empty())
        );
        let (writes, ended) = sent(Outgoing::new(slow(long, 1 << 20, true), shape));
        assert!(matches!(ended, Err(Broken::Halfway(_))));
        let (bytes, complete) = data(&writes, 131_072);
        assert!(!bytes.is_empty() && !complete, "a part looks whole");
        // Read ahead: known as far as there is room.
        let plenty = Room::new(1 << 30);
        assert!(Outgoing::new(slow(long, 1 << 20, true), shape).read_ahead(&plenty).is_err());
        let little = Room::new(shape.piece_bytes());
        let mut first = Outgoing::new(slow(long, 1 << 20, false), shape);
        first.read_ahead(&little).expect("read");
        let mut second = Outgoing::new(slow(long, 1 << 20, true), shape);
        second.read_ahead(&little).expect("there is no room to find out");
        assert!(!first.is_whole() && !second.is_whole());
        drop(first);
        assert!(second.read_ahead(&little).is_ok() && second.pieces.len() == 1, "the room the first had");
    }

    #[test]
    fn what_nobody_wants_any_more_ends_though_all_of_it_was_read() {
        let shape = Shape::of(16_384);
        let mut outgoing = Outgoing::new(slow(10 * shape.piece_bytes(), 1 << 20, false), shape);
        outgoing.read_ahead(&Room::new(1 << 30)).expect("read");
        assert!(outgoing.is_whole());
        let (writes, begun) = (AtomicUsize::new(0), pdu::command_pdus(7, b"command!", 0));
        let ended = outgoing.send(7, begun, &|| writes.load(Ordering::Relaxed) < 4, &mut |_, _| {
            writes.fetch_add(1, Ordering::Relaxed);
            Ok::<(), ()>(())
        });
        assert!(matches!(ended, Err(Broken::Halfway(_))));
        assert_eq!(writes.into_inner(), 4);
    }

    #[test]
    fn skipping_tells_whether_the_rest_can_be_read() {
        let shape = Shape::of(16_384);
        let ends = |breaks| {
            let mut outgoing = Outgoing::new(slow(3 * shape.piece_bytes(), 1 << 20, breaks), shape);
            loop {
                match outgoing.skip() {
                    Ok(true) => {}
                    Ok(false) => return true,
                    Err(_) => return false,
                }
            }
        };
        assert!(ends(false));
        assert!(!ends(true));
    }
}
