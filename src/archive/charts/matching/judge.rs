//! Whether a study is an order's, and what follows for the order.
//!
//! What a person decided is never judged again.

use crate::charts::ChartError;
use crate::charts::orders::{self, states};
use crate::charts::writing::Writing;
use index::StudyRow;
use model::attribute::key;
use model::chart::course;
use model::chart::matched::{ACTS_MAX, Act, Before, Decision, Former};
use model::chart::{BirthDate, ChartBody, ChartKind, Match, Order, OrderState, Patient, Sex, Side, Term, Verdict};

/// Matches of one order that are looked at.
const SAME_MAX: usize = 64;

/// An order that a study may be of.
pub(super) struct Candidate {
    placer: String,
    how: &'static str,
    /// Found by a number that is none of a kind: only the same patient's order counts.
    weak: bool,
}

impl Candidate {
    /// Found by a number that stands for the order alone.
    pub(super) fn new(order: Order, how: &'static str) -> Self {
        Self { placer: order.placer, how, weak: false }
    }

    /// Found by the number of a step.
    pub(super) fn of_step(order: Order) -> Self {
        Self { placer: order.placer, how: "by the scheduled step in its images", weak: true }
    }
}

/// Whether the newest instance of a study is covered by the fact that it is complete.
pub(super) fn is_complete(row: &StudyRow) -> bool {
    row.complete_through.is_some_and(|through| through >= row.last_seq)
}

fn opened(known: Option<&Match>) -> Option<u64> {
    known.and_then(|known| known.opened)
}

/// What is known of a study beside its order.
pub(super) fn known(writing: &Writing<'_>, row: &StudyRow) -> Result<Option<Match>, ChartError> {
    Ok(match writing.row(ChartKind::Match, &Match::id(&row.key.study, row.key.patient))? {
        Some(ChartBody::Match(one)) => Some(*one),
        _ => None,
    })
}

/// Records what is so, unless it was recorded before. That somebody looked at the study, and that of its moves was told,
/// stays so.
pub(super) fn put(writing: &mut Writing<'_>, known: Option<&Match>, one: Match) -> Result<(), ChartError> {
    let moved = known.map_or(0, |known| known.moved).max(one.moved);
    let one = Match { opened: one.opened.or_else(|| opened(known)), moved, ..one };
    if known.is_some_and(|known| *known == (Match { at: known.at, ..one.clone() })) {
        return Ok(());
    }
    let id = Match::id(&one.study, one.patient);
    writing.put(&id, ChartBody::Match(Box::new(one)))
}

/// Judges a study and its candidate; `moved` is when series were last moved into it or out of it.
pub(super) fn judge(
    writing: &mut Writing<'_>,
    row: &StudyRow,
    candidate: Option<&Candidate>,
    moved: u64,
) -> Result<(), ChartError> {
    let known = known(writing, row)?;
    // A study that every series was moved out of is no order's, whoever decided what.
    if let Some(decided) = known.as_ref().filter(|known| known.by.is_some() && row.instances > 0) {
        return go_on(writing, row, decided, moved);
    }
    let earlier = known.as_ref().map(|known| known.placer.as_str()).filter(|_| row.instances > 0);
    let earlier = earlier.filter(|placer| !placer.is_empty());
    let placer = candidate.map(|candidate| candidate.placer.as_str()).or(earlier);
    let order = match placer {
        Some(placer) => orders::order(writing, placer)?,
        None => None,
    };
    let of_study = side_of_study(writing, row)?;
    let acts = known.as_ref().map_or_else(Vec::new, |known| known.acts.clone());
    let mut one = Match { of_study, acts, moved, ..unmatched(row, writing.now()) };
    if let Some(order) = order {
        let of_order = side_of_order(writing, &order)?;
        let mut why = one.of_study.contradictions(&of_order);
        if order.state == OrderState::Canceled {
            why.push("the order was canceled".into());
        }
        if why.is_empty() || !candidate.is_some_and(|candidate| candidate.weak) {
            one.verdict = if why.is_empty() { Verdict::Matched } else { Verdict::Mismatch };
            why.extend(candidate.map(|candidate| candidate.how.to_owned()));
            one = Match { placer: order.placer.clone(), mrn: Some(order.mrn.clone()), why, ..one };
            one.of_order = Some(of_order);
        }
    }
    conclude(writing, row, known, one)
}

