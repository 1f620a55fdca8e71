//! ADT: patients, visits, merges and moves.

use super::patient::{self, number, number_in};
use super::{Context, Scope};
use crate::hl7::{Fault, Segment};
use model::chart::{Change, VisitState, VisitUpdate};

pub(super) fn changes(context: &Context<'_>, trigger: &str) -> Result<Vec<Change>, Fault> {
    match trigger {
        "A40" => merges(context),
        "A43" | "A45" => moves(context, trigger),
        "A47" => renumbered(context),
        _ => admission(context, trigger),
    }
}

fn whole<'s, 'a>(own: &'s [Segment<'a>]) -> Scope<'s, 'a> {
    Scope { own, head: &[] }
}

fn needed<'a>(segment: Option<Segment<'a>>, name: &str) -> Result<Segment<'a>, Fault> {
    segment.ok_or_else(|| Fault::sequence(name, format!("the segment {name} is missing")))
}

/// A01 to A38: what is said of the patient, then of the visit.
fn admission(context: &Context<'_>, trigger: &str) -> Result<Vec<Change>, Fault> {
    let scope = whole(context.message.segments());
    let pid = needed(context.only_pid()?, "PID")?;
    let patient = patient::patient(context, &pid, 1, scope)?;
    let mrn = patient.mrn.clone();
    let mut changes = vec![Change::Patient(patient)];
    if ["A28", "A31"].contains(&trigger) {
        return Ok(changes);
    }
    match patient::visit(context, &mrn, scope) {
        Some(mut visit) => {
            event(context, trigger, &mut visit);
            if ["A06", "A07"].contains(&trigger) {
                formerly(context, scope, &mut visit);
            }
            changes.push(Change::Visit(visit));
        }
        // They are about a visit and nothing else.
        None if ["A02", "A03", "A06", "A07", "A11", "A12", "A13", "A38"].contains(&trigger) => {
            return Err(Fault::missing("PV1", 19, "the event needs the number of the visit"));
        }
        None => context.remark("without a visit number (PV1-19) no visit is kept"),
    }
    Ok(changes)
}

/// What the event itself says of the visit.
fn event(context: &Context<'_>, trigger: &str, visit: &mut VisitUpdate) {
    let happened = || {
        let evn = context.message.first("EVN")?;
        let at = |field: usize, what: &str| context.ms(evn.field(field).component(1), what);
        at(6, "EVN-6").or_else(|| at(2, "EVN-2"))
    };
    match trigger {
        "A01" => {
            visit.state = Some(VisitState::Admitted);
            visit.begin = visit.begin.or_else(happened);
        }
        "A04" | "A05" => {
            visit.state = Some(VisitState::Registered);
            visit.begin = visit.begin.or_else(happened);
        }
        "A03" => {
            visit.state = Some(VisitState::Discharged);
            visit.end = visit.end.or_else(|| happened().or_else(|| context.written()).map(Some));
        }
        // From outpatient to inpatient, and back.
        "A06" => visit.state = Some(VisitState::Admitted),
        "A07" => visit.state = Some(VisitState::Registered),
        "A11" | "A38" => visit.state = Some(VisitState::Canceled),
        "A13" => {
            visit.state = Some(VisitState::Admitted);
            visit.end = Some(None);
        }
        _ => {}
    }
}

/// A06 and A07 may close an account and open another: MRG then names the one before, and never a merge (HL7 2.x, 3.3.6).
fn formerly(context: &Context<'_>, scope: Scope<'_, '_>, visit: &mut VisitUpdate) {
    let Some(mrg) = context.message.first("MRG") else { return };
    if number_in(context, mrg.field(1)).is_some_and(|former| former != visit.mrn) {
        context.remark("MRG-1 names another number than PID-3: by A06 and A07 nothing is merged, a merge is A40");
    }
    let former = patient::former_visit(context, scope).map(|field| mrg.field(field).component(1).text());
    visit.formerly = former.filter(|former| !former.is_empty() && *former != visit.number);
}

