//! Messages: known again, handled whole or not at all, parked while they wait for what they refer to.
//!
//! What a message does and the message itself are one record, so that whoever repeats it after a kill gets the answer of
//! the first time. Deliberately not here: how a message is parsed and answered.

use super::writing::Writing;
use super::{ChartError, Charts, Receipt, orders, patients, visits};
use model::FacilityCode;
use model::chart::{Change, ChartBody, ChartKind, Handled, Inbound, Message, Origin, Term, term};
use std::time::Duration;

/// Messages under one control id that are looked at to know one again.
const SAME_CONTROL_MAX: usize = 64;
/// Parked messages tried in one round.
const ROUND: usize = 1_000;

/// A message that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parked {
    pub(super) at: u64,
    pub(super) until: u64,
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

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Charts {
    /// Takes a message: its effects and the message itself are durable on return. The same origin and digest within a
    /// week (`charts.repeat_days`) gives the same receipt and no second effect; the same control id with other content is
    /// another message, with a remark.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] and [`ChartError::Limit`]: nothing was recorded, the sender has to send it again. All
    /// else is in the receipt.
    pub fn receive(&self, facility: FacilityCode, message: Inbound) -> Result<Receipt, ChartError> {
        let receipt = self.write(facility, |writing| self.take(writing, message))?;
        if receipt.repeated {
            count("repeated");
        } else {
            count(name(&receipt.handled));
            self.stir(facility, &receipt.handled);
        }
        Ok(receipt)
    }

    /// Something was done: what waits may go on.
    fn stir(&self, facility: FacilityCode, handled: &Handled) {
        if *handled == Handled::Done && !self.parked.lock().is_empty() {
            self.stirred.lock().insert(facility);
        }
    }

    fn take(&self, writing: &mut Writing<'_>, inbound: Inbound) -> Result<Receipt, ChartError> {
        let Inbound { origin, kind, mrn, text, changes, remarks } = inbound;
        let (earlier, reused) = match self.known(writing, &origin)? {
            Known::Done(message) => {
                return Ok(Receipt { handled: message.handled, repeated: true, remarks: message.remarks });
            }
            Known::Open(id, message) => (Some((id, message)), false),
            Known::New { reused } => (None, reused),
        };
        let (handled, found) = match &changes {
            Ok(changes) => self.handle(writing, changes, &origin.source)?,
            Err(why) => (Handled::Refused { why: why.clone() }, Vec::new()),
        };
        let mut said = remarks;
        said.extend(found);
        if reused {
            said.push("the message control id was used before for another message".into());
        }
        let now = writing.now();
        let (id, at, handled) = match earlier {
            Some((id, before)) => {
                let handled = since(&before.handled, handled);
                if before.handled == handled && before.remarks == said {
                    return Ok(Receipt { handled, repeated: true, remarks: said });
                }
                (id, before.at, handled)
            }
            None => (fresh_id(now)?, now, handled),
        };
        let waiting = match &handled {
            Handled::Parked { .. } => changes.unwrap_or_default(),
            _ => Vec::new(),
        };
        let acknowledged = if matches!(handled, Handled::Refused { .. }) { "AE" } else { "AA" }.to_owned();
        let (receipt, remarks) = (Receipt { handled: handled.clone(), repeated: false, remarks: said.clone() }, said);
        let message = Message { origin, kind, mrn, text, handled, acknowledged, remarks, at, waiting };
        writing.put(&id, ChartBody::Message(Box::new(message)))?;
        Ok(receipt)
    }

    /// Whether a message came before, within the time in which messages are known again.
    fn known(&self, writing: &Writing<'_>, origin: &Origin) -> Result<Known, ChartError> {
        let since = writing.now().saturating_sub(millis(self.options.repeat));
        let value = term::control(&origin.source, &origin.control);
        let mut reused = false;
        for row in writing.find(ChartKind::Message, Term::Control, &value, SAME_CONTROL_MAX)? {
            let ChartBody::Message(message) = row.body else { continue };
            let of = &message.origin;
            let same = (&of.source, &of.sender, &of.control) == (&origin.source, &origin.sender, &origin.control);
            if !same || message.at < since {
                continue;
            }
            if of.digest != origin.digest {
                reused = true;
                continue;
            }
            return Ok(match message.handled {
                Handled::Done => Known::Done(message),
                _ => Known::Open(row.key.id, message),
            });
        }
        Ok(Known::New { reused })
    }

    /// Does what a message asks for, or nothing of it; says what became of it and what was remarked.
    fn handle(
        &self,
        writing: &mut Writing<'_>,
        changes: &[Change],
        source: &str,
    ) -> Result<(Handled, Vec<String>), ChartError> {
        let done = changes.iter().try_for_each(|change| apply(writing, change, source));
        let handled = match done {
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

    /// Tries what waits: in facilities where something was done, and where its time is over. Gives how many were tried.
    pub(super) fn try_parked(&self) -> usize {
        let stirred = std::mem::take(&mut *self.stirred.lock());
        let now = self.now_ms();
        let mut due: Vec<(u64, FacilityCode, String)> = {
            let parked = self.parked.lock();
            let is_due = |facility: &FacilityCode, one: &Parked| stirred.contains(facility) || one.until <= now;
            let due = parked.iter().filter(|((facility, _), one)| is_due(facility, one));
            due.map(|((facility, id), one)| (one.at, *facility, id.clone())).collect()
        };
        // In the order they came in.
        due.sort_unstable();
        if due.len() > ROUND {
            self.stirred.lock().extend(stirred);
        }
        due.truncate(ROUND);
        for (_, facility, id) in &due {
            match self.write(*facility, |writing| self.retry(writing, id)) {
                Ok(Some(handled)) => {
                    count(if handled == Handled::Done { "released" } else { "expired" });
                    self.stir(*facility, &handled);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%facility, message = %id, %error, "messages that wait cannot be tried now");
                    self.stirred.lock().insert(*facility);
                    break;
                }
            }
        }
        due.len()
    }

    /// Tries a message that waits; says what became of it if it waits no longer.
    fn retry(&self, writing: &mut Writing<'_>, id: &str) -> Result<Option<Handled>, ChartError> {
        let Some(ChartBody::Message(mut message)) = writing.row(ChartKind::Message, id)? else { return Ok(None) };
        let Handled::Parked { why, until } = &message.handled else { return Ok(None) };
        let (handled, said) = self.handle(writing, &message.waiting, &message.origin.source)?;
        message.handled = match handled {
            Handled::Parked { .. } if writing.now() < *until => return Ok(None),
            Handled::Parked { .. } => Handled::Refused { why: format!("waited in vain for {why}") },
            handled => handled,
        };
        message.remarks.extend(said);
        message.waiting.clear();
        let handled = message.handled.clone();
        writing.put(id, ChartBody::Message(message))?;
        Ok(Some(handled))
    }
}

/// A message that goes on waiting waits no longer than it was to.
fn since(before: &Handled, now: Handled) -> Handled {
    match (before, now) {
        (Handled::Parked { until, .. }, Handled::Parked { why, .. }) => Handled::Parked { why, until: *until },
        (_, now) => now,
    }
}

fn apply(writing: &mut Writing<'_>, change: &Change, source: &str) -> Result<(), ChartError> {
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
    store::draw_pack_id(now).map(|id| id.to_string()).map_err(super::journal::unavailable)
}

const fn name(handled: &Handled) -> &'static str {
    match handled {
        Handled::Done => "done",
        Handled::Parked { .. } => "parked",
        Handled::Refused { .. } => "refused",
    }
}

fn count(result: &'static str) {
    metrics::counter!("khoanh_charts_messages_total", "result" => result).increment(1);
}
