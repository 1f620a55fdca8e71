//! The name of a pack's file wherever bytes lie: in hot volumes, in cold buckets and in caches.
//!
//! It deliberately says nothing of what the pack holds: whoever sees a folder or a bucket learns no identity.

use crate::StoreError;
use model::pack::{NotPackId, PackId};
use std::fmt;
use std::str::FromStr;

/// Draws the name of a new pack: the time in milliseconds since 1970 in 6 bytes, so that names rise, then 10 random ones.
///
/// # Errors
/// [`StoreError::Envelope`] when the system has no random numbers.
pub fn draw(now_ms: u64) -> Result<PackId, StoreError> {
    let mut name: [u8; 16] = crate::keys::random()?;
    let [_, _, time @ ..] = now_ms.to_be_bytes();
    for (to, from) in name.iter_mut().zip(time) {
        *to = from;
    }
    Ok(PackId::new(name))
}

/// Name of a pack's file or object: the name of the pack, `.zip`, and `.khe` where it lies in its envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackFile {
    /// The pack.
    pub pack: PackId,
    /// Whether it lies in its envelope ([`crate::envelope`]).
    pub sealed: bool,
}

impl PackFile {
    /// The pack as it is.
    pub const fn plain(pack: PackId) -> Self {
        Self { pack, sealed: false }
    }

    /// The pack in its envelope.
    pub const fn sealed(pack: PackId) -> Self {
        Self { pack, sealed: true }
    }

    /// Path below a root: two folders of two digits, the last of the pack's name, because names may rise with time
    /// and would then crowd one folder; then the name.
    pub fn path(&self) -> String {
        let [.., one, two] = *self.pack.as_bytes();
        format!("{one:02x}/{two:02x}/{self}")
    }
}

impl fmt::Display for PackFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.zip{}", self.pack, if self.sealed { ".khe" } else { "" })
    }
}

impl FromStr for PackFile {
    type Err = NotPackId;

    fn from_str(text: &str) -> Result<Self, NotPackId> {
        let (name, sealed) = match text.strip_suffix(".khe") {
            Some(name) => (name, true),
            None => (text, false),
        };
        Ok(Self { pack: name.strip_suffix(".zip").ok_or(NotPackId)?.parse()?, sealed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_and_read_the_same_and_nothing_else_is_one() {
        let name = PackId::new(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff");
        for file in [PackFile::plain(name), PackFile::sealed(name)] {
            assert_eq!(file.to_string().parse(), Ok(file));
        }
        assert_eq!(PackFile::sealed(name).path(), "0e/ff/000102030405060708090a0b0c0d0eff.zip.khe");
        assert_eq!("000102030405060708090a0b0c0d0eff.tmp".parse::<PackFile>(), Err(NotPackId));
    }
}
