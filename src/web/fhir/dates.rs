//! Dates and times of FHIR: what a search asks for, and how a moment is written.
//!
//! A date is a span: the whole year, day or second it names; comparing is comparing spans (FHIR R4 3.1.1.4.7). What has no
//! zone is by the clock of the facilities.

use model::Date;
use model::chart::BirthDate;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

/// What a search asks of a date: milliseconds since 1970 UTC, the end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    prefix: Prefix,
    low: i64,
    high: i64,
}

impl Span {
    /// Reads a value with its prefix.
    pub(crate) fn parse(text: &str, utc_offset: i8) -> Option<Self> {
        let text = text.trim();
        let known = [
            ("eq", Prefix::Eq),
            ("ne", Prefix::Ne),
            ("gt", Prefix::Gt),
            ("lt", Prefix::Lt),
            ("ge", Prefix::Ge),
            ("le", Prefix::Le),
            ("sa", Prefix::Sa),
            ("eb", Prefix::Eb),
            ("ap", Prefix::Ap),
        ];
        let found = known.into_iter().find_map(|(name, prefix)| Some((prefix, text.strip_prefix(name)?)));
        let (prefix, text) = found.unwrap_or((Prefix::Eq, text));
        let (low, high) = span(text, utc_offset)?;
        Some(Self { prefix, low, high })
    }

    /// Whether a span of time satisfies it.
    pub(crate) fn accepts(&self, (low, high): (i64, i64)) -> bool {
        let within = self.low <= low && high <= self.high;
        match self.prefix {
            Prefix::Eq => within,
            Prefix::Ne => !within,
            Prefix::Gt => high > self.high,
            Prefix::Lt => low < self.low,
            Prefix::Ge => high > self.high || within,
            Prefix::Le => low < self.low || within,
            Prefix::Sa => low >= self.high,
            Prefix::Eb => high <= self.low,
            Prefix::Ap => low < self.high && self.low < high,
        }
    }

    /// Its begin.
    pub(crate) fn begin(&self) -> i64 {
        self.low
    }

    /// Earliest and latest begin of a span of at most a day that can satisfy it.
    pub(crate) fn bounds(&self) -> (Option<i64>, Option<i64>) {
        let (before, low, high) = (self.high.saturating_sub(DAY_MS), self.low, self.high);
        match self.prefix {
            Prefix::Eq => (Some(low), Some(high)),
            Prefix::Ne => (None, None),
            Prefix::Gt => (Some(before), None),
            Prefix::Ge => (Some(before.min(low)), None),
            Prefix::Lt => (None, Some(low)),
            Prefix::Le => (None, Some(high)),
            Prefix::Sa => (Some(high), None),
            Prefix::Eb => (None, Some(low)),
            Prefix::Ap => (Some(low.saturating_sub(DAY_MS)), Some(high)),
        }
    }
}

/// The span that a date or time names.
fn span(text: &str, utc_offset: i8) -> Option<(i64, i64)> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let zone = i64::from(utc_offset) * 60;
    let shape = date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && matches!(date.len(), 4 | 7 | 10);
    let mut parts = date.split('-').map(|part| part.parse::<u16>().ok());
    let (year, month, day) = (parts.next().flatten()?, parts.next().flatten(), parts.next().flatten());
    if !shape || parts.next().is_some() || (month.is_none() && date.len() > 4) || (day.is_none() && date.len() > 7) {
        return None;
    }
    let first = Date::new(year, small(month.unwrap_or(1))?, small(day.unwrap_or(1))?)?;
    let Some(time) = time else {
        let end = match (month, day) {
            (None, _) => Date::new(year, 12, 31)?.days() + 1,
            (Some(12), None) => Date::new(year, 12, 31)?.days() + 1,
            (Some(month), None) => Date::new(year, small(month + 1)?, 1)?.days(),
            (Some(_), Some(_)) => first.days() + 1,
        };
        let shift = zone * MINUTE_MS;
        return Some((first.days() * DAY_MS - shift, end * DAY_MS - shift));
    };
    day?;
    let (low, width, zone) = clock(time, zone)?;
    let low = first.days() * DAY_MS + low - zone * MINUTE_MS;
    Some((low, low + width))
}

fn small(number: u16) -> Option<u8> {
    u8::try_from(number).ok()
}

