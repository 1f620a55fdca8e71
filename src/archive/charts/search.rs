//! Finding patients by whatever is at hand, for whoever asks.
//!
//! How they are found is the index's ([`index::charts::Search`]). Deliberately not here: who is one person.

#[cfg(test)]
mod tests;

use super::journal::unavailable;
use super::{ChartError, Charts};
use dataset::{Charset, Notes, Vr};
use index::charts::{Answer, Search};
use model::Caller;
use model::facility::CharsetHint;

impl Charts {
    /// Patients that a text may mean, the likeliest first: those of the caller's facilities that stand for themselves.
    /// Names as written come first, then those that differ in marks or the order of words, then parts, then typing errors.
    /// Whatever is asked costs a bounded number of keys looked at; the answer says when not all that may fit was looked at.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub fn search_patients(&self, caller: &Caller, text: &str, limit: usize) -> Result<Answer, ChartError> {
        let search = Search::new(self.view.as_ref(), caller.facilities.clone());
        search.patients(&readings(text), limit).map_err(unavailable)
    }
}

/// A text as it stands, then as it was meant when it was read in the wrong letters: UTF-8, or code pages from before
/// Unicode, read as ISO 8859-1.
fn readings(text: &str) -> Vec<String> {
    let mut readings = Vec::new();
    let bytes: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect();
    if let Some(bytes) = bytes.filter(|bytes| !bytes.is_ascii()) {
        // Hardly ever by chance.
        readings.extend(String::from_utf8(bytes.clone()).ok());
        readings.push(text.to_owned());
        for hint in [CharsetHint::Tcvn3, CharsetHint::Vni, CharsetHint::Windows1258] {
            let charset = Charset::new(b"ISO_IR 100", hint);
            let text = charset.decode(&bytes, Vr::PN, &mut Notes::default());
            if !readings.contains(&text) {
                readings.push(text);
            }
        }
    }
    if readings.is_empty() {
        readings.push(text.to_owned());
    }
    readings
}
