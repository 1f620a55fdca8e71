//! Pictures of stored instances: rendered frames, animations, thumbnails, each made once for whoever asks meanwhile.
//!
//! What is shown and how is [`dataset::render`]'s matter; where frames come from is in [`source`].
//! Finished pictures stay in memory within a bound of bytes; thumbnails of packed series are made in the background
//! and kept by the index as a cache.

mod animation;
mod arriving;
mod source;
mod state;
mod strips;
mod thumbnail;
mod together;

pub use animation::Shown;
pub use state::Presented;
pub use thumbnail::Thumbnail;
pub(crate) use thumbnail::start_thumbnails;
pub use together::Gone;

use crate::error::RetrieveError;
use crate::memory::{Forget, Memory};
use crate::open::Archive;
use crate::options::PictureOptions;
use dataset::render::{self, Description, Encoding, Options, RenderError, animate};
use index::{InstanceRow, SeriesKey};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use together::Together;

/// Series that wait for their thumbnail; what is beyond gets it when it is asked for.
const WAITING_MAX: usize = 65_536;
/// Time from one frame to the next where the image says none.
const FRAME_TIME: Duration = Duration::from_millis(100);

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// The stored bytes could not be brought.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
    /// There are no pixels, or frames cannot be told apart.
    #[error("the instance has no frames that can be shown")]
    NoPixels,
    /// There is no such frame.
    #[error("the instance has {count} frames, there is no frame {number}")]
    NoFrame {
        /// Asked for, from 1.
        number: u32,
        /// How many there are.
        count: u32,
    },
    /// Pixels of a kind that is not shown.
    #[error("{what}")]
    Unsupported {
        /// Which kind.
        what: String,
    },
    /// More pixels or frames than allowed.
    #[error("{what}")]
    TooLarge {
        /// What, and the limit's name.
        what: String,
    },
    /// Nobody waits for it any more.
    #[error("whoever asked for it has gone")]
    Gone,
    /// The region asked for lies outside of the picture.
    #[error("{what}")]
    Region {
        /// Which one.
        what: String,
    },
}

impl From<RenderError> for PictureError {
    fn from(error: RenderError) -> Self {
        let what = error.to_string();
        match error {
            RenderError::Region { .. } => Self::Region { what },
            RenderError::Colour { .. } | RenderError::Palette | RenderError::Encoder(_) => Self::Unsupported { what },
        }
    }
}

/// Text that is burnt into a picture (PS3.18 section 8.3.5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Annotation {
    /// Whom it shows.
    pub patient: bool,
    /// How it was made.
    pub technique: bool,
}

/// A picture as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Window, size and colours.
    pub how: Options,
    /// Media type.
    pub encoding: Encoding,
    /// Quality of JPEG, 1 to 100.
    pub quality: u8,
    /// Text.
    pub annotation: Annotation,
}

impl Wanted {
    /// Quality where nobody asks for another.
    pub const QUALITY: u8 = 90;

    /// An instance's own display in a media type.
    #[must_use]
    pub fn plain(encoding: Encoding) -> Self {
        Self { how: Options::default(), encoding, quality: Self::QUALITY, annotation: Annotation::default() }
    }

    /// Tells one picture of an instance from the others.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{:?} {} {:?} {:?}", self.encoding, self.quality, self.annotation, self.how)
    }
}

/// Pictures in memory and what they are made from.
pub(crate) struct Pictures {
    finished: Memory<String, Arc<Vec<u8>>>,
    /// Animations being made, which end with those who wait for them.
    together: Together,
    /// Pictures being made.
    making: Mutex<usize>,
    done: Condvar,
    at_once: usize,
    /// Pictures made since the start.
    made: AtomicU64,
    /// Whether thumbnails are made before anybody asks.
    ahead: bool,
    /// Series that wait for their thumbnail.
    waiting: Mutex<VecDeque<SeriesKey>>,
}

/// The right to make one picture.
struct Turn<'a>(&'a Pictures);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.making.lock() -= 1;
        self.0.done.notify_one();
    }
}

impl Pictures {
    pub(crate) fn new(options: &PictureOptions) -> Self {
        let weigh = |key: &String, picture: &Arc<Vec<u8>>| {
            u32::try_from(picture.len().saturating_add(key.len()).saturating_add(128)).unwrap_or(u32::MAX)
        };
        Self {
            finished: Memory::new(options.cache, weigh),
            together: Together::default(),
            making: Mutex::new(0),
            done: Condvar::new(),
            at_once: options.at_once.max(1),
            made: AtomicU64::new(0),
            ahead: options.thumbnails,
            waiting: Mutex::new(VecDeque::new()),
        }
    }

