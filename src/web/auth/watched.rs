//! A file of secrets as it is now: read again when it changed, so that a token or key is given or taken without a restart.
//!
//! Looked at when a request comes, at most once a second; nothing runs while nobody asks.
//! A file that is gone, cannot be read or is none of its kind leaves what its last good reading said: a slip of an editor
//! must not lock out every viewer. That is logged, once for each state of the file, and shows as a metric.

use super::TokenFileError;
use parking_lot::{Mutex, RwLock};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Shortest time between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);
/// A file changed this short a time ago may change once more without showing it: file systems count in ticks.
const SETTLED: Duration = Duration::from_secs(2);

/// What a file is for.
#[derive(Debug)]
pub(crate) struct Form<T> {
    /// Its name in words.
    pub(crate) file: &'static str,
    /// Gauge that is 1 while it cannot be used.
    pub(crate) unusable: &'static str,
    /// Reads its text.
    pub(crate) parse: fn(&str) -> Result<T, String>,
}

/// The file, and what it said when it last could be read.
#[derive(Debug)]
pub(crate) struct Watched<T: 'static> {
    path: PathBuf,
    form: &'static Form<T>,
    known: RwLock<Arc<T>>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    stamp: Option<Stamp>,
    /// What was read, whether it could be used or not.
    text: Option<String>,
    /// When it was last looked at; none makes the next request look.
    at: Option<Instant>,
}

impl Seen {
    /// Whether a file in this state has nothing new to say. One that is there and could not be read is read again: a
    /// passing failure, such as every descriptor in use, must not hide that a token was taken.
    fn holds(&self, stamp: Option<Stamp>) -> bool {
        self.stamp == stamp && stamp.is_none_or(|stamp| stamp.is_settled() && self.text.is_some())
    }
}

/// What tells one state of the file from another. The change time moves with every writing, whatever the modification
/// time was set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// None when there is no file to look at.
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    fn is_settled(&self) -> bool {
        let changed = u64::try_from(self.changed.0).ok().map(|at| UNIX_EPOCH + Duration::from_secs(at));
        changed.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > SETTLED)
    }
}

impl<T: 'static> Watched<T> {
    /// Reads the file for the first time; then it must be usable.
    pub(crate) fn read(path: &Path, form: &'static Form<T>) -> Result<Self, TokenFileError> {
        metrics::describe_gauge!(form.unusable, "1 while the file cannot be used and its last good reading holds");
        // The stamp first: what is written after it is seen as a change.
        let stamp = Stamp::of(path);
        let text = text_of(path, form)?;
        let known = Arc::new(parsed(path, &text, form)?);
        let seen = Mutex::new(Seen { stamp, text: Some(text), at: Some(Instant::now()) });
        Ok(Self { path: path.to_owned(), form, known: RwLock::new(known), seen })
    }

    /// What it says as of now.
    pub(crate) fn now(&self) -> Arc<T> {
        // Whoever comes while another looks takes what there is.
        if let Some(mut seen) = self.seen.try_lock()
            && seen.at.is_none_or(|at| at.elapsed() >= LOOK)
        {
            seen.at = Some(Instant::now());
            self.look(&mut seen);
        }
        Arc::clone(&self.known.read())
    }

    fn look(&self, seen: &mut Seen) {
        let stamp = Stamp::of(&self.path);
        if seen.holds(stamp) {
            return;
        }
        let told = seen.stamp == stamp && seen.text.is_none();
        seen.stamp = stamp;
        let before = seen.text.take();
        let (path, form) = (&self.path, self.form);
        let read = text_of(path, form).and_then(|text| {
            let known = if before.as_ref() == Some(&text) { None } else { Some(parsed(path, &text, form)) };
            seen.text = Some(text);
            known.transpose()
        });
        match read {
            Ok(None) => {}
            Ok(Some(known)) => {
                tracing::info!(file = %path.display(), "the {} was read again", form.file);
                metrics::gauge!(form.unusable).set(0.0);
                *self.known.write() = Arc::new(known);
            }
            Err(_) if told => {}
            Err(error) => {
                tracing::error!(%error, "the {} cannot be used; its last good reading holds", form.file);
                metrics::gauge!(form.unusable).set(1.0);
            }
        }
    }
}

