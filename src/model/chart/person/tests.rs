//! The tiers of persons, one by one, and who belongs together.

use super::*;
use crate::chart::Identifiers;

const ONE: &str = "056078000001";
const TWO: &str = "056078000002";

fn patient(name: &str, birth: &str, sex: &str, number: &str) -> Patient {
    Patient {
        name: name.into(),
        birth: BirthDate::parse(birth).ok(),
        sex: Sex::of(sex),
        ids: Identifiers { national: (!number.is_empty()).then(|| number.to_owned()), ..Identifiers::default() },
        ..Patient::default()
    }
}

fn tie(one: &Patient, two: &Patient) -> Tie {
    let (one, two) = (Traits::of(one), Traits::of(two));
    let found = compare(&one, &two);
    assert_eq!(found, compare(&two, &one), "the order does not count");
    found
}

#[test]
fn the_same_number_links_with_name_and_year_or_sex() {
    let an = patient("Nguyễn Văn An", "19780305", "M", ONE);
    for (other, expected) in [
        (patient("NGUYEN VAN AN", "1978", "", ONE), Tie::Same(How::Number)),
        (patient("Nguyễn An", "", "M", ONE), Tie::Same(How::Number)),
        (patient("Nguyễn Văn An", "1979", "M", ONE), Tie::Same(How::Number)),
        (patient("Trần Thị Bình", "1990", "F", ONE), Tie::Conflict),
        (patient("Trần Văn An", "1990", "M", ONE), Tie::Conflict),
        (patient("Nguyễn Văn An", "1978", "M", ""), Tie::Nothing),
        (patient("Nguyễn Văn An", "1978", "M", TWO), Tie::Nothing),
    ] {
        assert_eq!(tie(&an, &other), expected, "{other:?}");
    }
    let unsure = tie(&an, &patient("Nguyễn Văn Bình", "1978", "M", ONE));
    assert!(matches!(unsure, Tie::Perhaps(_)), "{unsure:?}");
}

#[test]
fn the_same_insurance_number_links_with_name_and_year() {
    let insured = |number: &str, mut patient: Patient| {
        patient.ids.insurance = vec![number.into()];
        patient
    };
    let an = insured("DN4560123456789", patient("Nguyễn Văn An", "1978", "M", ""));
    let again = insured("0123456789", patient("NGUYEN VAN AN", "19780305", "", ""));
    assert_eq!(tie(&an, &again), Tie::Same(How::Insurance));
    assert_eq!(tie(&an, &insured("0123456789", patient("NGUYEN AN", "1978", "M", ""))), Tie::Nothing);
    assert_eq!(tie(&an, &insured("0123456789", patient("Nguyễn Văn An", "1979", "M", ""))), Tie::Nothing);
    let (with, other) = (
        insured("0123456789", patient("Nguyễn Văn An", "1978", "M", ONE)),
        insured("0123456789", patient("Nguyễn Văn An", "1978", "M", TWO)),
    );
    assert!(matches!(tie(&with, &other), Tie::Perhaps(_)));
    // Twelve digits in its place are the person's own number.
    assert_eq!(
        tie(&insured(ONE, patient("An", "1978", "", "")), &patient("An", "1978", "", ONE)),
        Tie::Same(How::Number)
    );
}

#[test]
fn a_name_with_date_and_sex_proposes_only_with_something_more() {
    let with = |phone: &str, address: &str, birth: &str| {
        let mut patient = patient("Nguyễn Văn An", birth, "M", "");
        patient.phones = vec![phone.into()];
        patient.address = address.into();
        patient
    };
    let an = with("0905000001", "Tổ 1, Nha Trang", "19780305");
    assert!(matches!(tie(&an, &with("0905000001", "", "19780305")), Tie::Perhaps(_)));
    assert!(matches!(tie(&an, &with("", "TO 1 NHA TRANG", "19780305")), Tie::Perhaps(_)));
    assert_eq!(tie(&an, &with("", "", "19780305")), Tie::Nothing);
    assert_eq!(tie(&an, &with("0905000001", "", "1978")), Tie::Nothing);
    assert_eq!(identity(&an).as_deref(), Some("19780305M NGUYEN VAN AN"));
    assert_eq!(identity(&with("", "", "1978")), None);
}

fn someone(patient: &Patient) -> Someone {
    Someone { traits: Traits::of(patient), apart: None }
}

#[test]
fn stewards_go_first_and_no_tie_brings_together_whom_they_told_apart() {
    let an = someone(&patient("Nguyễn Văn An", "1978", "M", ONE));
    let stranger = someone(&patient("Trần Thị Bình", "1990", "F", TWO));
    let people = [an.clone(), an.clone(), an.clone(), stranger.clone()];
    let members = |said: &[Said], people: &[Someone]| -> Vec<Vec<usize>> {
        let groups = together(people, said);
        groups.into_iter().map(|group| group.into_iter().map(|(at, _)| at).collect()).collect()
    };
    assert_eq!(members(&[], &people), [vec![0, 1, 2]]);
    let said = |one, two, is_one, at| Said { one, two, is_one, at };
    assert_eq!(members(&[said(0, 3, true, 5)], &people), [vec![0, 1, 2, 3]]);
    assert_eq!(members(&[said(0, 2, false, 5)], &people), [vec![0, 1]]);
    let taken = |at| Someone { apart: Some(at), ..an.clone() };
    let apart = [taken(7), an.clone(), an.clone(), stranger];
    assert_eq!(members(&[said(0, 3, true, 5)], &apart), [vec![1, 2]]);
    assert_eq!(members(&[said(0, 3, true, 8)], &apart), [vec![0, 3], vec![1, 2]]);
}

#[test]
fn whose_number_was_typed_wrong_is_not_linked_through_a_third() {
    let an = patient("Nguyễn Văn An", "1978", "M", ONE);
    let other = patient("Lê An", "1990", "M", ONE);
    let between = patient("An", "", "M", ONE);
    let people = [someone(&an), someone(&between), someone(&other)];
    let groups = together(&people, &[]);
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2]);
    let said = Said { one: 0, two: 2, is_one: true, at: 1 };
    assert_eq!(together(&people, &[said]).iter().map(Vec::len).collect::<Vec<_>>(), [3]);
}
