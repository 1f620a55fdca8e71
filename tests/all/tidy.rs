//! The rules of the repository that neither the compiler nor clippy knows.
//!
//! Layer fences come from `cargo metadata`; the rest reads the sources as text.
//! Documents are checked in `documents.rs`.

#[path = "tidy/rust_text.rs"]
mod rust_text;

use rust_text::{blank_comments_and_strings, functions, without_test_items};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest file, in lines.
const FILE_LINES_MAX: usize = 500;
/// Longest function, in lines from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 60;

/// Who may depend on whom inside the workspace: dependencies point downward only (docs/ARCHITECTURE.md).
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("tls", &["model"]),
    ("dataset", &["model"]),
    ("codec", &["dataset"]),
    ("store", &["model"]),
    ("index", &["model"]),
    ("archive", &["codec", "dataset", "store", "index", "model"]),
    ("dimse", &["archive", "dataset", "model", "tls"]),
    ("web", &["archive", "dataset", "model", "tls"]),
    ("his", &["archive", "model", "tls"]),
    ("root", &["archive", "codec", "dataset", "dimse", "his", "index", "model", "store", "tls", "web"]),
];

/// Outside crates that only one of ours may name, so that they can be replaced.
const FENCED: &[(&str, &str)] = &[
    ("rocksdb", "index"),
    ("blake3", "model"),
    ("dicom-ul", "dimse"),
    ("axum", "web"),
    ("hyper", "web"),
    ("clap", "root"),
    ("charls-sys", "codec"),
    ("jxl-oxide", "codec"),
    ("libc", "codec"),
    ("openjpeg-sys", "codec"),
    ("turbojpeg-sys", "codec"),
    ("cryptoki", "store"),
    ("x509-cert", "tls"),
    ("object_store", "store"),
    ("aws-sdk-s3", "store"),
];

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every tracked or new file that git would commit, relative to the root.
pub(crate) fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output();
    let listed = match output {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).expect("paths are UTF-8"),
        // A source archive without git: walk the tree instead.
        _ => return walk(repository()),
    };
    let names: BTreeSet<PathBuf> = listed.lines().map(PathBuf::from).collect();
    names.into_iter().filter(|name| repository().join(name).is_file()).collect()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && ![".git", "target", "data", "out"].iter().any(|skip| name == *skip) {
            found.extend(walk(&path));
        } else if path.is_file() {
            found.push(path.strip_prefix(repository()).expect("inside the repository").to_path_buf());
        }
    }
    found
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| (path.clone(), fs::read_to_string(repository().join(&path)).expect("source text"))).collect()
}

/// Code that ships: below `src`, outside the test kit and outside modules that exist for tests only.
fn shipped() -> Vec<(PathBuf, String)> {
    let all = rust_files();
    let tests: BTreeSet<PathBuf> = all.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let ships = |path: &Path| {
        let test = path.with_extension("").ancestors().any(|ancestor| tests.contains(ancestor));
        let folder =
            path.components().any(|part| ["tests", "benches", "examples"].iter().any(|name| part.as_os_str() == *name));
        let test = test || path.to_string_lossy().ends_with("_tests.rs");
        // What runs while the program is built talks to cargo, and never ships.
        let builds = path.file_name().is_some_and(|name| name == "build.rs");
        path.starts_with("src") && !builds && !path.starts_with("src/testkit") && !test && !folder
    };
    all.into_iter().filter(|(path, _)| ships(path)).collect()
}

/// The modules that a file declares for tests only, as paths without extension.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") => path.parent().unwrap_or(Path::new("")).to_path_buf(),
        _ => path.with_extension(""),
    };
    let after = text.split("#[cfg(test)]").skip(1);
    let names = after.filter_map(|item| item.trim_start().strip_prefix("mod ")?.split_once(';').map(|(name, _)| name));
    names.filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_')).map(|name| folder.join(name)).collect()
}

fn assert_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

fn metadata() -> serde_json::Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON")
}

/// Dependencies by crate, `khoanh-` cut off, the root package called `root`; development ones left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let short = |name: &str| if name == "khoanh" { "root".into() } else { name.replace("khoanh-", "") };
    let metadata = metadata();
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let named = package["dependencies"].as_array().expect("dependencies").iter();
        let shipped = named.filter(|dependency| dependency["kind"] != "dev");
        let names = shipped.map(|dependency| short(dependency["name"].as_str().expect("name")));
        found.insert(short(package["name"].as_str().expect("name")), names.collect());
    }
    found
}

