//! The time zone in which an asker means and wants dates and times of day (timezone query adjustment, PS3.4 C.5).
//!
//! What is stored is in the zone its study names, or else in the archive's. Birth dates are no moments and stay.

use super::{Condition, Test, all_digits};
use crate::attribute::{Attributes, key};
use crate::date::Date;
use crate::{AttrKey, query};

/// Dates and the times of day that belong to them, as far as a zone moves them.
const MOVED: [(AttrKey, AttrKey); 5] = [
    (key::STUDY_DATE, key::STUDY_TIME),
    (key::SERIES_DATE, key::SERIES_TIME),
    (key::PERFORMED_PROCEDURE_STEP_START_DATE, key::PERFORMED_PROCEDURE_STEP_START_TIME),
    (key::ACQUISITION_DATE, key::ACQUISITION_TIME),
    (key::CONTENT_DATE, key::CONTENT_TIME),
];
/// Minutes of a day.
const DAY: i64 = 1_440;

/// Minutes east of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(i64);

impl Zone {
    /// Reads Timezone Offset From UTC (0008,0201): `+HHMM` or `-HHMM`, from -1200 to +1400.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\0']);
        let (digits, sign) =
            text.strip_prefix('+').map(|digits| (digits, 1)).or(text.strip_prefix('-').map(|d| (d, -1)))?;
        let number = |from: usize, to: usize| digits.get(from..to).filter(|part| all_digits(part))?.parse::<i64>().ok();
        let (hours, minutes) = (number(0, 2)?, number(2, 4).filter(|minutes| *minutes < 60)?);
        let offset = sign * (hours * 60 + minutes);
        (digits.len() == 4 && (-720..=840).contains(&offset)).then_some(Self(offset))
    }

    /// So many hours east of UTC.
    pub fn of_hours(hours: i8) -> Self {
        Self(i64::from(hours) * 60)
    }

    /// As Timezone Offset From UTC is written.
    pub fn term(self) -> String {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.abs();
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }

    /// Tells dates and times of a row in this zone; `local` is that of rows which name none.
    pub fn translate(self, row: &mut Attributes, local: Self) {
        let stored = row.get(&key::TIMEZONE_OFFSET_FROM_UTC).and_then(|text| Self::parse(text)).unwrap_or(local);
        for pair in MOVED {
            shift(row, pair, self.0 - stored.0);
        }
        row.insert(key::TIMEZONE_OFFSET_FROM_UTC, self.term());
    }

    /// Takes the conditions that hold in this zone alone out of those of a question; what stays is true of every row
    /// that satisfies them in whatever zone it was stored.
    pub fn split(conditions: &mut Vec<Condition>) -> Vec<Condition> {
        let is_date = |key: AttrKey| MOVED.iter().any(|(date, _)| *date == key);
        let is_time = |key: AttrKey| MOVED.iter().any(|(_, time)| *time == key);
        let own: Vec<Condition> =
            conditions.iter().filter(|one| is_date(one.key) || is_time(one.key)).cloned().collect();
        conditions.retain(|one| !is_time(one.key));
        for one in conditions.iter_mut().filter(|one| is_date(one.key)) {
            one.test = wider(&one.test);
        }
        own
    }
}

/// Moves a date and its time of day; a date without one stays.
fn shift(row: &mut Attributes, (date, time): (AttrKey, AttrKey), minutes: i64) {
    let Some(at) = row.get(&time).map(|text| text.trim().replace(':', "")).filter(|text| !text.contains('\\')) else {
        return;
    };
    if minutes == 0 || query::time(&at, '0').is_none() {
        return;
    }
    let number = |from: usize, to: usize| at.get(from..to).and_then(|part| part.parse::<i64>().ok()).unwrap_or(0);
    let moved = number(0, 2) * 60 + number(2, 4) + minutes;
    let (days, minute) = (moved.div_euclid(DAY), moved.rem_euclid(DAY));
    let rest = at.get(4..).unwrap_or_default();
    row.insert(time, format!("{:02}{:02}{rest}", minute / 60, minute % 60));
    if let Some(day) = row.get(&date).and_then(|text| Date::parse_da(text)) {
        row.insert(date, written(day.plus_days(days)));
    }
}

fn written(day: Date) -> String {
    format!("{:04}{:02}{:02}", day.year(), day.month(), day.day())
}

/// A condition on a date that also holds on two days before and after: no two zones are further apart than 26 hours.
fn wider(test: &Test) -> Test {
    let near = |text: &str, days: i64| Date::parse_da(text).map(|day| written(day.plus_days(days)));
    let end = |text: &Option<String>, days: i64| text.as_deref().and_then(|text| near(text, days));
    match test {
        Test::Equal(day) => Test::Range(near(day, -2), near(day, 2)),
        Test::Range(from, to) => Test::Range(end(from, -2), end(to, 2)),
        Test::AnyOf(tests) => Test::AnyOf(tests.iter().map(wider).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(text: &str) -> Zone {
        Zone::parse(text).expect("a zone")
    }

    fn told(asked: &str, day: &str, at: &str, named: Option<&str>) -> (String, String) {
        let mut row = Attributes::from([(key::STUDY_DATE, day.to_owned()), (key::STUDY_TIME, at.to_owned())]);
        row.extend(named.map(|named| (key::TIMEZONE_OFFSET_FROM_UTC, named.to_owned())));
        zone(asked).translate(&mut row, Zone::of_hours(7));
        assert_eq!(row.get(&key::TIMEZONE_OFFSET_FROM_UTC).map(String::as_str), Some(asked));
        let value = |key| row.get(&key).cloned().unwrap_or_default();
        (value(key::STUDY_DATE), value(key::STUDY_TIME))
    }

    #[test]
    fn offsets_are_read_and_written() {
        for text in ["+0700", "-0330", "+1400", "-1200", "+0000"] {
            assert_eq!(zone(text).term(), text);
        }
        for bad in ["0700", "+7", "+1401", "-1201", "+0760", "+07:00", "+07000", "", "+-100"] {
            assert_eq!(Zone::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_and_times_are_told_in_the_askers_zone() {
        let pair = |day: &str, at: &str| (day.to_owned(), at.to_owned());
        assert_eq!(told("+0900", "20251231", "230000.5", None), pair("20260101", "010000.5"));
        assert_eq!(told("-0500", "20260301", "0630", None), pair("20260228", "1830"));
        assert_eq!(told("+0900", "20260301", "10:20:30", Some("+0900")), pair("20260301", "10:20:30"));
        assert_eq!(told("+0930", "20260301", "23", Some("+0900")), pair("20260301", "2330"));
        assert_eq!(told("+0900", "20260301", "", None), pair("20260301", ""));
    }

    #[test]
    fn no_row_is_lost_to_the_conditions_that_stay() {
        let day = Test::Equal("20260101".into());
        let time = Test::Range(Some("000000.000000".into()), None);
        let mut conditions = vec![
            Condition { key: key::STUDY_DATE, test: day.clone() },
            Condition { key: key::STUDY_TIME, test: time.clone() },
            Condition { key: key::PATIENT_ID, test: Test::Equal("1".into()) },
        ];
        let own = Zone::split(&mut conditions);
        assert_eq!(own.len(), 2);
        let keys: Vec<AttrKey> = conditions.iter().map(|one| one.key).collect();
        assert_eq!(keys, [key::STUDY_DATE, key::PATIENT_ID]);
        let stays = conditions.first().expect("the date");
        assert_eq!(stays.test, Test::Range(Some("20251230".into()), Some("20260103".into())));
    }
}
