//! What the scanner keeps of a walk: wanted values, the pixel element's place, its fragments, the checksum.

use super::decode::{Kept, decode};
use crate::charset::Charset;
use crate::frames::Found;
use crate::limits::Limits;
use crate::syntax::Coding;
use crate::vr::Vr;
use crate::walk::{Element, Sink};
use model::attribute::{ATTRIBUTES, Kept as Origin};
use model::checksum::crc32c_append;
use model::facility::CharsetHint;
use model::{AttrKey, Attributes, Flag, PixelSpan, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

pub(super) const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
const EXTENDED_OFFSET_TABLE: u32 = 0x7FE0_0001;
/// Items of a sequence that are looked into.
const ITEMS_MAX: u16 = 16;

/// An address and the item it lies in, from 1; 0 outside any sequence.
type Address = (AttrKey, u16);

/// What is worth keeping.
struct Wanted {
    /// Addresses, sorted, with the VR of the table.
    keys: Vec<(AttrKey, Vr)>,
    /// Sequences whose items are looked into, sorted.
    sequences: Vec<u32>,
}

static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
    let extracted = || ATTRIBUTES.iter().filter(|row| row.kept != Origin::Derived);
    let vr = |text: &str| match text.as_bytes() {
        [first, second] => Vr::new([*first, *second]),
        _ => Vr::UN,
    };
    let mut sequences: Vec<u32> = extracted().map(|row| row.key.sequence).filter(|tag| *tag != 0).collect();
    sequences.sort_unstable();
    sequences.dedup();
    let mut keys: Vec<(AttrKey, Vr)> = extracted().map(|row| (row.key, vr(row.vr))).collect();
    keys.push((AttrKey::root(SPECIFIC_CHARACTER_SET), Vr::CS));
    keys.extend(sequences.iter().map(|tag| (AttrKey::nested(*tag, SPECIFIC_CHARACTER_SET), Vr::CS)));
    keys.sort_unstable_by_key(|(key, _)| *key);
    Wanted { keys, sequences }
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    Nothing,
    Value(Address),
    ExtendedOffsets,
    BasicOffsets,
    FragmentStart,
}

#[derive(Debug)]
pub(super) struct ScanSink {
    limits: Limits,
    coding: Coding,
    crc: u32,
    taking: Taking,
    /// Bytes of a number or marker that is being collected, least first.
    partial: [u8; 8],
    partial_len: usize,
    kept: BTreeMap<Address, Kept>,
    kept_bytes: usize,
    /// The root sequence the walk is in, and the item of it.
    sequence: u32,
    item: u16,
    depth: usize,
    pixel: Option<PixelSpan>,
    /// Header and value position of the encapsulated element that is open at root.
    open: Option<(u32, u64, u64)>,
    found: Option<Found>,
    extended: Vec<u64>,
    doubled: bool,
}

impl ScanSink {
    pub(super) fn new(coding: Coding, limits: Limits) -> Self {
        Self {
            limits,
            coding,
            crc: 0,
            taking: Taking::Nothing,
            partial: [0; 8],
            partial_len: 0,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            sequence: 0,
            item: 0,
            depth: 0,
            pixel: None,
            open: None,
            found: None,
            extended: Vec::new(),
            doubled: false,
        }
    }

    pub(super) fn loose_crc(&self) -> u32 {
        self.crc
    }

    pub(super) fn offset_of(&self, key: AttrKey) -> u64 {
        self.kept.get(&(key, 0)).map_or(0, |kept| kept.at)
    }

    /// The pixel element and, when it is encapsulated, what was found inside.
    pub(super) fn take_pixels(&mut self) -> (Option<PixelSpan>, Option<Found>) {
        let mut found = self.found.take();
        if let Some(found) = &mut found {
            found.extended = std::mem::take(&mut self.extended);
        }
        (self.pixel, found)
    }

    /// The kept values as text; those of several items are joined in order of the items, empty where one has none.
    pub(super) fn attributes(&self, hint: CharsetHint, flags: &mut BTreeSet<Flag>) -> Attributes {
        let charsets: BTreeMap<(u32, u16), Charset> = self
            .kept
            .iter()
            .filter(|((key, _), _)| key.tag == SPECIFIC_CHARACTER_SET)
            .map(|((key, item), kept)| ((key.sequence, *item), Charset::new(&kept.bytes, hint)))
            .collect();
        let default = Charset::new(b"", hint);
        let root = charsets.get(&(0, 0)).unwrap_or(&default);
        if self.doubled {
            flags.insert(Flag::TagOrder);
        }
        let mut attributes = Attributes::new();
        let mut last = 0;
        for ((key, item), kept) in &self.kept {
            if key.tag == SPECIFIC_CHARACTER_SET {
                continue;
            }
            let charset = charsets.get(&(key.sequence, *item)).unwrap_or(root);
            let text = decode(kept, charset, flags);
            match attributes.get_mut(key) {
                Some(joined) => {
                    joined.extend((last..*item).map(|_| '\\'));
                    joined.push_str(&text);
                }
                None => {
                    let before = (1..*item).map(|_| '\\').collect::<String>();
                    attributes.insert(*key, before + &text);
                }
            }
            last = *item;
        }
        attributes
    }

