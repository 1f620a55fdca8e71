//! What a verifier is asked: once for what is new, for as long as it takes, and nothing waits for it.

use super::{Bench, HOME, asks, merge, other};
use crate::charts::inquiries::dispatch::{Heard, Verifier};
use crate::charts::inquiries::{Check, VerifierOptions, VerifierState};
use crate::charts::{ChartError, Sure};
use model::chart::inquiry::{Said, Trait};
use model::chart::{BirthDate, Change, ChartBody, ChartKey, Local, PatientUpdate, Proposal, Question, Sex};
use model::{Caller, FacilityCode};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NUMBER: &str = "056078000001";
const SECOND: u64 = 1_000;

/// A verifier as a test has it: what it says of each name, else that the number is that person's.
#[derive(Default)]
struct Fake {
    says: Mutex<BTreeMap<String, Heard>>,
    asked: Mutex<Vec<(String, Question)>>,
}

impl Fake {
    fn say(&self, name: &str, heard: Option<Heard>) {
        let mut says = self.says.lock();
        match heard {
            Some(heard) => drop(says.insert(name.to_owned(), heard)),
            None => drop(says.remove(name)),
        }
    }

    /// The names that were asked about since the last time.
    fn names(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock()).into_iter().map(|(_, question)| question.name).collect()
    }
}

impl Verifier for Fake {
    fn ask(&self, id: &str, question: &Question) -> Heard {
        self.asked.lock().push((id.to_owned(), question.clone()));
        let verified = || Heard::Said { said: Said::Verified, fields: BTreeSet::new() };
        let says = self.says.lock();
        says.get(&question.name).or_else(|| says.get("")).cloned().unwrap_or_else(verified)
    }

    fn stop(&self) {}
}

fn differs(fields: &[Trait]) -> Option<Heard> {
    Some(Heard::Said { said: Said::Differs, fields: fields.iter().copied().collect() })
}

fn down() -> Option<Heard> {
    Some(Heard::Down("down, on purpose".into()))
}

fn bench() -> Bench {
    Bench::with(Some(VerifierOptions {
        by: "verifier.example".into(),
        attempts: 2,
        pause: Duration::from_secs(2),
        pause_max: Duration::from_secs(60),
        ..VerifierOptions::default()
    }))
}

fn local(facility: FacilityCode, mrn: &str) -> Local {
    Local { facility, mrn: mrn.into() }
}

impl Bench {
    fn person(&self, local: &Local, name: &str, national: &str) {
        let update = PatientUpdate {
            mrn: local.mrn.clone(),
            name: Some(name.into()),
            birth: Some(BirthDate::parse("1978").ok()),
            sex: Some(Sex::Male),
            national: Some(national.into()),
            ..PatientUpdate::default()
        };
        self.turn(1);
        let message =
            asks(&self.clock.0.load(std::sync::atomic::Ordering::SeqCst).to_string(), vec![Change::Patient(update)]);
        self.charts().receive(local.facility, message).expect("received");
    }

    /// Asks what is due, until nothing is.
    fn ask_all(&self, verifier: &Fake) -> Vec<String> {
        while self.charts().ask_next(verifier).expect("asked") {}
        verifier.names()
    }

    fn check(&self, local: &Local) -> Option<Check> {
        let person = self.charts().person(&Caller::operator(), local).expect("a person");
        person.members.into_iter().next().expect("itself").check
    }

    fn state(&self, local: &Local) -> &'static str {
        self.check(local).map_or("", |check| check.state)
    }

    fn verifier(&self) -> VerifierState {
        self.charts().verifier(&Caller::operator())
    }

    fn conflicts(&self, state: &str) -> Vec<(ChartKey, Proposal)> {
        let page = self.charts().proposals(&Caller::operator(), state, None, 100).expect("answers");
        let proposal = |row: model::chart::ChartRow| match row.body {
            ChartBody::Proposal(proposal) => (row.key, *proposal),
            other => panic!("{other:?}"),
        };
        page.rows.into_iter().map(proposal).collect()
    }
}

