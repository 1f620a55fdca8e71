//! The keys of TLS of DICOM, in both roles, and of HL7, and their checks.

use super::options::{named, refuse};
use super::{Config, ConfigError, Span};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `[dicom.tls]`, `[hl7.tls]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) listen: Port,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) peers: Peers,
    pub(crate) authorities: PathBuf,
    pub(crate) revoked: PathBuf,
    pub(crate) handshake_limit: Span,
}

/// An address, or none, written as an empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) Option<SocketAddr>);

/// Whether peers have to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peers {
    /// They are not asked.
    Unasked,
    /// They are asked, and may have none.
    Asked,
    /// Without one they are not let in.
    Required,
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.map_or(String::new(), |address| address.to_string()))
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |_| serde::de::Error::custom(format!("{text:?} is no address with a port such as 0.0.0.0:2762"));
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|address| Self(Some(address))).map_err(wrong) }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            listen: Port(None),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            peers: Peers::Required,
            authorities: PathBuf::new(),
            revoked: PathBuf::new(),
            handshake_limit: Span(Duration::from_secs(10)),
        }
    }
}

impl Tls {
    fn own(&self) -> Option<tls::Pair> {
        let (certificate, key) = named(&self.certificate).zip(named(&self.key))?;
        Some(tls::Pair { certificate, key })
    }

    /// The second port of DICOM.
    pub(super) fn port(&self) -> Option<dimse::TlsPort> {
        let (listen, server, handshake_limit) = self.server("dicom")?;
        Some(dimse::TlsPort { listen, server, handshake_limit })
    }

    /// Where TLS is accepted, with which certificates, and how long a handshake may take.
    pub(super) fn server(&self, used_for: &'static str) -> Option<(SocketAddr, tls::Server, Duration)> {
        let (listen, own) = self.listen.0.zip(self.own())?;
        let peers = match self.peers {
            Peers::Unasked => tls::Peers::Unasked,
            Peers::Asked => tls::Peers::Asked,
            Peers::Required => tls::Peers::Required,
        };
        let (authorities, revoked) = (named(&self.authorities), named(&self.revoked));
        let protocols = Vec::new();
        let files = tls::ServerFiles { used_for, own, peers, authorities, revoked, protocols };
        Some((listen, tls::Server::new(files), self.handshake_limit.0))
    }

    /// Certificates of the associations that the archive opens.
    pub(super) fn client(&self) -> tls::Client {
        let (authorities, revoked) = (named(&self.authorities), named(&self.revoked));
        tls::Client::new(tls::ClientFiles { used_for: "dicom-calls", own: self.own(), authorities, revoked })
    }
}

/// The names of the keys of one such section, for what is wrong with them.
struct Names {
    certificate: &'static str,
    key: &'static str,
    authorities: &'static str,
    handshake_limit: &'static str,
}

const DICOM: Names = Names {
    certificate: "dicom.tls.certificate",
    key: "dicom.tls.key",
    authorities: "dicom.tls.authorities",
    handshake_limit: "dicom.tls.handshake_limit",
};
const HL7: Names = Names {
    certificate: "hl7.tls.certificate",
    key: "hl7.tls.key",
    authorities: "hl7.tls.authorities",
    handshake_limit: "hl7.tls.handshake_limit",
};

impl Tls {
    fn check(&self, names: &Names) -> Result<(), ConfigError> {
        let (certificate, key) = (named(&self.certificate), named(&self.key));
        if certificate.is_some() && key.is_none() {
            return refuse(names.key, format!("{} is named, so the file of its key must be too", names.certificate));
        }
        if certificate.is_none() && key.is_some() {
            let what = format!("{} is named, so the file of its certificate must be too", names.key);
            return refuse(names.certificate, what);
        }
        if self.listen.0.is_some() && certificate.is_none() {
            return refuse(names.certificate, "listen of the section is set, so certificate and key must be named");
        }
        if self.listen.0.is_some() && self.peers != Peers::Unasked && named(&self.authorities).is_none() {
            let what = "name the authorities that sign the peers' certificates, or set peers to \"unasked\"";
            return refuse(names.authorities, what);
        }
        if self.handshake_limit.0.is_zero() {
            return refuse(names.handshake_limit, "longer than nothing, for example \"10s\"");
        }
        Ok(())
    }
}

impl Config {
    pub(super) fn check_tls(&self) -> Result<(), ConfigError> {
        self.dicom.tls.check(&DICOM)?;
        self.hl7.tls.check(&HL7)
    }
}
