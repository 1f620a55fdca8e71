//! Certificates of peers as the registry names them: by fingerprint or by subject.
//!
//! What makes a certificate trustworthy is decided where TLS is spoken; this module only says whether the one that was
//! shown is the one that was meant.

use serde::{Deserialize, Serialize};

/// Hexadecimal digits of a SHA-256.
const FINGERPRINT_DIGITS: usize = 64;

/// The certificate a peer proved to hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of its DER encoding, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Its subject as text (RFC 4514), for example `CN=CT01,O=BV Da khoa tinh,C=VN`.
    pub subject: String,
}

/// A text that names no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a certificate is named by its SHA-256 (64 hexadecimal digits) or its whole subject (CN=CT01,O=Hospital); got {0:?}"
)]
pub struct CertificateNameError(pub String);

impl Certificate {
    /// Whether a name in the registry means this certificate: its fingerprint, or every attribute of its subject and no
    /// other. The order of the attributes, case and repeated spaces do not count.
    pub fn is_named(&self, name: &str) -> bool {
        match fingerprint(name) {
            Some(wanted) => wanted == self.fingerprint,
            None => attributes(name).is_some_and(|wanted| attributes(&self.subject).as_ref() == Some(&wanted)),
        }
    }

    /// The name of a certificate as the registry keeps it: a fingerprint without its colons and in lower case, a subject
    /// as it was written.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse_name(text: &str) -> Result<String, CertificateNameError> {
        let text = text.trim();
        let subject = || attributes(text).map(|_| text.to_owned());
        let bad = || CertificateNameError(text.chars().take(100).collect());
        fingerprint(text).or_else(subject).ok_or_else(bad)
    }
}

/// The digits of a fingerprint, however it is written.
fn fingerprint(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != ':' && *c != ' ').map(|c| c.to_ascii_lowercase()).collect();
    (digits.len() == FINGERPRINT_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(digits)
}

/// The attributes of a subject, type and value, sorted.
fn attributes(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    for part in split(text) {
        let (kind, value) = part.split_once('=')?;
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let kind = kind.trim().to_ascii_uppercase();
        if kind.is_empty() || value.is_empty() {
            return None;
        }
        found.push((kind, value));
    }
    found.sort();
    (!found.is_empty()).then_some(found)
}

/// Splits at commas and plus signs that no backslash escapes; the backslashes go.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut now, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            ',' | '+' if !escaped => parts.push(std::mem::take(&mut now)),
            c => {
                now.push(c);
                escaped = false;
            }
        }
    }
    parts.push(now);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Certificate {
        Certificate { fingerprint: "ab".repeat(32), subject: "CN=CT01,O=BV Đa khoa\\, tỉnh,C=VN".into() }
    }

    #[test]
    fn a_fingerprint_is_read_as_tools_write_it() {
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(Certificate::parse_name(&colons), Ok("ab".repeat(32)));
        assert!(shown().is_named(&colons) && shown().is_named(&"ab".repeat(32)));
        assert!(!shown().is_named(&"ac".repeat(32)));
    }

    #[test]
    fn a_subject_means_all_of_its_attributes_in_any_order() {
        let one = shown();
        assert!(one.is_named("C = VN, O = bv đa khoa\\, tỉnh, CN = ct01"), "as openssl prints it");
        assert!(!one.is_named("CN=CT01"), "a part is not the whole");
        assert!(!one.is_named("CN=CT01,O=BV Đa khoa\\, tỉnh,C=VN,OU=x"));
        assert!(!one.is_named("CN=CT02,O=BV Đa khoa\\, tỉnh,C=VN"));
        assert!(!one.is_named("CN=CT01,O=BV Đa khoa,O=tỉnh,C=VN"));
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for bad in ["", "CT01", "=x", "CN=", "ab:cd", &"ab".repeat(31)] {
            assert!(Certificate::parse_name(bad).is_err(), "{bad:?}");
            assert!(!shown().is_named(bad), "{bad:?}");
        }
    }
}
