//! Putting an object: in parts that are noted, so that it goes on after any break, and read back before it counts.

use super::parts::{self, Found, Parts, Plan};
use super::{Cold, ColdFault, Lock, NAP, fault, location};
use crate::{ReadAt, StoreError};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use futures_util::StreamExt;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, PutMultipartOptions, PutOptions as WholeOptions, PutPayload,
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;

/// How an object is put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// SHA-256 the source must have, where it is known.
    pub digest: Option<[u8; 32]>,
    /// Storage class, the bucket's own when none. One that cannot be read at once cannot be verified either: let a
    /// lifecycle rule move objects there, or [`Cold::change_class`].
    pub storage_class: Option<String>,
    /// Retention by Object Lock, set on exactly the version that was read back.
    pub lock: Option<Lock>,
    /// Legal hold, set with it.
    pub hold: bool,
}

/// A copy in the bucket that was read back whole, with the digest of what was sent. Only a put makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Key of the object.
    pub key: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
    /// Its entity tag.
    pub tag: Option<String>,
    /// Length in bytes.
    pub len: u64,
    /// SHA-256 of the bytes as they lie in the bucket.
    pub digest: [u8; 32],
    /// Retention that the bucket confirmed.
    pub lock: Option<Lock>,
    /// Whether the bucket confirmed a legal hold.
    pub hold: bool,
}

/// What was sent, before it was read back.
struct Sent {
    version: Option<String>,
    digest: [u8; 32],
}

/// What was read back.
struct Seen {
    version: Option<String>,
    tag: Option<String>,
    digest: [u8; 32],
}

/// Most parts of one upload that S3 takes.
const PARTS_MAX: u64 = 10_000;

impl PutOptions {
    pub(super) fn how(&self) -> (&Option<String>, &Option<Lock>, bool) {
        (&self.storage_class, &self.lock, self.hold)
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        if let Some(class) = &self.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        attributes
    }
}

impl Cold {
    /// Puts an object and reads it back. After any failure ask again: what already arrived is not sent again, also
    /// after a restart of the program, as long as source and options are the same.
    ///
    /// # Errors
    /// [`StoreError::Cold`]; [`ColdFault::passes`] says whether asking again may help by itself. Nothing counts
    /// before `Ok`.
    pub fn put(&self, key: &str, source: &dyn ReadAt, options: &PutOptions) -> Result<Verified, StoreError> {
        let _turn = Turn::take(&self.putting, key)?;
        let sent = if source.len() <= self.options.part_bytes {
            self.put_whole(key, source, options)?
        } else {
            self.put_parts(key, source, options)?
        };
        let seen = self.read_back(key, sent.version.as_deref(), source.len())?;
        if seen.digest != sent.digest {
            // It must not lie there and look like a copy.
            let removed = self.delete_version(key, seen.version.as_deref());
            tracing::error!(key, removed = removed.is_ok(), "an object does not read back as it was put");
            parts::forget(&self.options.work, key)?;
            return Err(self.damaged(key, "it does not read back as it was put"));
        }
        let version = sent.version.or(seen.version);
        let state = self.secure(key, version.as_deref(), options)?;
        parts::forget(&self.options.work, key)?;
        Ok(Verified {
            key: key.to_owned(),
            version,
            tag: seen.tag,
            len: source.len(),
            digest: sent.digest,
            lock: state.lock,
            hold: state.hold,
        })
    }

    /// Compares an object that lies in the bucket with a digest, byte for byte.
    ///
    /// # Errors
    /// [`ColdFault::Damaged`] where it differs; else what kept it from being read.
    pub fn verify(&self, key: &str, version: Option<&str>, len: u64, digest: &[u8; 32]) -> Result<(), StoreError> {
        match self.read_back(key, version, len)?.digest == *digest {
            true => Ok(()),
            false => Err(self.damaged(key, "its bytes are not those that were put")),
        }
    }

    fn put_whole(&self, key: &str, source: &dyn ReadAt, options: &PutOptions) -> Result<Sent, StoreError> {
        let place = location(key)?;
        let bytes = read(source, 0..source.len(), key)?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        self.expect(key, options, &digest)?;
        self.throttle.take(source.len(), &self.stopped, key)?;
        let (s3, name) = (Arc::clone(&self.s3), key.to_owned());
        let whole = WholeOptions { attributes: options.attributes(), ..WholeOptions::default() };
        let put = self.run("put", key, async move {
            let put = s3.put_opts(&place, PutPayload::from(bytes), whole).await;
            put.map_err(|e| fault::of_object_store("put", &name, &e))
        })?;
        Ok(Sent { version: put.version, digest })
    }

