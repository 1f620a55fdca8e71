//! What an external verifier is asked of a patient's personal identification number, and what it said.
//!
//! A patient has one row: what is still to be asked, and the last answer with the question it answers. An answer is about
//! that question alone: when number, name, birth date or sex change, it holds no more and the new question waits.
//! Deliberately not here: how a verifier is called, and when it is tried again.

use super::identifier::remarks_on_national;
use super::{BirthDate, Patient, Sex, person};
use crate::name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is asked: is this number that of such a person?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Personal identification number, 12 digits.
    pub number: String,
    /// The whole name as written.
    pub name: String,
    /// Birth date, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<BirthDate>,
    /// Sex.
    #[serde(default)]
    pub sex: Sex,
}

impl Question {
    /// What there is to ask of a patient: of one that was not given up, with a name and a number that can be somebody's.
    pub fn of(patient: &Patient) -> Option<Self> {
        let number =
            person::national(patient).filter(|number| remarks_on_national(number, None, Sex::Unknown).is_empty());
        let name = patient.name.split_whitespace().collect::<Vec<_>>().join(" ");
        if patient.merged_into.is_some() || name.is_empty() {
            return None;
        }
        Some(Self { number: number?, name, birth: patient.birth, sex: patient.sex })
    }

    /// Whether two ask the same; a name with other capitals, or marks placed or left out, is the same name.
    pub fn is(&self, other: &Self) -> bool {
        let counts = |one: &Self| (one.number.clone(), name::fold(&one.name), one.birth, one.sex);
        counts(self) == counts(other)
    }
}

/// What a verifier says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The number is that person's.
    Verified,
    /// Nobody has this number.
    NotFound,
    /// The number is somebody's of whom something else is known.
    Differs,
    /// The verifier cannot tell.
    Unknown,
}

/// Something that is known otherwise where the number was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trait {
    /// The name.
    Name,
    /// The birth date.
    Birth,
    /// The sex.
    Sex,
}

impl Trait {
    /// In words.
    const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Birth => "birth date",
            Self::Sex => "sex",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// What was said.
    pub said: Said,
    /// What is known otherwise, of [`Said::Differs`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fields: BTreeSet<Trait>,
    /// Who said so: the verifier's host.
    pub by: String,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
}

impl Answer {
    /// What a steward is told of one that differs; without a patient's data.
    pub fn warning(&self) -> String {
        let fields: Vec<&str> = self.fields.iter().map(|field| field.word()).collect();
        format!("the verifier knows the personal identification number with another {}", fields.join(" and "))
    }
}

/// A question that is to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What is asked.
    pub question: Question,
    /// A number of ours, which the verifier is told, too.
    pub id: String,
    /// Since when, milliseconds since 1970 UTC.
    pub since: u64,
    /// Not before, milliseconds since 1970 UTC; what was given up: when that was.
    pub next: u64,
    /// How often it was asked in vain.
    #[serde(default)]
    pub tries: u32,
    /// How often of these the verifier answered what nobody understands.
    #[serde(default)]
    pub faults: u32,
    /// Why the last try was in vain, without a patient's data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Nobody asks any more until somebody says so, or the patient changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
}

impl Waiting {
    /// A question that was never asked: its turn is at once.
    pub fn new(question: Question, id: String, at: u64) -> Self {
        Self { question, id, since: at, next: at, tries: 0, faults: 0, error: String::new(), given_up: false }
    }
}

/// What a verifier is asked of a patient, and said. The row's id is the facility's number of the patient.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inquiry {
    /// The facility's number of the patient.
    pub mrn: String,
    /// What is to be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// What was said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// State of an inquiry that waits for its turn.
pub const WAITING: &str = "waiting";
/// State of one that was given up.
pub const FAILED: &str = "failed";
/// States of inquiries, as they are asked for.
pub const STATES: [&str; 6] = [WAITING, FAILED, "verified", "not-found", "differs", "unknown"];

