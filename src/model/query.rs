//! A query as every wire means it: keys, ranges, lists and wildcards, parsed once.
//!
//! QIDO-RS parameters and C-FIND identifiers both become a [`Query`].
//! [`Test::accepts`] is the definition of what matches; an index may only be faster, never different.
//! Deliberately not here: sequences other than by nested key.

mod moment;
mod zone;

pub use moment::{Moment, PAIRS};
pub use zone::Zone;

use crate::attribute::{Attribute, Matching};
use crate::{AttrKey, Level, Uid, name};

/// One matching key with its parsed condition (PS3.4 C.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The attribute.
    pub key: AttrKey,
    /// What its value must satisfy.
    pub test: Test,
}

/// A condition on one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Anything (an empty key): the attribute is only asked back.
    Any,
    /// Equal (after the normalisation of the attribute's matching rule).
    Equal(String),
    /// Any of a list (UIDs, codes).
    OneOf(Vec<String>),
    /// Pattern with `*` (any run) and `?` (one character).
    Wildcard(String),
    /// From–to, both inclusive; an open end is `None`.
    Range(Option<String>, Option<String>),
    /// No value: absent or of no length (empty value matching, PS3.4 C.2.2.2.7).
    Empty,
    /// Any of several conditions (multiple value matching, PS3.4 C.2.2.2.8).
    AnyOf(Vec<Test>),
}

/// Kinds of matching that an asker has to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extended {
    /// A key of two quotation marks matches an attribute without a value (PS3.4 C.2.2.2.7).
    pub empty_value: bool,
    /// Values separated by a backslash are alternatives, whatever the attribute (PS3.4 C.2.2.2.8).
    pub multiple_value: bool,
}

/// A query at one level.
///
/// A row matches when there is a chain study – series – instance through it that satisfies every condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What a row of the answer is.
    pub level: Level,
    /// Conditions, all of which must hold; may name attributes of any level.
    pub conditions: Vec<Condition>,
    /// Whether names match by folded tokens in any order and by prefix (`fuzzymatching=true`).
    pub fuzzy: bool,
}

/// Why a key's text is no condition. The texts carry no value: it may be patient data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Not a UID or list of UIDs.
    #[error("{keyword} takes a UID or a list of UIDs")]
    Uid {
        /// The attribute asked.
        keyword: &'static str,
    },
    /// Not a date or range of dates.
    #[error("{keyword} takes a date YYYYMMDD or a range: from-to, from- or -to")]
    Date {
        /// The attribute asked.
        keyword: &'static str,
    },
    /// Not a time or range of times.
    #[error("{keyword} takes a time HHMMSS or a range: from-to, from- or -to")]
    Time {
        /// The attribute asked.
        keyword: &'static str,
    },
    /// A range that ends before it begins.
    #[error("the range for {keyword} ends before it begins")]
    Reversed {
        /// The attribute asked.
        keyword: &'static str,
    },
    /// Not a number.
    #[error("{keyword} takes a whole number")]
    Number {
        /// The attribute asked.
        keyword: &'static str,
    },
    /// More list entries or characters than a key may have.
    #[error("{keyword} is longer than a key may be")]
    TooLong {
        /// The attribute asked.
        keyword: &'static str,
    },
}

impl Test {
    /// Most entries a list may have.
    pub const LIST_MAX: usize = 1000;
    /// Values of a code (an identifier, a modality) that are looked at.
    pub const VALUES_MAX: usize = 128;
    /// Most characters a key that is no list may have; no VR that can be matched allows more.
    pub const TEXT_MAX: usize = 1024;

