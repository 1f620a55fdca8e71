//! Results that come in: their versions, and the order and study they belong to.

use super::{holder, is_same, order, put};
use crate::charts::ChartError;
use crate::charts::writing::Writing;
use model::chart::{ChartBody, ChartKind, ChartRow, Order, OrderState, Report, ReportStatus, Term};

/// Orders looked at that have the same number.
const SAME_MAX: usize = 16;

/// Takes a result: the first of its number, a further version, or the same again.
///
/// # Errors
/// [`ChartError::Waits`] for a patient that is not known yet, [`ChartError::Conflict`] when it names what is another
/// patient's.
pub(in crate::charts) fn report(writing: &mut Writing<'_>, report: &Report) -> Result<(), ChartError> {
    let number = report.number.trim();
    if holder(writing, &report.mrn)?.is_none() {
        return Err(ChartError::Waits("its patient".into()));
    }
    let mut report = Report { number: number.to_owned(), mrn: report.mrn.trim().to_owned(), ..report.clone() };
    link(writing, &mut report)?;
    let former = match writing.row(ChartKind::Report, number)? {
        Some(ChartBody::Report(former)) => Some(*former),
        _ => None,
    };
    report.version = 1;
    if let Some(former) = former {
        if !is_same(writing, &former.mrn, &report.mrn)? {
            return Err(ChartError::Conflict(format!("result {number} is another patient's")));
        }
        if !follows(writing, &former, &mut report) {
            return Ok(());
        }
    }
    answered(writing, &report)?;
    writing.put(number, ChartBody::Report(Box::new(report)))
}

/// The order of a final result says when its first one was made. A sender that does not know, or whose clock is ahead, made
/// it now at the latest.
fn answered(writing: &mut Writing<'_>, report: &Report) -> Result<(), ChartError> {
    if report.placer.trim().is_empty() || !matches!(report.status, ReportStatus::Final | ReportStatus::Amended) {
        return Ok(());
    }
    let Some(mut found) = order(writing, &report.placer)?.filter(|order| order.course.result.is_none()) else {
        return Ok(());
    };
    let now = writing.now();
    found.course.result = Some(if report.at == 0 { now } else { report.at.min(now) });
    put(writing, found)
}

/// Whether a result takes the place of a former one; makes it the version behind it.
fn follows(writing: &mut Writing<'_>, former: &Report, report: &mut Report) -> bool {
    use ReportStatus::{Amended, Canceled, Final, Preliminary};
    let number = &former.number;
    report.version = former.version;
    if report.status == Canceled && report.contents.is_empty() {
        // What is taken back can still be read as what it was.
        report.contents.clone_from(&former.contents);
    }
    if *report == (Report { at: report.at, ..former.clone() }) {
        return false;
    }
    let differs = report.contents != former.contents;
    match (former.status, report.status) {
        (Final | Amended | Canceled, Preliminary) => {
            writing.remark(format!("result {number} is past its preliminary version, which was not taken"));
            return false;
        }
        (Final | Amended, Final) if differs => {
            writing.remark(format!("result {number} was final: another final version counts as corrected"));
            report.status = Amended;
        }
        (Amended, Final) => report.status = Amended,
        (Canceled, Final | Amended) => writing.remark(format!("result {number} was taken back and is given again")),
        _ => {}
    }
    // The same words again under a status that became the former's say nothing new either.
    if *report == (Report { at: report.at, ..former.clone() }) {
        return false;
    }
    report.version = former.version.saturating_add(1);
    true
}

/// Finds the order a result names, and adds what the result does not say of it.
fn link(writing: &Writing<'_>, report: &mut Report) -> Result<(), ChartError> {
    let Some(order) = named(writing, report)? else { return Ok(()) };
    if !is_same(writing, &order.mrn, &report.mrn)? {
        return Err(ChartError::Conflict(format!("result {} names an order of another patient", report.number)));
    }
    let fill = |field: &mut String, known: &str| {
        if field.trim().is_empty() {
            known.clone_into(field);
        }
    };
    fill(&mut report.placer, &order.placer);
    fill(&mut report.accession, &order.accession);
    fill(&mut report.visit, &order.visit);
    report.study.get_or_insert(order.study);
    Ok(())
}

/// The order a result names: by placer order number, Accession Number, Study Instance UID.
fn named(writing: &Writing<'_>, report: &Report) -> Result<Option<Order>, ChartError> {
    let placer = report.placer.trim();
    if !placer.is_empty()
        && let Some(found) = order(writing, placer)?
    {
        return Ok(Some(found));
    }
    let accession = report.accession.trim();
    if !accession.is_empty()
        && let Some(found) = by(writing, Term::Accession, accession)?
    {
        return Ok(Some(found));
    }
    match &report.study {
        Some(study) => by(writing, Term::Study, study.as_str()),
        None => Ok(None),
    }
}

/// The order that has a number; of several the newest that was not canceled.
pub(in crate::charts) fn by(writing: &Writing<'_>, term: Term, value: &str) -> Result<Option<Order>, ChartError> {
    Ok(preferred(writing.find(ChartKind::Order, term, value, SAME_MAX)?))
}

/// Of orders with the same number, newest first, the first that was not canceled.
pub(in crate::charts) fn preferred(rows: Vec<ChartRow>) -> Option<Order> {
    let mut canceled = None;
    for row in rows {
        match row.body {
            ChartBody::Order(order) if order.state != OrderState::Canceled => return Some(*order),
            ChartBody::Order(order) => canceled = canceled.or(Some(*order)),
            _ => {}
        }
    }
    canceled
}
