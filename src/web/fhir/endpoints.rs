//! How images of a facility are read, as Endpoint: DICOMweb, and the viewer by a signed link (IHE IID).

use super::bundle::{Found, Rows};
use super::desk::Desk;
use super::question::Question;
use model::FacilityCode;
use serde_json::{Value, json};

/// Code system of types of connections.
const TYPES: &str = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type";
const WADO: &str = "wado-rs";
const LINK: &str = "iid";

/// The ids of a facility's endpoints.
pub(crate) fn ids(desk: &Desk, facility: FacilityCode) -> Vec<String> {
    let mut all = vec![format!("{facility}.{WADO}")];
    if desk.launches {
        all.push(format!("{facility}.{LINK}"));
    }
    all
}

/// The facility whose endpoint an id names.
pub(crate) fn facility(desk: &Desk, id: &str) -> Option<FacilityCode> {
    let (code, _) = id.split_once('.')?;
    let facility = FacilityCode::parse(code).ok()?;
    ids(desk, facility).iter().any(|one| one == id).then_some(facility)
}

/// One by its id.
pub(crate) fn read(desk: &Desk, id: &str) -> Option<Value> {
    let facility = facility(desk, id).filter(|facility| desk.facilities.contains_key(facility))?;
    Some(shown(desk, facility, id))
}

/// The endpoints that a search asks for.
pub(crate) fn find(desk: &Desk, question: &Question) -> Found {
    let all = desk.facilities.keys().flat_map(|facility| ids(desk, *facility).into_iter().map(|id| (*facility, id)));
    let wanted = all.filter(|(_, id)| {
        question.accepts_token("_id", "", &[id])
            && question.accepts_token("connection-type", TYPES, &[kind(id)])
            && question.accepts_token("status", "http://hl7.org/fhir/endpoint-status", &["active"])
    });
    let rows: Vec<Value> = wanted.map(|(facility, id)| shown(desk, facility, &id)).collect();
    Found { rows: Rows::Made(rows), next: None }
}

fn kind(id: &str) -> &'static str {
    if id.ends_with(LINK) { "ihe-iid" } else { "dicom-wado-rs" }
}

fn shown(desk: &Desk, facility: FacilityCode, id: &str) -> Value {
    let kind = kind(id);
    let address = match kind {
        "ihe-iid" => format!("{}/viewer/iid", desk.base),
        _ => format!("{}/facilities/{facility}/dicom-web", desk.base),
    };
    json!({
        "resourceType": "Endpoint",
        "id": id,
        "status": "active",
        "connectionType": {"system": TYPES, "code": kind},
        "managingOrganization": desk.assigner(facility),
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": [if kind == "ihe-iid" { "text/html" } else { "application/dicom" }],
        "address": address,
    })
}
