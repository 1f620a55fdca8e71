//! `khoanh tiers`: where packs lie, what waits for the cloud, and the hot volumes.
//!
//! Nothing is changed without `--yes`: the commands say first what they would do.

use super::{Exit, Failure, Place, show};
use crate::control::{Request, TierRequest};
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, HumanCount};
use model::Uid;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = "\
Packs lie hot (on a local volume), in the cloud, or in both (ổ lưu nóng, kho lạnh). What goes where says [tier] in the
configuration; this shows how far it is and does single steps. A command that changes something needs --yes; without it,
it says what it would do.";

#[derive(Debug, Subcommand)]
pub(super) enum Tiers {
    /// Where everything lies, what waits, and how cloud and volumes are.
    Status {
        /// Writes JSON, for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Copies and releases now what is due, and tries again what failed.
    Run(Act),
    /// Brings a study back to the hot volumes.
    Recall {
        /// Study Instance UID.
        #[arg(value_name = "STUDY_UID", value_parser = uid)]
        study: Uid,
        #[command(flatten)]
        act: Act,
    },
    /// Takes a further directory as a hot volume, without a restart; name it in packs.volumes too.
    Add(OnVolume),
    /// Moves every pack of a volume to the others; it takes no more, also after a restart.
    Drain(OnVolume),
    /// Forgets a volume that is drained and empty; take it out of packs.volumes too.
    Forget(OnVolume),
}

#[derive(Debug, Args)]
pub(super) struct Act {
    /// Does it.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct OnVolume {
    /// Directory of the volume.
    #[arg(value_name = "VOLUME")]
    volume: PathBuf,
    #[command(flatten)]
    act: Act,
}

fn uid(text: &str) -> Result<Uid, String> {
    Uid::parse(text).map_err(|error| error.to_string())
}

pub(super) fn run(wanted: &Tiers) -> Result<Exit, Failure> {
    match wanted {
        Tiers::Status { json, place } => {
            let answer = ask(place, TierRequest::Status)?;
            if *json { show(&format!("{answer}\n")) } else { show(&status(&answer)) }
        }
        Tiers::Run(act) => {
            let tally = ask(&act.place, TierRequest::Run { act: act.yes })?;
            let due = |name: &str| lying(tally.get(name).unwrap_or(&Value::Null));
            let text = format!("to be copied   {}\nto be released {}\n", due("copy_due"), due("release_due"));
            said(text, act.yes, "begun")
        }
        Tiers::Recall { study, act } => {
            let answer = ask(&act.place, TierRequest::Recall { study: study.clone(), act: act.yes })?;
            said(format!("to be brought back {}\n", lying(&answer)), act.yes, "begun")
        }
        Tiers::Add(on) => {
            let volume = absolute(&on.volume)?;
            ask(&on.act.place, TierRequest::Add { volume: volume.clone(), act: on.act.yes })?;
            said(
                format!("hot volume {}\n", volume.display()),
                on.act.yes,
                "it takes packs now; name it in packs.volumes",
            )
        }
        Tiers::Drain(on) => {
            let volume = absolute(&on.volume)?;
            let answer = ask(&on.act.place, TierRequest::Drain { volume, act: on.act.yes })?;
            said(self::volume(&answer), on.act.yes, "its packs move to the other volumes; see khoanh tiers status")
        }
        Tiers::Forget(on) => {
            let volume = absolute(&on.volume)?;
            let answer = ask(&on.act.place, TierRequest::Forget { volume, act: on.act.yes })?;
            said(self::volume(&answer), on.act.yes, "forgotten; take it out of packs.volumes")
        }
    }
}

fn ask(place: &Place, request: TierRequest) -> Result<Value, Failure> {
    place.ask_existing(&Request::Tiers(request))
}

/// The server has another working directory.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))
}

