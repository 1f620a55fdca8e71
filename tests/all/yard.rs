//! A running archive with a well-behaved neighbour in it: whatever a hostile peer does, the neighbour's image
//! stays readable, the neighbour can store the next one, and the totals move by exactly that one.

use crate::roundtrip::{KHOANH, retrieve};
use serde_json::Value;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use testkit::association::{Association, Proposal, Titles};
use testkit::element::{DataSet, file_meta};
use testkit::http::Client;
use testkit::object::{Object, syntax};
use testkit::server::Server;
use testkit::study::{Kind, Study};

/// Secondary Capture Image Storage: what hostile objects claim to be.
pub(crate) const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";

/// The archive and its neighbour.
pub(crate) struct Yard {
    pub(crate) server: Server,
    neighbour: Study,
    next: u32,
    authorization: String,
    _folder: tempfile::TempDir,
}

impl Yard {
    /// Starts an archive with one image of the neighbour.
    pub(crate) fn open() -> Self {
        Self::open_with_token(&[], "")
    }

    /// The same with further arguments to `serve`, and the header that lets this test see everything.
    pub(crate) fn open_with_token(arguments: &[&str], authorization: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let server = Server::start(Path::new(KHOANH), &folder.path().join("data"), arguments).expect("starts");
        let neighbour = Study::draw(56, 1, Kind::Tiny, 100_000);
        let mut yard = Self { server, neighbour, next: 0, authorization: authorization.into(), _folder: folder };
        yard.neighbour_stores();
        yard
    }

    /// A client of its HTTP port.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.server.http, Duration::from_secs(60))
    }

    /// Totals of the archive: studies, series, instances, bytes.
    pub(crate) fn totals(&self) -> Value {
        let answer = self.client().get("/api/stats", &self.authorization).expect("stats");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let stats: Value = serde_json::from_slice(&answer.body).expect("JSON");
        stats.get("total").unwrap_or_else(|| panic!("no totals in {stats}")).clone()
    }

    /// The list of conflicts for the archivist.
    pub(crate) fn conflicts(&self) -> Value {
        let answer = self.client().get("/api/conflicts", &self.authorization).expect("conflicts");
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    fn neighbour_stores(&mut self) {
        let object = self.neighbour.object(self.next);
        self.next += 1;
        let mut association = open(self.server.dicom, &object.sop_class, &object.transfer_syntax);
        let status =
            association.store(1, &object.sop_class, &object.sop_instance, object.data_set()).expect("answered").status;
        assert_eq!(status, 0, "the neighbour's image");
        association.release().expect("released");
    }

    /// Whether the process runs, the neighbour's images are readable, and it can store one more.
    pub(crate) fn is_unharmed(&mut self, after: &str) {
        assert!(self.server.is_alive(), "the process died: {after}");
        self.neighbour_stores();
        let mut client = self.client();
        for number in [0, self.next - 1] {
            let object = self.neighbour.object(number);
            let found = retrieve(&mut client, &object).unwrap_or_else(|reason| panic!("{after}: {reason}"));
            assert!(found.data_set() == object.data_set(), "the neighbour's image {number} differs: {after}");
        }
    }
}

/// An association with one context.
pub(crate) fn open(address: SocketAddr, sop_class: &str, transfer_syntax: &str) -> Association {
    let proposal = Proposal { abstract_syntax: sop_class.into(), transfer_syntaxes: vec![transfer_syntax.to_owned()] };
    let titles = Titles::new("KHOANH", "NEIGHBOUR");
    let association = Association::open(address, &titles, &[proposal], Duration::from_secs(60)).expect("associated");
    assert_eq!(association.contexts().first().map(|context| context.result), Some(0), "{sop_class} {transfer_syntax}");
    association
}

/// Whether the peer closes (after whatever it still says) instead of letting the connection hang.
pub(crate) fn closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let mut rest = [0; 4_096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

/// A small object with exactly these identities and pixel bytes.
pub(crate) fn patient_object(study: &str, series: &str, instance: &str, patient: &str, pixels: &[u8]) -> Object {
    let mut data = DataSet::new();
    data.text(0x0008_0016, "UI", SECONDARY_CAPTURE)
        .text(0x0008_0018, "UI", instance)
        .text(0x0008_0020, "DA", "20260102")
        .text(0x0008_0050, "SH", "ACC1")
        .text(0x0008_0060, "CS", "OT")
        .text(0x0010_0010, "PN", &format!("{patient}^TEST"))
        .text(0x0010_0020, "LO", patient)
        .text(0x0020_000D, "UI", study)
        .text(0x0020_000E, "UI", series)
        .text(0x0020_0013, "IS", "1")
        .value(0x7FE0_0010, "OB", pixels);
    let mut file = file_meta(SECONDARY_CAPTURE, instance, syntax::EXPLICIT);
    let data_set_at = file.len();
    file.extend_from_slice(&data.into_bytes());
    Object {
        sop_class: SECONDARY_CAPTURE.into(),
        sop_instance: instance.into(),
        study: study.into(),
        series: series.into(),
        transfer_syntax: syntax::EXPLICIT.into(),
        file,
        data_set_at,
    }
}
