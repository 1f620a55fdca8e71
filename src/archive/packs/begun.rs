//! Pieces of packs that somebody has read a part of: what comes next is taken from memory.
//!
//! A piece, mostly a frame, is stored, checked and decoded as one, and whoever reads an object window by window would
//! have it read and decoded anew for each of them. It is kept from the first part to the last; those that nobody reads
//! on make room for others, oldest first. Deliberately no cache of what was read: that is the system's.

use super::OpenPack;
use model::PackId;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::pack::PackError;

/// Memory for them in bytes: one of the longest there are.
const BYTES_MAX: usize = 64 << 20;
/// Shorter ones are read again.
const LEAST: u64 = 128 << 10;

/// The pack, the slot of the instance, and the place in its file where the piece begins.
type Key = (PackId, usize, u64);

/// The pieces.
pub(super) struct Begun {
    /// The one that was read longest ago first.
    pieces: Mutex<VecDeque<(Key, Arc<Vec<u8>>)>>,
    /// How often packs were forgotten: what was read before may be destroyed, and is not kept.
    forgotten: AtomicU64,
    bytes_max: usize,
}

impl Default for Begun {
    fn default() -> Self {
        Self::new(BYTES_MAX)
    }
}

impl Begun {
    fn new(bytes_max: usize) -> Self {
        Self { pieces: Mutex::new(VecDeque::new()), forgotten: AtomicU64::new(0), bytes_max }
    }

