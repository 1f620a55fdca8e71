//! The worklist against an answer that looks at everything, and what enters and leaves it.

use super::*;
use crate::charts::times;
use model::chart::{Order, OrderState, Patient, Step};
use model::{AeTitle, Uid, name};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

const HOME: FacilityCode = FacilityCode::DEMO;
/// 2026-11-28 09:00 in Viet Nam.
const NOW: u64 = 1_795_831_200_000;

struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn list() -> (Worklist, Arc<Hands>) {
    let hands = Arc::new(Hands(AtomicU64::new(NOW)));
    let clock = Arc::<Hands>::clone(&hands);
    (Worklist::new(clock, 30, 7), hands)
}

fn row(lsn: u64, id: &str, body: ChartBody) -> ChartRow {
    let key = ChartKey::new(body.kind(), HOME, id).expect("a key");
    ChartRow { key, lsn, created: lsn, seal: None, body }
}

fn step(id: &str, modality: &str, station: Option<&str>, date: &str, time: &str) -> Step {
    let (date, time, start) = times::moment(date, time, 7).expect("a moment");
    let station = station.map(|title| AeTitle::parse(title).expect("a title"));
    Step { id: id.into(), modality: modality.into(), station, date, time, start, ..Step::default() }
}

fn order(placer: &str, mrn: &str, steps: Vec<Step>) -> Order {
    let text = format!(
        r#"{{"placer":"{placer}","mrn":"{mrn}","accession":"A{placer}","study":"1.2.{}","placed":0}}"#,
        placer.trim_start_matches('P')
    );
    Order { steps, procedure_id: format!("R{placer}"), ..serde_json::from_str(&text).expect("an order") }
}

fn patient(mrn: &str, name: &str, merged_into: Option<&str>) -> Patient {
    Patient { mrn: mrn.into(), name: name.into(), merged_into: merged_into.map(Into::into), ..Patient::default() }
}

fn put_order(list: &Worklist, lsn: u64, order: &Order) {
    list.put(&row(lsn, &order.placer, ChartBody::Order(Box::new(order.clone()))));
}

fn put_patient(list: &Worklist, lsn: u64, patient: &Patient) {
    list.put(&row(lsn, &patient.mrn, ChartBody::Patient(Box::new(patient.clone()))));
}

fn all(list: &Worklist, query: &WorklistQuery) -> Vec<WorklistItem> {
    let asked = Asked::new(query, 7).expect("a question");
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (items, next) = list.page(HOME, &asked, after.as_ref());
        found.extend(items);
        after = next;
        if after.is_none() {
            return found;
        }
    }
}

fn names(found: &[WorklistItem]) -> Vec<String> {
    found.iter().map(|item| format!("{}/{}", item.order.placer, item.step.id)).collect()
}

/// The answer by looking at everything.
fn by_force(
    orders: &BTreeMap<String, Order>,
    patients: &BTreeMap<String, Patient>,
    query: &WorklistQuery,
) -> Vec<String> {
    let mut found = BTreeSet::new();
    for order in orders.values().filter(|order| order.state.is_open()) {
        let mut patient = &patients[&order.mrn];
        while let Some(next) = &patient.merged_into {
            patient = &patients[next];
        }
        for (number, step) in order.steps.iter().enumerate().filter(|(_, step)| step.state.is_open()) {
            if step.date.as_str() >= "20261029" && matches(order, step, patient, query) {
                found.insert((step.start, order.placer.clone(), number, step.id.clone()));
            }
        }
    }
    found.into_iter().map(|(_, placer, _, step)| format!("{placer}/{step}")).collect()
}

fn matches(order: &Order, step: &Step, patient: &Patient, query: &WorklistQuery) -> bool {
    let is = |asked: &str, value: &str| asked.is_empty() || asked == value;
    let within =
        |value: &str, from: &str, to: &str| (from.is_empty() || from <= value) && (to.is_empty() || value <= to);
    let (days, times) = (&query.days, &query.times);
    let whole = !(days.0.is_empty() || days.1.is_empty() || times.0.is_empty() && times.1.is_empty());
    let when = if whole {
        let last = if times.1.is_empty() { "235959" } else { &times.1 };
        within(&format!("{}{}", step.date, step.time), &format!("{}{}", days.0, times.0), &format!("{}{last}", days.1))
    } else {
        within(&step.date, &days.0, &days.1) && within(&step.time, &times.0, &times.1)
    };
    let folded = name::fold_names(&patient.name);
    let asked = name::fold_pattern(&query.name);
    let named = asked.is_empty()
        || match asked.strip_suffix('*') {
            Some(begin) => folded.starts_with(begin) || folded.split(' ').any(|word| word.starts_with(begin)),
            None => asked.split(' ').all(|asked| folded.split(' ').any(|word| word == asked)),
        };
    when && named
        && query.station.as_ref().is_none_or(|asked| step.station.as_ref().is_none_or(|station| station == asked))
        && (query.modalities.is_empty() || query.modalities.contains(&step.modality))
        && (is(&query.mrn, &patient.mrn) || is(&query.mrn, &order.mrn))
        && is(&query.accession, &order.accession)
        && is(&query.procedure_id, &order.procedure_id)
        && is(&query.step_id, &step.id)
        && (query.studies.is_empty() || query.studies.contains(&order.study))
}

