//! From the parameters of a search to what is asked, by the table of its resource.
//!
//! What is not known is left out with a warning, or refused where the client says `Prefer: handling=strict`; a modifier that
//! is not known is refused in any case, since it would turn the meaning of what it stands at (FHIR R4 3.1.1.4.4). Refusals
//! name parameters, never their values.

use super::dates::Span;
use super::pages;
use super::tables::{Form, Include, Resource, Table};
use crate::problem::{Kind, Problem};

/// Rows of a page when the request names no `_count`.
const COUNT_DEFAULT: usize = 50;
/// Most rows of a page.
pub(crate) const COUNT_MAX: usize = 500;
/// Most values of one parameter.
pub(crate) const VALUES_MAX: usize = 100;
/// Most values of all parameters together.
pub(crate) const VALUES_ALL_MAX: usize = 300;
/// Most parameters that are asked by.
const WANTED_MAX: usize = 32;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ask {
    /// A code, with its system where one is said; an empty system was said to be none.
    Token { system: Option<String>, code: String },
    /// The id of a resource of the right kind; empty where another kind is named, which nothing is.
    Reference(String),
    /// A span of time.
    Date(Span),
    /// Words.
    Text(String),
}

/// A parameter with its values, one of which must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) name: &'static str,
    /// Whether it said `:exact`.
    pub(crate) exact: bool,
    pub(crate) any: Vec<Ask>,
}

/// A search.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) table: &'static Table,
    /// Everything that must hold.
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) count: usize,
    /// Whether only the number of matches is asked.
    pub(crate) only_count: bool,
    pub(crate) includes: Vec<&'static Include>,
    pub(crate) cursor: Option<String>,
    /// What was understood, for the link to itself.
    pub(crate) used: Vec<(String, String)>,
    /// Warnings.
    pub(crate) notes: Vec<String>,
}

fn bad(name: &str, what: impl Into<String>) -> Problem {
    Problem::new(Kind::BadRequest, what).at(format!("query parameter {}", shortened(name)))
}

/// A name as it is told: a client may have put anything there.
fn shortened(name: &str) -> String {
    name.chars().filter(|letter| letter.is_ascii_graphic()).take(40).collect()
}

impl Question {
    /// Reads the parameters of a search.
    ///
    /// # Errors
    /// What cannot be read; what is not known, where `strict`.
    pub(crate) fn of(
        table: &'static Table,
        parameters: &[(String, String)],
        strict: bool,
        utc_offset: i8,
    ) -> Result<Self, Problem> {
        let mut question = Self {
            table,
            wanted: Vec::new(),
            count: COUNT_DEFAULT,
            only_count: false,
            includes: Vec::new(),
            cursor: None,
            used: Vec::new(),
            notes: Vec::new(),
        };
        for (name, value) in parameters {
            if value.trim().is_empty() {
                continue;
            }
            let known = question.result(name, value)? || question.condition(name, value, utc_offset)?;
            if known {
                question.used.push((name.clone(), value.clone()));
            } else if strict {
                return Err(bad(name, format!("{} is not searched by this, or not in this way", table.name)));
            } else {
                question.notes.push(format!("parameter {} is not known here and was left out", shortened(name)));
            }
        }
        if question.wanted.len() > WANTED_MAX {
            return Err(Problem::new(Kind::BadRequest, format!("at most {WANTED_MAX} parameters")).at("query"));
        }
        if question.wanted.iter().map(|wanted| wanted.any.len()).sum::<usize>() > VALUES_ALL_MAX {
            return Err(pages::costly(format!("at most {VALUES_ALL_MAX} values of all parameters together")));
        }
        // The place to go on from and the form are no part of what is asked.
        question.used.retain(|(name, _)| name != "_cursor" && name != "_format" && name != "_pretty");
        Ok(question)
    }

