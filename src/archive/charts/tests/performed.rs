//! Performed procedure steps: which order they move, and that what has ended stays.

use super::orders::{new, update};
use super::*;
use crate::charts::{ChartError, WorklistQuery};
use model::chart::{Order, OrderAction, OrderState, OrderUpdate, Performed, PerformedState, StepUpdate};
use model::{AeTitle, Uid};
use serde_json::{Map, Value, json};

type Document = Map<String, Value>;

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a uid")
}

fn document(value: Value) -> Document {
    match value {
        Value::Object(document) => document,
        other => panic!("{other}"),
    }
}

/// What a modality sends when it begins: study, accession number and step it was scheduled as.
fn begin(study: &str, accession: &str, step: &str) -> Document {
    document(json!({
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "LE^AN"}]},
        "00100020": {"vr": "LO", "Value": ["1"]},
        "00400241": {"vr": "AE", "Value": ["CT1"]},
        "00400244": {"vr": "DA", "Value": ["20270115"]},
        "00400245": {"vr": "TM", "Value": ["151000"]},
        "00400252": {"vr": "CS", "Value": ["IN PROGRESS"]},
        "00400253": {"vr": "SH", "Value": ["PPS1"]},
        "00400270": {"vr": "SQ", "Value": [{
            "0020000D": {"vr": "UI", "Value": [study]},
            "00080050": {"vr": "SH", "Value": [accession]},
            "00400009": {"vr": "SH", "Value": [step]},
        }]},
    }))
}

fn status(state: &str) -> Document {
    document(json!({"00400252": {"vr": "CS", "Value": [state]}}))
}

fn completed() -> Document {
    let mut said = status("COMPLETED");
    said.extend(document(json!({
        "00400250": {"vr": "DA", "Value": ["20270115"]},
        "00400251": {"vr": "TM", "Value": ["152000"]},
        "00400340": {"vr": "SQ", "Value": [{
            "0020000E": {"vr": "UI", "Value": ["1.2.3.1"]},
            "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3.1.1"]}}]},
        }]},
    })));
    said
}

fn discontinued(code: &str) -> Document {
    let mut said = status("DISCONTINUED");
    said.extend(document(json!({"00400281": {"vr": "SQ", "Value": [{
        "00080100": {"vr": "SH", "Value": [code]},
        "00080102": {"vr": "SH", "Value": ["DCM"]},
        "00080104": {"vr": "LO", "Value": ["a reason"]},
    }]}})));
    said
}

impl Bench {
    fn begins(&self, number: &str, document: Document) -> Result<(), ChartError> {
        let station = AeTitle::parse("ANY").expect("a title");
        self.charts().begin_performed(HOME, &station, &uid(number), document)
    }

    fn sets(&self, number: &str, document: Document) -> Result<(), ChartError> {
        self.charts().set_performed(HOME, &uid(number), document)
    }

    fn performed(&self, number: &str) -> Performed {
        self.charts().performed(HOME, &uid(number)).expect("answers").expect("a step")
    }

    fn with_order() -> Self {
        let bench = Self::new();
        bench.done("p", vec![patient("1", "Lê An"), patient("2", "Trần Bình")]);
        bench.says(OrderUpdate { accession: Some("A1".into()), study: Some(uid("1.2.3")), ..new("P1") });
        bench
    }

    fn states(&self, placer: &str) -> (OrderState, Vec<OrderState>) {
        let Order { state, steps, .. } = self.order(placer).expect("an order");
        (state, steps.into_iter().map(|step| step.state).collect())
    }
}

