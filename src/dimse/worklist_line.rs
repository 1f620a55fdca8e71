//! A line of the worklist as the attributes of its table, before anything is left out or written for a console.
//!
//! Deliberately not here: which attributes were asked for, and letters and lengths.

use crate::worklist_table::{
    ACCESSION, MODALITY, PATIENT_ID, PATIENT_NAME, PROCEDURE_ID, START_DATE, START_TIME, STATION, STEP_ID, STEPS, STUDY,
};
use archive::charts::WorklistItem;
use dataset::Vr;
use dataset::nested::{Member, Members};
use model::chart::{BirthDate, Code, Order, OrderState, Patient, Step};
use model::{AeTitle, Date, FacilityCode, Source};

/// Every attribute of the table. `station` is told where the step has none: whoever asks may do it.
pub(crate) fn line(item: &WorklistItem, source: &Source, station: &AeTitle) -> Members {
    let mut line = Members::new();
    patient(&item.patient, &item.step, item.facility, source, &mut line);
    order(&item.order, &item.step, item.facility, &mut line);
    line.insert(STEPS, Member::Items(vec![step(&item.order, &item.step, station)]));
    line
}

fn put(tag: u32, vr: Vr, text: impl AsRef<str>, members: &mut Members) {
    members.insert(tag, Member::Value(vr, one(text.as_ref())));
}

/// One value: what would end it or begin another is no part of it.
fn one(text: &str) -> String {
    let plain = |letter: char| match letter {
        '\\' => '/',
        letter if letter.is_control() => ' ',
        letter => letter,
    };
    text.trim().chars().map(plain).collect()
}

/// A whole name as a PN; one that comes in parts keeps them.
fn person(name: &str) -> String {
    let name = one(name).replace('=', " ");
    if name.contains('^') { name } else { Patient { name, ..Patient::default() }.pn() }
}

fn items(tag: u32, items: Vec<Members>, members: &mut Members) {
    members.insert(tag, Member::Items(items));
}

fn patient(patient: &Patient, step: &Step, facility: FacilityCode, source: &Source, line: &mut Members) {
    let issuer = if source.issuer.is_empty() { facility.as_str() } else { &source.issuer };
    let birth = patient.birth.map(BirthDate::da).unwrap_or_default();
    put(PATIENT_NAME, Vr::PN, person(&patient.name), line);
    put(PATIENT_ID, Vr::LO, &patient.mrn, line);
    put(0x0010_0021, Vr::LO, issuer, line);
    put(0x0010_0030, Vr::DA, birth, line);
    put(0x0010_0040, Vr::CS, patient.sex.dicom(), line);
    put(0x0010_1010, Vr::AS, age(patient.birth, &step.date), line);
    put(0x0010_1040, Vr::LO, &patient.address, line);
    let allergies: Vec<String> = patient.allergies.iter().map(|allergy| one(allergy)).collect();
    line.insert(0x0010_2110, Member::Value(Vr::LO, allergies.join("\\")));
    put(0x0010_2154, Vr::SH, patient.phones.first().map_or("", String::as_str), line);
    items(0x0008_1120, Vec::new(), line);
    let national = patient.ids.national.as_deref().filter(|_| source.national_id);
    items(0x0010_1002, national.map(national_id).into_iter().collect(), line);
    for never in [0x0038_0050, 0x0040_3001] {
        put(never, Vr::LO, "", line);
    }
}

/// The personal identification number, as HL7 types it.
fn national_id(number: &str) -> Members {
    let mut kind = Members::new();
    put(0x0040_0035, Vr::CS, "NI", &mut kind);
    let mut id = Members::new();
    put(PATIENT_ID, Vr::LO, number, &mut id);
    put(0x0010_0021, Vr::LO, "VNM", &mut id);
    put(0x0010_0022, Vr::CS, "TEXT", &mut id);
    items(0x0010_0024, vec![kind], &mut id);
    id
}

