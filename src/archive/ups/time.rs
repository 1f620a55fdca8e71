//! Date and time as DICOM writes them (PS3.5 section 6.2, VR DT), and comparing them.
//!
//! Deliberately not done: values with different offsets from UTC are compared as they are written.

use crate::clock::day_of;

/// A moment as DT, in UTC and with that said.
pub(super) fn date_time(ms: u64) -> String {
    let second = ms / 1000 % 86_400;
    format!("{}{:02}{:02}{:02}+0000", day_of(ms), second / 3600, second / 60 % 60, second % 60)
}

/// The digits of a date, time or both without its offset from UTC, to the microsecond; none when it is none.
pub(super) fn digits(text: &str) -> Option<&str> {
    let text = text.trim_matches([' ', '\0']);
    let bare = match text.rfind(['+', '-']) {
        Some(at) => {
            let (value, offset) = text.split_at_checked(at)?;
            if !is_offset(offset) {
                return None;
            }
            value
        }
        None => text,
    };
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    let numbers = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let sound = (2..=14).contains(&whole.len()) && whole.len().is_multiple_of(2) && numbers(whole);
    let exact = bare.len().min(whole.len().saturating_add(".123456".len()));
    if sound && numbers(fraction) { bare.get(..exact) } else { None }
}

/// Whether a value is a date and time of at least a day.
pub(super) fn is_date_time(text: &str) -> bool {
    let Some(digits) = digits(text).filter(|digits| digits.len() >= 8) else { return false };
    let part = |from: usize| digits.get(from..from.saturating_add(2)).and_then(|two| two.parse::<u32>().ok());
    let within = |from: usize, least: u32, most: u32| part(from).is_none_or(|n| (least..=most).contains(&n));
    within(4, 1, 12) && within(6, 1, 31) && within(8, 0, 23) && within(10, 0, 59) && within(12, 0, 60)
}

fn is_offset(text: &str) -> bool {
    let hours = text.get(1..3).and_then(|hours| hours.parse::<u32>().ok());
    let minutes = text.get(3..5).and_then(|minutes| minutes.parse::<u32>().ok());
    text.len() == 5 && hours.is_some_and(|hours| hours <= 14) && minutes.is_some_and(|minutes| minutes < 60)
}

/// The two ends of a range, an open one empty; none when it is no range.
pub(super) fn range(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_matches([' ', '\0']);
    let sound = |end: &str| end.is_empty() || digits(end).is_some();
    let dashes = text.char_indices().filter(|(_, letter)| *letter == '-').map(|(at, _)| at);
    for at in dashes {
        let (from, rest) = text.split_at_checked(at)?;
        let to = rest.strip_prefix('-').unwrap_or_default();
        // `20200115-0500` is one moment with its offset from UTC.
        let offset = !from.is_empty() && is_offset(rest);
        if sound(from) && sound(to) && !offset && !(from.is_empty() && to.is_empty()) {
            return Some((from, to));
        }
    }
    None
}

/// Whether a value lies in a range, as exactly as its ends are written.
pub(super) fn lies_in(value: &str, from: &str, to: &str) -> bool {
    let Some(value) = digits(value) else { return false };
    let (from, to) = (digits(from).unwrap_or_default(), digits(to).unwrap_or_default());
    value >= from && (to.is_empty() || value.get(..to.len()).unwrap_or(value) <= to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_ranges_and_offsets_are_told_apart() {
        assert_eq!(date_time(1_795_305_600_000 + 3_723_000), "20261122010203+0000");
        assert_eq!(range("20260101-20260131"), Some(("20260101", "20260131")));
        assert_eq!(range("20260101-"), Some(("20260101", "")));
        assert_eq!(range("-20260101120000"), Some(("", "20260101120000")));
        assert_eq!(
            range("20260101120000+0700-20260102120000+0700"),
            Some(("20260101120000+0700", "20260102120000+0700"))
        );
        assert_eq!(range("20260101120000-0500"), None);
        assert_eq!(range("-"), None);
        assert!(is_date_time("20260101") && is_date_time("20260101120000.5+0700"));
        assert!(!is_date_time("2026") && !is_date_time("20261301") && !is_date_time("tomorrow"));
        assert!(lies_in("20260131235959+0700", "20260101", "20260131"));
        assert!(!lies_in("20260201", "20260101", "20260131"));
        assert!(lies_in("20260201", "20260101", ""));
        // Finer than a microsecond: what is beyond does not count.
        assert!(is_date_time("20260101120000.1234567+0700") && !is_date_time("20260101120000.123456x"));
        assert!(lies_in("20260101120000.1234567", "20260101120000.1234569", "20260101120000.1234561"));
        assert!(!lies_in("20260101120000.1234567", "20260101120000.123457", ""));
    }
}
