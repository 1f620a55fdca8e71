//! An instance on its way through the spool: where it lies, then its head as JSON, which is read only once.
//!
//! ```text
//! 0, length of the place (4 bytes, big endian), the place as JSON, the head
//! 1, pack (16 bytes), slot (4 bytes, big endian), the head
//! ```

use super::sorting;
use crate::error::OpenError;
use index::Entry;
use model::{Fact, Home, InstanceHead, PackId};

/// Writes an item.
pub(super) fn write(home: &Home, head: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut item = Vec::with_capacity(head.len() + 128);
    match home {
        Home::Journal(place) => {
            let place = serde_json::to_vec(place).map_err(|error| sorting(&error))?;
            item.push(0);
            item.extend(u32::try_from(place.len()).map_err(|error| sorting(&error))?.to_be_bytes());
            item.extend(place);
        }
        Home::Pack { pack, slot } => {
            item.push(1);
            item.extend(pack.as_bytes());
            item.extend(slot.to_be_bytes());
        }
    }
    item.extend(head);
    Ok(item)
}

/// Reads an item. The number of the record does not matter: the facts that follow stand behind it.
pub(super) fn read(item: &[u8]) -> Result<Entry, OpenError> {
    let (home, head) = split(item).ok_or_else(|| sorting(&"an item is cut short"))?;
    let head: InstanceHead = serde_json::from_slice(head).map_err(|error| sorting(&error))?;
    Ok(Entry { lsn: 0, fact: Fact::Instance(Box::new(head)), home: Some(home) })
}

fn split(item: &[u8]) -> Option<(Home, &[u8])> {
    let (kind, rest) = item.split_first()?;
    if *kind == 1 {
        let (pack, rest) = rest.split_first_chunk::<16>()?;
        let (slot, head) = rest.split_first_chunk::<4>()?;
        return Some((Home::Pack { pack: PackId::new(*pack), slot: u32::from_be_bytes(*slot) }, head));
    }
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (place, head) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    Some((Home::Journal(serde_json::from_slice(place).ok()?), head))
}
