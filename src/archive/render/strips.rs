//! Work on parts of one large picture, shared by a few threads: strips of JPEG, strips that are shrunk.
//!
//! What comes out never depends on how many threads there were.

use super::PictureError;
use codec::picture::Jpeg;
use dataset::render::Picture;
use parking_lot::Mutex;
use std::borrow::Cow;
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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if parts.len() < PARTS_MIN { 1 } else { cores.min(THREADS_MAX) };
    if threads == 1 {
        return parts.iter().cloned().map(make).collect();
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(parts.len())));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(number) else { return };
            let made = make(part.clone());
            if made.is_err() {
                // Nobody needs the others any more.
                next.store(parts.len(), Ordering::Relaxed);
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

/// A picture of that width, height and colour as JPEG, from a function that gives its rows.
pub(super) fn jpeg<'a>(
    (width, height, colour): (u32, u32, bool),
    quality: u8,
    profile: Option<&[u8]>,
    rows: impl Fn(Range<u32>) -> Result<Cow<'a, [u8]>, PictureError> + Sync,
) -> Result<Vec<u8>, PictureError> {
    let jpeg = Jpeg::new(width, height, colour, quality)?;
    let strips = each(&jpeg.strips(), |part| Ok(jpeg.strip(&rows(part)?)?))?;
    Ok(jpeg.join(&strips, profile)?)
}

/// A finished picture as JPEG.
pub(super) fn encode(picture: &Picture, quality: u8) -> Result<Vec<u8>, PictureError> {
    let Picture { width, height, colour, bytes, profile } = picture;
    let row = usize::try_from(*width).unwrap_or(0).saturating_mul(if *colour { 3 } else { 1 });
    let part = |rows: Range<u32>| {
        let at = |row_number: u32| usize::try_from(row_number).unwrap_or(usize::MAX).saturating_mul(row);
        let part = bytes.get(at(rows.start)..at(rows.end)).unwrap_or_default();
        Ok(Cow::Borrowed(part))
    };
    jpeg((*width, *height, *colour), quality, profile.as_deref(), part)
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
