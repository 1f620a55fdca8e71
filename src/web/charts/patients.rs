//! Patients by REST: said, shown, found, merged, and a merge undone.
//!
//! Deliberately not here: persons across facilities; a patient is one of one facility.

use super::find::{self, Found, Paging};
use super::said::Said;
use super::writing::{self, Wanted};
use super::{bad, facility, key, shown};
use crate::admin::{body, bytes};
use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::charts::{ChartError, Charts};
use archive::{ChartDriver, ChartQuery};
use axum::response::Response;
use http::StatusCode;
use model::chart::identifier::{NumberKind, insurance_tail, kind_of, plain};
use model::chart::{BirthDate, Change, ChartBody, ChartKind, ChartRow, OtherId, Patient, PatientUpdate, Term};
use model::{Caller, FacilityCode, name};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Merges shown with a patient.
const MERGES_MAX: usize = 100;

/// Says something of a patient.
pub(super) async fn put(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let mrn = key(ChartKind::Patient, facility, call.parameter("mrn"), "mrn")?.id;
    let bytes = bytes(&call, call.app.options.body_bytes_max).await?;
    let update = update(Said::read(&bytes)?, Some(&mrn))?;
    let changes = vec![Change::Patient(update)];
    let wanted = Wanted { kind: "REST patient", facility, mrn: Some(mrn.clone()), bytes: &bytes, changes, sent: false };
    let receipt = writing::receive(&call, wanted).await?;
    let row = standing(&call, facility, mrn).await?;
    writing::answered(&receipt, "patient", row)
}

/// What a body says of a patient; the number may stand in front of it.
pub(super) fn update(mut said: Said, mrn: Option<&str>) -> Result<PatientUpdate, Problem> {
    let own = said.text("mrn")?.filter(|text| !text.is_empty());
    let mrn = match (own, mrn) {
        (Some(own), Some(mrn)) if own != mrn => return Err(said.bad("mrn", "another number stands before it")),
        (Some(own), _) => own,
        (None, Some(mrn)) => mrn.to_owned(),
        (None, None) => return Err(said.bad("mrn", "mrn is needed")),
    };
    let others = said.list("others")?.map(|list| list.into_iter().map(other).collect::<Result<_, _>>()).transpose()?;
    let update = PatientUpdate {
        mrn,
        name: said.text("name")?,
        birth: said.birth("birth")?,
        sex: said.sex("sex")?,
        national: said.text("national")?,
        old_card: said.text("old_card")?,
        passport: said.text("passport")?,
        insurance: said.texts("insurance")?,
        others,
        phones: said.texts("phones")?.map(|list| list.iter().map(|phone| digits(phone)).collect()),
        address: said.text("address")?,
        allergies: said.texts("allergies")?,
        died: said.birth("died")?,
        records: said.classes("records")?,
    };
    said.end()?;
    Ok(update)
}

