//! Answering a plan page by page: candidates from keys, checked on rows.

use super::lists::{CopyEntry, Listed, PatientEntry, SeriesEntry};
use super::read::{Reader, second};
use super::streams::{Candidate, candidates};
use super::tables::{Table, UidKind, pair, uid_key, uid_prefix};
use crate::plan::Plan;
use crate::position::Position;
use crate::row::{SeriesRow, StudyRow};
use crate::{Cursor, Driver, Found, IndexError, Page, encode};
use model::{FacilityCode, Level, Uid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What one page may cost, in keys looked at.
const BUDGET: u64 = 160_000;
/// What reading a row costs, in keys.
const ROW_COST: u64 = 16;

/// Answers one page.
pub(super) fn find(
    reader: &Reader<'_>,
    plan: &Plan,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Page<Found>, IndexError> {
    let mut answer = Answer { reader, plan, after, limit: limit.max(1), rows: Vec::new(), last: None, spent: 0 };
    match &plan.driver {
        Driver::Studies(_) | Driver::Series(_) | Driver::Instances(_) => {
            for (position, (row, within)) in targets(reader, plan)? {
                if after.is_none_or(|after| position >= after.position) {
                    answer.study(position, &Arc::new(row), &within)?;
                }
                if answer.is_full() {
                    break;
                }
            }
        }
        _ => {
            let mut candidates = candidates(reader, plan, after.map(|after| after.position))?;
            while !answer.is_full()
                && let Some(candidate) = candidates.next(plan)?
            {
                answer.candidate(candidate)?;
            }
        }
    }
    let cursor = if answer.is_full() { answer.last } else { None };
    Ok(Page { rows: answer.rows, cursor })
}

/// Which series and instances of a study can be in the answer.
#[derive(Debug, Default)]
struct Within {
    series: Option<BTreeSet<u64>>,
    instances: Option<BTreeSet<(u64, u64)>>,
}

/// One page in the making.
struct Answer<'a> {
    reader: &'a Reader<'a>,
    plan: &'a Plan,
    after: Option<&'a Cursor>,
    limit: usize,
    rows: Vec<Found>,
    /// The last row or candidate that was examined.
    last: Option<Cursor>,
    spent: u64,
}

impl Answer<'_> {
    fn is_full(&self) -> bool {
        self.rows.len() >= self.limit || self.spent >= BUDGET
    }

    fn is_before(&self, cursor: Cursor) -> bool {
        self.after.is_some_and(|after| cursor <= *after)
    }

    fn examined(&mut self, cursor: Cursor, cost: u64) {
        self.last = Some(cursor);
        self.spent += cost;
    }

    fn push(&mut self, cursor: Cursor, found: Found) {
        self.last = Some(cursor);
        self.rows.push(found);
    }

    fn candidate(&mut self, candidate: Candidate) -> Result<(), IndexError> {
        let whole = Cursor::after_study(candidate.position);
        if self.is_before(whole) {
            return Ok(());
        }
        if candidate.refused {
            self.examined(whole, 1);
            return Ok(());
        }
        match self.reader.study(candidate.position.study)? {
            Some(row) => self.study(candidate.position, &Arc::new(row), &Within::default()),
            None => Err(IndexError::Damaged { table: Table::Studies.name(), what: "a key names no study" }),
        }
    }

    fn study(&mut self, position: Position, row: &Arc<StudyRow>, within: &Within) -> Result<(), IndexError> {
        let whole = Cursor::after_study(position);
        if self.is_before(whole) {
            return Ok(());
        }
        self.spent += ROW_COST;
        let accepted = self.plan.accepts_study(row);
        if accepted && self.plan.depth() == Level::Study {
            self.push(whole, Found { study: row.clone(), series: None, instance: None });
        } else if accepted && !self.all_series(position, row, within)? {
            // The budget ended inside the study: the cursor stands there.
            return Ok(());
        }
        self.examined(whole, 0);
        Ok(())
    }

    /// Examines the series of a study; false when the page ended before the last.
    fn all_series(&mut self, position: Position, study: &Arc<StudyRow>, within: &Within) -> Result<bool, IndexError> {
        let ordinal = position.study;
        let inside = self.after.filter(|after| after.position == position);
        let from = inside.map_or(0, |after| after.series);
        let end = ordinal.checked_add(1).map(|next| next.to_be_bytes().to_vec());
        let mut run = self.reader.run(Table::Series, &pair(ordinal, from), end)?;
        while let Some((key, value)) = run.here()? {
            let series = second(Table::Series, key)?;
            if within.series.as_ref().is_none_or(|wanted| wanted.contains(&series)) {
                let row = Arc::new(encode::series(&study.key, value)?);
                let found = self.one_series(position, study, series, &row, within)?;
                if found && self.plan.level == Level::Study {
                    self.push(
                        Cursor::after_study(position),
                        Found { study: study.clone(), series: None, instance: None },
                    );
                    return Ok(true);
                }
                if self.is_full() {
                    return Ok(false);
                }
            }
            run.step();
        }
        Ok(true)
    }

    /// Examines one series; whether something in it satisfies the plan.
    fn one_series(
        &mut self,
        position: Position,
        study: &Arc<StudyRow>,
        ordinal: u64,
        row: &Arc<SeriesRow>,
        within: &Within,
    ) -> Result<bool, IndexError> {
        let whole = Cursor::after_series(position, ordinal);
        if self.is_before(whole) {
            return Ok(false);
        }
        self.spent += ROW_COST;
        let mut found = self.plan.accepts_series(row);
        if found && self.plan.depth() == Level::Instance {
            found = self.all_instances(position, study, ordinal, row, within)?;
            if self.is_full() && !(found && self.plan.level < Level::Instance) {
                return Ok(found);
            }
        }
        self.examined(whole, 0);
        if found && self.plan.level == Level::Series {
            self.push(whole, Found { study: study.clone(), series: Some(row.clone()), instance: None });
        }
        Ok(found)
    }

    /// Examines the instances of a series, at the levels above only up to the first that satisfies the plan.
    fn all_instances(
        &mut self,
        position: Position,
        study: &Arc<StudyRow>,
        ordinal: u64,
        series: &Arc<SeriesRow>,
        within: &Within,
    ) -> Result<bool, IndexError> {
        let inside = self.after.filter(|after| after.position == position && after.series == ordinal);
        let from = inside.map_or(0, |after| after.instance.saturating_add(1));
        let mut any = false;
        let mut wanted = within.instances.as_ref().map(|list| list.range((ordinal, from)..=(ordinal, u64::MAX)));
        let mut walk = self.reader.in_series(&series.key, ordinal, from)?;
        while !self.is_full() {
            if let Some(wanted) = &mut wanted {
                let Some((_, seq)) = wanted.next() else { break };
                walk.seek(*seq)?;
            }
            let Some(row) = walk.row()? else { break };
            let accepted = self.plan.accepts_instance(&row);
            let cursor = Cursor { position, series: ordinal, instance: row.seq };
            self.examined(cursor, ROW_COST);
            any |= accepted;
            if accepted && self.plan.level < Level::Instance {
                break;
            }
            if accepted {
                let (study, series) = (study.clone(), Some(series.clone()));
                self.push(cursor, Found { study, series, instance: Some(Arc::new(row)) });
            }
        }
        Ok(any)
    }
}

