//! ImagingStudy: a study of a facility as DICOMweb tells it, with its order and how to read it.

use super::bundle::{Found, Rows};
use super::desk::{DCM, Desk, add};
use super::question::{Question, Wanted};
use super::tables::Resource;
use super::{dates, endpoints, ids, pages, patients};
use crate::charts::studies::value;
use crate::problem::{Kind, Problem};
use archive::search::{Search, Wanted as Asked};
use archive::{ChartDriver, ChartQuery, Cursor, FoundRow};
use model::attribute::key;
use model::chart::{ChartBody, ChartKind, Match, Term, Verdict, term};
use model::query::{Condition, Query, Test};
use model::{AttrKey, FacilityCode, Level, Scope, Uid};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// System of DICOM UIDs, and what stands in front of them.
pub(crate) const UIDS: &str = "urn:dicom:uid";
const OID: &str = "urn:oid:";
const URIS: &str = "urn:ietf:rfc:3986";
/// Pages of the archive looked through for one answer; then the answer is short and goes on.
const PAGES_MAX: usize = 200;
/// Fewest rows of such a page.
const PAGE_MIN: usize = 1;
/// Rows looked at for one number.
const ROWS_MAX: usize = 200;
/// Most series told of one study.
const SERIES_MAX: usize = 1_000;
/// Most instances told of one series.
const INSTANCES_MAX: usize = 5_000;

/// Numbers of patients; without a facility they count at each.
type Numbers = BTreeSet<(Option<FacilityCode>, String)>;
/// Studies by UID, in the same way.
type Studies = BTreeSet<(Option<FacilityCode>, Uid)>;

/// A search as the archive is asked, and what must hold beside it.
#[derive(Default)]
struct Plan {
    conditions: Vec<Condition>,
    numbers: Vec<Numbers>,
    studies: Vec<Studies>,
    facilities: Vec<BTreeSet<FacilityCode>>,
}

fn holds<T: Ord + Clone>(set: &BTreeSet<(Option<FacilityCode>, T)>, facility: FacilityCode, one: &T) -> bool {
    set.contains(&(Some(facility), one.clone())) || set.contains(&(None, one.clone()))
}

impl Plan {
    fn of(desk: &Desk, question: &Question) -> Result<Self, Problem> {
        let mut plan = Self::default();
        for wanted in &question.wanted {
            match wanted.name {
                "_id" => plan.by_studies(wanted.tokens().filter_map(|(_, id)| seen_study(id)).collect()),
                "identifier" => plan.by_studies(identified(desk, wanted)?),
                "patient" => plan.by_numbers(patients::numbers(desk, wanted)?),
                "patient.identifier" => plan.by_numbers(patients::numbers_by_identifier(desk, wanted)?),
                "basedon" => plan.by_studies(ordered(desk, wanted)?),
                "modality" => plan.by_modality(wanted),
                "endpoint" => {
                    let facilities = wanted.references().filter_map(|id| endpoints::facility(desk, id));
                    plan.facilities.push(facilities.collect());
                }
                "started" => plan.conditions.extend(days(desk, wanted)),
                _ => {}
            }
        }
        Ok(plan)
    }

    fn by_studies(&mut self, studies: Studies) {
        let uids = studies.iter().map(|(_, study)| study.as_str().to_owned()).collect();
        self.conditions.push(Condition { key: key::STUDY_INSTANCE_UID, test: Test::OneOf(uids) });
        self.studies.push(studies);
    }

    fn by_numbers(&mut self, numbers: Numbers) {
        let plain = numbers.iter().map(|(_, number)| number).filter(|number| !number.contains('\\'));
        let plain: BTreeSet<&String> = plain.collect();
        // In a list a star is a wildcard, alone it is itself.
        let wild = plain.iter().any(|number| number.contains(['*', '?']));
        let equal = |number: &&String| Test::Equal((*number).clone());
        let test = match plain.first() {
            Some(one) if plain.len() == 1 => equal(one),
            _ if wild => Test::AnyOf(plain.iter().map(equal).collect()),
            _ => Test::OneOf(plain.into_iter().cloned().collect()),
        };
        self.conditions.push(Condition { key: key::PATIENT_ID, test });
        self.numbers.push(numbers);
    }

