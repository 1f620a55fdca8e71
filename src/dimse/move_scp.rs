//! C-MOVE as a provider (PS3.4 section C.4.2): objects go to a registered destination, each told truly.
//!
//! One association at a time to the destination, as many after each other as its contexts need. A destination that
//! is down, refuses or dies is tried again by the policy of [`crate::Options`]; what then was not taken is in the list
//! of failed objects.

use crate::association::{Association, End};
use crate::command::Request;
use crate::meter;
use crate::negotiate::Context;
use crate::receiver::{Receiver, Stored};
use crate::retrieval::{Fate, Tally};
use crate::scu::{self, CallError, Object, Originator, Requestor, plan};
use crate::status::{self, Failure};
use archive::RetrieveError;
use model::{AeTitle, Destination, Uid};
use std::time::{Duration, Instant};

/// How often one object is begun: an object over which the peer aborts must not stop those behind it.
const OBJECT_TRIES: u32 = 2;
/// Objects in a row over which the association was lost before the destination is given up.
const LOST_MAX: u32 = 3;
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A destination during one C-MOVE.
struct Line {
    peer: scu::Peer,
    originator: Originator,
    association: Option<Requestor>,
    /// Attempts left until something is taken again.
    attempts: u32,
    pause: Duration,
    /// Objects in a row over which the association was lost.
    lost: u32,
    /// Why nothing is tried any more.
    given_up: Option<String>,
}

