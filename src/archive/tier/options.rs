//! What the tiers are started with: the bucket, the keys of sealed copies, and who may see the secret.
//!
//! It deliberately holds no secret: that is read from its file when the bucket is opened.

use std::path::{Path, PathBuf};
use std::time::Duration;
use store::cold::LockMode;

/// The bucket of the cold tier, and what goes there how fast.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// `http://` or `https://` address of the server; none for AWS itself.
    pub endpoint: Option<String>,
    /// Region, as the server calls it.
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// Everything lies under this; empty for the whole bucket.
    pub prefix: String,
    /// Access key.
    pub access_key: String,
    /// File whose first line is the secret key; no one but its owner and group may read it.
    pub secret_key_file: PathBuf,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// PEM file of authorities to trust beside the system's.
    pub authority: Option<PathBuf>,
    /// Refuses to start on a bucket that does not keep locked objects, and locks every copy.
    pub worm: bool,
    /// Who may shorten a lock.
    pub lock_mode: LockMode,
    /// With `worm`, every copy is locked at least this long.
    pub lock_for: Duration,
    /// Bytes of one part of an upload.
    pub part_bytes: u64,
    /// Parts under way at once.
    pub parallel: usize,
    /// Packs that go up at once, each with so many parts. All share the rates.
    pub uploads: usize,
    /// Bytes a second by hour of the day: none unbounded, 0 nothing goes up.
    pub upload_rates: [Option<u64>; 24],
    /// Hours by which the place is ahead of UTC, for those rates.
    pub utc_offset: i8,
    /// Bytes of the local cache of what was read from the cloud.
    pub cache_bytes: u64,
    /// Its directory; `cache` in the data directory when none.
    pub cache: Option<PathBuf>,
    /// Whether copies go up in their envelope.
    pub sealed: bool,
    /// Storage class of the copies, the bucket's own when none.
    pub storage_class: Option<String>,
}

/// Where the keys of sealed copies lie.
#[derive(Debug, Clone, Default)]
pub struct KeyOptions {
    /// Two directories for the key store; empty means `keys` and `keys.copy` in the data directory.
    pub directories: Vec<PathBuf>,
    /// What holds the epoch keys.
    pub epochs: EpochOptions,
}

impl KeyOptions {
    /// The same for a directory that a backup was brought back to: its key store lies in it, and the epoch keys, which
    /// are in no backup, are those of the archive at `data`.
    #[must_use]
    pub fn of_restored(self, data: &Path) -> Self {
        let epochs = match self.epochs {
            EpochOptions::File(None) => EpochOptions::File(Some(data.join("epoch.keys"))),
            named => named,
        };
        Self { directories: Vec::new(), epochs }
    }

    /// The two directories of the key store of a data directory.
    pub(crate) fn copies(&self, data: &Path) -> [PathBuf; 2] {
        match self.directories.as_slice() {
            [one, other] => [one.clone(), other.clone()],
            _ => [data.join("keys"), data.join("keys.copy")],
        }
    }
}

/// What holds the epoch keys that wrap the keys of packs.
#[derive(Clone)]
pub enum EpochOptions {
    /// A file; `epoch.keys` in the data directory when none.
    File(Option<PathBuf>),
    /// A token behind PKCS#11, which never gives them out.
    Token {
        /// Library of the device's maker.
        module: PathBuf,
        /// Label of the token.
        token: String,
        /// File whose first line is the PIN of the user.
        pin_file: PathBuf,
    },
}

impl Default for EpochOptions {
    fn default() -> Self {
        Self::File(None)
    }
}

impl std::fmt::Debug for EpochOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Token { module, token, .. } => {
                f.debug_struct("Token").field("module", module).field("token", token).finish_non_exhaustive()
            }
        }
    }
}

impl CloudOptions {
    /// A bucket with the defaults for everything else.
    pub fn new(bucket: &str) -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".into(),
            bucket: bucket.into(),
            prefix: String::new(),
            access_key: String::new(),
            secret_key_file: PathBuf::new(),
            path_style: true,
            authority: None,
            worm: false,
            lock_mode: LockMode::Compliance,
            lock_for: Duration::ZERO,
            part_bytes: 16 << 20,
            parallel: 4,
            uploads: 2,
            upload_rates: [None; 24],
            utc_offset: 7,
            cache_bytes: 10 << 30,
            cache: None,
            sealed: true,
            storage_class: None,
        }
    }
}
