//! The start-up probe: what a bucket does, found out by trying, because servers accept headers they ignore.
//!
//! It puts, reads and destroys a few small objects under `probe/`. Object Lock is believed only when deleting a
//! locked version was refused. What cannot be cleaned up yet, because the lock holds, goes with the next probe.

use super::{Cold, ColdFault, Lock, LockMode, PutOptions, fault};
use crate::StoreError;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus, LifecycleRule, Tag, Tagging};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// What trying showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// It did what it should.
    Works,
    /// The server does not know it, or the bucket is not set up for it.
    Lacks,
    /// The server said yes and did something else: worse than not knowing it.
    Lies,
    /// It could not be found out; why.
    Unknown(String),
}

/// What the bucket does with objects by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Names of rules that delete current objects under our prefix: such a bucket is no archive.
    pub deletes: Vec<String>,
    /// Names of rules that delete older versions under our prefix.
    pub deletes_old_versions: Vec<String>,
    /// Names of rules that move objects to other classes.
    pub moves: Vec<String>,
    /// Days after which unfinished uploads are aborted, where a rule does.
    pub aborts_uploads_after_days: Option<i32>,
}

/// Everything a probe found; kept as JSON and shown as lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketProbe {
    /// The bucket.
    pub bucket: String,
    /// Seconds since 1970 UTC, by the own clock.
    pub at: u64,
    /// Put, read back, ranged read, and both gone after destroying.
    pub objects: Ability,
    /// A second put under `If-None-Match: *` is refused. Nothing depends on it.
    pub conditional_put: Ability,
    /// Versions are kept.
    pub versioning: Ability,
    /// A locked version was refused to be deleted, and only then.
    pub object_lock: Ability,
    /// The same for a legal hold.
    pub legal_hold: Ability,
    /// Tags are kept.
    pub tagging: Ability,
    /// Archived objects can be asked back.
    pub restore: Ability,
    /// What the bucket does by itself; none where it could not be asked.
    pub lifecycle: Option<Lifecycle>,
}

/// How long a probe's lock holds, in seconds: the next probe cleans up.
const LOCK_SECONDS: u64 = 60;
const PROBE: &[u8] = b"khoanh probe: may be deleted\n";

impl BucketProbe {
    /// Whether this bucket may hold what the law wants kept unchanged.
    ///
    /// # Errors
    /// [`StoreError::Worm`], which names everything that is missing.
    pub fn require_worm(&self) -> Result<(), StoreError> {
        let needed = [
            ("objects", &self.objects),
            ("versioning", &self.versioning),
            ("object lock", &self.object_lock),
            ("legal hold", &self.legal_hold),
        ];
        let missing: Vec<String> = needed
            .iter()
            .filter(|(_, ability)| **ability != Ability::Works)
            .map(|(name, ability)| format!("{name} {ability}"))
            .collect();
        let bucket = self.bucket.clone();
        if missing.is_empty() { Ok(()) } else { Err(StoreError::Worm { bucket, missing: missing.join(", ") }) }
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("works"),
            Self::Lacks => f.write_str("not there"),
            Self::Lies => f.write_str("ACCEPTED BUT NOT DONE"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

impl fmt::Display for BucketProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bucket           {}", self.bucket)?;
        writeln!(f, "objects          {}", self.objects)?;
        writeln!(f, "conditional put  {}", self.conditional_put)?;
        writeln!(f, "versioning       {}", self.versioning)?;
        writeln!(f, "object lock      {}", self.object_lock)?;
        writeln!(f, "legal hold       {}", self.legal_hold)?;
        writeln!(f, "tagging          {}", self.tagging)?;
        writeln!(f, "restore          {}", self.restore)?;
        let Some(lifecycle) = &self.lifecycle else { return writeln!(f, "lifecycle        unknown") };
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        writeln!(f, "deletes itself   {}", list(&lifecycle.deletes))?;
        writeln!(f, "  old versions   {}", list(&lifecycle.deletes_old_versions))?;
        writeln!(f, "moves itself     {}", list(&lifecycle.moves))
    }
}

impl Cold {
    /// Tries everything the archive may want of the bucket, and keeps the answer as `probe.json` in the work
    /// directory.
    ///
    /// # Errors
    /// Only what makes the bucket useless at all: credentials, clock, no connection, no such bucket.
    pub fn probe(&self) -> Result<BucketProbe, StoreError> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let drawn: [u8; 8] = crate::keys::random()?;
        let name = self.key(&format!("probe/{at}-{:016x}", u64::from_be_bytes(drawn)));
        self.clean_probes();
        let objects = self.try_objects(&name)?;
        let (object_lock, legal_hold) = self.try_locks(&name, at);
        let probe = BucketProbe {
            bucket: self.options.bucket.clone(),
            at,
            objects,
            conditional_put: self.try_conditional(&name),
            versioning: self.try_versioning(),
            object_lock,
            legal_hold,
            tagging: self.try_tagging(&name),
            restore: self.try_restore(&name),
            lifecycle: self.lifecycle().ok(),
        };
        self.clean_probes();
        let kept = serde_json::to_vec_pretty(&probe).map_err(std::io::Error::from).and_then(|json| {
            let beside = self.options.work.join("probe.new");
            fs::write(&beside, json)?;
            fs::rename(&beside, self.options.work.join("probe.json"))
        });
        kept.map_err(|e| StoreError::io("keep the probe in", &self.options.work, e))?;
        Ok(probe)
    }

