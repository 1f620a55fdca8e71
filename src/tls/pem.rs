//! What is read from PEM files. Their text is taken once and parsed from memory, so that one reading is one state.

use crate::TlsError;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

/// Longest file that is read: a bundle of every public authority has 250 KB.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Certificate and key files of one side, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Certificate chain, the side's own certificate first.
    pub certificate: PathBuf,
    /// Private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// A file and what stood in it.
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl Text {
    pub(crate) fn read(path: &Path) -> Result<Self, TlsError> {
        let bad = |what: String| TlsError::File { path: path.display().to_string(), what };
        let length = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?.len();
        if length > FILE_BYTES_MAX {
            return Err(bad(format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    fn bad(&self, what: impl ToString) -> TlsError {
        TlsError::File { path: self.path.display().to_string(), what: what.to_string() }
    }

    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let chain = chain.map_err(|error| self.bad(error))?;
        if chain.is_empty() { Err(self.bad("no certificate in it")) } else { Ok(chain) }
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| self.bad(error))
    }

    pub(crate) fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.chain()? {
            roots.add(certificate).map_err(|error| self.bad(error))?;
        }
        Ok(roots)
    }

    pub(crate) fn revoked(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&self.bytes).collect();
        let lists = lists.map_err(|error| self.bad(error))?;
        if lists.is_empty() { Err(self.bad("no list of revoked certificates in it")) } else { Ok(lists) }
    }
}
