//! Proofs of the ledger checked by `scripts/verify_proof.py`: offline, with Python's standard library alone.
//!
//! The script shares nothing with the archive's code. It must accept every proof the ledger makes and refuse every
//! one that was changed, in any member.

use serde_json::{Value, json};
use sha2::Digest as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use store::ledger::{KeyFile, NewEntry};
use store::{Ledger, LedgerOptions, RealDisk};
use tempfile::TempDir;

/// A ledger of 75 entries with heads over 1, 2, 4, 7, 11 ... entries.
struct Archive {
    folder: TempDir,
    ledger: Ledger,
    sizes: Vec<u64>,
}

fn archive() -> Archive {
    let folder = tempfile::tempdir().expect("folder");
    let key = KeyFile::open_or_create(&folder.path().join("ledger.key")).expect("key");
    let options = LedgerOptions { file_bytes: 3000, ..LedgerOptions::new(folder.path().join("ledger")) };
    let (ledger, _) = Ledger::open(Arc::new(RealDisk), options, Box::new(key)).expect("ledger");
    let mut sizes = Vec::new();
    for sequence in 1..=75u64 {
        // What JSON escapes, and what it does not.
        let entry = format!("{{\"kind\":\"hold\",\"reason\":\"kiện \\\"{sequence}\\\"\\n\u{7f} \u{1f4be}/\"}}");
        ledger.append(&[NewEntry { sequence, bytes: entry.as_bytes() }]).expect("append");
        if sequence == 1 + sizes.len() as u64 * (1 + sizes.len() as u64) / 2 || sequence == 75 {
            let head = ledger.sync_and_sign(1_790_000_000_000 + sequence * 86_400_000).expect("sign");
            sizes.push(head.head.size);
        }
    }
    Archive { folder, ledger, sizes }
}

impl Archive {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    fn key(&self) -> String {
        self.ledger.view().public_key().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn inclusion(&self, index: u64) -> Value {
        serde_json::from_str(&self.ledger.view().proof_document(index).expect("proof")).expect("JSON")
    }

    fn consistency(&self, first: u64, second: u64) -> Value {
        let text = self.ledger.view().consistency_document(first, second).expect("proof");
        serde_json::from_str(&text).expect("JSON")
    }
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/verify_proof.py");

/// Runs the script's `main` over a list of files that it must refuse by itself.
const REFUSE_ALL: &str = r#"
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(sys.argv[1]))
import verify_proof
lines = open(sys.argv[2], encoding="utf-8").read().splitlines()
for line in lines:
    path, what = line.split("\t")
    sys.argv = ["verify_proof.py", path]
    try:
        verify_proof.main()
    except SystemExit as refusal:
        if "NOT PROVEN" in str(refusal.code):
            continue
    sys.exit(f"{what} passes")
print(len(lines), "refused")
"#;

/// Isolated and without site packages: what the script needs must be Python's own.
fn python() -> Command {
    let mut command = Command::new(std::env::var_os("KHOANH_PYTHON").unwrap_or_else(|| "python3".into()));
    command.args(["-I", "-S"]).env("PYTHONIOENCODING", "utf-8");
    command
}

fn verify(arguments: &[&str], proofs: &[PathBuf]) -> Output {
    let mut command = python();
    command.arg(SCRIPT).args(arguments).args(proofs);
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/prepare test"))
}

pub(crate) fn accept(arguments: &[&str], proofs: &[PathBuf]) -> String {
    let output = verify(arguments, proofs);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The script must say no by itself, not fall over.
pub(crate) fn refuse(arguments: &[&str], proof: PathBuf, what: &str) -> String {
    let output = verify(arguments, &[proof]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{what} passes: {}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("NOT PROVEN") && !said.contains("Traceback"), "{what}: {said}");
    said
}

#[test]
fn every_proof_is_accepted_and_said_in_plain_words() {
    let archive = archive();
    let mut proofs = Vec::new();
    for index in 0..75 {
        let text = archive.ledger.view().proof_document(index).expect("proof");
        proofs.push(archive.write(&format!("entry-{index}.json"), &text));
    }
    for (at, first) in archive.sizes.iter().enumerate() {
        for second in archive.sizes.iter().skip(at) {
            let text = archive.ledger.view().consistency_document(*first, *second).expect("proof");
            proofs.push(archive.write(&format!("heads-{first}-{second}.json"), &text));
        }
    }
    let said = accept(&["--trusted", &archive.key()], &proofs);
    assert!(said.contains("entry 4 is in the ledger"), "{said}");
    assert!(said.contains("mục 4 có trong sổ cái"), "{said}");
    assert!(said.contains("kiện \\\"5\\\"\\n\\x7f \u{1f4be}/"), "nothing that a terminal obeys: {said}");
    assert!(said.contains("head / mốc ký: 75 entries, root "), "{said}");
    assert!(said.contains("older head / mốc cũ: 11 entries, root "), "{said}");
    assert_eq!(said.matches(" is in the ledger").count(), 75);
    assert!(!said.contains("brings its own key"));
    let said = accept(&[], &proofs[..1]);
    assert!(said.contains("brings its own key"), "{said}");
}

#[test]
fn the_trusted_key_may_be_a_pem_file_and_no_other_key_passes() {
    let archive = archive();
    let proof = archive.write("proof.json", &archive.ledger.view().proof_document(3).expect("proof"));
    // RFC 8410: the public key after twelve fixed bytes, in base 64.
    let der: Vec<u8> = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0]
        .into_iter()
        .chain(*archive.ledger.view().public_key())
        .collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&der));
    let pem = archive.write("ledger.pub", &pem);
    accept(&["--trusted", &pem.display().to_string()], std::slice::from_ref(&proof));
    let hex = archive.write("ledger.hex", &format!("{}\n", archive.key()));
    accept(&["--trusted", &hex.display().to_string()], std::slice::from_ref(&proof));
    let other = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    let said = refuse(&["--trusted", other], proof.clone(), "another key");
    assert!(said.contains("not by the trusted one"), "{said}");
    refuse(&["--trusted", "abc"], proof, "a key that is none");
}

fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = char::from(alphabet[group >> (18 - 6 * at) & 63]);
            text.push(if at <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

/// Every way to change one value of a document: another digit, another number, nothing there.
fn tampered(document: &Value) -> Vec<(String, Value)> {
    let mut changed = Vec::new();
    for pointer in pointers(document, "") {
        let value = document.pointer(&pointer).expect("there");
        let mut others = vec![json!(null), json!([]), json!("00"), json!(-1), json!(1e30)];
        match value {
            Value::String(text) => others.extend([json!(flip(text, 0)), json!(flip(text, text.len() / 2))]),
            Value::Number(number) => {
                let number = number.as_u64().expect("unsigned");
                others.extend([json!(number + 1), json!(number ^ 2), json!(number + (1 << 40)), json!(true)]);
            }
            Value::Array(steps) => {
                let (mut longer, mut turned) = (steps.clone(), steps.clone());
                longer.push(steps.first().cloned().expect("a path with steps"));
                turned.reverse();
                others.extend([json!(longer), json!(steps[1..]), json!(turned)]);
            }
            _ => {}
        }
        for other in others {
            let mut copy = document.clone();
            let what = format!("{pointer} = {other}");
            *copy.pointer_mut(&pointer).expect("there") = other;
            if copy != *document {
                changed.push((what, copy));
            }
        }
        let (parent, member) = pointer.rsplit_once('/').expect("below the root");
        let mut copy = document.clone();
        if let Some(object) = copy.pointer_mut(parent).and_then(Value::as_object_mut) {
            object.remove(member);
            changed.push((format!("{pointer} is gone"), copy));
        }
    }
    changed
}

fn pointers(value: &Value, base: &str) -> Vec<String> {
    let mut found: Vec<String> = if base.is_empty() { Vec::new() } else { vec![base.to_owned()] };
    if let Value::Object(members) = value {
        found.extend(members.iter().flat_map(|(name, value)| pointers(value, &format!("{base}/{name}"))));
    }
    if let Value::Array(steps) = value {
        found.extend((0..).zip(steps).flat_map(|(at, step)| pointers(step, &format!("{base}/{at}"))));
    }
    found
}

/// Another character in its place: still a digit, or still text.
fn flip(text: &str, at: usize) -> String {
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at) && *at < text.len()).unwrap_or(0);
    let old = text[at..].chars().next().expect("a character");
    let new = if old == '0' { '1' } else { '0' };
    format!("{}{new}{}", &text[..at], &text[at + old.len_utf8()..])
}

#[test]
fn a_proof_changed_anywhere_is_refused() {
    let archive = archive();
    let documents =
        [archive.inclusion(20), archive.inclusion(74), archive.consistency(11, 75), archive.consistency(16, 75)];
    let tampered: Vec<(String, Value)> = documents.iter().flat_map(tampered).collect();
    let mut list = String::new();
    for (number, (what, changed)) in tampered.iter().enumerate() {
        let path = archive.write(&format!("tampered-{number}.json"), &changed.to_string());
        list.push_str(&format!("{}\t{}\n", path.display(), what.replace('\n', " ")));
    }
    let list = archive.write("list", &list);
    // One Python for all of them: starting it takes longer than checking a proof.
    let output =
        python().args(["-c", REFUSE_ALL]).args([SCRIPT, &list.display().to_string()]).output().expect("Python");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), format!("{} refused", tampered.len()));
    assert!(tampered.len() > 300, "{}", tampered.len());
    println!("{} changed proofs refused", tampered.len());
}

