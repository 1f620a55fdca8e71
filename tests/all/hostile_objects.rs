//! Good objects in bad company: the same again, other bytes under a known UID, UIDs shared by patients,
//! studies and hospitals. Kept apart, listed, and nobody sees the other's.

use crate::roundtrip::{AS_STORED, retrieve};
use crate::yard::{Yard, open, patient_object};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use testkit::association::{Association, Proposal, Titles, WireError};
use testkit::http::Answer;
use testkit::object::Object;

fn store(yard: &Yard, object: &Object) -> u16 {
    let mut association = open(yard.server.dicom, &object.sop_class, &object.transfer_syntax);
    let response = association.store(1, &object.sop_class, &object.sop_instance, object.data_set());
    let status = response.expect("answered").status;
    association.release().expect("released");
    status
}

#[test]
fn the_same_object_again_is_success_and_nothing_grows() {
    let mut yard = Yard::open();
    let object = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", &[7; 50_000]);
    assert_eq!(store(&yard, &object), 0);
    let before = yard.totals();
    for _ in 0..5 {
        assert_eq!(store(&yard, &object), 0);
        let answer = yard.client().stow("/dicom-web/studies", &[&object.file, &object.file]).expect("answered");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(yard.totals(), before);
    assert_eq!(conflicting(&yard), Vec::<String>::new());
    yard.is_unharmed("the same again");
}

#[test]
fn the_same_object_from_sixteen_senders_at_once_is_one() {
    let mut yard = Yard::open();
    for round in 0..10 {
        let uid = format!("1.2.840.3.{round}");
        let object = patient_object("1.2.840.1", "1.2.840.2", &uid, "P1", &[7; 200_000]);
        let instances = |totals: &Value| totals["instances"].as_u64().expect("a number");
        let before = instances(&yard.totals());
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..16).map(|_| scope.spawn(|| store(&yard, &object))).collect();
            for sender in senders {
                assert_eq!(sender.join().expect("sent"), 0);
            }
        });
        assert_eq!(instances(&yard.totals()), before + 1);
    }
    assert_eq!(conflicting(&yard), Vec::<String>::new());
    yard.is_unharmed("the same at once");
}

/// SOP Instance UIDs in the list of conflicts.
fn conflicting(yard: &Yard) -> Vec<String> {
    let text = yard.conflicts().to_string();
    let mut found: Vec<String> =
        text.split('"').filter(|word| word.starts_with("1.2.840.3")).map(str::to_owned).collect();
    found.dedup();
    found
}

#[test]
fn other_bytes_under_a_known_uid_are_kept_listed_and_not_served() {
    let mut yard = Yard::open();
    let first = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", &[1; 1_000]);
    let other = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", &[2; 1_000]);
    assert_eq!(store(&yard, &first), 0);
    let status = store(&yard, &other);
    assert!(status == 0 || status & 0xF000 == 0xB000, "{status:04X}");
    let served = retrieve(&mut yard.client(), &first).expect("served");
    assert!(served.data_set() == first.data_set(), "the later bytes are served");
    assert_eq!(conflicting(&yard), vec!["1.2.840.3".to_owned()]);
    let before = yard.totals();
    for object in [&first, &other] {
        assert_eq!(store(&yard, object) & 0x4FFF, 0, "both are known now");
    }
    assert_eq!(yard.totals(), before, "a conflict sent again grows nothing");
    yard.is_unharmed("a conflict");
}

fn found(answer: &Answer, tag: &str) -> Vec<String> {
    let rows: Value =
        if answer.status == 204 { json!([]) } else { serde_json::from_slice(&answer.body).expect("JSON") };
    let value = |row: &Value| row[tag]["Value"][0].as_str().map(str::to_owned);
    rows.as_array().expect("an array").iter().filter_map(value).collect()
}

