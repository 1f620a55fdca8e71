//! How a query is answered: one driving table, chosen by what is expected to select most, and checks on rows.
//!
//! The checks alone define the answer; the driver only names a set of studies that contains it.
//! Deliberately not here: statistics. The ranking of attributes is fixed; only the choice among the words of a name
//! is made by an engine, which can look how common they are.

use crate::attributes::attribute;
use crate::position::date_number;
use crate::row::{InstanceRow, SeriesRow, StudyRow};
use model::attribute::{Attribute, Matching, key};
use model::query::{Condition, Query, Test, has_wildcard};
use model::{AttrKey, FacilityCode, Level, Uid, name};

/// A condition with its attribute.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) attribute: &'static Attribute,
    pub(crate) test: Test,
}

/// A word that must be in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The folded word or its beginning.
    pub text: String,
    /// Whether longer words count too.
    pub prefix: bool,
}

/// The table an answer is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// Instances by SOP Instance UID.
    Instances(Vec<Uid>),
    /// Series by Series Instance UID.
    Series(Vec<Uid>),
    /// Studies by Study Instance UID.
    Studies(Vec<Uid>),
    /// Studies by exact values of an attribute.
    Values(AttrKey, Vec<String>),
    /// Studies by the beginning of an attribute's value.
    Prefix(AttrKey, String),
    /// Studies by words of an attribute, all of which must be there: the engine walks the rarest.
    Words(AttrKey, Vec<Word>),
    /// All studies by date.
    Dates,
}

/// A query made ready: what to walk and what to check.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) level: Level,
    pub(crate) facilities: Option<Vec<FacilityCode>>,
    pub(crate) driver: Driver,
    /// First and last study date the answer can have, as numbers.
    pub(crate) dates: Option<(u32, u32)>,
    pub(crate) study: Vec<Check>,
    pub(crate) series: Vec<Check>,
    pub(crate) instance: Vec<Check>,
    pub(crate) fuzzy: bool,
    /// Whether hidden studies and rejected instances are in the answer.
    pub(crate) hidden: bool,
    /// Whether what was rejected for quality is in the answer.
    pub(crate) unfit: bool,
}

/// Attributes whose exact value selects few studies, best first.
const SELECTIVE: [AttrKey; 4] = [key::ACCESSION_NUMBER, key::PATIENT_ID, key::OTHER_PATIENT_IDS, key::STUDY_ID];
/// Attributes indexed by words, best first.
const WORDED: [AttrKey; 5] = [
    key::PATIENT_NAME,
    key::REFERRING_PHYSICIAN_NAME,
    key::STUDY_DESCRIPTION,
    key::INSTITUTIONAL_DEPARTMENT_NAME,
    key::INSTITUTION_NAME,
];
/// A shorter beginning of an identifier is too common to walk first.
const PREFIX_MIN: usize = 3;

/// Plans a query for the facilities the caller may see (none: all).
pub fn plan(query: &Query, facilities: Option<&[FacilityCode]>) -> Plan {
    let facilities = facilities.map(|list| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list.dedup();
        list
    });
    let checks = |level| -> Vec<Check> {
        let of_level = |condition: &Condition| {
            let attribute = attribute(condition.key).filter(|row| row.level == level)?;
            let restricts = condition.test != Test::Any && attribute.matching != Matching::ReturnOnly;
            restricts.then(|| Check { attribute, test: condition.test.clone() })
        };
        query.conditions.iter().filter_map(of_level).collect()
    };
    let mut plan = Plan {
        level: query.level,
        facilities,
        driver: Driver::Dates,
        dates: None,
        study: checks(Level::Study),
        series: checks(Level::Series),
        instance: checks(Level::Instance),
        fuzzy: query.fuzzy,
        hidden: false,
        unfit: false,
    };
    plan.dates = plan.date_bounds();
    plan.driver = plan.choose();
    // A study shows a bounded number of modalities: a series of another is in no answer that is read by them.
    if let (Driver::Values(key::MODALITIES_IN_STUDY, list), Some(attribute)) =
        (&plan.driver, attribute(key::MODALITIES_IN_STUDY))
    {
        plan.study.push(Check { attribute, test: Test::OneOf(list.clone()) });
    }
    plan
}

impl Plan {
    /// What a row of the answer is.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The same with hidden studies and rejected instances: for holds, which keep those too.
    #[must_use]
    pub fn with_hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// The same, with what was rejected for quality where `unfit` says so.
    #[must_use]
    pub fn with_unfit(self, unfit: bool) -> Self {
        Self { unfit, ..self }
    }

    /// The table the answer is read from.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Whether studies of a facility may be in the answer.
    pub(crate) fn sees(&self, facility: FacilityCode) -> bool {
        self.facilities.as_ref().is_none_or(|list| list.binary_search(&facility).is_ok())
    }

    /// Whether a study is shown and satisfies everything that is asked of studies.
    pub(crate) fn accepts_study(&self, row: &StudyRow) -> bool {
        let shown = self.hidden || (row.hidden_by.is_none() && row.served_to(self.unfit) > 0);
        shown && self.sees(row.key.facility) && self.all(&self.study, |key| row.value(key))
    }

    /// Whether a series shows anything and satisfies everything that is asked of series.
    pub(crate) fn accepts_series(&self, row: &SeriesRow) -> bool {
        (self.hidden || row.served_to(self.unfit) > 0) && self.all(&self.series, |key| row.value(key))
    }

