//! The instances of one request on their way into the archive.
//!
//! Reading goes on while earlier instances wait for their sync: a window of them, so that one sync serves many.
//! A part is handed over in pieces, one being scanned while the next is read.

use super::parts::PartHeaders;
use crate::accept;
use crate::app::App;
use crate::problem::{Kind, Problem};
use archive::{Archive, Form, Incoming, IngestError, Stored};
use dataset::part10::Part10;
use model::{Source, Uid, Via};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Bytes handed to the archive at once.
const PIECE: usize = 256 << 10;
/// Bytes of a part's beginning kept to name a refused instance.
const HEAD: usize = 8 << 10;

/// What became of one part.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Durable and findable.
    Stored(Stored),
    /// Refused; UIDs as the file meta information names them, if it does.
    Refused {
        /// Media Storage SOP Class UID.
        sop_class: Option<Uid>,
        /// Media Storage SOP Instance UID.
        sop_instance: Option<Uid>,
        /// Failure Reason (0008,1197).
        reason: u16,
        /// Why, without patient data.
        what: String,
    },
}

/// Failure Reason of a refusal (PS3.18 Annex I.2, PS3.7 Annex C).
pub(super) fn reason(error: &IngestError) -> u16 {
    match error {
        IngestError::CannotUnderstand { .. } | IngestError::MissingIdentity { .. } => 0xC000,
        IngestError::Mismatch { .. } => 0xA900,
        IngestError::OutOfSpace | IngestError::Busy | IngestError::Unavailable { .. } => 0xA700,
        IngestError::Forbidden => 0x0124,
    }
}

/// Failure Reason of a part that is no DICOM object by its headers.
const NOT_DICOM: u16 = 0xC000;
/// Failure Reason of a fault of ours: processing failure.
const PROCESSING: u16 = 0x0110;

type Writing = JoinHandle<Result<Incoming, IngestError>>;

/// Where the current part is.
enum Stage {
    /// Nothing handed over yet.
    Gathering,
    /// A piece is being scanned.
    Writing(Writing),
    /// Refused; the rest of the part is thrown away.
    Refused { reason: u16, what: String },
}

struct Part {
    syntax: Option<Uid>,
    stage: Stage,
    gathered: Vec<u8>,
    head: Vec<u8>,
}

struct Finishing {
    outcome: JoinHandle<Result<Stored, IngestError>>,
    head: Vec<u8>,
}

enum Slot {
    Finishing(Finishing),
    Done(Outcome),
}

/// An upload in progress.
pub(super) struct Upload {
    archive: Arc<Archive>,
    source: Arc<Source>,
    study: Option<Uid>,
    window: usize,
    parts_max: usize,
    begun: usize,
    current: Option<Part>,
    slots: VecDeque<Slot>,
    waiting: usize,
    outcomes: Vec<Outcome>,
}

impl Upload {
    pub(super) fn new(app: &Arc<App>, source: Source, study: Option<Uid>) -> Self {
        Self {
            archive: Arc::clone(&app.archive),
            source: Arc::new(source),
            study,
            window: app.options.stow_window.max(1),
            parts_max: app.options.stow_parts_max,
            begun: 0,
            current: None,
            slots: VecDeque::new(),
            waiting: 0,
            outcomes: Vec::new(),
        }
    }

    /// A part begins.
    pub(super) fn begin(&mut self, headers: &PartHeaders) -> Result<(), Problem> {
        self.begun += 1;
        if self.begun > self.parts_max {
            let detail = format!("at most {} instances are taken in one request", self.parts_max);
            return Err(Problem::new(Kind::TooLarge, detail).at("body"));
        }
        let mut part = Part { syntax: None, stage: Stage::Gathering, gathered: Vec::new(), head: Vec::new() };
        match part_syntax(headers) {
            Ok(syntax) => part.syntax = syntax,
            Err(what) => part.stage = Stage::Refused { reason: NOT_DICOM, what },
        }
        self.current = Some(part);
        Ok(())
    }

