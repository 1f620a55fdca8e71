//! Messages: known again, handled whole or not at all.
//!
//! What a message does and the message itself are one record, so that whoever repeats it after a kill gets the answer of
//! the first time. Deliberately not here: how a message is parsed and answered, and those that wait ([`super::parked`]).

use super::journal::unavailable;
use super::sequence::Asked;
use super::writing::{Whose, Writing};
use super::{ChartError, Charts, Receipt, orders, patients, visits};
use model::FacilityCode;
use model::chart::{Change, ChartBody, ChartKind, Handled, Inbound, MESSAGE_MAX, Message, Origin, Term, term};
use std::time::Duration;

/// Rows under one message's identity that are looked at.
const SAME_MAX: usize = 4;
/// So much is kept of the text of a message that is too long.
const CUT_AT: usize = 64 << 10;

/// A message on its way in.
struct Taking<'a> {
    inbound: &'a Inbound,
    /// The row it is handled under again.
    id: Option<&'a str>,
    /// What its sender is answered when it is refused; none: nobody is answered.
    refusal: Option<&'static str>,
    /// Why it is only kept.
    too_long: Option<String>,
}

/// What is known of a message before it is handled.
enum Known {
    /// It was done.
    Done(Box<Message>),
    /// It waits or was refused: it is handled anew under its id.
    Open(String, Box<Message>),
    /// It is new; whether another one had its control id.
    New { reused: bool },
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Charts {
    /// Takes a message: its effects and the message itself are durable on return. The same origin and digest within a
    /// week (`charts.repeat_days`) gives the same receipt and no second effect; the same control id with other content is
    /// another message, with a remark.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`]: nothing was recorded, the sender has to send it again. All else is in the receipt.
    pub fn receive(&self, facility: FacilityCode, message: Inbound) -> Result<Receipt, ChartError> {
        self.receive_as(facility, Taking { inbound: &message, id: None, refusal: Some("AE"), too_long: None })
    }

    /// The same of a message that the edge rejects: its sender is answered AR.
    ///
    /// # Errors
    /// As [`Charts::receive`].
    pub fn receive_rejected(&self, facility: FacilityCode, message: Inbound) -> Result<Receipt, ChartError> {
        self.receive_as(facility, Taking { inbound: &message, id: None, refusal: Some("AR"), too_long: None })
    }

    /// Takes a stored message again ([`Charts::again`]) under its id: one that was refused or waits is handled anew, one
    /// that was done has no second effect, however long ago that was.
    ///
    /// # Errors
    /// As [`Charts::receive`]; [`ChartError::Unknown`] where there is no such message.
    pub fn receive_again(&self, facility: FacilityCode, id: &str, message: Inbound) -> Result<Receipt, ChartError> {
        self.receive_as(facility, Taking { inbound: &message, id: Some(id), refusal: None, too_long: None })
    }

    fn receive_as(&self, facility: FacilityCode, mut taking: Taking<'_>) -> Result<Receipt, ChartError> {
        self.refuse_when_closed(Whose::Senders)?;
        let message = taking.inbound;
        if message.text.len() > MESSAGE_MAX {
            taking.too_long = Some(format!("a message has at most {MESSAGE_MAX} bytes"));
        }
        self.make_ready(facility, patients_of(message));
        let receipt = match self.write(facility, |writing| self.take(writing, &taking)) {
            // Sent again it would not become shorter: that it came is kept.
            Err(ChartError::Limit(why)) => {
                taking.too_long = Some(why);
                self.write(facility, |writing| self.take(writing, &taking))?
            }
            answer => answer?,
        };
        if receipt.repeated {
            count("repeated");
        } else {
            count(name(&receipt.handled));
            if receipt.handled == Handled::Done {
                self.stir(facility, message.mrn.as_deref());
                self.follow_persons();
            }
        }
        Ok(receipt)
    }

    /// Handles a message and keeps it; with a reason why it is too long, it is only kept.
    fn take(&self, writing: &mut Writing<'_>, taking: &Taking<'_>) -> Result<Receipt, ChartError> {
        let Taking { inbound, id, refusal, too_long } = taking;
        let (earlier, reused) = match self.known(writing, *id, &inbound.origin)? {
            Known::Done(message) => {
                return Ok(Receipt { handled: message.handled, repeated: true, remarks: message.remarks });
            }
            Known::Open(id, message) => (Some((id, message)), false),
            Known::New { reused } => (None, reused),
        };
        let mut remarks = inbound.remarks.clone();
        let is_cut = too_long.is_some() && inbound.text.len() > CUT_AT;
        let handled = match (too_long, &inbound.changes) {
            (Some(why), _) => Handled::Refused { why: why.clone() },
            (None, Ok(changes)) => {
                // One that waits and is sent again keeps its place.
                let before = earlier.as_ref().filter(|(_, one)| matches!(one.handled, Handled::Parked { .. }));
                let came = before.map(|(id, _)| writing.created(ChartKind::Message, id)).transpose()?.flatten();
                let place = before.map(|(id, message)| (message.at, id.clone()));
                let asked = Asked { changes, source: &inbound.origin.source, place, came };
                let (handled, found) = self.handle(writing, &asked)?;
                remarks.extend(found);
                handled
            }
            (None, Err(why)) => Handled::Refused { why: why.clone() },
        };
        if is_cut {
            remarks.push("the message is too long: only its beginning is kept".into());
        }
        if reused {
            remarks.push("the message control id was used before for another message".into());
        }
        let now = writing.now();
        let (id, at, handled, answered) = match earlier {
            Some((id, before)) => {
                let handled = since(&before.handled, handled);
                if before.handled == handled && before.remarks == remarks {
                    return Ok(Receipt { handled, repeated: true, remarks });
                }
                let answered = matches!(before.handled, Handled::Refused { .. }).then_some(before.acknowledged);
                (id, before.at, handled, answered)
            }
            None => (fresh_id(now)?, now, handled, None),
        };
        let refused = matches!(handled, Handled::Refused { .. });
        let answered = refusal.map(str::to_owned).or(answered).unwrap_or_else(|| "AE".to_owned());
        let receipt = Receipt { handled, repeated: false, remarks };
        let mut message = kept(inbound, &receipt, is_cut, (at, now));
        message.acknowledged = if refused { answered } else { "AA".to_owned() };
        writing.put(&id, ChartBody::Message(Box::new(message)))?;
        Ok(receipt)
    }

    /// Whether a message came before, within the time in which messages are known again.
    fn known(&self, writing: &Writing<'_>, id: Option<&str>, origin: &Origin) -> Result<Known, ChartError> {
        if let Some(id) = id {
            return match writing.row(ChartKind::Message, id)? {
                Some(ChartBody::Message(message)) if message.handled == Handled::Done => Ok(Known::Done(message)),
                Some(ChartBody::Message(message)) => Ok(Known::Open(id.to_owned(), message)),
                _ => Err(ChartError::Unknown("message")),
            };
        }
        let since = writing.now().saturating_sub(millis(self.options.repeat));
        for row in writing.find(ChartKind::Message, Term::Control, &term::same(origin), SAME_MAX)? {
            let ChartBody::Message(message) = row.body else { continue };
            if message.origin != *origin {
                continue;
            }
            match message.handled {
                Handled::Done if message.at.max(message.handled_at) < since => {}
                Handled::Done => return Ok(Known::Done(message)),
                _ => return Ok(Known::Open(row.key.id, message)),
            }
        }
        let value = term::control(&origin.source, &origin.control);
        let newest = writing.find(ChartKind::Message, Term::Control, &value, 1)?;
        let reused = newest.iter().any(|row| match &row.body {
            ChartBody::Message(message) => {
                let Origin { source, sender, control, .. } = &message.origin;
                message.at >= since && (source, sender, control) == (&origin.source, &origin.sender, &origin.control)
            }
            _ => false,
        });
        Ok(Known::New { reused })
    }

    /// Does what a message asks for, or nothing of it; says what became of it and what was remarked.
    pub(super) fn handle(
        &self,
        writing: &mut Writing<'_>,
        asked: &Asked<'_>,
    ) -> Result<(Handled, Vec<String>), ChartError> {
        let handled = match self.in_turn(writing, asked) {
            Ok(()) => return Ok((Handled::Done, writing.take_remarks())),
            Err(ChartError::Unavailable(what)) => return Err(ChartError::Unavailable(what)),
            Err(ChartError::Waits(why)) => {
                let until = writing.now().saturating_add(millis(self.options.park));
                Handled::Parked { why, until }
            }
            Err(error) => Handled::Refused { why: error.to_string() },
        };
        writing.start_over();
        Ok((handled, Vec::new()))
    }
}

/// A message as it is kept: when it came first, and when it was handled.
fn kept(inbound: &Inbound, receipt: &Receipt, is_cut: bool, (at, handled_at): (u64, u64)) -> Message {
    let text = match is_cut {
        true => cut(&inbound.text).to_owned(),
        false => inbound.text.clone(),
    };
    let waiting = match (&receipt.handled, &inbound.changes) {
        (Handled::Parked { .. }, Ok(changes)) => changes.clone(),
        _ => Vec::new(),
    };
    Message {
        origin: inbound.origin.clone(),
        kind: inbound.kind.clone(),
        mrn: inbound.mrn.clone(),
        text,
        handled: receipt.handled.clone(),
        acknowledged: String::new(),
        remarks: receipt.remarks.clone(),
        at,
        handled_at,
        waiting,
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(CUT_AT);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// The numbers of patients that a message is about and may make known.
fn patients_of(message: &Inbound) -> impl Iterator<Item = &str> {
    // What is refused as it stands makes nobody known.
    let changes = message.changes.as_ref().ok();
    let own = changes.and(message.mrn.as_deref());
    own.into_iter().chain(changes.into_iter().flatten().filter_map(patient_of))
}

fn patient_of(change: &Change) -> Option<&str> {
    match change {
        Change::Patient(update) => Some(update.mrn.as_str()),
        Change::Merge { former, .. } | Change::Renumber { former, .. } => Some(former.as_str()),
        _ => None,
    }
}

/// A message that goes on waiting waits no longer than it was to.
fn since(before: &Handled, now: Handled) -> Handled {
    match (before, now) {
        (Handled::Parked { until, .. }, Handled::Parked { why, .. }) => Handled::Parked { why, until: *until },
        (_, now) => now,
    }
}

/// Does one change.
pub(super) fn apply(writing: &mut Writing<'_>, change: &Change, source: &str) -> Result<(), ChartError> {
    match change {
        Change::Patient(update) => patients::apply(writing, update),
        Change::Merge { survivor, former } => patients::merge(writing, survivor, former, source),
        Change::Renumber { former, number } => patients::renumber(writing, former, number, source),
        Change::MoveVisit { visit, mrn } => visits::hand_over(writing, visit, mrn),
        Change::Visit(update) => visits::apply(writing, update),
        Change::Order(update) => orders::apply(writing, update),
        Change::Report(report) => orders::report(writing, report),
    }
}

/// A number of ours for a message or a merge; later ones are greater.
pub(super) fn fresh_id(now: u64) -> Result<String, ChartError> {
    store::draw_pack_id(now).map(|id| id.to_string()).map_err(unavailable)
}

const fn name(handled: &Handled) -> &'static str {
    match handled {
        Handled::Done => "done",
        Handled::Parked { .. } => "parked",
        Handled::Refused { .. } => "refused",
    }
}

pub(super) fn count(result: &'static str) {
    metrics::counter!("khoanh_charts_messages_total", "result" => result).increment(1);
}
