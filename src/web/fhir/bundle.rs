//! Answers to searches: pages of matches with what they refer to, and links to this page and the next.

use super::desk::Desk;
use super::pages::{Lean, Page, Told};
use super::question::Question;
use super::tables::{Include, Resource};
use super::{audits, endpoints, orders, outcome, patients, reports, studies, subscriptions};
use crate::problem::{Kind, Problem};
use archive::FoundRow;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Pages counted for `_summary=count`.
const COUNTED_MAX: usize = 20;
/// Rows of such a page.
const COUNTED_PAGE: usize = 500;

/// Matches as they were found.
pub(crate) enum Rows {
    Studies(Vec<FoundRow>),
    Charts(Vec<Lean>),
    Made(Vec<Value>),
}

impl Rows {
    fn len(&self) -> usize {
        match self {
            Self::Studies(rows) => rows.len(),
            Self::Charts(rows) => rows.len(),
            Self::Made(rows) => rows.len(),
        }
    }
}

/// A page of matches, and where to go on.
pub(crate) struct Found {
    pub(crate) rows: Rows,
    pub(crate) next: Option<String>,
}

impl Found {
    /// Rows of charts.
    pub(crate) fn of(page: Page) -> Self {
        Self { rows: Rows::Charts(page.rows), next: page.next.map(|next| next.to_string()) }
    }
}

fn find(desk: &Desk, question: &Question, count: usize, after: Option<&str>) -> Result<Found, Problem> {
    match question.table.resource {
        Resource::ImagingStudy => studies::find(desk, question, count, after),
        Resource::Patient => patients::find(desk, question, count, after),
        Resource::ServiceRequest => orders::find(desk, question, count, after),
        Resource::DiagnosticReport | Resource::DocumentReference => reports::find(desk, question, count, after),
        Resource::Binary => Ok(Found { rows: Rows::Made(Vec::new()), next: None }),
        Resource::Endpoint => Ok(endpoints::find(desk, question)),
        Resource::Subscription => subscriptions::find(desk, question, count, after),
        Resource::AuditEvent => audits::find(desk, question, count, after),
    }
}

fn shown(desk: &Desk, resource: Resource, rows: Rows) -> Result<Told, Problem> {
    let mut told = Told::default();
    match rows {
        Rows::Made(values) => values.into_iter().try_for_each(|value| told.add(value))?,
        Rows::Studies(rows) => {
            for row in &rows {
                told.add(studies::shown(desk, row, true)?)?;
            }
        }
        Rows::Charts(rows) => {
            for lean in &rows {
                let resources = chart(desk, resource, lean)?;
                resources.into_iter().try_for_each(|value| told.add(value))?;
            }
        }
    }
    Ok(told)
}

/// A row of charts as resources; none where it has no id.
fn chart(desk: &Desk, resource: Resource, lean: &Lean) -> Result<Vec<Value>, Problem> {
    Ok(match resource {
        Resource::DocumentReference => reports::documents(desk, lean)?,
        Resource::ServiceRequest => orders::shown(desk, &lean.row)?.into_iter().collect(),
        Resource::DiagnosticReport => reports::shown(desk, lean)?.into_iter().collect(),
        Resource::Subscription => subscriptions::shown(desk, &lean.row)?.into_iter().collect(),
        _ => patients::shown(desk, &lean.row).into_iter().collect(),
    })
}

/// One resource by its id.
pub(crate) fn resource(desk: &Desk, resource: Resource, id: &str) -> Result<Option<Value>, Problem> {
    match resource {
        Resource::ImagingStudy => studies::read(desk, id),
        Resource::Patient => patients::read(desk, id),
        Resource::ServiceRequest => orders::read(desk, id),
        Resource::DiagnosticReport => reports::read(desk, id),
        Resource::DocumentReference => reports::document(desk, id),
        Resource::Binary => reports::binary(desk, id),
        Resource::Endpoint => Ok(endpoints::read(desk, id)),
        Resource::Subscription => subscriptions::read(desk, id),
        Resource::AuditEvent => audits::read(desk, id),
    }
}

