//! Results: versions, what they belong to, and what is refused.

use super::orders::new;
use super::*;
use model::Uid;
use model::chart::{Content, OrderUpdate, Report, ReportStatus};

fn report(number: &str, status: ReportStatus, text: &str) -> Report {
    let text = Content::Text { heading: "Kết luận".into(), text: text.into() };
    Report {
        number: number.into(),
        mrn: "1".into(),
        visit: String::new(),
        placer: String::new(),
        accession: String::new(),
        study: None,
        discipline: "imaging".into(),
        title: "CT".into(),
        author: String::new(),
        status,
        version: 0,
        contents: vec![text],
        at: 0,
    }
}

impl Bench {
    fn reports(&self, report: Report) -> Receipt {
        self.turn(1);
        let control = self.clock.now_ms().to_string();
        self.receive(asks(&control, vec![Change::Report(Box::new(report))]))
    }

    fn result(&self, number: &str) -> Option<Report> {
        match self.body(HOME, ChartKind::Report, number)? {
            ChartBody::Report(report) => Some(*report),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_result_has_versions_and_never_falls_back() {
    use ReportStatus::{Amended, Canceled, Final, Preliminary};
    let bench = Bench::new();
    assert!(matches!(bench.reports(report("R1", Final, "a")).handled, Handled::Parked { .. }));
    bench.done("p", vec![patient("1", "Lê An"), patient("2", "Trần Bình")]);
    let steps = [
        (Preliminary, "a", 1, Preliminary, "a", false),
        (Preliminary, "a", 1, Preliminary, "a", false),
        (Preliminary, "b", 2, Preliminary, "b", false),
        (Final, "b", 3, Final, "b", false),
        (Preliminary, "c", 3, Final, "b", true),
        (Final, "b", 3, Final, "b", false),
        (Final, "d", 4, Amended, "d", true),
        (Final, "d", 4, Amended, "d", false),
        (Amended, "e", 5, Amended, "e", false),
        (Canceled, "", 6, Canceled, "e", false),
        (Preliminary, "f", 6, Canceled, "e", true),
        (Final, "f", 7, Final, "f", true),
    ];
    for (number, (status, text, version, expected, shown, remarked)) in steps.into_iter().enumerate() {
        let mut said = report("R2", status, text);
        if text.is_empty() {
            said.contents.clear();
        }
        let receipt = bench.reports(said);
        assert_eq!(receipt.handled, Handled::Done, "{number}");
        assert_eq!(!receipt.remarks.is_empty(), remarked, "{number}: {receipt:?}");
        let result = bench.result("R2").expect("a result");
        assert_eq!((result.version, result.status), (version, expected), "{number}");
        assert_eq!(result.contents, report("R2", expected, shown).contents, "{number}");
    }
    let receipt = bench.reports(Report { mrn: "2".into(), ..report("R2", Amended, "g") });
    assert!(matches!(receipt.handled, Handled::Refused { .. }), "{receipt:?}");
}

#[test]
fn a_result_is_linked_by_any_of_its_numbers_and_never_to_another_patient() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An"), patient("2", "Trần Bình")]);
    let study = Uid::parse("1.2.3").expect("a uid");
    bench.says(OrderUpdate {
        accession: Some("A1".into()),
        study: Some(study.clone()),
        visit: Some("V1".into()),
        ..new("P1")
    });
    let final_one = |number: &str| report(number, ReportStatus::Final, "a");
    bench.reports(Report { placer: "P1".into(), ..final_one("R1") });
    bench.reports(Report { accession: "A1".into(), ..final_one("R2") });
    bench.reports(Report { study: Some(study.clone()), ..final_one("R3") });
    for number in ["R1", "R2", "R3"] {
        let result = bench.result(number).expect("a result");
        let linked = (result.placer.as_str(), result.accession.as_str(), result.visit.as_str(), result.study.as_ref());
        assert_eq!(linked, ("P1", "A1", "V1", Some(&study)), "{number}");
    }
    // A laboratory's result that nobody ordered here is kept as it is.
    assert_eq!(bench.reports(Report { placer: "L9".into(), ..final_one("R4") }).handled, Handled::Done);
    assert_eq!(bench.result("R4").expect("a result").study, None);
    let receipt = bench.reports(Report { mrn: "2".into(), accession: "A1".into(), ..final_one("R5") });
    assert!(matches!(receipt.handled, Handled::Refused { .. }), "{receipt:?}");
    assert!(bench.result("R5").is_none());
}
