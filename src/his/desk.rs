//! What happens to a message between its last byte and its answer.
//!
//! Who sent it, what it says and what it asks for need no archive. Then its patients' turn is waited for, the archive makes
//! it durable, and only then is it answered.

use crate::hl7::ack::{self, Verdict};
use crate::hl7::{Fault, Form, Head, Kind, Message, Response};
use crate::keeper::Keeper;
use crate::meter;
use crate::mllp::Frame;
use crate::sources::{Peer, Sender, Sources, Unknown};
use crate::translate::{self, Asked};
use crate::turns::Turns;
use archive::Archive;
use archive::charts::{ChartError, Receipt};
use archive::letters::{self, Label};
use model::chart::{Change, Handled, Inbound, OrderAction, Origin};
use model::{Digest, FacilityCode};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer messages are read on a thread of their own.
const INLINE: usize = 64 << 10;
/// Minutes the clocks of senders nobody knows are east of UTC.
const OFFSET: i64 = 420;
/// Addresses whose knocks are counted one by one.
const KNOCKERS_MAX: usize = 1_000;
/// Shortest time between two log lines about one knocking address.
const KNOCK_EVERY: Duration = Duration::from_secs(60);
/// Marks a message that was given in again; what stands before it is the sender's control id.
const AGAIN: char = '#';

/// Takes messages in.
pub(crate) struct Desk {
    keeper: Arc<dyn Keeper>,
    sources: Sources,
    turns: Arc<Turns>,
    answers: AtomicU64,
    knocks: Mutex<HashMap<Option<IpAddr>, Knocks>>,
}

/// How often an address knocked, and when that was last told.
type Knocks = (u64, Option<Instant>);

/// A message that is understood, or of which is known why not.
struct Understood {
    facility: FacilityCode,
    patients: BTreeSet<String>,
    inbound: Inbound,
    /// Why it is refused.
    fault: Option<Fault>,
    /// What its sender is told of its orders.
    expected: Option<Expected>,
}

/// A sender that is told the numbers of orders: of which, and how.
struct Expected {
    form: Form,
    /// What is asked, and the placer's number.
    orders: Vec<(OrderAction, String)>,
}

impl Desk {
    pub(crate) fn new(keeper: Arc<dyn Keeper>, sources: Sources) -> Self {
        Self { keeper, sources, turns: Arc::default(), answers: AtomicU64::new(0), knocks: Mutex::default() }
    }

    /// Handles a message; gives its answer, if it wants one.
    pub(crate) async fn handle(self: &Arc<Self>, peer: &Peer, frame: Frame) -> Option<Vec<u8>> {
        let begun = Instant::now();
        let Frame { bytes, claim } = frame;
        meter::received(bytes.len());
        let head = Head::read(&bytes);
        let long = bytes.len() > INLINE;
        let (desk, peer) = (Arc::clone(self), peer.clone());
        let reading = move || desk.read(&peer, &bytes);
        let read = if long { tokio::task::spawn_blocking(reading).await } else { Ok(reading()) };
        let (offset, (verdict, response)) = match read.unwrap_or_else(|_| Err(panicked())) {
            Ok((offset, understood)) => {
                let turn = self.turns.take(understood.facility, &understood.patients).await;
                let desk = Arc::clone(self);
                let taking = move || {
                    let taken = desk.take(understood);
                    // The next message of these patients may go on.
                    drop(turn);
                    taken
                };
                let taken = tokio::task::spawn_blocking(taking).await;
                (offset, taken.unwrap_or_else(|_| (Verdict::Refused(panicked()), None)))
            }
            Err(fault) => (OFFSET, (Verdict::Refused(fault), None)),
        };
        // So may whoever waits for memory.
        drop(claim);
        tell(head.as_ref(), &verdict, begun);
        self.answer(head.as_ref(), &verdict, response.as_ref(), offset)
    }

    /// The answer to what is no message, or too long, by what there is of it.
    pub(crate) fn refuse(&self, start: &[u8], fault: Fault) -> Option<Vec<u8>> {
        let (head, verdict) = (Head::read(start), Verdict::Refused(fault));
        tell(head.as_ref(), &verdict, Instant::now());
        self.answer(head.as_ref(), &verdict, None, OFFSET)
    }

