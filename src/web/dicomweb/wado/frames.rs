//! Frames by number (PS3.18 section 10.4.1.1.6), read from where the scanner saw them.

use super::encoding::{self, Exactly, Source, Swapped, skip};
use super::spans::{self, Spans};
use super::{LOSSY, etag, instance_url, looks, made, multipart, not_acceptable, target};
use crate::accept::MediaRange;
use crate::app::{App, Call};
use crate::conditional::{self, Whole};
use crate::dicomweb::media::{self, FrameRendition, Wrapping, frame_rendition, in_parts};
use crate::dicomweb::multipart::{Multipart, of_ready};
use crate::dicomweb::warn;
use crate::problem::{Kind, Problem};
use crate::ready::{self, Desk, Share};
use crate::routes::Endpoint;
use archive::{Archive, InstanceRow, RetrieveError};
use axum::response::Response;
use bytes::Bytes;
use dataset::frames::{FramePlace, place};
use http::{HeaderMap, header};
use model::{Frames, Layout, PixelSpan, Span};
use parking_lot::Mutex;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Most bytes of a frame that starts inside a byte: it is shifted in memory.
const SHIFTED_MAX: u64 = 256 << 20;

/// Most frames that are read in one step: each is a reading of its own.
const FRAMES_AT_ONCE: usize = 64;

/// Answers a retrieve of frames.
pub(crate) async fn retrieve(call: Call) -> Result<Response, Problem> {
    let ranges = call.accepts()?;
    let numbers = numbers(call.parameter("frames"), call.app.options.frames_max)?;
    let target = target(Endpoint::Frames, &call)?;
    let ranges = if numbers.len() > 1 { in_parts(&ranges) } else { ranges };
    let (caller, scope, desk) = (call.caller.clone(), call.scope, Desk::of(&call));
    // A client that may have them already is asked for nothing yet.
    let eager = !call.parts.headers.contains_key(header::IF_NONE_MATCH);
    let (looks, seen) = (looks(&call), call.seen.clone());
    let find = move |archive: &Arc<Archive>| {
        let selection = archive.select(&caller, scope, &target)?;
        let row = selection.instances.into_iter().next();
        let row = row.ok_or_else(|| Problem::new(Kind::NotFound, "the archive has no such instance"))?;
        seen.rows([&row]);
        if looks {
            archive.charts().note_opened(&row.key.study);
        }
        let rendition = chosen(&row, &ranges, numbers.len())?;
        let found = if rendition.made {
            Found::Made { row, numbers }
        } else {
            let stored = Stored::find(archive, row, &numbers)?;
            let share = stored.small(&rendition).filter(|_| eager).and_then(|len| desk.share(len));
            let ready = share.map(|share| stored.read(archive, share)).transpose()?;
            Found::Stored { stored, ready }
        };
        Ok((found, rendition, selection.notes))
    };
    let (found, rendition, notes) = call.blocking(find).await?;
    let mut response = match found {
        Found::Made { row, numbers } => {
            let location = format!("{}/frames", instance_url(&call.service_root(), &row));
            made::frames(&call, row, numbers, &rendition, &location).await?
        }
        Found::Stored { stored, ready: Some(frames) } => at_once(&call, &stored, frames, &rendition)?,
        Found::Stored { stored, ready: None } => piece_by_piece(&call, stored, &rendition).await?,
    };
    if rendition.loses() {
        warn(&mut response, &[LOSSY.into()]);
    }
    warn(&mut response, &notes);
    Ok(response)
}

/// The rendition of frames of an instance.
fn chosen(row: &InstanceRow, ranges: &[MediaRange], count: usize) -> Result<FrameRendition, Problem> {
    let Some(rendition) = frame_rendition(row.transfer_syntax.as_str(), ranges) else {
        let own = media::frame_media(row.transfer_syntax.as_str());
        let several = if count > 1 { ", several as multipart/related only" } else { "" };
        let detail = format!("the frames are stored in {}; they are answered as {own}{several}", row.transfer_syntax);
        return Err(not_acceptable(detail));
    };
    if rendition.wrapping == Wrapping::Single && count > 1 {
        return Err(not_acceptable("several frames are answered as multipart/related only"));
    }
    Ok(rendition)
}

/// What a request for frames comes to.
enum Found {
    /// They are decoded for the answer.
    Made { row: InstanceRow, numbers: Vec<u32> },
    /// They go out as they are stored; with their bytes where those were read already.
    Stored { stored: Stored, ready: Option<Vec<Bytes>> },
}