const STATIONS: [Option<&str>; 4] = [None, Some("CT1"), Some("CT2"), Some("US1")];
const MODALITIES: [&str; 3] = ["CT", "US", "MR"];
const PEOPLE: [&str; 5] = ["Nguyễn Văn An", "NGUYEN VAN AN", "Trần Thị Bình", "Đặng Thuý Hoà", "H'Hen Niê"];

fn random_step(rng: &mut fastrand::Rng, id: usize) -> Step {
    let date = format!("202611{:02}", rng.u32(1..=30));
    let date = if rng.u32(..10) == 0 { "20261001".to_owned() } else { date };
    let time = format!("{:02}{:02}{:02}", rng.u32(7..12), rng.u32(..60), 15 * rng.u32(..4));
    let mut step = step(&format!("S{id}"), MODALITIES[rng.usize(..3)], STATIONS[rng.usize(..4)], &date, &time);
    step.state = if rng.u32(..4) == 0 { OrderState::Completed } else { OrderState::Scheduled };
    step
}

fn random_query(rng: &mut fastrand::Rng) -> WorklistQuery {
    let day = |rng: &mut fastrand::Rng| format!("202611{:02}", rng.u32(1..=30));
    let mut query = WorklistQuery::default();
    match rng.u32(..5) {
        0 => {}
        1 => query.days = (day(rng), String::new()),
        2 => query.days = (String::new(), day(rng)),
        3 => {
            query.days = {
                let one = day(rng);
                (one.clone(), one)
            }
        }
        _ => {
            let (one, two) = (day(rng), day(rng));
            query.days = (one.clone().min(two.clone()), one.max(two));
        }
    }
    // Ends on one side only are another test's.
    if rng.u32(..3) == 0 && query.days.0.is_empty() == query.days.1.is_empty() {
        query.times = (["080000", "093000"][rng.usize(..2)].into(), ["", "103000"][rng.usize(..2)].into());
    }
    let sometimes = |rng: &mut fastrand::Rng, one_in: u32| rng.u32(..one_in) == 0;
    if sometimes(rng, 2) {
        query.station = STATIONS[rng.usize(..4)].map(|title| AeTitle::parse(title).expect("a title"));
    }
    if sometimes(rng, 2) {
        query.modalities = (0..rng.usize(..3)).map(|_| MODALITIES[rng.usize(..3)].to_owned()).collect();
    }
    if sometimes(rng, 3) {
        query.name = ["NGUYEN*", "an nguyen", "Hoà", "d*", "BINH^TRAN", "nobody"][rng.usize(..6)].into();
    }
    if sometimes(rng, 5) {
        query.mrn = rng.u32(..12).to_string();
    }
    let placer = rng.u32(..60);
    match rng.u32(..12) {
        0 => query.accession = format!("AP{placer}"),
        1 => query.procedure_id = format!("RP{placer}"),
        2 => query.step_id = format!("S{}", rng.u32(..3)),
        3 => query.studies = (0..3).map(|more| Uid::parse(&format!("1.2.{}", placer + more)).expect("uid")).collect(),
        _ => {}
    }
    query
}

#[test]
fn what_is_answered_is_what_looking_at_everything_finds() {
    for seed in 0..20 {
        let (list, _) = list();
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut orders, mut patients) = (BTreeMap::new(), BTreeMap::new());
        for mrn in 0..12 {
            let patient = patient(&mrn.to_string(), PEOPLE[rng.usize(..5)], None);
            patients.insert(patient.mrn.clone(), patient);
        }
        let mut answers = 0;
        for lsn in 1..400 {
            match rng.u32(..6) {
                // A merge, or an undoing: never into a number that is merged itself, so that there is no circle.
                0 => {
                    let (mrn, into) = (rng.u32(..12), rng.u32(..12));
                    let patient = patients.get_mut(&mrn.to_string()).expect("one");
                    let merged = (into > mrn && rng.bool()).then(|| into.to_string());
                    *patient = Patient { name: PEOPLE[rng.usize(..5)].into(), merged_into: merged, ..patient.clone() };
                    put_patient(&list, lsn, patient);
                }
                1 => {
                    let placer = format!("P{}", rng.u32(..60));
                    orders.remove(&placer);
                    list.gone(&ChartKey::new(ChartKind::Order, HOME, &placer).expect("a key"));
                }
                _ => {
                    let steps = (0..rng.usize(1..4)).map(|id| random_step(&mut rng, id)).collect();
                    let mut order = order(&format!("P{}", rng.u32(..60)), &rng.u32(..12).to_string(), steps);
                    order.state = if rng.u32(..6) == 0 { OrderState::Canceled } else { OrderState::Scheduled };
                    put_order(&list, lsn, &order);
                    orders.insert(order.placer.clone(), order);
                }
            }
            // As the charts do before they answer.
            while let Some(mrn) = list.wanting(HOME).pop() {
                put_patient(&list, lsn, &patients[&mrn]);
            }
            if lsn % 8 == 0 {
                let query = random_query(&mut rng);
                let expected = by_force(&orders, &patients, &query);
                let found = all(&list, &query);
                assert_eq!(names(&found), expected, "seed {seed}, record {lsn}: {query:?}");
                answers += found.len();
                for item in found {
                    assert!(
                        item.patient.merged_into.is_none()
                            && item.patient == Arc::new(patients[&item.patient.mrn].clone())
                    );
                }
            }
        }
        assert!(answers > 30, "seed {seed} answered next to nothing");
    }
}

