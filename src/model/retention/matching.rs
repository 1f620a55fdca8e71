//! The conditions of a rule and how a study meets them.
//!
//! Every condition that is written must hold; of several values in one condition, one is enough.
//! Deliberately not here: negation and attributes that identify a patient (see [`usable`]).

use super::class::ClassId;
use super::rules::RuleSet;
use super::subject::StudyFacts;
use crate::attribute::{ATTRIBUTES, Attribute, Level, Matching, key};
use crate::date::Date;
use crate::{AttrKey, FacilityCode, name};

/// What a study must be for a rule. Empty lists and absent bounds ask nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Facilities.
    pub facilities: Vec<FacilityCode>,
    /// Modalities; one of the study's is enough.
    pub modalities: Vec<String>,
    /// Age in whole years on the day the study was made, from (inclusive).
    pub age_from: Option<u16>,
    /// Age in whole years, below (exclusive).
    pub age_below: Option<u16>,
    /// Classes of linked records.
    pub linked: Vec<ClassId>,
    /// Attributes; all must hold.
    pub attributes: Vec<AttributeTest>,
    /// First day the study was made.
    pub made_from: Option<Date>,
    /// Last day the study was made.
    pub made_to: Option<Date>,
}

/// A condition on one study-level attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeTest {
    /// The attribute.
    pub key: AttrKey,
    folded: bool,
    equals: Vec<String>,
    prefix: Vec<String>,
}

/// How a study meets a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// All but the age holds, and the age is not known. The rule then applies: keeping too long can be put right.
    AgeUnknown,
}

impl Conditions {
    /// Whether nothing is asked, so that every study fits.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How a study meets the conditions. Of the day it counts as made on, and of the age on it (none when unknown), the
    /// earliest and the latest that may be meant are given: one that fits between them is enough.
    pub fn fit(&self, study: &StudyFacts<'_>, age: Option<(u16, u16)>, made: (Date, Date)) -> Fit {
        let made_then =
            self.made_from.is_none_or(|first| first <= made.1) && self.made_to.is_none_or(|last| made.0 <= last);
        if !made_then || !self.fits_beside_age(study) {
            return Fit::No;
        }
        match (self.age_from.is_some() || self.age_below.is_some(), age) {
            (false, _) => Fit::Yes,
            (true, None) => Fit::AgeUnknown,
            (true, Some((youngest, oldest))) => {
                let within = self.age_from.is_none_or(|from| oldest >= from)
                    && self.age_below.is_none_or(|below| youngest < below);
                if within { Fit::Yes } else { Fit::No }
            }
        }
    }

    /// Whether everything fits but for the age and the day made, which are not looked at.
    fn fits_beside_age(&self, study: &StudyFacts<'_>) -> bool {
        self.may_fit(study)
            && (self.modalities.is_empty() || study.modalities.iter().any(|m| self.modalities.contains(m)))
            && self.attributes.iter().all(|test| test.holds(study))
    }

    /// Whether the study fits, or may come to by images that are yet to arrive: they bring modalities and fill
    /// attributes that are empty. Links are not counted among what arrives.
    fn may_fit(&self, study: &StudyFacts<'_>) -> bool {
        (self.facilities.is_empty() || self.facilities.contains(&study.facility))
            && (self.linked.is_empty() || study.linked.iter().any(|record| self.linked.contains(&record.class)))
            && self.attributes.iter().all(|test| test.is_open(study) || test.holds(study))
    }

    fn asks_age_or_day(&self) -> bool {
        self.age_from.is_some() || self.age_below.is_some() || self.made_from.is_some() || self.made_to.is_some()
    }
}

impl RuleSet {
    /// Whether a rule that asks for the age or the day made concerns this study: then what is known of its row alone
    /// does not settle which rules fit.
    pub fn hinges_on_days(&self, study: &StudyFacts<'_>) -> bool {
        self.rules().iter().any(|rule| rule.when.asks_age_or_day() && rule.when.fits_beside_age(study))
    }

    /// Whether images that arrive later could take a class away that the study has today: by another age or day made,
    /// or by a rule that fits then and gives less than the default. Such a study's decision must be recorded before
    /// they come; that of any other can be made again at any time.
    pub fn may_fall(&self, study: &StudyFacts<'_>) -> bool {
        let longest = self.rows(self.default_class()).map(|row| row.term.length()).max();
        let shorter = |class: &ClassId| self.rows(class).any(|row| Some(row.term.length()) < longest);
        self.hinges_on_days(study)
            || self
                .rules()
                .iter()
                .any(|rule| shorter(&rule.class) && rule.when.may_fit(study) && !rule.when.fits_beside_age(study))
    }
}

impl AttributeTest {
    /// Whether the attribute has no value yet.
    fn is_open(&self, study: &StudyFacts<'_>) -> bool {
        study.attributes.get(&self.key).is_none_or(|value| value.trim().is_empty())
    }

    /// A condition on an attribute: one of its values equals one of `equals` or begins with one of `prefix`.
    /// Descriptions are compared without case, marks and punctuation, codes exactly.
    /// None when nothing would be left to compare with.
    pub fn new(attribute: &Attribute, equals: &[String], prefix: &[String]) -> Option<Self> {
        let folded = attribute.matching == Matching::Text;
        let normalised = |texts: &[String]| -> Option<Vec<String>> {
            let texts = texts.iter().map(|text| normal(text, folded));
            texts.map(|text| Some(text).filter(|text| !text.is_empty())).collect()
        };
        let (equals, prefix) = (normalised(equals)?, normalised(prefix)?);
        if equals.is_empty() && prefix.is_empty() {
            return None;
        }
        Some(Self { key: attribute.key, folded, equals, prefix })
    }

    fn holds(&self, study: &StudyFacts<'_>) -> bool {
        let Some(value) = study.attributes.get(&self.key) else { return false };
        value.split('\\').any(|one| {
            let one = normal(one, self.folded);
            self.equals.contains(&one) || self.prefix.iter().any(|prefix| one.starts_with(prefix.as_str()))
        })
    }
}

fn normal(text: &str, folded: bool) -> String {
    if folded { name::fold(text) } else { text.trim().to_owned() }
}

/// The attribute a rule may look at under a keyword (`StudyDescription`) or a tag (`00081030`).
///
/// Usable are codes, descriptions and UIDs of the study level. Names and what identifies or describes a patient
/// (group 0010, except the sex) are not: a rule's text is kept for ever and shown to auditors. Dates and age have
/// conditions of their own.
pub fn usable(text: &str) -> Option<&'static Attribute> {
    let wanted = AttrKey::parse(text);
    let found = ATTRIBUTES.iter().find(|row| row.keyword == text || Some(row.key) == wanted)?;
    let comparable = matches!(found.matching, Matching::Code | Matching::Text | Matching::Uid);
    let patient = found.key.tag >> 16 == 0x0010 && found.key != key::PATIENT_SEX;
    let kept = found.kept == crate::attribute::Kept::Extracted;
    (found.level == Level::Study && comparable && kept && !patient).then_some(found)
}
