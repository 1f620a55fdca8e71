//! The keys of packs, bucket, key store and policies, and their checks.

use super::options::{named, refuse};
use super::{Config, ConfigError, Size, Span};
use archive::tier::policy::{Policies, Policy, Recall};
use archive::tier::{CloudOptions, EpochOptions, KeyOptions};
use model::FacilityCode;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use store::cold::LockMode;

/// Most packs that go up at once: each holds its parts in memory.
const UPLOADS_MAX: usize = 64;
/// Smallest part of an upload that S3 takes.
const PART_MIN: Size = Size(5 << 20);
/// Smallest pack: below it every series would fall apart.
const PACK_MIN: Size = Size(16 << 20);

/// `[packs]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Packs {
    pub(crate) enabled: bool,
    pub(crate) after: Span,
    pub(crate) part_max: Size,
    pub(crate) volumes: Vec<PathBuf>,
    pub(crate) reserve: Size,
    pub(crate) compress: Vec<Compress>,
}

/// `[[packs.compress]]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Compress {
    pub(crate) sources: Vec<String>,
    pub(crate) modalities: Vec<String>,
}

/// `[scrub]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Scrub {
    pub(crate) enabled: bool,
    pub(crate) cycle: Span,
    pub(crate) rate: Size,
}

impl Default for Scrub {
    fn default() -> Self {
        let options = archive::ScrubOptions::default();
        Self { enabled: options.enabled, cycle: Span(options.cycle), rate: Size(options.bytes_per_second) }
    }
}

impl Scrub {
    /// Options of the archive.
    pub(super) fn options(&self) -> archive::ScrubOptions {
        archive::ScrubOptions { enabled: self.enabled, cycle: self.cycle.0, bytes_per_second: self.rate.0 }
    }
}

/// `[cold]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cold {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) access_key: String,
    pub(crate) secret_key_file: PathBuf,
    pub(crate) path_style: bool,
    pub(crate) authority: PathBuf,
    pub(crate) worm: bool,
    pub(crate) lock_mode: LockMode,
    pub(crate) lock_for: Span,
    pub(crate) part: Size,
    pub(crate) parallel: usize,
    pub(crate) uploads: usize,
    pub(crate) upload_rate: Size,
    pub(crate) utc_offset: i8,
    pub(crate) cache: Size,
    pub(crate) cache_directory: PathBuf,
    pub(crate) sealed: bool,
    pub(crate) storage_class: String,
    pub(crate) upload_hours: Vec<UploadHours>,
}

/// A row of `cold.upload_hours`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadHours {
    /// First hour.
    pub(crate) from: u8,
    /// The hour it ends with, not included; less than or equal to `from` where it goes over midnight.
    pub(crate) to: u8,
    /// Bytes a second; 0 bytes means nothing goes up.
    pub(crate) rate: Size,
}

/// `[keys]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) file: PathBuf,
    pub(crate) token_module: PathBuf,
    pub(crate) token: String,
    pub(crate) token_pin_file: PathBuf,
}

/// `[tier]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tier {
    pub(crate) close_after: Span,
    pub(crate) policy: Vec<Row>,
}

/// `[[tier.policy]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) facilities: Option<Vec<FacilityCode>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) modalities: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min_size: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_size: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copy_after: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release_after: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release_unread_for: Option<Span>,
    #[serde(default)]
    pub(crate) recall: RecallTo,
}

/// Where a pack goes that is read after it was released.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecallTo {
    #[default]
    Cache,
    Hot,
}

impl Default for Packs {
    fn default() -> Self {
        let options = archive::PackOptions::default();
        Self {
            enabled: options.enabled,
            after: Span(options.after),
            part_max: Size(options.part_max),
            volumes: options.volumes,
            reserve: Size(options.reserve),
            compress: Vec::new(),
        }
    }
}