    fn put_parts(&self, key: &str, source: &dyn ReadAt, options: &PutOptions) -> Result<Sent, StoreError> {
        let place = location(key)?;
        let part_bytes = self.options.part_bytes.max(source.len().div_ceil(PARTS_MAX));
        let plan = Plan::new(key, source.len(), part_bytes, options);
        let (mut noted, resumed) = match Parts::find(&self.options.work, &plan)? {
            Found::Same(noted) => (noted, true),
            Found::Other { upload } => {
                // What it was to become is not wanted any more; what cannot be aborted now, the sweep finds.
                let _ = self.abort(key, &upload);
                (self.begin(&place, &plan, options)?, false)
            }
            Found::Nothing => (self.begin(&place, &plan, options)?, false),
        };
        match self.send(&place, source, &plan, options, &mut noted) {
            Err(error) if resumed && gone(&error) => {
                // The upload ended behind our back: completed, its answer lost, or aborted by a rule of the bucket.
                if let Some(sent) = self.completed(key, source, options)? {
                    return Ok(sent);
                }
                let mut anew = self.begin(&place, &plan, options)?;
                self.send(&place, source, &plan, options, &mut anew)
            }
            answer => answer,
        }
    }

    /// An object that an earlier try completed without learning of it.
    fn completed(&self, key: &str, source: &dyn ReadAt, options: &PutOptions) -> Result<Option<Sent>, StoreError> {
        let digest = digest(source, self.options.part_bytes, key)?;
        self.expect(key, options, &digest)?;
        match self.read_back(key, None, source.len()) {
            Ok(seen) if seen.digest == digest => Ok(Some(Sent { version: seen.version, digest })),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.cold_fault(), Some(ColdFault::Missing | ColdFault::Damaged)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn begin(&self, place: &Key, plan: &Plan, options: &PutOptions) -> Result<Parts, StoreError> {
        let (s3, at, key) = (Arc::clone(&self.s3), place.clone(), plan.key.clone());
        let multipart = PutMultipartOptions { attributes: options.attributes(), ..PutMultipartOptions::default() };
        let upload = self.run("begin to put", &plan.key, async move {
            let begun = s3.create_multipart_opts(&at, multipart).await;
            begun.map_err(|e| fault::of_object_store("begin to put", &key, &e))
        })?;
        Parts::begin(&self.options.work, plan, &upload)
    }

    /// Sends what is not noted, several parts at once, and completes the upload.
    fn send(
        &self,
        place: &Key,
        source: &dyn ReadAt,
        plan: &Plan,
        options: &PutOptions,
        noted: &mut Parts,
    ) -> Result<Sent, StoreError> {
        let (tell, told) = crossbeam_channel::unbounded();
        let mut sending = Sending { tell, told, under_way: 0, failed: None };
        let mut sum = Sha256::new();
        for number in 0..plan.len.div_ceil(plan.part_bytes) {
            let start = number * plan.part_bytes;
            let read = read(source, start..plan.len.min(start + plan.part_bytes), &plan.key);
            let Some(bytes) = sending.keep(read) else { break };
            sum.update(&bytes);
            if noted.done.contains_key(&number) {
                continue;
            }
            while sending.under_way >= self.options.parallel {
                sending.settle(noted, &plan.key, || self.is_stopped());
            }
            if sending.failed.is_some() {
                break;
            }
            let granted = self.throttle.take(bytes.len() as u64, &self.stopped, &plan.key);
            if sending.keep(granted).is_none() {
                break;
            }
            self.send_part(place, &noted.upload, number, bytes, sending.tell.clone());
            sending.under_way += 1;
        }
        // What arrived is noted also when something else did not.
        while sending.under_way > 0 {
            sending.settle(noted, &plan.key, || self.is_stopped());
        }
        if let Some(error) = sending.failed {
            return Err(error);
        }
        let digest = sum.finalize().into();
        if let Err(error) = self.expect(&plan.key, options, &digest) {
            let _ = self.abort(&plan.key, &noted.upload);
            parts::forget(&self.options.work, &plan.key)?;
            return Err(error);
        }
        let version = self.complete(place, &plan.key, noted)?;
        Ok(Sent { version, digest })
    }

    fn send_part(&self, place: &Key, upload: &str, number: u64, bytes: Vec<u8>, tell: Sender<Arrived>) {
        let (s3, at, upload) = (Arc::clone(&self.s3), place.clone(), upload.to_owned());
        let Some(runtime) = &self.runtime else { return };
        let part = runtime.spawn(async move {
            let index = usize::try_from(number).unwrap_or(usize::MAX);
            let part = s3.put_part(&at, &upload, index, PutPayload::from(bytes)).await;
            part.map_err(|e| fault::of_object_store("put a part of", at.as_ref(), &e))
        });
        let key = place.to_string();
        // In a task of its own: whatever becomes of the part, someone is told.
        runtime.spawn(async move {
            let lost = |_| Err(StoreError::cold(ColdFault::Unreachable, "put a part of", &key, "its task ended"));
            let _ = tell.send((number, part.await.unwrap_or_else(lost)));
        });
    }

    fn complete(&self, place: &Key, key: &str, noted: &Parts) -> Result<Option<String>, StoreError> {
        let (s3, at, name, upload) = (Arc::clone(&self.s3), place.clone(), key.to_owned(), noted.upload.clone());
        let tags = noted.done.values().map(|tag| PartId { content_id: tag.clone() }).collect();
        let put = self.run("complete", key, async move {
            let put = s3.complete_multipart(&at, &upload, tags).await;
            put.map_err(|e| fault::of_object_store("complete", &name, &e))
        })?;
        Ok(put.version)
    }

    /// Reads an object whole and sums it up.
    fn read_back(&self, key: &str, version: Option<&str>, len: u64) -> Result<Seen, StoreError> {
        let (s3, place, name) = (Arc::clone(&self.s3), location(key)?, key.to_owned());
        let options = GetOptions { version: version.map(str::to_owned), ..GetOptions::default() };
        self.run("read back", key, async move {
            let failed = |e| fault::of_object_store("read back", &name, &e);
            let got = s3.get_opts(&place, options).await.map_err(failed)?;
            let (version, tag) = (got.meta.version.clone(), got.meta.e_tag.clone());
            let mut stream = got.into_stream();
            let (mut sum, mut read) = (Sha256::new(), 0_u64);
            while let Some(bytes) = stream.next().await {
                let bytes = bytes.map_err(failed)?;
                read += bytes.len() as u64;
                sum.update(&bytes);
            }
            if read != len {
                let what = format!("it has {read} bytes instead of {len}");
                return Err(StoreError::cold(ColdFault::Damaged, "read back", &name, &what));
            }
            Ok(Seen { version, tag, digest: sum.finalize().into() })
        })
    }

    fn expect(&self, key: &str, options: &PutOptions, digest: &[u8; 32]) -> Result<(), StoreError> {
        match options.digest {
            Some(expected) if expected != *digest => Err(self.damaged(key, "the source is not what was to be put")),
            _ => Ok(()),
        }
    }

    fn damaged(&self, key: &str, what: &str) -> StoreError {
        StoreError::cold(ColdFault::Damaged, "put", key, what)
    }
}

/// The server knows the upload no more, or not with these parts.
fn gone(error: &StoreError) -> bool {
    let unknown = |what: &str| what.contains("InvalidPart") || what.contains("NoSuchUpload");
    matches!(error, StoreError::Cold { fault, what, .. } if *fault == ColdFault::Missing || unknown(what))
}

fn read(source: &dyn ReadAt, range: std::ops::Range<u64>, key: &str) -> Result<Vec<u8>, StoreError> {
    let failed = |e| StoreError::io("read the source of", key.as_ref(), e);
    let len = range.end - range.start;
    let bytes = source.read_at(range).map_err(failed)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(failed(std::io::ErrorKind::UnexpectedEof.into())) }
}

fn digest(source: &dyn ReadAt, step: u64, key: &str) -> Result<[u8; 32], StoreError> {
    let (mut sum, mut at) = (Sha256::new(), 0);
    while at < source.len() {
        let bytes = read(source, at..source.len().min(at + step), key)?;
        at += bytes.len() as u64;
        sum.update(&bytes);
    }
    Ok(sum.finalize().into())
}

/// A part and what became of it.
type Arrived = (u64, Result<PartId, StoreError>);

/// Parts under way, and the first thing that went wrong.
struct Sending {
    tell: Sender<Arrived>,
    told: Receiver<Arrived>,
    under_way: usize,
    failed: Option<StoreError>,
}

impl Sending {
    fn keep<T>(&mut self, answer: Result<T, StoreError>) -> Option<T> {
        match answer {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
    }

    /// Waits for one part and notes it; after a stop it waits for none.
    fn settle(&mut self, noted: &mut Parts, key: &str, is_stopped: impl Fn() -> bool) {
        let stopping = |fault| StoreError::cold(fault, "put", key, "the archive is stopping");
        let settled = loop {
            match self.told.recv_timeout(NAP) {
                Ok(settled) => break Ok(settled),
                Err(RecvTimeoutError::Disconnected) => break Err(stopping(ColdFault::Unreachable)),
                Err(RecvTimeoutError::Timeout) if is_stopped() => {
                    self.under_way = 0;
                    self.keep::<()>(Err(stopping(ColdFault::Paused)));
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        self.under_way = self.under_way.saturating_sub(1);
        let settled = settled.and_then(|(number, part)| noted.note(number, &part?.content_id));
        self.keep(settled);
    }
}

/// One put of a key at a time.
struct Turn<'a> {
    putting: &'a Mutex<HashSet<String>>,
    key: &'a str,
}

impl<'a> Turn<'a> {
    fn take(putting: &'a Mutex<HashSet<String>>, key: &'a str) -> Result<Self, StoreError> {
        if putting.lock().insert(key.to_owned()) {
            return Ok(Self { putting, key });
        }
        Err(StoreError::cold(ColdFault::Busy, "put", key, "it is being put already"))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.putting.lock().remove(self.key);
    }
}
