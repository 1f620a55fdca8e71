//! Where the frames lie in a stored file, and how the file is cut so that each is one piece.

use super::{PIECE_MAX, SMALL_FRAME, WINDOW};
use model::{Frames, Layout, Span};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Longest piece of an encapsulated frame: videos are one frame and read by ranges.
const FRAGMENT_MAX: u64 = 1 << 20;

/// Where the frames lie; positions count from the first byte of the Part 10 file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FramePlaces {
    /// No frames, or none that lie in the file as it is stored (deflated data sets).
    #[default]
    None,
    /// Native pixel data: frame `n` (from 0) starts `n × bits` bits after byte `at`.
    Native {
        /// First byte of the first frame.
        at: u64,
        /// Number of frames.
        count: u32,
        /// Bits of one frame.
        bits: u64,
    },
    /// Encapsulated pixel data.
    Encapsulated {
        /// Every fragment's value, without item header.
        fragments: Vec<Span>,
        /// For each frame the index of its first fragment; none when every fragment is one frame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        starts: Option<Vec<u32>>,
    },
}

/// A part of the file that is stored, checked and read as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Length in bytes.
    pub(super) len: usize,
    /// Whether it is native pixel data.
    pub(super) pixels: bool,
}

impl FramePlaces {
    /// The places of a scanned instance whose data set begins at byte `meta_len` of the file; none when positions
    /// overflow. Not for deflated data sets, whose layout counts in inflated bytes.
    pub fn of(layout: &Layout, meta_len: u32) -> Self {
        let base = u64::from(meta_len);
        match (&layout.frames, &layout.pixel) {
            (Frames::Native { count, bits }, Some(pixel)) => pixel
                .value
                .at
                .checked_add(base)
                .map_or(Self::None, |at| Self::Native { at, count: *count, bits: *bits }),
            (Frames::Encapsulated { fragments, starts }, _) => {
                let moved = fragments.iter().map(|span| Some(Span { at: span.at.checked_add(base)?, len: span.len }));
                moved
                    .collect::<Option<Vec<_>>>()
                    .map_or(Self::None, |fragments| Self::Encapsulated { fragments, starts: starts.clone() })
            }
            _ => Self::None,
        }
    }

    /// Number of frames.
    pub fn count(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Native { count, .. } => *count,
            Self::Encapsulated { fragments, starts } => {
                u32::try_from(starts.as_ref().map_or(fragments.len(), Vec::len)).unwrap_or(u32::MAX)
            }
        }
    }

    /// The bytes of frame `number` (from 0) in the file, one span for each fragment, and the bits of the first byte
    /// that belong to the frame before; `None` when there is no such frame.
    pub fn place(&self, number: u32) -> Option<(Vec<Span>, u8)> {
        if number >= self.count() {
            return None;
        }
        match self {
            Self::None => None,
            Self::Native { at, bits, .. } => {
                let start = u64::from(number).checked_mul(*bits)?;
                let end = start.checked_add(*bits)?.div_ceil(8);
                let span = Span { at: at.checked_add(start / 8)?, len: end - start / 8 };
                Some((vec![span], u8::try_from(start % 8).ok()?))
            }
            Self::Encapsulated { fragments, starts } => {
                let number = usize::try_from(number).ok()?;
                let (first, end) = match starts {
                    None => (number, number + 1),
                    Some(starts) => {
                        let first = usize::try_from(*starts.get(number)?).ok()?;
                        let next = starts.get(number + 1).map(|next| usize::try_from(*next).ok());
                        (first, next.unwrap_or(Some(fragments.len()))?)
                    }
                };
                Some((fragments.get(first..end)?.to_vec(), 0))
            }
        }
    }

    /// Whether all frames lie, in order, in a file of this length.
    pub(super) fn fit(&self, file_len: u64) -> bool {
        match self {
            Self::None => true,
            Self::Native { at, count, bits } => u64::from(*count)
                .checked_mul(*bits)
                .and_then(|bits| at.checked_add(bits.div_ceil(8)))
                .is_some_and(|end| end <= file_len),
            Self::Encapsulated { fragments, starts } => {
                let mut end = 0u64;
                let ordered = fragments.iter().all(|span| {
                    let fits = span.at.checked_sub(8).is_some_and(|header| header >= end);
                    let next = span.at.checked_add(span.len);
                    end = next.unwrap_or(u64::MAX);
                    fits && end <= file_len
                });
                let rising = |starts: &Vec<u32>| {
                    starts.is_sorted_by(|a, b| a < b)
                        && starts.last().is_none_or(|last| (*last as u64) < fragments.len() as u64)
                };
                ordered && starts.as_ref().is_none_or(rising)
            }
        }
    }

    /// Whether this is pixel data that was compressed by its sender.
    pub(super) fn is_encapsulated(&self) -> bool {
        matches!(self, Self::Encapsulated { .. })
    }

    /// Cuts a file in which the frames fit. `row` is the length of a row of pixels where it is known.
    pub(super) fn cuts(&self, file_len: u64, row: Option<u64>) -> Vec<Cut> {
        let mut cuts = Cuts { at: 0, cuts: Vec::new() };
        match self {
            Self::Native { at, count, bits } if bits % 8 == 0 && *bits > 0 => {
                cuts.windows(*at);
                let (frame, end) = (bits / 8, at + u64::from(*count) * (bits / 8));
                let step = if frame < SMALL_FRAME { WINDOW / frame * frame } else { frame };
                // A frame too large for one piece is cut between rows, so that each part can be filtered.
                let row = row.filter(|row| (1..=PIECE_MAX).contains(row)).unwrap_or(PIECE_MAX);
                while cuts.at < end {
                    let stop = cuts.at + step.min(end - cuts.at);
                    cuts.steps(stop, PIECE_MAX / row * row, true);
                }
            }
            // Frames that do not begin at a byte share their bytes.
            Self::Native { at, count, bits } => {
                cuts.windows(*at);
                cuts.steps(at + (u64::from(*count) * bits).div_ceil(8), WINDOW, true);
            }
            Self::Encapsulated { .. } => {
                for frame in self.runs() {
                    cuts.windows(frame.start);
                    cuts.steps(frame.end, FRAGMENT_MAX, false);
                }
            }
            Self::None => {}
        }
        cuts.windows(file_len);
        cuts.cuts
    }

    /// The frames with their item headers, small neighbours together.
    fn runs(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for number in 0..self.count() {
            let Some((spans, _)) = self.place(number) else { continue };
            let (Some(first), Some(last)) = (spans.first(), spans.last()) else { continue };
            let run = first.at.saturating_sub(8)..last.at + last.len;
            let small = |run: &Range<u64>| run.end - run.start < SMALL_FRAME;
            match runs.last_mut() {
                Some(before) if small(&run) && before.end == run.start && run.end - before.start <= WINDOW => {
                    before.end = run.end;
                }
                _ => runs.push(run),
            }
        }
        runs
    }
}

/// Cuts made so far.
struct Cuts {
    at: u64,
    cuts: Vec<Cut>,
}

impl Cuts {
    /// Up to `end` in windows.
    fn windows(&mut self, end: u64) {
        self.steps(end, WINDOW, false);
    }

    /// Up to `end` in steps.
    fn steps(&mut self, end: u64, step: u64, pixels: bool) {
        while self.at < end {
            let len = step.min(end - self.at);
            self.cuts.push(Cut { len: usize::try_from(len).unwrap_or(usize::MAX), pixels });
            self.at += len;
        }
    }
}
