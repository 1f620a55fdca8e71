//! FHIR: what is there is told as resources, found by their searches, and refused by OperationOutcomes.

use super::charts::{Hospitals, order};
use super::*;
use http::Method;
use serde_json::{Value, json};

const NATIONAL: &str = "http://fhir.ehealth.gov.vn/core/sid/national_id";
const CARD: &str = "http://fhir.ehealth.gov.vn/core/sid/citizen_id";
const MRN: &str = "http://fhir.ehealth.gov.vn/core/sid/patient-internal-id";

/// Who asks how for what, with which headers, and the status and code of the refusal.
type Case<'a> = (&'a str, Method, &'a str, &'a [(&'a str, &'a str)], u16, &'a str);

/// A request with headers, as a reader of facility 56001.
pub(super) async fn ask(
    all: &Hospitals,
    token: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "archive.test");
    request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    all.0.send(request.body(Body::from(body.to_owned())).expect("a request")).await
}

pub(super) async fn read(all: &Hospitals, path: &str) -> Value {
    let answer = ask(all, "reader", Method::GET, path, &[], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
    assert_eq!(answer.content_type(), "application/fhir+json", "{path}");
    answer.json()
}

/// The ids of what a search found, in order.
pub(super) fn ids(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let matches = entries.iter().filter(|entry| entry["search"]["mode"] == "match");
    matches.map(|entry| entry["resource"]["id"].as_str().expect("an id").to_owned()).collect()
}

fn next(bundle: &Value) -> Option<String> {
    let links = bundle["link"].as_array().expect("links");
    let next = links.iter().find(|link| link["relation"] == "next")?;
    Some(next["url"].as_str().expect("a URL").replace("http://archive.test", ""))
}

async fn filled() -> Hospitals {
    let all = Hospitals::open().await;
    let said = json!({"name": "Nguyễn Văn An", "birth": "1978-03-05", "sex": "M", "national": "056078000001",
        "old_card": "225000001", "insurance": ["DN4560123456789"], "phones": "0905 000 001", "address": "Nha Trang"});
    all.put("/api/patients/22015985", said).await;
    all.put("/api/patients/P2", json!({"name": "Trần Thị Bình", "birth": "1980", "sex": "F"})).await;
    all.put("/api/patients/22015985?facility=56002", json!({"name": "Lê Cường"})).await;
    all.store("56001", "1.2.3.1", "A1", "22015985").await;
    all.store("56001", "1.2.3.2", "A2", "P2").await;
    all.store("56002", "1.2.3.3", "A1", "22015985").await;
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_asked_is_told_to_everybody() {
    let all = Hospitals::open().await;
    let answer = all.0.get("/fhir/metadata", "application/fhir+json").await;
    assert_eq!((answer.status, answer.content_type()), (StatusCode::OK, "application/fhir+json"));
    let statement = answer.json();
    assert_eq!((&statement["fhirVersion"], &statement["kind"]), (&json!("4.0.1"), &json!("instance")));
    assert_eq!(all.0.get("/fhir/metadata?_format=json", "text/html").await.status, StatusCode::OK);
    // What the statement names is searched by without a warning.
    for resource in statement["rest"][0]["resource"].as_array().expect("resources") {
        let kind = resource["type"].as_str().expect("a type");
        for parameter in resource["searchParam"].as_array().into_iter().flatten() {
            let (name, form) = (parameter["name"].as_str().expect("a name"), parameter["type"].as_str());
            let value = if form == Some("date") { "2026-11-28" } else { "x" };
            let path = format!("/fhir/{kind}?{name}={value}");
            let strict = [("prefer", "handling=strict")];
            let answer = ask(&all, "admin", Method::GET, &path, &strict, "").await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_an_operation_outcome() {
    let all = filled().await;
    let strict = [("prefer", "handling=strict")];
    let xml = [("accept", "application/fhir+xml")];
    let cases: &[Case<'_>] = &[
        ("nobody", Method::GET, "/fhir/Patient", &[], 401, "login"),
        ("reader", Method::GET, "/fhir/Group", &[], 404, "not-found"),
        ("reader", Method::GET, "/fhir/Patient/56001.none", &[], 404, "not-found"),
        ("reader", Method::GET, "/fhir/Patient/56002.22015985", &[], 404, "not-found"),
        ("reader", Method::GET, "/fhir/ImagingStudy/56002.1.2.3.3", &[], 404, "not-found"),
        ("reader", Method::GET, "/fhir/a/b/c", &[], 404, "not-found"),
        ("reader", Method::DELETE, "/fhir/Patient/56001.P2", &[], 405, "not-supported"),
        ("reader", Method::GET, "/fhir/Patient", &xml, 406, "not-supported"),
        ("reader", Method::GET, "/fhir/Patient?_format=xml", &[], 406, "not-supported"),
        ("reader", Method::GET, "/fhir/Patient?colour=red", &strict, 400, "invalid"),
        ("reader", Method::GET, "/fhir/Patient?name:contains=a", &[], 400, "invalid"),
        ("reader", Method::GET, "/fhir/Patient?birthdate=red", &[], 400, "invalid"),
        ("reader", Method::GET, "/fhir/Patient?_cursor=x", &[], 400, "invalid"),
        ("reader", Method::GET, "/fhir/ImagingStudy?_cursor=x", &[], 400, "invalid"),
        ("reader", Method::POST, "/fhir/Patient/$colour", &[], 404, "not-found"),
        (
            "reader",
            Method::POST,
            "/fhir/Patient/_search",
            &[("content-type", "application/json")],
            415,
            "not-supported",
        ),
    ];
    for (token, method, path, headers, status, code) in cases {
        let answer = ask(&all, token, method.clone(), path, headers, "").await;
        assert_eq!(answer.status.as_u16(), *status, "{method} {path}: {:?}", answer.body);
        assert_eq!(answer.content_type(), "application/fhir+json", "{path}");
        let outcome = answer.json();
        assert_eq!(outcome["resourceType"], json!("OperationOutcome"), "{path}");
        assert_eq!((&outcome["issue"][0]["code"], &outcome["issue"][0]["severity"]), (&json!(code), &json!("error")));
    }
    // Without being strict it is left out, with a word.
    let lenient = read(&all, "/fhir/Patient?colour=red&name=an").await;
    assert_eq!(ids(&lenient), ["56001.22015985"]);
    let warning = lenient["entry"].as_array().expect("entries").last().expect("a warning");
    assert_eq!(warning["search"]["mode"], json!("outcome"));
    assert!(!lenient["link"][0]["url"].as_str().expect("a URL").contains("colour"), "what was left out is not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_is_told_with_everything_that_is_known() {
    let all = filled().await;
    let study = read(&all, "/fhir/ImagingStudy/56001.1.2.3.1").await;
    assert_eq!(study["identifier"][0], json!({"system": "urn:dicom:uid", "value": "urn:oid:1.2.3.1"}));
    assert_eq!(study["identifier"][1]["value"], json!("A1"));
    assert_eq!(study["identifier"][1]["assigner"]["identifier"]["value"], json!("56001"));
    assert_eq!(study["subject"]["reference"], json!("Patient/56001.22015985"));
    assert_eq!(study["subject"]["display"], json!("Nguyễn Văn An"));
    assert_eq!((&study["status"], &study["started"]), (&json!("available"), &json!("2026-11-28")));
    assert_eq!(study["modality"][0]["code"], json!("CT"));
    assert_eq!((&study["numberOfSeries"], &study["numberOfInstances"]), (&json!(1), &json!(1)));
    assert_eq!(study["endpoint"], json!([{"reference": "Endpoint/56001.wado-rs"}]));
    let series = &study["series"][0];
    assert_eq!((&series["uid"], &series["numberOfInstances"]), (&json!("1.2.3.1.1"), &json!(1)));
    assert_eq!(series.get("instance"), None);
    let whole = read(&all, "/fhir/ImagingStudy/56001.1.2.3.1?instances=true").await;
    assert_eq!(whole["series"][0]["instance"][0]["uid"], json!("1.2.3.1.1.1"));
    // Known by its version.
    let answer = ask(&all, "reader", Method::GET, "/fhir/ImagingStudy/56001.1.2.3.1", &[], "").await;
    let again = [("if-none-match", answer.header(header::ETAG))];
    let same = ask(&all, "reader", Method::GET, "/fhir/ImagingStudy/56001.1.2.3.1", &again, "").await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    // What is rejected is told by nobody.
    let rejected = "/facilities/56001/dicom-web/studies/1.2.3.1?reason=quality";
    let answer = ask(&all, "admin", Method::DELETE, rejected, &[], "").await;
    assert!(answer.status.is_success(), "{:?}", answer.body);
    let gone = ask(&all, "reader", Method::GET, "/fhir/ImagingStudy/56001.1.2.3.1", &[], "").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(ids(&read(&all, "/fhir/ImagingStudy").await), ["56001.1.2.3.2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn studies_are_found_by_each_parameter() {
    let all = filled().await;
    for (query, found) in [
        ("_id=56001.1.2.3.1", &["56001.1.2.3.1"][..]),
        ("_id=56002.1.2.3.3", &[]),
        ("identifier=urn:dicom:uid%7Curn:oid:1.2.3.1", &["56001.1.2.3.1"]),
        ("identifier=urn:dicom:uid%7Curn:oid:1.2.3.3", &[]),
        ("identifier=A1", &["56001.1.2.3.1"]),
        ("identifier=urn:khoanh:accession%7CA2,A1", &["56001.1.2.3.1", "56001.1.2.3.2"]),
        ("identifier=urn:other%7CA1", &[]),
        ("patient=56001.22015985", &["56001.1.2.3.1"]),
        ("patient=Patient/56001.22015985", &["56001.1.2.3.1"]),
        ("patient=56002.22015985", &[]),
        (&format!("patient.identifier={NATIONAL}%7C056078000001"), &["56001.1.2.3.1"]),
        (&format!("patient:Patient.identifier={MRN}%7CP2"), &["56001.1.2.3.2"]),
        (&format!("patient.identifier={CARD}%7C056078000001"), &[]),
        ("patient.identifier=DN4560123456789", &["56001.1.2.3.1"]),
        ("started=2026-11-28&identifier=A1", &["56001.1.2.3.1"]),
        ("started=ge2026-11-28&started=lt2026-11-29&identifier=A1", &["56001.1.2.3.1"]),
        ("started=2026-11-27", &[]),
        ("started=gt2026-11-28", &[]),
        ("started=le2026-11-27", &[]),
        ("started=2026&identifier=A2", &["56001.1.2.3.2"]),
        ("modality=CT&identifier=A2", &["56001.1.2.3.2"]),
        ("modality=MR", &[]),
        ("modality=*", &[]),
        ("endpoint=Endpoint/56001.wado-rs&identifier=A1", &["56001.1.2.3.1"]),
        ("endpoint=Endpoint/56002.wado-rs", &[]),
        ("_lastUpdated=ge2020-01-01&identifier=A1", &["56001.1.2.3.1"]),
        ("_lastUpdated=lt2020-01-01", &[]),
    ] {
        let mut told = ids(&read(&all, &format!("/fhir/ImagingStudy?{query}")).await);
        told.sort();
        assert_eq!(told, found, "{query}");
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let posted = ask(&all, "reader", Method::POST, "/fhir/ImagingStudy/_search", &form, query).await.json();
        let mut told = ids(&posted);
        told.sort();
        assert_eq!(told, found, "{query} by POST");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_page_by_page_with_what_they_refer_to() {
    let all = filled().await;
    for resource in ["ImagingStudy", "Patient"] {
        let mut seen = Vec::new();
        let mut path = Some(format!("/fhir/{resource}?_count=1"));
        while let Some(page) = path {
            let bundle = read(&all, &page).await;
            assert!(ids(&bundle).len() <= 1, "{bundle}");
            seen.extend(ids(&bundle));
            path = next(&bundle);
            assert!(seen.len() < 10, "it ends: {seen:?}");
        }
        seen.sort();
        assert_eq!(seen.len(), 2, "{seen:?}");
        let counted = read(&all, &format!("/fhir/{resource}?_summary=count")).await;
        assert_eq!((&counted["total"], counted.get("entry")), (&json!(2), None));
    }
    let path = "/fhir/ImagingStudy?identifier=A1&_include=ImagingStudy:patient&_include=ImagingStudy:endpoint";
    let bundle = read(&all, path).await;
    let included: Vec<&Value> = bundle["entry"].as_array().expect("entries").iter().skip(1).collect();
    let kinds: Vec<&str> = included.iter().filter_map(|one| one["resource"]["resourceType"].as_str()).collect();
    assert_eq!(kinds, ["Patient", "Endpoint"]);
    assert!(included.iter().all(|one| one["search"]["mode"] == "include"));
    assert_eq!(bundle["entry"][0]["fullUrl"], json!("http://archive.test/fhir/ImagingStudy/56001.1.2.3.1"));
    assert_eq!(bundle["total"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_told_by_the_systems_and_found_by_each_parameter() {
    let all = filled().await;
    let patient = read(&all, "/fhir/Patient/56001.22015985").await;
    let number = |system: &str| {
        let numbers = patient["identifier"].as_array().expect("numbers");
        numbers.iter().find(|one| one["system"] == system).map(|one| one["value"].clone())
    };
    assert_eq!(number(NATIONAL), Some(json!("056078000001")));
    assert_eq!(number(CARD), Some(json!("225000001")), "citizen_id is the old card");
    assert_eq!(number(MRN), Some(json!("22015985")));
    assert_eq!(patient["name"][0]["text"], json!("Nguyễn Văn An"));
    assert_eq!((&patient["birthDate"], &patient["gender"]), (&json!("1978-03-05"), &json!("male")));
    for (query, found) in [
        ("identifier=056078000001", &["56001.22015985"][..]),
        (&format!("identifier={NATIONAL}%7C056078000001"), &["56001.22015985"]),
        (&format!("identifier={CARD}%7C056078000001"), &[]),
        (&format!("identifier={MRN}%7CP2"), &["56001.P2"]),
        ("name=van+nguyen", &["56001.22015985"]),
        ("name:exact=Nguyen+Van+An", &[]),
        ("name:exact=Nguy%E1%BB%85n+V%C4%83n+An", &["56001.22015985"]),
        ("family=nguyen", &["56001.22015985"]),
        ("family=an", &[]),
        ("given=an", &["56001.22015985"]),
        ("birthdate=1978", &["56001.22015985"]),
        ("birthdate=1980", &["56001.P2"]),
        ("birthdate=lt1979-01-01", &["56001.22015985"]),
        ("gender=female", &["56001.P2"]),
        ("phone=0905000001", &["56001.22015985"]),
        ("_id=56001.P2,56002.22015985", &["56001.P2"]),
        ("name=an&gender=female", &[]),
    ] {
        assert_eq!(ids(&read(&all, &format!("/fhir/Patient?{query}")).await), found, "{query}");
    }
    // Two hospitals with equal numbers never meet.
    let other = ask(&all, "local", Method::GET, "/fhir/Patient?identifier=22015985", &[], "").await.json();
    assert_eq!(ids(&other), ["56002.22015985"]);
    // A merged one says who stays, and its studies are found by either.
    all.post("/api/patients/22015985/merge", json!({"former": "P2"})).await;
    let former = read(&all, "/fhir/Patient/56001.P2").await;
    assert_eq!(former["active"], json!(false));
    assert_eq!(former["link"][0]["other"]["reference"], json!("Patient/56001.22015985"));
    assert_eq!(ids(&read(&all, "/fhir/ImagingStudy?patient=56001.P2").await).len(), 2);
    all.put("/api/orders/O9", order("22015985", "A9")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_told_of_each_facility() {
    let all = filled().await;
    let found = read(&all, "/fhir/Endpoint?connection-type=dicom-wado-rs").await;
    assert_eq!(ids(&found), ["56001.wado-rs"], "there are no keys of links");
    let address = &found["entry"][0]["resource"]["address"];
    assert_eq!(address, &json!("http://archive.test/facilities/56001/dicom-web"));
    assert_eq!(read(&all, "/fhir/Endpoint/56001.wado-rs").await["status"], json!("active"));
    assert!(ids(&read(&all, "/fhir/Endpoint?connection-type=ihe-iid").await).is_empty());
}
