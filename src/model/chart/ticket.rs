//! Links that patients open themselves: which studies, until when, and what guards them.
//!
//! Nothing in a ticket opens it: of the link's secret there is the digest alone, and the check of the code is made of
//! that secret, too. Deliberately not here: how secret and code are drawn and checked, and what a link shows.

use super::BirthDate;
use crate::{Digest, Uid};
use serde::{Deserialize, Serialize};

/// Wrong tries in a row that cost no time.
const FREE_TRIES: u32 = 3;
/// After them each wrong try is followed by a rest, the first this long, in milliseconds ...
const REST: u64 = 60_000;
/// ... each twice as long as the one before, and none longer than this.
const REST_MAX: u64 = 3_600_000;

/// A link for a patient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// SHA-256 of the link's secret.
    pub secret: Digest,
    /// Salt of `check`.
    pub salt: Digest,
    /// Rounds of `check`.
    pub rounds: u32,
    /// What secret and code together come to.
    pub check: Digest,
    /// The patient's number (MRN) when it was issued.
    pub mrn: String,
    /// Their birth date then, where no information system tells it later.
    pub birth: BirthDate,
    /// The studies it was issued for.
    pub studies: Vec<Uid>,
    /// Whether DICOM files may be taken along.
    #[serde(default)]
    pub download: bool,
    /// When it was issued, milliseconds since 1970 UTC.
    pub issued: u64,
    /// The first moment at which it no longer opens.
    pub until: u64,
    /// Who issued it.
    pub by: String,
    /// When it was revoked, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<(u64, String)>,
    /// How often it was opened.
    #[serde(default)]
    pub opened: u32,
    /// When it was opened last; 0: never.
    #[serde(default)]
    pub opened_at: u64,
    /// Wrong tries since it was opened last.
    #[serde(default)]
    pub wrong: u32,
    /// When the last of them was.
    #[serde(default)]
    pub wrong_at: u64,
}

/// What a ticket is at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketState {
    /// It opens.
    Open,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// Too many tries were wrong: it opens no more.
    Locked,
}

impl TicketState {
    /// Its name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Locked => "locked",
        }
    }
}

impl Ticket {
    /// What it is at a time; after `tries` wrong ones in a row it is locked.
    pub fn state(&self, now: u64, tries: u32) -> TicketState {
        if self.revoked.is_some() {
            TicketState::Revoked
        } else if self.wrong >= tries {
            TicketState::Locked
        } else if now >= self.until {
            TicketState::Expired
        } else {
            TicketState::Open
        }
    }

    /// Whether a try counts now: neither locked nor within the rest after a wrong one.
    pub fn takes_a_try(&self, now: u64, tries: u32) -> bool {
        self.wrong < tries && now >= self.wrong_at.saturating_add(self.rest())
    }

    /// How long no try counts after the last wrong one, in milliseconds.
    pub fn rest(&self) -> u64 {
        match self.wrong.checked_sub(FREE_TRIES) {
            None => 0,
            Some(more) => REST.saturating_mul(1u64.checked_shl(more).unwrap_or(u64::MAX)).min(REST_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tries_cost_time_and_then_the_link() {
        let ticket = |wrong: u32| Ticket {
            secret: Digest([1; 32]),
            salt: Digest([2; 32]),
            rounds: 1,
            check: Digest([3; 32]),
            mrn: "77".into(),
            birth: BirthDate::parse("1978").expect("a year"),
            studies: Vec::new(),
            download: false,
            issued: 0,
            until: 1_000_000_000,
            by: "desk".into(),
            revoked: None,
            opened: 0,
            opened_at: 0,
            wrong,
            wrong_at: 5,
        };
        let rests: Vec<u64> = (0..12).map(|wrong| ticket(wrong).rest() / 60_000).collect();
        assert_eq!(rests, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(ticket(200).rest(), REST_MAX);
        assert!(ticket(3).takes_a_try(60_005, 10) && !ticket(3).takes_a_try(60_004, 10));
        assert!(!ticket(10).takes_a_try(u64::MAX, 10));
        assert_eq!(ticket(10).state(6, 10), TicketState::Locked);
        assert_eq!(ticket(9).state(6, 10), TicketState::Open);
        assert_eq!(ticket(0).state(1_000_000_000, 10), TicketState::Expired);
        let revoked = Ticket { revoked: Some((7, "desk".into())), ..ticket(0) };
        assert_eq!(revoked.state(8, 10), TicketState::Revoked);
    }
}