    /// Takes a parameter that is about the answer; false where it is none or not understood.
    fn result(&mut self, name: &str, value: &str) -> Result<bool, Problem> {
        match name {
            "_format" | "_pretty" => {}
            "_count" => {
                let count: usize = value.parse().map_err(|_| bad(name, "_count takes a whole number from 0"))?;
                self.only_count |= count == 0;
                self.count = count.clamp(1, COUNT_MAX);
            }
            "_summary" => match value {
                "count" => self.only_count = true,
                "false" => {}
                _ => return Ok(false),
            },
            "_cursor" => self.cursor = Some(value.to_owned()),
            "_include" => return Ok(self.include(value)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn include(&mut self, value: &str) -> bool {
        let mut parts = value.split(':');
        let (resource, name) = (parts.next(), parts.next().unwrap_or_default());
        let found = self.table.includes.iter().find(|include| include.name == name);
        match found.filter(|_| resource == Some(self.table.name)) {
            Some(found) if !self.includes.contains(&found) => self.includes.push(found),
            Some(_) => {}
            None => return false,
        }
        true
    }

    /// Takes a parameter that matches must satisfy; false where the resource has none of the name.
    fn condition(&mut self, name: &str, value: &str, utc_offset: i8) -> Result<bool, Problem> {
        let (plain, modifier) = match name.split_once(':') {
            Some((plain, modifier)) => (plain, Some(modifier)),
            None => (name, None),
        };
        // A chain names the kind it leads to: patient:Patient.identifier.
        let (plain, modifier) = match modifier.and_then(|modifier| modifier.split_once('.')) {
            Some((kind, rest)) => (format!("{plain}.{rest}"), Some(kind)),
            None => (plain.to_owned(), modifier),
        };
        let Some(parameter) = self.table.parameter(&plain) else { return Ok(false) };
        let exact = match (modifier, parameter.form) {
            (None, _) => false,
            (Some("exact"), Form::Text) => true,
            (Some(kind), Form::Reference(target)) if kind == target.name() => false,
            (Some("Patient"), Form::Token) if plain.starts_with("patient.") => false,
            _ => return Err(bad(name, "this modifier is not known here")),
        };
        let values = split(value, ',');
        if values.len() > VALUES_MAX {
            let detail = format!("at most {VALUES_MAX} values of one parameter");
            return Err(Problem::new(Kind::TooCostly, detail).at(format!("query parameter {}", shortened(name))));
        }
        let read = |value: &String| ask(parameter.form, value, utc_offset);
        let any: Option<Vec<Ask>> = values.iter().filter(|value| !value.trim().is_empty()).map(read).collect();
        let any = any.ok_or_else(|| bad(name, "a date is written as 2026-11-28 or 2026-11-28T08:30:00+07:00"))?;
        self.wanted.push(Wanted { name: parameter.name, exact, any });
        Ok(true)
    }

    /// The parameters of a name, all of which must hold.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Wanted> {
        self.wanted.iter().filter(move |wanted| wanted.name == name)
    }

    /// The spans of a date, all of which must hold; of each one of the list.
    pub(crate) fn accepts_date(&self, name: &str, span: Option<(i64, i64)>) -> bool {
        self.all(name).all(|wanted| {
            wanted.any.iter().any(|ask| matches!((ask, span), (Ask::Date(asked), Some(span)) if asked.accepts(span)))
        })
    }

    /// Whether codes under one system satisfy every token of a name.
    pub(crate) fn accepts_token(&self, name: &str, system: &str, codes: &[&str]) -> bool {
        self.all(name).all(|wanted| {
            wanted.any.iter().any(|ask| match ask {
                Ask::Token { system: asked, code } => {
                    asked.as_deref().is_none_or(|asked| asked == system) && codes.contains(&code.as_str())
                }
                _ => false,
            })
        })
    }
}

impl Wanted {
    /// Its values that are references.
    pub(crate) fn references(&self) -> impl Iterator<Item = &str> {
        self.any.iter().filter_map(|ask| match ask {
            Ask::Reference(id) => Some(id.as_str()),
            _ => None,
        })
    }

    /// Its values that are tokens.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.any.iter().filter_map(|ask| match ask {
            Ask::Token { system, code } => Some((system.as_deref(), code.as_str())),
            _ => None,
        })
    }

    /// Its values that are words.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.any.iter().filter_map(|ask| match ask {
            Ask::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Splits at a mark that no backslash stands in front of; the parts keep their backslashes.
fn split(text: &str, mark: char) -> Vec<String> {
    let (mut parts, mut part, mut escaped) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        if letter == mark && !escaped {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        escaped = letter == '\\' && !escaped;
        part.push(letter);
    }
    parts.push(part);
    parts
}

