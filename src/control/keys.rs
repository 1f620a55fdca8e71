//! What `khoanh keys` asks of the archive. The answer to an export is a secret: the socket is its owner's alone.

use super::Progress;
use crate::cli::{Exit, Failure};
use archive::{Archive, TierError};
use model::{FacilityCode, PackId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Shards of a key store.
const SHARDS: u64 = 4_096;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum KeyRequest {
    /// The rehearsal.
    Check,
    /// A new epoch for a facility.
    Rotate {
        /// The facility.
        facility: FacilityCode,
    },
    /// The end of epochs retired so many days ago.
    Destroy {
        /// Days.
        days: u32,
    },
    /// There is a copy of the epoch keys elsewhere.
    Copied {
        /// The file; none where a token holds them.
        file: Option<PathBuf>,
    },
    /// The key of one pack.
    Export {
        /// The pack.
        pack: PackId,
    },
}

/// Does what is asked.
pub(super) fn answer(
    archive: &Archive,
    request: &KeyRequest,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    let failed = |error: TierError| Failure::because(Exit::Failed, &error);
    let shown = |value: serde_json::Result<Value>| value.map_err(|e| Failure::new(Exit::Failed, e.to_string()));
    match request {
        KeyRequest::Check => shown(serde_json::to_value(archive.check_keys().map_err(failed)?)),
        KeyRequest::Rotate { facility } => {
            let mut seen = |done: u32| progress(Progress { done: done.into(), total: SHARDS, bytes: 0, trouble: 0 });
            shown(serde_json::to_value(archive.rotate_keys(*facility, &mut seen).map_err(failed)?))
        }
        KeyRequest::Destroy { days } => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = u64::try_from(now.as_millis()).unwrap_or(0);
            let before = now.saturating_sub(u64::from(*days).saturating_mul(86_400_000));
            let destroyed = archive.destroy_epochs(before).map_err(failed)?;
            Ok(json!({ "destroyed": destroyed }))
        }
        KeyRequest::Copied { file } => {
            let covered = archive.note_epochs_copied(file.as_deref()).map_err(failed)?;
            Ok(json!({ "covered": covered, "missing": archive.epochs_without_copy() }))
        }
        KeyRequest::Export { pack } => Ok(json!({ "key": archive.export_key(*pack).map_err(failed)? })),
    }
}
