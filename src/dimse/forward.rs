//! Forwarding over DIMSE: brings the objects of a task to a DICOM peer by C-STORE, as C-MOVE sends them.
//!
//! What waits, what goes first and what is tried again is the archive's matter ([`archive::forward`]). Here one
//! delivery is made on as many associations, one after another, as its presentation contexts need.

use crate::notice::{self, AVAILABILITY_NOTIFICATION};
use crate::outgoing::Outgoing;
use crate::receiver::{Receiver, Stored};
use crate::retrieval::Fate;
use crate::scu::{CallError, Limits, Object, Peer, Requestor, plan};
use archive::forward::Recipient;
use archive::forward::dispatch::{Carrier, Parcel, Watch};
use archive::forward::task::Outcome;
use archive::{InstanceRow, RetrieveError, Room};
use model::forward::Payload;
use model::{AeTitle, Uid};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Refusals after which the rest of a delivery is not tried this time.
const REFUSALS_MAX: usize = 32;
/// Objects in a row over which the association was lost before the rest waits ...
const LOST_MAX: u32 = 3;
/// ... for so many seconds.
const LOST_PAUSE: u64 = 60;
/// Bytes of objects that all deliveries together read before they send them.
const READ_BYTES_MAX: u64 = 64 << 20;

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

/// Why an object is not there.
enum Trouble {
    /// It is this object's fault.
    Object(String),
    /// Its bytes are not at hand; again after so many seconds.
    Later(u32),
    /// The association ended while it was sent.
    Lost(String),
    /// The destination takes nothing now.
    Down(String),
}

impl Forwarder {
    /// Calls with these limits and certificates and, where a destination names no other, under this AE title.
    pub fn new(limits: Limits, client: tls::Client, title: AeTitle) -> Self {
        Self { limits, client, title, open: Open::default(), room: Room::new(READ_BYTES_MAX) }
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
        let mut refused = Vec::new();
        for group in plan::groups(objects.iter().map(|object| (object.sop_class(), object.syntax())), plan::decoded) {
            if let Err(outcome) = self.send_group(parcel, peer, &group, watch, &mut refused) {
                return outcome;
            }
        }
        match refused.first() {
            None => Outcome::Done,
            Some(first) => Outcome::Refused(format!("{} of {} objects: {first}", refused.len(), objects.len())),
        }
    }

    /// Sends what one association carries; one over which it is lost is left for later, those behind it go on.
    fn send_group(
        &self,
        parcel: &Parcel,
        peer: &Peer,
        group: &plan::Group,
        watch: &Watch<'_>,
        refused: &mut Vec<String>,
    ) -> Result<(), Outcome> {
        let line = self.open.line();
        let (mut open, mut lost) = (None, 0);
        for object in group.members.iter().filter_map(|member| parcel.objects.get(*member)) {
            if !watch.goes_on() {
                open.into_iter().for_each(release);
                return Err(Outcome::Interrupted);
            }
            let association = match &mut open {
                Some(association) => association,
                none => none.insert(self.call(peer, group, &line).map_err(|error| Outcome::Down(error.to_string()))?),
            };
            match store(parcel, object, association, &self.room) {
                Ok(()) => {
                    lost = 0;
                    watch.took(object);
                }
                Err(Trouble::Object(why)) => refused.push(why),
                Err(Trouble::Later(seconds)) => {
                    return Err(Outcome::Later(seconds.into(), "its bytes are not at hand now".into()));
                }
                Err(Trouble::Down(why)) => return Err(Outcome::Down(why)),
                Err(Trouble::Lost(why)) => {
                    lost += 1;
                    if !watch.goes_on() {
                        return Err(Outcome::Interrupted);
                    }
                    if lost >= LOST_MAX {
                        // Others have their turn first: it may be these objects that end it.
                        return Err(Outcome::Later(LOST_PAUSE, why));
                    }
                    refused.push(why);
                    open = None;
                }
            }
            if refused.len() >= REFUSALS_MAX {
                break;
            }
        }
        open.into_iter().for_each(release);
        Ok(())
    }
}

/// Everything is answered; how the association ends changes nothing.
fn release(association: Requestor) {
    if let Err(error) = association.release() {
        tracing::debug!(%error, "releasing an association of forwarding");
    }
}

/// Why an object was not read: bytes that are away for a while come later, damaged ones do not.
fn unread(error: &io::Error) -> Trouble {
    let why = error.get_ref().and_then(|inner| inner.downcast_ref::<RetrieveError>());
    match why {
        Some(RetrieveError::Restoring { after }) => Trouble::Later(*after),
        Some(RetrieveError::Unavailable { .. }) => Trouble::Later(u32::try_from(LOST_PAUSE).unwrap_or(u32::MAX)),
        _ => Trouble::Object(format!("it cannot be read: {error}")),
    }
}

fn store(parcel: &Parcel, object: &InstanceRow, association: &mut Requestor, room: &Arc<Room>) -> Result<(), Trouble> {
    let (class, stored) = (object.sop_class.as_str(), object.transfer_syntax.as_str());
    let mut offered = plan::decoded(stored).into_iter();
    let chosen = offered.find_map(|syntax| Some((association.context(class, syntax)?, syntax)));
    let (context, syntax) = chosen
        .ok_or_else(|| Trouble::Object(format!("neither class {class} nor its transfer syntax {stored} is taken")))?;
    let syntax = Uid::parse(syntax).map_err(|_| Trouble::Object("a transfer syntax that is no UID".into()))?;
    let data = match Receiver::open(&parcel.archive, object, &syntax) {
        Ok(data) => data,
        Err(RetrieveError::Restoring { after }) => return Err(Trouble::Later(after)),
        Err(error) => return Err(Trouble::Object(error.to_string())),
    };
    let mut data = Outgoing::new(data, association.shape());
    // One that cannot be read must not cost those behind it their association.
    data.read_ahead(room).map_err(|error| unread(&error))?;
    let (sop_class, sop_instance) = (object.sop_class.clone(), object.sop_instance.clone());
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
        Err(CallError::Unsent(error)) => Err(unread(&error)),
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