/// A time of day with its zone: milliseconds since midnight, the width of what it names, minutes east of UTC.
fn clock(text: &str, zone: i64) -> Option<(i64, i64, i64)> {
    // A plus sign that was not encoded came as a space.
    let end = text.find(['+', '-', ' ', 'Z', 'z']).unwrap_or(text.len());
    let (time, rest) = text.split_at_checked(end)?;
    let minutes = |text: &str| {
        let (hours, minutes) = text.split_once(':').unwrap_or_else(|| text.split_at_checked(2).unwrap_or((text, "0")));
        number(hours, 15).zip(number(minutes, 60))
    };
    let zone = match rest.split_at_checked(1) {
        None => zone,
        Some(("Z" | "z", "")) => 0,
        Some((sign, rest)) if sign != "Z" && sign != "z" => {
            let (hours, minutes) = minutes(rest)?;
            let east = hours * 60 + minutes;
            if sign == "-" { -east } else { east }
        }
        Some(_) => return None,
    };
    let (whole, fraction) = time.split_once('.').map_or((time, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut parts = whole.split(':');
    let (hour, minute) = (number(parts.next()?, 24)?, number(parts.next()?, 60)?);
    let second = parts.next().map(|text| number(text, 61));
    if parts.next().is_some() {
        return None;
    }
    let at = (hour * 60 + minute) * MINUTE_MS;
    match (second, fraction) {
        (None, None) => Some((at, MINUTE_MS, zone)),
        (Some(second), None) => Some((at + second? * SECOND_MS, SECOND_MS, zone)),
        (Some(second), Some(fraction)) => {
            let digits: String = fraction.chars().take(3).collect();
            let millis = format!("{digits:0<3}");
            (!fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
            Some((at + second? * SECOND_MS + millis.parse::<i64>().ok()?, 1, zone))
        }
        (None, Some(_)) => None,
    }
}

/// Two digits below a bound.
fn number(text: &str, below: i64) -> Option<i64> {
    let shape = text.len() <= 2 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<i64>().ok().filter(|number| shape && *number < below)
}

/// The day, `YYYYMMDD`, that a moment lies in by the clock of the facilities, moved by some days.
pub(crate) fn day_of(ms: i64, utc_offset: i8, moved: i64) -> String {
    let local = ms.saturating_add(i64::from(utc_offset) * 60 * MINUTE_MS);
    let date = Date::from_days(local.div_euclid(DAY_MS).saturating_add(moved));
    format!("{:04}{:02}{:02}", date.year(), date.month(), date.day())
}

/// A moment as the clock of the facilities shows it: `YYYYMMDD` and `HHMMSS`.
pub(crate) fn clock_of(ms: i64, utc_offset: i8) -> (String, String) {
    let local = ms.saturating_add(i64::from(utc_offset) * 60 * MINUTE_MS);
    let second = local.rem_euclid(DAY_MS) / SECOND_MS;
    (day_of(ms, utc_offset, 0), format!("{:02}{:02}{:02}", second / 3_600, second / 60 % 60, second % 60))
}

/// A moment as it is told.
pub(crate) fn instant(ms: u64, utc_offset: i8) -> String {
    let local = i64::try_from(ms).unwrap_or(i64::MAX / 2).saturating_add(i64::from(utc_offset) * 60 * MINUTE_MS);
    let (date, rest) = (Date::from_days(local.div_euclid(DAY_MS)), local.rem_euclid(DAY_MS));
    let (minutes, millis) = (rest / MINUTE_MS, rest % MINUTE_MS);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}{}",
        date.year(),
        date.month(),
        date.day(),
        minutes / 60,
        minutes % 60,
        millis / SECOND_MS,
        millis % SECOND_MS,
        east(i64::from(utc_offset) * 60)
    )
}

fn east(minutes: i64) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// The span of one moment.
pub(crate) fn at(ms: u64) -> (i64, i64) {
    let low = i64::try_from(ms).unwrap_or(i64::MAX - 1);
    (low, low.saturating_add(1))
}

/// A DICOM date and time of a study, with the offset the study says (`+0700`) or the facilities' own: as it is told, and
/// its span. None without a date.
pub(crate) fn of_dicom(date: &str, time: &str, zone: &str, utc_offset: i8) -> Option<(String, (i64, i64))> {
    let day = Date::parse_da(date.trim())?;
    let shown = format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day());
    let minutes = offset(zone).unwrap_or_else(|| i64::from(utc_offset) * 60);
    let midnight = day.days() * DAY_MS - minutes * MINUTE_MS;
    let digits: String = time.trim().chars().take_while(char::is_ascii_digit).take(6).collect();
    let part = |from: usize, below: i64| digits.get(from..from + 2).and_then(|text| number(text, below));
    let Some((hour, minute)) = part(0, 24).zip(part(2, 60)) else {
        return Some((shown, (midnight, midnight + DAY_MS)));
    };
    let second = part(4, 60).unwrap_or(0);
    let low = midnight + (hour * 60 + minute) * MINUTE_MS + second * SECOND_MS;
    Some((format!("{shown}T{hour:02}:{minute:02}:{second:02}{}", east(minutes)), (low, low + SECOND_MS)))
}

/// Minutes east of UTC of a Timezone Offset From UTC (0008,0201).
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = text.trim().split_at_checked(1)?;
    let (hours, minutes) = rest.split_at_checked(2)?;
    let east = number(hours, 15)? * 60 + number(minutes, 60)?;
    match sign {
        "+" => Some(east),
        "-" => Some(-east),
        _ => None,
    }
}