/// Studies named by UIDs, with what may be in the answer of each, in the order of answers.
fn targets(reader: &Reader<'_>, plan: &Plan) -> Result<BTreeMap<Position, (StudyRow, Within)>, IndexError> {
    let mut studies: BTreeMap<u64, Within> = BTreeMap::new();
    match &plan.driver {
        Driver::Studies(uids) => {
            for entry in seen::<PatientEntry>(reader, plan, UidKind::Study, uids)? {
                studies.entry(entry.study).or_default();
            }
        }
        Driver::Series(uids) => {
            for entry in seen::<SeriesEntry>(reader, plan, UidKind::Series, uids)? {
                let within = studies.entry(entry.study).or_default();
                within.series.get_or_insert_default().insert(entry.series);
            }
        }
        Driver::Instances(uids) => {
            for entry in seen::<CopyEntry>(reader, plan, UidKind::Instance, uids)? {
                let within = studies.entry(entry.study).or_default();
                within.series.get_or_insert_default().insert(entry.series);
                within.instances.get_or_insert_default().insert((entry.series, entry.seq));
            }
        }
        _ => {}
    }
    // Copies in conflict have no study.
    studies.remove(&0);
    let mut targets = BTreeMap::new();
    for (ordinal, within) in studies {
        if let Some(row) = reader.study(ordinal)? {
            targets.insert(Position::of(&row), (row, within));
        }
    }
    Ok(targets)
}

/// Every entry under the UIDs in the facilities of the plan.
fn seen<T: Listed>(reader: &Reader<'_>, plan: &Plan, kind: UidKind, uids: &[Uid]) -> Result<Vec<T>, IndexError> {
    let mut all = Vec::new();
    for uid in uids {
        all.extend(under_uid::<T>(reader, kind, uid, |facility| plan.sees(facility))?);
    }
    Ok(all)
}

/// Every entry under a UID, of all facilities that are wanted.
pub(super) fn under_uid<T: Listed>(
    reader: &Reader<'_>,
    kind: UidKind,
    uid: &Uid,
    wanted: impl Fn(FacilityCode) -> bool,
) -> Result<Vec<T>, IndexError> {
    let prefix = uid_prefix(kind, uid);
    let mut run = reader.prefix(Table::Uids, &prefix)?;
    let mut all = Vec::new();
    while let Some((key, value)) = run.here()? {
        // What stands beside a list goes on behind the facility.
        let code = key.get(prefix.len()..).and_then(|rest| rest.first_chunk::<5>());
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        let facility = code.and_then(|code| FacilityCode::parse(code).ok());
        if facility.is_some_and(&wanted) {
            all.extend(T::decode(value)?);
        }
        run.step();
    }
    Ok(all)
}

/// So many of the studies under a UID in a facility; no entry is read beyond them.
pub(super) fn some_studies(
    reader: &Reader<'_>,
    facility: FacilityCode,
    study: &Uid,
    limit: usize,
) -> Result<Vec<StudyRow>, IndexError> {
    let mut run = reader.prefix(Table::Uids, &uid_key(UidKind::Study, study, facility))?;
    let mut rows: Vec<StudyRow> = Vec::new();
    while let Some((_, value)) = run.here()? {
        for entry in PatientEntry::decode(value)? {
            if rows.len() >= limit {
                break;
            }
            // Copies in conflict have no study.
            if entry.study != 0 {
                rows.extend(reader.study(entry.study)?);
            }
        }
        if rows.len() >= limit {
            break;
        }
        run.step();
    }
    rows.sort_by_key(|row| row.first_seq);
    Ok(rows)
}
