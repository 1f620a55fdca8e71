//! A message as slices of its text: segments, fields, repetitions, components, subcomponents.
//!
//! Lenient in what senders differ in: segments end with `\r`, `\n` or `\r\n`, empty lines are passed over, a line that is
//! no segment goes on with the one before it (a report with line breaks in it), any separators do, fields may be missing
//! at the end. A line that begins like a segment with a misspelt name is refused: nothing of an order may vanish.
//!
//! Ours, and not `hl7-parser` 0.3 (Apache-2.0), which was read for this: it takes four encoding characters and no fifth,
//! so that `^~\&#` of version 2.7 moves every field of MSH by one, and it leaves out, without a word, everything behind
//! the first line that it cannot read. It also builds a tree of every component, of which few are ever asked for.

use super::escape;
use super::fault::Fault;

/// Most segments of one message.
pub const SEGMENTS_MAX: usize = 10_000;

/// The characters that a message is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separators {
    /// Between fields (MSH-1).
    pub field: char,
    /// Between components.
    pub component: char,
    /// Between repetitions.
    pub repetition: char,
    /// Begins and ends escape sequences; none where MSH-2 names none.
    pub escape: Option<char>,
    /// Between subcomponents.
    pub subcomponent: char,
}

impl Default for Separators {
    fn default() -> Self {
        Self { field: '|', component: '^', repetition: '~', escape: Some('\\'), subcomponent: '&' }
    }
}

impl Separators {
    /// Whether a character is one of them.
    pub fn contains(&self, letter: char) -> bool {
        [self.field, self.component, self.repetition, self.subcomponent].contains(&letter)
            || self.escape == Some(letter)
    }

    /// Those of a text that begins with `MSH`; encoding characters that are left out are the usual ones.
    ///
    /// # Errors
    /// Letters, digits, control characters, or one character for two purposes.
    pub fn of(text: &str) -> Result<Self, Fault> {
        let bad = |field: usize| Fault::no_message("MSH", field, "the separators are not five different marks");
        let field = text.chars().nth(3).filter(|field| is_mark(*field)).ok_or_else(|| bad(1))?;
        let rest = text.split_once(field).map_or("", |(_, rest)| rest);
        let named: Vec<char> = rest.split([field, '\r', '\n']).next().unwrap_or_default().chars().take(6).collect();
        if named.is_empty() || named.len() > 5 || !named.iter().all(|letter| is_mark(*letter)) {
            return Err(bad(2));
        }
        let usual = Self::default();
        let at = |index: usize, usual: char| named.get(index).copied().unwrap_or(usual);
        let found = Self {
            field,
            component: at(0, usual.component),
            repetition: at(1, usual.repetition),
            escape: Some(at(2, '\\')),
            subcomponent: at(3, usual.subcomponent),
        };
        let all =
            [Some(found.field), Some(found.component), Some(found.repetition), found.escape, Some(found.subcomponent)];
        let twice = all.iter().enumerate().any(|(index, one)| all.iter().skip(index + 1).any(|other| one == other));
        if twice { Err(bad(2)) } else { Ok(found) }
    }
}

fn is_mark(letter: char) -> bool {
    letter.is_ascii() && !letter.is_ascii_alphanumeric() && !letter.is_ascii_control() && letter != '"'
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Its separators.
    pub separators: Separators,
    segments: Vec<Segment<'a>>,
}

/// One segment.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    text: &'a str,
    separators: Separators,
}

/// A field, repetition, component or subcomponent: text between separators.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    raw: &'a str,
    separators: Separators,
}

