//! What people ask of inquiries, and what they say: how the queue stands, what was answered, and that something is asked
//! anew.

use super::{inquiry_of, put};
use crate::charts::receive::fresh_id;
use crate::charts::{ChartError, Charts};
use index::charts::{ChartCursor, ChartDriver, ChartPage, ChartQuery};
use model::chart::inquiry::{FAILED, STATES, Trait, WAITING, Waiting};
use model::chart::{Answer, ChartKey, ChartKind, ChartRow, Inquiry, Local, Patient, Question, Term};
use model::{Caller, FacilityCode};
use std::collections::BTreeMap;

/// Rows changed by one record.
const ROUND: usize = 200;

/// How it stands with the number of a patient.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// One of [`STATES`], or `outdated`: the answer is about what was known before, and nobody asks anew.
    pub state: &'static str,
    /// What is known otherwise where the number was given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Trait>,
    /// When it was answered, or since when it waits, milliseconds since 1970 UTC.
    pub at: u64,
    /// Who answered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Why the last try was in vain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What somebody has to know who looks at the patient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl Check {
    /// As it is for a patient.
    pub fn of(inquiry: &Inquiry, patient: &Patient) -> Self {
        let state = inquiry.state();
        let now = Question::of(patient);
        let (holds, answer) = (inquiry.holds(now.as_ref()), inquiry.answer.as_ref());
        let warning = holds.filter(|answer| !answer.fields.is_empty()).map(Answer::warning);
        match &inquiry.waiting {
            Some(Waiting { since, error, .. }) => {
                Self { state, differs: Vec::new(), at: *since, by: String::new(), error: error.clone(), warning }
            }
            None => Self {
                state: if holds.is_some() { state } else { "outdated" },
                differs: holds.map_or_else(Vec::new, |answer| answer.fields.iter().copied().collect()),
                at: answer.map_or(0, |answer| answer.at),
                by: answer.map_or_else(String::new, |answer| answer.by.clone()),
                error: String::new(),
                warning,
            },
        }
    }

    /// Whether the verifier says that the number is the patient's.
    pub fn is_verified(&self) -> bool {
        self.state == "verified"
    }
}

/// How it stands with the verifier.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VerifierState {
    /// Whether there is one.
    pub on: bool,
    /// Whether it answered the last time.
    pub answers: bool,
    /// Why it did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Questions that wait, as far as they are counted.
    pub waiting: usize,
    /// Whether more wait than are counted.
    pub more: bool,
    /// Age of the oldest, in milliseconds; 0 when none waits.
    pub oldest_ms: u64,
    /// Questions that were given up, as far as they are counted.
    pub failed: usize,
}

fn query(kind: ChartKind, by: Term, value: &str) -> ChartQuery {
    let driver = ChartDriver::Equal(by, value.to_owned());
    ChartQuery { kind, facilities: None, driver, moments: None, years: None }
}

impl Charts {
    /// How it stands with the verifier, and with questions about patients of the caller's facilities.
    pub fn verifier(&self, caller: &Caller) -> VerifierState {
        let standing = self.inquiries.standing(&|facility| caller.may_see(facility));
        VerifierState {
            on: self.options.verifier.is_some(),
            answers: standing.why.is_none(),
            why: standing.why.unwrap_or_default(),
            waiting: standing.waiting,
            more: standing.more,
            oldest_ms: standing.oldest.map_or(0, |since| self.now_ms().saturating_sub(since)),
            failed: standing.failed,
        }
    }

