//! Reading the facts of the table `retention`: by their number, by their study, and those about no one study.
//!
//! Deliberately not here: what they do to rows.

use super::read::Reader;
use super::retention::{fact, fact_key, facts_of, general_key, last_number};
use super::tables::Table;
use crate::IndexError;
use crate::row::StudyKey;
use model::Lsn;
use model::retention::RetentionFact;

impl Reader<'_> {
    pub(super) fn general(&self, after: Lsn, limit: usize) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        let from = general_key(after.saturating_add(1));
        let run = self.run(Table::Retention, &from, Some(b"H".to_vec()))?;
        self.facts(run.collect(limit, |key, _| last_number(key))?)
    }

    /// Whatever is kept behind a record, in order.
    pub(super) fn behind(&self, after: Lsn, limit: usize) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        let run = self.run(Table::Retention, &fact_key(after.saturating_add(1)), Some(b"M".to_vec()))?;
        run.collect(limit, |key, value| Ok((last_number(key)?, fact(value)?)))
    }

    pub(super) fn of_one(&self, key: &StudyKey) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        let run = self.prefix(Table::Retention, &facts_of(key))?;
        self.facts(run.collect(usize::MAX, |key, _| last_number(key))?)
    }

    fn facts(&self, numbers: Vec<Lsn>) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        let mut facts = Vec::with_capacity(numbers.len());
        for lsn in numbers {
            facts.extend(self.get(Table::Retention, &fact_key(lsn), fact)?.map(|fact| (lsn, fact)));
        }
        Ok(facts)
    }

    /// Every fact in order.
    pub(super) fn each_retention(
        &self,
        each: &mut dyn FnMut(Lsn, &RetentionFact) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut run = self.prefix(Table::Retention, b"L")?;
        while let Some((key, value)) = run.here()? {
            each(last_number(key)?, &fact(value)?)?;
            run.step();
        }
        Ok(())
    }
}
