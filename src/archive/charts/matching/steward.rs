//! What people see of studies and orders without each other, and what they decide; every decision can be taken back.

use super::judge::{self, conclude, side_of_order, side_of_study, unmatched};
use super::query_of;
use crate::charts::{ChartError, Charts, orders};
use crate::open::Archive;
use index::charts::{ChartCursor, ChartPage, ChartQuery};
use model::chart::{ChartKind, Match, Term, Verdict, term};
use model::{Caller, FacilityCode, Uid};

impl Charts {
    /// Studies by what came of looking for their order: those without one, those that contradict one, those that have
    /// one; the newest first.
    ///
    /// # Errors
    /// As [`Charts::find`].
    pub fn matches(
        &self,
        caller: &Caller,
        verdict: Verdict,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        self.find(caller, &query_of(ChartKind::Match, None, Term::State, verdict.name()), after, limit)
    }

    /// Studies of which no order is known; the newest first.
    ///
    /// # Errors
    /// As [`Charts::find`].
    pub fn studies_without_order(
        &self,
        caller: &Caller,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        self.matches(caller, Verdict::Unmatched, after, limit)
    }

    /// Orders that were not taken back, of which no image came, and that were to begin at a moment or before; the latest
    /// first.
    ///
    /// # Errors
    /// As [`Charts::find`].
    pub fn orders_without_study(
        &self,
        caller: &Caller,
        before: u64,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        let query = query_of(ChartKind::Order, None, Term::State, term::WITHOUT_IMAGES);
        self.find(caller, &ChartQuery { moments: Some((0, before)), ..query }, after, limit)
    }
}

fn person(by: &str) -> Result<String, ChartError> {
    let by = by.trim();
    if by.is_empty() {
        return Err(ChartError::Invalid("whoever decides has a name".into()));
    }
    Ok(by.to_owned())
}

impl Archive {
    /// A person says that a study is an order's, whatever contradicts; what does is kept beside it.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] where there is no such study or order; [`ChartError::Conflict`] where two patients have
    /// images under the UID.
    pub fn match_study(&self, facility: FacilityCode, study: &Uid, placer: &str, by: &str) -> Result<(), ChartError> {
        let (row, by) = (self.study_of(facility, study)?, person(by)?);
        self.charts().write(facility, |writing| {
            let order = orders::order(writing, placer)?.ok_or(ChartError::Unknown("order"))?;
            let (of_study, of_order) = (side_of_study(writing, &row)?, side_of_order(writing, &order)?);
            let known = judge::known(writing, &row)?;
            let one = Match {
                mrn: Some(order.mrn.clone()),
                placer: order.placer,
                verdict: Verdict::Matched,
                why: of_study.contradictions(&of_order),
                of_study,
                of_order: Some(of_order),
                by: Some(by),
                ..unmatched(&row, writing.now())
            };
            conclude(writing, &row, known, one)
        })
    }

    /// A person says that a study is not the order's it was taken for. It is not looked for again until somebody matches
    /// it, or leaves it to the archive.
    ///
    /// # Errors
    /// As [`Archive::match_study`]; [`ChartError::Unknown`] where nothing is known of the study.
    pub fn unmatch_study(&self, facility: FacilityCode, study: &Uid, by: &str) -> Result<(), ChartError> {
        let (row, by) = (self.study_of(facility, study)?, person(by)?);
        self.charts().write(facility, |writing| {
            let known = judge::known(writing, &row)?.ok_or(ChartError::Unknown("match"))?;
            let of_study = side_of_study(writing, &row)?;
            let one = Match { of_study, by: Some(by), ..unmatched(&row, writing.now()) };
            conclude(writing, &row, Some(known), one)
        })
    }

    /// What a person decided of a study is forgotten: the archive looks for its order again.
    ///
    /// # Errors
    /// As [`Archive::unmatch_study`].
    pub fn leave_match(&self, facility: FacilityCode, study: &Uid) -> Result<(), ChartError> {
        let row = self.study_of(facility, study)?;
        self.charts().write(facility, |writing| {
            let known = judge::known(writing, &row)?.ok_or(ChartError::Unknown("match"))?;
            judge::put(writing, Some(&known), Match { by: None, at: writing.now(), ..known.clone() })
        })?;
        self.charts().note_study(&row.key);
        Ok(())
    }
}
