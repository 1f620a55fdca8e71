//! The S3 server of the tests: one for all of them, started when the first asks.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use store::cold::{Cold, ColdOptions, Throttle};

/// Where the server answers and with which keys.
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    /// With versions and Object Lock.
    pub(crate) bucket: String,
    /// With neither.
    pub(crate) plain_bucket: String,
}

/// The server, running. It ends with this process.
pub(crate) fn s3() -> &'static S3 {
    static SERVER: OnceLock<S3> = OnceLock::new();
    SERVER.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("khoanh-s3-{}", std::process::id()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("scripts/s3-up"));
        let script = script.into_iter().find(|path| path.is_file()).expect("scripts/s3-up");
        let output = Command::new(script)
            .arg(&dir)
            .env("KHOANH_S3_WITH", std::process::id().to_string())
            .stderr(Stdio::inherit())
            .output()
            .expect("scripts/s3-up runs");
        assert!(output.status.success(), "scripts/s3-up: {}", output.status);
        let told: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
        let text = |name: &str| told.get(name).and_then(Value::as_str).expect("told").to_owned();
        S3 {
            endpoint: text("endpoint"),
            region: text("region"),
            access_key: text("access_key"),
            secret_key: text("secret_key"),
            bucket: text("bucket"),
            plain_bucket: text("plain_bucket"),
        }
    })
}

impl S3 {
    /// Options for a bucket under a prefix of its own, with `endpoint` or the server's.
    pub(crate) fn options(&self, bucket: &str, prefix: &str, work: &Path, endpoint: Option<&str>) -> ColdOptions {
        let endpoint = endpoint.unwrap_or(&self.endpoint);
        let mut options = ColdOptions::new(Some(endpoint), &self.region, bucket, work.to_owned())
            .with_credentials(&self.access_key, &self.secret_key);
        prefix.clone_into(&mut options.prefix);
        options.part_bytes = 5 << 20;
        options
    }

    /// The bucket with Object Lock, under a prefix of its own.
    pub(crate) fn open(&self, prefix: &str, work: &Path) -> Cold {
        Cold::open(self.options(&self.bucket, prefix, work, None), Throttle::unbounded()).expect("opens")
    }
}
