//! What a certificate says of its holder: fingerprint, subject, and until when it holds.

use model::Certificate;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use x509_cert::der::Decode;

/// The certificate of a peer as the registry names it.
///
/// The subject of one that cannot be read is empty: it then matches no name but its fingerprint.
pub fn certificate(der: &[u8]) -> Certificate {
    let parsed = x509_cert::Certificate::from_der(der).ok();
    let subject = parsed.map_or(String::new(), |parsed| parsed.tbs_certificate().subject().to_string());
    Certificate { fingerprint: fingerprint(der), subject }
}

/// SHA-256 in lower-case hexadecimal digits.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(der) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// When a certificate ends, in seconds since 1970 UTC.
pub(crate) fn ends(der: &[u8]) -> Option<u64> {
    let parsed = x509_cert::Certificate::from_der(der).ok()?;
    Some(parsed.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
}
