//! Asks an external verifier of personal identification numbers: one POST of a small JSON document a question.
//!
//! Request and answer are the archive's own (docs/CONFORMANCE.md, section of the verifier); a registry that speaks otherwise
//! needs a translator beside it. What waits, and what is asked again, is the archive's matter
//! ([`archive::charts::inquiries`]).

use crate::outgoing::{self, Called, Calls};
use archive::charts::inquiries::dispatch::{Heard, Verifier as Asked};
use http::header::{ACCEPT, CONTENT_TYPE};
use model::chart::Question;
use model::chart::inquiry::{Said, Trait};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Handle;

/// Version of request and answer.
const VERSION: u32 = 1;
/// Longest answer that is read.
const ANSWER_MAX: usize = 64 << 10;

/// Where a verifier is, and how it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierPlace {
    /// Its URL.
    pub url: String,
    /// Certificate and key that the archive shows, PEM.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Authorities whose certificates are good, PEM; none: those of the system.
    pub authorities: Option<PathBuf>,
    /// Longest wait for the connection.
    pub connect: Duration,
    /// Longest wait for the answer.
    pub answer: Duration,
}

/// Calls a verifier.
pub struct Verifier {
    calls: Calls,
    place: VerifierPlace,
    /// Made anew after every failure: its files may be others.
    client: Mutex<Option<reqwest::Client>>,
}

impl Verifier {
    /// Calls from within a tokio runtime.
    ///
    /// # Errors
    /// When the files cannot be used; the text names the file.
    pub fn new(runtime: Handle, place: VerifierPlace) -> Result<Self, String> {
        let verifier = Self { calls: Calls::new(runtime), place, client: Mutex::new(None) };
        verifier.client()?;
        Ok(verifier)
    }

    fn client(&self) -> Result<reqwest::Client, String> {
        let mut client = self.client.lock();
        if let Some(client) = client.as_ref() {
            return Ok(client.clone());
        }
        let own = self.place.own.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let made = outgoing::client_as(own, self.place.authorities.as_deref(), self.place.connect)?;
        Ok(client.insert(made).clone())
    }

    fn asked(&self, id: &str, question: &Question) -> Heard {
        let client = match self.client() {
            Ok(client) => client,
            Err(why) => return Heard::Down(why),
        };
        let request = client.post(&self.place.url).header(CONTENT_TYPE, "application/json");
        let request = request.header(ACCEPT, "application/json").body(document(id, question).to_string());
        match self.calls.within(self.place.answer, answered(request)) {
            Called::Answered(Ok((status, body))) => read(status, &body),
            Called::Answered(Err(why)) => Heard::Down(why),
            Called::Late => Heard::Down("the verifier does not answer in time".into()),
            Called::Interrupted => Heard::Interrupted,
        }
    }
}

/// What a verifier is asked.
fn document(id: &str, question: &Question) -> serde_json::Value {
    let mut document = json!({
        "version": VERSION,
        "id": id,
        "number": question.number,
        "name": question.name,
        "sex": question.sex,
    });
    if let (Some(object), Some(birth)) = (document.as_object_mut(), question.birth) {
        object.insert("birth".to_owned(), birth.to_string().into());
    }
    document
}

/// Status and body of an answer, as far as it is not endless.
async fn answered(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), String> {
    let mut answer = request.send().await.map_err(|error| outgoing::said(&error))?;
    let (status, mut body) = (answer.status().as_u16(), Vec::new());
    while let Some(chunk) = answer.chunk().await.map_err(|error| outgoing::said(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            break;
        }
    }
    Ok((status, body))
}

/// An answer as it is written.
#[derive(Debug, Deserialize)]
struct Told {
    result: Said,
    #[serde(default)]
    fields: BTreeSet<Trait>,
}

/// What an answer says. Nothing of it is repeated: it may name a person.
fn read(status: u16, body: &[u8]) -> Heard {
    let rubbish = |what: &str| Heard::Rubbish(what.to_owned());
    match status {
        200 => {}
        // It does not take the question as it is; everything else is about the verifier, not about the question.
        400 | 409 | 413 | 422 => return Heard::Rubbish(format!("the verifier answers {status}")),
        _ => return Heard::Down(format!("the verifier answers {status}")),
    }
    if body.len() > ANSWER_MAX {
        return rubbish("the verifier gives an endless answer");
    }
    match serde_json::from_slice::<Told>(body) {
        Err(_) => rubbish("the verifier's answer is not understood"),
        Ok(Told { result: Said::Differs, fields }) if fields.is_empty() => {
            rubbish("the verifier does not say what differs")
        }
        Ok(Told { result: Said::Differs, fields }) => Heard::Said { said: Said::Differs, fields },
        Ok(Told { result, .. }) => Heard::Said { said: result, fields: BTreeSet::new() },
    }
}

impl Asked for Verifier {
    fn ask(&self, id: &str, question: &Question) -> Heard {
        let heard = self.asked(id, question);
        if !matches!(heard, Heard::Said { .. }) {
            *self.client.lock() = None;
        }
        heard
    }

    fn stop(&self) {
        self.calls.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::chart::{BirthDate, Sex};

    #[test]
    fn a_question_says_what_is_known_and_no_more() {
        let mut question = Question {
            number: "056078000001".into(),
            name: "Nguyễn Văn An".into(),
            birth: BirthDate::parse("1978").ok(),
            sex: Sex::Male,
        };
        let expected = json!({
            "version": 1, "id": "7", "number": "056078000001", "name": "Nguyễn Văn An", "birth": "1978", "sex": "male",
        });
        assert_eq!(document("7", &question), expected);
        (question.birth, question.sex) = (None, Sex::Unknown);
        let written = document("7", &question);
        assert_eq!((written.get("birth"), written.get("sex")), (None, Some(&json!("unknown"))));
    }

    #[test]
    fn what_is_no_answer_is_told_from_a_verifier_that_is_not_there() {
        let said = |said, fields: &[Trait]| Heard::Said { said, fields: fields.iter().copied().collect() };
        for (body, heard) in [
            (r#"{"result":"verified","fields":["name"],"more":1}"#, said(Said::Verified, &[])),
            (r#"{"result":"not-found"}"#, said(Said::NotFound, &[])),
            (r#"{"result":"unknown"}"#, said(Said::Unknown, &[])),
            (r#"{"result":"differs","fields":["sex","birth"]}"#, said(Said::Differs, &[Trait::Birth, Trait::Sex])),
        ] {
            assert_eq!(read(200, body.as_bytes()), heard, "{body}");
        }
        for body in [
            "",
            "<html>Nguyễn</html>",
            r#"{"result":"differs"}"#,
            r#"{"result":"Verified"}"#,
            r#"{"result":"differs","fields":["address"]}"#,
        ] {
            let Heard::Rubbish(why) = read(200, body.as_bytes()) else { panic!("{body}") };
            assert!(!why.contains("Nguyễn") && !why.contains("address"), "{why}");
        }
        assert!(matches!(read(200, &vec![b' '; ANSWER_MAX + 1]), Heard::Rubbish(_)));
        for status in [204, 301, 401, 403, 404, 429, 500, 503] {
            assert!(matches!(read(status, b"{\"result\":\"verified\"}"), Heard::Down(_)), "{status}");
        }
        assert!(matches!(read(422, b""), Heard::Rubbish(_)));
    }
}
