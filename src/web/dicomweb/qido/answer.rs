//! Which attributes a match is answered with (PS3.18 section 10.6.3.3), and its JSON and XML.

use super::question::Question;
use archive::{Found, FoundRow};
use model::attribute::{ATTRIBUTES, Attribute, key};
use model::{AttrKey, Level};

/// Retrieve URL (0008,1190).
const RETRIEVE_URL: AttrKey = AttrKey::root(0x0008_1190);
/// Specific Character Set (0008,0005): every answer is UTF-8.
const SPECIFIC_CHARACTER_SET: AttrKey = AttrKey::root(0x0008_0005);

/// Required in every answer, with an empty value when there is none; the other default attributes only with a value.
const ALWAYS: &[AttrKey] = &[
    key::STUDY_DATE,
    key::STUDY_TIME,
    key::ACCESSION_NUMBER,
    key::REFERRING_PHYSICIAN_NAME,
    key::PATIENT_NAME,
    key::PATIENT_ID,
    key::PATIENT_BIRTH_DATE,
    key::PATIENT_SEX,
    key::STUDY_ID,
    key::MODALITY,
    key::SERIES_NUMBER,
    key::INSTANCE_NUMBER,
];

/// UIDs by which a match is retrieved: always answered.
const UIDS: &[AttrKey] = &[key::STUDY_INSTANCE_UID, key::SERIES_INSTANCE_UID, key::SOP_INSTANCE_UID];

/// The matches as one DICOM JSON array.
pub(super) fn json(found: &Found, question: &Question, root: &str) -> Vec<u8> {
    let wanted = wanted(question);
    let mut out = Vec::with_capacity(found.rows.len().saturating_mul(1024).saturating_add(2));
    out.push(b'[');
    for (position, row) in found.rows.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        with_values(row, &wanted, root, |values| dataset::json::attributes_json(values, &mut out));
    }
    out.push(b']');
    out
}

/// The matches, one XML document each.
pub(super) fn xml(found: &Found, question: &Question, root: &str) -> Vec<String> {
    let wanted = wanted(question);
    let document = |row: &FoundRow| {
        let mut out = String::new();
        with_values(row, &wanted, root, |values| dataset::xml::attributes_xml(values, &mut out));
        out
    };
    found.rows.iter().map(document).collect()
}

/// The attributes of an answer, and whether they appear without a value too.
fn wanted(question: &Question) -> Vec<(&'static Attribute, bool)> {
    let fields = &question.fields;
    let rows = ATTRIBUTES.iter().filter(|row| row.level <= question.query.level);
    let rows = rows.filter_map(|row| {
        let named = fields.named.contains(&row.key);
        // The levels above come by themselves only where the path does not name them.
        let by_default =
            row.default && (row.level == question.query.level || !question.scoped_levels.contains(&row.level));
        let taken = named || by_default || fields.all || UIDS.contains(&row.key);
        taken.then(|| (row, named || (by_default && ALWAYS.contains(&row.key))))
    });
    rows.collect()
}

