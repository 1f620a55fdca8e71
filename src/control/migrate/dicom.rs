//! The DICOM ways: C-FIND asks; C-GET fetches, or C-MOVE has the objects sent to our own port.

use super::moved::{Here, judge};
use super::pulled::Pulled;
use super::way::{StudyTold, Told, Trouble, Way};
use crate::cli::{Exit, Failure};
use archive::{Archive, Unknown};
use dimse::scu::pull::{Key, proposals};
use dimse::scu::{CallError, Limits, Peer, Requestor, Secure};
use model::{AeTitle, AttrKey, FacilityCode, Uid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const QUERY_LEVEL: AttrKey = AttrKey::root(0x0008_0052);
const STUDY_DATE: AttrKey = AttrKey::root(0x0008_0020);
const SOP_CLASS: AttrKey = AttrKey::root(0x0008_0016);
const SOP_INSTANCE: AttrKey = AttrKey::root(0x0008_0018);
const STUDY: AttrKey = AttrKey::root(0x0020_000D);
const SERIES: AttrKey = AttrKey::root(0x0020_000E);
const STUDY_INSTANCES: AttrKey = AttrKey::root(0x0020_1208);
/// What an archive that sends by C-MOVE may take from one answer to the next: many say nothing before the last object.
const MOVE_WITHIN: Duration = Duration::from_secs(1800);

/// An archive that speaks DICOM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DicomOther {
    /// Its AE title.
    pub(crate) called: AeTitle,
    /// Where it listens, `HOST:PORT`.
    pub(crate) address: String,
    /// AE title we show.
    pub(crate) calling: AeTitle,
    /// AE title of ours that it sends to by C-MOVE; none fetches by C-GET.
    pub(crate) move_to: Option<AeTitle>,
    /// Longest wait for an answer in seconds.
    pub(crate) within: u64,
    /// TLS, where it is wanted.
    pub(crate) tls: Option<Tls>,
}

/// TLS towards it; the paths are absolute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tls {
    /// Certificate and key of ours.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
    /// Authorities that are believed.
    pub(crate) authorities: Option<PathBuf>,
    /// Name of its certificate, when that is not the host.
    pub(crate) name: Option<String>,
    /// SHA-256 of its certificate.
    pub(crate) fingerprint: Option<String>,
}

impl Tls {
    fn secure(&self) -> Secure {
        let own = self.own.clone();
        let files = tls::ClientFiles {
            used_for: "dicom-calls",
            own: own.map(|(certificate, key)| tls::Pair { certificate, key }),
            authorities: self.authorities.clone(),
            revoked: None,
        };
        let expected = tls::Expected { name: self.name.clone(), fingerprint: self.fingerprint.clone() };
        Secure { client: tls::Client::new(files), expected }
    }
}

pub(super) struct DicomWay<'a> {
    archive: &'a Arc<Archive>,
    facility: FacilityCode,
    peer: Peer,
    limits: Limits,
    move_to: Option<AeTitle>,
}

impl<'a> DicomWay<'a> {
    pub(super) fn new(archive: &'a Arc<Archive>, facility: FacilityCode, wanted: &DicomOther) -> Result<Self, Failure> {
        if let Some(title) = &wanted.move_to {
            check_move(archive, facility, wanted, title)?;
        }
        let DicomOther { called, address, calling, move_to, .. } = wanted.clone();
        let secure = wanted.tls.as_ref().map(Tls::secure);
        if let Some(secure) = &secure {
            secure.client.check().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        }
        let limits = Limits { answer: Duration::from_secs(wanted.within.max(1)), ..Limits::default() };
        Ok(Self { archive, facility, peer: Peer { address, called, calling, secure }, limits, move_to })
    }

