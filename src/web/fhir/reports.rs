//! DiagnosticReport, DocumentReference and Binary: results that information systems sent, their documents, and the bytes.

use super::bundle::Found;
use super::desk::{Desk, add};
use super::orders::{encounter, named};
use super::pages::{self, Gathered, Lean};
use super::question::{Question, Wanted};
use super::tables::Resource;
use super::{dates, ids, patients, studies};
use crate::problem::Problem;
use archive::ChartQuery;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::FacilityCode;
use model::chart::{ChartBody, ChartKind, ChartRow, Content, Report, ReportStatus, Term};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Most results of a page: with their documents they are long rows.
const PAGE_MAX: usize = 20;
/// Code system of diagnostic services (HL7 table 0074).
const SECTIONS: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";
const STATES: &str = "http://hl7.org/fhir/diagnostic-report-status";
const DOCUMENTS: &str = "http://hl7.org/fhir/document-reference-status";

fn status(status: ReportStatus) -> &'static str {
    match status {
        ReportStatus::Preliminary => "preliminary",
        ReportStatus::Final => "final",
        ReportStatus::Amended => "amended",
        ReportStatus::Canceled => "cancelled",
    }
}

/// The service that made it (HL7 table 0074).
fn section(report: &Report) -> &'static str {
    match report.discipline.as_str() {
        "laboratory" => "LAB",
        "pathology" => "PAT",
        _ => "RAD",
    }
}

/// Finds results, or those with documents, the newest first.
pub(crate) fn find(desk: &Desk, question: &Question, count: usize, after: Option<&str>) -> Result<Found, Problem> {
    let documents = question.table.resource == Resource::DocumentReference;
    let (count, after) = (count.min(PAGE_MAX), patients::cursor(after)?);
    let (by_patient, numbers) = patients::asked(desk, question)?;
    let has =
        |row: &ChartRow| !documents || matches!(&row.body, ChartBody::Report(report) if parts(report).count() > 0);
    let fits =
        |row: &ChartRow| has(row) && fits(desk, question, row) && numbers.iter().all(|set| patients::is_of(set, row));
    let mut all = Gathered::default();
    if let Some(wanted) = question.all("_id").next() {
        let wanted = if documents { wholes(wanted) } else { named(wanted) };
        all.add_named(desk, ChartKind::Report, wanted, fits)?;
        return Ok(Found::of(all.page()));
    }
    if let Some(wanted) = question.all("identifier").next() {
        pages::looked_up(desk, wanted.any.len())?;
        for (_, code) in wanted.tokens().filter(|(_, code)| !code.trim().is_empty()) {
            all.add_numbered(desk, ChartKind::Report, code, fits)?;
            let by = patients::equal(ChartKind::Report, Term::Accession, code);
            let found = desk.charts().find(&desk.caller, &by, None, PAGE_MAX)?;
            found.rows.into_iter().filter(fits).try_for_each(|row| all.add(row))?;
        }
        return Ok(Found::of(all.page()));
    }
    Ok(Found::of(pages::find(desk, &queries(question, by_patient), count, after, fits)?))
}

/// The results whose documents are named.
fn wholes(wanted: &Wanted) -> BTreeSet<(FacilityCode, String)> {
    let known = wanted.tokens().filter_map(|(_, id)| ids::read_part(id));
    known.map(|(facility, _, number)| (facility, number)).collect()
}

fn queries(question: &Question, by_patient: Option<patients::Numbers>) -> Vec<ChartQuery> {
    if let Some(wanted) = question.all("based-on").next() {
        let orders = wanted.references().filter_map(ids::read);
        let of = |(facility, placer): (FacilityCode, String)| ChartQuery {
            facilities: Some(BTreeSet::from([facility])),
            ..patients::equal(ChartKind::Report, Term::Placer, &placer)
        };
        return orders.map(of).collect();
    }
    match by_patient {
        Some(numbers) => patients::queries_of(ChartKind::Report, &numbers),
        None => vec![patients::equal(ChartKind::Report, Term::Any, "")],
    }
}

