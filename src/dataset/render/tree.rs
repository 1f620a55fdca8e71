//! The attributes of a data set that rendering reads, kept by tag with their sequences.
//!
//! Everything else passes by; how much is kept is bounded, and a value beyond the bound counts as absent.

use crate::error::ScanError;
use crate::json::Parts;
use crate::limits::Limits;
use crate::syntax::Coding;
use crate::walk::{Element, Sink, Walker};
use std::collections::BTreeMap;

/// Bytes of values kept of one data set: two 16-bit look-up tables of every kind and an overlay of any X-ray image.
const KEPT_MAX: usize = 64 << 20;

/// Sequences whose items are read.
const SEQUENCES: [u32; 15] = [
    0x0008_1115, // Referenced Series
    0x0008_1140, // Referenced Image
    0x0028_3000, // Modality LUT
    0x0028_3010, // VOI LUT
    0x0028_3110, // Softcopy VOI LUT
    0x0028_9132, // Frame VOI LUT
    0x0028_9145, // Pixel Value Transformation
    0x0070_0001, // Graphic Annotation
    0x0070_0008, // Text Object
    0x0070_0009, // Graphic Object
    0x0070_005A, // Displayed Area Selection
    0x0070_0060, // Graphic Layer
    0x2050_0010, // Presentation LUT
    0x5200_9229, // Shared Functional Groups
    0x5200_9230, // Per-frame Functional Groups
];

/// Whether a value is read by rendering.
fn is_read(tag: u32) -> bool {
    match tag >> 16 {
        0x0008 => matches!(
            tag,
            0x0008_0005
                | 0x0008_0008
                | 0x0008_0016
                | 0x0008_0018
                | 0x0008_1150
                | 0x0008_1155
                | 0x0008_1160
                | 0x0008_2144
        ),
        0x0018 => matches!(tag, 0x0018_1063 | 0x0018_1065 | 0x0018_0040 | 0x0018_1600..=0x0018_1624),
        0x0020 => tag == 0x0020_000E,
        0x0028 => !SEQUENCES.contains(&tag),
        0x0070 => matches!(tag, 0x0070_0002..=0x0070_0024 | 0x0070_0041 | 0x0070_0042 | 0x0070_0052..=0x0070_0103),
        0x2050 => tag == 0x2050_0020,
        group => (0x6000..=0x601E).contains(&group) && group % 2 == 0,
    }
}

/// A value as it lies in the data set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Value {
    pub(crate) bytes: Vec<u8>,
    pub(crate) big_endian: bool,
}

impl Value {
    fn coding(&self) -> Coding {
        Coding { implicit: false, big_endian: self.big_endian }
    }

    /// Text of a value in the default repertoire, without padding.
    pub(crate) fn text(&self) -> String {
        let text: String = self.bytes.iter().map(|byte| char::from(*byte)).collect();
        text.trim_matches([' ', '\0']).to_owned()
    }

    /// Decimal and integer strings; what is no finite number is left out.
    pub(crate) fn decimals(&self) -> Vec<f64> {
        let numbers = self.text();
        let parsed = numbers.split('\\').filter_map(|one| one.trim().parse::<f64>().ok());
        parsed.filter(|number| number.is_finite()).collect()
    }

    /// Signed 32-bit words.
    pub(crate) fn longs(&self) -> Vec<i32> {
        self.fours().map(u32::cast_signed).collect()
    }

    /// Real numbers of single precision; those that are none count as zero.
    pub(crate) fn floats(&self) -> Vec<f64> {
        let number = |word: u32| f64::from(f32::from_bits(word));
        self.fours().map(number).map(|number| if number.is_finite() { number } else { 0.0 }).collect()
    }

    /// Real numbers of double precision; those that are none count as zero.
    pub(crate) fn doubles(&self) -> Vec<f64> {
        let words = self.bytes.as_chunks::<8>().0.iter();
        let number =
            |word: &[u8; 8]| if self.big_endian { f64::from_be_bytes(*word) } else { f64::from_le_bytes(*word) };
        words.map(number).map(|number| if number.is_finite() { number } else { 0.0 }).collect()
    }

    fn fours(&self) -> impl Iterator<Item = u32> {
        let words = self.bytes.as_chunks::<4>().0.iter();
        words.map(|word| if self.big_endian { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) })
    }

    /// 16-bit words.
    pub(crate) fn words(&self) -> Vec<u16> {
        (0..self.bytes.len() / 2).map(|at| self.coding().u16(&self.bytes, at * 2)).collect()
    }
}

