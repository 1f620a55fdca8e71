//! C-MOVE as a user (PS3.4 section C.4.2): asking another archive to send what it has to somebody it knows by AE title.
//!
//! The objects do not come on this association: what became of them is what the other archive counts, and what is there.

use super::pull::Key;
use super::{Answer, CallError, Limits, Peer, Proposal, Requestor};
use crate::command::{self, Response};
use crate::transfer_syntax::{EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use dataset::identifier;
use model::facility::CharsetHint;
use model::{AeTitle, AttrKey};

/// Study Root Query/Retrieve Information Model - MOVE.
pub const STUDY_ROOT_MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
/// Failed SOP Instance UID List.
const FAILED: AttrKey = AttrKey::root(0x0008_0058);

/// How a C-MOVE ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The final answer.
    pub answer: Answer,
    /// Objects that were sent and taken, with or without a warning; none when the peer does not count.
    pub taken: Option<u32>,
    /// Objects that were not taken or could not be sent; none when the peer does not count.
    pub failed: Option<u32>,
    /// The SOP Instance UIDs it names as failed.
    pub named: Vec<String>,
}

impl Requestor {
    /// An association for C-MOVE.
    ///
    /// # Errors
    /// As [`Requestor::open`].
    pub fn open_to_move(peer: &Peer, limits: &Limits) -> Result<Self, CallError> {
        let transfer_syntaxes = vec![EXPLICIT_LITTLE_ENDIAN.to_owned(), IMPLICIT_LITTLE_ENDIAN.to_owned()];
        Self::open(peer, &[Proposal { abstract_syntax: STUDY_ROOT_MOVE.to_owned(), transfer_syntaxes }], limits)
    }

    /// C-MOVE to `destination`; returns when the peer has sent everything, or as much as it will.
    ///
    /// # Errors
    /// When the association is gone: what was sent before is.
    pub fn move_to(&mut self, keys: &[Key<'_>], destination: &AeTitle) -> Result<Moved, CallError> {
        let (context, syntax) = self.query_context(STUDY_ROOT_MOVE)?;
        let command = |message| command::move_request(message, STUDY_ROOT_MOVE, destination);
        let message = self.ask(context, &syntax, command, keys)?;
        loop {
            let of = self.next_command()?;
            let response = Response::parse(&self.command).map_err(|error| CallError::Protocol(error.to_string()))?;
            let fits = of == context && response.field == command::response_to(command::C_MOVE_RQ);
            if !fits || response.responded_to != message {
                return Err(CallError::Protocol("an answer to something that was not asked".into()));
            }
            let bytes = if response.has_data_set { self.match_of(context)? } else { Vec::new() };
            // Pending ones carry counts only.
            if !matches!(response.status, 0xFF00 | 0xFF01) {
                return Ok(ended(response, &bytes, &syntax));
            }
        }
    }
}

fn ended(response: Response, bytes: &[u8], syntax: &str) -> Moved {
    let [_, completed, failed, warned] = response.sub_operations;
    // A list that cannot be read names nobody; the counts stand.
    let list = identifier::read(bytes, syntax, CharsetHint::Auto).unwrap_or_default();
    let named = list.keys.iter().filter(|key| key.key == FAILED).flat_map(|key| key.text.split('\\'));
    let named = named.map(|uid| uid.trim_matches([' ', '\0']).to_owned()).filter(|uid| !uid.is_empty());
    Moved {
        answer: Answer { status: response.status, comment: response.comment },
        taken: completed.map(|count| u32::from(count).saturating_add(u32::from(warned.unwrap_or(0)))),
        failed: failed.map(u32::from),
        named: named.collect(),
    }
}
