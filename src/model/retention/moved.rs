//! Series that stand in another study than they were received in.
//!
//! A fact says where series stand from now on, and the newest one holds of each. Nothing stored changes: with the study
//! changes what the objects go out with. No patient data: UIDs, who and when.
//! Deliberately not here: who may move what, and what goes out.

use super::record::RetentionFact;
use super::subject::{Person, StudyRef};
use crate::Uid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why series are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveReason {
    /// They are another patient's.
    WrongPatient,
    /// They belong to another examination of the patient.
    WrongStudy,
    /// One examination was sent as two studies.
    Merge,
    /// Two examinations were sent as one study.
    Split,
    /// An earlier move was a mistake.
    Undo,
}

impl MoveReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::WrongPatient, Self::WrongStudy, Self::Merge, Self::Split, Self::Undo];

    /// Its name, as facts and commands spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongPatient => "wrong-patient",
            Self::WrongStudy => "wrong-study",
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Undo => "undo",
        }
    }

    /// Parses its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// A study that nobody sent: it begins with the series that are moved into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// `seq` of an instance of the study it is split from, which orders it among all studies; no other study has it.
    pub seq: u64,
    /// Study Date.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub date: String,
    /// Study Time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time: String,
}

/// Series stand in another study from now on, or again in the one they were received in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The study they were received in.
    pub study: StudyRef,
    /// Series Instance UIDs; none where a study is only made.
    pub series: Vec<Uid>,
    /// Where they stood before.
    pub from: StudyRef,
    /// Where they stand from now on.
    pub to: StudyRef,
    /// What that study begins with, where it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// Why.
    pub why: MoveReason,
    /// Who.
    pub by: Person,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
}

impl Moved {
    /// The studies it is about, each once.
    pub fn studies(&self) -> Vec<&StudyRef> {
        let mut studies = vec![&self.study];
        for study in [&self.from, &self.to] {
            if !studies.contains(&study) {
                studies.push(study);
            }
        }
        studies
    }
}

/// A series that stands elsewhere than it was received.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Standing {
    /// Series Instance UID.
    pub series: Uid,
    /// The study it was received in.
    pub study: StudyRef,
    /// The study it stands in.
    pub to: StudyRef,
}

/// The series of a study that stand elsewhere, and those of others that stand in it, by the facts about it in their order.
/// What only stood in it for a while, wherever it is now, is none of its business any more.
pub fn standing<'a>(of: &StudyRef, facts: impl IntoIterator<Item = &'a RetentionFact>) -> Vec<Standing> {
    let mut known: BTreeMap<(&StudyRef, &Uid), &StudyRef> = BTreeMap::new();
    for fact in facts {
        match fact {
            RetentionFact::SeriesMoved(moved) => {
                known.extend(moved.series.iter().map(|series| ((&moved.study, series), &moved.to)));
            }
            // With it went what was received in it, wherever it stood.
            RetentionFact::StudyDestroyed(tombstone) => known.retain(|(study, _), _| **study != tombstone.study),
            _ => {}
        }
    }
    let moved = known.into_iter().filter(|((study, _), to)| study != to && (*study == of || *to == of));
    let standing = |((study, series), to): ((&StudyRef, &Uid), &StudyRef)| Standing {
        series: series.clone(),
        study: study.clone(),
        to: to.clone(),
    };
    moved.map(standing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FacilityCode, Fact};

    fn study(uid: &str) -> StudyRef {
        let study = Uid::parse(uid).expect("uid");
        StudyRef { facility: FacilityCode::parse("56001").expect("code"), study, patient: 0 }
    }

    fn moved(from: &str, to: &str, why: MoveReason) -> Moved {
        let (by, series) = (Person::parse("Lan").expect("a person"), vec![Uid::parse("1.3.1").expect("uid")]);
        Moved { study: study("1.2.1"), series, from: study(from), to: study(to), made: None, why, by, at: 5 }
    }

    #[test]
    fn the_record_of_a_move_stays_as_it_is() {
        let made = Some(Made { seq: 7, date: "20261122".into(), time: String::new() });
        let one = Moved { made, ..moved("1.2.1", "1.2.2", MoveReason::Split) };
        let fact = Fact::Retention(Box::new(RetentionFact::SeriesMoved(Box::new(one))));
        let written = "{\"fact\":\"retention\",\"event\":\"series-moved\",\
            \"study\":{\"facility\":\"56001\",\"study\":\"1.2.1\"},\"series\":[\"1.3.1\"],\
            \"from\":{\"facility\":\"56001\",\"study\":\"1.2.1\"},\"to\":{\"facility\":\"56001\",\"study\":\"1.2.2\"},\
            \"made\":{\"seq\":7,\"date\":\"20261122\"},\"why\":\"split\",\"by\":\"Lan\",\"at\":5}";
        assert_eq!(serde_json::to_string(&fact).expect("JSON"), written);
        assert_eq!(serde_json::from_str::<Fact>(written).expect("a fact"), fact);
    }

    #[test]
    fn the_newest_word_about_a_series_holds() {
        let fact = |moved: Moved| RetentionFact::SeriesMoved(Box::new(moved));
        let first = fact(moved("1.2.1", "1.2.2", MoveReason::WrongStudy));
        let on = fact(moved("1.2.2", "1.2.3", MoveReason::WrongPatient));
        let back = fact(moved("1.2.3", "1.2.1", MoveReason::Undo));
        let home = study("1.2.1");
        let all = standing(&home, [&first, &on]);
        assert_eq!(all.iter().map(|one| &one.to).collect::<Vec<_>>(), [&study("1.2.3")]);
        assert!(standing(&home, [&first, &on, &back]).is_empty());
        // The study between hears nothing of the way back, and need not.
        assert_eq!(standing(&study("1.2.2"), [&first]).len(), 1);
        assert!(standing(&study("1.2.2"), [&first, &on]).is_empty());
        assert_eq!(moved("1.2.1", "1.2.2", MoveReason::Merge).studies(), [&study("1.2.1"), &study("1.2.2")]);
    }

    #[test]
    fn reasons_have_names() {
        assert!(MoveReason::ALL.into_iter().all(|reason| MoveReason::parse(reason.name()) == Some(reason)));
        assert_eq!(MoveReason::parse("because"), None);
    }
}
