//! What a rule set says of one study: the class, the day it is due, and everything that led there.
//!
//! - A class is counted from 31 December of the year in which the work ended (Law on Archives 33/2024, article 15.3).
//!   That is the study's date, or a later date its series or its record name. A date that cannot be true gives way
//!   to the day of receipt, and the decision says so.
//! - A row of the table and a rule concern a study when they were in force on any day between its making and the day
//!   of judgement: what was once promised is kept, what is new also holds for what is here.
//! - The longest applies (article 15.4), and nothing that once applied is forgotten: a decision carries every class of
//!   the one before. So a class can only rise. A mistaken rise is not undone; later decisions say that it is carried.
//! - The default holds for every day on which nothing else gave a class, also when nobody judged the study on that day.
//!
//! Deliberately not here: patient data. A decision keeps dates of the study, class and rule names, nothing of the person.

use super::class::{ClassId, Term};
use super::matching::Fit;
use super::rules::{RuleId, RuleSet, RuleVersion};
use super::subject::{LinkedRecord, StudyFacts};
use crate::attribute::key;
use crate::date::Date;
use serde::{Deserialize, Serialize};

mod note;

pub use note::Note;

/// The first study date that is no mistake: digital images are not older.
pub const STUDY_DATE_FIRST: Date = match Date::new(1970, 1, 1) {
    Some(date) => date,
    None => Date::MIN,
};

/// Days by which a modality's clock and time zone may run ahead of ours.
pub const AHEAD_DAYS_MAX: i64 = 1;

/// When a study may go. Longer is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Due {
    /// This is the last day it must be kept.
    On(Date),
    /// So many years after the patient's death, which is not known: no day can be named yet.
    AfterDeath {
        /// Years after 31 December of the year of death.
        years: u16,
    },
    /// It is kept for ever.
    Never,
}

impl Due {
    /// Whether the last day of keeping lies before a day.
    pub fn passed(&self, today: Date) -> bool {
        matches!(self, Self::On(last) if *last < today)
    }

    /// The last day of keeping, when there is one.
    pub fn last_day(&self) -> Option<Date> {
        match self {
            Self::On(last) => Some(*last),
            Self::AfterDeath { .. } | Self::Never => None,
        }
    }

    /// The day an object lock is set to: the last day of keeping, never before `locked_until`, which stands already.
    /// Without a last day the lock runs `ahead` years from the end of this one and is renewed before it ends: a lock
    /// in compliance mode cannot be taken back, and of a death nobody knows the day.
    pub fn lock_until(&self, today: Date, ahead: u16, locked_until: Option<Date>) -> Date {
        let wanted = self.last_day().unwrap_or_else(|| today.end_of_year().plus_years(ahead));
        locked_until.map_or(wanted, |locked| wanted.max(locked))
    }
}

impl std::fmt::Display for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::On(last) => write!(f, "{last}"),
            Self::AfterDeath { years } => write!(f, "{years} years after death"),
            Self::Never => f.write_str("never"),
        }
    }
}

/// What the years are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The date of the study.
    StudyDate,
    /// A later date that series or instances name.
    WorkEnded,
    /// The day the linked record was closed.
    RecordEnded,
    /// The day of the newest receipt, because the study's own date is of no use.
    Receipt,
}

/// A day and where it comes from. The years run from 31 December of its year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CountedFrom {
    /// The day.
    pub date: Date,
    /// Where it comes from.
    pub basis: Basis,
}

/// One class that applies to the study, or once did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The class.
    pub class: ClassId,
    /// The rule that gave it.
    pub rule: RuleId,
    /// The rule set that rule stood in.
    pub version: RuleVersion,
    /// The term it had.
    pub term: Term,
    /// What it is counted from.
    pub counted_from: CountedFrom,
    /// When this class alone would let the study go.
    pub due: Due,
}

/// What a decision looked at. No patient data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The day of the judgement.
    pub as_of: Date,
    /// The study's date, when it is a real day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study_date: Option<Date>,
    /// Latest date that series or instances name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_ended: Option<Date>,
    /// Day of the first receipt.
    pub received_first: Date,
    /// Day of the newest receipt.
    pub received_last: Date,
    /// Whether a birth date was known and could be true.
    pub birth_known: bool,
    /// Whether a day of death was known and could be true.
    pub death_known: bool,
    /// Modalities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modalities: Vec<String>,
    /// Linked records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub linked: Vec<LinkedRecord>,
}

