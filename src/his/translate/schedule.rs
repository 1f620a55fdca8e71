//! SIU^S12 to S15: when a step begins, of an order that is found by its placer's or filler's number, and that nobody is
//! expected for it any more.

use super::order::{about, start};
use super::{Context, Scope};
use crate::hl7::values::{location, physician, words};
use crate::hl7::{Fault, Place, Segment};
use model::chart::{Appointment, Change, OrderAction, OrderUpdate, StepUpdate};

/// Where the start of an appointment stands, by version.
const STARTS: [&str; 4] = ["TQ1-7", "SCH-11.4", "AIS-4", "AIG-8"];

pub(super) fn changes(context: &Context<'_>, trigger: &str) -> Result<Vec<Change>, Fault> {
    let scope = Scope { own: context.message.segments(), head: &[] };
    let sch = scope.first("SCH").ok_or_else(|| Fault::sequence("SCH", "the segment SCH is missing"))?;
    let (mut changes, mrn) = about(context, scope)?;
    let (placer, filler) = (sch.field(26).component(1).text(), sch.field(27).component(1).text());
    if placer.is_empty() && filler.is_empty() {
        return Err(Fault::missing(
            "SCH",
            26,
            "the order's number is needed: the placer's in SCH-26 or the filler's in SCH-27",
        ));
    }
    let action = if trigger == "S15" { OrderAction::Unbook } else { OrderAction::Change };
    let mut update = OrderUpdate::new(action, placer);
    update.filler = Some(filler).filter(|filler| !filler.is_empty());
    update.mrn = mrn;
    let number = |field: usize| sch.field(field).component(1).text();
    let appointment = Some(Appointment { placer: number(1), filler: number(2) }).filter(|one| !one.is_unknown());
    let places = STARTS.iter().filter_map(|place| place.parse::<Place>().ok()).collect::<Vec<_>>();
    let mut step = StepUpdate { start: start(context, scope.value(&places)), appointment, ..StepUpdate::default() };
    if action == OrderAction::Unbook {
        // Which one: it may come before its order, and that with another.
        update.steps.extend(Some(step).filter(|step| step.start.is_some() || step.appointment.is_some()));
        context.remark("the appointment was taken back, its order stays: cancel it by an order message");
        changes.push(Change::Order(Box::new(update)));
        return Ok(changes);
    }
    resources(context, scope, &mut step);
    if step.start.is_none() {
        return Err(Fault::missing("TQ1", 7, "the start is needed: TQ1-7, SCH-11.4 or AIS-4"));
    }
    update.steps = vec![step];
    changes.push(Change::Order(Box::new(update)));
    Ok(changes)
}

/// Room, console and person of the appointment.
fn resources(context: &Context<'_>, scope: Scope<'_, '_>, step: &mut StepUpdate) {
    let first = |name: &str, field: usize| scope.first(name).map(|segment: Segment<'_>| segment.field(field));
    step.location = first("AIL", 3).and_then(|piece| piece.repetitions().next().and_then(location));
    step.performing = first("AIP", 3).and_then(|piece| piece.repetitions().next().and_then(physician));
    let resource = first("AIG", 3).and_then(words);
    let rooms = [step.location.clone(), first("AIL", 3).map(|piece| piece.component(2).text()), resource];
    step.station = rooms.into_iter().flatten().find_map(|room| context.map.room(&room)).map(Some);
}
