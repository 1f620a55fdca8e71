//! The keys of decoding, and their checks.

use super::options::refuse;
use super::{Config, ConfigError, Size, Span};
use codec::Limits;
use codec::pool::{Launch, Options};
use codec::worker::Bounds;
use serde::{Deserialize, Serialize};

/// Below this a decoding process cannot even start.
const MEMORY_MIN: Size = Size(512 << 20);
/// This program, also after its file was replaced by a newer one.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// `[decode]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Decode {
    pub(crate) processes: usize,
    pub(crate) process_memory: Size,
    pub(crate) deadline: Span,
    pub(crate) queue: usize,
    pub(crate) wait: Span,
    pub(crate) frame_max: Size,
    pub(crate) image_cache: Size,
    pub(crate) frame_cache: Size,
}

impl Default for Decode {
    fn default() -> Self {
        let (options, archive) = (Options::default(), archive::Options::new(std::path::PathBuf::new()));
        Self {
            processes: 0,
            process_memory: Size(Bounds::default().memory),
            deadline: Span(options.deadline),
            queue: options.queue,
            wait: Span(options.wait),
            frame_max: Size(options.limits.frame_bytes),
            image_cache: Size(archive.image_cache),
            frame_cache: Size(archive.frame_cache),
        }
    }
}

impl Decode {
    /// Options of the archive's decoders: processes of this same program.
    pub(super) fn options(&self) -> Options {
        let memory = self.process_memory.0.to_string();
        let launch = Launch {
            program: THIS_PROGRAM.into(),
            arguments: vec!["decode-worker".into(), "--memory".into(), memory.into()],
            environment: Vec::new(),
        };
        let default = Options::default();
        Options {
            launch: Some(launch),
            processes: if self.processes == 0 { default.processes } else { self.processes },
            queue: self.queue,
            deadline: self.deadline.0,
            wait: self.wait.0,
            limits: Limits { frame_bytes: self.frame_max.0, compressed_bytes: self.frame_max.0 },
        }
    }
}

impl Config {
    pub(super) fn check_decode(&self) -> Result<(), ConfigError> {
        let decode = &self.decode;
        if decode.process_memory.0 < MEMORY_MIN.0 {
            return refuse("decode.process_memory", format!("at least {MEMORY_MIN}"));
        }
        if decode.deadline.0.is_zero() {
            return refuse("decode.deadline", "longer than nothing, for example \"30s\"");
        }
        if decode.frame_max.0 > decode.process_memory.0 / 4 {
            return refuse(
                "decode.frame_max",
                "at most a quarter of decode.process_memory: decoders hold a frame more than once",
            );
        }
        Ok(())
    }
}
