//! A stored object as a readable, seekable file: bounded memory, every byte checked on its way out.

use crate::error::RetrieveError;
use crate::open::Archive;
use crate::packs;
use crate::room::Claim;
use index::InstanceRow;
use model::{Home, Layout, PackId};
use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

/// Bytes read from the journal at once.
const WINDOW: u64 = 512 * 1024;
/// Pieces of the journal are checked whole: reading begins and ends with one where that costs nothing.
const CHUNK: u64 = 64 * 1024;
/// Bytes that anybody may read at once: more than that needs a claim.
const SMALL: u64 = CHUNK;
/// Where there is no memory for a reading it becomes so many, lest a piece of a pack is decoded too often ...
const STEPS: u64 = 16;
/// ... of at most so many bytes.
const STEP_MAX: u64 = 1 << 20;
/// Bytes read at once from a pack at hand.
const PACK_WINDOW: u64 = 1 << 20;
/// The same where they come from the cloud: each read is a request there.
const FAR_WINDOW: u64 = 8 << 20;
/// Longest part of a data set that is read at once: every usual frame is one read, wherever it lies.
const PART: u64 = 16 << 20;

/// Reads a stored object, or its data set, piece by piece.
pub struct StoredFile {
    archive: Arc<Archive>,
    instance: InstanceRow,
    base: u64,
    len: u64,
    position: u64,
    /// Bytes read at once; 0 until the first reading.
    step: u64,
    window: Vec<u8>,
    /// Where the window begins in the file.
    window_at: u64,
    /// The memory of the window, unless it is a small one.
    claim: Option<Claim>,
}

impl Archive {
    /// Bytes of the stored file, verified against their checksums.
    ///
    /// # Errors
    /// [`RetrieveError::Damaged`] when a checksum fails: nothing unverified is ever returned.
    pub fn read(&self, instance: &InstanceRow, range: Range<u64>) -> Result<Vec<u8>, RetrieveError> {
        match self.read_at_home(&instance.home, range.clone()) {
            Ok(bytes) => Ok(bytes),
            // It may have moved since the row was read: into a pack, or into another one.
            Err(error) => match self.home_now(instance)?.filter(|home| *home != instance.home) {
                Some(home) => self.read_at_home(&home, range),
                None => Err(error),
            },
        }
    }

    fn read_at_home(&self, home: &Home, range: Range<u64>) -> Result<Vec<u8>, RetrieveError> {
        match home {
            Home::Journal(place) => Ok(self.journal().read(place, range)?),
            Home::Pack { pack, slot } => {
                let read = || packs::range(&self.open_pack(*pack)?, *slot, range.clone());
                match read() {
                    // A piece may have been damaged on its way into the cache: it is fetched once more.
                    Err(RetrieveError::Damaged { .. }) if self.tiers().doubt(*pack) => read().inspect_err(|_| {
                        self.tiers().doubt(*pack);
                    }),
                    answer => answer,
                }
            }
        }
    }

