//! Results and appointments.

use super::*;
use model::chart::{Content, Report, ReportStatus};

pub(super) const ORU: &str = "MSH|^~\\&|RIS|BV|||20261128120000||ORU^R01|9|P|2.5.1\rPID|1||22^^^BV^MR||Nguyễn^An^Văn\r\
    PV1|1|O|||||||||||||||||V1\rORC|RE|DC1|AC1\rOBR|1|DC1|AC1|CT.NGUC^CT ngực^99BV|||20261128100000|||||||||||ACC1||||\
    20261128110000||CT|F|||||||BS01&Trần&Bình&Thị\rOBX|1|TX|MT^Mô tả||Hai phổi sáng\\.br\\Tim không to||||||F\r\
    OBX|2|TX|MT^Mô tả||Không tràn dịch||||||F\rOBX|3|FT|KL^Kết luận||Bình thường ~ hẹn 6 tháng||||||F\r\
    OBX|4|HD|113014^DICOM Study^DCM||1.2.3.4||||||F\rOBX|5|ED|PDF^Bản ký||^application^pdf^Base64^JVBERi0xLjQ=||||||F\r\
    OBX|6|RP|LINK||https://ris.example/x?a=1\\T\\b=2||||||F\rOBX|7|TX|MT^Mô tả||xóa||||||D\rNTE|1||Gọi lại";

fn reports(text: &str) -> Vec<Report> {
    let reports = changes(text).into_iter().filter_map(|change| match change {
        Change::Report(report) => Some(*report),
        _ => None,
    });
    reports.collect()
}

#[test]
fn a_result_is_text_by_heading_documents_and_pointers() {
    let words = |heading: &str, text: &str| Content::Text { heading: heading.into(), text: text.into() };
    let expected = Report {
        number: "AC1/CT.NGUC".into(),
        mrn: "22".into(),
        visit: "V1".into(),
        placer: "DC1".into(),
        accession: "ACC1".into(),
        study: uid("1.2.3.4"),
        discipline: "imaging".into(),
        title: "CT ngực".into(),
        author: "Trần Thị Bình".into(),
        status: ReportStatus::Final,
        version: 1,
        contents: vec![
            words("Mô tả", "Hai phổi sáng\nTim không to\nKhông tràn dịch"),
            words("Kết luận", "Bình thường\nhẹn 6 tháng"),
            Content::Document { media_type: "application/pdf".into(), base64: "JVBERi0xLjQ=".into() },
            Content::Pointer { url: "https://ris.example/x?a=1&b=2".into() },
            words("Note", "Gọi lại"),
        ],
        at: 1_795_838_400_000,
    };
    assert_eq!(reports(ORU), [expected]);
    for (code, status) in
        [("P", ReportStatus::Preliminary), ("C", ReportStatus::Amended), ("X", ReportStatus::Canceled)]
    {
        assert_eq!(reports(&ORU.replace("|CT|F|", &format!("|CT|{code}|")))[0].status, status);
    }
    for bad in ["^application^pdf^Hex^255044", "^application^pdf^Base64^JVB", "^^^Base64^JVBERi0xLjQ=x"] {
        assert!(fault(&ORU.replace("^application^pdf^Base64^JVBERi0xLjQ=", bad)).starts_with("OBX[5]-5:"), "{bad}");
    }
    assert!(fault(&ORU.replace("|DC1|AC1", "||")).starts_with("OBR-3:"));
    assert!(fault(&ORU.replace("PID|1||22", "ZID|1||22")).starts_with("PID:"));
}

