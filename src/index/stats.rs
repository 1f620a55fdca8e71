//! Totals of what the index holds.

use model::FacilityCode;
use std::collections::BTreeMap;

/// Counts of one facility, one source or everything. Copies in conflict count as conflicts only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Count {
    /// Studies; always 0 for a source.
    pub studies: u64,
    /// Series; always 0 for a source.
    pub series: u64,
    /// Instances.
    pub instances: u64,
    /// Copies in conflict.
    pub conflicts: u64,
    /// Bytes of the stored files, copies in conflict included.
    pub bytes: u64,
    /// When the last instance came in, milliseconds since 1970; 0 for never.
    pub last_received: u64,
}

impl Count {
    /// Adds another count.
    pub(crate) fn add(&mut self, other: &Self) {
        self.studies += other.studies;
        self.series += other.series;
        self.instances += other.instances;
        self.conflicts += other.conflicts;
        self.bytes += other.bytes;
        self.last_received = self.last_received.max(other.last_received);
    }

    /// Counts one instance.
    pub(crate) fn instance(&mut self, bytes: u64, received: u64, conflict: bool) {
        if conflict {
            self.conflicts += 1;
        } else {
            self.instances += 1;
        }
        self.bytes += bytes;
        self.last_received = self.last_received.max(received);
    }
}

/// Totals.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Stats {
    /// Everything.
    pub total: Count,
    /// By facility.
    pub facilities: BTreeMap<FacilityCode, Count>,
    /// By source name.
    pub sources: BTreeMap<String, Count>,
}
