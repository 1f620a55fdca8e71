//! Links that the archive signs itself, for messages to information systems.

use super::*;
use crate::launch::MessageLinks;
use archive::Archive;
use archive::charts::ChartError;
use model::chart::{Change, Handled, Inbound, OrderAction, OrderUpdate, Origin, PatientUpdate};
use model::{Digest, FacilityCode, Uid};

const DAY: u64 = 86_400;

fn query(province: &Province, facility: &str, ends: u64) -> Option<String> {
    query_of(province, facility, "77", ends)
}

fn query_of(province: &Province, facility: &str, mrn: &str, ends: u64) -> Option<String> {
    let (facility, study) = (FacilityCode::parse(facility).expect("a code"), Uid::parse("1.2.3").expect("a UID"));
    MessageLinks::open(&province.options.launch).query(facility, &study, mrn, ends)
}

async fn hospital() -> Province {
    let province = Province::open().await;
    for study in ["1.2.3", "1.2.4"] {
        province.store("56001", object(study, "A1", "77", "20261101")).await;
    }
    province
}

pub(super) fn patient(mrn: &str) -> Change {
    Change::Patient(PatientUpdate { mrn: mrn.into(), ..PatientUpdate::default() })
}

impl Province {
    async fn opens(&self, query: &str) -> Answer {
        self.ask(Method::GET, &format!("/viewer/iid?{query}"), &[], "").await
    }

    /// The number of a patient is given up for another one.
    async fn merges(&self, former: &str, survivor: &str) {
        let merge = Change::Merge { survivor: survivor.into(), former: former.into() };
        self.hears("m", vec![patient(former), patient(survivor), merge]).await;
    }

    /// A person decides of a study and an order.
    pub(super) async fn decides(
        &self,
        decide: impl FnOnce(&Archive, FacilityCode, &Uid) -> Result<(), ChartError> + Send + 'static,
    ) {
        let archive = Arc::clone(&self.service.archive);
        let (facility, study) = (FacilityCode::parse("56001").expect("a code"), Uid::parse("1.2.3").expect("a UID"));
        let decided = tokio::task::spawn_blocking(move || decide(&archive, facility, &study)).await;
        decided.expect("no panic").expect("decided");
    }

