//! Grey pictures: modality transformation, VOI, presentation, in this order (PS3.4 N.2), to bytes of brightness.
//!
//! Up to 16 bits everything becomes one table of every stored value; beyond, each value is worked out.

use super::lut::Lut;
use super::numbers::{byte, real};
use super::reals::Reals;
use super::window::Window;
use crate::pixels::{DecodedFrame, Words};

/// From stored values to values that mean something.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Modality {
    Identity,
    /// Rescale Slope and Intercept.
    Linear {
        slope: f64,
        intercept: f64,
    },
    /// Modality LUT.
    Lut(Lut),
}

impl Modality {
    pub(crate) fn apply(&self, value: i64) -> f64 {
        match self {
            Self::Identity => real(value),
            Self::Linear { slope, intercept } => real(value) * slope + intercept,
            Self::Lut(lut) => f64::from(lut.get(value)),
        }
    }

    /// The same of a value that was stored as a real number, which no table has entries for.
    pub(crate) fn apply_real(&self, value: f64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => value * slope + intercept,
            Self::Identity | Self::Lut(_) => value,
        }
    }

    /// Whether what it gives may be below zero: the next table's first input value is read by it.
    pub(crate) fn may_be_negative(&self, signed: bool) -> bool {
        match self {
            Self::Identity => signed,
            Self::Linear { slope, intercept } => signed || *slope < 0.0 || *intercept < 0.0,
            Self::Lut(_) => false,
        }
    }
}

/// From those values to brightness.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Voi {
    /// None is given: the range of the frame, the whole range of bytes.
    Range,
    /// From the first value, which is black, to the second, which is white.
    Between(f64, f64),
    Window(Window),
    Lut(Lut),
}

/// How a frame's grey values are displayed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grey {
    pub(crate) modality: Modality,
    pub(crate) voi: Voi,
    /// Small values are bright.
    pub(crate) inverse: bool,
    /// Presentation LUT.
    pub(crate) presentation: Option<Lut>,
    /// Stored values that are background.
    pub(crate) padding: Option<(i64, i64)>,
}

impl Grey {
    /// Brightness of every stored value of at most 16 bits; nothing where the frame itself has to be looked at.
    pub(crate) fn table(&self, stored: u8, is_signed: bool) -> Option<Box<[u8; 65_536]>> {
        // Where no window is given the range of a byte is shown whole, and only that one is known beforehand.
        let voi = match &self.voi {
            Voi::Range => return None,
            given => given,
        };
        let entries = 1_u32 << u32::from(stored.clamp(1, 16));
        let value = |word: u32| signed(word, stored, is_signed);
        (stored <= 16).then(|| fill((0..entries).map(|word| self.brightness(value(word), voi))))
    }

    /// Brightness of every pixel.
    pub(crate) fn apply(&self, frame: &DecodedFrame) -> Vec<u8> {
        let voi = match &self.voi {
            Voi::Range => self.range(frame).map_or(Voi::Between(0.0, 1.0), |(low, high)| Voi::Between(low, high)),
            given => given.clone(),
        };
        let shown = |word: u32| self.brightness(signed(word, frame.stored, frame.signed), &voi);
        let entries = 1_u32 << u32::from(frame.stored.clamp(1, 16));
        match &frame.words {
            Words::Eight(words) => {
                let table = fill::<256>((0..entries.min(256)).map(shown));
                words.iter().map(|word| table.get(usize::from(*word)).copied().unwrap_or(0)).collect()
            }
            Words::Sixteen(words) => {
                let table = fill::<65_536>((0..entries).map(shown));
                words.iter().map(|word| table.get(usize::from(*word)).copied().unwrap_or(0)).collect()
            }
            Words::ThirtyTwo(words) => words.iter().map(|word| shown(*word)).collect(),
        }
    }

    fn brightness(&self, stored: i64, voi: &Voi) -> u8 {
        if self.is_padding(stored) { 0 } else { self.shown(self.modality.apply(stored), voi) }
    }