/// A value without the backslashes in front of marks.
fn unescaped(text: &str) -> String {
    let (mut out, mut letters) = (String::new(), text.trim().chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next()),
            other => out.push(other),
        }
    }
    out
}

/// A value; none where it is no date and has to be one.
fn ask(form: Form, value: &str, utc_offset: i8) -> Option<Ask> {
    Some(match form {
        Form::Date => Ask::Date(Span::parse(value, utc_offset)?),
        Form::Text => Ask::Text(unescaped(value)),
        Form::Reference(target) => Ask::Reference(referred(&unescaped(value), target)),
        Form::Token => {
            let mut parts = split(value, '|');
            let last = parts.pop().unwrap_or_default();
            let system = (!parts.is_empty()).then(|| unescaped(&parts.join("|")));
            Ask::Token { system, code: unescaped(&last) }
        }
    })
}

/// The id in a reference: an id, `Patient/id`, or a URL that ends so.
pub(crate) fn referred(text: &str, target: Resource) -> String {
    let mut parts = text.rsplit('/');
    let id = parts.next().unwrap_or_default();
    match parts.next() {
        Some(kind) if kind != target.name() => String::new(),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &[(&str, &str)], strict: bool) -> Result<Question, Problem> {
        let table = Table::of("ImagingStudy").expect("a table");
        let parameters: Vec<(String, String)> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Question::of(table, &parameters, strict, 7)
    }

    #[test]
    fn values_are_read_by_their_form() {
        let question = asked(
            &[
                ("identifier", r"urn:dicom:uid|urn:oid:1.2,|A\,1,A2"),
                ("patient", "Patient/56001.1"),
                ("patient:Patient", "http://h/fhir/Patient/56001.2"),
                ("patient:Patient.identifier", "3"),
                ("endpoint", "Patient/x"),
                ("modality", ""),
                ("_count", "9999"),
                ("_include", "ImagingStudy:patient"),
                ("_cursor", "1-2"),
            ],
            true,
        )
        .expect("understood");
        let token =
            |system: Option<&str>, code: &str| Ask::Token { system: system.map(str::to_owned), code: code.into() };
        assert_eq!(
            question.wanted.first().expect("identifier").any,
            [token(Some("urn:dicom:uid"), "urn:oid:1.2"), token(Some(""), "A,1"), token(None, "A2")]
        );
        let references: Vec<&str> = question.wanted.iter().flat_map(Wanted::references).collect();
        assert_eq!(references, ["56001.1", "56001.2", ""], "an endpoint is no patient");
        assert_eq!(question.all("patient.identifier").count(), 1);
        assert_eq!((question.count, question.cursor.as_deref(), question.includes.len()), (COUNT_MAX, Some("1-2"), 1));
        assert!(question.used.iter().all(|(name, _)| name != "_cursor"));
    }

    #[test]
    fn what_is_not_known_is_left_out_or_refused() {
        for (name, value) in
            [("colour", "red"), ("_include", "ImagingStudy:colour"), ("_summary", "text"), ("_sort", "x")]
        {
            let question = asked(&[(name, value)], false).expect("lenient");
            assert_eq!((question.notes.len(), question.used.len()), (1, 0), "{name}");
            assert_eq!(asked(&[(name, value)], true).expect_err(name).kind, Kind::BadRequest);
        }
        for (name, value) in
            [("started:missing", "true"), ("started", "red"), ("_count", "few"), ("patient:Group", "1")]
        {
            let problem = asked(&[(name, value)], false).expect_err(name);
            assert_eq!(problem.place, format!("query parameter {name}"));
            assert!(!problem.detail.contains(value) || value == "true", "{}", problem.detail);
        }
    }

    #[test]
    fn too_many_values_are_too_costly() {
        let values = |count: usize| vec!["A"; count].join(",");
        let (most, over) = (values(VALUES_MAX), values(VALUES_MAX + 1));
        assert!(asked(&[("identifier", &most), ("patient", &most), ("modality", &most)], false).is_ok());
        assert_eq!(asked(&[("identifier", &over)], false).expect_err("of one").kind, Kind::TooCostly);
        let all = [("identifier", most.as_str()), ("patient", &most), ("basedon", &most), ("modality", "CT")];
        assert_eq!(asked(&all, false).expect_err("of all").kind, Kind::TooCostly);
    }
}
