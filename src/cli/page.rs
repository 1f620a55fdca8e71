//! The end of a list that comes in pages.

use serde_json::Value;
use std::fmt::Write as _;

/// Says behind which place there is more, or what an empty list means.
pub(super) fn end(out: &mut String, next: Option<&Value>, none: &str) {
    match next.and_then(Value::as_str) {
        Some(place) => {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "there are more: --after {place}");
        }
        None if out.is_empty() => {
            let _ = writeln!(out, "{none}");
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_says_where_it_goes_on_or_that_it_is_empty() {
        let ended = |before: &str, next: Option<&Value>| {
            let mut out = before.to_owned();
            end(&mut out, next, "nothing (không có gì)");
            out
        };
        assert_eq!(ended("", None), "nothing (không có gì)\n");
        assert_eq!(ended("", Some(&json!(null))), "nothing (không có gì)\n");
        assert_eq!(ended("a\n", None), "a\n");
        assert_eq!(ended("a\n", Some(&json!("1-2"))), "a\nthere are more: --after 1-2\n");
        assert_eq!(ended("", Some(&json!("1-2"))), "there are more: --after 1-2\n", "a page of which nothing is shown");
    }
}
