//! Tests of retention: what they share.

mod deciding;
mod parsing;
mod planning;
mod recording;
mod refusing;
mod rising;

use super::*;
use crate::attribute::key;
use crate::date::Date;
use crate::{AttrKey, Attributes, FacilityCode, PackId, Uid};

/// The table as delivered.
const DELIVERED: &str = include_str!("../../../config/retention.toml");

/// A small table for rules of the tests: A 2 years, B 10 years (the default), C 30 years, E 10 years after death.
const TABLE: &str = r#"
version = 1
default = "B"
[[class]]
id = "A"
vi = "a"
en = "a"
law = "a"
term = "2 years"
[[class]]
id = "B"
vi = "b"
en = "b"
law = "b"
term = "10 years"
[[class]]
id = "C"
vi = "c"
en = "c"
law = "c"
term = "30 years"
[[class]]
id = "E"
vi = "e"
en = "e"
law = "e"
term = "10 years after death"
"#;

fn date(text: &str) -> Date {
    Date::parse(text).expect(text)
}

fn class(text: &str) -> ClassId {
    ClassId::parse(text).expect(text)
}

fn person(text: &str) -> Person {
    Person::parse(text).expect(text)
}

fn study(number: u64) -> StudyRef {
    let uid = Uid::parse(&format!("1.2.826.0.1.{number}")).expect("uid");
    StudyRef { facility: FacilityCode::DEMO, study: uid, patient: 0 }
}

fn rules(text: &str) -> RuleSet {
    RuleSet::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The small table with one rule of the given conditions that gives class C.
fn rules_with(conditions: &str) -> RuleSet {
    rules(&format!("{TABLE}\n[[rule]]\nid = \"r\"\nclass = \"C\"\nvi = \"v\"\nen = \"e\"\n{conditions}\n"))
}

fn due_on(text: &str) -> Due {
    Due::On(date(text))
}

/// A study in the making: owns what [`StudyFacts`] borrows.
#[derive(Clone)]
struct Case {
    facility: FacilityCode,
    modalities: Vec<String>,
    attributes: Attributes,
    work_ended: Option<Date>,
    received: (Date, Date),
    linked: Vec<LinkedRecord>,
    died: Option<Date>,
    destroyed_before: Option<Date>,
    as_of: Date,
}

impl Case {
    /// Made and received on 5 March 2026 and judged the day after; the patient was born in 1980.
    fn new() -> Self {
        let attributes = [(key::STUDY_DATE, "20260305"), (key::PATIENT_BIRTH_DATE, "19800101")];
        Self {
            facility: FacilityCode::DEMO,
            modalities: vec!["CT".into()],
            attributes: attributes.map(|(key, value)| (key, value.to_owned())).into(),
            work_ended: None,
            received: (date("2026-03-05"), date("2026-03-05")),
            linked: Vec::new(),
            died: None,
            destroyed_before: None,
            as_of: date("2026-03-06"),
        }
    }

    fn with(mut self, key: AttrKey, value: &str) -> Self {
        self.attributes.insert(key, value.to_owned());
        self
    }

    fn linked(mut self, class_name: &str) -> Self {
        self.linked.push(LinkedRecord { class: class(class_name), ended: None });
        self
    }

    fn judged_on(mut self, day: &str) -> Self {
        self.as_of = date(day);
        self
    }

    fn facts(&self) -> StudyFacts<'_> {
        StudyFacts {
            facility: self.facility,
            modalities: &self.modalities,
            attributes: &self.attributes,
            work_ended: self.work_ended,
            received_first: self.received.0,
            received_last: self.received.1,
            linked: &self.linked,
            died: self.died,
            destroyed_before: self.destroyed_before,
            as_of: self.as_of,
        }
    }

    fn decide(&self, rules: &RuleSet) -> Decision {
        rules.decide(&self.facts(), None)
    }

    fn decide_after(&self, rules: &RuleSet, earlier: &Decision) -> Decision {
        rules.decide(&self.facts(), Some(earlier))
    }
}
