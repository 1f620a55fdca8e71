//! The boot configuration: one TOML file, parsed once, before anything starts.
//!
//! One declaration per key: the struct fields below are the keys, [`Config::default`] their defaults,
//! `config/khoanh.toml` their description; a test holds the three to each other.
//! Hospitals, modalities and AE titles of peers are not here: they are registry data (`khoanh sources`).

mod calls;
mod charts;
mod decode;
mod forward;
mod hl7;
mod launch;
mod log;
mod options;
mod pictures;
mod prefetch;
mod tiers;
mod tls;
mod units;
mod verifier;

use model::AeTitle;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use calls::Calls;
pub(crate) use charts::Charts;
pub(crate) use decode::Decode;
pub(crate) use forward::Forward;
pub(crate) use hl7::Hl7;
pub(crate) use launch::{Launch, Share};
pub(crate) use log::{Log, LogFormat};
pub(crate) use pictures::Pictures;
pub(crate) use prefetch::Prefetch;
pub(crate) use tiers::{Cold, Keys, Packs, Scrub, Tier};
pub(crate) use tls::Tls;
pub(crate) use units::{Size, Span};
pub(crate) use verifier::Verifier;

/// The file that describes every key, as shipped.
pub(crate) const DESCRIBED: &str = include_str!("../config/khoanh.toml");

/// Everything the program is started with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Data directory.
    pub(crate) data: PathBuf,
    /// Bytes at rest.
    pub(crate) journal: Journal,
    /// Objects on their way in.
    pub(crate) ingest: Ingest,
    /// Objects on their way out.
    pub(crate) retrieve: Retrieve,
    /// What can be found.
    pub(crate) index: Index,
    /// What can be proved.
    pub(crate) ledger: Ledger,
    /// Pictures of images.
    pub(crate) pictures: Pictures,
    /// Series in their lasting form.
    pub(crate) packs: Packs,
    /// Compressed frames.
    pub(crate) decode: Decode,
    /// Packs read again.
    pub(crate) scrub: Scrub,
    /// The bucket.
    pub(crate) cold: Cold,
    /// Keys of sealed copies.
    pub(crate) keys: Keys,
    /// What lies where.
    pub(crate) tier: Tier,
    /// What is fetched for those who are expected.
    pub(crate) prefetch: Prefetch,
    /// How long studies are kept.
    pub(crate) retention: Retention,
    /// What goes on to other systems.
    pub(crate) forward: Forward,
    /// What information systems say.
    pub(crate) charts: Charts,
    /// Where calls may lead.
    pub(crate) calls: Calls,
    /// The DICOM port.
    pub(crate) dicom: Dicom,
    /// The HTTP port.
    pub(crate) http: Http,
    /// The HL7 port.
    pub(crate) hl7: Hl7,
    /// Launch links.
    pub(crate) launch: Launch,
    /// Patients' links.
    pub(crate) share: Share,
    /// Who verifies personal identification numbers.
    pub(crate) verifier: Verifier,
    /// Log lines.
    pub(crate) log: Log,
    /// Stopping.
    pub(crate) stop: Stop,
}

/// `[journal]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Journal {
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) segment: Size,
    pub(crate) blob_above: Size,
    pub(crate) reserve: Size,
}

/// `[ingest]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ingest {
    pub(crate) memory: Size,
    pub(crate) object_max: Size,
    pub(crate) copies_max: u16,
    pub(crate) batch_objects_max: usize,
    pub(crate) batch_bytes_max: Size,
}

/// `[retrieve]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retrieve {
    pub(crate) memory: Size,
}

/// `[index]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Index {
    pub(crate) cache: Size,
    pub(crate) compressed: bool,
    pub(crate) metadata_cache: Size,
    pub(crate) flush_bytes: Size,
    pub(crate) flush_every: Span,
    pub(crate) quiet_after: Span,
}

/// `[ledger]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ledger {
    pub(crate) enabled: bool,
    pub(crate) directory: PathBuf,
    pub(crate) sign_every: Span,
    pub(crate) key: PathBuf,
    pub(crate) token_module: PathBuf,
    pub(crate) token: String,
    pub(crate) token_key: String,
    pub(crate) token_pin_file: PathBuf,
}

/// `[retention]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    pub(crate) rules: PathBuf,
    pub(crate) undo_days: u16,
    pub(crate) studies_per_second: u32,
    /// The text of the file `rules`, read with the configuration.
    #[serde(skip)]
    pub(crate) text: Option<String>,
}

