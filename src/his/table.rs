//! Tables of patients and orders, as a system gives them out once for the first load: a heading, then a line for each.
//!
//! Pure: the same line under the same heading asks for the same. An empty cell says nothing. What is refused names line
//! and column, never a value: values are patients'.
//! Deliberately not here: files, separators and quotes, and whether the archive does what is asked.

use model::chart::{
    BirthDate, Change, Code, OrderAction, OrderState, OrderUpdate, PatientUpdate, Priority, Sex, StepUpdate,
    VisitUpdate,
};
use model::date::Date;
use model::retention::ClassId;
use model::{AeTitle, Uid};

/// Columns of a table of patients.
pub const PATIENT_COLUMNS: [&str; 12] = [
    "mrn",
    "name",
    "birth",
    "sex",
    "national",
    "old_card",
    "passport",
    "insurance",
    "phone",
    "address",
    "died",
    "records",
];
/// Columns of a table of orders.
pub const ORDER_COLUMNS: [&str; 23] = [
    "placer",
    "mrn",
    "accession",
    "study",
    "filler",
    "visit",
    "visit_class",
    "visit_records",
    "procedure_id",
    "procedure",
    "procedure_code",
    "modality",
    "start",
    "station",
    "station_name",
    "location",
    "step_description",
    "performing",
    "requesting",
    "service",
    "priority",
    "reason",
    "state",
];
/// Several values in one cell stand one after another with this between.
const BETWEEN: char = '|';
/// Most columns of a heading.
const COLUMNS_MAX: usize = 64;

/// What a table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Patients.
    Patients,
    /// Orders.
    Orders,
}

impl TableKind {
    /// What a message that came as a line of it is called.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Patients => "CSV patient",
            Self::Orders => "CSV order",
        }
    }
}

/// A heading that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    kind: TableKind,
    columns: Vec<&'static str>,
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The patient's number.
    pub mrn: String,
    /// What is to be done.
    pub changes: Vec<Change>,
}

impl Table {
    /// Reads a heading: one with `placer` is that of orders, else it is one of patients. Case and order do not count.
    ///
    /// # Errors
    /// A column that is not known or stands twice, and one that is missing.
    pub fn of<'a>(heading: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let names: Vec<String> = heading.take(COLUMNS_MAX).map(plain).collect();
        let is_orders = names.iter().any(|name| name == "placer");
        let (kind, known): (_, &[&'static str]) = match is_orders {
            true => (TableKind::Orders, ORDER_COLUMNS.as_slice()),
            false => (TableKind::Patients, PATIENT_COLUMNS.as_slice()),
        };
        let mut columns = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            // Not the name itself: without a heading it is a patient's.
            let unknown = || format!("column {} has no name that is known; known are {}", at + 1, known.join(", "));
            let column = known.iter().find(|known| *known == name).copied().ok_or_else(unknown)?;
            if columns.contains(&column) {
                return Err(format!("two columns are named {column}"));
            }
            columns.push(column);
        }
        if !columns.contains(&"mrn") {
            return Err("a column named mrn is needed: the facility's number of the patient".into());
        }
        Ok(Self { kind, columns })
    }

    /// What it is about.
    pub fn kind(&self) -> TableKind {
        self.kind
    }

    /// Names of its columns, in order.
    pub fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// What a line asks for.
    ///
    /// # Errors
    /// The column that cannot be read, and what stands there when it can.
    pub fn read(&self, cells: &[&str]) -> Result<Asked, String> {
        if cells.len() != self.columns.len() {
            return Err(format!("{} cells under {} columns", cells.len(), self.columns.len()));
        }
        let line = Line { columns: &self.columns, cells };
        let mrn = line.text("mrn").ok_or("mrn: it is needed")?;
        let changes = match self.kind {
            TableKind::Patients => vec![Change::Patient(patient(&line, mrn.clone())?)],
            TableKind::Orders => order(&line, &mrn)?,
        };
        Ok(Asked { mrn, changes })
    }
}

/// A name of a column without case and spaces.
fn plain(name: &str) -> String {
    name.trim().trim_start_matches('\u{feff}').trim().to_ascii_lowercase().replace([' ', '-'], "_")
}

struct Line<'a> {
    columns: &'a [&'static str],
    cells: &'a [&'a str],
}

impl Line<'_> {
    /// What stands in a column; none when it is empty or missing.
    fn text(&self, column: &str) -> Option<String> {
        let at = self.columns.iter().position(|name| *name == column)?;
        let text = self.cells.get(at)?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn list(&self, column: &str) -> Option<Vec<String>> {
        let values = self.text(column)?;
        let values = values.split(BETWEEN).map(str::trim).filter(|one| !one.is_empty());
        Some(values.map(ToOwned::to_owned).collect())
    }

    /// Classes of retention.
    fn classes(&self, column: &str) -> Result<Vec<ClassId>, String> {
        let names = self.list(column).unwrap_or_default();
        let class =
            |name: &String| ClassId::parse(name).map_err(|_| format!("{column}: names of classes of retention"));
        names.iter().map(class).collect()
    }

    fn parsed<T>(&self, column: &str, what: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, String> {
        let Some(text) = self.text(column) else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| format!("{column}: {what}"))
    }

    fn day(&self, column: &str) -> Result<Option<BirthDate>, String> {
        self.parsed(column, "YYYY-MM-DD, DD/MM/YYYY, YYYY-MM or YYYY", |text| BirthDate::parse(&turned(text)).ok())
    }
}

