//! What was recorded of studies beside what came in: series moved, corrections, destructions. Whoever was told of a study
//! hears of each, also when the process was killed between the record and the look at it.
//!
//! The facts themselves are followed, in the order of their records; the place is kept in a file, and looking twice does
//! no harm: a move that was told of stands in the study's row.
//! Deliberately not here: what of it is worth telling ([`crate::charts::outbox`]).

use super::{SAVE_EVERY, note, unavailable};
use crate::charts::ChartError;
use crate::open::Archive;
use index::{StudyKey, StudyRow};
use model::Lsn;
use model::retention::{RetentionFact, StudyRef};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Facts looked at in one round.
const ROUND: usize = 256;
/// File of the place in the data directory.
const PLACE: &str = "charts-told";

/// How far facts were followed.
pub(super) struct Walk {
    file: PathBuf,
    lsn: Lsn,
    saved: Option<(Lsn, Instant)>,
}

impl Walk {
    pub(super) fn open(archive: &Archive) -> Self {
        let file = archive.options().data.join(PLACE);
        let applied = archive.index().applied();
        let kept = match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().parse::<Lsn>().map_err(|error| error.to_string()),
            // Without a place what comes from now on is followed: studies are looked at by arrival then, each with what was
            // recorded of it. So it is with a place ahead of what is there: that of another data directory.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Lsn::MAX),
            Err(error) => Err(error.to_string()),
        };
        let (lsn, is_kept) = match kept {
            Ok(lsn) if lsn <= applied => (lsn, true),
            Ok(_) => (applied, false),
            Err(error) => {
                tracing::warn!(%error, "how far what was recorded of studies was told cannot be read; all is looked at again");
                (0, false)
            }
        };
        let mut walk = Self { file, lsn, saved: is_kept.then(|| (lsn, Instant::now())) };
        walk.save();
        walk
    }

    /// Writes the place at once where there is none, else from time to time; what is lost is looked at again.
    fn save(&mut self) {
        if self.saved.is_some_and(|(lsn, at)| lsn == self.lsn || at.elapsed() < SAVE_EVERY) {
            return;
        }
        if let Err(error) = self.write() {
            tracing::warn!(%error, "how far what was recorded of studies was told could not be written");
        }
        self.saved = Some((self.lsn, Instant::now()));
    }

    /// Durable on return.
    fn write(&self) -> io::Result<()> {
        let beside = self.file.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(self.lsn.to_string().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.file)?;
        match self.file.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// The studies of which something is to be told when a fact became true.
fn changed(fact: &RetentionFact) -> Vec<StudyKey> {
    match fact {
        RetentionFact::SeriesMoved(_)
        | RetentionFact::StudyCorrected(_)
        | RetentionFact::StudyDestroyed(_)
        | RetentionFact::StudyRestored { .. }
        | RetentionFact::StudyTakenOut { .. } => fact.studies().into_iter().map(StudyKey::from).collect(),
        _ => Vec::new(),
    }
}

impl Archive {
    /// Looks at studies of which something was recorded.
    pub(super) fn recorded_round(&self, walk: &mut Walk) -> Result<(), ChartError> {
        // What earlier rounds noted is kept nowhere else.
        if self.charts().due.is_worked_off() {
            walk.save();
        }
        // A move may be several facts: they are looked at together, and nobody is waited for.
        let through = self.retention().between(|| self.index().applied());
        let Some(through) = through.filter(|through| *through > walk.lsn) else { return Ok(()) };
        let facts = self.index().retention_behind(walk.lsn, ROUND).map_err(unavailable)?;
        let last = facts.last().map(|(lsn, _)| *lsn).filter(|_| facts.len() >= ROUND);
        let facts = facts.iter().take_while(|(lsn, _)| *lsn <= through);
        let studies: BTreeSet<StudyKey> = facts.flat_map(|(_, fact)| changed(fact)).collect();
        let studies: Vec<StudyKey> = studies.into_iter().collect();
        self.match_due(&studies, &[])?;
        studies.into_iter().for_each(|study| note(&self.charts().due.recorded, study));
        walk.lsn = last.map_or(through, |last| last.min(through));
        Ok(())
    }

    /// When series were last moved into a study or out of it, or destroyed where they stood in it, milliseconds since 1970
    /// UTC and more with each time; 0: never. One without images is told of as such.
    pub(super) fn moved_at(&self, row: &StudyRow) -> Result<u64, ChartError> {
        if row.version_fact == 0 || row.instances == 0 {
            return Ok(0);
        }
        let here = StudyRef::from(&row.key);
        let facts = self.index().retention_of(&row.key).map_err(unavailable)?;
        let times = facts.iter().filter_map(|(_, fact)| match fact {
            RetentionFact::SeriesMoved(moved) if moved.from == here || moved.to == here => {
                Some(moved.at).filter(|_| !moved.series.is_empty())
            }
            RetentionFact::StudyDestroyed(tombstone) if tombstone.study != here => {
                Some(tombstone.destroyed_at).filter(|_| tombstone.taken.iter().any(|taken| taken.from == here))
            }
            _ => None,
        });
        Ok(times.fold(0, |newest: u64, at| at.max(newest.saturating_add(1))))
    }
}
