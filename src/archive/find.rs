//! Answers "what is there?" for a caller, without opening a single stored object.

use crate::error::{FindError, RetrieveError};
use crate::open::Archive;
use crate::retrieve::{is_shown, preferred};
use index::{Cursor, StudyKey, StudyRow, plan};
use model::attribute::{ATTRIBUTES, key};
use model::query::Query;
use model::{AttrKey, Attributes, Caller, FacilityCode, Level, Scope, Uid};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Rows asked of the index at first beyond what the answer needs: the one that tells that there are more.
const BEYOND: usize = 1;
/// The same where rows were left out that another facility answers.
const SLACK: usize = 16;
/// Index pages examined for one answer: a bound on the work of a question that filters nearly everything.
const PAGES_MAX: usize = 1_000;
/// What is counted again for somebody who also sees what was rejected for quality.
const COUNTED: [AttrKey; 5] = [
    key::SOP_CLASSES_IN_STUDY,
    key::NUMBER_OF_STUDY_RELATED_SERIES,
    key::NUMBER_OF_STUDY_RELATED_INSTANCES,
    key::MODALITIES_IN_STUDY,
    key::NUMBER_OF_SERIES_RELATED_INSTANCES,
];

/// One page of an answer.
#[derive(Debug, Clone)]
pub struct Found {
    /// The rows, newest study first.
    pub rows: Vec<FoundRow>,
    /// Whether there are more.
    pub more: bool,
    /// What the asker should know, for a Warning header; no patient data.
    pub notes: Vec<String>,
}

/// One match.
#[derive(Debug, Clone)]
pub struct FoundRow {
    /// The facility it belongs to.
    pub facility: FacilityCode,
    /// Its level.
    pub level: Level,
    /// Study Instance UID.
    pub study: Uid,
    /// Series Instance UID, at series and instance level.
    pub series: Option<Uid>,
    /// SOP Instance UID, at instance level.
    pub instance: Option<Uid>,
    /// Every kept and derived attribute of this level and the levels above.
    pub attributes: Attributes,
}

/// What is under a Study Instance UID in a facility.
#[derive(Debug, Clone, Default)]
pub struct Under {
    /// The studies that the caller is shown; none where there are more than may be read.
    pub rows: Vec<FoundRow>,
    /// How many studies with images there are, hidden ones too, without those whose every series was moved away; one more
    /// than may be read where there are more.
    pub studies: usize,
}

/// Which facility answers for each Study Instance UID met: a cache.
pub(crate) type Chosen = HashMap<Uid, Option<FacilityCode>>;
/// What was counted last of a study with images rejected for quality: the next row mostly is of the same one.
pub(crate) type Counted = Option<(StudyKey, Attributes)>;

/// The facilities whose rows may be in an answer; none means every one.
pub(crate) fn visible(caller: &Caller, scope: Scope) -> Option<Vec<FacilityCode>> {
    match scope {
        Scope::Facility(facility) if caller.may_see(facility) => Some(vec![facility]),
        Scope::Facility(_) => Some(Vec::new()),
        Scope::Shared => caller.facilities.as_ref().map(|set| set.iter().copied().collect()),
    }
}

