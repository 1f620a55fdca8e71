//! Destruction in one run, over a real S3 server: plan, approval, execution, and then nothing of the study anywhere: not
//! in the data directory, its index, the cache, a backup in a directory or in a bucket, or any version of an object.
//! The ledger proves it offline, and a study that is held is refused.
//!
//! Copies in the bucket and backups are plain here: sealed ones would hide what is looked for.

use super::rig::*;
use crate::cold::proxy::Fault;
use crate::cold::server::s3;
use crate::interop::python;
use crate::ledger::accept;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use testkit::http::Client;
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

const LIMIT: Duration = Duration::from_secs(90);

/// Looks for texts in every file of folders and in every version of every object under prefixes of buckets.
const SEARCH: &str = r#"
import json, os, sys
import boto3, zstandard
from botocore.config import Config
MAGIC = b"\x28\xb5\x2f\xfd"
told = json.load(sys.stdin)
# Frames without a dictionary, and the heads of journal records.
with open(told["dictionary"], "rb") as file:
    readers = [zstandard.ZstdDecompressor(), zstandard.ZstdDecompressor(zstandard.ZstdCompressionDict(file.read()))]
s3 = boto3.client("s3", endpoint_url=told["endpoint"], region_name=told["region"], aws_access_key_id=told["access_key"],
                  aws_secret_access_key=told["secret_key"], config=Config(s3={"addressing_style": "path"}))
needles = {name: bytes.fromhex(text) for name, text in told["needles"].items()}
found, versions, markers = {name: 0 for name in needles}, 0, 0

def look(body, where):
    """Counts the needles that are in the bytes as they are, or in any zstd frame among them."""
    texts, at = [body], body.find(MAGIC)
    while at >= 0:
        for reader in readers:
            try:
                texts.append(reader.stream_reader(body[at:]).read(1 << 28))
            except zstandard.ZstdError:
                pass
        at = body.find(MAGIC, at + 1)
    for name, needle in needles.items():
        if any(needle in text for text in texts):
            found[name] += 1
            print(name, "in", where, file=sys.stderr)

for folder in told["folders"]:
    for root, _, names in os.walk(folder):
        for one in names:
            try:
                with open(os.path.join(root, one), "rb") as file:
                    body = file.read()
            except OSError:
                continue  # it went meanwhile, or is a socket
            look(body, os.path.join(root, one))
for bucket, prefix in told["places"]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        markers += len(page.get("DeleteMarkers", []))
        for one in page.get("Versions", []):
            versions += 1
            body = s3.get_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])["Body"].read()
            look(body, one["Key"])
    uploads = s3.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", [])
    versions += len(uploads)
print(json.dumps({"found": found, "versions": versions, "markers": markers}))
"#;

/// What is looked for: name, number, and a piece of the pixels of each object.
pub(super) type Needles = BTreeMap<String, Vec<u8>>;

pub(super) fn needles(study: &Study) -> Needles {
    let mut needles = Needles::from([
        ("name".to_owned(), study.patient.name.clone().into_bytes()),
        ("number".to_owned(), study.patient.id.clone().into_bytes()),
    ]);
    for (number, object) in study.objects().enumerate() {
        let end = object.file.len();
        needles.insert(format!("pixels {number}"), object.file[end - 400..end - 368].to_vec());
    }
    needles
}

/// What a search came to.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Found {
    /// Files and versions that have each needle.
    pub(super) found: BTreeMap<String, u64>,
    pub(super) versions: u64,
    markers: u64,
}

impl Found {
    pub(super) fn nothing(&self) -> bool {
        self.found.values().all(|count| *count == 0)
    }
}

