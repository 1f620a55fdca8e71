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
        ("[dicom]\nmove_linger = \"6s\"", "dicom.move_linger"),
        ("[dicom.tls]\ncertificate = \"c.pem\"", "dicom.tls.key"),
        ("[dicom.tls]\nlisten = \"127.0.0.1:0\"", "dicom.tls.certificate"),
        ("[dicom.tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"", "dicom.tls.authorities"),
        ("[hl7]\nlisten = \"127.0.0.1:0\"", "hl7.sources"),
        ("[hl7]\nmessage_max = \"1GiB\"", "hl7.memory"),
        ("[hl7]\nmessage_max = \"9MiB\"", "hl7.message_max"),
        ("[hl7]\nidle_limit = \"0s\"", "hl7.frame_limit"),
        ("[hl7]\nsources = \"s.toml\"\n[hl7.tls]\nlisten = \"127.0.0.1:0\"", "hl7.tls.certificate"),
        ("[packs]\npart_max = \"1MiB\"", "packs.part_max"),
        ("[cold]\nworm = true", "cold.bucket"),
        ("[cold]\nbucket = \"b\"", "cold.secret_key_file"),
        ("[cold]\nupload_hours = [{ from = 24, to = 3, rate = \"1MiB\" }]", "cold.upload_hours"),
        ("[cold]\nbucket = \"b\"\naccess_key = \"a\"\nsecret_key_file = \"f\"\nworm = true", "cold.lock_for"),
        ("[cold]\nbucket = \"b\"\naccess_key = \"a\"\nsecret_key_file = \"f\"\npart = \"1MiB\"", "cold.part"),
        ("[keys]\ndirectories = [\"a\"]", "keys.directories"),
        ("[keys]\ndirectories = [\"a\", \"a\"]", "keys.directories"),
        ("[keys]\ntoken = \"t\"", "keys.token_module"),
        ("[[tier.policy]]\nname = \"x\"", "cold.bucket"),
        ("[[tier.policy]]\nname = \"x\"\n[[tier.policy]]\nname = \"x\"", "tier.policy"),
        ("[[tier.policy]]\nname = \"x\"\nmin_size = \"2B\"\nmax_size = \"1B\"", "tier.policy"),
        ("[launch]\nsession = \"0s\"", "launch.session"),
        ("[launch]\nskew = \"5min\"", "launch.skew"),
        ("[share]\nyears_max = 0", "share.years_max"),
        ("[share]\ntries = 1000", "share.tries"),
        ("[share]\nsession = \"0s\"", "share.session"),
        ("[prefetch]\nwindow = \"31d\"", "prefetch.window"),
        ("[prefetch]\nkeep = \"8d\"", "prefetch.keep"),
        ("[prefetch]\nstudies = 0", "prefetch.studies"),
        ("[log]\nlevel = \"loud\"", "log.level"),
    ];
    for (text, wanted) in refused {
        let error = Config::parse(text).expect("well formed").check().expect_err(text);
        assert!(matches!(&error, ConfigError::Value { key, .. } if key == wanted), "{text}: {error}");
    }
    Config::default().check().expect("the defaults are in order");
}

const TIERS: &str = r#"
[cold]
bucket = "archive"
endpoint = "https://s3.example"
access_key = "A"
secret_key_file = "/etc/khoanh/s3"
upload_rate = "20MiB"
upload_hours = [{ from = 7, to = 18, rate = "5MiB" }, { from = 22, to = 5, rate = "0B" }, { from = 23, to = 24, rate = "1MiB" }]

[[tier.policy]]
name = "CT of the province"
facilities = ["56001"]
modalities = ["CT", "MR"]
min_size = "1MiB"
copy_after = "0s"
release_after = "365d"
recall = "hot"

[[tier.policy]]
name = "the rest"
copy_after = "30d"
"#;

#[test]
fn memory_on_the_way_out_is_what_the_file_says() {
    let config =
        Config::parse("[http]\nanswer_memory = \"8MiB\"\n[forward]\nahead_max = \"9MiB\"").expect("well formed");
    assert_eq!(config.web().answer_memory, 8 << 20);
    assert_eq!(config.forward.ahead_max.in_memory(), 9 << 20);
}

#[test]
fn nobody_is_asked_about_numbers_until_a_verifier_is_named() {
    let config = Config::default();
    assert_eq!((config.archive().charts.verifier, config.verifier.place()), (None, None));
    let text = "[verifier]\nurl = \"https://v.example:8443/ask\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\nrate = 9";
    let config = Config::parse(text).expect("well formed");
    config.check().expect("in order");
    let options = config.archive().charts.verifier.expect("a verifier");
    assert_eq!((options.by.as_str(), options.rate), ("v.example", 9));
    assert_eq!(config.verifier.place().expect("a place").own, Some(("c.pem".into(), "k.pem".into())));
}

#[test]
fn tiers_are_read_from_their_rows_and_shown_again() {
    let config = Config::parse(TIERS).expect("well formed");
    config.check().expect("in order");
    assert_eq!(Config::parse(&config.to_toml()).expect("our own TOML"), config);
    let options = config.archive();
    let rates = options.cold.expect("a bucket").upload_rates;
    let at = |hour: usize| rates.get(hour).copied().flatten();
    let mib = |count: u64| Some(count << 20);
    assert_eq!([at(6), at(7), at(17), at(18)], [mib(20), mib(5), mib(5), mib(20)]);
    assert_eq!([at(21), at(22), at(23), at(0), at(4), at(5)], [mib(20), mib(0), mib(1), mib(0), mib(0), mib(20)]);
    let [first, rest] = options.policies.rows.as_slice() else { panic!("two rows") };
    assert_eq!((first.min_size, first.release_after), (Some(1 << 20), Some(Duration::from_secs(365 * 86_400))));
    assert_eq!(first.recall, archive::tier::policy::Recall::Hot);
    assert_eq!((&rest.modalities, rest.copy_after), (&None, Some(Duration::from_secs(30 * 86_400))));
    let small = Config::parse("[journal]\nreserve = \"1MiB\"").expect("well formed").archive();
    assert_eq!(small.packs.reserve, 1 << 20, "packing goes on when the journal is full");
    assert!(Config::default().archive().cold.is_none(), "without a bucket there is no cold tier");
}