    /// The same of a message of which only the start was read; it is kept in the list of what was refused.
    pub(crate) async fn cut(self: &Arc<Self>, peer: &Peer, start: &[u8], fault: Fault) -> Option<Vec<u8>> {
        if let Some(begun) = self.begun(peer, start, &fault) {
            let desk = Arc::clone(self);
            let kept = tokio::task::spawn_blocking(move || take(desk.keeper.as_ref(), begun).0).await;
            match kept {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a message that is too long cannot be listed"),
                Err(_) => tracing::error!("the archive failed while it listed a message that is too long"),
            }
        }
        self.refuse(start, fault)
    }

    /// What is kept of a message of a known sender of which there is the start alone.
    fn begun(&self, peer: &Peer, start: &[u8], fault: &Fault) -> Option<Understood> {
        let head = Head::read(start)?;
        let sender = self.sender(peer, &head).ok()?;
        let (text, mut remarks) = decode(&head, start, &sender);
        remarks.push("the message is too long: only its beginning is kept".to_owned());
        let digest = Digest(Sha256::digest(start).into());
        let component = char::from(head.encoding(0));
        let first = |field: usize| head.ascii(field).split(component).next().unwrap_or_default().to_owned();
        let kind: Vec<&str> = head.ascii(9).split(component).take(2).collect();
        let control = match first(10) {
            control if control.is_empty() => digest.to_string().chars().take(16).collect(),
            control => control,
        };
        let names = format!("{}|{}", first(3), first(4));
        let origin = Origin { source: origin_of(&sender.name), sender: names, control, digest };
        let kind = brief(&kind.join("^"));
        let inbound = Inbound { origin, kind, mrn: None, text, changes: Err(fault.to_string()), remarks };
        let (facility, patients) = (sender.facility, BTreeSet::new());
        Some(Understood { facility, patients, inbound, fault: Some(fault.clone()), expected: None })
    }

    fn answer(
        &self,
        head: Option<&Head>,
        verdict: &Verdict,
        response: Option<&Response>,
        offset: i64,
    ) -> Option<Vec<u8>> {
        let (at, number) = (now_ms(), self.answers.fetch_add(1, Ordering::Relaxed));
        ack::answer_with(head, verdict, response, at, offset, &format!("K{at:x}{:x}", number & 0xffff))
    }

    /// Reads a message and what it asks for; gives the offset of the sender's clock with it.
    fn read(&self, peer: &Peer, bytes: &[u8]) -> Result<(i64, Understood), Fault> {
        let head =
            Head::read(bytes).ok_or_else(|| Fault::no_message("MSH", 0, "a message begins with the segment MSH"))?;
        let sender = self.sender(peer, &head)?;
        let (text, mut remarks) = decode(&head, bytes, &sender);
        let digest = Digest(Sha256::digest(bytes).into());
        let mut understood = understand(&sender, text, digest);
        remarks.append(&mut understood.inbound.remarks);
        understood.inbound.remarks = remarks;
        Ok((sender.offset, understood))
    }

    /// Who sends a message.
    fn sender(&self, peer: &Peer, head: &Head) -> Result<Sender, Fault> {
        // Who sends is told by codes, which are ASCII wherever anybody has seen them.
        let named = |field: usize| {
            let text = String::from_utf8_lossy(head.field(field)).into_owned();
            text.split(char::from(head.encoding(0))).next().unwrap_or_default().trim().to_owned()
        };
        let (application, facility) = (named(3), named(4));
        let sender = self.sources.identify(peer, &application, &facility).map_err(|unknown| {
            self.knock(peer.address, &application, &facility, &unknown);
            Fault::sender(match unknown {
                Unknown::Nobody => "no source of messages has this address, application and facility",
                Unknown::Disabled(_) => "the source of messages is disabled",
            })
        })?;
        if !self.keeper.takes_for(sender.facility) {
            return Err(Fault::sender("the facility of this source is not registered, or not active"));
        }
        Ok(sender)
    }

