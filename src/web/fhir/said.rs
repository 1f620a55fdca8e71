//! What a resource says that a client sends: identifiers, references, codes and texts out of JSON.
//!
//! An element nobody asks for is passed over, as the standard allows; one that changes the meaning of others is refused.
//! Refusals name elements, never their values.

use super::desk::DCM;
use super::ids;
use super::tables::Resource;
use crate::problem::{Kind, Problem};
use model::FacilityCode;
use model::chart::Code;
use serde_json::Value;

/// A refusal of an element.
pub(crate) fn bad(element: &str, what: impl Into<String>) -> Problem {
    Problem::new(Kind::Unprocessable, what).at(format!("element {element}"))
}

/// Reads a body as a resource of a kind.
pub(crate) fn resource(bytes: &[u8], resource: Resource) -> Result<Value, Problem> {
    let wrong = |what: String| Problem::new(Kind::BadRequest, what).at("body");
    // The text of the error may quote a value, where it stands does not.
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| wrong(format!("no JSON at line {}, column {}", error.line(), error.column())))?;
    if value.get("resourceType").and_then(Value::as_str) != Some(resource.name()) {
        return Err(wrong(format!("a resource {} is needed", resource.name())));
    }
    if value.get("modifierExtension").is_some() {
        return Err(bad("modifierExtension", "an extension that changes the meaning is not understood"));
    }
    Ok(value)
}

/// A text at a place, trimmed; none where there is none or an empty one.
pub(crate) fn text<'a>(value: &'a Value, place: &str) -> Option<&'a str> {
    value.pointer(place).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// The items of a list; one that is no list is none.
pub(crate) fn list<'a>(value: &'a Value, element: &str) -> impl Iterator<Item = &'a Value> {
    value.get(element).and_then(Value::as_array).into_iter().flatten()
}

/// The value of the first identifier of a system, or of a type (HL7 table 0203).
pub(crate) fn number<'a>(value: &'a Value, system: &str, kind: &str) -> Option<&'a str> {
    let of_system = |one: &&Value| text(one, "/system") == Some(system);
    let of_kind = |one: &&Value| {
        !kind.is_empty()
            && list(one.get("type").unwrap_or(&Value::Null), "coding").any(|code| text(code, "/code") == Some(kind))
    };
    let found = list(value, "identifier").find(of_system).or_else(|| list(value, "identifier").find(of_kind));
    found.and_then(|one| text(one, "/value"))
}

/// The facility that an identifier says assigned it.
pub(crate) fn assigner(identifier: &Value) -> Option<FacilityCode> {
    FacilityCode::parse(text(identifier, "/assigner/identifier/value")?).ok()
}

/// The first identifier that says neither system nor type.
pub(crate) fn bare_number(value: &Value) -> Option<&str> {
    let bare = |one: &&Value| one.get("system").is_none() && one.get("type").is_none();
    list(value, "identifier").find(bare).and_then(|one| text(one, "/value"))
}

/// The id that a reference to a kind of resource names.
pub(crate) fn reference(value: Option<&Value>, target: Resource) -> Option<String> {
    let reference = text(value?, "/reference")?;
    let id = super::question::referred(reference, target);
    (!id.is_empty() && !id.starts_with('#')).then_some(id)
}

/// The facility and number that such a reference names.
pub(crate) fn referred(value: Option<&Value>, target: Resource) -> Option<(FacilityCode, String)> {
    reference(value, target).as_deref().and_then(ids::read)
}

/// The contained resource that a reference `#id` names.
pub(crate) fn contained<'a>(whole: &'a Value, reference: &Value) -> Option<&'a Value> {
    let id = text(reference, "/reference")?.strip_prefix('#')?;
    list(whole, "contained").find(|one| text(one, "/id") == Some(id))
}

/// The words of a CodeableConcept: its text, else the display of its first code.
pub(crate) fn words(concept: Option<&Value>) -> Option<String> {
    let concept = concept?;
    let coded = || list(concept, "coding").find_map(|code| text(code, "/display"));
    text(concept, "/text").or_else(coded).map(str::to_owned)
}

/// The first code of a CodeableConcept; a system without a designator of DICOM is left out.
pub(crate) fn code(concept: Option<&Value>) -> Option<Code> {
    let coding = list(concept?, "coding").find(|one| text(one, "/code").is_some())?;
    let scheme = text(coding, "/system").and_then(|system| SCHEMES.iter().find(|(uri, _)| *uri == system));
    Some(Code {
        value: text(coding, "/code").unwrap_or_default().to_owned(),
        scheme: scheme.map_or("", |(_, scheme)| *scheme).to_owned(),
        meaning: text(coding, "/display").unwrap_or_default().to_owned(),
    })
}

/// Systems of FHIR and designators of DICOM.
pub(crate) const SCHEMES: &[(&str, &str)] =
    &[("http://snomed.info/sct", "SCT"), (DCM, "DCM"), ("http://loinc.org", "LN")];