    /// Brightness of a value that means something.
    fn shown(&self, value: f64, voi: &Voi) -> u8 {
        let mut share = match voi {
            Voi::Range => 0.0,
            Voi::Between(low, high) if high > low => ((value - low) / (high - low)).clamp(0.0, 1.0),
            Voi::Between(..) => 0.0,
            Voi::Window(window) => window.apply(value),
            Voi::Lut(lut) => lut.at(value) / lut.top(),
        };
        if let Some(lut) = &self.presentation {
            let last = u16::try_from(lut.len().saturating_sub(1)).unwrap_or(u16::MAX);
            share = lut.at_offset(share * f64::from(last)) / lut.top();
        }
        byte(255.0 * if self.inverse { 1.0 - share } else { share })
    }

    fn is_padding(&self, stored: i64) -> bool {
        self.padding.is_some_and(|(low, high)| (low..=high).contains(&stored))
    }

    /// The range shown where no window is given: of bytes all of it, of more bits what the frame has.
    pub(crate) fn range(&self, frame: &DecodedFrame) -> Option<(f64, f64)> {
        let (low, high) = match frame.stored {
            0..=8 => {
                let top = (1_i64 << frame.stored.clamp(1, 8)) - 1;
                if frame.signed { (-(top + 1) / 2, top / 2) } else { (0, top) }
            }
            _ => self.extent(frame)?,
        };
        if let Modality::Lut(lut) = &self.modality {
            let entries = (low..=high.min(low.saturating_add(65_535))).map(|value| lut.get(value));
            let ends = entries.fold((u16::MAX, 0), |(low, high), entry| (low.min(entry), high.max(entry)));
            return Some((f64::from(ends.0), f64::from(ends.1)));
        }
        let (one, other) = (self.modality.apply(low), self.modality.apply(high));
        Some((one.min(other), one.max(other)))
    }

    /// Brightness of every pixel of a frame of real numbers: what is no number, and padding, is black.
    pub(crate) fn apply_reals(&self, frame: &Reals, padding: Option<(f64, f64)>) -> Vec<u8> {
        let voi = match &self.voi {
            Voi::Range => {
                let range = self.range_of_reals(frame, padding);
                range.map_or(Voi::Between(0.0, 1.0), |(low, high)| Voi::Between(low, high))
            }
            given => given.clone(),
        };
        let shown = |value: &f64| match is_number(*value, padding) {
            true => self.shown(self.modality.apply_real(*value), &voi),
            false => 0,
        };
        frame.values.iter().map(shown).collect()
    }

    /// Smallest and largest real number after the modality transformation.
    pub(crate) fn range_of_reals(&self, frame: &Reals, padding: Option<(f64, f64)>) -> Option<(f64, f64)> {
        let finite = frame.values.iter().filter(|value| value.is_finite() && is_number(**value, padding));
        let values = finite.map(|value| self.modality.apply_real(*value));
        values.fold(None, |ends, value| {
            Some(ends.map_or((value, value), |(low, high): (f64, f64)| (low.min(value), high.max(value))))
        })
    }

    /// Smallest and largest stored value that is no padding.
    fn extent(&self, frame: &DecodedFrame) -> Option<(i64, i64)> {
        let fold = |ends: Option<(i64, i64)>, word: u32| {
            let value = signed(word, frame.stored, frame.signed);
            if self.is_padding(value) {
                return ends;
            }
            Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        };
        match &frame.words {
            Words::Eight(words) => words.iter().fold(None, |ends, word| fold(ends, u32::from(*word))),
            Words::Sixteen(words) => words.iter().fold(None, |ends, word| fold(ends, u32::from(*word))),
            Words::ThirtyTwo(words) => words.iter().fold(None, |ends, word| fold(ends, *word)),
        }
    }
}