/// A day as it is written in Viet Nam, the other way round; anything else as it is.
fn turned(text: &str) -> String {
    let parts: Vec<&str> = text.split('/').map(str::trim).collect();
    match parts.as_slice() {
        [day, month, year] if year.len() == 4 && (1..=2).contains(&day.len()) && (1..=2).contains(&month.len()) => {
            format!("{year}-{month:0>2}-{day:0>2}")
        }
        [month, year] if year.len() == 4 && (1..=2).contains(&month.len()) => format!("{year}-{month:0>2}"),
        _ => text.to_owned(),
    }
}

fn sex(text: &str) -> Option<Sex> {
    Some(match text.to_lowercase().as_str() {
        "m" | "male" | "nam" | "1" => Sex::Male,
        "f" | "female" | "nữ" | "nu" | "2" => Sex::Female,
        "o" | "other" | "khác" | "khac" | "3" => Sex::Other,
        "u" | "unknown" => Sex::Unknown,
        _ => return None,
    })
}

fn patient(line: &Line<'_>, mrn: String) -> Result<PatientUpdate, String> {
    let digits = |text: &String| text.chars().filter(char::is_ascii_digit).collect::<String>();
    Ok(PatientUpdate {
        mrn,
        name: line.text("name"),
        birth: line.day("birth")?.map(Some),
        sex: line.parsed("sex", "M, F, O or U", sex)?,
        national: line.text("national"),
        old_card: line.text("old_card"),
        passport: line.text("passport"),
        insurance: line.list("insurance"),
        phones: line.list("phone").map(|phones| phones.iter().map(digits).collect()),
        address: line.text("address"),
        died: line.day("died")?.map(Some),
        records: line.classes("records")?,
        ..PatientUpdate::default()
    })
}

/// A moment as the facility's clock shows it: a day, and a time of day where one is told.
fn moment(text: &str) -> Option<(String, String)> {
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let day: String = turned(day.trim()).chars().filter(|letter| *letter != '-').collect();
    Date::parse_da(&day)?;
    let time: String = time.trim().chars().filter(|letter| *letter != ':').collect();
    let two = |from: usize, below: u8| match time.get(from..from + 2) {
        Some(part) => part.parse::<u8>().ok().filter(|number| *number < below),
        None => (time.len() == from).then_some(0),
    };
    let whole = time.bytes().all(|byte| byte.is_ascii_digit()) && matches!(time.len(), 0 | 4 | 6);
    let (hour, minute, second) = (two(0, 24), two(2, 60), two(4, 60));
    if !whole {
        return None;
    }
    let empty = time.is_empty();
    let (hour, minute) = if empty { (0, 0) } else { (hour?, minute?) };
    let second = if time.len() == 6 { second? } else { 0 };
    Some((day, format!("{hour:02}{minute:02}{second:02}")))
}

fn state(text: &str) -> Option<OrderState> {
    let states = [
        OrderState::Scheduled,
        OrderState::InProgress,
        OrderState::Completed,
        OrderState::Canceled,
        OrderState::Discontinued,
    ];
    states.into_iter().find(|state| state.name() == text.to_lowercase().replace('_', "-"))
}

fn priority(text: &str) -> Option<Priority> {
    let all = [Priority::Stat, Priority::High, Priority::Routine, Priority::Medium, Priority::Low];
    all.into_iter().find(|one| one.term().eq_ignore_ascii_case(text))
}

