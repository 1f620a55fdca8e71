//! Bearer tokens: who a request comes from.
//!
//! Tokens are kept as SHA-256 only, in a TOML file that is read at start and again when it changes ([`watched`]).
//! Without the file the service binds loopback only and everybody is the demo caller;
//! this module decides who asks, never what the archive answers.

pub(crate) mod watched;

use crate::problem::{Kind, Problem};
use http::{HeaderMap, HeaderValue, Method, header};
use model::{Caller, Digest, FacilityCode, Role};
use serde::Deserialize;
use sha2::Digest as _;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use watched::{Form, Watched};

/// Name of the cookie that keeps a browser's token.
pub(crate) const COOKIE: &str = "khoanh-token";
const DAY: u64 = 86_400_000;
const CHALLENGE: &str = "Bearer realm=\"khoanh\"";
const CHALLENGE_INVALID: &str = "Bearer realm=\"khoanh\", error=\"invalid_token\"";
const CHALLENGE_SCOPE: &str = "Bearer realm=\"khoanh\", error=\"insufficient_scope\"";

/// Why a token file, or a file of keys, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be read.
    #[error("{file} {path}: {error}")]
    Read {
        /// What it is for.
        file: &'static str,
        /// The file.
        path: String,
        /// Reason.
        error: std::io::Error,
    },
    /// The file is no token file.
    #[error("{file} {path}: {what}")]
    Form {
        /// What it is for.
        file: &'static str,
        /// The file.
        path: String,
        /// What and where.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    #[serde(default)]
    token: Vec<TokenEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    name: String,
    sha256: String,
    facilities: Facilities,
    home: Option<FacilityCode>,
    role: Role,
    #[serde(default)]
    sees_rejected: bool,
    expires: Option<Expiry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Facilities {
    List(BTreeSet<FacilityCode>),
    Word(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expiry {
    Date(toml::value::Datetime),
    Text(String),
}

#[derive(Debug)]
struct Token {
    caller: Caller,
    /// First millisecond since 1970 UTC at which it no longer holds.
    expires: Option<u64>,
}

/// The tokens of one reading, by digest.
type Known = HashMap<[u8; 32], Token>;

static TOKEN_FILE: Form<Known> = Form { file: "token file", unusable: "khoanh_http_token_file_unusable", parse: known };

/// The tokens of the service, or none when everybody on loopback is the demo caller.
#[derive(Debug, Default)]
pub struct Tokens {
    kept: Kept,
}

/// Where the tokens come from.
#[derive(Debug, Default)]
enum Kept {
    #[default]
    Open,
    Fixed(Arc<Known>),
    File(Watched<Known>),
}

impl Tokens {
    /// No token file: every request is [`Caller::demo`].
    pub fn open() -> Self {
        Self::default()
    }

    /// Reads a token file, and reads it again whenever it changes: within a second or two of the first request
    /// after the change. A file that cannot be used any more changes nothing and is logged.
    pub fn load(path: &Path) -> Result<Self, TokenFileError> {
        Ok(Self { kept: Kept::File(Watched::read(path, &TOKEN_FILE)?) })
    }

    /// Parses the text of a token file.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { kept: Kept::Fixed(Arc::new(known(text)?)) })
    }

    /// Whether requests need a token.
    pub fn required(&self) -> bool {
        !matches!(self.kept, Kept::Open)
    }

    /// The tokens as of now; none when nobody needs one.
    fn now(&self) -> Option<Arc<Known>> {
        match &self.kept {
            Kept::Open => None,
            Kept::Fixed(known) => Some(Arc::clone(known)),
            Kept::File(file) => Some(file.now()),
        }
    }

    /// The caller of a request, at a time in milliseconds since 1970 UTC.
    ///
    /// The cookie of a browser counts for reading only, so that no other site can make a browser change anything.
    pub fn caller(&self, method: &Method, headers: &HeaderMap, now: u64) -> Result<Caller, Problem> {
        let Some(tokens) = self.now() else { return Ok(Caller::demo()) };
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let secret = match headers.get(header::AUTHORIZATION) {
            Some(value) => bearer(value).ok_or_else(|| {
                Problem::unauthorized("the Authorization header is not of the form 'Bearer TOKEN'", CHALLENGE)
            })?,
            None => match cookie(headers).filter(|_| reads) {
                Some(secret) => secret,
                None => return Err(Problem::unauthorized("the request has no Authorization header", CHALLENGE)),
            },
        };
        let digest: [u8; 32] = sha2::Sha256::digest(secret.as_bytes()).into();
        match tokens.get(&digest) {
            None => Err(Problem::unauthorized("the token is not known", CHALLENGE_INVALID)),
            Some(token) if token.expires.is_some_and(|end| now >= end) => {
                Err(Problem::unauthorized("the token has expired", CHALLENGE_INVALID))
            }
            Some(token) => Ok(token.caller.clone()),
        }
    }
}

/// The tokens in the text of a token file.
fn known(text: &str) -> Result<Known, String> {
    let file: TokenFile = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut by_digest = HashMap::new();
    for entry in file.token {
        let name = entry.name.clone();
        let (digest, token) = entry.check().map_err(|what| format!("token {name:?}: {what}"))?;
        if by_digest.insert(digest, token).is_some() {
            return Err(format!("token {name:?}: another token has the same sha256"));
        }
    }
    Ok(by_digest)
}

/// The token of an Authorization header.
pub(crate) fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, secret) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

/// The token in the cookie that a session set.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    cookie_named(headers, COOKIE)
}

