//! The identifier of a C-FIND becomes a question to the archive (PS3.4 section C.4.1).
//!
//! What cannot be a question is refused with a status and a comment that names the key, never its value: a value
//! may be a patient's name. What is only not supported is left out of the answer and told by the pending status.

use crate::query_class::{Extended, QueryLevel, Root};
use crate::status::{self, Failure};
use archive::search::{PATIENT_RELATED_INSTANCES, PATIENT_RELATED_SERIES, PATIENT_RELATED_STUDIES, Wanted};
use dataset::Vr;
use dataset::identifier::{self, Identifier, Key};
use model::attribute::{ATTRIBUTES, Attribute, Matching, attribute, key};
use model::facility::CharsetHint;
use model::query::{self, Condition, Extended as Matchings, Moment, PAIRS, Query, Test, Zone, has_wildcard};
use model::{AttrKey, Uid};

/// Query/Retrieve Level (0008,0052).
pub(crate) const LEVEL: AttrKey = AttrKey::root(0x0008_0052);
/// Retrieve AE Title (0008,0054).
pub(crate) const RETRIEVE_AE_TITLE: AttrKey = AttrKey::root(0x0008_0054);
/// Numbers of the patient's related objects.
const PATIENT_TOTALS: [AttrKey; 3] = [PATIENT_RELATED_STUDIES, PATIENT_RELATED_SERIES, PATIENT_RELATED_INSTANCES];

/// A question and how its matches are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) level: QueryLevel,
    pub(crate) wanted: Wanted,
    /// Attributes of an answer with their VR.
    pub(crate) returned: Vec<(AttrKey, &'static str)>,
    /// The asker's Specific Character Set.
    pub(crate) charset: String,
    /// Whether a key of the identifier is not supported: pending answers say so (FF01).
    pub(crate) unsupported: bool,
}

/// How an identifier is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) root: Root,
    pub(crate) extended: Extended,
    pub(crate) transfer_syntax: &'a str,
    pub(crate) hint: CharsetHint,
    pub(crate) keys_max: usize,
}

/// Does not fit the SOP class.
pub(crate) fn mismatch(comment: impl Into<String>) -> Failure {
    Failure::new(status::DATA_SET_MISMATCH, comment)
}

/// Cannot be processed.
pub(crate) fn unable(comment: impl Into<String>) -> Failure {
    Failure::new(status::CANNOT_UNDERSTAND, comment)
}

/// Reads the bytes of an identifier and the level they ask for.
pub(crate) fn read(bytes: &[u8], reading: &Reading<'_>) -> Result<(Identifier, QueryLevel), Failure> {
    let found = identifier::read(bytes, reading.transfer_syntax, reading.hint).map_err(|error| Failure {
        detail: error.to_string(),
        ..unable("the identifier is no data set of its transfer syntax")
    })?;
    if found.keys.len() > reading.keys_max {
        return Err(Failure::new(status::OUT_OF_RESOURCES, format!("more than {} keys", reading.keys_max)));
    }
    if found.several_items.is_some() {
        return Err(mismatch("a sequence with more than one item"));
    }
    let level = found.keys.iter().find(|found| found.key == LEVEL);
    let level = level.map(|found| found.text.trim_matches([' ', '\0'])).filter(|text| !text.is_empty());
    let level = level.ok_or_else(|| mismatch("Query/Retrieve Level is missing"))?;
    let level = QueryLevel::named(level, reading.root);
    let level = level.ok_or_else(|| mismatch("this model has no such Query/Retrieve Level"))?;
    Ok((found, level))
}

/// Reads an identifier.
pub(crate) fn parse(bytes: &[u8], reading: &Reading<'_>) -> Result<Question, Failure> {
    let (found, level) = read(bytes, reading)?;
    let mut question = Question {
        level,
        wanted: Wanted {
            patients: level == QueryLevel::Patient,
            moments: if reading.extended.combined { moments(&found)? } else { Vec::new() },
            zone: if reading.extended.zone { zone(&found)? } else { None },
            ..Wanted::of(Query { level: level.rows(), conditions: Vec::new(), fuzzy: reading.extended.fuzzy })
        },
        returned: Vec::new(),
        charset: found.charset.clone(),
        unsupported: false,
    };
    if !reading.extended.relational {
        check_unique(&found, level, reading.root)?;
    }
    for key in &found.keys {
        // Its range is in a span already, together with its date's.
        let spanned = question.wanted.moments.iter().any(|moment| moment.time == key.key);
        add(&mut question, key, if spanned { "" } else { &key.text }, reading)?;
        // Times match to the microsecond: what was asked beyond that is not supported.
        let of_time = attribute(key.key).is_some_and(|row| row.matching == Matching::Time);
        question.unsupported |= of_time && query::is_finer(&key.text);
    }
    if question.wanted.zone.is_some() {
        question.wanted.zoned = Zone::split(&mut question.wanted.query.conditions);
    }
    for unique in level.unique_keys(reading.root) {
        question.returned(*unique);
    }
    question.wanted.returned = Some(question.returned.iter().map(|(key, _)| *key).collect());
    Ok(question)
}