fn order(line: &Line<'_>, mrn: &str) -> Result<Vec<Change>, String> {
    let placer = line.text("placer").ok_or("placer: it is needed")?;
    let visit = line.text("visit");
    let mut changes = Vec::new();
    if let Some(number) = &visit {
        let (number, mrn, class) = (number.clone(), mrn.to_owned(), line.text("visit_class"));
        let records = line.classes("visit_records")?;
        changes.push(Change::Visit(VisitUpdate { number, mrn, class, records, ..VisitUpdate::default() }));
    }
    let step = StepUpdate {
        modality: line.text("modality").map(|code| code.to_ascii_uppercase()),
        station: line
            .parsed("station", "an AE title has 1 to 16 characters", |text| AeTitle::parse(text).ok())?
            .map(Some),
        station_name: line.text("station_name"),
        location: line.text("location"),
        start: line.parsed("start", "YYYY-MM-DD hh:mm or DD/MM/YYYY hh:mm", moment)?,
        performing: line.text("performing"),
        description: line.text("step_description"),
        ..StepUpdate::default()
    };
    let code = |value: String| Code { value, ..Code::default() };
    changes.push(Change::Order(Box::new(OrderUpdate {
        mrn: Some(mrn.to_owned()),
        accession: line.text("accession"),
        study: line.parsed("study", "a UID has digits and dots, at most 64", |text| Uid::parse(text).ok())?,
        filler: line.text("filler"),
        visit,
        procedure_id: line.text("procedure_id"),
        procedure: line.text("procedure"),
        procedure_code: line.text("procedure_code").map(code),
        requesting: line.text("requesting"),
        service: line.text("service"),
        priority: line.parsed("priority", "stat, high, routine, medium or low", priority)?,
        reason: line.text("reason"),
        steps: vec![step],
        ..OrderUpdate::new(OrderAction::New, placer.clone())
    })));
    let names = "scheduled, in-progress, completed, canceled or discontinued";
    if let Some(state) = line.parsed("state", names, state)?.filter(|state| *state != OrderState::Scheduled) {
        changes.push(Change::Order(Box::new(OrderUpdate::new(OrderAction::Status(state), placer))));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENTS: &str = include_str!("../../config/first-load/patients.csv");
    const ORDERS: &str = include_str!("../../config/first-load/orders.csv");

    /// The lines of a sample, which has no quotes.
    fn cells(text: &str) -> Vec<Vec<&str>> {
        text.lines().map(|line| line.split(',').collect()).collect()
    }

    fn table(text: &str) -> (Table, Vec<Asked>) {
        let lines = cells(text);
        let (heading, lines) = lines.split_first().expect("a heading");
        let table = Table::of(heading.iter().copied()).expect("understood");
        let asked = lines.iter().map(|line| table.read(line).expect("read")).collect();
        (table, asked)
    }

    #[test]
    fn the_samples_name_every_column_and_are_read() {
        let (patients, asked) = table(PATIENTS);
        assert_eq!((patients.kind(), patients.columns.as_slice()), (TableKind::Patients, PATIENT_COLUMNS.as_slice()));
        let Some(Change::Patient(first)) = asked.first().and_then(|one| one.changes.first()) else {
            panic!("{asked:?}")
        };
        assert_eq!(first.name.as_deref(), Some("Nguyễn Văn An"));
        assert_eq!(first.birth, Some(BirthDate::parse("1978-03-05").ok()));
        assert_eq!((first.sex, first.insurance.as_ref().map(Vec::len)), (Some(Sex::Male), Some(2)));
        let (orders, asked) = table(ORDERS);
        assert_eq!((orders.kind(), orders.columns.as_slice()), (TableKind::Orders, ORDER_COLUMNS.as_slice()));
        assert!(asked.iter().any(|one| one.changes.len() == 3), "a visit, an order and its state");
        let Some(Change::Order(first)) = asked.first().and_then(|one| one.changes.get(1)) else { panic!("{asked:?}") };
        assert_eq!(first.steps.first().and_then(|step| step.start.clone()), Some(("20261128".into(), "083000".into())));
    }

    #[test]
    fn a_heading_is_read_whatever_its_case_and_order_and_a_slip_is_refused() {
        let read = |heading: &[&str]| Table::of(heading.iter().copied());
        let table = read(&["\u{feff}MRN", " Old card ", "NAME"]).expect("understood");
        assert_eq!(table.columns, ["mrn", "old_card", "name"]);
        let wrong: [(&[&str], &str); 4] = [
            (&["mrn", "birthday"], "column 2"),
            (&["mrn", "mrn"], "two columns"),
            (&["name"], "mrn"),
            (&["22015985", "Nguyễn Văn An"], "column 1"),
        ];
        for (heading, why) in wrong {
            let error = read(heading).expect_err("a slip");
            assert!(error.contains(why) && !error.contains("Nguyễn") && !error.contains("22015985"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_its_value() {
        let table = Table::of(["mrn", "birth", "sex"].into_iter()).expect("understood");
        for (line, why) in [
            (vec!["1", "31/02/1978", "M"], "birth"),
            (vec!["1", "1978", "chàng"], "sex"),
            (vec!["", "1978", "M"], "mrn"),
            (vec!["1", "1978"], "2 cells under 3 columns"),
        ] {
            let error = table.read(&line).expect_err("refused");
            assert!(error.contains(why) && !error.contains("chàng") && !error.contains("1978"), "{error}");
        }
        assert_eq!(turned("5/3/1978"), "1978-03-05");
        assert_eq!(moment("28/11/2026 08:30"), Some(("20261128".into(), "083000".into())));
        assert_eq!(moment("2026-11-28"), Some(("20261128".into(), "000000".into())));
        assert_eq!([moment("2026-11-28 8h30"), moment("2026-11-28 24:00"), moment("2026-13-01")], [None, None, None]);
    }
}
