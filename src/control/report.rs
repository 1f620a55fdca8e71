//! Reports for operators: what was expected of a day and what is there, and how long orders took.

use super::work::registered;
use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::charts::{Completeness, CompletenessPlace, Days, TurnaroundQuery};
use model::{Caller, Date, FacilityCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most that is named in one answer.
const NAMED_MAX: usize = 10_000;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum ReportRequest {
    /// What was expected of a day, facility by facility.
    Completeness {
        /// Only this facility.
        facility: Option<FacilityCode>,
        /// The day, by the facilities' clock.
        day: Date,
        /// Behind this place.
        after: Option<String>,
        /// At most so many names.
        limit: usize,
    },
    /// How long orders took, by facility and modality.
    Turnaround {
        /// Only this facility.
        facility: Option<FacilityCode>,
        /// The days.
        days: Days,
        /// Days to compare them with.
        baseline: Option<Days>,
        /// Behind this facility.
        after: Option<String>,
        /// At most so many lines, or those of one facility.
        limit: usize,
    },
}

/// Does what is asked.
pub(super) fn answer(archive: &Arc<Archive>, request: &ReportRequest, stop: &AtomicBool) -> Result<Value, Failure> {
    match request {
        ReportRequest::Completeness { facility, day, after, limit } => {
            let codes = codes(archive, *facility)?;
            completeness(archive, &codes, *day, after.as_deref(), (*limit).clamp(1, NAMED_MAX), stop)
        }
        ReportRequest::Turnaround { facility, days, baseline, after, limit } => {
            facility.map_or(Ok(()), |code| registered(archive, code))?;
            let after = after.as_deref().map(FacilityCode::parse).transpose();
            let after = after.map_err(|error| Failure::new(Exit::Usage, format!("--after: {error}")))?;
            let query = TurnaroundQuery { facility: *facility, days: *days, baseline: *baseline, after, limit: *limit };
            let found = archive.turnaround(&Caller::operator(), &query);
            let found = found.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            Ok(json!({ "lines": found.lines, "after": found.next }))
        }
    }
}

/// The facilities asked for, in order.
fn codes(archive: &Archive, asked: Option<FacilityCode>) -> Result<Vec<FacilityCode>, Failure> {
    if let Some(code) = asked {
        registered(archive, code)?;
        return Ok(vec![code]);
    }
    let mut codes: Vec<FacilityCode> = archive.facility_codes().into_iter().collect();
    codes.sort_unstable();
    Ok(codes)
}

/// Facilities of a day, each as one, until so much is named; those of which nothing was expected are left out.
fn completeness(
    archive: &Archive,
    codes: &[FacilityCode],
    day: Date,
    after: Option<&str>,
    limit: usize,
    stop: &AtomicBool,
) -> Result<Value, Failure> {
    let (from, mut place) = match after.map(placed).transpose()? {
        Some((code, place)) => (Some(code), place),
        None => (None, CompletenessPlace::default()),
    };
    let (mut facilities, mut named, mut next) = (Vec::<Completeness>::new(), 0usize, None);
    for code in codes.iter().copied().filter(|code| from.is_none_or(|from| *code >= from)) {
        if from.is_some_and(|from| code != from) {
            place = CompletenessPlace::default();
        }
        if named >= limit {
            next = Some(format!("{code}/{place}"));
            break;
        }
        let whole = facility(archive, (code, day), place, limit.saturating_sub(named), stop)?;
        place = CompletenessPlace::default();
        named = named.saturating_add(whole.lacks.len());
        let rest = whole.next;
        if !whole.is_empty() {
            facilities.push(whole);
        }
        if let Some(rest) = rest {
            next = Some(format!("{code}/{rest}"));
            break;
        }
    }
    Ok(json!({ "facilities": facilities, "after": next }))
}

/// A facility's day, part by part, until so much is named.
fn facility(
    archive: &Archive,
    (code, day): (FacilityCode, Date),
    place: CompletenessPlace,
    limit: usize,
    stop: &AtomicBool,
) -> Result<Completeness, Failure> {
    let part = |place, limit| {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::new(Exit::Interrupted, "interrupted"));
        }
        let part = archive.completeness(&Caller::operator(), code, day, place, limit);
        part.map_err(|error| Failure::new(Exit::Failed, format!("{code}: {error}")))
    };
    let mut whole = part(place, limit)?;
    while let Some(next) = whole.next.filter(|_| whole.lacks.len() < limit) {
        let more = part(next, limit.saturating_sub(whole.lacks.len()))?;
        whole = whole.and(more);
    }
    Ok(whole)
}

/// The place where an answer before this one ended: FACILITY/PLACE.
fn placed(text: &str) -> Result<(FacilityCode, CompletenessPlace), Failure> {
    let wrong = || Failure::new(Exit::Usage, "--after takes the place that the page before named");
    let (code, place) = text.split_once('/').ok_or_else(wrong)?;
    let code = FacilityCode::parse(code).map_err(|_| wrong())?;
    Ok((code, CompletenessPlace::parse(place).map_err(|_| wrong())?))
}
