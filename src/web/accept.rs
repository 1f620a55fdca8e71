//! The Accept header and the `accept` query parameter (RFC 9110 section 12.5.1, PS3.18 section 8.3.3.1).
//!
//! Parsing only: what a service can offer is its own matter. Quoted and unquoted parameter values are read alike,
//! because `type=application/dicom` without quotes is frequent. An empty list means that anything is welcome.

use crate::problem::{Kind, Problem};
use http::{HeaderMap, header};

/// Most media ranges in one list.
const RANGES_MAX: usize = 64;
/// Longest list in bytes.
const LENGTH_MAX: usize = 8 << 10;

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
    /// Whether it stands in the query parameter, and goes before every range of the header.
    pub(crate) first: bool,
    /// What a more exact range of the list gives less weight to, or none: this one does not speak for it.
    except: Vec<Except>,
}

/// Media types that a range does not speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Except {
    main: String,
    sub: String,
    /// The type of the parts, where only such bodies are meant.
    parts: Option<String>,
}

impl MediaRange {
    /// A range that takes everything.
    pub(crate) fn any() -> Self {
        Self::exactly("*", "*")
    }

    /// A range of one type.
    pub(crate) fn exactly(main: &str, sub: &str) -> Self {
        Self {
            main: main.into(),
            sub: sub.into(),
            parameters: Vec::new(),
            weight: 1000,
            first: false,
            except: Vec::new(),
        }
    }

    /// Whether another range of the request is wanted no less and no more.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        (self.first, self.weight) == (other.first, other.weight)
    }

    /// Whether the range covers a media type, parameters aside.
    pub(crate) fn covers(&self, main: &str, sub: &str) -> bool {
        let excepted = |except: &Except| except.parts.is_none() && fits(&except.main, &except.sub, main, sub);
        fits(&self.main, &self.sub, main, sub) && !self.except.iter().any(excepted)
    }

    /// Whether the range covers a multipart body whose parts are of a media type. Without a `type` it means parts of the
    /// `usual` ones.
    pub(crate) fn covers_parts(&self, media: &str, usual: &str) -> bool {
        let excepted = |except: &Except| except.parts.as_deref().is_some_and(|parts| type_covers(parts, media));
        self.covers("multipart", "related")
            && type_covers(self.parameter("type").unwrap_or(usual), media)
            && !self.except.iter().any(excepted)
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

    /// How exactly it says what it takes (RFC 9110 section 12.5.1).
    fn exactness(&self) -> u8 {
        match (self.main.as_str(), self.sub.as_str()) {
            ("*", _) => 0,
            (_, "*") => 1,
            _ if self.parameter("type").is_none() => 2,
            _ => 3,
        }
    }

    /// What another range of the list takes from this one. A single transfer syntax takes nothing from it.
    fn excepts(&self, other: &Self) -> Option<Except> {
        let exacter = other.exactness() > self.exactness() && fits(&self.main, &self.sub, &other.main, &other.sub);
        let taken = exacter && other.weight < self.weight && other.transfer_syntax().is_none();
        let parts = other.parameter("type").map(str::to_owned);
        taken.then(|| Except { main: other.main.clone(), sub: other.sub.clone(), parts })
    }
}

fn fits(range_main: &str, range_sub: &str, main: &str, sub: &str) -> bool {
    (range_main == "*" || range_main == main) && (range_sub == "*" || range_sub == sub)
}

/// Whether a media range written as one text covers a media type.
pub(crate) fn type_covers(range: &str, media: &str) -> bool {
    let Some((range_main, range_sub)) = range.split_once('/') else { return false };
    let Some((main, sub)) = media.split_once('/') else { return false };
    let fits = |range: &str, part: &str| range == "*" || range.eq_ignore_ascii_case(part);
    fits(range_main, main) && fits(range_sub, sub)
}

/// The ranges of a request, best first; of equal weight the more exact and then the earlier one comes first.
///
/// Those of the query parameter go before those of the header, which only answer where nothing of the parameter can be
/// given (PS3.18 section 8.7.8.1). What cannot be read is passed over (section 8.7.7), unless nothing else is there.
pub(crate) fn ranges(headers: &HeaderMap, query_parameter: Option<&str>) -> Result<Vec<MediaRange>, Problem> {
    let mut found = Vec::new();
    if let Some(text) = query_parameter.map(str::trim).filter(|text| !text.is_empty()) {
        // A plus sign in a query string means a space, but media types contain plus signs and no spaces.
        let text = text.replace("dicom json", "dicom+json").replace("dicom xml", "dicom+xml");
        found = list(std::iter::once(text.as_str())).map_err(|what| malformed(what, "query parameter accept"))?;
        found.iter_mut().for_each(|range| range.first = true);
    }
    let accepted: Option<Vec<&str>> = headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().ok()).collect();
    let accepted = accepted.ok_or_else(|| malformed("it is not ASCII".into(), "header Accept"))?;
    let accepted = list(accepted.into_iter());
    match accepted {
        Ok(ranges) => found.extend(ranges),
        Err(what) if found.is_empty() => return Err(malformed(what, "header Accept")),
        Err(_) => {}
    }
    if found.is_empty() {
        found.push(MediaRange::any());
    }
    found.retain(|range| range.weight > 0);
    Ok(found)
}

