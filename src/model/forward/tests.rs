//! What rules match, and which entries are refused.

use super::*;

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).expect("title")
}

fn rule() -> ForwardRule {
    ForwardRule::new("night".into(), vec![ForwardTo::Dicom(title("PACS1"))])
}

fn arrival(calling: Option<&AeTitle>) -> Arrival<'_> {
    Arrival {
        facility: FacilityCode::DEMO,
        source: "demo-ct",
        calling,
        modalities: vec!["CT"],
        descriptions: vec!["Chụp CLVT sọ não CẤP CỨU", "Axial"],
        minute: 60,
    }
}

#[test]
fn a_rule_matches_by_everything_it_names() {
    let ct = title("CT01");
    let arrival = arrival(Some(&ct));
    assert!(rule().matches(&arrival));
    let with = |change: &dyn Fn(&mut ForwardRule)| {
        let mut rule = rule();
        change(&mut rule);
        rule.check().expect("sound");
        rule.matches(&arrival)
    };
    assert!(with(&|rule| rule.description = Some("*cap cuu*".into())), "case and marks do not count");
    assert!(!with(&|rule| rule.description = Some("cap cuu".into())));
    assert!(with(&|rule| rule.modality = vec!["MR".into(), "ct".into()]));
    assert!(!with(&|rule| rule.modality = vec!["MR".into()]));
    assert!(with(&|rule| rule.source = Some("demo-*".into())));
    assert!(!with(&|rule| rule.source = Some("demo".into())));
    assert!(with(&|rule| rule.calling = Some("CT??".into())));
    assert!(!with(&|rule| rule.calling = Some("MR*".into())));
    assert!(with(&|rule| rule.facility = Some(FacilityCode::DEMO)));
    assert!(!with(&|rule| rule.facility = FacilityCode::parse("56001").ok()));
    assert!(with(&|rule| rule.between = "18:00-06:00".parse().ok()));
    assert!(!with(&|rule| rule.between = "06:00-18:00".parse().ok()));
    assert!(!with(&|rule| rule.disabled = true));
    assert!(!with(&|rule| rule.removed = true));
}

#[test]
fn a_source_without_a_title_fits_no_rule_that_names_one() {
    let mut rule = rule();
    assert!(rule.matches(&arrival(None)));
    rule.calling = Some("*".into());
    assert!(!rule.matches(&arrival(None)));
}

#[test]
fn what_cannot_work_is_refused_in_words() {
    let refused = |change: &dyn Fn(&mut ForwardRule)| {
        let mut rule = rule();
        change(&mut rule);
        rule.check().expect_err("refused")
    };
    refused(&|rule| rule.name = "a b".into());
    refused(&|rule| rule.to.clear());
    refused(&|rule| rule.description = Some(String::new()));
    let notice = refused(&|rule| rule.send = Payload::Notice);
    assert!(notice.contains("study"), "{notice}");
    refused(&|rule| {
        (rule.send, rule.when) = (Payload::Notice, Trigger::Study);
        rule.to = vec![ForwardTo::Stow("province".into())];
    });
    let root = |url: &str| StowRoot {
        name: "province".into(),
        url: url.into(),
        facility: None,
        token_file: None,
        authorities: None,
        description: String::new(),
        removed: false,
    };
    root("https://pacs.example.vn/dicom-web").check().expect("sound");
    for bad in ["", "ftp://x", "https://", "https://user@host/x", "http://a b"] {
        root(bad).check().expect_err(bad);
    }
}

#[test]
fn destinations_and_times_are_written_as_they_are_read() {
    for text in ["PACS1", "stow:province"] {
        assert_eq!(text.parse::<ForwardTo>().expect("reads").to_string(), text);
    }
    assert!("stow:a/b".parse::<ForwardTo>().is_err());
    for text in ["18:00-06:00", "00:00-24:00"] {
        assert_eq!(text.parse::<DayTime>().expect("reads").to_string(), text);
    }
    for bad in ["", "18-6", "25:00-01:00", "12:60-13:00"] {
        assert!(bad.parse::<DayTime>().is_err(), "{bad}");
    }
    let json = serde_json::to_string(&ForwardFact::Rule(rule())).expect("JSON");
    let back: ForwardFact = serde_json::from_str(&json).expect("reads");
    assert_eq!(back.key(), "rule:night");
}
