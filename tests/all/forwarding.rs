//! Forwarding between running programs: DCMTK's `storescp` and a second archive as destinations, over DICOM and STOW-RS;
//! destinations that are down or refuse, kills at any moment, pauses, the dead list, and what goes first.

use crate::interop::python;
use crate::roundtrip::{KHOANH, retrieve, start};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::http::Client;
use testkit::modality::{Sending, send};
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

/// Everything here is done long before.
const LIMIT: Duration = Duration::from_secs(120);
/// Short waits, so that a series goes on at once and a destination is tried again soon.
const QUICK: &str =
    "[index]\nquiet_after = \"300ms\"\n\n[forward]\nattempts = 3\npause = \"100ms\"\npause_max = \"400ms\"\n";

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::yield_now();
    }
}

/// A server that forwards, with its folder.
struct Sender {
    server: Server,
    config: PathBuf,
    _folder: TempDir,
}

impl Sender {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With more in its configuration.
    fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let config = folder.path().join("khoanh.toml");
        std::fs::write(&config, format!("{QUICK}{more}")).expect("written");
        let server = serve(&folder.path().join("data"), &config);
        Self { server, config, _folder: folder }
    }

    /// Kills the program and starts it again.
    fn killed(self) -> Self {
        let Self { server, config, _folder } = self;
        let data = server.data().to_owned();
        server.kill().expect("killed");
        let server = serve(&data, &config);
        Self { server, config, _folder }
    }

    fn command(&self, arguments: &[&str]) -> String {
        let output = self.server.command(arguments).expect("runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sends a study to it as a modality does.
    fn store(&self, study: &Study) -> Vec<Object> {
        let objects: Vec<Object> = study.objects().collect();
        let report = send(&objects, &Sending::to(self.server.dicom, 2));
        assert_eq!(report.acknowledged().count(), objects.len(), "{:?}", report.errors);
        objects
    }

    /// One number of the lane of a destination.
    fn lane(&self, to: &str, member: &str) -> u64 {
        let answer: Value = serde_json::from_str(&self.command(&["forward", "list", "--json"])).expect("JSON");
        let lanes = answer.get("destinations").and_then(Value::as_array).cloned().unwrap_or_default();
        let lane = lanes.iter().find(|lane| lane.get("to").and_then(Value::as_str) == Some(to));
        lane.and_then(|lane| lane.get(member)).and_then(Value::as_u64).unwrap_or(0)
    }
}

fn serve(data: &Path, config: &Path) -> Server {
    let config = config.display().to_string();
    Server::start(Path::new(KHOANH), data, &["--config", &config]).expect("starts")
}

/// Instances that a server holds.
fn held(server: &Server) -> u64 {
    let answer = Client::new(server.http, Duration::from_secs(20)).get("/api/stats", "").expect("answered");
    let stats: Value = serde_json::from_str(&answer.text()).expect("JSON");
    stats.pointer("/total/instances").and_then(Value::as_u64).expect("a number")
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address")
}

/// DCMTK's `storescp`, which keeps what comes bit for bit; ended when dropped.
struct Storescp {
    child: Child,
    folder: TempDir,
}

impl Storescp {
    fn start(address: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let child = Command::new("storescp")
            .args(["+B", "-od"])
            .arg(folder.path())
            .arg(address.port().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("storescp: {error}; run scripts/prepare test"));
        until("storescp listens", || TcpStream::connect(address).is_ok());
        Self { child, folder }
    }

    /// The files it wrote, by name.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).expect("folder").flatten().map(|entry| entry.path());
        entries.collect()
    }

    /// SOP Instance UIDs in the order they were stored.
    fn order(&self) -> Vec<String> {
        let written = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).expect("written");
        let mut files = self.files();
        files.sort_by_key(written);
        let name = |path: PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
        files.into_iter().filter_map(|path| Some(name(path).split_once('.')?.1.to_owned())).collect()
    }
}

impl Drop for Storescp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a Part 10 file ends with exactly this data set.
fn holds(file: &Path, object: &Object) -> bool {
    std::fs::read(file).is_ok_and(|bytes| bytes.ends_with(object.data_set()))
}

