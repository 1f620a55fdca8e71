//! Writing messages: segments and fields in the receiver's version and character set.

use super::receivers::{Letters, Receiver};
use crate::hl7::{Separators, escape};
use model::name;

/// A field under way: components, subcomponents and repetitions that stand in it were put there on purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Field(String);

impl Field {
    /// A text.
    pub(super) fn text(text: &str) -> Self {
        Self(escape::encode(text, &Separators::default()))
    }

    /// Components.
    pub(super) fn parts(parts: &[&str]) -> Self {
        Self::joined(parts, '^')
    }

    /// Subcomponents of the first component.
    pub(super) fn subs(parts: &[&str]) -> Self {
        Self::joined(parts, '&')
    }

    fn joined(parts: &[&str], by: char) -> Self {
        let separators = Separators::default();
        let parts: Vec<String> = parts.iter().map(|part| escape::encode(part, &separators)).collect();
        Self(parts.join(&by.to_string()).trim_end_matches(by).to_owned())
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}

/// A message under way.
pub(super) struct Out {
    segments: Vec<String>,
}

impl Out {
    /// A message with its head.
    ///
    /// `kind` is type, trigger and structure; `at` is `YYYYMMDDHHMMSS`.
    pub(super) fn new(receiver: &Receiver, kind: [&str; 3], sender: &str, control: &str, at: &str) -> Self {
        let version = &receiver.version;
        // The structure stands there from 2.3.1 on.
        let kind = if version == "2.3" { Field::parts(kind.get(..2).unwrap_or_default()) } else { Field::parts(&kind) };
        let text = Field::text;
        let mut out = Self { segments: Vec::new() };
        let mut fields = vec![
            Field("^~\\&".to_owned()),
            text(&receiver.from.0),
            text(sender),
            text(&receiver.to.0),
            text(&receiver.to.1),
            text(at),
            Field::default(),
            kind,
            text(control),
            text("P"),
            text(version),
            Field::default(),
            Field::default(),
        ];
        // In enhanced mode what counts is that the message was taken into safe keeping.
        let modes = if receiver.enhanced { ["AL", "NE"] } else { ["", ""] };
        fields.extend(modes.map(text));
        fields.push(Field::default());
        fields.push(text(match receiver.letters {
            Letters::Utf8 => "UNICODE UTF-8",
            Letters::Latin1 => "8859/1",
            Letters::Ascii => "ASCII",
        }));
        out.segment("MSH", fields);
        out
    }

    /// Adds a segment; fields that are empty at its end are left out.
    pub(super) fn segment(&mut self, name: &str, fields: Vec<Field>) {
        let texts: Vec<String> = fields.into_iter().map(|field| field.0).collect();
        let line = format!("{name}|{}", texts.join("|"));
        self.segments.push(line.trim_end_matches('|').to_owned());
    }

    /// The bytes in the receiver's character set.
    pub(super) fn bytes(self, letters: Letters) -> Vec<u8> {
        let mut text = self.segments.join("\r");
        text.push('\r');
        match letters {
            Letters::Utf8 => text.into_bytes(),
            Letters::Latin1 => {
                name::latin1(&text).chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
            }
            Letters::Ascii => text.chars().flat_map(plain).collect(),
        }
    }
}

/// A character in ASCII; separators stay what they are.
fn plain(letter: char) -> Vec<u8> {
    if letter.is_ascii() {
        return vec![u8::try_from(u32::from(letter)).unwrap_or(b'?')];
    }
    name::ascii(letter.encode_utf8(&mut [0; 4])).into_bytes()
}