    fn by_modality(&mut self, wanted: &Wanted) {
        let ours = wanted.tokens().filter(|(system, _)| system.is_none_or(|system| system == DCM));
        let codes = ours.map(|(_, code)| code).filter(|code| !code.contains(['*', '?', '\\']));
        let test = Test::OneOf(codes.map(str::to_owned).collect());
        self.conditions.push(Condition { key: key::MODALITIES_IN_STUDY, test });
    }

    /// Whether nothing can be found.
    fn is_empty(&self) -> bool {
        self.numbers.iter().any(BTreeSet::is_empty)
            || self.studies.iter().any(BTreeSet::is_empty)
            || self.facilities.iter().any(BTreeSet::is_empty)
            || self.conditions.iter().any(|condition| matches!(&condition.test, Test::OneOf(list) if list.is_empty()))
    }

    fn fits(&self, row: &FoundRow) -> bool {
        let number = value(row, key::PATIENT_ID).trim().to_owned();
        self.numbers.iter().all(|set| holds(set, row.facility, &number))
            && self.studies.iter().all(|set| holds(set, row.facility, &row.study))
            && self.facilities.iter().all(|set| set.contains(&row.facility))
    }
}

fn seen_study(id: &str) -> Option<(Option<FacilityCode>, Uid)> {
    ids::read_study(id).map(|(facility, study)| (Some(facility), study))
}

/// Days that hold everything asked of the begin; the archive is asked by them, and the rest compared.
fn days(desk: &Desk, wanted: &Wanted) -> Option<Condition> {
    let bounds: Vec<_> = wanted
        .any
        .iter()
        .filter_map(|ask| match ask {
            super::question::Ask::Date(span) => Some(span.bounds()),
            _ => None,
        })
        .collect();
    let from = bounds.iter().map(|(from, _)| *from).min().flatten();
    let to = bounds.iter().map(|(_, to)| *to).collect::<Option<Vec<i64>>>().and_then(|all| all.into_iter().max());
    if from.is_none() && to.is_none() {
        return None;
    }
    // A study may say another zone than the facility's: a day more on either side.
    let from = from.map(|ms| dates::day_of(ms, desk.utc_offset, -1));
    let to = to.map(|ms| dates::day_of(ms, desk.utc_offset, 1));
    Some(Condition { key: key::STUDY_DATE, test: Test::Range(from, to) })
}

/// Every copy of the studies that satisfy conditions, up to a limit.
fn matching(desk: &Desk, conditions: Vec<Condition>) -> Result<Vec<FoundRow>, Problem> {
    let query = Query { level: Level::Study, conditions, fuzzy: false };
    let mut search = Search::new(desk.caller.clone(), Scope::Shared, Asked::of(query)).every_copy();
    Ok(search.page(&desk.archive, ROWS_MAX)?.rows)
}

/// The studies of identifiers: a UID, or an accession number, the archive's or the one an order was sent with.
fn identified(desk: &Desk, wanted: &Wanted) -> Result<Studies, Problem> {
    let mut studies = Studies::new();
    for (system, code) in wanted.tokens() {
        let uid = Uid::parse(code.strip_prefix(OID).unwrap_or(code)).ok();
        if let Some(uid) = uid.filter(|_| system.is_none_or(|system| system == UIDS) && code.starts_with(OID)) {
            studies.insert((None, uid));
            continue;
        }
        let is_number = system.is_none_or(|system| system.is_empty() || system == desk.systems.accession);
        if !is_number || code.trim().is_empty() || code.contains('\\') {
            continue;
        }
        let test = Test::Equal(code.trim().to_owned());
        let found = matching(desk, vec![Condition { key: key::ACCESSION_NUMBER, test }])?;
        studies.extend(found.into_iter().map(|row| (Some(row.facility), row.study)));
        let orders = ChartQuery {
            kind: ChartKind::Order,
            facilities: None,
            driver: ChartDriver::Equal(Term::Accession, term::value(code)),
            moments: None,
            years: None,
        };
        for row in desk.charts().find(&desk.caller, &orders, None, ROWS_MAX)?.rows {
            if let ChartBody::Order(order) = row.body {
                studies.insert((Some(row.key.facility), order.study));
            }
        }
        pages::bounded(studies.len())?;
    }
    Ok(studies)
}

