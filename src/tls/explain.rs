//! What went wrong in a handshake, in words an operator can act on.

use crate::identity;
use rustls::{AlertDescription, CertificateError, Error};
use std::io;

/// The reason of a failure, or none when TLS had no part in it.
pub fn explain(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?;
    if let Some(error) = inner.downcast_ref::<crate::TlsError>() {
        return Some(format!("our own files: {error}"));
    }
    inner.downcast_ref::<Error>().map(words)
}

/// Says in the log which certificate was refused; the peer's address stands in the line after it.
pub(crate) fn explain_to_log(der: &[u8], error: &Error) {
    let shown = identity::certificate(der);
    let (subject, fingerprint, why) = (shown.subject, shown.fingerprint, words(error));
    tracing::warn!(subject, fingerprint, why, "a peer's certificate is refused");
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidMessage(_) => "what came is no TLS: the peer speaks without TLS here".into(),
        Error::PeerIncompatible(what) => {
            format!("no common version or cipher, TLS 1.2 or 1.3 with those of BCP 195 is needed ({what:?})")
        }
        Error::NoCertificatesPresented => "the peer shows no certificate, and one is required".into(),
        Error::InvalidCertificate(what) => format!("the peer's certificate {}", certificate(what)),
        Error::AlertReceived(what) => format!("the peer ended the handshake: {}", alert(*what)),
        other => other.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired: it needs a new one, or a clock is wrong".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet: a clock is wrong, here or there".into()
        }
        CertificateError::UnknownIssuer => {
            "comes from an authority that is not among ours, or signs itself: add the authority, or the fingerprint of the destination".into()
        }
        CertificateError::Revoked => "was revoked by its authority".into(),
        CertificateError::NotValidForName => "is not for the name that was called".into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("is not for the name {:?} that was called but for {presented:?}", expected.to_str())
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for this purpose: its extended key usage lacks client or server authentication".into()
        }
        CertificateError::ApplicationVerificationFailure => "is not the one with the expected fingerprint".into(),
        CertificateError::BadEncoding => "cannot be read".into(),
        // The library's own words, for example of an authority's certificate that is shown as one's own.
        other => format!("is not accepted: {other}"),
    }
}

fn alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => "it says that our certificate has expired".into(),
        AlertDescription::UnknownCA => "it does not know the authority of our certificate".into(),
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "it does not accept our certificate".into()
        }
        AlertDescription::CertificateRevoked => "it says that our certificate was revoked".into(),
        AlertDescription::CertificateRequired => "it requires a certificate of ours".into(),
        AlertDescription::AccessDenied => "it lets us in with no certificate of ours".into(),
        AlertDescription::ProtocolVersion => "it speaks neither TLS 1.2 nor 1.3".into(),
        AlertDescription::HandshakeFailure => {
            "no common version or cipher, a missing certificate, or no TLS on that port".into()
        }
        other => format!("{other:?}"),
    }
}
