//! The real program as a child process in a folder of its own.
//!
//! Starts `khoanh serve` on free ports, waits for its ready line, stops or kills it. The child is killed
//! when the value is dropped; the folder is the caller's.

use crate::process::Process;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running archive.
#[derive(Debug)]
pub struct Server {
    child: Child,
    executable: PathBuf,
    data: PathBuf,
    /// Where DICOM is spoken.
    pub dicom: SocketAddr,
    /// Where HTTP is spoken.
    pub http: SocketAddr,
    /// Where DICOM is spoken over TLS, if it is.
    pub dicom_tls: Option<SocketAddr>,
    /// Where HL7 is spoken, if it is.
    pub hl7: Option<SocketAddr>,
    /// From the start of the process to the ready line.
    pub start_up: Duration,
}

impl Server {
    /// Starts the program on this data directory; extra arguments go to `serve`.
    pub fn start(executable: &Path, data: &Path, arguments: &[&str]) -> io::Result<Self> {
        Self::start_at(executable, data, SocketAddr::from(([127, 0, 0, 1], 0)), arguments)
    }

    /// The same with the DICOM port where others expect it.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_at(executable: &Path, data: &Path, dicom: SocketAddr, arguments: &[&str]) -> io::Result<Self> {
        let started = Instant::now();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log_file(data))?;
        let mut child = Command::new(executable)
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--dicom", &dicom.to_string(), "--http", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let ready = child.stdout.take().and_then(|out| ready_line(BufReader::new(out)));
        let Some(Ready { dicom, http, dicom_tls, hl7 }) = ready else {
            let _ = child.kill();
            let status = child.wait()?;
            return Err(io::Error::other(format!("no ready line, {status}; its log ends:\n{}", log_end(data))));
        };
        let (executable, data) = (executable.to_owned(), data.to_owned());
        Ok(Self { child, executable, data, dicom, http, dicom_tls, hl7, start_up: started.elapsed() })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process as the kernel counts it.
    pub fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9`.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// SIGTERM, and its exit status within the limit.
    pub fn stop(mut self, limit: Duration) -> io::Result<ExitStatus> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not stop in time"))
    }

    /// Runs another command of the program on the same data directory.
    pub fn command(&self, arguments: &[&str]) -> io::Result<std::process::Output> {
        command(&self.executable, &self.data, arguments)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command of the program on a data directory.
pub fn command(executable: &Path, data: &Path, arguments: &[&str]) -> io::Result<std::process::Output> {
    Command::new(executable).args(arguments).arg("--data").arg(data).stdin(Stdio::null()).output()
}

/// The last lines that a server on this data directory said.
pub fn log_end(data: &Path) -> String {
    let log = std::fs::read_to_string(log_file(data)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// The server's log lies beside its data directory, which is its own.
fn log_file(data: &Path) -> PathBuf {
    data.with_extension("log")
}

/// What the ready line says.
struct Ready {
    dicom: SocketAddr,
    http: SocketAddr,
    dicom_tls: Option<SocketAddr>,
    hl7: Option<SocketAddr>,
}

/// Waits for the ready line; the rest of the output is drained by a thread so that the child never blocks.
fn ready_line(mut out: BufReader<std::process::ChildStdout>) -> Option<Ready> {
    let mut line = String::new();
    loop {
        line.clear();
        if out.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.contains("\"ready\"") {
            break;
        }
    }
    std::thread::spawn(move || io::copy(&mut out, &mut io::sink()));
    let at = |name: &str| address(&line, name);
    Some(Ready { dicom: at("dicom")?, http: at("http")?, dicom_tls: at("dicom_tls"), hl7: at("hl7") })
}

fn address(line: &str, name: &str) -> Option<SocketAddr> {
    let rest = line.split(&format!("\"{name}\":")).nth(1)?;
    rest.trim_start().trim_start_matches('"').split('"').next()?.parse().ok()
}
