//! ORM^O01, OMI^O23, OMG^O19: orders and their scheduled steps, as vietnam.md table 4.4 has them.
//!
//! Groups with the same placer order number are one order with several steps, as the IHE profile sends them.

use super::groups::{Begin, groups};
use super::patient::{self, pregnant, referring};
use super::{Context, Scope};
use crate::hl7::values::{Moment, code, kilograms, performer, physician, words};
use crate::hl7::{Fault, Place, Segment};
use model::chart::{Change, Code, OrderAction, OrderState, OrderUpdate, Priority, StepUpdate};
use model::{AeTitle, Uid};

/// Pregnancy Status (0010,21C0): definitely pregnant, not pregnant.
const PREGNANT: u16 = 3;
const NOT_PREGNANT: u16 = 1;

pub(super) fn changes(context: &Context<'_>) -> Result<Vec<Change>, Fault> {
    let groups = groups(context.message, Begin::Order);
    let first = groups.first().copied().ok_or_else(|| Fault::sequence("ORC", "the segment ORC is missing"))?;
    let (mut changes, mrn) = about(context, first)?;
    let mut orders: Vec<OrderUpdate> = Vec::new();
    for (index, scope) in groups.into_iter().enumerate() {
        let update = order(context, scope, index + 1, mrn.as_deref())?;
        match orders.iter_mut().find(|known| known.placer == update.placer && known.action == update.action) {
            Some(known) => together(known, update, index + 1)?,
            None => orders.push(update),
        }
    }
    changes.extend(orders.into_iter().map(|order| Change::Order(Box::new(order))));
    Ok(changes)
}

/// What the message says of patient and visit, and the patient's number.
pub(super) fn about(context: &Context<'_>, scope: Scope<'_, '_>) -> Result<(Vec<Change>, Option<String>), Fault> {
    let Some(pid) = context.only_pid()? else { return Ok((Vec::new(), None)) };
    let patient = patient::patient(context, &pid, 1, scope)?;
    let mrn = patient.mrn.clone();
    let visit = patient::visit(context, &mrn, scope).map(Change::Visit);
    Ok(([Change::Patient(patient)].into_iter().chain(visit).collect(), Some(mrn)))
}

/// A further group of an order that is known already: its steps belong to it.
fn together(known: &mut OrderUpdate, update: OrderUpdate, sequence: usize) -> Result<(), Fault> {
    if known.study.is_some() && update.study.is_some() && known.study != update.study {
        return Err(disagree().of(sequence));
    }
    known.study = known.study.take().or(update.study);
    known.accession = known.accession.take().or(update.accession);
    for step in update.steps {
        if known.steps.iter().any(|other| other.id == step.id) {
            return Err(Fault::value("OBR", 20, "two steps of one order have the same id, or none").of(sequence));
        }
        known.steps.push(step);
    }
    Ok(())
}

fn disagree() -> Fault {
    Fault::value("OBR", 0, "IPC-3, ZDS-1 and OBX name different Study Instance UIDs")
}

fn order(
    context: &Context<'_>,
    scope: Scope<'_, '_>,
    sequence: usize,
    mrn: Option<&str>,
) -> Result<OrderUpdate, Fault> {
    let (map, obr, orc) = (&context.map.order, scope.first("OBR"), scope.first("ORC"));
    let missing = || Fault::missing("ORC", 2, "the placer order number is needed").of(sequence);
    let placer = scope.value(&map.placer).ok_or_else(missing)?;
    let mut update = OrderUpdate::new(action(context, scope, sequence)?, placer);
    update.filler = scope.value(&map.filler);
    update.mrn = mrn.map(str::to_owned);
    update.visit = patient::visit_number(context, scope);
    update.accession = scope.value(&map.accession);
    update.study = study(context, scope, sequence)?;
    update.procedure_id = scope.value(&map.procedure_id);
    (update.procedure, update.procedure_code) = procedure(obr);
    let orderer = |segment: Option<Segment<'_>>, field: usize| {
        segment.and_then(|segment| segment.field(field).repetitions().next().and_then(physician))
    };
    update.requesting = orderer(orc, 12).or_else(|| orderer(obr, 16));
    update.service = orc.and_then(|orc| words(orc.field(17)));
    update.referring = referring(scope);
    update.priority = scope.value(&map.priority).map(|code| Priority::of_hl7(&code));
    update.location = patient::place(scope);
    update.reason = scope.value(&map.reason);
    update.patient_state = state_of_patient(context, scope);
    update.weight = weight(context, scope);
    update.alerts = scope.value(&map.alerts);
    update.pregnancy = pregnant(scope).map(|pregnant| if pregnant { PREGNANT } else { NOT_PREGNANT });
    if !matches!(update.action, OrderAction::Cancel | OrderAction::Discontinue | OrderAction::Status(_)) {
        update.steps = steps(context, scope, sequence)?;
    }
    if update.action == OrderAction::New {
        let described = described(obr).or_else(|| update.procedure.clone());
        let nameless = |step: &&mut StepUpdate| step.description.as_deref().unwrap_or_default().is_empty();
        update.steps.iter_mut().filter(nameless).for_each(|step| step.description.clone_from(&described));
    }
    Ok(update)
}

