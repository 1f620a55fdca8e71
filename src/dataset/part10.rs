//! File meta information (PS3.10 section 7.1): written for what came by C-STORE, read for what came as a file.
//!
//! Reading tolerates what files in the field lack: the preamble, the prefix, a right group length, or all of it;
//! then the transfer syntax is told from the first element.
//! Nothing past the meta information is looked at, except that first element.

#[cfg(test)]
mod tests;

use crate::error::ScanError;
use crate::syntax::{Coding, DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, Syntax};
use crate::vr::Vr;
use crate::walk::as_u64;
use model::Uid;

/// Implementation Class UID (0002,0012) of the archive, derived from a UUID (PS3.5 Annex B.2).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.142380453127150881176094049525605216147";

/// Implementation Version Name (0002,0013) of the archive.
pub const IMPLEMENTATION_VERSION_NAME: &str = "KHOANH_1";

/// Largest preamble and file meta information in bytes.
pub const META_LIMIT: usize = 64 << 10;

const PREAMBLE: usize = 128;
const TRANSFER_SYNTAX: u32 = 0x0002_0010;

/// Preamble, prefix and group 0002 for a data set that came without: always the same bytes for the same UIDs.
/// No AE title and no time is written, so the same instance from two senders is the same file.
pub fn file_meta(sop_class: &Uid, sop_instance: &Uid, transfer_syntax: &Uid) -> Vec<u8> {
    let mut group = Vec::with_capacity(256);
    group.extend_from_slice(&[0x02, 0x00, 0x01, 0x00, b'O', b'B', 0, 0, 2, 0, 0, 0, 0x00, 0x01]);
    let mut put = |element: u16, vr: &[u8; 2], text: &str, pad: u8| {
        group.extend_from_slice(&[0x02, 0x00]);
        group.extend_from_slice(&element.to_le_bytes());
        group.extend_from_slice(vr);
        let len = u16::try_from(text.len().next_multiple_of(2)).unwrap_or(u16::MAX);
        group.extend_from_slice(&len.to_le_bytes());
        group.extend_from_slice(text.as_bytes());
        if text.len() % 2 == 1 {
            group.push(pad);
        }
    };
    put(0x0002, b"UI", sop_class.as_str(), 0);
    put(0x0003, b"UI", sop_instance.as_str(), 0);
    put(0x0010, b"UI", transfer_syntax.as_str(), 0);
    put(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, 0);
    put(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b' ');
    let mut file = vec![0; PREAMBLE];
    file.extend_from_slice(b"DICM\x02\x00\x00\x00UL\x04\x00");
    file.extend_from_slice(&u32::try_from(group.len()).unwrap_or(u32::MAX).to_le_bytes());
    file.extend_from_slice(&group);
    file
}

/// What stands before a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Bytes before the data set; 0 when there are none.
    pub len: u32,
    /// Transfer syntax of the data set: as written, else as told from its first element.
    pub transfer_syntax: Uid,
    /// Media Storage SOP Class UID (0002,0002), if it is there and a UID.
    pub media_sop_class: Option<Uid>,
    /// Media Storage SOP Instance UID (0002,0003), if it is there and a UID.
    pub media_sop_instance: Option<Uid>,
    /// Preamble, prefix, group 0002 or its transfer syntax was missing.
    pub missing: bool,
}

enum Step {
    /// Nothing can be said before so many bytes are there.
    Need(usize),
    Done(Meta),
}

/// Reads what stands before the data set: feed it from the first byte of the file.
#[derive(Debug)]
pub struct Part10 {
    default_syntax: Option<Uid>,
    bytes: Vec<u8>,
    need: usize,
    meta: Option<Meta>,
}

impl Part10 {
    /// A reader; `default_syntax` is what the sender said elsewhere, for files that do not say it themselves.
    pub fn new(default_syntax: Option<&Uid>) -> Self {
        Self { default_syntax: default_syntax.cloned(), bytes: Vec::new(), need: PREAMBLE + 12, meta: None }
    }

    /// Takes the next piece; gives the meta information once it is complete.
    /// All bytes fed so far, those of the data set included, are then in [`Part10::into_bytes`].
    pub fn feed(&mut self, piece: &[u8]) -> Result<Option<&Meta>, ScanError> {
        self.bytes.extend_from_slice(piece);
        if self.meta.is_none() && self.bytes.len() >= self.need {
            self.step(false)?;
        }
        Ok(self.meta.as_ref())
    }

    /// Says that the file is over: short files are told by what is there.
    pub fn finish(&mut self) -> Result<&Meta, ScanError> {
        if self.meta.is_none() {
            self.step(true)?;
        }
        self.meta.as_ref().ok_or_else(|| framing(self.bytes.len(), 0, "the file ends inside the file meta information"))
    }

