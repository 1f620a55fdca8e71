//! What tells the class of a visit's record.

use super::*;
use model::retention::ClassId;

fn classes(names: &[&str]) -> Vec<ClassId> {
    names.iter().map(|name| ClassId::parse(name).expect("a class")).collect()
}

/// What an ADT^A03 with these ends of PID, PV1, and what follows says of patient and visit.
fn told(map: Map, pid: &str, pv1: &str, more: &str) -> (Vec<ClassId>, Vec<ClassId>) {
    let text = format!(
        "MSH|^~\\&|HIS|BV|||20261128120000||ADT^A03|1|P|2.5\rEVN|A03|20261128110000\r\
         PID|1||22000001^^^BV^MR||Lê^An||1978|M{pid}\rPV1|1|I|||||||||||||||||LK1{pv1}\r{more}"
    );
    match asked_by(&text, map).changes.expect("understood").as_slice() {
        [Change::Patient(patient), Change::Visit(visit)] => (patient.records.clone(), visit.records.clone()),
        other => panic!("{other:?}"),
    }
}

/// So many empty fields, and what stands behind them.
fn behind(fields: usize, value: &str) -> String {
    format!("{}{value}", "|".repeat(fields))
}

#[test]
fn the_standard_map_knows_deaths_accidents_and_transplants() {
    let told = |pid: &str, pv1: &str, more: &str| told(Map::default(), pid, pv1, more);
    assert_eq!(told("", "", ""), (vec![], vec![]), "an ordinary stay raises nothing");
    assert_eq!(told("", &behind(17, "20"), ""), (vec![], classes(&["DEATH"])));
    assert_eq!(told(&behind(21, "20261128"), "", "").0, classes(&["DEATH"]));
    assert_eq!(told(&behind(22, "Y"), "", "").0, classes(&["DEATH"]), "the day need not be told");
    assert_eq!(told(&behind(21, "20261128|N"), "", "").0, vec![]);
    let both = "DG1|1||V43.5^Tai nạn^I10\rDG1|2||z94.0^Ghép thận^I10\rDG1|3||J18^Viêm phổi^I10\r";
    assert_eq!(told("", "", both).1, classes(&["PSY_ACC", "TRANSPLANT"]));
}

#[test]
fn a_site_says_what_its_codes_mean() {
    let map = "[record]\nclass = { I = \"INOUT\" }\ndisposition = {}\ndied = []\nplace = [\"ZVN-1\"]\n\
               codes = { TV = \"DEATH\", BT = \"INOUT\" }\ndiagnosis = { F2 = \"PSY_ACC\", \"\" = \"DEATH\" }\n";
    let told = |more: &str| told(Map::parse(map).expect("a map"), &behind(22, "Y"), &behind(17, "20"), more);
    assert_eq!(told(""), (vec![], classes(&["INOUT"])), "PV1-2 alone");
    assert_eq!(told("DG1|1||F20.0\rZVN|tv\r").1, classes(&["DEATH", "INOUT", "PSY_ACC"]));
    assert_eq!(told("ZVN|??\r").1, classes(&["INOUT"]), "an unknown code says nothing");
    let error = Map::parse("[record]\nclass = { I = \"no class!\" }\n").expect_err("no class");
    assert!(error.to_string().contains("line 2"), "{error}");
}
