//! Query parameters of pictures (PS3.18 sections 8.3.5.1 and 9.1.2): each is read before anything is looked up.
//!
//! What cannot be read is refused with its reason; nothing is guessed.

use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::render::{Annotation, Wanted};
use dataset::render::{BadParameter, Encoding, Function, Options, Profile, SIDE_MAX, Viewport, Window};

/// How pictures are wanted; the media type is decided later.
pub(super) fn rendered(call: &Call) -> Result<Wanted, Problem> {
    let read = |name: &str| call.query_value(name);
    let window = read("window").map(Window::parse).transpose().map_err(at("window"))?;
    let viewport = read("viewport").map(Viewport::parse).transpose().map_err(at("viewport"))?;
    let profile = read("iccprofile").map(Profile::parse).transpose().map_err(at("iccprofile"))?;
    let annotation = read("annotation").map(annotation).transpose().map_err(at("annotation"))?;
    let quality = read("quality").map(quality).transpose().map_err(at("quality"))?;
    let how = Options {
        window,
        viewport,
        profile: profile.unwrap_or_default(),
        overlays: annotation.is_some(),
        ..Options::default()
    };
    Ok(wanted(how, quality, annotation))
}

/// How a thumbnail is wanted; nothing where it is the usual one.
pub(super) fn thumbnail(call: &Call) -> Result<Option<Wanted>, Problem> {
    let Some(text) = call.query_value("viewport") else { return Ok(None) };
    let viewport = Viewport::parse(text).map_err(at("viewport"))?;
    if viewport.region.iter().any(Option::is_some) {
        return Err(at("viewport")(BadParameter("the viewport of a thumbnail is width,height".into())));
    }
    let small = Wanted::small(Encoding::Jpeg);
    Ok(Some(Wanted { how: Options { viewport: Some(viewport), ..small.how }, ..small }))
}

/// The same by the names of WADO-URI, and the frame from 1 where one is named.
pub(crate) fn by_uri(value: &dyn Fn(&str) -> Option<String>) -> Result<(Wanted, Option<u32>), Problem> {
    let number = |name: &'static str| -> Result<Option<f64>, Problem> {
        let bad = |_| at(name)(BadParameter(format!("{name} is a number")));
        value(name).map(|text| text.trim().parse::<f64>().map_err(bad)).transpose()
    };
    let window = match (number("windowCenter")?, number("windowWidth")?) {
        (Some(center), Some(width)) => Some(Window::new(center, width, Function::Linear).map_err(at("windowWidth"))?),
        (None, None) => None,
        _ => return Err(at("windowCenter")(BadParameter("windowCenter and windowWidth go together".into()))),
    };
    let side = |name: &'static str| -> Result<Option<u32>, Problem> {
        let bad = || at(name)(BadParameter(format!("{name} is a number of pixels from 1 to {SIDE_MAX}")));
        let parse = |text: String| text.trim().parse().ok().filter(|side| (1..=SIDE_MAX).contains(side));
        value(name).map(|text| parse(text).ok_or_else(bad)).transpose()
    };
    let (rows, columns) = (side("rows")?, side("columns")?);
    let viewport = (rows.is_some() || columns.is_some())
        .then(|| Viewport::fit(columns.unwrap_or(SIDE_MAX), rows.unwrap_or(SIDE_MAX)));
    let annotation = value("annotation").map(|text| annotation(&text)).transpose().map_err(at("annotation"))?;
    let quality = value("imageQuality").map(|text| quality(&text)).transpose().map_err(at("imageQuality"))?;
    let bad = || at("frameNumber")(BadParameter("frameNumber is a number from 1".into()));
    let parse = |text: String| text.trim().parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(bad);
    let frame = value("frameNumber").map(parse).transpose()?;
    let how = Options { window, viewport, overlays: annotation.is_some(), ..Options::default() };
    Ok((wanted(how, quality, annotation), frame))
}

fn wanted(how: Options, quality: Option<u8>, annotation: Option<Annotation>) -> Wanted {
    let annotation = annotation.unwrap_or_default();
    Wanted { how, encoding: Encoding::Jpeg, quality: quality.unwrap_or(Wanted::QUALITY), annotation }
}

fn quality(text: &str) -> Result<u8, BadParameter> {
    let quality = text.trim().parse::<u8>().ok().filter(|quality| (1..=100).contains(quality));
    quality.ok_or_else(|| BadParameter("quality is a whole number from 1 to 100".into()))
}

fn annotation(text: &str) -> Result<Annotation, BadParameter> {
    let mut found = Annotation::default();
    for word in text.split(',').map(str::trim) {
        match word {
            "patient" => found.patient = true,
            "technique" => found.technique = true,
            _ => return Err(BadParameter("annotation is patient, technique or both".into())),
        }
    }
    Ok(found)
}

fn at(name: &'static str) -> impl Fn(BadParameter) -> Problem {
    move |error| Problem::new(Kind::BadRequest, error.to_string()).at(format!("query parameter {name}"))
}
