//! Who may send messages, for which facility, and how they are read: the file `hl7.sources`.
//!
//! The registry of sources tells peers by AE titles and knows none of this, so senders of messages have a file of their
//! own, one `[[source]]` each. It and the maps it names are looked at when a message comes, at most once a second, and read
//! again when they changed; one that cannot be used leaves what was read before, is logged once, and shows as a metric.

use crate::map::Map;
use crate::meter;
use crate::watched::Stamp;
use model::facility::{AddressRange, CharsetHint};
use model::{Certificate, FacilityCode};
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Shortest time between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// Hours between UTC and a sender's clock that says nothing else.
const OFFSET: i64 = 7;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not understood.
    #[error("{path} is not understood:\n{what}")]
    Form {
        /// The file.
        path: String,
        /// Line, key and what was expected.
        what: String,
    },
}

/// One sender.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sender {
    /// Its name.
    pub(crate) name: String,
    /// The facility that everything it sends belongs to.
    pub(crate) facility: FacilityCode,
    addresses: Vec<AddressRange>,
    application: Option<String>,
    sending_facility: Option<String>,
    certificate: Option<String>,
    /// How its text is read where it is no UTF-8.
    pub(crate) charset: CharsetHint,
    /// Its map.
    pub(crate) map: Arc<Map>,
    /// Minutes its clock is east of UTC.
    pub(crate) offset: i64,
    /// Whether orders are answered with the numbers they have here.
    pub(crate) order_response: bool,
    disabled: bool,
}

/// `[[source]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    facility: FacilityCode,
    #[serde(default)]
    addresses: Vec<String>,
    application: Option<String>,
    sending_facility: Option<String>,
    certificate: Option<String>,
    #[serde(default)]
    charset: CharsetHint,
    map: Option<PathBuf>,
    #[serde(default = "usual_offset")]
    utc_offset: i64,
    #[serde(default)]
    order_response: bool,
    #[serde(default)]
    disabled: bool,
}

fn usual_offset() -> i64 {
    OFFSET
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    source: Vec<Entry>,
}

/// What the files said when they last could be read.
#[derive(Debug, PartialEq)]
struct Known {
    senders: Vec<Sender>,
    files: Vec<PathBuf>,
}

/// The files.
#[derive(Debug)]
pub struct Sources {
    path: PathBuf,
    known: RwLock<Arc<Known>>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    stamps: Vec<Option<Stamp>>,
    /// The state that was told to be unusable.
    told: Option<Vec<Option<Stamp>>>,
    /// When it was last looked at; none makes the next message look.
    at: Option<Instant>,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) certificate: Option<Certificate>,
}

/// Why a sender is not let in; the name of its source where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// No source fits.
    Nobody,
    /// The source is disabled.
    Disabled(String),
}

impl Sources {
    /// Reads the files for the first time; then they must be usable.
    ///
    /// # Errors
    /// A file that cannot be read or understood; the text names file, line and key.
    pub fn load(path: &Path) -> Result<Self, SourcesError> {
        let known = read(path)?;
        // Stamps of a moment before would be better; a change between is seen because the files are young.
        let stamps = known.files.iter().map(|file| Stamp::of(file)).collect();
        let seen = Mutex::new(Seen { stamps, told: None, at: Some(Instant::now()) });
        Ok(Self { path: path.to_owned(), known: RwLock::new(Arc::new(known)), seen })
    }

    /// The names of all sources, as origins of messages have them.
    pub fn names(&self) -> Vec<String> {
        self.now().senders.iter().map(|sender| sender.name.clone()).collect()
    }

    /// The sender of a name.
    pub(crate) fn named(&self, name: &str) -> Option<Sender> {
        self.now().senders.iter().find(|sender| sender.name == name).cloned()
    }

    /// The sender that a peer is with what stands in MSH-3 and MSH-4: the one that is told most exactly, of equals the
    /// first in the file.
    pub(crate) fn identify(&self, peer: &Peer, application: &str, facility: &str) -> Result<Sender, Unknown> {
        let known = self.now();
        let mut best: Option<(u8, &Sender)> = None;
        for sender in &known.senders {
            let exactness = sender.matches(peer, application, facility);
            if let Some(exactness) = exactness.filter(|exactness| best.is_none_or(|(other, _)| *exactness > other)) {
                best = Some((exactness, sender));
            }
        }
        let (_, sender) = best.ok_or(Unknown::Nobody)?;
        if sender.disabled { Err(Unknown::Disabled(sender.name.clone())) } else { Ok(sender.clone()) }
    }

    fn now(&self) -> Arc<Known> {
        // Whoever comes while another looks takes what there is.
        if let Some(mut seen) = self.seen.try_lock()
            && seen.at.is_none_or(|at| at.elapsed() >= LOOK)
        {
            seen.at = Some(Instant::now());
            self.look(&mut seen);
        }
        Arc::clone(&self.known.read())
    }

