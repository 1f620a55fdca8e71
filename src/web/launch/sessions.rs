//! Sessions that links begin: a reader of some studies for a while, named by a cookie.
//!
//! In memory: a restart ends them, and the hospital's system opens another. Their number is bounded, in all, of links that
//! open again and again, which are patients' and those in messages, and of each such link: who has one and opens it again
//! and again ends sessions of that link alone.

use super::claim::Refusal;
use super::find::Asked;
use super::roles::Rights;
use crate::problem::{Kind, Problem};
use crate::reads::is_pictures;
use crate::routes::Endpoint;
use model::attribute::key;
use model::chart::ChartKey;
use model::query::{Condition, Test};
use model::{Caller, FacilityCode, Uid};
use parking_lot::{Mutex, RwLock};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most sessions at one time.
const SESSIONS_MAX: usize = 20_000;
/// Of these, most of links that open again and again: the rest is kept for people of the hospitals.
const SHARED_MAX: usize = 15_000;
/// Most sessions of one patient's link; one more ends the oldest of them.
const OF_LINK_MAX: usize = 16;
/// Most sessions of the links to one study in messages, which several people read; one more ends the oldest of them.
const OF_MESSAGE_MAX: usize = 64;
/// A session of a link that opens again and again, or that names a patient, is looked at again after this long, in
/// milliseconds: the link may be revoked, a study corrected.
const LOOK_AGAIN: u64 = 10_000;

/// What a session is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A person of the hospital: what the link asks for, more of it may come.
    Launch(Box<Asked>),
    /// A patient: the link of theirs that is open.
    Shared(ChartKey),
}

/// A link that opens again and again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Again {
    /// A patient's.
    Ticket(ChartKey),
    /// One in messages, by its name.
    Message(String),
}

impl Again {
    /// Most sessions of it.
    const fn most(&self) -> usize {
        match self {
            Self::Ticket(_) => OF_LINK_MAX,
            Self::Message(_) => OF_MESSAGE_MAX,
        }
    }
}

/// A session of a link.
#[derive(Debug)]
pub(crate) struct Session {
    /// A reader of the facility; [`Session::permit`] narrows it.
    pub(crate) caller: Caller,
    pub(crate) facility: FacilityCode,
    pub(crate) purpose: Purpose,
    pub(crate) rights: Rights,
    /// Of which link that opens again and again.
    again: Option<Again>,
    /// Role and purpose that its link was signed for, for the record of what is read; empty: none.
    pub(crate) claimed: String,
    /// The studies found so far, which may be read.
    studies: RwLock<BTreeSet<Uid>>,
    /// When it ends, milliseconds since 1970 UTC.
    until: u64,
    /// When it was last looked whether it still holds.
    looked: AtomicU64,
}

impl Session {
    pub(crate) fn new(caller: Caller, facility: FacilityCode, purpose: Purpose, rights: Rights, until: u64) -> Self {
        let again = match &purpose {
            Purpose::Shared(row) => Some(Again::Ticket(row.clone())),
            Purpose::Launch(_) => None,
        };
        let (claimed, studies, looked) = (String::new(), RwLock::default(), AtomicU64::new(0));
        Self { caller, facility, purpose, rights, again, claimed, studies, until, looked }
    }

    /// The same of a link in messages, where it has the name of one.
    pub(super) fn of_message(mut self, name: Option<String>) -> Self {
        self.again = name.map(Again::Message).or(self.again);
        self
    }

