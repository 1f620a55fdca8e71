//! `khoanh ledger`: what an archivist shows to a court, and how it is checked that nothing was changed.
//!
//! Heads, proofs and the full check are read from the ledger's files, beside a running server or without one, also
//! when the server refuses to start. Only finding the entries of a study needs the archive.

mod papers;

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::config::Config;
use crate::control::{Door, LedgerRequest, Request};
use archive::OpenError;
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, HumanCount};
use model::{Date, FacilityCode, PackId, Uid};
use papers::Papers;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::ledger::{SignedTreeHead, log_name};
use store::{LedgerView, RealDisk, StoreError};

pub(super) const HELP: &str = "\
Proofs are checked offline, years later, without this program (kiểm chứng không cần chương trình này):
  scripts/verify_proof.py --trusted KEY entry-4711.json
Keep heads outside the archive, on paper or with the health department: a history that was forged with the key
shows only beside a head that was kept elsewhere (hãy lưu mốc ký ở nơi khác).";

#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    /// Shows the newest signed head: size, root, time, key (mốc ký mới nhất).
    Head {
        /// Writes JSON, for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Writes a proof for every entry of a study, an instance or a pack (xuất bằng chứng).
    Prove(Box<Prove>),
    /// Writes the proof that nothing under an older head was changed up to a newer one.
    Consistency {
        /// Entries under the older head.
        #[arg(long, value_name = "SIZE")]
        from: u64,
        /// Entries under the newer head; without it the newest head.
        #[arg(long, value_name = "SIZE")]
        to: Option<u64>,
        /// File for the proof.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Reads the whole ledger again and compares every hash and signature (kiểm tra toàn bộ sổ cái).
    Check(Place),
}

#[derive(Debug, Args)]
pub(super) struct Prove {
    #[command(flatten)]
    of: Of,
    /// Folder for the proofs; made when missing.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// Facility and Study Instance UID, also of a destroyed study, for example 56001/1.2.840.1.
    #[arg(long, value_name = "FACILITY/UID", value_parser = facility_and_uid)]
    study: Option<(FacilityCode, Uid)>,
    /// Facility and SOP Instance UID.
    #[arg(long, value_name = "FACILITY/UID", value_parser = facility_and_uid)]
    instance: Option<(FacilityCode, Uid)>,
    /// Name of a pack, 32 hexadecimal digits.
    #[arg(long, value_name = "ID")]
    pack: Option<PackId>,
    /// Index of an entry.
    #[arg(long, value_name = "N")]
    entry: Option<u64>,
}

/// What the archive found.
#[derive(Deserialize)]
struct Evidence {
    entries: Vec<u64>,
    tombstones: Vec<Tombstone>,
    searched: u64,
    interrupted: bool,
}

#[derive(Deserialize)]
struct Tombstone {
    entry: u64,
    text: String,
}

pub(super) fn run(wanted: &Ledger) -> Result<Exit, Failure> {
    match wanted {
        Ledger::Head { json, place } => head(&open(&place.config()?)?, *json),
        Ledger::Prove(wanted) => prove(wanted),
        Ledger::Consistency { from, to, out, place } => consistency(&open(&place.config()?)?, *from, *to, out),
        Ledger::Check(place) => {
            let config = place.config()?;
            check(&config, &open(&config)?)
        }
    }
}

fn facility_and_uid(text: &str) -> Result<(FacilityCode, Uid), String> {
    let (facility, uid) = text.split_once('/').ok_or("write FACILITY/UID, for example 56001/1.2.840.1")?;
    let facility = FacilityCode::parse(facility).map_err(|error| error.to_string())?;
    Ok((facility, Uid::parse(uid).map_err(|error| error.to_string())?))
}

fn open(config: &Config) -> Result<LedgerView, Failure> {
    let off = || Failure::new(Exit::Failed, "the ledger is off (ledger.enabled = false)");
    let directory = config.archive().ledger_directory().ok_or_else(off)?;
    if !directory.join("heads.log").exists() {
        let what = format!("{} holds no ledger; a server makes it when it starts", directory.display());
        return Err(Failure::new(Exit::Failed, what));
    }
    LedgerView::open(Arc::new(RealDisk), &directory).map_err(broken)
}

/// Damage is a finding, everything else a failure.
fn broken(error: StoreError) -> Failure {
    let exit = if matches!(error, StoreError::Corrupt { .. }) { Exit::Findings } else { Exit::Failed };
    Failure::because(exit, &OpenError::from(error))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn no_head() -> Failure {
    Failure::new(Exit::Failed, "nothing is signed yet: the ledger is empty (sổ cái chưa có mục nào)")
}

fn head(view: &LedgerView, as_json: bool) -> Result<Exit, Failure> {
    let SignedTreeHead { head, signature } = view.head().ok_or_else(no_head)?;
    let key = view.public_key();
    if as_json {
        let value = json!({
            "size": head.size,
            "root": hex(&head.root),
            "sequence": head.sequence,
            "time": head.time_ms,
            "signature": hex(&signature),
            "log": log_name(key),
            "public_key": hex(key),
        });
        return show(&format!("{value}\n"));
    }
    let (day, second) = (Date::of_ms(head.time_ms), head.time_ms / 1_000 % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
    show(&format!(
        "entries     {}\nroot        {}\nsigned      {day} {clock} UTC\nrecord      {}\nledger      {}\nkey         {}\n\
         signature   {}\n",
        head.size,
        hex(&head.root),
        head.sequence,
        log_name(key),
        hex(key),
        hex(&signature),
    ))
}

fn prove(wanted: &Prove) -> Result<Exit, Failure> {
    let config = wanted.place.config()?;
    let evidence = find(&config, &wanted.of)?;
    if evidence.interrupted {
        return Err(Failure::new(Exit::Interrupted, "interrupted"));
    }
    if evidence.entries.is_empty() {
        let searched = HumanCount(evidence.searched);
        show(&format!(
            "none of the {searched} signed entries tells of it; nothing was written\n\
             không mục nào trong sổ cái nói về đối tượng này; không ghi tệp nào\n"
        ))?;
        return Ok(Exit::Findings);
    }
    // Opened after the archive signed what waited.
    let view = open(&config)?;
    let mut papers = Papers::new(&wanted.out)?;
    for index in &evidence.entries {
        let document = view.proof_document(*index).map_err(broken)?;
        papers.write(&format!("entry-{index}.json"), &document)?;
    }
    for Tombstone { entry, text } in &evidence.tombstones {
        papers.write(&format!("tombstone-{entry}.json"), text)?;
    }
    papers.end(view.public_key())
}

/// Asks the archive which entries there are; a single one needs no search.
fn find(config: &Config, of: &Of) -> Result<Evidence, Failure> {
    let request = match of {
        Of { study: Some((facility, uid)), .. } => LedgerRequest::Study { facility: *facility, uid: uid.clone() },
        Of { instance: Some((facility, uid)), .. } => LedgerRequest::Instance { facility: *facility, uid: uid.clone() },
        Of { pack: Some(pack), .. } => LedgerRequest::Pack { pack: *pack },
        Of { entry, .. } => {
            let entries = entry.iter().copied().collect();
            return Ok(Evidence { entries, tombstones: Vec::new(), searched: 0, interrupted: false });
        }
    };
    let stop = stop_flag()?;
    let mut shown = Shown::new("entries");
    let request = Request::Ledger(request);
    let answer = Door::open_existing(config, &request)?.ask(&request, &stop, &mut |step| shown.step(step, ""));
    shown.end();
    let garbled = |error| Failure::new(Exit::Failed, format!("the answer is not understood: {error}"));
    serde_json::from_value(answer?).map_err(garbled)
}

fn consistency(view: &LedgerView, from: u64, to: Option<u64>, out: &Path) -> Result<Exit, Failure> {
    let newest = view.head().ok_or_else(no_head)?.head.size;
    let to = to.unwrap_or(newest);
    for size in [from, to] {
        let nearest = view.head_up_to(size).map_err(broken)?.map(|head| head.head.size);
        if nearest != Some(size) {
            let nearest = nearest.map_or_else(String::new, |size| format!("; the nearest before is over {size}"));
            let what = format!("no head was signed over exactly {size} entries{nearest} (the newest: {newest})");
            return Err(Failure::new(Exit::Failed, what));
        }
    }
    if from > to {
        return Err(Failure::new(Exit::Usage, format!("--from {from} is newer than --to {to}")));
    }
    let document = view.consistency_document(from, to).map_err(broken)?;
    papers::write(out, &document)?;
    show(&format!("{}\n", out.display()))
}

fn check(config: &Config, view: &LedgerView) -> Result<Exit, Failure> {
    let checked = view.check().map_err(broken)?;
    let (entries, heads, bytes) = (HumanCount(checked.entries), HumanCount(checked.heads), HumanBytes(checked.bytes));
    if let Some(lacking) = archive::proof::lacking(&config.data, view).map_err(broken)? {
        show(&format!(
            "what it holds is sound: {entries} entries, {heads} signed heads, {bytes}; but {lacking}\n\
             sổ cái là bản cũ: thiếu {} mục mà nhật ký không còn giữ; hãy đưa bản mới hơn trở lại\n",
            HumanCount(lacking.entries)
        ))?;
        return Ok(Exit::Findings);
    }
    show(&format!(
        "the ledger is whole: {entries} entries, {heads} signed heads, {bytes}\n\
         sổ cái nguyên vẹn: {entries} mục, {heads} mốc ký\n"
    ))
}
