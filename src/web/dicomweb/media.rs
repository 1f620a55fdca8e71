//! Which media type carries which transfer syntax, and what a client's Accept gets (PS3.18 section 8.7.3).
//!
//! Decisions only, over a stored transfer syntax and parsed media ranges; no bytes are touched here.
//! What can be made from what is stored is [`archive::transcode`]'s to say; what cannot be is not acceptable, never a
//! guess.

use crate::accept::MediaRange;
use archive::transcode;

/// Explicit VR Little Endian.
pub const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
/// Implicit VR Little Endian.
pub const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
/// Explicit VR Big Endian.
pub const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";
/// Deflated Explicit VR Little Endian.
pub const DEFLATED_LE: &str = "1.2.840.10008.1.2.1.99";
/// Encapsulated Uncompressed Explicit VR Little Endian.
pub const ENCAPSULATED_LE: &str = "1.2.840.10008.1.2.1.98";

/// Media type of a frame in its stored transfer syntax.
pub const FRAME_MEDIA: &[(&str, &str)] = &[
    (IMPLICIT_LE, "application/octet-stream"),
    (EXPLICIT_LE, "application/octet-stream"),
    (EXPLICIT_BE, "application/octet-stream"),
    (DEFLATED_LE, "application/octet-stream"),
    (ENCAPSULATED_LE, "application/octet-stream"),
    ("1.2.840.10008.1.2.5", "image/dicom-rle"),
    ("1.2.840.10008.1.2.4.50", "image/jpeg"),
    ("1.2.840.10008.1.2.4.51", "image/jpeg"),
    ("1.2.840.10008.1.2.4.52", "image/jpeg"),
    ("1.2.840.10008.1.2.4.53", "image/jpeg"),
    ("1.2.840.10008.1.2.4.54", "image/jpeg"),
    ("1.2.840.10008.1.2.4.55", "image/jpeg"),
    ("1.2.840.10008.1.2.4.56", "image/jpeg"),
    ("1.2.840.10008.1.2.4.57", "image/jpeg"),
    ("1.2.840.10008.1.2.4.58", "image/jpeg"),
    ("1.2.840.10008.1.2.4.59", "image/jpeg"),
    ("1.2.840.10008.1.2.4.60", "image/jpeg"),
    ("1.2.840.10008.1.2.4.61", "image/jpeg"),
    ("1.2.840.10008.1.2.4.62", "image/jpeg"),
    ("1.2.840.10008.1.2.4.63", "image/jpeg"),
    ("1.2.840.10008.1.2.4.64", "image/jpeg"),
    ("1.2.840.10008.1.2.4.65", "image/jpeg"),
    ("1.2.840.10008.1.2.4.66", "image/jpeg"),
    ("1.2.840.10008.1.2.4.70", "image/jpeg"),
    ("1.2.840.10008.1.2.4.80", "image/jls"),
    ("1.2.840.10008.1.2.4.81", "image/jls"),
    ("1.2.840.10008.1.2.4.90", "image/jp2"),
    ("1.2.840.10008.1.2.4.91", "image/jp2"),
    ("1.2.840.10008.1.2.4.92", "image/jpx"),
    ("1.2.840.10008.1.2.4.93", "image/jpx"),
    ("1.2.840.10008.1.2.4.110", "image/jxl"),
    ("1.2.840.10008.1.2.4.111", "image/jxl"),
    ("1.2.840.10008.1.2.4.112", "image/jxl"),
    ("1.2.840.10008.1.2.4.201", "image/jphc"),
    ("1.2.840.10008.1.2.4.202", "image/jphc"),
    ("1.2.840.10008.1.2.4.203", "image/jphc"),
    ("1.2.840.10008.1.2.8.1", "application/x-deflate"),
    ("1.2.840.10008.1.2.4.100", "video/mpeg"),
    ("1.2.840.10008.1.2.4.100.1", "video/mpeg"),
    ("1.2.840.10008.1.2.4.101", "video/mpeg"),
    ("1.2.840.10008.1.2.4.101.1", "video/mpeg"),
    ("1.2.840.10008.1.2.4.102", "video/mp4"),
    ("1.2.840.10008.1.2.4.102.1", "video/mp4"),
    ("1.2.840.10008.1.2.4.103", "video/mp4"),
    ("1.2.840.10008.1.2.4.103.1", "video/mp4"),
    ("1.2.840.10008.1.2.4.104", "video/mp4"),
    ("1.2.840.10008.1.2.4.104.1", "video/mp4"),
    ("1.2.840.10008.1.2.4.105", "video/mp4"),
    ("1.2.840.10008.1.2.4.105.1", "video/mp4"),
    ("1.2.840.10008.1.2.4.106", "video/mp4"),
    ("1.2.840.10008.1.2.4.106.1", "video/mp4"),
    ("1.2.840.10008.1.2.4.107", "video/mp4"),
    ("1.2.840.10008.1.2.4.108", "video/mp4"),
];

