//! Links in messages to information systems, signed here and not by the hospital's system.
//!
//! A message is read when somebody has time, and by several people, so such a link opens again and again until it ends,
//! after days. It is for one study and gives the least: images to look at, whoever opens it, and only while they are those
//! of the patient whose they were; its mark of the patient tells nobody the number. It is signed as other links are in
//! their parameters ([`super::signed`]), with a key made of the facility's own: whatever the hospital's system signs is no
//! link of this kind, however its parameters are called.
//! Deliberately not here: in which messages they stand.

use super::claim::Claim;
use super::keys::{Key, Keys};
use super::signed::canonical;
use crate::options::LaunchOptions;
use model::{FacilityCode, Uid};
use ring::hmac;
use std::fmt::Write as _;

/// Parameter that tells such a link, and its value.
pub(super) const USE: (&str, &str) = ("use", "message");
/// Parameter of the mark of whose images they are.
pub(super) const WHOSE: &str = "whose";
/// Longest time until such a link ends, in milliseconds: 90 days, and a day for messages that are written ahead.
pub(super) const LIFE_MAX: u64 = 91 * 86_400_000;
/// Who opens it, for the log.
const USER: &str = "message";
/// What makes the key of links in messages another one than the facility's own.
const LABEL: &[u8] = b"khoanh: links in messages, 1";

fn key_of(own: &hmac::Key) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(own, LABEL).as_ref())
}

/// Whose images a link is for: a mark of the patient's number, and what makes it.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    key: hmac::Key,
    study: Uid,
    mark: String,
}

impl PartialEq for Whose {
    fn eq(&self, other: &Self) -> bool {
        (&self.study, &self.mark) == (&other.study, &other.mark)
    }
}

impl Eq for Whose {}

impl Whose {
    /// What a link with these studies says by its mark; none of one that has none.
    pub(super) fn read(own: &hmac::Key, studies: &[Uid], mark: Option<&str>) -> Option<Self> {
        let (study, mark) = (studies.first()?.clone(), mark?.to_owned());
        Some(Self { key: key_of(own), study, mark })
    }

    /// Whether it is the patient of a number.
    pub(super) fn is(&self, mrn: &str) -> bool {
        mark(&self.key, &self.study, mrn) == self.mark
    }
}

/// The mark of a patient's number in the link to a study.
fn mark(key: &hmac::Key, study: &Uid, mrn: &str) -> String {
    hex(hmac::sign(key, format!("{WHOSE}\n{study}\n{}", mrn.trim()).as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// What all sessions of one such link have in common.
pub(super) fn name(claim: &Claim) -> Option<String> {
    let study = claim.studies.first().filter(|_| claim.lasts)?;
    Some(format!("{}/{study}", claim.facility))
}

/// Whether a signature of such a link is right.
pub(super) fn holds(own: &hmac::Key, canonical: &[u8], signature: &[u8]) -> bool {
    hmac::verify(&key_of(own), canonical, signature).is_ok()
}

/// Signs links that stand in messages.
pub struct MessageLinks(Keys);

impl MessageLinks {
    /// Signs with the keys of launch links.
    #[must_use]
    pub fn open(options: &LaunchOptions) -> Self {
        Self(Keys::open(options.keys.as_deref()))
    }

    /// What stands behind the question mark of a link to a study of the patient of a number that ends at a time, in seconds
    /// since 1970 UTC; none where the facility has no key that can sign.
    pub fn query(&self, facility: FacilityCode, study: &Uid, mrn: &str, expires: u64) -> Option<String> {
        let keys = self.0.now();
        let own = keys.iter().filter(|held| held.facility == facility).find_map(|held| match &held.key {
            Key::Hs256(key) => Some(key),
            Key::Ed25519(_) => None,
        })?;
        let said = [
            ("requestType", "STUDY".to_owned()),
            ("studyUID", study.to_string()),
            ("issuer", facility.to_string()),
            ("user", USER.to_owned()),
            ("nonce", USER.to_owned()),
            (USE.0, USE.1.to_owned()),
            (WHOSE, mark(&key_of(own), study, mrn)),
            ("expires", expires.to_string()),
        ];
        let said = said.map(|(name, value)| (name.to_owned(), value));
        let signature = hmac::sign(&key_of(own), canonical(&said).ok()?.as_bytes());
        // Digits, letters and dots alone: nothing needs to be coded.
        let mut query = said.map(|(name, value)| format!("{name}={value}")).join("&");
        query.push_str("&signature=");
        query.push_str(&hex(signature.as_ref()));
        Some(query)
    }
}
