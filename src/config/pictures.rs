//! `[pictures]`: what pictures of images may cost.

use super::Size;
use archive::PictureOptions;
use serde::{Deserialize, Serialize};

/// `[pictures]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pictures {
    pub(crate) cache: Size,
    pub(crate) pixels_max: u64,
    pub(crate) frames_max: u32,
    pub(crate) at_once: usize,
    pub(crate) thumbnails: bool,
}

impl Default for Pictures {
    fn default() -> Self {
        let PictureOptions { cache, pixels_max, frames_max, at_once, thumbnails } = PictureOptions::default();
        Self { cache: Size(cache), pixels_max, frames_max, at_once, thumbnails }
    }
}

impl Pictures {
    /// Options of the archive.
    pub(super) fn options(&self) -> PictureOptions {
        let Self { cache, pixels_max, frames_max, at_once, thumbnails } = *self;
        PictureOptions { cache: cache.0, pixels_max, frames_max, at_once, thumbnails }
    }
}
