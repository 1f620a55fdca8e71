//! How a command reaches the archive: through the running server's socket, or by opening the data directory itself.
//!
//! The protocol is one JSON request on one line, answered by any number of progress lines and one last line.
//! It serves the operator of this machine only: the socket lies in the data directory and belongs to its owner.

mod charts;
mod client;
mod correct;
mod export;
mod forward;
mod import;
mod keys;
mod matches;
mod messages;
mod migrate;
mod opened;
mod outbox;
mod persons;
mod reads;
mod report;
mod retention;
mod series;
mod server;
mod share;
mod tiers;
mod work;

use crate::cli::{Exit, Failure};
use crate::config::Config;
use model::facility::CharsetHint;
use model::{Destination, Facility, FacilityCode, PackId, Source, Uid};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub(crate) use charts::{LoadReport, LoadRequest};
pub(crate) use correct::CorrectRequest;
pub(crate) use forward::ForwardRequest;
pub(crate) use keys::KeyRequest;
pub(crate) use matches::{MatchDecision, MatchesRequest};
pub(crate) use messages::{Chosen as MessageChoice, MessageState, MessagesRequest};
pub(crate) use migrate::{
    DicomOther, MigrateRequest, Other as MigrateFrom, Report as MigrateReport, Tls as MigrateTls, WebOther,
};
pub(crate) use opened::Opened;
pub(crate) use outbox::OutboxRequest;
pub(crate) use persons::{Judged as PersonJudged, PersonsRequest};
pub(crate) use reads::ReadsRequest;
pub(crate) use report::ReportRequest;
pub(crate) use retention::{RetentionRequest, Target};
pub(crate) use series::SeriesRequest;
pub(crate) use server::Server;
pub(crate) use share::ShareRequest;
pub(crate) use tiers::TierRequest;

/// Longest request or answer line in bytes.
const LINE_MAX: u64 = 16 << 20;
/// Commands served at one time.
const COMMANDS_MAX: usize = 8;
/// A client must send its request within this time.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// How long a command that opened the data directory itself waits for a clean end.
const CLOSE_WITHIN: Duration = Duration::from_secs(60);

/// What a command asks of the archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Numbers and readiness.
    Status,
    /// Facilities, sources and knocks.
    Sources,
    /// Adds or changes facilities, then sources, in this order.
    Register {
        /// Facilities.
        facilities: Vec<Facility>,
        /// Sources.
        sources: Vec<Source>,
    },
    /// Destinations that are not removed.
    Destinations,
    /// Adds, changes or removes a destination.
    PutDestination(Destination),
    /// Forwarding: rules, roots, tasks.
    Forward(Box<ForwardRequest>),
    /// Adopts folders of DICOM files.
    Import(ImportRequest),
    /// A table of patients or orders.
    Load(LoadRequest),
    /// Copies another archive.
    Migrate(Box<MigrateRequest>),
    /// Re-reads everything stored.
    Verify,
    /// What is stored where, and when the disks fill.
    Usage,
    /// Copies what is not in the cloud somewhere else.
    Backup {
        /// `s3://BUCKET/PREFIX`, or the absolute path of a directory.
        to: String,
        /// Absolute path of the file with the key backups are sealed by.
        key_file: Option<PathBuf>,
        /// Days after which backups are removed.
        keep_days: u32,
        /// Whether the index's digest is wanted with it.
        digest: bool,
    },
    /// Writes studies as a DICOM file-set.
    Export(ExportRequest),
    /// What scrubbing found; with a pass over all packs first, if wanted.
    Scrub {
        /// Whether to read all packs now.
        now: bool,
    },
    /// How long studies are kept, and how they go.
    Retention(Box<RetentionRequest>),
    /// Corrected facts of a patient and an order.
    Correct(Box<CorrectRequest>),
    /// Series that stand in another study than they were received in.
    Series(Box<SeriesRequest>),
    /// Studies and orders that a person decides of.
    Matches(Box<MatchesRequest>),
    /// Messages of information systems.
    Messages(Box<MessagesRequest>),
    /// What others are told.
    Outbox(Box<OutboxRequest>),
    /// Who read what.
    Reads(Box<ReadsRequest>),
    /// Patients' links.
    Share(Box<ShareRequest>),
    /// Persons across facilities.
    Persons(Box<PersonsRequest>),
    /// Reports for operators.
    Report(ReportRequest),
    /// Hot and cold.
    Tiers(TierRequest),
    /// Keys of sealed packs.
    Keys(KeyRequest),
    /// Signs what waits and finds the ledger's entries of something.
    Ledger(LedgerRequest),
}

