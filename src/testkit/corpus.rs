//! The corpora the measurements run on, written as folders of Part 10 files.
//!
//! `mixed` is what a hospital sends in an hour, `tiny` shows the cost per object, `wide` the cost per study.

use crate::object::Object;
use crate::study::{Kind, Study};
use std::io;
use std::path::{Path, PathBuf};

/// Which corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corpus {
    /// 40 studies of CT, MR, DX, ultrasound (raw and JPEG) and reports.
    Mixed,
    /// 20,000 objects of 2 to 8 KiB in 1,000 studies.
    Tiny,
    /// 20,000 studies of one object.
    Wide,
    /// 8 ultrasound clips of 27 MB in 8 studies.
    Clips,
    /// One CT series of 400 slices.
    Series,
    /// One CT series of 500 slices: what a viewer opens in the measurement of its first image.
    Slices,
}

impl Corpus {
    /// Every corpus with its folder's name.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Mixed, "mixed"),
        (Self::Tiny, "tiny"),
        (Self::Wide, "wide"),
        (Self::Clips, "clips"),
        (Self::Series, "series"),
        (Self::Slices, "slices"),
    ];

    /// The corpus of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(corpus, _)| *corpus)
    }

    /// Its studies.
    pub fn studies(self, seed: u64) -> Vec<Study> {
        let plan: Vec<(u64, Kind, u32)> = match self {
            Self::Mixed => vec![
                (12, Kind::Ct, 60),
                (10, Kind::Mr, 72),
                (8, Kind::Dx, 2),
                (4, Kind::UsRaw, 1),
                (4, Kind::UsJpeg, 4),
                (2, Kind::Sr, 3),
            ],
            Self::Tiny => vec![(1_000, Kind::Tiny, 20)],
            Self::Wide => vec![(20_000, Kind::Tiny, 1)],
            Self::Clips => vec![(8, Kind::UsRaw, 1)],
            Self::Series => vec![(1, Kind::Ct, 400)],
            Self::Slices => vec![(1, Kind::Ct, 500)],
        };
        let seed = seed.rotate_left(u32::try_from(plan.len()).unwrap_or(0) * 5);
        let kinds = plan.into_iter().flat_map(|(count, kind, instances)| (0..count).map(move |_| (kind, instances)));
        kinds.zip(0..).map(|((kind, instances), number)| Study::draw(seed, number, kind, instances)).collect()
    }
}

/// Writes a corpus to `folder/<study>/<object>.dcm`; a corpus already there with the same seed is kept.
/// Returns the number of objects and of bytes.
pub fn write(corpus: Corpus, seed: u64, folder: &Path) -> io::Result<(u64, u64)> {
    let mark = folder.join("corpus.txt");
    let claim = format!("{corpus:?} seed {seed}\n");
    if std::fs::read_to_string(&mark).is_ok_and(|found| found == claim) {
        let files = files(folder)?;
        let bytes = files.iter().map(|file| std::fs::metadata(file).map_or(0, |meta| meta.len())).sum();
        return Ok((u64::try_from(files.len()).unwrap_or(0), bytes));
    }
    let (mut objects, mut bytes) = (0, 0);
    for (number, study) in corpus.studies(seed).iter().enumerate() {
        let folder = folder.join(format!("{number:05}"));
        std::fs::create_dir_all(&folder)?;
        for (number, object) in study.objects().enumerate() {
            std::fs::write(folder.join(format!("{number:05}.dcm")), &object.file)?;
            objects += 1;
            bytes += u64::try_from(object.file.len()).unwrap_or(0);
        }
    }
    std::fs::write(&mark, claim)?;
    Ok((objects, bytes))
}

/// Every `.dcm` file below a folder, in order.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "dcm") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads every file of a folder as an object.
pub fn read(folder: &Path) -> io::Result<Vec<Object>> {
    let read = |path: PathBuf| Object::from_file(std::fs::read(path)?).map_err(io::Error::other);
    files(folder)?.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpora_have_the_promised_numbers() {
        let count = |corpus: Corpus| {
            let studies = corpus.studies(1);
            (studies.len(), studies.iter().map(|study| study.instances).sum::<u32>())
        };
        assert_eq!(count(Corpus::Mixed).0, 40);
        assert_eq!(count(Corpus::Tiny), (1_000, 20_000));
        assert_eq!(count(Corpus::Wide), (20_000, 20_000));
    }

    #[test]
    fn a_corpus_on_disk_is_kept_and_read_back() {
        let folder = tempfile::tempdir().expect("folder");
        let first = write(Corpus::Clips, 1, folder.path()).expect("written");
        let again = write(Corpus::Clips, 1, folder.path()).expect("kept");
        assert_eq!(first, again);
        assert_eq!(read(folder.path()).expect("read").len(), 8);
    }
}
