//! `Patient/$match`: who the patient described may be, by the tiers of docs on identity in Viet Nam, never by name alone.
//!
//! Certain is who has the same personal number, insurance number or facility's number and does not contradict in what else
//! is told. A name with the whole day of birth and the sex is a proposal, a name alone a hint.

use super::desk::Desk;
use super::patients::{self, ROWS_MAX, digits, equal, tail};
use super::said::{self, list, text};
use super::tables::Resource;
use super::{dates, outcome};
use crate::problem::{Kind, Problem};
use archive::{ChartDriver, ChartQuery};
use model::chart::identifier::plain;
use model::chart::{BirthDate, ChartBody, ChartKind, ChartRow, Patient, PatientUpdate, Sex, Term};
use model::name;
use serde_json::{Value, json};
use std::cmp::Reverse;

/// Extension of a grade.
const GRADE: &str = "http://hl7.org/fhir/StructureDefinition/match-grade";
/// Most matches told.
const COUNT_MAX: usize = 100;

/// How sure a match is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// The same number, and everything else contradicts: somebody typed another's.
    Not,
    Possible,
    Probable,
    Certain,
}

impl Grade {
    fn code(self) -> &'static str {
        match self {
            Self::Not => "certainly-not",
            Self::Possible => "possible",
            Self::Probable => "probable",
            Self::Certain => "certain",
        }
    }
}

/// What is asked: the patient described, and how many are wanted.
pub(crate) struct Asked {
    update: PatientUpdate,
    /// The facility that gave the number of the patient, where it is told.
    facility: Option<model::FacilityCode>,
    certain: bool,
    count: usize,
}

impl Asked {
    /// Reads the Parameters of the operation, or a Patient alone.
    pub(crate) fn of(desk: &Desk, bytes: &[u8]) -> Result<Self, Problem> {
        let wrong = |what: &str| Problem::new(Kind::BadRequest, what).at("body");
        let body: Value = serde_json::from_slice(bytes).map_err(|_| wrong("the body is no JSON"))?;
        let part = |name: &str| list(&body, "parameter").find(|one| text(one, "/name") == Some(name));
        let patient = match text(&body, "/resourceType") {
            Some("Parameters") => part("resource").and_then(|one| one.get("resource")),
            _ => Some(&body),
        };
        let patient = patient.filter(|one| text(one, "/resourceType") == Some(Resource::Patient.name()));
        let patient = patient.ok_or_else(|| wrong("a parameter resource with a Patient is needed"))?;
        let certain = part("onlyCertainMatches").and_then(|one| one.get("valueBoolean")).and_then(Value::as_bool);
        let count = part("count").and_then(|one| one.get("valueInteger")).and_then(Value::as_u64);
        let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(COUNT_MAX).min(COUNT_MAX);
        let issued = |one: &&Value| text(one, "/system") == Some(desk.systems.mrn.as_str());
        let number = list(patient, "identifier").find(issued);
        let code = number.and_then(|one| text(one, "/assigner/identifier/value"));
        Ok(Self {
            update: super::orders_in::described(desk, patient, number.and_then(|one| text(one, "/value")))?,
            facility: code.and_then(|code| model::FacilityCode::parse(code).ok()),
            certain: certain.unwrap_or(false),
            count,
        })
    }

    /// What finds everybody who may be meant.
    fn queries(&self) -> Vec<ChartQuery> {
        let one = |by: Term, value: &str| equal(ChartKind::Patient, by, value);
        let update = &self.update;
        let mut all = Vec::new();
        if !update.mrn.is_empty() {
            all.push(one(Term::Mrn, &update.mrn));
        }
        all.extend(update.national.iter().map(|number| one(Term::National, &plain(number))));
        all.extend(update.insurance.iter().flatten().map(|number| one(Term::Insurance, &tail(number))));
        let words = update.name.as_deref().map(|text| name::words(&name::fold_names(text))).unwrap_or_default();
        if !words.is_empty() {
            let year = update.birth.flatten().map(BirthDate::year);
            let years = year.map(|year| (year, year));
            all.push(ChartQuery { driver: ChartDriver::Words(words), years, ..one(Term::Any, "") });
        }
        all
    }

