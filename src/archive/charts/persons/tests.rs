//! Persons over a real journal and index: the tiers, stewards, restarts, and seeded random changes against a plain model.

use crate::charts::tests::{Bench, HOME, asks, merge};
use crate::charts::{ChartError, Person};
use model::chart::person::{Said, Someone, Traits, together};
use model::chart::{
    BirthDate, Change, ChartBody, ChartKey, ChartKind, How, Local, Patient, PatientUpdate, Proposal, Sex,
};
use model::{Caller, FacilityCode};
use std::collections::{BTreeMap, BTreeSet};

const NUMBER: &str = "056078000001";

fn facility(at: usize) -> FacilityCode {
    FacilityCode::parse(["DEMO0", "56001", "56002"][at]).expect("a facility")
}

fn local(at: usize, mrn: &str) -> Local {
    Local { facility: facility(at), mrn: mrn.into() }
}

fn person(name: &str, birth: &str, sex: &str, national: &str) -> PatientUpdate {
    PatientUpdate {
        name: Some(name.into()),
        birth: Some(BirthDate::parse(birth).ok()),
        sex: Some(Sex::of(sex)),
        national: Some(national.into()),
        ..PatientUpdate::default()
    }
}

fn say(bench: &Bench, local: &Local, update: PatientUpdate) {
    bench.turn(1);
    let change = Change::Patient(PatientUpdate { mrn: local.mrn.clone(), ..update });
    let control = format!("{}", fastrand::u64(..));
    bench.charts().receive(local.facility, asks(&control, vec![change])).expect("received");
}

fn asked(bench: &Bench, local: &Local) -> Person {
    bench.charts().person(&Caller::operator(), local).expect("a person")
}

fn members(bench: &Bench, local: &Local) -> Vec<Local> {
    let mut members: Vec<Local> = asked(bench, local).members.into_iter().map(|member| member.local).collect();
    members.sort();
    members
}

fn proposals(bench: &Bench, state: &str) -> Vec<(ChartKey, Proposal)> {
    let page = bench.charts().proposals(&Caller::operator(), state, None, 100).expect("answers");
    let proposal = |row: model::chart::ChartRow| match row.body {
        ChartBody::Proposal(proposal) => (row.key, *proposal),
        other => panic!("{other:?}"),
    };
    page.rows.into_iter().map(proposal).collect()
}

