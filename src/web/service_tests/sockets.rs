//! The listening side: slow, greedy and oversized peers, and an orderly end.

use super::*;
use crate::server::{BindError, Server};
use rustls::pki_types::pem::PemObject;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A certificate for `localhost` made for this test and trusted by nobody else.
const CERTIFICATE: &str = include_str!("tls/certificate.pem");
/// Its key.
const KEY: &str = include_str!("tls/key.pem");

/// No wait in these tests is longer.
const DEADLINE: Duration = Duration::from_secs(60);

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

async fn run(options: Options) -> Running {
    let (archive, folder) = open_archive();
    let server = Server::bind("127.0.0.1:0".parse().expect("an address"), options, archive).await.expect("bound");
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        server.serve(stopped, Duration::from_secs(5)).await;
    });
    Running { address, stop: Some(stop), task, _folder: folder }
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.expect("connected")
}

/// Everything until the peer closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading =
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("the peer closes in time");
    // A reset after the answer is as good as an end.
    let _ = reading;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn ask(running: &Running, request: &str) -> String {
    let mut stream = connect(running).await;
    // An early refusal may close while we still write.
    let _ = stream.write_all(request.as_bytes()).await;
    rest(&mut stream).await
}

fn live() -> &'static str {
    "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_heads_get_their_status() {
    let running = run(Options::default()).await;
    assert!(ask(&running, live()).await.starts_with("HTTP/1.1 200"));
    let long = format!("GET /dicom-web/studies?PatientName={} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    let answer = ask(&running, &long).await;
    assert!(answer.starts_with("HTTP/1.1 414") && answer.contains("problem+json"), "{answer}");
    let headers = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(1 << 20));
    assert!(ask(&running, &headers).await.starts_with("HTTP/1.1 431"));
    assert!(ask(&running, "nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert!(ask(&running, live()).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_dripping_peers_are_closed() {
    let options = Options {
        header_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(600),
        ..Options::default()
    };
    let running = run(options).await;
    let mut silent = connect(&running).await;
    assert_eq!(rest(&mut silent).await, "");
    let mut dripping = connect(&running).await;
    dripping.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.expect("written");
    let drip = async {
        while dripping.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, drip).await.expect("a head that never ends is cut");
    let mut idle = connect(&running).await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 200"), "answered, then closed when idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_silent_peers_harms_nobody() {
    let options = Options { connections_max: 20, connections_per_address_max: 20, ..Options::default() };
    let running = run(options).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(&running).await;
        let _ = stream.write_all(b"GET /slow").await;
        crowd.push(stream);
    }
    for _ in 0..5 {
        assert!(ask(&running, live()).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_idle_connections_and_refuses_new_ones() {
    let mut running = run(Options::default()).await;
    let mut idle = connect(&running).await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
    let mut first = [0u8; 12];
    idle.read_exact(&mut first).await.expect("an answer");
    let _silent = connect(&running).await;
    running.stop.take().expect("once").send(()).expect("running");
    rest(&mut idle).await;
    tokio::time::timeout(DEADLINE, &mut running.task).await.expect("drained in time").expect("no panic");
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_only_loopback_is_bound() {
    let (archive, _folder) = open_archive();
    let everywhere = "0.0.0.0:0".parse().expect("an address");
    let refused = Server::bind(everywhere, Options::default(), archive).await;
    assert!(matches!(refused.err(), Some(BindError::NeedsTokens(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_certificate_files_are_named() {
    let (archive, folder) = open_archive();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, "no certificate").expect("written");
    std::fs::write(&key, "no key").expect("written");
    let options = Options { tls: Some(crate::TlsFiles { certificate, key }), ..Options::default() };
    let refused = Server::bind("127.0.0.1:0".parse().expect("an address"), options, archive).await;
    let error = refused.err().expect("refused").to_string();
    assert!(error.contains("cert.pem"), "{error}");
}

/// A TLS stream to the service that offers these protocols.
async fn secured(running: &Running, offered: &[&str]) -> tokio_rustls::client::TlsStream<TcpStream> {
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("usable as a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(name, connect(running).await).await.expect("a handshake")
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_files_serve_both_versions_of_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, CERTIFICATE).expect("written");
    std::fs::write(&key, KEY).expect("written");
    let options = Options {
        tls: Some(crate::TlsFiles { certificate, key }),
        header_timeout: Duration::from_secs(2),
        ..Options::default()
    };
    let running = run(options).await;
    let mut first = secured(&running, &["http/1.1"]).await;
    first.write_all(live().as_bytes()).await.expect("written");
    let mut answer = vec![0u8; 12];
    first.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, b"HTTP/1.1 200");

    let mut second = secured(&running, &["h2", "http/1.1"]).await;
    assert_eq!(second.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // The client preface with an empty SETTINGS frame; the answer begins with a SETTINGS frame (RFC 9113 section 3.4).
    second.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("written");
    let mut frame = [0u8; 9];
    second.read_exact(&mut frame).await.expect("a frame");
    assert_eq!(frame[3], 4, "{frame:?}");

    // Who never begins the handshake is cut.
    let mut silent = connect(&running).await;
    assert_eq!(rest(&mut silent).await, "");
}
