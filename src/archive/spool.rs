//! Sorting more heads than fit into memory: they come in the order of packs and leave in the order of arrival.
//!
//! Runs of a bounded size are sorted in memory and written to files of a folder that goes with the spool; then all runs
//! are merged. Deliberately not here: what a head means.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes sorted in memory at once.
const RUN_BYTES: usize = 64 << 20;
/// Most bytes of one item: as much as a journal record's head may have, and its home.
const ITEM_MAX: u32 = 512 << 20;
/// zstd level of a run.
const LEVEL: i32 = 1;

/// Things to be sorted by a number.
pub(crate) struct Spool {
    folder: PathBuf,
    run_bytes: usize,
    items: Vec<(u64, Vec<u8>)>,
    bytes: usize,
    runs: Vec<PathBuf>,
}

impl Spool {
    /// Begins in a folder of its own, which must not hold anything else.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        remove(folder)?;
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), run_bytes: RUN_BYTES, items: Vec::new(), bytes: 0, runs: Vec::new() })
    }

    /// Adds an item.
    pub(crate) fn push(&mut self, number: u64, item: Vec<u8>) -> io::Result<()> {
        self.bytes += item.len() + 40;
        self.items.push((number, item));
        if self.bytes >= self.run_bytes { self.write_run() } else { Ok(()) }
    }

    fn write_run(&mut self) -> io::Result<()> {
        // Stable: of equal numbers the first pushed comes first.
        self.items.sort_by_key(|(number, _)| *number);
        let path = self.folder.join(format!("{}.run", self.runs.len()));
        let mut out = zstd::stream::Encoder::new(BufWriter::new(File::create(&path)?), LEVEL)?;
        for (number, item) in self.items.drain(..) {
            let len = u32::try_from(item.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            out.write_all(&number.to_be_bytes())?;
            out.write_all(&len.to_be_bytes())?;
            out.write_all(&item)?;
        }
        out.finish()?.flush()?;
        self.runs.push(path);
        self.bytes = 0;
        Ok(())
    }

    /// Gives every item in the order of its number; of equal numbers the first pushed first.
    pub(crate) fn drain<E: From<io::Error>>(
        mut self,
        each: &mut dyn FnMut(u64, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.runs.is_empty() {
            self.items.sort_by_key(|(number, _)| *number);
            return std::mem::take(&mut self.items).into_iter().try_for_each(|(number, item)| each(number, item));
        }
        self.write_run()?;
        let mut runs = self.runs.iter().map(|path| Run::open(path)).collect::<io::Result<Vec<_>>>()?;
        let mut heads = BinaryHeap::new();
        for (at, run) in runs.iter().enumerate() {
            heads.extend(run.number.map(|number| Reverse((number, at))));
        }
        while let Some(Reverse((number, at))) = heads.pop() {
            let Some(run) = runs.get_mut(at) else { continue };
            let item = std::mem::take(&mut run.item);
            run.step()?;
            heads.extend(run.number.map(|number| Reverse((number, at))));
            each(number, item)?;
        }
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What cannot be removed now goes at the next rebuild.
        let _ = remove(&self.folder);
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A sorted run that is read.
struct Run {
    from: zstd::stream::Decoder<'static, BufReader<File>>,
    /// Number of the item in hand; none at the end.
    number: Option<u64>,
    item: Vec<u8>,
}

impl Run {
    fn open(path: &Path) -> io::Result<Self> {
        let from = zstd::stream::Decoder::new(File::open(path)?)?;
        let mut run = Self { from, number: None, item: Vec::new() };
        run.step()?;
        Ok(run)
    }

    fn step(&mut self) -> io::Result<()> {
        let (mut number, mut len) = ([0; 8], [0; 4]);
        self.number = None;
        match self.from.read_exact(&mut number) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        self.from.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len);
        if len > ITEM_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.item = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::InvalidData)?];
        self.from.read_exact(&mut self.item)?;
        self.number = Some(u64::from_be_bytes(number));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_in_order_however_many_runs_there_are() {
        let folder = tempfile::tempdir().expect("folder");
        for run_bytes in [100, 1 << 20] {
            let path = folder.path().join("spool");
            let mut rng = fastrand::Rng::with_seed(7);
            let mut spool = Spool::new(&path).expect("begins");
            spool.run_bytes = run_bytes;
            let mut expected = Vec::new();
            for turn in 0..500u32 {
                let (number, item) = (rng.u64(..200), turn.to_be_bytes().to_vec());
                expected.push((number, item.clone()));
                spool.push(number, item).expect("pushed");
            }
            expected.sort_by_key(|(number, _)| *number);
            let mut found = Vec::new();
            let drained: io::Result<()> = spool.drain(&mut |number, item| {
                found.push((number, item));
                Ok(())
            });
            drained.expect("drained");
            assert!(found == expected, "seed 7, runs of {run_bytes} bytes");
            assert!(!path.exists(), "the folder stays");
        }
    }
}
