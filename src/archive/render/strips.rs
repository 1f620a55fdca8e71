//! Work on parts of one large picture, shared by a few threads: strips of JPEG, strips that are shrunk.
//!
//! What comes out never depends on how many threads there were.

use super::PictureError;
use codec::picture::Jpeg;
use dataset::render::Picture;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most threads for one picture, the asking one included.
const THREADS_MAX: usize = 4;
/// Fewer parts than this are not worth a thread.
const PARTS_MIN: usize = 4;

/// Does something with every part; what comes out is in their order.
pub(super) fn each<T: Send>(
    parts: &[Range<u32>],
    make: impl Fn(Range<u32>) -> Result<T, PictureError> + Sync,
) -> Result<Vec<T>, PictureError> {
    // A number below their count is always one of them.
    numbered(parts.len(), |number| make(parts.get(number).cloned().unwrap_or_default()))
}

/// The same by number: lower ones are begun first.
pub(super) fn numbered<T: Send>(
    count: usize,
    make: impl Fn(usize) -> Result<T, PictureError> + Sync,
) -> Result<Vec<T>, PictureError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if count < PARTS_MIN { 1 } else { cores.min(THREADS_MAX) };
    if threads == 1 {
        return (0..count).map(make).collect();
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let made = make(number);
            if made.is_err() {
                // Nobody needs the others any more.
                next.store(count, Ordering::Relaxed);
            }
            done.lock().push((number, made));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, made)| made).collect()
}

/// A finished picture as JPEG.
pub(super) fn encode(picture: &Picture, quality: u8) -> Result<Vec<u8>, PictureError> {
    let Picture { width, height, colour, bytes, profile } = picture;
    let row = usize::try_from(*width).unwrap_or(0).saturating_mul(if *colour { 3 } else { 1 });
    let part = |rows: Range<u32>| {
        let at = |row_number: u32| usize::try_from(row_number).unwrap_or(usize::MAX).saturating_mul(row);
        bytes.get(at(rows.start)..at(rows.end)).unwrap_or_default()
    };
    let jpeg = Jpeg::new(*width, *height, *colour, quality)?;
    let strips = each(&jpeg.strips(), |rows| Ok(jpeg.strip(part(rows))?))?;
    Ok(jpeg.join(&strips, profile.as_deref())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_their_order_and_the_first_failure_counts() {
        let parts: Vec<Range<u32>> = (0..50).map(|at| at..at + 1).collect();
        let made = each(&parts, |part| Ok(part.start)).expect("parts");
        assert_eq!(made, (0..50).collect::<Vec<_>>());
        let failed = each(&parts, |part| if part.start == 7 { Err(PictureError::NoPixels) } else { Ok(()) });
        assert_eq!(failed, Err(PictureError::NoPixels));
    }
}
