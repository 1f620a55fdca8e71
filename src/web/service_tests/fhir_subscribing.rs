//! FHIR subscriptions: made, changed and removed, told of what they ask for and nothing else, and no secret shown.

use super::charts::Hospitals;
use super::fhir::{ask, ids};
use super::outbox::{PATIENCE, header_of, receiver, until};
use super::*;
use crate::hooks::{HookLimits, Hooks};
use archive::charts::outbox::dispatch::{Couriers, PostOffice};
use http::Method;
use model::chart::{Change, Handled, Inbound, OrderAction, OrderUpdate, Origin, PatientUpdate, VisitUpdate};
use model::{Caller, Digest, FacilityCode};
use serde_json::{Value, json};
use tokio::runtime::Handle;

const FHIR: (&str, &str) = ("content-type", "application/fhir+json");
const SECRET: &str = "Bearer kept-by-the-archive";

async fn send(all: &Hospitals, token: &str, method: Method, path: &str, body: &Value) -> Answer {
    ask(all, token, method, path, &[FHIR], &body.to_string()).await
}

fn wanted(endpoint: &str, criteria: &str) -> Value {
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "orders to the EMR", "criteria": criteria,
        "channel": {
            "type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json",
            "header": [format!("Authorization: {SECRET}")],
        },
    })
}

fn order(placer: &str, status: &str) -> Value {
    json!({
        "resourceType": "ServiceRequest", "status": status, "intent": "order", "code": {"text": "CT"},
        "identifier": [{"type": {"coding": [{"code": "PLAC"}]}, "value": placer}],
        "subject": {"reference": "#p"},
        "contained": [{"resourceType": "Patient", "id": "p", "identifier": [{"value": "22000017"}]}],
    })
}

async fn places(all: &Hospitals, placer: &str, status: &str) {
    let answer = send(all, "sender", Method::POST, "/fhir/ServiceRequest", &order(placer, status)).await;
    assert!(answer.status.is_success(), "{placer}: {:?}", answer.body);
}

fn office(all: &Hospitals) -> PostOffice {
    let limits = HookLimits { connect: PATIENCE, answer: PATIENCE, authorities: None, reach: here() };
    let http = Box::new(Hooks::new(Handle::current(), limits));
    PostOffice::start(&all.0.archive, Couriers { hl7: None, http }).expect("started")
}

