//! Chart rows as they lie in journals of charts: whatever was ever written is read for ever.
//!
//! Each file in `golden` is a row of a kind as this version writes it, with everything it can say, or with the least. They
//! are never changed, only added to: a member or variant that is new has a file that says it, and the old files still
//! have to be read, with every member of theirs still written.

use model::chart::{ChartBody, ChartKind, Term, term};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Names and contents of the files.
fn golden() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/charts/golden");
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let mut read: Vec<(String, Value)> = files
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("text");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name.clone(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect();
    read.sort_by(|one, other| one.0.cmp(&other.0));
    read
}

/// Everything that was said is still said; more may be.
fn says(now: &Value, then: &Value, at: &str) {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            for (name, then) in then {
                let at = format!("{at}.{name}");
                says(now.get(name).unwrap_or_else(|| panic!("{at} is not written any more")), then, &at);
            }
        }
        (Value::Array(now), Value::Array(then)) => {
            assert_eq!(now.len(), then.len(), "{at}");
            now.iter()
                .zip(then)
                .enumerate()
                .for_each(|(number, (now, then))| says(now, then, &format!("{at}[{number}]")));
        }
        _ => assert_eq!(now, then, "{at}"),
    }
}

#[test]
fn every_kind_of_row_is_read_as_it_was_ever_written() {
    let mut seen = BTreeSet::new();
    for (name, row) in golden() {
        let body: ChartBody =
            serde_json::from_value(row["body"].clone()).unwrap_or_else(|error| panic!("{name} is not read: {error}"));
        let kind: ChartKind = serde_json::from_value(row["kind"].clone()).expect("a kind");
        assert_eq!((body.kind(), u64::from(kind.code())), (kind, row["code"].as_u64().expect("a code")), "{name}");
        assert_eq!(ChartKind::of(kind.code()), Some(kind));
        let written = serde_json::to_value(&body).expect("written");
        says(&written, &row["body"], &name);
        // What this version writes it reads as the same.
        assert_eq!(serde_json::from_value::<ChartBody>(written).expect("read"), body, "{name}");
        assert!(term::terms(&body).iter().any(|one| one.term == Term::Any), "{name}");
        seen.insert(kind.code());
    }
    let missing: Vec<ChartKind> = ChartKind::ALL.into_iter().filter(|kind| !seen.contains(&kind.code())).collect();
    assert_eq!(missing, [], "kinds without a file in golden");
}

#[test]
fn codes_of_terms_are_for_ever() {
    let codes = [
        ("any", 1),
        ("mrn", 2),
        ("national", 3),
        ("national-tail", 4),
        ("card", 5),
        ("insurance", 6),
        ("phone", 7),
        ("name-word", 8),
        ("accession", 9),
        ("filler", 10),
        ("placer", 11),
        ("study", 12),
        ("visit", 13),
        ("state", 14),
        ("control", 15),
        ("handled", 16),
        ("former", 17),
        ("person", 18),
        ("side", 19),
        ("identity", 20),
        ("whole", 21),
        ("subscription", 22),
        ("secret", 26),
        ("reader", 27),
    ];
    for (name, code) in codes {
        let term: Term = serde_json::from_value(Value::from(name)).expect(name);
        assert_eq!(term.code(), code, "{name}");
    }
}
