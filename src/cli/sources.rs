//! `khoanh sources`: hospitals and the modalities that send for them, as registry data.
//!
//! What a valid entry is says the model; what fits to the other entries says the archive.

mod table;

use super::{Exit, Failure, Place, show};
use crate::control::Request;
use clap::{Args, Subcommand};
use model::facility::{AddressRange, CharsetHint, Letters, NameStyle, WorklistScope};
use model::{AeTitle, Certificate, Facility, FacilityCode, Source};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

pub(super) const HELP: &str = "\
A source is told by (called AE title, calling AE title, address or certificate): every hospital has a CT01.
The file for `import` is CSV with a header line; columns in any order, empty cells for what is not needed:
  facility,facility_name,facility_kind,active_from,active_to,
  source,called,calling,addresses,certificate,charset,letters,names,text_max,national_id,worklist,issuer,disabled
Several addresses or ranges are separated by spaces: 10.1.0.0/16 10.9.8.7. A certificate is named by its SHA-256
or by its whole subject in quotation marks: \"CN=CT01,O=Hospital\"; such a source is let in over TLS only.
A row without source, called, calling and addresses registers the facility alone. The same file again changes nothing.";

#[derive(Debug, Subcommand)]
pub(super) enum Sources {
    /// Adds or changes what a CSV file lists; nothing is taken when one line is wrong.
    Import {
        /// The file.
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
        /// Only checks the file.
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Shows facilities, sources and unknown peers that knocked.
    List {
        /// Writes JSON, for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Adds or changes one source, and its facility if that is new.
    Add(Box<Add>),
    /// Refuses a source from now on; its history stays.
    Disable {
        /// Name of the source.
        source: String,
        #[command(flatten)]
        place: Place,
    },
    /// Takes a disabled source again.
    Enable {
        /// Name of the source.
        source: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Name of the source; without it facility and calling AE title, for example 56001-CT01.
    #[arg(long)]
    name: Option<String>,
    /// Facility: its 5-character code.
    #[arg(long)]
    facility: FacilityCode,
    /// Name of the facility, when it is new or to be changed.
    #[arg(long)]
    facility_name: Option<String>,
    /// Kind of the facility: hospital, clinic, ...
    #[arg(long, default_value = "hospital")]
    facility_kind: String,
    /// AE title the source must call; without it any of the archive's.
    #[arg(long)]
    called: Option<AeTitle>,
    /// AE title the source shows; without it any.
    #[arg(long)]
    calling: Option<AeTitle>,
    /// Address or range it comes from, for example 10.1.0.0/16; may be given several times.
    #[arg(long = "address", value_parser = AddressRange::parse)]
    addresses: Vec<AddressRange>,
    /// Certificate it must show over TLS: its SHA-256 or its whole subject, for example CN=CT01,O=Hospital.
    #[arg(long, value_parser = Certificate::parse_name)]
    certificate: Option<String>,
    /// How its text without a right character set is read: auto, windows1258, tcvn3 or vni.
    #[arg(long, default_value = "auto", value_parser = charset)]
    charset: CharsetHint,
    /// In which letters its questions are answered: asked (its own character set, else UTF-8), ascii (without marks),
    /// ascii-upper (the same, names and prose in capitals), latin1 or utf8.
    #[arg(long, default_value = "asked", value_parser = letters)]
    letters: Letters,
    /// How its worklist writes names: parts (Family^Given^Middle) or whole.
    #[arg(long, default_value = "parts", value_parser = names)]
    names: NameStyle,
    /// Most characters of names and other prose in its worklist, from 8.
    #[arg(long, value_parser = clap::value_parser!(u8).range(i64::from(Source::TEXT_MAX_LEAST)..))]
    text_max: Option<u8>,
    /// Lets its worklist tell personal identification numbers.
    #[arg(long)]
    national_id: bool,
    /// Which steps its worklist shows: all it asks for, or own (those of its AE title or of no station).
    #[arg(long, default_value = "all", value_parser = worklist)]
    worklist: WorklistScope,
    /// Issuer of its patient IDs; without it they are the facility's own.
    #[arg(long, default_value = "")]
    issuer: String,
    #[command(flatten)]
    place: Place,
}

/// What the archive answers about its registry.
#[derive(Deserialize)]
struct Registry {
    facilities: Vec<Facility>,
    sources: Vec<Source>,
    #[serde(default)]
    knocks: Vec<Knock>,
}

/// Attempts of a peer that is no source.
#[derive(Deserialize)]
struct Knock {
    called: String,
    calling: String,
    address: Option<IpAddr>,
    times: u64,
}

/// A choice by its name in the registry.
fn named<T: DeserializeOwned>(text: &str, choices: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.trim().to_lowercase()))
        .map_err(|_| format!("{text:?} is none of {choices}"))
}

/// A character-set hint by its name in the registry.
pub(super) fn charset(text: &str) -> Result<CharsetHint, String> {
    named(text, "auto, windows1258, tcvn3, vni")
}

/// The letters of answers by their name in the registry.
pub(super) fn letters(text: &str) -> Result<Letters, String> {
    named(text, "asked, ascii, ascii-upper, latin1, utf8")
}

/// The style of names by its name in the registry.
pub(super) fn names(text: &str) -> Result<NameStyle, String> {
    named(text, "parts, whole")
}

/// What a worklist shows by its name in the registry.
pub(super) fn worklist(text: &str) -> Result<WorklistScope, String> {
    named(text, "all, own")
}

pub(super) fn run(wanted: &Sources) -> Result<Exit, Failure> {
    match wanted {
        Sources::Import { file, check, place } => import(file, *check, place),
        Sources::List { json, place } => list(*json, place),
        Sources::Add(add) => self::add(add),
        Sources::Disable { source, place } => set_disabled(source, true, place),
        Sources::Enable { source, place } => set_disabled(source, false, place),
    }
}

fn ask(place: &Place, request: &Request) -> Result<serde_json::Value, Failure> {
    place.ask(request)
}

fn registry(place: &Place) -> Result<(Registry, serde_json::Value), Failure> {
    let answer = ask(place, &Request::Sources)?;
    let understood = serde_json::from_value(answer.clone());
    let registry =
        understood.map_err(|error| Failure::new(Exit::Failed, format!("the registry is not understood: {error}")))?;
    Ok((registry, answer))
}

fn import(file: &PathBuf, check: bool, place: &Place) -> Result<Exit, Failure> {
    let text =
        std::fs::read(file).map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", file.display())))?;
    let table = table::parse(&text).map_err(|wrong| {
        let lines: Vec<String> = wrong.iter().map(|mistake| format!("{}:{mistake}", file.display())).collect();
        Failure::new(Exit::Usage, format!("nothing was taken:\n{}", lines.join("\n")))
    })?;
    let (facilities, sources) = (table.facilities.len(), table.sources.len());
    if check {
        return show(&format!("in order: {facilities} facilities, {sources} sources\n"));
    }
    let answer = ask(place, &Request::Register { facilities: table.facilities, sources: table.sources })?;
    let changed = answer.get("changed").and_then(serde_json::Value::as_u64).unwrap_or(0);
    show(&format!("{facilities} facilities, {sources} sources; {changed} added or changed\n"))
}

fn list(json: bool, place: &Place) -> Result<Exit, Failure> {
    let (registry, answer) = registry(place)?;
    if json { show(&format!("{answer}\n")) } else { show(&listing(&registry)) }
}

fn listing(registry: &Registry) -> String {
    let mut out = String::new();
    let any = |title: &Option<AeTitle>| title.as_ref().map_or("*".to_owned(), ToString::to_string);
    for facility in &registry.facilities {
        let _ = writeln!(out, "{}  {} ({})", facility.code, facility.name, facility.kind);
        for source in registry.sources.iter().filter(|source| source.facility == facility.code) {
            let addresses: Vec<String> = source.addresses.iter().map(ToString::to_string).collect();
            let from = if addresses.is_empty() { "*".into() } else { addresses.join(" ") };
            let state = if source.disabled { "  disabled" } else { "" };
            let bound = source.certificate.as_ref().map_or(String::new(), |name| format!("  certificate {name}"));
            let (id, calling, called) = (&source.id, any(&source.calling), any(&source.called));
            let _ = writeln!(out, "       {id:24} {calling:16} -> {called:16} from {from}{bound}{state}");
        }
    }
    for knock in &registry.knocks {
        let from = knock.address.map_or("several addresses".to_owned(), |address| address.to_string());
        let (calling, called, times) = (&knock.calling, &knock.called, knock.times);
        let _ = writeln!(out, "knocked {times} times: {calling} -> {called} from {from}");
    }
    out
}

fn add(add: &Add) -> Result<Exit, Failure> {
    let calling = add.calling.as_ref().map_or("any", AeTitle::as_str);
    let source = Source {
        id: add.name.clone().unwrap_or_else(|| format!("{}-{calling}", add.facility)),
        facility: add.facility,
        called: add.called.clone(),
        calling: add.calling.clone(),
        addresses: add.addresses.clone(),
        certificate: add.certificate.clone(),
        charset: add.charset,
        letters: add.letters,
        names: add.names,
        text_max: add.text_max,
        national_id: add.national_id,
        worklist: add.worklist,
        issuer: add.issuer.clone(),
        disabled: false,
    };
    let facility = add.facility_name.as_ref().map(|name| Facility {
        code: add.facility,
        name: name.clone(),
        kind: add.facility_kind.clone(),
        active_from: String::new(),
        active_to: String::new(),
    });
    let id = source.id.clone();
    ask(&add.place, &Request::Register { facilities: facility.into_iter().collect(), sources: vec![source] })?;
    show(&format!("source {id} holds\n"))
}

fn set_disabled(id: &str, disabled: bool, place: &Place) -> Result<Exit, Failure> {
    let (registry, _) = registry(place)?;
    let found = registry.sources.into_iter().find(|source| source.id == id);
    let source = found.ok_or_else(|| Failure::new(Exit::Failed, format!("there is no source {id:?}")))?;
    ask(place, &Request::Register { facilities: Vec::new(), sources: vec![Source { disabled, ..source }] })?;
    show(&format!("source {id} is {}\n", if disabled { "disabled" } else { "enabled" }))
}
