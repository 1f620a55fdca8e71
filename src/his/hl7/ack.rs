//! Acknowledgements (HL7 chapter 2, section 2.9): original and enhanced mode, in the sender's version, separators and
//! character set.
//!
//! What is repeated from the message is repeated byte for byte; what is ours is ASCII and has no patient's data.
//! In enhanced mode one answer is sent: the accept acknowledgement where MSH-15 wants one, else the application
//! acknowledgement that MSH-16 wants.

use super::escape;
use super::fault::{Fault, Kind};
use super::head::Head;
use super::message::Separators;
use super::response::Response;
use super::values::Moment;

/// Name of the application in MSH-3 where the message names none.
const APPLICATION: &[u8] = b"KHOANH";
/// Version of answers to what names none.
const VERSION: &str = "2.5.1";
/// Longest text of ours in an answer.
const TEXT_MAX: usize = 250;

/// How a message is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Taken; what is remarked of it.
    Taken(Vec<String>),
    /// Not taken.
    Refused(Fault),
}

impl Verdict {
    /// The code of original mode.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Taken(_) => "AA",
            Self::Refused(fault) => match fault.kind {
                Kind::Error => "AE",
                Kind::Reject => "AR",
            },
        }
    }
}

/// An answer, or none where the sender wants none.
///
/// `at` is now in milliseconds since 1970 UTC, `offset` that of the sender's clock in minutes, `number` the control id of
/// the answer.
pub fn answer(head: Option<&Head>, verdict: &Verdict, at: u64, offset: i64, number: &str) -> Option<Vec<u8>> {
    answer_with(head, verdict, None, at, offset, number)
}

/// The same with what is answered about orders; an accept acknowledgement has none of it.
pub fn answer_with(
    head: Option<&Head>,
    verdict: &Verdict,
    response: Option<&Response>,
    at: u64,
    offset: i64,
    number: &str,
) -> Option<Vec<u8>> {
    let code = head.map_or(Some(verdict.code()), |head| mode(head, verdict))?;
    let response = response.filter(|_| code.starts_with('A'));
    let mut lines = vec![msh(head, kind(head, response), at, offset, number), msa(head, code, verdict)];
    lines.extend(errors(head, verdict));
    lines.extend(response.map(|response| response.segments(&separators(head))).unwrap_or_default());
    let mut bytes = lines.join(&b'\r');
    bytes.push(b'\r');
    Some(bytes)
}

/// The code to answer with by MSH-15 and MSH-16; none: no answer.
fn mode(head: &Head, verdict: &Verdict) -> Option<&'static str> {
    let (accept, application) = (head.ascii(15), head.ascii(16));
    if accept.is_empty() && application.is_empty() {
        return Some(verdict.code());
    }
    let taken = matches!(verdict, Verdict::Taken(_));
    let wanted = |condition: &str| match condition {
        "AL" => true,
        "ER" => !taken,
        "SU" => taken,
        _ => false,
    };
    if wanted(accept) {
        return Some(match verdict.code() {
            "AA" => "CA",
            "AE" => "CE",
            _ => "CR",
        });
    }
    wanted(application).then(|| verdict.code())
}

fn separators(head: Option<&Head>) -> Separators {
    let usual = Separators::default();
    let Some(head) = head else { return usual };
    let at = |index: usize| char::from(head.encoding(index));
    Separators {
        field: char::from(head.separator()),
        component: at(0),
        repetition: at(1),
        escape: Some(at(2)),
        subcomponent: at(3),
    }
}

/// Whether the sender's version is at least this one; what is not said counts as 2.5.1.
fn at_least(head: Option<&Head>, minor: u32) -> bool {
    let version = head.map(Head::version).filter(|version| !version.is_empty()).unwrap_or(VERSION);
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(5) >= minor
}

fn msh(head: Option<&Head>, kind: Vec<u8>, at: u64, offset: i64, number: &str) -> Vec<u8> {
    let separator = head.map_or(b'|', Head::separator);
    let sent = |field: usize| head.map_or(&b""[..], |head| head.field(field));
    let or = |value: &[u8], usual: &[u8]| if value.is_empty() { usual.to_vec() } else { value.to_vec() };
    let encoding = or(sent(2), b"^~\\&");
    let mut fields: Vec<Vec<u8>> = vec![encoding];
    // Who was meant answers.
    fields.push(or(sent(5), APPLICATION));
    fields.push(sent(6).to_vec());
    fields.extend([sent(3).to_vec(), sent(4).to_vec()]);
    fields.push(Moment::stamp(at, offset).into_bytes());
    fields.push(Vec::new());
    fields.push(kind);
    fields.push(number.as_bytes().to_vec());
    fields.push(or(sent(11), b"P"));
    fields.push(or(sent(12), VERSION.as_bytes()));
    if !sent(18).is_empty() {
        fields.extend([vec![], vec![], vec![], vec![], vec![], sent(18).to_vec()]);
    }
    [b"MSH".to_vec(), fields.join(&separator)].join(&separator)
}

