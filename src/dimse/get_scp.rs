//! C-GET as a provider (PS3.4 section C.4.3): objects come back on the same association, in the contexts for which the
//! asker took the role of SCP.
//!
//! Up to [`crate::outgoing::AHEAD_MAX`] bytes of an object are read before its peer hears of it: a shorter one that cannot
//! be read fails alone. A longer one ends the association the first time, and is known then ([`crate::suspects`]).
//!
//! While an object is read the asker is heard: a C-CANCEL is answered at once, whatever the disk or the cloud is at.

use crate::ahead::{Ahead, Shelf, Want, Wanted};
use crate::association::{Association, End};
use crate::carrier::Trouble;
use crate::command::{self, C_CANCEL_RQ, C_STORE_RQ, Request, Response};
use crate::meter;
use crate::negotiate::Context;
use crate::outgoing::{Broken, Outgoing, Shape};
use crate::pdu::{self, AbortReason};
use crate::receiver::{Receiver, Stored};
use crate::retrieval::{ALIVE_EVERY, Fate, TICK, Tally};
use crate::scu::{Answer, Object, plan};
use model::chart::Way;
use std::time::Instant;

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
        self.begin_record(&mut tally, (Way::Get, ""), &objects);
        let receiver = self.receiver.clone();
        let shelf = Shelf::new(&receiver, &objects, self.room);
        let status = std::thread::scope(|scope| {
            let sent = self.get_all(&objects, &mut Ahead::start(scope, &shelf), &mut tally);
            // Nothing more is read for nobody.
            shelf.stop();
            // Answered before the reader is waited for: it may hang in a read.
            sent.and_then(|()| self.finish(tally))
        })?;
        meter::retrieved("get", &status.label(), begun.elapsed());
        let (objects, status) = (objects.len(), status.label());
        tracing::info!(source = self.source.id, objects, status, "C-GET answered");
        Ok(())
    }

    fn get_all(&mut self, objects: &[R::Stored], ahead: &mut Ahead<'_, R>, tally: &mut Tally<'_>) -> Result<(), End> {
        for (number, object) in objects.iter().enumerate() {
            self.tell(tally)?;
            if tally.cancelled {
                break;
            }
            let Some((context, want)) = self.way(object, number) else {
                let why = "no context for its class and transfer syntax".into();
                tally.count(object.sop_instance().as_str(), Fate::Failed(why));
                continue;
            };
            let data = match self.whole_or_not(object, &want, ahead, tally)? {
                Ok(data) => data,
                Err(Some(fate)) => {
                    tally.count(object.sop_instance().as_str(), fate);
                    continue;
                }
                // Cancelled before it could be read.
                Err(None) => break,
            };
            let next = number.saturating_add(1);
            if let Some((_, want)) = objects.get(next).and_then(|object| self.way(object, next)) {
                ahead.ask(want);
            }
            self.note_given(tally, object);
            let fate = self.get_object(context, &want, object, data, tally)?;
            tally.count(object.sop_instance().as_str(), fate);
        }
        Ok(())
    }

    /// The context an object comes back in, and how it is read for that.
    fn way(&self, object: &R::Stored, member: usize) -> Option<(u8, Want)> {
        let (class, stored) = (object.sop_class(), object.syntax().as_str());
        let (id, context) = plan::decoded(stored).into_iter().find_map(|syntax| {
            let fits = |context: &Context| {
                context.peer_stores && context.abstract_syntax == *class && context.transfer_syntax.as_str() == syntax
            };
            self.contexts.iter().find(|(_, context)| fits(context))
        })?;
        let longest = match self.peer_pdu_bytes_max {
            0 => self.options.pdu_bytes_max,
            limit => limit.min(self.options.pdu_bytes_max),
        };
        Some((*id, Want { member, syntax: context.transfer_syntax.clone(), shape: Shape::of(longest) }))
    }

    /// Sends one object and waits for what the asker says to it.
    fn get_object(
        &mut self,
        context: u8,
        want: &Want,
        object: &R::Stored,
        data: Outgoing<Wanted<'_>>,
        tally: &mut Tally<'_>,
    ) -> Result<Fate, End> {
        // Message ids of our own requests; one operation at a time makes any do.
        let message = u16::try_from(want.member % usize::from(u16::MAX)).unwrap_or(0).saturating_add(1);
        let (sop_class, sop_instance) = (object.sop_class().clone(), object.sop_instance().clone());
        let command = command::store_request(message, &Object { sop_class, sop_instance, originator: None });
        let command = pdu::command_pdus(context, &command, self.peer_pdu_bytes_max);
        let wire = &mut self.wire;
        let mut send = |first: &[u8], then: &[u8]| wire.source().send_both(first, then).map_err(End::Lost);
        match data.send(context, command, &|| true, &mut send) {
            Ok(()) => self.await_store_response(message, tally).map(Fate::from),
            Err(Broken::Wire(end)) => Err(end),
            Err(Broken::Unsent(error)) => Ok(Fate::Failed(format!("it cannot be read: {error}"))),
            Err(Broken::Halfway(error)) => {
                self.suspects.add(object.sop_instance());
                let sop_instance = object.sop_instance();
                tracing::error!(%error, %sop_instance, "a stored object broke off while it was sent: the association ends");
                // A data set that breaks off must not look whole.
                Err(End::Senseless("a stored object cannot be read to its end".into()))
            }
        }
    }

    /// An object to be sent; a long one that broke off before is read to its end first. Else what became of it: nothing
    /// when the asker cancels.
    fn whole_or_not<'s>(
        &mut self,
        object: &R::Stored,
        want: &Want,
        ahead: &mut Ahead<'s, R>,
        tally: &mut Tally<'_>,
    ) -> Result<Result<Outgoing<Wanted<'s>>, Option<Fate>>, End> {
        let mut data = match self.opened(want, ahead, tally)? {
            Ok(data) => data,
            fate => return Ok(fate),
        };
        if !self.suspects.has(object.sop_instance()) {
            return Ok(Ok(data));
        }
        if !data.is_whole() {
            loop {
                match data.skip() {
                    Ok(true) => self.tell_every(tally, ALIVE_EVERY)?,
                    Ok(false) => break,
                    Err(error) => return Ok(Err(Some(Fate::Failed(format!("it cannot be read: {error}"))))),
                }
                if tally.cancelled {
                    return Ok(Err(None));
                }
            }
            // It gives back its room before it takes it again.
            drop(data);
            data = match self.opened(want, ahead, tally)? {
                Ok(data) => data,
                fate => return Ok(fate),
            };
        }
        self.suspects.clear(object.sop_instance());
        Ok(Ok(data))
    }

    /// An object opened, also one that has to be waited for.
    fn opened<'s>(
        &mut self,
        want: &Want,
        ahead: &mut Ahead<'s, R>,
        tally: &mut Tally<'_>,
    ) -> Result<Result<Outgoing<Wanted<'s>>, Option<Fate>>, End> {
        let recall_until = Instant::now() + self.options.recall_limit;
        loop {
            let Some(opened) = ahead.await_for(want, TICK) else {
                self.tell_every(tally, ALIVE_EVERY)?;
                if tally.cancelled {
                    return Ok(Err(None));
                }
                continue;
            };
            match opened {
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
