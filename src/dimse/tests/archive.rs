//! The wire in front of the real archive: what is acknowledged can be read back bit for bit, what is broken
//! gets its status, and DCMTK's tools work as they are.

use archive::charts::ReadFilter;
use archive::{Archive, Target};
use dimse::{Listener, Options};
use model::chart::{ChartBody, Read, Way};
use model::{AeTitle, Caller, Destination, Scope, Uid};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use testkit::association::{Association, Proposal, Titles, VERIFICATION};
use testkit::object::Object;

const PATIENCE: Duration = Duration::from_secs(60);
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

struct Server {
    archive: Arc<Archive>,
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
    listener: Option<Listener>,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let options = archive::Options {
            segment_bytes: 32 << 20,
            reserve_bytes: 16 << 20,
            ..archive::Options::new(folder.path())
        };
        let archive = Archive::open(options).expect("open");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("runtime");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(Listener::bind(free, Options::default(), Arc::clone(&archive)));
        let listener = listener.expect("listen");
        let address = listener.local_addr();
        Self { archive, address, runtime, listener: Some(listener), _folder: folder }
    }

    fn associate(&self, contexts: &[(&str, &str)]) -> Association {
        let proposals: Vec<Proposal> = contexts
            .iter()
            .map(|(class, syntax)| Proposal {
                abstract_syntax: (*class).to_owned(),
                transfer_syntaxes: vec![(*syntax).to_owned()],
            })
            .collect();
        Association::open(self.address, &Titles::new("KHOANH", "TEST"), &proposals, PATIENCE).expect("association")
    }

    /// The stored data set of an object, none when it cannot be found.
    fn data_set(&self, object: &Object) -> Option<Vec<u8>> {
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let target = Target::Instance {
            study: uid(&object.study),
            series: uid(&object.series),
            instance: uid(&object.sop_instance),
        };
        let found = self.archive.select(&Caller::operator(), Scope::Shared, &target).ok()?;
        let mut bytes = Vec::new();
        let mut stored = self.archive.data_set(found.instances.first()?);
        std::io::Read::read_to_end(&mut stored, &mut bytes).expect("readable");
        Some(bytes)
    }
}

impl Server {
    /// Who read what so far in a way.
    fn reads(&self, way: Way) -> Vec<Read> {
        let charts = self.archive.charts();
        charts.write_reads(true).expect("written");
        let filter = ReadFilter { way: Some(way), ..ReadFilter::default() };
        let found = charts.reads(&Caller::operator(), &filter, None, 100).expect("answers").rows;
        let read = found.into_iter().filter_map(|row| match row.body {
            ChartBody::Read(read) => Some(*read),
            _ => None,
        });
        read.collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take() {
            assert_eq!(self.runtime.block_on(listener.shutdown(PATIENCE)), 0, "an association had to be cut");
        }
    }
}

fn corpus() -> PathBuf {
    std::env::var_os("KHOANH_DICOM")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/dicom"), PathBuf::from)
}

/// Files of the corpus under a folder, by relative path; fails when there are none.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![corpus().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "dcm") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no DICOM files under {folder}: set KHOANH_DICOM");
    found.sort();
    found
}

#[test]
fn every_readable_file_in_its_own_syntax_is_acknowledged_findable_and_byte_equal() {
    let server = Server::start();
    let mut first: BTreeMap<String, Object> = BTreeMap::new();
    for folder in ["syntax", "colour", "modality", "multiframe", "charset", "structure", "generated"] {
        for path in files(folder) {
            let Ok(object) = Object::from_file(std::fs::read(&path).expect("file")) else { continue };
            if !object.is_identified() {
                continue;
            }
            let mut association = server.associate(&[(&object.sop_class, &object.transfer_syntax)]);
            let context = association.context(&object.sop_class, &object.transfer_syntax);
            let context = context.unwrap_or_else(|| panic!("{}: context refused", path.display()));
            let response = association.store(context, &object.sop_class, &object.sop_instance, object.data_set());
            let response = response.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            association.release().expect("release");
            if Uid::parse(&object.sop_instance).is_err() {
                // One file carries hexadecimal digits where UIDs belong: nothing could ever name it.
                assert_eq!(response.status, 0x0117, "{}", path.display());
                continue;
            }
            assert_eq!(response.status, 0, "{}: {}", path.display(), response.comment);
            let kept = first.entry(object.sop_instance.clone()).or_insert(object);
            let stored = server.data_set(kept).unwrap_or_else(|| panic!("{}: not found", path.display()));
            assert!(stored == kept.data_set(), "{}: other bytes", path.display());
        }
    }
    assert!(first.len() > 100, "only {} objects were sent", first.len());
}