async fn ends(office: PostOffice) {
    let ended = tokio::task::spawn_blocking(move || office.shutdown(PATIENCE)).await;
    assert!(ended.expect("no panic"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_is_told_what_it_asks_for_until_it_is_removed() {
    let all = Hospitals::open().await;
    let (address, took) = receiver(|_, _| 200);
    let endpoint = format!("http://{address}/emr/");
    let sent = wanted(&endpoint, "ServiceRequest?status=active&facility=56001");
    assert_eq!(send(&all, "sender", Method::POST, "/fhir/Subscription", &sent).await.status, StatusCode::FORBIDDEN);
    let made = send(&all, "admin", Method::POST, "/fhir/Subscription", &sent).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let one = made.json();
    assert_eq!((&one["status"], &one["channel"]["header"]), (&json!("active"), &json!(["Authorization: *****"])));
    let path = format!("/fhir/Subscription/{}", one["id"].as_str().expect("an id"));
    assert_eq!(made.header(header::LOCATION), format!("http://archive.test{path}"));
    let office = office(&all);
    places(&all, "CD-1", "active").await;
    until("the order is told", || took.lock().len() == 1).await;
    let told = took.lock()[0].clone();
    assert!(told.0.starts_with("put /emr/servicerequest/56001.cd-1 http/1.1"), "{}", told.0);
    assert_eq!(header_of(&told, "authorization"), SECRET.to_ascii_lowercase());
    assert_eq!(header_of(&told, "content-type"), "application/fhir+json");
    let resource: Value = serde_json::from_str(&told.1).expect("JSON");
    assert_eq!((&resource["id"], &resource["status"]), (&json!("56001.CD-1"), &json!("active")));
    // What it does not ask for is not told; nothing is told while it is off, and all of it afterwards.
    places(&all, "CD-1", "revoked").await;
    let mut change = one.clone();
    change["status"] = json!("off");
    let off = send(&all, "admin", Method::PUT, &path, &change).await;
    assert_eq!((off.status, &off.json()["status"]), (StatusCode::OK, &json!("off")), "{:?}", off.body);
    places(&all, "CD-2", "active").await;
    change["status"] = json!("active");
    change["channel"].as_object_mut().expect("a channel").remove("payload");
    let stale = [FHIR, ("if-match", made.header(header::ETAG))];
    let refused = ask(&all, "admin", Method::PUT, &path, &stale, &change.to_string()).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
    let on = send(&all, "admin", Method::PUT, &path, &change).await;
    assert_eq!(on.json()["channel"].get("payload"), None, "{:?}", on.body);
    let mut elsewhere = change.clone();
    elsewhere["channel"]["endpoint"] = json!("http://127.0.0.1:1/emr");
    let refused = send(&all, "admin", Method::PUT, &path, &elsewhere).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "a secret goes to another server");
    until("what waited is told", || took.lock().len() == 2).await;
    let told = took.lock()[1].clone();
    assert!(told.0.starts_with("post /emr/ http/1.1"), "{}", told.0);
    assert_eq!((header_of(&told, "authorization"), told.1.as_str()), (&*SECRET.to_ascii_lowercase(), ""));
    let all_of_them = ask(&all, "admin", Method::GET, "/fhir/Subscription?criteria=ServiceRequest", &[], "").await;
    assert!(!String::from_utf8_lossy(&all_of_them.body).contains("kept-by"), "{:?}", all_of_them.body);
    assert_eq!(ids(&all_of_them.json()).len(), 1);
    assert_eq!(ask(&all, "reader", Method::GET, &path, &[], "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&all, "admin", Method::DELETE, &path, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&all, "admin", Method::GET, &path, &[], "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&all, "admin", Method::DELETE, &path, &[], "").await.status, StatusCode::NOT_FOUND);
    ends(office).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_in_trouble_is_said_to_be() {
    let all = Hospitals::open().await;
    let (address, took) = receiver(|_, _| 503);
    let sent = wanted(&format!("http://{address}/emr"), "ServiceRequest?facility=56001&patient.identifier=22000017");
    let made = send(&all, "admin", Method::POST, "/fhir/Subscription", &sent).await.json();
    let path = format!("/fhir/Subscription/{}", made["id"].as_str().expect("an id"));
    let office = office(&all);
    places(&all, "CD-1", "active").await;
    until("it was tried", || !took.lock().is_empty()).await;
    loop {
        let one = ask(&all, "admin", Method::GET, &path, &[], "").await.json();
        if one["status"] == json!("error") {
            assert_eq!(one["error"], json!("the subscriber answers 503"));
            break;
        }
        assert_eq!(one["status"], json!("active"));
        tokio::task::yield_now().await;
    }
    let found = ask(&all, "admin", Method::GET, "/fhir/Subscription?status=error&type=rest-hook", &[], "").await;
    assert_eq!(ids(&found.json()).len(), 1);
    ends(office).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_to_patients_is_told_of_new_and_changed_ones_and_the_feed_shows_them() {
    let all = Hospitals::open().await;
    let says = async |name: &str| {
        all.put("/api/patients/22000019?facility=56001", json!({"name": name})).await;
    };
    says("Trần Bình").await;
    let (address, took) = receiver(|_, _| 200);
    for criteria in ["", "&identifier=22000019", "&identifier=22000018"] {
        let sent = wanted(&format!("http://{address}/emr"), &format!("Patient?facility=56001{criteria}"));
        let made = send(&all, "admin", Method::POST, "/fhir/Subscription", &sent).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    }
    let office = office(&all);
    says("Trần Văn Bình").await;
    until("the patient is told to both who asked", || took.lock().len() == 2).await;
    for told in took.lock().iter() {
        assert!(told.0.starts_with("put /emr/patient/56001.22000019 http/1.1"), "{}", told.0);
        let resource: Value = serde_json::from_str(&told.1).expect("JSON");
        assert_eq!(resource["name"][0]["text"], json!("Trần Văn Bình"), "{resource}");
    }
    let feed = all.does("admin", Method::GET, "/api/changes", Value::Null).await;
    assert_eq!(
        feed["changes"][0]["event"],
        json!({"kind": "patient", "id": "22000019", "state": "changed", "version": 0})
    );
    assert_eq!(feed["changes"].as_array().map(Vec::len), Some(1), "{feed}");
    ends(office).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_is_refused_with_what_is() {
    let all = Hospitals::open().await;
    let good = wanted("https://emr.example/fhir", "ImagingStudy?modality=CT&facility=56001");
    let with = |place: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(place).expect("a place") = value;
        body
    };
    for (body, status, told) in [
        (
            with("/criteria", json!("ImagingStudy?modality=CT&started=ge2026-01-01&facility=56001")),
            422,
            "patient.identifier",
        ),
        (with("/criteria", json!("Observation?code=1")), 422, "ServiceRequest by facility"),
        (with("/criteria", json!("ImagingStudy?modality=CT")), 422, "facility"),
        (with("/criteria", json!("ImagingStudy?facility=99999")), 403, "99999"),
        (with("/channel/type", json!("email")), 422, "rest-hook"),
        (with("/channel/payload", json!("application/fhir+xml")), 422, "application/fhir+json"),
        (with("/channel/endpoint", json!("ftp://emr")), 422, "https://"),
        (with("/channel/header", json!(["Authorization: *****"])), 422, "no value"),
        (with("/channel/header", json!(["no colon"])), 422, "colon"),
        (with("/status", json!("entered-in-error")), 422, "requested"),
        (with("/reason", json!("")), 422, "what it is for"),
    ] {
        let answer = send(&all, "admin", Method::POST, "/fhir/Subscription", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {:?}", answer.body);
        let outcome = answer.json();
        assert_eq!(outcome["resourceType"], json!("OperationOutcome"));
        assert!(outcome["issue"][0]["diagnostics"].as_str().expect("a text").contains(told), "{outcome}");
    }
    let none = send(&all, "admin", Method::PUT, "/fhir/Subscription/56001.none", &good).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!(
        ask(&all, "admin", Method::DELETE, "/fhir/Patient/56001.1", &[], "").await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

/// A message of facility 56001.
async fn says(all: &Hospitals, control: &str, changes: Vec<Change>) {
    let digest = Digest([u8::try_from(control.len()).expect("short"); 32]);
    let origin = Origin { source: "test".into(), sender: String::new(), control: control.into(), digest };
    let (kind, text) = ("TEST".to_owned(), String::new());
    let message = Inbound { origin, kind, mrn: None, text, changes: Ok(changes), remarks: Vec::new() };
    let (archive, facility) = (Arc::clone(&all.0.archive), FacilityCode::parse("56001").expect("a code"));
    let taken = tokio::task::spawn_blocking(move || archive.charts().receive(facility, message));
    let receipt = taken.await.expect("no panic").expect("received");
    assert_eq!(receipt.handled, Handled::Done, "{control}: {receipt:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_one_patient_is_never_sent_another_ones_resource() {
    let all = Hospitals::open().await;
    let (address, took) = receiver(|_, _| 200);
    let sent = wanted(&format!("http://{address}/emr"), "ServiceRequest?facility=56001&patient.identifier=22000017");
    assert_eq!(send(&all, "admin", Method::POST, "/fhir/Subscription", &sent).await.status, StatusCode::CREATED);
    let patient = |mrn: &str| Change::Patient(PatientUpdate { mrn: mrn.into(), ..PatientUpdate::default() });
    let visit = VisitUpdate { number: "V1".into(), mrn: "22000017".into(), ..VisitUpdate::default() };
    let order = |placer: &str, visit: Option<&str>| {
        let mut update = OrderUpdate::new(OrderAction::New, placer);
        (update.mrn, update.visit) = (Some("22000017".into()), visit.map(str::to_owned));
        Change::Order(Box::new(update))
    };
    let asked = vec![patient("22000017"), patient("22000018"), Change::Visit(visit), order("CD-8", Some("V1"))];
    says(&all, "1", asked).await;
    // The visit with its order was registered under the wrong patient; nobody was told of it yet.
    says(&all, "2.", vec![Change::MoveVisit { visit: "V1".into(), mrn: "22000018".into() }]).await;
    says(&all, "3..", vec![order("CD-9", None)]).await;
    let office = office(&all);
    let lane = || all.0.archive.charts().outbox(&Caller::operator()).remove(0);
    until("nothing waits", || lane().waiting == 0).await;
    ends(office).await;
    let took = took.lock().clone();
    assert!(took.iter().all(|(_, body)| !body.contains("22000018")), "{took:?}");
    let paths: Vec<&str> = took.iter().map(|(head, _)| head.lines().next().unwrap_or_default()).collect();
    assert_eq!((paths, lane().dead), (vec!["put /emr/servicerequest/56001.cd-9 http/1.1"], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_may_not_be_called_is_refused_and_one_of_before_can_be_put_off() {
    let all = Hospitals::open_with(|options| {
        options.charts.outbox.reach = model::Reach::parse(&["10.56.0.0/16:8080"]).expect("a list");
    })
    .await;
    let criteria = "ServiceRequest?facility=56001";
    for endpoint in ["http://127.0.0.1:8080/emr", "http://10.56.1.2:8081/emr", "https://emr.example/emr"] {
        let answer = send(&all, "admin", Method::POST, "/fhir/Subscription", &wanted(endpoint, criteria)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{endpoint}: {:?}", answer.body);
        assert!(String::from_utf8_lossy(&answer.body).contains("calls.allow"), "{:?}", answer.body);
    }
    let sent = wanted("http://10.56.1.2:8080/emr", criteria);
    let made = send(&all, "admin", Method::POST, "/fhir/Subscription", &sent).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let path = format!("/fhir/Subscription/{}", made.json()["id"].as_str().expect("an id"));
    // Nor may a subscriber frame the calls.
    for name in ["Host", "Transfer-Encoding", "connection"] {
        let mut framed = sent.clone();
        framed["channel"]["header"] = json!(["Authorization: Bearer x", format!("{name}: 5")]);
        let answer = send(&all, "admin", Method::POST, "/fhir/Subscription", &framed).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {:?}", answer.body);
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(said.contains(&format!("the header {name} is the archive's")), "{said}");
    }
    let mut change = made.json();
    change["status"] = json!("off");
    assert_eq!(send(&all, "admin", Method::PUT, &path, &change).await.status, StatusCode::OK);
    change["channel"]["endpoint"] = json!("http://10.56.1.2:22/emr");
    change["channel"].as_object_mut().expect("a channel").remove("header");
    let refused = send(&all, "admin", Method::PUT, &path, &change).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{:?}", refused.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_told_to_whoever_asks_for_the_patient_they_are_said_to_be_of_by_their_number_or_by_a_person() {
    let all = Hospitals::open_with(|options| options.quiet_after = std::time::Duration::from_millis(1)).await;
    let patient = |mrn: &str| Change::Patient(PatientUpdate { mrn: mrn.into(), ..PatientUpdate::default() });
    let mut order = OrderUpdate::new(OrderAction::New, "CD-1");
    order.mrn = Some("22000017".into());
    let asked = vec![patient("22000017"), patient("22000018"), patient("77"), Change::Order(Box::new(order))];
    says(&all, "1", asked).await;
    let (address, took) = receiver(|_, _| 200);
    for mrn in ["22000017", "22000018", "77"] {
        let criteria = format!("ImagingStudy?facility=56001&patient.identifier={mrn}");
        let sent = wanted(&format!("http://{address}/{mrn}"), &criteria);
        let made = send(&all, "admin", Method::POST, "/fhir/Subscription", &sent).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    }
    let office = office(&all);
    // As what the study was told to whoever asks for a number.
    let told = |mrn: &str| {
        let took = took.lock().clone();
        let to = took.iter().filter(|(head, _)| head.split('/').nth(1) == Some(mrn));
        let all = to.map(|(_, body)| serde_json::from_str::<Value>(body).expect("JSON"));
        all.collect::<Vec<Value>>()
    };
    let states = |mrn: &str| {
        let state = |one: &Value| one["status"].as_str().expect("a status").to_owned();
        told(mrn).iter().map(state).collect::<Vec<String>>()
    };
    let ends_as = |mrn: &str, state: &str| states(mrn).last().is_some_and(|last| last == state);
    all.store("56001", "1.2.3", "", "77").await;
    until("whoever asks for the number in the images is told", || states("77") == ["available"]).await;
    let archive = Arc::clone(&all.0.archive);
    let matched = tokio::task::spawn_blocking(move || {
        let study = model::Uid::parse("1.2.3").expect("a UID");
        archive.match_study(FacilityCode::parse("56001").expect("a code"), &study, "CD-1", "Lân")
    });
    matched.await.expect("no panic").expect("matched");
    until("a person said whose they are", || states("22000017") == ["available"]).await;
    until("and whose they are not", || ends_as("77", "entered-in-error")).await;
    // Then somebody finds out that they are neither's.
    belongs(&all.0.archive, "1.2.3", "22000018").await;
    until("they were corrected", || states("22000018") == ["available"]).await;
    until("which is taken back where it was told before", || ends_as("22000017", "entered-in-error")).await;
    let waits = || all.0.archive.charts().outbox(&Caller::operator()).iter().map(|lane| lane.waiting).sum::<u64>();
    until("nothing waits", || waits() == 0).await;
    ends(office).await;
    assert_eq!(states("22000018"), ["available"]);
    for mrn in ["22000017", "22000018", "77"] {
        for one in told(mrn) {
            assert_eq!(one["subject"]["identifier"]["value"], json!(mrn), "{one}");
            assert_eq!((&one["resourceType"], &one["id"]), (&json!("ImagingStudy"), &json!("56001.1.2.3")));
            let names: Vec<&str> = one.as_object().expect("an object").keys().map(String::as_str).collect();
            let is_shell = names.iter().all(|name| ["resourceType", "id", "meta", "status", "subject"].contains(name));
            assert_eq!(is_shell, one["status"] == json!("entered-in-error"), "{one}");
            assert!(mrn == "22000018" || !one.to_string().contains("22000018"), "another patient's: {one}");
        }
    }
    assert!(all.0.archive.charts().outbox(&Caller::operator()).iter().all(|lane| lane.dead == 0));
}