impl<'a> Message<'a> {
    /// Divides a text into its segments; the first is MSH.
    ///
    /// # Errors
    /// No MSH, separators that are none, too many segments, a line that is no segment.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        if !text.starts_with("MSH") {
            return Err(Fault::no_message("MSH", 0, "a message begins with the segment MSH"));
        }
        let separators = Separators::of(text)?;
        let mut places: Vec<(usize, usize)> = Vec::new();
        let mut end = 0usize;
        for (number, line) in text.split(['\r', '\n']).enumerate() {
            let begin = end;
            end = begin + line.len() + 1;
            if line.trim().is_empty() {
                continue;
            }
            if is_head(line, separators.field) {
                places.push((begin, begin + line.len()));
            } else if is_misspelt(line, separators.field) {
                let text = format!("line {} begins with three letters that name no segment", number + 1);
                return Err(Fault::no_message("", 0, text));
            } else if let Some(last) = places.last_mut() {
                last.1 = begin + line.len();
            }
            if places.len() > SEGMENTS_MAX {
                return Err(Fault::no_message("", 0, format!("more than {SEGMENTS_MAX} segments")));
            }
        }
        let slice = |(begin, end): (usize, usize)| text.get(begin..end).unwrap_or_default();
        let segments = places.into_iter().map(|place| Segment { text: slice(place), separators }).collect();
        Ok(Self { separators, segments })
    }

    /// Every segment in order.
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }

    /// The first segment of a name.
    pub fn first(&self, name: &str) -> Option<Segment<'a>> {
        self.segments.iter().find(|segment| segment.name() == name).copied()
    }

    /// A field of MSH.
    pub fn head(&self, field: usize) -> Piece<'a> {
        self.segments.first().map_or(Piece { raw: "", separators: self.separators }, |msh| msh.field(field))
    }

    /// Type and trigger: `ADT^A01`.
    pub fn kind(&self) -> String {
        let (code, trigger) = (self.head(9).component(1).text(), self.head(9).component(2).text());
        if trigger.is_empty() { code } else { format!("{code}^{trigger}") }
    }
}

/// Whether a line begins as a segment does: three capitals or digits, then a field separator or the end.
fn is_head(line: &str, field: char) -> bool {
    let Some((name, rest)) = line.split_at_checked(3) else { return false };
    let mut letters = name.bytes();
    letters.next().is_some_and(|letter| letter.is_ascii_uppercase())
        && letters.all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit())
        && (rest.trim().is_empty() || rest.starts_with(field))
}

/// Whether a line begins with three letters or digits that are no name, and has fields.
fn is_misspelt(line: &str, field: char) -> bool {
    line.split_once(field)
        .is_some_and(|(name, _)| name.chars().count() == 3 && name.chars().all(|letter| letter.is_ascii_alphanumeric()))
}

impl<'a> Segment<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        self.text.get(..3).unwrap_or_default()
    }

    /// A field by its number, from 1; one that is not there is empty.
    pub fn field(&self, number: usize) -> Piece<'a> {
        let separator = self.separators.field;
        // In MSH the first separator is itself a field.
        let at = match self.name() {
            "MSH" if number == 1 => return self.piece(self.text.get(3..3 + separator.len_utf8()).unwrap_or_default()),
            "MSH" => number.saturating_sub(1),
            _ => number,
        };
        self.piece(self.text.split(separator).nth(at).unwrap_or_default())
    }

    fn piece(&self, raw: &'a str) -> Piece<'a> {
        Piece { raw, separators: self.separators }
    }
}

