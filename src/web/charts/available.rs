//! "What is there?": the order's state, the studies with their links, and the results, in one answer.

use super::studies::{self, by_text, by_uids};
use super::{bad, facility, find, reports, shown as row_shown};
use crate::admin::body;
use crate::app::Call;
use crate::problem::Problem;
use archive::charts::{ChartError, Charts};
use archive::{Archive, FoundRow};
use axum::response::Response;
use http::StatusCode;
use model::attribute::key;
use model::chart::{ChartBody, ChartKind, ChartRow, Term};
use model::query::Condition;
use model::{Caller, FacilityCode, Uid};
use serde_json::{Value, json};

/// Rows of each kind in one answer.
const ROWS_MAX: usize = 200;

/// What is asked about.
#[derive(Debug)]
enum About {
    Accession(String),
    Patient(String),
    Visit(String),
    Study(Uid),
}

impl About {
    fn of(call: &Call) -> Result<Self, Problem> {
        let text = |name: &str| call.query_value(name).map(str::trim).filter(|text| !text.is_empty());
        let named = ["accession", "mrn", "visit", "study"].map(|name| text(name).is_some());
        if named.iter().filter(|there| **there).count() != 1 {
            return Err(bad("accession", "ask by one of accession, mrn, visit and study"));
        }
        let own = |name: &str| text(name).unwrap_or_default().to_owned();
        match named {
            [true, ..] => Ok(Self::Accession(own("accession"))),
            [_, true, ..] => Ok(Self::Patient(own("mrn"))),
            [_, _, true, _] => Ok(Self::Visit(own("visit"))),
            _ => Uid::parse(&own("study")).map(Self::Study).map_err(|error| bad("study", error.to_string())),
        }
    }

    /// The values it is found by; a patient has all its numbers.
    fn terms(
        &self,
        charts: &Charts,
        caller: &Caller,
        facility: FacilityCode,
    ) -> Result<Vec<(Term, String)>, ChartError> {
        Ok(match self {
            Self::Accession(number) => vec![(Term::Accession, number.clone())],
            Self::Visit(number) => vec![(Term::Visit, number.clone())],
            Self::Study(uid) => vec![(Term::Study, uid.as_str().to_owned())],
            Self::Patient(mrn) => {
                let numbers = find::numbers(charts, caller, facility, mrn)?;
                numbers.into_iter().map(|number| (Term::Mrn, number)).collect()
            }
        })
    }
}

/// What was found.
struct There {
    orders: Vec<ChartRow>,
    reports: Vec<ChartRow>,
    studies: Vec<FoundRow>,
    /// Whether each study and its order are one.
    matches: Vec<ChartRow>,
    more: bool,
}

/// Answers what is there.
pub(super) async fn show(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let about = About::of(&call)?;
    let caller = call.caller.clone();
    let there = call.blocking(move |archive| gather(archive, &caller, facility, &about)).await?;
    let (base, viewer) = (call.base_url(), call.app.viewer.is_some());
    let studies: Vec<Value> = there.studies.iter().map(|row| study(row, &there, &base, viewer)).collect();
    let view = json!({
        "facility": facility,
        "orders": there.orders.iter().map(row_shown).collect::<Vec<_>>(),
        "studies": studies,
        "reports": there.reports.iter().map(|row| reports::shown(row, false)).collect::<Vec<_>>(),
        "more": there.more,
    });
    body(StatusCode::OK, &view)
}

fn gather(archive: &Archive, caller: &Caller, facility: FacilityCode, about: &About) -> Result<There, Problem> {
    let charts = archive.charts();
    let terms = about.terms(charts, caller, facility)?;
    let mut more = false;
    let mut rows = |kind: ChartKind, by: Term, text: &str| -> Result<Vec<ChartRow>, ChartError> {
        let page = charts.find(caller, &find::equal(kind, facility, by, text), None, ROWS_MAX)?;
        more |= page.cursor.is_some();
        Ok(page.rows)
    };
    let (mut orders, mut reports) = (Vec::new(), Vec::new());
    for (by, text) in &terms {
        add(&mut orders, rows(ChartKind::Order, *by, text)?);
        add(&mut reports, rows(ChartKind::Report, *by, text)?);
    }
    let mut questions: Vec<Condition> = match about {
        About::Accession(number) => by_text(key::ACCESSION_NUMBER, number).into_iter().collect(),
        About::Study(uid) => by_uids([uid.clone()]).into_iter().collect(),
        About::Patient(_) => terms.iter().filter_map(|(_, number)| by_text(key::PATIENT_ID, number)).collect(),
        About::Visit(_) => Vec::new(),
    };
    let mut of_orders = Vec::new();
    for row in &orders {
        let ChartBody::Order(order) = &row.body else { continue };
        add(&mut reports, rows(ChartKind::Report, Term::Placer, &order.placer)?);
        of_orders.push(order.study.clone());
        // The other studies of a patient's orders are found by the patient already.
        if !matches!(about, About::Patient(_)) {
            questions.extend(by_text(key::ACCESSION_NUMBER, &order.accession));
        }
    }
    questions.extend(by_uids(of_orders));
    questions.dedup();
    let (studies, cut) = studies::any(archive, caller, facility, questions)?;
    let mut matches = Vec::new();
    for study in &studies {
        add(&mut matches, rows(ChartKind::Match, Term::Study, study.study.as_str())?);
    }
    Ok(There { orders, reports, studies, matches, more: more || cut })
}

fn add(all: &mut Vec<ChartRow>, rows: Vec<ChartRow>) {
    for row in rows {
        if !all.iter().any(|one| one.key == row.key) {
            all.push(row);
        }
    }
}

/// A study with the orders it was made for, and what came of looking for its order.
fn study(row: &FoundRow, there: &There, base: &str, viewer: bool) -> Value {
    let found = there.matches.iter().find_map(|one| match &one.body {
        ChartBody::Match(found) if found.study == row.study => Some(found),
        _ => None,
    });
    let accession = studies::value(row, key::ACCESSION_NUMBER);
    let of_this = there.orders.iter().filter_map(|one| match &one.body {
        ChartBody::Order(order) if order.study == row.study => Some(order.placer.clone()),
        ChartBody::Order(order) if !accession.is_empty() && order.accession == accession => Some(order.placer.clone()),
        _ => None,
    });
    let placers: Vec<String> = of_this.collect();
    let mut view = studies::shown(row, base, viewer);
    if let Some(object) = view.as_object_mut() {
        object.insert("orders".into(), placers.into());
        if let Some(found) = found {
            object.insert("match".into(), json!({"verdict": found.verdict, "placer": found.placer, "why": found.why}));
        }
    }
    view
}
