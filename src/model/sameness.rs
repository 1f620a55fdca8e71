//! Whether two objects are the same: the digest that is taken of every object while it arrives.
//!
//! There are two kinds, and both are read for ever (docs/adr/0016-blake3-for-sameness.md). Digests of different kinds
//! say nothing about each other: whoever compares takes the kind of what is stored.

use crate::{Digest, Uid};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// BLAKE3 is fed pieces of this many bytes that begin at a multiple of it: it is twice as fast on such as on what a
/// network brings.
const GATHERED: usize = 64 << 10;
/// From this many waiting bytes on the whole buffer is taken at once; a small object never asks for it.
const SMALL: usize = 16 << 10;
/// How the text of the newer kind begins; the older one has nothing in front.
const BLAKE3: &str = "blake3:";

/// Which digest it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SamenessKind {
    /// What was taken of objects before version 6 of the data directory.
    Sha256,
    /// What is taken of objects that come in.
    #[default]
    Blake3,
}

impl SamenessKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Blake3];

    /// Its number wherever a digest is stored as bytes.
    pub const fn code(self) -> u8 {
        match self {
            Self::Sha256 => 0,
            Self::Blake3 => 1,
        }
    }

    /// The kind of a number.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// The digest of (transfer syntax UID, one NUL, data set bytes as stored): equal means the same object.
///
/// As text 64 hexadecimal digits for SHA-256, and `blake3:` before as many for BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sameness {
    /// SHA-256.
    Sha256([u8; 32]),
    /// BLAKE3.
    Blake3([u8; 32]),
}

impl Sameness {
    /// A digest of a kind.
    pub const fn new(kind: SamenessKind, bytes: [u8; 32]) -> Self {
        match kind {
            SamenessKind::Sha256 => Self::Sha256(bytes),
            SamenessKind::Blake3 => Self::Blake3(bytes),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> SamenessKind {
        match self {
            Self::Sha256(_) => SamenessKind::Sha256,
            Self::Blake3(_) => SamenessKind::Blake3,
        }
    }

    /// Its bytes, which say nothing without the kind.
    pub const fn bytes(&self) -> &[u8; 32] {
        match self {
            Self::Sha256(bytes) | Self::Blake3(bytes) => bytes,
        }
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(BLAKE3) {
            Some(digits) => Digest::parse(digits).map(|digest| Self::Blake3(digest.0)),
            None => Digest::parse(text).map(|digest| Self::Sha256(digest.0)),
        }
    }
}

impl fmt::Display for Sameness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind() == SamenessKind::Blake3 {
            f.write_str(BLAKE3)?;
        }
        write!(f, "{}", Digest(*self.bytes()))
    }
}

impl fmt::Debug for Sameness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Sameness {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sameness {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORM: &str = "a digest is 64 hexadecimal digits, with blake3: before them or nothing";
        crate::text::read(deserializer, |text| Self::parse(text).ok_or(FORM))
    }
}

/// Takes the digest of an object from its data set, in pieces of any size.
#[derive(Debug, Clone)]
pub struct SamenessHasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Blake3(Gathering),
}

/// BLAKE3, and what is gathered for it.
#[derive(Debug, Clone, Default)]
struct Gathering {
    /// Made with the first full buffer: it is 2 KiB large, and what fits the buffer is hashed without it.
    hasher: Option<Box<blake3::Hasher>>,
    /// Fewer than [`GATHERED`] bytes; what the hasher has is a multiple of that.
    waiting: Vec<u8>,
}

impl SamenessHasher {
    /// Begins the digest of an object in this transfer syntax.
    pub fn new(kind: SamenessKind, transfer_syntax: &Uid) -> Self {
        let mut hasher = Self(match kind {
            SamenessKind::Sha256 => State::Sha256(Sha256::new()),
            SamenessKind::Blake3 => State::Blake3(Gathering::default()),
        });
        hasher.update(transfer_syntax.as_str().as_bytes());
        hasher.update(&[0]);
        hasher
    }

    /// The next bytes of the data set.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Blake3(gathering) => gathering.update(bytes),
        }
    }

    /// The digest of everything.
    pub fn finish(self) -> Sameness {
        match self.0 {
            State::Sha256(hasher) => Sameness::Sha256(hasher.finalize().into()),
            State::Blake3(Gathering { hasher, waiting }) => {
                let hash = match hasher {
                    Some(mut hasher) => hasher.update(&waiting).finalize(),
                    None => blake3::hash(&waiting),
                };
                Sameness::Blake3(*hash.as_bytes())
            }
        }
    }
}

