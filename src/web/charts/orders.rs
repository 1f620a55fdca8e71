//! Orders by REST: placed, changed, taken back, shown and found.

use super::find::{self, Paging};
use super::said::{self, Said};
use super::writing::{self, Wanted};
use super::{bad, facility, key, patients, shown};
use crate::admin::{body, bytes};
use crate::app::Call;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::ChartQuery;
use axum::response::Response;
use http::StatusCode;
use model::chart::{
    Change, ChartBody, ChartKind, ChartRow, OrderAction, OrderState, OrderUpdate, Priority, StepUpdate, Term,
    VisitState, VisitUpdate,
};
use model::date::DAY_MS;
use model::{AeTitle, Date, FacilityCode, Uid};
use serde_json::{Value, json};

/// Most steps of one order.
const STEPS_MAX: usize = 64;
/// Most performed steps shown with an order.
const PERFORMED_MAX: usize = 20;
const HOUR_MS: i64 = 3_600_000;

/// A new order or what happens to one; patient and visit stand in it where the system has nothing else to say them by.
pub(super) async fn put(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let sent = endpoint == Endpoint::CreateOrder;
    let named = match endpoint {
        Endpoint::CreateOrder => None,
        _ => Some(key(ChartKind::Order, facility, call.parameter("placer"), "placer")?.id),
    };
    let bytes = bytes(&call, call.app.options.body_bytes_max).await?;
    let changes = changes(Said::read(&bytes)?, named)?;
    let (placer, mrn) = match changes.last() {
        Some(Change::Order(order)) => (order.placer.clone(), order.mrn.clone()),
        _ => (String::new(), None),
    };
    let wanted = Wanted { kind: "REST order", facility, mrn, bytes: &bytes, changes, sent };
    let receipt = writing::receive(&call, wanted).await?;
    let row = standing(&call, facility, &placer).await?;
    writing::answered(&receipt, "order", row.as_ref().map_or(Value::Null, shown))
}

/// Takes an order back.
pub(super) async fn cancel(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let placer = key(ChartKind::Order, facility, call.parameter("placer"), "placer")?.id;
    let bytes = bytes(&call, call.app.options.body_bytes_max).await?;
    if !bytes.is_empty() {
        Said::read(&bytes)?.end()?;
    }
    let changes = vec![Change::Order(Box::new(OrderUpdate::new(OrderAction::Cancel, placer.clone())))];
    let wanted = Wanted { kind: "REST cancel", facility, mrn: None, bytes: &bytes, changes, sent: false };
    let receipt = writing::receive(&call, wanted).await?;
    let row = standing(&call, facility, &placer).await?;
    writing::answered(&receipt, "order", row.as_ref().map_or(Value::Null, shown))
}

async fn standing(call: &Call, facility: FacilityCode, placer: &str) -> Result<Option<ChartRow>, Problem> {
    let key = key(ChartKind::Order, facility, placer, "placer")?;
    let caller = call.caller.clone();
    call.blocking(move |archive| Ok(archive.charts().get(&caller, &key)?)).await
}

/// What a body asks for: the patient first, then the visit, the order last.
fn changes(mut said: Said, named: Option<String>) -> Result<Vec<Change>, Problem> {
    let mut changes = Vec::new();
    let mut mrn = said.text("mrn")?.filter(|text| !text.is_empty());
    if let Some(patient) = said.inner("patient")? {
        let update = patients::update(patient, mrn.as_deref())?;
        mrn = Some(update.mrn.clone());
        changes.push(Change::Patient(update));
    }
    let visit = if said.is_object("visit") {
        let inner = said.inner("visit")?;
        let update = inner.map(|inner| visit(inner, mrn.as_deref())).transpose()?;
        let number = update.as_ref().map(|update| update.number.clone());
        changes.extend(update.map(Change::Visit));
        number
    } else {
        said.text("visit")?
    };
    let own = said.text("placer")?.filter(|text| !text.is_empty());
    let placer = match (own, named) {
        (Some(own), Some(named)) if own != named => {
            return Err(said.bad("placer", "another number stands in the path"));
        }
        (Some(own), _) => own,
        (None, Some(named)) => named,
        (None, None) => return Err(said.bad("placer", "placer is needed: the number of the order in your system")),
    };
    let mut order = OrderUpdate::new(action(&mut said)?, placer);
    order.mrn = mrn;
    order.visit = visit;
    details(&mut order, &mut said)?;
    said.end()?;
    changes.push(Change::Order(Box::new(order)));
    Ok(changes)
}

