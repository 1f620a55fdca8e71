//! Visits: admissions and outpatients' calls of a facility.
//!
//! Deliberately not here: what the class of its record means for its images ([`super::records`]).

use super::ChartError;
use super::patients::{self, add, set};
use super::writing::Writing;
use index::StudyKey;
use model::chart::{ChartBody, ChartKind, ChartRow, Term, Visit, VisitState, VisitUpdate};

/// Most orders, and most results, that go with a visit from one patient to another.
const HANDED_MAX: usize = 10_000;
/// Studies of one order that are looked at again when it is another patient's.
const STUDIES_MAX: usize = 64;

fn find(writing: &Writing<'_>, number: &str) -> Result<Option<Visit>, ChartError> {
    Ok(match writing.row(ChartKind::Visit, number)? {
        Some(ChartBody::Visit(visit)) => Some(*visit),
        _ => None,
    })
}

/// Somebody says something of a visit. What is not said stays.
pub(super) fn apply(writing: &mut Writing<'_>, update: &VisitUpdate) -> Result<(), ChartError> {
    let (number, mrn) = (update.number.trim(), update.mrn.trim());
    let before = find(writing, number)?;
    let takes_back = update.state == Some(VisitState::Canceled) || update.end == Some(None);
    let mut visit = match &before {
        Some(before) => before.clone(),
        None if takes_back => return Err(ChartError::Waits("the visit that is taken back".into())),
        None if mrn.is_empty() => return Err(ChartError::Invalid("a new visit names no patient".into())),
        None => Visit { number: number.into(), mrn: mrn.into(), begin: writing.now(), ..Visit::default() },
    };
    if !mrn.is_empty() && visit.mrn != mrn {
        // Under either number of a patient of two.
        if patients::root(writing, &visit.mrn)? != patients::root(writing, mrn)? {
            let why = "the visit is another patient's: it has to be moved first (A43, A45)";
            return Err(ChartError::Conflict(why.into()));
        }
    }
    take(&mut visit, update);
    if let Some(former) = update.formerly.as_deref().map(str::trim).filter(|former| !former.is_empty()) {
        close(writing, former, &visit)?;
    }
    if before.as_ref() == Some(&visit) {
        return Ok(());
    }
    writing.put(number, ChartBody::Visit(Box::new(visit)))
}

/// A visit goes on as another one of the same patient: it ends where that begins. Orders and results stay with the visit
/// they were made in. Nothing is done about one that is not known, is over, or is another patient's.
fn close(writing: &mut Writing<'_>, former: &str, next: &Visit) -> Result<(), ChartError> {
    let Some(mut visit) = find(writing, former)?.filter(|visit| visit.number != next.number) else { return Ok(()) };
    if patients::root(writing, &visit.mrn)? != patients::root(writing, &next.mrn)? {
        writing.remark("the visit before is another patient's: it stays as it is");
        return Ok(());
    }
    if !matches!(visit.state, VisitState::Registered | VisitState::Admitted) {
        return Ok(());
    }
    visit.state = VisitState::Discharged;
    let ends = if next.begin > visit.begin { next.begin } else { writing.now().max(visit.begin) };
    visit.end.get_or_insert(ends);
    let number = visit.number.clone();
    writing.put(&number, ChartBody::Visit(Box::new(visit)))
}

fn take(visit: &mut Visit, update: &VisitUpdate) {
    set(&mut visit.class, update.class.as_ref());
    set(&mut visit.location, update.location.as_ref());
    set(&mut visit.referring, update.referring.as_ref());
    set(&mut visit.disposition, update.disposition.as_ref());
    set(&mut visit.diagnoses, update.diagnoses.as_ref());
    add(&mut visit.records, &update.records);
    set(&mut visit.pregnant, update.pregnant.as_ref());
    set(&mut visit.begin, update.begin.as_ref());
    set(&mut visit.end, update.end.as_ref());
    set(&mut visit.state, update.state.as_ref());
    // A discharge that is taken back (A13) leaves the patient where they were.
    if update.end == Some(None) && update.state.is_none() && visit.state == VisitState::Discharged {
        visit.state = VisitState::Admitted;
    }
}

/// A visit is another patient's, and with it what names it: orders with their performed steps, and results. Those under
/// any number of the patient it was go along.
pub(super) fn hand_over(writing: &mut Writing<'_>, number: &str, mrn: &str) -> Result<(), ChartError> {
    let mrn = mrn.trim();
    if mrn.is_empty() {
        return Err(ChartError::Invalid("a visit is moved to a patient without a number".into()));
    }
    let Some(mut visit) = find(writing, number)? else {
        return Err(ChartError::Waits("the visit that is moved".into()));
    };
    let former = std::mem::replace(&mut visit.mrn, mrn.to_owned());
    if former == mrn {
        return Ok(());
    }
    let (number, former) = (visit.number.clone(), patients::root(writing, &former)?);
    writing.put(&number, ChartBody::Visit(Box::new(visit)))?;
    for kind in [ChartKind::Order, ChartKind::Report] {
        for row in all(writing, kind, Term::Visit, &number)? {
            let (of, placer) = match &row.body {
                ChartBody::Order(order) => (order.visit.as_str(), Some(order.placer.clone())),
                ChartBody::Report(report) => (report.visit.as_str(), None),
                _ => continue,
            };
            if of == number && hand(writing, row, &former, mrn)? {
                let steps =
                    placer.map(|placer| all(writing, ChartKind::Performed, Term::Placer, &placer)).transpose()?;
                for step in steps.into_iter().flatten() {
                    hand(writing, step, &former, mrn)?;
                }
            }
        }
    }
    Ok(())
}

fn all(writing: &Writing<'_>, kind: ChartKind, term: Term, value: &str) -> Result<Vec<ChartRow>, ChartError> {
    let rows = writing.find(kind, term, value, HANDED_MAX.saturating_add(1))?;
    if rows.len() > HANDED_MAX {
        return Err(ChartError::Limit(format!("more than {HANDED_MAX} rows go with the visit")));
    }
    Ok(rows)
}

/// Gives a row to another patient, if it was that of the former one; whether it did.
fn hand(writing: &mut Writing<'_>, row: ChartRow, former: &str, mrn: &str) -> Result<bool, ChartError> {
    let ChartRow { key, mut body, .. } = row;
    match body.mrn() {
        Some(of) if of == mrn => return Ok(true),
        Some(of) if patients::root(writing, of)? == former => {}
        _ => {
            writing.remark("some of what names the visit is another patient's and stays so");
            return Ok(false);
        }
    }
    match &mut body {
        ChartBody::Order(order) => mrn.clone_into(&mut order.mrn),
        ChartBody::Report(report) => mrn.clone_into(&mut report.mrn),
        ChartBody::Performed(step) => step.mrn = Some(mrn.to_owned()),
        _ => return Ok(false),
    }
    if let ChartBody::Order(order) = &body {
        look_again(writing, &order.placer)?;
    }
    writing.put(&key.id, body)?;
    Ok(true)
}

/// Images that were taken for an order's may not be its new patient's.
fn look_again(writing: &Writing<'_>, placer: &str) -> Result<(), ChartError> {
    for row in writing.find(ChartKind::Match, Term::Placer, placer, STUDIES_MAX)? {
        if let ChartBody::Match(one) = row.body {
            let key = StudyKey { facility: writing.facility(), study: one.study, patient: one.patient };
            writing.charts().note_study(&key);
        }
    }
    Ok(())
}
