//! Moving series of a study to another study, splitting them off into a new one, merging two studies, and taking it back.
//!
//! A move is a fact about series; stored bytes never change, and what goes out says where they stand ([`crate::correct`]).
//! A series goes with the study it was received in, once the one it stands in may go, too ([`super::taking`]), so a move
//! never shortens the time anything is kept.
//! Deliberately not here: who may move.

use super::candidate::patients;
use super::{RetainError, invalid};
use crate::open::Archive;
use index::{Cursor, IndexError, SeriesKey, SeriesRow, StudyKey, StudyRow, Whose};
use model::attribute::key;
use model::correction::{CORRECTABLE, Correction, Why};
use model::retention::moved::{Made, MoveReason, Moved, Standing, standing};
use model::retention::{Person, RetentionFact, StudyRef};
use model::{Attributes, Uid};
use std::collections::{BTreeMap, BTreeSet};

/// Most series moved at once.
pub const MOVED_MAX: usize = 1_000;

/// Where series are moved to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveTo {
    /// A study of the same facility.
    Study(StudyRef),
    /// A study of its own, under this Study Instance UID or a new one.
    New(Option<Uid>),
    /// Each to the study it was received in.
    Home,
}

/// What is to be moved.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Moving {
    /// The study the series stand in.
    pub study: StudyRef,
    /// Series Instance UIDs; none: all of them, or with [`MoveTo::Home`] all that were received elsewhere.
    pub series: Vec<Uid>,
    /// Where to.
    pub to: MoveTo,
    /// Why.
    pub why: MoveReason,
    /// Who.
    pub by: Person,
}

/// How a series moves, for people and programs. No patient data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SeriesMove {
    /// Series Instance UID.
    pub series: Uid,
    /// The study it was received in.
    pub study: StudyRef,
    /// The study it stands in before.
    pub from: StudyRef,
    /// The study it stands in after.
    pub to: StudyRef,
    /// Instances of it.
    pub instances: u64,
}

/// The moves of a study, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Moves {
    /// Every move into and out of it, the oldest first.
    pub moves: Vec<Moved>,
    /// Series that stand elsewhere than they were received, in it or out of it.
    pub standing: Vec<Standing>,
}

impl Archive {
    /// What a move would change; nothing is recorded. The UID of a new study is another one when it is done, unless it is
    /// named.
    ///
    /// # Errors
    /// When something of it is not there, or must not move.
    pub fn would_move(&self, wanted: &Moving) -> Result<Vec<SeriesMove>, RetainError> {
        self.moving(wanted).map(|(_, moves)| moves)
    }

    /// Moves series: from now on they are found, retrieved and kept with the study they stand in, and every object of
    /// them goes out with what that study says. Late instances follow their series. Tells what moved.
    ///
    /// # Errors
    /// As [`Archive::would_move`].
    pub fn move_series(&self, wanted: &Moving) -> Result<Vec<SeriesMove>, RetainError> {
        let _turn = self.retention().change.lock();
        let (source, moves) = self.moving(wanted)?;
        if let (MoveTo::New(_), Some(first)) = (&wanted.to, moves.first()) {
            self.make_study(&source, &first.to, wanted)?;
        }
        let mut groups: BTreeMap<(StudyRef, StudyRef), Vec<Uid>> = BTreeMap::new();
        for one in &moves {
            groups.entry((one.study.clone(), one.to.clone())).or_default().push(one.series.clone());
        }
        // Whoever was told of these studies hears of it from the facts.
        for ((study, to), series) in groups {
            self.moved(Moved { study, series, to, ..self.fact_of(wanted) })?;
        }
        metrics::counter!("khoanh_moved_series_total").increment(u64::try_from(moves.len()).unwrap_or(0));
        Ok(moves)
    }

    fn fact_of(&self, wanted: &Moving) -> Moved {
        let (study, from, to) = (wanted.study.clone(), wanted.study.clone(), wanted.study.clone());
        let (why, by, at) = (wanted.why, wanted.by.clone(), self.now_ms());
        Moved { study, series: Vec::new(), from, to, made: None, why, by, at }
    }

    fn moved(&self, moved: Moved) -> Result<(), RetainError> {
        self.retain(RetentionFact::SeriesMoved(Box::new(moved)))
    }

