//! The command's end of the control socket.

use super::{LINE_MAX, Line, Progress, Request};
use crate::cli::{Exit, Failure};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a waiting command looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A connection to the running server.
pub(crate) struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects; none when no server listens.
    pub(super) fn connect(path: &Path) -> Result<Option<Self>, Failure> {
        match UnixStream::connect(path) {
            Ok(stream) => Ok(Some(Self { stream })),
            // No socket, or one that a killed server left behind.
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind()) => {
                Ok(None)
            }
            Err(error) => Err(Failure::new(Exit::Failed, format!("control socket {}: {error}", path.display()))),
        }
    }

    /// Sends the request and hears the answer out. Hanging up ends the command on the server's side too.
    pub(super) fn ask(
        self,
        request: &Request,
        stop: &Arc<AtomicBool>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<serde_json::Value, Failure> {
        let lost = |error: io::Error| Failure::new(Exit::Failed, format!("lost the server: {error}"));
        let mut line = serde_json::to_vec(request).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        line.push(b'\n');
        self.stream.set_read_timeout(Some(LOOK_EVERY)).map_err(lost)?;
        (&self.stream).write_all(&line).map_err(lost)?;
        let mut reader = BufReader::new(&self.stream);
        loop {
            match read_line(&mut reader, stop)? {
                Line::Progress(step) => progress(step),
                Line::Done { answer } => return Ok(answer),
                Line::Failed { exit, what } => return Err(Failure::new(Exit::from_code(exit), what)),
            }
        }
    }
}

fn read_line(reader: &mut BufReader<&UnixStream>, stop: &AtomicBool) -> Result<Line, Failure> {
    let mut line = Vec::new();
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::new(Exit::Interrupted, "interrupted"));
        }
        let room = LINE_MAX.saturating_sub(u64::try_from(line.len()).unwrap_or(u64::MAX));
        match reader.by_ref().take(room).read_until(b'\n', &mut line) {
            Ok(0) => return Err(Failure::new(Exit::Failed, "the server went away before it answered")),
            Ok(_) if line.ends_with(b"\n") => {
                let garbled =
                    |error| Failure::new(Exit::Failed, format!("the server's answer is not understood: {error}"));
                return serde_json::from_slice(&line).map_err(garbled);
            }
            Ok(_) => {}
            // The time between two looks at `stop` is over; what was read stays in `line`.
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()) => {}
            Err(error) => return Err(Failure::new(Exit::Failed, format!("lost the server: {error}"))),
        }
    }
}