fn other(mut said: Said) -> Result<OtherId, Problem> {
    let value = said.needed("value")?;
    let (assigner, kind) = (said.text("assigner")?.unwrap_or_default(), said.text("kind")?.unwrap_or_default());
    said.end()?;
    Ok(OtherId { value, assigner, kind })
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// A patient as it stands, under the number that holds now; null when it is not known.
async fn standing(call: &Call, facility: FacilityCode, mrn: String) -> Result<Value, Problem> {
    let caller = call.caller.clone();
    let found = call.blocking(move |archive| Ok(held(archive.charts(), &caller, facility, &mrn)?)).await?;
    Ok(found.map_or(Value::Null, |row| shown(&row)))
}

fn held(charts: &Charts, caller: &Caller, facility: FacilityCode, mrn: &str) -> Result<Option<ChartRow>, ChartError> {
    let Some(patient) = charts.patient(caller, facility, mrn)? else { return Ok(None) };
    let wanted = find::equal(ChartKind::Patient, facility, Term::Mrn, &patient.mrn);
    let rows = charts.find(caller, &wanted, None, 1)?.rows;
    Ok(rows.into_iter().next())
}

/// A patient, with what the verifier says of its number, and the merges it is the survivor of.
pub(super) async fn show(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let mrn = key(ChartKind::Patient, facility, call.parameter("mrn"), "mrn")?.id;
    let caller = call.caller.clone();
    let found = call
        .blocking(move |archive| {
            let charts = archive.charts();
            let Some(row) = held(charts, &caller, facility, &mrn)? else { return Ok(None) };
            let stays = row.body.mrn().unwrap_or_default();
            let merges = find::equal(ChartKind::Merge, facility, Term::Mrn, stays);
            let merges = charts.find(&caller, &merges, None, MERGES_MAX)?.rows;
            let check = match &row.body {
                ChartBody::Patient(patient) => charts.check_of(&caller, facility, patient)?,
                _ => None,
            };
            Ok(Some((row, merges, check)))
        })
        .await?;
    let none = || Problem::new(Kind::NotFound, "the facility has no patient of this number").at("path segment mrn");
    let (row, merges, check) = found.ok_or_else(none)?;
    let mut view = shown(&row);
    if let (Some(object), Some(check)) = (view.as_object_mut(), check) {
        object.insert("verification".into(), json!(check));
    }
    if let (Some(object), false) = (view.as_object_mut(), merges.is_empty()) {
        object.insert("merges".into(), merges.iter().map(merge_shown).collect());
    }
    body(StatusCode::OK, &view)
}

/// A merge without the patient as it was before.
fn merge_shown(row: &ChartRow) -> Value {
    let mut view = shown(row);
    if let Some(object) = view.as_object_mut() {
        object.remove("before");
        object.remove("facility");
    }
    view
}

/// Merges a former number into a patient.
pub(super) async fn merge(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let survivor = key(ChartKind::Patient, facility, call.parameter("mrn"), "mrn")?.id;
    let bytes = bytes(&call, call.app.options.body_bytes_max).await?;
    let mut said = Said::read(&bytes)?;
    let former = said.needed("former")?;
    said.end()?;
    let changes = vec![Change::Merge { survivor: survivor.clone(), former: former.clone() }];
    let mrn = Some(survivor);
    let wanted = Wanted { kind: "REST merge", facility, mrn, bytes: &bytes, changes, sent: false };
    let receipt = writing::receive(&call, wanted).await?;
    let caller = call.caller.clone();
    let merges = find::equal(ChartKind::Merge, facility, Term::Former, &former);
    let merged = call.blocking(move |archive| Ok(archive.charts().find(&caller, &merges, None, MERGES_MAX)?)).await?;
    let holds = |row: &&ChartRow| matches!(&row.body, ChartBody::Merge(merge) if merge.undone.is_none());
    let row = merged.rows.iter().find(holds).map_or(Value::Null, merge_shown);
    writing::answered(&receipt, "merge", row)
}

/// Undoes a merge.
pub(super) async fn unmerge(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let key = key(ChartKind::Merge, facility, call.parameter("id"), "id")?;
    let (caller, by) = (call.caller.clone(), format!("rest:{}", call.caller.name));
    let row = call
        .blocking(move |archive| {
            let charts = archive.charts();
            charts.unmerge(&caller, facility, &key.id, &by)?;
            Ok(charts.get(&caller, &key)?)
        })
        .await?;
    let merge = row.as_ref().map_or(Value::Null, merge_shown);
    body(StatusCode::OK, &json!({"handled": "done", "merge": merge}))
}

/// What a search asks for; every part that is there must hold.
#[derive(Debug, Clone, Default, PartialEq)]
struct Asked {
    mrn: Option<String>,
    name: Option<String>,
    years: Option<(u16, u16)>,
    national: Option<String>,
    last4: Option<String>,
    insurance: Option<String>,
    phone: Option<String>,
    card: Option<String>,
}

impl Asked {
    fn of(call: &Call) -> Result<Self, Problem> {
        let text =
            |name: &str| call.query_value(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let years = text("year").map(|text| years(&text)).transpose()?;
        let asked = Self {
            mrn: text("mrn"),
            name: text("name"),
            years,
            national: text("national").map(|number| plain(&number)),
            last4: text("last4"),
            insurance: text("insurance").map(|number| tail(&number)),
            phone: text("phone").map(|phone| digits(&phone)),
            card: text("card").map(|card| plain(&card)),
        };
        if asked.last4.as_deref().is_some_and(|text| text.len() != 4 || digits(text) != text) {
            return Err(bad("last4", "last4 takes the last 4 digits of a personal identification number"));
        }
        if asked.driver().is_none() {
            return Err(bad("name", "ask by name, mrn, national, last4, insurance, phone, card or qr"));
        }
        Ok(asked)
    }

    /// What finds the fewest.
    fn driver(&self) -> Option<ChartDriver> {
        let by = |term: Term, value: &Option<String>| {
            let value = value.as_deref().filter(|value| !value.is_empty())?;
            Some(ChartDriver::Equal(term, model::chart::term::value(value)))
        };
        let words = || {
            let words = name::words(&name::fold_names(self.name.as_deref()?));
            (!words.is_empty()).then_some(ChartDriver::Words(words))
        };
        by(Term::Mrn, &self.mrn)
            .or_else(|| by(Term::National, &self.national))
            .or_else(|| by(Term::Card, &self.card))
            .or_else(|| by(Term::Insurance, &self.insurance))
            .or_else(|| by(Term::Phone, &self.phone))
            .or_else(words)
            .or_else(|| by(Term::NationalTail, &self.last4))
    }

    /// By what a scanned card's holder was found.
    fn by(&self) -> &'static str {
        match (&self.national, &self.card) {
            (Some(_), _) => "number",
            (None, Some(_)) => "old-card",
            (None, None) => "name",
        }
    }

    fn query(&self, facility: FacilityCode) -> Option<ChartQuery> {
        let facilities = Some(BTreeSet::from([facility]));
        let driver = self.driver()?;
        let years = self.years.filter(|_| matches!(driver, ChartDriver::Words(_)));
        Some(ChartQuery { kind: ChartKind::Patient, facilities, driver, moments: None, years })
    }

    fn fits(&self, row: &ChartRow) -> bool {
        let ChartBody::Patient(patient) = &row.body else { return false };
        let ids = &patient.ids;
        let national = ids.national.as_deref().map(plain).unwrap_or_default();
        let holds = |wanted: &Option<String>, test: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(test);
        let mut cards = ids.old_card.iter().chain(&ids.passport).map(|card| plain(card));
        let born = patient.birth.map(BirthDate::year);
        holds(&self.mrn, &|mrn| patient.mrn.trim() == mrn)
            && holds(&self.national, &|number| national == number)
            && holds(&self.last4, &|four| kind_of(&national) == NumberKind::National && national.ends_with(four))
            && holds(&self.insurance, &|number| ids.insurance.iter().any(|one| tail(one) == number))
            && holds(&self.phone, &|phone| patient.phones.iter().any(|one| digits(one) == phone))
            && self.card.as_deref().is_none_or(|card| cards.any(|one| one == card))
            && self.name.as_deref().is_none_or(|wanted| is_named(patient, wanted))
            && self.years.is_none_or(|(from, to)| born.is_none_or(|born| (from..=to).contains(&born)))
    }
}

/// Whether every word asked begins a word of the name.
fn is_named(patient: &Patient, wanted: &str) -> bool {
    let has = name::words(&name::fold_names(&patient.name));
    name::words(&name::fold_names(wanted)).iter().all(|word| has.iter().any(|one| one.starts_with(word.as_str())))
}

fn tail(number: &str) -> String {
    insurance_tail(number).unwrap_or_else(|| plain(number))
}

/// A year or a range of years.
fn years(text: &str) -> Result<(u16, u16), Problem> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let year = |text: &str| text.parse::<u16>().ok().filter(|year| (1850..=2200).contains(year));
    let span = year(from).zip(year(to)).filter(|(from, to)| from <= to);
    span.ok_or_else(|| bad("year", "year takes a year, or two with a dash"))
}