/// An explicit little endian data set with the four identifying UIDs and one more element.
fn data_set(instance: &str, rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (group, element, value) in
        [(8u16, 0x16u16, CT), (8, 0x18, instance), (0x20, 0x0D, "1.2.3"), (0x20, 0x0E, "1.2.3.4")]
    {
        let padded = value.len() + value.len() % 2;
        out.extend(group.to_le_bytes());
        out.extend(element.to_le_bytes());
        out.extend(b"UI");
        out.extend((padded as u16).to_le_bytes());
        out.extend(value.as_bytes());
        out.resize(out.len() + padded - value.len(), 0);
    }
    out.extend(rest);
    out
}

#[test]
fn broken_objects_get_their_status_and_leave_nothing() {
    let server = Server::start();
    let mut association = server.associate(&[(CT, EXPLICIT), (VERIFICATION, EXPLICIT)]);
    let context = association.context(CT, EXPLICIT).expect("context");
    let sequence = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff";
    let nested = data_set("1.2.9", &sequence.repeat(1_500));
    let huge = [0xe0, 0x7f, 0x10, 0x00, b'O', b'B', 0, 0, 0, 0, 0, 0x80, 1, 2, 3, 4];
    let whole = data_set("1.2.9", b"\xe0\x7f\x10\x00OB\0\0\x08\0\0\0abcdefgh");
    let cases: [(&str, &[u8], u16); 7] = [
        ("2 GiB declared", &data_set("1.2.9", &huge), 0xC000),
        ("1,500 nested sequences", &nested, 0xC000),
        ("truncated in the pixels", whole.get(..whole.len() - 4).expect("shorter"), 0xC000),
        ("truncated in the head", whole.get(..30).expect("shorter"), 0xC000),
        ("another SOP Instance UID", &data_set("1.2.10", b""), 0xA900),
        ("no identity", b"\x10\x00\x10\x00PN\x02\0AB", 0xA900),
        ("nothing at all", b"", 0xA900),
    ];
    for (what, bytes, status) in cases {
        let response = association.store(context, CT, "1.2.9", bytes).expect("an answer");
        assert_eq!(format!("{:04X}", response.status), format!("{status:04X}"), "{what}: {}", response.comment);
        assert!(!response.comment.is_empty(), "{what}: no comment");
    }
    let object = Object {
        sop_class: CT.into(),
        sop_instance: "1.2.9".into(),
        study: "1.2.3".into(),
        series: "1.2.3.4".into(),
        transfer_syntax: EXPLICIT.into(),
        file: whole.clone(),
        data_set_at: 0,
    };
    assert_eq!(server.data_set(&object), None, "something half stored");
    for _ in 0..2 {
        assert_eq!(association.store(context, CT, "1.2.9", &whole).expect("an answer").status, 0);
    }
    assert_eq!(server.data_set(&object), Some(whole));
    assert_eq!(association.echo().expect("echo"), 0);
    association.release().expect("release");
}

