//! Forwarding over HTTP: brings the objects of a task to a DICOMweb service by STOW-RS (PS3.18 section 10.5).
//!
//! What waits, what goes first and what is tried again is the archive's matter ([`archive::forward`]). Objects go as
//! the files they are stored as, several in one request, streamed: memory does not depend on their size.

mod answer;

use crate::outgoing;
use answer::{Verdict, read};
use archive::forward::dispatch::{Carrier, Parcel, Watch};
use archive::forward::task::Outcome;
use archive::forward::{AWAY_MAX, Recipient, Unread};
use archive::transcode::DataSet;
use archive::{DecodeError, InstanceRow};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http_body::Frame;
use model::Reach;
use model::forward::StowRoot;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Most objects of one request ...
const OBJECTS_MAX: usize = 100;
/// ... and most bytes, unless one alone has more.
const BYTES_MAX: u64 = 64 << 20;
/// Bytes read at once.
const CHUNK: usize = 128 * 1024;
/// Chunks that wait for the peer to take them.
const CHUNKS_AHEAD: usize = 8;

/// Limits of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StowLimits {
    /// Longest wait for the connection.
    pub connect: Duration,
    /// Longest wait for the answer after the last byte.
    pub answer: Duration,
    /// Longest wait for the peer to take what is sent.
    pub write: Duration,
    /// Where services may be.
    pub reach: Reach,
}

/// Brings objects to DICOMweb services.
pub struct StowForwarder {
    runtime: Handle,
    limits: StowLimits,
    reach: Arc<Reach>,
    next: AtomicU64,
    under_way: Mutex<HashMap<u64, AbortHandle>>,
    stopped: AtomicBool,
}

/// The body of a request, fed by the thread that reads the objects.
struct Feed(mpsc::Receiver<io::Result<Bytes>>);

impl http_body::Body for Feed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

/// Why a request was not written to its end.
enum Broken {
    /// The peer takes nothing, or has answered before it heard everything.
    Peer,
    /// The object at this place cannot be read.
    Object(usize, Unread),
}

/// Why a request has no verdict.
enum Stopped {
    /// The object at this place cannot be read; nothing is taken.
    Object(usize, Unread),
    /// The delivery ends.
    Outcome(Outcome),
}

impl StowForwarder {
    /// Calls from within a tokio runtime.
    pub fn new(runtime: Handle, limits: StowLimits) -> Self {
        let (next, under_way, stopped) = (AtomicU64::new(0), Mutex::default(), AtomicBool::new(false));
        let reach = Arc::new(limits.reach.clone());
        Self { runtime, limits, reach, next, under_way, stopped }
    }

    fn request(&self, root: &StowRoot, boundary: &str) -> Result<reqwest::RequestBuilder, String> {
        let url = format!("{}/studies", root.url.trim_end_matches('/'));
        let kind = format!("multipart/related; type=\"application/dicom\"; boundary={boundary}");
        let (url, port) = outgoing::reachable(&self.reach, &url)?;
        let authorities = root.authorities.as_deref().map(Path::new);
        let client = outgoing::client_at(port, &self.reach, authorities, self.limits.connect)?;
        let request = client.post(url).header(CONTENT_TYPE, kind).header(ACCEPT, "application/dicom+json");
        let Some(path) = &root.token_file else { return Ok(request) };
        Ok(request.header(AUTHORIZATION, outgoing::bearer(Path::new(path))?))
    }

