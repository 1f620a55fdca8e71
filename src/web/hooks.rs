//! Webhooks and FHIR rest-hooks: a POST to a subscriber for each delivery of the archive's outbox.
//!
//! What waits, and what is tried again, is the archive's matter ([`archive::charts::outbox`]). A webhook is a small JSON
//! document with numbers and links, signed; a rest-hook of FHIR R4 is a call without a body, or the resource itself where
//! the subscriber asked for it.

use crate::fhir;
use crate::options::Options;
use crate::outgoing::{self, Called, Calls};
use crate::problem::Kind;
use archive::charts::outbox::dispatch::{Courier, Outcome, Parcel};
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use model::chart::{Delivery, EventKind, Target};
use model::{FacilityCode, Reach};
use parking_lot::Mutex;
use ring::hmac;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;

/// The header of the signature.
const SIGNATURE: &str = "khoanh-signature";
/// The header of the delivery's id.
const DELIVERY: &str = "khoanh-delivery";
/// Most ports of subscribers that clients are kept for.
const PORTS_MAX: usize = 64;
/// Most headers of subscriptions of which it is kept that it was said that they are not sent.
const LEFT_OUT_MAX: usize = 1_024;

/// Limits of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookLimits {
    /// Longest wait for the connection.
    pub connect: Duration,
    /// Longest wait for the answer.
    pub answer: Duration,
    /// Authorities whose certificates are good, PEM; none: those of the system.
    pub authorities: Option<PathBuf>,
    /// Where subscribers may be.
    pub reach: Reach,
}

/// Calls subscribers.
pub struct Hooks {
    calls: Calls,
    limits: HookLimits,
    reach: Arc<Reach>,
    /// By the port they call.
    clients: Mutex<HashMap<u16, reqwest::Client>>,
    /// Headers that were said not to be sent, with their subscriptions.
    left_out: Mutex<BTreeSet<(FacilityCode, String, String)>>,
    /// URL of the service, for what is told in resources.
    base: String,
    /// Identifier systems of FHIR.
    systems: fhir::Map,
}

impl Hooks {
    /// Calls from within a tokio runtime.
    pub fn new(runtime: Handle, limits: HookLimits) -> Self {
        let (base, systems) = (String::new(), fhir::Map::default());
        let reach = Arc::new(limits.reach.clone());
        let (calls, clients, left_out) = (Calls::new(runtime), Mutex::default(), Mutex::default());
        Self { calls, limits, reach, clients, left_out, base, systems }
    }

    /// Tells resources as the service does: with its URL and its identifier systems.
    #[must_use]
    pub fn telling(mut self, options: &Options) -> Self {
        self.base = options.public_url.as_deref().unwrap_or_default().trim_end_matches('/').to_owned();
        self.systems = fhir::Map::open(options.fhir.systems.as_deref());
        self
    }

    fn client(&self, port: u16) -> Result<reqwest::Client, String> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(&port) {
            return Ok(client.clone());
        }
        let made = outgoing::client_at(port, &self.reach, self.limits.authorities.as_deref(), self.limits.connect)?;
        if clients.len() >= PORTS_MAX {
            clients.clear();
        }
        clients.insert(port, made.clone());
        Ok(made)
    }

    /// A request to a subscriber, where it may be called.
    fn call(&self, method: Method, url: &str) -> Result<reqwest::RequestBuilder, Outcome> {
        let (url, port) = outgoing::reachable(&self.reach, url).map_err(Outcome::Failed)?;
        Ok(self.client(port).map_err(Outcome::Down)?.request(method, url))
    }

    fn request(&self, parcel: &Parcel) -> Result<reqwest::RequestBuilder, Outcome> {
        let refused = |what: &str| Outcome::Refused(what.to_owned());
        match &parcel.subscription.target {
            Target::Hl7 { .. } => Err(refused("this is no subscriber of HTTP")),
            Target::Webhook { url, secret } => {
                let body = document(parcel).to_string();
                let signature = signature(&secret.0, seconds(), &body);
                let signature = HeaderValue::try_from(signature).map_err(|_| refused("it cannot be signed"))?;
                let id = Delivery::id(parcel.delivery.seq);
                let request =
                    self.call(Method::POST, url)?.header(CONTENT_TYPE, "application/json").header(DELIVERY, id);
                Ok(request.header(SIGNATURE, signature).body(body))
            }
            Target::RestHook { url, headers, hook } => {
                let full = hook.as_deref().is_some_and(|hook| hook.full);
                let request = match full {
                    true => self.put(url, parcel)?,
                    // Some servers want to be told that there is no body.
                    false => self.call(Method::POST, url)?.header(CONTENT_LENGTH, 0),
                };
                let mut request = request.header(DELIVERY, Delivery::id(parcel.delivery.seq));
                for (name, value) in headers {
                    // As one of before may have it.
                    if !Target::may_set(name) {
                        self.leaves_out(parcel, name);
                        continue;
                    }
                    let value = HeaderValue::try_from(&value.0);
                    let mut value = value.map_err(|_| refused("a header of the subscription cannot be sent"))?;
                    value.set_sensitive(true);
                    request = request.header(name.as_str(), value);
                }
                Ok(request)
            }
        }
    }
}

impl Hooks {
    /// Says once of a subscription that a header of it is not sent.
    fn leaves_out(&self, parcel: &Parcel, name: &str) {
        let (facility, subscription) = (parcel.facility, parcel.delivery.subscription.as_str());
        let mut left_out = self.left_out.lock();
        if left_out.len() >= LEFT_OUT_MAX {
            left_out.clear();
        }
        if left_out.insert((facility, subscription.to_owned(), name.to_ascii_lowercase())) {
            tracing::warn!(%facility, subscription, name, "a header of a subscription is the archive's to set: it is not sent");
        }
    }

