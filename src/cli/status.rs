//! `khoanh status`: what the archive holds, whether it is ready, and who has gone silent.

use super::{Exit, Failure, Place, show};
use crate::control::{Door, Request};
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(wanted: &Status) -> Result<Exit, Failure> {
    let config = wanted.place.config()?;
    let door = Door::open_existing(&config, &Request::Status)?;
    let running = matches!(door, Door::Server(_));
    let answer = door.ask(&Request::Status, &Arc::new(AtomicBool::new(false)), &mut |_| {})?;
    if wanted.json {
        return show(&format!("{answer}\n"));
    }
    show(&text(&answer, running, now_ms()))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn text(answer: &Value, running: bool, now: u64) -> String {
    let mut out = String::new();
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    let readiness = answer.get("readiness").unwrap_or(&Value::Null);
    let ready = readiness.get("ready").and_then(Value::as_bool).unwrap_or(false);
    let state = match (running, ready) {
        (true, true) => "running, ready",
        (true, false) => "running, NOT ready",
        (false, _) => "not running",
    };
    let _ = writeln!(out, "state      {state}");
    for reason in readiness.get("reasons").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(out, "           {reason}");
    }
    let stats = answer.get("stats").unwrap_or(&Value::Null);
    let total = stats.get("total").unwrap_or(&Value::Null);
    for what in ["studies", "series", "instances", "conflicts"] {
        let _ = writeln!(out, "{what:10} {}", HumanCount(number(total, what)));
    }
    let _ = writeln!(out, "{:10} {}", "bytes", HumanBytes(number(total, "bytes")));
    if let Some(free) = stats.get("free_bytes").and_then(Value::as_u64) {
        let _ = writeln!(out, "{:10} {}", "free", HumanBytes(free));
    }
    out.push_str(&backlog(answer.get("tiers").unwrap_or(&Value::Null)));
    for (title, key) in [("facility", "facilities"), ("source", "sources")] {
        let Some(rows) = stats.get(key).and_then(Value::as_object).filter(|rows| !rows.is_empty()) else { continue };
        let _ = writeln!(out, "\n{title:24} {:>12} {:>12}  last received", "instances", "bytes");
        for (name, row) in rows {
            let (instances, bytes) = (HumanCount(number(row, "instances")), HumanBytes(number(row, "bytes")));
            let last = ago(number(row, "last_received"), now);
            let _ = writeln!(out, "{name:24} {:>12} {:>12}  {last}", instances.to_string(), bytes.to_string());
        }
    }
    out
}

/// What waits for the cloud; nothing where nothing does.
fn backlog(tiers: &Value) -> String {
    let mut out = String::new();
    if let Some(why) = tiers.pointer("/cloud/away/why").and_then(Value::as_str) {
        let _ = writeln!(out, "{:10} AWAY: {why}", "cloud");
    }
    let due = tiers.pointer("/tally/copy_due").unwrap_or(&Value::Null);
    let number = |key: &str| due.get(key).and_then(Value::as_u64).unwrap_or(0);
    if number("packs") > 0 {
        let (packs, bytes) = (HumanCount(number("packs")), HumanBytes(number("bytes")));
        let _ = writeln!(out, "{:10} {packs} packs, {bytes} wait for the cloud", "backlog");
    }
    let ahead = |key: &str| tiers.pointer(&format!("/ahead/{key}")).and_then(Value::as_u64).unwrap_or(0);
    let late = ahead("appointments").saturating_sub(ahead("ready"));
    if late > 0 {
        let (packs, bytes) = (HumanCount(ahead("waiting/packs")), HumanBytes(ahead("waiting/bytes")));
        let _ = writeln!(
            out,
            "{:10} {packs} packs, {bytes} to be fetched for {} appointments",
            "prefetch",
            HumanCount(late)
        );
    }
    out
}

fn ago(at: u64, now: u64) -> String {
    if at == 0 {
        return "never".into();
    }
    let seconds = Duration::from_millis(now.saturating_sub(at)).as_secs();
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_silent_source_shows_since_when() {
        let row = json!({ "instances": 3, "bytes": 2048, "last_received": 1_000 });
        let answer = json!({
            "readiness": { "ready": false, "reasons": ["disk nearly full"] },
            "stats": { "total": { "studies": 1, "instances": 3 }, "sources": { "CT01": row } },
        });
        let text = text(&answer, true, 1_000 + 3 * 3_600_000);
        assert!(text.contains("NOT ready") && text.contains("disk nearly full"), "{text}");
        assert!(text.contains("CT01") && text.contains("3 h ago"), "{text}");
        assert_eq!(ago(0, 5), "never");
    }

    #[test]
    fn what_is_to_be_fetched_for_those_who_are_expected_shows() {
        let shown = |ready: u32| {
            let waiting = json!({ "packs": 9, "bytes": 2048 });
            let ahead = json!({ "appointments": 5, "ready": ready, "waiting": waiting });
            text(&json!({ "tiers": { "ahead": ahead } }), true, 0)
        };
        assert!(shown(3).contains("prefetch   9 packs, 2.00 KiB to be fetched for 2 appointments"), "{}", shown(3));
        assert!(!shown(5).contains("prefetch"));
    }
}