/// How long a study is kept, and why. Its JSON form is part of the on-disk format: fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The class that keeps it longest.
    pub class: ClassId,
    /// The rule that gave this class.
    pub rule: RuleId,
    /// The rule set in which that rule stood when it did.
    pub version: RuleVersion,
    /// The rule set that was asked for this decision.
    pub asked: RuleVersion,
    /// What the years are counted from.
    pub counted_from: CountedFrom,
    /// When it may go.
    pub due: Due,
    /// What an archivist should know of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Every class that applies or once did, the one above included, by name.
    pub reasons: Vec<Reason>,
    /// What was looked at.
    pub inputs: Inputs,
}

impl Decision {
    /// Whether it differs from an earlier decision in anything but the day it was made: then it is worth recording.
    pub fn is_news_after(&self, earlier: &Self) -> bool {
        let heart = |d: &Self| (d.class.clone(), d.rule.clone(), d.version, d.counted_from, d.due);
        heart(self) != heart(earlier) || self.reasons != earlier.reasons || self.notes != earlier.notes
    }

    /// Whether a person must look before this study can go: a linked record has a class nobody defined.
    pub fn is_unclear(&self) -> bool {
        self.notes.iter().any(|note| matches!(note, Note::UnknownClass { .. }))
    }
}

/// The study's own dates, judged once for all classes.
struct Calendar {
    counted_from: CountedFrom,
    /// The day the study counts as made on. Without a date of its own that may be any day of its receipt: a rule that
    /// fitted when the first image came must not cease to fit when the last one does.
    made: (Date, Date),
    /// Days on which a row or rule must have been in force, both ends included.
    from: Date,
    to: Date,
    /// On the first and the last of those days.
    age: Option<(u16, u16)>,
    died: Option<Date>,
    study_date: Option<Date>,
    birth_known: bool,
}

impl RuleSet {
    /// Judges a study. `earlier` is the decision that stands, if there is one: what it said is never shortened.
    ///
    /// Whoever changes what is known of a study (takes back a link, corrects an attribute) judges it before and after:
    /// a row or rule may have come into force since the last decision, and what it gave the study as it was stays.
    pub fn decide(&self, study: &StudyFacts<'_>, earlier: Option<&Decision>) -> Decision {
        let mut notes = Vec::new();
        let calendar = Calendar::of(study, &mut notes);
        let mut fresh = Vec::new();
        // First day on which something gave a class.
        let mut classed: Option<Date> = None;
        for record in study.linked {
            let counted = calendar.record_end(study, record, &mut notes);
            let rule = RuleId::reserved(RuleId::LINKED);
            if self.rows(&record.class).next().is_none() {
                notes.push(Note::UnknownClass { class: record.class.clone() });
                continue;
            }
            match self.propose((&record.class, &rule), counted, calendar.life(), calendar.died, &mut fresh) {
                Some(since) => classed = Some(classed.map_or(since, |first| first.min(since))),
                None => notes.push(Note::ClassNotInForce { class: record.class.clone() }),
            }
        }
        for rule in self.rules.iter().filter(|rule| rule.valid.touches(calendar.from, calendar.to)) {
            let fit = rule.when.fit(study, calendar.age, calendar.made);
            if fit == Fit::No {
                continue;
            }
            if fit == Fit::AgeUnknown {
                notes.push(Note::AgeUnknown { rule: rule.id.clone() });
            }
            let named = (&rule.class, &rule.id);
            match self.propose(named, calendar.counted_from, calendar.life(), calendar.died, &mut fresh) {
                Some(since) => {
                    let since = rule.valid.from.map_or(since, |from| from.max(since));
                    classed = Some(classed.map_or(since, |first| first.min(since)));
                }
                None => notes.push(Note::ClassNotInForce { class: rule.class.clone() }),
            }
        }
        if let Some(bare) = calendar.days_without_class(study.received_first, classed) {
            let rule = RuleId::reserved(RuleId::DEFAULT);
            self.propose((&self.default, &rule), calendar.counted_from, bare, calendar.died, &mut fresh);
        }
        self.conclude(study, earlier, &calendar, notes, fresh)
    }

