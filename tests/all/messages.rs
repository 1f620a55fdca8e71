//! The program takes messages of a HIS, says what became of them, and takes a refused one again by a mended map; and the
//! story of a patient between real systems (`scripts/demo-his`).

use crate::interop::python;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);
const SOURCE: &str = "[[source]]\nname = \"his\"\nfacility = \"DEMO0\"\naddresses = [\"127.0.0.1\"]\n";

/// Sends a message and gives MSA-1.
fn send(address: SocketAddr, message: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.write_all(&[b"\x0b", message.as_bytes(), b"\x1c\r"].concat()).expect("sent");
    let (mut bytes, mut one) = (Vec::new(), [0u8]);
    while !bytes.ends_with(b"\x1c\r") {
        stream.read_exact(&mut one).expect("an answer");
        bytes.extend(one);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let msa = text.split('\r').find(|line| line.starts_with("MSA|")).expect("MSA");
    msa.split('|').nth(1).unwrap_or_default().to_owned()
}

fn messages(server: &Server, config: &Path, arguments: &[&str]) -> String {
    let config = config.to_string_lossy();
    let all = [&["messages"][..], arguments, &["--config", config.as_ref()]].concat();
    let output = server.command(&all).expect("the command runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn messages_are_taken_listed_shown_and_given_in_again() {
    let folder = tempfile::tempdir().expect("folder");
    let (config, sources) = (folder.path().join("khoanh.toml"), folder.path().join("hl7-sources.toml"));
    std::fs::write(&sources, SOURCE).expect("written");
    std::fs::write(&config, format!("[hl7]\nsources = {sources:?}\n")).expect("written");
    let named = config.to_string_lossy().into_owned();
    let arguments = ["--config", &named, "--hl7", "127.0.0.1:0"];
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_khoanh")), &folder.path().join("data"), &arguments)
        .expect("it starts");
    let hl7 = server.hl7.expect("an address for HL7");
    let good = "MSH|^~\\&|HIS|BV|||20261128||ADT^A28|1|P|2.5\rPID|1||22^^^BV^MR||Trần^An\r";
    let odd = "MSH|^~\\&|HIS|BV|||20261128||ADT^A28|2|P|2.5\rPID|1||||Lê^Bình\rZPI|23\r";
    assert_eq!((send(hl7, good), send(hl7, odd)), ("AA".to_owned(), "AE".to_owned()));
    let list: serde_json::Value =
        serde_json::from_str(&messages(&server, &config, &["list", "--state", "refused", "--json"])).expect("JSON");
    let row = list.pointer("/messages/0").expect("a refused message");
    assert!(row["why"].as_str().is_some_and(|why| why.starts_with("PID-3:")), "{row}");
    assert!(!row.to_string().contains("Bình"), "a list shows no name");
    let listed = |arguments: &[&str]| {
        let text = messages(&server, &config, &[&["list"][..], arguments, &["--json"]].concat());
        let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let rows = list["messages"].as_array().expect("messages").clone();
        rows.iter().map(|row| row["control"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--kind", "ADT", "--source", "his"], &["2", "1"]),
        (&["--kind", "ADT^A28", "--from", "2000-01-01"], &["2", "1"]),
        (&["--mrn", "22"], &["1"]),
        (&["--control", "2", "--state", "refused"], &["2"]),
        (&["--control", "2", "--state", "done"], &[]),
        (&["--kind", "ORM"], &[]),
        (&["--source", "another"], &[]),
        (&["--to", "2000-01-01"], &[]),
    ];
    for (arguments, controls) in cases {
        assert_eq!(listed(arguments), controls, "{arguments:?}");
    }
    let id = format!("DEMO0/{}", row["id"].as_str().expect("a number"));
    assert!(messages(&server, &config, &["show", &id]).contains("ZPI|23"));
    assert!(messages(&server, &config, &["list", "--facility", "DEMO0"]).contains("ADT^A28"));
    std::fs::write(folder.path().join("map.toml"), "[patient]\nnumber = [\"PID-3\", \"ZPI-1\"]\n").expect("written");
    std::fs::write(&sources, format!("{SOURCE}map = \"map.toml\"\n")).expect("written");
    assert!(messages(&server, &config, &["resend", &id]).contains("--yes"), "nothing without a yes");
    let again = ["resend", "--all", "--facility", "DEMO0", "--state", "refused", "--yes"];
    let text = messages(&server, &config, &again);
    assert!(text.contains("done") && text.contains("1 messages given in again"), "{text}");
    assert!(messages(&server, &config, &["list", "--state", "refused"]).contains("no messages"));
    assert!(server.stop(PATIENCE).expect("it stops").success());
}

#[test]
fn a_patient_goes_the_whole_way_between_real_systems() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/demo_his.py");
    let output = Command::new(python()).args([script, env!("CARGO_BIN_EXE_khoanh")]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
