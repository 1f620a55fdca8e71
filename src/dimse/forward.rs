//! Forwarding over DIMSE: brings the objects of a task to a DICOM peer by C-STORE, as C-MOVE sends them.
//!
//! What waits, what goes first and what is tried again is the archive's matter ([`archive::forward`]). Here one
//! delivery is made on as many associations, one after another, as its presentation contexts need.

use crate::notice::{self, AVAILABILITY_NOTIFICATION};
use crate::outgoing::{Outgoing, Room};
use crate::receiver::{self, Stored};
use crate::retrieval::Fate;
use crate::scu::{CallError, Limits, Object, Peer, Requestor, plan};
use archive::InstanceRow;
use archive::forward::dispatch::{Carrier, Parcel, Watch};
use archive::forward::task::Outcome;
use archive::forward::{AWAY_MAX, PAUSE, Recipient, Unread};
use archive::transcode::DataSet;
use model::AeTitle;
use model::forward::Payload;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Refusals after which the rest of a delivery is not tried this time.
const REFUSALS_MAX: usize = 32;
/// Objects in a row over which the association was lost before the rest waits.
const LOST_MAX: u32 = 3;

/// Brings objects to DICOM peers.
#[derive(Debug)]
pub struct Forwarder {
    limits: Limits,
    client: tls::Client,
    title: AeTitle,
    open: Open,
    room: Arc<Room>,
}

/// The connections of deliveries under way: what ends them at once.
#[derive(Debug, Default)]
struct Open {
    next: AtomicU64,
    streams: Mutex<HashMap<u64, TcpStream>>,
    stopped: AtomicBool,
}

/// One of them; forgotten when dropped.
struct Line<'a> {
    open: &'a Open,
    id: u64,
}