    /// Bytes of the current part.
    pub(super) async fn write(&mut self, data: &[u8]) {
        let Some(part) = self.current.as_mut() else { return };
        if matches!(part.stage, Stage::Refused { .. }) {
            return;
        }
        let room = HEAD.saturating_sub(part.head.len()).min(data.len());
        part.head.extend_from_slice(data.get(..room).unwrap_or_default());
        part.gathered.extend_from_slice(data);
        if part.gathered.len() >= PIECE {
            let piece = std::mem::take(&mut part.gathered);
            let opening = self.opening();
            if let Some(part) = self.current.as_mut() {
                hand_over(part, piece, opening).await;
            }
        }
    }

    /// The current part is complete.
    pub(super) async fn end(&mut self) {
        let opening = self.opening();
        let Some(mut part) = self.current.take() else { return };
        let head = std::mem::take(&mut part.head);
        let rest = std::mem::take(&mut part.gathered);
        let slot = match part.stage {
            Stage::Refused { reason, what } => Slot::Done(refused(&head, reason, what)),
            Stage::Gathering => {
                let form = opening.form(part.syntax);
                let outcome = tokio::task::spawn_blocking(move || {
                    let mut incoming = opening.archive.receive(&opening.source, Via::Stow, form)?;
                    incoming.write(&rest)?;
                    incoming.finish()
                });
                Slot::Finishing(Finishing { outcome, head })
            }
            Stage::Writing(writing) => match settled(writing).await {
                Ok(mut incoming) => {
                    let outcome = tokio::task::spawn_blocking(move || {
                        incoming.write(&rest)?;
                        incoming.finish()
                    });
                    Slot::Finishing(Finishing { outcome, head })
                }
                Err((reason, what)) => Slot::Done(refused(&head, reason, what)),
            },
        };
        self.waiting += usize::from(matches!(slot, Slot::Finishing(_)));
        self.slots.push_back(slot);
        while self.waiting >= self.window {
            self.settle_oldest().await;
        }
    }

    /// Stores a whole object that was put together here.
    pub(super) async fn whole(&mut self, file: Vec<u8>) {
        let headers = PartHeaders { content_type: Some("application/dicom".into()), ..PartHeaders::default() };
        if self.begin(&headers).is_ok() {
            self.write(&file).await;
            self.end().await;
        }
    }

    /// Notes an instance that was refused before it became an object.
    pub(super) fn refuse(&mut self, sop_class: Option<Uid>, sop_instance: Option<Uid>, what: String) {
        self.begun += 1;
        let outcome = Outcome::Refused { sop_class, sop_instance, reason: NOT_DICOM, what };
        self.slots.push_back(Slot::Done(outcome));
    }

    /// The current part is complete but not what was sent: it is refused, and nothing of it is kept.
    pub(super) fn spoil(&mut self, what: &str) {
        let Some(part) = self.current.take() else { return };
        self.slots.push_back(Slot::Done(refused(&part.head, NOT_DICOM, what.to_owned())));
    }

    /// The current part will never be complete: nothing of it is kept.
    pub(super) fn abandon(&mut self) {
        self.current = None;
    }

    /// Waits for all instances; their outcomes in the order of the request.
    pub(super) async fn finish(mut self) -> Vec<Outcome> {
        while !self.slots.is_empty() {
            self.settle_oldest().await;
        }
        self.outcomes
    }

    fn opening(&self) -> Opening {
        Opening { archive: Arc::clone(&self.archive), source: Arc::clone(&self.source), study: self.study.clone() }
    }

    async fn settle_oldest(&mut self) {
        let outcome = match self.slots.pop_front() {
            None => return,
            Some(Slot::Done(outcome)) => outcome,
            Some(Slot::Finishing(finishing)) => {
                self.waiting -= 1;
                match settled(finishing.outcome).await {
                    Ok(stored) => Outcome::Stored(stored),
                    Err((reason, what)) => refused(&finishing.head, reason, what),
                }
            }
        };
        self.outcomes.push(outcome);
    }
}

/// What is needed to open an object in the archive.
struct Opening {
    archive: Arc<Archive>,
    source: Arc<Source>,
    study: Option<Uid>,
}

impl Opening {
    fn form(&self, transfer_syntax_hint: Option<Uid>) -> Form {
        Form::Part10 { transfer_syntax_hint, study: self.study.clone() }
    }
}

