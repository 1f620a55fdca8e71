//! Under which key a chart row lies: that of its patient, or of its facility and day where it is about nobody.
//!
//! Deliberately not here: sealing itself, and where keys are kept ([`crate::seal`]).

use super::journal::unavailable;
use super::{ChartError, Charts};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Handled, Term, term};
use model::{FacilityCode, PackId};

/// Rows of a kind looked at for the key of a patient: another's may be among them where numbers are cut or merged.
const THEIRS: usize = 4;
/// Most keys made ahead.
const FRESH_MAX: usize = 10_000;
const DAY_MS: u64 = 86_400_000;

/// Under whose key a row lies. A merge holds what was known of the number that is given up.
pub(super) fn keeper_of(body: &ChartBody) -> Option<&str> {
    let mrn = match body {
        ChartBody::Merge(merge) => Some(merge.former.as_str()),
        body => body.mrn(),
    };
    mrn.map(str::trim).filter(|mrn| !mrn.is_empty())
}

pub(super) fn is_refused(body: &ChartBody) -> bool {
    matches!(body, ChartBody::Message(message) if matches!(message.handled, Handled::Refused { .. }))
}

impl Charts {
    /// The key of a row.
    pub(super) fn seal_for(&self, facility: FacilityCode, body: &ChartBody, now: u64) -> Result<PackId, ChartError> {
        let Some(mrn) = keeper_of(body) else { return self.seal_of_the_day(facility, now) };
        match self.known_seal(facility, mrn)? {
            Some(seal) => {
                self.fresh.lock().remove(&(facility, mrn.to_owned()));
                Ok(seal)
            }
            // Nothing that holds says that there is such a patient.
            None if is_refused(body) => self.seal_of_the_day(facility, now),
            None => self.fresh_seal(facility, mrn, now),
        }
    }

    /// The key of a patient: that of any row of theirs.
    pub(super) fn known_seal(&self, facility: FacilityCode, mrn: &str) -> Result<Option<PackId>, ChartError> {
        let is_theirs = |row: &ChartRow| keeper_of(&row.body) == Some(mrn) && !is_refused(&row.body);
        if let Ok(key) = ChartKey::new(ChartKind::Patient, facility, mrn)
            && let Some(seal) = self.newest(&key)?.and_then(|row| row.seal)
        {
            return Ok(Some(seal));
        }
        let unsettled = {
            let unsettled = self.unsettled.lock();
            let mut theirs = unsettled.rows().filter(|row| row.key.facility == facility && is_theirs(row));
            theirs.find_map(|row| row.seal)
        };
        if unsettled.is_some() {
            return Ok(unsettled);
        }
        for kind in ChartKind::ALL {
            let rows = self.settled(facility, kind, (Term::Mrn, &term::value(mrn)), THEIRS)?;
            if let Some(seal) = rows.iter().filter(|row| is_theirs(row)).find_map(|row| row.seal) {
                return Ok(Some(seal));
            }
        }
        Ok(None)
    }

    /// A key for a patient of whom nothing is known, the same until something is.
    pub(super) fn fresh_seal(&self, facility: FacilityCode, mrn: &str, now: u64) -> Result<PackId, ChartError> {
        let name = (facility, mrn.to_owned());
        if let Some(seal) = self.fresh.lock().get(&name) {
            return Ok(*seal);
        }
        // Not under the lock: it may take syncs of both copies of the key store.
        let drawn = self.keys.draw(facility, now).map_err(unavailable)?;
        let seal = {
            let mut fresh = self.fresh.lock();
            if fresh.len() >= FRESH_MAX {
                fresh.clear();
            }
            *fresh.entry(name).or_insert(drawn)
        };
        if seal != drawn {
            // Somebody else was first with the same number.
            self.keys.give_back(facility, drawn);
        }
        Ok(seal)
    }

    /// Opens, or makes, the keys of patients whom a change is about, before its turn. What fails is met again in it.
    pub(super) fn make_ready<'a>(&self, facility: FacilityCode, mrns: impl Iterator<Item = &'a str>) {
        for mrn in mrns.map(str::trim).filter(|mrn| !mrn.is_empty()) {
            match self.known_seal(facility, mrn) {
                Ok(Some(seal)) => drop(self.keys.get(seal)),
                Ok(None) => drop(self.fresh_seal(facility, mrn, self.now_ms())),
                Err(_) => return,
            }
        }
    }

    /// The key of rows about nobody in particular: one for each facility and day.
    pub(super) fn seal_of_the_day(&self, facility: FacilityCode, now: u64) -> Result<PackId, ChartError> {
        let day = now / DAY_MS;
        let mut daily = self.daily.lock();
        if let Some((of, seal)) = daily.get(&facility)
            && *of == day
        {
            return Ok(*seal);
        }
        let seal = self.keys.create(facility, now).map_err(unavailable)?;
        daily.insert(facility, (day, seal));
        Ok(seal)
    }
}
