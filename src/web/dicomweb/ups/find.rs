//! Searching for procedure steps (PS3.18 section 11.9): query parameters become keys, matches whole steps.
//!
//! `includefield` and `fuzzymatching` change nothing: every attribute is answered, and names match without accents.

use super::facilities;
use crate::app::Call;
use crate::dicomweb::{qido, warn};
use crate::problem::{Kind, Problem};
use archive::Archive;
use archive::ups::Document;
use archive::ups::matching::Keys;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// Deepest path of a key.
const DEPTH_MAX: usize = 8;
/// Steps read at once.
const PAGE: usize = 256;

fn bad(detail: impl Into<String>, name: &str) -> Problem {
    let name: String = name.chars().take(80).collect();
    Problem::new(Kind::BadRequest, detail).at(format!("query parameter {name}"))
}

/// Which matches are wanted.
#[derive(Debug, Clone, Copy)]
struct Window {
    offset: usize,
    limit: usize,
    /// The limit is ours.
    cut: bool,
}

/// Answers a search.
pub(crate) async fn find(call: Call) -> Result<Response, Problem> {
    let form = qido::form(&call.accepts()?)?;
    let window = window(&call)?;
    let mut identifier = Document::new();
    for (name, value) in &call.query {
        if !is_option(name) {
            add(&mut identifier, name, value)?;
        }
    }
    let keys = Keys::read(&identifier)?;
    let (caller, scope) = (call.caller.clone(), call.scope);
    let (body, more) = call
        .blocking(move |archive| {
            let (steps, more) = matches(archive, &caller, scope, &keys, window)?;
            Ok((body(form, &steps)?, more))
        })
        .await?;
    let mut response = qido::respond(form, body);
    if more && window.cut {
        let note = "The number of results exceeded the maximum supported by the server; ask for the rest with offset.";
        warn(&mut response, &[note.to_owned()]);
    }
    Ok(response)
}

