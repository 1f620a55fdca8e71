//! One decision: which term, counted from where, and what it says about it.

use super::*;

#[test]
fn every_class_of_the_delivered_table_has_the_term_of_the_law() {
    let rules = rules(DELIVERED);
    let expected = [
        ("INCIDENT", Due::Never),
        ("DEATH", due_on("2056-12-31")),
        ("TRANSPLANT", due_on("2056-12-31")),
        ("COSMETIC", due_on("2046-12-31")),
        ("PSY_ACC", due_on("2046-12-31")),
        ("INOUT", due_on("2036-12-31")),
        ("BOOK", due_on("2031-12-31")),
        ("HEALTHCHECK", due_on("2028-12-31")),
        ("EHB", Due::AfterDeath { years: 10 }),
    ];
    for (name, due) in expected {
        let decision = Case::new().linked(name).decide(&rules);
        assert_eq!((decision.class.as_str(), decision.due), (name, due));
        assert_eq!(decision.rule.as_str(), RuleId::LINKED, "{name}");
        assert_eq!(decision.notes, [], "{name}");
    }
    let unlinked = Case::new().decide(&rules);
    assert_eq!((unlinked.class.as_str(), unlinked.due), ("UNCLASSED", due_on("2036-12-31")));
    assert_eq!(unlinked.rule.as_str(), RuleId::DEFAULT);
    assert_eq!(unlinked.version, rules.version());
}

#[test]
fn the_last_day_is_kept_and_the_next_may_go() {
    let decision = Case::new().linked("HEALTHCHECK").decide(&rules(DELIVERED));
    assert!(!decision.due.passed(date("2028-12-31")));
    assert!(decision.due.passed(date("2029-01-01")));
    assert!(!Due::Never.passed(Date::MAX) && !Due::AfterDeath { years: 1 }.passed(Date::MAX));
}

#[test]
fn a_lock_ends_with_the_keeping_and_is_never_brought_forward() {
    let today = date("2026-03-06");
    assert_eq!(due_on("2036-12-31").lock_until(today, 5, None), date("2036-12-31"));
    assert_eq!(due_on("2036-12-31").lock_until(today, 5, Some(date("2040-12-31"))), date("2040-12-31"));
    assert_eq!(due_on("2036-12-31").lock_until(today, 5, Some(date("2030-12-31"))), date("2036-12-31"));
    for open in [Due::Never, Due::AfterDeath { years: 10 }] {
        assert_eq!(open.lock_until(today, 5, None), date("2031-12-31"));
        assert_eq!(open.lock_until(today, 5, Some(date("2035-12-31"))), date("2035-12-31"));
    }
}

#[test]
fn a_date_that_cannot_be_true_gives_way_to_the_receipt_and_is_told() {
    let rules = rules(TABLE);
    let mut case = Case::new();
    case.received = (date("2026-03-05"), date("2027-02-01"));
    type Told = fn(Date) -> Note;
    let cases: [(&str, Told); 8] = [
        ("", |_| Note::StudyDateMissing),
        ("   ", |_| Note::StudyDateMissing),
        ("20260231", |_| Note::StudyDateUnreadable),
        ("TODAY", |_| Note::StudyDateUnreadable),
        ("20260307", |date| Note::StudyDateFuture { date }),
        ("20620305", |date| Note::StudyDateFuture { date }),
        ("19691231", |date| Note::StudyDateTooOld { date }),
        ("19791231", |date| Note::StudyDateBeforeBirth { date }),
    ];
    for (written, note) in cases {
        let decision = case.clone().with(key::STUDY_DATE, written).decide(&rules);
        let expected = note(Date::parse_da(written).unwrap_or(Date::MIN));
        assert_eq!(decision.notes, [expected], "{written:?}");
        let counted = CountedFrom { date: date("2027-02-01"), basis: Basis::Receipt };
        assert_eq!((decision.counted_from, decision.due), (counted, due_on("2037-12-31")), "{written:?}");
    }
    let mut absent = case.clone();
    absent.attributes.remove(&key::STUDY_DATE);
    assert_eq!(absent.decide(&rules).notes, [Note::StudyDateMissing]);
    // A clock one day ahead is no mistake; the first digital images are none either.
    for (written, due) in [("20260306", "2036-12-31"), ("19800101", "1990-12-31")] {
        let decision = case.clone().with(key::STUDY_DATE, written).decide(&rules);
        assert_eq!((decision.notes.as_slice(), decision.due), ([].as_slice(), due_on(due)), "{written}");
    }
}

