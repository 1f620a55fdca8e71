//! Visits: admissions and outpatients' calls of a facility.
//!
//! Deliberately not here: what a visit's class means for how long images are kept.

use super::ChartError;
use super::patients::{self, set};
use super::writing::Writing;
use model::chart::{ChartBody, ChartKind, Term, Visit, VisitState, VisitUpdate};

/// Most orders, and most results, that go with a visit from one patient to another.
const HANDED_MAX: usize = 10_000;

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
    if before.as_ref() == Some(&visit) {
        return Ok(());
    }
    writing.put(number, ChartBody::Visit(Box::new(visit)))
}

fn take(visit: &mut Visit, update: &VisitUpdate) {
    set(&mut visit.class, update.class.as_ref());
    set(&mut visit.location, update.location.as_ref());
    set(&mut visit.referring, update.referring.as_ref());
    set(&mut visit.disposition, update.disposition.as_ref());
    set(&mut visit.diagnoses, update.diagnoses.as_ref());
    set(&mut visit.pregnant, update.pregnant.as_ref());
    set(&mut visit.begin, update.begin.as_ref());
    set(&mut visit.end, update.end.as_ref());
    set(&mut visit.state, update.state.as_ref());
    // A discharge that is taken back (A13) leaves the patient where they were.
    if update.end == Some(None) && update.state.is_none() && visit.state == VisitState::Discharged {
        visit.state = VisitState::Admitted;
    }
}

/// A visit is another patient's, and with it the orders and results that name it.
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
    let number = visit.number.clone();
    writing.put(&number, ChartBody::Visit(Box::new(visit)))?;
    for kind in [ChartKind::Order, ChartKind::Report] {
        let rows = writing.find(kind, Term::Visit, &number, HANDED_MAX.saturating_add(1))?;
        if rows.len() > HANDED_MAX {
            return Err(ChartError::Limit(format!("more than {HANDED_MAX} rows go with the visit")));
        }
        for row in rows {
            let body = match row.body {
                ChartBody::Order(mut order) if order.mrn == former && order.visit == number => {
                    mrn.clone_into(&mut order.mrn);
                    ChartBody::Order(order)
                }
                ChartBody::Report(mut report) if report.mrn == former && report.visit == number => {
                    mrn.clone_into(&mut report.mrn);
                    ChartBody::Report(report)
                }
                _ => continue,
            };
            writing.put(&row.key.id, body)?;
        }
    }
    Ok(())
}