    /// Parses the text of a key by the attribute's matching rule; the values inside are normalised.
    /// An empty text and a lone `*` are universal; attributes that are returned only never restrict.
    pub fn parse(attribute: &Attribute, text: &str) -> Result<Self, QueryError> {
        let keyword = attribute.keyword;
        let text = text.trim_matches(|c: char| c == ' ' || c == '\0');
        if text.is_empty() || text == "*" || attribute.matching == Matching::ReturnOnly {
            return Ok(Self::Any);
        }
        if attribute.matching != Matching::Uid && text.chars().count() > Self::TEXT_MAX {
            return Err(QueryError::TooLong { keyword });
        }
        match attribute.matching {
            Matching::Uid => parse_uids(keyword, text),
            Matching::Code => parse_code(attribute, text),
            Matching::Text => Ok(Self::folded(text, name::fold)),
            Matching::Name => Ok(Self::folded(text, name::fold_names)),
            Matching::Date => parse_range(text, date, date, Self::Equal, || QueryError::Date { keyword }, keyword),
            Matching::Time => {
                let exact = |_: String| Self::Range(time(text, '0'), time(text, '9'));
                parse_range(text, |t| time(t, '0'), |t| time(t, '9'), exact, || QueryError::Time { keyword }, keyword)
            }
            Matching::Number => number(text).map(Self::Equal).ok_or(QueryError::Number { keyword }),
            Matching::ReturnOnly => Ok(Self::Any),
        }
    }

    /// Parses a key as [`Test::parse`] does, with the kinds of matching that were asked for.
    ///
    /// # Errors
    /// As [`Test::parse`], for any of several values.
    pub fn parse_extended(attribute: &Attribute, text: &str, asked: Extended) -> Result<Self, QueryError> {
        let trimmed = text.trim_matches(|c: char| c == ' ' || c == '\0');
        if asked.empty_value && trimmed == EMPTY_VALUE && attribute.matching != Matching::ReturnOnly {
            return Ok(Self::Empty);
        }
        let listed = matches!(attribute.matching, Matching::Uid | Matching::ReturnOnly);
        if !asked.multiple_value || listed || !trimmed.contains('\\') {
            return Self::parse(attribute, text);
        }
        let values = trimmed.split('\\').take(Self::LIST_MAX + 1);
        let single = Extended { multiple_value: false, ..asked };
        let tests =
            values.map(|value| Self::parse_extended(attribute, value, single)).collect::<Result<Vec<_>, _>>()?;
        match tests.len() > Self::LIST_MAX {
            true => Err(QueryError::TooLong { keyword: attribute.keyword }),
            false if tests.contains(&Self::Any) => Ok(Self::Any),
            false => Ok(alternatives(attribute, tests)),
        }
    }

    /// Whether the value of the attribute satisfies the condition. An absent attribute has the value `""`;
    /// of several values (joined by a backslash) one is enough, but of dates and times only the first counts. Of names
    /// and texts what [`name::searched`] gives is looked at, of codes [`Test::VALUES_MAX`] values.
    pub fn accepts(&self, attribute: &Attribute, value: &str, fuzzy: bool) -> bool {
        match self {
            Self::Any => return true,
            Self::Empty => return value.split(['\\', '=', '^']).all(|part| part.trim().is_empty()),
            Self::AnyOf(tests) => return tests.iter().any(|test| test.accepts(attribute, value, fuzzy)),
            _ => {}
        }
        match attribute.matching {
            Matching::ReturnOnly => true,
            Matching::Name => self.accepts_folded(&name::fold_names(name::searched(value)), fuzzy),
            Matching::Text => name::searched(value).split('\\').any(|one| self.accepts_value(&name::fold(one))),
            Matching::Code => value.split('\\').take(Self::VALUES_MAX).any(|one| self.accepts_value(one.trim())),
            Matching::Uid => value.split('\\').any(|one| self.accepts_value(one.trim())),
            Matching::Date => date(first(value)).is_some_and(|d| self.accepts_value(&d)),
            Matching::Time => time(first(value), '0').is_some_and(|t| self.accepts_value(&t)),
            Matching::Number => value.split('\\').any(|one| number(one).is_some_and(|n| self.accepts_value(&n))),
        }
    }

    /// The rule for names, on a value already folded by [`name::fold_names`].
    ///
    /// Without wildcards every word asked must be a word of one name, in any order; with `fuzzy`, the beginning of one.
    /// A pattern must match a whole name, or each of its words a word of the name, in any order.
    pub fn accepts_folded(&self, folded: &str, fuzzy: bool) -> bool {
        if folded.is_empty() {
            return matches!(self, Self::Any | Self::Empty);
        }
        folded.split(name::GROUP).any(|group| match self {
            Self::Any => true,
            Self::Equal(asked) => {
                asked.split(name::GROUP).all(|asked| asked.split(' ').all(|word| has_word(group, word, fuzzy)))
            }
            Self::Wildcard(pattern) => {
                glob(pattern, group) || pattern.split(' ').all(|part| group.split(' ').any(|word| glob(part, word)))
            }
            Self::AnyOf(tests) => tests.iter().any(|test| test.accepts_folded(group, fuzzy)),
            Self::OneOf(_) | Self::Range(..) | Self::Empty => false,
        })
    }