    /// Hands a message to the archive. May block.
    fn take(&self, mut understood: Understood) -> (Verdict, Option<Response>) {
        let (facility, expected) = (understood.facility, understood.expected.take());
        let taken = take(self.keeper.as_ref(), understood);
        let done = matches!(&taken.0, Ok(Receipt { handled: Handled::Done, .. }));
        let response = expected.map(|expected| self.told(facility, expected, done));
        (verdict(taken), response)
    }

    /// What a sender is told of its orders.
    fn told(&self, facility: FacilityCode, expected: Expected, done: bool) -> Response {
        let Expected { form, orders } = expected;
        let stands = |(action, placer): (OrderAction, String)| match self.keeper.order(facility, &placer) {
            Ok(order) => order.map(|order| (action, order)),
            Err(error) => {
                // What was taken is taken: the answer says so without its numbers.
                tracing::warn!(%error, "the numbers of an order cannot be answered");
                None
            }
        };
        let orders = orders.into_iter().filter(|_| done).filter_map(stands).collect();
        Response { form, orders }
    }

    /// Counts a message of somebody unknown, and says so once in a while.
    fn knock(&self, address: IpAddr, application: &str, facility: &str, unknown: &Unknown) {
        meter::knocked();
        let mut knocks = self.knocks.lock();
        let known = knocks.len() < KNOCKERS_MAX || knocks.contains_key(&Some(address));
        let (times, told) = knocks.entry(known.then_some(address)).or_default();
        *times += 1;
        if told.is_none_or(|told| told.elapsed() >= KNOCK_EVERY) {
            *told = Some(Instant::now());
            let brief = |text: &str| text.chars().take(40).collect::<String>();
            let (application, facility) = (brief(application), brief(facility));
            tracing::warn!(%address, ?application, ?facility, ?unknown, times, "HL7 messages of an unknown sender are refused");
        }
    }
}

/// The text of a message in its sender's character set, and what is remarked of it.
pub(crate) fn decode(head: &Head, bytes: &[u8], sender: &Sender) -> (String, Vec<String>) {
    let mut remarks = Vec::new();
    let label = match head.charset().to_ascii_uppercase().as_str() {
        "UNICODE UTF-8" | "UTF-8" | "UTF8" | "UNICODE" => Label::Utf8,
        "8859/1" | "8859-1" | "ISO-8859-1" | "ISO 8859-1" => Label::Latin1,
        "" | "ASCII" | "ISO IR6" => Label::None,
        _ => {
            remarks.push("the character set in MSH-18 is none of those served; UTF-8 was expected".to_owned());
            Label::None
        }
    };
    let decoded = letters::decode(bytes, label, sender.charset);
    if decoded.repaired {
        remarks.push("the text was not in the character set of MSH-18".to_owned());
    }
    if decoded.invalid {
        remarks.push("bytes that are no letters were replaced: check MSH-18 and the charset of the source".to_owned());
    }
    (decoded.text, remarks)
}

/// What a text asks for.
fn understand(sender: &Sender, text: String, digest: Digest) -> Understood {
    let mut kind = String::new();
    let (mut control, mut names) = (String::new(), String::new());
    let asked = match Message::parse(&text) {
        Ok(message) => {
            kind = message.kind();
            control = message.head(10).component(1).text();
            let [application, facility] = [3, 4].map(|field| message.head(field).component(1).text());
            names = format!("{application}|{facility}");
            translate::translate(&message, sender)
        }
        Err(fault) => Asked { changes: Err(fault), remarks: Vec::new() },
    };
    let Asked { changes, mut remarks } = asked;
    if control.is_empty() {
        control = digest.to_string().chars().take(16).collect();
        remarks.push("without a control id (MSH-10) a message is told by its digest".to_owned());
    }
    let (changes, fault) = match changes {
        Ok(changes) => (Ok(changes), None),
        Err(fault) => (Err(fault.to_string()), Some(fault)),
    };
    let asked: &[Change] = changes.as_deref().unwrap_or_default();
    let (patients, mrn) = (translate::patients(asked), translate::patient_of(asked));
    let form = Form::of(kind.split('^').next().unwrap_or_default()).filter(|_| sender.order_response);
    let expected = form.map(|form| Expected { form, orders: orders(asked) });
    let origin = Origin { source: origin_of(&sender.name), sender: names, control, digest };
    let kind: String = kind.chars().filter(|letter| !letter.is_control()).take(32).collect();
    let inbound = Inbound { origin, kind, mrn, text, changes, remarks };
    Understood { facility: sender.facility, patients, inbound, fault, expected }
}

