//! What happens in the forty years: studies with good and absurd dates, late series, links, holds and deaths, and the
//! rules as the archivist reads them.
//!
//! Deliberately not here: what follows from it.

use super::tally::Day;
use super::{CT, Case};
use fastrand::Rng;
use model::date::Date;
use std::collections::BTreeMap;

pub(super) const FIRST: Date = day(2004, 1, 1);
pub(super) const LAST: Date = day(2043, 12, 31);
/// Day on which the second rule set comes into use.
pub(super) const SECOND: Date = day(2027, 3, 1);
pub(super) const FACILITIES: [&str; 3] = ["56001", "56002", "DEMO0"];
const HEALTH_CHECK: &str = "Khám sức khỏe";
const CLASSES: &[&str] = &[
    "INOUT",
    "INOUT",
    "BOOK",
    "BOOK",
    "HEALTHCHECK",
    "HEALTHCHECK",
    "PSY_ACC",
    "COSMETIC",
    "DEATH",
    "EHB",
    "INCIDENT",
    "ODD",
];

pub(super) const fn day(year: u16, month: u8, day: u8) -> Date {
    match Date::new(year, month, day) {
        Some(date) => date,
        None => panic!("no such day"),
    }
}

/// The day as the archivist writes it.
pub(super) fn wall(date: Date) -> Day {
    u32::from(date.year()) * 10_000 + u32::from(date.month()) * 100 + u32::from(date.day())
}

