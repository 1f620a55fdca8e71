//! Which identifier system stands for which number: a map file, since the names of VN Core are still a draft.
//!
//! Deliberately not here: which number is right.

use crate::auth::TokenFileError;
use crate::auth::watched::{Form, Watched};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// The systems. In VN Core `citizen_id` is the old identity card (CMND), and `national_id` the current number (CCCD).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Systems {
    /// Personal identification number, 12 digits.
    pub(crate) national: String,
    /// Old identity card.
    pub(crate) old_card: String,
    /// Passport.
    pub(crate) passport: String,
    /// Health insurance.
    pub(crate) insurance: String,
    /// A facility's number of a patient.
    pub(crate) mrn: String,
    /// Codes of facilities.
    pub(crate) facility: String,
    /// Visit numbers of facilities.
    pub(crate) visit: String,
    /// Placer order numbers.
    pub(crate) placer: String,
    /// Filler order numbers.
    pub(crate) filler: String,
    /// Accession numbers.
    pub(crate) accession: String,
    /// Numbers of results.
    pub(crate) report: String,
    /// Codes of procedures without a scheme of their own.
    pub(crate) procedure: String,
}

impl Default for Systems {
    fn default() -> Self {
        let core = |name: &str| format!("http://fhir.ehealth.gov.vn/core/sid/{name}");
        let own = |name: &str| format!("urn:khoanh:{name}");
        Self {
            national: core("national_id"),
            old_card: core("citizen_id"),
            passport: core("passport_number"),
            insurance: core("insurance_number"),
            mrn: core("patient-internal-id"),
            facility: own("facility"),
            visit: own("visit"),
            placer: own("placer"),
            filler: own("filler"),
            accession: own("accession"),
            report: own("report"),
            procedure: own("procedure"),
        }
    }
}

impl Systems {
    fn all(&self) -> [&str; 12] {
        [
            &self.national,
            &self.old_card,
            &self.passport,
            &self.insurance,
            &self.mrn,
            &self.facility,
            &self.visit,
            &self.placer,
            &self.filler,
            &self.accession,
            &self.report,
            &self.procedure,
        ]
    }
}

static MAP_FILE: Form<Systems> = Form { file: "map of FHIR systems", unusable: "khoanh_fhir_systems_unusable", parse };

fn parse(text: &str) -> Result<Systems, String> {
    let systems: Systems = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let all = systems.all();
    for (at, one) in all.iter().enumerate() {
        if !one.contains(':')
            || one.contains(|letter: char| letter.is_whitespace() || matches!(letter, '|' | ',' | '\\'))
        {
            return Err(format!("{one:?} is no URI"));
        }
        if all.iter().skip(at + 1).any(|other| other == one) {
            return Err(format!("{one:?} stands for two kinds of numbers"));
        }
    }
    Ok(systems)
}

/// The systems as of now.
#[derive(Debug, Default)]
pub(crate) struct Map(Option<Watched<Systems>>);

impl Map {
    /// The systems of a file, read again when it changes; those built in without one or where it cannot be used.
    pub(crate) fn open(path: Option<&Path>) -> Self {
        let watched = path.and_then(|path| match read(path) {
            Ok(watched) => Some(watched),
            Err(error) => {
                tracing::error!(%error, "FHIR tells numbers by the systems that are built in");
                None
            }
        });
        Self(watched)
    }

    pub(crate) fn now(&self) -> Arc<Systems> {
        self.0.as_ref().map_or_else(Arc::default, Watched::now)
    }
}

/// Reads the file.
///
/// # Errors
/// When it cannot be used.
fn read(path: &Path) -> Result<Watched<Systems>, TokenFileError> {
    Watched::read(path, &MAP_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_map_says_what_is_built_in() {
        let shipped = parse(include_str!("../../../config/fhir-systems.toml")).expect("usable");
        assert_eq!(shipped, Systems::default());
        assert!(shipped.old_card.ends_with("/citizen_id") && shipped.national.ends_with("/national_id"));
    }

    #[test]
    fn a_map_says_what_differs_and_no_two_numbers_are_one() {
        let map = parse("national = \"http://example.vn/cccd\"").expect("usable");
        assert_eq!((map.national.as_str(), &map.mrn), ("http://example.vn/cccd", &Systems::default().mrn));
        for wrong in ["national = \"x\"", "national = \"a: b\"", "colour = \"a:b\"", "mrn = \"urn:khoanh:visit\""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
