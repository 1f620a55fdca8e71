//! `khoanh share`: links that patients open themselves, issued with sheets to print, listed, taken back.

use super::page::{self, Paged};
use super::{Exit, Failure, Place, show};
use crate::control::{Request, ShareRequest};
use archive::charts::WantedShare;
use clap::{Args, Subcommand};
use model::{Date, FacilityCode, Uid};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = "\
A link is for one patient's studies. It opens with its QR code or address, the patient's birth date and a code of six
digits that is printed on a sheet of its own or told (liên kết cho người bệnh). http.base_url must be the address that
patients reach. Secret and code are shown once; nobody can show them again.
  khoanh share issue --facility 56001 --accession A26-0001 --sheets sheets.html
  khoanh share list --facility 56001
  khoanh share revoke 56001/NUMBER";

#[derive(Debug, Subcommand)]
pub(super) enum Share {
    /// Issues a link.
    Issue(Box<Issue>),
    /// Lists links, the newest first, with how often each was opened.
    List {
        /// Only those of this facility.
        #[arg(long, value_name = "CODE", value_parser = FacilityCode::parse)]
        facility: Option<FacilityCode>,
        /// Only those of the patient of this number.
        #[arg(long, value_name = "MRN")]
        mrn: Option<String>,
        #[command(flatten)]
        paged: Paged,
    },
    /// Takes a link back: it opens no more, and what it opened ends.
    Revoke {
        /// The link, FACILITY/NUMBER.
        #[arg(value_name = "LINK", value_parser = named)]
        link: (FacilityCode, String),
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(super) struct Issue {
    /// Facility of the studies.
    #[arg(long, value_name = "CODE", value_parser = FacilityCode::parse)]
    facility: FacilityCode,
    /// Study Instance UID; may be given several times.
    #[arg(long = "study", value_name = "UID", value_parser = Uid::parse)]
    studies: Vec<Uid>,
    /// Accession number.
    #[arg(long, value_name = "NUMBER")]
    accession: Option<String>,
    /// Visit number: the studies of its orders.
    #[arg(long, value_name = "NUMBER")]
    visit: Option<String>,
    /// Last day it is valid, YYYY-MM-DD; a year from today where nothing is said.
    #[arg(long, value_name = "DATE", value_parser = Date::parse)]
    until: Option<Date>,
    /// In place of it: for so many days.
    #[arg(long, value_name = "DAYS", conflicts_with = "until")]
    days: Option<u32>,
    /// The patient may take DICOM files along.
    #[arg(long)]
    download: bool,
    /// Writes the sheets to print into a new file (HTML).
    #[arg(long, value_name = "FILE")]
    sheets: Option<PathBuf>,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

fn named(text: &str) -> Result<(FacilityCode, String), String> {
    let (facility, id) = text.split_once('/').ok_or_else(|| format!("{text:?} is no FACILITY/NUMBER"))?;
    Ok((FacilityCode::parse(facility).map_err(|error| error.to_string())?, id.to_owned()))
}

pub(super) fn run(wanted: &Share) -> Result<Exit, Failure> {
    match wanted {
        Share::Issue(wanted) => issue(wanted),
        Share::List { facility, mrn, paged } => {
            let (facility, mrn, after, limit) = (*facility, mrn.clone(), paged.after.clone(), paged.limit);
            let answer = ask(&paged.place, ShareRequest::List { facility, mrn, after, limit })?;
            paged.show(&answer, listed)
        }
        Share::Revoke { link: (facility, id), place } => {
            let request = ShareRequest::Revoke { facility: *facility, id: id.clone(), by: "operator".into() };
            let answer = ask(place, request)?;
            show(&format!("{facility}/{id}  {}\n", text(&answer, "state")))
        }
    }
}

fn issue(wanted: &Issue) -> Result<Exit, Failure> {
    let base = wanted.place.config()?.http.base_url.trim_end_matches('/').to_owned();
    if base.is_empty() {
        return Err(Failure::new(Exit::Usage, "http.base_url names no address that patients could reach"));
    }
    let asked = WantedShare {
        facility: wanted.facility,
        studies: wanted.studies.clone(),
        accession: wanted.accession.clone(),
        visit: wanted.visit.clone(),
        until: wanted.until,
        days: wanted.days,
        download: wanted.download,
        by: "operator".into(),
    };
    // Before the link is made: afterwards nobody could print it.
    let sheets = wanted.sheets.as_deref().map(created).transpose()?;
    let answer = ask(&wanted.place, ShareRequest::Issue { wanted: asked, base })?;
    if let Some((mut file, path)) = sheets {
        let written = std::io::Write::write_all(&mut file, text(&answer, "sheets").as_bytes());
        written.map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))?;
    }
    if wanted.json { show(&format!("{answer}\n")) } else { show(&issued(&answer)) }
}

fn created(path: &Path) -> Result<(std::fs::File, &Path), Failure> {
    let file = std::fs::File::create_new(path);
    file.map(|file| (file, path)).map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))
}

fn ask(place: &Place, request: ShareRequest) -> Result<Value, Failure> {
    place.ask_existing(&Request::Share(Box::new(request)))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

fn issued(answer: &Value) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "number    {}/{}", text(answer, "facility"), text(answer, "id"));
    let _ = writeln!(out, "link      {}", text(answer, "link"));
    let _ = writeln!(out, "code      {}", text(answer, "code"));
    let _ = writeln!(out, "until     {}", text(answer, "until"));
    out
}

fn listed(answer: &Value) -> String {
    let mut out = String::new();
    let shares = answer.get("shares").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for row in shares {
        let studies = row.get("studies").and_then(Value::as_array).map_or(0, Vec::len);
        let count = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (facility, id, state, until) =
            (text(row, "facility"), text(row, "id"), text(row, "state"), text(row, "until"));
        let (opened, wrong) = (count("opened"), count("wrong"));
        let _ = writeln!(
            out,
            "{facility}/{id}  {state:8} until {until}  studies {studies}  opened {opened}  wrong {wrong}"
        );
    }
    page::end(&mut out, answer.get("after"), "no links (không có liên kết)");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_count_and_say_where_to_go_on() {
        let answer = json!({
            "shares": [{ "facility": "56001", "id": "7", "state": "open", "until": "2036-12-31", "studies": ["1.2"],
                "opened": 3, "wrong": 1, "mrn": "22000001" }],
            "after": "1-2-3",
        });
        let text = listed(&answer);
        assert!(text.contains("56001/7") && text.contains("opened 3") && text.contains("--after 1-2-3"), "{text}");
        assert!(!text.contains("22000001"), "a patient's number on the terminal");
        assert!(listed(&json!({ "shares": [] })).contains("no links"));
        let told = issued(&json!({ "facility": "56001", "id": "7", "link": "https://a/share/x", "code": "012345" }));
        assert!(told.contains("https://a/share/x") && told.contains("012345"));
    }
}
