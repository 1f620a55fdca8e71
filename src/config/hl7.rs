//! The keys of HL7 and their checks.

use super::options::{named, refuse};
use super::tls::{Port, Tls};
use super::{Config, ConfigError, Size, Span};
use model::chart::MESSAGE_MAX;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[hl7]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Hl7 {
    pub(crate) listen: Port,
    pub(crate) sources: PathBuf,
    pub(crate) receivers: PathBuf,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
    pub(crate) message_max: Size,
    pub(crate) memory: Size,
    pub(crate) frame_limit: Span,
    pub(crate) idle_limit: Span,
    pub(crate) write_limit: Span,
    pub(crate) tls: Tls,
}

impl Default for Hl7 {
    fn default() -> Self {
        let his = his::Options::default();
        Self {
            listen: Port(None),
            sources: PathBuf::new(),
            receivers: PathBuf::new(),
            connections_max: his.connections_max,
            connections_per_address_max: his.connections_per_address_max,
            message_max: Size::of(his.message_bytes_max),
            memory: Size::of(his.memory_max),
            frame_limit: Span(his.frame_limit),
            idle_limit: Span(his.idle_limit),
            write_limit: Span(his.write_limit),
            tls: Tls::default(),
        }
    }
}

impl Config {
    pub(super) fn check_hl7(&self) -> Result<(), ConfigError> {
        let hl7 = &self.hl7;
        if (hl7.listen.0.is_some() || hl7.tls.listen.0.is_some()) && named(&hl7.sources).is_none() {
            return refuse("hl7.sources", "name the file that says who may send messages (docs/OPERATING.md)");
        }
        if hl7.message_max.0 == 0 || hl7.memory.0 < hl7.message_max.0 {
            return refuse("hl7.memory", "at least hl7.message_max, which is more than nothing");
        }
        if hl7.message_max.in_memory() > MESSAGE_MAX {
            return refuse("hl7.message_max", "at most 8MiB: charts keep no longer message");
        }
        if hl7.frame_limit.0.is_zero() || hl7.idle_limit.0.is_zero() || hl7.write_limit.0.is_zero() {
            return refuse("hl7.frame_limit", "limits of time are longer than nothing, for example \"60s\"");
        }
        Ok(())
    }

    /// File of receivers; none when nothing is sent.
    pub(crate) fn receivers(&self) -> Option<PathBuf> {
        named(&self.hl7.receivers)
    }

    /// Options of the HL7 port; none when messages are not taken.
    pub(crate) fn his(&self) -> Option<his::Options> {
        let hl7 = &self.hl7;
        let tls = hl7.tls.server("hl7");
        let tls = tls.map(|(listen, server, handshake_limit)| his::TlsPort { listen, server, handshake_limit });
        let listening = hl7.listen.0.is_some() || tls.is_some();
        listening.then(|| his::Options {
            listen: hl7.listen.0,
            tls,
            sources: hl7.sources.clone(),
            connections_max: hl7.connections_max,
            connections_per_address_max: hl7.connections_per_address_max,
            message_bytes_max: hl7.message_max.in_memory(),
            memory_max: hl7.memory.in_memory(),
            frame_limit: hl7.frame_limit.0,
            idle_limit: hl7.idle_limit.0,
            write_limit: hl7.write_limit.0,
        })
    }
}
