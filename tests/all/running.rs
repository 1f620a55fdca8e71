//! The program as its operator meets it: starting, refusing a second start, commands through the socket,
//! stopping, and the exit codes.

use serde_json::Value;
use std::fs;
use std::io::{ErrorKind, PipeWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use testkit::association::{Association, Titles, WireError, p_data};
use testkit::http::Client;
use testkit::modality::{Sending, proposals, send};
use testkit::object::Object;
use testkit::server::{Server, command};
use testkit::study::{Kind, Study};

const KHOANH: &str = env!("CARGO_BIN_EXE_khoanh");
const STOPS_WITHIN: Duration = Duration::from_secs(60);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary folder")
}

fn start(folder: &Path) -> Server {
    Server::start(Path::new(KHOANH), &folder.join("data"), &[]).expect("starts")
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    command(Path::new(KHOANH), data, arguments).expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn expect_exit(output: &Output, code: i32) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "out: {out}\nerr: {err}");
    format!("{out}{err}")
}

fn objects(seed: u64, count: u32) -> Vec<Object> {
    Study::draw(seed, 1, Kind::Tiny, count).objects().collect()
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let folder = folder();
    let server = start(folder.path());
    let second = run(server.data(), &["serve", "--dicom", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let said = expect_exit(&second, 4);
    assert!(said.contains(&server.pid().to_string()), "{said}");
}

#[test]
fn a_start_that_finds_a_port_taken_is_a_failure_that_names_it() {
    let folder = folder();
    let data = folder.path().join("data");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("bound").to_string();
    for (dicom, http) in [("127.0.0.1:0", taken.as_str()), (taken.as_str(), "127.0.0.1:0")] {
        let said = expect_exit(&run(&data, &["serve", "--dicom", dicom, "--http", http]), 1);
        assert!(said.contains(&taken), "{said}");
    }
    expect_exit(&run(&data, &["verify"]), 0);
}

/// Leaves no room for one more byte.
fn fill(mut pipe: &PipeWriter) {
    rustix::io::ioctl_fionbio(pipe, true).expect("set");
    for chunk in [[b'\n'; 4096].as_slice(), b"\n"] {
        while let Ok(1..) = pipe.write(chunk) {}
    }
    rustix::io::ioctl_fionbio(pipe, false).expect("set");
}

#[test]
fn a_stop_before_anybody_knows_that_it_serves_is_in_order() {
    let folder = folder();
    let data = folder.path().join("data");
    // Its ready line does not fit: there it stands, with everything started.
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    fill(&writer);
    let mut server = Command::new(KHOANH)
        .args(["serve", "--dicom", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"])
        .arg(&data)
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + STOPS_WITHIN;
    while !data.join("control.sock").exists() {
        assert!(Instant::now() < deadline && server.try_wait().expect("a child").is_none(), "it does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").arg(server.id().to_string()).status().expect("runs").success());
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        reader.read_to_string(&mut said).map(|_| said)
    });
    let status = server.wait().expect("a child");
    assert!(status.success(), "{status}");
    assert!(said.join().expect("no panic").expect("text").contains("\"ready\""));
}

#[test]
fn an_older_program_refuses_newer_data_and_changes_nothing() {
    let folder = folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("folder");
    fs::write(data.join("FORMAT"), "khoanh 99\n").expect("FORMAT");
    let said = expect_exit(&run(&data, &["serve", "--dicom", "127.0.0.1:0", "--http", "127.0.0.1:0"]), 1);
    assert!(said.contains("99"), "{said}");
    assert_eq!(fs::read_to_string(data.join("FORMAT")).expect("FORMAT"), "khoanh 99\n");
    assert!(!data.join("journal").exists() && !data.join("index").exists());
}

#[test]
fn sources_are_managed_through_the_socket_and_without_a_server() {
    let folder = folder();
    let file = folder.path().join("sources.csv");
    let lines = "facility,facility_name,calling,called,addresses\n\
                 56001,Bệnh viện Đa khoa tỉnh,CT01,KHOANH,10.1.0.0/16\n\
                 56002,Trung tâm Y tế huyện,CT01,KHOANH,10.2.0.0/16\n";
    fs::write(&file, lines).expect("file");
    let file = file.to_str().expect("UTF-8").to_owned();

    let server = start(folder.path());
    let socket = fs::metadata(server.data().join("control.sock")).expect("socket");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert!(expect_exit(&run(server.data(), &["sources", "import", &file]), 0).contains("4 added or changed"));
    assert!(expect_exit(&run(server.data(), &["sources", "import", &file]), 0).contains("0 added or changed"));
    expect_exit(&run(server.data(), &["sources", "disable", "56002-CT01"]), 0);
    let data = server.data().to_owned();
    assert!(server.stop(STOPS_WITHIN).expect("stops").success());

    let listed = expect_exit(&run(&data, &["sources", "list"]), 0);
    assert!(listed.contains("56001-CT01") && listed.contains("Trung tâm Y tế huyện"), "{listed}");
    assert!(listed.lines().any(|line| line.contains("56002-CT01") && line.ends_with("disabled")), "{listed}");
    expect_exit(&run(&data, &["sources", "disable", "nobody"]), 1);
}

#[test]
fn a_wrong_line_in_the_sources_file_takes_nothing() {
    let folder = folder();
    let (file, data) = (folder.path().join("sources.csv"), folder.path().join("data"));
    fs::write(&file, "facility,facility_name,calling\n56001,A,CT01\n5600,B,CT02\n").expect("file");
    let said = expect_exit(&run(&data, &["sources", "import", file.to_str().expect("UTF-8")]), 2);
    assert!(said.contains(":3:"), "{said}");
    assert!(!expect_exit(&run(&data, &["sources", "list"]), 0).contains("56001"));
}

#[test]
fn an_unknown_key_stops_the_start_with_its_line() {
    let folder = folder();
    let file = folder.path().join("khoanh.toml");
    fs::write(&file, "data = \"d\"\n[http]\nportt = 1\n").expect("file");
    let arguments = ["serve", "--config", file.to_str().expect("UTF-8")];
    let said = expect_exit(&run(&folder.path().join("data"), &arguments), 2);
    assert!(said.contains("line 3") && said.contains("portt"), "{said}");
    let checked = expect_exit(&run(&folder.path().join("data"), &["check-config"]), 0);
    assert!(checked.contains("[journal]"), "{checked}");
}

fn write_files(folder: &Path, objects: &[Object]) -> PathBuf {
    let files = folder.join("files/deeper");
    fs::create_dir_all(&files).expect("folder");
    for (number, object) in objects.iter().enumerate() {
        fs::write(files.join(format!("{number}.dcm")), &object.file).expect("file");
    }
    fs::write(files.join("notes.txt"), "no DICOM").expect("file");
    folder.join("files")
}

#[test]
fn a_folder_is_imported_and_resumed_and_what_is_refused_is_listed() {
    let folder = folder();
    let files = write_files(folder.path(), &objects(7, 20));
    let files = files.to_str().expect("UTF-8");
    let server = start(folder.path());
    let said = expect_exit(&run(server.data(), &["import", files]), 3);
    assert!(said.contains("20 stored") && said.contains("1 refused"), "{said}");
    let report = said.lines().find_map(|line| line.strip_prefix("every refused file: ")).expect("report");
    assert!(fs::read_to_string(report).expect("report").contains("notes.txt"));
    let again = expect_exit(&run(server.data(), &["import", files]), 3);
    assert!(again.contains("0 stored") && again.contains("20 finished earlier"), "{again}");
    let anew = expect_exit(&run(server.data(), &["import", "--restart", files]), 3);
    assert!(anew.contains("20 already there"), "{anew}");
    let data = server.data().to_owned();
    assert!(server.stop(STOPS_WITHIN).expect("stops").success());

    let verified = expect_exit(&run(&data, &["verify"]), 0);
    assert!(verified.contains("verified 20 objects"), "{verified}");
    let rebuilt = expect_exit(&run(&data, &["rebuild-index"]), 0);
    assert!(rebuilt.contains("equals the one before"), "{rebuilt}");
}

#[test]
fn verify_and_status_work_beside_the_server_and_rebuild_does_not() {
    let folder = folder();
    let server = start(folder.path());
    let sent = objects(11, 12);
    let report = send(&sent, &Sending::to(server.dicom, 2));
    assert!(report.errors.is_empty() && report.sent.iter().all(|sent| sent.status == 0), "{report:?}");
    let status = expect_exit(&run(server.data(), &["status", "--json"]), 0);
    let status: Value = serde_json::from_str(status.lines().next().expect("a line")).expect("JSON");
    assert_eq!(status["readiness"]["ready"], true, "{status}");
    assert_eq!(status["stats"]["total"]["instances"], 12, "{status}");
    assert!(expect_exit(&run(server.data(), &["status"]), 0).contains("running, ready"));
    assert!(expect_exit(&run(server.data(), &["verify"]), 0).contains("verified 12 objects"));
    expect_exit(&run(server.data(), &["rebuild-index"]), 4);
}

#[test]
fn metrics_and_readiness_speak_of_what_happened() {
    let folder = folder();
    let server = start(folder.path());
    let sent = objects(13, 5);
    let report = send(&sent, &Sending::to(server.dicom, 1));
    assert_eq!(report.sent.len(), 5, "{report:?}");
    let mut client = Client::new(server.http, Duration::from_secs(30));
    let metrics = client.get("/metrics", "").expect("metrics").text();
    let stored = metrics.lines().find(|line| line.starts_with("khoanh_dimse_instances_total") && line.contains("0000"));
    assert!(stored.is_some_and(|line| line.ends_with(" 5")), "{metrics}");
    assert!(metrics.contains("khoanh_sync_seconds_bucket"), "{metrics}");
    assert_eq!(client.get("/health/ready", "").expect("ready").status, 200);
    assert_eq!(client.get("/health/live", "").expect("live").status, 200);
}

#[test]
fn a_backup_of_the_journal_alone_serves_everything_again() {
    let folder = folder();
    let server = start(folder.path());
    let sent = objects(19, 30);
    let report = send(&sent, &Sending::to(server.dicom, 3));
    assert_eq!(report.acknowledged().count(), 30, "{report:?}");
    let data = server.data().to_owned();
    assert!(server.stop(STOPS_WITHIN).expect("stops").success());

    let restored = folder.path().join("restored");
    let blobs = restored.join("journal/blobs");
    fs::create_dir_all(&blobs).expect("folder");
    fs::copy(data.join("FORMAT"), restored.join("FORMAT")).expect("FORMAT");
    for entry in fs::read_dir(data.join("journal")).expect("journal").flatten().filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), restored.join("journal").join(entry.file_name())).expect("segment");
    }
    fs::remove_dir_all(&data).expect("the original is lost");

    let again = Server::start(Path::new(KHOANH), &restored, &[]).expect("starts on the backup");
    let mut client = Client::new(again.http, Duration::from_secs(30));
    for object in &sent {
        let path = testkit::http::instance_path("/dicom-web", object);
        let accept = "Accept: application/dicom; transfer-syntax=*\r\n";
        let answer = client.get(&path, accept).expect("answer");
        assert_eq!((answer.status, answer.body.ends_with(object.data_set())), (200, true), "{path}");
    }
    assert!(expect_exit(&run(&restored, &["verify"]), 0).contains("verified 30 objects"));
}

