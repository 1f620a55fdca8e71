//! What waits to be entered: a bounded list in memory between those who store and the thread of the ledger.
//!
//! Nobody who stores waits for it. What does not fit, or did not come in order, is dropped and taken from the
//! journal instead.

use super::entry_of;
use index::Entry;
use model::Lsn;
use parking_lot::Mutex;

/// Most entries that wait, of some 300 bytes each; beyond, they are taken from the journal.
const WAITING_MAX: usize = 32_768;

/// The list.
pub(crate) struct Feed(Mutex<Waiting>);

struct Waiting {
    entries: Vec<(Lsn, String)>,
    /// The newest record that was settled.
    through: Lsn,
    /// Something up to `through` is not in the list.
    lost: bool,
}

/// What the ledger's thread took.
pub(crate) struct Taken {
    /// Record numbers and entries, in order.
    pub(crate) entries: Vec<(Lsn, String)>,
    /// The newest record they cover: it is durable, and so is everything before it.
    pub(crate) through: Lsn,
    /// They are not all there is: the journal has the rest.
    pub(crate) lost: bool,
}

impl Feed {
    /// Begins behind a record.
    pub(crate) fn new(through: Lsn) -> Self {
        Self(Mutex::new(Waiting { entries: Vec::new(), through, lost: false }))
    }

    /// Takes in what was made durable, in the order of the records.
    pub(crate) fn push(&self, settled: &[Entry]) {
        let (Some(first), Some(last)) = (settled.first(), settled.last()) else { return };
        let texts = settled.iter().filter_map(|entry| Some((entry.lsn, entry_of(entry.lsn, &entry.fact)?)));
        let texts: Vec<(Lsn, String)> = texts.collect();
        let complete = last.lsn.checked_sub(first.lsn) == Some((settled.len() as u64).saturating_sub(1));
        let mut waiting = self.0.lock();
        waiting.lost |= !complete || first.lsn != waiting.through.saturating_add(1);
        waiting.lost |= waiting.entries.len().saturating_add(texts.len()) > WAITING_MAX;
        waiting.through = last.lsn.max(waiting.through);
        if waiting.lost {
            waiting.entries = Vec::new();
        } else {
            waiting.entries.extend(texts);
        }
    }

    /// Takes everything that waits.
    pub(crate) fn take(&self) -> Taken {
        let mut waiting = self.0.lock();
        let entries = std::mem::take(&mut waiting.entries);
        Taken { entries, through: waiting.through, lost: std::mem::take(&mut waiting.lost) }
    }

    /// The newest record that was settled.
    pub(crate) fn through(&self) -> Lsn {
        self.0.lock().through
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Fact;
    use model::pack::{PackFact, PackId};

    fn settled(lsns: impl Iterator<Item = Lsn>) -> Vec<Entry> {
        let fact = |lsn| Fact::Pack(Box::new(PackFact::Released { pack: PackId::new([1; 16]), at: lsn }));
        lsns.map(|lsn| Entry { lsn, fact: fact(lsn), home: None }).collect()
    }

    #[test]
    fn what_comes_in_order_is_handed_over_once() {
        let feed = Feed::new(4);
        feed.push(&settled(5..8));
        feed.push(&settled(8..9));
        let taken = feed.take();
        let lsns: Vec<Lsn> = taken.entries.iter().map(|(lsn, _)| *lsn).collect();
        assert_eq!((lsns, taken.through, taken.lost), (vec![5, 6, 7, 8], 8, false));
        assert!(feed.take().entries.is_empty());
    }

    #[test]
    fn a_missing_record_and_a_full_list_are_said() {
        for odd in [settled(7..9), settled([6, 8].into_iter()), settled(6..6 + WAITING_MAX as u64 + 1)] {
            let feed = Feed::new(5);
            feed.push(&odd);
            let through = odd.last().expect("one").lsn;
            feed.push(&settled(through + 1..through + 3));
            let taken = feed.take();
            assert!(taken.lost && taken.entries.is_empty(), "from {}", odd.first().expect("one").lsn);
            assert_eq!(taken.through, through + 2);
            feed.push(&settled(through + 3..through + 4));
            let after = feed.take();
            assert!(!after.lost && after.entries.len() == 1, "what comes later is complete again");
        }
    }
}
