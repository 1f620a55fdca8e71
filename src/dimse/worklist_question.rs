//! The identifier of a worklist question becomes a question to the archive and tests of our own (PS3.4 annex K).
//!
//! What the archive keeps worklists by it is asked for; every other key is tested on the lines it gives. As with
//! [`crate::question`], a refusal names the key, never its value.

use crate::letters;
use crate::question::{LEVEL, mismatch, unable};
use crate::status::{self, Failure};
use crate::worklist_table::{
    ACCESSION, MODALITY, PATIENT_ID, PATIENT_NAME, PROCEDURE_ID, START_DATE, START_TIME, STATION, STEP_ID, STEPS,
    STUDY, WorklistAttribute, worklist_attributes,
};
use archive::charts::WorklistQuery;
use dataset::Vr;
use dataset::nested::{self, Member, Members};
use model::attribute::{Attribute, Matching};
use model::facility::WorklistScope;
use model::query::{self, Test, has_wildcard};
use model::{AeTitle, Source, Uid};

/// A question and how its lines are answered.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) query: WorklistQuery,
    /// Whether no line can match.
    pub(crate) nothing: bool,
    /// What is told as the station of a step that has none.
    pub(crate) station: AeTitle,
    /// The asker's Specific Character Set.
    pub(crate) charset: String,
    /// Whether a key is not supported: pending answers say so (FF01).
    pub(crate) unsupported: bool,
    keys: Vec<Key>,
    wanted: Members,
}

/// A key that the archive does not look at.
#[derive(Debug)]
struct Key {
    tag: u32,
    test: KeyTest,
}

#[derive(Debug)]
enum KeyTest {
    Value(Attribute, Test),
    /// One item of the sequence meets all of these.
    Item(Vec<Key>),
}

/// Who asks, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) source: &'a Source,
    pub(crate) calling: &'a AeTitle,
    pub(crate) transfer_syntax: &'a str,
    pub(crate) keys_max: usize,
}

/// Reads an identifier.
pub(crate) fn parse(bytes: &[u8], asking: &Asking<'_>) -> Result<Lines, Failure> {
    let found = nested::read(bytes, asking.transfer_syntax, asking.source.charset).map_err(|error| Failure {
        detail: error.to_string(),
        ..unable("the identifier is no data set of its transfer syntax")
    })?;
    if found.count > asking.keys_max {
        return Err(Failure::new(status::OUT_OF_RESOURCES, format!("more than {} keys", asking.keys_max)));
    }
    if found.several_items.is_some() {
        return Err(mismatch("a sequence with more than one item"));
    }
    let mut lines = Lines {
        query: WorklistQuery::default(),
        nothing: false,
        station: asking.calling.clone(),
        charset: found.charset,
        unsupported: false,
        keys: Vec::new(),
        wanted: Members::new(),
    };
    lines.keys = lines.level(&found.members, worklist_attributes(), 0)?;
    lines.wanted = found.members;
    lines.check_span()?;
    lines.restrict(asking);
    Ok(lines)
}

impl Lines {
    /// Takes the keys of a data set or item and gives those that are left to be tested.
    fn level(&mut self, members: &Members, rows: &[WorklistAttribute], within: u32) -> Result<Vec<Key>, Failure> {
        let mut keys = Vec::new();
        for (tag, member) in members.iter().filter(|(tag, _)| **tag != LEVEL.tag) {
            let Some(row) = rows.iter().find(|row| row.tag == *tag) else {
                self.unsupported = true;
                continue;
            };
            let test = match member {
                Member::Value(Vr::SQ, text) if row.is_sequence() && text.is_empty() => None,
                Member::Items(items) if row.is_sequence() => match items.first() {
                    Some(item) => Some(KeyTest::Item(self.level(item, row.within, *tag)?)),
                    None => None,
                },
                Member::Value(vr, text) if !row.is_sequence() && *vr != Vr::SQ => self.key(row, within, text)?,
                _ if row.is_sequence() => return Err(mismatch(format!("{} is a sequence", row.keyword()))),
                _ => return Err(mismatch(format!("{} is no sequence", row.keyword()))),
            };
            let test = test.filter(|test| !matches!(test, KeyTest::Item(keys) if keys.is_empty()));
            keys.extend(test.map(|test| Key { tag: *tag, test }));
        }
        Ok(keys)
    }

    /// Takes a key with a value: the archive is asked for it, or it is left to be tested.
    fn key(&mut self, row: &WorklistAttribute, within: u32, text: &str) -> Result<Option<KeyTest>, Failure> {
        let asked = text.trim_matches([' ', '\0']);
        let rule = row.rule();
        match (within, row.tag) {
            _ if asked.is_empty() || asked == "*" => return Ok(None),
            _ if row.matching == Matching::ReturnOnly => {
                self.unsupported = true;
                return Ok(None);
            }
            (STEPS, START_DATE) => {
                self.query.days = ends(&rule, asked)?;
                return Ok(None);
            }
            (STEPS, START_TIME) => {
                self.unsupported |= query::is_finer(asked);
                self.query.times = ends(&rule, asked)?;
                return Ok(None);
            }
            _ => {}
        }
        let test = Test::parse(&rule, asked).map_err(|error| unable(error.to_string()))?;
        let handed_over = test == Test::Any || self.ask((within, row.tag), &test, asked)?;
        Ok((!handed_over).then_some(KeyTest::Value(rule, test)))
    }

