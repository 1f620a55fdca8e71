//! `khoanh export`: studies as a DICOM file-set with its DICOMDIR, in a folder, a ZIP file or a disc image.

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::control::{Door, ExportForm, ExportRequest, Request};
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use model::{FacilityCode, Uid};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const HELP: &str = "\
The form follows the name: FOLDER, FILE.zip or FILE.iso (a disc image; needs xorriso of the Debian package of that name).
A folder that was begun is gone on with: what is whole stays. SHA256SUMS holds every file's digest (sha256sum -c).
The file-set holds names and images: guard it like the archive.";

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    place: Place,
    /// Where to: a folder, a file.zip or a file.iso.
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    /// Study Instance UID; may be given several times.
    #[arg(long, value_name = "UID")]
    study: Vec<Uid>,
    /// Studies with this value, such as PatientID=123 or StudyDate=20240101-20240131; all that are named must hold.
    #[arg(long = "match", value_name = "KEYWORD=VALUE", value_parser = pair)]
    matching: Vec<(String, String)>,
    /// Only this facility's copies.
    #[arg(long, value_name = "CODE")]
    facility: Option<FacilityCode>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write KEYWORD=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The archive's report, as it comes through the socket.
#[derive(Deserialize)]
struct Report {
    studies: u64,
    files: u64,
    kept: u64,
    bytes: u64,
    notes: Vec<String>,
}

pub(super) fn run(wanted: &Export) -> Result<Exit, Failure> {
    if wanted.study.is_empty() && wanted.matching.is_empty() {
        return Err(Failure::new(Exit::Usage, "name what is exported: --study UID or --match KEYWORD=VALUE"));
    }
    let config = wanted.place.config()?;
    let to = std::path::absolute(&wanted.to);
    let to = to.map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", wanted.to.display())))?;
    let ending = to.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let disc = ending == "iso";
    let (form, written) = match ending.as_str() {
        "zip" => (ExportForm::Zip, to.clone()),
        "iso" => (ExportForm::Folder, to.with_extension("iso.files")),
        _ => (ExportForm::Folder, to.clone()),
    };
    let stop = stop_flag()?;
    let mut shown = Shown::new("files");
    let request = Request::Export(ExportRequest {
        to: written.clone(),
        form,
        studies: wanted.study.clone(),
        matching: wanted.matching.clone(),
        facility: wanted.facility,
    });
    let answer = Door::open_existing(&config, &request)?.ask(&request, &stop, &mut |step| shown.step(step, ""));
    shown.end();
    let report: Report = serde_json::from_value(answer?)
        .map_err(|error| Failure::new(Exit::Failed, format!("the report is not understood: {error}")))?;
    if disc {
        image(&written, &to)?;
    }
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    let Report { studies, files, kept, bytes, .. } = report;
    show(&format!(
        "exported to {} (đã xuất): {} studies, {} files ({} were there), {}\n",
        to.display(),
        HumanCount(studies),
        HumanCount(files),
        HumanCount(kept),
        HumanBytes(bytes)
    ))
}

/// Makes a disc image of a folder and removes the folder.
fn image(folder: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |what: String| Failure::new(Exit::Failed, what);
    // ISO 9660 level 1 names, as PS3.12 asks; nothing beyond them is needed.
    let ran = Command::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-iso-level", "1", "-V", "KHOANH", "-o"])
        .arg(to)
        .arg(folder)
        .status()
        .map_err(|error| failed(format!("xorriso: {error}; the files lie in {}", folder.display())))?;
    if !ran.success() {
        return Err(failed(format!("xorriso failed; the files lie in {}", folder.display())));
    }
    std::fs::remove_dir_all(folder).map_err(|error| failed(format!("{}: {error}", folder.display())))
}
