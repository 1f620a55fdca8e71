//! `khoanh echo` and `khoanh send`: small DICOM clients for the operator, who looks for a fault at three in the morning.
//!
//! They need no archive: they call another system directly and say what it answers.

use super::{Exit, Failure, advice, show};
use crate::config::Config;
use crate::control::MigrateTls;
use clap::Args;
use dataset::part10::Part10;
use dimse::scu::{self, Answer, CallError, Limits, Object, Peer, Proposal, Requestor, plan};
use model::{AeTitle, Uid};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) const HELP: &str = "\
Files are sent as they are; uncompressed ones in the other little endian coding where only that is taken.
Folders are searched to their bottom; what is no DICOM file is named and left out.";

/// Most files of one run: their names are held in memory.
const FILES_MAX: usize = 1_000_000;

/// Files in a row over which the association was lost before the run ends.
const LOST_MAX: u32 = 3;

/// Whom to call.
#[derive(Debug, Args)]
pub(super) struct Call {
    /// Where it listens.
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// AE title it is called by.
    #[arg(long, default_value = "ANY-SCP")]
    called: AeTitle,
    /// AE title to show.
    #[arg(long, default_value = "KHOANH")]
    calling: AeTitle,
    /// Longest wait for an answer, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    within: u64,
    #[command(flatten)]
    tls: Secure,
}

/// TLS towards the peer.
#[derive(Debug, Args)]
pub(super) struct Secure {
    /// Calls over TLS.
    #[arg(long)]
    tls: bool,
    /// Authorities that may have signed its certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_authorities: Option<PathBuf>,
    /// Our own certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Name its certificate is for, when that is not the host.
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Option<String>,
    /// SHA-256 of its certificate: this one is taken, whoever signed it.
    #[arg(long, value_name = "SHA256", requires = "tls", value_parser = super::destinations::fingerprint)]
    tls_fingerprint: Option<String>,
}

impl Secure {
    /// Whether any of it is asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.tls
    }

    /// The same for the server, with its own certificate and authorities where none are named here.
    pub(super) fn for_server(&self, config: &Config) -> Result<Option<MigrateTls>, Failure> {
        if !self.tls {
            return Ok(None);
        }
        let defaults = &config.dicom.tls;
        let certificate = file(self.tls_certificate.as_ref(), &defaults.certificate)?;
        let own = certificate.zip(file(self.tls_key.as_ref(), &defaults.key)?);
        let authorities = file(self.tls_authorities.as_ref(), &defaults.authorities)?;
        let (name, fingerprint) = (self.tls_name.clone(), self.tls_fingerprint.clone());
        Ok(Some(MigrateTls { own, authorities, name, fingerprint }))
    }

    fn wanted(&self) -> Option<scu::Secure> {
        let own = self.tls_certificate.clone().zip(self.tls_key.clone());
        let files = tls::ClientFiles {
            used_for: "command",
            own: own.map(|(certificate, key)| tls::Pair { certificate, key }),
            authorities: self.tls_authorities.clone(),
            revoked: None,
        };
        let expected = tls::Expected { name: self.tls_name.clone(), fingerprint: self.tls_fingerprint.clone() };
        self.tls.then(|| scu::Secure { client: tls::Client::new(files), expected })
    }
}

/// The absolute path of a file that is named, else of the configured one, if there is one.
fn file<'a>(named: Option<&'a PathBuf>, configured: &'a PathBuf) -> Result<Option<PathBuf>, Failure> {
    let path = named.or(Some(configured)).filter(|path| !path.as_os_str().is_empty());
    let failed = |error| Failure::new(Exit::Usage, format!("a path of TLS: {error}"));
    path.map(|path| std::path::absolute(path).map_err(failed)).transpose()
}

#[derive(Debug, Args)]
pub(super) struct Echo {
    #[command(flatten)]
    call: Call,
}

#[derive(Debug, Args)]
pub(super) struct Send {
    #[command(flatten)]
    call: Call,
    /// Files and folders.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl Call {
    pub(super) fn called(&self) -> &AeTitle {
        &self.called
    }

