//! Both sides of a row of a steward's list: what the study says, what its order says, and where they differ.

use crate::app::Call;
use crate::charts::{find, studies};
use crate::problem::Problem;
use archive::charts::{ChartError, Charts};
use archive::{Archive, FoundRow};
use model::attribute::key;
use model::chart::{BirthDate, ChartBody, ChartKey, ChartKind, ChartRow, Match, Order, Patient, Sex, Side, Term};
use model::{Caller, FacilityCode, Uid, name};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most orders proposed for a study without one.
const CANDIDATES_MAX: usize = 5;
/// Orders of a patient looked at for that.
const LOOKED_MAX: usize = 50;

/// What links of an answer are made from.
pub(super) struct Links {
    base: String,
    viewer: bool,
}

impl Links {
    pub(super) fn of(call: &Call) -> Self {
        Self { base: call.base_url(), viewer: call.app.viewer.is_some() }
    }
}

/// Studies, orders and patients of the rows of a page.
pub(super) struct Sides {
    studies: BTreeMap<(FacilityCode, Uid), FoundRow>,
    orders: BTreeMap<(FacilityCode, String), Order>,
    patients: BTreeMap<(FacilityCode, String), Arc<Patient>>,
    candidates: BTreeMap<(FacilityCode, Uid), Vec<Order>>,
}