    /// Adds the rows of a class that were in force on a day of a span; tells the first such day.
    fn propose(
        &self,
        (class, rule): (&ClassId, &RuleId),
        counted_from: CountedFrom,
        (from, to): (Date, Date),
        died: Option<Date>,
        reasons: &mut Vec<Reason>,
    ) -> Option<Date> {
        let mut first: Option<Date> = None;
        for row in self.rows(class).filter(|row| row.valid.touches(from, to)) {
            let since = row.valid.from.map_or(from, |begin| begin.max(from));
            first = Some(first.map_or(since, |known| known.min(since)));
            let due = due(row.term, counted_from.date, died);
            let (class, rule, version) = (class.clone(), rule.clone(), self.version);
            keep_longest(reasons, Reason { class, rule, version, term: row.term, counted_from, due });
        }
        first
    }

    fn conclude(
        &self,
        study: &StudyFacts<'_>,
        earlier: Option<&Decision>,
        calendar: &Calendar,
        mut notes: Vec<Note>,
        fresh: Vec<Reason>,
    ) -> Decision {
        let mut reasons: Vec<Reason> =
            earlier.into_iter().flat_map(|decision| &decision.reasons).map(|reason| calendar.carry(reason)).collect();
        for reason in &fresh {
            keep_longest(&mut reasons, reason.clone());
        }
        reasons.sort_by(|a, b| (&a.class, a.due).cmp(&(&b.class, b.due)));
        let before = earlier.map(|decision| &decision.class);
        // Of equally long classes the one that stood before stays, then the first by name.
        let longest = reasons.iter().rev().max_by_key(|reason| (reason.due, before == Some(&reason.class)));
        let longest = longest.cloned().unwrap_or_else(|| self.kept_for_ever(calendar));
        if !fresh.iter().any(|reason| reason.class == longest.class && reason.due >= longest.due) {
            notes.push(Note::Carried { class: longest.class.clone(), version: longest.version.number });
        }
        let inputs = Inputs {
            as_of: study.as_of,
            study_date: calendar.study_date,
            work_ended: study.work_ended,
            received_first: study.received_first,
            received_last: study.received_last,
            birth_known: calendar.birth_known,
            death_known: calendar.died.is_some(),
            modalities: study.modalities.to_vec(),
            linked: study.linked.to_vec(),
        };
        let Reason { class, rule, version, counted_from, due, .. } = longest;
        Decision { class, rule, version, asked: self.version, counted_from, due, notes, reasons, inputs }
    }

    /// What a study without any class would get. A parsed rule set has a default on every day, so it has none such.
    fn kept_for_ever(&self, calendar: &Calendar) -> Reason {
        Reason {
            class: self.default.clone(),
            rule: RuleId::reserved(RuleId::DEFAULT),
            version: self.version,
            term: Term::Permanent,
            counted_from: calendar.counted_from,
            due: Due::Never,
        }
    }
}

/// Adds a reason, or lets it take the place of a shorter one of the same class and term. Other terms of a class stand
/// beside it: which of them is longer may change when work goes on or a death becomes known.
fn keep_longest(reasons: &mut Vec<Reason>, reason: Reason) {
    match reasons.iter_mut().find(|kept| kept.class == reason.class && kept.term == reason.term) {
        Some(kept) if kept.due < reason.due => *kept = reason,
        Some(_) => {}
        None => reasons.push(reason),
    }
}

/// The last day of a term; the years run from 31 December.
fn due(term: Term, counted: Date, died: Option<Date>) -> Due {
    match (term, died) {
        (Term::Permanent, _) => Due::Never,
        (Term::Years(years), _) => Due::On(counted.end_of_year().plus_years(years)),
        (Term::AfterDeath(years), None) => Due::AfterDeath { years },
        // Images made after death belong to a file that ends with them.
        (Term::AfterDeath(years), Some(died)) => Due::On(died.max(counted).end_of_year().plus_years(years)),
    }
}