#[test]
fn third_party_malformed_files_never_end_the_association() {
    let server = Server::start();
    let mut sent = 0;
    for path in files("bad") {
        let Ok(object) = Object::from_file(std::fs::read(&path).expect("file")) else { continue };
        let mut association = server.associate(&[(CT, &object.transfer_syntax), (VERIFICATION, EXPLICIT)]);
        let Some(context) = association.context(CT, &object.transfer_syntax) else { continue };
        let response = association.store(context, CT, "1.2.3", object.data_set()).expect("an answer");
        assert!(matches!(response.status, 0xA900 | 0xC000), "{}: {:04X}", path.display(), response.status);
        assert_eq!(association.echo().expect("echo"), 0, "{}", path.display());
        association.release().expect("release");
        sent += 1;
    }
    assert!(sent > 20, "only {sent} files were sent");
}

/// Runs one of DCMTK's tools; a missing tool fails the test.
fn dcmtk(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{tool} (package dcmtk): {error}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{tool}: {text}");
    text
}

#[test]
fn the_tools_of_dcmtk_work_as_they_are() {
    let server = Server::start();
    let port = server.address.port().to_string();
    let host = server.address.ip().to_string();
    let paths = files("modality/ct-series");
    let names: Vec<&str> = paths.iter().map(|path| path.to_str().expect("path")).collect();
    dcmtk("echoscu", &["-aec", "KHOANH", &host, &port]);
    for tool in ["storescu", "dcmsend"] {
        let mut arguments = vec!["-v", "-aec", "KHOANH", host.as_str(), port.as_str()];
        arguments.extend(&names);
        let said = dcmtk(tool, &arguments);
        let successes = said.matches("(Success)").count();
        assert!(successes >= names.len(), "{tool}: {successes} of {}: {said}", names.len());
    }
    for path in &paths {
        let object = Object::from_file(std::fs::read(path).expect("file")).expect("readable");
        assert!(server.data_set(&object).is_some(), "{} was acknowledged and is not found", path.display());
    }
    let refused = Command::new("echoscu").args(["-aec", "ELSEWHERE", &host, &port]).output().expect("echoscu");
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("Called AE Title Not Recognized"), "{said}");
}

#[test]
fn who_gets_or_moves_objects_is_recorded_with_titles_and_address() {
    let server = Server::start();
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let path = files("modality/ct-series").remove(0);
    let object = Object::from_file(std::fs::read(&path).expect("file")).expect("readable");
    dcmtk("storescu", &["-aec", "KHOANH", &host, &port, path.to_str().expect("path")]);
    assert!(server.reads(Way::Get).is_empty(), "storing is no reading");
    let study = format!("StudyInstanceUID={}", object.study);
    let into = tempfile::tempdir().expect("folder");
    let into = into.path().to_str().expect("path");
    let asked = ["-S", "-aet", "WS1", "-aec", "KHOANH", "-k", "QueryRetrieveLevel=STUDY", "-k", study.as_str()];
    dcmtk("getscu", &[&asked[..], &["-od", into, host.as_str(), port.as_str()][..]].concat());
    let got = server.reads(Way::Get);
    let [one] = got.as_slice() else { panic!("{got:?}") };
    assert_eq!((one.title.as_str(), one.to.as_str(), one.study.as_str()), ("WS1", "", object.study.as_str()));
    assert_eq!((one.requests, one.objects, one.addresses.as_slice()), (1, 1, &[server.address.ip()][..]));
    assert!(one.by.starts_with("source:"), "{one:?}");
    // The archive is a destination of its own: what it has already it takes again.
    let destination = Destination {
        title: AeTitle::parse("KHOANH").expect("a title"),
        host: host.clone(),
        port: server.address.port(),
        facility: None,
        calling: None,
        associations: 1,
        tls: None,
        as_received: false,
        description: String::new(),
        removed: false,
    };
    server.archive.put_destination(&Caller::operator(), destination).expect("registered");
    dcmtk("movescu", &[&asked[..], &["-aem", "KHOANH", host.as_str(), port.as_str()][..]].concat());
    let moved = server.reads(Way::Move);
    let [one] = moved.as_slice() else { panic!("{moved:?}") };
    assert_eq!((one.title.as_str(), one.to.as_str(), one.requests, one.objects), ("WS1", "KHOANH", 1, 1));
}
