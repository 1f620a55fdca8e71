//! From keys to the option structs of the crates, and the checks that need more than one key.
//!
//! Each crate receives its own group only; nobody below the root sees a [`Config`].

use super::{Config, ConfigError, Size};
use archive::commitment::CommitmentOptions;
use archive::proof::{LedgerKeeping, LedgerSigning};
use std::path::{Path, PathBuf};

/// Smallest segment that still holds many records.
const SEGMENT_MIN: Size = Size(1 << 20);
/// Smallest longest PDU a peer may be told (PS3.8 annex D.1 sets no floor; below this nothing moves).
const PDU_MIN: Size = Size(4 << 10);

/// A path key that was left empty.
pub(super) fn named(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_path_buf())
}

pub(super) fn refuse(key: &'static str, what: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError::Value { key, what: what.into() })
}

impl Config {
    /// Checks what the types of the keys cannot.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_storage()?;
        self.check_ledger()?;
        self.check_tiers()?;
        self.check_prefetch()?;
        self.check_decode()?;
        self.check_forward()?;
        self.check_calls()?;
        self.check_charts()?;
        self.check_edges()?;
        self.check_launch()?;
        self.check_share()?;
        self.check_verifier()?;
        self.check_tls()?;
        self.check_hl7()?;
        let level = self.log.level.as_str();
        if !["error", "warn", "info", "debug", "trace"].contains(&level) {
            return refuse("log.level", format!("{level:?} is none of error, warn, info, debug, trace"));
        }
        Ok(())
    }

    fn check_storage(&self) -> Result<(), ConfigError> {
        if self.data.as_os_str().is_empty() {
            return refuse("data", "name a folder");
        }
        let directories = &self.journal.directories;
        if directories.len() > 2 {
            return refuse("journal.directories", "one or two directories, not more");
        }
        if let [one, other] = directories.as_slice()
            && one == other
        {
            return refuse("journal.directories", "the two directories must lie on two disks; these are the same");
        }
        if self.journal.segment.0 < SEGMENT_MIN.0 {
            return refuse("journal.segment", format!("at least {SEGMENT_MIN}"));
        }
        if self.journal.blob_above.0 > self.journal.segment.0 / 2 {
            return refuse("journal.blob_above", "at most half of journal.segment, or an object does not fit into one");
        }
        if self.retention.studies_per_second == 0 {
            return refuse("retention.studies_per_second", "at least 1");
        }
        if self.ingest.copies_max == 0 || self.ingest.batch_objects_max == 0 {
            return refuse("ingest.copies_max", "limits of ingest are at least 1");
        }
        Ok(())
    }

    fn check_ledger(&self) -> Result<(), ConfigError> {
        let ledger = &self.ledger;
        if ledger.sign_every.0.is_zero() {
            return refuse("ledger.sign_every", "longer than nothing, for example \"10s\"");
        }
        if named(&ledger.token_module).is_none() {
            if !ledger.token.is_empty() || !ledger.token_key.is_empty() || named(&ledger.token_pin_file).is_some() {
                return refuse("ledger.token_module", "a token is named, so the library of its maker must be too");
            }
            return Ok(());
        }
        if ledger.token.is_empty() {
            return refuse("ledger.token", "ledger.token_module is named, so the token's label must be too");
        }
        if ledger.token_key.is_empty() {
            return refuse("ledger.token_key", "ledger.token_module is named, so the key's label must be too");
        }
        if named(&ledger.token_pin_file).is_none() {
            return refuse("ledger.token_pin_file", "ledger.token_module is named, so the file of its PIN must be too");
        }
        if named(&ledger.key).is_some() {
            return refuse("ledger.key", "either a key file or a token signs, not both");
        }
        Ok(())
    }

    fn check_edges(&self) -> Result<(), ConfigError> {
        if self.dicom.ae_titles.is_empty() {
            return refuse("dicom.ae_titles", "name at least one AE title, for example [\"KHOANH\"]");
        }
        if self.dicom.pdu_max.0 < PDU_MIN.0 || u32::try_from(self.dicom.pdu_max.0).is_err() {
            return refuse("dicom.pdu_max", format!("between {PDU_MIN} and 3GiB"));
        }
        if !(1..=3).contains(&self.dicom.commitment_copies) {
            return refuse("dicom.commitment_copies", "between 1 and 3");
        }
        if self.dicom.move_linger.0 > std::time::Duration::from_secs(5) {
            return refuse("dicom.move_linger", "at most 5s: others may wait for the destination");
        }
        if u32::try_from(self.dicom.request_max.0).is_err() {
            return refuse("dicom.request_max", "below 4GiB");
        }
        let (certificate, key) = (named(&self.http.certificate), named(&self.http.key));
        if certificate.is_some() && key.is_none() {
            return refuse("http.key", "http.certificate is named, so the file of its key must be too");
        }
        if certificate.is_none() && key.is_some() {
            return refuse("http.certificate", "http.key is named, so the file of its certificate must be too");
        }
        if named(&self.http.tokens).is_none() && !self.http.listen.ip().is_loopback() {
            let what = "without a token file everybody would be let in: name one, or listen on a loopback address";
            return refuse("http.tokens", what);
        }
        let origin =
            |text: &&String| text.as_str() != "*" && (!text.contains("://") || text.ends_with('/') || !text.is_ascii());
        if let Some(wrong) = self.http.cors_origins.iter().find(origin) {
            return refuse(
                "http.cors_origins",
                format!("{wrong:?} is no origin such as https://viewer.example.vn, nor *"),
            );
        }
        let base = &self.http.base_url;
        if !base.is_empty() && !base.starts_with("http://") && !base.starts_with("https://") {
            return refuse("http.base_url", "begin with http:// or https://");
        }
        Ok(())
    }

    fn keeping(&self) -> Option<LedgerKeeping> {
        let ledger = &self.ledger;
        let signing = match named(&ledger.token_module) {
            None => LedgerSigning::File(named(&ledger.key)),
            Some(module) => LedgerSigning::Token {
                module,
                token: ledger.token.clone(),
                key: ledger.token_key.clone(),
                pin_file: ledger.token_pin_file.clone(),
            },
        };
        let (directory, sign_every) = (named(&ledger.directory), ledger.sign_every.0);
        ledger.enabled.then_some(LedgerKeeping { directory, signing, sign_every })
    }

    /// Reads the rule file, if one is named.
    pub(super) fn read_rules(&mut self) -> Result<(), ConfigError> {
        let Some(path) = named(&self.retention.rules) else { return Ok(()) };
        let wrong =
            |what: String| ConfigError::Value { key: "retention.rules", what: format!("{}: {what}", path.display()) };
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        model::retention::RuleSet::parse(&text).map_err(|error| wrong(error.to_string()))?;
        self.retention.text = Some(text);
        Ok(())
    }

    /// Options of the archive.
    pub(crate) fn archive(&self) -> archive::Options {
        archive::Options {
            journal: self.journal.directories.clone(),
            segment_bytes: self.journal.segment.0,
            blob_above: self.journal.blob_above.0,
            reserve_bytes: self.journal.reserve.0,
            ingest_budget: self.ingest.memory.0,
            object_bytes_max: self.ingest.object_max.0,
            copies_max: self.ingest.copies_max,
            batch_objects_max: self.ingest.batch_objects_max,
            batch_bytes_max: self.ingest.batch_bytes_max.0,
            quiet_after: self.index.quiet_after.0,
            flush_bytes: self.index.flush_bytes.0,
            flush_every: self.index.flush_every.0,
            index_cache: self.index.cache.in_memory(),
            index_compressed: self.index.compressed,
            metadata_cache: self.index.metadata_cache.0,
            pictures: self.pictures.options(),
            packs: self.packs.options(self.journal.reserve),
            read_budget: self.retrieve.memory.0,
            decode: self.decode.options(),
            background: true,
            image_cache: self.decode.image_cache.0,
            frame_cache: self.decode.frame_cache.0,
            scrub: self.scrub.options(),
            cold: self.cold.options(),
            backups: self.cold.backups(),
            keys: self.keys.options(),
            policies: self.tier.options(),
            ahead: self.prefetch.options(),
            retention: archive::RetentionOptions {
                rules: self.retention.text.clone().unwrap_or_else(|| archive::RetentionOptions::BUILT_IN.into()),
                undo_days: self.retention.undo_days,
                studies_per_second: self.retention.studies_per_second,
            },
            commitment: CommitmentOptions {
                copies: self.dicom.commitment_copies,
                within: self.dicom.commitment_within.0,
            },
            forward: self.forward.options(self.reach()),
            charts: archive::charts::ChartOptions {
                verifier: self.verifier.options(),
                ..self.charts.options(self.reach())
            },
            shares: self.share.options(),
            ae_titles: self.dicom.ae_titles.clone(),
            seed_demo: self.dicom.demo_facility,
            ledger: self.keeping(),
            ..archive::Options::new(&self.data)
        }
    }

    /// Options of the DICOM port.
    pub(crate) fn dimse(&self) -> dimse::Options {
        let dicom = &self.dicom;
        dimse::Options {
            // Checked above to fit.
            pdu_bytes_max: u32::try_from(dicom.pdu_max.0).unwrap_or(u32::MAX),
            request_bytes_max: u32::try_from(dicom.request_max.0).unwrap_or(u32::MAX),
            command_bytes_max: dicom.command_max.in_memory(),
            identifier_bytes_max: dicom.identifier_max.in_memory(),
            identifier_keys_max: dicom.identifier_keys_max,
            commitment_bytes_max: dicom.commitment_max.in_memory(),
            retrieve_objects_max: dicom.retrieve_objects_max,
            retrieve_ahead_bytes_max: dicom.retrieve_ahead_max.in_memory(),
            move_attempts: dicom.move_attempts,
            move_retry_pause: dicom.move_retry_pause.0,
            move_linger: dicom.move_linger.0,
            recall_limit: dicom.recall_limit.0,
            calls: dimse::scu::Limits {
                connect: dicom.call_connect_limit.0,
                answer: dicom.call_answer_limit.0,
                write: dicom.write_limit.0,
                pdu_bytes_max: u32::try_from(dicom.pdu_max.0).unwrap_or(u32::MAX),
            },
            tls: dicom.tls.port(),
            client: dicom.tls.client(),
            artim: dicom.artim.0,
            half_open_max: dicom.half_open_max,
            half_open_per_address_max: dicom.half_open_per_address_max,
            half_open_bytes_max: dicom.half_open_memory.in_memory(),
            associations_max: dicom.associations_max,
            associations_per_source_max: dicom.associations_per_source_max,
            idle_limit: dicom.idle_limit.0,
            progress_limit: dicom.progress_limit.0,
            progress_bytes_min: dicom.progress_min.0,
            write_limit: dicom.write_limit.0,
            discard_limit: dicom.discard_limit.0,
            private_sop_classes: dicom.private_sop_classes,
            unknown_transfer_syntaxes: dicom.unknown_transfer_syntaxes,
        }
    }

    /// Options of the HTTP port; the caller adds what renders the metrics.
    pub(crate) fn web(&self) -> web::Options {
        let http = &self.http;
        let tls = named(&http.certificate).zip(named(&http.key));
        web::Options {
            tls: tls.map(|(certificate, key)| web::TlsFiles { certificate, key }),
            tokens: named(&http.tokens),
            public_url: (!http.base_url.is_empty()).then(|| http.base_url.trim_end_matches('/').to_owned()),
            trust_forwarded: http.trust_forwarded,
            viewer: named(&http.viewer),
            launch: self.launch.options(),
            share: self.share.pages(),
            fhir: web::FhirOptions { systems: named(&self.http.fhir_systems) },
            cors_origins: http.cors_origins.clone(),
            stow_extensions: http.stow_extensions,
            connections_max: http.connections_max,
            connections_per_address_max: http.connections_per_address_max,
            header_timeout: http.header_limit.0,
            idle_timeout: http.idle_limit.0,
            stall_timeout: http.stall_limit.0,
            header_bytes_max: http.header_max.in_memory(),
            body_bytes_max: http.body_max.in_memory(),
            stow_parts_max: http.stow_parts_max,
            stow_described_max: http.stow_described_max.0,
            stow_window: http.stow_window,
            find_limit_default: http.find_limit,
            find_limit_max: http.find_limit_max,
            find_offset_max: http.find_offset_max,
            find_conditions_max: http.find_conditions_max,
            frames_max: http.frames_max,
            transcodes_max: http.transcodes_max,
            metadata_cache: http.metadata_cache.0,
            answer_memory: http.answer_memory.in_memory(),
            ..web::Options::default()
        }
    }
}
