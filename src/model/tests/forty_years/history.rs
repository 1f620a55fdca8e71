//! What happens in forty years: patients, studies with good and absurd dates, late series, links, merges, holds.

use crate::tally::Day;
use fastrand::Rng;
use model::date::Date;
use std::collections::BTreeMap;

pub(crate) const STUDIES: usize = 10_000;
pub(crate) const FIRST: Date = day(2004, 1, 1);
pub(crate) const LAST: Date = day(2043, 12, 31);

pub(crate) const fn day(year: u16, month: u8, day: u8) -> Date {
    match Date::new(year, month, day) {
        Some(date) => date,
        None => panic!("no such day"),
    }
}

/// The day as the archivist writes it.
pub(crate) fn wall(date: Date) -> Day {
    u32::from(date.year()) * 10_000 + u32::from(date.month()) * 100 + u32::from(date.day())
}

pub(crate) struct Person {
    pub(crate) birth: Option<Date>,
    /// Day of death and day it became known.
    pub(crate) death: Option<(Date, Date)>,
}

/// A study as it will arrive.
pub(crate) struct Study {
    pub(crate) person: usize,
    pub(crate) facility: &'static str,
    pub(crate) modality: &'static str,
    pub(crate) description: &'static str,
    pub(crate) service: &'static str,
    /// Study date as written, good or not.
    pub(crate) written: String,
    /// The same date when it is good.
    pub(crate) made: Option<Date>,
    pub(crate) arrives: Date,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Arrives,
    /// More images; the date their series name, if any.
    Late(Option<Date>),
    Linked(&'static str, Option<Date>),
    Unlinked(&'static str),
    Merged,
    Rejected,
    HeldStudy,
    HeldPatient,
    HeldList,
    DeathKnown,
}

pub(crate) struct History {
    pub(crate) people: Vec<Person>,
    pub(crate) studies: Vec<Study>,
    pub(crate) events: BTreeMap<Date, Vec<(usize, Event)>>,
}

const CLASSES: &[&str] =
    &["INOUT", "INOUT", "INOUT", "BOOK", "HEALTHCHECK", "HEALTHCHECK", "PSY_ACC", "COSMETIC", "DEATH", "TRANSPLANT"];

pub(crate) fn class(random: &mut Rng) -> &'static str {
    match random.u8(0..60) {
        0 => "INCIDENT",
        1 => "EHB",
        2 => "ODD",
        _ => CLASSES[random.usize(0..CLASSES.len())],
    }
}

pub(crate) fn make(random: &mut Rng) -> History {
    let people: Vec<Person> = (0..STUDIES * 6 / 10).map(|_| person(random)).collect();
    let studies: Vec<Study> = (0..STUDIES).map(|_| study(random, &people)).collect();
    let mut events: BTreeMap<Date, Vec<(usize, Event)>> = BTreeMap::new();
    let mut add = |when: Date, number: usize, event: Event| {
        if when <= LAST {
            events.entry(when).or_default().push((number, event));
        }
    };
    for (number, study) in studies.iter().enumerate() {
        add(study.arrives, number, Event::Arrives);
        let later = |random: &mut Rng, years: i64| study.arrives.plus_days(random.i64(0..years * 365));
        for _ in 0..random.usize(0..3) {
            let (when, class) = (later(random, 4), class(random));
            let closed = random.bool().then(|| when.plus_days(-random.i64(0..20)));
            add(when, number, Event::Linked(class, closed));
            if random.u8(0..8) == 0 {
                add(when.plus_days(random.i64(0..900)), number, Event::Unlinked(class));
            }
        }
        for _ in 0..usize::from(random.u8(0..4) == 0) {
            let years = if random.u8(0..4) == 0 { 30 } else { 3 };
            let when = later(random, years);
            add(when, number, Event::Late(random.bool().then(|| when.plus_days(-random.i64(0..3)))));
        }
        for (chance, event) in [
            (10, Event::Merged),
            (40, Event::Rejected),
            (50, Event::HeldStudy),
            (90, Event::HeldPatient),
            (300, Event::HeldList),
        ] {
            if random.u32(0..chance) == 0 {
                add(later(random, 20), number, event);
            }
        }
        if let Some((_, known)) = people[study.person].death {
            add(known.max(study.arrives), number, Event::DeathKnown);
        }
    }
    History { people, studies, events }
}

fn person(random: &mut Rng) -> Person {
    let birth = day(1930, 1, 1).plus_days(random.i64(0..74 * 365));
    let died = birth.plus_days(random.i64(365..90 * 365)).max(FIRST.plus_days(random.i64(0..36_500)));
    let death = (random.u8(0..3) == 0).then(|| (died, died.plus_days(random.i64(0..700))));
    Person { birth: (random.u8(0..10) != 0).then_some(birth), death }
}

fn study(random: &mut Rng, people: &[Person]) -> Study {
    let person = random.usize(0..people.len());
    let span = LAST.days() - FIRST.days() - 5 * 365;
    let arrives = FIRST.plus_days(random.i64(0..span));
    let text = |date: Date| date.to_string().replace('-', "");
    // Most come at once, some out of an old archive, years after they were made.
    let made = match random.u8(0..10) {
        0 => arrives.plus_days(-random.i64(0..3_000)),
        1 => arrives.plus_days(1),
        _ => arrives.plus_days(-random.i64(0..3)),
    };
    let (written, good) = match random.u8(0..25) {
        0 => (String::new(), false),
        1 => (text(arrives.plus_days(random.i64(2..20_000))), false),
        2 => (text(day(1950, 1, 1).plus_days(random.i64(0..7_300))), false),
        3 => (format!("{}0231", made.year()), false),
        _ => (text(made), people[person].birth.is_none_or(|birth| birth <= made || birth > arrives)),
    };
    Study {
        person,
        facility: ["56001", "56002", "DEMO0"][random.usize(0..3)],
        modality: ["CT", "MR", "MG", "RTPLAN", "US"][random.usize(0..5)],
        description: ["CT so nao", "TNGT - CT so nao", "Tai nạn giao thông", ""]
            [random.usize(0..4).min(random.usize(0..4))],
        service: ["Khám sức khỏe", "Cấp cứu", "Nội"][random.usize(0..3)],
        made: good.then_some(made),
        written,
        arrives,
    }
}
