//! Tokens of links: a JSON Web Signature in compact form (RFC 7515), by HS256 or EdDSA.
//!
//! Only what links need: one signature, the key's own algorithm, no `crit`. The signatures themselves are `ring`'s; the
//! algorithm is never taken from the token, but must be that of the key.

use super::claim::{Claim, Refusal, of_facility, text};
use super::keys::{Held, Key};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{FacilityCode, Uid};
use ring::{hmac, signature};
use serde_json::{Map, Value};

/// Longest token.
const TOKEN_MAX: usize = 8 << 10;
/// Most studies of one token.
const STUDIES_MAX: usize = 50;
/// Whom a token is for, where it says so.
const AUDIENCE: &str = "khoanh";

const MALFORMED: Refusal = Refusal::Malformed("the token is no JSON Web Signature in compact form");

/// What a token was signed for.
pub(super) fn read(token: &str, keys: &[Held]) -> Result<Claim, Refusal> {
    if token.len() > TOKEN_MAX {
        return Err(Refusal::Malformed("the token is too long"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
    let (head, body) = signed.split_once('.').ok_or(MALFORMED)?;
    let head = object(head)?;
    let body = object(body)?;
    if head.contains_key("crit") || head.contains_key("b64") {
        return Err(Refusal::Malformed("the token asks for extensions that are not known here"));
    }
    let bytes = URL_SAFE_NO_PAD.decode(signature).map_err(|_| MALFORMED)?;
    let facility = word(&body, "iss")?.and_then(|iss| FacilityCode::parse(&iss).ok()).ok_or(Refusal::Signature)?;
    let algorithm = head.get("alg").and_then(Value::as_str).unwrap_or_default();
    let mut mine = of_facility(keys, facility, head.get("kid").and_then(Value::as_str));
    if !mine.any(|held| holds(&held.key, algorithm, signed.as_bytes(), &bytes)) {
        return Err(Refusal::Signature);
    }
    claim(facility, &body)
}

fn holds(key: &Key, algorithm: &str, signed: &[u8], bytes: &[u8]) -> bool {
    match (key, algorithm) {
        (Key::Hs256(key), "HS256") => hmac::verify(key, signed, bytes).is_ok(),
        (Key::Ed25519(key), "EdDSA" | "Ed25519") => {
            signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(signed, bytes).is_ok()
        }
        _ => false,
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED)?;
    serde_json::from_slice(&bytes).map_err(|_| MALFORMED)
}

/// A text; a claim of another type is a refusal, not an absent one.
fn word(body: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(text(value)?).filter(|value| !value.is_empty())),
        Some(_) => Err(Refusal::Malformed("a claim of the token is no text")),
    }
}

/// A time in seconds, as milliseconds.
fn time(body: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refusal> {
    let wrong = Refusal::Malformed("a time of the token is no number of seconds");
    let Some(value) = body.get(name) else { return Ok(None) };
    // A fraction of a second is cut; a number beyond all times is none.
    let whole = value.as_u64().or_else(|| value.as_f64()?.floor().to_string().parse().ok());
    whole.and_then(|seconds| seconds.checked_mul(1_000)).map(Some).ok_or(wrong)
}

fn claim(facility: FacilityCode, body: &Map<String, Value>) -> Result<Claim, Refusal> {
    let for_us = match body.get("aud") {
        None => true,
        Some(Value::String(one)) => one == AUDIENCE,
        Some(Value::Array(list)) => list.iter().any(|one| one == AUDIENCE),
        Some(_) => false,
    };
    if !for_us {
        return Err(Refusal::Malformed("the token is for somebody else"));
    }
    let studies = match body.get("study") {
        Some(Value::Array(list)) if list.len() <= STUDIES_MAX => list.iter().map(uid).collect::<Result<_, _>>()?,
        Some(Value::Array(_)) => return Err(Refusal::Malformed("the token names too many studies")),
        None | Some(Value::Null) => Vec::new(),
        Some(one) => vec![uid(one)?],
    };
    let text = |name: &str| word(body, name);
    let claim = Claim {
        facility,
        user: text("sub")?.unwrap_or_default(),
        role: text("role")?.unwrap_or_default(),
        purpose: text("purpose")?.unwrap_or_default(),
        patient: text("patient")?,
        studies,
        accession: text("accession")?,
        id: text("jti")?.unwrap_or_default(),
        expires: time(body, "exp")?.ok_or(Refusal::Malformed("the token has no end (exp)"))?,
        issued: time(body, "iat")?,
        not_before: time(body, "nbf")?,
        lasts: false,
        whose: None,
    };
    claim.checked()
}

fn uid(value: &Value) -> Result<Uid, Refusal> {
    let wrong = Refusal::Malformed("a study of the token is no UID");
    value.as_str().and_then(|text| Uid::parse(text).ok()).ok_or(wrong)
}
