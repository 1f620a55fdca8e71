//! PID, PV1 and what belongs to them: what is said of a patient and a visit.

use super::{Context, Scope, record};
use crate::hl7::values::{address, location, name, phone, physician, words};
use crate::hl7::{Fault, Piece, Place, Segment};
use model::chart::identifier::{NumberKind, kind_of, plain};
use model::chart::{BirthDate, OtherId, PatientUpdate, Sex, VisitUpdate};
use std::collections::HashSet;

/// Fewest digits of an insurance number; a plan's name has none.
const INSURANCE_DIGITS: usize = 8;
/// PV1-15 of a pregnant patient.
const PREGNANT: &str = "B6";

/// The facility's number in a list of identifiers (CX).
pub(super) fn number_in(context: &Context<'_>, field: Piece<'_>) -> Option<String> {
    let map = &context.map.patient;
    let of_type = |kind: &String| {
        let candidates = field.repetitions().filter(|one| one.component(5).text().eq_ignore_ascii_case(kind));
        let assigned = |one: &Piece<'_>| map.assigner.is_empty() || one.component(4).sub(1).text() == map.assigner;
        candidates.filter(assigned).map(|one| one.component(1).text()).find(|number| !number.is_empty())
    };
    map.types.iter().find_map(of_type)
}

/// The facility's number of the patient of a segment PID, the so-manieth of its message.
pub(super) fn number(
    context: &Context<'_>,
    pid: &Segment<'_>,
    sequence: usize,
    scope: Scope<'_, '_>,
) -> Result<String, Fault> {
    let at = |place: &Place| match (place.segment.as_str(), place.component, &place.kind) {
        ("PID", None, None) => number_in(context, pid.field(place.field)),
        _ => values(scope, pid, place).into_iter().next(),
    };
    let missing = || Fault::missing("PID", 3, "a patient needs the facility's number (MR)").of(sequence);
    context.map.patient.number.iter().find_map(at).ok_or_else(missing)
}

/// What a segment PID, and those that belong to it, say of a patient.
pub(super) fn patient(
    context: &Context<'_>,
    pid: &Segment<'_>,
    sequence: usize,
    scope: Scope<'_, '_>,
) -> Result<PatientUpdate, Fault> {
    let mrn = number(context, pid, sequence, scope)?;
    let birth = birth(context, pid.field(7), sequence)?;
    let mut update = PatientUpdate {
        name: pid.field(5).repetitions().next().and_then(|one| name(one, 1)),
        birth,
        sex: pid.field(8).component(1).said().map(|code| Sex::of(&code)),
        address: pid.field(11).repetitions().next().and_then(address),
        died: died(context, pid),
        records: record::of_patient(context, pid),
        mrn,
        ..PatientUpdate::default()
    };
    numbers(context, pid, scope, &mut update);
    let phones = context.map.patient.phone.iter().flat_map(|place| phones(scope, pid, place));
    update.phones = all(phones);
    let allergies = scope.head.iter().chain(scope.own).filter(|segment| segment.name() == "AL1");
    update.allergies = all(allergies.filter_map(|segment| words(segment.field(3))).filter(|text| !text.is_empty()));
    Ok(update)
}

/// The values without repetitions; none when there are none.
fn all(values: impl Iterator<Item = String>) -> Option<Vec<String>> {
    // A field may repeat half a million times.
    let mut seen = HashSet::new();
    let kept: Vec<String> = values.filter(|value| seen.insert(value.clone())).collect();
    (!kept.is_empty()).then_some(kept)
}

fn birth(context: &Context<'_>, field: Piece<'_>, sequence: usize) -> Result<Option<Option<BirthDate>>, Fault> {
    if field.is_null() {
        return Ok(Some(None));
    }
    let text = field.component(1).text();
    // What is not known is written in many ways.
    if text.is_empty() || text.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    let birth = BirthDate::parse(&text).map_err(|error| Fault::form("PID", 7, error.to_string()).of(sequence))?;
    if birth.whole().is_none() {
        context.remark("of the birth date only a part is known");
    }
    Ok(Some(Some(birth)))
}

fn died(context: &Context<'_>, pid: &Segment<'_>) -> Option<Option<BirthDate>> {
    let (time, died) = (pid.field(29).component(1).text(), pid.field(30).component(1).text());
    if let Ok(day) = BirthDate::parse(&time) {
        return Some(Some(day));
    }
    match died.as_str() {
        "Y" => {
            context.remark("a death without its day (PID-29) is not kept");
            None
        }
        "N" => Some(None),
        _ => None,
    }
}

fn phones(scope: Scope<'_, '_>, pid: &Segment<'_>, place: &Place) -> Vec<String> {
    let segment = if place.segment == "PID" { Some(*pid) } else { find(scope, &place.segment) };
    let Some(segment) = segment else { return Vec::new() };
    let whole = place.component.is_none();
    let number = |one: Piece<'_>| if whole { phone(one) } else { phone(place.of(one)) };
    place.repetitions(&segment).into_iter().filter_map(number).collect()
}

/// A segment about the patient, wherever in the message it stands.
pub(super) fn find<'a>(scope: Scope<'_, 'a>, name: &str) -> Option<Segment<'a>> {
    scope.head.iter().chain(scope.own).find(|segment| segment.name() == name).copied()
}

