//! The table `keys`: by what a study is found.
//!
//! Key: kind (1 byte), facility (5 bytes, zeros for all facilities), normalised value, one zero byte, then the place
//! of the study in the order of answers: complement of the date (4), complement of the time (4), study (8).
//! So the studies of a value come newest first, any range of dates is one run, and a page resumes from a key.
//!
//! Value: under all facilities the facility (5 bytes), under one nothing; for words of the patient's name then the
//! birth date as a number (4 bytes) and all folded names, so that a name is filtered without reading rows; nothing when
//! these are longer than 256 bytes.

use crate::IndexError;
use crate::attributes::attribute;
use crate::plan::Check;
use crate::position::{Position, date_number};
use crate::row::StudyRow;
use model::attribute::{Matching, key};
use model::query::{Test, date};
use model::{AttrKey, FacilityCode, name};

use super::tables::{Table, bad_key};

/// Longest value in a key, in bytes; longer values are cut, and the check on the row tells them apart.
const VALUE_MAX: usize = 96;
/// Longest folded names kept beside each of their words, in bytes: of longer ones the row decides.
const BESIDE_MAX: usize = 256;
/// Bytes of a key after the value's zero byte.
const TAIL: usize = 16;
/// Stands for all facilities.
const ALL: [u8; 5] = [0; 5];

/// How the values of an attribute become keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Every value as it is.
    Whole,
    /// Every folded word.
    Words,
}

/// One row: code of the kind, attribute, form, whether there are also keys under each facility.
const KINDS: [(u8, AttrKey, Form, bool); 13] = [
    (1, key::STUDY_DATE, Form::Whole, true),
    (2, key::MODALITIES_IN_STUDY, Form::Whole, true),
    (3, key::PATIENT_ID, Form::Whole, false),
    (4, key::ACCESSION_NUMBER, Form::Whole, false),
    (5, key::ISSUER_OF_PATIENT_ID, Form::Whole, false),
    (6, key::PATIENT_BIRTH_DATE, Form::Whole, false),
    (7, key::STUDY_ID, Form::Whole, false),
    (8, key::OTHER_PATIENT_IDS, Form::Whole, false),
    (9, key::PATIENT_NAME, Form::Words, true),
    (10, key::REFERRING_PHYSICIAN_NAME, Form::Words, false),
    (11, key::STUDY_DESCRIPTION, Form::Words, false),
    (12, key::INSTITUTIONAL_DEPARTMENT_NAME, Form::Words, false),
    (13, key::INSTITUTION_NAME, Form::Words, false),
];
/// A key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// Everything a study is found by. Of a text what [`name::searched`] gives is keyed, of a code [`Test::VALUES_MAX`]
/// values: a study has a bounded number of keys, whatever its objects say.
pub(super) fn emit(row: &StudyRow) -> Vec<Pair> {
    derive(row, true)
}

/// Everything that programs before the fifth format wrote of a study, without these bounds.
pub(super) fn unbounded(row: &StudyRow) -> Vec<Pair> {
    derive(row, false)
}

/// Whether a study has the same keys with bounds and without.
pub(super) fn is_within_bounds(row: &StudyRow) -> bool {
    KINDS.into_iter().all(|(_, attribute, form, _)| {
        let text = row.value(attribute).unwrap_or_default();
        let named = attribute == key::PATIENT_NAME;
        match form {
            Form::Words if name::searched(&text).len() < text.len() => false,
            Form::Words => !named || name::fold_names(&text).len() <= BESIDE_MAX,
            Form::Whole => text.split('\\').nth(Test::VALUES_MAX).is_none(),
        }
    })
}

