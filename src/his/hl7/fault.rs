//! Why a message is refused, and where in it. The texts carry no patient's data.

use std::fmt;

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// AE, CE: the content cannot be used; sending it again will not help.
    Error,
    /// AR, CR: the message is none of those served, from somebody unknown, or not now.
    Reject,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Kind.
    pub kind: Kind,
    /// Code of HL7 table 0357.
    pub code: u16,
    /// Segment; empty when the message as a whole is meant.
    pub segment: String,
    /// Which of the segments of that name, from 1.
    pub sequence: usize,
    /// Field; 0 when the segment as a whole is meant.
    pub field: usize,
    /// What is wrong and what is expected.
    pub text: String,
}

impl Fault {
    fn new(kind: Kind, code: u16, segment: &str, field: usize, text: impl Into<String>) -> Self {
        Self { kind, code, segment: segment.to_owned(), sequence: 1, field, text: text.into() }
    }

    /// A segment is missing or out of its order.
    pub fn sequence(segment: &str, text: impl Into<String>) -> Self {
        Self::new(Kind::Error, 100, segment, 0, text)
    }

    /// A field that is needed is empty.
    pub fn missing(segment: &str, field: usize, text: impl Into<String>) -> Self {
        Self::new(Kind::Error, 101, segment, field, text)
    }

    /// A value has not the form of its type.
    pub fn form(segment: &str, field: usize, text: impl Into<String>) -> Self {
        Self::new(Kind::Error, 102, segment, field, text)
    }

    /// A code is none of its table.
    pub fn value(segment: &str, field: usize, text: impl Into<String>) -> Self {
        Self::new(Kind::Error, 103, segment, field, text)
    }

    /// What is referred to is not known.
    pub fn unknown(segment: &str, field: usize, text: impl Into<String>) -> Self {
        Self::new(Kind::Error, 204, segment, field, text)
    }

    /// The message type is not served.
    pub fn message_type(text: impl Into<String>) -> Self {
        Self::new(Kind::Reject, 200, "MSH", 9, text)
    }

    /// The trigger is not served.
    pub fn trigger(text: impl Into<String>) -> Self {
        Self::new(Kind::Reject, 201, "MSH", 9, text)
    }

    /// It is no message, or longer than a limit.
    pub fn no_message(segment: &str, field: usize, text: impl Into<String>) -> Self {
        Self::new(Kind::Reject, 100, segment, field, text)
    }

    /// The sender is not known.
    pub fn sender(text: impl Into<String>) -> Self {
        Self::new(Kind::Reject, 204, "MSH", 3, text)
    }

    /// The archive cannot take it now: sending it again later may help.
    pub fn not_now(text: impl Into<String>) -> Self {
        Self::new(Kind::Reject, 207, "", 0, text)
    }

    /// The archive did not take it.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::new(Kind::Error, 207, "", 0, text)
    }

    /// The same in the so-manieth segment of its name.
    #[must_use]
    pub fn of(mut self, sequence: usize) -> Self {
        self.sequence = sequence;
        self
    }

    /// What table 0357 calls the code.
    pub const fn meaning(&self) -> &'static str {
        match self.code {
            100 => "Segment sequence error",
            101 => "Required field missing",
            102 => "Data type error",
            103 => "Table value not found",
            200 => "Unsupported message type",
            201 => "Unsupported event code",
            204 => "Unknown key identifier",
            _ => "Application internal error",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segment.is_empty() {
            return f.write_str(&self.text);
        }
        f.write_str(&self.segment)?;
        if self.sequence > 1 {
            write!(f, "[{}]", self.sequence)?;
        }
        if self.field > 0 {
            write!(f, "-{}", self.field)?;
        }
        write!(f, ": {}", self.text)
    }
}