/// The orders that are asked for, each once.
fn orders(asked: &[Change]) -> Vec<(OrderAction, String)> {
    let order = |change: &Change| match change {
        Change::Order(order) => Some((order.action, order.placer.clone())),
        _ => None,
    };
    asked.iter().filter_map(order).collect()
}

/// The source of a message in its origin.
fn origin_of(name: &str) -> String {
    format!("hl7:{name}")
}

/// Hands a message to the archive, with the numbers that only the archive knows.
fn take(keeper: &dyn Keeper, mut understood: Understood) -> (Result<Receipt, ChartError>, Option<Fault>) {
    if let Err(error) = complete(keeper, &mut understood) {
        return (Err(error), None);
    }
    let Understood { facility, inbound, fault, .. } = understood;
    let receipt = match &fault {
        Some(fault) if fault.kind == Kind::Reject => keeper.reject(facility, inbound),
        _ => keeper.receive(facility, inbound),
    };
    (receipt, fault)
}

/// Adds what only the archive knows; without it the message is one that asks for nothing, and says why.
fn complete(keeper: &dyn Keeper, understood: &mut Understood) -> Result<(), ChartError> {
    if let Some(fault) = placers(keeper, understood)? {
        understood.inbound.changes = Err(fault.to_string());
        understood.fault = Some(fault);
    }
    Ok(())
}

/// Gives the placer's number to orders that are told by the filler's alone; says which is not known.
fn placers(keeper: &dyn Keeper, understood: &mut Understood) -> Result<Option<Fault>, ChartError> {
    for change in understood.inbound.changes.as_deref_mut().unwrap_or_default() {
        let Change::Order(order) = change else { continue };
        let Some(filler) = order.filler.as_deref().filter(|_| order.placer.is_empty()) else { continue };
        match keeper.placer(understood.facility, filler)? {
            Some(placer) => order.placer = placer,
            None => return Ok(Some(Fault::unknown("SCH", 27, "there is no order with this filler's number"))),
        }
    }
    Ok(None)
}

fn verdict((receipt, fault): (Result<Receipt, ChartError>, Option<Fault>)) -> Verdict {
    match receipt {
        Ok(Receipt { handled: Handled::Done, remarks, .. }) => Verdict::Taken(remarks),
        Ok(Receipt { handled: Handled::Parked { why, .. }, mut remarks, .. }) => {
            remarks.push(format!("parked: waits for {why}"));
            Verdict::Taken(remarks)
        }
        Ok(Receipt { handled: Handled::Refused { why }, .. }) => {
            Verdict::Refused(fault.unwrap_or_else(|| Fault::refused(why)))
        }
        Err(error @ (ChartError::Unavailable(_) | ChartError::Limit(_))) => {
            Verdict::Refused(Fault::not_now(error.to_string()))
        }
        Err(error) => Verdict::Refused(fault.unwrap_or_else(|| Fault::refused(error.to_string()))),
    }
}

fn tell(head: Option<&Head>, verdict: &Verdict, begun: Instant) {
    let kind = head.map(|head| head.ascii(9)).unwrap_or_default();
    meter::answered(kind, verdict.code(), begun.elapsed());
    let control = head.map(|head| head.ascii(10)).unwrap_or_default();
    if let Verdict::Refused(fault) = verdict {
        let (kind, control) = (brief(kind), brief(control));
        tracing::info!(kind, control, code = verdict.code(), why = %fault, "HL7 message refused");
    }
}

/// A code as a log line may have it.
fn brief(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(40).collect()
}