    /// The wanted values of every match, in this order; matches without the first one are left out.
    fn find(&self, keys: &[Key<'_>], wanted: &[AttrKey]) -> Result<Vec<Vec<String>>, Trouble> {
        let failed = |error: CallError| trouble(&error);
        let mut rows = Vec::new();
        let mut association = Requestor::open_to_find(&self.peer, &self.limits).map_err(failed)?;
        let answer = association.find(keys, &mut |found| {
            let value = |key: &AttrKey| {
                let text = found.keys.iter().find(|one| one.key == *key).map_or("", |one| one.text.as_str());
                text.trim_matches([' ', '\0']).to_owned()
            };
            let row: Vec<String> = wanted.iter().map(value).collect();
            if row.first().is_some_and(|first| !first.is_empty()) {
                rows.push(row);
            }
        });
        let answer = answer.map_err(failed)?;
        let _ = association.release();
        match answer.is_success() {
            true => Ok(rows),
            false => Err(Trouble {
                what: format!("C-FIND was answered {:04X} {}", answer.status, answer.comment).trim_end().to_owned(),
                passing: true,
            }),
        }
    }

    fn get(&self, study: &str, told: &Told, pulled: &mut Pulled<'_>) -> Result<(), CallError> {
        let classes: BTreeSet<&String> = told.values().filter(|class| !class.is_empty()).collect();
        for (classes, syntaxes) in proposals(&classes) {
            let mut association = Requestor::open_to_get(&self.peer, &classes, &syntaxes, &self.limits)?;
            let answer = association.get(&[(QUERY_LEVEL, "CS", "STUDY"), (STUDY, "UI", study)], pulled)?;
            pulled.said = format!("C-GET was answered {:04X} {}", answer.status, answer.comment).trim_end().to_owned();
            let _ = association.release();
        }
        Ok(())
    }

    fn have_sent(&self, to: &AeTitle, study: &str, told: &Told, pulled: &mut Pulled<'_>) -> Result<(), Trouble> {
        let before = self.here(told)?;
        let limits = Limits { answer: self.limits.answer.max(MOVE_WITHIN), ..self.limits };
        let moved = Requestor::open_to_move(&self.peer, &limits).and_then(|mut association| {
            let moved = association.move_to(&[(QUERY_LEVEL, "CS", "STUDY"), (STUDY, "UI", study)], to)?;
            let _ = association.release();
            Ok(moved)
        });
        judge(told, &before, &self.here(told)?, moved.as_ref().ok(), pulled);
        moved.map(drop).map_err(|error| trouble(&error))
    }

    /// What is here of the objects.
    fn here(&self, told: &Told) -> Result<BTreeMap<String, Here>, Trouble> {
        let mut here = BTreeMap::new();
        for instance in told.keys() {
            let Ok(uid) = Uid::parse(instance) else { continue };
            let rows = self.archive.copies(self.facility, &uid);
            let rows = rows.map_err(|error| Trouble { what: error.to_string(), passing: false })?;
            if !rows.is_empty() {
                let bytes = rows.iter().map(|row| row.file_len).fold(0, u64::saturating_add);
                here.insert(instance.clone(), Here { copies: rows.len(), bytes });
            }
        }
        Ok(here)
    }
}

fn trouble(error: &CallError) -> Trouble {
    Trouble { what: error.to_string(), passing: error.is_passing() }
}

impl Way for DicomWay<'_> {
    fn studies(&mut self, dates: &str) -> Result<Vec<StudyTold>, Trouble> {
        let keys =
            [(QUERY_LEVEL, "CS", "STUDY"), (STUDY_DATE, "DA", dates), (STUDY, "UI", ""), (STUDY_INSTANCES, "IS", "")];
        let rows = self.find(&keys, &[STUDY, STUDY_INSTANCES])?;
        let told = rows.into_iter().filter_map(|row| match row.as_slice() {
            [uid, instances] => Some(StudyTold { uid: uid.clone(), instances: instances.parse().ok() }),
            _ => None,
        });
        Ok(told.collect())
    }

    fn told(&mut self, study: &str) -> Result<Told, Trouble> {
        let keys = [(QUERY_LEVEL, "CS", "SERIES"), (STUDY, "UI", study), (SERIES, "UI", "")];
        let mut told = Told::new();
        for series in self.find(&keys, &[SERIES])?.into_iter().filter_map(|mut row| row.pop()) {
            let keys = [
                (QUERY_LEVEL, "CS", "IMAGE"),
                (SOP_CLASS, "UI", ""),
                (SOP_INSTANCE, "UI", ""),
                (STUDY, "UI", study),
                (SERIES, "UI", series.as_str()),
            ];
            for row in self.find(&keys, &[SOP_INSTANCE, SOP_CLASS])? {
                if let [instance, class] = row.as_slice() {
                    told.insert(instance.clone(), class.clone());
                }
            }
        }
        Ok(told)
    }

    fn fetch(&mut self, study: &str, told: &Told, pulled: &mut Pulled<'_>) -> Result<(), Trouble> {
        match &self.move_to {
            Some(title) => self.have_sent(title, study, told, pulled),
            None => self.get(study, told, pulled).map_err(|error| trouble(&error)),
        }
    }
}

/// Whether what the other archive sends to `title` would be taken for the facility. From another address than the one we
/// call, or with a certificate, it may be another source: what is registered for its title decides then.
fn check_move(archive: &Archive, facility: FacilityCode, wanted: &DicomOther, title: &AeTitle) -> Result<(), Failure> {
    let refuse = |what: String| Err(Failure::new(Exit::Usage, what));
    let (called, address) = (&wanted.called, &wanted.address);
    let addresses: Vec<IpAddr> =
        address.to_socket_addrs().map(|all| all.map(|one| one.ip()).collect()).unwrap_or_default();
    let mut why = None;
    for one in addresses {
        match archive.foresee(title, called, one) {
            Ok(source) if source.facility == facility => return Ok(()),
            Ok(source) => why = Some(format!("belongs to facility {} (source {})", source.facility, source.id)),
            Err(Unknown::Called) => return refuse(format!("{title} is no AE title of this archive")),
            Err(Unknown::Calling) => why = Some("is of no source".to_owned()),
            Err(Unknown::Disabled) => why = Some("is of a source that is disabled".to_owned()),
            Err(Unknown::Inactive) => why = Some("is of a facility that is not active".to_owned()),
        }
    }
    let Some(why) = why else { return Ok(()) };
    let registered = |source: &model::Source| {
        source.facility == facility && !source.disabled && source.calling.as_ref() == Some(called)
    };
    if archive.sources().1.iter().any(registered) {
        return Ok(());
    }
    refuse(format!(
        "what {called} at {address} sends to {title} {why}; register it for facility {facility} first (khoanh sources add)"
    ))
}
