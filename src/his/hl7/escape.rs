//! Escape sequences of text (HL7 2.7.1 chapter 2, section 2.7).
//!
//! Reading never fails: what is no sequence stays as it is, because senders forget to escape a backslash.

use super::message::Separators;

/// Longest sequence between two escape characters; what is longer is text.
const SEQUENCE_MAX: usize = 4_096;

/// The text that a value stands for; line breaks become `\n`.
pub fn decode(raw: &str, separators: &Separators) -> String {
    let Some(escape) = separators.escape.filter(|escape| raw.contains(*escape)) else { return raw.to_owned() };
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once(escape) {
        out.push_str(before);
        let sequence = after.split_once(escape).filter(|(sequence, _)| sequence.len() <= SEQUENCE_MAX);
        match sequence.and_then(|(sequence, later)| Some((meaning(sequence, separators)?, later))) {
            Some((text, later)) => {
                out.push_str(&text);
                rest = later;
            }
            None => {
                out.push(escape);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// What a sequence stands for; none when it is none.
fn meaning(sequence: &str, separators: &Separators) -> Option<String> {
    match sequence {
        "F" => Some(separators.field.to_string()),
        "S" => Some(separators.component.to_string()),
        "T" => Some(separators.subcomponent.to_string()),
        "R" => Some(separators.repetition.to_string()),
        "E" => separators.escape.map(String::from),
        "P" => Some("#".to_owned()),
        "H" | "N" => Some(String::new()),
        _ => formatting(sequence).or_else(|| hexadecimal(sequence)),
    }
}

/// Formatting commands of FT and the sequences that switch character sets or are a site's own.
fn formatting(sequence: &str) -> Option<String> {
    if let Some(command) = sequence.strip_prefix('.') {
        let (name, number) = command.split_at_checked(2)?;
        let number = number.trim().trim_start_matches('+');
        let count = if number.is_empty() { 1 } else { number.parse::<usize>().ok()? };
        return match name {
            "br" | "ce" => Some("\n".to_owned()),
            "sp" => Some("\n".repeat(count.min(100))),
            "sk" => Some(" ".repeat(count.min(100))),
            "in" | "ti" | "fi" | "nf" => Some(String::new()),
            _ => None,
        };
    }
    let other = sequence.strip_prefix(['C', 'M'])?;
    let hex = [4, 6].contains(&other.len()) && other.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(String::new)
}

/// `X0D0A`: bytes, read as UTF-8 where they are, else as Latin-1.
fn hexadecimal(sequence: &str) -> Option<String> {
    let digits = sequence.strip_prefix('X').filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect();
    let text = String::from_utf8(bytes?);
    let text = text.unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    Some(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// A text as a value: separators and line breaks escaped.
pub fn encode(text: &str, separators: &Separators) -> String {
    let Some(escape) = separators.escape else {
        let kept = |letter: &char| !separators.contains(*letter) && !letter.is_control();
        return text.chars().filter(kept).collect();
    };
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let name = match letter {
            _ if letter == separators.field => "F",
            _ if letter == separators.component => "S",
            _ if letter == separators.subcomponent => "T",
            _ if letter == separators.repetition => "R",
            _ if letter == escape => "E",
            '\n' => ".br",
            _ => {
                // A carriage return would end the segment, and a frame has its own control characters.
                if !letter.is_control() {
                    out.push(letter);
                }
                continue;
            }
        };
        out.push(escape);
        out.push_str(name);
        out.push(escape);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_stand_for_their_characters() {
        let separators = Separators::default();
        for (raw, text) in [
            (r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f"),
            (r"one\.br\two\.sp2\three", "one\ntwo\n\nthree"),
            (r"\H\Kết luận\N\: bình thường", "Kết luận: bình thường"),
            (r"\X0D0A\next", "\nnext"),
            (r"\XC4\\X90\", "Ä\u{90}"),
            (r"\XC490\", "Đ"),
            (r"\C2842\\M2A2B2C\x", "x"),
        ] {
            assert_eq!(decode(raw, &separators), text, "{raw}");
        }
    }

    #[test]
    fn what_is_no_sequence_stays() {
        let separators = Separators::default();
        for raw in [r"C:\temp\x", r"\", r"a\b", r"\X0\", r"\.zz\", r"\Xzz\", r"\.br"] {
            assert_eq!(decode(raw, &separators), raw);
        }
        assert_eq!(decode(r"C:\temp\F\x", &separators), r"C:\temp|x");
        let none = Separators { escape: None, ..separators };
        assert_eq!(decode(r"a\F\b", &none), r"a\F\b");
    }

    #[test]
    fn what_is_written_reads_back() {
        let separators = Separators::default();
        for text in ["a|b^c&d~e\\f\ng", "Nguyễn Văn An", "", "\\.br\\"] {
            assert_eq!(decode(&encode(text, &separators), &separators), text);
        }
        assert_eq!(encode("a\rb\u{1c}c", &separators), "abc");
    }
}