#[test]
fn one_rule_brings_a_study_to_storescp_and_to_another_archive_over_dicom_and_stow() {
    let sender = Sender::start();
    let (other, _other_folder) = start();
    let (third, _third_folder) = start();
    let address = free();
    let storescp = Storescp::start(address);
    sender.command(&["destinations", "add", "STORESCP", &address.to_string(), "--any"]);
    sender.command(&["destinations", "add", "KHOANH", &other.dicom.to_string(), "--any"]);
    let root = format!("http://{}/dicom-web", third.http);
    sender.command(&["forward", "roots", "add", "third", &root, "--any"]);
    let to = "STORESCP,KHOANH,stow:third";
    sender.command(&["forward", "rules", "add", "everywhere", "--to", to, "--any", "--modality", "MR"]);
    sender.store(&Study::draw(70, 2, Kind::Sr, 1));
    let objects = sender.store(&Study::draw(70, 1, Kind::Mr, 60));
    let count = objects.len() as u64;
    until("the other archive has all", || held(&other) == count);
    until("the third archive has all", || held(&third) == count);
    until("storescp has all", || storescp.files().len() == objects.len());
    for server in [&other, &third] {
        let mut client = Client::new(server.http, LIMIT);
        for object in &objects {
            let found = retrieve(&mut client, object).expect("there");
            assert!(found.data_set() == object.data_set(), "other bytes");
        }
    }
    let files = storescp.files();
    let unequal = objects.iter().filter(|object| !files.iter().any(|file| holds(file, object))).count();
    assert_eq!(unequal, 0, "not bit for bit at storescp");
    until("nothing waits", || ["STORESCP", "KHOANH", "stow:third"].iter().all(|to| sender.lane(to, "waiting") == 0));
    let metrics = Client::new(sender.server.http, LIMIT).get("/metrics", "").expect("metrics").text();
    assert!(metrics.contains("khoanh_forward_objects_total{to=\"stow:third\"} 60"), "{metrics}");
    let Sender { server, _folder, .. } = sender;
    assert!(server.stop(Duration::from_secs(60)).expect("stops").success());
}

#[test]
fn a_kill_in_the_middle_loses_no_task_and_a_destination_that_is_down_gets_all_later() {
    const SERIES: u64 = 150;
    let sender = Sender::start();
    let (other, _other_folder) = start();
    let address = free();
    sender.command(&["destinations", "add", "DOWN", &address.to_string(), "--any"]);
    sender.command(&["destinations", "add", "KHOANH", &other.dicom.to_string(), "--any"]);
    sender.command(&["forward", "rules", "add", "all", "--to", "DOWN,KHOANH", "--any"]);
    let objects = sender.store(&Study::draw(71, 1, Kind::Tiny, u32::try_from(SERIES * 10).expect("few")));
    until("some are there", || held(&other) >= 50);
    let sender = sender.killed();
    until("more are there", || held(&other) >= 400);
    let sender = sender.killed();
    until("all are there", || held(&other) == objects.len() as u64);
    until("the one that is down still waits for all", || sender.lane("DOWN", "waiting") >= SERIES);
    assert_eq!(sender.lane("DOWN", "dead"), 0);
    let storescp = Storescp::start(address);
    until("all came later", || sender.lane("DOWN", "waiting") == 0);
    let files = storescp.files();
    assert_eq!(files.len(), objects.len());
}

#[test]
fn what_waits_in_a_pause_goes_stat_first() {
    let sender = Sender::start();
    let address = free();
    let storescp = Storescp::start(address);
    sender.command(&["destinations", "add", "STORESCP", &address.to_string(), "--any"]);
    for (name, modality, priority) in [("mr", "MR", "low"), ("dx", "DX", "routine"), ("sr", "SR", "stat")] {
        let rule = ["forward", "rules", "add", name, "--to", "STORESCP", "--any"];
        sender.command(&[&rule[..], &["--modality", modality, "--priority", priority]].concat());
    }
    sender.command(&["forward", "pause", "STORESCP"]);
    let low = sender.store(&Study::draw(72, 1, Kind::Mr, 1));
    let stat = sender.store(&Study::draw(72, 2, Kind::Sr, 1));
    let routine = sender.store(&Study::draw(72, 3, Kind::Dx, 1));
    until("all wait", || sender.lane("STORESCP", "waiting") == 3);
    let sender = sender.killed();
    assert_eq!(sender.lane("STORESCP", "waiting"), 3, "the pause outlives a kill");
    assert!(storescp.files().is_empty());
    sender.command(&["forward", "resume", "STORESCP"]);
    until("all went", || storescp.files().len() == 3);
    let wanted: Vec<String> = [stat, routine, low].concat().iter().map(|object| object.sop_instance.clone()).collect();
    until("nothing waits", || sender.lane("STORESCP", "waiting") == 0);
    assert_eq!(storescp.order(), wanted);
}

