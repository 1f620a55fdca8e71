//! Times as a facility's clock shows them, and milliseconds since 1970 UTC.
//!
//! Deliberately not here: which zone that is; the archive has one for all its facilities.

use model::date::DAY_MS;
use model::{Date, query};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// The clock's date and time of a moment: `YYYYMMDD` and `HHMMSS`.
pub(super) fn shown(ms: u64, utc_offset: i8) -> (String, String) {
    let local = ms.saturating_add_signed(i64::from(utc_offset).saturating_mul(HOUR_MS));
    let (date, second) = (Date::of_ms(local), local % DAY_MS / 1000);
    (da(date), format!("{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60))
}

/// A day as DICOM writes it.
pub(super) fn da(date: Date) -> String {
    format!("{:04}{:02}{:02}", date.year(), date.month(), date.day())
}

/// A date and a time of the clock in the form of [`shown`], and the moment; an empty time is midnight. None when one of
/// them is none.
pub(super) fn moment(date: &str, time: &str, utc_offset: i8) -> Option<(String, String, u64)> {
    let day = Date::parse_da(date)?;
    let time = if time.trim().is_empty() { "000000".to_owned() } else { query::time(time, '0')? };
    let number = |from: usize, to: usize| time.get(from..to).and_then(|digits| digits.parse::<u64>().ok());
    let seconds = number(0, 2)? * 3600 + number(2, 4)? * 60 + number(4, 6)?.min(59);
    let local = day.start_ms().saturating_add(seconds * 1000);
    let start = local.saturating_add_signed(i64::from(utc_offset).saturating_mul(-HOUR_MS));
    Some((da(day), time.get(..6)?.to_owned(), start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_read_and_written() {
        // 2026-11-27T18:30:05Z is the 28th in Viet Nam.
        let ms = 1_795_804_205_000;
        assert_eq!(shown(ms, 7), ("20261128".into(), "013005".into()));
        assert_eq!(shown(ms, 0), ("20261127".into(), "183005".into()));
        assert_eq!(moment("20261128", "013005", 7), Some(("20261128".into(), "013005".into(), ms)));
        assert_eq!(moment("20261128", "0130", 7).map(|told| told.2), Some(ms - 5000));
        assert_eq!(moment("20261128", "", 7).map(|told| told.1), Some("000000".into()));
        for (date, time) in [("20260231", "0800"), ("", "0800"), ("20260228", "25"), ("20260228", "x")] {
            assert_eq!(moment(date, time, 7), None, "{date} {time}");
        }
    }
}