impl Default for Cold {
    fn default() -> Self {
        let options = CloudOptions::new("");
        Self {
            endpoint: String::new(),
            region: options.region,
            bucket: options.bucket,
            prefix: options.prefix,
            access_key: options.access_key,
            secret_key_file: options.secret_key_file,
            path_style: options.path_style,
            authority: PathBuf::new(),
            worm: options.worm,
            lock_mode: options.lock_mode,
            lock_for: Span(options.lock_for),
            part: Size(options.part_bytes),
            parallel: options.parallel,
            uploads: options.uploads,
            upload_rate: Size(0),
            utc_offset: options.utc_offset,
            cache: Size(options.cache_bytes),
            cache_directory: PathBuf::new(),
            sealed: options.sealed,
            storage_class: String::new(),
            upload_hours: Vec::new(),
        }
    }
}

impl Default for Tier {
    fn default() -> Self {
        Self { close_after: Span(Policies::default().close_after), policy: Vec::new() }
    }
}

impl Packs {
    /// Options of packing, beside the reserve of the journal: packing must still run when the journal takes nothing more.
    pub(super) fn options(&self, journal_reserve: Size) -> archive::PackOptions {
        archive::PackOptions {
            enabled: self.enabled,
            after: self.after.0,
            part_max: self.part_max.0,
            volumes: self.volumes.clone(),
            reserve: self.reserve.0.min(journal_reserve.0),
            compress: self.compress.iter().map(Compress::rule).collect(),
        }
    }
}

impl Compress {
    fn rule(&self) -> archive::Compression {
        archive::Compression { sources: self.sources.clone(), modalities: self.modalities.clone() }
    }
}

impl Cold {
    /// The cold tier; none without a bucket.
    pub(super) fn options(&self) -> Option<CloudOptions> {
        (!self.bucket.is_empty()).then(|| self.reached())
    }

    /// How any bucket of this server is reached; none without credentials.
    pub(super) fn backups(&self) -> Option<CloudOptions> {
        (!self.access_key.is_empty() && named(&self.secret_key_file).is_some()).then(|| self.reached())
    }

    fn reached(&self) -> CloudOptions {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        CloudOptions {
            endpoint: text(&self.endpoint),
            region: self.region.clone(),
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            access_key: self.access_key.clone(),
            secret_key_file: self.secret_key_file.clone(),
            path_style: self.path_style,
            authority: named(&self.authority),
            worm: self.worm,
            lock_mode: self.lock_mode,
            lock_for: self.lock_for.0,
            part_bytes: self.part.0,
            parallel: self.parallel,
            uploads: self.uploads,
            upload_rates: self.rates(),
            utc_offset: self.utc_offset,
            cache_bytes: self.cache.0,
            cache: named(&self.cache_directory),
            sealed: self.sealed,
            storage_class: text(&self.storage_class),
        }
    }

    /// Bytes a second in each hour: none unbounded. The last row that names an hour decides about it.
    fn rates(&self) -> [Option<u64>; 24] {
        let mut rates = [(self.upload_rate.0 > 0).then_some(self.upload_rate.0); 24];
        for (hour, rate) in (0_u8..).zip(rates.iter_mut()) {
            for row in self.upload_hours.iter().filter(|row| row.covers(hour)) {
                *rate = Some(row.rate.0);
            }
        }
        rates
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong_hours = |row: &UploadHours| row.from > 23 || row.to > 24;
        if self.upload_hours.iter().any(wrong_hours) {
            return refuse("cold.upload_hours", "hours are 0 to 23, and `to` at most 24");
        }
        if !(-12..=14).contains(&self.utc_offset) {
            return refuse("cold.utc_offset", "between -12 and 14");
        }
        if self.bucket.is_empty() {
            return match self.worm {
                true => refuse("cold.bucket", "cold.worm is set, so the bucket must be named"),
                false => Ok(()),
            };
        }
        if self.access_key.is_empty() || named(&self.secret_key_file).is_none() {
            return refuse("cold.secret_key_file", "cold.bucket is named, so access_key and secret_key_file must be");
        }
        if !self.endpoint.is_empty() && !self.endpoint.starts_with("http://") && !self.endpoint.starts_with("https://")
        {
            return refuse("cold.endpoint", "begin with http:// or https://");
        }
        if self.part.0 < PART_MIN.0 || self.parallel == 0 {
            return refuse("cold.part", format!("at least {PART_MIN}, and cold.parallel at least 1"));
        }
        if !(1..=UPLOADS_MAX).contains(&self.uploads) {
            return refuse("cold.uploads", format!("between 1 and {UPLOADS_MAX}"));
        }
        if self.worm && self.lock_for.0.is_zero() {
            return refuse(
                "cold.lock_for",
                "cold.worm locks every copy: say for how long at least, for example \"730d\"",
            );
        }
        Ok(())
    }
}

