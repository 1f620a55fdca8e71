//! Two patients with images under one Study Instance UID: a link that names one of them shows nothing of the other.

use super::messages::patient;
use super::*;
use model::chart::{Change, OrderAction, OrderUpdate};

/// An object of another patient in a series of its own of the same study.
fn another(study: &str, mrn: &str) -> Vec<u8> {
    one_more(study, 2, mrn, "LE^THI CUC")
}

fn one_more(study: &str, series: usize, mrn: &str, name: &str) -> Vec<u8> {
    let (class, instance) = ("1.2.840.10008.5.1.4.1.1.7", format!("{study}.{series}.1"));
    let mut data = DataSet::new();
    data.text(0x0008_0016, "UI", class)
        .text(0x0008_0018, "UI", &instance)
        .text(0x0008_0020, "DA", "20261101")
        .text(0x0008_0060, "CS", "CT")
        .text(0x0010_0010, "PN", name)
        .text(0x0010_0020, "LO", mrn)
        .text(0x0020_000D, "UI", study)
        .text(0x0020_000E, "UI", &format!("{study}.{series}"));
    [file_meta(class, &instance, "1.2.840.10008.1.2.1"), data.into_bytes()].concat()
}

const METADATA: &str = "/dicom-web/studies/1.2.3/metadata";

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_names_a_patient_shows_no_uid_that_another_patient_shares() {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    let opens = async |id: &str, claims: Value| {
        let answer = province.launch("", &hs256(SECRET, &province.claims(id, claims))).await;
        (answer.location().to_owned(), answer.cookie())
    };
    let (to, before) = opens("1", json!({"study": "1.2.3", "patient": "77"})).await;
    assert_eq!(to, "/viewer/viewer?StudyInstanceUIDs=1.2.3");
    assert_eq!(province.with_cookie(METADATA, &before).await.status, StatusCode::OK);
    province.store("56001", another("1.2.3", "78")).await;
    // Also in a browser that has it open.
    province.wait(10);
    let reads = [METADATA, "/dicom-web/studies/1.2.3/series", "/dicom-web/studies/1.2.3/series/1.2.3.2/metadata"];
    let shut = async |what: &str, cookie: &str, others: usize| {
        for path in reads {
            assert_eq!(province.with_cookie(path, cookie).await.status, StatusCode::NOT_FOUND, "{what} {path}");
        }
        let found = province.with_cookie("/dicom-web/series", cookie).await.json();
        assert_eq!(found.as_array().map(Vec::len), Some(others), "{what}");
    };
    shut("before", &before, 0).await;
    for (id, claims) in [
        ("2", json!({"study": "1.2.3", "patient": "77"})),
        ("3", json!({"study": "1.2.3", "patient": "78"})),
        ("4", json!({"patient": "77"})),
        ("5", json!({"patient": "78"})),
        ("6", json!({"accession": "A1", "patient": "77"})),
    ] {
        let (to, cookie) = opens(id, claims.clone()).await;
        assert_eq!(to, "/viewer/iid/studies", "{claims}");
        let page = province.with_cookie(&to, &cookie).await;
        let text = String::from_utf8_lossy(&page.body).into_owned();
        assert!(text.contains("more than one patient") && !text.contains("StudyInstanceUIDs="), "{claims}: {text}");
        assert!(!text.contains("Cúc") && !text.contains("CUC") && !text.contains("data-state"), "{claims}: {text}");
        shut(&claims.to_string(), &cookie, 0).await;
    }
    // Somebody who has nothing there learns nothing of it.
    let (to, cookie) = opens("7", json!({"study": "1.2.3", "patient": "79"})).await;
    let page = String::from_utf8_lossy(&province.with_cookie(&to, &cookie).await.body).into_owned();
    assert!(page.contains("Not yet received") && !page.contains("more than one"), "{page}");
    // What is the patient's alone is shown as ever.
    province.store("56001", object("1.2.4", "A2", "77", "20261102")).await;
    let (to, cookie) = opens("8", json!({"patient": "77"})).await;
    assert_eq!(to, "/viewer/viewer?StudyInstanceUIDs=1.2.4");
    let page = String::from_utf8_lossy(&province.with_cookie("/viewer/iid/studies", &cookie).await.body).into_owned();
    assert!(page.contains("StudyInstanceUIDs=1.2.4") && page.contains("more than one patient"), "{page}");
    shut("beside another", &cookie, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uid_that_a_crowd_has_withholds_itself_and_no_other_study() {
    let province = Province::open().await;
    for study in ["1.2.3", "1.2.4"] {
        province.store("56001", object(study, "A1", "77", "20261101")).await;
    }
    for number in 1_000..1_200 {
        let other = one_more("1.2.3", number, &format!("9{number}"), &format!("TRAN^{number}"));
        province.store("56001", other).await;
    }
    for (id, claims, to) in [
        ("1", json!({"patient": "77"}), "/viewer/viewer?StudyInstanceUIDs=1.2.4"),
        ("2", json!({"study": ["1.2.3", "1.2.4"], "patient": "77"}), "/viewer/viewer?StudyInstanceUIDs=1.2.4"),
        ("3", json!({"study": "1.2.4", "patient": "77"}), "/viewer/viewer?StudyInstanceUIDs=1.2.4"),
        ("4", json!({"study": "1.2.3", "patient": "77"}), "/viewer/iid/studies"),
    ] {
        let opened = province.launch("", &hs256(SECRET, &province.claims(id, claims.clone()))).await;
        assert_eq!(opened.location(), to, "{claims}");
        let cookie = opened.cookie();
        let state = province.with_cookie("/viewer/iid/state", &cookie).await.json();
        let (studies, withheld) = (u8::from(id != "4"), u8::from(id != "3"));
        assert_eq!((&state["studies"], &state["withheld"]), (&json!(studies), &json!(withheld)), "{claims}");
        // Also when it was looked at again.
        province.wait(10);
        let other = province.with_cookie("/dicom-web/studies/1.2.4/metadata", &cookie).await.status;
        assert_eq!(other == StatusCode::OK, id != "4", "{claims}: {other}");
        assert_eq!(province.with_cookie(METADATA, &cookie).await.status, StatusCode::NOT_FOUND, "{claims}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_stays_open_when_something_newer_comes() {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    let token = hs256(SECRET, &province.claims("1", json!({"patient": "77"})));
    let opened = province.launch("requestType=PATIENT&patientID=77&mostRecentResults=1", &token).await;
    assert_eq!(opened.location(), "/viewer/viewer?StudyInstanceUIDs=1.2.3");
    let (cookie, newer) = (opened.cookie(), "/dicom-web/studies/1.2.4/metadata");
    province.store("56001", object("1.2.4", "A2", "77", "20261102")).await;
    for _ in 0..2 {
        province.wait(10);
        assert_eq!(province.with_cookie(METADATA, &cookie).await.status, StatusCode::OK);
        assert_eq!(province.with_cookie(newer, &cookie).await.status, StatusCode::OK);
    }
    belongs(&province.service.archive, "1.2.3", "79").await;
    province.wait(10);
    assert_eq!(province.with_cookie(METADATA, &cookie).await.status, StatusCode::NOT_FOUND, "it is another patient's");
    assert_eq!(province.with_cookie(newer, &cookie).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_images_for_the_patient_whose_a_person_said_they_are() {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    let mut order = OrderUpdate::new(OrderAction::New, "P1");
    order.mrn = Some("22".into());
    province.hears("o", vec![patient("22"), patient("77"), Change::Order(Box::new(order))]).await;
    let opens = async |id: &str, claims: Value| {
        let answer = province.launch("", &hs256(SECRET, &province.claims(id, claims))).await;
        (answer.location() == "/viewer/viewer?StudyInstanceUIDs=1.2.3", answer.cookie())
    };
    let named = |mrn: &str| json!({"study": "1.2.3", "patient": mrn});
    assert!(!opens("1", named("22")).await.0, "nobody said anything yet");
    let (is_open, cookie) = opens("2", named("77")).await;
    assert!(is_open);
    assert_eq!(province.with_cookie(METADATA, &cookie).await.status, StatusCode::OK);
    province.decides(|archive, facility, study| archive.match_study(facility, study, "P1", "Lân")).await;
    province.wait(10);
    assert_eq!(province.with_cookie(METADATA, &cookie).await.status, StatusCode::NOT_FOUND, "where it was open");
    assert!(!opens("3", named("77")).await.0, "they are patient 22's");
    assert!(!opens("4", json!({"patient": "77"})).await.0, "they are patient 22's");
    assert!(!opens("5", json!({"accession": "A1", "patient": "77"})).await.0, "they are patient 22's");
    let (is_open, cookie) = opens("6", named("22")).await;
    assert!(is_open, "they are patient 22's");
    assert_eq!(province.with_cookie(METADATA, &cookie).await.status, StatusCode::OK);
    assert!(opens("7", json!({"patient": "22"})).await.0, "also without the study");
    province.decides(|archive, facility, study| archive.unmatch_study(facility, study, "Lân")).await;
    assert!(opens("8", named("77")).await.0 && !opens("9", named("22")).await.0, "they are not");
}
