//! The first look at what there is: what facts say of packs, what was destroyed, which instances the journal holds.
//!
//! Everything is read once. Facts about packs, facts about studies and all facts in their order are gathered in spools,
//! because there are more than fit into memory. Of the instances only what tells apart studies that lie in packs
//! altogether is kept; the journal is bounded, and so is that.
//! Deliberately not here: reading packs.

use super::later::Later;
use super::{Drained, Sources, sorting};
use crate::error::OpenError;
use crate::facts::{Glance, glance, is_instance, parse};
use crate::spool::Spool;
use index::{Entry, Index, PackRow, SeriesKey, StudyKey};
use model::pack::{ColdCopy, PackFact, Packed};
use model::retention::{Moved, RetentionFact, StudyRef};
use model::{FacilityCode, Fact, Lsn, PackId, SeriesQuiet, StudyComplete, Uid};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use store::Replayed;

/// What was seen.
pub(super) struct Survey {
    /// Facts about packs, by pack, in order.
    packs: Spool,
    /// What belongs to each study ([`Part`]), by [`study_number`]: which of its series are quiet and whether it is complete.
    studies: Spool,
    /// All facts.
    pub(super) later: Later,
    /// The instances of the journal, and the study of each ([`study_number`]).
    loose: HashMap<u64, u64>,
    /// The studies that were destroyed, and the newest instance that went with each.
    buried: HashMap<StudyKey, u64>,
    /// The studies ([`study_number`]) that series were moved into or out of.
    moved: HashSet<u64>,
    /// Where the series were received that stand in another study, as far as facts were looked through.
    homes: HashMap<SeriesKey, StudyRef>,
    /// Names of the files of large bodies.
    pub(super) blobs: HashSet<String>,
    /// Whether some pack was released from the hot volumes.
    released: bool,
}

/// A pack that counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Known {
    packed: Packed,
    hot: bool,
    cold: Option<ColdCopy>,
    /// The study its instances were received in, where they stood in another one when it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<StudyRef>,
    /// Its manifest in a zstd frame, where a catalogue told it.
    #[serde(skip)]
    pub(super) manifest: Option<Vec<u8>>,
}

impl Known {
    /// Its row.
    pub(super) fn row(&self) -> PackRow {
        PackRow { hot: self.hot, cold: self.cold.clone(), ..PackRow::of(&self.packed) }
    }

    /// The study that its instances go with. Series are taken back out of a study before it is destroyed, and packs written
    /// meanwhile keep its name.
    fn received_in(&self) -> StudyKey {
        self.home.as_ref().map_or_else(|| self.row().series.study, StudyKey::from)
    }

    /// How many instances it has.
    pub(super) fn instances(&self) -> usize {
        self.packed.seqs.len()
    }
}

/// What belongs to a study.
pub(super) enum Part {
    Pack(Known),
    Fact(Fact),
}

impl Part {
    /// A pack as an item of a spool: length of the JSON (4 bytes, little endian), the JSON, the manifest.
    fn of_pack(known: &Known) -> Result<Vec<u8>, OpenError> {
        let json = serde_json::to_vec(known).map_err(|error| sorting(&error))?;
        let len = u32::try_from(json.len()).map_err(|error| sorting(&error))?;
        Ok([len.to_le_bytes().as_slice(), &json, known.manifest.as_deref().unwrap_or_default()].concat())
    }

    /// A fact: length 0, the JSON.
    fn of_fact(json: &[u8]) -> Vec<u8> {
        [[0; 4].as_slice(), json].concat()
    }

    /// Reads such an item.
    pub(super) fn read(item: &[u8]) -> Result<Self, OpenError> {
        let cut = || sorting(&"a part of a study is cut short");
        let (len, rest) = item.split_first_chunk::<4>().ok_or_else(cut)?;
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|error| sorting(&error))?;
        if len == 0 {
            return parse(0, rest).map(Self::Fact);
        }
        let (json, manifest) = rest.split_at_checked(len).ok_or_else(cut)?;
        let known: Known = serde_json::from_slice(json).map_err(|error| sorting(&error))?;
        let manifest = Some(manifest).filter(|bytes| !bytes.is_empty()).map(<[u8]>::to_vec);
        Ok(Self::Pack(Known { manifest, ..known }))
    }
}

/// A number that stands for everything of a facility under a Study Instance UID. Two studies may share one: they are
/// then treated alike.
pub(super) fn study_number(facility: FacilityCode, study: &Uid) -> u64 {
    number(&(facility, study))
}

