//! The server's end of the control socket: a thread that accepts, and one for each command.
//!
//! Bounded in commands, request length and waiting time; whoever may open the socket owns the data directory anyway.

use super::{COMMANDS_MAX, LINE_MAX, Line, Progress, REQUEST_WITHIN, Request, work};
use crate::cli::{Exit, Failure};
use archive::Archive;
use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Progress lines are at least this far apart.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// The listening socket; dropping it removes the file and ends running commands.
pub(crate) struct Server {
    path: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Listens at `path`. The caller holds the lock of the data directory, so a socket found there is a dead one.
    pub(crate) fn start(path: &Path, archive: &Arc<Archive>) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let stop = Arc::new(AtomicBool::new(false));
        let server = Self { path: path.into(), stop: Arc::clone(&stop) };
        let archive = Arc::downgrade(archive);
        thread::Builder::new().name("control".into()).spawn(move || {
            let running = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming().flatten() {
                let Some(archive) = archive.upgrade().filter(|_| !stop.load(Ordering::Relaxed)) else { return };
                serve(stream, archive, &stop, &running);
            }
        })?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees the flag.
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Starts the thread of one command, or says that there are too many.
fn serve(mut stream: UnixStream, archive: Arc<Archive>, stop: &Arc<AtomicBool>, running: &Arc<AtomicUsize>) {
    if running.fetch_add(1, Ordering::Relaxed) >= COMMANDS_MAX {
        running.fetch_sub(1, Ordering::Relaxed);
        let what = format!("{COMMANDS_MAX} commands run already; try again when one is done");
        let _ = send(&mut stream, &Line::Failed { exit: Exit::InUse.code(), what });
        return;
    }
    let (stop, count) = (Arc::clone(stop), Arc::clone(running));
    let command = move || {
        if let Err(error) = converse(&stream, &archive, &stop) {
            tracing::debug!(%error, "a command ended without its answer");
        }
        count.fetch_sub(1, Ordering::Relaxed);
    };
    if let Err(error) = thread::Builder::new().name("command".into()).spawn(command) {
        running.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!(%error, "no thread for a command");
    }
}

fn converse(stream: &UnixStream, archive: &Arc<Archive>, server_stops: &Arc<AtomicBool>) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_WITHIN))?;
    stream.set_write_timeout(Some(REQUEST_WITHIN))?;
    let mut line = Vec::new();
    BufReader::new(stream).take(LINE_MAX).read_until(b'\n', &mut line)?;
    let mut writer = stream;
    let request: Request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(error) => {
            let what = format!("the request is not understood ({error}); are command and server of one version?");
            return send(&mut writer, &Line::Failed { exit: Exit::Usage.code(), what });
        }
    };
    tracing::info!(command = request.name(), "command from the control socket");
    let gone = Arc::new(AtomicBool::new(false));
    let mut last = Instant::now();
    let answer = work::answer(archive, &request, &gone, &mut |step: Progress| {
        if server_stops.load(Ordering::Relaxed) {
            gone.store(true, Ordering::Relaxed);
        }
        if last.elapsed() >= PROGRESS_EVERY {
            last = Instant::now();
            if send(&mut writer, &Line::Progress(step)).is_err() {
                gone.store(true, Ordering::Relaxed);
            }
        }
    });
    let line = match answer {
        Ok(answer) => Line::Done { answer },
        Err(Failure { exit, what }) => Line::Failed { exit: exit.code(), what },
    };
    send(&mut writer, &line)
}

fn send(writer: &mut impl Write, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    writer.write_all(&bytes)
}
