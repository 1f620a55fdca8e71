//! Inquiries: an external verifier is asked whether a patient's personal identification number is theirs.
//!
//! That there is something to ask is recorded with the change that causes it, in a row of the patient ([`Inquiry`]); so it
//! waits for as long as the verifier is away, and whatever the verifier does, nothing of the archive waits for it. An answer
//! is a row as well. It never changes what is known of a patient, or its person: one that differs is put before a steward
//! beside the conflicts of numbers, and is taken from there when it holds no more.
//! Deliberately not here: how a verifier is called.

mod asking;
pub mod dispatch;
mod queue;

pub use asking::{Check, VerifierState};
pub(super) use queue::Queue;

use super::receive::fresh_id;
use super::writing::{Whose, Writing};
use super::{ChartError, Charts};
use dispatch::Heard;
use model::chart::inquiry::Said;
use model::chart::{Answer, ChartBody, ChartKind, Finding, Inquiry, Local, Patient, Proposal, Question};
use std::time::Duration;

/// How a verifier is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierOptions {
    /// Who it is: its host.
    pub by: String,
    /// Questions a second at most.
    pub rate: u32,
    /// Answers to one question that nobody understands, before it is given up.
    pub attempts: u32,
    /// First rest after a try in vain; it doubles.
    pub pause: Duration,
    /// Longest rest.
    pub pause_max: Duration,
}

impl Default for VerifierOptions {
    fn default() -> Self {
        Self {
            by: String::new(),
            rate: 5,
            attempts: 20,
            pause: Duration::from_secs(2),
            pause_max: Duration::from_secs(300),
        }
    }
}

impl VerifierOptions {
    /// The rest after so many tries in vain, in milliseconds.
    fn pause_ms(&self, tries: u32) -> u64 {
        let factor = 1u32.checked_shl(tries.saturating_sub(1).min(20)).unwrap_or(u32::MAX);
        let pause = self.pause.saturating_mul(factor).min(self.pause_max);
        u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
    }
}

fn patient_of(body: Option<ChartBody>) -> Option<Patient> {
    match body {
        Some(ChartBody::Patient(patient)) => Some(*patient),
        _ => None,
    }
}

fn inquiry_of(body: Option<ChartBody>) -> Option<Inquiry> {
    match body {
        Some(ChartBody::Inquiry(inquiry)) => Some(*inquiry),
        _ => None,
    }
}

/// Notes in a change what there is to ask of its patients, and forgets what nobody asks any more.
pub(super) fn note(writing: &mut Writing<'_>) -> Result<(), ChartError> {
    let asks = writing.charts().options.verifier.is_some();
    for (key, body) in writing.patients() {
        let before = inquiry_of(writing.row(ChartKind::Inquiry, &key.id)?);
        let is_gone = body.is_none();
        let now = patient_of(body).as_ref().and_then(Question::of);
        if before.is_none() && (now.is_none() || !asks) {
            continue;
        }
        let ask = if asks { Some((fresh_id(writing.now())?, writing.now())) } else { None };
        let known = before.clone().unwrap_or_else(|| Inquiry { mrn: key.id.clone(), ..Inquiry::default() });
        let after = known.follow(now.as_ref(), ask).filter(|_| !is_gone);
        if after != before {
            put(writing, &key.id, after.as_ref())?;
        }
        warn(writing, &key.id, before.and_then(|before| before.answer).as_ref(), (now.as_ref(), false))?;
    }
    Ok(())
}

fn put(writing: &mut Writing<'_>, mrn: &str, inquiry: Option<&Inquiry>) -> Result<(), ChartError> {
    match inquiry {
        Some(inquiry) => writing.put(mrn, ChartBody::Inquiry(Box::new(inquiry.clone()))),
        None => writing.remove(ChartKind::Inquiry, mrn),
    }
}

/// Puts before a steward an answer that differs, if it is about what there is to ask now, or takes it away. What a steward
/// said is said of the answer, and goes with a new one alone: it is there again when the patient is who it was.
fn warn(
    writing: &mut Writing<'_>,
    mrn: &str,
    answer: Option<&Answer>,
    (now, is_new): (Option<&Question>, bool),
) -> Result<(), ChartError> {
    let Some(answer) = answer.filter(|answer| answer.said == Said::Differs) else { return Ok(()) };
    let (finding, why) = match now {
        Some(now) if answer.question.is(now) => (Finding::Conflict, vec![answer.warning()]),
        _ => (Finding::Nothing, Vec::new()),
    };
    let at = writing.now();
    let fresh = Proposal::alone(&Local { facility: writing.facility(), mrn: mrn.to_owned() }, at);
    let id = fresh.id();
    let known = match writing.row(ChartKind::Proposal, &id)? {
        Some(ChartBody::Proposal(known)) => *known,
        _ => fresh.clone(),
    };
    let outdated = is_new && finding == Finding::Nothing && known.judgement.is_some();
    if (known.finding, &known.why) == (finding, &why) && !outdated {
        return Ok(());
    }
    let kept = if is_new { fresh } else { Proposal { at, ..known } };
    writing.put(&id, ChartBody::Proposal(Box::new(Proposal { finding, why, ..kept })))
}

impl Charts {
    /// Records what a verifier said to a question, or that it was asked in vain.
    fn settle_inquiry(&self, local: &Local, id: &str, heard: &Heard) -> Result<(), ChartError> {
        let Some(options) = &self.options.verifier else { return Ok(()) };
        // It is little, and to forget an answer because the disk is full would only have it asked again.
        self.write_as(Whose::Own, local.facility, |writing| {
            let Some(mut inquiry) = inquiry_of(writing.row(ChartKind::Inquiry, &local.mrn)?) else { return Ok(()) };
            // The patient is another meanwhile: what was asked is of no use.
            let Some(mut waiting) = inquiry.waiting.take().filter(|waiting| waiting.id == id) else { return Ok(()) };
            let now = writing.now();
            match heard {
                Heard::Said { said, fields } => {
                    let (question, fields) = (waiting.question, fields.clone());
                    let answer = Answer { question, said: *said, fields, by: options.by.clone(), at: now };
                    return answered(writing, local, inquiry, answer);
                }
                Heard::Rubbish(why) => {
                    waiting.faults = waiting.faults.saturating_add(1);
                    waiting.error.clone_from(why);
                }
                Heard::Down(why) => waiting.error.clone_from(why),
                Heard::Interrupted => return Ok(()),
            }
            waiting.tries = waiting.tries.saturating_add(1);
            waiting.given_up = waiting.faults >= options.attempts;
            let rest = if waiting.given_up { 0 } else { options.pause_ms(waiting.tries) };
            waiting.next = now.saturating_add(rest);
            inquiry.waiting = Some(waiting);
            put(writing, &local.mrn, Some(&inquiry))
        })
    }
}

/// Records an answer, and what a steward has to see of it.
fn answered(writing: &mut Writing<'_>, local: &Local, mut inquiry: Inquiry, answer: Answer) -> Result<(), ChartError> {
    let before = inquiry.answer.replace(answer.clone());
    put(writing, &local.mrn, Some(&inquiry))?;
    if answer.said != Said::Differs {
        // What was said before is said no more.
        return warn(writing, &local.mrn, before.as_ref(), (None, true));
    }
    let now = patient_of(writing.row(ChartKind::Patient, &local.mrn)?);
    warn(writing, &local.mrn, Some(&answer), (now.as_ref().and_then(Question::of).as_ref(), true))
}
