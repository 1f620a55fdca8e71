//! Certificates for tests: authorities, what they sign, and what has gone wrong with them.
//!
//! Made anew in each test, as PEM files in the test's own folder.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use std::path::{Path, PathBuf};

/// When a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Now.
    Now,
    /// No longer.
    Expired,
}

/// Files of one certificate.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Its DER encoding.
    pub der: Vec<u8>,
}

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub file: PathBuf,
    folder: PathBuf,
}

fn write(path: PathBuf, text: &str) -> PathBuf {
    std::fs::write(&path, text).expect("written");
    path
}

fn named(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// Number of the certificate of a name: short and different enough for a test.
fn serial(name: &str) -> SerialNumber {
    SerialNumber::from(name.bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) >> 1)
}

fn leaf(name: &str, holds: Holds) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    params.distinguished_name = named(name);
    params.serial_number = Some(serial(name));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    if holds == Holds::Expired {
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    }
    params
}

impl Authority {
    /// A new authority; its files lie in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        let file = write(folder.join(format!("{name}.pem")), &certificate.pem());
        Self { issuer: Issuer::new(params, key), file, folder: folder.to_owned() }
    }

    /// Signs a certificate for `localhost` and 127.0.0.1 with the subject `CN=NAME`.
    pub fn sign(&self, name: &str, holds: Holds) -> Files {
        let key = KeyPair::generate().expect("a key");
        let signed = leaf(name, holds).signed_by(&key, &self.issuer).expect("signed");
        files(&self.folder, name, &signed.pem(), &key, signed.der().to_vec())
    }

    /// A list of revoked certificates with that of `name` in it.
    pub fn revoke(&self, name: &str) -> PathBuf {
        let revoked = RevokedCertParams {
            serial_number: serial(name),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("signed");
        write(self.folder.join("revoked.pem"), &list.pem().expect("PEM"))
    }
}

/// A certificate that signs itself.
pub fn self_signed(folder: &Path, name: &str) -> Files {
    let key = KeyPair::generate().expect("a key");
    let signed = leaf(name, Holds::Now).self_signed(&key).expect("signed");
    files(folder, name, &signed.pem(), &key, signed.der().to_vec())
}

fn files(folder: &Path, name: &str, pem: &str, key: &KeyPair, der: Vec<u8>) -> Files {
    Files {
        certificate: write(folder.join(format!("{name}.crt")), pem),
        key: write(folder.join(format!("{name}.key")), &key.serialize_pem()),
        der,
    }
}
