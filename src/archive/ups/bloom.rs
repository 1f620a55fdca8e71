//! A small filter of the values by which steps are looked for: most steps that do not match are never read.
//!
//! 128 bits a step. A value that is in a step is always found in its filter; one that is not, seldom.

use super::Document;
use super::matching::leaves;

/// Attributes whose values are in the filter, wherever they stand in the step.
const MARKED: &[&str] =
    &["00080050", "0008009C", "00080100", "00100020", "0020000D", "00380010", "00401001", "00741202", "00741204"];

/// Whether values of an attribute are in the filter.
pub(super) fn is_marked(tag: &str) -> bool {
    MARKED.contains(&tag)
}

/// The bits of a value: two of them.
pub(super) fn bits(tag: &str, value: &str) -> u128 {
    // FNV-1a: the filter is kept, so the hash never changes.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in tag.bytes().chain(value.trim().bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (1u128 << (hash >> 57)) | (1u128 << (hash >> 40 & 127))
}

/// The filter of a step.
pub(super) fn marks(document: &Document) -> u128 {
    let mut marks = 0;
    leaves(document, &mut |tag, value| {
        if is_marked(tag) {
            marks |= bits(tag, value);
        }
    });
    marks
}

/// The filter as it is recorded, low half first.
pub(super) fn halves(marks: u128) -> [u64; 2] {
    let half = |shift: u32| u64::try_from(marks >> shift & u128::from(u64::MAX)).unwrap_or_default();
    [half(0), half(64)]
}

/// The filter that was recorded.
pub(super) fn whole([low, high]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}