#[test]
fn what_is_refused_again_and_again_is_dead_until_it_is_tried_again() {
    let sender = Sender::start();
    let folder = tempfile::tempdir().expect("temporary folder");
    let (data, config) = (folder.path().join("data"), folder.path().join("khoanh.toml"));
    std::fs::write(&config, "[dicom]\nprivate_sop_classes = false\n").expect("written");
    let picky = serve(&data, &config);
    sender.command(&["destinations", "add", "KHOANH", &picky.dicom.to_string(), "--any"]);
    sender.command(&["forward", "rules", "add", "all", "--to", "KHOANH", "--any"]);
    let mut object = Study::draw(73, 1, Kind::Tiny, 1).object(0);
    rename_class(&mut object);
    let report = send(std::slice::from_ref(&object), &Sending::to(sender.server.dicom, 1));
    assert_eq!(report.acknowledged().count(), 1, "{:?}", report.errors);
    until("it is dead", || sender.lane("KHOANH", "dead") == 1);
    let list = sender.command(&["forward", "list", "--dead"]);
    assert!(list.contains("neither class"), "{list}");
    picky.kill().expect("killed");
    std::fs::write(&config, "[dicom]\nprivate_sop_classes = true\n").expect("written");
    let open = serve(&data, &config);
    sender.command(&["destinations", "add", "KHOANH", &open.dicom.to_string(), "--any"]);
    assert_eq!(sender.lane("KHOANH", "dead"), 1, "nothing is tried by itself");
    assert!(sender.command(&["forward", "retry", "--to", "KHOANH"]).starts_with("1 tasks"));
    until("it is there", || held(&open) == 1);
    until("nothing waits", || sender.lane("KHOANH", "waiting") + sender.lane("KHOANH", "dead") == 0);
}

/// Files in a folder and those below.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

#[test]
fn what_cannot_be_read_for_a_while_waits_and_goes_when_it_can_to_dicom_and_to_stow() {
    let sender = Sender::start_with("\n[packs]\nafter = \"0s\"\n");
    let (other, _other_folder) = start();
    let (third, _third_folder) = start();
    sender.command(&["destinations", "add", "KHOANH", &other.dicom.to_string(), "--any"]);
    let root = format!("http://{}/dicom-web", third.http);
    sender.command(&["forward", "roots", "add", "third", &root, "--any"]);
    // Where nobody listens it shows that nobody is called for what cannot be read.
    sender.command(&["destinations", "add", "NOBODY", &free().to_string(), "--any"]);
    sender.command(&["forward", "roots", "add", "nobody", &format!("http://{}/dicom-web", free()), "--any"]);
    let (both, all) = (["KHOANH", "stow:third"], ["KHOANH", "stow:third", "NOBODY", "stow:nobody"]);
    sender.command(&["forward", "rules", "add", "all", "--to", &all.join(","), "--any"]);
    all.iter().for_each(|to| drop(sender.command(&["forward", "pause", to])));
    let objects = sender.store(&Study::draw(75, 1, Kind::Mr, 5));
    until("all wait", || all.iter().all(|to| sender.lane(to, "waiting") == 1));
    let metrics = || Client::new(sender.server.http, LIMIT).get("/metrics", "").expect("metrics").text();
    until("it is packed", || {
        metrics().lines().any(|line| line.starts_with("khoanh_packs_total") && line.ends_with(" 1"))
    });
    // The disk with the pack is away over a restart, so that nothing has it open.
    let packs = files_in(&sender.server.data().join("packs"));
    let pack = packs.iter().max_by_key(|path| path.metadata().map_or(0, |about| about.len())).expect("a pack").clone();
    let away = pack.with_extension("away");
    std::fs::rename(&pack, &away).expect("moved");
    let sender = sender.killed();
    all.iter().for_each(|to| drop(sender.command(&["forward", "resume", to])));
    let waits = |to: &str| {
        let listed = sender.command(&["forward", "list", "--tasks", "--json", "--to", to]);
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        let task = listed.pointer("/tasks/0").cloned().expect("a task");
        assert_eq!(task.get("attempts").and_then(Value::as_u64), Some(0), "the destination refused nothing: {task}");
        task.get("waits").and_then(Value::as_u64) > Some(0)
    };
    until("all wait for the disk", || all.iter().all(|to| waits(to)));
    std::fs::rename(&away, &pack).expect("moved back");
    both.iter().for_each(|to| drop(sender.command(&["forward", "retry", "--to", to])));
    let count = objects.len() as u64;
    until("both have all", || held(&other) == count && held(&third) == count);
    until("nothing waits", || both.iter().all(|to| sender.lane(to, "waiting") + sender.lane(to, "dead") == 0));
}

/// Gives an object a private SOP class of the same length, in its file meta information and its data set.
fn rename_class(object: &mut Object) {
    let (class, private) = (object.sop_class.clone().into_bytes(), b"2.25.4711.10008.5.1.4.1.9".to_vec());
    assert_eq!(class.len(), private.len(), "{}", object.sop_class);
    while let Some(at) = object.file.windows(class.len()).position(|window| window == class) {
        object.file[at..at + class.len()].copy_from_slice(&private);
    }
    object.sop_class = String::from_utf8(private).expect("ASCII");
}

