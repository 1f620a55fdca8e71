//! Archive classes: where an object is, asking for it back, moving it to another class.

use super::{Cold, ColdFault, fault};
use crate::StoreError;
use aws_sdk_s3::types::{
    GlacierJobParameters, MetadataDirective, RestoreRequest, StorageClass, TaggingDirective, Tier,
};

/// How soon an object can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// At once (DICOM: ONLINE).
    Online,
    /// In an archive class, not asked for (NEARLINE).
    Archived,
    /// Asked for, on its way (NEARLINE).
    Restoring,
    /// Restored: readable until the server's date, in its own words (ONLINE).
    Restored {
        /// The date, where the server tells it.
        until: Option<String>,
    },
}

/// How fast a restore is wanted, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreTier {
    /// Hours, cheapest.
    Bulk,
    /// Some hours.
    Standard,
    /// Minutes, dearest; not from the deepest class.
    Expedited,
}

impl Availability {
    /// Instance Availability (0008,0056), PS3.3 C.4.23.1.1. A bucket that cannot be reached has none: the caller
    /// says OFFLINE for an object that lies nowhere else.
    pub fn term(&self) -> &'static str {
        match self {
            Self::Online | Self::Restored { .. } => "ONLINE",
            Self::Archived | Self::Restoring => "NEARLINE",
        }
    }
}

impl Cold {
    /// Asks the bucket how soon an object can be read.
    ///
    /// # Errors
    /// [`ColdFault::Missing`] where it is not there; whatever kept the bucket from being asked.
    pub fn availability(&self, key: &str, version: Option<&str>) -> Result<Availability, StoreError> {
        let request = self.control.client.head_object().bucket(&self.control.bucket).key(key);
        let request = request.set_version_id(version.map(str::to_owned));
        let name = key.to_owned();
        self.run("look at", key, async move {
            let head = request.send().await.map_err(|e| fault::of_sdk("look at", &name, &e))?;
            let archived = matches!(head.storage_class(), Some(StorageClass::Glacier | StorageClass::DeepArchive));
            // `ongoing-request="true"`, or `"false"` with an expiry date: RestoreObject, HeadObject of the S3 API.
            Ok(match head.restore() {
                Some(text) if text.contains("ongoing-request=\"true\"") => Availability::Restoring,
                Some(text) => {
                    let until = text.split_once("expiry-date=\"").and_then(|(_, rest)| rest.split_once('"'));
                    Availability::Restored { until: until.map(|(date, _)| date.to_owned()) }
                }
                None if archived => Availability::Archived,
                None => Availability::Online,
            })
        })
    }

    /// Asks for an archived object to be readable for so many days. Asking again while it comes is harmless.
    ///
    /// # Errors
    /// [`ColdFault::Unsupported`] from a server that restores nothing; what the bucket says.
    pub fn restore(&self, key: &str, version: Option<&str>, days: u16, tier: RestoreTier) -> Result<(), StoreError> {
        let tier = match tier {
            RestoreTier::Bulk => Tier::Bulk,
            RestoreTier::Standard => Tier::Standard,
            RestoreTier::Expedited => Tier::Expedited,
        };
        let wrong =
            |e: aws_sdk_s3::error::BuildError| StoreError::cold(ColdFault::Options, "restore", key, &e.to_string());
        let job = GlacierJobParameters::builder().tier(tier).build().map_err(wrong)?;
        let wish = RestoreRequest::builder().days(i32::from(days)).glacier_job_parameters(job).build();
        let request = self.control.client.restore_object().bucket(&self.control.bucket).key(key);
        let request = request.set_version_id(version.map(str::to_owned)).restore_request(wish);
        let name = key.to_owned();
        let asked = self.run("restore", key, async move {
            request.send().await.map(|_| ()).map_err(|e| fault::of_sdk("restore", &name, &e))
        });
        match asked {
            Err(StoreError::Cold { what, .. }) if what.starts_with("RestoreAlreadyInProgress") => Ok(()),
            answer => answer,
        }
    }

    /// Lets the server copy an object of at most 5 GiB onto itself in another storage class. In a bucket with
    /// versions the old version stays and has to be destroyed by whoever asked. Answers the new version.
    ///
    /// # Errors
    /// What the bucket says; [`ColdFault::Damaged`] where length or digest-like tag differ afterwards.
    pub fn change_class(&self, key: &str, version: Option<&str>, class: &str) -> Result<Option<String>, StoreError> {
        let source = match version {
            Some(version) => format!("{}/{key}?versionId={version}", self.control.bucket),
            None => format!("{}/{key}", self.control.bucket),
        };
        let (control, name, class) = (self.control.clone(), key.to_owned(), StorageClass::from(class));
        let before = version.map(str::to_owned);
        self.run("change the class of", key, async move {
            let looked = |e| fault::of_sdk("look at", &name, &e);
            let head = control.client.head_object().bucket(&control.bucket).key(&name);
            let old = head.set_version_id(before).send().await.map_err(looked)?;
            let copy = control.client.copy_object().bucket(&control.bucket).key(&name).copy_source(source);
            let copy = copy.storage_class(class).metadata_directive(MetadataDirective::Copy);
            let copied = copy.tagging_directive(TaggingDirective::Copy).send().await;
            let copied = copied.map_err(|e| fault::of_sdk("change the class of", &name, &e))?;
            let head = control.client.head_object().bucket(&control.bucket).key(&name);
            let new = head.set_version_id(copied.version_id().map(str::to_owned)).send().await.map_err(looked)?;
            if new.content_length() != old.content_length() {
                let what = "the copy in the other class has another length";
                return Err(StoreError::cold(ColdFault::Damaged, "change the class of", &name, what));
            }
            Ok(copied.version_id().map(str::to_owned))
        })
    }
}