/// `[dicom]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dicom {
    pub(crate) listen: SocketAddr,
    pub(crate) ae_titles: Vec<AeTitle>,
    pub(crate) demo_facility: bool,
    pub(crate) private_sop_classes: bool,
    pub(crate) unknown_transfer_syntaxes: bool,
    pub(crate) pdu_max: Size,
    pub(crate) request_max: Size,
    pub(crate) command_max: Size,
    pub(crate) identifier_max: Size,
    pub(crate) identifier_keys_max: usize,
    pub(crate) commitment_max: Size,
    pub(crate) commitment_copies: usize,
    pub(crate) commitment_within: Span,
    pub(crate) retrieve_objects_max: usize,
    pub(crate) retrieve_ahead_max: Size,
    pub(crate) move_attempts: u32,
    pub(crate) move_retry_pause: Span,
    pub(crate) move_linger: Span,
    pub(crate) recall_limit: Span,
    pub(crate) call_connect_limit: Span,
    pub(crate) call_answer_limit: Span,
    pub(crate) associations_max: usize,
    pub(crate) associations_per_source_max: usize,
    pub(crate) half_open_max: usize,
    pub(crate) half_open_per_address_max: usize,
    pub(crate) half_open_memory: Size,
    pub(crate) artim: Span,
    pub(crate) idle_limit: Span,
    pub(crate) progress_limit: Span,
    pub(crate) progress_min: Size,
    pub(crate) write_limit: Span,
    pub(crate) discard_limit: Span,
    pub(crate) tls: Tls,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: SocketAddr,
    pub(crate) tokens: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) base_url: String,
    pub(crate) trust_forwarded: bool,
    pub(crate) viewer: PathBuf,
    pub(crate) fhir_systems: PathBuf,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) stow_extensions: bool,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
    pub(crate) header_limit: Span,
    pub(crate) idle_limit: Span,
    pub(crate) stall_limit: Span,
    pub(crate) header_max: Size,
    pub(crate) body_max: Size,
    pub(crate) stow_parts_max: usize,
    pub(crate) stow_described_max: Size,
    pub(crate) stow_window: usize,
    pub(crate) find_limit: usize,
    pub(crate) find_limit_max: usize,
    pub(crate) find_offset_max: u64,
    pub(crate) find_conditions_max: usize,
    pub(crate) frames_max: usize,
    pub(crate) transcodes_max: usize,
    pub(crate) metadata_cache: Size,
    pub(crate) answer_memory: Size,
}

/// `[stop]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Stop {
    pub(crate) within: Span,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not understood; the parser names line and column.
    #[error("the configuration {path} is not understood:\n{what}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column, key and what was expected.
        what: String,
    },
    /// A value is understood but cannot work.
    #[error("configuration key `{key}`: {what}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong and how to mend it.
        what: String,
    },
}

impl Config {
    /// Reads a file, or takes the defaults when there is none, and checks what the types cannot.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let mut config = match path {
            None => Self::default(),
            Some(path) => {
                let read = |source| ConfigError::Read { path: path.into(), source };
                let text = std::fs::read_to_string(path).map_err(read)?;
                Self::parse(&text).map_err(|what| ConfigError::Parse { path: path.into(), what })?
            }
        };
        config.check()?;
        config.read_rules()?;
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The effective configuration as TOML.
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: "data".into(),
            journal: Journal::default(),
            ingest: Ingest::default(),
            retrieve: Retrieve::default(),
            index: Index::default(),
            ledger: Ledger::default(),
            pictures: Pictures::default(),
            packs: Packs::default(),
            decode: Decode::default(),
            scrub: Scrub::default(),
            cold: Cold::default(),
            keys: Keys::default(),
            tier: Tier::default(),
            prefetch: Prefetch::default(),
            retention: Retention::default(),
            forward: Forward::default(),
            charts: Charts::default(),
            calls: Calls::default(),
            dicom: Dicom::default(),
            http: Http::default(),
            hl7: Hl7::default(),
            launch: Launch::default(),
            share: Share::default(),
            verifier: Verifier::default(),
            log: Log::default(),
            stop: Stop::default(),
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        let options = archive::Options::new(PathBuf::new());
        Self {
            directories: options.journal,
            segment: Size(options.segment_bytes),
            blob_above: Size(options.blob_above),
            reserve: Size(options.reserve_bytes),
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        let options = archive::Options::new(PathBuf::new());
        Self {
            memory: Size(options.ingest_budget),
            object_max: Size(options.object_bytes_max),
            copies_max: options.copies_max,
            batch_objects_max: options.batch_objects_max,
            batch_bytes_max: Size(options.batch_bytes_max),
        }
    }
}