fn number(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// What an item about a pack begins with, which no JSON does: it has a manifest that a catalogue told; then come the pack's
/// name and the manifest ...
const LISTED: u8 = 1;
/// ... or another one took its place; then comes its name ...
const REPLACED: u8 = 2;
/// ... or its instances were received in another study than it names; then come its name and that study as JSON. Every other
/// item is a fact about it.
const MOVED: u8 = 3;

impl Survey {
    /// Looks through facts and journal. What was destroyed is told the index at once, so that nothing of it comes back; so
    /// are studies that were made for series of others.
    pub(super) fn of(sources: &Sources<'_>, index: &dyn Index, folder: &Path) -> Result<Self, OpenError> {
        let spool = |name| Spool::new(&folder.join(name)).map_err(|error| sorting(&error));
        let (packs, studies, later) = (spool("packs")?, spool("studies")?, Later::new(&folder.join("later"))?);
        let (loose, buried, blobs) = (HashMap::new(), HashMap::new(), HashSet::new());
        let (moved, homes) = (HashSet::new(), HashMap::new());
        let mut survey = Self { packs, studies, later, loose, buried, moved, homes, blobs, released: false };
        sources.facts.replay(&mut |lsn, fact| survey.fact(index, lsn, fact))?;
        sources.journal.replay(1, &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
            if is_instance(replayed.head) {
                survey.instance(&replayed, &glance(replayed.lsn, replayed.head)?);
                return Ok(());
            }
            match parse(replayed.lsn, replayed.head)?.own(replayed.lsn) {
                (_, Fact::Instance(head)) => {
                    survey.instance(&replayed, &(*head).into());
                    Ok(())
                }
                (lsn, fact) => survey.fact(index, lsn, fact),
            }
        })?;
        Ok(survey)
    }

    fn instance(&mut self, replayed: &Replayed<'_>, of: &Glance) {
        self.blobs.extend(replayed.place.blob.clone());
        self.loose.insert(of.seq, study_number(of.facility, &of.study));
    }

    fn fact(&mut self, index: &dyn Index, lsn: Lsn, fact: Fact) -> Result<(), OpenError> {
        let json = serde_json::to_vec(&fact).map_err(|error| sorting(&error))?;
        self.later.push(lsn, &fact, &json)?;
        match fact {
            Fact::SeriesQuiet(SeriesQuiet { facility, ref study, .. })
            | Fact::StudyComplete(StudyComplete { facility, ref study, .. }) => {
                let number = study_number(facility, study);
                self.studies.push(number, Part::of_fact(&json)).map_err(|error| sorting(&error))
            }
            Fact::Pack(fact) => {
                if let PackFact::Packed(packed) = fact.as_ref() {
                    for replaced in &packed.replaces {
                        self.said(*replaced, [&[REPLACED], replaced.as_bytes().as_slice()].concat())?;
                    }
                }
                self.released |= matches!(*fact, PackFact::Released { .. });
                self.said(fact.pack(), json)?;
                let home = if let PackFact::Packed(packed) = fact.as_ref() { self.home_of(packed) } else { None };
                let Some(home) = home else { return Ok(()) };
                let home = serde_json::to_vec(&home).map_err(|error| sorting(&error))?;
                self.said(fact.pack(), [&[MOVED], fact.pack().as_bytes().as_slice(), &home].concat())
            }
            Fact::Retention(retention) => {
                match retention.as_ref() {
                    RetentionFact::StudyDestroyed(tombstone) => {
                        let through = self.buried.entry(StudyKey::from(&tombstone.study)).or_insert(0);
                        *through = tombstone.through().max(*through);
                    }
                    RetentionFact::SeriesMoved(moved) => {
                        self.moved(moved);
                        // A study that nobody sent is there before what came in under its UID.
                        if moved.made.is_none() {
                            return Ok(());
                        }
                    }
                    _ => return Ok(()),
                }
                let fact = Fact::Forwarded { lsn, was: Box::new(Fact::Retention(retention)) };
                Ok(index.apply(&[Entry { lsn: 0, fact, home: None }])?)
            }
            _ => Ok(()),
        }
    }

    /// Notes where series stand from now on.
    fn moved(&mut self, moved: &Moved) {
        let studies = moved.studies().into_iter();
        self.moved.extend(studies.map(|study| study_number(study.facility, &study.study)));
        for series in &moved.series {
            let at = |study: &StudyRef| SeriesKey { study: StudyKey::from(study), series: series.clone() };
            self.homes.remove(&at(&moved.from));
            if moved.to != moved.study {
                self.homes.insert(at(&moved.to), moved.study.clone());
            }
        }
    }

    /// The study that the instances of a pack were received in, where it names another one that they stand in.
    fn home_of(&self, packed: &Packed) -> Option<StudyRef> {
        self.homes.get(&PackRow::of(packed).series).cloned()
    }

    fn said(&mut self, pack: PackId, item: Vec<u8>) -> Result<(), OpenError> {
        self.packs.push(number(&pack), item).map_err(|error| sorting(&error))
    }

    /// Takes what catalogues in the bucket tell, where packs may have to be fetched from there. Without them, or where
    /// they lack one, it is opened itself.
    pub(super) fn take_catalogues(&mut self, sources: &Sources<'_>) -> Result<(), OpenError> {
        if !sources.packs.has_far() || !(self.released || sources.packs.is_bare()) {
            return Ok(());
        }
        let mut failed = None;
        let told = sources.packs.far_manifests(&mut |pack, manifest| {
            let item = [&[LISTED], pack.as_bytes().as_slice(), &manifest].concat();
            self.packs.push(number(&pack), item).map_err(|error| {
                failed = Some(sorting(&error));
                crate::RetrieveError::NotFound
            })
        });
        match (failed, told) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => {
                tracing::warn!(%error, "catalogues cannot be read; packs are opened one by one");
                Ok(())
            }
            (None, Ok(())) => Ok(()),
        }
    }

    /// The packs that count, into a spool by study, the studies that do not lie in packs altogether, and all facts.
    /// Packs of destroyed studies are told the index: whether their bytes are gone nobody knows without the old one.
    pub(super) fn packs(self, index: &dyn Index) -> Result<(Spool, HashSet<u64>, Later), OpenError> {
        let mut studies = self.studies;
        let (mut loose, buried) = (self.loose, self.buried);
        let mut counts = |known: Known| -> Result<(), OpenError> {
            let row = known.row();
            if buried.get(&known.received_in()).is_some_and(|through| row.last_seq <= *through) {
                return Ok(index.doom(&row)?);
            }
            for seq in &known.packed.seqs {
                loose.remove(seq);
            }
            let study = study_number(known.packed.facility, &known.packed.study);
            studies.push(study, Part::of_pack(&known)?).map_err(|error| sorting(&error))
        };
        let (mut now, mut known): (u64, HashMap<PackId, Known>) = (0, HashMap::new());
        let drained = self.packs.drain(&mut |number, item| -> Result<(), Drained> {
            if number != now {
                now = number;
                known.drain().try_for_each(|(_, known)| counts(known))?;
            }
            match item.as_slice() {
                [LISTED, listed @ ..] => list(&mut known, listed),
                [REPLACED, name @ ..] => {
                    name.try_into().ok().and_then(|name| known.remove(&PackId::new(name)));
                }
                [MOVED, item @ ..] => put_home(&mut known, item)?,
                json => {
                    if let Fact::Pack(fact) = parse(0, json)? {
                        note(&mut known, *fact);
                    }
                }
            }
            Ok(())
        });
        drained.map_err(|Drained(error)| error)?;
        known.into_values().try_for_each(counts)?;
        let destroyed = buried.keys().map(|key| study_number(key.facility, &key.study));
        Ok((studies, loose.into_values().chain(destroyed).chain(self.moved).collect(), self.later))
    }
}