    fn look(&self, seen: &mut Seen) {
        let files = self.known.read().files.clone();
        let stamps: Vec<Option<Stamp>> = files.iter().map(|file| Stamp::of(file)).collect();
        let settled = stamps.iter().all(|stamp| stamp.is_some_and(|stamp| stamp.is_settled()));
        if seen.stamps == stamps && settled {
            return;
        }
        match read(&self.path) {
            Ok(known) => {
                // The files may be others now; they are young, or looked at once more.
                seen.stamps = if known.files == files { stamps } else { Vec::new() };
                seen.told = None;
                meter::sources_unusable(false);
                if **self.known.read() != known {
                    tracing::info!(file = %self.path.display(), sources = known.senders.len(), "the senders of messages were read again");
                    *self.known.write() = Arc::new(known);
                }
            }
            Err(error) => {
                if seen.told.as_ref() != Some(&stamps) {
                    tracing::error!(%error, "the senders of messages cannot be read; those of the last good reading hold");
                    meter::sources_unusable(true);
                }
                seen.told = Some(stamps);
            }
        }
    }

    /// Makes the next message look, however short ago the last look was.
    #[cfg(test)]
    pub(crate) fn look_at_once(&self) {
        self.seen.lock().at = None;
    }
}

impl Sender {
    /// How exactly this sender is meant, or none when it is another.
    fn matches(&self, peer: &Peer, application: &str, facility: &str) -> Option<u8> {
        let fits = |wanted: &Option<String>, shown: &str| wanted.as_ref().is_none_or(|wanted| wanted == shown);
        if !fits(&self.application, application) || !fits(&self.sending_facility, facility) {
            return None;
        }
        let shown = peer.certificate.as_ref();
        if self.certificate.as_ref().is_some_and(|name| !shown.is_some_and(|shown| shown.is_named(name))) {
            return None;
        }
        if !self.addresses.is_empty() && !self.addresses.iter().any(|range| range.contains(peer.address)) {
            return None;
        }
        Some(
            u8::from(self.certificate.is_some()) * 8
                + u8::from(self.application.is_some()) * 4
                + u8::from(self.sending_facility.is_some()) * 2
                + u8::from(!self.addresses.is_empty()),
        )
    }
}

fn text_of(path: &Path) -> Result<String, SourcesError> {
    std::fs::read_to_string(path).map_err(|error| SourcesError::Read { path: path.display().to_string(), error })
}

fn read(path: &Path) -> Result<Known, SourcesError> {
    let form = |path: &Path, what: String| SourcesError::Form { path: path.display().to_string(), what };
    let text = text_of(path)?;
    let file: File = toml::from_str(&text).map_err(|error| form(path, error.to_string()))?;
    let (mut files, mut maps) = (vec![path.to_owned()], BTreeMap::new());
    let (mut senders, mut names) = (Vec::new(), BTreeSet::new());
    for entry in file.source {
        if entry.name.trim().is_empty() || !names.insert(entry.name.clone()) {
            return Err(form(path, format!("source {:?}: every source has a name of its own", entry.name)));
        }
        let map = match &entry.map {
            None => Arc::new(Map::default()),
            Some(named) => {
                let place = path.parent().unwrap_or(Path::new("")).join(named);
                if !maps.contains_key(&place) {
                    files.push(place.clone());
                    let map = Map::parse(&text_of(&place)?).map_err(|error| form(&place, error.to_string()))?;
                    maps.insert(place.clone(), Arc::new(map));
                }
                maps.get(&place).map(Arc::clone).unwrap_or_default()
            }
        };
        let name = entry.name.clone();
        senders.push(sender(entry, map).map_err(|what| form(path, format!("source {name:?}: {what}")))?);
    }
    Ok(Known { senders, files })
}

fn sender(entry: Entry, map: Arc<Map>) -> Result<Sender, String> {
    let told = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let addresses = entry.addresses.iter().map(|range| AddressRange::parse(range));
    let addresses = addresses.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let certificate = told(entry.certificate).map(|name| Certificate::parse_name(&name));
    let certificate = certificate.transpose().map_err(|error| error.to_string())?;
    if !(-12..=14).contains(&entry.utc_offset) {
        return Err("utc_offset: hours between -12 and 14".to_owned());
    }
    let sender = Sender {
        name: entry.name.trim().to_owned(),
        facility: entry.facility,
        addresses,
        application: told(entry.application),
        sending_facility: told(entry.sending_facility),
        certificate,
        charset: entry.charset,
        map,
        offset: entry.utc_offset * 60,
        order_response: entry.order_response,
        disabled: entry.disabled,
    };
    if sender.matches_anybody() {
        return Err("name an address, an application (MSH-3), a sending_facility (MSH-4) or a certificate".to_owned());
    }
    Ok(sender)
}

