//! Facts that outlive their segment: a second journal beside the first, of facts alone (docs/adr/0002).
//!
//! Segments of the journal are released oldest first, and what counts of them is kept here in that order, each fact
//! with the number it was recorded under. So everything here is older than what the journal still holds, and reading
//! first this and then the journal gives every fact in the order it became true.
//! Deliberately not here: which facts count ([`crate::segments`]).

use crate::error::OpenError;
use crate::options::Options;
use model::pack::PackFact;
use model::{FacilityCode, Fact, InstanceHead, Lsn, Uid};
use serde::Deserialize;
use std::sync::Arc;
use store::journal::Image;
use store::{Alarm, Body, Journal, JournalOptions, RealDisk, Record, Replayed};

/// Size of a segment of facts in bytes.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Free space this journal leaves: far less than the other, so that its space can be released on a full disk.
const RESERVE_BYTES: u64 = 64 << 20;
/// Facts appended at once.
const BATCH: usize = 1_000;

/// The facts kept.
pub(crate) struct Facts(Journal);

impl Facts {
    /// Opens what is kept beside the journal directories.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        let dirs = options.journal_dirs().into_iter().map(|dir| dir.join("facts")).collect();
        let journal = JournalOptions {
            segment_bytes: SEGMENT_BYTES,
            blob_above: SEGMENT_BYTES / 2,
            reserve_bytes: RESERVE_BYTES.min(options.reserve_bytes),
            spare_segments: 0,
            ..JournalOptions::new(dirs)
        };
        let (journal, _) = Journal::open(Arc::new(RealDisk), journal)?;
        Ok(Self(journal))
    }

    /// Whether nothing was ever kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.last() == 0
    }

    /// Keeps facts durably, each with its own number, in order.
    pub(crate) fn keep(&self, facts: Vec<(Lsn, Fact)>) -> Result<(), OpenError> {
        let mut facts = facts.into_iter().peekable();
        while facts.peek().is_some() {
            let mut records = Vec::with_capacity(BATCH);
            for (lsn, fact) in facts.by_ref().take(BATCH) {
                let kept = Fact::Forwarded { lsn, was: Box::new(fact) };
                let head = serde_json::to_vec(&kept).map_err(|e| OpenError::Fact { lsn, what: e.to_string() })?;
                records.push(Record { head, body: Body::None });
            }
            self.0.append(&records)?;
        }
        self.0.sync()?;
        // Spares the next start from moving the last batch.
        self.0.mark()?;
        Ok(())
    }

    /// Gives every fact kept, with its own number, in order.
    pub(crate) fn replay(&self, each: &mut dyn FnMut(Lsn, Fact) -> Result<(), OpenError>) -> Result<(), OpenError> {
        self.0.replay(1, &mut |replayed: Replayed<'_>| {
            let fact = parse(replayed.lsn, replayed.head)?;
            match fact {
                Fact::Forwarded { lsn, was } => each(lsn, *was),
                _ => Err(OpenError::Fact { lsn: replayed.lsn, what: "a kept fact has no number of its own".into() }),
            }
        })
    }

    /// Directories that failed while the other one goes on.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        self.0.alarms()
    }

    /// What a copy of it consists of.
    pub(crate) fn image(&self) -> Result<Image<'_>, OpenError> {
        Ok(self.0.image()?)
    }

    /// Ends with nothing left to move at the next start.
    pub(crate) fn close(&self) -> Result<(), OpenError> {
        self.0.sync()?;
        self.0.mark()?;
        self.0.sync()?;
        Ok(())
    }
}

/// How the head of an instance's record begins, ...
const INSTANCE: &[u8] = b"{\"fact\":\"instance\",";
/// ... those of other facts of which there are many, ...
const PACKED: &[u8] = b"{\"fact\":\"pack\",\"event\":\"packed\",";
const QUIET: &[u8] = b"{\"fact\":\"series-quiet\",";
const COMPLETE: &[u8] = b"{\"fact\":\"study-complete\",";
/// ... and that of one copied forward.
const FORWARDED: &[u8] = b"{\"fact\":\"forwarded\",\"lsn\":";

/// Whether a record is that of an instance, told by how its head begins.
pub(crate) fn is_instance(head: &[u8]) -> bool {
    head.starts_with(INSTANCE)
}

