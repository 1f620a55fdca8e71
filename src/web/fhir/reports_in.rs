//! DiagnosticReport as it is sent: a result or its next version, with words and documents.

use super::dates::Span;
use super::desk::Desk;
use super::said::{self, bad, list, text, words};
use super::tables::Resource;
use super::taking::{self, Sent};
use super::{ids, studies};
use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::chart::{Change, Content, Report, ReportStatus};
use model::{FacilityCode, Uid};
use serde_json::Value;

/// Media types of documents.
const MEDIA: [&str; 4] = ["application/pdf", "image/jpeg", "image/png", "text/plain"];
/// Most documents of one result.
const FORMS_MAX: usize = 64;

/// Reads a result; `named` is the number of the path, `made` one for a result without any.
pub(crate) fn read(
    desk: &Desk,
    sent: &Value,
    facility: FacilityCode,
    named: Option<String>,
    made: &str,
    now: u64,
) -> Result<Sent, Problem> {
    let own = said::number(sent, &desk.systems.report, "").or_else(|| said::bare_number(sent));
    let number = match (own, named) {
        (Some(own), Some(named)) if own != named => {
            return Err(bad("identifier", "another number of the result stands in the path"));
        }
        (Some(own), _) => own.to_owned(),
        (None, Some(named)) => named,
        (None, None) => made.to_owned(),
    };
    let mrn = taking::subject(desk, sent, facility)?.ok_or_else(|| bad("subject", "the patient is needed"))?;
    let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let order = list(sent, "basedOn").next();
    let of_order = said::referred(order, Resource::ServiceRequest).filter(|(of, _)| *of == facility);
    let placer = of_order.map(|(_, placer)| placer).or_else(|| text(order?, "/identifier/value").map(str::to_owned));
    let author = list(sent, "resultsInterpreter").chain(list(sent, "performer")).find_map(|one| text(one, "/display"));
    let report = Report {
        number: number.clone(),
        mrn: mrn.clone(),
        visit: owned(sent.get("encounter").and_then(|visit| text(visit, "/identifier/value"))),
        placer: placer.unwrap_or_default(),
        accession: owned(said::number(sent, &desk.systems.accession, "ACSN")),
        study: study(sent, facility)?,
        discipline: discipline(sent).to_owned(),
        title: words(sent.get("code")).unwrap_or_default(),
        author: owned(author),
        status: status(sent)?,
        version: 1,
        contents: contents(sent)?,
        at: issued(desk, sent)?.unwrap_or(now),
    };
    Ok(Sent { facility, number, mrn: Some(mrn), changes: vec![Change::Report(Box::new(report))] })
}

fn status(sent: &Value) -> Result<ReportStatus, Problem> {
    match text(sent, "/status") {
        Some("registered" | "partial" | "preliminary") => Ok(ReportStatus::Preliminary),
        Some("final") => Ok(ReportStatus::Final),
        Some("amended" | "corrected" | "appended") => Ok(ReportStatus::Amended),
        Some("cancelled" | "entered-in-error") => Ok(ReportStatus::Canceled),
        _ => Err(bad("status", "a status of a report, but not unknown")),
    }
}

fn discipline(sent: &Value) -> &'static str {
    let codes = list(sent, "category").flat_map(|category| list(category, "coding"));
    let known = codes.filter_map(|code| match text(code, "/code")? {
        "LAB" | "CH" | "HM" | "MB" | "IMM" | "SR" | "TX" | "VR" | "BLB" => Some("laboratory"),
        "PAT" | "SP" | "CP" | "CTH" => Some("pathology"),
        _ => None,
    });
    known.into_iter().next().unwrap_or("imaging")
}

/// The study it reports on: by reference, or by its UID.
fn study(sent: &Value, facility: FacilityCode) -> Result<Option<Uid>, Problem> {
    let Some(one) = list(sent, "imagingStudy").next() else { return Ok(None) };
    if let Some(id) = said::reference(Some(one), Resource::ImagingStudy) {
        let found = ids::read_study(&id).filter(|(of, _)| *of == facility);
        return found.map(|(_, study)| Some(study)).ok_or_else(|| bad("imagingStudy", "no study of the facility"));
    }
    let uid = text(one, "/identifier/value").filter(|_| text(one, "/identifier/system") == Some(studies::UIDS));
    let uid = uid.map(|text| Uid::parse(text.strip_prefix("urn:oid:").unwrap_or(text))).transpose();
    uid.map_err(|error| bad("imagingStudy", error.to_string()))
}

fn issued(desk: &Desk, sent: &Value) -> Result<Option<u64>, Problem> {
    let Some(at) = text(sent, "/issued").or_else(|| text(sent, "/effectiveDateTime")) else { return Ok(None) };
    let span = Span::parse(at, desk.utc_offset).filter(|_| at.starts_with(|letter: char| letter.is_ascii_digit()));
    let begin = span.and_then(|span| u64::try_from(span.begin()).ok());
    begin.map(Some).ok_or_else(|| bad("issued", "a date and time with its zone"))
}

fn contents(sent: &Value) -> Result<Vec<Content>, Problem> {
    let mut contents = Vec::new();
    if let Some(words) = text(sent, "/conclusion") {
        contents.push(Content::Text { heading: String::new(), text: words.to_owned() });
    }
    for form in list(sent, "presentedForm").take(FORMS_MAX) {
        let media = text(form, "/contentType").map(|media| media.split(';').next().unwrap_or_default().trim());
        let content = match (text(form, "/data"), text(form, "/url")) {
            (Some(data), _) => {
                let known = media.and_then(|media| MEDIA.into_iter().find(|one| *one == media));
                let known =
                    known.ok_or_else(|| bad("presentedForm.contentType", format!("one of {}", MEDIA.join(", "))))?;
                let base64: String = data.chars().filter(|letter| !letter.is_whitespace()).collect();
                if STANDARD.decode(&base64).is_err() {
                    return Err(bad("presentedForm.data", "this is no base64"));
                }
                Content::Document { media_type: known.to_owned(), base64 }
            }
            (None, Some(url)) if url.starts_with("https://") || url.starts_with("http://") => {
                Content::Pointer { url: url.to_owned() }
            }
            _ => return Err(bad("presentedForm", "data, or a URL that begins with https:// or http://")),
        };
        contents.push(content);
    }
    Ok(contents)
}