/// ORC-1, with ORC-5 where it asks for a state.
fn action(context: &Context<'_>, scope: Scope<'_, '_>, sequence: usize) -> Result<OrderAction, Fault> {
    let field = |number: usize| scope.first("ORC").map(|orc| orc.field(number).component(1).text()).unwrap_or_default();
    Ok(match field(1).to_ascii_uppercase().as_str() {
        "" => {
            context.remark("an order that does not say what happens to it (ORC-1) is taken for a new one");
            OrderAction::New
        }
        "NW" | "CH" => OrderAction::New,
        "XO" | "XX" | "PA" | "RP" | "NA" => OrderAction::Change,
        "CA" | "OC" => OrderAction::Cancel,
        "DC" | "OD" => OrderAction::Discontinue,
        "SC" | "SR" => OrderAction::Status(
            state(&field(5))
                .ok_or_else(|| Fault::value("ORC", 5, "a state is one of SC, IP, CM, CA, DC, A").of(sequence))?,
        ),
        "SN" => {
            let text = "order numbers are given by the placer: send NW with a number in ORC-2";
            return Err(Fault::value("ORC", 1, text).of(sequence));
        }
        _ => return Err(Fault::value("ORC", 1, "none of NW, XO, XX, CA, DC, SC").of(sequence)),
    })
}

fn state(code: &str) -> Option<OrderState> {
    Some(match code.to_ascii_uppercase().as_str() {
        "SC" => OrderState::Scheduled,
        "IP" | "A" => OrderState::InProgress,
        "CM" => OrderState::Completed,
        "CA" => OrderState::Canceled,
        "DC" => OrderState::Discontinued,
        _ => return None,
    })
}

/// The Study Instance UID: of the places of the map, then of OBX; all that are there must agree.
pub(super) fn study(context: &Context<'_>, scope: Scope<'_, '_>, sequence: usize) -> Result<Option<Uid>, Fault> {
    let mut found: Option<Uid> = None;
    let named = context.map.order.study.iter().flat_map(|place| {
        // Every IPC of an order names the study.
        let own = scope.own.iter().flat_map(|segment| place.values(segment)).collect::<Vec<_>>();
        own.into_iter().map(move |value| (place.segment.clone(), place.field, value))
    });
    let observed = observed(context, scope).into_iter().map(|value| ("OBX".to_owned(), 5, value));
    for (segment, field, value) in named.chain(observed) {
        let form = |_| Fault::form(&segment, field, "a Study Instance UID has digits and dots").of(sequence);
        let uid = Uid::parse(&value).map_err(form)?;
        match &found {
            Some(known) if *known != uid => return Err(disagree().of(sequence)),
            _ => found = Some(uid),
        }
    }
    Ok(found)
}

/// Values of the OBX whose code means the Study Instance UID.
fn observed(context: &Context<'_>, scope: Scope<'_, '_>) -> Vec<String> {
    let observations = scope.own.iter().filter(|segment| segment.name() == "OBX" && is_study(context, segment));
    observations.map(|obx| obx.field(5).component(1).text()).filter(|uid| !uid.is_empty()).collect()
}

/// Whether an OBX names the study.
pub(super) fn is_study(context: &Context<'_>, obx: &Segment<'_>) -> bool {
    context.map.result.study_codes.contains(&obx.field(3).component(1).text())
}

/// Requested procedure: OBR-44, else OBR-4.
fn procedure(obr: Option<Segment<'_>>) -> (Option<String>, Option<Code>) {
    let Some(obr) = obr else { return (None, None) };
    let field = if obr.field(44).is_empty() { obr.field(4) } else { obr.field(44) };
    (words(field), code(field, 1))
}

