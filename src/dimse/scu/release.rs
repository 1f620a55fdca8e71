//! How an association that we asked for ends in order (PS3.8 section 7.2), and what is done where the peer does not let it.

use super::{CallError, Requestor, broken};
use crate::pdu::{self, Piece, Splitter};
use crate::socket::Socket;
use std::time::{Duration, Instant};

/// Longest wait for the answer to a release once everything is answered: then it is aborted.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// An association whose end was asked for and not answered yet.
#[derive(Debug)]
pub(crate) struct Parting(Splitter<Socket>);

impl Requestor {
    /// Ends the association in order.
    ///
    /// # Errors
    /// When the peer does not answer as it should; the association is gone all the same.
    pub fn release(self) -> Result<(), CallError> {
        self.part()?.ended(None)
    }

    /// The same for one that has done its work and must not keep whoever waits for its end.
    ///
    /// # Errors
    /// As [`Requestor::release`].
    pub(crate) fn release_soon(self) -> Result<(), CallError> {
        self.part()?.ended(Some(Instant::now() + RELEASE_MAX))
    }

    /// Asks for the end of the association; the answer is waited for by what is returned.
    ///
    /// # Errors
    /// When that cannot be sent.
    pub(crate) fn part(mut self) -> Result<Parting, CallError> {
        self.send(&pdu::RELEASE_REQUEST)?;
        self.wire.take().map(Parting).ok_or(CallError::Lost("before"))
    }
}

impl Parting {
    /// Waits for the answers of several, all together no longer than for one.
    pub(crate) fn all_ended(partings: Vec<Self>) {
        let until = Instant::now() + RELEASE_MAX;
        for parting in partings {
            if let Err(error) = parting.ended(Some(until)) {
                tracing::debug!(%error, "releasing an association to a destination");
            }
        }
    }

    /// Waits for the answer, until then at the latest; without one the association is aborted.
    fn ended(mut self, until: Option<Instant>) -> Result<(), CallError> {
        let wire = &mut self.0;
        wire.source().await_message();
        if let Some(until) = until {
            wire.source().discard_until(until);
        }
        let error = match wire.next_piece() {
            Ok(Piece::ReleaseReply) => return Ok(()),
            Ok(Piece::Closed) => return Err(CallError::Lost("instead of being released")),
            Ok(_) => CallError::Protocol("something else than A-RELEASE-RP".into()),
            Err(error) => broken(error),
        };
        // Nobody may be there any more.
        let _ = wire.source().send(&pdu::USER_ABORT);
        Err(error)
    }
}
