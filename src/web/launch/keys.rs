//! The facilities' keys: a TOML file, read again when it changes as the token file is.

use crate::auth::TokenFileError;
use crate::auth::watched::{Form, Watched};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::FacilityCode;
use ring::hmac;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// Shortest secret in bytes: as long as what it makes (RFC 7518 section 3.2).
const SECRET_MIN: usize = 32;
/// Keys of one facility.
const KEYS_MAX: usize = 8;
/// SubjectPublicKeyInfo of Ed25519 in front of the key itself (RFC 8410 section 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    facility: FacilityCode,
    #[serde(default)]
    id: String,
    hs256: Option<String>,
    ed25519: Option<String>,
}

/// A key, with the one algorithm it is for.
#[derive(Debug)]
pub(super) enum Key {
    /// HMAC-SHA256.
    Hs256(hmac::Key),
    /// Ed25519.
    Ed25519([u8; 32]),
}

/// A key of a facility.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) facility: FacilityCode,
    /// Its name (`kid`); may be empty.
    pub(super) id: String,
    pub(super) key: Key,
}

/// The keys of one reading.
type Known = Vec<Held>;

static KEY_FILE: Form<Known> = Form { file: "file of launch keys", unusable: "khoanh_launch_key_file_unusable", parse };

/// The keys as of now.
pub(super) struct Keys(Option<Watched<Known>>);

impl Keys {
    /// The keys of a file; none of one that cannot be used, with a word in the log.
    pub(super) fn open(path: Option<&Path>) -> Self {
        let watched = path.and_then(|path| match read(path) {
            Ok(watched) => Some(watched),
            Err(error) => {
                tracing::error!(%error, "no launch link opens");
                None
            }
        });
        Self(watched)
    }

    pub(super) fn now(&self) -> Arc<Known> {
        self.0.as_ref().map_or_else(Arc::default, Watched::now)
    }
}

pub(super) fn read(path: &Path) -> Result<Watched<Known>, TokenFileError> {
    Watched::read(path, &KEY_FILE)
}

/// Reads the text of the file. What it says of a wrong key holds nothing of the key.
fn parse(text: &str) -> Result<Known, String> {
    // The parser's own message quotes the line, which may hold a secret.
    let file: KeyFile = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let mut known: Known = Vec::new();
    for entry in file.key {
        let (facility, id) = (entry.facility, entry.id.clone());
        let key = entry.key().map_err(|what| format!("key {id:?} of facility {facility}: {what}"))?;
        let beside = known.iter().filter(|one| one.facility == facility).collect::<Vec<_>>();
        if beside.len() >= KEYS_MAX {
            return Err(format!("facility {facility} has more than {KEYS_MAX} keys"));
        }
        if !id.is_empty() && beside.iter().any(|one| one.id == id) {
            return Err(format!("facility {facility} has two keys {id:?}"));
        }
        known.push(Held { facility, id, key });
    }
    Ok(known)
}

impl Entry {
    fn key(self) -> Result<Key, &'static str> {
        match (self.hs256, self.ed25519) {
            (Some(secret), None) if secret.len() < SECRET_MIN => Err("hs256 is a text of 32 bytes or more"),
            (Some(secret), None) => Ok(Key::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))),
            (None, Some(text)) => public(&text).map(Key::Ed25519).ok_or("ed25519 is a public key, PEM or base64"),
            _ => Err("give one of hs256 and ed25519"),
        }
    }
}

/// A public key as `openssl pkey -pubout` writes it, or the base64 of its bytes.
fn public(text: &str) -> Option<[u8; 32]> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let bytes = STANDARD.decode(lines.collect::<String>()).ok()?;
    bytes.strip_prefix(&SPKI).unwrap_or(&bytes).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_wrong_ones_named_without_what_they_hold() {
        let secret = "s".repeat(32);
        let known = parse(&format!("[[key]]\nfacility = \"56001\"\nid = \"a\"\nhs256 = \"{secret}\"")).expect("a key");
        assert!(matches!(known.as_slice(), [Held { key: Key::Hs256(_), .. }]));
        let bare = STANDARD.encode([7; 32]);
        let spki = STANDARD.encode([SPKI.as_slice(), &[7; 32]].concat());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n");
        for text in [bare, spki, pem] {
            assert_eq!(public(&text), Some([7; 32]), "{text}");
        }
        for wrong in ["hs256 = \"s3cret\"", "ed25519 = \"s3cret\"", "hs256 = 12345s3cret", "colour = \"s3cret\"", ""] {
            let error = parse(&format!("[[key]]\nfacility = \"56001\"\n{wrong}")).expect_err(wrong);
            assert!(!error.contains("s3cret"), "{error}");
        }
        let one = format!("[[key]]\nfacility = \"56001\"\nid = \"a\"\nhs256 = \"{secret}\"\n");
        assert!(parse(&format!("{one}{one}")).is_err(), "one name twice");
        assert!(parse("").expect("no keys").is_empty());
    }
}