fn fits(desk: &Desk, question: &Question, row: &ChartRow) -> bool {
    let ChartBody::Report(report) = &row.body else { return false };
    let id = ids::of(row.key.facility, &row.key.id).unwrap_or_default();
    let order = ids::of(row.key.facility, &report.placer).unwrap_or_default();
    let numbers = |wanted: &Wanted| {
        wanted.tokens().any(|(system, code)| {
            let is =
                |one: &str, number: &str| system.is_none_or(|system| system == one) && number.trim() == code.trim();
            is(&desk.systems.report, &report.number) || is(&desk.systems.accession, &report.accession)
        })
    };
    let common = question.all("identifier").all(numbers)
        && question.all("based-on").all(|wanted| wanted.references().any(|id| id == order))
        && question.accepts_date("date", Some(dates::at(report.at)))
        && question.accepts_token("category", SECTIONS, &[section(report)]);
    if question.table.resource == Resource::DocumentReference {
        let parts: Vec<String> = parts(report).filter_map(|(at, ..)| part_id(row, at)).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        return common
            && question.accepts_token("_id", "", &parts)
            && question.all("related").all(|wanted| wanted.references().any(|wanted| wanted == id))
            && question.accepts_token("status", DOCUMENTS, &[document_status(report)]);
    }
    common
        && question.accepts_token("_id", "", &[&id])
        && question.accepts_token("status", STATES, &[status(report.status)])
}

/// The documents of a result: place, media type, base64.
fn parts(report: &Report) -> impl Iterator<Item = (usize, &str, &str)> {
    report.contents.iter().enumerate().filter_map(|(at, content)| match content {
        Content::Document { media_type, base64 } => Some((at, media_type.as_str(), base64.as_str())),
        _ => None,
    })
}

fn part_id(row: &ChartRow, at: usize) -> Option<String> {
    ids::of_part(row.key.facility, at, &row.key.id)
}

fn attachment(lean: &Lean, report: &Report, (at, media): (usize, &str)) -> Option<Value> {
    let mut attachment = Map::new();
    add(&mut attachment, "contentType", media);
    add(&mut attachment, "url", format!("Binary/{}", part_id(&lean.row, at)?));
    add(&mut attachment, "size", lean.sizes.get(at).copied().unwrap_or_default());
    add(&mut attachment, "title", report.title.trim());
    Some(Value::Object(attachment))
}

fn report_of(desk: &Desk, id: &str) -> Result<Option<ChartRow>, Problem> {
    let Some((facility, number)) = ids::read(id) else { return Ok(None) };
    Ok(desk.row(ChartKind::Report, facility, &number)?)
}

/// A result by its id.
pub(crate) fn read(desk: &Desk, id: &str) -> Result<Option<Value>, Problem> {
    report_of(desk, id)?.map(|row| shown(desk, &Lean::of(row))).transpose().map(Option::flatten)
}

/// A result as a resource; none where its number is too long for an id.
pub(crate) fn shown(desk: &Desk, lean: &Lean) -> Result<Option<Value>, Problem> {
    let row = &lean.row;
    let (facility, Some(id)) = (row.key.facility, ids::of(row.key.facility, &row.key.id)) else { return Ok(None) };
    let ChartBody::Report(report) = &row.body else { return Ok(None) };
    let mut shown = Map::new();
    add(&mut shown, "resourceType", Resource::DiagnosticReport.name());
    add(&mut shown, "id", id);
    add(&mut shown, "meta", json!({"versionId": row.lsn.to_string()}));
    let mut numbers = vec![desk.identifier("", &desk.systems.report, &report.number, Some(facility))];
    if !report.accession.trim().is_empty() {
        numbers.push(desk.identifier("ACSN", &desk.systems.accession, &report.accession, Some(facility)));
    }
    add(&mut shown, "identifier", numbers);
    add(&mut shown, "basedOn", based_on(desk, facility, report));
    add(&mut shown, "status", status(report.status));
    add(&mut shown, "category", vec![json!({"coding": [{"system": SECTIONS, "code": section(report)}]})]);
    add(&mut shown, "code", json!({"text": title(report)}));
    add(&mut shown, "subject", desk.patient(facility, &report.mrn, "")?);
    add(&mut shown, "encounter", encounter(desk, facility, &report.visit));
    let at = dates::instant(report.at, desk.utc_offset);
    add(&mut shown, "effectiveDateTime", at.clone());
    add(&mut shown, "issued", at);
    if !report.author.trim().is_empty() {
        add(&mut shown, "resultsInterpreter", vec![json!({"display": report.author.trim()})]);
    }
    if let Some(study) = &report.study {
        let mut reference = Map::new();
        if studies::is_there(desk, facility, study)? {
            reference.extend(desk.reference(Resource::ImagingStudy, Some(ids::of_study(facility, study))));
        }
        add(&mut reference, "identifier", studies::uid(study));
        add(&mut shown, "imagingStudy", vec![Value::Object(reference)]);
    }
    add(&mut shown, "conclusion", conclusion(report));
    let mut forms: Vec<Value> =
        parts(report).filter_map(|(at, media, _)| attachment(lean, report, (at, media))).collect();
    forms.extend(report.contents.iter().filter_map(|content| match content {
        Content::Pointer { url } => Some(json!({"url": url})),
        _ => None,
    }));
    add(&mut shown, "presentedForm", forms);
    Ok(Some(Value::Object(shown)))
}