fn action(said: &mut Said) -> Result<OrderAction, Problem> {
    let known = "new, change, cancel, discontinue, or a state: scheduled, in-progress, completed";
    let read = |text: &str| match text {
        "new" => Ok(OrderAction::New),
        "change" => Ok(OrderAction::Change),
        "cancel" => Ok(OrderAction::Cancel),
        "discontinue" => Ok(OrderAction::Discontinue),
        _ => state(text).map(OrderAction::Status).ok_or_else(|| known.to_owned()),
    };
    Ok(said.parsed("action", read)?.flatten().unwrap_or(OrderAction::New))
}

fn state(text: &str) -> Option<OrderState> {
    let all = [
        OrderState::Scheduled,
        OrderState::InProgress,
        OrderState::Completed,
        OrderState::Canceled,
        OrderState::Discontinued,
    ];
    all.into_iter().find(|state| state.name() == text)
}

fn details(order: &mut OrderUpdate, said: &mut Said) -> Result<(), Problem> {
    order.filler = said.text("filler")?;
    order.accession = said.text("accession")?;
    order.study = said.uid("study")?.flatten();
    order.procedure_id = said.text("procedure_id")?;
    order.procedure = said.text("procedure")?;
    order.procedure_code = said.code("procedure_code")?;
    order.requesting = said.text("requesting")?;
    order.service = said.text("service")?;
    order.referring = said.text("referring")?;
    order.priority = said.parsed("priority", priority)?.map(Option::unwrap_or_default);
    order.location = said.text("location")?;
    order.reason = said.text("reason")?;
    order.patient_state = said.text("patient_state")?;
    order.weight = said.text("weight")?;
    order.alerts = said.text("alerts")?;
    let pregnancy = said.number("pregnancy")?.map(u16::try_from).transpose();
    order.pregnancy = pregnancy.map_err(|_| said.bad("pregnancy", "a code of Pregnancy Status (0010,21C0), 1 to 4"))?;
    let steps = said.list("steps")?.unwrap_or_default();
    if steps.len() > STEPS_MAX {
        return Err(said.bad("steps", format!("at most {STEPS_MAX} steps")));
    }
    order.steps = steps.into_iter().map(step).collect::<Result<_, _>>()?;
    Ok(())
}

fn priority(text: &str) -> Result<Priority, String> {
    let all = [Priority::Stat, Priority::High, Priority::Routine, Priority::Medium, Priority::Low];
    let named = all.into_iter().find(|one| one.term().eq_ignore_ascii_case(text));
    let code = || matches!(text, "S" | "A" | "R").then(|| Priority::of_hl7(text));
    named.or_else(code).ok_or_else(|| "stat, high, routine, medium, low, or a code S, A, R".to_owned())
}

fn step(mut said: Said) -> Result<StepUpdate, Problem> {
    let ae = |text: &str| AeTitle::parse(text).map_err(|error| error.to_string());
    let protocol = said.list("protocol")?;
    let update = StepUpdate {
        id: said.text("id")?.unwrap_or_default(),
        modality: said.text("modality")?,
        station: said.parsed("station", ae)?,
        station_name: said.text("station_name")?,
        location: said.text("location")?,
        start: said.parsed("start", clock)?.flatten(),
        performing: said.text("performing")?,
        description: said.text("description")?,
        protocol: protocol.map(|list| list.into_iter().map(said::code).collect::<Result<_, _>>()).transpose()?,
        appointment: None,
    };
    said.end()?;
    Ok(update)
}

/// A time as the facility's clock shows it: `2026-11-28T08:30`, `202611280830`, with seconds or without.
pub(super) fn clock(text: &str) -> Result<(String, String), String> {
    let wrong = || "a time of the facility's own clock, as 2026-11-28T08:30, without a zone".to_owned();
    let plain: String = text.chars().filter(|letter| !matches!(letter, '-' | ':' | 'T' | ' ')).collect();
    let shape = plain.bytes().all(|byte| byte.is_ascii_digit()) && matches!(plain.len(), 12 | 14);
    let (date, time) = plain.split_at_checked(8).filter(|_| shape).ok_or_else(wrong)?;
    let time = format!("{time:0<6}");
    let number = |from: usize, to: usize| time.get(from..to).and_then(|part| part.parse::<u8>().ok());
    let sound = number(0, 2).is_some_and(|hour| hour < 24)
        && number(2, 4).is_some_and(|minute| minute < 60)
        && number(4, 6).is_some_and(|second| second < 60);
    if Date::parse_da(date).is_none() || !sound {
        return Err(wrong());
    }
    Ok((date.to_owned(), time))
}

