//! Facilities and sources: who may send, for whom, and who tried in vain. Destinations have a page of their own.
//!
//! The registry is data: every change is a fact in the journal before it holds. Knocks are volatile.

use crate::clock::day_of;
use crate::commit::Ticket;
use crate::error::RegistryError;
use crate::open::Archive;
use crate::sequence::Work;
use model::facility::{AddressRange, CharsetHint};
use model::{AeTitle, Caller, Certificate, Destination, Facility, FacilityCode, Fact, Role, Source};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

/// Different peers whose knocks are counted one by one; further ones share one line.
const KNOCKERS_MAX: usize = 1_000;
/// Lane of the archive's own facts in the fair queue.
const OWN_LANE: &str = "(archive)";

/// Why a peer is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// No such called AE title here.
    Called,
    /// No source matches the calling AE title and address.
    Calling,
    /// The source is disabled.
    Disabled,
    /// The facility's time has not begun or is over.
    Inactive,
}

/// Attempts of one unknown peer since start.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Knock {
    /// Called AE title it used.
    pub called: String,
    /// Calling AE title it showed.
    pub calling: String,
    /// Its address.
    pub address: Option<IpAddr>,
    /// How often.
    pub times: u64,
    /// When last, milliseconds since 1970 UTC.
    pub last: u64,
}

/// The registry as it stands, and the knocks.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) facilities: BTreeMap<FacilityCode, Facility>,
    sources: BTreeMap<String, Source>,
    pub(crate) destinations: BTreeMap<AeTitle, Destination>,
    knocks: HashMap<(String, String, Option<IpAddr>), Knock>,
}

impl Registry {
    pub(crate) fn new(facilities: Vec<Facility>, sources: Vec<Source>) -> Self {
        Self {
            facilities: facilities.into_iter().map(|facility| (facility.code, facility)).collect(),
            sources: sources.into_iter().map(|source| (source.id.clone(), source)).collect(),
            destinations: BTreeMap::new(),
            knocks: HashMap::new(),
        }
    }

    /// The same with destinations.
    pub(crate) fn with(mut self, destinations: Vec<Destination>) -> Self {
        self.destinations = destinations.into_iter().map(|to| (to.title.clone(), to)).collect();
        self
    }

    /// A source by its name.
    pub(crate) fn source(&self, id: &str) -> Option<&Source> {
        self.sources.get(id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.facilities.is_empty() && self.sources.is_empty() && self.destinations.is_empty()
    }

    fn knock(&mut self, called: &AeTitle, calling: &AeTitle, peer: IpAddr, now: u64) {
        let mut key = (called.to_string(), calling.to_string(), Some(peer.to_canonical()));
        if self.knocks.len() >= KNOCKERS_MAX && !self.knocks.contains_key(&key) {
            key = ("(others)".into(), "(others)".into(), None);
        }
        let fresh = || Knock { called: key.0.clone(), calling: key.1.clone(), address: key.2, times: 0, last: 0 };
        let knock = self.knocks.entry(key.clone()).or_insert_with(fresh);
        knock.times += 1;
        knock.last = now;
    }
}

/// The facility and source that the embedded start seeds: any AE title, from loopback only.
pub(crate) fn demo() -> (Facility, Source) {
    let facility = Facility {
        code: FacilityCode::DEMO,
        name: "Bệnh viện thử nghiệm (demo hospital)".into(),
        kind: "hospital".into(),
        active_from: String::new(),
        active_to: String::new(),
    };
    let addresses = ["127.0.0.0/8", "::1"].iter().filter_map(|range| AddressRange::parse(range).ok()).collect();
    let source = Source { addresses, ..Source::new("demo-loopback", FacilityCode::DEMO) };
    (facility, source)
}

impl Archive {
    /// Facilities that have a registry entry, by code.
    pub fn facility_codes(&self) -> HashSet<FacilityCode> {
        self.sources().0.into_iter().map(|facility| facility.code).collect()
    }

