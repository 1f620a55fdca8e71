//! Finding steps by keys (PS3.4 section CC.2.8, PS3.18 section 11.9), in the order of their planned start.
//!
//! State, start and a small filter of values say of most steps that they do not match; only the rest is read.

use super::matching::Keys;
use super::state::Step;
use super::{Document, Ups, UpsError, time};
use model::{Caller, FacilityCode, Uid};
use std::ops::Bound;

/// Rows looked at under one lock.
const ROWS: usize = 4_096;
/// Steps read for one page.
const READS: usize = 512;

/// Where a page ends: planned start and UID of the last step looked at.
pub type StepCursor = (String, Uid);

/// Some matches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepPage {
    /// The data sets, without Transaction UIDs.
    pub steps: Vec<Document>,
    /// Where the next page begins; none when there is none. A page may be empty and not the last.
    pub next: Option<StepCursor>,
}

impl Ups {
    /// The next matches, at most `limit`.
    ///
    /// # Errors
    /// [`UpsError::Unavailable`] when a step cannot be read.
    pub fn find(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        keys: &Keys,
        after: Option<&StepCursor>,
        limit: usize,
    ) -> Result<StepPage, UpsError> {
        if !caller.may_see(facility) {
            return Ok(StepPage::default());
        }
        if let Some(uids) = &keys.uids {
            return self.named(facility, keys, uids, limit);
        }
        let mut page = StepPage::default();
        let (mut at, mut reads) = (after.cloned(), 0usize);
        loop {
            let (candidates, last) = self.candidates(facility, keys, at.as_ref());
            for (start, uid) in candidates {
                if page.steps.len() >= limit || reads >= READS {
                    page.next = at;
                    return Ok(page);
                }
                reads = reads.saturating_add(1);
                match self.load(facility, &uid) {
                    Ok((_, document)) if keys.accept(&document) => page.steps.push(document),
                    // It was forgotten meanwhile.
                    Ok(_) | Err(UpsError::Unknown) => {}
                    Err(error) => return Err(error),
                }
                at = Some((start, uid));
            }
            match last {
                Some(last) => at = Some(last),
                None => return Ok(page),
            }
        }
    }

    /// Facilities that have steps or subscribers.
    pub fn facilities(&self) -> Vec<FacilityCode> {
        self.state.read().shelves.keys().copied().collect()
    }

    fn named(&self, facility: FacilityCode, keys: &Keys, uids: &[String], limit: usize) -> Result<StepPage, UpsError> {
        let mut page = StepPage::default();
        for uid in uids.iter().filter_map(|uid| Uid::parse(uid).ok()).take(limit) {
            match self.load(facility, &uid) {
                Ok((_, document)) if keys.accept(&document) => page.steps.push(document),
                Ok(_) | Err(UpsError::Unknown) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    /// Steps that may match, and where to go on; none at the end.
    fn candidates(
        &self,
        facility: FacilityCode,
        keys: &Keys,
        after: Option<&StepCursor>,
    ) -> (Vec<StepCursor>, Option<StepCursor>) {
        let state = self.state.read();
        let Some(shelf) = state.shelves.get(&facility) else { return (Vec::new(), None) };
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        let (mut found, mut last, mut looked) = (Vec::new(), None, 0usize);
        for key in shelf.order.range((from, Bound::Unbounded)) {
            if looked >= ROWS {
                return (found, last);
            }
            looked = looked.saturating_add(1);
            if shelf.steps.get(&key.1).is_some_and(|step| may_match(keys, step)) {
                found.push(key.clone());
            }
            last = Some(key.clone());
        }
        (found, None)
    }
}

fn may_match(keys: &Keys, step: &Step) -> bool {
    let state = keys.state.as_ref().is_none_or(|state| state == step.state.term());
    let start = keys.start.as_ref().is_none_or(|(from, to)| time::lies_in(&step.start, from, to));
    state && start && step.marks & keys.marks == keys.marks
}
