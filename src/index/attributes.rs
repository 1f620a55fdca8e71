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
                row.insert(key, value.to_owned());
                changed = true;
            }
            Some(kept) if replaces(key, value, kept) => {
                value.clone_into(kept);
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