    /// The study that series are moved from, and how each of them moves.
    fn moving(&self, wanted: &Moving) -> Result<(StudyRow, Vec<SeriesMove>), RetainError> {
        let source = self.may_move(&wanted.study)?;
        let homes = self.homes_in(&wanted.study)?;
        let there = self.series_of(&source)?;
        let chosen = chosen(wanted, &there, &homes)?;
        let to = match &wanted.to {
            MoveTo::Home => None,
            MoveTo::Study(to) if to.facility != wanted.study.facility => {
                return Err(invalid("both studies must be of one facility"));
            }
            MoveTo::Study(to) if *to == wanted.study => return Err(invalid("that is the study they stand in")),
            MoveTo::Study(to) => self.may_move(to).map(|_| Some(to.clone()))?,
            MoveTo::New(_) if chosen.len() == there.len() => {
                return Err(invalid("nothing would be left of the study; correct or move it as a whole"));
            }
            MoveTo::New(uid) => Some(self.new_study(&wanted.study, uid.as_ref())?),
        };
        let mut moves = Vec::with_capacity(chosen.len());
        for row in chosen {
            let home = homes.get(&row.key.series).unwrap_or(&wanted.study).clone();
            let to = to.clone().unwrap_or_else(|| home.clone());
            self.may_stand(&row, &home, &to)?;
            let (series, from) = (row.key.series.clone(), wanted.study.clone());
            moves.push(SeriesMove { series, study: home, from, to, instances: row.instances });
        }
        Ok((source, moves))
    }

    /// The study, when nothing forbids that series go into it or out of it.
    fn may_move(&self, study: &StudyRef) -> Result<StudyRow, RetainError> {
        let row = self.study_named(study)?;
        if row.hidden_by.is_some() {
            return Err(invalid(format!("study {study} is hidden by a retention plan; restore it first")));
        }
        let holds = self.retention().state.read().holds.held_by(study, &patients(&row));
        if let Some(hold) = holds.first() {
            return Err(invalid(format!("a legal hold stands on study {study} ({}); release it first", hold.as_str())));
        }
        Ok(row)
    }

    /// Where the series that stand in a study and were received elsewhere were received.
    fn homes_in(&self, study: &StudyRef) -> Result<BTreeMap<Uid, StudyRef>, RetainError> {
        let here = self.moves_of(study)?.standing.into_iter().filter(|one| one.to == *study);
        Ok(here.map(|one| (one.series, one.study)).collect())
    }

    /// Whether a series may stand in a study; it is asked under the series' present name.
    fn may_stand(&self, row: &SeriesRow, home: &StudyRef, to: &StudyRef) -> Result<(), RetainError> {
        let series = &row.key.series;
        let rejected = self.rejected_of(&StudyRef::from(&row.key.study))?;
        if row.rejected > 0 || rejected.iter().any(|judged| judged.series == *series) {
            return Err(invalid(format!("something of series {series} is rejected; restore it first")));
        }
        if home == to {
            return self.may_move(to).map(drop);
        }
        let taken = || invalid(format!("study {to} has a series {series} of its own"));
        let there = SeriesKey { study: StudyKey::from(to), series: series.clone() };
        let known = self.index().identity(to.facility, &to.study, series, series, Whose::default())?;
        if self.index().series(&there)?.is_some() || known.studies.iter().any(|known| known.study == to.study) {
            return Err(taken());
        }
        Ok(())
    }

    /// The name of a study of which nothing is here.
    fn new_study(&self, beside: &StudyRef, uid: Option<&Uid>) -> Result<StudyRef, RetainError> {
        let study = match uid {
            Some(uid) => uid.clone(),
            None => {
                let number = u128::from_be_bytes(*store::draw_pack_id(self.now_ms())?.as_bytes());
                Uid::parse(&format!("2.25.{number}")).map_err(|error| invalid(error.to_string()))?
            }
        };
        let to = StudyRef { facility: beside.facility, study, patient: 0 };
        let known = self.index().studies(&to.study)?.into_iter().any(|row| row.key.facility == to.facility);
        if known {
            return Err(invalid(format!("there is a study {to} already; move the series there")));
        }
        Ok(to)
    }

    /// Makes a study that says of patient and order what another one says.
    fn make_study(&self, source: &StudyRow, to: &StudyRef, wanted: &Moving) -> Result<(), RetainError> {
        let value = |key| source.attributes.get(&key).cloned().unwrap_or_default();
        let (date, time) = (value(key::STUDY_DATE), value(key::STUDY_TIME));
        let made = Some(Made { seq: self.free_ordinal(source)?, date, time });
        self.moved(Moved { to: to.clone(), made, ..self.fact_of(wanted) })?;
        let given = CORRECTABLE.into_iter().filter(|key| source.attributes.contains_key(key));
        let values: Attributes = given.map(|key| (key, value(key))).collect();
        if values.is_empty() {
            return Ok(());
        }
        let (study, why, by, at) = (to.clone(), Why::Coerce, wanted.by.clone(), self.now_ms());
        let reason = format!("split from {}", wanted.study);
        let correction = Correction { study, values, why, by, reason, at, seal: None };
        self.retain(RetentionFact::StudyCorrected(Box::new(correction)))
    }

