//! Sessions that links begin: a reader of some studies for a while, named by a cookie.
//!
//! In memory: a restart ends them, and the hospital's system opens another.

use super::claim::Refusal;
use super::find::Asked;
use super::roles::Rights;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use model::attribute::key;
use model::chart::ChartKey;
use model::query::{Condition, Test};
use model::{Caller, FacilityCode, Uid};
use parking_lot::{Mutex, RwLock};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most sessions at one time.
const SESSIONS_MAX: usize = 20_000;
/// A session of a patient's link is looked at again after this long, in milliseconds: the link may be revoked, a study
/// corrected.
const LOOK_AGAIN: u64 = 10_000;

/// What a session is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A person of the hospital: what the link asks for, more of it may come.
    Launch(Box<Asked>),
    /// A patient: the link of theirs that is open.
    Shared(ChartKey),
}

/// A session of a link.
#[derive(Debug)]
pub(crate) struct Session {
    /// A reader of the facility; [`Session::permit`] narrows it.
    pub(crate) caller: Caller,
    pub(crate) facility: FacilityCode,
    pub(crate) purpose: Purpose,
    pub(crate) rights: Rights,
    /// The studies found so far, which may be read.
    studies: RwLock<BTreeSet<Uid>>,
    /// When it ends, milliseconds since 1970 UTC.
    until: u64,
    /// When it was last looked whether it still holds.
    looked: AtomicU64,
}

impl Session {
    pub(crate) fn new(caller: Caller, facility: FacilityCode, purpose: Purpose, rights: Rights, until: u64) -> Self {
        Self { caller, facility, purpose, rights, studies: RwLock::default(), until, looked: AtomicU64::new(0) }
    }

    /// The patient's link that it is of.
    pub(crate) fn shared(&self) -> Option<&ChartKey> {
        match &self.purpose {
            Purpose::Shared(row) => Some(row),
            Purpose::Launch(_) => None,
        }
    }

    /// Lets studies be read.
    pub(super) fn add(&self, studies: &[Uid]) {
        if studies.iter().any(|study| !self.studies.read().contains(study)) {
            self.studies.write().extend(studies.iter().cloned());
        }
    }

    /// Lets these studies be read, and no others.
    pub(crate) fn set(&self, studies: impl Iterator<Item = Uid>, now: u64) {
        *self.studies.write() = studies.collect();
        self.looked.store(now, Ordering::Relaxed);
    }

    /// Whether it is time to look again.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        now >= self.looked.load(Ordering::Relaxed).saturating_add(LOOK_AGAIN)
    }

    /// Whether a request is one that this session's rights allow, of one of its studies.
    pub(crate) fn permit(&self, endpoint: Endpoint, path: &[(String, String)]) -> Result<(), Problem> {
        use Endpoint as E;
        if endpoint == E::Session {
            return Ok(());
        }
        // A search is narrowed by `condition`.
        let narrowed = matches!(endpoint, E::FindStudies | E::FindSeries | E::FindInstances);
        if !narrowed && !shows(endpoint) && !takes_along(endpoint) {
            let detail = "the session of a launch link reads the studies of its link and nothing else";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        if !self.rights.images || takes_along(endpoint) && !self.rights.download {
            let detail = "what the link was made for does not include this";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        if narrowed {
            return Ok(());
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

/// What a viewer shows a study by.
fn shows(endpoint: Endpoint) -> bool {
    use Endpoint as E;
    matches!(
        endpoint,
        E::FindSeriesOfStudy
            | E::FindInstancesOfStudy
            | E::FindInstancesOfSeries
            | E::StudyMetadata
            | E::SeriesMetadata
            | E::InstanceMetadata
            | E::Frames
            | E::BulkData
            | E::RenderedStudy
            | E::RenderedSeries
            | E::RenderedInstance
            | E::RenderedFrames
            | E::ThumbnailOfStudy
            | E::ThumbnailOfSeries
            | E::ThumbnailOfInstance
            | E::ThumbnailOfFrames
    )
}

/// What gives objects whole, or all that is in them at once.
fn takes_along(endpoint: Endpoint) -> bool {
    use Endpoint as E;
    matches!(
        endpoint,
        E::RetrieveStudy
            | E::RetrieveSeries
            | E::RetrieveInstance
            | E::StudyPixels
            | E::SeriesPixels
            | E::InstancePixels
            | E::StudyBulkData
            | E::SeriesBulkData
            | E::InstanceBulkData
    )
}

/// The sessions at this time, by the digest of their secret.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<[u8; 32], Arc<Session>>>);

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

impl Sessions {
    /// Begins a session and gives its secret.
    pub(crate) fn begin(&self, session: Arc<Session>, now: u64) -> Result<String, Refusal> {
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

    pub(crate) fn end(&self, secret: &str) {
        self.0.lock().remove(&digest(secret));
    }
}
