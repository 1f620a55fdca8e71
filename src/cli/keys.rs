//! `khoanh keys`: the rehearsal of the key store, rotation of epoch keys, the end of old ones, the key of one pack.

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::control::{Door, KeyRequest, Request};
use clap::Subcommand;
use model::{FacilityCode, PackId};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = "\
Every sealed pack has a key of its own; an epoch key of its facility wraps it (khóa kỳ). Once a year, and after anybody
who knew the epoch keys leaves: rotate, copy the new key file away, say so, and after N days destroy. From then on wrapped
keys in backups that are older than the rotation open nothing. Nothing is uploaded again.
Epoch keys are in no backup, by intent: khoanh status says so until `khoanh keys copied` was shown a copy.";

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Reads both copies of the key store, compares every byte and unwraps every key; run it monthly.
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Begins a new epoch for a facility and wraps all its keys anew.
    Rotate {
        /// Facility: its 5-character code.
        facility: FacilityCode,
        /// Does it.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Destroys epoch keys that were retired so many days ago.
    Destroy {
        /// Days since their keys were wrapped anew.
        #[arg(long, value_name = "DAYS")]
        retired_for: u32,
        /// Does it; it cannot be undone.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Shows the archive that there is a copy of the epoch keys elsewhere (bản sao khóa kỳ): it is read and compared.
    Copied {
        /// The copy of the key file; none where a token holds the keys and you have a spare of it.
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Writes the key of one pack, for scripts/read_pack.py --key. It is a secret: keep it no longer than that takes.
    Export {
        /// Name of the pack: 32 hexadecimal digits.
        pack: PackId,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(wanted: &Keys) -> Result<Exit, Failure> {
    match wanted {
        Keys::Check { place } => check(&ask(place, KeyRequest::Check)?),
        Keys::Rotate { facility, yes: false, .. } => show(&format!(
            "a new epoch key would be made for {facility} and all its keys wrapped by it\n\
             nothing was changed; say --yes to do it\n"
        )),
        Keys::Rotate { facility, place, .. } => {
            let answer = ask(place, KeyRequest::Rotate { facility: *facility })?;
            let number = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
            let (epoch, rewrapped) = (number("epoch"), number("rewrapped"));
            show(&format!("epoch {epoch} of {facility}: {rewrapped} keys wrapped anew; copy the epoch keys away now\n"))
        }
        Keys::Destroy { retired_for, yes: false, .. } => show(&format!(
            "epoch keys retired {retired_for} days ago and earlier would be destroyed for good\n\
             nothing was changed; say --yes to do it\n"
        )),
        Keys::Destroy { retired_for, place, .. } => {
            let answer = ask(place, KeyRequest::Destroy { days: *retired_for })?;
            let gone = answer.get("destroyed").and_then(Value::as_array).map_or(0, Vec::len);
            show(&format!("{gone} epoch keys destroyed; destroy them in their backups too\n"))
        }
        Keys::Copied { file, place } => copied(file.as_deref(), place),
        Keys::Export { pack, place } => {
            let answer = ask(place, KeyRequest::Export { pack: *pack })?;
            show(&format!("{}\n", answer.get("key").and_then(Value::as_str).unwrap_or_default()))
        }
    }
}

fn copied(file: Option<&Path>, place: &Place) -> Result<Exit, Failure> {
    // The server has another working directory.
    let named = |path: &Path| Failure::new(Exit::Failed, format!("{}: it cannot be named", path.display()));
    let file = file.map(|path| std::path::absolute(path).map_err(|_| named(path))).transpose()?;
    let answer = ask(place, KeyRequest::Copied { file })?;
    let covered = answer.get("covered").and_then(Value::as_u64).unwrap_or(0);
    let missing = answer.get("missing").and_then(Value::as_array).map_or(0, Vec::len);
    show(&format!("a copy of {covered} epoch keys is noted; {missing} facilities have a newer key without one\n"))?;
    Ok(if missing == 0 { Exit::Done } else { Exit::Findings })
}

fn ask(place: &Place, request: KeyRequest) -> Result<Value, Failure> {
    let request = Request::Keys(request);
    let (config, stop) = (place.config()?, stop_flag()?);
    let door = Door::open_existing(&config, &request)?;
    let mut shown = Shown::new("shards");
    let answer = door.ask(&request, &stop, &mut |step| shown.step(step, "failed"));
    shown.end();
    answer
}

fn check(answer: &Value) -> Result<Exit, Failure> {
    let number = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
    let mut out = String::new();
    let (live, destroyed, levelled) = (number("live"), number("destroyed"), number("levelled"));
    let _ = writeln!(out, "{live} keys, all opened once; {destroyed} destroyed; {levelled} shards brought level");
    for row in answer.get("epochs").and_then(Value::as_array).into_iter().flatten() {
        let text = |at: usize| row.get(at).map(|value| value.to_string().replace('"', "")).unwrap_or_default();
        let _ = writeln!(out, "facility {} epoch {}: {} keys", text(0), text(1), text(2));
    }
    let closed = answer.get("closed").and_then(Value::as_array).cloned().unwrap_or_default();
    for pack in closed.iter().filter_map(Value::as_str) {
        let _ = writeln!(out, "pack {pack}: its key opens under no epoch key at hand");
    }
    show(&out)?;
    Ok(if closed.is_empty() { Exit::Done } else { Exit::Findings })
}
