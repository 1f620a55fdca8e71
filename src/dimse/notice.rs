//! Instance Availability Notification (PS3.4 annex R): heard from others, and sent to them by rule.
//!
//! As a provider a notice is durable before N-CREATE is answered. As a user one N-CREATE tells of a whole study; who
//! hears it and when is the archive's matter ([`archive::forward`]).

use crate::association::{Association, End};
use crate::command::Request;
use crate::meter;
use crate::negotiate::{Context, Service};
use crate::receiver::Receiver;
use crate::scu::{Answer, Proposal};
use crate::status::{self, Failure};
use crate::transfer_syntax::{EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use archive::forward::dispatch::Parcel;
use archive::notices::{Notice, NoticeError, NoticeSeries};
use dataset::notice;
use model::{AeTitle, Uid};
use std::collections::BTreeSet;
use std::time::Instant;

/// Instance Availability Notification SOP Class.
pub const AVAILABILITY_NOTIFICATION: &str = "1.2.840.10008.5.1.4.33";
/// Duplicate SOP instance: the peer has heard it before (PS3.7 section C.5.7).
const DUPLICATE: u16 = 0x0111;
/// The terms of Instance Availability from best to worst.
const TERMS: [&str; 4] = ["ONLINE", "NEARLINE", "OFFLINE", "UNAVAILABLE"];

impl<R: Receiver> Association<'_, R> {
    /// Takes the notice that follows an N-CREATE-RQ and answers that it was taken.
    pub(crate) fn create(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let begun = Instant::now();
        let data = self.gather_data_set(id, request, self.options.commitment_bytes_max)?;
        let kept = data.and_then(|bytes| self.take_notice(context, request, &bytes));
        let status = match &kept {
            Ok(_) => status::SUCCESS.label(),
            Err(failure) => failure.status.label(),
        };
        meter::noticed(&status, begun.elapsed());
        match kept {
            Ok(instance) => {
                tracing::info!(source = self.source.id, "an instance availability notification was kept");
                let named = Request { sop_instance: Some(instance.to_string()), ..request.clone() };
                self.answer(id, &named, status::SUCCESS, "")
            }
            Err(failure) => {
                self.log_refusal("N-CREATE", &failure);
                self.answer_failure(id, request, &failure)
            }
        }
    }

    fn take_notice(&self, context: &Context, request: &Request, bytes: &[u8]) -> Result<Uid, Failure> {
        if context.service != Service::Availability {
            return Err(Failure::new(status::MISTYPED_ARGUMENT, "N-CREATE on a context of another service"));
        }
        if request.sop_class.as_deref() != Some(AVAILABILITY_NOTIFICATION) {
            let comment = "not the SOP Class of the presentation context";
            return Err(Failure::new(status::SOP_CLASS_NOT_SUPPORTED, comment));
        }
        let wrong = |comment: &str| Failure::new(status::INVALID_ARGUMENT, comment);
        let told = notice::read(bytes, context.transfer_syntax.as_str()).map_err(|error| Failure {
            detail: error.to_string(),
            ..wrong("the notice is no data set of its transfer syntax")
        })?;
        let instance = match request.sop_instance.as_deref() {
            Some(text) if !text.is_empty() => Uid::parse(text).map_err(|_| wrong("SOP Instance UID is no UID"))?,
            // The provider names it when the user does not (PS3.7 section 10.1.5.1.4).
            _ => Uid::parse(&format!("2.25.{}", fresh())).map_err(|_| wrong("no UID could be made"))?,
        };
        let study = Uid::parse(&told.study).map_err(|_| wrong("Study Instance UID is missing or no UID"))?;
        if told.series.is_empty() {
            return Err(wrong("Referenced Series Sequence is missing or empty"));
        }
        let series: Option<Vec<NoticeSeries>> = told.series.iter().map(series).collect();
        let series = series.ok_or_else(|| wrong("a Series Instance UID is missing or no UID"))?;
        let notice = Notice {
            instance: instance.clone(),
            facility: self.source.facility,
            source: self.source.id.clone(),
            calling: self.calling.clone(),
            heard: 0,
            study,
            series,
        };
        self.receiver.keep_notice(notice).map_err(|error| match error {
            NoticeError::Duplicate => Failure::new(status::DUPLICATE_INSTANCE, "the SOP Instance UID is in use"),
            NoticeError::Io(error) => Failure {
                detail: error.to_string(),
                ..Failure::new(status::PROCESSING_FAILURE, "not kept, send again")
            },
        })?;
        Ok(instance)
    }
}

/// A number nobody has used: time and chance.
pub(crate) fn fresh() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let chance = u128::from(RandomState::new().hash_one(now));
    (now.as_nanos() << 64 | chance) & (u128::MAX >> 1)
}

fn series(told: &notice::Series) -> Option<NoticeSeries> {
    let rank = |term: &str| TERMS.iter().position(|known| *known == term).unwrap_or(TERMS.len() - 1);
    let worst = told.objects.iter().map(|object| rank(&object.availability)).max().unwrap_or(0);
    let from: BTreeSet<&str> = told.objects.iter().map(|object| object.retrieve_ae.as_str()).collect();
    Some(NoticeSeries {
        uid: Uid::parse(&told.uid).ok()?,
        objects: told.objects.len(),
        availability: TERMS.get(worst).copied().unwrap_or("UNAVAILABLE").to_owned(),
        retrieve_from: from.into_iter().filter(|title| !title.is_empty()).map(str::to_owned).collect(),
    })
}

/// The context to propose to whom a notice goes.
pub(crate) fn proposal() -> Proposal {
    Proposal {
        abstract_syntax: AVAILABILITY_NOTIFICATION.to_owned(),
        transfer_syntaxes: vec![EXPLICIT_LITTLE_ENDIAN.to_owned(), IMPLICIT_LITTLE_ENDIAN.to_owned()],
    }
}

/// The UID of the notice of a task: the same however often it is sent.
pub(crate) fn instance(parcel: &Parcel) -> String {
    format!(
        "2.25.{}",
        u128::from(parcel.task.made) << 64
            | u128::from(parcel.task.through) << 24
            | u128::from(parcel.task.id & 0xFF_FFFF)
    )
}

/// What a task tells of its study.
pub(crate) fn data_set(parcel: &Parcel, retrieve_from: &AeTitle, transfer_syntax: &str) -> Vec<u8> {
    let mut told = notice::Notice { study: parcel.task.study.to_string(), series: Vec::new() };
    let mut near = "";
    for object in &parcel.objects {
        let uid = object.key.series.as_str();
        if told.series.last().is_none_or(|series| series.uid != uid) {
            told.series.push(notice::Series { uid: uid.to_owned(), objects: Vec::new() });
            near = parcel.archive.availability(&object.key);
        }
        let named = notice::Object {
            class: object.sop_class.to_string(),
            instance: object.sop_instance.to_string(),
            availability: near.to_owned(),
            retrieve_ae: retrieve_from.to_string(),
        };
        if let Some(series) = told.series.last_mut() {
            series.objects.push(named);
        }
    }
    notice::write(&told, transfer_syntax)
}

/// Whether the peer knows it now.
pub(crate) fn is_heard(answer: &Answer) -> bool {
    answer.is_success() || answer.is_warning() || answer.status == DUPLICATE
}
