//! What an order says beside its numbers and its state.

use super::numbers::is_short;
use crate::charts::{ChartError, times};
use model::chart::{Order, OrderState, OrderUpdate, Step, StepUpdate};

/// Most scheduled procedure steps of an order.
const STEPS_MAX: usize = 64;
/// Bytes of an Accession Number that a default step id keeps before its own number.
const STEM_MAX: usize = 13;

/// Takes every value an update says.
pub(super) fn fill(order: &mut Order, update: &OrderUpdate) {
    fn take<T: Clone>(field: &mut T, said: Option<&T>) {
        if let Some(said) = said {
            field.clone_from(said);
        }
    }
    take(&mut order.filler, update.filler.as_ref());
    take(&mut order.visit, update.visit.as_ref());
    take(&mut order.procedure_id, update.procedure_id.as_ref());
    take(&mut order.procedure, update.procedure.as_ref());
    take(&mut order.requesting, update.requesting.as_ref());
    take(&mut order.service, update.service.as_ref());
    take(&mut order.referring, update.referring.as_ref());
    take(&mut order.priority, update.priority.as_ref());
    take(&mut order.location, update.location.as_ref());
    take(&mut order.reason, update.reason.as_ref());
    take(&mut order.patient_state, update.patient_state.as_ref());
    take(&mut order.weight, update.weight.as_ref());
    take(&mut order.alerts, update.alerts.as_ref());
    if update.procedure_code.is_some() {
        order.procedure_code.clone_from(&update.procedure_code);
    }
    if update.pregnancy.is_some() {
        order.pregnancy = update.pregnancy;
    }
}

/// Takes the steps an update says; a new order gets one in any case. Gives remarks.
///
/// # Errors
/// [`ChartError::Limit`] when there are too many.
pub(super) fn steps(
    order: &mut Order,
    update: &OrderUpdate,
    now: u64,
    utc_offset: i8,
) -> Result<Vec<String>, ChartError> {
    let mut remarks = Vec::new();
    let alone = [StepUpdate::default()];
    let said = if update.steps.is_empty() && order.steps.is_empty() { &alone[..] } else { update.steps.as_slice() };
    for (number, said) in said.iter().enumerate() {
        let id = said.id.trim();
        if !id.is_empty() && !is_short(id) {
            remarks.push(format!("order {}: a step's number was not one to 16 characters", order.placer));
        }
        let id = if is_short(id) { id.to_owned() } else { default_id(&order.accession, number) };
        let at = place(order, update.steps.len(), said, &id);
        let known = at.and_then(|at| order.steps.get(at));
        let mut step = known.cloned().unwrap_or_else(|| fresh(&id, now, utc_offset));
        let ended = !step.state.is_open();
        if step.state == OrderState::Scheduled && is_short(said.id.trim()) {
            step.id = id;
        }
        if let Some(remark) = take(&mut step, said, utc_offset) {
            remarks.push(format!("order {}: {remark}", order.placer));
        }
        if at.is_none() && order.steps.len() >= STEPS_MAX {
            return Err(ChartError::Limit(format!("an order has at most {STEPS_MAX} steps")));
        }
        let known = match at {
            Some(at) => order.steps.get_mut(at),
            None => None,
        };
        match known {
            Some(known) if ended && *known != step => {
                remarks.push(format!("order {}: a step has ended, what differs was not taken", order.placer));
            }
            Some(known) => *known = step,
            None => order.steps.push(step),
        }
    }
    Ok(remarks)
}

/// Where the step lies that is spoken of: by its number; the only one, when none is named or it was named by us.
fn place(order: &Order, spoken_of: usize, said: &StepUpdate, id: &str) -> Option<usize> {
    let by_id = order.steps.iter().position(|step| step.id == id);
    let only = || match order.steps.as_slice() {
        [step] if spoken_of == 1 => {
            let nameless = !is_short(said.id.trim());
            let ours = step.id == default_id(&order.accession, 0) && step.state == OrderState::Scheduled;
            (nameless || ours).then_some(0)
        }
        _ => None,
    };
    by_id.or_else(only)
}

/// Scheduled Procedure Step ID where none was sent: the Accession Number, so that a console that gives it back names the
/// order too.
fn default_id(accession: &str, number: usize) -> String {
    if number == 0 {
        return accession.to_owned();
    }
    let mut end = accession.len().min(STEM_MAX);
    while !accession.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    format!("{}.{}", accession.get(..end).unwrap_or_default(), number.saturating_add(1))
}

/// A step of which nothing is known but that it came.
fn fresh(id: &str, now: u64, utc_offset: i8) -> Step {
    let (date, time) = times::shown(now, utc_offset);
    Step { id: id.to_owned(), date, time, start: now / 1000 * 1000, ..Step::default() }
}

/// Takes every value that is said; a remark where one is none.
fn take(step: &mut Step, said: &StepUpdate, utc_offset: i8) -> Option<&'static str> {
    let text = |field: &mut String, said: &Option<String>| {
        if let Some(said) = said {
            field.clone_from(said);
        }
    };
    text(&mut step.modality, &said.modality);
    text(&mut step.station_name, &said.station_name);
    text(&mut step.location, &said.location);
    text(&mut step.performing, &said.performing);
    text(&mut step.description, &said.description);
    if let Some(station) = &said.station {
        step.station.clone_from(station);
    }
    if let Some(protocol) = &said.protocol {
        step.protocol.clone_from(protocol);
    }
    if let Some(appointment) = &said.appointment {
        step.appointment.clone_from(appointment);
    }
    let (date, time) = said.start.as_ref()?;
    match times::moment(date, time, utc_offset) {
        Some(told) => {
            (step.date, step.time, step.start) = told;
            step.unbooked = false;
            None
        }
        None => Some("a step's start is no date and time, it stays as it was"),
    }
}
