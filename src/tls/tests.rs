//! Files that change, certificates that are wrong, and what is said about it.

use crate::{Client, ClientFiles, Expected, Pair, Peers, Server, ServerFiles, Stream, certificate, explain};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;
use testkit::certificates::{Authority, Files, Holds, self_signed};

fn pair(files: &Files) -> Pair {
    Pair { certificate: files.certificate.clone(), key: files.key.clone() }
}

fn server(own: &Files, peers: Peers, authorities: &Authority, revoked: Option<PathBuf>) -> Server {
    let authorities = Some(authorities.file.clone());
    Server::new(ServerFiles { used_for: "test", own: pair(own), peers, authorities, revoked, protocols: Vec::new() })
}

fn client(own: Option<&Files>, authorities: &Authority) -> Client {
    let authorities = Some(authorities.file.clone());
    Client::new(ClientFiles { used_for: "test", own: own.map(pair), authorities, revoked: None })
}

/// Connects a client to a server; each says a byte. What each side saw: the peer's subject, or why not.
fn meet(server: &Server, client: &Client, expected: &Expected) -> [Result<Option<String>, String>; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    let why = |error: io::Error| explain(&error).unwrap_or_else(|| format!("{error:?}"));
    let greet = |mut stream: Stream| {
        stream.write_all(b"x")?;
        let mut heard = [0];
        stream.read_exact(&mut heard)?;
        Ok(stream.certificate().map(|shown| shown.subject))
    };
    std::thread::scope(|scope| {
        let accepting = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let (tcp, _) = listener.accept().expect("a caller");
                tcp.set_nonblocking(true).expect("nonblocking");
                let tcp = tokio::net::TcpStream::from_std(tcp).expect("stream");
                let accepted = server.acceptor().expect("files").accept(tcp).await?;
                let (tcp, connection) = accepted.into_inner();
                let tcp = tcp.into_std()?;
                tcp.set_nonblocking(false)?;
                tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
                greet(Stream::new(connection.into(), tcp))
            })
        });
        let tcp = TcpStream::connect(address).expect("connected");
        tcp.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        let mut through = tcp.try_clone().expect("clone");
        let called = client.connect("127.0.0.1", expected, tcp, &mut through).and_then(greet).map_err(why);
        drop(through);
        [accepting.join().expect("ends").map_err(why), called]
    })
}

#[test]
fn each_side_knows_the_other() {
    let folder = tempfile::tempdir().expect("folder");
    let province = Authority::new(folder.path(), "province");
    let (ours, theirs) = (province.sign("archive", Holds::Now), province.sign("CT01", Holds::Now));
    let both =
        meet(&server(&ours, Peers::Required, &province, None), &client(Some(&theirs), &province), &Expected::default());
    assert_eq!(both, [Ok(Some("CN=CT01".into())), Ok(Some("CN=archive".into()))]);
    let shown = certificate(&theirs.der);
    assert!(shown.is_named("cn=ct01") && shown.fingerprint.len() == 64);
}

#[test]
fn wrong_certificates_are_refused_in_words_for_the_operator() {
    let folder = tempfile::tempdir().expect("folder");
    let (province, other) = (Authority::new(folder.path(), "province"), Authority::new(folder.path(), "other"));
    let ours = province.sign("archive", Holds::Now);
    let strict = server(&ours, Peers::Required, &province, Some(province.revoke("revoked")));
    let cases = [
        (Some(province.sign("expired", Holds::Expired)), "has expired", "our certificate has expired"),
        (Some(self_signed(folder.path(), "self")), "signs itself", "authority of our certificate"),
        (Some(other.sign("foreign", Holds::Now)), "not among ours", "authority of our certificate"),
        (Some(province.sign("revoked", Holds::Now)), "was revoked", "was revoked"),
        (None, "shows no certificate", "requires a certificate of ours"),
    ];
    for (own, here, there) in cases {
        let [accepted, called] = meet(&strict, &client(own.as_ref(), &province), &Expected::default());
        let (accepted, called) = (accepted.expect_err(here), called.expect_err(there));
        assert!(accepted.contains(here), "{here}: {accepted}");
        assert!(called.contains(there), "{there}: {called}");
    }
    let open = server(&ours, Peers::Asked, &province, None);
    let [accepted, _] = meet(&open, &client(None, &province), &Expected::default());
    assert_eq!(accepted, Ok(None), "asked, and has none");
}

#[test]
fn a_server_is_told_by_its_authority_and_name_or_by_its_fingerprint() {
    let folder = tempfile::tempdir().expect("folder");
    let province = Authority::new(folder.path(), "province");
    let alone = self_signed(folder.path(), "alone");
    let unknown = server(&alone, Peers::Unasked, &province, None);
    let trusting = client(None, &province);
    let [_, called] = meet(&unknown, &trusting, &Expected::default());
    assert!(called.expect_err("unknown").contains("fingerprint of the destination"));
    let pinned = |fingerprint: String| Expected { name: None, fingerprint: Some(fingerprint) };
    let [_, called] = meet(&unknown, &trusting, &pinned(certificate(&alone.der).fingerprint));
    assert_eq!(called, Ok(Some("CN=alone".into())));
    let [_, called] = meet(&unknown, &trusting, &pinned("0".repeat(64)));
    assert!(called.expect_err("another").contains("expected fingerprint"));
    let known = server(&province.sign("archive", Holds::Now), Peers::Unasked, &province, None);
    let wrong = Expected { name: Some("pacs.example.vn".into()), fingerprint: None };
    let [_, called] = meet(&known, &trusting, &wrong);
    assert!(called.expect_err("name").contains("is not for the name"));
    let nobody = Client::default();
    let [_, called] = meet(&known, &nobody, &Expected::default());
    assert!(called.expect_err("no authority").contains("not among ours"));
}

#[test]
fn changed_files_hold_at_the_next_look_and_spoilt_ones_change_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let province = Authority::new(folder.path(), "province");
    let first = province.sign("first", Holds::Now);
    let serving = server(&first, Peers::Unasked, &province, None);
    let calling = client(None, &province);
    let subject = || {
        serving.look_at_once();
        let [_, called] = meet(&serving, &calling, &Expected::default());
        called.expect("a connection").expect("a certificate")
    };
    assert_eq!(subject(), "CN=first");
    let second = province.sign("second", Holds::Now);
    std::fs::copy(&second.certificate, &first.certificate).expect("copied");
    assert_eq!(subject(), "CN=first", "the key is still the old one");
    std::fs::copy(&second.key, &first.key).expect("copied");
    assert_eq!(subject(), "CN=second");
    std::fs::write(&first.key, "spoilt").expect("written");
    assert_eq!(subject(), "CN=second");
    std::fs::remove_file(&first.certificate).expect("removed");
    assert_eq!(subject(), "CN=second");
    let never = server(&first, Peers::Unasked, &province, None);
    assert!(never.acceptor().is_err(), "the first reading must succeed");
}