/// Media type of a frame as stored; unknown and private syntaxes are plain octets under their own name.
pub fn frame_media(syntax: &str) -> &'static str {
    FRAME_MEDIA.iter().find(|(uid, _)| *uid == syntax).map_or("application/octet-stream", |(_, media)| media)
}

fn is_known(syntax: &str) -> bool {
    FRAME_MEDIA.iter().any(|(uid, _)| *uid == syntax)
}

/// Whether the whole data set is uncompressed, so that its pixels are frames as they lie there.
pub fn is_native(syntax: &str) -> bool {
    [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED_LE].contains(&syntax)
}

/// What a compressed media type of one frame means where no transfer syntax is named (PS3.18 Table 8.7.3-5), as far as
/// frames are encoded so.
pub const FRAME_DEFAULTS: &[(&str, &str)] = &[
    ("image/dicom-rle", "1.2.840.10008.1.2.5"),
    ("image/jls", "1.2.840.10008.1.2.4.80"),
    ("image/jp2", "1.2.840.10008.1.2.4.90"),
    ("image/jphc", "1.2.840.10008.1.2.4.201"),
];

/// How an instance goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendition {
    /// Byte for byte as stored.
    Stored,
    /// The stored data set behind preamble and file meta information of ours.
    WithMeta,
    /// Made in a transfer syntax of [`transcode::offered`], values unchanged, or of [`transcode::offered_lossy`].
    Made(&'static str),
    /// Made in Explicit VR Little Endian because no other was asked for: as stored where its pixels cannot be had.
    Usual,
}

impl Rendition {
    /// Whether pixels lose something.
    pub fn loses(self) -> bool {
        matches!(self, Self::Made(syntax) if transcode::loses_when_made(syntax))
    }
}

/// Whether an answer is multipart or one bare object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// `multipart/related`.
    Multipart,
    /// One object as the whole body.
    Single,
}

/// The rendition of one instance under a range's `transfer-syntax`, or none where it cannot be made.
///
/// Without that parameter it is Explicit VR Little Endian. What cannot be that goes out as it is stored where the
/// standard lets it (PS3.18 section 8.7.3.4: lossy, or too long), or where the range takes `anything`.
pub fn instance_rendition(
    stored: &str,
    wanted: Option<&str>,
    anything: bool,
    made: impl Fn(&str) -> Option<&'static str>,
) -> Option<Rendition> {
    match wanted {
        Some("*") => Some(Rendition::Stored),
        Some(wanted) if wanted == stored => Some(Rendition::Stored),
        // Not for web services (PS3.18 section 8.7.3).
        Some(IMPLICIT_LE) => None,
        Some(wanted) => made(wanted).map(Rendition::Made),
        None if stored == EXPLICIT_LE => Some(Rendition::Stored),
        None => {
            let lets = anything || transcode::is_lossy(stored) || transcode::is_decoded(stored);
            made(EXPLICIT_LE).map(|_| Rendition::Usual).or_else(|| lets.then_some(Rendition::Stored))
        }
    }
}

/// How a range wants `application/dicom`, if it takes it at all.
pub(crate) fn dicom_wrapping(range: &MediaRange) -> Option<Wrapping> {
    if range.covers_parts("application/dicom", "application/dicom") {
        return Some(Wrapping::Multipart);
    }
    range.covers("application", "dicom").then_some(Wrapping::Single)
}

/// How a frame goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRendition {
    /// Media type of the frame.
    pub media: &'static str,
    /// Transfer syntax to name with it.
    pub syntax: String,
    /// Whether the words of a big endian frame are swapped.
    pub swap: bool,
    /// Whether the frame is decoded for it, and perhaps encoded.
    pub made: bool,
    /// Wrapping.
    pub wrapping: Wrapping,
}

impl FrameRendition {
    /// Whether pixels lose something.
    pub fn loses(&self) -> bool {
        self.made && transcode::loses_when_made(&self.syntax)
    }
}

