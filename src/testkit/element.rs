//! Writes data sets element by element (Explicit VR Little Endian, PS3.5 section 7.1.2).
//!
//! Small on purpose and independent of the archive's own code, so that a test does not prove a mistake
//! with the same mistake. It does not order or check elements: hostile tests need wrong ones.

/// A data set being written.
#[derive(Debug, Default, Clone)]
pub struct DataSet {
    bytes: Vec<u8>,
}

impl DataSet {
    /// An empty data set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// An element with a text value, padded to even length as its VR wants.
    pub fn text(&mut self, tag: u32, vr: &str, value: &str) -> &mut Self {
        let mut value = value.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == "UI" { 0 } else { b' ' });
        }
        self.value(tag, vr, &value)
    }

    /// An element of 16-bit numbers.
    pub fn us(&mut self, tag: u32, value: u16) -> &mut Self {
        self.value(tag, "US", &value.to_le_bytes())
    }

    /// Any element, the value as given.
    pub fn value(&mut self, tag: u32, vr: &str, value: &[u8]) -> &mut Self {
        self.header(tag, vr, value.len());
        self.bytes.extend_from_slice(value);
        self
    }

    /// An element header alone, for lengths that lie.
    pub fn header(&mut self, tag: u32, vr: &str, len: usize) -> &mut Self {
        self.tag(tag);
        self.bytes.extend_from_slice(vr.as_bytes());
        let long = ["OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UN", "UT", "UC", "UR", "SV", "UV"].contains(&vr);
        if long {
            self.bytes.extend_from_slice(&[0, 0]);
            self.bytes.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        } else {
            self.bytes.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
        }
        self
    }

    /// A sequence of one item of undefined length.
    pub fn sequence(&mut self, tag: u32, item: impl FnOnce(&mut DataSet)) -> &mut Self {
        self.header(tag, "SQ", usize::MAX);
        self.item(0xFFFE_E000, u32::MAX);
        item(self);
        self.item(0xFFFE_E00D, 0);
        self.item(0xFFFE_E0DD, 0)
    }

    /// Encapsulated pixel data: an empty offset table and one fragment per frame.
    pub fn encapsulated(&mut self, frames: &[&[u8]]) -> &mut Self {
        self.header(0x7FE0_0010, "OB", usize::MAX);
        self.item(0xFFFE_E000, 0);
        for frame in frames {
            let padding = frame.len() % 2;
            self.item(0xFFFE_E000, u32::try_from(frame.len() + padding).unwrap_or(u32::MAX));
            self.bytes.extend_from_slice(frame);
            self.bytes.resize(self.bytes.len() + padding, 0);
        }
        self.item(0xFFFE_E0DD, 0)
    }

    /// An item or delimiter.
    pub fn item(&mut self, tag: u32, len: u32) -> &mut Self {
        self.tag(tag);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self
    }

    fn tag(&mut self, tag: u32) {
        let [a, b, c, d] = tag.to_be_bytes();
        self.bytes.extend_from_slice(&[b, a, d, c]);
    }
}

/// Preamble and file meta information (PS3.10 section 7.1) for a data set.
pub fn file_meta(sop_class: &str, sop_instance: &str, transfer_syntax: &str) -> Vec<u8> {
    let mut meta = DataSet::new();
    meta.value(0x0002_0001, "OB", &[0, 1])
        .text(0x0002_0002, "UI", sop_class)
        .text(0x0002_0003, "UI", sop_instance)
        .text(0x0002_0010, "UI", transfer_syntax)
        .text(0x0002_0012, "UI", "2.25.80302813137786398554742050926734630921");
    let meta = meta.into_bytes();
    let mut group = DataSet::new();
    group.value(0x0002_0000, "UL", &u32::try_from(meta.len()).unwrap_or(0).to_le_bytes());
    let mut file = vec![0; 128];
    file.extend_from_slice(b"DICM");
    file.extend_from_slice(&group.into_bytes());
    file.extend_from_slice(&meta);
    file
}