impl UploadHours {
    fn covers(self, hour: u8) -> bool {
        match self.from < self.to {
            true => (self.from..self.to).contains(&hour),
            false => hour >= self.from || hour < self.to,
        }
    }
}

impl Keys {
    pub(super) fn options(&self) -> KeyOptions {
        let epochs = match named(&self.token_module) {
            Some(module) => {
                EpochOptions::Token { module, token: self.token.clone(), pin_file: self.token_pin_file.clone() }
            }
            None => EpochOptions::File(named(&self.file)),
        };
        KeyOptions { directories: self.directories.clone(), epochs }
    }

    fn check(&self) -> Result<(), ConfigError> {
        match self.directories.as_slice() {
            [] => {}
            [one, other] if one != other => {}
            _ => return refuse("keys.directories", "two directories on two disks, or none for the defaults"),
        }
        let token =
            [named(&self.token_module).is_some(), !self.token.is_empty(), named(&self.token_pin_file).is_some()];
        if token.contains(&true) && token.contains(&false) {
            return refuse("keys.token_module", "a token needs keys.token_module, keys.token and keys.token_pin_file");
        }
        if token.contains(&true) && named(&self.file).is_some() {
            return refuse("keys.file", "epoch keys lie in a file or on a token, not in both");
        }
        Ok(())
    }
}

impl Tier {
    pub(super) fn options(&self) -> Policies {
        let rows = self.policy.iter().map(|row| Policy {
            name: row.name.clone(),
            facilities: row.facilities.as_ref().map(|codes| codes.iter().copied().collect()),
            modalities: row.modalities.as_ref().map(|names| names.iter().cloned().collect()),
            min_size: row.min_size.map(|size| size.0),
            max_size: row.max_size.map(|size| size.0),
            copy_after: row.copy_after.map(|span| span.0),
            release_after: row.release_after.map(|span| span.0),
            release_unread_for: row.release_unread_for.map(|span| span.0),
            recall: match row.recall {
                RecallTo::Cache => Recall::Cache,
                RecallTo::Hot => Recall::Hot,
            },
        });
        Policies { rows: rows.collect(), close_after: self.close_after.0 }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut names: Vec<&str> = self.policy.iter().map(|row| row.name.as_str()).collect();
        names.sort_unstable();
        if names.iter().any(|name| name.trim().is_empty()) || names.windows(2).any(|pair| pair.first() == pair.last()) {
            return refuse("tier.policy", "every row has a name of its own");
        }
        let empty = |row: &Row| row.min_size.zip(row.max_size).is_some_and(|(least, most)| least.0 > most.0);
        if let Some(row) = self.policy.iter().find(|row| empty(row)) {
            return refuse("tier.policy", format!("row {:?}: min_size is above max_size, nothing fits", row.name));
        }
        Ok(())
    }
}

impl Config {
    pub(super) fn check_tiers(&self) -> Result<(), ConfigError> {
        if self.packs.part_max.0 < PACK_MIN.0 {
            return refuse("packs.part_max", format!("at least {PACK_MIN}"));
        }
        self.cold.check()?;
        self.keys.check()?;
        self.tier.check()?;
        if !self.tier.policy.is_empty() && self.cold.bucket.is_empty() {
            return refuse("cold.bucket", "tier.policy has rows, so the bucket must be named");
        }
        Ok(())
    }
}
