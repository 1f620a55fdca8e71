//! Migration from DCMTK's `dcmqrscp` and from Orthanc by C-GET, C-MOVE and over DICOMweb, killed twice on the way: complete,
//! reconciled, byte for byte.

#[path = "migrating/troubled.rs"]
mod troubled;

use crate::forwarding::until;
use crate::roundtrip::{KHOANH, retrieve};
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
/// Debian's package orthanc-dicomweb.
const DICOMWEB: &str = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so";

/// How objects come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Get,
    Move,
    Web,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address")
}

/// Another archive; ended when dropped.
pub(crate) struct Other {
    child: Child,
    pub(crate) title: &'static str,
    pub(crate) address: SocketAddr,
    /// Where it speaks DICOMweb.
    root: Option<String>,
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
    Other { child, title, address, root: None, _folder: folder }
}

pub(crate) fn dcmqrscp() -> Other {
    dcmqrscp_that_knows(free())
}

/// It sends to KHOANH at this address.
fn dcmqrscp_that_knows(ours: SocketAddr) -> Other {
    let (folder, address) = (tempfile::tempdir().expect("folder"), free());
    let store = folder.path().join("store");
    std::fs::create_dir(&store).expect("made");
    let config = folder.path().join("dcmqrscp.cfg");
    let text = format!(
        "NetworkTCPPort = {}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\n\
         khoanh = (KHOANH, {}, {})\nHostTable END\nVendorTable BEGIN\n\
         VendorTable END\nAETable BEGIN\nQRSCP {} RW (400, 64mb) ANY\nAETable END\n",
        address.port(),
        ours.ip(),
        ours.port(),
        store.display()
    );
    std::fs::write(&config, text).expect("written");
    spawned(Command::new("dcmqrscp").arg("-c").arg(&config), "QRSCP", address, folder)
}

/// It sends to KHOANH at this address.
fn orthanc_that_knows(ours: SocketAddr) -> Other {
    let (folder, address, http) = (tempfile::tempdir().expect("folder"), free(), free());
    let config = folder.path().join("orthanc.json");
    let text = json!({
        "Name": "migration", "StorageDirectory": folder.path(), "IndexDirectory": folder.path(),
        "DicomAet": "ORTHANC", "DicomPort": address.port(), "HttpPort": http.port(), "Plugins": [DICOMWEB],
        "DicomWeb": { "Enable": true, "Root": "/dicom-web/" }, "AuthenticationEnabled": false,
        "DicomModalities": { "khoanh": ["KHOANH", ours.ip(), ours.port()] }, "DicomAlwaysAllowMove": true,
        "DicomAlwaysAllowStore": true, "DicomAlwaysAllowFind": true, "DicomAlwaysAllowGet": true,
        "DicomCheckModalityHost": false, "OverwriteInstances": false,
    });
    std::fs::write(&config, text.to_string()).expect("written");
    let program = if Path::new("/usr/sbin/Orthanc").exists() { "/usr/sbin/Orthanc" } else { "Orthanc" };
    let mut other = spawned(Command::new(program).arg(&config), "ORTHANC", address, folder);
    until("it speaks HTTP", || TcpStream::connect(http).is_ok());
    other.root = Some(format!("http://{http}/dicom-web"));
    other
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

fn migrating(server: &Server, other: &Other, by: By, more: &[&str]) -> Command {
    let from = match by {
        By::Web => other.root.clone().expect("it speaks DICOMweb"),
        By::Get | By::Move => format!("{}@{}", other.title, other.address),
    };
    let mut command = migration(server, &from, more);
    if by == By::Move {
        command.args(["--by", "move"]);
    }
    command
}

fn migration(server: &Server, from: &str, more: &[&str]) -> Command {
    let mut command = Command::new(KHOANH);
    command.args(["migrate", "--from", from, "--facility", "DEMO0", "--json", "--data"]).arg(server.data()).args(more);
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

fn migrates(other: &Other, ours: SocketAddr, by: By) {
    let objects = filled(other);
    let all = objects.len() as u64;
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    let begin = || Server::start_at(Path::new(KHOANH), &data, ours, &[]).expect("starts");
    let mut server = begin();
    let dates = ["--since", "2015-01-01", "--until", "2026-12-31", "--window-days", "30"];
    for part in [all / 4, all / 2] {
        let slow = [&dates[..], &["--rate", "400KiB"]].concat();
        let mut running =
            migrating(&server, other, by, &slow).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        until("a part is here", || held(&server) >= part);
        server.kill().expect("killed");
        assert!(!running.wait().expect("ended").success(), "the command noticed nothing");
        server = begin();
    }
    let report = report(&migrating(&server, other, by, &dates).output().expect("runs"));
    let number = |name: &str| report.get(name).and_then(Value::as_u64).expect("a number");
    assert_eq!((number("studies"), number("found")), (STUDIES, all), "{report}");
    assert_eq!(number("moved") + number("equal"), all, "{report}");
    assert_eq!((number("missing"), number("refused"), number("conflicts")), (0, 0, 0), "{report}");
    assert_eq!((number("windows_not_done"), number("studies_not_done")), (0, 0), "{report}");
    assert!((1..STUDIES).contains(&number("finished_earlier")), "{report}");
    assert_eq!(held(&server), all);
    let mut client = Client::new(server.http, Duration::from_secs(60));
    let unequal = objects.iter().filter(|object| {
        let found = retrieve(&mut client, object).unwrap_or_else(|reason| panic!("{reason}"));
        found.sop_instance != object.sop_instance || found.study != object.study
    });
    assert_eq!(unequal.count(), 0, "UIDs are kept");
    let again = migrating(&server, other, by, &dates).output().expect("runs");
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(again.pointer("/report/finished_earlier").and_then(Value::as_u64), Some(STUDIES), "{again}");
}

#[test]
fn dcmqrscp_is_copied_whole_over_two_kills() {
    for by in [By::Get, By::Move] {
        let ours = free();
        migrates(&dcmqrscp_that_knows(ours), ours, by);
    }
}

#[test]
fn orthanc_is_copied_whole_over_two_kills() {
    for by in [By::Get, By::Move, By::Web] {
        let ours = free();
        migrates(&orthanc_that_knows(ours), ours, by);
    }
}
