//! Bringing a journal directory that fell behind up to date from the other one, at start-up.
//!
//! Whole files are copied, written beside and renamed, so a crash leaves either the old or the new one.
//! Unproven records are not copied here: start-up moves them, and writes the copy to both directories.

use super::Shared;
use super::layout::SegmentHeader;
use super::mirror::{BLOB_DIR, segment_name};
use super::survey::Survey;
use crate::{Disk, Open, StoreError};
use std::collections::HashSet;
use std::io::IoSlice;
use std::path::Path;

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Makes `other` hold what `best` holds and proves.
pub(crate) fn bring_up(shared: &Shared, best: &Survey, other: &Survey) -> Result<(), StoreError> {
    let disk = shared.mirror.disk.as_ref();
    // Large bodies first: they come before the records that name them.
    copy_blobs(disk, &best.dir, &other.dir)?;
    let mut copied = 0;
    for (index, segment) in best.used.iter().enumerate().filter(|(_, segment)| segment.first_lsn <= best.proven) {
        let next = best.used.get(index + 1).map_or(u64::MAX, |next| next.first_lsn);
        let end = best.proven.min(next.saturating_sub(1));
        let sealed = |survey: &Survey| survey.ends.get(&segment.number).is_none_or(|end| end.sealed);
        let same = other.used.contains(segment) && (sealed(other) || !sealed(best));
        if !same || other.proven < end {
            let name = segment_name(segment.number);
            copy(disk, &best.dir.join(&name), &other.dir.join(&name), &other.dir)?;
            copied += 1;
        }
    }
    let used: HashSet<u32> = best.used.iter().map(|segment| segment.number).collect();
    for segment in other.used.iter().chain(&other.superseded).filter(|segment| !used.contains(&segment.number)) {
        free(disk, &other.dir, segment)?;
    }
    if copied > 0 {
        tracing::warn!(dir = %other.dir.display(), copied, "segments were copied to a journal directory that fell behind");
    }
    Ok(())
}

fn copy_blobs(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    let (from, to) = (from.join(BLOB_DIR), to.join(BLOB_DIR));
    let list = |dir: &Path| disk.list(dir).map_err(|e| StoreError::io("list", dir, e));
    // A name seen there was given after the file's own sync, but perhaps just before the directory failed.
    disk.sync_dir(&to).map_err(|e| StoreError::io("sync", &to, e))?;
    let have: HashSet<String> = list(&to)?.into_iter().collect();
    for name in list(&from)?.into_iter().filter(|name| name.ends_with(".blob") && !have.contains(name)) {
        copy(disk, &from.join(&name), &to.join(&name), &to)?;
    }
    Ok(())
}

fn copy(disk: &dyn Disk, from: &Path, to: &Path, dir: &Path) -> Result<(), StoreError> {
    let beside = to.with_extension("new");
    let source = disk.open(from, Open::Read).map_err(|e| StoreError::io("open", from, e))?;
    let written = || {
        let target = disk.open(&beside, Open::Create)?;
        target.set_len(0)?;
        target.preallocate(source.len()?)?;
        let mut bytes = vec![0; COPY_BYTES];
        let mut at = 0;
        loop {
            let n = source.read_at(&mut bytes, at)?;
            let Some(read) = bytes.get(..n).filter(|read| !read.is_empty()) else { break };
            target.write_at(&mut [IoSlice::new(read)], at)?;
            at += n as u64;
        }
        target.sync_data()?;
        disk.rename(&beside, to)?;
        disk.sync_dir(dir)
    };
    written().map_err(|e| StoreError::io("copy", from, e))
}

fn free(disk: &dyn Disk, dir: &Path, segment: &SegmentHeader) -> Result<(), StoreError> {
    let path = dir.join(segment_name(segment.number));
    let header = SegmentHeader { in_use: false, ..*segment }.encode();
    let written = || {
        let file = disk.open(&path, Open::Write)?;
        file.write_at(&mut [IoSlice::new(&header)], 0)?;
        file.sync_data()
    };
    written().map_err(|e| StoreError::io("free", &path, e))
}