/// MSH-9: `ACK`, with trigger and structure where the version has them; of orders their own types.
fn kind(head: Option<&Head>, response: Option<&Response>) -> Vec<u8> {
    let Some(head) = head else { return b"ACK".to_vec() };
    let component = head.encoding(0);
    if let Some(response) = response {
        let named = response.form.kind();
        let count = if at_least(Some(head), 4) { 3 } else { 2 };
        return named.into_iter().take(count).map(str::as_bytes).collect::<Vec<_>>().join(&component);
    }
    let trigger = head.field(9).split(|byte| *byte == component).nth(1).unwrap_or_default();
    if trigger.is_empty() || !at_least(Some(head), 4) {
        return b"ACK".to_vec();
    }
    [&b"ACK"[..], trigger, &b"ACK"[..]].join(&component)
}

fn msa(head: Option<&Head>, code: &str, verdict: &Verdict) -> Vec<u8> {
    let separator = head.map_or(b'|', Head::separator);
    let control = head.map_or(&b""[..], |head| head.field(10));
    let mut fields = vec![b"MSA".to_vec(), code.as_bytes().to_vec(), control.to_vec()];
    // MSA-3 was withdrawn with version 2.7; before 2.5 it is the only place for a text.
    if !at_least(head, 7)
        && let Verdict::Refused(fault) = verdict
    {
        fields.push(text(&fault.to_string(), &separators(head)));
    }
    fields.join(&separator)
}

fn errors(head: Option<&Head>, verdict: &Verdict) -> Vec<Vec<u8>> {
    let separators = separators(head);
    let field = head.map_or(b'|', Head::separator);
    let component = head.map_or(b'^', |head| head.encoding(0));
    let segment = |fields: Vec<Vec<u8>>| [b"ERR".to_vec(), fields.join(&field)].join(&field);
    match verdict {
        Verdict::Refused(fault) if at_least(head, 5) => {
            let code = [fault.code.to_string(), fault.meaning().to_owned(), "HL70357".to_owned()];
            let code = code.join(&char::from(component).to_string()).into_bytes();
            let place = place(fault, component);
            let (no, severity) = (Vec::new(), b"E".to_vec());
            vec![segment(vec![
                no.clone(),
                place,
                code,
                severity,
                no.clone(),
                no.clone(),
                no,
                text(&fault.text, &separators),
            ])]
        }
        Verdict::Refused(fault) => {
            let sub = head.map_or(b'&', |head| head.encoding(3));
            let code = [fault.code.to_string(), fault.meaning().to_owned(), "HL70357".to_owned()];
            let code = code.join(&char::from(sub).to_string()).into_bytes();
            let numbers = [fault.sequence.to_string(), fault.field.to_string()].map(String::into_bytes);
            let [sequence, number] = numbers;
            vec![segment(vec![[fault.segment.clone().into_bytes(), sequence, number, code].join(&component)])]
        }
        Verdict::Taken(remarks) if at_least(head, 5) => {
            let code = ["0", "Message accepted", "HL70357"].join(&char::from(component).to_string()).into_bytes();
            let no = Vec::new;
            let one = |remark: &String| {
                let (code, text) = (code.clone(), text(remark, &separators));
                segment(vec![no(), no(), code, b"I".to_vec(), no(), no(), no(), text])
            };
            remarks.iter().map(one).collect()
        }
        Verdict::Taken(_) => Vec::new(),
    }
}

/// ERR-2: segment, which of its name, field.
fn place(fault: &Fault, component: u8) -> Vec<u8> {
    if fault.segment.is_empty() {
        return Vec::new();
    }
    let mut parts = vec![fault.segment.clone().into_bytes(), fault.sequence.to_string().into_bytes()];
    if fault.field > 0 {
        parts.push(fault.field.to_string().into_bytes());
    }
    parts.join(&component)
}

