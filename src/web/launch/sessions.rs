//! Sessions that links begin: a reader of some studies for a while, named by a cookie.
//!
//! In memory: a restart ends them, and the hospital's system opens another.

use super::claim::Refusal;
use super::find::Asked;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use model::attribute::key;
use model::query::{Condition, Test};
use model::{Caller, FacilityCode, Uid};
use parking_lot::{Mutex, RwLock};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

/// Most sessions at one time.
const SESSIONS_MAX: usize = 20_000;

/// A session of a link.
#[derive(Debug)]
pub(crate) struct Session {
    /// A reader of the facility; [`Session::permit`] narrows it.
    pub(crate) caller: Caller,
    pub(super) facility: FacilityCode,
    /// What the link asks for: more of it may come.
    pub(super) asked: Asked,
    /// The studies found so far, which may be read.
    studies: RwLock<BTreeSet<Uid>>,
    /// When it ends, milliseconds since 1970 UTC.
    until: u64,
}

impl Session {
    pub(super) fn new(caller: Caller, facility: FacilityCode, asked: Asked, until: u64) -> Self {
        Self { caller, facility, asked, studies: RwLock::default(), until }
    }

    /// Lets studies be read.
    pub(super) fn add(&self, studies: &[Uid]) {
        if studies.iter().any(|study| !self.studies.read().contains(study)) {
            self.studies.write().extend(studies.iter().cloned());
        }
    }

    /// Whether a request is one that a viewer reads a study of this session by.
    pub(crate) fn permit(&self, endpoint: Endpoint, path: &[(String, String)]) -> Result<(), Problem> {
        use Endpoint as E;
        let of_a_study = matches!(
            endpoint,
            E::FindSeriesOfStudy
                | E::FindInstancesOfStudy
                | E::FindInstancesOfSeries
                | E::RetrieveStudy
                | E::RetrieveSeries
                | E::RetrieveInstance
                | E::StudyMetadata
                | E::SeriesMetadata
                | E::InstanceMetadata
                | E::Frames
                | E::BulkData
                | E::StudyPixels
                | E::SeriesPixels
                | E::InstancePixels
                | E::StudyBulkData
                | E::SeriesBulkData
                | E::InstanceBulkData
                | E::RenderedStudy
                | E::RenderedSeries
                | E::RenderedInstance
                | E::RenderedFrames
                | E::ThumbnailOfStudy
                | E::ThumbnailOfSeries
                | E::ThumbnailOfInstance
                | E::ThumbnailOfFrames
        );
        // A search is narrowed by `condition`.
        let narrowed = matches!(endpoint, E::Session | E::FindStudies | E::FindSeries | E::FindInstances);
        if narrowed {
            return Ok(());
        }
        if !of_a_study {
            let detail = "the session of a launch link reads the studies of its link and nothing else";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        let named = path.iter().find(|(name, _)| name == "study").and_then(|(_, uid)| Uid::parse(uid).ok());
        if named.is_some_and(|study| self.studies.read().contains(&study)) {
            return Ok(());
        }
        Err(Problem::new(Kind::NotFound, "the archive holds nothing under these UIDs for you"))
    }

    /// What every search of the session must also satisfy.
    pub(crate) fn condition(&self) -> Condition {
        let mut uids: Vec<String> = self.studies.read().iter().map(|uid| uid.as_str().to_owned()).collect();
        if uids.is_empty() {
            // No study has this for its UID.
            uids.push("none".into());
        }
        Condition { key: key::STUDY_INSTANCE_UID, test: Test::OneOf(uids) }
    }
}

/// The sessions at this time, by the digest of their secret.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Arc<Session>>>);

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

impl Sessions {
    /// Begins a session and gives its secret.
    pub(super) fn begin(&self, session: Arc<Session>, now: u64) -> Result<String, Refusal> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Refusal::Full)?;
        let mut secret = String::with_capacity(64);
        bytes.iter().for_each(|byte| {
            let _ = write!(secret, "{byte:02x}");
        });
        let mut held = self.0.lock();
        if held.len() >= SESSIONS_MAX {
            held.retain(|_, session| session.until > now);
        }
        if held.len() >= SESSIONS_MAX {
            return Err(Refusal::Full);
        }
        held.insert(digest(&secret), session);
        Ok(secret)
    }

    /// The session of a secret, while it lasts.
    pub(super) fn get(&self, secret: &str, now: u64) -> Option<Arc<Session>> {
        let (name, mut held) = (digest(secret), self.0.lock());
        let session = held.get(&name)?;
        if session.until > now {
            return Some(Arc::clone(session));
        }
        held.remove(&name);
        None
    }

    pub(super) fn end(&self, secret: &str) {
        self.0.lock().remove(&digest(secret));
    }
}
