//! A structured report (PS3.3 section C.17.3) as a page for people, from its DICOM JSON.
//!
//! Every text comes from a peer and is escaped; the page loads nothing and runs nothing. Layout of templates is not
//! known here: content items are shown in their order, containers as sections.

use crate::html::escaped;
use serde_json::Value;
use std::fmt::Write as _;

/// Allows the page's own style and nothing else.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'";
/// Deepest container shown.
const DEPTH_MAX: usize = 32;
/// Longest page in bytes; what goes beyond is left out, visibly.
const PAGE_MAX: usize = 16 << 20;
/// Heading of the innermost sections.
const HEADING_MAX: usize = 6;

const STYLE: &str = "body{font:16px/1.55 system-ui,'Noto Sans',sans-serif;max-width:46rem;margin:2rem auto;\
padding:0 1rem;color:#1a2530;background:#fff}h1{font-size:1.5rem;margin:0 0 .75rem}h2{font-size:1.2rem}h3,h4,h5,h6{font-size:1rem}\
header dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0 0 1.5rem;padding:0 0 1rem;\
border-bottom:1px solid #ccd5dd}dt{color:#55636f}dd{margin:0}section{margin:.5rem 0 .5rem .9rem}\
.item{margin:.35rem 0}.item b{font-weight:600}.draft{color:#8a3b00;font-weight:600}pre{white-space:pre-wrap;font:inherit;margin:0}";

/// The page of a DICOM JSON array with one report.
pub(super) fn page(document: &Value) -> String {
    let report = document.get(0).unwrap_or(&Value::Null);
    let title = meaning(report, "0040A043").unwrap_or_else(|| "Structured report".into());
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{0}</title><style>{STYLE}</style></head><body><header>\
         <h1>{0}</h1><dl>",
        escaped(&title)
    );
    for (label, tag) in [
        ("Patient", "00100010"),
        ("Patient ID", "00100020"),
        ("Birth date", "00100030"),
        ("Sex", "00100040"),
        ("Study", "00081030"),
        ("Study date", "00080020"),
        ("Accession number", "00080050"),
        ("Institution", "00080080"),
        ("Completed", "0040A491"),
        ("Verified", "0040A493"),
    ] {
        if let Some(text) = first(report, tag) {
            line(&mut out, label, &shown(tag, &text));
        }
    }
    for observer in items(report, "0040A073") {
        if let Some(name) = first(observer, "0040A075") {
            line(&mut out, "Verified by", &name.replace('^', " "));
        }
    }
    out.push_str("</dl></header><main>");
    content(report, 2, &mut out);
    out.push_str("</main></body></html>\n");
    out
}

fn shown(tag: &str, text: &str) -> String {
    match (tag, text.len()) {
        ("00100010", _) => text.replace('^', " ").trim().to_owned(),
        ("00100030" | "00080020", 8) if text.is_ascii() => {
            let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
            format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8))
        }
        _ => text.to_owned(),
    }
}

fn line(out: &mut String, label: &str, text: &str) {
    let _ = write!(out, "<dt>{label}</dt><dd>{}</dd>", escaped(text));
}

/// The content items below a report or a container.
fn content(parent: &Value, level: usize, out: &mut String) {
    if level > DEPTH_MAX {
        out.push_str("<p class=\"item\">…</p>");
        return;
    }
    for item in items(parent, "0040A730") {
        if out.len() > PAGE_MAX {
            out.push_str("<p class=\"item\">…</p>");
            return;
        }
        let name = meaning(item, "0040A043").unwrap_or_default();
        if first(item, "0040A040").as_deref() == Some("CONTAINER") {
            let heading = level.min(HEADING_MAX);
            out.push_str("<section>");
            if !name.is_empty() {
                let _ = write!(out, "<h{heading}>{}</h{heading}>", escaped(&name));
            }
            content(item, level + 1, out);
            out.push_str("</section>");
            continue;
        }
        out.push_str("<div class=\"item\">");
        if !name.is_empty() {
            let _ = write!(out, "<b>{}:</b> ", escaped(&name));
        }
        value(item, out);
        out.push_str("</div>");
        if items(item, "0040A730").next().is_some() {
            out.push_str("<section>");
            content(item, level + 1, out);
            out.push_str("</section>");
        }
    }
}

