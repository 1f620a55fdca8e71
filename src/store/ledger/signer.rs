//! Who signs the ledger's heads: a key in a file, or a token behind PKCS#11 (module `token`).
//!
//! The key file is an Ed25519 private key as PKCS#8 in PEM (RFC 8410), what `openssl genpkey -algorithm ed25519`
//! makes and `openssl pkey -in FILE -pubout` reads. It is made with mode 0600 and refused when others can read it.
//! This module deliberately encrypts nothing: a key that must not lie on a disk belongs into a token.

use super::layout::hex;
use super::merkle::Hash;
use crate::StoreError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Longest key file read, in bytes.
const KEY_FILE_MAX: u64 = 4096;
/// DER before the 32 bytes of a private key: PKCS#8 version 1, algorithm 1.3.101.112 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Something that signs with one Ed25519 key.
pub trait Signer: Send + Sync {
    /// The public key.
    fn public_key(&self) -> [u8; 32];
    /// Signs a message (RFC 8032, Ed25519 without prehash). May block on a device.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], StoreError>;
}

/// The name of the ledger that a key signs: the SHA-256 of the public key.
pub fn log_id(public_key: &[u8; 32]) -> Hash {
    Sha256::digest(public_key).into()
}

/// The same as people compare it: hexadecimal.
pub fn log_name(public_key: &[u8; 32]) -> String {
    hex(&log_id(public_key))
}

/// Whether the key signed the message.
pub fn verify_signature(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}

/// A private key in a file.
pub struct KeyFile {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl KeyFile {
    /// Loads the key, or makes one when there is no file. A new file and its name are durable on return.
    pub fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        match Self::load(path) {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Self::create(path),
            other => other,
        }
    }

    /// Loads a key that must be there.
    pub fn load(path: &Path) -> Result<Self, StoreError> {
        let failed = |e| StoreError::io("read the ledger's key", path, e);
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
            return Err(refused(path, "others than its owner can read it: chmod 600"));
        }
        let mut text = String::new();
        file.take(KEY_FILE_MAX).read_to_string(&mut text).map_err(failed)?;
        let der = decode_pem(&text).ok_or_else(|| refused(path, "not a private key in PEM"))?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
            .map_err(|_| refused(path, "not an Ed25519 key in PKCS#8"))?;
        Self::from_pair(pair).ok_or_else(|| refused(path, "its public key has no 32 bytes"))
    }

    /// Makes a key; a file that is already there is left alone and is an error.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| refused(path, "the system gives no random bytes"))?;
        write_new(path, &encode_pem(&seed))?;
        Self::load(path)
    }

    /// A signer from the 32 secret bytes of a key, kept in memory alone.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Self::from_pair(Ed25519KeyPair::from_seed_unchecked(seed).ok()?)
    }

    fn from_pair(pair: Ed25519KeyPair) -> Option<Self> {
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { pair, public })
    }
}

impl Signer for KeyFile {
    fn public_key(&self) -> [u8; 32] {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], StoreError> {
        let unfit = |_| StoreError::Signer { place: "file".into(), what: "a signature without 64 bytes".into() };
        self.pair.sign(message).as_ref().try_into().map_err(unfit)
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile").field("public", &hex(&self.public)).finish_non_exhaustive()
    }
}

fn refused(path: &Path, what: &str) -> StoreError {
    StoreError::Signer { place: path.display().to_string(), what: what.to_owned() }
}

/// Written beside and linked, so that a crash leaves either no key or the whole of it, and no key is replaced.
fn write_new(path: &Path, text: &str) -> Result<(), StoreError> {
    let failed = |e| StoreError::io("write the ledger's key", path, e);
    let beside = path.with_extension("new");
    // Left by a crash: it never signed anything.
    let _ = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    // Unlike a rename a link fails where a key lies already.
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside).map_err(failed)?;
    linked.map_err(failed)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn encode_pem(seed: &[u8; 32]) -> String {
    let der = [PKCS8_PREFIX.as_slice(), seed].concat();
    format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der))
}

fn decode_pem(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let digits: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("digits");
        let all: Vec<u8> = hex.as_bytes().chunks(2).map(digit).collect();
        all.try_into().expect("length")
    }

    #[test]
    fn signatures_are_those_of_rfc_8032() {
        // Section 7.1, TEST 2.
        let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let public: [u8; 32] = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature: [u8; 64] = bytes(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        let signer = KeyFile::from_seed(&seed).expect("key");
        assert_eq!(signer.public_key(), public);
        assert_eq!(signer.sign(&[0x72]).expect("signed"), signature);
        assert!(verify_signature(&public, &[0x72], &signature));
        assert!(!verify_signature(&public, &[0x73], &signature));
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_alone_and_read_again() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("ledger.key");
        let made = KeyFile::open_or_create(&path).expect("made");
        assert_eq!(std::fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
        let again = KeyFile::open_or_create(&path).expect("read");
        assert_eq!(made.public_key(), again.public_key());
        assert_eq!(std::fs::read_dir(dir.path()).expect("folder").count(), 1, "nothing left beside it");

        let taken = KeyFile::create(&path);
        assert!(matches!(taken, Err(StoreError::Io { .. })), "{taken:?}");
        assert_eq!(KeyFile::load(&path).expect("unchanged").public_key(), made.public_key());

        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("mode");
        let open = KeyFile::open_or_create(&path);
        assert!(matches!(open, Err(StoreError::Signer { .. })), "{open:?}");
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("ledger.key");
        for text in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("mode");
            let refused = KeyFile::open_or_create(&path);
            assert!(matches!(refused, Err(StoreError::Signer { .. })), "{text:?}: {refused:?}");
            assert_eq!(std::fs::read_to_string(&path).expect("file"), text);
        }
    }
}
