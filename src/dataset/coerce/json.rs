//! The same splice in the DICOM JSON of an instance (PS3.18 Annex F).
//!
//! Places that BulkDataURIs name stay: they count in the stored data set, and Original Attributes Sequence grows at its
//! end. Deliberately not here: documents of many instances.

use super::{Coercion, SYSTEM};
use crate::vr::Vr;
use serde_json::{Map, Value, json};

fn name(tag: u32) -> String {
    format!("{tag:08X}")
}

fn member(vr: Vr, text: &str) -> Value {
    if text.is_empty() {
        return json!({ "vr": vr.as_str() });
    }
    let values: Vec<Value> = text.split('\\').map(|text| value(vr, text)).collect();
    json!({ "vr": vr.as_str(), "Value": values })
}

fn value(vr: Vr, text: &str) -> Value {
    if vr != Vr::PN {
        return text.into();
    }
    let groups = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(text.split('='));
    let named = groups.filter(|(_, text)| !text.is_empty());
    Value::Object(named.map(|(group, text)| (group.to_owned(), text.into())).collect())
}

/// Puts values and Original Attributes Sequence into the document of one instance.
pub fn coerced_json(document: &mut Map<String, Value>, coercion: &Coercion) {
    let mut previous = Map::new();
    for (tag, (vr, text)) in &coercion.values {
        let before = document.insert(name(*tag), member(*vr, text));
        previous.insert(name(*tag), before.unwrap_or_else(|| json!({ "vr": vr.as_str() })));
    }
    for (tag, vr) in coercion.blanked.iter().filter(|(tag, _)| !coercion.values.contains_key(*tag)) {
        if let Some(said) = document.get_mut(&name(*tag)) {
            previous.insert(name(*tag), std::mem::replace(said, member(*vr, "")));
        }
    }
    let item = json!({
        "04000550": { "vr": "SQ", "Value": [previous] },
        "04000562": { "vr": "DT", "Value": [coercion.at] },
        "04000563": { "vr": "LO", "Value": [SYSTEM] },
        "04000564": { "vr": "LO" },
        "04000565": { "vr": "CS", "Value": [coercion.reason] },
    });
    let original = document.entry("04000561").or_insert_with(|| json!({ "vr": "SQ" }));
    match original.get_mut("Value") {
        Some(Value::Array(items)) => items.push(item),
        _ => *original = json!({ "vr": "SQ", "Value": [item] }),
    }
}
