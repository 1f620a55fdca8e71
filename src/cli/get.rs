//! `khoanh get`: fetches a study, a series or objects from another archive by C-GET into a folder of DICOM files.
//!
//! It needs no archive; `khoanh migrate` is what fills one. A file has its name only when it is complete, so the same
//! command goes on where it stopped.

use super::dicom::Call;
use super::find::{ask, value};
use super::{Exit, Failure, show};
use clap::Args;
use dataset::part10::file_meta;
use dimse::scu::pull::{Key, Taker, proposals};
use dimse::scu::{CallError, Requestor};
use model::{AttrKey, Uid};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

pub(super) const HELP: &str = "\
Files lie in FOLDER/STUDY/SOP-INSTANCE.dcm, in the transfer syntax the other archive sends.
Files that are there already are not fetched again.";

const QUERY_LEVEL: AttrKey = AttrKey::root(0x0008_0052);
const SOP_CLASS: AttrKey = AttrKey::root(0x0008_0016);
const SOP_INSTANCE: AttrKey = AttrKey::root(0x0008_0018);
const STUDY: AttrKey = AttrKey::root(0x0020_000D);
const SERIES: AttrKey = AttrKey::root(0x0020_000E);
/// Objects named in one C-GET, where not a whole series is fetched.
const NAMED_MAX: usize = 100;

/// C-STORE statuses (PS3.4 table B.2-1): out of resources, and cannot be understood.
const OUT_OF_RESOURCES: u16 = 0xA700;
const NOT_UNDERSTOOD: u16 = 0xC000;

#[derive(Debug, Args)]
pub(super) struct Get {
    #[command(flatten)]
    call: Call,
    /// Study Instance UID.
    #[arg(long, value_name = "UID", value_parser = uid)]
    study: Uid,
    /// Only this series.
    #[arg(long, value_name = "UID", value_parser = uid)]
    series: Option<Uid>,
    /// Folder for the files; made when it is not there.
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
}

fn uid(text: &str) -> Result<Uid, String> {
    Uid::parse(text).map_err(|error| error.to_string())
}

/// Objects of a series as the other archive tells them: SOP Instance and Class UIDs; the class may be empty.
type Told = BTreeMap<String, String>;

pub(super) fn get(wanted: &Get) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let mut taken = Files::new(wanted.into.join(wanted.study.as_str()));
    let all_series = match &wanted.series {
        Some(series) => vec![series.as_str().to_owned()],
        None => told(wanted, "SERIES", &[(SERIES, "UI", "")], SERIES)?.into_keys().collect(),
    };
    let (mut all, mut there, mut missing) = (0usize, 0usize, 0usize);
    for (number, series) in all_series.iter().enumerate() {
        let keys = [(SOP_CLASS, "UI", ""), (SOP_INSTANCE, "UI", ""), (SERIES, "UI", series.as_str())];
        let told = told(wanted, "IMAGE", &keys, SOP_INSTANCE)?;
        let mut due = told.clone();
        due.retain(|instance, _| !taken.has(instance));
        eprintln!(
            "series {} of {}: {} objects, {} to fetch",
            number.saturating_add(1),
            all_series.len(),
            told.len(),
            due.len()
        );
        fetch(wanted, series, &told, &due, &mut taken)?;
        all = all.saturating_add(told.len());
        there = there.saturating_add(told.len().saturating_sub(due.len()));
        missing = missing.saturating_add(due.keys().filter(|instance| !taken.has(instance)).count());
    }
    if all == 0 {
        let (called, study) = (wanted.call.called(), &wanted.study);
        let what = format!(
            "{called} tells of no object of study {study}: is the UID right, and may the AE title shown (--calling) see it?"
        );
        return Err(Failure::new(Exit::Findings, what));
    }
    let (seconds, mb, fetched) = (begun.elapsed().as_secs_f64(), taken.bytes / 1_000_000, taken.fetched);
    show(&format!("{fetched} fetched ({mb} MB in {seconds:.1} s), {there} were there, {missing} of {all} missing\n"))?;
    if missing > 0 {
        eprintln!(
            "the same command fetches what is missing; if it stays so, the log of {} says why",
            wanted.call.called()
        );
    }
    Ok(if missing > 0 { Exit::Findings } else { Exit::Done })
}

