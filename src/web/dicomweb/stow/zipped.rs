//! Instances sent as the entries of a ZIP file, an extension of ours: what other systems and people export.
//!
//! Entries stream to the archive as they arrive. What is no DICOM object (a DICOMDIR, a viewer, a text) is passed over
//! and counted; an entry that is named as an object, or is one and is damaged, has its own result.

use super::next;
use super::parts::PartHeaders;
use super::unzip::{Event, Unzip, ZipError};
use super::upload::Upload;
use crate::options::Options;
use crate::problem::{Kind, Problem};
use axum::body::Body;

/// Bytes by which an entry is told to be a DICOM object: the preamble and its prefix (PS3.10 section 7.1).
const PREFIX_END: usize = 132;

/// Where the current entry is.
enum Stage {
    /// Passed over.
    Other,
    /// Not known yet; the bytes so far and whether its name says that it is an object.
    Gathering(Vec<u8>, bool),
    /// On its way into the archive.
    Object,
}

/// Takes the entries and hands the objects to the upload; how many other entries there were.
pub(super) async fn receive(body: &mut Body, upload: &mut Upload, options: &Options) -> (usize, Result<(), Problem>) {
    let mut others = 0;
    let outcome = entries(body, upload, options, &mut others).await;
    if outcome.is_err() {
        upload.abandon();
    }
    (others, outcome)
}

async fn entries(body: &mut Body, upload: &mut Upload, options: &Options, others: &mut usize) -> Result<(), Problem> {
    let (mut zip, mut stage, mut seen) = (Unzip::default(), Stage::Other, 0usize);
    while let Some(bytes) = next(body, options.stall_timeout).await? {
        zip.feed(&bytes);
        loop {
            match zip.next_event().map_err(|error| refused(&error))? {
                Event::Hungry | Event::Closed => break,
                Event::Start(name) => {
                    seen += 1;
                    if seen > options.stow_parts_max {
                        let detail = format!("at most {} entries are taken in one request", options.stow_parts_max);
                        return Err(Problem::new(Kind::TooLarge, detail).at("body"));
                    }
                    stage = begun(&name);
                }
                Event::Data(data) => stage = more(stage, &data, upload).await?,
                Event::End(right) => {
                    let done = std::mem::replace(&mut stage, Stage::Other);
                    *others += usize::from(ended(done, right, upload).await?);
                }
            }
        }
        // Inflating is work between two waits: others on this thread get their turn.
        tokio::task::yield_now().await;
    }
    zip.finish().map_err(|error| refused(&error))
}

fn refused(error: &ZipError) -> Problem {
    let kind = if *error == ZipError::Bomb { Kind::TooLarge } else { Kind::BadRequest };
    Problem::new(kind, error.to_string()).at("body")
}

fn begun(name: &str) -> Stage {
    let file = name.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    if file.is_empty() || file == "dicomdir" {
        return Stage::Other;
    }
    Stage::Gathering(Vec::new(), [".dcm", ".dicom"].iter().any(|end| file.ends_with(end)))
}

async fn more(stage: Stage, data: &[u8], upload: &mut Upload) -> Result<Stage, Problem> {
    match stage {
        Stage::Other => Ok(Stage::Other),
        Stage::Object => {
            upload.write(data).await;
            Ok(Stage::Object)
        }
        Stage::Gathering(mut gathered, named) => {
            gathered.extend_from_slice(data);
            if gathered.len() < PREFIX_END {
                return Ok(Stage::Gathering(gathered, named));
            }
            if named || gathered.get(128..PREFIX_END) == Some(b"DICM") {
                upload.begin(&PartHeaders::default())?;
                upload.write(&gathered).await;
                return Ok(Stage::Object);
            }
            Ok(Stage::Other)
        }
    }
}

/// The entry is over; whether it was none of ours.
async fn ended(stage: Stage, right: bool, upload: &mut Upload) -> Result<bool, Problem> {
    match stage {
        Stage::Other | Stage::Gathering(_, false) => return Ok(true),
        Stage::Gathering(bytes, true) => {
            upload.begin(&PartHeaders::default())?;
            upload.write(&bytes).await;
        }
        Stage::Object => {}
    }
    if right {
        upload.end().await;
    } else {
        upload.spoil("the checksum of the ZIP entry is wrong");
    }
    Ok(false)
}