fn visit(mut said: Said, mrn: Option<&str>) -> Result<VisitUpdate, Problem> {
    let number = said.needed("number")?;
    let mrn = mrn.ok_or_else(|| said.bad("number", "a visit needs mrn, too"))?.to_owned();
    let states = |text: &str| match text {
        "registered" => Ok(VisitState::Registered),
        "admitted" => Ok(VisitState::Admitted),
        "discharged" => Ok(VisitState::Discharged),
        "canceled" => Ok(VisitState::Canceled),
        _ => Err("registered, admitted, discharged or canceled".to_owned()),
    };
    let update = VisitUpdate {
        number,
        mrn,
        state: said.parsed("state", states)?.flatten(),
        class: said.text("class")?,
        location: said.text("location")?,
        referring: said.text("referring")?,
        disposition: said.text("disposition")?,
        diagnoses: said.texts("diagnoses")?,
        records: said.classes("records")?,
        pregnant: said.flag("pregnant")?,
        begin: said.number("begin")?,
        end: said.number("end")?.map(Some),
        formerly: None,
    };
    said.end()?;
    Ok(update)
}

/// An order by its number.
pub(super) async fn show(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let row = standing(&call, facility, call.parameter("placer")).await?;
    let none = || Problem::new(Kind::NotFound, "the facility has no order of this number").at("path segment placer");
    let row = row.ok_or_else(none)?;
    let steps = find::equal(ChartKind::Performed, facility, Term::Placer, &row.key.id);
    let caller = call.caller.clone();
    let steps = call.blocking(move |archive| Ok(archive.charts().find(&caller, &steps, None, PERFORMED_MAX)?)).await?;
    let performed: Vec<Value> = steps.rows.iter().filter_map(performed).collect();
    let mut view = shown(&row);
    if let (Some(object), false) = (view.as_object_mut(), performed.is_empty()) {
        object.insert("performed".into(), performed.into());
    }
    body(StatusCode::OK, &view)
}

/// What a modality reported of an order: since when, how it ended, and why it was broken off.
fn performed(row: &ChartRow) -> Option<Value> {
    let ChartBody::Performed(step) = &row.body else { return None };
    let instances: usize = step.series.iter().map(|series| series.instances.len()).sum();
    let mut view = json!({
        "uid": step.uid, "state": step.state, "station": step.station, "start": step.start,
        "series": step.series.len(), "instances": instances,
    });
    if let Some(object) = view.as_object_mut() {
        object.extend(step.end.map(|end| ("end".to_owned(), end.into())));
        object.extend((!step.reason.is_empty()).then(|| ("reason".to_owned(), step.reason.clone().into())));
    }
    Some(view)
}

