//! Lists that come in pages: which page is asked for, and how one ends.

use super::{Exit, Failure, Place, show};
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;

/// Which page of a list, and how it is shown.
#[derive(Debug, Args)]
pub(super) struct Paged {
    /// Goes on behind the place that the page before named.
    #[arg(long, value_name = "PLACE")]
    pub(super) after: Option<String>,
    /// Most rows of a page.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(super) limit: usize,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) place: Place,
}

impl Paged {
    /// Shows an answer, as JSON or as people read it.
    pub(super) fn show(&self, answer: &Value, told: impl FnOnce(&Value) -> String) -> Result<Exit, Failure> {
        if self.json { show(&format!("{answer}\n")) } else { show(&told(answer)) }
    }
}

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