#[test]
fn dependencies_point_downward_only() {
    let all = dependencies();
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).chain(["testkit", "fuzz"]).collect();
    let mut offences = Vec::new();
    for (name, named) in &all {
        let Some((_, allowed)) = EDGES.iter().find(|(edge, _)| edge == name) else {
            if !ours.contains(name.as_str()) {
                offences.push(format!("crate {name} has no row in the table of edges"));
            }
            continue;
        };
        for dependency in named.iter().filter(|dependency| ours.contains(dependency.as_str())) {
            if !allowed.contains(&dependency.as_str()) {
                offences.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    assert_none("an edge outside the table", &offences);
}

#[test]
fn an_outside_crate_that_is_fenced_is_named_by_one_of_ours() {
    let mut offences = Vec::new();
    for (name, named) in dependencies() {
        for (outside, owner) in FENCED {
            if name != *owner && name != "testkit" && name != "fuzz" && named.contains(*outside) {
                offences.push(format!("{name} names {outside}, which belongs to {owner}"));
            }
        }
    }
    assert_none("a fenced crate outside its owner", &offences);
}

#[test]
fn files_and_functions_stay_short_enough_to_read() {
    let mut offences = Vec::new();
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            offences.push(format!("{}: {lines} lines", path.display()));
        }
        for function in functions(&blank_comments_and_strings(&text)) {
            if function.lines > FUNCTION_LINES_MAX {
                let (name, line, lines) = (function.name, function.line, function.lines);
                offences.push(format!("{}:{line}: fn {name} has {lines} lines", path.display()));
            }
        }
    }
    assert_none("longer than 500 lines a file, 60 a function", &offences);
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let mut offences = Vec::new();
    for (path, text) in rust_files() {
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if !first.starts_with("//! ") {
            offences.push(format!("{} begins with {first:?}", path.display()));
        }
    }
    assert_none("a module without `//!`", &offences);
}

#[test]
fn shipped_code_neither_gives_up_nor_talks_to_the_terminal() {
    let forbidden = [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "panic!(", "process::exit("];
    // The journal's and the scanner's own invariants may assert; a peer's bytes never reach these.
    let mut offences = Vec::new();
    for (path, text) in shipped() {
        let code = without_test_items(&blank_comments_and_strings(&text));
        let command_line = path.with_extension("").starts_with("src/cli");
        for (number, line) in code.lines().enumerate() {
            let prints = ["println!(", "eprintln!(", "print!(", "eprint!("];
            let bad = forbidden.iter().find(|word| line.contains(**word) && !(command_line && word.contains("exit")));
            let bad = bad.or_else(|| prints.iter().find(|word| line.contains(**word) && !command_line));
            if let Some(word) = bad {
                offences.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert_none("a word that does not belong into shipped code", &offences);
}

#[test]
fn shipped_code_never_casts_integers_to_fewer_bits() {
    let integers = ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];
    let mut offences = Vec::new();
    for (path, text) in shipped() {
        let code = without_test_items(&blank_comments_and_strings(&text));
        for (number, line) in code.lines().enumerate() {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let casts = words.windows(3).any(|three| match three {
                // Lengths in memory are 64 bits wide on every machine this is built for: nothing is lost.
                [_, "as", "u64"] => false,
                // A named constant is known when the program is compiled.
                [name, "as", "usize"]
                    if !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_') =>
                {
                    false
                }
                [_, "as", kind] => integers.contains(kind),
                _ => false,
            });
            if casts {
                offences.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert_none("`as` loses bits without a word; use from, try_from or a named conversion", &offences);
}

#[test]
fn only_the_doors_to_c_are_unsafe() {
    let mut offences = Vec::new();
    for (path, text) in rust_files() {
        let door = path.with_extension("").starts_with("src/codec/ffi");
        let code = blank_comments_and_strings(&text);
        let unsafe_ = code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
        if unsafe_ && !door {
            offences.push(path.display().to_string());
        }
        if door && code.matches("unsafe {").count() > text.matches("// SAFETY:").count() {
            offences.push(format!("{}: an unsafe block without its reason", path.display()));
        }
    }
    assert_none("`unsafe` outside src/codec/ffi", &offences);
}

#[test]
fn only_the_index_names_its_engine() {
    let mut offences = Vec::new();
    for (path, text) in shipped() {
        if !path.starts_with("src/index") && blank_comments_and_strings(&text).contains("rocksdb") {
            offences.push(path.display().to_string());
        }
    }
    assert_none("rocksdb named outside the index", &offences);
}

#[test]
fn the_program_opens_its_archive_by_the_handle_that_closes_it() {
    let handle = Path::new("src/control/opened.rs");
    let (mut offences, mut found) = (Vec::new(), false);
    for (path, text) in shipped() {
        let opens = blank_comments_and_strings(&text).contains("Archive::open(");
        found |= opens && path == handle;
        if opens && path != handle && !path.starts_with("src/archive") {
            offences.push(path.display().to_string());
        }
    }
    assert!(found, "{} opens no archive", handle.display());
    assert_none("an archive that is opened and not closed on every way out", &offences);
}

#[test]
fn nothing_names_a_machine() {
    // Put together here so that this file does not name them either.
    let words = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];
    let mut offences = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(repository().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                offences.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert_none("a path of one machine", &offences);
}
