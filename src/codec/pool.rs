//! Keeps decoding processes: as many as there are cores, each for one frame at a time, killed at a deadline.
//!
//! A process that dies, loops or talks nonsense costs its own frame; the next one gets a new process. Whoever asks
//! waits in a queue of bounded length for a bounded time.

use crate::encode::Encoded;
use crate::error::CodecError;
use crate::limits::Limits;
use crate::native;
use crate::syntax::{Target, coder};
use crate::wire::{self, Answer, Request};
use dataset::pixels::{DecodedFrame, PixelFormat};
use parking_lot::{Condvar, Mutex};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a decoding process is started; its standard input will be a socket, on which it must [`crate::worker::serve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment: nothing else is passed on.
    pub environment: Vec<(OsString, OsString)>,
}

/// How many processes there are and how long they may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How to start one; none decodes in the asking thread, for tests and tools that read trusted files.
    pub launch: Option<Launch>,
    /// Processes at once.
    pub processes: usize,
    /// Frames that may wait.
    pub queue: usize,
    /// Longest time for one frame, the wait for a process not counted.
    pub deadline: Duration,
    /// Longest wait for a process.
    pub wait: Duration,
    /// Bounds of one frame.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            launch: None,
            processes: std::thread::available_parallelism().map_or(2, usize::from),
            queue: 1024,
            deadline: Duration::from_secs(30),
            wait: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

/// What a pool has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Processes started.
    pub started: u64,
    /// Processes that died or were killed while they had a frame.
    pub lost: u64,
    /// Frames refused because too many waited, or too long.
    pub refused: u64,
}

#[derive(Default)]
struct State {
    idle: Vec<Process>,
    busy: usize,
    waiting: usize,
    counts: Counts,
}

/// The processes.
pub struct Pool {
    options: Options,
    state: Mutex<State>,
    freed: Condvar,
}

impl Pool {
    /// A pool that starts its processes when frames come.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, state: Mutex::default(), freed: Condvar::new() }
    }

    /// The bounds of one frame.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// Decodes one frame as [`crate::decode`] does: in this thread where our own code reads it, in a process else.
    ///
    /// # Errors
    /// As [`crate::decode`]; [`CodecError::Busy`] and [`CodecError::Worker`] besides.
    pub fn decode(
        &self,
        transfer_syntax: &str,
        format: &PixelFormat,
        bytes: Vec<u8>,
    ) -> Result<DecodedFrame, CodecError> {
        let limits = &self.options.limits;
        let here = coder(transfer_syntax).is_none_or(crate::Coder::is_light);
        if here || self.options.launch.is_none() {
            return crate::decode(transfer_syntax, format, &bytes, limits);
        }
        // Nothing that is refused for its description needs a process.
        let checked = limits.check(format)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limits.compressed_bytes {
            return Err(CodecError::Limit(format!("a compressed frame of {} bytes", bytes.len())));
        }
        let request = Request::Decode { transfer_syntax: transfer_syntax.to_owned(), format: format.clone(), bytes };
        match self.run(&request)? {
            Answer::Decoded(frame) => {
                // A process that was taken over by what it read may say anything.
                let as_asked = frame.rows == u32::from(format.rows)
                    && frame.columns == u32::from(format.columns)
                    && (frame.samples, frame.stored, frame.signed) == (format.samples, format.stored, format.signed)
                    && frame.words.len() == checked.samples;
                if as_asked { Ok(frame) } else { Err(CodecError::Worker("it answered another frame".into())) }
            }
            Answer::Failed(error) => Err(error),
            Answer::Encoded(_) => Err(CodecError::Worker("it answered something else".into())),
        }
    }

    /// Encodes one frame as [`crate::verified`] does, in a process.
    ///
    /// # Errors
    /// As [`crate::verified`]; [`CodecError::Busy`] and [`CodecError::Worker`] besides.
    pub fn encode(&self, target: Target, frame: DecodedFrame, allocated: u8) -> Result<Encoded, CodecError> {
        let light = matches!(target, Target::Rle | Target::Deflated);
        if light || self.options.launch.is_none() {
            return crate::verified(target, &frame, allocated, &self.options.limits);
        }
        match self.run(&Request::Encode { target, allocated, frame })? {
            Answer::Encoded(encoded) => Ok(encoded),
            Answer::Failed(error) => Err(error),
            Answer::Decoded(_) => Err(CodecError::Worker("it answered something else".into())),
        }
    }

    /// Kills the processes that wait for frames, as the kernel might.
    #[cfg(test)]
    pub(crate) fn kill_idle(&self) {
        for process in &mut self.state.lock().idle {
            process.child.kill().expect("alive");
            process.child.wait().expect("dead");
        }
    }

    pub(crate) fn run(&self, request: &Request) -> Result<Answer, CodecError> {
        let kept = self.seat()?;
        let seat = Seat(self);
        if let Some(mut process) = kept {
            match process.exchange(request, &self.options.limits, self.options.deadline) {
                Ok(answer) => {
                    seat.give_back(process);
                    return Ok(answer);
                }
                // It may have ended between two frames, by its own limit or by the kernel's choice: a new one tries.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(self.lost(&error)),
            }
        }
        let started = self.start();
        let mut process = started.map_err(|error| CodecError::Worker(format!("it cannot be started: {error}")))?;
        match process.exchange(request, &self.options.limits, self.options.deadline) {
            Ok(answer) => {
                seat.give_back(process);
                Ok(answer)
            }
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// Counts a process that was lost over a frame, and says what happened.
    fn lost(&self, error: &io::Error) -> CodecError {
        self.state.lock().counts.lost += 1;
        if is_late(error) {
            let most = self.options.deadline.as_secs_f32();
            return CodecError::Limit(format!("decoding took more than {most} s"));
        }
        CodecError::Worker(match error.kind() {
            io::ErrorKind::InvalidData => "it answered nonsense".into(),
            _ => "it died over this frame, or met its limit of memory".into(),
        })
    }

    /// Waits for the right to use a process, and takes one that is idle.
    fn seat(&self) -> Result<Option<Process>, CodecError> {
        let mut state = self.state.lock();
        let until = Instant::now() + self.options.wait;
        if state.busy >= self.options.processes.max(1) {
            if state.waiting >= self.options.queue {
                state.counts.refused += 1;
                return Err(CodecError::Busy(format!("{} frames wait for a decoder already", state.waiting)));
            }
            state.waiting += 1;
            let mut late = false;
            while state.busy >= self.options.processes.max(1) && !late {
                late = self.freed.wait_until(&mut state, until).timed_out();
            }
            state.waiting -= 1;
            if state.busy >= self.options.processes.max(1) {
                state.counts.refused += 1;
                return Err(CodecError::Busy("no decoder became free in time".into()));
            }
        }
        state.busy += 1;
        Ok(state.idle.pop())
    }

    fn start(&self) -> io::Result<Process> {
        let launch = self.options.launch.as_ref().ok_or_else(|| io::Error::other("no program is named"))?;
        let process = Process::start(launch)?;
        self.state.lock().counts.started += 1;
        Ok(process)
    }
}

/// The right to use a process, given back however its use ends.
struct Seat<'a>(&'a Pool);

impl Seat<'_> {
    fn give_back(self, process: Process) {
        self.0.state.lock().idle.push(process);
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.state.lock().busy -= 1;
        self.0.freed.notify_one();
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

fn is_gone(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

/// One process and the socket to it.
struct Process {
    child: Child,
    stream: UnixStream,
}

impl Process {
    fn start(launch: &Launch) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(&launch.program)
            .args(&launch.arguments)
            .env_clear()
            .envs(launch.environment.iter().cloned())
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, stream: ours })
    }

    fn exchange(&mut self, request: &Request, limits: &Limits, within: Duration) -> io::Result<Answer> {
        let mut timed = Timed { stream: &self.stream, until: Instant::now() + within };
        wire::ask(&mut timed, request, limits)?;
        let most = match request {
            Request::Decode { format, .. } => native::native_len(format).max(1).saturating_mul(8),
            // Noise grows a little when it is compressed.
            Request::Encode { .. } => limits.frame_bytes.saturating_mul(2),
            Request::Misbehave(_) => 1 << 20,
        };
        wire::answered(&mut timed, most.min(limits.frame_bytes.saturating_mul(2)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already; either way nothing of it stays behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream that gives up at one moment, however many pieces pass before.
struct Timed<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(out)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
