//! C-FIND on the modality worklist (PS3.4 annex K): lines go out as the archive tells them, one at a time.
//!
//! What a key means is [`crate::worklist_question`]'s business, which lines there are the archive's.

use crate::association::{Association, End};
use crate::command::Request;
use crate::find_scp::{SEND_BYTES, guarded};
use crate::letters;
use crate::negotiate::Context;
use crate::pdu;
use crate::receiver::Receiver;
use crate::status::{self, Failure, Status};
use crate::worklist_line::line;
use crate::worklist_question::{Asking, Lines, parse};
use crate::worklist_table::MODALITY_WORKLIST;
use archive::charts::{ChartError, WorklistItem};
use dataset::nested;

/// Answers that go out at once; then twice as many, up to [`GATHERED_MAX`].
const GATHERED: u64 = 8;
/// See [`GATHERED`].
const GATHERED_MAX: u64 = 512;
/// Lines that do not match before the wire is looked at.
const LOOKED_MAX: u64 = 1_000;

/// An answer under way.
struct Flow {
    id: u8,
    pending: Status,
    out: Vec<u8>,
    sent: u64,
    /// When so many were answered they go out.
    flush_at: u64,
    looked: u64,
    cancelled: bool,
    end: Option<End>,
}

impl<R: Receiver> Association<'_, R> {
    /// Reads the identifier that follows a C-FIND-RQ and answers it.
    pub(crate) fn find_lines(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let understand = |this: &Self, bytes: &[u8]| this.lines_asked(context, request, bytes);
        self.answer_find(id, request, understand, |this, asked| this.stream_lines(id, context, request, asked))
    }

    fn lines_asked(&self, context: &Context, request: &Request, bytes: &[u8]) -> Result<Lines, Failure> {
        if request.sop_class.as_deref() != Some(MODALITY_WORKLIST) {
            let comment = "not the SOP Class of the presentation context";
            return Err(Failure::new(status::SOP_CLASS_NOT_SUPPORTED, comment));
        }
        let asking = Asking {
            source: &self.source,
            calling: &self.calling,
            transfer_syntax: context.transfer_syntax.as_str(),
            keys_max: self.options.identifier_keys_max,
        };
        parse(bytes, &asking)
    }

    /// Sends every match and the final answer; returns its status and the number of matches.
    fn stream_lines(
        &mut self,
        id: u8,
        context: &Context,
        request: &Request,
        asked: &Lines,
    ) -> Result<(Status, u64), End> {
        let (receiver, source) = (self.receiver.clone(), self.source.clone());
        let pending = if asked.unsupported { status::PENDING_UNSUPPORTED } else { status::PENDING };
        let mut flow =
            Flow { id, pending, out: Vec::new(), sent: 0, flush_at: GATHERED, looked: 0, cancelled: false, end: None };
        let told = match asked.nothing {
            true => Ok(()),
            false => guarded(|| {
                let each = &mut |item: WorklistItem| match self.take_line(context, request, asked, &item, &mut flow) {
                    Ok(()) => !flow.cancelled,
                    Err(end) => {
                        flow.end = Some(end);
                        false
                    }
                };
                receiver.worklist(&source, &asked.query, each).map_err(refused)
            }),
        };
        if let Some(end) = flow.end {
            return Err(end);
        }
        self.wire.source().send(&flow.out).map_err(End::Lost)?;
        let last = match told {
            Ok(()) if flow.cancelled => status::CANCELLED,
            Ok(()) => status::SUCCESS,
            Err(failure) => {
                self.log_refusal("C-FIND", &failure);
                self.answer_failure(id, request, &failure)?;
                return Ok((failure.status, flow.sent));
            }
        };
        self.answer(id, request, last, "")?;
        Ok((last, flow.sent))
    }

    /// Answers a line, if it matches.
    fn take_line(
        &mut self,
        context: &Context,
        request: &Request,
        asked: &Lines,
        item: &WorklistItem,
        flow: &mut Flow,
    ) -> Result<(), End> {
        let line = line(item, &self.source, &asked.station);
        if asked.accepts(&line) {
            let charset = letters::charset(self.source.letters, &asked.charset);
            let answer = asked.answer(&line, &self.source);
            let data = nested::write(&answer, context.transfer_syntax.as_str(), charset);
            let command = request.pending(flow.pending.code);
            pdu::message_pdus(flow.id, &command, &data, self.peer_pdu_bytes_max, &mut flow.out);
            if data.is_empty() {
                // It was announced: an empty data set has a fragment, too.
                flow.out.extend_from_slice(&pdu::data_header(flow.id, 0, true));
            }
            flow.sent = flow.sent.saturating_add(1);
        }
        flow.looked = flow.looked.saturating_add(1);
        if flow.out.len() < SEND_BYTES && flow.sent < flow.flush_at && flow.looked < LOOKED_MAX {
            return Ok(());
        }
        flow.looked = 0;
        flow.flush_at = flow.sent.saturating_add(flow.sent.clamp(GATHERED, GATHERED_MAX));
        self.wire.source().send(&flow.out).map_err(End::Lost)?;
        flow.out.clear();
        flow.cancelled = self.is_cancelled(request)?;
        Ok(())
    }
}

/// A failure of the archive's as a status of C-FIND.
fn refused(error: ChartError) -> Failure {
    match error {
        ChartError::Invalid(comment) => Failure::new(status::CANNOT_UNDERSTAND, comment),
        other => Failure {
            detail: other.to_string(),
            ..Failure::new(status::OUT_OF_RESOURCES, "not available now, ask again later")
        },
    }
}
