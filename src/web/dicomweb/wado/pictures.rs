//! Images as pictures (PS3.18 sections 8.7.4 and 10.4.1.1.3): one, all of them as parts, or frames as an animation.
//!
//! Which form answers is decided here, from the ranges of a request and how many pictures there are;
//! how a picture comes about is the archive's matter.

use super::{etag, frames, instance, instance_url, look, multipart, not_acceptable, parameters, select, target};
use crate::accept::MediaRange;
use crate::app::{App, Call};
use crate::conditional::{self, Whole};
use crate::dicomweb::multipart::Multipart;
use crate::dicomweb::warn;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::render::{Annotation, Shown, Wanted};
use archive::{Archive, InstanceRow};
use axum::response::Response;
use dataset::render::Encoding;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a picture waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(30);

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One picture.
    Single(Encoding),
    /// Frames one after the other.
    Animated,
    /// A part for each picture.
    Parts(Encoding),
}

/// The frames of an instance, and no more than one beyond what may be answered at once.
fn frames_of(call: &Call, row: &Arc<InstanceRow>) -> Vec<Shown> {
    let most = call.app.options.frames_max.saturating_add(1);
    (1..=row.frames.count()).take(most).map(|number| (Arc::clone(row), number)).collect()
}

fn few_enough(call: &Call, count: usize) -> Result<(), Problem> {
    let most = call.app.options.frames_max;
    let detail = || format!("more than {most} frames (http.frames_max)");
    if count > most { Err(Problem::new(Kind::NotAcceptable, detail())) } else { Ok(()) }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Every image of a study or series: one alone stands for all.
    Several,
    /// The same of a series whose images can be shown one after the other.
    Series,
    /// An instance: its first frame stands for all.
    Instance,
    /// Frames by number: none stands for others.
    Frames,
}

/// Answers a retrieve of rendered images of a study, a series or frames.
pub(crate) async fn retrieve(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let ranges = call.accepts()?;
    let wanted = parameters::rendered(&call)?;
    if endpoint == Endpoint::RenderedFrames {
        let numbers = frames::numbers(call.parameter("frames"), call.app.options.frames_max)?;
        let (row, notes) = instance(&call).await?;
        look(&call, Some(&row));
        let row = Arc::new(row);
        let pictures = numbers.into_iter().map(|number| (Arc::clone(&row), number)).collect();
        return answer(&call, pictures, Asked::Frames, &ranges, wanted, notes).await;
    }
    let target = target(endpoint, &call)?;
    let selection = select(&call, target.clone()).await?;
    look(&call, selection.instances.first());
    let mut pictures = Vec::new();
    let mut notes = selection.notes;
    let images = selection.instances.iter().filter(|row| row.frames.count() > 0).count();
    let shown = selection.instances.into_iter().filter(Archive::has_pictures).map(Arc::new).collect::<Vec<_>>();
    if shown.len() < images {
        notes.push("videos and images in syntaxes that are not decoded are left out".into());
    }
    for row in &shown {
        pictures.extend(frames_of(&call, row));
        few_enough(&call, pictures.len())?;
    }
    if pictures.is_empty() {
        return Err(Problem::new(Kind::NotFound, "there is no image here that can be shown").at("path"));
    }
    let mut asked = Asked::Several;
    if endpoint == Endpoint::RenderedSeries
        && form(&ranges, pictures.len(), Asked::Series) == Some(Form::Animated)
        && let Some(moving) = moving(&call, shown, &mut notes)
    {
        (pictures, asked) = (moving, Asked::Series);
    }
    if pictures.len() > 1 && matches!(form(&ranges, pictures.len(), asked), Some(Form::Single(_))) {
        notes.push(format!("one picture stands for {}; multipart/related gives all of them", pictures.len()));
        let (caller, scope) = (call.caller.clone(), call.scope);
        let (row, number, _) =
            call.blocking(move |archive| Ok(archive.representative(&caller, scope, &target)?)).await?;
        pictures = vec![(Arc::new(row), number)];
    }
    answer(&call, pictures, asked, &ranges, wanted, notes).await
}

