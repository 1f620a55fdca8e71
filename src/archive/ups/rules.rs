//! What a step must have and what may be set (PS3.4 table CC.2.5-3).
//!
//! Strict where a value decides something; what is only to be present, with or without a value, is supplied and said
//! with the warning "created with modifications". Deliberately not checked: codes inside of sequences.

use super::event::{first_item, has_items};
use super::matching::label;
use super::{Document, StepState, UpsError, tag, time};
use model::FacilityCode;
use serde_json::{Value, json};

/// Required with a value in a new step (type 1), never set to nothing later.
const REQUIRED: &[&str] = &[tag::PRIORITY, "00741204", tag::START, tag::READINESS, tag::STATE];
/// Required, with or without a value (type 2), and their VRs.
const PRESENT: &[(&str, &str)] = &[
    ("00081080", "LO"),
    ("00081084", "SQ"),
    ("00100010", "PN"),
    ("00100020", "LO"),
    ("00100030", "DA"),
    ("00100040", "CS"),
    ("0020000D", "UI"),
    ("00380010", "LO"),
    ("00380014", "SQ"),
    ("00400400", "LT"),
    ("00404018", "SQ"),
    ("00404021", "SQ"),
    ("00404025", "SQ"),
    ("00404026", "SQ"),
    ("00404027", "SQ"),
    ("0040A370", "SQ"),
    (tag::PROGRESS, "SQ"),
    (tag::WORKLIST, "LO"),
    ("00741210", "SQ"),
    (tag::PERFORMED, "SQ"),
];
/// Set when a step is created and never again.
pub const FIXED: &[&str] = &[
    "00080016", "00080018", "00100010", "00100020", "00100021", "00100024", "00100030", "00100040", "00101002",
    "00380010", "00380014", "0040A370", "00741224",
];
/// Attributes with few values.
const TERMS: &[(&str, &[&str])] =
    &[(tag::PRIORITY, &["HIGH", "MEDIUM", "LOW"]), (tag::READINESS, &["INCOMPLETE", "UNAVAILABLE", "READY"])];

/// The first value of an attribute as text.
pub(super) fn text<'a>(document: &'a Document, name: &str) -> &'a str {
    let value = document.get(name).and_then(|member| member.get("Value")).and_then(|values| values.get(0));
    value.and_then(Value::as_str).unwrap_or_default().trim_matches([' ', '\0'])
}

fn has_value(document: &Document, name: &str) -> bool {
    let values = document.get(name).and_then(|member| member.get("Value")).and_then(Value::as_array);
    values.is_some_and(|values| values.iter().any(|value| !value.is_null() && value.as_str() != Some("")))
}

/// The tag that a member's name stands for.
fn number(name: &str) -> Result<u32, UpsError> {
    let number = (name.len() == 8).then(|| u32::from_str_radix(name, 16).ok()).flatten();
    number.ok_or_else(|| UpsError::Invalid("a member is no tag of eight digits".into()))
}

/// Names inside a sequence's items become upper case too: whatever is looked for by its name, the study that a step
/// names above all, is found at every depth. Documents are no deeper than what parsed them allows.
fn nested(name: &str, member: &mut Value) -> Result<(), UpsError> {
    let vr = member.get("vr").and_then(Value::as_str).unwrap_or_default().to_owned();
    let values = member.get_mut("Value").and_then(Value::as_array_mut);
    for value in values.into_iter().flatten() {
        match (value, vr.as_str()) {
            (Value::Object(item), "SQ") => {
                for (name, mut inside) in std::mem::take(item) {
                    let tag = number(&name)?;
                    nested(&name, &mut inside)?;
                    item.insert(format!("{tag:08X}"), inside);
                }
            }
            // A person's name by its groups.
            (Value::Object(_), "PN") => {}
            (Value::Object(_), _) => return Err(UpsError::Invalid(format!("{} has items and is no SQ", label(name)))),
            _ => {}
        }
    }
    Ok(())
}

/// Names become eight upper case hexadecimal digits, members must be objects; groups that are no part of a step go.
///
/// # Errors
/// [`UpsError::Invalid`].
pub(super) fn sound(document: Document) -> Result<Document, UpsError> {
    let mut out = Document::new();
    for (name, mut member) in document {
        let number = number(&name)?;
        nested(&name, &mut member)?;
        if !member.is_object() || member.get("BulkDataURI").is_some() {
            return Err(UpsError::Invalid(format!("{} has no value that can be kept", label(&name))));
        }
        if number >> 16 > 0x0002 && number & 0xFFFF != 0 {
            out.insert(format!("{number:08X}"), member);
        }
    }
    out.remove(tag::SPECIFIC_CHARACTER_SET);
    Ok(out)
}

