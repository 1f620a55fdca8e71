//! The accepting side.

use crate::explain::explain_to_log;
use crate::pem::{Pair, Text};
use crate::watched::{Recipe, Watched};
use crate::{TlsError, VERSIONS};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Whether peers have to prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Peers {
    /// They are not asked.
    #[default]
    Unasked,
    /// They are asked; one that shows a certificate must show a good one.
    Asked,
    /// Without a good certificate there is no connection.
    Required,
}

/// What a server is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// Whose TLS it is, for logs and metrics.
    pub used_for: &'static str,
    /// Its own certificate.
    pub own: Pair,
    /// Whether peers have to prove who they are.
    pub peers: Peers,
    /// Authorities whose certificates are good, PEM; needed where peers are asked.
    pub authorities: Option<PathBuf>,
    /// Lists of revoked certificates (CRL), PEM.
    pub revoked: Option<PathBuf>,
    /// Names of application protocols (ALPN), most wanted first; empty means the peer is not asked.
    pub protocols: Vec<Vec<u8>>,
}

/// The accepting side of TLS, as its files are now. Cheap to clone; equal when its files have the same names.
#[derive(Clone)]
pub struct Server(Arc<Watched<ServerFiles>>);

impl Server {
    /// Nothing is read yet.
    pub fn new(files: ServerFiles) -> Self {
        Self(Arc::new(Watched::new(files)))
    }

    /// What accepts connections now.
    ///
    /// # Errors
    /// When the files could never be used; later troubles are logged and the last good state holds.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        self.0.now().map(TlsAcceptor::from)
    }

    #[cfg(test)]
    pub(crate) fn look_at_once(&self) {
        self.0.look_at_once();
    }
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.0.recipe == other.0.recipe
    }
}

impl Eq for Server {}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.0.recipe).finish()
    }
}

impl Recipe for ServerFiles {
    type Config = ServerConfig;

    fn used_for(&self) -> &'static str {
        self.used_for
    }

    fn files(&self) -> Vec<&Path> {
        let mut files = vec![self.own.certificate.as_path(), self.own.key.as_path()];
        files.extend(self.authorities.as_deref());
        files.extend(self.revoked.as_deref().filter(|_| self.authorities.is_some()));
        files
    }

    fn make(&self, texts: &[Text]) -> Result<ServerConfig, TlsError> {
        let mut texts = texts.iter();
        let unread = || TlsError::Authorities("a file was not read".into());
        let (chain, key) = (texts.next().ok_or_else(unread)?.chain()?, texts.next().ok_or_else(unread)?.key()?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(VERSIONS)?;
        let builder = if self.peers == Peers::Unasked {
            builder.with_no_client_auth()
        } else {
            let missing = || TlsError::Authorities("peers are asked for certificates, and none is named".into());
            let roots = texts.next().ok_or_else(missing)?.authorities()?;
            let revoked = texts.next().map(Text::revoked).transpose()?.unwrap_or_default();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .with_crls(revoked)
                .only_check_end_entity_revocation()
                .allow_unknown_revocation_status();
            let verifier = if self.peers == Peers::Asked { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier.build().map_err(|error| TlsError::Authorities(error.to_string()))?;
            builder.with_client_cert_verifier(Arc::new(Telling(verifier)))
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols.clone_from(&self.protocols);
        if self.peers != Peers::Unasked {
            // Who connects proves itself each time: a resumed session would outlive a certificate that was revoked.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

/// The library's verifier, with a line for the operator about a certificate that it refuses.
#[derive(Debug)]
struct Telling(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Telling {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now);
        verified.inspect_err(|error| explain_to_log(end_entity, error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
