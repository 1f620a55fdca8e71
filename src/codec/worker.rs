//! The decoding process: takes frames from its standard input, which is a socket, and answers there.
//!
//! Before the first byte of a frame it gives up what it does not need: memory beyond a limit, processor time beyond a
//! limit, files, processes, the network and every other call of the system. What breaks it breaks nothing else.

use crate::encode::verified;
use crate::error::CodecError;
use crate::ffi::sandbox;
use crate::wire::{self, Answer, Request};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Address space in bytes.
    pub memory: u64,
    /// Processor time of its whole life in seconds; it ends itself at half of it, between two frames.
    pub processor_seconds: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { memory: 3 << 30, processor_seconds: 120 }
    }
}

/// Serves until the other side goes. Standard input must be a socket.
///
/// # Errors
/// What kept it from starting, or broke the connection.
pub fn serve(bounds: Bounds) -> io::Result<()> {
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // The kernel takes this process first where memory ends.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    limit(Resource::As, bounds.memory)?;
    limit(Resource::Cpu, bounds.processor_seconds)?;
    for nothing in [Resource::Core, Resource::Fsize, Resource::Nofile] {
        limit(nothing, 0)?;
    }
    sandbox::enter()?;
    std::panic::set_hook(Box::new(|_| {}));
    while let Some((request, limits)) = wire::asked(&mut stream)? {
        let done = catch_unwind(AssertUnwindSafe(|| work(&request, &limits)));
        let answer = done.unwrap_or_else(|_| Answer::Failed(CodecError::corrupt("the decoder gave up")));
        wire::answer(&mut stream, &answer)?;
        if sandbox::processor_seconds() > bounds.processor_seconds / 2 {
            break;
        }
    }
    Ok(())
}

fn limit(what: Resource, most: u64) -> io::Result<()> {
    setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) }).map_err(io::Error::from)
}

/// Does what is asked, here and now.
pub(crate) fn work(request: &Request, limits: &crate::Limits) -> Answer {
    let done = match request {
        Request::Decode { transfer_syntax, format, bytes } => {
            crate::decode(transfer_syntax, format, bytes, limits).map(Answer::Decoded)
        }
        Request::Encode { target, allocated, frame } => {
            verified(*target, frame, *allocated, limits).map(Answer::Encoded)
        }
        Request::Misbehave(how) => misbehave(*how),
    };
    done.unwrap_or_else(Answer::Failed)
}

#[cfg(not(test))]
fn misbehave(_how: u8) -> Result<Answer, CodecError> {
    Err(CodecError::unsupported("this request"))
}

/// What broken decoders do.
#[cfg(test)]
fn misbehave(how: u8) -> Result<Answer, CodecError> {
    match how {
        0 => std::process::abort(),
        1 => loop {
            std::hint::spin_loop();
        },
        2 => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(vec![1; 64 << 20]);
            }
        }
        3 => panic!("as asked"),
        4 => {
            let file = std::fs::read("/etc/passwd").is_ok();
            let socket = std::net::TcpListener::bind("127.0.0.1:0").is_ok();
            let process = std::process::Command::new("/bin/true").spawn().is_ok();
            Err(CodecError::Unsupported(format!("file {file}, socket {socket}, process {process}")))
        }
        _ => Err(CodecError::unsupported("this request")),
    }
}
