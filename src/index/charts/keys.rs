//! The tables of the index of charts and the form of their keys. All numbers in keys are big endian.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `format`, `applied`, `noted` | a number, 8 bytes |
//! | | `Z`, table (1), beginning of keys | number (8) of the batch that removed them |
//! | `rows` | kind (1), facility (5), id | row |
//! | `terms` | kind (1), term (1), facility (5), value, one zero byte, place (20), id | what lies beside the value |
//! | | kind (1), term (1), zeros (5), value, one zero byte, place (20), facility (5), id | the same |
//! | `words` | folded word of patients' names | how many patients have it, 8 bytes |
//!
//! A place is the complement of the moment (8), the complement of `created` (8) and the first 4 bytes of the SHA-256 of
//! facility and id: the rows of a value come in the order of answers, any range of moments is one run, and a page resumes
//! from a key. Beside a word of a name, and beside every patient, lie the year of birth (2; 0 when unknown) and the
//! folded name, so that names are searched without reading rows: of a name the first 256 bytes count, and of these what
//! [`model::name::searched`] gives.
//!
//! | term | value | also under each facility |
//! |---|---|---|
//! | 1 | empty: every row of the kind | yes |
//! | 2 | number of the patient | yes |
//! | 3 | personal identification number | no |
//! | 4 | its last four digits | no |
//! | 5 | old identity card, passport | no |
//! | 6 | last ten digits of an insurance number | no |
//! | 7 | telephone number | no |
//! | 8 | word of the folded name | yes |
//! | 9 | Accession Number | yes |
//! | 10 | filler order number | yes |
//! | 11 | placer order number | yes |
//! | 12 | Study Instance UID | no |
//! | 13 | visit number | yes |
//! | 14 | state | yes |
//! | 15 | source and control id of a message | yes |
//! | 16 | what became of a message | yes |
//! | 17 | number that was merged away | yes |
//! | 18 | person of a patient | no |
//! | 19 | facility and number of either patient that may be one | no |
//! | 20 | whole day of birth, sex and folded name of a patient | no |
//! | 21 | words of the folded name in alphabetical order, alone and behind the year of birth | no |
//! | 22 | subscription of a delivery, with and without its state; `feed` | yes |
//! | 26 | SHA-256 of the secret of a patient's link | no |
//! | 27 | who read a study | yes |
//!
//! Keys are derived from the row anew when it is replaced: other values of [`model::chart::term`] need another format.

use super::{ChartCursor, tie};
use model::chart::term::{self, Found};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Term};
use model::{FacilityCode, Lsn};
use std::collections::{BTreeMap, BTreeSet};

/// Stands for all facilities.
pub(super) const ALL: [u8; 5] = [0; 5];
/// Numbers that mean the same in every facility: there are few rows of each, so they have no keys under facilities.
const EVERYWHERE: [Term; 11] = [
    Term::National,
    Term::NationalTail,
    Term::Card,
    Term::Insurance,
    Term::Phone,
    Term::Study,
    Term::Person,
    Term::Side,
    Term::Identity,
    Term::Whole,
    Term::Secret,
];

/// The place of a row in the order of answers, the first one least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Complement of the moment.
    moment: u64,
    /// Complement of `created`.
    created: u64,
    tie: u32,
}

impl Place {
    /// The first place of a moment.
    pub(super) fn begin(moment: u64) -> Self {
        Self { moment: !moment, created: 0, tie: 0 }
    }

    /// The place of a row.
    pub(super) fn of(row: &ChartRow) -> Self {
        ChartCursor::of(row).into()
    }

    /// The one behind it; none behind the last.
    pub(super) fn next(self) -> Option<Self> {
        if let Some(tie) = self.tie.checked_add(1) {
            return Some(Self { tie, ..self });
        }
        if let Some(created) = self.created.checked_add(1) {
            return Some(Self { created, tie: 0, ..self });
        }
        self.moment.checked_add(1).map(|moment| Self { moment, created: 0, tie: 0 })
    }

    /// A cursor that stands here.
    pub(super) fn cursor(self) -> ChartCursor {
        ChartCursor { moment: !self.moment, created: !self.created, tie: self.tie }
    }

    /// As it stands in keys.
    pub(super) fn bytes(self) -> Vec<u8> {
        [self.moment.to_be_bytes().as_slice(), &self.created.to_be_bytes(), &self.tie.to_be_bytes()].concat()
    }
}

impl From<ChartCursor> for Place {
    fn from(cursor: ChartCursor) -> Self {
        Self { moment: !cursor.moment, created: !cursor.created, tie: cursor.tie }
    }
}

