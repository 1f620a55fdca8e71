//! Colour profiles (PS3.18 section 8.3.5.1.4, PS3.3 C.11.15): none, the picture's own, or one it is brought into.
//!
//! Grey pictures have none: their values are for the Grayscale Standard Display Function (PS3.14).
//! A profile of the image that cannot be read counts as absent, and colours without one count as sRGB.

use super::window::BadParameter;
use super::{Picture, RenderError};
use moxcms::{ColorProfile, Layout, TransformOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Which colour profile an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Profile {
    /// None.
    #[default]
    No,
    /// The image's own, sRGB where it has none.
    Yes,
    /// Colours brought into sRGB (IEC 61966-2-1).
    Srgb,
    /// Colours brought into Adobe RGB (1998).
    AdobeRgb,
    /// Colours brought into ROMM RGB (ISO 22028-2).
    RommRgb,
    /// Colours brought into Display P3.
    DisplayP3,
}

impl Profile {
    /// Reads the parameter `iccprofile`.
    ///
    /// # Errors
    /// A name the standard does not list.
    pub fn parse(text: &str) -> Result<Self, BadParameter> {
        match text.to_ascii_lowercase().as_str() {
            "no" => Ok(Self::No),
            "yes" => Ok(Self::Yes),
            "srgb" => Ok(Self::Srgb),
            "adobergb" => Ok(Self::AdobeRgb),
            "rommrgb" => Ok(Self::RommRgb),
            "displayp3" => Ok(Self::DisplayP3),
            _ => Err(BadParameter("iccprofile is no, yes, srgb, adobergb, rommrgb or displayp3".into())),
        }
    }

    fn target(self) -> Option<ColorProfile> {
        match self {
            Self::No | Self::Yes => None,
            Self::Srgb => Some(ColorProfile::new_srgb()),
            Self::AdobeRgb => Some(ColorProfile::new_adobe_rgb()),
            Self::RommRgb => Some(ColorProfile::new_pro_photo_rgb()),
            Self::DisplayP3 => Some(ColorProfile::new_display_p3()),
        }
    }

    /// Brings a colour picture whose image has the profile `own` into this one.
    pub(super) fn apply(self, mut picture: Picture, own: Option<&[u8]>) -> Result<Picture, RenderError> {
        if self == Self::No || !picture.colour {
            return Ok(picture);
        }
        let read = own.and_then(|bytes| guarded(|| ColorProfile::new_from_slice(bytes).ok()));
        let Some(target) = self.target() else {
            picture.profile = match (read, own) {
                (Some(_), Some(bytes)) => Some(bytes.to_vec()),
                _ => Some(written(ColorProfile::new_srgb())?),
            };
            return Ok(picture);
        };
        let source = read.unwrap_or_else(ColorProfile::new_srgb);
        let unchanged = self == Self::Srgb && own.is_none();
        if !unchanged {
            let failed = || RenderError::Encoder("the colour profile of the image cannot be applied".into());
            picture.bytes = guarded(|| moved(&picture.bytes, &source, &target)).ok_or_else(failed)?;
        }
        picture.profile = Some(written(target)?);
        Ok(picture)
    }
}

fn moved(bytes: &[u8], source: &ColorProfile, target: &ColorProfile) -> Option<Vec<u8>> {
    let options = TransformOptions::default();
    let transform = source.create_transform_8bit(Layout::Rgb, target, Layout::Rgb, options).ok()?;
    let mut out = vec![0; bytes.len()];
    transform.transform(bytes, &mut out).ok()?;
    Some(out)
}

/// Profiles come from the image: whatever a reader does with a broken one stays here.
fn guarded<T>(work: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok().flatten()
}

/// The bytes of a profile, the same on every day: its writer puts the time into the header (ICC.1 section 7.2.1).
fn written(profile: ColorProfile) -> Result<Vec<u8>, RenderError> {
    let failed = |error| RenderError::Encoder(format!("the colour profile cannot be written: {error}"));
    let mut bytes = profile.encode().map_err(failed)?;
    if let Some(date) = bytes.get_mut(24..36) {
        date.copy_from_slice(&[0x07, 0xD0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red() -> Picture {
        Picture { width: 1, height: 1, colour: true, bytes: vec![255, 0, 0], profile: None }
    }

    #[test]
    fn a_profile_is_carried_where_it_is_asked_for() {
        assert_eq!(Profile::No.apply(red(), None), Ok(red()));
        let own = written(ColorProfile::new_display_p3()).expect("a profile");
        let kept = Profile::Yes.apply(red(), Some(&own)).expect("a picture");
        assert_eq!((kept.bytes, kept.profile), (vec![255, 0, 0], Some(own.clone())));
        let broken = Profile::Yes.apply(red(), Some(b"no profile")).expect("a picture");
        assert_eq!(broken.profile, Some(written(ColorProfile::new_srgb()).expect("a profile")));
        let grey = Picture { colour: false, ..red() };
        assert_eq!(Profile::Srgb.apply(grey.clone(), None), Ok(grey));
    }

    #[test]
    fn colours_are_brought_into_another_space() {
        let plain = Profile::Srgb.apply(red(), None).expect("a picture");
        assert_eq!(plain.bytes, [255, 0, 0]);
        // Red of sRGB is a duller red of wider spaces.
        for wider in [Profile::AdobeRgb, Profile::RommRgb, Profile::DisplayP3] {
            let moved = wider.apply(red(), None).expect("a picture");
            assert!(moved.bytes[0] < 255, "{wider:?} {:?}", moved.bytes);
            assert_eq!(moved, wider.apply(red(), None).expect("again"));
        }
        assert!(Profile::parse("cmyk").is_err());
        assert_eq!(Profile::parse("AdobeRGB"), Ok(Profile::AdobeRgb));
    }
}
