//! Query parameters of a search (PS3.18 section 8.3.4) become a question to the archive.
//!
//! What cannot be read is 400. An attribute the archive does not match is ignored with a Warning, as the standard
//! says. Texts of refusals name parameters, never their values: a value may be a patient's name.

use crate::options::Options;
use crate::problem::{Kind, Problem};
use model::attribute::{ATTRIBUTES, Attribute, Matching, attribute, key};
use model::query::{self, Condition, Extended, Query, Test};
use model::{AttrKey, Level, Uid};
use std::collections::BTreeSet;

/// Most parameters in one query string.
const PARAMETERS_MAX: usize = 1_000;

/// A parsed search.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) query: Query,
    pub(crate) offset: u64,
    pub(crate) limit: usize,
    /// Whether the row limit is ours, not the client's.
    pub(crate) limited_by_us: bool,
    /// Attributes to answer beyond the required ones.
    pub(crate) fields: Fields,
    /// Whether the path names the study (and the series): their attributes are then not repeated.
    pub(crate) scoped_levels: Vec<Level>,
    /// Texts for the Warning header.
    pub(crate) notes: Vec<String>,
}

/// The `includefield` parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Fields {
    pub(crate) all: bool,
    pub(crate) named: BTreeSet<AttrKey>,
}

/// Splits and decodes a query string; a plus sign is a space (HTML forms and most clients write it so).
pub(crate) fn split_query(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs = Vec::new();
    for piece in query.split('&').filter(|piece| !piece.is_empty()) {
        if pairs.len() >= PARAMETERS_MAX {
            return Err(bad(format!("more than {PARAMETERS_MAX} parameters"), "query"));
        }
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let decoded = percent_decoded(name).zip(percent_decoded(value));
        pairs.push(decoded.ok_or_else(|| bad("percent encoding is broken or not UTF-8".into(), "query"))?);
    }
    Ok(pairs)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Parses the parameters of a search at a level, inside the UIDs its path names (study, then series).
pub(crate) fn parse(
    level: Level,
    scoped: &[Uid],
    parameters: &[(String, String)],
    options: &Options,
) -> Result<Question, Problem> {
    let mut question = Question {
        query: Query { level, conditions: Vec::new(), fuzzy: false },
        offset: 0,
        limit: options.find_limit_default,
        limited_by_us: true,
        fields: Fields::default(),
        scoped_levels: Vec::new(),
        notes: Vec::new(),
    };
    let names = [(key::STUDY_INSTANCE_UID, Level::Study), (key::SERIES_INSTANCE_UID, Level::Series)];
    for (uid, (key, level)) in scoped.iter().zip(names) {
        question.query.conditions.push(Condition { key, test: Test::Equal(uid.as_str().to_owned()) });
        question.scoped_levels.push(level);
    }
    let extended = extended(parameters)?;
    let path = question.query.conditions.len();
    for (name, value) in parameters {
        match name.to_ascii_lowercase().as_str() {
            "limit" => limit(&mut question, number(name, value)?, options),
            "offset" => question.offset = offset(number(name, value)?, options)?,
            "fuzzymatching" => question.query.fuzzy = boolean(name, value)?,
            "includefield" => include(&mut question, value)?,
            "emptyvaluematching" | "multiplevaluematching" | "accept" | "charset" => {}
            _ => condition(&mut question, name, value, options, extended)?,
        }
    }
    join_repeated(&mut question.query.conditions, path);
    Ok(question)
}

/// Which kinds of matching the parameters ask for; they may stand behind the keys they are about.
fn extended(parameters: &[(String, String)]) -> Result<Extended, Problem> {
    let mut extended = Extended::default();
    for (name, value) in parameters {
        match name.to_ascii_lowercase().as_str() {
            "emptyvaluematching" => extended.empty_value = boolean(name, value)?,
            "multiplevaluematching" => extended.multiple_value = boolean(name, value)?,
            _ => {}
        }
    }
    Ok(extended)
}

/// A UID key that is given several times means any of its values, as one list would: viewers write lists so.
/// Those of the path come first, stand alone and always hold.
fn join_repeated(conditions: &mut Vec<Condition>, path: usize) {
    let uids = |condition: &Condition| -> Option<Vec<String>> {
        attribute(condition.key).filter(|row| row.matching == Matching::Uid)?;
        match &condition.test {
            Test::Equal(uid) => Some(vec![uid.clone()]),
            Test::OneOf(list) => Some(list.clone()),
            _ => None,
        }
    };
    let mut at = path;
    while let Some(condition) = conditions.get(at).cloned() {
        let earlier = conditions.iter().take(at).skip(path).position(|known| known.key == condition.key);
        let known = earlier.and_then(|back| conditions.get_mut(path.saturating_add(back)));
        match known.and_then(|known| Some((uids(known)?, uids(&condition)?, known))) {
            Some((mut list, more, known)) => {
                list.extend(more.into_iter().filter(|uid| !list.contains(uid)).collect::<Vec<_>>());
                known.test = Test::OneOf(list);
                conditions.remove(at);
            }
            None => at += 1,
        }
    }
}

fn bad(detail: String, place: &str) -> Problem {
    Problem::new(Kind::BadRequest, detail).at(place)
}

fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value
        .trim()
        .parse()
        .map_err(|_| bad(format!("{name} takes a whole number from 0"), &format!("query parameter {name}")))
}