#[test]
fn a_number_links_and_a_changed_number_takes_the_link_back() {
    let mut bench = Bench::new();
    let (one, two, three) = (local(0, "1"), local(1, "7"), local(2, "9"));
    say(&bench, &one, person("Nguyễn Văn An", "1978", "M", NUMBER));
    assert_eq!(asked(&bench, &one).id, None);
    say(&bench, &two, person("NGUYEN VAN AN", "19780305", "M", NUMBER));
    say(&bench, &three, person("Lê Thị Bình", "1990", "F", NUMBER));
    assert_eq!(
        members(&bench, &one),
        [two.clone(), one.clone()].into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    assert_eq!(asked(&bench, &two).members[0].how, Some(How::Number));
    assert_eq!(members(&bench, &three), std::slice::from_ref(&three), "a number that was typed wrong links nobody");
    assert_eq!(proposals(&bench, "conflict").len(), 2);
    let before = bench.dump();
    bench.lose_index();
    assert_eq!(bench.dump(), before);
    say(&bench, &two, person("NGUYEN VAN AN", "19780305", "M", "056078000002"));
    assert_eq!(members(&bench, &one), std::slice::from_ref(&one));
    assert_eq!(members(&bench, &two), [two]);
    assert_eq!(proposals(&bench, "conflict").len(), 1);
    // Whoever may see one facility sees of a person only what is there, and no pairs.
    let caller = Caller { facilities: Some([facility(1)].into()), ..Caller::operator() };
    assert_eq!(bench.charts().person(&caller, &one), Err(ChartError::Unknown("patient")));
    assert!(bench.charts().proposals(&caller, "conflict", None, 9).expect("answers").rows.is_empty());
}

#[test]
fn a_proposal_is_accepted_refused_and_taken_back() {
    let bench = Bench::new();
    let (one, two) = (local(0, "1"), local(1, "7"));
    let with_phone =
        || PatientUpdate { phones: Some(vec!["0905000001".into()]), ..person("Nguyễn Văn An", "19780305", "M", "") };
    say(&bench, &one, with_phone());
    say(&bench, &two, with_phone());
    assert_eq!(members(&bench, &one).len(), 1, "never by itself");
    let (key, _) = proposals(&bench, "open").pop().expect("a proposal");
    let operator = Caller::operator();
    let charts = bench.charts();
    charts.judge_proposal(&operator, &key, true, "lan").expect("accepted");
    assert_eq!(asked(&bench, &one).members[1].how, Some(How::Steward));
    // What a steward linked stays, whatever is said.
    say(&bench, &two, person("Trần Thị Hoa", "1990", "F", ""));
    assert_eq!(members(&bench, &one).len(), 2);
    charts.undo_proposal(&operator, &key, "lan").expect("undone");
    assert_eq!(members(&bench, &one).len(), 1);
    assert!(charts.undo_proposal(&operator, &key, "lan").is_err());
    let caller = Caller { facilities: Some([facility(1)].into()), ..Caller::operator() };
    assert_eq!(charts.judge_proposal(&caller, &key, true, "lan"), Err(ChartError::Unknown("proposal")));
}

#[test]
fn a_patient_that_is_taken_out_stays_out_until_that_is_taken_back() {
    let bench = Bench::new();
    let (one, two) = (local(0, "1"), local(1, "7"));
    for local in [&one, &two] {
        say(&bench, local, person("Nguyễn Văn An", "1978", "M", NUMBER));
    }
    let operator = Caller::operator();
    bench.charts().unlink(&operator, &two, "lan").expect("taken out");
    assert_eq!(members(&bench, &one).len(), 1);
    say(&bench, &two, person("Nguyễn Văn An", "19780305", "M", NUMBER));
    assert_eq!(members(&bench, &one).len(), 1, "not linked again by itself");
    bench.charts().link(&operator, &one, &two, "lan").expect("linked");
    assert_eq!(members(&bench, &one).len(), 2, "a later decision counts");
    bench.charts().unlink(&operator, &two, "lan").expect("taken out");
    assert_eq!(members(&bench, &one).len(), 1);
    for count in [2, 2] {
        bench.charts().rejoin(&operator, &two, "lan").expect("taken back");
        assert_eq!(members(&bench, &one).len(), count);
    }
    assert!(bench.charts().rejoin(&operator, &two, "lan").is_err());
}

#[test]
fn a_merged_number_stands_in_its_survivors_person_and_comes_back() {
    let bench = Bench::new();
    let (one, two, other) = (local(0, "1"), local(0, "2"), local(1, "7"));
    say(&bench, &one, person("Nguyễn Văn An", "1978", "M", NUMBER));
    say(&bench, &other, person("Nguyễn Văn An", "1978", "M", NUMBER));
    say(&bench, &two, person("Nguyen An", "", "", ""));
    bench.charts().receive(HOME, asks("m", vec![merge("2", "1")])).expect("merged");
    // The one that stays has no number in common with anybody.
    assert_eq!(members(&bench, &one), std::slice::from_ref(&two));
    assert_eq!(members(&bench, &other), std::slice::from_ref(&other));
    let (id, ..) = bench.merges().pop().expect("a merge");
    bench.charts().unmerge(&Caller::operator(), HOME, &id, "lan").expect("undone");
    bench.charts().follow_persons();
    assert_eq!(members(&bench, &one).len(), 2);
    bench.charts().link(&Caller::operator(), &one, &two, "lan").expect("linked");
    assert_eq!(members(&bench, &other).len(), 3);
}

#[test]
fn what_was_noted_before_a_kill_is_done_after_it() {
    let mut bench = Bench::new();
    let (one, two) = (local(0, "1"), local(1, "7"));
    say(&bench, &one, person("Nguyễn Văn An", "1978", "M", NUMBER));
    // The change alone, without what follows it.
    bench.turn(1);
    let update = PatientUpdate { mrn: "7".into(), ..person("Nguyễn Văn An", "1978", "M", NUMBER) };
    bench.charts().write(two.facility, |writing| crate::charts::patients::apply(writing, &update)).expect("written");
    assert_eq!(members(&bench, &one).len(), 1);
    bench.lose_index();
    assert_eq!(bench.charts().follow_persons(), 1);
    assert_eq!(members(&bench, &one).len(), 2);
    assert_eq!(bench.charts().follow_persons(), 0);
}

/// What should be: patients as they were said, and decisions.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    patients: BTreeMap<Local, Patient>,
    apart: BTreeMap<Local, Vec<u64>>,
    pairs: BTreeMap<[Local; 2], Vec<(bool, u64)>>,
    turn: u64,
}

impl Model {
    /// Everyone's person worked out anew from all.
    fn persons(&self) -> BTreeMap<Local, BTreeSet<Local>> {
        let locals: Vec<&Local> = self.patients.keys().collect();
        let someone = |local: &&Local| Someone {
            traits: Traits::of(&self.patients[*local]),
            apart: self.apart.get(*local).and_then(|times| times.last()).copied(),
        };
        let people: Vec<Someone> = locals.iter().map(someone).collect();
        let place = |local: &Local| locals.iter().position(|known| *known == local).expect("known");
        let said = self.pairs.iter().filter_map(|([one, two], said)| {
            let (is_one, at) = *said.last()?;
            Some(Said { one: place(one), two: place(two), is_one, at })
        });
        let said: Vec<Said> = said.collect();
        let alone = |local: &&Local| ((*local).clone(), BTreeSet::from([(*local).clone()]));
        let mut persons: BTreeMap<Local, BTreeSet<Local>> = locals.iter().map(alone).collect();
        for group in together(&people, &said) {
            let group: BTreeSet<Local> = group.into_iter().map(|(at, _)| locals[at].clone()).collect();
            for local in &group {
                persons.insert(local.clone(), group.clone());
            }
        }
        persons
    }
}

