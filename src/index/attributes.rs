//! Looking up the rows of the model's attribute table, and the rule for disagreeing instances.

use model::attribute::{ATTRIBUTES, Attribute, Kept, key};
use model::{AttrKey, Attributes, Level};
use std::sync::LazyLock;

static BY_KEY: LazyLock<Vec<&'static Attribute>> = LazyLock::new(|| {
    let mut rows: Vec<&'static Attribute> = ATTRIBUTES.iter().collect();
    rows.sort_by_key(|row| row.key);
    rows
});

/// The row of an address, if the archive keeps it.
pub(crate) fn attribute(key: AttrKey) -> Option<&'static Attribute> {
    let at = BY_KEY.binary_search_by_key(&key, |row| row.key).ok()?;
    BY_KEY.get(at).copied()
}

/// The UIDs that rows carry outside their attributes.
const IDENTITY: [AttrKey; 4] =
    [key::STUDY_INSTANCE_UID, key::SERIES_INSTANCE_UID, key::SOP_CLASS_UID, key::SOP_INSTANCE_UID];

/// The number a sender states; none where it is no number.
pub(crate) fn stated(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// What is kept of a value: everything that is extracted, and of what senders state only numbers.
fn is_kept(row: &Attribute, value: &str) -> bool {
    match row.kept {
        Kept::Extracted => true,
        Kept::Stated => stated(value).is_some(),
        Kept::Derived => false,
    }
}

/// The extracted and stated attributes of a level, in order of address, without the UIDs that identify the row.
pub(crate) fn of_level(attributes: &Attributes, level: Level) -> impl Iterator<Item = (AttrKey, &str)> {
    // Both sides are sorted by address: one walk over both.
    let mut table = BY_KEY.iter().peekable();
    attributes.iter().filter_map(move |(key, value)| {
        while table.next_if(|row| row.key < *key).is_some() {}
        let row = table.peek().filter(|row| row.key == *key)?;
        (row.level == level && is_kept(row, value) && !IDENTITY.contains(key)).then_some((*key, value.as_str()))
    })
}

/// The attributes of which the greatest value stays.
const STATED: [AttrKey; 3] = [
    key::NUMBER_OF_STUDY_RELATED_SERIES,
    key::NUMBER_OF_STUDY_RELATED_INSTANCES,
    key::NUMBER_OF_SERIES_RELATED_INSTANCES,
];

/// Whether a later value takes the place of the one that is kept.
fn replaces(key: AttrKey, value: &str, kept: &str) -> bool {
    if STATED.contains(&key) { stated(value) > stated(kept) } else { kept.is_empty() && !value.is_empty() }
}

/// So much of a value stands in the row of a study or series, in bytes: it is written again with each batch that adds to
/// it, whatever its objects say. A name has at most 776, and 4 KiB are 60 values of 64 letters.
pub(crate) const ROW_MAX: usize = 4 << 10;
/// The same of a long text (LT), which may have 10,240 characters.
const LONG_MAX: usize = 40 << 10;

/// What of a value stands in the row of a study or series: of several values whole ones.
fn in_row(key: AttrKey, value: &str) -> &str {
    if value.len() <= ROW_MAX {
        return value;
    }
    let long = attribute(key).is_some_and(|row| row.vr == "LT");
    let cut = value.get(..value.floor_char_boundary(if long { LONG_MAX } else { ROW_MAX })).unwrap_or_default();
    let whole = cut.rfind('\\').filter(|at| *at > 0 && !long);
    whole.and_then(|at| cut.get(..at)).unwrap_or(cut)
}

/// Cuts the values of a row of an older program; tells whether any was too long.
pub(crate) fn cut(row: &mut Attributes, mut wanted: impl FnMut(&AttrKey) -> bool) -> bool {
    let mut changed = false;
    for (key, value) in row.iter_mut().filter(|(key, _)| wanted(key)) {
        let len = in_row(*key, value).len();
        changed |= len < value.len();
        value.truncate(len);
    }
    changed
}

/// Whether [`absorb`] would change anything.
pub(crate) fn absorbs(row: &Attributes, instance: &Attributes, level: Level) -> bool {
    of_level(instance, level).any(|(key, value)| row.get(&key).is_none_or(|kept| replaces(key, value, kept)))
}

/// Takes a later instance's values into a row: the first non-empty value stays, and of numbers that senders state the
/// greatest. Tells whether anything changed.
pub(crate) fn absorb(row: &mut Attributes, instance: &Attributes, level: Level) -> bool {
    let mut changed = false;
    for (key, value) in of_level(instance, level) {
        match row.get_mut(&key) {
            None => {
                row.insert(key, in_row(key, value).to_owned());
                changed = true;
            }
            Some(kept) if replaces(key, value, kept) => {
                in_row(key, value).clone_into(kept);
                changed = true;
            }
            Some(_) => {}
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_value_without_end_a_bounded_beginning_stands_in_the_row() {
        let said = |key, value: &str| Attributes::from([(key, value.to_owned())]);
        let stands = |key, value: &str| {
            let (mut row, mut older) = (Attributes::new(), said(key, value));
            assert!(absorb(&mut row, &said(key, value), Level::Study));
            assert!(!absorbs(&row, &said(key, "another"), Level::Study), "the first one stays");
            assert_eq!(cut(&mut older, |_| true), row != said(key, value));
            assert_eq!(older, row, "a row of an older program is cut to the same");
            row.remove(&key).expect("a value")
        };
        let name = "ê".repeat(64 * 3);
        assert_eq!(stands(key::PATIENT_NAME, &name), name);
        let comments = "ế".repeat(10_240);
        assert_eq!(stands(key::PATIENT_COMMENTS, &comments), comments, "as long as it may be");
        assert_eq!(stands(key::PATIENT_COMMENTS, &"\\a".repeat(40_000)).len(), 40 << 10);
        assert_eq!(stands(key::PATIENT_NAME, &"ê".repeat(9_000)), "ê".repeat(2_048));
        let ids: Vec<String> = (0..900).map(|number| format!("P{number:06}")).collect();
        assert_eq!(stands(key::OTHER_PATIENT_IDS, &ids.join("\\")), ids[..512].join("\\"), "whole values");
        assert_eq!(stands(key::OTHER_PATIENT_IDS, &format!("\\{}", "1".repeat(9_000))).len(), 4 << 10);
    }

    #[test]
    fn of_stated_numbers_the_greatest_stays_and_what_is_no_number_is_not_kept() {
        assert!(ATTRIBUTES.iter().all(|row| (row.kept == Kept::Stated) == STATED.contains(&row.key)));
        let said = |number: &str| Attributes::from([(key::NUMBER_OF_STUDY_RELATED_INSTANCES, number.to_owned())]);
        let mut row = Attributes::new();
        for (number, changes, stays) in [
            ("many", false, None),
            (" 9 ", true, Some(9)),
            ("10", true, Some(10)),
            ("9", false, Some(10)),
            ("", false, Some(10)),
        ] {
            assert_eq!(absorbs(&row, &said(number), Level::Study), changes, "{number}");
            assert_eq!(absorb(&mut row, &said(number), Level::Study), changes, "{number}");
            let kept = row.get(&key::NUMBER_OF_STUDY_RELATED_INSTANCES);
            assert_eq!(kept.and_then(|text| stated(text)), stays, "{number}");
        }
        assert!(!absorb(&mut row, &said("11"), Level::Series), "a number of another level");
    }
}