/// What a catalogue told of a pack; facts about it came before.
fn list(known: &mut HashMap<PackId, Known>, listed: &[u8]) {
    if let Some((pack, manifest)) = listed.split_first_chunk::<16>()
        && let Some(known) = known.get_mut(&PackId::new(*pack))
    {
        known.manifest = Some(manifest.to_vec());
    }
}

/// The instances of a pack were received in another study than it names.
fn put_home(known: &mut HashMap<PackId, Known>, item: &[u8]) -> Result<(), Drained> {
    let (pack, home) = item.split_first_chunk::<16>().ok_or_else(|| sorting(&"an item about a pack is cut short"))?;
    if let Some(known) = known.get_mut(&PackId::new(*pack)) {
        known.home = Some(serde_json::from_slice(home).map_err(|error| sorting(&error))?);
    }
    Ok(())
}

/// A pack that was written counts; those it replaces do not any more.
fn note(known: &mut HashMap<PackId, Known>, fact: PackFact) {
    match fact {
        PackFact::Packed(packed) => {
            known.entry(packed.pack).or_insert(Known { packed, hot: true, cold: None, home: None, manifest: None });
        }
        fact => {
            if let Some(known) = known.get_mut(&fact.pack()) {
                let mut row = known.row();
                row.take(&fact);
                (known.hot, known.cold) = (row.hot, row.cold);
            }
        }
    }
}
