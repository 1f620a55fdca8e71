//! The name of a pack wherever bytes lie: in hot volumes, in cold buckets, in caches and in the key store.
//!
//! It deliberately says nothing of what the pack holds: whoever sees a folder or a bucket learns no identity.

use std::fmt;
use std::str::FromStr;

/// Name of a pack, 16 bytes, given once and never again; written as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId([u8; 16]);

/// Not the name of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a pack is 32 lower-case hexadecimal digits")]
pub struct NotPackId;

impl PackId {
    /// The pack with these bytes as its name.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the name.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for PackId {
    type Err = NotPackId;

    fn from_str(text: &str) -> Result<Self, NotPackId> {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(lower) {
            return Err(NotPackId);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NotPackId)
    }
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
        let [.., one, two] = self.pack.0;
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
        assert_eq!(name.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(name.to_string().parse(), Ok(name));
        for not in ["", "0", "000102030405060708090A0B0C0D0EFF", "+00102030405060708090a0b0c0d0eff", "../etc/passwd"] {
            assert_eq!(not.parse::<PackId>(), Err(NotPackId), "{not}");
        }
        for file in [PackFile::plain(name), PackFile::sealed(name)] {
            assert_eq!(file.to_string().parse(), Ok(file));
        }
        assert_eq!(PackFile::sealed(name).path(), "0e/ff/000102030405060708090a0b0c0d0eff.zip.khe");
        assert_eq!("000102030405060708090a0b0c0d0eff.tmp".parse::<PackFile>(), Err(NotPackId));
    }
}