/// The studies of orders: those that were found to be theirs, and the UIDs they were given.
fn ordered(desk: &Desk, wanted: &Wanted) -> Result<Studies, Problem> {
    let mut studies = Studies::new();
    for (facility, placer) in wanted.references().filter_map(ids::read) {
        if let Some(row) = desk.row(ChartKind::Order, facility, &placer)?
            && let ChartBody::Order(order) = row.body
        {
            studies.insert((Some(facility), order.study));
        }
        let matches = patients::equal(ChartKind::Match, Term::Placer, &placer);
        let matches = ChartQuery { facilities: Some(BTreeSet::from([facility])), ..matches };
        for row in desk.charts().find(&desk.caller, &matches, None, ROWS_MAX)?.rows {
            match row.body {
                ChartBody::Match(one) if one.verdict == Verdict::Matched => {
                    studies.insert((Some(facility), one.study));
                }
                _ => {}
            }
        }
        pages::bounded(studies.len())?;
    }
    Ok(studies)
}

/// Finds studies, the newest first.
pub(crate) fn find(desk: &Desk, question: &Question, count: usize, after: Option<&str>) -> Result<Found, Problem> {
    let wrong = |_| Problem::new(Kind::BadRequest, "this is no place in an answer").at("query parameter _cursor");
    let cursor = after.map(Cursor::parse).transpose().map_err(wrong)?;
    let plan = Plan::of(desk, question)?;
    if plan.is_empty() {
        return Ok(Found { rows: Rows::Studies(Vec::new()), next: None });
    }
    let query = Query { level: Level::Study, conditions: plan.conditions.clone(), fuzzy: false };
    let mut search = Search::new(desk.caller.clone(), Scope::Shared, Asked::of(query)).every_copy().after(cursor);
    let (mut rows, mut ended) = (Vec::<FoundRow>::new(), false);
    for _ in 0..PAGES_MAX {
        let page = search.page(&desk.archive, count.saturating_sub(rows.len()).max(PAGE_MIN))?;
        ended = page.ended;
        for row in page.rows {
            // A UID that holds two patients' studies is told once, as the first one's.
            let again = rows.iter().any(|one| (one.facility, &one.study) == (row.facility, &row.study));
            if !again && plan.fits(&row) && fits(desk, question, &row)? {
                rows.push(row);
            }
        }
        if ended || rows.len() >= count {
            break;
        }
    }
    let next = search.cursor().filter(|_| !ended).map(ToString::to_string);
    Ok(Found { rows: Rows::Studies(rows), next })
}

/// Whether the dates of a study satisfy what is asked of them.
fn fits(desk: &Desk, question: &Question, row: &FoundRow) -> Result<bool, Problem> {
    if !question.accepts_date("started", started(desk, row).map(|(_, span)| span)) {
        return Ok(false);
    }
    if question.all("_lastUpdated").next().is_none() {
        return Ok(true);
    }
    let (changed, _) = desk.archive.changed(row)?;
    Ok(question.accepts_date("_lastUpdated", Some(dates::at(changed))))
}

fn started(desk: &Desk, row: &FoundRow) -> Option<(String, (i64, i64))> {
    let text = |key: AttrKey| value(row, key);
    let (date, time) = (text(key::STUDY_DATE), text(key::STUDY_TIME));
    dates::of_dicom(date, time, text(key::TIMEZONE_OFFSET_FROM_UTC), desk.utc_offset)
}

/// One by its id.
pub(crate) fn read(desk: &Desk, id: &str) -> Result<Option<Value>, Problem> {
    let Some((facility, study)) = ids::read_study(id).filter(|(facility, _)| desk.caller.may_see(*facility)) else {
        return Ok(None);
    };
    with_uid(desk, facility, &study)?.first().map(|row| shown(desk, row, false)).transpose()
}

/// Whether the archive holds a study of a facility for the caller.
pub(crate) fn is_there(desk: &Desk, facility: FacilityCode, study: &Uid) -> Result<bool, Problem> {
    Ok(!with_uid(desk, facility, study)?.is_empty())
}