/// The value of a cookie.
pub(crate) fn cookie_named<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim())
}

/// Refuses a caller below the role a route asks for.
pub(crate) fn require(caller: &Caller, role: Role) -> Result<(), Problem> {
    if caller.role >= role {
        return Ok(());
    }
    let detail = format!("this needs the role {role:?}, the token has {:?}", caller.role).to_lowercase();
    Err(Problem::new(Kind::Forbidden, detail)
        .header(header::WWW_AUTHENTICATE, http::HeaderValue::from_static(CHALLENGE_SCOPE)))
}

impl TokenEntry {
    fn check(self) -> Result<([u8; 32], Token), String> {
        let Some(Digest(digest)) = Digest::parse(&self.sha256) else {
            return Err("sha256 is not 64 hexadecimal digits".into());
        };
        let facilities = match self.facilities {
            Facilities::List(list) if list.is_empty() => return Err("facilities is empty".into()),
            Facilities::List(list) => Some(list),
            Facilities::Word(word) if word == "all" => None,
            Facilities::Word(word) => return Err(format!("facilities is a list of codes or \"all\", not {word:?}")),
        };
        if let (Some(home), Some(list)) = (self.home, &facilities)
            && !list.contains(&home)
        {
            return Err(format!("home {home} is not among its facilities"));
        }
        let expires = match self.expires {
            None => None,
            Some(Expiry::Date(date)) => Some(date.to_string()),
            Some(Expiry::Text(text)) => Some(text),
        };
        let expires = match expires {
            None => None,
            Some(text) => Some(expiry(&text).ok_or_else(|| format!("expires {text:?} is no date such as 2030-12-31"))?),
        };
        let (name, role, home, sees_rejected) = (self.name, self.role, self.home, self.sees_rejected);
        let caller = Caller { name, role, home, facilities, sees_rejected };
        Ok((digest, Token { caller, expires }))
    }
}

/// First millisecond after `YYYY-MM-DD` (that day still holds) or of `YYYY-MM-DDTHH:MM:SSZ`, UTC.
fn expiry(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time.strip_suffix(['Z', 'z'])?)),
        None => (text, None),
    };
    let start = day_number(date)?.checked_mul(DAY)?;
    let Some(time) = time else { return start.checked_add(DAY) };
    let mut fields = time.splitn(3, ':').map(|field| field.split('.').next().unwrap_or(field).parse::<u64>().ok());
    let (hour, minute, second) = (fields.next()??, fields.next()??, fields.next()??);
    (hour < 24 && minute < 60 && second < 61).then_some(())?;
    start.checked_add(((hour * 60 + minute) * 60 + second) * 1000)
}

