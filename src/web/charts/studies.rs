//! Studies of one facility for charts and launch links: found by several questions at once, newest first.

use super::find;
use crate::problem::Problem;
use archive::charts::{ChartError, Charts};
use archive::{Archive, FoundRow};
use model::attribute::key;
use model::chart::{ChartBody, ChartKind, Order, Term, Verdict};
use model::query::{Condition, Query, Test};
use model::{AttrKey, Caller, FacilityCode, Level, Scope, Uid};
use serde_json::{Value, json};

/// Most studies of one answer.
pub(crate) const STUDIES_MAX: usize = 200;
/// Orders looked at for one accession number, visit or patient.
pub(crate) const ORDERS_MAX: usize = 200;

/// Studies that satisfy any of the questions, newest first, and whether there are more.
pub(crate) fn any(
    archive: &Archive,
    caller: &Caller,
    facility: FacilityCode,
    questions: Vec<Condition>,
) -> Result<(Vec<FoundRow>, bool), Problem> {
    let (mut rows, mut more) = (Vec::<FoundRow>::new(), false);
    for condition in questions {
        let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
        let found = archive.find(caller, Scope::Facility(facility), &query, 0, STUDIES_MAX)?;
        more |= found.more;
        for row in found.rows {
            if !rows.iter().any(|one| one.study == row.study) {
                rows.push(row);
            }
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(moment(row)));
    more |= rows.len() > STUDIES_MAX;
    rows.truncate(STUDIES_MAX);
    Ok((rows, more))
}

/// The value of an attribute; empty when there is none.
pub(crate) fn value(row: &FoundRow, key: AttrKey) -> &str {
    row.attributes.get(&key).map_or("", String::as_str)
}

/// Date and time of a study, `YYYYMMDDHHMMSS`; empty without a date.
pub(crate) fn moment(row: &FoundRow) -> String {
    let date = value(row, key::STUDY_DATE);
    if date.is_empty() {
        return String::new();
    }
    let time: String = value(row, key::STUDY_TIME).chars().filter(char::is_ascii_digit).take(6).collect();
    format!("{date}{time:0<6}")
}

/// Studies by their UIDs.
pub(crate) fn by_uids(uids: impl IntoIterator<Item = Uid>) -> Option<Condition> {
    let uids: Vec<String> = uids.into_iter().map(|uid| uid.as_str().to_owned()).collect();
    (!uids.is_empty()).then_some(Condition { key: key::STUDY_INSTANCE_UID, test: Test::OneOf(uids) })
}

/// Studies by exactly this text; none by a text that no attribute can hold.
pub(crate) fn by_text(key: AttrKey, text: &str) -> Option<Condition> {
    let text = text.trim();
    let sound = !text.is_empty() && !text.contains('\\');
    sound.then(|| Condition { key, test: Test::Equal(text.to_owned()) })
}

/// Orders with this accession number, ours or the sender's.
pub(crate) fn orders(
    charts: &Charts,
    caller: &Caller,
    facility: FacilityCode,
    by: Term,
    text: &str,
) -> Result<Vec<Order>, ChartError> {
    let query = find::equal(ChartKind::Order, facility, by, text);
    let rows = charts.find(caller, &query, None, ORDERS_MAX)?.rows;
    let orders = rows.into_iter().filter_map(|row| match row.body {
        ChartBody::Order(order) => Some(*order),
        _ => None,
    });
    Ok(orders.collect())
}

/// Studies that a person matched with an order of the patient with this number.
pub(crate) fn matched(
    charts: &Charts,
    caller: &Caller,
    facility: FacilityCode,
    number: &str,
) -> Result<Vec<Uid>, ChartError> {
    let query = find::equal(ChartKind::Match, facility, Term::Mrn, number);
    let rows = charts.find(caller, &query, None, ORDERS_MAX)?.rows;
    let studies = rows.into_iter().filter_map(|row| match row.body {
        ChartBody::Match(one) if one.verdict == Verdict::Matched && one.by.is_some() => Some(one.study),
        _ => None,
    });
    Ok(studies.collect())
}

/// A study as it is answered; `base` is the URL of the service, `viewer` whether it has a viewer.
pub(crate) fn shown(row: &FoundRow, base: &str, viewer: bool) -> Value {
    let number = |key: AttrKey| value(row, key).parse::<u64>().unwrap_or(0);
    let modalities: Vec<&str> =
        value(row, key::MODALITIES_IN_STUDY).split('\\').filter(|one| !one.is_empty()).collect();
    let mut view = json!({
        "study": row.study,
        "accession": value(row, key::ACCESSION_NUMBER),
        "mrn": value(row, key::PATIENT_ID),
        "date": value(row, key::STUDY_DATE),
        "time": value(row, key::STUDY_TIME),
        "modalities": modalities,
        "description": value(row, key::STUDY_DESCRIPTION),
        "series": number(key::NUMBER_OF_STUDY_RELATED_SERIES),
        "instances": number(key::NUMBER_OF_STUDY_RELATED_INSTANCES),
        "availability": value(row, key::INSTANCE_AVAILABILITY),
        "retrieve": format!("{base}/facilities/{}/dicom-web/studies/{}", row.facility, row.study.as_str()),
    });
    if let (Some(object), true) = (view.as_object_mut(), viewer) {
        object.insert("viewer".into(), format!("{base}{}", viewer_path(&row.study)).into());
    }
    view
}

/// Where the viewer shows a study, below the service.
pub(crate) fn viewer_path(study: &Uid) -> String {
    format!("/viewer/viewer?StudyInstanceUIDs={}", study.as_str())
}