    /// How sure it is that a patient is meant, and the score.
    fn grade(&self, row: &ChartRow, patient: &Patient) -> Option<(Grade, f64)> {
        let (update, facts) = (&self.update, Facts::of(&self.update, patient));
        let number = update.national.as_deref().map(plain).filter(|number| number.len() == 12);
        if number.is_some() && number == patient.ids.national.as_deref().map(plain) {
            return Some(match (facts.contradicts(), (facts.year || facts.sex) && facts.given) {
                (true, _) => (Grade::Not, 0.0),
                (false, true) => (Grade::Certain, 1.0),
                (false, false) => (Grade::Probable, 0.8),
            });
        }
        let tails: Vec<String> = patient.ids.insurance.iter().map(|number| tail(number)).collect();
        let insured = update.insurance.iter().flatten().any(|number| tails.contains(&tail(number)));
        if insured && facts.name && facts.year {
            return Some((Grade::Certain, 0.95));
        }
        let is_here = self.facility.is_none_or(|facility| facility == row.key.facility);
        let numbered = !update.mrn.is_empty() && patient.mrn.trim() == update.mrn.trim() && is_here;
        if numbered {
            return Some(match (self.facility, facts.contradicts()) {
                (Some(_), false) => (Grade::Certain, 0.95),
                (_, false) => (Grade::Probable, 0.7),
                (_, true) => (Grade::Possible, 0.2),
            });
        }
        let phones = update.phones.iter().flatten().any(|phone| patient.phones.iter().any(|one| digits(one) == *phone));
        match (facts.name, facts.born && facts.sex) {
            (true, true) if phones || insured => Some((Grade::Probable, 0.75)),
            (true, true) => Some((Grade::Possible, 0.6)),
            (true, false) => Some((Grade::Possible, 0.3)),
            (false, _) if insured => Some((Grade::Possible, 0.3)),
            _ => None,
        }
    }
}

/// What both sides say alike.
struct Facts {
    name: bool,
    given: bool,
    year: bool,
    born: bool,
    sex: bool,
    /// Whether both say a name and a year, and neither is the same.
    other: bool,
}

impl Facts {
    fn of(update: &PatientUpdate, patient: &Patient) -> Self {
        let folded = |text: &str| name::words(&name::fold_names(text));
        let words = |text: &str| {
            let mut words = folded(text);
            words.sort();
            words
        };
        let asked = update.name.as_deref().unwrap_or_default();
        // Names come in any order: of given names the last words of both are compared.
        let last = |text: &str| text.split_whitespace().last().map(folded).unwrap_or_default();
        let known = !asked.trim().is_empty() && !patient.name.trim().is_empty();
        let (one, two) = (update.birth.flatten(), patient.birth);
        let year = one.zip(two).is_some_and(|(one, two)| one.year() == two.year());
        let born = one.zip(two).is_some_and(|(one, two)| one.whole().is_some() && one.whole() == two.whole());
        let sex = update.sex.is_some_and(|sex| sex != Sex::Unknown && sex == patient.sex);
        let name = known && words(asked) == words(&patient.name);
        let other = known && !name && one.is_some() && two.is_some() && !year;
        Self { name, given: known && last(asked) == last(&patient.name), year, born, sex, other }
    }

    fn contradicts(&self) -> bool {
        self.other
    }
}

/// Who may be meant, the surest first.
pub(crate) fn find(desk: &Desk, asked: &Asked) -> Result<Value, Problem> {
    let mut found: Vec<(Grade, f64, ChartRow)> = Vec::new();
    for query in asked.queries() {
        for row in desk.charts().find(&desk.caller, &query, None, ROWS_MAX)?.rows {
            let ChartBody::Patient(patient) = &row.body else { continue };
            let merged = patient.merged_into.is_some();
            let Some((grade, score)) = asked.grade(&row, patient).filter(|_| !merged) else { continue };
            if !found.iter().any(|(_, _, one)| one.key == row.key) {
                found.push((grade, score, row));
            }
        }
    }
    found.sort_by(|(one, a, _), (two, b, _)| Reverse(one).cmp(&Reverse(two)).then(b.total_cmp(a)));
    let blocked = found.iter().any(|(grade, ..)| *grade == Grade::Not);
    found.retain(|(grade, ..)| *grade != Grade::Not && (!asked.certain || *grade == Grade::Certain));
    found.truncate(asked.count);
    let entry = |(grade, score, row): &(Grade, f64, ChartRow)| {
        let patient = patients::shown(desk, row)?;
        let grade = json!([{"url": GRADE, "valueCode": grade.code()}]);
        let search = json!({"extension": grade, "mode": "match", "score": score});
        Some(json!({"fullUrl": desk.url(&patient), "resource": patient, "search": search}))
    };
    let mut entries: Vec<Value> = found.iter().filter_map(entry).collect();
    let total = entries.len();
    if blocked {
        let told = ["a patient has the number, but another name and year of birth: one of the two is wrong".to_owned()];
        let told = outcome::remarks("warning", "business-rule", &told);
        entries.push(json!({"resource": told, "search": {"mode": "outcome"}}));
    }
    let now = dates::instant(desk.now, desk.utc_offset);
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "timestamp": now, "total": total});
    if let (Some(object), false) = (bundle.as_object_mut(), entries.is_empty()) {
        object.insert("entry".into(), entries.into());
    }
    Ok(bundle)
}