/// The key of a row.
pub(super) fn row(key: &ChartKey) -> Vec<u8> {
    [[key.kind.code()].as_slice(), key.facility.as_bytes(), key.id.as_bytes()].concat()
}

/// The name of the row under a key.
pub(super) fn row_name(key: &[u8]) -> Option<ChartKey> {
    let (kind, rest) = key.split_first()?;
    let (facility, id) = rest.split_first_chunk::<5>()?;
    let facility = FacilityCode::parse(std::str::from_utf8(facility).ok()?).ok()?;
    Some(ChartKey { kind: ChartKind::of(*kind)?, facility, id: std::str::from_utf8(id).ok()?.to_owned() })
}

/// A value as it stands in keys: a zero byte ends it, so it cannot be part of one.
pub(super) fn value(text: &str) -> String {
    let value = term::value(text);
    if value.contains('\0') { value.replace('\0', "").trim().to_owned() } else { value }
}

/// Everything a row is found by.
pub(super) fn found(body: &ChartBody) -> Vec<Found> {
    let mut found = term::terms(body);
    for one in &mut found {
        one.value = value(&one.value);
    }
    found.retain(|one| one.term == Term::Any || !one.value.is_empty());
    found.sort_unstable();
    found.dedup();
    found
}

/// The words of a patient's name, as they are counted.
pub(super) fn words(body: &ChartBody) -> BTreeSet<String> {
    found(body).into_iter().filter(|one| one.term == Term::NameWord).map(|one| one.value).collect()
}

/// Whether there are keys of a term under each facility, beside those under all.
pub(super) fn by_facility(term: u8) -> bool {
    !EVERYWHERE.iter().any(|known| known.code() == term)
}

/// The beginning of all keys of values that begin so.
pub(super) fn beginning(kind: u8, term: u8, scope: &[u8; 5], value: &[u8]) -> Vec<u8> {
    [[kind, term].as_slice(), scope, value].concat()
}

/// The beginning of all keys of a value: what follows is the place.
pub(super) fn start(kind: u8, term: u8, scope: &[u8; 5], value: &[u8]) -> Vec<u8> {
    [[kind, term].as_slice(), scope, value, &[0]].concat()
}

/// The keys of one value of a row.
pub(super) fn of_value(name: &ChartKey, (term, value): (u8, &str), place: Place) -> Vec<Vec<u8>> {
    let (kind, facility) = (name.kind.code(), name.facility.as_bytes());
    let (place, id) = (place.bytes(), name.id.as_bytes());
    let under = |scope: &[u8; 5]| start(kind, term, scope, value.as_bytes());
    let mut keys = vec![[under(&ALL).as_slice(), &place, facility, id].concat()];
    if by_facility(term) {
        keys.push([under(facility).as_slice(), &place, id].concat());
    }
    keys
}

/// Every key of the table `terms` by which a row is found, and what lies beside it.
pub(super) fn of_row(row: &ChartRow) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (found, place) = (found(&row.body), Place::of(row));
    let name = found.iter().find(|one| one.term == Term::NameWord).map(|one| one.payload.clone()).unwrap_or_default();
    let mut keys = BTreeMap::new();
    for one in found {
        let payload = if one.term == Term::Any { name.clone() } else { one.payload };
        for key in of_value(&row.key, (one.term.code(), &one.value), place) {
            keys.insert(key, payload.clone());
        }
    }
    keys
}

/// What stands behind the value of a key: the place, and the name of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) place: Place,
    pub(super) facility: &'a [u8; 5],
    kind: u8,
    id: &'a [u8],
}

impl Entry<'_> {
    /// The key of the row.
    pub(super) fn row(&self) -> Vec<u8> {
        [[self.kind].as_slice(), self.facility, self.id].concat()
    }
}

/// What stands behind the value of a key that begins with `start` bytes.
pub(super) fn entry(key: &[u8], start: usize) -> Option<Entry<'_>> {
    let (kind, rest) = key.split_first()?;
    let scope = rest.get(1..)?.first_chunk::<5>()?;
    let (moment, rest) = key.get(start..)?.split_first_chunk::<8>()?;
    let (created, rest) = rest.split_first_chunk::<8>()?;
    let (tie, rest) = rest.split_first_chunk::<4>()?;
    let place = Place {
        moment: u64::from_be_bytes(*moment),
        created: u64::from_be_bytes(*created),
        tie: u32::from_be_bytes(*tie),
    };
    let (facility, id) = if *scope == ALL { rest.split_first_chunk::<5>()? } else { (scope, rest) };
    Some(Entry { place, facility, kind: *kind, id })
}