/// A data set or an item.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    values: BTreeMap<u32, Value>,
    sequences: BTreeMap<u32, Vec<Node>>,
}

impl Node {
    /// A value that is there and not empty.
    pub(crate) fn value(&self, tag: u32) -> Option<&Value> {
        self.values.get(&tag).filter(|value| !value.bytes.is_empty())
    }

    /// The first 16-bit word of a value.
    pub(crate) fn word(&self, tag: u32) -> Option<u16> {
        self.value(tag)?.words().first().copied()
    }

    /// The first number of a decimal or integer string.
    pub(crate) fn decimal(&self, tag: u32) -> Option<f64> {
        self.value(tag)?.decimals().first().copied()
    }

    /// A text.
    pub(crate) fn text(&self, tag: u32) -> Option<String> {
        self.value(tag).map(Value::text).filter(|text| !text.is_empty())
    }

    /// Bytes of all values, with what holding them costs.
    pub(crate) fn size(&self) -> usize {
        let own: usize = self.values.values().map(|value| value.bytes.len() + 64).sum();
        let inner: usize = self.sequences.values().flatten().map(Self::size).sum();
        own + inner
    }

    /// The items of a sequence.
    pub(crate) fn items(&self, tag: u32) -> &[Node] {
        self.sequences.get(&tag).map_or(&[], Vec::as_slice)
    }

    /// The first item of a sequence.
    pub(crate) fn item(&self, tag: u32) -> Option<&Node> {
        self.items(tag).first()
    }

    #[cfg(test)]
    pub(crate) fn with(mut self, tag: u32, bytes: &[u8]) -> Self {
        self.values.insert(tag, Value { bytes: bytes.to_vec(), big_endian: false });
        self
    }
}

/// Reads a scanned data set.
pub(crate) fn read(parts: &Parts<'_>, coding: Coding) -> Result<Node, ScanError> {
    let mut reader = Reader { open: vec![Node::default()], path: Vec::new(), skipped: 0, value: None, kept: 0 };
    let mut walker = Walker::new(coding, Limits::passed());
    walker.feed(parts.before, &mut reader)?;
    if let Some(pixel) = parts.pixel {
        walker = Walker::new(coding, Limits::passed());
        walker.jump(pixel.end);
        walker.feed(parts.after, &mut reader)?;
    }
    walker.finish(&mut reader)?;
    Ok(reader.open.into_iter().next().unwrap_or_default())
}

struct Reader {
    /// The root and the items around the place.
    open: Vec<Node>,
    /// Tags of the open sequences that are read.
    path: Vec<u32>,
    /// Open sequences that are not read, inside each other.
    skipped: usize,
    value: Option<(u32, Value)>,
    kept: usize,
}

impl Sink for Reader {
    fn element(&mut self, element: &Element) {
        let len = usize::try_from(element.len.unwrap_or(0)).unwrap_or(usize::MAX);
        let fits = self.kept.saturating_add(len) <= KEPT_MAX;
        self.value = None;
        if self.skipped == 0 && !element.pixel && fits && is_read(element.tag) {
            self.kept = self.kept.saturating_add(len);
            self.value = Some((element.tag, Value { bytes: Vec::new(), big_endian: element.coding.big_endian }));
        }
    }

    fn value(&mut self, bytes: &[u8]) {
        if let Some((_, value)) = &mut self.value {
            value.bytes.extend_from_slice(bytes);
        }
    }

    fn element_end(&mut self) {
        if let (Some((tag, value)), Some(node)) = (self.value.take(), self.open.last_mut()) {
            node.values.insert(tag, value);
        }
    }

    fn sequence(&mut self, element: &Element) {
        if self.skipped > 0 || !SEQUENCES.contains(&element.tag) {
            self.skipped += 1;
        } else {
            self.path.push(element.tag);
        }
    }

    fn item(&mut self) {
        if self.skipped == 0 {
            self.open.push(Node::default());
        }
    }

    fn item_end(&mut self) {
        if self.skipped > 0 {
            return;
        }
        if let (Some(item), Some(tag)) = (self.open.pop(), self.path.last())
            && let Some(node) = self.open.last_mut()
        {
            node.sequences.entry(*tag).or_default().push(item);
        }
    }

    fn sequence_end(&mut self) {
        if self.skipped > 0 {
            self.skipped -= 1;
        } else {
            self.path.pop();
        }
    }

    fn fragments(&mut self, _element: &Element) {
        self.value = None;
    }
}