fn said(mut text: String, yes: bool, done: &str) -> Result<Exit, Failure> {
    text.push_str(if yes { done } else { "nothing was changed; say --yes to do it" });
    text.push('\n');
    show(&text)
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn lying(value: &Value) -> String {
    let (packs, bytes) = (number(value, "packs"), number(value, "bytes"));
    format!("{:>12} packs {:>12}", HumanCount(packs).to_string(), HumanBytes(bytes).to_string())
}

fn volume(value: &Value) -> String {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    let free = value.get("free").and_then(Value::as_u64);
    let free = free.map_or_else(|| "unknown".to_owned(), |bytes| HumanBytes(bytes).to_string());
    format!("{:10} {:>12} free  {}\n", text("state"), free, text("directory"))
}

fn status(answer: &Value) -> String {
    let null = Value::Null;
    let mut out = String::new();
    let tally = answer.get("tally").unwrap_or(&null);
    for (title, key) in [
        ("hot", "hot"),
        ("hot and cold", "both"),
        ("cold", "cold"),
        ("restoring", "restoring"),
        ("nowhere", "lost"),
        ("to be copied", "copy_due"),
        ("to be released", "release_due"),
    ] {
        let _ = writeln!(out, "{title:15}{}", lying(tally.get(key).unwrap_or(&null)));
    }
    if number(answer, "counted") == 0 {
        let _ = writeln!(out, "not counted yet: the first walk over all packs is under way");
    }
    for (title, key) in [("recalls", "recalls"), ("restores", "restores"), ("failing", "failing")] {
        let _ = writeln!(out, "{title:15}{:>12}", HumanCount(number(answer, key)).to_string());
    }
    let ahead = answer.get("ahead").unwrap_or(&null);
    let (expected, ready) = (number(ahead, "appointments"), number(ahead, "ready"));
    let crowded = ahead.get("crowded").and_then(Value::as_bool).unwrap_or(false);
    let note = if crowded { "; NO ROOM on the hot volumes" } else { "" };
    let _ =
        writeln!(out, "expected       {:>12} patients, {} ready", HumanCount(expected).to_string(), HumanCount(ready));
    let _ = writeln!(out, "to be fetched  {}{note}", lying(ahead.get("waiting").unwrap_or(&null)));
    for (name, packs) in answer.get("policies").and_then(Value::as_object).into_iter().flatten() {
        let _ = writeln!(out, "policy {name:24} {:>12} hot packs", HumanCount(packs.as_u64().unwrap_or(0)).to_string());
    }
    match answer.get("cloud").filter(|cloud| !cloud.is_null()) {
        None => out.push_str("cloud          none\n"),
        Some(cloud) => cloud_lines(&mut out, cloud),
    }
    for row in answer.get("volumes").and_then(Value::as_array).into_iter().flatten() {
        let _ = write!(out, "volume {}", volume(row));
    }
    out
}

fn cloud_lines(out: &mut String, cloud: &Value) {
    let bucket = cloud.get("bucket").and_then(Value::as_str).unwrap_or("?");
    let why = cloud.pointer("/away/why").and_then(Value::as_str);
    let closed = cloud.get("closed").and_then(Value::as_bool).unwrap_or(false);
    let state = match (why, closed) {
        (Some(why), _) => format!("AWAY: {why}"),
        (None, true) => "answers; nothing goes up in this hour".to_owned(),
        (None, false) => "answers".to_owned(),
    };
    let _ = writeln!(out, "cloud          {bucket}: {state}");
    if let Some(locks) = cloud.get("locks").filter(|locks| !locks.is_null()) {
        let null = Value::Null;
        for (title, key) in
            [("locked", "locked"), ("held", "held"), ("lock changed", "changed"), ("LOCK TOO SHORT", "short")]
        {
            let _ = writeln!(out, "{title:15}{}", lying(locks.get(key).unwrap_or(&null)));
        }
        let waiting = HumanCount(number(cloud, "locks_waiting"));
        let note = if number(locks, "counted") == 0 { "; the first walk over all locks is under way" } else { "" };
        let _ = writeln!(out, "locks wait     {:>12} studies{note}", waiting.to_string());
    }
    let (hits, misses) = (number(cloud, "cache_hits"), number(cloud, "cache_misses"));
    let bytes = HumanBytes(number(cloud, "cache_bytes"));
    let _ = writeln!(out, "cache          {bytes}, {} hits, {} misses", HumanCount(hits), HumanCount(misses));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cloud_that_is_away_and_its_backlog_are_seen() {
        let answer = json!({
            "tally": { "copy_due": { "packs": 1_200, "bytes": 3_u64 << 30 } },
            "counted": 5,
            "cloud": {
                "bucket": "archive", "away": { "since": 1, "why": "no route" }, "closed": false,
                "locks": { "locked": { "packs": 77, "bytes": 5 }, "short": { "packs": 3, "bytes": 1 }, "counted": 4 },
            },
            "volumes": [{ "directory": "/hot/a", "state": "draining", "free": 1_u64 << 30 }],
            "ahead": { "appointments": 40, "ready": 38, "waiting": { "packs": 7, "bytes": 2 }, "crowded": true },
        });
        let text = status(&answer);
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
        assert!(line("to be copied").contains("1,200") && line("to be copied").contains("3.00 GiB"), "{text}");
        assert!(line("cloud").contains("AWAY: no route"), "{text}");
        assert!(line("locked").contains("77") && line("LOCK TOO SHORT").contains('3'), "{text}");
        assert!(line("expected").contains("40 patients, 38 ready"), "{text}");
        assert!(line("to be fetched").contains("7 packs") && line("to be fetched").contains("NO ROOM"), "{text}");
        assert!(line("volume").contains("draining") && line("volume").contains("/hot/a"), "{text}");
        assert!(status(&json!({})).contains("not counted yet"));
    }
}
