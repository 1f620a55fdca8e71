//! Patients as C-FIND asks for them: each once, at the first of its studies.

use super::*;
use crate::search::{PATIENT_RELATED_STUDIES, Search, SearchPage, Wanted};
use model::attribute::key;
use model::query::Query;
use model::{AttrKey, Attributes, Caller, Level, Scope};

/// A study of each of these patients, one after the other.
fn studies(bench: &Bench, patients: &[&'static str]) {
    for (number, patient) in patients.iter().copied().enumerate() {
        let study: &'static str = format!("1.2.{}", number + 1).leak();
        let series: &'static str = format!("{study}.1").leak();
        let object = Object::new(&format!("{series}.1"));
        bench.store(&Object { study, series, patient: (patient, "NGUYEN^VAN AN"), ..object }).expect("stored");
    }
}

fn search(bench: &Bench, returned: Option<&[AttrKey]>, patient_totals: bool) -> Search {
    let query = Query { level: Level::Study, conditions: Vec::new(), fuzzy: false };
    let returned = returned.map(<[AttrKey]>::to_vec);
    let wanted = Wanted { patients: true, patient_totals, returned, ..Wanted::of(query) };
    Search::new(Caller::demo(), Scope::Facility(bench.source().facility), wanted)
}

/// Patient IDs in the order of the answer, and how often the index was asked whether a study is a patient's first.
fn answered(bench: &Bench, remembered: usize) -> (Vec<String>, u64) {
    let mut search = search(bench, Some(&[key::PATIENT_ID]), false).remembering(remembered);
    let mut found = Vec::new();
    loop {
        let SearchPage { rows, ended } = search.page(&bench.archive, 3).expect("page");
        found.extend(rows.iter().map(|row| row.attributes.get(&key::PATIENT_ID).cloned().unwrap_or_default()));
        if ended {
            return (found, search.looks);
        }
    }
}

#[test]
fn a_patient_is_answered_once_and_costs_no_look_of_its_own() {
    let bench = Bench::new();
    studies(&bench, &["A", "B", "A", "", "C", "A", "B", "", "D", "C"]);
    let whole = ["A", "B", "", "C", "", "D"];
    for (remembered, looks) in [(4_096, 0), (2, 3), (0, 8)] {
        let (found, asked) = answered(&bench, remembered);
        assert_eq!(found, whole, "{remembered} remembered");
        assert_eq!(asked, looks, "{remembered} remembered");
    }
}

#[test]
fn only_what_is_asked_of_a_patient_is_answered() {
    let bench = Bench::new();
    studies(&bench, &["A", "B", "A"]);
    let first = |returned: Option<&[AttrKey]>, totals: bool| -> Attributes {
        let page = search(&bench, returned, totals).page(&bench.archive, 10).expect("page");
        page.rows.into_iter().next().expect("a patient").attributes
    };
    let keys = |attributes: &Attributes| attributes.keys().copied().collect::<Vec<_>>();
    assert_eq!(keys(&first(Some(&[key::PATIENT_NAME]), false)), [key::PATIENT_NAME]);
    // The patient is known whatever is asked.
    let counted = first(Some(&[]), true);
    assert_eq!(counted.get(&PATIENT_RELATED_STUDIES).map(String::as_str), Some("2"));
    assert_eq!(counted.len(), 3, "{:?}", keys(&counted));
    let whole = first(None, false);
    for key in [key::PATIENT_ID, key::INSTANCE_AVAILABILITY, key::NUMBER_OF_STUDY_RELATED_INSTANCES] {
        assert!(whole.contains_key(&key), "{key}");
    }
}