fn order(order: &Order, step: &Step, facility: FacilityCode, line: &mut Members) {
    let procedure_id = if order.procedure_id.trim().is_empty() { &order.accession } else { &order.procedure_id };
    let named = order.procedure_code.as_ref().map_or("", |code| code.meaning.as_str());
    let mut issuer = Members::new();
    put(0x0040_0031, Vr::UT, facility.as_str(), &mut issuer);
    put(ACCESSION, Vr::SH, &order.accession, line);
    items(0x0008_0051, vec![issuer], line);
    put(0x0008_0090, Vr::PN, person(&order.referring), line);
    items(0x0008_1110, Vec::new(), line);
    put(0x0010_1030, Vr::DS, &order.weight, line);
    put(0x0010_2000, Vr::LO, &order.alerts, line);
    put(0x0010_21C0, Vr::US, order.pregnancy.map(|status| status.to_string()).unwrap_or_default(), line);
    put(STUDY, Vr::UI, order.study.as_str(), line);
    put(0x0032_1032, Vr::PN, person(&order.requesting), line);
    put(0x0032_1033, Vr::LO, &order.service, line);
    put(0x0032_1060, Vr::LO, first(&[&order.procedure, named, &step.description]), line);
    items(0x0032_1064, order.procedure_code.iter().map(code).collect(), line);
    put(0x0038_0010, Vr::LO, &order.visit, line);
    put(0x0038_0300, Vr::LO, &order.location, line);
    put(0x0038_0500, Vr::LO, &order.patient_state, line);
    put(PROCEDURE_ID, Vr::SH, procedure_id, line);
    put(0x0040_1002, Vr::LO, &order.reason, line);
    put(0x0040_1003, Vr::SH, order.priority.term(), line);
    put(0x0040_1004, Vr::LO, "", line);
    put(0x0040_2016, Vr::LO, &order.placer, line);
    put(0x0040_2017, Vr::LO, &order.filler, line);
}

fn step(order: &Order, step: &Step, station: &AeTitle) -> Members {
    let mut line = Members::new();
    let id = if step.id.trim().is_empty() { &order.accession } else { &step.id };
    let named = step.protocol.first().map_or("", |code| code.meaning.as_str());
    put(MODALITY, Vr::CS, &step.modality, &mut line);
    put(0x0032_1070, Vr::LO, "", &mut line);
    put(STATION, Vr::AE, step.station.as_ref().unwrap_or(station).as_str(), &mut line);
    put(START_DATE, Vr::DA, &step.date, &mut line);
    put(START_TIME, Vr::TM, &step.time, &mut line);
    put(0x0040_0006, Vr::PN, person(&step.performing), &mut line);
    put(0x0040_0007, Vr::LO, first(&[&step.description, named, &order.procedure]), &mut line);
    items(0x0040_0008, step.protocol.iter().map(code).collect(), &mut line);
    put(STEP_ID, Vr::SH, id, &mut line);
    put(0x0040_0010, Vr::SH, &step.station_name, &mut line);
    put(0x0040_0011, Vr::SH, &step.location, &mut line);
    put(0x0040_0012, Vr::LO, "", &mut line);
    let begun = if step.state == OrderState::Scheduled { "SCHEDULED" } else { "STARTED" };
    put(0x0040_0020, Vr::CS, begun, &mut line);
    line
}

/// The first that says something.
fn first<'a>(texts: &[&'a str]) -> &'a str {
    texts.iter().copied().find(|text| !text.trim().is_empty()).unwrap_or_default()
}

fn code(code: &Code) -> Members {
    let mut line = Members::new();
    put(0x0008_0100, Vr::SH, &code.value, &mut line);
    put(0x0008_0102, Vr::SH, &code.scheme, &mut line);
    put(0x0008_0103, Vr::SH, "", &mut line);
    put(0x0008_0104, Vr::LO, &code.meaning, &mut line);
    line
}