#[test]
fn laboratory_and_pathology_results_are_told_by_section_and_type() {
    let oul = "MSH|^~\\&|LIS|BV|||20261128120000||OUL^R22|9|P|2.5.1\rPID|1||22\rSPM|1\rOBR|1||L1|GLU^Đường huyết||||||||\r\
               ORC|SC|D7\rOBX|1|NM|GLU^Glucose||5.6|mmol/L|3.9-6.4|N|||F\rOBR|2||L1|SP^Sinh thiết||||||||||||||||||||SP|F\rORC|SC|D8";
    let told = reports(oul);
    let [first, second] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(
        (first.discipline.as_str(), first.number.as_str(), first.placer.as_str()),
        ("laboratory", "L1/GLU", "D7")
    );
    let value = Content::Text { heading: "Glucose".into(), text: "5.6 mmol/L (3.9-6.4) [N]".into() };
    assert_eq!(first.contents, [value]);
    assert_eq!((second.discipline.as_str(), second.placer.as_str()), ("pathology", "D8"));
    for trigger in ["R23", "R24"] {
        assert_eq!(reports(&oul.replace("R22", trigger)), told, "{trigger}");
    }
    // In the oldest of them an order stands before its result.
    let older = reports(
        "MSH|^~\\&|LIS|BV|||20261128120000||OUL^R21|9|P|2.4\rPID|1||22\rORC|SC|D7\rOBR|1||L1|GLU^Đường huyết\r\
         OBX|1|NM|GLU^Glucose||5.6|mmol/L|3.9-6.4|N|||F\rORC|SC|D8\rOBR|2||L1|SP^Sinh thiết||||||||||||||||||||SP|F",
    );
    assert_eq!(older, told);
    // What is said of the next specimen is no part of this result.
    let next = "SPM|2\rOBX|1|ST|HEM^Hemolysis||rõ||||||F\rNTE|1||ống 2\rOBR|2||L1|SP^";
    let specimens = oul.replace("OBR|2||L1|SP^", next);
    assert_ne!(specimens, oul);
    assert_eq!(reports(&specimens), told);
}

#[test]
fn an_appointment_moves_the_step_of_its_order() {
    let siu = |trigger: &str, sch: &str| {
        asked(&format!(
            "MSH|^~\\&|HIS|BV|||20261128||SIU^{trigger}|1|P|2.5\r{sch}\rTQ1|1||||||202611290730\rPID|1||22\rAIL|1||P.101^^"
        ))
    };
    let numbered = |placer: &str, filler: &str| format!("SCH|A1|B1{}{placer}|{filler}", "|".repeat(24));
    let order = |trigger: &str, sch: &str| match siu(trigger, sch).changes.expect(sch).as_slice() {
        [Change::Patient(_), Change::Order(order)] => (**order).clone(),
        other => panic!("{other:?}"),
    };
    for trigger in ["S12", "S13", "S14"] {
        let order = order(trigger, &numbered("DC1", "AC1"));
        assert_eq!(
            (order.action, order.placer.as_str(), order.filler.as_deref()),
            (OrderAction::Change, "DC1", Some("AC1"))
        );
        let [step] = order.steps.as_slice() else { panic!("one step") };
        assert_eq!((step.start.clone(), step.location.as_deref()), (started("20261129", "073000"), Some("P.101")));
    }
    assert_eq!(order("S12", &numbered("", "AC1")).placer, "");
    let cancelled = siu("S15", &numbered("DC1", ""));
    assert_eq!(cancelled.remarks.len(), 1);
    let taken_back = order("S15", &numbered("DC1", ""));
    assert_eq!((taken_back.action, taken_back.placer.as_str()), (OrderAction::Unbook, "DC1"));
    let [step] = taken_back.steps.as_slice() else { panic!("which one") };
    let appointment = model::chart::Appointment { placer: "A1".into(), filler: "B1".into() };
    assert_eq!((step.start.clone(), &step.appointment), (started("20261129", "073000"), &Some(appointment.clone())));
    assert_eq!(taken_back.mrn.as_deref(), Some("22"));
    assert_eq!(order("S12", &numbered("DC1", "")).steps[0].appointment, Some(appointment));
    assert!(siu("S12", "SCH|A1|B1").changes.expect_err("no order").to_string().starts_with("SCH-26:"));
}