impl Inquiry {
    /// Where it stands, one of [`STATES`].
    pub fn state(&self) -> &'static str {
        match (&self.waiting, self.answer.as_ref().map(|answer| answer.said)) {
            (Some(waiting), _) if waiting.given_up => FAILED,
            (Some(_), _) => WAITING,
            (None, Some(Said::Verified)) => "verified",
            (None, Some(Said::NotFound)) => "not-found",
            (None, Some(Said::Differs)) => "differs",
            (None, Some(Said::Unknown) | None) => "unknown",
        }
    }

    /// The order of rows is the newest first; of those that wait the one whose turn is first.
    pub fn moment(&self) -> u64 {
        match (&self.waiting, &self.answer) {
            (Some(waiting), _) if waiting.given_up => waiting.next,
            (Some(waiting), _) => u64::MAX - waiting.next,
            (None, Some(answer)) => answer.at,
            (None, None) => 0,
        }
    }

    /// The answer, if it is about the patient as it is now.
    pub fn holds(&self, now: Option<&Question>) -> Option<&Answer> {
        let (answer, now) = (self.answer.as_ref()?, now?);
        answer.question.is(now).then_some(answer)
    }

    /// What becomes of it when the patient is another: `now` is what there is to ask, `ask` the number and time of a new
    /// question where a verifier is there. None when nothing is left.
    pub fn follow(mut self, now: Option<&Question>, ask: Option<(String, u64)>) -> Option<Self> {
        let asked = self.waiting.as_ref().zip(now).is_some_and(|(waiting, now)| waiting.question.is(now));
        if !asked {
            let answered = self.holds(now).is_some();
            self.waiting = match (now, ask) {
                (Some(question), Some((id, at))) if !answered => Some(Waiting::new(question.clone(), id, at)),
                _ => None,
            };
        }
        (self.waiting.is_some() || self.answer.is_some()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Identifiers;

    fn patient(name: &str, national: &str) -> Patient {
        Patient {
            mrn: "1".into(),
            name: name.into(),
            birth: BirthDate::parse("1978").ok(),
            ids: Identifiers { national: Some(national.into()), ..Identifiers::default() },
            ..Patient::default()
        }
    }

    fn ask(id: &str, at: u64) -> Option<(String, u64)> {
        Some((id.to_owned(), at))
    }

    #[test]
    fn a_number_that_can_be_nobodys_and_a_patient_without_name_are_not_asked() {
        assert!(Question::of(&patient("Nguyễn Văn An", "056 078 000001")).is_some());
        for (name, national) in [("An", "000078000001"), ("An", "56078000001"), (" ", "056078000001")] {
            assert_eq!(Question::of(&patient(name, national)), None, "{name} {national}");
        }
        let merged = Patient { merged_into: Some("2".into()), ..patient("An", "056078000001") };
        assert_eq!(Question::of(&merged), None);
    }

    #[test]
    fn an_answer_holds_for_its_question_alone_and_comes_back_with_it() {
        let question = |name: &str| Question::of(&patient(name, "056078000001")).expect("a question");
        let (an, binh) = (question("Nguyễn Văn An"), question("Lê Thị Bình"));
        let new = Inquiry::default().follow(Some(&an), ask("a", 5)).expect("it waits");
        assert_eq!((new.state(), new.moment()), (WAITING, u64::MAX - 5));
        let same = new.clone().follow(Some(&question("NGUYEN  VAN AN")), ask("b", 6));
        assert_eq!(same.as_ref(), Some(&new), "the same name in other letters");
        let at = 9;
        let fields = BTreeSet::from([Trait::Name, Trait::Birth]);
        let answer = Answer { question: an.clone(), said: Said::Differs, fields, by: "v".into(), at };
        let answered = Inquiry { waiting: None, answer: Some(answer), ..new };
        assert_eq!((answered.state(), answered.moment(), answered.holds(Some(&an)).is_some()), ("differs", 9, true));
        assert!(answered.answer.as_ref().expect("an answer").warning().ends_with("another name and birth date"));
        let changed = answered.clone().follow(Some(&binh), ask("c", 10)).expect("asked anew");
        assert_eq!((changed.state(), changed.holds(Some(&binh))), (WAITING, None));
        assert_eq!(changed.follow(Some(&an), ask("d", 11)), Some(answered.clone()), "nothing to ask");
        // Without a verifier, and of a number that was given up, nothing waits; what was said is kept.
        assert_eq!(answered.clone().follow(Some(&binh), None), Some(answered.clone()));
        assert_eq!(answered.clone().follow(None, ask("e", 12)), Some(answered));
        assert_eq!(Inquiry::default().follow(Some(&an), None), None);
    }
}