#[test]
fn a_birth_date_after_the_receipt_judges_no_study_date() {
    let decision = Case::new().with(key::PATIENT_BIRTH_DATE, "20800101").decide(&rules(TABLE));
    assert_eq!(decision.notes, [Note::BirthDateIgnored]);
    assert_eq!(decision.counted_from.basis, Basis::StudyDate);
    assert!(!decision.inputs.birth_known);
}

#[test]
fn later_work_on_the_study_or_its_record_moves_the_count() {
    let rules = rules(TABLE);
    let mut case = Case::new();
    case.received.1 = date("2028-05-01");
    case.as_of = date("2028-05-01");
    case.work_ended = Some(date("2027-04-01"));
    let decision = case.decide(&rules);
    assert_eq!(decision.counted_from, CountedFrom { date: date("2027-04-01"), basis: Basis::WorkEnded });
    assert_eq!(decision.due, due_on("2037-12-31"));
    case.work_ended = Some(date("2099-04-01"));
    let decision = case.decide(&rules);
    assert_eq!((decision.notes.as_slice(), decision.due), ([Note::WorkEndedIgnored].as_slice(), due_on("2036-12-31")));

    let mut case = Case::new().judged_on("2027-06-01");
    case.linked = vec![LinkedRecord { class: class("C"), ended: Some(date("2027-01-10")) }];
    let decision = case.decide(&rules);
    assert_eq!(decision.counted_from.basis, Basis::RecordEnded);
    assert_eq!(decision.due, due_on("2057-12-31"));
    case.linked = vec![LinkedRecord { class: class("C"), ended: Some(date("2207-01-10")) }];
    let decision = case.decide(&rules);
    assert_eq!(decision.notes, [Note::RecordEndIgnored { class: class("C") }]);
    assert_eq!(decision.due, due_on("2056-12-31"));
}

#[test]
fn years_after_death_wait_for_the_death() {
    let rules = rules(TABLE);
    let mut case = Case::new().linked("E").linked("A");
    assert_eq!(case.decide(&rules).due, Due::AfterDeath { years: 10 });
    case.as_of = date("2040-01-01");
    case.died = Some(date("2033-07-01"));
    assert_eq!((case.decide(&rules).due, case.decide(&rules).class), (due_on("2043-12-31"), class("E")));
    // Images made after the death end the file; a death that lies ahead is a mistake.
    case.died = Some(date("2020-01-01"));
    assert_eq!(case.decide(&rules).due, due_on("2036-12-31"));
    case.died = Some(date("2050-01-01"));
    let decision = case.decide(&rules);
    assert_eq!((decision.due, decision.notes), (Due::AfterDeath { years: 10 }, vec![Note::DeathDateIgnored]));
    // When the death makes it the shorter one, the other class is what counts.
    let mut case = Case::new().linked("E").linked("C").judged_on("2027-01-01");
    assert_eq!(case.decide(&rules).class, class("E"));
    case.died = Some(date("2026-12-24"));
    assert_eq!((case.decide(&rules).class, case.decide(&rules).due), (class("C"), due_on("2056-12-31")));
}

