//! Destroying: every version, every marker, every upload that was begun.
//!
//! It deliberately never bypasses a retention: what is locked stays, and that is said.

use super::{Cold, ColdFault, fault, parts};
use crate::StoreError;
use std::collections::HashSet;
use std::fs;

/// What was destroyed of one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// Versions deleted.
    pub versions: u64,
    /// Delete markers removed.
    pub markers: u64,
    /// Unfinished uploads aborted.
    pub uploads: u64,
}

/// One version or marker of a key.
struct Version {
    id: Option<String>,
    marker: bool,
}

/// Rounds of deleting and listing again before giving up.
const ROUNDS: usize = 3;

impl Cold {
    /// Deletes every version and marker of a key and aborts its uploads; `Ok` means that the bucket was asked again
    /// and shows nothing of it. A key that does not exist is destroyed already.
    ///
    /// # Errors
    /// [`ColdFault::Locked`] or [`ColdFault::Denied`] where a version cannot go (others may have gone); ask again
    /// after anything else.
    pub fn destroy(&self, key: &str) -> Result<Destroyed, StoreError> {
        let mut destroyed = Destroyed::default();
        for _ in 0..ROUNDS {
            let uploads = self.uploads(key)?;
            let versions = self.versions(key)?;
            if uploads.is_empty() && versions.is_empty() {
                parts::forget(&self.options.work, key)?;
                return Ok(destroyed);
            }
            for (_, upload) in uploads {
                self.abort(key, &upload)?;
                destroyed.uploads += 1;
            }
            for version in versions {
                self.delete_version(key, version.id.as_deref())?;
                match version.marker {
                    true => destroyed.markers += 1,
                    false => destroyed.versions += 1,
                }
            }
        }
        Err(StoreError::cold(ColdFault::Busy, "destroy", key, "the bucket still shows it after deleting"))
    }

    /// Aborts uploads under the prefix that no note of this archive knows and that began before `before`
    /// (milliseconds since 1970 UTC, by the server's clock): left by notes that were lost.
    ///
    /// # Errors
    /// What the bucket says.
    pub fn sweep_uploads(&self, before: u64) -> Result<u64, StoreError> {
        let work = &self.options.work;
        let entries = fs::read_dir(work).map_err(|e| StoreError::io("list", work, e))?;
        let noted: HashSet<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        let mut aborted = 0;
        for upload in self.all_uploads(&self.options.prefix, before)? {
            let known = parts::path(work, &upload.0).file_name().is_some_and(|name| noted.contains(name));
            if !known && !self.putting.lock().contains(&upload.0) {
                self.abort(&upload.0, &upload.1)?;
                aborted += 1;
            }
        }
        Ok(aborted)
    }

    /// Deletes one version for good; without a version, of a bucket that keeps none.
    pub(super) fn delete_version(&self, key: &str, version: Option<&str>) -> Result<(), StoreError> {
        let request = self.control.client.delete_object().bucket(&self.control.bucket).key(key);
        let request = request.set_version_id(version.map(str::to_owned));
        let name = key.to_owned();
        let deleted = self.run("delete", key, async move {
            request.send().await.map(|_| ()).map_err(|e| fault::of_sdk("delete", &name, &e))
        });
        match deleted {
            Err(error) if error.cold_fault() == Some(ColdFault::Missing) => Ok(()),
            // Servers say only that access is denied; whether it is a lock, the version itself tells.
            Err(StoreError::Cold { fault: ColdFault::Denied, what, .. }) => {
                let state = self.lock_state(key, version).unwrap_or_default();
                let locked = state.hold || state.lock.is_some();
                let fault = if locked { ColdFault::Locked } else { ColdFault::Denied };
                Err(StoreError::cold(fault, "delete", key, &what))
            }
            answer => answer,
        }
    }

    pub(super) fn abort(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let request = self.control.client.abort_multipart_upload().bucket(&self.control.bucket);
        let request = request.key(key).upload_id(upload);
        let name = key.to_owned();
        let aborted = self.run("abort", key, async move {
            request.send().await.map(|_| ()).map_err(|e| fault::of_sdk("abort", &name, &e))
        });
        match aborted {
            Err(error) if error.cold_fault() == Some(ColdFault::Missing) => Ok(()),
            answer => answer,
        }
    }

    fn versions(&self, key: &str) -> Result<Vec<Version>, StoreError> {
        let (control, name) = (self.control.clone(), key.to_owned());
        self.run("list versions of", key, async move {
            let mut found = Vec::new();
            let (mut from_key, mut from_version) = (None, None);
            loop {
                let page = control.client.list_object_versions().bucket(&control.bucket).prefix(&name);
                let page = page.set_key_marker(from_key).set_version_id_marker(from_version).send().await;
                let page = page.map_err(|e| fault::of_sdk("list versions of", &name, &e))?;
                let versions = page.versions().iter().map(|v| (v.key(), v.version_id(), false));
                let markers = page.delete_markers().iter().map(|m| (m.key(), m.version_id(), true));
                let same = versions.chain(markers).filter(|(key, _, _)| *key == Some(name.as_str()));
                found.extend(same.map(|(_, id, marker)| Version { id: id.map(str::to_owned), marker }));
                if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                    return Ok(found);
                }
                from_key = page.next_key_marker().map(str::to_owned);
                from_version = page.next_version_id_marker().map(str::to_owned);
            }
        })
    }

    /// Key and number of the uploads of exactly this key.
    fn uploads(&self, key: &str) -> Result<Vec<(String, String)>, StoreError> {
        let all = self.all_uploads(key, u64::MAX)?;
        Ok(all.into_iter().filter(|(name, _)| name == key).collect())
    }

    fn all_uploads(&self, prefix: &str, before: u64) -> Result<Vec<(String, String)>, StoreError> {
        let (control, name) = (self.control.clone(), prefix.to_owned());
        self.run("list uploads of", prefix, async move {
            let mut found = Vec::new();
            let (mut from_key, mut from_upload) = (None, None);
            loop {
                let page = control.client.list_multipart_uploads().bucket(&control.bucket).prefix(&name);
                let page = page.set_key_marker(from_key).set_upload_id_marker(from_upload).send().await;
                let page = page.map_err(|e| fault::of_sdk("list uploads of", &name, &e))?;
                for upload in page.uploads() {
                    let began = upload.initiated().and_then(|at| u64::try_from(at.to_millis().unwrap_or(0)).ok());
                    if let (Some(key), Some(id), true) = (upload.key(), upload.upload_id(), began.unwrap_or(0) < before)
                    {
                        found.push((key.to_owned(), id.to_owned()));
                    }
                }
                if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                    return Ok(found);
                }
                from_key = page.next_key_marker().map(str::to_owned);
                from_upload = page.next_upload_id_marker().map(str::to_owned);
            }
        })
    }
}
