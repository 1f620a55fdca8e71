//! Patient: a patient of one facility, with its numbers by the systems of the map file.
//!
//! Deliberately not here: persons across facilities; a search by every form of a name and with slips in it belongs to them.

use super::bundle::Found;
use super::desk::{Desk, add};
use super::pages::{self, bounded};
use super::question::{Ask, Question, Wanted};
use super::tables::Resource;
use super::{dates, ids};
use crate::charts::find;
use crate::problem::{Kind, Problem};
use archive::{ChartCursor, ChartDriver, ChartQuery};
use model::chart::identifier::{insurance_tail, plain};
use model::chart::{ChartBody, ChartKind, ChartRow, Identifiers, Patient, Sex, Term, term};
use model::{FacilityCode, name};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Patients looked at for one number.
pub(crate) const ROWS_MAX: usize = 200;

/// Numbers of patients; without a facility they count at each.
pub(crate) type Numbers = BTreeSet<(Option<FacilityCode>, String)>;

/// A question about rows of one kind in all facilities the caller may see.
pub(crate) fn equal(kind: ChartKind, by: Term, value: &str) -> ChartQuery {
    ChartQuery {
        kind,
        facilities: None,
        driver: ChartDriver::Equal(by, term::value(value)),
        moments: None,
        years: None,
    }
}

/// What a number of a system is found by; any system where none is said.
fn terms(desk: &Desk, system: Option<&str>, code: &str) -> Vec<(Term, String)> {
    let systems = &desk.systems;
    let is = |one: &str| system.is_none_or(|system| system == one);
    let mut all = Vec::new();
    if is(&systems.mrn) {
        all.push((Term::Mrn, code.trim().to_owned()));
    }
    if is(&systems.national) {
        all.push((Term::National, plain(code)));
    }
    if is(&systems.old_card) || is(&systems.passport) {
        all.push((Term::Card, plain(code)));
    }
    if is(&systems.insurance) {
        all.push((Term::Insurance, tail(code)));
    }
    all.retain(|(_, value)| !value.is_empty());
    all
}

pub(crate) fn tail(number: &str) -> String {
    insurance_tail(number).unwrap_or_else(|| plain(number))
}

/// Whether a patient has a number of a system.
fn has(desk: &Desk, patient: &Patient, system: Option<&str>, code: &str) -> bool {
    let (systems, ids) = (&desk.systems, &patient.ids);
    let is = |one: &str| system.is_none_or(|system| system == one);
    let same = |number: &Option<String>| number.as_deref().is_some_and(|number| plain(number) == plain(code));
    (is(&systems.mrn) && patient.mrn.trim() == code.trim())
        || (is(&systems.national) && same(&ids.national))
        || (is(&systems.old_card) && same(&ids.old_card))
        || (is(&systems.passport) && same(&ids.passport))
        || (is(&systems.insurance) && ids.insurance.iter().any(|number| tail(number) == tail(code)))
}

/// The patients that have a number.
pub(crate) fn by_identifier(desk: &Desk, system: Option<&str>, code: &str) -> Result<Vec<ChartRow>, Problem> {
    let mut found = Vec::new();
    for (by, value) in terms(desk, system, code) {
        let page = desk.charts().find(&desk.caller, &equal(ChartKind::Patient, by, &value), None, ROWS_MAX)?;
        let is = |row: &ChartRow| matches!(&row.body, ChartBody::Patient(patient) if has(desk, patient, system, code));
        found.extend(page.rows.into_iter().filter(is));
    }
    Ok(found)
}

/// Every number under which something of the patients of references is kept.
pub(crate) fn numbers(desk: &Desk, wanted: &Wanted) -> Result<Numbers, Problem> {
    let mut all = Numbers::new();
    let named = wanted.references().filter_map(ids::read);
    for (facility, mrn) in named.filter(|(facility, _)| desk.caller.may_see(*facility)) {
        let numbers = find::numbers(desk.charts(), &desk.caller, facility, &mrn)?;
        all.extend(numbers.into_iter().map(|number| (Some(facility), number)));
        bounded(all.len())?;
    }
    Ok(all)
}

/// The same of patients by a number. A facility's own number counts also where charts do not know it: images may.
pub(crate) fn numbers_by_identifier(desk: &Desk, wanted: &Wanted) -> Result<Numbers, Problem> {
    let mut all = Numbers::new();
    for (system, code) in wanted.tokens() {
        for row in by_identifier(desk, system, code)? {
            let numbers = find::numbers(desk.charts(), &desk.caller, row.key.facility, &row.key.id)?;
            all.extend(numbers.into_iter().map(|number| (Some(row.key.facility), number)));
            bounded(all.len())?;
        }
        let number = code.trim();
        if !number.is_empty() && system.is_none_or(|system| system == desk.systems.mrn) {
            all.insert((None, number.to_owned()));
        }
    }
    Ok(all)
}