#[test]
fn a_number_is_asked_about_when_it_is_new_or_its_patient_changes_and_not_else() {
    let (mut bench, fake) = (bench(), Fake::default());
    let (one, two, three) = (local(HOME, "1"), local(HOME, "2"), local(HOME, "3"));
    bench.person(&one, "Nguyễn Văn An", NUMBER);
    bench.person(&two, "Lê Thị Bình", "");
    bench.person(&three, "Trần Văn Cường", "12345");
    assert_eq!((bench.state(&one), bench.state(&two), bench.state(&three)), ("waiting", "", ""));
    assert_eq!(bench.ask_all(&fake), ["Nguyễn Văn An"]);
    let check = bench.check(&one).expect("a check");
    assert_eq!((check.state, check.by.as_str(), check.warning), ("verified", "verifier.example", None));
    // The same once more, in other letters and after the index was lost: nothing to ask.
    let before = bench.dump();
    bench.lose_index();
    assert_eq!(bench.dump(), before);
    bench.person(&one, "NGUYEN VAN AN", NUMBER);
    assert_eq!((bench.state(&one), bench.ask_all(&fake).len()), ("verified", 0));
    // Another name is another question; what is asked is what is known then.
    bench.person(&one, "Nguyễn Văn Anh", NUMBER);
    assert_eq!(bench.state(&one), "waiting");
    bench.person(&two, "Lê Thị Bình", "056178000002");
    assert_eq!(bench.ask_all(&fake), ["Nguyễn Văn Anh", "Lê Thị Bình"]);
    // By hand, whatever was said before; where there is nothing to ask that is said.
    let operator = Caller::operator();
    bench.charts().inquire(&operator, &one).expect("asked");
    assert_eq!(bench.ask_all(&fake), ["Nguyễn Văn Anh"]);
    assert!(matches!(bench.charts().inquire(&operator, &three), Err(ChartError::Conflict(_))));
    let stranger = Caller { facilities: Some([other()].into()), ..Caller::operator() };
    assert_eq!(bench.charts().inquire(&stranger, &one), Err(ChartError::Unknown("patient")));
    // Without a verifier nothing is asked, and what it said of somebody else does not count.
    bench.verifier = None;
    bench.restart();
    bench.person(&one, "Nguyễn Văn An", NUMBER);
    assert_eq!((bench.state(&one), bench.ask_all(&fake).len()), ("outdated", 0));
}

#[test]
fn what_differs_is_put_before_a_steward_changes_nothing_and_goes_with_what_it_was_said_of() {
    let (mut bench, fake) = (bench(), Fake::default());
    let (one, two) = (local(HOME, "1"), local(other(), "7"));
    for local in [&one, &two] {
        bench.person(local, "Nguyễn Văn An", NUMBER);
    }
    let members = |bench: &Bench| bench.charts().person(&Caller::operator(), &one).expect("a person").members.len();
    let patient = bench.own("1");
    fake.say("Nguyễn Văn An", differs(&[Trait::Name, Trait::Birth]));
    assert_eq!(bench.ask_all(&fake).len(), 2);
    assert_eq!((bench.own("1"), members(&bench)), (patient, 2), "what is known and linked is as it was");
    let warning = bench.check(&one).expect("a check").warning.expect("a warning");
    assert!(warning.ends_with("name and birth date") && !warning.contains(NUMBER), "{warning}");
    let listed = bench.conflicts("conflict");
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|(_, one)| one.is_alone() && one.why == [warning.clone()]), "{listed:?}");
    let before = bench.dump();
    bench.lose_index();
    assert_eq!(bench.dump(), before);
    // A steward has looked; the same answer once more does not bring it back.
    let (key, _) = listed.iter().find(|(key, _)| key.facility == HOME).expect("its own").clone();
    bench.charts().judge_proposal(&Caller::operator(), &key, true, "lan").expect("judged");
    bench.charts().inquire(&Caller::operator(), &one).expect("asked");
    assert_eq!((bench.ask_all(&fake).len(), bench.conflicts("accepted").len()), (1, 1));
    // Another answer does, and one that it is right after all takes it away.
    fake.say("Nguyễn Văn An", differs(&[Trait::Sex]));
    bench.charts().inquire(&Caller::operator(), &one).expect("asked");
    assert_eq!((bench.ask_all(&fake).len(), bench.conflicts("conflict").len()), (1, 2));
    fake.say("Nguyễn Văn An", None);
    bench.charts().inquire(&Caller::operator(), &one).expect("asked");
    assert_eq!((bench.ask_all(&fake).len(), bench.conflicts("conflict").len()), (1, 1));
    // So does a patient that is another, at once.
    bench.person(&two, "Nguyễn Văn Anh", NUMBER);
    assert!(bench.conflicts("conflict").is_empty());
    assert_eq!(bench.conflicts("withdrawn").iter().filter(|(_, one)| one.is_alone()).count(), 2);
}

