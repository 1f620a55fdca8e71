//! How a bucket is reached.

use super::ColdFault;
use crate::StoreError;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// How a bucket is reached, and the bounds of every request.
#[derive(Clone)]
pub struct ColdOptions {
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
    /// Secret key.
    pub secret_key: Zeroizing<String>,
    /// Session token of temporary credentials.
    pub session_token: Option<Zeroizing<String>>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// PEM file of authorities to trust beside the system's.
    pub authority: Option<PathBuf>,
    /// Where uploads note their parts.
    pub work: PathBuf,
    /// Bytes of one part of an upload, and the largest object put in one request; S3 asks for 5 MiB at least.
    pub part_bytes: u64,
    /// Parts under way at once, of all uploads of one object; memory is this times `part_bytes`.
    pub parallel: usize,
    /// Threads that serve the connections.
    pub threads: usize,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest silence in an answer.
    pub read_timeout: Duration,
    /// Longest time of one request, a part of an upload included.
    pub request_timeout: Duration,
    /// How often one request is asked again after a server's error or a broken connection.
    pub retries: usize,
    /// Pause before the first repetition; doubled each time.
    pub retry_pause: Duration,
}

/// Smallest part that S3 takes, but for the last.
const PART_BYTES_MIN: u64 = 5 << 20;
/// Largest authority file read.
const AUTHORITY_BYTES: u64 = 1 << 20;

impl ColdOptions {
    /// A bucket at an address, with the defaults for everything else.
    pub fn new(endpoint: Option<&str>, region: &str, bucket: &str, work: PathBuf) -> Self {
        Self {
            endpoint: endpoint.map(str::to_owned),
            region: region.to_owned(),
            bucket: bucket.to_owned(),
            prefix: String::new(),
            access_key: String::new(),
            secret_key: Zeroizing::default(),
            session_token: None,
            path_style: endpoint.is_some(),
            authority: None,
            work,
            part_bytes: 16 << 20,
            parallel: 4,
            threads: 2,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(300),
            retries: 4,
            retry_pause: Duration::from_millis(100),
        }
    }

    /// The same with credentials.
    #[must_use]
    pub fn with_credentials(mut self, access_key: &str, secret_key: &str) -> Self {
        access_key.clone_into(&mut self.access_key);
        self.secret_key = Zeroizing::new(secret_key.to_owned());
        self
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let wrong = |what| Err(StoreError::cold(ColdFault::Options, "open", &self.bucket, what));
        if self.bucket.is_empty() || self.region.is_empty() {
            return wrong("bucket and region must be named");
        }
        if self.access_key.is_empty() || self.secret_key.is_empty() {
            return wrong("access key and secret key must be given");
        }
        if self.part_bytes < PART_BYTES_MIN || self.parallel == 0 {
            return wrong("parts are at least 5 MiB, and at least one is sent at a time");
        }
        match &self.endpoint {
            Some(endpoint) if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") => {
                wrong("the endpoint begins with http:// or https://")
            }
            _ => Ok(()),
        }
    }

    pub(super) fn is_plain_http(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    pub(super) fn authority(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(path) = &self.authority else { return Ok(None) };
        let failed = |e| StoreError::io("read the authorities in", path, e);
        if fs::metadata(path).map_err(failed)?.len() > AUTHORITY_BYTES {
            return Err(StoreError::cold(ColdFault::Options, "open", &self.bucket, "the authority file is too large"));
        }
        fs::read(path).map(Some).map_err(failed)
    }
}

impl std::fmt::Debug for ColdOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColdOptions")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
