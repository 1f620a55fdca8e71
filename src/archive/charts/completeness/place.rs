//! Where a page of a report of completeness ends.

use index::Cursor;
use index::charts::ChartCursor;
use serde::{Deserialize, Serialize};

/// What is looked at, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    #[default]
    Orders,
    Steps,
    Studies,
    Commitments,
}

const PHASES: [(Phase, &str); 4] = [
    (Phase::Orders, "orders"),
    (Phase::Steps, "steps"),
    (Phase::Studies, "studies"),
    (Phase::Commitments, "commitments"),
];

/// A place within a facility's day: first its orders, then its steps and the instances of each, then its studies, then
/// what somebody asked commitment for. Its text form is opaque and stands in a URL as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompletenessPlace {
    pub(super) phase: Phase,
    pub(super) after: Option<ChartCursor>,
    pub(super) study: Option<Cursor>,
    /// Instances of the step behind `after`, or of questions of the day, that were looked for.
    pub(super) skip: u64,
}

impl CompletenessPlace {
    pub(super) const fn of_charts(phase: Phase, after: Option<ChartCursor>, skip: u64) -> Self {
        Self { phase, after, study: None, skip }
    }

    pub(super) const fn of_studies(study: Option<Cursor>) -> Self {
        Self { phase: Phase::Studies, after: None, study, skip: 0 }
    }

    pub(super) const fn of_commitments(skip: u64) -> Self {
        Self { phase: Phase::Commitments, after: None, study: None, skip }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, index::CursorError> {
        let wrong = || index::CursorError;
        let (phase, rest) = text.split_once('.').ok_or_else(wrong)?;
        let (skip, after) = rest.split_once('.').ok_or_else(wrong)?;
        let (phase, _) = PHASES.iter().find(|(_, name)| *name == phase).ok_or_else(wrong)?;
        let mut place = Self { phase: *phase, skip: skip.parse().map_err(|_| wrong())?, ..Self::default() };
        match phase {
            _ if after.is_empty() => {}
            Phase::Orders | Phase::Steps => place.after = Some(ChartCursor::parse(after)?),
            Phase::Studies => place.study = Some(Cursor::parse(after)?),
            Phase::Commitments => return Err(wrong()),
        }
        Ok(place)
    }
}

impl std::fmt::Display for CompletenessPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phase = PHASES.iter().find(|(phase, _)| *phase == self.phase).map_or("", |(_, name)| name);
        write!(f, "{phase}.{}.", self.skip)?;
        match (self.after, self.study) {
            (Some(after), _) => write!(f, "{after}"),
            (None, Some(study)) => write!(f, "{study}"),
            (None, None) => Ok(()),
        }
    }
}

impl Serialize for CompletenessPlace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CompletenessPlace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
