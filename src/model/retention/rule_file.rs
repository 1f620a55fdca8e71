//! The TOML form of a rule set, and errors that name the line and key to mend.
//!
//! ```text
//! version = 3                     # rises with every change
//! default = "UNCLASSED"           # class of studies that nothing else gives one
//!
//! [[class]]
//! id = "INOUT"
//! vi = "Hồ sơ bệnh án nội trú, ngoại trú"
//! en = "Inpatient and outpatient records"
//! law = "TT 33/2025/TT-BYT, line 44"
//! term = "10 years"               # or "10 years after death", "permanent"
//! valid_from = "2025-07-01"       # optional, as valid_to
//!
//! [[rule]]
//! id = "children-ct"
//! class = "INOUT"
//! vi = "..."
//! en = "..."
//! facility = ["56001"]            # every condition is optional, but one is needed (or `every_study = true`)
//! modality = ["CT"]
//! age_from = 0
//! age_below = 16
//! linked = ["PSY_ACC"]
//! made_from = "2020-01-01"        # day the study was made, as made_to
//! attribute = [{ name = "StudyDescription", prefix = ["tai nan"] }]
//! valid_from = "2027-01-01"
//! ```
//!
//! Unknown keys are errors: a mistyped condition would make a rule wider, and what it raises stays raised.
//! Deliberately not here: reading the file.