impl Sides {
    /// Looks up what the caller may see of both sides.
    pub(super) fn of(archive: &Archive, caller: &Caller, rows: &[ChartRow]) -> Result<Self, Problem> {
        let charts = archive.charts();
        let (studies, orders) = (of_index(archive, caller, rows)?, BTreeMap::new());
        let mut all = Self { studies, orders, patients: BTreeMap::new(), candidates: BTreeMap::new() };
        for row in rows {
            let facility = row.key.facility;
            match &row.body {
                ChartBody::Match(one) if one.placer.is_empty() => all.propose(charts, caller, facility, one)?,
                ChartBody::Match(one) => {
                    if let Some(order) = order(charts, caller, facility, &one.placer)? {
                        all.orders.insert((facility, one.placer.clone()), order);
                    }
                }
                ChartBody::Order(order) => {
                    if let Some(patient) = charts.patient(caller, facility, &order.mrn)? {
                        all.patients.insert((facility, order.mrn.clone()), patient);
                    }
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// Orders of the same patient of which no image came.
    fn propose(
        &mut self,
        charts: &Charts,
        caller: &Caller,
        facility: FacilityCode,
        one: &Match,
    ) -> Result<(), ChartError> {
        let mut orders = Vec::<Order>::new();
        let mrn = one.of_study.mrn.trim();
        let numbers = if mrn.is_empty() { Vec::new() } else { find::numbers(charts, caller, facility, mrn)? };
        for number in numbers {
            let query = find::equal(ChartKind::Order, facility, Term::Mrn, &number);
            for row in charts.find(caller, &query, None, LOOKED_MAX)?.rows {
                match row.body {
                    ChartBody::Order(order) if order.images.is_none() && order.state.is_open() => orders.push(*order),
                    _ => {}
                }
            }
        }
        orders.truncate(CANDIDATES_MAX);
        self.candidates.insert((facility, one.study.clone()), orders);
        Ok(())
    }

    /// The rows as they are answered.
    pub(super) fn shown(&self, rows: &[ChartRow], links: &Links) -> Vec<Value> {
        let show = |row: &ChartRow| match &row.body {
            ChartBody::Match(one) => Some(self.of_match(row.key.facility, one, links)),
            ChartBody::Order(order) => Some(self.of_order(row.key.facility, order)),
            _ => None,
        };
        rows.iter().filter_map(show).collect()
    }

    fn of_match(&self, facility: FacilityCode, one: &Match, links: &Links) -> Value {
        let study = self.studies.get(&(facility, one.study.clone()));
        let order = self.orders.get(&(facility, one.placer.clone()));
        let mut of_study = side(&one.of_study);
        if let (Some(object), Some(study)) = (of_study.as_object_mut(), study) {
            let Value::Object(more) = studies::shown(study, &links.base, links.viewer) else { return Value::Null };
            object.extend(more.into_iter().filter(|(name, _)| name != "mrn" && name != "study"));
        }
        let of_order = one.of_order.as_ref().map(|told| {
            let mut view = side(told);
            if let (Some(object), Some(Value::Object(more))) = (view.as_object_mut(), order.map(of_an_order)) {
                object.extend(more);
            }
            view
        });
        let accession = study.map_or("", |study| studies::value(study, key::ACCESSION_NUMBER));
        let acts: Vec<Value> = one.acts.iter().map(|act| json!({"act": act.act, "by": act.by, "at": act.at})).collect();
        let candidates = self.candidates.get(&(facility, one.study.clone()));
        json!({
            "facility": facility,
            "study": one.study,
            "verdict": one.verdict,
            "why": one.why,
            "complete": one.complete,
            "placer": one.placer,
            "by": one.by,
            "at": one.at,
            "of_study": of_study,
            "of_order": of_order,
            "differs": differences(one, accession, order),
            "candidates": candidates.into_iter().flatten().map(of_an_order).collect::<Vec<_>>(),
            "acts": acts,
        })
    }

    fn of_order(&self, facility: FacilityCode, order: &Order) -> Value {
        let nobody = || Arc::new(Patient { mrn: order.mrn.clone(), ..Patient::default() });
        let patient = self.patients.get(&(facility, order.mrn.clone())).map_or_else(nobody, Arc::clone);
        let Patient { mrn, name, birth, sex, .. } = patient.as_ref();
        let mut view = side(&Side { mrn: mrn.clone(), name: name.clone(), birth: *birth, sex: *sex });
        if let (Some(object), Value::Object(more)) = (view.as_object_mut(), of_an_order(order)) {
            object.extend(more);
        }
        json!({"facility": facility, "placer": order.placer, "study": order.study, "of_order": view})
    }
}

/// The studies of rows, as the caller may see them.
fn of_index(
    archive: &Archive,
    caller: &Caller,
    rows: &[ChartRow],
) -> Result<BTreeMap<(FacilityCode, Uid), FoundRow>, Problem> {
    let mut wanted = BTreeMap::<FacilityCode, BTreeSet<Uid>>::new();
    for row in rows {
        if let ChartBody::Match(one) = &row.body {
            wanted.entry(row.key.facility).or_default().insert(one.study.clone());
        }
    }
    let mut found = BTreeMap::new();
    for (facility, uids) in wanted {
        let questions = studies::by_uids(uids).into_iter().collect();
        for row in studies::any(archive, caller, facility, questions)?.0 {
            found.insert((facility, row.study.clone()), row);
        }
    }
    Ok(found)
}

fn order(charts: &Charts, caller: &Caller, facility: FacilityCode, placer: &str) -> Result<Option<Order>, ChartError> {
    let Ok(key) = ChartKey::new(ChartKind::Order, facility, placer) else { return Ok(None) };
    Ok(match charts.get(caller, &key)?.map(|row| row.body) {
        Some(ChartBody::Order(order)) => Some(*order),
        _ => None,
    })
}

fn side(side: &Side) -> Value {
    let year = side.birth.map(BirthDate::year);
    json!({"mrn": side.mrn, "name": side.name, "birth": side.birth, "birth_year": year, "sex": side.sex})
}

fn of_an_order(order: &Order) -> Value {
    let first = order.steps.first();
    let modalities: BTreeSet<&str> = order.steps.iter().map(|step| step.modality.as_str()).collect();
    json!({
        "placer": order.placer,
        "accession": order.accession,
        "procedure": order.procedure,
        "state": order.state,
        "date": first.map_or("", |step| step.date.as_str()),
        "time": first.map_or("", |step| step.time.as_str()),
        "modalities": modalities,
        "placed": order.placed,
    })
}

/// In what the two sides differ, by the names of what they are answered under. A name that differs contradicts nothing.
fn differences(one: &Match, accession: &str, order: Option<&Order>) -> Vec<&'static str> {
    let Some(of_order) = &one.of_order else { return Vec::new() };
    let (study, mut found) = (&one.of_study, Vec::new());
    let told = |sex: Sex| matches!(sex, Sex::Male | Sex::Female);
    let words = |text: &str| name::words(&name::fold_names(text)).into_iter().collect::<BTreeSet<_>>();
    if study.mrn.trim() != of_order.mrn.trim() {
        found.push("mrn");
    }
    if words(&study.name) != words(&of_order.name) {
        found.push("name");
    }
    if told(study.sex) && told(of_order.sex) && study.sex != of_order.sex {
        found.push("sex");
    }
    if let (Some(one), Some(two)) = (study.birth, of_order.birth)
        && !one.agrees(two)
    {
        found.push("birth");
    }
    let number = accession.trim();
    let same = |order: &Order| [&order.accession, &order.sent_accession].into_iter().any(|one| one.trim() == number);
    if !number.is_empty() && order.is_some_and(|order| !same(order)) {
        found.push("accession");
    }
    found
}