/// What the other archive has of the study at a level: the values of `named`, each with its SOP class.
fn told(wanted: &Get, level: &str, keys: &[Key<'_>], named: AttrKey) -> Result<Told, Failure> {
    let mut told = Told::new();
    let mut asked: Vec<Key<'_>> = vec![(QUERY_LEVEL, "CS", level), (STUDY, "UI", wanted.study.as_str())];
    asked.extend_from_slice(keys);
    let answer = ask(&wanted.call, &asked, &mut |found| {
        // What is no UID is no name for a file either.
        if let Ok(uid) = Uid::parse(value(&found, named)) {
            told.insert(uid.as_str().to_owned(), value(&found, SOP_CLASS).to_owned());
        }
    })?;
    if answer.is_success() {
        return Ok(told);
    }
    Err(Failure::new(Exit::Failed, wanted.call.answered("C-FIND", &answer)))
}

/// Fetches what is due of a series: the whole series at once, or by name where a part is there.
fn fetch(wanted: &Get, series: &str, told: &Told, due: &Told, taken: &mut Files) -> Result<(), Failure> {
    let (study, names): (_, Vec<&str>) = (wanted.study.as_str(), due.keys().map(String::as_str).collect());
    let whole = [(QUERY_LEVEL, "CS", "SERIES"), (STUDY, "UI", study), (SERIES, "UI", series)];
    if due.len() == told.len() && !due.is_empty() {
        return pull(wanted, due, &whole, taken);
    }
    for some in names.chunks(NAMED_MAX) {
        let list = some.join("\\");
        let [_, study, series] = whole;
        let keys = [(QUERY_LEVEL, "CS", "IMAGE"), (SOP_INSTANCE, "UI", list.as_str()), study, series];
        pull(wanted, due, &keys, taken)?;
    }
    Ok(())
}

/// One C-GET for each set of presentation contexts the classes need.
fn pull(wanted: &Get, due: &Told, keys: &[Key<'_>], taken: &mut Files) -> Result<(), Failure> {
    let failed = |error: CallError| wanted.call.failed(&error);
    let classes: BTreeSet<&String> = due.values().filter(|class| !class.is_empty()).collect();
    for (classes, syntaxes) in proposals(&classes) {
        let (peer, limits) = (wanted.call.peer(), wanted.call.limits());
        let mut association = Requestor::open_to_get(&peer, &classes, &syntaxes, &limits).map_err(failed)?;
        let answer = association.get(keys, taken).map_err(failed)?;
        if let Some(why) = taken.trouble.take() {
            return Err(Failure::new(Exit::Failed, why));
        }
        // What counts are the files; how the association ends changes nothing.
        let _ = association.release();
        if !answer.is_success() {
            eprintln!("{}", wanted.call.answered("C-GET", &answer));
        }
    }
    Ok(())
}

/// The files of a study as they come.
struct Files {
    folder: PathBuf,
    current: Option<Current>,
    fetched: usize,
    bytes: u64,
    /// Why nothing more can be written.
    trouble: Option<String>,
}

/// A file that is not complete.
struct Current {
    out: BufWriter<File>,
    part: PathBuf,
    whole: PathBuf,
}

impl Files {
    fn new(folder: PathBuf) -> Self {
        Self { folder, current: None, fetched: 0, bytes: 0, trouble: None }
    }

    fn name(&self, instance: &str) -> PathBuf {
        self.folder.join(format!("{instance}.dcm"))
    }

    fn has(&self, instance: &str) -> bool {
        self.name(instance).exists()
    }

    fn create(&self, class: &Uid, instance: &Uid, syntax: &Uid) -> io::Result<Current> {
        fs::create_dir_all(&self.folder)?;
        let whole = self.name(instance.as_str());
        let part = whole.with_extension("part");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
        out.write_all(&file_meta(class, instance, syntax))?;
        Ok(Current { out, part, whole })
    }

    fn failed(&mut self, error: &io::Error) {
        let folder = self.folder.display();
        self.trouble =
            Some(format!("nothing can be written to {folder}: {error}; what is whole stays, the same command goes on"));
        self.forget();
    }

    /// Takes away what is not complete.
    fn forget(&mut self) {
        if let Some(current) = self.current.take() {
            // What cannot be removed is written over the next time.
            let _ = fs::remove_file(current.part);
        }
    }
}

impl Taker for Files {
    fn begin(&mut self, sop_class: &str, sop_instance: &str, transfer_syntax: &str) {
        self.forget();
        let uids = (Uid::parse(sop_class), Uid::parse(sop_instance), Uid::parse(transfer_syntax));
        // Without them there is no file; the answer says so.
        let (Ok(class), Ok(instance), Ok(syntax)) = uids else { return };
        match self.create(&class, &instance, &syntax) {
            Ok(current) => self.current = Some(current),
            Err(error) => self.failed(&error),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let Some(current) = &mut self.current else { return };
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if let Err(error) = current.out.write_all(bytes) {
            self.failed(&error);
        }
    }

    fn finish(&mut self) -> u16 {
        let Some(mut current) = self.current.take() else {
            return if self.trouble.is_some() { OUT_OF_RESOURCES } else { NOT_UNDERSTOOD };
        };
        match current.out.flush().and_then(|()| fs::rename(&current.part, &current.whole)) {
            Ok(()) => {
                self.fetched = self.fetched.saturating_add(1);
                0
            }
            Err(error) => {
                self.current = Some(current);
                self.failed(&error);
                OUT_OF_RESOURCES
            }
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: &str = "1.2.840.10008.5.1.4.1.1.2";
    const SYNTAX: &str = "1.2.840.10008.1.2.1";

    #[test]
    fn a_file_has_its_name_only_when_it_is_complete() {
        let folder = tempfile::tempdir().expect("folder");
        let mut files = Files::new(folder.path().join("1.2.3"));
        files.begin(CLASS, "1.2.3.4", SYNTAX);
        files.write(b"data");
        assert!(!files.has("1.2.3.4"));
        assert_eq!((files.finish(), files.has("1.2.3.4"), files.fetched), (0, true, 1));
        let written = fs::read(files.name("1.2.3.4")).expect("there");
        assert!(written.get(128..132) == Some(b"DICM".as_slice()) && written.ends_with(b"data"));
        files.begin(CLASS, "1.2.3.5", SYNTAX);
        files.write(b"half");
        drop(files);
        let names = fs::read_dir(folder.path().join("1.2.3")).expect("folder").count();
        assert_eq!(names, 1, "what was cut short stays");
    }

    #[test]
    fn what_has_no_uid_or_no_room_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let mut files = Files::new(folder.path().join("1.2.3"));
        files.begin(CLASS, "../../etc", SYNTAX);
        files.write(b"data");
        assert_eq!(files.finish(), NOT_UNDERSTOOD);
        fs::write(folder.path().join("1.2.3"), "no folder").expect("written");
        files.begin(CLASS, "1.2.3.4", SYNTAX);
        assert_eq!(files.finish(), OUT_OF_RESOURCES);
        assert!(files.trouble.is_some());
    }
}
