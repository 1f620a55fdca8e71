//! The connection of an established association: blocking, with every wait bounded.
//!
//! Reads wake up in short ticks, so that a waiting association notices a closing archive.
//! The clock counts only time spent waiting for the peer; time the archive itself takes is not held against it.

use crate::line::Line;
use crate::options::Options;
use model::Certificate;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Longest sleep inside a read.
const TICK: Duration = Duration::from_millis(200);

/// How far the listener has closed down, shared by all its associations.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicU8);

impl Phase {
    const DRAINING: u8 = 1;
    const STOPPED: u8 = 2;

    /// No new associations, and open ones end after their current message.
    pub(crate) fn drain(&self) {
        self.0.fetch_max(Self::DRAINING, Ordering::SeqCst);
    }

    /// Every association ends at once.
    pub(crate) fn stop(&self) {
        self.0.fetch_max(Self::STOPPED, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= Self::DRAINING
    }

    fn is_stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= Self::STOPPED
    }
}

/// Why a read gave up although the connection still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GaveUp {
    /// No message for too long.
    Idle,
    /// A message that hardly moves.
    Slow,
    /// The rest of a refused data set took too long.
    Discard,
    /// The archive closes down.
    ClosingDown,
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Line,
    phase: Arc<Phase>,
    idle_limit: Duration,
    progress_limit: Duration,
    progress_bytes_min: u64,
    /// Whether a message has begun.
    in_message: bool,
    /// Time waited, and bytes received, since the last mark of progress.
    waited: Duration,
    arrived: u64,
    discard_until: Option<Instant>,
    gave_up: Option<GaveUp>,
    received: u64,
}