#[test]
fn a_step_goes_from_begin_to_end_and_its_order_with_it() {
    use OrderState::{Completed, InProgress};
    let bench = Bench::with_order();
    bench.begins("1.9.1", begin("1.2.3", "A1", "A1")).expect("begun");
    let step = bench.performed("1.9.1");
    assert_eq!(step.order, Some(("P1".into(), "A1".into())));
    assert_eq!((step.station.as_str(), step.mrn.as_deref(), step.start), ("CT1", Some("1"), 1_800_000_600_000));
    assert_eq!(bench.states("P1"), (InProgress, vec![InProgress]));
    assert!(matches!(bench.begins("1.9.1", begin("1.2.3", "A1", "A1")), Err(ChartError::Conflict(_))), "a UID twice");
    // A cancel comes too late now.
    assert!(matches!(bench.says(update(OrderAction::Cancel, "P1")).handled, Handled::Refused { .. }));
    // What may not be set is passed over, the rest is taken.
    let said = document(json!({
        "00100020": {"vr": "LO", "Value": ["2"]},
        "00400254": {"vr": "LO", "Value": ["CT ngực"]},
    }));
    bench.sets("1.9.1", said).expect("set");
    let step = bench.performed("1.9.1");
    assert_eq!(step.document["00100020"]["Value"][0], "1");
    assert_eq!(step.document["00400254"]["Value"][0], "CT ngực");
    assert!(
        matches!(bench.sets("1.9.1", status("COMPLETED")), Err(ChartError::Invalid(_))),
        "completed without series"
    );
    assert!(matches!(bench.sets("1.9.1", status("PAUSED")), Err(ChartError::Invalid(_))));
    assert_eq!(bench.performed("1.9.1").state, PerformedState::InProgress, "what was refused left nothing");
    bench.sets("1.9.1", completed()).expect("completed");
    let step = bench.performed("1.9.1");
    assert_eq!((step.state, step.end), (PerformedState::Completed, Some(1_800_001_200_000)));
    let series = step.series.first().expect("a series");
    assert_eq!((series.uid.as_str(), series.instances.len()), ("1.2.3.1", 1));
    assert_eq!(bench.states("P1"), (Completed, vec![Completed]));
    assert!(bench.listed(&WorklistQuery::default()).is_empty());
    for state in ["IN PROGRESS", "COMPLETED", "DISCONTINUED"] {
        let ended = bench.sets("1.9.1", status(state));
        assert!(matches!(&ended, Err(ChartError::Conflict(why)) if why.contains("no longer")), "{ended:?}");
    }
    assert!(matches!(bench.sets("1.9.2", completed()), Err(ChartError::Unknown(_))));
}

#[test]
fn what_a_step_must_say_is_asked_for() {
    let bench = Bench::with_order();
    for missing in ["00400244", "00400245", "00400252", "00400270"] {
        let mut document = begin("1.2.3", "A1", "A1");
        document.remove(missing);
        assert!(matches!(bench.begins("1.9.1", document), Err(ChartError::Invalid(_))), "{missing}");
    }
    let mut without_study = begin("1.2.3", "A1", "A1");
    without_study["00400270"]["Value"][0].as_object_mut().expect("an item").remove("0020000D");
    assert!(matches!(bench.begins("1.9.1", without_study), Err(ChartError::Invalid(_))));
    let mut ended = begin("1.2.3", "A1", "A1");
    ended.extend(status("COMPLETED"));
    assert!(matches!(bench.begins("1.9.1", ended), Err(ChartError::Invalid(_))));
    // The calling title stands for a station that is not named.
    let mut nameless = begin("1.2.3", "A1", "A1");
    nameless.remove("00400241");
    bench.begins("1.9.1", nameless).expect("begun");
    assert_eq!(bench.performed("1.9.1").station.as_str(), "ANY");
}

#[test]
fn a_step_finds_its_order_by_study_then_accession_then_step() {
    let bench = Bench::with_order();
    let named = |bench: &Bench, number: &str| bench.performed(number).order.map(|(placer, _)| placer);
    for (number, study, accession, step, found) in [
        ("1.9.1", "1.2.3", "other", "other", Some("P1")),
        ("1.9.2", "1.2.9", "A1", "other", Some("P1")),
        ("1.9.3", "1.2.9", "", "A1", Some("P1")),
        ("1.9.4", "1.2.9", "", "none", None),
    ] {
        bench.begins(number, begin(study, accession, step)).expect("begun");
        assert_eq!(named(&bench, number).as_deref(), found, "{number}");
    }
    // Another patient at the console moves no order.
    bench.says(OrderUpdate { accession: Some("A2".into()), ..new("P2") });
    let mut wrong = begin("1.2.9", "A2", "A2");
    wrong.insert("00100020".into(), json!({"vr": "LO", "Value": ["2"]}));
    bench.begins("1.9.5", wrong).expect("begun");
    assert_eq!(named(&bench, "1.9.5"), None);
    assert_eq!(bench.states("P2").0, OrderState::Scheduled);
    // After a merge of the two it is the same patient.
    bench.done("m", vec![merge("1", "2")]);
    let mut right = begin("1.2.9", "A2", "A2");
    right.insert("00100020".into(), json!({"vr": "LO", "Value": ["2"]}));
    bench.begins("1.9.6", right).expect("begun");
    assert_eq!(named(&bench, "1.9.6").as_deref(), Some("P2"));
}

