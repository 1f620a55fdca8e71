//! The independent model: an archivist with a wall calendar and one sheet of paper per study.
//!
//! He does not calculate. Every morning he writes on a study's sheet what it owes because of a row in force that day;
//! every 31 December he makes a stroke beside each debt. A debt of N years is paid after N + 1 strokes.
//! Days are numbers like 20260305. Nothing here uses the archive's own dates, table, rules or decisions.

pub(crate) type Day = u32;

#[derive(Clone, Copy)]
pub(crate) enum Owes {
    Strokes(u32),
    StrokesAfterDeath(u32),
    Everything,
}

/// Class, what it owes, first and last day in force.
pub(crate) type Row = (&'static str, Owes, Day, Day);

pub(crate) static ROWS: &[Row] = &[
    ("INCIDENT", Owes::Everything, 20250701, 99999999),
    ("DEATH", Owes::Strokes(21), 0, 20250630),
    ("DEATH", Owes::Strokes(31), 20250701, 99999999),
    ("TRANSPLANT", Owes::Strokes(31), 0, 99999999),
    ("COSMETIC", Owes::Strokes(21), 20250701, 99999999),
    ("PSY_ACC", Owes::Strokes(21), 0, 99999999),
    ("INOUT", Owes::Strokes(11), 0, 20301231),
    ("INOUT", Owes::Strokes(16), 20310101, 99999999),
    ("BOOK", Owes::Strokes(6), 20250701, 99999999),
    ("HEALTHCHECK", Owes::Strokes(3), 20250701, 99999999),
    ("EHB", Owes::StrokesAfterDeath(11), 20250701, 99999999),
    ("UNCLASSED", Owes::Strokes(11), 0, 99999999),
];

/// The next day on the wall.
pub(crate) fn tomorrow(day: Day) -> Day {
    let (year, month, date) = (day / 10_000, day / 100 % 100, day % 100);
    let leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    let last = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
    match (date == last, month) {
        (false, _) => day + 1,
        (true, 12) => (year + 1) * 10_000 + 101,
        (true, _) => year * 10_000 + (month + 1) * 100 + 1,
    }
}

/// Strokes from one day to the day before another.
fn strokes(from: Day, until: Day) -> u32 {
    let (mut day, mut count) = (from, 0);
    while day < until {
        count += u32::from(day % 10_000 == 1231);
        day = tomorrow(day);
    }
    count
}

struct Debt {
    row: &'static Row,
    since: Day,
    strokes: u32,
}

/// What is written about one study.
#[derive(Default)]
pub(crate) struct Sheet {
    /// First day of the study's life.
    pub(crate) first: Day,
    /// Day it came into the archive: only from then on it can be without a class.
    pub(crate) came: Day,
    /// Day its work ended, as far as anybody knows.
    pub(crate) work: Day,
    /// Records linked today: class and the day the record was closed, 0 for unknown.
    pub(crate) records: Vec<(&'static str, Day)>,
    /// Classes the rules give, each with the days of the rule.
    pub(crate) by_rule: Vec<(&'static str, Day, Day)>,
    /// Day of death, 0 while unknown.
    pub(crate) died: Day,
    debts: Vec<Debt>,
}

impl Sheet {
    /// An empty sheet.
    pub(crate) fn new(first: Day, came: Day, work: Day) -> Self {
        Self { first, came, work, ..Self::default() }
    }

    /// Writes down what the study owes because of this day.
    pub(crate) fn morning(&mut self, day: Day) {
        let first = self.first;
        let (records, rules) = (std::mem::take(&mut self.records), std::mem::take(&mut self.by_rule));
        for (class, closed) in &records {
            self.owe(class, self.work.max(*closed), day, day);
        }
        for (class, from, to) in &rules {
            if (from..=to).contains(&&day) {
                self.owe(class, self.work, day, day);
            }
        }
        (self.records, self.by_rule) = (records, rules);
        let ruled = self.by_rule.iter().filter(|(_, from, to)| *from <= day && *to >= first).map(|(class, ..)| class);
        let mut named = self.records.iter().map(|(class, _)| class).chain(ruled);
        if day >= self.came
            && !named.any(|class| ROWS.iter().any(|row| row.0 == *class && row.2 <= day && row.3 >= first))
        {
            self.owe("UNCLASSED", self.work, day, day);
        }
    }

    /// Other rules fit than yesterday: they bring what was in force earlier in the study's life.
    pub(crate) fn rules_change(&mut self, rules: Vec<(&'static str, Day, Day)>, today: Day) {
        for (class, from, to) in &rules {
            if *from <= today && *to >= self.first {
                self.owe(class, self.work, self.first, today);
            }
        }
        self.by_rule = rules;
    }

    /// A record is linked: it also brings the rows that were in force earlier in the study's life.
    pub(crate) fn link(&mut self, class: &'static str, closed: Day, today: Day) {
        self.records.push((class, closed));
        self.owe(class, self.work.max(closed), self.first, today);
    }

    /// Work went on: every debt is counted from there.
    pub(crate) fn work_went_on(&mut self, day: Day, today: Day) {
        self.work = self.work.max(day);
        for debt in self.debts.iter_mut().filter(|debt| debt.since < day) {
            (debt.since, debt.strokes) = (day, strokes(day, today));
        }
    }

    /// The images that were there are gone; what has come now begins anew.
    pub(crate) fn begins_anew(&mut self, today: Day) {
        (self.first, self.came, self.work, self.debts) = (today, today, today, Vec::new());
        for (class, closed) in self.records.clone() {
            self.owe(class, self.work.max(closed), today, today);
        }
    }

    fn owe(&mut self, class: &str, since: Day, from: Day, today: Day) {
        for row in ROWS.iter().filter(|row| row.0 == class && row.2 <= today && row.3 >= from) {
            match self.debts.iter_mut().find(|debt| std::ptr::eq(debt.row, row)) {
                Some(debt) if debt.since >= since => {}
                Some(debt) => (debt.since, debt.strokes) = (since, strokes(since, today)),
                None => self.debts.push(Debt { row, since, strokes: strokes(since, today) }),
            }
        }
    }

    /// The evening of a day: on 31 December every debt gets a stroke.
    pub(crate) fn evening(&mut self, day: Day) {
        if day % 10_000 == 1231 {
            self.debts.iter_mut().filter(|debt| debt.since <= day).for_each(|debt| debt.strokes += 1);
        }
    }

    /// What stands on the sheet.
    pub(crate) fn told(&self) -> String {
        let debts: Vec<_> = self.debts.iter().map(|debt| (debt.row.0, debt.since, debt.strokes)).collect();
        format!(
            "first {}, work {}, records {:?}, rules {:?}, {debts:?}",
            self.first, self.work, self.records, self.by_rule
        )
    }

    /// Whether every debt is paid this morning.
    pub(crate) fn is_paid(&self, today: Day) -> bool {
        self.debts.iter().all(|debt| match debt.row.1 {
            Owes::Strokes(needed) => debt.strokes >= needed,
            Owes::StrokesAfterDeath(needed) => self.died != 0 && strokes(self.died.max(debt.since), today) >= needed,
            Owes::Everything => false,
        })
    }
}