    /// The resource, put below the URL of the subscriber.
    fn put(&self, url: &str, parcel: &Parcel) -> Result<reqwest::RequestBuilder, Outcome> {
        let told = fhir::told(parcel, self.systems.now(), &self.base, seconds().saturating_mul(1_000));
        let told = told.map_err(|problem| match problem.kind {
            Kind::Unavailable | Kind::Busy => Outcome::Failed("the archive could not read what it is about".into()),
            _ => Outcome::Refused("what it is about cannot be told".into()),
        })?;
        let gone = || {
            let why = "what it is about is not there any more, or not of one patient, or of those asked for, alone";
            Outcome::Refused(why.into())
        };
        let told = told.ok_or_else(gone)?;
        let part = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default();
        let url = format!("{}/{}/{}", url.trim_end_matches('/'), part("resourceType"), part("id"));
        Ok(self.call(Method::PUT, &url)?.header(CONTENT_TYPE, fhir::outcome::MEDIA).body(told.to_string()))
    }
}

/// What a webhook says: numbers and links, nothing of the patient.
fn document(parcel: &Parcel) -> Value {
    let (one, facility) = (&parcel.delivery, parcel.facility.to_string());
    let event = &one.event;
    let mut links = serde_json::Map::new();
    let mut link = |name: &str, path: String| drop(links.insert(name.to_owned(), Value::String(path)));
    if let Some(study) = &event.study {
        link("study", format!("/facilities/{facility}/dicom-web/studies/{study}"));
        link("available", format!("/api/available?facility={facility}&study={study}"));
    }
    if !event.order.is_empty() {
        link("order", format!("/api/orders/{}?facility={facility}", escaped(&event.order)));
    }
    if event.kind == EventKind::Patient {
        link("patient", format!("/api/patients/{}?facility={facility}", escaped(&event.id)));
    }
    let about = match event.kind {
        EventKind::StudyAvailable | EventKind::StudyChanged => "study",
        EventKind::Order => "order",
        EventKind::Result => "result",
        EventKind::Merged | EventKind::Unmerged => "merge",
        EventKind::Patient => "patient",
    };
    let mut document = json!({
        "id": Delivery::id(one.seq),
        "event": event.kind.name(),
        "at": one.at,
        "facility": facility,
        "about": { "kind": about, "id": event.id },
        "links": links,
    });
    if let Some(object) = document.as_object_mut() {
        let mut add = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        if let Some(study) = &event.study {
            add("study", study.as_str().into());
        }
        if !event.order.is_empty() {
            add("order", event.order.clone().into());
        }
        if !event.state.is_empty() {
            add("state", event.state.clone().into());
        }
        if event.version > 0 {
            add("version", event.version.into());
        }
        if let Some((series, instances)) = parcel.counts {
            add("counts", json!({ "series": series, "instances": instances }));
        }
    }
    document
}

/// A number as a segment of a path.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Seconds since 1970 UTC.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `t=` seconds since 1970 UTC, `v1=` HMAC-SHA256 in hexadecimal digits of these seconds, a full stop and the body.
fn signature(secret: &str, at: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},v1={digits}")
}

/// What a status says.
fn verdict(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Done,
        408 | 429 | 500..=599 => Outcome::Down(format!("the subscriber answers {status}")),
        // It is about whoever calls, as a token that has expired, and not about what is told.
        300..=399 | 401 | 403 | 407 => Outcome::Failed(format!("the subscriber answers {status}")),
        _ => Outcome::Refused(format!("the subscriber answers {status}")),
    }
}

impl Courier for Hooks {
    fn bring(&self, parcel: &Parcel) -> Outcome {
        let request = match self.request(parcel) {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        // The body of the answer is of no use, and is not read.
        let asking = async move { request.send().await.map(|answer| answer.status().as_u16()) };
        match self.calls.within(self.limits.answer, asking) {
            Called::Answered(Ok(status)) => verdict(status),
            Called::Answered(Err(error)) => match outgoing::out_of_reach(&error) {
                Some(why) => Outcome::Failed(why),
                None => Outcome::Down(outgoing::said(&error)),
            },
            Called::Late => Outcome::Down("the subscriber does not answer in time".into()),
            Called::Interrupted => Outcome::Interrupted,
        }
    }

    fn stop(&self) {
        self.calls.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_can_be_checked_by_anybody_who_has_the_secret() {
        // printf '1800000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let signed = signature("0123456789abcdef", 1_800_000_000, "{}");
        let (time, digits) = signed.split_once(",v1=").expect("two parts");
        assert_eq!((time, digits.len()), ("t=1800000000", 64));
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        let tag: Vec<u8> = digits.as_bytes().chunks(2).map(digit).collect();
        assert!(hmac::verify(&key, b"1800000000.{}", &tag).is_ok());
        assert!(hmac::verify(&key, b"1800000001.{}", &tag).is_err());
    }

    #[test]
    fn what_is_refused_for_good_differs_from_what_is_refused_now() {
        assert_eq!(verdict(204), Outcome::Done);
        for status in [408, 429, 500, 503] {
            assert!(matches!(verdict(status), Outcome::Down(_)), "{status}");
        }
        for status in [301, 302, 401, 403, 407] {
            assert!(matches!(verdict(status), Outcome::Failed(_)), "{status}");
        }
        for status in [400, 404, 410, 422] {
            assert!(matches!(verdict(status), Outcome::Refused(_)), "{status}");
        }
        assert_eq!(escaped("A/1 ộ"), "A%2F1%20%E1%BB%99");
    }
}