#[test]
fn days_and_times_bound_one_span_and_bad_ones_are_refused() {
    let (list, _) = list();
    let steps = [("20261126", "100000"), ("20261127", "235900"), ("20261128", "093000"), ("20261128", "180001")];
    let steps = steps.iter().enumerate().map(|(id, at)| step(&id.to_string(), "CT", None, at.0, at.1)).collect();
    put_order(&list, 1, &order("P1", "1", steps));
    put_patient(&list, 1, &patient("1", "Lê An", None));
    let ask = |days: (&str, &str), times: (&str, &str)| {
        let query = WorklistQuery {
            days: (days.0.into(), days.1.into()),
            times: (times.0.into(), times.1.into()),
            ..WorklistQuery::default()
        };
        names(&all(&list, &query)).join(" ")
    };
    assert_eq!(ask(("20261127", "20261128"), ("1000", "180000")), "P1/1 P1/2");
    assert_eq!(ask(("20261126", ""), ("1001", "")), "P1/1 P1/2 P1/3", "both open to the right");
    assert_eq!(ask(("", "20261128"), ("", "093000")), "P1/0 P1/1 P1/2", "both open to the left");
    assert_eq!(ask(("", ""), ("0900", "1000")), "P1/0 P1/2", "times of any day, to the last second of the minute");
    assert_eq!(ask(("20261126", ""), ("", "1000")), "P1/0 P1/2", "ends on other sides: times of each day");
    assert_eq!(ask(("20261128", "20261128"), ("1800", "1800")), "P1/3", "a single time means its whole minute");
    for bad in [("2026", ""), ("", "today")] {
        let query = WorklistQuery { days: (bad.0.into(), bad.1.into()), ..WorklistQuery::default() };
        assert!(matches!(Asked::new(&query, 7), Err(ChartError::Invalid(_))), "{bad:?}");
    }
}

#[test]
fn an_order_of_long_ago_leaves_the_worklist_and_memory() {
    let (list, hands) = list();
    put_order(&list, 1, &order("P1", "1", vec![step("1", "CT", None, "20261029", "0800")]));
    put_order(&list, 2, &order("P2", "1", vec![step("1", "CT", None, "20261028", "0800")]));
    put_patient(&list, 3, &patient("1", "Lê An", None));
    assert_eq!(names(&all(&list, &WorklistQuery::default())), ["P1/1"]);
    hands.0.fetch_add(86_400_000, Ordering::SeqCst);
    assert!(all(&list, &WorklistQuery::default()).is_empty());
    let by_number = WorklistQuery { accession: "AP1".into(), ..WorklistQuery::default() };
    assert!(all(&list, &by_number).is_empty());
    // With the next order of the day what is old is let go.
    put_order(&list, 4, &order("P3", "2", vec![step("1", "CT", None, "20261130", "0800")]));
    assert_eq!(list.order_of_step(HOME, "1").as_deref(), Some("P3"));
    assert_eq!(list.wanting(HOME), ["2"], "nobody is held for orders of long ago");
}

#[test]
fn an_older_state_changes_nothing_and_facilities_never_meet() {
    let (list, _) = list();
    let mut newer = order("P1", "1", vec![step("1", "CT", None, "20261128", "0800")]);
    newer.procedure = "new".into();
    put_order(&list, 5, &newer);
    put_order(&list, 4, &order("P1", "1", vec![step("2", "CT", None, "20261128", "0800")]));
    put_patient(&list, 5, &patient("1", "Lê An", None));
    put_patient(&list, 4, &patient("1", "Lê Ân", None));
    let found = all(&list, &WorklistQuery::default());
    assert_eq!(names(&found), ["P1/1"]);
    assert!(found.iter().all(|item| item.patient.name == "Lê An" && item.order.procedure == "new"));
    let elsewhere = FacilityCode::parse("56001").expect("a facility");
    let asked = Asked::new(&WorklistQuery::default(), 7).expect("a question");
    assert!(list.page(elsewhere, &asked, None).0.is_empty());
}
