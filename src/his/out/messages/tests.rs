//! Links in messages: as they are where nobody asks for more, and signed.

use super::super::Receivers;
use super::*;
use archive::Archive;
use model::FacilityCode;
use model::chart::{Course, Delivery, DeliveryState, Event, OrderState, Priority, Subscription, Target};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// When it happened, seconds since 1970 UTC.
const AT: u64 = 1_795_842_000;

fn study() -> Uid {
    Uid::parse("1.2.3").expect("a UID")
}

fn available() -> ChartBody {
    judged("P1", Verdict::Matched, Side::default())
}

fn judged(placer: &str, verdict: Verdict, of_study: Side) -> ChartBody {
    ChartBody::Match(Box::new(Match {
        study: study(),
        patient: 0,
        mrn: Some("1".into()),
        placer: placer.into(),
        verdict,
        why: Vec::new(),
        of_study,
        accession: None,
        modalities: BTreeSet::new(),
        of_order: None,
        complete: true,
        opened: None,
        moved: 0,
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
    let archive = opened(&folder);
    let receiver = receiver(&folder, "unmatched = true\n");
    let told = |accession: Option<&str>| {
        let ChartBody::Match(one) = available() else { panic!("no study") };
        let body = ChartBody::Match(Box::new(Match { accession: accession.map(str::to_owned), ..*one }));
        let message = message(&parcel(&archive, EventKind::StudyChanged, body), &receiver, "7", &|_, _, _| None);
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

fn opened(folder: &tempfile::TempDir) -> Arc<Archive> {
    let options = archive::Options {
        segment_bytes: 32 << 20,
        reserve_bytes: 16 << 20,
        ..archive::Options::new(folder.path().join("data"))
    };
    Archive::open(options).expect("open")
}

fn receiver(folder: &tempfile::TempDir, more: &str) -> Receiver {
    let path = folder.path().join("receivers.toml");
    let text = format!("[[receiver]]\nname = \"his\"\naddress = \"10.1.0.5:1\"\n{more}");
    std::fs::write(&path, text).expect("written");
    Receivers::load(&path).expect("a file").named("his").expect("a receiver")
}

fn order() -> Order {
    Order {
        placer: "P1".into(),
        filler: String::new(),
        mrn: "1".into(),
        visit: "V1".into(),
        accession: "A1".into(),
        sent_accession: String::new(),
        study: study(),
        procedure_id: String::new(),
        procedure: String::new(),
        procedure_code: None,
        requesting: String::new(),
        service: String::new(),
        referring: String::new(),
        priority: Priority::default(),
        location: String::new(),
        reason: String::new(),
        patient_state: String::new(),
        weight: String::new(),
        alerts: String::new(),
        pregnancy: None,
        steps: Vec::new(),
        state: OrderState::default(),
        placed: 1,
        images: None,
        complete: None,
        course: Course::default(),
    }
}

#[test]
fn images_that_contradict_their_order_are_never_told_as_its_patients() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = opened(&folder);
    let sign = |study: &Uid, mrn: &str, _: u64| Some(format!("studyUID={study}&whose={mrn}"));
    let told = |more: &str, (state, kind): (&str, EventKind), body: ChartBody| {
        let mut parcel = parcel(&archive, kind, body);
        (parcel.delivery.event.state, parcel.delivery.event.order) = (state.into(), "P1".into());
        parcel.order = Some(order());
        parcel.patient = Some(Patient { mrn: "1".into(), name: "Lê An".into(), ..Patient::default() });
        let receiver = receiver(&folder, &format!("viewer = \"https://pacs.vn\"\nlink_days = 30\n{more}"));
        let made = message(&parcel, &receiver, "7", &sign);
        made.expect("there is one").map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
    };
    let other = || Side { mrn: "2".into(), name: "Trần^Bình".into(), ..Side::default() };
    let own = || Side { mrn: "0001".into(), ..Side::default() };
    let (available, changed) = (EventKind::StudyAvailable, EventKind::StudyChanged);
    // A console sent the images of patient 2 with the Accession Number of patient 1.
    for event in [("mismatch", available), ("mismatch", changed)] {
        assert_eq!(told("", event, judged("P1", Verdict::Mismatch, other())), None);
        let apart = told("unmatched = true\n", event, judged("P1", Verdict::Mismatch, other())).expect("a message");
        assert!(apart.contains("PID|1||2^^^") && apart.contains("whose=2"), "{apart}");
        assert!(
            !apart.contains("P1") && !apart.contains("A1") && !apart.contains("V1") && !apart.contains("An"),
            "{apart}"
        );
    }
    // A person said meanwhile that they are patient 1's, or that they are another order's.
    let decided = told("", ("mismatch", changed), judged("P1", Verdict::Matched, own())).expect("a message");
    assert!(decided.contains("PID|1||1^^^") && decided.contains("whose=1"), "{decided}");
    assert_eq!(told("", ("mismatch", changed), judged("P2", Verdict::Matched, other())), None);
    // What was announced and taken back is announced, so that it can be taken back, and leads to no images of another patient.
    for lost in [judged("P2", Verdict::Matched, other()), judged("P1", Verdict::Mismatch, other())] {
        let lost = told("", ("matched", available), lost).expect("a message");
        assert!(lost.contains("PID|1||1^^^") && lost.contains("|1.2.3|") && !lost.contains("pacs.vn"), "{lost}");
    }
    let back = told("", ("withdrawn", changed), judged("P2", Verdict::Matched, other())).expect("a message");
    assert!(back.contains("PID|1||1^^^") && back.contains("||||||D") && !back.contains("pacs.vn"), "{back}");
    archive.close(Duration::from_secs(20)).expect("closed");
}

#[test]
fn links_are_signed_for_who_asks_for_it_and_plain_for_everybody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = opened(&folder);
    let signed = |study: &Uid, _: &str, ends: u64| Some(format!("studyUID={study}&expires={ends}&signature=ab"));
    let nobody = |_: &Uid, _: &str, _: u64| None;
    // OBX-5 of the link to the viewer.
    let link = |more: &str, (kind, body): (EventKind, ChartBody), sign: Sign<'_>| {
        let receiver = receiver(&folder, &format!("unmatched = true\n{more}"));
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
