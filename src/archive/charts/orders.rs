//! Orders: what becomes of one when a message speaks of it, and where results belong.
//!
//! An order is never rewritten silently: once it has ended, what is sent again is either the same or gets a remark.
//! Its own state follows its steps; a system that sends messages can only bring it forward.
//! Deliberately not here: messages and their fields, and how modalities move a step ([`super::performed`]).

mod details;
mod numbers;
mod results;
pub(super) mod states;

pub(super) use results::{by, preferred, report};

use super::ChartError;
use super::writing::Writing;
use model::chart::{ChartBody, ChartKey, ChartKind, Order, OrderAction, OrderState, OrderUpdate, Patient};
use states::Effect;

/// Merges that are followed from one number to the next.
pub(super) const HOPS_MAX: usize = super::opening::CHAIN_MAX;

/// Does what a message says of an order.
///
/// # Errors
/// [`ChartError::Waits`] for an order or a patient that is not known yet, [`ChartError::Conflict`] where doing it would
/// contradict what is recorded.
pub(super) fn apply(writing: &mut Writing<'_>, update: &OrderUpdate) -> Result<(), ChartError> {
    let key = ChartKey::new(ChartKind::Order, writing.facility(), &update.placer);
    let placer = key.map_err(|error| ChartError::Invalid(error.to_string()))?.id;
    let known = order(writing, &placer)?;
    match (states::decide(update.action, known.as_ref().map(|order| order.state)), known) {
        (Effect::Create, _) => create(writing, &placer, update),
        (Effect::Change, Some(order)) => change(writing, update, order),
        (Effect::Compare, Some(order)) => compare(writing, update, &order),
        (Effect::Begin, Some(mut order)) => {
            states::begin(&mut order);
            put(writing, order)
        }
        (Effect::End(state), Some(mut order)) => {
            states::end(&mut order, state);
            put(writing, order)
        }
        (Effect::Unbook, Some(mut order)) => {
            let (is_new, is_other) = states::unbook(&mut order, update.steps.first(), writing.utc_offset());
            if is_other {
                writing.remark("the appointment that is taken back is not the one of the order: that stays");
            }
            if is_new { put(writing, order) } else { Ok(()) }
        }
        (Effect::Nothing, Some(_)) => Ok(()),
        (Effect::Keep, Some(order)) => {
            writing.remark(format!("order {placer} is {} and stays so", order.state.name()));
            Ok(())
        }
        (Effect::Refuse, Some(order)) => {
            let wish = if update.action == OrderAction::Discontinue { "broken off" } else { "canceled" };
            Err(ChartError::Conflict(format!("order {placer} is {}: it cannot be {wish}", order.state.name())))
        }
        (Effect::Wait, _) | (_, None) => Err(ChartError::Waits("its order".into())),
    }
}

/// Two patients are one: orders keep the number they came with and are shown under the one that stays, so that undoing
/// the merge brings back exactly what was.
pub(super) fn moved(_: &mut Writing<'_>, _former: &str, _survivor: &str) -> Result<(), ChartError> {
    Ok(())
}

/// An order of the facility under way.
pub(super) fn order(writing: &Writing<'_>, placer: &str) -> Result<Option<Order>, ChartError> {
    Ok(match writing.row(ChartKind::Order, placer)? {
        Some(ChartBody::Order(order)) => Some(*order),
        _ => None,
    })
}

/// Records an order.
pub(super) fn put(writing: &mut Writing<'_>, order: Order) -> Result<(), ChartError> {
    let placer = order.placer.clone();
    writing.put(&placer, ChartBody::Order(Box::new(order)))
}

/// The patient a number stands for now: through merges, to the one that stays.
pub(super) fn holder(writing: &Writing<'_>, mrn: &str) -> Result<Option<Patient>, ChartError> {
    let mut mrn = mrn.trim().to_owned();
    for _ in 0..HOPS_MAX {
        // What a console wrote may be no number at all.
        if ChartKey::new(ChartKind::Patient, writing.facility(), &mrn).is_err() {
            break;
        }
        let Some(ChartBody::Patient(patient)) = writing.row(ChartKind::Patient, &mrn)? else { break };
        match patient.merged_into.clone() {
            Some(next) => mrn = next,
            None => return Ok(Some(*patient)),
        }
    }
    Ok(None)
}