impl Default for Retrieve {
    fn default() -> Self {
        Self { memory: Size(archive::Options::new(PathBuf::new()).read_budget) }
    }
}

impl Default for Index {
    fn default() -> Self {
        let options = archive::Options::new(PathBuf::new());
        Self {
            cache: Size::of(options.index_cache),
            compressed: options.index_compressed,
            metadata_cache: Size(options.metadata_cache),
            flush_bytes: Size(options.flush_bytes),
            flush_every: Span(options.flush_every),
            quiet_after: Span(options.quiet_after),
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        let keeping = archive::proof::LedgerKeeping::default();
        Self {
            enabled: true,
            directory: PathBuf::new(),
            sign_every: Span(keeping.sign_every),
            key: PathBuf::new(),
            token_module: PathBuf::new(),
            token: String::new(),
            token_key: String::new(),
            token_pin_file: PathBuf::new(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        let options = archive::RetentionOptions::default();
        Self {
            rules: PathBuf::new(),
            undo_days: options.undo_days,
            studies_per_second: options.studies_per_second,
            text: None,
        }
    }
}

impl Default for Dicom {
    fn default() -> Self {
        let (archive, dimse) = (archive::Options::new(PathBuf::new()), dimse::Options::default());
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 11112)),
            ae_titles: archive.ae_titles,
            demo_facility: archive.seed_demo,
            private_sop_classes: dimse.private_sop_classes,
            unknown_transfer_syntaxes: dimse.unknown_transfer_syntaxes,
            pdu_max: Size(dimse.pdu_bytes_max.into()),
            request_max: Size(dimse.request_bytes_max.into()),
            command_max: Size::of(dimse.command_bytes_max),
            identifier_max: Size::of(dimse.identifier_bytes_max),
            identifier_keys_max: dimse.identifier_keys_max,
            commitment_max: Size::of(dimse.commitment_bytes_max),
            commitment_copies: archive.commitment.copies,
            commitment_within: Span(archive.commitment.within),
            retrieve_objects_max: dimse.retrieve_objects_max,
            retrieve_ahead_max: Size::of(dimse.retrieve_ahead_bytes_max),
            move_attempts: dimse.move_attempts,
            move_retry_pause: Span(dimse.move_retry_pause),
            move_linger: Span(dimse.move_linger),
            recall_limit: Span(dimse.recall_limit),
            call_connect_limit: Span(dimse.calls.connect),
            call_answer_limit: Span(dimse.calls.answer),
            associations_max: dimse.associations_max,
            associations_per_source_max: dimse.associations_per_source_max,
            half_open_max: dimse.half_open_max,
            half_open_per_address_max: dimse.half_open_per_address_max,
            half_open_memory: Size::of(dimse.half_open_bytes_max),
            artim: Span(dimse.artim),
            idle_limit: Span(dimse.idle_limit),
            progress_limit: Span(dimse.progress_limit),
            progress_min: Size(dimse.progress_bytes_min),
            write_limit: Span(dimse.write_limit),
            discard_limit: Span(dimse.discard_limit),
            tls: Tls::default(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        let web = web::Options::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tokens: PathBuf::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            base_url: String::new(),
            trust_forwarded: web.trust_forwarded,
            viewer: PathBuf::new(),
            fhir_systems: PathBuf::new(),
            cors_origins: Vec::new(),
            stow_extensions: web.stow_extensions,
            connections_max: web.connections_max,
            connections_per_address_max: web.connections_per_address_max,
            header_limit: Span(web.header_timeout),
            idle_limit: Span(web.idle_timeout),
            stall_limit: Span(web.stall_timeout),
            header_max: Size::of(web.header_bytes_max),
            body_max: Size::of(web.body_bytes_max),
            stow_parts_max: web.stow_parts_max,
            stow_described_max: Size(web.stow_described_max),
            stow_window: web.stow_window,
            find_limit: web.find_limit_default,
            find_limit_max: web.find_limit_max,
            find_offset_max: web.find_offset_max,
            find_conditions_max: web.find_conditions_max,
            frames_max: web.frames_max,
            transcodes_max: web.transcodes_max,
            metadata_cache: Size(web.metadata_cache),
            answer_memory: Size::of(web.answer_memory),
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self { within: Span(Duration::from_secs(30)) }
    }
}

#[cfg(test)]
mod tests;