/// Whether a UID stands for one study of the facility: two patients may have images under it.
pub(crate) fn is_one(desk: &Desk, facility: FacilityCode, study: &Uid) -> Result<bool, Problem> {
    Ok(with_uid(desk, facility, study)?.len() == 1)
}

/// Studies of a facility under a UID, two at most.
fn with_uid(desk: &Desk, facility: FacilityCode, study: &Uid) -> Result<Vec<FoundRow>, Problem> {
    let condition = Condition { key: key::STUDY_INSTANCE_UID, test: Test::Equal(study.as_str().to_owned()) };
    let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
    Ok(desk.archive.find(&desk.caller, Scope::Facility(facility), &query, 0, 2)?.rows)
}

/// What looking for the order of a study came to.
fn matched(desk: &Desk, row: &FoundRow) -> Result<Option<Match>, Problem> {
    let query = ChartQuery {
        kind: ChartKind::Match,
        facilities: Some(BTreeSet::from([row.facility])),
        driver: ChartDriver::Equal(Term::Study, term::value(row.study.as_str())),
        moments: None,
        years: None,
    };
    let found = desk.charts().find(&desk.caller, &query, None, ROWS_MAX)?.rows;
    Ok(found.into_iter().find_map(|row| match row.body {
        ChartBody::Match(one) if one.verdict == Verdict::Matched && !one.placer.is_empty() => Some(*one),
        _ => None,
    }))
}

/// A study as a resource; in an answer to a search always without its instances.
pub(crate) fn shown(desk: &Desk, row: &FoundRow, searched: bool) -> Result<Value, Problem> {
    let text = |key: AttrKey| value(row, key).trim();
    let (changed, version) = desk.archive.changed(row)?;
    let matched = matched(desk, row)?;
    let number = match (text(key::PATIENT_ID), &matched) {
        ("", Some(found)) => found.mrn.as_deref().unwrap_or_default(),
        (number, _) => number,
    };
    let mut study = Map::new();
    add(&mut study, "resourceType", Resource::ImagingStudy.name());
    add(&mut study, "id", ids::of_study(row.facility, &row.study));
    add(&mut study, "meta", desk.meta(version, changed));
    add(&mut study, "identifier", identifiers(desk, row));
    add(&mut study, "status", "available");
    add(&mut study, "modality", codes(text(key::MODALITIES_IN_STUDY)));
    add(&mut study, "subject", desk.patient(row.facility, number, &name(text(key::PATIENT_NAME)))?);
    add(&mut study, "started", started(desk, row).map(|(shown, _)| shown));
    let order = matched.as_ref().and_then(|found| ids::of(row.facility, &found.placer));
    let order = desk.reference(Resource::ServiceRequest, order);
    add(&mut study, "basedOn", order.map(|one| vec![Value::Object(Map::from_iter([one]))]));
    add(&mut study, "referrer", person(text(key::REFERRING_PHYSICIAN_NAME)));
    let readers = text(key::NAME_OF_PHYSICIANS_READING_STUDY).split('\\');
    add(&mut study, "interpreter", readers.filter_map(person).collect::<Vec<_>>());
    let endpoints = endpoints::ids(desk, row.facility).into_iter();
    let endpoints = endpoints.filter_map(|id| desk.reference(Resource::Endpoint, Some(id)));
    add(&mut study, "endpoint", endpoints.map(|one| Value::Object(Map::from_iter([one]))).collect::<Vec<_>>());
    add(&mut study, "numberOfSeries", count(text(key::NUMBER_OF_STUDY_RELATED_SERIES)));
    add(&mut study, "numberOfInstances", count(text(key::NUMBER_OF_STUDY_RELATED_INSTANCES)));
    add(&mut study, "description", text(key::STUDY_DESCRIPTION));
    add(&mut study, "series", series(desk, row, desk.instances && !searched)?);
    Ok(Value::Object(study))
}

fn identifiers(desk: &Desk, row: &FoundRow) -> Vec<Value> {
    let accession = value(row, key::ACCESSION_NUMBER).trim();
    let mut all = vec![uid(&row.study)];
    if !accession.is_empty() {
        all.push(desk.identifier("ACSN", &desk.systems.accession, accession, Some(row.facility)));
    }
    all
}