/// Records a new judgement and what follows from it for the orders of both.
pub(super) fn conclude(
    writing: &mut Writing<'_>,
    row: &StudyRow,
    known: Option<Match>,
    mut one: Match,
) -> Result<(), ChartError> {
    let held = known.as_ref().filter(|known| known.verdict == Verdict::Matched);
    let same = held.is_some_and(|held| one.verdict == Verdict::Matched && held.placer == one.placer);
    if let Some(held) = held.filter(|_| !same) {
        release(writing, held)?;
    }
    if one.verdict == Verdict::Matched
        && let Some(order) = orders::order(writing, &one.placer)?
    {
        one.before = held.filter(|_| same).and_then(|held| held.before.clone()).or_else(|| Some(before(&order)));
        stamp(writing, row, order, opened(known.as_ref()))?;
    }
    put(writing, known.as_ref(), one)
}

/// A person decided: only what has come since is taken over, and what the study says now.
fn go_on(writing: &mut Writing<'_>, row: &StudyRow, decided: &Match, moved: u64) -> Result<(), ChartError> {
    if decided.verdict == Verdict::Matched
        && let Some(order) = orders::order(writing, &decided.placer)?
    {
        stamp(writing, row, order, decided.opened)?;
    }
    let (complete, modalities) = (is_complete(row), row.modalities.clone());
    let (of_study, accession) = (side_of_study(writing, row)?, accession(row));
    put(writing, Some(decided), Match { of_study, accession, complete, modalities, moved, ..decided.clone() })
}

/// The patient's number that a study says.
pub(super) fn number(row: &StudyRow) -> String {
    super::value(row.value(key::PATIENT_ID).as_deref())
}

/// What people decided of a study, with one more decision at the end.
pub(super) fn decided(
    writing: &Writing<'_>,
    row: &StudyRow,
    known: Option<&Match>,
    act: Decision,
    by: &str,
) -> Result<Vec<Act>, ChartError> {
    let former = match known {
        Some(known) => Some(former(writing, known)?),
        None => None,
    };
    let mut acts = known.map_or_else(Vec::new, |known| known.acts.clone());
    if acts.len() >= ACTS_MAX {
        acts.remove(0);
    }
    acts.push(Act { act, by: by.to_owned(), at: writing.now(), former, number: Some(number(row)) });
    Ok(acts)
}

fn former(writing: &Writing<'_>, known: &Match) -> Result<Former, ChartError> {
    let held = match known.verdict {
        Verdict::Matched => orders::order(writing, &known.placer)?.as_ref().map(before),
        _ => None,
    };
    let Match { mrn, placer, verdict, why, by, before, at, .. } = known.clone();
    Ok(Former { mrn, placer, verdict, why, by, before, held, at })
}

/// Brings back what held before the newest decision: the judgement, and the orders of both as they were, as far as
/// nothing else has happened to them since.
pub(super) fn restore(
    writing: &mut Writing<'_>,
    row: &StudyRow,
    known: &Match,
    acts: Vec<Act>,
    former: Option<Former>,
) -> Result<(), ChartError> {
    let holds = known.verdict == Verdict::Matched;
    let Some(former) = former else {
        if holds {
            release(writing, known)?;
        }
        return writing.remove(ChartKind::Match, &Match::id(&known.study, known.patient));
    };
    let Former { mrn, placer, verdict, why, by, before: was, held, at } = former;
    let (of_study, order) = (side_of_study(writing, row)?, earlier_order(writing, &placer)?);
    let of_order = order.as_ref().map(|order| side_of_order(writing, order)).transpose()?;
    let same = holds && verdict == Verdict::Matched && known.placer == placer;
    if holds && !same {
        release(writing, known)?;
    }
    let mut one = Match { mrn, placer, verdict, why, of_study, of_order, by, before: was, acts, ..unmatched(row, at) };
    if verdict == Verdict::Matched
        && !same
        && let Some(mut order) = earlier_order(writing, &one.placer)?
    {
        let now = before(&order);
        match held.filter(|_| one.before.as_ref() == Some(&now)) {
            Some(held) => {
                bring_back(&mut order, &held);
                orders::put(writing, order.clone())?;
            }
            None if one.before.is_none() => one.before = Some(now),
            None => {}
        }
        stamp(writing, row, order, known.opened)?;
    }
    put(writing, Some(known), one)
}

fn earlier_order(writing: &Writing<'_>, placer: &str) -> Result<Option<Order>, ChartError> {
    if placer.is_empty() { Ok(None) } else { orders::order(writing, placer) }
}

fn bring_back(order: &mut Order, held: &Before) {
    (order.state, order.images, order.complete) = (held.state, held.images, held.complete);
    (order.course.announced, order.course.opened) = (held.announced, held.opened);
    for (step, state) in order.steps.iter_mut().zip(&held.steps) {
        step.state = *state;
    }
}