/// Whether two numbers are one patient's.
pub(super) fn is_same(writing: &Writing<'_>, one: &str, two: &str) -> Result<bool, ChartError> {
    if one.trim() == two.trim() {
        return Ok(true);
    }
    let (one, two) = (holder(writing, one)?, holder(writing, two)?);
    Ok(matches!((one, two), (Some(one), Some(two)) if one.mrn == two.mrn))
}

fn create(writing: &mut Writing<'_>, placer: &str, update: &OrderUpdate) -> Result<(), ChartError> {
    let mrn = update.mrn.as_deref().map(str::trim).filter(|mrn| !mrn.is_empty());
    let mrn = mrn.ok_or_else(|| ChartError::Invalid(format!("order {placer} is new and names no patient")))?;
    if holder(writing, mrn)?.is_none() {
        return Err(ChartError::Waits("its patient".into()));
    }
    let (accession, sent_accession) = numbers::accession(writing, placer, update.accession.as_deref())?;
    let mut order = Order {
        placer: placer.to_owned(),
        filler: String::new(),
        mrn: mrn.to_owned(),
        visit: String::new(),
        accession,
        sent_accession,
        study: match &update.study {
            Some(study) => study.clone(),
            None => numbers::fresh_uid(writing.now())?,
        },
        procedure_id: String::new(),
        procedure: String::new(),
        procedure_code: None,
        requesting: String::new(),
        service: String::new(),
        referring: String::new(),
        priority: model::chart::Priority::default(),
        location: String::new(),
        reason: String::new(),
        patient_state: String::new(),
        weight: String::new(),
        alerts: String::new(),
        pregnancy: None,
        steps: Vec::new(),
        state: OrderState::Scheduled,
        placed: writing.now(),
        images: None,
        complete: None,
        course: model::chart::Course::default(),
    };
    details::fill(&mut order, update);
    let remarks = details::steps(&mut order, update, writing.now(), writing.utc_offset())?;
    remarks.into_iter().for_each(|remark| writing.remark(remark));
    put(writing, order)
}

/// What an update would make of an order, and remarks.
fn changed(writing: &Writing<'_>, update: &OrderUpdate, order: &Order) -> Result<(Order, Vec<String>), ChartError> {
    let mrn = update.mrn.as_deref().map_or("", str::trim);
    if !mrn.is_empty() && !is_same(writing, mrn, &order.mrn)? {
        if holder(writing, mrn)?.is_none() {
            return Err(ChartError::Waits("its patient".into()));
        }
        return Err(ChartError::Conflict(format!("order {} is another patient's", order.placer)));
    }
    let mut after = order.clone();
    let mut remarks = numbers::change(writing, update, &mut after)?;
    details::fill(&mut after, update);
    remarks.extend(details::steps(&mut after, update, writing.now(), writing.utc_offset())?);
    Ok((after, remarks))
}

fn change(writing: &mut Writing<'_>, update: &OrderUpdate, order: Order) -> Result<(), ChartError> {
    let (after, remarks) = changed(writing, update, &order)?;
    remarks.into_iter().for_each(|remark| writing.remark(remark));
    if after == order {
        return Ok(());
    }
    if update.action == OrderAction::New {
        writing.remark(format!("order {} was known: what differs was taken as a change", order.placer));
    }
    put(writing, after)
}

/// An order that has ended is only compared.
fn compare(writing: &mut Writing<'_>, update: &OrderUpdate, order: &Order) -> Result<(), ChartError> {
    let (after, remarks) = changed(writing, update, order)?;
    if after != *order || !remarks.is_empty() {
        let state = order.state.name();
        writing.remark(format!("order {} is {state}: what differs was not taken", order.placer));
    }
    Ok(())
}
