//! What `khoanh tiers` asks of the archive.
//!
//! Whatever changes something does so only when it is told to act; without that it says what it would do.

use crate::cli::{Exit, Failure};
use archive::{Archive, TierError};
use model::Uid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum TierRequest {
    /// Where everything lies and what waits.
    Status,
    /// Does now what is due.
    Run {
        /// Or only says what that is.
        act: bool,
    },
    /// Brings a study back to the hot volumes.
    Recall {
        /// Study Instance UID.
        study: Uid,
        /// Or only says how much that is.
        act: bool,
    },
    /// Takes a further directory as a hot volume.
    Add {
        /// The directory, absolute.
        volume: PathBuf,
        /// Or only checks it.
        act: bool,
    },
    /// Moves the packs of a volume to the others.
    Drain {
        /// Its directory.
        volume: PathBuf,
        /// Or only says what lies there.
        act: bool,
    },
    /// Forgets a drained volume.
    Forget {
        /// Its directory.
        volume: PathBuf,
        /// Or only says whether it could be.
        act: bool,
    },
}

/// Does what is asked.
pub(super) fn answer(archive: &Archive, request: &TierRequest) -> Result<Value, Failure> {
    let failed = |error: TierError| Failure::because(Exit::Failed, &error);
    let shown = |value: serde_json::Result<Value>| value.map_err(|e| Failure::new(Exit::Failed, e.to_string()));
    match request {
        TierRequest::Status => shown(serde_json::to_value(archive.tier_status_now().map_err(failed)?)),
        TierRequest::Run { act } => shown(serde_json::to_value(archive.tier_run(*act).map_err(failed)?)),
        TierRequest::Recall { study, act } => {
            shown(serde_json::to_value(archive.tier_recall_study(study, *act).map_err(failed)?))
        }
        TierRequest::Add { volume, act } => {
            if volumes(archive).any(|known| known.directory == *volume) {
                return Err(Failure::new(Exit::Failed, format!("{} is a hot volume already", volume.display())));
            }
            if *act {
                archive.add_volume(volume).map_err(failed)?;
            }
            Ok(json!({}))
        }
        TierRequest::Drain { volume, act } => {
            let known = known(archive, volume)?;
            if *act {
                archive.drain_volume(volume).map_err(failed)?;
            }
            shown(serde_json::to_value(known))
        }
        TierRequest::Forget { volume, act } => {
            let known = known(archive, volume)?;
            if *act {
                archive.forget_volume(volume).map_err(failed)?;
            }
            shown(serde_json::to_value(known))
        }
    }
}

fn volumes(archive: &Archive) -> impl Iterator<Item = archive::tier::VolumeStatus> {
    archive.tier_status().volumes.into_iter()
}

fn known(archive: &Archive, volume: &PathBuf) -> Result<archive::tier::VolumeStatus, Failure> {
    let named: Vec<String> = volumes(archive).map(|known| known.directory.display().to_string()).collect();
    let found = volumes(archive).find(|known| known.directory == *volume);
    found.ok_or_else(|| {
        let what = format!("{} is no hot volume; there are: {}", volume.display(), named.join(", "));
        Failure::new(Exit::Failed, what)
    })
}