/// Checks a new step and supplies what it may lack; whether something was supplied.
///
/// # Errors
/// What is missing or wrong.
pub(super) fn create(document: &mut Document, facility: FacilityCode) -> Result<bool, UpsError> {
    for name in REQUIRED {
        if !document.contains_key(*name) {
            return Err(UpsError::Missing(label(name)));
        }
        if !has_value(document, name) {
            return Err(UpsError::Empty(label(name)));
        }
    }
    if text(document, tag::STATE) != StepState::Scheduled.term() {
        return Err(UpsError::NotScheduled);
    }
    values(document)?;
    for name in [tag::PROGRESS, tag::PERFORMED] {
        if has_items(document, name) {
            return Err(UpsError::Invalid(format!("{} is empty in a new step", label(name))));
        }
    }
    let mut modified = document.remove(tag::TRANSACTION).is_some();
    for (name, vr) in PRESENT {
        if !document.contains_key(*name) {
            document.insert((*name).to_owned(), json!({"vr": vr}));
            modified = true;
        }
    }
    // These the provider fills by itself.
    if !has_value(document, tag::WORKLIST) {
        document.insert(tag::WORKLIST.into(), json!({"vr": "LO", "Value": [facility.as_str()]}));
    }
    if !has_value(document, tag::EXPECTED_END) {
        let start = text(document, tag::START).to_owned();
        document.insert(tag::EXPECTED_END.into(), json!({"vr": "DT", "Value": [start]}));
    }
    Ok(modified)
}

fn values(document: &Document) -> Result<(), UpsError> {
    for (name, terms) in TERMS {
        if document.contains_key(*name) && !terms.contains(&text(document, name)) {
            return Err(UpsError::Invalid(format!("{} takes {}", label(name), terms.join(", "))));
        }
    }
    for name in [tag::START, tag::EXPECTED_END] {
        if has_value(document, name) && !time::is_date_time(text(document, name)) {
            return Err(UpsError::Invalid(format!("{} takes a date and time", label(name))));
        }
    }
    Ok(())
}

/// Checks what is to be set in a step.
///
/// # Errors
/// What may not be set, or not so.
pub(super) fn update(changes: &Document, current: &Document) -> Result<(), UpsError> {
    if changes.get(tag::STATE).is_some_and(|state| Some(state) != current.get(tag::STATE)) {
        return Err(UpsError::OnlyCreated);
    }
    for name in FIXED {
        if changes.get(*name).is_some_and(|value| Some(value) != current.get(*name)) {
            return Err(UpsError::Invalid(format!("{} is not changed any more", label(name))));
        }
    }
    for name in REQUIRED.iter().filter(|name| changes.contains_key(**name)) {
        if !has_value(changes, name) {
            return Err(UpsError::Empty(label(name)));
        }
    }
    values(changes)
}

/// Checks what a step must have before it ends in a state.
///
/// # Errors
/// [`UpsError::FinalState`] names what is missing.
pub(super) fn end(document: &Document, state: StepState) -> Result<(), UpsError> {
    let (sequence, with_value, present): (&str, &[&str], &[&str]) = match state {
        StepState::Completed => (tag::PERFORMED, &["00404019", "00404028", "00404050", "00404051"], &["00404033"]),
        _ => (tag::PROGRESS, &[tag::CANCELED_AT, tag::DISCONTINUATION], &[]),
    };
    let missing = |name: &str| Err(UpsError::FinalState(format!("{} is missing", label(name))));
    let Some(item) = first_item(document, sequence) else { return missing(sequence) };
    if let Some(name) = with_value.iter().find(|name| !has_value(item, name)) {
        return missing(name);
    }
    match present.iter().find(|name| !item.contains_key(**name)) {
        Some(name) => missing(name),
        None => Ok(()),
    }
}

/// Writes what a cancel before the start leaves in a step: when, and why.
pub(super) fn canceled(document: &mut Document, request: &Document, now: u64) {
    let mut progress = Document::new();
    progress.insert(tag::CANCELED_AT.into(), json!({"vr": "DT", "Value": [time::date_time(now)]}));
    let unspecified = json!({"vr": "SQ", "Value": [{
        "00080100": {"vr": "SH", "Value": ["110513"]},
        "00080102": {"vr": "SH", "Value": ["DCM"]},
        "00080104": {"vr": "LO", "Value": ["Discontinued for unspecified reason"]},
    }]});
    let reason = request.get(tag::DISCONTINUATION).filter(|_| has_items(request, tag::DISCONTINUATION));
    progress.insert(tag::DISCONTINUATION.into(), reason.cloned().unwrap_or(unspecified));
    if let Some(reason) = request.get(tag::REASON) {
        progress.insert(tag::REASON.into(), reason.clone());
    }
    document.insert(tag::PROGRESS.into(), json!({"vr": "SQ", "Value": [progress]}));
}