fn derive(row: &StudyRow, bounded: bool) -> Vec<Pair> {
    let position = Position::of(row);
    let facility = row.key.facility.as_bytes();
    let mut pairs = Vec::with_capacity(32);
    for (code, attribute, form, by_facility) in KINDS {
        let text = match attribute {
            // One key for every study, dated or not: the date itself stands in the key's tail.
            key::STUDY_DATE => "".into(),
            other => row.value(other).unwrap_or_default(),
        };
        let text = if bounded && form == Form::Words { name::searched(&text) } else { &*text };
        let about = if attribute == key::PATIENT_NAME { beside(row, text, bounded) } else { Vec::new() };
        let values = values(attribute, form, text);
        for value in values.iter().take(if bounded { Test::VALUES_MAX } else { usize::MAX }) {
            if by_facility {
                pairs.push((key(code, facility, value, position), about.clone()));
            }
            pairs.push((key(code, &ALL, value, position), [facility.as_slice(), &about].concat()));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// What lies beside the words of a patient's name; nothing when it would be long, and then the row decides.
fn beside(row: &StudyRow, text: &str, bounded: bool) -> Vec<u8> {
    let folded = name::fold_names(text);
    if bounded && folded.len() > BESIDE_MAX {
        return Vec::new();
    }
    [birth(row).to_be_bytes().as_slice(), folded.as_bytes()].concat()
}

fn birth(row: &StudyRow) -> u32 {
    date_number(model::query::first(&row.value(key::PATIENT_BIRTH_DATE).unwrap_or_default()))
}

fn values(of: AttrKey, form: Form, text: &str) -> Vec<String> {
    if of == key::STUDY_DATE {
        return vec![String::new()];
    }
    match (form, attribute(of).map(|row| row.matching)) {
        (Form::Words, Some(Matching::Name)) => name::tokens(text),
        (Form::Words, _) => name::words(&name::fold(text)),
        (Form::Whole, Some(Matching::Date)) => date(model::query::first(text)).into_iter().collect(),
        (Form::Whole, _) => text.split('\\').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect(),
    }
}

fn key(code: u8, scope: &[u8; 5], value: &str, position: Position) -> Vec<u8> {
    let mut key = stream_prefix(code, scope, value);
    key.extend(position.date.to_be_bytes());
    key.extend(position.time.to_be_bytes());
    key.extend(position.study.to_be_bytes());
    key
}

fn stream_prefix(code: u8, scope: &[u8; 5], value: &str) -> Vec<u8> {
    let mut prefix = value_prefix(code, scope, value);
    prefix.push(0);
    prefix
}

fn value_prefix(code: u8, scope: &[u8; 5], value: &str) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(1 + ALL.len() + value.len() + 1 + TAIL);
    prefix.push(code);
    prefix.extend_from_slice(scope);
    // A zero byte ends the value, so it cannot be part of one.
    prefix.extend(value.bytes().take(VALUE_MAX).filter(|byte| *byte != 0));
    prefix
}

/// Where the keys of an attribute lie: its code and the facilities to walk (all facilities as one run when empty).
#[derive(Debug, Clone)]
pub(super) struct Place {
    code: u8,
    scopes: Vec<[u8; 5]>,
}

impl Place {
    /// More facilities than this are not walked one by one.
    const SCOPES_MAX: usize = 16;

    /// The place of an attribute for some facilities (none: all). None when the attribute has no keys.
    pub(super) fn of(attribute: AttrKey, facilities: Option<&[FacilityCode]>) -> Option<Self> {
        let (code, _, _, by_facility) = KINDS.into_iter().find(|(_, known, ..)| *known == attribute)?;
        let few = facilities.filter(|list| by_facility && list.len() <= Self::SCOPES_MAX);
        let scopes = few.map_or_else(|| vec![ALL], |list| list.iter().map(|code| *code.as_bytes()).collect());
        Some(Self { code, scopes })
    }

    /// The beginnings of the runs of an exact value: what follows is the tail.
    pub(super) fn streams(&self, value: &str) -> Vec<Vec<u8>> {
        self.scopes.iter().map(|scope| stream_prefix(self.code, scope, value)).collect()
    }

    /// The beginnings of the keys of all values that begin so.
    pub(super) fn prefixes(&self, value: &str) -> Vec<Vec<u8>> {
        self.scopes.iter().map(|scope| value_prefix(self.code, scope, value)).collect()
    }
}

/// Splits a key of the table into the run it belongs to (zero byte included) and its tail.
pub(super) fn split(key: &[u8]) -> Result<(&[u8], Position), IndexError> {
    let bad = || bad_key(Table::Keys);
    let (run, tail) = key.len().checked_sub(TAIL).and_then(|at| key.split_at_checked(at)).ok_or_else(bad)?;
    let (date, rest) = tail.split_first_chunk::<4>().ok_or_else(bad)?;
    let (time, rest) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
    let study = rest.try_into().map(u64::from_be_bytes).map_err(|_| bad())?;
    let position = Position { date: u32::from_be_bytes(*date), time: u32::from_be_bytes(*time), study };
    Ok((run, position))
}

/// What a key and its value tell without reading the row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hint<'a> {
    facility: FacilityCode,
    /// Birth date and folded names, for words of the patient's name.
    name: Option<(u32, &'a str)>,
}

impl<'a> Hint<'a> {
    /// Reads the hint; none when it is damaged or not there, and then the row decides.
    pub(super) fn read(key: &[u8], value: &'a [u8]) -> Option<Self> {
        let (code, rest) = key.split_first()?;
        let scope = rest.first_chunk::<5>()?;
        let (facility, about) =
            if *scope == ALL { value.split_at_checked(ALL.len())? } else { (scope.as_slice(), value) };
        let facility = FacilityCode::parse(std::str::from_utf8(facility).ok()?).ok()?;
        let named = KINDS.iter().any(|(known, attribute, ..)| known == code && *attribute == key::PATIENT_NAME);
        let name = match about.split_first_chunk::<4>() {
            Some((birth, folded)) if named => Some((u32::from_be_bytes(*birth), std::str::from_utf8(folded).ok()?)),
            _ => None,
        };
        Some(Self { facility, name })
    }

    /// The facility.
    pub(super) fn facility(&self) -> FacilityCode {
        self.facility
    }

    /// Whether a check on the study can hold; true when the hint does not know.
    pub(super) fn allows(&self, check: &Check, fuzzy: bool) -> bool {
        match (self.name, check.attribute.key) {
            (Some((_, folded)), key::PATIENT_NAME) => check.test.accepts_folded(folded, fuzzy),
            (Some((birth, _)), key::PATIENT_BIRTH_DATE) => {
                birth != 0 && check.test.accepts(check.attribute, &format!("{birth:08}"), fuzzy)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
