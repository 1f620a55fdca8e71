//! Who read a study: one row for a caller, a study and a way within an hour, with how often and how much.
//!
//! A row names the study by its UIDs and holds nothing of its patient. Its window is an hour by the clock, so that rows of
//! a caller who never stops are bounded by hours and studies, however often it asks.
//! Deliberately not here: what counts as reading, and when a row is written.

use crate::{FacilityCode, Role, Uid};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Milliseconds of a window.
pub const WINDOW_MS: u64 = 3_600_000;
/// Most addresses of a row; of more it says that there were.
pub const ADDRESSES_MAX: usize = 4;
/// Longest text of a row in bytes; a longer one is cut.
pub const TEXT_MAX: usize = 200;

/// How a study was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// WADO-RS and WADO-URI: objects, frames, values, metadata.
    Dicomweb,
    /// Pictures and thumbnails made of images, asked for by DICOMweb.
    Pictures,
    /// A browser with a person's session: viewer and start page.
    Viewer,
    /// The session of a launch link, and its opening.
    Launch,
    /// The session of a patient's link.
    Share,
    /// C-GET.
    Get,
    /// C-MOVE.
    Move,
    /// A file-set, or files written at the machine.
    Export,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 8] =
        [Self::Dicomweb, Self::Pictures, Self::Viewer, Self::Launch, Self::Share, Self::Get, Self::Move, Self::Export];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dicomweb => "dicomweb",
            Self::Pictures => "pictures",
            Self::Viewer => "viewer",
            Self::Launch => "launch",
            Self::Share => "share",
            Self::Get => "get",
            Self::Move => "move",
            Self::Export => "export",
        }
    }

    /// The way of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// That somebody read a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Who: the name of a token, `source:ID`, `launch:FACILITY:USER`, `share:FACILITY:NUMBER`, `operator`.
    pub by: String,
    /// Role of the caller.
    pub role: Role,
    /// The facility the caller works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<FacilityCode>,
    /// The AE title the caller showed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The AE title that a C-MOVE gave the objects to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Role and purpose that a launch link was signed for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// How.
    pub way: Way,
    /// What.
    pub study: Uid,
    /// Which patient under that UID.
    #[serde(default, skip_serializing_if = "is_first")]
    pub patient: u16,
    /// Moments of the first and the last request, milliseconds since 1970 UTC.
    pub first: u64,
    /// See above.
    pub last: u64,
    /// Requests.
    pub requests: u64,
    /// Instances that were given; one that was given twice counts twice.
    pub objects: u64,
    /// From where, the first [`ADDRESSES_MAX`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Whether there were more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_first(patient: &u16) -> bool {
    *patient == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_false(more: &bool) -> bool {
    !*more
}

/// The beginning of a text, at most [`TEXT_MAX`] bytes, whole letters.
pub fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// Names the row of who, what, how and when, 16 bytes: the digest of texts and the window.
pub fn name<'a>(texts: impl IntoIterator<Item = &'a str>, (way, patient, window): (Way, u16, u64)) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(cut(text).as_bytes()).update(&[0]);
    }
    hasher.update(way.name().as_bytes()).update(&patient.to_be_bytes()).update(&window.to_be_bytes());
    hasher.finalize().as_bytes().first_chunk::<16>().copied().unwrap_or_default()
}

impl Read {
    /// Counts a request from an address; whether the address is news.
    pub fn note(&mut self, address: Option<IpAddr>, (requests, objects): (u64, u64), at: u64) -> bool {
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        self.requests = self.requests.saturating_add(requests);
        self.objects = self.objects.saturating_add(objects);
        address.is_some_and(|address| self.came_from(address))
    }

    fn came_from(&mut self, address: IpAddr) -> bool {
        if self.addresses.contains(&address) {
            return false;
        }
        if self.addresses.len() < ADDRESSES_MAX {
            self.addresses.push(address);
            return true;
        }
        !std::mem::replace(&mut self.more, true)
    }

    /// Takes in what came since.
    pub fn absorb(&mut self, newer: &Self) {
        self.note(None, (newer.requests, newer.objects), newer.first);
        self.last = self.last.max(newer.last);
        for address in &newer.addresses {
            self.came_from(*address);
        }
        self.more |= newer.more;
    }

    /// Whether any of it was within moments, both included.
    pub const fn is_within(&self, from: u64, to: u64) -> bool {
        self.first <= to && self.last >= from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(at: u64) -> Read {
        Read {
            by: "viewer".into(),
            role: Role::Reader,
            home: None,
            title: String::new(),
            to: String::new(),
            purpose: String::new(),
            way: Way::Dicomweb,
            study: Uid::parse("1.2.3").expect("a UID"),
            patient: 0,
            first: at,
            last: at,
            requests: 0,
            objects: 0,
            addresses: Vec::new(),
            more: false,
        }
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_row_counts_and_names_a_few_addresses() {
        let mut one = read(5);
        assert!(one.note(address(1), (1, 3), 5) && !one.note(address(1), (1, 3), 9));
        assert_eq!((one.first, one.last, one.requests, one.objects), (5, 9, 2, 6));
        for last in 2..=4 {
            assert!(one.note(address(last), (1, 0), 9));
        }
        assert!(one.note(address(5), (1, 0), 9) && one.more, "that there are more is news once");
        assert!(!one.note(address(6), (1, 0), 9));
        assert_eq!((one.addresses.len(), one.requests), (ADDRESSES_MAX, 7));
    }

    #[test]
    fn what_came_since_is_added_to_a_row() {
        let (mut one, mut since) = (read(5), read(20));
        one.note(address(1), (1, 1), 5);
        since.note(address(2), (4, 8), 20);
        since.note(address(1), (1, 1), 30);
        one.absorb(&since);
        assert_eq!((one.first, one.last, one.requests, one.objects), (5, 30, 6, 10));
        assert_eq!(one.addresses, [address(1), address(2)].map(|one| one.expect("one")));
        assert!(one.is_within(30, 40) && one.is_within(0, 5) && !one.is_within(31, 40) && !one.is_within(0, 4));
    }

    #[test]
    fn ways_have_names_and_long_texts_an_end() {
        for way in Way::ALL {
            assert_eq!((Way::of(way.name()), serde_json::to_value(way).ok()), (Some(way), Some(way.name().into())));
        }
        assert!(cut(&"ễ".repeat(100)).len() <= TEXT_MAX && cut("An") == "An");
    }
}
