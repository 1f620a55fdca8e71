//! ORU^R01 and OUL^R21 to R24: results as text, documents and pointers.

use super::groups::{Begin, groups};
use super::order::{about, is_study, study};
use super::patient;
use super::{Context, Scope};
use crate::hl7::values::{performer, words};
use crate::hl7::{Fault, Segment};
use crate::map::Discipline;
use model::chart::{Change, Content, Report, ReportStatus};

/// Value types of OBX-2 that are read as words.
const WORDS: [&str; 14] = ["TX", "FT", "ST", "NM", "SN", "CE", "CWE", "CNE", "CF", "DT", "TM", "TS", "DTM", "IS"];

pub(super) fn changes(context: &Context<'_>, kind: &str, trigger: &str) -> Result<Vec<Change>, Fault> {
    // Only in the later ones of OUL does ORC stand behind its OBR.
    let begin = if kind == "OUL" && trigger != "R21" { Begin::Result } else { Begin::Order };
    let groups = groups(context.message, begin);
    let whole = Scope { own: context.message.segments(), head: &[] };
    let (mut changes, mrn) = about(context, whole)?;
    let mrn = mrn.ok_or_else(|| Fault::sequence("PID", "a result needs its patient: the segment PID is missing"))?;
    if groups.is_empty() {
        return Err(Fault::sequence("OBR", "the segment OBR is missing"));
    }
    for (index, scope) in groups.into_iter().enumerate() {
        changes.push(Change::Report(Box::new(report(context, scope, kind, &mrn, index + 1)?)));
    }
    Ok(changes)
}

fn report(
    context: &Context<'_>,
    scope: Scope<'_, '_>,
    kind: &str,
    mrn: &str,
    sequence: usize,
) -> Result<Report, Fault> {
    let missing = || Fault::sequence("OBR", "the segment OBR is missing").of(sequence);
    let obr = scope.first("OBR").ok_or_else(missing)?;
    let map = &context.map.order;
    let placer = scope.value(&map.placer).unwrap_or_default();
    let filler = scope.value(&map.filler).unwrap_or_default();
    let order = if filler.is_empty() { &placer } else { &filler };
    if order.is_empty() {
        return Err(Fault::missing("OBR", 3, "a result needs the filler's or the placer's order number").of(sequence));
    }
    let what = obr.field(4).component(1).text();
    let number = if what.is_empty() { order.clone() } else { format!("{order}/{what}") };
    let study = study(context, scope, sequence)?;
    let made = [(22, "OBR-22"), (7, "OBR-7")];
    let made = made.into_iter().find_map(|(field, name)| context.ms(obr.field(field).component(1), name));
    Ok(Report {
        number,
        mrn: mrn.to_owned(),
        visit: patient::visit_number(context, scope).unwrap_or_default(),
        placer,
        accession: scope.value(&map.accession).unwrap_or_default(),
        discipline: discipline(context, &obr, kind, study.is_some()).name().to_owned(),
        study,
        title: words(obr.field(4)).unwrap_or_default(),
        author: author(scope, &obr),
        status: ReportStatus::of_hl7(&obr.field(25).component(1).text()),
        version: 1,
        contents: contents(context, scope, kind)?,
        at: made.or_else(|| context.written()).unwrap_or(0),
    })
}

/// By OBR-24, else by the study, else by the type of the message, else as the map says.
fn discipline(context: &Context<'_>, obr: &Segment<'_>, kind: &str, has_study: bool) -> Discipline {
    let section = obr.field(24).component(1).text();
    context.map.discipline(&section).unwrap_or(match kind {
        _ if has_study => Discipline::Imaging,
        "OUL" => Discipline::Laboratory,
        _ => context.map.result.discipline,
    })
}

/// Who signed: OBR-32, else OBX-16.
fn author(scope: Scope<'_, '_>, obr: &Segment<'_>) -> String {
    let signed = obr.field(32).repetitions().next().and_then(performer).filter(|name| !name.is_empty());
    let observed = || {
        let observers = scope.own.iter().filter(|segment| segment.name() == "OBX").map(|obx| obx.field(16));
        observers.filter_map(|observer| observer.repetitions().next().and_then(performer)).find(|name| !name.is_empty())
    };
    signed.or_else(observed).unwrap_or_default()
}

/// The pieces in order; text under the same heading is one piece. In OUL what stands behind a specimen or container that
/// follows the result is said of these, often of the next one's.
fn contents(context: &Context<'_>, scope: Scope<'_, '_>, kind: &str) -> Result<Vec<Content>, Fault> {
    let (mut contents, mut sequence) = (Vec::new(), 0);
    for segment in scope.own {
        if kind == "OUL" && sequence > 0 && ["SPM", "SAC"].contains(&segment.name()) {
            break;
        }
        let content = match segment.name() {
            "OBX" => {
                sequence += 1;
                observation(context, segment, sequence)?
            }
            "NTE" => note(segment),
            _ => None,
        };
        let Some(content) = content else { continue };
        if let Content::Text { heading: same, text: more } = &content
            && let Some(Content::Text { heading, text }) = contents.last_mut()
            && heading == same
        {
            text.push('\n');
            text.push_str(more);
            continue;
        }
        contents.push(content);
    }
    Ok(contents)
}