    /// Whether an instance is shown and satisfies everything that is asked of instances.
    pub(crate) fn accepts_instance(&self, row: &InstanceRow) -> bool {
        let shown = self.hidden || row.is_shown(self.unfit) || self.depth() < Level::Instance;
        shown && self.all(&self.instance, |key| row.value(key))
    }

    /// The level down to which rows must be read to decide and to answer.
    pub(crate) fn depth(&self) -> Level {
        let asked = match (self.series.is_empty(), self.instance.is_empty()) {
            (_, false) => Level::Instance,
            (false, true) => Level::Series,
            (true, true) => Level::Study,
        };
        asked.max(self.level)
    }

    fn all<'a>(&self, checks: &[Check], value: impl Fn(AttrKey) -> Option<std::borrow::Cow<'a, str>>) -> bool {
        checks.iter().all(|check| {
            let value = value(check.attribute.key).unwrap_or_default();
            check.test.accepts(check.attribute, &value, self.fuzzy)
        })
    }

    /// The range of study dates that every check on the date allows; an empty range when none is left.
    fn date_bounds(&self) -> Option<(u32, u32)> {
        let mut bounds: Option<(u32, u32)> = None;
        for check in self.study.iter().filter(|check| check.attribute.key == key::STUDY_DATE) {
            let (from, to) = match &check.test {
                Test::Equal(day) => (date_number(day), date_number(day)),
                Test::Range(from, to) => {
                    (from.as_deref().map_or(1, date_number), to.as_deref().map_or(u32::MAX, date_number))
                }
                _ => continue,
            };
            let (low, high) = bounds.unwrap_or((1, u32::MAX));
            bounds = Some((low.max(from), high.min(to)));
        }
        bounds
    }

    fn choose(&self) -> Driver {
        let uids = |checks: &[Check], wanted: AttrKey| {
            let check = checks.iter().find(|check| check.attribute.key == wanted)?;
            let uids: Option<Vec<Uid>> = exact(&check.test)?.iter().map(|uid| Uid::parse(uid).ok()).collect();
            uids
        };
        None.or_else(|| uids(&self.instance, key::SOP_INSTANCE_UID).map(Driver::Instances))
            .or_else(|| uids(&self.series, key::SERIES_INSTANCE_UID).map(Driver::Series))
            .or_else(|| uids(&self.study, key::STUDY_INSTANCE_UID).map(Driver::Studies))
            .or_else(|| SELECTIVE.iter().find_map(|key| self.values(&self.study, *key)))
            .or_else(|| self.values(&self.study, key::PATIENT_BIRTH_DATE))
            .or_else(|| SELECTIVE.iter().find_map(|key| self.prefix(*key, PREFIX_MIN)))
            .or_else(|| WORDED.iter().find_map(|key| self.words(*key)))
            .or_else(|| self.values(&self.study, key::ISSUER_OF_PATIENT_ID))
            .or_else(|| self.values(&self.study, key::MODALITIES_IN_STUDY))
            .or_else(|| self.modality_of_series())
            .or_else(|| SELECTIVE.iter().find_map(|key| self.prefix(*key, 1)))
            .unwrap_or(Driver::Dates)
    }

    fn values(&self, checks: &[Check], wanted: AttrKey) -> Option<Driver> {
        let of_attribute = checks.iter().filter(|check| check.attribute.key == wanted);
        of_attribute.into_iter().find_map(|check| exact(&check.test)).map(|list| Driver::Values(wanted, list))
    }

    /// A series of the modality is only found in a study that has it.
    fn modality_of_series(&self) -> Option<Driver> {
        match self.values(&self.series, key::MODALITY)? {
            Driver::Values(_, list) => Some(Driver::Values(key::MODALITIES_IN_STUDY, list)),
            _ => None,
        }
    }

    fn prefix(&self, wanted: AttrKey, length_min: usize) -> Option<Driver> {
        self.study.iter().filter(|check| check.attribute.key == wanted).find_map(|check| match &check.test {
            Test::Wildcard(pattern) => {
                let literal = pattern.split(['*', '?']).next().unwrap_or("");
                (literal.len() >= length_min).then(|| Driver::Prefix(wanted, literal.to_owned()))
            }
            _ => None,
        })
    }

    fn words(&self, wanted: AttrKey) -> Option<Driver> {
        let of_attribute = self.study.iter().filter(|check| check.attribute.key == wanted);
        let words: Vec<Word> = of_attribute.flat_map(|check| self.required_words(check)).collect();
        (!words.is_empty()).then_some(Driver::Words(wanted, words))
    }

    /// Words that every value accepted by the check has.
    fn required_words(&self, check: &Check) -> Vec<Word> {
        match &check.test {
            Test::Equal(text) => {
                let prefix = self.fuzzy && check.attribute.matching == Matching::Name;
                name::words(text).into_iter().map(|text| Word { text, prefix }).collect()
            }
            // A part between spaces without wildcards is a word; what stands before a wildcard begins one.
            Test::Wildcard(pattern) => {
                let part = |part: &str| {
                    let literal = part.split(['*', '?']).next().unwrap_or("");
                    (!literal.is_empty()).then(|| Word { text: literal.to_owned(), prefix: has_wildcard(part) })
                };
                pattern.split(' ').filter_map(part).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The values of an exact test; none when a pattern is among them.
fn exact(test: &Test) -> Option<Vec<String>> {
    match test {
        Test::Equal(value) => Some(vec![value.clone()]),
        Test::OneOf(list) if !list.iter().any(|value| has_wildcard(value)) => Some(list.clone()),
        Test::AnyOf(tests) => tests.iter().map(exact).collect::<Option<Vec<_>>>().map(|lists| lists.concat()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