    /// Whether what it may read is looked at again while it lasts: images may become another patient's, and another patient
    /// may get images under a UID.
    pub(super) fn follows_a_patient(&self) -> bool {
        let names = |purpose: &Purpose| matches!(purpose, Purpose::Launch(asked) if asked.names_patient());
        matches!(self.again, Some(Again::Message(_))) || names(&self.purpose)
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

    /// The studies that may be read now.
    pub(super) fn open(&self) -> BTreeSet<Uid> {
        self.studies.read().clone()
    }

    /// Lets studies be read no more.
    pub(super) fn close(&self, studies: &BTreeSet<Uid>) {
        if !studies.is_empty() {
            self.studies.write().retain(|study| !studies.contains(study));
        }
    }

    /// It was looked whether it still holds.
    pub(super) fn looked(&self, now: u64) {
        self.looked.store(now, Ordering::Relaxed);
    }

    /// Lets these studies be read, and no others.
    pub(crate) fn set(&self, studies: impl Iterator<Item = Uid>, now: u64) {
        *self.studies.write() = studies.collect();
        self.looked(now);
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
    let told = matches!(
        endpoint,
        E::FindSeriesOfStudy
            | E::FindInstancesOfStudy
            | E::FindInstancesOfSeries
            | E::StudyMetadata
            | E::SeriesMetadata
            | E::InstanceMetadata
            | E::Frames
            | E::BulkData
    );
    told || is_pictures(endpoint)
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

/// The sessions at this time.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Held>);

/// Digest of a session's secret.
type Name = [u8; 32];

#[derive(Debug, Default)]
struct Held {
    all: HashMap<Name, Arc<Session>>,
    /// Those of links that open again and again by their link, the oldest first.
    of_links: HashMap<Again, VecDeque<Name>>,
    /// How many those are.
    shared: usize,
}

impl Held {
    fn remove(&mut self, name: &Name) {
        let Some(session) = self.all.remove(name) else { return };
        let Some(link) = &session.again else { return };
        self.shared = self.shared.saturating_sub(1);
        if let Some(names) = self.of_links.get_mut(link) {
            names.retain(|one| one != name);
            if names.is_empty() {
                self.of_links.remove(link);
            }
        }
    }

    fn is_full(&self, is_shared: bool) -> bool {
        self.all.len() >= SESSIONS_MAX || is_shared && self.shared >= SHARED_MAX
    }

    /// Makes room for one more: the oldest of the same link goes where it has its number, and what is over where there is
    /// no place.
    fn make_room(&mut self, session: &Session, now: u64) -> Result<(), Refusal> {
        let link = session.again.as_ref();
        let names = link.and_then(|link| self.of_links.get(link).filter(|names| names.len() >= link.most()));
        if let Some(oldest) = names.and_then(|names| names.front()).copied() {
            self.remove(&oldest);
        }
        if self.is_full(link.is_some()) {
            let over = self.all.iter().filter(|(_, session)| session.until <= now).map(|(name, _)| *name);
            over.collect::<Vec<_>>().iter().for_each(|name| self.remove(name));
        }
        if self.is_full(link.is_some()) { Err(Refusal::Full) } else { Ok(()) }
    }

    fn add(&mut self, name: Name, session: Arc<Session>) {
        if let Some(link) = &session.again {
            self.shared = self.shared.saturating_add(1);
            self.of_links.entry(link.clone()).or_default().push_back(name);
        }
        self.all.insert(name, session);
    }
}

fn digest(secret: &str) -> Name {
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
        held.make_room(&session, now)?;
        held.add(digest(&secret), session);
        Ok(secret)
    }

    /// The session of a secret, while it lasts.
    pub(super) fn get(&self, secret: &str, now: u64) -> Option<Arc<Session>> {
        let (name, mut held) = (digest(secret), self.0.lock());
        let session = held.all.get(&name)?;
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

#[cfg(test)]
mod tests {
    use super::super::claim::Claim;
    use super::super::roles::VIEW;
    use super::*;
    use model::Role;
    use model::chart::ChartKind;

    const HOME: FacilityCode = FacilityCode::DEMO;

    fn session(purpose: Purpose, until: u64) -> Arc<Session> {
        let caller = Caller {
            name: "somebody".into(),
            role: Role::Reader,
            home: Some(HOME),
            facilities: Some(BTreeSet::from([HOME])),
            sees_rejected: false,
        };
        Arc::new(Session::new(caller, HOME, purpose, VIEW, until))
    }

    fn of_link(number: usize, until: u64) -> Arc<Session> {
        let link = ChartKey::new(ChartKind::Ticket, HOME, &number.to_string()).expect("a key");
        session(Purpose::Shared(link), until)
    }

    fn of_person(until: u64) -> Arc<Session> {
        let claim = Claim {
            facility: HOME,
            user: "an".into(),
            role: String::new(),
            purpose: String::new(),
            patient: None,
            studies: vec![Uid::parse("1.2.3").expect("a UID")],
            accession: None,
            id: "1".into(),
            expires: 1,
            issued: None,
            not_before: None,
            lasts: false,
            whose: None,
        };
        session(Purpose::Launch(Box::new(Asked::of(&[], &claim).expect("a question"))), until)
    }

    #[test]
    fn one_link_ends_its_own_oldest_sessions_and_nobody_elses() {
        let sessions = Sessions::default();
        let begin = |session: Arc<Session>| sessions.begin(session, 0).expect("room");
        let (person, other) = (begin(of_person(10)), begin(of_link(1, 10)));
        let mine: Vec<String> = (0..OF_LINK_MAX + 3).map(|_| begin(of_link(0, 10))).collect();
        let there: Vec<bool> = mine.iter().map(|secret| sessions.get(secret, 5).is_some()).collect();
        let expected: Vec<bool> = (0..mine.len()).map(|at| at >= 3).collect();
        assert_eq!(there, expected);
        assert!(sessions.get(&person, 5).is_some() && sessions.get(&other, 5).is_some());
        // What ended by itself, or was ended, has given its place back.
        sessions.end(&mine[3]);
        assert!(sessions.get(&mine[4], 10).is_none(), "it is over");
        begin(of_link(0, 20));
        begin(of_link(0, 20));
        assert!(sessions.get(&mine[5], 5).is_some());
        let held = sessions.0.lock();
        assert_eq!((held.shared, held.all.len(), held.of_links.len()), (OF_LINK_MAX + 1, OF_LINK_MAX + 2, 2));
    }

    #[test]
    fn a_link_in_a_message_that_is_opened_again_and_again_takes_nobodys_place() {
        let sessions = Sessions::default();
        let of_message = |study: &str| {
            let session = Arc::into_inner(of_person(10)).expect("nobody else has it");
            Arc::new(session.of_message(Some(format!("{HOME}/{study}"))))
        };
        let first = sessions.begin(of_message("1.2.3"), 0).expect("room");
        let other = sessions.begin(of_message("1.2.4"), 0).expect("room");
        for _ in 0..SESSIONS_MAX {
            sessions.begin(of_message("1.2.3"), 0).expect("room");
        }
        assert!(sessions.get(&first, 5).is_none() && sessions.get(&other, 5).is_some());
        sessions.begin(of_person(10), 0).expect("room for whom the hospital's system sends");
        assert_eq!(sessions.0.lock().all.len(), OF_MESSAGE_MAX + 2);
    }

    #[test]
    fn patients_leave_room_for_the_people_of_the_hospitals() {
        let sessions = Sessions::default();
        for number in 0..SHARED_MAX {
            sessions.begin(of_link(number, 10), 0).expect("room");
        }
        assert_eq!(sessions.begin(of_link(SHARED_MAX, 10), 0), Err(Refusal::Full));
        for _ in SHARED_MAX..SESSIONS_MAX {
            sessions.begin(of_person(20), 0).expect("room for a person");
        }
        assert_eq!(sessions.begin(of_person(20), 0), Err(Refusal::Full));
        // What is over gives way.
        sessions.begin(of_person(20), 10).expect("room again");
        assert_eq!(sessions.0.lock().shared, 0);
        assert!(sessions.0.lock().of_links.is_empty());
    }
}