/// What tells where an instance belongs.
#[derive(Deserialize)]
pub(crate) struct Glance {
    pub(crate) seq: u64,
    pub(crate) facility: FacilityCode,
    pub(crate) study: Uid,
}

impl From<InstanceHead> for Glance {
    fn from(head: InstanceHead) -> Self {
        Self { seq: head.seq, facility: head.facility, study: head.study }
    }
}

/// Reads of the record of an instance only where it belongs, which costs a part of [`parse`].
pub(crate) fn glance(lsn: Lsn, head: &[u8]) -> Result<Glance, OpenError> {
    serde_json::from_slice(head).map_err(|error| OpenError::Fact { lsn, what: error.to_string() })
}

/// Reads the fact of a record.
pub(crate) fn parse(lsn: Lsn, head: &[u8]) -> Result<Fact, OpenError> {
    let quickly = match forwarded(head) {
        Some((lsn, was)) => frequent(was).map(|was| Fact::Forwarded { lsn, was: Box::new(was) }),
        None => frequent(head),
    };
    let unread = |error: serde_json::Error| OpenError::Fact { lsn, what: error.to_string() };
    quickly.map_or_else(|| serde_json::from_slice(head).map_err(unread), Ok)
}

/// Facts of which there are many. Read as what they are, without looking for the tag among all fields, they cost a
/// third. None for any other, or one that is not written as they are here.
fn frequent(head: &[u8]) -> Option<Fact> {
    if is_instance(head) {
        return serde_json::from_slice(head).ok().map(|head| Fact::Instance(Box::new(head)));
    }
    if head.starts_with(PACKED) {
        return serde_json::from_slice(head).ok().map(|packed| Fact::Pack(Box::new(PackFact::Packed(packed))));
    }
    if head.starts_with(QUIET) {
        return serde_json::from_slice(head).ok().map(Fact::SeriesQuiet);
    }
    if head.starts_with(COMPLETE) {
        return serde_json::from_slice(head).ok().map(Fact::StudyComplete);
    }
    None
}

/// The number of a fact that was copied forward, and the fact.
fn forwarded(head: &[u8]) -> Option<(Lsn, &[u8])> {
    let rest = head.strip_prefix(FORWARDED)?;
    let (number, rest) = rest.split_at_checked(rest.iter().take_while(|byte| byte.is_ascii_digit()).count())?;
    let was = rest.strip_prefix(b",\"was\":")?.strip_suffix(b"}")?;
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, was))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_facts_are_read_as_any_other() {
        let id = r#""facility":"DEMO0","study":"1.2","patient":1,"series":"1.3""#;
        let sums = format!(r#""sha256":"{}","raw":9,"seqs":[4,2],"at":7"#, "a".repeat(64));
        let packed = format!(r#""event":"packed","pack":"{}",{id},"part":1,"len":8,{sums}"#, "0".repeat(32));
        let facts = [
            format!(r#"{{"fact":"series-quiet",{id},"through":5,"at":6}}"#),
            r#"{"fact":"study-complete","facility":"DEMO0","study":"1.2","patient":0,"through":5,"at":6}"#.to_owned(),
            format!(r#"{{"fact":"pack",{packed}}}"#),
        ];
        for text in facts {
            let fact: Fact = serde_json::from_str(&text).expect("a fact");
            assert_eq!(frequent(text.as_bytes()), Some(fact.clone()), "{text}");
            assert_eq!(serde_json::to_string(&fact).expect("text"), text, "it is no longer written so");
            assert_eq!(parse(1, text.as_bytes()).expect("read"), fact);
            let kept = Fact::Forwarded { lsn: 12, was: Box::new(fact) };
            let text = serde_json::to_string(&kept).expect("text");
            assert!(forwarded(text.as_bytes()).is_some_and(|(lsn, was)| lsn == 12 && frequent(was).is_some()));
            assert_eq!(parse(1, text.as_bytes()).expect("read"), kept);
            // As somebody else might write it, with something that a later version knows.
            let other = text.replacen("\"was\":{", "\"was\": {", 1).replace("}}", "},\"new\":{}}");
            assert_eq!(parse(1, other.as_bytes()).expect("read"), kept, "{other}");
            let other = text.replace("}}", "},\"new\":{}}");
            assert_eq!(parse(1, other.as_bytes()).expect("read"), kept, "{other}");
            assert!(parse(1, text.replace("1.2", "1..2").as_bytes()).is_err());
        }
    }
}