/// The dates and times that are asked for together (PS3.4 section C.2.2.2.5).
fn moments(found: &Identifier) -> Result<Vec<Moment>, Failure> {
    let text = |wanted: AttrKey| found.keys.iter().find(|key| key.key == wanted).map_or("", |key| key.text.as_str());
    let spans = PAIRS.into_iter().filter_map(|pair| Moment::parse(pair, text(pair.0), text(pair.1)));
    spans.collect::<Result<_, _>>().map_err(|error| unable(error.to_string()))
}

/// The zone in which dates and times are meant (PS3.4 section C.5, timezone query adjustment).
fn zone(found: &Identifier) -> Result<Option<Zone>, Failure> {
    let given = found.keys.iter().find(|found| found.key == key::TIMEZONE_OFFSET_FROM_UTC).map(|found| &found.text);
    match given.filter(|text| !text.trim_matches([' ', '\0']).is_empty()) {
        None => Ok(None),
        Some(text) => {
            let wrong = || unable("TimezoneOffsetFromUTC takes +HHMM or -HHMM, from -1200 to +1400");
            Zone::parse(text).map(Some).ok_or_else(wrong)
        }
    }
}

/// Without relational queries every level above is pinned down by one value (PS3.4 section C.4.1.2.1).
pub(crate) fn check_unique(found: &Identifier, level: QueryLevel, root: Root) -> Result<(), Failure> {
    let Some((_, above)) = level.unique_keys(root).split_last() else { return Ok(()) };
    for unique in above {
        let value = found.keys.iter().find(|key| key.key == *unique).map_or("", |key| key.text.as_str());
        let value = value.trim_matches([' ', '\0']);
        let is_uid = *unique != key::PATIENT_ID;
        let keyword = attribute(*unique).map_or("a unique key", |row| row.keyword);
        let sound = if is_uid { Uid::parse(value).is_ok() } else { !value.contains('\\') && !has_wildcard(value) };
        if value.is_empty() || !sound {
            return Err(mismatch(format!("{keyword} takes one value at level {}", level.term())));
        }
    }
    Ok(())
}

impl Question {
    fn returned(&mut self, key: AttrKey) {
        let Some(row) = attribute(key) else { return };
        if !self.returned.iter().any(|(known, _)| *known == key) {
            self.returned.push((key, row.vr));
        }
    }
}

fn add(question: &mut Question, found: &Key, text: &str, reading: &Reading<'_>) -> Result<(), Failure> {
    let given = !text.trim_matches([' ', '\0']).is_empty();
    if found.key == LEVEL || found.key == RETRIEVE_AE_TITLE {
        return Ok(());
    }
    if PATIENT_TOTALS.contains(&found.key) {
        question.unsupported |= given || question.level != QueryLevel::Patient;
        if question.level == QueryLevel::Patient {
            question.wanted.patient_totals = true;
            question.returned.push((found.key, "IS"));
        }
        return Ok(());
    }
    let within: Vec<&Attribute> = ATTRIBUTES.iter().filter(|row| row.key.sequence == found.key.tag).collect();
    if found.vr == Vr::SQ && found.key.sequence == 0 && !within.is_empty() {
        // A sequence without items asks for all of it.
        for row in within {
            take(question, row, "", reading)?;
        }
        return Ok(());
    }
    let Some(row) = attribute(found.key) else {
        question.unsupported = true;
        return Ok(());
    };
    if found.vr == Vr::SQ {
        return Err(mismatch(format!("{} is no sequence", row.keyword)));
    }
    take(question, row, text, reading)
}

/// Takes a key of the archive's table.
fn take(question: &mut Question, row: &'static Attribute, text: &str, reading: &Reading<'_>) -> Result<(), Failure> {
    let asked = text.trim_matches([' ', '\0']);
    let place = QueryLevel::of(row.key, row.level, reading.root);
    let mut row = row;
    if place > question.level {
        // Old viewers ask for studies of a modality with the key of the series.
        let of_study = row.key == key::MODALITY && question.level == QueryLevel::Study;
        match attribute(key::MODALITIES_IN_STUDY).filter(|_| of_study && !asked.is_empty()) {
            Some(modalities) => row = modalities,
            None if asked.is_empty() || asked == "*" => {
                question.unsupported = true;
                return Ok(());
            }
            None => {
                return Err(mismatch(format!("{} is no key of level {}", row.keyword, question.level.term())));
            }
        }
    }
    question.returned(row.key);
    let matchings =
        Matchings { empty_value: reading.extended.empty_value, multiple_value: reading.extended.multiple_value };
    let pinned = row.key == key::PATIENT_ID && place < question.level && !reading.extended.relational;
    let test = match pinned {
        true => Test::Equal(asked.to_owned()),
        false => Test::parse_extended(row, text, matchings).map_err(|error| unable(error.to_string()))?,
    };
    // A time zone is how dates are meant; as a key it restricts nothing.
    let zone = row.key == key::TIMEZONE_OFFSET_FROM_UTC && !asked.is_empty();
    question.unsupported |= zone && question.wanted.zone.is_none();
    if test != Test::Any {
        question.wanted.query.conditions.push(Condition { key: row.key, test });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