    /// Removes what probes left, where no lock holds it any more.
    fn clean_probes(&self) {
        let mut left = Vec::new();
        let listed = self.list(&self.key("probe"), &mut |object| {
            left.push(object.key);
            Ok(())
        });
        for key in left {
            let _ = self.destroy(&key);
        }
        let _ = listed;
    }

    fn try_objects(&self, name: &str) -> Result<Ability, StoreError> {
        let key = format!("{name}-object");
        let put = self.put(&key, &PROBE.to_vec(), &PutOptions::default())?;
        let part = self.get_range(&key, put.version.as_deref(), 7..12)?;
        if &*part != b"probe" {
            return Ok(Ability::Lies);
        }
        self.destroy(&key)?;
        match self.get(&key, None) {
            Err(error) if error.cold_fault() == Some(ColdFault::Missing) => Ok(Ability::Works),
            Err(error) => Err(error),
            Ok(_) => Ok(Ability::Lies),
        }
    }

    fn try_conditional(&self, name: &str) -> Ability {
        let key = format!("{name}-conditional");
        let put = || {
            let request = self.control.client.put_object().bucket(&self.control.bucket).key(&key);
            let request = request.if_none_match("*").body(ByteStream::from_static(PROBE));
            let name = key.clone();
            self.run("put", &key, async move {
                match request.send().await {
                    Ok(_) => Ok(true),
                    Err(e) if e.as_service_error().and_then(|e| e.code()) == Some("PreconditionFailed") => Ok(false),
                    Err(e) if e.raw_response().is_some_and(|answer| answer.status().as_u16() == 412) => Ok(false),
                    Err(e) => Err(fault::of_sdk("put", &name, &e)),
                }
            })
        };
        match (put(), put()) {
            (Ok(true), Ok(false)) => Ability::Works,
            (Ok(_), Ok(_)) => Ability::Lies,
            (Err(error), _) | (_, Err(error)) => ability(&error),
        }
    }

    fn try_versioning(&self) -> Ability {
        let request = self.control.client.get_bucket_versioning().bucket(&self.control.bucket);
        let bucket = self.control.bucket.clone();
        let asked = self.run("ask for versioning", &self.control.bucket, async move {
            request.send().await.map_err(|e| fault::of_sdk("ask for versioning", &bucket, &e))
        });
        match asked {
            Ok(answer) if answer.status() == Some(&BucketVersioningStatus::Enabled) => Ability::Works,
            Ok(_) => Ability::Lacks,
            Err(error) => ability(&error),
        }
    }

    fn try_locks(&self, name: &str, at: u64) -> (Ability, Ability) {
        let (key, held) = (format!("{name}-locked"), format!("{name}-held"));
        let locked = self.put(&key, &PROBE.to_vec(), &PutOptions::default()).and_then(|put| {
            let lock = Lock { mode: LockMode::Governance, until: at + LOCK_SECONDS };
            self.set_lock(&key, put.version.as_deref(), lock)?;
            Ok(self.refuses(&key, put.version.as_deref()))
        });
        let legal = self.put(&held, &PROBE.to_vec(), &PutOptions::default()).and_then(|put| {
            self.set_hold(&held, put.version.as_deref(), true)?;
            let ability = self.refuses(&held, put.version.as_deref());
            self.set_hold(&held, put.version.as_deref(), false)?;
            Ok(ability)
        });
        (locked.unwrap_or_else(|error| ability(&error)), legal.unwrap_or_else(|error| ability(&error)))
    }

