//! AuditEvent: what the archive keeps durably of who said, decided and opened what, told and never written.
//!
//! A message, a patient's link, a merge, a person's decision of a study and its order, and what a caller read of a study
//! within an hour are rows of charts; each row tells what happened to it. What people did to studies under retention is in
//! the ledger ([`super::ledger`]), which names nobody's patient and no facility.
//! Deliberately not here: who searched and looked at lists; that is in the log alone.

use super::bundle::{Found, Rows};
use super::dates;
use super::desk::{DCM, Desk, add};
use super::question::{Ask, Question, Wanted};
use super::tables::Resource;
use super::{audit_reads, ids, ledger, pages, patients};
use crate::problem::Problem;
use archive::{ChartDriver, ChartQuery};
use model::chart::matched::Decision;
use model::chart::{
    ChartBody, ChartKey, ChartKind, ChartRow, Handled, Match, Merge, Message, Read, Term, Ticket, term,
};
use model::{FacilityCode, Uid};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Most rows of a page.
const PAGE_MAX: usize = 100;
/// Kinds of rows that tell something of a patient by its number.
const KINDS: [ChartKind; 4] = [ChartKind::Message, ChartKind::Ticket, ChartKind::Merge, ChartKind::Match];
/// Parts of an id that one kind has.
const PARTS: usize = 100;
/// System of what we name ourselves.
pub(crate) const OURS: &str = "urn:khoanh:audit";
/// It had its effect (value set audit-event-outcome).
const DONE: &str = "0";
/// It waits for what it refers to.
const WAITS: &str = "4";
/// It had no effect.
const REFUSED: &str = "8";

/// Code and words of a kind of event (DICOM PS3.16 CID 400).
pub(crate) type Kind = (&'static str, &'static str);

const PATIENT: Kind = ("110110", "Patient Record");
const ORDER: Kind = ("110109", "Order Record");
const PROCEDURE: Kind = ("110111", "Procedure Record");
const IMPORT: Kind = ("110107", "Import");
const EXPORT: Kind = ("110106", "Export");
const ACCESS: Kind = ("110103", "DICOM Instances Accessed");

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) id: String,
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    /// What it is in our words.
    pub(crate) what: String,
    pub(crate) action: &'static str,
    pub(crate) outcome: &'static str,
    /// Why it waits or was refused.
    pub(crate) why: String,
    pub(crate) by: String,
    pub(crate) facility: Option<FacilityCode>,
    pub(crate) mrn: String,
    pub(crate) studies: Vec<Uid>,
    /// How often, where one line stands for several.
    pub(crate) times: u32,
    /// What was read, where that is what was done.
    pub(crate) read: Option<Box<Read>>,
}

/// What the rows of a kind tell, each with its place.
fn done(row: &ChartRow) -> Vec<(usize, Done)> {
    let base = |at: u64, kind: Kind, what: &str, action: &'static str, by: &str| Done {
        id: String::new(),
        at,
        kind,
        what: what.to_owned(),
        action,
        outcome: DONE,
        why: String::new(),
        by: by.to_owned(),
        facility: Some(row.key.facility),
        mrn: row.body.mrn().unwrap_or_default().trim().to_owned(),
        studies: Vec::new(),
        times: 0,
        read: None,
    };
    match &row.body {
        ChartBody::Message(one) => vec![(0, of_message(one, base(one.at, IMPORT, &one.kind, "U", &one.origin.source)))],
        ChartBody::Ticket(one) => of_ticket(one, base),
        ChartBody::Merge(one) => of_merge(one, base),
        ChartBody::Match(one) => of_match(one, base),
        ChartBody::Read(one) => vec![(0, audit_reads::of_read(one, base(one.first, ACCESS, "", "R", &one.by)))],
        _ => Vec::new(),
    }
}