/// The numbers of the patients that a search names by `patient` and `patient.identifier`: the first of them, which drives
/// it, and each.
pub(crate) fn asked(desk: &Desk, question: &Question) -> Result<(Option<Numbers>, Vec<Numbers>), Problem> {
    let mut all = Vec::new();
    for wanted in question.all("patient") {
        all.push(numbers(desk, wanted)?);
    }
    for wanted in question.all("patient.identifier") {
        all.push(numbers_by_identifier(desk, wanted)?);
    }
    Ok((all.first().cloned(), all))
}

/// Whether a row is of one of the numbers.
pub(crate) fn is_of(numbers: &Numbers, row: &ChartRow) -> bool {
    let number = row.body.mrn().unwrap_or_default().trim().to_owned();
    numbers.contains(&(Some(row.key.facility), number.clone())) || numbers.contains(&(None, number))
}

/// Questions that find the rows of some numbers.
pub(crate) fn queries_of(kind: ChartKind, numbers: &Numbers) -> Vec<ChartQuery> {
    let of = |(facility, number): &(Option<FacilityCode>, String)| {
        let facilities = facility.map(|facility| BTreeSet::from([facility]));
        ChartQuery { facilities, ..equal(kind, Term::Mrn, number) }
    };
    numbers.iter().map(of).collect()
}

/// The place an earlier page ended at.
pub(crate) fn cursor(after: Option<&str>) -> Result<Option<ChartCursor>, Problem> {
    let wrong = |_| Problem::new(Kind::BadRequest, "this is no place in an answer").at("query parameter _cursor");
    after.map(ChartCursor::parse).transpose().map_err(wrong)
}

/// What finds the fewest of those asked for; every one has to hold beside it.
fn queries(desk: &Desk, question: &Question) -> Vec<ChartQuery> {
    let one = |by: Term, value: &str| equal(ChartKind::Patient, by, value);
    if let Some(wanted) = question.all("_id").next() {
        let named = wanted.tokens().filter_map(|(_, id)| ids::read(id));
        return queries_of(ChartKind::Patient, &named.map(|(facility, mrn)| (Some(facility), mrn)).collect());
    }
    if let Some(wanted) = question.all("identifier").next() {
        let each = wanted.tokens().flat_map(|(system, code)| terms(desk, system, code));
        return each.map(|(by, value)| one(by, &value)).collect();
    }
    if let Some(wanted) = question.all("phone").next() {
        return wanted.tokens().map(|(_, code)| one(Term::Phone, &digits(code))).collect();
    }
    for by in ["name", "given", "family"] {
        let Some(wanted) = question.all(by).next() else { continue };
        let words = |text: &str| {
            let words = name::words(&name::fold_names(text));
            ChartQuery { driver: ChartDriver::Words(words), ..one(Term::Any, "") }
        };
        return wanted.texts().map(words).collect();
    }
    vec![one(Term::Any, "")]
}

pub(crate) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Finds patients.
pub(crate) fn find(desk: &Desk, question: &Question, count: usize, after: Option<&str>) -> Result<Found, Problem> {
    let (after, queries) = (cursor(after)?, queries(desk, question));
    Ok(Found::of(pages::find(desk, &queries, count, after, |row| fits(desk, question, row))?))
}

fn fits(desk: &Desk, question: &Question, row: &ChartRow) -> bool {
    let ChartBody::Patient(patient) = &row.body else { return false };
    let every = |by: &str, test: &dyn Fn(&Wanted, &Ask) -> bool| {
        question.all(by).all(|wanted| wanted.any.iter().any(|ask| test(wanted, ask)))
    };
    let id = ids::of(row.key.facility, &row.key.id).unwrap_or_default();
    let phones: Vec<String> = patient.phones.iter().map(|phone| digits(phone)).collect();
    let phone = |_: &Wanted, ask: &Ask| matches!(ask, Ask::Token { code, .. } if phones.contains(&digits(code)));
    let number = |_: &Wanted, ask: &Ask| match ask {
        Ask::Token { system, code } => has(desk, patient, system.as_deref(), code),
        _ => false,
    };
    let words: Vec<&str> = patient.name.split_whitespace().collect();
    let (family, given) = words.split_first().map_or(("", Vec::new()), |(family, given)| (*family, given.to_vec()));
    let named = |has: &str| {
        let has = has.to_owned();
        move |wanted: &Wanted, ask: &Ask| matches!(ask, Ask::Text(text) if is_named(&has, text, wanted.exact))
    };
    question.accepts_token("_id", "", &[&id])
        && every("identifier", &number)
        && every("phone", &phone)
        && every("name", &named(&patient.name))
        && every("family", &named(family))
        && every("given", &named(&given.join(" ")))
        && question.accepts_token("gender", "http://hl7.org/fhir/administrative-gender", &[gender(patient.sex)])
        && question.accepts_date("birthdate", patient.birth.and_then(|birth| dates::of_birth(birth, desk.utc_offset)))
        && question.accepts_date("_lastUpdated", Some(dates::at(patient.changed)))
}