    /// Gives bytes of the stored file to `each`, in order, until it wants no more: those of a large frame in a pack while
    /// the rest is still decoded. After an error what was given is worth nothing.
    ///
    /// # Errors
    /// As [`Archive::read`].
    pub(crate) fn pour(
        &self,
        instance: &InstanceRow,
        range: Range<u64>,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), RetrieveError> {
        let mut given = false;
        let poured = match &instance.home {
            Home::Journal(_) => None,
            Home::Pack { pack, slot } => Some(self.open_pack(*pack).and_then(|pack| {
                packs::pour(&pack, *slot, range.clone(), &mut |bytes| {
                    given = true;
                    each(bytes)
                })
            })),
        };
        match poured {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) if given => Err(error),
            // It may have moved, or its bytes come a second time: as for any other reading.
            _ => {
                each(&self.read(instance, range)?);
                Ok(())
            }
        }
    }

    /// A pack that is known.
    pub(crate) fn open_pack(&self, pack: PackId) -> Result<packs::OpenPack, RetrieveError> {
        let gone = || RetrieveError::Unavailable { what: format!("pack {pack} is not known") };
        let row = self.index().pack(pack)?.ok_or_else(gone)?;
        self.tiers().was_read(self, &row);
        self.packs().open_pack(self.index().as_ref(), &row)
    }

    /// Where the index says an instance lies now.
    pub(crate) fn home_now(&self, instance: &InstanceRow) -> Result<Option<Home>, RetrieveError> {
        let rows = self.index().instance(&instance.sop_instance)?;
        Ok(rows.into_iter().find(|row| row.seq == instance.seq).map(|row| row.home))
    }

    /// Where the parts of the object lie; positions count from the data set.
    pub fn layout(&self, instance: &InstanceRow) -> Result<Layout, RetrieveError> {
        Ok(self.index().layout(instance)?)
    }

    /// The stored Part 10 file.
    pub fn file(self: &Arc<Self>, instance: &InstanceRow) -> StoredFile {
        self.open_from(instance, 0)
    }

    /// The stored data set, without preamble and file meta information.
    pub fn data_set(self: &Arc<Self>, instance: &InstanceRow) -> StoredFile {
        self.open_from(instance, u64::from(instance.meta_len))
    }

    /// Part of the stored data set, a frame say: one read where it is at most 16 MiB long, piece by piece beyond.
    pub fn data_set_part(self: &Arc<Self>, instance: &InstanceRow, range: Range<u64>) -> StoredFile {
        let rest = self.open_from(instance, u64::from(instance.meta_len).saturating_add(range.start));
        let len = range.end.saturating_sub(range.start);
        let step = if len <= PART { PART } else { WINDOW };
        StoredFile { len: rest.len.min(len), step, ..rest }
    }

    /// Whether objects that are about to be sent can be read: where an archive class of the cloud holds them, they
    /// begin to come back. `first` are the bytes of the first one that will be read first; they are read here where
    /// they come from the cloud, and wait in its cache.
    ///
    /// # Errors
    /// [`RetrieveError::Restoring`]; what reading the first bytes comes to.
    fn reach(&self, instances: &[InstanceRow], first: Range<u64>) -> Result<(), RetrieveError> {
        if self.tiers().cloud().is_none() {
            return Ok(());
        }
        let mut seen = HashSet::new();
        for (position, instance) in instances.iter().enumerate() {
            let Home::Pack { pack, .. } = &instance.home else { continue };
            if !seen.insert(*pack) {
                continue;
            }
            let Some(row) = self.index().pack(*pack)?.filter(|row| !row.hot) else { continue };
            self.tiers().is_coming(&row)?;
            if position == 0 {
                self.read(instance, first.clone())?;
            }
        }
        Ok(())
    }

    /// The same for a part of the data set of one object.
    ///
    /// # Errors
    /// As [`Archive::reach`].
    pub fn reach_part(&self, instance: &InstanceRow, range: Range<u64>) -> Result<(), RetrieveError> {
        let base = u64::from(instance.meta_len);
        let end = range.end.min(range.start.saturating_add(PART));
        let first = base.saturating_add(range.start)..base.saturating_add(end).min(instance.file_len);
        // A deflated data set is shorter than what its parts are counted in.
        if first.start >= first.end {
            return self.reach_files(std::slice::from_ref(instance));
        }
        self.reach(std::slice::from_ref(instance), first)
    }

    /// The same for whole objects.
    ///
    /// # Errors
    /// As [`Archive::reach`].
    pub fn reach_files(&self, instances: &[InstanceRow]) -> Result<(), RetrieveError> {
        let first = instances.first().map_or(0, |instance| instance.file_len.min(self.step_of(instance)));
        self.reach(instances, 0..first)
    }

    /// Bytes of a whole object to be read at once.
    fn step_of(&self, instance: &InstanceRow) -> u64 {
        let far = |pack: PackId| matches!(self.index().pack(pack), Ok(Some(row)) if !row.hot);
        match &instance.home {
            Home::Pack { pack, .. } if self.tiers().cloud().is_some() && far(*pack) => FAR_WINDOW,
            Home::Pack { .. } => PACK_WINDOW,
            Home::Journal(_) => WINDOW,
        }
    }

    fn open_from(self: &Arc<Self>, instance: &InstanceRow, base: u64) -> StoredFile {
        StoredFile {
            archive: Arc::clone(self),
            len: instance.file_len.saturating_sub(base),
            instance: instance.clone(),
            base,
            position: 0,
            step: 0,
            window: Vec::new(),
            window_at: 0,
            claim: None,
        }
    }
}

impl StoredFile {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next bytes at the position, from the window.
    fn ahead(&mut self) -> io::Result<&[u8]> {
        let at = self.base.saturating_add(self.position);
        let inside = |this: &Self| {
            let skip = usize::try_from(at.checked_sub(this.window_at)?).ok()?;
            (skip < this.window.len()).then_some(skip)
        };
        if inside(self).is_none() {
            if self.step == 0 {
                self.step = self.archive.step_of(&self.instance);
            }
            self.release();
            let (range, claim) = self.next(at);
            let begin = range.start;
            self.window = self.archive.read(&self.instance, range).map_err(io::Error::other)?;
            (self.window_at, self.claim) = (begin, claim);
        }
        let skip = inside(self).unwrap_or(self.window.len());
        Ok(self.window.get(skip..).unwrap_or_default())
    }

    /// What is read at once for a place of the file, with the memory for it: small steps where there is none.
    pub(crate) fn next(&self, at: u64) -> (Range<u64>, Option<Claim>) {
        let wide = self.span(at, self.step, true);
        let len = wide.end.saturating_sub(wide.start);
        if len <= SMALL {
            return (wide, None);
        }
        match self.archive.reading().claim(len) {
            Some(claim) => (wide, Some(claim)),
            None => (self.span(at, (len / STEPS).clamp(SMALL, STEP_MAX), false), None),
        }
    }

    /// About `step` bytes from a place of the file on: whole pieces of a pack, since one that lies in two readings is
    /// decoded twice, a longer one only where it may be `wide`; whole chunks of the journal, and the rest where it is
    /// short.
    fn span(&self, at: u64, step: u64, wide: bool) -> Range<u64> {
        let whole = self.base.saturating_add(self.len);
        let end = at.saturating_add(step).min(whole);
        match &self.instance.home {
            Home::Pack { pack, slot } if end < whole => {
                let close = self.archive.open_pack(*pack).map(|pack| packs::close(&pack, *slot, at, end));
                let (within, around) = close.unwrap_or_default();
                at..within.or(around.filter(|_| wide)).unwrap_or(end).min(whole)
            }
            Home::Journal(_) if step < PART => {
                let end = if whole - end < step / 2 { whole } else { end - end % CHUNK };
                at - at % CHUNK..end
            }
            _ => at..end,
        }
    }

    /// The window was read to its end.
    fn release(&mut self) {
        (self.window, self.claim) = (Vec::new(), None);
    }
}

impl Read for StoredFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.len || out.is_empty() {
            return Ok(0);
        }
        let ahead = self.ahead()?;
        let count = ahead.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), ahead.get(..count)) {
            to.copy_from_slice(from);
        }
        let last = count == ahead.len();
        self.position += u64::try_from(count).unwrap_or(0);
        if last {
            self.release();
        }
        Ok(count)
    }
}

impl Seek for StoredFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
