//! What every answer needs: the archive, who asks, and how facilities, numbers and references are written.

use super::ids;
use super::systems::Systems;
use super::tables::Resource;
use crate::app::Call;
use archive::Archive;
use archive::charts::{ChartError, Charts};
use model::chart::{ChartKey, ChartKind, ChartRow};
use model::{Caller, FacilityCode, Role};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Code system of types of identifiers (HL7 table 0203).
const TYPES: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
/// Code system of DICOM.
pub(crate) const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";

/// One request's view of the archive.
pub(crate) struct Desk {
    pub(crate) archive: Arc<Archive>,
    pub(crate) caller: Caller,
    /// URL of the service, without a trailing slash.
    pub(crate) base: String,
    pub(crate) systems: Arc<Systems>,
    /// Names of the facilities the caller may see.
    pub(crate) facilities: BTreeMap<FacilityCode, String>,
    /// Hours the facilities' clock is east of UTC.
    pub(crate) utc_offset: i8,
    /// Milliseconds since 1970 UTC.
    pub(crate) now: u64,
    /// Whether signed links open the viewer.
    pub(crate) launches: bool,
    /// Whether a study is told with its instances.
    pub(crate) instances: bool,
}

impl Desk {
    pub(crate) fn of(call: &Call) -> Self {
        let archive = Arc::clone(&call.app.archive);
        let (known, _) = archive.sources();
        let seen = known.into_iter().filter(|one| call.caller.may_see(one.code));
        Self {
            caller: call.caller.clone(),
            base: call.base_url(),
            systems: call.app.fhir.now(),
            facilities: seen.map(|one| (one.code, one.name)).collect(),
            utc_offset: archive.options().forward.utc_offset,
            now: (call.app.options.launch.clock)(),
            launches: call.app.viewer.is_some() && call.app.options.launch.keys.is_some(),
            instances: call.query_value("instances") == Some("true"),
            archive,
        }
    }

    /// A reader of one facility, without a request: what subscribers are sent is told as such a reader sees it.
    pub(crate) fn of_facility(
        archive: &Arc<Archive>,
        facility: FacilityCode,
        systems: Arc<Systems>,
        base: String,
        now: u64,
    ) -> Self {
        let (known, _) = archive.sources();
        let caller = Caller {
            name: "subscription".into(),
            role: Role::Reader,
            home: Some(facility),
            facilities: Some([facility].into()),
            sees_rejected: false,
        };
        Self {
            caller,
            base,
            systems,
            facilities: known.into_iter().filter(|one| one.code == facility).map(|one| (one.code, one.name)).collect(),
            utc_offset: archive.options().forward.utc_offset,
            now,
            launches: false,
            instances: false,
            archive: Arc::clone(archive),
        }
    }

    pub(crate) fn charts(&self) -> &Charts {
        self.archive.charts()
    }

    /// A row of charts the caller may see.
    pub(crate) fn row(
        &self,
        kind: ChartKind,
        facility: FacilityCode,
        id: &str,
    ) -> Result<Option<ChartRow>, ChartError> {
        match ChartKey::new(kind, facility, id) {
            Ok(key) => self.charts().get(&self.caller, &key),
            Err(_) => Ok(None),
        }
    }

    /// A facility as the assigner of a number.
    pub(crate) fn assigner(&self, facility: FacilityCode) -> Value {
        let mut assigner = json!({"identifier": {"system": self.systems.facility, "value": facility}});
        let name = self.facilities.get(&facility).filter(|name| !name.trim().is_empty());
        if let (Some(object), Some(name)) = (assigner.as_object_mut(), name) {
            object.insert("display".into(), name.trim().into());
        }
        assigner
    }

    /// A number with its type (HL7 table 0203), of a facility or of nobody in particular.
    pub(crate) fn identifier(&self, kind: &str, system: &str, value: &str, of: Option<FacilityCode>) -> Value {
        let mut identifier = json!({"system": system, "value": value.trim()});
        let Some(object) = identifier.as_object_mut() else { return identifier };
        if !kind.is_empty() {
            object.insert("type".into(), json!({"coding": [{"system": TYPES, "code": kind}]}));
        }
        if let Some(facility) = of {
            object.insert("assigner".into(), self.assigner(facility));
        }
        identifier
    }

    /// A reference to a patient of a facility: by its id where charts know it, by its number and name in any case.
    pub(crate) fn patient(&self, facility: FacilityCode, mrn: &str, name: &str) -> Result<Value, ChartError> {
        let mut reference = Map::new();
        let mrn = mrn.trim();
        if !mrn.is_empty() {
            if self.row(ChartKind::Patient, facility, mrn)?.is_some() {
                reference.extend(self.reference(Resource::Patient, ids::of(facility, mrn)));
            }
            let number = self.identifier("MR", &self.systems.mrn, mrn, Some(facility));
            reference.insert("identifier".into(), number);
        }
        let name = name.trim();
        if !name.is_empty() {
            reference.insert("display".into(), name.into());
        } else if reference.is_empty() {
            reference.insert("display".into(), "not told".into());
        }
        reference.insert("type".into(), Resource::Patient.name().into());
        Ok(Value::Object(reference))
    }

    /// The element of a reference by id.
    pub(crate) fn reference(&self, resource: Resource, id: Option<String>) -> Option<(String, Value)> {
        id.map(|id| ("reference".to_owned(), format!("{}/{id}", resource.name()).into()))
    }

    /// The URL of a resource.
    pub(crate) fn url(&self, resource: &Value) -> String {
        let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{}/fhir/{}/{}", self.base, text("resourceType"), text("id"))
    }

    /// Version and time of the last change.
    pub(crate) fn meta(&self, version: u64, changed: u64) -> Value {
        json!({"versionId": version.to_string(), "lastUpdated": super::dates::instant(changed, self.utc_offset)})
    }
}

/// Adds an element where there is something to say.
pub(crate) fn add(object: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let value = value.into();
    let empty = match &value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if !empty {
        object.insert(name.to_owned(), value);
    }
}
