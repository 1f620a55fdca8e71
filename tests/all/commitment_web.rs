//! Storage commitment over DICOMweb (PS3.18 chapter 13): at once, for later, after a kill, and what is not kept.

use crate::roundtrip::{KHOANH, start};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::http::Client;
use testkit::modality::{Sending, send};
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

/// A question about objects.
fn question(objects: &[(&str, &str)]) -> String {
    let uid = |text: &str| json!({ "vr": "UI", "Value": [text] });
    let item = |(class, instance): &(&str, &str)| json!({ "00081150": uid(class), "00081155": uid(instance) });
    let items: Vec<Value> = objects.iter().map(item).collect();
    json!({ "00081199": { "vr": "SQ", "Value": items } }).to_string()
}

/// Status and body of a request.
fn ask(server: &Server, method: &str, transaction: &str, prefer: &str, body: &str) -> (u16, Value) {
    let mut client = Client::new(server.http, Duration::from_secs(60));
    let path = format!("/dicom-web/commitment-requests/{transaction}");
    let headers = format!("Content-Type: application/dicom+json\r\n{prefer}");
    let answer = client.request(method, &path, &headers, &[body.as_bytes()]).expect("answered");
    if answer.status == 202 {
        assert!(!answer.header("retry-after").is_empty(), "202 without Retry-After");
    }
    (answer.status, serde_json::from_str(&answer.text()).unwrap_or_default())
}

fn named(answer: &Value, sequence: &str) -> Vec<String> {
    let items = answer.pointer(&format!("/{sequence}/Value")).and_then(Value::as_array).cloned().unwrap_or_default();
    let instance = |item: &Value| item.pointer("/00081155/Value/0")?.as_str().map(str::to_owned);
    items.iter().filter_map(instance).collect()
}

#[test]
fn a_question_over_http_is_answered_at_once_or_later_and_outlives_a_kill() {
    let (server, _folder) = start();
    let objects: Vec<Object> = Study::draw(90, 1, Kind::Tiny, 3).objects().collect();
    let report = send(&objects, &Sending::to(server.dicom, 1));
    assert_eq!(report.acknowledged().count(), objects.len(), "{:?}", report.errors);
    let [one, two, three] = objects.as_slice() else { panic!("three") };
    let (class, other) = (one.sop_class.as_str(), "1.2.840.10008.5.1.4.1.1.2");
    let asked = question(&[(class, &one.sop_instance), (other, &two.sop_instance), (class, "1.2.3.4.5")]);
    let (status, answer) = ask(&server, "POST", "1.2.901", "", &asked);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(named(&answer, "00081199"), std::slice::from_ref(&one.sop_instance));
    assert_eq!(named(&answer, "00081198"), [two.sop_instance.clone(), "1.2.3.4.5".into()]);
    let reason = |at: u32| answer.pointer(&format!("/00081198/Value/{at}/00081197/Value/0")).and_then(Value::as_u64);
    assert_eq!((reason(0), reason(1)), (Some(0x0119), Some(0x0112)));
    let later = question(&[(class, &three.sop_instance)]);
    assert_eq!(ask(&server, "POST", "1.2.902", "Prefer: respond-async\r\n", &later).0, 202);
    assert_eq!(ask(&server, "POST", "1.2.902", "", &asked).0, 409, "in use for another question");
    let data = server.data().to_owned();
    server.kill().expect("killed");
    let server = Server::start(Path::new(KHOANH), &data, &[]).expect("starts again");
    let (status, answer) = ask(&server, "GET", "1.2.902", "", "");
    assert_eq!((status, named(&answer, "00081199")), (200, vec![three.sop_instance.clone()]), "{answer}");
    assert_eq!(ask(&server, "GET", "1.2.903", "", "").0, 404);
    assert_eq!(ask(&server, "POST", "1.2.904", "", "{}").0, 400);
    assert_eq!(ask(&server, "POST", "not-a-uid", "", &later).0, 400);
}
