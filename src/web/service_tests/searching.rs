//! Keys inside sequences, empty and several values, and keys that are none, asked of stored objects.

use super::*;
use serde_json::{Value, json};

fn one(vr: &str, values: &[&str]) -> Value {
    json!({"vr": vr, "Value": values})
}

fn items(items: &[&[(&str, &str, &str)]]) -> Value {
    let item = |members: &&[(&str, &str, &str)]| -> Value {
        members
            .iter()
            .map(|(tag, vr, text)| ((*tag).to_owned(), one(vr, &[text])))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({"vr": "SQ", "Value": items.iter().map(item).collect::<Vec<Value>>()})
}

/// An object of a study of its own.
fn object(study: &str, name: &str, date: &str, more: Value) -> Value {
    let mut object = json!({
        "00080016": one("UI", &["1.2.840.10008.5.1.4.1.1.88.11"]),
        "00080018": one("UI", &[&format!("{study}.1.1")]),
        "0020000D": one("UI", &[study]),
        "0020000E": one("UI", &[&format!("{study}.1")]),
        "00080020": one("DA", &[date]),
        "00080060": one("CS", &["SR"]),
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]},
        "00100020": one("LO", &["P7"]),
    });
    let members = more.as_object().cloned().expect("an object");
    object.as_object_mut().expect("an object").extend(members);
    object
}