#[test]
fn each_condition_alone_decides_whether_a_rule_fits() {
    let service = |value: &str| Case::new().with(key::REQUESTING_SERVICE, value);
    let said = |value: &str| Case::new().with(key::STUDY_DESCRIPTION, value);
    let code = |value: &str| Case::new().with(key::PROCEDURE_CODE_VALUE, value);
    let born = |value: &str| Case::new().with(key::PATIENT_BIRTH_DATE, value);
    let mut other = Case::new();
    (other.facility, other.modalities) = (FacilityCode::parse("56001").expect("code"), vec!["SR".into(), "MR".into()]);
    let cases: Vec<(&str, Case, bool)> = vec![
        ("facility = ['56001', '56002']", other.clone(), true),
        ("facility = ['56001', '56002']", Case::new(), false),
        ("modality = ['MR', 'PT']", other, true),
        ("modality = ['MR', 'PT']", Case::new(), false),
        ("age_below = 16", born("20100306"), true),
        ("age_below = 16", born("20100305"), false),
        ("age_from = 16", born("20100305"), true),
        ("age_from = 16", born("20100306"), false),
        ("linked = ['A']", Case::new().linked("A"), true),
        ("linked = ['A']", Case::new().linked("E"), false),
        ("attribute = [{ name = 'StudyDescription', prefix = ['tai nạn'] }]", said("TAI-NAN giao thông"), true),
        ("attribute = [{ name = 'StudyDescription', prefix = ['tai nạn'] }]", said("sau tai nạn"), false),
        ("attribute = [{ name = '00081030', equals = ['x', 'Đầu'] }]", said("dau"), true),
        ("attribute = [{ name = 'RequestingService', equals = ['Cap cuu'] }]", service("Cấp cứu"), true),
        ("attribute = [{ name = 'RequestingService', equals = ['Cap cuu'] }]", Case::new(), false),
        ("attribute = [{ name = 'ProcedureCodeSequence.CodeValue', prefix = ['KSK'] }]", code("P1\\KSK7"), true),
        ("attribute = [{ name = 'ProcedureCodeSequence.CodeValue', prefix = ['KSK'] }]", code("ksk7"), false),
        ("made_from = '2026-03-05'", Case::new(), true),
        ("made_from = '2026-03-06'", Case::new(), false),
        ("made_to = '2026-03-05'", Case::new(), true),
        ("made_to = '2026-03-04'", Case::new(), false),
        ("modality = ['CT']\nage_below = 16", Case::new(), false),
        ("every_study = true", Case::new(), true),
    ];
    for (conditions, case, fits) in cases {
        let decision = case.decide(&rules_with(conditions));
        let by_rule = decision.reasons.iter().any(|reason| reason.rule.as_str() == "r");
        assert_eq!(by_rule, fits, "{conditions}");
        assert_eq!(fits, decision.class == class("C") && decision.due == due_on("2056-12-31"), "{conditions}");
    }
}

#[test]
fn an_unknown_age_keeps_longer_and_says_so() {
    let rules = rules_with("age_below = 16");
    let mut case = Case::new();
    case.attributes.remove(&key::PATIENT_BIRTH_DATE);
    let decision = case.decide(&rules);
    assert_eq!(decision.class, class("C"));
    assert!(matches!(decision.notes.as_slice(), [Note::AgeUnknown { rule }] if rule.as_str() == "r"));
    for (age, class_name) in [("034Y", "B"), ("015Y", "C"), ("016Y", "B"), ("010M", "C"), ("200M", "B"), ("006W", "C")]
    {
        let decision = case.clone().with(key::PATIENT_AGE, age).decide(&rules);
        assert_eq!((decision.class, decision.notes.len()), (class(class_name), 0), "{age}");
    }
}

