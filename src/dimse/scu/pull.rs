//! C-FIND and C-GET as a user (PS3.4 annex C): asking another archive what it has, and fetching it.
//!
//! One operation at a time. What is fetched streams to a [`Taker`] as it comes; it alone says what became of an object.

use super::{Answer, CallError, Limits, Peer, Proposal, Requestor, broken};
use crate::command::{self, C_STORE_RQ, Request, Response};
use crate::pdu::{self, Kind, Piece};
use crate::transfer_syntax::{EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use dataset::identifier::{self, Identifier};
use model::AttrKey;
use model::facility::CharsetHint;
use std::collections::BTreeSet;

/// Study Root Query/Retrieve Information Model - FIND.
pub const STUDY_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
/// Study Root Query/Retrieve Information Model - GET.
pub const STUDY_ROOT_GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
/// Longest match that is read, in bytes.
const MATCH_MAX: usize = 1024 * 1024;
/// Longest command set, in bytes.
const COMMAND_MAX: usize = 16 * 1024;

/// Transfer syntaxes in which each class is proposed: the other archive sends what it has as it has it.
const SYNTAXES: [&str; 10] = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.100",
];
/// Those proposed where the classes are not told, for then there are many.
const FEW: [&str; 2] = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"];
/// Presentation contexts left beside that of C-GET.
const CONTEXTS: usize = super::CONTEXTS_MAX - 1;

/// A key of a question: its address, its VR and the value that is wanted.
pub type Key<'a> = (AttrKey, &'a str, &'a str);

/// Takes what is fetched, object by object.
pub trait Taker {
    /// An object begins: SOP class, SOP instance and transfer syntax.
    fn begin(&mut self, sop_class: &str, sop_instance: &str, transfer_syntax: &str);
    /// The next bytes of its data set.
    fn write(&mut self, bytes: &[u8]);
    /// It is complete; the status that answers it.
    fn finish(&mut self) -> u16;
}

/// Which classes to propose in which syntaxes, association after association.
pub fn proposals(told: &BTreeSet<&String>) -> Vec<(Vec<String>, Vec<&'static str>)> {
    let (classes, syntaxes): (Vec<String>, &[&str]) = if told.is_empty() {
        let known = crate::storage_sop_classes().iter().filter(|class| !class.retired);
        (known.map(|class| class.uid.to_owned()).collect(), &FEW)
    } else {
        (told.iter().map(|class| (*class).clone()).collect(), &SYNTAXES)
    };
    let room = (CONTEXTS / syntaxes.len()).max(1);
    classes.chunks(room).map(|some| (some.to_vec(), syntaxes.to_vec())).collect()
}

impl Requestor {
    /// An association for C-FIND.
    ///
    /// # Errors
    /// As [`Requestor::open`].
    pub fn open_to_find(peer: &Peer, limits: &Limits) -> Result<Self, CallError> {
        let transfer_syntaxes = vec![EXPLICIT_LITTLE_ENDIAN.to_owned(), IMPLICIT_LITTLE_ENDIAN.to_owned()];
        Self::open(peer, &[Proposal { abstract_syntax: STUDY_ROOT_FIND.to_owned(), transfer_syntaxes }], limits)
    }

    /// An association for C-GET of objects of these SOP classes, each in each of these transfer syntaxes; no more
    /// than [`super::CONTEXTS_MAX`] contexts are proposed.
    ///
    /// # Errors
    /// As [`Requestor::open`].
    pub fn open_to_get(peer: &Peer, classes: &[String], syntaxes: &[&str], limits: &Limits) -> Result<Self, CallError> {
        let plain = vec![EXPLICIT_LITTLE_ENDIAN.to_owned(), IMPLICIT_LITTLE_ENDIAN.to_owned()];
        let mut proposals = vec![Proposal { abstract_syntax: STUDY_ROOT_GET.to_owned(), transfer_syntaxes: plain }];
        for class in classes {
            proposals.extend(syntaxes.iter().map(|syntax| Proposal {
                abstract_syntax: class.clone(),
                transfer_syntaxes: vec![(*syntax).to_owned()],
            }));
        }
        proposals.truncate(super::CONTEXTS_MAX);
        let stores = |proposal: &Proposal| proposal.abstract_syntax != STUDY_ROOT_GET;
        Self::open_in_role(peer, &proposals, limits, &stores, &mut |_| {})
    }

