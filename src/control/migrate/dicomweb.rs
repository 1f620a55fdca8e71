//! The DICOMweb way: QIDO-RS asks, WADO-RS fetches.

use super::pulled::Pulled;
use super::way::{StudyTold, Told, Trouble, Way};
use crate::cli::{Exit, Failure};
use model::Uid;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use web::pull::{PullError, PullLimits, Root, Service};

/// A DICOMweb service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WebOther {
    /// `https://HOST/dicom-web`.
    pub(crate) root: String,
    /// Absolute path of the file with the bearer token.
    pub(crate) token_file: Option<PathBuf>,
    /// Absolute path of the file with the authorities that are believed; none means those of the system.
    pub(crate) authorities: Option<PathBuf>,
    /// Longest wait for an answer and between its pieces, in seconds.
    pub(crate) within: u64,
}

pub(super) struct WebWay(Service);

impl WebWay {
    pub(super) fn new(wanted: &WebOther) -> Result<Self, Failure> {
        let answer = Duration::from_secs(wanted.within.max(1));
        let root = Root {
            url: wanted.root.clone(),
            token_file: wanted.token_file.clone(),
            authorities: wanted.authorities.clone(),
        };
        let limits = PullLimits { connect: answer.min(Duration::from_secs(10)), answer };
        let service = Service::new(root, limits);
        service.map(Self).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    }
}

fn trouble(asked: &str, error: &PullError) -> Trouble {
    Trouble { what: format!("{asked}: {error}"), passing: error.is_passing() }
}

/// What the other archive names goes into a URL only when it is a UID.
fn uid(text: &str) -> Result<Uid, Trouble> {
    Uid::parse(text).map_err(|error| Trouble { what: format!("no Study Instance UID: {error}"), passing: false })
}

impl Way for WebWay {
    fn studies(&mut self, dates: &str) -> Result<Vec<StudyTold>, Trouble> {
        let mut studies = Vec::new();
        let asked = self.0.studies(dates, &mut |uid, instances| {
            studies.push(StudyTold { uid: uid.to_owned(), instances });
        });
        asked.map(|()| studies).map_err(|error| trouble("QIDO-RS", &error))
    }

    fn told(&mut self, study: &str) -> Result<Told, Trouble> {
        let mut told = Told::new();
        let asked = self.0.instances(&uid(study)?, &mut |instance, class| {
            told.insert(instance.to_owned(), class);
        });
        asked.map(|()| told).map_err(|error| trouble("QIDO-RS", &error))
    }

    fn fetch(&mut self, study: &str, _: &Told, pulled: &mut Pulled<'_>) -> Result<(), Trouble> {
        let study = uid(study)?;
        pulled.files_of(&study);
        let parts = self.0.retrieve(&study, pulled).map_err(|error| trouble("WADO-RS", &error))?;
        pulled.said = format!("WADO-RS brought {parts} objects, and not this one");
        Ok(())
    }
}