/// Notes, in the lines they came in.
fn note(nte: &Segment<'_>) -> Option<Content> {
    let lines: Vec<String> = nte.field(3).repetitions().map(|line| line.text()).collect();
    let text = lines.join("\n");
    (!text.trim().is_empty()).then(|| Content::Text { heading: "Note".to_owned(), text })
}

fn observation(context: &Context<'_>, obx: &Segment<'_>, sequence: usize) -> Result<Option<Content>, Fault> {
    let deleted = ["D", "X"].contains(&obx.field(11).component(1).text().as_str());
    if deleted || is_study(context, obx) || obx.field(5).is_empty() {
        return Ok(None);
    }
    let kind = obx.field(2).text().to_ascii_uppercase();
    match kind.as_str() {
        "ED" => document(obx, sequence).map(Some),
        "RP" => Ok(pointer(obx)),
        // What has no type is text.
        "" => Ok(text(obx, "TX")),
        _ if WORDS.contains(&kind.as_str()) => Ok(text(obx, &kind)),
        _ => {
            context.remark(format!("OBX of type {} was left out", super::shown(&kind)));
            Ok(None)
        }
    }
}

fn text(obx: &Segment<'_>, kind: &str) -> Option<Content> {
    let heading = words(obx.field(3)).unwrap_or_default();
    let coded = ["CE", "CWE", "CNE", "CF"].contains(&kind);
    let value = |one: crate::hl7::Piece<'_>| match kind {
        _ if coded => words(one).unwrap_or_default(),
        // Comparator, number, separator, number.
        "SN" => [1, 2, 3, 4].map(|part| one.component(part).text()).concat(),
        // Unescaped separators in text are text.
        _ => one.text(),
    };
    let lines: Vec<String> = obx.field(5).repetitions().map(value).collect();
    let mut text = lines.join("\n").trim().to_owned();
    if text.is_empty() {
        return None;
    }
    for (field, open, close) in [(6, " ", ""), (7, " (", ")"), (8, " [", "]")] {
        let more = obx.field(field).component(1).text();
        if !more.is_empty() && ["NM", "SN"].contains(&kind) {
            text.push_str(&format!("{open}{more}{close}"));
        }
    }
    Some(Content::Text { heading, text })
}

/// ED: source application, type, subtype, encoding, data.
fn document(obx: &Segment<'_>, sequence: usize) -> Result<Content, Fault> {
    let part = |number: usize| obx.field(5).component(number).text();
    let (main, sub) = (part(2).to_ascii_lowercase(), part(3).to_ascii_lowercase());
    let media_type = match (main.as_str(), sub.as_str()) {
        ("application" | "ap" | "", "pdf") | ("pdf", _) => "application/pdf".to_owned(),
        ("image" | "im", "jpeg" | "jpg") => "image/jpeg".to_owned(),
        ("text" | "tx", sub @ ("html" | "plain" | "xml" | "rtf")) => format!("text/{sub}"),
        (main, "") if main.contains('/') => main.to_owned(),
        (main, sub) if !main.is_empty() && !sub.is_empty() => format!("{main}/{sub}"),
        _ => {
            return Err(
                Fault::missing("OBX", 5, "a document (ED) names its type, such as ^application^pdf").of(sequence)
            );
        }
    };
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"/+.-".contains(&letter);
    if media_type.len() > 100 || !media_type.bytes().all(plain) {
        return Err(Fault::form("OBX", 5, "the type of a document (ED) is no media type").of(sequence));
    }
    if !part(4).eq_ignore_ascii_case("base64") {
        return Err(Fault::value("OBX", 5, "a document (ED) is sent as Base64").of(sequence));
    }
    let base64: String = part(5).chars().filter(|letter| !letter.is_whitespace()).collect();
    let data = base64.trim_end_matches('=');
    let whole = !data.is_empty()
        && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
        && base64.len().is_multiple_of(4)
        && base64.len() - data.len() <= 2;
    if !whole {
        return Err(Fault::form("OBX", 5, "the data of a document (ED) is no Base64, or is cut").of(sequence));
    }
    Ok(Content::Document { media_type, base64 })
}

/// RP: where it lies.
fn pointer(obx: &Segment<'_>) -> Option<Content> {
    let url = obx.field(5).component(1).text();
    (!url.is_empty()).then_some(Content::Pointer { url })
}
