//! Rule files of retention, with as little in them as a test needs.

use std::fmt::Write as _;

/// A rule file of a version with classes, each an ID and its term; the first one is the default. Rules may follow.
pub fn file(version: u32, classes: &[(&str, &str)]) -> String {
    let default = classes.first().map_or("", |(id, _)| *id);
    let mut text = format!("version = {version}\ndefault = \"{default}\"\n");
    for (id, term) in classes {
        let _ = write!(
            text,
            "\n[[class]]\nid = \"{id}\"\nvi = \"Loại {id}\"\nen = \"Class {id}\"\nlaw = \"none\"\nterm = \"{term}\"\n"
        );
    }
    text
}
