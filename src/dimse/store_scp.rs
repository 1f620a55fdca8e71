//! C-STORE as a provider (PS3.4 annex B): the data set streams into the archive while it arrives.
//!
//! Success is answered when the archive says that the object is durable and can be found, never before.
//! A data set that cannot be stored is still read to its end, so that the peer gets a status instead of a
//! broken connection. Nothing of the data set is looked at here.

use crate::association::{Association, End};
use crate::command::Request;
use crate::meter;
use crate::negotiate::{Context, Service};
use crate::pdu::{AbortReason, Kind, Piece};
use crate::receiver::{Announced, Incoming, Receiver};
use crate::status::{self, Failure};
use archive::IngestError;
use model::Uid;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

impl<R: Receiver> Association<'_, R> {
    /// Takes the data set that follows a C-STORE-RQ and answers it.
    pub(crate) fn store(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let begun = Instant::now();
        let opened = self.open(context, request);
        let taken = if request.has_data_set { self.take_data_set(id, opened)? } else { opened };
        let complete = Instant::now();
        let outcome = taken.and_then(|incoming| guarded(|| incoming.finish()));
        let (answered, status) = match outcome {
            Ok(()) => (self.answer(id, request, status::SUCCESS, ""), status::SUCCESS),
            Err(failure) => {
                self.log_failure(request, &failure);
                (self.answer_failure(id, request, &failure), failure.status)
            }
        };
        meter::stored(&status.label(), begun.elapsed(), complete.elapsed());
        answered
    }

    /// Checks the command and begins the object.
    fn open(&self, context: &Context, request: &Request) -> Result<R::Incoming, Failure> {
        if context.service != Service::Storage {
            return Err(Failure::new(status::MISTYPED_ARGUMENT, "C-STORE on a context of another service"));
        }
        let sop_class = request.sop_class.as_deref().and_then(|text| Uid::parse(text).ok());
        let Some(sop_class) = sop_class.filter(|class| *class == context.abstract_syntax) else {
            return Err(Failure::new(status::SOP_CLASS_NOT_SUPPORTED, "not the SOP Class of the presentation context"));
        };
        let sop_instance = request.sop_instance.as_deref().map(Uid::parse);
        let Some(Ok(sop_instance)) = sop_instance else {
            return Err(Failure::new(status::INVALID_SOP_INSTANCE, "Affected SOP Instance UID is no UID"));
        };
        if !request.has_data_set {
            return Err(Failure::new(status::MISTYPED_ARGUMENT, "C-STORE without a data set"));
        }
        let transfer_syntax = context.transfer_syntax.clone();
        let announced = Announced { sop_class, sop_instance, transfer_syntax };
        let mut incoming = guarded(|| self.receiver.receive(&self.source, announced))?;
        if request.is_urgent {
            incoming.hurry();
        }
        Ok(incoming)
    }

    /// Streams the data set into the object, or reads it away from the moment something failed.
    fn take_data_set(
        &mut self,
        id: u8,
        opened: Result<R::Incoming, Failure>,
    ) -> Result<Result<R::Incoming, Failure>, End> {
        let mut state = opened;
        loop {
            if state.is_err() {
                let end = Instant::now() + self.options.discard_limit;
                self.wire.source().discard_until(end);
            }
            match self.wire.next_piece()? {
                Piece::Fragment { context, kind: Kind::DataSet, data, last } => {
                    if context != id {
                        return Err(End::Violation(AbortReason::InvalidParameter, "contexts mixed inside a message"));
                    }
                    if let Ok(incoming) = state.as_mut()
                        && let Err(failure) = guarded(|| incoming.write(data))
                    {
                        state = Err(failure);
                    }
                    if last {
                        return Ok(state);
                    }
                }
                other => return Err(End::of(&other)),
            }
        }
    }

    fn log_failure(&self, request: &Request, failure: &Failure) {
        let status = failure.status.label();
        tracing::warn!(
            source = self.source.id,
            status,
            comment = failure.comment,
            detail = failure.detail,
            sop_instance = uid_only(request.sop_instance.as_deref()),
            "C-STORE refused"
        );
    }
}

/// A fault of ours in one object must not take the association's thread, let alone the process, with it.
fn guarded<T>(work: impl FnOnce() -> Result<T, IngestError>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Failure::from),
        Err(_) => Err(Failure::new(status::PROCESSING_FAILURE, "internal fault, the object was not stored")),
    }
}

/// What a peer sends as a UID goes into the log only if it is one.
fn uid_only(text: Option<&str>) -> &str {
    text.filter(|text| Uid::parse(text).is_ok()).unwrap_or("")
}