fn boolean(name: &str, value: &str) -> Result<bool, Problem> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(bad(format!("{name} takes true or false"), &format!("query parameter {name}"))),
    }
}

fn limit(question: &mut Question, wanted: u64, options: &Options) {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    question.limited_by_us = wanted > options.find_limit_max;
    question.limit = wanted.min(options.find_limit_max);
}

fn offset(wanted: u64, options: &Options) -> Result<u64, Problem> {
    if wanted <= options.find_offset_max {
        return Ok(wanted);
    }
    let detail = format!("offset is at most {}; narrow the search by date or another key", options.find_offset_max);
    Err(bad(detail, "query parameter offset"))
}

fn include(question: &mut Question, value: &str) -> Result<(), Problem> {
    for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if name.eq_ignore_ascii_case("all") {
            question.fields.all = true;
            continue;
        }
        match address(name) {
            Named::Kept(found) => question.fields.named.extend(found.iter().map(|row| row.key)),
            Named::Unkept => note_once(
                question,
                "includefield names attributes that are not kept for searching; they are not returned.",
            ),
            Named::Nothing => {
                let detail = "includefield takes tags (00100010), keywords (PatientName) or all".to_owned();
                return Err(bad(detail, "query parameter includefield"));
            }
        }
    }
    Ok(())
}

fn note_once(question: &mut Question, note: &str) {
    if !question.notes.iter().any(|known| known == note) {
        question.notes.push(note.to_owned());
    }
}

fn condition(
    question: &mut Question,
    name: &str,
    value: &str,
    options: &Options,
    extended: Extended,
) -> Result<(), Problem> {
    let place = format!("query parameter {}", name.chars().take(80).collect::<String>());
    let row = match address(name) {
        Named::Kept(found) if found.len() == 1 => found.first().copied(),
        Named::Kept(_) | Named::Unkept => None,
        Named::Nothing => {
            let detail = "this is neither a parameter of a search nor an attribute by tag, keyword or Sequence.Keyword";
            return Err(bad(detail.into(), &place));
        }
    };
    let Some(row) = row.filter(|row| row.matching != Matching::ReturnOnly) else {
        let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').take(80).collect();
        question.notes.push(format!("Matching on {plain} is not supported; the parameter was ignored."));
        return Ok(());
    };
    if question.query.conditions.len() >= options.find_conditions_max {
        return Err(bad(format!("more than {} conditions", options.find_conditions_max), "query"));
    }
    let test = Test::parse_extended(row, value, extended).map_err(|error| bad(error.to_string(), &place))?;
    if row.matching == Matching::Time && query::is_finer(value) {
        question.notes.push(format!("{} is matched to the microsecond; further digits were left out.", row.keyword));
    }
    question.fields.named.insert(row.key);
    if test != Test::Any {
        question.query.conditions.push(Condition { key: row.key, test });
    }
    Ok(())
}

enum Named {
    /// Kept attributes: one, or all inside a named sequence.
    Kept(Vec<&'static Attribute>),
    /// The form of an attribute, but not one the archive keeps.
    Unkept,
    /// No attribute at all.
    Nothing,
}

/// Attributes by tag, keyword, or a path of two of either.
fn address(name: &str) -> Named {
    let row = AttrKey::parse(name).and_then(attribute);
    let row = row.or_else(|| ATTRIBUTES.iter().find(|row| row.keyword == name));
    let row = row.or_else(|| mixed_path(name));
    if let Some(row) = row {
        return Named::Kept(vec![row]);
    }
    let inside: Vec<&Attribute> = ATTRIBUTES
        .iter()
        .filter(|row| row.key.sequence != 0)
        .filter(|row| {
            let sequence = row.keyword.split('.').next().unwrap_or_default();
            sequence == name || format!("{:08X}", row.key.sequence).eq_ignore_ascii_case(name)
        })
        .collect();
    if !inside.is_empty() {
        return Named::Kept(inside);
    }
    let is_tag = |part: &str| part.len() == 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let is_keyword = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_uppercase()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    if name.len() <= 512 && name.split('.').all(|part| is_tag(part) || is_keyword(part)) {
        Named::Unkept
    } else {
        Named::Nothing
    }
}

/// `Sequence.00400009` or `00400275.Keyword`.
fn mixed_path(name: &str) -> Option<&'static Attribute> {
    let (outer, inner) = name.split_once('.')?;
    ATTRIBUTES.iter().filter(|row| row.key.sequence != 0).find(|row| {
        let Some((sequence, keyword)) = row.keyword.split_once('.') else { return false };
        let fits = |part: &str, word: &str, tag: u32| part == word || part.eq_ignore_ascii_case(&format!("{tag:08X}"));
        fits(outer, sequence, row.key.sequence) && fits(inner, keyword, row.key.tag)
    })
}

#[cfg(test)]
mod tests;
