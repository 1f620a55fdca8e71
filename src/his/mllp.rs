//! Frames of the Minimal Lower Layer Protocol: `0x0B` message `0x1C 0x0D`, any number on one connection.
//!
//! Line ends between frames are passed over, because some senders add one; anything else there ends the connection.

use crate::options::Options;
use crate::places::{Claim, Memory};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Begins a frame.
pub(crate) const BEGIN: u8 = 0x0b;
/// Ends a message.
pub(crate) const END: u8 = 0x1c;
/// Ends a frame.
pub(crate) const RETURN: u8 = 0x0d;
/// Type of a TLS record that begins a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes read at one time.
const READ: usize = 64 << 10;
/// Start of a message that is too long, kept to answer it.
const HEAD: usize = 8 << 10;
/// Longest time in which bytes are read away after the last word to a peer.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes that are read away after the last word to a peer.
const LINGER_MAX: usize = 256 << 20;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The peer hung up between messages.
    #[error("the peer hung up")]
    Closed,
    /// Nothing came.
    #[error("no message came within the idle limit")]
    Idle,
    /// Something that begins no frame.
    #[error("bytes that are no MLLP frame")]
    Garbage,
    /// TLS where none is spoken.
    #[error("a TLS handshake on the port without TLS; TLS is on hl7.tls.listen")]
    Tls,
    /// The message did not end in time.
    #[error("a message that did not end within the frame limit")]
    Late,
    /// The peer hung up inside a message.
    #[error("the peer hung up inside a message")]
    Cut,
    /// The message is too long; its start.
    #[error("a message that is too long")]
    TooLong(Vec<u8>),
    /// No room for it beside the others; its start.
    #[error("a message for which there is no memory now")]
    NoMemory(Vec<u8>),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

impl Broken {
    /// Its name in metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Idle => "idle",
            Self::Garbage => "garbage",
            Self::Tls => "tls-on-plain-port",
            Self::Late => "late",
            Self::Cut => "cut",
            Self::TooLong(_) => "too-long",
            Self::NoMemory(_) => "no-memory",
            Self::Io(_) => "io",
        }
    }
}

/// A message as it came, with the memory it takes.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) claim: Claim,
}

/// The frames of a connection.
pub(crate) struct Frames<S> {
    stream: S,
    /// What was read and not handed out.
    buffer: Vec<u8>,
    memory: Arc<Memory>,
    message_max: usize,
    frame_limit: Duration,
    idle_limit: Duration,
    write_limit: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    pub(crate) fn new(stream: S, options: &Options, memory: &Arc<Memory>) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            memory: Arc::clone(memory),
            message_max: options.message_bytes_max,
            frame_limit: options.frame_limit,
            idle_limit: options.idle_limit,
            write_limit: options.write_limit,
        }
    }

    /// Waits until a frame begins. May be given up and called again: nothing is lost.
    pub(crate) async fn begin(&mut self) -> Result<(), Broken> {
        loop {
            let passed = self.buffer.iter().take_while(|byte| [b'\r', b'\n'].contains(byte)).count();
            self.buffer.drain(..passed);
            match self.buffer.first() {
                Some(&BEGIN) => return Ok(()),
                Some(&TLS_HANDSHAKE) => return Err(Broken::Tls),
                Some(_) => return Err(Broken::Garbage),
                None => {}
            }
            let read = timeout(self.idle_limit, read(&mut self.stream, &mut self.buffer)).await;
            if read.map_err(|_| Broken::Idle)?? == 0 {
                return Err(Broken::Closed);
            }
        }
    }

    /// The frame that began.
    pub(crate) async fn rest(&mut self) -> Result<Frame, Broken> {
        timeout(self.frame_limit, self.frame()).await.map_err(|_| Broken::Late)?
    }

    async fn frame(&mut self) -> Result<Frame, Broken> {
        let mut claim = self.memory.claim();
        // Behind the byte that begins it.
        let mut looked = 1;
        loop {
            let unread = self.buffer.get(looked..).unwrap_or_default();
            if let Some(at) = memchr::memchr(END, unread).map(|at| looked + at) {
                // However the network cut it: the byte that begins the frame is no part of the message.
                if at > self.message_max.saturating_add(1) {
                    return Err(Broken::TooLong(self.start()));
                }
                match self.buffer.get(at + 1) {
                    Some(&RETURN) => return Ok(Frame { bytes: self.taken(at), claim }),
                    Some(_) => return Err(Broken::Garbage),
                    None => looked = at,
                }
            } else {
                looked = self.buffer.len();
            }
            if self.buffer.len() > self.message_max.saturating_add(2) {
                return Err(Broken::TooLong(self.start()));
            }
            if !claim.grow(self.buffer.len() + READ) {
                return Err(Broken::NoMemory(self.start()));
            }
            if read(&mut self.stream, &mut self.buffer).await? == 0 {
                return Err(Broken::Cut);
            }
        }
    }

    /// Takes the message that ends at a place out of the buffer.
    fn taken(&mut self, end: usize) -> Vec<u8> {
        let later = self.buffer.split_off((end + 2).min(self.buffer.len()));
        let mut bytes = std::mem::replace(&mut self.buffer, later);
        bytes.truncate(end);
        bytes.drain(..1);
        bytes
    }

    fn start(&self) -> Vec<u8> {
        self.buffer.get(1..self.buffer.len().min(HEAD)).unwrap_or_default().to_vec()
    }

    /// Sends an answer.
    pub(crate) async fn send(&mut self, answer: &[u8]) -> io::Result<()> {
        let framed = [&[BEGIN][..], answer, &[END, RETURN]].concat();
        let sending = async {
            self.stream.write_all(&framed).await?;
            self.stream.flush().await
        };
        timeout(self.write_limit, sending).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Says the last word and reads away what still comes: closing with bytes unread would reset the connection and
    /// destroy our last word before the peer has read it.
    pub(crate) async fn part(mut self, last_word: Option<&[u8]>) {
        if let Some(answer) = last_word
            && self.send(answer).await.is_err()
        {
            return;
        }
        let lingering = async {
            self.stream.shutdown().await?;
            let (mut waste, mut left) = (Vec::with_capacity(READ), LINGER_MAX);
            while left > 0 {
                waste.clear();
                match read(&mut self.stream, &mut waste).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            io::Result::Ok(())
        };
        // Whatever happens, it is over.
        let _ = timeout(self.write_limit.min(LINGER), lingering).await;
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.reserve(READ);
    match stream.read_buf(buffer).await {
        // Over TLS the peer hung up without a word; whether that is a loss, MLLP itself tells.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read,
    }
}
