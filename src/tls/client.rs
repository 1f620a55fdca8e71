//! The calling side.

use crate::identity::fingerprint;
use crate::pem::{Pair, Text};
use crate::stream::Stream;
use crate::watched::{Recipe, Watched};
use crate::{TlsError, VERSIONS};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a client is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientFiles {
    /// Whose TLS it is, for logs and metrics.
    pub used_for: &'static str,
    /// Its own certificate, shown where the peer asks.
    pub own: Option<Pair>,
    /// Authorities whose certificates are good, PEM; without them only peers with a known fingerprint are.
    pub authorities: Option<PathBuf>,
    /// Lists of revoked certificates (CRL), PEM.
    pub revoked: Option<PathBuf>,
}

/// Whom the peer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// Name that must stand in its certificate; none means the host that is called.
    pub name: Option<String>,
    /// SHA-256 of its certificate, 64 lower-case hexadecimal digits: then neither name, authority nor end count.
    pub fingerprint: Option<String>,
}

/// The calling side of TLS, as its files are now. Cheap to clone; equal when its files have the same names.
#[derive(Clone)]
pub struct Client(Arc<Watched<ClientFiles>>);

/// A configuration, and what its copies for one peer need.
pub(crate) struct Made {
    config: ClientConfig,
    provider: Arc<CryptoProvider>,
}

impl Client {
    /// Nothing is read yet.
    pub fn new(files: ClientFiles) -> Self {
        Self(Arc::new(Watched::new(files)))
    }

    /// Whether the files can be used.
    ///
    /// # Errors
    /// When they could never be.
    pub fn check(&self) -> Result<(), TlsError> {
        self.0.now().map(drop)
    }

    /// Shakes hands over a connection to `host`; `through` is that connection with its limits of time.
    ///
    /// # Errors
    /// Those of `through`; what TLS itself says is wrapped and told by [`crate::explain`].
    pub fn connect(
        &self,
        host: &str,
        expected: &Expected,
        tcp: TcpStream,
        through: &mut (impl Read + Write),
    ) -> io::Result<Stream> {
        let made = self.0.now().map_err(io::Error::other)?;
        let mut config = made.config.clone();
        if let Some(pinned) = &expected.fingerprint {
            let verifier = Pinned { fingerprint: pinned.clone(), provider: Arc::clone(&made.provider) };
            config.dangerous().set_certificate_verifier(Arc::new(verifier));
        }
        let name = expected.name.as_deref().unwrap_or(host);
        // A host without a name that certificates know can still be told by its fingerprint.
        let stand_in = || expected.fingerprint.as_ref().and_then(|_| ServerName::try_from("peer.invalid").ok());
        let name = ServerName::try_from(name.to_owned()).ok().or_else(stand_in);
        let name =
            name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no name that a certificate can have"))?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(through)?;
        }
        Ok(Stream::new(connection.into(), tcp))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(ClientFiles::default())
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.0.recipe == other.0.recipe
    }
}

impl Eq for Client {}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.recipe).finish()
    }
}

impl Recipe for ClientFiles {
    type Config = Made;

    fn used_for(&self) -> &'static str {
        self.used_for
    }

    fn files(&self) -> Vec<&Path> {
        let own = self.own.iter().flat_map(|own| [own.certificate.as_path(), own.key.as_path()]);
        let others = self.authorities.as_deref().into_iter();
        own.chain(others).chain(self.revoked.as_deref().filter(|_| self.authorities.is_some())).collect()
    }

    fn make(&self, texts: &[Text]) -> Result<Made, TlsError> {
        let mut texts = texts.iter();
        let unread = || TlsError::Authorities("a file was not read".into());
        let own = match &self.own {
            None => None,
            Some(_) => Some((texts.next().ok_or_else(unread)?.chain()?, texts.next().ok_or_else(unread)?.key()?)),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(VERSIONS)?;
        let verifier: Arc<dyn ServerCertVerifier> = match texts.next() {
            None => Arc::new(Pinned { fingerprint: String::new(), provider: Arc::clone(&provider) }),
            Some(text) => {
                let revoked = texts.next().map(Text::revoked).transpose()?.unwrap_or_default();
                let roots = Arc::new(text.authorities()?);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .with_crls(revoked)
                    .only_check_end_entity_revocation()
                    .allow_unknown_revocation_status();
                verifier.build().map_err(|error| TlsError::Authorities(error.to_string()))?
            }
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match own {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        // Peers prove themselves each time, and so do we.
        config.resumption = Resumption::disabled();
        Ok(Made { config, provider })
    }
}

/// Takes one certificate and no other; without a fingerprint none at all.
#[derive(Debug)]
struct Pinned {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.fingerprint.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        match fingerprint(end_entity) == self.fingerprint {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
