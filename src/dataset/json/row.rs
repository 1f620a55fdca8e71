//! An answer row of QIDO-RS in DICOM JSON: from decoded values instead of a data set.

use super::{put, value};
use crate::vr::Vr;
use model::AttrKey;
use std::collections::BTreeMap;

/// The elements of an item in order of tag.
pub(crate) type Item<'a> = BTreeMap<u32, (Vr, &'a str)>;

/// Root elements of a row in order of tag: a value, or the items of a sequence.
pub(crate) enum Node<'a> {
    Value(Vr, &'a str),
    Items(Vec<Item<'a>>),
}

/// Gathers the attributes of one sequence into its items: of several values each belongs to the item of its place.
pub(crate) fn gather<'a>(attributes: &[(AttrKey, &str, &'a str)]) -> BTreeMap<u32, Node<'a>> {
    let mut nodes = BTreeMap::new();
    for (key, vr, text) in attributes {
        let vr = match vr.as_bytes() {
            [first, second] => Vr::new([*first, *second]),
            _ => Vr::UN,
        };
        if key.sequence == 0 {
            nodes.insert(key.tag, Node::Value(vr, text));
        } else if let Node::Items(items) = nodes.entry(key.sequence).or_insert_with(|| Node::Items(Vec::new())) {
            for (at, value) in text.split('\\').enumerate() {
                if at == items.len() {
                    items.push(Item::new());
                }
                items.get_mut(at).map(|item| item.insert(key.tag, (vr, value)));
            }
        }
    }
    nodes
}

/// Appends one JSON object with the attributes in order of tag. Values are as [`model::Attributes`] holds them:
/// UTF-8, several separated by backslashes, numbers in decimal, component groups of names separated by `=`.
/// Attributes inside a sequence become its items, as many as one of them has values.
pub fn attributes_json(attributes: &[(AttrKey, &str, &str)], out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (tag, node)) in gather(attributes).iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match node {
            Node::Value(vr, text) => member(*tag, *vr, text, out),
            Node::Items(items) => {
                put(out, format_args!("\"{tag:08X}\":{{\"vr\":\"SQ\",\"Value\":["));
                for (at, one) in items.iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
                    item(one, out);
                    out.push(b'}');
                }
                out.extend_from_slice(b"]}");
            }
        }
    }
    out.push(b'}');
}

fn item(item: &Item<'_>, out: &mut Vec<u8>) {
    for (at, (tag, (vr, text))) in item.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        member(*tag, *vr, text, out);
    }
}

fn member(tag: u32, vr: Vr, text: &str, out: &mut Vec<u8>) {
    put(out, format_args!("\"{tag:08X}\":{{\"vr\":\"{vr}\""));
    if !text.is_empty() {
        if vr.is_text() {
            value::text(text, vr, out);
        } else {
            out.extend_from_slice(b",\"Value\":[");
            for (at, number) in text.split('\\').enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                match number {
                    "" => out.extend_from_slice(b"null"),
                    _ if vr == Vr::AT => value::string(number, out),
                    _ => value::number(number, false, out),
                }
            }
            out.push(b']');
        }
    }
    out.push(b'}');
}
