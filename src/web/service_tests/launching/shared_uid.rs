//! Two patients with images under one Study Instance UID: a link that names one of them shows nothing of the other.

use super::*;

/// An object of another patient in a series of its own of the same study.
fn another(study: &str, mrn: &str) -> Vec<u8> {
    let (class, instance) = ("1.2.840.10008.5.1.4.1.1.7", format!("{study}.2.1"));
    let mut data = DataSet::new();
    data.text(0x0008_0016, "UI", class)
        .text(0x0008_0018, "UI", &instance)
        .text(0x0008_0020, "DA", "20261101")
        .text(0x0008_0060, "CS", "CT")
        .text(0x0010_0010, "PN", "LE^THI CUC")
        .text(0x0010_0020, "LO", mrn)
        .text(0x0020_000D, "UI", study)
        .text(0x0020_000E, "UI", &format!("{study}.2"));
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
