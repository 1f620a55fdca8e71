//! What is too long, what stands in the way, what was interrupted.

use super::*;
use crate::charts::writing::Whose;
use model::chart::{Content, MESSAGE_MAX, Order, OrderState, Priority, Report, ReportStatus};
use model::{Lsn, Uid};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn report(number: &str, mrn: &str, visit: &str, text: String) -> Report {
    Report {
        number: number.into(),
        mrn: mrn.into(),
        visit: visit.into(),
        placer: String::new(),
        accession: String::new(),
        study: None,
        discipline: "imaging".into(),
        title: "CT".into(),
        author: String::new(),
        status: ReportStatus::Final,
        version: 1,
        contents: vec![Content::Text { heading: String::new(), text }],
        at: 1,
    }
}

fn order(placer: &str, mrn: &str, visit: &str) -> Order {
    Order {
        placer: placer.into(),
        filler: String::new(),
        mrn: mrn.into(),
        visit: visit.into(),
        accession: placer.into(),
        sent_accession: String::new(),
        study: Uid::parse("1.2.3").expect("a UID"),
        procedure_id: String::new(),
        procedure: String::new(),
        procedure_code: None,
        requesting: String::new(),
        service: String::new(),
        referring: String::new(),
        priority: Priority::Routine,
        location: String::new(),
        reason: String::new(),
        patient_state: String::new(),
        weight: String::new(),
        alerts: String::new(),
        pregnancy: None,
        steps: Vec::new(),
        state: OrderState::Completed,
        placed: 1,
        images: None,
        complete: None,
        course: model::chart::Course::default(),
    }
}

fn put(bench: &Bench, id: &str, body: ChartBody) {
    bench.charts().write(HOME, |writing| writing.put(id, body)).expect("put");
}

fn of_order(bench: &Bench, placer: &str) -> String {
    let body = bench.body(HOME, ChartKind::Order, placer).expect("an order");
    body.mrn().expect("a number").to_owned()
}

#[test]
fn what_is_recorded_can_be_read_however_well_it_is_compressed() {
    let mut bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An"), visit("V", "1", None)]);
    for number in 0..5 {
        let report = report(&format!("R{number}"), "1", "V", "x".repeat(7 << 20));
        put(&bench, &format!("R{number}"), ChartBody::Report(Box::new(report)));
    }
    // 35 MiB in one change, a few KiB compressed: refused, kept as such, and the same once more.
    let moved = asks("2", vec![Change::MoveVisit { visit: "V".into(), mrn: "2".into() }]);
    let receipt = bench.receive(moved.clone());
    assert!(matches!(receipt.handled, Handled::Refused { .. }), "{receipt:?}");
    assert!(bench.receive(moved).repeated);
    assert_eq!(bench.visit("V").expect("a visit").mrn, "1");
    bench.lose_index();
    assert!(bench.body(HOME, ChartKind::Report, "R4").is_some());
}

#[test]
fn a_message_too_long_to_be_kept_is_refused_and_listed_and_stands_in_nobodys_way() {
    let bench = Bench::new();
    let long = Inbound { text: "ễ".repeat(4 << 20), ..asks("1", vec![patient("1", "Lê An")]) };
    assert!(matches!(bench.receive(long.clone()).handled, Handled::Refused { .. }));
    assert!(bench.receive(long).repeated && bench.own("1").is_none());
    let refused = bench.messages(Some("refused"));
    let [(_, message)] = refused.as_slice() else { panic!("{}", refused.len()) };
    assert!(message.text.len() <= 64 << 10 && message.remarks.iter().any(|remark| remark.contains("too long")));
    bench.done("2", vec![patient("1", "Lê An")]);
}

#[test]
fn a_patient_with_texts_or_lists_without_end_is_refused_and_listed() {
    let mut bench = Bench::new();
    let words: Vec<String> = (0..300).map(|number| format!("tên{number}")).collect();
    let said = |change: &dyn Fn(&mut PatientUpdate)| {
        let mut update = PatientUpdate { mrn: "1".into(), ..PatientUpdate::default() };
        change(&mut update);
        vec![Change::Patient(update)]
    };
    let numbers = |count: usize| (0..count).map(|number| format!("{number:010}")).collect::<Vec<String>>();
    let odd = [
        said(&|update| update.name = Some(words.join(" "))),
        said(&|update| update.address = Some("x".repeat(1_025))),
        said(&|update| update.insurance = Some(numbers(101))),
        said(&|update| update.phones = Some(numbers(101))),
    ];
    for (number, changes) in odd.into_iter().enumerate() {
        let receipt = bench.receive(asks(&format!("{number}"), changes));
        assert!(matches!(receipt.handled, Handled::Refused { .. }), "{number}: {receipt:?}");
    }
    assert!(bench.own("1").is_none());
    bench.done("whole", said(&|update| update.insurance = Some(numbers(100))));
    bench.lose_index();
    assert_eq!(bench.own("1").expect("a patient").ids.insurance.len(), 100);
    assert_eq!(bench.messages(Some("refused")).len(), 4);
}

