//! Entries of the table `uids` under keys of their own: patients under one Study Instance UID, and studies and patients
//! under one Series Instance UID, beyond those in the list of that UID.
//!
//! Nearly every UID has one entry. A broken device gives one UID to every patient it sees, and a list of all of them would
//! be read and written again with each. So numbers from [`LISTED`] on stand beside the list, which says that there are
//! such: where it does not, nothing is looked for. Patients beside a list are found by ID or name, series that stand
//! elsewhere than they were received by where they stand.

use super::apply::Applier;
use super::lists::{CopyEntry, Listed, PatientEntry, SeriesEntry};
use super::purge;
use super::read::{Reader, get_now, handle};
use super::tables::{Table, UidKind, bad_key, uid_key};
use crate::IndexError;
use crate::codec::{Decoder, Encoder};
use crate::row::{Identity, KnownCopy, KnownPatient, KnownStudy, LISTED, SeriesKey, StudyKey, Whose};
use model::name::fold;
use model::{FacilityCode, Lsn, Uid};
use rocksdb::{DB, WriteBatch};

/// Length of a facility in a key.
const FACILITY: usize = 5;

/// Where a patient under a Study Instance UID stands.
pub(super) fn patient_key(study: &Uid, facility: FacilityCode, rank: u16) -> Vec<u8> {
    beside_list(uid_key(UidKind::Study, study, facility), rank)
}

fn beside_list(mut listed: Vec<u8>, rank: u16) -> Vec<u8> {
    if rank >= LISTED {
        listed.extend_from_slice(&rank.to_be_bytes());
    }
    listed
}

/// The key of another kind under the same UID.
fn of_kind(kind: UidKind, listed: &[u8]) -> Vec<u8> {
    [[kind.letter()].as_slice(), listed.get(1..).unwrap_or_default()].concat()
}

fn rank_of(key: &[u8]) -> Result<u16, IndexError> {
    key.last_chunk::<2>().map(|rank| u16::from_be_bytes(*rank)).ok_or_else(|| bad_key(Table::Uids))
}

/// The end of the key of an entry beside the list of its Series Instance UID.
fn study_end(study: &Uid, patient: u16) -> Vec<u8> {
    let mut end = Encoder::with_capacity(40);
    end.uid(study);
    end.raw(&patient.to_be_bytes());
    end.bytes
}

/// Where an entry stands that is not in the list of its Series Instance UID.
fn own_key(listed: &[u8], study: &StudyKey) -> Vec<u8> {
    [listed, &study_end(&study.study, study.patient)].concat()
}

/// Where it is noted which entry beside a list stands in a study.
fn moved_key(listed: &[u8], study: &Uid, patient: u16) -> Vec<u8> {
    [of_kind(UidKind::Moved, listed), study_end(study, patient)].concat()
}

/// By what a patient is found: the ID, or the name without one; and the name.
fn terms(patient: &KnownPatient) -> [Vec<u8>; 2] {
    let (id, name) = (patient.patient_id.trim(), fold(&patient.name));
    [if id.is_empty() { term(b'e', &name) } else { term(b'i', id) }, term(b'n', &name)]
}

fn term(kind: u8, text: &str) -> Vec<u8> {
    let mut out = Encoder::with_capacity(40);
    out.byte(kind);
    out.text(text);
    out.bytes
}

fn person_key(listed: &[u8], term: &[u8], rank: u16) -> Vec<u8> {
    [of_kind(UidKind::Person, listed).as_slice(), term, &rank.to_be_bytes()].concat()
}

impl Applier {
    /// A patient beside the list is known so from now on.
    pub(super) fn name_patient(
        &mut self,
        db: &DB,
        listed: &[u8],
        before: Option<&KnownPatient>,
        now: &KnownPatient,
    ) -> Result<(), IndexError> {
        let table = handle(db, Table::Uids)?;
        for term in before.map(terms).iter().flatten() {
            self.batch.delete_cf(table, person_key(listed, term, now.rank));
        }
        for term in &terms(now) {
            self.batch.put_cf(table, person_key(listed, term, now.rank), []);
        }
        self.patients.mark(db, listed, true)
    }

    /// Removes a patient whose study is destroyed.
    pub(super) fn forget_patient(&mut self, db: &DB, lsn: Lsn, study: &StudyKey) -> Result<(), IndexError> {
        let key = patient_key(&study.study, study.facility, study.patient);
        let list = self.patients.load(db, &key)?;
        let gone: Vec<PatientEntry> = list.extract_if(.., |entry| entry.known.rank == study.patient).collect();
        self.note_gone(db, lsn, Table::Uids, &key)?;
        if study.patient >= LISTED {
            let listed = uid_key(UidKind::Study, &study.study, study.facility);
            // Keys of a time without an ID or a name may lie in the files still, wherever they stood.
            self.note_gone(db, lsn, Table::Uids, &of_kind(UidKind::Person, &listed))?;
            for PatientEntry { known, .. } in gone {
                for term in &terms(&known) {
                    self.batch.delete_cf(handle(db, Table::Uids)?, person_key(&listed, term, study.patient));
                }
            }
            let empty = |key: &[u8]| self.patients.under(key).any(|(held, list)| held == key && list.is_empty());
            let more = has_others(db, &listed, empty)?;
            self.patients.mark(db, &listed, more)?;
        }
        self.patients.touch(key);
        Ok(())
    }

