//! What the ledger held when the journal gave records back: it shows whether the ledger beside it is an older copy.
//!
//! A segment goes when signed heads cover all of it; from then on its entries lie in the ledger alone. An older copy of
//! the ledger, from a backup, say, lacks them for good, and nothing in it tells so: it is whole, and goes on with what
//! the journal still holds. So before a segment goes it is noted how many entries the ledger has of records before its
//! end. A mark that the ledger does not reach stays until the newer copy is back.
//! Deliberately not here: a ledger that has another key; it was begun anew by a person.

use model::Lsn;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use store::ledger::log_name;
use store::{LedgerView, StoreError};

/// The file, in the data directory.
pub(crate) const NAME: &str = "ledger.marks";
/// One that could not be read. While it is there it is said that nobody can tell what the ledger once held.
const DAMAGED: &str = "ledger.marks.damaged";

/// What a ledger had when the journal gave records back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Name of the ledger.
    ledger: String,
    /// Records before this one were given back.
    before: Lsn,
    /// Entries the ledger had of them.
    entries: u64,
}

/// What a ledger had and has no more, and the journal does not hold either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// At least so many entries.
    pub entries: u64,
    /// They are of journal records before this one.
    pub before: Lsn,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the ledger is an older copy: it lacks at least {} entries of journal records before {}, which the journal holds \
             no more; stop the server and bring the newer copy of the ledger's directory back",
            self.entries, self.before
        )
    }
}

/// What the ledger of a data directory lacks, if it is an older copy.
///
/// # Errors
/// When the ledger or what was noted of it cannot be read, or once could not.
pub fn lacking(data: &Path, view: &LedgerView) -> Result<Option<Lacking>, StoreError> {
    let damaged = data.join(DAMAGED);
    if damaged.exists() {
        let source = io::Error::new(io::ErrorKind::InvalidData, "it could not be read and was set aside");
        return Err(StoreError::Io { action: "read what the ledger held in", path: damaged, source });
    }
    let ledger = log_name(view.public_key());
    let marks = read(data).map_err(failed(data, "read what the ledger held in"))?;
    let mut most: Option<Lacking> = None;
    for mark in marks.into_iter().filter(|mark| mark.ledger == ledger) {
        let entries = mark.lacks(view)?;
        if entries > most.map_or(0, |known| known.entries) {
            most = Some(Lacking { entries, before: mark.before });
        }
    }
    Ok(most)
}

/// Notes durably what the ledger has of records before one, which the journal is about to give back.
pub(super) fn note(data: &Path, view: &LedgerView, before: Lsn) -> Result<(), StoreError> {
    let (ledger, entries) = (log_name(view.public_key()), view.entries_before(before)?);
    let known = match read(data) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            fs::rename(data.join(NAME), data.join(DAMAGED)).map_err(failed(data, "set aside"))?;
            Vec::new()
        }
        read => read.map_err(failed(data, "read what the ledger held in"))?,
    };
    let mut marks = Vec::new();
    for mark in known {
        if mark.ledger != ledger || mark.lacks(view)? > 0 {
            marks.push(mark);
        }
    }
    marks.push(Mark { ledger, before, entries });
    write(data, &marks).map_err(failed(data, "note what the ledger holds in"))
}

impl Mark {
    /// How many entries a ledger has less than it had.
    fn lacks(&self, view: &LedgerView) -> Result<u64, StoreError> {
        Ok(self.entries.saturating_sub(view.entries_before(self.before)?))
    }
}

/// The marks; none where nothing was noted yet.
fn read(data: &Path) -> io::Result<Vec<Mark>> {
    match fs::read(data.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

fn failed(data: &Path, action: &'static str) -> impl Fn(io::Error) -> StoreError {
    let path = data.join(NAME);
    move |source| StoreError::Io { action, path: path.clone(), source }
}

fn write(data: &Path, marks: &[Mark]) -> io::Result<()> {
    let new = data.join(format!("{NAME}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(marks)?)?;
    file.sync_all()?;
    fs::rename(&new, data.join(NAME))?;
    File::open(data)?.sync_all()
}
