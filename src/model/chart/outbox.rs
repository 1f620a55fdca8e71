//! Who is told of what happens to charts and studies, and what was, is or will be told to whom.
//!
//! A delivery refers to the row it is about and copies nothing of a patient; what is sent is read from the row when it goes
//! out. The feed of changes is deliveries to nobody in particular.
//! Deliberately not here: how something is sent, and when it is tried again.

use super::{ChartKind, Happened, Hook};
use crate::Uid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Longest name, receiver, URL or value of a header in bytes.
const TEXT_MAX: usize = 2_048;
/// Most headers of a rest-hook.
const HEADERS_MAX: usize = 16;
/// Shortest secret of a webhook in bytes.
const SECRET_MIN: usize = 16;

/// Headers of a request that frame it or are about one connection alone (RFC 9110 section 7.6.1), or that say whom it is for
/// and by whom: nobody but the archive sets them.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What names of the archive's own headers begin with.
const OUR_PREFIX: &str = "khoanh-";

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where something is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Target {
    /// HL7 over MLLP to a receiver of the file `hl7.receivers`.
    Hl7 {
        /// Its name there.
        receiver: String,
    },
    /// A POST of a small JSON document, signed by HMAC-SHA256.
    Webhook {
        /// Where to.
        url: String,
        /// Key of the signature.
        secret: Secret,
    },
    /// A FHIR R4 subscription of channel rest-hook.
    RestHook {
        /// Where to.
        url: String,
        /// Headers that are sent, with their values.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, Secret)>,
        /// What its criteria ask for beside the kinds of events; none: for nothing more, and nothing is sent but a call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hook: Option<Box<Hook>>,
    },
}

impl Target {
    /// Its name in lists.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hl7 { .. } => "hl7",
            Self::Webhook { .. } => "webhook",
            Self::RestHook { .. } => "rest-hook",
        }
    }

    /// Whether a subscriber may say what a header of calls to it holds.
    pub fn may_set(header: &str) -> bool {
        let header = header.to_ascii_lowercase();
        !OURS.contains(&header.as_str()) && !header.starts_with(OUR_PREFIX)
    }

    /// Headers with their values; those of before may have names that the archive sets ([`Target::may_set`]).
    fn headers(&self) -> &[(String, Secret)] {
        match self {
            Self::RestHook { headers, .. } => headers,
            Self::Hl7 { .. } | Self::Webhook { .. } => &[],
        }
    }

    /// The first header that is the archive's to set and was not named before.
    fn newly_ours(&self, before: Option<&Self>) -> Option<&str> {
        let known = before.map(Self::headers).unwrap_or_default();
        let is_new = |name: &str| !known.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut names = self.headers().iter().map(|(name, _)| name.as_str());
        names.find(|name| is_token(name) && !Self::may_set(name) && is_new(name))
    }

    /// The address that it names itself; receivers of HL7 stand in a file of the operator's.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Hl7 { .. } => None,
            Self::Webhook { url, .. } | Self::RestHook { url, .. } => Some(url),
        }
    }
}

/// What somebody is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A study is complete, whether an order was found for it or not.
    StudyAvailable,
    /// A complete study was corrected, or belongs to another order or patient than before, or to none, or series of it were
    /// moved.
    StudyChanged,
    /// An order is new or in another state.
    Order,
    /// A result, or a further version of it, came.
    Result,
    /// Two numbers are one patient.
    Merged,
    /// A merge was undone.
    Unmerged,
    /// A patient is new, says something new of themselves or has another number. Told to whoever names it, and not to
    /// whoever asks for everything: information systems say it themselves, a hundred thousand of them in a first load.
    Patient,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::StudyAvailable,
        Self::StudyChanged,
        Self::Order,
        Self::Result,
        Self::Merged,
        Self::Unmerged,
        Self::Patient,
    ];

    /// Its name in lists and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StudyAvailable => "study-available",
            Self::StudyChanged => "study-changed",
            Self::Order => "order",
            Self::Result => "result",
            Self::Merged => "merged",
            Self::Unmerged => "unmerged",
            Self::Patient => "patient",
        }
    }

    /// The kind of the row it is about.
    pub const fn row(self) -> ChartKind {
        match self {
            Self::StudyAvailable | Self::StudyChanged => ChartKind::Match,
            Self::Order => ChartKind::Order,
            Self::Result => ChartKind::Report,
            Self::Merged | Self::Unmerged => ChartKind::Merge,
            Self::Patient => ChartKind::Patient,
        }
    }
}

/// State of a study that is no longer the order's it is told with.
pub const WITHDRAWN: &str = "withdrawn";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Id of the row it is about, of the kind [`EventKind::row`]: placer order number, number of the result, number of the
    /// merge, the patient's number, or [`super::Match::id`].
    pub id: String,
    /// Study Instance UID, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<Uid>,
    /// State it came to: of the order, of the result, whether an order was found, or [`WITHDRAWN`]; of a patient what
    /// happened: `new`, `changed` or `moved`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Placer order number, where it has one; of a study that was taken from an order, that order.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order: String,
    /// Version of the result; 0 where there is none.
    #[serde(default)]
    pub version: u32,
}

