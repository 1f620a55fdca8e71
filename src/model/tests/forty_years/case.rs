//! One study: what the archive knows of it, and what the archivist writes on his sheet.

use crate::history::{Event, Person, Study, wall};
use crate::tally::{Day, Sheet};
use model::Attributes;
use model::date::Date;
use model::retention::*;

/// A study as the archive knows it, and the model's sheet of it.
pub(crate) struct Case {
    pub(crate) study: StudyRef,
    pub(crate) patients: Vec<PatientRef>,
    pub(crate) attributes: Attributes,
    pub(crate) modalities: Vec<String>,
    pub(crate) received: (Date, Date),
    pub(crate) work_ended: Option<Date>,
    pub(crate) linked: Vec<LinkedRecord>,
    pub(crate) died: Option<Date>,
    pub(crate) destroyed_before: Option<Date>,
    pub(crate) decision: Option<Decision>,
    pub(crate) version: StudyVersion,
    pub(crate) hidden_by: Option<PlanId>,
    pub(crate) here: bool,
    /// When something last happened to it that a plan must notice.
    pub(crate) changed: Date,
    /// When its class may last have risen by a link or a death.
    pub(crate) touched: Date,
    /// Whether its study date is of use.
    pub(crate) good_date: bool,
    pub(crate) sheet: Sheet,
}

impl Case {
    pub(crate) fn facts(&self, today: Date) -> StudyFacts<'_> {
        StudyFacts {
            facility: self.study.facility,
            modalities: &self.modalities,
            attributes: &self.attributes,
            work_ended: self.work_ended,
            received_first: self.received.0,
            received_last: self.received.1,
            linked: &self.linked,
            died: self.died,
            destroyed_before: self.destroyed_before,
            as_of: today,
        }
    }

    pub(crate) fn candidate(&self, today: Date) -> Candidate<'_> {
        Candidate {
            study: &self.study,
            patients: &self.patients,
            version: self.version,
            facts: self.facts(today),
            earlier: self.decision.as_ref(),
            hidden: self.hidden_by.is_some(),
            moved: false,
            instances: 1,
            bytes: TierBytes { journal: 0, hot: 1, cold: 1 },
        }
    }

    pub(crate) fn happens(&mut self, event: &Event, today: Date, study: &Study, person: &Person) {
        let now: Day = wall(today);
        match event {
            Event::Late(named) => self.late(*named, today),
            Event::Linked(class, closed) => {
                let id = ClassId::parse(class).expect("class");
                self.linked.push(LinkedRecord { class: id, ended: *closed });
                let closed = closed.map_or(0, wall);
                if self.here {
                    self.sheet.link(class, closed, now)
                } else {
                    self.sheet.records.push((class, closed))
                }
                self.touched = today;
            }
            Event::Unlinked(class) => {
                self.linked.retain(|record| record.class.as_str() != *class);
                self.sheet.records.retain(|(linked, _)| linked != class);
            }
            Event::Merged => {
                self.patients.push(PatientRef { issuer: "Q".into(), id: self.study.study.to_string() });
                (self.version.fact, self.changed) = (self.version.fact + 1, today);
            }
            Event::Rejected => (self.version.fact, self.changed) = (self.version.fact + 1, today),
            Event::DeathKnown => {
                self.died = person.death.map(|(died, _)| died);
                self.sheet.died = self.died.map_or(0, wall);
                self.touched = today;
            }
            Event::Arrives | Event::HeldStudy | Event::HeldPatient | Event::HeldList => {}
        }
        let rules = self.rules(study, person);
        if self.here { self.sheet.rules_change(rules, now) } else { self.sheet.by_rule = rules }
    }

    /// The rules that fit, as the archivist reads them: class, first and last day in force.
    pub(crate) fn rules(&self, study: &Study, person: &Person) -> Vec<(&'static str, Day, Day)> {
        // Without a good date it may have been made on any day of its receipt.
        let made = match study.made {
            Some(made) if self.destroyed_before.is_none() => (wall(made), wall(made)),
            _ => (wall(self.received.0), wall(self.received.1)),
        };
        let birth = person.birth.map(wall).filter(|birth| *birth <= wall(self.received.0));
        let age = |made: Day| birth.map(|birth| made.saturating_sub(birth) / 10_000);
        let mut rules = Vec::new();
        if study.description.starts_with('T') {
            rules.push(("PSY_ACC", 0, 99999999));
        }
        if study.facility == "56001" && study.modality == "RTPLAN" && age(made.0).is_none_or(|age| age < 16) {
            rules.push(("DEATH", 20260101, 99999999));
        }
        if study.service == "Khám sức khỏe" {
            rules.push(("HEALTHCHECK", 0, 99999999));
        }
        if study.facility == "56002" && study.modality == "MG" && age(made.1).is_none_or(|age| age >= 40) {
            rules.push(("COSMETIC", 20280101, 20331231));
        }
        let accident = self.sheet.records.iter().any(|(class, _)| *class == "PSY_ACC");
        if accident && study.facility == "56001" && made.1 >= 20300101 {
            rules.push(("DEATH", 0, 99999999));
        }
        rules
    }

    fn late(&mut self, named: Option<Date>, today: Date) {
        (self.version.through, self.changed) = (self.version.through + 1, today);
        if !self.here {
            (self.here, self.received, self.work_ended) = (true, (today, today), None);
            self.sheet.begins_anew(wall(today));
        }
        self.received.1 = today;
        self.work_ended = self.work_ended.max(named);
        let own_date = self.good_date && self.destroyed_before.is_none();
        if let Some(day) = if own_date { named } else { Some(today) } {
            self.sheet.work_went_on(wall(day), wall(today));
        }
    }
}
