//! Links in messages: as they are where nobody asks for more, and signed.

use super::super::Receivers;
use super::*;
use archive::Archive;
use model::FacilityCode;
use model::chart::{Delivery, DeliveryState, Event, Subscription, Target, Verdict};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// When it happened, seconds since 1970 UTC.
const AT: u64 = 1_795_842_000;

fn study() -> Uid {
    Uid::parse("1.2.3").expect("a UID")
}

fn available() -> ChartBody {
    ChartBody::Match(Box::new(Match {
        study: study(),
        patient: 0,
        mrn: Some("1".into()),
        placer: "P1".into(),
        verdict: Verdict::Matched,
        why: Vec::new(),
        of_study: Side::default(),
        accession: None,
        modalities: BTreeSet::new(),
        of_order: None,
        complete: true,
        opened: None,
        by: None,
        before: None,
        acts: Vec::new(),
        at: 1,
    }))
}

fn result(status: ReportStatus) -> ChartBody {
    ChartBody::Report(Box::new(Report {
        number: "P1/CT".into(),
        mrn: "1".into(),
        visit: String::new(),
        placer: "P1".into(),
        accession: String::new(),
        study: Some(study()),
        discipline: "imaging".into(),
        title: "CT".into(),
        author: String::new(),
        status,
        version: 1,
        contents: vec![Content::Text { heading: String::new(), text: "rõ".into() }],
        at: 1,
    }))
}

fn parcel(archive: &Arc<Archive>, kind: EventKind, body: ChartBody) -> Parcel {
    let event = Event { kind, id: "1".into(), study: None, state: String::new(), order: String::new(), version: 0 };
    let delivery = Delivery {
        seq: 7,
        subscription: "1".into(),
        event,
        at: AT * 1_000,
        state: DeliveryState::Waiting,
        tries: 0,
        next: 0,
        ended: 0,
        error: String::new(),
    };
    let subscription = Subscription {
        name: "his".into(),
        target: Target::Hl7 { receiver: "his".into() },
        events: BTreeSet::new(),
        paused: false,
        criteria: String::new(),
        by: String::new(),
        at: 0,
    };
    Parcel {
        archive: Arc::clone(archive),
        facility: FacilityCode::DEMO,
        delivery,
        subscription: Arc::new(subscription),
        body,
        patient: None,
        order: None,
        counts: None,
    }
}

#[test]
fn an_accession_number_that_was_corrected_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = archive::Options {
        segment_bytes: 32 << 20,
        reserve_bytes: 16 << 20,
        ..archive::Options::new(folder.path().join("data"))
    };
    let archive = Archive::open(options).expect("open");
    let path = folder.path().join("receivers.toml");
    std::fs::write(&path, "[[receiver]]\nname = \"his\"\naddress = \"10.1.0.5:1\"\nunmatched = true\n")
        .expect("written");
    let receiver = Receivers::load(&path).expect("a file").named("his").expect("a receiver");
    let told = |accession: Option<&str>| {
        let ChartBody::Match(one) = available() else { panic!("no study") };
        let body = ChartBody::Match(Box::new(Match { accession: accession.map(str::to_owned), ..*one }));
        let message = message(&parcel(&archive, EventKind::StudyChanged, body), &receiver, "7", &|_, _| None);
        let text = String::from_utf8(message.expect("there is one").expect("a message")).expect("UTF-8");
        let line = |begins: &str| text.split('\r').find(|line| line.contains(begins)).map(str::to_owned);
        let ordered = line("OBR|").and_then(|line| line.split('|').nth(18).map(str::to_owned));
        (ordered.unwrap_or_default(), line("|ST|121022^"))
    };
    assert_eq!(told(None), (String::new(), None));
    let line = "OBX|2|ST|121022^Accession Number^DCM||A9||||||C".to_owned();
    assert_eq!(told(Some("A9")), ("A9".to_owned(), Some(line)));
    archive.close(Duration::from_secs(20)).expect("closed");
}

#[test]
fn links_are_signed_for_who_asks_for_it_and_plain_for_everybody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = archive::Options {
        segment_bytes: 32 << 20,
        reserve_bytes: 16 << 20,
        ..archive::Options::new(folder.path().join("data"))
    };
    let archive = Archive::open(options).expect("open");
    let signed = |study: &Uid, ends: u64| Some(format!("studyUID={study}&expires={ends}&signature=ab"));
    let nobody = |_: &Uid, _: u64| None;
    // OBX-5 of the link to the viewer.
    let link = |receiver: &str, (kind, body): (EventKind, ChartBody), sign: Sign<'_>| {
        let path = folder.path().join("receivers.toml");
        let text = format!("[[receiver]]\nname = \"his\"\naddress = \"10.1.0.5:1\"\nunmatched = true\n{receiver}");
        std::fs::write(&path, text).expect("written");
        let receiver = Receivers::load(&path).expect("a file").named("his").expect("a receiver");
        let message = message(&parcel(&archive, kind, body), &receiver, "7", sign).expect("there is one");
        let text = String::from_utf8(message.expect("a message")).expect("UTF-8");
        let line = text.split('\r').find(|line| line.contains("|RP|VIEWER^")).map(str::to_owned);
        line.and_then(|line| line.split('|').nth(5).map(str::to_owned))
    };
    let (plain, lasting) = ("viewer = \"https://pacs.vn/\"\n", "viewer = \"https://pacs.vn\"\nlink_days = 30\n");
    let images = || (EventKind::StudyAvailable, available());
    let words = |status| (EventKind::Result, result(status));
    let today = r"https://pacs.vn/viewer/iid?requestType=STUDY\T\studyUID=1.2.3^KHOANH^text^html";
    assert_eq!(link(plain, images(), &signed).as_deref(), Some(today), "nobody asked for it");
    assert_eq!(link(plain, words(ReportStatus::Final), &signed), None);
    assert_eq!(link("", images(), &signed), None);
    let ends = AT + 30 * 86_400;
    let url = format!(r"https://pacs.vn/viewer/iid?studyUID=1.2.3\T\expires={ends}\T\signature=ab^KHOANH^text^html");
    assert_eq!(link(lasting, images(), &signed), Some(url.clone()));
    assert_eq!(link(lasting, words(ReportStatus::Final), &signed), Some(url));
    assert_eq!(link(lasting, words(ReportStatus::Canceled), &signed), None, "there is nothing to see of it");
    assert_eq!(link(lasting, images(), &nobody).as_deref(), Some(today), "without a key it is as before");
    assert_eq!(link(lasting, words(ReportStatus::Final), &nobody), None);
    archive.close(Duration::from_secs(20)).expect("closed");
}