    /// How it stands with the number of a patient; none where nothing was asked.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub fn check_of(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        patient: &Patient,
    ) -> Result<Option<Check>, ChartError> {
        let Ok(key) = ChartKey::new(ChartKind::Inquiry, facility, &patient.mrn) else { return Ok(None) };
        let inquiry = inquiry_of(self.get(caller, &key)?.map(|row| row.body));
        Ok(inquiry.map(|inquiry| Check::of(&inquiry, patient)))
    }

    /// Inquiries by where they stand ([`STATES`]), the newest first, of those that wait the one whose turn is first; without a
    /// state all.
    ///
    /// # Errors
    /// [`ChartError::Invalid`] for another state; as [`Charts::find`].
    pub fn inquiries(
        &self,
        caller: &Caller,
        state: Option<&str>,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        if state.is_some_and(|state| !STATES.contains(&state)) {
            return Err(ChartError::Invalid(format!("an inquiry is one of {}", STATES.join(", "))));
        }
        let by = state.map_or((Term::Any, ""), |state| (Term::State, state));
        self.find(caller, &query(ChartKind::Inquiry, by.0, by.1), after, limit)
    }

    fn refuse_without_verifier(&self) -> Result<(), ChartError> {
        match &self.options.verifier {
            Some(_) => Ok(()),
            None => {
                Err(ChartError::Conflict("there is no verifier: verifier.url in the configuration is empty".into()))
            }
        }
    }

    /// A patient is asked about anew, before all others, whatever was said before.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] without such a patient for the caller, [`ChartError::Conflict`] where there is no verifier or
    /// nothing to ask.
    pub fn inquire(&self, caller: &Caller, local: &Local) -> Result<Check, ChartError> {
        self.refuse_without_verifier()?;
        let unknown = || ChartError::Unknown("patient");
        let patient = self.patient(caller, local.facility, local.mrn.trim())?.ok_or_else(unknown)?;
        let mrn = patient.mrn.as_str();
        let check = self.write(local.facility, |writing| {
            let patient = super::patient_of(writing.row(ChartKind::Patient, mrn)?).ok_or_else(unknown)?;
            let nothing = "the patient has no name, or no personal identification number that can be somebody's";
            let question = Question::of(&patient).ok_or_else(|| ChartError::Conflict(nothing.into()))?;
            let known = inquiry_of(writing.row(ChartKind::Inquiry, mrn)?);
            let mut inquiry = known.unwrap_or_else(|| Inquiry { mrn: mrn.to_owned(), ..Inquiry::default() });
            let since = writing.now();
            inquiry.waiting = Some(Waiting { next: 0, ..Waiting::new(question, fresh_id(since)?, since) });
            put(writing, mrn, Some(&inquiry))?;
            Ok(Check::of(&inquiry, &patient))
        })?;
        self.inquiries.wake();
        Ok(check)
    }

    /// What was given up, or rests after a try in vain, is asked in its turn again. Says how many.
    ///
    /// # Errors
    /// [`ChartError::Conflict`] where there is no verifier; as [`Charts::find`].
    pub fn inquire_again(&self, caller: &Caller) -> Result<usize, ChartError> {
        self.refuse_without_verifier()?;
        let mut asked = 0usize;
        for state in [FAILED, WAITING] {
            let mut after = None;
            loop {
                let page = self.inquiries(caller, Some(state), after, ROUND)?;
                asked = asked.saturating_add(self.each_facility(page.rows, &|writing, mrn| {
                    let Some(mut inquiry) = inquiry_of(writing.row(ChartKind::Inquiry, mrn)?) else {
                        return Ok(false);
                    };
                    let now = writing.now();
                    let Some(waiting) = &mut inquiry.waiting else { return Ok(false) };
                    if !waiting.given_up && waiting.next <= now {
                        return Ok(false);
                    }
                    (waiting.given_up, waiting.tries, waiting.faults, waiting.next) = (false, 0, 0, now);
                    put(writing, mrn, Some(&inquiry))?;
                    Ok(true)
                })?);
                after = page.cursor;
                if after.is_none() {
                    break;
                }
            }
        }
        self.inquiries.wake();
        Ok(asked)
    }

    /// Patients of whom nothing was asked yet, such as those who came before there was a verifier, are asked about: a part
    /// of them, behind a place. Says how many, and where to go on.
    ///
    /// # Errors
    /// As [`Charts::inquire_again`].
    pub fn inquire_missing(
        &self,
        caller: &Caller,
        after: Option<ChartCursor>,
    ) -> Result<(usize, Option<ChartCursor>), ChartError> {
        self.refuse_without_verifier()?;
        let page = self.find(caller, &query(ChartKind::Patient, Term::Any, ""), after, ROUND)?;
        let asked = self.each_facility(page.rows, &|writing, mrn| {
            if writing.row(ChartKind::Inquiry, mrn)?.is_some() {
                return Ok(false);
            }
            let patient = super::patient_of(writing.row(ChartKind::Patient, mrn)?);
            let Some(question) = patient.as_ref().and_then(Question::of) else { return Ok(false) };
            let now = writing.now();
            let waiting = Some(Waiting::new(question, fresh_id(now)?, now));
            put(writing, mrn, Some(&Inquiry { mrn: mrn.to_owned(), waiting, answer: None }))?;
            Ok(true)
        })?;
        Ok((asked, page.cursor))
    }

    /// Changes something about the patients of rows, in one record a facility; says for how many something was done.
    fn each_facility(
        &self,
        rows: Vec<ChartRow>,
        change: &dyn Fn(&mut crate::charts::writing::Writing<'_>, &str) -> Result<bool, ChartError>,
    ) -> Result<usize, ChartError> {
        let mut by_facility = BTreeMap::<FacilityCode, Vec<String>>::new();
        for row in rows {
            by_facility.entry(row.key.facility).or_default().push(row.key.id);
        }
        let mut done = 0usize;
        for (facility, ids) in by_facility {
            done = done.saturating_add(self.write(facility, |writing| {
                let mut done = 0usize;
                for mrn in &ids {
                    done = done.saturating_add(usize::from(change(writing, mrn)?));
                }
                Ok(done)
            })?);
        }
        Ok(done)
    }
}