    /// Forgets every picture: a study was destroyed.
    pub(crate) fn forget(&self) {
        self.finished.forget();
    }

    /// A series was packed: its thumbnail is due.
    pub(crate) fn due(&self, series: &SeriesKey) {
        let mut waiting = self.waiting.lock();
        if self.ahead && waiting.len() < WAITING_MAX {
            waiting.push_back(series.clone());
        }
    }

    fn turn(&self) -> Turn<'_> {
        let mut making = self.making.lock();
        while *making >= self.at_once {
            self.done.wait(&mut making);
        }
        *making += 1;
        Turn(self)
    }

    /// The same for those who may go while they wait for it.
    fn turn_unless(&self, gone: &dyn Fn() -> bool) -> Result<Turn<'_>, PictureError> {
        let mut making = self.making.lock();
        while *making >= self.at_once {
            if gone() {
                return Err(PictureError::Gone);
            }
            self.done.wait_for(&mut making, together::LOOK);
        }
        *making += 1;
        Ok(Turn(self))
    }

    /// Makes a picture, and counts it.
    fn counted(&self, make: impl FnOnce() -> Result<Vec<u8>, PictureError>) -> Result<Arc<Vec<u8>>, PictureError> {
        self.made.fetch_add(1, Ordering::Relaxed);
        let started = std::time::Instant::now();
        let made = make().map(Arc::new);
        // That nobody waits any more is no failure.
        if made != Err(PictureError::Gone) {
            metrics::histogram!("khoanh_picture_seconds").record(started.elapsed());
            metrics::counter!("khoanh_pictures_total", "ok" => if made.is_ok() { "yes" } else { "no" }).increment(1);
        }
        made
    }
}

impl Archive {
    /// The picture of a frame, from 1.
    ///
    /// Whoever asks for the same picture while it is made waits for that one.
    ///
    /// # Errors
    /// [`PictureError`].
    pub fn rendered(
        self: &Arc<Self>,
        row: &InstanceRow,
        number: u32,
        wanted: &Wanted,
    ) -> Result<Arc<Vec<u8>>, PictureError> {
        let wanted = &self.labelled(row, wanted)?;
        self.once(self.picture_key(row, &number.to_string(), wanted), || {
            let source = source::Source::open(self, row)?;
            if wanted.encoding == Encoding::Jpeg
                && let Some(jpeg) = source.jpeg(number, &wanted.how, wanted.quality)?
            {
                return Ok(jpeg);
            }
            encoded(&source.picture(number, &wanted.how)?, wanted.encoding, wanted.quality)
        })
    }

    /// The picture of a frame where it is in memory.
    #[must_use]
    pub fn rendered_before(&self, row: &InstanceRow, number: u32, wanted: &Wanted) -> Option<Arc<Vec<u8>>> {
        self.pictures.finished.get(&self.picture_key(row, &number.to_string(), wanted))
    }

    /// How many pictures were made since the start; those answered from memory are not among them.
    #[must_use]
    pub fn pictures_made(&self) -> u64 {
        self.pictures.made.load(Ordering::Relaxed)
    }

    fn once(
        &self,
        key: String,
        make: impl FnOnce() -> Result<Vec<u8>, PictureError>,
    ) -> Result<Arc<Vec<u8>>, PictureError> {
        let made = self.pictures.finished.made(key, || {
            let _turn = self.pictures.turn();
            self.pictures.counted(make)
        });
        made.map_err(|error: Arc<PictureError>| error.as_ref().clone())
    }

    fn picture_key(&self, row: &InstanceRow, frames: &str, wanted: &Wanted) -> String {
        format!("{} {frames} {}", row.digest, wanted.name())
    }
}

/// A picture in a media type.
fn encoded(picture: &render::Picture, encoding: Encoding, quality: u8) -> Result<Vec<u8>, PictureError> {
    Ok(match encoding {
        Encoding::Jpeg => strips::encode(picture, quality)?,
        Encoding::Png => picture.png()?,
        Encoding::Gif => animate(std::slice::from_ref(picture), Duration::ZERO)?,
    })
}

/// What a picture of a decoded frame comes to.
fn shown(
    frame: &dataset::pixels::DecodedFrame,
    description: &Description,
    number: u32,
    how: &Options,
) -> Result<render::Picture, PictureError> {
    Ok(render::picture(frame, description, number.saturating_sub(1), how)?)
}