fn of_message(one: &Message, base: Done) -> Done {
    let kind = match one.kind.split(['^', ' ']).collect::<Vec<_>>().as_slice() {
        ["ADT", ..] | ["REST" | "FHIR", "patient" | "Patient", ..] => PATIENT,
        ["ORM" | "OMI" | "OMG", ..] | ["REST" | "FHIR", "order" | "ServiceRequest", ..] => ORDER,
        _ => IMPORT,
    };
    let (outcome, why) = match &one.handled {
        Handled::Done => (DONE, String::new()),
        Handled::Parked { why, .. } => (WAITS, why.clone()),
        Handled::Refused { why } => (REFUSED, why.clone()),
    };
    Done { kind, outcome, why, ..base }
}

fn of_ticket(one: &Ticket, base: impl Fn(u64, Kind, &str, &'static str, &str) -> Done) -> Vec<(usize, Done)> {
    let of = |done: Done| Done { studies: one.studies.clone(), ..done };
    let mut all = vec![(0, of(base(one.issued, EXPORT, "share-issued", "C", &one.by)))];
    if one.opened > 0 {
        let opened = base(one.opened_at, ACCESS, "share-opened", "R", "whoever has the link and its code");
        all.push((1, Done { times: one.opened, ..of(opened) }));
    }
    if let Some((at, by)) = &one.revoked {
        all.push((2, of(base(*at, EXPORT, "share-revoked", "D", by))));
    }
    all
}

fn of_merge(one: &Merge, base: impl Fn(u64, Kind, &str, &'static str, &str) -> Done) -> Vec<(usize, Done)> {
    let mut all = vec![(0, base(one.at, PATIENT, "merged", "U", &one.by))];
    all.extend(one.undone.as_ref().map(|(at, by)| (1, base(*at, PATIENT, "unmerged", "U", by))));
    all
}

fn of_match(one: &Match, base: impl Fn(u64, Kind, &str, &'static str, &str) -> Done) -> Vec<(usize, Done)> {
    let each = one.acts.iter().enumerate();
    let decided = each.map(|(at, act)| {
        let what = match act.act {
            Decision::Match => "matched",
            Decision::Unmatch => "unmatched",
            Decision::Leave => "left",
        };
        (at, Done { studies: vec![one.study.clone()], ..base(act.at, PROCEDURE, what, "U", &act.by) })
    });
    decided.collect()
}

/// What a row tells, with ids; what has none is not told.
fn told(row: &ChartRow) -> Vec<Done> {
    let with_id = |(part, done): (usize, Done)| Some(Done { id: id_of(row, part)?, ..done });
    done(row).into_iter().filter_map(with_id).collect()
}

fn id_of(row: &ChartRow, part: usize) -> Option<String> {
    let part = usize::from(row.key.kind.code()).saturating_mul(PARTS).saturating_add(part);
    match &row.body {
        ChartBody::Match(one) if one.patient == 0 => Some(ids::of_act(row.key.facility, part, &one.study)),
        ChartBody::Match(_) => None,
        _ => ids::of_part(row.key.facility, part, &row.key.id),
    }
}

/// The row that an id is of.
fn key_of(id: &str) -> Option<ChartKey> {
    let act = || ids::read_act(id).map(|(facility, part, study)| (facility, part, study.as_str().to_owned()));
    let (facility, part, number) = ids::read_part(id).or_else(act)?;
    let tells = |kind: &ChartKind| *kind == ChartKind::Read || KINDS.contains(kind);
    let kind = u8::try_from(part / PARTS).ok().and_then(ChartKind::of).filter(tells)?;
    ChartKey::new(kind, facility, &number).ok()
}

/// One by its id.
pub(crate) fn read(desk: &Desk, id: &str) -> Result<Option<Value>, Problem> {
    if let Some(number) = ledger::read_id(id) {
        return ledger::read(desk, number)?.map(|done| shown(desk, &done)).transpose();
    }
    let Some(key) = key_of(id) else { return Ok(None) };
    let Some(row) = desk.charts().get(&desk.caller, &key)? else { return Ok(None) };
    told(&row).into_iter().find(|done| done.id == id).map(|done| shown(desk, &done)).transpose()
}

/// Finds what was done: rows of charts, the newest first, then the ledger where the question is not about a patient.
pub(crate) fn find(desk: &Desk, question: &Question, count: usize, after: Option<&str>) -> Result<Found, Problem> {
    let count = count.min(PAGE_MAX);
    if let Some(after) = after.and_then(ledger::read_cursor) {
        let (found, next) = ledger::find(desk, count, after, &|done: &Done| fits(question, done))?;
        let values = found.iter().map(|done| shown(desk, done)).collect::<Result<Vec<Value>, Problem>>()?;
        return Ok(Found { rows: Rows::Made(values), next });
    }
    let (by_patient, numbers) = patients::asked(desk, question)?;
    // Who read names a study and no patient.
    let read_of = numbers.iter().map(|set| audit_reads::studies_of(desk, set));
    let read_of = read_of.collect::<Result<Vec<BTreeSet<_>>, Problem>>()?;
    let is_theirs = |row: &ChartRow| match &row.body {
        ChartBody::Read(read) => read_of.iter().all(|set| set.contains(&(row.key.facility, read.study.clone()))),
        _ => numbers.iter().all(|set| patients::is_of(set, row)),
    };
    let fitting = |row: &ChartRow| is_theirs(row) && told(row).iter().any(|done| fits(question, done));
    let (rows, next) = match question.all("_id").next() {
        Some(wanted) => {
            let keys: BTreeSet<ChartKey> = wanted.tokens().filter_map(|(_, id)| key_of(id)).collect();
            let mut all = pages::Gathered::default();
            for key in keys {
                if let Some(row) = desk.charts().get(&desk.caller, &key)?.filter(fitting) {
                    all.add(row)?;
                }
            }
            (all.page().rows, None)
        }
        None => {
            let queries = queries(desk, question, by_patient.as_ref().zip(read_of.first()));
            let page = pages::find(desk, &queries, count, patients::cursor(after)?, fitting)?;
            let more = ledger::begin(desk).filter(|_| by_patient.is_none() && question.all("entity").next().is_none());
            (page.rows, page.next.map(|next| next.to_string()).or(more))
        }
    };
    let mut values = Vec::new();
    for done in rows.iter().flat_map(|lean| told(&lean.row)).filter(|done| fits(question, done)) {
        values.push(shown(desk, &done)?);
    }
    // The ledger's own entries are nobody's.
    for id in question.all("_id").take(1).flat_map(Wanted::tokens).filter_map(|(_, id)| ledger::read_id(id)) {
        let named = ledger::read(desk, id)?.filter(|done| numbers.is_empty() && fits(question, done));
        values.extend(named.map(|done| shown(desk, &done)).transpose()?);
    }
    Ok(Found { rows: Rows::Made(values), next })
}

/// What finds the fewest rows of those that may tell it.
fn queries(
    desk: &Desk,
    question: &Question,
    by_patient: Option<(&patients::Numbers, &BTreeSet<(FacilityCode, Uid)>)>,
) -> Vec<ChartQuery> {
    let of_study = |kind: ChartKind, facility: FacilityCode, study: &Uid| ChartQuery {
        facilities: Some(BTreeSet::from([facility])),
        ..patients::equal(kind, Term::Study, study.as_str())
    };
    if let Some((numbers, studies)) = by_patient {
        let read = studies.iter().map(|(facility, study)| of_study(ChartKind::Read, *facility, study));
        return KINDS.into_iter().flat_map(|kind| patients::queries_of(kind, numbers)).chain(read).collect();
    }
    if let Some(wanted) = question.all("entity").next() {
        let studies = wanted.references().filter_map(ids::read_study).filter(|(of, _)| desk.caller.may_see(*of));
        let of = |(facility, study): (FacilityCode, Uid)| {
            [ChartKind::Ticket, ChartKind::Match, ChartKind::Read].map(|kind| of_study(kind, facility, &study))
        };
        return studies.flat_map(of).collect();
    }
    let all = |kind| patients::equal(kind, Term::Any, "");
    // Of studies and their orders only those a person decided of: there are as many as studies.
    let decided = ChartDriver::Equal(Term::State, term::DECIDED.to_owned());
    vec![
        ChartQuery { moments: moments(question), ..all(ChartKind::Message) },
        all(ChartKind::Ticket),
        all(ChartKind::Merge),
        ChartQuery { driver: decided, ..all(ChartKind::Match) },
        ChartQuery { moments: moments(question), ..reads(question) },
    ]
}

/// Reads, by their caller where it is named whole.
fn reads(question: &Question) -> ChartQuery {
    let exact = question.all("agent-name").find(|wanted| wanted.exact);
    match exact.and_then(|wanted| wanted.texts().next().filter(|_| wanted.texts().count() == 1)) {
        Some(name) => patients::equal(ChartKind::Read, Term::Reader, name),
        None => patients::equal(ChartKind::Read, Term::Any, ""),
    }
}

/// Moments that hold everything asked by date.
fn moments(question: &Question) -> Option<(u64, u64)> {
    let (mut low, mut high) = (0, u64::MAX);
    for wanted in question.all("date") {
        let spans: Vec<_> = wanted
            .any
            .iter()
            .filter_map(|ask| match ask {
                Ask::Date(span) => Some(span.bounds()),
                _ => None,
            })
            .collect();
        let from = spans.iter().map(|(from, _)| from.map_or(0, |from| u64::try_from(from).unwrap_or(0))).min();
        let to = spans.iter().map(|(_, to)| to.map_or(u64::MAX, |to| u64::try_from(to).unwrap_or(0))).max();
        (low, high) = (low.max(from.unwrap_or(0)), high.min(to.unwrap_or(u64::MAX)));
    }
    ((low, high) != (0, u64::MAX)).then_some((low, high))
}

fn fits(question: &Question, done: &Done) -> bool {
    let (by, site) = (done.by.to_lowercase(), done.facility.map(|facility| facility.to_string()).unwrap_or_default());
    let agent = |wanted: &Wanted| {
        wanted
            .texts()
            .map(str::to_lowercase)
            .any(|asked| if wanted.exact { by == asked } else { by.starts_with(&asked) })
    };
    let study = |id: &str| {
        let named = ids::read_study(id);
        named.is_some_and(|(facility, study)| done.facility == Some(facility) && done.studies.contains(&study))
    };
    question.accepts_token("_id", "", &[&done.id])
        && question.accepts_date("date", Some(dates::at(done.at)))
        && question.accepts_token("type", DCM, &[done.kind.0])
        && question.accepts_token("subtype", OURS, &[&done.what])
        && question.accepts_token("action", "http://hl7.org/fhir/audit-event-action", &[done.action])
        && question.accepts_token("outcome", "http://hl7.org/fhir/audit-event-outcome", &[done.outcome])
        && question.all("agent-name").all(agent)
        && question.all("entity").all(|wanted| wanted.references().any(study))
        && question.accepts_token("site", "", &[&site])
}

/// An event as a resource.
fn shown(desk: &Desk, done: &Done) -> Result<Value, Problem> {
    let mut event = Map::new();
    add(&mut event, "resourceType", Resource::AuditEvent.name());
    add(&mut event, "id", done.id.clone());
    add(&mut event, "type", json!({"system": DCM, "code": done.kind.0, "display": done.kind.1}));
    add(&mut event, "subtype", vec![json!({"system": OURS, "code": done.what})]);
    add(&mut event, "action", done.action);
    add(&mut event, "recorded", dates::instant(done.at, desk.utc_offset));
    add(&mut event, "outcome", done.outcome);
    add(&mut event, "outcomeDesc", done.why.trim());
    let by = if done.by.trim().is_empty() { "the archive" } else { done.by.trim() };
    let agents = done.read.as_deref().map(audit_reads::agents);
    let agents = agents.unwrap_or_else(|| vec![json!({"who": {"display": by}, "requestor": true})]);
    add(&mut event, "agent", agents);
    if let Some(read) = &done.read {
        add(&mut event, "period", audit_reads::period(desk, read));
    }
    let mut source = Map::new();
    add(&mut source, "site", done.facility.map(|facility| facility.to_string()));
    add(&mut source, "observer", json!({"display": "Khoanh"}));
    add(&mut event, "source", Value::Object(source));
    add(&mut event, "entity", entities(desk, done)?);
    Ok(Value::Object(event))
}

fn entities(desk: &Desk, done: &Done) -> Result<Vec<Value>, Problem> {
    let Some(facility) = done.facility else { return Ok(Vec::new()) };
    let code = |system: &str, code: &str| json!({"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code});
    let mut all = Vec::new();
    if !done.mrn.is_empty() {
        let what = desk.patient(facility, &done.mrn, "")?;
        let (kind, role) = (code("audit-entity-type", "1"), code("object-role", "1"));
        all.push(json!({"what": what, "type": kind, "role": role}));
    }
    for study in &done.studies {
        let mut what = Map::new();
        if super::studies::is_there(desk, facility, study)? {
            what.extend(desk.reference(Resource::ImagingStudy, Some(ids::of_study(facility, study))));
        }
        add(&mut what, "identifier", super::studies::uid(study));
        let (kind, role) = (code("audit-entity-type", "2"), code("object-role", "3"));
        all.push(json!({"what": what, "type": kind, "role": role}));
    }
    if let Some(read) = &done.read {
        all.push(json!({"name": "the read", "detail": audit_reads::details(read)}));
    } else if done.times > 0 {
        let detail = json!([{"type": "opened", "valueString": done.times.to_string()}]);
        all.push(json!({"name": "the link", "detail": detail}));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Digest;
    use model::chart::BirthDate;
    use model::chart::matched::Act;
    use model::chart::{Side, Verdict};

    fn row(kind: ChartKind, id: &str, body: ChartBody) -> ChartRow {
        let facility = FacilityCode::parse("56001").expect("a code");
        let key = ChartKey::new(kind, facility, id).expect("a key");
        ChartRow { key, lsn: 1, created: 1, seal: None, body }
    }

    fn lines(row: &ChartRow) -> Vec<(u64, String, String)> {
        told(row).into_iter().map(|done| (done.at, done.what, done.by)).collect()
    }

    #[test]
    fn a_patients_link_tells_its_issue_its_opening_and_its_end() {
        let digest = Digest([1; 32]);
        let ticket = Ticket {
            secret: digest,
            salt: digest,
            rounds: 1,
            check: digest,
            mrn: "22000017".into(),
            birth: BirthDate::parse("1978").expect("a year"),
            studies: vec![Uid::parse("1.2.3").expect("a UID")],
            download: false,
            issued: 5,
            until: 100,
            by: "desk".into(),
            revoked: Some((9, "steward".into())),
            opened: 3,
            opened_at: 7,
            wrong: 0,
            wrong_at: 0,
        };
        let row = row(ChartKind::Ticket, "0a1b", ChartBody::Ticket(Box::new(ticket)));
        let told = told(&row);
        assert_eq!(
            lines(&row),
            [
                (5, "share-issued".into(), "desk".into()),
                (7, "share-opened".into(), "whoever has the link and its code".into()),
                (9, "share-revoked".into(), "steward".into()),
            ]
        );
        assert!(told.iter().all(|done| key_of(&done.id).as_ref() == Some(&row.key) && done.studies.len() == 1));
        assert_eq!(told.iter().map(|done| done.times).collect::<Vec<_>>(), [0, 3, 0]);
    }

    #[test]
    fn a_decision_about_a_study_has_an_id_however_long_its_uid_is() {
        let study = Uid::parse(&format!("1.2.{}", "9".repeat(60))).expect("a UID");
        let act = |act, by: &str, at| Act { act, by: by.into(), at, former: None, number: None };
        let one = Match {
            study: study.clone(),
            patient: 0,
            mrn: Some("22000017".into()),
            placer: String::new(),
            verdict: Verdict::Unmatched,
            why: Vec::new(),
            of_study: Side::default(),
            accession: None,
            modalities: BTreeSet::new(),
            of_order: None,
            complete: true,
            opened: None,
            moved: 0,
            by: Some("Lân".into()),
            before: None,
            acts: vec![act(Decision::Match, "An", 3), act(Decision::Unmatch, "Lân", 4)],
            at: 4,
        };
        let row = row(ChartKind::Match, study.as_str(), ChartBody::Match(Box::new(one)));
        assert_eq!(lines(&row), [(3, "matched".into(), "An".into()), (4, "unmatched".into(), "Lân".into())]);
        assert!(told(&row).iter().all(|done| key_of(&done.id).as_ref() == Some(&row.key)));
    }
}
