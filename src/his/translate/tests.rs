//! What messages ask for: the three samples field by field, every event, and what is refused where.

mod records;
mod results;

use super::*;
use crate::hl7::Message;
use crate::map::Map;
use model::chart::{
    BirthDate, Code, OrderAction, OrderState, OrderUpdate, PatientUpdate, Priority, Sex, StepUpdate, VisitState,
    VisitUpdate,
};
use model::{AeTitle, Uid};

const ORM: &str = include_str!("../tests/samples/orm-2.3.1.hl7");
const OMI: &str = include_str!("../tests/samples/omi-2.5.1.hl7");
const OMI_27: &str = include_str!("../tests/samples/omi-2.7.hl7");
const NUMBERS: &str = include_str!("../../../config/hl7-maps/numbers-in-pid-19.toml");
const SITE: &str = include_str!("../../../config/hl7-maps/site-segment.toml");

fn asked_by(text: &str, map: Map) -> Asked {
    let message = Message::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    translate(&message, &Sender::plain("his", map))
}

fn asked(text: &str) -> Asked {
    asked_by(text, Map::default())
}

fn changes(text: &str) -> Vec<Change> {
    asked(text).changes.unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn fault(text: &str) -> String {
    asked(text).changes.expect_err(text).to_string()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn code(value: &str, meaning: &str, scheme: &str) -> Code {
    Code { value: value.into(), meaning: meaning.into(), scheme: scheme.into() }
}

fn uid(text: &str) -> Option<Uid> {
    Uid::parse(text).ok()
}

fn title(text: &str) -> Option<Option<AeTitle>> {
    Some(AeTitle::parse(text).ok())
}

fn started(date: &str, time: &str) -> Option<(String, String)> {
    Some((date.to_owned(), time.to_owned()))
}

/// Patient, visit and order of a message that has the three.
fn three(changes: Vec<Change>) -> (PatientUpdate, VisitUpdate, OrderUpdate) {
    let [Change::Patient(patient), Change::Visit(visit), Change::Order(order)] = changes.as_slice() else {
        panic!("not a patient, a visit and an order: {changes:?}");
    };
    (patient.clone(), visit.clone(), (**order).clone())
}

#[test]
fn an_orm_of_2_3_1_says_who_is_where() {
    let map = Map::parse(NUMBERS).expect("a map");
    let (patient, visit, _) = three(asked_by(ORM, map).changes.expect("understood"));
    let expected = PatientUpdate {
        mrn: "22015985".into(),
        name: some("Nguyễn Văn An"),
        birth: Some(BirthDate::parse("1978").ok()),
        sex: Some(Sex::Male),
        national: some("056078000001"),
        others: Some(vec![model::chart::OtherId { value: "S-7".into(), assigner: "SO".into(), kind: "XX".into() }]),
        phones: Some(vec!["0903123456".into()]),
        address: some("12 Lê Lợi, Nha Trang, Khánh Hòa"),
        allergies: Some(vec!["Iod cản quang".into()]),
        ..PatientUpdate::default()
    };
    assert_eq!(patient, expected);
    let expected = VisitUpdate {
        number: "MALK0001".into(),
        mrn: "22015985".into(),
        class: some("I"),
        location: some("KHOANOI P12 G3"),
        referring: some("Lê Thị Hoa"),
        pregnant: Some(true),
        ..VisitUpdate::default()
    };
    assert_eq!(visit, expected);
}

#[test]
fn an_orm_of_2_3_1_fills_every_row_of_the_worklist() {
    let map = Map::parse(NUMBERS).expect("a map");
    let (_, _, order) = three(asked_by(ORM, map).changes.expect("understood"));
    let step = StepUpdate {
        id: "SPS7001".into(),
        modality: some("CT"),
        station: title("CT01"),
        station_name: None,
        location: some("P.101"),
        start: started("20261128", "083000"),
        performing: some("Phạm Dũng"),
        description: some("Ngực không cản quang"),
        protocol: Some(vec![code("P5-09", "Ngực không cản quang", "99BV")]),
        appointment: None,
    };
    let expected = OrderUpdate {
        filler: some("AC2001"),
        mrn: some("22015985"),
        visit: some("MALK0001"),
        accession: some("ACC7001"),
        study: uid("1.2.826.0.1.3680043.10.1.1"),
        procedure_id: some("RP7001"),
        procedure: some("CT lồng ngực"),
        procedure_code: Some(code("1.04.05", "CT lồng ngực", "QD1227")),
        requesting: some("Trần Thị Bình"),
        service: some("Khoa Nội"),
        referring: some("Lê Thị Hoa"),
        priority: Some(Priority::Stat),
        location: some("KHOANOI P12 G3"),
        reason: some("Nghi viêm phổi"),
        patient_state: some("Nguy cơ ngã; Khó thở"),
        weight: some("52.5"),
        alerts: None,
        pregnancy: Some(3),
        steps: vec![step],
        ..OrderUpdate::new(OrderAction::New, "DC1001")
    };
    assert_eq!(order, expected);
}

#[test]
fn an_omi_of_2_5_1_fills_every_row_of_the_worklist() {
    let asked = asked(OMI);
    assert!(asked.remarks.is_empty(), "{:?}", asked.remarks);
    let (patient, visit, order) = three(asked.changes.expect("understood"));
    assert_eq!((patient.national, patient.insurance), (some("056078000001"), Some(vec!["DN4560123456789".into()])));
    assert_eq!((patient.others, patient.birth), (None, Some(BirthDate::parse("19780305").ok())));
    assert_eq!(patient.allergies, Some(vec!["Iod cản quang".into(), "Tôm".into()]));
    assert_eq!((visit.class, visit.pregnant), (some("O"), None));
    let step = |number: &str, protocol: &str, words: &str| StepUpdate {
        id: number.into(),
        modality: some("MR"),
        station: title("MR01"),
        station_name: some("MRROOM1"),
        location: some("Phòng MRI 1"),
        start: started("20261128", "090000"),
        performing: some("Võ Lan"),
        description: some(words),
        protocol: Some(vec![code(protocol, words, "99BV")]),
        appointment: None,
    };
    let expected = OrderUpdate {
        filler: some("AC2002"),
        mrn: some("22015985"),
        visit: some("MALK0002"),
        accession: some("ACC7002"),
        study: uid("1.2.826.0.1.3680043.10.1.2"),
        procedure_id: some("RP7002"),
        procedure: some("Cộng hưởng từ sọ não"),
        procedure_code: Some(code("1.05.01", "Cộng hưởng từ sọ não", "QD1227")),
        requesting: some("Trần Thị Bình"),
        service: some("Khoa Nội"),
        referring: some("Lê Thị Hoa"),
        priority: Some(Priority::Stat),
        location: some("PKNOI P3"),
        reason: some("Đau đầu kéo dài"),
        patient_state: some("Có máy tạo nhịp; Đau đầu"),
        weight: some("61.0"),
        steps: vec![step("SPS7002-1", "P1-1", "Sọ não thường quy"), step("SPS7002-2", "P1-2", "Sọ não tiêm thuốc")],
        ..OrderUpdate::new(OrderAction::New, "DC1002")
    };
    assert_eq!(order, expected);
}

#[test]
fn an_omi_of_2_7_fills_every_row_of_the_worklist_by_the_map_of_its_site() {
    let (patient, visit, order) =
        three(asked_by(OMI_27, Map::parse(SITE).expect("a map")).changes.expect("understood"));
    assert_eq!((patient.name, patient.sex), (some("TRẦN THỊ BÍCH"), Some(Sex::Female)));
    assert_eq!((patient.national, patient.phones), (some("079190000002"), Some(vec!["0912000111".into()])));
    assert_eq!(patient.insurance, Some(vec!["GD4790123456789".into()]));
    assert_eq!((visit.number.as_str(), visit.class, visit.pregnant), ("MALK0003", some("E"), Some(true)));
    let step = StepUpdate {
        id: "SPS7003".into(),
        modality: some("CR"),
        station: title("DX09"),
        station_name: some("XQDD1"),
        location: some("Phòng XQ di động"),
        // The zone is that of the message, the clock that of the facility.
        start: started("20261128", "080500"),
        performing: some("Bùi Sơn"),
        description: some("Ngực thẳng tại giường"),
        protocol: Some(vec![code("P2-1", "Ngực thẳng tại giường", "99BV")]),
        appointment: None,
    };
    let expected = OrderUpdate {
        filler: some("AC2003"),
        mrn: some("7900123"),
        visit: some("MALK0003"),
        accession: some("ACC7003"),
        study: uid("1.2.826.0.1.3680043.10.1.3"),
        procedure_id: some("RP7003"),
        procedure: some("X-quang ngực thẳng"),
        procedure_code: Some(code("1.01.02", "X-quang ngực thẳng", "QD1227")),
        requesting: some("Đỗ Thu Hà"),
        service: some("Cấp cứu"),
        referring: some("Ngô Tuấn"),
        priority: Some(Priority::High),
        location: some("CAPCUU G7"),
        reason: some("Sốt chưa rõ nguyên nhân"),
        patient_state: some("Không tự đứng được; Sốt cao"),
        weight: some("48"),
        alerts: some("Cách ly hô hấp"),
        pregnancy: Some(3),
        steps: vec![step],
        ..OrderUpdate::new(OrderAction::New, "DC1003")
    };
    assert_eq!(order, expected);
}

#[test]
fn a_new_step_is_never_without_a_description() {
    let described = |obr_4: &str, obr_44: &str, control: &str| {
        let text = ORM
            .replace("CT.NGUC^Chụp CT ngực^99BV^P5-09^Ngực không cản quang^99BV", obr_4)
            .replace("1.04.05^CT lồng ngực^QD1227", obr_44)
            .replace("ORC|NW|", &format!("ORC|{control}|"));
        three(changes(&text)).2.steps.first().and_then(|step| step.description.clone())
    };
    assert_eq!(described("A^một^99BV^B^hai^99BV", "C^ba^Q^D^bốn", "NW"), some("hai"));
    assert_eq!(described("A^một^99BV^B", "C^ba^Q^D^bốn", "NW"), some("một"));
    assert_eq!(described("A", "C^ba^Q^D^bốn", "NW"), some("ba"));
    assert_eq!(described("A", "C^^Q^D^bốn", "NW"), some("bốn"));
    assert_eq!(described("A", "", "NW"), some("A"), "the procedure by its code");
    // A change that says nothing of it takes no description away.
    assert_eq!(described("A^một^99BV^B", "C^ba", "XO"), None);
    let omi = OMI.replace("^Sọ não thường quy", "^");
    assert!(
        three(changes(&omi))
            .2
            .steps
            .iter()
            .all(|step| step.description.as_deref().is_some_and(|text| !text.is_empty()))
    );
}

#[test]
fn study_uids_agree_or_the_order_is_refused() {
    let other = ORM.replace(
        "ZDS|1.2.826.0.1.3680043.10.1.1^",
        "OBX|2|HD|113014^DICOM Study^DCM||1.2.9\nZDS|1.2.826.0.1.3680043.10.1.1^",
    );
    assert!(fault(&other).contains("different Study Instance UIDs"));
    let same = other.replace("1.2.9", "1.2.826.0.1.3680043.10.1.1");
    assert!(asked(&same).changes.is_ok());
    let alone = other.replace("ZDS|1.2.826.0.1.3680043.10.1.1^^Application^DICOM", "");
    assert_eq!(three(changes(&alone)).2.study, uid("1.2.9"));
    let ipc = OMI.replacen("10.1.2|SPS7002-2", "10.1.9|SPS7002-2", 1);
    assert!(fault(&ipc).contains("different Study Instance UIDs"));
    assert!(fault(&ORM.replace("ZDS|1.2.826", "ZDS|1..2.826")).starts_with("ZDS-1:"));
}

#[test]
fn orders_say_what_happens_to_them() {
    let action = |control: &str, state: &str| {
        let text = ORM.replace("ORC|NW|", &format!("ORC|{control}|")).replace("||SC||", &format!("||{state}||"));
        asked(&text).changes.map(|changes| three(changes).2).map(|order| (order.action, order.steps.len()))
    };
    assert_eq!(action("NW", "SC"), Ok((OrderAction::New, 1)));
    assert_eq!(action("XO", ""), Ok((OrderAction::Change, 1)));
    assert_eq!(action("CA", ""), Ok((OrderAction::Cancel, 0)));
    assert_eq!(action("DC", ""), Ok((OrderAction::Discontinue, 0)));
    for (code, state) in [
        ("SC", OrderState::Scheduled),
        ("IP", OrderState::InProgress),
        ("CM", OrderState::Completed),
        ("CA", OrderState::Canceled),
        ("DC", OrderState::Discontinued),
    ] {
        assert_eq!(action("SC", code), Ok((OrderAction::Status(state), 0)));
    }
    let told =
        |control: &str, state: &str| action(control, state).map_err(|fault| fault.to_string()).expect_err(control);
    assert!(told("SC", "ZZ").starts_with("ORC-5:") && told("QQ", "").starts_with("ORC-1:"));
    assert!(told("SN", "").starts_with("ORC-1:"));
}

#[test]
fn groups_of_one_order_are_its_steps_and_others_are_orders() {
    let second = ORM.split_once("ORC|").map_or("", |(_, rest)| rest);
    let twice = |placer: &str, step: &str| {
        let again = second.replace("DC1001", placer).replace("SPS7001", step);
        asked(&format!("{ORM}ORC|{again}")).changes
    };
    let orders = |changes: Vec<Change>| {
        let orders = changes.into_iter().filter_map(|change| match change {
            Change::Order(order) => Some((order.placer, order.steps.len())),
            _ => None,
        });
        orders.collect::<Vec<_>>()
    };
    assert_eq!(orders(twice("DC1001", "SPS2").expect("steps")), [("DC1001".to_owned(), 2)]);
    assert_eq!(orders(twice("DC9", "SPS1").expect("orders")), [("DC1001".to_owned(), 1), ("DC9".to_owned(), 1)]);
    assert!(twice("DC1001", "SPS7001").expect_err("the same step").to_string().starts_with("OBR[2]-20:"));
}

/// A message about patient 22 in visit V1.
fn adt(trigger: &str, more: &str) -> String {
    format!(
        "MSH|^~\\&|HIS|BV|||20261128120000||ADT^{trigger}|1|P|2.5\rEVN|{trigger}|20261128110000\r\
         PID|1||22^^^BV^MR||Nguyễn^An^Văn||19780305|M\rPV1|1|I|K1^P2||||||||||||||||V1|||||||||||||||||1{more}"
    )
}

#[test]
fn events_of_visits_are_states() {
    let visit = |trigger: &str, more: &str| {
        let changes = changes(&adt(trigger, more));
        let [Change::Patient(patient), Change::Visit(visit)] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!((patient.mrn.as_str(), visit.mrn.as_str(), visit.number.as_str()), ("22", "22", "V1"));
        assert_eq!((visit.location.as_deref(), visit.disposition.as_deref()), (Some("K1 P2"), Some("1")));
        visit.clone()
    };
    let (eleven, noon) = (Some(1_795_838_400_000), 1_795_842_000_000);
    assert_eq!((visit("A01", "").state, visit("A01", "").begin), (Some(VisitState::Admitted), eleven));
    assert_eq!(
        (visit("A04", "").state, visit("A05", "").state),
        (Some(VisitState::Registered), Some(VisitState::Registered))
    );
    assert_eq!((visit("A03", "").state, visit("A03", "").end), (Some(VisitState::Discharged), Some(eleven)));
    // PV1-45.
    assert_eq!(visit("A03", "|||||||||20261128120000").end, Some(Some(noon)));
    for (trigger, state) in [
        ("A06", VisitState::Admitted),
        ("A07", VisitState::Registered),
        ("A11", VisitState::Canceled),
        ("A38", VisitState::Canceled),
    ] {
        assert_eq!((visit(trigger, "").state, visit(trigger, "").end), (Some(state), None), "{trigger}");
    }
    assert_eq!((visit("A13", "").state, visit("A13", "").end), (Some(VisitState::Admitted), Some(None)));
    for trigger in ["A02", "A08", "A12"] {
        assert_eq!((visit(trigger, "").state, visit(trigger, "").end), (None, None), "{trigger}");
    }
    for trigger in ["A28", "A31"] {
        assert!(matches!(changes(&adt(trigger, "")).as_slice(), [Change::Patient(_)]), "{trigger}");
    }
    let without = |trigger: &str| adt(trigger, "").replace("V1", "");
    assert_eq!(asked(&without("A01")).remarks.len(), 1);
    for trigger in ["A03", "A06", "A38"] {
        assert!(fault(&without(trigger)).starts_with("PV1-19:"), "{trigger}");
    }
    let diagnosed = changes(&(adt("A08", "") + "\rDG1|1||J18^Viêm phổi\rDG1|2||E11"));
    assert!(
        matches!(diagnosed.as_slice(), [_, Change::Visit(visit)] if visit.diagnoses == Some(vec!["J18".into(), "E11".into()]))
    );
}

#[test]
fn merges_moves_and_renumberings_name_both_numbers() {
    let head = |trigger: &str| format!("MSH|^~\\&|HIS|BV|||20261128||ADT^{trigger}|1|P|2.5\rEVN|{trigger}\r");
    let pid = |number: &str| format!("PID|1||{number}^^^BV^MR||Nguyễn^An\r");
    let text = head("A40") + &pid("1") + "MRG|2^^^BV^MR\r" + &pid("3") + "MRG|4\r";
    let told = changes(&text);
    let merges: Vec<&Change> = told.iter().filter(|change| matches!(change, Change::Merge { .. })).collect();
    let merge = |survivor: &str, former: &str| Change::Merge { survivor: survivor.into(), former: former.into() };
    assert_eq!(merges, [&merge("1", "2"), &merge("3", "4")]);
    assert_eq!(patients(&told), BTreeSet::from(["1", "2", "3", "4"].map(str::to_owned)));
    assert_eq!(patient_of(&told).as_deref(), Some("1"));
    assert!(fault(&(head("A40") + &pid("1") + "MRG|1")).starts_with("MRG-1:"));
    assert!(fault(&(head("A40") + &pid("1"))).starts_with("MRG:"));
    assert!(fault(&(head("A40") + "MRG|2")).starts_with("MRG:"));
    let moved = Change::MoveVisit { visit: "V7".into(), mrn: "1".into() };
    assert_eq!(changes(&(head("A45") + &pid("1") + "MRG|2||||V7")), std::slice::from_ref(&moved));
    assert_eq!(changes(&(head("A45") + &pid("1") + "MRG|2\rPV1|1|I|||||||||||||||||V7")), std::slice::from_ref(&moved));
    assert!(fault(&(head("A45") + &pid("1") + "MRG|2")).starts_with("MRG-5:"));
    assert_eq!(changes(&(head("A43") + &pid("1") + "MRG|2||||V7")), [moved]);
    assert_eq!(changes(&(head("A43") + &pid("1") + "MRG|2")), [merge("1", "2")]);
    let renumbered = changes(&(head("A47") + &pid("1") + "MRG|2"));
    let expected = Change::Renumber { former: "2".into(), number: "1".into() };
    assert!(matches!(renumbered.as_slice(), [first, Change::Patient(_)] if *first == expected), "{renumbered:?}");
}

#[test]
fn an_account_that_is_closed_and_opened_by_a06_and_a07_merges_nobody() {
    let told = |trigger: &str, mrg: &str, map: &str| {
        let text = adt(trigger, "").replace("\rPV1|", &format!("\rMRG|{mrg}\rPV1|"));
        let told = asked_by(&text, Map::parse(map).expect("a map"));
        match told.changes.expect("understood").as_slice() {
            [Change::Patient(patient), Change::Visit(visit)] if patient.mrn == "22" && visit.number == "V1" => {
                (visit.formerly.clone(), told.remarks.len())
            }
            other => panic!("{trigger} {mrg}: {other:?}"),
        }
    };
    for trigger in ["A06", "A07"] {
        for (mrg, formerly, remarks) in [
            ("22^^^BV^MR||A0", None, 0),
            ("22^^^BV^MR||||V0", some("V0"), 0),
            ("22^^^BV^MR||||V1", None, 0),
            ("||||V0", some("V0"), 0),
            ("23^^^BV^MR", None, 1),
            ("23^^^BV^MR||||V0", some("V0"), 1),
        ] {
            assert_eq!(told(trigger, mrg, ""), (formerly, remarks), "{trigger} {mrg}");
        }
    }
    // Elsewhere MRG says nothing of the visit.
    assert_eq!(told("A08", "23^^^BV^MR||||V0", ""), (None, 0));
}

#[test]
fn a_patient_without_a_number_and_odd_dates_are_told_by_their_place() {
    let patient = |pid: &str| asked(&format!("MSH|^~\\&|HIS|BV|||||ADT^A28|1|P|2.5\r{pid}"));
    let told = |pid: &str| patient(pid).changes.expect_err(pid).to_string();
    assert!(told("PID|1||||An").starts_with("PID-3:"));
    assert!(told("PID|1||056078000001^^^VN^NI||An").starts_with("PID-3:"));
    assert!(told("PID|1||22||An||1978-99").starts_with("PID-7:"));
    assert!(told("PID|1||22\rPID|2||23").starts_with("PID[2]:"));
    assert!(told("EVN|A28").starts_with("PID:"));
    let of = |pid: &str| match patient(pid).changes.expect(pid).as_slice() {
        [Change::Patient(patient)] => patient.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(of("PID|1|22").mrn, "22");
    assert_eq!(of("PID|1||S1^^^BV^XX~22^^^BV^MR").mrn, "22");
    assert_eq!(of("PID|1||22||An||197800000000").birth, Some(BirthDate::parse("1978").ok()));
    assert_eq!((of("PID|1||22||An||00000000").birth, of("PID|1||22||An||\"\"").birth), (None, Some(None)));
    assert_eq!((of("PID|1||22||An").name, of("PID|1||22||\"\"").name), (some("An"), some("")));
    // What stands in PID-19 is told by its form.
    let in_19 = |number: &str| of(&format!("PID|1||22||An||||||||||||||{number}"));
    assert_eq!(in_19("056078000001").national, some("056078000001"));
    assert_eq!(
        (in_19("225000001").old_card, in_19("0123456789").insurance),
        (some("225000001"), Some(vec!["0123456789".into()]))
    );
    let insured = "PID|1||22||An\rIN1|1|BHYT|01|||||||||||||||||||||||||||||||||DN4560123456789";
    assert_eq!(of(insured).insurance, Some(vec!["DN4560123456789".into()]), "and not the name of the plan");
    assert_eq!(of("PID|1||22||An||||||||||||||||||||||||20261101|Y").died, Some(BirthDate::parse("20261101").ok()));
}

#[test]
fn what_is_not_served_is_rejected() {
    for (kind, code) in [("ADT^A99", 201), ("MDM^T02", 200), ("", 200), ("ORM^O02", 201)] {
        let fault = asked(&format!("MSH|^~\\&|HIS|BV|||||{kind}|1|P|2.5\rPID|1||22")).changes.expect_err(kind);
        assert_eq!((fault.kind, fault.code), (crate::hl7::Kind::Reject, code), "{kind}");
    }
    // The trigger of an order may be missing where there is one only.
    assert!(asked(&ORM.replace("ORM^O01", "ORM")).changes.is_ok());
}

#[test]
fn no_message_makes_it_panic() {
    let mut random = fastrand::Rng::with_seed(6);
    let samples = [ORM, OMI, OMI_27, results::ORU];
    for _ in 0..4_000 {
        let mut bytes = samples[random.usize(..samples.len())].as_bytes().to_vec();
        for _ in 0..random.usize(1..12) {
            let at = random.usize(..bytes.len());
            match random.u8(..5) {
                0 => bytes[at] = b"|^~\\&\r\"0"[random.usize(..8)],
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, b"|^~\\&\r"[random.usize(..6)]),
                3 => drop(bytes.remove(at)),
                _ => bytes[at] = random.u8(..),
            }
            if bytes.is_empty() {
                break;
            }
        }
        crate::fuzz::message(&bytes);
        crate::fuzz::value(&bytes);
        crate::fuzz::frames(&[b"\x0b", bytes.as_slice(), b"\x1c\r\n\x0b", bytes.as_slice(), b"\x1c\r"].concat());
    }
    let long = results::ORU.replace("Hai phổi sáng", &"x|y~z^".repeat(200_000));
    crate::fuzz::message(long.as_bytes());
    crate::fuzz::message("MSH|^~\\&|".repeat(1_000).as_bytes());
    // About as long as a message may be there, whole and in pieces.
    for length in [1_999, 2_000, 2_001, 2_002] {
        crate::fuzz::frames(&[b"\x0b", "x".repeat(length).as_bytes(), b"\x1c\r"].concat());
    }
}
