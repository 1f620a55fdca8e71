//! Who may be sent messages, and how they want them: the file `hl7.receivers`.
//!
//! One `[[receiver]]` each. It is looked at when a message goes out, at most once a second, and read again when it changed;
//! one that cannot be used leaves what was read before and is logged once.

use crate::sources::SourcesError;
use crate::watched::Stamp;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Shortest time between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);
/// Most days that a signed link holds.
const LINK_DAYS_MAX: u64 = 90;
/// Versions that are written.
const VERSIONS: [&str; 9] = ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8"];

/// In which character set a receiver reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Letters {
    /// UTF-8.
    #[default]
    Utf8,
    /// ISO 8859-1; letters it has not lose their marks.
    Latin1,
    /// ASCII; letters lose their marks.
    Ascii,
}

/// The message that tells where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum OrderMessage {
    /// ORM^O01.
    #[default]
    #[serde(rename = "ORM")]
    Orm,
    /// OMG^O19.
    #[serde(rename = "OMG")]
    Omg,
}

/// One receiver.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Receiver {
    pub(super) name: String,
    /// `HOST:PORT`.
    pub(super) address: String,
    pub(super) version: String,
    pub(super) letters: Letters,
    /// MSH-5 and MSH-6.
    pub(super) to: (String, String),
    /// MSH-3, and MSH-4 where it is not the facility's code.
    pub(super) from: (String, Option<String>),
    pub(super) enhanced: bool,
    pub(super) order_message: OrderMessage,
    /// Whether studies without an order are told, too.
    pub(super) unmatched: bool,
    /// Base URL of links to the viewer.
    pub(super) viewer: Option<String>,
    /// Links are signed and hold for so many days; none: they are not signed.
    pub(super) link_days: Option<u64>,
    /// Minutes its clock is east of UTC.
    pub(super) offset: i64,
    pub(super) tls: Option<(tls::Client, tls::Expected)>,
}

/// `[[receiver]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    address: String,
    #[serde(default = "usual_version")]
    version: String,
    #[serde(default)]
    charset: Letters,
    #[serde(default)]
    application: String,
    #[serde(default)]
    receiving_facility: String,
    #[serde(default = "usual_application")]
    sending_application: String,
    sending_facility: Option<String>,
    #[serde(default)]
    enhanced: bool,
    #[serde(default)]
    order_message: OrderMessage,
    #[serde(default)]
    unmatched: bool,
    viewer: Option<String>,
    link_days: Option<u64>,
    #[serde(default = "usual_offset")]
    utc_offset: i64,
    tls: Option<Secure>,
}

/// `tls = { ... }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secure {
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    name: Option<String>,
    fingerprint: Option<String>,
}

fn usual_version() -> String {
    "2.5.1".to_owned()
}

fn usual_application() -> String {
    "KHOANH".to_owned()
}

fn usual_offset() -> i64 {
    7
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    receiver: Vec<Entry>,
}

/// The file.
#[derive(Debug)]
pub struct Receivers {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    receivers: Vec<Receiver>,
    stamp: Option<Stamp>,
    looked: Option<Instant>,
    /// The state that was told to be unusable.
    told: Option<Option<Stamp>>,
}

impl Receivers {
    /// Reads the file for the first time; then it must be usable.
    ///
    /// # Errors
    /// A file that cannot be read or understood; the text names file, line and key.
    pub fn load(path: &Path) -> Result<Self, SourcesError> {
        let stamp = Stamp::of(path);
        let known = Known { receivers: read(path)?, stamp, looked: Some(Instant::now()), told: None };
        Ok(Self { path: path.to_owned(), known: Mutex::new(known) })
    }

    /// The names of all receivers.
    pub fn names(&self) -> Vec<String> {
        self.known.lock().receivers.iter().map(|receiver| receiver.name.clone()).collect()
    }

    /// The receiver of a name, as the file says now.
    pub(super) fn named(&self, name: &str) -> Option<Receiver> {
        let mut known = self.known.lock();
        if known.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            known.looked = Some(Instant::now());
            self.look(&mut known);
        }
        known.receivers.iter().find(|receiver| receiver.name == name).cloned()
    }

    fn look(&self, known: &mut Known) {
        let stamp = Stamp::of(&self.path);
        if known.stamp == stamp && stamp.is_some_and(|stamp| stamp.is_settled()) {
            return;
        }
        match read(&self.path) {
            Ok(receivers) => {
                if known.receivers != receivers {
                    tracing::info!(file = %self.path.display(), receivers = receivers.len(), "the receivers of messages were read again");
                }
                (known.receivers, known.stamp, known.told) = (receivers, stamp, None);
            }
            Err(error) => {
                if known.told != Some(stamp) {
                    tracing::error!(%error, "the receivers of messages cannot be read again; those known hold");
                    known.told = Some(stamp);
                }
            }
        }
    }

    /// Makes the next message look at the file.
    #[cfg(test)]
    pub(super) fn look_at_once(&self) {
        self.known.lock().looked = None;
    }
}

