//! Results and messages by REST: a result sent, results found, and what became of messages.

use super::find::{self, Paging};
use super::orders::moments;
use super::said::Said;
use super::writing::{self, Wanted};
use super::{bad, facility, key, shown as row_shown};
use crate::admin::{body, bytes};
use crate::app::Call;
use crate::problem::Problem;
use archive::ChartQuery;
use archive::charts::MessageFilter;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use model::chart::{Change, ChartKind, ChartRow, Content, MESSAGE_MAX, Report, ReportStatus, Term};
use model::{FacilityCode, Uid};
use serde_json::{Value, json};

/// Longest body of a result: with the line that is kept before it, one message.
const REPORT_BYTES_MAX: usize = MESSAGE_MAX - (4 << 10);
/// Most pieces of one result.
const CONTENTS_MAX: usize = 64;

/// Takes a result.
pub(super) async fn send(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let bytes = bytes(&call, REPORT_BYTES_MAX.max(call.app.options.body_bytes_max)).await?;
    let now = (call.app.options.launch.clock)();
    let report = report(Said::read(&bytes)?, now)?;
    let (number, mrn) = (report.number.clone(), Some(report.mrn.clone()));
    let changes = vec![Change::Report(Box::new(report))];
    let wanted = Wanted { kind: "REST report", facility, mrn, bytes: &bytes, changes, sent: true };
    let receipt = writing::receive(&call, wanted).await?;
    let key = key(ChartKind::Report, facility, &number, "number")?;
    let caller = call.caller.clone();
    let row = call.blocking(move |archive| Ok(archive.charts().get(&caller, &key)?)).await?;
    writing::answered(&receipt, "report", row.map_or(Value::Null, |row| shown(&row, false)))
}

fn report(mut said: Said, now: u64) -> Result<Report, Problem> {
    let statuses = |text: &str| match text {
        "preliminary" => Ok(ReportStatus::Preliminary),
        "final" => Ok(ReportStatus::Final),
        "amended" => Ok(ReportStatus::Amended),
        "canceled" => Ok(ReportStatus::Canceled),
        _ => Err("preliminary, final, amended or canceled".to_owned()),
    };
    let disciplines = |text: &str| match text {
        "imaging" | "laboratory" | "pathology" => Ok(text.to_owned()),
        _ => Err("imaging, laboratory or pathology".to_owned()),
    };
    let contents = said.list("contents")?.unwrap_or_default();
    if contents.len() > CONTENTS_MAX {
        return Err(said.bad("contents", format!("at most {CONTENTS_MAX} pieces")));
    }
    let report = Report {
        number: said.needed("number")?,
        mrn: said.needed("mrn")?,
        visit: said.text("visit")?.unwrap_or_default(),
        placer: said.text("placer")?.unwrap_or_default(),
        accession: said.text("accession")?.unwrap_or_default(),
        study: said.uid("study")?.flatten(),
        discipline: said.parsed("discipline", disciplines)?.flatten().unwrap_or_else(|| "imaging".to_owned()),
        title: said.text("title")?.unwrap_or_default(),
        author: said.text("author")?.unwrap_or_default(),
        status: said.parsed("status", statuses)?.flatten().unwrap_or_default(),
        version: 1,
        contents: contents.into_iter().map(content).collect::<Result<_, _>>()?,
        at: said.number("at")?.unwrap_or(now),
    };
    said.end()?;
    Ok(report)
}

fn content(mut said: Said) -> Result<Content, Problem> {
    let kind = said.needed("as")?;
    let content = match kind.as_str() {
        "text" => Content::Text { heading: said.text("heading")?.unwrap_or_default(), text: said.needed("text")? },
        "pointer" => {
            let url = said.needed("url")?;
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(said.bad("url", "a URL begins with https:// or http://"));
            }
            Content::Pointer { url }
        }
        "document" => {
            let (media_type, base64) = (said.needed("media_type")?, said.needed("base64")?);
            let known = ["application/pdf", "image/jpeg", "image/png", "text/plain", "text/xml", "application/xml"];
            if !known.contains(&media_type.as_str()) {
                return Err(said.bad("media_type", format!("one of {}", known.join(", "))));
            }
            if STANDARD.decode(&base64).is_err() {
                return Err(said.bad("base64", "this is no base64"));
            }
            Content::Document { media_type, base64 }
        }
        _ => return Err(said.bad("as", "text, document or pointer")),
    };
    said.end()?;
    Ok(content)
}

/// A result as it is shown; without documents their length stands in their place.
pub(super) fn shown(row: &ChartRow, documents: bool) -> Value {
    let mut view = row_shown(row);
    let contents = view.get_mut("contents").and_then(Value::as_array_mut);
    for content in contents.into_iter().flatten().filter(|_| !documents).filter_map(Value::as_object_mut) {
        if let Some(Value::String(base64)) = content.remove("base64") {
            let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
            content.insert("bytes".into(), (base64.len() / 4 * 3).saturating_sub(padding).into());
        }
    }
    view
}

