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

/// The extracted attributes of a level, in order of address, without the UIDs that identify the row.
pub(crate) fn of_level(attributes: &Attributes, level: Level) -> impl Iterator<Item = (AttrKey, &str)> {
    // Both sides are sorted by address: one walk over both.
    let mut table = BY_KEY.iter().peekable();
    attributes.iter().filter_map(move |(key, value)| {
        while table.next_if(|row| row.key < *key).is_some() {}
        let row = table.peek().filter(|row| row.key == *key)?;
        (row.level == level && row.kept == Kept::Extracted && !IDENTITY.contains(key)).then_some((*key, value.as_str()))
    })
}

/// Whether [`absorb`] would change anything.
pub(crate) fn absorbs(row: &Attributes, instance: &Attributes, level: Level) -> bool {
    of_level(instance, level).any(|(key, value)| match row.get(&key) {
        None => true,
        Some(kept) => kept.is_empty() && !value.is_empty(),
    })
}

/// Takes a later instance's values into a row: the first non-empty value stays. Tells whether anything changed.
pub(crate) fn absorb(row: &mut Attributes, instance: &Attributes, level: Level) -> bool {
    let mut changed = false;
    for (key, value) in of_level(instance, level) {
        match row.get_mut(&key) {
            None => {
                row.insert(key, value.to_owned());
                changed = true;
            }
            Some(kept) if kept.is_empty() && !value.is_empty() => {
                value.clone_into(kept);
                changed = true;
            }
            Some(_) => {}
        }
    }
    changed
}
