//! ServiceRequest: an order of a facility as it stands.

use super::bundle::Found;
use super::desk::{DCM, Desk, add};
use super::pages::{self, Gathered, Page};
use super::question::{Question, Wanted};
use super::said::SCHEMES;
use super::tables::Resource;
use super::{dates, ids, patients, studies};
use crate::problem::Problem;
use archive::ChartQuery;
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Code, Order, OrderState, Priority, Term};
use model::{FacilityCode, Uid};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Code system of the states of requests.
const STATES: &str = "http://hl7.org/fhir/request-status";

/// A state in words of FHIR.
fn status(state: OrderState) -> &'static str {
    match state {
        OrderState::Scheduled | OrderState::InProgress => "active",
        OrderState::Completed => "completed",
        OrderState::Canceled | OrderState::Discontinued => "revoked",
    }
}

const STATES_ALL: [OrderState; 5] = [
    OrderState::Scheduled,
    OrderState::InProgress,
    OrderState::Completed,
    OrderState::Canceled,
    OrderState::Discontinued,
];

/// The rows that ids name.
pub(crate) fn named(wanted: &Wanted) -> BTreeSet<(FacilityCode, String)> {
    wanted.tokens().filter_map(|(_, id)| ids::read(id)).collect()
}

/// The orders of identifiers.
fn identified(desk: &Desk, wanted: &Wanted) -> Result<Page, Problem> {
    let systems = &desk.systems;
    let mut all = Gathered::default();
    pages::looked_up(desk, wanted.any.len())?;
    for (system, code) in wanted.tokens() {
        let is = |one: &str| system.is_none_or(|system| system == one);
        if is(&systems.placer) {
            all.add_numbered(desk, ChartKind::Order, code, |_| true)?;
        }
        let uid = Uid::parse(code.trim_start_matches("urn:oid:")).ok();
        let study = uid.filter(|_| is(studies::UIDS) && code.starts_with("urn:oid:"));
        let by = [
            is(&systems.accession).then(|| (Term::Accession, code.to_owned())),
            is(&systems.filler).then(|| (Term::Filler, code.to_owned())),
            study.map(|study| (Term::Study, study.as_str().to_owned())),
        ];
        for (term, value) in by.into_iter().flatten().filter(|(_, value)| !value.trim().is_empty()) {
            let query = patients::equal(ChartKind::Order, term, &value);
            let found = desk.charts().find(&desk.caller, &query, None, patients::ROWS_MAX)?;
            found.rows.into_iter().try_for_each(|row| all.add(row))?;
        }
    }
    Ok(all.page())
}

/// The orders that a search names by id or identifier; none where it names none so.
fn direct(desk: &Desk, question: &Question) -> Result<Option<Page>, Problem> {
    let mut found: Option<Page> = None;
    if let Some(wanted) = question.all("_id").next() {
        let mut all = Gathered::default();
        all.add_named(desk, ChartKind::Order, named(wanted), |_| true)?;
        found = Some(all.page());
    }
    for wanted in question.all("identifier") {
        let page = identified(desk, wanted)?;
        match &mut found {
            None => found = Some(page),
            Some(found) => {
                let keys: BTreeSet<&ChartKey> = page.rows.iter().map(|one| &one.row.key).collect();
                found.rows.retain(|one| keys.contains(&one.row.key));
            }
        }
    }
    Ok(found)
}

/// Finds orders, the newest first.
pub(crate) fn find(desk: &Desk, question: &Question, count: usize, after: Option<&str>) -> Result<Found, Problem> {
    let after = patients::cursor(after)?;
    let (by_patient, numbers) = patients::asked(desk, question)?;
    let fits = |row: &ChartRow| fits(desk, question, row) && numbers.iter().all(|set| patients::is_of(set, row));
    if let Some(mut page) = direct(desk, question)? {
        page.rows.retain(|one| fits(&one.row));
        return Ok(Found::of(page));
    }
    let queries: Vec<ChartQuery> = match (by_patient, question.all("status").next()) {
        (Some(numbers), _) => patients::queries_of(ChartKind::Order, &numbers),
        (None, Some(wanted)) => {
            let asked = |state: &OrderState| wanted.tokens().any(|(_, code)| code == status(*state));
            let states = STATES_ALL.into_iter().filter(asked);
            states.map(|state| patients::equal(ChartKind::Order, Term::State, state.name())).collect()
        }
        (None, None) => vec![patients::equal(ChartKind::Order, Term::Any, "")],
    };
    Ok(Found::of(pages::find(desk, &queries, count, after, fits)?))
}

fn fits(desk: &Desk, question: &Question, row: &ChartRow) -> bool {
    let ChartBody::Order(order) = &row.body else { return false };
    let id = ids::of(row.key.facility, &row.key.id).unwrap_or_default();
    let code = order.procedure_code.as_ref();
    let system = code.map_or("", |code| system(desk, code));
    question.accepts_token("_id", "", &[&id])
        && question.accepts_token("status", STATES, &[status(order.state)])
        && question.accepts_token("code", system, &[code.map_or("", |code| code.value.as_str())])
        && question.accepts_date("authored", Some(dates::at(order.placed)))
}