    /// The `seq` of an instance of a study that no study begins with.
    fn free_ordinal(&self, study: &StudyRow) -> Result<u64, RetainError> {
        for series in self.series_of(study)? {
            for instance in self.instances_of(&series.key)? {
                let before = Cursor::arrival(instance.seq.saturating_sub(1));
                let next = self.index().arrivals(Some(&before), 1)?.rows;
                if next.first().is_none_or(|row| row.first_seq != instance.seq) {
                    return Ok(instance.seq);
                }
            }
        }
        Err(invalid("the study was split too often; move its series into a study that is there"))
    }

    /// Where a series stands now that a fact names in a study; none when it was never moved into it or out of it.
    ///
    /// # Errors
    /// When the index does not answer.
    pub(crate) fn stands_now(&self, named: &SeriesKey) -> Result<Option<StudyRef>, IndexError> {
        let (study, series) = (StudyRef::from(&named.study), &named.series);
        let facts = self.index().retention_of(&named.study)?;
        let newest = facts.iter().rev().find_map(|(_, fact)| match fact {
            RetentionFact::SeriesMoved(moved) if moved.series.contains(series) => Some(moved),
            _ => None,
        });
        let Some(moved) = newest else { return Ok(None) };
        // The study that it was received in knows of every move.
        let home = &moved.study;
        let all = if *home == study { facts.clone() } else { self.index().retention_of(&StudyKey::from(home))? };
        let mut standing = standing(home, all.iter().map(|(_, fact)| fact)).into_iter();
        let found = standing.find(|one| one.study == *home && one.series == *series);
        Ok(Some(found.map_or_else(|| home.clone(), |one| one.to)))
    }

    /// The series that a fact names, wherever it stands now.
    ///
    /// # Errors
    /// When the index does not answer.
    pub(crate) fn series_now(&self, named: &SeriesKey) -> Result<Option<SeriesRow>, IndexError> {
        let found = self.index().series(named)?;
        if found.is_some() {
            return Ok(found);
        }
        let Some(study) = self.stands_now(named)? else { return Ok(None) };
        self.index().series(&SeriesKey { study: StudyKey::from(&study), series: named.series.clone() })
    }

    /// The series that left a study and stand in another one now, and in which.
    ///
    /// # Errors
    /// When the index does not answer.
    pub(crate) fn moved_out(&self, study: &StudyKey) -> Result<BTreeMap<Uid, StudyRef>, IndexError> {
        let here = StudyRef::from(study);
        let facts = self.index().retention_of(study)?;
        let left: BTreeSet<&Uid> = facts
            .iter()
            .filter_map(|(_, fact)| match fact {
                RetentionFact::SeriesMoved(moved) if moved.from == here => Some(&moved.series),
                _ => None,
            })
            .flatten()
            .collect();
        let mut out = BTreeMap::new();
        for series in left {
            let named = SeriesKey { study: study.clone(), series: series.clone() };
            let now = self.stands_now(&named)?.filter(|now| *now != here);
            out.extend(now.map(|now| (series.clone(), now)));
        }
        Ok(out)
    }

    /// Every move into and out of a study, and what stands elsewhere than it was received.
    ///
    /// # Errors
    /// When the index does not answer.
    pub fn moves_of(&self, study: &StudyRef) -> Result<Moves, RetainError> {
        let facts: Vec<RetentionFact> =
            self.index().retention_of(&StudyKey::from(study))?.into_iter().map(|(_, fact)| fact).collect();
        let standing = standing(study, &facts);
        let moves = facts.into_iter().filter_map(|fact| match fact {
            RetentionFact::SeriesMoved(moved) => Some(*moved),
            _ => None,
        });
        Ok(Moves { moves: moves.collect(), standing })
    }
}

/// The series that are meant.
fn chosen(
    wanted: &Moving,
    there: &[SeriesRow],
    homes: &BTreeMap<Uid, StudyRef>,
) -> Result<Vec<SeriesRow>, RetainError> {
    let named: BTreeSet<&Uid> = wanted.series.iter().collect();
    let may_go = |row: &&SeriesRow| wanted.to != MoveTo::Home || homes.contains_key(&row.key.series);
    let meant = |row: &&SeriesRow| (named.is_empty() || named.contains(&row.key.series)) && may_go(row);
    let rows: Vec<SeriesRow> = there.iter().filter(meant).cloned().collect();
    if rows.is_empty() || rows.len() < named.len() {
        return Err(invalid(match wanted.to {
            MoveTo::Home => "no such series was moved into that study; nothing was changed",
            _ => "not all of these series stand in that study; nothing was changed",
        }));
    }
    if rows.len() > MOVED_MAX {
        return Err(invalid(format!("at most {MOVED_MAX} series at once, these are {}", rows.len())));
    }
    Ok(rows)
}