    /// Whether a facility is registered and its time has begun and is not over.
    pub fn takes_for(&self, facility: FacilityCode) -> bool {
        let registry = self.registry().read();
        registry.facilities.get(&facility).is_some_and(|facility| is_active(facility, &day_of(self.now_ms())))
    }

    /// The source a DIMSE peer is, told by called and calling AE title, address and certificate.
    ///
    /// # Errors
    /// Why it is not let in; the attempt is counted as a knock.
    pub fn identify(
        &self,
        called: &AeTitle,
        calling: &AeTitle,
        peer: IpAddr,
        certificate: Option<&Certificate>,
    ) -> Result<Source, Unknown> {
        let found = self.lookup(called, calling, peer, certificate);
        if found.is_err() {
            let now = self.now_ms();
            self.registry().write().knock(called, calling, peer, now);
        }
        found
    }

    /// Whom a peer would be taken for, if it called without a certificate; nothing is counted.
    ///
    /// # Errors
    /// Why it would not be let in.
    pub fn foresee(&self, called: &AeTitle, calling: &AeTitle, peer: IpAddr) -> Result<Source, Unknown> {
        self.lookup(called, calling, peer, None)
    }

    fn lookup(
        &self,
        called: &AeTitle,
        calling: &AeTitle,
        peer: IpAddr,
        certificate: Option<&Certificate>,
    ) -> Result<Source, Unknown> {
        let registry = self.registry().read();
        let ours = self.options().ae_titles.contains(called);
        if !ours && !registry.sources.values().any(|source| source.called.as_ref() == Some(called)) {
            return Err(Unknown::Called);
        }
        let matching = registry.sources.values().filter_map(|source| {
            let exactness = source.matches(called, calling, peer, certificate)?;
            Some((exactness, source))
        });
        // max_by_key takes the last of equals; ids ascend, so reversing makes the first id win.
        let best = matching.rev().max_by_key(|(exactness, _)| *exactness);
        let (_, source) = best.ok_or(Unknown::Calling)?;
        if source.disabled {
            return Err(Unknown::Disabled);
        }
        let facility = registry.facilities.get(&source.facility).ok_or(Unknown::Inactive)?;
        if is_active(facility, &day_of(self.now_ms())) { Ok(source.clone()) } else { Err(Unknown::Inactive) }
    }

    /// The source under which a web caller stores for a facility.
    ///
    /// # Errors
    /// [`RegistryError::Forbidden`] when the caller may not store there or the facility is unknown or inactive.
    pub fn web_source(&self, caller: &Caller, facility: FacilityCode) -> Result<Source, RegistryError> {
        let registry = self.registry().read();
        let known = registry.facilities.get(&facility).is_some_and(|f| is_active(f, &day_of(self.now_ms())));
        if caller.role < Role::Sender || !caller.may_see(facility) || !known {
            return Err(RegistryError::Forbidden);
        }
        let (_, demo) = demo();
        Ok(Source { id: format!("web:{}", caller.name), facility, addresses: Vec::new(), ..demo })
    }

    /// Every facility and source, ordered by code and name.
    pub fn sources(&self) -> (Vec<Facility>, Vec<Source>) {
        let registry = self.registry().read();
        (registry.facilities.values().cloned().collect(), registry.sources.values().cloned().collect())
    }

    /// Adds or changes a facility; durable on return.
    pub fn put_facility(&self, caller: &Caller, facility: Facility) -> Result<(), RegistryError> {
        authorize(caller, None)?;
        for day in [&facility.active_from, &facility.active_to] {
            let is_day = day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit());
            if !day.is_empty() && !is_day {
                return Err(RegistryError::Invalid {
                    what: format!("{day:?} is no day: write YYYYMMDD or leave it empty"),
                });
            }
        }
        if facility.name.trim().is_empty() {
            return Err(RegistryError::Invalid { what: format!("facility {} needs a name", facility.code) });
        }
        let _change = self.registry_change().lock();
        self.record(Fact::Facility(facility.clone()))?;
        self.registry().write().facilities.insert(facility.code, facility);
        Ok(())
    }