/// How a file-set is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ExportForm {
    /// Files below a folder.
    Folder,
    /// One ZIP file.
    Zip,
}

/// Which studies go where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExportRequest {
    /// Absolute path of the folder or file.
    pub(crate) to: PathBuf,
    /// Form.
    pub(crate) form: ExportForm,
    /// Study Instance UIDs.
    pub(crate) studies: Vec<Uid>,
    /// Keywords and values that studies must have.
    pub(crate) matching: Vec<(String, String)>,
    /// Only this facility's copies.
    pub(crate) facility: Option<FacilityCode>,
}

/// Whose entries are looked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
pub(crate) enum LedgerRequest {
    /// A study.
    Study {
        /// Its facility.
        facility: FacilityCode,
        /// Study Instance UID.
        uid: Uid,
    },
    /// An instance.
    Instance {
        /// Its facility.
        facility: FacilityCode,
        /// SOP Instance UID.
        uid: Uid,
    },
    /// A pack.
    Pack {
        /// Its name.
        pack: PackId,
    },
}

/// What to adopt, for whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImportRequest {
    /// Absolute paths of folders or files.
    pub(crate) paths: Vec<PathBuf>,
    /// Facility the objects belong to.
    pub(crate) facility: FacilityCode,
    /// Files read at one time.
    pub(crate) readers: usize,
    /// How text without a right character set is read.
    pub(crate) charset: CharsetHint,
    /// Issuer of the patient IDs; empty means the facility.
    pub(crate) issuer: String,
    /// Begins anew instead of going on where an earlier import of the same paths stopped.
    pub(crate) restart: bool,
}

/// How far a long command is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Objects done.
    pub(crate) done: u64,
    /// Objects in all, as far as known.
    pub(crate) total: u64,
    /// Bytes done.
    pub(crate) bytes: u64,
    /// Objects refused or damaged.
    pub(crate) trouble: u64,
}

/// One line of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line {
    /// Still at it.
    Progress(Progress),
    /// Done.
    Done {
        /// The answer; its form depends on the request.
        answer: serde_json::Value,
    },
    /// Not done.
    Failed {
        /// Exit code for the command.
        exit: u8,
        /// Why and what to do.
        what: String,
    },
}

/// Cache of the index, in bytes, for a command that asks a few things or walks it once: blocks, kept, would only take
/// memory.
const WALK_CACHE: usize = 32 << 20;

/// The way to the archive that a command found.
pub(crate) enum Door {
    /// A server runs on the data directory.
    Server(client::Client),
    /// Nobody does: the command holds the directory's lock itself.
    Own(Opened),
}

/// Where the socket of a data directory lies.
pub(crate) fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

impl Door {
    /// Finds the running server of the data directory, else opens the directory for this request: what is done in the
    /// background is the server's, unless the request is long and makes work.
    pub(crate) fn open(config: &Config, request: &Request) -> Result<Self, Failure> {
        if let Some(client) = client::Client::connect(&socket_path(&config.data))? {
            return Ok(Self::Server(client));
        }
        let mut options = config.archive();
        if !request.makes_work() {
            options.background = false;
            options.index_cache = options.index_cache.min(WALK_CACHE);
        }
        Ok(Self::Own(Opened::open(options, CLOSE_WITHIN)?))
    }

    /// The same for commands about what is there: a data directory that does not exist is not made.
    pub(crate) fn open_existing(config: &Config, request: &Request) -> Result<Self, Failure> {
        if config.data.join("FORMAT").exists() {
            return Self::open(config, request);
        }
        let what = format!("{} is no data directory of an archive", config.data.display());
        Err(Failure::new(Exit::Failed, what))
    }

    /// The running server of the data directory, if one answers.
    pub(crate) fn of_server(config: &Config) -> Result<Option<Self>, Failure> {
        Ok(client::Client::connect(&socket_path(&config.data))?.map(Self::Server))
    }

    /// Asks, and waits for the answer; `stop` ends a long command early.
    pub(crate) fn ask(
        self,
        request: &Request,
        stop: &Arc<AtomicBool>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<serde_json::Value, Failure> {
        match self {
            Self::Server(client) => client.ask(request, stop, progress),
            Self::Own(mut own) => {
                let answer = work::answer(own.archive(), request, stop, progress);
                let closed = own.close(CLOSE_WITHIN);
                let answer = answer?;
                closed.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
                Ok(answer)
            }
        }
    }
}
