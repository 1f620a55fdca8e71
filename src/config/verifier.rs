//! The keys of the external verifier of personal identification numbers, and their checks.

use super::options::{named, refuse};
use super::{Config, ConfigError, Span};
use archive::charts::inquiries::VerifierOptions;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Most questions a second.
const RATE_MAX: u32 = 1_000;

/// `[verifier]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Verifier {
    pub(crate) url: String,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) authorities: PathBuf,
    pub(crate) connect: Span,
    pub(crate) answer: Span,
    pub(crate) rate: u32,
    pub(crate) attempts: u32,
    pub(crate) pause: Span,
    pub(crate) pause_max: Span,
}

impl Default for Verifier {
    fn default() -> Self {
        let options = VerifierOptions::default();
        Self {
            url: String::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            authorities: PathBuf::new(),
            connect: Span(Duration::from_secs(10)),
            answer: Span(Duration::from_secs(15)),
            rate: options.rate,
            attempts: options.attempts,
            pause: Span(options.pause),
            pause_max: Span(options.pause_max),
        }
    }
}

/// Scheme and host of a URL; none where there is none, or a user name.
fn parts(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?.0,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    (!host.is_empty() && !authority.contains('@')).then_some((scheme, host))
}

impl Verifier {
    /// Options of the archive; none where nobody is asked.
    pub(super) fn options(&self) -> Option<VerifierOptions> {
        let (_, host) = parts(&self.url)?;
        Some(VerifierOptions {
            by: host.to_owned(),
            rate: self.rate,
            attempts: self.attempts,
            pause: self.pause.0,
            pause_max: self.pause_max.0,
        })
    }

    /// Where it is; none where nobody is asked.
    pub(crate) fn place(&self) -> Option<web::VerifierPlace> {
        (!self.url.is_empty()).then(|| web::VerifierPlace {
            url: self.url.clone(),
            own: named(&self.certificate).zip(named(&self.key)),
            authorities: named(&self.authorities),
            connect: self.connect.0,
            answer: self.answer.0,
        })
    }
}

impl Config {
    pub(super) fn check_verifier(&self) -> Result<(), ConfigError> {
        let verifier = &self.verifier;
        let (certificate, key) = (named(&verifier.certificate), named(&verifier.key));
        if !verifier.url.is_empty() {
            match parts(&verifier.url) {
                Some(("https", _)) if certificate.is_none() => {
                    let what = "the verifier knows the archive by its certificate: name it, and verifier.key";
                    return refuse("verifier.certificate", what);
                }
                Some(("https", _) | ("http", "127.0.0.1" | "::1" | "localhost")) => {}
                _ => {
                    let what =
                        "https:// and a host without a user name; http:// to this machine alone, such as a translator";
                    return refuse("verifier.url", what);
                }
            }
        }
        if certificate.is_some() && key.is_none() {
            return refuse("verifier.key", "verifier.certificate is named, so the file of its key must be too");
        }
        if certificate.is_none() && key.is_some() {
            return refuse("verifier.certificate", "verifier.key is named, so the file of its certificate must be too");
        }
        if !(1..=RATE_MAX).contains(&verifier.rate) {
            return refuse("verifier.rate", format!("between 1 and {RATE_MAX}"));
        }
        if verifier.attempts == 0 {
            return refuse("verifier.attempts", "at least 1");
        }
        if verifier.connect.0.is_zero() || verifier.answer.0.is_zero() {
            return refuse("verifier.answer", "limits of time are longer than nothing, for example \"15s\"");
        }
        if verifier.pause.0.is_zero() || verifier.pause_max.0 < verifier.pause.0 {
            return refuse("verifier.pause", "longer than nothing and at most verifier.pause_max");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_who_answers() {
        for (url, expected) in [
            ("https://verifier.example:8443/v1?x=1", Some(("https", "verifier.example"))),
            ("http://[::1]:9/", Some(("http", "::1"))),
            ("https://a:b@verifier.example/", None),
            ("https:///v1", None),
            ("verifier.example", None),
        ] {
            assert_eq!(parts(url), expected, "{url}");
        }
    }

    #[test]
    fn contradictions_are_refused_by_the_name_of_their_key() {
        let refused: &[(&str, &str)] = &[
            ("[verifier]\nurl = \"http://verifier.example/\"", "verifier.url"),
            ("[verifier]\nurl = \"https://a:b@verifier.example/\"", "verifier.url"),
            ("[verifier]\nurl = \"https://verifier.example/\"", "verifier.certificate"),
            ("[verifier]\nkey = \"k.pem\"", "verifier.certificate"),
            ("[verifier]\nurl = \"https://verifier.example/\"\ncertificate = \"c.pem\"", "verifier.key"),
            ("[verifier]\nrate = 0", "verifier.rate"),
            ("[verifier]\nattempts = 0", "verifier.attempts"),
            ("[verifier]\nanswer = \"0s\"", "verifier.answer"),
            ("[verifier]\npause = \"1h\"", "verifier.pause"),
        ];
        for (text, wanted) in refused {
            let error = Config::parse(text).expect("well formed").check().expect_err(text);
            assert!(matches!(&error, ConfigError::Value { key, .. } if key == wanted), "{text}: {error}");
        }
    }
}