fn title(report: &Report) -> &str {
    let title = report.title.trim();
    if title.is_empty() { report.discipline.as_str() } else { title }
}

fn based_on(desk: &Desk, facility: FacilityCode, report: &Report) -> Vec<Value> {
    if report.placer.trim().is_empty() {
        return Vec::new();
    }
    let mut reference = Map::new();
    reference.extend(desk.reference(Resource::ServiceRequest, ids::of(facility, &report.placer)));
    let number = desk.identifier("PLAC", &desk.systems.placer, &report.placer, Some(facility));
    add(&mut reference, "identifier", number);
    vec![Value::Object(reference)]
}

/// The words of a result under their headings.
fn conclusion(report: &Report) -> String {
    let texts = report.contents.iter().filter_map(|content| match content {
        Content::Text { heading, text } if heading.trim().is_empty() => Some(text.clone()),
        Content::Text { heading, text } => Some(format!("{}: {text}", heading.trim())),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

fn document_status(report: &Report) -> &'static str {
    if report.status == ReportStatus::Canceled { "entered-in-error" } else { "current" }
}

/// The documents of a result, each a resource; those that are asked for where a search names ids.
pub(crate) fn documents(desk: &Desk, lean: &Lean) -> Result<Vec<Value>, Problem> {
    let row = &lean.row;
    let ChartBody::Report(report) = &row.body else { return Ok(Vec::new()) };
    let facility = row.key.facility;
    let subject = desk.patient(facility, &report.mrn, "")?;
    let of = desk.reference(Resource::DiagnosticReport, ids::of(facility, &row.key.id));
    let of: Vec<Value> = of.into_iter().map(|one| Value::Object(Map::from_iter([one]))).collect();
    let mut all = Vec::new();
    for (at, media, _) in parts(report) {
        let (Some(id), Some(attachment)) = (part_id(row, at), attachment(lean, report, (at, media))) else { continue };
        let mut shown = Map::new();
        add(&mut shown, "resourceType", Resource::DocumentReference.name());
        add(&mut shown, "id", id);
        add(&mut shown, "meta", json!({"versionId": row.lsn.to_string()}));
        add(&mut shown, "status", document_status(report));
        let state = if report.status == ReportStatus::Canceled { "entered-in-error" } else { status(report.status) };
        add(&mut shown, "docStatus", state);
        add(&mut shown, "type", json!({"text": title(report)}));
        add(&mut shown, "category", vec![json!({"coding": [{"system": SECTIONS, "code": section(report)}]})]);
        add(&mut shown, "subject", subject.clone());
        add(&mut shown, "date", dates::instant(report.at, desk.utc_offset));
        if !report.author.trim().is_empty() {
            add(&mut shown, "author", vec![json!({"display": report.author.trim()})]);
        }
        add(&mut shown, "content", vec![json!({"attachment": attachment})]);
        add(&mut shown, "context", json!({"related": of}));
        all.push(Value::Object(shown));
    }
    Ok(all)
}

/// A document by its id.
pub(crate) fn document(desk: &Desk, id: &str) -> Result<Option<Value>, Problem> {
    let Some((facility, _, number)) = ids::read_part(id) else { return Ok(None) };
    let Some(row) = desk.row(ChartKind::Report, facility, &number)? else { return Ok(None) };
    let all = documents(desk, &Lean::of(row))?;
    Ok(all.into_iter().find(|one| one.get("id").and_then(Value::as_str) == Some(id)))
}

/// The bytes of a document with their media type and version.
pub(crate) fn bytes(desk: &Desk, id: &str) -> Result<Option<(String, Vec<u8>, u64)>, Problem> {
    let Some((facility, wanted, number)) = ids::read_part(id) else { return Ok(None) };
    let Some(row) = desk.row(ChartKind::Report, facility, &number)? else { return Ok(None) };
    let ChartBody::Report(report) = &row.body else { return Ok(None) };
    let part = parts(report).find(|(at, ..)| *at == wanted);
    let read =
        |(_, media, base64): (usize, &str, &str)| Some((media.to_owned(), STANDARD.decode(base64).ok()?, row.lsn));
    Ok(part.and_then(read))
}

/// The same as a resource.
pub(crate) fn binary(desk: &Desk, id: &str) -> Result<Option<Value>, Problem> {
    let found = bytes(desk, id)?;
    Ok(found.map(|(media, bytes, lsn)| {
        json!({
            "resourceType": Resource::Binary.name(),
            "id": id,
            "meta": {"versionId": lsn.to_string()},
            "contentType": media,
            "data": STANDARD.encode(bytes),
        })
    }))
}
