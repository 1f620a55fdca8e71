//! The Native DICOM Model (PS3.19 Annex A), for `application/dicom+xml`: of an answer row, and of a whole data set.
//!
//! A data set is written from its DICOM JSON, so that both say the same; bytes are never read here.

use crate::dictionary::keyword;
use crate::json::{Node, gather};
use crate::vr::Vr;
use model::AttrKey;
use serde_json::{Map, Value};
use std::fmt::Write;

const START: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                     <NativeDicomModel xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\">";

/// Appends one XML document with the attributes in order of tag; values as for [`crate::json::attributes_json`].
pub fn attributes_xml(attributes: &[(AttrKey, &str, &str)], out: &mut String) {
    out.push_str(START);
    for (tag, node) in gather(attributes) {
        match node {
            Node::Value(vr, text) => element(tag, vr, text, out),
            Node::Items(items) => {
                open(tag, Vr::SQ, out);
                for (number, item) in (1u64..).zip(items) {
                    let _ = write!(out, "<Item number=\"{number}\">");
                    for (tag, (vr, text)) in item {
                        element(tag, vr, text, out);
                    }
                    out.push_str("</Item>");
                }
                out.push_str("</DicomAttribute>");
            }
        }
    }
    out.push_str("</NativeDicomModel>\n");
}

/// Appends one XML document for a DICOM JSON object (PS3.18 Annex F); members that are none are left out.
pub fn document_xml(document: &Map<String, Value>, out: &mut String) {
    out.push_str(START);
    data_set(document, out);
    out.push_str("</NativeDicomModel>\n");
}

fn data_set(members: &Map<String, Value>, out: &mut String) {
    for (name, member) in members {
        let Ok(tag) = u32::from_str_radix(name, 16) else { continue };
        let vr = member.get("vr").and_then(Value::as_str).filter(|vr| vr.len() == 2).unwrap_or("UN");
        let _ = write!(out, "<DicomAttribute tag=\"{tag:08X}\" vr=\"");
        escape(vr, out);
        out.push('"');
        if let Some(keyword) = keyword(tag) {
            let _ = write!(out, " keyword=\"{keyword}\"");
        }
        if let Some(creator) = private_creator(members, tag) {
            out.push_str(" privateCreator=\"");
            escape(creator, out);
            out.push('"');
        }
        out.push('>');
        if let Some(uri) = member.get("BulkDataURI").and_then(Value::as_str) {
            out.push_str("<BulkData uri=\"");
            escape(uri, out);
            out.push_str("\"/>");
        } else if let Some(binary) = member.get("InlineBinary").and_then(Value::as_str) {
            out.push_str("<InlineBinary>");
            escape(binary, out);
            out.push_str("</InlineBinary>");
        } else {
            values(vr, member.get("Value").and_then(Value::as_array).map_or(&[], Vec::as_slice), out);
        }
        out.push_str("</DicomAttribute>");
    }
}

/// The creator of the block a private element lies in (PS3.5 section 7.8.1).
fn private_creator(members: &Map<String, Value>, tag: u32) -> Option<&str> {
    let (group, element) = (tag >> 16, tag & 0xFFFF);
    if group.is_multiple_of(2) || element < 0x1000 {
        return None;
    }
    let owner = format!("{group:04X}{:04X}", element >> 8);
    members.get(&owner)?.pointer("/Value/0")?.as_str()
}

fn values(vr: &str, values: &[Value], out: &mut String) {
    for (value, number) in values.iter().zip(1u32..) {
        match value {
            Value::Null => {}
            Value::Object(item) if vr == "SQ" => {
                let _ = write!(out, "<Item number=\"{number}\">");
                data_set(item, out);
                out.push_str("</Item>");
            }
            Value::Object(name) => {
                let _ = write!(out, "<PersonName number=\"{number}\">");
                for group in ["Alphabetic", "Ideographic", "Phonetic"] {
                    person(name.get(group).and_then(Value::as_str).unwrap_or_default(), group, out);
                }
                out.push_str("</PersonName>");
            }
            Value::String(text) => value_text(number, text, out),
            other => value_text(number, &other.to_string(), out),
        }
    }
}

fn value_text(number: u32, text: &str, out: &mut String) {
    let _ = write!(out, "<Value number=\"{number}\">");
    escape(text, out);
    out.push_str("</Value>");
}

fn open(tag: u32, vr: Vr, out: &mut String) {
    let _ = write!(out, "<DicomAttribute tag=\"{tag:08X}\" vr=\"{vr}\"");
    if let Some(keyword) = keyword(tag) {
        let _ = write!(out, " keyword=\"{keyword}\"");
    }
    out.push('>');
}

fn element(tag: u32, vr: Vr, text: &str, out: &mut String) {
    open(tag, vr, out);
    let values = || crate::json::split(text, vr).zip(1..).filter(|(value, _): &(&str, u32)| !value.is_empty());
    for (value, number) in values() {
        if vr == Vr::PN {
            let _ = write!(out, "<PersonName number=\"{number}\">");
            for (group, name) in value.splitn(3, '=').zip(["Alphabetic", "Ideographic", "Phonetic"]) {
                person(group, name, out);
            }
            out.push_str("</PersonName>");
        } else {
            let _ = write!(out, "<Value number=\"{number}\">");
            escape(value, out);
            out.push_str("</Value>");
        }
    }
    out.push_str("</DicomAttribute>");
}

fn person(group: &str, name: &str, out: &mut String) {
    if group.is_empty() {
        return;
    }
    let _ = write!(out, "<{name}>");
    let parts = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];
    for (component, part) in group.splitn(5, '^').zip(parts).filter(|(component, _)| !component.is_empty()) {
        let _ = write!(out, "<{part}>");
        escape(component, out);
        let _ = write!(out, "</{part}>");
    }
    let _ = write!(out, "</{name}>");
}

/// Escapes text for XML 1.0; characters it cannot hold become U+FFFD.
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            letter if letter < ' ' && !matches!(letter, '\t' | '\n') => out.push('\u{FFFD}'),
            other => out.push(other),
        }
    }
}
