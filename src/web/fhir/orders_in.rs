//! ServiceRequest as it is sent: an order, with its patient where the system has nothing else to say it by.

use super::dates::{self, Span};
use super::desk::{DCM, Desk};
use super::said::{self, bad, list, text, words};
use super::tables::Resource;
use super::taking::{self, Sent};
use super::{patients, studies};
use crate::problem::Problem;
use model::chart::{BirthDate, Change, OrderAction, OrderState, OrderUpdate, PatientUpdate, Priority, Sex, StepUpdate};
use model::{FacilityCode, Uid};
use serde_json::Value;

/// Reads an order; `named` is the number of the path, `made` one for an order without any.
pub(crate) fn read(
    desk: &Desk,
    request: &Value,
    facility: FacilityCode,
    named: Option<String>,
    made: &str,
) -> Result<Sent, Problem> {
    let own = said::number(request, &desk.systems.placer, "PLAC").or_else(|| said::bare_number(request));
    let number = match (own, named) {
        (Some(own), Some(named)) if own != named => {
            return Err(bad("identifier", "another placer order number stands in the path"));
        }
        (Some(own), _) => own.to_owned(),
        (None, Some(named)) => named,
        (None, None) => made.to_owned(),
    };
    let mut changes = Vec::new();
    let patient = request.get("subject").and_then(|subject| said::contained(request, subject));
    let mrn = match patient {
        Some(patient) => {
            let update = patient_update(desk, patient, facility)?;
            let mrn = update.mrn.clone();
            changes.push(Change::Patient(update));
            Some(mrn)
        }
        None => taking::subject(desk, request, facility)?,
    };
    let mut order = OrderUpdate::new(action(request)?, number.clone());
    order.mrn = mrn.clone();
    details(desk, &mut order, request)?;
    changes.push(Change::Order(Box::new(order)));
    Ok(Sent { facility, number, mrn, changes })
}

fn action(request: &Value) -> Result<OrderAction, Problem> {
    match text(request, "/intent") {
        Some("order" | "original-order" | "reflex-order" | "filler-order" | "instance-order") => {}
        _ => return Err(bad("intent", "an order is needed")),
    }
    match text(request, "/status") {
        Some("active") => Ok(OrderAction::New),
        Some("revoked") => Ok(OrderAction::Cancel),
        Some("entered-in-error") => Ok(OrderAction::Cancel),
        Some("completed") => Ok(OrderAction::Status(OrderState::Completed)),
        _ => Err(bad("status", "active, revoked, completed or entered-in-error")),
    }
}

fn details(desk: &Desk, order: &mut OrderUpdate, request: &Value) -> Result<(), Problem> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let systems = &desk.systems;
    order.filler = owned(said::number(request, &systems.filler, "FILL"));
    order.accession = owned(said::number(request, &systems.accession, "ACSN"));
    let study = said::number(request, studies::UIDS, "");
    let study = study.map(|text| Uid::parse(text.strip_prefix("urn:oid:").unwrap_or(text)));
    order.study = study.transpose().map_err(|error| bad("identifier", error.to_string()))?;
    order.visit = owned(request.get("encounter").and_then(|visit| text(visit, "/identifier/value")));
    order.procedure = words(request.get("code"));
    order.procedure_code = said::code(request.get("code"));
    order.requesting = owned(text(request, "/requester/display"));
    order.location = list(request, "locationCode").find_map(|one| words(Some(one)));
    order.reason = list(request, "reasonCode").find_map(|one| words(Some(one)));
    order.priority = match text(request, "/priority") {
        None => None,
        Some("stat") => Some(Priority::Stat),
        Some("asap" | "urgent") => Some(Priority::High),
        Some("routine") => Some(Priority::Routine),
        Some(_) => return Err(bad("priority", "routine, urgent, asap or stat")),
    };
    let codes = list(request, "orderDetail").flat_map(|detail| list(detail, "coding"));
    let modality = codes.filter(|code| text(code, "/system") == Some(DCM)).find_map(|code| text(code, "/code"));
    let begin = text(request, "/occurrenceDateTime").or_else(|| text(request, "/occurrencePeriod/start"));
    let begin = begin.map(|begin| begun(desk, begin)).transpose()?;
    let performing = list(request, "performer").find_map(|one| text(one, "/display"));
    if modality.is_some() || begin.is_some() || performing.is_some() {
        order.steps.push(StepUpdate {
            modality: owned(modality),
            start: begin,
            performing: owned(performing),
            ..StepUpdate::default()
        });
    }
    Ok(())
}

