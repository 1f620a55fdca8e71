//! The wire in front of the real archive: what is acknowledged is there, also after the archive was closed and opened.

use archive::Archive;
use archive::charts::WorklistQuery;
use his::{Listener, Options};
use model::chart::{ChartBody, ChartKey, ChartKind, Handled};
use model::{Caller, FacilityCode};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const ORM: &str = include_str!("samples/orm-2.3.1.hl7");

struct Running {
    archive: Arc<Archive>,
    runtime: tokio::runtime::Runtime,
    listener: Option<Listener>,
    address: SocketAddr,
}

fn start(folder: &Path) -> Running {
    let options = archive::Options {
        segment_bytes: 32 << 20,
        reserve_bytes: 16 << 20,
        ..archive::Options::new(folder.join("data"))
    };
    let archive = Archive::open(options).expect("open");
    let sources = folder.join("hl7-sources.toml");
    let text = "[[source]]\nname = \"his\"\nfacility = \"DEMO0\"\naddresses = [\"127.0.0.1\"]\n";
    std::fs::write(&sources, text).expect("written");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = Options { listen: Some(free), sources, ..Options::default() };
    let listener = runtime.block_on(Listener::bind(options, Arc::clone(&archive))).expect("listening");
    let address = listener.local_addr().expect("an address");
    Running { archive, runtime, listener: Some(listener), address }
}

impl Running {
    fn answers(&self, messages: &[&str]) -> Vec<String> {
        let mut stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let mut codes = Vec::new();
        for message in messages {
            let frame = [b"\x0b", message.as_bytes(), b"\x1c\r"].concat();
            stream.write_all(&frame).expect("sent");
            let (mut bytes, mut one) = (Vec::new(), [0u8]);
            while !bytes.ends_with(b"\x1c\r") {
                stream.read_exact(&mut one).expect("an answer");
                bytes.extend(one);
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let msa = text.split('\r').find(|line| line.starts_with("MSA|")).unwrap_or_default().to_owned();
            codes.push(msa.split('|').nth(1).unwrap_or_default().to_owned());
        }
        codes
    }

    fn row(&self, kind: ChartKind, id: &str) -> Option<ChartBody> {
        let key = ChartKey::new(kind, FacilityCode::DEMO, id).expect("a key");
        self.archive.charts().get(&Caller::operator(), &key).expect("charts").map(|row| row.body)
    }

    fn worklist(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let query = WorklistQuery::default();
        let each = &mut |item: archive::charts::WorklistItem| {
            found.push((item.order.placer.clone(), item.patient.name.clone()));
            true
        };
        self.archive.charts().worklist(FacilityCode::DEMO, &query, each).expect("charts");
        found
    }

    fn stop(mut self) {
        let listener = self.listener.take().expect("running");
        assert_eq!(self.runtime.block_on(listener.shutdown(PATIENCE)), 0);
        self.archive.close(PATIENCE).expect("closed");
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart_and_repetitions_change_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let admit =
        "MSH|^~\\&|HIS|BV|||20261128||ADT^A01|1|P|2.5\rPID|1||22^^^BV^MR||Trần^An\rPV1|1|I|K1||||||||||||||||V1\r";
    let other = admit.replace("|K1|", "|K2|");
    let refused = "MSH|^~\\&|HIS|BV|||20261128||ADT^A99|2|P|2.5\rPID|1||22\r";
    let running = start(folder.path());
    assert_eq!(running.answers(&[admit, refused, &other, admit]), ["AA", "AR", "AA", "AA"]);
    let check = |running: &Running| {
        let Some(ChartBody::Patient(patient)) = running.row(ChartKind::Patient, "22") else { panic!("a patient") };
        assert_eq!(patient.name, "Trần An");
        let Some(ChartBody::Visit(visit)) = running.row(ChartKind::Visit, "V1") else { panic!("a visit") };
        // The repetition of the first has no second effect; the same control id with other content had one.
        assert_eq!((visit.mrn.as_str(), visit.location.as_str()), ("22", "K2"));
    };
    check(&running);
    running.stop();
    let again = start(folder.path());
    check(&again);
    assert_eq!(again.answers(&[admit]), ["AA"], "a repetition after the restart");
    check(&again);
    again.stop();
}

#[test]
fn a_refused_message_is_given_in_again_by_the_map_of_today() {
    let folder = tempfile::tempdir().expect("folder");
    let running = start(folder.path());
    let odd = "MSH|^~\\&|HIS|BV|||20261128||ADT^A28|7|P|2.5\rPID|1||||Trần^An\rZPI|22\r";
    assert_eq!(running.answers(&[odd]), ["AE"]);
    let query = archive::charts::ChartQuery {
        kind: ChartKind::Message,
        facilities: None,
        driver: archive::charts::ChartDriver::Equal(model::chart::Term::Handled, "refused".into()),
        moments: None,
        years: None,
    };
    let page = running.archive.charts().find(&Caller::operator(), &query, None, 10).expect("charts");
    let [row] = page.rows.as_slice() else { panic!("one message: {:?}", page.rows.len()) };
    let ChartBody::Message(message) = &row.body else { panic!("a message") };
    assert!(matches!(&message.handled, Handled::Refused { why } if why.starts_with("PID-3:")), "{:?}", message.handled);
    std::fs::write(folder.path().join("map.toml"), "[patient]\nnumber = [\"ZPI-1\"]\n").expect("written");
    let text = "[[source]]\nname = \"his\"\nfacility = \"DEMO0\"\naddresses = [\"127.0.0.1\"]\nmap = \"map.toml\"\n";
    std::fs::write(folder.path().join("hl7-sources.toml"), text).expect("written");
    let sources = his::Sources::load(&folder.path().join("hl7-sources.toml")).expect("sources");
    let receipt = his::again(&running.archive, &sources, (FacilityCode::DEMO, &row.key.id), message).expect("given in");
    assert_eq!((receipt.handled, receipt.repeated), (Handled::Done, false));
    assert!(matches!(running.row(ChartKind::Patient, "22"), Some(ChartBody::Patient(_))));
    let page = running.archive.charts().find(&Caller::operator(), &query, None, 10).expect("charts");
    assert!(page.rows.is_empty(), "it is refused no longer");
    running.stop();
}

#[test]
fn an_acknowledged_order_is_in_the_worklist_once_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let running = start(folder.path());
    assert_eq!(running.answers(&[ORM, ORM]), ["AA", "AA"]);
    let check = |running: &Running| {
        let Some(ChartBody::Order(order)) = running.row(ChartKind::Order, "DC1001") else { panic!("an order") };
        assert_eq!((order.accession.as_str(), order.mrn.as_str()), ("ACC7001", "22015985"));
        assert_eq!(running.worklist(), [("DC1001".to_owned(), "Nguyễn Văn An".to_owned())]);
    };
    check(&running);
    running.stop();
    let again = start(folder.path());
    check(&again);
    assert_eq!(again.answers(&[ORM]), ["AA"], "a repetition after the restart");
    check(&again);
    again.stop();
}