pub(super) fn search(needles: &Needles, folders: &[&Path], buckets: &[(&str, &str)]) -> Found {
    let hex = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let needles: BTreeMap<&String, String> = needles.iter().map(|(name, bytes)| (name, hex(bytes))).collect();
    let server = s3();
    let told = json!({
        "endpoint": server.endpoint, "region": server.region, "access_key": server.access_key,
        "secret_key": server.secret_key, "places": buckets, "folders": folders, "needles": needles,
        "dictionary": Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/journal/heads-1.dict"),
    });
    let mut search = Command::new(python());
    search.args(["-c", SEARCH]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = search.spawn().expect("python");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(told.to_string().as_bytes()).expect("told");
    drop(stdin);
    let Output { status, stdout, .. } = child.wait_with_output().expect("searched");
    assert!(status.success(), "the search failed; run scripts/prepare test");
    serde_json::from_slice(&stdout).expect("JSON")
}

pub(super) fn done(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments).expect("runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

fn refused(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments).expect("runs");
    assert!(!output.status.success(), "{arguments:?} was done: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(super) fn progress(server: &Server, plan: &str) -> Value {
    let answer: Value = serde_json::from_str(&done(server, &["retention", "status", plan, "--json"])).expect("JSON");
    answer["progress"].clone()
}

pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(super) fn answer(server: &Server, study: &Study, of: &str) -> u16 {
    let mut client = Client::new(server.http, LIMIT);
    client.get(&format!("/dicom-web/studies/{}{of}", study.uid), "").expect("answer").status
}

/// Three studies of three patients: one is due, one is due and held, one is young.
pub(super) fn studies() -> [Study; 3] {
    let mut number = 0;
    let mut seen = Vec::new();
    [2001, 2002, 2024].map(|year| {
        let mut study = loop {
            number += 1;
            let study = Study::draw(0xDE57, number, Kind::Tiny, 3);
            if !seen.contains(&study.patient.id) {
                break study;
            }
        };
        seen.push(study.patient.id.clone());
        study.date = format!("{year}0615");
        study.patient.birth_date = format!("{}0101", year - 40);
        study
    })
}

/// Refused while it is held, and when the hold comes after the approval.
fn a_held_one_is_refused(server: &Server, held: &Study) {
    let name = format!("DEMO0/{}", held.uid);
    done(server, &["retention", "holds", "release", "H-1", "--by", "lan", "--reason", "over"]);
    let made = done(server, &["retention", "plan", "--as-of", "2026-01-01", "--by", "Lân"]);
    assert!(made.contains(held.uid.as_str()), "{made}");
    let plan = "2026-01-01-2";
    done(server, &["retention", "approve", plan, "--by", "Minh"]);
    let hold = ["retention", "holds", "add", "--study", &name, "--reason", "case 8", "--owner", "TA", "--by", "lan"];
    done(server, &hold);
    done(server, &["retention", "execute", plan, "--by", "lan", "--yes"]);
    until("taken out", || progress(server, plan)["taken_out"] == 1);
    let why = progress(server, plan)["refused"].to_string();
    assert!(why.contains("H-2"), "{why}");
    assert_eq!(answer(server, held, ""), 200);
}

/// A rig whose studies are due after ten years and may be destroyed at once.
pub(super) fn with_rules(rig: Rig) -> Rig {
    let rules = rig.folder.path().join("rules.toml");
    fs::write(&rules, testkit::rules::file(1, &[("USUAL", "10 years")])).expect("rules");
    let rules = rules.display();
    rig.with(
        "[tier]\n",
        &format!("[retention]\nrules = \"{rules}\"\nundo_days = 0\nstudies_per_second = 1000\n[tier]\n"),
    )
}

/// From what is said of the patient to the last sweep, with every refusal on the way.
fn it_is_destroyed(server: &Server, [goes, held]: [&Study; 2]) {
    // In no picture.
    let name = format!("DEMO0/{}", goes.uid);
    let why = format!("{} asked", goes.patient.name);
    done(server, &["retention", "link", &name, "--class", "USUAL", "--by", "lan", "--reason", &why]);
    let other = format!("DEMO0/{}", held.uid);
    let hold = ["retention", "holds", "add", "--study", &other, "--reason", "case 7", "--owner", "TA", "--by", "lan"];
    assert!(done(server, &hold).contains("H-1"));
    let made = done(server, &["retention", "plan", "--as-of", "2026-01-01", "--by", "Lân"]);
    assert!(made.contains(goes.uid.as_str()) && made.contains("đang bị giữ"), "{made}");
    let plan = "2026-01-01-1";
    refused(server, &["retention", "approve", plan, "--by", "LAN"]);
    refused(server, &["retention", "execute", plan, "--by", "lan", "--yes"]);
    done(server, &["retention", "approve", plan, "--by", "Minh", "--remark", "QĐ 12"]);
    done(server, &["retention", "execute", plan, "--by", "lan", "--yes"]);
    until("destroyed and swept", || {
        let progress = progress(server, plan);
        progress["destroyed"] == 1 && progress["sweeping"] == false
    });
    for of in ["", "/metadata", "/rendered"] {
        let status = answer(server, goes, of);
        assert!(status == 404 || status == 410, "{of}: {status}");
    }
}

#[test]
fn after_a_destruction_nothing_of_the_study_is_anywhere_and_the_ledger_proves_it() {
    let rig = Rig::new("gone", TO_COLD).with("sealed = true\n", "sealed = false\n");
    // Rows of the index can be looked through, too.
    let rig = with_rules(rig.with("[index]\n", "[index]\ncompressed = false\n"));
    let [goes, held, stays] = studies();
    let objects: Vec<Object> = [&goes, &held, &stays].into_iter().flat_map(Study::objects).collect();
    // First nothing goes to the bucket but backups, so that these hold packs.
    rig.proxy.plan(|request, _| match request.target.contains("/gone/") {
        true => Fault::Answer(503, "SlowDown"),
        false => Fault::None,
    });
    let server = rig.start();
    store(&server, &objects);
    let wanted = needles(&goes);
    let data = rig.data();
    let there = search(&wanted, &[&data], &[]);
    assert!(there.found.values().all(|files| *files > 0), "the search finds nothing at all: {there:?}");
    let head = Needles::from([("head".to_owned(), br#""fact":"instance""#.to_vec())]);
    let heads = search(&head, &[&data.join("journal")], &[]);
    assert!(heads.found["head"] > 0, "the search does not see heads of records: {heads:?}");
    wait_for(&server, "packed", |status| number(status, "/tally/hot/packs") == series(&objects));
    let (directory, bucket) = (rig.folder.path().join("backup"), format!("s3://{}/gone-too", s3().plain_bucket));
    let directory = directory.to_str().expect("a path");
    for place in [directory, &bucket] {
        done(&server, &["backup", "--to", place]);
    }
    rig.proxy.plan(|_, _| Fault::None);
    all_cold(&server, series(&objects));
    assert_equal(&server, &objects);
    let places = [(s3().bucket.as_str(), "gone"), (s3().plain_bucket.as_str(), "gone-too")];
    for before in [search(&wanted, &[], &places), search(&wanted, &[Path::new(directory)], &[])] {
        assert!(before.found["number"] > 0 && before.found["name"] > 0, "neither bucket nor backup has it: {before:?}");
    }

    let name = format!("DEMO0/{}", goes.uid);
    it_is_destroyed(&server, [&goes, &held]);
    for place in [directory, &bucket] {
        done(&server, &["backup", "--to", place, "--keep", "0"]);
    }
    let after = search(&wanted, &[&data, Path::new(directory)], &places);
    assert!(after.nothing() && after.markers == 0, "{after:?}");
    assert!(after.versions > 0 && !search(&needles(&stays), &[&data], &places).nothing(), "{after:?}");
    let rows = search(&needles(&stays), &[&data.join("index")], &[]);
    assert!(rows.found["name"] > 0 && rows.found["number"] > 0, "the search does not see the index: {rows:?}");
    // The others are there, whole.
    assert_equal(&server, &[&held, &stays].into_iter().flat_map(Study::objects).collect::<Vec<_>>());
    the_ledger_proves(&rig, &server, &name);
    a_held_one_is_refused(&server, &held);
    stop(server);
    let rebuilt = rig.done(&["rebuild-index"]);
    assert!(rebuilt.contains("equals the one before"), "{rebuilt}");
}

fn the_ledger_proves(rig: &Rig, server: &Server, study: &str) {
    let proofs = rig.folder.path().join("proofs");
    let out = proofs.to_str().expect("a path");
    let said = done(server, &["ledger", "prove", "--study", study, "--out", out]);
    assert!(said.contains("verify_proof.py"), "{said}");
    let head = done(server, &["ledger", "head", "--json"]);
    let head: Value = serde_json::from_str(head.lines().next().expect("a line")).expect("JSON");
    let key = head["public_key"].as_str().expect("a key");
    let entries = fs::read_dir(&proofs).expect("proofs").flatten().map(|entry| entry.path());
    let name = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("entry-"));
    let entries: Vec<PathBuf> = entries.filter(name).collect();
    let said = accept(&["--trusted", key], &entries);
    // Which packs were the study's is forgotten with them, sooner or later.
    for event in ["\"plan-made\"", "\"plan-approved\"", "\"plan-begun\"", "\"study-hidden\"", "\"study-destroyed\""] {
        assert!(said.contains(event), "{event}: {said}");
    }
}