/// When it is to begin, as the facility's clock shows it.
fn begun(desk: &Desk, begin: &str) -> Result<(String, String), Problem> {
    // A prefix belongs to a search and not to a value.
    let plain = begin.starts_with(|letter: char| letter.is_ascii_digit());
    let span = Span::parse(begin, desk.utc_offset).filter(|_| plain && begin.len() >= 10);
    let span = span.ok_or_else(|| bad("occurrenceDateTime", "a day, or a date and time with its zone"))?;
    Ok(dates::clock_of(span.begin(), desk.utc_offset))
}

/// What a contained Patient says.
fn patient_update(desk: &Desk, patient: &Value, facility: FacilityCode) -> Result<PatientUpdate, Problem> {
    if text(patient, "/resourceType") != Some(Resource::Patient.name()) {
        return Err(bad("subject", "the contained resource is no Patient"));
    }
    let mrn = said::number(patient, &desk.systems.mrn, "MR").or_else(|| said::bare_number(patient));
    // Equal numbers of two hospitals are two patients.
    let of_another = |one: &Value| text(one, "/value") == mrn && said::assigner(one).is_some_and(|by| by != facility);
    if list(patient, "identifier").any(of_another) {
        return Err(bad("Patient.identifier", "the number is another facility's"));
    }
    let missing = || bad("Patient.identifier", "the facility's number of the patient is needed");
    described(desk, patient, Some(mrn.ok_or_else(missing)?))
}

/// What a Patient says, under a number of a facility where it has one.
pub(crate) fn described(desk: &Desk, patient: &Value, mrn: Option<&str>) -> Result<PatientUpdate, Problem> {
    let systems = &desk.systems;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let born = text(patient, "/birthDate").map(BirthDate::parse).transpose();
    let born = born.map_err(|error| bad("Patient.birthDate", error.to_string()))?;
    let sex = match text(patient, "/gender") {
        None => None,
        Some("male") => Some(Sex::Male),
        Some("female") => Some(Sex::Female),
        Some("other") => Some(Sex::Other),
        Some("unknown") => Some(Sex::Unknown),
        Some(_) => return Err(bad("Patient.gender", "male, female, other or unknown")),
    };
    let insurance = said::number(patient, &systems.insurance, "HC");
    let phones = list(patient, "telecom").filter(|one| text(one, "/system") == Some("phone"));
    let phones: Vec<String> = phones.filter_map(|one| text(one, "/value")).map(patients::digits).collect();
    Ok(PatientUpdate {
        mrn: mrn.unwrap_or_default().to_owned(),
        name: list(patient, "name").find_map(whole_name),
        birth: born.map(Some),
        sex,
        national: owned(said::number(patient, &systems.national, "NI")),
        old_card: owned(said::number(patient, &systems.old_card, "")),
        passport: owned(said::number(patient, &systems.passport, "PPN")),
        insurance: insurance.map(|number| vec![number.to_owned()]),
        phones: (!phones.is_empty()).then_some(phones),
        address: list(patient, "address").find_map(|one| text(one, "/text")).map(str::to_owned),
        ..PatientUpdate::default()
    })
}

/// A name whole, family name first.
fn whole_name(name: &Value) -> Option<String> {
    if let Some(whole) = text(name, "/text") {
        return Some(whole.to_owned());
    }
    let given = list(name, "given").filter_map(Value::as_str);
    let parts: Vec<&str> = text(name, "/family").into_iter().chain(given).map(str::trim).collect();
    let whole = parts.join(" ");
    (!whole.trim().is_empty()).then(|| whole.trim().to_owned())
}
