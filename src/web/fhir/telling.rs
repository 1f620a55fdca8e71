//! What a subscriber is sent of an event: the resource as a reader of the facility sees it when it goes out.

use super::bundle;
use super::desk::{Desk, add};
use super::systems::Systems;
use super::tables::Resource;
use super::{ids, studies};
use crate::problem::Problem;
use archive::charts::outbox::dispatch::Parcel;
use model::chart::{ChartBody, EventKind};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The resource that an event is about; none of one that cannot be told, or that is not of one patient, or of the patients
/// who were asked for, alone.
pub(crate) fn told(parcel: &Parcel, systems: Arc<Systems>, base: &str, now: u64) -> Result<Option<Value>, Problem> {
    let desk = Desk::of_facility(&parcel.archive, parcel.facility, systems, base.to_owned(), now);
    let (event, facility) = (&parcel.delivery.event, parcel.facility);
    let (resource, id) = match event.kind {
        EventKind::StudyAvailable | EventKind::StudyChanged => {
            let Some(study) = event.study.as_ref().filter(|study| study.as_str() == event.id) else { return Ok(None) };
            if !studies::is_one(&desk, facility, study)? {
                return Ok(None);
            }
            (Resource::ImagingStudy, Some(ids::of_study(facility, study)))
        }
        EventKind::Order => (Resource::ServiceRequest, ids::of(facility, &event.id)),
        EventKind::Result => (Resource::DiagnosticReport, ids::of(facility, &event.id)),
        EventKind::Merged | EventKind::Unmerged => match &parcel.body {
            ChartBody::Merge(merge) => (Resource::Patient, ids::of(facility, &merge.former)),
            _ => return Ok(None),
        },
        EventKind::Patient => (Resource::Patient, ids::of(facility, &event.id)),
    };
    let Some(told) = id.map(|id| bundle::resource(&desk, resource, &id)).transpose()?.flatten() else {
        return Ok(None);
    };
    asked_for(&desk, parcel, told)
}

/// A resource if it is, as it stands, of one of the patients who were asked for, by any number of theirs: when it happened
/// it may have been another's, and images may contradict the order they came for. Images are whose a person said last, and
/// are told as such; whoever may have been told of them as another patient's is told that this was an error. Of a merge both
/// are told.
fn asked_for(desk: &Desk, parcel: &Parcel, mut told: Value) -> Result<Option<Value>, Problem> {
    let asked = parcel.subscription.hook().map(|hook| &hook.patients).filter(|asked| !asked.is_empty());
    let (Some(asked), false) = (asked, matches!(parcel.body, ChartBody::Merge(_))) else { return Ok(Some(told)) };
    let said = told.pointer("/subject/identifier/value").and_then(Value::as_str).map(str::to_owned);
    let mrn = match &parcel.body {
        ChartBody::Patient(patient) => Some(patient.mrn.clone()),
        ChartBody::Match(one) => {
            let said = said.unwrap_or_default();
            let assigned = desk.charts().assigned(parcel.facility, &one.study, &said)?;
            if let Some(mrn) = assigned.as_deref().filter(|mrn| *mrn != said)
                && let Some(subject) = told.get_mut("subject")
            {
                *subject = desk.patient(parcel.facility, mrn, "")?;
            }
            assigned.or(Some(said)).filter(|mrn| !mrn.is_empty())
        }
        _ => said,
    };
    let numbers = match &mrn {
        Some(mrn) => desk.charts().numbers(&desk.caller, parcel.facility, mrn)?,
        None => Vec::new(),
    };
    if numbers.iter().any(|number| asked.contains(number)) {
        return Ok(Some(told));
    }
    match &parcel.body {
        ChartBody::Match(_) => taken_back(desk, parcel, asked, &told).map(Some),
        _ => Ok(None),
    }
}

/// A study as it is told to whoever asked for patients none of whom it is of any more: under its id, and with nothing of the
/// patient whose it is.
fn taken_back(desk: &Desk, parcel: &Parcel, asked: &BTreeSet<String>, told: &Value) -> Result<Value, Problem> {
    let mut numbers = asked.iter();
    // As which of several patients' it was told is not kept.
    let whose = match (numbers.next(), numbers.next()) {
        (Some(only), None) => only.as_str(),
        _ => "",
    };
    let mut shell = Map::new();
    for name in ["resourceType", "id", "meta"] {
        if let Some(value) = told.get(name) {
            add(&mut shell, name, value.clone());
        }
    }
    add(&mut shell, "status", "entered-in-error");
    add(&mut shell, "subject", desk.patient(parcel.facility, whose, "")?);
    Ok(Value::Object(shell))
}