/// Frames that go out as they are stored.
struct Stored {
    pixels: Pixels,
    /// Their numbers, from 1, and where they lie.
    places: Vec<(u32, FramePlace)>,
}

impl Stored {
    /// Where frames lie; the first of them is at hand.
    fn find(archive: &Arc<Archive>, row: InstanceRow, numbers: &[u32]) -> Result<Self, Problem> {
        let pixels = Pixels::open(row, |row| Ok(archive.layout(row)?))?;
        let first = numbers.first().map(|number| pixels.frame(*number)).transpose()?;
        if let Some(span) = first.and_then(|place| place.spans.first().copied()) {
            archive.reach_part(&pixels.row, span.at..span.at.saturating_add(span.len))?;
        }
        let places = numbers.iter().map(|number| Ok((*number, pixels.frame(*number)?)));
        let places = places.collect::<Result<Vec<_>, Problem>>()?;
        Ok(Self { pixels, places })
    }

    /// Bytes that are read for all of them, where they are few and go out untouched.
    fn small(&self, rendition: &FrameRendition) -> Option<u64> {
        if rendition.swap || self.pixels.row.transfer_syntax.as_str() == media::DEFLATED_LE {
            return None;
        }
        let add = |sum: u64, (_, place): &(u32, FramePlace)| {
            let run = run(place)?;
            sum.checked_add(run.end - run.start).filter(|sum| *sum <= ready::MOST)
        };
        self.places.iter().try_fold(0, add).filter(|_| self.places.len() <= FRAMES_AT_ONCE)
    }

    /// The bytes of each frame, one reading for each.
    fn read(&self, archive: &Arc<Archive>, share: Share) -> Result<Vec<Bytes>, Problem> {
        let row = &self.pixels.row;
        let base = u64::from(row.meta_len);
        let mut frames = Vec::with_capacity(self.places.len());
        for (_, place) in &self.places {
            let run = run(place).unwrap_or_default();
            let bytes = archive.read(row, base.saturating_add(run.start)..base.saturating_add(run.end))?;
            if u64::try_from(bytes.len()) != Ok(run.end - run.start) {
                return Err(RetrieveError::Damaged { what: "a frame is shorter than noted".into() }.into());
            }
            frames.push(match place.spans.as_slice() {
                [_] => bytes,
                spans => joined(&bytes, run.start, spans),
            });
        }
        Ok(share.over(frames))
    }
}

/// The bytes from the first of a frame to its last, fragments of one with what lies between them; nothing where it
/// begins or ends inside a byte, or is in no order.
fn run(place: &FramePlace) -> Option<Range<u64>> {
    let (first, last) = (place.spans.first()?, place.spans.last()?);
    let whole = place.skip_bits == 0 && place.bits.is_multiple_of(8);
    let end = |span: &Span| span.at.checked_add(span.len);
    let ordered = place.spans.windows(2).all(|two| match two {
        [one, next] => end(one).is_some_and(|end| end <= next.at),
        _ => true,
    });
    (whole && ordered).then_some(first.at..end(last)?)
}

/// The fragments of a frame out of the run of bytes that begins at `start`.
fn joined(run: &[u8], start: u64, spans: &[Span]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for span in spans {
        let place = usize::try_from(span.at.saturating_sub(start)).ok().zip(usize::try_from(span.len).ok());
        let part = place.and_then(|(at, len)| run.get(at..at.checked_add(len)?));
        bytes.extend_from_slice(part.unwrap_or_default());
    }
    bytes
}

/// The answer of frames that lie ready.
fn at_once(
    call: &Call,
    stored: &Stored,
    mut frames: Vec<Bytes>,
    rendition: &FrameRendition,
) -> Result<Response, Problem> {
    let Stored { pixels, places } = stored;
    let (content_type, tag) = described(&pixels.row, places, rendition);
    if rendition.wrapping == Wrapping::Single {
        let frame = frames.pop().ok_or_else(no_frame)?;
        let whole = Whole { content_type, etag: tag, length: None };
        return Ok(conditional::respond_ready(&call.parts.headers, whole, &frame));
    }
    let location = format!("{}/frames", instance_url(&call.service_root(), &pixels.row));
    let parts = places.iter().zip(frames).map(|((number, _), bytes)| (format!("{location}/{number}"), bytes));
    let mut response = of_ready(rendition.media, &content_type, parts.collect());
    conditional::tag(&mut response, &format!("W/{tag}"));
    Ok(response)
}

