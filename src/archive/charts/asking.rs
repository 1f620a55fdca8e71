//! What is asked of charts, each question with whoever asks: only what they may see is answered.

use super::journal::unavailable;
use super::opening::CHAIN_MAX;
use super::{ChartError, Charts, LONG_PAGE_MAX, PAGE_BYTES, PAGE_MAX};
use index::charts::{ChartCursor, ChartDriver, ChartNames, ChartPage, ChartQuery};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Handled, Message, Patient, Term, term};
use model::{Caller, FacilityCode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A word that so many patients have names nobody.
const COMMON: u64 = 10;

/// Long rows that are read at a time at first.
const SOME: usize = 4;
/// Where so many bytes were read, twice as many rows may be read the next time.
const SHORT: usize = PAGE_BYTES / 16;

/// What a row takes as JSON.
fn length(row: &ChartRow) -> usize {
    let mut count = Count(0);
    // Nothing that is a row fails to be written, and a count never does.
    let _ = serde_json::to_writer(&mut count, &row.body);
    count.0
}

/// A question without the facilities that the caller may not see; none where no other is left.
fn seen(caller: &Caller, query: &ChartQuery) -> Option<ChartQuery> {
    let facilities = match (&query.facilities, &caller.facilities) {
        (None, seen) => seen.clone(),
        (Some(asked), None) => Some(asked.clone()),
        (Some(asked), Some(seen)) => Some(asked.intersection(seen).copied().collect()),
    };
    let none = facilities.as_ref().is_some_and(BTreeSet::is_empty);
    (!none).then(|| ChartQuery { facilities, ..query.clone() })
}

/// Counts what is written.
struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Which messages are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageFilter {
    /// Of this facility; none: of all that the caller may see.
    pub facility: Option<FacilityCode>,
    /// What became of them: `done`, `parked` or `refused`; none: anything.
    pub handled: Option<String>,
    /// About the patient of this number.
    pub mrn: Option<String>,
    /// Moments from and to, both included, milliseconds since 1970 UTC.
    pub moments: Option<(u64, u64)>,
    /// Of this type (`ADT`), or type and trigger (`ADT^A08`).
    pub kind: Option<String>,
    /// Of this source, by its name, with or without the way it sends (`hl7:his`).
    pub source: Option<String>,
    /// Of this control id.
    pub control: Option<String>,
}

impl MessageFilter {
    /// What is looked for: the rows it finds are those that [`MessageFilter::fits`] is asked of.
    ///
    /// # Errors
    /// [`ChartError::Invalid`] for an unknown outcome.
    pub fn query(&self) -> Result<ChartQuery, ChartError> {
        let handled = self.handled.as_deref();
        if handled.is_some_and(|handled| !["done", "parked", "refused"].contains(&handled)) {
            return Err(ChartError::Invalid("a message is done, parked or refused".into()));
        }
        let driver = match (handled, &self.mrn) {
            (_, Some(mrn)) => ChartDriver::Equal(Term::Mrn, term::value(mrn)),
            (Some(handled), None) => ChartDriver::Equal(Term::Handled, handled.to_owned()),
            (None, None) => ChartDriver::Equal(Term::Any, String::new()),
        };
        let facilities = self.facility.map(|facility| BTreeSet::from([facility]));
        Ok(ChartQuery { kind: ChartKind::Message, facilities, driver, moments: self.moments, years: None })
    }

    /// Whether a row that was found is wanted.
    pub fn fits(&self, row: &ChartRow) -> bool {
        let ChartBody::Message(message) = &row.body else { return false };
        let is = |wanted: &Option<String>, told: &str| wanted.as_deref().is_none_or(|wanted| wanted == told);
        let (kind, source) = (message.kind.as_str(), message.origin.source.as_str());
        let name = source.split_once(':').map_or(source, |(_, name)| name);
        let handled = match message.handled {
            Handled::Done => "done",
            Handled::Parked { .. } => "parked",
            Handled::Refused { .. } => "refused",
        };
        is(&self.handled, handled)
            && (is(&self.kind, kind) || is(&self.kind, kind.split('^').next().unwrap_or_default()))
            && (is(&self.source, source) || is(&self.source, name))
            && is(&self.control, &message.origin.control)
    }
}

impl Charts {
    /// A row the caller may see.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub fn get(&self, caller: &Caller, key: &ChartKey) -> Result<Option<ChartRow>, ChartError> {
        if !caller.may_see(key.facility) {
            return Ok(None);
        }
        self.view.row(key).map_err(unavailable)
    }

    /// One page of an answer; facilities the caller may not see are left out.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub fn find(
        &self,
        caller: &Caller,
        query: &ChartQuery,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        let Some(query) = seen(caller, query) else { return Ok(ChartPage { rows: Vec::new(), cursor: None }) };
        match query.kind {
            ChartKind::Message | ChartKind::Report | ChartKind::Performed => {
                self.long_page(&query, after, limit.clamp(1, LONG_PAGE_MAX))
            }
            _ => self.view.find(&query, after, limit.clamp(1, PAGE_MAX)).map_err(unavailable),
        }
    }

    /// The names of the rows of an answer with their moments, page by page: no row is read, however long rows are.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub fn names(
        &self,
        caller: &Caller,
        query: &ChartQuery,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartNames, ChartError> {
        let Some(query) = seen(caller, query) else { return Ok(ChartNames { names: Vec::new(), cursor: None }) };
        self.view.names(&query, after, limit.clamp(1, PAGE_MAX)).map_err(unavailable)
    }

    /// A page of rows that may be long, bounded by bytes, too: some rows are read at a time, more where they are short.
    pub(super) fn long_page(
        &self,
        query: &ChartQuery,
        mut after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        let (mut rows, mut bytes, mut some) = (Vec::new(), 0usize, SOME);
        loop {
            let wanted = some.min(limit.saturating_sub(rows.len()));
            let page = self.view.find(query, after, wanted).map_err(unavailable)?;
            let (read, long) = (page.rows.len(), page.rows.iter().map(length).sum::<usize>());
            rows.extend(page.rows);
            bytes = bytes.saturating_add(long);
            // A page that is short by itself says so: the bound on what is looked at was met.
            if page.cursor.is_none() || read < wanted || rows.len() >= limit || bytes >= PAGE_BYTES {
                return Ok(ChartPage { rows, cursor: page.cursor });
            }
            after = page.cursor;
            if long < SHORT {
                some = some.saturating_mul(2);
            }
        }
    }

    /// Words of patients' names that begin with `prefix`, the most frequent first. They are of all facilities: whoever may
    /// not see all is shown those that many have, since a rare one may name somebody.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub fn words(&self, caller: &Caller, prefix: &str, limit: usize) -> Result<Vec<(String, u64)>, ChartError> {
        let mut words = self.view.words(prefix, limit.clamp(1, PAGE_MAX)).map_err(unavailable)?;
        if caller.facilities.is_some() {
            words.retain(|(_, count)| *count >= COMMON);
        }
        Ok(words)
    }

    /// Messages, the newest first. A page may be short and still have a cursor.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer; [`ChartError::Invalid`] for an unknown outcome.
    pub fn messages(
        &self,
        caller: &Caller,
        filter: &MessageFilter,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        let mut page = self.find(caller, &filter.query()?, after, limit)?;
        page.rows.retain(|row| filter.fits(row));
        Ok(page)
    }

    /// A stored message, to be handed to the edge that understands it, and from there to [`Charts::receive_again`].
    ///
    /// # Errors
    /// [`ChartError::Unknown`] where there is none or not for the caller.
    pub fn again(&self, caller: &Caller, facility: FacilityCode, id: &str) -> Result<Message, ChartError> {
        let unknown = ChartError::Unknown("message");
        let key = ChartKey::new(ChartKind::Message, facility, id).map_err(|_| unknown.clone())?;
        match self.get(caller, &key)?.map(|row| row.body) {
            Some(ChartBody::Message(message)) => Ok(*message),
            _ => Err(unknown),
        }
    }

    /// The patient a number stands for now: through merges, to the one that stays; none where the caller may not see the
    /// facility.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub fn patient(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        mrn: &str,
    ) -> Result<Option<Arc<Patient>>, ChartError> {
        if !caller.may_see(facility) {
            return Ok(None);
        }
        let (mut mrn, mut found) = (mrn.to_owned(), None);
        for _ in 0..CHAIN_MAX {
            let Ok(key) = ChartKey::new(ChartKind::Patient, facility, &mrn) else { break };
            let Some(ChartBody::Patient(patient)) = self.view.row(&key).map_err(unavailable)?.map(|row| row.body)
            else {
                break;
            };
            let next = patient.merged_into.clone();
            found = Some(Arc::from(patient));
            match next {
                Some(next) => mrn = next,
                None => break,
            }
        }
        Ok(found)
    }

    /// Every number of the patient a number stands for now, the one that stays first: what was said under any of them is
    /// theirs. Only the number itself where the caller may not see the facility.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub fn numbers(&self, caller: &Caller, facility: FacilityCode, mrn: &str) -> Result<Vec<String>, ChartError> {
        if !caller.may_see(facility) {
            return Ok(vec![mrn.trim().to_owned()]);
        }
        let first =
            self.patient(caller, facility, mrn)?.map_or_else(|| mrn.trim().to_owned(), |patient| patient.mrn.clone());
        let (mut numbers, mut next) = (vec![first], 0);
        while let Some(number) = numbers.get(next).cloned() {
            next = next.saturating_add(1);
            let query = ChartQuery {
                kind: ChartKind::Merge,
                facilities: Some(BTreeSet::from([facility])),
                driver: ChartDriver::Equal(Term::Mrn, term::value(&number)),
                moments: None,
                years: None,
            };
            let mut after = None;
            loop {
                let page = self.view.find(&query, after, PAGE_MAX).map_err(unavailable)?;
                for row in page.rows {
                    let ChartBody::Merge(merge) = row.body else { continue };
                    if merge.undone.is_none() && merge.survivor == number && !numbers.contains(&merge.former) {
                        numbers.push(merge.former);
                    }
                }
                after = page.cursor;
                if after.is_none() {
                    break;
                }
            }
            if numbers.len() > CHAIN_MAX {
                break;
            }
        }
        Ok(numbers)
    }
}