#[test]
fn an_order_ends_with_the_last_of_its_steps() {
    use OrderState::{Completed, Discontinued, InProgress, Scheduled};
    let bench = Bench::with_order();
    let step = |id: &str| StepUpdate { id: id.into(), modality: Some("CT".into()), ..StepUpdate::default() };
    let study = Some(uid("1.2.4"));
    bench.says(OrderUpdate { study, steps: vec![step("S1"), step("S2")], ..new("P2") });
    bench.begins("1.9.1", begin("1.2.4", "", "S1")).expect("begun");
    assert_eq!(bench.states("P2"), (InProgress, vec![InProgress, Scheduled]));
    bench.sets("1.9.1", completed()).expect("completed");
    assert_eq!(bench.states("P2"), (InProgress, vec![Completed, Scheduled]));
    bench.begins("1.9.2", begin("1.2.4", "", "S2")).expect("begun");
    bench.sets("1.9.2", discontinued("110513")).expect("discontinued");
    assert_eq!(bench.performed("1.9.2").reason, "a reason");
    assert_eq!(bench.states("P2"), (Completed, vec![Completed, Discontinued]));
    // The only one broken off breaks off its order.
    bench.begins("1.9.3", begin("1.2.3", "A1", "A1")).expect("begun");
    bench.sets("1.9.3", discontinued("110513")).expect("discontinued");
    assert_eq!(bench.states("P1"), (Discontinued, vec![Discontinued]));
}

#[test]
fn a_wrong_line_of_the_worklist_gives_the_step_back() {
    let bench = Bench::with_order();
    bench.begins("1.9.1", begin("1.2.3", "A1", "A1")).expect("begun");
    bench.sets("1.9.1", discontinued("110514")).expect("discontinued");
    assert_eq!(bench.states("P1"), (OrderState::Scheduled, vec![OrderState::Scheduled]));
    assert_eq!(bench.performed("1.9.1").order, None);
    assert_eq!(bench.listed(&WorklistQuery::default()), ["P1 A1 1"]);
    bench.begins("1.9.2", begin("1.2.3", "A1", "A1")).expect("begun");
    bench.sets("1.9.2", completed()).expect("completed");
    assert_eq!(bench.states("P1").0, OrderState::Completed);
}

#[test]
fn a_step_of_more_than_ten_thousand_images_is_kept_whole_and_one_without_end_is_refused() {
    let mut bench = Bench::with_order();
    bench.begins("1.9.1", begin("1.2.3", "A1", "A1")).expect("begun");
    // As long as UIDs are.
    let instance = |number: u32| format!("1.2.840.113619.2.55.3.604688119.971.1800000000.123.1{number:09}");
    let images = |count: u32| {
        let image = |number: u32| {
            json!({
                "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2.1"]},
                "00081155": {"vr": "UI", "Value": [instance(number)]},
            })
        };
        let images: Vec<Value> = (0..count).map(image).collect();
        let mut said = completed();
        said.extend(document(json!({"00400340": {"vr": "SQ", "Value": [{
            "0020000E": {"vr": "UI", "Value": ["1.2.3.1"]},
            "00081140": {"vr": "SQ", "Value": images},
        }]}})));
        said
    };
    let endless = bench.sets("1.9.1", images(80_000));
    assert!(matches!(endless, Err(ChartError::Limit(_))), "{endless:?}");
    assert_eq!(bench.performed("1.9.1").state, PerformedState::InProgress);
    bench.sets("1.9.1", images(12_000)).expect("set");
    bench.lose_index();
    let step = bench.performed("1.9.1");
    assert_eq!((step.state, step.series[0].instances.len()), (PerformedState::Completed, 12_000));
    assert_eq!(step.series[0].instances[11_999], uid(&instance(11_999)));
}