/// Who is told, and of what. Its row has a number of ours for an id; it is of one facility and told of that alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Name for people.
    pub name: String,
    /// Where to.
    pub target: Target,
    /// Of what; empty: of everything but [`EventKind::Patient`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub events: BTreeSet<EventKind>,
    /// Whether nothing is sent for now; what happens meanwhile waits.
    #[serde(default)]
    pub paused: bool,
    /// Criteria as a FHIR client wrote them, to be shown; what they ask for is in `events` and the target's `hook`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub criteria: String,
    /// Who asked for it.
    #[serde(default)]
    pub by: String,
    /// When, milliseconds since 1970 UTC: studies that came before are not told of.
    #[serde(default)]
    pub at: u64,
}

impl Subscription {
    /// Whether it is told of something.
    pub fn wants(&self, kind: EventKind) -> bool {
        match kind {
            EventKind::Patient => self.events.contains(&kind) || self.is_of_patients(),
            kind => self.events.is_empty() || self.events.contains(&kind),
        }
    }

    /// Whether a FHIR client asked for `Patient` when merges alone were told of them.
    fn is_of_patients(&self) -> bool {
        self.hook().is_some() && self.events.contains(&EventKind::Merged)
    }

    /// What its criteria ask for beside the kinds of events.
    pub fn hook(&self) -> Option<&Hook> {
        match &self.target {
            Target::RestHook { hook, .. } => hook.as_deref(),
            Target::Hl7 { .. } | Target::Webhook { .. } => None,
        }
    }

    /// Whether it is told of something that happened now.
    pub fn wants_it(&self, happened: &Happened<'_>) -> bool {
        self.wants(happened.event.kind) && self.hook().is_none_or(|hook| hook.wants(happened))
    }

    /// Whether it can be served.
    ///
    /// # Errors
    /// What is wrong and what is expected.
    pub fn check(&self) -> Result<(), String> {
        self.check_after(None)
    }

    /// The same of one that was changed: a header that is the archive's to set, and is not sent, may stay from before.
    ///
    /// # Errors
    /// What is wrong and what is expected.
    pub fn check_after(&self, before: Option<&Target>) -> Result<(), String> {
        let fits = |text: &str| text.len() <= TEXT_MAX && !text.chars().any(char::is_control);
        if self.name.trim().is_empty() || ![&self.name, &self.by, &self.criteria].iter().all(|text| fits(text)) {
            return Err(format!("a subscription has a name; its texts have at most {TEXT_MAX} bytes"));
        }
        match &self.target {
            Target::Hl7 { .. } if self.events.contains(&EventKind::Patient) => {
                Err("patients are told by webhook and rest-hook; HL7 tells merged and unmerged".into())
            }
            Target::Hl7 { receiver } if receiver.trim().is_empty() || !fits(receiver) => {
                Err("name a receiver of the file hl7.receivers".into())
            }
            Target::Hl7 { .. } => Ok(()),
            Target::Webhook { url, secret } if is_url(url) && fits(url) => {
                if secret.0.len() < SECRET_MIN || !fits(&secret.0) {
                    return Err(format!("the secret of a webhook has {SECRET_MIN} to {TEXT_MAX} bytes"));
                }
                Ok(())
            }
            Target::RestHook { url, headers, hook } if is_url(url) && fits(url) => {
                hook.as_deref().map_or(Ok(()), Hook::check)?;
                if let Some(name) = self.target.newly_ours(before) {
                    return Err(format!("the header {name} is the archive's to set: leave it out"));
                }
                let good = |(name, value): &(String, Secret)| is_token(name) && fits(&value.0);
                if headers.len() > HEADERS_MAX || !headers.iter().all(good) {
                    return Err(format!("at most {HEADERS_MAX} headers, each a name and a value"));
                }
                Ok(())
            }
            Target::Webhook { .. } | Target::RestHook { .. } => {
                Err("a URL begins with https:// or http:// and a host, and holds no user name".into())
            }
        }
    }
}

fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    !host.is_empty() && !host.contains('@') && !url.chars().any(char::is_whitespace)
}

fn is_token(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It is tried in its turn.
    Waiting,
    /// The receiver has taken it.
    Delivered,
    /// The receiver refuses it for good, or it cannot be sent: somebody has to look.
    Dead,
}

impl DeliveryState {
    /// Its name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state of a name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Delivered, Self::Dead].into_iter().find(|state| state.name() == name)
    }
}

