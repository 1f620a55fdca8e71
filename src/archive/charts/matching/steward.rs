//! What people see of studies and orders without each other, and what they decide; every decision can be taken back.

use super::judge::{self, conclude, side_of_order, side_of_study, unmatched};
use super::{query_of, value};
use crate::charts::{ChartError, Charts, orders};
use crate::open::Archive;
use index::charts::{ChartCursor, ChartPage, ChartQuery};
use model::chart::matched::{Act, Decision};
use model::chart::{ChartBody, ChartKey, ChartKind, Match, Term, Verdict, term};
use model::{Caller, FacilityCode, Uid};

/// A list that a steward works through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToDecide {
    /// Studies that contradict their order: quarantined.
    Mismatch,
    /// Studies without an order.
    Unmatched,
    /// Studies that have one.
    Matched,
    /// Studies of which a person decided.
    Decided,
    /// Orders of which no image came, though they were to begin by now.
    Orders,
}

impl ToDecide {
    /// Every list.
    pub const ALL: [Self; 5] = [Self::Mismatch, Self::Unmatched, Self::Matched, Self::Decided, Self::Orders];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mismatch => "mismatch",
            Self::Unmatched => "unmatched",
            Self::Matched => "matched",
            Self::Decided => "decided",
            Self::Orders => "orders",
        }
    }
}

impl Charts {
    /// A page of a steward's list, of one facility or of all that the caller may see; the newest first.
    ///
    /// # Errors
    /// As [`Charts::find`].
    pub fn to_decide(
        &self,
        caller: &Caller,
        list: ToDecide,
        facility: Option<FacilityCode>,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        let (kind, state, moments) = match list {
            ToDecide::Mismatch => (ChartKind::Match, Verdict::Mismatch.name(), None),
            ToDecide::Unmatched => (ChartKind::Match, Verdict::Unmatched.name(), None),
            ToDecide::Matched => (ChartKind::Match, Verdict::Matched.name(), None),
            ToDecide::Decided => (ChartKind::Match, term::DECIDED, None),
            ToDecide::Orders => (ChartKind::Order, term::WITHOUT_IMAGES, Some((0, self.now_ms()))),
        };
        let query = query_of(kind, facility, Term::State, state);
        self.find(caller, &ChartQuery { moments, ..query }, after, limit)
    }

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

    /// The number of the patient whose images a person said a study holds, whatever number these say: that of the order it
    /// was matched with. It holds while they say the same number as then; corrected to another one since, they are whose
    /// they say. None where nobody said so.
    ///
    /// # Errors
    /// When charts cannot be read.
    pub fn assigned(&self, facility: FacilityCode, study: &Uid, said: &str) -> Result<Option<String>, ChartError> {
        let body = |kind, id: &str| match ChartKey::new(kind, facility, id) {
            Ok(key) => Ok(self.newest(&key)?.map(|row| row.body.clone())),
            Err(_) => Ok::<_, ChartError>(None),
        };
        let Some(ChartBody::Match(one)) = body(ChartKind::Match, study.as_str())? else { return Ok(None) };
        let newest = one.acts.last().filter(|act| act.act == Decision::Match && one.by.is_some());
        let said = value(Some(said));
        if one.verdict != Verdict::Matched || newest.and_then(|act| act.number.as_ref()) != Some(&said) {
            return Ok(None);
        }
        Ok(match body(ChartKind::Order, &one.placer)? {
            Some(ChartBody::Order(order)) => Some(order.mrn),
            _ => None,
        })
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
            let acts = judge::decided(writing, &row, known.as_ref(), Decision::Match, &by)?;
            let one = Match {
                acts,
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
            let acts = judge::decided(writing, &row, Some(&known), Decision::Unmatch, &by)?;
            let one = Match { of_study, acts, by: Some(by), ..unmatched(&row, writing.now()) };
            conclude(writing, &row, Some(known), one)
        })
    }

    /// A person leaves a study to the archive, which looks for its order again.
    ///
    /// # Errors
    /// As [`Archive::unmatch_study`].
    pub fn leave_match(&self, facility: FacilityCode, study: &Uid, by: &str) -> Result<(), ChartError> {
        let (row, by) = (self.study_of(facility, study)?, person(by)?);
        self.charts().write(facility, |writing| {
            let known = judge::known(writing, &row)?.ok_or(ChartError::Unknown("match"))?;
            let acts = judge::decided(writing, &row, Some(&known), Decision::Leave, &by)?;
            judge::put(writing, Some(&known), Match { by: None, acts, at: writing.now(), ..known.clone() })
        })?;
        self.charts().note_study(&row.key);
        Ok(())
    }

    /// Takes the newest decision of a study back: study and orders are what they were before it, as far as nothing else
    /// has happened to them. Gives the decision that was taken back.
    ///
    /// # Errors
    /// As [`Archive::unmatch_study`]; [`ChartError::Conflict`] where nobody decided anything that still holds.
    pub fn undo_match(&self, facility: FacilityCode, study: &Uid, by: &str) -> Result<Act, ChartError> {
        let (row, by) = (self.study_of(facility, study)?, person(by)?);
        let act = self.charts().write(facility, |writing| {
            let known = judge::known(writing, &row)?.ok_or(ChartError::Unknown("match"))?;
            let mut acts = known.acts.clone();
            let none = || ChartError::Conflict("nobody decided anything of this study that could be taken back".into());
            let act = acts.pop().ok_or_else(none)?;
            judge::restore(writing, &row, &known, acts, act.former.clone())?;
            Ok(act)
        })?;
        tracing::info!(%facility, %study, by, of = act.by, "a decision of a study and its order was taken back");
        if act.former.as_ref().is_none_or(|former| former.by.is_none()) {
            // What came since may have told the archive more.
            self.charts().note_study(&row.key);
        }
        Ok(act)
    }
}
