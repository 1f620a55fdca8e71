//! How the program ends: exit codes, and the failure that leads to one.

use crate::config::ConfigError;
use archive::OpenError;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Exit codes; part of the interface, never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Done,
    /// 1: could not be done.
    Failed,
    /// 2: wrong arguments or configuration.
    Usage,
    /// 3: done, and something was found.
    Findings,
    /// 4: the data directory is in use, or too many commands run.
    InUse,
    /// 5: stopped, but not everything ended in time.
    LateStop,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    const ALL: [Self; 7] =
        [Self::Done, Self::Failed, Self::Usage, Self::Findings, Self::InUse, Self::LateStop, Self::Interrupted];

    /// The code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Findings => 3,
            Self::InUse => 4,
            Self::LateStop => 5,
            Self::Interrupted => 130,
        }
    }

    /// The exit a server of another version may have meant.
    pub(crate) fn from_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|exit| exit.code() == code).unwrap_or(Self::Failed)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What the operator reads.
    pub(crate) what: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into() }
    }

    /// An error with its causes.
    pub(crate) fn because(exit: Exit, error: &dyn Error) -> Self {
        let mut what = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            // Some errors repeat their cause in their own text.
            if !what.contains(&error.to_string()) {
                what = format!("{what}: {error}");
            }
            cause = error.source();
        }
        Self { exit, what }
    }

    /// The data directory did not open.
    pub(crate) fn open(data: &Path, error: OpenError) -> Self {
        let exit = match &error {
            OpenError::Store(store::StoreError::Locked { .. }) => Exit::InUse,
            OpenError::Store(store::StoreError::Corrupt { .. }) => Exit::Findings,
            _ => Exit::Failed,
        };
        let inner = Self::because(exit, &error);
        Self::new(exit, format!("{}: {}", data.display(), inner.what))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::because(Exit::Usage, &error)
    }
}