/// A service with three studies: 1.2.1 has sequences, of several items, 1.2.2 has others, 1.2.3 has none.
async fn filled() -> Service {
    let service = Service::open();
    let rich = json!({
        "00080050": one("SH", &["A1"]),
        "00081032": items(&[
            &[("00080100", "SH", "P1"), ("00080104", "LO", "X quang ngực")],
            &[("00080100", "SH", "P2"), ("00080104", "LO", "Siêu âm")],
        ]),
        "00082218": items(&[&[("00080100", "SH", "T-D3000"), ("00080104", "LO", "Chest")]]),
        "00081111": items(&[&[("00081150", "UI", "1.2.3"), ("00081155", "UI", "1.2.9")]]),
        "00101002": items(&[&[("00100020", "LO", "BHYT9"), ("00100021", "LO", "BHXH")]]),
        "00400260": items(&[&[("00080100", "SH", "PP1")]]),
        "00400275": items(&[
            &[("00400009", "SH", "S1"), ("00401001", "SH", "R1"), ("00080050", "SH", "A1")],
            &[("00400009", "SH", "S2"), ("00080050", "SH", "A2")],
        ]),
        "0040A370": items(&[&[("00080050", "SH", "RA1")], &[("00080050", "SH", "RA2"), ("0020000D", "UI", "1.2.77")]]),
        "00540220": items(&[&[("00080100", "SH", "R-10226")]]),
    });
    let other = json!({"00400275": items(&[&[("00400009", "SH", "S3")]]), "00080050": {"vr": "SH"}});
    let metadata = json!([
        object("1.2.1", "Nguyễn^An", "20240115", rich),
        object("1.2.2", "Trần^Bình", "20240220", other),
        object("1.2.3", "Lê^Cường", "20240330", json!({"00080050": one("SH", &["A3"])})),
    ]);
    let body = format!("--{BOUNDARY}\r\nContent-Type: application/dicom+json\r\n\r\n{metadata}\r\n--{BOUNDARY}--\r\n");
    let content_type = format!("multipart/related; type=\"application/dicom+json\"; boundary={BOUNDARY}");
    let answer = service.post("/dicom-web/studies", &content_type, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    service
}

/// The last numbers of the studies that are found at a level.
async fn found(service: &Service, level: &str, query: &str) -> String {
    let answer = service.get(&format!("/dicom-web/{level}?{query}"), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{level} {query}: {:?}", answer.body);
    assert!(!answer.headers.contains_key(header::WARNING), "{level} {query}: {:?}", answer.headers);
    let mut found: Vec<String> = answer
        .json()
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|row| row.pointer("/0020000D/Value/0")?.as_str().map(|uid| uid.replace("1.2.", "")))
        .collect();
    found.sort();
    found.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_inside_sequences_match_any_item() {
    let service = filled().await;
    for (query, studies) in [
        ("RequestAttributesSequence.ScheduledProcedureStepID=S1", "1"),
        ("RequestAttributesSequence.ScheduledProcedureStepID=S2", "1"),
        ("RequestAttributesSequence.ScheduledProcedureStepID=S?", "12"),
        ("RequestAttributesSequence.ScheduledProcedureStepID=S2%5CS3", "12"),
        ("00400275.00400009=S3", "2"),
        ("RequestAttributesSequence.00400009=S3", "2"),
        ("00400275.ScheduledProcedureStepID=S3", "2"),
        ("RequestAttributesSequence.AccessionNumber=A2", "1"),
        ("ReferencedRequestSequence.AccessionNumber=RA2", "1"),
        ("0040A370.0020000D=1.2.77", "1"),
        ("ProcedureCodeSequence.CodeValue=P2", "1"),
        ("ProcedureCodeSequence.CodeMeaning=sieu+am", "1"),
        ("AnatomicRegionSequence.CodeValue=T-D*", "1"),
        ("00082218.00080104=chest", "1"),
        ("ViewCodeSequence.CodeValue=R-10226", "1"),
        ("PerformedProtocolCodeSequence.CodeValue=PP1", "1"),
        ("ReferencedPerformedProcedureStepSequence.ReferencedSOPInstanceUID=1.2.9", "1"),
        ("OtherPatientIDsSequence.PatientID=BHYT9", "1"),
        ("OtherPatientIDsSequence.PatientID=none", ""),
    ] {
        for level in ["studies", "series", "instances"] {
            assert_eq!(found(&service, level, query).await, studies, "{level} {query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_is_answered_in_its_place() {
    let service = filled().await;
    let path = "/dicom-web/series?StudyInstanceUID=1.2.1&includefield=RequestAttributesSequence,ProcedureCodeSequence";
    let row = service.get(path, "").await.json();
    let text = |pointer: &str| row.pointer(pointer).and_then(Value::as_str).unwrap_or("none").to_owned();
    assert_eq!(text("/0/00400275/Value/0/00400009/Value/0"), "S1");
    assert_eq!(text("/0/00400275/Value/0/00401001/Value/0"), "R1");
    assert_eq!(text("/0/00400275/Value/1/00400009/Value/0"), "S2");
    assert_eq!(text("/0/00400275/Value/1/00401001/Value/0"), "none");
    assert_eq!(text("/0/00081032/Value/1/00080104/Value/0"), "Siêu âm");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_several_values_match_where_they_are_asked_for() {
    let service = filled().await;
    let empty = "emptyvaluematching=true";
    let several = "multiplevaluematching=true";
    for (query, studies) in [
        (format!("AccessionNumber=%22%22&{empty}"), "2"),
        (format!("{empty}&0020000D=1.2.2%5C1.2.3&AccessionNumber=%22%22"), "2"),
        (format!("RequestAttributesSequence.AccessionNumber=%22%22&{empty}"), "23"),
        ("AccessionNumber=%22%22".into(), ""),
        ("AccessionNumber=%22%22&emptyvaluematching=false".into(), ""),
        ("AccessionNumber=".into(), "123"),
        ("AccessionNumber=*".into(), "123"),
        (format!("StudyDate=20240115%5C20240330&{several}"), "13"),
        (format!("StudyDate=20240101-20240131%5C20240330-&{several}"), "13"),
        (format!("PatientName=an%5Cb%C3%ACnh&{several}"), "12"),
        (format!("AccessionNumber=%22%22%5CA3&{several}&{empty}"), "23"),
        (format!("RequestAttributesSequence.ScheduledProcedureStepID=S1%5CS3&{several}"), "12"),
    ] {
        assert_eq!(found(&service, "studies", &query).await, studies, "{query}");
    }
    for refused in [
        "StudyDate=20240115%5C20240330",
        "StudyDate=20240115%5Cx&multiplevaluematching=true",
        "emptyvaluematching=1",
        "multiplevaluematching=",
    ] {
        let answer = service.get(&format!("/dicom-web/studies?{refused}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_kept_are_told_and_keys_that_are_none_refused() {
    let service = filled().await;
    for ignored in [
        "RequestAttributesSequence.ScheduledProtocolCodeSequence.CodeValue=x",
        "00400275.00400008.00080100=x",
        "RequestAttributesSequence=x",
        "ScheduledProcedureStepID=x",
        "PatientSpeciesDescription=x",
        "00091001=x",
        "includefield=PatientSpeciesDescription",
        "includefield=ContentSequence.ConceptNameCodeSequence.CodeValue",
    ] {
        let answer = service.get(&format!("/dicom-web/studies?{ignored}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{ignored}");
        assert!(answer.header(header::WARNING).starts_with("299 "), "{ignored}: {:?}", answer.headers);
        assert_eq!(answer.json().as_array().map(Vec::len), Some(3), "{ignored}");
    }
    for refused in [
        "RequestAttributesSequence.=x",
        ".CodeValue=x",
        "requestAttributesSequence.CodeValue=x",
        "0040027.00400009=x",
        "00400275..00400009=x",
        "00400275/00400009=x",
        "includefield=.",
    ] {
        let answer = service.get(&format!("/dicom-web/studies?{refused}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{refused}");
    }
}
