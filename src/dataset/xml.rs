//! The Native DICOM Model (PS3.19 Annex A) of an answer row, for `application/dicom+xml`.
//!
//! Only decoded values are written here; whole data sets are answered as DICOM JSON.

use crate::dictionary::keyword;
use crate::json::{Node, gather};
use crate::vr::Vr;
use model::AttrKey;
use std::fmt::Write;

/// Appends one XML document with the attributes in order of tag; values as for [`crate::json::attributes_json`].
pub fn attributes_xml(attributes: &[(AttrKey, &str, &str)], out: &mut String) {
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str("<NativeDicomModel xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\">");
    for (tag, node) in gather(attributes) {
        match node {
            Node::Value(vr, text) => element(tag, vr, text, out),
            Node::Item(item) => {
                open(tag, Vr::SQ, out);
                out.push_str("<Item number=\"1\">");
                for (tag, (vr, text)) in item {
                    element(tag, vr, text, out);
                }
                out.push_str("</Item></DicomAttribute>");
            }
        }
    }
    out.push_str("</NativeDicomModel>\n");
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