/// The rendition of a frame for the ranges of a request, best first; none where none fits.
pub(crate) fn frame_rendition(stored: &str, ranges: &[MediaRange]) -> Option<FrameRendition> {
    rendition(ranges, |range, takes| frame_choice(stored, range, takes).or_else(|| made_choice(stored, range, takes)))
}

/// The same for a value that is no pixels: nothing is decoded or encoded for it.
pub(crate) fn value_rendition(stored: &str, ranges: &[MediaRange]) -> Option<FrameRendition> {
    rendition(ranges, |range, takes| frame_choice(stored, range, takes))
}

/// The ranges that take several parts, for what one bare body cannot hold.
pub(crate) fn in_parts(ranges: &[MediaRange]) -> Vec<MediaRange> {
    ranges.iter().filter(|range| range.covers("multipart", "related")).cloned().collect()
}

/// Media type, transfer syntax, whether words are swapped, and whether the frame is made.
type Choice = (&'static str, String, bool, bool);

fn rendition(
    ranges: &[MediaRange],
    choose: impl Fn(&MediaRange, &dyn Fn(&str) -> bool) -> Option<Choice>,
) -> Option<FrameRendition> {
    let fitting = |range: &MediaRange| {
        let parts = |candidate: &str| range.covers_parts(candidate, "*/*");
        let single = |candidate: &str| range.main != "multipart" && range.covers_type(candidate);
        let chosen = choose(range, &parts).map(|choice| (choice, Wrapping::Multipart));
        let chosen = chosen.or_else(|| choose(range, &single).map(|choice| (choice, Wrapping::Single)));
        chosen.map(|((media, syntax, swap, made), wrapping)| FrameRendition { media, syntax, swap, made, wrapping })
    };
    // Nothing is lost for who takes as gladly what loses nothing.
    let spared = |found: &FrameRendition, range: &MediaRange| {
        let mut others = ranges.iter().filter(|other| other.equals(range));
        found.loses() && others.any(|other| fitting(other).is_some_and(|other| !other.loses()))
    };
    ranges.iter().find_map(|range| fitting(range).filter(|found| !spared(found, range)))
}

const OCTETS: &str = "application/octet-stream";

/// A frame as it lies there.
fn frame_choice(stored: &str, range: &MediaRange, takes: &dyn Fn(&str) -> bool) -> Option<Choice> {
    let own = frame_media(stored);
    let as_stored = |media| Some((media, stored.to_owned(), false, false));
    // Whoever takes anything takes an unknown syntax under its own name.
    match range.transfer_syntax().or_else(|| (range.main == "*" && !is_known(stored)).then_some("*")) {
        Some("*") if takes(own) => as_stored(own),
        Some("*") if takes(OCTETS) => as_stored(OCTETS),
        Some(wanted) if wanted == stored && takes(own) => as_stored(own),
        Some(wanted) if wanted == stored && takes(OCTETS) => as_stored(OCTETS),
        wanted @ (Some(IMPLICIT_LE | EXPLICIT_LE) | None) if takes(OCTETS) && little_endian(stored).is_some() => {
            let syntax = wanted.unwrap_or(EXPLICIT_LE).to_owned();
            Some((OCTETS, syntax, little_endian(stored)?, false))
        }
        // The client names a compressed media type and no syntax: the stored one of that type, truly named.
        None if own != OCTETS && takes(own) => as_stored(own),
        _ => None,
    }
}

/// A frame that is decoded, and encoded where a compressed form is asked.
fn made_choice(stored: &str, range: &MediaRange, takes: &dyn Fn(&str) -> bool) -> Option<Choice> {
    if !transcode::is_decoded(stored) {
        return None;
    }
    let making = |media, syntax: &str| Some((media, syntax.to_owned(), false, true));
    match range.transfer_syntax() {
        Some(wanted @ (IMPLICIT_LE | EXPLICIT_LE)) if takes(OCTETS) => making(OCTETS, wanted),
        Some("*" | IMPLICIT_LE | EXPLICIT_LE) => None,
        Some(wanted) => {
            let lossy = transcode::offered_lossy().into_iter().filter(|_| !transcode::is_lossy(stored));
            let offered = transcode::offered().into_iter().filter(|one| *one != DEFLATED_LE);
            let made = offered.chain(lossy).find(|one| *one == wanted)?;
            takes(frame_media(made)).then(|| making(frame_media(made), made))?
        }
        None if takes(OCTETS) => making(OCTETS, EXPLICIT_LE),
        // Whoever takes any image does not ask for one of these.
        None if takes("image/*") => None,
        None => {
            let (media, syntax) = FRAME_DEFAULTS.iter().find(|(media, _)| takes(media))?;
            making(media, syntax)
        }
    }
}

/// Whether little endian frames can be given, and whether bytes are swapped for it.
fn little_endian(stored: &str) -> Option<bool> {
    match stored {
        EXPLICIT_BE => Some(true),
        _ if is_native(stored) || stored == ENCAPSULATED_LE => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept;

    const JLS: &str = "1.2.840.10008.1.2.4.80";

    fn frame(stored: &str, accept: &str) -> Option<(String, String, bool, Wrapping)> {
        let ranges = accept::ranges(&http::HeaderMap::new(), Some(accept)).expect(accept);
        let found = frame_rendition(stored, &ranges);
        assert_eq!(found.clone().filter(|r| !r.made), value_rendition(stored, &ranges), "{stored} {accept}");
        found.map(|r| (r.media.to_owned(), r.syntax, r.swap, r.wrapping))
    }

    /// What is made of an instance with pixels.
    fn instance(stored: &str, wanted: Option<&str>, anything: bool) -> Option<Rendition> {
        let made = |wanted: &str| transcode::offered().into_iter().find(|one| *one == wanted);
        instance_rendition(stored, wanted, anything, |wanted| {
            transcode::is_decoded(stored).then(|| made(wanted)).flatten()
        })
    }

    fn out(media: &str, syntax: &str, swap: bool, wrapping: Wrapping) -> Option<(String, String, bool, Wrapping)> {
        Some((media.into(), syntax.into(), swap, wrapping))
    }

    #[test]
    fn instances_without_a_syntax_come_in_explicit_little_endian_where_they_can() {
        const MPEG: &str = "1.2.840.10008.1.2.4.100";
        for stored in [IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE, JLS, "1.2.840.10008.1.2.4.50"] {
            assert_eq!(instance(stored, None, false), Some(Rendition::Usual), "{stored}");
            assert_eq!(instance(stored, Some(EXPLICIT_LE), false), Some(Rendition::Made(EXPLICIT_LE)), "{stored}");
            assert_eq!(instance(stored, Some("*"), false), Some(Rendition::Stored), "{stored}");
            assert_eq!(instance(stored, Some(stored), false), Some(Rendition::Stored), "{stored}");
        }
        assert_eq!(instance(EXPLICIT_LE, None, false), Some(Rendition::Stored));
        assert_eq!(instance(EXPLICIT_LE, Some(JLS), false), Some(Rendition::Made(JLS)));
        assert_eq!(instance(EXPLICIT_LE, Some(IMPLICIT_LE), false), None, "not for web services");
        assert_eq!(instance(EXPLICIT_LE, Some("1.2.840.10008.1.2.4.51"), false), None, "nothing else is made");
        // A video is lossy and cannot be decoded: it may come as it is (PS3.18 section 8.7.3.4).
        assert_eq!(instance(MPEG, None, false), Some(Rendition::Stored));
        assert_eq!(instance(MPEG, Some(EXPLICIT_LE), false), None);
        assert_eq!(instance("1.2.3.4", None, false), None);
        assert_eq!(instance("1.2.3.4", None, true), Some(Rendition::Stored));
    }

    #[test]
    fn frames_are_decoded_and_encoded_where_a_form_is_asked_that_they_do_not_have() {
        use Wrapping::{Multipart, Single};
        let octets = "application/octet-stream";
        assert_eq!(frame(JLS, octets), out(octets, EXPLICIT_LE, false, Single));
        assert_eq!(
            frame(JLS, "multipart/related; type=\"application/octet-stream\""),
            out(octets, EXPLICIT_LE, false, Multipart)
        );
        assert_eq!(
            frame(JLS, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2"),
            out(octets, IMPLICIT_LE, false, Single)
        );
        for (media, syntax) in FRAME_DEFAULTS {
            assert_eq!(frame(EXPLICIT_LE, media), out(media, syntax, false, Single), "{media}");
            let named = format!("{media}; transfer-syntax={syntax}");
            assert_eq!(frame(EXPLICIT_BE, &named), out(media, syntax, false, Single), "{media}");
        }
        let rpcl = "1.2.840.10008.1.2.4.202";
        let asked = format!("multipart/related; type=image/jphc; transfer-syntax={rpcl}");
        assert_eq!(frame(JLS, &asked), out("image/jphc", rpcl, false, Multipart));
        assert_eq!(frame(EXPLICIT_LE, "image/*"), None);
        assert_eq!(frame(EXPLICIT_LE, "image/jls; transfer-syntax=1.2.840.10008.1.2.4.90"), None, "not of that type");
        assert_eq!(frame("1.2.840.10008.1.2.4.100", octets), None, "videos are not decoded");
    }

    #[test]
    fn nothing_is_lost_but_where_it_is_named_and_nothing_else_is_as_welcome() {
        use Wrapping::Single;
        let (j2k, baseline) = ("1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.50");
        let named = format!("image/jp2; transfer-syntax={j2k}");
        assert_eq!(frame(EXPLICIT_LE, &named), out("image/jp2", j2k, false, Single));
        let named = format!("image/jpeg; transfer-syntax={baseline}");
        assert_eq!(frame(JLS, &named), out("image/jpeg", baseline, false, Single));
        // A list of all that a client reads is no wish to lose anything, whatever comes first.
        let lossless = format!("{named}, image/jls; transfer-syntax={JLS}");
        assert_eq!(frame(EXPLICIT_LE, &lossless), out("image/jls", JLS, false, Single));
        assert_eq!(
            frame(EXPLICIT_LE, &format!("{named}, application/octet-stream")),
            out("application/octet-stream", EXPLICIT_LE, false, Single)
        );
        let preferred = format!("{named}, application/octet-stream;q=0.9");
        let ranges = accept::ranges(&http::HeaderMap::new(), Some(&preferred)).expect("ranges");
        let found = frame_rendition(EXPLICIT_LE, &ranges).expect("a rendition");
        assert!(found.loses() && found.syntax == baseline, "it is named, and wanted more");
        for wildcard in ["image/jpeg", "image/*", "image/jpeg; transfer-syntax=*"] {
            assert_eq!(frame(EXPLICIT_LE, wildcard), None, "{wildcard}");
        }
        assert_eq!(frame("1.2.840.10008.1.2.4.81", &named), None, "not once more");
        assert_eq!(frame(baseline, &named), out("image/jpeg", baseline, false, Single), "as stored");
    }

    #[test]
    fn frames_for_anything_come_in_the_stored_media_type() {
        use Wrapping::{Multipart, Single};
        let octets = "application/octet-stream";
        assert_eq!(frame(JLS, "*/*"), out("image/jls", JLS, false, Multipart));
        assert_eq!(frame(JLS, "image/*"), out("image/jls", JLS, false, Single));
        assert_eq!(frame(JLS, "multipart/related; type=image/jls"), out("image/jls", JLS, false, Multipart));
        let star = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
        assert_eq!(frame(JLS, star), out(octets, JLS, false, Multipart));
        assert_eq!(frame(IMPLICIT_LE, star), out(octets, IMPLICIT_LE, false, Multipart));
        assert_eq!(frame(EXPLICIT_BE, "*/*"), out(octets, EXPLICIT_LE, true, Multipart));
        assert_eq!(frame(EXPLICIT_BE, star), out(octets, EXPLICIT_BE, false, Multipart));
        assert_eq!(frame(IMPLICIT_LE, "application/octet-stream"), out(octets, EXPLICIT_LE, false, Single));
        assert_eq!(frame(IMPLICIT_LE, "image/jpeg"), None);
        assert_eq!(frame(JLS, "image/jpeg, text/html;q=0.5"), None);
        assert_eq!(frame(JLS, "image/png, multipart/related;q=0.2"), out("image/jls", JLS, false, Multipart));
    }

    #[test]
    fn unknown_syntaxes_go_out_only_under_their_own_name() {
        let own = "1.2.3.4";
        assert_eq!(frame(own, "application/octet-stream"), None);
        assert_eq!(frame(own, "*/*"), out("application/octet-stream", own, false, Wrapping::Multipart));
        assert_eq!(
            frame(own, "application/octet-stream; transfer-syntax=*"),
            out("application/octet-stream", own, false, Wrapping::Single)
        );
    }

    #[test]
    fn dicom_is_multipart_unless_asked_bare() {
        let wrap = |text: &str| {
            accept::ranges(&http::HeaderMap::new(), Some(text)).expect(text).first().and_then(dicom_wrapping)
        };
        assert_eq!(wrap("*/*"), Some(Wrapping::Multipart));
        assert_eq!(wrap("multipart/related; type=application/dicom"), Some(Wrapping::Multipart));
        assert_eq!(wrap("multipart/related; type=image/jpeg"), None);
        assert_eq!(wrap("application/dicom"), Some(Wrapping::Single));
        assert_eq!(wrap("application/zip"), None);
    }
}