/// Days from 1970-01-01 to a date `YYYY-MM-DD` (proleptic Gregorian, years from 1970 on).
fn day_number(date: &str) -> Option<u64> {
    let mut fields = date.splitn(3, '-').map(|field| field.parse::<u64>().ok());
    let (year, month, day) = (fields.next()??, fields.next()??, fields.next()??);
    let known = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    known.then_some(())?;
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = shifted_year * 365 + shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    (days + (shifted_month * 153 + 2) / 5 + day - 1).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    // SHA-256 of "s3cret" and of "other".
    const SECRET: &str = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0";

    fn bearer(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, text.parse().expect("header"));
        headers
    }

    fn file(rest: &str) -> String {
        format!("[[token]]\nname = \"viewer\"\nsha256 = \"{SECRET}\"\nrole = \"reader\"\n{rest}")
    }

    #[test]
    fn a_token_becomes_its_caller_until_it_expires() {
        let tokens =
            Tokens::parse(&file("facilities = [\"56001\"]\nhome = \"56001\"\nexpires = 2030-01-31")).expect("file");
        let last = expiry("2030-01-31").expect("date");
        let caller = tokens.caller(&Method::GET, &bearer("bearer s3cret"), last - 1).expect("valid");
        assert_eq!((caller.name.as_str(), caller.role), ("viewer", Role::Reader));
        assert!(!caller.may_see(FacilityCode::DEMO));
        let late = tokens.caller(&Method::GET, &bearer("Bearer s3cret"), last).expect_err("expired");
        assert_eq!(late.kind, Kind::Unauthorized);
        for bad in ["Bearer wrong", "Basic s3cret", "s3cret"] {
            assert_eq!(tokens.caller(&Method::GET, &bearer(bad), 0).expect_err(bad).kind, Kind::Unauthorized);
        }
        assert!(tokens.caller(&Method::GET, &HeaderMap::new(), 0).is_err());
        assert!(require(&caller, Role::Sender).is_err() && require(&caller, Role::Reader).is_ok());
    }

    #[test]
    fn a_cookie_reads_and_changes_nothing() {
        let tokens = Tokens::parse(&file("facilities = \"all\"")).expect("file");
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; khoanh-token=s3cret; c=d".parse().expect("header"));
        assert!(tokens.caller(&Method::GET, &headers, 0).is_ok() && tokens.caller(&Method::HEAD, &headers, 0).is_ok());
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert_eq!(tokens.caller(&method, &headers, 0).expect_err("a change").kind, Kind::Unauthorized);
        }
    }

    #[test]
    fn wrong_files_are_refused_with_the_reason() {
        for (rest, what) in [
            ("facilities = \"none\"", "all"),
            ("facilities = []", "empty"),
            ("facilities = [\"56001\"]\nhome = \"56002\"", "home"),
            ("facilities = \"all\"\nexpires = \"soon\"", "expires"),
            ("facilities = \"all\"\ncolour = \"red\"", "colour"),
        ] {
            let error = Tokens::parse(&file(rest)).expect_err(rest);
            assert!(error.contains(what), "{rest}: {error}");
        }
        let twice = format!("{}\n{}", file("facilities = \"all\""), file("facilities = \"all\""));
        assert!(Tokens::parse(&twice).is_err());
        assert!(Tokens::parse("").expect("empty file").caller(&Method::GET, &bearer("Bearer s3cret"), 0).is_err());
    }

    #[test]
    fn dates_count_days_as_the_calendar_does() {
        assert_eq!(day_number("1970-01-01"), Some(0));
        assert_eq!(day_number("2000-03-01"), Some(11_017));
        assert_eq!(expiry("2024-02-29"), Some(19_783 * DAY));
        assert_eq!(expiry("2024-02-28T12:00:00Z"), Some(19_781 * DAY + DAY / 2));
        assert_eq!(expiry("2024-13-01"), None);
    }
}