/// One by its id.
pub(crate) fn read(desk: &Desk, id: &str) -> Result<Option<Value>, Problem> {
    let Some((facility, placer)) = ids::read(id) else { return Ok(None) };
    let row = desk.row(ChartKind::Order, facility, &placer)?;
    row.map(|row| shown(desk, &row)).transpose().map(Option::flatten)
}

fn system<'a>(desk: &'a Desk, code: &Code) -> &'a str {
    let known = SCHEMES.iter().find(|(_, scheme)| *scheme == code.scheme.trim());
    known.map_or(desk.systems.procedure.as_str(), |(uri, _)| *uri)
}

/// A code with words beside it.
fn concept(desk: &Desk, code: Option<&Code>, words: &str) -> Value {
    let mut concept = Map::new();
    if let Some(code) = code.filter(|code| !code.value.trim().is_empty()) {
        let mut coding = Map::new();
        add(&mut coding, "system", system(desk, code));
        add(&mut coding, "code", code.value.trim());
        add(&mut coding, "display", code.meaning.trim());
        add(&mut concept, "coding", vec![Value::Object(coding)]);
    }
    let words = if words.trim().is_empty() { code.map_or("", |code| code.meaning.as_str()) } else { words };
    add(&mut concept, "text", words.trim());
    Value::Object(concept)
}

fn identifiers(desk: &Desk, facility: FacilityCode, order: &Order) -> Vec<Value> {
    let systems = &desk.systems;
    let mut all = vec![desk.identifier("PLAC", &systems.placer, &order.placer, Some(facility))];
    let others = [("FILL", &systems.filler, &order.filler), ("ACSN", &systems.accession, &order.accession)];
    for (kind, system, number) in others.into_iter().filter(|(_, _, number)| !number.trim().is_empty()) {
        all.push(desk.identifier(kind, system, number, Some(facility)));
    }
    all.push(studies::uid(&order.study));
    all
}

/// A visit by its number; visits are no resources here.
pub(crate) fn encounter(desk: &Desk, facility: FacilityCode, visit: &str) -> Option<Value> {
    let visit = visit.trim();
    (!visit.is_empty())
        .then(|| json!({"identifier": desk.identifier("VN", &desk.systems.visit, visit, Some(facility))}))
}

/// An order as a resource; none where its number is too long for an id.
pub(crate) fn shown(desk: &Desk, row: &ChartRow) -> Result<Option<Value>, Problem> {
    let (facility, Some(id)) = (row.key.facility, ids::of(row.key.facility, &row.key.id)) else { return Ok(None) };
    let ChartBody::Order(order) = &row.body else { return Ok(None) };
    let mut shown = Map::new();
    add(&mut shown, "resourceType", Resource::ServiceRequest.name());
    add(&mut shown, "id", id);
    add(&mut shown, "meta", json!({"versionId": row.lsn.to_string()}));
    add(&mut shown, "identifier", identifiers(desk, facility, order));
    add(&mut shown, "status", status(order.state));
    add(&mut shown, "intent", "order");
    add(&mut shown, "category", vec![json!({"coding": [{"system": "http://snomed.info/sct", "code": "363679005"}]})]);
    let priority = match order.priority {
        Priority::Stat => "stat",
        Priority::High => "urgent",
        Priority::Routine | Priority::Medium | Priority::Low => "routine",
    };
    add(&mut shown, "priority", priority);
    let code = concept(desk, order.procedure_code.as_ref(), &order.procedure);
    let coded = code.as_object().is_some_and(|code| !code.is_empty());
    add(&mut shown, "code", code);
    let modalities: BTreeSet<&str> = order.steps.iter().map(|step| step.modality.trim()).collect();
    let modality = |code: &&str| json!({"coding": [{"system": DCM, "code": code}]});
    // Details may only stand beside a code (invariant prr-1).
    if coded {
        let known = modalities.iter().filter(|code| !code.is_empty());
        add(&mut shown, "orderDetail", known.map(modality).collect::<Vec<_>>());
    }
    add(&mut shown, "subject", desk.patient(facility, &order.mrn, "")?);
    add(&mut shown, "encounter", encounter(desk, facility, &order.visit));
    let first = order.steps.first();
    add(&mut shown, "occurrenceDateTime", first.map(|step| dates::instant(step.start, desk.utc_offset)));
    add(&mut shown, "authoredOn", dates::instant(order.placed, desk.utc_offset));
    let person = |name: &str| (!name.trim().is_empty()).then(|| json!({"display": name.trim()}));
    add(&mut shown, "requester", person(&order.requesting));
    let performing = first.and_then(|step| person(&step.performing));
    add(&mut shown, "performer", performing.into_iter().collect::<Vec<_>>());
    let words = |text: &str| if text.trim().is_empty() { Vec::new() } else { vec![json!({"text": text.trim()})] };
    add(&mut shown, "locationCode", words(&order.location));
    add(&mut shown, "reasonCode", words(&order.reason));
    Ok(Some(Value::Object(shown)))
}
