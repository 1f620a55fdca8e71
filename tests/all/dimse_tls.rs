//! DCMTK and pynetdicom speak TLS with the running server, and bad days of certificates, as an operator meets them.

use crate::interop::python;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::certificates::{Authority, Files, Holds, self_signed};
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

const PATIENCE: Duration = Duration::from_secs(60);

struct Rig {
    server: Server,
    province: Authority,
    archive: Files,
    folder: TempDir,
}

/// A server with a TLS port that requires certificates of the province.
fn rig() -> Rig {
    let folder = tempfile::tempdir().expect("folder");
    let province = Authority::new(folder.path(), "province");
    let archive = province.sign("archive", Holds::Now);
    let config = folder.path().join("khoanh.toml");
    let text = format!(
        "[dicom.tls]\nlisten = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\nauthorities = {:?}\nhandshake_limit = \"2s\"\n",
        archive.certificate, archive.key, province.file
    );
    std::fs::write(&config, text).expect("written");
    let config = config.to_str().expect("UTF-8");
    let data = folder.path().join("data");
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_khoanh")), &data, &["--config", config]);
    Rig { server: server.expect("starts"), province, archive, folder }
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

impl Rig {
    fn port(&self) -> String {
        self.server.dicom_tls.expect("a TLS port").port().to_string()
    }

    /// Runs a tool of DCMTK over TLS as the holder of a certificate.
    fn dcmtk(&self, tool: &str, own: Option<&Files>, arguments: &[&str]) -> Output {
        let mut command = Command::new(tool);
        match own {
            Some(own) => command.args(["+tls", name(&own.key), name(&own.certificate)]),
            None => command.arg("+tla"),
        };
        command.args(["+cf", name(&self.province.file), "-to", "20", "-ta", "20", "-aec", "KHOANH"]);
        command.args(["localhost", &self.port()]).args(arguments);
        command.output().unwrap_or_else(|error| panic!("{tool} (package dcmtk): {error}"))
    }

    /// Waits until the server's log holds a text.
    fn logged(&self, wanted: &str) {
        let log = self.server.data().with_extension("log");
        let begun = Instant::now();
        while !std::fs::read_to_string(&log).expect("log").contains(wanted) {
            assert!(begun.elapsed() < PATIENCE, "never logged: {wanted}");
            std::thread::yield_now();
        }
    }

    /// A study as files.
    fn files(&self, count: u32) -> Vec<PathBuf> {
        let study = Study::draw(11, 1, Kind::Tiny, count);
        let write = |(number, object): (usize, Object)| {
            let path = self.folder.path().join(format!("{number}.dcm"));
            std::fs::write(&path, &object.file).expect("written");
            path
        };
        study.objects().enumerate().map(write).collect()
    }
}

#[test]
fn tools_store_and_echo_over_tls_and_the_program_calls_itself() {
    let rig = rig();
    let ct01 = rig.province.sign("CT01", Holds::Now);
    let echoed = rig.dcmtk("echoscu", Some(&ct01), &[]);
    assert!(echoed.status.success(), "{}", text(&echoed));
    let files = rig.files(20);
    let names: Vec<&str> = files.iter().map(|path| name(path)).collect();
    let stored = rig.dcmtk("storescu", Some(&ct01), &names);
    assert!(stored.status.success(), "{}", text(&stored));
    let script = "import ssl, sys\n\
        from pynetdicom import AE\n\
        context = ssl.create_default_context(cafile=sys.argv[2])\n\
        context.load_cert_chain(sys.argv[3], sys.argv[4])\n\
        ae = AE(ae_title='CT01'); ae.add_requested_context('1.2.840.10008.1.1')\n\
        # One operation each: of several in a row its reactor may take the answer away.\n\
        for _ in range(10):\n\
        \x20   association = ae.associate('127.0.0.1', int(sys.argv[1]), ae_title='KHOANH', tls_args=(context, 'localhost'))\n\
        \x20   assert association.is_established\n\
        \x20   assert association.send_c_echo().Status == 0\n\
        \x20   association.release()\n";
    let pynetdicom = Command::new(python())
        .args(["-c", script, &rig.port(), name(&rig.province.file), name(&ct01.certificate), name(&ct01.key)])
        .output()
        .expect("python");
    assert!(pynetdicom.status.success(), "{}", text(&pynetdicom));
    let address = format!("localhost:{}", rig.port());
    let mut send = Command::new(env!("CARGO_BIN_EXE_khoanh"));
    send.args(["send", &address, "--called", "KHOANH", "--tls", "--tls-authorities", name(&rig.province.file)]);
    send.args(["--tls-certificate", name(&ct01.certificate), "--tls-key", name(&ct01.key)]).args(&names);
    let sent = send.output().expect("runs");
    assert!(sent.status.success() && text(&sent).contains("20 sent"), "{}", text(&sent));
}

#[test]
fn wrong_certificates_and_wrong_ports_are_told_to_both_sides() {
    let rig = rig();
    let other = Authority::new(rig.folder.path(), "other");
    let cases = [
        (Some(rig.province.sign("expired", Holds::Expired)), "has expired"),
        (Some(self_signed(rig.folder.path(), "self")), "signs itself"),
        (Some(other.sign("foreign", Holds::Now)), "CN=foreign"),
        (None, "shows no certificate"),
    ];
    for (own, logged) in &cases {
        let refused = rig.dcmtk("echoscu", own.as_ref(), &[]);
        assert!(!refused.status.success(), "{logged}: {}", text(&refused));
        rig.logged(logged);
    }
    let plain = Command::new("echoscu").args(["-aec", "KHOANH", "-ta", "20", "localhost", &rig.port()]).output();
    let plain = plain.expect("echoscu");
    assert!(text(&plain).contains("Rejected"), "{}", text(&plain));
    rig.logged("calls the TLS port without TLS");
    let secure = Command::new("echoscu")
        .args(["+tla", "-ic", "-aec", "KHOANH", "-ta", "20", "localhost", &rig.server.dicom.port().to_string()])
        .output()
        .expect("echoscu");
    assert!(!secure.status.success(), "{}", text(&secure));
    rig.logged("begins a TLS handshake");
    let silent = std::net::TcpStream::connect(rig.server.dicom_tls.expect("port")).expect("connected");
    rig.logged("handshake was not done in time");
    drop(silent);
}

#[test]
fn a_source_is_bound_to_its_certificate_and_a_renewed_one_needs_no_restart() {
    let rig = rig();
    let (mine, theirs) = (rig.province.sign("CT01", Holds::Now), rig.province.sign("CT02", Holds::Now));
    let added = rig.server.command(&[
        "sources",
        "add",
        "--facility",
        "56001",
        "--facility-name",
        "BV 56001",
        "--called",
        "BOUND",
        "--certificate",
        "CN=CT01",
    ]);
    assert!(added.as_ref().expect("runs").status.success(), "{}", text(added.as_ref().expect("runs")));
    let disabled = rig.server.command(&["sources", "disable", "demo-loopback"]).expect("runs");
    assert!(disabled.status.success(), "{}", text(&disabled));
    let echo = |own| rig.dcmtk("echoscu", Some(own), &["-aec", "BOUND"]);
    let welcome = echo(&mine);
    assert!(welcome.status.success(), "{}", text(&welcome));
    let stranger = echo(&theirs);
    assert!(!stranger.status.success() && text(&stranger).contains("Calling"), "{}", text(&stranger));
    rig.logged("CN=CT02");
    let renewed = rig.province.sign("renewed", Holds::Now);
    std::fs::copy(&renewed.certificate, &rig.archive.certificate).expect("copied");
    std::fs::copy(&renewed.key, &rig.archive.key).expect("copied");
    let begun = Instant::now();
    while !text(&rig.dcmtk("echoscu", Some(&mine), &["-aec", "BOUND", "-d"])).contains("renewed") {
        assert!(begun.elapsed() < PATIENCE, "the old certificate is still shown");
    }
}
