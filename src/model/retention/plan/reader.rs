//! Reads a plan back, line by line, and finds what was changed in it.
//!
//! Deliberately not here: whether the digest is the one that was approved (see [`super::super::execution`]).

use super::{PlanDigest, PlanHead, PlanLine, PlanSummary, PlanTotals};

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A line that is none of a plan.
    #[error("line {line} of the plan cannot be read")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A line that is not written in the one form a plan has.
    #[error("line {line} of the plan is not written as the archive writes it")]
    Form {
        /// Number of the line.
        line: u64,
    },
    /// A line where it cannot stand: only the first is the head, only the last the sums.
    #[error("line {line} of the plan stands in the wrong place")]
    Order {
        /// Number of the line.
        line: u64,
    },
    /// A form of plans that this program does not know.
    #[error("the plan has form {0}, which this program does not know")]
    Newer(u16),
    /// The text ends before the sums.
    #[error("the plan is cut off: its last line is missing")]
    CutOff,
    /// The sums do not fit the lines.
    #[error("the sums of the plan do not fit its lines")]
    Sums,
}

/// Reads a plan. Every line is given in turn without its line feed, then [`PlanReader::finish`] is called.
#[derive(Default)]
pub struct PlanReader {
    lines: u64,
    head: Option<PlanHead>,
    counted: PlanTotals,
    totals: Option<PlanTotals>,
    digest: PlanDigest,
}

impl PlanReader {
    /// A reader before the first line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next line.
    pub fn line(&mut self, text: &str) -> Result<PlanLine, PlanError> {
        self.lines += 1;
        let number = self.lines;
        let line: PlanLine = serde_json::from_str(text).map_err(|source| PlanError::Line { line: number, source })?;
        if self.totals.is_some() || matches!(line, PlanLine::Plan(_)) != (number == 1) {
            return Err(PlanError::Order { line: number });
        }
        match &line {
            PlanLine::Plan(head) if head.form > PlanHead::FORM => return Err(PlanError::Newer(head.form)),
            PlanLine::Plan(head) => self.head = Some(head.clone()),
            PlanLine::Due(entry) => self.counted.add_due(entry),
            PlanLine::Held(_) => self.counted.held += 1,
            PlanLine::Totals(totals) => self.totals = Some(totals.clone()),
        }
        // What a person reads must be all there is: no member twice, none besides those known, no other order.
        if line.canonical() != text {
            return Err(PlanError::Form { line: number });
        }
        self.digest.add(text);
        Ok(line)
    }

    /// Ends the reading: head, sums and the digest of what was read.
    pub fn finish(self) -> Result<PlanSummary, PlanError> {
        let (Some(head), Some(totals)) = (self.head, self.totals) else { return Err(PlanError::CutOff) };
        let counted = PlanTotals { considered: totals.considered, ..self.counted };
        if counted != totals || totals.considered < totals.due.saturating_add(totals.held) {
            return Err(PlanError::Sums);
        }
        Ok(PlanSummary { head, totals, digest: self.digest.finish() })
    }
}