    /// The bytes `range` of the instance in a slot of a pack.
    pub(super) fn range(
        &self,
        id: PackId,
        pack: &OpenPack,
        slot: usize,
        range: Range<u64>,
    ) -> Result<Vec<u8>, PackError> {
        let Some(last) = range.end.checked_sub(1).filter(|_| !range.is_empty()) else {
            return pack.range(slot, range);
        };
        // The piece around a byte, where it is long and not all of it is asked for.
        let cut = |at: u64| -> Result<Option<Range<u64>>, PackError> {
            let piece = pack.piece_at(slot, at)?.filter(|piece| piece.end - piece.start >= LEAST);
            Ok(piece.filter(|piece| piece.start < range.start || piece.end > range.end))
        };
        let first = cut(range.start)?;
        let last = cut(last)?.filter(|piece| first.as_ref() != Some(piece));
        if first.is_none() && last.is_none() {
            return pack.range(slot, range);
        }
        let middle = first.as_ref().map_or(range.start, |piece| piece.end.min(range.end));
        let middle = middle..last.as_ref().map_or(range.end, |piece| piece.start);
        let mut bytes = Vec::new();
        if let Some(piece) = first {
            self.part((id, slot, piece.start), pack, &piece, &range, &mut bytes)?;
        }
        if !middle.is_empty() {
            bytes.append(&mut pack.range(slot, middle)?);
        }
        if let Some(piece) = last {
            self.part((id, slot, piece.start), pack, &piece, &range, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// Appends what of a piece lies in a range.
    fn part(
        &self,
        key: Key,
        pack: &OpenPack,
        piece: &Range<u64>,
        range: &Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), PackError> {
        let before = self.forgotten.load(Ordering::SeqCst);
        let whole = match self.get(&key) {
            Some(whole) => whole,
            None => Arc::new(pack.range(key.1, piece.clone())?),
        };
        let (from, to) = (range.start.max(piece.start) - piece.start, range.end.min(piece.end) - piece.start);
        let place = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        let part = place.and_then(|(from, to)| whole.get(from..to));
        out.extend_from_slice(part.ok_or(PackError::Missing { what: "byte", asked: range.end })?);
        if range.end < piece.end {
            self.keep(key, &whole, before);
        } else {
            self.done(&key);
        }
        Ok(())
    }

    /// A piece that is kept; from then on the one read last.
    fn get(&self, key: &Key) -> Option<Arc<Vec<u8>>> {
        let mut pieces = self.pieces.lock();
        let at = pieces.iter().position(|(known, _)| known == key)?;
        let piece = pieces.remove(at)?;
        let bytes = Arc::clone(&piece.1);
        pieces.push_back(piece);
        Some(bytes)
    }

    /// Keeps a piece of which more will be read, unless a pack was forgotten since the count was `before`.
    fn keep(&self, key: Key, bytes: &Arc<Vec<u8>>, before: u64) {
        let mut pieces = self.pieces.lock();
        if self.forgotten.load(Ordering::SeqCst) != before {
            return;
        }
        pieces.retain(|(known, _)| *known != key);
        pieces.push_back((key, Arc::clone(bytes)));
        let mut sum: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        while sum > self.bytes_max {
            let Some((_, bytes)) = pieces.pop_front() else { return };
            sum = sum.saturating_sub(bytes.len());
        }
    }

    /// A piece was read to its end.
    fn done(&self, key: &Key) {
        self.pieces.lock().retain(|(known, _)| known != key);
    }

    /// Nothing of a pack stays.
    pub(super) fn forget(&self, pack: PackId) {
        let mut pieces = self.pieces.lock();
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        pieces.retain(|((known, _, _), _)| *known != pack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Digest, FacilityCode, Uid};
    use sha2::{Digest as _, Sha256};
    use std::io;
    use store::ReadAt;
    use store::coding::PixelLayout;
    use store::pack::{FramePlaces, InstanceIn, Pack, PackAbout, PackWriter};

    /// Bytes that count what is read of them.
    struct Counting {
        bytes: Vec<u8>,
        read: AtomicU64,
    }

    impl ReadAt for Counting {
        fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
            self.read.fetch_add(range.end.saturating_sub(range.start), Ordering::Relaxed);
            self.bytes.read_at(range)
        }

        fn len(&self) -> u64 {
            ReadAt::len(&self.bytes)
        }
    }

    /// A pack of one file with three frames of 400 KiB, and the file.
    fn packed() -> (Vec<u8>, Vec<u8>) {
        let uid = |text: &str| Uid::parse(text).expect("a UID");
        let syntax = uid("1.2.840.10008.1.2.1");
        let mut random = fastrand::Rng::with_seed(7);
        let mut file: Vec<u8> = (0..700).map(|_| random.alphanumeric()).map(|c| c as u8).collect();
        let at = file.len() as u64;
        let samples = (0..3 * 640 * 320_u32).map(|n| n % 640 + random.u32(0..9));
        file.extend(samples.flat_map(|sample| sample.to_le_bytes().into_iter().take(2)));
        file.extend_from_slice(b"behind the pixels");
        let meta_len = 300_u32;
        let mut digest = Sha256::new();
        digest.update(syntax.as_str());
        digest.update([0]);
        digest.update(&file[300..]);
        let about = InstanceIn {
            sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
            sop_instance: uid("1.2.3.4.1"),
            transfer_syntax: syntax,
            meta_len,
            file_len: file.len() as u64,
            digest: Digest(digest.finalize().into()),
            frames: FramePlaces::Native { at, count: 3, bits: 640 * 320 * 16 },
            pixel: Some(PixelLayout { bits_allocated: 16, samples: 1, columns: 640, big_endian: false }),
            codestreams: false,
            head: serde_json::json!({}),
        };
        let whose = PackAbout { facility: FacilityCode::DEMO, study: uid("1.2.3"), series: uid("1.2.3.4"), part: 1 };
        let mut writer = PackWriter::create(Vec::new(), whose).expect("begins");
        writer.add(about, &mut file.as_slice()).expect("is packed");
        (writer.finish(b"[]").expect("ends").1, file)
    }

    #[test]
    fn an_object_that_is_read_in_windows_is_read_once() {
        let (bytes, file) = packed();
        let source = Arc::new(Counting { bytes, read: AtomicU64::new(0) });
        let pack = Pack::open(Arc::clone(&source) as Arc<dyn ReadAt>).expect("opens");
        let stored = pack.instance(0).expect("there").len;
        let (begun, id) = (Begun::default(), PackId::new([1; 16]));
        for window in [1_000, 100_000, 300_000, 409_600, 500_000, 900_000, 2_000_000] {
            source.read.store(0, Ordering::Relaxed);
            let mut back = Vec::new();
            while back.len() < file.len() {
                let end = file.len().min(back.len() + window);
                back.extend(begun.range(id, &pack, 0, back.len() as u64..end as u64).expect("a part"));
                assert!(back.len() == end, "window {window}");
            }
            assert!(back == file, "window {window}");
            let read = source.read.load(Ordering::Relaxed);
            // What lies around the frames is short, and may be read again.
            assert!(read <= stored + 8 * 1024, "window {window}: {read} of {stored} bytes");
            assert!(begun.pieces.lock().is_empty(), "what was read to its end stays");
        }
        for range in [0..0, 5..5] {
            assert!(begun.range(id, &pack, 0, range).expect("nothing").is_empty());
        }
        let len = file.len() as u64;
        for beyond in [0..len + 1, len - 500_000..len + 1, len..len + 1] {
            assert!(begun.range(id, &pack, 0, beyond.clone()).is_err(), "{beyond:?}");
        }
    }

    #[test]
    fn the_bound_holds_and_what_was_read_longest_ago_goes_first() {
        let begun = Begun::new(100);
        let piece = |len: usize| Arc::new(vec![7; len]);
        let (pack, other) = (PackId::new([1; 16]), PackId::new([2; 16]));
        begun.keep((pack, 0, 0), &piece(40), 0);
        begun.keep((pack, 0, 40), &piece(40), 0);
        assert!(begun.get(&(pack, 0, 0)).is_some(), "read last from now on");
        begun.keep((other, 3, 0), &piece(40), 0);
        assert!(begun.get(&(pack, 0, 40)).is_none(), "the oldest went");
        assert!(begun.get(&(pack, 0, 0)).is_some() && begun.get(&(other, 3, 0)).is_some());
        begun.keep((other, 3, 0), &piece(50), 0);
        assert_eq!(begun.pieces.lock().len(), 2, "kept anew, not twice");
        begun.keep((other, 4, 0), &piece(101), 0);
        assert!(begun.pieces.lock().is_empty(), "one that is longer than the bound does not stay");
        begun.keep((pack, 0, 0), &piece(10), 0);
        begun.keep((other, 0, 0), &piece(10), 0);
        begun.forget(pack);
        assert!(begun.get(&(pack, 0, 0)).is_none());
        begun.keep((pack, 0, 0), &piece(10), 0);
        assert!(begun.get(&(pack, 0, 0)).is_none(), "who read before the pack was forgotten brings nothing back");
        begun.done(&(other, 0, 0));
        assert!(begun.pieces.lock().is_empty());
    }
}