/// Whether a real number is one, and no padding.
fn is_number(value: f64, padding: Option<(f64, f64)>) -> bool {
    !value.is_nan() && padding.is_none_or(|(low, high)| !(low..=high).contains(&value))
}

/// A stored value with its sign.
fn signed(word: u32, stored: u8, is_signed: bool) -> i64 {
    let sign = 1_i64 << (u32::from(stored.clamp(1, 32)) - 1);
    let value = i64::from(word);
    if is_signed && value & sign != 0 { value - 2 * sign } else { value }
}

fn fill<const N: usize>(values: impl Iterator<Item = u8>) -> Box<[u8; N]> {
    let mut table = Box::new([0; N]);
    table.iter_mut().zip(values).for_each(|(to, value)| *to = value);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Photometric;
    use crate::render::window::Function;

    fn frame(words: Words, stored: u8, signed: bool) -> DecodedFrame {
        let columns = u32::try_from(words.len()).expect("small");
        let photometric = Photometric::Monochrome2;
        DecodedFrame { rows: 1, columns, samples: 1, stored, signed, photometric, words }
    }

    fn plain(modality: Modality, voi: Voi) -> Grey {
        Grey { modality, voi, inverse: false, presentation: None, padding: None }
    }

    #[test]
    fn a_ct_goes_through_slope_and_window() {
        let window = Window::new(40.0, 400.0, Function::Linear).expect("a window");
        let grey = plain(Modality::Linear { slope: 1.0, intercept: -1024.0 }, Voi::Window(window));
        let words = Words::Sixteen(vec![0, 864, 1064, 1263, 4095]);
        assert_eq!(grey.apply(&frame(words.clone(), 12, false)), [0, 0, 128, 255, 255]);
        let inverse = Grey { inverse: true, ..grey };
        assert_eq!(inverse.apply(&frame(words, 12, false)), [255, 255, 127, 0, 0]);
    }

    #[test]
    fn signs_and_padding_are_heeded() {
        let mut grey = plain(Modality::Identity, Voi::Range);
        let words = Words::Sixteen(vec![0xF830, 0xFFFF, 0, 1]);
        assert_eq!(grey.apply(&frame(words.clone(), 16, true)), [0, 255, 255, 255]);
        // Without the padding of -2000 the range is -1 to 1, and padding stays black even when inverted.
        grey.padding = Some((-2000, -2000));
        assert_eq!(grey.apply(&frame(words.clone(), 16, true)), [0, 0, 128, 255]);
        grey.inverse = true;
        assert_eq!(grey.apply(&frame(words, 16, true)), [0, 255, 128, 0]);
    }

    #[test]
    fn bytes_without_a_window_stay_as_they_are() {
        let grey = plain(Modality::Identity, Voi::Range);
        assert_eq!(grey.apply(&frame(Words::Eight(vec![3, 200, 77]), 8, false)), [3, 200, 77]);
        assert_eq!(grey.apply(&frame(Words::Eight(vec![0, 1]), 1, false)), [0, 255]);
        let flat = frame(Words::Sixteen(vec![7, 7]), 12, false);
        assert_eq!(grey.apply(&flat), [0, 0]);
        let wide = frame(Words::ThirtyTwo(vec![0, 1 << 31, u32::MAX]), 32, false);
        assert_eq!(grey.apply(&wide), [0, 128, 255]);
    }

    #[test]
    fn tables_of_every_stage_apply_one_after_the_other() {
        let lut = |entries: &[u16], bits| Lut::from_entries(entries.to_vec(), 0, bits).expect("a table");
        let mut grey = plain(Modality::Lut(lut(&[2, 1, 0], 8)), Voi::Lut(lut(&[0, 2047, 4095], 12)));
        let words = || frame(Words::Eight(vec![0, 1, 2, 9]), 8, false);
        assert_eq!(grey.apply(&words()), [255, 127, 0, 0]);
        grey.presentation = Some(lut(&[255, 0], 8));
        assert_eq!(grey.apply(&words()), [0, 255, 255, 255]);
    }
}
