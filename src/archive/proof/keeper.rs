//! Keeps the ledger: opens it, brings it level with the journal, enters what comes, signs at a pace, and goes on
//! after a failure.
//!
//! An entry that no head covers is promised to nobody: after a failed write the ledger is opened anew, which cuts
//! such entries, and they are entered again from the journal.

use super::marks::{self, Lacking};
use super::{Feed, LedgerState, entry_of};
use crate::clock::Clock;
use crate::error::OpenError;
use crate::options::Options;
use crate::tier::KeyRing;
use model::{Fact, Lsn};
use parking_lot::{Mutex, RwLock};
use std::io::Read;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::ledger::{KeyFile, NewEntry, Signer, Token, TokenOptions};
use store::{Journal, Ledger, LedgerOptions, LedgerView, RealDisk, Replayed, StoreError};

/// Entries appended at once while the journal is replayed.
const APPEND: usize = 1_024;
/// A long replay signs after so many entries, so that a start that is interrupted does not begin anew.
const SIGN_WITHIN: usize = 65_536;
/// Longest wait between two attempts after failures.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// A PIN is never longer.
const PIN_MAX: u64 = 256;

/// How the ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerKeeping {
    /// Its directory; `ledger` in the data directory when none is named.
    pub directory: Option<PathBuf>,
    /// What signs.
    pub signing: LedgerSigning,
    /// New entries are signed at this pace.
    pub sign_every: Duration,
}

impl LedgerKeeping {
    /// The ledger's directory for a data directory.
    pub(crate) fn directory_of(&self, data: &Path) -> PathBuf {
        self.directory.clone().unwrap_or_else(|| data.join("ledger"))
    }
}

/// What signs the heads of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerSigning {
    /// A key file; `ledger.pem` in the data directory when none is named. Made with a new ledger.
    File(Option<PathBuf>),
    /// A key on a token behind PKCS#11.
    Token {
        /// The library of the token's maker.
        module: PathBuf,
        /// Label of the token.
        token: String,
        /// Label of the key pair.
        key: String,
        /// File that holds the PIN, for its owner alone.
        pin_file: PathBuf,
    },
}

impl Default for LedgerKeeping {
    fn default() -> Self {
        Self { directory: None, signing: LedgerSigning::File(None), sign_every: Duration::from_secs(10) }
    }
}

impl Options {
    /// Where the ledger lies; none when it is off.
    pub fn ledger_directory(&self) -> Option<PathBuf> {
        let keeping = self.ledger.as_ref()?;
        Some(keeping.directory_of(&self.data))
    }
}

/// The signed part of a ledger that is kept. It outlives a failure of the writer.
pub struct LedgerReader(Arc<Ledger>);

impl Deref for LedgerReader {
    type Target = LedgerView;

    fn deref(&self) -> &LedgerView {
        self.0.view()
    }
}

/// Whether to wait for the pace of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Sign when it is time, try again when it is time.
    Due,
    /// At once.
    Now,
}

/// The keeper.
pub(crate) struct Keeper {
    journal: Arc<Journal>,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    data: PathBuf,
    directory: PathBuf,
    keeping: LedgerKeeping,
    feed: Arc<Feed>,
    /// None while it must be opened again.
    ledger: RwLock<Option<Arc<Ledger>>>,
    turn: Mutex<Turn>,
    covered: AtomicU64,
    alarm: Mutex<Option<String>>,
    /// What comparing it with what it once held found, or why that cannot be told.
    compared: Mutex<Result<Option<Lacking>, String>>,
}

/// What only the one who works on the ledger knows.
struct Turn {
    /// The ledger may lack what the feed no longer has.
    replay: bool,
    /// It was opened, and not yet compared with what it once held.
    compare: bool,
    failures: u32,
    not_before: Option<Instant>,
    signed: Option<Instant>,
}