/// Patient's Age on a day (VR AS), as exact as the birth date is known; empty when it cannot be told.
fn age(birth: Option<BirthDate>, on: &str) -> String {
    let (Some(birth), Some(on)) = (birth, Date::parse_da(on)) else { return String::new() };
    let years = i32::from(on.year()) - i32::from(birth.year());
    let before = |month: u8, day: u8| (on.month(), on.day()) < (month, day);
    let (years, months) = match (birth.whole(), birth.month()) {
        (Some(day), _) => {
            let months = years * 12 + i32::from(on.month()) - i32::from(day.month()) - i32::from(on.day() < day.day());
            if months == 0 {
                return format!("{:03}D", on.days() - day.days());
            }
            (years - i32::from(before(day.month(), day.day())), Some(months))
        }
        (None, Some(month)) => (years - i32::from(on.month() < month), None),
        (None, None) => (years, None),
    };
    match months {
        Some(months) if (1..24).contains(&months) => format!("{months:03}M"),
        _ if (0..=999).contains(&years) => format!("{years:03}Y"),
        _ => String::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::worklist_table::{WorklistAttribute, worklist_attributes};
    use model::chart::{Identifiers, Sex};
    use std::sync::Arc;

    /// A line as a hospital's system may bring it.
    pub(crate) fn item(number: usize) -> WorklistItem {
        let code =
            |value: &str, meaning: &str| Code { value: value.into(), scheme: "99HIS".into(), meaning: meaning.into() };
        let step = Step {
            id: format!("S{number}"),
            modality: "CT".into(),
            station: AeTitle::parse("CT01").ok(),
            station_name: "Máy CT tầng một".into(),
            location: "Phòng 12".into(),
            date: "20260105".into(),
            time: "083000".into(),
            performing: "Trần Thị Bình".into(),
            description: "Chụp CT ngực".into(),
            protocol: vec![code("CT.NGUC", "Ngực"), code("CT.BUNG", "Bụng")],
            ..Step::default()
        };
        let order = serde_json::json!({
            "placer": format!("P{number}"), "mrn": "22015985", "visit": "V1", "accession": format!("A{number}"),
            "study": format!("1.2.{number}"), "procedure_id": "R1", "procedure": "CT ngực không tiêm",
            "procedure_code": code("18.0191.0040", "CT ngực"), "requesting": "Lê An", "service": "Khoa Nội",
            "referring": "Phạm Văn Ước", "priority": "stat", "location": "K1 P2", "reason": "ho\nra máu\\2",
            "weight": "52.5", "pregnancy": 4, "placed": 0,
        });
        let order: Order = serde_json::from_value(order).expect("an order");
        let patient = Patient {
            mrn: "22015985".into(),
            name: "Nguyễn Văn Ánh".into(),
            birth: BirthDate::parse("1978").ok(),
            sex: Sex::Female,
            ids: Identifiers { national: Some("056178000001".into()), ..Identifiers::default() },
            phones: vec!["0900000001".into()],
            allergies: vec!["Penicillin".into(), "Tôm".into()],
            ..Patient::default()
        };
        let facility = FacilityCode::parse("56001").expect("code");
        WorklistItem { facility, order: Arc::new(order), step, patient: Arc::new(patient) }
    }

    fn text(line: &Members, tag: u32) -> &str {
        match line.get(&tag) {
            Some(Member::Value(_, text)) => text,
            other => panic!("{tag:08X}: {other:?}"),
        }
    }

    #[test]
    fn a_line_has_every_attribute_of_the_table_and_no_other() {
        fn check(rows: &[WorklistAttribute], members: &Members) {
            assert!(rows.iter().map(|row| &row.tag).eq(members.keys()), "{members:?}");
            for row in rows {
                match members.get(&row.tag) {
                    Some(Member::Value(vr, _)) => assert_eq!(*vr, Vr::named(row.vr), "{}", row.keyword()),
                    Some(Member::Items(items)) => items.iter().for_each(|item| check(row.within, item)),
                    None => panic!("{}", row.keyword()),
                }
            }
        }
        let known = Source { national_id: true, ..Source::new("s", FacilityCode::DEMO) };
        let line = line(&item(1), &known, &AeTitle::parse("CT01").expect("title"));
        check(worklist_attributes(), &line);
        assert_eq!(text(&line, PATIENT_NAME), "Nguyễn^Ánh^Văn");
        assert_eq!((text(&line, 0x0010_0030), text(&line, 0x0010_1010)), ("", "048Y"), "a day is never invented");
        assert_eq!((text(&line, 0x0040_1003), text(&line, 0x0010_21C0)), ("STAT", "4"));
        assert_eq!(text(&line, 0x0040_1002), "ho ra máu/2", "one value");
        assert_eq!(text(&line, 0x0010_2110), "Penicillin\\Tôm");
        assert_eq!(text(&line, 0x0010_0021), "56001");
    }

    #[test]
    fn what_must_have_a_value_has_one() {
        let mut bare = item(1);
        bare.step = Step { date: "20260105".into(), time: "0830".into(), modality: "CT".into(), ..Step::default() };
        let order = Order { procedure_id: String::new(), ..(*bare.order).clone() };
        bare.order = Arc::new(order);
        let source = Source::new("s", FacilityCode::DEMO);
        let line = line(&bare, &source, &AeTitle::parse("CT09").expect("title"));
        let Some(Member::Items(steps)) = line.get(&STEPS) else { panic!("no step") };
        let step = steps.first().expect("a step");
        assert_eq!((text(step, STATION), text(step, STEP_ID)), ("CT09", "A1"));
        assert_eq!((text(step, 0x0040_0007), text(&line, PROCEDURE_ID)), ("CT ngực không tiêm", "A1"));
        assert_eq!(line.get(&0x0010_1002), Some(&Member::Items(Vec::new())), "nobody allowed it");
    }

    #[test]
    fn ages_are_as_exact_as_birth_dates() {
        for (birth, on, age_then) in [
            ("1978", "20260105", "048Y"),
            ("1978-03", "20260105", "047Y"),
            ("19780105", "20260105", "048Y"),
            ("19780106", "20260105", "047Y"),
            ("20240106", "20260105", "023M"),
            ("20251204", "20260105", "001M"),
            ("20251206", "20260105", "030D"),
            ("20260105", "20260105", "000D"),
            ("2027", "20260105", ""),
            ("20260106", "20260105", ""),
        ] {
            assert_eq!(age(BirthDate::parse(birth).ok(), on), age_then, "{birth}");
        }
        assert_eq!(age(BirthDate::parse("1978").ok(), ""), "");
        assert_eq!(age(None, "20260105"), "");
    }
}