/// What a new step is called where its protocol has no words: OBR-4.2, else OBR-44.2 or 44.5.
fn described(obr: Option<Segment<'_>>) -> Option<String> {
    let obr = obr?;
    let places = [(4, 2), (44, 2), (44, 5)];
    places.into_iter().map(|(field, part)| obr.field(field).component(part).text()).find(|text| !text.is_empty())
}

/// Danger code and relevant clinical information, joined.
fn state_of_patient(context: &Context<'_>, scope: Scope<'_, '_>) -> Option<String> {
    let places = &context.map.order.patient_state;
    let values: Vec<String> = places.iter().flat_map(|place| scope.values(std::slice::from_ref(place))).collect();
    (!values.is_empty()).then(|| values.join("; "))
}

/// Weight: where the map says, else in an OBX with a code for it.
fn weight(context: &Context<'_>, scope: Scope<'_, '_>) -> Option<String> {
    let map = &context.map.order;
    let by_code = || {
        let named = |obx: &Segment<'_>| {
            let code = obx.field(3).component(1).text();
            map.weight_codes.iter().any(|known| known.eq_ignore_ascii_case(&code))
        };
        let obx =
            scope.own.iter().chain(scope.head).filter(|segment| segment.name() == "OBX").find(|obx| named(obx))?;
        Some((obx.field(5).component(1).text(), obx.field(6).component(1).text()))
    };
    let told = scope.value(&map.weight).map(|number| (number, String::new())).or_else(by_code)?;
    let weight = kilograms(&told.0, &told.1);
    if weight.is_none() {
        context.remark("the weight is no number and was left out");
    }
    weight
}

/// The scheduled steps: one for each IPC, else one.
fn steps(context: &Context<'_>, scope: Scope<'_, '_>, sequence: usize) -> Result<Vec<StepUpdate>, Fault> {
    let ipcs: Vec<Segment<'_>> = scope.all("IPC").collect();
    if ipcs.is_empty() {
        return Ok(vec![step(context, scope, None, sequence)?]);
    }
    let mut steps: Vec<StepUpdate> = Vec::new();
    for (index, ipc) in ipcs.iter().enumerate() {
        let step = step(context, scope, Some(ipc), index + 1)?;
        if steps.iter().any(|other| other.id == step.id) {
            return Err(Fault::value("IPC", 4, "two steps of one order have the same id, or none").of(index + 1));
        }
        steps.push(step);
    }
    Ok(steps)
}

fn step(
    context: &Context<'_>,
    scope: Scope<'_, '_>,
    ipc: Option<&Segment<'_>>,
    sequence: usize,
) -> Result<StepUpdate, Fault> {
    let map = &context.map.order;
    let value = |places: &[Place]| {
        let at = |place: &Place| match ipc.filter(|_| place.segment == "IPC") {
            Some(ipc) => place.values(ipc).into_iter().next(),
            None => scope.value(std::slice::from_ref(place)),
        };
        places.iter().find_map(at)
    };
    let obr = scope.first("OBR");
    let mut step = StepUpdate {
        id: value(&map.step_id).unwrap_or_default(),
        modality: value(&map.modality).map(|code| context.map.modality(&code)),
        station_name: value(&map.station_name),
        location: value(&map.location),
        performing: obr.and_then(|obr| obr.field(34).repetitions().next().and_then(performer)),
        ..StepUpdate::default()
    };
    let titled = value(&map.station).map(|title| AeTitle::parse(&title));
    let bad = |_| Fault::form("IPC", 9, "an AE title has 1 to 16 characters").of(sequence);
    let titled = titled.transpose().map_err(bad)?;
    step.station = titled.or_else(|| step.location.as_deref().and_then(|room| context.map.room(room))).map(Some);
    let protocol: Vec<Code> = match ipc {
        Some(ipc) => ipc.field(6).repetitions().filter_map(|one| code(one, 1)).collect(),
        None => obr.and_then(|obr| code(obr.field(4), 4)).into_iter().collect(),
    };
    step.description = protocol.iter().map(|code| code.meaning.clone()).find(|text| !text.is_empty());
    step.protocol = (!protocol.is_empty()).then_some(protocol);
    step.start = start(context, value(&map.start));
    Ok(step)
}

/// The start as the sender's clock shows it; one that cannot be read is remarked.
pub(super) fn start(context: &Context<'_>, text: Option<String>) -> Option<(String, String)> {
    let moment = Moment::parse(&text?);
    if moment.is_none() {
        context.remark("the start of a step is no time and was left out");
    }
    moment.map(|moment| moment.local(context.offset))
}
