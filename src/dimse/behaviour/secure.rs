//! The TLS port on the wire: what is served there, who comes to the wrong port, and who stalls.

use super::peer::{CT, EXPLICIT, Peer, encode, request};
use super::retrieving::{associate, kept, move_all};
use super::server::{PATIENCE, Server, eventually};
use crate::scu::{self, CallError, Limits, Object, Proposal, Requestor, Secure};
use crate::{Options, TlsPort};
use model::{AeTitle, Destination, DestinationTls, Uid};
use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::certificates::{Authority, Files, Holds};

fn pair(files: &Files) -> tls::Pair {
    tls::Pair { certificate: files.certificate.clone(), key: files.key.clone() }
}

fn options(province: &Authority, peers: tls::Peers) -> Options {
    let files = tls::ServerFiles {
        used_for: "test",
        own: pair(&province.sign("archive", Holds::Now)),
        peers,
        authorities: Some(province.file.clone()),
        revoked: None,
        protocols: Vec::new(),
    };
    let port = TlsPort {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        server: tls::Server::new(files),
        handshake_limit: Duration::from_secs(20),
    };
    Options { tls: Some(port), client: client(province, "archive"), ..Options::default() }
}

fn client(province: &Authority, name: &str) -> tls::Client {
    let own = Some(pair(&province.sign(name, Holds::Now)));
    tls::Client::new(tls::ClientFiles {
        used_for: "test",
        own,
        authorities: Some(province.file.clone()),
        revoked: None,
    })
}

fn peer(address: SocketAddr, calling: &str, client: Option<tls::Client>) -> scu::Peer {
    let title = |text: &str| AeTitle::parse(text).expect("title");
    scu::Peer {
        address: address.to_string(),
        called: title("KHOANH"),
        calling: title(calling),
        secure: client.map(|client| Secure { client, ..Secure::default() }),
    }
}

fn port(server: &Server) -> SocketAddr {
    server.listener.as_ref().and_then(crate::Listener::tls_addr).expect("a TLS port")
}

fn proposals() -> Vec<Proposal> {
    let ct = Proposal { abstract_syntax: CT.into(), transfer_syntaxes: vec![EXPLICIT.into()] };
    vec![Proposal::verification(), ct]
}

fn quick() -> Limits {
    let short = Duration::from_millis(300);
    Limits { connect: short, answer: short, write: short, ..Limits::default() }
}

fn province(folder: &Path) -> Authority {
    Authority::new(folder, "province")
}

#[test]
fn objects_of_every_size_come_over_tls_while_the_plain_port_serves_on() {
    let folder = tempfile::tempdir().expect("folder");
    let province = province(folder.path());
    let server = Server::start(options(&province, tls::Peers::Required));
    let peer = peer(port(&server), "BOUND1", Some(client(&province, "1")));
    let mut association = Requestor::open(&peer, &proposals(), &Limits::default()).expect("open");
    assert!(association.echo().expect("echo").is_success());
    let context = association.context(CT, EXPLICIT).expect("accepted");
    let uid = |text: &str| Uid::parse(text).expect("uid");
    let sizes = [0, 1, 16_384, 131_066, 131_067, 1_000_003];
    for (number, size) in sizes.iter().enumerate() {
        let data: Vec<u8> = (0..*size).map(|at| u8::try_from(at % 251).expect("small")).collect();
        let object = Object { sop_class: uid(CT), sop_instance: uid(&format!("1.2.{number}")), originator: None };
        assert!(association.store(context, &object, &mut Cursor::new(data)).expect("answered").is_success());
    }
    association.release().expect("released");
    let stored = server.memory.stored();
    assert_eq!(stored.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
    assert!(stored.iter().all(|data| data.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251)));
    let mut plain = server.associate();
    assert_eq!(plain.echo(), 0);
    plain.release();
    eventually("all associations end", || server.associations() == 0);
}

#[test]
fn a_source_bound_to_a_certificate_is_refused_with_another_and_without() {
    let folder = tempfile::tempdir().expect("folder");
    let province = province(folder.path());
    let server = Server::start(options(&province, tls::Peers::Asked));
    let open = |address, certificate: Option<&str>| {
        let client = certificate.map(|name| client(&province, name));
        Requestor::open(&peer(address, "BOUND1", client), &proposals(), &Limits::default()).map(drop)
    };
    open(port(&server), Some("1")).expect("its own certificate");
    for refused in [open(port(&server), Some("2")), open(server.address, None)] {
        assert!(matches!(refused, Err(CallError::Rejected { transient: false, .. })), "{refused:?}");
    }
}