    /// Deleting a version must be refused, and it must still be there afterwards.
    fn refuses(&self, key: &str, version: Option<&str>) -> Ability {
        let refused = match self.delete_version(key, version) {
            Err(error) => match error.cold_fault() {
                Some(ColdFault::Locked | ColdFault::Denied | ColdFault::Refused) => true,
                _ => return ability(&error),
            },
            Ok(()) => false,
        };
        match self.get(key, version) {
            Ok(bytes) if refused && bytes == PROBE => Ability::Works,
            _ => Ability::Lies,
        }
    }

    fn try_tagging(&self, name: &str) -> Ability {
        let key = format!("{name}-tagged");
        if let Err(error) = self.put(&key, &PROBE.to_vec(), &PutOptions::default()) {
            return ability(&error);
        }
        let tag = Tag::builder().key("khoanh").value("probe").build();
        let Ok(tags) = tag.and_then(|tag| Tagging::builder().tag_set(tag).build()) else { return Ability::Lacks };
        let put = self.control.client.put_object_tagging().bucket(&self.control.bucket).key(&key).tagging(tags);
        let get = self.control.client.get_object_tagging().bucket(&self.control.bucket).key(&key);
        let name = key.clone();
        let tagged = self.run("tag", &key, async move {
            put.send().await.map_err(|e| fault::of_sdk("tag", &name, &e))?;
            let tags = get.send().await.map_err(|e| fault::of_sdk("tag", &name, &e))?;
            Ok(tags.tag_set().iter().any(|tag| tag.key() == "khoanh" && tag.value() == "probe"))
        });
        match tagged {
            Ok(true) => Ability::Works,
            Ok(false) => Ability::Lies,
            Err(error) => ability(&error),
        }
    }

    /// A server that restores knows that an object of the standard class needs none.
    fn try_restore(&self, name: &str) -> Ability {
        let key = format!("{name}-restored");
        if let Err(error) = self.put(&key, &PROBE.to_vec(), &PutOptions::default()) {
            return ability(&error);
        }
        match self.restore(&key, None, 1, super::RestoreTier::Standard) {
            Ok(()) => Ability::Works,
            Err(error) if error.cold_fault() == Some(ColdFault::Archived) => Ability::Works,
            Err(error) => ability(&error),
        }
    }

    /// What the bucket does with our objects by itself.
    ///
    /// # Errors
    /// What kept it from being asked.
    pub fn lifecycle(&self) -> Result<Lifecycle, StoreError> {
        let request = self.control.client.get_bucket_lifecycle_configuration().bucket(&self.control.bucket);
        let bucket = self.control.bucket.clone();
        let asked = self.run("ask for the lifecycle of", &self.control.bucket, async move {
            request.send().await.map_err(|e| fault::of_sdk("ask for the lifecycle of", &bucket, &e))
        });
        match asked {
            Ok(answer) => Ok(sorted(answer.rules(), &self.options.prefix)),
            Err(error) if error.cold_fault() == Some(ColdFault::Missing) => Ok(Lifecycle::default()),
            Err(error) => Err(error),
        }
    }
}

/// What an error says of an ability.
fn ability(error: &StoreError) -> Ability {
    match error {
        StoreError::Cold { fault: ColdFault::Unsupported | ColdFault::Refused | ColdFault::Missing, .. } => {
            Ability::Lacks
        }
        // A bucket without Object Lock is told so as an invalid request.
        StoreError::Cold { what, .. } => Ability::Unknown(what.clone()),
        other => Ability::Unknown(other.to_string()),
    }
}

fn sorted(rules: &[LifecycleRule], prefix: &str) -> Lifecycle {
    let mut found = Lifecycle::default();
    for rule in rules.iter().filter(|rule| *rule.status() == ExpirationStatus::Enabled) {
        #[expect(deprecated, reason = "older servers still give the prefix here")]
        let under = rule.filter().and_then(|filter| filter.prefix()).or(rule.prefix()).unwrap_or("");
        if !prefix.starts_with(under) && !under.starts_with(prefix) {
            continue;
        }
        let name = rule.id().unwrap_or("without a name").to_owned();
        if rule.expiration().is_some_and(|e| e.days().is_some() || e.date().is_some()) {
            found.deletes.push(name.clone());
        }
        if rule.noncurrent_version_expiration().is_some() {
            found.deletes_old_versions.push(name.clone());
        }
        if !rule.transitions().is_empty() || !rule.noncurrent_version_transitions().is_empty() {
            found.moves.push(name);
        }
        if let Some(abort) = rule.abort_incomplete_multipart_upload() {
            found.aborts_uploads_after_days = abort.days_after_initiation();
        }
    }
    found
}
