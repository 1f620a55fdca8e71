//! The class of retention of a visit's record, by the map of its sender.

use super::patient::find;
use super::{Context, Scope};
use crate::hl7::Segment;
use model::retention::ClassId;
use std::collections::BTreeMap;

/// What a message says of a visit.
pub(super) struct Told<'a> {
    pub(super) class: &'a str,
    pub(super) disposition: &'a str,
    pub(super) diagnoses: &'a [String],
}

/// Every class that a visit's record has.
pub(super) fn of_visit(context: &Context<'_>, scope: Scope<'_, '_>, told: &Told<'_>) -> Vec<ClassId> {
    let map = &context.map.record;
    let mut found: Vec<ClassId> =
        named(&map.class, told.class).chain(named(&map.disposition, told.disposition)).collect();
    for code in told.diagnoses.iter().map(|code| plain(code)) {
        let begins = |start: &str| !plain(start).is_empty() && code.starts_with(&plain(start));
        let fits = map.diagnosis.iter().filter(|(start, _)| begins(start));
        found.extend(fits.map(|(_, class)| class.clone()));
    }
    for place in &map.place {
        let Some(segment) = find(scope, &place.segment) else { continue };
        found.extend(place.values(&segment).iter().flat_map(|code| named(&map.codes, code)));
    }
    found.sort();
    found.dedup();
    found
}

/// Every class that all records of a patient have.
pub(super) fn of_patient(context: &Context<'_>, pid: &Segment<'_>) -> Vec<ClassId> {
    let (time, died) = (pid.field(29).component(1).text(), pid.field(30).component(1).text());
    let is_dead = died == "Y" || (!time.is_empty() && died != "N");
    if is_dead { context.map.record.died.clone() } else { Vec::new() }
}

/// The class of a code, without regard to case.
fn named(map: &BTreeMap<String, ClassId>, code: &str) -> impl Iterator<Item = ClassId> {
    let code = code.trim();
    let fits = map.iter().find(|(known, _)| !code.is_empty() && known.trim().eq_ignore_ascii_case(code));
    fits.map(|(_, class)| class.clone()).into_iter()
}

/// A diagnosis code without its dots.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
}
