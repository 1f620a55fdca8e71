//! Reading an A-ASSOCIATE-RQ (PS3.8 section 9.3.2) into what negotiation needs.
//!
//! The codec of dicom-ul does the work on a request whose unknown items were cut out first: the standard has
//! receivers skip them, the codec refuses them. Nothing is decided here.

use dicom_ul::pdu::{AssociationRQ, MAXIMUM_PDU_SIZE, Pdu, UserVariableItem, read_pdu};
use std::borrow::Cow;

/// Fixed fields before the variable items: version, reserved, two titles, reserved.
const FIXED_BYTES: usize = 2 + 2 + 16 + 16 + 32;
/// Header of a PDU.
pub(crate) const HEADER_BYTES: usize = 6;
/// Variable items a request may hold: application context, presentation context, user information.
const KNOWN_ITEMS: [u8; 3] = [0x10, 0x20, 0x50];

/// A request that cannot be read; the association is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed A-ASSOCIATE-RQ: {0}")]
pub(crate) struct Malformed(&'static str);

/// What the peer says of itself, kept for audit and for answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Longest PDU it takes; zero means no limit.
    pub(crate) pdu_bytes_max: u32,
    /// Implementation Class UID, as sent.
    pub(crate) implementation: String,
    /// Implementation Version Name, as sent.
    pub(crate) version: String,
}

impl Peer {
    /// Collects the items of the user information.
    pub(crate) fn read(items: &[UserVariableItem]) -> Self {
        let mut peer = Self::default();
        for item in items {
            match item {
                UserVariableItem::MaxLength(length) => peer.pdu_bytes_max = *length,
                UserVariableItem::ImplementationClassUID(uid) => peer.implementation = plain(uid, 64),
                UserVariableItem::ImplementationVersionName(name) => peer.version = plain(name, 16),
                _ => {}
            }
        }
        peer
    }
}

/// Reads a whole PDU, header included.
pub(crate) fn parse(pdu: &[u8]) -> Result<AssociationRQ, Malformed> {
    let known = without_unknown_items(pdu)?;
    match read_pdu(known.as_ref(), MAXIMUM_PDU_SIZE, false) {
        Ok(Some(Pdu::AssociationRQ(request))) => Ok(request),
        Ok(Some(_)) => Err(Malformed("another PDU")),
        Ok(None) => Err(Malformed("an item ends early")),
        Err(_) => Err(Malformed("an item cannot be read")),
    }
}

/// The request without items of unrecognized types: "they shall be ignored" (PS3.8 section 9.3.1).
fn without_unknown_items(pdu: &[u8]) -> Result<Cow<'_, [u8]>, Malformed> {
    let (fixed, items) =
        pdu.split_at_checked(HEADER_BYTES + FIXED_BYTES).ok_or(Malformed("shorter than its fixed fields"))?;
    let mut kept = Vec::new();
    let mut rest = items;
    let mut skipped = false;
    while !rest.is_empty() {
        let (header, _) = rest.split_first_chunk::<4>().ok_or(Malformed("ends inside an item header"))?;
        let [kind, _, l0, l1] = *header;
        let length = 4 + usize::from(u16::from_be_bytes([l0, l1]));
        let (item, after) = rest.split_at_checked(length).ok_or(Malformed("ends inside an item"))?;
        if KNOWN_ITEMS.contains(&kind) {
            kept.extend_from_slice(item);
        } else {
            skipped = true;
        }
        rest = after;
    }
    if !skipped {
        return Ok(Cow::Borrowed(pdu));
    }
    let mut whole = fixed.to_vec();
    let length = u32::try_from(FIXED_BYTES + kept.len()).map_err(|_| Malformed("too long"))?;
    for (byte, new) in whole.iter_mut().skip(2).zip(length.to_be_bytes()) {
        *byte = new;
    }
    whole.extend_from_slice(&kept);
    Ok(Cow::Owned(whole))
}

/// Text of the peer for a log line: printable ASCII, bounded.
fn plain(text: &str, chars: usize) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(chars).collect::<String>().trim().to_owned()
}
