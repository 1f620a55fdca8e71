//! Reading an A-ASSOCIATE-RQ (PS3.8 section 9.3.2) into what negotiation needs.
//!
//! The codec of dicom-ul does the work on a request whose unknown items were cut out first: the standard has
//! receivers skip them, the codec refuses them. Nothing is decided here.

use dicom_ul::pdu::{AssociationRQ, MAXIMUM_PDU_SIZE, Pdu, UserIdentityType, UserVariableItem, read_pdu};
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
    /// User name of the user identity, when one was shown; nothing here verifies it.
    pub(crate) user: String,
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
                UserVariableItem::UserIdentityItem(identity)
                    if matches!(
                        identity.identity_type(),
                        UserIdentityType::Username | UserIdentityType::UsernamePassword
                    ) =>
                {
                    peer.user = plain(&String::from_utf8_lossy(&identity.primary_field()), 64);
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with one context of every kind of item.
    fn request() -> Vec<u8> {
        let item = |kind: u8, value: &[u8]| {
            let length = u16::try_from(value.len()).expect("short").to_be_bytes();
            [&[kind, 0], length.as_slice(), value].concat()
        };
        let context =
            [&[1, 0, 0, 0][..], &item(0x30, b"1.2.840.10008.1.1"), &item(0x40, b"1.2.840.10008.1.2")].concat();
        let user = [
            item(0x51, &[0, 0, 64, 0]),
            item(0x52, b"1.2.3"),
            item(0x53, &[0, 1, 0, 1]),
            item(0x54, b"\0\x051.2.3\x01\x00"),
            item(0x55, b"MODALITY_1"),
            item(0x56, b"\0\x051.2.3\x02"),
            item(0x57, b"\0\x051.2.3\0\x051.2.4\0\0"),
            item(0x58, b"\x02\x01\0\x05bs.an\0\x03abc"),
        ]
        .concat();
        let body = [
            [0, 1, 0, 0].as_slice(),
            b"KHOANH          CT01            ",
            &[0; 32],
            &item(0x10, b"1.2.840.10008.3.1.1.1"),
            &item(0x20, &context),
            &item(0x99, b"unknown"),
            &item(0x50, &user),
        ]
        .concat();
        let length = u32::try_from(body.len()).expect("short").to_be_bytes();
        [&[1, 0], length.as_slice(), &body].concat()
    }

    #[test]
    fn every_item_is_read_and_unknown_ones_are_skipped() {
        let request = parse(&request()).expect("well formed");
        assert_eq!((request.called_ae_title.as_str(), request.calling_ae_title.as_str()), ("KHOANH", "CT01"));
        assert_eq!(request.presentation_contexts.len(), 1);
        let peer = Peer::read(&request.user_variables);
        assert_eq!(peer.pdu_bytes_max, 16_384);
        assert_eq!((peer.implementation.as_str(), peer.version.as_str()), ("1.2.3", "MODALITY_1"));
        assert_eq!(peer.user, "bs.an");
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = request();
        for length in 0..whole.len() {
            let (part, _) = whole.split_at(length);
            let read = parse(part);
            assert!(read.is_err() || length > HEADER_BYTES + FIXED_BYTES, "cut at {length}");
        }
    }

    #[test]
    fn mangled_requests_never_panic() {
        for seed in 0..50_000u64 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = request();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(0..bytes.len());
                bytes[at] =
                    if random.bool() { random.u8(..) } else { *random.choice(&[0, 1, 0x7f, 0xff]).expect("one") };
            }
            bytes.truncate(random.usize(bytes.len() / 2..=bytes.len()));
            crate::fuzz::association_request(&bytes);
        }
    }
}