/// How a replay ends early.
enum Halt {
    /// Everything wanted was seen.
    Enough,
    Failed(OpenError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Keeper {
    /// Opens the ledger and brings it level with the journal, of which every record must be durable. None when it
    /// is off.
    ///
    /// # Errors
    /// A damaged ledger, a key that is not its own or does not sign, a journal that ends before the ledger.
    pub(crate) fn open(
        options: &Options,
        journal: &Arc<Journal>,
        keys: &Arc<KeyRing>,
    ) -> Result<Option<Arc<Self>>, OpenError> {
        let (Some(keeping), Some(directory)) = (&options.ledger, options.ledger_directory()) else { return Ok(None) };
        let last = journal.sync()?;
        let keeper = Self {
            journal: Arc::clone(journal),
            keys: Arc::clone(keys),
            clock: Arc::clone(&options.clock),
            data: options.data.clone(),
            directory,
            keeping: keeping.clone(),
            feed: Arc::new(Feed::new(last)),
            ledger: RwLock::new(None),
            turn: Mutex::new(Turn { replay: true, compare: true, failures: 0, not_before: None, signed: None }),
            covered: AtomicU64::new(0),
            alarm: Mutex::new(None),
            compared: Mutex::new(Ok(None)),
        };
        metrics::counter!("khoanh_ledger_failures_total").increment(0);
        keeper.work(&mut keeper.turn.lock(), When::Now)?;
        Ok(Some(Arc::new(keeper)))
    }

    /// Where those who store leave what they stored.
    pub(crate) fn feed(&self) -> Arc<Feed> {
        Arc::clone(&self.feed)
    }

    /// Everything up to this record is covered by a durable head, or gives no entry.
    pub(crate) fn covered(&self) -> Lsn {
        self.covered.load(Ordering::Acquire)
    }

    /// The newest record it knows to be durable and answered.
    pub(crate) fn heard(&self) -> Lsn {
        self.feed.through()
    }

    /// What keeps it from being written, if something does.
    pub(crate) fn alarm(&self) -> Option<String> {
        self.alarm.lock().clone()
    }

    /// What an operator must know of it: that it is an older copy, or that this cannot be told.
    pub(crate) fn remark(&self) -> Option<String> {
        match &*self.compared.lock() {
            Ok(lacking) => lacking.map(|lacking| lacking.to_string()),
            Err(why) => Some(format!("whether the ledger is an older copy cannot be told: {why}")),
        }
    }

    /// Notes what it holds of records before one: the journal is about to give them back. Where that fails, on a full
    /// disk, say, space must come back all the same: what was noted before stands, and the next note says more.
    pub(crate) fn mark(&self, before: Lsn) {
        let noted = self.reader().map_or(Ok(()), |reader| marks::note(&self.data, &reader, before));
        if let Err(error) = noted {
            tracing::warn!(%error, before, "what the ledger holds is not noted");
        }
    }

    pub(crate) fn reader(&self) -> Option<LedgerReader> {
        self.ledger.read().clone().map(LedgerReader)
    }

    pub(crate) fn state(&self) -> LedgerState {
        let reader = self.reader();
        LedgerState {
            size: reader.as_ref().map(|reader| reader.size()),
            uncovered: self.heard().saturating_sub(self.covered()),
            head_ms: reader.and_then(|reader| reader.head()).map(|head| head.head.time_ms),
        }
    }

    /// Enters what waits and signs when it is time.
    ///
    /// # Errors
    /// What stands in the way; it is counted, shown in [`Keeper::alarm`] and tried again later.
    pub(crate) fn round(&self, when: When) -> Result<(), OpenError> {
        let mut turn = self.turn.lock();
        if when == When::Due && turn.not_before.is_some_and(|time| Instant::now() < time) {
            return Ok(());
        }
        let done = self.work(&mut turn, when);
        match &done {
            Ok(()) => {
                (turn.failures, turn.not_before) = (0, None);
                *self.alarm.lock() = None;
            }
            Err(error) => {
                let wait = self.keeping.sign_every.saturating_mul(1 << turn.failures.min(8)).min(RETRY_MAX);
                turn.failures = turn.failures.saturating_add(1);
                turn.not_before = Instant::now().checked_add(wait);
                metrics::counter!("khoanh_ledger_failures_total").increment(1);
                tracing::error!(%error, "the ledger cannot be written; its entries wait in the journal");
                let reason = with_causes(error);
                *self.alarm.lock() =
                    Some(format!("the ledger cannot be written, entries wait in the journal: {reason}"));
            }
        }
        done
    }

    fn work(&self, turn: &mut Turn, when: When) -> Result<(), OpenError> {
        let known = self.ledger.read().clone();
        let ledger = match known {
            Some(ledger) => ledger,
            None => {
                let opened = Arc::new(self.open_ledger()?);
                (turn.replay, turn.compare) = (true, true);
                self.ledger.write().insert(opened).clone()
            }
        };
        let done = self.enter(&ledger, turn, when);
        // A key that does not sign leaves everything as it is; after any other failure nobody knows what the disk has.
        if matches!(&done, Err(error) if !matches!(error, OpenError::Store(StoreError::Signer { .. }))) {
            turn.replay = true;
            *self.ledger.write() = None;
        }
        done
    }

    fn enter(&self, ledger: &Ledger, turn: &mut Turn, when: When) -> Result<(), OpenError> {
        let taken = self.feed.take();
        turn.replay |= taken.lost;
        if turn.replay {
            self.catch_up(ledger, taken.through)?;
            turn.replay = false;
        } else {
            append(ledger, &taken.entries)?;
        }
        if ledger.last_sequence() > signed_sequence(ledger) {
            let due = turn.signed.is_none_or(|time| time.elapsed() >= self.keeping.sign_every);
            if when == When::Due && !due {
                return Ok(());
            }
            ledger.sync_and_sign(self.clock.now_ms())?;
            turn.signed = Some(Instant::now());
        }
        self.covered.store(taken.through, Ordering::Release);
        if std::mem::take(&mut turn.compare) {
            // It reads entries all over the ledger: one that is damaged is the check's to find, and stops nothing here.
            *self.compared.lock() = marks::lacking(&self.data, ledger.view()).map_err(|error| with_causes(&error));
            if let Some(remark) = self.remark() {
                tracing::error!("{remark}");
            }
        }
        Ok(())
    }

    /// Enters from the journal what the ledger lacks up to a record. Nothing beyond it may be entered: it may not be
    /// durable, and another fact would get its number.
    fn catch_up(&self, ledger: &Ledger, through: Lsn) -> Result<(), OpenError> {
        let from = ledger.last_sequence().saturating_add(1);
        if ledger.last_sequence() > through {
            return Err(OpenError::LedgerAhead { entered: ledger.last_sequence(), last: through });
        }
        let (mut waiting, mut unsigned, mut entered) = (Vec::with_capacity(APPEND), 0, 0_u64);
        let mut each = |replayed: Replayed<'_>| -> Result<(), Halt> {
            if replayed.lsn > through {
                return Err(Halt::Enough);
            }
            let fact: Fact = serde_json::from_slice(replayed.head)
                .map_err(|error| Halt::Failed(OpenError::Fact { lsn: replayed.lsn, what: error.to_string() }))?;
            let fact = self.keys.opened(replayed.lsn, fact).map_err(Halt::Failed)?;
            let Some(text) = entry_of(replayed.lsn, &fact) else { return Ok(()) };
            waiting.push((replayed.lsn, text));
            entered += 1;
            if waiting.len() >= APPEND {
                append(ledger, &waiting)?;
                unsigned += waiting.len();
                waiting.clear();
            }
            if unsigned >= SIGN_WITHIN {
                ledger.sync_and_sign(self.clock.now_ms())?;
                tracing::info!(entered, record = replayed.lsn, through, "the ledger catches up with the journal");
                unsigned = 0;
            }
            Ok(())
        };
        match self.journal.replay(from, &mut each) {
            Ok(()) | Err(Halt::Enough) => {}
            Err(Halt::Failed(error)) => return Err(error),
        }
        append(ledger, &waiting)?;
        tracing::info!(entered, through, "the ledger is level with the journal");
        Ok(())
    }

    fn open_ledger(&self) -> Result<Ledger, OpenError> {
        let signer = self.signer()?;
        let options = LedgerOptions::new(self.directory.clone());
        let (ledger, opened) = Ledger::open(Arc::new(RealDisk), options, signer)?;
        if opened.cut_bytes > 0 {
            let entries = opened.cut_entries;
            tracing::warn!(entries, "unsigned entries at the end of the ledger were cut; the journal has them");
        }
        Ok(ledger)
    }

    fn signer(&self) -> Result<Box<dyn Signer>, StoreError> {
        match &self.keeping.signing {
            LedgerSigning::File(path) => {
                let path = path.clone().unwrap_or_else(|| self.data.join("ledger.pem"));
                // A ledger that has begun needs its own key: a new one in its place would only hide that it is gone.
                let begun = self.directory.join("heads.log").exists();
                let key = if begun { KeyFile::load(&path)? } else { KeyFile::open_or_create(&path)? };
                Ok(Box::new(key))
            }
            LedgerSigning::Token { module, token, key, pin_file } => {
                let (module, token, key) = (module.clone(), token.clone(), key.clone());
                let pin = read_pin(pin_file)?;
                Ok(Box::new(Token::open(TokenOptions { module, token, key, pin })?))
            }
        }
    }
}

fn append(ledger: &Ledger, entries: &[(Lsn, String)]) -> Result<(), StoreError> {
    let entries: Vec<NewEntry<'_>> =
        entries.iter().map(|(sequence, text)| NewEntry { sequence: *sequence, bytes: text.as_bytes() }).collect();
    ledger.append(&entries).map(drop)
}

fn signed_sequence(ledger: &Ledger) -> Lsn {
    ledger.view().head().map_or(0, |head| head.head.sequence)
}

/// An error with its causes, for the operator.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !what.contains(&error.to_string()) {
            what = format!("{what}: {error}");
        }
        cause = error.source();
    }
    what
}

fn read_pin(path: &Path) -> Result<String, StoreError> {
    let failed = |source| StoreError::Io { action: "read the token's PIN", path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        let (place, what) = (path.display().to_string(), "others than its owner can read the PIN: chmod 600".into());
        return Err(StoreError::Signer { place, what });
    }
    let mut text = String::new();
    file.take(PIN_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests;