fn malformed(what: String, place: &str) -> Problem {
    Problem::new(Kind::BadRequest, format!("the media types cannot be read: {what}")).at(place)
}

/// The ranges of one list, best first, each without what a more exact one gives less weight to.
fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<MediaRange>, String> {
    let (mut found, mut unread, mut length) = (Vec::new(), None, 0usize);
    for text in texts {
        length = length.saturating_add(text.len());
        if length > LENGTH_MAX {
            return Err(format!("more than {LENGTH_MAX} bytes"));
        }
        for element in split_quoted(text, ',').into_iter().map(str::trim).filter(|element| !element.is_empty()) {
            if found.len() >= RANGES_MAX {
                return Err(format!("more than {RANGES_MAX} media ranges"));
            }
            match parse_range(element) {
                Ok(range) => found.push(range),
                Err(what) => unread = Some(what),
            }
        }
    }
    match unread {
        Some(what) if found.is_empty() => return Err(what),
        _ => {}
    }
    let all = found.clone();
    for range in &mut found {
        range.except = all.iter().filter_map(|other| range.excepts(other)).collect();
    }
    // A body of parts of one type is no more exact than another type.
    found.sort_by_key(|range| std::cmp::Reverse((range.weight, range.exactness().min(2))));
    Ok(found)
}

fn parse_range(text: &str) -> Result<MediaRange, String> {
    let mut pieces = split_quoted(text, ';').into_iter();
    let media = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
    let (main, sub) = media.split_once('/').ok_or_else(|| format!("{:?} has no slash", brief(&media)))?;
    if !is_token(main) || !is_token(sub) || (main == "*" && sub != "*") {
        return Err(format!("{:?} is no media type", brief(&media)));
    }
    let mut range = MediaRange::exactly(main, sub);
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
        } else if let Some((inner, rest)) = value.split_once(';').filter(|_| name == "type") {
            // Some clients put the parameters of the parts inside the quotation marks.
            range.parameters.push((name, inner.trim().to_owned()));
            let named = rest.split(';').filter_map(|one| one.split_once('='));
            let named = named.map(|(name, value)| (name.trim().to_ascii_lowercase(), unquote(value.trim())));
            range.parameters.extend(named);
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
    fn a_wider_range_does_not_speak_for_a_narrower_one_of_less_weight() {
        let all = parsed("*/*, image/*;q=0.5, image/jpeg;q=0, multipart/related;type=image/png;q=0");
        let covering = |media: &str| {
            all.iter().filter(|range| range.covers_type(media)).map(|range| range.weight).collect::<Vec<_>>()
        };
        assert_eq!(covering("text/html"), [1000]);
        assert_eq!(covering("image/png"), [500]);
        assert_eq!(covering("image/jpeg"), [0u16; 0]);
        let parts = |media: &str| all.iter().any(|range| range.covers_parts(media, "*/*"));
        assert!(!parts("image/png") && parts("application/dicom"));
        // A narrower range of more weight takes nothing away, and neither does a single transfer syntax.
        let other = parsed("*/*;q=0.5, image/jpeg, application/dicom;transfer-syntax=1.2;q=0.1");
        assert!(other.get(1).is_some_and(|any| any.covers("image", "jpeg") && any.covers("application", "dicom")));
    }

    #[test]
    fn parameters_of_the_parts_are_read_inside_the_quotation_marks() {
        let range = parsed("multipart/related; type=\"application/dicom;transfer-syntax=1.2.3\"").remove(0);
        assert_eq!((range.parameter("type"), range.transfer_syntax()), (Some("application/dicom"), Some("1.2.3")));
    }

    #[test]
    fn the_header_answers_behind_the_query_parameter() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, "image/png;q=0.9, nonsense".parse().expect("header"));
        let subs = |parameter: Option<&str>| {
            let found = ranges(&headers, parameter).expect("ranges");
            found.into_iter().map(|range| range.sub).collect::<Vec<_>>()
        };
        assert_eq!(subs(Some("image/gif;q=0.1,image/jpeg;q=0.2")), ["jpeg", "gif", "png"]);
        assert_eq!(subs(Some("")), ["png"]);
        assert_eq!(subs(Some("image/gif;q=0")), ["png"]);
    }

    #[test]
    fn nonsense_is_passed_over_or_refused_and_nothing_is_anything() {
        let any = ranges(&HeaderMap::new(), None).expect("none");
        assert_eq!(any, [MediaRange::any()]);
        for bad in ["image", "*/png", "image/png;q=2", "image/png;q=0.1234", "a b/c", "image/png; x"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, bad.parse().expect("header"));
            assert!(ranges(&headers, None).is_err(), "{bad}");
            assert!(ranges(&HeaderMap::new(), Some(bad)).is_err(), "{bad}");
            assert_eq!(parsed(&format!("{bad}, a/b")).len(), 1, "{bad}");
        }
        let (many, long) = (vec!["a/b"; RANGES_MAX + 1].join(","), format!("a/{}", "b".repeat(LENGTH_MAX)));
        for text in [many, long] {
            assert!(ranges(&HeaderMap::new(), Some(&text)).is_err());
        }
    }
}