/// A UID as an identifier.
pub(crate) fn uid(uid: &Uid) -> Value {
    json!({"system": UIDS, "value": format!("{OID}{}", uid.as_str())})
}

/// Modalities, each a code.
fn codes(text: &str) -> Vec<Value> {
    let each = text.split('\\').map(str::trim).filter(|code| !code.is_empty());
    each.map(|code| json!({"system": DCM, "code": code})).collect()
}

/// A number of DICOM where it is one.
fn count(text: &str) -> Option<u64> {
    text.trim().parse::<u32>().ok().map(u64::from)
}

/// A name of DICOM as people read it: family name, middle, given.
fn name(text: &str) -> String {
    let first = text.split('=').find(|group| !group.trim_matches(['^', ' ']).is_empty()).unwrap_or_default();
    let mut parts = first.split('^').map(str::trim);
    let (family, given, middle) = (parts.next(), parts.next(), parts.next());
    let words = [family, middle, given].into_iter().flatten().filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn person(text: &str) -> Option<Value> {
    let name = name(text);
    (!name.is_empty()).then(|| json!({"display": name}))
}

/// Series of a study or instances of a series.
fn below(desk: &Desk, row: &FoundRow, level: Level, limit: usize) -> Result<Vec<FoundRow>, Problem> {
    let uid = |key: AttrKey, uid: &Uid| Condition { key, test: Test::Equal(uid.as_str().to_owned()) };
    let mut conditions = vec![uid(key::STUDY_INSTANCE_UID, &row.study)];
    conditions.extend(row.series.iter().map(|series| uid(key::SERIES_INSTANCE_UID, series)));
    let query = Query { level, conditions, fuzzy: false };
    Ok(desk.archive.find(&desk.caller, Scope::Facility(row.facility), &query, 0, limit)?.rows)
}

fn series(desk: &Desk, row: &FoundRow, instances: bool) -> Result<Vec<Value>, Problem> {
    let mut all = Vec::new();
    for one in below(desk, row, Level::Series, SERIES_MAX)? {
        let text = |key: AttrKey| value(&one, key).trim();
        let mut series = Map::new();
        add(&mut series, "uid", one.series.as_ref().map(|uid| uid.as_str().to_owned()));
        add(&mut series, "number", count(text(key::SERIES_NUMBER)));
        // The element is needed; OT is DICOM's own word for any other.
        let modality = codes(text(key::MODALITY)).into_iter().next();
        add(&mut series, "modality", modality.unwrap_or_else(|| json!({"system": DCM, "code": "OT"})));
        add(&mut series, "description", text(key::SERIES_DESCRIPTION));
        add(&mut series, "numberOfInstances", count(text(key::NUMBER_OF_SERIES_RELATED_INSTANCES)));
        let begun = dates::of_dicom(text(key::SERIES_DATE), text(key::SERIES_TIME), "", desk.utc_offset);
        add(&mut series, "started", begun.map(|(shown, _)| shown));
        if instances {
            let told = below(desk, &one, Level::Instance, INSTANCES_MAX)?;
            add(&mut series, "instance", told.iter().map(instance).collect::<Vec<_>>());
        }
        all.push(Value::Object(series));
    }
    Ok(all)
}

fn instance(row: &FoundRow) -> Value {
    let mut instance = Map::new();
    add(&mut instance, "uid", row.instance.as_ref().map(|uid| uid.as_str().to_owned()));
    let class = format!("{OID}{}", value(row, key::SOP_CLASS_UID).trim());
    add(&mut instance, "sopClass", json!({"system": URIS, "code": class}));
    add(&mut instance, "number", count(value(row, key::INSTANCE_NUMBER)));
    Value::Object(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_as_people_write_them() {
        assert_eq!(name("Nguyễn^An^Văn"), "Nguyễn Văn An");
        assert_eq!(name("NGUYEN VAN AN"), "NGUYEN VAN AN");
        assert_eq!(name("^^=Nguyễn^An"), "Nguyễn An");
        assert_eq!(name("^"), "");
        assert_eq!((count("07"), count("-1"), count("x")), (Some(7), None, None));
    }
}
