//! Facts that are applied behind all instances: put aside as they are looked through, so that neither what was kept
//! nor the journal is read again for them.
//!
//! An item of the spool: what decides whether it counts, then its number (8 bytes, little endian) and the fact as JSON.
//!
//! ```text
//! 0                                     it counts
//! 1, number of a study (8, the same)    where the study is applied fact by fact
//! 2, pack (16)                          where the pack is one of such a study
//! ```
//!
//! Deliberately not here: which studies those are.

use super::heads::Open;
use super::survey::study_number;
use super::{Drained, sorting};
use crate::error::OpenError;
use crate::facts::parse;
use crate::spool::Spool;
use model::pack::PackFact;
use model::{Fact, Lsn, PackId, SeriesQuiet, StudyComplete};
use std::path::Path;

const COUNTS: u8 = 0;
const OF_STUDY: u8 = 1;
const OF_PACK: u8 = 2;

/// Facts in the order they became true.
pub(super) struct Later {
    spool: Spool,
    pushed: u64,
}

impl Later {
    pub(super) fn new(folder: &Path) -> Result<Self, OpenError> {
        Ok(Self { spool: Spool::new(folder).map_err(|error| sorting(&error))?, pushed: 0 })
    }

    /// Puts a fact aside, which is also given as JSON.
    pub(super) fn push(&mut self, lsn: Lsn, fact: &Fact, json: &[u8]) -> Result<(), OpenError> {
        let mut item = Vec::with_capacity(json.len() + 25);
        match fact {
            Fact::SeriesQuiet(SeriesQuiet { facility, study, .. })
            | Fact::StudyComplete(StudyComplete { facility, study, .. }) => {
                item.push(OF_STUDY);
                item.extend(study_number(*facility, study).to_le_bytes());
            }
            Fact::Pack(fact) => match fact.as_ref() {
                PackFact::Packed(packed) => {
                    item.push(OF_STUDY);
                    item.extend(study_number(packed.facility, &packed.study).to_le_bytes());
                }
                fact => {
                    item.push(OF_PACK);
                    item.extend(fact.pack().as_bytes());
                }
            },
            _ => item.push(COUNTS),
        }
        item.extend(lsn.to_le_bytes());
        item.extend_from_slice(json);
        self.pushed += 1;
        self.spool.push(self.pushed, item).map_err(|error| sorting(&error))
    }

    /// Gives every fact with its number, in order; none for one that does not count, because the index has what it says.
    pub(super) fn drain(
        self,
        open: &Open,
        each: &mut dyn FnMut(Option<(Lsn, Fact)>) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let drained = self.spool.drain(&mut |_, item| -> Result<(), Drained> {
            let (counts, rest) = split(&item, open).ok_or_else(cut)?;
            let (lsn, json) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
            let lsn = u64::from_le_bytes(*lsn);
            let fact = counts.then(|| parse(lsn, json)).transpose()?;
            Ok(each(fact.map(|fact| (lsn, fact)))?)
        });
        drained.map_err(|Drained(error)| error)
    }
}

fn cut() -> OpenError {
    sorting(&"a fact is cut short")
}

/// Whether an item counts, and what follows.
fn split<'a>(item: &'a [u8], open: &Open) -> Option<(bool, &'a [u8])> {
    let (kind, rest) = item.split_first()?;
    match *kind {
        COUNTS => Some((true, rest)),
        OF_STUDY => {
            let (study, rest) = rest.split_first_chunk::<8>()?;
            Some((open.studies.contains(&u64::from_le_bytes(*study)), rest))
        }
        OF_PACK => {
            let (pack, rest) = rest.split_first_chunk::<16>()?;
            Some((open.packs.contains(&PackId::new(*pack)), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FacilityCode, Uid};

    #[test]
    fn facts_come_back_in_order_and_those_of_whole_studies_do_not() {
        let folder = tempfile::tempdir().expect("folder");
        let facility = FacilityCode::parse("DEMO0").expect("a code");
        let uid = |text: &str| Uid::parse(text).expect("a UID");
        let complete = |study: &str| {
            Fact::StudyComplete(StudyComplete { facility, study: uid(study), patient: 0, through: 1, at: 1 })
        };
        let quiet = |study: &str| {
            let (study, series) = (uid(study), uid("1.9"));
            Fact::SeriesQuiet(SeriesQuiet { facility, study, patient: 0, series, through: 1, at: 1 })
        };
        let released = |name: u8| Fact::Pack(Box::new(PackFact::Released { pack: PackId::new([name; 16]), at: 1 }));
        let forwarded = Fact::Forwarded { lsn: 1, was: Box::new(complete("1.1")) };
        let facts = [quiet("1.1"), quiet("1.2"), released(1), complete("1.2"), released(2), complete("1.1"), forwarded];
        let mut later = Later::new(&folder.path().join("later")).expect("begins");
        for (lsn, fact) in (10..).zip(&facts) {
            later.push(lsn, fact, &serde_json::to_vec(fact).expect("JSON")).expect("pushed");
        }
        let mut open = Open::default();
        open.studies.insert(study_number(facility, &uid("1.2")));
        open.packs.insert(PackId::new([2; 16]));
        let mut found = Vec::new();
        let drained = later.drain(&open, &mut |fact| {
            found.push(fact);
            Ok(())
        });
        drained.expect("drained");
        let counts = [1, 3, 4, 6];
        for (at, (found, fact)) in found.into_iter().zip(facts).enumerate() {
            let wanted = counts.contains(&at).then(|| (10 + u64::try_from(at).expect("a number"), fact));
            assert_eq!(found, wanted, "fact {at}");
        }
    }
}
