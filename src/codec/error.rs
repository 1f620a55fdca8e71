//! Why a frame is not decoded or encoded.
//!
//! Texts name attributes and codestreams, never their content.

/// Why there is no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The form is outside of what is built: no other try will help.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// Codestream and attributes contradict each other.
    #[error("the codestream and the attributes disagree: {0}")]
    Disagrees(String),
    /// The bytes are not what their syntax promises.
    #[error("the frame is damaged: {0}")]
    Corrupt(String),
    /// A named limit was met: size, memory or time.
    #[error("beyond a limit: {0}")]
    Limit(String),
    /// What was encoded did not decode to the same samples: nothing is given out.
    #[error("the encoder was not exact: {0}")]
    NotExact(String),
    /// Everybody is at work and enough are waiting: try again.
    #[error("busy: {0}")]
    Busy(String),
    /// The worker process died or cannot be started.
    #[error("the decoding process failed: {0}")]
    Worker(String),
}

impl CodecError {
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    pub(crate) fn disagrees(what: impl Into<String>) -> Self {
        Self::Disagrees(what.into())
    }
}
