//! Links signed in their parameters, for systems that know HMAC-SHA256 and nothing of tokens.
//!
//! What is signed: every parameter but `signature`, decoded, as `name=value`, sorted by their bytes, one a line with a
//! line feed between them, in UTF-8. The signature is the HMAC-SHA256 of that in hexadecimal digits.

use super::claim::{Claim, Refusal, of_facility, text};
use super::keys::{Held, Key};
use super::{message, parameter};
use model::{Digest, FacilityCode, Uid};
use ring::hmac;

/// Most parameters of such a link.
const PARAMETERS_MAX: usize = 32;

/// What the parameters were signed for.
pub(super) fn read(query: &[(String, String)], signature: &str, keys: &[Held]) -> Result<Claim, Refusal> {
    let canonical = canonical(query)?;
    let value = |name: &str| parameter(query, name).filter(|value| !value.is_empty());
    let facility = value("issuer").and_then(|code| FacilityCode::parse(code).ok()).ok_or(Refusal::Signature)?;
    let Digest(bytes) = Digest::parse(signature).ok_or(Refusal::Signature)?;
    let mut mine = of_facility(keys, facility, value("key"));
    let lasts = value(message::USE.0) == Some(message::USE.1);
    let holds = |held: &Held| match &held.key {
        Key::Hs256(key) if lasts => message::holds(key, canonical.as_bytes(), &bytes),
        Key::Hs256(key) => hmac::verify(key, canonical.as_bytes(), &bytes).is_ok(),
        Key::Ed25519(_) => false,
    };
    let held = mine.find(|held| holds(held)).ok_or(Refusal::Signature)?;
    let time = |name: &str| {
        let wrong = Refusal::Malformed("a time of the link is no number of seconds");
        let seconds = value(name).map(|text| text.parse::<u64>().map_err(|_| wrong)).transpose()?;
        seconds.map(|seconds| seconds.checked_mul(1_000).ok_or(wrong)).transpose()
    };
    let said = |name: &str| value(name).map(text).transpose();
    let wrong = Refusal::Malformed("studyUID takes UIDs");
    let studies = value("studyUID").into_iter().flat_map(|list| list.split(','));
    let studies: Vec<Uid> = studies.map(|uid| Uid::parse(uid).map_err(|_| wrong)).collect::<Result<_, _>>()?;
    let whose = match &held.key {
        Key::Hs256(own) if lasts => message::Whose::read(own, &studies, value(message::WHOSE)),
        _ => None,
    };
    let claim = Claim {
        facility,
        user: said("user")?.unwrap_or_default(),
        role: said("role")?.unwrap_or_default(),
        purpose: said("purpose")?.unwrap_or_default(),
        patient: said("patientID")?,
        studies,
        accession: said("accessionNumber")?,
        // Apart from the numbers of tokens: both may be counters.
        id: said("nonce")?.map(|nonce| format!("nonce:{nonce}")).unwrap_or_default(),
        expires: time("expires")?.ok_or(Refusal::Malformed("the link has no end (expires)"))?,
        issued: time("issued")?,
        not_before: None,
        lasts,
        whose,
    };
    claim.checked()
}

/// What is signed. A line break in a value would let one parameter look like two, and a name twice could be read either
/// way: neither is taken.
pub(super) fn canonical(query: &[(String, String)]) -> Result<String, Refusal> {
    let mut lines = Vec::new();
    for (name, value) in query.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("signature")) {
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) || value.chars().any(char::is_control) {
            return Err(Refusal::Malformed("a signed link has parameters of letters and digits, each on one line"));
        }
        lines.push((name.to_ascii_lowercase(), format!("{name}={value}")));
    }
    let mut names: Vec<&str> = lines.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names.len() > PARAMETERS_MAX || names.windows(2).any(|two| two.first() == two.last()) {
        return Err(Refusal::Malformed("a signed link names each parameter once"));
    }
    let mut lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    lines.sort_unstable();
    Ok(lines.join("\n"))
}