#[test]
fn one_study_uid_with_two_patients_never_shows_one_of_them_the_other() {
    let mut yard = Yard::open();
    let first = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.31", "P1", b"first.");
    let second = patient_object("1.2.840.1", "1.2.840.22", "1.2.840.32", "P2", b"second");
    assert_eq!(store(&yard, &first), 0);
    assert_eq!(store(&yard, &second), 0);
    let mut client = yard.client();
    for (patient, own, foreign) in [("P1", "1.2.840.2", "1.2.840.22"), ("P2", "1.2.840.22", "1.2.840.2")] {
        let answer = client.get(&format!("/dicom-web/series?PatientID={patient}"), "").expect("answered");
        let series = found(&answer, "0020000E");
        assert!(series.contains(&own.to_owned()), "{patient}: {series:?}");
        assert!(!series.contains(&foreign.to_owned()), "{patient} sees {foreign}: {series:?}");
    }
    let answer = client.get("/dicom-web/studies/1.2.840.1", AS_STORED).expect("answered");
    assert_eq!(answer.status, 200);
    let parts: Vec<Object> =
        answer.parts().into_iter().map(|file| Object::from_file(file).expect("readable")).collect();
    assert!(parts.iter().all(|part| part.sop_instance == "1.2.840.31"), "two patients in one answer: {}", parts.len());
    yard.is_unharmed("two patients in one study");
}

#[test]
fn one_series_uid_in_two_studies_is_two_series() {
    let mut yard = Yard::open();
    let first = patient_object("1.2.840.11", "1.2.840.2", "1.2.840.31", "P1", b"first.");
    let second = patient_object("1.2.840.12", "1.2.840.2", "1.2.840.32", "P2", b"second");
    assert_eq!((store(&yard, &first), store(&yard, &second)), (0, 0));
    let mut client = yard.client();
    for (own, foreign) in [(&first, &second), (&second, &first)] {
        let served = retrieve(&mut client, own).expect("served");
        assert!(served.data_set() == own.data_set());
        let target = format!("/dicom-web/studies/{}/series/{}", own.study, own.series);
        assert_eq!(client.get(&target, AS_STORED).expect("answered").parts().len(), 1);
        let target = format!("{target}/instances/{}", foreign.sop_instance);
        assert_eq!(client.get(&target, AS_STORED).expect("answered").status, 404);
    }
    yard.is_unharmed("one series in two studies");
}

/// An archive of two hospitals, each with its own sender and its own token.
struct Province {
    yard: Yard,
    _folder: tempfile::TempDir,
}

const ADMIN: &str = "Authorization: Bearer admin-secret\r\n";

impl Province {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut tokens = String::new();
        for (name, secret, facilities, role) in [
            ("admin", "admin-secret", "\"all\"", "admin"),
            ("one", "one-secret", "[\"56001\"]\nhome = \"56001\"", "sender"),
            ("two", "two-secret", "[\"56002\"]\nhome = \"56002\"", "sender"),
        ] {
            let digest = Sha256::digest(secret).iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            let _ = writeln!(
                tokens,
                "[[token]]\nname = \"{name}\"\nsha256 = \"{digest}\"\nfacilities = {facilities}\nrole = \"{role}\""
            );
        }
        let token_file = folder.path().join("tokens.toml");
        std::fs::write(&token_file, tokens).expect("written");
        let config = folder.path().join("khoanh.toml");
        std::fs::write(&config, format!("[http]\ntokens = {:?}\n", token_file.display().to_string())).expect("written");
        let config = config.display().to_string();
        let yard = Yard::open_with_token(&["--config", &config], ADMIN);
        for (code, calling) in [("56001", "CT_ONE"), ("56002", "CT_TWO")] {
            put(&yard, "/api/facilities", &json!({ "code": code, "name": "Bệnh viện", "kind": "hospital" }));
            let source =
                json!({ "id": calling, "facility": code, "called": null, "calling": calling, "addresses": [] });
            put(&yard, "/api/sources", &source);
        }
        Self { yard, _folder: folder }
    }

    fn send(&self, calling: &str, object: &Object) -> Result<u16, WireError> {
        let proposal = Proposal {
            abstract_syntax: object.sop_class.clone(),
            transfer_syntaxes: vec![object.transfer_syntax.clone()],
        };
        let titles = Titles::new("KHOANH", calling);
        let limit = std::time::Duration::from_secs(60);
        let mut association = Association::open(self.yard.server.dicom, &titles, &[proposal], limit)?;
        let response = association.store(1, &object.sop_class, &object.sop_instance, object.data_set())?;
        association.release()?;
        Ok(response.status)
    }

    fn get(&self, secret: &str, target: &str, accept: &str) -> Answer {
        let headers = format!("Authorization: Bearer {secret}\r\n{accept}");
        self.yard.client().get(target, &headers).expect("answered")
    }
}