    /// Every byte fed: the meta information, then the beginning of the data set.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn step(&mut self, over: bool) -> Result<(), ScanError> {
        match self.read(over)? {
            Step::Done(meta) => self.meta = Some(meta),
            Step::Need(need) => self.need = need,
        }
        Ok(())
    }

    fn read(&self, over: bool) -> Result<Step, ScanError> {
        let from = |at: usize| self.bytes.get(at..).unwrap_or_default();
        let start = if from(PREAMBLE).starts_with(b"DICM\x02\x00") {
            PREAMBLE + 4
        } else if from(0).starts_with(b"DICM\x02\x00") {
            4
        } else if from(0).starts_with(b"\x02\x00") && letters(from(0)).is_known() {
            0
        } else if let Some(coding) = sniff(from(0)) {
            return Ok(Step::Done(self.without_meta(0, coding)?));
        } else if from(PREAMBLE).starts_with(b"DICM")
            && let Some(coding) = sniff(from(PREAMBLE + 4))
        {
            return Ok(Step::Done(self.without_meta(PREAMBLE + 4, coding)?));
        } else {
            return Err(framing(0, 0, "neither file meta information nor a data set begins here"));
        };
        self.group(start, over)
    }

    fn without_meta(&self, len: usize, coding: Coding) -> Result<Meta, ScanError> {
        Ok(Meta {
            len: u32::try_from(len).unwrap_or(u32::MAX),
            transfer_syntax: self.syntax_for(coding)?,
            media_sop_class: None,
            media_sop_instance: None,
            missing: true,
        })
    }

    /// What the sender said elsewhere if it agrees with the bytes, else what the bytes say.
    fn syntax_for(&self, coding: Coding) -> Result<Uid, ScanError> {
        if let Some(said) = &self.default_syntax
            && Syntax::of(said.as_str()).coding == coding
        {
            return Ok(said.clone());
        }
        let text = match coding {
            Coding::IMPLICIT => IMPLICIT_LE,
            Coding::BIG => EXPLICIT_BE,
            _ => EXPLICIT_LE,
        };
        Uid::parse(text).map_err(|_| framing(0, TRANSFER_SYNTAX, "the transfer syntax cannot be told"))
    }

    /// Walks the elements of group 0002; its length element is not trusted.
    fn group(&self, start: usize, over: bool) -> Result<Step, ScanError> {
        let (mut at, mut said_end) = (start, None);
        let (mut syntax, mut class, mut instance) = (None, None, None);
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let ended = said_end == Some(at) && syntax.as_ref().is_some_and(|uid: &Uid| uid.as_str() == DEFLATED_LE);
            let group = rest.first_chunk::<2>();
            if ended || group.is_some_and(|group| *group != [2, 0]) || (over && rest.is_empty()) {
                break;
            }
            if at > META_LIMIT {
                return Err(bound(at, 0, at));
            }
            let Some((tag, value_at, len)) = element(rest, at) else {
                return if over {
                    Err(framing(at, 0, "the file ends inside an element header"))
                } else {
                    Ok(Step::Need(at + 12))
                };
            };
            if len > META_LIMIT {
                return Err(bound(at, tag, len));
            }
            let Some(value) = self.bytes.get(value_at..value_at + len) else {
                return if over {
                    Err(framing(at, tag, "the file ends inside a value"))
                } else {
                    Ok(Step::Need(value_at + len))
                };
            };
            let as_uid = || std::str::from_utf8(value).ok().and_then(|text| Uid::parse(text).ok());
            at = value_at + len;
            match tag {
                0x0002_0000 => {
                    said_end = usize::try_from(Coding::EXPLICIT.u32(value, 0)).ok().and_then(|len| at.checked_add(len))
                }
                0x0002_0002 => class = as_uid(),
                0x0002_0003 => instance = as_uid(),
                TRANSFER_SYNTAX => syntax = as_uid(),
                _ => {}
            }
        }
        let missing = start != PREAMBLE + 4 || syntax.is_none();
        let transfer_syntax = match syntax {
            Some(syntax) => syntax,
            None => match sniff(self.bytes.get(at..).unwrap_or_default()) {
                Some(coding) => self.syntax_for(coding)?,
                None if !over && self.bytes.len() < at + 8 => return Ok(Step::Need(at + 8)),
                None => return Err(framing(at, TRANSFER_SYNTAX, "the transfer syntax is missing and cannot be told")),
            },
        };
        let len = u32::try_from(at).unwrap_or(u32::MAX);
        Ok(Step::Done(Meta { len, transfer_syntax, media_sop_class: class, media_sop_instance: instance, missing }))
    }
}

/// Tag, absolute value position and length of a group 0002 element; `None` when the header is not wholly there.
fn element(rest: &[u8], at: usize) -> Option<(u32, usize, usize)> {
    let (coding, head) = (Coding::EXPLICIT, rest.first_chunk::<8>()?);
    let vr = letters(head);
    let (header, len) = if vr.is_long() {
        (12, coding.u32(rest.first_chunk::<12>()?, 8))
    } else if vr.is_letters() {
        (8, u32::from(coding.u16(head, 6)))
    } else {
        (8, coding.u32(head, 4))
    };
    Some((coding.tag(head, 0), at.checked_add(header)?, usize::try_from(len).ok()?))
}

fn letters(head: &[u8]) -> Vr {
    match head {
        [_, _, _, _, first, second, ..] => Vr::new([*first, *second]),
        _ => Vr::new([0, 0]),
    }
}

/// The coding of a data set by its first element, which lies in one of the first standard groups.
fn sniff(bytes: &[u8]) -> Option<Coding> {
    let head = bytes.first_chunk::<8>()?;
    let plausible = |coding: Coding| {
        let group = coding.tag(head, 0) >> 16;
        group.is_multiple_of(2) && (0x0004..=0x0028).contains(&group)
    };
    if letters(head).is_known() {
        return [Coding::EXPLICIT, Coding::BIG].into_iter().find(|coding| plausible(*coding));
    }
    // A first element is a group length, a UID, a character set: short.
    let short = Coding::IMPLICIT.u32(head, 4) <= 4096;
    (short && plausible(Coding::IMPLICIT)).then_some(Coding::IMPLICIT)
}

fn framing(offset: usize, tag: u32, what: &'static str) -> ScanError {
    ScanError::Framing { offset: as_u64(offset), tag, what }
}

fn bound(offset: usize, tag: u32, found: usize) -> ScanError {
    ScanError::Bound {
        offset: as_u64(offset),
        tag,
        limit: "META_LIMIT",
        allowed: as_u64(META_LIMIT),
        found: as_u64(found),
    }
}
