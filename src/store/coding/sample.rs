//! Samples as numbers: 8, 16 and 32 bits, with the arithmetic that prediction needs.
//!
//! All arithmetic wraps, so every step can be undone whatever the numbers are. 16 and 32 bit samples are compared
//! as signed numbers, which baseline vector units do fastest; where they were meant unsigned the prediction near
//! the middle of the range is a little worse and still exact to undo.

/// Memory for the samples of a frame, kept from one frame to the next.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    bytes: Room<u8>,
    words: Room<i16>,
    doubles: Room<i32>,
    stored: Vec<u8>,
}

impl Rooms {
    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.bytes() + self.words.bytes() + self.doubles.bytes() + self.stored.capacity()
    }
}

/// Memory for samples of one width: a row, or a band of them, of each channel.
#[derive(Debug, Default)]
pub(super) struct Room<T> {
    /// The rows above, one channel after the other.
    pub(super) above: Vec<T>,
    /// The rows worked on, one channel after the other.
    pub(super) lines: Vec<T>,
    /// The same side by side, as they are stored.
    pub(super) mixed: Vec<T>,
    /// Distances of one row.
    pub(super) row: Vec<T>,
}

impl<T> Room<T> {
    fn bytes(&self) -> usize {
        let rooms = [&self.above, &self.lines, &self.mixed, &self.row];
        rooms.iter().map(|room| room.capacity() * size_of::<T>()).sum()
    }
}

/// A sample of an image.
pub(super) trait Sample: Copy + Default + 'static {
    /// Its width in bytes.
    const BYTES: usize;
    /// What it is computed with where many are computed together: baseline vector units are poor at single bytes,
    /// which become numbers from -128 to 127 of 16 bits.
    type Wide: Sample;
    /// The sample as a wide number.
    fn widen(self) -> Self::Wide;
    /// A distance, to be added to wide numbers.
    fn distance(self) -> Self::Wide;
    /// A sum of wide numbers brought back into their range.
    fn wrap(wide: Self::Wide) -> Self::Wide;
    /// The sample of a wide number.
    fn narrow(wide: Self::Wide) -> Self;
    /// The memory for samples of this width, and for their bytes.
    fn room(rooms: &mut Rooms) -> (&mut Room<Self>, &mut Vec<u8>);
    /// `self + other`, wrapping.
    fn plus(self, other: Self) -> Self;
    /// `self - other`, wrapping.
    fn minus(self, other: Self) -> Self;
    /// The smaller one.
    fn least(self, other: Self) -> Self;
    /// The larger one.
    fn most(self, other: Self) -> Self;
    /// Half way from `self` to `other`, rounded down.
    fn middle(self, other: Self) -> Self;
    /// Small numbers of either sign become small unsigned ones: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4.
    fn fold(self) -> Self;
    /// Undoes [`Sample::fold`].
    fn unfold(self) -> Self;
    /// Bits needed to write the folded number.
    fn bits(self) -> u32;
    /// Reads samples; both hold the same number.
    fn load(bytes: &[u8], big_endian: bool, samples: &mut [Self]);
    /// Writes samples; both hold the same number.
    fn store(samples: &[Self], big_endian: bool, bytes: &mut [u8]);
    /// Appends one byte of every sample to the plane of that byte, lowest first; each plane takes `samples.len()`.
    fn split(samples: &[Self], planes: [&mut [u8]; 4]);
    /// Undoes [`Sample::split`].
    fn join(planes: [&[u8]; 4], samples: &mut [Self]);
}

macro_rules! numbers {
    ($kind:ty, $room:ident) => {
        const BYTES: usize = size_of::<$kind>();

        fn room(rooms: &mut Rooms) -> (&mut Room<Self>, &mut Vec<u8>) {
            (&mut rooms.$room, &mut rooms.stored)
        }

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            self.wrapping_add(other)
        }

        #[inline(always)]
        fn minus(self, other: Self) -> Self {
            self.wrapping_sub(other)
        }

        #[inline(always)]
        fn least(self, other: Self) -> Self {
            self.min(other)
        }

        #[inline(always)]
        fn most(self, other: Self) -> Self {
            self.max(other)
        }

        fn load(bytes: &[u8], big_endian: bool, samples: &mut [Self]) {
            let (pairs, _) = bytes.as_chunks::<{ size_of::<$kind>() }>();
            if big_endian {
                samples.iter_mut().zip(pairs).for_each(|(sample, bytes)| *sample = Self::from_be_bytes(*bytes));
            } else {
                samples.iter_mut().zip(pairs).for_each(|(sample, bytes)| *sample = Self::from_le_bytes(*bytes));
            }
        }

        fn store(samples: &[Self], big_endian: bool, bytes: &mut [u8]) {
            let (pairs, _) = bytes.as_chunks_mut::<{ size_of::<$kind>() }>();
            if big_endian {
                samples.iter().zip(pairs).for_each(|(sample, bytes)| *bytes = sample.to_be_bytes());
            } else {
                samples.iter().zip(pairs).for_each(|(sample, bytes)| *bytes = sample.to_le_bytes());
            }
        }
    };
}

