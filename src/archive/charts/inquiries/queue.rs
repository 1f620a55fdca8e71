//! What waits to be asked, in memory: whose turn is when, and how the verifier does.
//!
//! It follows from the rows alone, so that it is the same after a restart. At most [`HELD`] questions are held; those beyond
//! wait in their rows and are read when there is room.

use super::VerifierOptions;
use crate::charts::Charts;
use crate::error::OpenError;
use index::IndexError;
use index::charts::{ChartDriver, ChartQuery, Charts as ChartView};
use model::FacilityCode;
use model::chart::inquiry::{FAILED, WAITING};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Inquiry, Local, Term};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// Most questions held in memory; few where tests look at what is done beyond them.
const HELD: usize = if cfg!(test) { 8 } else { 10_000 };
/// Rows asked of the view at once.
const PAGE: usize = 500;

/// What waits, and how the verifier does.
#[derive(Debug, Default)]
pub(in crate::charts) struct Queue(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// Not before, and since when, of each.
    waiting: BTreeMap<Local, (u64, u64)>,
    /// The same by their turns.
    turns: BTreeSet<(u64, Local)>,
    /// Whether rows beyond these wait.
    more: bool,
    /// Those that were given up, as far as they are counted.
    failed: BTreeSet<Local>,
    trouble: Trouble,
}

/// How often in a row the verifier was asked in vain.
#[derive(Debug, Default)]
struct Trouble {
    tries: u32,
    /// From when to when it rests, milliseconds since 1970 UTC.
    rest: Option<(u64, u64)>,
    why: String,
}

/// How the queue stands for somebody.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) waiting: usize,
    /// Whether more wait than are held.
    pub(super) more: bool,
    /// Since when the oldest waits.
    pub(super) oldest: Option<u64>,
    pub(super) failed: usize,
    /// Why the last try was in vain.
    pub(super) why: Option<String>,
}

impl Held {
    fn row(&mut self, row: &ChartRow) {
        let ChartBody::Inquiry(inquiry) = &row.body else { return };
        let local = Local { facility: row.key.facility, mrn: row.key.id.clone() };
        self.forget(&local);
        self.hold(local, inquiry);
    }

    fn hold(&mut self, local: Local, inquiry: &Inquiry) {
        let Some(waiting) = &inquiry.waiting else { return };
        if waiting.given_up {
            if self.failed.len() < HELD {
                self.failed.insert(local);
            }
            return;
        }
        self.turns.insert((waiting.next, local.clone()));
        self.waiting.insert(local, (waiting.next, waiting.since));
        // Those whose turn is last wait in their rows alone.
        while self.waiting.len() > HELD
            && let Some((_, last)) = self.turns.pop_last()
        {
            self.more = true;
            self.waiting.remove(&last);
        }
    }

    fn forget(&mut self, local: &Local) {
        self.failed.remove(local);
        if let Some((next, _)) = self.waiting.remove(local) {
            self.turns.remove(&(next, local.clone()));
        }
    }

    /// Reads what waits in rows alone, those whose turn is first, until there is no room.
    fn fill(&mut self, view: &dyn ChartView) -> Result<(), IndexError> {
        self.more = false;
        let mut after = None;
        while !self.more {
            let page = view.find(&query(WAITING), after, PAGE)?;
            page.rows.iter().for_each(|row| self.row(row));
            after = page.cursor;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }
}

fn query(state: &str) -> ChartQuery {
    let driver = ChartDriver::Equal(Term::State, state.to_owned());
    ChartQuery { kind: ChartKind::Inquiry, facilities: None, driver, moments: None, years: None }
}

impl Queue {
    /// A row became true.
    pub(in crate::charts) fn row(&self, row: &ChartRow) {
        if row.key.kind == ChartKind::Inquiry {
            self.0.lock().row(row);
        }
    }

    /// A row is gone.
    pub(in crate::charts) fn gone(&self, key: &ChartKey) {
        if key.kind == ChartKind::Inquiry {
            self.0.lock().forget(&Local { facility: key.facility, mrn: key.id.clone() });
        }
    }

    /// Whose turn it is, unless the verifier rests.
    pub(super) fn due(&self, view: &dyn ChartView, now: u64) -> Result<Option<Local>, IndexError> {
        let mut held = self.0.lock();
        // A clock that was set back makes no rest longer.
        if held.trouble.rest.is_some_and(|(from, until)| (from..until).contains(&now)) {
            return Ok(None);
        }
        if held.more && held.waiting.len() < HELD / 2 {
            held.fill(view)?;
        }
        let first = held.turns.first().filter(|(next, _)| *next <= now);
        Ok(first.map(|(_, local)| local.clone()))
    }

    /// The verifier answered; says whether it did not before.
    pub(super) fn is_well(&self) -> bool {
        std::mem::take(&mut self.0.lock().trouble).tries > 0
    }

    /// It was asked in vain, and rests; says whether it answered before.
    pub(super) fn rests(&self, options: &VerifierOptions, now: u64, why: &str) -> bool {
        let mut held = self.0.lock();
        let tries = held.trouble.tries.saturating_add(1);
        let until = now.saturating_add(options.pause_ms(tries));
        held.trouble = Trouble { tries, rest: Some((now, until)), why: why.to_owned() };
        tries == 1
    }

    /// It is asked at once.
    pub(super) fn wake(&self) {
        self.0.lock().trouble.rest = None;
    }

    /// How it stands with patients of facilities that somebody may see.
    pub(super) fn standing(&self, sees: &dyn Fn(FacilityCode) -> bool) -> Standing {
        let held = self.0.lock();
        let theirs = || held.waiting.iter().filter(|(local, _)| sees(local.facility));
        Standing {
            waiting: theirs().count(),
            more: held.more,
            oldest: theirs().map(|(_, (_, since))| *since).min(),
            failed: held.failed.iter().filter(|local| sees(local.facility)).count(),
            why: (held.trouble.tries > 0).then(|| held.trouble.why.clone()),
        }
    }
}

impl Charts {
    /// Puts into memory what waits to be asked.
    pub(in crate::charts) fn remember_inquiries(&self) -> Result<(), OpenError> {
        let mut held = self.inquiries.0.lock();
        held.fill(self.view.as_ref())?;
        let mut after = None;
        while held.failed.len() < HELD {
            let page = self.view.find(&query(FAILED), after, PAGE)?;
            page.rows.iter().for_each(|row| held.row(row));
            after = page.cursor;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }
}