fn drawn<'a>(random: &mut fastrand::Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(0..from.len())]
}

/// One random step on both.
fn step(bench: &Bench, model: &mut Model, random: &mut fastrand::Rng) {
    let operator = Caller::operator();
    model.turn += 1;
    bench.turn(10);
    let now = model.turn;
    let one = local(random.usize(0..3), drawn(random, &["1", "2", "3", "4"]));
    let two = local(random.usize(0..3), drawn(random, &["1", "2", "3", "4"]));
    let both = one != two && model.patients.contains_key(&one) && model.patients.contains_key(&two);
    let mut pair = [one.clone(), two.clone()];
    pair.sort();
    let key = |pair: &[Local; 2]| {
        let proposal = Proposal::of(&pair[0], &pair[1], 0);
        ChartKey { kind: ChartKind::Proposal, facility: proposal.facility, id: proposal.id() }
    };
    match random.u8(0..12) {
        0..=5 => {
            let name = drawn(random, &["Nguyễn Văn An", "Nguyen Van An", "Lê An", "An", "Trần Thị Bình"]);
            let (birth, sex) = (drawn(random, &["1978", "19780305", "1990", ""]), drawn(random, &["M", "F", ""]));
            let update = PatientUpdate {
                insurance: Some(vec![drawn(random, &["DN4560123456789", "0123456789", ""]).into()]),
                ..person(name, birth, sex, drawn(random, &[NUMBER, "056078000002", ""]))
            };
            let patient = model.patients.entry(one.clone()).or_default();
            patient.name = name.into();
            patient.birth = BirthDate::parse(birth).ok();
            patient.sex = Sex::of(sex);
            patient.ids.national = update.national.clone().filter(|number| !number.is_empty());
            patient.ids.insurance = update.insurance.clone().unwrap_or_default();
            say(bench, &one, update);
        }
        6 if both => {
            bench.charts().link(&operator, &one, &two, "lan").expect("linked");
            model.pairs.entry(pair).or_default().push((true, now));
        }
        7 if both && bench.charts().judge_proposal(&operator, &key(&pair), false, "lan").is_ok() => {
            model.pairs.entry(pair).or_default().push((false, now));
        }
        8 => {
            let known: Vec<[Local; 2]> = model.pairs.keys().cloned().collect();
            let Some(pair) = known.get(random.usize(0..known.len().max(1))) else { return };
            let undone = bench.charts().undo_proposal(&operator, &key(pair), "lan").is_ok();
            assert_eq!(undone, model.pairs.get_mut(pair).and_then(Vec::pop).is_some());
        }
        9 if model.patients.contains_key(&one) => {
            bench.charts().unlink(&operator, &one, "lan").expect("taken out");
            model.apart.entry(one).or_default().push(now);
        }
        10 | 11 if model.patients.contains_key(&one) => {
            let back = bench.charts().rejoin(&operator, &one, "lan").is_ok();
            assert_eq!(back, model.apart.entry(one).or_default().pop().is_some());
        }
        _ => {}
    }
}

fn answers(bench: &Bench, model: &Model) -> BTreeMap<Local, BTreeSet<Local>> {
    model.patients.keys().map(|local| (local.clone(), members(bench, local).into_iter().collect())).collect()
}

#[test]
fn random_patients_links_and_unlinks_come_to_what_a_plain_model_says_and_undo_restores_it() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut bench, mut model) = (Bench::new(), Model::default());
        for turn in 0..120 {
            step(&bench, &mut model, &mut random);
            match random.u8(0..40) {
                0 => bench.restart(),
                1 => {
                    let before = bench.dump();
                    bench.lose_index();
                    assert_eq!(bench.dump(), before, "seed {seed}, turn {turn}: the index built anew differs");
                }
                _ => {}
            }
            assert_eq!(answers(&bench, &model), model.persons(), "seed {seed}, turn {turn}: {model:#?}");
        }
        // A decision and its undoing leave every answer as it was.
        let (before, operator) = (answers(&bench, &model), Caller::operator());
        let locals: Vec<Local> = model.patients.keys().cloned().collect();
        for (one, two) in locals.iter().zip(locals.iter().rev()).filter(|(one, two)| one != two) {
            let pair = bench.charts().link(&operator, one, two, "lan").expect("linked");
            bench.charts().unlink(&operator, one, "lan").expect("taken out");
            bench.charts().rejoin(&operator, one, "lan").expect("taken back");
            bench.charts().undo_proposal(&operator, &pair, "lan").expect("undone");
            assert_eq!(answers(&bench, &model), before, "seed {seed}: {one:?} {two:?}");
        }
    }
}
