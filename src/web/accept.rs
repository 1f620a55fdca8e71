//! The Accept header and the `accept` query parameter (RFC 9110 section 12.5.1, PS3.18 section 8.3.3.1).
//!
//! Parsing only: what a service can offer is its own matter. Quoted and unquoted parameter values are read alike,
//! because `type=application/dicom` without quotes is frequent. An empty list means that anything is welcome.

use crate::problem::{Kind, Problem};
use http::{HeaderMap, header};

/// Most media ranges in one request.
const RANGES_MAX: usize = 64;

/// One media range with its weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaRange {
    /// Type, lower case, `*` for any.
    pub(crate) main: String,
    /// Subtype, lower case, `*` for any.
    pub(crate) sub: String,
    /// Parameters other than `q`: names in lower case, values unquoted.
    pub(crate) parameters: Vec<(String, String)>,
    /// Weight in thousandths, 0 to 1000.
    pub(crate) weight: u16,
}

impl MediaRange {
    /// A range that takes everything.
    pub(crate) fn any() -> Self {
        Self { main: "*".into(), sub: "*".into(), parameters: Vec::new(), weight: 1000 }
    }

    /// Whether the range covers a media type, parameters aside.
    pub(crate) fn covers(&self, main: &str, sub: &str) -> bool {
        (self.main == "*" || self.main == main) && (self.sub == "*" || self.sub == sub)
    }

    /// Whether the range covers a media type written as one text.
    pub(crate) fn covers_type(&self, media: &str) -> bool {
        media.split_once('/').is_some_and(|(main, sub)| self.covers(main, sub))
    }

    /// Value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The `transfer-syntax` parameter (PS3.18 section 8.7.3.3).
    pub(crate) fn transfer_syntax(&self) -> Option<&str> {
        self.parameter("transfer-syntax")
    }
}

/// The ranges of a request, best first; of equal weight the more exact and then the earlier one comes first.
pub(crate) fn ranges(headers: &HeaderMap, query_parameter: Option<&str>) -> Result<Vec<MediaRange>, Problem> {
    let mut found = Vec::new();
    if let Some(text) = query_parameter {
        // A plus sign in a query string means a space, but media types contain plus signs and no spaces.
        parse_list(&text.trim().replace("dicom json", "dicom+json").replace("dicom xml", "dicom+xml"), &mut found)
            .map_err(|what| malformed(what, "query parameter accept"))?;
    } else {
        for value in headers.get_all(header::ACCEPT) {
            let text = value.to_str().map_err(|_| malformed("it is not ASCII".into(), "header Accept"))?;
            parse_list(text, &mut found).map_err(|what| malformed(what, "header Accept"))?;
        }
    }
    if found.is_empty() {
        found.push(MediaRange::any());
    }
    found.retain(|range| range.weight > 0);
    let exactness = |range: &MediaRange| match (range.main.as_str(), range.sub.as_str()) {
        ("*", _) => 0,
        (_, "*") => 1,
        _ => 2,
    };
    found.sort_by_key(|range| std::cmp::Reverse((range.weight, exactness(range))));
    Ok(found)
}

fn malformed(what: String, place: &str) -> Problem {
    Problem::new(Kind::BadRequest, format!("the media types cannot be read: {what}")).at(place)
}

fn parse_list(text: &str, found: &mut Vec<MediaRange>) -> Result<(), String> {
    for element in split_quoted(text, ',') {
        let element = element.trim();
        if element.is_empty() {
            continue;
        }
        if found.len() >= RANGES_MAX {
            return Err(format!("more than {RANGES_MAX} media ranges"));
        }
        found.push(parse_range(element)?);
    }
    Ok(())
}

fn parse_range(text: &str) -> Result<MediaRange, String> {
    let mut pieces = split_quoted(text, ';').into_iter();
    let media = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
    let (main, sub) = media.split_once('/').ok_or_else(|| format!("{:?} has no slash", brief(&media)))?;
    if !is_token(main) || !is_token(sub) || (main == "*" && sub != "*") {
        return Err(format!("{:?} is no media type", brief(&media)));
    }
    let mut range = MediaRange { main: main.into(), sub: sub.into(), parameters: Vec::new(), weight: 1000 };
    for piece in pieces {
        let piece = piece.trim();
        if piece.is_empty() {
            continue;
        }
        let (name, value) =
            piece.split_once('=').ok_or_else(|| format!("parameter {:?} has no value", brief(piece)))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), unquote(value.trim()));
        if name == "q" {
            range.weight = weight(&value).ok_or_else(|| format!("q={:?} is no weight from 0 to 1", brief(&value)))?;
        } else {
            range.parameters.push((name, value));
        }
    }
    Ok(range)
}

/// Parses the value of a Content-Type header: a media type with parameters.
pub(crate) fn content_type(text: &str) -> Result<MediaRange, String> {
    parse_range(text)
}

/// Splits at a separator outside double quotes.
fn split_quoted(text: &str, separator: char) -> Vec<&str> {
    let (mut pieces, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (position, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                pieces.push(text.get(start..position).unwrap_or_default());
                start = position + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..).unwrap_or_default());
    pieces
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// A weight of RFC 9110 section 12.4.2 in thousandths.
pub(crate) fn weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn brief(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<MediaRange> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, text.parse().expect("header"));
        ranges(&headers, None).expect(text)
    }

    #[test]
    fn weights_and_exactness_order_the_ranges() {
        let all = parsed("*/*;q=0.1, application/*, image/jls;q=0.5, multipart/related, text/html;q=0");
        let order: Vec<String> = all.iter().map(|r| format!("{}/{}", r.main, r.sub)).collect();
        assert_eq!(order, ["multipart/related", "application/*", "image/jls", "*/*"]);
    }

    #[test]
    fn types_are_read_quoted_and_unquoted() {
        for text in [
            "multipart/related; type=\"application/dicom\"; transfer-syntax=*",
            "Multipart/Related;type=application/dicom;transfer-syntax=\"*\"",
        ] {
            let range = parsed(text).remove(0);
            assert_eq!(range.parameter("type"), Some("application/dicom"), "{text}");
            assert_eq!(range.transfer_syntax(), Some("*"), "{text}");
        }
        let comma = parsed("multipart/related; type=\"a/b, c\", image/png");
        assert_eq!((comma.len(), comma.first().and_then(|r| r.parameter("type"))), (2, Some("a/b, c")));
    }

    #[test]
    fn the_query_parameter_replaces_the_header_and_keeps_its_plus() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, "image/png".parse().expect("header"));
        let range = ranges(&headers, Some("application/dicom json")).expect("parameter").remove(0);
        assert_eq!((range.main.as_str(), range.sub.as_str()), ("application", "dicom+json"));
    }

    #[test]
    fn nonsense_is_an_error_and_nothing_is_anything() {
        assert_eq!(ranges(&HeaderMap::new(), None).expect("none"), [MediaRange::any()]);
        for bad in ["image", "*/png", "image/png;q=2", "image/png;q=0.1234", "a b/c", "image/png; x"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, bad.parse().expect("header"));
            assert!(ranges(&headers, None).is_err(), "{bad}");
        }
        let many = vec!["a/b"; RANGES_MAX + 1].join(",");
        assert!(ranges(&HeaderMap::new(), Some(&many)).is_err());
    }
}