    pub(super) fn peer(&self) -> Peer {
        Peer {
            address: self.address.clone(),
            called: self.called.clone(),
            calling: self.calling.clone(),
            secure: self.tls.wanted(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        let within = Duration::from_secs(self.within);
        Limits { connect: within, answer: within, write: within, ..Limits::default() }
    }

    /// What failed, where, and where to look first.
    pub(super) fn failed(&self, error: &CallError) -> Failure {
        let advice = advice::about(error, self.tls.tls, self.within);
        let advice = if advice.is_empty() { advice } else { format!("; {advice}") };
        Failure::new(Exit::Failed, format!("{} at {}: {error}{advice}", self.called, self.address))
    }

    /// What it answers to a command.
    pub(super) fn answered(&self, command: &str, answer: &Answer) -> String {
        format!("{} at {} answers {command} with status {}", self.called, self.address, advice::status(answer))
    }

    /// Ends the association. Everything was answered, so that a peer which does not let it end is only told of.
    pub(super) fn end(&self, association: Requestor) {
        if let Err(error) = association.release() {
            eprintln!("{} at {} does not end the association in order: {error}", self.called, self.address);
        }
    }
}

pub(super) fn echo(wanted: &Echo) -> Result<Exit, Failure> {
    let (call, begun) = (&wanted.call, Instant::now());
    let failed = |error: CallError| call.failed(&error);
    let mut association = Requestor::open(&call.peer(), &[Proposal::verification()], &call.limits()).map_err(failed)?;
    let answer = association.echo().map_err(failed)?;
    let taken = begun.elapsed();
    call.end(association);
    if !answer.is_success() {
        return Err(Failure::new(Exit::Failed, call.answered("C-ECHO", &answer)));
    }
    show(&format!("{} at {} answers, {} ms\n", call.called, call.address, taken.as_millis()))
}

/// A file to be sent.
struct Found {
    path: PathBuf,
    sop_class: Uid,
    sop_instance: Uid,
    syntax: Uid,
    /// Where the data set begins.
    at: u64,
}

/// What came of a run.
#[derive(Debug, Default)]
struct Report {
    sent: usize,
    warned: usize,
    refused: usize,
    /// Files that could be read when they were looked for, and not when it was their turn.
    unread: usize,
    bytes: u64,
}

pub(super) fn send(wanted: &Send) -> Result<Exit, Failure> {
    let (mut files, mut left_out) = (Vec::new(), 0usize);
    for path in &wanted.paths {
        collect(path, &mut files, &mut left_out)?;
    }
    if files.is_empty() {
        let what = format!("there is no DICOM file under what was named; {left_out} files were left out");
        return Err(Failure::new(Exit::Failed, what));
    }
    let (call, begun, mut report) = (&wanted.call, Instant::now(), Report::default());
    for group in plan::groups(files.iter().map(|file| (&file.sop_class, &file.syntax)), plan::uncompressed) {
        let failed = |error: CallError| call.failed(&error);
        let mut association = Requestor::open(&call.peer(), &group.proposals, &call.limits()).map_err(failed)?;
        let mut lost = 0;
        for file in group.members.iter().filter_map(|member| files.get(*member)) {
            match send_file(&mut association, file, &mut report) {
                Ok(()) => lost = 0,
                // A peer may abort over one object and take the next.
                Err(error) => {
                    eprintln!("{}: not sent: {error}", file.path.display());
                    (lost, report.refused) = (lost + 1, report.refused + 1);
                    if lost >= LOST_MAX {
                        return Err(call.failed(&error));
                    }
                    association = Requestor::open(&call.peer(), &group.proposals, &call.limits()).map_err(failed)?;
                }
            }
        }
        call.end(association);
    }
    let Report { sent, warned, refused, unread, bytes } = report;
    let left_out = left_out + unread;
    let seconds = begun.elapsed().as_secs_f64();
    show(&format!(
        "{sent} sent ({} MB in {seconds:.1} s), {warned} with a warning, {refused} refused, {left_out} left out\n",
        bytes / 1_000_000
    ))?;
    Ok(if refused + left_out > 0 { Exit::Findings } else { Exit::Done })
}

fn send_file(association: &mut Requestor, file: &Found, report: &mut Report) -> Result<(), CallError> {
    let offered = plan::uncompressed(file.syntax.as_str());
    let class = file.sop_class.as_str();
    let chosen = offered.into_iter().find_map(|syntax| Some((association.context(class, syntax)?, syntax)));
    let Some((context, syntax)) = chosen else {
        let (path, syntax) = (file.path.display(), &file.syntax);
        eprintln!("{path}: refused: SOP class {class} is not taken, or not in transfer syntax {syntax}");
        report.refused += 1;
        return Ok(());
    };
    let opened = File::open(&file.path);
    let stored = match opened.and_then(|mut stored| stored.seek(SeekFrom::Start(file.at)).map(|_| stored)) {
        Ok(stored) => stored,
        Err(error) => {
            eprintln!("{}: left out: {error}", file.path.display());
            report.unread += 1;
            return Ok(());
        }
    };
    let length = stored.metadata().map_or(0, |found| found.len());
    let mut data: Box<dyn Read + std::marker::Send> = match syntax == file.syntax.as_str() {
        true => Box::new(stored),
        false => scu::recoded(stored, &file.syntax, syntax),
    };
    let object =
        Object { sop_class: file.sop_class.clone(), sop_instance: file.sop_instance.clone(), originator: None };
    let answer = association.store(context, &object, &mut *data)?;
    report.bytes = report.bytes.saturating_add(length);
    if answer.is_success() {
        report.sent += 1;
    } else if answer.is_warning() {
        report.warned += 1;
        eprintln!("{}: taken with warning {}", file.path.display(), advice::status(&answer));
    } else {
        report.refused += 1;
        eprintln!("{}: refused with status {}", file.path.display(), advice::status(&answer));
    }
    Ok(())
}

/// Finds the files of a path; links are not followed.
fn collect(path: &Path, files: &mut Vec<Found>, left_out: &mut usize) -> Result<(), Failure> {
    let fault = |path: &Path, error: std::io::Error| {
        Failure::new(Exit::Failed, format!("{} cannot be read: {error}", path.display()))
    };
    let mut waiting = vec![path.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let kind = std::fs::symlink_metadata(&path).map_err(|error| fault(&path, error))?.file_type();
        if kind.is_dir() {
            let entries = std::fs::read_dir(&path).map_err(|error| fault(&path, error))?;
            let below = entries.map(|entry| entry.map(|entry| entry.path()));
            let mut below = below.collect::<Result<Vec<_>, _>>().map_err(|error| fault(&path, error))?;
            below.sort_by(|a, b| b.cmp(a));
            waiting.extend(below);
        } else if kind.is_file() {
            if files.len() >= FILES_MAX {
                return Err(Failure::new(Exit::Usage, format!("more than {FILES_MAX} files; send folder by folder")));
            }
            match head(&path) {
                Ok(found) => files.push(found),
                Err(why) => {
                    eprintln!("{}: left out: {why}", path.display());
                    *left_out += 1;
                }
            }
        }
    }
    Ok(())
}

/// Reads what a file says of itself.
fn head(path: &Path) -> Result<Found, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let (mut reader, mut buffer) = (Part10::new(None), vec![0; 16 * 1024]);
    let meta = loop {
        let read = file.read(&mut buffer).map_err(|error| error.to_string())?;
        if read == 0 {
            break reader.finish().map_err(|error| error.to_string())?.clone();
        }
        let fed = reader.feed(buffer.get(..read).unwrap_or_default()).map_err(|error| error.to_string())?;
        if let Some(meta) = fed {
            break meta.clone();
        }
    };
    let missing = || "no file meta information with its SOP class and instance".to_owned();
    Ok(Found {
        path: path.to_owned(),
        sop_class: meta.media_sop_class.ok_or_else(missing)?,
        sop_instance: meta.media_sop_instance.ok_or_else(missing)?,
        syntax: meta.transfer_syntax,
        at: u64::from(meta.len),
    })
}
