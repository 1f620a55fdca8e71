//! One record of a shard.

use super::epoch::Wrapped;
use crate::PackId;
use model::FacilityCode;

/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Live,
    Destroyed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) state: State,
    pub(super) facility: FacilityCode,
    pub(super) pack: PackId,
    pub(super) epoch: u32,
    pub(super) wrapped: Option<Wrapped>,
}

/// What lies in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {
    Free,
    Taken(Record),
    Damaged,
}

impl Record {
    pub(super) fn live(facility: FacilityCode, pack: PackId, epoch: u32, wrapped: Wrapped) -> Self {
        Self { state: State::Live, facility, pack, epoch, wrapped: Some(wrapped) }
    }

    pub(super) fn destroyed(&self) -> Self {
        Self { state: State::Destroyed, wrapped: None, ..self.clone() }
    }

    /// Which of two records of the same pack holds.
    pub(super) fn rank(&self) -> (State, u32) {
        (self.state, self.epoch)
    }

    pub(super) fn encode(&self) -> [u8; RECORD_BYTES] {
        let empty = Wrapped { by: 0, nonce: [0; 12], key: [0; 48] };
        let wrapped = self.wrapped.as_ref().unwrap_or(&empty);
        let state = match self.state {
            State::Live => 1,
            State::Destroyed => 2,
        };
        let mut body = Vec::with_capacity(RECORD_BYTES);
        body.extend_from_slice(&[state, wrapped.by, 0, 0]);
        body.extend_from_slice(&self.epoch.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(self.pack.as_bytes());
        body.extend_from_slice(self.facility.as_bytes());
        body.extend_from_slice(&[0; 11]);
        body.extend_from_slice(&wrapped.nonce);
        body.extend_from_slice(&wrapped.key);
        body.resize(RECORD_BYTES - 4, 0);
        let crc = crc32c::crc32c(&body).to_le_bytes();
        let mut bytes = [0; RECORD_BYTES];
        for (to, from) in bytes.iter_mut().zip(crc.iter().chain(&body)) {
            *to = *from;
        }
        bytes
    }

    fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let at = |start: usize, len: usize| bytes.get(start..start.checked_add(len)?);
        let crc = u32::from_le_bytes(at(0, 4)?.try_into().ok()?);
        if crc != crc32c::crc32c(at(4, RECORD_BYTES - 4)?) {
            return None;
        }
        let [state, by] = at(4, 2)?.try_into().ok()?;
        let wrapped = Wrapped { by, nonce: at(48, 12)?.try_into().ok()?, key: at(60, 48)?.try_into().ok()? };
        let (state, wrapped) = match state {
            1 => (State::Live, Some(wrapped)),
            2 => (State::Destroyed, None),
            _ => return None,
        };
        Some(Self {
            state,
            facility: FacilityCode::parse(std::str::from_utf8(at(32, 5)?).ok()?).ok()?,
            pack: PackId::new(at(16, 16)?.try_into().ok()?),
            epoch: u32::from_le_bytes(at(8, 4)?.try_into().ok()?),
            wrapped,
        })
    }
}

impl Slot {
    /// Reads a slot; one that is cut off is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        if bytes.iter().all(|byte| *byte == 0) {
            return Self::Free;
        }
        let whole: Option<&[u8; RECORD_BYTES]> = bytes.try_into().ok();
        whole.and_then(Record::decode).map_or(Self::Damaged, Self::Taken)
    }

    pub(super) fn encode(&self) -> [u8; RECORD_BYTES] {
        match self {
            Self::Taken(record) => record.encode(),
            Self::Free | Self::Damaged => [0; RECORD_BYTES],
        }
    }
}
