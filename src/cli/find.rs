//! `khoanh find`: asks another archive by C-FIND what it has, for the operator who looks for a study.
//!
//! It needs no archive. Answers are shown as they come; nothing here fetches anything.

use super::dicom::Call;
use super::{Exit, Failure, show};
use clap::{Args, ValueEnum};
use dataset::identifier::Identifier;
use dimse::scu::pull::Key;
use dimse::scu::{Answer, CallError, Requestor};
use model::AttrKey;
use serde_json::{Map, Value};

pub(super) const HELP: &str = "\
A key is a keyword or a tag of eight hexadecimal digits, with =VALUE to match and without to be told:
  khoanh find 10.1.2.3:104 --called PACS1 PatientID=BN0042 StudyDate=20260101- StudyDescription
Values may hold * and ?, ranges with -, and lists of UIDs with a backslash, as the standard says.";

/// Answers after which the widths of columns stay as they are.
const WIDTHS_OF: usize = 200;
/// Widest column, in characters.
const WIDTH_MAX: usize = 64;

/// Query/Retrieve level (PS3.4 C.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Studies.
    Study,
    /// Series of a study.
    Series,
    /// Objects of a series.
    Image,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }

    /// What is shown where nothing is asked for.
    fn columns(self) -> &'static [u32] {
        match self {
            Self::Study => &[
                0x0010_0020,
                0x0010_0010,
                0x0008_0020,
                0x0008_0061,
                0x0008_0050,
                0x0008_1030,
                0x0020_1208,
                0x0020_000D,
            ],
            Self::Series => &[0x0008_0060, 0x0020_0011, 0x0008_103E, 0x0020_1209, 0x0020_000D, 0x0020_000E],
            Self::Image => &[0x0020_0013, 0x0008_0016, 0x0020_000D, 0x0020_000E, 0x0008_0018],
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Find {
    #[command(flatten)]
    call: Call,
    /// What is asked for.
    #[arg(long, value_enum, default_value = "study")]
    level: Level,
    /// Answers shown; the others are counted.
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Keys to match or to be told.
    #[arg(value_name = "KEY[=VALUE]", value_parser = wanted)]
    keys: Vec<(AttrKey, String)>,
}

/// Parses a key.
fn wanted(text: &str) -> Result<(AttrKey, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let key = AttrKey::parse(name).or_else(|| dataset::tag_of_keyword(name).map(AttrKey::root));
    let key = key.ok_or_else(|| format!("{name} is neither a keyword of PS3.6 nor a tag of eight digits"))?;
    Ok((key, value.to_owned()))
}

fn vr_of(key: AttrKey) -> String {
    dataset::dictionary_vr(key.tag).map_or("UN".into(), |listed| listed.relaxed().as_str().to_owned())
}

fn name_of(key: AttrKey) -> String {
    let root = (key.sequence == 0).then(|| dataset::keyword(key.tag)).flatten();
    root.map_or_else(|| key.to_string(), ToOwned::to_owned)
}

pub(super) fn find(wanted: &Find) -> Result<Exit, Failure> {
    let mut keys = wanted.keys.clone();
    // Names alone do not narrow: with no column named, those of the level are shown beside what is matched.
    if keys.iter().all(|(_, value)| !value.is_empty()) {
        let more = wanted.level.columns().iter().map(|tag| AttrKey::root(*tag));
        let more: Vec<_> = more.filter(|key| keys.iter().all(|(known, _)| known != key)).collect();
        keys.extend(more.into_iter().map(|key| (key, String::new())));
    }
    let columns: Vec<AttrKey> = keys.iter().map(|(key, _)| *key).collect();
    let vrs: Vec<String> = columns.iter().map(|key| vr_of(*key)).collect();
    let mut asked: Vec<Key<'_>> = vec![(AttrKey::root(0x0008_0052), "CS", wanted.level.name())];
    asked.extend(keys.iter().zip(&vrs).map(|((key, value), vr)| (*key, vr.as_str(), value.as_str())));

    let mut table = Table::new(columns, wanted.json);
    let (mut count, mut trouble) = (0usize, None);
    let answer = ask(&wanted.call, &asked, &mut |found| {
        count = count.saturating_add(1);
        if count <= wanted.limit && trouble.is_none() {
            trouble = table.row(found).err();
        }
    })?;
    table.end()?;
    trouble.map_or(Ok(()), Err)?;
    if !answer.is_success() {
        let shown = if count > 0 { format!("; {count} found before") } else { String::new() };
        let what = format!("{}{shown}", wanted.call.answered("C-FIND", &answer));
        return Err(Failure::new(Exit::Failed, what));
    }
    match count > wanted.limit {
        true => eprintln!("{count} found, {} shown (--limit)", wanted.limit),
        false => eprintln!("{count} found"),
    }
    Ok(Exit::Done)
}

/// Asks once, on an association of its own.
///
/// # Errors
/// When there is no association, or it is lost before the last answer.
pub(super) fn ask(call: &Call, keys: &[Key<'_>], each: &mut dyn FnMut(Identifier)) -> Result<Answer, Failure> {
    let failed = |error: CallError| call.failed(&error);
    let mut association = Requestor::open_to_find(&call.peer(), &call.limits()).map_err(failed)?;
    let answer = association.find(keys, each).map_err(failed)?;
    // All answers are here; how the association ends changes nothing.
    let _ = association.release();
    Ok(answer)
}

/// The value of a key in an answer, without padding; empty when it is not there.
pub(super) fn value(found: &Identifier, key: AttrKey) -> &str {
    let text = found.keys.iter().find(|one| one.key == key).map_or("", |one| one.text.as_str());
    text.trim_matches([' ', '\0'])
}

/// Answers as lines.
struct Table {
    columns: Vec<AttrKey>,
    json: bool,
    /// Rows that wait until the widths are known; none once they are.
    waiting: Option<Vec<Vec<String>>>,
    widths: Vec<usize>,
}

impl Table {
    fn new(columns: Vec<AttrKey>, json: bool) -> Self {
        let header: Vec<String> = columns.iter().map(|key| name_of(*key)).collect();
        let widths = vec![0; columns.len()];
        Self { columns, json, waiting: Some(vec![header]), widths }
    }

    fn row(&mut self, found: Identifier) -> Result<(), Failure> {
        if self.json {
            let named = |key: &AttrKey| (name_of(*key), Value::from(value(&found, *key)));
            let line: Map<String, Value> = self.columns.iter().map(named).collect();
            return show(&format!("{}\n", Value::Object(line))).map(|_| ());
        }
        // What a peer sends must not steer the terminal.
        let plain = |key: &AttrKey| value(&found, *key).replace(char::is_control, "?");
        let row: Vec<String> = self.columns.iter().map(plain).collect();
        let Some(waiting) = &mut self.waiting else { return show(&self.line(&row)).map(|_| ()) };
        waiting.push(row);
        if waiting.len() > WIDTHS_OF { self.end() } else { Ok(()) }
    }

    /// Shows the rows that wait.
    fn end(&mut self) -> Result<(), Failure> {
        let Some(waiting) = self.waiting.take().filter(|_| !self.json) else { return Ok(()) };
        for row in &waiting {
            for (width, value) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(value.chars().count().min(WIDTH_MAX));
            }
        }
        waiting.iter().try_for_each(|row| show(&self.line(row)).map(|_| ()))
    }

    fn line(&self, row: &[String]) -> String {
        let cells = row.iter().zip(&self.widths).map(|(value, width)| format!("{value:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_keywords_or_tags_with_or_without_a_value() {
        let date = AttrKey::root(0x0008_0020);
        assert_eq!(wanted("StudyDate=20260101-"), Ok((date, "20260101-".into())));
        assert_eq!(wanted("00080020"), Ok((date, String::new())));
        assert_eq!(wanted("PatientName=a=b").map(|(_, value)| value), Ok("a=b".into()));
        assert!(wanted("StudyDat").is_err_and(|why| why.contains("StudyDat")));
    }

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let mut table = Table::new(vec![AttrKey::root(0x0010_0020), AttrKey::root(0x0010_0010)], false);
        table.waiting.as_mut().expect("waits").push(vec!["BN00000042".into(), "NGUYỄN".into()]);
        let rows = table.waiting.clone().expect("waits");
        table.end().expect("shown");
        assert_eq!(table.line(rows.first().expect("header")), "PatientID   PatientName\n");
        assert_eq!(table.line(rows.last().expect("row")), "BN00000042  NGUYỄN\n");
    }
}
