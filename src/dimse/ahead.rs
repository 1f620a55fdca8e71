//! The next object of a retrieve, opened and read while the one before it is sent.
//!
//! One object is read ahead for each association that sends, as much of it as [`Room`] gives: the peer then waits for
//! neither the index nor the disk, and what cannot be read fails before its peer hears of it.
//!
//! Deliberately not here: which object is the next, and what becomes of it.

use crate::carrier::Trouble;
use crate::outgoing::{Outgoing, Shape};
use crate::receiver::{DataSet, Receiver};
use archive::Room;
use model::Uid;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, Scope};

/// An object as it is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// Its place among the objects of the retrieve.
    pub(crate) member: usize,
    /// The transfer syntax it goes out in.
    pub(crate) syntax: Uid,
    /// How it is cut for its peer.
    pub(crate) shape: Shape,
}

/// A data set that ends with an error once nobody wants it any more.
pub(crate) struct Wanted<'a> {
    data: DataSet,
    stopped: &'a AtomicBool,
}

impl Read for Wanted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(io::Error::other("the asker wants no more"));
        }
        self.data.read(into)
    }
}

/// An opened object, some or all of it in memory, or why there is none.
pub(crate) type Opened<'a> = Result<Outgoing<Wanted<'a>>, Trouble>;

/// The objects of a retrieve, to be opened.
pub(crate) struct Shelf<'a, R: Receiver> {
    receiver: &'a R,
    objects: &'a [R::Stored],
    room: &'a Arc<Room>,
    stopped: AtomicBool,
}

impl<'a, R: Receiver> Shelf<'a, R> {
    /// Nothing of them is opened yet.
    pub(crate) fn new(receiver: &'a R, objects: &'a [R::Stored], room: &'a Arc<Room>) -> Self {
        Self { receiver, objects, room, stopped: AtomicBool::new(false) }
    }

    /// One of them.
    pub(crate) fn object(&self, member: usize) -> Option<&'a R::Stored> {
        self.objects.get(member)
    }

    /// Nobody wants any of them any more, not even the rest of one.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether nobody wants any of them any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Opens one of them and reads as much as there is room for.
    ///
    /// # Errors
    /// When it is not there yet, or cannot be read.
    pub(crate) fn open(&self, want: &Want) -> Opened<'_> {
        let object = self.object(want.member).ok_or_else(|| Trouble::Object("there is no such object".into()))?;
        let data = self.receiver.open(object, &want.syntax)?;
        let mut outgoing = Outgoing::new(Wanted { data, stopped: &self.stopped }, want.shape);
        outgoing.read_ahead(self.room).map_err(|error| Trouble::unread(&error))?;
        Ok(outgoing)
    }
}

/// Who reads the next object while one is sent.
pub(crate) struct Ahead<'s, R: Receiver> {
    shelf: &'s Shelf<'s, R>,
    /// None where no thread could be started: then nothing is read ahead.
    reader: Option<Reader<'s>>,
    /// What the reader was asked for, and was not taken yet.
    asked: Option<Want>,
}

struct Reader<'s> {
    asks: SyncSender<Want>,
    answers: mpsc::Receiver<Opened<'s>>,
}

impl<'s, R: Receiver> Ahead<'s, R> {
    /// Starts the reader; it ends when this is dropped.
    pub(crate) fn start(scope: &'s Scope<'s, '_>, shelf: &'s Shelf<'s, R>) -> Self {
        let (asks, asked) = mpsc::sync_channel::<Want>(1);
        let (told, answers) = mpsc::sync_channel(1);
        let work = move || {
            for want in asked {
                if told.send(shelf.open(&want)).is_err() {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("read-ahead".into()).spawn_scoped(scope, work);
        let reader = started.ok().map(|_| Reader { asks, answers });
        Self { shelf, reader, asked: None }
    }

    /// Has an object read; false when another one is, or there is nobody to read it.
    pub(crate) fn ask(&mut self, want: Want) -> bool {
        let Some(reader) = self.reader.as_ref().filter(|_| self.asked.is_none()) else { return false };
        if reader.asks.send(want.clone()).is_err() {
            return false;
        }
        self.asked = Some(want);
        true
    }

    /// The object that was asked for and not taken yet.
    pub(crate) fn pending(&self) -> Option<usize> {
        self.asked.as_ref().map(|asked| asked.member)
    }

    /// An object: the one that was read ahead, where it was read as it is wanted now; else it is opened here.
    ///
    /// # Errors
    /// As [`Shelf::open`].
    pub(crate) fn take(&mut self, want: &Want) -> Opened<'s> {
        match self.answer(want.member) {
            Some((asked, opened)) if asked == *want => opened,
            _ => self.shelf.open(want),
        }
    }

    /// An object is wanted no more.
    pub(crate) fn leave(&mut self, member: usize) {
        drop(self.answer(member));
    }

    /// What was read of an object, if it is the one that was asked for.
    fn answer(&mut self, member: usize) -> Option<(Want, Opened<'s>)> {
        let asked = self.asked.take_if(|asked| asked.member == member)?;
        let opened = self.reader.as_ref()?.answers.recv().ok()?;
        Some((asked, opened))
    }
}
