//! The answer to a store (PS3.18 section 10.5.3, Annex I): one result per instance, and the status they add up to.

use super::upload::Outcome;
use crate::app::json;
use crate::dicomweb::warn;
use crate::problem::Problem;
use archive::{Stored, StoredKind};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::{Flag, Uid};
use serde_json::{Map, Value, json as value};
use std::fmt::Write;

/// Warning Reason: another object is kept under this UID (PS3.7 Annex C.5.7, duplicate SOP Instance).
const DUPLICATE: u16 = 0x0111;
/// Warning Reason: the data set does not match what the file says (PS3.18 Annex I.2).
const DOES_NOT_MATCH: u16 = 0xB007;
/// Failure Reason: cannot understand.
const CANNOT_UNDERSTAND: u16 = 0xC000;
/// Refusals whose text goes into Warning headers.
const TEXTS_MAX: usize = 8;

/// Form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Xml,
}

/// The results of a request.
pub(super) struct Report {
    outcomes: Vec<Outcome>,
    study: Option<Uid>,
    root: String,
    broken: Option<String>,
}

impl Report {
    pub(super) fn new(outcomes: Vec<Outcome>, study: Option<Uid>, root: String) -> Self {
        Self { outcomes, study, root, broken: None }
    }

    /// Whether there was no instance at all.
    pub(super) fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// The body ended against the rules: what follows the results is unknown.
    pub(super) fn broken_off(mut self, problem: &Problem) -> Self {
        self.broken = Some(problem.detail.clone());
        self
    }

    /// The answer.
    pub(super) fn respond(self, form: Form) -> Response {
        let status = self.status();
        let mut response = match form {
            Form::Json => json(status, self.to_json().to_string()),
            Form::Xml => (status, self.to_xml()).into_response(),
        };
        let media = match form {
            Form::Json => "application/dicom+json",
            Form::Xml => "application/dicom+xml",
        };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        warn(&mut response, &self.texts());
        response
    }