#[test]
fn what_is_asked_in_vain_waits_longer_each_time_survives_kill_and_lost_index_and_is_asked_in_the_end() {
    let (mut bench, fake) = (bench(), Fake::default());
    fake.say("", down());
    for mrn in ["1", "2", "3"] {
        bench.person(&local(HOME, mrn), &format!("Lê {mrn}"), NUMBER);
    }
    let ask = |bench: &Bench| bench.charts().ask_next(&fake).expect("asked");
    assert!(ask(&bench) && !ask(&bench), "the verifier rests");
    bench.turn(2 * SECOND);
    assert!(ask(&bench));
    bench.turn(2 * SECOND);
    assert!(!ask(&bench), "it rests twice as long");
    bench.turn(2 * SECOND);
    assert!(ask(&bench));
    let state = bench.verifier();
    assert_eq!((state.answers, state.why.as_str(), state.waiting, state.failed), (false, "down, on purpose", 3, 0));
    assert!(state.oldest_ms >= 6 * SECOND, "{state:?}");
    assert_eq!(bench.check(&local(HOME, "1")).expect("a check").error, "down, on purpose");
    fake.names();
    bench.lose_index();
    assert_eq!(bench.verifier().waiting, 3);
    fake.say("", None);
    let mut asked = bench.ask_all(&fake);
    bench.turn(60 * SECOND);
    asked.extend(bench.ask_all(&fake));
    asked.sort();
    assert_eq!(asked, ["Lê 1", "Lê 2", "Lê 3"]);
    let state = bench.verifier();
    assert_eq!((state.answers, state.waiting, state.oldest_ms), (true, 0, 0));
}

#[test]
fn rubbish_is_given_up_after_some_tries_holds_up_no_other_and_is_asked_again_by_hand() {
    let (mut bench, fake) = (bench(), Fake::default());
    let (one, two) = (local(HOME, "1"), local(HOME, "2"));
    fake.say("Lê An", Some(Heard::Rubbish("no JSON, on purpose".into())));
    bench.person(&one, "Lê An", NUMBER);
    bench.person(&two, "Lê Bình", NUMBER);
    for _ in 0..8 {
        bench.ask_all(&fake);
        bench.turn(60 * SECOND);
    }
    assert_eq!((bench.state(&one), bench.state(&two)), ("failed", "verified"));
    let state = bench.verifier();
    assert_eq!((state.waiting, state.failed), (0, 1));
    bench.restart();
    assert_eq!(bench.verifier().failed, 1);
    assert!(bench.ask_all(&fake).is_empty(), "it was given up");
    fake.say("Lê An", None);
    assert_eq!(bench.charts().inquire_again(&Caller::operator()), Ok(1));
    assert_eq!((bench.ask_all(&fake).len(), bench.state(&one)), (1, "verified"));
}

#[test]
fn nothing_is_asked_of_a_number_that_was_given_up_and_it_comes_back_with_what_was_said() {
    let (bench, fake) = (bench(), Fake::default());
    let (one, two) = (local(HOME, "1"), local(HOME, "2"));
    bench.person(&one, "Lê An", NUMBER);
    bench.person(&two, "Lê An", "");
    fake.say("Lê An", differs(&[Trait::Sex]));
    bench.ask_all(&fake);
    assert_eq!(bench.conflicts("conflict").len(), 1);
    bench.done("m", vec![merge("2", "1")]);
    assert!(bench.conflicts("conflict").is_empty());
    let (id, ..) = bench.merges().pop().expect("a merge");
    bench.charts().unmerge(&Caller::operator(), HOME, &id, "lan").expect("undone");
    assert_eq!((bench.state(&one), bench.conflicts("conflict").len()), ("differs", 1));
    assert!(bench.ask_all(&fake).is_empty(), "it was answered");
    // An answer that comes when the patient is another is of no use.
    bench.person(&one, "Lê Bình", NUMBER);
    struct Late<'a>(&'a Bench, Local);
    impl Verifier for Late<'_> {
        fn ask(&self, _: &str, _: &Question) -> Heard {
            self.0.person(&self.1, "Lê Chi", NUMBER);
            Heard::Said { said: Said::Verified, fields: BTreeSet::new() }
        }

        fn stop(&self) {}
    }
    assert_eq!(bench.charts().ask_next(&Late(&bench, one.clone())), Ok(true));
    assert_eq!(bench.state(&one), "waiting");
    assert_eq!(bench.ask_all(&fake), ["Lê Chi"]);
}