#[test]
fn a_rule_concerns_studies_that_were_here_while_it_was_in_force() {
    let ended = rules_with("every_study = true\nvalid_to = '2026-03-05'");
    assert_eq!(Case::new().judged_on("2030-01-01").decide(&ended).class, class("C"));
    let past = rules_with("every_study = true\nvalid_to = '2026-03-04'");
    assert_eq!(Case::new().judged_on("2030-01-01").decide(&past).class, class("B"));
    let coming = rules_with("every_study = true\nvalid_from = '2030-01-01'");
    assert_eq!(Case::new().judged_on("2029-12-31").decide(&coming).class, class("B"));
    assert_eq!(Case::new().judged_on("2030-01-01").decide(&coming).class, class("C"));
}

#[test]
fn of_an_old_and_a_new_term_the_longer_is_kept() {
    let row = |term: &str, valid: &str| {
        format!("[[class]]\nid = \"X\"\nvi = \"x\"\nen = \"x\"\nlaw = \"x\"\nterm = \"{term}\"\n{valid}\n")
    };
    let change = |old: &str, new: &str| {
        rules(&format!("{TABLE}{}{}", row(old, "valid_to = '2026-06-30'"), row(new, "valid_from = '2026-07-01'")))
    };
    let made_before = Case::new().linked("X").judged_on("2027-01-01");
    assert_eq!(made_before.decide(&change("15 years", "20 years")).due, due_on("2046-12-31"));
    assert_eq!(made_before.decide(&change("20 years", "15 years")).due, due_on("2046-12-31"));
    let mut made_after = made_before.with(key::STUDY_DATE, "20260801");
    made_after.received = (date("2026-08-01"), date("2026-08-01"));
    assert_eq!(made_after.decide(&change("20 years", "15 years")).due, due_on("2041-12-31"));
    // Before the new row is in force the old one stands alone; without an old one there is none.
    assert_eq!(Case::new().linked("X").decide(&change("15 years", "20 years")).due, due_on("2041-12-31"));
    let only_new = rules(&format!("{TABLE}{}", row("20 years", "valid_from = '2026-07-01'")));
    let decision = Case::new().linked("X").decide(&only_new);
    assert_eq!((decision.class, decision.notes), (class("B"), vec![Note::ClassNotInForce { class: class("X") }]));
}

#[test]
fn what_comes_after_a_destruction_is_counted_from_its_receipt() {
    let mut case = Case::new().judged_on("2041-02-01");
    case.received = (date("2041-01-20"), date("2041-01-20"));
    case.destroyed_before = Some(date("2037-02-01"));
    let decision = case.decide(&rules(TABLE));
    assert_eq!(decision.due, due_on("2051-12-31"));
    assert_eq!(decision.notes, [Note::AfterDestruction]);
}

#[test]
fn a_class_nobody_defined_waits_for_a_person() {
    let decision = Case::new().linked("NEW-LAW").decide(&rules(TABLE));
    assert_eq!(decision.notes, [Note::UnknownClass { class: class("NEW-LAW") }]);
    assert!(decision.is_unclear());
    assert_eq!(decision.class, class("B"));
}

#[test]
fn a_decision_keeps_nothing_of_the_person() {
    let rules = rules(&DELIVERED.replace("#: ", ""));
    let case = Case::new()
        .with(key::PATIENT_NAME, "NGUYỄN^VĂN^THỬ")
        .with(key::PATIENT_ID, "22015985")
        .with(key::PATIENT_BIRTH_DATE, "19630517")
        .with(key::ACCESSION_NUMBER, "ACC-88812")
        .with(key::STUDY_DESCRIPTION, "TNGT gãy xương đùi")
        .linked("EHB");
    let mut dead = case.clone().judged_on("2030-01-01");
    dead.died = Some(date("2029-09-17"));
    for decision in [case.decide(&rules), dead.decide_after(&rules, &case.decide(&rules))] {
        let text = serde_json::to_string(&decision).expect("JSON");
        for secret in ["NGUY", "THỬ", "22015985", "1963", "88812", "xương", "2029-09-17"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert_eq!(serde_json::from_str::<Decision>(&text).expect("JSON"), decision);
    }
}
