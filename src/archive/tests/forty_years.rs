//! Forty years through the service: studies arrive, go on, are linked, held, rejected, planned, hidden and destroyed
//! while a clock is turned; the model (`model/tests/forty_years/tally.rs`) keeps its sheets beside it.
//!
//! At every plan both must name the same studies; nothing is destroyed that the model would keep (early), and in the
//! end nothing is left that it would let go (forgotten). `KHOANH_SEED` repeats a run, `KHOANH_STUDIES` makes it larger.
//! Deliberately not here: merges of patients, which the archive does not have yet; packs and tiers.

use super::retain::{Hand, person, study};
use super::*;
use crate::retain::PlanQuestion;
use fastrand::Rng;
use index::StudyKey;
use model::date::Date;
use model::retention::plan::PlanReader;
use model::retention::record::RejectReason;
use model::retention::{
    ClassId, Hold, HoldId, HoldTarget, LinkedRecord, PatientRef, PlanId, PlanLine, PlanState, StudyRef,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tally::{Day, Sheet, tomorrow};

mod history;
#[path = "../../model/tests/forty_years/tally.rs"]
mod tally;

use history::{Event, FIRST, LAST, Made, SECOND, day, rules_fit, rules_text, wall};

/// Days on which a row or a rule begins.
const BEGINNINGS: [Day; 5] = [20_250_701, 20_260_101, 20_270_301, 20_280_101, 20_310_101];

/// Whom a hold names.
enum Named {
    Studies(BTreeSet<usize>),
    Patient(usize, &'static str),
}

/// One study with its sheet.
struct Case {
    made: Made,
    key: StudyRef,
    received: (Date, Date),
    modalities: BTreeSet<&'static str>,
    service: &'static str,
    instances: u32,
    here: bool,
    reborn: bool,
    sheet: Sheet,
}

struct Years {
    bench: Bench,
    hand: Arc<Hand>,
    events: BTreeMap<Date, Vec<(usize, Event)>>,
    waiting: Vec<Option<Made>>,
    deaths: BTreeMap<usize, Date>,
    cases: BTreeMap<usize, Case>,
    holds: Vec<(HoldId, Named, Date)>,
    plans: Vec<(PlanId, Vec<usize>)>,
    counted: BTreeMap<&'static str, u64>,
}

fn number(key: &StudyRef) -> usize {
    key.study.as_str().rsplit('.').next().and_then(|last| last.parse().ok()).expect("a number")
}

impl Years {
    fn new(studies: usize, random: &mut Rng) -> Self {
        let hand = Arc::new(Hand(AtomicU64::new(FIRST.start_ms())));
        let clock = hand.clone();
        let bench = Bench::with(|options| {
            options.clock = clock;
            options.quiet_after = Duration::ZERO;
            options.packs.enabled = false;
            options.retention.rules = rules_text(false);
            options.retention.studies_per_second = 1_000_000;
        });
        // Every step is taken by the test, so that it knows what came first.
        bench.archive.retention().paused.store(true, Ordering::Relaxed);
        let (made, events) = history::make(studies, random);
        let waiting = made.into_iter().map(Some).collect();
        let (deaths, cases, counted) = Default::default();
        Self { bench, hand, events, waiting, deaths, cases, holds: Vec::new(), plans: Vec::new(), counted }
    }

    fn count(&mut self, what: &'static str) {
        *self.counted.entry(what).or_default() += 1;
    }

    fn day_goes_by(&mut self, today: Date, random: &mut Rng) {
        self.hand.0.store(today.start_ms() + 8 * 3_600_000, Ordering::Relaxed);
        self.end_holds(today);
        let mut touched = BTreeSet::new();
        for (number, event) in self.events.remove(&today).unwrap_or_default() {
            self.happens(number, &event, today, random);
            touched.insert(number);
        }
        if !touched.is_empty() {
            crate::worker::quiet_round(&self.bench.archive).expect("quiet");
        }
        let begins = BEGINNINGS.contains(&wall(today));
        for (number, case) in self.cases.iter_mut().filter(|(_, case)| case.here) {
            if begins || touched.contains(number) {
                case.sheet.morning(wall(today));
            }
        }
    }

    fn evening(&mut self, today: Date) {
        self.cases.values_mut().filter(|case| case.here).for_each(|case| case.sheet.evening(wall(today)));
    }

    fn end_holds(&mut self, today: Date) {
        let ends = |hold: &(HoldId, Named, Date)| hold.2 == today && today <= LAST;
        let ended: Vec<HoldId> = self.holds.iter().filter(|hold| ends(hold)).map(|hold| hold.0.clone()).collect();
        self.holds.retain(|hold| !ends(hold));
        for hold in ended {
            self.bench.archive.release_hold(hold, person("Hoa"), "closed".into()).expect("released");
        }
    }

    fn happens(&mut self, number: usize, event: &Event, today: Date, random: &mut Rng) {
        let archive = self.bench.archive.clone();
        if let Event::Arrives = event {
            return self.arrives(number, today);
        }
        let Some(case) = self.cases.get_mut(&number) else { return };
        let (key, who) = (case.key.clone(), case.made.person);
        match event {
            Event::Late(named, modality, service) => self.late(number, (*named, modality, service), today),
            Event::Dies(on) => {
                let patient = |facility: &&str| PatientRef { issuer: (*facility).into(), id: format!("P{who}") };
                for patient in history::FACILITIES.iter().map(patient) {
                    archive.record_death(patient, *on, person("Hoa")).expect("recorded");
                }
                self.deaths.insert(who, *on);
                let same = |case: &&mut Case| case.made.person == who;
                self.cases.values_mut().filter(same).for_each(|case| case.sheet.died = wall(*on));
            }
            Event::Held(kind) => self.hold(number, *kind, today, random),
            _ if !case.here => {}
            Event::Linked(class, ended) => {
                let record = LinkedRecord { class: ClassId::parse(class).expect("class"), ended: *ended };
                archive.link_record(&key, record, person("HIS"), "message".into()).expect("linked");
                case.sheet.link(class, ended.map_or(0, wall), wall(today));
                case.rules_change(today);
            }
            Event::Unlinked(class) => {
                let class_id = ClassId::parse(class).expect("class");
                archive.unlink_record(&key, class_id, person("HIS"), "wrong".into()).expect("unlinked");
                case.sheet.records.retain(|(linked, _)| linked != class);
                case.rules_change(today);
            }
            Event::Rejected => {
                let sop = uid(&format!("1.2.3.{number}.1.1"));
                let series = uid(&format!("1.2.3.{number}.1"));
                let named = (&key.study, &series, &sop);
                // The first object may have gone with its study, or be rejected already.
                let _ = archive.reject_instance(key.facility, named, RejectReason::Quality, person("Hoa"));
            }
            Event::Arrives => {}
        }
    }

    fn arrives(&mut self, number: usize, today: Date) {
        let made = self.waiting[number].take().expect("arrives once");
        let facility = FacilityCode::parse(made.facility).expect("code");
        let key = StudyRef { facility, ..study(&format!("1.2.3.{number}")) };
        let first = made.good.map_or(today, |good| good.min(today));
        let sheet = Sheet::new(wall(first), wall(today), wall(made.good.unwrap_or(today)));
        let modalities = BTreeSet::from([made.modality]);
        let (service, received) = (made.service, (today, today));
        let mut case =
            Case { made, key, received, modalities, service, instances: 0, here: true, reborn: false, sheet };
        case.sheet.died = self.deaths.get(&case.made.person).copied().map_or(0, wall);
        case.sheet.by_rule = rules_fit(&case);
        let (mut past, now) = (case.sheet.first, wall(today));
        while past < now {
            case.sheet.morning(past);
            case.sheet.evening(past);
            past = tomorrow(past);
        }
        case.store(&self.bench, None, case.made.modality);
        self.cases.insert(number, case);
    }

    fn late(&mut self, number: usize, what: (Option<Date>, &'static str, &'static str), today: Date) {
        let (named, modality, service) = what;
        let Some(case) = self.cases.get_mut(&number) else { return };
        let now = wall(today);
        if !case.here {
            (case.here, case.reborn, case.received) = (true, true, (today, today));
            (case.modalities, case.service) = (BTreeSet::new(), "");
            case.sheet.records.clear();
            case.sheet.by_rule.clear();
            case.sheet.begins_anew(now);
        }
        if case.service.is_empty() {
            case.service = service;
        }
        case.modalities.insert(modality);
        case.received.1 = today;
        case.store(&self.bench, named, modality);
        let own_date = case.made.good.is_some() && !case.reborn;
        if let Some(day) = if own_date { named } else { Some(today) } {
            case.sheet.work_went_on(wall(day), now);
        }
        case.rules_change(today);
        self.count("late");
    }

    fn hold(&mut self, number: usize, kind: u8, today: Date, random: &mut Rng) {
        let case = &self.cases[&number];
        let id = HoldId::parse(&format!("H-{}-{number}-{kind}", wall(today))).expect("id");
        let (who, facility) = (case.made.person, case.made.facility);
        let (target, named) = match kind {
            0 => (HoldTarget::Study(case.key.clone()), Named::Studies(BTreeSet::from([number]))),
            1 => {
                let patient = PatientRef { issuer: facility.into(), id: format!("P{who}") };
                (HoldTarget::Patient(patient), Named::Patient(who, facility))
            }
            _ => {
                let some: BTreeSet<usize> = self.cases.keys().copied().filter(|_| random.u8(0..50) == 0).collect();
                let some = &some | &BTreeSet::from([number]);
                let studies = some.iter().map(|number| self.cases[number].key.clone()).collect();
                (HoldTarget::Studies { query: "q".into(), studies }, Named::Studies(some))
            }
        };
        let (owner, made_by) = (person("Toa an"), person("Hoa"));
        let hold = Hold {
            id: id.clone(),
            target,
            reason: "CV 1".into(),
            owner,
            made_by,
            made_at: today.start_ms(),
            seal: None,
        };
        if self.bench.archive.make_hold(hold).is_ok() {
            self.holds.push((id, named, today.plus_days(random.i64(1..3_000))));
            self.count("holds");
        }
    }

    fn is_held(&self, number: usize) -> bool {
        let case = &self.cases[&number];
        let odd = case.sheet.records.iter().any(|(class, _)| *class == "ODD");
        odd || self.holds.iter().any(|(_, named, _)| match named {
            Named::Studies(studies) => studies.contains(&number),
            Named::Patient(who, facility) => case.made.person == *who && case.made.facility == *facility,
        })
    }

    /// Makes a plan, compares it with the sheets, and begins it.
    fn plan(&mut self, today: Date) -> usize {
        let archive = &self.bench.archive;
        let rules = Some(rules_text(today >= SECOND));
        let question = PlanQuestion { as_of: today, facility: None, rules, by: person("Lan"), record: true };
        let made = archive.plan_retention(&question, &AtomicBool::new(false), &mut |_, _| {}).expect("a plan");
        let (mut due, mut held, mut reader) = (BTreeSet::new(), BTreeSet::new(), PlanReader::new());
        for line in std::fs::read_to_string(&made.path).expect("the plan").lines() {
            match reader.line(line).expect("sound") {
                PlanLine::Due(entry) => drop(due.insert(number(&entry.study))),
                PlanLine::Held(entry) => drop(held.insert(number(&entry.study))),
                _ => {}
            }
        }
        for (number, case) in self.cases.iter().filter(|(_, case)| case.here) {
            let row = archive.index().study(&StudyKey::from(&case.key)).expect("index").expect("it is here");
            let paid = row.hidden_by.is_none() && case.sheet.is_paid(wall(today));
            let stays = paid && self.is_held(*number);
            let told = || {
                let facts = archive.index().retention_of(&StudyKey::from(&case.key)).expect("index");
                let sheet = case.sheet.told();
                format!(
                    "study {number} on {today}: paid {paid}, held {stays}, {sheet}; {:?}; {facts:#?}",
                    row.hidden_by
                )
            };
            assert_eq!(due.contains(number), paid && !stays, "due: {}", told());
            assert_eq!(held.contains(number), stays, "held: {}", told());
        }
        let plan = made.summary.head.plan;
        archive.approve_plan(&plan, person("Minh"), "QD".into()).expect("approved");
        archive.begin_plan(&plan, person("Minh")).expect("begun");
        let found = due.len();
        self.plans.push((plan, due.into_iter().collect()));
        found
    }

    /// Takes every plan as far as it goes today, and looks at what it destroyed.
    fn execute(&mut self, today: Date, random: &mut Rng) {
        if self.plans.is_empty() {
            return;
        }
        let archive = self.bench.archive.clone();
        archive.execute_now().expect("executes");
        let planned: BTreeSet<usize> = self.plans.iter().flat_map(|(_, studies)| studies).copied().collect();
        for number in planned {
            let Some(case) = self.cases.get(&number).filter(|case| case.here) else { continue };
            match archive.index().study(&StudyKey::from(&case.key)).expect("index") {
                Some(row) if row.hidden_by.is_some() && today < LAST && random.u8(0..200) == 0 => {
                    archive.restore_study(&case.key, person("Hoa"), "asked".into()).expect("restored");
                    self.count("restored");
                }
                Some(_) => {}
                None => {
                    assert!(case.sheet.is_paid(wall(today)), "EARLY: study {number} on {today}: {}", case.sheet.told());
                    assert!(!self.is_held(number), "HELD: study {number} on {today}");
                    self.cases.get_mut(&number).expect("case").here = false;
                    self.count("destroyed");
                }
            }
        }
        self.plans.retain(|(plan, _)| {
            let state = archive.retention_plan(plan).expect("plan").record.state;
            matches!(state, PlanState::Executing(..))
        });
    }
}

impl Case {
    fn rules_change(&mut self, today: Date) {
        let rules = rules_fit(self);
        self.sheet.rules_change(rules, wall(today));
    }

    /// Sends one more object of the study.
    fn store(&mut self, bench: &Bench, named: Option<Date>, modality: &str) {
        self.instances += 1;
        let key = &self.key.study;
        let series = format!("{key}.{}", self.instances);
        let sop = format!("{series}.1");
        let bytes = history::data_set(self, &series, &sop, named, modality);
        let form = Form::DataSet { sop_class: uid(CT), sop_instance: uid(&sop), transfer_syntax: uid(EXPLICIT_LE) };
        let source = bench.source_of(self.made.facility);
        let mut incoming = bench.archive.receive(&source, Via::CStore, form).expect("begins");
        incoming.write(&bytes).expect("written");
        incoming.finish().expect("stored");
    }
}

fn forty_years(seed: u64, studies: usize) {
    println!("KHOANH_SEED={seed} KHOANH_STUDIES={studies}");
    let mut random = Rng::with_seed(seed);
    let mut years = Years::new(studies, &mut random);
    let (mut today, mut next_plan) = (FIRST, FIRST);
    while today <= LAST {
        years.day_goes_by(today, &mut random);
        if today == next_plan || today == SECOND {
            years.plan(today);
            let new_year = day(today.year() + 1, 1, 1);
            let other = today.plus_days(random.i64(30..250));
            next_plan = if random.bool() { new_year.min(other) } else { other };
        }
        if today == SECOND || today.days() % 6 == 0 {
            years.execute(today, &mut random);
        }
        years.evening(today);
        today = today.plus_days(1);
    }
    // What stands is carried to its end, and what was spared then by one more plan; nothing else happens any more.
    let mut left = 0;
    for _ in 0..3 {
        for _ in 0..80 {
            years.day_goes_by(today, &mut random);
            if today.days() % 6 == 0 {
                years.execute(today, &mut random);
            }
            years.evening(today);
            today = today.plus_days(1);
        }
        left = years.plan(today);
    }
    println!("{} studies kept, {:?}", years.cases.values().filter(|case| case.here).count(), years.counted);
    assert_eq!(left, 0, "FORGOTTEN");
    for what in ["destroyed", "restored", "late", "holds"] {
        assert!(years.counted.get(what).is_some_and(|times| *times > 0), "{what} never happened");
    }
}

#[test]
fn forty_years_through_the_service_destroy_nothing_early_and_forget_nothing() {
    let given = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = given("KHOANH_SEED").unwrap_or_else(|| fastrand::u64(..));
    forty_years(seed, usize::try_from(given("KHOANH_STUDIES").unwrap_or(300)).expect("a number"));
}

/// Study 72 has one mammogram, which is rejected years before a rule on mammography begins.
#[test]
fn a_rule_counts_the_modality_of_an_image_that_was_rejected() {
    forty_years(15_651_491_835_011_116_554, 300);
}
