//! What it comes to that an object cannot be read: one table for every way out.
//!
//! | it is | then |
//! |---|---|
//! | no longer in the archive: destroyed, hidden, another object now | refused, with that reason |
//! | damaged, or in no form the destination takes | refused, with that reason |
//! | in an archive class of the cloud | later: it is coming back |
//! | not at hand: disk, index, key, cloud | later, with growing pauses, until `forward.give_up_after` |
//! | waiting for a decoder, or left by one that died | later |

use super::task::Outcome;
use crate::error::{DecodeError, RetrieveError};
use crate::open::Archive;
use crate::transcode::DataSet;
use codec::CodecError;
use index::InstanceRow;
use std::io::{self, Cursor, Read as _};

/// Seconds before something that is not at hand, or over which the destination was lost, is tried again; the queue
/// makes more of them.
pub const PAUSE: u64 = 60;
/// Objects of a delivery that are not at hand after which the rest of it waits, too.
pub const AWAY_MAX: usize = 32;
/// Bytes of an object that are read before its destination is called.
const FIRST_BYTES: u64 = 256 << 10;

/// Why an object is not brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// Waiting does not help.
    Refused(String),
    /// Not before so many seconds.
    Later(u64, String),
}

impl From<Unread> for Outcome {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Refused(why) => Self::Refused(why),
            Unread::Later(seconds, why) => Self::Later(seconds, why),
        }
    }
}

impl Unread {
    /// What an error of the archive comes to, whatever the object.
    pub(super) fn of(error: &DecodeError) -> Self {
        let why = error.to_string();
        match error {
            DecodeError::Retrieve(RetrieveError::NotFound) => Self::gone(),
            DecodeError::Retrieve(RetrieveError::Damaged { .. }) => Self::Refused(why),
            DecodeError::Retrieve(RetrieveError::Restoring { after }) => Self::Later(u64::from(*after), why),
            DecodeError::Retrieve(RetrieveError::Unavailable { .. }) => Self::Later(PAUSE, why),
            DecodeError::Codec(CodecError::Busy(_) | CodecError::Worker(_)) => Self::Later(PAUSE, why),
            DecodeError::Codec(_) | DecodeError::NoPixels { .. } | DecodeError::NoFrame { .. } => {
                Self::Refused(format!("it cannot be decoded for the destination: {why}"))
            }
        }
    }

    fn gone() -> Self {
        Self::Refused("it is no longer in the archive: destroyed, hidden or replaced since".into())
    }
}

impl Archive {
    /// What it comes to that an object cannot be opened.
    pub fn unopened(&self, object: &InstanceRow, error: &DecodeError) -> Unread {
        let unread = Unread::of(error);
        // What was destroyed first looks as if it were only away.
        match (&unread, self.home_now(object)) {
            (Unread::Later(..), Ok(None)) => Unread::gone(),
            _ => unread,
        }
    }

    /// An object that was opened, with its first bytes read: what cannot be read is known before anybody is called.
    ///
    /// # Errors
    /// What it comes to that it cannot be opened or read.
    pub fn begun(&self, object: &InstanceRow, opened: Result<DataSet, DecodeError>) -> Result<DataSet, Unread> {
        let mut data = opened.map_err(|error| self.unopened(object, &error))?;
        let mut first = Vec::new();
        let read = data.by_ref().take(FIRST_BYTES).read_to_end(&mut first);
        read.map_err(|error| self.unread(object, &error))?;
        Ok(Box::new(Cursor::new(first).chain(data)))
    }

    /// What it comes to that an object was opened and cannot be read to its end.
    pub fn unread(&self, object: &InstanceRow, error: &io::Error) -> Unread {
        let inner = error.get_ref();
        let of_archive = inner.and_then(|inner| inner.downcast_ref::<RetrieveError>()).cloned().map(DecodeError::from);
        let decoding = || inner.and_then(|inner| inner.downcast_ref::<DecodeError>()).cloned();
        match of_archive.or_else(decoding) {
            Some(error) => self.unopened(object, &error),
            None if error.raw_os_error().is_some() => {
                let what = error.to_string();
                self.unopened(object, &RetrieveError::Unavailable { what }.into())
            }
            None => Unread::Refused(format!("it cannot be read: {error}")),
        }
    }
}
