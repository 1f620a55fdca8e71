//! Links that were opened: each opens once.
//!
//! In memory, until none of them could open any more: a link ends within 5 minutes. After a restart nothing is
//! remembered, so nothing that was issued before it opens ([`super::claim::Claim::check_times`]).

use super::claim::{Claim, Refusal};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Most links that are remembered; beyond it none opens until some have ended.
const USED_MAX: usize = 200_000;
/// Time between two looks for ended ones, in milliseconds.
const SWEEP: u64 = 10_000;

#[derive(Debug, Default)]
pub(super) struct Used(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Digest of facility and number, until when it must be known.
    ends: HashMap<[u8; 32], u64>,
    swept: u64,
}

impl Used {
    /// Takes a link as opened; refused when it was before.
    pub(super) fn take(&self, claim: &Claim, skew: u64, now: u64) -> Result<(), Refusal> {
        let name = Sha256::new().chain_update(claim.facility.as_bytes()).chain_update(&claim.id).finalize().into();
        let mut kept = self.0.lock();
        if now >= kept.swept.saturating_add(SWEEP) {
            kept.ends.retain(|_, end| *end > now);
            kept.swept = now;
        }
        if kept.ends.contains_key(&name) {
            return Err(Refusal::Used);
        }
        if kept.ends.len() >= USED_MAX {
            return Err(Refusal::Full);
        }
        kept.ends.insert(name, claim.expires.saturating_add(skew));
        Ok(())
    }
}
