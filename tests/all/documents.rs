//! What the documents promise about themselves: links lead somewhere, one sentence per line, ADRs numbered.

#[path = "documents/commands.rs"]
mod commands;

use crate::tidy::{files, repository};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn markdown() -> Vec<(PathBuf, String)> {
    let documents = files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents.map(|path| (path.clone(), fs::read_to_string(repository().join(&path)).expect("text"))).collect()
}

/// Lines of prose with their numbers: neither code blocks nor tables nor headings.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with('|') && !line.starts_with('#') && !line.starts_with("    ") {
            lines.push((number + 1, line));
        }
    }
    lines
}

/// The anchor a heading gets on code hosts: lower case, spaces to hyphens, other marks dropped.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

fn link_targets(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target)).collect()
}

fn broken(document: &Path, text: &str, target: &str) -> bool {
    if target.starts_with("http://") || target.starts_with("https://") || target.starts_with("mailto:") {
        return false;
    }
    let (path, wanted) = target.split_once('#').unwrap_or((target, ""));
    let folder = document.parent().unwrap_or(Path::new(""));
    let file = repository().join(folder).join(path);
    if path.is_empty() {
        return !anchors(text).contains(wanted);
    }
    if wanted.is_empty() {
        return !file.exists();
    }
    !fs::read_to_string(&file).is_ok_and(|other| anchors(&other).contains(wanted))
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut offences = Vec::new();
    for (path, text) in markdown() {
        for (number, line) in
            prose(&text).into_iter().chain(text.lines().enumerate().filter(|(_, l)| l.starts_with('|')))
        {
            for target in link_targets(line).into_iter().filter(|target| broken(&path, &text, target)) {
                offences.push(format!("{}:{number}: {target}", path.display()));
            }
        }
    }
    assert!(offences.is_empty(), "links that lead nowhere:\n  {}", offences.join("\n  "));
}