fn put(yard: &Yard, target: &str, value: &Value) {
    let headers = format!("{ADMIN}Content-Type: application/json\r\n");
    let body = value.to_string();
    let answer = yard.client().request("PUT", target, &headers, &[body.as_bytes()]).expect("answered");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn two_hospitals_with_the_same_numbers_and_uids_stay_apart() {
    let province = Province::open();
    let shared = ["1.2.840.1", "1.2.840.2", "1.2.840.3"];
    let one = patient_object(shared[0], shared[1], shared[2], "00001", b"one...");
    let two = patient_object(shared[0], shared[1], shared[2], "00001", b"two...");
    assert_eq!(province.send("CT_ONE", &one).expect("sent"), 0);
    assert_eq!(province.send("CT_TWO", &two).expect("sent"), 0);
    let path = testkit::http::instance_path("", &one);
    for (secret, own, foreign, object) in
        [("one-secret", "56001", "56002", &one), ("two-secret", "56002", "56001", &two)]
    {
        for root in ["/dicom-web".to_owned(), format!("/facilities/{own}/dicom-web")] {
            let answer = province.get(secret, &format!("{root}{path}"), AS_STORED);
            assert_eq!(answer.status, 200, "{root}: {}", answer.text());
            let served = Object::from_file(answer.parts().remove(0)).expect("readable");
            assert!(served.data_set() == object.data_set(), "{own} is served the other's bytes at {root}");
            for query in ["PatientID=00001", "AccessionNumber=ACC1", "StudyInstanceUID=1.2.840.1", "StudyDate=20260102"]
            {
                let answer = province.get(secret, &format!("{root}/studies?{query}"), "");
                assert_eq!(found(&answer, "0020000D").len(), 1, "{own} {query} {root}: {}", answer.text());
            }
        }
        let answer = province.get(secret, &format!("/facilities/{foreign}/dicom-web{path}"), AS_STORED);
        assert!([403, 404].contains(&answer.status), "{own} reads {foreign}: {}", answer.status);
        let answer = province.get(secret, &format!("/facilities/{foreign}/dicom-web/studies"), "");
        assert!([403, 404].contains(&answer.status) || found(&answer, "0020000D").is_empty(), "{}", answer.text());
        assert_eq!(province.get(secret, "/api/stats", "").status, 403);
    }
    assert_eq!(province.get("admin-secret", "/api/conflicts", "").text().matches("1.2.840.3").count(), 0);
    assert_eq!(province.get("wrong-secret", "/dicom-web/studies", "").status, 401);
    assert_eq!(province.yard.client().get("/dicom-web/studies", "").expect("answered").status, 401);
}

#[test]
fn an_unknown_sender_is_rejected_with_the_reason_and_counted() {
    let province = Province::open();
    put(
        &province.yard,
        "/api/sources",
        &json!({ "id": "off", "facility": "56001", "called": null, "calling": "OFF", "addresses": [], "disabled": true }),
    );
    let object = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", b"xx");
    for _ in 0..3 {
        let refused = province.send("OFF", &object);
        assert!(matches!(refused, Err(WireError::Rejected(1, 1, 3))), "{refused:?}");
    }
    let wrong = Association::open(
        province.yard.server.dicom,
        &Titles::new("NOBODY", "CT_ONE"),
        &[],
        std::time::Duration::from_secs(30),
    );
    assert!(matches!(wrong, Err(WireError::Rejected(1, 1, 7))), "{wrong:?}");
    let knocks: Value = serde_json::from_slice(&province.get("admin-secret", "/api/knocks", "").body).expect("JSON");
    let times = |called: &str, calling: &str| {
        let all = knocks.as_array().expect("an array").iter();
        let mut fitting = all.filter(|knock| knock["called"] == called && knock["calling"] == calling);
        fitting.next().and_then(|knock| knock["times"].as_u64())
    };
    assert_eq!((times("KHOANH", "OFF"), times("NOBODY", "CT_ONE")), (Some(3), Some(1)), "{knocks}");
}