/// A study that has no order.
pub(super) fn unmatched(row: &StudyRow, at: u64) -> Match {
    let mrn = number(row);
    Match {
        study: row.key.study.clone(),
        patient: row.key.patient,
        mrn: Some(mrn).filter(|mrn| !mrn.is_empty()),
        placer: String::new(),
        verdict: Verdict::Unmatched,
        why: Vec::new(),
        of_study: Side::default(),
        accession: accession(row),
        modalities: row.modalities.clone(),
        of_order: None,
        complete: is_complete(row),
        by: None,
        before: None,
        acts: Vec::new(),
        opened: None,
        moved: 0,
        at,
    }
}

/// The Accession Number that a study was corrected to.
fn accession(row: &StudyRow) -> Option<String> {
    row.corrected.values.get(&key::ACCESSION_NUMBER).map(|text| super::value(Some(text)))
}

/// What a study says of its patient.
pub(super) fn side_of_study(writing: &Writing<'_>, row: &StudyRow) -> Result<Side, ChartError> {
    let of = |wanted| super::value(row.value(wanted).as_deref());
    let number = number(row);
    Ok(Side {
        mrn: orders::holder(writing, &number)?.map_or(number, |patient| patient.mrn),
        name: of(key::PATIENT_NAME),
        birth: BirthDate::parse(&of(key::PATIENT_BIRTH_DATE)).ok(),
        sex: Sex::of(&of(key::PATIENT_SEX)),
    })
}

/// What an order's patient is.
pub(super) fn side_of_order(writing: &Writing<'_>, order: &Order) -> Result<Side, ChartError> {
    let nobody = || Patient { mrn: order.mrn.clone(), ..Patient::default() };
    let Patient { mrn, name, birth, sex, .. } = orders::holder(writing, &order.mrn)?.unwrap_or_else(nobody);
    Ok(Side { mrn, name, birth, sex })
}

fn before(order: &Order) -> Before {
    Before {
        state: order.state,
        steps: order.steps.iter().map(|step| step.state).collect(),
        images: order.images,
        complete: order.complete,
        announced: order.course.announced,
        opened: order.course.opened,
    }
}

fn has_performed(writing: &Writing<'_>, placer: &str) -> Result<bool, ChartError> {
    Ok(!writing.find(ChartKind::Performed, Term::Placer, placer, 1)?.is_empty())
}

/// Images of an order came, and were opened or not: it says so, and goes on by them where no modality says how far it is.
fn stamp(writing: &mut Writing<'_>, row: &StudyRow, mut order: Order, opened: Option<u64>) -> Result<(), ChartError> {
    let (was, now, complete) = (order.clone(), writing.now(), is_complete(row));
    order.images.get_or_insert(now);
    if let Some(opened) = opened {
        course::first(&mut order.course.opened, opened);
    }
    if complete {
        order.complete.get_or_insert(now);
    }
    if order.state.is_open() && !has_performed(writing, &order.placer)? {
        let alone = order.steps.len() == 1;
        let theirs = order.steps.iter_mut().filter(|step| alone || row.modalities.contains(&step.modality));
        for step in theirs.filter(|step| step.state.is_open()) {
            step.state = if complete { OrderState::Completed } else { OrderState::InProgress };
        }
        if order.state == OrderState::Scheduled {
            order.state = OrderState::InProgress;
        }
        states::follow(&mut order);
    }
    if order == was { Ok(()) } else { orders::put(writing, order) }
}

/// A study is no longer an order's: the order is what it was before, as far as nothing else has happened to it.
pub(super) fn release(writing: &mut Writing<'_>, held: &Match) -> Result<(), ChartError> {
    let (Some(mut order), Some(before)) = (orders::order(writing, &held.placer)?, held.before.as_ref()) else {
        return Ok(());
    };
    let id = Match::id(&held.study, held.patient);
    let others = writing.find(ChartKind::Match, Term::Placer, &held.placer, SAME_MAX)?;
    let others = others.into_iter().filter(|row| row.key.id != id).filter_map(|row| match row.body {
        ChartBody::Match(one) if one.verdict == Verdict::Matched => Some((row.key.id, one)),
        _ => None,
    });
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        // The last one to go leaves the order as it was before the first one came.
        for (id, mut other) in others.into_iter().filter(|_| before.images.is_none()) {
            other.before = Some(before.clone());
            writing.put(&id, ChartBody::Match(other))?;
        }
        return Ok(());
    }
    (order.images, order.complete) = (before.images, before.complete);
    (order.course.announced, order.course.opened) = (before.announced, before.opened);
    let taken_back = matches!(order.state, OrderState::Canceled | OrderState::Discontinued);
    if !taken_back && !has_performed(writing, &order.placer)? {
        order.state = before.state;
        for (step, state) in order.steps.iter_mut().zip(&before.steps) {
            step.state = *state;
        }
    }
    orders::put(writing, order)
}