    fn accepts_value(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            _ if value.is_empty() => false,
            Self::Equal(asked) => asked == value,
            Self::OneOf(list) => list.iter().any(|asked| asked == value || has_wildcard(asked) && glob(asked, value)),
            Self::Wildcard(pattern) => glob(pattern, value),
            Self::Range(from, to) => {
                from.as_deref().is_none_or(|from| from <= value) && to.as_deref().is_none_or(|to| value <= to)
            }
            // Answered by [`Test::accepts`], which sees the whole value.
            Self::Empty | Self::AnyOf(_) => false,
        }
    }

    fn folded(text: &str, fold: fn(&str) -> String) -> Self {
        let folded = if has_wildcard(text) { name::fold_pattern(text) } else { fold(name::searched(text)) };
        match has_wildcard(&folded) {
            _ if folded.chars().all(|c| c == '*') => Self::Any,
            true => Self::Wildcard(folded),
            false => Self::Equal(folded),
        }
    }
}

/// Digits of the fraction of a second in a TM (PS3.5 section 6.2).
const FRACTION: usize = 6;
/// The key that asks for an attribute without a value (PS3.4 C.2.2.2.7).
const EMPTY_VALUE: &str = "\"\"";

/// Exact codes become one list, which an index can look up; everything else stays a choice of conditions.
fn alternatives(attribute: &Attribute, mut tests: Vec<Test>) -> Test {
    if tests.len() == 1 {
        return tests.pop().unwrap_or(Test::Any);
    }
    let codes = |test: &Test| match test {
        Test::Equal(one) | Test::Wildcard(one) => Some(vec![one.clone()]),
        Test::OneOf(list) => Some(list.clone()),
        _ => None,
    };
    if attribute.matching == Matching::Code
        && let Some(lists) = tests.iter().map(codes).collect::<Option<Vec<_>>>()
    {
        return Test::OneOf(lists.concat());
    }
    Test::AnyOf(tests)
}

/// A date as `YYYYMMDD`; also reads the form `YYYY.MM.DD` of old objects. None when it is no date.
pub fn date(text: &str) -> Option<String> {
    let text = text.trim();
    let digits: String = match text.len() {
        8 => text.into(),
        10 if text.as_bytes().get(4) == Some(&b'.') && text.as_bytes().get(7) == Some(&b'.') => text.replace('.', ""),
        _ => return None,
    };
    let number = |from: usize, to: usize| digits.get(from..to).filter(|d| all_digits(d))?.parse::<u16>().ok();
    number(0, 4)?;
    let (month, day) = (number(4, 6)?, number(6, 8)?);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(digits)
}

/// A time as `HHMMSS.FFFFFF`; also reads `HH:MM:SS`. Missing parts are filled up: with `'0'` to the first,
/// with anything else to the last moment they can mean. What is finer than a microsecond is cut off, see [`is_finer`].
/// None when it is no time.
pub fn time(text: &str, fill: char) -> Option<String> {
    let plain = text.trim().replace(':', "");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let part = |at: usize, end: usize, last: u8, filled: &str| -> Option<String> {
        match whole.get(at..end) {
            Some(digits) => {
                let fits = all_digits(digits) && digits.parse::<u8>().is_ok_and(|n| n <= last);
                fits.then(|| digits.to_owned())
            }
            None if whole.len() <= at => Some(filled.to_owned()),
            None => None,
        }
    };
    let low = fill == '0';
    let hours = part(0, 2, 23, "").filter(|h| !h.is_empty())?;
    let minutes = part(2, 4, 59, if low { "00" } else { "59" })?;
    // PS3.5 6.2: 60 only for a leap second.
    let seconds = part(4, 6, 60, if low { "00" } else { "59" })?;
    let sound = whole.len() <= 6 && all_digits(fraction) && (fraction.is_empty() || whole.len() == 6);
    let fill = if low { '0' } else { '9' };
    let fraction: String = fraction.chars().chain(std::iter::repeat(fill)).take(FRACTION).collect();
    sound.then(|| format!("{hours}{minutes}{seconds}.{fraction}"))
}

