//! `khoanh destinations`: whom objects may be sent to, as registry data.
//!
//! What a valid entry is says the model; what fits to the other entries says the archive.

use super::{Exit, Failure, Place, show};
use crate::control::Request;
use clap::{Args, Subcommand};
use model::{AeTitle, Certificate, Destination, DestinationTls, FacilityCode};
use serde::Deserialize;
use std::fmt::Write as _;

pub(super) const HELP: &str = "\
C-MOVE sends to destinations of this list only. One with a facility takes what that facility's sources ask for;
one without takes what any source asks for: that is a disclosure, and the operator's decision.";

#[derive(Debug, Subcommand)]
pub(super) enum Destinations {
    /// Adds or changes a destination.
    Add(Add),
    /// Shows the destinations.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Removes a destination; its history stays.
    Remove {
        /// Its AE title.
        title: AeTitle,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// AE title it is called by.
    title: AeTitle,
    /// Where it listens.
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// Facility it belongs to; required unless --any is given.
    #[arg(long, required_unless_present = "any", conflicts_with = "any")]
    facility: Option<FacilityCode>,
    /// Takes what sources of every facility ask for.
    #[arg(long)]
    any: bool,
    /// AE title the archive shows there; without it the one the asker called.
    #[arg(long)]
    calling: Option<AeTitle>,
    /// Calls it over TLS.
    #[arg(long)]
    tls: bool,
    /// Name its certificate is for, when that is not the host.
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Option<String>,
    /// SHA-256 of its certificate: this one is taken, whoever signed it.
    #[arg(long, value_name = "SHA256", requires = "tls", value_parser = fingerprint)]
    tls_certificate: Option<String>,
    /// Sends objects as they were received, without corrections of patient and order.
    #[arg(long)]
    as_received: bool,
    /// Associations one C-MOVE opens to it at one time, where it takes several.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    associations: u8,
    /// Free text.
    #[arg(long, default_value = "")]
    description: String,
    #[command(flatten)]
    place: Place,
}

/// A SHA-256, without colons and in lower case.
pub(super) fn fingerprint(text: &str) -> Result<String, String> {
    let named = Certificate::parse_name(text).ok().filter(|name| !name.contains('='));
    named.ok_or_else(|| format!("{text:?} is no SHA-256: 64 hexadecimal digits, with colons or without"))
}

/// What the archive answers.
#[derive(Deserialize)]
struct Held {
    destinations: Vec<Destination>,
}

pub(super) fn run(wanted: &Destinations) -> Result<Exit, Failure> {
    match wanted {
        Destinations::Add(add) => self::add(add),
        Destinations::List { json, place } => list(*json, place),
        Destinations::Remove { title, place } => remove(title, place),
    }
}

fn ask(place: &Place, request: &Request) -> Result<serde_json::Value, Failure> {
    place.ask(request)
}

fn held(place: &Place) -> Result<(Vec<Destination>, serde_json::Value), Failure> {
    let answer = ask(place, &Request::Destinations)?;
    let held: Result<Held, _> = serde_json::from_value(answer.clone());
    let held = held.map_err(|error| Failure::new(Exit::Failed, format!("the answer is not understood: {error}")))?;
    Ok((held.destinations, answer))
}

fn add(add: &Add) -> Result<Exit, Failure> {
    let address = Destination::split_address(&add.address);
    let wrong = || Failure::new(Exit::Usage, format!("{:?} is no HOST:PORT", add.address));
    let (host, port) = address.ok_or_else(wrong)?;
    let destination = Destination {
        title: add.title.clone(),
        host,
        port,
        facility: add.facility,
        calling: add.calling.clone(),
        tls: add.tls.then(|| DestinationTls { name: add.tls_name.clone(), certificate: add.tls_certificate.clone() }),
        as_received: add.as_received,
        description: add.description.clone(),
        associations: add.associations,
        removed: false,
    };
    ask(&add.place, &Request::PutDestination(destination))?;
    show(&format!("destination {} holds\n", add.title))
}

fn list(json: bool, place: &Place) -> Result<Exit, Failure> {
    let (destinations, answer) = held(place)?;
    if json {
        return show(&format!("{answer}\n"));
    }
    let mut out = String::new();
    for to in &destinations {
        let facility = to.facility.map_or("any".to_owned(), |facility| facility.to_string());
        let tls = if to.tls.is_some() { "tls  " } else { "plain" };
        let _ = writeln!(out, "{:16} {:32} {tls} {facility:5} {}", to.title.as_str(), to.address(), to.description);
    }
    show(&out)
}

fn remove(title: &AeTitle, place: &Place) -> Result<Exit, Failure> {
    let (destinations, _) = held(place)?;
    let found = destinations.into_iter().find(|destination| destination.title == *title);
    let found = found.ok_or_else(|| Failure::new(Exit::Failed, format!("there is no destination {title}")))?;
    ask(place, &Request::PutDestination(Destination { removed: true, ..found }))?;
    show(&format!("destination {title} is removed\n"))
}