impl Open {
    fn line(&self) -> Line<'_> {
        Line { open: self, id: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for stream in self.streams.lock().values() {
            // One that is gone already needs no end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Line<'_> {
    fn connected(&self, stream: &TcpStream) {
        if let Ok(same) = stream.try_clone() {
            self.open.streams.lock().insert(self.id, same);
        }
        if self.open.stopped.load(Ordering::SeqCst) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.open.streams.lock().remove(&self.id);
    }
}

/// What a delivery left.
#[derive(Debug, Default)]
struct Left {
    /// Why objects were refused.
    refused: Vec<String>,
    /// When objects may be at hand that are not, and why they are not.
    away: Vec<(u64, String)>,
}

/// Why an object is not there.
enum Trouble {
    /// It is this object's fault.
    Object(String),
    /// Its bytes are not at hand; again after so many seconds.
    Later(u64, String),
    /// The association ended while it was sent.
    Lost(String),
    /// The destination takes nothing now.
    Down(String),
}

impl Forwarder {
    /// Bytes that are read ahead where nobody says otherwise.
    pub const AHEAD_BYTES: usize = 64 << 20;

    /// Calls with these limits and certificates and, where a destination names no other, under this AE title; all
    /// deliveries together read so many bytes of objects before they send them.
    pub fn new(limits: Limits, client: tls::Client, title: AeTitle, ahead_bytes: usize) -> Self {
        Self { limits, client, title, open: Open::default(), room: Room::new(ahead_bytes) }
    }

    fn call(&self, peer: &Peer, group: &plan::Group, line: &Line<'_>) -> Result<Requestor, CallError> {
        Requestor::open_watched(peer, &group.proposals, &self.limits, &mut |stream| line.connected(stream))
    }

    /// Tells of a whole study in one message.
    fn notify(&self, parcel: &Parcel, peer: &Peer) -> Outcome {
        let line = self.open.line();
        let group = plan::Group { proposals: vec![notice::proposal()], members: Vec::new() };
        let mut association = match self.call(peer, &group, &line) {
            Ok(association) => association,
            Err(error) => return Outcome::Down(error.to_string()),
        };
        let Some(context) = association.contexts().first().cloned() else {
            release(association);
            return Outcome::Refused("it takes no Instance Availability Notification".into());
        };
        let data = notice::data_set(parcel, &peer.calling, &context.transfer_syntax);
        let told = association.create(context.id, AVAILABILITY_NOTIFICATION, &notice::instance(parcel), &data);
        match told {
            Ok(answer) => {
                release(association);
                if notice::is_heard(&answer) {
                    return Outcome::Done;
                }
                Outcome::Refused(format!("the notice was answered {:04X} {}", answer.status, answer.comment))
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    }

    fn send(&self, parcel: &Parcel, peer: &Peer, watch: &Watch<'_>) -> Outcome {
        let objects = &parcel.objects;
        let mut left = Left::default();
        for group in plan::groups(objects.iter().map(|object| (object.sop_class(), object.syntax())), plan::decoded) {
            if let Err(outcome) = self.send_group(parcel, peer, &group, watch, &mut left) {
                return outcome;
            }
        }
        let Left { refused, away } = left;
        match (away.into_iter().next(), refused.first()) {
            (Some((seconds, why)), _) => Outcome::Later(seconds, why),
            (None, None) => Outcome::Done,
            (None, Some(first)) => Outcome::Refused(format!("{} of {} objects: {first}", refused.len(), objects.len())),
        }
    }

    /// Sends what one association carries; one over which it is lost is left for later, those behind it go on.
    fn send_group(
        &self,
        parcel: &Parcel,
        peer: &Peer,
        group: &plan::Group,
        watch: &Watch<'_>,
        left: &mut Left,
    ) -> Result<(), Outcome> {
        let line = self.open.line();
        let (mut open, mut lost) = (None, 0);
        for object in group.members.iter().filter_map(|member| parcel.objects.get(*member)) {
            if !watch.goes_on() {
                open.into_iter().for_each(release);
                return Err(Outcome::Interrupted);
            }
            let stored = match &mut open {
                Some(association) => store(parcel, object, None, association, &self.room),
                // An object that cannot be read is worth no call.
                none => match begun(parcel, object) {
                    Ok(data) => {
                        let called = self.call(peer, group, &line).map_err(|error| Outcome::Down(error.to_string()))?;
                        store(parcel, object, Some(data), none.insert(called), &self.room)
                    }
                    Err(unread) => Err(unread.into()),
                },
            };
            match stored {
                Ok(()) => {
                    lost = 0;
                    watch.took(object);
                }
                Err(Trouble::Object(why)) => left.refused.push(why),
                // It keeps nothing behind it.
                Err(Trouble::Later(seconds, why)) => left.away.push((seconds, why)),
                Err(Trouble::Down(why)) => return Err(Outcome::Down(why)),
                Err(Trouble::Lost(why)) => {
                    lost += 1;
                    if !watch.goes_on() {
                        return Err(Outcome::Interrupted);
                    }
                    if lost >= LOST_MAX {
                        // Others have their turn first: it may be these objects that end it.
                        return Err(Outcome::Later(PAUSE, why));
                    }
                    left.refused.push(why);
                    open = None;
                }
            }
            // One that broke off in the middle took its association with it.
            open = open.filter(Requestor::stands);
            if left.refused.len() >= REFUSALS_MAX || left.away.len() >= AWAY_MAX {
                break;
            }
        }
        open.into_iter().for_each(release);
        Ok(())
    }
}

/// Everything is answered; how the association ends changes nothing.
fn release(association: Requestor) {
    if let Err(error) = association.release_soon() {
        tracing::debug!(%error, "releasing an association of forwarding");
    }
}

impl From<Unread> for Trouble {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Refused(why) => Self::Object(why),
            Unread::Later(seconds, why) => Self::Later(seconds, why),
        }
    }
}

/// An object as it is stored, its first bytes read.
fn begun(parcel: &Parcel, row: &InstanceRow) -> Result<DataSet, Unread> {
    parcel.archive.begun(row, receiver::opened(&parcel.archive, row, &row.transfer_syntax))
}

/// Sends an object; what was begun of it as it is stored counts where it is taken so.
fn store(
    parcel: &Parcel,
    row: &InstanceRow,
    begun: Option<DataSet>,
    association: &mut Requestor,
    room: &Arc<Room>,
) -> Result<(), Trouble> {
    let (class, stored) = (&row.sop_class, &row.transfer_syntax);
    let untaken = || Trouble::Object(format!("neither class {class} nor its transfer syntax {stored} is taken"));
    let (context, syntax) = association.way(class, stored).ok_or_else(untaken)?;
    let archive = &parcel.archive;
    let data = match begun.filter(|_| syntax == *stored) {
        Some(data) => data,
        None => receiver::opened(archive, row, &syntax).map_err(|error| archive.unopened(row, &error))?,
    };
    let mut data = Outgoing::new(data, association.shape());
    // One that cannot be read must not cost those behind it their association.
    data.read_ahead(room).map_err(|error| archive.unread(row, &error))?;
    let (sop_class, sop_instance) = (row.sop_class.clone(), row.sop_instance.clone());
    let object = Object { sop_class, sop_instance, originator: None };
    match association.store_outgoing(context, &object, data, &|| true) {
        // Out of resources: it takes nothing for a while, whatever the object.
        Ok(answer) if (0xA700..=0xA7FF).contains(&answer.status) => {
            Err(Trouble::Down(format!("out of resources: {:04X} {}", answer.status, answer.comment)))
        }
        Ok(answer) => match Fate::from(answer) {
            Fate::Completed | Fate::Warned => Ok(()),
            Fate::Failed(why) => Err(Trouble::Object(why)),
        },
        Err(CallError::Unsent(error) | CallError::Source(error)) => Err(archive.unread(row, &error).into()),
        // The association is gone with it; the object is tried again later.
        Err(error) => Err(Trouble::Lost(error.to_string())),
    }
}

impl Carrier for Forwarder {
    fn carry(&self, parcel: &Parcel, watch: &Watch<'_>) -> Outcome {
        let Recipient::Dicom(to) = &parcel.to else { return Outcome::Refused("this is no DICOM destination".into()) };
        let peer = Peer::of(to, &self.title, &self.client);
        match parcel.task.payload {
            Payload::Objects => self.send(parcel, &peer, watch),
            Payload::Notice => self.notify(parcel, &peer),
        }
    }

    fn stop(&self) {
        self.open.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::Shape;
    use std::io::{Read, repeat};

    #[test]
    fn objects_are_read_ahead_as_far_as_is_configured() {
        let title = || AeTitle::parse("KHOANH").expect("title");
        for (bytes, whole) in [(0, false), (Forwarder::AHEAD_BYTES, true)] {
            let forwarder = Forwarder::new(Limits::default(), tls::Client::default(), title(), bytes);
            let mut data = Outgoing::new(repeat(1).take(1 << 20), Shape::of(16_384));
            data.read_ahead(&forwarder.room).expect("read");
            assert_eq!(data.is_whole(), whole, "{bytes}");
        }
    }
}