/// What the text of a scanned identity card asks for, the surest first:
/// `number|old number|name|ddmmyyyy|sex|address|date of issue`.
fn scanned(text: &str) -> Result<Vec<Asked>, Problem> {
    let mut fields = text.split('|').map(str::trim);
    let (number, old, name, born) = (fields.next(), fields.next(), fields.next(), fields.next());
    let number = plain(number.unwrap_or_default());
    if kind_of(&number) != NumberKind::National {
        return Err(bad("qr", "the text of an identity card begins with 12 digits and a vertical bar"));
    }
    let said = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let mut all = vec![Asked { national: Some(number), ..Asked::default() }];
    all.extend(said(old).map(|card| Asked { card: Some(plain(&card)), ..Asked::default() }));
    let year = born.and_then(|born| born.get(4..8)).and_then(|year| years(year).ok());
    // By name only with the year: a name alone says nothing.
    all.extend(said(name).zip(year).map(|(name, years)| Asked {
        name: Some(name),
        years: Some(years),
        ..Asked::default()
    }));
    Ok(all)
}

/// Finds patients.
pub(super) async fn find(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let (steps, paging) = match call.query_value("qr") {
        None => (vec![Asked::of(&call)?], Paging::of(&call)?),
        // A person has one card: what is found by it is one page.
        Some(text) => (scanned(text)?, Paging { limit: find::limit(&call)?, after: None }),
    };
    let scan = call.query_value("qr").is_some();
    let caller = call.caller.clone();
    let (found, by) = call
        .blocking(move |archive| {
            let mut last = Found { rows: Vec::new(), next: None };
            for asked in &steps {
                let Some(query) = asked.query(facility) else { continue };
                let mut found = find::rows(archive.charts(), &caller, &[query], paging, |row| asked.fits(row))?;
                let exact = |row: &ChartRow| asked.name.as_deref().is_some_and(|name| is_exactly(row, name));
                found.rows.sort_by_key(|row| !exact(row));
                if !found.rows.is_empty() {
                    return Ok((found, asked.by()));
                }
                last = found;
            }
            Ok((last, "nothing"))
        })
        .await?;
    let mut view = found.shown("patients", shown);
    if let (Some(object), true) = (view.as_object_mut(), scan) {
        object.insert("by".into(), by.into());
        object.remove("next");
    }
    body(StatusCode::OK, &view)
}