impl Calendar {
    fn of(study: &StudyFacts<'_>, notes: &mut Vec<Note>) -> Self {
        let text = |key| study.attributes.get(&key).map_or("", String::as_str);
        let latest = study.received_last.plus_days(AHEAD_DAYS_MAX);
        let birth = Date::parse_da(crate::query::first(text(key::PATIENT_BIRTH_DATE)));
        let birth_known = birth.is_some_and(|birth| birth <= study.received_first);
        if birth.is_some() && !birth_known {
            notes.push(Note::BirthDateIgnored);
        }
        let birth = birth.filter(|_| birth_known);
        let written = crate::query::first(text(key::STUDY_DATE));
        let own = own_date(written, birth, study);
        let received = CountedFrom { date: study.received_last, basis: Basis::Receipt };
        let receipt = (study.received_first, study.received_last.max(study.received_first));
        let (made, mut counted_from) = match (study.destroyed_before, own) {
            (Some(_), _) => {
                notes.push(Note::AfterDestruction);
                (receipt, received)
            }
            (None, Err(note)) => {
                notes.push(note);
                (receipt, received)
            }
            (None, Ok(date)) => ((date, date), CountedFrom { date, basis: Basis::StudyDate }),
        };
        match study.work_ended {
            Some(ended) if ended > latest => notes.push(Note::WorkEndedIgnored),
            Some(date) if date > counted_from.date => counted_from = CountedFrom { date, basis: Basis::WorkEnded },
            _ => {}
        }
        let died = study.died.filter(|died| *died <= study.as_of && birth.is_none_or(|birth| birth <= *died));
        if died != study.died {
            notes.push(Note::DeathDateIgnored);
        }
        let age = birth.map(|birth| (birth.years_until(made.0), birth.years_until(made.1)));
        let age = age.or_else(|| age_in_years(text(key::PATIENT_AGE)).map(|age| (age, age)));
        let from = made.0.min(study.received_first);
        let to = study.as_of.max(from);
        Self { counted_from, made, from, to, age, died, study_date: Date::parse_da(written), birth_known }
    }

    /// The days on which a row or rule must have been in force, both ends included.
    fn life(&self) -> (Date, Date) {
        (self.from, self.to)
    }

    /// The days since the receipt on which nothing had given a class yet; once something has, it is never without one.
    fn days_without_class(&self, received: Date, classed: Option<Date>) -> Option<(Date, Date)> {
        let from = received.max(self.from).min(self.to);
        match classed {
            None => Some((from, self.to)),
            Some(first) if first > from => Some((from, first.plus_days(-1))),
            Some(_) => None,
        }
    }

    /// What a linked record's class is counted from: the day the record was closed, when that is later.
    fn record_end(&self, study: &StudyFacts<'_>, record: &LinkedRecord, notes: &mut Vec<Note>) -> CountedFrom {
        match record.ended {
            Some(ended) if ended > study.as_of.plus_days(AHEAD_DAYS_MAX) => {
                notes.push(Note::RecordEndIgnored { class: record.class.clone() });
                self.counted_from
            }
            Some(date) if date > self.counted_from.date => CountedFrom { date, basis: Basis::RecordEnded },
            _ => self.counted_from,
        }
    }

    /// An earlier reason as it stands today: never shorter, except that a death that became known names the day.
    fn carry(&self, earlier: &Reason) -> Reason {
        let later = self.counted_from.date > earlier.counted_from.date;
        let counted_from = if later { self.counted_from } else { earlier.counted_from };
        let today = due(earlier.term, counted_from.date, self.died);
        let due = if matches!(earlier.due, Due::AfterDeath { .. }) { today } else { today.max(earlier.due) };
        Reason { counted_from, due, ..earlier.clone() }
    }
}

/// The study's own date, or why it is of no use.
fn own_date(written: &str, birth: Option<Date>, study: &StudyFacts<'_>) -> Result<Date, Note> {
    if written.trim().is_empty() {
        return Err(Note::StudyDateMissing);
    }
    let date = Date::parse_da(written).ok_or(Note::StudyDateUnreadable)?;
    if date > study.received_first.plus_days(AHEAD_DAYS_MAX) {
        return Err(Note::StudyDateFuture { date });
    }
    if date < STUDY_DATE_FIRST {
        return Err(Note::StudyDateTooOld { date });
    }
    match birth {
        Some(birth) if date < birth => Err(Note::StudyDateBeforeBirth { date }),
        _ => Ok(date),
    }
}

/// Whole years of a DICOM age (PS3.5 6.2, VR AS): `034Y`, `010M`, `006W`, `015D`.
fn age_in_years(text: &str) -> Option<u16> {
    let text = text.trim();
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u16 = digits.parse().ok()?;
    match unit {
        "Y" => Some(number),
        "M" => Some(number / 12),
        "W" => Some(number / 52),
        "D" => Some(number / 365),
        _ => None,
    }
}