    /// 200 when all is stored as sent, 202 when something is stored and something is not or was odd;
    /// when nothing is stored the status says why.
    fn status(&self) -> StatusCode {
        let stored = self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored(_))).count();
        let warned = self.outcomes.iter().any(|o| matches!(o, Outcome::Stored(s) if warning(s).is_some()));
        if stored == self.outcomes.len() && !warned && self.broken.is_none() {
            return StatusCode::OK;
        }
        if stored > 0 {
            return StatusCode::ACCEPTED;
        }
        let all = |test: fn(u16, &str) -> bool| {
            self.outcomes.iter().all(|o| matches!(o, Outcome::Refused { reason, what, .. } if test(*reason, what)))
        };
        if all(|reason, what| reason == 0xA700 && what.starts_with("out of space")) {
            StatusCode::INSUFFICIENT_STORAGE
        } else if all(|reason, _| reason == 0xA700) {
            StatusCode::SERVICE_UNAVAILABLE
        } else if all(|reason, _| reason == 0x0124) {
            StatusCode::FORBIDDEN
        } else if all(|reason, _| reason == 0x0110) {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::CONFLICT
        }
    }

    fn texts(&self) -> Vec<String> {
        let refusals = self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Refused { what, sop_instance: Some(uid), .. } => Some(format!("{uid}: {what}")),
            Outcome::Refused { what, .. } => Some(what.clone()),
            Outcome::Stored(_) => None,
        });
        let mut texts: Vec<String> = refusals.take(TEXTS_MAX).collect();
        texts.extend(self.broken.clone());
        texts
    }

    fn study_url(&self) -> Option<String> {
        let first = self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Stored(stored) => Some(&stored.study),
            Outcome::Refused { .. } => None,
        });
        let one = self.outcomes.iter().all(|outcome| match outcome {
            Outcome::Stored(stored) => Some(&stored.study) == first,
            Outcome::Refused { .. } => true,
        });
        let study = self.study.as_ref().or(if one { first } else { None })?;
        Some(format!("{}/studies/{study}", self.root))
    }

    fn instance_url(&self, stored: &Stored) -> String {
        format!("{}/studies/{}/series/{}/instances/{}", self.root, stored.study, stored.series, stored.sop_instance)
    }

    /// Items of Referenced, Failed and Other Failures sequences: (tag, keyword, VR, value).
    fn items(&self) -> [(&'static str, &'static str, Vec<Vec<Element>>); 3] {
        let (mut stored_items, mut failed, mut other) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in &self.outcomes {
            match outcome {
                Outcome::Stored(stored) => {
                    let mut item = vec![
                        Element::uid("00081150", "ReferencedSOPClassUID", &stored.sop_class),
                        Element::uid("00081155", "ReferencedSOPInstanceUID", &stored.sop_instance),
                        Element::text("00081190", "RetrieveURL", "UR", self.instance_url(stored)),
                    ];
                    item.extend(warning(stored).map(|code| Element::code("00081196", "WarningReason", code)));
                    stored_items.push(item);
                }
                Outcome::Refused { sop_class, sop_instance: Some(instance), reason, .. } => {
                    let mut item = Vec::new();
                    let class = sop_class.as_ref();
                    item.extend(class.map(|class| Element::uid("00081150", "ReferencedSOPClassUID", class)));
                    item.push(Element::uid("00081155", "ReferencedSOPInstanceUID", instance));
                    item.push(Element::code("00081197", "FailureReason", *reason));
                    failed.push(item);
                }
                Outcome::Refused { reason, .. } => {
                    other.push(vec![Element::code("00081197", "FailureReason", *reason)])
                }
            }
        }
        if self.broken.is_some() {
            other.push(vec![Element::code("00081197", "FailureReason", CANNOT_UNDERSTAND)]);
        }
        [
            ("00081198", "FailedSOPSequence", failed),
            ("00081199", "ReferencedSOPSequence", stored_items),
            ("0008119A", "OtherFailuresSequence", other),
        ]
    }

    fn to_json(&self) -> Value {
        let mut root = Map::new();
        if let Some(url) = self.study_url() {
            root.insert("00081190".into(), value!({"vr": "UR", "Value": [url]}));
        }
        for (tag, _, items) in self.items() {
            if items.is_empty() {
                continue;
            }
            let items: Vec<Value> = items
                .into_iter()
                .map(|item| Value::Object(item.into_iter().map(|e| (e.tag.to_owned(), e.json())).collect()))
                .collect();
            root.insert(tag.into(), value!({"vr": "SQ", "Value": items}));
        }
        Value::Object(root)
    }

    fn to_xml(&self) -> String {
        let mut out =
            String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel xml:space=\"preserve\">");
        if let Some(url) = self.study_url() {
            Element::text("00081190", "RetrieveURL", "UR", url).xml(&mut out);
        }
        for (tag, keyword, items) in self.items() {
            if items.is_empty() {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = write!(out, "<DicomAttribute tag=\"{tag}\" vr=\"SQ\" keyword=\"{keyword}\">");
            for (number, item) in items.into_iter().enumerate() {
                let _ = write!(out, "<Item number=\"{}\">", number + 1);
                item.into_iter().for_each(|element| element.xml(&mut out));
                out.push_str("</Item>");
            }
            out.push_str("</DicomAttribute>");
        }
        out.push_str("</NativeDicomModel>\n");
        out
    }
}

/// Why a stored instance needs a look: another object under its UID, or a file that contradicts itself.
fn warning(stored: &Stored) -> Option<u16> {
    match stored.kind {
        StoredKind::Conflict => Some(DUPLICATE),
        _ if stored.flags.contains(&Flag::MetaDisagrees) => Some(DOES_NOT_MATCH),
        _ => None,
    }
}

/// One attribute of the report.
struct Element {
    tag: &'static str,
    keyword: &'static str,
    vr: &'static str,
    value: Value,
}

impl Element {
    fn text(tag: &'static str, keyword: &'static str, vr: &'static str, text: String) -> Self {
        Self { tag, keyword, vr, value: text.into() }
    }

    fn uid(tag: &'static str, keyword: &'static str, uid: &Uid) -> Self {
        Self::text(tag, keyword, "UI", uid.to_string())
    }

    fn code(tag: &'static str, keyword: &'static str, code: u16) -> Self {
        Self { tag, keyword, vr: "US", value: code.into() }
    }

    fn json(self) -> Value {
        value!({"vr": self.vr, "Value": [self.value]})
    }

    fn xml(self, out: &mut String) {
        let text = self.value.as_str().map_or_else(|| self.value.to_string(), str::to_owned);
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let Self { tag, keyword, vr, .. } = self;
        // Writing to a String cannot fail.
        let _ = write!(out, "<DicomAttribute tag=\"{tag}\" vr=\"{vr}\" keyword=\"{keyword}\">");
        let _ = write!(out, "<Value number=\"1\">{text}</Value></DicomAttribute>");
    }
}

#[cfg(test)]
mod tests;
