//! What AuditEvent tells of a read: who, from where, how, how often.
//!
//! A row of [`model::chart::Read`] stands for an hour of one caller, one study and one way, and so does its event.

use super::audits::{Done, Kind};
use super::dates;
use super::desk::{Desk, add};
use super::pages::{self, bounded};
use super::patients::Numbers;
use crate::problem::Problem;
use model::attribute::key;
use model::chart::{Read, Way};
use model::query::{Condition, Query, Test};
use model::{FacilityCode, Level, Scope, Uid};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const ACCESSED: Kind = ("110103", "DICOM Instances Accessed");
const TRANSFERRED: Kind = ("110104", "DICOM Instances Transferred");
const EXPORT: Kind = ("110106", "Export");
/// What stands before the way in the subtype.
const READ: &str = "read-";

/// What a read tells.
pub(super) fn of_read(read: &Read, base: Done) -> Done {
    let kind = match read.way {
        Way::Get | Way::Move => TRANSFERRED,
        Way::Export => EXPORT,
        _ => ACCESSED,
    };
    let what = format!("{READ}{}", read.way.name());
    let times = u32::try_from(read.requests).unwrap_or(u32::MAX);
    Done { kind, what, studies: vec![read.study.clone()], times, read: Some(Box::new(read.clone())), ..base }
}

/// Studies whose images name one of the numbers.
pub(super) fn studies_of(desk: &Desk, numbers: &Numbers) -> Result<BTreeSet<(FacilityCode, Uid)>, Problem> {
    pages::looked_up(desk, numbers.iter().filter(|(facility, _)| facility.is_none()).count())?;
    let mut studies = BTreeSet::new();
    for (facility, number) in numbers.iter().filter(|(_, number)| !number.contains('\\')) {
        let facilities = match facility {
            Some(facility) => vec![*facility],
            None => desk.facilities.keys().copied().collect(),
        };
        let condition = Condition { key: key::PATIENT_ID, test: Test::Equal(number.clone()) };
        let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
        for facility in facilities {
            let limit = pages::NAMED_MAX.saturating_add(1);
            let found = desk.archive.find(&desk.caller, Scope::Facility(facility), &query, 0, limit)?;
            studies.extend(found.rows.into_iter().map(|row| (row.facility, row.study)));
            bounded(studies.len())?;
        }
    }
    Ok(studies)
}

/// The agents of a read: who asked, and who got the objects where that is somebody else.
pub(super) fn agents(read: &Read) -> Vec<Value> {
    let mut agent = Map::new();
    add(&mut agent, "who", json!({"display": read.by}));
    add(&mut agent, "altId", read.title.clone());
    add(&mut agent, "requestor", true);
    if let Some(address) = read.addresses.first() {
        // 2: an IP address (value set network-type).
        add(&mut agent, "network", json!({"address": address.to_string(), "type": "2"}));
    }
    let mut agents = vec![Value::Object(agent)];
    if !read.to.is_empty() {
        agents.push(json!({"who": {"display": read.to}, "requestor": false}));
    }
    agents
}

/// From the first request to the last.
pub(super) fn period(desk: &Desk, read: &Read) -> Value {
    json!({"start": dates::instant(read.first, desk.utc_offset), "end": dates::instant(read.last, desk.utc_offset)})
}

/// What else is known of a read.
pub(super) fn details(read: &Read) -> Vec<Value> {
    let mut details = Vec::new();
    let mut detail = |name: &str, text: String| details.push(json!({"type": name, "valueString": text}));
    detail("requests", read.requests.to_string());
    detail("instances", read.objects.to_string());
    detail("role", format!("{:?}", read.role).to_lowercase());
    if let Some(home) = read.home {
        detail("facility", home.to_string());
    }
    if !read.purpose.is_empty() {
        detail("purpose", read.purpose.clone());
    }
    for address in read.addresses.iter().skip(1) {
        detail("address", address.to_string());
    }
    if read.more {
        detail("address", "more".into());
    }
    details
}