fn read(path: &Path) -> Result<Vec<Receiver>, SourcesError> {
    let named = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| SourcesError::Read { path: named.clone(), error })?;
    let form = |what: String| SourcesError::Form { path: named.clone(), what };
    let file: File = toml::from_str(&text).map_err(|error| form(error.to_string()))?;
    let (mut receivers, mut names) = (Vec::new(), BTreeSet::new());
    for entry in file.receiver {
        let name = entry.name.trim().to_owned();
        if name.is_empty() || !names.insert(name.clone()) {
            return Err(form(format!("receiver {name:?}: every receiver has a name of its own")));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        receivers.push(receiver(entry, folder).map_err(|what| form(format!("receiver {name:?}: {what}")))?);
    }
    Ok(receivers)
}

fn receiver(entry: Entry, folder: &Path) -> Result<Receiver, String> {
    let port = entry.address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    if port.is_none_or(|(host, port)| host.is_empty() || port == 0) {
        return Err("address: HOST:PORT".to_owned());
    }
    if !VERSIONS.contains(&entry.version.as_str()) {
        return Err(format!("version: one of {}", VERSIONS.join(", ")));
    }
    if !(-12..=14).contains(&entry.utc_offset) {
        return Err("utc_offset: hours between -12 and 14".to_owned());
    }
    if entry.link_days.is_some_and(|days| entry.viewer.is_none() || !(1..=LINK_DAYS_MAX).contains(&days)) {
        return Err(format!("link_days: between 1 and {LINK_DAYS_MAX}, beside viewer"));
    }
    let tls = entry.tls.map(|secure| secured(secure, folder)).transpose()?;
    Ok(Receiver {
        name: entry.name.trim().to_owned(),
        address: entry.address,
        version: entry.version,
        letters: entry.charset,
        to: (entry.application, entry.receiving_facility),
        from: (entry.sending_application, entry.sending_facility),
        enhanced: entry.enhanced,
        order_message: entry.order_message,
        unmatched: entry.unmatched,
        viewer: entry.viewer.map(|url| url.trim_end_matches('/').to_owned()),
        link_days: entry.link_days,
        offset: entry.utc_offset.saturating_mul(60),
        tls,
    })
}

fn secured(secure: Secure, folder: &Path) -> Result<(tls::Client, tls::Expected), String> {
    let place = |path: PathBuf| folder.join(path);
    let own = match (secure.certificate, secure.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(tls::Pair { certificate: place(certificate), key: place(key) }),
        _ => return Err("tls: certificate and key belong together".to_owned()),
    };
    if secure.authorities.is_none() && secure.fingerprint.is_none() {
        return Err("tls: name authorities or a fingerprint".to_owned());
    }
    let files =
        tls::ClientFiles { used_for: "hl7-out", own, authorities: secure.authorities.map(place), revoked: None };
    let client = tls::Client::new(files);
    client.check().map_err(|error| format!("tls: {error}"))?;
    Ok((client, tls::Expected { name: secure.name, fingerprint: secure.fingerprint }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_holds_at_the_next_look_and_a_spoilt_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hl7-receivers.toml");
        let one = "[[receiver]]\nname = \"his\"\naddress = \"10.1.0.5:6661\"\n";
        std::fs::write(&path, one).expect("written");
        let receivers = Receivers::load(&path).expect("receivers");
        assert_eq!(receivers.names(), ["his"]);
        let version = || {
            receivers.look_at_once();
            receivers.named("his").map(|receiver| receiver.version)
        };
        assert_eq!(version().as_deref(), Some("2.5.1"));
        std::fs::write(&path, format!("{one}version = \"2.3\"\n")).expect("written");
        assert_eq!(version().as_deref(), Some("2.3"));
        std::fs::write(&path, format!("{one}verson = \"2.3\"\n")).expect("written");
        assert_eq!(version().as_deref(), Some("2.3"), "spoilt");
        std::fs::write(&path, "").expect("written");
        assert_eq!(version(), None, "a file without receivers");
    }

    #[test]
    fn what_cannot_be_used_is_said_by_its_receiver() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hl7-receivers.toml");
        for (text, told) in [
            ("name = \"a\"\naddress = \"10.1.0.5\"\n", "HOST:PORT"),
            ("name = \"a\"\naddress = \"10.1.0.5:1\"\nversion = \"3\"\n", "version"),
            ("name = \"a\"\naddress = \"10.1.0.5:1\"\nutc_offset = 420\n", "utc_offset"),
            ("name = \"a\"\naddress = \"10.1.0.5:1\"\ntls = {}\n", "authorities"),
            ("name = \"a\"\naddress = \"10.1.0.5:1\"\nlink_days = 7\n", "viewer"),
            ("name = \"a\"\naddress = \"10.1.0.5:1\"\nviewer = \"http://a\"\nlink_days = 91\n", "link_days"),
            ("name = \" \"\naddress = \"10.1.0.5:1\"\n", "of its own"),
        ] {
            std::fs::write(&path, format!("[[receiver]]\n{text}")).expect("written");
            let error = Receivers::load(&path).expect_err(text).to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