/// A40: each PID with the MRG behind it; the number in MRG is given up.
fn merges(context: &Context<'_>) -> Result<Vec<Change>, Fault> {
    let segments = context.message.segments();
    let (mut changes, mut pids, mut mrgs) = (Vec::new(), 0usize, 0usize);
    let mut survivor: Option<String> = None;
    for (at, segment) in segments.iter().enumerate() {
        match segment.name() {
            "PID" => {
                pids += 1;
                let rest = segments.get(at..).unwrap_or_default();
                let until = rest.iter().skip(1).position(|other| other.name() == "PID").map_or(rest.len(), |at| at + 1);
                let own = whole(rest.get(..until).unwrap_or_default());
                let patient = patient::patient(context, segment, pids, own)?;
                survivor = Some(patient.mrn.clone());
                changes.push(Change::Patient(patient));
            }
            "MRG" => {
                mrgs += 1;
                let survivor = survivor.clone();
                let survivor = survivor.ok_or_else(|| Fault::sequence("MRG", "PID stands before MRG").of(mrgs))?;
                let former = former(context, segment, mrgs)?;
                if former == survivor {
                    return Err(Fault::value("MRG", 1, "a number cannot be merged into itself").of(mrgs));
                }
                changes.push(Change::Merge { survivor, former });
            }
            _ => {}
        }
    }
    if mrgs == 0 {
        return Err(Fault::sequence("MRG", "the segment MRG is missing"));
    }
    Ok(changes)
}

fn former(context: &Context<'_>, mrg: &Segment<'_>, sequence: usize) -> Result<String, Fault> {
    let missing = || Fault::missing("MRG", 1, "the number given up is needed").of(sequence);
    number_in(context, mrg.field(1)).ok_or_else(missing)
}

/// A43, A45: visits that are another patient's.
fn moves(context: &Context<'_>, trigger: &str) -> Result<Vec<Change>, Fault> {
    let segments = context.message.segments();
    let pid = needed(context.only_pid()?, "PID")?;
    let mrn = number(context, &pid, 1, whole(segments))?;
    let starts: Vec<usize> = (0..segments.len()).filter(|at| is(segments, *at, "MRG")).collect();
    if starts.is_empty() {
        return Err(Fault::sequence("MRG", "the segment MRG is missing"));
    }
    let mut changes = Vec::new();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(segments.len());
        let own = segments.get(*start..end).unwrap_or_default();
        let mrg = needed(own.first().copied(), "MRG")?;
        let named = mrg.field(5).component(1).text();
        let visit = if named.is_empty() { patient::visit_number(context, whole(own)) } else { Some(named) };
        match visit {
            Some(visit) => changes.push(Change::MoveVisit { visit, mrn: mrn.clone() }),
            None if trigger == "A45" => {
                return Err(Fault::missing("MRG", 5, "the number of the visit that moves is needed").of(index + 1));
            }
            None => {
                let former = former(context, &mrg, index + 1)?;
                if former == mrn {
                    return Err(Fault::value("MRG", 1, "a number cannot be moved to itself").of(index + 1));
                }
                context.remark("A43 without a visit (MRG-5) is taken as a merge of the two numbers");
                changes.push(Change::Merge { survivor: mrn.clone(), former });
            }
        }
    }
    Ok(changes)
}

fn is(segments: &[Segment<'_>], at: usize, name: &str) -> bool {
    segments.get(at).is_some_and(|segment| segment.name() == name)
}

/// A47: the same patient under another number.
fn renumbered(context: &Context<'_>) -> Result<Vec<Change>, Fault> {
    let scope = whole(context.message.segments());
    let pid = needed(context.only_pid()?, "PID")?;
    let mrg = needed(context.message.first("MRG"), "MRG")?;
    let (patient, former) = (patient::patient(context, &pid, 1, scope)?, former(context, &mrg, 1)?);
    let number = patient.mrn.clone();
    let mut changes = Vec::new();
    if former == number {
        context.remark("the facility's number is the same as before");
    } else {
        changes.push(Change::Renumber { former, number });
    }
    changes.push(Change::Patient(patient));
    Ok(changes)
}