    fn wanted(&self, element: &Element) -> Option<(Address, Vr)> {
        let inside = self.sequence != 0 && (1..=ITEMS_MAX).contains(&self.item);
        let (key, item) = match element.depth {
            0 => (AttrKey::root(element.tag), 0),
            1 if inside => (AttrKey::nested(self.sequence, element.tag), self.item),
            _ => return None,
        };
        let at = WANTED.keys.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        WANTED.keys.get(at).map(|(key, vr)| ((*key, item), *vr))
    }

    /// Collects numbers of `width` bytes that may be cut by the pieces.
    fn numbers(&mut self, bytes: &[u8], width: usize) {
        for byte in bytes {
            if let Some(slot) = self.partial.get_mut(self.partial_len) {
                *slot = *byte;
            }
            self.partial_len += 1;
            if self.partial_len == width {
                let mut eight = [0; 8];
                if let (Some(to), Some(from)) = (eight.get_mut(..width), self.partial.get(..width)) {
                    to.copy_from_slice(from);
                }
                if self.coding.big_endian
                    && let Some(number) = eight.get_mut(..width)
                {
                    number.reverse();
                }
                self.partial_len = 0;
                let number = u64::from_le_bytes(eight);
                match &mut self.found {
                    Some(found) if self.taking == Taking::BasicOffsets => found.basic.push(number),
                    _ => self.extended.push(number),
                }
            }
        }
    }

    fn marker(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().take(self.partial.len() - self.partial_len) {
            if let Some(slot) = self.partial.get_mut(self.partial_len) {
                *slot = *byte;
            }
            self.partial_len += 1;
        }
    }
}

impl Sink for ScanSink {
    fn element(&mut self, element: &Element) {
        let len = element.len.unwrap_or(0);
        self.taking = Taking::Nothing;
        if element.pixel {
            let value = Span { at: element.value_at, len };
            let end = element.value_at.saturating_add(len);
            self.pixel = Some(PixelSpan { tag: element.tag, header: element.at, value, end });
            self.found = None;
        } else if element.depth == 0 && element.tag == EXTENDED_OFFSET_TABLE {
            self.extended.clear();
            self.partial_len = 0;
            if len / 8 <= self.limits.fragments {
                self.taking = Taking::ExtendedOffsets;
            }
        } else if let Some((key, vr)) = self.wanted(element) {
            let kept = Kept::new(element, vr);
            self.doubled |= self.kept.insert(key, kept).is_some();
            self.taking = Taking::Value(key);
        }
    }

    fn value(&mut self, bytes: &[u8]) {
        match self.taking {
            Taking::Nothing => {}
            Taking::Value(key) => {
                if let Some(kept) = self.kept.get_mut(&key) {
                    let room = self.limits.kept_value.saturating_sub(kept.bytes.len());
                    let room = room.min(self.limits.kept.saturating_sub(self.kept_bytes));
                    let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
                    kept.cut |= taken.len() < bytes.len();
                    kept.bytes.extend_from_slice(taken);
                    self.kept_bytes += taken.len();
                }
            }
            Taking::ExtendedOffsets => self.numbers(bytes, 8),
            Taking::BasicOffsets => self.numbers(bytes, 4),
            Taking::FragmentStart => self.marker(bytes),
        }
    }

    fn sequence(&mut self, element: &Element) {
        self.taking = Taking::Nothing;
        if element.depth == 0 {
            self.sequence = if WANTED.sequences.binary_search(&element.tag).is_ok() { element.tag } else { 0 };
            self.item = 0;
        }
        self.depth += 1;
    }

    fn item(&mut self) {
        if self.depth == 1 {
            self.item = self.item.saturating_add(1);
        }
    }

    fn sequence_end(&mut self) {
        self.depth -= 1;
    }

    fn fragments(&mut self, element: &Element) {
        self.taking = Taking::Nothing;
        if element.pixel {
            self.open = Some((element.tag, element.at, element.value_at));
            self.found = Some(Found::default());
        }
    }

    fn fragment(&mut self, at: u64, len: u64) {
        self.partial_len = 0;
        self.taking = Taking::Nothing;
        let Some(found) = self.found.as_mut().filter(|_| self.open.is_some()) else {
            return;
        };
        if !found.table_seen {
            found.table_seen = true;
            if len / 4 <= self.limits.fragments {
                self.taking = Taking::BasicOffsets;
            }
        } else {
            found.fragments.push(Span { at, len });
            self.taking = Taking::FragmentStart;
        }
    }

    fn fragment_end(&mut self) {
        if self.taking == Taking::FragmentStart
            && let Some(found) = &mut self.found
        {
            found.starts.push(crate::frames::start_of(self.partial.get(..self.partial_len).unwrap_or_default()));
        }
        self.taking = Taking::Nothing;
    }

    fn fragments_end(&mut self, value_end: u64, end: u64) {
        if let Some((tag, header, at)) = self.open.take() {
            let value = Span { at, len: value_end.saturating_sub(at) };
            self.pixel = Some(PixelSpan { tag, header, value, end });
        }
    }

    fn passed(&mut self, bytes: &[u8], group_length: bool) {
        if !group_length {
            self.crc = crc32c_append(self.crc, bytes);
        }
    }
}

impl Kept {
    fn new(element: &Element, table: Vr) -> Self {
        let len = usize::try_from(element.len.unwrap_or(0)).unwrap_or(usize::MAX);
        Self {
            vr: table,
            written: element.vr,
            coding: element.coding,
            at: element.at,
            bytes: Vec::with_capacity(len.min(64)),
            cut: false,
        }
    }
}
