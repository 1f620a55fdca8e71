//! What a subscriber is sent of an event: the resource as a reader of the facility sees it when it goes out.

use super::bundle;
use super::desk::Desk;
use super::systems::Systems;
use super::tables::Resource;
use super::{ids, studies};
use crate::problem::Problem;
use archive::charts::outbox::dispatch::Parcel;
use model::chart::{ChartBody, EventKind};
use serde_json::Value;
use std::sync::Arc;

/// The resource that an event is about; none of one that cannot be told, or not of this patient alone.
pub(crate) fn told(parcel: &Parcel, systems: Arc<Systems>, base: &str, now: u64) -> Result<Option<Value>, Problem> {
    let desk = Desk::of_facility(&parcel.archive, parcel.facility, systems, base.to_owned(), now);
    let (event, facility) = (&parcel.delivery.event, parcel.facility);
    let (resource, id) = match event.kind {
        EventKind::StudyAvailable | EventKind::StudyChanged => {
            let Some(study) = event.study.as_ref().filter(|study| study.as_str() == event.id) else { return Ok(None) };
            if !studies::is_one(&desk, facility, study)? {
                return Ok(None);
            }
            (Resource::ImagingStudy, Some(ids::of_study(facility, study)))
        }
        EventKind::Order => (Resource::ServiceRequest, ids::of(facility, &event.id)),
        EventKind::Result => (Resource::DiagnosticReport, ids::of(facility, &event.id)),
        EventKind::Merged | EventKind::Unmerged => match &parcel.body {
            ChartBody::Merge(merge) => (Resource::Patient, ids::of(facility, &merge.former)),
            _ => return Ok(None),
        },
        EventKind::Patient => (Resource::Patient, ids::of(facility, &event.id)),
    };
    match id {
        Some(id) => bundle::resource(&desk, resource, &id),
        None => Ok(None),
    }
}
