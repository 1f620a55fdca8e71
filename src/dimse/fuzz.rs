//! Entrances for fuzzing: each takes any bytes and must return.
//!
//! What must hold for every input is asserted here; nothing else calls these functions.

use crate::command::{CommandError, Request};
use crate::pdu::{Kind, Piece, Splitter, command_pdus};
use crate::query_class::{Extended, Root};
use crate::question::{self, Reading};
use crate::worklist_question::{self, Asking};
use crate::{listener, negotiate, request};
use dataset::nested::{self, Members};
use std::io::{self, Read};

/// Hands out its bytes in pieces of a fixed size.
struct Pieces<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (mut now, later) = self.bytes.split_at(self.size.min(buffer.len()).min(self.bytes.len()));
        self.bytes = later;
        now.read(buffer)
    }
}

/// Context, kind, bytes, whether complete.
type Told = (u8, Kind, Vec<u8>, bool);

/// What a stream says, fragments of one message joined, and how it ends.
fn told(bytes: &[u8], size: usize) -> (Vec<Told>, String) {
    let mut splitter = Splitter::new(Pieces { bytes, size }, 1 << 15);
    let mut told: Vec<Told> = Vec::new();
    loop {
        match splitter.next_piece() {
            Ok(Piece::Fragment { context, kind, data, last }) => match told.last_mut() {
                Some(open) if !open.3 && (open.0, open.1) == (context, kind) => {
                    open.2.extend_from_slice(data);
                    open.3 = last;
                }
                _ => told.push((context, kind, data.to_vec(), last)),
            },
            Ok(Piece::ReleaseRequest | Piece::ReleaseReply) => told.push((0, Kind::Command, Vec::new(), true)),
            Ok(end) => return (told, format!("{end:?}")),
            Err(error) => return (told, error.to_string()),
        }
    }
}

/// Splits all but the first byte of `data` as the byte stream of an association, at once and in reads of as many
/// bytes as the first byte says: both must tell the same.
pub fn pdu(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let whole = told(stream, usize::MAX);
    assert_eq!(whole, told(stream, 1 + usize::from(*size)), "the same stream in other reads");
    let bytes: usize = whole.0.iter().map(|(_, _, data, _)| data.len()).sum();
    assert!(bytes <= stream.len(), "more was told than was sent");
}

/// Reads `data` as a command set and answers it; the answer must be a command set too.
pub fn command(data: &[u8]) {
    let Ok(request) = Request::parse(data) else { return };
    for comment in ["", &String::from_utf8_lossy(data)] {
        let response = request.response(0xA700, comment);
        let field = request.field | 0x8000;
        assert_eq!(Request::parse(&response), Err(CommandError::Response(field)), "an answer that cannot be read");
        for limit in [0, 1, 64, 16_384] {
            let pdus = command_pdus(1, &response, limit);
            assert_eq!(told(&pdus, usize::MAX).0, [(1, Kind::Command, response.clone(), true)], "limit {limit}");
        }
    }
}

/// Reads `data` as the identifier of a C-FIND in every model and coding, that of the worklist too; what is refused names
/// no value.
pub fn identifier(data: &[u8]) {
    worklist(data);
    let all =
        Extended { relational: true, combined: true, zone: true, fuzzy: true, empty_value: true, multiple_value: true };
    for transfer_syntax in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"] {
        for root in [Root::Patient, Root::Study, Root::PatientStudyOnly] {
            for extended in [all, Extended::default()] {
                let hint = model::facility::CharsetHint::Auto;
                let reading = Reading { root, extended, transfer_syntax, hint, keys_max: 256 };
                if let Ok(question) = question::parse(data, &reading) {
                    assert!(question.wanted.query.conditions.len() <= 512, "more conditions than keys");
                    assert!(!question.returned.is_empty(), "an answer without its unique key");
                }
            }
        }
    }
}

/// Reads `data` as the identifier of a worklist question in every coding; what is read back of an answer is readable.
fn worklist(data: &[u8]) {
    let source = model::Source::new("fuzz", model::FacilityCode::DEMO);
    let Ok(calling) = model::AeTitle::parse("CT01") else { return };
    for transfer_syntax in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"] {
        let asking = Asking { source: &source, calling: &calling, transfer_syntax, keys_max: 256 };
        if let Ok(lines) = worklist_question::parse(data, &asking) {
            lines.accepts(&Members::new());
            let answer = nested::write(&lines.answer(&Members::new(), &source), transfer_syntax, "");
            let read = nested::read(&answer, transfer_syntax, model::facility::CharsetHint::Auto);
            assert!(read.is_ok(), "an answer that cannot be read");
        }
    }
}

/// Reads `data` as the data set of a procedure step and as keys for steps, in both codings; what is read can be written,
/// and finds itself when it can be asked for.
pub fn step(data: &[u8]) {
    use archive::ups::matching::{Keys, returned};
    for transfer_syntax in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"] {
        let Ok(read) = dataset::document::read(data, transfer_syntax, model::facility::CharsetHint::Auto) else {
            continue;
        };
        if let Ok(keys) = Keys::read(&read) {
            assert!(!keys.is_empty() || keys.accept(&read), "no key refuses a step");
            returned(&read, &read);
        }
        // Some values can be read and not be written: too long for their VR, say.
        if let Ok(written) = dataset::document::write(&read, transfer_syntax) {
            assert!(
                dataset::document::read(&written, transfer_syntax, model::facility::CharsetHint::Auto).is_ok(),
                "what was written cannot be read"
            );
        }
    }
}

/// Reads `data` as an A-ASSOCIATE-RQ, negotiates it and writes the answer.
pub fn association_request(data: &[u8]) {
    let Ok(request) = request::parse(data) else { return };
    if let Err(rejection) = negotiate::titles(&request) {
        assert_eq!(listener::encode(rejection.answer()).first(), Some(&0x03), "no A-ASSOCIATE-RJ");
        return;
    }
    if let Ok(negotiated) = negotiate::negotiate(&request, &crate::Options::default()) {
        let answered = negotiated.answer.presentation_contexts.len();
        assert_eq!(answered, request.presentation_contexts.len(), "a context without an answer");
        assert_eq!(listener::encode(negotiated.answer).first(), Some(&0x02), "no A-ASSOCIATE-AC");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    /// The same bytes with a few others in between, or cut.
    pub(crate) fn mangled(whole: &[u8], seed: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = whole.to_vec();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(0..bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.u8(..);
            }
        }
        bytes.truncate(random.usize(bytes.len() / 2..=bytes.len()));
        bytes
    }

    #[test]
    fn mangled_steps_never_panic() {
        let step = serde_json::json!({
            "00080018": {"vr": "UI", "Value": ["2.25.7"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyen^An"}]},
            "00404005": {"vr": "DT", "Value": ["20260115093000"]},
            "00404018": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["X1"]}}]},
            "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
        });
        let step = step.as_object().expect("an object");
        for (number, syntax) in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"].into_iter().enumerate() {
            let whole = dataset::document::write(step, syntax).expect("written");
            for seed in 0..10_000u64 {
                super::step(&mangled(&whole, seed * 2 + number as u64));
            }
        }
    }
}
