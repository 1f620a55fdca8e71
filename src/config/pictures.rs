//! `[pictures]`: what pictures of images may cost.

use super::{Size, Span};
use archive::PictureOptions;
use serde::{Deserialize, Serialize};

/// `[pictures]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pictures {
    pub(crate) cache: Size,
    pub(crate) pixels_max: u64,
    pub(crate) frames_max: u32,
    pub(crate) animation_time: Span,
    pub(crate) at_once: usize,
    pub(crate) thumbnails: bool,
}

impl Default for Pictures {
    fn default() -> Self {
        let PictureOptions { cache, pixels_max, frames_max, animation_time, at_once, thumbnails } =
            PictureOptions::default();
        let (cache, animation_time) = (Size(cache), Span(animation_time));
        Self { cache, pixels_max, frames_max, animation_time, at_once, thumbnails }
    }
}

impl Pictures {
    /// Options of the archive.
    pub(super) fn options(&self) -> PictureOptions {
        let Self { cache, pixels_max, frames_max, animation_time, at_once, thumbnails } = *self;
        let (cache, animation_time) = (cache.0, animation_time.0);
        PictureOptions { cache, pixels_max, frames_max, animation_time, at_once, thumbnails }
    }
}