    /// Asks the archive for a key, if it keeps worklists by it.
    fn ask(&mut self, place: (u32, u32), test: &Test, asked: &str) -> Result<bool, Failure> {
        let query = &mut self.query;
        match (place, test) {
            ((0, PATIENT_NAME), _) => asked.clone_into(&mut query.name),
            ((0, PATIENT_ID), Test::Equal(one)) => query.mrn.clone_from(one),
            ((0, ACCESSION), Test::Equal(one)) => query.accession.clone_from(one),
            ((0, PROCEDURE_ID), Test::Equal(one)) => query.procedure_id.clone_from(one),
            ((STEPS, STEP_ID), Test::Equal(one)) => query.step_id.clone_from(one),
            ((STEPS, STATION), Test::Equal(one)) => {
                let title = AeTitle::parse(one);
                let title = title.map_err(|_| unable("ScheduledStationAETitle takes an AE title"))?;
                self.station = title.clone();
                query.station = Some(title);
            }
            ((STEPS, STATION), Test::OneOf(list)) => {
                let title = list.iter().filter(|one| !has_wildcard(one)).find_map(|one| AeTitle::parse(one).ok());
                self.station = title.unwrap_or_else(|| self.station.clone());
                return Ok(false);
            }
            ((STEPS, MODALITY), Test::Equal(one)) => query.modalities = vec![one.clone()],
            ((STEPS, MODALITY), Test::OneOf(list)) if !list.iter().any(|one| has_wildcard(one)) => {
                query.modalities.clone_from(list);
            }
            ((0, STUDY), Test::Equal(one)) => query.studies = uids(std::slice::from_ref(one)),
            ((0, STUDY), Test::OneOf(list)) => query.studies = uids(list),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Days and times are one span where both ends of the days are given (PS3.4 section C.2.2.2.5); else each is one.
    fn check_span(&self) -> Result<(), Failure> {
        let reversed = |(from, to): &(String, String)| !from.is_empty() && !to.is_empty() && from > to;
        let (days, times) = (&self.query.days, &self.query.times);
        let spans_days = !days.0.is_empty() && !days.1.is_empty() && days.0 < days.1;
        if reversed(days) {
            return Err(unable("ScheduledProcedureStepStartDate ends before it begins"));
        }
        if reversed(times) && !spans_days {
            return Err(unable("ScheduledProcedureStepStartTime ends before it begins"));
        }
        Ok(())
    }

    /// A console that is shown its own steps alone asks for no others.
    fn restrict(&mut self, asking: &Asking<'_>) {
        if asking.source.worklist == WorklistScope::All {
            return;
        }
        let own = asking.calling;
        self.nothing = self.query.station.as_ref().is_some_and(|asked| asked != own);
        self.query.station = Some(own.clone());
        self.station = own.clone();
    }

    /// Whether a line meets the keys that the archive did not look at.
    pub(crate) fn accepts(&self, line: &Members) -> bool {
        accepted(&self.keys, line)
    }

    /// What of a line was asked for, as the source is to have it.
    pub(crate) fn answer(&self, line: &Members, source: &Source) -> Members {
        picked(&self.wanted, worklist_attributes(), line, source)
    }
}

/// UIDs of a list that was parsed as one.
fn uids(list: &[String]) -> Vec<Uid> {
    list.iter().filter_map(|uid| Uid::parse(uid).ok()).collect()
}

/// The ends of a value or range of dates (`YYYYMMDD`) or times (`HHMMSS`); an open one is empty.
fn ends(rule: &Attribute, asked: &str) -> Result<(String, String), Failure> {
    let wrong = || unable(format!("{} takes one value or a range: from-to, from- or -to", rule.keyword));
    let end = |part: &str, fill: char| {
        let found = match (part.trim(), rule.matching) {
            ("", _) => return Ok(String::new()),
            (part, Matching::Date) => query::date(part),
            (part, _) => query::time(part, fill).and_then(|time| time.get(..6).map(str::to_owned)),
        };
        found.ok_or_else(wrong)
    };
    let (from, to) = asked.split_once('-').unwrap_or((asked, asked));
    let (from, to) = (end(from, '0')?, end(to, '9')?);
    if from.is_empty() && to.is_empty() { Err(wrong()) } else { Ok((from, to)) }
}

fn accepted(keys: &[Key], members: &Members) -> bool {
    keys.iter().all(|key| match (&key.test, members.get(&key.tag)) {
        (KeyTest::Value(rule, test), Some(Member::Value(_, text))) => test.accepts(rule, text, false),
        (KeyTest::Item(keys), Some(Member::Items(items))) => items.iter().any(|item| accepted(keys, item)),
        _ => false,
    })
}

/// Asked attributes of a data set or item; a sequence without keys is asked for whole, what is not supported left out.
fn picked(wanted: &Members, rows: &[WorklistAttribute], line: &Members, source: &Source) -> Members {
    let mut out = Members::new();
    for (tag, asked) in wanted {
        let Some(row) = rows.iter().find(|row| row.tag == *tag) else { continue };
        let keys = match asked {
            Member::Items(items) => items.first().filter(|item| !item.is_empty()),
            Member::Value(..) => None,
        };
        let told = match (line.get(tag), keys) {
            (Some(Member::Items(items)), Some(keys)) => {
                Member::Items(items.iter().map(|item| picked(keys, row.within, item, source)).collect())
            }
            (Some(member), _) => whole(*tag, member, source),
            (None, _) if row.is_sequence() => Member::Items(Vec::new()),
            (None, _) => Member::Value(Vr::named(row.vr), String::new()),
        };
        out.insert(*tag, told);
    }
    out
}

fn whole(tag: u32, member: &Member, source: &Source) -> Member {
    match member {
        Member::Value(vr, text) => Member::Value(*vr, letters::profiled(source, tag, *vr, text)),
        Member::Items(items) => {
            let item = |item: &Members| item.iter().map(|(tag, member)| (*tag, whole(*tag, member, source))).collect();
            Member::Items(items.iter().map(item).collect())
        }
    }
}

#[cfg(test)]
mod tests;