fn text_of<T>(path: &Path, form: &Form<T>) -> Result<String, TokenFileError> {
    let failed = |error| TokenFileError::Read { file: form.file, path: path.display().to_string(), error };
    std::fs::read_to_string(path).map_err(failed)
}

fn parsed<T>(path: &Path, text: &str, form: &Form<T>) -> Result<T, TokenFileError> {
    (form.parse)(text).map_err(|what| TokenFileError::Form { file: form.file, path: path.display().to_string(), what })
}

#[cfg(test)]
mod tests {
    use super::super::Tokens;
    use super::*;
    use http::{HeaderMap, Method, header};
    use sha2::Digest as _;

    fn write(path: &Path, secret: &str) {
        let digest = model::Digest(sha2::Sha256::digest(secret).into());
        let text =
            format!("[[token]]\nname = \"{secret}\"\nsha256 = \"{digest}\"\nfacilities = \"all\"\nrole = \"reader\"\n");
        std::fs::write(path, text).expect("token file");
    }

    /// Who holds a secret, with the file looked at however short ago the last look was.
    fn name(tokens: &Tokens, secret: &str) -> Option<String> {
        if let super::super::Kept::File(file) = &tokens.kept {
            file.seen.lock().at = None;
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {secret}").parse().expect("header"));
        tokens.caller(&Method::GET, &headers, 0).ok().map(|caller| caller.name)
    }

    #[test]
    fn a_changed_file_holds_at_the_next_look_and_a_spoilt_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tokens.toml");
        assert!(Tokens::load(&path).is_err(), "the first reading must succeed");
        write(&path, "one");
        let tokens = Tokens::load(&path).expect("tokens");
        assert_eq!(name(&tokens, "one").as_deref(), Some("one"));
        write(&path, "two");
        assert_eq!((name(&tokens, "one"), name(&tokens, "two").as_deref()), (None, Some("two")), "written over");
        let aside = folder.path().join("aside");
        write(&aside, "six");
        std::fs::rename(&aside, &path).expect("renamed");
        assert_eq!((name(&tokens, "two"), name(&tokens, "six").as_deref()), (None, Some("six")), "replaced");
        std::fs::write(&path, "[[token]").expect("spoilt");
        assert_eq!(name(&tokens, "six").as_deref(), Some("six"), "spoilt");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(name(&tokens, "six").as_deref(), Some("six"), "gone");
        write(&path, "ten");
        assert_eq!((name(&tokens, "six"), name(&tokens, "ten").as_deref()), (None, Some("ten")), "back");
        std::fs::write(&path, "").expect("emptied");
        assert_eq!(name(&tokens, "ten"), None, "an empty file is a file without tokens");
    }

    #[test]
    fn what_could_not_be_read_or_is_young_is_read_again() {
        let stamp = |changed| Stamp { device: 1, inode: 2, len: 3, modified: (0, 0), changed };
        let old = stamp((1_000, 0));
        let seen = |stamp, text: Option<&str>| Seen { stamp, text: text.map(str::to_owned), at: None };
        assert!(seen(Some(old), Some("")).holds(Some(old)) && seen(None, None).holds(None));
        assert!(!seen(Some(old), Some("")).holds(Some(stamp((1_001, 0)))), "another state");
        assert!(!seen(Some(old), None).holds(Some(old)), "it was there and could not be read");
        let young = stamp((i64::MAX / 4, 0));
        assert!(!seen(Some(young), Some("")).holds(Some(young)), "it may change without showing it");
    }

    #[test]
    fn a_request_soon_after_the_last_look_asks_no_disk() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tokens.toml");
        write(&path, "one");
        let file = Watched::read(&path, &super::super::TOKEN_FILE).expect("tokens");
        file.seen.lock().at = Some(Instant::now() + Duration::from_secs(3_600));
        write(&path, "two");
        let known = |secret: &str| file.now().contains_key::<[u8; 32]>(&sha2::Sha256::digest(secret).into());
        assert!(known("one") && !known("two"));
        file.seen.lock().at = Instant::now().checked_sub(LOOK);
        assert!(!known("one") && known("two"));
    }
}