/// What an animation of a series shows: its images of one frame, or the frames of its only image; none where it has
/// nothing of the kind.
fn moving(call: &Call, shown: Vec<Arc<InstanceRow>>, notes: &mut Vec<String>) -> Option<Vec<Shown>> {
    let (single, others): (Vec<_>, Vec<_>) = shown.into_iter().partition(|row| row.frames.count() == 1);
    if single.len() < 2 {
        let only = others.first().filter(|_| single.is_empty() && others.len() == 1);
        return only.map(|row| frames_of(call, row));
    }
    if !others.is_empty() {
        notes.push("images of several frames are left out of the animation".into());
    }
    Some(single.into_iter().map(|row| (row, 1)).collect())
}

/// Answers with an instance's frames.
pub(super) async fn of_instance(call: &Call, row: InstanceRow, ranges: &[MediaRange]) -> Result<Response, Problem> {
    let wanted = parameters::rendered(call)?;
    let pictures = frames_of(call, &Arc::new(row));
    answer(call, pictures, Asked::Instance, ranges, wanted, Vec::new()).await
}

/// Answers with what a presentation state shows, of the images it names or of one of them alone.
pub(crate) async fn by_state(
    call: &Call,
    state: InstanceRow,
    only: Option<InstanceRow>,
    ranges: &[MediaRange],
    (mut wanted, frame): (Wanted, Option<u32>),
) -> Result<Response, Problem> {
    let (caller, scope) = (call.caller.clone(), call.scope);
    let (presentation, images) = call
        .blocking(move |archive| {
            let presentation = archive.presentation(&state)?;
            let mut images = archive.presented(&caller, scope, &state, &presentation)?;
            if let Some(only) = only {
                images.retain(|(image, _)| image.sop_instance == only.sop_instance);
                if images.is_empty() {
                    let detail = "the presentation state is not about this image";
                    return Err(Problem::new(Kind::BadRequest, detail).at("query parameter presentationUID"));
                }
            }
            Ok((presentation, images))
        })
        .await?;
    let asked = if images.len() == 1 { Asked::Instance } else { Asked::Several };
    let mut pictures = Vec::new();
    for (row, frames) in images {
        let row = Arc::new(row);
        match (frame, frames.is_empty()) {
            (Some(number), _) => pictures.push((row, number)),
            (None, true) => pictures.extend(frames_of(call, &row)),
            (None, false) => pictures.extend(frames.into_iter().map(|number| (Arc::clone(&row), number))),
        }
        few_enough(call, pictures.len())?;
    }
    wanted.how.presentation = Some(presentation);
    answer(call, pictures, asked, ranges, wanted, Vec::new()).await
}

/// Answers with one frame of an instance, or its first, as WADO-URI asks for it.
pub(crate) async fn by_uri(
    call: &Call,
    row: InstanceRow,
    ranges: &[MediaRange],
    (wanted, frame): (Wanted, Option<u32>),
) -> Result<Response, Problem> {
    let row = Arc::new(row);
    let pictures = match frame {
        Some(number) => vec![(row, number)],
        None => frames_of(call, &row),
    };
    answer(call, pictures, Asked::Instance, ranges, wanted, Vec::new()).await
}

/// The form of the best range that fits.
fn form(ranges: &[MediaRange], count: usize, asked: Asked) -> Option<Form> {
    ranges.iter().find_map(|range| {
        let wildcard = range.main == "*";
        if range.main == "multipart" || (wildcard && count > 1 && asked != Asked::Instance) {
            let fits = |encoding: &Encoding| range.covers_parts(encoding.media(), "image/jpeg");
            return Encoding::ALL.into_iter().find(fits).map(Form::Parts);
        }
        let moves = match asked {
            Asked::Several => false,
            // Whoever takes any image of a series wants one.
            Asked::Series => range.sub == "gif",
            Asked::Instance | Asked::Frames => true,
        };
        if count > 1 && moves && range.covers("image", "gif") {
            return Some(Form::Animated);
        }
        let encoding = Encoding::ALL.into_iter().find(|encoding| range.covers_type(encoding.media()));
        encoding.filter(|_| count == 1 || asked != Asked::Frames).map(Form::Single)
    })
}