/// A text of ours: ASCII, bounded, escaped.
fn text(text: &str, separators: &Separators) -> Vec<u8> {
    let plain: String =
        text.chars().map(|letter| if letter.is_ascii() { letter } else { '?' }).take(TEXT_MAX).collect();
    escape::encode(&plain, separators).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_842_000_000;

    fn head(line: &[u8]) -> Head {
        Head::read(line).expect("a head")
    }

    fn said(line: &[u8], verdict: &Verdict) -> Option<String> {
        let bytes = answer(Some(&head(line)), verdict, NOW, 420, "K1")?;
        Some(String::from_utf8_lossy(&bytes).replace('\r', "\n"))
    }

    fn refused() -> Verdict {
        Verdict::Refused(Fault::missing("PID", 3, "a patient needs a number | of the facility"))
    }

    #[test]
    fn an_answer_is_in_the_senders_version_separators_and_character_set() {
        let old = b"MSH|^~\\&|HIS|BV\xD4|KHOANH|TINH|20261128||ORM^O01|17\xD4|P|2.3.1||||||8859/1";
        let bytes = answer(Some(&head(old)), &Verdict::Taken(vec!["x".into()]), NOW, 420, "K1").expect("an answer");
        let wanted = b"MSH|^~\\&|KHOANH|TINH|HIS|BV\xD4|20261128120000||ACK|K1|P|2.3.1||||||8859/1\rMSA|AA|17\xD4\r";
        assert_eq!(bytes, wanted);
        let new =
            said(b"MSH*:!?@*HIS*BV*****ADT:A01:ADT_A01*17*T*2.7", &Verdict::Taken(Vec::new())).expect("an answer");
        assert_eq!(new, "MSH*:!?@*KHOANH**HIS*BV*20261128120000**ACK:A01:ACK*K1*T*2.7\nMSA*AA*17\n");
    }

    #[test]
    fn a_refusal_says_where_and_why() {
        let new = said(b"MSH|^~\\&|HIS|BV|||||ADT^A01|17|P|2.5.1", &refused()).expect("an answer");
        let lines: Vec<&str> = new.lines().collect();
        assert_eq!(lines[1], r"MSA|AE|17|PID-3: a patient needs a number \F\ of the facility");
        assert_eq!(
            lines[2],
            r"ERR||PID^1^3|101^Required field missing^HL70357|E||||a patient needs a number \F\ of the facility"
        );
        let old = said(b"MSH|^~\\&|HIS|BV|||||ADT^A01|17|P|2.3", &refused()).expect("an answer");
        assert_eq!(old.lines().nth(2), Some("ERR|PID^1^3^101&Required field missing&HL70357"));
        let newest = said(b"MSH|^~\\&|HIS|BV|||||ADT^A01|17|P|2.8", &refused()).expect("an answer");
        assert_eq!(newest.lines().nth(1), Some("MSA|AE|17"));
        let trigger = Verdict::Refused(Fault::trigger("ADT^A99 is not served"));
        let told = said(b"MSH|^~\\&|HIS|BV|||||ADT^A99|17|P|2.5", &trigger).expect("an answer");
        assert!(told.contains("MSA|AR|17") && told.contains("ERR||MSH^1^9|201^"), "{told}");
    }

    #[test]
    fn enhanced_mode_follows_msh_15_and_16() {
        let code = |modes: &str, verdict: &Verdict| {
            let line = format!("MSH|^~\\&|HIS|BV|||||ADT^A01|17|P|2.5|||{modes}");
            let answer = said(line.as_bytes(), verdict)?;
            answer.lines().nth(1).and_then(|msa| msa.split('|').nth(1)).map(str::to_owned)
        };
        let taken = Verdict::Taken(Vec::new());
        let reject = Verdict::Refused(Fault::trigger("x"));
        let codes = |modes: &str| [&taken, &refused(), &reject].map(|verdict| code(modes, verdict).unwrap_or_default());
        assert_eq!(codes("|"), ["AA", "AE", "AR"]);
        assert_eq!(codes("AL|NE"), ["CA", "CE", "CR"]);
        assert_eq!(codes("AL|AL"), ["CA", "CE", "CR"]);
        assert_eq!(codes("ER|NE"), ["", "CE", "CR"]);
        assert_eq!(codes("SU|NE"), ["CA", "", ""]);
        assert_eq!(codes("NE|AL"), ["AA", "AE", "AR"]);
        assert_eq!(codes("NE|ER"), ["", "AE", "AR"]);
        assert_eq!(codes("NE|NE"), ["", "", ""]);
    }

    #[test]
    fn what_has_no_head_is_answered_all_the_same() {
        let verdict = Verdict::Refused(Fault::no_message("MSH", 0, "a message begins with the segment MSH"));
        let bytes = answer(None, &verdict, NOW, 420, "K1").expect("an answer");
        let text = String::from_utf8(bytes).expect("ASCII");
        assert!(text.starts_with("MSH|^~\\&|KHOANH||||20261128120000||ACK|K1|P|2.5.1\rMSA|AR||"), "{text}");
        assert!(text.contains("\rERR||MSH^1|100^"), "{text}");
    }
}
