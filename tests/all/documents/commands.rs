//! What documents say is typed and configured can be: commands with their options, keys of the configuration.

use super::markdown;
use crate::tidy::repository;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Every command by its words, with the options that its help names.
type Commands = BTreeMap<Vec<String>, BTreeSet<String>>;

/// Left out of the help.
const HIDDEN: &str = "conformance";
/// Last words of names of files, which look like keys.
const FILES: [&str; 6] = ["pem", "json", "marks", "new", "damaged", "rs"];

fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
    words.filter(|word| word.len() > 2 && word.starts_with("--")).map(str::to_owned).collect()
}

/// Asks a command and all below it for their help.
fn ask(path: &[String], found: &mut Commands) {
    let output = Command::new(env!("CARGO_BIN_EXE_khoanh")).args(path).arg("--help").output().expect("runs");
    assert!(output.status.success(), "khoanh {path:?} --help");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let below = text.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let lines = below.lines().take_while(|line| line.is_empty() || line.starts_with("  "));
    let names = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| is_word(line));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        ask(&[path, &[name.to_owned()]].concat(), found);
    }
    found.insert(path.to_vec(), options(&text));
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// What is wrong with the commands of a line.
fn wrong(line: &str, commands: &Commands) -> Vec<String> {
    let mut offences = Vec::new();
    for said in line.split("khoanh ").skip(1).map(|rest| rest.split('`').next().unwrap_or("")) {
        let words: Vec<&str> = said.split([' ', '|', ',']).collect();
        let mut path: Vec<String> = Vec::new();
        for word in &words {
            path.push((*word).to_owned());
            if !commands.contains_key(&path) {
                path.pop();
                break;
            }
        }
        let next = words.get(path.len()).copied().filter(|word| is_word(word) && *word != HIDDEN);
        let typed = line.contains(&format!("`khoanh {said}")) || line.starts_with("khoanh ");
        let more = commands.keys().any(|other| other.len() == path.len() + 1 && other.starts_with(&path));
        if let Some(next) = next.filter(|_| more && (typed || !path.is_empty())) {
            offences.push(format!("khoanh {} has no command {next}", path.join(" ")));
        }
        let known = commands.get(&path).filter(|_| !path.is_empty());
        let unknown = options(said).into_iter().filter(|option| known.is_some_and(|known| !known.contains(option)));
        offences.extend(unknown.map(|option| format!("khoanh {} has no option {option}", path.join(" "))));
    }
    offences
}

#[test]
fn commands_in_documents_exist_with_their_options() {
    let mut commands = Commands::new();
    ask(&[], &mut commands);
    assert!(wrong("`khoanh tiers run --yes`, `khoanh status`", &commands).is_empty());
    for broken in
        ["`khoanh tires run`", "khoanh tiers walk", "khoanh tiers run --now", "`khoanh tiers status` `khoanh x`"]
    {
        assert!(!wrong(broken, &commands).is_empty(), "{broken}");
    }
    let mut offences = Vec::new();
    // The words there begin files and stand in what is hashed.
    for (path, text) in markdown().into_iter().filter(|(path, _)| path != Path::new("docs/FORMAT.md")) {
        for (number, line) in text.lines().enumerate() {
            let found = wrong(line, &commands).into_iter();
            offences.extend(found.map(|what| format!("{}:{}: {what}", path.display(), number + 1)));
        }
    }
    assert!(offences.is_empty(), "commands that are none:\n  {}", offences.join("\n  "));
}

/// Sections and keys of the delivered configuration, `section.key`.
fn keys() -> (BTreeSet<String>, BTreeSet<String>) {
    let text = fs::read_to_string(repository().join("config/khoanh.toml")).expect("the configuration");
    let (mut sections, mut keys, mut section) = (BTreeSet::new(), BTreeSet::new(), String::new());
    for line in text.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_owned();
            sections.extend(section.split('.').next().map(str::to_owned));
            keys.insert(section.clone());
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(format!("{section}.{key}"));
        }
    }
    (sections, keys)
}

#[test]
fn keys_of_the_configuration_in_documents_exist() {
    let (sections, keys) = keys();
    assert!(keys.contains("dicom.tls.listen") && keys.contains("packs.after"), "{keys:?}");
    let looks_like_one = |name: &str| {
        let (section, last) = (name.split('.').next(), name.rsplit('.').next());
        name.contains('.')
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.')
            && section.is_some_and(|section| sections.contains(section))
            && last.is_some_and(|last| !FILES.contains(&last))
    };
    let mut offences = Vec::new();
    for (path, text) in markdown() {
        for (number, line) in text.lines().enumerate() {
            let code = line.split('`').skip(1).step_by(2).map(|code| code.split(" = ").next().unwrap_or(code));
            let unknown = code.filter(|name| looks_like_one(name) && !keys.contains(*name));
            offences.extend(unknown.map(|name| format!("{}:{}: {name}", path.display(), number + 1)));
        }
    }
    assert!(offences.is_empty(), "keys that are none:\n  {}", offences.join("\n  "));
}