#[test]
fn prose_has_one_sentence_per_line() {
    let mut offences = Vec::new();
    for (path, text) in markdown() {
        for (number, line) in prose(&text) {
            if second_sentence(line) {
                offences.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    assert!(offences.is_empty(), "more than one sentence on a line:\n  {}", offences.join("\n  "));
}

/// Whether a full stop after a word of two letters or more is followed by a capital.
fn second_sentence(line: &str) -> bool {
    line.match_indices(". ").any(|(at, _)| {
        let (before, after) = line.split_at(at);
        let word = before.chars().rev().take_while(|c| c.is_alphabetic()).count();
        let capital = after.chars().nth(2).is_some_and(char::is_uppercase);
        word >= 2 && capital && !before.ends_with("vol") && !before.ends_with("PS3")
    })
}

#[test]
fn decisions_are_numbered_without_a_gap() {
    let mut numbers = Vec::new();
    for path in files().into_iter().filter(|path| path.starts_with("docs/adr")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.split('-').next().and_then(|number| number.parse::<u32>().ok());
        numbers.push(number.unwrap_or_else(|| panic!("{name} does not begin with its number")));
        let text = fs::read_to_string(repository().join(&path)).expect("text");
        for heading in ["## Context", "## Decision", "## Consequences", "## Checked by"] {
            assert!(text.contains(heading), "{name} has no {heading:?}");
        }
    }
    let expected: Vec<u32> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}

/// Lines inside the fenced blocks and tables of a module's `//!` text.
fn module_tables(path: &str) -> Vec<String> {
    let source = fs::read_to_string(repository().join(path)).expect("source text");
    let (mut fenced, mut found) = (false, Vec::new());
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with('|') && !line.contains("[`") {
            found.push(line.trim_end().to_owned());
        }
    }
    found
}

#[test]
fn the_format_page_holds_the_layouts_of_the_code() {
    let page = fs::read_to_string(repository().join("docs/FORMAT.md")).expect("docs/FORMAT.md");
    let lines: BTreeSet<&str> = page.lines().map(str::trim_end).collect();
    let mut missing = Vec::new();
    for path in ["src/store/journal/layout.rs", "src/index/rocks/tables.rs", "src/index/charts/keys.rs"] {
        let wanted = module_tables(path);
        assert!(wanted.len() > 10, "{path} has no layout to compare");
        missing.extend(wanted.into_iter().filter(|line| !lines.contains(line.as_str())));
    }
    assert!(missing.is_empty(), "docs/FORMAT.md lacks or alters:\n  {}", missing.join("\n  "));
}

#[test]
fn the_rules_notice_what_they_are_for() {
    assert!(second_sentence("A thing is so. Another is not."));
    assert!(!second_sentence("See PS3.18 section 8.7.3, e.g. Table 1."));
    assert_eq!(anchor(" Write order, and crashes"), "write-order-and-crashes");
    assert!(broken(Path::new("README.md"), "", "docs/NOTHING.md"));
}

#[test]
fn every_fuzz_target_is_run_has_seeds_and_is_described() {
    let text = |path: &str| fs::read_to_string(repository().join(path)).expect(path);
    let (script, seeds, described) = (text("scripts/fuzz"), text("scripts/fuzz-seeds"), text("docs/TESTING.md"));
    let run =
        script.lines().find_map(|line| line.split_once("targets=(")?.1.strip_suffix(')').filter(|all| all.len() > 9));
    let run: BTreeSet<&str> = run.expect("the targets of scripts/fuzz").split(' ').collect();
    let files = files();
    let targets = files.iter().filter(|path| path.starts_with("fuzz/targets"));
    let targets: BTreeSet<&str> = targets.filter_map(|path| path.file_stem()?.to_str()).collect();
    assert_eq!(run, targets, "scripts/fuzz runs other targets than there are");
    for target in targets {
        assert!(seeds.contains(&format!("folder / \"{target}\"")), "scripts/fuzz-seeds has nothing for {target}");
        assert!(described.contains(&format!("\n| `{target}`")), "docs/TESTING.md does not describe {target}");
    }
}

/// What stands between backticks in the tables of a section.
fn named_in_tables<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let section = text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map_or("", |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect()
}

/// `a/{b,c}.rs` as its two paths.
fn paths(text: &str) -> Vec<String> {
    match text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        Some((before, (names, after))) => names.split(',').map(|name| format!("{before}{name}{after}")).collect(),
        None => vec![text.to_owned()],
    }
}

#[test]
fn every_test_that_the_tables_of_bad_days_name_is_there() {
    let page = fs::read_to_string(repository().join("docs/TESTING.md")).expect("docs/TESTING.md");
    let files: Vec<PathBuf> =
        files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).collect();
    let sources: Vec<String> =
        files.iter().map(|path| fs::read_to_string(repository().join(path)).expect("text")).collect();
    let names: BTreeSet<&str> = sources
        .iter()
        .flat_map(|text| text.split("fn ").skip(1))
        .filter_map(|rest| rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next())
        .collect();
    let (mut missing, mut tests) = (Vec::new(), 0);
    for named in named_in_tables(&page, "## Bad days", "## Longer runs") {
        let is_test = named.contains('_')
            && named.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_…".contains(c));
        if named.ends_with(".rs") {
            let is_there = |path: &String| files.iter().any(|file| file.ends_with(path));
            missing.extend(paths(named).into_iter().filter(|path| !is_there(path)));
        } else if is_test {
            tests += 1;
            let is_there = match named.strip_suffix('…') {
                Some(begins) => names.iter().any(|name| name.starts_with(begins)),
                None => names.contains(named),
            };
            missing.extend((!is_there).then(|| named.to_owned()));
        }
    }
    assert!(tests > 15, "the tables name {tests} tests");
    assert!(missing.is_empty(), "docs/TESTING.md names what is not there:\n  {}", missing.join("\n  "));
}
