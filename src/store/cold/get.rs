//! Reading objects: a range is one GET, and everyone who asks for it at the same time shares that one.

use super::flight::Ask;
use super::{Cold, ColdFault, fault, location};
use crate::read_at::within;
use crate::{ReadAt, StoreError};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectStore};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// An object found in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Length in bytes.
    pub len: u64,
    /// When it was put, in milliseconds since 1970 UTC, by the server's clock.
    pub put_at: u64,
}

/// Objects fetched with one listing.
const PAGE: usize = 5_000;

impl Cold {
    /// Reads a range of an object: exactly one ranged GET, shared with whoever asks for the same at the same time.
    ///
    /// # Errors
    /// [`ColdFault::Archived`] where it must be restored first; whatever else the bucket says. Fewer bytes than
    /// asked for are never an answer.
    pub fn get_range(&self, key: &str, version: Option<&str>, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let ask = Ask { key: key.to_owned(), version: version.map(str::to_owned), range };
        self.flights.join(&ask, || {
            let options = GetOptions {
                range: Some(GetRange::Bounded(ask.range.clone())),
                version: ask.version.clone(),
                ..GetOptions::default()
            };
            let bytes = self.fetch(key, options)?;
            if bytes.len() as u64 != ask.range.end - ask.range.start {
                let what = format!("{} bytes came for {} to {}", bytes.len(), ask.range.start, ask.range.end);
                return Err(StoreError::cold(ColdFault::Damaged, "get", key, &what));
            }
            Ok(bytes)
        })
    }

    /// Reads a small object whole.
    ///
    /// # Errors
    /// What the bucket says.
    pub fn get(&self, key: &str, version: Option<&str>) -> Result<Bytes, StoreError> {
        self.fetch(key, GetOptions { version: version.map(str::to_owned), ..GetOptions::default() })
    }

    fn fetch(&self, key: &str, options: GetOptions) -> Result<Bytes, StoreError> {
        let (s3, place, name) = (Arc::clone(&self.s3), location(key)?, key.to_owned());
        self.run("get", key, async move {
            let failed = |e| fault::of_object_store("get", &name, &e);
            let got = s3.get_opts(&place, options).await.map_err(failed)?;
            got.bytes().await.map_err(failed)
        })
    }

    /// Tells every object under a prefix (of whole path segments), in the order of keys, without holding them all.
    ///
    /// # Errors
    /// What the bucket says, or `visit`.
    pub fn list(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(Listed) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let under = location(prefix)?;
        let mut after: Option<object_store::path::Path> = None;
        loop {
            let (s3, under, name, from) = (Arc::clone(&self.s3), under.clone(), prefix.to_owned(), after.clone());
            let page: Vec<_> = self.run("list", prefix, async move {
                let listing = match &from {
                    Some(from) => s3.list_with_offset(Some(&under), from),
                    None => s3.list(Some(&under)),
                };
                let page = listing.take(PAGE).try_collect().await;
                page.map_err(|e| fault::of_object_store("list", &name, &e))
            })?;
            let full = page.len() == PAGE;
            for object in page {
                after = Some(object.location.clone());
                let put_at = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0);
                visit(Listed { key: object.location.to_string(), len: object.size, put_at })?;
            }
            if !full {
                return Ok(());
            }
        }
    }
}

/// One object of known length, read by range.
pub struct ColdObject {
    cold: Arc<Cold>,
    key: String,
    version: Option<String>,
    len: u64,
}

impl ColdObject {
    /// The object as the index knows it: nothing is asked before the first read.
    pub fn new(cold: Arc<Cold>, key: &str, version: Option<&str>, len: u64) -> Self {
        Self { cold, key: key.to_owned(), version: version.map(str::to_owned), len }
    }
}

impl ReadAt for ColdObject {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        within(&range, self.len)?;
        let bytes = self.cold.get_range(&self.key, self.version.as_deref(), range);
        bytes.map(Vec::from).map_err(StoreError::into_io)
    }

    fn len(&self) -> u64 {
        self.len
    }
}