fn matches(
    archive: &Arc<Archive>,
    caller: &model::Caller,
    scope: model::Scope,
    keys: &Keys,
    window: Window,
) -> Result<(Vec<Document>, bool), Problem> {
    let ups = archive.ups();
    let (mut steps, mut skip) = (Vec::new(), window.offset);
    for facility in facilities(ups, caller, scope) {
        let mut after = None;
        loop {
            let page = ups.find(caller, facility, keys, after.as_ref(), PAGE)?;
            for step in page.steps {
                if skip > 0 {
                    skip = skip.saturating_sub(1);
                } else if steps.len() >= window.limit {
                    return Ok((steps, true));
                } else {
                    steps.push(step);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok((steps, false))
}

/// Steps as they are answered.
pub(super) fn body(form: qido::Form, steps: &[Document]) -> Result<qido::Body, Problem> {
    let fault = |_| Problem::new(Kind::Internal, "the answer could not be written");
    Ok(match form {
        qido::Form::Xml => {
            let document = |step: &Document| {
                let mut out = String::new();
                dataset::xml::document_xml(step, &mut out);
                out
            };
            qido::Body::Xml(steps.iter().map(document).collect())
        }
        _ => qido::Body::Json(serde_json::to_vec(steps).map_err(fault)?),
    })
}

fn window(call: &Call) -> Result<Window, Problem> {
    let options = &call.app.options;
    let number = |name: &str| match call.query_value(name) {
        None => Ok(None),
        Some(text) => {
            let number = text.trim().parse::<usize>();
            number.map(Some).map_err(|_| bad(format!("{name} takes a whole number from 0"), name))
        }
    };
    let wanted = number("limit")?.unwrap_or(options.find_limit_default);
    let offset = number("offset")?.unwrap_or(0);
    if u64::try_from(offset).unwrap_or(u64::MAX) > options.find_offset_max {
        return Err(bad(format!("offset is at most {}", options.find_offset_max), "offset"));
    }
    let limit = wanted.min(options.find_limit_max);
    Ok(Window { offset, limit, cut: wanted > limit || call.query_value("limit").is_none() })
}

fn is_option(name: &str) -> bool {
    let options = ["limit", "offset", "includefield", "fuzzymatching", "accept", "charset", "emptyvaluematching"];
    options.iter().any(|option| name.eq_ignore_ascii_case(option))
}

/// The keys of a filtered subscription: `filter=KEY=VALUE,KEY=VALUE`, or parameters of their own.
pub(super) fn filter(call: &Call) -> Result<Document, Problem> {
    let mut identifier = Document::new();
    for (name, value) in &call.query {
        if name.eq_ignore_ascii_case("filter") {
            for pair in value.split(',').filter(|pair| !pair.trim().is_empty()) {
                let (key, value) = pair.split_once('=').ok_or_else(|| bad("filter takes KEY=VALUE,…", "filter"))?;
                add(&mut identifier, key.trim(), value)?;
            }
        } else if !is_option(name) && !name.eq_ignore_ascii_case("deletionlock") {
            add(&mut identifier, name, value)?;
        }
    }
    Ok(identifier)
}

/// Adds a key: tags or keywords of sequences and an attribute, joined by dots.
fn add(identifier: &mut Document, name: &str, value: &str) -> Result<(), Problem> {
    let number = |part: &str| {
        let tag = (part.len() == 8).then(|| u32::from_str_radix(part, 16).ok()).flatten();
        tag.or_else(|| dataset::tag_of_keyword(part))
    };
    let tags: Option<Vec<u32>> = name.split('.').map(number).collect();
    let unknown = || bad("this is neither a parameter of a search nor an attribute by tag, keyword or path", name);
    let tags = tags.filter(|tags| tags.len() <= DEPTH_MAX).ok_or_else(unknown)?;
    let (attribute, sequences) = tags.split_last().ok_or_else(unknown)?;
    let mut level = identifier;
    for sequence in sequences {
        let member = level.entry(format!("{sequence:08X}")).or_insert_with(|| json!({"vr": "SQ", "Value": [{}]}));
        level = member.pointer_mut("/Value/0").and_then(Value::as_object_mut).ok_or_else(unknown)?;
    }
    let listed = dataset::dictionary_vr(*attribute).map(|listed| listed.relaxed().to_string());
    let vr = listed.unwrap_or_else(|| "LO".to_owned());
    let values: Vec<&str> = match vr.as_str() {
        "UI" => value.split([',', '\\']).map(str::trim).filter(|one| !one.is_empty()).collect(),
        _ => Some(value).filter(|value| !value.is_empty()).into_iter().collect(),
    };
    let member = if values.is_empty() { json!({"vr": vr}) } else { json!({"vr": vr, "Value": values}) };
    level.insert(format!("{attribute:08X}"), member);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_keys_at_any_depth_and_nonsense_is_refused() {
        let mut keys = Document::new();
        for (name, value) in [
            ("ProcedureStepState", "SCHEDULED"),
            ("ScheduledWorkitemCodeSequence.CodeValue", "READ"),
            ("00404018.00080102", "99X"),
            ("SOPInstanceUID", "1.2,1.3"),
            ("PatientID", ""),
        ] {
            add(&mut keys, name, value).expect(name);
        }
        let wanted = json!({
            "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
            "00404018": {"vr": "SQ", "Value": [{
                "00080100": {"vr": "SH", "Value": ["READ"]}, "00080102": {"vr": "SH", "Value": ["99X"]},
            }]},
            "00080018": {"vr": "UI", "Value": ["1.2", "1.3"]},
            "00100020": {"vr": "LO"},
        });
        assert_eq!(Value::Object(keys.clone()), wanted);
        for bad in ["", "nothing", "PatientID.CodeValue", &["00404018"; 20].join(".")] {
            assert!(add(&mut keys, bad, "x").is_err(), "{bad}");
        }
    }
}
