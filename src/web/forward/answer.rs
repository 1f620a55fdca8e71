//! What a DICOMweb service answered to STOW-RS (PS3.18 section 10.5.3, PS3.18 annex I.2).

use serde_json::Value;
use std::collections::HashMap;

/// Longest answer that is read.
const ANSWER_MAX: usize = 8 << 20;
/// Failed SOP Sequence, Referenced SOP Instance UID, Failure Reason.
const FAILED: &str = "00081198";
const INSTANCE: &str = "00081155";
const REASON: &str = "00081197";

/// What became of the objects of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All are taken but these, by SOP Instance UID, with the reasons.
    Taken(HashMap<String, String>),
    /// None is taken.
    Refused(String),
    /// The request has too many bytes.
    TooLarge,
}

impl Verdict {
    /// Why an object is not taken; none when it is.
    pub(super) fn of(&self, sop_instance: &str) -> Option<String> {
        match self {
            Self::Taken(failed) => failed.get(sop_instance).cloned(),
            Self::Refused(why) => Some(why.clone()),
            Self::TooLarge => Some("413: too large for the service".into()),
        }
    }
}

/// Reads an answer.
///
/// # Errors
/// Why the service as a whole takes nothing now.
pub(super) async fn read(mut answer: reqwest::Response) -> Result<Verdict, String> {
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        if body.len().saturating_add(chunk.len()) > ANSWER_MAX {
            return Err("an endless answer".into());
        }
        body.extend_from_slice(&chunk);
    }
    verdict(status, &body)
}

fn verdict(status: u16, body: &[u8]) -> Result<Verdict, String> {
    let failed = failed(body);
    match status {
        200 => Ok(Verdict::Taken(failed.unwrap_or_default())),
        202 => failed.map(Verdict::Taken).ok_or_else(|| "202 without a list of what failed".into()),
        // PS3.18 says that nothing was stored; the list says why, and what it leaves out was there already.
        409 => match failed.filter(|failed| !failed.is_empty()) {
            Some(failed) => Ok(Verdict::Taken(failed)),
            None => Ok(Verdict::Refused("409: nothing was stored".into())),
        },
        413 => Ok(Verdict::TooLarge),
        400 | 406 | 415 | 422 => Ok(Verdict::Refused(format!("{status}: not understood or not supported"))),
        other => Err(format!("the service answers {other}")),
    }
}

/// The failed objects of a PS3.18 Store Instances Response in DICOM JSON; none when it is no such document.
fn failed(body: &[u8]) -> Option<HashMap<String, String>> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let document = document.as_array().and_then(|list| list.first()).unwrap_or(&document).as_object()?.clone();
    let items = document.get(FAILED).and_then(|element| element.get("Value")).and_then(Value::as_array);
    let value = |item: &Value, key: &str| item.get(key).and_then(|element| element.pointer("/Value/0")).cloned();
    let one = |item: &Value| {
        let instance = value(item, INSTANCE)?.as_str()?.to_owned();
        let reason = value(item, REASON).and_then(|reason| reason.as_u64()).unwrap_or(0);
        Some((instance, format!("failure reason {reason:04X}")))
    };
    Some(items.into_iter().flatten().filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_FAILED: &[u8] = br#"{"00081198":{"vr":"SQ","Value":[{"00081150":{"vr":"UI","Value":["1.2"]},
        "00081155":{"vr":"UI","Value":["1.2.3"]},"00081197":{"vr":"US","Value":[49152]}}]}}"#;

    #[test]
    fn each_object_is_told_by_the_lists_of_the_answer() {
        for status in [200, 202, 409] {
            let verdict = verdict(status, ONE_FAILED).expect("understood");
            assert_eq!(verdict.of("1.2.3"), Some("failure reason C000".into()));
            assert_eq!(verdict.of("1.2.4"), None);
        }
        assert_eq!(verdict(200, b"").expect("taken").of("1.2.3"), None);
        assert_eq!(verdict(200, b"[{}]").expect("taken").of("1.2.3"), None);
        assert!(verdict(409, b"").expect("refused").of("1.2.3").is_some());
        assert!(verdict(415, b"").expect("refused").of("1.2.3").is_some());
        assert_eq!(verdict(413, b""), Ok(Verdict::TooLarge));
    }

    #[test]
    fn a_service_that_is_in_trouble_is_no_verdict_about_objects() {
        for status in [202, 301, 401, 403, 404, 429, 500, 503] {
            assert!(verdict(status, b"not JSON").is_err(), "{status}");
        }
    }
}