/// Finds orders.
pub(super) async fn find(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let paging = Paging::of(&call)?;
    let text = |name: &str| call.query_value(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let study = text("study").map(|text| Uid::parse(&text).map_err(|error| bad("study", error.to_string())));
    let study = study.transpose()?;
    let wanted = text("state").map(|text| state(&text).ok_or_else(|| bad("state", "this is no state of an order")));
    let wanted = wanted.transpose()?;
    let (accession, visit, mrn) = (text("accession"), text("visit"), text("mrn"));
    let moments = moments(text("from"), text("to"), call.app.archive.options().forward.utc_offset)?;
    let caller = call.caller.clone();
    let found = call
        .blocking(move |archive| {
            let charts = archive.charts();
            let numbers = match &mrn {
                None => Vec::new(),
                Some(mrn) => find::numbers(charts, &caller, facility, mrn)?,
            };
            let one = |by: Term, value: &str| find::equal(ChartKind::Order, facility, by, value);
            let mut queries: Vec<ChartQuery> = match (&accession, &study, &visit, wanted) {
                (Some(accession), ..) => vec![one(Term::Accession, accession)],
                (None, Some(study), ..) => vec![one(Term::Study, study.as_str())],
                (None, None, Some(visit), _) => vec![one(Term::Visit, visit)],
                _ if mrn.is_some() => numbers.iter().map(|number| one(Term::Mrn, number)).collect(),
                (.., Some(state)) => vec![one(Term::State, state.name())],
                _ => vec![one(Term::Any, "")],
            };
            queries.iter_mut().for_each(|query| query.moments = moments);
            let fits = |row: &ChartRow| {
                let ChartBody::Order(order) = &row.body else { return false };
                accession.as_ref().is_none_or(|number| order.accession == *number || order.sent_accession == *number)
                    && study.as_ref().is_none_or(|study| order.study == *study)
                    && visit.as_ref().is_none_or(|visit| order.visit == *visit)
                    && wanted.is_none_or(|state| order.state == state)
                    && (mrn.is_none() || numbers.contains(&order.mrn))
            };
            Ok(find::rows(charts, &caller, &queries, paging, fits)?)
        })
        .await?;
    body(StatusCode::OK, &found.shown("orders", shown))
}

/// The moments of days as the facility's clock has them, both included.
pub(super) fn moments(from: Option<String>, to: Option<String>, utc_offset: i8) -> Result<Option<(u64, u64)>, Problem> {
    let day = |text: &str, name: &str| {
        let day = Date::parse_da(&text.replace('-', ""));
        day.ok_or_else(|| bad(name, format!("{name} takes a day, as 2026-11-28")))
    };
    let from = from.map(|text| day(&text, "from")).transpose()?;
    let to = to.map(|text| day(&text, "to")).transpose()?;
    if from.is_none() && to.is_none() {
        return Ok(None);
    }
    let local = |ms: u64| ms.saturating_add_signed(-i64::from(utc_offset).saturating_mul(HOUR_MS));
    let start = from.map_or(0, |day| local(day.start_ms()));
    let end = to.map_or(u64::MAX, |day| local(day.start_ms().saturating_add(DAY_MS)).saturating_sub(1));
    Ok(Some((start, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, named: Option<&str>) -> Result<Vec<Change>, Problem> {
        changes(Said::read(text.as_bytes())?, named.map(str::to_owned))
    }

    #[test]
    fn an_order_brings_its_patient_and_visit_in_front() {
        let text = r#"{"patient":{"mrn":"22015985","name":"Nguyễn Văn An"},"visit":{"number":"LK1","class":"I"},
            "procedure":"Chụp CT ngực","priority":"S","procedure_code":"0401.0123",
            "steps":[{"modality":"CT","station":"","start":"2026-11-28T08:30"}]}"#;
        let changes = asked(text, Some("A-1")).expect("an order");
        let [Change::Patient(patient), Change::Visit(visit), Change::Order(order)] = changes.as_slice() else {
            panic!("{changes:?}")
        };
        assert_eq!((patient.mrn.as_str(), visit.mrn.as_str()), ("22015985", "22015985"));
        assert_eq!(
            (order.placer.as_str(), order.action, order.priority),
            ("A-1", OrderAction::New, Some(Priority::Stat))
        );
        assert_eq!((order.mrn.as_deref(), order.visit.as_deref()), (Some("22015985"), Some("LK1")));
        assert_eq!(order.accession, None, "silent");
        let step = order.steps.first().expect("a step");
        assert_eq!((&step.station, &step.start), (&Some(None), &Some(("20261128".into(), "083000".into()))));
    }

    #[test]
    fn what_is_no_order_is_refused_by_its_field() {
        for (text, named, place) in [
            ("{}", None, "placer"),
            (r#"{"placer":"2"}"#, Some("1"), "placer"),
            (r#"{"action":"burn"}"#, Some("1"), "action"),
            (r#"{"steps":[{"start":"2026-02-30T08:30"}]}"#, Some("1"), "steps[0].start"),
            (r#"{"steps":[{"start":"2026-11-28T08:30Z"}]}"#, Some("1"), "steps[0].start"),
            (r#"{"steps":[{"station":"a\\b"}]}"#, Some("1"), "steps[0].station"),
            (r#"{"visit":{"number":"1"}}"#, Some("1"), "visit.number"),
            (r#"{"mrn":"1","patient":{"mrn":"2"}}"#, Some("1"), "patient.mrn"),
            (r#"{"study":"1..2"}"#, Some("1"), "study"),
            (r#"{"colour":"red"}"#, Some("1"), "colour"),
        ] {
            let problem = asked(text, named).expect_err(text);
            assert_eq!(problem.place, format!("body field {place}"), "{text}");
        }
    }

    #[test]
    fn days_are_the_facilitys_own() {
        let day = |text: &str| Some(text.to_owned());
        let span = moments(day("2026-11-28"), day("20261128"), 7).expect("days").expect("a span");
        let midnight = Date::parse("2026-11-28").expect("a day").start_ms();
        assert_eq!(span, (midnight - 7 * 3_600_000, midnight + 17 * 3_600_000 - 1));
        assert_eq!(moments(None, None, 7).expect("open"), None);
        assert!(moments(day("yesterday"), None, 7).is_err());
    }
}
