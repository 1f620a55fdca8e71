//! What a message asks for, as changes of charts: by the map of its sender and nothing else.
//!
//! Pure: the same message with the same map asks for the same. Refusals and remarks carry no patient's data.
//! Deliberately not here: whether the archive does what is asked.

mod adt;
mod groups;
mod order;
mod patient;
mod record;
mod result;
mod schedule;
#[cfg(test)]
mod tests;

use crate::hl7::values::Moment;
use crate::hl7::{Fault, Message, Piece, Place, Segment};
use crate::map::Map;
use crate::sources::Sender;
use model::chart::Change;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What is translated, and what is remarked meanwhile.
pub(crate) struct Context<'a> {
    message: &'a Message<'a>,
    map: &'a Map,
    /// Minutes the sender's clock is east of UTC.
    offset: i64,
    remarks: RefCell<Vec<String>>,
}

/// What a message asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) changes: Result<Vec<Change>, Fault>,
    pub(crate) remarks: Vec<String>,
}

/// Message types with triggers that are served.
pub const SERVED: &[(&str, &[&str])] = &[
    (
        "ADT",
        &[
            "A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A11", "A12", "A13", "A28", "A31", "A38", "A40",
            "A43", "A45", "A47",
        ],
    ),
    ("ORM", &["O01"]),
    ("OMI", &["O23"]),
    ("OMG", &["O19"]),
    ("ORU", &["R01"]),
    ("OUL", &["R21", "R22", "R23", "R24"]),
    ("SIU", &["S12", "S13", "S14", "S15"]),
];

/// Translates a message.
pub(crate) fn translate(message: &Message<'_>, sender: &Sender) -> Asked {
    let context = Context { message, map: &sender.map, offset: sender.offset, remarks: RefCell::new(Vec::new()) };
    let changes = changes(&context);
    Asked { changes, remarks: context.remarks.into_inner() }
}

fn changes(context: &Context<'_>) -> Result<Vec<Change>, Fault> {
    let head = context.message.head(9);
    let (code, trigger) = (head.component(1).text(), head.component(2).text());
    let served = SERVED.iter().find(|(name, _)| *name == code);
    let Some((_, triggers)) = served else {
        return Err(Fault::message_type(format!("messages of type {} are not served", shown(&code))));
    };
    // Orders and results of version 2.2 named no trigger.
    let trigger = match (trigger.as_str(), *triggers) {
        ("", [only]) => (*only).to_owned(),
        _ => trigger,
    };
    if !triggers.contains(&trigger.as_str()) {
        return Err(Fault::trigger(format!("{code} with trigger {} is not served", shown(&trigger))));
    }
    match code.as_str() {
        "ADT" => adt::changes(context, &trigger),
        "ORM" | "OMI" | "OMG" => order::changes(context),
        "SIU" => schedule::changes(context, &trigger),
        _ => result::changes(context, &code, &trigger),
    }
}

/// A code of a message, fit to be shown.
fn shown(code: &str) -> String {
    let plain = code.len() <= 12 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if code.is_empty() {
        "that is not named".to_owned()
    } else if plain {
        code.to_owned()
    } else {
        "of another form".to_owned()
    }
}

/// The patients that changes are about.
pub(crate) fn patients(changes: &[Change]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for change in changes {
        match change {
            Change::Patient(update) => found.extend([update.mrn.clone()]),
            Change::Merge { survivor, former } => found.extend([survivor.clone(), former.clone()]),
            Change::Renumber { former, number } => found.extend([former.clone(), number.clone()]),
            Change::MoveVisit { mrn, .. } => found.extend([mrn.clone()]),
            Change::Visit(update) => found.extend([update.mrn.clone()]),
            Change::Order(update) => found.extend(update.mrn.clone()),
            Change::Report(report) => found.extend([report.mrn.clone()]),
        }
    }
    found
}

/// The patient a message is about: that of its first change that has one.
pub(crate) fn patient_of(changes: &[Change]) -> Option<String> {
    changes.iter().find_map(|change| match change {
        Change::Merge { survivor, .. } => Some(survivor.clone()),
        other => patients(std::slice::from_ref(other)).into_iter().next(),
    })
}

impl<'a> Context<'a> {
    fn remark(&self, text: impl Into<String>) {
        let text = text.into();
        let mut remarks = self.remarks.borrow_mut();
        if !remarks.contains(&text) {
            remarks.push(text);
        }
    }

    /// The only segment PID of a message about one patient.
    fn only_pid(&self) -> Result<Option<Segment<'a>>, Fault> {
        let mut pids = self.message.segments().iter().filter(|segment| segment.name() == "PID");
        let first = pids.next().copied();
        if pids.next().is_some() {
            return Err(Fault::sequence("PID", "one message is about one patient: send one for each").of(2));
        }
        Ok(first)
    }

    /// A time in milliseconds since 1970 UTC; one that cannot be read is remarked and left out.
    fn ms(&self, piece: Piece<'_>, what: &str) -> Option<u64> {
        let text = piece.text();
        if text.is_empty() {
            return None;
        }
        let moment = Moment::parse(&text);
        if moment.is_none() {
            self.remark(format!("{what} is no time and was left out"));
        }
        moment.map(|moment| moment.ms(self.offset))
    }

    /// When the message was written, by its head.
    fn written(&self) -> Option<u64> {
        self.ms(self.message.head(7).component(1), "MSH-7")
    }
}

/// Where values are looked for: a group of segments, then those before the first group.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s, 'a> {
    own: &'s [Segment<'a>],
    head: &'s [Segment<'a>],
}

impl<'s, 'a> Scope<'s, 'a> {
    /// The first segment of a name.
    fn first(&self, name: &str) -> Option<Segment<'a>> {
        self.own.iter().chain(self.head).find(|segment| segment.name() == name).copied()
    }

    /// Segments of a name in the group.
    fn all(&self, name: &'s str) -> impl Iterator<Item = Segment<'a>> + use<'s, 'a> {
        self.own.iter().filter(move |segment| segment.name() == name).copied()
    }

    /// Every value at the first of some places that has one.
    fn values(&self, places: &[Place]) -> Vec<String> {
        let at = |place: &Place| self.first(&place.segment).map(|segment| place.values(&segment));
        places.iter().filter_map(at).find(|values| !values.is_empty()).unwrap_or_default()
    }

    /// The first value at the first of some places that has one.
    fn value(&self, places: &[Place]) -> Option<String> {
        self.values(places).into_iter().next()
    }
}