    /// An entry of a series that is wanted, by the name it was received with or the one it has now, and its key.
    pub(super) fn find_series(
        &mut self,
        db: &DB,
        key: &SeriesKey,
        wanted: impl Fn(&SeriesEntry) -> bool,
    ) -> Result<Option<(Vec<u8>, SeriesEntry)>, IndexError> {
        let listed = uid_key(UidKind::Series, &key.series, key.study.facility);
        let found = |list: &[SeriesEntry]| list.iter().find(|entry| wanted(entry)).cloned();
        if let Some(entry) = found(self.series_lists.load(db, &listed)?) {
            return Ok(Some((listed, entry)));
        }
        if !self.series_lists.has_more(db, &listed)? {
            return Ok(None);
        }
        let own = own_key(&listed, &key.study);
        if let Some(entry) = found(self.series_lists.load(db, &own)?) {
            return Ok(Some((own, entry)));
        }
        let moved = moved_key(&listed, &key.study.study, key.study.patient);
        let Some(end) = get_now(db, Table::Uids, &moved, |end| Ok(end.to_vec()))? else { return Ok(None) };
        let own = [listed, end].concat();
        Ok(found(self.series_lists.load(db, &own)?).map(|entry| (own, entry)))
    }

    /// Where the entry of a series stands as it was received, or is put now.
    pub(super) fn series_place(
        &mut self,
        db: &DB,
        listed: Vec<u8>,
        received: &SeriesKey,
        rank: u16,
    ) -> Result<Vec<u8>, IndexError> {
        if let Some((key, _)) = self.find_series(db, received, |entry| entry.was_received(received))? {
            return Ok(key);
        }
        if rank < LISTED && received.study.patient < LISTED {
            return Ok(listed);
        }
        self.series_lists.mark(db, &listed, true)?;
        Ok(own_key(&listed, &received.study))
    }

    /// Notes where an entry stands from now on, if it is not in the list.
    pub(super) fn note_place(
        &mut self,
        db: &DB,
        lsn: Lsn,
        at: &[u8],
        received: &SeriesKey,
        [before, now]: [Option<&(Uid, u16)>; 2],
    ) -> Result<(), IndexError> {
        let listed = uid_key(UidKind::Series, &received.series, received.study.facility);
        if at == listed {
            return Ok(());
        }
        let table = handle(db, Table::Uids)?;
        if let Some((study, patient)) = before {
            let left = moved_key(&listed, study, *patient);
            // The study it came from is named there, which may be destroyed before the file is written anew.
            self.note_gone(db, lsn, Table::Uids, &left)?;
            self.batch.delete_cf(table, left);
        }
        if let Some((study, patient)) = now {
            let end = study_end(&received.study.study, received.study.patient);
            self.batch.put_cf(table, moved_key(&listed, study, *patient), end);
        }
        Ok(())
    }

    /// Removes the entries of a series that is destroyed, as it stands.
    pub(super) fn forget_series(&mut self, db: &DB, lsn: Lsn, series: &SeriesKey) -> Result<(), IndexError> {
        let listed = uid_key(UidKind::Series, &series.series, series.study.facility);
        while let Some((key, entry)) = self.find_series(db, series, |entry| entry.stands(series))? {
            self.series_lists.load(db, &key)?.retain(|entry| !entry.stands(series));
            self.note_gone(db, lsn, Table::Uids, &key)?;
            if key != listed {
                if let Some((study, patient)) = &entry.placed {
                    let moved = moved_key(&listed, study, *patient);
                    self.note_gone(db, lsn, Table::Uids, &moved)?;
                    self.batch.delete_cf(handle(db, Table::Uids)?, moved);
                }
                let empty =
                    |key: &[u8]| self.series_lists.under(key).any(|(held, list)| held == key && list.is_empty());
                let more = has_others(db, &listed, empty)?;
                self.series_lists.mark(db, &listed, more)?;
            }
            self.series_lists.touch(key);
        }
        Ok(())
    }