impl Socket {
    /// Takes over a connected stream.
    pub(crate) fn new(stream: Line, phase: Arc<Phase>, options: &Options) -> io::Result<Self> {
        let tcp = stream.tcp();
        tcp.set_nonblocking(false)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(TICK))?;
        tcp.set_write_timeout(Some(options.write_limit))?;
        acknowledge_at_once(tcp);
        Ok(Self {
            stream,
            phase,
            idle_limit: options.idle_limit,
            progress_limit: options.progress_limit,
            progress_bytes_min: options.progress_bytes_min,
            in_message: false,
            waited: Duration::ZERO,
            arrived: 0,
            discard_until: None,
            gave_up: None,
            received: 0,
        })
    }

    /// From now on the next message is awaited; bytes read ahead of it do not count.
    pub(crate) fn await_message(&mut self) {
        self.in_message = false;
        self.discard_until = None;
        (self.waited, self.arrived) = (Duration::ZERO, 0);
    }

    /// A message has begun: it must move.
    pub(crate) fn begin_message(&mut self) {
        if !self.in_message {
            self.in_message = true;
            (self.waited, self.arrived) = (Duration::ZERO, 0);
        }
    }

    /// The rest of the message is only read away, until then at the latest.
    pub(crate) fn discard_until(&mut self, end: Instant) {
        self.discard_until.get_or_insert(end);
    }

    /// Why the last read failed, when it was a limit of ours.
    pub(crate) fn gave_up(&self) -> Option<GaveUp> {
        self.gave_up
    }

    /// Bytes received since the last call.
    pub(crate) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// Sends all of `bytes` or fails within the write limit per step.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends two pieces as one, without copying them.
    pub(crate) fn send_both(&mut self, first: &[u8], then: &[u8]) -> io::Result<()> {
        if first.is_empty() || then.is_empty() {
            return self.send(if first.is_empty() { then } else { first });
        }
        let written = loop {
            match self.stream.write_vectored(&[IoSlice::new(first), IoSlice::new(then)]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        match written.checked_sub(first.len()) {
            None => {
                self.send(first.get(written..).unwrap_or_default())?;
                self.send(then)
            }
            Some(of_second) => self.send(then.get(of_second..).unwrap_or_default()),
        }
    }

    /// The certificate the peer proved to hold.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        self.stream.certificate()
    }

    /// Whether TLS protects the connection.
    pub(crate) fn is_secure(&self) -> bool {
        self.stream.is_secure()
    }

    /// Whether the archive closes down at once: a long answer ends where it is.
    pub(crate) fn is_stopped(&self) -> bool {
        self.phase.is_stopped()
    }

    /// Whether the archive takes no new message.
    pub(crate) fn is_draining(&self) -> bool {
        self.phase.is_draining()
    }

    /// Longest silence between two messages.
    pub(crate) fn idle_limit(&self) -> Duration {
        self.idle_limit
    }

    /// Whether the peer has sent something, or is gone; does not wait.
    pub(crate) fn is_readable(&mut self) -> io::Result<bool> {
        self.stream.tcp().set_nonblocking(true)?;
        let seen = self.stream.has_arrived();
        self.stream.tcp().set_nonblocking(false)?;
        seen
    }

    /// Waits for as long at the most, and tells whether the peer has sent nothing and is not gone.
    pub(crate) fn is_silent_for(&mut self, pause: Duration) -> io::Result<bool> {
        self.stream.tcp().set_read_timeout(Some(pause))?;
        let seen = self.stream.has_arrived();
        self.stream.tcp().set_read_timeout(Some(TICK))?;
        seen.map(|arrived| !arrived)
    }

    /// Says that nothing more will be sent and gives the stream back for a last wait on the peer.
    pub(crate) fn end(self) -> TcpStream {
        self.stream.end()
    }

    fn overdue(&self) -> Option<GaveUp> {
        if self.phase.is_stopped() || (!self.in_message && self.phase.is_draining()) {
            return Some(GaveUp::ClosingDown);
        }
        if !self.in_message {
            return (self.waited >= self.idle_limit).then_some(GaveUp::Idle);
        }
        (self.waited >= self.progress_limit && self.arrived < self.progress_bytes_min).then_some(GaveUp::Slow)
    }

    fn note(&mut self, bytes: usize, waited: Duration) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.received = self.received.saturating_add(bytes);
        self.arrived = self.arrived.saturating_add(bytes);
        self.waited += waited;
        if self.waited >= self.progress_limit && self.arrived >= self.progress_bytes_min {
            (self.waited, self.arrived) = (Duration::ZERO, 0);
        }
    }

    fn give_up(&mut self, why: GaveUp) -> io::Error {
        self.gave_up = Some(why);
        io::ErrorKind::TimedOut.into()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.discard_until.is_some_and(|end| Instant::now() >= end) {
                return Err(self.give_up(GaveUp::Discard));
            }
            if let Some(why) = self.overdue() {
                return Err(self.give_up(why));
            }
            if self.in_message {
                // Waiting for the rest of a message: a sender with Nagle's algorithm on may hold it back until
                // what came is acknowledged, and the kernel delays that by 40 ms. Quick acknowledgement is not
                // sticky, so it is asked for before each such wait. Between messages our answer carries it.
                acknowledge_at_once(self.stream.tcp());
            }
            let before = Instant::now();
            let result = self.stream.read(buffer);
            let waited = before.elapsed();
            match result {
                Ok(bytes) => {
                    if !self.in_message {
                        self.begin_message();
                    }
                    self.note(bytes, waited);
                    return Ok(bytes);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    self.note(0, waited);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Asks the kernel to acknowledge what was received without waiting for an answer to ride on.
pub(crate) fn acknowledge_at_once(stream: &impl std::os::fd::AsFd) {
    // A kernel without the option only makes such peers slower.
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn two_pieces_go_out_as_one_however_much_the_peer_takes_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let ours = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (mut peer, _) = listener.accept().expect("accepted");
        let mut socket =
            Socket::new(Line::Plain(ours), Arc::new(Phase::default()), &Options::default()).expect("socket");
        let sizes: [(usize, usize); 6] = [(0, 0), (0, 5), (5, 0), (3, 7), (150, 8 << 20), (8 << 20, 1 << 20)];
        let pieces = sizes.map(|(first, then)| (vec![1u8; first], vec![2u8; then]));
        let wanted: Vec<u8> =
            pieces.iter().flat_map(|(first, then)| [first.as_slice(), then.as_slice()].concat()).collect();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).expect("read");
            all
        });
        for (first, then) in &pieces {
            socket.send_both(first, then).expect("sent");
        }
        drop(socket.end());
        assert!(reading.join().expect("read") == wanted);
    }
}
