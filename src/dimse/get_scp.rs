//! C-GET as a provider (PS3.4 section C.4.3): objects come back on the same association, in the contexts for which the
//! asker took the role of SCP.

use crate::association::{Association, End};
use crate::carrier::Trouble;
use crate::command::{self, C_CANCEL_RQ, C_STORE_RQ, Request, Response};
use crate::meter;
use crate::negotiate::Context;
use crate::pdu::AbortReason;
use crate::receiver::{DataSet, Receiver, Stored};
use crate::retrieval::{ALIVE_EVERY, Fate, Tally};
use crate::scu::{Answer, Object, plan, send_data_set};
use model::Uid;
use std::io::{self, Read};
use std::time::Instant;

/// Bytes read at once of an object that is read to its end before it is sent.
const REHEARSED_BYTES: usize = 64 * 1024;

impl<R: Receiver> Association<'_, R> {
    /// Reads the identifier that follows a C-GET-RQ, sends what it names back and answers.
    pub(crate) fn get_objects(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let begun = Instant::now();
        let identifier = self.gather_identifier(id, request)?;
        let objects = match identifier.and_then(|bytes| self.objects(context, request, &bytes, "C-GET")) {
            Ok(objects) => objects,
            Err(failure) => {
                self.log_refusal("C-GET", &failure);
                meter::retrieved("get", &failure.status.label(), begun.elapsed());
                return self.answer_failure(id, request, &failure);
            }
        };
        let mut tally = Tally::new(id, request, context, objects.len());
        for (number, object) in objects.iter().enumerate() {
            self.tell(&mut tally)?;
            if tally.cancelled {
                break;
            }
            // Message ids of our own requests; one operation at a time makes any do.
            let message = u16::try_from(number % usize::from(u16::MAX)).unwrap_or(0).saturating_add(1);
            if let Some(fate) = self.get_object(message, object, &mut tally)? {
                tally.count(object.sop_instance().as_str(), fate);
            }
        }
        let status = self.finish(tally)?;
        meter::retrieved("get", &status.label(), begun.elapsed());
        let (objects, status) = (objects.len(), status.label());
        tracing::info!(source = self.source.id, objects, status, "C-GET answered");
        Ok(())
    }

    /// Sends one object; nothing when the asker cancels before it could be read.
    fn get_object(&mut self, message: u16, object: &R::Stored, tally: &mut Tally<'_>) -> Result<Option<Fate>, End> {
        let (class, stored) = (object.sop_class(), object.syntax().as_str());
        let chosen = plan::decoded(stored).into_iter().find_map(|syntax| {
            let fits = |context: &Context| {
                context.peer_stores && context.abstract_syntax == *class && context.transfer_syntax.as_str() == syntax
            };
            self.contexts.iter().find(|(_, context)| fits(context)).map(|(id, context)| (*id, context.clone()))
        });
        let Some((id, context)) = chosen else {
            return Ok(Some(Fate::Failed("no context for its class and transfer syntax".into())));
        };
        let mut data = match self.whole_or_not(object, &context.transfer_syntax, tally)? {
            Ok(data) => data,
            Err(fate) => return Ok(fate),
        };
        let store = Object { sop_class: class.clone(), sop_instance: object.sop_instance().clone(), originator: None };
        let command = command::store_request(message, &store);
        let bytes = crate::pdu::command_pdus(id, &command, self.peer_pdu_bytes_max);
        self.wire.source().send(&bytes).map_err(End::Lost)?;
        let longest = match self.peer_pdu_bytes_max {
            0 => self.options.pdu_bytes_max,
            limit => limit.min(self.options.pdu_bytes_max),
        };
        let wire = &mut self.wire;
        let sent =
            send_data_set(id, &mut *data, longest, &mut |bytes| wire.source().send(bytes).map_err(Sending::Wire));
        if let Err(error) = sent {
            if matches!(error, Sending::Source(_)) {
                self.suspects.add(object.sop_instance());
            }
            return Err(sending_failed(error, object.sop_instance()));
        }
        self.await_store_response(message, tally).map(|answer| Some(Fate::from(answer)))
    }

    /// An object to be sent; what broke off before is read to its end first. Else what became of it: nothing when the
    /// asker cancels.
    fn whole_or_not(
        &mut self,
        object: &R::Stored,
        syntax: &Uid,
        tally: &mut Tally<'_>,
    ) -> Result<Result<DataSet, Option<Fate>>, End> {
        let mut data = match self.opened(object, syntax, tally)? {
            Ok(data) => data,
            fate => return Ok(fate),
        };
        if !self.suspects.has(object.sop_instance()) {
            return Ok(Ok(data));
        }
        let mut piece = vec![0; REHEARSED_BYTES];
        loop {
            match data.read(&mut piece) {
                Ok(0) => break,
                Ok(_) => self.tell_every(tally, ALIVE_EVERY)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(Some(Fate::Failed(format!("it cannot be read: {error}"))))),
            }
            if tally.cancelled {
                return Ok(Err(None));
            }
        }
        self.suspects.clear(object.sop_instance());
        self.opened(object, syntax, tally)
    }

    /// An object opened, also one that has to be waited for.
    fn opened(
        &mut self,
        object: &R::Stored,
        syntax: &Uid,
        tally: &mut Tally<'_>,
    ) -> Result<Result<DataSet, Option<Fate>>, End> {
        let recall_until = Instant::now() + self.options.recall_limit;
        loop {
            match self.receiver.open(object, syntax).map_err(Trouble::from) {
                Ok(data) => return Ok(Ok(data)),
                Err(Trouble::Recalled(after)) if Instant::now() < recall_until => {
                    self.wait(tally, after)?;
                    if tally.cancelled {
                        return Ok(Err(None));
                    }
                }
                Err(Trouble::Object(why)) => return Ok(Err(Some(Fate::Failed(why)))),
                Err(_) => return Ok(Err(Some(Fate::Failed("still being restored from the cloud".into())))),
            }
        }
    }

    /// The answer to our C-STORE; a C-CANCEL may come before it.
    fn await_store_response(&mut self, message: u16, tally: &mut Tally<'_>) -> Result<Answer, End> {
        loop {
            self.wire.source().await_message();
            self.gather_command()?;
            if let Ok(request) = Request::parse(&self.command) {
                if request.field != C_CANCEL_RQ {
                    return Err(End::Violation(
                        AbortReason::UnexpectedPdu,
                        "a request before the last one was answered",
                    ));
                }
                tally.cancelled |= request.message_id == tally.message();
                continue;
            }
            let response = Response::parse(&self.command)?;
            if response.field != command::response_to(C_STORE_RQ) || response.responded_to != message {
                return Err(End::Senseless("a response to something that was not asked".into()));
            }
            return Ok(Answer { status: response.status, comment: response.comment });
        }
    }
}

/// Where sending a data set failed.
enum Sending {
    Source(io::Error),
    Wire(io::Error),
}

impl From<io::Error> for Sending {
    fn from(error: io::Error) -> Self {
        Self::Source(error)
    }
}

/// A data set that breaks off must not look whole: the association ends.
fn sending_failed(error: Sending, sop_instance: &Uid) -> End {
    match error {
        Sending::Wire(error) => End::Lost(error),
        Sending::Source(error) => {
            tracing::error!(%error, %sop_instance, "a stored object cannot be read to its end");
            End::Senseless("a stored object cannot be read to its end".into())
        }
    }
}