impl<R: Receiver> Association<'_, R> {
    /// Reads the identifier that follows a C-MOVE-RQ, sends what it names and answers.
    pub(crate) fn move_objects(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let begun = Instant::now();
        let identifier = self.gather_identifier(id, request)?;
        let asked = identifier.and_then(|bytes| {
            let mut objects = self.objects(context, request, &bytes, "C-MOVE")?;
            let destination = self.destination(request)?;
            if destination.as_received {
                objects.iter_mut().for_each(Stored::as_received);
            }
            Ok((destination, objects))
        });
        let (destination, objects) = match asked {
            Ok(asked) => asked,
            Err(failure) => {
                self.log_refusal("C-MOVE", &failure);
                meter::retrieved("move", &failure.status.label(), begun.elapsed());
                return self.answer_failure(id, request, &failure);
            }
        };
        let mut line = Line {
            peer: scu::Peer::of(&destination, &self.called, &self.options.client),
            originator: Originator { title: self.calling.clone(), message: request.message_id },
            association: None,
            attempts: self.options.move_attempts,
            pause: self.options.move_retry_pause,
            lost: 0,
            given_up: None,
        };
        let mut tally = Tally::new(id, request, context, objects.len());
        for group in plan::groups(objects.iter().map(|object| (object.sop_class(), object.syntax())), plan::decoded) {
            self.move_group(&group, &objects, &mut line, &mut tally)?;
            if let Some(association) = line.association.take()
                && let Err(error) = association.release()
            {
                tracing::debug!(%error, "releasing the association to a destination");
            }
            if tally.cancelled {
                break;
            }
        }
        let status = self.finish(tally)?;
        meter::retrieved("move", &status.label(), begun.elapsed());
        tracing::info!(
            source = self.source.id,
            destination = %destination.title,
            objects = objects.len(),
            status = status.label(),
            "C-MOVE answered"
        );
        Ok(())
    }

    /// The destination, if it is registered and for this source. Why it is not goes to our log only.
    fn destination(&self, request: &Request) -> Result<Destination, Failure> {
        let named = request.destination.as_deref().unwrap_or("");
        let title = AeTitle::parse(named);
        let found = title.ok().and_then(|title| self.receiver.destination(&self.source, &title));
        found.ok_or_else(|| Failure {
            detail: format!("no destination {named:?} for this source"),
            ..Failure::new(status::UNKNOWN_DESTINATION, "Move Destination is not registered for this AE")
        })
    }

    fn move_group(
        &mut self,
        group: &plan::Group,
        objects: &[R::Stored],
        line: &mut Line,
        tally: &mut Tally<'_>,
    ) -> Result<(), End> {
        for object in group.members.iter().filter_map(|member| objects.get(*member)) {
            self.tell(tally)?;
            if tally.cancelled {
                return Ok(());
            }
            let fate = self.move_object(group, object, line, tally)?;
            if let Some(fate) = fate {
                tally.count(object.sop_instance().as_str(), fate);
            }
        }
        Ok(())
    }

    /// Sends one object, again where that may help; nothing when the asker cancels meanwhile.
    fn move_object(
        &mut self,
        group: &plan::Group,
        object: &R::Stored,
        line: &mut Line,
        tally: &mut Tally<'_>,
    ) -> Result<Option<Fate>, End> {
        let recall_until = Instant::now() + self.options.recall_limit;
        let mut tries = 0;
        while line.given_up.is_none() {
            match self.try_object(group, object, line) {
                Ok(fate) => {
                    (line.attempts, line.pause) = (self.options.move_attempts, self.options.move_retry_pause);
                    line.lost = 0;
                    return Ok(Some(fate));
                }
                Err(Trouble::Object(why)) => return Ok(Some(Fate::Failed(why))),
                Err(Trouble::Recalled(after)) => {
                    if Instant::now() >= recall_until {
                        return Ok(Some(Fate::Failed("still being restored from the cloud".into())));
                    }
                    self.wait(tally, after)?;
                }
                Err(Trouble::Lost(error)) => {
                    line.association = None;
                    tries += 1;
                    let address = &line.peer.address;
                    tracing::warn!(%error, address, tries, "an association was lost over an object");
                    if tries < OBJECT_TRIES {
                        continue;
                    }
                    line.lost = line.lost.saturating_add(1);
                    if line.lost >= LOST_MAX {
                        line.given_up = Some(error.to_string());
                    }
                    return Ok(Some(Fate::Failed(error.to_string())));
                }
                Err(Trouble::Call(error)) => {
                    line.association = None;
                    line.attempts = line.attempts.saturating_sub(1);
                    let (address, left) = (&line.peer.address, line.attempts);
                    tracing::warn!(%error, address, left, "reaching a destination");
                    if line.attempts == 0 || !error.is_passing() {
                        line.given_up = Some(error.to_string());
                        break;
                    }
                    self.wait(tally, line.pause)?;
                    line.pause = line.pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
            if tally.cancelled {
                return Ok(None);
            }
        }
        Ok(Some(Fate::Failed(line.given_up.clone().unwrap_or_default())))
    }

    fn try_object(&self, group: &plan::Group, object: &R::Stored, line: &mut Line) -> Result<Fate, Trouble> {
        if line.association.is_none() {
            let opened = Requestor::open(&line.peer, &group.proposals, &self.options.calls);
            line.association = Some(opened.map_err(Trouble::Call)?);
        }
        let Some(association) = line.association.as_mut() else { return Err(Trouble::Object(String::new())) };
        let (class, stored) = (object.sop_class().as_str(), object.syntax().as_str());
        let mut offered = plan::decoded(stored).into_iter();
        let chosen = offered.find_map(|syntax| Some((association.context(class, syntax)?, syntax)));
        let Some((context, syntax)) = chosen else {
            return Err(Trouble::Object("the destination takes neither class nor transfer syntax".into()));
        };
        let syntax = Uid::parse(syntax).map_err(|_| Trouble::Object("a transfer syntax that is no UID".into()))?;
        let mut data = self.receiver.open(object, &syntax)?;
        let object = Object {
            sop_class: object.sop_class().clone(),
            sop_instance: object.sop_instance().clone(),
            originator: Some(line.originator.clone()),
        };
        match association.store(context, &object, &mut *data) {
            Ok(answer) => Ok(Fate::from(answer)),
            Err(CallError::Source(error)) => {
                line.association = None;
                Err(Trouble::Object(format!("it cannot be read: {error}")))
            }
            Err(error) => Err(Trouble::Lost(error)),
        }
    }
}

/// Why an object was not sent.
pub(crate) enum Trouble {
    /// It is this object's fault.
    Object(String),
    /// It is not there yet.
    Recalled(Duration),
    /// The destination cannot be reached.
    Call(CallError),
    /// The association ended while it was sent.
    Lost(CallError),
}

impl From<RetrieveError> for Trouble {
    fn from(error: RetrieveError) -> Self {
        match error {
            // A restore takes minutes; looking more often costs little.
            RetrieveError::Restoring { after } => Self::Recalled(Duration::from_secs(u64::from(after.min(10)))),
            error => Self::Object(error.to_string()),
        }
    }
}
