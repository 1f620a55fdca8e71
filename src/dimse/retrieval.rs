//! What C-MOVE and C-GET have in common (PS3.4 sections C.4.2 and C.4.3): which objects, counters, and answers on the
//! way and at the end.

use crate::association::{Association, End};
use crate::command::{Counts, Request};
use crate::negotiate::Context;
use crate::pdu;
use crate::query_class::QueryLevel;
use crate::question::{self, mismatch};
use crate::receiver::{Receiver, Search, Stored};
use crate::scu::Answer;
use crate::status::{self, Failure, Status};
use archive::charts::Reader;
use archive::search::Wanted;
use archive::{FindError, RetrieveError, Target};
use dataset::identifier;
use model::attribute::{attribute, key};
use model::chart::Way;
use model::query::{Condition, Query, Test};
use model::{AttrKey, Caller, Level};
use std::time::{Duration, Instant};

/// Failed SOP Instance UID List (0008,0058).
const FAILED_LIST: AttrKey = AttrKey::root(0x0008_0058);
/// Most UIDs of that list: more do not fit the length of the element.
const FAILED_LIST_MAX: usize = 1_000;
/// Rows of the index asked at once.
const PAGE: usize = 500;
/// A pending answer goes out at least this often, so that the asker sees that something happens.
pub(crate) const PENDING_EVERY: Duration = Duration::from_millis(250);
/// And while nothing happens, this often.
pub(crate) const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Between small objects the asker is not looked at more often than this: each look costs three system calls.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Longest sleep without a look at the asker.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Taken.
    Completed,
    /// Taken, with a remark of the peer.
    Warned,
    /// Not taken; the reason is for the log.
    Failed(String),
}

impl From<Answer> for Fate {
    fn from(answer: Answer) -> Self {
        if answer.is_success() {
            Self::Completed
        } else if answer.is_warning() {
            Self::Warned
        } else {
            Self::Failed(format!("the peer answered {:04X} {}", answer.status, answer.comment))
        }
    }
}

/// A retrieve under way.
pub(crate) struct Tally<'a> {
    id: u8,
    request: &'a Request,
    transfer_syntax: &'a str,
    counts: Counts,
    failed: Vec<String>,
    told: Instant,
    looked: Instant,
    /// The asker wants no more.
    pub(crate) cancelled: bool,
    /// The first reason of a failure.
    why: Option<String>,
    /// Who reads, for the record of that.
    pub(crate) reader: Option<Reader>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(id: u8, request: &'a Request, context: &'a Context, objects: usize) -> Self {
        let counts = Counts { remaining: Some(objects), ..Counts::default() };
        let transfer_syntax = context.transfer_syntax.as_str();
        let (failed, now) = (Vec::new(), Instant::now());
        let (told, looked, cancelled, why, reader) = (now, now, false, None, None);
        Self { id, request, transfer_syntax, counts, failed, told, looked, cancelled, why, reader }
    }

    /// Message ID of the request.
    pub(crate) fn message(&self) -> u16 {
        self.request.message_id
    }

    /// Counts an object.
    pub(crate) fn count(&mut self, sop_instance: &str, fate: Fate) {
        self.counts.remaining = self.counts.remaining.map(|left| left.saturating_sub(1));
        match fate {
            Fate::Completed => self.counts.completed += 1,
            Fate::Warned => self.counts.warned += 1,
            Fate::Failed(why) => {
                tracing::warn!(sop_instance, why, "sub-operation failed");
                self.counts.failed += 1;
                self.why.get_or_insert(why);
                if self.failed.len() < FAILED_LIST_MAX {
                    self.failed.push(sop_instance.to_owned());
                }
            }
        }
    }

    /// The final status and its comment.
    fn outcome(&self) -> (Status, &str) {
        let Counts { completed, failed, warned, .. } = self.counts;
        let why = self.why.as_deref().unwrap_or("");
        if self.cancelled {
            (status::CANCELLED, "")
        } else if failed > 0 && completed == 0 && warned == 0 {
            (status::SUB_OPERATIONS_FAILED, why)
        } else if failed > 0 || warned > 0 {
            (status::SUB_OPERATIONS_PARTLY, why)
        } else {
            (status::SUCCESS, "")
        }
    }
}