    /// The ordinals of study and series of every entry beside a list.
    pub(super) fn series_beside(&mut self, db: &DB, listed: &[u8]) -> Result<Vec<(u64, u64)>, IndexError> {
        let mut all = Vec::new();
        if !self.series_lists.has_more(db, listed)? {
            return Ok(all);
        }
        let ordinals = |entry: &SeriesEntry| (entry.study, entry.series);
        let reader = Reader::new(db);
        let mut run = reader.prefix(Table::Uids, listed)?;
        while let Some((key, value)) = run.here()? {
            if key.len() > listed.len() {
                all.extend(SeriesEntry::decode(value)?.iter().map(ordinals));
            }
            run.step();
        }
        // Of this batch, too.
        let held = self.series_lists.under(listed).filter(|(key, _)| key.len() > listed.len());
        all.extend(held.flat_map(|(_, list)| list).map(ordinals));
        Ok(all)
    }
}

/// Whether anything is stored beside a list but what goes now.
fn has_others(db: &DB, listed: &[u8], goes: impl Fn(&[u8]) -> bool) -> Result<bool, IndexError> {
    let reader = Reader::new(db);
    let mut run = reader.prefix(Table::Uids, listed)?;
    while let Some((key, _)) = run.here()? {
        if key.len() > listed.len() && !goes(key) {
            return Ok(true);
        }
        run.step();
    }
    Ok(false)
}

/// What is known under the UIDs of an arriving instance.
pub(super) fn identity(
    db: &DB,
    facility: FacilityCode,
    [study, series, sop_instance]: [&Uid; 3],
    whose: Whose<'_>,
) -> Result<Identity, IndexError> {
    let copies = get_now(db, Table::Uids, &uid_key(UidKind::Instance, sop_instance, facility), CopyEntry::decode)?;
    let (of_study, of_series) = (uid_key(UidKind::Study, study, facility), uid_key(UidKind::Series, series, facility));
    let patients = get_now(db, Table::Uids, &of_study, PatientEntry::held)?.unwrap_or_default();
    let listed = get_now(db, Table::Uids, &of_series, SeriesEntry::held)?.unwrap_or_default();
    let there = |(placed, rank): &(Uid, u16)| (placed == study).then_some(*rank);
    let mut known = Identity {
        copies: copies.into_iter().flatten().map(KnownCopy::from).collect(),
        patients: patients.entries.into_iter().map(|entry| entry.known).collect(),
        patients_beyond: None,
        taken: listed.entries.iter().filter_map(|entry| there(entry.placed.as_ref()?)).collect(),
        studies: listed.entries.into_iter().map(|entry| entry.known).collect(),
        studies_beyond: listed.more,
    };
    if listed.more {
        let reader = Reader::new(db);
        known.studies.extend(reader.study_beside(&of_series, study)?);
        known.taken.extend(reader.taken_beside(&of_series, study)?);
    }
    if patients.more {
        let reader = Reader::new(db);
        known.patients.extend(reader.patient_beside(&of_study, whose, &known.taken)?);
        known.patients_beyond = reader.highest_patient(&of_study)?;
    }
    known.patients.sort_by_key(|patient| patient.rank);
    known.taken.sort_unstable();
    known.studies.sort_by(|a, b| (a.rank, &a.study).cmp(&(b.rank, &b.study)));
    known.studies.dedup();
    Ok(known)
}