/// Answers with pictures in the form the ranges prefer.
async fn answer(
    call: &Call,
    mut pictures: Vec<Shown>,
    asked: Asked,
    ranges: &[MediaRange],
    wanted: Wanted,
    mut notes: Vec<String>,
) -> Result<Response, Problem> {
    let Some(form) = form(ranges, pictures.len(), asked) else {
        let offered = "pictures are answered as image/jpeg, image/png or image/gif, several as \
                       multipart/related; type=\"image/jpeg\", frames of one instance and images of a series also as \
                       an animated image/gif";
        return Err(not_acceptable(offered));
    };
    if let Some((_, number)) = pictures.iter().find(|(row, number)| *number > row.frames.count()) {
        return Err(Problem::new(Kind::NotFound, format!("there is no frame {number}")).at("path segment frames"));
    }
    if !matches!(form, Form::Single(_)) {
        few_enough(call, pictures.len())?;
    }
    let wanted = labelled(call, &pictures, wanted).await?;
    let mut response = match form {
        Form::Single(encoding) => {
            if pictures.len() > 1 {
                let count = pictures.first().map_or(0, |(row, _)| row.frames.count());
                notes.push(format!("this is the first of {count} frames"));
                pictures.truncate(1);
            }
            single(call, pictures, Wanted { encoding, ..wanted }).await?
        }
        Form::Animated => animated(call, pictures, Wanted { encoding: Encoding::Gif, ..wanted }).await?,
        Form::Parts(encoding) => parts(call, pictures, Wanted { encoding, ..wanted }).await?,
    };
    warn(&mut response, &notes);
    Ok(response)
}

/// The wish with the text of the first picture, so that tags change with it.
async fn labelled(call: &Call, pictures: &[Shown], wanted: Wanted) -> Result<Wanted, Problem> {
    let first = pictures.first().filter(|_| wanted.annotation != Annotation::default());
    let Some((row, _)) = first.cloned() else { return Ok(wanted) };
    call.blocking(move |archive| Ok(archive.labelled(&row, &wanted)?)).await
}

async fn single(call: &Call, pictures: Vec<Shown>, wanted: Wanted) -> Result<Response, Problem> {
    let picture = pictures.into_iter().next();
    let (row, number) = picture.ok_or_else(|| Problem::new(Kind::NotFound, "there is no picture"))?;
    let tag = etag([row.as_ref()], &format!("picture {number} {}", wanted.name()));
    if conditional::is_known(&call.parts.headers, &tag) {
        return Ok(conditional::not_modified(&tag));
    }
    let media = wanted.encoding.media();
    let bytes = one(call, row, number, wanted).await?;
    Ok(whole(call, bytes, media, tag))
}

/// A picture: from memory at once, else when its turn has come.
pub(super) async fn one(
    call: &Call,
    row: Arc<InstanceRow>,
    number: u32,
    wanted: Wanted,
) -> Result<Arc<Vec<u8>>, Problem> {
    if let Some(found) = call.app.archive.rendered_before(&row, number, &wanted) {
        return Ok(found);
    }
    let permit = turn(&call.app).await?;
    call.blocking(move |archive| {
        let made = archive.rendered(&row, number, &wanted)?;
        drop(permit);
        Ok(made)
    })
    .await
}

async fn animated(call: &Call, pictures: Vec<Shown>, wanted: Wanted) -> Result<Response, Problem> {
    let numbers: Vec<u32> = pictures.iter().map(|(_, number)| *number).collect();
    let tag = etag(pictures.iter().map(|(row, _)| row.as_ref()), &format!("animation {numbers:?} {}", wanted.name()));
    if conditional::is_known(&call.parts.headers, &tag) {
        return Ok(conditional::not_modified(&tag));
    }
    // Fewer than pictures at a time: single ones must not wait for all of them.
    let alone = place(&call.app.animations).await?;
    let permit = turn(&call.app).await?;
    let bytes = call
        .blocking_while_asked(move |archive, gone| {
            let made = archive.animated(&archive.in_viewing_order(pictures)?, &wanted, gone)?;
            drop((permit, alone));
            Ok(made)
        })
        .await?;
    Ok(whole(call, bytes, Encoding::Gif.media(), tag))
}