#[test]
fn what_a_steward_said_of_an_answer_is_there_again_when_a_merge_is_undone() {
    let (bench, fake) = (bench(), Fake::default());
    let (operator, one) = (Caller::operator(), local(HOME, "1"));
    bench.person(&one, "Lê An", NUMBER);
    bench.person(&local(HOME, "2"), "Lê An", "");
    fake.say("Lê An", differs(&[Trait::Sex]));
    bench.ask_all(&fake);
    let (key, _) = bench.conflicts("conflict").pop().expect("a conflict");
    bench.charts().judge_proposal(&operator, &key, true, "lan").expect("judged");
    bench.done("m", vec![merge("2", "1")]);
    let (id, ..) = bench.merges().pop().expect("a merge");
    bench.charts().unmerge(&operator, HOME, &id, "lan").expect("undone");
    assert_eq!((bench.conflicts("conflict").len(), bench.conflicts("accepted").len()), (0, 1));
    // Of another answer nothing was said.
    bench.person(&one, "Lê Bình", NUMBER);
    fake.say("Lê Bình", differs(&[Trait::Sex]));
    bench.ask_all(&fake);
    assert_eq!((bench.conflicts("conflict").len(), bench.conflicts("accepted").len()), (1, 0));
    bench.charts().judge_proposal(&operator, &key, true, "lan").expect("judged");
    bench.person(&one, "Lê Chi", NUMBER);
    bench.ask_all(&fake);
    assert_eq!((bench.conflicts("conflict").len(), bench.conflicts("accepted").len()), (0, 0));
}

#[test]
fn a_link_is_surer_when_both_numbers_are_verified_for_who_may_see_both() {
    let (bench, fake) = (bench(), Fake::default());
    let (one, two) = (local(HOME, "1"), local(other(), "7"));
    for local in [&one, &two] {
        bench.person(local, "Nguyễn Văn An", NUMBER);
    }
    let sure = |caller: &Caller| {
        let person = bench.charts().person(caller, &one).expect("a person");
        person.members.into_iter().map(|member| member.sure).collect::<Vec<_>>()
    };
    assert_eq!(sure(&Caller::operator()), [Some(Sure::Linked); 2]);
    assert!(bench.charts().ask_next(&fake).expect("asked"));
    assert_eq!(sure(&Caller::operator()), [Some(Sure::Linked); 2], "one of two");
    bench.ask_all(&fake);
    assert_eq!(sure(&Caller::operator()), [Some(Sure::Verified); 2]);
    let home = Caller { facilities: Some([HOME].into()), ..Caller::operator() };
    assert_eq!(sure(&home), [Some(Sure::Linked)], "what is elsewhere is not told");
}

#[test]
fn more_than_memory_holds_is_asked_once_each_also_who_was_there_before_the_verifier() {
    const PATIENTS: usize = 30;
    let (mut bench, fake) = (bench(), Fake::default());
    let verifier = bench.verifier.take();
    bench.restart();
    let mut names: Vec<String> = (0..PATIENTS).map(|number| format!("Lê Văn {number:02}")).collect();
    for (number, name) in names.iter().enumerate().take(PATIENTS / 2) {
        bench.person(&local(HOME, &number.to_string()), name, NUMBER);
    }
    assert!(matches!(bench.charts().inquire_missing(&Caller::operator(), None), Err(ChartError::Conflict(_))));
    bench.verifier = verifier;
    bench.restart();
    assert_eq!((bench.verifier().waiting, bench.ask_all(&fake).len()), (0, 0));
    for (number, name) in names.iter().enumerate().skip(PATIENTS / 2) {
        bench.person(&local(HOME, &number.to_string()), name, NUMBER);
    }
    assert_eq!(bench.charts().inquire_missing(&Caller::operator(), None), Ok((PATIENTS / 2, None)));
    assert!(bench.verifier().more, "the queue is longer than what is held");
    bench.restart();
    assert!(bench.verifier().more);
    // Whoever is asked about by hand goes first, also where memory is full.
    let last = PATIENTS - 1;
    bench.charts().inquire(&Caller::operator(), &local(HOME, &last.to_string())).expect("asked");
    assert_eq!(bench.charts().ask_next(&fake), Ok(true));
    let mut asked = fake.names();
    assert_eq!(asked.last(), names.get(last));
    asked.extend(bench.ask_all(&fake));
    asked.sort();
    names.sort();
    assert_eq!(asked, names);
    assert!(!bench.verifier().more);
}
