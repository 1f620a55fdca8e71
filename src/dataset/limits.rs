//! The bounds of one data set, each with a name.

/// How large the parts of a data set may be before it is refused.
/// The defaults are far above what devices send; they keep a hostile sender from costing its neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sequences inside each other.
    pub nesting: usize,
    /// Elements in all, items and fragments included.
    pub elements: u64,
    /// Items of one sequence.
    pub items: u64,
    /// Bytes of one text value.
    pub text_value: u64,
    /// Bytes of one other value outside the pixel data.
    pub value: u64,
    /// Bytes of everything but the pixel data element's value: they are read into memory for metadata.
    pub head: u64,
    /// Fragments of encapsulated pixel data, and entries of its offset tables.
    pub fragments: u64,
    /// Bytes of a deflated data set once inflated.
    pub inflated: u64,
    /// Inflated bytes per deflated byte, looked at beyond [`Limits::inflated_free`].
    pub inflated_ratio: u64,
    /// Inflated bytes for which the ratio is not looked at: empty masks deflate a thousandfold.
    pub inflated_free: u64,
    /// Bytes kept of one value for the index; the rest of a longer value is not found by.
    pub kept_value: usize,
    /// Bytes kept of all values for the index together.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nesting: 64,
            elements: 2_000_000,
            items: 65_536,
            text_value: 8 << 20,
            value: 64 << 20,
            head: 256 << 20,
            fragments: 1 << 20,
            inflated: 4 << 30,
            inflated_ratio: 64,
            inflated_free: 16 << 20,
            kept_value: 16 << 10,
            kept: 1 << 20,
        }
    }
}

impl Limits {
    /// No bounds: for bytes that the scanner has passed, under whatever limits it had then.
    pub(crate) fn passed() -> Self {
        Self {
            nesting: usize::MAX,
            elements: u64::MAX,
            items: u64::MAX,
            text_value: u64::MAX,
            value: u64::MAX,
            head: u64::MAX,
            fragments: u64::MAX,
            inflated: u64::MAX,
            inflated_ratio: u64::MAX,
            inflated_free: u64::MAX,
            kept_value: usize::MAX,
            kept: usize::MAX,
        }
    }
}