#[test]
fn a_document_that_says_two_things_or_nothing_is_refused() {
    let archive = archive();
    let text = archive.inclusion(20).to_string();
    let twice = text.replacen('{', "{\"entry\":\"{\\\"kind\\\":\\\"forged\\\"}\",", 1);
    for (what, text) in
        [("a member twice", twice.as_str()), ("half a document", &text[..text.len() / 2]), ("a list", "[]")]
    {
        let path = archive.write("odd.json", text);
        refuse(&[], path, what);
    }
    refuse(&[], archive.folder.path().join("absent.json"), "no file");
}

#[test]
fn a_ledger_that_forgot_something_cannot_continue_the_old_head() {
    // Two ledgers of one key that differ in entry 5: what rewriting history would look like.
    let folder = tempfile::tempdir().expect("folder");
    let key = || Box::new(KeyFile::open_or_create(&folder.path().join("ledger.key")).expect("key"));
    let make = |name: &str, forged: u64| {
        let options = LedgerOptions::new(folder.path().join(name));
        let (ledger, _) = Ledger::open(Arc::new(RealDisk), options, key()).expect("ledger");
        for sequence in 1..=20 {
            let kind = if sequence == forged { "forged" } else { "stored" };
            let entry = format!("{{\"kind\":\"{kind}\",\"n\":{sequence}}}");
            ledger.append(&[NewEntry { sequence, bytes: entry.as_bytes() }]).expect("append");
            if sequence == 8 || sequence == 20 {
                ledger.sync_and_sign(1_790_000_000_000).expect("sign");
            }
        }
        serde_json::from_str::<Value>(&ledger.view().consistency_document(8, 20).expect("proof")).expect("JSON")
    };
    let (honest, forged) = (make("honest", 0), make("forged", 5));
    let mut mixed = forged;
    mixed["first"] = honest["first"].clone();
    let path = folder.path().join("mixed.json");
    std::fs::write(&path, mixed.to_string()).expect("written");
    let said = refuse(&[], path, "an old head of another history");
    assert!(said.contains("does not lead to"), "{said}");
}

#[test]
fn a_tombstone_is_proven_by_the_entry_with_its_seal_and_by_no_other() {
    let folder = tempfile::tempdir().expect("folder");
    let key = KeyFile::open_or_create(&folder.path().join("ledger.key")).expect("key");
    let options = LedgerOptions::new(folder.path().join("ledger"));
    let (ledger, _) = Ledger::open(Arc::new(RealDisk), options, Box::new(key)).expect("ledger");
    let stone = json!({"study": {"facility": "56001", "study": "1.2.3"}, "destroyed_at": 6, "blind": "09"}).to_string();
    let seal: String = sha2::Sha256::digest(&stone).iter().map(|byte| format!("{byte:02x}")).collect();
    for (sequence, event) in [(1, "study-destroyed"), (2, "stored")] {
        let entry = json!({"at": 6, "event": event, "record": sequence, "seal": seal}).to_string();
        ledger.append(&[NewEntry { sequence, bytes: entry.as_bytes() }]).expect("append");
    }
    ledger.sync_and_sign(7).expect("sign");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let proofs: Vec<PathBuf> = [0, 1]
        .map(|index| write(&format!("entry-{index}.json"), &ledger.view().proof_document(index).expect("proof")))
        .into();
    let path = write("tombstone.json", &stone).display().to_string();
    let said = accept(&["--tombstone", &path], &proofs[..1]);
    assert!(said.contains("tombstone of study 56001/1.2.3, destroyed 1970-01-01 00:00:00 UTC"), "{said}");
    refuse(&["--tombstone", &path], proofs[1].clone(), "a seal in an entry of something else");
    let changed = write("changed.json", &stone.replace("1.2.3", "1.2.4")).display().to_string();
    let said = refuse(&["--tombstone", &changed], proofs[0].clone(), "a changed tombstone");
    assert!(said.contains("no proven entry holds its seal"), "{said}");
    let noise = write("noise", "\u{0}").display().to_string();
    refuse(&["--tombstone", &noise], proofs[0].clone(), "no tombstone");
}

/// The layouts that FORMAT.md repeats stand in the modules that write them.
#[test]
fn the_format_document_has_the_layouts_of_the_code() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("text");
    let page = read("docs/FORMAT.md");
    let page: Vec<&str> = page.lines().map(str::trim_end).collect();
    let mut compared = 0;
    for file in ["layout", "entries", "tree", "head"] {
        let source = read(&format!("src/store/ledger/{file}.rs"));
        let documented = source.lines().map_while(|line| line.strip_prefix("//!"));
        let mut inside = false;
        for line in documented.map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()) {
            if line.starts_with("```") {
                inside = !inside;
            } else if inside {
                assert!(page.contains(&line), "docs/FORMAT.md lacks {line:?} of {file}.rs");
                compared += 1;
            }
        }
    }
    assert!(compared > 30, "{compared} lines");
}