/// The answer to a search.
pub(crate) fn searchset(desk: &Desk, question: &Question) -> Result<Value, Problem> {
    if question.only_count {
        return counted(desk, question);
    }
    let found = find(desk, question, question.count, question.cursor.as_deref())?;
    let (rows, next) = (found.rows.len(), found.next);
    let mut told = shown(desk, question.table.resource, found.rows)?;
    let mut matches = std::mem::take(&mut told.values);
    if question.table.resource == Resource::DocumentReference {
        // A result may have other documents than the one that is named.
        let id = |one: &Value| one.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        matches.retain(|one| question.accepts_token("_id", "", &[&id(one)]));
    }
    let mut notes = question.notes.clone();
    if matches.len() < rows {
        notes.push("a match whose number is too long for an id was left out".into());
    }
    let included = included(desk, question, &matches, told)?;
    let entry =
        |value: Value, mode: &str| json!({"fullUrl": desk.url(&value), "resource": value, "search": {"mode": mode}});
    let whole = question.cursor.is_none() && next.is_none() && question.notes.len() == notes.len();
    let total = whole.then_some(matches.len());
    let mut entries: Vec<Value> = matches.into_iter().map(|one| entry(one, "match")).collect();
    entries.extend(included.into_iter().map(|one| entry(one, "include")));
    if !notes.is_empty() {
        let told = outcome::remarks("warning", "not-supported", &notes);
        entries.push(json!({"resource": told, "search": {"mode": "outcome"}}));
    }
    Ok(bundle(desk, question, entries, next, total))
}

/// The bundle around its entries.
fn bundle(desk: &Desk, question: &Question, entries: Vec<Value>, next: Option<String>, total: Option<usize>) -> Value {
    let mut links = vec![json!({"relation": "self", "url": link(&desk.base, question, question.cursor.as_deref())})];
    links.extend(next.map(|next| json!({"relation": "next", "url": link(&desk.base, question, Some(&next))})));
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "link": links});
    if let Some(object) = bundle.as_object_mut() {
        if let Some(total) = total {
            object.insert("total".into(), total.into());
        }
        if !entries.is_empty() {
            object.insert("entry".into(), entries.into());
        }
    }
    bundle
}

/// The number of matches alone.
fn counted(desk: &Desk, question: &Question) -> Result<Value, Problem> {
    let (mut total, mut after) = (0_usize, None::<String>);
    for _ in 0..COUNTED_MAX {
        let found = find(desk, question, COUNTED_PAGE, after.as_deref())?;
        total = total.saturating_add(found.rows.len());
        after = found.next;
        if after.is_none() {
            return Ok(bundle(desk, question, Vec::new(), None, Some(total)));
        }
    }
    let detail = format!("more than {} rows would be counted: narrow the question", COUNTED_MAX * COUNTED_PAGE);
    Err(Problem::new(Kind::Unprocessable, detail).at("query parameter _summary"))
}

/// What the matches refer to, as far as it was asked for, each once; what is told already counts.
fn included(desk: &Desk, question: &Question, matches: &[Value], mut told: Told) -> Result<Vec<Value>, Problem> {
    let mut seen = BTreeSet::new();
    for reference in question.includes.iter().flat_map(|include| references(matches, include)) {
        if !seen.insert(reference.to_owned()) {
            continue;
        }
        let Some((kind, id)) = reference.split_once('/') else { continue };
        let Some(table) = super::tables::Table::of(kind) else { continue };
        if let Some(found) = resource(desk, table.resource, id)? {
            told.add(found)?;
        }
    }
    Ok(told.values)
}

fn references<'a>(matches: &'a [Value], include: &'a Include) -> impl Iterator<Item = &'a str> {
    let elements = matches.iter().filter_map(|one| one.get(include.element));
    let each = elements.flat_map(|element| match element {
        Value::Array(list) => list.iter().collect::<Vec<_>>(),
        one => vec![one],
    });
    each.filter_map(|one| one.get("reference").and_then(Value::as_str))
}

/// The URL of a page.
pub(super) fn link(base: &str, question: &Question, cursor: Option<&str>) -> String {
    let mut url = format!("{base}/fhir/{}", question.table.name);
    let pairs = question.used.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (at, (name, value)) in pairs.chain(cursor.map(|cursor| ("_cursor", cursor))).enumerate() {
        url.push(if at == 0 { '?' } else { '&' });
        encode(name, &mut url);
        url.push('=');
        encode(value, &mut url);
    }
    url
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b',' | b'/' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}