impl Sample for u8 {
    numbers!(u8, bytes);

    type Wide = i16;

    #[inline(always)]
    fn widen(self) -> i16 {
        i16::from(self) - 128
    }

    #[inline(always)]
    fn distance(self) -> i16 {
        i16::from(self)
    }

    #[inline(always)]
    fn wrap(wide: i16) -> i16 {
        (wide << 8) >> 8
    }

    #[inline(always)]
    fn narrow(wide: i16) -> Self {
        let [low, _] = wide.wrapping_add(128).to_le_bytes();
        low
    }

    #[inline(always)]
    fn middle(self, other: Self) -> Self {
        // Half the sum without a ninth bit.
        (self & other) + ((self ^ other) >> 1)
    }

    #[inline(always)]
    fn fold(self) -> Self {
        let signed = self.cast_signed();
        ((signed << 1) ^ (signed >> 7)).cast_unsigned()
    }

    #[inline(always)]
    fn unfold(self) -> Self {
        (self >> 1) ^ (self & 1).wrapping_neg()
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        8 - self.leading_zeros()
    }

    fn split(samples: &[Self], [plane, ..]: [&mut [u8]; 4]) {
        plane.iter_mut().zip(samples).for_each(|(byte, sample)| *byte = *sample);
    }

    fn join([plane, ..]: [&[u8]; 4], samples: &mut [Self]) {
        samples.iter_mut().zip(plane).for_each(|(sample, byte)| *sample = *byte);
    }
}

impl Sample for i16 {
    numbers!(i16, words);

    type Wide = Self;

    #[inline(always)]
    fn widen(self) -> Self {
        self
    }

    #[inline(always)]
    fn distance(self) -> Self {
        self
    }

    #[inline(always)]
    fn wrap(wide: Self) -> Self {
        wide
    }

    #[inline(always)]
    fn narrow(wide: Self) -> Self {
        wide
    }

    #[inline(always)]
    fn middle(self, other: Self) -> Self {
        self.wrapping_add(other.wrapping_sub(self) >> 1)
    }

    #[inline(always)]
    fn fold(self) -> Self {
        (self << 1) ^ (self >> 15)
    }

    #[inline(always)]
    fn unfold(self) -> Self {
        (self.cast_unsigned() >> 1).cast_signed() ^ (self & 1).wrapping_neg()
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        16 - self.leading_zeros()
    }

    fn split(samples: &[Self], [low, high, ..]: [&mut [u8]; 4]) {
        for ((low, high), sample) in low.iter_mut().zip(high).zip(samples) {
            [*low, *high] = sample.to_le_bytes();
        }
    }

    fn join([low, high, ..]: [&[u8]; 4], samples: &mut [Self]) {
        for ((sample, low), high) in samples.iter_mut().zip(low).zip(high) {
            *sample = Self::from_le_bytes([*low, *high]);
        }
    }
}

impl Sample for i32 {
    numbers!(i32, doubles);

    type Wide = Self;

    #[inline(always)]
    fn widen(self) -> Self {
        self
    }

    #[inline(always)]
    fn distance(self) -> Self {
        self
    }

    #[inline(always)]
    fn wrap(wide: Self) -> Self {
        wide
    }

    #[inline(always)]
    fn narrow(wide: Self) -> Self {
        wide
    }

    #[inline(always)]
    fn middle(self, other: Self) -> Self {
        self.wrapping_add(other.wrapping_sub(self) >> 1)
    }

    #[inline(always)]
    fn fold(self) -> Self {
        (self << 1) ^ (self >> 31)
    }

    #[inline(always)]
    fn unfold(self) -> Self {
        (self.cast_unsigned() >> 1).cast_signed() ^ (self & 1).wrapping_neg()
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        32 - self.leading_zeros()
    }

    fn split(samples: &[Self], [first, second, third, fourth]: [&mut [u8]; 4]) {
        let planes = first.iter_mut().zip(second).zip(third).zip(fourth);
        for ((((a, b), c), d), sample) in planes.zip(samples) {
            [*a, *b, *c, *d] = sample.to_le_bytes();
        }
    }

    fn join([first, second, third, fourth]: [&[u8]; 4], samples: &mut [Self]) {
        let planes = first.iter().zip(second).zip(third).zip(fourth);
        for (sample, (((a, b), c), d)) in samples.iter_mut().zip(planes) {
            *sample = Self::from_le_bytes([*a, *b, *c, *d]);
        }
    }
}