/// The span of a day of birth, as far as it is known, by the same clock as what is asked of it.
pub(crate) fn of_birth(birth: BirthDate, utc_offset: i8) -> Option<(i64, i64)> {
    span(&birth.to_string(), utc_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * MINUTE_MS;

    fn told(text: &str) -> (i64, i64) {
        let span = Span::parse(text, 7).unwrap_or_else(|| panic!("{text}"));
        (span.low, span.high)
    }

    #[test]
    fn a_value_is_the_span_it_names() {
        let midnight = Date::parse("2026-11-28").expect("a day").days() * DAY_MS - 7 * HOUR;
        assert_eq!(told("2026-11-28"), (midnight, midnight + DAY_MS));
        assert_eq!(
            told("ge2026-11-28T08:30"),
            (midnight + 8 * HOUR + 30 * MINUTE_MS, midnight + 8 * HOUR + 31 * MINUTE_MS)
        );
        assert_eq!(told("2026-11-28T08:30:05Z").0, midnight + 15 * HOUR + 30 * MINUTE_MS + 5_000);
        for text in ["2026-11-28T08:30:05+07:00", "2026-11-28T08:30:05 07:00", "2026-11-28T08:30:05"] {
            assert_eq!(
                told(text),
                (midnight + 8 * HOUR + 30 * MINUTE_MS + 5_000, midnight + 8 * HOUR + 30 * MINUTE_MS + 6_000)
            );
        }
        assert_eq!(told("2026-11-28T00:00:00.25").1 - midnight, 251);
        assert_eq!((told("2026").1 - told("2026").0) / DAY_MS, 365);
        assert_eq!((told("2026-12").1 - told("2026-12").0) / DAY_MS, 31);
        assert_eq!((told("2024-02").1 - told("2024-02").0) / DAY_MS, 29);
        for wrong in [
            "",
            "eq",
            "20261128",
            "2026-13",
            "2026-02-30",
            "2026-1-1",
            "2026-11T08:30",
            "2026-11-28T8",
            "2026-11-28T08",
            "2026-11-28T24:00",
            "2026-11-28T08:30Zx",
            "2026-11-28T08:30+99:00",
            "2026-11-28T08:30:00.",
            "xx2026",
            "2026-",
        ] {
            assert_eq!(Span::parse(wrong, 7), None, "{wrong}");
        }
    }

    #[test]
    fn spans_are_compared_as_the_standard_says() {
        let day = |text: &str| Span::parse(text, 0).map(|span| (span.low, span.high)).expect("a day");
        let moment = (day("2026-11-28").0 + HOUR, day("2026-11-28").0 + HOUR + 1);
        for (asked, found) in [
            ("2026-11-28", true),
            ("2026", true),
            ("2026-11-27", false),
            ("ne2026-11-28", false),
            ("ne2026-11-27", true),
            ("ge2026-11-28", true),
            ("ge2026-11-29", false),
            ("gt2026-11-28", false),
            ("gt2026-11-27", true),
            ("le2026-11-28", true),
            ("le2026-11-27", false),
            ("lt2026-11-28", false),
            ("lt2026-11-29", true),
            ("sa2026-11-27", true),
            ("sa2026-11-28", false),
            ("eb2026-11-29", true),
            ("eb2026-11-28", false),
            ("ap2026-11-28", true),
            ("ap2026-11-29", false),
        ] {
            let span = Span::parse(asked, 0).expect("a span");
            assert_eq!(span.accepts(moment), found, "{asked}");
            let (from, to) = span.bounds();
            let inside = from.is_none_or(|from| from <= moment.0) && to.is_none_or(|to| moment.0 <= to);
            assert!(inside || !found, "{asked}: what is found lies within the bounds");
        }
        // A year of birth is not before one of its days, and not after.
        let year = of_birth(BirthDate::parse("1978").expect("a year"), 0).expect("a span");
        assert!(!Span::parse("1978-03-05", 0).expect("a day").accepts(year));
        assert!(Span::parse("1978", 0).expect("a year").accepts(year));
    }

    #[test]
    fn moments_are_told_with_their_zone() {
        assert_eq!(instant(1_795_804_205_007, 7), "2026-11-28T01:30:05.007+07:00");
        assert_eq!(instant(0, -5), "1969-12-31T19:00:00.000-05:00");
        let (shown, (low, high)) = of_dicom("20261128", "083005.5", "", 7).expect("a moment");
        assert_eq!((shown.as_str(), high - low), ("2026-11-28T08:30:05+07:00", SECOND_MS));
        assert_eq!(of_dicom("20261128", "0830", "+0900", 7).expect("a zone").0, "2026-11-28T08:30:00+09:00");
        assert_eq!(of_dicom("20261128", "", "", 7).expect("a day").0, "2026-11-28");
        assert_eq!(of_dicom("", "0830", "", 7), None);
        assert_eq!(day_of(low, 7, 1), "20261129");
        assert_eq!(clock_of(low, 7), ("20261128".to_owned(), "083005".to_owned()));
    }
}