/// Reads the body of the operation.
pub(crate) fn answer(desk: &Desk, bytes: &[u8]) -> Result<Value, Problem> {
    let asked = Asked::of(desk, bytes)?;
    if asked.queries().is_empty() {
        return Err(said::bad("resource", "a number or a name is needed to look for somebody"));
    }
    find(desk, &asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::FacilityCode;
    use model::chart::{ChartKey, Identifiers};

    fn grade(asked: &PatientUpdate, facility: Option<FacilityCode>) -> Option<Grade> {
        let patient = Patient {
            mrn: "22".into(),
            name: "Nguyễn Văn An".into(),
            birth: BirthDate::parse("1978-03-05").ok(),
            sex: Sex::Male,
            ids: Identifiers {
                national: Some("056078000001".into()),
                insurance: vec!["DN4560123456789".into()],
                ..Identifiers::default()
            },
            phones: vec!["0905000001".into()],
            ..Patient::default()
        };
        let key = ChartKey::new(ChartKind::Patient, FacilityCode::DEMO, "22").expect("a key");
        let row = ChartRow { key, lsn: 1, created: 1, seal: None, body: ChartBody::Patient(Box::new(patient.clone())) };
        let asked = Asked { update: asked.clone(), facility, certain: false, count: 1 };
        asked.grade(&row, &patient).map(|(grade, _)| grade)
    }

    #[test]
    fn only_numbers_make_certain_and_names_never() {
        let named = |name: &str, birth: &str, sex: Option<Sex>| PatientUpdate {
            name: Some(name.into()),
            birth: Some(BirthDate::parse(birth).ok()),
            sex,
            ..PatientUpdate::default()
        };
        let male = Some(Sex::Male);
        let numbered = |update: PatientUpdate| PatientUpdate { national: Some("056 078 000001".into()), ..update };
        let insured = |update: PatientUpdate| PatientUpdate { insurance: Some(vec!["0123456789".into()]), ..update };
        assert_eq!(grade(&numbered(named("NGUYEN VAN AN", "1978", None)), None), Some(Grade::Certain));
        assert_eq!(grade(&numbered(named("Trần Thị Bình", "1990", None)), None), Some(Grade::Not));
        assert_eq!(grade(&numbered(named("Trần Thị Bình", "1978", None)), None), Some(Grade::Probable));
        assert_eq!(grade(&insured(named("Nguyen Van An", "1978", None)), None), Some(Grade::Certain));
        assert_eq!(grade(&insured(named("Nguyen Van Anh", "1978", None)), None), Some(Grade::Possible));
        assert_eq!(grade(&named("An Nguyễn Văn", "1978-03-05", male), None), Some(Grade::Possible));
        let phoned =
            PatientUpdate { phones: Some(vec!["0905000001".into()]), ..named("Nguyễn Văn An", "1978-03-05", male) };
        assert_eq!(grade(&phoned, None), Some(Grade::Probable));
        assert_eq!(grade(&named("Nguyễn Văn An", "1980", None), None), Some(Grade::Possible));
        assert_eq!(grade(&named("Lê Cường", "1978-03-05", male), None), None);
        let own = PatientUpdate { mrn: "22".into(), ..PatientUpdate::default() };
        assert_eq!(grade(&own, Some(FacilityCode::DEMO)), Some(Grade::Certain));
        assert_eq!(grade(&own, None), Some(Grade::Probable), "equal numbers of two hospitals are nobody's");
        let other = FacilityCode::parse("56002").expect("a code");
        assert_eq!(grade(&own, Some(other)), None);
    }
}
