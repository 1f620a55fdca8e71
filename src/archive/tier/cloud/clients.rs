//! The clients of the bucket, made from the options: who asks, how fast and in which hours.

use crate::clock::Clock;
use crate::error::OpenError;
use crate::tier::{CloudOptions, secret};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::StoreError;
use store::cold::{BucketProbe, Cold, ColdOptions, Throttle};

/// Clients of a bucket that keep to the rates and hours of the options; uploads note their parts in `work`.
///
/// # Errors
/// Options that cannot be used.
pub(crate) fn connect(options: &CloudOptions, work: PathBuf, clock: Arc<dyn Clock>) -> Result<Cold, OpenError> {
    let offset = options.utc_offset;
    let hour = Arc::new(move || hour_of(clock.now_ms(), offset));
    Ok(Cold::open(client(options, work)?, Throttle::by_hour(options.upload_rates, hour))?)
}

fn client(options: &CloudOptions, work: PathBuf) -> Result<ColdOptions, OpenError> {
    let failed =
        |source| StoreError::Io { action: "read the secret key in", path: options.secret_key_file.clone(), source };
    let secret_key = secret(&options.secret_key_file).map_err(failed)?;
    let mut cold = ColdOptions::new(options.endpoint.as_deref(), &options.region, &options.bucket, work)
        .with_credentials(&options.access_key, &secret_key);
    cold.prefix.clone_from(&options.prefix);
    cold.path_style = options.path_style;
    cold.authority.clone_from(&options.authority);
    cold.part_bytes = options.part_bytes;
    cold.parallel = options.parallel;
    Ok(cold)
}

/// Notes about one bucket must not be read as those of another.
pub(super) fn fingerprint(options: &CloudOptions) -> String {
    let mut sum = Sha256::new();
    for part in [options.endpoint.as_deref().unwrap_or(""), &options.region, &options.bucket, &options.prefix] {
        sum.update(part);
        sum.update([0]);
    }
    sum.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn kept_probe(work: &Path) -> Option<BucketProbe> {
    let bytes = std::fs::read(work.join("probe.json")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The hour of the day at a place so many hours ahead of UTC.
pub(super) fn hour_of(now_ms: u64, offset: i8) -> u8 {
    let hours = i64::try_from(now_ms / 3_600_000).unwrap_or(0) + i64::from(offset);
    u8::try_from(hours.rem_euclid(24)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn hours_are_those_of_the_place() {
        for (now, offset, hour) in [(0, 7, 7), (0, 0, 0), (0, -1, 23), (23 * 3_600_000, 7, 6), (3_599_999, 7, 7)] {
            assert_eq!(hour_of(now, offset), hour, "{now} {offset}");
        }
    }

    #[test]
    fn buckets_keep_their_notes_apart() {
        let one = CloudOptions::new("one");
        let elsewhere = CloudOptions { endpoint: Some("http://10.0.0.1".into()), ..one.clone() };
        let other = CloudOptions { prefix: "x".into(), ..one.clone() };
        let names: HashSet<_> = [&one, &elsewhere, &other].map(fingerprint).into();
        assert_eq!(names.len(), 3);
        assert_eq!(fingerprint(&one), fingerprint(&one.clone()));
    }
}
