//! Migration from DCMTK's `dcmqrscp` and from Orthanc, killed twice on the way: complete, reconciled, byte for byte.

use crate::forwarding::until;
use crate::roundtrip::{KHOANH, retrieve, start};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::http::Client;
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

const STUDIES: u64 = 120;
const INSTANCES: u32 = 4;

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address")
}

/// Another archive; ended when dropped.
pub(crate) struct Other {
    child: Child,
    pub(crate) title: &'static str,
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawned(command: &mut Command, title: &'static str, address: SocketAddr, folder: TempDir) -> Other {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{title}: {error}; run scripts/prepare test"));
    until("the other archive listens", || TcpStream::connect(address).is_ok());
    Other { child, title, address, _folder: folder }
}

pub(crate) fn dcmqrscp() -> Other {
    let (folder, address) = (tempfile::tempdir().expect("folder"), free());
    let store = folder.path().join("store");
    std::fs::create_dir(&store).expect("made");
    let config = folder.path().join("dcmqrscp.cfg");
    let text = format!(
        "NetworkTCPPort = {}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\nHostTable END\nVendorTable BEGIN\n\
         VendorTable END\nAETable BEGIN\nQRSCP {} RW (400, 64mb) ANY\nAETable END\n",
        address.port(),
        store.display()
    );
    std::fs::write(&config, text).expect("written");
    spawned(Command::new("dcmqrscp").arg("-c").arg(&config), "QRSCP", address, folder)
}

fn orthanc() -> Other {
    let (folder, address) = (tempfile::tempdir().expect("folder"), free());
    let config = folder.path().join("orthanc.json");
    let text = json!({
        "Name": "migration", "StorageDirectory": folder.path(), "IndexDirectory": folder.path(),
        "DicomAet": "ORTHANC", "DicomPort": address.port(), "HttpPort": free().port(), "Plugins": [],
        "DicomAlwaysAllowStore": true, "DicomAlwaysAllowFind": true, "DicomAlwaysAllowGet": true,
        "DicomCheckModalityHost": false, "OverwriteInstances": false,
    });
    std::fs::write(&config, text.to_string()).expect("written");
    let program = if Path::new("/usr/sbin/Orthanc").exists() { "/usr/sbin/Orthanc" } else { "Orthanc" };
    spawned(Command::new(program).arg(&config), "ORTHANC", address, folder)
}

/// Fills it with studies; returns their objects.
fn filled(other: &Other) -> Vec<Object> {
    let studies = (0..STUDIES).map(|number| Study::draw(95, number, Kind::Tiny, INSTANCES));
    let objects: Vec<Object> = studies.flat_map(|study| study.objects().collect::<Vec<_>>()).collect();
    send(&other.address.to_string(), other.title, &objects);
    objects
}

/// Sends objects by `khoanh send`.
pub(crate) fn send(address: &str, title: &str, objects: &[Object]) {
    let folder = tempfile::tempdir().expect("folder");
    for (number, object) in objects.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number:06}.dcm")), &object.file).expect("written");
    }
    let sent = Command::new(KHOANH).args(["send", address, "--called", title]).arg(folder.path()).output();
    let sent = sent.expect("runs");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

fn migrating(server: &Server, other: &Other, more: &[&str]) -> Command {
    let from = format!("{}@{}", other.title, other.address);
    let mut command = Command::new(KHOANH);
    command.args(["migrate", "--from", &from, "--facility", "DEMO0", "--json", "--data"]).arg(server.data()).args(more);
    command
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    answer.get("report").cloned().expect("a report")
}

fn held(server: &Server) -> u64 {
    let answer = Client::new(server.http, Duration::from_secs(20)).get("/api/stats", "").expect("answered");
    let stats: Value = serde_json::from_str(&answer.text()).expect("JSON");
    stats.pointer("/total/instances").and_then(Value::as_u64).expect("a number")
}

fn migrates(other: &Other) {
    let objects = filled(other);
    let all = objects.len() as u64;
    let (mut server, _folder) = start();
    let dates = ["--since", "2015-01-01", "--until", "2026-12-31", "--window-days", "30"];
    for part in [all / 4, all / 2] {
        let slow = [&dates[..], &["--rate", "400KiB"]].concat();
        let mut running =
            migrating(&server, other, &slow).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        until("a part is here", || held(&server) >= part);
        let data = server.data().to_owned();
        server.kill().expect("killed");
        assert!(!running.wait().expect("ended").success(), "the command noticed nothing");
        server = Server::start(Path::new(KHOANH), &data, &[]).expect("starts again");
    }
    let report = report(&migrating(&server, other, &dates).output().expect("runs"));
    let number = |name: &str| report.get(name).and_then(Value::as_u64).expect("a number");
    assert_eq!((number("studies"), number("found")), (STUDIES, all), "{report}");
    assert_eq!(number("moved") + number("equal"), all, "{report}");
    assert_eq!((number("missing"), number("refused"), number("conflicts")), (0, 0, 0), "{report}");
    assert!((1..STUDIES).contains(&number("finished_earlier")), "{report}");
    assert_eq!(held(&server), all);
    let mut client = Client::new(server.http, Duration::from_secs(60));
    let unequal = objects.iter().filter(|object| {
        let found = retrieve(&mut client, object).unwrap_or_else(|reason| panic!("{reason}"));
        found.sop_instance != object.sop_instance || found.study != object.study
    });
    assert_eq!(unequal.count(), 0, "UIDs are kept");
    let again = migrating(&server, other, &dates).output().expect("runs");
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(again.pointer("/report/finished_earlier").and_then(Value::as_u64), Some(STUDIES), "{again}");
}

#[test]
fn dcmqrscp_is_copied_whole_over_two_kills() {
    migrates(&dcmqrscp());
}

#[test]
fn orthanc_is_copied_whole_over_two_kills() {
    migrates(&orthanc());
}