fn panicked() -> Fault {
    Fault::not_now("the archive failed while it took the message; its log says more")
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Why a message is not given in again.
#[derive(Debug, thiserror::Error)]
pub enum AgainError {
    /// It did not come by HL7.
    #[error("it did not come by HL7: its sender has to send it again")]
    Other,
    /// Its source is not there any more.
    #[error("there is no source {0:?} of messages any more")]
    Source(String),
    /// The archive did not take it.
    #[error(transparent)]
    Chart(#[from] ChartError),
}

/// Gives a message in again, read with the map of today. One that was refused or waits is handled anew as itself; one
/// that was done has its effects once more, under a control id of its own.
///
/// # Errors
/// When it cannot be: nothing has changed. That it is refused once more stands in the receipt.
pub fn again(
    archive: &Arc<Archive>,
    sources: &Sources,
    (facility, id): (FacilityCode, &str),
    message: &model::chart::Message,
) -> Result<Receipt, AgainError> {
    let name = message.origin.source.strip_prefix("hl7:").ok_or(AgainError::Other)?;
    let sender = sources.named(name).filter(|sender| sender.facility == facility);
    let sender = sender.ok_or_else(|| AgainError::Source(name.to_owned()))?;
    let mut understood = understand(&sender, message.text.clone(), message.origin.digest);
    understood.inbound.origin = message.origin.clone();
    understood.inbound.remarks.push("given in again by an operator".to_owned());
    complete(archive, &mut understood)?;
    let mut inbound = understood.inbound;
    if message.handled != Handled::Done {
        return Ok(archive.charts().receive_again(facility, id, inbound)?);
    }
    let control = message.origin.control.split(AGAIN).next().unwrap_or_default();
    inbound.origin.control = format!("{control}{AGAIN}{:x}", now_ms());
    Ok(archive.charts().receive(facility, inbound)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Map;

    fn asked(text: &str) -> Understood {
        understand(&Sender::plain("his", Map::default()), text.to_owned(), Digest([7; 32]))
    }

    #[test]
    fn a_message_keeps_where_it_came_from() {
        let text = "MSH|^~\\&|HIS^1.2|BV|||||ADT^A28^ADT_A05|17|P|2.5\rPID|1||22^^^BV^MR||Nguyễn^An^Văn";
        let Understood { facility, patients, inbound, fault, .. } = asked(text);
        assert_eq!((facility, fault), (FacilityCode::DEMO, None));
        assert_eq!(patients, BTreeSet::from(["22".to_owned()]));
        assert_eq!((inbound.origin.source.as_str(), inbound.origin.sender.as_str()), ("hl7:his", "HIS|BV"));
        assert_eq!((inbound.origin.control.as_str(), inbound.kind.as_str()), ("17", "ADT^A28"));
        assert_eq!((inbound.mrn.as_deref(), inbound.text.as_str()), (Some("22"), text));
    }

    #[test]
    fn what_is_not_understood_is_kept_with_its_reason() {
        let broken = asked("MSH|^~\\&|HIS|BV|||||ADT^A99||P|2.5\rPID|1");
        assert_eq!(broken.inbound.origin.control, "0707070707070707");
        assert!(broken.inbound.changes.is_err_and(|why| why.contains("A99")));
        assert_eq!(broken.fault.map(|fault| fault.code), Some(201));
        assert!(asked("MSH|").fault.is_some());
    }

    #[test]
    fn receipts_are_verdicts() {
        let receipt = |handled| Ok(Receipt { handled, repeated: false, remarks: vec!["x".to_owned()] });
        let code = |receipt, fault: Option<Fault>| verdict((receipt, fault)).code();
        assert_eq!(code(receipt(Handled::Done), None), "AA");
        let parked = Handled::Parked { why: "its order".into(), until: 1 };
        assert_eq!(code(receipt(parked), None), "AA");
        let refused = || Handled::Refused { why: "no".into() };
        assert_eq!(code(receipt(refused()), None), "AE");
        assert_eq!(code(receipt(refused()), Some(Fault::trigger("x"))), "AR");
        assert_eq!(code(Err(ChartError::Unavailable(String::new())), None), "AR");
        assert_eq!(code(Err(ChartError::Conflict("x".into())), None), "AE");
    }
}
