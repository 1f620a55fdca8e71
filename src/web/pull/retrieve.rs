//! WADO-RS of a study as a user: a multipart answer, split as it comes.

use super::{PullError, Service, content_type};
use crate::accept;
use crate::dicomweb::stow::part_syntax;
use crate::dicomweb::stow::parts::{Event, PartHeaders, Splitter};
use model::Uid;

/// The objects as the other archive has them, whatever their transfer syntax.
const AS_STORED: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";

/// Takes what is fetched, object by object.
pub trait Taker {
    /// A DICOM file begins; its transfer syntax as the answer names it.
    fn begin(&mut self, transfer_syntax: Option<Uid>);
    /// The next bytes of the file.
    fn write(&mut self, bytes: &[u8]);
    /// It is complete.
    fn finish(&mut self);
    /// It will never be complete: nothing of it is kept.
    fn abandon(&mut self);
    /// A part came that is no DICOM file.
    fn refuse(&mut self, why: String);
}

impl Service {
    /// WADO-RS of a study; its objects go to `taker`. Returns how many parts came.
    ///
    /// # Errors
    /// When the answer is not whole: what was complete before was taken.
    pub fn retrieve(&self, study: &Uid, taker: &mut dyn Taker) -> Result<u64, PullError> {
        let mut answer = self.get(&format!("studies/{study}"), AS_STORED)?;
        match answer.status().as_u16() {
            200 | 206 => {}
            // Nothing to be had.
            204 => return Ok(0),
            other => return Err(PullError::Status(other)),
        }
        let mut splitter = Splitter::new(&boundary(&content_type(&answer))?).map_err(broken)?;
        let mut parts = Parts { taker, open: false, begun: 0 };
        let ended = loop {
            match self.piece(&mut answer) {
                Ok(Some(bytes)) => splitter.feed(&bytes),
                Ok(None) => break splitter.finish().map_err(|error| PullError::Lost(error.to_string())),
                Err(error) => break Err(error),
            }
            match parts.drain(&mut splitter) {
                Ok(false) => {}
                // What follows is ignored.
                Ok(true) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if parts.open {
            parts.taker.abandon();
        }
        ended.map(|()| parts.begun)
    }
}

struct Parts<'a> {
    taker: &'a mut dyn Taker,
    /// Whether the current part goes to the taker.
    open: bool,
    begun: u64,
}

impl Parts<'_> {
    /// Hands on what is there; true after the closing boundary.
    fn drain(&mut self, splitter: &mut Splitter) -> Result<bool, PullError> {
        loop {
            match splitter.next_event().map_err(broken)? {
                Event::Start(headers) => self.start(&headers),
                Event::Data(bytes) if self.open => self.taker.write(&bytes),
                Event::Data(_) => {}
                Event::End => {
                    if std::mem::take(&mut self.open) {
                        self.taker.finish();
                    }
                }
                Event::Closed => return Ok(true),
                Event::Hungry => return Ok(false),
            }
        }
    }

    fn start(&mut self, headers: &PartHeaders) {
        self.begun = self.begun.saturating_add(1);
        match part_syntax(headers) {
            Ok(syntax) => {
                self.taker.begin(syntax);
                self.open = true;
            }
            Err(why) => self.taker.refuse(why),
        }
    }
}

/// The boundary of a multipart answer with DICOM files.
fn boundary(kind: &str) -> Result<String, PullError> {
    let wrong = || PullError::Answer(format!("objects as {:?}", kind.chars().take(200).collect::<String>()));
    let media = accept::content_type(kind).map_err(|_| wrong())?;
    if (media.main.as_str(), media.sub.as_str()) != ("multipart", "related") {
        return Err(wrong());
    }
    let inner = media.parameter("type").is_none_or(|inner| inner.eq_ignore_ascii_case("application/dicom"));
    media.parameter("boundary").filter(|_| inner).map(str::to_owned).ok_or_else(wrong)
}

fn broken(error: impl std::fmt::Display) -> PullError {
    PullError::Answer(error.to_string())
}
