//! The described file, the keys and the defaults agree; mistakes are told with their line.

use super::*;
use std::collections::BTreeMap;

/// `section.key` → value, of every key in a TOML document.
fn flat(document: &toml::Table) -> BTreeMap<String, toml::Value> {
    let mut keys = BTreeMap::new();
    for (name, value) in document {
        match value {
            toml::Value::Table(section) => {
                keys.extend(flat(section).into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => {
                keys.insert(name.clone(), value.clone());
            }
        }
    }
    keys
}

#[test]
fn the_described_file_has_every_key_with_its_default_and_no_other() {
    let described: toml::Table = DESCRIBED.parse().expect("config/khoanh.toml is TOML");
    let declared: toml::Table = Config::default().to_toml().parse().expect("our own TOML");
    assert_eq!(flat(&described), flat(&declared));
}

#[test]
fn every_key_is_described_by_a_sentence_and_its_default() {
    let mut comment: Vec<&str> = Vec::new();
    for (number, line) in DESCRIBED.lines().enumerate() {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if let Some((key, value)) = line.split_once(" = ") {
            let (text, default) = (comment.join(" "), format!("Default: {value}."));
            assert!(text.len() > default.len() + 20, "line {}: {key} has no sentence", number + 1);
            assert!(text.ends_with(&default), "line {}: the comment of {key} must end in {default:?}", number + 1);
            comment.clear();
        } else {
            comment.clear();
        }
    }
}

#[test]
fn the_described_file_starts_the_program_like_no_file() {
    assert_eq!(Config::parse(DESCRIBED).expect("parses"), Config::default());
}

#[test]
fn an_unknown_key_is_told_with_its_line() {
    let error = Config::parse("data = \"d\"\n\n[dicom]\nlisten = \"127.0.0.1:0\"\nportt = 11112\n").expect_err("portt");
    assert!(error.contains("line 5") && error.contains("portt"), "{error}");
    let error = Config::parse("[journal]\nsegment = 64\n").expect_err("no unit");
    assert!(error.contains("line 2"), "{error}");
}

#[test]
fn contradictions_are_refused_by_the_name_of_their_key() {
    let refused: &[(&str, &str)] = &[
        ("[http]\nlisten = \"0.0.0.0:8080\"", "http.tokens"),
        ("[http]\ncertificate = \"c.pem\"", "http.key"),
        ("[http]\nbase_url = \"archive.example\"", "http.base_url"),
        ("[journal]\ndirectories = [\"a\", \"b\", \"c\"]", "journal.directories"),
        ("[journal]\ndirectories = [\"a\", \"a\"]", "journal.directories"),
        ("[journal]\nsegment = \"4KiB\"", "journal.segment"),
        ("[ledger]\nsign_every = \"0s\"", "ledger.sign_every"),
        ("[ledger]\ntoken = \"hsm\"", "ledger.token_module"),
        ("[ledger]\ntoken_module = \"m.so\"", "ledger.token"),
        ("[ledger]\ntoken_module = \"m.so\"\ntoken = \"hsm\"", "ledger.token_key"),
        ("[ledger]\ntoken_module = \"m.so\"\ntoken = \"hsm\"\ntoken_key = \"k\"", "ledger.token_pin_file"),
        (
            "[ledger]\nkey = \"k.pem\"\ntoken_module = \"m.so\"\ntoken = \"hsm\"\ntoken_key = \"k\"\ntoken_pin_file = \"p\"",
            "ledger.key",
        ),
        ("[dicom]\nae_titles = []", "dicom.ae_titles"),
        ("[log]\nlevel = \"loud\"", "log.level"),
    ];
    for (text, wanted) in refused {
        let error = Config::parse(text).expect("well formed").check().expect_err(text);
        assert!(matches!(&error, ConfigError::Value { key, .. } if key == wanted), "{text}: {error}");
    }
    Config::default().check().expect("the defaults are in order");
}