/// Numbers beside the facility's own. One in a place that names no type is told by its form.
fn numbers(context: &Context<'_>, pid: &Segment<'_>, scope: Scope<'_, '_>, update: &mut PatientUpdate) {
    let map = &context.map.patient;
    let (mut insurance, mut insured): (Vec<String>, HashSet<String>) = (Vec::new(), HashSet::new());
    let mut known = HashSet::from([update.mrn.clone()]);
    let lists = [(&map.national, NumberKind::National), (&map.old_card, NumberKind::OldCard)];
    let lists =
        lists.into_iter().chain([(&map.passport, NumberKind::Unknown), (&map.insurance, NumberKind::InsuranceCard)]);
    for (places, wanted) in lists {
        for place in places {
            for value in values(scope, pid, place) {
                let told =
                    if place.kind.is_none() && wanted == NumberKind::National { kind_of(&value) } else { wanted };
                let slot = match told {
                    NumberKind::National => &mut update.national,
                    NumberKind::OldCard => &mut update.old_card,
                    NumberKind::Unknown if wanted == NumberKind::National => &mut update.national,
                    NumberKind::Unknown => &mut update.passport,
                    NumberKind::InsuranceCard | NumberKind::SocialInsurance => {
                        let digits = plain(&value).bytes().filter(u8::is_ascii_digit).count();
                        if digits >= INSURANCE_DIGITS && insured.insert(value.clone()) {
                            insurance.push(value.clone());
                            known.insert(value);
                        }
                        continue;
                    }
                };
                if slot.is_none() {
                    *slot = Some(value.clone());
                }
                known.insert(value);
            }
        }
    }
    update.insurance = (!insurance.is_empty()).then_some(insurance);
    update.others = others(pid, &known);
}

fn values(scope: Scope<'_, '_>, pid: &Segment<'_>, place: &Place) -> Vec<String> {
    if place.segment == "PID" {
        return place.values(pid);
    }
    let segments = scope.head.iter().chain(scope.own);
    segments.flat_map(|segment| place.values(segment)).collect()
}

/// What else stands in PID-3.
fn others(pid: &Segment<'_>, known: &HashSet<String>) -> Option<Vec<OtherId>> {
    let other = |one: Piece<'_>| {
        let value = one.component(1).text();
        let (assigner, kind) = (one.component(4).sub(1).text(), one.component(5).text());
        (!value.is_empty() && !known.contains(&value)).then_some(OtherId { value, assigner, kind })
    };
    let others: Vec<OtherId> = pid.field(3).repetitions().filter_map(other).collect();
    (!others.is_empty()).then_some(others)
}

/// What PV1 and DG1 say of a visit; none without a visit number.
pub(super) fn visit(context: &Context<'_>, mrn: &str, scope: Scope<'_, '_>) -> Option<VisitUpdate> {
    let number = visit_number(context, scope)?;
    let pv1 = find(scope, "PV1");
    let field = |number: usize| pv1.map(|pv1| pv1.field(number));
    let classes = &context.map.visit.class;
    let class = classes
        .iter()
        .find_map(|place| find(scope, &place.segment).and_then(|one| place.values(&one).into_iter().next()));
    let diagnoses = scope.head.iter().chain(scope.own).filter(|segment| segment.name() == "DG1");
    let diagnoses = diagnoses.map(|segment| segment.field(3).component(1).text()).filter(|code| !code.is_empty());
    let (diagnoses, disposition) = (all(diagnoses), field(36).and_then(|piece| piece.component(1).said()));
    let told = record::Told {
        class: class.as_deref().unwrap_or_default(),
        disposition: disposition.as_deref().unwrap_or_default(),
        diagnoses: diagnoses.as_deref().unwrap_or_default(),
    };
    Some(VisitUpdate {
        records: record::of_visit(context, scope, &told),
        number,
        mrn: mrn.to_owned(),
        state: None,
        class,
        location: field(3).and_then(location),
        referring: referring(scope),
        disposition,
        diagnoses,
        pregnant: pregnant(scope),
        begin: field(44).and_then(|piece| context.ms(piece.component(1), "PV1-44")),
        end: field(45).and_then(|piece| context.ms(piece.component(1), "PV1-45")).map(Some),
        formerly: None,
    })
}

/// Visit number.
pub(super) fn visit_number(context: &Context<'_>, scope: Scope<'_, '_>) -> Option<String> {
    let places = &context.map.visit.number;
    places.iter().find_map(|place| find(scope, &place.segment).and_then(|one| place.values(&one).into_iter().next()))
}

/// The field of MRG with the former number of the visit, by where its number stands: the visit's, or the account's where that
/// stands for it.
pub(super) fn former_visit(context: &Context<'_>, scope: Scope<'_, '_>) -> Option<usize> {
    let said = |place: &&Place| find(scope, &place.segment).is_some_and(|one| !place.values(&one).is_empty());
    let place = context.map.visit.number.iter().find(said)?;
    match (place.segment.as_str(), place.field) {
        ("PV1", 19) => Some(5),
        ("PID", 18) => Some(3),
        _ => None,
    }
}

/// Referring physician, PV1-8.
pub(super) fn referring(scope: Scope<'_, '_>) -> Option<String> {
    find(scope, "PV1").and_then(|pv1| pv1.field(8).repetitions().next().and_then(physician))
}

/// Whether PV1-15 says that the patient is pregnant; none where it says nothing.
pub(super) fn pregnant(scope: Scope<'_, '_>) -> Option<bool> {
    let status = find(scope, "PV1")?.field(15);
    let mut codes = status.repetitions().map(|one| one.component(1).text()).filter(|code| !code.is_empty()).peekable();
    codes.peek()?;
    Some(codes.any(|code| code.eq_ignore_ascii_case(PREGNANT)))
}

/// Current location, PV1-3.
pub(super) fn place(scope: Scope<'_, '_>) -> Option<String> {
    find(scope, "PV1").and_then(|pv1| location(pv1.field(3)))
}
