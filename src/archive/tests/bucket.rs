//! A bucket in memory behind the few requests of S3 that packs need: put, get by range, delete, an empty list.
//!
//! It counts who reads what and can be down. Deliberately not here: whatever a real server does otherwise; the tests of
//! the program run against one.

use crate::tier::CloudOptions;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Default)]
struct State {
    objects: Mutex<HashMap<String, Vec<u8>>>,
    /// Requests for bytes of packs.
    reads: AtomicUsize,
    down: AtomicBool,
    /// Whether packs lie in an archive class.
    archived: AtomicBool,
    /// Requests for a restore.
    restores: AtomicUsize,
    ended: AtomicBool,
}

/// The bucket; ends when dropped.
pub(crate) struct Bucket {
    address: SocketAddr,
    state: Arc<State>,
}

impl Bucket {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::<State>::default();
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || {
                    // Whoever hangs up has hung up.
                    let _ = serve(stream, &serving);
                });
            }
        });
        Self { address, state }
    }

    /// Options that reach it, with the secret's file in a folder.
    pub(crate) fn options(&self, folder: &Path) -> CloudOptions {
        let secret_key_file = folder.join("secret");
        fs::write(&secret_key_file, "secret\n").expect("written");
        fs::set_permissions(&secret_key_file, fs::Permissions::from_mode(0o600)).expect("for its owner");
        CloudOptions {
            endpoint: Some(format!("http://{}", self.address)),
            access_key: "key".into(),
            secret_key_file,
            ..CloudOptions::new("bucket")
        }
    }

    /// Requests for bytes of packs so far.
    pub(crate) fn reads(&self) -> usize {
        self.state.reads.load(Ordering::SeqCst)
    }

    /// From now on every request is refused, or none.
    pub(crate) fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    /// From now on packs lie in an archive class, or are read at once.
    pub(crate) fn set_archived(&self, archived: bool) {
        self.state.archived.store(archived, Ordering::SeqCst);
    }

    /// Packs that were asked back from an archive class.
    pub(crate) fn restores(&self) -> usize {
        self.state.restores.load(Ordering::SeqCst)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// Method, path with query, range and body of a request.
type Request = (String, String, Option<(usize, usize)>, Vec<u8>);

fn read(stream: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut len, mut range) = (String::new(), 0usize, None);
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => len = value.trim().parse().unwrap_or(0),
            "range" => {
                let ends = value.trim().strip_prefix("bytes=").and_then(|text| text.split_once('-'));
                range = ends.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
            }
            _ => {}
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    Ok((method, target, range, body))
}

fn serve(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let (method, target, range, body) = read(&stream)?;
    if state.down.load(Ordering::SeqCst) {
        return refuse(&mut stream, "403 Forbidden", "AccessDenied");
    }
    let (key, query) = target.split_once('?').unwrap_or((&target, ""));
    if query.contains("list-type") {
        let list = "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>";
        return answer(&mut stream, "200 OK", "", list.as_bytes(), false);
    }
    if query.starts_with("restore") {
        state.restores.fetch_add(1, Ordering::SeqCst);
        return answer(&mut stream, "202 Accepted", "", b"", false);
    }
    if !query.is_empty() && !query.starts_with("x-id=") {
        return refuse(&mut stream, "501 Not Implemented", "NotImplemented");
    }
    match method.as_str() {
        "PUT" => {
            state.objects.lock().insert(key.to_owned(), body);
            answer(&mut stream, "200 OK", "ETag: \"tag\"\r\n", b"", false)
        }
        "DELETE" => {
            state.objects.lock().remove(key);
            answer(&mut stream, "204 No Content", "", b"", false)
        }
        _ => {
            let Some(bytes) = state.objects.lock().get(key).cloned() else {
                return refuse(&mut stream, "404 Not Found", "NoSuchKey");
            };
            if key.contains("/packs/") {
                state.reads.fetch_add(1, Ordering::SeqCst);
            }
            let away = key.contains("/packs/") && state.archived.load(Ordering::SeqCst);
            if away && method == "GET" {
                return refuse(&mut stream, "403 Forbidden", "InvalidObjectState");
            }
            let class = if away { "x-amz-storage-class: GLACIER\r\n" } else { "" };
            let dated = format!("ETag: \"tag\"\r\nLast-Modified: Sat, 28 Nov 2026 09:00:00 GMT\r\n{class}");
            let Some((from, to)) = range else {
                return answer(&mut stream, "200 OK", &dated, &bytes, method == "HEAD");
            };
            let to = to.min(bytes.len().saturating_sub(1));
            let part = bytes.get(from..=to).unwrap_or_default();
            let head = format!("{dated}Content-Range: bytes {from}-{to}/{}\r\n", bytes.len());
            answer(&mut stream, "206 Partial Content", &head, part, false)
        }
    }
}

fn refuse(stream: &mut TcpStream, status: &str, code: &str) -> io::Result<()> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>planned</Message></Error>");
    answer(stream, status, "Content-Type: application/xml\r\n", body.as_bytes(), false)
}

fn answer(stream: &mut TcpStream, status: &str, head: &str, body: &[u8], bare: bool) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(if bare { b"" } else { body })
}
