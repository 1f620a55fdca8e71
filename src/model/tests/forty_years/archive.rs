//! An archive reduced to what retention sees of it, with the model's sheet beside every study.

use crate::case::Case;
use crate::history::{Event, History, day, wall};
use crate::tally::Sheet;
use fastrand::Rng;
use model::attribute::key;
use model::date::{DAY_MS, Date};
use model::retention::*;
use model::{FacilityCode, Uid};
use std::collections::{BTreeMap, BTreeSet};

const DELIVERED: &str = include_str!("../../../../config/retention.toml");
/// Day on which the second rule set comes into use.
const SECOND: Date = day(2027, 3, 1);

struct Running {
    record: PlanRecord,
    plan: Plan,
    states: Vec<(Date, StudyState)>,
    made: Date,
}

pub(crate) struct Archive {
    history: History,
    rules: RuleSet,
    holds: Holds,
    /// The model's holds: a list on the wall.
    wall: Vec<(HoldId, BTreeSet<usize>, Option<usize>, Date)>,
    cases: BTreeMap<usize, Case>,
    numbers: BTreeMap<StudyRef, usize>,
    running: Vec<Running>,
    plans: usize,
    counted: BTreeMap<&'static str, u64>,
}

fn rule_set(second: bool) -> RuleSet {
    let delivered = DELIVERED.replace("#: ", "");
    if !second {
        return RuleSet::parse(&delivered).expect("first rule set");
    }
    let old = "term = \"10 years\"\nvalid_from = \"2025-07-01\"";
    let new = format!("{old}\nvalid_to = \"2030-12-31\"");
    let more = "
[[class]]
id = \"INOUT\"
vi = \"x\"
en = \"x\"
law = \"a law to come\"
term = \"15 years\"
valid_from = \"2031-01-01\"
[[rule]]
id = \"mammography\"
class = \"COSMETIC\"
vi = \"x\"
en = \"x\"
facility = [\"56002\"]
modality = [\"MG\"]
age_from = 40
valid_from = \"2028-01-01\"
valid_to = \"2033-12-31\"
[[rule]]
id = \"accidents-here\"
class = \"DEATH\"
vi = \"x\"
en = \"x\"
facility = [\"56001\"]
linked = [\"PSY_ACC\"]
made_from = \"2030-01-01\"
";
    let text = delivered.replace("version = 1\n", "version = 2\n").replace(old, &new) + more;
    RuleSet::parse(&text).expect("second rule set")
}

fn ms(date: Date) -> u64 {
    date.start_ms() + DAY_MS / 3
}

impl Archive {
    pub(crate) fn new(history: History) -> Self {
        Self {
            history,
            rules: rule_set(false),
            holds: Holds::new(),
            wall: Vec::new(),
            cases: BTreeMap::new(),
            numbers: BTreeMap::new(),
            running: Vec::new(),
            plans: 0,
            counted: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counted.entry(what).or_default() += 1;
    }

    pub(crate) fn morning(&mut self, today: Date, random: &mut Rng) {
        if today == SECOND {
            let second = rule_set(true);
            second.may_follow(&self.rules, today).expect("a sound successor");
            self.rules = second;
        }
        for (number, event) in self.history.events.remove(&today).unwrap_or_default() {
            self.happens(number, &event, today, random);
        }
        let ends =
            |hold: &(HoldId, BTreeSet<usize>, Option<usize>, Date)| hold.3 == today && today <= crate::history::LAST;
        let ended: Vec<HoldId> = self.wall.iter().filter(|hold| ends(hold)).map(|hold| hold.0.clone()).collect();
        self.wall.retain(|hold| !ends(hold));
        for hold in ended {
            let by = Person::parse("Hoa").expect("name");
            let release = HoldRelease { hold, by, reason: "closed".into(), at: ms(today), seal: None };
            self.holds.check_release(&release).expect("a standing hold");
            self.holds.apply_release(release);
        }
        let wall_day = wall(today);
        self.cases.values_mut().filter(|case| case.here).for_each(|case| case.sheet.morning(wall_day));
    }

    pub(crate) fn evening(&mut self, today: Date) {
        let wall_day = wall(today);
        self.cases.values_mut().filter(|case| case.here).for_each(|case| case.sheet.evening(wall_day));
    }

    fn happens(&mut self, number: usize, event: &Event, today: Date, random: &mut Rng) {
        // What came into force while the study was as it is must be seen before it changes.
        self.decide(number, today);
        match event {
            Event::Arrives => self.arrives(number, today),
            Event::HeldStudy | Event::HeldPatient | Event::HeldList => self.hold(number, event, today, random),
            _ => {
                let Some(case) = self.cases.get_mut(&number) else { return };
                let study = &self.history.studies[number];
                case.happens(event, today, study, &self.history.people[study.person]);
            }
        }
        self.decide(number, today);
    }

    fn decide(&mut self, number: usize, today: Date) {
        let Some(case) = self.cases.get_mut(&number).filter(|case| case.here) else { return };
        let decision = self.rules.decide(&case.facts(today), case.decision.as_ref());
        case.decision = Some(decision);
        case.sheet.morning(wall(today));
    }

    fn arrives(&mut self, number: usize, today: Date) {
        let study = &self.history.studies[number];
        let person = &self.history.people[study.person];
        let text = |date: Option<Date>| date.map_or(String::new(), |date| date.to_string().replace('-', ""));
        let attributes = [
            (key::STUDY_DATE, study.written.clone()),
            (key::PATIENT_BIRTH_DATE, text(person.birth)),
            (key::STUDY_DESCRIPTION, study.description.into()),
            (key::REQUESTING_SERVICE, study.service.into()),
        ];
        let facility = FacilityCode::parse(study.facility).expect("code");
        let uid = Uid::parse(&format!("1.2.{number}")).expect("uid");
        let made = study.made.unwrap_or(today);
        let sheet = Sheet::new(wall(made.min(today)), wall(today), wall(made));
        let mut case = Case {
            study: StudyRef { facility, study: uid, patient: 0 },
            patients: vec![PatientRef { issuer: "P".into(), id: study.person.to_string() }],
            attributes: attributes.into(),
            modalities: vec![study.modality.into()],
            received: (today, today),
            work_ended: None,
            linked: Vec::new(),
            died: None,
            destroyed_before: None,
            decision: None,
            version: StudyVersion { through: 1, fact: 0 },
            hidden_by: None,
            here: true,
            changed: today,
            touched: today,
            good_date: study.made.is_some(),
            sheet,
        };
        case.sheet.by_rule = case.rules(study, person);
        let (mut past, now) = (case.sheet.first, wall(today));
        while past < now {
            case.sheet.morning(past);
            case.sheet.evening(past);
            past = crate::tally::tomorrow(past);
        }
        self.numbers.insert(case.study.clone(), number);
        self.cases.insert(number, case);
    }

    fn hold(&mut self, number: usize, event: &Event, today: Date, random: &mut Rng) {
        let Some(case) = self.cases.get(&number) else { return };
        let id = HoldId::parse(&format!("H-{}", self.holds.all().count())).expect("id");
        let person = self.history.studies[number].person;
        let (target, studies, patient) = match event {
            Event::HeldStudy => (HoldTarget::Study(case.study.clone()), BTreeSet::from([number]), None),
            // Of a merged patient either number may be held.
            Event::HeldPatient => {
                let patient = &case.patients[random.usize(0..case.patients.len())];
                let own = patient.issuer == "P";
                let studies = if own { BTreeSet::new() } else { BTreeSet::from([number]) };
                (HoldTarget::Patient(patient.clone()), studies, own.then_some(person))
            }
            _ => {
                let numbers: BTreeSet<usize> = self.cases.keys().copied().filter(|_| random.u8(0..100) == 0).collect();
                let numbers = &numbers | &BTreeSet::from([number]);
                let studies = numbers.iter().filter_map(|n| self.cases.get(n)).map(|c| c.study.clone()).collect();
                (HoldTarget::Studies { query: "q".into(), studies }, numbers, None)
            }
        };
        let name = Person::parse("Hoa").expect("name");
        let (owner, made_by) = (name.clone(), name);
        let hold =
            Hold { id: id.clone(), target, reason: "CV 1".into(), owner, made_by, made_at: ms(today), seal: None };
        self.holds.check(&hold).expect("a sound hold");
        self.holds.apply(hold);
        self.wall.push((id, studies, patient, today.plus_days(random.i64(1..3_000))));
    }

    fn is_held(&self, number: usize) -> bool {
        let person = self.history.studies[number].person;
        let odd = self.cases[&number].sheet.records.iter().any(|(class, _)| *class == "ODD");
        odd || self.wall.iter().any(|(_, studies, patient, _)| studies.contains(&number) || *patient == Some(person))
    }

    pub(crate) fn plan(&mut self, today: Date, random: &mut Rng) {
        let plan = PlanId::parse(&format!("plan-{}", self.plans)).expect("id");
        self.plans += 1;
        let made_by = Person::parse("Lan").expect("name");
        let (form, undo_days, rules) = (PlanHead::FORM, 30, self.rules.version());
        let head = PlanHead { form, plan: plan.clone(), as_of: today, made_by, undo_days, rules };
        let candidates = self.cases.values().filter(|case| case.here).map(|case| case.candidate(today));
        let made = Plan::make(head, &self.rules, &self.holds, candidates);
        self.agree(&made, today);
        let by = Person::parse("Minh").expect("name");
        let digest = made.summary.digest;
        let mut record = PlanRecord::new(made.head.clone(), digest);
        let approval =
            PlanApproval { plan: plan.clone(), digest, by: by.clone(), remark: String::new(), at: ms(today) };
        record.state = record.approve(&approval).expect("a second person");
        record.state = record.begin(&Begun { plan, digest, by, at: ms(today) }).expect("approved");
        let states: Vec<_> =
            made.entries.iter().map(|_| (today.plus_days(random.i64(0..25)), StudyState::Planned)).collect();
        // Just now, while the plan is under way, things happen to some of its studies.
        for entry in &made.entries {
            if random.u8(0..25) != 0 {
                continue;
            }
            let when = today.plus_days(random.i64(0..60)).min(crate::history::LAST);
            if when > today {
                let event = match random.u8(0..6) {
                    0 => Event::Late(random.bool().then(|| when.plus_days(-1))),
                    1 => Event::Linked(crate::history::class(random), None),
                    2 => Event::Merged,
                    3 => Event::Rejected,
                    4 => Event::HeldStudy,
                    _ => Event::HeldPatient,
                };
                self.history.events.entry(when).or_default().push((self.numbers[&entry.study], event));
            }
        }
        self.running.push(Running { record, plan: made, states, made: today });
    }

    /// The plan and the model name the same studies.
    fn agree(&self, plan: &Plan, today: Date) {
        let due: BTreeSet<usize> = plan.entries.iter().map(|entry| self.numbers[&entry.study]).collect();
        let held: BTreeSet<usize> = plan.held.iter().map(|entry| self.numbers[&entry.study]).collect();
        let wall_day = wall(today);
        for (number, case) in self.cases.iter().filter(|(_, case)| case.here) {
            let paid = case.hidden_by.is_none() && case.sheet.is_paid(wall_day);
            let stays = paid && self.is_held(*number);
            let told = || {
                let sheet = case.sheet.told();
                format!("study {number} on {today}: paid {paid}, held {stays}, {sheet}: {:?}", case.decision)
            };
            assert_eq!(due.contains(number), paid && !stays, "{}", told());
            assert_eq!(held.contains(number), stays, "{}", told());
        }
    }

    pub(crate) fn execute(&mut self, today: Date, random: &mut Rng, undo: bool) {
        let mut running = std::mem::take(&mut self.running);
        for one in &mut running {
            let Running { record, plan, states, made } = one;
            for (entry, (when, state)) in plan.entries.iter().zip(states.iter_mut()).filter(|(_, s)| s.0 == today) {
                match state {
                    StudyState::Planned => self.hide(record, entry, (when, state), *made, today, random),
                    StudyState::Hidden { .. } if undo && random.u8(0..100) == 0 => {
                        *state = record.restore(state).expect("hidden");
                        self.show(&entry.study);
                        self.count("restored");
                    }
                    StudyState::Hidden { .. } => self.destroy(record, entry, (when, state), *made, today),
                    _ => {}
                }
            }
        }
        let (done, going): (Vec<_>, Vec<_>) = running.into_iter().partition(|one| {
            one.states.iter().all(|(_, s)| !matches!(s, StudyState::Planned | StudyState::Hidden { .. }))
        });
        for one in done {
            assert!(matches!(one.record.finish(), Ok(PlanState::Executed(..))));
        }
        self.running.extend(going);
    }

    fn hide(
        &mut self,
        record: &PlanRecord,
        entry: &PlanEntry,
        (when, state): (&mut Date, &mut StudyState),
        made: Date,
        today: Date,
        random: &mut Rng,
    ) {
        let now = self.now(&entry.study, today);
        match record.hide(entry, state, now.as_ref(), ms(today)) {
            Ok(hidden) => {
                self.was_right(&entry.study, made, today);
                *state = hidden;
                *when = today.plus_days([1, 29, 30, 31][random.usize(0..4)]);
                let number = self.numbers[&entry.study];
                self.cases.get_mut(&number).expect("case").hidden_by = Some(record.head.plan.clone());
            }
            Err(refusal) => *state = self.refused(entry, refusal, made, today),
        }
    }

    fn destroy(
        &mut self,
        record: &PlanRecord,
        entry: &PlanEntry,
        (when, state): (&mut Date, &mut StudyState),
        made: Date,
        today: Date,
    ) {
        let now = self.now(&entry.study, today);
        match record.destroy(entry, state, now.as_ref(), ms(today)) {
            Ok(destroyed) => {
                self.was_right(&entry.study, made, today);
                *state = destroyed;
                let case = self.cases.get_mut(&self.numbers[&entry.study]).expect("case");
                (case.here, case.hidden_by, case.decision) = (false, None, None);
                case.destroyed_before = Some(today);
                self.count("destroyed");
            }
            Err(Refusal::UndoWindow { until }) => {
                assert!(ms(today) < until);
                *when = Date::of_ms(until);
                self.count("undo window");
            }
            Err(refusal) => {
                self.show(&entry.study);
                *state = self.refused(entry, refusal, made, today);
            }
        }
    }

    fn show(&mut self, study: &StudyRef) {
        self.cases.get_mut(&self.numbers[study]).expect("case").hidden_by = None;
    }

    fn now(&self, study: &StudyRef, today: Date) -> Option<StudyNow> {
        let case = self.cases.get(&self.numbers[study]).filter(|case| case.here)?;
        let decision = self.rules.decide(&case.facts(today), case.decision.as_ref());
        let holds = self.holds.held_by(&case.study, &case.patients);
        Some(StudyNow::new(case.version, &decision, holds, case.hidden_by.clone()))
    }

    /// The model agrees that the study may go, nothing happened to it, and nobody holds it.
    fn was_right(&self, study: &StudyRef, made: Date, today: Date) {
        let number = self.numbers[study];
        let case = &self.cases[&number];
        assert!(case.sheet.is_paid(wall(today)), "EARLY: study {number} on {today}: {:?}", case.decision);
        assert!(!self.is_held(number), "HELD: study {number} on {today}");
        assert!(case.changed <= made, "CHANGED on {}: study {number} planned {made}, {today}", case.changed);
    }

    /// A refusal has a cause that the model sees, too.
    fn refused(&mut self, entry: &PlanEntry, refusal: Refusal, made: Date, today: Date) -> StudyState {
        assert!(refusal.takes_out(), "{refusal}");
        let number = self.numbers[&entry.study];
        let case = &self.cases[&number];
        let (paid, held) = (case.sheet.is_paid(wall(today)), self.is_held(number));
        // A row or rule that came into force meanwhile may give a longer term that is over, too.
        let began =
            [20250701, 20260101, 20270301, 20280101, 20310101].iter().any(|d| wall(made) < *d && *d <= wall(today));
        let (what, cause) = match &refusal {
            Refusal::NewHold { .. } => ("new hold", held),
            Refusal::Unclear => ("unclear", held),
            Refusal::LateArrival { .. } => ("late arrival", case.changed > made),
            Refusal::StudyChanged { .. } => ("merge or rejection", case.changed > made),
            Refusal::ClassRise { .. } => ("class rise", !paid || case.touched > made || began),
            Refusal::HiddenByOther { .. } => ("hidden by another plan", case.hidden_by.is_some()),
            _ => ("gone", !case.here),
        };
        assert!(cause, "no cause: {refusal}, study {number}, planned {made}, today {today}");
        self.count(what);
        StudyState::TakenOut(refusal)
    }

    /// Nothing that could go is still here, unless a plan of the last days is still about it.
    pub(crate) fn nothing_is_left(&mut self) {
        assert_eq!(self.running.len(), 1, "every plan but the last is executed");
        let last = self.running.pop().expect("the last plan");
        let spared: Vec<&StudyRef> = last.plan.entries.iter().map(|entry| &entry.study).collect();
        assert!(spared.is_empty(), "FORGOTTEN: {spared:?}");
    }

    pub(crate) fn report(&self) -> String {
        let here = self.cases.values().filter(|case| case.here).count();
        format!("{} plans, {} holds, {here} studies kept; {:?}", self.plans, self.holds.all().count(), self.counted)
    }

    /// A run in which a kind of event never came proves nothing about it.
    pub(crate) fn everything_happened(&self) {
        for what in [
            "destroyed",
            "restored",
            "undo window",
            "new hold",
            "late arrival",
            "merge or rejection",
            "class rise",
            "hidden by another plan",
        ] {
            assert!(self.counted.get(what).is_some_and(|n| *n > 0), "{what} never happened");
        }
    }
}