/// Whether a patient has this very name, with its marks.
fn is_exactly(row: &ChartRow, name: &str) -> bool {
    let same = |one: &str, two: &str| {
        let (one, two) = (one.to_lowercase(), two.to_lowercase());
        one.split_whitespace().eq(two.split_whitespace())
    };
    matches!(&row.body, ChartBody::Patient(patient) if same(&patient.name, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanned_card_asks_by_number_then_old_card_then_name_and_year() {
        let all = scanned("056078000001|225000001|Nguyễn Văn An|05031978|Nam|Nha Trang|01012021").expect("a card");
        let [number, card, name] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(number.national.as_deref(), Some("056078000001"));
        assert_eq!(card.card.as_deref(), Some("225000001"));
        assert_eq!((name.name.as_deref(), name.years), (Some("Nguyễn Văn An"), Some((1978, 1978))));
        assert_eq!(scanned("056078000001||Nguyễn Văn An||Nam").expect("no year, no old card").len(), 1);
        for wrong in ["", "225000001|x", "Nguyễn Văn An"] {
            assert!(scanned(wrong).is_err_and(|problem| !problem.detail.contains("Nguyễn")), "{wrong}");
        }
    }

    #[test]
    fn every_part_of_a_question_must_hold() {
        let patient = Patient {
            mrn: "1".into(),
            name: "Nguyễn Văn An".into(),
            birth: BirthDate::parse("1978").ok(),
            ids: model::chart::Identifiers {
                national: Some("056 078 000 001".into()),
                insurance: vec!["DN4560123456789".into()],
                ..Default::default()
            },
            phones: vec!["0905000001".into()],
            ..Patient::default()
        };
        let key = model::chart::ChartKey::new(ChartKind::Patient, FacilityCode::DEMO, "1").expect("a key");
        let body = ChartBody::Patient(Box::new(patient));
        let row = ChartRow { key, lsn: 1, created: 1, seal: None, body };
        let some = |text: &str| Some(text.to_owned());
        for asked in [
            Asked { name: some("an nguyen"), years: Some((1978, 1978)), ..Asked::default() },
            Asked { last4: some("0001"), ..Asked::default() },
            Asked { insurance: some("0123456789"), phone: some("0905000001"), ..Asked::default() },
        ] {
            assert!(asked.fits(&row), "{asked:?}");
        }
        for asked in [
            Asked { name: some("an tran"), ..Asked::default() },
            Asked { name: some("an"), years: Some((1979, 1980)), ..Asked::default() },
            Asked { last4: some("0002"), name: some("an"), ..Asked::default() },
            Asked { phone: some("0905000001"), national: some("056078000002"), ..Asked::default() },
        ] {
            assert!(!asked.fits(&row), "{asked:?}");
        }
    }
}