/// Finds results.
pub(super) async fn find(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let paging = Paging::of(&call)?;
    let text = |name: &str| call.query_value(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let documents = flag(&call, "documents")?;
    // With their documents results are long: few of them are one answer.
    let paging = if documents { Paging { limit: paging.limit.min(10), ..paging } } else { paging };
    if let Some(number) = text("number") {
        return one(&call, facility, &number).await;
    }
    if let Some(study) = text("study") {
        Uid::parse(&study).map_err(|error| bad("study", error.to_string()))?;
    }
    let mrn = text("mrn");
    let by = [("accession", Term::Accession), ("study", Term::Study), ("placer", Term::Placer), ("visit", Term::Visit)];
    let asked = by.into_iter().find_map(|(name, term)| Some((term, text(name)?)));
    if asked.is_none() && mrn.is_none() {
        return Err(bad("accession", "ask by number, placer, accession, study, visit or mrn"));
    }
    let caller = call.caller.clone();
    let found = call
        .blocking(move |archive| {
            let charts = archive.charts();
            let numbers = match &mrn {
                None => Vec::new(),
                Some(mrn) => find::numbers(charts, &caller, facility, mrn)?,
            };
            let one = |by: Term, value: &str| find::equal(ChartKind::Report, facility, by, value);
            let queries: Vec<ChartQuery> = match &asked {
                Some((by, value)) => vec![one(*by, value)],
                None => numbers.iter().map(|number| one(Term::Mrn, number)).collect(),
            };
            let fits = |row: &ChartRow| {
                mrn.is_none() || row.body.mrn().is_some_and(|mrn| numbers.iter().any(|number| number == mrn))
            };
            let show = |row: &ChartRow| shown(row, documents);
            Ok(find::told(charts, &caller, &queries, paging, (fits, show))?)
        })
        .await?;
    body(StatusCode::OK, &found.shown("reports"))
}

async fn one(call: &Call, facility: FacilityCode, number: &str) -> Result<Response, Problem> {
    let key = key(ChartKind::Report, facility, number, "number")?;
    let caller = call.caller.clone();
    let row = call.blocking(move |archive| Ok(archive.charts().get(&caller, &key)?)).await?;
    let documents = flag(call, "documents")?;
    let reports: Vec<Value> = row.iter().map(|row| shown(row, documents)).collect();
    body(StatusCode::OK, &json!({"reports": reports}))
}

fn flag(call: &Call, name: &str) -> Result<bool, Problem> {
    match call.query_value(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(bad(name, format!("{name} takes true or false"))),
    }
}

/// Lists messages.
pub(super) async fn messages(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let paging = Paging::of(&call)?;
    let text = flag(&call, "text")?;
    let said = |name: &str| call.query_value(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let filter = MessageFilter {
        facility: Some(facility),
        handled: said("state"),
        mrn: said("mrn"),
        moments: moments(said("from"), said("to"), call.app.archive.options().forward.utc_offset)?,
        kind: said("kind"),
        source: said("source"),
        control: said("control"),
    };
    let query = filter.query().map_err(|_| bad("state", "state takes done, parked or refused"))?;
    let caller = call.caller.clone();
    let fits = move |row: &ChartRow| filter.fits(row);
    let show = move |row: &ChartRow| {
        let mut view = row_shown(row);
        if let (Some(object), false) = (view.as_object_mut(), text) {
            object.remove("text");
            object.remove("mrn");
            object.remove("waiting");
        }
        view
    };
    let found = call
        .blocking(move |archive| Ok(find::told(archive.charts(), &caller, &[query], paging, (fits, show))?))
        .await?;
    body(StatusCode::OK, &found.shown("messages"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::chart::ChartBody;
    use model::chart::ChartKey;

    fn read(text: &str) -> Result<Report, Problem> {
        report(Said::read(text.as_bytes())?, 5)
    }

    #[test]
    fn a_result_is_read_and_its_document_is_shown_by_its_length() {
        let text = r#"{"number":"K1","mrn":"1","accession":"A1","title":"CT ngực","author":"BS. Lê An",
            "contents":[{"as":"text","heading":"Kết luận","text":"Bình thường"},
                        {"as":"document","media_type":"application/pdf","base64":"JVBERg=="}]}"#;
        let report = read(text).expect("a result");
        assert_eq!((report.at, report.version, report.status), (5, 1, ReportStatus::Final));
        let key = ChartKey::new(ChartKind::Report, FacilityCode::DEMO, "K1").expect("a key");
        let row = ChartRow { key, lsn: 1, created: 1, seal: None, body: ChartBody::Report(Box::new(report)) };
        let without = shown(&row, false);
        assert_eq!(without.pointer("/contents/1/bytes"), Some(&json!(4)), "{without}");
        assert_eq!(without.pointer("/contents/1/base64"), None);
        assert_eq!(shown(&row, true).pointer("/contents/1/base64"), Some(&json!("JVBERg==")));
    }

    #[test]
    fn what_is_no_result_is_refused_by_its_field() {
        for (rest, place) in [
            (r#""number":"1""#, "mrn"),
            (r#""mrn":"1""#, "number"),
            (r#""number":"1","mrn":"1","status":"done""#, "status"),
            (r#""number":"1","mrn":"1","contents":[{"as":"pointer","url":"javascript:x"}]"#, "contents[0].url"),
            (
                r#""number":"1","mrn":"1","contents":[{"as":"document","media_type":"text/html","base64":""}]"#,
                "contents[0].base64",
            ),
            (
                r#""number":"1","mrn":"1","contents":[{"as":"document","media_type":"text/html","base64":"eA=="}]"#,
                "contents[0].media_type",
            ),
            (r#""number":"1","mrn":"1","contents":[{"as":"film"}]"#, "contents[0].as"),
        ] {
            let problem = read(&format!("{{{rest}}}")).expect_err(rest);
            assert_eq!(problem.place, format!("body field {place}"), "{rest}");
        }
    }
}
