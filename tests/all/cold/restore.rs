//! Archive classes against a server that has them in name: an object is asked back and comes after a while.
//!
//! The real S3 server of the other tests restores nothing; this one keeps nothing and forgets its locks, so nothing
//! else is tested against it.

use super::{drawn, fault_of};
use crate::interop::python;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use store::cold::{Ability, Availability, Cold, ColdFault, ColdOptions, PutOptions, RestoreTier, Throttle};

/// A server with archive classes, running until it is dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let child = Command::new(python())
            .args(["-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
        let mut server = Self { child, address: String::new() };
        let mut lines = BufReader::new(server.child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let mut said = Vec::new();
        while let Some(line) = lines.next() {
            if let Some((_, address)) = line.split_once("http://") {
                server.address = address.trim().to_owned();
                // It goes on talking; unheard it would wait.
                std::thread::spawn(move || lines.for_each(drop));
                return server;
            }
            said.push(line);
        }
        panic!("the server did not start; run scripts/prepare test\n{}", said.join("\n"));
    }

    /// `host:port` it answers at.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// One plain request, for what is no S3.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &str) {
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        let head = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(head.as_bytes()).expect("asked");
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).expect("answered");
        assert!(status.contains(" 200") || status.contains(" 201"), "{method} {target}: {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_archived_object_is_nearline_until_it_was_restored() {
    let (server, work) = (Server::start(), tempfile::tempdir().expect("folder"));
    server.ask("PUT", "/khoanh", "");
    // It becomes readable after it was asked about a few times.
    let slowly = r#"{"model_name": "s3::keyrestore", "transition": {"progression": "manual", "times": 3}}"#;
    server.ask("POST", "/moto-api/state-manager/set-transition", slowly);
    let endpoint = format!("http://{}", server.address);
    let options = ColdOptions::new(Some(&endpoint), "us-east-1", "khoanh", work.path().to_owned());
    let options = options.with_credentials("anyone", "anything");
    let cold = Cold::open(options, Throttle::unbounded()).expect("opens");
    let bytes = drawn(1, 10_000);
    let put = cold.put("packs/x", &bytes, &PutOptions::default()).expect("put");
    assert_eq!(cold.availability("packs/x", None).expect("asked").term(), "ONLINE");

    let version = cold.change_class("packs/x", put.version.as_deref(), "GLACIER").expect("moved");
    let version = version.as_deref();
    assert_eq!(cold.availability("packs/x", version).expect("asked"), Availability::Archived);
    assert_eq!(Availability::Archived.term(), "NEARLINE");
    assert_eq!(fault_of(cold.get_range("packs/x", version, 0..100)), ColdFault::Archived);

    cold.restore("packs/x", version, 2, RestoreTier::Standard).expect("asked for");
    assert_eq!(cold.availability("packs/x", version).expect("asked"), Availability::Restoring);
    assert_eq!(Availability::Restoring.term(), "NEARLINE");
    cold.restore("packs/x", version, 2, RestoreTier::Standard).expect("asked for twice");
    let deadline = Instant::now() + Duration::from_secs(30);
    let until = loop {
        match cold.availability("packs/x", version).expect("asked") {
            Availability::Restored { until } => break until,
            Availability::Restoring => assert!(Instant::now() < deadline, "it never came"),
            other => panic!("{other:?}"),
        }
    };
    assert!(until.is_some(), "until when it can be read");
    cold.verify("packs/x", version, put.len, &put.digest).expect("the same bytes");
    let probe = cold.probe().expect("probed");
    assert_eq!(probe.restore, Ability::Works, "{probe}");
}
