//! Walks by ordinal: all studies as they lie, and looks into one after the other.
//!
//! Whatever came in together lies together, so a walk over everything reads each block once. Looks keep one run over
//! each table and move it only when it must be: from one study to the next it mostly stands there already.
//! Deliberately not here: walks by a key, such as the date ([`super::streams`]).

use super::packs::{name, series_prefix};
use super::read::{Pair, Reader, Run, second};
use super::retention::{facts_of, last_number, study_prefix};
use super::tables::{Table, UidKind, unpair};
use crate::row::{StudyKey, StudyRow};
use crate::walk::{MODALITY, OF_SERIES};
use crate::{IndexError, Inside, Look, encode};
use model::retention::StudyVersion;

impl Reader<'_> {
    /// Studies in order of arrival, from an ordinal on. The blocks are not kept: nobody else asks for them soon.
    pub(super) fn arrivals(&self, from: u64, limit: usize) -> Result<Vec<StudyRow>, IndexError> {
        self.once(Table::Studies, &from.to_be_bytes())?.collect(limit, |_, value| encode::study(value))
    }
}

/// A run that is asked for one beginning of keys after the other. It is opened where it is first asked for: at the front
/// of a table may lie nothing but what was just removed, a key for each study that went.
struct Seeker<'a> {
    reader: &'a Reader<'a>,
    table: Table,
    before: Option<&'static [u8]>,
    run: Option<Run<'a>>,
    /// Between this key and the one the run stands on there is none.
    from: Vec<u8>,
}

impl<'a> Seeker<'a> {
    /// Over the keys of a table, all of them or those before one.
    fn new(reader: &'a Reader<'a>, table: Table, before: Option<&'static [u8]>) -> Self {
        Self { reader, table, before, run: None, from: Vec::new() }
    }

    /// Goes to the first key not before this one, unless it stands there.
    fn to(&mut self, key: &[u8]) -> Result<(), IndexError> {
        match &mut self.run {
            None => self.run = Some(self.reader.run(self.table, key, self.before.map(<[u8]>::to_vec))?),
            Some(run) => {
                let reaches = run.here()?.is_none_or(|(here, _)| key <= here);
                if reaches && self.from.as_slice() <= key {
                    return Ok(());
                }
                run.seek(key);
            }
        }
        self.from.clear();
        self.from.extend_from_slice(key);
        Ok(())
    }

    /// What it stands on, if that begins so.
    fn here(&self, prefix: &[u8]) -> Result<Option<Pair<'_>>, IndexError> {
        let pair = self.run.as_ref().map(Run::here).transpose()?.flatten();
        Ok(pair.filter(|(key, _)| key.starts_with(prefix)))
    }

    /// Goes on to the next key.
    fn step(&mut self) -> Result<(), IndexError> {
        let Some(run) = &mut self.run else { return Ok(()) };
        if let Some((key, _)) = run.here()? {
            self.from.clear();
            self.from.extend_from_slice(key);
            // The first key behind it.
            self.from.push(0);
        }
        run.step();
        Ok(())
    }
}

/// Looks into studies at one moment.
pub(super) struct Looks<'a> {
    reader: &'a Reader<'a>,
    conflicts: Seeker<'a>,
    facts: Seeker<'a>,
    series: Seeker<'a>,
    instances: Seeker<'a>,
    folds: Seeker<'a>,
    packs: Seeker<'a>,
}

impl<'a> Looks<'a> {
    pub(super) fn new(reader: &'a Reader<'a>) -> Self {
        Self {
            reader,
            // Behind these lie the keys of another kind.
            conflicts: Seeker::new(reader, Table::Uids, Some(b"D")),
            facts: Seeker::new(reader, Table::Retention, Some(b"T")),
            series: Seeker::new(reader, Table::Series, None),
            instances: Seeker::new(reader, Table::Instances, None),
            folds: Seeker::new(reader, Table::Folds, None),
            packs: Seeker::new(reader, Table::Packs, Some(b"T")),
        }
    }

    /// The row's own version with the copies in conflict; none of these counts when the study changed since the row
    /// was read, for then something else may have come in before it.
    fn version(&mut self, study: &StudyRow) -> Result<StudyVersion, IndexError> {
        let prefix = study_prefix(UidKind::Conflict, &study.key);
        let known = StudyVersion { through: study.last_seq, fact: study.version_fact };
        let mut newest = known.through;
        self.conflicts.to(&prefix)?;
        while let Some((key, _)) = self.conflicts.here(&prefix)? {
            newest = newest.max(last_number(key)?);
            self.conflicts.step()?;
        }
        if newest > known.through {
            let now = self.reader.study(study.first_seq)?;
            if now.is_none_or(|now| (now.last_seq, now.version_fact) != (known.through, known.fact)) {
                return Ok(known);
            }
        }
        Ok(StudyVersion { through: newest, ..known })
    }

    /// Takes in a series: its packs and its instances, wherever they lie.
    fn take_series(&mut self, series: u64, first: u64, inside: &mut Inside) -> Result<(), IndexError> {
        let prefix = series_prefix(series);
        self.packs.to(&prefix)?;
        while let Some((key, _)) = self.packs.here(&prefix)? {
            let bytes = self.reader.pack_bytes(name(key, prefix.len())?)?;
            bytes.into_iter().for_each(|bytes| inside.pack(bytes));
            self.packs.step()?;
        }
        let prefix = series.to_be_bytes();
        self.instances.to(&prefix)?;
        while let Some((key, row)) = self.instances.here(&prefix)? {
            let received = encode::instance_dates(row, &mut |date| inside.date(date))?;
            if second(Table::Instances, key)? == first {
                inside.first_received = Some(received);
            }
            self.instances.step()?;
        }
        self.folds.to(&prefix)?;
        while let Some((_, fold)) = self.folds.here(&prefix)? {
            let received = encode::fold_dates(fold, first, &mut |date| inside.date(date))?;
            inside.first_received = received.or(inside.first_received);
            self.folds.step()?;
        }
        Ok(())
    }
}

impl Look for Looks<'_> {
    fn has_facts(&mut self, study: &StudyKey) -> Result<bool, IndexError> {
        let prefix = facts_of(study);
        self.facts.to(&prefix)?;
        Ok(self.facts.here(&prefix)?.is_some())
    }

    fn inside(&mut self, study: &StudyRow) -> Result<Inside, IndexError> {
        let mut inside = Inside { version: self.version(study)?, ..Inside::default() };
        inside.buried = self.reader.buried(study.key.facility, &study.key.study)?;
        if self.has_facts(&study.key)? {
            inside.facts = self.reader.of_one(&study.key)?;
        }
        let ordinal = study.first_seq.to_be_bytes();
        self.series.to(&ordinal)?;
        while let Some((key, row)) = self.series.here(&ordinal)? {
            let (_, series) = unpair(Table::Series, key)?;
            encode::series_values(row, &OF_SERIES, &mut |date| inside.date(date))?;
            encode::series_values(row, &MODALITY, &mut |modality| inside.modality(modality))?;
            self.take_series(series, study.first_seq, &mut inside)?;
            self.series.step()?;
        }
        Ok(inside)
    }
}
