//! The ledger in service: what of the journal is entered, by whom, when it is signed, and where an entry is found.
//!
//! The journal is the truth, the ledger its proof: every fact that matters is entered under the number of its
//! journal record, after it is durable and answered. Nobody who stores waits for the ledger, and nothing is lost
//! when it cannot be written: what no head covers is entered again from the journal, which must keep it until then
//! ([`Archive::ledger_floor`]).
//! Deliberately not here: hashes, trees, signatures and files (`store::ledger`), and writing proofs anywhere.

mod entry;
mod feed;
mod keeper;
mod marks;
mod search;

pub use entry::{entry_of, instance_name};
pub(crate) use feed::Feed;
pub(crate) use keeper::{Keeper, When};
pub use keeper::{LedgerKeeping, LedgerReader, LedgerSigning};
pub(crate) use marks::NAME as MARKS;
pub use marks::{Lacking, lacking};
pub use search::{Evidence, Shown, Wanted};

use crate::error::OpenError;
use crate::open::Archive;
use crate::worker::every;
use model::Lsn;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The ledger hears of what was answered within this time, unless the archive has failed.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// How the ledger stands, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LedgerState {
    /// Signed entries; none while the ledger is being opened again.
    pub size: Option<u64>,
    /// Journal records that no signed head covers yet, whether or not they give an entry.
    pub uncovered: u64,
    /// When the newest head was signed, milliseconds since 1970 UTC.
    pub head_ms: Option<u64>,
}

impl Archive {
    /// The signed part of the ledger; none when it is off, or for a moment after a failed write.
    pub fn ledger(&self) -> Option<LedgerReader> {
        self.keeper().and_then(|keeper| keeper.reader())
    }

    /// Up to which record number a durable signed head covers everything that is entered. The journal must keep
    /// what lies above. Without a ledger it is the newest durable record.
    pub fn ledger_floor(&self) -> Lsn {
        self.keeper().map_or_else(|| self.journal().synced(), |keeper| keeper.covered())
    }

    /// How the ledger stands; none when it is off.
    pub fn ledger_state(&self) -> Option<LedgerState> {
        self.keeper().map(|keeper| keeper.state())
    }

    /// Enters and signs everything that was answered before the call. Does nothing when the ledger is off.
    ///
    /// # Errors
    /// When the ledger cannot be written or its key does not sign; nothing is lost.
    pub fn sign_ledger(&self) -> Result<(), OpenError> {
        let Some(keeper) = self.keeper() else { return Ok(()) };
        // Answers go out a moment before the ledger hears of them.
        let (answered, deadline) = (self.index().applied(), Instant::now() + HEARD_WITHIN);
        while keeper.heard() < answered && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        keeper.round(When::Now)
    }
}

/// Starts the thread that enters and signs, when there is a ledger.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<Option<JoinHandle<()>>, OpenError> {
    let Some(keeper) = archive.keeper().cloned() else { return Ok(None) };
    let round = move |_: &Arc<Archive>| {
        // The keeper counts and shows its failures itself.
        let _ = keeper.round(When::Due);
    };
    every(archive, "ledger", round).map(Some)
}