/// Base64 of what cannot be compressed.
fn noise(bytes: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = fastrand::Rng::with_seed(5);
    (0..bytes).map(|_| char::from(LETTERS[random.usize(..64)])).collect()
}

/// A message with a result that is nearly all of it.
fn with_document(control: &str, first: Option<Change>, data: String) -> Inbound {
    let contents = vec![Content::Document { media_type: "application/pdf".into(), base64: data.clone() }];
    let result = Report { contents, ..report("R", "1", "", String::new()) };
    let changes = first.into_iter().chain([Change::Report(Box::new(result))]).collect();
    Inbound {
        text: format!("MSH|^~\\&|RIS\r{data}"),
        changes: Ok(changes),
        mrn: Some("1".into()),
        ..asks(control, Vec::new())
    }
}

#[test]
fn a_result_as_long_as_a_message_may_be_is_kept_also_when_it_waits_and_a_longer_one_is_listed() {
    let mut bench = Bench::new();
    let data = noise(MESSAGE_MAX - 100);
    let waits = bench.receive(with_document("1", None, data.clone()));
    assert!(matches!(waits.handled, Handled::Parked { .. }), "{waits:?}");
    // What it waits for comes, and it is a result.
    bench.done("2", vec![patient("1", "Lê An")]);
    let kept = |bench: &Bench| match bench.body(HOME, ChartKind::Report, "R") {
        Some(ChartBody::Report(report)) => match report.contents.as_slice() {
            [Content::Document { base64, .. }] => *base64 == data,
            _ => false,
        },
        _ => false,
    };
    assert!(kept(&bench));
    let again = bench.receive(with_document("3", Some(patient("1", "Lê An")), data.clone()));
    assert_eq!(again.handled, Handled::Done, "at once");
    bench.lose_index();
    assert!(kept(&bench));
    let longer = bench.receive(with_document("4", None, noise(MESSAGE_MAX)));
    let Handled::Refused { why } = &longer.handled else { panic!("{:?}", longer.handled) };
    assert!(why.contains("at most 8388608 bytes"), "{why}");
    assert_eq!(bench.messages(Some("refused")).len(), 1);
}

#[test]
fn what_was_answered_is_kept() {
    let bench = Bench::new();
    let refused = |control: &str| Inbound { changes: Err("ADT with trigger A99".into()), ..asks(control, Vec::new()) };
    let answered = || {
        let messages = bench.messages(None).into_iter();
        let mut codes: Vec<_> = messages.map(|(_, one)| (one.origin.control, one.acknowledged)).collect();
        codes.sort();
        codes.into_iter().map(|(_, code)| code).collect::<Vec<_>>()
    };
    bench.receive(refused("1"));
    bench.charts().receive_rejected(HOME, refused("2")).expect("received");
    bench.done("3", vec![patient("1", "Lê An")]);
    assert_eq!(answered(), ["AE", "AR", "AA"]);
    // Given in again by an operator, nobody is answered: refused for another reason, it is still that one.
    let messages = bench.messages(Some("refused"));
    let (id, _) = messages.iter().find(|(_, one)| one.acknowledged == "AR").expect("the rejected one");
    let otherwise = Inbound { changes: Err("PID-3 is empty".into()), ..refused("2") };
    bench.charts().receive_again(HOME, id, otherwise).expect("received");
    assert_eq!(answered(), ["AE", "AR", "AA"]);
    let mended = Inbound { changes: Ok(vec![patient("2", "Lê Bình")]), ..refused("2") };
    assert_eq!(bench.charts().receive_again(HOME, id, mended).map(|one| one.handled), Ok(Handled::Done));
    assert_eq!(answered(), ["AE", "AA", "AA"]);
}

#[test]
fn a_page_of_long_rows_is_bounded_by_their_bytes() {
    let bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An")]);
    let short = report("short", "1", "", "x".into());
    put(&bench, "short", ChartBody::Report(Box::new(short)));
    for number in 0..7 {
        let report = report(&format!("R{number}"), "1", "", "x".repeat(4 << 20));
        put(&bench, &format!("R{number}"), ChartBody::Report(Box::new(report)));
    }
    let query = crate::charts::ChartQuery {
        kind: ChartKind::Report,
        facilities: None,
        driver: crate::charts::ChartDriver::Equal(model::chart::Term::Mrn, "1".into()),
        moments: None,
        years: None,
    };
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = bench.charts().find(&Caller::operator(), &query, after, 100).expect("answers");
        pages.push(page.rows.len());
        after = page.cursor;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages.iter().sum::<usize>(), pages.iter().max()), (8, Some(&4)), "{pages:?}");
    // Short rows fill a page as before.
    let page = bench.charts().messages(&Caller::operator(), &Default::default(), None, 100).expect("answers");
    assert_eq!((page.rows.len(), page.cursor), (1, None));
}