impl Gathering {
    /// What begins where the buffer would begin is hashed where it lies, as far as it fills buffers.
    fn update(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if !self.waiting.is_empty() {
            let room = GATHERED.saturating_sub(self.waiting.len());
            let Some((now, later)) = rest.split_at_checked(room) else { return self.keep(rest) };
            self.keep(now);
            self.hasher.get_or_insert_default().update(&self.waiting);
            self.waiting.clear();
            rest = later;
        }
        let whole = rest.len() - rest.len() % GATHERED;
        let (now, later) = rest.split_at_checked(whole).unwrap_or((rest, &[]));
        if !now.is_empty() {
            self.hasher.get_or_insert_default().update(now);
        }
        self.keep(later);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let len = self.waiting.len() + bytes.len();
        if len > SMALL && self.waiting.capacity() < GATHERED {
            self.waiting.reserve_exact(GATHERED - self.waiting.len());
        }
        self.waiting.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax() -> Uid {
        Uid::parse("1.2.840.10008.1.2.1").expect("uid")
    }

    fn whole(kind: SamenessKind, data_set: &[u8]) -> Sameness {
        let bytes = [b"1.2.840.10008.1.2.1\0".as_slice(), data_set].concat();
        match kind {
            SamenessKind::Sha256 => Sameness::Sha256(Sha256::digest(&bytes).into()),
            SamenessKind::Blake3 => Sameness::Blake3(*blake3::hash(&bytes).as_bytes()),
        }
    }

    #[test]
    fn pieces_of_any_size_give_the_digest_of_the_whole() {
        let mut rng = fastrand::Rng::with_seed(16);
        let bytes: Vec<u8> = (0..1_000_003).map(|_| rng.u8(..)).collect();
        let edges = [0, 1, 1_023, 1_024, 16_370, 65_515, 65_516, 65_517, 65_536, 131_072, 131_052, 262_144];
        for kind in SamenessKind::ALL {
            for round in 0..200 {
                let len = if round < edges.len() { edges[round] } else { rng.usize(..bytes.len()) };
                let (data_set, mut rest) = (&bytes[..len], &bytes[..len]);
                let mut hasher = SamenessHasher::new(kind, &syntax());
                let most = [1 + len / 50, 1 + len / 7, 16_370, 65_530, 65_536, 300_000][round % 6];
                while !rest.is_empty() {
                    let size = if round % 2 == 0 { most } else { rng.usize(..=most) };
                    let (now, later) = rest.split_at(size.min(rest.len()));
                    hasher.update(now);
                    rest = later;
                }
                assert_eq!(hasher.finish(), whole(kind, data_set), "{len} bytes in pieces up to {most}");
            }
        }
    }

    #[test]
    fn a_small_object_takes_no_large_buffer() {
        let mut hasher = SamenessHasher::new(SamenessKind::Blake3, &syntax());
        hasher.update(&[7; 500]);
        hasher.update(&[7; 3_000]);
        let State::Blake3(gathering) = &hasher.0 else { panic!("another kind") };
        assert!(gathering.hasher.is_none() && gathering.waiting.capacity() < 2 * SMALL);
    }

    #[test]
    fn texts_tell_the_kinds_apart_and_come_back() {
        let digits = "ab".repeat(32);
        let cases = [
            (Sameness::Sha256([0xab; 32]), digits.clone()),
            (Sameness::Blake3([0xab; 32]), format!("blake3:{digits}")),
        ];
        for (digest, text) in cases {
            assert_eq!(digest.to_string(), text);
            assert_eq!(Sameness::parse(&text), Some(digest));
            let json = serde_json::to_string(&digest).expect("JSON");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Sameness>(&json).expect("back"), digest);
            assert_eq!(SamenessKind::of_code(digest.kind().code()), Some(digest.kind()));
            assert_eq!(Sameness::new(digest.kind(), *digest.bytes()), digest);
        }
        assert_ne!(Sameness::Sha256([1; 32]), Sameness::Blake3([1; 32]));
        for wrong in
            ["", "blake3:", "sha256:", &digits[1..], &format!("blake4:{digits}"), &format!("blake3:blake3:{digits}")]
        {
            assert_eq!(Sameness::parse(wrong), None, "{wrong}");
        }
        assert_eq!(SamenessKind::of_code(2), None);
    }
}