    pub(super) async fn hears(&self, control: &str, changes: Vec<Change>) {
        let digest = Digest([u8::try_from(control.len()).expect("short"); 32]);
        let origin = Origin { source: "test".into(), sender: String::new(), control: control.into(), digest };
        let changes = Ok(changes);
        let (kind, text) = ("TEST".to_owned(), String::new());
        let message = Inbound { origin, kind, mrn: None, text, changes, remarks: Vec::new() };
        let (archive, facility) = (Arc::clone(&self.service.archive), FacilityCode::parse("56001").expect("a code"));
        let taken = tokio::task::spawn_blocking(move || archive.charts().receive(facility, message));
        assert_eq!(taken.await.expect("no panic").expect("received").handled, Handled::Done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_a_message_opens_again_and_again_until_it_ends_and_shows_its_images_alone() {
    let province = hospital().await;
    let ends = province.now() + 7 * DAY;
    let link = query(&province, "56001", ends).expect("a key that signs");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=&.".contains(&byte);
    let (said, _) = link.split_once("&signature=").expect("a signature");
    assert!(link.bytes().all(plain) && !said.contains("=77"), "no number of a patient, nothing to be coded: {link}");
    for _ in 0..2 {
        let opened = province.opens(&link).await;
        assert_eq!(opened.location(), "/viewer/viewer?StudyInstanceUIDs=1.2.3");
        let cookie = opened.cookie();
        for (path, status) in [
            ("/dicom-web/studies/1.2.3/metadata", 200),
            ("/dicom-web/studies/1.2.3", 403),
            ("/dicom-web/studies/1.2.4/metadata", 404),
            ("/api/available?accession=A1", 403),
        ] {
            assert_eq!(province.with_cookie(path, &cookie).await.status.as_u16(), status, "{path}");
        }
        province.wait(3 * DAY);
    }
    // After a restart as before, and to its last second and the skew of clocks, with what it opened.
    let app = App::new(Arc::clone(&province.service.archive), province.options.clone(), tokens());
    let again = Province { service: Service { router: router(app), ..province.service }, ..province };
    again.wait(ends - again.now() - 60);
    let cookie = again.opens(&link).await.cookie();
    assert_eq!(again.with_cookie("/dicom-web/studies/1.2.3/metadata", &cookie).await.status, StatusCode::OK);
    again.wait(90);
    assert_eq!(again.opens(&link).await.status, StatusCode::FORBIDDEN, "it has ended");
    assert_eq!(again.with_cookie("/dicom-web/studies/1.2.3/metadata", &cookie).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_what_the_archive_signed_for_a_message_opens_for_days() {
    let province = hospital().await;
    let ends = province.now() + 7 * DAY;
    let link = query(&province, "56001", ends).expect("a key that signs");
    for (from, to) in [
        ("studyUID=1.2.3", "studyUID=1.2.4"),
        ("expires=1", "expires=2"),
        ("&use=message", ""),
        ("&whose=", "&other="),
        ("&whose=", "&signature="),
        ("use=message", "use=Message"),
        ("issuer=56001", "issuer=56002"),
        ("user=message", "user=message&role=doctor"),
    ] {
        let other = link.replace(from, to);
        assert_ne!(other, link);
        assert_eq!(province.opens(&other).await.status, StatusCode::FORBIDDEN, "{to}");
    }
    // The hospital's system has the key, and signs other links with it.
    let ends_text = ends.to_string();
    let own = [("requestType", "STUDY"), ("studyUID", "1.2.3"), ("issuer", "56001"), ("user", "an"), ("nonce", "1")];
    let own = [&own[..], &[("expires", ends_text.as_str())]].concat();
    assert_eq!(province.opens(&signed(SECRET, &own)).await.status, StatusCode::FORBIDDEN, "for days");
    let own = [&own[..], &[("use", "message")]].concat();
    assert_eq!(province.opens(&signed(SECRET, &own)).await.status, StatusCode::FORBIDDEN, "another key");
    let long = query(&province, "56001", province.now() + 92 * DAY).expect("a key that signs");
    assert_eq!(province.opens(&long).await.status, StatusCode::FORBIDDEN, "too long");
    assert_eq!(query(&province, "56003", ends), None, "no key of the facility");
    assert_eq!(province.opens(&link).await.location(), "/viewer/viewer?StudyInstanceUIDs=1.2.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_a_message_shows_images_of_the_patient_it_is_about_and_of_nobody_else() {
    let province = hospital().await;
    let ends = province.now() + 7 * DAY;
    let link = |mrn: &str| query_of(&province, "56001", mrn, ends).expect("a key that signs");
    // The study was another patient's when the message was written, or the result names a study that is not its patient's.
    for (mrn, whose) in [("78", false), ("", false), (" 77", true), ("77", true)] {
        let opened = province.opens(&link(mrn)).await;
        let page = if whose { "/viewer/viewer?StudyInstanceUIDs=1.2.3" } else { "/viewer/iid/studies" };
        assert_eq!(opened.location(), page, "{mrn}");
        let cookie = opened.cookie();
        let status = if whose { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(province.with_cookie("/dicom-web/studies/1.2.3/metadata", &cookie).await.status, status, "{mrn}");
        let found = province.with_cookie("/dicom-web/studies", &cookie).await;
        assert_eq!(found.body.windows(5).any(|part| part == b"1.2.3"), whose, "{mrn}");
    }
    // A number that the patient has had, or got since, is the patient's.
    province.merges("77", "78").await;
    for mrn in ["77", "78"] {
        assert_eq!(province.opens(&link(mrn)).await.location(), "/viewer/viewer?StudyInstanceUIDs=1.2.3", "{mrn}");
    }
    // A browser that has it open sees no more of them, either, once they are another's.
    let cookie = province.opens(&link("77")).await.cookie();
    let metadata = "/dicom-web/studies/1.2.3/metadata";
    assert_eq!(province.with_cookie(metadata, &cookie).await.status, StatusCode::OK);
    belongs(&province.service.archive, "1.2.3", "79").await;
    province.wait(10);
    assert_eq!(province.with_cookie(metadata, &cookie).await.status, StatusCode::NOT_FOUND);
    let found = province.with_cookie("/dicom-web/studies", &cookie).await;
    assert!(!found.body.windows(5).any(|part| part == b"1.2.3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_images_that_a_person_said_are_its_patients_until_they_are_said_to_be_anothers() {
    let province = hospital().await;
    let ends = province.now() + 7 * DAY;
    // A result of patient 22 named the study, whose images say 77; the message is with the hospital's system.
    let link = |mrn: &str| query_of(&province, "56001", mrn, ends).expect("a key that signs");
    let (told, other) = (link("22"), link("77"));
    let shows = async |link: &str| {
        let opened = province.opens(link).await;
        let metadata = province.with_cookie("/dicom-web/studies/1.2.3/metadata", &opened.cookie()).await;
        let shows = opened.location() == "/viewer/viewer?StudyInstanceUIDs=1.2.3";
        assert_eq!(metadata.status == StatusCode::OK, shows, "{}", opened.location());
        shows
    };
    let mut order = OrderUpdate::new(OrderAction::New, "P1");
    order.mrn = Some("22".into());
    province.hears("o", vec![patient("22"), patient("77"), Change::Order(Box::new(order))]).await;
    assert_eq!((shows(&told).await, shows(&other).await), (false, true), "nobody said anything yet");
    province.decides(|archive, facility, study| archive.match_study(facility, study, "P1", "Lân")).await;
    assert_eq!((shows(&told).await, shows(&other).await), (true, false), "they are patient 22's");
    province.decides(|archive, facility, study| archive.unmatch_study(facility, study, "Lân")).await;
    assert_eq!((shows(&told).await, shows(&other).await), (false, true), "they are not");
    province.decides(|archive, facility, study| archive.match_study(facility, study, "P1", "Lân")).await;
    // The images get the number that was meant: the link that was sent before opens as before.
    belongs(&province.service.archive, "1.2.3", "22").await;
    assert_eq!((shows(&told).await, shows(&other).await), (true, false), "corrected to what was said");
    // Whoever corrects them to somebody else after that says that they are not patient 22's.
    let cookie = province.opens(&told).await.cookie();
    belongs(&province.service.archive, "1.2.3", "79").await;
    province.wait(10);
    let metadata = province.with_cookie("/dicom-web/studies/1.2.3/metadata", &cookie).await;
    assert_eq!(metadata.status, StatusCode::NOT_FOUND, "where it is open");
    assert_eq!((shows(&told).await, shows(&other).await), (false, false), "they are another patient's");
}