/// Whether every word asked begins a word of the name; exactly: whether the words are the same, with their marks.
fn is_named(has: &str, asked: &str, exact: bool) -> bool {
    if exact {
        let (has, asked): (Vec<&str>, Vec<&str>) =
            (has.split_whitespace().collect(), asked.split_whitespace().collect());
        return has == asked;
    }
    let has = name::words(&name::fold_names(has));
    let asked = name::words(&name::fold_names(asked));
    !asked.is_empty() && asked.iter().all(|word| has.iter().any(|one| one.starts_with(word.as_str())))
}

fn gender(sex: Sex) -> &'static str {
    match sex {
        Sex::Male => "male",
        Sex::Female => "female",
        Sex::Other => "other",
        Sex::Unknown => "unknown",
    }
}

/// One by its id.
pub(crate) fn read(desk: &Desk, id: &str) -> Result<Option<Value>, Problem> {
    let Some((facility, mrn)) = ids::read(id) else { return Ok(None) };
    Ok(desk.row(ChartKind::Patient, facility, &mrn)?.and_then(|row| shown(desk, &row)))
}

/// A patient as a resource; none where its number is too long for an id.
pub(crate) fn shown(desk: &Desk, row: &ChartRow) -> Option<Value> {
    let ChartBody::Patient(patient) = &row.body else { return None };
    let facility = row.key.facility;
    let mut shown = Map::new();
    add(&mut shown, "resourceType", Resource::Patient.name());
    add(&mut shown, "id", ids::of(facility, &row.key.id)?);
    add(&mut shown, "meta", desk.meta(row.lsn, patient.changed));
    let mut numbers = vec![desk.identifier("MR", &desk.systems.mrn, &patient.mrn, Some(facility))];
    numbers.extend(identifiers(desk, &patient.ids));
    add(&mut shown, "identifier", numbers);
    add(&mut shown, "active", patient.merged_into.is_none());
    add(&mut shown, "name", human_name(&patient.name).into_iter().collect::<Vec<_>>());
    let phone = |phone: &String| json!({"system": "phone", "value": phone});
    add(&mut shown, "telecom", patient.phones.iter().map(phone).collect::<Vec<_>>());
    add(&mut shown, "gender", gender(patient.sex));
    add(&mut shown, "birthDate", patient.birth.map(|birth| birth.to_string()));
    add(&mut shown, "deceasedDateTime", patient.died.map(|died| died.to_string()));
    if !patient.address.trim().is_empty() {
        add(&mut shown, "address", vec![json!({"text": patient.address.trim()})]);
    }
    add(&mut shown, "managingOrganization", desk.assigner(facility));
    let stays =
        patient.merged_into.as_deref().and_then(|mrn| desk.reference(Resource::Patient, ids::of(facility, mrn)));
    if let Some(other) = stays {
        let other = Value::Object(Map::from_iter([other]));
        add(&mut shown, "link", vec![json!({"other": other, "type": "replaced-by"})]);
    }
    Some(Value::Object(shown))
}

/// The numbers a person has beside the facility's own.
fn identifiers(desk: &Desk, ids: &Identifiers) -> Vec<Value> {
    let systems = &desk.systems;
    let one = |kind: &str, system: &str, number: &String| desk.identifier(kind, system, number, None);
    let mut all: Vec<Value> = Vec::new();
    all.extend(ids.national.iter().map(|number| one("NI", &systems.national, number)));
    all.extend(ids.old_card.iter().map(|number| one("", &systems.old_card, number)));
    all.extend(ids.passport.iter().map(|number| one("PPN", &systems.passport, number)));
    all.extend(ids.insurance.iter().map(|number| one("HC", &systems.insurance, number)));
    for other in &ids.others {
        let mut number = json!({"value": other.value});
        if let Some(object) = number.as_object_mut() {
            add(
                object,
                "assigner",
                if other.assigner.is_empty() { Value::Null } else { json!({"display": other.assigner}) },
            );
            add(object, "type", if other.kind.is_empty() { Value::Null } else { json!({"text": other.kind}) });
        }
        all.push(number);
    }
    all
}

/// A name: the text is the truth, its parts are a hint (family name first, then as it is spoken).
fn human_name(text: &str) -> Option<Value> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (family, given) = words.split_first()?;
    let mut name = json!({"use": "official", "text": words.join(" "), "family": family});
    if let (Some(object), false) = (name.as_object_mut(), given.is_empty()) {
        object.insert("given".into(), given.into());
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_whole_and_in_parts() {
        let name = human_name(" Nguyễn  Văn An ").expect("a name");
        assert_eq!(
            name,
            json!({"use": "official", "text": "Nguyễn Văn An", "family": "Nguyễn", "given": ["Văn", "An"]})
        );
        assert_eq!(human_name("Y").expect("a name").get("given"), None);
        assert_eq!(human_name(" "), None);
    }

    #[test]
    fn names_match_by_beginnings_or_exactly() {
        assert!(is_named("Nguyễn Văn An", "van ng", false) && !is_named("Nguyễn Văn An", "van b", false));
        assert!(is_named("Nguyễn Văn An", "Nguyễn Văn An", true) && !is_named("Nguyễn Văn An", "Nguyen Van An", true));
        assert!(!is_named("An", "", false));
    }
}