fn with_values(
    row: &FoundRow,
    wanted: &[(&'static Attribute, bool)],
    root: &str,
    write: impl FnOnce(&[(AttrKey, &str, &str)]),
) {
    let url = retrieve_url(row, root);
    let mut values = Vec::with_capacity(wanted.len() + 2);
    values.push((SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 192"));
    for (attribute, even_empty) in wanted {
        let value = match row.attributes.get(&attribute.key) {
            Some(value) => value.as_str(),
            None if attribute.key == key::INSTANCE_AVAILABILITY => "ONLINE",
            None => "",
        };
        if *even_empty || !value.is_empty() {
            values.push((attribute.key, attribute.vr, value));
        }
    }
    values.push((RETRIEVE_URL, "UR", &url));
    write(&values);
}

fn retrieve_url(row: &FoundRow, root: &str) -> String {
    let mut url = format!("{root}/studies/{}", row.study);
    if let Some(series) = row.series.as_ref().filter(|_| row.level != Level::Study) {
        url.push_str(&format!("/series/{series}"));
    }
    if let Some(instance) = row.instance.as_ref().filter(|_| row.level == Level::Instance) {
        url.push_str(&format!("/instances/{instance}"));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicomweb::qido::question;
    use crate::options::Options;
    use model::{FacilityCode, Uid};
    use serde_json::Value;

    fn answer(level: Level, scoped: usize, query: &str) -> Value {
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let mut attributes = model::Attributes::new();
        for (key, value) in [
            (key::STUDY_INSTANCE_UID, "1.2"),
            (key::SERIES_INSTANCE_UID, "1.3"),
            (key::SOP_INSTANCE_UID, "1.4"),
            (key::PATIENT_NAME, "Nguyễn^An"),
            (key::MODALITY, "CT"),
            (key::INSTITUTION_NAME, "Bệnh viện"),
            (key::ROWS, "512"),
        ] {
            attributes.insert(key, value.to_owned());
        }
        let row = FoundRow {
            facility: FacilityCode::DEMO,
            level,
            study: uid("1.2"),
            series: Some(uid("1.3")),
            instance: Some(uid("1.4")),
            attributes,
        };
        let found = Found { rows: vec![row.clone(), row], more: false, notes: Vec::new() };
        let uids = [uid("1.2"), uid("1.3")];
        let parameters = question::split_query(query).expect("query");
        let scoped = uids.get(..scoped).expect("two at most");
        let question = question::parse(level, scoped, &parameters, &Options::default()).expect("question");
        assert_eq!(xml(&found, &question, "http://h/dicom-web").len(), 2);
        let rows: Value = serde_json::from_slice(&json(&found, &question, "http://h/dicom-web")).expect("JSON");
        rows.get(0).cloned().expect("a row")
    }

    fn has(row: &Value, key: AttrKey) -> bool {
        row.get(key.to_string()).is_some()
    }

    #[test]
    fn a_study_carries_its_required_attributes_even_empty() {
        let row = answer(Level::Study, 0, "");
        assert!(has(&row, key::PATIENT_NAME) && has(&row, key::STUDY_DATE) && !has(&row, key::MODALITY));
        assert!(!has(&row, key::INSTITUTION_NAME) && !has(&row, key::TIMEZONE_OFFSET_FROM_UTC));
        assert_eq!(row.pointer("/00080056/Value/0"), Some(&Value::from("ONLINE")));
        assert_eq!(row.pointer("/00081190/Value/0"), Some(&Value::from("http://h/dicom-web/studies/1.2")));
        let more = answer(Level::Study, 0, "includefield=InstitutionName,PatientAge");
        assert!(has(&more, key::INSTITUTION_NAME) && has(&more, key::PATIENT_AGE));
        assert!(has(&answer(Level::Study, 0, "includefield=all"), key::INSTITUTION_NAME));
    }

    #[test]
    fn the_levels_above_come_unless_the_path_names_them() {
        let all = answer(Level::Instance, 0, "");
        assert!(has(&all, key::PATIENT_NAME) && has(&all, key::MODALITY) && has(&all, key::ROWS));
        let scoped = answer(Level::Instance, 2, "");
        assert!(!has(&scoped, key::PATIENT_NAME) && !has(&scoped, key::MODALITY) && has(&scoped, key::ROWS));
        assert!(has(&scoped, key::STUDY_INSTANCE_UID) && has(&scoped, key::SERIES_INSTANCE_UID));
        let url = scoped.pointer("/00081190/Value/0").and_then(Value::as_str);
        assert_eq!(url, Some("http://h/dicom-web/studies/1.2/series/1.3/instances/1.4"));
        assert!(has(&answer(Level::Instance, 2, "PatientName=A"), key::PATIENT_NAME), "asked keys are answered");
    }
}
