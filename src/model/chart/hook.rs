//! What a FHIR client asks to be told of, beside the kinds of events: the archive applies it to each event when it happens.
//!
//! Deliberately not here: how criteria are written, which is a matter of FHIR, and how something is sent.

use super::{ChartBody, Event};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most values of a hook.
const VALUES_MAX: usize = 200;
/// Longest value in bytes.
const VALUE_MAX: usize = 128;

/// What a rest-hook asks for. Of each list one value has to hold; an empty one asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// The facility's numbers of patients; whatever is said under another number of such a patient counts.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub patients: BTreeSet<String>,
    /// Modalities of the study.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub modalities: BTreeSet<String>,
    /// States that the event came to, see [`Event::state`].
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub states: BTreeSet<String>,
    /// Disciplines of the result.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub disciplines: BTreeSet<String>,
    /// Whether the resource itself is sent, and not only that there is something.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// The first moment from which nothing is told, milliseconds since 1970 UTC; 0: there is none.
    pub until: u64,
}

/// An event with what a hook may ask of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened<'a> {
    /// What happened.
    pub event: &'a Event,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
    /// Numbers of the patients it is about.
    pub patients: BTreeSet<String>,
    modalities: &'a BTreeSet<String>,
    discipline: &'a str,
}

/// Of what has no modalities.
static NONE: BTreeSet<String> = BTreeSet::new();

impl<'a> Happened<'a> {
    /// An event, and the row it is about before and after it.
    pub fn of(event: &'a Event, before: Option<&ChartBody>, now: &'a ChartBody, at: u64) -> Self {
        let mut patients = BTreeSet::new();
        for body in before.into_iter().chain([now]) {
            patients.extend(body.mrn().map(|mrn| mrn.trim().to_owned()));
            if let ChartBody::Merge(merge) = body {
                patients.insert(merge.former.trim().to_owned());
            }
            // Images may be kept with another patient's order than they say. Whose they are is looked at when it goes
            // out; whoever asks for others is told that they are not theirs, also where nothing was told before.
            if let ChartBody::Match(one) = body {
                patients.extend(Some(one.of_study.mrn.trim()).filter(|mrn| !mrn.is_empty()).map(str::to_owned));
            }
        }
        let (modalities, discipline) = match now {
            ChartBody::Match(one) => (&one.modalities, ""),
            ChartBody::Report(report) => (&NONE, report.discipline.as_str()),
            _ => (&NONE, ""),
        };
        Self { event, at, patients, modalities, discipline }
    }
}

impl Hook {
    /// Whether it asks for an event.
    pub fn wants(&self, happened: &Happened<'_>) -> bool {
        let any = |asked: &BTreeSet<String>, said: &BTreeSet<String>| asked.is_empty() || !asked.is_disjoint(said);
        let one = |asked: &BTreeSet<String>, said: &str| asked.is_empty() || asked.contains(said);
        (self.until == 0 || happened.at < self.until)
            && any(&self.patients, &happened.patients)
            && any(&self.modalities, happened.modalities)
            && one(&self.states, &happened.event.state)
            && one(&self.disciplines, happened.discipline)
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    /// What is wrong and what is expected.
    pub fn check(&self) -> Result<(), String> {
        let lists = [&self.patients, &self.modalities, &self.states, &self.disciplines];
        let mut values = lists.into_iter().flatten();
        let fits = |value: &String| value.len() <= VALUE_MAX && !value.chars().any(char::is_control);
        if lists.into_iter().map(BTreeSet::len).sum::<usize>() > VALUES_MAX || !values.all(fits) {
            return Err(format!("criteria have at most {VALUES_MAX} values of at most {VALUE_MAX} bytes each"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{EventKind, Merge, Patient};

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn every_list_has_to_hold_and_of_each_one_value() {
        let event = Event {
            kind: EventKind::Merged,
            id: "1".into(),
            study: None,
            state: "final".into(),
            order: String::new(),
            version: 0,
        };
        let merge = Merge {
            survivor: "A".into(),
            former: "B".into(),
            before: Patient::default(),
            at: 0,
            by: String::new(),
            through: Vec::new(),
            undone: None,
        };
        let row = ChartBody::Merge(Box::new(merge));
        let happened = Happened::of(&event, None, &row, 100);
        assert_eq!(happened.patients, set(&["A", "B"]));
        let hook = Hook { patients: set(&["B", "X"]), states: set(&["final", "amended"]), ..Hook::default() };
        assert!(Hook::default().wants(&happened) && hook.wants(&happened));
        for other in [
            Hook { patients: set(&["X"]), ..hook.clone() },
            Hook { states: set(&["amended"]), ..hook.clone() },
            Hook { modalities: set(&["CT"]), ..hook.clone() },
            Hook { disciplines: set(&["imaging"]), ..hook.clone() },
            Hook { until: 100, ..hook.clone() },
        ] {
            assert!(!other.wants(&happened), "{other:?}");
        }
        assert!(Hook { until: 101, ..hook.clone() }.wants(&happened));
        assert!(hook.check().is_ok() && Hook { patients: set(&[&"1".repeat(129)]), ..hook }.check().is_err());
    }
}