#[test]
fn a_patient_whose_key_is_gone_costs_their_own_parked_message_only() {
    let bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An"), patient("2", "Lê Bình")]);
    for (control, number, mrn) in [("2", "V1", "1"), ("3", "V2", "2")] {
        bench.receive(asks(control, vec![visit(number, mrn, Some(VisitState::Canceled))]));
    }
    let key = ChartKey::new(ChartKind::Patient, HOME, "1").expect("a key");
    let seal = bench.charts().view.row(&key).expect("answers").expect("a row").seal.expect("sealed");
    bench.charts().keys.destroy(seal).expect("destroyed");
    bench.turn(11 * MINUTE);
    assert_eq!(bench.charts().try_parked(), 2);
    let refused = bench.messages(Some("refused"));
    assert_eq!(refused.iter().map(|(_, message)| message.mrn.as_deref()).collect::<Vec<_>>(), [Some("2")]);
}

#[test]
fn a_visit_goes_with_all_that_is_under_any_number_of_its_patient() {
    let bench = Bench::new();
    bench
        .done("1", vec![patient("A", "Lê An"), patient("B", "Lê An"), patient("C", "Lê Chi"), patient("D", "Lê Dũng")]);
    bench.done("2", vec![visit("V", "A", None)]);
    for (placer, mrn) in [("O1", "A"), ("O2", "B"), ("O3", "D")] {
        put(&bench, placer, ChartBody::Order(Box::new(order(placer, mrn, "V"))));
    }
    put(&bench, "R", ChartBody::Report(Box::new(report("R", "B", "V", "x".into()))));
    bench.done("3", vec![merge("B", "A")]);
    let receipt = bench.receive(asks("4", vec![Change::MoveVisit { visit: "V".into(), mrn: "C".into() }]));
    assert!(receipt.remarks.iter().any(|remark| remark.contains("another patient's")), "{receipt:?}");
    assert_eq!(["O1", "O2", "O3"].map(|placer| of_order(&bench, placer)), ["C", "C", "D"]);
    assert_eq!(bench.body(HOME, ChartKind::Report, "R").expect("a result").mrn(), Some("C"));
}

#[test]
fn what_a_merge_keeps_lies_under_the_key_of_whom_it_is_about_and_goes_when_it_is_undone() {
    let bench = Bench::new();
    bench.done("1", vec![patient("A", "Lê An"), patient("B", "Lê Bình")]);
    bench.done("2", vec![merge("B", "A")]);
    let (id, _, _) = bench.merges().remove(0);
    let seal = |kind, id: &str| {
        let key = ChartKey::new(kind, HOME, id).expect("a key");
        bench.charts().view.row(&key).expect("answers").expect("a row").seal
    };
    assert_eq!(seal(ChartKind::Merge, &id), seal(ChartKind::Patient, "A"));
    assert_ne!(seal(ChartKind::Merge, &id), seal(ChartKind::Patient, "B"));
    bench.charts().unmerge(&Caller::operator(), HOME, &id, "Lân").expect("undone");
    let Some(ChartBody::Merge(merge)) = bench.body(HOME, ChartKind::Merge, &id) else { panic!("no merge") };
    assert_eq!((merge.before.mrn.as_str(), merge.before.name.as_str()), ("A", ""));
}

#[test]
fn a_refused_message_about_nobody_known_makes_no_key_for_them() {
    let bench = Bench::new();
    let keys = || bench.charts().keys.open().expect("keys").keys.check().expect("checked").live;
    for number in 0..3 {
        let mrn = Some(format!("unknown {number}"));
        bench.receive(Inbound { mrn, changes: Err("no".into()), ..asks(&format!("{number}"), Vec::new()) });
    }
    assert_eq!(keys(), 1, "the one of the day");
}

#[test]
fn whoever_dies_over_the_index_leaves_charts_closed_and_nothing_lost() {
    let mut bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An")]);
    let through: Lsn = {
        let charts = bench.charts();
        let known = charts.known_seal(HOME, "1").expect("answers").expect("a key");
        let body =
            ChartBody::Patient(Box::new(Patient { mrn: "1".into(), name: "Lê Anh".into(), ..Patient::default() }));
        let row = crate::charts::journal::Row {
            kind: ChartKind::Patient,
            id: "1".into(),
            created: Some(1),
            body: Some(body),
        };
        charts.record(HOME, [(known, vec![row])].into(), Whose::Senders).expect("recorded")
    };
    // As somebody who died between the sync and the index.
    let died = catch_unwind(AssertUnwindSafe(|| {
        bench.charts().applying.store(true, Ordering::SeqCst);
        panic!("on purpose");
    }));
    assert!(died.is_err());
    assert!(bench.charts().settle(through).is_err(), "what nobody applied is passed over");
    let refused = bench.charts().receive(HOME, asks("2", vec![patient("2", "Lê Bình")]));
    assert!(matches!(refused, Err(ChartError::Unavailable(_))), "{refused:?}");
    assert!(bench.charts().broken().is_some());
    bench.restart();
    assert_eq!(bench.own("1").expect("a patient").name, "Lê Anh");
    bench.done("2", vec![patient("2", "Lê Bình")]);
}
