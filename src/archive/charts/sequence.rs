//! Messages about one order, visit or result have their effects in the order they came in, also while one of them waits.
//!
//! A message that comes while an earlier one about the same waits is not done before it, if that is there already; what
//! comes to be by the new message is what the earlier one may wait for. What the new one says of patients is done first,
//! then what waits and can be done now, then the rest, all in one change.
//! Deliberately not here: how long a message waits, and when it is tried.

use super::parked::end;
use super::receive::apply;
use super::writing::Writing;
use super::{ChartError, Charts};
use model::chart::{Change, ChartBody, ChartKind, ChartRow, Handled, Message};
use model::{FacilityCode, Lsn};
use std::collections::{BTreeMap, BTreeSet};

/// Earlier messages that are looked at for one that comes, the first ones.
const EARLIER_MAX: usize = 64;
/// Most bytes of earlier messages that are done in the change of one that comes.
const RELEASED_BYTES: usize = 2 << 20;

/// An order, visit or result.
pub(super) type Subject = (ChartKind, String);
/// When a message came, and its id.
pub(super) type Place = (u64, String);

/// What a message asks for, and where it stands among the others.
pub(super) struct Asked<'a> {
    pub(super) changes: &'a [Change],
    /// Name of its source.
    pub(super) source: &'a str,
    /// Its place among those that wait; none: behind them all.
    pub(super) place: Option<Place>,
    /// The record it came with, when it waited; none: it comes now.
    pub(super) came: Option<Lsn>,
}

/// An earlier message.
struct Earlier {
    id: String,
    /// It is about something that is there already: what comes later is not done before it.
    stands_before: bool,
}

/// What changes are about. Patients are not among it, nor is the visit of an order: every message repeats what it knows
/// of them.
pub(super) fn subjects(changes: &[Change]) -> BTreeSet<Subject> {
    let with_visits = !is_about_orders(changes);
    let subject = |change: &Change| {
        let (kind, id) = match change {
            Change::Order(update) => (ChartKind::Order, &update.placer),
            Change::Report(report) => (ChartKind::Report, &report.number),
            Change::Visit(update) if with_visits => (ChartKind::Visit, &update.number),
            Change::MoveVisit { visit, .. } => (ChartKind::Visit, visit),
            _ => return None,
        };
        Some((kind, id.trim().to_owned()))
    };
    changes.iter().filter_map(subject).collect()
}

fn is_about_orders(changes: &[Change]) -> bool {
    changes.iter().any(|change| matches!(change, Change::Order(_) | Change::Report(_)))
}

/// A message that waits, of a row.
fn waiting(row: &ChartRow) -> Option<&Message> {
    match &row.body {
        ChartBody::Message(message) if matches!(message.handled, Handled::Parked { .. }) => Some(message),
        _ => None,
    }
}

impl Asked<'_> {
    /// Does one change. Of what a message says beside what it is about, nothing is taken that was said anew since it came.
    fn apply(&self, writing: &mut Writing<'_>, change: &Change) -> Result<(), ChartError> {
        let beside = match change {
            Change::Patient(update) if self.changes.len() > 1 => Some((ChartKind::Patient, &update.mrn)),
            Change::Visit(update) if is_about_orders(self.changes) => Some((ChartKind::Visit, &update.number)),
            _ => None,
        };
        let (Some((kind, id)), Some(came)) = (beside, self.came) else { return apply(writing, change, self.source) };
        if !writing.is_newer(kind, id, came)? {
            return apply(writing, change, self.source);
        }
        let before = writing.mark();
        let tried = apply(writing, change, self.source);
        let differs = tried.is_err() || writing.differs(&before);
        writing.back_to(before);
        match tried {
            Err(ChartError::Unavailable(what)) => Err(ChartError::Unavailable(what)),
            _ => {
                if differs {
                    writing.remark("patient or visit were told anew while the message waited: that stays");
                }
                Ok(())
            }
        }
    }
}

impl Charts {
    /// Does what a message asks for in its turn.
    ///
    /// # Errors
    /// [`ChartError::Waits`] where its turn has not come; else those of what it asks for.
    pub(super) fn in_turn(&self, writing: &mut Writing<'_>, asked: &Asked<'_>) -> Result<(), ChartError> {
        let mut earlier = self.earlier(writing, asked)?;
        // What is said of patients may be what the others wait for.
        let (mut patients, mut rest) = (Vec::new(), Vec::new());
        for change in asked.changes {
            let first = rest.is_empty() && matches!(change, Change::Patient(_));
            if first { patients.push(change) } else { rest.push(change) }
        }
        patients.into_iter().try_for_each(|change| asked.apply(writing, change))?;
        self.let_go(writing, &mut earlier)?;
        rest.into_iter().try_for_each(|change| asked.apply(writing, change))?;
        self.let_go(writing, &mut earlier)?;
        stand_behind(&earlier)
    }