#[test]
fn who_calls_the_wrong_port_is_told_in_its_own_language() {
    let folder = tempfile::tempdir().expect("folder");
    let province = province(folder.path());
    let server = Server::start(options(&province, tls::Peers::Required));
    let mut plain = Peer::connect(port(&server));
    plain.send(&encode(&request("KHOANH", "CT01")));
    assert_eq!(plain.pdu(), Some((3, vec![0, 1, 2, 1])), "A-ASSOCIATE-RJ, permanent, by the provider");
    assert!(plain.is_closed());
    let secure = peer(server.address, "CT01", Some(client(&province, "1")));
    let told = Requestor::open(&secure, &proposals(), &Limits::default()).expect_err("no TLS there");
    assert!(matches!(&told, CallError::Tls(why) if why.contains("no TLS on that port")), "{told}");
    let told = Requestor::open(&peer(port(&server), "CT01", None), &proposals(), &Limits::default());
    assert!(matches!(told, Err(CallError::Rejected { transient: false, .. })), "{told:?}");
    server.is_unharmed();
}

#[test]
fn a_handshake_that_stalls_ends_at_its_limit_and_ours_at_ours() {
    let folder = tempfile::tempdir().expect("folder");
    let province = province(folder.path());
    let mut options = options(&province, tls::Peers::Required);
    if let Some(port) = &mut options.tls {
        port.handshake_limit = Duration::from_millis(200);
    }
    let server = Server::start(options);
    for beginning in [&b""[..], &[0x16, 3, 1, 2, 0, 1]] {
        let mut silent = TcpStream::connect(port(&server)).expect("connect");
        silent.set_read_timeout(Some(PATIENCE)).expect("timeout");
        silent.write_all(beginning).expect("sent");
        assert_eq!(silent.read(&mut [0]).expect("closed"), 0);
    }
    let stalling = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = stalling.local_addr().expect("address");
    let begun = Instant::now();
    let opened = Requestor::open(&peer(address, "CT01", Some(client(&province, "1"))), &proposals(), &quick());
    assert!(matches!(opened, Err(CallError::TooSlow)), "{opened:?}");
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn a_peer_that_hangs_up_inside_a_message_stores_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let province = province(folder.path());
    let server = Server::start(options(&province, tls::Peers::Required));
    let peer = peer(port(&server), "CT01", Some(client(&province, "1")));
    let mut association = Requestor::open(&peer, &proposals(), &Limits::default()).expect("open");
    let context = association.context(CT, EXPLICIT).expect("accepted");
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("damaged"));
            }
            let length = buffer.len().min(self.0);
            self.0 -= length;
            Ok(length)
        }
    }
    let uid = |text: &str| Uid::parse(text).expect("uid");
    let object = Object { sop_class: uid(CT), sop_instance: uid("1.2.3"), originator: None };
    assert!(association.store(context, &object, &mut Broken(700_000)).is_err());
    server.is_unharmed();
}

#[test]
fn a_move_goes_to_a_destination_over_tls() {
    let folder = tempfile::tempdir().expect("folder");
    let province = province(folder.path());
    let (server, other) = (
        Server::start(options(&province, tls::Peers::Required)),
        Server::start(options(&province, tls::Peers::Required)),
    );
    server.memory.keep((0..20).map(|number| kept(number, EXPLICIT)).collect());
    let to = |address: SocketAddr, tls| Destination {
        title: AeTitle::parse("KHOANH").expect("title"),
        host: address.ip().to_string(),
        port: address.port(),
        facility: None,
        calling: Some(AeTitle::parse("MOVER").expect("title")),
        tls,
        as_received: false,
        description: String::new(),
        associations: 1,
        removed: false,
    };
    server.memory.destine(to(port(&other), Some(DestinationTls::default())));
    let mut asker = associate(&server, "CT01");
    assert_eq!(move_all(&mut asker), (0, Some(20)));
    assert_eq!(other.memory.stored().len(), 20);
    let pinned = DestinationTls { name: None, certificate: Some("0".repeat(64)) };
    server.memory.destine(to(port(&other), Some(pinned)));
    assert_eq!(move_all(&mut asker), (0xA702, Some(0)), "another certificate than the registered one");
}