#[test]
fn a_study_that_is_complete_is_told_to_others_who_keep_it() {
    let sender = Sender::start();
    let hearer = Sender::start();
    sender.command(&["destinations", "add", "KHOANH", &hearer.server.dicom.to_string(), "--any"]);
    sender.command(&["forward", "rules", "add", "tell", "--to", "KHOANH", "--any", "--notice"]);
    let study = Study::draw(75, 1, Kind::Tiny, 25);
    sender.store(&study);
    let heard = |sender: &Sender| -> Vec<Value> {
        let list = sender.command(&["forward", "notices", "--json"]);
        let list: Value = serde_json::from_str(&list).expect("JSON");
        list.get("notices").and_then(Value::as_array).cloned().expect("a list")
    };
    // A study may be complete more than once while it comes in: the newest notice tells of all.
    let told = |notice: &Value| -> Option<u64> {
        let series = notice.get("series")?.as_array()?;
        series.iter().map(|series| series.get("objects")?.as_u64()).sum()
    };
    until("it is heard", || heard(&hearer).first().and_then(told) == Some(25));
    let hearer = hearer.killed();
    let notices = heard(&hearer);
    let newest = notices.first().expect("one");
    assert_eq!(newest.get("study").and_then(Value::as_str), Some(study.uid.as_str()));
    assert_eq!(newest.pointer("/series/0/availability").and_then(Value::as_str), Some("ONLINE"), "{newest}");
    assert_eq!(newest.pointer("/series/0/retrieve_from/0").and_then(Value::as_str), Some("KHOANH"), "{newest}");
    assert_eq!(held(&hearer.server), 0, "told, not sent");
    let told = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/dimse_client.py"))
        .args(["tell", &hearer.server.dicom.to_string(), "1.2.3.4"])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told.get("status").and_then(Value::as_u64), Some(0), "{told}");
    assert!(told.get("instance").and_then(Value::as_str).is_some_and(|uid| uid.starts_with("2.25.")), "{told}");
    assert_eq!(
        heard(&hearer).first().and_then(|notice| notice.get("study")?.as_str().map(str::to_owned)),
        Some("1.2.3.4".into())
    );
}

#[test]
fn the_api_does_what_the_command_line_does() {
    let sender = Sender::start();
    let mut client = Client::new(sender.server.http, LIMIT);
    let mut ask = |method: &str, path: &str, body: &str| {
        let headers = "Content-Type: application/json\r\n";
        let answer = client.request(method, path, headers, &[body.as_bytes()]).expect("answered");
        (answer.status, serde_json::from_str::<Value>(&answer.text()).unwrap_or_default())
    };
    let rule = r#"{"name":"all","to":["DOWN"],"priority":"stat"}"#;
    assert_eq!(ask("PUT", "/api/forward/rules", rule).0, 400, "no such destination");
    let address = free();
    sender.command(&["destinations", "add", "DOWN", &address.to_string(), "--any"]);
    assert_eq!(ask("PUT", "/api/forward/rules", rule).0, 200);
    assert_eq!(ask("PUT", "/api/forward/roots", r#"{"name":"a b","url":"https://x/y"}"#).0, 400);
    assert_eq!(ask("PUT", "/api/forward/roots", r#"{"name":"x","url":"https://x.example/y"}"#).0, 200);
    assert_eq!(ask("GET", "/api/forward/roots", "").1.pointer("/0/name").and_then(Value::as_str), Some("x"));
    assert_eq!(ask("GET", "/api/forward/rules", "").1.pointer("/0/name").and_then(Value::as_str), Some("all"));
    assert_eq!(ask("POST", "/api/forward/pause", r#"{"to":"DOWN"}"#).0, 200);
    sender.store(&Study::draw(74, 1, Kind::Tiny, 1));
    until("it waits", || sender.lane("DOWN", "waiting") == 1);
    let (status, tasks) = ask("GET", "/api/forward/tasks?to=DOWN&dead=false&limit=1", "");
    assert_eq!((status, tasks.pointer("/tasks/0/priority").and_then(Value::as_str)), (200, Some("stat")), "{tasks}");
    let (_, lanes) = ask("GET", "/api/forward/status", "");
    assert_eq!(lanes.pointer("/0/paused").and_then(Value::as_bool), Some(true), "{lanes}");
    assert_eq!(ask("POST", "/api/forward/resume", r#"{"to":"DOWN"}"#).0, 200);
    until("it was tried", || !sender.command(&["forward", "list"]).contains("PAUSED"));
    assert_eq!(ask("POST", "/api/forward/drop", "{}").0, 400, "everything must be said");
    until("it can be dropped", || {
        let (_, dropped) = ask("POST", "/api/forward/drop", r#"{"to":"DOWN"}"#);
        dropped.get("tasks").and_then(Value::as_u64) == Some(1)
    });
    assert_eq!(sender.lane("DOWN", "waiting"), 0);
}
