//! A ZIP file read front to back while it arrives (APPNOTE.TXT of PKWARE, 6.3): stored and deflated entries.
//!
//! Entries come from their local headers, so nothing but a step of one entry is held; the directory at the end is
//! where reading stops. Sizes that stand behind an entry are found by their signature, checksum and length together.
//! Encrypted entries, other methods and files in several volumes are refused. It does no I/O and knows nothing of DICOM.

use bytes::{Buf, Bytes, BytesMut};
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Most bytes of an entry given out at once.
const STEP: usize = 64 << 10;
/// Bytes that may come out of any file, and how many times what went in beyond them: real images stay far below.
const FREE: u64 = 256 << 20;
const RATIO_MAX: u64 = 200;

const LOCAL: u32 = 0x0403_4B50;
const DESCRIPTOR: u32 = 0x0807_4B50;
const DESCRIPTOR_BYTES: &[u8; 4] = b"PK\x07\x08";
/// Directory header, end record, ZIP64 end record, extra data in front of the directory: no entry follows.
const ENDS: [u32; 4] = [0x0201_4B50, 0x0605_4B50, 0x0606_4B50, 0x0806_4B50];
/// Fixed bytes of a local header.
const LOCAL_LEN: usize = 30;
/// Longest descriptor: signature, checksum, two sizes of 8 bytes.
const DESCRIPTOR_LEN: usize = 24;
const ENCRYPTED: u16 = 1;
const SIZES_BEHIND: u16 = 8;

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ZipError {
    /// No header where one must be.
    #[error("this is no ZIP file, or it is damaged")]
    Damaged,
    /// An entry needs a password.
    #[error("an entry is encrypted")]
    Encrypted,
    /// Neither stored nor deflated.
    #[error("an entry is compressed by a method other than deflate")]
    Method,
    /// More comes out than images explain.
    #[error("its entries grow to more than {RATIO_MAX} times its length")]
    Bomb,
    /// The file ends before its directory.
    #[error("the ZIP file ends before its directory")]
    Cut,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An entry begins; its name, for what it is and never for where it goes.
    Start(String),
    /// Bytes of the entry.
    Data(Bytes),
    /// The entry ended; whether its checksum is right.
    End(bool),
    /// The directory was reached; what follows is ignored.
    Closed,
    /// Feed more.
    Hungry,
}

/// An entry that is being read.
struct Entry {
    crc: Crc,
    /// Checksum and compressed length, where they stand in front.
    before: Option<(u32, u64)>,
}

enum State {
    Header,
    /// So many bytes are left.
    Stored(u64),
    /// Until its descriptor.
    StoredOpen(u64),
    Deflated(Box<Decompress>),
    /// Behind a deflated entry of so many bytes, before and after.
    Behind(u64, u64),
    Closed,
}

/// The reader.
pub struct Unzip {
    buffer: BytesMut,
    state: State,
    entry: Entry,
    fed: u64,
    given: u64,
}

