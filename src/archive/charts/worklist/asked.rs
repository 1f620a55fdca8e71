//! What a worklist is asked for, read once, and whether a step is it (PS3.4 section K.6.1.2).

use crate::charts::times;
use crate::charts::{ChartError, WorklistQuery};
use model::attribute::{attribute, key};
use model::chart::{Order, Patient, Step};
use model::date::DAY_MS;
use model::query::{self, Test};
use model::{AeTitle, Uid};

/// A question made ready.
pub(super) struct Asked {
    pub(super) station: Option<AeTitle>,
    /// Days from and to, both included.
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) modalities: Vec<String>,
    pub(super) mrn: String,
    pub(super) accession: String,
    pub(super) step_id: String,
    pub(super) studies: Vec<Uid>,
    procedure_id: String,
    name: Test,
    when: When,
    utc_offset: i8,
}

/// What is asked of a step's start beside its day.
enum When {
    /// From one moment to another, milliseconds since 1970 UTC.
    Span(u64, u64),
    /// From one second of the day to another.
    OfDay(u64, u64),
}

impl Asked {
    /// Reads a question.
    ///
    /// # Errors
    /// [`ChartError::Invalid`] for days, times or a name that are none.
    pub(super) fn new(query: &WorklistQuery, utc_offset: i8) -> Result<Self, ChartError> {
        let text = |text: &str| text.trim().to_owned();
        let (from, to) = (day(&query.days.0)?, day(&query.days.1)?);
        let when = when((from.as_deref(), to.as_deref()), &query.times, utc_offset)?;
        let modalities = query.modalities.iter().map(|one| text(one)).filter(|one| !one.is_empty()).collect();
        Ok(Self {
            station: query.station.clone(),
            from,
            to,
            modalities,
            mrn: text(&query.mrn),
            accession: text(&query.accession),
            step_id: text(&query.step_id),
            studies: query.studies.clone(),
            procedure_id: text(&query.procedure_id),
            name: name(&query.name)?,
            when,
            utc_offset,
        })
    }

    /// Whether steps of this station and modality may match.
    pub(super) fn takes(&self, station: Option<&AeTitle>, modality: &str) -> bool {
        let here = match (&self.station, station) {
            (Some(asked), Some(station)) => asked == station,
            _ => true,
        };
        here && (self.modalities.is_empty() || self.modalities.iter().any(|one| one == modality))
    }

    /// Whether a step matches.
    pub(super) fn accepts(&self, order: &Order, step: &Step, patient: &Patient, folded_name: &str) -> bool {
        let is = |asked: &str, value: &str| asked.is_empty() || asked == value.trim();
        self.takes(step.station.as_ref(), &step.modality)
            && self.from.as_ref().is_none_or(|from| *from <= step.date)
            && self.to.as_ref().is_none_or(|to| step.date <= *to)
            && self.starts(step.start)
            && is(&self.accession, &order.accession)
            && is(&self.procedure_id, &order.procedure_id)
            && is(&self.step_id, &step.id)
            // Whoever has the number a patient was merged from still finds the patient.
            && (is(&self.mrn, &patient.mrn) || is(&self.mrn, &order.mrn))
            && (self.studies.is_empty() || self.studies.contains(&order.study))
            && (self.name == Test::Any || self.name.accepts_folded(folded_name, false))
    }

    fn starts(&self, start: u64) -> bool {
        match self.when {
            When::Span(from, to) => (from..=to).contains(&start),
            When::OfDay(from, to) => {
                let local = start.saturating_add_signed(i64::from(self.utc_offset).saturating_mul(3_600_000));
                (from..=to).contains(&(local % DAY_MS / 1000))
            }
        }
    }
}

fn invalid(what: &str) -> ChartError {
    ChartError::Invalid(what.to_owned())
}

/// A day of a question; none where it is open.
fn day(text: &str) -> Result<Option<String>, ChartError> {
    match text.trim() {
        "" => Ok(None),
        text => query::date(text).map(Some).ok_or_else(|| invalid("the start date takes a date YYYYMMDD or a range")),
    }
}

/// The second of the day of an end of times; the last one it can mean, for `'9'`.
fn second(text: &str, fill: char) -> Result<u64, ChartError> {
    let number = |time: &str, from: usize, to: usize| time.get(from..to).and_then(|part| part.parse::<u64>().ok());
    let read = || {
        let time = query::time(text, fill)?;
        Some(number(&time, 0, 2)? * 3600 + number(&time, 2, 4)? * 60 + number(&time, 4, 6)?.min(59))
    };
    read().ok_or_else(|| invalid("the start time takes a time HHMMSS or a range"))
}

/// Days and times of day together: they bound one span where both have the same ends, or both days are given; else
/// every day has those times (PS3.4 section K.6.1.2.2, section C.2.2.2.5.2).
fn when(
    (from, to): (Option<&str>, Option<&str>),
    times: &(String, String),
    utc_offset: i8,
) -> Result<When, ChartError> {
    let (begin, end) = (times.0.trim(), times.1.trim());
    let first = if begin.is_empty() { 0 } else { second(begin, '0')? };
    let last = if end.is_empty() { 86_399 } else { second(end, '9')? };
    let alike = from.is_some() != begin.is_empty() && to.is_some() != end.is_empty();
    let both_days = from.is_some() && to.is_some();
    if begin.is_empty() && end.is_empty() || !(alike || both_days) {
        return Ok(When::OfDay(first, last));
    }
    let midnight = |day: Option<&str>, open: u64| match day {
        // A form that is a date and no day, like 31 February, bounds nothing beyond itself.
        Some(day) => times::moment(day, "", utc_offset).map_or(open, |(_, _, start)| start),
        None => open,
    };
    let begins = from.map_or(0, |_| midnight(from, 0).saturating_add(first * 1000));
    let ends = to.map_or(u64::MAX, |_| midnight(to, u64::MAX).saturating_add(last * 1000 + 999));
    Ok(When::Span(begins, ends))
}

/// The name asked for, by the rules of every other query.
fn name(text: &str) -> Result<Test, ChartError> {
    match attribute(key::PATIENT_NAME) {
        Some(attribute) => Test::parse(attribute, text).map_err(|error| ChartError::Invalid(error.to_string())),
        None => Ok(Test::Any),
    }
}
