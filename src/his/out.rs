//! HL7 out: tells receivers over MLLP what waits in the archive's outbox, and waits for their acknowledgement.
//!
//! What waits, and what is tried again, is the archive's matter ([`archive::charts::outbox`]). A message has the number of
//! its delivery for a control id, so that a receiver knows it again.

mod line;
mod messages;
mod receivers;
mod write;

pub use receivers::Receivers;

use crate::hl7::Message;
use archive::charts::outbox::dispatch::{Courier, Outcome, Parcel};
use archive::letters::{self, Label};
use line::{Cut, Line};
use metrics::{counter, describe_counter};
use model::chart::Target;
use model::facility::CharsetHint;
use model::{FacilityCode, Uid};
use parking_lot::Mutex;
use receivers::Receiver;
use std::collections::{BTreeSet, HashMap};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Limits of a message that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendLimits {
    /// Longest wait for the connection.
    pub connect: Duration,
    /// Longest wait for the acknowledgement after the last byte.
    pub answer: Duration,
    /// Longest wait for the receiver to take what is sent.
    pub write: Duration,
}

impl Default for SendLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), answer: Duration::from_secs(30), write: Duration::from_secs(20) }
    }
}

/// Signs the link to a study of a facility's patient, by the patient's number, that ends at a time, in seconds since 1970
/// UTC: what stands behind the question mark of its address, or none where the facility has no key for it.
pub type SignLink = Arc<dyn Fn(FacilityCode, &Uid, &str, u64) -> Option<String> + Send + Sync>;

/// Whose connection it is: those of one subscription are told one thing after the other.
type Lane = (FacilityCode, String);

/// A connection that waits for the next message, with whom it goes to.
type Idle = (Receiver, Line);

/// Sends messages.
pub struct Sender {
    receivers: Receivers,
    limits: SendLimits,
    links: SignLink,
    /// Facilities of which was said that their links cannot be signed.
    unsigned: Mutex<BTreeSet<FacilityCode>>,
    idle: Mutex<HashMap<Lane, Idle>>,
    next: AtomicU64,
    under_way: Mutex<HashMap<u64, TcpStream>>,
    stopped: AtomicBool,
}

