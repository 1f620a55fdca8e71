//! Rule files: what is taken, and that errors name the line to mend.

use super::*;

#[test]
fn the_delivered_file_and_the_examples_in_it_are_sound() {
    let delivered = rules(DELIVERED);
    assert_eq!((delivered.version().number, delivered.rules().len()), (1, 0));
    assert_eq!(delivered.default_class(), &class("UNCLASSED"));
    let examples = rules(&DELIVERED.replace("#: ", "").replace("#:\n", "\n"));
    let names: Vec<&str> = examples.rules().iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(names, ["traffic-accident", "children-radiotherapy", "health-check-line"]);
    for class in delivered.classes() {
        assert!(!class.vi.is_empty() && !class.en.is_empty() && !class.law.is_empty(), "{}", class.id);
    }
    let on = |day: &str| delivered.row_on(&class("DEATH"), date(day)).map(|row| row.term);
    assert_eq!(on("2025-06-30"), Some(Term::Years(20)));
    assert_eq!(on("2025-07-01"), Some(Term::Years(30)));
}

#[test]
fn the_version_is_the_number_and_the_digest_of_the_text() {
    let (one, other) = (rules(TABLE).version(), rules(&format!("{TABLE}# remark\n")).version());
    assert_eq!(one.number, other.number);
    assert_ne!(one.digest, other.digest);
    assert_eq!(one, rules(TABLE).version());
}

#[test]
fn terms_are_read_and_written_alike() {
    for term in [Term::Years(1), Term::Years(30), Term::AfterDeath(10), Term::AfterDeath(1), Term::Permanent] {
        assert_eq!(Term::parse(&term.to_string()), Ok(term));
    }
    for bad in ["", "10", "0 years", "201 years", "ten years", "10 years after", "permanent 1", "-1 years", "10 Years"]
    {
        assert!(Term::parse(bad).is_err(), "{bad}");
    }
}

/// The small table, a rule, and one line of them changed: what the error says.
#[test]
fn errors_name_the_line_and_the_key() {
    let text = format!(
        "{TABLE}[[rule]]\nid = \"r\"\nclass = \"C\"\nvi = \"v\"\nen = \"e\"\nmodality = [\"CT\"]\nage_below = 16\n\
         attribute = [{{ name = \"StudyDescription\", prefix = [\"x\"] }}]\nvalid_from = \"2026-01-01\"\nfacility = []\n"
    );
    assert!(RuleSet::parse(&text).is_ok());
    let attribute = "name = \"StudyDescription\", prefix = [\"x\"]";
    let cases: &[(&str, &str, &str, &str)] = &[
        ("version = 1", "version = 0", "version", "count from 1"),
        ("version = 1", "version = \"1\"", "file", "invalid type"),
        ("version = 1", "version = 1\ncolour = 3", "file", "unknown field"),
        ("default = \"B\"", "default = \"Z\"", "default", "no class Z"),
        ("default = \"B\"", "default = \"b b\"", "default", "named by"),
        ("term = \"2 years\"", "term = \"2 yrs\"", "class A, term", "a term is"),
        ("term = \"2 years\"", "term = \"2 years\"\nterms = 1", "file", "unknown field"),
        ("term = \"10 years\"", "term = \"10 years\"\nvalid_from = \"2020-01-01\"", "default", "without a gap"),
        ("term = \"30 years\"", "term = \"30 years\"\nvalid_from = \"2020-02-30\"", "class C, valid_from", "real day"),
        ("id = \"C\"", "id = \"B\"", "class B, id", "same days"),
        ("id = \"r\"", "id = \"R r\"", "rule R r, id", "named by"),
        ("id = \"r\"", "id = \"linked\"", "rule linked, id", "reserved"),
        ("class = \"C\"", "class = \"Z\"", "rule r, class", "no class Z"),
        ("modality = [\"CT\"]", "modality = [\"C-T\"]", "rule r, modality", "a modality is"),
        ("modality = [\"CT\"]", "modalities = [\"CT\"]", "file", "unknown field"),
        ("age_below = 16", "age_from = 16\nage_below = 16", "rule r, age_below", "before the beginning"),
        ("age_below = 16", "linked = [\"Z\"]", "rule r, linked", "no class Z"),
        (attribute, "name = \"PatientName\", prefix = [\"x\"]", "rule r, attribute", "no study-level"),
        (attribute, "name = \"PatientID\", prefix = [\"x\"]", "rule r, attribute", "no study-level"),
        (attribute, "name = \"00080021\", prefix = [\"x\"]", "rule r, attribute", "no study-level"),
        (attribute, "name = \"StudyDescription\"", "rule r, attribute", "needs `equals`"),
        (attribute, "name = \"StudyDescription\", prefix = [\"\"]", "rule r, attribute", "needs `equals`"),
        (attribute, "name = \"StudyDescription\", prefix = [\"--\"]", "rule r, attribute", "needs `equals`"),
        ("valid_from = \"2026-01-01\"", "valid_from = \"1 May\"", "rule r, valid_from", "real day"),
        (
            "valid_from = \"2026-01-01\"",
            "made_to = \"2020-01-01\"\nmade_from = \"2026-01-01\"",
            "rule r, made_to",
            "before",
        ),
        ("facility = []", "facility = [\"56\"]", "rule r, facility", "5 letters"),
        ("facility = []", "every_study = true", "rule r, every_study", "allows no condition"),
        ("facility = []", "facility = [", "file", ""),
    ];
    for (old, new, key, problem) in cases {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        let error = RuleSet::parse(&text.replace(old, new)).expect_err(new);
        assert_eq!(error.key, *key, "{new}: {error}");
        assert!(error.to_string().contains(problem), "{new}: {error}");
        let line = text.lines().position(|line| line.contains(old)).expect("line") + 1;
        let named = match *problem {
            // What is wrong there is told at the name or one line on.
            "without a gap" | "allows no condition" => error.line > 0,
            _ => (line..=line + 2).contains(&error.line),
        };
        assert!(named, "{new}: line {line}, told {error}");
    }
}

#[test]
fn a_rule_asks_something_and_has_a_name_of_its_own() {
    let blank = format!("{TABLE}[[rule]]\nid = \"r\"\nclass = \"C\"\nvi = \"v\"\nen = \"e\"\n");
    assert_eq!(RuleSet::parse(&blank).expect_err("blank").problem, RuleProblem::NoCondition);
    let twice = format!("{blank}every_study = true\n");
    let (_, rule) = twice.split_at(TABLE.len());
    assert_eq!(RuleSet::parse(&format!("{twice}{rule}")).expect_err("twice").problem, RuleProblem::Twice);
}

#[test]
fn no_text_whatever_makes_the_parser_give_up() {
    let seed = std::env::var("KHOANH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("KHOANH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let delivered = DELIVERED.replace("#: ", "");
    let mut sound = 0;
    for _ in 0..1_500 {
        let mut text: Vec<char> = delivered.chars().collect();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..text.len());
            match random.u8(0..3) {
                0 => text[at] = random.char('\0'..='ỹ'),
                1 => drop(text.drain(at..(at + random.usize(1..60)).min(text.len()))),
                _ => text.insert(at, ['"', '[', '=', '\n', '9'][random.usize(0..5)]),
            }
        }
        let text: String = text.into_iter().collect();
        match RuleSet::parse(&text) {
            Ok(_) => sound += 1,
            Err(error) => assert!(error.line <= text.lines().count() + 1, "{error}"),
        }
    }
    assert!(sound > 0, "changes in remarks are harmless");
}