/// Something that is told to somebody, or that stands in the feed of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number: later ones are greater, of all facilities together. Its row's id is [`Delivery::id`].
    pub seq: u64,
    /// Id of the subscription; empty: a line of the feed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subscription: String,
    /// What happened.
    pub event: Event,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
    /// How far it is; a line of the feed counts as delivered.
    pub state: DeliveryState,
    /// How often it was tried.
    #[serde(default)]
    pub tries: u32,
    /// Not before, milliseconds since 1970 UTC.
    #[serde(default)]
    pub next: u64,
    /// When it was delivered or given up, milliseconds since 1970 UTC; 0: not yet.
    #[serde(default)]
    pub ended: u64,
    /// Why it was not taken the last time, without a patient's data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl Delivery {
    /// The id of its row, and what tells its repetition: the message control id, the id in a webhook. 16 digits.
    pub fn id(seq: u64) -> String {
        format!("{seq:016}")
    }

    /// The order of rows is the newest first; of deliveries the oldest comes first.
    pub const fn moment(&self) -> u64 {
        Self::moment_of(self.seq)
    }

    /// The moment of the delivery of a number.
    pub const fn moment_of(seq: u64) -> u64 {
        u64::MAX - seq
    }

    /// Value by which the deliveries of a subscription in a state are found; an empty subscription: the feed.
    pub fn lane(subscription: &str, state: DeliveryState) -> String {
        match subscription {
            "" => "feed".to_owned(),
            subscription => format!("{subscription} {}", state.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(target: Target) -> Subscription {
        Subscription {
            name: "HIS".into(),
            target,
            events: BTreeSet::new(),
            paused: false,
            criteria: String::new(),
            by: "test".into(),
            at: 0,
        }
    }

    #[test]
    fn what_cannot_be_served_is_refused_and_a_secret_is_not_shown() {
        let hook = |url: &str, secret: &str| {
            subscription(Target::Webhook { url: url.into(), secret: Secret(secret.into()) }).check().is_ok()
        };
        let key = "0123456789abcdef";
        assert!(hook("https://his.example/hook", key) && hook("http://10.0.0.1:8080/hook?x=1", key));
        for url in ["", "his.example", "ftp://his", "https://", "https://a:b@his", "https://his/a b", "https://h\n"] {
            assert!(!hook(url, key), "{url}");
        }
        assert!(!hook("https://his.example/hook", "short"));
        assert!(subscription(Target::Hl7 { receiver: " ".into() }).check().is_err());
        let headers = vec![("Authorization".to_owned(), Secret("Bearer hidden-token".into()))];
        let one = subscription(Target::RestHook { url: "https://emr.example/fhir".into(), headers, hook: None });
        assert!(one.check().is_ok() && !format!("{one:?}").contains("hidden-token"));
    }

    #[test]
    fn what_frames_a_call_is_no_header_of_a_subscribers() {
        let with = |name: &str| {
            let headers = vec![(name.to_owned(), Secret("x-y-z".into()))];
            subscription(Target::RestHook { url: "https://emr.example/fhir".into(), headers, hook: None }).check()
        };
        for name in
            ["Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Upgrade", "Proxy-Authorization"]
        {
            let error = with(name).expect_err(name);
            assert!(error.contains(name) && !error.contains("x-y-z"), "{error}");
        }
        assert!(with("Khoanh-Delivery").is_err() && with("Content-Type").is_err() && with("keep-alive").is_err());
        for name in ["Authorization", "X-Api-Key", "Accept", "Hostname", "Cookie"] {
            assert_eq!(with(name), Ok(()), "{name}");
        }
        // What was kept before stays, and nothing else comes beside it.
        let of = |names: &[&str]| {
            let headers = names.iter().map(|name| ((*name).to_owned(), Secret("x-y-z".into()))).collect();
            Target::RestHook { url: "https://emr.example/fhir".into(), headers, hook: None }
        };
        let before = of(&["Host", "Authorization"]);
        assert_eq!(subscription(of(&["host", "Accept"])).check_after(Some(&before)), Ok(()));
        assert!(subscription(of(&["Host", "TE"])).check_after(Some(&before)).is_err());
        assert!(subscription(before).check().is_err());
    }

    #[test]
    fn patients_are_told_to_whoever_names_them_and_to_who_asked_for_them_before() {
        let of = |target: Target, events: &[EventKind]| Subscription {
            events: events.iter().copied().collect(),
            ..subscription(target)
        };
        let url = || "https://emr.example/fhir".to_owned();
        let fhir = |hook| Target::RestHook { url: url(), headers: Vec::new(), hook };
        let webhook = || Target::Webhook { url: url(), secret: Secret("0123456789abcdef".into()) };
        let merges = [EventKind::Merged, EventKind::Unmerged];
        for (one, told) in [
            (of(webhook(), &[]), false),
            (of(webhook(), &merges), false),
            (of(webhook(), &[EventKind::Patient]), true),
            (of(fhir(Some(Box::default())), &merges), true),
            (of(fhir(Some(Box::default())), &[EventKind::Order]), false),
            (of(fhir(None), &[]), false),
        ] {
            assert_eq!(one.wants(EventKind::Patient), told, "{one:?}");
            assert!(one.check().is_ok(), "{one:?}");
        }
        let hl7 = |events: &[EventKind]| of(Target::Hl7 { receiver: "lis".into() }, events).check();
        assert!(hl7(&merges).is_ok() && hl7(&[EventKind::Patient]).is_err());
    }

    #[test]
    fn the_oldest_delivery_comes_first() {
        assert!(Delivery::moment_of(1) > Delivery::moment_of(2));
        assert_eq!(Delivery::id(1_795_842_000_000_000).len(), 16, "a control id has at most 20 characters");
    }
}