/// The answer of frames that are read while they are sent.
async fn piece_by_piece(call: &Call, stored: Stored, rendition: &FrameRendition) -> Result<Response, Problem> {
    let Stored { pixels, places } = stored;
    let location = format!("{}/frames", instance_url(&call.service_root(), &pixels.row));
    let permit = match pixels.row.transfer_syntax.as_str() {
        media::DEFLATED_LE => Some(encoding::permit(&call.app).await?),
        _ => None,
    };
    answer(&call.app, &call.parts.headers, pixels, places, rendition, &location, permit)
}

/// Frame numbers from 1, separated by commas.
pub(super) fn numbers(text: &str, most: usize) -> Result<Vec<u32>, Problem> {
    let bad = |detail: String| Problem::new(Kind::BadRequest, detail).at("path segment frames");
    let mut numbers = Vec::new();
    for piece in text.split(',') {
        if numbers.len() >= most {
            return Err(bad(format!("at most {most} frames are answered at once")));
        }
        match piece.trim().parse::<u32>() {
            Ok(number) if number > 0 => numbers.push(number),
            _ => return Err(bad("frames are whole numbers from 1, separated by commas".into())),
        }
    }
    Ok(numbers)
}

/// The pixel data of an instance as it is stored.
pub(super) struct Pixels {
    pub(super) row: InstanceRow,
    pub(super) span: PixelSpan,
    frames: Frames,
}

impl Pixels {
    /// The pixel data of an instance; 404 when it has none.
    pub(super) fn open(
        row: InstanceRow,
        layout: impl FnOnce(&InstanceRow) -> Result<Layout, Problem>,
    ) -> Result<Self, Problem> {
        let layout = layout(&row)?;
        match layout.pixel {
            Some(span) => Ok(Self { row, span, frames: layout.frames }),
            None => Err(Problem::new(Kind::NotFound, "the instance has no pixel data")),
        }
    }

    /// How many frames there are.
    pub(super) fn count(&self) -> u32 {
        dataset::frames::count(&self.frames)
    }

    /// Whether the value is one run of bytes.
    pub(super) fn is_native(&self) -> bool {
        matches!(self.frames, Frames::Native { .. } | Frames::None)
    }

    /// Every frame, one after the other; of native data the value itself.
    pub(super) fn all(self, app: &Arc<App>, swap: bool) -> io::Result<Source> {
        let spans = match self.is_native() {
            true => vec![self.span.value],
            false => (1..=self.count()).filter_map(|number| self.frame(number).ok()).flat_map(|f| f.spans).collect(),
        };
        let bits = spans.iter().map(|span| span.len).fold(0u64, u64::saturating_add).saturating_mul(8);
        let whole = FramePlace { spans, skip_bits: 0, bits };
        FrameReader::new(app, self, swap, None).open(&whole)
    }

    /// Where a frame (from 1) lies; 404 beyond the last.
    pub(super) fn frame(&self, number: u32) -> Result<FramePlace, Problem> {
        place(&self.span, &self.frames, number.saturating_sub(1)).ok_or_else(|| {
            let detail = format!("the instance has {} frames, there is no frame {number}", self.count());
            Problem::new(Kind::NotFound, detail).at("path segment frames")
        })
    }
}

