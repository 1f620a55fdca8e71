//! Emptying a volume: every pack is copied to another one, read back there, and only then removed here.

use super::{HotPacks, VolumeState};
use crate::{Open, PackFile, StoreError};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// How far draining got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Packs moved.
    pub packs: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Whether the volume is empty now.
    pub empty: bool,
}

/// Bytes copied at a time.
const STEP: usize = 1 << 20;

impl HotPacks {
    /// Marks a volume as draining, for good: it takes no packs any more, also after a restart.
    ///
    /// # Errors
    /// [`StoreError::Volume`] where it is none, or gone.
    pub fn begin_drain(&self, dir: &Path) -> Result<(), StoreError> {
        self.volume(dir)?.drain(&*self.disk)
    }

    /// Moves packs off a draining volume until some `bytes` were moved. Broken off anywhere it loses nothing; call
    /// it until the volume is empty.
    ///
    /// # Errors
    /// [`StoreError::NoVolume`] where the others have no room; those of the disks; [`StoreError::ReadBack`].
    pub fn drain_some(&self, dir: &Path, bytes: u64) -> Result<Drained, StoreError> {
        let volume = self.volume(dir)?;
        if volume.state() != VolumeState::Draining {
            return Err(StoreError::Volume { dir: dir.to_owned(), what: "it is not draining" });
        }
        let mut files = Vec::new();
        volume.list(&*self.disk, &mut |file| {
            files.push(file);
            Ok(())
        })?;
        let mut drained = Drained::default();
        for file in &files {
            if drained.bytes >= bytes {
                return Ok(drained);
            }
            drained.bytes += self.copy_off(&volume, *file)?;
            volume.remove(&*self.disk, *file)?;
            drained.packs += 1;
        }
        drained.empty = true;
        Ok(drained)
    }

    /// Forgets a volume that is empty: its directory can go.
    ///
    /// # Errors
    /// [`StoreError::Volume`] where packs lie in it, or it cannot be looked at.
    pub fn forget(&self, dir: &Path) -> Result<(), StoreError> {
        let volume = self.volume(dir)?;
        let mut count = 0;
        volume.list(&*self.disk, &mut |_| {
            count += 1;
            Ok(())
        })?;
        let refused = |what| Err(StoreError::Volume { dir: dir.to_owned(), what });
        match volume.state() {
            VolumeState::Gone => return refused("it is gone: what lies in it is not known"),
            VolumeState::Draining if count == 0 => {}
            VolumeState::Draining => return refused("packs still lie in it"),
            _ => return refused("it is not draining"),
        }
        let mut volumes = self.volumes.write();
        let mut known = super::volume::read_list(&*self.disk, &self.list)?;
        known.retain(|(name, _)| Some(name.as_str()) != volume.name());
        super::volume::write_list(&*self.disk, &self.list, &known)?;
        volumes.retain(|other| !Arc::ptr_eq(other, &volume));
        Ok(())
    }

    fn volume(&self, dir: &Path) -> Result<Arc<super::Volume>, StoreError> {
        let volumes = self.volumes.read();
        let found = volumes.iter().find(|volume| volume.dir() == dir).cloned();
        found.ok_or(StoreError::Volume { dir: dir.to_owned(), what: "it is no volume of this archive" })
    }

    /// Copies one pack to another volume; answers its length.
    fn copy_off(&self, volume: &super::Volume, file: PackFile) -> Result<u64, StoreError> {
        let path = volume.path(file);
        let failed = |e| StoreError::io("move", &path, e);
        let from = self.disk.open(&path, Open::Read).map_err(failed)?;
        let len = from.len().map_err(failed)?;
        let mut writer = self.create_beside(file, len, Some(volume.dir()))?;
        let mut step = vec![0; STEP];
        while writer.len() < len {
            let read = from.read_at(&mut step, writer.len()).map_err(failed)?;
            let bytes = step.get(..read).filter(|bytes| !bytes.is_empty());
            let bytes = bytes.ok_or_else(|| failed(std::io::ErrorKind::UnexpectedEof.into()))?;
            writer.write_all(bytes).map_err(failed)?;
        }
        Ok(writer.finish()?.len)
    }
}