impl Default for Unzip {
    fn default() -> Self {
        let entry = Entry { crc: Crc::new(), before: None };
        Self { buffer: BytesMut::new(), state: State::Header, entry, fed: 0, given: 0 }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

fn double(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn quad(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Unzip {
    /// Takes bytes of the file.
    pub fn feed(&mut self, data: &[u8]) {
        if !matches!(self.state, State::Closed) {
            self.fed = self.fed.saturating_add(count(data));
            self.buffer.extend_from_slice(data);
        }
    }

    /// The file is over.
    ///
    /// # Errors
    /// [`ZipError::Cut`] when its directory was not reached.
    pub const fn finish(&self) -> Result<(), ZipError> {
        if matches!(self.state, State::Closed) { Ok(()) } else { Err(ZipError::Cut) }
    }

    /// The next event; [`Event::Hungry`] when more bytes are needed.
    ///
    /// # Errors
    /// When the file cannot be read on.
    pub fn next_event(&mut self) -> Result<Event, ZipError> {
        match &mut self.state {
            State::Closed => {
                self.buffer.clear();
                Ok(Event::Closed)
            }
            State::Header => self.header(),
            State::Stored(0) => {
                let right = self.entry.before.is_some_and(|(crc, _)| crc == self.entry.crc.sum());
                Ok(self.end(right))
            }
            State::Stored(left) => {
                let step = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len()).min(STEP);
                if step == 0 {
                    return Ok(Event::Hungry);
                }
                *left = left.saturating_sub(u64::try_from(step).unwrap_or(u64::MAX));
                let data = self.buffer.split_to(step).freeze();
                self.give(data)
            }
            State::StoredOpen(_) => self.stored_open(),
            State::Deflated(_) => self.deflated(),
            State::Behind(packed, plain) => {
                let (packed, plain) = (*packed, *plain);
                self.behind(packed, plain)
            }
        }
    }

    fn end(&mut self, right: bool) -> Event {
        self.state = State::Header;
        Event::End(right)
    }

    fn give(&mut self, data: Bytes) -> Result<Event, ZipError> {
        self.entry.crc.update(&data);
        self.given = self.given.saturating_add(count(&data));
        if self.given > self.fed.saturating_mul(RATIO_MAX).max(FREE) {
            return Err(ZipError::Bomb);
        }
        Ok(Event::Data(data))
    }

    fn header(&mut self) -> Result<Event, ZipError> {
        let Some(signature) = double(&self.buffer, 0) else { return Ok(Event::Hungry) };
        if ENDS.contains(&signature) {
            self.state = State::Closed;
            return Ok(Event::Closed);
        }
        if signature != LOCAL {
            return Err(ZipError::Damaged);
        }
        let lengths = word(&self.buffer, 26).zip(word(&self.buffer, 28));
        let Some((name, extra)) = lengths.map(|(name, extra)| (usize::from(name), usize::from(extra))) else {
            return Ok(Event::Hungry);
        };
        let whole = LOCAL_LEN.saturating_add(name).saturating_add(extra);
        if self.buffer.len() < whole {
            return Ok(Event::Hungry);
        }
        let header = self.buffer.split_to(whole);
        let (flags, method) = word(&header, 6).zip(word(&header, 8)).ok_or(ZipError::Damaged)?;
        if flags & ENCRYPTED != 0 {
            return Err(ZipError::Encrypted);
        }
        let before = if flags & SIZES_BEHIND == 0 { Some(sizes(&header, name)?) } else { None };
        self.state = match (method, before) {
            (0, Some((_, packed))) => State::Stored(packed),
            (0, None) => State::StoredOpen(0),
            (8, _) => State::Deflated(Box::new(Decompress::new(false))),
            _ => return Err(ZipError::Method),
        };
        self.entry = Entry { crc: Crc::new(), before };
        let name = header.get(LOCAL_LEN..LOCAL_LEN.saturating_add(name)).unwrap_or_default();
        Ok(Event::Start(String::from_utf8_lossy(name).into_owned()))
    }

    /// Stored bytes up to what is a descriptor by signature, checksum and lengths.
    fn stored_open(&mut self) -> Result<Event, ZipError> {
        let State::StoredOpen(plain) = self.state else { return Err(ZipError::Damaged) };
        let found = memchr::memmem::find(&self.buffer, DESCRIPTOR_BYTES);
        let step = match found {
            Some(0) if self.buffer.len() < DESCRIPTOR_LEN => return Ok(Event::Hungry),
            Some(0) => match descriptor(&self.buffer, self.entry.crc.sum(), plain, plain) {
                Some(length) => {
                    self.buffer.advance(length.min(self.buffer.len()));
                    return Ok(self.end(true));
                }
                None => 1,
            },
            Some(at) => at.min(STEP),
            // The tail may be the beginning of a signature.
            None => self.buffer.len().saturating_sub(DESCRIPTOR_BYTES.len() - 1).min(STEP),
        };
        if step == 0 {
            return Ok(Event::Hungry);
        }
        let data = self.buffer.split_to(step).freeze();
        self.state = State::StoredOpen(plain.saturating_add(count(&data)));
        self.give(data)
    }

    fn deflated(&mut self) -> Result<Event, ZipError> {
        let State::Deflated(inflate) = &mut self.state else { return Err(ZipError::Damaged) };
        let (before, mut out) = (inflate.total_in(), Vec::with_capacity(STEP));
        let status = inflate.decompress_vec(&self.buffer, &mut out, FlushDecompress::None);
        let status = status.map_err(|_| ZipError::Damaged)?;
        let (packed, plain) = (inflate.total_in(), inflate.total_out());
        let taken = usize::try_from(packed.saturating_sub(before)).unwrap_or(usize::MAX);
        self.buffer.advance(taken.min(self.buffer.len()));
        if status == Status::StreamEnd {
            self.state = State::Behind(packed, plain);
        } else if out.is_empty() {
            // Nothing comes out of what there is; what it took is remembered by the decoder.
            return if self.buffer.is_empty() || taken == 0 { Ok(Event::Hungry) } else { self.deflated() };
        }
        self.give(Bytes::from(out))
    }

    fn behind(&mut self, packed: u64, plain: u64) -> Result<Event, ZipError> {
        let sum = self.entry.crc.sum();
        if let Some((crc, length)) = self.entry.before {
            return if length == packed { Ok(self.end(crc == sum)) } else { Err(ZipError::Damaged) };
        }
        if self.buffer.len() < DESCRIPTOR_LEN {
            return Ok(Event::Hungry);
        }
        let length = descriptor(&self.buffer, sum, packed, plain).ok_or(ZipError::Damaged)?;
        self.buffer.advance(length.min(self.buffer.len()));
        Ok(self.end(true))
    }
}

/// Checksum and compressed length of a local header, from its ZIP64 extra field where they do not fit.
fn sizes(header: &[u8], name: usize) -> Result<(u32, u64), ZipError> {
    let crc = double(header, 14).ok_or(ZipError::Damaged)?;
    let packed = double(header, 18).ok_or(ZipError::Damaged)?;
    if packed != u32::MAX {
        return Ok((crc, u64::from(packed)));
    }
    let plain_too = double(header, 22) == Some(u32::MAX);
    let mut at = LOCAL_LEN.saturating_add(name);
    while let Some((kind, length)) = word(header, at).zip(word(header, at.saturating_add(2))) {
        let value = at.saturating_add(4);
        if kind == 1 {
            let packed = quad(header, if plain_too { value.saturating_add(8) } else { value });
            return packed.map(|packed| (crc, packed)).ok_or(ZipError::Damaged);
        }
        at = value.saturating_add(usize::from(length));
    }
    Err(ZipError::Damaged)
}

/// Length of the descriptor at the beginning of `bytes`, if one with these values is there: its signature may be
/// missing, its lengths have 8 bytes or 4.
fn descriptor(bytes: &[u8], crc: u32, packed: u64, plain: u64) -> Option<usize> {
    let at = if double(bytes, 0) == Some(DESCRIPTOR) { 4 } else { 0 };
    if double(bytes, at)? != crc {
        return None;
    }
    if quad(bytes, at + 4)? == packed && quad(bytes, at + 12).is_none_or(|length| length == plain) {
        return Some(at + 20);
    }
    let low = |value: u64| u32::try_from(value & u64::from(u32::MAX)).ok();
    let short = double(bytes, at + 4) == low(packed) && double(bytes, at + 8) == low(plain);
    short.then_some(at + 12)
}

#[cfg(test)]
mod tests;