impl Reader<'_> {
    /// The ordinal of a study, if it has a row.
    pub(super) fn ordinal(&self, key: &StudyKey) -> Result<Option<u64>, IndexError> {
        let place = patient_key(&key.study, key.facility, key.patient);
        let list = self.get(Table::Uids, &place, PatientEntry::decode)?;
        let found = list.into_iter().flatten().find(|entry| entry.known.rank == key.patient && entry.study != 0);
        Ok(found.map(|entry| entry.study))
    }

    /// The ordinals of a series and its study.
    pub(super) fn locate(&self, key: &SeriesKey) -> Result<Option<(u64, u64)>, IndexError> {
        let found = |entries: &[SeriesEntry]| {
            let entry = entries.iter().find(|entry| entry.stands(key) && entry.series != 0);
            entry.map(|entry| (entry.study, entry.series))
        };
        let listed = uid_key(UidKind::Series, &key.series, key.study.facility);
        let list = self.get(Table::Uids, &listed, SeriesEntry::held)?.unwrap_or_default();
        let at = found(&list.entries);
        if at.is_some() || !list.more {
            return Ok(at);
        }
        let list = self.get(Table::Uids, &own_key(&listed, &key.study), SeriesEntry::decode)?;
        if let Some(at) = list.as_deref().and_then(found) {
            return Ok(Some(at));
        }
        let moved = moved_key(&listed, &key.study.study, key.study.patient);
        let Some(end) = self.get(Table::Uids, &moved, |end| Ok(end.to_vec()))? else { return Ok(None) };
        let list = self.get(Table::Uids, &[listed, end].concat(), SeriesEntry::decode)?;
        Ok(list.as_deref().and_then(found))
    }

    /// A study beside the list of a series.
    fn study_beside(&self, listed: &[u8], study: &Uid) -> Result<Option<KnownStudy>, IndexError> {
        let mut start = Encoder { bytes: listed.to_vec() };
        start.uid(study);
        let run = self.prefix(Table::Uids, &start.bytes)?;
        let list = run.here()?.map(|(_, value)| SeriesEntry::decode(value)).transpose()?;
        Ok(list.into_iter().flatten().next().map(|entry| entry.known))
    }

    /// Patients in whose study a series beside the list of its UID stands that was received in another.
    fn taken_beside(&self, listed: &[u8], study: &Uid) -> Result<Vec<u16>, IndexError> {
        let mut start = Encoder { bytes: of_kind(UidKind::Moved, listed) };
        start.uid(study);
        self.prefix(Table::Uids, &start.bytes)?.collect(usize::MAX, |key, _| rank_of(key))
    }

    /// The first patient beside the list of a study who may be this one and is not taken.
    fn patient_beside(
        &self,
        listed: &[u8],
        whose: Whose<'_>,
        taken: &[u16],
    ) -> Result<Option<KnownPatient>, IndexError> {
        let (id, name) = (whose.id(), whose.folded());
        let wanted = if id.is_empty() { vec![term(b'n', &name)] } else { vec![term(b'i', id), term(b'e', &name)] };
        let mut first: Option<u16> = None;
        for term in wanted {
            let start = [of_kind(UidKind::Person, listed), term].concat();
            let mut run = self.prefix(Table::Uids, &start)?;
            while let Some((key, _)) = run.here()? {
                let rank = rank_of(key)?;
                if !taken.contains(&rank) {
                    first = Some(first.map_or(rank, |first| first.min(rank)));
                    break;
                }
                run.step();
            }
        }
        let Some(rank) = first else { return Ok(None) };
        let list = self.get(Table::Uids, &beside_list(listed.to_vec(), rank), PatientEntry::decode)?;
        Ok(list.into_iter().flatten().next().map(|entry| entry.known))
    }

    /// The highest number of a patient beside the list of a study.
    fn highest_patient(&self, listed: &[u8]) -> Result<Option<u16>, IndexError> {
        let mut run = self.prefix(Table::Uids, listed)?;
        run.seek_back(&[listed, &[u8::MAX; 2]].concat());
        let last = run.here()?.filter(|(key, _)| key.starts_with(listed) && key.len() > listed.len());
        last.map(|(key, _)| rank_of(key)).transpose()
    }
}

/// What of a list that an older program wrote stands beside it by now; nothing where all of it stays.
pub(super) fn split(db: &DB, lsn: Lsn, key: &[u8], value: &[u8]) -> Result<Option<WriteBatch>, IndexError> {
    let (Some((kind, rest)), table) = (key.split_first(), handle(db, Table::Uids)?) else { return Ok(None) };
    let mut uid = Decoder::new(Table::Uids.name(), rest);
    uid.pass_uid()?;
    let (mut batch, mut beside) = (WriteBatch::default(), 0);
    // What is longer stands beside a list already.
    if uid.rest().len() != FACILITY {
        return Ok(None);
    }
    if *kind == UidKind::Study.letter() {
        let mut list = PatientEntry::held(value)?;
        for entry in list.entries.extract_if(.., |entry| entry.known.rank >= LISTED) {
            let rank = entry.known.rank;
            batch.put_cf(table, beside_list(key.to_vec(), rank), PatientEntry::encode(std::slice::from_ref(&entry)));
            terms(&entry.known).iter().for_each(|term| batch.put_cf(table, person_key(key, term, rank), []));
            beside += 1;
        }
        if beside > 0 {
            list.more = true;
            list.value().into_iter().for_each(|value| batch.put_cf(table, key, value));
        }
    } else if *kind == UidKind::Series.letter() {
        let mut list = SeriesEntry::held(value)?;
        for entry in list.entries.extract_if(.., |entry| entry.known.rank >= LISTED || entry.patient >= LISTED) {
            let end = study_end(&entry.known.study, entry.patient);
            batch.put_cf(table, [key, &end].concat(), SeriesEntry::encode(std::slice::from_ref(&entry)));
            if let Some((study, patient)) = &entry.placed {
                batch.put_cf(table, moved_key(key, study, *patient), &end);
            }
            beside += 1;
        }
        if beside > 0 {
            list.more = true;
            list.value().into_iter().for_each(|value| batch.put_cf(table, key, value));
        }
    }
    if beside == 0 {
        return Ok(None);
    }
    // Whoever stands beside it by now was named in it: who is destroyed shall not stay there.
    purge::note(db, &mut batch, lsn, Table::Uids, key)?;
    Ok(Some(batch))
}

#[cfg(test)]
mod tests;