/// The rules as delivered with their examples, one more, and what the second rule set adds.
pub(super) fn rules_text(second: bool) -> String {
    const DELIVERED: &str = include_str!("../../../../config/retention.toml");
    let ours = "
[[rule]]
id = \"ultrasound-here\"
class = \"BOOK\"
vi = \"x\"
en = \"x\"
facility = [\"DEMO0\"]
modality = [\"US\"]
";
    let text = DELIVERED.replace("#: ", "").replace("#:\n", "\n") + ours;
    if !second {
        return text;
    }
    let old = "term = \"10 years\"\nvalid_from = \"2025-07-01\"";
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
id = \"magnetic-resonance\"
class = \"HEALTHCHECK\"
vi = \"x\"
en = \"x\"
facility = [\"56001\"]
modality = [\"MR\"]
";
    text.replace("version = 1\n", "version = 2\n").replace(old, &format!("{old}\nvalid_to = \"2030-12-31\"")) + more
}

/// The rules that fit: class, first and last day in force. Without a good date a study may have been made on any day
/// of its receipt.
pub(super) fn rules_fit(case: &Case) -> Vec<(&'static str, Day, Day)> {
    let made = match case.made.good {
        Some(good) if !case.reborn => (wall(good), wall(good)),
        _ => (wall(case.received.0), wall(case.received.1)),
    };
    let birth = case.made.birth.map(wall).filter(|birth| *birth <= wall(case.received.0));
    let age = |made: Day| birth.map(|birth| made.saturating_sub(birth) / 10_000);
    let has = |modality: &str| case.modalities.contains(modality);
    let mut rules = Vec::new();
    if case.made.description.starts_with('T') {
        rules.push(("PSY_ACC", 0, 99_999_999));
    }
    if case.made.facility == "56001" && has("RTPLAN") && age(made.0).is_none_or(|age| age < 16) {
        rules.push(("DEATH", 20_260_101, 99_999_999));
    }
    if case.service == HEALTH_CHECK {
        rules.push(("HEALTHCHECK", 0, 99_999_999));
    }
    if case.made.facility == "DEMO0" && has("US") {
        rules.push(("BOOK", 0, 99_999_999));
    }
    if case.made.facility == "56002" && has("MG") && age(made.1).is_none_or(|age| age >= 40) {
        rules.push(("COSMETIC", 20_280_101, 20_331_231));
    }
    // Nobody had heard of this rule before the second rule set; from then on it has always been there.
    if case.made.facility == "56001" && has("MR") {
        rules.push(("HEALTHCHECK", wall(SECOND), 99_999_999));
    }
    rules
}

/// A study as it will arrive.
pub(super) struct Made {
    pub(super) person: usize,
    pub(super) birth: Option<Date>,
    pub(super) facility: &'static str,
    pub(super) modality: &'static str,
    pub(super) description: &'static str,
    pub(super) service: &'static str,
    /// Study date as written, and the same when it is good.
    written: String,
    pub(super) good: Option<Date>,
}

#[derive(Clone)]
pub(super) enum Event {
    Arrives,
    /// One more series: its date, its modality and the requesting service it names.
    Late(Option<Date>, &'static str, &'static str),
    Linked(&'static str, Option<Date>),
    Unlinked(&'static str),
    Rejected,
    /// 0 the study, 1 the patient, 2 the answers of a query.
    Held(u8),
    Dies(Date),
}

type Events = BTreeMap<Date, Vec<(usize, Event)>>;

pub(super) fn make(studies: usize, random: &mut Rng) -> (Vec<Made>, Events) {
    let people: Vec<(Option<Date>, Option<Date>)> = (0..studies * 6 / 10 + 1).map(|_| someone(random)).collect();
    let mut events = Events::new();
    let mut all = Vec::new();
    for number in 0..studies {
        let arrives = FIRST.plus_days(random.i64(0..LAST.days() - FIRST.days() - 5 * 365));
        let person = random.usize(0..people.len());
        let made = study(random, person, people[person].0, arrives);
        let mut add = |when: Date, event: Event| {
            if when <= LAST {
                events.entry(when).or_default().push((number, event));
            }
        };
        add(arrives, Event::Arrives);
        let later = |random: &mut Rng, years: i64| arrives.plus_days(random.i64(0..years * 365));
        for _ in 0..random.usize(0..3) {
            // Some are linked on the day they come, by the order.
            let when = if random.u8(0..3) == 0 { arrives } else { later(random, 4) };
            let class = CLASSES[random.usize(0..CLASSES.len()).min(random.usize(0..CLASSES.len()))];
            add(when, Event::Linked(class, random.bool().then(|| when.plus_days(-random.i64(0..20)))));
            if random.u8(0..6) == 0 {
                add(when.plus_days(random.i64(0..900)), Event::Unlinked(class));
            }
        }
        if random.u8(0..3) == 0 {
            let years = if random.u8(0..4) == 0 { 30 } else { 3 };
            let when = later(random, years);
            let named = random.bool().then(|| when.plus_days(-random.i64(0..3)));
            let modality = ["US", "MG", "RTPLAN", made.modality][random.usize(0..4)];
            add(when, Event::Late(named, modality, [HEALTH_CHECK, "Nội", ""][random.usize(0..3)]));
        }
        let chances = [(40, Event::Rejected), (30, Event::Held(0)), (60, Event::Held(1)), (100, Event::Held(2))];
        for (chance, event) in chances {
            if random.u32(0..chance) == 0 {
                add(later(random, 20), event);
            }
        }
        if let Some(died) = people[person].1 {
            add(died.plus_days(random.i64(0..700)).max(arrives), Event::Dies(died));
        }
        all.push(made);
    }
    (all, events)
}

/// Birth, and day of death.
fn someone(random: &mut Rng) -> (Option<Date>, Option<Date>) {
    let birth = day(1930, 1, 1).plus_days(random.i64(0..74 * 365));
    let died = birth.plus_days(random.i64(365..90 * 365)).max(FIRST.plus_days(random.i64(0..36_500)));
    ((random.u8(0..10) != 0).then_some(birth), (random.u8(0..3) == 0).then_some(died))
}

fn study(random: &mut Rng, person: usize, birth: Option<Date>, arrives: Date) -> Made {
    let text = |date: Date| date.to_string().replace('-', "");
    let made = match random.u8(0..10) {
        0 => arrives.plus_days(-random.i64(0..3_000)),
        1 => arrives.plus_days(1),
        _ => arrives.plus_days(-random.i64(0..3)),
    };
    let (written, good) = match random.u8(0..15) {
        0 => (String::new(), false),
        1 => (text(arrives.plus_days(random.i64(2..20_000))), false),
        2 => (text(day(1950, 1, 1).plus_days(random.i64(0..7_300))), false),
        3 => (format!("{}0231", made.year()), false),
        _ => (text(made), birth.is_none_or(|birth| birth <= made || birth > arrives)),
    };
    Made {
        person,
        birth,
        facility: FACILITIES[random.usize(0..3)],
        modality: ["CT", "MR", "MG", "RTPLAN", "US"][random.usize(0..5)],
        description: ["CT so nao", "TNGT - CT so nao", ""][random.usize(0..3).min(random.usize(0..3))],
        service: [HEALTH_CHECK, "Cấp cứu", ""][random.usize(0..3)],
        written,
        good: good.then_some(made),
    }
}

/// The object's bytes, explicit VR little endian, without pixels.
pub(super) fn data_set(case: &Case, series: &str, sop: &str, named: Option<Date>, modality: &str) -> Vec<u8> {
    let text = |date: Option<Date>| date.map_or(String::new(), |date| date.to_string().replace('-', ""));
    let (made, id) = (&case.made, format!("P{}", case.made.person));
    let name = format!("NGUYEN^VAN {}", made.person);
    let (birth, day) = (text(made.birth), text(named));
    let elements: [((u16, u16), &[u8; 2], &str); 15] = [
        ((8, 5), b"CS", "ISO_IR 192"),
        ((8, 0x16), b"UI", CT),
        ((8, 0x18), b"UI", sop),
        ((8, 0x20), b"DA", &made.written),
        ((8, 0x21), b"DA", &day),
        ((8, 0x60), b"CS", modality),
        ((8, 0x1030), b"LO", made.description),
        ((0x10, 0x10), b"PN", &name),
        ((0x10, 0x20), b"LO", &id),
        ((0x10, 0x30), b"DA", &birth),
        ((0x20, 0x0d), b"UI", case.key.study.as_str()),
        ((0x20, 0x0e), b"UI", series),
        ((0x20, 0x10), b"SH", ""),
        ((0x20, 0x13), b"IS", "1"),
        ((0x32, 0x1033), b"LO", case.service),
    ];
    let mut out = Vec::new();
    for ((group, element), vr, value) in elements {
        let mut value = value.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == b"UI" { 0 } else { b' ' });
        }
        out.extend(group.to_le_bytes());
        out.extend(element.to_le_bytes());
        out.extend(vr);
        out.extend(u16::try_from(value.len()).expect("short").to_le_bytes());
        out.extend(value);
    }
    out
}
