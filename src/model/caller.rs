//! Who asks, and what may be answered (DESIGN law 7).

use crate::{FacilityCode, Source};
use std::collections::BTreeSet;

/// What a caller may do beyond reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Finds and retrieves.
    Reader,
    /// Also stores (STOW-RS).
    Sender,
    /// Also manages sources and facilities.
    Admin,
}

/// An authenticated asker; every find and retrieve takes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name for audit; never shown to other callers.
    pub name: String,
    /// Role; a higher role includes the lower ones.
    pub role: Role,
    /// The facility the caller works for: its own copy is preferred on the shared root.
    pub home: Option<FacilityCode>,
    /// Facilities whose images it may see; none means every facility (health department).
    pub facilities: Option<BTreeSet<FacilityCode>>,
    /// Whether it is also shown what was rejected for quality; what was rejected for another reason is shown to nobody.
    pub sees_rejected: bool,
}

impl Caller {
    /// The caller of a loopback start without a token file: the demo facility only.
    pub fn demo() -> Self {
        Self {
            name: "demo".into(),
            role: Role::Admin,
            home: Some(FacilityCode::DEMO),
            facilities: Some(BTreeSet::from([FacilityCode::DEMO])),
            sees_rejected: false,
        }
    }

    /// The operator at the machine itself (Unix socket, command line): sees everything.
    pub fn operator() -> Self {
        Self { name: "operator".into(), role: Role::Admin, home: None, facilities: None, sees_rejected: false }
    }

    /// A DIMSE peer: it sees what its own facility has, as a web caller of that facility would.
    pub fn of_source(source: &Source) -> Self {
        Self {
            name: format!("source:{}", source.id),
            role: Role::Sender,
            home: Some(source.facility),
            facilities: Some(BTreeSet::from([source.facility])),
            sees_rejected: false,
        }
    }

    /// Whether images of this facility may be shown to the caller.
    pub fn may_see(&self, facility: FacilityCode) -> bool {
        self.facilities.as_ref().is_none_or(|set| set.contains(&facility))
    }
}

/// Which root of the archive is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A facility's own root: only its instances.
    Facility(FacilityCode),
    /// The shared root: every facility the caller may see, one facility's copy per answer.
    Shared,
}