    /// Adds or changes a source; durable on return.
    pub fn put_source(&self, caller: &Caller, source: Source) -> Result<(), RegistryError> {
        authorize(caller, Some(source.facility))?;
        let _change = self.registry_change().lock();
        self.check_source(&source)?;
        self.record(Fact::Source(source.clone()))?;
        self.registry().write().sources.insert(source.id.clone(), source);
        Ok(())
    }

    fn check_source(&self, source: &Source) -> Result<(), RegistryError> {
        let registry = self.registry().read();
        let invalid = |what: String| Err(RegistryError::Invalid { what });
        let reserved = source.id.starts_with('(') || source.id.starts_with("web:");
        if source.id.is_empty() || source.id.len() > 64 || reserved {
            return invalid("a source needs a name of 1 to 64 characters that does not start with ( or web:".into());
        }
        if let Some(error) = source.certificate.as_ref().and_then(|name| Certificate::parse_name(name).err()) {
            return invalid(error.to_string());
        }
        if source.text_max.is_some_and(|most| most < Source::TEXT_MAX_LEAST) {
            return invalid(format!("text_max is at least {}", Source::TEXT_MAX_LEAST));
        }
        if !registry.facilities.contains_key(&source.facility) {
            return invalid(format!("facility {} is not registered; add it first", source.facility));
        }
        let same_peer = |other: &&Source| {
            other.id != source.id
                && !other.disabled
                && (&other.called, &other.calling, &other.certificate)
                    == (&source.called, &source.calling, &source.certificate)
                && (other.addresses == source.addresses)
        };
        if let Some(other) = registry.sources.values().find(same_peer).filter(|_| !source.disabled) {
            let what = format!("source {} already answers to the same titles and addresses", other.id);
            return invalid(format!("{what}; give this one an address range of its own"));
        }
        Ok(())
    }

    /// Unknown peers that knocked since start, most frequent first.
    pub fn knocks(&self) -> Vec<Knock> {
        let mut knocks: Vec<_> = self.registry().read().knocks.values().cloned().collect();
        knocks.sort_by(|a, b| b.times.cmp(&a.times).then_with(|| a.calling.cmp(&b.calling)));
        knocks
    }

    /// How a source's unlabelled text is read.
    pub(crate) fn charset_of(&self, source: &str) -> CharsetHint {
        self.registry().read().sources.get(source).map_or(CharsetHint::Auto, |source| source.charset)
    }

    /// Makes a fact of the archive's own durable and applied.
    pub(crate) fn record(&self, fact: Fact) -> Result<(), crate::IngestError> {
        let (ticket, answer) = Ticket::new();
        self.submit(OWN_LANE, Work::Fact(Box::new(fact), ticket))?;
        let gone = || crate::IngestError::Unavailable { what: "the archive stopped".into() };
        answer.wait().ok_or_else(gone)?.done().map(|_| ())
    }
}

fn is_active(facility: &Facility, today: &str) -> bool {
    let begun = facility.active_from.is_empty() || facility.active_from.as_str() <= today;
    let over = !facility.active_to.is_empty() && facility.active_to.as_str() < today;
    begun && !over
}

/// An administrator may change the sources of facilities it may see; facilities only when it sees all,
/// or at a loopback start without tokens.
pub(crate) fn authorize(caller: &Caller, facility: Option<FacilityCode>) -> Result<(), RegistryError> {
    let demo = *caller == Caller::demo();
    let allowed = caller.role >= Role::Admin
        && (demo || facility.map_or(caller.facilities.is_none(), |facility| caller.may_see(facility)));
    if allowed { Ok(()) } else { Err(RegistryError::Forbidden) }
}