    /// C-FIND; each match goes to `each`. The final answer is returned: matches before a failure were real.
    ///
    /// # Errors
    /// When the association is gone, or a match cannot be read.
    pub fn find(&mut self, keys: &[Key<'_>], each: &mut dyn FnMut(Identifier)) -> Result<Answer, CallError> {
        let (context, syntax) = self.query_context(STUDY_ROOT_FIND)?;
        let command = |message| command::query_request(message, command::C_FIND_RQ, STUDY_ROOT_FIND);
        let message = self.ask(context, &syntax, command, keys)?;
        loop {
            let answer = self.response(context, message, command::C_FIND_RQ)?;
            if !matches!(answer.status, 0xFF00 | 0xFF01) {
                return Ok(answer);
            }
            let bytes = self.match_of(context)?;
            let read = identifier::read(&bytes, &syntax, CharsetHint::Auto);
            each(read.map_err(|error| CallError::Protocol(error.to_string()))?);
        }
    }

    /// C-GET; the objects go to `taker`. The final answer is returned.
    ///
    /// # Errors
    /// When the association is gone: what was taken before is.
    pub fn get(&mut self, keys: &[Key<'_>], taker: &mut dyn Taker) -> Result<Answer, CallError> {
        let (context, syntax) = self.query_context(STUDY_ROOT_GET)?;
        let command = |message| command::query_request(message, command::C_GET_RQ, STUDY_ROOT_GET);
        let message = self.ask(context, &syntax, command, keys)?;
        loop {
            let of = self.next_command()?;
            if let Ok(request) = Request::parse(&self.command)
                && request.field == C_STORE_RQ
            {
                self.take(of, &request, taker)?;
                continue;
            }
            let response = Response::parse(&self.command).map_err(|error| CallError::Protocol(error.to_string()))?;
            if response.responded_to != message || response.field != command::response_to(command::C_GET_RQ) {
                return Err(CallError::Protocol("an answer to something that was not asked".into()));
            }
            // Pending ones carry counts only; a list of failed objects behind the last one is not needed.
            if !matches!(response.status, 0xFF00 | 0xFF01) {
                return Ok(Answer { status: response.status, comment: response.comment });
            }
        }
    }

    pub(super) fn query_context(&self, class: &str) -> Result<(u8, String), CallError> {
        let found = self.contexts.iter().find(|context| context.abstract_syntax == class);
        let found = found.ok_or_else(|| CallError::NoContext("Study Root Query/Retrieve".into()))?;
        Ok((found.id, found.transfer_syntax.clone()))
    }

    /// Sends a request with keys; `command` makes it of its message id.
    pub(super) fn ask(
        &mut self,
        context: u8,
        syntax: &str,
        command: impl FnOnce(u16) -> Vec<u8>,
        keys: &[Key<'_>],
    ) -> Result<u16, CallError> {
        let message = self.next_message();
        let data = identifier::write(keys, syntax, "");
        let mut pdus = Vec::new();
        pdu::message_pdus(context, &command(message), &data, self.peer_pdu_bytes_max, &mut pdus);
        self.send(&pdus)?;
        Ok(message)
    }

    /// Reads the next command set, of whatever context.
    pub(super) fn next_command(&mut self) -> Result<u8, CallError> {
        let wire = self.wire.as_mut().ok_or(CallError::Lost("before"))?;
        self.command.clear();
        wire.source().await_message();
        loop {
            match wire.next_piece().map_err(broken)? {
                Piece::Fragment { context, kind: Kind::Command, data, last } => {
                    if self.command.len().saturating_add(data.len()) > COMMAND_MAX {
                        return Err(CallError::Protocol("an endless command set".into()));
                    }
                    self.command.extend_from_slice(data);
                    if last {
                        return Ok(context);
                    }
                }
                Piece::Abort => return Err(CallError::Aborted),
                Piece::Closed => return Err(CallError::Lost("instead of an answer")),
                _ => return Err(CallError::Protocol("a data set that was not announced".into())),
            }
        }
    }

    /// Takes one object and answers it.
    fn take(&mut self, context: u8, request: &Request, taker: &mut dyn Taker) -> Result<(), CallError> {
        let accepted = self.contexts.iter().find(|accepted| accepted.id == context);
        let syntax = accepted.map(|accepted| accepted.transfer_syntax.clone());
        let syntax = syntax.ok_or_else(|| CallError::Protocol("an object in no context".into()))?;
        let (class, instance) = (request.sop_class.as_deref(), request.sop_instance.as_deref());
        taker.begin(class.unwrap_or_default(), instance.unwrap_or_default(), &syntax);
        self.data_set(context, &mut |bytes| {
            taker.write(bytes);
            Ok(())
        })?;
        let answer = request.response(taker.finish(), "");
        let pdus = pdu::command_pdus(context, &answer, self.peer_pdu_bytes_max);
        self.send(&pdus)
    }

    pub(super) fn match_of(&mut self, context: u8) -> Result<Vec<u8>, CallError> {
        let mut whole = Vec::new();
        self.data_set(context, &mut |bytes| {
            if whole.len().saturating_add(bytes.len()) > MATCH_MAX {
                return Err(CallError::Protocol("an endless match".into()));
            }
            whole.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(whole)
    }

    fn data_set(&mut self, of: u8, each: &mut dyn FnMut(&[u8]) -> Result<(), CallError>) -> Result<(), CallError> {
        let wire = self.wire.as_mut().ok_or(CallError::Lost("before"))?;
        loop {
            match wire.next_piece().map_err(broken)? {
                Piece::Fragment { context, kind: Kind::DataSet, data, last } if context == of => {
                    each(data)?;
                    if last {
                        return Ok(());
                    }
                }
                Piece::Abort => return Err(CallError::Aborted),
                Piece::Closed => return Err(CallError::Lost("inside a data set")),
                _ => return Err(CallError::Protocol("something else than a data set".into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_association_needs_more_contexts_than_there_are() {
        let classes: Vec<String> = (0..40).map(|number| format!("1.2.{number}")).collect();
        for told in [BTreeSet::new(), classes.iter().collect()] {
            let proposals = proposals(&told);
            assert!(proposals.len() > 1);
            assert!(proposals.iter().all(|(classes, syntaxes)| classes.len() * syntaxes.len() <= CONTEXTS));
            let all: usize = proposals.iter().map(|(classes, _)| classes.len()).sum();
            assert!(told.is_empty() || all == told.len());
        }
    }
}