/// Starts scanning a piece as soon as the one before is done.
async fn hand_over(part: &mut Part, piece: Vec<u8>, opening: Opening) {
    let before = std::mem::replace(&mut part.stage, Stage::Gathering);
    part.stage = match before {
        Stage::Gathering => {
            let form = opening.form(part.syntax.clone());
            Stage::Writing(tokio::task::spawn_blocking(move || {
                let mut incoming = opening.archive.receive(&opening.source, Via::Stow, form)?;
                incoming.write(&piece)?;
                Ok(incoming)
            }))
        }
        Stage::Writing(writing) => match settled(writing).await {
            Ok(mut incoming) => Stage::Writing(tokio::task::spawn_blocking(move || {
                incoming.write(&piece)?;
                Ok(incoming)
            })),
            Err((reason, what)) => Stage::Refused { reason, what },
        },
        refused @ Stage::Refused { .. } => refused,
    };
}

/// The result of a task, or why it failed.
async fn settled<T>(task: JoinHandle<Result<T, IngestError>>) -> Result<T, (u16, String)> {
    match task.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err((reason(&error), error.to_string())),
        Err(error) => {
            tracing::error!(panicked = error.is_panic(), "storing an instance failed");
            Err((PROCESSING, "the server failed to store the instance".into()))
        }
    }
}

/// The refusal of a part, named by its file meta information where that can be read.
fn refused(head: &[u8], reason: u16, what: String) -> Outcome {
    let mut part10 = Part10::new(None);
    let meta = part10.feed(head).ok().flatten();
    let sop_class = meta.and_then(|meta| meta.media_sop_class.clone());
    let sop_instance = meta.and_then(|meta| meta.media_sop_instance.clone());
    Outcome::Refused { sop_class, sop_instance, reason, what }
}

/// The transfer syntax a part's Content-Type names; an error when the part is no plain DICOM object.
pub(crate) fn part_syntax(headers: &PartHeaders) -> Result<Option<Uid>, String> {
    let plain = |encoding: &str| ["binary", "8bit", "7bit"].contains(&encoding.to_ascii_lowercase().as_str());
    if headers.encoding.as_deref().is_some_and(|encoding| !plain(encoding)) {
        return Err("the part has a Content-Transfer-Encoding other than binary".into());
    }
    let Some(text) = &headers.content_type else { return Ok(None) };
    let media = accept::content_type(text).map_err(|what| format!("the part's Content-Type cannot be read: {what}"))?;
    if (media.main.as_str(), media.sub.as_str()) != ("application", "dicom") {
        return Err(format!("a part of type {}/{} is no DICOM object", media.main, media.sub));
    }
    Ok(media.transfer_syntax().and_then(|uid| Uid::parse(uid).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(content_type: &str, encoding: Option<&str>) -> PartHeaders {
        PartHeaders { content_type: Some(content_type.into()), encoding: encoding.map(str::to_owned), location: None }
    }

    #[test]
    fn only_plain_dicom_parts_are_taken() {
        let named = part_syntax(&headers("application/dicom; transfer-syntax=1.2.840.10008.1.2.1", None));
        assert_eq!(named.expect("dicom").map(|uid| uid.to_string()).as_deref(), Some("1.2.840.10008.1.2.1"));
        assert_eq!(part_syntax(&PartHeaders::default()), Ok(None));
        assert!(part_syntax(&headers("application/dicom+json", None)).is_err());
        assert!(part_syntax(&headers("application/dicom", Some("base64"))).is_err());
        assert!(part_syntax(&headers("application/dicom", Some("Binary"))).is_ok());
    }

    #[test]
    fn every_refusal_has_its_reason() {
        let what = String::new();
        assert_eq!(reason(&IngestError::CannotUnderstand { what: what.clone() }), 0xC000);
        assert_eq!(reason(&IngestError::Mismatch { what: what.clone() }), 0xA900);
        assert_eq!(reason(&IngestError::OutOfSpace), 0xA700);
        assert_eq!(reason(&IngestError::Forbidden), 0x0124);
        let outcome = refused(b"no DICOM", 0xC000, what);
        assert!(matches!(outcome, Outcome::Refused { sop_instance: None, .. }));
    }
}
