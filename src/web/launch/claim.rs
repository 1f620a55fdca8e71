//! What a link was signed for, when it holds, and why one does not open.

use super::keys::Held;
use super::message;
use crate::problem::{Kind, Problem};
use model::{FacilityCode, Uid};

/// Longest time between issue and end of a link, in milliseconds.
pub(super) const LIFE_MAX: u64 = 300_000;
/// Longest text of a claim.
const TEXT_MAX: usize = 128;

/// What a link was signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// Whose key signed it.
    pub(super) facility: FacilityCode,
    /// Account of the person in the hospital's system.
    pub(super) user: String,
    pub(super) role: String,
    pub(super) purpose: String,
    /// The patient, as `MRN` or `MRN^^^issuer`.
    pub(super) patient: Option<String>,
    pub(super) studies: Vec<Uid>,
    pub(super) accession: Option<String>,
    /// What makes it this link and no other.
    pub(super) id: String,
    /// Milliseconds since 1970 UTC.
    pub(super) expires: u64,
    pub(super) issued: Option<u64>,
    pub(super) not_before: Option<u64>,
    /// Whether it stands in a message and opens again and again until it ends.
    pub(super) lasts: bool,
    /// Whose images such a link is for.
    pub(super) whose: Option<message::Whose>,
}

/// Why a link does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this archive opens no links: it has no keys of facilities")]
    NoKeys,
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the link is not signed with a key that is known here")]
    Signature,
    #[error("the link has expired")]
    Expired,
    #[error("the link is not valid yet; a clock may be wrong")]
    Early,
    #[error("the link holds for longer than 5 minutes")]
    TooLong,
    #[error("the archive has begun anew after the link was made")]
    Restarted,
    #[error("the link was opened before")]
    Used,
    #[error("too many links are open now")]
    Full,
    #[error("the link names neither patient, study nor accession number")]
    Unbound,
    #[error("the address asks for something else than the link was signed for")]
    Other,
    #[error("the facility of the link is not known here")]
    Facility,
    #[error("a link is for people of the hospital; patients have links of their own")]
    Role,
    #[error("the session has ended")]
    Ended,
}

impl Refusal {
    /// Its name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoKeys => "no-keys",
            Self::Malformed(_) => "malformed",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Early => "early",
            Self::TooLong => "too-long",
            Self::Restarted => "restarted",
            Self::Used => "used",
            Self::Full => "full",
            Self::Unbound => "unbound",
            Self::Other => "other",
            Self::Facility => "facility",
            Self::Role => "role",
            Self::Ended => "ended",
        }
    }

    pub(super) fn problem(self) -> Problem {
        let kind = match self {
            Self::Malformed(_) => Kind::BadRequest,
            Self::Full => Kind::Busy,
            _ => Kind::LaunchRefused,
        };
        Problem::new(kind, self.to_string())
    }
}

/// A text of a claim: short and without control characters.
pub(super) fn text(value: &str) -> Result<String, Refusal> {
    let value = value.trim();
    if value.len() > TEXT_MAX || value.chars().any(char::is_control) {
        return Err(Refusal::Malformed("a value of the link is too long or has control characters"));
    }
    Ok(value.to_owned())
}

/// The keys that may have signed for a facility, by their name where one is given.
pub(super) fn of_facility<'a>(
    keys: &'a [Held],
    facility: FacilityCode,
    id: Option<&'a str>,
) -> impl Iterator<Item = &'a Held> {
    keys.iter().filter(move |key| key.facility == facility && id.is_none_or(|id| id == key.id))
}

impl Claim {
    /// Whether it holds at a time. What was issued before the archive began may have been opened then: it is refused, by
    /// its own time of issue where it says one, else as early as it can have been issued.
    pub(super) fn check_times(&self, now: u64, began: u64, skew: u64) -> Result<(), Refusal> {
        if now >= self.expires.saturating_add(skew) {
            return Err(Refusal::Expired);
        }
        let latest = now.saturating_add(skew);
        if self.lasts {
            let most = latest.saturating_add(message::LIFE_MAX);
            return if self.expires > most { Err(Refusal::TooLong) } else { Ok(()) };
        }
        if self.issued.is_some_and(|at| at > latest) || self.not_before.is_some_and(|at| at > latest) {
            return Err(Refusal::Early);
        }
        let issued = self.issued.unwrap_or_else(|| self.expires.saturating_sub(LIFE_MAX));
        if self.expires > latest.saturating_add(LIFE_MAX) || self.expires > issued.saturating_add(LIFE_MAX) {
            return Err(Refusal::TooLong);
        }
        if issued < began.saturating_add(skew) {
            return Err(Refusal::Restarted);
        }
        Ok(())
    }

    /// Checks what must be there.
    pub(super) fn checked(self) -> Result<Self, Refusal> {
        if self.id.is_empty() || self.user.is_empty() {
            return Err(Refusal::Malformed("a link names its user and has a number of its own"));
        }
        if self.patient.is_none() && self.accession.is_none() && self.studies.is_empty() {
            return Err(Refusal::Unbound);
        }
        Ok(self)
    }
}
