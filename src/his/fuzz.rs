//! Entrances for fuzzing: each takes any bytes and must return.
//!
//! What must hold for every input is asserted here; nothing else calls these functions.

use crate::desk::decode;
use crate::hl7::ack::{Verdict, answer};
use crate::hl7::{Fault, Head, Message, Separators, escape};
use crate::map::Map;
use crate::mllp::{END, Frames};
use crate::options::Options;
use crate::out;
use crate::places::Memory;
use crate::sources::Sender;
use crate::translate;
use model::facility::CharsetHint;
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// Longest message of a stream.
const MESSAGE_MAX: usize = 2_000;
/// Small pieces of a stream.
const PIECE: usize = 7;

static SENDER: LazyLock<Sender> = LazyLock::new(|| Sender::plain("fuzz", Map::default()));

/// Reads `data` as a message, asks what it asks for, and answers it; the answer must be a message too. The length says
/// which letters its sender uses where they are no UTF-8.
pub fn message(data: &[u8]) {
    let hints = [CharsetHint::Auto, CharsetHint::Windows1258, CharsetHint::Tcvn3, CharsetHint::Vni];
    let charset = hints.get(data.len() % hints.len()).copied().unwrap_or_default();
    let head = Head::read(data);
    let mut sender = SENDER.clone();
    sender.charset = charset;
    let text = match &head {
        Some(head) => decode(head, data, &sender).0,
        None => String::from_utf8_lossy(data).into_owned(),
    };
    if let Ok(message) = Message::parse(&text) {
        let asked = translate::translate(&message, &sender);
        if let Ok(changes) = &asked.changes {
            let patients = translate::patients(changes);
            assert!(patients.iter().all(|patient| !patient.is_empty()), "a patient without a number");
            let first = translate::patient_of(changes);
            assert!(first.is_none_or(|first| patients.contains(&first)), "a patient of no change");
        }
        assert_eq!(translate::translate(&message, &sender), asked, "the same message asks for something else");
    }
    for verdict in
        [Verdict::Taken(vec![text.chars().take(300).collect()]), Verdict::Refused(Fault::missing("PID", 3, text))]
    {
        if let Some(bytes) = answer(head.as_ref(), &verdict, 1_795_842_000_000, 420, "K1") {
            assert!(bytes.starts_with(b"MSH") && bytes.ends_with(b"\r"), "an answer that is no message");
            assert!(data.contains(&END) || !bytes.contains(&END), "an answer that ends its frame early");
        }
    }
    // The same bytes as a receiver's answer to message 17.
    let _ = out::verdict(data, "17");
}

/// Reads `data` as a value with escapes; what is written of it reads back.
pub fn value(data: &[u8]) {
    let (text, separators) = (String::from_utf8_lossy(data), Separators::default());
    let plain: String =
        escape::decode(&text, &separators).chars().filter(|letter| *letter == '\n' || !letter.is_control()).collect();
    assert_eq!(
        escape::decode(&escape::encode(&plain, &separators), &separators),
        plain,
        "what is written reads otherwise"
    );
}

/// Reads `data` as the bytes of a connection: whatever pieces they come in, the same messages are found, none of them too
/// long, and the connection ends for the same reason.
pub fn frames(data: &[u8]) {
    static RUNTIME: LazyLock<io::Result<Runtime>> =
        LazyLock::new(|| Builder::new_current_thread().enable_time().build());
    let runtime = RUNTIME.as_ref().expect("a runtime");
    let [whole, pieces] = [data.len().max(1), PIECE].map(|most| runtime.block_on(conversation(data, most)));
    assert!(whole.0.iter().all(|message| message.len() <= MESSAGE_MAX && !message.contains(&END)), "no message");
    assert_eq!(whole, pieces, "how the network cut it is seen");
}

/// The messages of a stream that comes in pieces of at most so many bytes, and why it ends.
async fn conversation(data: &[u8], most: usize) -> (Vec<Vec<u8>>, &'static str) {
    let options = Options { message_bytes_max: MESSAGE_MAX, ..Options::default() };
    let mut frames = Frames::new(Pieces { rest: data, most }, &options, &Memory::new(options.memory_max));
    let mut found = Vec::new();
    loop {
        let frame = match frames.begin().await {
            Ok(()) => frames.rest().await,
            Err(broken) => Err(broken),
        };
        match frame {
            Ok(frame) => found.push(frame.bytes),
            Err(broken) => return (found, broken.label()),
        }
    }
}

/// A peer that says what it has in pieces and hears nothing.
struct Pieces<'a> {
    rest: &'a [u8],
    most: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = self.rest;
        let (now, later) = rest.split_at(self.most.min(buffer.remaining()).min(rest.len()));
        buffer.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
