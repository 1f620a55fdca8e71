//! A relay in front of the S3 server that counts requests and breaks them as a test wishes.
//!
//! One request for each connection to the server behind: simple, and every request is seen whole.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as the relay saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) range: Option<String>,
    pub(crate) body: u64,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It goes through.
    None,
    /// It is not passed on; the answer is this status with this S3 error code, or with nothing.
    Answer(u16, &'static str),
    /// It is not passed on, and the connection stays silent until the asker gives up.
    Silence,
    /// The connection is closed in the middle of the request's body.
    CutRequest,
    /// It is passed on and done, but the connection is closed without an answer.
    LoseAnswer,
    /// The answer's body ends after so many bytes, and the connection with it.
    CutAnswer(usize),
    /// The answer's body lacks its last bytes, and its length says so.
    Shorten(usize),
    /// One bit of the answer's body differs.
    Flip(usize),
}

type Plan = dyn Fn(&Request, usize) -> Fault + Send + Sync;

/// The relay; stops when dropped.
pub(crate) struct Proxy {
    address: String,
    seen: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
    plan: Arc<Mutex<Arc<Plan>>>,
}

impl Proxy {
    /// Starts in front of `http://host:port`.
    pub(crate) fn start(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("address"));
        let (seen, stopped) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::new(AtomicBool::new(false)));
        let plan: Arc<Mutex<Arc<Plan>>> = Arc::new(Mutex::new(Arc::new(|_: &Request, _| Fault::None)));
        let (all, ended, planned) = (Arc::clone(&seen), Arc::clone(&stopped), Arc::clone(&plan));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let (server, all, planned, ended) =
                    (server.clone(), Arc::clone(&all), Arc::clone(&planned), Arc::clone(&ended));
                std::thread::spawn(move || {
                    // Whoever hangs up has hung up.
                    let _ = serve(stream, &server, &all, &planned, &ended);
                });
            }
        });
        Self { address, seen, stopped, plan }
    }

    /// Its address, in place of the server's.
    pub(crate) fn endpoint(&self) -> &str {
        &self.address
    }

    /// What becomes of requests from now on; the number counts from 0 with this call.
    pub(crate) fn plan(&self, plan: impl Fn(&Request, usize) -> Fault + Send + Sync + 'static) {
        self.seen.lock().expect("lock").clear();
        *self.plan.lock().expect("lock") = Arc::new(plan);
    }

    /// Requests since the plan was made.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("lock").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
    }
}

fn serve(
    mut asker: TcpStream,
    server: &str,
    all: &Mutex<Vec<Request>>,
    planned: &Mutex<Arc<Plan>>,
    ended: &AtomicBool,
) -> io::Result<()> {
    let (head, mut body) = read_head(&mut asker)?;
    let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0_usize);
    if header(&head, "expect").is_some() {
        asker.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut first = head.lines().next().unwrap_or("").split(' ');
    let (method, target) = (first.next().unwrap_or("").to_owned(), first.next().unwrap_or("").to_owned());
    let range = header(&head, "range").map(str::to_owned);
    let request = Request { method, target, range, body: length as u64 };
    let plan = Arc::clone(&*planned.lock().expect("lock"));
    let number = {
        let mut all = all.lock().expect("lock");
        all.push(request.clone());
        all.len() - 1
    };
    let fault = plan(&request, number);
    if fault == Fault::CutRequest {
        let mut some = vec![0; (length / 2).saturating_sub(body.len())];
        asker.read_exact(&mut some)?;
        return asker.shutdown(Shutdown::Both);
    }
    let mut rest = vec![0; length.saturating_sub(body.len())];
    asker.read_exact(&mut rest)?;
    body.extend_from_slice(&rest);
    match fault {
        Fault::Answer(status, code) => return refuse(&mut asker, status, code, request.method == "HEAD"),
        Fault::Silence => {
            asker.set_read_timeout(Some(Duration::from_millis(100)))?;
            let mut byte = [0];
            while !ended.load(Ordering::Acquire) {
                match asker.read(&mut byte) {
                    Ok(0) => break,
                    Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                    _ => {}
                }
            }
            return Ok(());
        }
        _ => {}
    }
    let answer = ask(server, &head, &body)?;
    pass_back(&mut asker, &answer, &fault)
}

/// Passes a request on and reads the answer to its end.
fn ask(server: &str, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut behind = TcpStream::connect(server)?;
    let lines = head.trim_end().lines().filter(|line| {
        let name = line.split(':').next().unwrap_or("").to_ascii_lowercase();
        name != "connection" && name != "expect"
    });
    let head: String = lines.map(|line| format!("{line}\r\n")).collect();
    behind.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    behind.write_all(body)?;
    let mut answer = Vec::new();
    behind.read_to_end(&mut answer)?;
    Ok(answer)
}

fn pass_back(asker: &mut TcpStream, answer: &[u8], fault: &Fault) -> io::Result<()> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)? + 4;
    let (head, body) = answer.split_at(end);
    let mut body = body.to_vec();
    let mut head = String::from_utf8_lossy(head).into_owned();
    match fault {
        Fault::LoseAnswer => return asker.shutdown(Shutdown::Both),
        Fault::CutAnswer(at) => body.truncate(*at),
        Fault::Flip(at) => {
            let at = at % body.len().max(1);
            if let Some(byte) = body.get_mut(at) {
                *byte ^= 1;
            }
        }
        Fault::Shorten(by) => {
            let len = body.len();
            body.truncate(len.saturating_sub(*by));
            for name in ["Content-Length", "content-length"] {
                head = head.replace(&format!("{name}: {len}"), &format!("{name}: {}", body.len()));
            }
        }
        _ => {}
    }
    asker.write_all(head.as_bytes())?;
    asker.write_all(&body)?;
    asker.shutdown(Shutdown::Both)
}

fn refuse(asker: &mut TcpStream, status: u16, code: &str, bare: bool) -> io::Result<()> {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>planned</Message></Error>");
    let body = if bare || code.is_empty() { "" } else { &text };
    let head = format!("HTTP/1.1 {status} Planned\r\nContent-Type: application/xml\r\nContent-Length: {}", body.len());
    asker.write_all(format!("{head}\r\nConnection: close\r\n\r\n{body}").as_bytes())?;
    asker.shutdown(Shutdown::Both)
}

/// The head as text, and what of the body came with it.
fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut some = [0; 8_192];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        match stream.read(&mut some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(some.get(..read).expect("read")),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
