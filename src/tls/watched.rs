//! A configuration made from files, made again when they change, so that a certificate is renewed without a restart.
//!
//! Looked at when a connection comes, at most once a second; nothing runs while nobody calls. Files that cannot be used
//! leave the last good configuration: a slip while copying must not lock out every modality. That is logged once for
//! each trouble, and shows as a metric.

use crate::TlsError;
use crate::identity;
use crate::pem::Text;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Shortest time between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// A certificate that ends sooner than this is warned of when it is read.
const ENDS_SOON: u64 = 30 * 86_400;

const UNUSABLE: &str = "khoanh_tls_files_unusable";
const ENDS: &str = "khoanh_tls_certificate_not_after_seconds";

/// How a configuration is made.
pub(crate) trait Recipe {
    /// What comes out.
    type Config;

    /// Whose TLS it is, for logs and metrics.
    fn used_for(&self) -> &'static str;

    /// The files, in the order in which `make` expects them.
    fn files(&self) -> Vec<&Path>;

    /// Makes it from what stands in the files.
    fn make(&self, texts: &[Text]) -> Result<Self::Config, TlsError>;
}

/// The files and what was last made of them.
pub(crate) struct Watched<R: Recipe> {
    pub(crate) recipe: R,
    state: Mutex<State<R::Config>>,
}

struct State<C> {
    good: Option<Arc<C>>,
    /// Of what was read last, usable or not.
    digest: Option<[u8; 32]>,
    /// The trouble that was told last.
    told: Option<String>,
    at: Option<Instant>,
}

impl<R: Recipe> Watched<R> {
    pub(crate) fn new(recipe: R) -> Self {
        metrics::describe_gauge!(UNUSABLE, "1 while certificate files cannot be used and older ones hold");
        metrics::describe_gauge!(ENDS, "end of the certificate in use, seconds since 1970 UTC");
        Self { recipe, state: Mutex::new(State { good: None, digest: None, told: None, at: None }) }
    }

    /// The configuration as of now.
    ///
    /// # Errors
    /// Only when the files could never be used.
    pub(crate) fn now(&self) -> Result<Arc<R::Config>, TlsError> {
        let mut state = self.state.lock();
        if let Some(good) = state.good.as_ref().filter(|_| state.at.is_some_and(|at| at.elapsed() < LOOK)) {
            return Ok(Arc::clone(good));
        }
        state.at = Some(Instant::now());
        match self.look(&mut state) {
            Ok(()) => {}
            Err(error) if state.good.is_none() => return Err(error),
            Err(error) => self.tell(&mut state, &error),
        }
        state.good.clone().ok_or_else(|| TlsError::Authorities("they were never read".into()))
    }

    #[cfg(test)]
    pub(crate) fn look_at_once(&self) {
        self.state.lock().at = None;
    }

    fn look(&self, state: &mut State<R::Config>) -> Result<(), TlsError> {
        let texts = self.recipe.files().into_iter().map(Text::read).collect::<Result<Vec<_>, _>>()?;
        let mut digest = Sha256::new();
        for text in &texts {
            digest.update(text.bytes.len().to_le_bytes());
            digest.update(&text.bytes);
        }
        let digest: [u8; 32] = digest.finalize().into();
        if state.digest == Some(digest) && state.good.is_some() {
            return Ok(());
        }
        state.digest = Some(digest);
        let made = self.recipe.make(&texts)?;
        let used_for = self.recipe.used_for();
        if state.good.replace(Arc::new(made)).is_some() {
            tracing::info!(used_for, "certificate files were read again");
        }
        state.told = None;
        metrics::gauge!(UNUSABLE, "for" => used_for).set(0.0);
        self.look_at_the_end(&texts);
        Ok(())
    }

    /// Says when our own certificate, which stands in the first file, ends soon.
    fn look_at_the_end(&self, texts: &[Text]) {
        let chain = texts.first().and_then(|text| text.chain().ok());
        let Some(ends) = chain.and_then(|chain| identity::ends(chain.first()?)) else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let days = ends.saturating_sub(now) / 86_400;
        let (used_for, file) = (self.recipe.used_for(), texts.first().map(|text| text.path.display().to_string()));
        if ends <= now {
            tracing::error!(used_for, file, "the certificate has expired; peers will refuse it");
        } else if ends - now < ENDS_SOON {
            tracing::warn!(used_for, file, days, "the certificate expires soon");
        }
        // Seconds are far below the integers that a double holds.
        metrics::gauge!(ENDS, "for" => used_for).set(Duration::from_secs(ends).as_secs_f64());
    }

    fn tell(&self, state: &mut State<R::Config>, error: &TlsError) {
        let what = error.to_string();
        if state.told.as_ref() == Some(&what) {
            return;
        }
        let used_for = self.recipe.used_for();
        tracing::error!(used_for, what, "certificate files cannot be used; what was read before holds");
        metrics::gauge!(UNUSABLE, "for" => used_for).set(1.0);
        state.told = Some(what);
    }
}