    /// One request; the verdict is about all of its objects.
    fn post(&self, parcel: &Parcel, root: &StowRoot, objects: &[InstanceRow]) -> Result<Verdict, Stopped> {
        let boundary = format!("khoanh-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let request = self.request(root, &boundary).map_err(|why| Stopped::Outcome(Outcome::Down(why)))?;
        // An object that cannot be read is worth no call.
        let first = objects.first().map(|object| parcel.archive.begun(object, opened(parcel, object))).transpose();
        let first = first.map_err(|unread| Stopped::Object(0, unread))?;
        let (feed, fed) = mpsc::channel(CHUNKS_AHEAD);
        let sending = self.runtime.spawn(async move {
            let answer =
                request.body(reqwest::Body::wrap(Feed(fed))).send().await.map_err(|error| outgoing::said(&error))?;
            read(answer).await
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.under_way.lock().insert(id, sending.abort_handle());
        if self.stopped.load(Ordering::SeqCst) {
            sending.abort();
        }
        let written = self.write(parcel, (objects, first), &boundary, &feed);
        if let Err(Broken::Object(..)) = &written {
            // The body breaks off, it must not just end: a part would look whole.
            let broken = Err(io::Error::other("an object cannot be read to its end"));
            // Whoever has gone already takes nothing for whole.
            let _ = self.runtime.block_on(async { timeout(self.limits.write, feed.send(broken)).await });
            sending.abort();
        }
        drop(feed);
        let answered = self.runtime.block_on(async { timeout(self.limits.answer, sending).await });
        self.under_way.lock().remove(&id);
        let outcome = match (written, answered) {
            (Err(Broken::Object(position, unread)), _) => return Err(Stopped::Object(position, unread)),
            (_, Ok(Ok(Ok(verdict)))) => return Ok(verdict),
            (_, Ok(Ok(Err(why)))) => Outcome::Down(why),
            (_, Ok(Err(_))) => Outcome::Interrupted,
            (Ok(()), Err(_)) => Outcome::Down("the service does not answer in time".into()),
            (Err(Broken::Peer), Err(_)) => Outcome::Down("the service takes nothing".into()),
        };
        Err(Stopped::Outcome(outcome))
    }

    fn write(
        &self,
        parcel: &Parcel,
        (objects, mut first): (&[InstanceRow], Option<DataSet>),
        boundary: &str,
        feed: &mpsc::Sender<io::Result<Bytes>>,
    ) -> Result<(), Broken> {
        let put = |bytes: Bytes| {
            let sent = self.runtime.block_on(async { timeout(self.limits.write, feed.send(Ok(bytes))).await });
            sent.ok().and_then(Result::ok).ok_or(Broken::Peer)
        };
        let archive = &parcel.archive;
        for (position, object) in objects.iter().enumerate() {
            let unopened = |error: DecodeError| Broken::Object(position, archive.unopened(object, &error));
            let mut file = match first.take() {
                Some(begun) => begun,
                None => opened(parcel, object).map_err(unopened)?,
            };
            let syntax = &object.transfer_syntax;
            let head = format!("\r\n--{boundary}\r\nContent-Type: application/dicom; transfer-syntax={syntax}\r\n\r\n");
            put(Bytes::from(head))?;
            loop {
                let mut chunk = vec![0; CHUNK];
                let read = file.read(&mut chunk);
                let read = read.map_err(|error| Broken::Object(position, archive.unread(object, &error)))?;
                if read == 0 {
                    break;
                }
                chunk.truncate(read);
                put(Bytes::from(chunk))?;
            }
        }
        put(Bytes::from(format!("\r\n--{boundary}--\r\n")))
    }

    fn send(&self, parcel: &Parcel, root: &StowRoot, watch: &Watch<'_>) -> Outcome {
        let (mut refused, mut at, mut most) = (Vec::new(), 0, OBJECTS_MAX);
        // How many can be read in front of one that cannot.
        let mut sound = None;
        let (mut away, mut later) = (0usize, None);
        while let Some(rest) = parcel.objects.get(at..).filter(|rest| !rest.is_empty()) {
            if !watch.goes_on() {
                return Outcome::Interrupted;
            }
            let batch = batch(rest, sound.take().unwrap_or(most));
            match self.post(parcel, root, batch) {
                Ok(Verdict::TooLarge) if batch.len() > 1 => most = 1,
                Ok(verdict) => {
                    for object in batch {
                        match verdict.of(object.sop_instance.as_str()) {
                            None => watch.took(object),
                            Some(why) => refused.push(why),
                        }
                    }
                    at += batch.len();
                }
                // It fails by itself: those in front of it go once more, without it.
                Err(Stopped::Object(0, Unread::Refused(why))) => {
                    refused.push(why);
                    at += 1;
                }
                // What is away keeps nothing behind it.
                Err(Stopped::Object(0, Unread::Later(seconds, why))) => {
                    away += 1;
                    later.get_or_insert((seconds, why));
                    at += 1;
                    if away >= AWAY_MAX {
                        break;
                    }
                }
                Err(Stopped::Object(position, _)) => sound = Some(position),
                Err(Stopped::Outcome(outcome)) => return outcome,
            }
        }
        match (later, refused.first()) {
            (Some((seconds, why)), _) => Outcome::Later(seconds, why),
            (None, None) => Outcome::Done,
            (None, Some(first)) => {
                Outcome::Refused(format!("{} of {} objects: {first}", refused.len(), parcel.objects.len()))
            }
        }
    }
}

/// An object as the file it is stored as.
fn opened(parcel: &Parcel, object: &InstanceRow) -> Result<DataSet, DecodeError> {
    parcel.archive.reach_files(std::slice::from_ref(object))?;
    Ok(parcel.archive.given_file(object)?)
}

/// The next objects of one request.
fn batch(rest: &[InstanceRow], most: usize) -> &[InstanceRow] {
    let mut bytes = 0u64;
    let fits = |object: &&InstanceRow| {
        let first = bytes == 0;
        bytes = bytes.saturating_add(object.file_len.max(1));
        first || bytes <= BYTES_MAX
    };
    let count = rest.iter().take(most).take_while(fits).count();
    rest.get(..count).unwrap_or(rest)
}

impl Carrier for StowForwarder {
    fn carry(&self, parcel: &Parcel, watch: &Watch<'_>) -> Outcome {
        match &parcel.to {
            Recipient::Stow(root) => self.send(parcel, root, watch),
            Recipient::Dicom(_) => Outcome::Refused("this is no DICOMweb service".into()),
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.under_way.lock().values().for_each(AbortHandle::abort);
    }
}
