//! C-FIND on steps (PS3.4 section CC.2.8): matches stream out page by page.

use crate::association::{Association, End};
use crate::command::Request;
use crate::negotiate::Context;
use crate::pdu;
use crate::receiver::Receiver;
use crate::status::{self, Failure, Status};
use archive::ups::matching::{Keys, returned};
use archive::ups::{Document, Ups, UpsError};
use dataset::document;
use model::Caller;
use std::sync::Arc;

/// Matches read at once.
const PAGE: usize = 64;

/// A question that was understood.
struct Asked {
    ups: Arc<Ups>,
    identifier: Document,
    keys: Keys,
}

impl<R: Receiver> Association<'_, R> {
    /// Reads the identifier that follows a C-FIND-RQ and answers it.
    pub(crate) fn find_steps(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let understand = |this: &Self, bytes: &[u8]| this.steps_asked(context, request, bytes);
        self.answer_find(id, request, understand, |this, asked| this.stream_steps(id, context, request, asked))
    }

    fn steps_asked(&self, context: &Context, request: &Request, bytes: &[u8]) -> Result<Asked, Failure> {
        let ups = self.steps_for(context, request)?;
        let identifier = self.step_data(context, bytes)?;
        let keys = Keys::read(&identifier).map_err(|error| match error {
            UpsError::Limit(comment) => Failure::new(status::OUT_OF_RESOURCES, comment),
            other => Failure::new(status::DATA_SET_MISMATCH, other.to_string()),
        })?;
        Ok(Asked { ups, identifier, keys })
    }

    fn stream_steps(
        &mut self,
        id: u8,
        context: &Context,
        request: &Request,
        asked: &Asked,
    ) -> Result<(Status, u64), End> {
        let (caller, facility) = (Caller::of_source(&self.source), self.source.facility);
        let (mut after, mut rows) = (None, 0u64);
        loop {
            let page = match asked.ups.find(&caller, facility, &asked.keys, after.as_ref(), PAGE) {
                Ok(page) => page,
                Err(error) => {
                    let failure = Failure {
                        detail: error.to_string(),
                        ..Failure::new(status::OUT_OF_RESOURCES, "not available now, ask again later")
                    };
                    self.log_refusal("C-FIND", &failure);
                    self.answer_failure(id, request, &failure)?;
                    return Ok((failure.status, rows));
                }
            };
            let mut out = Vec::new();
            for step in &page.steps {
                match document::write(&returned(step, &asked.identifier), context.transfer_syntax.as_str()) {
                    Ok(data) => {
                        rows = rows.saturating_add(1);
                        let command = request.pending(status::PENDING.code);
                        pdu::message_pdus(id, &command, &data, self.peer_pdu_bytes_max, &mut out);
                    }
                    Err(error) => tracing::error!(%error, "a procedure step cannot be answered"),
                }
            }
            self.wire.source().send(&out).map_err(End::Lost)?;
            after = page.next;
            let last = match &after {
                None => status::SUCCESS,
                Some(_) if self.is_cancelled(request)? => status::CANCELLED,
                Some(_) => continue,
            };
            self.answer(id, request, last, "")?;
            return Ok((last, rows));
        }
    }
}