/// Whether a time, or an end of a range or list of times, has more digits than a TM may have: broken senders write
/// tenths of microseconds, and ask by them.
pub fn is_finer(text: &str) -> bool {
    let fraction = |time: &str| time.trim_matches([' ', '\0']).split_once('.').map_or(0, |(_, digits)| digits.len());
    text.split(['-', '\\']).any(|time| fraction(time) > FRACTION)
}

/// Whether a text matches a pattern with `*` and `?`, character by character.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern_rest, mut text_rest) = (pattern.chars(), text.chars());
    // Where to go on when the run after the last star did not fit.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let before = text_rest.clone();
        match (pattern_rest.next(), text_rest.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((pattern_rest.clone(), before.clone()));
                text_rest = before;
            }
            (Some('?'), Some(_)) => {}
            (Some(p), Some(t)) if p == t => {}
            _ => {
                let Some((after_star, mut resume)) = retry.take() else { return false };
                if resume.next().is_none() {
                    return false;
                }
                retry = Some((after_star.clone(), resume.clone()));
                (pattern_rest, text_rest) = (after_star, resume);
            }
        }
    }
}

/// Whether a text contains `*` or `?`.
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// The first of several values.
pub fn first(value: &str) -> &str {
    value.split('\\').next().unwrap_or("")
}

fn has_word(group: &str, word: &str, fuzzy: bool) -> bool {
    group.split(' ').any(|known| if fuzzy { known.starts_with(word) } else { known == word })
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// Whole numbers without sign or zeros in front (IS, US).
fn number(text: &str) -> Option<String> {
    text.trim().parse::<i64>().ok().map(|n| n.to_string())
}

fn parse_uids(keyword: &'static str, text: &str) -> Result<Test, QueryError> {
    let mut list = Vec::new();
    for part in text.split(['\\', ',']).filter(|part| !part.trim().is_empty()) {
        if list.len() == Test::LIST_MAX {
            return Err(QueryError::TooLong { keyword });
        }
        list.push(Uid::parse(part).map_err(|_| QueryError::Uid { keyword })?.as_str().to_owned());
    }
    Ok(one_or_list(list))
}

fn parse_code(attribute: &Attribute, text: &str) -> Result<Test, QueryError> {
    // A comma is no character of CS (PS3.5 6.2), and viewers send lists of modalities with it.
    let separators: &[char] = if attribute.vr == "CS" { &['\\', ','] } else { &['\\'] };
    let parts = text.split(separators).map(str::trim).filter(|part| !part.is_empty());
    let list: Vec<String> = parts.take(Test::LIST_MAX + 1).map(str::to_owned).collect();
    if list.len() > Test::LIST_MAX {
        return Err(QueryError::TooLong { keyword: attribute.keyword });
    }
    Ok(one_or_list(list))
}

fn one_or_list(mut list: Vec<String>) -> Test {
    match (list.len(), list.pop()) {
        (_, None) => Test::Any,
        (1, Some(one)) if has_wildcard(&one) => Test::Wildcard(one),
        (1, Some(one)) => Test::Equal(one),
        (_, Some(last)) => {
            list.push(last);
            Test::OneOf(list)
        }
    }
}

/// PS3.4 C.2.2.2.5: `a-b`, `-b`, `a-`.
fn parse_range(
    text: &str,
    low: impl Fn(&str) -> Option<String>,
    high: impl Fn(&str) -> Option<String>,
    exact: impl Fn(String) -> Test,
    bad: impl Fn() -> QueryError,
    keyword: &'static str,
) -> Result<Test, QueryError> {
    let Some((from, to)) = text.split_once('-') else {
        return low(text).map(exact).ok_or_else(bad);
    };
    let end = |part: &str, parse: &dyn Fn(&str) -> Option<String>| match part.trim() {
        "" => Ok(None),
        part => parse(part).map(Some).ok_or_else(&bad),
    };
    let (from, to) = (end(from, &low)?, end(to, &high)?);
    match (&from, &to) {
        (None, None) => Err(bad()),
        (Some(from), Some(to)) if from > to => Err(QueryError::Reversed { keyword }),
        _ => Ok(Test::Range(from, to)),
    }
}

#[cfg(test)]
mod tests;
