//! Entrances for fuzzing: each takes any bytes and must return.
//!
//! What must hold for every input is asserted here; nothing else calls these functions.

use crate::hl7::ack::{Verdict, answer};
use crate::hl7::{Fault, Head, Message, Separators, escape};
use crate::map::Map;
use crate::sources::Sender;
use crate::translate;

/// Reads `data` as a message, asks what it asks for, and answers it; the answer must be a message too.
pub fn message(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(message) = Message::parse(&text) {
        let sender = Sender::plain("fuzz", Map::default());
        let asked = translate::translate(&message, &sender);
        if let Ok(changes) = &asked.changes {
            let patients = translate::patients(changes);
            assert!(patients.iter().all(|patient| !patient.is_empty()), "a patient without a number");
        }
        assert_eq!(translate::translate(&message, &sender), asked, "the same message asks for something else");
    }
    let head = Head::read(data);
    for verdict in
        [Verdict::Taken(vec![text.chars().take(300).collect()]), Verdict::Refused(Fault::missing("PID", 3, text))]
    {
        if let Some(bytes) = answer(head.as_ref(), &verdict, 1_795_842_000_000, 420, "K1") {
            assert!(bytes.starts_with(b"MSH") && bytes.ends_with(b"\r"), "an answer that is no message");
            assert!(data.contains(&0x1c) || !bytes.contains(&0x1c), "an answer that ends its frame early");
        }
    }
}

/// Reads `data` as a value with escapes; what is written of it reads back.
pub fn value(data: &[u8]) {
    let (text, separators) = (String::from_utf8_lossy(data), Separators::default());
    let plain: String =
        escape::decode(&text, &separators).chars().filter(|letter| *letter == '\n' || !letter.is_control()).collect();
    assert_eq!(
        escape::decode(&escape::encode(&plain, &separators), &separators),
        plain,
        "what is written reads otherwise"
    );
}
