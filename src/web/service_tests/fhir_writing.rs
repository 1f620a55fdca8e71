//! FHIR: orders and results come in, come back, and are matched; documents are read as they were sent.

use super::charts::Hospitals;
use super::fhir::{ask, ids, read};
use super::*;
use http::Method;
use serde_json::{Value, json};

const NATIONAL: &str = "http://fhir.ehealth.gov.vn/core/sid/national_id";
const MRN: &str = "http://fhir.ehealth.gov.vn/core/sid/patient-internal-id";
const FHIR: (&str, &str) = ("content-type", "application/fhir+json");

async fn send(all: &Hospitals, method: Method, path: &str, more: &[(&str, &str)], body: &Value) -> Answer {
    let headers: Vec<(&str, &str)> = std::iter::once(FHIR).chain(more.iter().copied()).collect();
    ask(all, "sender", method, path, &headers, &body.to_string()).await
}

fn request() -> Value {
    json!({
        "resourceType": "ServiceRequest",
        "contained": [{
            "resourceType": "Patient", "id": "p",
            "identifier": [{"system": MRN, "value": "22015985"}, {"system": NATIONAL, "value": "056078000001"}],
            "name": [{"family": "Nguyễn", "given": ["Văn", "An"]}], "birthDate": "1978", "gender": "male",
        }],
        "identifier": [
            {"type": {"coding": [{"code": "PLAC"}]}, "value": "CD-1"},
            {"type": {"coding": [{"code": "ACSN"}]}, "value": "A1"},
            {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3.1"},
        ],
        "status": "active", "intent": "order", "priority": "urgent",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "169069000", "display": "CT of chest"}]},
        "orderDetail": [{"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]}],
        "subject": {"reference": "#p"},
        "occurrenceDateTime": "2026-11-28T01:30:00Z",
        "requester": {"display": "Lê Cường"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_comes_in_once_and_is_changed_under_its_version() {
    let all = Hospitals::open().await;
    let made = send(&all, Method::POST, "/fhir/ServiceRequest", &[], &request()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    assert_eq!(made.header(header::LOCATION), "http://archive.test/fhir/ServiceRequest/56001.CD-1");
    let order = made.json();
    assert_eq!(
        (&order["id"], &order["status"], &order["priority"]),
        (&json!("56001.CD-1"), &json!("active"), &json!("urgent"))
    );
    assert_eq!(order["subject"]["reference"], json!("Patient/56001.22015985"));
    assert_eq!(order["orderDetail"][0]["coding"][0]["code"], json!("CT"));
    assert_eq!(order["occurrenceDateTime"], json!("2026-11-28T08:30:00.000+07:00"));
    // The same again has no second effect, and the worklist has one line.
    let again = send(&all, Method::POST, "/fhir/ServiceRequest", &[], &request()).await;
    assert_eq!((again.status, again.header(header::ETAG)), (StatusCode::OK, made.header(header::ETAG)));
    let worklist = all.get("/api/worklist?accession=A1").await;
    assert_eq!(worklist["worklist"].as_array().map(Vec::len), Some(1));
    assert_eq!(worklist["worklist"][0]["patient"]["name"], json!("Nguyễn Văn An"));
    // Under its version it is changed; under an old one it is not.
    let mut change = order.clone();
    change["priority"] = json!("stat");
    let etag = made.header(header::ETAG).to_owned();
    let changed = send(&all, Method::PUT, "/fhir/ServiceRequest/56001.CD-1", &[("if-match", &etag)], &change).await;
    assert_eq!(changed.status, StatusCode::OK, "{:?}", changed.body);
    assert_eq!(changed.json()["priority"], json!("stat"));
    let late = send(&all, Method::PUT, "/fhir/ServiceRequest/56001.CD-1", &[("if-match", &etag)], &change).await;
    assert_eq!((late.status, &late.json()["issue"][0]["code"]), (StatusCode::PRECONDITION_FAILED, &json!("conflict")));
    for (query, found) in [
        ("identifier=CD-1", &["56001.CD-1"][..]),
        ("identifier=urn:khoanh:accession%7CA1", &["56001.CD-1"]),
        ("identifier=urn:oid:1.2.3.1", &["56001.CD-1"]),
        ("identifier=urn:khoanh:filler%7CCD-1", &[]),
        ("patient=56001.22015985", &["56001.CD-1"]),
        (&format!("patient.identifier={NATIONAL}%7C056078000001"), &["56001.CD-1"]),
        ("status=active", &["56001.CD-1"]),
        ("status=completed,revoked", &[]),
        ("code=169069000", &["56001.CD-1"]),
        ("authored=lt2020-01-01", &[]),
        ("_id=56001.CD-1&status=active", &["56001.CD-1"]),
        ("_id=56002.CD-1", &[]),
    ] {
        assert_eq!(ids(&read(&all, &format!("/fhir/ServiceRequest?{query}")).await), found, "{query}");
    }
    change["status"] = json!("revoked");
    let gone = send(&all, Method::PUT, "/fhir/ServiceRequest/56001.CD-1", &[], &change).await;
    assert_eq!(gone.json()["status"], json!("revoked"));
    assert_eq!(all.get("/api/worklist?accession=A1").await["worklist"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_and_what_is_early_waits() {
    let all = Hospitals::open().await;
    let with = |name: &str, value: Value| {
        let mut body = request();
        body[name] = value;
        body
    };
    let unknown = json!({"reference": "Patient/56001.9"});
    let other = json!({"reference": "Patient/66001.9"});
    for (body, status) in [
        (with("status", json!("draft")), 422),
        (with("intent", json!("plan")), 422),
        (with("resourceType", json!("Patient")), 400),
        (with("modifierExtension", json!([])), 422),
        (with("occurrenceDateTime", json!("soon")), 422),
        (with("subject", other), 403),
        (with("subject", unknown), 202),
    ] {
        let answer = send(&all, Method::POST, "/fhir/ServiceRequest", &[], &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {:?}", answer.body);
        assert_eq!(answer.json()["resourceType"], json!("OperationOutcome"));
    }
    let read_only = ask(&all, "reader", Method::POST, "/fhir/ServiceRequest", &[FHIR], &request().to_string()).await;
    assert_eq!(read_only.status, StatusCode::FORBIDDEN);
    let media =
        ask(&all, "sender", Method::POST, "/fhir/ServiceRequest", &[("content-type", "text/plain")], "{}").await;
    assert_eq!(media.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let kind = send(&all, Method::POST, "/fhir/Patient", &[], &json!({"resourceType": "Patient"})).await;
    assert_eq!(kind.status, StatusCode::METHOD_NOT_ALLOWED);
    let id = with("id", json!("56001.x"));
    let slip = send(&all, Method::PUT, "/fhir/ServiceRequest/56001.CD-1", &[], &id).await;
    assert_eq!(slip.status, StatusCode::BAD_REQUEST);
    let minimal = send(&all, Method::POST, "/fhir/ServiceRequest", &[("prefer", "return=minimal")], &request()).await;
    assert_eq!((minimal.status, minimal.body.len()), (StatusCode::CREATED, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_another_facility_changes_nobody_of_this_one() {
    let all = Hospitals::open().await;
    // Two patients, one number.
    all.put("/api/patients/22015985", json!({"name": "Lê Cường"})).await;
    all.put("/api/patients/22015985?facility=56002", json!({"name": "Trần Thị Bình"})).await;
    let assigned = |by: &str| json!({"value": "22015985", "assigner": {"identifier": {"value": by}}});
    let mut contained = request();
    contained["contained"][0]["identifier"][0]["assigner"] = json!({"identifier": {"value": "56002"}});
    let by_number = |by: &str| {
        let (mut order, mut report) = (request(), result());
        for body in [&mut order, &mut report] {
            body["subject"] = json!({"identifier": assigned(by)});
        }
        report.as_object_mut().expect("an object").remove("basedOn");
        (order, report)
    };
    let (order, report) = by_number("56002");
    for (path, body) in [
        ("ServiceRequest", &contained),
        ("ServiceRequest/56001.CD-1", &contained),
        ("ServiceRequest/56001.CD-1", &order),
        ("DiagnosticReport/56001.KQ-1", &report),
    ] {
        let method = if path.contains('/') { Method::PUT } else { Method::POST };
        let answer = send(&all, method, &format!("/fhir/{path}"), &[], body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {:?}", answer.body);
    }
    // A system of the other facility alone reaches nobody here.
    let (ours, _) = by_number("56001");
    let denied = ask(&all, "local", Method::POST, "/fhir/ServiceRequest", &[FHIR], &ours.to_string()).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "{:?}", denied.body);
    assert_eq!(all.get("/api/patients/22015985").await["name"], json!("Lê Cường"));
    assert_eq!(ids(&read(&all, "/fhir/ServiceRequest?patient=56001.22015985").await), Vec::<String>::new());
    assert_eq!(ids(&read(&all, "/fhir/DiagnosticReport?patient=56001.22015985").await), Vec::<String>::new());
    // It is the other one's order, who is named by the number's assigner.
    let made = send(&all, Method::POST, "/fhir/ServiceRequest", &[], &order).await;
    assert_eq!((made.status, &made.json()["id"]), (StatusCode::CREATED, &json!("56002.CD-1")), "{:?}", made.body);
}

fn result() -> Value {
    json!({
        "resourceType": "DiagnosticReport",
        "identifier": [{"value": "KQ-1"}],
        "basedOn": [{"reference": "ServiceRequest/56001.CD-1"}],
        "status": "final",
        "code": {"text": "CT ngực"},
        "subject": {"reference": "Patient/56001.22015985"},
        "issued": "2026-11-28T10:00:00+07:00",
        "resultsInterpreter": [{"display": "Lê Cường"}],
        "conclusion": "Bình thường",
        "presentedForm": [{"contentType": "application/pdf", "data": "JVBERg=="}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_with_a_document_is_told_and_its_bytes_are_read() {
    let all = Hospitals::open().await;
    send(&all, Method::POST, "/fhir/ServiceRequest", &[], &request()).await;
    all.store("56001", "1.2.3.1", "A1", "22015985").await;
    let report = result();
    let made = send(&all, Method::POST, "/fhir/DiagnosticReport", &[], &report).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let told = made.json();
    assert_eq!((&told["status"], &told["conclusion"]), (&json!("final"), &json!("Bình thường")));
    assert_eq!(told["imagingStudy"][0]["reference"], json!("ImagingStudy/56001.1.2.3.1"));
    assert_eq!(told["presentedForm"][0]["size"], json!(4));
    let binary = told["presentedForm"][0]["url"].as_str().expect("a URL").to_owned();
    let bytes = ask(&all, "reader", Method::GET, &format!("/fhir/{binary}"), &[], "").await;
    assert_eq!(
        (bytes.status, bytes.content_type(), &bytes.body[..]),
        (StatusCode::OK, "application/pdf", &b"%PDF"[..])
    );
    let form = [("accept", "application/fhir+json")];
    let resource = ask(&all, "reader", Method::GET, &format!("/fhir/{binary}"), &form, "").await.json();
    assert_eq!((&resource["resourceType"], &resource["data"]), (&json!("Binary"), &json!("JVBERg==")));
    let nobody = ask(&all, "local", Method::GET, &format!("/fhir/{binary}"), &[], "").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    for (query, found) in [
        ("DiagnosticReport?patient=56001.22015985", &["56001.KQ-1"][..]),
        ("DiagnosticReport?identifier=KQ-1", &["56001.KQ-1"]),
        ("DiagnosticReport?identifier=A1", &["56001.KQ-1"]),
        ("DiagnosticReport?based-on=ServiceRequest/56001.CD-1&status=final", &["56001.KQ-1"]),
        ("DiagnosticReport?status=amended", &[]),
        ("DiagnosticReport?date=2026-11-28&category=RAD", &["56001.KQ-1"]),
        ("DiagnosticReport?date=2026-11-29", &[]),
        ("DocumentReference?patient=56001.22015985", &["56001-1.KQ-1"]),
        ("DocumentReference?_id=56001-1.KQ-1", &["56001-1.KQ-1"]),
        ("DocumentReference?related=DiagnosticReport/56001.KQ-1&status=current", &["56001-1.KQ-1"]),
        ("ImagingStudy?basedon=ServiceRequest/56001.CD-1", &["56001.1.2.3.1"]),
        ("ImagingStudy?basedon=56001.CD-2", &[]),
    ] {
        assert_eq!(ids(&read(&all, &format!("/fhir/{query}")).await), found, "{query}");
    }
    assert_eq!(
        read(&all, "/fhir/DocumentReference/56001-1.KQ-1").await["content"][0]["attachment"]["url"],
        json!(binary)
    );
    // The next version says so itself.
    let mut next = report.clone();
    next["conclusion"] = json!("Nốt nhỏ");
    let amended = send(&all, Method::PUT, "/fhir/DiagnosticReport/56001.KQ-1", &[], &next).await;
    assert_eq!(amended.json()["status"], json!("amended"), "{:?}", amended.body);
    let wrong = json!([{"contentType": "text/html", "data": "eA=="}]);
    next["presentedForm"] = wrong;
    let refused = send(&all, Method::PUT, "/fhir/DiagnosticReport/56001.KQ-1", &[], &next).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_matched_by_numbers_and_only_hinted_at_by_name() {
    let all = Hospitals::open().await;
    let said = json!({"name": "Nguyễn Văn An", "birth": "1978-03-05", "sex": "M", "national": "056078000001"});
    all.put("/api/patients/1", said).await;
    all.put("/api/patients/2", json!({"name": "Nguyễn Văn An", "birth": "1950"})).await;
    let asked = async |patient: Value, certain: bool| {
        let body = json!({"resourceType": "Parameters", "parameter": [
            {"name": "resource", "resource": patient},
            {"name": "onlyCertainMatches", "valueBoolean": certain},
        ]});
        let answer = ask(&all, "reader", Method::POST, "/fhir/Patient/$match", &[FHIR], &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        answer.json()
    };
    let described = json!({"resourceType": "Patient", "name": [{"text": "NGUYEN VAN AN"}], "birthDate": "1978",
        "identifier": [{"system": NATIONAL, "value": "056078000001"}]});
    let found = asked(described.clone(), false).await;
    assert_eq!(ids(&found).first().map(String::as_str), Some("56001.1"));
    let search = &found["entry"][0]["search"];
    assert_eq!((&search["extension"][0]["valueCode"], &search["score"]), (&json!("certain"), &json!(1.0)));
    assert_eq!(ids(&asked(described, true).await), ["56001.1"]);
    let named = json!({"resourceType": "Patient", "name": [{"text": "Nguyễn Văn An"}]});
    assert_eq!(ids(&asked(named.clone(), false).await).len(), 2);
    assert!(ids(&asked(named, true).await).is_empty(), "a name is nobody's");
    let wrong = json!({"resourceType": "Patient", "name": [{"text": "Trần Bình"}], "birthDate": "1990",
        "identifier": [{"system": NATIONAL, "value": "056078000001"}]});
    let blocked = asked(wrong, false).await;
    assert!(ids(&blocked).is_empty());
    assert_eq!(blocked["entry"][0]["search"]["mode"], json!("outcome"));
    let nothing = ask(&all, "reader", Method::POST, "/fhir/Patient/$match", &[FHIR], "{}").await;
    assert_eq!(nothing.status, StatusCode::BAD_REQUEST);
}
