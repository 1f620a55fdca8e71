//! How long a plan over a million studies takes, and that its memory does not grow with them.
//!
//! `cargo run --release -p khoanh-model --example plan_million -- [studies]`: prints seconds, lines and the highest
//! memory of the process (Linux). The studies are made up one by one, as they would come from the index; every third
//! has an earlier decision, every tenth a linked record; some are held.

use model::attribute::key;
use model::date::Date;
use model::retention::*;
use model::{Attributes, FacilityCode, Uid};
use std::io::{BufWriter, Write};
use std::time::Instant;

const DELIVERED: &str = include_str!("../../../config/retention.toml");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let studies: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let rules = RuleSet::parse(&DELIVERED.replace("#: ", ""))?;
    let person = Person::parse("Lan")?;
    let holds = some_holds(&person, studies)?;
    let head = PlanHead {
        form: PlanHead::FORM,
        plan: PlanId::parse("million").ok_or("name")?,
        as_of: Date::parse("2041-01-15")?,
        made_by: person,
        undo_days: 30,
        rules: rules.version(),
    };
    let path = std::env::temp_dir().join(format!("plan-{}.jsonl", std::process::id()));
    let mut file = BufWriter::new(std::fs::File::create(&path)?);
    let mut sink = |_: &PlanLine, text: &str| writeln!(file, "{text}");
    let before = peak_kib();
    let started = Instant::now();
    let mut planner = Planner::begin(head, &rules, &holds, &mut sink)?;
    let mut made_up = MadeUp::new(&rules)?;
    for number in 0..studies {
        made_up.next(number)?;
        planner.look(&made_up.candidate(number), &mut sink)?;
    }
    let summary = planner.finish(&mut sink)?;
    file.flush()?;
    let took = started.elapsed();
    let bytes = std::fs::metadata(&path)?.len();
    std::fs::remove_file(&path)?;
    println!(
        "{studies} studies in {:.2} s ({:.0} studies/s): {} due, {} held, {bytes} bytes of plan, digest {}",
        took.as_secs_f64(),
        studies as f64 / took.as_secs_f64(),
        summary.totals.due,
        summary.totals.held,
        summary.digest
    );
    println!("highest memory: {before} KiB before, {} KiB after", peak_kib());
    Ok(())
}

fn some_holds(person: &Person, studies: u64) -> Result<Holds, Box<dyn std::error::Error>> {
    let mut holds = Holds::new();
    let pinned: Vec<StudyRef> =
        (0..1_000).map(|n| study(n * (studies / 1_000).max(1) + 7)).collect::<Result<_, _>>()?;
    holds.apply(Hold {
        id: HoldId::parse("H-1").ok_or("id")?,
        target: HoldTarget::Studies { query: "StudyDate=2026".into(), studies: pinned },
        reason: "made up".into(),
        owner: person.clone(),
        made_by: person.clone(),
        made_at: 0,
        seal: None,
    });
    Ok(holds)
}

fn study(number: u64) -> Result<StudyRef, Box<dyn std::error::Error>> {
    let facility = FacilityCode::parse(&format!("{:05}", 56_000 + number % 164))?;
    Ok(StudyRef { facility, study: Uid::parse(&format!("1.2.826.0.1.3680043.10.1.{number}"))?, patient: 0 })
}

/// One study at a time, its memory used again for the next.
struct MadeUp<'a> {
    rules: &'a RuleSet,
    study: StudyRef,
    patients: Vec<PatientRef>,
    attributes: Attributes,
    modalities: Vec<String>,
    linked: Vec<LinkedRecord>,
    received: Date,
    earlier: Option<Decision>,
}

impl<'a> MadeUp<'a> {
    fn new(rules: &'a RuleSet) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self {
            rules,
            study: study(0)?,
            patients: Vec::new(),
            attributes: Attributes::new(),
            modalities: Vec::new(),
            linked: Vec::new(),
            received: Date::MIN,
            earlier: None,
        })
    }

    fn next(&mut self, number: u64) -> Result<(), Box<dyn std::error::Error>> {
        self.study = study(number)?;
        self.received = Date::from_days(20_454 + i64::try_from(number % 5_475)?);
        self.patients = vec![PatientRef { issuer: self.study.facility.to_string(), id: (number / 3).to_string() }];
        let date = self.received.to_string().replace('-', "");
        let description = if number.is_multiple_of(50) { "TNGT - CT sọ não" } else { "CT sọ não không tiêm" };
        self.attributes = [
            (key::STUDY_DATE, if number.is_multiple_of(97) { String::new() } else { date }),
            (key::PATIENT_BIRTH_DATE, format!("{}0517", 1930 + number % 90)),
            (key::STUDY_DESCRIPTION, description.into()),
            (key::REQUESTING_SERVICE, "Khoa cấp cứu".into()),
        ]
        .into();
        self.modalities = vec![["CT", "MR", "CR", "US"][usize::try_from(number % 4)?].into()];
        self.linked.clear();
        if number.is_multiple_of(10) {
            let class = ["INOUT", "DEATH", "HEALTHCHECK", "INCIDENT"][usize::try_from(number / 10 % 4)?];
            self.linked.push(LinkedRecord { class: ClassId::parse(class)?, ended: None });
        }
        self.earlier = number.is_multiple_of(3).then(|| self.rules.decide(&self.candidate(number).facts, None));
        Ok(())
    }

    fn candidate(&self, number: u64) -> Candidate<'_> {
        let facts = StudyFacts {
            facility: self.study.facility,
            modalities: &self.modalities,
            attributes: &self.attributes,
            work_ended: None,
            received_first: self.received,
            received_last: self.received,
            linked: &self.linked,
            died: None,
            destroyed_before: None,
            as_of: self.received,
        };
        Candidate {
            study: &self.study,
            patients: &self.patients,
            version: StudyVersion { through: number, fact: 0 },
            facts,
            earlier: self.earlier.as_ref(),
            hidden: false,
            moved: false,
            instances: 300,
            bytes: TierBytes { journal: 0, hot: 0, cold: 150_000_000 },
        }
    }
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
