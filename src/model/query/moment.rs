//! A date and a time that are asked for as one moment (combined date-time matching, PS3.4 section C.2.2.2.5).

use super::{QueryError, date, first, time};
use crate::attribute::{attribute, key};
use crate::{AttrKey, Attributes};

/// Dates and the times of day that belong to them.
pub const PAIRS: [(AttrKey, AttrKey); 5] = [
    (key::STUDY_DATE, key::STUDY_TIME),
    (key::PATIENT_BIRTH_DATE, key::PATIENT_BIRTH_TIME),
    (key::SERIES_DATE, key::SERIES_TIME),
    (key::ACQUISITION_DATE, key::ACQUISITION_TIME),
    (key::CONTENT_DATE, key::CONTENT_TIME),
];

/// A span of moments, both ends inclusive. The dates alone are a condition that everything in it satisfies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The date's attribute.
    pub date: AttrKey,
    /// The time's attribute.
    pub time: AttrKey,
    /// `YYYYMMDDHHMMSS.FFFFFF`.
    from: Option<String>,
    to: Option<String>,
}

/// The ends of a range as they are written; none for a single value.
fn ends(text: &str) -> Option<(&str, &str)> {
    let (from, to) = text.trim_matches([' ', '\0']).split_once('-')?;
    Some((from.trim(), to.trim()))
}

impl Moment {
    /// The span that two keys ask for together; none unless both are ranges of the same form.
    ///
    /// # Errors
    /// When an end is no date or time, or the span ends before it begins.
    pub fn parse(pair: (AttrKey, AttrKey), dates: &str, times: &str) -> Option<Result<Self, QueryError>> {
        let ((date_from, date_to), (time_from, time_to)) = (ends(dates)?, ends(times)?);
        let same = date_from.is_empty() == time_from.is_empty() && date_to.is_empty() == time_to.is_empty();
        let open = date_from.is_empty() && date_to.is_empty();
        (same && !open).then(|| {
            let (from, to) = (end(pair, date_from, time_from, '0')?, end(pair, date_to, time_to, '9')?);
            match (&from, &to) {
                (Some(from), Some(to)) if from > to => Err(QueryError::Reversed { keyword: keyword(pair.0) }),
                _ => Ok(Self { date: pair.0, time: pair.1, from, to }),
            }
        })
    }

    /// Whether a row lies in it. One without a time of day does when its whole day does.
    pub fn accepts(&self, attributes: &Attributes) -> bool {
        let value = |key| attributes.get(&key).map_or("", |text| first(text));
        let Some(day) = date(value(self.date)) else { return false };
        let (earliest, latest) = match time(value(self.time), '0') {
            Some(at) => (format!("{day}{at}"), format!("{day}{at}")),
            None => (format!("{day}000000.000000"), format!("{day}235959.999999")),
        };
        self.from.as_ref().is_none_or(|from| *from <= earliest) && self.to.as_ref().is_none_or(|to| latest <= *to)
    }
}

fn keyword(key: AttrKey) -> &'static str {
    attribute(key).map_or("a date", |row| row.keyword)
}

/// An end of a span; none where the range is open.
fn end(pair: (AttrKey, AttrKey), day: &str, at: &str, fill: char) -> Result<Option<String>, QueryError> {
    if day.is_empty() {
        return Ok(None);
    }
    let day = date(day).ok_or_else(|| QueryError::Date { keyword: keyword(pair.0) })?;
    let at = time(at, fill).ok_or_else(|| QueryError::Time { keyword: keyword(pair.1) })?;
    Ok(Some(format!("{day}{at}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: (AttrKey, AttrKey) = (key::STUDY_DATE, key::STUDY_TIME);

    fn within(dates: &str, times: &str, row: (&str, &str)) -> bool {
        let moment = Moment::parse(STUDY, dates, times).expect("a span").expect("sound");
        let row = [(key::STUDY_DATE, row.0.to_owned()), (key::STUDY_TIME, row.1.to_owned())];
        moment.accepts(&Attributes::from(row))
    }

    #[test]
    fn a_span_goes_over_midnight() {
        let asked = |row| within("20060705-20060707", "2200-0600", row);
        assert!(asked(("20060705", "2200")) && asked(("20060706", "1200")) && asked(("20060707", "060059.5")));
        assert!(!asked(("20060705", "215959")) && !asked(("20060707", "0601")));
        assert!(!asked(("20060704", "2300")) && !asked(("20060708", "0000")) && !asked(("", "2300")));
    }

    #[test]
    fn open_ends_stay_open() {
        assert!(
            within("20060705-", "1000-", ("20991231", "0000")) && !within("20060705-", "1000-", ("20060705", "0959"))
        );
        assert!(
            within("-20060705", "-1000", ("19000101", "2359")) && !within("-20060705", "-1000", ("20060705", "1001"))
        );
    }

    #[test]
    fn without_a_time_of_day_the_whole_day_must_lie_in_it() {
        let asked = |row| within("20060705-20060707", "1000-1800", row);
        assert!(asked(("20060706", "")) && !asked(("20060705", "")) && !asked(("20060707", "")));
    }

    #[test]
    fn other_forms_are_no_span_and_bad_ends_are_told() {
        for (dates, times) in
            [("20060705", "1000-1800"), ("20060705-", "1000-1800"), ("20060705-20060706", "1000"), ("-", "-")]
        {
            assert!(Moment::parse(STUDY, dates, times).is_none(), "{dates} {times}");
        }
        let error = |dates, times| Moment::parse(STUDY, dates, times).expect("a span").expect_err("bad");
        assert_eq!(error("20060707-20060707", "1800-1000"), QueryError::Reversed { keyword: "StudyDate" });
        assert_eq!(error("20060705-2006", "1000-1800"), QueryError::Date { keyword: "StudyDate" });
        assert_eq!(error("20060705-20060706", "1000-25"), QueryError::Time { keyword: "StudyTime" });
    }
}