/// A part for each picture, made when the client has read so far; the first before the answer begins, so that a refusal
/// is one. The place among the pictures being made is taken for each of them alone: a client that reads slowly must not
/// keep others from theirs.
async fn parts(call: &Call, pictures: Vec<Shown>, wanted: Wanted) -> Result<Response, Problem> {
    let numbers: Vec<u32> = pictures.iter().map(|(_, number)| *number).collect();
    let tag = etag(pictures.iter().map(|(row, _)| row.as_ref()), &format!("pictures {numbers:?} {}", wanted.name()));
    let media = wanted.encoding.media();
    if let Some((row, number)) = pictures.first() {
        one(call, Arc::clone(row), *number, wanted.clone()).await?;
    }
    let root = call.service_root();
    let mut answer = Multipart::new();
    for (at, (row, number)) in pictures.into_iter().enumerate() {
        let line_end = if at == 0 { "" } else { "\r\n" };
        let (boundary, location) = (answer.boundary(), instance_url(&root, &row));
        let head = format!(
            "{line_end}--{boundary}\r\nContent-Type: {media}\r\n\
             Content-Location: {location}/frames/{number}/rendered\r\n\r\n"
        );
        let (app, wanted) = (Arc::clone(&call.app), wanted.clone());
        answer.written(move || match app.archive.rendered(&row, number, &wanted) {
            Ok(bytes) => Ok(Box::new(io::Cursor::new(head).chain(io::Cursor::new(Shared(bytes))))),
            // The answer has begun: a picture that fails is left out, and the others still come.
            Err(error) => {
                tracing::warn!(instance = %row.sop_instance, number, %error, "a picture is left out");
                Ok(Box::new(io::empty()))
            }
        });
    }
    Ok(multipart(&call.parts.headers, answer, media, &tag))
}

/// Bytes that others hold too.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A picture as one body.
pub(super) fn whole(call: &Call, bytes: Arc<Vec<u8>>, media: &str, etag: String) -> Response {
    let length = u64::try_from(bytes.len()).ok();
    let whole = Whole { content_type: media.to_owned(), etag, length };
    conditional::respond(&call.parts.headers, &whole, move |range| {
        let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = place.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default().to_vec();
        Ok(Box::new(io::Cursor::new(part)))
    })
}

/// A place among the pictures being made, waited for within bounds.
async fn turn(app: &App) -> Result<OwnedSemaphorePermit, Problem> {
    place(&app.pictures).await
}

async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    match tokio::time::timeout(TURN_WAIT, Arc::clone(places).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Problem::new(Kind::Busy, "as many pictures as allowed are being made (pictures.at_once)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept;

    fn chosen(accepted: &str, count: usize, asked: Asked) -> Option<Form> {
        form(&accept::ranges(&http::HeaderMap::new(), Some(accepted)).expect(accepted), count, asked)
    }

    #[test]
    fn the_form_follows_what_is_asked_and_how_much_there_is() {
        use Asked::{Frames, Instance, Series, Several};
        use Form::{Animated, Parts, Single};
        let jpeg = Encoding::Jpeg;
        for (accepted, count, asked, expected) in [
            ("*/*", 1, Instance, Some(Single(jpeg))),
            ("image/png", 1, Instance, Some(Single(Encoding::Png))),
            ("image/gif", 1, Instance, Some(Single(Encoding::Gif))),
            ("image/png;q=0.5, image/jpeg", 1, Frames, Some(Single(jpeg))),
            ("image/avif,image/webp,image/*,*/*;q=0.8", 1, Instance, Some(Single(jpeg))),
            ("*/*", 9, Instance, Some(Animated)),
            ("image/jpeg", 9, Instance, Some(Single(jpeg))),
            ("image/jpeg", 9, Frames, None),
            ("image/gif", 9, Frames, Some(Animated)),
            ("*/*", 9, Several, Some(Parts(jpeg))),
            ("image/*", 9, Several, Some(Single(jpeg))),
            ("image/gif", 9, Several, Some(Single(Encoding::Gif))),
            ("image/gif", 9, Series, Some(Animated)),
            ("image/gif", 1, Series, Some(Single(Encoding::Gif))),
            ("image/*", 9, Series, Some(Single(jpeg))),
            ("image/jpeg, image/gif;q=0.5", 9, Series, Some(Single(jpeg))),
            ("*/*", 9, Series, Some(Parts(jpeg))),
            ("multipart/related; type=\"image/png\"", 9, Several, Some(Parts(Encoding::Png))),
            ("multipart/related; type=image/*", 1, Instance, Some(Parts(jpeg))),
            ("multipart/related; type=\"application/dicom\"", 1, Instance, None),
            ("application/dicom", 1, Instance, None),
            ("video/mp4", 9, Instance, None),
        ] {
            assert_eq!(chosen(accepted, count, asked), expected, "{accepted} {count} {asked:?}");
        }
    }
}