/// The answer for frames of one instance.
pub(super) fn answer(
    app: &Arc<App>,
    headers: &HeaderMap,
    pixels: Pixels,
    places: Vec<(u32, FramePlace)>,
    rendition: &FrameRendition,
    location: &str,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Response, Problem> {
    let (content_type, tag) = described(&pixels.row, &places, rendition);
    let reader = Arc::new(FrameReader::new(app, pixels, rendition.swap, permit));
    if rendition.wrapping == Wrapping::Single {
        let first = places.into_iter().next().ok_or_else(no_frame)?;
        let whole = Whole { content_type, etag: tag, length: Some(length(&first.1)) };
        return Ok(conditional::respond(headers, &whole, move |range| reader.part(&first.1, range)));
    }
    let mut answer = Multipart::new();
    for (number, place) in places {
        let reader = Arc::clone(&reader);
        let length = Some(length(&place));
        answer.part(&content_type, Some(&format!("{location}/{number}")), length, move || reader.open(&place));
    }
    Ok(multipart(headers, answer, rendition.media, &tag))
}

/// Media type and tag of frames of an instance.
fn described(row: &InstanceRow, places: &[(u32, FramePlace)], rendition: &FrameRendition) -> (String, String) {
    let content_type = format!("{}; transfer-syntax={}", rendition.media, rendition.syntax);
    let asked = places.iter().map(|(number, _)| number.to_string()).collect::<Vec<_>>().join(",");
    let tag = etag([row], &format!("frames {asked} {content_type} {:?}", rendition.wrapping));
    (content_type, tag)
}

fn no_frame() -> Problem {
    Problem::new(Kind::NotFound, "no frame was asked")
}

/// Bytes of a frame as it goes out.
fn length(place: &FramePlace) -> u64 {
    if place.skip_bits > 0 || !place.bits.is_multiple_of(8) {
        return place.bits.div_ceil(8);
    }
    place.spans.iter().map(|span| span.len).sum()
}

/// Reads frames of one instance, in any order, forward ones cheaply where the data set is deflated.
struct FrameReader {
    app: Arc<App>,
    pixels: Pixels,
    swap: bool,
    /// The inflating reader and its position, kept between frames.
    inflated: Mutex<Option<(Source, u64)>>,
    /// Its place among the answers that re-encode, given back with the last frame.
    _permit: Option<OwnedSemaphorePermit>,
}

impl FrameReader {
    fn new(app: &Arc<App>, pixels: Pixels, swap: bool, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { app: Arc::clone(app), pixels, swap, inflated: Mutex::new(None), _permit: permit }
    }

    /// Some bytes of a frame.
    fn part(&self, place: &FramePlace, range: Range<u64>) -> io::Result<Source> {
        let plain = place.skip_bits == 0 && place.bits.is_multiple_of(8) && !self.swap && !self.is_deflated();
        if plain {
            return Ok(Box::new(Spans::new(&self.app, &self.pixels.row, spans::inside(&place.spans, &range))));
        }
        let mut whole = self.open(place)?;
        skip(&mut whole, range.start)?;
        Ok(Box::new(Exactly::new(whole, range.end.saturating_sub(range.start))))
    }

    fn is_deflated(&self) -> bool {
        self.pixels.row.transfer_syntax.as_str() == media::DEFLATED_LE
    }

    fn open(&self, place: &FramePlace) -> io::Result<Source> {
        let whole: Source = match place.spans.as_slice() {
            [span] if self.is_deflated() => self.inflated_span(*span)?,
            spans => Box::new(Spans::new(&self.app, &self.pixels.row, spans.to_vec())),
        };
        if place.skip_bits > 0 || !place.bits.is_multiple_of(8) {
            let mut bytes = Vec::new();
            whole.take(SHIFTED_MAX).read_to_end(&mut bytes)?;
            let aligned = dataset::frames::align(&bytes, place.skip_bits, place.bits);
            return Ok(Box::new(io::Cursor::new(aligned)));
        }
        if self.swap {
            let width = word_width(&self.app, &self.pixels)?;
            return Ok(Box::new(Swapped::new(whole, width)));
        }
        Ok(whole)
    }

    fn inflated_span(&self, span: Span) -> io::Result<Source> {
        let mut kept = self.inflated.lock();
        let (mut reader, position) = match kept.take() {
            Some((reader, position)) if position <= span.at => (reader, position),
            _ => (encoding::inflated(&self.app, &self.pixels.row)?, 0),
        };
        skip(&mut reader, span.at.saturating_sub(position))?;
        let mut bytes = Vec::new();
        Exactly::new(&mut reader, span.len).read_to_end(&mut bytes)?;
        *kept = Some((reader, span.at.saturating_add(span.len)));
        Ok(Box::new(io::Cursor::new(bytes)))
    }
}

/// Bytes of one word of big endian pixel data, by the VR the data set says.
pub(super) fn word_width(app: &Arc<App>, pixels: &Pixels) -> io::Result<usize> {
    let mut header = [0u8; 6];
    let mut file = app.archive.data_set(&pixels.row);
    file.seek(SeekFrom::Start(pixels.span.header))?;
    file.read_exact(&mut header)?;
    let [_, _, _, _, first, second] = header;
    let allocated = pixels.row.attributes.get(&model::attribute::key::BITS_ALLOCATED).map(|text| text.trim());
    Ok(match [first, second] {
        [b'O', b'W'] if allocated == Some("32") => 4,
        [b'O', b'W'] if allocated == Some("64") => 8,
        [b'O', b'W'] => 2,
        [b'O', b'F'] => 4,
        [b'O', b'D'] => 8,
        _ => 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_lists_are_numbers_from_one() {
        assert_eq!(numbers("1,3, 2", 10).expect("list"), [1, 3, 2]);
        for bad in ["", "0", "1,,2", "-1", "x", "1;2", "4294967296"] {
            assert_eq!(numbers(bad, 10).expect_err(bad).kind, Kind::BadRequest);
        }
        assert!(numbers("1,2,3", 2).is_err());
    }
}