impl<R: Receiver> Association<'_, R> {
    /// Tells the asker how far the retrieve is, when it is time to, and looks whether it wants no more.
    pub(crate) fn tell(&mut self, tally: &mut Tally<'_>) -> Result<(), End> {
        self.tell_every(tally, PENDING_EVERY)
    }

    /// The same, at another pace.
    pub(crate) fn tell_every(&mut self, tally: &mut Tally<'_>, every: Duration) -> Result<(), End> {
        if tally.told.elapsed() >= every {
            tally.told = Instant::now();
            let command = tally.request.progress(status::PENDING.code, "", tally.counts, false);
            let bytes = pdu::command_pdus(tally.id, &command, self.peer_pdu_bytes_max);
            self.wire.source().send(&bytes).map_err(End::Lost)?;
        }
        if !tally.cancelled && tally.looked.elapsed() >= LOOK_EVERY {
            tally.looked = Instant::now();
            tally.cancelled = self.is_cancelled(tally.request)?;
        }
        Ok(())
    }

    /// Waits, while the asker is kept awake; ends early when it cancels.
    pub(crate) fn wait(&mut self, tally: &mut Tally<'_>, time: Duration) -> Result<(), End> {
        let end = Instant::now() + time;
        while !tally.cancelled {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(TICK));
            self.tell_every(tally, ALIVE_EVERY)?;
        }
        Ok(())
    }

    /// Begins the record of a retrieve: who asks for which studies, for whom.
    pub(crate) fn begin_record(&self, tally: &mut Tally<'_>, (way, to): (Way, &str), objects: &[R::Stored]) {
        let (caller, title) = (Caller::of_source(&self.source), self.calling.to_string());
        let address = Some(self.peer);
        let reader = Reader { title, to: to.to_owned(), address, ..Reader::new(&caller, way) };
        self.receiver.note_asked(&reader, objects);
        tally.reader = Some(reader);
    }

    /// An object is given.
    pub(crate) fn note_given(&self, tally: &Tally<'_>, object: &R::Stored) {
        if let Some(reader) = &tally.reader {
            self.receiver.note_given(reader, object);
        }
    }

    /// Sends the final answer of a retrieve; returns its status.
    pub(crate) fn finish(&mut self, mut tally: Tally<'_>) -> Result<Status, End> {
        let (status, comment) = tally.outcome();
        let comment = comment.to_owned();
        if !tally.cancelled {
            tally.counts.remaining = None;
        }
        let list = tally.failed.join("\\");
        let data = match list.is_empty() {
            true => Vec::new(),
            false => identifier::write(&[(FAILED_LIST, "UI", &list)], tally.transfer_syntax, ""),
        };
        let command = tally.request.progress(status.code, &comment, tally.counts, !data.is_empty());
        let mut out = Vec::new();
        pdu::message_pdus(tally.id, &command, &data, self.peer_pdu_bytes_max, &mut out);
        self.wire.source().send(&out).map_err(End::Lost)?;
        Ok(status)
    }

    /// The objects that an identifier names.
    pub(crate) fn objects(
        &self,
        context: &Context,
        request: &Request,
        bytes: &[u8],
        name: &str,
    ) -> Result<Vec<R::Stored>, Failure> {
        let root = self.query_root(context, request, name)?;
        let reading = self.reading(context, root);
        let (found, level) = question::read(bytes, &reading)?;
        if !reading.extended.relational {
            question::check_unique(&found, level, root)?;
        }
        let mut query = Query { level: level.rows(), conditions: Vec::new(), fuzzy: false };
        let unique = level.unique_keys(root);
        for wanted in unique {
            let text = found.keys.iter().find(|key| key.key == *wanted).map_or("", |key| key.text.as_str());
            let text = text.trim_matches([' ', '\0']);
            if text.is_empty() {
                continue;
            }
            let row = attribute(*wanted).ok_or_else(|| mismatch("a unique key"))?;
            let test = match *wanted {
                key::PATIENT_ID => Test::Equal(text.to_owned()),
                _ => Test::parse(row, text)
                    .map_err(|error| Failure::new(status::CANNOT_UNDERSTAND, error.to_string()))?,
            };
            query.conditions.push(Condition { key: *wanted, test });
        }
        let own = unique.last();
        if !query.conditions.iter().any(|condition| Some(&condition.key) == own && condition.test != Test::Any) {
            return Err(mismatch(format!("the unique key of level {} is missing", level.term())));
        }
        // A patient's series, not its studies: a study may hold another patient's series too.
        if level == QueryLevel::Patient {
            query.level = Level::Series;
        }
        self.select(query)
    }

    /// Every object of the rows of a query, each once.
    fn select(&self, query: Query) -> Result<Vec<R::Stored>, Failure> {
        let level = query.level;
        let wanted = Wanted { returned: Some(Vec::new()), ..Wanted::of(query) };
        let mut search = self.receiver.search(&self.source, wanted);
        let (mut objects, mut before) = (Vec::new(), None);
        loop {
            let page = search.page(PAGE).map_err(|error: FindError| Failure::from(error))?;
            for row in page.rows {
                let target = match (level, row.series, row.instance) {
                    (Level::Series, Some(series), _) => Target::Series { study: row.study, series },
                    (Level::Instance, Some(series), Some(instance)) => {
                        Target::Instance { study: row.study, series, instance }
                    }
                    _ => Target::Study(row.study),
                };
                if before.as_ref() == Some(&target) {
                    continue;
                }
                match self.receiver.select(&self.source, &target) {
                    Ok(selected) => objects.extend(selected),
                    // Gone since the row was read.
                    Err(RetrieveError::NotFound) => {}
                    Err(error) => return Err(Failure::from(error)),
                }
                if objects.len() > self.options.retrieve_objects_max {
                    let comment = format!("more than {} objects", self.options.retrieve_objects_max);
                    return Err(Failure::new(status::CANNOT_COUNT, comment));
                }
                before = Some(target);
            }
            if page.ended {
                break;
            }
        }
        let mut seen = std::collections::HashSet::new();
        objects.retain(|object: &R::Stored| seen.insert(object.sop_instance().clone()));
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::C_MOVE_RQ;
    use crate::negotiate::Service;
    use crate::query_class::Extended;
    use model::Uid;

    #[test]
    fn the_outcome_is_told_as_it_is() {
        let request = Request {
            field: C_MOVE_RQ,
            message_id: 1,
            sop_class: None,
            sop_instance: None,
            action: None,
            attributes: Vec::new(),
            destination: None,
            is_urgent: false,
            has_data_set: true,
        };
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let context = Context {
            service: Service::Verification,
            abstract_syntax: uid("1.2"),
            transfer_syntax: uid("1.2.840.10008.1.2.1"),
            extended: Extended::default(),
            peer_stores: false,
        };
        let outcome = |fates: &[Fate], cancelled| {
            let mut tally = Tally::new(1, &request, &context, 5);
            fates.iter().for_each(|fate| tally.count("1.2", fate.clone()));
            tally.cancelled = cancelled;
            let (status, _) = tally.outcome();
            (status.code, tally.counts.remaining, tally.failed.len())
        };
        let failed = Fate::Failed("no".into());
        assert_eq!(outcome(&[], false), (0, Some(5), 0));
        assert_eq!(outcome(&[Fate::Completed, Fate::Completed], false), (0, Some(3), 0));
        assert_eq!(outcome(&[Fate::Completed, failed.clone()], false), (0xB000, Some(3), 1));
        assert_eq!(outcome(&[Fate::Warned], false), (0xB000, Some(4), 0));
        assert_eq!(outcome(&[failed.clone(), failed], false), (0xA702, Some(3), 2));
        assert_eq!(outcome(&[Fate::Completed], true), (0xFE00, Some(4), 0));
    }
}
