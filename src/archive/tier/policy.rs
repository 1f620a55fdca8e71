//! Which packs go to the cloud, and which leave the hot volumes: a table of rows, and the first that fits decides.
//!
//! Pure: no clock, no disk, no bucket. What a pack *is* comes in as [`PackFacts`], what to do leaves as an [`Action`].
//! It deliberately never says "destroy": releasing removes one copy while another one stays.

use model::FacilityCode;
use std::collections::BTreeSet;
use std::time::Duration;

/// Where a pack goes that is read after it was released.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recall {
    /// The pieces that were read stay in the bounded cache.
    #[default]
    Cache,
    /// The whole pack goes back to a hot volume.
    Hot,
}

/// One row of the table. A condition that is not given holds for every pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Name, for log lines and `khoanh tiers status`.
    pub name: String,
    /// Facilities whose packs it is for.
    pub facilities: Option<BTreeSet<FacilityCode>>,
    /// Modalities (0008,0060) of the series it is for.
    pub modalities: Option<BTreeSet<String>>,
    /// Packs of at least so many bytes.
    pub min_size: Option<u64>,
    /// Packs of at most so many bytes.
    pub max_size: Option<u64>,
    /// Copied when the series received nothing for this long; not copied by this when none.
    pub copy_after: Option<Duration>,
    /// Released when the series received nothing for this long. What is to be released is copied first.
    pub release_after: Option<Duration>,
    /// Released only when nobody read it for this long. Without [`Policy::release_after`] that alone decides.
    pub release_unread_for: Option<Duration>,
    /// Where it goes when it is read again.
    pub recall: Recall,
}

/// What the table is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFacts {
    /// Facility of the series.
    pub facility: FacilityCode,
    /// Modality of the series, empty where it has none.
    pub modality: String,
    /// Length of the pack in bytes.
    pub bytes: u64,
    /// Time since the series received anything.
    pub age: Duration,
    /// Time since anybody read the pack, or since it came to a hot volume where that is less.
    pub unread: Duration,
    /// Whether a hot volume holds it.
    pub hot: bool,
    /// Whether a verified copy lies in the cloud.
    pub cold: bool,
}

/// What to do with a pack now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Put a copy into the cloud; the hot one stays.
    Copy,
    /// Remove the hot copy; the one in the cloud was verified.
    Release,
    /// Put a copy, and when it is verified remove the hot one.
    CopyThenRelease,
}

/// The table, and what holds for every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// Rows; the first that fits a pack decides about it.
    pub rows: Vec<Policy>,
    /// No pack goes to the cloud before its series received nothing for this long: until then late instances make
    /// further parts, which are merged while all of them are hot.
    pub close_after: Duration,
}

/// How long a pack that was brought back whole stays hot where its row says nothing else.
pub const RECALLED_STAYS: Duration = Duration::from_secs(7 * 86_400);

impl Default for Policies {
    fn default() -> Self {
        Self { rows: Vec::new(), close_after: Duration::from_secs(86_400) }
    }
}

impl Policy {
    fn fits(&self, pack: &PackFacts) -> bool {
        self.facilities.as_ref().is_none_or(|facilities| facilities.contains(&pack.facility))
            && self.modalities.as_ref().is_none_or(|modalities| modalities.contains(&pack.modality))
            && self.min_size.is_none_or(|least| pack.bytes >= least)
            && self.max_size.is_none_or(|most| pack.bytes <= most)
    }

    /// What brings packs back whole must not send them away again at once: they are as old as ever.
    fn unread_for(&self) -> Option<Duration> {
        match (self.release_unread_for, self.recall, self.release_after) {
            (None, Recall::Hot, Some(_)) => Some(RECALLED_STAYS),
            (unread, _, _) => unread,
        }
    }

    fn is_release_due(&self, pack: &PackFacts) -> bool {
        let unread_for = self.unread_for();
        (self.release_after.is_some() || unread_for.is_some())
            && self.release_after.is_none_or(|after| pack.age >= after)
            && unread_for.is_none_or(|unread| pack.unread >= unread)
    }
}

impl Policies {
    /// The row that decides about a pack.
    pub fn row(&self, pack: &PackFacts) -> Option<&Policy> {
        self.rows.iter().find(|row| row.fits(pack))
    }

    /// What to do with a pack now.
    pub fn decide(&self, pack: &PackFacts) -> Action {
        let Some(row) = self.row(pack) else { return Action::Nothing };
        // What lies in no hot volume can neither be copied nor released.
        if !pack.hot {
            return Action::Nothing;
        }
        let release = row.is_release_due(pack);
        if pack.cold {
            return if release { Action::Release } else { Action::Nothing };
        }
        let copy = release || row.copy_after.is_some_and(|after| pack.age >= after);
        match copy && pack.age >= self.close_after {
            false => Action::Nothing,
            true if release => Action::CopyThenRelease,
            true => Action::Copy,
        }
    }

    /// Where a pack goes that is read from the cloud.
    pub fn recall(&self, pack: &PackFacts) -> Recall {
        self.row(pack).map_or(Recall::Cache, |row| row.recall)
    }
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;
