//! Seeded random messages against a plain model, with restarts and lost indexes in between; many at once; many merges.

use super::*;
use std::collections::BTreeMap;

/// What should be.
#[derive(Debug, Default)]
struct Model {
    /// Name and the number it was merged into, by number.
    patients: BTreeMap<String, (String, Option<String>)>,
    /// Number of the patient and state, by number.
    visits: BTreeMap<String, (String, VisitState)>,
}

impl Model {
    fn root(&self, mrn: &str) -> String {
        let mut mrn = mrn.to_owned();
        while let Some((_, Some(next))) = self.patients.get(&mrn) {
            mrn.clone_from(next);
        }
        mrn
    }

    fn name(&mut self, mrn: &str, name: &str) {
        self.patients.entry(mrn.into()).or_default().0 = name.into();
    }

    fn merge(&mut self, survivor: &str, former: &str) {
        let (stays, goes) = (self.root(survivor), self.root(former));
        if stays != goes {
            self.patients.entry(stays.clone()).or_default();
            self.patients.entry(goes).or_default().1 = Some(stays);
        }
    }

    fn visit(&mut self, number: &str, mrn: &str, state: VisitState) {
        let theirs = self.visits.get(number).map(|(of, _)| self.root(of));
        match theirs {
            None => {
                self.visits.insert(number.into(), (mrn.into(), state));
            }
            Some(root) if root == self.root(mrn) => {
                if let Some(visit) = self.visits.get_mut(number) {
                    visit.1 = state;
                }
            }
            Some(_) => {}
        }
    }
}

/// One step; gives the message if one was done.
fn step(bench: &Bench, model: &mut Model, random: &mut fastrand::Rng, turn: u32) -> Option<Inbound> {
    let mrn = |random: &mut fastrand::Rng| format!("P{}", random.u8(0..9));
    let (one, two, number) = (mrn(random), mrn(random), format!("V{}", random.u8(0..6)));
    let change = match random.u8(0..10) {
        0..=3 => {
            let name = format!("Tên {turn}");
            model.name(&one, &name);
            patient(&one, &name)
        }
        4 | 5 if one != two => {
            model.merge(&one, &two);
            merge(&one, &two)
        }
        6 => {
            // Of numbers that both came: what a merge made is taken away with it, which the model does not know.
            let merges = bench.merges();
            let whole = |mrn: &str| model.patients.get(mrn).is_some_and(|(name, _)| !name.is_empty());
            let known: Vec<_> = merges.iter().filter(|(_, stays, goes)| whole(stays) && whole(goes)).collect();
            let (id, _, former) = known.get(random.usize(0..known.len().max(1)))?;
            match bench.charts().unmerge(&Caller::operator(), HOME, id, "test") {
                // A later merge was made over it.
                Err(ChartError::Conflict(_)) => return None,
                answer => answer.expect("undone"),
            }
            model.patients.get_mut(former).expect("a patient").1 = None;
            return None;
        }
        _ => {
            let states = [VisitState::Registered, VisitState::Admitted, VisitState::Discharged, VisitState::Canceled];
            let state = states[random.usize(0..states.len())];
            // Nothing waits here: the model knows no messages.
            let is_known = model.visits.contains_key(&number);
            let state = if is_known { state } else { VisitState::Registered };
            model.visit(&number, &one, state);
            visit(&number, &one, Some(state))
        }
    };
    let message = asks(&format!("{turn}"), vec![change]);
    (bench.receive(message.clone()).handled == Handled::Done).then_some(message)
}

fn compare(bench: &Bench, model: &Model, turn: u32) {
    for (mrn, (name, into)) in &model.patients {
        let own = bench.own(mrn).unwrap_or_else(|| panic!("turn {turn}: {mrn} is not there"));
        assert_eq!((&own.name, &own.merged_into), (name, into), "turn {turn}: {mrn}");
        assert_eq!(bench.stands_for(mrn), Some(model.root(mrn)), "turn {turn}: {mrn}");
    }
    for number in (0..6).map(|number| format!("V{number}")) {
        let found = bench.visit(&number).map(|visit| (visit.mrn, visit.state));
        assert_eq!(found.as_ref(), model.visits.get(&number), "turn {turn}: {number}");
    }
}

#[test]
fn random_messages_restarts_and_lost_indexes_come_to_what_a_plain_model_says() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut bench, mut model, mut sent) = (Bench::new(), Model::default(), Vec::new());
        for turn in 0..150 {
            if let Some(message) = step(&bench, &mut model, &mut random, turn) {
                sent.push(message);
            }
            match random.u8(0..40) {
                0 => bench.restart(),
                1 => {
                    let before = bench.dump();
                    bench.lose_index();
                    assert_eq!(bench.dump(), before, "seed {seed}, turn {turn}: the index built anew differs");
                }
                2 if !sent.is_empty() => {
                    let message = &sent[random.usize(0..sent.len())];
                    assert!(bench.receive(message.clone()).repeated, "seed {seed}, turn {turn}");
                }
                _ => {}
            }
            compare(&bench, &model, turn);
        }
    }
}

#[test]
fn messages_of_many_senders_at_once_are_all_there() {
    let mut bench = Bench::new();
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                for number in 0..25 {
                    let name = format!("Tên {sender} {number}");
                    bench.done(&format!("{sender}-{number}"), vec![patient(&format!("{sender}-{number}"), &name)]);
                    assert!(bench.own(&format!("{sender}-{number}")).is_some(), "not found when it was answered");
                    bench.done(&format!("{sender}-{number} common"), vec![patient("common", &name)]);
                }
            });
        }
    });
    let before = bench.dump();
    assert_eq!(bench.messages(Some("done")).len(), 400);
    bench.lose_index();
    assert_eq!(bench.dump(), before);
}

#[test]
fn a_storm_of_merges_ends_with_one_patient() {
    let mut bench = Bench::new();
    for number in 0..1_000 {
        // Half of them behind one another, half into one.
        let survivor = if number % 2 == 0 { format!("{}", number + 2) } else { "1000".to_owned() };
        bench.done(&format!("m{number}"), vec![merge(&survivor, &format!("{number}"))]);
    }
    let stands_for = bench.stands_for("0").expect("a patient");
    assert!((0..1_000).step_by(99).all(|number| bench.stands_for(&number.to_string()).as_ref() == Some(&stands_for)));
    assert_eq!(bench.charts().numbers(&Caller::operator(), HOME, "17").expect("answers").len(), 1_001);
    bench.lose_index();
    assert_eq!(bench.stands_for("0"), Some(stands_for));
}