use super::class::{Class, ClassId, Term, Validity};
use super::matching::{AttributeTest, Conditions, usable};
use super::rules::{Rule, RuleId, RuleSet, RuleVersion};
use crate::date::Date;
use crate::{Digest, FacilityCode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

/// What is wrong in a rule file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {key}: {problem}")]
pub struct RuleError {
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// The key, for example `class INOUT, term`.
    pub key: String,
    /// What is wrong.
    pub problem: RuleProblem,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleProblem {
    /// Not TOML, an unknown or missing key, a value of another type.
    #[error("{0}")]
    Form(String),
    /// A value that is not what its key takes.
    #[error("{0}")]
    Value(String),
    /// A class that no row defines.
    #[error("no class {0} is defined")]
    UnknownClass(ClassId),
    /// A name used twice.
    #[error("the name is taken by another rule")]
    Twice,
    /// A name that the archive itself uses.
    #[error("the names `default` and `linked` are reserved")]
    Reserved,
    /// Two rows of a class have a day in common.
    #[error("another row of class {0} is in force on the same days")]
    Overlap(ClassId),
    /// The default class is not in force on every day.
    #[error("the default class {0} must be in force on every day, without a gap")]
    Gap(ClassId),
    /// An end before its beginning.
    #[error("the end lies before the beginning")]
    Reversed,
    /// A rule that asks nothing.
    #[error("a rule without any condition needs `every_study = true`")]
    NoCondition,
    /// Both conditions and `every_study`.
    #[error("`every_study = true` allows no condition")]
    ConditionToo,
    /// An attribute rules may not look at.
    #[error("{0:?} is no study-level code, description or UID that rules may look at")]
    Attribute(String),
    /// Nothing to compare an attribute with.
    #[error("needs `equals` or `prefix` with at least one text that is not empty")]
    NothingToCompare,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    version: Spanned<u32>,
    default: Spanned<String>,
    class: Vec<ClassForm>,
    #[serde(default)]
    rule: Vec<RuleForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassForm {
    id: Spanned<String>,
    vi: String,
    en: String,
    law: String,
    term: Spanned<String>,
    valid_from: Option<Spanned<String>>,
    valid_to: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    id: Spanned<String>,
    class: Spanned<String>,
    vi: String,
    en: String,
    #[serde(default)]
    every_study: bool,
    #[serde(default)]
    facility: Vec<Spanned<String>>,
    #[serde(default)]
    modality: Vec<Spanned<String>>,
    age_from: Option<u16>,
    age_below: Option<Spanned<u16>>,
    #[serde(default)]
    linked: Vec<Spanned<String>>,
    #[serde(default)]
    attribute: Vec<AttributeForm>,
    made_from: Option<Spanned<String>>,
    made_to: Option<Spanned<String>>,
    valid_from: Option<Spanned<String>>,
    valid_to: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeForm {
    name: Spanned<String>,
    #[serde(default)]
    equals: Vec<String>,
    #[serde(default)]
    prefix: Vec<String>,
}

impl RuleSet {
    /// Parses a rule file. Its version's digest is the SHA-256 of exactly this text.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let place = Place { text, owner: String::new() };
        let form: FileForm = toml::from_str(text).map_err(|error| RuleError {
            line: error.span().map_or(0, |span| place.line(span.start)),
            key: "file".into(),
            problem: RuleProblem::Form(error.message().to_owned()),
        })?;
        if *form.version.get_ref() == 0 {
            return Err(place.value(&form.version, "version", "versions count from 1"));
        }
        let number = *form.version.get_ref();
        let version = RuleVersion { number, digest: Digest(Sha256::digest(text.as_bytes()).into()) };
        let classes = classes(text, &form.class)?;
        let known = |id: &ClassId| classes.iter().any(|class| class.id == *id);
        let default = place.class(&form.default, "default")?;
        if !known(&default) {
            return Err(place.wrong(&form.default, "default", RuleProblem::UnknownClass(default)));
        }
        if !always_in_force(&classes, &default) {
            return Err(place.wrong(&form.default, "default", RuleProblem::Gap(default)));
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(form.rule.len());
        for form in &form.rule {
            let place = Place { text, owner: format!("rule {}, ", form.id.get_ref()) };
            let rule = rule(&place, form, &known)?;
            if rules.iter().any(|other| other.id == rule.id) {
                return Err(place.wrong(&form.id, "id", RuleProblem::Twice));
            }
            rules.push(rule);
        }
        Ok(Self { version, default, classes, rules })
    }
}

fn classes(text: &str, forms: &[ClassForm]) -> Result<Vec<Class>, RuleError> {
    let mut classes: Vec<Class> = Vec::with_capacity(forms.len());
    for form in forms {
        let place = Place { text, owner: format!("class {}, ", form.id.get_ref()) };
        let id = place.class(&form.id, "id")?;
        let term = Term::parse(form.term.get_ref()).map_err(|error| place.value(&form.term, "term", error))?;
        let valid = place.validity(form.valid_from.as_ref(), form.valid_to.as_ref(), "valid_from", "valid_to")?;
        if classes.iter().any(|other| other.id == id && other.valid.overlaps(&valid)) {
            return Err(place.wrong(&form.id, "id", RuleProblem::Overlap(id)));
        }
        let (vi, en, law) = (form.vi.clone(), form.en.clone(), form.law.clone());
        classes.push(Class { id, vi, en, law, term, valid });
    }
    Ok(classes)
}

fn rule(place: &Place<'_>, form: &RuleForm, known: &dyn Fn(&ClassId) -> bool) -> Result<Rule, RuleError> {
    let id = RuleId::parse(form.id.get_ref()).map_err(|error| place.value(&form.id, "id", error))?;
    if id.is_reserved() {
        return Err(place.wrong(&form.id, "id", RuleProblem::Reserved));
    }
    let defined = |name: &Spanned<String>, key: &str| -> Result<ClassId, RuleError> {
        let class = place.class(name, key)?;
        if known(&class) { Ok(class) } else { Err(place.wrong(name, key, RuleProblem::UnknownClass(class))) }
    };
    let class = defined(&form.class, "class")?;
    let valid = place.validity(form.valid_from.as_ref(), form.valid_to.as_ref(), "valid_from", "valid_to")?;
    let made = place.validity(form.made_from.as_ref(), form.made_to.as_ref(), "made_from", "made_to")?;
    if let Some(below) = form.age_below.as_ref().filter(|below| form.age_from.unwrap_or(0) >= *below.get_ref()) {
        return Err(place.wrong(below, "age_below", RuleProblem::Reversed));
    }
    let facility = |code: &Spanned<String>| {
        FacilityCode::parse(code.get_ref()).map_err(|error| place.value(code, "facility", error))
    };
    let modality = |code: &Spanned<String>| {
        let text = code.get_ref().trim().to_ascii_uppercase();
        let sound = (1..=16).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b' ');
        if sound { Ok(text) } else { Err(place.value(code, "modality", "a modality is a code such as CT or MG")) }
    };
    let when = Conditions {
        facilities: form.facility.iter().map(facility).collect::<Result<_, _>>()?,
        modalities: form.modality.iter().map(modality).collect::<Result<_, _>>()?,
        age_from: form.age_from,
        age_below: form.age_below.as_ref().map(|age| *age.get_ref()),
        linked: form.linked.iter().map(|name| defined(name, "linked")).collect::<Result<_, _>>()?,
        attributes: form.attribute.iter().map(|test| attribute(place, test)).collect::<Result<_, _>>()?,
        made_from: made.from,
        made_to: made.to,
    };
    match (when.is_empty(), form.every_study) {
        (true, false) => return Err(place.wrong(&form.id, "id", RuleProblem::NoCondition)),
        (false, true) => return Err(place.wrong(&form.id, "every_study", RuleProblem::ConditionToo)),
        _ => {}
    }
    Ok(Rule { id, class, vi: form.vi.clone(), en: form.en.clone(), when, valid })
}

fn attribute(place: &Place<'_>, form: &AttributeForm) -> Result<AttributeTest, RuleError> {
    let named = form.name.get_ref();
    let Some(attribute) = usable(named) else {
        return Err(place.wrong(&form.name, "attribute", RuleProblem::Attribute(named.clone())));
    };
    AttributeTest::new(attribute, &form.equals, &form.prefix)
        .ok_or_else(|| place.wrong(&form.name, "attribute", RuleProblem::NothingToCompare))
}

/// Whether the rows of a class, which have no day in common, cover every day.
fn always_in_force(classes: &[Class], id: &ClassId) -> bool {
    let mut rows: Vec<Validity> = classes.iter().filter(|class| class.id == *id).map(|class| class.valid).collect();
    rows.sort_by_key(|valid| valid.from);
    let begins = rows.first().is_some_and(|first| first.from.is_none());
    let ends = rows.last().is_some_and(|last| last.to.is_none());
    let follows = |pair: &[Validity]| match pair {
        [one, next] => one.to.map(|last| last.plus_days(1)) == next.from,
        _ => true,
    };
    begins && ends && rows.windows(2).all(follows)
}

/// Where in the file an entry stands, for errors.
struct Place<'a> {
    text: &'a str,
    owner: String,
}

impl Place<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn wrong<T>(&self, value: &Spanned<T>, key: &str, problem: RuleProblem) -> RuleError {
        RuleError { line: self.line(value.span().start), key: format!("{}{key}", self.owner), problem }
    }

    fn value<T>(&self, value: &Spanned<T>, key: &str, error: impl ToString) -> RuleError {
        self.wrong(value, key, RuleProblem::Value(error.to_string()))
    }

    fn class(&self, name: &Spanned<String>, key: &str) -> Result<ClassId, RuleError> {
        ClassId::parse(name.get_ref()).map_err(|error| self.value(name, key, error))
    }

    fn validity(
        &self,
        from: Option<&Spanned<String>>,
        to: Option<&Spanned<String>>,
        from_key: &str,
        to_key: &str,
    ) -> Result<Validity, RuleError> {
        let day = |text: &Spanned<String>, key: &str| {
            Date::parse(text.get_ref()).map_err(|error| self.value(text, key, error))
        };
        let valid = Validity {
            from: from.map(|text| day(text, from_key)).transpose()?,
            to: to.map(|text| day(text, to_key)).transpose()?,
        };
        match (valid.from, valid.to, to) {
            (Some(first), Some(last), Some(text)) if last < first => {
                Err(self.wrong(text, to_key, RuleProblem::Reversed))
            }
            _ => Ok(valid),
        }
    }
}