/// Waits until the archive holds bytes of an object that is on its way in.
fn wait_for_open_object(server: &Server) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut client = Client::new(server.http, Duration::from_secs(30));
    while Instant::now() < deadline {
        let stats: Value = serde_json::from_slice(&client.get("/api/stats", "").expect("stats").body).expect("JSON");
        if stats["ingest_bytes"].as_u64().is_some_and(|bytes| bytes > 0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the object never began to arrive");
}

#[test]
fn a_stop_finishes_the_open_object_and_refuses_new_ones() {
    let folder = folder();
    let server = start(folder.path());
    let (address, data) = (server.dicom, server.data().to_owned());
    let objects = objects(17, 1);
    let object = objects.first().expect("one object");
    let titles = Titles::new("KHOANH", "CT01");
    let limit = Duration::from_secs(30);
    let mut open = Association::open(address, &titles, &proposals(&objects), limit).expect("associates");
    let context = open.context(&object.sop_class, &object.transfer_syntax).expect("accepted");
    let command = open.store_command(&object.sop_class, &object.sop_instance);
    let (first, rest) = object.data_set().split_at(object.data_set().len() / 2);
    let begun = [p_data(&[(context, 3, &command)]), p_data(&[(context, 0, first)])].concat();
    open.socket().write_all(&begun).expect("half of it");
    wait_for_open_object(&server);

    let stopping = std::thread::spawn(move || server.stop(STOPS_WITHIN));
    let deadline = Instant::now() + limit;
    loop {
        match Association::open(address, &titles, &proposals(&objects), limit) {
            // Result 2: rejected-transient, the sender comes again.
            Err(WireError::Rejected(2, _, _)) => break,
            Err(WireError::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => break,
            _ => assert!(Instant::now() < deadline, "associations are still accepted"),
        }
    }
    open.socket().write_all(&p_data(&[(context, 2, rest)])).expect("the other half");
    assert_eq!(open.read_response().expect("an answer").status, 0);
    assert!(stopping.join().expect("thread").expect("stops").success());
    assert!(expect_exit(&run(&data, &["verify"]), 0).contains("verified 1 objects"));
}

#[test]
fn commands_on_a_folder_that_is_no_archive_do_not_make_one() {
    let folder = folder();
    let data = folder.path().join("nothing");
    for arguments in [["verify"], ["status"], ["rebuild-index"]] {
        expect_exit(&run(&data, &arguments), 1);
    }
    assert!(!data.exists());
}

fn assert_private(folder: &Path) {
    let mut stack = vec![folder.to_owned()];
    while let Some(path) = stack.pop() {
        let meta = fs::symlink_metadata(&path).expect("metadata");
        assert_eq!(meta.permissions().mode() & 0o077, 0, "{}", path.display());
        if meta.is_dir() {
            stack.extend(fs::read_dir(&path).expect("folder").flatten().map(|entry| entry.path()));
        }
    }
}

#[test]
fn files_of_the_archive_are_its_owners_alone() {
    let folder = folder();
    let data = folder.path().join("data");
    expect_exit(&run(&data, &["import", write_files(folder.path(), &objects(23, 3)).to_str().expect("UTF-8")]), 3);
    assert_private(&data);
    let server = start(folder.path());
    assert_private(server.data());
}

#[test]
fn help_and_version_end_well_and_mistakes_do_not() {
    let run = |arguments: &[&str]| Command::new(KHOANH).args(arguments).output().expect("runs");
    assert!(expect_exit(&run(&["--help"]), 0).contains("Exit codes"));
    assert!(expect_exit(&run(&["--version"]), 0).contains(env!("CARGO_PKG_VERSION")));
    expect_exit(&run(&["--nonsense"]), 2);
    expect_exit(&run(&[]), 2);
}