impl<'a> Piece<'a> {
    /// As it stands in the message.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.raw.trim().is_empty()
    }

    /// Whether it is said to be empty (`""`).
    pub fn is_null(&self) -> bool {
        self.raw.trim() == "\"\""
    }

    /// Repetitions of a field; one that is empty when the field is.
    pub fn repetitions(self) -> impl Iterator<Item = Piece<'a>> {
        self.raw.split(self.separators.repetition).map(move |raw| Piece { raw, ..self })
    }

    /// A component of the first repetition, from 1.
    pub fn component(&self, number: usize) -> Piece<'a> {
        let first = self.raw.split(self.separators.repetition).next().unwrap_or_default();
        self.with(first.split(self.separators.component).nth(number.saturating_sub(1)))
    }

    /// A subcomponent, from 1.
    pub fn sub(&self, number: usize) -> Piece<'a> {
        self.with(self.raw.split(self.separators.subcomponent).nth(number.saturating_sub(1)))
    }

    /// The same with its subcomponents for components, as the name in an NDL has them; none without subcomponents.
    pub fn inner(&self) -> Option<Piece<'a>> {
        let Separators { component, subcomponent, .. } = self.separators;
        let separators = Separators { component: subcomponent, subcomponent: component, ..self.separators };
        self.raw.contains(subcomponent).then_some(Piece { raw: self.raw, separators })
    }

    /// The text without escapes and surrounding spaces; what is said to be empty is empty.
    pub fn text(&self) -> String {
        if self.is_null() { String::new() } else { escape::decode(self.raw, &self.separators).trim().to_owned() }
    }

    /// The text, or none where nothing is said.
    pub fn said(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.text())
    }

    fn with(&self, raw: Option<&'a str>) -> Piece<'a> {
        Piece { raw: raw.unwrap_or_default(), separators: self.separators }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Message<'_> {
        Message::parse(text).unwrap_or_else(|fault| panic!("{text:?}: {fault}"))
    }

    #[test]
    fn every_end_of_a_segment_is_read_and_missing_fields_are_empty() {
        for end in ["\r", "\n", "\r\n", "\r\r\n"] {
            let text = [
                "MSH|^~\\&|HIS|BV|||20261128||ADT^A01|1|P|2.5",
                "EVN|A01",
                "PID|1||22^^^BV^MR~056^^^VN^NI||An||",
                "ZVN|",
            ];
            let text = text.join(end) + end;
            let message = parse(&text);
            let names: Vec<&str> = message.segments().iter().map(Segment::name).collect();
            assert_eq!(names, ["MSH", "EVN", "PID", "ZVN"], "{end:?}");
            assert_eq!((message.head(1).raw(), message.head(2).raw(), message.head(3).raw()), ("|", "^~\\&", "HIS"));
            assert_eq!((message.kind().as_str(), message.head(12).text().as_str()), ("ADT^A01", "2.5"));
            let pid = message.first("PID").expect("PID");
            let numbers: Vec<String> = pid.field(3).repetitions().map(|one| one.component(1).text()).collect();
            assert_eq!((numbers, pid.field(5).text()), (vec!["22".to_owned(), "056".to_owned()], "An".to_owned()));
            assert!(pid.field(6).is_empty() && pid.field(60).is_empty() && pid.field(3).component(9).said().is_none());
        }
    }

    #[test]
    fn separators_are_the_senders() {
        let message = parse("MSH*:!?@*HIS*\rPID*1**22:::BV@1.2.3@ISO:MR!9*\rOBX*1*TX*?F?:?S?");
        assert_eq!(message.head(3).text(), "HIS");
        let pid = message.first("PID").expect("PID");
        assert_eq!(pid.field(3).component(4).sub(2).text(), "1.2.3");
        assert_eq!(pid.field(3).repetitions().count(), 2);
        assert_eq!(message.first("OBX").expect("OBX").field(3).component(1).text(), "*");
        let five = parse("MSH|^~\\&#|HIS|BV||||");
        assert_eq!((five.head(2).raw(), five.head(3).raw()), ("^~\\&#", "HIS"), "version 2.7 has a fifth");
        let one = parse("MSH|^|HIS");
        assert_eq!((one.separators.subcomponent, one.head(3).raw()), ('&', "HIS"));
    }

    #[test]
    fn what_is_no_message_is_refused_where_it_is_wrong() {
        for (text, told) in [
            ("", "MSH:"),
            ("PID|1", "MSH:"),
            ("MSH", "MSH-1:"),
            ("MSHA^~\\&A", "MSH-1:"),
            ("MSH|", "MSH-2:"),
            ("MSH|^^\\&|", "MSH-2:"),
            ("MSH|^~\\&##|", "MSH-2:"),
            ("MSH|ab|HIS", "MSH-2:"),
            ("MSH|^~\\&|HIS\rPiD|1", "line 2"),
        ] {
            let fault = Message::parse(text).expect_err(text);
            assert!(fault.to_string().starts_with(told), "{text:?}: {fault}");
        }
        let many = "MSH|^~\\&|\r".to_owned() + &"OBX|\r".repeat(SEGMENTS_MAX);
        assert!(Message::parse(&many).is_err());
    }

    #[test]
    fn a_line_that_is_no_segment_goes_on_with_the_one_before() {
        let message = parse("MSH|^~\\&|RIS\rOBX|1|FT|D||Phổi sáng\nTim không to||||||F\r");
        let obx = message.first("OBX").expect("OBX");
        assert_eq!((obx.field(5).text().as_str(), obx.field(11).raw()), ("Phổi sáng\nTim không to", "F"));
        assert_eq!(message.segments().len(), 2);
    }

    #[test]
    fn null_and_silence_differ() {
        let message = parse("MSH|^~\\&|\rPID|1||22||\"\"||");
        let pid = message.first("PID").expect("PID");
        assert_eq!((pid.field(5).said(), pid.field(6).said()), (Some(String::new()), None));
    }
}