    /// Does what can be done now of messages that wait; those that still wait stay in the list.
    fn let_go(&self, writing: &mut Writing<'_>, earlier: &mut Vec<Earlier>) -> Result<(), ChartError> {
        let (mut still, mut bytes) = (Vec::new(), 0usize);
        let said = writing.take_remarks();
        for one in earlier.drain(..) {
            let Some(ChartBody::Message(message)) = writing.row(ChartKind::Message, &one.id)? else { continue };
            bytes = bytes.saturating_add(message.text.len());
            if bytes > RELEASED_BYTES || !self.let_one_go(writing, &one.id, &message)? {
                still.push(one);
            }
        }
        *earlier = still;
        writing.take_remarks();
        said.into_iter().for_each(|remark| writing.remark(remark));
        Ok(())
    }

    /// Does a message that waits, if it can be done now; whether it waits no longer.
    fn let_one_go(&self, writing: &mut Writing<'_>, id: &str, message: &Message) -> Result<bool, ChartError> {
        let before = writing.mark();
        let place = Some((message.at, id.to_owned()));
        let came = writing.created(ChartKind::Message, id)?;
        let asked = Asked { changes: &message.waiting, source: &message.origin.source, place, came };
        let tried = match self.earlier(writing, &asked) {
            Ok(others) => stand_behind(&others)
                .and_then(|()| asked.changes.iter().try_for_each(|change| asked.apply(writing, change))),
            Err(error) => Err(error),
        };
        let said = writing.take_remarks();
        let handled = match tried {
            Ok(()) => Handled::Done,
            Err(ChartError::Unavailable(what)) => return Err(ChartError::Unavailable(what)),
            Err(ChartError::Waits(_)) => {
                writing.back_to(before);
                return Ok(false);
            }
            Err(error) => {
                writing.back_to(before);
                Handled::Refused { why: error.to_string() }
            }
        };
        end(writing, id, handled, said)?;
        Ok(true)
    }

    /// Messages that wait, came before, and are about the same; the first of them.
    fn earlier(&self, writing: &Writing<'_>, asked: &Asked<'_>) -> Result<Vec<Earlier>, ChartError> {
        let (facility, mut found) = (writing.facility(), BTreeMap::<Place, bool>::new());
        for subject in subjects(asked.changes) {
            let mut places = self.parked.lock().about(facility, &subject);
            places.extend(self.just_parked(facility, &subject));
            places.retain(|place| asked.place.as_ref().is_none_or(|own| place < own));
            if places.is_empty() {
                continue;
            }
            let is_there = match writing.row(subject.0, &subject.1) {
                Err(ChartError::Unavailable(what)) => return Err(ChartError::Unavailable(what)),
                // What is no number names nothing that is there.
                answer => answer.is_ok_and(|row| row.is_some()),
            };
            for place in places {
                *found.entry(place).or_default() |= is_there;
            }
        }
        let mut earlier = Vec::new();
        for ((_, id), stands_before) in found.into_iter().take(EARLIER_MAX) {
            // It may have been done in this change, or in one that nobody was told of yet.
            let Some(ChartBody::Message(message)) = writing.row(ChartKind::Message, &id)? else { continue };
            if matches!(message.handled, Handled::Parked { .. }) {
                earlier.push(Earlier { id, stands_before });
            }
        }
        Ok(earlier)
    }

    /// Messages about something that wait, recorded but not in the list of those that wait yet.
    fn just_parked(&self, facility: FacilityCode, subject: &Subject) -> BTreeSet<Place> {
        let unsettled = self.unsettled.lock();
        let rows = unsettled.rows().filter(|row| row.key.facility == facility);
        let about = rows.filter(|row| waiting(row).is_some_and(|message| subjects(&message.waiting).contains(subject)));
        about.map(|row| (row.body.moment(), row.key.id.clone())).collect()
    }
}

/// Refuses to go before messages that stand before.
fn stand_behind(earlier: &[Earlier]) -> Result<(), ChartError> {
    if earlier.iter().any(|one| one.stands_before) {
        return Err(ChartError::Waits("an earlier message about the same order, visit or result".into()));
    }
    Ok(())
}
