//! How soon a study can be read, as the index and the weather tell it: no bucket is asked.
//!
//! While every volume is mounted, the cloud answers and nothing is being restored, everything is online and not even
//! the index is asked. It deliberately answers for whole studies and series only.

use super::Tiers;
use crate::error::RetrieveError;
use crate::open::Archive;
use index::{PackRow, SeriesKey, StudyRow};
use std::sync::atomic::Ordering;
use store::PackFile;

/// Instance Availability (0008,0056), PS3.3 C.4.23.1.1; the later the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nearness {
    /// Read at once.
    Online,
    /// After a restore.
    Nearline,
    /// Not without somebody doing something: a disk is not mounted, the cloud is away.
    Offline,
}

impl Nearness {
    /// The defined term.
    pub(crate) const fn term(self) -> &'static str {
        match self {
            Self::Online => "ONLINE",
            Self::Nearline => "NEARLINE",
            Self::Offline => "OFFLINE",
        }
    }
}

impl Tiers {
    /// Whether everything that is known can be read at once.
    fn is_all_online(&self) -> bool {
        !self.volume_gone.load(Ordering::Relaxed) && self.weather.away().is_none() && self.wishes.restoring() == 0
    }
}

impl Archive {
    /// How soon the whole of a study, or of one series of it, can be read: the worst of its packs.
    pub(crate) fn nearness(&self, study: &StudyRow, series: Option<&SeriesKey>) -> Result<Nearness, RetrieveError> {
        if self.tiers().is_all_online() {
            return Ok(Nearness::Online);
        }
        let keys = match series {
            Some(key) => vec![key.clone()],
            None => self.series_of(study)?.into_iter().map(|row| row.key).collect(),
        };
        let mut worst = Nearness::Online;
        for key in keys {
            for pack in self.index().packs_of(&key)? {
                worst = worst.max(self.nearness_of(&pack));
            }
        }
        Ok(worst)
    }

    fn nearness_of(&self, pack: &PackRow) -> Nearness {
        let tiers = self.tiers();
        if pack.hot
            && (!tiers.volume_gone.load(Ordering::Relaxed)
                || self.packs().hot().read(PackFile::plain(pack.pack)).is_ok())
        {
            return Nearness::Online;
        }
        match pack.cold {
            None => Nearness::Offline,
            Some(_) if tiers.cloud.is_none() || tiers.weather.away().is_some() => Nearness::Offline,
            Some(_) if tiers.wishes.is_restoring(pack.pack) => Nearness::Nearline,
            Some(_) => Nearness::Online,
        }
    }
}