impl Archive {
    /// Finds studies, series or instances.
    ///
    /// `offset` rows are skipped, at most `limit` are returned. On the shared root a study that several
    /// facilities hold is answered once, as [`Archive::select`] would retrieve it.
    ///
    /// # Errors
    /// [`FindError::BadQuery`] for conditions the index cannot understand.
    pub fn find(
        &self,
        caller: &Caller,
        scope: Scope,
        query: &Query,
        offset: u64,
        limit: usize,
    ) -> Result<Found, FindError> {
        let mut found = Found { rows: Vec::new(), more: false, notes: Vec::new() };
        let facilities = visible(caller, scope);
        if facilities.as_ref().is_some_and(Vec::is_empty) {
            return Ok(found);
        }
        let plan = plan(query, facilities.as_deref()).with_unfit(caller.sees_rejected);
        let mut chosen = Chosen::new();
        let mut counted = Counted::default();
        let (mut skip, mut cursor) = (offset, None::<Cursor>);
        for round in 0..PAGES_MAX {
            let slack = if round == 0 { BEYOND } else { SLACK };
            let want =
                limit.saturating_sub(found.rows.len()).saturating_add(usize::try_from(skip).unwrap_or(usize::MAX));
            let page = self.index().find(&plan, cursor.as_ref(), want.saturating_add(slack).min(1_000))?;
            for row in page.rows {
                if !self.answers(caller, scope, &row, &mut chosen)? {
                    continue;
                }
                if skip > 0 {
                    skip -= 1;
                } else if found.rows.len() >= limit {
                    found.more = true;
                    return Ok(found);
                } else {
                    found.rows.push(self.complete(caller, query.level, &row, None, &mut counted)?);
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(found);
            }
        }
        found.more = true;
        found.notes.push("the search stopped at its limit of examined rows; narrow the question".into());
        Ok(found)
    }

    /// The studies under a UID in a facility, at most so many, with the attributes that are wanted. What it costs does not
    /// grow with the patients who have images there.
    ///
    /// # Errors
    /// [`FindError::Unavailable`] when the index does not answer.
    pub fn under(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        study: &Uid,
        most: usize,
        wanted: &[AttrKey],
    ) -> Result<Under, FindError> {
        let mut under = Under::default();
        if !caller.may_see(facility) {
            return Ok(under);
        }
        let rows = self.index().some_studies(facility, study, most.saturating_add(1))?;
        if rows.len() > most {
            under.studies = rows.len();
            return Ok(under);
        }
        under.studies = rows.iter().filter(|row| row.instances > 0).count();
        let mut counted = Counted::default();
        for row in rows.into_iter().filter(|row| is_shown(caller, row)) {
            let found = index::Found { study: Arc::new(row), series: None, instance: None };
            under.rows.push(self.complete(caller, Level::Study, &found, Some(wanted), &mut counted)?);
        }
        Ok(under)
    }

    /// Whether this row is the copy that answers on this root.
    pub(crate) fn answers(
        &self,
        caller: &Caller,
        scope: Scope,
        row: &index::Found,
        chosen: &mut Chosen,
    ) -> Result<bool, FindError> {
        let key = &row.study.key;
        if scope != Scope::Shared {
            return Ok(true);
        }
        if let Some(chosen) = chosen.get(&key.study) {
            return Ok(*chosen == Some(key.facility));
        }
        // Mostly it is the only one, whose row is at hand.
        let answering = if self.index().is_alone(&row.study)? {
            is_shown(caller, &row.study).then_some(key.facility)
        } else {
            let mut rows = self.index().studies(&key.study)?;
            rows.retain(|study| is_shown(caller, study));
            preferred(caller, &rows)
        };
        chosen.insert(key.study.clone(), answering);
        Ok(answering == Some(key.facility))
    }

    /// The match with every attribute of its level and the levels above, or those of them that are `wanted`. Where the
    /// bytes lie costs a look at every pack, and what was rejected is counted from every series, so both only on demand.
    pub(crate) fn complete(
        &self,
        caller: &Caller,
        level: Level,
        row: &index::Found,
        wanted: Option<&[AttrKey]>,
        counted: &mut Counted,
    ) -> Result<FoundRow, FindError> {
        let is_wanted = |key: AttrKey| wanted.is_none_or(|wanted| wanted.contains(&key));
        let given = ATTRIBUTES.iter().filter(|attribute| attribute.level <= level && is_wanted(attribute.key));
        let attributes = given.filter_map(|attribute| Some((attribute.key, row.value(attribute.key)?.into_owned())));
        let mut attributes: Attributes = attributes.collect();
        let unknown = |error: RetrieveError| FindError::Unavailable { what: error.to_string() };
        if caller.sees_rejected && row.study.unfit > 0 && COUNTED.into_iter().any(is_wanted) {
            self.count_unfit(row, &mut attributes, counted).map_err(unknown)?;
            attributes.retain(|key, _| is_wanted(*key));
        }
        if is_wanted(key::INSTANCE_AVAILABILITY) {
            let nearness = self.nearness(&row.study, row.series.as_ref().map(|series| &series.key));
            attributes.insert(key::INSTANCE_AVAILABILITY, nearness.map_err(unknown)?.term().to_owned());
        }
        Ok(FoundRow {
            facility: row.study.key.facility,
            level,
            study: row.study.key.study.clone(),
            series: row.series.as_ref().map(|series| series.key.series.clone()),
            instance: row.instance.as_ref().map(|instance| instance.sop_instance.clone()),
            attributes,
        })
    }

    /// Counts again for somebody who also sees what was rejected for quality.
    fn count_unfit(
        &self,
        row: &index::Found,
        attributes: &mut Attributes,
        counted: &mut Counted,
    ) -> Result<(), RetrieveError> {
        let of_study = match counted.take() {
            Some((key, of_study)) if key == row.study.key => of_study,
            _ => self.unfit_study(&row.study)?,
        };
        attributes.extend(of_study.iter().map(|(key, text)| (*key, text.clone())));
        *counted = Some((row.study.key.clone(), of_study));
        if let Some(series) = &row.series {
            attributes.insert(key::NUMBER_OF_SERIES_RELATED_INSTANCES, series.served_to(true).to_string());
        }
        Ok(())
    }

    /// What is counted of a study, for somebody who also sees what was rejected for quality.
    fn unfit_study(&self, study: &StudyRow) -> Result<Attributes, RetrieveError> {
        let series = self.series_of(study)?;
        let shown = series.iter().filter(|series| series.served_to(true) > 0);
        let modality = |series: &index::SeriesRow| series.value(key::MODALITY).unwrap_or_default().into_owned();
        let modalities: BTreeSet<String> = shown.clone().map(modality).filter(|text| !text.is_empty()).collect();
        let mut classes = study.sop_classes.clone();
        for unfit in shown.clone().filter(|series| series.unfit > 0) {
            let instances = self.instances_of(&unfit.key)?;
            classes.extend(instances.into_iter().filter(|row| row.is_shown(true)).map(|row| row.sop_class));
        }
        let classes: Vec<&str> = classes.iter().map(Uid::as_str).collect();
        Ok(Attributes::from([
            (key::SOP_CLASSES_IN_STUDY, classes.join("\\")),
            (key::NUMBER_OF_STUDY_RELATED_SERIES, shown.count().to_string()),
            (key::NUMBER_OF_STUDY_RELATED_INSTANCES, study.served_to(true).to_string()),
            (key::MODALITIES_IN_STUDY, modalities.into_iter().collect::<Vec<_>>().join("\\")),
        ]))
    }
}
