//! The Native DICOM Model (PS3.19 Annex A) read into DICOM JSON, which [`crate::compose`] writes as a data set.
//!
//! One element is looked at at a time; nothing outside the document is ever loaded.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use serde_json::{Map, Value, json};

/// Deepest nesting of elements.
const DEPTH_MAX: usize = 400;

/// Why a document is no Native DICOM Model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the XML cannot be read at byte {at}: {what}")]
pub struct XmlError {
    /// Where.
    pub at: u64,
    /// What is wrong; no value of the document.
    pub what: &'static str,
}

/// What is open, from the outermost element inwards.
enum Open {
    DataSet(Map<String, Value>),
    Attribute { tag: String, member: Map<String, Value>, values: Vec<Value> },
    Person(Map<String, Value>),
    Group { name: &'static str, parts: [String; 5] },
    Text { kind: Kind, text: String },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    Binary,
    /// A component of a name, by its place.
    Component(usize),
}

/// Reads one document into a DICOM JSON object.
///
/// # Errors
/// What is not well formed, or not of the model.
pub fn document(bytes: &[u8]) -> Result<Map<String, Value>, XmlError> {
    let mut reader = Reader::from_reader(bytes);
    let mut open: Vec<Open> = Vec::new();
    let mut document = None;
    loop {
        let at = reader.buffer_position();
        let failed = |what: &'static str| XmlError { at, what };
        let event = reader.read_event().map_err(|_| failed("it is not well formed"))?;
        match event {
            Event::Start(start) => open.push(begin(&start, &open).ok_or_else(|| failed("an unexpected element"))?),
            Event::Empty(start) => {
                let one = begin(&start, &open).ok_or_else(|| failed("an unexpected element"))?;
                open.push(one);
                end(&mut open, &mut document).ok_or_else(|| failed("an element in the wrong place"))?;
            }
            Event::End(_) => end(&mut open, &mut document).ok_or_else(|| failed("an element in the wrong place"))?,
            Event::Text(text) => {
                let text = text.decode().map_err(|_| failed("text that is not UTF-8"))?;
                add(&mut open, &text);
            }
            Event::CData(text) => {
                let text = text.decode().map_err(|_| failed("text that is not UTF-8"))?;
                add(&mut open, &text);
            }
            Event::GeneralRef(reference) => {
                let text = entity(&reference).ok_or_else(|| failed("an entity that XML does not define"))?;
                add(&mut open, &text);
            }
            Event::DocType(_) => return Err(failed("a document type is not taken")),
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
        }
        if open.len() > DEPTH_MAX {
            return Err(failed("it is nested too deep"));
        }
    }
    document.filter(|_| open.is_empty()).ok_or(XmlError { at: reader.buffer_position(), what: "it ends too early" })
}

fn entity(reference: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Ok(Some(letter)) = reference.resolve_char_ref() {
        return Some(letter.to_string());
    }
    quick_xml::escape::resolve_xml_entity(&reference.decode().ok()?).map(str::to_owned)
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = start.attributes().flatten().find(|one| one.key.local_name().as_ref() == name.as_bytes())?;
    found.normalized_value(XmlVersion::Implicit1_0).ok().map(|text| text.into_owned())
}

fn begin(start: &BytesStart<'_>, open: &[Open]) -> Option<Open> {
    let name = start.local_name();
    Some(match (open.last(), name.as_ref()) {
        (None, b"NativeDicomModel") | (Some(Open::Attribute { .. }), b"Item") => Open::DataSet(Map::new()),
        (Some(Open::DataSet(_)), b"DicomAttribute") => {
            let mut member = Map::new();
            if let Some(vr) = attribute(start, "vr") {
                member.insert("vr".into(), vr.into());
            }
            Open::Attribute { tag: attribute(start, "tag")?.to_ascii_uppercase(), member, values: Vec::new() }
        }
        (Some(Open::Attribute { .. }), b"Value") => Open::Text { kind: Kind::Value, text: String::new() },
        (Some(Open::Attribute { .. }), b"InlineBinary") => Open::Text { kind: Kind::Binary, text: String::new() },
        (Some(Open::Attribute { .. }), b"BulkData") => {
            let uri = attribute(start, "uri").or_else(|| attribute(start, "uuid"))?;
            Open::DataSet(Map::from_iter([("BulkDataURI".to_owned(), uri.into())]))
        }
        (Some(Open::Attribute { .. }), b"PersonName") => Open::Person(Map::new()),
        (Some(Open::Person(_)), b"Alphabetic") => Open::Group { name: "Alphabetic", parts: Default::default() },
        (Some(Open::Person(_)), b"Ideographic") => Open::Group { name: "Ideographic", parts: Default::default() },
        (Some(Open::Person(_)), b"Phonetic") => Open::Group { name: "Phonetic", parts: Default::default() },
        (Some(Open::Group { .. }), part) => {
            let names: [&[u8]; 5] = [b"FamilyName", b"GivenName", b"MiddleName", b"NamePrefix", b"NameSuffix"];
            let at = names.iter().position(|name| *name == part)?;
            Open::Text { kind: Kind::Component(at), text: String::new() }
        }
        _ => return None,
    })
}

fn add(open: &mut [Open], more: &str) {
    if let Some(Open::Text { text, .. }) = open.last_mut() {
        text.push_str(more);
    }
}

fn end(open: &mut Vec<Open>, document: &mut Option<Map<String, Value>>) -> Option<()> {
    let done = open.pop()?;
    match (done, open.last_mut()) {
        (Open::DataSet(members), None) => *document = Some(members),
        (Open::DataSet(members), Some(Open::Attribute { member, values, .. })) => match members.get("BulkDataURI") {
            Some(Value::String(uri)) => drop(member.insert("BulkDataURI".into(), uri.clone().into())),
            _ => values.push(Value::Object(members)),
        },
        (Open::Attribute { tag, mut member, values }, Some(Open::DataSet(members))) => {
            if !values.is_empty() {
                member.insert("Value".into(), Value::Array(values));
            }
            members.insert(tag, Value::Object(member));
        }
        (Open::Person(groups), Some(Open::Attribute { values, .. })) => values.push(Value::Object(groups)),
        (Open::Group { name, parts }, Some(Open::Person(groups))) => {
            let joined = parts.join("^");
            groups.insert(name.into(), joined.trim_end_matches('^').into());
        }
        (Open::Text { kind: Kind::Component(at), text }, Some(Open::Group { parts, .. })) => {
            *parts.get_mut(at)? = text;
        }
        (Open::Text { kind: Kind::Value, text }, Some(Open::Attribute { values, .. })) => values.push(json!(text)),
        (Open::Text { kind: Kind::Binary, text }, Some(Open::Attribute { member, .. })) => {
            let plain: String = text.split_whitespace().collect();
            member.insert("InlineBinary".into(), plain.into());
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let wanted = json!({
            "00080018": {"vr": "UI", "Value": ["1.2.3"]},
            "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^Ánh", "Ideographic": "阮"}]},
            "00100020": {"vr": "LO", "Value": ["a<&\"b"]},
            "00420011": {"vr": "OB", "InlineBinary": "AQID"},
            "00420012": {"vr": "LO"},
            "7FE00010": {"vr": "OW", "BulkDataURI": "http://h/b?a=1&b=2"},
        });
        let mut text = String::new();
        crate::xml::document_xml(wanted.as_object().expect("an object"), &mut text);
        assert_eq!(Value::Object(document(text.as_bytes()).expect("readable")), wanted);
    }

    #[test]
    fn hostile_documents_are_refused() {
        for bad in [
            "",
            "<NativeDicomModel>",
            "<other/>",
            "<NativeDicomModel><DicomAttribute/></NativeDicomModel>",
            "<!DOCTYPE x [<!ENTITY e \"boom\">]><NativeDicomModel/>",
            "<NativeDicomModel><DicomAttribute tag=\"00100020\" vr=\"LO\"><Value number=\"1\">&e;</Value></DicomAttribute></NativeDicomModel>",
        ] {
            assert!(document(bad.as_bytes()).is_err(), "{bad}");
        }
        let item = "<DicomAttribute tag=\"00081140\" vr=\"SQ\"><Item number=\"1\">";
        let deep = format!("<NativeDicomModel>{}", item.repeat(500));
        assert!(document(deep.as_bytes()).is_err());
    }
}