/// The value of a content item by its Value Type (PS3.3 Table C.17.3.2.1-1).
fn value(item: &Value, out: &mut String) {
    let text = match first(item, "0040A040").as_deref() {
        Some("TEXT") => {
            let _ = write!(out, "<pre>{}</pre>", escaped(&first(item, "0040A160").unwrap_or_default()));
            return;
        }
        Some("CODE") => meaning(item, "0040A168"),
        Some("NUM") => items(item, "0040A300").next().map(|measured| {
            let number = first(measured, "0040A30A").unwrap_or_default();
            let unit = code(measured, "004008EA", "00080100").unwrap_or_default();
            // A unit of one is none (UCUM).
            if unit == "1" { number } else { format!("{number} {unit}") }
        }),
        Some("PNAME") => first(item, "0040A123").map(|name| name.replace('^', " ").trim().to_owned()),
        Some("DATE") => first(item, "0040A121").map(|date| shown("00080020", &date)),
        Some("TIME") => first(item, "0040A122"),
        Some("DATETIME") => first(item, "0040A120"),
        Some("UIDREF") => first(item, "0040A124"),
        Some("IMAGE" | "COMPOSITE" | "WAVEFORM") => items(item, "00081199").next().map(|named| {
            let frames = joined(named, "00081160");
            let uid = first(named, "00081155").unwrap_or_default();
            if frames.is_empty() { uid } else { format!("{uid}, frame {frames}") }
        }),
        Some("SCOORD" | "SCOORD3D") => {
            let kind = first(item, "00700023").unwrap_or_default();
            Some(format!("{kind} {}", joined(item, "00700022")))
        }
        Some("TCOORD") => first(item, "0040A130"),
        other => other.map(|kind| format!("({kind})")),
    };
    out.push_str(&escaped(&text.unwrap_or_default()));
}

fn values<'a>(item: &'a Value, tag: &str) -> &'a [Value] {
    item.get(tag).and_then(|member| member.get("Value")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn items<'a>(item: &'a Value, tag: &str) -> impl Iterator<Item = &'a Value> {
    values(item, tag).iter().filter(|value| value.is_object())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(name) => {
            let groups = ["Alphabetic", "Ideographic"].into_iter().filter_map(|group| name.get(group)?.as_str());
            Some(groups.collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}

fn first(item: &Value, tag: &str) -> Option<String> {
    values(item, tag).first().and_then(text)
}

fn joined(item: &Value, tag: &str) -> String {
    values(item, tag).iter().filter_map(text).collect::<Vec<_>>().join(", ")
}

fn code(item: &Value, sequence: &str, tag: &str) -> Option<String> {
    items(item, sequence).next().and_then(|code| first(code, tag))
}

fn meaning(item: &Value, sequence: &str) -> Option<String> {
    code(item, sequence, "00080104").or_else(|| code(item, sequence, "00080100"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_shown_in_its_order_and_escaped() {
        let code = |text: &str| json!({"Value": [{"00080104": {"Value": [text]}, "00080100": {"Value": ["mm"]}}]});
        let document = json!([{
            "0040A043": code("Report <b>"),
            "00100010": {"Value": [{"Alphabetic": "Nguyễn^An"}]},
            "0040A730": {"Value": [
                {"0040A040": {"Value": ["CONTAINER"]}, "0040A043": code("Findings"), "0040A730": {"Value": [
                    {"0040A040": {"Value": ["TEXT"]}, "0040A043": code("Finding"),
                     "0040A160": {"Value": ["<script>alert(1)</script>"]}},
                    {"0040A040": {"Value": ["NUM"]}, "0040A043": code("Length"),
                     "0040A300": {"Value": [{"0040A30A": {"Value": [4.5]}, "004008EA": code("millimetre")}]}}
                ]}}
            ]}
        }]);
        let page = page(&document);
        assert!(page.contains("Nguyễn An") && page.contains("<h2>Findings</h2>") && page.contains("4.5 mm"));
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script") && page.contains("Report &lt;b&gt;"));
    }

    #[test]
    fn endless_nesting_ends() {
        let mut item = json!({"0040A040": {"Value": ["TEXT"]}, "0040A160": {"Value": ["x"]}});
        for _ in 0..60 {
            item = json!({"0040A040": {"Value": ["CONTAINER"]}, "0040A730": {"Value": [item]}});
        }
        assert!(page(&json!([item])).contains('…'));
        assert!(page(&json!([])).contains("Structured report"));
    }
}