impl Sender {
    fn matches_anybody(&self) -> bool {
        self.addresses.is_empty()
            && self.application.is_none()
            && self.sending_facility.is_none()
            && self.certificate.is_none()
    }

    /// One of the demo facility that nothing tells from others, for tests and fuzzing.
    pub(crate) fn plain(name: &str, map: Map) -> Self {
        Self {
            name: name.to_owned(),
            facility: FacilityCode::DEMO,
            addresses: Vec::new(),
            application: None,
            sending_facility: None,
            certificate: None,
            charset: CharsetHint::Auto,
            map: Arc::new(map),
            offset: OFFSET * 60,
            order_response: false,
            disabled: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer { address: address.parse().expect("an address"), certificate: None }
    }

    const TWO: &str = "[[source]]\nname = \"a\"\nfacility = \"56001\"\naddresses = [\"10.1.0.0/16\"]\n\
                       [[source]]\nname = \"b\"\nfacility = \"56002\"\naddresses = [\"10.1.0.0/16\"]\napplication = \"HIS\"\n\
                       charset = \"tcvn3\"\nmap = \"b.toml\"\n\
                       [[source]]\nname = \"c\"\nfacility = \"56003\"\nsending_facility = \"C\"\ndisabled = true\n";

    #[test]
    fn the_sender_that_is_told_most_exactly_is_meant() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hl7-sources.toml");
        std::fs::write(folder.path().join("b.toml"), "[modality]\nXQ = \"CR\"\n").expect("written");
        std::fs::write(&path, TWO).expect("written");
        let sources = Sources::load(&path).expect("sources");
        let who = |address: &str, application: &str, facility: &str| {
            sources.identify(&peer(address), application, facility).map(|sender| sender.name)
        };
        assert_eq!(who("10.1.2.3", "LIS", "X"), Ok("a".to_owned()));
        assert_eq!(who("10.1.2.3", "HIS", "X"), Ok("b".to_owned()));
        assert_eq!(who("10.2.2.3", "HIS", "X"), Err(Unknown::Nobody));
        assert_eq!(who("10.2.2.3", "HIS", "C"), Err(Unknown::Disabled("c".to_owned())));
        let b = sources.named("b").expect("b");
        assert_eq!((b.map.modality("XQ").as_str(), b.charset, b.offset), ("CR", CharsetHint::Tcvn3, 420));
    }

    #[test]
    fn a_changed_file_or_map_holds_at_the_next_look_and_a_spoilt_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, map) = (folder.path().join("hl7-sources.toml"), folder.path().join("b.toml"));
        std::fs::write(&map, "").expect("written");
        std::fs::write(&path, TWO).expect("written");
        let sources = Sources::load(&path).expect("sources");
        let term = || {
            sources.look_at_once();
            sources.named("b").map(|sender| sender.map.modality("XQ"))
        };
        assert_eq!(term().as_deref(), Some("DX"));
        std::fs::write(&map, "[modality]\nXQ = \"CR\"\n").expect("written");
        assert_eq!(term().as_deref(), Some("CR"));
        std::fs::write(&map, "[modalty]\n").expect("written");
        assert_eq!(term().as_deref(), Some("CR"), "spoilt");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(term().as_deref(), Some("CR"), "gone");
        std::fs::write(&path, "").expect("written");
        assert_eq!(term(), None, "a file without senders");
    }

    #[test]
    fn what_cannot_be_used_is_said_by_its_line_or_source() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hl7-sources.toml");
        for (text, told) in [
            ("[[source]]\nname = \"a\"\nfacility = \"56001\"\naplication = \"x\"\n", "line 4"),
            ("[[source]]\nname = \"a\"\nfacility = \"5600\"\n", "line 3"),
            ("[[source]]\nname = \"a\"\nfacility = \"56001\"\n", "name an address"),
            ("[[source]]\nname = \"a\"\nfacility = \"56001\"\naddresses = [\"x\"]\n", "\"x\" is no address"),
            ("[[source]]\nname = \"a\"\nfacility = \"56001\"\napplication = \"H\"\nmap = \"no.toml\"\n", "no.toml"),
            ("[[source]]\nname = \"a\"\nfacility = \"56001\"\napplication = \"H\"\nutc_offset = 420\n", "utc_offset"),
        ] {
            std::fs::write(&path, text).expect("written");
            let error = Sources::load(&path).expect_err(text).to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        let twice = "[[source]]\nname = \"a\"\nfacility = \"56001\"\napplication = \"H\"\n".repeat(2);
        std::fs::write(&path, twice).expect("written");
        assert!(Sources::load(&path).expect_err("twice").to_string().contains("of its own"));
    }
}
