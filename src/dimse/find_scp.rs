//! C-FIND as a provider (PS3.4 section C.4.1): matches stream out page by page, whatever their number.
//!
//! Between pages the wire is looked at, so that a C-CANCEL, an abort or a closing archive ends the answer.
//! What a key means is [`crate::question`]'s business, which rows match the archive's.

use crate::association::{Association, End};
use crate::command::Request;
use crate::letters;
use crate::meter;
use crate::negotiate::{Context, Service};
use crate::pdu;
use crate::query_class::Root;
use crate::question::{self, LEVEL, Question, RETRIEVE_AE_TITLE, Reading};
use crate::receiver::{Receiver, Search};
use crate::status::{self, Failure, Status};
use archive::FoundRow;
use dataset::{Vr, identifier};
use model::AttrKey;
use model::attribute::key;
use model::facility::Letters;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Rows of the first page: the first answer comes at once. Each page is twice the one before, so that an asker who has
/// enough and cancels has made the archive find at most about twice what it took.
const PAGE_FIRST: usize = 8;
/// Rows of later pages.
const PAGE_MAX: usize = 512;
/// Answers are gathered to about this many bytes before they are sent.
pub(crate) const SEND_BYTES: usize = 64 * 1024;

impl<R: Receiver> Association<'_, R> {
    /// Reads the identifier that follows a C-FIND-RQ and answers it.
    pub(crate) fn find(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let understand = |this: &Self, bytes: &[u8]| this.question(context, request, bytes);
        self.answer_find(id, request, understand, |this, question| this.stream(id, context, request, question))
    }

    /// Reads the identifier of a C-FIND, has what is understood of it answered, and counts the answer.
    pub(crate) fn answer_find<Q>(
        &mut self,
        id: u8,
        request: &Request,
        understand: impl FnOnce(&Self, &[u8]) -> Result<Q, Failure>,
        stream: impl FnOnce(&mut Self, &Q) -> Result<(Status, u64), End>,
    ) -> Result<(), End> {
        let begun = Instant::now();
        let identifier = self.gather_identifier(id, request)?;
        let (status, rows) = match identifier.and_then(|bytes| understand(self, &bytes)) {
            Ok(question) => stream(self, &question)?,
            Err(failure) => {
                self.log_refusal("C-FIND", &failure);
                self.answer_failure(id, request, &failure)?;
                (failure.status, 0)
            }
        };
        meter::found(&status.label(), rows, begun.elapsed());
        Ok(())
    }

    fn question(&self, context: &Context, request: &Request, identifier: &[u8]) -> Result<Question, Failure> {
        let root = self.query_root(context, request, "C-FIND")?;
        let reading = self.reading(context, root);
        question::parse(identifier, &reading)
    }

    /// How identifiers of a context are read.
    pub(crate) fn reading<'a>(&self, context: &'a Context, root: Root) -> Reading<'a> {
        Reading {
            root,
            extended: context.extended,
            transfer_syntax: context.transfer_syntax.as_str(),
            hint: self.source.charset,
            keys_max: self.options.identifier_keys_max,
        }
    }

    /// The model of a request, if the request fits its context.
    pub(crate) fn query_root(&self, context: &Context, request: &Request, name: &str) -> Result<Root, Failure> {
        let Service::Query(class) = context.service else {
            return Err(Failure::new(status::MISTYPED_ARGUMENT, format!("{name} on a context of another service")));
        };
        if request.sop_class.as_deref() != Some(class.uid) {
            let comment = "not the SOP Class of the presentation context";
            return Err(Failure::new(status::SOP_CLASS_NOT_SUPPORTED, comment));
        }
        Ok(class.root)
    }

    /// Sends every match and the final answer; returns its status and the number of matches.
    fn stream(
        &mut self,
        id: u8,
        context: &Context,
        request: &Request,
        question: &Question,
    ) -> Result<(Status, u64), End> {
        let mut search = self.receiver.search(&self.source, question.wanted.clone());
        let pending = if question.unsupported { status::PENDING_UNSUPPORTED } else { status::PENDING };
        let (mut limit, mut rows, mut out) = (PAGE_FIRST, 0u64, Vec::new());
        loop {
            let page = match guarded(|| search.page(limit)) {
                Ok(page) => page,
                Err(failure) => {
                    self.log_refusal("C-FIND", &failure);
                    self.wire.source().send(&out).map_err(End::Lost)?;
                    self.answer_failure(id, request, &failure)?;
                    return Ok((failure.status, rows));
                }
            };
            for row in &page.rows {
                rows = rows.saturating_add(1);
                let answer = self.answer_row(row, question, context.transfer_syntax.as_str());
                let command = request.pending(pending.code);
                pdu::message_pdus(id, &command, &answer, self.peer_pdu_bytes_max, &mut out);
                if out.len() >= SEND_BYTES {
                    self.wire.source().send(&out).map_err(End::Lost)?;
                    out.clear();
                }
            }
            let last = if page.ended { status::SUCCESS } else { status::CANCELLED };
            if page.ended || self.is_cancelled(request)? {
                self.wire.source().send(&out).map_err(End::Lost)?;
                self.answer(id, request, last, "")?;
                return Ok((last, rows));
            }
            self.wire.source().send(&out).map_err(End::Lost)?;
            out.clear();
            limit = limit.saturating_mul(2).min(PAGE_MAX);
        }
    }

    /// The identifier of one answer.
    fn answer_row(&self, row: &FoundRow, question: &Question, transfer_syntax: &str) -> Vec<u8> {
        let mut values: Vec<(AttrKey, &str, &str)> = Vec::with_capacity(question.returned.len().saturating_add(2));
        values.push((LEVEL, "CS", question.level.term()));
        values.push((RETRIEVE_AE_TITLE, "AE", self.called.as_str()));
        for (wanted, vr) in &question.returned {
            let value = match row.attributes.get(wanted) {
                Some(value) => value.as_str(),
                None if *wanted == key::INSTANCE_AVAILABILITY => "ONLINE",
                None => "",
            };
            values.push((*wanted, vr, value));
        }
        let letters = self.source.letters;
        let charset = letters::charset(letters, &question.charset);
        if matches!(letters, Letters::Asked | Letters::Utf8) {
            return identifier::write(&values, transfer_syntax, charset);
        }
        let spelt = |(key, vr, value): &(AttrKey, &str, &str)| letters::spelt(letters, key.tag, Vr::named(vr), value);
        let spelt: Vec<String> = values.iter().map(spelt).collect();
        let values = values.iter().zip(&spelt).map(|((key, vr, _), value)| (*key, *vr, value.as_str()));
        identifier::write(&values.collect::<Vec<_>>(), transfer_syntax, charset)
    }

    pub(crate) fn log_refusal(&self, service: &str, failure: &Failure) {
        let status = failure.status.label();
        let (comment, detail) = (&failure.comment, &failure.detail);
        tracing::warn!(source = self.source.id, service, status, comment, detail, "request refused");
    }
}

/// A fault of ours in one answer must not take the association's thread with it.
pub(crate) fn guarded<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Failure::from),
        Err(_) => Err(Failure::new(status::CANNOT_UNDERSTAND, "internal fault, the answer is not complete")),
    }
}