impl Sender {
    /// Nothing is sent yet.
    pub fn new(receivers: Receivers, limits: SendLimits) -> Self {
        describe_counter!(
            "khoanh_outbox_links_unsigned_total",
            "links in messages that were to be signed and could not be"
        );
        Self {
            receivers,
            limits,
            links: Arc::new(|_, _, _, _| None),
            unsigned: Mutex::default(),
            idle: Mutex::default(),
            next: AtomicU64::new(0),
            under_way: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Signs the links of receivers that want them signed.
    #[must_use]
    pub fn signing(self, links: SignLink) -> Self {
        Self { links, ..self }
    }

    /// The link of a facility. One that cannot be signed is as if nobody had asked for it, and said once.
    fn sign(&self, facility: FacilityCode, study: &Uid, mrn: &str, ends: u64) -> Option<String> {
        let signed = (self.links)(facility, study, mrn, ends);
        if signed.is_none() {
            counter!("khoanh_outbox_links_unsigned_total").increment(1);
            if self.unsigned.lock().insert(facility) {
                tracing::warn!(%facility, "links in messages are not signed: launch.keys has no hs256 key of the facility");
            }
        }
        signed
    }

    /// Sends a message and waits for its acknowledgement, over the connection of the last one where it still stands.
    fn send(&self, lane: &Lane, receiver: &Receiver, control: &str, message: &[u8]) -> Outcome {
        let kept = self.idle.lock().remove(lane).filter(|(whom, _)| whom == receiver).map(|(_, line)| line);
        if let Some(mut line) = kept {
            match self.over(&mut line, control, message) {
                Ok(outcome) => return self.keep(lane, receiver, line, outcome),
                // The receiver hung up meanwhile, as many do.
                Err(Cut::Closed) if !self.stopped.load(Ordering::SeqCst) => {}
                Err(cut) => return self.cut(&cut),
            }
        }
        let mut line = match Line::connect(receiver, &self.limits) {
            Ok(line) => line,
            Err(why) => return Outcome::Down(why),
        };
        match self.over(&mut line, control, message) {
            Ok(outcome) => self.keep(lane, receiver, line, outcome),
            Err(cut) => self.cut(&cut),
        }
    }

    fn cut(&self, cut: &Cut) -> Outcome {
        if self.stopped.load(Ordering::SeqCst) { Outcome::Interrupted } else { Outcome::Down(cut.to_string()) }
    }

    fn keep(&self, lane: &Lane, receiver: &Receiver, line: Line, outcome: Outcome) -> Outcome {
        self.idle.lock().insert(lane.clone(), (receiver.clone(), line));
        outcome
    }

    fn over(&self, line: &mut Line, control: &str, message: &[u8]) -> Result<Outcome, Cut> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if let Ok(tcp) = line.tcp().try_clone() {
            self.under_way.lock().insert(id, tcp);
        }
        if self.stopped.load(Ordering::SeqCst) {
            let _ = line.tcp().shutdown(Shutdown::Both);
        }
        let answered = self.ask(line, control, message);
        self.under_way.lock().remove(&id);
        answered
    }

    fn ask(&self, line: &mut Line, control: &str, message: &[u8]) -> Result<Outcome, Cut> {
        line.write(message)?;
        let until = Instant::now() + self.limits.answer;
        loop {
            let answer = line.read(until)?;
            // What answers another message, such as one that was given up, is passed over.
            if let Some(outcome) = verdict(&answer, control) {
                return Ok(outcome);
            }
        }
    }
}

/// What an acknowledgement says; none when it is about another message.
pub(crate) fn verdict(answer: &[u8], control: &str) -> Option<Outcome> {
    let text = letters::decode(answer, Label::None, CharsetHint::Auto).text;
    let Ok(message) = Message::parse(&text) else {
        return Some(Outcome::Failed("the acknowledgement is no HL7 message".into()));
    };
    let Some(msa) = message.first("MSA") else {
        return Some(Outcome::Failed("the acknowledgement has no MSA".into()));
    };
    if msa.field(2).text() != control {
        return None;
    }
    // Texts of the receiver are not repeated: they may name a patient.
    Some(match msa.field(1).text().to_ascii_uppercase().as_str() {
        "AA" | "CA" => Outcome::Done,
        code @ ("AR" | "CR") => Outcome::Refused(format!("the receiver refuses the message ({code})")),
        code @ ("AE" | "CE") => Outcome::Failed(format!("the receiver has a fault over the message ({code})")),
        _ => Outcome::Failed("the acknowledgement has an unknown code".into()),
    })
}

impl Courier for Sender {
    fn bring(&self, parcel: &Parcel) -> Outcome {
        let Target::Hl7 { receiver } = &parcel.subscription.target else {
            return Outcome::Refused("this is no receiver of HL7".into());
        };
        let Some(receiver) = self.receivers.named(receiver) else {
            return Outcome::Down("the file hl7.receivers names no such receiver".into());
        };
        let control = model::chart::Delivery::id(parcel.delivery.seq);
        let lane = (parcel.facility, parcel.delivery.subscription.clone());
        let sign = |study: &Uid, mrn: &str, ends: u64| self.sign(parcel.facility, study, mrn, ends);
        match messages::message(parcel, &receiver, &control, &sign) {
            Ok(Some(message)) => self.send(&lane, &receiver, &control, &message),
            // Such as a study without an order, for who is told of orders alone.
            Ok(None) => Outcome::Done,
            Err(why) => Outcome::Refused(why.to_owned()),
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for tcp in self.under_way.lock().values() {
            // One that is gone already needs no end.
            let _ = tcp.shutdown(Shutdown::Both);
        }
        self.idle.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_counts_for_its_own_message_alone() {
        let said = |code: &str, control: &str| {
            let text = format!("MSH|^~\\&|HIS|BV|||20261128||ACK|9|P|2.5\rMSA|{code}|{control}|Nguyen Van An\r");
            verdict(text.as_bytes(), "17")
        };
        assert_eq!((said("AA", "17"), said("CA", "17")), (Some(Outcome::Done), Some(Outcome::Done)));
        assert_eq!(said("AA", "16"), None);
        for (code, dead) in [("AR", true), ("CR", true), ("AE", false), ("CE", false), ("ZZ", false)] {
            match said(code, "17") {
                Some(Outcome::Refused(why)) => assert!(dead && !why.contains("Nguyen"), "{code}: {why}"),
                Some(Outcome::Failed(why)) => assert!(!dead && !why.contains("Nguyen"), "{code}: {why}"),
                other => panic!("{code}: {other:?}"),
            }
        }
        assert!(matches!(verdict(b"hello", "17"), Some(Outcome::Failed(_))));
    }
}