/// Places a row remembers; keys at older ones are noted for the next purge.
const PLACES_MAX: usize = 32;
/// Values a row remembers; beyond, all its former keys are noted and it begins anew.
const VALUES_MAX: usize = 64;

/// Where a row stood and what it was found by before it was replaced. Every key that was deleted is one of these places or
/// the present one, under one of these values or the present ones; it may stand in files until a compaction meets it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Former {
    /// Moment and `created`, the oldest first.
    pub(super) places: Vec<(u64, Lsn)>,
    /// Term and value.
    pub(super) values: BTreeSet<(u8, String)>,
}

fn values(body: &ChartBody) -> impl Iterator<Item = (u8, String)> {
    found(body).into_iter().map(|one| (one.term.code(), one.value))
}

impl Former {
    /// Takes in a row that is replaced; gives the keys that are no longer remembered.
    pub(super) fn take(&mut self, old: &ChartRow, fresh: &ChartRow) -> Vec<Vec<u8>> {
        let (was, is) = ((old.body.moment(), old.created), (fresh.body.moment(), fresh.created));
        self.places.retain(|place| *place != was && *place != is);
        if was != is {
            self.places.push(was);
        }
        self.values.extend(values(&old.body));
        for value in values(&fresh.body) {
            self.values.remove(&value);
        }
        if self.values.len() > VALUES_MAX {
            let keys = self.keys(fresh);
            *self = Self::default();
            return keys;
        }
        let over = self.places.len().saturating_sub(PLACES_MAX);
        let dropped: Vec<_> = self.places.drain(..over).collect();
        self.under(fresh, &dropped)
    }

    /// Every key that may stand in files, those of the row as it is among them.
    pub(super) fn keys(&self, row: &ChartRow) -> Vec<Vec<u8>> {
        let mut places = self.places.clone();
        places.push((row.body.moment(), row.created));
        self.under(row, &places)
    }

    fn under(&self, row: &ChartRow, places: &[(u64, Lsn)]) -> Vec<Vec<u8>> {
        let all: BTreeSet<(u8, String)> = self.values.iter().cloned().chain(values(&row.body)).collect();
        let tie = tie(&row.key);
        let at = |(moment, created): &(u64, Lsn)| {
            let place = ChartCursor { moment: *moment, created: *created, tie }.into();
            all.iter().flat_map(move |(term, value)| of_value(&row.key, (*term, value), place)).collect::<Vec<_>>()
        };
        places.iter().flat_map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: &str) -> ChartKey {
        ChartKey::new(ChartKind::Order, FacilityCode::DEMO, id).expect("a name")
    }

    #[test]
    fn keys_lie_in_the_order_of_answers_and_tell_their_row() {
        let key = |moment: u64, created: u64, id: &str, scope: usize| {
            let place = Place { moment: !moment, created: !created, tie: 7 };
            of_value(&name(id), (Term::Visit.code(), "V1"), place).swap_remove(scope)
        };
        let demo = FacilityCode::DEMO;
        for scope in [0, 1] {
            let keys = [key(9, 1, "b", scope), key(8, 4, "b", scope), key(8, 3, "a", scope), key(8, 3, "aa", scope)];
            assert!(keys.is_sorted());
            let begin = start(3, 13, if scope == 0 { &ALL } else { demo.as_bytes() }, b"V1");
            for (key, id) in keys.iter().zip(["b", "b", "a", "aa"]) {
                let entry = entry(key, begin.len()).expect("a key");
                assert!(key.starts_with(&begin) && entry.place.tie == 7);
                assert_eq!(row_name(&entry.row()), Some(name(id)));
            }
        }
        assert_eq!(of_value(&name("a"), (Term::Phone.code(), "1"), Place::begin(1)).len(), 1);
        assert_eq!(entry(b"abc", 1), None);
    }

    #[test]
    fn the_place_behind_another_is_the_next_one() {
        let last = Place { moment: 3, created: 4, tie: u32::MAX };
        assert_eq!(last.next(), Some(Place { moment: 3, created: 5, tie: 0 }));
        assert_eq!(Place { created: u64::MAX, ..last }.next(), Some(Place { moment: 4, created: 0, tie: 0 }));
        assert_eq!(Place { moment: u64::MAX, created: u64::MAX, ..last }.next(), None);
        assert_eq!(Place::from(last.cursor()), last);
        assert!(last < last.next().expect("one behind it"));
    }

    #[test]
    fn a_zero_byte_ends_no_value() {
        assert_eq!(value(" A\0B "), "AB");
        assert!(value("\0").is_empty());
    }
}
