//! The keys of FHIR.

use super::options::named;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[fhir]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fhir {
    pub(crate) systems: PathBuf,
}

impl Fhir {
    pub(super) fn options(&self) -> web::FhirOptions {
        web::FhirOptions { systems: named(&self.systems) }
    }
}
