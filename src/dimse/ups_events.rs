//! Events of steps on an association the subscriber keeps open with the UPS Event class (PS3.4 section CC.2.4).
//!
//! One event is under way at a time: they arrive in order. While the peer says nothing the queue is looked at.

use crate::association::{Association, End};
use crate::command::{self, Response};
use crate::negotiate::{Context, Service};
use crate::pdu;
use crate::receiver::Receiver;
use crate::socket::GaveUp;
use crate::ups_class::UPS_EVENT;
use archive::ups::{Channel, Event, Turn, UPS_CLASS};
use dataset::document;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pace of looking for new events, and the silence before the first: some toolkits are not ready before.
const PACE: Duration = Duration::from_millis(200);
/// Message IDs of events begin here: far from those of other reports.
const MESSAGES: u16 = 0x4000;

/// An open channel.
#[derive(Debug)]
pub(crate) struct Watching {
    context: u8,
    syntax: String,
    /// None once somebody else listens.
    channel: Option<Channel>,
    message: u16,
    under_way: Option<Arc<Event>>,
}

impl<R: Receiver> Association<'_, R> {
    /// Waits for the next message of a peer that watches steps, and says events meanwhile.
    pub(crate) fn watch(&mut self) -> Result<(), End> {
        if self.watching.is_none() {
            self.watching = self.begin_watching();
        }
        if self.watching.is_none() || self.wire.has_read_ahead() {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            let socket = self.wire.source();
            if socket.is_draining() || !socket.is_silent_for(PACE).map_err(End::Lost)? {
                return Ok(());
            }
            if begun.elapsed() >= socket.idle_limit() {
                return Err(End::GaveUp(GaveUp::Idle));
            }
            self.say_next()?;
        }
    }

    fn begin_watching(&self) -> Option<Watching> {
        let of_events = |context: &Context| matches!(context.service, Service::Ups(class) if class.uid == UPS_EVENT);
        let (id, context) = self.contexts.iter().find(|(_, context)| of_events(context))?;
        let channel = self.receiver.ups()?.listen(self.source.facility, &self.calling, None);
        let syntax = context.transfer_syntax.to_string();
        Some(Watching { context: *id, syntax, channel: Some(channel), message: MESSAGES, under_way: None })
    }

    fn say_next(&mut self) -> Result<(), End> {
        let Some(watching) = self.watching.as_mut().filter(|watching| watching.under_way.is_none()) else {
            return Ok(());
        };
        let event = match watching.channel.as_ref().map(Channel::next) {
            Some(Turn::Event(event)) => event,
            Some(Turn::Over) => {
                watching.channel = None;
                return Ok(());
            }
            Some(Turn::Nothing) | None => return Ok(()),
        };
        watching.message = MESSAGES | (watching.message.wrapping_add(1) & 0x3FFF);
        let mut out = Vec::new();
        match report(watching.message, &event, &watching.syntax) {
            Some((command, data)) => {
                pdu::message_pdus(watching.context, &command, &data, self.peer_pdu_bytes_max, &mut out);
                watching.under_way = Some(event);
                self.wire.source().send(&out).map_err(End::Lost)
            }
            None => {
                watching.channel.iter().for_each(|channel| channel.taken(&event));
                Ok(())
            }
        }
    }

    /// Whether the command that was gathered answers an event.
    pub(crate) fn is_event_answer(&self) -> bool {
        let message = self.watching.as_ref().filter(|one| one.under_way.is_some()).map(|one| one.message);
        let answers = |response: Response| Some(response.responded_to) == message;
        Response::parse(&self.command).is_ok_and(answers)
    }

    /// The peer has heard the event under way, whatever it answers.
    pub(crate) fn event_answered(&mut self) -> Result<(), End> {
        let response = Response::parse(&self.command)?;
        if let Some(watching) = self.watching.as_mut()
            && let Some(event) = watching.under_way.take()
        {
            tracing::debug!(source = self.source.id, status = response.status, seq = event.seq, "an event was heard");
            watching.channel.iter().for_each(|channel| channel.taken(&event));
        }
        self.say_next()
    }
}

/// N-EVENT-REPORT of an event: command and data set; none for one that cannot be written.
pub(crate) fn report(message: u16, event: &Event, syntax: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    match document::write(&event.info, syntax) {
        Ok(data) => Some((command::event_request(message, UPS_CLASS, event.uid.as_str(), event.kind.id()), data)),
        Err(error) => {
            tracing::error!(%error, seq = event.seq, "an event of a procedure step cannot be written");
            None
        }
    }
}
